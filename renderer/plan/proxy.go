package plan

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/kind"
)

// outside says whether a host is outside of the cluster, seen from a pod in
// namespace from.
func (b *builder) outside(from, host string) bool {
	if host == apiServer {
		return false
	}
	if address, err := netip.ParseAddr(host); err == nil {
		return !slices.ContainsFunc(b.plan.Network.Cluster, func(cidr string) bool {
			prefix, err := netip.ParsePrefix(cidr)
			return err == nil && prefix.Contains(address)
		})
	}
	_, inside := serviceNamespace(host, from, b.inst.State.Cluster.ClusterDomain)
	return !inside
}

// viaProxy returns where a connection that speaks HTTP really goes: to the proxy, if
// there is one and the host is outside of the cluster.
func (b *builder) viaProxy(from string, t target) target {
	proxy := b.inst.State.Network.HTTPProxy
	if proxy == "" || !b.outside(from, t.host) {
		return t
	}
	return endpointTarget(proxy)
}

// web is the egress of a connection that speaks HTTP.
func (b *builder) web(from, purpose string, t target) Egress {
	if proxy := b.viaProxy(from, t); proxy != t {
		return b.egress(from, "proxy", proxy)
	}
	return b.egress(from, purpose, t)
}

// proxyFor is the environment of a pod that speaks HTTP with one of hosts; nil
// without a proxy, or if all of them are in the cluster. Tools differ in the
// case that they read.
func (b *builder) proxyFor(from string, hosts ...string) map[string]string {
	proxy := b.inst.State.Network.HTTPProxy
	if proxy == "" || !slices.ContainsFunc(hosts, func(host string) bool { return b.outside(from, host) }) {
		return nil
	}
	values := map[string]string{}
	for name, value := range map[string]string{"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "NO_PROXY": b.noProxy()} {
		values[name], values[strings.ToLower(name)] = value, value
	}
	return values
}

// noProxy lists what is reached directly: the cluster. The API server is known
// to pods by an address of the Services' range.
func (b *builder) noProxy() string {
	domain := b.inst.State.Cluster.ClusterDomain
	if domain == "" {
		domain = "cluster.local"
	}
	direct := []string{"localhost", "127.0.0.1", ".svc", "." + domain}
	direct = append(direct, b.plan.Network.Cluster...)
	direct = append(direct, b.plan.Network.APICIDRs...)
	var names []string
	add := func(host string) {
		// A bare name is a Service, which no suffix covers.
		if host != "" && host != apiServer && !strings.Contains(host, ".") && !strings.Contains(host, ":") {
			names = append(names, host)
		}
	}
	for _, u := range b.found {
		for _, c := range u.Connects {
			add(c.Host)
		}
	}
	for _, endpoint := range b.storages() {
		add(endpointTarget(endpoint).host)
	}
	slices.Sort(names)
	return strings.Join(append(direct, slices.Compact(names)...), ",")
}

// storages are the endpoints where copies go.
func (b *builder) storages() []string {
	var endpoints []string
	if restic := b.inst.Credentials.Restic; restic != nil {
		endpoints = append(endpoints, restic.Endpoint)
	}
	if rclone := b.inst.Credentials.Rclone; rclone != nil {
		endpoints = append(endpoints, rclone.Endpoint)
	}
	return endpoints
}

// proxied is the environment of a unit's pods: reading, storing, restoring.
func (b *builder) proxied(i *Item) map[string]string {
	var hosts []string
	for _, c := range i.Connects {
		if c.HTTP {
			hosts = append(hosts, c.Host)
		}
	}
	if restic := b.inst.Credentials.Restic; i.Engine == kind.Restic && restic != nil {
		hosts = append(hosts, endpointTarget(restic.Endpoint).host)
	}
	if i.Copy != nil {
		hosts = append(hosts, endpointTarget(i.Copy.Endpoint).host)
	}
	return b.proxyFor(i.Namespace, hosts...)
}
