package manifest

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

// mostObjects is how many objects one Flux Kustomization may hold: the time
// that kustomize takes grows with their square.
const mostObjects = 1000

// inspector holds the objects of one tree by what others refer to them.
type inspector struct {
	plan    *plan.Plan
	kinds   table
	objects []Object
	byID    map[string]Object
	byKind  map[string][]Object
	pods    []pod
	// units and restores are the plan's items, by namespace/name of the objects
	// that run and that restore them.
	units, restores map[string]plan.Item
	// keepers are what opens the backup's storage beside K8up's own jobs, by ID: what
	// makes, tries and copies to it, and what restores.
	keepers map[string]bool
	// bound are the accounts that a binding gives rights, by namespace/name.
	bound map[string]bool
	// accounts are as whom the pods of the plan's objects run, by the objects' ID.
	accounts map[string]string
	// rights are all that a role may give.
	rights   []right
	problems problem.List
}

// newInspector indexes the objects and the plan.
func newInspector(objects []Object, p *plan.Plan) *inspector {
	in := &inspector{
		plan: p, kinds: newTable(), objects: objects, pods: podsOf(objects),
		byID: map[string]Object{}, byKind: map[string][]Object{},
		units: map[string]plan.Item{}, restores: map[string]plan.Item{},
		bound: map[string]bool{}, keepers: map[string]bool{}, accounts: map[string]string{},
	}
	for _, r := range p.Repositories {
		in.keepers["Job/"+r.Namespace+"/"+r.Bootstrap] = true
		in.accounts["Job/"+r.Namespace+"/"+r.Bootstrap] = k8upsAccount
	}
	for _, f := range p.Preflights {
		in.keepers["Job/"+f.Namespace+"/"+f.Name] = true
		in.accounts["Job/"+f.Namespace+"/"+f.Name] = f.Name
	}
	for _, m := range p.Markers {
		in.accounts["CronJob/"+m.Namespace+"/"+m.Name] = m.Name
		in.accounts["Job/"+m.Namespace+"/"+m.First] = m.Name
	}
	for _, v := range p.Verifiers {
		in.keepers["CronJob/"+v.Namespace+"/"+v.Name] = true
		in.accounts["CronJob/"+v.Namespace+"/"+v.Name] = v.Name
	}
	for _, i := range p.Units {
		in.units[i.Namespace+"/"+i.Name] = i
		in.restores[i.Namespace+"/"+i.Restore] = i
		in.keepers["Job/"+i.Namespace+"/"+i.Restore] = true
		in.keepers["CronJob/"+i.Namespace+"/"+i.Name] = i.Copy != nil
		in.accounts["Job/"+i.Namespace+"/"+i.Restore] = i.Restore
		in.accounts["CronJob/"+i.Namespace+"/"+i.Name] = i.ServiceAccount
		in.accounts["PreBackupPod/"+i.Namespace+"/"+i.Name] = i.ServiceAccount
	}
	for _, o := range objects {
		in.byKind[o.Kind()] = append(in.byKind[o.Kind()], o)
		if o.Kind() == "RoleBinding" || o.Kind() == "ClusterRoleBinding" {
			for _, subject := range list(o.Value, "subjects") {
				in.bound[text(subject, "namespace")+"/"+text(subject, "name")] = true
			}
		}
	}
	return in
}

// place is the key of in's maps.
func place(o Object) string { return o.Namespace() + "/" + o.Name() }

// Inspect checks what no schema checks: that objects refer to what exists, that
// K8up will do what the plan says, that every pod is restricted and confined.
// A finding is a template's bug, unless a kind of the user's own made it.
func Inspect(objects []Object, p *plan.Plan) problem.List {
	objects, found := withoutAccount(objects, p)
	in := newInspector(objects, p)
	in.problems = found
	for _, o := range objects {
		in.known(o)
		in.identity(o)
		in.readable(o)
		in.byID[o.ID()] = o
	}
	// What an overlay may say of a Secret is its name, labels and annotations.
	for _, s := range p.Secrets {
		labels := map[string]any{}
		for name, value := range s.Labels {
			labels[name] = value
		}
		annotations := map[string]any{}
		for name, value := range s.Annotations {
			annotations[name] = value
		}
		in.identity(Object{Path: s.File, Value: map[string]any{
			"apiVersion": "v1", "kind": "Secret",
			"metadata": map[string]any{"name": s.Name, "namespace": s.Namespace, "labels": labels, "annotations": annotations},
		}})
	}
	in.rights = in.mayExport()
	for _, o := range objects {
		if k, known := in.kinds.of(o); known && k.inspect != nil {
			k.inspect(in, o)
		}
	}
	for _, p := range in.pods {
		in.pod(p)
	}
	in.confinement()
	in.complete()
	in.size()
	return in.problems
}

func (in *inspector) add(o Object, rule, hint, format string, args ...any) {
	in.problems = append(in.problems, problem.Problem{
		Pointer: o.ID(), Message: o.Path + ": " + fmt.Sprintf(format, args...), Hint: hint, Rule: rule,
	})
}

// identity checks what every object has.
func (in *inspector) identity(o Object) {
	if o.APIVersion() == "" || o.Kind() == "" || o.Name() == "" {
		in.add(o, "HF401", "", "apiVersion, kind and metadata.name are required")
		return
	}
	if !strings.HasPrefix(o.Path, in.plan.Instance+"/") || path.Clean(o.Path) != o.Path {
		in.add(o, "HF426", "", "the file lies outside the instance's folder")
	}
	in.inPlace(o)
	if wrong := validation.IsDNS1123Subdomain(o.Name()); len(wrong) > 0 {
		in.add(o, "HF402", "", "name: %s", wrong[0])
	}
	if o.Namespace() != "" {
		if wrong := validation.IsDNS1123Label(o.Namespace()); len(wrong) > 0 {
			in.add(o, "HF402", "", "namespace: %s", wrong[0])
		}
	}
	own := labels(o.Value, "metadata", "labels")
	if own["app.kubernetes.io/managed-by"] != "holdfast" {
		in.add(o, "HF401", "", "the label app.kubernetes.io/managed-by is missing")
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		for _, wrong := range append(validation.IsQualifiedName(name), validation.IsValidLabelValue(own[name])...) {
			in.add(o, "HF402", "", "label %s: %s", name, wrong)
		}
	}
	in.leftToOthers(o)
	if _, twice := in.byID[o.ID()]; twice {
		in.add(o, "HF403", "", "the object is rendered twice")
	}
}

// leftToOthers refuses what makes kustomize, Flux or Argo CD leave out an object, or
// treat it as another. Flux reads its words from labels, too.
func (in *inspector) leftToOthers(o Object) {
	const flux = "kustomize.toolkit.fluxcd.io/"
	for _, field := range []string{"annotations", "labels"} {
		said := object(o.Value, "metadata", field)
		for _, name := range slices.Sorted(maps.Keys(said)) {
			wrong := false
			switch name {
			case "config.kubernetes.io/local-config", "argocd.argoproj.io/hook", "helm.sh/hook", flux + "reconcile":
				wrong = true
			case secrets.NoPrune, secrets.NoSubstitution:
				wrong = said[name] != "disabled"
			case flux + "ssa":
				once := o.Kind() == "ConfigMap" && ownsData(o) || o.Kind() == "ServiceAccount" && o.Name() == k8upsAccount
				wrong = said[name] != "Override" && (said[name] != "IfNotPresent" || !once)
			}
			if wrong {
				in.add(o, "HF433", "", "metadata.%s: %s: %v makes of the object something else than what is looked at here", field, name, said[name])
			}
		}
	}
}

// known refuses what is not in the table.
func (in *inspector) known(o Object) {
	if _, known := in.kinds.of(o); known || o.Kind() == "" || o.APIVersion() == "" {
		return // what it lacks is reported by identity
	}
	for _, k := range in.kinds.rows {
		if k.Kind == o.Kind() {
			in.add(o, "HF435", "write apiVersion: "+k.APIVersion, "a tree holds no %s of %.60q", o.Kind(), o.APIVersion())
			return
		}
	}
	in.add(o, "HF435", "who needs it applies it on its own, beside the tree", "a tree holds no %.60q", o.Kind())
}

// readable refuses an object that others are made of, or that has a Secret's values.
func (in *inspector) readable(o Object) {
	if _, is := o.Value["items"].([]any); is {
		in.add(o, "HF429", "give each object by itself", "it is a list, whatever its kind: who applies it makes all that is in it, and nothing of that is looked at")
	}
	if o.Kind() != "Secret" && secrets.Readable(o.Value) {
		in.add(o, "HF419", "encrypt it and apply it on its own, or let an ExternalSecret make it", "a Secret stands in it in plain text")
	}
}

// secret refuses Secrets: Go makes them behind all templates and overlays.
func (in *inspector) secret(o Object) {
	in.add(o, "HF419", "name the credentials in the unit's capture instead", "a template made a Secret; only Go does, so that no template sees a value")
}

// externalSecret refuses one that makes something else than a Secret (its
// spec.target.manifest), or one of those that are made from the credentials.
func (in *inspector) externalSecret(o Object) {
	in.makesSecret(o, cmp.Or(text(o.Value, "spec", "target", "name"), o.Name()))
	if at(o.Value, "spec", "target", "manifest") != nil {
		in.add(o, "HF435", "let it make a Secret", "spec.target.manifest makes objects of any kind, and nothing of them is looked at")
	}
}

// sealedSecret refuses one of a Secret that is made from the credentials.
func (in *inspector) sealedSecret(o Object) { in.makesSecret(o, o.Name()) }

func (in *inspector) makesSecret(o Object, name string) {
	if in.ours(o.Namespace(), name) {
		in.add(o, "HF403", "", "it makes the Secret %s, which is made from the credentials already", name)
	}
}

// kustomization refuses all but the two by which Flux applies the tree: any other is an
// order that makes what no rule here has seen.
func (in *inspector) kustomization(o Object) {
	if !in.isOwnFlux(o) {
		in.add(o, "HF435", "who needs it applies it on its own", "of Flux' Kustomizations a tree holds its own two")
	}
}

// ownsData reports whether a ConfigMap's data is made in the cluster: who holds a lock,
// what the verifier found.
func ownsData(o Object) bool {
	return strings.HasSuffix(o.Name(), ".lock") || strings.HasSuffix(o.Name(), ".status")
}

// configMap checks keys, locks and the status.
func (in *inspector) configMap(o Object) {
	for _, key := range slices.Sorted(maps.Keys(object(o.Value, "data"))) {
		if wrong := validation.IsConfigMapKey(key); len(wrong) > 0 {
			in.add(o, "HF408", "", "key %q: %s", key, wrong[0])
		}
	}
	if !ownsData(o) {
		return
	}
	if _, set := o.Value["data"]; set {
		in.add(o, "HF423", "", "a lock or a status has no data in Git: its data is made in the cluster")
	}
	if text(o.Value, "metadata", "annotations", "kustomize.toolkit.fluxcd.io/ssa") != "IfNotPresent" {
		in.add(o, "HF423", "", "without IfNotPresent Flux would take away what was written in the cluster")
	}
}

// complete checks that the tree has what the plan promises: for each unit what
// runs it, its lock and its restore, and the maintenance of each repository.
func (in *inspector) complete() {
	must := func(unit, id string) {
		if _, found := in.byID[id]; !found {
			in.problems = append(in.problems, problem.Problem{
				Pointer: unit, Message: "the tree has no " + id, Hint: "objects(item) or restore(item, request) left it out", Rule: "HF427",
			})
		}
	}
	for _, i := range in.plan.Units {
		runs := "Schedule"
		if i.Capture.How == kind.Sync {
			runs = "CronJob"
		}
		must(i.ID, runs+"/"+i.Namespace+"/"+i.Name)
		if i.Capture.How == kind.Dump || i.Capture.How == kind.Exec {
			must(i.ID, "PreBackupPod/"+i.Namespace+"/"+i.Name)
		}
		must(i.ID, "ConfigMap/"+i.Namespace+"/"+i.Lock)
		must(i.ID, "Job/"+i.Namespace+"/"+i.Restore)
	}
	for _, m := range in.plan.Maintenance {
		must(string(m.Job), "Schedule/"+m.Namespace+"/"+m.Name)
	}
	for _, m := range in.plan.Markers {
		must("marker", "CronJob/"+m.Namespace+"/"+m.Name)
		must("marker", "Job/"+m.Namespace+"/"+m.First)
	}
	for _, v := range in.plan.Verifiers {
		must("verifier", "CronJob/"+v.Namespace+"/"+v.Name)
		must("verifier", "ConfigMap/"+v.Namespace+"/"+v.Status)
	}
	for _, f := range in.plan.Preflights {
		must("preflight", "Job/"+f.Namespace+"/"+f.Name)
	}
	for _, r := range in.plan.Repositories {
		must("repository", "Job/"+r.Namespace+"/"+r.Bootstrap)
	}
	if in.plan.Enabled && in.plan.Network.Engine != "none" {
		for _, namespace := range in.plan.Namespaces {
			// By what it does: an overlay may change its name.
			if !slices.ContainsFunc(in.byKind["NetworkPolicy"], func(o Object) bool { return o.Namespace() == namespace && in.isDefaultDeny(o) }) {
				must("network", "NetworkPolicy/"+namespace+"/"+in.plan.Instance+"-default-deny")
			}
		}
	}
}

// size keeps each stage small enough for Flux.
func (in *inspector) size() {
	count := map[string]int{}
	for _, o := range in.objects {
		if parts := strings.SplitN(o.Path, "/", 3); len(parts) == 3 {
			count[parts[1]]++
		}
	}
	for _, stage := range slices.Sorted(maps.Keys(count)) {
		if count[stage] > mostObjects {
			in.problems = append(in.problems, problem.Problem{
				Pointer: in.plan.Instance + "/" + stage,
				Message: fmt.Sprintf("%d objects in one Flux Kustomization; kustomize takes time with their square, %d are the most", count[stage], mostObjects),
				Rule:    "HF422",
			})
		}
	}
}

// textsAt collects the strings under a key, anywhere in a value.
func textsAt(value any, key string) []string {
	var found []string
	switch v := value.(type) {
	case []any:
		for _, e := range v {
			found = append(found, textsAt(e, key)...)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if s, ok := v[name].(string); ok && name == key {
				found = append(found, s)
			}
			found = append(found, textsAt(v[name], key)...)
		}
	}
	return found
}

// mustExist checks that an object of the tree has that name, in the namespace
// of o.
func (in *inspector) mustExist(o Object, kind, name string) {
	if _, found := in.byID[kind+"/"+o.Namespace()+"/"+name]; !found {
		in.add(o, "HF406", "", "refers to %s %s, which nobody makes", kind, name)
	}
}

// configMapKey checks a key of a ConfigMap, ours or one that the state declares (the
// CA of a server); "" asks for the ConfigMap alone.
func (in *inspector) configMapKey(o Object, name, key string) {
	if found, ours := in.byID["ConfigMap/"+o.Namespace()+"/"+name]; ours {
		if _, has := object(found.Value, "data")[key]; !has && key != "" {
			in.add(o, "HF406", "", "ConfigMap %s has no key %q", name, key)
		}
		return
	}
	in.declared(o, "ConfigMap", name, key)
}

// secretKey checks a key of a Secret; "" asks for the Secret alone.
func (in *inspector) secretKey(o Object, name, key string) {
	for _, s := range in.plan.Secrets {
		if s.Namespace != o.Namespace() || s.Name != name {
			continue
		}
		if slices.ContainsFunc(s.Keys, func(k plan.SecretKey) bool { return plan.BackupsOwn(k.Field) }) && !in.keepers[o.ID()] && o.Kind() != "Schedule" {
			in.add(o, "HF428", "", "its pod has no need of the Secret %s, which opens the backup itself", name)
		}
		if key != "" && !slices.ContainsFunc(s.Keys, func(k plan.SecretKey) bool { return k.Key == key }) {
			in.add(o, "HF406", "", "Secret %s has no key %q", name, key)
		}
		return
	}
	in.declared(o, "Secret", name, key)
}

// ours reports whether a Secret is one that is made here.
func (in *inspector) ours(namespace, name string) bool {
	return slices.ContainsFunc(in.plan.Secrets, func(s plan.Secret) bool { return s.Namespace == namespace && s.Name == name })
}

func (in *inspector) declared(o Object, kind, name, key string) {
	for _, d := range in.plan.Declared {
		if d.Kind == kind && d.Namespace == o.Namespace() && d.Name == name && (key == "" || slices.Contains(d.Keys, key)) {
			return
		}
	}
	what := kind + " " + name
	if key != "" {
		what += fmt.Sprintf(", key %q", key)
	}
	in.add(o, "HF406", "the state declares Secrets and ConfigMaps by its *Ref fields", "refers to %s, which nobody makes or declares", what)
}
