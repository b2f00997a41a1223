// Package golden checks that every example renders to exactly the tree that is
// kept here, and that the two folders agree about which examples there are.
package golden

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
)

var update = flag.Bool("update", false, "rewrite the golden trees from the examples")

// TestTrees renders every example and compares the whole tree. Secrets are in
// it as they are in a repository: encrypted, always to the same bytes.
func TestTrees(t *testing.T) {
	cases, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"errors": true}
	for _, c := range cases {
		known[c.Name] = true
		t.Run(c.Name, func(t *testing.T) {
			if _, err := fs.Stat(examples.FS, c.Name+"/README.md"); err != nil {
				t.Errorf("an example says in README.md what it shows: %v", err)
			}
			r, err := renderer.New(c.Templates)
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.Render(c.Inputs, renderer.Options{Secrets: manifest.SOPS})
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				rewrite(t, c.Name, got.Bundle.Files)
			}
			compare(t, c.Name, got.Bundle.Files)
		})
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

// compare reports each file that is missing, left over or different.
func compare(t *testing.T, name string, files []manifest.File) {
	t.Helper()
	want := map[string]bool{}
	for _, f := range files {
		path := filepath.Join(name, filepath.FromSlash(f.Path))
		want[path] = true
		kept, err := os.ReadFile(path)
		switch {
		case err != nil:
			t.Errorf("%s is rendered, but not kept (run: make golden)", path)
		case string(kept) != string(f.Data):
			t.Errorf("%s differs: %s (run: make golden, and read the diff)", path, firstDifference(string(kept), string(f.Data)))
		}
	}
	err := filepath.WalkDir(name, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !want[path] {
			t.Errorf("%s is kept, but not rendered (run: make golden)", path)
		}
		return err
	})
	if err != nil {
		t.Errorf("%s: %v (run: make golden)", name, err)
	}
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
