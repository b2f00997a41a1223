package oracle

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/plan"
)

// restricted says what Pod Security's restricted:latest refuses in a pod.
func restricted(t *testing.T, template corev1.PodTemplateSpec) []string {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	var refused []string
	for _, result := range evaluator.EvaluatePod(level, &template.ObjectMeta, &template.Spec) {
		if !result.Allowed {
			refused = append(refused, result.ForbiddenReason)
		}
	}
	return refused
}

// decode reads a value into one of Kubernetes' types, strictly.
func decode(t *testing.T, value, into any) {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Fatal(err)
	}
}

// caused is a pod that an object of the tree will cause, as the API server will
// be asked for it.
type caused struct {
	id, kind, name, namespace string
	template                  corev1.PodTemplateSpec
}

// pods lists the pods that a tree causes. What K8up makes of a PreBackupPod and
// of a PodConfig follows operator/backupcontroller/prebackup_utils.go and
// operator/job/job.go of the release that k8up_test.go names.
func pods(t *testing.T, x *tree) []caused {
	t.Helper()
	var all []caused
	for _, d := range x.documents {
		pod := caused{id: d.id, kind: d.kind, name: d.name, namespace: d.namespace}
		spec, _ := d.value["spec"].(map[string]any)
		switch d.kind {
		case "Job":
			var job batchv1.JobSpec
			decode(t, spec, &job)
			pod.template = job.Template
		case "CronJob":
			var job batchv1.CronJobSpec
			decode(t, spec, &job)
			pod.template = job.JobTemplate.Spec.Template
		case "PreBackupPod":
			// K8up drops the pod's own labels.
			decode(t, spec["pod"], &pod.template)
			pod.template.Labels = map[string]string{"k8up.io/backupCommandPod": "true", "k8up.io/preBackupPod": d.name}
		case "PodConfig":
			jobs := using(x, d)
			if len(jobs) == 0 {
				jobs = []k8upJob{{id: "none", kind: "backup"}}
			}
			for _, job := range jobs {
				var config struct {
					Template corev1.PodTemplateSpec `json:"template"`
				}
				decode(t, spec, &config)
				merged := pod
				merged.id += " for " + job.id
				merged.template = merge(t, config.Template, d.value, job)
				all = append(all, merged)
			}
			continue
		default:
			if k, _ := manifest.KindOf(manifest.Object{Value: d.value}); k.Pod != nil {
				t.Errorf("%s: causes a pod, and nobody looks at it here", d.id)
			}
			continue
		}
		all = append(all, pod)
	}
	return all
}

// k8upJob is one job of a Schedule.
type k8upJob struct {
	id, kind string
	volumes  any
	backend  map[string]any
}

// using lists the jobs that refer to a PodConfig.
func using(x *tree, config manifested) []k8upJob {
	var jobs []k8upJob
	for _, d := range x.of("k8up.io/", "Schedule") {
		spec, _ := d.value["spec"].(map[string]any)
		for _, kind := range []string{"backup", "check", "prune"} {
			block, _ := spec[kind].(map[string]any)
			ref, _ := block["podConfigRef"].(map[string]any)
			if d.namespace == config.namespace && ref["name"] == config.name {
				backend, _ := spec["backend"].(map[string]any)
				jobs = append(jobs, k8upJob{id: d.kind + "/" + d.name, kind: kind, volumes: block["volumes"], backend: backend})
			}
		}
	}
	return jobs
}

// merge does what K8up does: the PodConfig's lists replace K8up's defaults, its
// labels become the pod's, then name, image and command are K8up's; volumes and
// mounts are added to what there is.
func merge(t *testing.T, config corev1.PodTemplateSpec, object map[string]any, job k8upJob) corev1.PodTemplateSpec {
	t.Helper()
	pod := config.DeepCopy()
	var metadata struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	decode(t, map[string]any{"metadata": object["metadata"]}, &metadata)
	pod.ObjectMeta = metav1.ObjectMeta{Annotations: metadata.Metadata.Annotations, Labels: map[string]string{"k8upjob": "true"}}
	for name, value := range metadata.Metadata.Labels {
		if _, set := pod.Labels[name]; !set {
			pod.Labels[name] = value
		}
	}
	if pod.Spec.RestartPolicy == "" {
		pod.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	}
	if len(pod.Spec.Containers) == 0 {
		pod.Spec.Containers = make([]corev1.Container, 1)
	}
	first := &pod.Spec.Containers[0]
	first.Name, first.Image, first.Command = job.kind, "k8up", []string{"/usr/local/bin/k8up", "restic"}
	var volumes []corev1.Volume
	if job.volumes != nil {
		decode(t, job.volumes, &volumes)
	}
	if job.kind == "backup" {
		volumes = append(volumes, corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data", ReadOnly: true},
		}})
	}
	for _, name := range []string{"k8up-dir", "tmp", "cache"} {
		volumes = append(volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	}
	pod.Spec.Volumes = append(pod.Spec.Volumes, volumes...)
	if mounts := job.backend["volumeMounts"]; mounts != nil {
		decode(t, mounts, &first.VolumeMounts)
	}
	return *pod
}

// rootReasons are the only objections to a pod that may run as root.
var rootReasons = []string{"runAsNonRoot != true", "runAsUser=0", "unrestricted capabilities"}

func TestEveryPodIsRestricted(t *testing.T) {
	eachTree(t, func(t *testing.T, x *tree) {
		all, kinds := pods(t, x), map[string]int{}
		for _, pod := range all {
			kinds[pod.kind]++
			refused := restricted(t, pod.template)
			if !mayBeRoot(x, pod) {
				for _, reason := range refused {
					t.Errorf("%s: refused: %s", pod.id, reason)
				}
				continue
			}
			// An exception that nothing needs is a hole.
			if len(refused) == 0 {
				t.Errorf("%s: runs as root by a reason, but would be admitted without", pod.id)
			}
			for _, reason := range refused {
				if !slices.Contains(rootReasons, reason) {
					t.Errorf("%s: refused for more than running as root: %s", pod.id, reason)
				}
			}
		}
		if x.plans[0].Enabled && (kinds["Job"] == 0 || kinds["PodConfig"] == 0) {
			t.Errorf("pods by kind: %v", kinds)
		}
	})
}

// mayBeRoot says whether the plan gives the pod an exception: it reads or
// restores a volume of root's, or tries its images, and the state says why.
func mayBeRoot(x *tree, pod caused) bool {
	for _, p := range x.plans {
		for _, i := range p.Units {
			if !i.Root || i.Namespace != pod.namespace {
				continue
			}
			if i.Capture.RootReason == "" {
				return false
			}
			if pod.kind == "PodConfig" && pod.name == i.PodConfig || pod.kind == "Job" && (pod.name == i.Restore || pod.name == p.Instance+"-preflight") {
				return true
			}
		}
	}
	return false
}

// goodPod is what all mutations of TestRestrictionsAgree start from.
const goodPod = `
restartPolicy: Never
securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
volumes: [{name: scratch, emptyDir: {}}]
initContainers:
- {name: first, image: "a:1", securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}
containers:
- {name: main, image: "a:1", securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}
- {name: side, image: "a:1", securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}
`

// TestRestrictionsAgree holds rule HF409 against Pod Security itself, for one
// change at a time. Where ours refuses more, the table says why.
func TestRestrictionsAgree(t *testing.T) {
	const agrees = ""
	type pod = map[string]any
	context := func(p pod) pod { return p["securityContext"].(pod) }
	container := func(p pod, list string, n int) pod { return p[list].([]any)[n].(pod) }
	own := func(p pod) pod { return container(p, "containers", 0)["securityContext"].(pod) }
	first := func(p pod) pod { return container(p, "initContainers", 0)["securityContext"].(pod) }
	volume := func(kind string, source any) func(p, labels pod) {
		return func(p, _ pod) { p["volumes"] = append(p["volumes"].([]any), pod{"name": "more", kind: source}) }
	}
	tests := []struct {
		name     string
		change   func(p, annotations pod)
		stricter string
	}{
		{name: "good", change: func(_, _ pod) {}},

		{name: "hostNetwork", change: func(p, _ pod) { p["hostNetwork"] = true }},
		{name: "hostNetwork false", change: func(p, _ pod) { p["hostNetwork"] = false }},
		{name: "hostPID", change: func(p, _ pod) { p["hostPID"] = true }},
		{name: "hostIPC", change: func(p, _ pod) { p["hostIPC"] = true }},
		{name: "hostUsers", change: func(p, _ pod) { p["hostUsers"] = true }},

		{name: "pod runAsNonRoot absent", change: func(p, _ pod) { delete(context(p), "runAsNonRoot") }},
		{name: "pod runAsNonRoot false", change: func(p, _ pod) { context(p)["runAsNonRoot"] = false }},
		{name: "pod runAsNonRoot false, containers true", change: func(p, _ pod) {
			context(p)["runAsNonRoot"] = false
			own(p)["runAsNonRoot"], first(p)["runAsNonRoot"] = true, true
			container(p, "containers", 1)["securityContext"].(pod)["runAsNonRoot"] = true
		}},
		{name: "only containers runAsNonRoot", change: func(p, _ pod) {
			delete(context(p), "runAsNonRoot")
			own(p)["runAsNonRoot"], first(p)["runAsNonRoot"] = true, true
			container(p, "containers", 1)["securityContext"].(pod)["runAsNonRoot"] = true
		}},
		{name: "container runAsNonRoot false", change: func(p, _ pod) { own(p)["runAsNonRoot"] = false }},
		{name: "init container runAsNonRoot false", change: func(p, _ pod) { first(p)["runAsNonRoot"] = false }},
		{name: "no pod context", change: func(p, _ pod) { delete(p, "securityContext") }},
		{name: "pod runAsUser absent", change: func(p, _ pod) { delete(context(p), "runAsUser") }},
		{name: "pod runAsUser 0", change: func(p, _ pod) { context(p)["runAsUser"] = 0 }},
		{name: "pod runAsUser 0, containers other", change: func(p, _ pod) {
			context(p)["runAsUser"] = 0
			own(p)["runAsUser"], first(p)["runAsUser"] = 1000, 1000
			container(p, "containers", 1)["securityContext"].(pod)["runAsUser"] = 1000
		}},
		{name: "container runAsUser 0", change: func(p, _ pod) { own(p)["runAsUser"] = 0 }},
		{name: "init container runAsUser 0", change: func(p, _ pod) { first(p)["runAsUser"] = 0 }},
		{name: "runAsGroup 0", change: func(p, _ pod) { context(p)["runAsGroup"] = 0 }},

		{name: "pod seccomp absent", change: func(p, _ pod) { delete(context(p), "seccompProfile") }},
		{name: "pod seccomp Unconfined", change: func(p, _ pod) { context(p)["seccompProfile"] = pod{"type": "Unconfined"} }},
		{name: "pod seccomp Unconfined, containers RuntimeDefault", change: func(p, _ pod) {
			context(p)["seccompProfile"] = pod{"type": "Unconfined"}
			for _, c := range []pod{own(p), first(p), container(p, "containers", 1)["securityContext"].(pod)} {
				c["seccompProfile"] = pod{"type": "RuntimeDefault"}
			}
		}},
		{name: "pod seccomp Localhost", change: func(p, _ pod) { context(p)["seccompProfile"] = pod{"type": "Localhost", "localhostProfile": "a.json"} }},
		{name: "container seccomp Unconfined", change: func(p, _ pod) { own(p)["seccompProfile"] = pod{"type": "Unconfined"} }},
		{name: "container seccomp Localhost", change: func(p, _ pod) {
			own(p)["seccompProfile"] = pod{"type": "Localhost", "localhostProfile": "a.json"}
		}},

		{name: "allowPrivilegeEscalation absent", change: func(p, _ pod) { delete(own(p), "allowPrivilegeEscalation") }},
		{name: "allowPrivilegeEscalation true", change: func(p, _ pod) { own(p)["allowPrivilegeEscalation"] = true }},
		{name: "init allowPrivilegeEscalation true", change: func(p, _ pod) { first(p)["allowPrivilegeEscalation"] = true }},
		{name: "privileged", change: func(p, _ pod) { own(p)["privileged"] = true }},
		{name: "privileged false", change: func(p, _ pod) { own(p)["privileged"] = false }},
		{name: "no container context", change: func(p, _ pod) { delete(container(p, "containers", 0), "securityContext") }},
		{name: "capabilities absent", change: func(p, _ pod) { delete(own(p), "capabilities") }},
		{name: "drop one", change: func(p, _ pod) { own(p)["capabilities"] = pod{"drop": []any{"NET_RAW"}} }},
		{name: "drop all in small letters", change: func(p, _ pod) { own(p)["capabilities"] = pod{"drop": []any{"all"}} }},
		{name: "drop ALL and one", change: func(p, _ pod) { own(p)["capabilities"] = pod{"drop": []any{"NET_RAW", "ALL"}} }},
		{name: "add NET_BIND_SERVICE", change: func(p, _ pod) {
			own(p)["capabilities"] = pod{"drop": []any{"ALL"}, "add": []any{"NET_BIND_SERVICE"}}
		}},
		{name: "add CHOWN", change: func(p, _ pod) {
			own(p)["capabilities"] = pod{"drop": []any{"ALL"}, "add": []any{"CHOWN"}}
		}},
		{name: "add SYS_ADMIN", change: func(p, _ pod) {
			own(p)["capabilities"] = pod{"drop": []any{"ALL"}, "add": []any{"NET_BIND_SERVICE", "SYS_ADMIN"}}
		}},
		{name: "procMount Unmasked", change: func(p, _ pod) { own(p)["procMount"] = "Unmasked" }},
		{name: "procMount Default", change: func(p, _ pod) { own(p)["procMount"] = "Default" }},

		{name: "hostPort", change: func(p, _ pod) {
			container(p, "containers", 0)["ports"] = []any{pod{"containerPort": 80, "hostPort": 80}}
		}},
		{name: "hostPort 0", change: func(p, _ pod) {
			container(p, "containers", 0)["ports"] = []any{pod{"containerPort": 80, "hostPort": 0}}
		}},
		{name: "probe of another host", change: func(p, _ pod) {
			container(p, "containers", 0)["livenessProbe"] = pod{"httpGet": pod{"port": 80, "host": "192.0.2.1"}}
		}},
		{name: "probe of the pod", change: func(p, _ pod) {
			container(p, "containers", 0)["readinessProbe"] = pod{"tcpSocket": pod{"port": 80}}
		}},
		{name: "hook to another host", change: func(p, _ pod) {
			container(p, "containers", 0)["lifecycle"] = pod{"preStop": pod{"httpGet": pod{"port": 80, "host": "192.0.2.1"}}}
		}},

		{name: "safe sysctl", stricter: "no pod of ours needs one", change: func(p, _ pod) {
			context(p)["sysctls"] = []any{pod{"name": "net.ipv4.tcp_syncookies", "value": "1"}}
		}},
		{name: "unsafe sysctl", change: func(p, _ pod) { context(p)["sysctls"] = []any{pod{"name": "kernel.msgmax", "value": "1"}} }},
		{name: "SELinux type", change: func(p, _ pod) { context(p)["seLinuxOptions"] = pod{"type": "spc_t"} }},
		{name: "SELinux container_t", stricter: "no pod of ours needs one", change: func(p, _ pod) { context(p)["seLinuxOptions"] = pod{"type": "container_t"} }},
		{name: "SELinux user", change: func(p, _ pod) { own(p)["seLinuxOptions"] = pod{"user": "root"} }},
		{name: "SELinux role", change: func(p, _ pod) { first(p)["seLinuxOptions"] = pod{"role": "sysadm_r"} }},
		{name: "AppArmor Unconfined", change: func(p, _ pod) { context(p)["appArmorProfile"] = pod{"type": "Unconfined"} }},
		{name: "AppArmor Unconfined in a container", change: func(p, _ pod) { own(p)["appArmorProfile"] = pod{"type": "Unconfined"} }},
		{name: "AppArmor RuntimeDefault", change: func(p, _ pod) { context(p)["appArmorProfile"] = pod{"type": "RuntimeDefault"} }},
		{name: "AppArmor Localhost", change: func(p, _ pod) {
			own(p)["appArmorProfile"] = pod{"type": "Localhost", "localhostProfile": "a"}
		}},
		{name: "AppArmor annotation", change: func(_, annotations pod) {
			annotations["container.apparmor.security.beta.kubernetes.io/main"] = "unconfined"
		}},
		{name: "AppArmor annotation of the default", stricter: "the field has replaced it", change: func(_, annotations pod) {
			annotations["container.apparmor.security.beta.kubernetes.io/main"] = "runtime/default"
		}},
		{name: "hostProcess of the pod", change: func(p, _ pod) { context(p)["windowsOptions"] = pod{"hostProcess": true} }},
		{name: "hostProcess of a container", change: func(p, _ pod) { own(p)["windowsOptions"] = pod{"hostProcess": true} }},
		{name: "Windows", stricter: "our images are Linux's", change: func(p, _ pod) {
			p["os"] = pod{"name": "windows"}
			delete(context(p), "seccompProfile")
		}},

		{name: "hostPath", change: volume("hostPath", pod{"path": "/"})},
		{name: "nfs", change: volume("nfs", pod{"server": "a", "path": "/"})},
		{name: "iscsi", change: volume("iscsi", pod{"targetPortal": "a", "iqn": "b", "lun": 0})},
		{name: "gitRepo", change: volume("gitRepo", pod{"repository": "a"})},
		{name: "configMap", change: volume("configMap", pod{"name": "a"})},
		{name: "secret", change: volume("secret", pod{"secretName": "a"})},
		{name: "projected", change: volume("projected", pod{"sources": []any{}})},
		{name: "claim", change: volume("persistentVolumeClaim", pod{"claimName": "a"})},
		{name: "downwardAPI", change: volume("downwardAPI", pod{"items": []any{}})},
		{name: "csi", change: volume("csi", pod{"driver": "a"})},
		{name: "ephemeral", change: volume("ephemeral", pod{})},
		{name: "image", stricter: "no pod of ours needs one, and old clusters have none", change: volume("image", pod{"reference": "a:1"})},
	}
	if len(tests) < 30 {
		t.Fatalf("only %d mutations", len(tests))
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var spec map[string]any
			if err := yaml.Unmarshal([]byte(goodPod), &spec); err != nil {
				t.Fatal(err)
			}
			annotations := map[string]any{}
			tt.change(spec, annotations)
			value := map[string]any{"metadata": map[string]any{"annotations": annotations}, "spec": spec}
			// Back and forth, so that all numbers are of the type that they
			// have in a rendered object.
			text, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			var template corev1.PodTemplateSpec
			if err := yaml.UnmarshalStrict(text, &template); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &value); err != nil {
				t.Fatal(err)
			}
			ours, theirs := ourRestrictions(value), restricted(t, template)
			switch {
			case tt.stricter == agrees && (len(ours) == 0) != (len(theirs) == 0):
				t.Errorf("ours refuses %q, Pod Security %q", ours, theirs)
			case tt.stricter != agrees && (len(ours) == 0 || len(theirs) > 0):
				t.Errorf("ours refuses %q, Pod Security %q, expected that only ours refuses: %s", ours, theirs, tt.stricter)
			}
		})
	}
}

// ourRestrictions is what our own finder says of a pod, in a Job.
func ourRestrictions(template map[string]any) []string {
	job := manifest.Object{Path: "a/backup/b/job.yaml", Value: map[string]any{
		"apiVersion": "batch/v1", "kind": "Job",
		"metadata": map[string]any{"name": "job", "namespace": "b"},
		"spec":     map[string]any{"template": template},
	}}
	var refused []string
	for _, p := range manifest.Inspect([]manifest.Object{job}, &plan.Plan{Instance: "a"}) {
		if p.Rule == "HF409" {
			refused = append(refused, p.Message[strings.Index(p.Message, "refuses: ")+len("refuses: "):])
		}
	}
	return refused
}
