package problem

import (
	"cmp"
	"slices"
)

// Rule is a promise that Holdfast checks, with what it means to whoever broke
// it. Every Problem names one; holdfast explain prints it.
type Rule struct {
	// ID is the number that problems carry: HF0xx is about the inputs, HF1xx
	// about sources and kinds, HF2xx about times and retention, HF3xx about
	// names, networks and other instances, HF4xx about rendered objects, HF5xx
	// about the folder that is written to.
	ID string `json:"id"`
	// Title says in one line what is wrong.
	Title string `json:"title"`
	// Story says what happens in real life when nobody checks this.
	Story string `json:"story"`
	// Fix says what to do.
	Fix string `json:"fix"`
	// Source says where the knowledge comes from: K8up's behaviour, a proof on
	// a real cluster, a requirement.
	Source string `json:"source"`
}

// Rules returns all rules, sorted by number.
func Rules() []Rule {
	rules := []Rule{
		{
			ID:     "HF001",
			Title:  "The document is no readable JSON",
			Story:  "A document that was cut off in a copy, or saved with a byte order mark, is read differently by different tools. A backup rendered from half a document would miss sources without a word.",
			Fix:    "Correct the text at the place that the message names. JSON knows no comments and no comma after the last entry.",
			Source: "promise \"total\"",
		},
		{
			ID:     "HF002",
			Title:  "A key stands twice in one object",
			Story:  "JSON readers silently take the last of two equal keys, so a second \"backup\" further down can undo the first, and nobody who reads the document from the top sees it.",
			Fix:    "Keep one of the two.",
			Source: "promise \"pure\"",
		},
		{
			ID:     "HF003",
			Title:  "The document is too large, too deep, or a number is beyond 2^53",
			Story:  "No honest state has ten million bytes or 64 levels; a document that has is a mistake or an attack on memory. A number beyond 2^53 changes its last digits on its way through most JSON tools.",
			Fix:    "Look for what blew the document up; write long numbers as strings.",
			Source: "promise \"pure\"",
		},
		{
			ID:     "HF004",
			Title:  "Unknown key",
			Story:  "A misspelt key does nothing: the database with \"bakcup\": \"required\" is simply not backed up, or keeps its copies for the default time. It is found out on the day of the restore.",
			Fix:    "Correct the key; the hint names the nearest one that exists there.",
			Source: "S0-21, promise \"total\"",
		},
		{
			ID:     "HF005",
			Title:  "A required key is missing",
			Story:  "What the document leaves out would have to be guessed, and a guess is right until the day it matters.",
			Fix:    "Add the key; the hint says what it means.",
			Source: "S0-21",
		},
		{
			ID:     "HF006",
			Title:  "A value has the wrong type",
			Story:  "\"5432\" and 5432 look alike to people. In a manifest the one is a text and the other a number, and Kubernetes takes only one of them, hours after the merge.",
			Fix:    "Write the type that the message expects.",
			Source: "S0-21",
		},
		{
			ID:     "HF008",
			Title:  "A value has a form that cannot work",
			Story:  "A name with a capital letter, a port of 70000, an endpoint with a password in it: the API server, the DNS or the job would refuse it when the first backup is due, and by then the pipeline has long been green.",
			Fix:    "Write the form that the message describes.",
			Source: "S0-21",
		},
		{
			ID:     "HF009",
			Title:  "Unknown schemaVersion",
			Story:  "In another version of the document any key may mean something else. Reading it as if it were this version could leave out sources that moved.",
			Fix:    "Use a Holdfast that knows the version, or have the document made in this one.",
			Source: "promise \"total\"",
		},
		{
			ID:     "HF010",
			Title:  "State and credentials do not belong together",
			Story:  "With another instance's credentials the backup would go into that instance's repository, and its pruning would delete that instance's copies.",
			Fix:    "Give the state and the credentials of the same instance, each once.",
			Source: "S0-14, S0-15",
		},
		{
			ID:     "HF011",
			Title:  "Something is left out without a reason",
			Story:  "Half a year later nobody knows whether a source was skipped because it is rebuilt anyway or because somebody was in a hurry. A reason is the only way to tell.",
			Fix:    "Say why in a sentence, beside what is left out.",
			Source: "S0-8, S1-2",
		},
		{
			ID:     "HF012",
			Title:  "A value is not one of the allowed words",
			Story:  "\"requird\" is neither required nor skipped. A tool that takes everything it does not know for the default decides about your data by a typing error.",
			Fix:    "Use one of the words that the message lists.",
			Source: "S0-21",
		},
		{
			ID:     "HF013",
			Title:  "White space around a credential",
			Story:  "A line break at the end of a password is part of the password. restic takes it when it makes the repository; whoever types the password from the vault on the day of the restore does not, and the repository stays shut.",
			Fix:    "Remove the blank or line break at the end, and see that whatever made the document no longer adds one.",
			Source: "S0-20",
		},
		{
			ID:     "HF014",
			Title:  "Two passwords of the backup are the same",
			Story:  "Whoever learns one would have both halves of the backup. With the same text as password and salt, rclone's encryption also loses the point of the salt.",
			Fix:    "Make a password of its own for restic, for crypt, and for crypt's salt.",
			Source: "S0-12",
		},
		{
			ID:     "HF015",
			Title:  "The folders of restic and rclone overlap",
			Story:  "rclone's sync removes from its folder what the source does not have. When restic's repository lies in it, that is the repository.",
			Fix:    "Use two buckets, or two prefixes of which neither contains the other.",
			Source: "S0-11",
		},
		{
			ID:     "HF016",
			Title:  "The backup goes into a bucket that is backed up",
			Story:  "The copy would copy itself every night, and whoever deletes or encrypts the application's bucket has the backup, too.",
			Fix:    "Use a bucket of its own for backups.",
			Source: "S0-10, S2-25",
		},
		{
			ID:     "HF017",
			Title:  "An endpoint is not https",
			Story:  "Over plain http the access keys cross the network where everybody on the way can read them, and with them every copy can be deleted.",
			Fix:    "Use https://, or accept plain http in sight: \"plainHttp\": { \"reason\": \"…\" }.",
			Source: "S0-26",
		},
		{
			ID:     "HF018",
			Title:  "The credentials had expired when the state was made",
			Story:  "Every job would fail with \"access denied\", night after night. Temporary keys that nobody renewed are a common end of backups.",
			Fix:    "Make new keys and a new credentials document.",
			Source: "S0-31",
		},
		{
			ID:     "HF019",
			Title:  "Two fields that must agree differ",
			Story:  "When two places name the same thing differently, one of them is wrong. Names of clusters and namespaces differ in spelling on purpose, so nothing can tell which was meant: the wrong one is another customer's, or empty.",
			Fix:    "Find out which is right, and correct the other.",
			Source: "S0-17, S0-46",
		},
		{
			ID:     "HF020",
			Title:  "Credentials are missing for something that is to be backed up",
			Story:  "The source would be in the plan and in no copy: its job fails for want of a login, or is never made.",
			Fix:    "Add the section to the credentials, or skip the source with a reason.",
			Source: "S1-3",
		},
		{
			ID:     "HF101",
			Title:  "A kind's folder is not whole",
			Story:  "A kind without restore.sh makes copies that nobody can bring back from the same declaration. That is noticed when it is too late to write the script.",
			Fix:    "Give the folder kind.json, kind.libsonnet, dump.sh, restore.sh and README.md, with a short name that no other kind has.",
			Source: "promise \"symmetric\"",
		},
		{
			ID:     "HF102",
			Title:  "A kind or template does not keep its contract",
			Story:  "A field that the core does not know is a field that nobody acts on: a unit with \"conects\" would get no way to its database, and its dump would hang until the deadline.",
			Fix:    "It is a bug of the kind that the message names; correct its kind.libsonnet.",
			Source: "promise \"symmetric\"",
		},
		{
			ID:     "HF103",
			Title:  "Two units have the same id",
			Story:  "Snapshots, locks and restores are found by the id. With one id for two databases, each restore would be a game of chance between them.",
			Fix:    "Give the two different keys, also when they are on different servers.",
			Source: "S0-39",
		},
		{
			ID:     "HF104",
			Title:  "Nothing backs this up",
			Story:  "The state knows of data for which no kind has a way. Tools that work from a list of their own never notice; new buckets and databases are missed for months.",
			Fix:    "Use a kind that knows it, or skip it with a reason.",
			Source: "S0-21, S2-18, promise \"total\"",
		},
		{
			ID:     "HF105",
			Title:  "More than one unit claims the same data",
			Story:  "Two copies of one thing disagree sooner or later, and each of their owners believes that the other is the one that counts.",
			Fix:    "Let one unit claim it; parts of one unit number themselves with part.number and part.of.",
			Source: "S0-11, promise \"total\"",
		},
		{
			ID:     "HF106",
			Title:  "A unit claims what cannot be claimed",
			Story:  "A unit that covers nothing, or a place that does not exist, makes the proof of coverage worth nothing: it would look as if something were backed up.",
			Fix:    "Let covers name places that the state's schema marks with x-coverable.",
			Source: "promise \"total\"",
		},
		{
			ID:     "HF107",
			Title:  "A kind skips a unit without a reason",
			Story:  "A kind that decides by itself to leave data out must say why, or the gap looks like an oversight, and often is one.",
			Fix:    "Return a reason with need: 'skip'.",
			Source: "S1-2, S2-18",
		},
		{
			ID:     "HF108",
			Title:  "There is no image for a unit",
			Story:  "A dump client that is older than its server refuses to dump, and a newer one writes what the old server cannot read back. So the client's version follows from the server's, and one that is not known is not guessed.",
			Fix:    "Name an image for that version in the settings (images).",
			Source: "S0-1, S0-37",
		},
		{
			ID:     "HF109",
			Title:  "An image is not pinned",
			Story:  "\"latest\" is another program every few weeks. The dump that worked in the test is not the one that runs next month, and a hijacked tag runs with the database's password.",
			Fix:    "Name a version, best with its digest. With requireDigest the digest is a must.",
			Source: "S0-37",
		},
		{
			ID:     "HF110",
			Title:  "A unit's way of capture does not fit its engine",
			Story:  "Each source belongs to one engine. A bucket sync that is handed to K8up, or a dump that is handed to rclone, is run by nobody.",
			Fix:    "Use sync with the engine rclone; dump, exec and volume with restic.",
			Source: "S0-11",
		},
		{
			ID:     "HF111",
			Title:  "The order of units cannot be kept",
			Story:  "A database names files in a bucket. When the bucket is copied first, the restored database names files that the copy does not have. An order that goes in a circle, or names a unit that does not exist, keeps nothing in step.",
			Fix:    "Let consistent name ids of units of this instance, without a circle.",
			Source: "S2-7",
		},
		{
			ID:     "HF112",
			Title:  "A setting names nothing",
			Story:  "An override for \"postgresql/nextclaud\" changes no retention at all. Whoever wrote it believes that a year of copies is kept, and there are thirty days.",
			Fix:    "Use a unit's id, a kind's name or an image's name as holdfast plan and holdfast kinds print them.",
			Source: "S0-19",
		},
		{
			ID:     "HF113",
			Title:  "The owner of a volume's files is not known",
			Story:  "K8up reads files as a user of its own. Those it may not read are left out, restic's exit code 3 is ignored, and the backup is green with an empty snapshot.",
			Fix:    "Add \"owner\": {\"uid\": …, \"gid\": …}: the numbers that ls -ln shows inside the volume.",
			Source: "K8up: T4; proof B",
		},
		{
			ID:     "HF114",
			Title:  "Reading as root is not decided",
			Story:  "Private files of root can be read by root alone, which Pod Security \"restricted\" forbids. Without a decision they would be missing under a green status; with a needless one a pod would have more rights than it uses.",
			Fix:    "Accept a pod that runs as root with runAsRoot and a reason, or take the exception away where root owns nothing.",
			Source: "K8up: T4; proof B",
		},
		{
			ID:     "HF115",
			Title:  "Two units read the same data",
			Story:  "The same bucket or claim under two names is copied twice, restored twice, and the second restore overwrites the first.",
			Fix:    "Take one of the two away.",
			Source: "S0-11",
		},
		{
			ID:     "HF117",
			Title:  "A name of an environment variable that no shell can read",
			Story:  "A variable with a dash in its name reaches the pod, but no POSIX script can read it. The script then works with its default, or with nothing.",
			Fix:    "Use capitals, digits and underscores.",
			Source: "promise \"secrets never reach a template\": values travel by environment",
		},
		{
			ID:     "HF118",
			Title:  "A unit may be empty without a reason",
			Story:  "In a whole openDesk instance one source may rightly be empty, the extensions of Keycloak. Any other empty dump is a broken one, and to K8up both are a success.",
			Fix:    "Give allowEmpty a reason, or take it away.",
			Source: "S0-40; K8up: T3",
		},
		{
			ID:     "HF201",
			Title:  "A schedule that does not work",
			Story:  "K8up takes any text for a schedule. A wrong one shows up only in a condition that nobody watches; one for the 31st of February is accepted by everybody and never fires; \"@daily-random\" hides from everyone when it runs.",
			Fix:    "Write five fields: minute, hour, day of month, month, day of week (0 to 6).",
			Source: "K8up: T10, section 1.8",
		},
		{
			ID:     "HF203",
			Title:  "Two jobs of one repository start in the same minute",
			Story:  "Three first backups in one minute gave a fresh repository three keys, and it was dead for ever. Exclusive jobs of the same second ran side by side, and one of two prunes failed.",
			Fix:    "Give each a minute of its own, or let Holdfast choose.",
			Source: "proof A, G; K8up: #861",
		},
		{
			ID:     "HF204",
			Title:  "A check or prune starts beside a backup",
			Story:  "They exclude each other, so one waits for the other: for as long as its deadline, when that one hangs. A night's backups then come in the morning, or not at all.",
			Fix:    "Move backup.maintenance, or let the window end earlier.",
			Source: "proof A, G; K8up: lint rule 13",
		},
		{
			ID:     "HF205",
			Title:  "The window is too small",
			Story:  "Each source needs a minute of its own. More sources than minutes would mean that several start at once, which is what the spreading is there to prevent.",
			Fix:    "Widen backup.window.",
			Source: "S0-24",
		},
		{
			ID:     "HF206",
			Title:  "A unit starts before one that must be taken first",
			Story:  "When the bucket is copied before the database is dumped, files of the time in between are named by the database and missing in the copy. After a restore, users see documents that do not open.",
			Fix:    "Start the one that must come first earlier in the same night, or leave both to Holdfast.",
			Source: "S2-7",
		},
		{
			ID:     "HF207",
			Title:  "A unit may run for longer than the time between its starts",
			Story:  "Runs pile up: each waits for the one before, all hold the repository, and prune never gets its turn. K8up's own switch against this is never read.",
			Fix:    "Shorten the deadline, or run less often.",
			Source: "K8up: lint rule 12, #370, #936",
		},
		{
			ID:     "HF208",
			Title:  "The retention could leave no good copy",
			Story:  "With one copy, the nightly prune removes the good one of yesterday right after the broken one of today was made. K8up also counts retries as copies, so \"the last five\" can be five of the same night.",
			Fix:    "Keep at least two daily copies.",
			Source: "S0-19; K8up: section 1.5, #871",
		},
		{
			ID:     "HF209",
			Title:  "There is no such time zone",
			Story:  "K8up cannot read a schedule in a zone that it does not know, and says so only in a condition of the Schedule. Every job of the instance would be registered nowhere.",
			Fix:    "Write a name of the IANA time zone database, such as Europe/Berlin, or UTC.",
			Source: "K8up: section 1.8",
		},
		{
			ID:     "HF210",
			Title:  "A unit starts in an hour that one night does not have",
			Story:  "When clocks go forward, an hour is missing, and cron leaves out what would start in it, without a word. Once a year there is no backup, and the alarm about it is taken for a false one.",
			Fix:    "Choose another hour, or UTC.",
			Source: "cron's behaviour",
		},
		{
			ID:     "HF301",
			Title:  "A name is too long for K8up",
			Story:  "K8up makes a Job's name of the Schedule's. With 34 characters it is longer than a label may be: the Job is refused, the backup stays \"Ready\" for ever, never fails, and its dump pod keeps running.",
			Fix:    "Shorten the name; 33 characters are the most. For a prune, keep fewer kinds of copies in one retention.",
			Source: "K8up: T8; proof L",
		},
		{
			ID:     "HF302",
			Title:  "Two units would be stored under one path",
			Story:  "K8up stores a dump under its namespace and the name of its container. Two dumps of one name are one series of snapshots, and pruning it deletes one application's copies in favour of the other's.",
			Fix:    "Rename one of the two.",
			Source: "K8up: T1, #1068; S0-39",
		},
		{
			ID:     "HF303",
			Title:  "A dump pod has the name of a running workload",
			Story:  "K8up looks for a Deployment of the PreBackupPod's name. It takes the application for its own dump pod, runs the dump in it, and deletes it when the backup is done.",
			Fix:    "Rename the unit's key.",
			Source: "K8up: T2",
		},
		{
			ID:     "HF304",
			Title:  "Copies of one instance lie in those of another",
			Story:  "What prunes or mirrors a folder removes what does not belong there. With two instances in one folder, each is what does not belong there for the other.",
			Fix:    "Give each instance a bucket, or a prefix that no other contains.",
			Source: "S0-15",
		},
		{
			ID:     "HF305",
			Title:  "Two instances share a password or an access key",
			Story:  "Whoever breaks into one customer's namespace finds there what opens the other customer's backup.",
			Fix:    "Make a password and keys for each instance.",
			Source: "S0-15",
		},
		{
			ID:     "HF306",
			Title:  "Two instances back up the same thing, or share a lock",
			Story:  "Two instances that both claim a database restore it over each other. With one lock between them, the upgrade of the one stops the backups of the other.",
			Fix:    "Let one instance claim the source; give instances ids that differ early.",
			Source: "S0-14, S0-15",
		},
		{
			ID:     "HF307",
			Title:  "Two instances make different objects of one name",
			Story:  "Flux would change the object to one instance's form, then to the other's, at every reconciliation, for ever. For a ConfigMap of scripts that means that the scripts change under a running dump.",
			Fix:    "Let the kind put item.name into the object's name.",
			Source: "S0-14",
		},
		{
			ID:     "HF308",
			Title:  "An address for a network policy is missing or wrong",
			Story:  "A policy for a range with stray bits matches something else than its author reads in it. Without the API server's real addresses no dump ever starts: its Service address matches nothing, because it is translated before the policy looks.",
			Fix:    "Give ranges as address/length; for the API server those of \"kubectl get endpoints kubernetes\" and their port.",
			Source: "proof J; K8up: section 4",
		},
		{
			ID:     "HF401",
			Title:  "A template made something that is no Kubernetes object",
			Story:  "Without the label of its owner an object is found by nobody who cleans up, and with a namespace where none belongs the whole tree is refused: Flux applies all of it or nothing.",
			Fix:    "It is a bug of the kind that made the object; correct its kind.libsonnet.",
			Source: "promise \"nothing half done\"",
		},
		{
			ID:     "HF402",
			Title:  "A name or label that Kubernetes refuses",
			Story:  "One underscore in one name, and the API server refuses the object and Flux the whole tree. Until somebody looks, nothing else is updated either.",
			Fix:    "Use lower-case letters, digits and dashes; build names from item.name.",
			Source: "promise \"nothing half done\"",
		},
		{
			ID:     "HF403",
			Title:  "An object is rendered twice",
			Story:  "kustomize refuses a tree in which an object stands twice, and with it all backups of the instance.",
			Fix:    "Render it once; what several units share belongs to the platform's templates.",
			Source: "promise \"nothing half done\"",
		},
		{
			ID:     "HF404",
			Title:  "A Schedule lacks what K8up needs",
			Story:  "K8up's schema demands next to nothing. A block without schedule crashes the operator; a backend with two types takes the one of K8up's own order; retention without keepDaily keeps 14 whatever else it says; without a deadline a job may hang for ever, and holds off prune and check.",
			Fix:    "Use the constructors of lib/k8up.libsonnet, which always write all of it.",
			Source: "K8up: T9, T11, T12, T15, section 1.5, lint rules 4 to 7, 12, 20",
		},
		{
			ID:     "HF405",
			Title:  "A field that K8up ignores or that does harm",
			Story:  "One value of keepTags makes K8up prune the snapshots of other namespaces; hostnames and concurrentRunsAllowed are never read; with fsGroup kubelet changes owner and modes of the live volume, after which PostgreSQL refuses to start from it.",
			Fix:    "Leave the field out.",
			Source: "K8up: T6, T7, T16, T17; proof F",
		},
		{
			ID:     "HF406",
			Title:  "A reference leads nowhere",
			Story:  "A pod whose Secret or ConfigMap does not exist waits for ever. A PodConfig that does not exist is worse: K8up ignores it, Pod Security refuses the pods, and the backup neither runs nor fails.",
			Fix:    "Correct the name, or declare the Secret in the state (…Ref) or in the unit's capture.",
			Source: "K8up: T15; proof B",
		},
		{
			ID:     "HF407",
			Title:  "A mount without its volume",
			Story:  "The API server refuses the pod. In a Schedule it is quieter: K8up hands the backend's mounts down to each job, but not their volumes, so the Job can never make a pod.",
			Fix:    "Name each mounted volume in the same pod, and in each job of a Schedule.",
			Source: "K8up: section 1.8, lint rule 11",
		},
		{
			ID:     "HF408",
			Title:  "A key that no ConfigMap can have",
			Story:  "A key becomes a file's name. One with a slash in it is refused, and with it the tree.",
			Fix:    "Use letters, digits, dashes, underscores and dots.",
			Source: "promise \"nothing half done\"",
		},
		{
			ID:     "HF409",
			Title:  "Pod Security \"restricted\" would refuse a pod",
			Story:  "The Job is made and its pods are not. The only trace is an event, which is gone after an hour; the backup looks as if it were running until its deadline.",
			Fix:    "Use k8s.container and k8s.restrictedPod, which set what restricted asks for.",
			Source: "proof B",
		},
		{
			ID:     "HF410",
			Title:  "An amount that is no quantity",
			Story:  "\"2 GB\" is refused by the API server. \"2G\" where \"2Gi\" was meant is taken, and a scratch folder of no size at all evicts the pod at its first byte.",
			Fix:    "Write amounts such as \"500m\", \"256Mi\", \"10Gi\", above zero.",
			Source: "S0-24",
		},
		{
			ID:     "HF411",
			Title:  "A job is not on the plan's clock",
			Story:  "The plan proves that jobs do not meet. A job with a schedule that does not work, or in another zone than the rest, is not where the proof believes it to be.",
			Fix:    "Take schedule and zone from item.schedule.",
			Source: "K8up: section 1.8",
		},
		{
			ID:     "HF412",
			Title:  "A policy with something that is no address range",
			Story:  "The API server refuses the policy, and the tree with it; or takes the host's name for a rule that matches nothing, and the backup cannot reach its storage.",
			Fix:    "Write address/length.",
			Source: "proof J",
		},
		{
			ID:     "HF413",
			Title:  "A backup selects another number of sources than one",
			Story:  "A selector that finds nothing gives a green backup with \"nothing to back up\". One that finds two runs both in one Job, in which the first that fails takes the other with it.",
			Fix:    "Give the PreBackupPod the label holdfast.dev/unit of its own unit, and the Schedule that selector.",
			Source: "K8up: T13, lint rule 10; S0-38; proof A",
		},
		{
			ID:     "HF414",
			Title:  "A pod is not confined, or a policy confines nothing",
			Story:  "K8up overwrites the labels of dump pods, so a policy for one's own labels selects none of them: it looks like a wall and is air. A rule without targets or ports lets everything out.",
			Fix:    "Select job pods by k8upjob and their PodConfig's labels, dump pods by k8up.io/preBackupPod; let connects say what is let out.",
			Source: "K8up: T18, section 4; proof J",
		},
		{
			ID:     "HF415",
			Title:  "A credential stands in a file that is no Secret",
			Story:  "Manifests go to Git, into logs and reviews, and stay in the history. A password that was there once must be changed everywhere.",
			Fix:    "If the password is an ordinary word that also stands in manifests, make a real one. Else a template, or the state, repeats it: take it out.",
			Source: "S0-20, S0-27, promise \"secrets never reach a template\"",
		},
		{
			ID:     "HF417",
			Title:  "Snapshots do not belong to exactly one tier",
			Story:  "Prune finds snapshots by the tag of their tier. Without one they are kept for ever; with two, the shorter retention deletes what the longer one promised to keep.",
			Fix:    "Take the tags from item.tags.",
			Source: "proof G",
		},
		{
			ID:     "HF418",
			Title:  "A Job's frame is missing",
			Story:  "Without a deadline a job that hangs is never reported. Without Forbid a second sync starts into the first one's. A container that is started again works on what its predecessor left behind, half a dump among it.",
			Fix:    "Set activeDeadlineSeconds, backoffLimit, restartPolicy: Never, concurrencyPolicy: Forbid and a history of successes.",
			Source: "S0-45",
		},
		{
			ID:     "HF419",
			Title:  "A template made a Secret",
			Story:  "Whatever a template can write into a Secret it can write anywhere else. So templates never see a value: Secrets are made outside of them, from fields that a unit names.",
			Fix:    "Name the fields in the unit's capture.credentials.",
			Source: "S0-20, promise \"secrets never reach a template\"",
		},
		{
			ID:     "HF420",
			Title:  "An object whose removal deletes data",
			Story:  "Flux prunes what is no longer in Git. For a claim, a namespace or a definition of resources that means the data in it: a changed name in the state would delete what the backup is there to save.",
			Fix:    "Leave live claims and namespaces to whoever made them; the marker Job labels them where they are.",
			Source: "proof F; S0-36",
		},
		{
			ID:     "HF421",
			Title:  "A role that grants everything",
			Story:  "A dump pod runs a database's client on a database's content. With \"*\" in its role, whoever takes over that client has the namespace, or the cluster.",
			Fix:    "Name groups, resources and verbs one by one in the unit's rbac.",
			Source: "S0-5, promise \"least privilege\"",
		},
		{
			ID:     "HF422",
			Title:  "Too many objects for one Flux Kustomization",
			Story:  "kustomize's time grows with the square of their number. Beyond a thousand, a reconciliation takes longer than its interval, and the tree in the cluster is always an old one.",
			Fix:    "Split the instance, or let the kind make fewer objects.",
			Source: "measured with kustomize",
		},
		{
			ID:     "HF423",
			Title:  "A lock that Flux would take away",
			Story:  "Who holds a lock stands in its data. With data in Git, or without IfNotPresent, the next reconciliation wipes the holder, and a second job starts beside the first.",
			Fix:    "Render locks without data and with the annotation kustomize.toolkit.fluxcd.io/ssa: IfNotPresent.",
			Source: "proof E; S0-45",
		},
		{
			ID:     "HF424",
			Title:  "A pod without container, account or resources",
			Story:  "A pod without requests is the first that a full node evicts, and one without a limit fills the node itself. Under the account \"default\" it has whatever rights somebody once gave to that account.",
			Fix:    "Use k8s.container with item.resources, and item.serviceAccount.",
			Source: "S0-24; K8up: T16",
		},
		{
			ID:     "HF425",
			Title:  "A dump command that must be quoted, or no file extension",
			Story:  "K8up splits backupCommand by rules that no shell has. A pipe without pipefail prints nothing and succeeds: a green backup of no bytes. A script's path needs no quoting and has one exit code.",
			Fix:    "Put the command into dump.sh and name its path; begin the extension with a dot.",
			Source: "K8up: T3, lint rules 1 and 8; S0-38",
		},
		{
			ID:     "HF426",
			Title:  "A file outside the instance's folder",
			Story:  "An instance that writes elsewhere overwrites another instance's manifests, or whatever else lies in the repository.",
			Fix:    "Take paths from item.file and item.restoreFile.",
			Source: "promise \"nothing half done\"",
		},
		{
			ID:     "HF427",
			Title:  "The tree lacks what the plan promises",
			Story:  "The plan says that a source is backed up, locked and can be restored. A kind that leaves one of these objects out makes the plan a lie, and the restore impossible on the day it is needed.",
			Fix:    "Let objects(item) and restore(item, request) return what source.libsonnet gives them.",
			Source: "promise \"symmetric\", S0-18",
		},
		{
			ID:     "HF501",
			Title:  "Secrets in plain text would go into a Git work tree",
			Story:  "A folder inside a work tree is committed sooner or later, and a pushed password stays in every clone even after it was removed.",
			Fix:    "Write outside of the work tree, or leave Secrets out.",
			Source: "S0-20",
		},
		{
			ID:     "HF502",
			Title:  "A file that is not ours is in the way",
			Story:  "Somebody put a file by hand where the tree goes. Writing over it would destroy work of which there may be no other copy.",
			Fix:    "Move the file away, or render into another folder.",
			Source: "promise \"nothing half done\"",
		},
		{
			ID:     "HF503",
			Title:  "The tree would shrink sharply",
			Story:  "A state that was cut short, or made while half of the applications were off, renders into half a tree. Flux would prune the other half of the backups before anybody has looked.",
			Fix:    "Look at what would go; when it is right, say so with --allow-shrink.",
			Source: "S0-30",
		},
		{
			ID:     "HF504",
			Title:  "The folder cannot be written safely",
			Story:  "A link inside the tree, or a path that leads out of it, would have files written and removed where nobody expects it.",
			Fix:    "Render into a folder of its own, without links in it.",
			Source: "promise \"nothing half done\"",
		},
	}
	slices.SortFunc(rules, func(a, b Rule) int { return cmp.Compare(a.ID, b.ID) })
	return rules
}

// FindRule returns the rule of that number.
func FindRule(id string) (Rule, bool) {
	for _, rule := range Rules() {
		if rule.ID == id {
			return rule, true
		}
	}
	return Rule{}, false
}
