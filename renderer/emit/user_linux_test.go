package emit

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWriteTreeWithFilesOfOthers writes as a user who owns the tree, in which
// others have files that this user may neither read nor link.
func TestWriteTreeWithFilesOfOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("only root can make files of other users")
		return
	}
	const user, other = 4711, 4712
	dir := t.TempDir()
	mustWrite(t, dir, bundle("a/x.yaml", "old"), TreeOptions{testOnlyNoSync: true})
	put(t, dir, "a/deep/theirs", "theirs")
	put(t, dir, "a/deep/open", "theirs, for all to read")
	for name, uid := range map[string]int{"": user, "a": user, "a/x.yaml": user, "a/.holdfast-inventory": user, "a/deep": user, "a/deep/theirs": other, "a/deep/open": other} {
		if err := os.Chown(filepath.Join(dir, name), uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "a/deep/theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the way to it
		t.Fatal(err)
	}
	as := func(uid int, do func()) {
		done := make(chan struct{})
		go func() { // its thread ends with it
			defer close(done)
			runtime.LockOSThread()
			if err := unix.Setfsuid(uid); err != nil {
				t.Error(err)
			}
			do()
		}()
		<-done
	}
	theirs := func() (files []os.FileInfo) {
		for _, name := range []string{"a/deep/theirs", "a/deep/open"} {
			info, err := os.Lstat(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, info)
		}
		return files
	}
	var err error
	before := theirs()
	as(user, func() {
		_, err = WriteTree(t.Context(), dir, bundle("a/x.yaml", "new"), TreeOptions{testOnlyNoSync: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, after := range theirs() {
		if !os.SameFile(before[i], after) || after.Sys().(*syscall.Stat_t).Uid != other || after.Mode() != before[i].Mode() {
			t.Errorf("it was %v and is %v", before[i], after)
		}
	}
	if got := contents(t, dir)["a/x.yaml"]; got != "new" {
		t.Errorf("ours is %q", got)
	}
	// A folder that this user may not empty stops the run before anything moves.
	if err := os.Chown(filepath.Join(dir, "a/deep"), other, other); err != nil {
		t.Fatal(err)
	}
	unchanged := snapshot(t, dir)
	as(user, func() {
		_, err = WriteTree(t.Context(), dir, bundle("a/x.yaml", "newer"), TreeOptions{testOnlyNoSync: true})
	})
	if got := rules(t, err); !slices.Equal(got, []string{"HF504 a/deep"}) || !strings.Contains(err.Error(), "belongs to another user") {
		t.Errorf("error %v", err)
	}
	sameMaps(t, "tree", snapshot(t, dir), unchanged)
}

// TestSweepTrustsOnlyItsUser: what looks like a stage and belongs to another user,
// or whose mark does, stays. A pipe in the place of its records is not waited for.
func TestSweepTrustsOnlyItsUser(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".a.holdfast-1", ".a.holdfast-2", ".a.holdfast-3"} {
		put(t, dir, name+"/"+stageMarker, markerText)
		private(t, dir, name)
	}
	if err := unix.Mkfifo(filepath.Join(dir, ".a.holdfast-3", stageRecords), 0o600); err != nil {
		t.Fatal(err)
	}
	keep := []string{".a.holdfast-3"}
	if os.Geteuid() == 0 { // only root can make files of other users
		keep = append(keep, ".a.holdfast-1", ".a.holdfast-2")
		for _, name := range []string{".a.holdfast-1", ".a.holdfast-2/" + stageMarker} {
			if err := os.Chown(filepath.Join(dir, name), 4711, 4711); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustWrite(t, dir, bundle("a/x.yaml", "x"), TreeOptions{testOnlyNoSync: true})
	for _, name := range keep {
		if _, err := os.Lstat(filepath.Join(dir, name, stageMarker)); err != nil {
			t.Error(err)
		}
	}
}
