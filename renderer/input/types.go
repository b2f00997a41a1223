package input

import (
	"maps"
	"slices"
	"strings"
)

// Instance is what is known about one instance: its documents, after all checks of
// package input.
type Instance struct {
	State       *State
	Credentials *Credentials
	// Policy is nil if there is no policy document.
	Policy *Policy
}

// State is a runtime-state document: what the instance is. The sections that
// only kinds read (databases, volumes and so on) are in Tree.
type State struct {
	// Tree is the whole document.
	Tree *Tree
	// InstanceID names the instance; at most 16 characters, a DNS label.
	InstanceID string
	// Namespace is the application's, a DNS label.
	Namespace string
	// Namespaces are the instance's namespaces by part ("application",
	// "mariadb", "k8up", …). It may be nil.
	Namespaces map[string]string
	// Release is openDesk's, such as "v1.13.1"; may be empty.
	Release string
	// Edition is "enterprise", "community" or empty.
	Edition string
	// Domain is the instance's DNS domain; may be empty.
	Domain string
	// Stage, CustomerID and Environment are for labels only; may be empty.
	Stage       string
	CustomerID  string
	Environment string
	// GeneratedAt is when the document was made, in RFC 3339; may be empty.
	GeneratedAt string
	Cluster     Cluster
	Network     Network
	Kubernetes  Kubernetes
	// Backup is the backup block; nil if the document has none.
	Backup *Settings
	// Others are what lives in the instance and has no section of its own.
	Others []Other
	// Consistency are groups of units that are only worth something together.
	Consistency []Group
	// Ignored are the foreign top-level keys, sorted.
	Ignored []string
	// Coverable are JSON pointers to all places that a backup must cover, in
	// the order of the document.
	Coverable []string
}

// Root returns the document without its foreign keys, which no kind may read.
func (s *State) Root() map[string]any {
	root, _ := s.Tree.Root.(map[string]any)
	if len(s.Ignored) == 0 {
		return root
	}
	root = maps.Clone(root)
	for _, key := range s.Ignored {
		delete(root, key)
	}
	return root
}

// Made returns when the document was made, in seconds since 1970, and whether it says
// so. It is used instead of a clock, with which the same inputs would give different
// outputs.
func (s *State) Made() (seconds int64, known bool) {
	return Instant(s.GeneratedAt)
}

// Instant returns a time in RFC 3339 as seconds since 1970.
func Instant(text string) (seconds int64, known bool) {
	epoch, _ := instant("1970-01-01T00:00:00Z")
	seconds, known = instant(text)
	return seconds - epoch, known
}

// Kubernetes is what is exported from the Kubernetes API.
type Kubernetes struct {
	ExportSecrets       bool `json:"exportSecrets"`
	ExportNamespaceYAML bool `json:"exportNamespaceYaml"`
	// ExemptNamespaces are those of sources that are not exported.
	ExemptNamespaces []ExemptNamespace `json:"exemptNamespaces"`
}

// ExemptNamespace is a namespace that is not exported, and why.
type ExemptNamespace struct {
	Namespace string `json:"namespace"`
	// Reason is a sentence.
	Reason string `json:"reason"`
}

// Cluster is what the instance runs on.
type Cluster struct {
	// Name is unique for the organisation.
	Name string `json:"name"`
	// Provider, ProjectID and Region are the provider's words; may be empty.
	Provider  string `json:"provider"`
	ProjectID string `json:"projectId"`
	Region    string `json:"region"`
	// KubernetesVersion is such as "1.32.5"; may be empty.
	KubernetesVersion string `json:"kubernetesVersion"`
	// K8upVersion is such as "2.15.0"; may be empty.
	K8upVersion string `json:"k8upVersion"`
	// K8upDeployment is the name of the operator's Deployment; empty means k8up.
	K8upDeployment string `json:"k8upDeployment"`
	// ClusterDomain is the DNS domain of Services; empty means cluster.local.
	ClusterDomain string `json:"clusterDomain"`
	// Kubeconfig is a path relative to the document's folder; may be empty.
	Kubeconfig string `json:"kubeconfig"`
	// ManagedControlPlane says that the provider runs and backs up the control
	// plane. Without it, Etcd says what becomes of etcd.
	ManagedControlPlane bool  `json:"managedControlPlane"`
	Etcd                *Etcd `json:"etcd"`
	// EgressCIDRs are the addresses from which the cluster's traffic leaves.
	EgressCIDRs []string `json:"egressCidrs"`
	// StorageClasses are by access mode.
	StorageClasses StorageClasses `json:"storageClasses"`
	// VolumeSnapshotClass is empty if there is none.
	VolumeSnapshotClass string `json:"volumeSnapshotClass"`
}

// Etcd is the declared exemption of etcd from the backup.
type Etcd struct {
	// Backup is always Skip.
	Backup Need `json:"backup"`
	// Reason is a sentence.
	Reason string `json:"reason"`
}

// StorageClasses are names of storage classes, empty if there is none.
type StorageClasses struct {
	// RWO is for ReadWriteOnce claims.
	RWO string `json:"rwo"`
	// RWX is for ReadWriteMany claims.
	RWX string `json:"rwx"`
}

// Network is what network policies need to know.
type Network struct {
	// PolicyEngine is "kubernetes", "cilium" or "none".
	PolicyEngine string `json:"policyEngine"`
	// Reason says why the engine is none; empty for another engine.
	Reason string `json:"reason"`
	// DefaultDenyEgress and DefaultDenyIngress say whether the instance's namespaces
	// deny by default.
	DefaultDenyEgress  bool `json:"defaultDenyEgress"`
	DefaultDenyIngress bool `json:"defaultDenyIngress"`
	// OtterizeIntents says that Otterize manages the applications' policies.
	OtterizeIntents bool `json:"otterizeIntents"`
	// HTTPProxy is a URL; empty if there is none.
	HTTPProxy string `json:"httpProxy"`
	// APIServer is where the API server really listens; never nil if the
	// engine is kubernetes.
	APIServer *APIServer `json:"apiServer"`
	// ClusterCIDRs are the ranges of pods and Services.
	ClusterCIDRs []string `json:"clusterCidrs"`
	// DNS is nil for k8s-app=kube-dns in kube-system.
	DNS *DNS `json:"dns"`
	// Endpoints are addresses of external hosts.
	Endpoints []Endpoint `json:"endpoints"`
}

// APIServer is the API server's endpoints, not its Service.
type APIServer struct {
	// CIDRs are address ranges, one at least.
	CIDRs []string `json:"cidrs"`
	// Port is a TCP port.
	Port int `json:"port"`
}

// Other is something that no built-in kind knows: a kind of the user's backs it
// up, or it is skipped.
type Other struct {
	Key string `json:"key"`
	// Product is such as "Redis".
	Product string `json:"product"`
	// Backup is what becomes of it; Skip has a Reason.
	Backup Need   `json:"backup"`
	Reason string `json:"reason"`
}

// Policy is the policy document: what the platform's owner decides for all instances.
type Policy struct {
	// Tree is the whole document.
	Tree *Tree
	Settings
	// Retired are sources that are gone for good, in the order of the document.
	Retired []Retired
	// Exempt is what lives beside all instances and needs no backup.
	Exempt []Exempt
	// ServiceAccountName is the account as which Flux applies an instance's tree; empty
	// for Flux' own. {instance} in it stands for the instance's id.
	ServiceAccountName string
	// Namespace is the namespace that each instance must have; empty if its state may
	// name any. {instance} in it stands for the instance's id.
	Namespace string
	// The name of each image must begin with one of ImagePrefixes; without any, it may
	// be any name. Each prefix ends with a slash.
	ImagePrefixes []string
	// Namespaces are those that the policy lets instances have beside their own.
	Namespaces []Grant
}

// Grant lets instances have units in a namespace. If it names several, they share it.
type Grant struct {
	// Namespace is a DNS label.
	Namespace string `json:"namespace"`
	// Instances are ids, at least one.
	Instances []string `json:"instances"`
	// Reason is a sentence.
	Reason string `json:"reason"`
}

// Retired is a tombstone: it says that a source is gone on purpose.
type Retired struct {
	// Instance is the id of the instance that had the source; empty means every
	// instance.
	Instance string `json:"instance"`
	// Unit is the source's id: kind/key.
	Unit string `json:"unit"`
	// Reason is a sentence.
	Reason string `json:"reason"`
	// Until is the last day on which it counts, as YYYY-MM-DD; empty for ever.
	Until string `json:"until"`
}

// Settings are what the policy and a state's backup block may set. What a
// document leaves out has its zero value.
type Settings struct {
	// Enabled and Reason stand in a state's backup block only: whether the
	// instance is backed up at all, and if not, why.
	Enabled bool   `json:"enabled"`
	Reason  string `json:"reason"`
	// Timezone is the window's, as an IANA name.
	Timezone string `json:"timezone"`
	// Window is the time of day in which backups start.
	Window *Window `json:"window"`
	// Retention is how many snapshots are kept.
	Retention Retentions `json:"retention"`
	// Schedules are cron lines (five fields) by unit id or kind name.
	Schedules map[string]string `json:"schedules"`
	// Maintenance is when repositories are checked and pruned.
	Maintenance Maintenance `json:"maintenance"`
	// Deadlines are seconds by unit id, kind name, or a job that platform.json names, such as "check".
	Deadlines map[string]int64 `json:"deadlines"`
	// Images are references by "kind/name" or "platform/name".
	Images map[string]string `json:"images"`
	// RequireDigest refuses images without a digest; nil if not said.
	RequireDigest *bool `json:"requireDigest"`
	// Resources are by unit id, kind name or name of a platform job.
	Resources map[string]Resources `json:"resources"`
	// Scratch are Kubernetes quantities by unit id or kind name.
	Scratch map[string]string `json:"scratch"`
	// Sizes are those of copies, by unit id.
	Sizes map[string]Size `json:"sizes"`
	// ScratchClass is the storage class for scratch; empty for the nodes' disks.
	ScratchClass string `json:"scratchStorageClass"`
	// Losses are accepted, by unit id or kind name.
	Losses map[string][]Loss `json:"losses"`
	// Transfer is how buckets are copied.
	Transfer Transfer `json:"transfer"`
	// External is where values are kept outside of Git; nil if not said.
	External *External `json:"externalSecrets"`
	// Flux is nil if not said.
	Flux *Flux `json:"flux"`
}

// Retentions are how many snapshots of each source are kept.
type Retentions struct {
	// Default is nil if not said.
	Default *Retention `json:"default"`
	// Overrides are by unit id or kind name.
	Overrides map[string]Retention `json:"overrides"`
}

// Maintenance is two cron lines (five fields), empty if not said.
type Maintenance struct {
	Check string `json:"check"`
	Prune string `json:"prune"`
}

// Size is how large a copy is, in Kubernetes quantities of bytes.
type Size struct {
	Bytes string `json:"bytes"`
	// MonthlyGrowth is empty if not said.
	MonthlyGrowth string `json:"monthlyGrowth"`
}

// Loss accepts that something is missing from copies.
type Loss struct {
	// Name is one of the kind's losses.
	Name string `json:"loss"`
	// Items is a shell pattern without blanks; empty for every item.
	Items string `json:"items"`
	// Reason says why it need not come back.
	Reason string `json:"reason"`
}

// Transfer is how rclone copies; zero values are not said.
type Transfer struct {
	// Bandwidth is as rclone's --bwlimit takes it, bytes per second.
	Bandwidth string `json:"bandwidth"`
	// Transfers and Checkers are how many files at once.
	Transfers int `json:"transfers"`
	Checkers  int `json:"checkers"`
	// MaxDeletePercent is the share of objects that a run may delete, 1 to 100.
	MaxDeletePercent int `json:"maxDeletePercent"`
	// HistoryDays is how long deleted and replaced objects are kept, in days.
	HistoryDays int `json:"historyDays"`
}

// External is where the External Secrets Operator finds values.
type External struct {
	// Store is nil if not said.
	Store *SecretStore `json:"store"`
	// RefreshInterval is a Go duration; empty is not said.
	RefreshInterval string `json:"refreshInterval"`
	// Fields are by the field of the credentials: "restic.password".
	Fields map[string]Remote `json:"fields"`
}

// SecretStore names a store of the External Secrets Operator.
type SecretStore struct {
	// Kind is "SecretStore" or "ClusterSecretStore".
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// Flux is the Kustomization that applies the tree; empty is not said.
type Flux struct {
	Namespace string `json:"namespace"`
	// Interval is a Go duration.
	Interval string `json:"interval"`
	// Path is relative to the Git repository's root.
	Path       string      `json:"path"`
	SourceRef  *FluxSource `json:"sourceRef"`
	DependsOn  []Reference `json:"dependsOn"`
	Decryption *Decryption `json:"decryption"`
}

// FluxSource is a source of Flux.
type FluxSource struct {
	// Kind is "GitRepository", "OCIRepository" or "Bucket".
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Namespace is empty for the Kustomization's.
	Namespace string `json:"namespace"`
}

// Decryption is how Flux decrypts the tree's Secrets.
type Decryption struct {
	// Secret is the name of the Secret with the age identity.
	Secret string `json:"secret"`
}

// Credentials are a backup-credentials document: where backups go, and the
// secrets for it. Nothing of it belongs in a message or a template.
type Credentials struct {
	// Tree is the whole document.
	Tree *Tree
	// InstanceID is the same as the state's.
	InstanceID string
	// CreatedAt is in RFC 3339; may be empty.
	CreatedAt string
	// Rotation is nil if the document has none.
	Rotation *Rotation
	// Restic is where the repositories are; nil if the document has none.
	Restic *Restic
	// Rclone is where copies of buckets go; nil if the document has none.
	Rclone *Rclone
	// Git is for encryption in Git; nil if the document has none.
	Git *Git

	secrets []Secret
	// outside are the secret fields whose value is null: "restic.password".
	outside []string
}

// Secrets returns every secret value of the document, in its order, for checks
// that none of them is where it should not be.
func (c *Credentials) Secrets() []Secret { return c.secrets }

// Secret is one secret value of a document.
type Secret struct {
	// Pointer is its place, a JSON pointer (RFC 6901).
	Pointer string
	// Value is what nobody may see.
	Value string
}

// IsName reports whether the field is one of NameFields.
func (s Secret) IsName() bool {
	return slices.Contains(NameFields(), s.Pointer[strings.LastIndex(s.Pointer, "/")+1:])
}

// String does not show the value, so that a careless print does not either.
func (s Secret) String() string { return "the secret at " + s.Pointer }

// String does not show the secrets, so that a careless print does not either.
func (c *Credentials) String() string { return "credentials of " + c.InstanceID }

// GoString is String.
func (c *Credentials) GoString() string { return c.String() }

// Rotation is which generation of credentials a document holds.
type Rotation struct {
	// Generation counts from 1.
	Generation int `json:"generation"`
}

// Store is a folder in a bucket, and the keys to it.
type Store struct {
	// Endpoint is a URL, https:// unless PlainHTTP is set.
	Endpoint  string  `json:"endpoint"`
	PlainHTTP *Excuse `json:"plainHttp"`
	// Region may be empty.
	Region string `json:"region"`
	Bucket string `json:"bucket"`
	// Prefix is without "/" first or last; empty for the whole bucket.
	Prefix          string `json:"prefix"`
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	// ExpiresAt is when the keys stop to work, in RFC 3339; empty if never.
	ExpiresAt string `json:"expiresAt"`
	// CAPem are the endpoint's CA certificates; empty for a public CA.
	CAPem string `json:"caPem"`
}

// Excuse allows what would be refused without it.
type Excuse struct {
	// Reason is a sentence.
	Reason string `json:"reason"`
}

// Restic is where restic's repositories are.
type Restic struct {
	Store
	// Password is the repositories'.
	Password string `json:"password"`
}

// Rclone is where rclone's copies are.
type Rclone struct {
	Store
	// Provider is rclone's word, such as "Other"; may be empty.
	Provider string `json:"provider"`
	Crypt    Crypt  `json:"crypt"`
}

// Crypt is rclone's crypt remote.
type Crypt struct {
	Password string `json:"password"`
	// Password2 is the salt.
	Password2 string `json:"password2"`
	// PasswordsAre is "plain" or "obscured".
	PasswordsAre string `json:"passwordsAre"`
	// FilenameEncryption is "standard", "obfuscate" or "off".
	FilenameEncryption      string `json:"filenameEncryption"`
	DirectoryNameEncryption bool   `json:"directoryNameEncryption"`
	// PlainNames says why names are not encrypted; nil if they are.
	PlainNames *Excuse `json:"plainNames"`
	// FilenameEncoding is "base32", "base64", "base32768" or empty for base32.
	FilenameEncoding string `json:"filenameEncoding"`
	// Canary is nil if the document has none.
	Canary *Canary `json:"canary"`
}

// Canary is an object of known content.
type Canary struct {
	// Path is relative to the crypt remote.
	Path string `json:"path"`
	// SHA256 is the content's, as 64 hex digits.
	SHA256 string `json:"sha256"`
}

// Git is the encryption of what is committed to Git.
type Git struct {
	// Recipients are age public keys; may be empty.
	Recipients []string `json:"recipients"`
	// RenderKey is 32 bytes in base64; it makes encryption repeatable.
	RenderKey string `json:"renderKey"`
}
