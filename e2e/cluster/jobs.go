package cluster

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

// Now starts a unit at once, as an operator would who cannot wait: the very
// Backup that K8up would make from the Schedule, or a Job from the CronJob. It
// returns the object's kind and name.
func (c *Cluster) Now(unit plan.Item) (kind, name string, err error) {
	if unit.Capture.How == "sync" {
		name = unit.Name + "-" + strings.ToLower(rand.Text()[:6])
		_, err = c.Control.TryKubectl("create", "job", name, "--namespace="+unit.Namespace, "--from=cronjob/"+unit.Name)
		return "job", name, err
	}
	return c.fromSchedule(unit.Namespace, unit.Name, "backup", "Backup")
}

// Maintain starts a check or a prune from its Schedule at once.
func (c *Cluster) Maintain(m plan.Maintenance) (kind, name string, err error) {
	if m.Job == "check" {
		return c.fromSchedule(m.Namespace, m.Name, "check", "Check")
	}
	return c.fromSchedule(m.Namespace, m.Name, "prune", "Prune")
}

// fromSchedule makes one run of a Schedule's section.
func (c *Cluster) fromSchedule(namespace, schedule, section, kind string) (string, string, error) {
	out, err := c.Control.TryKubectl("get", "schedules.k8up.io", schedule, "--namespace="+namespace, "--output=json")
	if err != nil {
		return "", "", err
	}
	var value struct {
		Metadata struct{ Labels map[string]any }
		Spec     map[string]any
	}
	if err := json.Unmarshal([]byte(out), &value); err != nil {
		return "", "", err
	}
	spec, ok := value.Spec[section].(map[string]any)
	if !ok {
		return "", "", fmt.Errorf("schedule %s has no section %s", schedule, section)
	}
	run := maps.Clone(spec)
	delete(run, "schedule")
	run["backend"] = value.Spec["backend"]
	data, err := json.Marshal(map[string]any{
		"apiVersion": "k8up.io/v1", "kind": kind,
		"metadata": map[string]any{"generateName": schedule + "-" + section + "-", "namespace": namespace, "labels": value.Metadata.Labels},
		"spec":     run,
	})
	if err != nil {
		return "", "", err
	}
	name, err := c.Control.KubectlIn(data, "create", "--filename=-", "--output=jsonpath={.metadata.name}")
	return section + ".k8up.io", name, err
}

// WaitRun waits until a run of K8up's has ended and says how: "Succeeded",
// "Failed", or "gone" when so many ended after it that K8up has removed it.
func (c *Cluster) WaitRun(namespace, kind, name string) (string, error) {
	end := time.Now().Add(patience)
	for time.Now().Before(end) {
		if reason, err := c.ended(namespace, kind, name); err != nil || reason != "" {
			return reason, err
		}
		time.Sleep(500 * time.Millisecond)
	}
	return "", fmt.Errorf("%s %s/%s has not ended within %s", kind, namespace, name, patience)
}

// ended is how a run of K8up's has ended; "" as long as it has not.
func (c *Cluster) ended(namespace, kind, name string) (string, error) {
	out, err := c.Control.TryKubectl("get", kind, name, "--namespace="+namespace, `--output=jsonpath={.status.conditions[?(@.type=="Completed")].reason}`)
	switch {
	case err != nil && strings.Contains(err.Error(), "(NotFound)"):
		return "gone", nil
	case err != nil:
		return "", err
	case out == "Succeeded" || out == "Failed":
		return out, nil
	}
	return "", nil
}

// Attempt is what a pod's first container did, as the pod's status tells it.
type Attempt struct {
	Restarts int
	Since    time.Time // when this one started to run; zero when it does not
}

// Attempts are those of a Job's pods.
func (c *Cluster) Attempts(namespace, job string) ([]Attempt, error) {
	out, err := c.Control.TryKubectl("get", "pods", "--namespace="+namespace, "--selector="+ofJob+job, "--output=json")
	if err != nil {
		return nil, err
	}
	var pods struct {
		Items []struct {
			Status struct {
				ContainerStatuses []struct {
					RestartCount int
					State        struct {
						Running *struct{ StartedAt time.Time }
					}
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &pods); err != nil {
		return nil, err
	}
	var attempts []Attempt
	for _, pod := range pods.Items {
		if len(pod.Status.ContainerStatuses) == 0 {
			continue
		}
		status := pod.Status.ContainerStatuses[0]
		a := Attempt{Restarts: status.RestartCount}
		if status.State.Running != nil {
			a.Since = status.State.Running.StartedAt
		}
		attempts = append(attempts, a)
	}
	return attempts, nil
}

// ofJob is the label by which a Job's pods are found.
const ofJob = "batch.kubernetes.io/job-name="

// Said is what each attempt of a Job's pods wrote, as far as it is there still:
// the one that runs, and the one before.
func (c *Cluster) Said(namespace, job string) []string {
	pods, err := c.Control.TryKubectl("get", "pods", "--namespace="+namespace, "--selector="+ofJob+job, "--output=name")
	if err != nil {
		return nil
	}
	var said []string
	for _, pod := range strings.Fields(pods) {
		for _, which := range []string{"--previous=true", "--previous=false"} {
			if out, err := c.Control.TryKubectl("logs", "--namespace="+namespace, pod, which, "--tail=200"); err == nil && out != "" {
				said = append(said, out)
			}
		}
	}
	return said
}

// Warnings are the events of a namespace that are none of the usual course, oldest
// first: they tell what a pod's own words cannot.
func (c *Cluster) Warnings(namespace string) string {
	out, err := c.Control.TryKubectl("get", "events", "--namespace="+namespace, "--field-selector=type=Warning", "--sort-by=.lastTimestamp")
	if err != nil {
		return err.Error()
	}
	return out
}

// Scheduled is an error as long as K8up has not taken every Schedule of a plan.
func (c *Cluster) Scheduled(p *plan.Plan) error {
	for _, unit := range p.Units {
		if unit.Capture.How == "sync" {
			continue // a CronJob, whose controller asks for the time again and again
		}
		out, err := c.Control.TryKubectl("get", "schedules.k8up.io", unit.Name, "--namespace="+unit.Namespace, `--output=jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		if err == nil && out != "True" {
			err = fmt.Errorf("%s/%s is not ready: %q", unit.Namespace, unit.Name, out)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// JobStart is when a Job started.
func (c *Cluster) JobStart(namespace, name string) (time.Time, error) {
	out, err := c.Control.TryKubectl("get", "job", name, "--namespace="+namespace, "--output=json")
	if err != nil {
		return time.Time{}, err
	}
	var value struct{ Status struct{ StartTime time.Time } }
	err = json.Unmarshal([]byte(out), &value)
	return value.Status.StartTime, err
}

// Restore runs a unit's rendered restore: the request's values are changed as an
// operator edits them, and everything of its file is applied.
func (c *Cluster) Restore(t *Tree, unit plan.Item, edit map[string]string) error {
	objects, err := readObjects(filepath.Join(filepath.Dir(t.Dir), unit.RestoreFile))
	if err != nil {
		return err
	}
	for _, o := range objects {
		if o["kind"] != "ConfigMap" {
			continue
		}
		data, _ := o["data"].(map[string]any)
		for name, value := range edit {
			if _, ok := data["HOLDFAST_UNIT"]; !ok {
				continue
			}
			if _, ok := data[name]; !ok {
				return fmt.Errorf("the restore request of %s has no %s", unit.ID, name)
			}
			data[name] = value
		}
	}
	var items []any
	for _, o := range objects {
		items = append(items, o)
	}
	data, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	if err != nil {
		return err
	}
	if _, err := c.Control.KubectlIn(data, "apply", "--server-side", "--force-conflicts", "--field-manager=operator", "--filename=-"); err != nil {
		return err
	}
	return c.WaitJob(unit.Namespace, unit.Restore)
}

func readObjects(file string) ([]map[string]any, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	objects, err := yaml.Decode(data)
	if err == nil && len(objects) == 0 {
		err = errors.New(strings.TrimSpace(file) + " holds no object")
	}
	return objects, err
}
