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

	"github.com/holdfast-backup/holdfast/renderer/manifest"
)

// files is the file system that kustomize sees: that of the overlay, and in the
// overlay's folder one more, Tree, which holds what was rendered. Nothing in it
// can be written. Its root is "/".
type files struct {
	disk fs.FS
	// tree is the path of the rendered folder, rendered the files in it by name.
	tree     string
	rendered map[string][]byte
	// refused is why a kustomization was not read. kustomize itself goes on to
	// another name then, and says that there is none.
	refused error
}

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

// ReadFile reads a file, and a kustomization only if it stays on this machine.
func (f *files) ReadFile(p string) ([]byte, error) {
	if file, inside := f.inTree(p); inside {
		if data, found := f.rendered[file]; found {
			return data, nil
		}
		return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
	}
	data, err := fs.ReadFile(f.disk, name(p))
	if err != nil {
		return nil, err
	}
	if slices.Contains(kustomizations(), path.Base(p)) {
		if err := staysHere(data); err != nil {
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

// staysHere refuses a kustomization that would fetch something, or that hides
// in a configuration of its own what it reads. Whatever is fetched may be
// another tomorrow, and the tree with it.
func staysHere(data []byte) error {
	documents, err := manifest.Decode(data)
	if err != nil {
		return err
	}
	for _, k := range documents {
		for _, field := range []string{"generators", "transformers", "validators"} {
			if len(texts(k[field])) > 0 {
				return fmt.Errorf("%s are not run: say it with the fields of the kustomization", field)
			}
		}
		var places []string
		for _, field := range []string{"resources", "bases", "components", "crds", "configurations"} {
			places = append(places, texts(k[field])...)
		}
		for _, place := range texts(k["patchesStrategicMerge"]) {
			if !strings.Contains(place, "\n") { // else it is the patch itself
				places = append(places, place)
			}
		}
		for _, field := range []string{"patches", "patchesJson6902", "replacements", "openapi"} {
			places = append(places, under(k[field], "path")...)
		}
		for _, field := range []string{"configMapGenerator", "secretGenerator"} {
			for _, list := range []string{"files", "env", "envs"} {
				places = append(places, under(k[field], list)...)
			}
		}
		for _, place := range places {
			if remote(place) {
				return fmt.Errorf("%q is not on this machine: nothing is fetched", place)
			}
		}
	}
	return nil
}

// remote reports whether kustomize might take a path for a URL or a repository.
// When in doubt it says yes: a file can be renamed.
func remote(place string) bool {
	lower := strings.ToLower(place)
	return strings.Contains(lower, ":/") || strings.Contains(lower, "::") || strings.Contains(lower, "@") ||
		strings.HasPrefix(lower, "github.com") || strings.HasPrefix(lower, "www.github.com") || strings.HasPrefix(lower, "gh:")
}

// texts are the strings of a list, or the one string.
func texts(value any) []string {
	switch v := value.(type) {
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, e := range v {
			all = append(all, texts(e)...)
		}
		return all
	}
	return nil
}

// under are the strings of a field of an object, or of a list of them.
func under(value any, field string) []string {
	switch v := value.(type) {
	case map[string]any:
		return texts(v[field])
	case []any:
		var all []string
		for _, e := range v {
			all = append(all, under(e, field)...)
		}
		return all
	}
	return nil
}
