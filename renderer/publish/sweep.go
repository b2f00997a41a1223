package publish

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tempPrefix starts the name of a temporary folder, and of the work tree in it;
// os.MkdirTemp adds digits.
const tempPrefix = "holdfast-publish-"

// messageName is the file beside the work tree that has the commit's message.
const messageName = "message"

// errLocked says that another run holds a folder.
var errLocked = errors.New("another run holds this folder")

// isTempName reports whether a folder has a name that newTemp gives.
func isTempName(name string) bool {
	digits, ours := strings.CutPrefix(name, tempPrefix)
	return ours && digits != "" && strings.Trim(digits, "0123456789") == ""
}

// newTemp makes a temporary folder and locks it. Without the lock, another run could
// think that a killed run left it. lock is nil where nothing can be locked.
func newTemp() (temp string, lock *os.File, err error) {
	for {
		if temp, err = os.MkdirTemp("", tempPrefix); err != nil {
			return "", nil, err
		}
		if temp, err = filepath.EvalSymlinks(temp); err != nil {
			return "", nil, err
		}
		if lock, err = tryLock(temp); !errors.Is(err, errLocked) {
			return temp, lock, nil
		}
		// A run that sweeps saw it before it was locked, and removes it.
	}
}

// sweep removes what killed runs left: their temporary folders, and the entries of
// their work trees in this repository, which would keep objects for ever. A run that is
// alive holds a lock on both. Work trees and folders of others are not touched, and an
// error of the removal stops no run.
func (r *Repository) sweep(ctx context.Context, note func(format string, args ...any)) error {
	common, err := r.git.output(ctx, "rev-parse", "--git-common-dir")
	if err != nil {
		return err
	}
	if !filepath.IsAbs(common) {
		common = filepath.Join(r.git.dir, common)
	}
	known := filepath.Join(common, "worktrees")
	temps := map[string]bool{}
	for _, name := range tempsIn(os.TempDir()) {
		temps[filepath.Join(os.TempDir(), name)] = true
	}
	places := map[string]string{}
	for _, name := range tempsIn(known) {
		if temp, ours := tempOf(filepath.Join(known, name)); ours {
			places[name], temps[temp] = temp, true
		}
	}
	for temp := range temps {
		if err := sweepTemp(temp); err != nil {
			note("what a killed run left could not be removed: %v", err)
		}
	}
	for name, temp := range places {
		if _, err := os.Lstat(temp); errors.Is(err, fs.ErrNotExist) {
			if err := removeLocked(filepath.Join(known, name)); err != nil {
				note("what a killed run left could not be removed: %v", err)
			}
		}
	}
	if len(places) > 0 {
		_ = os.Remove(known) //nolint:gosec // as git does it, if it is empty
	}
	return nil
}

// tempsIn lists the folders with names that newTemp gives.
func tempsIn(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // there is nothing to sweep
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() && isTempName(entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	return names
}

// tempOf returns the temporary folder of a work tree, from the repository's entry for
// it. ours is false if it is not where a run of ours puts it.
func tempOf(known string) (temp string, ours bool) {
	name := filepath.Base(known)
	file, err := os.ReadFile(filepath.Join(known, "gitdir")) //nolint:gosec // it is only read as a path
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(file) == 0 {
		// Git was killed before it wrote the path.
		return filepath.Join(os.TempDir(), name), true
	}
	if err != nil {
		return "", false
	}
	tree := filepath.Dir(strings.TrimSpace(string(file))) // of its .git
	temp = filepath.Dir(tree)
	return temp, filepath.IsAbs(temp) && filepath.Base(tree) == name && filepath.Base(temp) == name
}

// sweepTemp removes a temporary folder that no run holds. If it has anything in it that
// no run puts there, it belongs to somebody else and stays.
func sweepTemp(temp string) error {
	entries, err := os.ReadDir(temp)
	if err != nil {
		return nil //nolint:nilerr // it is gone, or another user's
	}
	for _, entry := range entries {
		if name := entry.Name(); name != messageName && name != filepath.Base(temp) {
			return nil
		}
	}
	return removeLocked(temp)
}

// removeLocked removes a folder of ours unless another run holds it.
func removeLocked(dir string) error {
	lock, err := tryLock(dir)
	if err != nil {
		return nil //nolint:nilerr // it is held, or nobody can tell
	}
	return errors.Join(os.RemoveAll(dir), lock.Close()) //nolint:gosec // its name is ours, its owner we, and nobody holds it
}
