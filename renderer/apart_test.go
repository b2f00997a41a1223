package renderer_test

import (
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

// TestNamesApart: no two instances have an object of one name, though each is rendered
// without knowing of the other: Flux would make each the other's, every few minutes.
func TestNamesApart(t *testing.T) {
	t.Parallel()
	r := builtinRenderer(t)
	words := []string{"pg", "vol", "restore", "restic", "check", "init", "b"}
	ids := []string{"a", "a--b", "a-pg-pg", "a-pg-vol", "restore-a-pg", "a-restore-pg"}
	var databases, volumes []any
	for _, word := range words {
		ids = append(ids, word, "a-"+word, "a-"+word+"-b")
		for _, key := range []string{word, "pg-" + word} {
			databases = append(databases, map[string]any{
				"key": key, "name": key, "owner": "shop", "username": "shop", "backup": "required",
				"passwordRef": map[string]any{"kind": "Secret", "name": "postgres", "key": "password"},
			})
			volumes = append(volumes, map[string]any{
				"claim": key, "accessModes": []any{"ReadWriteOnce"}, "workload": map[string]any{"kind": "Deployment", "name": "of-" + key},
				"owner": map[string]any{"uid": 1000, "gid": 1000}, "backup": "required",
			})
		}
	}
	owners, taken := map[string]string{}, 0
	for _, id := range ids {
		in := example(t, "minimal")
		state := rewritten(t, in.States[0], func(root map[string]any) {
			root["instanceId"] = id
			root["databases"].(map[string]any)["postgresql"].([]any)[0].(map[string]any)["databases"] = databases
			root["volumes"] = volumes
		})
		credentials := rewritten(t, in.Credentials[0], func(root map[string]any) { root["instanceId"] = id })
		x := render(t, r, renderer.Inputs{States: []input.Document{state}, Credentials: []input.Document{credentials}}, secrets.Plain)
		for _, f := range x.files {
			if !strings.Contains(f.Path, "/backup/") && !strings.Contains(f.Path, "/repository/") && !strings.Contains(f.Path, "/restore/") || strings.HasSuffix(f.Path, "/kustomization.yaml") {
				continue
			}
			objects, err := yaml.Decode(f.Data)
			if err != nil {
				t.Fatal(err)
			}
			for _, value := range objects {
				o := manifest.Object{Value: value}
				if strings.HasPrefix(o.Name(), "pod-executor") {
					continue // K8up demands it: all have the same
				}
				if owner, found := owners[o.ID()]; found && owner != id {
					t.Errorf("%s is of %s and of %s", o.ID(), owner, id)
					if taken++; taken > 20 {
						t.FailNow()
					}
				}
				owners[o.ID()] = id
			}
		}
	}
	if len(owners) < 2000 {
		t.Errorf("only %d objects", len(owners))
	}
}

// TestClusterWideNamesApart: two instances of one id in two namespaces have no object of
// the whole cluster in common.
func TestClusterWideNamesApart(t *testing.T) {
	t.Parallel()
	r := builtinRenderer(t)
	owners, count := map[string]string{}, 0
	for _, namespace := range []string{"shop", "shop-b"} {
		in := example(t, "minimal")
		state := rewritten(t, in.States[0], func(root map[string]any) {
			root["namespace"] = namespace
			root["kubernetes"].(map[string]any)["exportClusterScoped"] = true
		})
		for _, o := range render(t, r, renderer.Inputs{States: []input.Document{state}, Credentials: in.Credentials}, secrets.Omit).objects {
			if o.Namespace() != "" || !strings.HasPrefix(o.Kind(), "ClusterRole") {
				continue
			}
			count++
			if owner, found := owners[o.ID()]; found && owner != namespace {
				t.Errorf("%s is of %s and of %s", o.ID(), owner, namespace)
			}
			owners[o.ID()] = namespace
		}
	}
	// Preflight, dump and restore, each a role and its binding.
	if count != 12 {
		t.Errorf("%d objects of the whole cluster", count)
	}
}

// TestIngressStaysHome: a database in a namespace that is not the instance's gets no
// policy there, though a skipped source is in it: that would shut it for all others.
func TestIngressStaysHome(t *testing.T) {
	t.Parallel()
	r := builtinRenderer(t)
	for _, namespace := range []string{"kube-system", "flux-system", "wiki", "shop-db"} {
		in := example(t, "minimal")
		state := rewritten(t, in.States[0], func(root map[string]any) {
			databases := root["databases"].(map[string]any)
			databases["postgresql"].([]any)[0].(map[string]any)["host"] = "server." + namespace + ".svc"
			databases["mariadb"] = []any{map[string]any{
				"id": "m", "host": "x", "port": 3306, "serverVersion": "10.6", "tls": "require", "username": "r", "namespace": namespace,
				"passwordRef": map[string]any{"kind": "Secret", "name": "m", "key": "p"}, "backup": "skip", "reason": "not ours",
			}}
			root["network"].(map[string]any)["defaultDenyIngress"] = true
		})
		policies := 0
		for _, o := range render(t, r, renderer.Inputs{States: []input.Document{state}, Credentials: in.Credentials}, secrets.Omit).objects {
			if o.Namespace() == namespace && o.Kind() != "Kustomization" {
				policies++
			}
		}
		if own := namespace == "shop-db"; own != (policies > 0) {
			t.Errorf("%s: %d objects", namespace, policies)
		}
	}
}
