package plan

import (
	"reflect"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/input"
)

func TestEgress(t *testing.T) {
	network := func(engine string) Network {
		return Network{
			Engine:    engine,
			APICIDRs:  []string{"192.0.2.10/32"},
			APIPort:   6443,
			Cluster:   []string{"10.0.0.0/8"},
			Endpoints: []Endpoint{{Host: "db.example.org", CIDRs: []string{"203.0.113.7/32"}}},
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
			want: Egress{To: "apiserver", CIDRs: []string{"192.0.2.10/32"}, Port: 6443}},
		{name: "a bare name is of the caller's namespace", target: target{host: "cassandra", port: 9042},
			want: Egress{To: "namespace", Namespace: "app", Host: "cassandra", Port: 9042}},
		{name: "a Service's name", target: target{host: "db.data.svc.cluster.local", port: 1},
			want: Egress{To: "namespace", Namespace: "data", Host: "db.data.svc.cluster.local", Port: 1}},
		{name: "a Service's name with the root's dot", target: target{host: "db.data.svc.cluster.local.", port: 1},
			want: Egress{To: "namespace", Namespace: "data", Host: "db.data.svc.cluster.local.", Port: 1}},
		{name: "a Service's name without the domain", target: target{host: "db.data.svc", port: 1},
			want: Egress{To: "namespace", Namespace: "data", Host: "db.data.svc", Port: 1}},
		{name: "a pod's name below its Service", target: target{host: "db-0.db.data.svc.cluster.local", port: 1},
			want: Egress{To: "namespace", Namespace: "data", Host: "db-0.db.data.svc.cluster.local", Port: 1}},
		{name: "a domain of the cluster's own", domain: "k8s.example", target: target{host: "db.data.svc.k8s.example", port: 1},
			want: Egress{To: "namespace", Namespace: "data", Host: "db.data.svc.k8s.example", Port: 1}},
		{name: "another cluster's Service is outside", domain: "k8s.example", target: target{host: "db.data.svc.cluster.local", port: 1},
			want: Egress{To: "any", Except: []string{"10.0.0.0/8"}, Host: "db.data.svc.cluster.local", Port: 1}},
		{name: "an outside host of known addresses", target: target{host: "db.example.org", port: 5432},
			want: Egress{To: "cidr", CIDRs: []string{"203.0.113.7/32"}, Host: "db.example.org", Port: 5432}},
		{name: "an outside host of unknown addresses", target: target{host: "s3.example.org", port: 443},
			want: Egress{To: "any", Except: []string{"10.0.0.0/8"}, Host: "s3.example.org", Port: 443}},
		{name: "an address", target: target{host: "198.51.100.4", port: 5432},
			want: Egress{To: "cidr", CIDRs: []string{"198.51.100.4/32"}, Host: "198.51.100.4", Port: 5432}},
		{name: "an address of version 6", target: target{host: "2001:db8::1", port: 5432},
			want: Egress{To: "cidr", CIDRs: []string{"2001:db8::1/128"}, Host: "2001:db8::1", Port: 5432}},
		{name: "Cilium knows hosts by name", engine: "cilium", target: target{host: "db.example.org", port: 5432},
			want: Egress{To: "host", Host: "db.example.org", Port: 5432}},
		{name: "Cilium: a Service is in its namespace", engine: "cilium", target: target{host: "db", port: 5432},
			want: Egress{To: "namespace", Namespace: "app", Host: "db", Port: 5432}},
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
	api := Egress{To: "apiserver", Port: 6443}
	address := Egress{To: "cidr", Host: "198.51.100.4", CIDRs: []string{"198.51.100.4/32"}, Port: 5432}
	host := Egress{To: "cidr", Host: "db.example.org", CIDRs: []string{"203.0.113.7/32"}, Port: 5432}
	dns := Egress{Purpose: "names", To: "dns", Port: 53}
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
