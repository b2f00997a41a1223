package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// A state says what an instance has, and may come from whoever runs it. It may not say
// which namespaces are the instance's: in somebody else's namespace a unit's pod could
// mount any Secret, and a Role could read them all.

// isOwn says whether a namespace is the instance's by its name: the application's, or
// that of its databases, which has "-db" at its end as in openDesk.
func (p *Plan) isOwn(namespace string) bool {
	return namespace == p.Namespace || namespace == p.Namespace+"-db"
}

// granted says whether the policy lets the instance have units in a namespace.
func (p *Plan) granted(namespace string) bool {
	policy := p.inputs.instance.Policy
	return policy != nil && slices.ContainsFunc(policy.Namespaces, func(g input.Grant) bool {
		return g.Namespace == namespace && slices.Contains(g.Instances, p.Instance)
	})
}

// grant is how a policy allows a namespace.
func grant(namespace string, instances ...string) string {
	return fmt.Sprintf(`"namespaces": [{"namespace": %q, "instances": ["%s"], "reason": "…"}]`, namespace, strings.Join(instances, `", "`))
}

// operators returns to whom a namespace belongs that no instance may have: Kubernetes,
// Flux or K8up; "" for any other namespace.
func (p *Plan) operators(namespace string) string {
	switch {
	case strings.HasPrefix(namespace, "kube-"):
		return "Kubernetes'"
	case namespace == p.Flux.Namespace, namespace == "flux-system", namespace == p.fluxOfPolicy():
		return "Flux'"
	case namespace == p.inputs.instance.State.Namespaces["k8up"], namespace == "k8up-system":
		return "K8up's"
	}
	return ""
}

// fluxOfPolicy is where Flux is by the policy: a state that names another does not move it.
func (p *Plan) fluxOfPolicy() string {
	if policy := p.inputs.instance.Policy; policy != nil && policy.Flux != nil {
		return policy.Flux.Namespace
	}
	return ""
}

// namespaces is HF312: units are in the instance's namespaces, or where the policy lets
// them be, and never in those of the operators.
func (c *checker) namespaces() {
	for _, i := range c.plan.Units {
		if whose := c.plan.operators(i.Namespace); whose != "" {
			c.problemAt(unitPlace(i.Unit), "HF312", "no instance has a source there: Secrets of that namespace open the cluster",
				"%s is in the namespace %q, which is %s", i.ID, i.Namespace, whose)
			continue
		}
		if !c.plan.isOwn(i.Namespace) && !c.plan.granted(i.Namespace) {
			c.problemAt(unitPlace(i.Unit), "HF312", "the policy, not the state, allows it: "+grant(i.Namespace, c.plan.Instance),
				"%s is in the namespace %q, which is none of the instance's: those are %q and %q", i.ID, i.Namespace, c.plan.Namespace, c.plan.Namespace+"-db")
		}
	}
}

// policyFirst is HF315: a state wins over the policy, but not where the policy says what
// a state may reach.
func (c *checker) policyFirst() {
	policy, state := c.plan.inputs.instance.Policy, c.plan.inputs.instance.State.Backup
	if policy == nil {
		return
	}
	if policy.External != nil && state.External != nil {
		c.problemAt("/backup/externalSecrets", "HF315", "take it out of the state", "where the external store has secrets is in the policy, and not for a state to change")
	}
	if policy.RequireDigest != nil && *policy.RequireDigest && state.RequireDigest != nil && !*state.RequireDigest {
		c.problemAt("/backup/requireDigest", "HF315", "take it out of the state", "the policy demands digests, and a state cannot do without")
	}
	if policy.Namespace != "" {
		c.policyNamespace(policy.Namespace)
	}
	if policy.Flux != nil && state.Flux != nil {
		c.policyFlux(policy.Flux, state.Flux)
	}
}

// policyNamespace compares the instance's namespace with the policy's pattern.
func (c *checker) policyNamespace(pattern string) {
	own, want := c.plan.Namespace, strings.ReplaceAll(pattern, "{instance}", c.plan.Instance)
	if own != want {
		c.problemAt("/namespace", "HF315", fmt.Sprintf("write %q, or change the policy", want), "by the policy's namespace this instance has the namespace %q, and not %q", want, own)
	}
	if whose, databases := strings.CutSuffix(own, "-db"); databases {
		c.problemAt("/namespace", "HF315", "give the instance another id, or the policy another pattern", "%q is the namespace of the databases of whoever has %q", own, whose)
	}
}

func (c *checker) policyFlux(policy, state *input.Flux) {
	closed := func(field string, isClosed bool) {
		if isClosed {
			c.problemAt("/backup/flux/"+field, "HF315", "take it out of the state", "what Flux applies, and with whose key, is in the policy, and not for a state to change")
		}
	}
	closed("namespace", policy.Namespace != "" && state.Namespace != "")
	closed("path", policy.Path != "" && state.Path != "")
	closed("sourceRef", policy.SourceRef != nil && state.SourceRef != nil)
	closed("decryption", policy.Decryption != nil && state.Decryption != nil)
}

// exportedApart is HF421: what no state may have exported beside the rest.
func (c *checker) exportedApart() {
	for n, resource := range c.plan.ExtraResources() {
		if resource == "/secrets" || resource == "/pods" {
			c.problemAt(fmt.Sprintf("/kubernetes/extraResources/%d", n), "HF421", "Secrets are exported by exportSecrets, and whoever restores pods has all that their namespace has",
				"%s is not exported beside the rest", strings.TrimPrefix(resource, "/"))
		}
	}
}

// sharedNamespaces is HF313: a namespace belongs to one instance of a cluster, unless the
// policy names all that share it.
func sharedNamespaces(plans []*Plan) problem.List {
	type place struct{ cluster, namespace string }
	users := map[place][]*Plan{}
	for _, p := range plans {
		for _, namespace := range p.Namespaces {
			at := place{p.Cluster, namespace}
			users[at] = append(users[at], p)
		}
	}
	var problems problem.List
	for _, at := range slices.SortedFunc(maps.Keys(users), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.cluster, b.cluster), cmp.Compare(a.namespace, b.namespace))
	}) {
		all := users[at]
		if len(all) == 1 || !slices.ContainsFunc(all, func(p *Plan) bool { return !p.granted(at.namespace) }) {
			continue
		}
		var ids []string
		for _, p := range all {
			ids = append(ids, p.Instance)
		}
		for _, p := range all[1:] {
			tree := p.inputs.instance.State.Tree
			problems = append(problems, problem.Problem{
				File:    tree.Name,
				Pointer: "instance " + p.Instance,
				Message: fmt.Sprintf("shares the namespace %q with instance %s", at.namespace, all[0].Instance),
				Hint:    "each could be given the other's Secrets; if that is meant, the policy says so: " + grant(at.namespace, ids...),
				Rule:    "HF313",
			})
		}
	}
	return problems
}

// takenSecrets is HF314: an instance may not take a password from a Secret that is made
// here for another instance, because such Secrets open repositories.
func takenSecrets(plans []*Plan) problem.List {
	type place struct{ cluster, namespace, name string }
	made := map[place]string{}
	for _, p := range plans {
		for _, s := range p.Secrets {
			made[place{p.Cluster, s.Namespace, s.Name}] = p.Instance
		}
	}
	var problems problem.List
	for _, p := range plans {
		for _, d := range p.Declared {
			whose, taken := made[place{p.Cluster, d.Namespace, d.Name}]
			if d.Kind != "Secret" || !taken || whose == p.Instance {
				continue // its own are HF428's
			}
			tree := p.inputs.instance.State.Tree
			problems = append(problems, problem.Problem{
				File:    tree.Name,
				Pointer: "instance " + p.Instance,
				Message: fmt.Sprintf("takes a password from the Secret %s/%s, which holds the backup credentials of instance %s", d.Namespace, d.Name, whose),
				Hint:    "name the Secret that the application or its database has",
				Rule:    "HF314",
			})
		}
	}
	return problems
}
