package manifest

import (
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/plan"
)

// groupOf is the API group of an object; "" is Kubernetes' core.
func groupOf(o Object) string {
	group, _, found := strings.Cut(text(o.Value, "apiVersion"), "/")
	if !found {
		return ""
	}
	return group
}

// mayBeClusterWide reports whether an object is of the only types without a namespace
// that a tree has. inspector.role says what may be in them.
func mayBeClusterWide(o Object) bool {
	return groupOf(o) == rbacGroup && (o.Kind() == "ClusterRole" || o.Kind() == "ClusterRoleBinding")
}

// hasNoNamespace reports whether an object is of a type that is known to have no
// namespace: who applies such an object takes off the one that it names.
func hasNoNamespace(o Object) bool {
	kinds := map[string][]string{
		"":                             {"ComponentStatus", "Namespace", "Node", "PersistentVolume"},
		"apiextensions.k8s.io":         {"CustomResourceDefinition"},
		"apiregistration.k8s.io":       {"APIService"},
		"certificates.k8s.io":          {"CertificateSigningRequest"},
		"cilium.io":                    {"CiliumCIDRGroup", "CiliumEgressGatewayPolicy", "CiliumExternalWorkload", "CiliumIdentity", "CiliumL2AnnouncementPolicy", "CiliumLoadBalancerIPPool", "CiliumNode"},
		"crd.projectcalico.org":        {"GlobalNetworkPolicy", "GlobalNetworkSet"},
		"flowcontrol.apiserver.k8s.io": {"FlowSchema", "PriorityLevelConfiguration"},
		"gateway.networking.k8s.io":    {"GatewayClass"},
		"networking.k8s.io":            {"IPAddress", "IngressClass", "ServiceCIDR"},
		"node.k8s.io":                  {"RuntimeClass"},
		"policy":                       {"PodSecurityPolicy"},
		"policy.networking.k8s.io":     {"AdminNetworkPolicy", "BaselineAdminNetworkPolicy"},
		"projectcalico.org":            {"GlobalNetworkPolicy", "GlobalNetworkSet"},
		"resource.k8s.io":              {"DeviceClass", "ResourceSlice"},
		"scheduling.k8s.io":            {"PriorityClass"},
		"snapshot.storage.k8s.io":      {"VolumeSnapshotClass", "VolumeSnapshotContent"},
		"storage.k8s.io":               {"CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"},
	}
	// All of the one group's: webhooks and policies of admission.
	return groupOf(o) == "admissionregistration.k8s.io" || slices.Contains(kinds[groupOf(o)], o.Kind()) ||
		strings.HasPrefix(o.Kind(), "Cluster") || strings.HasPrefix(o.Kind(), "CiliumClusterwide")
}

// inPlace checks that an object is in a namespace of the instance's.
func (in *inspector) inPlace(o Object) {
	switch {
	case o.Namespace() == "" && mayBeClusterWide(o):
		return
	case o.Namespace() == "", hasNoNamespace(o):
		in.add(o, "HF401", "", "metadata.namespace does not fit the kind")
		return
	}
	if slices.Contains(in.plan.Namespaces, o.Namespace()) || in.isOwnFlux(o) {
		return
	}
	// What admits the instance's pods to a target stands where the target is.
	if o.Kind() == "NetworkPolicy" && groupOf(o) == "networking.k8s.io" && slices.ContainsFunc(in.plan.Units, func(i plan.Item) bool {
		return slices.ContainsFunc(i.Ingress, func(target plan.Ingress) bool { return target.Namespace == o.Namespace() })
	}) {
		return
	}
	in.add(o, "HF431", "who needs it there applies it on its own", "the namespace %s is not the instance's", o.Namespace())
}

// isOwnFlux reports whether an object is one of the two by which Flux applies the tree.
func (in *inspector) isOwnFlux(o Object) bool {
	return o.Path == in.plan.Instance+"/flux.yaml" && o.Namespace() == in.plan.Flux.Namespace &&
		groupOf(o) == "kustomize.toolkit.fluxcd.io" && o.Kind() == "Kustomization" &&
		(o.Name() == in.plan.Instance+"-repository" || o.Name() == in.plan.Instance+"-backup")
}
