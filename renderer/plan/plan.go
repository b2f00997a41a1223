package plan

import (
	"encoding/json"
	"slices"

	"github.com/holdfast-backup/holdfast/renderer/kind"
)

// Plan is everything decided for one instance. It is what templates see, what
// plan.json holds, and what explain reads. It never holds a secret's value.
type Plan struct {
	SchemaVersion int    `json:"schemaVersion"`
	Instance      string `json:"instance"`
	// Prefix is what names of its objects begin with: its id, or a hash of it where names
	// could be those of another instance.
	Prefix    string `json:"prefix"`
	Cluster   string `json:"cluster"`
	Namespace string `json:"namespace"`
	// Enabled is false when the state opts out; then nothing else is set.
	Enabled bool `json:"enabled"`
	// Reason says why backup is off.
	Reason string `json:"reason,omitempty"`
	// TimeZone is the IANA name in which all schedules are written.
	TimeZone string `json:"timeZone,omitempty"`
	Window   Window `json:"window"`
	// Units is every source that is backed up, sorted by id.
	Units []Item `json:"units"`
	// Exemptions is every coverable place that is not backed up, and why.
	Exemptions []Exemption `json:"exemptions"`
	// Groups are units that belong together; each is taken in its order, in the
	// same night.
	Groups []Group `json:"groups,omitempty"`
	// Excuses are the reasons of the inputs that excuse no source: why an
	// endpoint is not encrypted, why a namespace is not exported.
	Excuses []Excuse `json:"excuses,omitempty"`
	// Retired are the sources that the policy says are gone for good.
	Retired []Retired `json:"retired,omitempty"`
	// Ignored lists the state's foreign keys, which belong to other components.
	Ignored []string `json:"ignored,omitempty"`
	// Repositories by their id, which is the namespace that uses them.
	Repositories map[string]Repository `json:"repositories"`
	// Maintenance lists the check and prune jobs.
	Maintenance []Maintenance `json:"maintenance"`
	PodConfigs  []PodConfig   `json:"podConfigs"`
	Markers     []Marker      `json:"markers"`
	// Preflights try, one for each namespace, all that its units need, before
	// anything of the instance runs.
	Preflights []Preflight `json:"preflights"`
	Secrets    []Secret    `json:"secrets"`
	// External is where an external store is asked for their values; nil if the
	// settings name none.
	External *External `json:"external,omitempty"`
	// Declared lists the Secrets and ConfigMaps that the state says exist.
	Declared []Declared `json:"declared"`
	// InstanceLock is the ConfigMap that stops every unit while somebody holds
	// it: an upgrade, a rebuild.
	InstanceLock string   `json:"instanceLock,omitempty"`
	Namespaces   []string `json:"namespaces"`
	Network      Network  `json:"network"`
	// API is the way to the API server that K8up's own jobs need.
	API Egress `json:"api"`
	// CAPem are the CA bundles of the backup's endpoints, by engine.
	CAPem    map[string]string `json:"caPem,omitempty"`
	Flux     Flux              `json:"flux"`
	Platform Platform          `json:"platform"`
	Totals   Totals            `json:"totals"`
	Labels   Labels            `json:"labels"`
	inputs   *inputs           // what Check needs and nobody else sees
}

// Labels are Kubernetes labels.
type Labels map[string]string

// Window is the time of day in which backups start, "HH:MM" in TimeZone. An
// end before the start is on the next day.
type Window struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

// Item is a unit with everything decided for it.
type Item struct {
	kind.Unit
	Kind   string `json:"kind"`
	Engine string `json:"engine"`
	// Name is the name of the unit's Schedule, PreBackupPod or CronJob and of
	// its label; at most 33 characters.
	Name string `json:"name"`
	// Container names the container that dumps; it is part of the snapshot's
	// path.
	Container string `json:"container"`
	// File is the path of the unit's manifests in the tree.
	File string `json:"file"`
	// BaseFile is the path of what its pods and its restore need: it is applied
	// before File.
	BaseFile string `json:"baseFile"`
	// RestoreFile is the path of the unit's restore request in the tree.
	RestoreFile   string `json:"restoreFile"`
	RestoreOrder  int    `json:"restoreOrder"`
	Labels        Labels `json:"labels"`
	PodLabels     Labels `json:"podLabels"`
	ResolvedImage string `json:"image,omitempty"`
	RunAsUID      int64  `json:"uid"`
	RunAsGID      int64  `json:"gid"`
	// Root says that the pod runs as uid 0, for the unit's rootReason.
	Root            bool      `json:"root"`
	Schedule        Schedule  `json:"schedule"`
	DeadlineSeconds int       `json:"deadline"`
	RestoreDeadline int       `json:"restoreDeadline"`
	Retention       Retention `json:"retention"`
	// Tier names the retention; all snapshots of a tier are pruned together.
	Tier string `json:"tier"`
	// Tags of the snapshot: exactly one tier tag, and the unit's id.
	Tags []string `json:"tags"`
	// Repository is the id of the restic repository; "" for rclone.
	Repository string `json:"repository,omitempty"`
	// Copy is the target of an rclone copy; nil for restic.
	Copy           *Copy  `json:"copy,omitempty"`
	PodConfig      string `json:"podConfig,omitempty"`
	ServiceAccount string `json:"serviceAccount"`
	// Lock is the ConfigMap that one run of the unit holds at a time; Restore
	// names the objects of its restore request.
	Lock    string `json:"lock"`
	Restore string `json:"restore"`
	Scripts string `json:"scripts"`
	Scratch string `json:"scratch"`
	// DumpScratch is that of a dump, which is small where the copy is streamed.
	DumpScratch string `json:"dumpScratch"`
	// Reserved says that the scheduler keeps the scratch free on the node's disk:
	// somebody has said how large it, or the copy, is. What is only a default would
	// keep small nodes from ever running a dump.
	Reserved bool `json:"reserved"`
	// ScratchClass is the storage class of its volume; "" for the node's disk, and
	// always for a claim's own files.
	ScratchClass string `json:"scratchClass"`
	// Size is how large the copy will be in a month, in bytes; 0 if nobody said it.
	Size int64 `json:"size,omitempty"`
	// DumpBytes and RestoreBytes are the largest copies that scratch has room for.
	// 0 is no limit: a claim's files never lie there.
	DumpBytes    int64          `json:"dumpBytes"`
	RestoreBytes int64          `json:"restoreBytes"`
	Resources    kind.Resources `json:"resources"`
	// Values is the environment of the unit's pods, for reading and restoring;
	// SecretEnv is the part of it that Secrets hold.
	Values    map[string]string `json:"values"`
	SecretEnv []kind.SecretEnv  `json:"secretEnv"`
	// Egress lists what the pods that read may connect to, RestoreEgress what
	// those that restore may.
	Egress        []Egress `json:"egress"`
	RestoreEgress []Egress `json:"restoreEgress"`
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
	ID string `json:"id"`
	// Kind is empty where no kind knows the place; Product says what it is then.
	Kind    string   `json:"kind,omitempty"`
	Product string   `json:"product,omitempty"`
	Covers  []string `json:"covers"`
	Reason  string   `json:"reason"`
}

// Group is units that are only worth something together.
type Group struct {
	Name string `json:"name"`
	// Units are ids in the order in which they are taken.
	Units []string `json:"units"`
}

// Excuse is a reason that an input gives for something that would be refused without
// it.
type Excuse struct {
	// Place is a document and a JSON pointer.
	Place  string `json:"place"`
	Reason string `json:"reason"`
}

// Retired is a source that is gone for good, with the reason that somebody gave
// for it.
type Retired struct {
	// Unit is its id, as it was.
	Unit   string `json:"unit"`
	Reason string `json:"reason"`
	// Until is the last day on which this counts, as YYYY-MM-DD; empty for ever.
	Until string `json:"until,omitempty"`
}

// Decision names a decided value and where it comes from.
type Decision struct {
	What  string `json:"what"`
	Value string `json:"value"`
	// From is a document and a JSON pointer, or "built-in".
	From string `json:"from"`
}

// Schedule is one time table in the two forms that are needed.
type Schedule struct {
	// Cron is five fields, in TimeZone.
	Cron     string `json:"cron"`
	TimeZone string `json:"timeZone"`
	// K8up is Cron with the time zone in front, as K8up reads it.
	K8up string `json:"k8up"`
}

// Retention is how many copies are kept; 0 means that the rule is not used.
type Retention struct {
	KeepLast    int `json:"keepLast,omitempty"`
	KeepHourly  int `json:"keepHourly,omitempty"`
	KeepDaily   int `json:"keepDaily,omitempty"`
	KeepWeekly  int `json:"keepWeekly,omitempty"`
	KeepMonthly int `json:"keepMonthly,omitempty"`
	KeepYearly  int `json:"keepYearly,omitempty"`
}

// Repository is a restic repository; each namespace of an instance has one.
type Repository struct {
	Namespace string `json:"namespace"`
	// URL is what restic calls it; Endpoint and Bucket are K8up's halves of it.
	URL      string `json:"url"`
	Endpoint string `json:"endpoint"`
	// Bucket is the bucket with the prefix: bucket/prefix/instance/namespace.
	Bucket string `json:"bucket"`
	Region string `json:"region"`
	// Secret holds the password and the keys; Environment is the ConfigMap
	// with what is not secret.
	Secret      string `json:"secret"`
	Environment string `json:"environment"`
	// Scripts is the ConfigMap with what K8up calls instead of restic.
	Scripts string `json:"scripts"`
	// CA names the ConfigMap with a CA bundle of our own; "" for a public CA.
	CA        string `json:"ca"`
	Bootstrap string `json:"bootstrap"`
	// Proxy is the environment that leads to the repository by way of a proxy.
	Proxy  map[string]string `json:"proxy,omitempty"`
	Egress []Egress          `json:"egress"`
	// History is how many ended Backups K8up keeps, of each outcome. It counts
	// those of all Schedules in the namespace together.
	History int `json:"history"`
}

// Copy is the target of one rclone copy.
type Copy struct {
	Endpoint string `json:"endpoint"`
	Region   string `json:"region"`
	Provider string `json:"provider"`
	// Path is bucket/prefix/instance/key, below which the crypt remote writes.
	Path   string `json:"path"`
	Secret string `json:"secret"`
	// CA names the ConfigMap with a CA bundle of our own; "" for a public CA.
	CA string `json:"ca"`
	// Salted says that the crypt remote has a second password.
	Salted bool `json:"salted"`

	PasswordsAre            string `json:"passwordsAre"`
	FilenameEncryption      string `json:"filenameEncryption"`
	DirectoryNameEncryption bool   `json:"directoryNameEncryption"`
	FilenameEncoding        string `json:"filenameEncoding"`
	CanaryPath              string `json:"canaryPath"`
	CanarySHA256            string `json:"canarySha256"`
}

// Maintenance is a check of a repository, or a prune of one of its tiers.
type Maintenance struct {
	// Job is "check" or "prune".
	Job             string    `json:"job"`
	Name            string    `json:"name"`
	Namespace       string    `json:"namespace"`
	Repository      string    `json:"repository"`
	Tier            string    `json:"tier,omitempty"`
	Tag             string    `json:"tag,omitempty"`
	Retention       Retention `json:"retention"`
	Schedule        Schedule  `json:"schedule"`
	PodConfig       string    `json:"podConfig"`
	DeadlineSeconds int       `json:"deadline"`
	Labels          Labels    `json:"labels"`
}

// PodConfig shapes the pods of K8up's jobs.
type PodConfig struct {
	Name      string         `json:"name"`
	Namespace string         `json:"namespace"`
	Role      string         `json:"role"`
	UID       int64          `json:"uid"`
	GID       int64          `json:"gid"`
	Root      bool           `json:"root"`
	Labels    Labels         `json:"labels"`
	Resources kind.Resources `json:"resources"`
}

// Marker labels live claims so that K8up's Schedules find them.
type Marker struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// First names the Job that labels at once; it follows from the list.
	First    string   `json:"first"`
	Scripts  string   `json:"scripts"`
	Schedule Schedule `json:"schedule"`
	// Claims and the label of the unit that reads each, in the same order.
	Claims []string `json:"claims"`
	Units  []string `json:"units"`
	Labels Labels   `json:"labels"`
	Egress []Egress `json:"egress"`
	// Values is the environment of its pods.
	Values map[string]string `json:"values"`
}

// Preflight is the Job that tries, before anything else runs, what backups and
// restores of a namespace need. Each trial is a container, one after the other.
type Preflight struct {
	Name            string   `json:"name"`
	Namespace       string   `json:"namespace"`
	Labels          Labels   `json:"labels"`
	DeadlineSeconds int      `json:"deadline"`
	Egress          []Egress `json:"egress"`
	Trials          []Trial  `json:"trials"`
	// Endpoints are what the namespace's pods connect to: "host port need whose to",
	// with tabs between them; to is "public" where the policy leads to public addresses
	// alone, else "-".
	Endpoints []string `json:"endpoints"`
	// Contracts say what an image must hold: file name to lines "tool path min".
	Contracts map[string]string `json:"contracts"`
	// Values is the environment of the trial of cluster and storage.
	Values map[string]string `json:"values"`
}

// Trial starts one image as one user.
type Trial struct {
	// Name is the container's.
	Name string `json:"name"`
	// Units are the ids of the units that it speaks for.
	Units []string `json:"units"`
	// Kind is that of the units; "" for what belongs to none.
	Kind  string `json:"kind"`
	Need  string `json:"need"`
	Image string `json:"image"`
	// Contract is the file with what the image must hold; Inside that of the
	// image in whose pod the unit's scripts run by exec, "" for none.
	Contract string `json:"contract"`
	Inside   string `json:"inside"`
	UID      int64  `json:"uid"`
	GID      int64  `json:"gid"`
	Root     bool   `json:"root"`
	// Item is the name of the unit whose environment and files it has; "" for a
	// trial of live claims, which are not mounted: Values is all it has then.
	Item    string            `json:"item"`
	Scripts string            `json:"scripts"`
	Values  map[string]string `json:"values,omitempty"`
}

// Secret is a Secret that is made from the credentials, outside templates.
type Secret struct {
	Namespace string      `json:"namespace"`
	Name      string      `json:"name"`
	File      string      `json:"file"`
	Labels    Labels      `json:"labels"`
	Keys      []SecretKey `json:"keys"`
	// Generation is the credentials' own number, 0 if they have none; ExpiresAt
	// is when they end, in RFC 3339, "" if never.
	Generation int    `json:"generation,omitempty"`
	ExpiresAt  string `json:"expiresAt,omitempty"`
	// Annotations are those that an overlay gives it.
	Annotations Labels `json:"-"`
}

// SecretKey says which field of the credentials a key holds.
type SecretKey struct {
	Key   string `json:"key"`
	Field string `json:"field"`
	// Remote is where the external store has the field; nil if the settings do
	// not say it.
	Remote *Remote `json:"remote,omitempty"`
}

// External is the store of the External Secrets Operator that is asked for
// values, and how often.
type External struct {
	// StoreKind is "SecretStore" or "ClusterSecretStore".
	StoreKind       string `json:"storeKind"`
	StoreName       string `json:"storeName"`
	RefreshInterval string `json:"refreshInterval"`
}

// Remote is an entry of the external store, or a property of one.
type Remote struct {
	Key      string `json:"key"`
	Property string `json:"property,omitempty"`
}

// Declared is a Secret or ConfigMap of somebody else that the state names.
type Declared struct {
	// Kind is "Secret" or "ConfigMap".
	Kind      string   `json:"object"`
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Keys      []string `json:"keys"`
}

// Egress is one allowed destination. Exactly one of To's forms is used.
type Egress struct {
	Purpose string `json:"purpose"`
	// To is "dns", "apiserver", "namespace", "cidr", "host" or "any".
	To string `json:"to"`
	// Namespace of pods in the cluster, for To "namespace".
	Namespace string `json:"namespace,omitempty"`
	// CIDRs for "cidr" and "apiserver".
	CIDRs []string `json:"cidrs,omitempty"`
	// Except lists ranges for "any": the cluster's own, private ones, and clouds' metadata.
	// The host's addresses are not known, so the port is open to the world but not to these.
	Except []string `json:"except,omitempty"`
	// Host is the name, for "host" (Cilium) and for the reader.
	Host string `json:"host,omitempty"`
	Port int    `json:"port,omitempty"`
}

// Ingress is a target in the cluster whose namespace denies by default.
type Ingress struct {
	Namespace string `json:"namespace"`
	Port      int    `json:"port"`
}

// Expected is a snapshot or a copy that must exist after each run.
type Expected struct {
	// Engine is "restic" or "rclone".
	Engine string `json:"engine"`
	// Where is the repository's URL or the copy's path.
	Where string `json:"where"`
	// Path and Host as restic prints them; Tag is the tier's.
	Path     string `json:"path,omitempty"`
	Host     string `json:"host,omitempty"`
	Tag      string `json:"tag,omitempty"`
	MinBytes int64  `json:"minBytes,omitempty"`
	MinCount int64  `json:"minCount,omitempty"`
	Marker   string `json:"marker,omitempty"`
	// MayBeEmpty is the reason why an empty one is no alarm.
	MayBeEmpty string `json:"mayBeEmpty,omitempty"`
}

// Network is what every NetworkPolicy of the instance is made of.
type Network struct {
	Engine    string     `json:"engine"`
	APICIDRs  []string   `json:"apiCidrs"`
	APIPort   int        `json:"apiPort"`
	Cluster   []string   `json:"clusterCidrs"`
	DNS       DNS        `json:"dns"`
	Endpoints []Endpoint `json:"endpoints"`
}

// DNS selects the cluster's DNS pods.
type DNS struct {
	Namespace string `json:"namespace"`
	Labels    Labels `json:"labels"`
}

// Endpoint gives the addresses of an external host.
type Endpoint struct {
	Host  string   `json:"host"`
	CIDRs []string `json:"cidrs"`
}

// Flux is how the instance's tree is reconciled.
type Flux struct {
	Namespace        string      `json:"namespace"`
	Interval         string      `json:"interval"`
	Path             string      `json:"path"`
	SourceKind       string      `json:"sourceKind"`
	SourceName       string      `json:"sourceName"`
	SourceNamespace  string      `json:"sourceNamespace,omitempty"`
	DependsOn        []Reference `json:"dependsOn"`
	DecryptionSecret string      `json:"decryptionSecret"`
	// ServiceAccount is as whom Flux applies the tree; empty for its own account.
	ServiceAccount string `json:"serviceAccount,omitempty"`
}

// Reference names an object of the same kind.
type Reference struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
}

// Platform holds what the platform's own jobs run with.
type Platform struct {
	Images    map[string]string         `json:"images"`
	Resources map[string]kind.Resources `json:"resources"`
	Deadlines map[string]int            `json:"deadlines"`
}

// Totals count what a complete round leaves behind.
type Totals struct {
	Units     int `json:"units"`
	Snapshots int `json:"snapshots"`
	Copies    int `json:"copies"`
	Exempt    int `json:"exempt"`
}

// Value returns the plan as plain JSON values, the form that templates see.
// What only people read is left out: converting it costs time.
func (p *Plan) Value() (any, error) {
	view := *p
	view.Units = slices.Clone(p.Units)
	for i := range view.Units {
		view.Units[i].Decisions = nil
		view.Units[i].Limits = nil
	}
	data, err := json.Marshal(view)
	if err != nil {
		return nil, err
	}
	var value any
	err = json.Unmarshal(data, &value)
	return value, err
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
