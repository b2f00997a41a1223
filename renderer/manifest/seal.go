package manifest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// Annotations of Flux that sealed objects may carry.
const (
	noSubstitution = "kustomize.toolkit.fluxcd.io/substitute"
	noPrune        = "kustomize.toolkit.fluxcd.io/prune"
)

// Our own annotations of Secrets: which generation of credentials they hold, and
// when it ends.
const (
	generation = "holdfast.dev/generation"
	expires    = "holdfast.dev/expires-at"
)

// Annotations of Argo CD; templates/lib/k8s.libsonnet has the same for what
// templates make.
const (
	argoOptions = "argocd.argoproj.io/sync-options"
	argoNoPrune = "Prune=false,Delete=false"
	argoWave    = "argocd.argoproj.io/sync-wave"
	argoFirst   = "-1"
)

// Seal turns an instance's objects into its tree: it makes the Secrets from the
// credentials, lists each stage's files for kustomize, adds plan.json, and
// encodes everything. Nothing is sealed that breaks a rule about objects.
func Seal(objects []Object, p *plan.Plan, instance input.Instance, secrets Sealing) (Bundle, problem.List) {
	problems := Inspect(objects, p)
	if secrets.mode == External || secrets.mode == Sealed {
		withoutDecryption(objects)
	}
	for _, o := range objects {
		if holdsDollar(o.Value) {
			annotate(o.Value, noSubstitution, "disabled")
		}
	}
	var bundle Bundle
	for start := 0; start < len(objects); {
		end := start
		var documents []map[string]any
		for end < len(objects) && objects[end].Path == objects[start].Path {
			documents = append(documents, objects[end].Value)
			end++
		}
		data, err := AppendDocuments(nil, documents)
		if err != nil {
			problems = append(problems, broken(objects[start].Path, err))
		}
		bundle.Files = append(bundle.Files, File{Path: objects[start].Path, Data: data})
		start = end
	}
	files, found := secrets.files(p, instance)
	bundle.Files, problems = append(bundle.Files, files...), append(problems, found...)
	for _, stage := range []string{"backup", "repository"} {
		if file, ok := kustomization(p.Instance+"/"+stage+"/", bundle.Files); ok {
			bundle.Files = append(bundle.Files, file)
		}
	}
	planFile, err := encodePlan(p)
	if err != nil {
		problems = append(problems, broken("plan.json", err))
	}
	bundle.Files = append(bundle.Files, File{Path: p.Instance + "/plan.json", Data: planFile})
	problems = append(problems, leaks(bundle.Files, instance.Credentials)...)
	slices.SortFunc(bundle.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return bundle, problems
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
	data, err := AppendDocuments(nil, []map[string]any{{
		"apiVersion": "kustomize.config.k8s.io/v1beta1",
		"kind":       "Kustomization",
		"resources":  resources,
	}})
	return File{Path: folder + "kustomization.yaml", Data: data}, err == nil
}

// encodePlan writes plan.json.
func encodePlan(p *plan.Plan) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(p); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	return b.Bytes(), nil
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

// shortest is the length below which a secret value is too ordinary to be
// looked for in other texts.
const shortest = 8

// leaks finds secret values, as they are or in base64, in files that are no
// Secrets in plain text. It says where the value is, never what it is.
func leaks(files []File, credentials *input.Credentials) problem.List {
	var problems problem.List
	for _, secret := range credentials.Secrets() {
		if len(secret.Value) < shortest {
			continue
		}
		var found []string
		for _, f := range files {
			if !f.Secret && (bytes.Contains(f.Data, []byte(secret.Value)) || bytes.Contains(f.Data, inBase64(secret.Value))) {
				found = append(found, f.Path)
			}
		}
		if len(found) == 0 {
			continue
		}
		slices.Sort(found)
		where := found[0]
		if more := len(found) - 1; more > 0 {
			where = fmt.Sprintf("%s and %d more", where, more)
		}
		line, column := credentials.Tree.At(secret.Pointer)
		problems = append(problems, problem.Problem{
			File: credentials.Tree.Name, Line: line, Column: column, Pointer: secret.Pointer,
			Message: "the value stands in a file that is no Secret: " + where,
			Hint:    "change a secret that is an ordinary word of the manifests; anything else is a bug of a template",
			Rule:    "HF415",
		})
	}
	return problems
}

// inBase64 is how a value stands in a Secret's data. What follows it in a longer
// text would change its last letters.
func inBase64(value string) []byte {
	whole := len(value) / 3 * 3
	return []byte(base64.StdEncoding.EncodeToString([]byte(value[:whole])))
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
