package manifest_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/renderer/yaml"
	"github.com/holdfast-backup/holdfast/templates"
)

// tree is a sound tree: the objects of an example and the plan they come from.
type tree struct {
	plan    *plan.Plan
	objects []byte // as JSON, so that each test changes its own copy
}

// rendered renders an example and reads its objects back.
func rendered(t *testing.T, example string) tree {
	t.Helper()
	return renderedWith(t, example, `{"schemaVersion": 1}`)
}

// renderedWith does it with a policy.
func renderedWith(t *testing.T, example, policy string) tree {
	t.Helper()
	document := func(name string) input.Document {
		data, err := os.ReadFile(filepath.Join("../../examples", example, name))
		if err != nil {
			t.Fatal(err)
		}
		return input.Document{Name: name, Data: data}
	}
	r, err := renderer.New(templates.FS)
	if err != nil {
		t.Fatal(err)
	}
	made, err := r.Render(renderer.Inputs{
		States:      []input.Document{document("runtime-state.json")},
		Credentials: []input.Document{document("backup-credentials.json")},
		Policy:      &input.Document{Name: "policy.json", Data: []byte(policy)},
	}, renderer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var objects []manifest.Object
	for _, f := range made.Bundle.Files {
		if path.Ext(f.Path) != ".yaml" || path.Base(f.Path) == "kustomization.yaml" {
			continue
		}
		values, err := yaml.Decode(f.Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range values {
			objects = append(objects, manifest.Object{Path: f.Path, Value: value})
		}
	}
	data, err := json.Marshal(objects)
	if err != nil {
		t.Fatal(err)
	}
	return tree{plan: made.Planned[0].Plan, objects: data}
}

// copied is the tree's objects, for one test alone.
func (x tree) copied(t *testing.T) []manifest.Object {
	t.Helper()
	var objects []manifest.Object
	if err := json.Unmarshal(x.objects, &objects); err != nil {
		t.Fatal(err)
	}
	return objects
}

// inspect lists what is wrong, as "RULE Kind/namespace/name".
func inspect(objects []manifest.Object, p *plan.Plan) []string {
	var found []string
	for _, problem := range manifest.Inspect(objects, p).Sorted() {
		found = append(found, problem.Rule+" "+problem.Pointer)
	}
	return found
}

func TestInspectSoundTrees(t *testing.T) {
	t.Parallel()
	for _, example := range []string{"minimal", "layout-a", "layout-b"} {
		x := rendered(t, example)
		if found := inspect(x.copied(t), x.plan); len(found) > 0 {
			t.Errorf("%s: %s", example, strings.Join(found, "\n"))
		}
	}
}

// set changes one value deep in an object: a path of keys and indexes, of
// which the last is set, or removed when value is nil.
func set(t *testing.T, value any, to any, keys ...any) {
	t.Helper()
	for n, key := range keys {
		last := n == len(keys)-1
		switch v := value.(type) {
		case map[string]any:
			name, _ := key.(string)
			if last {
				if _, there := v[name]; to == nil && !there {
					t.Fatalf("there is no %v", keys)
				}
				if to == nil {
					delete(v, name)
				} else {
					v[name] = to
				}
				return
			}
			value = v[name]
		case []any:
			index, _ := key.(int)
			if index >= len(v) {
				t.Fatalf("there is no %v", keys)
			}
			if last {
				v[index] = to
				return
			}
			value = v[index]
		default:
			t.Fatalf("there is no %v in %v", key, keys)
		}
	}
}

// TestInspectNoticesEachChange breaks one thing of a sound tree at a time.
func TestInspectNoticesEachChange(t *testing.T) {
	t.Parallel()
	pod := func(keys ...any) []any { return append([]any{"spec", "pod", "spec"}, keys...) }
	job := func(keys ...any) []any { return append([]any{"spec", "template", "spec"}, keys...) }
	cron := func(keys ...any) []any {
		return append([]any{"spec", "jobTemplate", "spec", "template", "spec"}, keys...)
	}
	projected := func(kind string, source map[string]any) map[string]any {
		return map[string]any{"name": "v", "projected": map[string]any{"sources": []any{map[string]any{kind: source}}}}
	}
	minimal := rendered(t, "minimal")
	const dump, backup, prune = "PreBackupPod/shop/shop-pg-shop", "Schedule/shop/shop-pg-shop", "Schedule/shop/shop-prune-d30"
	const restore, marker = "Job/shop/restore-shop-pg-shop", "CronJob/shop/shop-marker"
	for _, test := range []struct {
		object string
		keys   []any
		to     any
		rule   string
	}{
		{object: backup, keys: []any{"apiVersion"}, rule: "HF401"},
		{object: backup, keys: []any{"metadata", "labels", "app.kubernetes.io/managed-by"}, rule: "HF401"},
		{object: backup, keys: []any{"metadata", "labels", "x"}, to: "a b", rule: "HF402"},
		{object: backup, keys: []any{"metadata", "name"}, to: strings.Repeat("x", 34), rule: "HF301"},
		{object: backup, keys: []any{"spec", "backend", "rest"}, to: map[string]any{}, rule: "HF404"},
		{object: backup, keys: []any{"spec", "backend", "s3"}, rule: "HF404"},
		{object: backup, keys: []any{"spec", "backend", "s3", "bucket"}, rule: "HF404"},
		{object: backup, keys: []any{"spec", "backend", "s3", "endpoint"}, to: "s3.example.com", rule: "HF404"},
		{object: backup, keys: []any{"spec", "backend", "s3", "accessKeyIDSecretRef"}, rule: "HF404"},
		{object: backup, keys: []any{"spec", "backend", "repoPasswordSecretRef", "key"}, rule: "HF404"},
		{object: backup, keys: []any{"spec", "backend", "repoPasswordSecretRef", "key"}, to: "other", rule: "HF406"},
		{object: backup, keys: []any{"spec", "backend", "repoPasswordSecretRef", "name"}, to: "other", rule: "HF406"},
		{object: backup, keys: []any{"spec", "backend", "envFrom", 0, "configMapRef", "name"}, to: "other", rule: "HF406"},
		{object: backup, keys: []any{"spec", "backup"}, rule: "HF404"},
		{object: backup, keys: []any{"spec", "backup", "schedule"}, rule: "HF404"},
		{object: backup, keys: []any{"spec", "backup", "schedule"}, to: "CRON_TZ=UTC 0 0 31 2 *", rule: "HF411"},
		{object: backup, keys: []any{"spec", "backup", "schedule"}, to: "CRON_TZ=UTC @daily-random", rule: "HF411"},
		{object: backup, keys: []any{"spec", "backup", "schedule"}, to: "0 3 * * *", rule: "HF411"},
		{object: backup, keys: []any{"spec", "backup", "activeDeadlineSeconds"}, rule: "HF404"},
		{object: backup, keys: []any{"spec", "backup", "activeDeadlineSeconds"}, to: 10, rule: "HF404"},
		{object: backup, keys: []any{"spec", "backup", "successfulJobsHistoryLimit"}, to: 0, rule: "HF404"},
		{object: backup, keys: []any{"spec", "backup", "failedJobsHistoryLimit"}, rule: "HF404"},
		{object: backup, keys: []any{"spec", "backup", "podConfigRef"}, rule: "HF404"},
		{object: backup, keys: []any{"spec", "backup", "podConfigRef", "name"}, to: "other", rule: "HF406"},
		{object: backup, keys: []any{"spec", "backup", "labelSelectors"}, rule: "HF413"},
		{object: backup, keys: []any{"spec", "backup", "labelSelectors", 0, "matchLabels", "holdfast.dev/unit"}, to: "other", rule: "HF413"},
		{object: backup, keys: []any{"spec", "backup", "tags"}, rule: "HF417"},
		{object: backup, keys: []any{"spec", "backup", "tags", 0}, to: "tier-other", rule: "HF417"},
		{object: backup, keys: []any{"spec", "backup", "tags", 1}, to: "tier-d30", rule: "HF417"},
		{object: backup, keys: []any{"spec", "backup", "resources"}, to: map[string]any{}, rule: "HF405"},
		{object: backup, keys: []any{"spec", "backup", "concurrentRunsAllowed"}, to: false, rule: "HF405"},
		{object: backup, keys: []any{"spec", "failedJobsHistoryLimit"}, to: 3, rule: "HF405"},
		{object: backup, keys: []any{"spec", "restore"}, to: map[string]any{}, rule: "HF405"},
		{object: prune, keys: []any{"spec", "prune", "retention", "keepDaily"}, rule: "HF404"},
		{object: prune, keys: []any{"spec", "prune", "retention", "tags"}, rule: "HF417"},
		{object: prune, keys: []any{"spec", "prune", "retention", "keepTags"}, to: []any{"true"}, rule: "HF405"},
		{object: prune, keys: []any{"spec", "prune", "retention", "hostnames"}, to: []any{"shop"}, rule: "HF405"},
		{object: prune, keys: []any{"spec", "prune", "retention", "keepDaily"}, to: 1, rule: "HF417"},
		{object: prune, keys: []any{"spec", "prune", "retention", "keepLast"}, to: 1, rule: "HF417"},
		{object: prune, keys: []any{"spec", "prune", "retention", "tags"}, to: []any{"tier-d7"}, rule: "HF417"},
		{object: prune, keys: []any{"spec", "prune", "backend"}, to: map[string]any{}, rule: "HF405"},
		{object: backup, keys: []any{"spec", "backup", "backend"}, to: map[string]any{}, rule: "HF405"},
		{object: backup, keys: []any{"spec", "backend", "repoPasswordSecretRef", "key"}, to: "access-key-id", rule: "HF404"},
		{object: backup, keys: []any{"spec", "backend", "repoPasswordSecretRef"}, to: map[string]any{"name": "postgres", "key": "password"}, rule: "HF404"},
		{object: backup, keys: []any{"spec", "backend", "s3", "accessKeyIDSecretRef", "key"}, to: "secret-access-key", rule: "HF404"},
		{object: backup, keys: []any{"spec", "backend", "s3", "secretAccessKeySecretRef", "key"}, to: "access-key-id", rule: "HF404"},
		{object: backup, keys: []any{"spec", "backend", "envFrom", 0, "configMapRef", "name"}, to: "shop-pg-shop", rule: "HF404"},
		{object: backup, keys: []any{"spec", "backend", "envFrom", 0}, to: map[string]any{"secretRef": map[string]any{"name": "postgres"}}, rule: "HF404"},

		{object: dump, keys: []any{"metadata", "name"}, to: "other", rule: "HF427"},
		{object: dump, keys: []any{"metadata", "labels", "holdfast.dev/unit"}, rule: "HF413"},
		{object: dump, keys: []any{"spec", "backupCommand"}, to: "pg_dump | gzip", rule: "HF425"},
		{object: dump, keys: []any{"spec", "backupCommand"}, to: "/holdfast/bin/none.sh", rule: "HF406"},
		{object: dump, keys: []any{"spec", "backupCommand"}, to: "/elsewhere/dump.sh", rule: "HF406"},
		{object: dump, keys: []any{"spec", "fileExtension"}, rule: "HF425"},
		{object: dump, keys: pod("containers"), to: []any{}, rule: "HF424"},
		{object: dump, keys: pod("containers", 0, "name"), to: "shop-pg-main-globals", rule: "HF302"},
		{object: dump, keys: pod("containers", 0, "name"), to: "Dump", rule: "HF402"},
		{object: dump, keys: pod("containers", 0, "image"), to: "postgres:latest", rule: "HF109"},
		{object: dump, keys: pod("containers", 0, "image"), to: "registry:5000/postgres", rule: "HF109"},
		{object: dump, keys: pod("containers", 0, "resources", "limits"), rule: "HF424"},
		{object: dump, keys: pod("containers", 0, "resources", "requests", "cpu"), to: "much", rule: "HF410"},
		{object: dump, keys: pod("containers", 0, "resources", "requests", "cpu"), to: "-1", rule: "HF410"},
		{object: dump, keys: pod("containers", 0, "env", 0, "name"), to: "A=B", rule: "HF402"},
		{object: dump, keys: pod("containers", 0, "env", 0), to: map[string]any{"name": "A", "valueFrom": map[string]any{"secretKeyRef": map[string]any{"name": "postgres", "key": "other"}}}, rule: "HF406"},
		{object: dump, keys: pod("containers", 0, "env", 0), to: map[string]any{"name": "A", "valueFrom": map[string]any{"configMapKeyRef": map[string]any{"name": "none", "key": "x"}}}, rule: "HF406"},
		{object: dump, keys: pod("containers", 0, "envFrom"), to: []any{map[string]any{"secretRef": map[string]any{"name": "none"}}}, rule: "HF406"},
		{object: dump, keys: pod("containers", 0, "envFrom"), to: []any{map[string]any{"configMapRef": map[string]any{"name": "none"}}}, rule: "HF406"},
		{object: dump, keys: pod("containers", 0, "volumeMounts", 0, "name"), to: "none", rule: "HF407"},
		{object: dump, keys: pod("volumes", 0, "configMap", "name"), to: "none", rule: "HF406"},
		{object: dump, keys: pod("serviceAccountName"), rule: "HF424"},
		{object: dump, keys: pod("serviceAccountName"), to: "none", rule: "HF406"},
		{object: dump, keys: pod("serviceAccountName"), to: "shop-marker", rule: "HF434"},
		{object: dump, keys: pod("serviceAccountName"), to: "pod-executor", rule: "HF434"},
		{object: dump, keys: pod("serviceAccount"), to: "shop-marker", rule: "HF434"},
		{object: dump, keys: pod("volumes", 0), to: map[string]any{"name": "v", "projected": map[string]any{"sources": []any{map[string]any{"serviceAccountToken": map[string]any{"path": "t"}}}}}, rule: "HF421"},
		{object: dump, keys: pod("volumes", 0), to: projected("secret", map[string]any{"name": "shop-restic"}), rule: "HF428"},
		{object: dump, keys: pod("volumes", 1), to: projected("secret", map[string]any{"name": "none"}), rule: "HF406"},
		{object: dump, keys: pod("volumes", 1), to: projected("configMap", map[string]any{"name": "none"}), rule: "HF406"},
		{object: dump, keys: pod("volumes", 0), to: map[string]any{"name": "v", "csi": map[string]any{"driver": "d", "nodePublishSecretRef": map[string]any{"name": "shop-restic"}}}, rule: "HF428"},
		{object: dump, keys: pod("imagePullSecrets"), to: []any{map[string]any{"name": "shop-restic"}}, rule: "HF428"},
		{object: dump, keys: pod("securityContext", "fsGroup"), to: 1, rule: "HF405"},
		{object: dump, keys: pod("securityContext", "runAsNonRoot"), rule: "HF409"},
		{object: dump, keys: pod("securityContext", "runAsUser"), to: 0, rule: "HF409"},
		{object: dump, keys: pod("securityContext", "seccompProfile"), rule: "HF409"},
		{object: dump, keys: pod("securityContext", "seccompProfile", "type"), to: "Unconfined", rule: "HF409"},
		{object: dump, keys: pod("securityContext", "sysctls"), to: []any{map[string]any{"name": "a"}}, rule: "HF409"},
		{object: dump, keys: pod("hostPID"), to: true, rule: "HF409"},
		{object: dump, keys: pod("hostIPC"), to: true, rule: "HF409"},
		{object: dump, keys: pod("hostNetwork"), to: true, rule: "HF409"},
		{object: dump, keys: pod("containers", 0, "securityContext", "allowPrivilegeEscalation"), rule: "HF409"},
		{object: dump, keys: pod("containers", 0, "securityContext", "privileged"), to: true, rule: "HF409"},
		{object: dump, keys: pod("containers", 0, "securityContext", "procMount"), to: "Unmasked", rule: "HF409"},
		{object: dump, keys: pod("containers", 0, "securityContext", "runAsUser"), to: 0, rule: "HF409"},
		{object: dump, keys: pod("containers", 0, "securityContext", "capabilities", "drop"), to: []any{"KILL"}, rule: "HF409"},
		{object: dump, keys: pod("containers", 0, "securityContext", "capabilities", "add"), to: []any{"SYS_ADMIN"}, rule: "HF409"},
		{object: dump, keys: pod("containers", 0, "ports"), to: []any{map[string]any{"hostPort": 80}}, rule: "HF409"},

		{object: restore, keys: []any{"spec", "activeDeadlineSeconds"}, rule: "HF418"},
		{object: restore, keys: []any{"spec", "backoffLimit"}, rule: "HF418"},
		{object: restore, keys: []any{"spec", "parallelism"}, to: 0, rule: "HF418"},
		{object: restore, keys: []any{"spec", "completions"}, to: 0, rule: "HF418"},
		{object: restore, keys: job("serviceAccountName"), to: "shop-marker", rule: "HF434"},
		{object: marker, keys: []any{"spec", "jobTemplate", "spec", "parallelism"}, to: 0, rule: "HF418"},
		{object: marker, keys: cron("serviceAccountName"), to: "shop-preflight", rule: "HF434"},
		{object: "Job/shop/shop-preflight", keys: job("serviceAccountName"), to: "shop-marker", rule: "HF434"},
		{object: "Job/shop/shop-init-5a4e92b9", keys: job("serviceAccountName"), to: "shop-marker", rule: "HF434"},
		{object: "PodConfig/shop/shop-jobs", keys: job("serviceAccountName"), to: "shop-marker", rule: "HF434"},
		{object: restore, keys: job("restartPolicy"), to: "OnFailure", rule: "HF418"},
		{object: restore, keys: job("initContainers", 0, "securityContext", "privileged"), to: true, rule: "HF409"},
		{object: restore, keys: job("initContainers", 1, "command", 0), to: "/holdfast/bin/none.sh", rule: "HF406"},
		{object: restore, keys: []any{"spec", "template", "metadata", "labels"}, to: map[string]any{}, rule: "HF414"},
		{object: "Job/shop/restore-shop-vol-uploads", keys: job("volumes"), to: []any{map[string]any{"name": "target", "persistentVolumeClaim": map[string]any{"claimName": "other"}}}, rule: "HF406"},
		{object: marker, keys: []any{"spec", "schedule"}, to: "0 25 * * *", rule: "HF411"},
		{object: marker, keys: []any{"spec", "timeZone"}, to: "Asia/Tokyo", rule: "HF411"},
		{object: marker, keys: []any{"spec", "concurrencyPolicy"}, to: "Allow", rule: "HF418"},
		{object: marker, keys: []any{"spec", "successfulJobsHistoryLimit"}, to: 0, rule: "HF418"},
		{object: marker, keys: cron("serviceAccountName"), rule: "HF424"},

		{object: "PodConfig/shop/shop-jobs", keys: []any{"metadata", "name"}, to: "other", rule: "HF406"},
		{object: "PodConfig/shop/shop-jobs", keys: job("securityContext", "fsGroup"), to: 1000, rule: "HF405"},
		{object: "PodConfig/shop/shop-uid-1000", keys: job("securityContext", "runAsUser"), to: 0, rule: "HF409"},
		{object: "ConfigMap/shop/shop-pg-shop.lock", keys: []any{"data"}, to: map[string]any{}, rule: "HF423"},
		{object: "ConfigMap/shop/shop-pg-shop.lock", keys: []any{"metadata", "annotations"}, rule: "HF423"},
		{object: "ConfigMap/shop/shop-pg-scripts", keys: []any{"data", "dump.sh"}, rule: "HF406"},
		{object: "ConfigMap/shop/shop-pg-scripts", keys: []any{"data", "a b"}, to: "x", rule: "HF408"},
		{object: "NetworkPolicy/shop/shop-pg-shop", keys: []any{"spec", "podSelector", "matchLabels"}, to: map[string]any{"app": "shop"}, rule: "HF414"},
		{object: "NetworkPolicy/shop/shop-pg-shop", keys: []any{"spec", "policyTypes"}, to: []any{"Egress"}, rule: "HF414"},
		{object: "NetworkPolicy/shop/shop-pg-shop", keys: []any{"spec", "egress", 0}, to: map[string]any{}, rule: "HF414"},
		{object: "NetworkPolicy/shop/shop-pg-shop", keys: []any{"spec", "egress", 0, "ports"}, rule: "HF414"},
		{object: "RoleBinding/shop/shop-marker", keys: []any{"roleRef", "name"}, to: "other", rule: "HF406"},
		{object: "RoleBinding/shop/shop-marker", keys: []any{"subjects", 0, "name"}, to: "other", rule: "HF406"},
		{object: "Role/shop/shop-marker", keys: []any{"rules", 0, "verbs"}, to: []any{"*"}, rule: "HF421"},
		{object: "Role/shop/shop-marker", keys: []any{"rules", 0, "resources"}, rule: "HF421"},
		{object: "ServiceAccount/shop/shop-marker", keys: []any{"kind"}, to: "Secret", rule: "HF419"},
		{object: "Role/shop/shop-marker", keys: []any{"kind"}, to: "PersistentVolumeClaim", rule: "HF435"},
	} {
		t.Run(fmt.Sprintf("%s %v", test.object, test.keys), func(t *testing.T) {
			objects := minimal.copied(t)
			at := slices.IndexFunc(objects, func(o manifest.Object) bool { return o.ID() == test.object })
			if at < 0 {
				t.Fatalf("there is no %s", test.object)
			}
			set(t, objects[at].Value, test.to, test.keys...)
			found := inspect(objects, minimal.plan)
			if !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, test.rule+" ") }) {
				t.Errorf("found %q, want %s", found, test.rule)
			}
		})
	}
}

// TestInspectMetadata: no policy opens to pods where a cloud hands out the credentials of
// a node, in Kubernetes' words or in Cilium's.
func TestInspectMetadata(t *testing.T) {
	t.Parallel()
	block := func(cidr string, except ...any) map[string]any {
		b := map[string]any{"cidr": cidr}
		if len(except) > 0 {
			b["except"] = except
		}
		return b
	}
	// by puts one target into the first rule of the example's first policy of that kind
	// that has one.
	by := func(x tree, kind, field string, target any) []string {
		objects := x.copied(t)
		for _, o := range objects {
			spec, _ := o.Value["spec"].(map[string]any)
			rules, _ := spec["egress"].([]any)
			if o.Kind() != kind || len(rules) == 0 {
				continue
			}
			rule := rules[0].(map[string]any)
			for name := range rule {
				if strings.HasPrefix(name, "to") && name != "toPorts" {
					delete(rule, name)
				}
			}
			if field != "" {
				rule[field] = []any{target}
			}
			if kind == "NetworkPolicy" { // the first may be for DNS
				rule["ports"] = []any{map[string]any{"protocol": "TCP", "port": 443}}
			}
			return inspect(objects, x.plan)
		}
		t.Fatalf("there is no %s with a rule", kind)
		return nil
	}
	minimal, cilium := rendered(t, "minimal"), rendered(t, "cilium")
	for _, test := range []struct {
		x      tree
		field  string
		target any
		want   string
	}{
		{x: minimal, field: "to", target: map[string]any{"ipBlock": block("203.0.113.0/24")}},
		{x: minimal, field: "to", target: map[string]any{"ipBlock": block("10.0.0.0/8")}},
		{x: minimal, field: "to", target: map[string]any{"ipBlock": block("0.0.0.0/0", "169.254.0.0/16", "168.63.129.16/32")}},
		{x: minimal, field: "to", target: map[string]any{"ipBlock": block("0.0.0.0/0")}, want: "HF317"},
		{x: minimal, field: "to", target: map[string]any{"ipBlock": block("0.0.0.0/0", "10.0.0.0/8")}, want: "HF317"},
		{x: minimal, field: "to", target: map[string]any{"ipBlock": block("169.254.169.254/32")}, want: "HF317"},
		{x: minimal, field: "to", target: map[string]any{"ipBlock": block("::/0")}, want: "HF317"},
		{x: minimal, field: "to", target: map[string]any{"ipBlock": block("::/0", "fe80::/10", "fc00::/7", "64:ff9b::/96")}},
		{x: cilium, field: "toFQDNs", target: map[string]any{"matchPattern": "*.s3.example.org"}},
		{x: cilium, field: "toFQDNs", target: map[string]any{"matchPattern": "*"}, want: "HF317"},
		{x: cilium, field: "toEntities", target: "kube-apiserver"},
		{x: cilium, field: "toEntities", target: "world", want: "HF317"},
		{x: cilium, field: "toEntities", target: "all", want: "HF317"},
		{x: cilium, field: "toCIDR", target: "203.0.113.7/32"},
		{x: cilium, field: "toCIDR", target: "169.254.0.0/16", want: "HF317"},
		{x: cilium, field: "toCIDR", target: "203.0.113.7"},
		{x: cilium, field: "toCIDR", target: "169.254.169.254", want: "HF317"},
		{x: cilium, field: "toCIDR", target: "x", want: "HF412"},
		{x: cilium, field: "toCIDRSet", target: map[string]any{"cidrGroupRef": "office"}, want: "HF414"},
		{x: cilium, field: "toCIDRSet", target: block("0.0.0.0/0", "168.0.0.0/7")},
		{x: cilium, field: "toCIDRSet", target: block("0.0.0.0/0"), want: "HF317"},
		{x: cilium, want: "HF414"},
	} {
		kind := "NetworkPolicy"
		if test.x.plan == cilium.plan {
			kind = "CiliumNetworkPolicy"
		}
		found := by(test.x, kind, test.field, test.target)
		if test.want == "" && len(found) > 0 || test.want != "" && (len(found) != 1 || !strings.HasPrefix(found[0], test.want+" "+kind)) {
			t.Errorf("%s %v: found %q, want %q", test.field, test.target, found, test.want)
		}
	}
	// A node's own cache of DNS is among these addresses.
	for port, want := range map[any]int{53: 0, "53": 0, 80: 1} {
		objects := minimal.copied(t)
		at := slices.IndexFunc(objects, func(o manifest.Object) bool {
			spec, _ := o.Value["spec"].(map[string]any)
			return o.Kind() == "NetworkPolicy" && spec["egress"] != nil
		})
		objects[at].Value["spec"].(map[string]any)["egress"] = []any{map[string]any{"to": []any{map[string]any{"ipBlock": block("169.254.20.10/32")}}, "ports": []any{map[string]any{"protocol": "UDP", "port": port}}}}
		if found := inspect(objects, minimal.plan); len(found) != want {
			t.Errorf("port %v: found %q", port, found)
		}
	}
	objects := cilium.copied(t)
	at := slices.IndexFunc(objects, func(o manifest.Object) bool { return o.Kind() == "CiliumNetworkPolicy" })
	objects[at].Value["spec"].(map[string]any)["egress"] = []any{map[string]any{}} // denies all
	if found := inspect(objects, cilium.plan); len(found) > 0 {
		t.Errorf("a rule that says nothing: found %q", found)
	}
	objects[at].Value["specs"] = []any{objects[at].Value["spec"]}
	if found := inspect(objects, cilium.plan); len(found) != 1 || !strings.HasPrefix(found[0], "HF414 ") {
		t.Errorf("specs: found %q", found)
	}
}

// TestInspectEveryPod: the rules for pods hold in every kind of object that causes one.
func TestInspectEveryPod(t *testing.T) {
	t.Parallel()
	x := rendered(t, "minimal")
	under := func(spec any, keys ...string) map[string]any {
		for _, key := range slices.Backward(keys) {
			spec = map[string]any{key: spec}
		}
		return spec.(map[string]any)
	}
	for _, k := range manifest.Kinds() {
		if k.Pod == nil {
			continue
		}
		place := append(slices.Clone(k.Pod), "spec")
		for _, what := range []string{"containers", "initContainers", "ephemeralContainers"} {
			spec := map[string]any{what: []any{map[string]any{"name": "c", "image": "a:1", "securityContext": map[string]any{"privileged": true}}}}
			t.Run(k.Kind+" with "+what, func(t *testing.T) {
				objects := x.copied(t)
				value := under(spec, place...)
				value["apiVersion"], value["kind"] = k.APIVersion, k.Kind
				value["metadata"] = map[string]any{"name": "more", "namespace": "shop", "labels": map[string]any{"app.kubernetes.io/managed-by": "holdfast"}}
				o := manifest.Object{Path: "shop/backup/more.yaml", Value: value}
				found := inspect(append(objects, o), x.plan)
				for _, want := range []string{"HF409 ", "HF414 "} {
					if !slices.Contains(found, want+o.ID()) {
						t.Errorf("found %q, want %s", found, want)
					}
				}
			})
		}
	}
}

// TestInspectRoot: a reason to run as root is a reason for that, in the objects that
// the plan has it for, and for the capabilities that reading or restoring takes.
func TestInspectRoot(t *testing.T) {
	t.Parallel()
	x := rendered(t, "layout-a")
	isRoot := func(o manifest.Object) bool {
		data, err := json.Marshal(o.Value)
		return err == nil && strings.Contains(string(data), `"runAsUser":0`)
	}
	seen := map[string]bool{}
	for n, o := range x.copied(t) {
		if !isRoot(o) {
			continue
		}
		what := o.Kind() + " " + strings.SplitN(o.Path, "/", 3)[1]
		if seen[what] {
			continue
		}
		seen[what] = true
		spec := []any{"spec", "template", "spec"}
		in := func(keys ...any) []any { return append(slices.Clone(spec), keys...) }
		list, at := "containers", 0
		if containers, _ := o.Value["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)["initContainers"].([]any); o.Kind() == "Job" && strings.HasSuffix(o.Name(), "-preflight") {
			list, at = "initContainers", slices.IndexFunc(containers, func(c any) bool { return isRoot(manifest.Object{Value: c.(map[string]any)}) })
		}
		other := "CHOWN" // is for restores
		if o.Kind() == "Job" {
			other = "DAC_READ_SEARCH"
		}
		for _, test := range []struct {
			keys []any
			to   any
		}{
			{in("hostNetwork"), true},
			{in("hostPID"), true},
			{in("volumes"), []any{map[string]any{"name": "v", "hostPath": map[string]any{"path": "/"}}}},
			{in(list, at, "securityContext", "privileged"), true},
			{in(list, at, "securityContext", "allowPrivilegeEscalation"), true},
			{in(list, at, "securityContext", "seccompProfile"), map[string]any{"type": "Unconfined"}},
			{in(list, at, "securityContext", "capabilities", "drop"), []any{}},
			{in(list, at, "securityContext", "capabilities", "add"), []any{"SYS_ADMIN"}},
			{in(list, at, "securityContext", "capabilities", "add"), []any{other}},
			{[]any{"metadata", "name"}, "other"},
		} {
			objects := x.copied(t)
			set(t, objects[n].Value, test.to, test.keys...)
			if found := inspect(objects, x.plan); !slices.Contains(found, "HF409 "+objects[n].ID()) {
				t.Errorf("%s, %v = %v: found %q", what, test.keys, test.to, found)
			}
		}
	}
	for _, what := range []string{"PodConfig repository", "Job restore", "Job repository"} {
		if !seen[what] {
			t.Errorf("there is no %s that runs as root, only %v", what, seen)
		}
	}
	// A trial that has no reason of its own does not become root beside one that has.
	objects := x.copied(t)
	for _, o := range objects {
		if !strings.HasSuffix(o.Name(), "-preflight") || o.Kind() != "Job" || !isRoot(o) {
			continue
		}
		set(t, o.Value, 0, "spec", "template", "spec", "containers", 0, "securityContext", "runAsUser")
		if found := inspect(objects, x.plan); !slices.Contains(found, "HF409 "+o.ID()) {
			t.Errorf("the report as root: found %q", found)
		}
	}
}

// TestInspectRights: a role has no right but those that built-in kinds need, and
// nobody gets those of a restore.
func TestInspectRights(t *testing.T) {
	t.Parallel()
	x := rendered(t, "layout-b")
	with := func(kind, path string, fields map[string]any) manifest.Object {
		metadata := map[string]any{"name": "more", "namespace": "playground-timi-3-c-timy", "labels": map[string]any{"app.kubernetes.io/managed-by": "holdfast"}}
		if strings.HasPrefix(kind, "Cluster") {
			delete(metadata, "namespace")
		}
		value := map[string]any{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata}
		for name, field := range fields {
			value[name] = field
		}
		return manifest.Object{Path: x.plan.Instance + "/" + path + "/more.yaml", Value: value}
	}
	rule := func(group, resource, verb string, names ...any) map[string]any {
		r := map[string]any{"apiGroups": []any{group}, "resources": []any{resource}, "verbs": []any{verb}}
		if len(names) > 0 {
			r["resourceNames"] = names
		}
		return map[string]any{"rules": []any{r}}
	}
	refused := func(what, want string, more ...manifest.Object) {
		t.Helper()
		found := inspect(append(x.copied(t), more...), x.plan)
		id := more[len(more)-1].ID()
		switch {
		case want == "" && len(found) > 0:
			t.Errorf("%s: found %q", what, found)
		case want != "" && !slices.Contains(found, want+" "+id):
			t.Errorf("%s: found %q, want %s %s", what, found, want, id)
		}
	}
	for _, test := range []struct {
		kind, path, group, resource, verb string
		named                             bool
		want                              string
	}{
		{kind: "Role", path: "backup", resource: "secrets", verb: "list"},
		{kind: "Role", path: "restore", resource: "secrets", verb: "create"},
		{kind: "Role", path: "backup", resource: "pods/exec", verb: "create", named: true},
		{kind: "ClusterRole", path: "backup", resource: "nodes", verb: "list"},
		{kind: "Role", path: "backup", resource: "secrets", verb: "get", want: "HF421"},
		{kind: "Role", path: "backup", resource: "secrets", verb: "watch", want: "HF421"},
		{kind: "Role", path: "backup", resource: "secrets", verb: "create", want: "HF421"},
		{kind: "ClusterRole", path: "backup", resource: "secrets", verb: "list", want: "HF421"},
		{kind: "ClusterRole", path: "backup", resource: "secrets", verb: "get", named: true, want: "HF421"},
		{kind: "Role", path: "backup", resource: "pods/exec", verb: "create", want: "HF421"},
		{kind: "Role", path: "restore", resource: "pods/exec", verb: "create", want: "HF421"},
		{kind: "Role", path: "backup", resource: "pods", verb: "create", want: "HF421"},
		{kind: "Role", path: "restore", resource: "pods", verb: "create", want: "HF421"},
		{kind: "Role", path: "backup", group: "apps", resource: "deployments", verb: "create", want: "HF421"},
		{kind: "Role", path: "backup", group: "rbac.authorization.k8s.io", resource: "rolebindings", verb: "create", want: "HF421"},
		{kind: "ClusterRole", path: "restore", group: "rbac.authorization.k8s.io", resource: "clusterrolebindings", verb: "create", want: "HF421"},
		{kind: "Role", path: "backup", resource: "serviceaccounts/token", verb: "create", want: "HF421"},
		{kind: "Role", path: "backup", group: "example.com", resource: "secrets", verb: "list", want: "HF421"},
		{kind: "ClusterRole", path: "backup", group: "apps", resource: "deployments", verb: "list", want: "HF421"},
		{kind: "Role", path: "backup", resource: "configmaps", verb: "delete", named: true, want: "HF421"},
		{kind: "Role", path: "backup", resource: "configmaps", verb: "patch", want: "HF421"},
	} {
		var names []any
		if test.named {
			names = []any{"one"}
		}
		refused(fmt.Sprintf("%+v", test), test.want, with(test.kind, test.path, rule(test.group, test.resource, test.verb, names...)))
	}
	all := rule("", "nodes", "list")
	all["aggregationRule"] = map[string]any{"clusterRoleSelectors": []any{map[string]any{}}}
	refused("rights of others", "HF421", with("ClusterRole", "backup", all))
	labelled := with("ClusterRole", "backup", rule("", "nodes", "list"))
	labelled.Value["metadata"].(map[string]any)["labels"].(map[string]any)["rbac.authorization.k8s.io/aggregate-to-view"] = "true"
	refused("rights for others", "HF421", labelled)
	admin := with("ClusterRole", "backup", rule("", "nodes", "list"))
	admin.Value["metadata"].(map[string]any)["name"] = "cluster-admin"
	refused("a name of Kubernetes' own", "HF421", admin)

	// Bindings.
	account, restores := x.plan.Instance+"-backup", "Role/playground-timi-3-c-timy/restore-"+x.plan.Instance+"-sec-application"
	bind := func(kind, group, roleKind, role string, subject map[string]any) manifest.Object {
		return with(kind, "backup", map[string]any{"roleRef": map[string]any{"apiGroup": group, "kind": roleKind, "name": role}, "subjects": []any{subject}})
	}
	ours := map[string]any{"kind": "ServiceAccount", "name": account, "namespace": "playground-timi-3-c-timy"}
	const group = "rbac.authorization.k8s.io"
	role := with("Role", "backup", rule("", "secrets", "list"))
	refused("our own role for our own account", "", role, bind("RoleBinding", group, "Role", "more", ours))
	refused("a role of the cluster's", "HF406", bind("RoleBinding", group, "ClusterRole", "cluster-admin", ours))
	refused("a role of the cluster's, for all of it", "HF406", bind("ClusterRoleBinding", group, "ClusterRole", "cluster-admin", ours))
	imposter := with("ClusterRole", "backup", rule("", "nodes", "list"))
	imposter.Value["apiVersion"] = "example.com/v1"
	imposter.Value["metadata"].(map[string]any)["name"] = "edit"
	refused("a role of the cluster's, beside another object of that name", "HF406", imposter, bind("RoleBinding", group, "ClusterRole", "edit", ours))
	for _, kind := range []string{"User", "Group"} {
		refused("an account's name as a "+kind, "HF406", role,
			bind("RoleBinding", group, "Role", "more", map[string]any{"kind": kind, "apiGroup": group, "name": account, "namespace": "playground-timi-3-c-timy"}))
	}
	// As it stands beside the backups, it is applied before anybody restores.
	name := strings.TrimPrefix(restores, "Role/playground-timi-3-c-timy/")
	theirs := map[string]any{"kind": "ServiceAccount", "name": name, "namespace": "playground-timi-3-c-timy"}
	refused("a restore's rights at any time", "HF421", bind("RoleBinding", group, "Role", name, theirs))
	// In the restore's own binding.
	objects := x.copied(t)
	at := slices.IndexFunc(objects, func(o manifest.Object) bool { return o.ID() == "RoleBinding"+strings.TrimPrefix(restores, "Role") })
	set(t, objects[at].Value, ours, "subjects", 0)
	if found := inspect(objects, x.plan); !slices.Contains(found, "HF421 "+objects[at].ID()) {
		t.Errorf("a restore's rights for a backup's account: found %q", found)
	}
}

// TestRightsAreListed: whoever writes a kind reads which rights there are.
func TestRightsAreListed(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../templates/kinds/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(data), "**Rights.**")
	if !found || len(manifest.RightsTo()) < 30 {
		t.Fatalf("found %t, %d resources", found, len(manifest.RightsTo()))
	}
	for _, resource := range manifest.RightsTo() {
		if !strings.Contains(list, "`"+resource+"`") {
			t.Errorf("the list lacks %s", resource)
		}
	}
}

// TestInspectFSGroup: kubelet gives a pod's volumes to its fsGroup, so it may stand
// only where they are all the pod's own.
func TestInspectFSGroup(t *testing.T) {
	t.Parallel()
	x := rendered(t, "minimal")
	own := map[string]any{"name": "own", "ephemeral": map[string]any{"volumeClaimTemplate": map[string]any{}}}
	claim := map[string]any{"name": "uploads", "persistentVolumeClaim": map[string]any{"claimName": "uploads"}}
	for name, test := range map[string]struct {
		volumes []any
		refused bool
	}{
		"no volume of its own":       {nil, true},
		"its own":                    {[]any{own}, false},
		"its own beside a claim":     {[]any{own, claim}, true},
		"a claim of somebody else's": {[]any{claim}, true},
	} {
		t.Run(name, func(t *testing.T) {
			objects := x.copied(t)
			at := slices.IndexFunc(objects, func(o manifest.Object) bool { return o.ID() == "PreBackupPod/shop/shop-pg-shop" })
			spec := objects[at].Value["spec"].(map[string]any)["pod"].(map[string]any)["spec"].(map[string]any)
			spec["securityContext"].(map[string]any)["fsGroup"] = 1000
			spec["volumes"] = append(spec["volumes"].([]any), test.volumes...)
			found := slices.ContainsFunc(inspect(objects, x.plan), func(f string) bool { return strings.HasPrefix(f, "HF405 ") })
			if found != test.refused {
				t.Errorf("refused: %t", found)
			}
		})
	}
}

// TestInspectFiles: what the platform's templates alone decide.
func TestInspectFiles(t *testing.T) {
	t.Parallel()
	x := rendered(t, "minimal")
	for _, path := range []string{"other/backup/x.yaml", "shop/../x.yaml", "/etc/x.yaml", "x.yaml"} {
		objects := x.copied(t)
		objects[0].Path = path
		if found := inspect(objects, x.plan); !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, "HF426 ") }) {
			t.Errorf("%s: found %q, want HF426", path, found)
		}
	}
}

// TestInspectMissesNoObject: each object of the tree is needed by something,
// so that leaving out any one is noticed. Those that are not are listed.
func TestInspectMissesNoObject(t *testing.T) {
	t.Parallel()
	x := rendered(t, "minimal")
	for n, o := range x.copied(t) {
		switch o.Kind() {
		case "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding":
			continue // a role is found by its binding; nothing says that a binding must be
		case "Kustomization":
			continue // for Flux, beside the tree
		}
		if found := inspect(slices.Delete(x.copied(t), n, n+1), x.plan); len(found) == 0 {
			t.Errorf("nobody misses %s", o.ID())
		}
	}
}

// extra is an object that somebody puts beside those of an instance.
func extra(p *plan.Plan, apiVersion, kind, namespace string) manifest.Object {
	metadata := map[string]any{"name": "more", "labels": map[string]any{"app.kubernetes.io/managed-by": "holdfast"}}
	if namespace != "" {
		metadata["namespace"] = namespace
	}
	return manifest.Object{Path: p.Instance + "/backup/more.yaml", Value: map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": metadata}}
}

// TestInspectPlace: an instance reaches no namespace but its own, and of the whole
// cluster nothing but by roles.
func TestInspectPlace(t *testing.T) {
	t.Parallel()
	x := rendered(t, "minimal")
	x.plan.Units[0].Ingress = []plan.Ingress{{Namespace: "data", Port: 5432}}
	const rbac, network = "rbac.authorization.k8s.io/v1", "networking.k8s.io/v1"
	for _, test := range []struct{ apiVersion, kind, namespace, want string }{
		{"v1", "ConfigMap", "shop", ""},
		{rbac, "ClusterRole", "", ""},
		{network, "NetworkPolicy", "data", ""},
		{network, "NetworkPolicy", "kube-system", "HF431"},
		{"v1", "ConfigMap", "data", "HF431"},
		{rbac, "Role", "flux-system", "HF431"},
		{"kustomize.toolkit.fluxcd.io/v1", "Kustomization", "flux-system", "HF431"},
		{"batch/v1", "Job", "other", "HF431"},
		{"v1", "ConfigMap", "", "HF401"},
		{rbac, "ClusterRole", "shop", "HF401"},
		{"v1", "ServiceAccount", "", "HF401"},
	} {
		o := extra(x.plan, test.apiVersion, test.kind, test.namespace)
		var found []string
		for _, f := range inspect(append(x.copied(t), o), x.plan) {
			if f == "HF401 "+o.ID() || f == "HF431 "+o.ID() {
				found = append(found, f[:5])
			}
		}
		if strings.Join(found, " ") != test.want {
			t.Errorf("%v: found %q", test, found)
		}
	}
	// Flux's own two are known by all of them.
	objects := x.copied(t)
	at := slices.IndexFunc(objects, func(o manifest.Object) bool { return o.ID() == "Kustomization/flux-system/shop-backup" })
	for what, change := range map[string]func(o *manifest.Object){
		"another file":      func(o *manifest.Object) { o.Path = "shop/backup/flux.yaml" },
		"another name":      func(o *manifest.Object) { set(t, o.Value, "shop", "metadata", "name") },
		"another namespace": func(o *manifest.Object) { set(t, o.Value, "kube-system", "metadata", "namespace") },
		"another type":      func(o *manifest.Object) { set(t, o.Value, "example.com/v1", "apiVersion") },
	} {
		objects := x.copied(t)
		change(&objects[at])
		if found := inspect(objects, x.plan); !slices.Contains(found, "HF435 "+objects[at].ID()) {
			t.Errorf("Flux, %s: found %q", what, found)
		}
	}
}

// TestInspectKinds: what is not in the table is refused, whatever it is, and what is in
// it is so under its own apiVersion alone.
func TestInspectKinds(t *testing.T) {
	t.Parallel()
	x := rendered(t, "minimal")
	refused := func(apiVersion, kind, namespace string) bool {
		o := extra(x.plan, apiVersion, kind, namespace)
		return slices.Contains(inspect(append(x.copied(t), o), x.plan), "HF435 "+o.ID())
	}
	for _, k := range manifest.Kinds() {
		namespace := "shop"
		if k.ClusterWide {
			namespace = ""
		}
		// Of Flux' Kustomizations a tree holds its own two.
		if got := refused(k.APIVersion, k.Kind, namespace); got != (k.Kind == "Kustomization") {
			t.Errorf("%s %s: refused %t", k.APIVersion, k.Kind, got)
		}
		for _, other := range []string{"example.com/v1", k.APIVersion + "beta1", path.Base(k.APIVersion) + "/" + k.APIVersion} {
			if !refused(other, k.Kind, namespace) {
				t.Errorf("%s %s passes", other, k.Kind)
			}
		}
	}
	for _, other := range [][2]string{
		{"v1", "Pod"}, {"v1", "Service"}, {"v1", "List"}, {"v1", "ConfigMapList"}, {"v1", "PersistentVolumeClaim"}, {"apps/v1", "Deployment"}, {"apps/v1", "DaemonSet"},
		{"k8up.io/v1", "Archive"}, {"k8up.io/v1", "Restore"}, {"k8up.io/v1", "Backup"}, {"k8up.io/v1", "Check"}, {"k8up.io/v1", "Prune"}, {"k8up.io/v1", "Snapshot"},
		{"helm.toolkit.fluxcd.io/v2", "HelmRelease"}, {"source.toolkit.fluxcd.io/v1", "GitRepository"}, {"fluxcd.controlplane.io/v1", "ResourceSet"},
		{"argoproj.io/v1alpha1", "Application"}, {"helm.cattle.io/v1", "HelmChart"}, {"monitoring.coreos.com/v1", "PrometheusRule"}, {"v1", "configmap"}, {"v1", "ConfigMap "},
	} {
		if !refused(other[0], other[1], "shop") {
			t.Errorf("%s passes", other)
		}
	}
	for _, other := range [][2]string{
		{"v1", "Namespace"}, {"v1", "Node"}, {"v1", "PersistentVolume"}, {"rbac.authorization.k8s.io/v1", "ClusterOther"}, {"kyverno.io/v1", "ClusterPolicy"},
		{"cilium.io/v2", "CiliumClusterwideNetworkPolicy"}, {"admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"}, {"storage.k8s.io/v1", "StorageClass"},
	} {
		if !refused(other[0], other[1], "") {
			t.Errorf("%s passes", other)
		}
	}
	o := extra(x.plan, "external-secrets.io/v1", "ExternalSecret", "shop")
	o.Value["spec"] = map[string]any{"target": map[string]any{"manifest": map[string]any{"apiVersion": "v1", "kind": "Pod"}}}
	if found := inspect(append(x.copied(t), o), x.plan); !slices.Contains(found, "HF435 "+o.ID()) {
		t.Errorf("an ExternalSecret of something else: found %q", found)
	}
	taken := x.plan.Secrets[0]
	for _, o := range []manifest.Object{
		extra(x.plan, "external-secrets.io/v1", "ExternalSecret", taken.Namespace), extra(x.plan, "bitnami.com/v1alpha1", "SealedSecret", taken.Namespace),
	} {
		set(t, o.Value, taken.Name, "metadata", "name")
		if found := inspect(append(x.copied(t), o), x.plan); !slices.Contains(found, "HF403 "+o.ID()) {
			t.Errorf("a Secret of the plan's: found %q", found)
		}
	}
	o = extra(x.plan, "external-secrets.io/v1", "ExternalSecret", taken.Namespace)
	o.Value["spec"] = map[string]any{"target": map[string]any{"name": taken.Name}}
	if found := inspect(append(x.copied(t), o), x.plan); !slices.Contains(found, "HF403 "+o.ID()) {
		t.Errorf("a Secret of the plan's by its target: found %q", found)
	}
}

// TestKinds: the table is one. No kind stands in it twice, and its rule names all.
func TestKinds(t *testing.T) {
	t.Parallel()
	var text string
	for _, r := range problem.Rules() {
		if r.ID == "HF435" {
			text = r.Fix
		}
	}
	seen := map[string]bool{}
	for _, k := range manifest.Kinds() {
		if seen[k.Kind] || seen[k.Resource] || k.Stage == "" {
			t.Errorf("%+v", k)
		}
		seen[k.Kind], seen[k.Resource] = true, true
		if !regexp.MustCompile(`\b` + k.Kind + `s?\b`).MatchString(text) {
			t.Errorf("HF435 does not name %s", k.Kind)
		}
	}
}

// TestInspectPrunes: nothing prunes but what the plan has.
func TestInspectPrunes(t *testing.T) {
	t.Parallel()
	x := rendered(t, "minimal")
	objects := x.copied(t)
	at := slices.IndexFunc(objects, func(o manifest.Object) bool { return o.ID() == "Schedule/shop/shop-prune-d30" })
	other := x.copied(t)
	set(t, other[at].Value, "tier-d7", "spec", "prune", "retention", "tags", 0)
	if found := inspect(other, x.plan); !slices.Contains(found, "HF417 "+other[at].ID()) {
		t.Errorf("another tier: found %q", found)
	}
	more := x.copied(t)[at]
	set(t, more.Value, "more", "metadata", "name")
	if found := inspect(append(objects, more), x.plan); !slices.Contains(found, "HF417 "+more.ID()) {
		t.Errorf("found %q", found)
	}
}

// TestInspectLeftToOthers: nothing on an object, or on a Secret, takes it away after
// it was looked at.
func TestInspectLeftToOthers(t *testing.T) {
	t.Parallel()
	x := rendered(t, "minimal")
	const flux = "kustomize.toolkit.fluxcd.io/"
	for _, test := range []struct {
		name, value string
		refused     bool
	}{
		{"config.kubernetes.io/local-config", "true", true}, {flux + "reconcile", "disabled", true}, {flux + "reconcile", "Disabled", true},
		{flux + "prune", "enabled", true}, {flux + "prune", "disabled", false},
		{flux + "ssa", "Ignore", true}, {flux + "ssa", "IfNotPresent", true}, {flux + "ssa", "Merge", true}, {flux + "ssa", "Override", false},
		{flux + "substitute", "enabled", true}, {flux + "substitute", "disabled", false},
		{"argocd.argoproj.io/hook", "Skip", true}, {"helm.sh/hook", "pre-install", true}, {"example.com/a", "b", false},
	} {
		for _, field := range []string{"annotations", "labels"} {
			o := extra(x.plan, "v1", "ConfigMap", "shop")
			metadata := o.Value["metadata"].(map[string]any)
			if metadata[field] == nil {
				metadata[field] = map[string]any{}
			}
			metadata[field].(map[string]any)[test.name] = test.value
			if found := inspect(append(x.copied(t), o), x.plan); slices.Contains(found, "HF433 "+o.ID()) != test.refused {
				t.Errorf("%s %v: found %q", field, test, found)
			}
		}
		p := *x.plan
		p.Secrets = slices.Clone(p.Secrets)
		p.Secrets[0].Annotations = plan.Labels{test.name: test.value}
		if found := inspect(x.copied(t), &p); slices.Contains(found, "HF433 Secret/shop/"+p.Secrets[0].Name) != test.refused {
			t.Errorf("Secret, %v: found %q", test, found)
		}
	}
}

// TestInspectAccounts: beside the plan's objects, a pod runs as its unit's account or as
// one of its own.
func TestInspectAccounts(t *testing.T) {
	t.Parallel()
	x := rendered(t, "minimal")
	for _, test := range []struct {
		account, unit, path string
		refused             bool
	}{
		{"shop-marker", "", "backup", true}, {"shop-preflight", "shop-pg-shop", "backup", true}, {"pod-executor", "", "backup", true},
		{"restore-shop-pg-shop", "shop-pg-shop", "backup", true}, {"restore-shop-pg-shop", "shop-pg-shop", "restore", false},
		{"restore-shop-pg-shop", "shop-pg-main-globals", "restore", true}, {"shop-backup", "", "backup", false}, {"own", "", "backup", false},
	} {
		o := extra(x.plan, "batch/v1", "Job", "shop")
		o.Path = "shop/" + test.path + "/more.yaml"
		o.Value["metadata"].(map[string]any)["labels"].(map[string]any)["holdfast.dev/unit"] = test.unit
		o.Value["spec"] = map[string]any{"template": map[string]any{"spec": map[string]any{"serviceAccountName": test.account, "containers": []any{map[string]any{"name": "c"}}}}}
		if found := inspect(append(x.copied(t), o), x.plan); slices.Contains(found, "HF434 "+o.ID()) != test.refused {
			t.Errorf("%v: found %q", test, found)
		}
	}
}
