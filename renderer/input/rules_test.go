package input

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// edit replaces the first old by new, and fails if there is none.
func edit(t testing.TB, text, old, new string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("%q is not there", old)
	}
	return strings.Replace(text, old, new, 1)
}

// change is an edit of one of the documents of layout B.
type change struct{ document, old, new string }

// apply makes changes to layout B.
func apply(t testing.TB, changes []change) (state, credentials string) {
	t.Helper()
	l := layouts(t)[1]
	state, credentials = l.state, l.credentials
	for _, c := range changes {
		switch c.document {
		case "state":
			state = edit(t, state, c.old, c.new)
		case "credentials":
			credentials = edit(t, credentials, c.old, c.new)
		default:
			t.Fatalf("no document %q", c.document)
		}
	}
	return state, credentials
}

func TestRules(t *testing.T) {
	t.Parallel()
	v := validator(t)
	resticExpires := change{"credentials", `"expiresAt": null,
    "password"`, `"expiresAt": "2026-06-03T06:12:55+02:00", "password"`}
	for _, test := range []struct {
		name    string
		changes []change
		want    []string
	}{
		{name: "HF004 unknown key, few known", changes: []change{{"state", `"start": "22:30",`, `"start": "22:30", "colour": "red",`}},
			want: []string{`HF004 /backup/window/colour: unknown key "colour"`}},
		{name: "HF004 other case beside the true key", changes: []change{{"state", `"namespace": "playground-timi-3-c-timy",`, `"namespace": "playground-timi-3-c-timy", "NAMESPACE": "x",`}},
			want: []string{`HF004 /NAMESPACE: unknown key "NAMESPACE"`}},
		{name: "HF004 unknown key of credentials is not shown", changes: []change{{"credentials", `"schemaVersion": 1,`, `"schemaVersion": 1, "hunter2hunter2": 1,`}},
			want: []string{`HF004 : unknown key`}},
		{name: "HF005 missing", changes: []change{{"state", `"port": 5432,`, ``}},
			want: []string{`HF005 /databases/postgresql/0: key "port" is missing`}},
		{name: "HF005 missing sections", changes: []change{{"state", `"network": {`, `"net": {`}},
			want: []string{`HF005 : key "network" is missing`, `HF004 /net: unknown key "net"`}},
		{name: "HF005 api server for NetworkPolicies", changes: []change{{"state", `"clusterCidrs": [`, `"egress": [`}},
			want: []string{`HF005 /network: key "clusterCidrs" is missing`, `HF004 /network/egress: unknown key "egress"`}},
		{name: "cilium needs no api server", changes: []change{
			{"state", `"policyEngine": "kubernetes",`, `"policyEngine": "cilium",`},
			{"state", `"apiServer": {
      "cidrs": [
        "192.0.2.45/32"
      ],
      "port": 443
    },`, ``}}},
		{name: "HF006 wrong type", changes: []change{{"state", `"port": 5432`, `"port": "5432"`}},
			want: []string{`HF006 /databases/postgresql/0/port: expected integer, found string`}},
		{name: "HF006 fraction", changes: []change{{"state", `"port": 5432`, `"port": 5432.5`}},
			want: []string{`HF006 /databases/postgresql/0/port: expected integer, found number`}},
		{name: "HF006 null where a text may be none", changes: []change{{"state", `"httpProxy": null`, `"httpProxy": 3`}},
			want: []string{`HF006 /network/httpProxy: expected string or null, found integer`}},
		{name: "HF006 section", changes: []change{{"state", `"ldap": {`, `"ldap": [], "xldapx": {`}},
			want: []string{`HF006 /ldap: expected object, found array`, `HF004 /xldapx: unknown key "xldapx"`}},
		{name: "HF008 port", changes: []change{{"state", `"port": 5432`, `"port": 70000`}},
			want: []string{`HF008 /databases/postgresql/0/port: 70000 is more than 65535`}},
		{name: "HF003 is enough", changes: []change{{"state", `"port": 5432`, `"port": 1e400`}},
			want: []string{`HF003 /databases/postgresql/0/port: a number beyond 2^53`}},
		{name: "HF001 is enough", changes: []change{{"state", `"mode": "external"`, `"mode": "ext\ud800"`}},
			want: []string{`HF001 /databases/postgresql/0/mode: half of a surrogate pair`}},
		{name: "HF008 namespace", changes: []change{{"state", `"mariadb": "playground-timi-3-c-timy-db"`, `"mariadb": "Play_ground"`}},
			want: []string{`HF008 /namespaces/mariadb: "Play_ground" is not a DNS label: at most 63 lower-case letters, digits and "-", no "-" first or last`}},
		{name: "HF008 name of an override", changes: []change{{"state", `"control-plane": {`, `"Control Plane": {`}},
			want: []string{`HF008 /backup/retention/overrides/Control Plane: the key "Control Plane" is not a unit id (kind/key) or the name of a kind`}},
		{name: "HF008 cut value", changes: []change{{"state", `"region": "eu01",`, `"region": "` + strings.Repeat("ü", 100) + `",`}},
			want: []string{`HF008 /cluster/region: "` + strings.Repeat("ü", 60) + `…" is not a label value: at most 63 letters, digits, "-", "_" and ".", a letter or digit first and last`}},
		{name: "HF008 empty keep", changes: []change{{"state", `{
          "keepDaily": 7
        }`, `{}`}}, want: []string{`HF008 /backup/retention/overrides/control-plane: fewer than 1 entries`}},
		{name: "HF008 empty secret", changes: []change{{"credentials", `"username": "smexample"`, `"username": ""`}},
			want: []string{`HF008 /secretsManager/username: the value is empty`}},
		{name: "HF008 value of credentials is not shown", changes: []change{{"credentials", `"region": "eu01"`, `"region": "hunter/2"`}},
			want: []string{`HF008 /restic/region: the value is not a label value: at most 63 letters, digits, "-", "_" and ".", a letter or digit first and last`}},
		{name: "HF009 state", changes: []change{{"state", `"schemaVersion": 1`, `"schemaVersion": 2`}},
			want: []string{`HF009 /schemaVersion: unknown schemaVersion 2`}},
		{name: "HF009 text", changes: []change{{"state", `"schemaVersion": 1`, `"schemaVersion": "1"`}},
			want: []string{`HF009 /schemaVersion: "1" is not 1`}},
		{name: "HF010 differs", changes: []change{{"credentials", `"instanceId": "tbcd30494"`, `"instanceId": "ta8ce612e"`}},
			want: []string{`HF010 /instanceId: the instance differs from the one of state.json, "tbcd30494"`}},
		{name: "HF011 etcd", changes: []change{{"state", `"managedControlPlane": true`, `"managedControlPlane": false`}},
			want: []string{`HF011 /cluster/managedControlPlane: false, and nothing says what becomes of etcd`}},
		{name: "etcd exempted", changes: []change{{"state", `"managedControlPlane": true`, `"managedControlPlane": false, "etcd": {"backup": "skip", "reason": "k3s copies it"}`}}},
		{name: "HF012 etcd backed up", changes: []change{{"state", `"managedControlPlane": true`, `"managedControlPlane": false, "etcd": {"backup": "required", "reason": "x"}`}},
			want: []string{`HF012 /cluster/etcd/backup: "required" is not skip`}},
		{name: "HF011 export off", changes: []change{{"state", `"exportSecrets": true`, `"exportSecrets": false`}},
			want: []string{`HF011 /kubernetes/exportSecrets: false without a reason`}},
		{name: "HF011 export off with another's reason", changes: []change{{"state", `"exportSecrets": true`, `"exportSecrets": false, "reasons": {"exportClusterScoped": "x"}`}},
			want: []string{`HF011 /kubernetes/reasons: no reason for "exportSecrets": false`}},
		{name: "export off with reason", changes: []change{{"state", `"exportSecrets": true`, `"exportSecrets": false, "reasons": {"exportSecrets": "SOPS holds them"}`}}},
		{name: "HF011 no policy engine", changes: []change{{"state", `"policyEngine": "kubernetes"`, `"policyEngine": "none"`}},
			want: []string{"HF037 /network/defaultDenyEgress: true, but without policies (policyEngine none) nothing would let the backup's pods through", `HF011 /network/policyEngine: "none" without a reason`}},
		{name: "HF011 root without reason", changes: []change{{"state", `"claim": "postfix",`, `"claim": "postfix", "runAsRoot": {},`}},
			want: []string{`HF011 /volumes/11/runAsRoot: key "reason" is missing`}},
		{name: "HF012", changes: []change{{"state", `"backup": "required"`, `"backup": "requird"`}},
			want: []string{`HF012 /databases/postgresql/0/databases/0/backup: "requird" is not one of required, optional, skip`}},
		{name: "HF012 credentials", changes: []change{{"credentials", `"passwordsAre": "plain"`, `"passwordsAre": "plan"`}},
			want: []string{`HF012 /rclone/crypt/passwordsAre: the value is not one of plain, obscured`}},
		{name: "HF008 secret of two lines", changes: []change{{"credentials", `"password": "example-restic-repository-password-0001"`, `"password": "example-restic-repository\npassword-0001"`}},
			want: []string{`HF008 /restic/password: the value is not a line of text without control characters`}},
		{name: "HF013", changes: []change{{"credentials", `"password": "example-restic-repository-password-0001"`, `"password": "example-restic-repository-password-0001\n"`}},
			want: []string{`HF013 /restic/password: white space at an end of the value`}},
		{name: "HF044", changes: []change{{"credentials", `"password": "example-restic-repository-password-0001"`, `"password": "tbcd30494"`}},
			want: []string{`HF044 /restic/password: the value has 9 bytes, and must have 16`}},
		{name: "HF044 uniform", changes: []change{{"credentials", `"password": "example-restic-repository-password-0001"`, `"password": "aaaaaaaaaaaaaaaabcdefg"`}},
			want: []string{`HF044 /restic/password: the value has 7 different bytes, and must have 8`}},
		{name: "HF044 render key", changes: []change{{"credentials", `"renderKey": "73lsVCih2xsl93dEcvtZHM/0tnVnrIYkzgocb/HKCrg="`, `"renderKey": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`}},
			want: []string{`HF044 /git/renderKey: the key has only 1 different bytes: it is not random`}},
		{name: "HF013 elsewhere", changes: []change{{"credentials", `"bucket": "tbcd30494-backup",`, `"bucket": " tbcd30494-backup",`}},
			want: []string{`HF013 /restic/bucket: white space at an end of the value`}},
		{name: "HF014 restic and crypt", changes: []change{{"credentials", "example-crypt-password-plain-0001", "example-restic-repository-password-0001"}},
			want: []string{`HF014 /rclone/crypt/password: the same value as /restic/password`}},
		{name: "HF014 crypt and salt", changes: []change{{"credentials", "example-crypt-salt-plain-0001", "example-crypt-password-plain-0001"}},
			want: []string{`HF014 /rclone/crypt/password2: the same value as /rclone/crypt/password`}},
		{name: "HF015 same", changes: []change{{"credentials", `"prefix": "rclone"`, `"prefix": "restic"`}},
			want: []string{`HF015 /rclone/prefix: the folder overlaps with /restic/prefix in the same bucket`}},
		{name: "HF015 inside", changes: []change{{"credentials", `"prefix": "rclone"`, `"prefix": "restic/rclone"`}},
			want: []string{`HF015 /rclone/prefix: the folder overlaps with /restic/prefix in the same bucket`}},
		{name: "HF015 whole bucket", changes: []change{{"credentials", `"prefix": "restic"`, `"prefix": ""`}},
			want: []string{`HF015 /rclone/prefix: the folder overlaps with /restic/prefix in the same bucket`}},
		{name: "HF015 endpoint written otherwise", changes: []change{
			{"credentials", `"prefix": "rclone"`, `"prefix": "restic"`},
			{"credentials", `"https://object.storage.eu01.onstackit.cloud"`, `"https://Object.storage.eu01.onstackit.cloud:443/"`}},
			want: []string{`HF015 /rclone/prefix: the folder overlaps with /restic/prefix in the same bucket`}},
		{name: "neighbouring prefixes", changes: []change{{"credentials", `"prefix": "rclone"`, `"prefix": "restic-copies"`}}},
		{name: "HF016", changes: []change{{"state", `"bucket": "tbcd30494-notes"`, `"bucket": "tbcd30494-backup"`}},
			want: []string{
				`HF016 /restic/bucket: the bucket is also one that is backed up: /objectStores/4 in state.json`,
				`HF016 /rclone/bucket: the bucket is also one that is backed up: /objectStores/4 in state.json`}},
		{name: "HF017 restic", changes: []change{{"credentials", `"endpoint": "https:`, `"endpoint": "http:`}},
			want: []string{`HF017 /restic/endpoint: the endpoint is not https://`}},
		{name: "HF017 source", changes: []change{{"state", `"endpoint": "https:`, `"endpoint": "http:`}},
			want: []string{`HF017 /objectStores/0/endpoint: the endpoint is not https://`}},
		{name: "HF017 secrets manager", changes: []change{
			{"state", `"address": "https:`, `"address": "http:`}, {"credentials", `"address": "https:`, `"address": "http:`}},
			want: []string{`HF017 /secretsManager/address: the endpoint is not https://`, `HF017 /secretsManager/address: the endpoint is not https://`}},
		{name: "HF017 excused", changes: []change{{"credentials", `"endpoint": "https:`, `"plainHttp": {"reason": "a test server"}, "endpoint": "http:`}}},
		{name: "HF018", changes: []change{resticExpires},
			want: []string{`HF018 /restic/expiresAt: the keys expired before state.json was made (generatedAt 2026-06-03T04:12:55Z)`}},
		{name: "valid for another second", changes: []change{{resticExpires.document, resticExpires.old, strings.Replace(resticExpires.new, "12:55", "12:56", 1)}}},
		{name: "HF019 namespaces", changes: []change{{"state", `"application": "playground-timi-3-c-timy"`, `"application": "other"`}},
			want: []string{`HF019 /namespaces/application: "other" differs from /namespace, "playground-timi-3-c-timy"`}},
		{name: "HF019 address", changes: []change{{"credentials", `"address": "https://prod.`, `"address": "https://test.`}},
			want: []string{`HF019 /secretsManager/address: differs from /secretsManager/address in state.json, "https://prod.sm.eu01.stackit.cloud"`}},
		{name: "HF019 mount", changes: []change{{"credentials", `"mount": "0`, `"mount": "1`}},
			want: []string{`HF019 /secretsManager/mount: differs from /secretsManager/mount in state.json, "00000000-0000-4000-8000-0000000000cc"`}},
		{name: "no login for a skipped one", changes: []change{withoutLogin(t), {"state", `"backup": "required"
  },
  "kubernetes"`, `"backup": "skip", "reason": "x" }, "kubernetes"`}}},
		{name: "no login for an instance that is not backed up", changes: []change{withoutLogin(t), {"state", `"enabled": true`, `"enabled": false`}}},
		{name: "faults of two documents come together", changes: []change{
			{"state", `"port": 5432`, `"port": 0`}, {"credentials", `"generation": 1`, `"generation": 0`}, {"credentials", `"prefix": "rclone"`, `"prefix": "restic"`}},
			want: []string{
				`HF008 /rotation/generation: the value is less than 1`,
				`HF015 /rclone/prefix: the folder overlaps with /restic/prefix in the same bucket`,
				`HF008 /databases/postgresql/0/port: 0 is less than 1`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			state, credentials := apply(t, test.changes)
			instances, problems := run(t, v, state, credentials, "")
			if got := brief(problems); !slices.Equal(got, test.want) {
				t.Fatalf("got  %q\nwant %q", got, test.want)
			}
			if (len(instances) == 0) != (len(test.want) > 0) {
				t.Errorf("%d instances and %d problems", len(instances), len(test.want))
			}
			for _, p := range problems {
				if p.Line == 0 || p.Column == 0 {
					t.Errorf("without a place: %s", p)
				}
			}
		})
	}
}

// withoutLogin takes the login out of the credentials.
func withoutLogin(t *testing.T) change {
	t.Helper()
	block := regexp.MustCompile(`(?s)"secretsManager": \{.*?\},`).FindString(layouts(t)[1].credentials)
	return change{"credentials", block, ""}
}

// TestAdditions accepts what the samples do not show.
func TestAdditions(t *testing.T) {
	t.Parallel()
	state, credentials := apply(t, []change{
		{"state", `"key": "nextcloud",
      "app"`, `"key": "nextcloud", "minObjects": 5, "consistentWith": ["postgresql/nextcloud"], "prefix": "urn/x", "app"`},
		{"state", `"claim": "postfix",`, `"claim": "postfix", "namespace": "mail", "runAsRoot": {"reason": "x"}, "minFiles": 1,`},
		{"state", `"startTls": false,`, `"startTls": false, "plainText": {"reason": "x"}, "method": "ldapsearch", "namespace": "ldap",`},
		{"state", `"id": "pg-main",`, `"id": "pg-main", "namespace": "pg", "minTables": 3, "backup": "skip", "reason": "no superuser",`},
		{"state", `"id": "ox-galera",`, `"id": "ox-galera", "namespace": "db", "minTables": 3,`},
		{"state", `"dataDir"`, `"mode": "in-cluster", "container": "cassandra", "namespace": "c", "minTables": 2, "dataDir"`},
		{"state", `"exportClusterScoped": true`, `"exportClusterScoped": true, "extraResources": ["batch/cronjobs", "/limitranges"], "expectSecrets": ["opendesk-certificates-tls"]`},
		{"state", `"defaultDenyEgress": true,`, `"defaultDenyEgress": true, "defaultDenyIngress": true, "dns": {"namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},`},
		{"state", `"schemaVersion": 1,`, `"$schema": "https://holdfast.dev/schemas/runtime-state.schema.json", "schemaVersion": 1,`},
		{"state", `"enabled": true,`, `"enabled": true, "requireDigest": false, "schedules": {"bucket": "0 3 * * *"},`},
		{"credentials", `"writeEnabled": false`, `"writeEnabled": false, "caPem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"`},
	})
	instances, problems := run(t, validator(t), state, credentials, "")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	secrets := instances[0].Credentials.Secrets()
	for _, secret := range []Secret{} {
		if !slices.Contains(secrets, secret) {
			t.Errorf("%s, of an earlier generation, is not in %v", secret, secrets)
		}
	}
	for _, secret := range secrets {
		if strings.Contains(secret.Value, "CERTIFICATE") {
			t.Error("a CA certificate counts as a secret")
		}
	}
}

func TestMinimal(t *testing.T) {
	t.Parallel()
	state := `{"schemaVersion": 1, "instanceId": "a", "namespace": "a", "cluster": {"name": "c", "managedControlPlane": true}, "network": {"policyEngine": "cilium"},
		"kubernetes": {"exportSecrets": false, "exportNamespaceYaml": false, "exportClusterScoped": false, "reasons": {
			"exportSecrets": "x", "exportNamespaceYaml": "x", "exportClusterScoped": "x"}}}`
	instances, problems := run(t, validator(t), state, `{"schemaVersion": 1, "instanceId": "a"}`, `{"schemaVersion": 1}`)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	i := instances[0]
	if i.State.Backup != nil || i.Credentials.Restic != nil || i.Policy == nil || len(i.State.Coverable) != 3 {
		t.Errorf("got %+v %+v", i.State, i.Policy)
	}
}

// TestEveryReason removes and blanks every reason of the samples.
func TestEveryReason(t *testing.T) {
	t.Parallel()
	v := validator(t)
	reason := regexp.MustCompile(`^ *"reason": "[^"]*"(,?)$`)
	for _, l := range layouts(t) {
		lines := strings.Split(l.state, "\n")
		count := 0
		for i, line := range lines {
			match := reason.FindStringSubmatch(line)
			if match == nil {
				continue
			}
			count++
			removed := slices.Clone(lines)
			removed[i] = ""
			if match[1] == "" {
				removed[i-1] = strings.TrimSuffix(removed[i-1], ",")
			}
			blank := slices.Clone(lines)
			blank[i] = `"reason": " \t"` + match[1]
			for name, changed := range map[string][]string{"removed": removed, "blank": blank} {
				instances, problems := run(t, v, strings.Join(changed, "\n"), l.credentials, "")
				near := len(problems) == 1 && problems[0].Line >= i-2 && problems[0].Line <= i+1
				if !near || problems[0].Rule != "HF011" || problems[0].Hint == "" || len(instances) > 0 {
					t.Errorf("line %d, reason %s: %v", i+1, name, problems)
				}
			}
		}
		if count < 4 {
			t.Errorf("layout %s has only %d reasons", l.name, count)
		}
	}
}

func TestHints(t *testing.T) {
	t.Parallel()
	v := validator(t)
	for _, test := range []struct {
		name    string
		changes []change
		want    string
	}{
		{name: "word", changes: []change{{"state", `"backup": "required"`, `"backup": "requird"`}}, want: `did you mean "required"?`},
		{name: "few keys", changes: []change{{"state", `"start": "22:30",`, `"start": "22:30", "colour": "red",`}}, want: `known keys: end, start`},
		{name: "many keys", changes: []change{{"state", `"claim": "postfix",`, `"claim": "postfix", "colour": "red",`}},
			want: `known keys: accessModes, backup, claim, claimPattern, liveFiles, minFiles, mountPath, namespace, owner, owners, reason, runAsRoot, storageClass, workload`},
		{name: "missing", changes: []change{{"state", `"port": 5432,`, ``}}, want: `TCP port of the server, 1 to 65535`},
		{name: "skip", changes: []change{{"state", `"reason": "feature not in use"`, `"appEnabled": false`}}, want: `add "reason": "…" beside it, which says why this need not be backed up`},
	} {
		t.Run(test.name, func(t *testing.T) {
			state, credentials := apply(t, test.changes)
			_, problems := run(t, v, state, credentials, "")
			if len(problems) == 0 || problems[0].Hint != test.want {
				t.Errorf("got %v, want hint %q", problems, test.want)
			}
		})
	}
}

// TestNameAtFault sees a wrong name of an override at the name, not the value.
func TestNameAtFault(t *testing.T) {
	t.Parallel()
	state, credentials := apply(t, []change{{"state", `"control-plane": {`, `"Control Plane":
 {`}})
	_, problems := run(t, validator(t), state, credentials, "")
	name := strings.Split(state, "\n")
	if len(problems) != 1 || !strings.Contains(name[problems[0].Line-1], "Control Plane") || problems[0].Column != 9 {
		t.Errorf("got %v", problems)
	}
}

// TestSeveralInstances pairs documents of a fleet.
func TestSeveralInstances(t *testing.T) {
	t.Parallel()
	v, all := validator(t), layouts(t)
	load := func(name, text string) *Tree {
		tree, problems := Load(Document{Name: name, Data: []byte(text)})
		if len(problems) > 0 && !strings.HasPrefix(name, "broken") {
			t.Fatal(problems)
		}
		return tree
	}
	stateA, stateB := load("a", all[0].state), load("b", all[1].state)
	credentialsA, credentialsB := load("ca", all[0].credentials), load("cb", all[1].credentials)
	third := load("d", edit(t, all[0].state, `"instanceId": "ta8ce612e"`, `"instanceId": "other"`))
	typo := load("e", edit(t, all[0].state, `"instanceId": "ta8ce612e"`, `"instnceId": "other"`))
	broken := load("broken", `{`)
	for _, test := range []struct {
		name                string
		states, credentials []*Tree
		want, ids           []string
	}{
		{name: "two, in any order", states: []*Tree{stateB, stateA}, credentials: []*Tree{credentialsA, credentialsB}, ids: []string{"ta8ce612e", "tbcd30494"}},
		{name: "one without credentials", states: []*Tree{stateA, stateB}, credentials: []*Tree{credentialsB}, ids: []string{"tbcd30494"},
			want: []string{`HF010 /instanceId: there are no credentials for instance "ta8ce612e"`}},
		{name: "one without state", states: []*Tree{stateA}, credentials: []*Tree{credentialsA, credentialsB}, ids: []string{"ta8ce612e"},
			want: []string{`HF010 /instanceId: there is no state for the instance of these credentials`}},
		{name: "twice the same state", states: []*Tree{stateA, stateA, stateB}, credentials: []*Tree{credentialsA, credentialsB}, ids: []string{"tbcd30494"},
			want: []string{`HF010 /instanceId: the instance has a state already: a`}},
		{name: "twice the same credentials", states: []*Tree{stateA}, credentials: []*Tree{credentialsA, credentialsA},
			want: []string{`HF010 /instanceId: the instance has credentials already: ca`}},
		{name: "a partner that cannot be read", states: []*Tree{broken, stateB}, credentials: []*Tree{credentialsA, credentialsB}, ids: []string{"tbcd30494"}},
		{name: "a partner whose id is misspelt", states: []*Tree{typo}, credentials: []*Tree{credentialsA},
			want: []string{`HF004 /instnceId: unknown key "instnceId"`}},
		{name: "a neighbour's bucket", states: []*Tree{stateA, third}, credentials: []*Tree{credentialsA},
			want: []string{`HF010 /instanceId: there are no credentials for instance "other"`}, ids: []string{"ta8ce612e"}},
		{name: "nothing", states: nil, credentials: nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			instances, problems := v.Validate(test.states, test.credentials, nil)
			if got := brief(problems); !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
			var ids []string
			for _, i := range instances {
				ids = append(ids, i.State.InstanceID)
			}
			if !slices.Equal(ids, test.ids) {
				t.Errorf("instances %q, want %q", ids, test.ids)
			}
		})
	}
}

func TestPolicyProblems(t *testing.T) {
	t.Parallel()
	l := layouts(t)[0]
	for _, test := range []struct{ name, policy, want string }{
		{name: "typo", policy: `{"schemaVersion": 1, "timezon": "UTC"}`, want: `HF004 /timezon: unknown key "timezon"`},
		{name: "enabled is the state's", policy: `{"schemaVersion": 1, "enabled": true}`, want: `HF004 /enabled: unknown key "enabled"`},
		{name: "version", policy: `{}`, want: `HF005 : key "schemaVersion" is missing`},
		{name: "deadline", policy: `{"schemaVersion": 1, "deadlines": {"check": 59}}`, want: `HF008 /deadlines/check: 59 is less than 60`},
		{name: "percent", policy: `{"schemaVersion": 1, "transfer": {"maxDeletePercent": 101}}`, want: `HF008 /transfer/maxDeletePercent: 101 is more than 100`},
		{name: "cron", policy: `{"schemaVersion": 1, "maintenance": {"check": "@daily"}}`,
			want: `HF008 /maintenance/check: "@daily" is not a cron line of five fields with one space between: minute hour day month weekday`},
		{name: "zone", policy: `{"schemaVersion": 1, "timezone": "europe/berlin"}`, want: `HF008 /timezone: "europe/berlin" is not an IANA time zone such as Europe/Berlin or UTC`},
		{name: "keep", policy: `{"schemaVersion": 1, "retention": {"default": {"keepDaily": -1}}}`, want: `HF008 /retention/default/keepDaily: -1 is less than 0`},
		{name: "image", policy: `{"schemaVersion": 1, "images": {"postgresql": "x"}}`, want: `HF008 /images/postgresql: the key "postgresql" is not an image's place: kind/name or platform/name`},
	} {
		t.Run(test.name, func(t *testing.T) {
			instances, problems := run(t, validator(t), l.state, l.credentials, test.policy)
			if got := brief(problems); len(got) != 1 || got[0] != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
			if len(instances) > 0 {
				t.Error("an instance came back under a wrong policy")
			}
		})
	}
}

func TestInstant(t *testing.T) {
	t.Parallel()
	// Each is later than the one before it.
	times := []string{
		"1999-12-31T23:59:59Z", "2000-01-01T00:00:00Z", "2000-02-28T23:59:59Z", "2000-02-29T00:00:00Z", "2000-03-01T00:00:00Z",
		"2026-06-03T06:12:54+02:00", "2026-06-03T04:12:55Z", "2026-06-03T00:12:56-04:00", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00.5Z",
	}
	previous := int64(-1)
	for _, text := range times {
		seconds, ok := instant(text)
		if !ok || seconds <= previous {
			t.Errorf("%s is %d, %v; before it is %d", text, seconds, ok, previous)
		}
		previous = seconds
	}
	a, _ := instant("2000-02-28T00:00:00Z")
	if b, _ := instant("2000-03-01T00:00:00Z"); b-a != 2*86400 {
		t.Errorf("two days have %d seconds", b-a)
	}
	if _, ok := instant("soon"); ok {
		t.Error(`"soon" is a time`)
	}
}
