package cluster

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Pod is a pod that had an address for a while.
type Pod struct {
	Namespace, Name string
	Labels          map[string]string
	IP              netip.Addr
	First, Last     time.Time
}

// readPods reads all pods that ever had an address from what a watch wrote.
func readPods(watch io.Reader) []Pod {
	known := map[string]*Pod{}
	decoder := json.NewDecoder(watch)
	for {
		var value struct {
			Metadata struct {
				UID, Name, Namespace string
				Labels               map[string]string
				CreationTimestamp    time.Time
			}
			Spec   struct{ HostNetwork bool }
			Status struct{ PodIP string }
		}
		if decoder.Decode(&value) != nil {
			break // the end, or the half of what is being written
		}
		ip, err := netip.ParseAddr(value.Status.PodIP)
		if err != nil || value.Spec.HostNetwork {
			continue
		}
		known[value.Metadata.UID] = &Pod{Namespace: value.Metadata.Namespace, Name: value.Metadata.Name, Labels: value.Metadata.Labels, IP: ip, First: value.Metadata.CreationTimestamp}
	}
	// An address belongs to a pod until another has it.
	pods := slices.SortedFunc(maps.Values(known), func(a, b *Pod) int { return a.First.Compare(b.First) })
	result := make([]Pod, 0, len(pods))
	for i, p := range pods {
		for _, next := range pods[i+1:] {
			if next.IP == p.IP {
				p.Last = next.First
				break
			}
		}
		result = append(result, *p)
	}
	return result
}

// Connection is one that was made: denied ones never come about.
type Connection struct {
	At       time.Time
	Protocol string
	From, To netip.AddrPort // To is where it ended, behind any Service
}

var conntrackLine = regexp.MustCompile(`^\[(\d+)\.(\d+)\s*\]\s+\[NEW\] (tcp|udp) .*?src=(\S+) dst=\S+ sport=(\d+) dport=\d+ .*?src=(\S+) dst=\S+ sport=(\d+)`)

// readConnections reads conntrack's events.
func readConnections(events io.Reader) ([]Connection, error) {
	var list []Connection
	lines := bufio.NewScanner(events)
	for lines.Scan() {
		m := conntrackLine.FindStringSubmatch(strings.TrimSpace(lines.Text()))
		if m == nil {
			continue
		}
		seconds, _ := strconv.ParseInt(m[1], 10, 64)
		from, err1 := netip.ParseAddrPort(m[4] + ":" + m[5])
		to, err2 := netip.ParseAddrPort(m[6] + ":" + m[7])
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("conntrack: %s", lines.Text())
		}
		list = append(list, Connection{At: time.Unix(seconds, 0), Protocol: strings.ToUpper(m[3]), From: from, To: to})
	}
	return list, lines.Err()
}

// policy is what a rendered NetworkPolicy allows out.
type policy struct {
	namespace, name string
	selector        map[string]string
	rules           []egress
}

type egress struct {
	ports []port
	peers []peer
}

type port struct {
	protocol string
	number   uint16
}

type peer struct {
	namespace string
	labels    map[string]string
	block     netip.Prefix
}

// Privileges holds what an instance's pods did against what its manifests allow
// them, and returns what was done without being allowed, and what is allowed
// and was not done.
func (c *Cluster) Privileges(t *Tree) (denied, unused []string, err error) {
	objects, err := treeObjects(t)
	if err != nil {
		return nil, nil, err
	}
	open := func(name string) (*os.File, error) { return os.Open(filepath.Join(c.Control.Dir(), name)) }
	watch, err := open("kubectl.log")
	if err != nil {
		return nil, nil, err
	}
	defer watch.Close()
	events, err := open("conntrack.log")
	if err != nil {
		return nil, nil, err
	}
	defer events.Close()
	audit, err := open("audit.log")
	if err != nil {
		return nil, nil, err
	}
	defer audit.Close()
	connections, err := readConnections(events)
	if err != nil {
		return nil, nil, err
	}
	d1, u1, err := compareEgress(objects, readPods(watch), connections)
	if err != nil {
		return nil, nil, err
	}
	d2, u2, err := compareRights(objects, audit)
	return append(d1, d2...), append(u1, u2...), err
}

// treeObjects are all objects of a tree, restores too.
func treeObjects(t *Tree) ([]map[string]any, error) {
	var all []map[string]any
	err := filepath.WalkDir(t.Dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" || filepath.Base(path) == "kustomization.yaml" || filepath.Base(path) == "flux.yaml" {
			return err
		}
		objects, err := readObjects(path)
		all = append(all, objects...)
		return err
	})
	return all, err
}

// decode reads part of an object into a type.
func decode(value, into any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// compareEgress holds connections against NetworkPolicies.
func compareEgress(objects []map[string]any, pods []Pod, connections []Connection) (denied, unused []string, err error) {
	var policies []policy
	for _, o := range objects {
		if o["kind"] != "NetworkPolicy" {
			continue
		}
		p, err := readPolicy(o)
		if err != nil {
			return nil, nil, err
		}
		policies = append(policies, p)
	}
	used := map[string]bool{}
	ran := map[string]bool{}
	owner := func(address netip.Addr, at time.Time) *Pod {
		for i := len(pods) - 1; i >= 0; i-- {
			// Times of objects and of conntrack are whole seconds.
			if p := &pods[i]; p.IP == address && !at.Before(p.First.Add(-time.Second)) && (p.Last.IsZero() || !at.After(p.Last)) {
				return p
			}
		}
		return nil
	}
	for _, p := range policies {
		for i := range pods {
			if p.selects(&pods[i]) {
				ran[p.namespace+"/"+p.name] = true
			}
		}
	}
	for _, connection := range connections {
		from := owner(connection.From.Addr(), connection.At)
		if from == nil {
			continue
		}
		to := owner(connection.To.Addr(), connection.At)
		selected, allowed := false, false
		for _, p := range policies {
			if !p.selects(from) {
				continue
			}
			selected = true
			for i, rule := range p.rules {
				for _, q := range rule.ports {
					if q.protocol == connection.Protocol && q.number == connection.To.Port() && rule.reaches(connection.To.Addr(), to) {
						allowed = true
						used[p.key(i, q)] = true
					}
				}
			}
		}
		if selected && !allowed {
			denied = append(denied, fmt.Sprintf("%s/%s connected to %s %s", from.Namespace, from.Name, connection.Protocol, connection.To))
		}
	}
	for _, p := range policies {
		for i, rule := range p.rules {
			for _, q := range rule.ports {
				// DNS answers by UDP, and by TCP only what is too long for it.
				if q.protocol == "TCP" && q.number == 53 {
					continue
				}
				if !used[p.key(i, q)] {
					why := "no pod of it connected there"
					if !ran[p.namespace+"/"+p.name] {
						why = "no pod of it ran"
					}
					unused = append(unused, fmt.Sprintf("NetworkPolicy %s: %s", p.key(i, q), why))
				}
			}
		}
	}
	slices.Sort(denied)
	slices.Sort(unused)
	return slices.Compact(denied), slices.Compact(unused), nil
}

func readPolicy(o map[string]any) (policy, error) {
	var value struct {
		Metadata struct{ Namespace, Name string }
		Spec     struct {
			PodSelector struct{ MatchLabels map[string]string }
			PolicyTypes []string
			Egress      []struct {
				Ports []struct {
					Port     uint16
					Protocol string
				}
				To []struct {
					NamespaceSelector struct{ MatchLabels map[string]string }
					PodSelector       struct{ MatchLabels map[string]string }
					IPBlock           struct{ CIDR string }
				}
			}
		}
	}
	if err := decode(o, &value); err != nil {
		return policy{}, err
	}
	p := policy{namespace: value.Metadata.Namespace, name: value.Metadata.Name, selector: value.Spec.PodSelector.MatchLabels}
	if !slices.Contains(value.Spec.PolicyTypes, "Egress") {
		return p, nil
	}
	for _, e := range value.Spec.Egress {
		var rule egress
		for _, q := range e.Ports {
			rule.ports = append(rule.ports, port{q.Protocol, q.Port})
		}
		for _, to := range e.To {
			n := peer{namespace: to.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"], labels: to.PodSelector.MatchLabels}
			if to.IPBlock.CIDR != "" {
				block, err := netip.ParsePrefix(to.IPBlock.CIDR)
				if err != nil {
					return p, err
				}
				n.block = block
			}
			rule.peers = append(rule.peers, n)
		}
		p.rules = append(p.rules, rule)
	}
	return p, nil
}

func (p policy) key(rule int, q port) string {
	e := p.rules[rule]
	var to []string
	for _, n := range e.peers {
		if n.block.IsValid() {
			to = append(to, n.block.String())
		} else {
			to = append(to, n.namespace)
		}
	}
	return fmt.Sprintf("%s/%s to %s %s %d", p.namespace, p.name, strings.Join(to, ","), q.protocol, q.number)
}

func (p policy) selects(pod *Pod) bool {
	return len(p.selector) > 0 && pod.Namespace == p.namespace && subset(p.selector, pod.Labels)
}

func subset(of, in map[string]string) bool {
	for name, value := range of {
		if in[name] != value {
			return false
		}
	}
	return true
}

func (e egress) reaches(address netip.Addr, pod *Pod) bool {
	for _, n := range e.peers {
		if n.block.IsValid() {
			if n.block.Contains(address) {
				return true
			}
		} else if pod != nil && pod.Namespace == n.namespace && subset(n.labels, pod.Labels) {
			return true
		}
	}
	return false
}

// grant is one thing that a Role allows an account to do.
type grant struct{ account, namespace, verb, resource, name string }

func (g grant) String() string {
	where := g.namespace
	if where == "" {
		where = "the cluster"
	}
	name := g.name
	if name != "" {
		name = " " + name
	}
	return fmt.Sprintf("%s: %s %s%s in %s", g.account, g.verb, g.resource, name, where)
}

// compareRights holds what accounts asked the API server for, by its audit log,
// against what their Roles grant.
func compareRights(objects []map[string]any, audit io.Reader) (denied, unused []string, err error) {
	grants, accounts, err := readGrants(objects)
	if err != nil {
		return nil, nil, err
	}
	used := map[grant]bool{}
	decoder := json.NewDecoder(audit)
	for {
		var event struct {
			Verb string
			User struct{ Username string }
			// ObjectRef is absent for what is no object.
			ObjectRef *struct {
				Resource, Subresource, Namespace, Name, APIGroup string
			}
			ResponseStatus struct{ Code int }
		}
		if decoder.Decode(&event) != nil {
			break
		}
		account := strings.TrimPrefix(event.User.Username, "system:serviceaccount:")
		if !accounts[account] || event.ObjectRef == nil {
			continue
		}
		r := event.ObjectRef
		resource := r.Resource
		if r.Subresource != "" {
			resource += "/" + r.Subresource
		}
		if r.APIGroup != "" {
			resource += "." + r.APIGroup
		}
		if event.ResponseStatus.Code == 403 {
			denied = append(denied, fmt.Sprintf("%s was refused: %s %s %s in %q", account, event.Verb, resource, r.Name, r.Namespace))
			continue
		}
		for _, g := range grants {
			if g.account == account && (g.verb == event.Verb || g.verb == "*") && g.resource == resource && (g.name == "" || g.name == r.Name) && (g.namespace == "" || g.namespace == r.Namespace) {
				used[g] = true
			}
		}
	}
	for _, g := range grants {
		if !used[g] {
			unused = append(unused, "Role of "+g.String())
		}
	}
	slices.Sort(denied)
	slices.Sort(unused)
	return slices.Compact(denied), slices.Compact(unused), nil
}

// readGrants expands Roles, by their bindings, to single grants.
func readGrants(objects []map[string]any) ([]grant, map[string]bool, error) {
	type meta struct{ Namespace, Name string }
	type role struct {
		Metadata meta
		Rules    []struct{ APIGroups, Resources, ResourceNames, Verbs []string }
	}
	roles := map[string]role{}
	for _, o := range objects {
		if o["kind"] == "Role" || o["kind"] == "ClusterRole" {
			var r role
			if err := decode(o, &r); err != nil {
				return nil, nil, err
			}
			roles[fmt.Sprintf("%s %s/%s", o["kind"], r.Metadata.Namespace, r.Metadata.Name)] = r
		}
	}
	var grants []grant
	accounts := map[string]bool{}
	for _, o := range objects {
		if o["kind"] != "RoleBinding" && o["kind"] != "ClusterRoleBinding" {
			continue
		}
		var binding struct {
			Metadata meta
			RoleRef  struct{ Kind, Name string }
			Subjects []struct{ Namespace, Name string }
		}
		if err := decode(o, &binding); err != nil {
			return nil, nil, err
		}
		namespace := binding.Metadata.Namespace
		if binding.RoleRef.Kind == "ClusterRole" {
			namespace = ""
		}
		r, ok := roles[fmt.Sprintf("%s %s/%s", binding.RoleRef.Kind, namespace, binding.RoleRef.Name)]
		if !ok {
			continue // K8up's own
		}
		for _, subject := range binding.Subjects {
			account := subject.Namespace + ":" + subject.Name
			accounts[account] = true
			for _, rule := range r.Rules {
				for _, group := range rule.APIGroups {
					for _, resource := range rule.Resources {
						if group != "" {
							resource += "." + group
						}
						for _, verb := range rule.Verbs {
							for _, name := range append(slices.Clone(rule.ResourceNames), "")[:max(1, len(rule.ResourceNames))] {
								grants = append(grants, grant{account, binding.Metadata.Namespace, verb, resource, name})
							}
						}
					}
				}
			}
		}
	}
	return grants, accounts, nil
}
