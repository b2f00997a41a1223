package kind

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Overlay adds the kind folders in the root of extra to those of base, as if
// they stood in base's kinds folder. A kind may not replace one of base's. name
// is what messages call the folder that extra is.
func Overlay(base, extra fs.FS, name string) (fs.FS, error) {
	entries, err := fs.ReadDir(extra, ".")
	if err != nil {
		return nil, err
	}
	added := map[string]bool{}
	for _, entry := range entries {
		if !entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		if _, err := fs.Stat(base, path.Join("kinds", entry.Name())); err == nil {
			return nil, fmt.Errorf("kind %s exists already: a kind of your own needs a name of its own", entry.Name())
		}
		added[entry.Name()] = true
	}
	if len(added) == 0 {
		return nil, fmt.Errorf("no kind's folder is in it")
	}
	return overlay{base: base, extra: extra, name: name, added: added}, nil
}

// maxFile is the size of a file that is read, in bytes: as for the documents.
const maxFile = 10 << 20

var errUnreadable = errors.New("it is no ordinary file of at most 10 MiB")

type overlay struct {
	base, extra fs.FS
	name        string
	added       map[string]bool
}

// place is what messages call a file of fsys: a path that the user knows, or one
// in the repository of Holdfast.
func place(fsys fs.FS, name string) string {
	if o, ok := fsys.(overlay); ok {
		if owner, inner := o.owner(name); inner != name {
			return path.Join(o.name, inner)
		} else if owner != nil {
			return place(owner, name)
		}
	}
	return path.Join("templates", name)
}

// owner returns the file system that holds name, and name's path in it.
func (o overlay) owner(name string) (fs.FS, string) {
	rest, below := strings.CutPrefix(name, "kinds/")
	if !below {
		return o.base, name
	}
	if first, _, _ := strings.Cut(rest, "/"); o.added[first] {
		return o.extra, rest
	}
	return o.base, name
}

// Open implements fs.FS. Of the folder of others it opens folders and ordinary files:
// a pipe would never end, and what a sparse file holds takes all memory.
func (o overlay) Open(name string) (fs.File, error) {
	fsys, inner := o.owner(name)
	if inner != name {
		info, err := fs.Stat(fsys, inner)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() && (!info.Mode().IsRegular() || info.Size() > maxFile) {
			return nil, &fs.PathError{Op: "open", Path: name, Err: errUnreadable}
		}
	}
	return fsys.Open(inner)
}

// ReadDir implements fs.ReadDirFS, so that both sides' kinds are listed.
func (o overlay) ReadDir(name string) ([]fs.DirEntry, error) {
	fsys, inner := o.owner(name)
	entries, err := fs.ReadDir(fsys, inner)
	if err != nil || name != "kinds" {
		return entries, err
	}
	more, err := fs.ReadDir(o.extra, ".")
	if err != nil {
		return nil, err
	}
	for _, entry := range more {
		if o.added[entry.Name()] {
			entries = append(entries, entry)
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}
