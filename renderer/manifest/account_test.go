package manifest_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/manifest"
)

// TestAccount: the account that the policy names has rights in the instance's namespaces
// for all that the tree has, and nowhere a right that the tree does not need.
func TestAccount(t *testing.T) {
	t.Parallel()
	type rule struct{ APIGroups, Resources, Verbs, ResourceNames []string }
	type object struct {
		Kind       string
		APIVersion string
		Metadata   struct{ Name, Namespace string }
		Spec       struct{ ServiceAccountName string }
		Rules      []rule
		RoleRef    struct{ Kind, Name string }
		Subjects   []struct{ Kind, Name, Namespace string }
	}
	var flux, rest []object
	for _, made := range renderedWith(t, "e2e", `{"schemaVersion": 1, "serviceAccountName": "backup-{instance}"}`).copied(t) {
		data, err := json.Marshal(made.Value)
		if err != nil {
			t.Fatal(err)
		}
		var o object
		if err := json.Unmarshal(data, &o); err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.HasSuffix(made.Path, "/flux.yaml"):
			flux = append(flux, o)
		case strings.Contains(made.Path, "/backup/"), strings.Contains(made.Path, "/repository/"):
			rest = append(rest, o)
		}
	}
	rules, kustomizations := map[string][]rule{}, 0
	for _, o := range flux {
		switch o.Kind {
		case "Kustomization":
			kustomizations++
			if o.Spec.ServiceAccountName != "backup-e2e" {
				t.Errorf("%s is applied as %q", o.Metadata.Name, o.Spec.ServiceAccountName)
			}
		case "Role", "ClusterRole":
			rules[o.Metadata.Namespace] = o.Rules
		case "RoleBinding", "ClusterRoleBinding":
			if o.RoleRef.Name != "backup-e2e.flux" || len(o.Subjects) != 1 || o.Subjects[0].Name != "backup-e2e" || o.Subjects[0].Namespace != "flux-system" {
				t.Errorf("%+v", o)
			}
		}
	}
	may := func(namespace, verb, group, resource, name string) bool {
		return slices.ContainsFunc(rules[namespace], func(r rule) bool {
			return slices.Contains(r.Verbs, verb) && slices.Contains(r.APIGroups, group) && slices.Contains(r.Resources, resource) &&
				(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, name))
		})
	}
	for _, o := range rest {
		group, _, found := strings.Cut(o.APIVersion, "/")
		if !found {
			group = ""
		}
		resource := strings.ToLower(o.Kind) + "s"
		if strings.HasSuffix(o.Kind, "Policy") {
			resource = strings.ToLower(strings.TrimSuffix(o.Kind, "y")) + "ies"
		}
		for _, verb := range []string{"get", "create", "patch", "delete"} {
			if !may(o.Metadata.Namespace, verb, group, resource, o.Metadata.Name) {
				t.Errorf("it may not %s %s %s/%s", verb, o.Kind, o.Metadata.Namespace, o.Metadata.Name)
			}
		}
	}
	if may("desk", "create", "apps", "deployments", "") || may("desk", "patch", "", "services", "") {
		t.Error("it has the rights of a restore")
	}
	if kustomizations != 2 || len(rest) < 50 || len(rules) != 3 {
		t.Errorf("%d Kustomizations, %d objects, rights in %d namespaces", kustomizations, len(rest), len(rules))
	}
	for namespace, list := range rules {
		for _, r := range list {
			if said := fmt.Sprint(r); strings.ContainsAny(said, "*") || strings.Contains(said, "escalate") || strings.Contains(said, "impersonate") {
				t.Errorf("in %q: %s", namespace, said)
			}
			if namespace == "" && len(r.ResourceNames) == 0 && slices.ContainsFunc(r.Verbs, func(v string) bool { return v != "create" && v != "list" && v != "watch" && v != "get" }) {
				t.Errorf("of the whole cluster, without names: %+v", r)
			}
		}
	}
}

// TestInspectAccount: what stands beside Flux' Kustomizations is what the tree needs, or
// it is looked at like anything else.
func TestInspectAccount(t *testing.T) {
	t.Parallel()
	x := renderedWith(t, "minimal", `{"schemaVersion": 1, "serviceAccountName": "backup-{instance}"}`)
	if found := inspect(x.copied(t), x.plan); len(found) > 0 {
		t.Fatalf("found %q", found)
	}
	const role = "Role/shop/backup-shop.flux"
	objects := x.copied(t)
	at := slices.IndexFunc(objects, func(o manifest.Object) bool { return o.ID() == role })
	if at < 0 {
		t.Fatal("there is no role")
	}
	set(t, objects[at].Value, "*", "rules", 0, "verbs", 0)
	if found := inspect(objects, x.plan); !slices.Contains(found, "HF427 "+role) || !slices.Contains(found, "HF421 "+role) {
		t.Errorf("another right: found %q", found)
	}
	if found := inspect(slices.Delete(x.copied(t), at, at+1), x.plan); !slices.Equal(found, []string{"HF427 " + role}) {
		t.Errorf("without: found %q", found)
	}
	// Objects are as they are written: with the annotation, too.
	objects = x.copied(t)
	at = slices.IndexFunc(objects, func(o manifest.Object) bool { return o.ID() == "Kustomization/flux-system/shop-backup" })
	objects[at].Value["metadata"].(map[string]any)["annotations"] = map[string]any{"kustomize.toolkit.fluxcd.io/substitute": "enabled"}
	if found := inspect(objects, x.plan); !slices.Contains(found, "HF433 "+objects[at].ID()) {
		t.Errorf("substitution: found %q", found)
	}
}
