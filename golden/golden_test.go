// Package golden checks that every example renders to exactly the tree that is
// kept here, and that the two folders agree about which examples there are.
package golden

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

var update = flag.Bool("update", false, "rewrite the golden trees from the examples")

// TestMain: rendering makes little but garbage, which the command collects as
// rarely.
func TestMain(m *testing.M) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	os.Exit(m.Run())
}

// TestTrees renders every example and compares the whole tree. Secrets are in
// it as they are in a repository: encrypted, always to the same bytes. Scripts are
// compared with those that are kept once for all trees.
func TestTrees(t *testing.T) {
	cases, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"errors": true, scriptsFolder: true}
	shared, rendered := newOnce(), 0
	for _, c := range cases {
		known[c.Name] = true
		t.Run(c.Name, func(t *testing.T) {
			if _, err := fs.Stat(examples.FS, c.Name+"/README.md"); err != nil {
				t.Errorf("an example says in README.md what it shows: %v", err)
			}
			texts, err := sources(c.Templates)
			if err != nil {
				t.Fatal(err)
			}
			files := render(t, c)
			rendered++
			if *update {
				kept := slices.Clone(files)
				for i, f := range kept {
					kept[i].Data = []byte(newOnce().fold(f.Path, string(f.Data), texts))
				}
				rewrite(t, c.Name, kept)
			}
			for _, wrong := range shared.differences(c.Name, files, texts) {
				t.Error(wrong)
			}
		})
	}
	all := rendered == len(cases) // else -run left some out
	if *update && all {
		shared.write(t, ".")
	}
	for _, wrong := range shared.compare(".", all) {
		t.Error(wrong)
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.IsDir() && !known[entry.Name()] {
			t.Errorf("golden/%s has no example", entry.Name())
		}
	}
}

// render returns the tree of an example.
func render(t *testing.T, c examples.Case) []manifest.File {
	t.Helper()
	r, err := renderer.New(c.Templates)
	if err != nil {
		t.Fatal(err)
	}
	made, err := r.Render(c.Inputs, renderer.Options{Secrets: secrets.SOPS})
	if err != nil {
		t.Fatal(err)
	}
	return made.Bundle.Files
}

// rewrite replaces a golden tree: what is no longer rendered goes.
func rewrite(t *testing.T, name string, files []manifest.File) {
	t.Helper()
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		path := filepath.Join(name, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// differences lists each file that is missing, left over or different, and notes
// what of the files is kept once for all trees.
func (o once) differences(name string, files []manifest.File, sources map[string]string) []string {
	var wrong []string
	report := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	want := map[string]bool{}
	for _, f := range files {
		path := filepath.Join(name, filepath.FromSlash(f.Path))
		want[path] = true
		if strings.Contains(string(f.Data), standsFor) {
			report("%s holds %q, which stands for something else in what is kept", path, standsFor)
		}
		got := o.fold(filepath.ToSlash(path), string(f.Data), sources)
		kept, err := os.ReadFile(path)
		switch {
		case err != nil:
			report("%s is rendered, but not kept (run: make golden)", path)
		case string(kept) != got:
			report("%s differs: %s (run: make golden, and read the diff)", path, firstDifference(string(kept), got))
		}
	}
	err := filepath.WalkDir(name, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !want[path] {
			report("%s is kept, but not rendered (run: make golden)", path)
		}
		return err
	})
	if err != nil {
		report("%s: %v (run: make golden)", name, err)
	}
	return wrong
}

// firstDifference shows the first line that differs.
func firstDifference(kept, got string) string {
	a, b := strings.Split(kept, "\n"), strings.Split(got, "\n")
	for n := range max(len(a), len(b)) {
		if n >= len(a) || n >= len(b) || a[n] != b[n] {
			line := func(l []string) string {
				if n < len(l) {
					return l[n]
				}
				return "(end)"
			}
			return fmt.Sprintf("line %d: -%s +%s", n+1, line(a), line(b))
		}
	}
	return "nothing"
}
