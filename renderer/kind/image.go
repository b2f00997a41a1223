package kind

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
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

// shells and libcs are those that an image may have.
func shells() []string { return []string{"busybox", "debian"} }
func libcs() []string  { return []string{"glibc", "musl"} }

var (
	imageName   = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?$`)
	toolName    = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
	toolVersion = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`)
)

// loadImages reads the images.json of a folder and lists what is wrong with it.
// A folder without one has no image of its own.
func loadImages(fsys fs.FS, dir string) (map[string]Image, []string) {
	data, err := fs.ReadFile(fsys, path.Join(dir, "images.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var images map[string]Image
	if err == nil {
		err = strict(data, &images)
	}
	var given map[string]map[string]json.RawMessage
	if err == nil {
		err = json.Unmarshal(data, &given)
	}
	if err != nil {
		return nil, []string{"images.json: " + err.Error()}
	}
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(images)) {
		bad := func(format string, args ...any) {
			wrong = append(wrong, "images.json: "+name+": "+fmt.Sprintf(format, args...))
		}
		if !imageName.MatchString(name) {
			bad("an image's name has letters, digits and inner hyphens only")
		}
		missing := slices.DeleteFunc(required(reflect.TypeFor[Image]()), func(field string) bool { return given[name][field] != nil })
		if len(missing) > 0 {
			bad("missing: %s", strings.Join(missing, ", "))
			continue
		}
		images[name].check(bad)
	}
	return images, wrong
}

// required are a type's fields in JSON that may not be left out.
func required(of reflect.Type) []string {
	var names []string
	for _, field := range reflect.VisibleFields(of) {
		if name, options, _ := strings.Cut(field.Tag.Get("json"), ","); options == "" {
			names = append(names, name)
		}
	}
	return names
}

// check reports what no image can be.
func (i Image) check(bad func(format string, args ...any)) {
	if i.Reference == "" || i.Source == "" || i.Base == "" {
		bad("reference, source and base say something")
	}
	if !slices.Contains(libcs(), i.Libc) {
		bad("libc is %q, expected %s", i.Libc, strings.Join(libcs(), " or "))
	}
	if !slices.Contains(shells(), i.Shell) {
		bad("shell is %q, expected %s", i.Shell, strings.Join(shells(), " or "))
	}
	if _, ok := i.Tools["sh"]; !ok {
		bad("there is no tool sh, and scripts need one")
	}
	for _, name := range slices.Sorted(maps.Keys(i.Tools)) {
		tool := i.Tools[name]
		switch {
		case !toolName.MatchString(name):
			bad("%q is no name of a tool", name)
		case !clean(tool.Path) || path.Base(tool.Path) != name:
			bad("the path of %s is %q, expected an absolute one that ends with its name", name, tool.Path)
		case tool.Min != "" && !toolVersion.MatchString(tool.Min):
			bad("min of %s is %q, expected a version such as 1.31", name, tool.Min)
		case slices.Contains(i.Absent, name):
			bad("%s is both a tool and absent", name)
		}
	}
	places := slices.Clone(i.Writable)
	if i.CABundle != nil {
		places = append(places, *i.CABundle)
	}
	for _, place := range places {
		if !clean(place) {
			bad("%q is no absolute path", place)
		}
	}
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
