package input

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// layout is a pair of documents in testdata.
type layout struct{ name, state, credentials string }

func layouts(t testing.TB) []layout {
	t.Helper()
	var all []layout
	for _, name := range []string{"a", "b"} {
		all = append(all, layout{name, read(t, "state-"+name+".json"), read(t, "credentials-"+name+".json")})
	}
	return all
}

func read(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func validator(t testing.TB) *Validator {
	t.Helper()
	v, err := NewValidator(nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// run loads and validates one instance; policy may be empty.
func run(t testing.TB, v *Validator, state, credentials, policy string) ([]Instance, problem.List) {
	t.Helper()
	s, problems := Load(Document{Name: "state.json", Data: []byte(state)})
	c, more := Load(Document{Name: "credentials.json", Data: []byte(credentials), Secret: true})
	problems = append(problems, more...)
	var p *Tree
	if policy != "" {
		p, more = Load(Document{Name: "policy.json", Data: []byte(policy)})
		problems = append(problems, more...)
	}
	instances, more := v.Validate([]*Tree{s}, []*Tree{c}, p)
	return instances, append(problems, more...).Sorted()
}

func TestSamplesAreValid(t *testing.T) {
	t.Parallel()
	v := validator(t)
	for _, l := range layouts(t) {
		t.Run(l.name, func(t *testing.T) {
			instances, problems := run(t, v, l.state, l.credentials, "")
			if len(problems) > 0 {
				t.Fatalf("problems:\n%s", problems.Error())
			}
			if len(instances) != 1 {
				t.Fatalf("%d instances, want 1", len(instances))
			}
			state, credentials := instances[0].State, instances[0].Credentials
			if state.InstanceID != credentials.InstanceID || state.InstanceID == "" {
				t.Errorf("ids %q and %q", state.InstanceID, credentials.InstanceID)
			}
			if len(state.Ignored) > 0 {
				t.Errorf("ignored %q", state.Ignored)
			}
			if instances[0].Policy != nil {
				t.Error("a policy came from nowhere")
			}
		})
	}
}

func TestDecoded(t *testing.T) {
	t.Parallel()
	l := layouts(t)[1]
	policy := `{
		"schemaVersion": 1, "timezone": "UTC", "requireDigest": true,
		"window": {"start": "22:00", "end": "02:00"},
		"schedules": {"postgresql/nextcloud": "5 1 * * *"},
		"maintenance": {"check": "0 5 * * 0", "prune": "0 6 * * 0"},
		"deadlines": {"check": 3600, "volume": 60},
		"images": {"platform/k8up": "ghcr.io/k8up-io/k8up:v2.15.0@sha256:` + strings.Repeat("0", 64) + `"},
		"resources": {"bucket": {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}}},
		"scratch": {"mariadb": "10Gi"},
		"transfer": {"bandwidth": "08:00,2M 20:00,off", "transfers": 4, "checkers": 8, "maxDeletePercent": 10, "historyDays": 30},
		"flux": {"namespace": "flux-system", "interval": "10m", "path": "./clusters/x", "sourceRef": {"kind": "GitRepository", "name": "fleet"},
			"dependsOn": [{"name": "k8up", "namespace": "k8up-system"}], "decryption": {"secret": "sops-age"}}
	}`
	instances, problems := run(t, validator(t), l.state, l.credentials, policy)
	if len(problems) > 0 {
		t.Fatalf("problems:\n%s", problems.Error())
	}
	s, c, p := instances[0].State, instances[0].Credentials, instances[0].Policy
	yes := true
	wantPolicy := Settings{
		Timezone: "UTC", RequireDigest: &yes,
		Window:      &Window{Start: "22:00", End: "02:00"},
		Schedules:   map[string]string{"postgresql/nextcloud": "5 1 * * *"},
		Maintenance: Maintenance{Check: "0 5 * * 0", Prune: "0 6 * * 0"},
		Deadlines:   map[string]int64{"check": 3600, "volume": 60},
		Images:      map[string]string{"platform/k8up": "ghcr.io/k8up-io/k8up:v2.15.0@sha256:" + strings.Repeat("0", 64)},
		Resources:   map[string]Resources{"bucket": {Requests: map[string]string{"cpu": "100m"}, Limits: map[string]string{"memory": "1Gi"}}},
		Scratch:     map[string]string{"mariadb": "10Gi"},
		Transfer:    Transfer{Bandwidth: "08:00,2M 20:00,off", Transfers: 4, Checkers: 8, MaxDeletePercent: 10, HistoryDays: 30},
		Flux: &Flux{Namespace: "flux-system", Interval: "10m", Path: "./clusters/x", SourceRef: &FluxSource{Kind: "GitRepository", Name: "fleet"},
			DependsOn: []Reference{{Name: "k8up", Namespace: "k8up-system"}}, Decryption: &Decryption{Secret: "sops-age"}},
	}
	wantBackup := &Settings{
		Enabled: true, Timezone: "Europe/Berlin", Window: &Window{Start: "22:30", End: "04:30"},
		Retention: Retentions{Default: &Retention{KeepDaily: 30}, Overrides: map[string]Retention{
			"postgresql/keycloak": {KeepDaily: 30, KeepWeekly: 8}, "secrets-manager": {KeepDaily: 30, KeepMonthly: 12}, "control-plane": {KeepDaily: 7}}},
	}
	wantCluster := Cluster{
		Name: "od-timy-3", Provider: "stackit-ske", ProjectID: "00000000-0000-4000-8000-0000000000aa", Region: "eu01",
		KubernetesVersion: "1.32.5", ClusterDomain: "cluster.local", Kubeconfig: "kubeconfig.yaml", ManagedControlPlane: true,
		EgressCIDRs: []string{"192.0.2.17/32"}, StorageClasses: StorageClasses{RWO: "premium-perf1-stackit", RWX: "sfs-rwx"},
	}
	wantRclone := &Rclone{
		Store: Store{Endpoint: "https://object.storage.eu01.onstackit.cloud", Region: "eu01", Bucket: "tbcd30494-backup", Prefix: "rclone",
			AccessKeyID: "EXAMPLEKEYRCLONE0001", SecretAccessKey: "example-not-a-real-secret-rclone"},
		Provider: "Other",
		Crypt: Crypt{Password: "example-crypt-password-plain-0001", Password2: "example-crypt-salt-plain-0001", PasswordsAre: "plain",
			FilenameEncryption: "standard", DirectoryNameEncryption: true, FilenameEncoding: "base32",
			Canary: &Canary{Path: ".canary/tbcd30494", SHA256: strings.Repeat("0", 64)}},
	}
	for _, check := range []struct {
		name      string
		got, want any
	}{
		{"policy", p.Settings, wantPolicy},
		{"backup", s.Backup, wantBackup},
		{"cluster", s.Cluster, wantCluster},
		{"rclone", c.Rclone, wantRclone},
		{"restic password", c.Restic.Password, "example-restic-repository-password-0001"},
		{"secrets manager", c.Tree.text("secretsManager", "username"), "smexample"},
		{"recipients", c.Git.Recipients, []string{"age1yc4tdsz62kxl6d5hhq6gyk604z6vqa7ucngcdp0460gl7exum43qpxd3w2"}},
		{"rotation", c.Rotation, &Rotation{Generation: 1}},
		{"namespaces", s.Namespaces["mariadb"], "playground-timi-3-c-timy-db"},
		{"namespace", s.Namespace, "playground-timi-3-c-timy"},
		{"stage", s.Stage, ""},
		{"customer", s.CustomerID, "timi-3"},
		{"edition", s.Edition, "enterprise"},
		{"api server", s.Network.APIServer, &APIServer{CIDRs: []string{"192.0.2.45/32"}, Port: 443}},
		{"endpoints", len(s.Network.Endpoints), 3},
	} {
		if !reflect.DeepEqual(check.got, check.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", check.name, check.got, check.want)
		}
	}
	wantSecrets := []string{
		"EXAMPLEKEYRESTIC0001", "example-not-a-real-secret-restic", "example-restic-repository-password-0001",
		"EXAMPLEKEYRCLONE0001", "example-not-a-real-secret-rclone", "example-crypt-password-plain-0001", "example-crypt-salt-plain-0001",
		"smexample", "example-not-a-real-secret-sm", "73lsVCih2xsl93dEcvtZHM/0tnVnrIYkzgocb/HKCrg=",
	}
	var values []string
	for _, secret := range c.Secrets() {
		values = append(values, secret.Value)
	}
	if !slices.Equal(values, wantSecrets) {
		t.Errorf("secrets:\n got %q\nwant %q", values, wantSecrets)
	}
}

func TestCoverable(t *testing.T) {
	t.Parallel()
	l := layouts(t)[1]
	instances, problems := run(t, validator(t), l.state, l.credentials, "")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := []string{"/databases/postgresql/0"}
	add := func(prefix string, n int) {
		for i := range n {
			want = append(want, prefix+string(rune('0'+i%10)))
			if i >= 10 {
				want[len(want)-1] = prefix + "1" + string(rune('0'+i%10))
			}
		}
	}
	add("/databases/postgresql/0/databases/", 9)
	want = append(want, "/databases/postgresql/1")
	add("/databases/postgresql/1/databases/", 2)
	want = append(want, "/databases/mariadb/0", "/databases/cassandra/0", "/ldap")
	add("/objectStores/", 7)
	add("/volumes/", 15)
	want = append(want, "/secretsManager", "/kubernetes/exportSecrets", "/kubernetes/configMaps/0", "/kubernetes/exportNamespaceYaml", "/kubernetes/exportClusterScoped")
	if got := instances[0].State.Coverable; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// Layout B has no stage: there "storage" is near an absent key, but of another
// type.
func TestForeignSectionsAreIgnored(t *testing.T) {
	t.Parallel()
	l := layouts(t)[1]
	state := strings.Replace(l.state, `"schemaVersion": 1,`, `"schemaVersion": 1, "foreign": ["storage", "terraform"], "terraform": {"volumes": [{}]}, "dns": [1], "storage": {"a": 1},`, 1)
	state = strings.Replace(state, `"mariadb": "playground-timi-3-c-timy-db",`, `"mariadb": "playground-timi-3-c-timy-db", "mail": "playground-timi-mail",`, 1)
	instances, problems := run(t, validator(t), state, l.credentials, `{"schemaVersion": 1, "foreign": ["dns", "helmfile"]}`)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if got, want := instances[0].State.Ignored, []string{"dns", "storage", "terraform"}; !slices.Equal(got, want) {
		t.Errorf("ignored %q, want %q", got, want)
	}
	if got := instances[0].State.Namespaces["mail"]; got != "playground-timi-mail" {
		t.Errorf("namespace mail is %q", got)
	}
}

func TestSections(t *testing.T) {
	t.Parallel()
	section := `{
		"type": "array",
		"items": {
			"type": "object", "required": ["name", "backup"], "additionalProperties": false, "x-coverable": true,
			"properties": {
				"name": {"$ref": "#/$defs/name"},
				"passwordRef": {"$ref": "forms.schema.json#/$defs/secretRef"},
				"backup": {"$ref": "forms.schema.json#/$defs/backup"},
				"reason": {"$ref": "forms.schema.json#/$defs/reason"}
			}
		},
		"$defs": {"name": {"type": "string", "pattern": "^[a-z]+$", "x-form": "a short name"}}
	}`
	v, err := NewValidator(map[string]json.RawMessage{"queues": json.RawMessage(section)})
	if err != nil {
		t.Fatal(err)
	}
	l := layouts(t)[0]
	with := func(text string) string {
		return strings.Replace(l.state, `"schemaVersion": 1,`, `"schemaVersion": 1, "queues": `+text+`,`, 1)
	}
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{name: "right", text: `[{"name": "mail", "backup": "required"}]`},
		{name: "form", text: `[{"name": "Mail", "backup": "required"}]`, want: []string{`HF008 /queues/0/name: "Mail" is not a short name`}},
		{name: "typo", text: `[{"name": "mail", "bakcup": "required"}]`, want: []string{`HF004 /queues/0/bakcup: unknown key "bakcup"`}},
		{name: "skip", text: `[{"name": "mail", "backup": "skip"}]`, want: []string{`HF011 /queues/0/backup: "skip" without a reason`}},
		{name: "shared form", text: `[{"name": "mail", "backup": "skip", "reason": "x", "passwordRef": {"kind": "Secrets", "name": "a", "key": "b"}}]`,
			want: []string{`HF012 /queues/0/passwordRef/kind: "Secrets" is not one of Secret, ExternalSecret`}},
		{name: "type", text: `{}`, want: []string{`HF006 /queues: expected array, found object`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			instances, problems := run(t, v, with(test.text), l.credentials, "")
			if got := brief(problems); !slices.Equal(got, test.want) {
				t.Fatalf("got  %q\nwant %q", got, test.want)
			}
			if len(test.want) == 0 && !slices.Contains(instances[0].State.Coverable, "/queues/0") {
				t.Errorf("/queues/0 is not in %q", instances[0].State.Coverable)
			}
		})
	}
	for name, section := range map[string]string{"taken": `{}`, "text": `"x"`, "null": `null`, "broken": `{"$ref": "nowhere.json"}`, "far": `{"$ref": "https://example.org/x.json"}`, "file": `{"$ref": "file:///etc/passwd"}`} {
		key := name
		if name == "taken" {
			key = "volumes"
		}
		if _, err := NewValidator(map[string]json.RawMessage{key: json.RawMessage(section)}); err == nil {
			t.Errorf("section %s: no error", name)
		}
	}
}

// brief is the rule, pointer and message of each problem.
func brief(problems problem.List) []string {
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.Rule+" "+p.Pointer+": "+p.Message)
	}
	return lines
}
