package renderer_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/templates"
)

// TestNoKindKnowsAnother: no template of a kind has another kind's name in it, but in
// a comment, and those of the words that mean something else there, too.
func TestNoKindKnowsAnother(t *testing.T) {
	t.Parallel()
	entries, err := fs.ReadDir(templates.FS, "kinds")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	if len(names) < 10 {
		t.Fatalf("only %d kinds", len(names))
	}
	comment := regexp.MustCompile(`(?m)//.*$`)
	for _, name := range names {
		data, err := fs.ReadFile(templates.FS, "kinds/"+name+"/kind.libsonnet")
		if err != nil {
			t.Fatal(err)
		}
		text := comment.ReplaceAllString(string(data), "")
		for _, other := range names {
			if other != name && regexp.MustCompile(`\b`+other+`\b`).MatchString(text) {
				t.Errorf("kind %s names kind %s: it says its own side of what they have to do with each other (holds, refersTo, secrets)", name, other)
			}
		}
	}
}

// TestOwnKindsTakePart: two kinds of the user's own are joined with each other, and
// with the built-in ones, without knowing them.
func TestOwnKindsTakePart(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{}
	sound := os.DirFS(filepath.Join(errorsFolder, "kind", "cache"))
	entries, err := fs.ReadDir(sound, ".")
	if err != nil {
		t.Fatal(err)
	}
	// cache refers to what store holds, and to the bucket nextcloud.
	for name, joins := range map[string]string{
		"cache": "refersTo: ['things/one', 'objects/nextcloud'], secrets: ['of-the-cache'],",
		"store": "holds: ['things/one'],",
	} {
		for _, entry := range entries {
			data, err := fs.ReadFile(sound, entry.Name())
			if err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(string(data), "cache", name)
			text = strings.Replace(text, `"short": "`, `"short": "x`+name[:1], 1)
			text = strings.Replace(text, "  need: server.backup,", "  need: server.backup,\n  "+joins, 1)
			files[name+"/"+entry.Name()] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	all, err := kind.Overlay(templates.FS, files, "kinds")
	if err != nil {
		t.Fatal(err)
	}
	r, err := renderer.New(all)
	if err != nil {
		t.Fatal(err)
	}
	in := example(t, "layout-b")
	in.States = []input.Document{rewritten(t, in.States[0], func(root map[string]any) {
		for _, section := range []string{"caches", "stores"} {
			root[section] = []any{map[string]any{"key": "one", "host": section, "backup": "required"}}
		}
	})}
	p := planOf(t, r, in)
	find := func(id string) plan.Item {
		n := slices.IndexFunc(p.Units, func(i plan.Item) bool { return i.ID == id })
		if n < 0 {
			t.Fatalf("there is no unit %s", id)
		}
		return p.Units[n]
	}
	if after := find("store/one").Consistent; !slices.Equal(after, []string{"cache/one"}) {
		t.Errorf("store/one is taken after %v", after)
	}
	if after := find("bucket/nextcloud").Consistent; !slices.Contains(after, "cache/one") || !slices.Contains(after, "postgresql/nextcloud") {
		t.Errorf("bucket/nextcloud is taken after %v", after)
	}
	names := strings.Split(find("kubernetes-secrets/application").Values["EXPECT_NAMES"], "\n")
	if !slices.Contains(names, "of-the-cache") || len(names) < 2 {
		t.Errorf("the copy of Secrets expects %v", names)
	}
}
