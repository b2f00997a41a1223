package manifest

import "strings"

// Stage is the folder of an instance's tree that an object belongs to: Flux applies
// the one before the other.
type Stage string

// The stages that Flux applies. What is in none of them, such as a restore, is applied
// by whoever needs it.
const (
	// Repository is what others refer to, and what makes and tries the repository.
	Repository Stage = "repository"
	// Backup is what runs.
	Backup Stage = "backup"
)

// Kind is one kind of object that a tree may hold.
type Kind struct {
	APIVersion string
	Kind       string
	// Resource is the kind's name in paths and rights of the API: its plural.
	Resource string
	// ClusterWide says that its objects have no namespace.
	ClusterWide bool
	// Stage is where an object goes that an overlay brings along.
	Stage Stage
	// Pod is the path to the template of the pod that it causes; nil if it causes none.
	Pod []string
	// inspect checks what is special about the kind. What is asked of every object,
	// and of every pod, is asked anyway; nil asks no more.
	inspect func(*inspector, Object)
}

// Kinds are all that a tree may hold, in the order that they have in a file: what others
// refer to comes first. Anything else is refused (HF435), for nobody has looked at what
// it does. A new kind of object is one row here; tests then ask for its template, and for
// an oracle that knows it.
func Kinds() []Kind {
	return []Kind{
		{APIVersion: "v1", Kind: "ServiceAccount", Resource: "serviceaccounts", Stage: Repository},
		{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "Role", Resource: "roles", Stage: Repository, inspect: (*inspector).role},
		{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "RoleBinding", Resource: "rolebindings", Stage: Repository, inspect: (*inspector).binding},
		{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Resource: "clusterroles", ClusterWide: true, Stage: Repository, inspect: (*inspector).role},
		{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRoleBinding", Resource: "clusterrolebindings", ClusterWide: true, Stage: Repository, inspect: (*inspector).binding},
		{APIVersion: "v1", Kind: "ConfigMap", Resource: "configmaps", Stage: Repository, inspect: (*inspector).configMap},
		{APIVersion: "v1", Kind: "Secret", Resource: "secrets", Stage: Repository, inspect: (*inspector).secret},
		{APIVersion: "external-secrets.io/v1", Kind: "ExternalSecret", Resource: "externalsecrets", Stage: Repository, inspect: (*inspector).externalSecret},
		{APIVersion: "bitnami.com/v1alpha1", Kind: "SealedSecret", Resource: "sealedsecrets", Stage: Repository, inspect: (*inspector).sealedSecret},
		{APIVersion: "k8up.io/v1", Kind: "PodConfig", Resource: "podconfigs", Stage: Repository, Pod: []string{"spec", "template"}},
		{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy", Resource: "networkpolicies", Stage: Backup, inspect: (*inspector).networkPolicy},
		{APIVersion: "cilium.io/v2", Kind: "CiliumNetworkPolicy", Resource: "ciliumnetworkpolicies", Stage: Backup, inspect: (*inspector).networkPolicy},
		{APIVersion: "k8up.io/v1", Kind: "PreBackupPod", Resource: "prebackuppods", Stage: Backup, Pod: []string{"spec", "pod"}, inspect: (*inspector).preBackupPod},
		{APIVersion: "batch/v1", Kind: "Job", Resource: "jobs", Stage: Backup, Pod: []string{"spec", "template"}, inspect: (*inspector).job},
		{APIVersion: "batch/v1", Kind: "CronJob", Resource: "cronjobs", Stage: Backup, Pod: []string{"spec", "jobTemplate", "spec", "template"}, inspect: (*inspector).cronJob},
		{APIVersion: "k8up.io/v1", Kind: "Schedule", Resource: "schedules", Stage: Backup, inspect: (*inspector).schedule},
		{APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization", Resource: "kustomizations", Stage: Backup, inspect: (*inspector).kustomization},
	}
}

// Group is the API group; "" is Kubernetes' core.
func (k Kind) Group() string { return groupOf(k.APIVersion) }

// groupOf is the group of an apiVersion.
func groupOf(apiVersion string) string {
	group, _, found := strings.Cut(apiVersion, "/")
	if !found {
		return ""
	}
	return group
}

// table finds the row of an object.
type table struct {
	rows []Kind
	at   map[[2]string]int
}

func newTable() table {
	t := table{rows: Kinds(), at: map[[2]string]int{}}
	for i, k := range t.rows {
		t.at[[2]string{k.APIVersion, k.Kind}] = i
	}
	return t
}

// of is an object's row.
func (t table) of(o Object) (Kind, bool) {
	i, known := t.at[[2]string{o.APIVersion(), o.Kind()}]
	if !known {
		return Kind{}, false
	}
	return t.rows[i], true
}

// rank is where an object's row stands; behind all if there is none.
func (t table) rank(o Object) int {
	if i, known := t.at[[2]string{o.APIVersion(), o.Kind()}]; known {
		return i
	}
	return len(t.rows)
}

// KindOf is an object's row in Kinds.
func KindOf(o Object) (Kind, bool) { return newTable().of(o) }
