package cluster

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/harness"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

// Tree is an instance that the ordinary holdfast rendered into a folder.
type Tree struct {
	Dir  string
	Plan *plan.Plan
}

// Render runs "holdfast render" on an example of the project, with a policy
// beside it, and secrets in plain text: the folder is nobody's repository.
func Render(state, credentials, policy, to string) (*Tree, error) {
	program, err := holdfast()
	if err != nil {
		return nil, err
	}
	tree := filepath.Join(to, "tree")
	arguments := []string{"render", "--state", state, "--credentials", credentials, "--secrets", "plain", "--out", tree}
	if policy != "" {
		arguments = append(arguments, "--policy", policy)
	}
	if out, err := exec.Command(program, arguments...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("holdfast %s: %w\n%s", strings.Join(arguments, " "), err, out)
	}
	plans, err := filepath.Glob(filepath.Join(tree, "*", "plan.json"))
	if err != nil || len(plans) != 1 {
		return nil, fmt.Errorf("%d plans were rendered", len(plans))
	}
	data, err := os.ReadFile(plans[0])
	if err != nil {
		return nil, err
	}
	t := &Tree{Dir: filepath.Dir(plans[0])}
	return t, json.Unmarshal(data, &t.Plan)
}

// holdfast is the program as it is now, built once in each test binary.
var holdfast = sync.OnceValues(func() (string, error) {
	root, err := harness.ModuleRoot()
	if err != nil {
		return "", err
	}
	cache := filepath.Join(root, "..", ".cache", "e2e")
	program := filepath.Join(cache, "holdfast")
	// Another run of the tests may be about to start it.
	work, err := os.MkdirTemp(cache, "build")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	build := exec.Command("go", "build", "-o", work, "./cmd/holdfast")
	build.Dir = filepath.Dir(root)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building holdfast: %w\n%s", err, out)
	}
	if err := os.Rename(filepath.Join(work, "holdfast"), program); err != nil {
		return "", err
	}
	return program, nil
})

// manager is the name under which Flux applies.
const manager = "--field-manager=kustomize-controller"

// Annotations of Flux that decide what happens to an object.
const (
	ssa   = "kustomize.toolkit.fluxcd.io/ssa"
	prune = "kustomize.toolkit.fluxcd.io/prune"
	force = "kustomize.toolkit.fluxcd.io/force"
)

// object is what apply needs to know of one.
type object struct {
	value                  map[string]any
	kind, namespace, name  string
	annotations            map[string]any
	resource, namespaceArg string
}

func asObject(value map[string]any) object {
	metadata, _ := value["metadata"].(map[string]any)
	o := object{value: value}
	o.kind, _ = value["kind"].(string)
	o.namespace, _ = metadata["namespace"].(string)
	o.name, _ = metadata["name"].(string)
	o.annotations, _ = metadata["annotations"].(map[string]any)
	version, _ := value["apiVersion"].(string)
	group, number, ok := strings.Cut(version, "/")
	o.resource = strings.ToLower(o.kind)
	if ok {
		o.resource += "." + number + "." + group
	}
	o.namespaceArg = "--namespace=" + o.namespace
	return o
}

// id is how the inventory names an object.
func (o object) id() string { return o.resource + "/" + o.namespace + "/" + o.name }

// Reconciler applies stages of trees as Flux' kustomize-controller does: what is
// "IfNotPresent" and there is skipped, what is forced and cannot be changed is
// made anew, and what the last inventory lists and the tree no longer does is
// deleted, unless it says otherwise.
type Reconciler struct {
	cluster   *Cluster
	inventory map[string][]object // by stage
}

// Flux returns a Reconciler that has applied nothing yet.
func (c *Cluster) Flux() *Reconciler {
	return &Reconciler{cluster: c, inventory: map[string][]object{}}
}

// Apply applies one stage: "repository" or "backup". It waits until its Jobs
// have ended well, as "wait: true" does.
func (r *Reconciler) Apply(t *Tree, stage string) error {
	text, err := r.cluster.Control.TryKubectl("kustomize", filepath.Join(t.Dir, stage))
	if err != nil {
		return err
	}
	values, err := yaml.Decode([]byte(text))
	if err != nil {
		return err
	}
	var now []object
	for _, value := range values {
		now = append(now, asObject(value))
	}
	// Flux applies definitions, namespaces and accounts before what needs them.
	slices.SortStableFunc(now, func(a, b object) int { return rank(a.kind) - rank(b.kind) })
	key := t.Plan.Instance + "/" + stage
	var apply []any
	for _, o := range now {
		if o.annotations[ssa] == "IfNotPresent" && r.exists(o) {
			continue
		}
		if o.annotations[force] == "Enabled" {
			if err := r.replaceIfNeeded(o); err != nil {
				return err
			}
			continue
		}
		apply = append(apply, o.value)
	}
	if err := r.send(apply...); err != nil {
		return err
	}
	for _, old := range r.inventory[key] {
		gone := !slices.ContainsFunc(now, func(o object) bool { return o.id() == old.id() })
		if gone && old.annotations[prune] != "disabled" {
			if _, err := r.cluster.Control.TryKubectl("delete", old.resource, old.name, old.namespaceArg, "--ignore-not-found", "--wait=false"); err != nil {
				return err
			}
		}
	}
	r.inventory[key] = now
	for _, o := range now {
		if o.kind != "Job" {
			continue
		}
		if err := r.cluster.WaitJob(o.namespace, o.name); err != nil {
			return err
		}
	}
	return nil
}

func rank(kind string) int {
	order := []string{"ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "NetworkPolicy", "Secret", "ConfigMap", "PodConfig"}
	if at := slices.Index(order, kind); at >= 0 {
		return at
	}
	return len(order)
}

func (r *Reconciler) exists(o object) bool {
	_, err := r.cluster.Control.TryKubectl("get", o.resource, o.name, o.namespaceArg, "--output=name")
	return err == nil
}

func (r *Reconciler) send(items ...any) error {
	if len(items) == 0 {
		return nil
	}
	data, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	if err != nil {
		return err
	}
	_, err = r.cluster.Control.KubectlIn(data, "apply", "--server-side", "--force-conflicts", manager, "--filename=-")
	return err
}

// replaceIfNeeded applies an object that may have fields that cannot change.
func (r *Reconciler) replaceIfNeeded(o object) error {
	err := r.send(o.value)
	if err == nil || !strings.Contains(err.Error(), "immutable") {
		return err
	}
	if _, err := r.cluster.Control.TryKubectl("delete", o.resource, o.name, o.namespaceArg, "--wait=true"); err != nil {
		return err
	}
	return r.send(o.value)
}

// WaitJob waits until a Job has ended. One that failed is an error with the end
// of its pods' logs.
func (c *Cluster) WaitJob(namespace, name string) error {
	end := time.Now().Add(patience)
	for {
		out, err := c.Control.TryKubectl("get", "job", name, "--namespace="+namespace, "--output=json")
		if err != nil {
			return err
		}
		var job struct {
			Status struct {
				Conditions []struct{ Type, Status, Message string }
			}
		}
		if err := json.Unmarshal([]byte(out), &job); err != nil {
			return err
		}
		for _, condition := range job.Status.Conditions {
			if condition.Status != "True" {
				continue
			}
			switch condition.Type {
			case "Complete":
				return nil
			case "Failed":
				return fmt.Errorf("job %s/%s failed: %s\n%s", namespace, name, condition.Message, c.JobLog(namespace, name))
			}
		}
		if time.Now().After(end) {
			return fmt.Errorf("job %s/%s did not end within %s\n%s", namespace, name, patience, c.JobLog(namespace, name))
		}
		time.Sleep(300 * time.Millisecond)
	}
}

// JobLog is what a Job's pods wrote.
func (c *Cluster) JobLog(namespace, name string) string {
	out, err := c.Control.TryKubectl("logs", "--namespace="+namespace, "--selector=batch.kubernetes.io/job-name="+name, "--all-containers", "--prefix", "--tail=40")
	if err != nil {
		return err.Error()
	}
	return out
}
