package renderer_test

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

// spoiledTree is a rendered tree that a mutation breaks.
type spoiledTree struct {
	t       *testing.T
	objects []manifest.Object
	plan    *plan.Plan
}

// copyOf copies plain JSON values.
func copyOf(value any) any {
	switch v := value.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for key, e := range v {
			m[key] = copyOf(e)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = copyOf(e)
		}
		return l
	}
	return value
}

// find returns the first object of a kind that all conditions hold for.
func (w *spoiledTree) find(kind string, conditions ...func(o manifest.Object) bool) manifest.Object {
	w.t.Helper()
	at := slices.IndexFunc(w.objects, func(o manifest.Object) bool {
		return o.Kind() == kind && !slices.ContainsFunc(conditions, func(holds func(o manifest.Object) bool) bool { return !holds(o) })
	})
	if at < 0 {
		w.t.Fatalf("no such %s", kind)
	}
	return w.objects[at]
}

// drop removes an object.
func (w *spoiledTree) drop(o manifest.Object) {
	w.objects = slices.DeleteFunc(w.objects, func(other manifest.Object) bool { return other.ID() == o.ID() })
}

// add adds an object to a namespace of the instance.
func (w *spoiledTree) add(apiVersion, kind, name string, more map[string]any) {
	namespace := w.plan.Namespaces[0]
	value := map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{
		"name": name, "labels": map[string]any{"app.kubernetes.io/managed-by": "holdfast"},
	}}
	if !strings.HasPrefix(kind, "Cluster") && kind != "Namespace" {
		value["metadata"].(map[string]any)["namespace"] = namespace
	}
	maps.Copy(value, more)
	w.objects = append(w.objects, manifest.Object{Path: w.plan.Instance + "/backup/" + namespace + "/more.yaml", Value: value})
}

// unit returns the first unit of a way of capture.
func (w *spoiledTree) unit(how kind.How) plan.Item {
	w.t.Helper()
	at := slices.IndexFunc(w.plan.Units, func(i plan.Item) bool { return i.Capture.How == how })
	if at < 0 {
		w.t.Fatalf("no unit with %s", how)
	}
	return w.plan.Units[at]
}

// named holds for the object of that name and namespace.
func named(namespace, name string) func(o manifest.Object) bool {
	return func(o manifest.Object) bool { return o.Namespace() == namespace && o.Name() == name }
}

// The parts that most mutations break.
func (w *spoiledTree) schedule() manifest.Object {
	i := w.unit("dump")
	return w.find("Schedule", named(i.Namespace, i.Name))
}

func (w *spoiledTree) maintenance(job string) manifest.Object {
	return w.find("Schedule", func(o manifest.Object) bool { return dig(o.Value, "spec", job) != nil })
}

func (w *spoiledTree) dump() manifest.Object {
	i := w.unit("dump")
	return w.find("PreBackupPod", named(i.Namespace, i.Name))
}

func (w *spoiledTree) copier() manifest.Object {
	i := w.unit("sync")
	return w.find("CronJob", named(i.Namespace, i.Name))
}

func (w *spoiledTree) restore() manifest.Object {
	i := w.unit("dump")
	return w.find("Job", named(i.Namespace, i.Restore))
}

func (w *spoiledTree) policy() manifest.Object {
	i := w.unit("dump")
	return w.find("NetworkPolicy", named(i.Namespace, i.Name))
}

func (w *spoiledTree) lock() manifest.Object {
	i := w.unit("dump")
	return w.find("ConfigMap", named(i.Namespace, i.Lock))
}

// scripts is the ConfigMap with the scripts of the first dump.
func (w *spoiledTree) scripts() manifest.Object {
	i := w.unit("dump")
	return w.find("ConfigMap", named(i.Namespace, i.Scripts))
}

// in walks to a place; a number counts items of a list.
func in(value any, place ...any) any {
	for _, step := range place {
		switch s := step.(type) {
		case string:
			value = value.(map[string]any)[s]
		case int:
			value = value.([]any)[s]
		}
	}
	return value
}

// set replaces the value at a place, or adds it.
func set(o manifest.Object, to any, place ...any) {
	parent, last := in(o.Value, place[:len(place)-1]...), place[len(place)-1]
	if list, ok := parent.([]any); ok {
		list[last.(int)] = to
		return
	}
	parent.(map[string]any)[last.(string)] = to
}

// unset removes a member of an object.
func unset(o manifest.Object, place ...any) {
	delete(in(o.Value, place[:len(place)-1]...).(map[string]any), place[len(place)-1].(string))
}

// Places within a PreBackupPod and a CronJob.
func ofDump(place ...any) []any { return append([]any{"spec", "pod", "spec"}, place...) }
func ofCopier(place ...any) []any {
	return append([]any{"spec", "jobTemplate", "spec", "template", "spec"}, place...)
}

// byName is the index of the item of that name in a list.
func byName(t *testing.T, list any, name string) int {
	t.Helper()
	at := slices.IndexFunc(list.([]any), func(e any) bool { return dig(e, "name") == name })
	if at < 0 {
		t.Fatalf("nothing is named %s", name)
	}
	return at
}

// TestMutations breaks one thing at a time in the trees of both layouts, and
// requires that Inspect notices, by the rule that tells that story.
func TestMutations(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		rule  string
		spoil func(w *spoiledTree)
	}{
		// Every object.
		{name: "no apiVersion", rule: "HF401", spoil: func(w *spoiledTree) { unset(w.scripts(), "apiVersion") }},
		{name: "no namespace", rule: "HF401", spoil: func(w *spoiledTree) { unset(w.scripts(), "metadata", "namespace") }},
		{name: "no managed-by label", rule: "HF401", spoil: func(w *spoiledTree) { unset(w.policy(), "metadata", "labels", "app.kubernetes.io/managed-by") }},
		{name: "capitals in a name", rule: "HF402", spoil: func(w *spoiledTree) { set(w.lock(), "Upper", "metadata", "name") }},
		{name: "label value of 64 characters", rule: "HF402", spoil: func(w *spoiledTree) {
			set(w.lock(), strings.Repeat("x", 64), "metadata", "labels", "holdfast.dev/unit")
		}},
		{name: "object twice", rule: "HF403", spoil: func(w *spoiledTree) { w.objects = append(w.objects, w.policy()) }},
		{name: "file of another instance", rule: "HF426", spoil: func(w *spoiledTree) {
			for n := range w.objects {
				if w.objects[n].ID() == w.lock().ID() {
					w.objects[n].Path = "other/backup/lock.yaml"
					return
				}
			}
		}},
		{name: "file above the tree", rule: "HF426", spoil: func(w *spoiledTree) { w.objects[0].Path = w.plan.Instance + "/../lock.yaml" }},
		{name: "Secret by a template", rule: "HF419", spoil: func(w *spoiledTree) {
			w.add("v1", "Secret", "more", map[string]any{"stringData": map[string]any{"a": "b"}})
		}},
		{name: "claim in Git", rule: "HF435", spoil: func(w *spoiledTree) { w.add("v1", "PersistentVolumeClaim", "data", nil) }},
		{name: "namespace in Git", rule: "HF435", spoil: func(w *spoiledTree) { w.add("v1", "Namespace", "more", nil) }},
		{name: "a thousand objects more", rule: "HF422", spoil: func(w *spoiledTree) {
			for n := range 1000 {
				w.add("v1", "ServiceAccount", fmt.Sprint("more-", n), nil)
			}
		}},

		// Schedules.
		{name: "name of 34 characters", rule: "HF301", spoil: func(w *spoiledTree) { set(w.schedule(), strings.Repeat("x", 34), "metadata", "name") }},
		{name: "no schedule", rule: "HF404", spoil: func(w *spoiledTree) { unset(w.schedule(), "spec", "backup", "schedule") }},
		{name: "minute 61", rule: "HF411", spoil: func(w *spoiledTree) {
			set(w.schedule(), "CRON_TZ="+w.plan.TimeZone+" 61 2 * * *", "spec", "backup", "schedule")
		}},
		{name: "random word", rule: "HF411", spoil: func(w *spoiledTree) { set(w.schedule(), "@daily-random", "spec", "backup", "schedule") }},
		{name: "no zone", rule: "HF411", spoil: func(w *spoiledTree) { set(w.schedule(), w.unit("dump").Schedule.Cron, "spec", "backup", "schedule") }},
		{name: "another zone", rule: "HF411", spoil: func(w *spoiledTree) {
			set(w.schedule(), "CRON_TZ=Asia/Tokyo "+w.unit("dump").Schedule.Cron, "spec", "backup", "schedule")
		}},
		{name: "backup at the prune's minute", rule: "HF411", spoil: func(w *spoiledTree) {
			set(w.schedule(), in(w.maintenance("prune").Value, "spec", "prune", "schedule"), "spec", "backup", "schedule")
		}},
		{name: "check at a backup's minute", rule: "HF411", spoil: func(w *spoiledTree) {
			set(w.maintenance("check"), in(w.schedule().Value, "spec", "backup", "schedule"), "spec", "check", "schedule")
		}},
		{name: "no podConfigRef", rule: "HF404", spoil: func(w *spoiledTree) { unset(w.schedule(), "spec", "backup", "podConfigRef") }},
		{name: "podConfigRef to nothing", rule: "HF406", spoil: func(w *spoiledTree) { set(w.schedule(), "absent", "spec", "backup", "podConfigRef", "name") }},
		{name: "no PodConfig", rule: "HF406", spoil: func(w *spoiledTree) {
			w.drop(w.find("PodConfig", named(w.unit("dump").Namespace, w.unit("dump").PodConfig)))
		}},
		{name: "no deadline of a backup", rule: "HF404", spoil: func(w *spoiledTree) { unset(w.schedule(), "spec", "backup", "activeDeadlineSeconds") }},
		{name: "no success kept", rule: "HF404", spoil: func(w *spoiledTree) { set(w.schedule(), 0.0, "spec", "backup", "successfulJobsHistoryLimit") }},
		{name: "two jobs in a Schedule", rule: "HF404", spoil: func(w *spoiledTree) {
			set(w.schedule(), in(w.maintenance("check").Value, "spec", "check"), "spec", "check")
		}},
		{name: "two backends", rule: "HF404", spoil: func(w *spoiledTree) {
			set(w.schedule(), map[string]any{"mountPath": "/data"}, "spec", "backend", "local")
		}},
		{name: "no backend", rule: "HF404", spoil: func(w *spoiledTree) { unset(w.schedule(), "spec", "backend", "s3") }},
		{name: "endpoint with a slash", rule: "HF404", spoil: func(w *spoiledTree) {
			set(w.schedule(), "https://s3.example.org/", "spec", "backend", "s3", "endpoint")
		}},
		{name: "endpoint without scheme", rule: "HF404", spoil: func(w *spoiledTree) { set(w.schedule(), "s3.example.org", "spec", "backend", "s3", "endpoint") }},
		{name: "another repository", rule: "HF404", spoil: func(w *spoiledTree) {
			set(w.schedule(), "other-bucket/restic/other", "spec", "backend", "s3", "bucket")
		}},
		{name: "password without key", rule: "HF404", spoil: func(w *spoiledTree) { unset(w.schedule(), "spec", "backend", "repoPasswordSecretRef", "key") }},
		{name: "another key of the Secret", rule: "HF406", spoil: func(w *spoiledTree) { set(w.schedule(), "passwd", "spec", "backend", "repoPasswordSecretRef", "key") }},
		{name: "another access key Secret", rule: "HF406", spoil: func(w *spoiledTree) {
			set(w.schedule(), "absent", "spec", "backend", "s3", "accessKeyIDSecretRef", "name")
		}},
		{name: "environment from nowhere", rule: "HF406", spoil: func(w *spoiledTree) {
			set(w.schedule(), "absent", "spec", "backend", "envFrom", 0, "configMapRef", "name")
		}},
		{name: "mounts without volumes", rule: "HF407", spoil: func(w *spoiledTree) {
			set(w.schedule(), []any{map[string]any{"name": "ca", "mountPath": "/ca"}}, "spec", "backend", "volumeMounts")
		}},
		{name: "no labelSelectors", rule: "HF413", spoil: func(w *spoiledTree) { unset(w.schedule(), "spec", "backup", "labelSelectors") }},
		{name: "selector without labels", rule: "HF413", spoil: func(w *spoiledTree) {
			set(w.schedule(), []any{map[string]any{}}, "spec", "backup", "labelSelectors")
		}},
		{name: "two selectors", rule: "HF413", spoil: func(w *spoiledTree) {
			selector := in(w.schedule().Value, "spec", "backup", "labelSelectors", 0)
			set(w.schedule(), []any{selector, selector}, "spec", "backup", "labelSelectors")
		}},
		{name: "selector of another unit", rule: "HF413", spoil: func(w *spoiledTree) {
			set(w.schedule(), w.unit("volume").Name, "spec", "backup", "labelSelectors", 0, "matchLabels", "holdfast.dev/unit")
		}},
		{name: "label of the dump pod", rule: "HF413", spoil: func(w *spoiledTree) { set(w.dump(), "other", "metadata", "labels", "holdfast.dev/unit") }},
		{name: "one label on two dump pods", rule: "HF413", spoil: func(w *spoiledTree) {
			i := w.unit("dump")
			other := w.find("PreBackupPod", func(o manifest.Object) bool { return o.Namespace() == i.Namespace && o.Name() != i.Name })
			set(other, i.Name, "metadata", "labels", "holdfast.dev/unit")
		}},
		{name: "two tier tags", rule: "HF417", spoil: func(w *spoiledTree) {
			set(w.schedule(), append(in(w.schedule().Value, "spec", "backup", "tags").([]any), "tier-more"), "spec", "backup", "tags")
		}},
		{name: "no tier tag", rule: "HF417", spoil: func(w *spoiledTree) { set(w.schedule(), []any{w.unit("dump").ID}, "spec", "backup", "tags") }},
		{name: "no tag of the unit", rule: "HF417", spoil: func(w *spoiledTree) { set(w.schedule(), []any{w.unit("dump").Tags[0]}, "spec", "backup", "tags") }},
		{name: "tier of nobody", rule: "HF417", spoil: func(w *spoiledTree) {
			set(w.schedule(), []any{"tier-other", w.unit("dump").ID}, "spec", "backup", "tags")
		}},
		{name: "no prune", rule: "HF417", spoil: func(w *spoiledTree) {
			i := w.unit("dump")
			w.drop(w.find("Schedule", func(o manifest.Object) bool {
				tags, _ := dig(o.Value, "spec", "prune", "retention", "tags").([]any)
				return o.Namespace() == i.Namespace && slices.Contains(tags, any(i.Tags[0]))
			}))
		}},
		{name: "prune of two tiers", rule: "HF417", spoil: func(w *spoiledTree) {
			set(w.maintenance("prune"), []any{"tier-a", "tier-b"}, "spec", "prune", "retention", "tags")
		}},
		{name: "keepTags", rule: "HF405", spoil: func(w *spoiledTree) {
			set(w.maintenance("prune"), []any{"true"}, "spec", "prune", "retention", "keepTags")
		}},
		{name: "hostnames", rule: "HF405", spoil: func(w *spoiledTree) {
			set(w.maintenance("prune"), []any{"a"}, "spec", "prune", "retention", "hostnames")
		}},
		{name: "no keepDaily", rule: "HF404", spoil: func(w *spoiledTree) { unset(w.maintenance("prune"), "spec", "prune", "retention", "keepDaily") }},
		{name: "concurrentRunsAllowed", rule: "HF405", spoil: func(w *spoiledTree) { set(w.schedule(), true, "spec", "backup", "concurrentRunsAllowed") }},
		{name: "history limit of the Schedule", rule: "HF405", spoil: func(w *spoiledTree) { set(w.schedule(), 3.0, "spec", "failedJobsHistoryLimit") }},
		{name: "no check", rule: "HF427", spoil: func(w *spoiledTree) { w.drop(w.maintenance("check")) }},
		{name: "no Schedule", rule: "HF427", spoil: func(w *spoiledTree) { w.drop(w.schedule()) }},

		// Dump pods.
		{name: "no dump pod", rule: "HF427", spoil: func(w *spoiledTree) { w.drop(w.dump()) }},
		{name: "blank in backupCommand", rule: "HF425", spoil: func(w *spoiledTree) { set(w.dump(), "/holdfast/bin/dump.sh now", "spec", "backupCommand") }},
		{name: "script that is not mounted", rule: "HF406", spoil: func(w *spoiledTree) { set(w.dump(), "/holdfast/bin/absent.sh", "spec", "backupCommand") }},
		{name: "extension without dot", rule: "HF425", spoil: func(w *spoiledTree) { set(w.dump(), "sql", "spec", "fileExtension") }},
		{name: "two containers of one name", rule: "HF302", spoil: func(w *spoiledTree) {
			i := w.unit("dump")
			other := w.find("PreBackupPod", func(o manifest.Object) bool { return o.Namespace() == i.Namespace && o.Name() != i.Name })
			set(other, i.Name, ofDump("containers", 0, "name")...)
		}},
		{name: "a container twice in a pod", rule: "HF424", spoil: func(w *spoiledTree) {
			list := in(w.dump().Value, ofDump("containers")...).([]any)
			set(w.dump(), append(list, list[0]), ofDump("containers")...)
		}},
		{name: "a volume twice in a pod", rule: "HF407", spoil: func(w *spoiledTree) {
			list := in(w.dump().Value, ofDump("volumes")...).([]any)
			set(w.dump(), append(list, list[0]), ofDump("volumes")...)
		}},
		{name: "no container", rule: "HF424", spoil: func(w *spoiledTree) { set(w.dump(), []any{}, ofDump("containers")...) }},
		{name: "capitals in a container's name", rule: "HF402", spoil: func(w *spoiledTree) { set(w.dump(), "Main", ofDump("containers", 0, "name")...) }},
		{name: "no volume", rule: "HF407", spoil: func(w *spoiledTree) {
			list := in(w.dump().Value, ofDump("volumes")...).([]any)
			set(w.dump(), slices.DeleteFunc(list, func(v any) bool { return dig(v, "name") == "scratch" }), ofDump("volumes")...)
		}},
		{name: "no mount of the scripts", rule: "HF406", spoil: func(w *spoiledTree) {
			list := in(w.dump().Value, ofDump("containers", 0, "volumeMounts")...).([]any)
			set(w.dump(), slices.DeleteFunc(list, func(m any) bool { return dig(m, "name") == "scripts" }), ofDump("containers", 0, "volumeMounts")...)
		}},
		{name: "no scripts", rule: "HF406", spoil: func(w *spoiledTree) { w.drop(w.scripts()) }},
		{name: "no dump.sh", rule: "HF406", spoil: func(w *spoiledTree) { unset(w.scripts(), "data", "dump.sh") }},
		{name: "key with a slash", rule: "HF408", spoil: func(w *spoiledTree) { set(w.scripts(), "", "data", "a/b") }},
		{name: "lock that nobody makes", rule: "HF406", spoil: func(w *spoiledTree) {
			at := byName(w.t, in(w.dump().Value, ofDump("volumes")...), "lock-unit")
			set(w.dump(), "absent", ofDump("volumes", at, "configMap", "name")...)
		}},
		{name: "another key of an application's Secret", rule: "HF406", spoil: func(w *spoiledTree) { set(w.secretEnv(), "absent", "key") }},
		{name: "another Secret of an application", rule: "HF406", spoil: func(w *spoiledTree) { set(w.secretEnv(), "absent", "name") }},
		{name: "name of a variable", rule: "HF402", spoil: func(w *spoiledTree) { set(w.copier(), "A=B", ofCopier("containers", 0, "env", 0, "name")...) }},
		{name: "environment that nobody makes", rule: "HF406", spoil: func(w *spoiledTree) {
			set(w.copier(), []any{map[string]any{"configMapRef": map[string]any{"name": "absent"}}}, ofCopier("containers", 0, "envFrom")...)
		}},
		{name: "environment from a Secret that nobody makes", rule: "HF406", spoil: func(w *spoiledTree) {
			set(w.copier(), []any{map[string]any{"secretRef": map[string]any{"name": "absent"}}}, ofCopier("containers", 0, "envFrom")...)
		}},
		{name: "account that nobody makes", rule: "HF406", spoil: func(w *spoiledTree) { set(w.dump(), "absent", ofDump("serviceAccountName")...) }},
		{name: "no ServiceAccount", rule: "HF406", spoil: func(w *spoiledTree) {
			i := w.unit("dump")
			w.drop(w.find("ServiceAccount", named(i.Namespace, i.ServiceAccount)))
		}},
		{name: "account default", rule: "HF424", spoil: func(w *spoiledTree) { unset(w.dump(), ofDump("serviceAccountName")...) }},
		{name: "token without rights", rule: "HF421", spoil: func(w *spoiledTree) {
			o := w.find("PreBackupPod", func(o manifest.Object) bool {
				return dig(o.Value, "spec", "pod", "spec", "automountServiceAccountToken") == false
			})
			unset(o, ofDump("automountServiceAccountToken")...)
		}},
		{name: "image without tag", rule: "HF109", spoil: func(w *spoiledTree) {
			set(w.dump(), "registry.example.org:5000/postgres", ofDump("containers", 0, "image")...)
		}},
		{name: "image latest", rule: "HF109", spoil: func(w *spoiledTree) { set(w.dump(), "postgres:latest", ofDump("containers", 0, "image")...) }},
		{name: "quantity of letters", rule: "HF410", spoil: func(w *spoiledTree) {
			set(w.dump(), "1GB!", ofDump("containers", 0, "resources", "limits", "memory")...)
		}},
		{name: "quantity below zero", rule: "HF410", spoil: func(w *spoiledTree) {
			set(w.dump(), "-1Gi", ofDump("containers", 0, "resources", "limits", "memory")...)
		}},
		{name: "no limits", rule: "HF424", spoil: func(w *spoiledTree) { unset(w.dump(), ofDump("containers", 0, "resources", "limits")...) }},
		{name: "emptyDir of nothing", rule: "HF410", spoil: func(w *spoiledTree) {
			at := byName(w.t, in(w.dump().Value, ofDump("volumes")...), "scratch")
			set(w.dump(), "0", ofDump("volumes", at, "emptyDir", "sizeLimit")...)
		}},
		{name: "claim that the state does not know", rule: "HF406", spoil: func(w *spoiledTree) {
			set(w.dump(), append(in(w.dump().Value, ofDump("volumes")...).([]any), map[string]any{
				"name": "more", "persistentVolumeClaim": map[string]any{"claimName": "absent"},
			}), ofDump("volumes")...)
		}},

		// Pod Security.
		{name: "fsGroup in a dump pod", rule: "HF405", spoil: func(w *spoiledTree) { set(w.dump(), 1000.0, ofDump("securityContext", "fsGroup")...) }},
		{name: "fsGroup in a PodConfig", rule: "HF405", spoil: func(w *spoiledTree) {
			set(w.find("PodConfig"), 1000.0, "spec", "template", "spec", "securityContext", "fsGroup")
		}},
		{name: "root in a dump pod", rule: "HF409", spoil: func(w *spoiledTree) { set(w.dump(), 0.0, ofDump("securityContext", "runAsUser")...) }},
		{name: "root in a PodConfig", rule: "HF409", spoil: func(w *spoiledTree) {
			set(w.find("PodConfig"), 0.0, "spec", "template", "spec", "securityContext", "runAsUser")
		}},
		{name: "no seccomp profile", rule: "HF409", spoil: func(w *spoiledTree) { unset(w.copier(), ofCopier("securityContext", "seccompProfile")...) }},
		{name: "privileged", rule: "HF409", spoil: func(w *spoiledTree) {
			set(w.copier(), true, ofCopier("containers", 0, "securityContext", "privileged")...)
		}},
		{name: "init container that may escalate", rule: "HF409", spoil: func(w *spoiledTree) {
			unset(w.copier(), ofCopier("initContainers", 0, "securityContext", "allowPrivilegeEscalation")...)
		}},
		{name: "host path", rule: "HF409", spoil: func(w *spoiledTree) {
			set(w.dump(), append(in(w.dump().Value, ofDump("volumes")...).([]any), map[string]any{
				"name": "more", "hostPath": map[string]any{"path": "/etc"},
			}), ofDump("volumes")...)
		}},
		{name: "host network", rule: "HF409", spoil: func(w *spoiledTree) { set(w.restore(), true, "spec", "template", "spec", "hostNetwork") }},

		// Jobs.
		{name: "no copy", rule: "HF427", spoil: func(w *spoiledTree) { w.drop(w.copier()) }},
		{name: "copies at once", rule: "HF418", spoil: func(w *spoiledTree) { set(w.copier(), "Allow", "spec", "concurrencyPolicy") }},
		{name: "no concurrencyPolicy", rule: "HF418", spoil: func(w *spoiledTree) { unset(w.copier(), "spec", "concurrencyPolicy") }},
		{name: "suspended CronJob", rule: "HF418", spoil: func(w *spoiledTree) { set(w.copier(), true, "spec", "suspend") }},
		{name: "suspended Job", rule: "HF418", spoil: func(w *spoiledTree) { set(w.restore(), true, "spec", "suspend") }},
		{name: "start within 5 s or never", rule: "HF418", spoil: func(w *spoiledTree) { set(w.copier(), 5.0, "spec", "startingDeadlineSeconds") }},
		{name: "no history", rule: "HF418", spoil: func(w *spoiledTree) { set(w.copier(), 0.0, "spec", "successfulJobsHistoryLimit") }},
		{name: "no deadline of a copy", rule: "HF418", spoil: func(w *spoiledTree) { unset(w.copier(), "spec", "jobTemplate", "spec", "activeDeadlineSeconds") }},
		{name: "no deadline of a restore", rule: "HF418", spoil: func(w *spoiledTree) { unset(w.restore(), "spec", "activeDeadlineSeconds") }},
		{name: "restartPolicy OnFailure", rule: "HF418", spoil: func(w *spoiledTree) { set(w.copier(), "OnFailure", ofCopier("restartPolicy")...) }},
		{name: "no backoffLimit", rule: "HF418", spoil: func(w *spoiledTree) { unset(w.restore(), "spec", "backoffLimit") }},
		{name: "hour 24", rule: "HF411", spoil: func(w *spoiledTree) { set(w.copier(), "1 24 * * *", "spec", "schedule") }},
		{name: "30 February", rule: "HF411", spoil: func(w *spoiledTree) { set(w.copier(), "0 0 30 2 *", "spec", "schedule") }},
		{name: "another minute", rule: "HF411", spoil: func(w *spoiledTree) { set(w.copier(), "59 11 * * *", "spec", "schedule") }},
		{name: "copy in no zone", rule: "HF411", spoil: func(w *spoiledTree) { unset(w.copier(), "spec", "timeZone") }},
		{name: "command from nowhere", rule: "HF406", spoil: func(w *spoiledTree) {
			set(w.copier(), "/holdfast/bin/absent.sh", ofCopier("containers", 0, "command", 1)...)
		}},
		{name: "no restore", rule: "HF427", spoil: func(w *spoiledTree) { w.drop(w.restore()) }},
		{name: "no bootstrap", rule: "HF427", spoil: func(w *spoiledTree) {
			r := w.plan.Repositories[w.unit("dump").Repository]
			w.drop(w.find("Job", named(r.Namespace, r.Bootstrap)))
		}},
		{name: "no preflight", rule: "HF427", spoil: func(w *spoiledTree) {
			w.drop(w.find("Job", named(w.plan.Preflights[0].Namespace, w.plan.Preflights[0].Name)))
		}},
		{name: "preflight's script from nowhere", rule: "HF406", spoil: func(w *spoiledTree) {
			set(w.find("Job", named(w.plan.Preflights[0].Namespace, w.plan.Preflights[0].Name)), "/holdfast/preflight/absent.sh", "spec", "template", "spec", "containers", 0, "command", 0)
		}},
		{name: "no marker", rule: "HF427", spoil: func(w *spoiledTree) {
			w.drop(w.find("CronJob", named(w.plan.Markers[0].Namespace, w.plan.Markers[0].Name)))
		}},
		{name: "no first marker", rule: "HF427", spoil: func(w *spoiledTree) {
			w.drop(w.find("Job", named(w.plan.Markers[0].Namespace, w.plan.Markers[0].First)))
		}},

		{name: "no verifier", rule: "HF427", spoil: func(w *spoiledTree) {
			w.drop(w.find("CronJob", named(w.plan.Verifiers[0].Namespace, w.plan.Verifiers[0].Name)))
		}},
		{name: "no status", rule: "HF427", spoil: func(w *spoiledTree) {
			w.drop(w.find("ConfigMap", named(w.plan.Verifiers[0].Namespace, w.plan.Verifiers[0].Status)))
		}},
		{name: "a verifier at another minute", rule: "HF411", spoil: func(w *spoiledTree) {
			set(w.find("CronJob", named(w.plan.Verifiers[0].Namespace, w.plan.Verifiers[0].Name)), "59 11 * * *", "spec", "schedule")
		}},
		{name: "a status with data", rule: "HF423", spoil: func(w *spoiledTree) {
			set(w.find("ConfigMap", named(w.plan.Verifiers[0].Namespace, w.plan.Verifiers[0].Status)), map[string]any{"verifier": "{}"}, "data")
		}},

		// Locks.
		{name: "lock with data", rule: "HF423", spoil: func(w *spoiledTree) { set(w.lock(), map[string]any{"holder": ""}, "data") }},
		{name: "lock that Flux takes back", rule: "HF423", spoil: func(w *spoiledTree) { unset(w.lock(), "metadata", "annotations", "kustomize.toolkit.fluxcd.io/ssa") }},
		{name: "no lock", rule: "HF427", spoil: func(w *spoiledTree) { w.drop(w.lock()) }},

		// Network.
		{name: "no policy of a dump pod", rule: "HF414", spoil: func(w *spoiledTree) { w.drop(w.policy()) }},
		{name: "no policy of K8up's jobs", rule: "HF414", spoil: func(w *spoiledTree) {
			w.drop(w.find("NetworkPolicy", named(w.unit("dump").Namespace, w.plan.Instance+"-job")))
		}},
		{name: "no policy of a restore", rule: "HF414", spoil: func(w *spoiledTree) {
			i := w.unit("dump")
			w.drop(w.find("NetworkPolicy", named(i.Namespace, i.Restore)))
		}},
		{name: "no policy of the marker", rule: "HF414", spoil: func(w *spoiledTree) {
			w.drop(w.find("NetworkPolicy", named(w.plan.Markers[0].Namespace, w.plan.Markers[0].Name)))
		}},
		{name: "no policy of the verifier", rule: "HF414", spoil: func(w *spoiledTree) {
			w.drop(w.find("NetworkPolicy", named(w.plan.Verifiers[0].Namespace, w.plan.Verifiers[0].Name)))
		}},
		{name: "no default", rule: "HF427", spoil: func(w *spoiledTree) {
			w.drop(w.find("NetworkPolicy", named(w.plan.Namespaces[0], w.plan.Instance+"-default-deny")))
		}},
		{name: "no policyTypes", rule: "HF414", spoil: func(w *spoiledTree) { unset(w.policy(), "spec", "policyTypes") }},
		{name: "policy for ingress only", rule: "HF414", spoil: func(w *spoiledTree) { set(w.policy(), []any{"Ingress"}, "spec", "policyTypes") }},
		{name: "label that no dump pod has", rule: "HF414", spoil: func(w *spoiledTree) {
			set(w.policy(), "other", "spec", "podSelector", "matchLabels", "k8up.io/preBackupPod")
		}},
		{name: "labels of the template on a dump pod", rule: "HF414", spoil: func(w *spoiledTree) {
			set(w.policy(), map[string]any{"holdfast.dev/unit": w.unit("dump").Name}, "spec", "podSelector", "matchLabels")
		}},
		{name: "policy for every pod of the namespace", rule: "HF414", spoil: func(w *spoiledTree) { set(w.policy(), map[string]any{}, "spec", "podSelector") }},
		{name: "selection by expressions", rule: "HF414", spoil: func(w *spoiledTree) {
			set(w.policy(), []any{map[string]any{"key": "a", "operator": "Exists"}}, "spec", "podSelector", "matchExpressions")
		}},
		{name: "egress anywhere", rule: "HF414", spoil: func(w *spoiledTree) { set(w.policy(), []any{map[string]any{}}, "spec", "egress") }},
		{name: "egress to any port", rule: "HF414", spoil: func(w *spoiledTree) { unset(w.policy(), "spec", "egress", 0, "ports") }},
		{name: "egress to any target", rule: "HF414", spoil: func(w *spoiledTree) { unset(w.policy(), "spec", "egress", 0, "to") }},
		{name: "egress by default", rule: "HF414", spoil: func(w *spoiledTree) {
			set(w.find("NetworkPolicy", named(w.plan.Namespaces[0], w.plan.Instance+"-default-deny")), []any{map[string]any{}}, "spec", "egress")
		}},
		{name: "ingress from anywhere", rule: "HF414", spoil: func(w *spoiledTree) { set(w.policy(), []any{map[string]any{}}, "spec", "ingress") }},
		{name: "metadata by a wide range", rule: "HF317", spoil: func(w *spoiledTree) {
			set(w.ipBlock(), "0.0.0.0/0", "cidr")
			set(w.ipBlock(), []any{"10.0.0.0/8"}, "except")
		}},
		{name: "33 bits", rule: "HF412", spoil: func(w *spoiledTree) { set(w.ipBlock(), "192.0.2.0/33", "cidr") }},
		{name: "address without length", rule: "HF412", spoil: func(w *spoiledTree) { set(w.ipBlock(), "192.0.2.1", "cidr") }},
		{name: "exception of 33 bits", rule: "HF412", spoil: func(w *spoiledTree) { set(w.ipBlock(), []any{"192.0.2.0/33"}, "except") }},

		// Rights.
		{name: "every verb", rule: "HF421", spoil: func(w *spoiledTree) { set(w.find("Role"), []any{"*"}, "rules", 0, "verbs") }},
		{name: "every resource", rule: "HF421", spoil: func(w *spoiledTree) { set(w.find("Role"), []any{"configmaps", "*"}, "rules", 0, "resources") }},
		{name: "every group", rule: "HF421", spoil: func(w *spoiledTree) { set(w.find("Role"), []any{"*"}, "rules", 0, "apiGroups") }},
		{name: "rights to give rights", rule: "HF421", spoil: func(w *spoiledTree) { set(w.find("Role"), []any{"get", "escalate"}, "rules", 0, "verbs") }},
		{name: "no Role", rule: "HF406", spoil: func(w *spoiledTree) { w.drop(w.find("Role")) }},
		{name: "cluster binding to an absent account", rule: "HF406", spoil: func(w *spoiledTree) {
			w.add("rbac.authorization.k8s.io/v1", "ClusterRole", "more", map[string]any{"rules": []any{map[string]any{
				"apiGroups": []any{""}, "resources": []any{"nodes"}, "verbs": []any{"get"},
			}}})
			w.add("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "more", map[string]any{
				"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "more"},
				"subjects": []any{map[string]any{"kind": "ServiceAccount", "namespace": w.plan.Namespaces[0], "name": "absent"}},
			})
		}},
		{name: "binding for everybody", rule: "HF406", spoil: func(w *spoiledTree) {
			set(w.find("RoleBinding"), []any{map[string]any{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:authenticated"}}, "subjects")
		}},
	}
	names := map[string]bool{}
	for _, tt := range tests {
		if names[tt.name] {
			t.Errorf("two mutations are named %q", tt.name)
		}
		names[tt.name] = true
	}
	if len(tests) < 40 {
		t.Fatalf("only %d mutations", len(tests))
	}
	all, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.Name != "layout-a" && c.Name != "layout-b" {
			continue
		}
		r, err := renderer.New(c.Templates)
		if err != nil {
			t.Fatal(err)
		}
		x := render(t, r, c.Inputs, secrets.Omit)
		// Secrets, lists of files and the plan are made after Inspect.
		objects := slices.DeleteFunc(x.objects, func(o manifest.Object) bool { return path.Base(o.Path) == "kustomization.yaml" })
		if found := manifest.Inspect(objects, x.planned[0].Plan); len(found) > 0 {
			t.Fatalf("%s, unbroken: %v", c.Name, found)
		}
		for _, tt := range tests {
			t.Run(c.Name+"/"+tt.name, func(t *testing.T) {
				w := &spoiledTree{t: t, plan: x.planned[0].Plan}
				for _, o := range objects {
					w.objects = append(w.objects, manifest.Object{Path: o.Path, Value: copyOf(o.Value).(map[string]any)})
				}
				tt.spoil(w)
				found := manifest.Inspect(w.objects, w.plan)
				rules := map[string]bool{}
				for _, p := range found {
					rules[p.Rule] = true
				}
				if !rules[tt.rule] {
					t.Errorf("survives: expected %s, found %v", tt.rule, found)
				}
			})
		}
	}
}

// secretEnv is the first reference to a Secret in the environment of a dump.
func (w *spoiledTree) secretEnv() manifest.Object {
	w.t.Helper()
	for _, o := range w.objects {
		if o.Kind() != "PreBackupPod" {
			continue
		}
		env, _ := dig(in(o.Value, ofDump("containers", 0)...), "env").([]any)
		for _, e := range env {
			if ref, ok := dig(e, "valueFrom", "secretKeyRef").(map[string]any); ok {
				return manifest.Object{Value: ref}
			}
		}
	}
	w.t.Fatal("no dump pod has a Secret in its environment")
	return manifest.Object{}
}

// ipBlock is the first address range of a policy.
func (w *spoiledTree) ipBlock() manifest.Object {
	w.t.Helper()
	for _, o := range w.objects {
		rules, _ := dig(o.Value, "spec", "egress").([]any)
		for _, rule := range rules {
			peers, _ := dig(rule, "to").([]any)
			for _, peer := range peers {
				if block, ok := dig(peer, "ipBlock").(map[string]any); ok {
					return manifest.Object{Value: block}
				}
			}
		}
	}
	w.t.Fatal("no policy has an address range")
	return manifest.Object{}
}
