package plan

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// CheckFleet proves that instances of one run do not reach each other: they share no
// repository, copy, password, object name or namespace.
func CheckFleet(plans []*Plan) problem.List {
	var problems problem.List
	// taken maps what must be an instance's own to the instance that has it.
	taken := map[string]string{}
	claim := func(p *Plan, rule, what, detail, value, hint string) {
		if value == "" {
			return
		}
		key := what + "\x00" + value
		if other, found := taken[key]; found && other != p.Instance {
			problems = append(problems, problem.Problem{
				File:    p.inputs.instance.Credentials.Tree.Name,
				Pointer: "instance " + p.Instance,
				Message: "shares its " + what + detail + " with instance " + other,
				Hint:    hint,
				Rule:    rule,
			})
			return
		}
		taken[key] = p.Instance
	}
	for _, p := range plans {
		if !p.Enabled {
			continue
		}
		credentials := p.inputs.instance.Credentials
		if r := credentials.Restic; r != nil {
			claim(p, "HF305", "restic password", "", r.Password, "who knows one instance's password could read the other's copies")
			claim(p, "HF305", "restic access key", "", r.AccessKeyID, "give each instance keys that reach its own bucket only")
		}
		if r := credentials.Rclone; r != nil {
			claim(p, "HF305", "crypt password", "", r.Crypt.Password, "who knows one instance's password could read the other's copies")
			claim(p, "HF305", "rclone access key", "", r.AccessKeyID, "give each instance keys that reach its own bucket only")
		}
		for _, s := range p.Secrets {
			for _, k := range s.Keys {
				if _, own := ownValues()[k.Field]; own {
					claim(p, "HF305", "entry", " of the external store for the "+ownValues()[k.Field], p.entry(k), "write {instance} into the key of externalSecrets, so that each instance has an entry of its own")
				}
			}
		}
		for _, i := range p.Units {
			claim(p, "HF306", "lock", " "+i.Lock, p.Cluster+"/"+i.Namespace+"/"+i.Lock, "instance ids must differ so that names do")
			claim(p, "HF306", "source", " "+i.ID, p.Source(i.Unit), "one source belongs to one instance")
		}
	}
	for _, p := range plans {
		for _, s := range p.Secrets {
			for _, k := range s.Keys {
				if _, own := ownValues()[k.Field]; !own && p.Enabled && taken["entry\x00"+p.entry(k)] != "" {
					claim(p, "HF305", "entry", " of the external store", p.entry(k), "its "+k.Field+" would be the other's: name an entry of its own in externalSecrets")
				}
			}
		}
	}
	problems = append(problems, overlaps(plans)...)
	problems = append(problems, sharedNamespaces(plans)...)
	return append(problems, takenSecrets(plans)...)
}

// entry is where an external store has a value; "" if it has not.
func (p *Plan) entry(k SecretKey) string {
	if k.Remote == nil || p.External == nil {
		return ""
	}
	return strings.Join([]string{p.External.StoreKind, p.External.StoreName, k.Remote.Key, k.Remote.Property}, "\x00")
}

// ownValues names the fields of credentials that must be an instance's own.
func ownValues() map[string]string {
	return map[string]string{
		"restic.password": "restic password", "restic.accessKeyId": "restic access key",
		"rclone.crypt.password": "crypt password", "rclone.accessKeyId": "rclone access key",
	}
}

// Source is what a unit reads, in terms that are the same for all instances: a
// bare Service name means another server in each namespace, a claim another one
// in each cluster, and what is read by exec is in a pod of the unit's namespace,
// whatever it is called; but an outside address is one server for all. It is empty where
// the unit does not say it.
func (p *Plan) Source(u kind.Unit) string {
	if u.Capture == nil || u.Capture.Source == "" {
		return ""
	}
	if u.Capture.How == kind.Exec {
		return p.Cluster + "/" + u.Namespace + "/" + u.Capture.Source
	}
	for _, c := range u.Connects {
		if c.Host == apiServer {
			continue
		}
		namespace, inside := serviceNamespace(c.Host, u.Namespace, p.inputs.instance.State.Cluster.ClusterDomain)
		if !inside {
			return u.Capture.Source
		}
		return p.Cluster + "/" + namespace + "/" + u.Capture.Source
	}
	return p.Cluster + "/" + u.Capture.Source
}

// place is a folder of a bucket that one instance writes to.
type place struct {
	path, what string
	plan       *Plan
}

// overlaps finds folders of one instance that are, or lie in, those of another:
// what prunes or mirrors the outer one deletes the inner one.
func overlaps(plans []*Plan) problem.List {
	var places []place
	add := func(p *Plan, what, endpoint, path string) {
		places = append(places, place{plan: p, what: what, path: strings.TrimSuffix(strings.ToLower(endpoint), "/") + "/" + path + "/"})
	}
	for _, p := range plans {
		for _, id := range slices.Sorted(maps.Keys(p.Repositories)) {
			add(p, "repository", p.Repositories[id].Endpoint, p.Repositories[id].Bucket)
		}
		for _, i := range p.Units {
			if i.Copy != nil {
				add(p, "copy", i.Copy.Endpoint, i.Copy.Path)
			}
		}
	}
	slices.SortStableFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.plan.Instance, b.plan.Instance))
	})
	var problems problem.List
	var around []place // in this order, each lies in the one before
	for _, inner := range places {
		for len(around) > 0 && !strings.HasPrefix(inner.path, around[len(around)-1].path) {
			around = around[:len(around)-1]
		}
		for _, outer := range around {
			if outer.plan != inner.plan {
				problems = append(problems, problem.Problem{
					File:    inner.plan.inputs.instance.Credentials.Tree.Name,
					Pointer: "instance " + inner.plan.Instance,
					Message: "its " + inner.what + " lies in a " + outer.what + " of instance " + outer.plan.Instance,
					Hint:    "give each instance a bucket or a prefix of its own: what cleans up the one would delete the other",
					Rule:    "HF304",
				})
			}
		}
		around = append(around, inner)
	}
	return problems
}
