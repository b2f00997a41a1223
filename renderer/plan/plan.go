package plan

import (
	"slices"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
)

// Plan is everything decided for one instance. It is what templates see and what
// explain reads. It never holds a secret's value. plan.json has what was decided; a field
// with plan:"-" follows from that and is left out there.
type Plan struct {
	// Version of the document's form; 1.
	SchemaVersion int `json:"schemaVersion"`
	// Id of the instance.
	Instance string `json:"instance"`
	// Prefix is what names of its objects begin with: its id, or a hash of it where names
	// could be those of another instance.
	Prefix string `json:"prefix"`
	// Name of the cluster.
	Cluster string `json:"cluster"`
	// Namespace of the application.
	Namespace string `json:"namespace"`
	// Enabled is false when the state opts out; then nothing else is set.
	Enabled bool `json:"enabled"`
	// Reason says why backup is off.
	Reason string `json:"reason,omitempty"`
	// TimeZone is the IANA name in which all schedules are written.
	TimeZone string `json:"timeZone,omitempty"`
	// Time of day in which backups start.
	Window input.Window `json:"window"`
	// Units is every source that is backed up, sorted by id.
	Units []Item `json:"units"`
	// Exemptions is every coverable place that is not backed up, and why.
	Exemptions []Exemption `json:"exemptions"`
	// Groups are units that belong together; each is taken in its order, in the
	// same night.
	Groups []input.Group `json:"groups,omitempty"`
	// Excuses are the reasons of the inputs that excuse no source: why an
	// endpoint is not encrypted, why a namespace is not exported.
	Excuses []Excuse `json:"excuses,omitempty"`
	// Retired are the sources that the policy says are gone for good.
	Retired []Retired `json:"retired,omitempty"`
	// Exempt is what lives beside all units, and needs no backup.
	Exempt []input.Exempt `json:"exempt,omitempty"`
	// Ignored lists the state's foreign keys, which belong to other components.
	Ignored []string `json:"ignored,omitempty"`
	// Repositories by their id, which is the namespace that uses them.
	Repositories map[string]Repository `json:"repositories"`
	// Copies is what all targets of rclone have in common; nil without one.
	Copies *Copies `json:"copies,omitempty"`
	// Maintenance lists the check and prune jobs.
	Maintenance []Maintenance `json:"maintenance"`
	PodConfigs  []PodConfig   `json:"podConfigs,omitzero" plan:"-"`
	Markers     []Marker      `json:"markers,omitzero" plan:"-"`
	// Verifiers look, one for each namespace, at what is stored of each of its units.
	Verifiers []Verifier `json:"verifiers"`
	// Preflights try, one for each namespace, all that its units need, before
	// anything of the instance runs.
	Preflights []Preflight `json:"preflights"`
	// Secrets that are made from the credentials, without their values.
	Secrets []Secret `json:"secrets"`
	// External is where an external store is asked for their values; nil if the
	// settings name none.
	External *External `json:"external,omitempty"`
	// Declared lists the Secrets and ConfigMaps that the state says exist.
	Declared []Declared `json:"declared"`
	// InstanceLock is the ConfigMap that stops every unit while somebody holds
	// it: an upgrade, a rebuild.
	InstanceLock string `json:"instanceLock,omitempty"`
	// Namespaces that units are in, sorted.
	Namespaces []string `json:"namespaces"`
	// What network policies are made of.
	Network Network `json:"network"`
	// API is the way to the API server that K8up's own jobs need.
	API Egress `json:"api,omitzero" plan:"-"`
	// CAPem are the CA bundles of the backup's endpoints, by engine.
	CAPem map[string]string `json:"caPem,omitempty"`
	// How Flux reconciles the instance's tree.
	Flux Flux `json:"flux"`
	// What the platform's own jobs run with.
	Platform Platform `json:"platform"`
	// What a complete round leaves behind.
	Totals Totals  `json:"totals"`
	Labels Labels  `json:"labels,omitzero" plan:"-"`
	inputs *inputs // what Check needs and nobody else sees
}

// Labels are Kubernetes labels.
type Labels map[string]string

// Item is a unit with everything decided for it.
type Item struct {
	kind.Unit
	// Name of the unit's kind.
	Kind string `json:"kind"`
	// What moves the data.
	Engine string `json:"engine" enum:"restic,rclone"`
	// Name is the name of the unit's Schedule, PreBackupPod or CronJob and of
	// its label; at most 33 characters.
	Name string `json:"name"`
	// File is the path of the unit's manifests in the tree.
	File string `json:"file"`
	// BaseFile is the path of what its pods and its restore need: it is applied
	// before File.
	BaseFile string `json:"baseFile,omitzero" plan:"-"`
	// RestoreFile is the path of the unit's restore request in the tree.
	RestoreFile string `json:"restoreFile"`
	// Place among the restores; lower numbers come first.
	RestoreOrder int    `json:"restoreOrder"`
	Labels       Labels `json:"labels,omitzero" plan:"-"`
	PodLabels    Labels `json:"podLabels,omitzero" plan:"-"`
	// Reference of the image of the unit's pods; absent for an image of K8up's own.
	ResolvedImage string `json:"image,omitempty"`
	// User id that the unit's pods run as.
	RunAsUID int64 `json:"uid"`
	// Group id that the unit's pods run as.
	RunAsGID int64 `json:"gid"`
	// Root says that the pod runs as uid 0, for the unit's rootReason.
	Root bool `json:"root,omitzero" plan:"-"`
	// When the unit is backed up.
	Schedule Schedule `json:"schedule"`
	// Longest run of the backup, in seconds.
	DeadlineSeconds int `json:"deadline"`
	RestoreDeadline int `json:"restoreDeadline,omitzero" plan:"-"`
	// How many snapshots are kept.
	Retention input.Retention `json:"retention"`
	// Tier names the retention; all snapshots of a tier are pruned together.
	Tier string `json:"tier"`
	// Tags of the snapshot: exactly one tier tag, and the unit's id.
	Tags []string `json:"tags,omitzero" plan:"-"`
	// Repository is the id of the restic repository; "" for rclone.
	Repository string `json:"repository,omitempty"`
	// Copy is the target of an rclone copy; nil for restic.
	Copy           *Copy  `json:"copy,omitempty"`
	PodConfig      string `json:"podConfig,omitzero" plan:"-"`
	ServiceAccount string `json:"serviceAccount,omitzero" plan:"-"`
	// Lock is the ConfigMap that one run of the unit holds at a time; Restore
	// names the objects of its restore request.
	Lock string `json:"lock,omitzero" plan:"-"`
	// Name of the objects of the unit's restore request.
	Restore string `json:"restore"`
	Scripts string `json:"scripts,omitzero" plan:"-"`
	// Size of the scratch folder, as a Kubernetes quantity such as 10Gi.
	Scratch string `json:"scratch"`
	// DumpScratch is that of a dump, which is small where the copy is streamed.
	DumpScratch string `json:"dumpScratch,omitzero" plan:"-"`
	// Reserved says that the scheduler keeps the scratch free on the node's disk:
	// somebody has said how large it, or the copy, is. What is only a default would
	// keep small nodes from ever running a dump.
	Reserved bool `json:"reserved,omitzero" plan:"-"`
	// ScratchClass is the storage class of its volume; "" for the node's disk, and
	// always for a claim's own files.
	ScratchClass string `json:"scratchClass,omitzero" plan:"-"`
	// Size is how large the copy will be in a month, in bytes; 0 if nobody said it.
	Size int64 `json:"size,omitempty"`
	// DumpBytes and RestoreBytes are the largest copies that scratch has room for.
	// 0 is no limit: a claim's files never lie there.
	DumpBytes    int64           `json:"dumpBytes,omitzero" plan:"-"`
	RestoreBytes int64           `json:"restoreBytes,omitzero" plan:"-"`
	Resources    input.Resources `json:"resources,omitzero" plan:"-"`
	// Values is the environment of the unit's pods, for reading and restoring;
	// SecretEnv is the part of it that Secrets hold.
	Values    map[string]string `json:"values,omitzero" plan:"-"`
	SecretEnv []kind.SecretEnv  `json:"secretEnv,omitzero" plan:"-"`
	// Egress lists what the pods that read may connect to, RestoreEgress what
	// those that restore may.
	Egress        []Egress `json:"egress,omitzero" plan:"-"`
	RestoreEgress []Egress `json:"restoreEgress,omitzero" plan:"-"`
	// Ingress lists the targets in the cluster that must admit the unit.
	Ingress []Ingress `json:"ingress,omitempty"`
	// Expected is the snapshot or the copy that each run must leave behind.
	Expected []Expected `json:"expectedSnapshots"`
	// Decisions say where each decided value comes from.
	Decisions []Decision `json:"decisions,omitempty"`
}

// Exemption is a place that is not backed up, with the reason that somebody
// gave for it.
type Exemption struct {
	// Id of the unit, kind/key, or others/key where no kind knows it.
	ID string `json:"id"`
	// Kind is empty where no kind knows the place; Product says what it is then.
	Kind string `json:"kind,omitempty"`
	// What it is, such as Redis, where no kind knows it.
	Product string `json:"product,omitempty"`
	// What it is among all that lives, such as claim:shop/cache with the cluster in front; a * in it
	// stands for any text without a slash. Absent where its kind does not say it.
	Source string `json:"source,omitempty"`
	// JSON pointers (RFC 6901) into the state: the places that are not backed up.
	Covers []string `json:"covers"`
	// Why they are not backed up, as a sentence.
	Reason string `json:"reason"`
}

// Excuse is a reason that an input gives for something that would be refused without
// it.
type Excuse struct {
	// Place is a document and a JSON pointer.
	Place string `json:"place"`
	// Why it is right, as a sentence.
	Reason string `json:"reason"`
}

// Retired is a source that is gone for good, with the reason that somebody gave
// for it.
type Retired struct {
	// Unit is its id, as it was.
	Unit string `json:"unit"`
	// Why it is gone, as a sentence.
	Reason string `json:"reason"`
	// Until is the last day on which this counts, as YYYY-MM-DD; empty for ever.
	Until string `json:"until,omitempty"`
}

// Decision names a decided value and where it comes from.
type Decision struct {
	// Name of the decided value.
	What string `json:"what"`
	// The value, as people read it.
	Value string `json:"value"`
	// From is a document and a JSON pointer, or "built-in".
	From string `json:"from"`
}

// Schedule is one time table in the two forms that are needed.
type Schedule struct {
	// Cron is five fields, in TimeZone.
	Cron     string `json:"cron"`
	TimeZone string `json:"timeZone,omitzero" plan:"-"`
	// K8up is Cron with the time zone in front, as K8up reads it.
	K8up string `json:"k8up,omitzero" plan:"-"`
}

// Repository is a restic repository; each namespace of an instance has one.
type Repository struct {
	// Namespace that uses the repository.
	Namespace string `json:"namespace"`
	// URL is what restic calls it; Endpoint and Bucket are K8up's halves of it.
	URL string `json:"url"`
	// URL of the S3 endpoint.
	Endpoint string `json:"endpoint"`
	// Bucket is the bucket with the prefix: bucket/prefix/instance/namespace.
	Bucket string `json:"bucket"`
	// Region of the endpoint; empty if the credentials name none.
	Region string `json:"region"`
	// Secret holds the password and the keys; Environment is the ConfigMap
	// with what is not secret.
	Secret string `json:"secret"`
	// Name of the ConfigMap with what is not secret.
	Environment string `json:"environment"`
	// Scripts is the ConfigMap with what K8up calls instead of restic.
	Scripts string `json:"scripts,omitzero" plan:"-"`
	// CA names the ConfigMap with a CA bundle of our own; "" for a public CA.
	CA        string `json:"ca"`
	Bootstrap string `json:"bootstrap,omitzero" plan:"-"`
	// Proxy is the environment that leads to the repository by way of a proxy.
	Proxy  map[string]string `json:"proxy,omitzero" plan:"-"`
	Egress []Egress          `json:"egress,omitzero" plan:"-"`
	// History is how many ended Backups K8up keeps, of each outcome. It counts
	// those of all Schedules in the namespace together.
	History int `json:"history"`
}

// Copy is the target of one rclone copy.
type Copy struct {
	// Path is bucket/prefix/instance/key, below which the crypt remote writes.
	Path    string `json:"path"`
	*Copies `plan:"-"`
}

// Copies is what the targets of all rclone copies of an instance have in common.
type Copies struct {
	// URL of the S3 endpoint.
	Endpoint string `json:"endpoint"`
	// Region of the endpoint; empty if the credentials name none.
	Region string `json:"region"`
	// Provider in rclone's words, such as Other.
	Provider string `json:"provider"`
	// Name of the Secret with the keys and the crypt passwords.
	Secret string `json:"secret"`
	// CA names the ConfigMap with a CA bundle of our own; "" for a public CA.
	CA string `json:"ca"`
	// Salted says that the crypt remote has a second password.
	Salted bool `json:"salted"`

	// Whether the crypt passwords are plain text or obscured by rclone.
	PasswordsAre string `json:"passwordsAre" enum:"plain,obscured"`
	// How file names are encrypted.
	FilenameEncryption string `json:"filenameEncryption" enum:"standard,obfuscate,off"`
	// Whether directory names are encrypted.
	DirectoryNameEncryption bool `json:"directoryNameEncryption"`
	// How encrypted names are written; empty for base32.
	FilenameEncoding string `json:"filenameEncoding" enum:"base32,base64,base32768,"`
	// Path of the object that proves the passwords before each run, relative to the crypt remote.
	CanaryPath string `json:"canaryPath"`
	// SHA-256 of that object's content, as 64 lower-case hex digits; only zeros if the credentials name
	// none.
	CanarySHA256 string `json:"canarySha256"`
}

// Job is what is done to a repository.
type Job string

// The jobs of a repository.
const (
	JobCheck Job = "check"
	JobPrune Job = "prune"
)

// Maintenance is a check of a repository, or a prune of one of its tiers.
type Maintenance struct {
	// Job is "check" or "prune".
	Job Job `json:"job" enum:"check,prune"`
	// Name of the job's Schedule, at most 33 characters.
	Name string `json:"name"`
	// Namespace of the job.
	Namespace string `json:"namespace"`
	// Id of the repository.
	Repository string `json:"repository"`
	// Name of the tier that is pruned; absent for check.
	Tier string `json:"tier,omitempty"`
	// Tag of the tier's snapshots; absent for check.
	Tag string `json:"tag,omitempty"`
	// How many snapshots of the tier are kept; empty for check.
	Retention input.Retention `json:"retention"`
	// When the job runs.
	Schedule  Schedule `json:"schedule"`
	PodConfig string   `json:"podConfig,omitzero" plan:"-"`
	// Longest run, in seconds.
	DeadlineSeconds int    `json:"deadline"`
	Labels          Labels `json:"labels,omitzero" plan:"-"`
}

// PodConfig shapes the pods of K8up's jobs.
type PodConfig struct {
	// Name of the PodConfig.
	Name string `json:"name"`
	// Namespace of the PodConfig.
	Namespace string `json:"namespace"`
	// What the pods do.
	Role string `json:"role"`
	// User id that the pods run as.
	UID int64 `json:"uid"`
	// Group id that the pods run as.
	GID int64 `json:"gid"`
	// Whether the pods run as uid 0.
	Root bool `json:"root"`
	// Labels of the PodConfig and of its pods.
	Labels Labels `json:"labels"`
	// Requests and limits of the pods.
	Resources input.Resources `json:"resources"`
}

// Marker labels live claims so that K8up's Schedules find them.
type Marker struct {
	// Name of the CronJob that labels the claims each night.
	Name string `json:"name"`
	// Namespace of the claims.
	Namespace string `json:"namespace"`
	// First names the Job that labels at once; it follows from the list.
	First string `json:"first"`
	// Name of the ConfigMap with the scripts.
	Scripts string `json:"scripts"`
	// When the claims are labelled.
	Schedule Schedule `json:"schedule"`
	// Claims and the label of the unit that reads each, in the same order.
	Claims []string `json:"claims"`
	// Name of the unit that reads each claim, in the order of claims.
	Units []string `json:"units"`
	// Labels of the CronJob and of its pods.
	Labels Labels `json:"labels"`
	// What the pods may connect to.
	Egress []Egress `json:"egress"`
	// Values is the environment of its pods.
	Values map[string]string `json:"values"`
}

// Verifier is the job that looks, when the round is over, at what is stored of each unit
// of a namespace, and writes it into the namespace's status.
type Verifier struct {
	// Name of the CronJob, its account and its ConfigMap.
	Name string `json:"name"`
	// Namespace whose units it looks at.
	Namespace string `json:"namespace"`
	// Status is the ConfigMap that it writes: a line for each unit.
	Status string `json:"status"`
	// When it runs: every day, when the last backup of the round must have ended.
	Schedule Schedule `json:"schedule"`
	// Longest run, in seconds.
	DeadlineSeconds int `json:"deadline"`
	// Expected is what it looks for, by the short name of the unit.
	Expected []Looked          `json:"expected,omitzero" plan:"-"`
	Labels   Labels            `json:"labels,omitzero" plan:"-"`
	Egress   []Egress          `json:"egress,omitzero" plan:"-"`
	Values   map[string]string `json:"values,omitzero" plan:"-"`
}

// Looked is what the verifier knows of one unit.
type Looked struct {
	Name string     `json:"name"`
	Unit string     `json:"unit"`
	Need input.Need `json:"need"`
	How  kind.How   `json:"how"`
	// RPO is the age at which the newest copy is too old, in seconds: the longest
	// time between two starts, the longest run, and an hour for a start that is late.
	RPO int64 `json:"rpo"`
	// What of the unit's expected snapshot is looked for.
	Path       string `json:"path,omitempty"`
	Host       string `json:"host,omitempty"`
	MinBytes   int64  `json:"minBytes,omitempty"`
	MinCount   int64  `json:"minCount,omitempty"`
	Marker     string `json:"marker,omitempty"`
	MayBeEmpty string `json:"mayBeEmpty,omitempty"`
}

// Preflight is the Job that tries, before anything else runs, what backups and
// restores of a namespace need. Each trial is a container, one after the other.
type Preflight struct {
	// Name of the Job, its account and its ConfigMap.
	Name string `json:"name"`
	// Namespace whose units it tries.
	Namespace       string   `json:"namespace"`
	Labels          Labels   `json:"labels,omitzero" plan:"-"`
	DeadlineSeconds int      `json:"deadline,omitzero" plan:"-"`
	Egress          []Egress `json:"egress,omitzero" plan:"-"`
	Trials          []Trial  `json:"trials,omitzero" plan:"-"`
	// Endpoints are what the namespace's pods connect to: "host port need whose to",
	// with tabs between them; to is "public" where the policy leads to public addresses
	// alone, else "-".
	Endpoints []string `json:"endpoints,omitzero" plan:"-"`
	// Contracts say what an image must hold: file name to lines "tool path min".
	Contracts map[string]string `json:"contracts,omitzero" plan:"-"`
	// Values is the environment of the trial of cluster and storage.
	Values map[string]string `json:"values,omitzero" plan:"-"`
}

// Trial starts one image as one user.
type Trial struct {
	// Name is the container's.
	Name string `json:"name"`
	// Units are the ids of the units that it speaks for.
	Units []string `json:"units"`
	// Kind is that of the units; "" for what belongs to none.
	Kind string `json:"kind"`
	// Whether a failure stops the stage (required), or only warns (optional).
	Need input.Need `json:"need"`
	// Reference of the image that it starts.
	Image string `json:"image"`
	// Contract is the file with what the image must hold; Inside that of the
	// image in whose pod the unit's scripts run by exec, "" for none.
	Contract string `json:"contract"`
	// The same of the image in whose pod the unit's scripts run by exec; empty for none.
	Inside string `json:"inside"`
	// User id of the container.
	UID int64 `json:"uid"`
	// Group id of the container.
	GID int64 `json:"gid"`
	// Whether it runs as uid 0, for the unit's reason.
	Root bool `json:"root"`
	// Item is the name of the unit whose environment and files it has; "" for a
	// trial of live claims, which are not mounted: Values is all it has then.
	Item string `json:"item"`
	// Name of the ConfigMap with the kind's scripts; empty for none.
	Scripts string `json:"scripts"`
	// Environment of a trial of claims.
	Values map[string]string `json:"values,omitempty"`
}

// Secret is a Secret that is made from the credentials, outside templates.
type Secret struct {
	// Namespace of the Secret.
	Namespace string `json:"namespace"`
	// Name of the Secret.
	Name string `json:"name"`
	// Path of the Secret's file in the tree, if Secrets are written at all.
	File   string `json:"file"`
	Labels Labels `json:"labels,omitzero" plan:"-"`
	// Keys of the Secret.
	Keys []SecretKey `json:"keys"`
	// Generation is the credentials' own number, 0 if they have none; ExpiresAt
	// is when they end, in RFC 3339, "" if never.
	Generation int `json:"generation,omitempty"`
	// When the keys in it end, in RFC 3339; absent if never.
	ExpiresAt string `json:"expiresAt,omitempty"`
	// Annotations are those that an overlay gives it.
	Annotations Labels `json:"-"`
}

// SecretKey says which field of the credentials a key holds.
type SecretKey struct {
	// Key in the Secret.
	Key string `json:"key"`
	// Field of backup-credentials.json that it holds, such as restic.password.
	Field string `json:"field"`
	// Remote is where the external store has the field; nil if the settings do
	// not say it.
	Remote *input.Remote `json:"remote,omitempty"`
}

// External is the store of the External Secrets Operator that is asked for
// values, and how often.
type External struct {
	// StoreKind is "SecretStore" or "ClusterSecretStore".
	StoreKind string `json:"storeKind" enum:"SecretStore,ClusterSecretStore"`
	// Name of the store.
	StoreName string `json:"storeName"`
	// How often values are read again, as a Go duration.
	RefreshInterval string `json:"refreshInterval"`
}

// Declared is a Secret or ConfigMap of somebody else that the state names.
type Declared struct {
	// Kind is "Secret" or "ConfigMap".
	Kind string `json:"object" enum:"Secret,ConfigMap"`
	// Namespace of the object.
	Namespace string `json:"namespace"`
	// Name of the object.
	Name string `json:"name"`
	// Keys that must be in it.
	Keys []string `json:"keys"`
}

// To is the form of a destination.
type To string

// The forms of a destination.
const (
	ToDNS       To = "dns"
	ToAPIServer To = "apiserver"
	ToNamespace To = "namespace"
	ToCIDR      To = "cidr"
	ToHost      To = "host"
	ToAny       To = "any"
)

// Egress is one allowed destination. Exactly one of To's forms is used.
type Egress struct {
	// What the connection is for.
	Purpose string `json:"purpose"`
	// To is "dns", "apiserver", "namespace", "cidr", "host" or "any".
	To To `json:"to" enum:"dns,apiserver,namespace,cidr,host,any,"`
	// Namespace of pods in the cluster, for To "namespace".
	Namespace string `json:"namespace,omitempty"`
	// CIDRs for "cidr" and "apiserver".
	CIDRs []string `json:"cidrs,omitempty"`
	// Except lists ranges for "any": the cluster's own, private ones, and clouds' metadata.
	// The host's addresses are not known, so the port is open to the world but not to these.
	Except []string `json:"except,omitempty"`
	// Host is the name, for "host" (Cilium) and for the reader.
	Host string `json:"host,omitempty"`
	// Port, 1 to 65535: TCP, and UDP for dns; absent if it is not known.
	Port int `json:"port,omitempty"`
}

// Ingress is a target in the cluster whose namespace denies by default.
type Ingress struct {
	// Namespace of the target.
	Namespace string `json:"namespace"`
	// TCP port of the target, 1 to 65535.
	Port int `json:"port"`
}

// Expected is a snapshot or a copy that must exist after each run.
type Expected struct {
	// Engine is "restic" or "rclone".
	Engine string `json:"engine" enum:"restic,rclone"`
	// Where is the repository's URL or the copy's path.
	Where string `json:"where"`
	// Path and Host as restic prints them; Tag is the tier's.
	Path string `json:"path,omitempty"`
	// Host of the snapshot as restic prints it; absent for rclone.
	Host string `json:"host,omitempty"`
	// Tag of the snapshot's tier; absent for rclone.
	Tag string `json:"tag,omitempty"`
	// Floor of its size, in bytes.
	MinBytes int64 `json:"minBytes,omitempty"`
	// Floor of what the kind counts, such as tables, entries or objects.
	MinCount int64 `json:"minCount,omitempty"`
	// Text that only a complete one contains.
	Marker string `json:"marker,omitempty"`
	// MayBeEmpty is the reason why an empty one is no alarm.
	MayBeEmpty string `json:"mayBeEmpty,omitempty"`
}

// Network is what every NetworkPolicy of the instance is made of.
type Network struct {
	// Who enforces network policies; empty when backup is off.
	Engine string `json:"engine" enum:"kubernetes,cilium,none,"`
	// Addresses of the API server's endpoints, in CIDR form.
	APICIDRs []string `json:"apiCidrs"`
	// TCP port of those endpoints, 1 to 65535; 0 if it is not known.
	APIPort int `json:"apiPort"`
	// Ranges of the cluster's pods and Services, in CIDR form.
	Cluster []string `json:"clusterCidrs"`
	// The cluster's DNS pods.
	DNS input.DNS `json:"dns"`
	// Addresses of external hosts.
	Endpoints []input.Endpoint `json:"endpoints"`
}

// Flux is how the instance's tree is reconciled.
type Flux struct {
	// Namespace of the Kustomizations.
	Namespace string `json:"namespace"`
	// How often Flux reconciles, as a Go duration such as 10m.
	Interval string `json:"interval"`
	// Folder of the instance's tree in the source, relative to its root.
	Path string `json:"path"`
	// Kind of the Flux source, such as GitRepository.
	SourceKind string `json:"sourceKind"`
	// Name of the Flux source.
	SourceName string `json:"sourceName"`
	// Namespace of the Flux source; absent if it is the Kustomizations'.
	SourceNamespace string `json:"sourceNamespace,omitempty"`
	// Kustomizations that must be ready before.
	DependsOn []input.Reference `json:"dependsOn"`
	// Name of the Secret with the key that decrypts the tree's Secrets.
	DecryptionSecret string `json:"decryptionSecret"`
	// ServiceAccount is as whom Flux applies the tree; empty for its own account.
	ServiceAccount string `json:"serviceAccount,omitempty"`
}

// Platform holds what the platform's own jobs run with.
type Platform struct {
	// Image references by name; empty when backup is off.
	Images map[string]string `json:"images"`
	// Requests and limits by the job's name; empty when backup is off.
	Resources map[string]input.Resources `json:"resources"`
	// Longest run in seconds by the job's name; empty when backup is off.
	Deadlines map[string]int `json:"deadlines"`
}

// Totals count what a complete round leaves behind.
type Totals struct {
	// Units that are backed up, as a count.
	Units int `json:"units"`
	// Snapshots that restic must make, as a count.
	Snapshots int `json:"snapshots"`
	// Copies that rclone must make, as a count.
	Copies int `json:"copies"`
	// Units that are not backed up, as a count.
	Exempt int `json:"exempt"`
}

// Kinds lists the names of the kinds that have a unit in the plan, sorted.
func (p *Plan) Kinds() []string {
	var names []string
	for i := range p.Units {
		names = append(names, p.Units[i].Kind)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
