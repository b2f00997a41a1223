package emit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// bundle makes a bundle of path and content pairs. Paths that contain "secret"
// are secrets.
func bundle(pairs ...string) manifest.Bundle {
	var b manifest.Bundle
	for i := 0; i < len(pairs); i += 2 {
		b.Files = append(b.Files, manifest.File{Path: pairs[i], Data: []byte(pairs[i+1]), Secret: strings.Contains(pairs[i], "secret")})
	}
	return b
}

func mustWrite(t *testing.T, dir string, b manifest.Bundle, o TreeOptions) Changes {
	t.Helper()
	changes, err := WriteTree(t.Context(), dir, b, o)
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

// put writes a file by hand.
func put(t *testing.T, dir, name, content string) {
	t.Helper()
	at := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// age makes everything in dir a day old, so that a rewritten file shows.
func age(t *testing.T, dir string) {
	t.Helper()
	old := time.Now().Add(-24 * time.Hour).Truncate(time.Second)
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink != 0 {
			return err
		}
		return os.Chtimes(name, old, old)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// snapshot describes everything in dir: mode, content, and for files the time.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	seen := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name == dir {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		switch {
		case info.IsDir():
			seen[rel] = info.Mode().String()
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			seen[rel] = "-> " + target
		default:
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			seen[rel] = fmt.Sprintf("%v %v %q", info.Mode(), info.ModTime().UTC(), data)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// contents is snapshot without modes and times, files only.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	seen := map[string]string{}
	for name, what := range snapshot(t, dir) {
		if link, ok := strings.CutPrefix(what, "-> "); ok {
			seen[name] = link
		} else if !strings.HasPrefix(what, "d") {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			seen[name] = string(data)
		}
	}
	return seen
}

func sameMaps(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[name]; !ok {
			t.Errorf("%s: %s is missing", what, name)
		} else if g != want[name] {
			t.Errorf("%s: %s is %s, want %s", what, name, g, want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s is left over", what, name)
		}
	}
}

func rules(t *testing.T, err error) []string {
	t.Helper()
	var list problem.List
	if !errors.As(err, &list) {
		t.Fatalf("error %v (%T) is no problem.List", err, err)
	}
	var found []string
	for _, p := range list {
		found = append(found, p.Rule+" "+p.Pointer)
	}
	return found
}

func TestWriteTreeNew(t *testing.T) {
	t.Parallel()
	for _, perFile := range []bool{false, true} {
		t.Run(fmt.Sprintf("perFile=%v", perFile), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "not", "yet")
			b := bundle("a/apps/x.yaml", "x\n", "a/kustomization.yaml", "k\n", "a/secret.yaml", "s\n", "b/y.yaml", "y\n")
			changes := mustWrite(t, dir, b, TreeOptions{testOnlyPerFile: perFile})
			want := Changes{
				{Path: "a/.holdfast-inventory", Action: Added},
				{Path: "a/apps/x.yaml", Action: Added},
				{Path: "a/kustomization.yaml", Action: Added},
				{Path: "a/secret.yaml", Action: Added},
				{Path: "b/.holdfast-inventory", Action: Added},
				{Path: "b/y.yaml", Action: Added},
			}
			if !reflect.DeepEqual(changes, want) {
				t.Errorf("changes %v, want %v", changes, want)
			}
			sameMaps(t, "tree", contents(t, dir), map[string]string{
				"a/.holdfast-inventory": inventoryComment + "\napps/x.yaml\nkustomization.yaml\nsecret.yaml\n",
				"a/apps/x.yaml":         "x\n", "a/kustomization.yaml": "k\n", "a/secret.yaml": "s\n",
				"b/.holdfast-inventory": inventoryComment + "\ny.yaml\n",
				"b/y.yaml":              "y\n",
			})
			for name, mode := range map[string]fs.FileMode{
				"": 0o755, "a": 0o755, "a/apps": 0o755, "a/apps/x.yaml": 0o644, "a/secret.yaml": 0o600, "a/.holdfast-inventory": 0o644,
			} {
				info, err := os.Stat(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				if info.Mode().Perm() != mode {
					t.Errorf("%q has mode %v, want %v", name, info.Mode().Perm(), mode)
				}
			}
		})
	}
}

func TestWriteTreeUnchangedTouchesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := bundle("a/apps/x.yaml", "x\n", "a/secret.yaml", "s\n", "b/y.yaml", "y\n")
	mustWrite(t, dir, b, TreeOptions{})
	put(t, dir, "a/mine.txt", "mine")
	age(t, dir)
	before := snapshot(t, dir)
	steps := 0
	changes := mustWrite(t, dir, b, TreeOptions{testOnlyStep: func(string) error { steps++; return nil }})
	if len(changes) > 0 || steps > 0 {
		t.Errorf("changes %v in %d steps, want none", changes, steps)
	}
	sameMaps(t, "tree", snapshot(t, dir), before)
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if time.Since(info.ModTime()) < time.Hour {
		t.Error("the folder's own time changed: something was made in it")
	}
}

// oldTree and newBundle differ in every way that two trees can differ.
func oldTree(t *testing.T, dir string) {
	t.Helper()
	mustWrite(t, dir, bundle(
		"a/apps/changed.yaml", "old\n", "a/apps/gone.yaml", "gone\n", "a/apps/same.yaml", "same\n",
		"a/becomes-file/one.yaml", "1\n", "a/becomes-file/deep/two.yaml", "2\n", "a/becomes-folder", "file\n",
		"a/empties/x.yaml", "x\n", "a/f1.yaml", "1", "a/secret.yaml", "old secret\n",
		"b/x.yaml", "old\n", "b/y.yaml", "same\n",
		"z/other.yaml", "other\n",
	), TreeOptions{testOnlyNoSync: true})
	put(t, dir, "a/mine/README.txt", "hand-made\n")
	put(t, dir, "a/apps/mine.yaml", "hand-made\n")
	put(t, dir, "a/empties/note", "hand-made\n")
	put(t, dir, "top.txt", "hand-made\n")
	put(t, dir, ".a.holdfast-notes/keep", "hand-made\n")
	if err := os.MkdirAll(filepath.Join(dir, "a/nothing/here"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../elsewhere", filepath.Join(dir, "a/mine/link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "a/mine"), 0o700); err != nil {
		t.Fatal(err)
	}
	age(t, dir)
}

func newBundle() manifest.Bundle {
	return bundle(
		"a/apps/added.yaml", "added\n", "a/apps/changed.yaml", "new\n", "a/apps/same.yaml", "same\n",
		"a/becomes-file", "file now\n", "a/becomes-folder/x.yaml", "folder now\n",
		"a/f1.yaml", "1", "a/more/deep/new.yaml", "new\n", "a/secret.yaml", "new secret\n",
		"b/x.yaml", "new\n", "b/y.yaml", "same\n",
		"c/new.yaml", "new instance\n",
	)
}

func newContents() map[string]string {
	want := map[string]string{
		"a/mine/README.txt": "hand-made\n", "a/apps/mine.yaml": "hand-made\n", "a/empties/note": "hand-made\n", "a/mine/link": "../elsewhere",
		"top.txt": "hand-made\n", ".a.holdfast-notes/keep": "hand-made\n",
		"z/other.yaml": "other\n", "z/.holdfast-inventory": inventoryComment + "\nother.yaml\n",
		"b/.holdfast-inventory": inventoryComment + "\nx.yaml\ny.yaml\n",
		"c/.holdfast-inventory": inventoryComment + "\nnew.yaml\n",
	}
	listed := inventoryComment + "\n"
	for _, file := range newBundle().Files {
		want[file.Path] = string(file.Data)
		if name, ok := strings.CutPrefix(file.Path, "a/"); ok {
			listed += name + "\n"
		}
	}
	want["a/.holdfast-inventory"] = listed
	return want
}

func TestWriteTreeReplaces(t *testing.T) {
	t.Parallel()
	for _, perFile := range []bool{false, true} {
		t.Run(fmt.Sprintf("perFile=%v", perFile), func(t *testing.T) {
			dir := t.TempDir()
			oldTree(t, dir)
			before := snapshot(t, dir)
			announced, err := Compare(dir, newBundle())
			if err != nil {
				t.Fatal(err)
			}
			sameMaps(t, "after Compare", snapshot(t, dir), before)
			o := TreeOptions{AllowShrink: true, testOnlyPerFile: perFile, testOnlyNoSync: true}
			changes := mustWrite(t, dir, newBundle(), o)
			want := Changes{
				{Path: "a/.holdfast-inventory", Action: Changed},
				{Path: "a/apps/added.yaml", Action: Added},
				{Path: "a/apps/changed.yaml", Action: Changed},
				{Path: "a/apps/gone.yaml", Action: Removed},
				{Path: "a/becomes-file", Action: Added},
				{Path: "a/becomes-file/deep/two.yaml", Action: Removed},
				{Path: "a/becomes-file/one.yaml", Action: Removed},
				{Path: "a/becomes-folder", Action: Removed},
				{Path: "a/becomes-folder/x.yaml", Action: Added},
				{Path: "a/empties/x.yaml", Action: Removed},
				{Path: "a/more/deep/new.yaml", Action: Added},
				{Path: "a/secret.yaml", Action: Changed},
				{Path: "b/x.yaml", Action: Changed},
				{Path: "c/.holdfast-inventory", Action: Added},
				{Path: "c/new.yaml", Action: Added},
			}
			if !reflect.DeepEqual(changes, want) {
				t.Errorf("changes\n%v\nwant\n%v", changes, want)
			}
			if !reflect.DeepEqual(announced, want) {
				t.Errorf("Compare announced\n%v\nwant\n%v", announced, want)
			}
			sameMaps(t, "tree", contents(t, dir), newContents())
			// What did not change is still the same file with the same times.
			after := snapshot(t, dir)
			for _, name := range []string{"a/apps/same.yaml", "b/y.yaml", "a/mine", "a/mine/README.txt", "a/mine/link", "a/apps/mine.yaml", "a/nothing", "a/nothing/here", "z", "z/other.yaml", "a/f1.yaml"} {
				if after[name] != before[name] {
					t.Errorf("%s was %s and is %s", name, before[name], after[name])
				}
			}
			if !strings.HasPrefix(after["a/secret.yaml"], "-rw-------") {
				t.Errorf("the secret is %s", after["a/secret.yaml"])
			}
			if again := mustWrite(t, dir, newBundle(), o); len(again) > 0 {
				t.Errorf("a second run changes %v", again)
			}
		})
	}
}

func TestWriteTreeDropsEmptyFolders(t *testing.T) {
	t.Parallel()
	for _, perFile := range []bool{false, true} {
		t.Run(fmt.Sprintf("perFile=%v", perFile), func(t *testing.T) {
			dir := t.TempDir()
			mustWrite(t, dir, bundle("a/x.yaml", "x", "a/deep/er/gone.yaml", "x"), TreeOptions{})
			mustWrite(t, dir, bundle("a/x.yaml", "x"), TreeOptions{testOnlyPerFile: perFile})
			if _, err := os.Lstat(filepath.Join(dir, "a/deep")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the emptied folder is still there: %v", err)
			}
		})
	}
}

// outcome runs WriteTree and fails or kills it at the given step.
func outcome(dir string, o TreeOptions, at int, kill bool) (steps []string, err error) {
	killed := errors.New("killed")
	defer func() {
		if r := recover(); r != nil {
			if r != killed {
				panic(r)
			}
			err = killed
		}
	}()
	o.testOnlyNoSync = true
	o.testOnlyStep = func(step string) error {
		steps = append(steps, step)
		if len(steps)-1 != at {
			return nil
		}
		if kill {
			panic(killed)
		}
		return errors.New("no luck")
	}
	_, err = WriteTree(context.Background(), dir, newBundle(), o)
	return steps, err
}

// TestWriteTreeFailingChangesNothing makes every step fail in turn.
func TestWriteTreeFailingChangesNothing(t *testing.T) {
	t.Parallel()
	for _, perFile := range []bool{false, true} {
		t.Run(fmt.Sprintf("perFile=%v", perFile), func(t *testing.T) {
			o := TreeOptions{AllowShrink: true, testOnlyPerFile: perFile, testOnlyNoSync: true}
			total := 1
			for at := 0; at < total; at++ {
				dir := t.TempDir()
				oldTree(t, dir)
				before := snapshot(t, dir)
				steps, err := outcome(dir, o, at, false)
				if err == nil || !strings.Contains(err.Error(), "no luck") {
					// The run went past its last step.
					if at == 0 {
						t.Fatalf("step 0 did not fail: %v", err)
					}
					break
				}
				total = len(steps) + 1
				if slices.Contains(steps[:at], "done") { // the new tree stays
					mustWrite(t, dir, newBundle(), o)
					sameMaps(t, "failed at "+steps[at]+", next run", contents(t, dir), newContents())
					continue
				}
				sameMaps(t, "failed at "+steps[at], snapshot(t, dir), before)
				if t.Failed() {
					return
				}
			}
			if total < 25 {
				t.Errorf("only %d steps were tried", total)
			}
		})
	}
}

func TestWriteTreeFailingNewRootChangesNothing(t *testing.T) {
	t.Parallel()
	for at := range 100 {
		dir := t.TempDir()
		steps, err := outcome(filepath.Join(dir, "x/y"), TreeOptions{}, at, false)
		if err == nil || slices.Contains(steps[:at], "done") {
			if at < 10 {
				t.Errorf("only %d steps", at)
			}
			return
		}
		if left := contents(t, dir); len(left) > 0 || len(snapshot(t, dir)) > 1 {
			t.Fatalf("step %d left %v", at, snapshot(t, dir))
		}
	}
}

// TestWriteTreeFailingCleanup: the new tree stays, and the error says so.
func TestWriteTreeFailingCleanup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	oldTree(t, dir)
	_, err := WriteTree(t.Context(), dir, newBundle(), TreeOptions{AllowShrink: true, testOnlyStep: func(step string) error {
		if strings.HasPrefix(step, "clean ") {
			return errors.New("no luck")
		}
		return nil
	}})
	if err == nil || !strings.Contains(err.Error(), "the tree is written") {
		t.Errorf("error %v does not say that the tree is written", err)
	}
	got := contents(t, dir)
	maps.DeleteFunc(got, func(name, _ string) bool {
		return strings.HasPrefix(name, ".a.holdfast-") && !strings.Contains(name, "notes")
	})
	maps.DeleteFunc(got, func(name, _ string) bool {
		return strings.HasPrefix(name, ".b.holdfast-") || strings.HasPrefix(name, ".c.holdfast-")
	})
	sameMaps(t, "tree", got, newContents())
	mustWrite(t, dir, newBundle(), TreeOptions{})
	sameMaps(t, "next run", contents(t, dir), newContents())
}

// TestWriteTreeKilled kills a run at every step; each folder is then all old or
// all new, and the next run completes the tree and leaves nothing behind.
func TestWriteTreeKilled(t *testing.T) {
	t.Parallel()
	for _, perFile := range []bool{false, true} {
		t.Run(fmt.Sprintf("perFile=%v", perFile), func(t *testing.T) {
			o := TreeOptions{AllowShrink: true, testOnlyPerFile: perFile, testOnlyNoSync: true}
			for at := 0; ; at++ {
				dir := t.TempDir()
				oldTree(t, dir)
				before := contents(t, dir)
				steps, err := outcome(dir, o, at, true)
				if err == nil {
					if at < 25 {
						t.Errorf("only %d steps were tried", at)
					}
					return
				}
				what := "killed at " + steps[at]
				if !perFile {
					after := contents(t, dir)
					for _, top := range []string{"a/", "b/", "c/", "z/"} {
						got := below(after, top)
						if !maps.Equal(got, below(before, top)) && !maps.Equal(got, below(newContents(), top)) {
							t.Errorf("%s: %s is neither old nor new: %v", what, top, got)
						}
					}
				}
				if _, err := WriteTree(t.Context(), dir, newBundle(), o); err != nil {
					t.Fatalf("%s: the next run fails: %v", what, err)
				}
				sameMaps(t, what, contents(t, dir), newContents())
				if _, err := os.Lstat(filepath.Join(dir, "a/nothing/here")); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// TestWriteTreeKilledThenOtherBundle: files that a killed run left half done
// are ours, also when the next run wants something else.
func TestWriteTreeKilledThenOtherBundle(t *testing.T) {
	t.Parallel()
	for at := 0; ; at++ {
		dir := t.TempDir()
		oldTree(t, dir)
		_, err := outcome(dir, TreeOptions{AllowShrink: true, testOnlyPerFile: true}, at, true)
		if err == nil {
			return
		}
		b := newBundle()
		for i := range b.Files {
			b.Files[i].Data = append(b.Files[i].Data, "third\n"...)
		}
		if _, err := WriteTree(t.Context(), dir, b, TreeOptions{AllowShrink: true, testOnlyNoSync: true}); err != nil {
			t.Fatalf("step %d: %v", at, err)
		}
	}
}

func below(files map[string]string, prefix string) map[string]string {
	some := map[string]string{}
	for name, content := range files {
		if strings.HasPrefix(name, prefix) {
			some[name] = content
		}
	}
	return some
}

// private makes a folder one that only this user may look into.
func private(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Chmod(filepath.Join(dir, name), 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestSweepLeavesWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustWrite(t, dir, bundle("a/x.yaml", "x"), TreeOptions{})
	keep := []string{
		".a.holdfast-123/tree/no-marker",
		".a.holdfast-456/.holdfast-stage", // not our text
		".a.holdfast-12x/.holdfast-stage",
		".a.holdfast-77/.holdfast-stage", // ours, but somebody put something there
		".a.holdfast-77/mine",
		"a.holdfast-123/.holdfast-stage",
		".a.holdfast-/.holdfast-stage",
		"...holdfast-1/.holdfast-stage",
	}
	for i, name := range keep {
		content := markerText
		if i == 1 {
			content = "something else\n"
		}
		put(t, dir, name, content)
	}
	for _, name := range keep[:5] {
		private(t, dir, path.Dir(name))
	}
	private(t, dir, ".a.holdfast-123")
	for name, content := range map[string]string{
		".a.holdfast-90": "",                // a cut mark, but not alone
		".a.holdfast-91": markerText[:9],    // so too
		".a.holdfast-92": markerText + "\n", // more than the mark
	} {
		put(t, dir, name+"/.holdfast-stage", content)
		put(t, dir, name+"/old-1", "theirs")
		private(t, dir, name)
		keep = append(keep, name+"/old-1")
	}
	put(t, dir, ".a.holdfast-93/.holdfast-stage", markerText) // open to others, as from a checkout
	put(t, dir, "mark", markerText)
	if err := os.Mkdir(filepath.Join(dir, ".a.holdfast-94"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../mark", filepath.Join(dir, ".a.holdfast-94/.holdfast-stage")); err != nil {
		t.Fatal(err)
	}
	keep = append(keep, ".a.holdfast-93/.holdfast-stage", ".a.holdfast-94/.holdfast-stage")
	if err := os.Symlink("b", filepath.Join(dir, ".a.holdfast-321")); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "b/.holdfast-stage", markerText)
	keep = append(keep, ".a.holdfast-321", "b/.holdfast-stage")
	gone := []string{".a.holdfast-789", ".left.holdfast-789", ".a.holdfast-1", ".a.holdfast-2"}
	put(t, dir, gone[3]+"/.holdfast-stage", "# Made") // killed while it made the mark
	private(t, dir, gone[3])
	for _, name := range gone[:2] { // also of an instance that is not in this run
		put(t, dir, name+"/.holdfast-stage", markerText)
		put(t, dir, name+"/tree/secret.yaml", "left")
		put(t, dir, name+"/old-1", "left")
		private(t, dir, name)
	}
	if err := os.Mkdir(filepath.Join(dir, gone[2]), 0o700); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, dir, bundle("a/x.yaml", "x"), TreeOptions{})
	for _, name := range keep {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%v", err)
		}
	}
	for _, name := range gone {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there", name)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "left")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was kept of what is ours: %v", err)
	}
}

func TestWriteTreeRefusals(t *testing.T) {
	t.Parallel()
	many := func(top string, n int) (pairs []string) {
		for i := range n {
			pairs = append(pairs, fmt.Sprintf("%s/f%02d.yaml", top, i), "x")
		}
		return pairs
	}
	link := func(t *testing.T, target, at string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(at); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, at); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		prepare func(t *testing.T, dir string)
		bundle  manifest.Bundle
		want    []string
	}{
		"hand-made file in the way": {
			prepare: func(t *testing.T, dir string) { put(t, dir, "a/x.yaml", "mine"); put(t, dir, "b/y.yaml", "mine") },
			bundle:  bundle("a/x.yaml", "x", "b/y.yaml", "y", "c/z.yaml", "z"),
			want:    []string{"HF502 a/x.yaml", "HF502 b/y.yaml"},
		},
		"hand-made file beside ours": {
			prepare: func(t *testing.T, dir string) {
				mustWrite(t, dir, bundle("a/x.yaml", "x"), TreeOptions{})
				put(t, dir, "a/y.yaml", "mine")
			},
			bundle: bundle("a/x.yaml", "x", "a/y.yaml", "y"),
			want:   []string{"HF502 a/y.yaml"},
		},
		"hand-made file where a folder is needed": {
			prepare: func(t *testing.T, dir string) { put(t, dir, "a/x", "mine") },
			bundle:  bundle("a/x/y.yaml", "x"),
			want:    []string{"HF502 a/x"},
		},
		"hand-made folder where a file is needed": {
			prepare: func(t *testing.T, dir string) { put(t, dir, "a/x/deep/mine", "mine") },
			bundle:  bundle("a/x", "x"),
			want:    []string{"HF502 a/x/deep/mine"},
		},
		"empty folder where a file is needed": {
			prepare: func(t *testing.T, dir string) {
				if err := os.MkdirAll(filepath.Join(dir, "a/x"), 0o755); err != nil {
					t.Fatal(err)
				}
			},
			bundle: bundle("a/x", "x"),
			want:   []string{"HF502 a/x"},
		},
		"hand-made file in a folder of ours that becomes a file": {
			prepare: func(t *testing.T, dir string) {
				mustWrite(t, dir, bundle("a/x/y.yaml", "x"), TreeOptions{})
				put(t, dir, "a/x/mine", "mine")
			},
			bundle: bundle("a/x", "x"),
			want:   []string{"HF502 a/x/mine"},
		},
		"foreign inventory": {
			prepare: func(t *testing.T, dir string) { put(t, dir, "a/.holdfast-inventory", "mine") },
			bundle:  bundle("a/x", "x"),
			want:    []string{"HF502 a/.holdfast-inventory"},
		},
		"sharply smaller": {
			prepare: func(t *testing.T, dir string) { mustWrite(t, dir, bundle(many("a", 11)...), TreeOptions{}) },
			bundle:  bundle(many("a", 8)...),
			want:    []string{"HF503 a"},
		},
		"one folder of two sharply smaller": {
			prepare: func(t *testing.T, dir string) {
				mustWrite(t, dir, bundle(append(many("a", 5), many("b", 50)...)...), TreeOptions{})
			},
			bundle: bundle(append(many("a", 1), many("b", 50)...)...),
			want:   []string{"HF503 a"},
		},
		"empty": {
			prepare: func(t *testing.T, dir string) { mustWrite(t, dir, bundle(many("a", 2)...), TreeOptions{}) },
			want:    []string{"HF503 DIR"},
		},
		"symlink in place of a file": {
			prepare: func(t *testing.T, dir string) { link(t, "../outside", filepath.Join(dir, "a/x.yaml")) },
			bundle:  bundle("a/x.yaml", "x"),
			want:    []string{"HF504 a/x.yaml"},
		},
		"symlink in place of a listed file": {
			prepare: func(t *testing.T, dir string) {
				mustWrite(t, dir, bundle("a/x.yaml", "x", "a/y.yaml", "y"), TreeOptions{})
				link(t, "../outside", filepath.Join(dir, "a/x.yaml"))
				link(t, "../outside", filepath.Join(dir, "a/y.yaml"))
			},
			bundle: bundle("a/x.yaml", "x"),
			want:   []string{"HF504 a/x.yaml", "HF504 a/y.yaml"},
		},
		"symlink in place of a folder": {
			prepare: func(t *testing.T, dir string) { link(t, "..", filepath.Join(dir, "a/apps")) },
			bundle:  bundle("a/apps/x.yaml", "x"),
			want:    []string{"HF504 a/apps"},
		},
		"symlink above a listed file": {
			prepare: func(t *testing.T, dir string) {
				mustWrite(t, dir, bundle("a/apps/x.yaml", "x", "a/y.yaml", "y"), TreeOptions{})
				link(t, "..", filepath.Join(dir, "a/apps"))
			},
			bundle: bundle("a/y.yaml", "y"),
			want:   []string{"HF504 a/apps"},
		},
		"symlink in place of a top-level folder": {
			prepare: func(t *testing.T, dir string) { link(t, "elsewhere", filepath.Join(dir, "a")) },
			bundle:  bundle("a/x.yaml", "x"),
			want:    []string{"HF504 a"},
		},
		"symlink in place of the inventory": {
			prepare: func(t *testing.T, dir string) { link(t, "../x", filepath.Join(dir, "a/.holdfast-inventory")) },
			bundle:  bundle("a/x.yaml", "x"),
			want:    []string{"HF504 a/.holdfast-inventory"},
		},
		"file in place of a top-level folder": {
			prepare: func(t *testing.T, dir string) { put(t, dir, "a", "mine") },
			bundle:  bundle("a/x.yaml", "x"),
			want:    []string{"HF504 a"},
		},
		"inventory that leaves the folder": {
			prepare: func(t *testing.T, dir string) {
				put(t, dir, "victim", "mine")
				put(t, dir, "a/.holdfast-inventory", inventoryComment+"\n../victim\n")
			},
			bundle: bundle("a/x.yaml", "x"),
			want:   []string{"HF504 a/.holdfast-inventory"},
		},
		"secrets in plain text in a Git work tree": {
			prepare: func(t *testing.T, dir string) { put(t, dir, ".git/HEAD", "ref: refs/heads/main") },
			bundle:  bundle("a/secret.yaml", "x"),
			want:    []string{"HF501 DIR"},
		},
		"path that leaves the folder": {
			prepare: func(*testing.T, string) {},
			bundle:  bundle("a/../../x.yaml", "x", "a/y\nz.yaml", "x", "/etc/x", "x", `a\x.yaml`, "x"),
			want:    []string{"HF504 /etc/x", "HF504 a/../../x.yaml", "HF504 a/y\nz.yaml", `HF504 a\x.yaml`},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			outer := t.TempDir()
			dir := filepath.Join(outer, "out")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			tt.prepare(t, dir)
			age(t, dir)
			before := snapshot(t, outer)
			changes, err := WriteTree(t.Context(), dir, tt.bundle, TreeOptions{})
			if err == nil {
				t.Fatalf("no error, changes %v", changes)
			}
			for i, want := range tt.want {
				tt.want[i] = strings.ReplaceAll(want, "DIR", dir)
			}
			if got := rules(t, err); !slices.Equal(got, tt.want) {
				t.Errorf("problems %q, want %q", got, tt.want)
			}
			sameMaps(t, "tree", snapshot(t, outer), before)
		})
	}
}

func TestWriteTreeShrinkLimits(t *testing.T) {
	t.Parallel()
	many := func(n int) (pairs []string) {
		for i := range n {
			pairs = append(pairs, fmt.Sprintf("a/f%02d.yaml", i), "x")
		}
		return pairs
	}
	tests := map[string]struct {
		before, after int
		allow         bool
	}{
		"two of two but one": {before: 3, after: 1},
		"a quarter":          {before: 12, after: 9},
		"allowed":            {before: 12, after: 1, allow: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			mustWrite(t, dir, bundle(many(tt.before)...), TreeOptions{})
			mustWrite(t, dir, bundle(many(tt.after)...), TreeOptions{AllowShrink: tt.allow})
			if got := len(contents(t, dir)); got != tt.after+1 {
				t.Errorf("%d files, want %d", got, tt.after+1)
			}
		})
	}
}

func TestWriteTreeAdoptsEqualFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "a/x.yaml", "x")
	put(t, dir, "a/mine", "mine")
	age(t, dir)
	before := snapshot(t, dir)
	changes := mustWrite(t, dir, bundle("a/x.yaml", "x"), TreeOptions{})
	if want := (Changes{{Path: "a/.holdfast-inventory", Action: Added}}); !reflect.DeepEqual(changes, want) {
		t.Errorf("changes %v, want %v", changes, want)
	}
	after := snapshot(t, dir)
	if after["a/x.yaml"] != before["a/x.yaml"] || after["a/mine"] != before["a/mine"] {
		t.Errorf("from %v to %v", before, after)
	}
}

func TestWriteTreeTightensSecrets(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return
	}
	dir := t.TempDir()
	b := bundle("a/secret.yaml", "s")
	mustWrite(t, dir, b, TreeOptions{})
	if err := os.Chmod(filepath.Join(dir, "a/secret.yaml"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := Changes{{Path: "a/secret.yaml", Action: Changed}}
	if changes := mustWrite(t, dir, b, TreeOptions{}); !reflect.DeepEqual(changes, want) {
		t.Errorf("changes %v, want %v", changes, want)
	}
	if got := snapshot(t, dir)["a/secret.yaml"]; !strings.HasPrefix(got, "-rw-------") {
		t.Errorf("the secret is %s", got)
	}
}

func TestWriteTreeHandChangedFileIsRestored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := bundle("a/x.yaml", "x", "a/y.yaml", "y")
	mustWrite(t, dir, b, TreeOptions{})
	put(t, dir, "a/x.yaml", "xx")
	if err := os.Remove(filepath.Join(dir, "a/y.yaml")); err != nil {
		t.Fatal(err)
	}
	want := Changes{{Path: "a/x.yaml", Action: Changed}, {Path: "a/y.yaml", Action: Added}}
	if changes := mustWrite(t, dir, b, TreeOptions{}); !reflect.DeepEqual(changes, want) {
		t.Errorf("changes %v, want %v", changes, want)
	}
	if got := contents(t, dir); got["a/x.yaml"] != "x" || got["a/y.yaml"] != "y" {
		t.Errorf("tree %v", got)
	}
}

func TestBundleBugs(t *testing.T) {
	t.Parallel()
	tests := map[string]manifest.Bundle{
		"no folder":       bundle("x.yaml", "x"),
		"twice":           bundle("a/x.yaml", "x", "a/x.yaml", "y"),
		"file and folder": bundle("a/x", "x", "a/x/y", "y"),
		"reserved":        bundle("a/.holdfast-inventory", "x"),
		"hidden folder":   bundle(".git/x", "x"),
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := WriteTree(t.Context(), dir, b, TreeOptions{})
			if !errors.As(err, new(problem.Bug)) {
				t.Errorf("error %v", err)
			}
			if _, err := Compare(dir, b); err == nil {
				t.Error("Compare is content")
			}
			if left := contents(t, dir); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

func TestWriteTreeOneAtATime(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		return
	}
	dir := t.TempDir()
	var impatient, interrupted error
	second := make(chan error, 1)
	mustWrite(t, dir, bundle("a/x.yaml", "x"), TreeOptions{testOnlyStep: func(step string) error {
		if step != "sync" {
			return nil
		}
		_, impatient = WriteTree(t.Context(), dir, bundle("a/x.yaml", "y"), TreeOptions{testOnlyLockWait: time.Millisecond})
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("interrupted"))
		_, interrupted = WriteTree(ctx, dir, bundle("a/x.yaml", "y"), TreeOptions{})
		go func() {
			_, err := WriteTree(t.Context(), dir, bundle("b/x.yaml", "y"), TreeOptions{})
			second <- err
		}()
		return nil
	}})
	if impatient == nil || !strings.Contains(impatient.Error(), "another run is writing into "+dir) || !strings.Contains(impatient.Error(), "not done after 1ms") {
		t.Errorf("a run that cannot wait longer says %v", impatient)
	}
	if who := fmt.Sprintf("(process %d, ", os.Getpid()); impatient != nil && !strings.Contains(impatient.Error(), who) {
		t.Errorf("the message does not say who: %v", impatient)
	}
	if interrupted == nil || !strings.Contains(interrupted.Error(), "interrupted") {
		t.Errorf("an interrupted run says %v", interrupted)
	}
	if err := <-second; err != nil {
		t.Errorf("a run that waited says %v", err)
	}
	if got := contents(t, dir); got["a/x.yaml"] != "x" || got["b/x.yaml"] != "y" {
		t.Errorf("tree %v", got)
	}
}

// TestWriteTreeFirstRunsAtOnce: the folder is made by one, and used by all.
func TestWriteTreeFirstRunsAtOnce(t *testing.T) {
	t.Parallel()
	for range 20 {
		dir := filepath.Join(t.TempDir(), "not", "yet")
		results := make(chan error, 8)
		for i := range cap(results) {
			go func() {
				top := fmt.Sprint("i", i)
				b := bundle(top+"/x.yaml", "x")
				if i%2 == 0 { // such a run takes back the folder that it made
					b = bundle("a/../../x", "x")
				}
				_, err := WriteTree(t.Context(), dir, b, TreeOptions{testOnlyNoSync: true})
				if i%2 == 0 && err != nil {
					err = nil
				}
				results <- err
			}()
		}
		for range cap(results) {
			if err := <-results; err != nil {
				t.Fatal(err)
			}
		}
		if got := contents(t, dir); len(got) != cap(results) {
			t.Errorf("%d files, want %d: %v", len(got), cap(results), got)
		}
	}
}

func TestCompareMissingFolder(t *testing.T) {
	t.Parallel()
	changes, err := Compare(filepath.Join(t.TempDir(), "none"), bundle("a/x.yaml", "x"))
	if err != nil {
		t.Fatal(err)
	}
	want := Changes{{Path: "a/.holdfast-inventory", Action: Added}, {Path: "a/x.yaml", Action: Added}}
	if !reflect.DeepEqual(changes, want) {
		t.Errorf("changes %v, want %v", changes, want)
	}
}

// TestCompareNamesHandMadeFiles: for Compare they differ; only WriteTree has to
// refuse.
func TestCompareNamesHandMadeFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "a/x.yaml", "mine")
	changes, err := Compare(dir, bundle("a/x.yaml", "x"))
	if err != nil {
		t.Fatal(err)
	}
	want := Changes{{Path: "a/.holdfast-inventory", Action: Added}, {Path: "a/x.yaml", Action: Changed}}
	if !reflect.DeepEqual(changes, want) {
		t.Errorf("changes %v, want %v", changes, want)
	}
}

// TestCopyFile: what linkOrCopy does where files cannot be linked.
func TestCopyFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "file", "content")
	if err := os.Chmod(filepath.Join(dir, "file"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	age(t, dir)
	for _, name := range []string{"file", "link"} {
		if err := copyFile(filepath.Join(dir, name), filepath.Join(dir, name+"2")); err != nil {
			t.Fatal(err)
		}
	}
	got := snapshot(t, dir)
	if got["file2"] != got["file"] || got["link2"] != got["link"] {
		t.Errorf("copies differ: %v", got)
	}
	if err := linkOrCopy(filepath.Join(dir, "file"), filepath.Join(dir, "link")); err == nil {
		t.Error("an existing file was overwritten")
	}
	if err := copyFile(dir, filepath.Join(dir, "dir2")); err == nil {
		t.Error("a folder was copied as a file")
	}
}

// TestWriteTreeTellsWhenItCannotTakeBack: both errors are told, and the stage,
// which may hold the only copy of something, stays.
func TestWriteTreeTellsWhenItCannotTakeBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	oldTree(t, dir)
	_, err := WriteTree(t.Context(), dir, newBundle(), TreeOptions{AllowShrink: true, testOnlyNoSync: true, testOnlyStep: func(step string) error {
		if step != "swap b" {
			return nil
		}
		// The folder that was swapped already goes away.
		if err := os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "taken")); err != nil {
			return err
		}
		return errors.New("no luck")
	}})
	if err == nil || !strings.Contains(err.Error(), "no luck") || !strings.Contains(err.Error(), "taking it back") {
		t.Errorf("error %v", err)
	}
	stages, err := filepath.Glob(filepath.Join(dir, ".a.holdfast-[0-9]*"))
	if err != nil || len(stages) != 1 {
		t.Errorf("stages %v, %v", stages, err)
	}
}
