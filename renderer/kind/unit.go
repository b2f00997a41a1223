package kind

import (
	"github.com/holdfast-backup/holdfast/renderer/input"
)

// Unit is one thing that is backed up and brought back as a whole: a database,
// a bucket, a claim. A kind's units(state) returns a list of them; a field that
// is not named here is an error that names the kind. Its schema, which judges what
// kinds return, is schemas/unit.schema.json.
type Unit struct {
	// ID is stable over the instance's life: kind/key, for example
	// "postgresql/nextcloud". Policies, tags and restores name it.
	ID string `json:"id"`
	// Covers lists JSON pointers into the state: the proof that those places
	// are backed up. A place is covered by one unit, or by all parts of one.
	Covers []string `json:"covers"`
	// Part is set when several units share their Covers, one for each node or
	// namespace: number counts from 0, of is how many there are.
	Part *Part `json:"part,omitempty"`
	// Namespace is where the unit's pods run and where its Secrets are.
	Namespace string `json:"namespace"`
	// Need is "required", "optional" or "skip"; skip demands a Reason.
	Need input.Need `json:"need" enum:"required,optional"`
	// What the state says about the need, as a sentence.
	Reason string `json:"reason,omitempty"`
	// Capture says how the data is read. It is absent when Need is skip.
	Capture *Capture `json:"capture,omitempty"`
	// Connects lists every connection that reading and restoring needs, apart
	// from DNS and the backup's own storage. Nothing else is allowed out.
	Connects []Connection `json:"connects,omitempty"`
	// RBAC lists what the unit's pods may do at the API server; empty means
	// that they get no token.
	RBAC []Rule `json:"rbac,omitempty" plan:"-"`
	// ClusterRBAC lists what they may do in the whole cluster.
	ClusterRBAC []Rule `json:"clusterRbac,omitempty" plan:"-"`
	// Expect is what a good copy looks like.
	Expect Expect `json:"expect,omitzero" plan:"-"`
	// Listing says how to list what lies beside the unit's source.
	Listing *Listing `json:"listing,omitempty" plan:"-"`
	// Consistent lists ids of units that must be taken before this one.
	Consistent []string `json:"consistent,omitempty"`
	// RestoreOrder is the unit's place among the restores, if it is not its
	// kind's: roles come before the databases that grant to them.
	RestoreOrder int `json:"restoreOrder,omitempty"`
	// Limits says what the copy cannot hold, for whoever relies on it.
	Limits []string `json:"limits,omitempty"`
}

// Listing is how to list all that lies beside a unit's source, such as the databases of
// its server.
type Listing struct {
	// Of is what is listed: the unit's source without the name of the unit's own.
	Of string `json:"of"`
	// Command is a line for a POSIX shell that prints the names, one a line. People run
	// it, with logins of their own: it holds no secret.
	Command string `json:"command"`
}

// Part tells the units apart that cover one place together.
type Part struct {
	// Number of the part, from 0.
	Number int `json:"number"`
	// How many parts there are.
	Of int `json:"of"`
}

// How is the way in which a unit's data is read.
type How string

// The ways of reading.
const (
	// Dump is a pod of ours that runs dump.sh and prints the dump.
	Dump How = "dump"
	// Exec is the same, but dump.sh reads through exec in a running pod.
	Exec How = "exec"
	// Volume is K8up that reads a claim's files.
	Volume How = "volume"
	// Sync is a CronJob of ours that runs dump.sh, which copies bucket to bucket.
	Sync How = "sync"
)

// Capture is how a unit's data is read.
type Capture struct {
	// dump: a pod of ours prints a dump; exec: the same, read in a running pod; volume: K8up reads a
	// claim; sync: a CronJob of ours copies a bucket.
	How How `json:"how" enum:"dump,exec,volume,sync"`
	// Image names an entry of the kind's images.json, or of the platform's
	// ("k8up", "rclone").
	Image string `json:"image,omitempty"`
	// Extension ends the name of the dump in the repository: ".pgdump".
	Extension string `json:"extension,omitempty"`
	// Env are plain values. They reach dump.sh and restore.sh by environment
	// only, so that no value is ever part of a command.
	Env map[string]string `json:"env,omitempty"`
	// SecretEnv are values from Secrets in the unit's namespace.
	SecretEnv []SecretEnv `json:"secretEnv,omitempty"`
	// Files are Secret or ConfigMap entries mounted under /holdfast/files.
	Files []File `json:"files,omitempty"`
	// Credentials are values of backup-credentials.json that the unit needs as
	// environment. The plan makes a Secret for them.
	Credentials []Credential `json:"credentials,omitempty"`
	// Claim, UID and GID are the claim that how=volume reads and its owner.
	Claim string `json:"claim,omitempty"`
	// User id that owns the claim's files.
	UID *int64 `json:"uid,omitempty"`
	// Group id that owns the claim's files; absent if it is the uid.
	GID *int64 `json:"gid,omitempty"`
	// Owners are those of a claim with files of several. Only root reads them
	// all, and gives them back to whom they belonged.
	Owners []Owner `json:"owners,omitempty"`
	// RootReason excuses a claim whose files belong to uid 0, or to several.
	RootReason string `json:"rootReason,omitempty"`
	// LiveReason excuses a claim with the files of a running database.
	LiveReason string `json:"liveReason,omitempty"`
	// Workload is the running pod's owner, for exec and for the node.
	Workload *Workload `json:"workload,omitempty"`
	// ServerVersion is the oldest version that the tag of Image may name: a
	// client that is older than its server copies wrong, or nothing.
	ServerVersion string `json:"serverVersion,omitempty"`
	// Scratch is the size of the scratch folder ("10Gi"); "" means the kind's.
	Scratch string `json:"scratch,omitempty"`
	// Source is what is read, in the source's own terms; two units must never
	// read the same: "claim:ns/name", "bucket:https://host/name".
	Source string `json:"source"`
}

// Owner is whom files belong to.
type Owner struct {
	// Numeric user id.
	UID int64 `json:"uid"`
	// Numeric group id.
	GID int64 `json:"gid"`
}

// SecretEnv is an environment variable whose value a Secret holds.
type SecretEnv struct {
	// Name of the environment variable.
	Name string `json:"name"`
	// Name of the Secret, in the unit's namespace.
	Secret string `json:"secret"`
	// Key in the Secret.
	Key string `json:"key"`
}

// Credential is an environment variable whose value is a field of
// backup-credentials.json: "secretsManager.password".
type Credential struct {
	// Name of the environment variable.
	Name string `json:"name"`
	// Field of backup-credentials.json, such as secretsManager.password.
	Field string `json:"field"`
	// Optional says that the variable is left out where the document has no
	// such field. Else that is a problem.
	Optional bool `json:"optional,omitempty"`
}

// File is an entry of a Secret or a ConfigMap, mounted as
// /holdfast/files/<Name>. Exactly one of Secret and ConfigMap is set.
type File struct {
	// Name of the file below /holdfast/files.
	Name string `json:"name"`
	// Name of the Secret, in the unit's namespace; either this or configMap is set.
	Secret string `json:"secret,omitempty"`
	// Name of the ConfigMap, in the unit's namespace; either this or secret is set.
	ConfigMap string `json:"configMap,omitempty"`
	// Key in the Secret or ConfigMap.
	Key string `json:"key"`
}

// Workload names the owner of a running pod.
type Workload struct {
	// Kind of the workload, such as StatefulSet.
	Kind string `json:"kind"`
	// Name of the workload.
	Name string `json:"name"`
	// Pod is the very pod that exec reads: "cassandra-0".
	Pod string `json:"pod,omitempty"`
	// Name of the container that exec reads in.
	Container string `json:"container,omitempty"`
}

// Connection is one endpoint that the unit's pods talk to. Host is a bare
// Service name, a Service's DNS name, an external DNS name or an address;
// "kubernetes" is the API server and needs no Port.
type Connection struct {
	// Name of a Service, a DNS name or an IP address; "kubernetes" is the API server.
	Host string `json:"host"`
	// TCP port, 1 to 65535; absent for the API server.
	Port int `json:"port,omitempty"`
	// What the connection is for.
	Purpose string `json:"purpose"`
	// HTTP says that HTTP is spoken, so that a proxy can carry it out.
	HTTP bool `json:"http,omitempty"`
}

// Rule is one RBAC rule, in Kubernetes' own form.
type Rule struct {
	// API groups; "" is the core group.
	APIGroups []string `json:"apiGroups"`
	// Resources, in the plural, such as pods/exec.
	Resources []string `json:"resources"`
	// Names of the only objects that the rule allows.
	ResourceNames []string `json:"resourceNames,omitempty"`
	// Verbs, such as get.
	Verbs []string `json:"verbs"`
}

// Expect is what a good copy of the unit looks like. The dump script refuses
// to hand over less, and whoever verifies reads the same values.
type Expect struct {
	// MinBytes is the floor of the copy's size.
	MinBytes int64 `json:"minBytes,omitempty"`
	// Marker is a text that only a complete copy contains.
	Marker string `json:"marker,omitempty"`
	// MinCount is the floor of what the kind counts: tables, entries, objects.
	MinCount int64 `json:"minCount,omitempty"`
	// AllowEmpty excuses an empty copy, with a reason.
	AllowEmpty *AllowEmpty `json:"allowEmpty,omitempty"`
}

// AllowEmpty says why a unit may be empty, and until when (RFC 3339 date).
type AllowEmpty struct {
	// Why the unit may be empty, as a sentence.
	Reason string `json:"reason"`
	// Last day of the excuse, as an RFC 3339 date; absent if it has no end.
	Until string `json:"until,omitempty"`
}
