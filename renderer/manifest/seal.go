package manifest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/mask"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

// Seal turns an instance's objects into its tree: it makes the Secrets from the
// credentials, lists each stage's files for kustomize, adds plan.json, and
// encodes everything. Nothing is sealed that breaks a rule about objects: what is
// inspected is what is written.
func Seal(objects []Object, p *plan.Plan, instance input.Instance, maker secrets.Maker) (Bundle, problem.List) {
	objects = finished(objects, p, maker.Mode())
	problems := append(Inspect(objects, p), sizes(objects, p, instance)...)
	var bundle Bundle
	for start := 0; start < len(objects); {
		end := start
		var documents []map[string]any
		for end < len(objects) && objects[end].Path == objects[start].Path {
			documents = append(documents, objects[end].Value)
			end++
		}
		data, err := yaml.AppendDocuments(nil, documents)
		if err != nil {
			problems = append(problems, broken(objects[start].Path, err))
		}
		bundle.Files = append(bundle.Files, File{Path: objects[start].Path, Data: data})
		start = end
	}
	made, found := maker.Files(p, instance)
	problems = append(problems, found...)
	for _, f := range made {
		bundle.Files = append(bundle.Files, File{Path: f.Path, Data: f.Data, Secret: f.Plain, Unseen: f.Unseen})
	}
	for _, stage := range []Stage{Backup, Repository} {
		if file, ok := kustomization(p.Instance+"/"+string(stage)+"/", bundle.Files); ok {
			bundle.Files = append(bundle.Files, file)
		}
	}
	planFile, err := plan.Encode(p)
	if err != nil {
		problems = append(problems, broken("plan.json", err))
	}
	bundle.Files = append(bundle.Files, File{Path: p.Instance + "/plan.json", Data: planFile})
	problems = append(problems, leaks(objects, bundle.Files, instance.Credentials)...)
	slices.SortFunc(bundle.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return bundle, problems
}

// finished are the objects with all that neither a template nor an overlay can know: as
// whom Flux applies them, whether it decrypts, and that it substitutes nothing.
func finished(objects []Object, p *plan.Plan, mode secrets.Mode) []Object {
	if mode == secrets.External || mode == secrets.Sealed {
		withoutDecryption(objects)
	}
	objects = ordered(append(slices.Clone(objects), account(objects, p)...))
	for _, o := range objects {
		if holdsDollar(o.Value) {
			annotate(o.Value, secrets.NoSubstitution, "disabled")
		}
	}
	return objects
}

// withoutDecryption takes the decryption out of Flux's own objects: it names a
// Secret with an age identity, which need not exist where nothing is encrypted
// for it, and without which Flux would apply nothing.
func withoutDecryption(objects []Object) {
	for _, o := range objects {
		if strings.HasPrefix(text(o.Value, "apiVersion"), "kustomize.toolkit.fluxcd.io/") {
			delete(object(o.Value, "spec"), "decryption")
		}
	}
}

// broken reports a value that no manifest can hold: a template's bug.
func broken(path string, err error) problem.Problem {
	return problem.Problem{Pointer: path, Message: err.Error(), Rule: "HF401"}
}

// kustomization lists the files of one stage's folder.
func kustomization(folder string, files []File) (File, bool) {
	var resources []string
	for _, f := range files {
		if rest, below := strings.CutPrefix(f.Path, folder); below {
			resources = append(resources, rest)
		}
	}
	if len(resources) == 0 {
		return File{}, false
	}
	slices.Sort(resources)
	data, err := yaml.AppendDocuments(nil, []map[string]any{{
		"apiVersion": "kustomize.config.k8s.io/v1beta1",
		"kind":       "Kustomization",
		"resources":  resources,
	}})
	return File{Path: folder + "kustomization.yaml", Data: data}, err == nil
}

// Owners remembers who makes which object, over all instances of a run. Of an
// instance's own objects only the file is kept: a fleet has a great many.
type Owners struct {
	files  map[string]string
	shared map[string]Object
}

// NewOwners knows no object yet.
func NewOwners() *Owners {
	return &Owners{files: map[string]string{}, shared: map[string]Object{}}
}

// Claim finds objects that two instances make differently: the cluster would
// have them change hands for ever. What belongs to a namespace and not to an
// instance carries no instance's label, and must be the same in both.
func (w *Owners) Claim(objects []Object) problem.List {
	var problems problem.List
	for _, o := range objects {
		id := o.ID()
		file, made := w.files[id]
		// What one instance renders twice is reported by Inspect.
		mine, _, _ := strings.Cut(o.Path, "/")
		if made && !strings.HasPrefix(file, mine+"/") && !reflect.DeepEqual(w.shared[id].Value, o.Value) {
			problems = append(problems, problem.Problem{
				Pointer: id,
				Message: o.Path + ": another instance of this run makes a different object of that name, in " + file,
				Rule:    "HF307",
			})
		}
		w.files[id] = o.Path
		if text(o.Value, "metadata", "labels", "holdfast.dev/instance") == "" {
			w.shared[id] = o
		}
	}
	return problems
}

// leaks finds secret values in what is no Secret: in the objects' texts, in whichever
// form a text may have them, and in the other files. It says where the value is, never
// what it is. Names are no reason to fail: a key's id is often that of its bucket.
func leaks(objects []Object, files []File, credentials *input.Credentials) problem.List {
	var finder mask.Finder
	values := credentials.Secrets()
	for i, s := range values {
		if !s.IsName() {
			finder.Add(s.Value, i)
		}
	}
	places := make([][]string, len(values))
	read := map[string]bool{}
	for _, o := range objects {
		read[o.Path] = true
		searched(o.Value, func(text string) {
			finder.In(text, func(i int) { places[i] = append(places[i], o.Path) })
		})
	}
	for _, f := range files {
		if !f.Secret && !read[f.Path] {
			finder.In(string(f.Data), func(i int) { places[i] = append(places[i], f.Path) })
		}
	}
	var problems problem.List
	for i, found := range places {
		if len(found) == 0 {
			continue
		}
		slices.Sort(found)
		found = slices.Compact(found)
		where := found[0]
		if more := len(found) - 1; more > 0 {
			where = fmt.Sprintf("%s and %d more", where, more)
		}
		line, column := credentials.Tree.At(values[i].Pointer)
		problems = append(problems, problem.Problem{
			File: credentials.Tree.Name, Line: line, Column: column, Pointer: values[i].Pointer,
			Message: "the value stands in a file that is no Secret: " + where,
			Hint:    "change a secret that is an ordinary word of the manifests; anything else is a bug of a template",
			Rule:    "HF415",
		})
	}
	return problems
}

// searched calls with each text of a value, and each key.
func searched(value any, call func(text string)) {
	switch v := value.(type) {
	case string:
		call(v)
	case []any:
		for _, e := range v {
			searched(e, call)
		}
	case map[string]any:
		for key, e := range v {
			call(key)
			searched(e, call)
		}
	}
}

// annotate adds an annotation to an object.
func annotate(value map[string]any, name, text string) {
	metadata, ok := value["metadata"].(map[string]any)
	if !ok {
		return
	}
	annotations, ok := metadata["annotations"].(map[string]any)
	if !ok {
		annotations = map[string]any{}
		metadata["annotations"] = annotations
	}
	annotations[name] = text
}

// holdsDollar says whether a text of the value has a $, which Flux's variable
// substitution would take for its own.
func holdsDollar(value any) bool {
	switch v := value.(type) {
	case string:
		return strings.Contains(v, "$")
	case []any:
		return slices.ContainsFunc(v, holdsDollar)
	case map[string]any:
		for name, e := range v {
			if strings.Contains(name, "$") || holdsDollar(e) {
				return true
			}
		}
	}
	return false
}
