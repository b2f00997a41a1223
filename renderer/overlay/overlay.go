package overlay

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/openapi"

	"github.com/holdfast-backup/holdfast/renderer/eval"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

// Tree is the folder in which the overlay finds what was rendered. It exists
// during the build only: resources: [holdfast].
const Tree = "holdfast"

// Source is where the overlay is.
type Source struct {
	// Files has the overlay and whatever it refers to by relative paths.
	Files fs.FS
	// Dir is the path in Files of the folder with the kustomization.
	Dir string
	// Name is what messages call that folder.
	Name string
}

// Blame names the overlay in problems about objects, which templates alone have
// never had: whoever reads them shall look there first.
func (s Source) Blame(problems problem.List) problem.List {
	for i := range problems {
		if problems[i].File == "" {
			problems[i].File = s.Name
		}
	}
	return problems
}

// number is the annotation that follows an object through the build.
const number = "holdfast.dev/overlay-object"

//go:embed names.yaml
var namesFS embed.FS

// Names is the configuration that tells kustomize where our objects and K8up's
// refer to others by name.
func Names() ([]byte, error) { return namesFS.ReadFile("names.yaml") }

// Apply builds the overlay over an instance's files. It returns what came out,
// file by file, and the plan with the names that objects have now. An object
// that the overlay adds comes into overlay.yaml of a stage: what others refer to
// in repository/, which is applied first, anything else in backup/.
func Apply(source Source, files []eval.Rendered, p *plan.Plan) ([]eval.Rendered, *plan.Plan, problem.List) {
	a := application{source: source, plan: p}
	if !p.Enabled {
		return files, p, nil
	}
	in := a.collect(files)
	if info, err := fs.Stat(source.Files, path.Join(source.Dir, Tree)); err == nil {
		return nil, nil, problem.List{a.refuse(info.Name(), "the overlay has a file or folder of this name, which stands for what is rendered", "rename it")}
	}
	data, err := a.encode(in)
	if err != nil {
		return nil, nil, problem.List{a.failed(err)}
	}
	built, err := build(source, data)
	if err != nil {
		return nil, nil, problem.List{a.failed(err)}
	}
	objects, err := yaml.Decode(built)
	if err != nil {
		return nil, nil, problem.List{a.failed(err)}
	}
	a.sort(in, objects)
	if len(a.problems) > 0 {
		return nil, nil, a.problems
	}
	for _, o := range a.out {
		a.followDumpPods(o.Value)
		a.followSecrets(o)
	}
	return a.grouped(), a.renamed(), nil
}

// application is one run of an overlay.
type application struct {
	source Source
	plan   *plan.Plan
	// aside are objects that do not go through the build.
	aside []manifest.Object
	out   []manifest.Object
	// names has the new name of each object, by its kind, namespace and old name.
	names map[string]string
	// secrets are what came out for the plan's Secrets, by their number there.
	secrets  map[int]manifest.Object
	problems problem.List
}

func (a *application) refuse(pointer, message, hint string) problem.Problem {
	return problem.Problem{File: a.source.Name, Pointer: pointer, Message: message, Hint: hint, Rule: "HF031"}
}

// quoted is a configuration or a patch that kustomize repeats in an error.
var quoted = regexp.MustCompile("(?s) with config: `.*`| from \\[patch: .*")

// fromRoot is the beginning of a path in kustomize's own view of the overlay, whose
// root is its folder.
var fromRoot = regexp.MustCompile(`(^|[\s'"(])/`)

// failed tells what kustomize said, its first line: further ones quote objects.
func (a *application) failed(err error) problem.Problem {
	text, _, _ := strings.Cut(quoted.ReplaceAllString(err.Error(), ""), "\n")
	// Paths are those that the reader knows: from the overlay's folder on.
	if folder := path.Join("/", a.source.Dir); folder == "/" {
		text = fromRoot.ReplaceAllString(text, "$1")
	} else {
		text = strings.ReplaceAll(text, folder+"/", "")
	}
	return problem.Problem{File: a.source.Name, Message: text, Rule: "HF030",
		Hint: "the overlay is built like kustomize builds it; resources: [" + Tree + "] is what was rendered"}
}

// collect lists the objects for the build: all that are applied to the cluster,
// and in the place of each Secret an empty one. Left aside is what others find
// by its very name: how Flux applies the tree, and the account that K8up knows
// as pod-executor.
func (a *application) collect(files []eval.Rendered) []manifest.Object {
	var in []manifest.Object
	for _, f := range files {
		for _, value := range f.Objects {
			o := manifest.Object{Path: f.Path, Value: value}
			if o.Kind() == "Kustomization" || o.Kind() == "ServiceAccount" && o.Name() == "pod-executor" {
				a.aside = append(a.aside, o)
				continue
			}
			in = append(in, o)
		}
	}
	for _, s := range a.plan.Secrets {
		labels := map[string]any{}
		for name, value := range s.Labels {
			labels[name] = value
		}
		in = append(in, manifest.Object{Path: s.File, Value: map[string]any{
			"apiVersion": "v1", "kind": "Secret",
			"metadata": map[string]any{"name": s.Name, "namespace": s.Namespace, "labels": labels},
		}})
	}
	return in
}

// encode writes the objects as one stream, each with its number.
func (a *application) encode(in []manifest.Object) ([]byte, error) {
	values := make([]map[string]any, len(in))
	for i, o := range in {
		// A copy down to the annotations; templates may share the rest.
		value := clone(o.Value)
		metadata := clone(value["metadata"])
		annotations := clone(metadata["annotations"])
		annotations[number] = strconv.Itoa(i)
		metadata["annotations"], value["metadata"] = annotations, metadata
		values[i] = value
	}
	return yaml.AppendDocuments(nil, values)
}

func clone(value any) map[string]any {
	copied := map[string]any{}
	m, _ := value.(map[string]any)
	for name, v := range m {
		copied[name] = v
	}
	return copied
}

// building is held by the one build that may run: kustomize keeps its schemas in
// variables of its own.
var building sync.Mutex //nolint:gochecknoglobals // what it guards is global, too

// build runs kustomize. It panics on some objects that are not what it expects;
// such a one is the overlay's fault, and no reason to crash.
func build(source Source, objects []byte) (yaml []byte, err error) {
	building.Lock()
	defer building.Unlock()
	defer func() {
		if reason := recover(); reason != nil {
			err = errors.New("kustomize has crashed on it")
		}
	}()
	// What it logs quotes objects, and would pass by whoever masks our messages.
	to := log.Writer()
	log.SetOutput(io.Discard)
	defer log.SetOutput(to)
	// A schema that an earlier overlay brought would be in force still.
	openapi.ResetOpenAPI()
	defer openapi.ResetOpenAPI()
	names, err := Names()
	if err != nil {
		return nil, err
	}
	folder := path.Join("/", source.Dir)
	fsys := &files{
		disk: source.Files,
		tree: path.Join(folder, Tree),
		rendered: map[string][]byte{
			"kustomization.yaml": []byte("resources: [objects.yaml]\nconfigurations: [names.yaml]\n"),
			"objects.yaml":       objects,
			"names.yaml":         names,
		},
	}
	result, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fsys, folder)
	if fsys.refused != nil {
		return nil, fsys.refused
	}
	if err != nil {
		return nil, err
	}
	return result.AsYaml()
}

// sort tells what came out from what went in.
func (a *application) sort(in []manifest.Object, objects []map[string]any) {
	a.names, a.secrets = map[string]string{}, map[int]manifest.Object{}
	ours := 0
	var moved []string
	firstSecret := len(in) - len(a.plan.Secrets)
	for _, value := range objects {
		o := manifest.Object{Value: value}
		at, known := takeNumber(value, len(in))
		if !known {
			a.add(o)
			continue
		}
		ours++
		was := in[at]
		o.Path = was.Path
		if o.Kind() != was.Kind() || o.Namespace() != was.Namespace() {
			moved = append(moved, was.ID()+" becomes "+o.ID())
		}
		a.names[was.ID()] = o.Name()
		if at < firstSecret {
			a.out = append(a.out, o)
			continue
		}
		a.secrets[at-firstSecret] = o
		for _, field := range []string{"data", "stringData"} {
			if value[field] != nil {
				a.problems = append(a.problems, a.refuse(was.ID(), "the overlay writes values into a Secret", "the credentials say what is in it"))
			}
		}
	}
	if ours == 0 {
		a.problems = append(a.problems, a.refuse("", "nothing of what was rendered comes out", "list "+Tree+" among the resources of the kustomization"))
		return
	}
	if len(moved) > 0 {
		a.problems = append(a.problems, a.refuse("", fmt.Sprintf("%d objects change more than their names; %s", len(moved), moved[0]),
			"neither kind nor namespace is the overlay's: the state says where things are"))
	}
	for i, s := range a.plan.Secrets {
		if _, found := a.secrets[i]; !found {
			a.problems = append(a.problems, a.refuse("Secret/"+s.Namespace+"/"+s.Name, "the overlay removes a Secret that backups need", ""))
		}
	}
}

// takeNumber removes the annotation of encode and returns its number.
func takeNumber(value map[string]any, most int) (int, bool) {
	metadata, _ := value["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	text, _ := annotations[number].(string)
	if delete(annotations, number); len(annotations) == 0 {
		delete(metadata, "annotations")
	}
	at, err := strconv.Atoi(text)
	return at, err == nil && at >= 0 && at < most
}

// add takes an object that the overlay brings along.
func (a *application) add(o manifest.Object) {
	if o.Kind() == "Secret" {
		a.problems = append(a.problems, a.refuse(o.ID(), "the overlay makes a Secret, which would stand in plain text in the tree", "encrypt it and apply it on its own, or let an ExternalSecret make it"))
		return
	}
	stage := manifest.Backup
	if k, known := manifest.KindOf(o); known {
		stage = k.Stage
	}
	o.Path = path.Join(a.plan.Instance, string(stage), "overlay.yaml")
	metadata := clone(o.Value["metadata"])
	labels := clone(metadata["labels"])
	if annotations := clone(metadata["annotations"]); stage == manifest.Repository && annotations[secrets.ArgoWave] == nil {
		annotations[secrets.ArgoWave] = secrets.ArgoFirst
		metadata["annotations"] = annotations
	}
	if labels["app.kubernetes.io/managed-by"] == nil {
		labels["app.kubernetes.io/managed-by"] = "holdfast"
	}
	metadata["labels"], o.Value["metadata"] = labels, metadata
	a.out = append(a.out, o)
}

// followDumpPods corrects what names a PreBackupPod of another namespace, which
// kustomize takes for no reference: a policy that admits its pod.
func (a *application) followDumpPods(value map[string]any) {
	spec, _ := value["spec"].(map[string]any)
	rules, _ := spec["ingress"].([]any)
	for _, rule := range rules {
		r, _ := rule.(map[string]any)
		from, _ := r["from"].([]any)
		for _, peer := range from {
			p, _ := peer.(map[string]any)
			pods := labelsOf(p["podSelector"])
			name, _ := pods[dumpPod].(string)
			namespace, _ := labelsOf(p["namespaceSelector"])["kubernetes.io/metadata.name"].(string)
			if name != "" {
				pods[dumpPod] = a.now("PreBackupPod", namespace, name)
			}
		}
	}
}

// ownSecrets is the list of Secrets that a copy of a namespace's Secrets leaves out, one
// a line. kustomize knows names, and no lists of them.
const ownSecrets = "HOLDFAST_OWN_SECRETS"

// followSecrets corrects that list.
func (a *application) followSecrets(o manifest.Object) {
	data, _ := o.Value["data"].(map[string]any)
	names, listed := data[ownSecrets].(string)
	if o.Kind() != "ConfigMap" || !listed {
		return
	}
	lines := strings.Split(names, "\n")
	for i := range lines {
		lines[i] = a.now("Secret", o.Namespace(), lines[i])
	}
	data[ownSecrets] = strings.Join(lines, "\n")
}

// dumpPod is the label that K8up gives a dump pod: its PreBackupPod's name.
const dumpPod = "k8up.io/preBackupPod"

func labelsOf(selector any) map[string]any {
	s, _ := selector.(map[string]any)
	labels, _ := s["matchLabels"].(map[string]any)
	return labels
}

// grouped puts the objects back into files.
func (a *application) grouped() []eval.Rendered {
	at := map[string]int{}
	var files []eval.Rendered
	for _, o := range append(a.aside, a.out...) {
		i, known := at[o.Path]
		if !known {
			i = len(files)
			at[o.Path] = i
			files = append(files, eval.Rendered{Path: o.Path})
		}
		files[i].Objects = append(files[i].Objects, o.Value)
	}
	return files
}

// now returns the name that an object of ours has now.
func (a *application) now(kind, namespace, name string) string {
	if changed, known := a.names[kind+"/"+namespace+"/"+name]; known {
		return changed
	}
	return name
}
