package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

// files is the file system that kustomize sees: that of the overlay, and in the
// overlay's folder one more, Tree, which holds what was rendered. Nothing in it
// can be written. Its root is "/".
type files struct {
	disk fs.FS
	// tree is the path of the rendered folder, rendered the files in it by name.
	tree     string
	rendered map[string][]byte
	// refused is why a file was not read. kustomize itself goes on to another name
	// or another way of reading then, and says that there is none.
	refused error
}

// maxFile is the size of a file that is read, in bytes: as for the documents.
const maxFile = 10 << 20

var errReadOnly = errors.New("nothing is written while an overlay is built")

// name turns kustomize's absolute path into one of fs.FS.
func name(p string) string {
	if p = strings.TrimPrefix(path.Clean("/"+p), "/"); p != "" {
		return p
	}
	return "."
}

// inTree returns the name of a rendered file, "" for their folder.
func (f *files) inTree(p string) (string, bool) {
	if p = path.Clean("/" + p); p == f.tree {
		return "", true
	}
	return strings.CutPrefix(p, f.tree+"/")
}

// IsDir implements filesys.FileSystem, as do the others below.
func (f *files) IsDir(p string) bool {
	if file, inside := f.inTree(p); inside {
		return file == ""
	}
	info, err := fs.Stat(f.disk, name(p))
	return err == nil && info.IsDir()
}

// Exists tells whether there is a file or a folder.
func (f *files) Exists(p string) bool {
	if file, inside := f.inTree(p); inside {
		return file == "" || f.rendered[file] != nil
	}
	_, err := fs.Stat(f.disk, name(p))
	return err == nil
}

// CleanedAbs splits a path into a folder and a file in it.
func (f *files) CleanedAbs(p string) (filesys.ConfirmedDir, string, error) {
	p = path.Clean("/" + p)
	switch {
	case f.IsDir(p):
		return filesys.ConfirmedDir(p), "", nil
	case f.Exists(p):
		return filesys.ConfirmedDir(path.Dir(p)), path.Base(p), nil
	}
	return "", "", fmt.Errorf("there is no %s", p)
}

// ReadFile reads a file, and a kustomization only if it stays with the overlay.
func (f *files) ReadFile(p string) ([]byte, error) {
	if file, inside := f.inTree(p); inside {
		if data, found := f.rendered[file]; found {
			return data, nil
		}
		return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
	}
	// A pipe would never end, and a sparse file takes all memory.
	info, err := fs.Stat(f.disk, name(p))
	if err != nil {
		return nil, err
	}
	if !info.IsDir() && (!info.Mode().IsRegular() || info.Size() > maxFile) {
		f.refused = fmt.Errorf("%s is no ordinary file of at most %d MiB", p, maxFile>>20)
		return nil, f.refused
	}
	data, err := fs.ReadFile(f.disk, name(p))
	if err != nil {
		return nil, err
	}
	// kustomize follows aliases as often as they are written, for hours if need be.
	if yaml.ExcessiveAliases(data) {
		f.refused = fmt.Errorf("%s: its aliases stand for too much", p)
		return nil, f.refused
	}
	if slices.Contains(kustomizations(), path.Base(p)) {
		folder := path.Dir(path.Clean("/" + p))
		if err := allow(data, func(place string) bool { return f.Exists(path.Join(folder, place)) }); err != nil {
			f.refused = fmt.Errorf("%s: %w", p, err)
			return nil, f.refused
		}
	}
	return data, nil
}

// ReadDir lists the names in a folder.
func (f *files) ReadDir(p string) ([]string, error) {
	entries, err := fs.ReadDir(f.disk, name(p))
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, err
}

// Glob lists the files that match a pattern.
func (f *files) Glob(pattern string) ([]string, error) {
	found, err := fs.Glob(f.disk, name(pattern))
	for i := range found {
		found[i] = "/" + found[i]
	}
	return found, err
}

// Open is of no use to a build: it reads files whole.
func (*files) Open(string) (filesys.File, error) { return nil, errReadOnly }

// Create refuses.
func (*files) Create(string) (filesys.File, error) { return nil, errReadOnly }

// Mkdir refuses.
func (*files) Mkdir(string) error { return errReadOnly }

// MkdirAll refuses.
func (*files) MkdirAll(string) error { return errReadOnly }

// RemoveAll refuses.
func (*files) RemoveAll(string) error { return errReadOnly }

// WriteFile refuses.
func (*files) WriteFile(string, []byte) error { return errReadOnly }

// Walk is of no use to a build.
func (*files) Walk(string, filepath.WalkFunc) error { return errReadOnly }

// kustomizations are the names that kustomize looks for in a folder.
func kustomizations() []string {
	return []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}
}

// remote reports whether kustomize might take a path for a URL or a repository.
// When in doubt it says yes: a file can be renamed.
func remote(place string) bool {
	lower := strings.ToLower(place)
	return strings.Contains(lower, ":/") || strings.Contains(lower, "::") || strings.Contains(lower, "@") ||
		strings.HasPrefix(lower, "github.com") || strings.HasPrefix(lower, "www.github.com") || strings.HasPrefix(lower, "gh:")
}
