package emit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

const (
	fileMode   = 0o644
	secretMode = 0o600
	folderMode = 0o755
)

// TreeOptions are the choices of WriteTree.
type TreeOptions struct {
	// AllowShrink lets more than a quarter of a folder's files vanish.
	AllowShrink bool
	// NoSweep does not look for what a killed run left: in a fresh checkout there is
	// nothing.
	NoSweep bool
	// Note gets one line of text for each file of somebody else that could not keep its
	// name, and for each folder of a killed run that stays. It may be nil.
	Note func(text string)

	// testOnlyStep is called before each step; its error fails that step.
	testOnlyStep func(step string) error
	// testOnlyPerFile makes WriteTree behave as if folders could not be exchanged here.
	testOnlyPerFile bool
	// testOnlyNoSync saves a test with many runs the wait for the disk.
	testOnlyNoSync bool
	// testOnlyLockWait is how long to wait for another run, if it is not 0.
	testOnlyLockWait time.Duration
}

// WriteTree makes the tree in dir equal to b and returns what it did. It compares
// first, and touches nothing when nothing differs. Otherwise it stages every folder
// that differs, as a whole, beside the one it replaces, and then swaps them. When a
// step fails, everything is as it was before. There is one exception: when the old
// files cannot be removed at the very end, the new ones stay, and the error says so.
// What a killed run leaves, the next run of the same user removes.
//
// It waits for other runs that write into dir, 10 seconds or until ctx ends.
//
// It removes only files that an inventory lists. A file that somebody else makes or
// saves in the tree meanwhile is kept under its name. If Holdfast has a file of that
// name, it is kept beside it with ".holdfast-kept" at the end, and o.Note hears of it.
//
// It returns a problem.List and changes nothing when
//
//   - a file that no inventory lists is in the way (HF502),
//   - the tree would shrink sharply (HF503),
//   - a symlink leads elsewhere, a folder belongs to another user, or a folder has
//     files of others and cannot be made anew with its owner, group and access
//     lists (HF504),
//   - secrets in plain text would go into a Git work tree (HF501).
//
// Files have mode 0644, those with plain-text secrets 0600.
func WriteTree(ctx context.Context, dir string, b manifest.Bundle, o TreeOptions) (Changes, error) {
	if len(b.Files) == 0 && !o.AllowShrink {
		return nil, problem.List{{Pointer: dir, Message: "there is nothing to write: the new tree is empty", Rule: ruleShrink}}
	}
	if err := refuseSecretsInGit(ctx, dir, b); err != nil {
		return nil, err
	}
	place, _, err := resolve(dir)
	if err != nil {
		return nil, err
	}
	w := &writing{dir: place, options: o}
	defer w.reportNotes()
	unlock, err := w.lockRoot(ctx)
	if err != nil {
		return nil, w.rollBack(err)
	}
	defer unlock()
	t, err := compareTree(place, b)
	if err != nil {
		return nil, w.rollBack(err)
	}
	if problems := append(t.inTheWay, t.shrinking(o)...); len(problems) > 0 {
		return nil, w.rollBack(problems.Sorted())
	}
	if !o.NoSweep {
		if err := w.sweep(t); err != nil {
			return nil, err
		}
	}
	changes := t.changes()
	if len(changes) == 0 {
		return nil, nil
	}
	if err := w.replace(t); err != nil {
		return nil, fmt.Errorf("writing the tree: %w", w.rollBack(err))
	}
	if err := w.removeOld(); err != nil {
		return changes, fmt.Errorf("the tree is written, but its old files could not be removed: %w", err)
	}
	return changes, nil
}

// shrinking finds folders of which too much would vanish.
func (t *comparedTree) shrinking(o TreeOptions) problem.List {
	var problems problem.List
	for _, f := range t.folders {
		removed := 0
		for _, action := range f.actions {
			if action == Removed {
				removed++
			}
		}
		if removed >= 3 && removed*4 > len(f.listed) && !o.AllowShrink {
			problems = append(problems, problem.Problem{Pointer: f.name, Rule: ruleShrink,
				Message: fmt.Sprintf("%d of %d files would vanish", removed, len(f.listed)),
				Hint:    "use --allow-shrink when this is meant"})
		}
	}
	return problems
}

// writing is one run of WriteTree, and how to take it back.
type writing struct {
	dir     string
	options TreeOptions
	// roots are the tree's folder and those above it that this run made.
	roots []string
	// stages are the folders beside the tree's that this run made.
	stages []*stage
	// undo are the steps that take back what was done to the tree itself, the last one
	// first.
	undo []func() error
	// notes are what the user should know though nothing failed, swept those of
	// what earlier runs left.
	notes, swept []string
}

// reportNotes passes on the notes. It runs at the end, because a run that is rolled
// back has nothing to report.
func (w *writing) reportNotes() {
	if w.options.Note == nil {
		return
	}
	for _, note := range slices.Concat(w.swept, w.notes) {
		w.options.Note(note)
	}
}

func (w *writing) step(format string, args ...any) error {
	if w.options.testOnlyStep == nil {
		return nil
	}
	return w.options.testOnlyStep(fmt.Sprintf(format, args...))
}

func (w *writing) onRollBack(undo func() error) { w.undo = append(w.undo, undo) }

// rollBack takes back what this run did because of cause.
func (w *writing) rollBack(cause error) error {
	for _, undo := range slices.Backward(w.undo) {
		if err := undo(); err != nil {
			// The stage may hold the only copy of a file, so it stays.
			return errors.Join(cause, fmt.Errorf("taking it back: %w", err))
		}
	}
	w.undo, w.notes = nil, nil
	for _, s := range w.stages {
		s.before = s.staged // it holds the new folder again
		if err := w.removeStage(s); err != nil {
			return errors.Join(cause, fmt.Errorf("taking it back: %w", err))
		}
	}
	for _, at := range slices.Backward(w.roots) {
		// Another run may have put its tree there meanwhile.
		if err := os.Remove(at); err != nil && !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, fs.ErrExist) && !missing(err) {
			return errors.Join(cause, fmt.Errorf("taking it back: %w", err))
		}
	}
	return cause
}

// stagePrefix starts the name of a stage; os.MkdirTemp adds digits.
func stagePrefix(top string) string { return "." + top + ".holdfast-" }

// sweep removes what killed runs left behind. If something cannot be removed, only a
// run that writes the same folder stops.
func (w *writing) sweep(t *comparedTree) error {
	left, err := w.leftStages()
	if err != nil {
		return fmt.Errorf("looking for what an earlier run left: %w", err)
	}
	for _, s := range left {
		err := w.step("sweep %s", s.top)
		if err == nil {
			err = w.removeStage(s)
		}
		w.undo = nil // what was kept there is not taken back
		if err == nil {
			continue
		}
		if slices.ContainsFunc(t.folders, func(f *folder) bool { return f.name == s.top }) {
			return fmt.Errorf("removing what an earlier run left: %w", err)
		}
		w.leave(filepath.Base(s.path), err)
	}
	w.swept, w.notes = w.notes, nil // nor is it untrue when this run fails
	return nil
}

// lockWait is how long a run waits for another that writes into the same folder.
const lockWait = 10 * time.Second

// lockRoot makes the tree's folder if it is missing and waits for other runs
// that write into it.
func (w *writing) lockRoot(ctx context.Context) (unlock func(), err error) {
	patience := cmp.Or(w.options.testOnlyLockWait, lockWait)
	for {
		if err := w.makeRoot(); err != nil {
			return nil, err
		}
		unlock, same, err := Lock(ctx, w.dir, patience)
		if err != nil {
			return nil, err
		}
		if same {
			return unlock, nil
		}
		unlock() // the run before made the folder and took it back
	}
}

// replace stages all folders that differ, and swaps them when all are staged.
func (w *writing) replace(t *comparedTree) error {
	stages := map[string]*stage{}
	var paths []string
	for _, f := range t.folders {
		if len(f.actions) == 0 {
			continue
		}
		s, err := w.stage(f)
		if err != nil {
			return err
		}
		stages[f.name] = s
		paths = append(paths, s.path)
	}
	if err := w.step("sync"); err != nil {
		return err
	}
	if !w.options.testOnlyNoSync {
		if err := syncFiles(w.dir, paths); err != nil {
			return err
		}
	}
	for _, f := range t.folders {
		if s, ok := stages[f.name]; ok {
			if err := w.swap(f, s); err != nil {
				return err
			}
		}
	}
	for _, f := range t.folders {
		if s, ok := stages[f.name]; ok && s.swapped {
			if err := w.rescue(s, "."); err != nil {
				return err
			}
		}
	}
	return w.step("done")
}

// makeRoot makes the tree's folder and what is missing above it.
func (w *writing) makeRoot() error {
	var missing []string
	for at := w.dir; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(at); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		missing = append(missing, at)
	}
	for _, at := range slices.Backward(missing) {
		if err := w.step("make %s", filepath.Base(at)); err != nil {
			return err
		}
		if err := os.Mkdir(at, folderMode); errors.Is(err, fs.ErrExist) {
			continue // another run was faster
		} else if err != nil {
			return err
		}
		w.roots = append(w.roots, at)
	}
	return nil
}

// stage makes a complete new copy of f beside it. A file that does not change is
// linked, so it stays the same file with the same times.
func (w *writing) stage(f *folder) (*stage, error) {
	if err := w.step("stage %s", f.name); err != nil {
		return nil, err
	}
	made, err := w.newStage(f)
	if err != nil {
		return nil, err
	}
	s := staging{writing: w, folder: f, stage: made, made: map[string]fs.FileMode{}, others: map[string]bool{}}
	if f.exists {
		if err := w.recordOld(made, f); err != nil {
			return nil, err
		}
	}
	for _, file := range f.wanted {
		if err := s.file(file); err != nil {
			return nil, err
		}
	}
	if f.exists {
		if err := s.keepOthers("."); err != nil {
			return nil, err
		}
	}
	if err := s.setModes(); err != nil {
		return nil, err
	}
	if err := w.step("save %s", f.name); err != nil {
		return nil, err
	}
	return made, made.save()
}

// staging is one folder while it is staged.
type staging struct {
	*writing
	folder *folder
	stage  *stage
	// made are the folders made so far and the modes they get.
	made map[string]fs.FileMode
	// others are the folders in which others have something.
	others map[string]bool
}

func (s *staging) oldPath(name string) string {
	return filepath.Join(s.folder.path, filepath.FromSlash(name))
}
func (s *staging) newPath(name string) string { return s.stage.inStage(name) }

// note records what was put into the new folder.
func (s *staging) note(name string, ours bool) error {
	info, err := os.Lstat(s.newPath(name))
	if err == nil {
		s.stage.staged[name] = recordOf(info, ours)
	}
	return err
}

func (s *staging) file(file manifest.File) error {
	if err := s.step("file %s/%s", s.folder.name, file.Path); err != nil {
		return err
	}
	if err := s.makeFolder(path.Dir(file.Path)); err != nil {
		return err
	}
	if s.folder.actions[file.Path] == "" {
		if err := linkOrCopy(s.oldPath(file.Path), s.newPath(file.Path)); err != nil {
			return err
		}
		return s.note(file.Path, true)
	}
	mode := fs.FileMode(fileMode)
	if file.Secret {
		mode = secretMode
	}
	if err := writeNew(s.newPath(file.Path), file.Data, mode); err != nil {
		return err
	}
	return s.note(file.Path, true)
}

// makeFolder makes a folder in the stage. setModes gives it the owner and mode of the
// old one.
func (s *staging) makeFolder(name string) error {
	if _, ok := s.made[name]; ok || name == "." {
		return nil
	}
	if err := s.makeFolder(path.Dir(name)); err != nil {
		return err
	}
	s.made[name] = folderMode
	s.stage.staged[name+"/"] = record{}
	return os.Mkdir(s.newPath(name), 0o700)
}

func folderBits(mode fs.FileMode) fs.FileMode {
	return mode & (fs.ModePerm | fs.ModeSetgid | fs.ModeSticky)
}

// markOthers notes that others have something in a folder.
func (s *staging) markOthers(name string) {
	for ; !s.others[name]; name = path.Dir(name) {
		s.others[name] = true
	}
}

// setModes gives folders their owners and modes, inner ones first. It comes last,
// because a folder without write permission could not be filled.
func (s *staging) setModes() error {
	s.made["."] = folderMode
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(s.made))) {
		mode := s.made[name]
		if info, err := os.Lstat(s.oldPath(name)); err == nil && info.IsDir() {
			var same bool
			if mode, same = copyOwner(s.oldPath(name), s.newPath(name), info); !same && s.others[name] {
				return changedFolder(path.Join(s.folder.name, name))
			}
		}
		if err := os.Chmod(s.newPath(name), mode); err != nil {
			return err
		}
	}
	return nil
}

// keepOthers links files of others from the old folder into the new one. Files that
// cannot be linked, such as those of other users, are moved after the swap: a copy
// would have another owner.
func (s *staging) keepOthers(under string) error {
	entries, err := os.ReadDir(s.oldPath(under))
	if missing(err) {
		return nil // somebody removed it
	}
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		s.markOthers(under)
		return s.makeFolder(under)
	}
	for _, entry := range entries {
		name := path.Join(under, entry.Name())
		switch {
		case s.folder.isWanted[name]:
			// The new file is there already. If the old one is a folder, the comparison
			// has made sure that no file of others is in it.
		case entry.IsDir():
			if err := s.keepOthers(name); err != nil {
				return err
			}
		case !s.folder.listed[name]:
			if err := s.step("keep %s/%s", s.folder.name, name); err != nil {
				return err
			}
			s.markOthers(path.Dir(name))
			if err := s.makeFolder(path.Dir(name)); err != nil {
				return err
			}
			if err := s.keepOther(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *staging) keepOther(name string) error {
	info, err := os.Lstat(s.oldPath(name))
	if missing(err) {
		return nil // gone meanwhile
	}
	if err != nil {
		return err
	}
	if os.Link(s.oldPath(name), s.newPath(name)) != nil {
		return nil //nolint:nilerr // it is moved later
	}
	s.stage.before[name] = recordOf(info, false)
	return s.note(name, false)
}

// writeNew writes a file that does not exist yet. The mode does not depend on
// the caller's umask.
func writeNew(name string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, secretMode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if mode != secretMode {
		err = errors.Join(err, f.Chmod(mode))
	}
	return errors.Join(err, f.Close())
}

// moveIfFree does what moveNew does, in two steps, where the system has no single one.
func moveIfFree(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(from, to)
}

// linkOrCopy makes the file at from appear at to as well: as a link, or as a copy if
// the file system has no links.
func linkOrCopy(from, to string) error {
	linkErr := os.Link(from, to)
	if linkErr == nil {
		return nil
	}
	if err := copyFile(from, to); err != nil {
		return errors.Join(linkErr, err)
	}
	return nil
}

// copyFile copies a file with its mode and times, or a symlink.
func copyFile(from, to string) error {
	info, err := os.Lstat(from)
	switch {
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is a special file and cannot be copied", from)
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := writeNew(to, data, info.Mode().Perm()); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}

// swap puts a staged folder in its place.
func (w *writing) swap(f *folder, s *stage) error {
	if err := w.step("swap %s", f.name); err != nil {
		return err
	}
	if !f.exists {
		if err := moveNew(s.inStage("."), f.path); err != nil {
			return err
		}
		s.swapped = true
		w.onRollBack(func() error { return moveNew(f.path, s.inStage(".")) })
		return nil
	}
	err := errNoExchange
	if !w.options.testOnlyPerFile {
		err = exchange(s.inStage("."), f.path)
	}
	if errors.Is(err, errNoExchange) {
		return w.swapFiles(f, s)
	}
	if err != nil {
		return err
	}
	s.swapped = true
	w.onRollBack(func() error { return exchange(s.inStage("."), f.path) })
	return nil
}

// swapFiles is swap where folders cannot be exchanged: file by file, removals
// last. A killed run leaves a mix of old and new files, all of them whole; the
// inventory lists both meanwhile, so that the next run can finish it.
func (w *writing) swapFiles(f *folder, stage *stage) error {
	s := fileSwap{writing: w, folder: f, stage: stage}
	var put, remove, early []string
	for name, action := range f.actions {
		switch {
		case action != Removed && name != InventoryName:
			put = append(put, name)
		case action == Removed && s.blocks(name):
			early = append(early, name)
		case action == Removed:
			remove = append(remove, name)
		}
	}
	slices.Sort(put)
	slices.Sort(remove)
	slices.Sort(early)

	both := maps.Clone(f.listed)
	maps.Copy(both, f.isWanted)
	delete(both, InventoryName)
	if err := s.putInventory(inventory(slices.Collect(maps.Keys(both)))); err != nil {
		return err
	}
	for _, name := range early {
		if err := s.remove(name); err != nil {
			return err
		}
	}
	for _, name := range put {
		if err := s.put(name); err != nil {
			return err
		}
	}
	for _, name := range remove {
		if err := s.remove(name); err != nil {
			return err
		}
	}
	for _, file := range f.wanted {
		if file.Path == InventoryName {
			return s.putInventory(file.Data)
		}
	}
	return nil
}

// fileSwap moves files of a stage into a folder, one at a time.
type fileSwap struct {
	*writing
	folder *folder
	stage  *stage
	saved  int
}

// blocks reports whether the old file at name prevents a new one: a new folder has the
// file's name, or a new file has the name of a folder above it.
func (s *fileSwap) blocks(name string) bool {
	for up := path.Dir(name); up != "."; up = path.Dir(up) {
		if s.folder.isWanted[up] {
			return true
		}
	}
	for wanted := range s.folder.isWanted {
		if strings.HasPrefix(wanted, name+"/") {
			return true
		}
	}
	return false
}

func (s *fileSwap) diskPath(name string) string {
	return filepath.Join(s.folder.path, filepath.FromSlash(name))
}

// spare returns an unused path in the stage, which is removed in the end.
func (s *fileSwap) spare() string {
	s.saved++
	return s.stage.at(stageSpare + strconv.Itoa(s.saved))
}

// saving remembers the spare of a file that somebody changed since the tree was
// compared. What is changed in the moment between a look and a rename is lost:
// only where folders can be exchanged there is no such moment.
func (s *fileSwap) saving(spare, name string, info fs.FileInfo) {
	if r, ok := s.stage.before[name]; name != InventoryName && (!ok || !r.is(info)) {
		s.stage.spares[filepath.Base(spare)] = name
	}
}

func (s *fileSwap) put(name string) error {
	if err := s.makeFolders(path.Dir(name)); err != nil {
		return err
	}
	return s.move(s.stage.inStage(name), name)
}

func (s *fileSwap) putInventory(data []byte) error {
	from := s.spare()
	if err := writeNew(from, data, fileMode); err != nil {
		return err
	}
	return s.move(from, InventoryName)
}

// move renames from, which is in the stage, to name.
func (s *fileSwap) move(from, name string) error {
	if err := s.step("put %s/%s", s.folder.name, name); err != nil {
		return err
	}
	to, old := s.diskPath(name), s.spare()
	info, err := os.Lstat(to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.Rename(from, to); err != nil {
			return err
		}
		s.onRollBack(func() error { return os.Remove(to) })
		return nil
	case err != nil:
		return err
	}
	if err := linkOrCopy(to, old); err != nil {
		return err
	}
	s.saving(old, name, info)
	if err := os.Rename(from, to); err != nil {
		return err
	}
	s.onRollBack(func() error { return os.Rename(old, to) })
	return nil
}

func (s *fileSwap) makeFolders(name string) error {
	if name == "." {
		return nil
	}
	if err := s.makeFolders(path.Dir(name)); err != nil {
		return err
	}
	at := s.diskPath(name)
	if _, err := os.Lstat(at); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Mkdir(at, folderMode); err != nil {
		return err
	}
	s.onRollBack(func() error { return os.Remove(at) })
	return os.Chmod(at, folderMode)
}

// remove takes the file at name away, and the folders that are empty then.
func (s *fileSwap) remove(name string) error {
	if err := s.step("remove %s/%s", s.folder.name, name); err != nil {
		return err
	}
	from, old := s.diskPath(name), s.spare()
	if err := os.Rename(from, old); err != nil {
		return err
	}
	s.onRollBack(func() error { return os.Rename(old, from) })
	info, err := os.Lstat(old)
	if err != nil {
		return err
	}
	s.saving(old, name, info)
	for up := path.Dir(name); up != "."; up = path.Dir(up) {
		at := s.diskPath(up)
		info, err := os.Lstat(at)
		if err != nil {
			return err
		}
		if err := os.Remove(at); err != nil {
			return nil //nolint:nilerr // not empty, so it stays
		}
		s.onRollBack(func() error {
			return errors.Join(os.Mkdir(at, folderMode), os.Chmod(at, folderBits(info.Mode())))
		})
	}
	return nil
}

// removeOld removes what the swaps left in the stages.
func (w *writing) removeOld() error {
	for _, s := range w.stages {
		if err := w.step("clean %s", s.top); err != nil {
			return err
		}
		if err := w.removeStage(s); err != nil {
			return err
		}
	}
	return nil
}
