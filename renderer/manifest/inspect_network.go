package manifest

import (
	"net/netip"
	"slices"

	"github.com/holdfast-backup/holdfast/renderer/plan"
)

// networkPolicy checks addresses, and that the policy selects a pod of ours.
func (in *inspector) networkPolicy(o Object) {
	field := "podSelector"
	if o.Kind() == "CiliumNetworkPolicy" {
		field = "endpointSelector"
	}
	selector := labels(o.Value, "spec", field, "matchLabels")
	if at(o.Value, "spec", field, "matchExpressions") != nil {
		in.add(o, "HF414", "", "it selects by matchExpressions; by matchLabels it is plain which pods those are")
	}
	ingress := slices.Contains(list(o.Value, "spec", "policyTypes"), any("Ingress")) && !slices.Contains(list(o.Value, "spec", "policyTypes"), any("Egress"))
	if !ingress && !slices.ContainsFunc(in.pods, func(p pod) bool { return p.owner.Namespace() == o.Namespace() && matches(selector, p.labels) }) {
		in.add(o, "HF414", "job pods carry k8upjob and their PodConfig's labels, dump pods k8up.io/preBackupPod", "the policy selects no pod that we cause")
	}
	if !ingress && len(selector) == 0 {
		in.add(o, "HF414", "", "it selects every pod of the namespace, the applications' too")
	}
	// Whom a policy selects for ingress is shut to all that no policy admits. What admits
	// dump pods to a target of unknown labels must select everybody, so it may stand only
	// where the state says that everybody is shut already.
	if ingress && len(selector) == 0 && !slices.ContainsFunc(in.plan.Units, func(i plan.Item) bool {
		return slices.ContainsFunc(i.Ingress, func(target plan.Ingress) bool { return target.Namespace == o.Namespace() })
	}) {
		in.add(o, "HF414", "where the namespace denies ingress by default, say so: defaultDenyIngress of the state",
			"it shuts every pod of the namespace to everybody but its own sources")
	}
	for _, rule := range list(o.Value, "spec", "ingress") {
		if len(list(rule, "from")) == 0 || len(list(rule, "ports")) == 0 {
			in.add(o, "HF414", "", "an ingress rule without sources or ports admits everything")
		}
		in.addresses(o, list(rule, "from"))
	}
	for _, rule := range list(o.Value, "spec", "egress") {
		if o.Kind() == "NetworkPolicy" && (len(list(rule, "to")) == 0 || len(list(rule, "ports")) == 0) {
			in.add(o, "HF414", "", "an egress rule without targets or ports allows everything")
		}
		in.addresses(o, list(rule, "to"))
	}
}

// addresses checks the address ranges of a rule's peers.
func (in *inspector) addresses(o Object, peers []any) {
	for _, peer := range peers {
		block := object(peer, "ipBlock")
		if block == nil {
			continue
		}
		for _, value := range append(list(block, "except"), block["cidr"]) {
			s, _ := value.(string)
			if _, err := netip.ParsePrefix(s); err != nil {
				in.add(o, "HF412", "", "%q is no address range", s)
			}
		}
	}
}

// isDefaultDeny reports whether a policy is the one that denies all of the
// instance's pods everything, which others then allow.
func (in *inspector) isDefaultDeny(o Object) bool {
	selector := labels(o.Value, "spec", "podSelector", "matchLabels")
	return len(selector) == 1 && selector["holdfast.dev/instance"] == in.plan.Instance &&
		len(list(o.Value, "spec", "policyTypes")) == 2 &&
		len(list(o.Value, "spec", "ingress")) == 0 && len(list(o.Value, "spec", "egress")) == 0
}

// matches says whether a selector of labels selects a pod; the empty one
// selects all.
func matches(selector, pod map[string]string) bool {
	for name, value := range selector {
		if pod[name] != value {
			return false
		}
	}
	return true
}

// confinement checks that every pod that we cause is under a policy for egress
// of its own, beside the default that denies.
func (in *inspector) confinement() {
	if in.plan.Network.Engine == "none" {
		return
	}
	type policy struct {
		namespace string
		selector  map[string]string
	}
	var confining []policy
	for _, o := range in.byKind["NetworkPolicy"] {
		types := list(o.Value, "spec", "policyTypes")
		if slices.Contains(types, any("Egress")) && slices.Contains(types, any("Ingress")) && !in.isDefaultDeny(o) {
			confining = append(confining, policy{namespace: o.Namespace(), selector: labels(o.Value, "spec", "podSelector", "matchLabels")})
		}
	}
	for _, p := range in.pods {
		if !slices.ContainsFunc(confining, func(c policy) bool {
			return c.namespace == p.owner.Namespace() && matches(c.selector, p.labels)
		}) {
			in.add(p.owner, "HF414", "", "no NetworkPolicy confines its pods")
		}
	}
}
