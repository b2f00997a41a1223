package renderer_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/templates"
)

// TestKindAuthor breaks a sound kind, golden/errors/kind/cache, in one place at a
// time: its author is told the file, the line where there is one, what was expected
// and what to do. In its archives kinds/cache/FILE has edits of the sound file, as a
// document's section has; an empty want means that nothing is wrong.
func TestKindAuthor(t *testing.T) {
	cases := errorCases(t, errorsFolder+"/kind")
	if len(cases) < 18 {
		t.Fatalf("only %d cases", len(cases))
	}
	// What only those understand who know go-jsonnet, or this program, from inside.
	internal := regexp.MustCompile(`RUNTIME ERROR|thunk|<[a-z]+>|During evaluation|std\.jsonnet|dynamicRef|Go struct|renderer/|\t`)
	// A file that is missing, and a template that lacks a function, have no line; that
	// a place of the state has no unit any more stands in the state.
	place := regexp.MustCompile(`^(kinds/[a-z]+/[a-z.]+:[1-9][0-9]*:[1-9][0-9]*: |(kinds/[a-z]+/[a-z.]+: .*|runtime-state.json:.*: nothing backs this up)\n)`)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			list := problem.List{}
			all, err := kind.Overlay(templates.FS, c.edited(t), "kinds")
			if err != nil {
				t.Fatal(err)
			}
			r, err := renderer.New(all)
			if err == nil {
				_, err = r.Render(c.inputs(t), renderer.Options{Secrets: c.secrets})
			}
			if err != nil {
				list = problems(t, err)
			}
			got := ""
			for _, p := range list {
				got += p.String() + "\n"
				if !place.MatchString(p.String()) || p.Line == 0 && !strings.Contains(p.Message, "missing") {
					t.Errorf("no file of the kind, or no line:\n%s", p)
				}
				if p.Hint == "" || strings.Contains(p.Message, "\n") {
					t.Errorf("no hint, or a long message:\n%s", p)
				}
				if word := internal.FindString(p.String()); word != "" {
					t.Errorf("%q is no word for a kind's author:\n%s", word, p)
				}
			}
			c.expect(t, got)
		})
	}
}

// edited are the files of the sound kind with the case's edits, and of others that
// the case has whole.
func (c errorCase) edited(t *testing.T) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	sound := os.DirFS(filepath.Join(errorsFolder, "kind", "cache"))
	entries, err := fs.ReadDir(sound, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		data, err := fs.ReadFile(sound, entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		for _, f := range c.archive.Files {
			if f.Name != "kinds/cache/"+entry.Name() {
				continue
			}
			for line := range strings.Lines(string(f.Data)) {
				text = edited(t, text, strings.TrimSpace(line))
			}
		}
		files["cache/"+entry.Name()] = &fstest.MapFile{Data: []byte(text)}
	}
	for _, f := range c.archive.Files {
		if name, ok := strings.CutPrefix(f.Name, "kinds/"); ok && !strings.HasPrefix(name, "cache/") {
			files[name] = &fstest.MapFile{Data: f.Data}
		}
	}
	return files
}
