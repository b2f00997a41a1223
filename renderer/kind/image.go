package kind

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// Image is the contract of one image that scripts run in: all that they may
// rely on there. Tests build the image's root from it, and from nothing else.
// Its schema is schemas/images.schema.json.
type Image struct {
	// Reference is what pods name unless the settings name another.
	Reference string `json:"reference"`
	// Source cites the file that makes the image: owner/name@commit:path.
	Source string `json:"source"`
	// Base is what the image is built on.
	Base string `json:"base"`
	// Libc is "musl" or "glibc": a dynamic program of one does not run on the
	// other.
	Libc string `json:"libc"`
	// User is the image's own. Our pods say theirs.
	User int64 `json:"user"`
	// Shell is who provides sh and the POSIX tools: "busybox" or "debian".
	Shell string `json:"shell"`
	// Tools are exactly those that scripts call there, by name.
	Tools map[string]Tool `json:"tools"`
	// Absent are tools that one might expect, and that are not there.
	Absent []string `json:"absent"`
	// CABundle is the file with the public authorities; nil for none.
	CABundle *string `json:"caBundle"`
	// Writable are folders that the image's own program writes to.
	Writable []string `json:"writable"`
	// Exec says that no pod of ours starts it: scripts run in a pod of somebody
	// else's that has it.
	Exec bool `json:"exec,omitempty"`
}

// Tool is a program of an image.
type Tool struct {
	Path string `json:"path"`
	// Min is the oldest version that works; "" if any does.
	Min string `json:"min,omitempty"`
}

var imageName = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?$`)

// loadImages reads the images.json of a folder and lists what is wrong with it.
// A folder without one has no image of its own.
func (s Set) loadImages(fsys fs.FS, schema *input.Contract, dir string) (map[string]Image, problem.List) {
	file := path.Join(dir, "images.json")
	if _, err := fs.Stat(fsys, file); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	tree, wrong := s.document(fsys, schema, file)
	if len(wrong) > 0 {
		return nil, wrong
	}
	var images map[string]Image
	if err := decodeTree(tree, &images); err != nil {
		return nil, problem.List{tree.Place("", problem.Problem{Message: err.Error()})}
	}
	for _, name := range slices.Sorted(maps.Keys(images)) {
		at := "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		if !imageName.MatchString(name) {
			p := tree.Place(at, problem.Problem{Message: "an image's name has letters, digits and inner hyphens only"})
			p.Line, p.Column = tree.AtKey(at)
			wrong = append(wrong, p)
		}
		wrong = append(wrong, images[name].check(tree, at)...)
	}
	return images, wrong
}

// check reports what no image can be, although it keeps the schema.
func (i Image) check(tree *input.Tree, at string) problem.List {
	var wrong problem.List
	bad := func(pointer, format string, args ...any) {
		wrong = append(wrong, tree.Place(at+pointer, problem.Problem{Message: fmt.Sprintf(format, args...)}))
	}
	for _, name := range slices.Sorted(maps.Keys(i.Tools)) {
		tool := i.Tools[name]
		switch {
		case !clean(tool.Path) || path.Base(tool.Path) != name:
			bad("/tools/"+name+"/path", "the path is %q, expected an absolute one that ends with the tool's name", tool.Path)
		case slices.Contains(i.Absent, name):
			bad("/tools/"+name, "%s is both a tool and absent", name)
		}
	}
	for n, place := range i.Writable {
		if !clean(place) {
			bad("/writable/"+strconv.Itoa(n), "%q is no absolute path", place)
		}
	}
	if i.CABundle != nil && !clean(*i.CABundle) {
		bad("/caBundle", "%q is no absolute path", *i.CABundle)
	}
	return wrong
}

// clean says whether it is an absolute path without detours.
func clean(place string) bool {
	return path.IsAbs(place) && path.Clean(place) == place && place != "/"
}

// References are the images that pods of ours start, by name.
func References(images map[string]Image) map[string]string {
	references := map[string]string{}
	for name, image := range images {
		if !image.Exec {
			references[name] = image.Reference
		}
	}
	return references
}
