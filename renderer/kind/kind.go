package kind

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

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
	Resources Resources `json:"resources"`
	// Retention replaces the built-in default of 30 daily copies.
	Retention map[string]int `json:"retention,omitempty"`
	// Sizing says how room and time grow with the copy.
	Sizing Sizing `json:"sizing,omitzero"`
	// Losses say what a copy may lack if the settings accept it, by name.
	Losses map[string]string `json:"losses,omitempty"`
	// Sections are JSON Schemas of state sections that the kind reads and that
	// the published state schema does not know, by the section's name.
	Sections map[string]json.RawMessage `json:"sections,omitempty"`

	// Images are the contracts of images.json, by the names that units use.
	Images map[string]Image `json:"-"`
	// Scripts are the names of the folder's *.sh files.
	Scripts []string `json:"-"`
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

// Resources are Kubernetes resource quantities by name.
type Resources struct {
	Requests map[string]string `json:"requests,omitempty"`
	Limits   map[string]string `json:"limits,omitempty"`
}

// Platform is what platform.json says: the resources and deadlines of the jobs
// that belong to no kind.
type Platform struct {
	Resources map[string]Resources `json:"resources"`
	Deadlines map[string]int       `json:"deadlines"`

	// Images are the contracts of the platform's images.json, by name.
	Images map[string]Image `json:"-"`
}

// Set is all kinds of a run, by name, and the platform.
type Set struct {
	Kinds    []Kind
	Platform Platform
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

// Load reads every folder below kinds/ of fsys, and platform/platform.json.
// A folder that is not whole is a problem (HF101) that names it.
func Load(fsys fs.FS) (Set, problem.List) {
	var set Set
	var problems problem.List
	bad := func(name, message, hint string) {
		problems = append(problems, problem.Problem{Pointer: "kind " + name, Message: message, Hint: hint, Rule: "HF101"})
	}

	platform, err := fs.ReadFile(fsys, "platform/platform.json")
	if err == nil {
		err = strict(platform, &set.Platform)
	}
	if err != nil {
		problems = append(problems, problem.Problem{Pointer: "platform.json", Message: err.Error(), Rule: "HF101"})
	}
	images, wrong := loadImages(fsys, "platform")
	for _, message := range wrong {
		bad("platform", message, "")
	}
	set.Platform.Images = images

	entries, err := fs.ReadDir(fsys, "kinds")
	if err != nil {
		bad("(all)", err.Error(), "")
	}
	shorts := map[string]string{}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		name := entry.Name()
		k, found := load(fsys, name)
		for _, message := range found {
			bad(name, message, "a kind's folder is described in templates/kinds/README.md")
		}
		if len(found) > 0 {
			continue
		}
		if other, taken := shorts[k.Short]; taken {
			bad(name, fmt.Sprintf("short name %q is taken by kind %s", k.Short, other), "short names start object names and must differ")
			continue
		}
		shorts[k.Short] = name
		set.Kinds = append(set.Kinds, k)
	}
	slices.SortFunc(set.Kinds, func(a, b Kind) int { return strings.Compare(a.Name, b.Name) })
	return set, problems
}

var shortForm = regexp.MustCompile(`^[a-z][a-z0-9]{0,8}$`)

// load reads one kind's folder and lists what is wrong with it.
func load(fsys fs.FS, name string) (Kind, []string) {
	var k Kind
	var wrong []string
	dir := path.Join("kinds", name)
	for _, file := range files() {
		if _, err := fs.Stat(fsys, path.Join(dir, file)); err != nil {
			wrong = append(wrong, file+" is missing")
		}
	}
	if len(wrong) > 0 {
		return k, wrong
	}
	data, err := fs.ReadFile(fsys, path.Join(dir, "kind.json"))
	if err != nil {
		return k, []string{err.Error()}
	}
	if err := strict(data, &k); err != nil {
		return k, []string{"kind.json: " + err.Error()}
	}
	if k.Name != name {
		wrong = append(wrong, fmt.Sprintf("kind.json: name is %q, but the folder is %q", k.Name, name))
	}
	if !shortForm.MatchString(k.Short) {
		wrong = append(wrong, fmt.Sprintf("kind.json: short is %q, expected 1 to 9 lower-case letters and digits", k.Short))
	}
	if k.Engine != Restic && k.Engine != Rclone {
		wrong = append(wrong, fmt.Sprintf("kind.json: engine is %q, expected %s or %s", k.Engine, Restic, Rclone))
	}
	if k.Deadline < 60 {
		wrong = append(wrong, "kind.json: deadline is less than 60 seconds")
	}
	if k.Summary == "" || k.Scratch == "" || k.RestoreOrder == 0 || len(k.Resources.Requests) == 0 || len(k.Resources.Limits) == 0 {
		wrong = append(wrong, "kind.json: summary, restoreOrder, scratch and resources with requests and limits are required")
	}
	for _, rule := range slices.Sorted(maps.Keys(k.Retention)) {
		if !slices.Contains([]string{"keepLast", "keepHourly", "keepDaily", "keepWeekly", "keepMonthly", "keepYearly"}, rule) {
			wrong = append(wrong, fmt.Sprintf("kind.json: retention has no rule %q", rule))
		}
	}
	images, unsound := loadImages(fsys, dir)
	k.Images, wrong = images, append(wrong, unsound...)
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		wrong = append(wrong, err.Error())
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), ".sh") {
			k.Scripts = append(k.Scripts, entry.Name())
		}
	}
	return k, wrong
}

// strict decodes data into value and refuses fields that value does not have.
func strict(data []byte, value any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(value)
}
