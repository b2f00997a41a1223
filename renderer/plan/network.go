package plan

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
)

// apiServer is the name by which a kind's unit connects to the API server.
const apiServer = "kubernetes"

// target is where a connection leads.
type target struct {
	host string
	port int
}

// endpointTarget reads host and port of an endpoint; the documents' check refuses what
// is none.
func endpointTarget(endpoint string) target {
	e, _ := input.ParseEndpoint(endpoint)
	return target{host: e.Host, port: e.Port}
}

// serviceNamespace tells whether host is a Service of the cluster, and whose:
// a bare name is one of the caller's namespace; "name.namespace.svc…" says it,
// and so does "pod.name.namespace.svc…".
func serviceNamespace(host, from, clusterDomain string) (string, bool) {
	host = strings.TrimSuffix(strings.TrimSuffix(host, "."), "."+cmp.Or(clusterDomain, "cluster.local"))
	parts := strings.Split(host, ".")
	switch n := len(parts); {
	case n == 1:
		return from, true
	case (n == 3 || n == 4) && parts[n-1] == "svc":
		return parts[n-2], true
	}
	return "", false
}

// egress resolves one connection of a pod in namespace from.
func (b *builder) egress(from, purpose string, t target) Egress {
	n := b.plan.Network
	if t.host == apiServer {
		return Egress{Purpose: purpose, To: ToAPIServer, CIDRs: n.APICIDRs, Port: n.APIPort}
	}
	out := Egress{Purpose: purpose, Host: t.host, Port: t.port}
	if address, err := netip.ParseAddr(t.host); err == nil {
		out.To, out.CIDRs = ToCIDR, []string{netip.PrefixFrom(address, address.BitLen()).String()}
		return out
	}
	if namespace, ok := serviceNamespace(t.host, from, b.inst.State.Cluster.ClusterDomain); ok {
		out.To, out.Namespace = ToNamespace, namespace
		return out
	}
	if n.Engine == "cilium" {
		out.To = ToHost
		return out
	}
	for _, endpoint := range n.Endpoints {
		if endpoint.Host == t.host {
			out.To, out.CIDRs = ToCIDR, endpoint.CIDRs
			return out
		}
	}
	out.To, out.Except = ToAny, b.closedRanges()
	return out
}

// metadataRanges returns the addresses at which a cloud gives a node's credentials to
// whoever asks, and other addresses of the node alone. Azure's is the one that looks
// like any other.
func metadataRanges() []netip.Prefix {
	return prefixes("169.254.0.0/16", "168.63.129.16/32", "fe80::/10",
		// AWS, its pods' identities, Google Cloud, Oracle; the first two through NAT64.
		"fd00:ec2::254/128", "fd00:ec2::23/128", "fd20:ce::254/128", "fd00:c1::a9fe:a9fe/128", "64:ff9b::a9fe:0/112", "64:ff9b::a83f:8110/128",
		"::ffff:169.254.0.0/112", "::ffff:168.63.129.16/128")
}

// privateRanges returns the ranges that no host of the internet is in. Alibaba's metadata are in the
// second.
func privateRanges() []netip.Prefix {
	return prefixes("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
}

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// closedRanges are the ranges that a network policy excepts when the addresses of a
// host are not known. They are of version 4 alone, because the policy opens 0.0.0.0/0,
// and the API server refuses an exception that is not inside of it.
func (b *builder) closedRanges() []string {
	ranges := append(metadataRanges(), privateRanges()...)
	for _, cidr := range b.plan.Network.Cluster {
		if prefix, err := netip.ParsePrefix(cidr); err == nil {
			ranges = append(ranges, prefix)
		}
	}
	slices.SortFunc(ranges, func(p, q netip.Prefix) int {
		return cmp.Or(p.Addr().Compare(q.Addr()), cmp.Compare(p.Bits(), q.Bits()))
	})
	out, last := []string{}, netip.Prefix{}
	for _, prefix := range ranges {
		if prefix.Addr().Is4() && !last.Overlaps(prefix) {
			out, last = append(out, prefix.String()), prefix
		}
	}
	return out
}

// OpensMetadata finds out whether a rule of a network policy, for cidr without except,
// opens an address at which a cloud gives out a node's credentials (HF317). It returns
// such a range, and false if there is none.
func OpensMetadata(cidr netip.Prefix, except ...netip.Prefix) (netip.Prefix, bool) {
	for _, open := range metadataRanges() {
		// No packet has an address of version 4 inside one of 6, but somebody may write
		// it like that.
		if !cidr.Overlaps(open) || open.Addr().Is4In6() && cidr.Bits() < 96 {
			continue
		}
		if cidr.Bits() > open.Bits() {
			open = cidr
		}
		if !slices.ContainsFunc(except, func(e netip.Prefix) bool { return e.Bits() <= open.Bits() && e.Overlaps(open) }) {
			return open, true
		}
	}
	return netip.Prefix{}, false
}

// egresses resolves a pod's connections; names need DNS, addresses and the API
// server do not.
func egresses(list []Egress) []Egress {
	out := []Egress{}
	named := slices.ContainsFunc(list, func(e Egress) bool {
		return e.To != ToAPIServer && (e.To != ToCIDR || !isAddress(e.Host))
	})
	if named {
		out = append(out, Egress{Purpose: "names", To: ToDNS, Port: 53})
	}
	for _, e := range list {
		if !slices.ContainsFunc(out, func(o Egress) bool { return o.To == e.To && o.Host == e.Host && o.Port == e.Port }) {
			out = append(out, e)
		}
	}
	return out
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// connections turns a unit's list into egress.
func (b *builder) connections(namespace string, list []kind.Connection) []Egress {
	out := make([]Egress, 0, len(list))
	for _, c := range list {
		t := target{host: c.Host, port: c.Port}
		if c.HTTP {
			out = append(out, b.web(namespace, c.Purpose, t))
		} else {
			out = append(out, b.egress(namespace, c.Purpose, t))
		}
	}
	return out
}

// storage is the egress to an endpoint where copies go.
func (b *builder) storage(namespace, endpoint string) Egress {
	return b.web(namespace, "backup storage", endpointTarget(endpoint))
}

// api is the egress to the API server.
func (b *builder) api(purpose string) Egress {
	return b.egress("", purpose, target{host: apiServer})
}
