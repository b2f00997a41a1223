package manifest

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// account is as whom Flux applies the instance's tree, if the policy names one, and what
// that account may do: make, change and remove objects of the types that the tree has, in
// the namespaces that it has them in, and hold the rights that the tree gives, for nobody
// can give others. So a tree that was changed on its way reaches no other namespace.
//
// Like the Kustomizations beside it, it is applied by whoever has the rights of all.
func account(objects []Object, p *plan.Plan) []Object {
	if p.Flux.ServiceAccount == "" {
		return nil
	}
	name := p.Flux.ServiceAccount
	namespaced, cluster, roles := map[apiType]bool{}, map[apiType][]any{}, map[apiType][]any{}
	// rules are the rights by namespace; "" is the whole cluster.
	rules := map[string][]any{}
	kinds := newTable()
	for _, o := range objects {
		// The Kustomizations are applied by others, and a restore by whoever restores.
		if o.Namespace() == p.Flux.Namespace || strings.HasPrefix(o.Path, p.Instance+"/restore/") {
			continue
		}
		k, known := kinds.of(o)
		if !known {
			continue // and refused
		}
		of := apiType{o.Namespace(), k.Group(), k.Resource}
		if of.namespace == "" {
			cluster[of] = append(cluster[of], o.Name())
		} else {
			namespaced[of] = true
		}
		if o.Kind() == "Role" || o.Kind() == "ClusterRole" {
			rules[o.Namespace()] = append(rules[o.Namespace()], list(o.Value, "rules")...)
			roles[of] = append(roles[of], o.Name())
		}
	}
	for _, namespace := range p.Namespaces {
		// Also what a tree of yesterday had, and what has to be removed today.
		for _, k := range Kinds() {
			if !k.ClusterWide && k.Kind != "Kustomization" {
				namespaced[apiType{namespace, k.Group(), k.Resource}] = true
			}
		}
	}
	add := func(t apiType, names []any, verbs ...any) {
		rule := map[string]any{"apiGroups": []any{t.group}, "resources": []any{t.resource}, "verbs": verbs}
		if names != nil {
			rule["resourceNames"] = names
		}
		rules[t.namespace] = append(rules[t.namespace], rule)
	}
	for _, t := range slices.SortedFunc(maps.Keys(namespaced), apiType.compare) {
		add(t, nil, "get", "list", "watch", "create", "update", "patch", "delete")
	}
	// Those of other instances are beside them.
	for _, t := range slices.SortedFunc(maps.Keys(cluster), apiType.compare) {
		// To wait for one, Flux lists all.
		add(t, nil, "list", "watch", "create")
		add(t, cluster[t], "get", "update", "patch", "delete")
	}
	// Flux tries all objects before it makes one: a binding then has no role yet whose
	// rights could be compared.
	for _, t := range slices.SortedFunc(maps.Keys(roles), apiType.compare) {
		add(t, roles[t], "bind")
	}
	made := []map[string]any{{
		"apiVersion": "v1", "kind": "ServiceAccount",
		"metadata": map[string]any{"name": name, "namespace": p.Flux.Namespace},
	}}
	// A name with a dot is none of the tree's own.
	role := name + ".flux"
	for _, namespace := range slices.Sorted(maps.Keys(rules)) {
		kind, metadata := "Role", map[string]any{"name": role, "namespace": namespace}
		if namespace == "" {
			kind, metadata = "ClusterRole", map[string]any{"name": role}
		}
		made = append(made, map[string]any{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": maps.Clone(metadata), "rules": rules[namespace],
		}, map[string]any{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind + "Binding", "metadata": metadata,
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
			"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": name, "namespace": p.Flux.Namespace}},
		})
	}
	var all []Object
	for _, value := range made {
		labels := map[string]any{}
		for key, text := range p.Labels {
			labels[key] = text
		}
		object(value, "metadata")["labels"] = labels
		all = append(all, Object{Path: p.Instance + "/flux.yaml", Value: value})
	}
	return all
}

// withoutAccount takes out of a tree's objects those of the account, which keep none of
// the rules for backups: they must be what account makes of all the others, to the last
// field.
func withoutAccount(objects []Object, p *plan.Plan) ([]Object, problem.List) {
	others := slices.DeleteFunc(slices.Clone(objects), func(o Object) bool {
		return o.Path == p.Instance+"/flux.yaml" && o.Kind() != "Kustomization"
	})
	var problems problem.List
	made := account(others, p)
	for _, o := range objects {
		if o.Path != p.Instance+"/flux.yaml" || o.Kind() == "Kustomization" {
			continue
		}
		at := slices.IndexFunc(made, func(m Object) bool { return m.ID() == o.ID() && reflect.DeepEqual(m.Value, o.Value) })
		if at < 0 {
			others = append(others, o)
			continue
		}
		made = slices.Delete(made, at, at+1)
	}
	for _, m := range made {
		problems = append(problems, problem.Problem{Pointer: m.ID(), Message: m.Path + ": it is not what Flux' account needs for this tree, or is missing", Rule: "HF427"})
	}
	return others, problems
}

// apiType is a type of objects in a namespace, or in the whole cluster.
type apiType struct{ namespace, group, resource string }

func (t apiType) compare(other apiType) int {
	return cmp.Or(strings.Compare(t.namespace, other.namespace), strings.Compare(t.group, other.group), strings.Compare(t.resource, other.resource))
}
