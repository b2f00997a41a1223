package emit

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// InventoryName is the file in each top-level folder of a tree that lists what
// Holdfast wrote there: a comment line, then one path per line, sorted. It
// holds no digests: the digest of a plain-text secret is a guessable leak.
const InventoryName = ".holdfast-inventory"

const inventoryComment = "# Written by Holdfast: the files of this folder that it owns. All others are left alone."

// Rules of this package; see package problem.
const (
	ruleInGit    = "HF501"
	ruleHandMade = "HF502"
	ruleShrink   = "HF503"
	ruleUnsafe   = "HF504"
)

// Action is what a run does to a file.
type Action string

// The actions.
const (
	Added   Action = "added"
	Changed Action = "changed"
	Removed Action = "removed"
)

// Change is one file that differs between a tree and a bundle.
type Change struct {
	// Path is relative to the tree's root, with forward slashes.
	Path string `json:"path"`
	// Action is Added, Changed or Removed. A file that the inventory lists and that
	// somebody changed by hand is Changed.
	Action Action `json:"action"`
	// LineEnds says that the file differs only because its lines end in CRLF. Git
	// checks files out like that if core.autocrlf or eol asks for it. Only Diff sets
	// it.
	LineEnds bool `json:"-"`
}

// Changes are sorted by path. The empty list means that the tree is as rendered.
type Changes []Change

// Compare returns what WriteTree would do to the tree in dir, and writes nothing. The
// error is a problem.List if the tree cannot be compared safely (HF504).
func Compare(dir string, b manifest.Bundle) (Changes, error) {
	t, err := compareTree(dir, b)
	if err != nil {
		return nil, err
	}
	return t.changes(), nil
}

// comparedTree is a bundle beside what is on disk.
type comparedTree struct {
	dir     string // absolute, without symlinks
	exists  bool
	folders []*folder
	// inTheWay are files that a run would overwrite although no inventory lists them.
	inTheWay problem.List
}

// folder is one top-level folder of a tree. All its paths are relative to it.
type folder struct {
	name   string
	path   string // on disk
	exists bool
	mode   fs.FileMode
	// wanted are the files that Holdfast owns in the folder, the inventory included.
	wanted []manifest.File
	// isWanted has the paths of wanted.
	isWanted map[string]bool
	// listed is what the inventory on disk says.
	listed map[string]bool
	// actions has the path of every file that differs.
	actions map[string]Action
}

func (t *comparedTree) changes() Changes {
	var changes Changes
	for _, f := range t.folders {
		for name, action := range f.actions {
			changes = append(changes, Change{Path: f.name + "/" + name, Action: action})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	return changes
}

// compareTree reads the disk and changes nothing. The error is a problem.List if the
// tree is not safe to read or to write to.
func compareTree(dir string, b manifest.Bundle) (*comparedTree, error) {
	folders, err := split(b)
	if err != nil {
		return nil, err
	}
	t := &comparedTree{folders: folders}
	if t.dir, t.exists, err = resolve(dir); err != nil {
		return nil, err
	}
	var unsafe problem.List
	for _, f := range folders {
		f.path = filepath.Join(t.dir, f.name)
		c := comparison{folder: f, modes: map[string]fs.FileMode{}}
		if err := c.run(); err != nil {
			return nil, fmt.Errorf("comparing the tree: %w", err)
		}
		unsafe = append(unsafe, c.unsafe...)
		t.inTheWay = append(t.inTheWay, c.inTheWay...)
	}
	if len(unsafe) > 0 {
		return nil, unsafe.Sorted()
	}
	t.inTheWay = t.inTheWay.Sorted()
	return t, nil
}

// Files returns all files of a tree that WriteTree makes of b, the inventories
// included, sorted by path.
func Files(b manifest.Bundle) ([]manifest.File, error) {
	folders, err := split(b)
	if err != nil {
		return nil, err
	}
	var files []manifest.File
	for _, f := range folders {
		for _, file := range f.wanted {
			file.Path = f.name + "/" + file.Path
			files = append(files, file)
		}
	}
	return files, nil
}

// split sorts the files of b into top-level folders and adds the inventories.
func split(b manifest.Bundle) ([]*folder, error) {
	var unsafe problem.List
	byName := map[string]*folder{}
	var folders []*folder
	for _, file := range b.Files {
		if !safePath(file.Path) {
			unsafe = append(unsafe, problem.Problem{Pointer: file.Path, Rule: ruleUnsafe,
				Message: "this path of the bundle would leave the folder or is not portable"})
			continue
		}
		top, name, ok := strings.Cut(file.Path, "/")
		if !ok {
			return nil, problem.Bugf("the bundle's file %q is in no folder", file.Path)
		}
		if strings.HasPrefix(top, ".") || slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool { return strings.HasPrefix(part, ".holdfast-") }) {
			return nil, problem.Bugf("the bundle's file %q has a reserved name", file.Path)
		}
		f := byName[top]
		if f == nil {
			f = &folder{name: top, isWanted: map[string]bool{}, actions: map[string]Action{}}
			byName[top] = f
			folders = append(folders, f)
		}
		if f.isWanted[name] {
			return nil, problem.Bugf("the bundle has %q twice", file.Path)
		}
		f.isWanted[name] = true
		f.wanted = append(f.wanted, manifest.File{Path: name, Data: file.Data, Secret: file.Secret})
	}
	if len(unsafe) > 0 {
		return nil, unsafe.Sorted()
	}
	for _, f := range folders {
		names := make([]string, 0, len(f.wanted))
		for _, file := range f.wanted {
			names = append(names, file.Path)
			for up := path.Dir(file.Path); up != "."; up = path.Dir(up) {
				if f.isWanted[up] {
					return nil, problem.Bugf("the bundle's %q is a file and a folder", f.name+"/"+up)
				}
			}
		}
		f.isWanted[InventoryName] = true
		f.wanted = append(f.wanted, manifest.File{Path: InventoryName, Data: inventory(names)})
		slices.SortFunc(f.wanted, func(a, b manifest.File) int { return cmp.Compare(a.Path, b.Path) })
	}
	slices.SortFunc(folders, func(a, b *folder) int { return cmp.Compare(a.name, b.name) })
	return folders, nil
}

// safePath reports whether name stays inside the folder it is joined to and
// fits on a line of an inventory.
func safePath(name string) bool {
	return fs.ValidPath(name) && name != "." && !strings.ContainsFunc(name, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == '\\' || r == ':'
	})
}

func inventory(names []string) []byte {
	sorted := slices.Sorted(slices.Values(names))
	return []byte(strings.Join(append([]string{inventoryComment}, sorted...), "\n") + "\n")
}

// parseInventory returns the lines of an inventory; ok is false when data is not an
// inventory.
func parseInventory(data []byte) (names []string, ok bool) {
	lines := strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	if lines[0] != inventoryComment {
		return nil, false
	}
	for _, line := range lines[1:] {
		if line != "" {
			names = append(names, line)
		}
	}
	return names, true
}

// comparison fills in a folder.
type comparison struct {
	*folder
	unsafe, inTheWay problem.List
	// modes caches modeAt.
	modes  map[string]fs.FileMode
	buffer []byte
}

// absent is a mode that no file has.
const absent = fs.ModeIrregular | fs.ModeSymlink

func (c *comparison) run() error {
	info, err := os.Lstat(c.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		for _, file := range c.wanted {
			c.actions[file.Path] = Added
		}
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		c.addUnsafe("", "this is no folder")
		return nil
	}
	c.exists, c.mode = true, info.Mode()
	if err := c.readInventory(); err != nil {
		return err
	}
	for _, file := range c.wanted {
		if err := c.compareFile(file); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.listed)) {
		if err := c.compareListed(name); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) addUnsafe(name, message string) {
	c.unsafe = append(c.unsafe, problem.Problem{Pointer: path.Join(c.name, name), Message: message, Rule: ruleUnsafe,
		Hint: "remove it, or choose another folder"})
}

func (c *comparison) addInTheWay(name, message string) {
	c.inTheWay = append(c.inTheWay, problem.Problem{Pointer: path.Join(c.name, name), Message: message, Rule: ruleHandMade,
		Hint: "Holdfast did not write it and keeps it: rename or remove it"})
}

func (c *comparison) diskPath(name string) string {
	return filepath.Join(c.path, filepath.FromSlash(name))
}

func (c *comparison) readInventory() error {
	c.listed = map[string]bool{}
	mode, err := c.modeAt(InventoryName)
	if err != nil || !mode.IsRegular() { // compareFile says what is wrong with it
		return err
	}
	data, err := readAtMost(c.diskPath(InventoryName), maxRead+1)
	if err != nil {
		return err
	}
	if len(data) > maxRead {
		c.addUnsafe(InventoryName, fmt.Sprintf("this inventory has more than %d bytes, which none of Holdfast has", maxRead))
		return nil
	}
	names, ok := parseInventory(data)
	if !ok {
		c.addInTheWay(InventoryName, "this is no inventory of Holdfast")
	}
	for _, name := range names {
		if !safePath(name) || name == InventoryName {
			c.addUnsafe(InventoryName, "the inventory lists a path outside this folder")
			continue
		}
		c.listed[name] = true
	}
	return nil
}

// modeAt returns the mode of what stands at name, or absent. It never follows a
// symlink in name's own last part.
func (c *comparison) modeAt(name string) (fs.FileMode, error) {
	if mode, ok := c.modes[name]; ok {
		return mode, nil
	}
	mode := absent
	info, err := os.Lstat(c.diskPath(name))
	switch {
	case err == nil:
		mode = info.Mode()
	case !missing(err):
		return 0, err
	}
	c.modes[name] = mode
	return mode, nil
}

// foldersAbove checks the folders above name. ok is false when one of them is missing
// or not a folder, so that there can be no file at name.
func (c *comparison) foldersAbove(name string) (ok bool, err error) {
	up := path.Dir(name)
	if up == "." {
		return true, nil
	}
	if ok, err := c.foldersAbove(up); !ok || err != nil {
		return ok, err
	}
	mode, err := c.modeAt(up)
	switch {
	case err != nil:
		return false, err
	case mode == absent:
		return false, nil
	case mode.IsDir():
		return true, nil
	case mode.IsRegular() && c.listed[up] && !c.isWanted[up]:
		return false, nil // one of ours, on its way out
	case mode.IsRegular():
		if c.isWanted[name] {
			c.addInTheWay(up, "this file stands where a folder is needed")
		}
	default:
		c.addUnsafe(up, "this is a symlink or a special file, not a folder")
	}
	return false, nil
}

func (c *comparison) compareFile(file manifest.File) error {
	ok, err := c.foldersAbove(file.Path)
	if err != nil {
		return err
	}
	mode := absent
	if ok {
		if mode, err = c.modeAt(file.Path); err != nil {
			return err
		}
	}
	switch {
	case mode == absent:
		c.actions[file.Path] = Added
		return nil
	case mode.IsDir():
		c.actions[file.Path] = Added
		return c.compareFolder(file.Path)
	case !mode.IsRegular():
		c.addUnsafe(file.Path, "this is a symlink or a special file")
		return nil
	}
	same, err := c.hasContent(file)
	if err != nil || same && !c.openToOthers(file, mode) {
		return err
	}
	c.actions[file.Path] = Changed
	if !same && !c.listed[file.Path] && file.Path != InventoryName {
		c.addInTheWay(file.Path, "this file would be overwritten")
	}
	return nil
}

// openToOthers reports whether a secret file is open to others than its owner.
func (c *comparison) openToOthers(file manifest.File, mode fs.FileMode) bool {
	return file.Secret && mode.Perm()&0o077 != 0 && runtime.GOOS != "windows"
}

// compareFolder finds files of others in a folder that must make room for a file.
func (c *comparison) compareFolder(name string) error {
	entries, err := os.ReadDir(c.diskPath(name))
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		c.addInTheWay(name, "this folder stands where a file is needed")
	}
	for _, entry := range entries {
		inner := name + "/" + entry.Name()
		switch {
		case entry.IsDir():
			if err := c.compareFolder(inner); err != nil {
				return err
			}
		case !entry.Type().IsRegular() || !c.listed[inner]:
			c.addInTheWay(inner, "this stands in a folder that has to make room for a file")
		}
	}
	return nil
}

func (c *comparison) hasContent(file manifest.File) (bool, error) {
	f, err := os.Open(c.diskPath(file.Path))
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }() // read only
	// One byte more than wanted shows a longer file.
	size := len(file.Data) + 1
	c.buffer = slices.Grow(c.buffer[:0], size)[:size]
	n, err := io.ReadFull(f, c.buffer)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return false, err
	}
	return bytes.Equal(c.buffer[:n], file.Data), nil
}

// compareListed finds out whether a file that an earlier run wrote must be removed.
func (c *comparison) compareListed(name string) error {
	if c.isWanted[name] {
		return nil
	}
	ok, err := c.foldersAbove(name)
	if !ok || err != nil {
		return err
	}
	mode, err := c.modeAt(name)
	switch {
	case err != nil:
		return err
	case mode == absent || mode.IsDir(): // somebody was faster
		return nil
	case !mode.IsRegular():
		c.addUnsafe(name, "this was a file of ours and is now a symlink or a special file")
		return nil
	}
	c.actions[name] = Removed
	return nil
}
