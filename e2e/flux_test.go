package e2e_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/object"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/normalize"
	ssautils "github.com/fluxcd/pkg/ssa/utils"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/kustomize/api/krusty"
	kustomize "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-backup/holdfast/e2e/harness"
	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
	encoding "github.com/holdfast-backup/holdfast/renderer/yaml"
	"github.com/holdfast-backup/holdfast/templates"
)

// Only the definitions are read of these two modules; as requirements, their
// dependencies would fight with ours. The sums stand here in place of go.sum.
const (
	k8upModule    = "github.com/k8up-io/k8up/v2@v2.15.0"
	k8upModuleSum = "h1:SkuTHSuc7Lmx7TPEIOjEdaqgSXCKxVwG2GvdAj1X08c="
	fluxModule    = "github.com/fluxcd/kustomize-controller@v1.9.5"
	fluxModuleSum = "h1:/XY2zy3K7fntyppEXIHG7oRMzmfgIt50eJzUfaPX1Kc="
)

// ciliumDefinition stands for Cilium's: it takes any CiliumNetworkPolicy.
const ciliumDefinition = `{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
	"metadata": {"name": "ciliumnetworkpolicies.cilium.io"},
	"spec": {"group": "cilium.io", "scope": "Namespaced",
		"names": {"kind": "CiliumNetworkPolicy", "plural": "ciliumnetworkpolicies", "singular": "ciliumnetworkpolicy"},
		"versions": [{"name": "v2", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
			"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}`

// fluxGroup is the prefix of the annotations by which Flux is told what to do.
const fluxGroup = "kustomize.toolkit.fluxcd.io"

// fluxController is Flux's own code for building, applying and pruning, set up
// as kustomize-controller 1.9 does it, at a real API server. Two things it does
// are not here: there are no kubelets, so nothing waits for Jobs; and the trees
// have their secrets in plain text, so nothing is decrypted.
type fluxController struct {
	cluster *harness.ClusterServer
	client  client.Client
	manager *ssa.ResourceManager
	config  *rest.Config
	mapper  meta.RESTMapper
	worlds  int
}

// newFlux starts a control plane of its own, because K8up's definitions would
// change what other tests find in the shared one.
func newFlux(t *testing.T) *fluxController {
	t.Helper()
	log.SetLogger(logr.Discard())
	cluster, err := harness.StartControlPlane(harness.ControlPlane{
		Address: "127.0.0.1", Port: harness.Port(t), EtcdPorts: [2]int{harness.Port(t), harness.Port(t)},
		APIServer:   []string{"--endpoint-reconciler-type=none", "--authorization-mode=RBAC"},
		Controllers: []string{"--controllers=namespace-controller,serviceaccount-controller,garbage-collector-controller,root-ca-certificate-publisher-controller,clusterrole-aggregation-controller"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Remove)
	for _, folder := range []string{
		filepath.Join(moduleFolder(t, k8upModule, k8upModuleSum), "config", "crd", "apiextensions.k8s.io", "v1"),
		filepath.Join(moduleFolder(t, fluxModule, fluxModuleSum), "config", "crd", "bases"),
	} {
		cluster.Kubectl(t, "apply", "--server-side", "--filename="+folder)
	}
	// Cilium's own definitions are in no module of a size that is worth it.
	if _, err := cluster.KubectlIn([]byte(ciliumDefinition), "apply", "--server-side", "--filename=-"); err != nil {
		t.Fatal(err)
	}
	cluster.Kubectl(t, "wait", "--for=condition=Established", "--timeout=60s", "customresourcedefinition", "--all")
	cluster.Kubectl(t, "create", "namespace", "flux-system")

	config, err := clientcmd.BuildConfigFromFlags("", cluster.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	web, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, web)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{HTTPClient: web, Mapper: mapper})
	if err != nil {
		t.Fatal(err)
	}
	return &fluxController{cluster: cluster, client: c, manager: newResourceManager(c, mapper), config: config, mapper: mapper}
}

func newResourceManager(c client.Client, mapper meta.RESTMapper) *ssa.ResourceManager {
	manager := ssa.NewResourceManager(c, polling.NewStatusPoller(c, mapper, polling.Options{}), ssa.Owner{Field: "kustomize-controller", Group: fluxGroup})
	manager.SetConcurrency(4)
	return manager
}

// as is who applies a Kustomization: Flux itself, or the account that it names.
func (f *fluxController) as(k *kustomizev1.Kustomization) (*ssa.ResourceManager, error) {
	if k.Spec.ServiceAccountName == "" {
		return f.manager, nil
	}
	config := rest.CopyConfig(f.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + k.Namespace + ":" + k.Spec.ServiceAccountName}
	c, err := client.New(config, client.Options{Mapper: f.mapper})
	return newResourceManager(c, f.mapper), err
}

// moduleFolder returns a module's source in the module cache.
func moduleFolder(t *testing.T, name, sum string) string {
	t.Helper()
	download := exec.Command("go", "mod", "download", "-json", name)
	download.Dir = t.TempDir() // no module: the command changes no go.mod of ours
	download.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := download.Output()
	var module struct{ Dir, Sum, Error string }
	if jsonErr := json.Unmarshal(out, &module); err != nil || jsonErr != nil || module.Dir == "" {
		t.Fatalf("go mod download %s: %v %v %s", name, err, jsonErr, module.Error)
	}
	if module.Sum != sum {
		t.Fatalf("%s has the sum %s, expected %s", name, module.Sum, sum)
	}
	return module.Dir
}

// options are what kustomizationReconciler.apply of kustomize-controller sets.
func (f *fluxController) options(k *kustomizev1.Kustomization) ssa.ApplyOptions {
	o := ssa.DefaultApplyOptions()
	o.WaitInterval = 100 * time.Millisecond // of two seconds, for a test
	o.Force = k.Spec.Force
	o.ExclusionSelector = map[string]string{fluxGroup + "/reconcile": kustomizev1.DisabledValue, fluxGroup + "/ssa": kustomizev1.IgnoreValue}
	o.IfNotPresentSelector = map[string]string{fluxGroup + "/ssa": kustomizev1.IfNotPresentValue}
	o.ForceSelector = map[string]string{fluxGroup + "/force": kustomizev1.EnabledValue}
	o.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{corev1.LastAppliedConfigAnnotation, fluxGroup + "/checksum", "fluxcd.io/sync-checksum"},
		Labels:      []string{"fluxcd.io/sync-gc-mark"},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "kustomize-controller", OperationType: metav1.ManagedFieldsOperationUpdate},
		},
		Exclusions: map[string]string{fluxGroup + "/ssa": kustomizev1.MergeValue},
	}
	return o
}

// build makes the objects of a Kustomization's folder.
func (f *fluxController) build(k *kustomizev1.Kustomization, files filesys.FileSystem) ([]*unstructured.Unstructured, error) {
	built, err := krusty.MakeKustomizer(&krusty.Options{
		LoadRestrictions: kustomize.LoadRestrictionsNone, PluginConfig: kustomize.DisabledPluginConfig(),
	}).Run(files, path.Clean(k.Spec.Path))
	if err != nil {
		return nil, err
	}
	text, err := built.AsYaml()
	if err != nil {
		return nil, err
	}
	return ssautils.ReadObjects(strings.NewReader(string(text)))
}

// reconcile builds and applies a Kustomization, writes its inventory, and prunes
// what the last inventory had and this one has not.
func (f *fluxController) reconcile(k *kustomizev1.Kustomization, files filesys.FileSystem) (*ssa.ChangeSet, error) {
	objects, err := f.build(k, files)
	if err != nil {
		return nil, err
	}
	manager, err := f.as(k)
	if err != nil {
		return nil, err
	}
	manager.SetOwnerLabels(objects, k.Name, k.Namespace)
	if err := normalize.UnstructuredList(objects); err != nil {
		return nil, err
	}
	changes, err := manager.ApplyAllStaged(context.Background(), objects, f.options(k))
	if err != nil {
		return nil, err
	}
	old := k.Status.Inventory
	k.Status.Inventory = &kustomizev1.ResourceInventory{}
	for _, entry := range changes.Entries {
		k.Status.Inventory.Entries = append(k.Status.Inventory.Entries, kustomizev1.ResourceRef{ID: entry.ObjMetadata.String(), Version: entry.GroupVersion})
	}
	if k.Spec.Prune {
		err = f.prune(k, old, k.Status.Inventory)
	}
	return changes, err
}

// prune deletes what is in one inventory and not in another.
func (f *fluxController) prune(k *kustomizev1.Kustomization, old, now *kustomizev1.ResourceInventory) error {
	if old == nil {
		return nil
	}
	var stale []*unstructured.Unstructured
	for _, entry := range old.Entries {
		if slices.ContainsFunc(now.Entries, func(e kustomizev1.ResourceRef) bool { return e.ID == entry.ID }) {
			continue
		}
		id, err := object.ParseObjMetadata(entry.ID)
		if err != nil {
			return err
		}
		o := &unstructured.Unstructured{}
		o.SetGroupVersionKind(id.GroupKind.WithVersion(entry.Version))
		o.SetNamespace(id.Namespace)
		o.SetName(id.Name)
		stale = append(stale, o)
	}
	manager, err := f.as(k)
	if err != nil {
		return err
	}
	_, err = manager.DeleteAll(context.Background(), stale, ssa.DeleteOptions{
		PropagationPolicy: metav1.DeletePropagationBackground,
		Inclusions:        manager.GetOwnerLabels(k.Name, k.Namespace),
		Exclusions: map[string]string{
			fluxGroup + "/prune":     kustomizev1.DisabledValue,
			fluxGroup + "/reconcile": kustomizev1.DisabledValue,
			fluxGroup + "/ssa":       kustomizev1.IgnoreValue,
		},
	})
	return err
}

// repository is a Git repository with a rendered tree, and the Kustomizations
// that reconcile it.
type repository struct {
	t     *testing.T
	flux  *fluxController
	spoil func(object map[string]any)
	// tree is what was rendered last.
	tree  []manifest.File
	plans []*plan.Plan
	// stages are the tree's Kustomizations in the order in which they may run.
	stages []*kustomizev1.Kustomization
	// account is what stands beside them, as JSON: as whom they are applied.
	account [][]byte
}

// render renders inputs into the repository. What spoil does to each object is
// the only difference to what holdfast writes.
func (r *repository) render(templates fs.FS, in renderer.Inputs) error {
	program, err := renderer.New(templates)
	if err != nil {
		return err
	}
	made, err := program.Render(in, renderer.Options{Secrets: secrets.Plain})
	if err != nil {
		return err
	}
	r.tree, r.plans = made.Bundle.Files, nil
	for _, p := range made.Planned {
		if p.Plan.Enabled {
			r.plans = append(r.plans, p.Plan)
		}
	}
	for i, file := range r.tree {
		if r.spoil == nil || path.Ext(file.Path) != ".yaml" || path.Base(file.Path) == "kustomization.yaml" {
			continue
		}
		objects, err := encoding.Decode(file.Data)
		if err != nil {
			return err
		}
		for _, o := range objects {
			r.spoil(o)
		}
		if r.tree[i].Data, err = encoding.AppendDocuments(nil, objects); err != nil {
			return err
		}
	}
	return r.kustomizations()
}

// kustomizations reads flux.yaml, by Flux's own types and strictly. Those that
// are known keep their inventory.
func (r *repository) kustomizations() error {
	r.account = nil
	var found []*kustomizev1.Kustomization
	for _, file := range r.tree {
		if path.Base(file.Path) != "flux.yaml" {
			continue
		}
		objects, err := encoding.Decode(file.Data)
		if err != nil {
			return err
		}
		for _, o := range objects {
			data, err := json.Marshal(o)
			if err != nil {
				return err
			}
			if o["kind"] != "Kustomization" {
				r.account = append(r.account, data)
				continue
			}
			k := &kustomizev1.Kustomization{}
			if err := yaml.UnmarshalStrict(data, k); err != nil {
				return fmt.Errorf("%s: %w", file.Path, err)
			}
			for _, old := range r.stages {
				if old.Name == k.Name && old.Namespace == k.Namespace {
					k.Status = old.Status
				}
			}
			found = append(found, k)
		}
	}
	// Those that others depend on come first.
	r.stages = nil
	for len(found) > 0 {
		next := slices.IndexFunc(found, func(k *kustomizev1.Kustomization) bool {
			return !slices.ContainsFunc(k.Spec.DependsOn, func(d kustomizev1.DependencyReference) bool {
				return slices.ContainsFunc(found, func(other *kustomizev1.Kustomization) bool { return other.Name == d.Name })
			})
		})
		if next < 0 {
			return errors.New("the Kustomizations wait for each other")
		}
		r.stages = append(r.stages, found[next])
		found = slices.Delete(found, next, next+1)
	}
	return nil
}

// files is the Git repository, with the tree where the Kustomization expects it.
func (r *repository) files(k *kustomizev1.Kustomization) (filesys.FileSystem, error) {
	disk := filesys.MakeFsInMemory()
	for _, file := range r.tree {
		// The path ends in INSTANCE/STAGE.
		if err := disk.WriteFile(path.Join(k.Spec.Path, "..", "..", file.Path), file.Data); err != nil {
			return nil, err
		}
	}
	return disk, nil
}

// apply reconciles every stage once and returns what became of each object. An
// object that two stages have is there twice.
func (r *repository) apply() (map[string][]string, error) {
	became := map[string][]string{}
	for _, object := range r.account {
		// Whoever applies the Kustomizations makes it.
		if _, err := r.flux.cluster.KubectlIn(object, "apply", "--server-side", "--filename=-"); err != nil {
			return nil, err
		}
	}
	for _, k := range r.stages {
		disk, err := r.files(k)
		if err != nil {
			return nil, err
		}
		changes, err := r.flux.reconcile(k, disk)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.Name, err)
		}
		for _, entry := range changes.Entries {
			became[string(entry.Action)] = append(became[string(entry.Action)], entry.Subject)
		}
	}
	return became, nil
}

// instance is the tree as the harness has it, to run its containers.
func (r *repository) instance() *harness.Instance {
	return &harness.Instance{Plan: r.plans[0], Objects: r.objects()}
}

// objects are those of the tree that are applied: neither restores nor Flux's own.
func (r *repository) objects() []map[string]any {
	r.t.Helper()
	var all []map[string]any
	for _, file := range r.tree {
		if !strings.Contains(file.Path, "/backup/") && !strings.Contains(file.Path, "/repository/") || path.Base(file.Path) == "kustomization.yaml" {
			continue
		}
		objects, err := encoding.Decode(file.Data)
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, objects...)
	}
	return all
}

// namespaces makes those that the tree needs.
func (r *repository) namespaces() {
	r.t.Helper()
	for _, p := range r.plans {
		for _, name := range p.Namespaces {
			if _, err := r.flux.cluster.TryKubectl("get", "namespace", name); err != nil {
				r.flux.cluster.Kubectl(r.t, "create", "namespace", name)
			}
		}
	}
}

// live reads an object of the tree from the API server; nil when it is not there.
func (f *fluxController) live(o map[string]any) (*unstructured.Unstructured, error) {
	found := &unstructured.Unstructured{}
	found.SetGroupVersionKind((&unstructured.Unstructured{Object: o}).GroupVersionKind())
	err := f.client.Get(context.Background(), client.ObjectKeyFromObject(&unstructured.Unstructured{Object: o}), found)
	if client.IgnoreNotFound(err) == nil && err != nil {
		return nil, nil
	}
	return found, err
}

func subject(o map[string]any) string {
	return ssautils.FmtUnstructured(&unstructured.Unstructured{Object: o})
}

func annotation(o map[string]any, name string) string {
	return (&unstructured.Unstructured{Object: o}).GetAnnotations()[fluxGroup+"/"+name]
}

// desk is a repository with an instance of examples/e2e, in namespaces of its own.
type desk struct {
	*repository
	state, credentials map[string]any
	app, db            string
}

func (f *fluxController) desk(t *testing.T, spoil func(object map[string]any)) *desk {
	t.Helper()
	f.worlds++
	d := &desk{repository: &repository{t: t, flux: f, spoil: spoil}, app: fmt.Sprintf("desk%d", f.worlds)}
	d.db = d.app + "-db"
	read := func(name string) map[string]any {
		data, err := examples.FS.ReadFile("e2e/" + name)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.NewReplacer(`"desk"`, `"`+d.app+`"`, `"desk-db"`, `"`+d.db+`"`, ".desk.svc", "."+d.app+".svc", ".desk-db.svc", "."+d.db+".svc",
			`"instanceId": "e2e"`, `"instanceId": "`+d.app+`"`).Replace(string(data))
		var document map[string]any
		if err := json.Unmarshal([]byte(text), &document); err != nil {
			t.Fatal(err)
		}
		return document
	}
	d.state, d.credentials = read("runtime-state.json"), read("backup-credentials.json")
	return d
}

// renderAgain renders the state and the credentials as they are now.
func (d *desk) renderAgain() error {
	var in renderer.Inputs
	for _, document := range []struct {
		name  string
		value map[string]any
		to    *[]input.Document
	}{{"runtime-state.json", d.state, &in.States}, {"backup-credentials.json", d.credentials, &in.Credentials}} {
		data, err := json.Marshal(document.value)
		if err != nil {
			return err
		}
		*document.to = []input.Document{{Name: document.name, Data: data}}
	}
	return d.render(templates.FS, in)
}

// mustRender is the same for what cannot fail.
func (d *desk) mustRender() {
	d.t.Helper()
	if err := d.renderAgain(); err != nil {
		d.t.Fatal(err)
	}
}

// mustApply reconciles everything.
func (d *desk) mustApply() map[string][]string {
	d.t.Helper()
	became, err := d.apply()
	if err != nil {
		d.t.Fatal(err)
	}
	return became
}

// unit is what is planned under that id.
func (d *desk) unit(id string) *plan.Item {
	d.t.Helper()
	return d.instance().Unit(d.t, id)
}

// take takes a lock with guard.sh's patch, under kubectl's own name for itself
// or under ours.
func (d *desk) take(namespace, lock string, flags ...string) {
	d.t.Helper()
	data := cmp.Or(d.flux.cluster.Kubectl(d.t, "get", "configmap", lock, "--namespace="+namespace, "--output=jsonpath={.data}"), "null")
	d.flux.cluster.Kubectl(d.t, append([]string{"patch", "configmap", lock, "--namespace=" + namespace, "--type=json",
		"--patch=" + acquirePatch(data, "me", "4102444800")}, flags...)...)
}

// holds tells whether a lock still says what take wrote.
func (d *desk) holds(namespace, lock string) error {
	data, err := d.flux.cluster.TryKubectl("get", "configmap", lock, "--namespace="+namespace, "--output=jsonpath={.data}")
	if err == nil && data != `{"holder":"me","until":"4102444800"}` {
		err = fmt.Errorf("the lock %s was taken from its holder: it says %q", lock, data)
	}
	return err
}

// settled tells whether a tree that is applied once more changes anything.
func settled(r *repository) error {
	if _, err := r.apply(); err != nil {
		return err
	}
	versions := func() map[string]string {
		all := map[string]string{}
		for _, o := range r.objects() {
			if found, err := r.flux.live(o); err == nil && found != nil {
				all[subject(o)] = found.GetResourceVersion()
			}
		}
		return all
	}
	before := versions()
	became, err := r.apply()
	if err != nil {
		return err
	}
	if len(became["unchanged"]) == 0 {
		return errors.New("nothing was applied")
	}
	for action, subjects := range became {
		if action != "unchanged" && action != "skipped" {
			return fmt.Errorf("drift without a change: %s: %s", action, strings.Join(subjects, ", "))
		}
	}
	// What is skipped is never mended: nothing may be that was not meant to be.
	var meant []string
	for _, o := range r.objects() {
		if annotation(o, "ssa") == "IfNotPresent" {
			meant = append(meant, subject(o))
		}
	}
	slices.Sort(meant)
	slices.Sort(became["skipped"])
	if !slices.Equal(meant, became["skipped"]) {
		return fmt.Errorf("skipped: %s; expected: %s", became["skipped"], meant)
	}
	if after := versions(); !maps.Equal(before, after) {
		return fmt.Errorf("versions changed from %v to %v", before, after)
	}
	return nil
}

// promise is one thing that the tree promises about Flux, and what makes it so:
// a tree without that must break the promise.
type promise struct {
	name   string
	check  func(d *desk) error
	breaks []spoiled
}

type spoiled struct {
	name string
	// says is in the complaint, so that it is this promise that breaks.
	says  string
	spoil func(object map[string]any)
}

// without takes one of Flux's annotations from the objects of a kind.
func without(kind, name string) func(map[string]any) {
	return func(o map[string]any) {
		if metadata, _ := o["metadata"].(map[string]any); o["kind"] == kind {
			if annotations, _ := metadata["annotations"].(map[string]any); annotations[fluxGroup+"/"+name] != nil {
				delete(annotations, fluxGroup+"/"+name)
			}
		}
	}
}

// with gives one to the objects of a kind.
func with(kind, name, value string) func(map[string]any) {
	return func(o map[string]any) {
		if o["kind"] == kind {
			u := &unstructured.Unstructured{Object: o}
			annotations := map[string]string{fluxGroup + "/" + name: value}
			maps.Copy(annotations, u.GetAnnotations())
			u.SetAnnotations(annotations)
		}
	}
}

func isLock(o map[string]any) bool {
	return o["kind"] == "ConfigMap" && strings.HasSuffix((&unstructured.Unstructured{Object: o}).GetName(), ".lock")
}

var promises = []promise{
	{name: "Kustomizations", check: checkKustomizations, breaks: []spoiled{
		{name: "the backup first", says: "backup: wrong: dependsOn", spoil: inStage("backup", func(s map[string]any) { delete(s, "dependsOn") })},
		{name: "nothing is pruned", says: "backup: wrong: prune", spoil: inStage("backup", func(s map[string]any) { s["prune"] = false })},
		{name: "nobody waits", says: "repository: wrong: wait", spoil: inStage("repository", func(s map[string]any) { s["wait"] = false })},
		{name: "shorter than its Job", says: "repository: wrong: timeout", spoil: inStage("repository", func(s map[string]any) { s["timeout"] = "1m" })},
		{name: "nothing is decrypted", says: "repository: wrong: decryption", spoil: inStage("repository", func(s map[string]any) { delete(s, "decryption") })},
		{name: "everything by force", says: "backup: wrong: force", spoil: inStage("backup", func(s map[string]any) { s["force"] = true })},
		{name: "no such field", says: `unknown field "pruned"`, spoil: inStage("backup", func(s map[string]any) { s["pruned"] = true })},
	}},
	{name: "applied", check: checkApplied, breaks: []spoiled{
		{name: "an object that the server refuses", says: "dry-run failed", spoil: func(o map[string]any) {
			if o["kind"] == "PodConfig" {
				o["spec"] = map[string]any{"template": map[string]any{"spec": "none"}}
			}
		}},
	}},
	{name: "lock of plain kubectl", check: func(d *desk) error { return checkLock(d) }, breaks: []spoiled{
		{name: "without IfNotPresent", says: "was taken from its holder", spoil: without("ConfigMap", "ssa")},
	}},
	{name: "lock of guard.sh", check: func(d *desk) error { return checkLock(d, "--field-manager=holdfast") }, breaks: []spoiled{
		{name: "with data in Git", says: "was taken from its holder", spoil: func(o map[string]any) {
			if isLock(o) {
				without("ConfigMap", "ssa")(o)
				o["data"] = map[string]any{"holder": "", "until": "0"}
			}
		}},
	}},
	{name: "marked claim", check: checkClaim, breaks: []spoiled{
		{name: "patched under kubectl's name", says: "lost its marks", spoil: func(o map[string]any) {
			if data, _ := o["data"].(map[string]any); o["kind"] == "ConfigMap" {
				if script, _ := data["dump.sh"].(string); strings.Contains(script, "persistentvolumeclaim") {
					data["dump.sh"] = strings.Replace(script, "--field-manager=holdfast ", "", 1)
				}
			}
		}},
	}},
	{name: "removed source", check: checkRemoved, breaks: []spoiled{
		{name: "Schedules are kept", says: "Schedule/", spoil: with("Schedule", "prune", "disabled")},
		{name: "policies are nobody's", says: "NetworkPolicy/", spoil: with("NetworkPolicy", "reconcile", "disabled")},
	}},
	{name: "removed namespace", check: checkNamespaceRemoved, breaks: []spoiled{
		{name: "passwords are pruned", says: "Secret/", spoil: without("Secret", "prune")},
	}},
	{name: "deleted Kustomizations", check: checkDeleted, breaks: []spoiled{
		{name: "passwords are pruned", says: "Secret/", spoil: without("Secret", "prune")},
		{name: "K8up's account is pruned", says: "ServiceAccount/", spoil: without("ServiceAccount", "prune")},
	}},
	{name: "changed job", check: checkJob, breaks: []spoiled{
		{name: "without force", says: "immutable", spoil: without("Job", "force")},
	}},
}

// TestFlux proves with Flux's own code that Flux keeps the tree as it is meant.
func TestFlux(t *testing.T) {
	f := newFlux(t)
	t.Run("examples", f.examples)
	t.Run("two instances", f.two)
	t.Run("account", f.account)
	for _, p := range promises {
		check := func(t *testing.T, spoil func(map[string]any)) error {
			d := f.desk(t, spoil)
			if err := d.renderAgain(); err != nil {
				return err
			}
			d.namespaces()
			return p.check(d)
		}
		t.Run(p.name, func(t *testing.T) {
			if err := check(t, nil); err != nil {
				t.Error(err)
			}
			for _, s := range p.breaks {
				t.Run("broken: "+s.name, func(t *testing.T) {
					err := check(t, s.spoil)
					if err == nil || !strings.Contains(err.Error(), s.says) {
						t.Errorf("the promise does not break as it should: %v", err)
					}
				})
			}
		})
	}
}

// examples applies every example twice, and looks at its Kustomizations.
func (f *fluxController) examples(t *testing.T) {
	all, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		t.Run(c.Name, func(t *testing.T) {
			r := &repository{t: t, flux: f}
			if err := r.render(c.Templates, c.Inputs); err != nil {
				t.Fatal(err)
			}
			if len(r.stages) != 2*len(r.plans) {
				t.Errorf("%d Kustomizations for %d instances", len(r.stages), len(r.plans))
			}
			for _, p := range r.plans {
				if err := errors.Join(r.kustomization(p, "repository", len(p.Flux.DependsOn)), r.kustomization(p, "backup", 1)); err != nil {
					t.Error(err)
				}
			}
			r.namespaces()
			if len(r.plans) == 0 {
				return
			}
			if err := settled(r); err != nil {
				t.Error(err)
			}
			for _, file := range r.tree {
				if path.Base(file.Path) == "flux.yaml" {
					// The definition has rules that the types do not have.
					if out, err := f.cluster.KubectlIn(file.Data, "apply", "--server-side", "--validate=strict", "--dry-run=server", "--filename=-"); err != nil {
						t.Error(err, out)
					}
				}
			}
		})
	}
}

// kustomization judges one.
func (r *repository) kustomization(p *plan.Plan, stage string, depends int) error {
	i := slices.IndexFunc(r.stages, func(k *kustomizev1.Kustomization) bool { return k.Name == p.Instance+"-"+stage })
	if i < 0 {
		return fmt.Errorf("%s has no Kustomization for its %s", p.Instance, stage)
	}
	k := r.stages[i]
	disk, err := r.files(k)
	if err != nil {
		return err
	}
	objects, err := r.flux.build(k, disk)
	if err != nil {
		return err
	}
	// A shorter timeout than a Job's own would call failed what is still at work.
	var longest time.Duration
	for _, o := range objects {
		if seconds, _, _ := unstructured.NestedInt64(o.Object, "spec", "activeDeadlineSeconds"); o.GetKind() == "Job" {
			longest = max(longest, time.Duration(seconds)*time.Second)
		}
	}
	s, wrong := k.Spec, []string{}
	for what, right := range map[string]bool{
		"type":       k.APIVersion == kustomizev1.GroupVersion.String() && k.Kind == kustomizev1.KustomizationKind,
		"namespace":  k.Namespace == p.Flux.Namespace && k.Namespace != "",
		"prune":      s.Prune,
		"wait":       s.Wait,
		"timeout":    s.Timeout != nil && s.Timeout.Duration > 0 && s.Timeout.Duration >= longest,
		"interval":   s.Interval.Duration >= time.Minute,
		"force":      !s.Force,
		"suspend":    !s.Suspend,
		"postBuild":  s.PostBuild == nil,
		"path":       path.Base(s.Path) == stage && path.Base(path.Dir(s.Path)) == p.Instance,
		"sourceRef":  s.SourceRef.Kind == p.Flux.SourceKind && s.SourceRef.Name == p.Flux.SourceName && s.SourceRef.Name != "",
		"decryption": s.Decryption != nil && s.Decryption.Provider == "sops" && s.Decryption.SecretRef != nil && s.Decryption.SecretRef.Name == p.Flux.DecryptionSecret,
		"dependsOn":  len(s.DependsOn) == depends && (stage != "backup" || s.DependsOn[0].Name == p.Instance+"-repository"),
	} {
		if !right {
			wrong = append(wrong, what)
		}
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		return fmt.Errorf("%s: wrong: %s. Its longest Job may take %v: %+v", k.Name, strings.Join(wrong, ", "), longest, s)
	}
	return nil
}

// checkKustomizations: what is in flux.yaml is what Flux reads there.
func checkKustomizations(d *desk) error {
	p := d.plans[0]
	return errors.Join(d.kustomization(p, "repository", len(p.Flux.DependsOn)), d.kustomization(p, "backup", 1))
}

// inStage changes the spec of one of the Kustomizations.
func inStage(name string, change func(spec map[string]any)) func(map[string]any) {
	return func(o map[string]any) {
		if u := (&unstructured.Unstructured{Object: o}); o["kind"] == "Kustomization" && strings.HasSuffix(u.GetName(), "-"+name) {
			change(o["spec"].(map[string]any))
		}
	}
}

// two are instances in one namespace: they must not take an object from each
// other, and one that goes must not take the other's along.
func (f *fluxController) two(t *testing.T) {
	all, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	c := all[slices.IndexFunc(all, func(c examples.Case) bool { return c.Name == "two-in-one-namespace" })]
	check := func(t *testing.T, namespace string, spoil func(map[string]any)) error {
		r := &repository{t: t, flux: f, spoil: spoil}
		in := c.Inputs
		in.Policy = &input.Document{Name: in.Policy.Name, Data: []byte(strings.ReplaceAll(string(in.Policy.Data), `"shared"`, `"`+namespace+`"`))}
		in.States = nil
		for _, s := range c.Inputs.States {
			in.States = append(in.States, input.Document{Name: s.Name, Data: []byte(strings.ReplaceAll(string(s.Data), `"shared"`, `"`+namespace+`"`))})
		}
		if err := r.render(c.Templates, in); err != nil {
			t.Fatal(err)
		}
		r.namespaces()
		if err := settled(r); err != nil {
			return err
		}
		var kept []map[string]any
		gone := r.plans[0].Instance
		for _, o := range r.objects() {
			if labels := (&unstructured.Unstructured{Object: o}).GetLabels(); labels["holdfast.dev/instance"] != gone {
				kept = append(kept, o)
			}
		}
		for _, k := range r.stages {
			if strings.HasPrefix(k.Name, gone+"-") {
				if err := f.prune(k, k.Status.Inventory, &kustomizev1.ResourceInventory{}); err != nil {
					return err
				}
			}
		}
		return f.present(kept, true)
	}
	if err := check(t, "shared-a", nil); err != nil {
		t.Error(err)
	}
	for i, s := range []spoiled{
		{name: "K8up's account is both's", says: "drift without a change: configured: ServiceAccount/", spoil: without("ServiceAccount", "ssa")},
		{name: "K8up's account is the first's", says: "ServiceAccount/", spoil: without("ServiceAccount", "prune")},
	} {
		t.Run("broken: "+s.name, func(t *testing.T) {
			err := check(t, fmt.Sprintf("shared-b%d", i), s.spoil)
			if err == nil || !strings.Contains(err.Error(), s.says) {
				t.Errorf("the promise does not break as it should: %v", err)
			}
		})
	}
}

// account: as the account that the policy names, an instance's tree is applied, changed
// and pruned, and a tree that was changed on its way reaches nothing of others.
func (f *fluxController) account(t *testing.T) {
	all, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	c := all[slices.IndexFunc(all, func(c examples.Case) bool { return c.Name == "e2e" })]
	f.cluster.Kubectl(t, "create", "namespace", "tenant-b")
	f.cluster.Kubectl(t, "create", "configmap", "theirs", "--namespace=tenant-b", "--from-literal=a=b")
	f.cluster.Kubectl(t, "create", "clusterrole", "tenant-b-export", "--verb=list", "--resource=nodes")
	apply := func(t *testing.T, namespace string, spoil func(map[string]any)) error {
		r := &repository{t: t, flux: f, spoil: spoil}
		render := func(change func(state map[string]any)) {
			t.Helper()
			in := c.Inputs
			in.Policy = &input.Document{Name: "policy.json", Data: []byte(`{"schemaVersion": 1, "serviceAccountName": "backup-{instance}"}`)}
			var state map[string]any
			if err := json.Unmarshal([]byte(strings.ReplaceAll(string(c.Inputs.States[0].Data), `"desk`, `"`+namespace)), &state); err != nil {
				t.Fatal(err)
			}
			change(state)
			data, err := json.Marshal(state)
			if err != nil {
				t.Fatal(err)
			}
			in.States = []input.Document{{Name: "runtime-state.json", Data: data}}
			if err := r.render(c.Templates, in); err != nil {
				t.Fatal(err)
			}
			r.namespaces()
		}
		render(func(map[string]any) {})
		if err := settled(r); err != nil {
			return err
		}
		// Other rights, and something to prune, of each stage.
		render(func(state map[string]any) {
			state["ldap"] = nil
			delete(state, "ldap")
			state["objectStores"] = []any{}
		})
		became, err := r.apply()
		if err != nil {
			return err
		}
		if len(became["configured"]) == 0 {
			return fmt.Errorf("the changed tree changed nothing: %v", became)
		}
		return settled(r)
	}
	if err := apply(t, "account-a", nil); err != nil {
		t.Fatal(err)
	}
	once := func(kind string, change func(o map[string]any)) func(map[string]any) {
		done := false
		return func(o map[string]any) {
			if o["kind"] == kind && !done {
				done = true
				change(o)
			}
		}
	}
	metadata := func(key, value string) func(map[string]any) {
		return func(o map[string]any) { o["metadata"].(map[string]any)[key] = value }
	}
	for i, s := range []spoiled{
		{name: "an object in another's namespace", says: `cannot patch resource "configmaps" in API group "" in the namespace "tenant-b"`, spoil: once("ConfigMap", func(o map[string]any) {
			metadata("namespace", "tenant-b")(o)
			metadata("name", "theirs")(o)
		})},
		{name: "a job in Flux' namespace", says: `in the namespace "flux-system"`, spoil: once("CronJob", metadata("namespace", "flux-system"))},
		{name: "rights that it has not", says: "attempting to grant RBAC permissions not currently held", spoil: once("ClusterRole", func(o map[string]any) {
			o["rules"] = []any{map[string]any{"apiGroups": []any{"*"}, "resources": []any{"*"}, "verbs": []any{"*"}}}
		})},
		{name: "the rights of everybody", says: "attempting to grant RBAC permissions not currently held", spoil: once("ClusterRoleBinding", func(o map[string]any) {
			o["roleRef"].(map[string]any)["name"] = "cluster-admin"
		})},
		{name: "another's part of the cluster", says: `cannot patch resource "clusterroles"`, spoil: once("ClusterRole", metadata("name", "tenant-b-export"))},
	} {
		t.Run("broken: "+s.name, func(t *testing.T) {
			spoil := s.spoil
			err := apply(t, fmt.Sprintf("account-b%d", i), func(o map[string]any) {
				// The account's own objects are made by another.
				if m, _ := o["metadata"].(map[string]any); !strings.HasSuffix(fmt.Sprint(m["name"]), ".flux") {
					spoil(o)
				}
			})
			if err == nil || !strings.Contains(err.Error(), s.says) {
				t.Errorf("it is not refused as it should be: %v", err)
			}
		})
	}
	if got := f.cluster.Kubectl(t, "get", "configmap", "theirs", "--namespace=tenant-b", "--output=jsonpath={.data}"); got != `{"a":"b"}` {
		t.Errorf("another's object has %s", got)
	}
}

// present tells of objects that are not there, or of those that still are.
func (f *fluxController) present(objects []map[string]any, want bool) error {
	var wrong []string
	for _, o := range objects {
		found, err := f.live(o)
		if err != nil {
			return err
		}
		if (found != nil && found.GetDeletionTimestamp() == nil) != want {
			wrong = append(wrong, subject(o))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("present is not %v for %s", want, strings.Join(wrong, ", "))
	}
	return nil
}

// checkApplied: everything of both stages is made by the first reconciliation.
func checkApplied(d *desk) error {
	became, err := d.apply()
	if err != nil {
		return err
	}
	if len(became) != 1 || len(became["created"]) != len(d.objects()) {
		return fmt.Errorf("%d objects, and this became of them: %v", len(d.objects()), became)
	}
	if err := d.flux.present(d.objects(), true); err != nil {
		return err
	}
	// The API server has the same secrets as the credentials.
	password, err := d.flux.cluster.TryKubectl("get", "secret", d.app+"-restic", "--namespace="+d.app, "--output=jsonpath={.data.password}")
	if err != nil {
		return err
	}
	want := d.credentials["restic"].(map[string]any)["password"].(string)
	if password != base64.StdEncoding.EncodeToString([]byte(want)) {
		return fmt.Errorf("the password in the cluster is %q", password)
	}
	return nil
}

// checkLock: a lock that somebody holds is his after a reconciliation, of the
// same tree and of a changed one.
func checkLock(d *desk, flags ...string) error {
	d.mustApply()
	pg := d.unit("postgresql/files")
	d.take(d.db, pg.Lock, flags...)
	d.take(d.app, d.app+".lock", flags...)
	d.mustApply()
	d.state["backup"].(map[string]any)["timezone"] = "Europe/Berlin"
	d.mustRender()
	if became := d.mustApply(); len(became["configured"]) == 0 {
		return errors.New("the changed tree changed nothing")
	}
	if err := d.holds(d.db, pg.Lock); err != nil {
		return err
	}
	return d.holds(d.app, d.app+".lock")
}

// checkClaim: the marker marks a claim that Flux applies for the application;
// the marks stay.
func checkClaim(d *desk) error {
	d.mustApply()
	claim := map[string]any{
		"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": map[string]any{"name": "web-data", "namespace": d.app, "labels": map[string]any{"app": "web"}},
		"spec": map[string]any{"accessModes": []any{"ReadWriteOnce"}, "resources": map[string]any{"requests": map[string]any{"storage": "1Gi"}}},
	}
	kustomization := map[string]any{"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": []any{"claim.yaml"}}
	disk := filesys.MakeFsInMemory()
	for name, o := range map[string]map[string]any{"app/claim.yaml": claim, "app/kustomization.yaml": kustomization} {
		data, err := encoding.AppendDocuments(nil, []map[string]any{o})
		if err := errors.Join(err, disk.WriteFile(name, data)); err != nil {
			return err
		}
	}
	app := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Name: d.app, Namespace: "flux-system"}, Spec: kustomizev1.KustomizationSpec{Path: "./app", Prune: true}}
	reconcile := func() (*unstructured.Unstructured, error) {
		if _, err := d.flux.reconcile(app, disk); err != nil {
			return nil, err
		}
		return d.flux.live(claim)
	}
	if _, err := reconcile(); err != nil {
		return err
	}
	unit := d.unit("volume/web-data").Name
	i := slices.IndexFunc(d.plans[0].Markers, func(m plan.Marker) bool { return m.Namespace == d.app })
	marker := d.plans[0].Markers[i]
	if result := d.instance().Job(d.t, "Job", d.app, marker.First, "", harness.Options{Cluster: d.flux.cluster}); result.Code != 0 {
		d.t.Fatalf("the marker ended with %d: %s", result.Code, result.Stderr)
	}
	marked := func(o *unstructured.Unstructured) bool {
		return o.GetLabels()["holdfast.dev/unit"] == unit && o.GetAnnotations()["k8up.io/backup"] == "true" && o.GetLabels()["app"] == "web"
	}
	if o, err := d.flux.live(claim); err != nil || !marked(o) {
		d.t.Fatalf("the marker did not mark: %v %v", o, err)
	}
	o, err := reconcile()
	if err != nil {
		return err
	}
	if !marked(o) {
		return fmt.Errorf("the claim lost its marks: %v %v", o.GetLabels(), o.GetAnnotations())
	}
	// Neither does our own tree touch it when the source goes.
	d.state["volumes"] = slices.DeleteFunc(d.state["volumes"].([]any), func(v any) bool { return v.(map[string]any)["claim"] == "web-data" })
	d.mustRender()
	d.mustApply()
	if o, err = d.flux.live(claim); err != nil || !marked(o) || o.GetDeletionTimestamp() != nil {
		return fmt.Errorf("the claim went with its source: %v %v", o, err)
	}
	return nil
}

// difference lists the objects that one tree has and another has not: those that
// Flux must prune, and those that it must not.
func difference(old, now []map[string]any) (prune, keep []map[string]any) {
	for _, o := range old {
		switch {
		case slices.ContainsFunc(now, func(n map[string]any) bool { return subject(n) == subject(o) }):
		case o["kind"] == "Secret" || (&unstructured.Unstructured{Object: o}).GetName() == "pod-executor":
			keep = append(keep, o)
		default:
			prune = append(prune, o)
		}
	}
	return prune, keep
}

// checkRemoved: what belongs to a source goes with it, and nothing else.
func checkRemoved(d *desk) error {
	d.mustApply()
	old, pg, ldap := d.objects(), *d.unit("postgresql/files"), *d.unit("openldap/directory")
	d.take(d.app, ldap.Lock)
	d.take(d.db, d.app+".lock", "--field-manager=holdfast")
	delete(d.state["databases"].(map[string]any), "postgresql")
	d.mustRender()
	d.mustApply()
	prune, _ := difference(old, d.objects())
	for _, want := range []string{"Schedule", "PreBackupPod", "ConfigMap", "NetworkPolicy"} {
		if !slices.ContainsFunc(prune, func(o map[string]any) bool {
			return o["kind"] == want && (&unstructured.Unstructured{Object: o}).GetName() == pg.Name
		}) {
			d.t.Fatalf("the tree still has the %s of the source", want)
		}
	}
	if !slices.ContainsFunc(prune, isLock) {
		d.t.Fatal("the tree still has the lock of the source")
	}
	if err := errors.Join(d.flux.present(prune, false), d.flux.present(d.objects(), true)); err != nil {
		return err
	}
	if err := errors.Join(d.holds(d.app, ldap.Lock), d.holds(d.db, d.app+".lock")); err != nil {
		return err
	}
	return settled(d.repository)
}

// checkNamespaceRemoved: with the last source of a namespace its repository
// leaves the tree. The password stays, for the copies do.
func checkNamespaceRemoved(d *desk) error {
	d.mustApply()
	old := d.objects()
	delete(d.state, "databases")
	delete(d.state["namespaces"].(map[string]any), "mariadb")
	d.state["volumes"] = slices.DeleteFunc(d.state["volumes"].([]any), func(v any) bool { return v.(map[string]any)["namespace"] == d.db })
	d.mustRender()
	d.mustApply()
	prune, keep := difference(old, d.objects())
	secret := func(o map[string]any) bool {
		u := &unstructured.Unstructured{Object: o}
		return u.GetKind() == "Secret" && u.GetNamespace() == d.db && u.GetName() == d.app+"-restic"
	}
	if !slices.ContainsFunc(keep, secret) || len(prune) < 20 {
		d.t.Fatalf("the tree still has the namespace: %d objects go", len(prune))
	}
	return errors.Join(d.flux.present(prune, false), d.flux.present(keep, true), d.flux.present(d.objects(), true))
}

// checkDeleted: whoever deletes the Kustomizations keeps what the copies need.
func checkDeleted(d *desk) error {
	d.mustApply()
	for _, k := range slices.Backward(d.stages) {
		if err := d.flux.prune(k, k.Status.Inventory, &kustomizev1.ResourceInventory{}); err != nil {
			return err
		}
	}
	prune, keep := difference(d.objects(), nil)
	if len(keep) < 4 {
		d.t.Fatalf("only %d objects are to be kept", len(keep))
	}
	return errors.Join(d.flux.present(prune, false), d.flux.present(keep, true))
}

// checkJob: a Job's content cannot change. Flux makes it anew.
func checkJob(d *desk) error {
	d.mustApply()
	name := d.plans[0].Repositories[d.app].Bootstrap
	job := d.instance().Object("Job", d.app, name)
	const other = "eu-test-1"
	before, err := d.flux.live(job)
	if err != nil {
		return err
	}
	d.credentials["restic"].(map[string]any)["region"] = other
	d.mustRender()
	if _, err := d.apply(); err != nil {
		return err
	}
	after, err := d.flux.live(job)
	if err != nil {
		return err
	}
	if after == nil {
		return errors.New("the Job is gone")
	}
	if before.GetUID() == after.GetUID() || !strings.Contains(fmt.Sprint(after.Object["spec"]), other) {
		return fmt.Errorf("the Job is the old one: %v", after.Object["spec"])
	}
	return settled(d.repository)
}
