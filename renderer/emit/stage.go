package emit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// A stage is a folder beside the one it replaces, named ".TOP.holdfast-DIGITS".
// Nobody but its owner may look into it. It holds:
const (
	stageMarker  = ".holdfast-stage" // what says that it is ours: made first, removed last
	stageRecords = "records.json"    // what stood where before the swap
	stageTree    = "tree"            // the new folder before the swap, the old one after it
	stageTaken   = "taken"           // one file of the old folder on its way out
	stageSpare   = "old-"            // and a number: an old file where folders cannot be exchanged
)

const markerText = "# Made by Holdfast while it writes a tree. The next run removes it.\n"

// keptSuffix ends the name of a file that could not keep its own name. A tool that
// applies every .yaml of a folder must not take it for a manifest of the tree.
const keptSuffix = ".holdfast-kept"

// stage is where one folder is made, and where the old one goes.
type stage struct {
	top    string // the folder's name in the tree
	path   string // the stage itself
	target string // the folder of the tree
	// identity is that of the new folder.
	identity uint64
	// swapped says that the new folder stood in the tree, so that somebody may
	// have written into it.
	swapped bool
	// before is what stood in the old folder, staged what was put into the new.
	before, staged records
	// spares are the old files that others made or changed: the name in the stage, and
	// the name in the tree.
	spares map[string]string
}

// records describe files by path, as they were when they were recorded. Paths of
// folders end in "/".
type records map[string]record

type record struct {
	// ID is the file's inode, 0 where there is none.
	ID   uint64 `json:"id"`
	Size int64  `json:"size"`
	// Time is that of the last change, in nanoseconds since 1970.
	Time int64 `json:"time"`
	// Ours says that Holdfast owns the file.
	Ours bool `json:"ours,omitempty"`
}

func recordOf(info fs.FileInfo, ours bool) record {
	return record{ID: identityOf(info), Size: info.Size(), Time: info.ModTime().UnixNano(), Ours: ours}
}

// is reports whether info is the file that was recorded, and unchanged.
func (r record) is(info fs.FileInfo) bool {
	return r.ID == identityOf(info) && r.Size == info.Size() && r.Time == info.ModTime().UnixNano()
}

// savedStage is what a stage's records file holds.
type savedStage struct {
	Identity uint64  `json:"identity"`
	Before   records `json:"before"`
	Staged   records `json:"staged"`
}

func (s *stage) inStage(name string) string {
	return filepath.Join(s.path, stageTree, filepath.FromSlash(name))
}

func (s *stage) at(name string) string { return filepath.Join(s.path, name) }

func (s *stage) inTarget(name string) string {
	return filepath.Join(s.target, filepath.FromSlash(name))
}

// newStage makes an empty stage.
func (w *writing) newStage(f *folder) (*stage, error) {
	at, err := os.MkdirTemp(w.dir, stagePrefix(f.name)+"*")
	if err != nil {
		return nil, err
	}
	s := &stage{top: f.name, path: at, target: f.path, before: records{}, staged: records{}, spares: map[string]string{}}
	w.stages = append(w.stages, s)
	if err := w.step("mark %s", f.name); err != nil {
		return nil, err
	}
	if err := writeNew(s.at(stageMarker), []byte(markerText), secretMode); err != nil {
		return nil, err
	}
	if err := os.Mkdir(s.inStage("."), 0o700); err != nil {
		return nil, err
	}
	info, err := os.Lstat(s.inStage("."))
	if err != nil {
		return nil, err
	}
	s.identity = identityOf(info)
	return s, nil
}

// save writes the records, for the run that comes after a killed one.
func (s *stage) save() error {
	data, err := json.Marshal(savedStage{s.identity, s.before, s.staged})
	if err != nil {
		return err
	}
	return writeNew(s.at(stageRecords), data, secretMode)
}

// findStage returns the stage that a killed run left at this entry, nil if there is
// none: a folder with such a name may be somebody else's, or come with a Git
// repository. The error says why a folder with our marker is not trusted.
func (w *writing) findStage(entry fs.DirEntry) (*stage, error) {
	top, digits, ok := strings.Cut(strings.TrimPrefix(entry.Name(), "."), ".holdfast-")
	if !ok || top == "" || top[0] == '.' || digits == "" || strings.Trim(digits, "0123456789") != "" || entry.Name() != stagePrefix(top)+digits {
		return nil, nil
	}
	s := &stage{top: top, path: filepath.Join(w.dir, entry.Name()), target: filepath.Join(w.dir, top)}
	info, err := os.Lstat(s.path)
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() || !isPrivate(info) {
		return nil, nil
	}
	entries, err := os.ReadDir(s.path)
	if err != nil || len(entries) == 0 {
		return s, err
	}
	marked := false
	for _, inner := range entries {
		switch name := inner.Name(); {
		case name == stageMarker && inner.Type().IsRegular():
			text, err := readOwn(s.at(name), int64(len(markerText)))
			if err != nil {
				return nil, nil //nolint:nilerr // not our mark
			}
			// A killed run may have left it half written, and nothing else yet.
			marked = string(text) == markerText || len(entries) == 1 && strings.HasPrefix(markerText, string(text))
		case name == stageTree && inner.IsDir(), name == stageRecords, name == stageTaken, strings.HasPrefix(name, stageSpare):
		default:
			return nil, nil
		}
	}
	if !marked {
		return nil, nil
	}
	return s, s.load()
}

// maxRecords is how many bytes a stage's records may have.
const maxRecords = 64 << 20

// load reads the records, if the killed run has come far enough to write them.
func (s *stage) load() error {
	data, err := readOwn(s.at(stageRecords), maxRecords)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var saved savedStage
	if json.Unmarshal(data, &saved) != nil {
		return nil //nolint:nilerr // half written: nothing was swapped yet
	}
	for _, all := range []records{saved.Before, saved.Staged} {
		for name := range all {
			// No walk through a folder finds such a name.
			if bare := strings.TrimSuffix(name, "/"); !fs.ValidPath(bare) || !filepath.IsLocal(filepath.FromSlash(bare)) {
				return fmt.Errorf("its %s names %q, which is outside of the folder", stageRecords, name)
			}
		}
	}
	info, err := os.Lstat(s.inStage("."))
	if missing(err) {
		s.swapped = true
		return nil
	}
	if err != nil {
		return err
	}
	s.before, s.staged = saved.Before, saved.Staged
	s.swapped = identityOf(info) != 0
	if identityOf(info) == saved.Identity {
		s.before = s.staged // what stands here is the new folder
	}
	return nil
}

// mayRemove reports whether the file that was at name in the stage's folder may be
// removed: it is recorded and unchanged, or the tree has the same file.
func (s *stage) mayRemove(info fs.FileInfo, name string) bool {
	if !s.swapped {
		return true // nobody else ever wrote there
	}
	if r, ok := s.before[name]; ok && r.is(info) {
		return true
	}
	now, err := os.Lstat(s.inTarget(name))
	return err == nil && os.SameFile(now, info)
}

// rescue moves files into the new folder that others made or changed in the old one
// while this run was writing. It can be rolled back.
func (w *writing) rescue(s *stage, under string) error {
	entries, err := os.ReadDir(s.inStage(under))
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, known := s.before[under+"/"]; len(entries) == 0 && !known && under != "." {
		return ignoreBlocked(w.makeInTarget(s, under))
	}
	for _, entry := range entries {
		name := path.Join(under, entry.Name())
		if entry.IsDir() {
			if err := w.rescue(s, name); err != nil {
				return err
			}
			continue
		}
		info, err := os.Lstat(s.inStage(name))
		if missing(err) {
			continue
		}
		if err != nil {
			return err
		}
		if s.mayRemove(info, name) {
			continue
		}
		if err := w.step("rescue %s/%s", s.top, name); err != nil {
			return err
		}
		if err := w.keep(s, s.inStage(name), name); err != nil {
			return err
		}
	}
	return nil
}

// keep moves a file of somebody else into the tree, to its name. If Holdfast has a file
// there, it is moved beside that one, with a note. If the file is still at from
// afterwards, the caller may remove it. If its owner has moved it meanwhile, nothing is
// left to do.
func (w *writing) keep(s *stage, from, name string) error {
	for range maxTries {
		err := w.keepAt(s, from, name)
		if !missing(err) {
			return err
		}
		if _, gone := os.Lstat(from); missing(gone) {
			return nil
		}
	}
	return fmt.Errorf("somebody keeps moving %s", from)
}

func (w *writing) keepAt(s *stage, from, name string) error {
	if err := w.makeInTarget(s, path.Dir(name)); blocks(err) {
		return w.keepBeside(s, from, name, strings.ReplaceAll(name, "/", "-"))
	} else if err != nil {
		return err
	}
	to := s.inTarget(name)
	err := moveNew(from, to)
	if err == nil {
		w.onRollBack(func() error { return ignoreOthers(moveNew(to, from)) })
	}
	if !blocks(err) {
		return err
	}
	if info, err := os.Lstat(to); err == nil {
		if sameContent(from, to) {
			return nil
		}
		// The linked file is older than what was saved meanwhile.
		if r, ok := s.before[name]; ok && !r.Ours && r.is(info) {
			if err := exchange(from, to); err != nil {
				return err
			}
			w.onRollBack(func() error { return ignoreOthers(exchange(to, from)) })
			out, err := os.Lstat(from)
			if err != nil || r.is(out) {
				return err
			}
		}
	}
	return w.keepBeside(s, from, name, name)
}

// maxName is how many bytes a name may have on every usual file system.
const maxName = 255

// keepBeside keeps a file in the tree. Its name starts with beside, or with as much of
// it as fits.
func (w *writing) keepBeside(s *stage, from, name, beside string) error {
	if err := w.makeInTarget(s, "."); err != nil {
		return err
	}
	dir, base := path.Split(beside)
	for n := 1; ; n++ {
		ending := keptSuffix
		if n > 1 {
			ending = fmt.Sprintf("%s-%d", ending, n)
		}
		if most := maxName - len(ending); len(base) > most {
			base = strings.ToValidUTF8(base[:most], "")
		}
		kept := dir + base + ending
		to := s.inTarget(kept)
		err := moveNew(from, to)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		w.onRollBack(func() error { return ignoreOthers(moveNew(to, from)) })
		w.notes = append(w.notes, fmt.Sprintf("%s was made or changed by somebody else while the tree was written: that version is kept as %s",
			legible(s.top+"/"+name), legible(s.top+"/"+kept)))
		return nil
	}
}

// legible quotes a name that would play tricks on a terminal.
func legible(name string) string {
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

// blocks reports whether err says that another file or folder is at a path.
func blocks(err error) bool {
	return errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR)
}

func ignoreBlocked(err error) error {
	if blocks(err) {
		return nil
	}
	return err
}

// ignoreOthers is for a file that is put back into the old folder. If somebody has
// moved, removed or replaced it meanwhile, it stays in the new folder. When that is
// cleared, it is kept like everything else that others have there.
func ignoreOthers(err error) error {
	if missing(err) || errors.Is(err, syscall.ENOTEMPTY) {
		return nil
	}
	return ignoreBlocked(err)
}

// makeInTarget makes a folder in the tree as it is in the stage.
func (w *writing) makeInTarget(s *stage, name string) error {
	if name != "." {
		// MkdirAll would follow a symlink on the way.
		if err := w.makeInTarget(s, path.Dir(name)); err != nil {
			return err
		}
	}
	at := s.inTarget(name)
	switch info, err := os.Lstat(at); {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("%s: %w", at, syscall.ENOTDIR)
	case !missing(err):
		return err
	}
	if err := os.Mkdir(at, 0o700); errors.Is(err, fs.ErrExist) {
		return nil // somebody else was faster
	} else if err != nil {
		return err
	}
	w.onRollBack(func() error { return ignoreOthers(os.Remove(at)) })
	mode := fs.FileMode(folderMode)
	if info, err := os.Lstat(s.inStage(name)); err == nil {
		mode, _ = copyOwner(s.inStage(name), at, info) // as far as that goes
	}
	return os.Chmod(at, mode|0o200) // somebody writes into it
}

// maxTries is how often a step is tried again after somebody else's change in the same
// folder has undone it.
const maxTries = 100

// clear removes what is in the stage's folder, file by file. Each file is first taken
// out and then checked, because somebody who works in that folder may save into it
// until it is gone.
func (w *writing) clear(s *stage, under string) error {
	for range maxTries {
		info, err := os.Lstat(s.inStage(under))
		if missing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o700 != 0o700 {
			if err := os.Chmod(s.inStage(under), 0o700); err != nil { //nolint:gosec // a folder, to be emptied
				return err
			}
		}
		entries, err := os.ReadDir(s.inStage(under))
		if err != nil {
			return err
		}
		for _, entry := range entries {
			name := path.Join(under, entry.Name())
			if entry.IsDir() {
				err = w.clear(s, name)
			} else {
				err = w.clearFile(s, name)
			}
			if err != nil {
				return err
			}
		}
		if err := w.step("clear %s/%s", s.top, under); err != nil {
			return err
		}
		if err := os.Remove(s.inStage(under)); err == nil || missing(err) {
			return nil
		} else if !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return fmt.Errorf("somebody keeps writing into %s", s.inStage(under))
}

func (w *writing) clearFile(s *stage, name string) error {
	if err := w.step("take %s/%s", s.top, name); err != nil {
		return err
	}
	taken := s.at(stageTaken)
	if err := os.Rename(s.inStage(name), taken); err != nil {
		if missing(err) {
			return nil
		}
		return err
	}
	if err := w.step("clear %s/%s", s.top, name); err != nil {
		return err
	}
	info, err := os.Lstat(taken)
	if err != nil {
		return err
	}
	if !s.mayRemove(info, name) {
		if err := w.keep(s, taken, name); err != nil {
			return err
		}
	}
	return removeIfThere(taken)
}

// removeStage removes a stage and keeps files of others. The marker goes last.
func (w *writing) removeStage(s *stage) error {
	if err := w.removeTaken(s); err != nil {
		return err
	}
	if s.swapped {
		if err := w.rescue(s, "."); err != nil {
			return err
		}
	}
	if err := w.clear(s, "."); err != nil {
		return err
	}
	entries, err := os.ReadDir(s.path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), stageSpare) {
			continue
		}
		spare := s.at(entry.Name())
		if err := w.step("clear %s/%s", s.top, entry.Name()); err != nil {
			return err
		}
		if name, ok := s.spares[entry.Name()]; ok {
			if err := w.keep(s, spare, name); err != nil {
				return err
			}
		}
		if err := removeIfThere(spare); err != nil {
			return err
		}
	}
	for _, name := range []string{stageRecords, stageMarker, "."} {
		if err := w.step("clear %s %s", s.top, name); err != nil {
			return err
		}
		if err := removeIfThere(s.at(name)); err != nil {
			return err
		}
	}
	return nil
}

// removeTaken is for the file that a killed run had taken out and not yet removed. Its
// name is known only if it is recorded.
func (w *writing) removeTaken(s *stage) error {
	taken := s.at(stageTaken)
	info, err := os.Lstat(taken)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if s.swapped {
		at := "recovered"
		for name, r := range s.before {
			if r.ID == identityOf(info) && r.ID != 0 && !strings.HasSuffix(name, "/") {
				at = name
			}
		}
		if !s.mayRemove(info, at) {
			if err := w.keep(s, taken, at); err != nil {
				return err
			}
		}
	}
	return removeIfThere(taken)
}

func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !missing(err) {
		return err
	}
	return nil
}

// sameContent reports whether two regular files hold the same bytes. It is false if one
// cannot be read.
func sameContent(a, b string) bool {
	one, err := os.Lstat(a)
	if err != nil || !one.Mode().IsRegular() {
		return false
	}
	other, err := os.Lstat(b)
	if err != nil || !other.Mode().IsRegular() || one.Size() != other.Size() {
		return false
	}
	first, err := os.ReadFile(a)
	if err != nil {
		return false
	}
	second, err := os.ReadFile(b)
	return err == nil && bytes.Equal(first, second)
}

// recordOld records what is in the old folder. It refuses what cannot be moved, while
// everything is still as it was. Files of others are recorded when they are linked; a
// file that is not recorded is moved after the swap.
func (w *writing) recordOld(s *stage, f *folder) error {
	return filepath.WalkDir(f.path, func(at string, entry fs.DirEntry, err error) error {
		if missing(err) {
			return nil // somebody removed it
		}
		name, relErr := filepath.Rel(f.path, at)
		if relErr != nil {
			return relErr
		}
		name = filepath.ToSlash(name)
		if errors.Is(err, fs.ErrPermission) {
			return foreignFolder(path.Join(f.name, name))
		}
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if missing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if !mayEmpty(at, info) {
				return foreignFolder(path.Join(f.name, name))
			}
			s.before[name+"/"] = recordOf(info, false)
			return nil
		}
		if f.actions[name] != Added && (f.isWanted[name] || f.listed[name]) {
			s.before[name] = recordOf(info, true)
		}
		return nil
	})
}

// leftStages returns the stages that killed runs left, also those of instances
// that are not in this run.
func (w *writing) leftStages() ([]*stage, error) {
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return nil, err
	}
	var left []*stage
	for _, entry := range entries {
		s, err := w.findStage(entry)
		if err != nil {
			w.leave(entry.Name(), err)
			continue
		}
		if s != nil {
			left = append(left, s)
		}
	}
	return left, nil
}

// leave notes that a folder stays which an earlier run left, or seems to have left.
func (w *writing) leave(name string, why error) {
	w.notes = append(w.notes, fmt.Sprintf("%s looks like what an earlier run left and stays, look at it and remove it: %s", legible(name), legible(why.Error())))
}

// readOwn reads a regular file that belongs to this user and has at most limit
// bytes.
func readOwn(name string, limit int64) (data []byte, err error) {
	// Lstat comes first, because opening a device may have an effect.
	info, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || !isOwn(info) {
		return nil, fmt.Errorf("%s is no file of this user", name)
	}
	f, err := openNoFollow(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	if now, err := f.Stat(); err != nil || !os.SameFile(info, now) {
		return nil, errors.Join(fmt.Errorf("%s was exchanged", name), err)
	}
	data, err = io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	return data, err
}

// readAtMost reads a file's first bytes.
func readAtMost(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	return io.ReadAll(io.LimitReader(f, limit))
}

// changedFolder refuses a folder that cannot be made anew with the same owner and
// access.
func changedFolder(name string) error {
	return problem.List{{Pointer: name, Rule: ruleUnsafe, Message: "others have files in this folder, and its owner, group or access list cannot be given to the new one that takes its place",
		Hint: "give the folder to the user who runs Holdfast and to a group of that user, or move it out of the tree"}}
}

func foreignFolder(name string) error {
	return problem.List{{Pointer: name, Rule: ruleUnsafe, Message: "this folder belongs to another user and may not be changed, so that what is in it cannot be kept",
		Hint: "give it to the user who runs Holdfast, or move it out of the tree"}}
}
