package harness

import (
	"maps"
	"testing"
)

// K8up runs a shell script in the place of K8up's program: in the pod that its
// operator makes of the rendered Schedule of a dump. After K8up 2.15, whose
// operator merges the PodConfig, mounts emptyDirs at /tmp and /.cache, and passes on the
// backend's environment and mounts and the block's volumes (operator/backupcontroller
// and operator/utils).
func (i *Instance) K8up(t testing.TB, unit, script string, o Options) Result {
	t.Helper()
	item := i.Unit(t, unit)
	repository, ok := i.Plan.Repositories[item.Repository]
	schedule := i.Object("Schedule", item.Namespace, item.Name)
	if !ok || schedule == nil {
		t.Fatalf("K8up does not back up %s", unit)
	}
	block, backend := object(schedule, "spec", "backup"), object(schedule, "spec", "backend")
	config := i.Object("PodConfig", item.Namespace, text(block, "podConfigRef", "name"))
	spec := maps.Clone(object(config, "spec", "template", "spec"))
	container := maps.Clone(list(spec, "containers")[0])
	secret := func(name string, ref map[string]any) map[string]any {
		return map[string]any{"name": name, "valueFrom": map[string]any{"secretKeyRef": ref}}
	}
	container["image"] = i.Plan.Platform.Images["k8up"]
	container["envFrom"] = backend["envFrom"]
	container["env"] = []any{
		map[string]any{"name": "RESTIC_REPOSITORY", "value": repository.URL},
		map[string]any{"name": "TARGET_PODS", "value": item.Name + "-6d4b75cb6d-hs5kx"},
		map[string]any{"name": "RESTIC_CACERT", "value": text(backend, "tlsOptions", "caCert")},
		secret("RESTIC_PASSWORD", object(backend, "repoPasswordSecretRef")),
		secret("AWS_ACCESS_KEY_ID", object(backend, "s3", "accessKeyIDSecretRef")),
		secret("AWS_SECRET_ACCESS_KEY", object(backend, "s3", "secretAccessKeySecretRef")),
	}
	mounts, _ := backend["volumeMounts"].([]any)
	container["volumeMounts"] = append([]any{
		map[string]any{"name": "tmp", "mountPath": "/tmp"}, map[string]any{"name": "cache", "mountPath": "/.cache"},
	}, mounts...)
	volumes, _ := block["volumes"].([]any)
	spec["volumes"] = append([]any{
		map[string]any{"name": "tmp", "emptyDir": map[string]any{}}, map[string]any{"name": "cache", "emptyDir": map[string]any{}},
	}, volumes...)
	spec["containers"] = []any{container}
	p := &pod{instance: i, unit: unit, namespace: item.Namespace, name: "backup-" + item.Name, spec: spec, container: container}
	p.argv = []string{"/bin/sh", "-c", script}
	return start(t, p, o).Wait()
}
