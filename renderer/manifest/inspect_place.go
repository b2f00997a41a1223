package manifest

import (
	"slices"

	"github.com/holdfast-backup/holdfast/renderer/plan"
)

// inPlace checks that an object is in a namespace of the instance's.
func (in *inspector) inPlace(o Object) {
	k, known := in.kinds.of(o)
	if known && k.ClusterWide != (o.Namespace() == "") {
		in.add(o, "HF401", "", "metadata.namespace does not fit the kind")
	}
	if !known || k.ClusterWide || o.Namespace() == "" {
		return
	}
	if slices.Contains(in.plan.Namespaces, o.Namespace()) || in.isOwnFlux(o) {
		return
	}
	// What admits the instance's pods to a target stands where the target is.
	if o.Kind() == "NetworkPolicy" && slices.ContainsFunc(in.plan.Units, func(i plan.Item) bool {
		return slices.ContainsFunc(i.Ingress, func(target plan.Ingress) bool { return target.Namespace == o.Namespace() })
	}) {
		return
	}
	in.add(o, "HF431", "who needs it there applies it on its own", "the namespace %s is not the instance's", o.Namespace())
}

// isOwnFlux reports whether an object is one of the two by which Flux applies the tree.
func (in *inspector) isOwnFlux(o Object) bool {
	return o.Path == in.plan.Instance+"/flux.yaml" && o.Namespace() == in.plan.Flux.Namespace &&
		o.Kind() == "Kustomization" &&
		(o.Name() == in.plan.Instance+"-repository" || o.Name() == in.plan.Instance+"-backup")
}
