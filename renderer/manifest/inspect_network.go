package manifest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

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
	if o.Value["specs"] != nil {
		in.add(o, "HF414", "give each by itself", "it holds further policies in specs, and nothing of them is looked at")
	}
	for _, rule := range list(o.Value, "spec", "ingress") {
		if len(list(rule, "from")) == 0 || len(list(rule, "ports")) == 0 {
			in.add(o, "HF414", "", "an ingress rule without sources or ports admits everything")
		}
		for _, peer := range list(rule, "from") {
			in.ranges(o, object(peer, "ipBlock"))
		}
	}
	for _, rule := range list(o.Value, "spec", "egress") {
		if o.Kind() == "CiliumNetworkPolicy" {
			in.ciliumEgress(o, rule)
			continue
		}
		if len(list(rule, "to")) == 0 || len(list(rule, "ports")) == 0 {
			in.add(o, "HF414", "", "an egress rule without targets or ports allows everything")
		}
		for _, peer := range list(rule, "to") {
			if ranges := in.ranges(o, object(peer, "ipBlock")); !dnsAlone(list(rule, "ports")) {
				in.metadata(o, ranges)
			}
		}
	}
}

// dnsAlone says whether a rule is for DNS alone: a node's own cache of it has an address
// beside those of the metadata, which are asked by HTTP.
func dnsAlone(ports []any) bool {
	return len(ports) > 0 && !slices.ContainsFunc(ports, func(p any) bool {
		port, isNumber := number(object(p), "port")
		return !isNumber && text(p, "port") != "53" || isNumber && port != 53 || at(p, "endPort") != nil
	})
}

// ciliumEgress checks a rule in Cilium's terms.
func (in *inspector) ciliumEgress(o Object, rule any) {
	// One that says nothing allows nothing, and denies the rest.
	if len(object(rule)) == 0 {
		return
	}
	var ports []any
	for _, some := range list(rule, "toPorts") {
		ports = append(ports, list(some, "ports")...)
	}
	targets := 0
	for field := range object(rule) {
		if strings.HasPrefix(field, "to") && field != "toPorts" {
			targets += len(list(rule, field))
		}
	}
	if targets == 0 {
		in.add(o, "HF414", "", "an egress rule without targets allows everything")
	}
	for _, cidr := range list(rule, "toCIDR") {
		// A single address is a range to Cilium.
		if single, err := netip.ParseAddr(fmt.Sprint(cidr)); err == nil {
			cidr = netip.PrefixFrom(single, single.BitLen()).String()
		}
		if ranges := in.ranges(o, map[string]any{"cidr": cidr}); !dnsAlone(ports) {
			in.metadata(o, ranges)
		}
	}
	for _, set := range list(rule, "toCIDRSet") {
		if group := text(set, "cidrGroupRef"); group != "" {
			in.add(o, "HF414", "write the ranges themselves", "egress to the group %s, and nothing here says which ranges it has", group)
			continue
		}
		if ranges := in.ranges(o, object(set)); !dnsAlone(ports) {
			in.metadata(o, ranges)
		}
	}
	// By a name of his own somebody lets a wide pattern resolve to any address.
	wide := func(name string) {
		in.add(o, "HF317", "name the host that is meant: toFQDNs with matchName", "egress to %s opens 169.254.0.0/16, where clouds hand out the node's credentials", name)
	}
	for _, entity := range list(rule, "toEntities") {
		// All else is of the cluster.
		if name, _ := entity.(string); name == "all" || strings.HasPrefix(name, "world") {
			wide("the entity " + name)
		}
	}
	for _, host := range list(rule, "toFQDNs") {
		if pattern := text(host, "matchPattern"); pattern != "" && strings.Trim(pattern, "*.") == "" {
			wide("names like " + pattern)
		}
	}
}

// ranges checks the form of an address range, and returns it and its exceptions; nothing
// if there is none or if one is wrong.
func (in *inspector) ranges(o Object, block map[string]any) []netip.Prefix {
	if block == nil {
		return nil
	}
	values := append([]any{block["cidr"]}, list(block, "except")...)
	ranges := make([]netip.Prefix, 0, len(values))
	for _, value := range values {
		s, _ := value.(string)
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			in.add(o, "HF412", "", "%q is no address range", s)
			continue
		}
		ranges = append(ranges, prefix.Masked())
	}
	if len(ranges) < len(values) {
		return nil
	}
	return ranges
}

// metadata refuses a way to where a cloud hands out a node's credentials, by a range and
// its exceptions: no pod of ours has business there.
func (in *inspector) metadata(o Object, ranges []netip.Prefix) {
	if len(ranges) == 0 {
		return
	}
	if open, opens := plan.OpensMetadata(ranges[0], ranges[1:]...); opens {
		in.add(o, "HF317", "name the addresses of the host that is meant, or except these", "egress to %s opens %s, where clouds hand out the node's credentials", ranges[0], open)
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
