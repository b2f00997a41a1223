package kind

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// Engines that move data.
const (
	Restic = "restic"
	Rclone = "rclone"
)

// Kind is what kind.json says; its schema is schemas/kind.schema.json.
type Kind struct {
	// Name is the folder's name and the first part of its units' ids.
	Name string `json:"name"`
	// Short starts the names of its objects; at most 9 characters, because a
	// Schedule's name has only 33.
	Short string `json:"short"`
	// Engine is "restic" or "rclone".
	Engine string `json:"engine"`
	// Summary says in one line what the kind copies.
	Summary string `json:"summary"`
	// RestoreOrder sorts restores: lower numbers come first.
	RestoreOrder int `json:"restoreOrder"`
	// Deadline is the default time limit of one run, in seconds.
	Deadline int `json:"deadline"`
	// Scratch is the default size of the scratch folder, as a quantity.
	Scratch string `json:"scratch"`
	// Resources of the pods that dump and restore.
	Resources input.Resources `json:"resources"`
	// Retention replaces the built-in default of 30 daily copies.
	Retention *input.Retention `json:"retention,omitempty"`
	// Sizing says how room and time grow with the copy.
	Sizing Sizing `json:"sizing,omitzero"`
	// Losses say what a copy may lack if the settings accept it, by name.
	Losses map[string]string `json:"losses,omitempty"`
	// Sections are JSON Schemas of state sections that the kind reads and that
	// the published state schema does not know, by the section's name.
	Sections map[string]json.RawMessage `json:"sections,omitempty"`

	// Images are the contracts of images.json, by the names that units use.
	Images map[string]Image `json:"-"`
	// Scripts are what its pods have: the folder's own, and those of lib that they name.
	Scripts Mounted `json:"-"`
}

// Sizing is how much a copy of a given size needs.
type Sizing struct {
	// Dump and Restore are scratch, as multiples of the copy's size.
	Dump    float64 `json:"dump,omitempty"`
	Restore float64 `json:"restore,omitempty"`
	// Rate is how many bytes per second are expected at least, as a quantity; ""
	// where time does not follow the size.
	Rate string `json:"rate,omitempty"`
}

// Streams says whether a dump passes its copy on without keeping it on scratch.
func (s Sizing) Streams() bool { return s.Dump == 0 && s.Restore > 0 }

// Platform is what platform.json says: the resources and deadlines of the jobs
// that belong to no kind.
type Platform struct {
	// Requests and limits by the job's name; empty when backup is off.
	Resources map[string]input.Resources `json:"resources"`
	// Longest run in seconds by the job's name; empty when backup is off.
	Deadlines map[string]int `json:"deadlines"`

	// Images are the contracts of the platform's images.json, by name.
	Images map[string]Image `json:"-"`
}

// Set is all kinds of a run, by name, and the platform.
type Set struct {
	Kinds    []Kind
	Platform Platform
	// Shared are the scripts of lib that templates run themselves: by name, what is
	// mounted with each.
	Shared map[string]Mounted

	// units is the contract of what units(state) returns.
	units *input.Contract
	// place is what messages call a file of a kind.
	place func(name string) string
}

// Find returns the kind of that name.
func (s Set) Find(name string) (Kind, bool) {
	i := slices.IndexFunc(s.Kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return s.Kinds[i], true
}

// Names lists the kinds' names, sorted.
func (s Set) Names() []string {
	names := make([]string, len(s.Kinds))
	for i, k := range s.Kinds {
		names[i] = k.Name
	}
	return names
}

// Images returns the contracts of all images, by "kind/name" and
// "platform/name", as the settings name them.
func (s Set) Images() map[string]Image {
	images := map[string]Image{}
	add := func(owner string, of map[string]Image) {
		for name, image := range of {
			images[owner+"/"+name] = image
		}
	}
	add("platform", s.Platform.Images)
	for _, k := range s.Kinds {
		add(k.Name, k.Images)
	}
	return images
}

// Sections returns the state sections that kinds bring themselves.
func (s Set) Sections() map[string]json.RawMessage {
	sections := map[string]json.RawMessage{}
	for _, k := range s.Kinds {
		for name, schema := range k.Sections {
			sections[name] = schema
		}
	}
	return sections
}

// files are what every kind's folder holds. A kind without a restore does not
// load: what can be backed up can be brought back from the same declaration. Nor
// does one without a preflight: what both need is tried before they run.
func files() []string {
	return []string{"kind.json", "kind.libsonnet", "dump.sh", "restore.sh", "preflight.sh", "README.md"}
}

// contracts are the schemas that a kind's folder keeps.
type contracts struct{ kind, images *input.Contract }

// aboutFolder is the hint for what is wrong with a kind's folder.
const aboutFolder = "a kind's folder is described in templates/kinds/README.md"

// Load reads every folder below kinds/ of fsys, and platform/platform.json. What
// is wrong with a folder comes back as a problem.List (HF101) that names its
// files, for all folders at once.
func Load(fsys fs.FS) (Set, error) {
	set := Set{place: func(name string) string { return place(fsys, name) }}
	compiled, err := input.NewContracts("unit.schema.json", "kind.schema.json", "images.schema.json")
	if err != nil {
		return set, fmt.Errorf("compile schemas: %w", err)
	}
	set.units = compiled[0]
	schemas := contracts{kind: compiled[1], images: compiled[2]}
	var problems problem.List
	platform, err := fs.ReadFile(fsys, "platform/platform.json")
	if err == nil {
		err = strict(platform, &set.Platform)
	}
	if err != nil {
		problems = append(problems, problem.Problem{File: set.place("platform/platform.json"), Message: err.Error()})
	}
	images, wrong := set.loadImages(fsys, schemas.images, "platform")
	problems = append(problems, wrong...)
	set.Platform.Images = images
	problems = append(problems, set.loadShared(fsys)...)

	entries, err := fs.ReadDir(fsys, "kinds")
	if err != nil {
		return set, ruled(append(problems, problem.Problem{File: set.place("kinds"), Message: "the folder of the kinds cannot be read: " + reason(err)}))
	}
	shorts := map[string]string{}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		name := entry.Name()
		k, found := set.load(fsys, schemas, name)
		if len(found) > 0 {
			problems = append(problems, found...)
			continue
		}
		if other, taken := shorts[k.Short]; taken {
			tree, _ := set.document(fsys, schemas.kind, path.Join("kinds", name, "kind.json"))
			problems = append(problems, tree.Place("/short", problem.Problem{
				Message: fmt.Sprintf("short name %q is taken by kind %s", k.Short, other), Hint: "short names start object names and must differ",
			}))
			continue
		}
		shorts[k.Short] = name
		set.Kinds = append(set.Kinds, k)
	}
	slices.SortFunc(set.Kinds, func(a, b Kind) int { return strings.Compare(a.Name, b.Name) })
	if len(problems) > 0 {
		return set, ruled(problems)
	}
	return set, nil
}

// ruled makes problems those of a kind's folder.
func ruled(problems problem.List) problem.List {
	for i := range problems {
		p := &problems[i]
		if p.Rule = "HF101"; p.Hint == "" {
			p.Hint = aboutFolder
		}
	}
	return problems.Sorted()
}

// load reads one kind's folder and lists what is wrong with it.
func (s Set) load(fsys fs.FS, schemas contracts, name string) (Kind, problem.List) {
	var k Kind
	var wrong problem.List
	dir := path.Join("kinds", name)
	for _, file := range files() {
		if _, err := fs.Stat(fsys, path.Join(dir, file)); err != nil {
			wrong = append(wrong, problem.Problem{File: s.place(path.Join(dir, file)), Pointer: "kind " + name, Message: file + " is missing"})
		}
	}
	if len(wrong) > 0 {
		return k, wrong
	}
	tree, wrong := s.document(fsys, schemas.kind, path.Join(dir, "kind.json"))
	if object, ok := tree.Root.(map[string]any); ok {
		if given, ok := object["name"].(string); ok && given != name {
			wrong = append(wrong, tree.Place("/name", problem.Problem{Message: fmt.Sprintf("the name is %q, but the folder is %q", given, name)}))
		}
	}
	images, unsound := s.loadImages(fsys, schemas.images, dir)
	if wrong = append(wrong, unsound...); len(wrong) > 0 {
		return k, wrong
	}
	if err := decodeTree(tree, &k); err != nil {
		return k, problem.List{tree.Place("", problem.Problem{Message: err.Error()})}
	}
	k.Images = images
	k.Scripts, wrong = s.scripts(fsys, name)
	return k, wrong
}

// CheckSections says which sections of kinds cannot be used, and why (HF101).
func (s Set) CheckSections(fsys fs.FS) problem.List {
	var problems problem.List
	for _, k := range s.Kinds {
		for _, name := range slices.Sorted(maps.Keys(k.Sections)) {
			for _, p := range input.CheckSection(name, k.Sections[name]) {
				file := path.Join("kinds", k.Name, "kind.json")
				data, _ := fs.ReadFile(fsys, file)
				tree, _ := input.Load(input.Document{Name: s.place(file), Data: data})
				if p.Hint == "" {
					p.Hint = "a section is a JSON Schema (2020-12) of the state's part that the kind reads"
				}
				problems = append(problems, tree.Place("/sections/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name)+p.Pointer, p))
			}
		}
	}
	return ruled(problems)
}

// document reads a file of JSON and holds it against its schema.
func (s Set) document(fsys fs.FS, schema *input.Contract, file string) (*input.Tree, problem.List) {
	data, err := fs.ReadFile(fsys, file)
	if err != nil {
		return &input.Tree{Name: s.place(file)}, problem.List{{File: s.place(file), Message: "the file cannot be read: " + reason(err)}}
	}
	return schema.Document(input.Document{Name: s.place(file), Data: data})
}

// decodeTree decodes a document that keeps its schema.
func decodeTree(tree *input.Tree, value any) error {
	data, err := json.Marshal(tree.Root)
	if err != nil {
		return err
	}
	return strict(data, value)
}

// reason is an error of a file system without the path, which is one of ours.
func reason(err error) string {
	var failed *fs.PathError
	if errors.As(err, &failed) {
		return failed.Err.Error()
	}
	return err.Error()
}

// strict decodes data into value and refuses fields that value does not have.
func strict(data []byte, value any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(value)
}
