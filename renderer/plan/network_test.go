package plan

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/input"
)

func TestEgress(t *testing.T) {
	// Whoever answers there is no host of the internet: nobody but a declared address
	// leads to it. The cluster's own ranges are in it once, and those of version 6 not at all.
	closed := []string{"10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15"}
	network := func(engine string) Network {
		return Network{
			Engine:    engine,
			APICIDRs:  []string{"192.0.2.10/32"},
			APIPort:   6443,
			Cluster:   []string{"10.42.0.0/16", "198.18.0.0/15", "fd00:10::/32"},
			Endpoints: []input.Endpoint{{Host: "db.example.org", CIDRs: []string{"203.0.113.7/32"}}, {Host: "s3.intern.example", CIDRs: []string{"10.1.2.0/24"}}},
		}
	}
	for _, test := range []struct {
		name   string
		engine string
		domain string
		target target
		want   Egress
	}{
		{name: "the API server by its endpoint's port", target: target{host: "kubernetes"},
			want: Egress{To: ToAPIServer, CIDRs: []string{"192.0.2.10/32"}, Port: 6443}},
		{name: "a bare name is of the caller's namespace", target: target{host: "cassandra", port: 9042},
			want: Egress{To: ToNamespace, Namespace: "app", Host: "cassandra", Port: 9042}},
		{name: "a Service's name", target: target{host: "db.data.svc.cluster.local", port: 1},
			want: Egress{To: ToNamespace, Namespace: "data", Host: "db.data.svc.cluster.local", Port: 1}},
		{name: "a Service's name with the root's dot", target: target{host: "db.data.svc.cluster.local.", port: 1},
			want: Egress{To: ToNamespace, Namespace: "data", Host: "db.data.svc.cluster.local.", Port: 1}},
		{name: "a Service's name without the domain", target: target{host: "db.data.svc", port: 1},
			want: Egress{To: ToNamespace, Namespace: "data", Host: "db.data.svc", Port: 1}},
		{name: "a pod's name below its Service", target: target{host: "db-0.db.data.svc.cluster.local", port: 1},
			want: Egress{To: ToNamespace, Namespace: "data", Host: "db-0.db.data.svc.cluster.local", Port: 1}},
		{name: "a domain of the cluster's own", domain: "k8s.example", target: target{host: "db.data.svc.k8s.example", port: 1},
			want: Egress{To: ToNamespace, Namespace: "data", Host: "db.data.svc.k8s.example", Port: 1}},
		{name: "another cluster's Service is outside", domain: "k8s.example", target: target{host: "db.data.svc.cluster.local", port: 1},
			want: Egress{To: ToAny, Except: closed, Host: "db.data.svc.cluster.local", Port: 1}},
		{name: "an outside host of known addresses", target: target{host: "db.example.org", port: 5432},
			want: Egress{To: ToCIDR, CIDRs: []string{"203.0.113.7/32"}, Host: "db.example.org", Port: 5432}},
		{name: "an outside host of unknown addresses", target: target{host: "s3.example.org", port: 443},
			want: Egress{To: ToAny, Except: closed, Host: "s3.example.org", Port: 443}},
		{name: "an outside host of known private addresses", target: target{host: "s3.intern.example", port: 443},
			want: Egress{To: ToCIDR, CIDRs: []string{"10.1.2.0/24"}, Host: "s3.intern.example", Port: 443}},
		{name: "a private address", target: target{host: "192.168.7.7", port: 9000},
			want: Egress{To: ToCIDR, CIDRs: []string{"192.168.7.7/32"}, Host: "192.168.7.7", Port: 9000}},
		{name: "an address", target: target{host: "198.51.100.4", port: 5432},
			want: Egress{To: ToCIDR, CIDRs: []string{"198.51.100.4/32"}, Host: "198.51.100.4", Port: 5432}},
		{name: "an address of version 6", target: target{host: "2001:db8::1", port: 5432},
			want: Egress{To: ToCIDR, CIDRs: []string{"2001:db8::1/128"}, Host: "2001:db8::1", Port: 5432}},
		{name: "Cilium knows hosts by name", engine: "cilium", target: target{host: "db.example.org", port: 5432},
			want: Egress{To: ToHost, Host: "db.example.org", Port: 5432}},
		{name: "Cilium: a Service is in its namespace", engine: "cilium", target: target{host: "db", port: 5432},
			want: Egress{To: ToNamespace, Namespace: "app", Host: "db", Port: 5432}},
	} {
		t.Run(test.name, func(t *testing.T) {
			engine := test.engine
			if engine == "" {
				engine = "kubernetes"
			}
			b := &builder{plan: &Plan{Network: network(engine)}, inst: input.Instance{State: &input.State{}}}
			b.inst.State.Cluster.ClusterDomain = test.domain
			test.want.Purpose = "test"
			if got := b.egress("app", "test", test.target); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// TestProxyEgress: a proxy is a host like any other.
func TestProxyEgress(t *testing.T) {
	declared := []input.Endpoint{{Host: "proxy.intern.example", CIDRs: []string{"10.9.9.9/32"}}}
	for _, test := range []struct {
		name, proxy string
		endpoints   []input.Endpoint
		want        Egress
	}{
		{name: "of unknown addresses", proxy: "http://proxy.intern.example:3128", want: Egress{To: ToAny, Host: "proxy.intern.example", Port: 3128}},
		{name: "of a declared address", proxy: "http://proxy.intern.example:3128", endpoints: declared,
			want: Egress{To: ToCIDR, Host: "proxy.intern.example", CIDRs: []string{"10.9.9.9/32"}, Port: 3128}},
		{name: "by its address", proxy: "http://10.9.9.9:3128", want: Egress{To: ToCIDR, Host: "10.9.9.9", CIDRs: []string{"10.9.9.9/32"}, Port: 3128}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := &builder{plan: &Plan{Network: Network{Engine: "kubernetes", Endpoints: test.endpoints}}, inst: input.Instance{State: &input.State{}}}
			b.inst.State.Network.HTTPProxy = test.proxy
			test.want.Purpose = "proxy"
			got := b.storage("app", "https://s3.example.org")
			if test.want.To == ToAny {
				if !slices.Contains(got.Except, "10.0.0.0/8") || !slices.Contains(got.Except, "169.254.0.0/16") {
					t.Errorf("except %s", got.Except)
				}
				got.Except = nil
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestOpensMetadata(t *testing.T) {
	for _, test := range []struct {
		cidr   string
		except []string
		want   string
	}{
		{cidr: "203.0.113.0/24"},
		{cidr: "10.0.0.0/8"},
		{cidr: "2001:db8::/32"},
		{cidr: "fd00::/32"},
		{cidr: "169.254.169.254/32", want: "169.254.169.254/32"},
		{cidr: "169.254.0.0/16", want: "169.254.0.0/16"},
		{cidr: "169.254.169.0/24", except: []string{"169.254.169.254/32"}, want: "169.254.169.0/24"},
		{cidr: "169.254.169.0/24", except: []string{"169.254.0.0/16"}},
		{cidr: "168.0.0.0/7", want: "169.254.0.0/16"},
		{cidr: "168.0.0.0/8", want: "168.63.129.16/32"},
		{cidr: "0.0.0.0/0", want: "169.254.0.0/16"},
		{cidr: "0.0.0.0/0", except: []string{"169.254.0.0/16"}, want: "168.63.129.16/32"},
		{cidr: "0.0.0.0/0", except: []string{"169.254.169.254/32", "168.63.129.16/32"}, want: "169.254.0.0/16"},
		{cidr: "0.0.0.0/0", except: []string{"10.0.0.0/8", "168.0.0.0/7"}},
		{cidr: "::/0", except: []string{"169.254.0.0/16"}, want: "fe80::/10"},
		{cidr: "::/0", except: []string{"fe80::/10", "::ffff:0:0/96"}, want: "fd00:ec2::254/128"},
		{cidr: "::/0", except: []string{"fe80::/10", "fc00::/7"}, want: "64:ff9b::a9fe:0/112"},
		{cidr: "::/0", except: []string{"fe80::/10", "fc00::/7", "64:ff9b::/96"}}, // the API server takes no mapped one
		{cidr: "::ffff:0:0/96", want: "::ffff:169.254.0.0/112"},
		{cidr: "::ffff:169.254.169.254/128", want: "::ffff:169.254.169.254/128"},
		{cidr: "fd00:ec2::/32", want: "fd00:ec2::254/128"},
		{cidr: "fe80::1/128", want: "fe80::1/128"},
	} {
		got, opens := OpensMetadata(netip.MustParsePrefix(test.cidr), prefixes(test.except...)...)
		if opens != (test.want != "") || opens && got.String() != test.want {
			t.Errorf("%s except %s: %s, %t; want %q", test.cidr, test.except, got, opens, test.want)
		}
	}
}

func TestEndpointTarget(t *testing.T) {
	for _, test := range []struct {
		endpoint string
		want     target
	}{
		{endpoint: "https://s3.example.org", want: target{host: "s3.example.org", port: 443}},
		{endpoint: "https://s3.example.org/path/", want: target{host: "s3.example.org", port: 443}},
		{endpoint: "http://minio", want: target{host: "minio", port: 80}},
		{endpoint: "http://minio.data.svc:9000", want: target{host: "minio.data.svc", port: 9000}},
		{endpoint: "https://[2001:db8::1]:9000", want: target{host: "2001:db8::1", port: 9000}},
	} {
		if got := endpointTarget(test.endpoint); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.endpoint, got, test.want)
		}
	}
}

func TestEgresses(t *testing.T) {
	api := Egress{To: ToAPIServer, Port: 6443}
	address := Egress{To: ToCIDR, Host: "198.51.100.4", CIDRs: []string{"198.51.100.4/32"}, Port: 5432}
	host := Egress{To: ToCIDR, Host: "db.example.org", CIDRs: []string{"203.0.113.7/32"}, Port: 5432}
	dns := Egress{Purpose: "names", To: ToDNS, Port: 53}
	for _, test := range []struct {
		name string
		list []Egress
		want []Egress
	}{
		{name: "nothing needs nothing"},
		{name: "addresses and the API server need no names", list: []Egress{api, address}, want: []Egress{api, address}},
		{name: "a host needs names", list: []Egress{api, host}, want: []Egress{dns, api, host}},
		{name: "each once", list: []Egress{host, host, api, api}, want: []Egress{dns, host, api}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := egresses(test.list); len(got)+len(test.want) > 0 && !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}
