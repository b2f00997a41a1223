package emit

import (
	"errors"
	"fmt"
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
	t.Parallel()
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
		if err := os.Chown(filepath.Join(dir, name), uid, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "a/deep/theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the way to it
		t.Fatal(err)
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
	as(t, user, func() {
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
	as(t, user, func() {
		_, err = WriteTree(t.Context(), dir, bundle("a/x.yaml", "newer"), TreeOptions{testOnlyNoSync: true})
	})
	if got := rules(t, err); !slices.Equal(got, []string{"HF504 a/deep"}) || !strings.Contains(err.Error(), "belongs to another user") {
		t.Errorf("error %v", err)
	}
	sameMaps(t, "tree", snapshot(t, dir), unchanged)
}

// as does something in the name of another user, who is in no group of its own.
func as(t *testing.T, uid int, do func()) {
	t.Helper()
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

// TestWriteTreeGivesFoldersBack: folders in which others have files keep owner,
// group and access lists, or nothing is written. One with files of ours alone may
// lose them, but lets in nobody who could not go into it.
func TestWriteTreeGivesFoldersBack(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("only root can give folders to others")
		return
	}
	const user, group = 4711, 2005
	list := func(id byte) string { // rwx for the owner and a user, none for others
		return "\x02\x00\x00\x00" + "\x01\x00\x07\x00\xff\xff\xff\xff" + "\x02\x00\x07\x00" + string([]byte{id, 0, 0, 0}) +
			"\x04\x00\x05\x00\xff\xff\xff\xff" + "\x10\x00\x07\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"
	}
	prepare := func(t *testing.T, others bool) string {
		dir := t.TempDir()
		mustWrite(t, dir, bundle("a/x.yaml", "old", "a/priv/x.yaml", "old"), TreeOptions{testOnlyNoSync: true})
		if others {
			put(t, dir, "a/priv/theirs", "theirs")
		}
		for _, name := range []string{"", "a", "a/priv", "a/x.yaml", "a/priv/x.yaml", "a/" + InventoryName} {
			if err := os.Chown(filepath.Join(dir, name), user, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chown(filepath.Join(dir, "a/priv"), user, group), os.Chmod(filepath.Join(dir, "a/priv"), 0o750|os.ModeSetgid)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	look := func(t *testing.T, dir string) string {
		info, err := os.Lstat(filepath.Join(dir, "a/priv"))
		if err != nil {
			t.Fatal(err)
		}
		stat := info.Sys().(*syscall.Stat_t)
		got := fmt.Sprintf("%v %d:%d", info.Mode(), stat.Uid, stat.Gid)
		for _, name := range []string{"system.posix_acl_access", "system.posix_acl_default"} {
			value := make([]byte, 1024)
			n, err := unix.Lgetxattr(filepath.Join(dir, "a/priv"), name, value)
			got += fmt.Sprintf(" %q", value[:max(n, 0)])
			if err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.EOPNOTSUPP) {
				t.Fatal(err)
			}
		}
		return got
	}
	next := bundle("a/x.yaml", "new", "a/priv/x.yaml", "old")
	t.Run("by root", func(t *testing.T) {
		dir := prepare(t, true)
		for name, id := range map[string]byte{"system.posix_acl_access": 7, "system.posix_acl_default": 8} {
			if err := unix.Lsetxattr(filepath.Join(dir, "a/priv"), name, []byte(list(id)), 0); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
				t.Fatal(err)
			}
		}
		before := look(t, dir)
		mustWrite(t, dir, next, TreeOptions{testOnlyNoSync: true})
		if got := look(t, dir); got != before {
			t.Errorf("it was %s and is %s", before, got)
		}
	})
	t.Run("by a user", func(t *testing.T) {
		dir := prepare(t, true)
		before, unchanged := look(t, dir), snapshot(t, dir)
		var err error
		as(t, user, func() { _, err = WriteTree(t.Context(), dir, next, TreeOptions{testOnlyNoSync: true}) })
		if got := rules(t, err); !slices.Equal(got, []string{"HF504 a/priv"}) || !strings.Contains(err.Error(), "cannot be given to the new one") {
			t.Errorf("error %v", err)
		}
		sameMaps(t, "tree", snapshot(t, dir), unchanged)
		if got := look(t, dir); got != before {
			t.Errorf("it was %s and is %s", before, got)
		}
	})
	t.Run("ours alone", func(t *testing.T) {
		dir := prepare(t, false)
		var err error
		as(t, user, func() { _, err = WriteTree(t.Context(), dir, next, TreeOptions{testOnlyNoSync: true}) })
		if err != nil {
			t.Fatal(err)
		}
		if got, want := look(t, dir), `drwx------ 4711:0 "" ""`; got != want {
			t.Errorf("it is %s, want %s", got, want)
		}
	})
	t.Run("with a list of the folder above", func(t *testing.T) {
		dir := prepare(t, true)
		before := look(t, dir)
		if err := unix.Lsetxattr(dir, "system.posix_acl_default", []byte(list(9)), 0); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
			t.Fatal(err)
		}
		mustWrite(t, dir, next, TreeOptions{testOnlyNoSync: true})
		if got := look(t, dir); got != before {
			t.Errorf("it was %s and is %s", before, got)
		}
	})
}

// TestSweepTrustsOnlyItsUser: what looks like a stage and belongs to another user,
// or whose mark does, stays. A pipe in the place of its records is not waited for.
func TestSweepTrustsOnlyItsUser(t *testing.T) {
	t.Parallel()
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
