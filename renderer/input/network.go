package input

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
