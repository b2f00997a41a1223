package cluster

import (
	"reflect"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

const (
	watch = `{"metadata":{"uid":"1","name":"dump","namespace":"app","labels":{"unit":"pg"},"creationTimestamp":"2026-01-01T00:00:00Z"},"status":{"podIP":"10.244.0.5"}}
{"metadata":{"uid":"2","name":"db","namespace":"data","labels":{"app":"db"},"creationTimestamp":"2026-01-01T00:00:00Z"},"status":{"podIP":"10.244.0.6"}}
{"metadata":{"uid":"3","name":"other","namespace":"app","labels":{"unit":"none"},"creationTimestamp":"2026-01-01T00:10:00Z"},"status":{"podIP":"10.244.0.5"}}
{"metadata":{"uid":"4","name":"half"`
	rules = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: pg, namespace: app}
spec:
  podSelector: {matchLabels: {unit: pg}}
  policyTypes: [Ingress, Egress]
  egress:
  - ports: [{port: 5432, protocol: TCP}]
    to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: data}}}]
  - ports: [{port: 6443, protocol: TCP}]
    to: [{ipBlock: {cidr: 10.200.0.10/32}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: lock, namespace: app}
rules:
- {apiGroups: [""], resources: [configmaps], resourceNames: [a.lock], verbs: [get, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: lock, namespace: app}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: lock}
subjects: [{kind: ServiceAccount, name: keeper, namespace: app}]
`
)

// made is a line of conntrack's: a connection through a Service, 10 s after the
// first pods.
func made(second, from, to, port string) string {
	return "[" + second + ".000100]\t    [NEW] tcp      6 120 SYN_SENT src=" + from + " dst=10.96.0.9 sport=4000 dport=1 [UNREPLIED] src=" + to + " dst=" + from + " sport=" + port + " dport=4000\n"
}

func TestEgressIsHeldAgainstPolicies(t *testing.T) {
	objects, err := yaml.Decode([]byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	// 2026-01-01T00:00:10Z and ten minutes later.
	const early, late = "1767225610", "1767226210"
	database, api := made(early, "10.244.0.5", "10.244.0.6", "5432"), made(early, "10.244.0.5", "10.200.0.10", "6443")
	for _, c := range []struct {
		name, events   string
		denied, unused []string
	}{
		{"all of it", database + api, nil, nil},
		{"one is not used", database, nil, []string{"NetworkPolicy app/pg to 10.200.0.10/32 TCP 6443: no pod of it connected there"}},
		{"another port", database + api + made(early, "10.244.0.5", "10.244.0.6", "5433"), []string{"app/dump connected to TCP 10.244.0.6:5433"}, nil},
		{"another place", database + api + made(early, "10.244.0.5", "10.244.0.7", "5432"), []string{"app/dump connected to TCP 10.244.0.7:5432"}, nil},
		// The address is another pod's by then, which no policy selects.
		{"a pod that came later", database + api + made(late, "10.244.0.5", "10.244.0.7", "80"), nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			connections, err := readConnections(strings.NewReader(c.events))
			if err != nil {
				t.Fatal(err)
			}
			denied, unused, err := compareEgress(objects, readPods(strings.NewReader(watch)), connections)
			if err != nil || !reflect.DeepEqual(denied, c.denied) || !reflect.DeepEqual(unused, c.unused) {
				t.Errorf("denied %q, unused %q, %v", denied, unused, err)
			}
		})
	}
	_, unused, err := compareEgress(objects, nil, nil)
	if err != nil || len(unused) != 2 || !strings.HasSuffix(unused[0], "no pod of it ran") {
		t.Errorf("without pods: %q, %v", unused, err)
	}
}

func TestRightsAreHeldAgainstRoles(t *testing.T) {
	objects, err := yaml.Decode([]byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	asked := func(user, verb, name, code string) string {
		return `{"verb":"` + verb + `","user":{"username":"` + user + `"},"objectRef":{"resource":"configmaps","namespace":"app","name":"` + name + `"},"responseStatus":{"code":` + code + `}}` + "\n"
	}
	const keeper = "system:serviceaccount:app:keeper"
	for _, c := range []struct {
		name, audit    string
		denied, unused []string
	}{
		{"all of it", asked(keeper, "get", "a.lock", "200") + asked(keeper, "patch", "a.lock", "422"), nil, nil},
		{"one is not used", asked(keeper, "get", "a.lock", "200"), nil, []string{"Role of app:keeper: patch configmaps a.lock in app"}},
		{"another's use does not count", asked(keeper, "get", "a.lock", "200") + asked("system:serviceaccount:app:else", "patch", "a.lock", "200"), nil, []string{"Role of app:keeper: patch configmaps a.lock in app"}},
		{"refused", asked(keeper, "get", "a.lock", "200") + asked(keeper, "patch", "a.lock", "200") + asked(keeper, "get", "b.lock", "403"), []string{`app:keeper was refused: get configmaps b.lock in "app"`}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			denied, unused, err := compareRights(objects, strings.NewReader(c.audit))
			if err != nil || !reflect.DeepEqual(denied, c.denied) || !reflect.DeepEqual(unused, c.unused) {
				t.Errorf("denied %q, unused %q, %v", denied, unused, err)
			}
		})
	}
}
