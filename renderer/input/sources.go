package input

import (
	"fmt"
	"slices"
	"strconv"
)

// checkSources finds values that are right by themselves and together would do
// nothing, or the wrong thing.
func checkSources(r *report, s *checked) {
	checkNetwork(r, s)
	each(s, func(pointer string, server map[string]any) {
		expected, _ := server["expectDatabases"].([]any)
		if server["discover"] == false && server["backup"] != "skip" && len(expected) == 0 {
			r.add(s.problem("HF039", pointer+"/discover", "false, and expectDatabases is empty: nothing would be dumped",
				"list the schemas in expectDatabases, or let all be found with true"), s)
		}
	}, "databases", "mariadb")
	servers, _ := s.lookup("databases", "postgresql").([]any)
	for i := range servers {
		each(s, func(pointer string, database map[string]any) {
			owner, named := database["owner"].(string)
			login, known := database["username"].(string)
			if database["contentPolicy"] == "may-be-unreadable-by-shared-role" && named && known && owner != login && database["backup"] != "skip" {
				r.add(s.problem("HF042", pointer+"/contentPolicy",
					fmt.Sprintf("the dump logs in as %s, who may not read all that %s owns", quoted(login), quoted(owner)),
					"give username and passwordRef of the owner, or say normal"), s)
			}
		}, "databases", "postgresql", strconv.Itoa(i), "databases")
	}
	each(s, func(pointer string, volume map[string]any) {
		modes, _ := volume["accessModes"].([]any)
		if at := slices.Index(modes, any("ReadWriteOncePod")); at >= 0 && volume["backup"] != "skip" {
			r.add(s.problem("HF038", pointer+"/accessModes/"+strconv.Itoa(at), "no second pod can mount a ReadWriteOncePod claim, so K8up's could not read it",
				"make it ReadWriteOnce, or skip it with a reason"), s)
		}
	}, "volumes")
}

// each visits the objects of a list.
func each(d *checked, visit func(pointer string, entry map[string]any), tokens ...string) {
	list, _ := d.lookup(tokens...).([]any)
	for i, entry := range list {
		if object, ok := entry.(map[string]any); ok {
			visit(joined(tokens)+"/"+strconv.Itoa(i), object)
		}
	}
}

// checkNetwork is HF036, HF037 and HF043.
func checkNetwork(r *report, s *checked) {
	network, _ := s.lookup("network").(map[string]any)
	if network["policyEngine"] == "none" {
		for _, key := range []string{"defaultDenyEgress", "defaultDenyIngress"} {
			if network[key] == true {
				r.add(s.problem("HF037", "/network/"+key, "true, but without policies (policyEngine none) nothing would let the backup's pods through",
					"name the engine that enforces policies, or say false"), s)
			}
		}
	}
	if network["otterizeIntents"] == true && network["defaultDenyIngress"] != true {
		r.add(s.problem("HF036", "/network/otterizeIntents", "true without defaultDenyIngress: pods that Otterize closes would shut dump pods out",
			"where namespaces deny ingress by default, say defaultDenyIngress true; elsewhere name the dump pods in your ClientIntents and say false here"), s)
	}
	proxy, _ := network["httpProxy"].(string)
	if proxy == "" {
		return
	}
	if ranges, _ := network["clusterCidrs"].([]any); len(ranges) == 0 {
		r.add(s.problem("HF043", "/network/httpProxy", "a proxy, but not clusterCidrs: calls of the API server would go to the proxy",
			"add clusterCidrs: the ranges of pods and Services"), s)
	}
}
