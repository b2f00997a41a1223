package manifest

import (
	"maps"
	"slices"
	"strings"
)

// right is one line of what pods may do at the API server.
type right struct {
	group     string
	resources []string
	verbs     []string
	// cluster is for a ClusterRole, else the right is for one namespace.
	cluster bool
	// named demands resourceNames.
	named bool
	// restore is for Roles of a restore, which nobody has before he restores.
	restore bool
}

// rights are all that a tree may grant: what the built-in kinds need. A kind that
// needs more needs a line here, with its reason.
func rights() []right {
	all := []right{
		// A lock is held by its data; a ConfigMap that the state names is copied.
		{resources: []string{"configmaps"}, verbs: []string{"get", "patch"}, named: true},
		// The marker labels claims, the preflight looks whether they are there.
		{resources: []string{"persistentvolumeclaims"}, verbs: []string{"get", "patch"}, named: true},
		// The verifier holds what K8up says of its Backups, and the CronJobs that copy
		// buckets, against what is stored.
		{group: "k8up.io", resources: []string{"backups"}, verbs: []string{"list"}},
		{group: "batch", resources: []string{"cronjobs"}, verbs: []string{"get"}, named: true},
		// A dump by exec reads the very pod that it enters. Over websockets exec is a
		// GET for older API servers and a create for newer ones.
		{resources: []string{"pods"}, verbs: []string{"get"}, named: true},
		{resources: []string{"pods/exec"}, verbs: []string{"create", "get"}, named: true},
		// The lease of a cluster of servers says which pod leads.
		{group: "coordination.k8s.io", resources: []string{"leases"}, verbs: []string{"get"}, named: true},
		// A restore waits for the dump pods of its unit to end.
		{resources: []string{"pods"}, verbs: []string{"list"}, restore: true},
		// Secrets are copied as a list, and brought back one by one.
		{resources: []string{"secrets"}, verbs: []string{"list"}},
		{resources: []string{"secrets"}, verbs: []string{"get", "create", "patch"}, restore: true},
		// The preflight reads K8up's version off its Deployment, wherever that is.
		{group: "apps", resources: []string{"deployments"}, verbs: []string{"list"}, cluster: true, named: true},
	}
	// A namespace's manifests are listed, and brought back by server-side apply.
	for group, resources := range map[string][]string{
		"":                          {"configmaps", "limitranges", "persistentvolumeclaims", "resourcequotas", "serviceaccounts", "services"},
		"apps":                      {"daemonsets", "deployments", "statefulsets"},
		"autoscaling":               {"horizontalpodautoscalers"},
		"batch":                     {"cronjobs", "jobs"},
		"cert-manager.io":           {"certificates", "issuers"},
		"external-secrets.io":       {"externalsecrets", "secretstores"},
		"gateway.networking.k8s.io": {"httproutes"},
		"k8up.io":                   {"podconfigs", "prebackuppods", "schedules"},
		"networking.k8s.io":         {"ingresses", "networkpolicies"},
		"policy":                    {"poddisruptionbudgets"},
		"rbac.authorization.k8s.io": {"rolebindings", "roles"},
	} {
		all = append(all, exported(group, resources)...)
	}
	// What belongs to no namespace is listed, and compared by a restore; nothing of
	// it is written.
	for group, resources := range map[string][]string{
		"":                             {"namespaces", "nodes", "persistentvolumes"},
		"admissionregistration.k8s.io": {"mutatingwebhookconfigurations", "validatingwebhookconfigurations"},
		"apiextensions.k8s.io":         {"customresourcedefinitions"},
		"apiregistration.k8s.io":       {"apiservices"},
		"networking.k8s.io":            {"ingressclasses"},
		"rbac.authorization.k8s.io":    {"clusterrolebindings", "clusterroles"},
		"scheduling.k8s.io":            {"priorityclasses"},
		"storage.k8s.io":               {"csidrivers", "storageclasses"},
	} {
		all = append(all, right{group: group, resources: resources, verbs: []string{"list"}, cluster: true},
			right{group: group, resources: resources, verbs: []string{"get"}, cluster: true, restore: true})
	}
	return all
}

// exported are the rights to copy what is in a namespace and to bring it back.
func exported(group string, resources []string) []right {
	return []right{
		{group: group, resources: resources, verbs: []string{"list"}},
		{group: group, resources: resources, verbs: []string{"get", "create", "patch"}, restore: true},
	}
}

// mayExport adds to the rights those to what the state exports beyond the built-in
// list. Whoever may create a pod has all that its namespace has, and the state has no
// word for that.
func (in *inspector) mayExport() []right {
	all := rights()
	for _, more := range in.plan.ExtraResources() {
		if group, resource, _ := strings.Cut(more, "/"); more != "/pods" && more != "/secrets" {
			all = append(all, exported(group, []string{resource})...)
		}
	}
	return all
}

// allows reports whether the line has this right of a rule.
func (r right) allows(cluster, restore, named bool, group, resource, verb string) bool {
	return r.cluster == cluster && (restore || !r.restore) && (named || !r.named) &&
		r.group == group && slices.Contains(r.resources, resource) && slices.Contains(r.verbs, verb)
}

// words are the texts of a list.
func words(values []any) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i], _ = v.(string)
	}
	return all
}

// ofRestore reports whether an object is one of a restore, which is applied by whoever
// restores and by nobody else.
func (in *inspector) ofRestore(o Object) bool {
	return strings.HasPrefix(o.Path, in.plan.Instance+"/restore/")
}

// role refuses rights that no backup and no restore needs.
func (in *inspector) role(o Object) {
	cluster, restore := o.Kind() == "ClusterRole", in.ofRestore(o)
	if o.Value["aggregationRule"] != nil {
		in.add(o, "HF421", "", "by its aggregationRule it has whatever rights others have")
	}
	for name := range labels(o.Value, "metadata", "labels") {
		if strings.HasPrefix(name, "rbac.authorization.k8s.io/aggregate-to-") {
			in.add(o, "HF421", "", "by the label %s its rights become others', too", name)
		}
	}
	if cluster && slices.Contains([]string{"cluster-admin", "admin", "edit", "view"}, o.Name()) {
		in.add(o, "HF421", "", "the name is that of a role of Kubernetes' own")
	}
	refused := map[string]bool{}
	for _, rule := range list(o.Value, "rules") {
		plain := true
		for _, field := range []string{"apiGroups", "resources", "verbs"} {
			values := list(rule, field)
			if len(values) == 0 || slices.Contains(values, any("*")) {
				in.add(o, "HF421", "", "%s must name what it grants, one by one", field)
				plain = false
			}
		}
		for _, verb := range []string{"bind", "escalate", "impersonate"} {
			if slices.Contains(list(rule, "verbs"), any(verb)) {
				in.add(o, "HF421", "", "who may %s gives himself every right", verb)
				plain = false
			}
		}
		if at(rule, "nonResourceURLs") != nil {
			in.add(o, "HF421", "", "nonResourceURLs are of no use to a backup")
		}
		if !plain {
			continue
		}
		named := len(list(rule, "resourceNames")) > 0
		for _, group := range words(list(rule, "apiGroups")) {
			for _, resource := range words(list(rule, "resources")) {
				for _, verb := range words(list(rule, "verbs")) {
					if !slices.ContainsFunc(in.rights, func(r right) bool { return r.allows(cluster, restore, named, group, resource, verb) }) {
						refused[grant(group, resource, verb)+where(cluster, named)] = true
					}
				}
			}
		}
	}
	for _, what := range slices.Sorted(maps.Keys(refused)) {
		in.add(o, "HF421", "templates/kinds/README.md lists the rights that there are", "no backup needs the right to %s", what)
	}
}

// grant says a right in words: "create pods/exec", "list deployments.apps".
func grant(group, resource, verb string) string {
	if group != "" {
		resource += "." + group
	}
	return verb + " " + resource
}

func where(cluster, named bool) string {
	switch {
	case cluster && named:
		return " of some names in the whole cluster"
	case cluster:
		return " in the whole cluster"
	case named:
		return " of some names"
	}
	return " of any name"
}

// binding checks that a binding's two ends exist, and that it hands a restore's rights
// to nobody else.
func (in *inspector) binding(o Object) {
	kind := text(o.Value, "roleRef", "kind")
	id := kind + "/" + text(o.Value, "roleRef", "name")
	if kind == "Role" {
		id = kind + "/" + o.Namespace() + "/" + text(o.Value, "roleRef", "name")
	}
	role, found := in.byID[id]
	if kind != "Role" && kind != "ClusterRole" || !found || text(o.Value, "roleRef", "apiGroup") != groupOf(role.APIVersion()) {
		in.add(o, "HF406", "", "roleRef names %s, which nobody makes", id)
	}
	restore := in.ofRestore(role)
	if restore && !in.ofRestore(o) {
		in.add(o, "HF421", "", "it gives away the rights of a restore, %s, before anybody restores", id)
	}
	for _, subject := range list(o.Value, "subjects") {
		id := text(subject, "kind") + "/" + text(subject, "namespace") + "/" + text(subject, "name")
		account, found := in.byID[id]
		switch {
		case text(subject, "kind") != "ServiceAccount" || text(subject, "apiGroup") != "" || !found:
			in.add(o, "HF406", "", "subject %s is made by nobody", id)
		case restore && !in.ofRestore(account):
			in.add(o, "HF421", "", "it gives the rights of a restore to %s", id)
		}
	}
}
