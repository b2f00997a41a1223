package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/harness"
	"github.com/holdfast-backup/holdfast/e2e/image"
)

// plant is an instance with a source of most kinds, each on its real server.
type plant struct {
	namespace string
	cluster   *harness.ClusterServer
	pg        *pgServer
	my        *myServer
	ldap      *directory
	vault     *manager
	mount     string
	s3        *harness.S3Server
	secrets   map[string]map[string]string
	// change is applied to the inputs before they are rendered.
	change func(state, credentials map[string]any)
	// exports has the rights to each kind of object tried, which takes a minute.
	exports bool
}

// newPlant starts the servers, with what the units need.
func newPlant(t *testing.T) *plant {
	t.Helper()
	d := &plant{
		namespace: "desk-" + strconv.FormatInt(time.Now().UnixNano(), 36),
		cluster:   harness.Cluster(t), pg: newPostgreSQL(t), my: newMariaDB(t, "my secret of MariaDB"),
		ldap: newDirectory(t, "dc=example,dc=org", harness.NewCA(t)), vault: newManager(t), s3: harness.S3(t, "restic", "copies", "files"),
	}
	d.ldap.serve(t)
	d.ldapBase(t)
	d.pg.sql(t, "postgres", `CREATE ROLE shop LOGIN PASSWORD 'the secret of shop'; CREATE DATABASE shop OWNER shop`)
	d.mount = d.vault.mount(t)
	d.vault.user(t, "reader", "1h", readOnly(d.mount))
	d.s3.Put(t, "files", "one", []byte("1"))
	d.secrets = map[string]map[string]string{
		"postgresql": {"shop": "the secret of shop"}, "mariadb": {"password": d.my.password, "ca.crt": string(d.my.ca.PEM)},
		"ldap-admin": {"password": ldapPassword, "ca.crt": string(d.ldap.tls.PEM)}, "objectstore": {"accessKey": d.s3.AccessKey, "secretKey": d.s3.SecretKey},
	}
	d.cluster.Apply(t,
		map[string]any{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": map[string]any{"name": "uploads", "namespace": d.namespace},
			"spec": map[string]any{"accessModes": []any{"ReadWriteOnce"}, "resources": map[string]any{"requests": map[string]any{"storage": "1Gi"}}}},
		d.operator("ghcr.io/k8up-io/k8up:v2.15.0", nil),
	)
	t.Cleanup(func() {
		d.cluster.Kubectl(t, "delete", "namespace", d.namespace, "--wait=false")
		d.cluster.Kubectl(t, "delete", "deployment", "k8up", "--namespace=k8up-system", "--ignore-not-found")
	})
	return d
}

// ldapBase makes the directory's first entry.
func (d *plant) ldapBase(t *testing.T) {
	t.Helper()
	d.ldap.modify(t, "dn: "+d.ldap.base+"\nchangetype: add\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: example\n")
}

// operator is K8up's Deployment.
func (d *plant) operator(image string, container map[string]any) map[string]any {
	c := map[string]any{"name": "k8up-operator", "image": image, "args": []any{"operator"}}
	maps.Copy(c, container)
	labels := map[string]any{"app": "k8up"}
	return map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "k8up", "namespace": "k8up-system", "labels": labels},
		"spec": map[string]any{"selector": map[string]any{"matchLabels": labels},
			"template": map[string]any{"metadata": map[string]any{"labels": labels}, "spec": map[string]any{"containers": []any{c}}}},
	}
}

// render renders the desk, and installs what it needs at the API server.
func (d *plant) render(t *testing.T) *harness.Instance {
	t.Helper()
	ref := func(name, key string) map[string]any {
		return map[string]any{"kind": "Secret", "name": name, "key": key}
	}
	state := map[string]any{
		"instanceId": "desk", "namespace": d.namespace,
		"databases": map[string]any{
			"postgresql": d.pg.state(nil, pgDatabase("shop", nil))["databases"].(map[string]any)["postgresql"],
			"mariadb": d.my.state(map[string]any{"tls": "verify-ca", "caRef": ref("mariadb", "ca.crt"), "expectDatabases": []any{},
				"expectPatterns": []any{}, "excludeDatabases": []any{}})["databases"].(map[string]any)["mariadb"],
		},
		"ldap":           d.ldap.state(map[string]any{"method": "ldapsearch", "startTls": true, "caRef": ref("ldap-admin", "ca.crt")})["ldap"],
		"secretsManager": map[string]any{"address": d.vault.address, "mount": d.mount, "kvVersion": 2, "backup": "required"},
		"objectStores": []any{map[string]any{"key": "files", "bucket": "files", "endpoint": d.s3.Endpoint, "region": "us-east-1", "pathStyle": true,
			"accessKeyRef": ref("objectstore", "accessKey"), "secretKeyRef": ref("objectstore", "secretKey"), "backup": "required"}},
		"volumes":    []any{map[string]any{"claim": "uploads", "accessModes": []any{"ReadWriteOnce"}, "owner": map[string]any{"uid": 1000, "gid": 1000}, "backup": "required"}},
		"kubernetes": map[string]any{"exportSecrets": true, "exportNamespaceYaml": true, "exportClusterScoped": true},
	}
	credentials := map[string]any{
		"restic": d.s3.Restic("restic", "deep"), "rclone": d.s3.Crypt("copies", "deep"),
		"secretsManager": map[string]any{"address": d.vault.address, "mount": d.mount, "username": "reader", "password": vaultPassword, "caPem": d.vault.caPEM},
	}
	// Deep copies, for what follows changes them.
	data, err := json.Marshal([]any{state, credentials})
	if err != nil {
		t.Fatal(err)
	}
	var both []map[string]any
	if err := json.Unmarshal(data, &both); err != nil {
		t.Fatal(err)
	}
	if d.change != nil {
		d.change(both[0], both[1])
	}
	if !d.exports {
		const green = "the green run tries its rights, one by one"
		both[0]["kubernetes"] = map[string]any{
			"exportSecrets": false, "exportNamespaceYaml": false, "exportClusterScoped": false,
			"reasons": map[string]any{"exportSecrets": green, "exportNamespaceYaml": green, "exportClusterScoped": green},
		}
	}
	i := harness.Render(t, harness.Inputs{State: both[0], Credentials: both[1]})
	d.cluster.Install(t, i)
	return i
}

// run runs the preflight.
func (d *plant) run(t *testing.T, change func(o *harness.Options)) harness.Result {
	t.Helper()
	o := harness.Options{Cluster: d.cluster, Secrets: maps.Clone(d.secrets), Watch: true}
	if change != nil {
		change(&o)
	}
	return d.render(t).Preflight(t, d.namespace, o, nil)
}

// red fails the test unless the table has exactly these failures: each "unit check"
// and a text of its line.
func red(t *testing.T, r harness.Result, want map[string]string) {
	t.Helper()
	table := string(r.Stdout)
	// What is wrong with it comes last: of a long log people are shown the end.
	var wrong []string
	found := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^FAIL +(\S+(?: \S+)*?) {2,}(\S+(?: \S+)*?) {2,}(.*)$`).FindAllStringSubmatch(table, -1) {
		found[m[1]+" "+m[2]] += m[3]
	}
	for name, words := range want {
		if text, there := found[name]; !there || !strings.Contains(text, words) {
			wrong = append(wrong, fmt.Sprintf("%s does not fail by %q, but by %q", name, words, text))
		}
		delete(found, name)
	}
	for name, text := range found {
		wrong = append(wrong, name+" fails: "+text)
	}
	code := 0
	if len(want) > 0 {
		code = 65
	}
	if r.Code != code {
		wrong = append(wrong, fmt.Sprintf("it ended with %d, not with %d", r.Code, code))
	}
	for _, secret := range []string{"the secret of shop", "my secret of MariaDB", ldapPassword, "e2e-secret-key-of-the-s3-server", "not the password"} {
		if strings.Contains(table+r.Stderr, secret) {
			wrong = append(wrong, "it tells a secret")
		}
	}
	if len(wrong) > 0 {
		t.Errorf("it printed:\n%s%s\n%s", table, r.Stderr, strings.Join(wrong, "\n"))
	}
}

// at is a value in a document: "databases", "postgresql", 0, …
func at(document map[string]any, path ...any) map[string]any {
	var value any = document
	for _, step := range path {
		switch step := step.(type) {
		case string:
			value = value.(map[string]any)[step]
		case int:
			value = value.([]any)[step]
		}
	}
	return value.(map[string]any)
}

// throughFront lets both targets be reached through the front.
func throughFront(credentials map[string]any, front string) {
	for _, engine := range []string{"restic", "rclone"} {
		section := at(credentials, engine)
		section["endpoint"], section["plainHttp"] = front, map[string]any{"reason": "the server of the test has no TLS"}
	}
}

func TestPreflight(t *testing.T) {
	d := newPlant(t)
	pg := func(state map[string]any) map[string]any { return at(state, "databases", "postgresql", 0) }
	my := func(state map[string]any) map[string]any { return at(state, "databases", "mariadb", 0) }
	closed := harness.ClosedPort(t)
	t.Run("green", func(t *testing.T) {
		d.exports = true
		r := d.run(t, nil)
		d.exports = false
		red(t, r, nil)
		for _, words := range []string{" kubernetes ", " k8up ", " login ", " claim ", " rights ", " delete ", " passwords ", "0 failed, 0 warnings"} {
			if !strings.Contains(string(r.Stdout), words) {
				t.Errorf("it does not say %q:\n%s", words, r.Stdout)
			}
		}
		if out := d.s3.Rclone(t, "lsf", "--recursive", "--files-only", "s3:restic") + d.s3.Rclone(t, "lsf", "--recursive", "--files-only", "s3:copies"); out != "" {
			t.Errorf("it left something behind:\n%s", out)
		}
	})
	// One run takes a while, so what does not hide each other goes wrong together.
	broken := func(name string, change func(state, credentials map[string]any), options func(o *harness.Options), want map[string]string, warns ...string) {
		t.Run(name, func(t *testing.T) {
			d.change = change
			defer func() { d.change = nil }()
			r := d.run(t, options)
			red(t, r, want)
			for _, words := range warns {
				if !strings.Contains(string(r.Stdout), words) {
					t.Errorf("it does not say %q:\n%s", words, r.Stdout)
				}
			}
		})
	}
	cluster := func(state map[string]any, further map[string]any) {
		state["cluster"] = map[string]any{"name": "e2e", "managedControlPlane": true}
		maps.Copy(state["cluster"].(map[string]any), further)
	}
	broken("accepted-loss", func(state, credentials map[string]any) {
		d.vault.user(t, "blind", "1h", map[string][]string{d.mount + "/data/*": {"read"}, d.mount + "/metadata/*": {"read", "list"}})
		at(credentials, "secretsManager")["username"] = "blind"
		state["backup"] = map[string]any{"enabled": true, "losses": map[string]any{"secrets-manager": pgAccepts("mount-settings", "*")}}
	}, nil, nil)
	repository := "repository/" + d.namespace
	broken("failure/wrong-place", func(state, credentials map[string]any) {
		pg(state)["host"] = "nobody.invalid"
		my(state)["port"] = closed
		at(credentials, "restic")["bucket"], at(credentials, "rclone")["bucket"] = "mistyped", "mistyped-too"
		at(state, "objectStores", 0)["bucket"] = "mistyped-as-well"
		at(state, "secretsManager")["mount"], at(credentials, "secretsManager")["mount"] = "other", "other"
		at(state, "volumes", 0)["claim"] = "gone"
		cluster(state, map[string]any{"k8upVersion": "2.99.0", "kubernetesVersion": "1.99.0"})
	}, nil, map[string]string{
		"postgresql/main-globals and 1 more nobody.invalid:" + strconv.Itoa(d.pg.port): "the name does not resolve",
		"postgresql/main-globals login":                    "the name does not resolve",
		"postgresql/shop login":                            "the name does not resolve",
		fmt.Sprintf("mariadb/galera 127.0.0.1:%d", closed): "nothing answers at that port",
		"mariadb/galera login":                             "nothing answers at that port",
		repository + " bucket":                             "there is no bucket mistyped",
		"bucket/files source":                              "a bucket or folder does not exist",
		"bucket/files write":                               "NoSuchBucket",
		"secrets-manager/kv list":                          "HTTP 403",
		"secrets-manager/kv mount-settings":                "HTTP 403",
		"volume/gone claim":                                "not found",
		"cluster k8up":                                     "the state says 2.99.0, but the cluster has 2.15.0",
		"cluster kubernetes":                               "the state says 1.99.0",
	})
	broken("failure/wrong-password", func(state, credentials map[string]any) {
		at(credentials, "restic")["secretAccessKey"], at(credentials, "rclone")["secretAccessKey"] = "not the key, but long", "nor is this one, which is another"
		cluster(state, map[string]any{"k8upDeployment": "elsewhere"})
	}, func(o *harness.Options) {
		o.Secrets["postgresql"] = map[string]string{"shop": "not the password"}
		o.Secrets["mariadb"] = map[string]string{"password": "not the password", "ca.crt": string(d.my.ca.PEM)}
		o.Secrets["ldap-admin"] = map[string]string{"password": "not the password", "ca.crt": string(d.ldap.tls.PEM)}
		o.Secrets["objectstore"] = map[string]string{"accessKey": d.s3.AccessKey, "secretKey": "not the password"}
		o.Secrets["desk-sm-kv-credentials"] = map[string]string{"SM_USERNAME": "reader", "SM_PASSWORD": "not the password", "SM_CA_PEM": d.vault.caPEM}
	}, map[string]string{
		"postgresql/main-globals login": "the login is refused", "postgresql/shop login": "the login is refused", "mariadb/galera login": "the login is refused",
		"openldap/directory login": "the login is refused", "secrets-manager/kv login": "the login is refused",
		"bucket/files source": "the login is refused",
		// S3 answers a HEAD without a word.
		"bucket/files write": "it is not allowed", repository + " bucket": "HTTP 403",
		"cluster k8up": "there is no Deployment elsewhere in any namespace",
	})
	broken("failure/wrong-ca", func(state, credentials map[string]any) {
		at(credentials, "restic")["caPem"], at(credentials, "rclone")["caPem"] = wrongCA(t), wrongCA(t)
		cluster(state, map[string]any{"k8upDeployment": "elsewhere", "k8upVersion": "2.15.0"})
	}, func(o *harness.Options) {
		o.Secrets["mariadb"] = map[string]string{"password": d.my.password, "ca.crt": wrongCA(t)}
		o.Secrets["ldap-admin"] = map[string]string{"password": ldapPassword, "ca.crt": wrongCA(t)}
		o.Secrets["desk-sm-kv-credentials"] = map[string]string{"SM_USERNAME": "reader", "SM_PASSWORD": vaultPassword, "SM_CA_PEM": wrongCA(t)}
	}, map[string]string{
		"mariadb/galera login": "not signed by the CA", "openldap/directory login": "not signed by the CA", "secrets-manager/kv login": "not signed by the CA",
		repository + " bucket": "not signed by the CA", "bucket/files source": "not signed by the CA", "bucket/files write": "not signed by the CA",
	}, "the 2.15.0 of the state is believed", "1 warnings")
	t.Run("busy-storage", func(t *testing.T) {
		var mu sync.Mutex
		busy := map[string]bool{}
		front := s3Front(t, d.s3, func(w http.ResponseWriter, r *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			if what := r.Method + r.URL.Path; !busy[what] {
				busy[what] = true
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}
			return false
		})
		d.change = func(state, credentials map[string]any) { throughFront(credentials, front) }
		defer func() { d.change = nil }()
		red(t, d.run(t, nil), nil)
		if len(busy) < 6 {
			t.Errorf("the storage was busy only for %v", busy)
		}
	})
	for _, r := range []struct{ right, method string }{{"delete", http.MethodDelete}, {"write", http.MethodPut}} {
		right, method := r.right, r.method
		front := s3Front(t, d.s3, func(w http.ResponseWriter, r *http.Request) bool { return r.Method == method && s3Refused(w) })
		image, words := "quay.io/k8up-io/k8up:v2.14.0", "it is 2.14.0, and 2.15.0 is the oldest"
		if right == "write" {
			image, words = "ghcr.io/k8up-io/k8up:v2.9.1@sha256:"+strings.Repeat("0", 64), "it is 2.9.1"
		}
		d.cluster.Apply(t, d.operator(image, nil))
		broken("failure/no-right-to-"+right+"-and-old-k8up", func(state, credentials map[string]any) {
			throughFront(credentials, front)
			my(state)["backup"], my(state)["port"] = "optional", closed
		}, nil, map[string]string{
			repository + " " + right: "AccessDenied", "bucket/files " + right: "AccessDenied", "cluster k8up": words,
		}, "2 warnings")
	}
	for name, container := range map[string]map[string]any{
		"argument": {"args": []any{"operator", "--insecure-allow-podexec-spdy-fallback"}},
		"variable": {"env": []any{map[string]any{"name": "INSECURE_ALLOW_PODEXEC_SPDY_FALLBACK", "value": "true"}}},
	} {
		d.cluster.Apply(t, d.operator("ghcr.io/k8up-io/k8up:v2.15.0", container))
		broken("failure/spdy-by-"+name+"-and-missing-secret", nil, func(o *harness.Options) { o.Secrets["postgresql"] = map[string]string{} }, map[string]string{
			"cluster k8up":                      "it runs with --insecure-allow-podexec-spdy-fallback",
			"postgresql/main-globals preflight": "PGPASSWORD is not set", "postgresql/shop preflight": "PGPASSWORD is not set",
		})
	}
	d.cluster.Apply(t, d.operator("ghcr.io/k8up-io/k8up:v2.15.0", nil))
	t.Run("failure/old-kubernetes", func(t *testing.T) {
		// No older API server is at hand: a kubectl that tells of one is.
		old := beforeKubectl(t, `case "$*" in "get --raw /version") echo '{"gitVersion": "v1.30.14+k3s1"}' ;; *) kubectl "$@" ;; esac`)
		i := d.render(t)
		r := i.Preflight(t, d.namespace, harness.Options{Cluster: d.cluster, Secrets: d.secrets}, func(container string) harness.Image {
			if container == "cluster" {
				return old
			}
			return harness.Image{}
		})
		red(t, r, map[string]string{"cluster kubernetes": "it is 1.30.14+k3s1, and 1.31 is the oldest"})
	})
}

// TestPreflightTriesAgain: who did not answer is asked again, and nobody else.
func TestPreflightTriesAgain(t *testing.T) {
	for name, c := range map[string]struct {
		words  string // what the command says when it fails
		code   int
		fails  int // how often it does
		tries  int
		result string
		silent int // how many others did not answer before
	}{
		"a Service without a pod":      {"connect: Connection refused", 69, 1, 2, "ok", 0},
		"nobody there":                 {"connect: Connection refused", 69, 9, 3, "FAIL", 0},
		"a name that is late":          {"could not translate host name", 69, 2, 3, "ok", 0},
		"a busy API server":            {"asking the API server did not end within 10 s", 70, 1, 2, "ok", 0},
		"words that nobody knows":      {"something else", 69, 1, 2, "ok", 0},
		"a wrong password":             {"password authentication failed", 69, 1, 1, "FAIL", 0},
		"a wrong CA":                   {"certificate verify failed", 69, 1, 1, "FAIL", 0},
		"a right that is missing":      {"(HTTP 403)", 70, 1, 1, "FAIL", 0},
		"an answer that is no good":    {"what was read is not what was written", 65, 1, 1, "FAIL", 0},
		"a variable that is not there": {"PGPASSWORD is not set", 64, 1, 1, "FAIL", 0},
		"others were silent, too":      {"connect: Connection refused", 69, 9, 3, "FAIL", 6},
		"an outage":                    {"connect: Connection refused", 69, 9, 1, "FAIL", 8},
	} {
		for _, shell := range [][]string{{"dash"}, {harness.Program(t, "busybox"), "ash"}} {
			t.Run(name+"/"+shell[len(shell)-1], func(t *testing.T) {
				work := t.TempDir()
				if c.silent > 0 {
					if err := os.WriteFile(filepath.Join(work, "another.silent"), bytes.Repeat([]byte("\n"), c.silent), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				cmd := exec.Command(shell[0], append(shell[1:], "-euc", `. ../templates/lib/common.sh
sleep() { :; }
asked() {
  echo >>"$WORK/tries"
  [ "$(wc -l <"$WORK/tries")" -le "$FAILS" ] || return 0
  echo "$WORDS" >&2
  exit "$CODE"
}
. ../templates/lib/checks.sh
check what next asked || :
`)...)
				cmd.Env = append(os.Environ(), "WORK="+work, "HOLDFAST_FINDINGS="+filepath.Join(work, "findings"), "WORDS="+c.words,
					"CODE="+strconv.Itoa(c.code), "FAILS="+strconv.Itoa(c.fails))
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				tries, _ := os.ReadFile(filepath.Join(work, "tries"))
				findings, _ := os.ReadFile(filepath.Join(work, "findings"))
				if len(tries) != c.tries || !strings.HasPrefix(string(findings), c.result+"\t") || strings.Count(string(findings), "\n") != 1 {
					t.Errorf("after %d tries, not %d: %s", len(tries), c.tries, findings)
				}
			})
		}
	}
}

// contractTrial is a trial of the rendered preflight whose image is a folder of
// stand-ins for the contract's tools: only what the shell finds of them counts.
type contractTrial struct {
	name, file, inside string
	data               map[string]any
}

// contractTrials are trials of all contracts.
func contractTrials(t *testing.T) []contractTrial {
	t.Helper()
	ref := map[string]any{"kind": "Secret", "name": "s", "key": "k"}
	var servers []any
	for _, version := range []string{"14", "15", "16", "17", "18"} {
		servers = append(servers, map[string]any{"id": "v" + version, "host": "pg" + version, "port": 5432, "serverVersion": version, "sslMode": "require",
			"databases": []any{map[string]any{"key": "d" + version, "name": "d", "username": "d", "passwordRef": ref, "backup": "required"}}})
	}
	ldap := func(method string) map[string]any {
		return map[string]any{"baseDn": "dc=x", "adminDn": "cn=a,dc=x", "host": "ldap", "port": 389, "startTls": method == "ldapsearch", "statefulSet": "ldap", "container": "main",
			"method": method, "passwordRef": ref, "backup": "required"}
	}
	full := map[string]any{
		"ldap": ldap("slapcat"),
		"databases": map[string]any{
			"postgresql": servers,
			"mariadb":    []any{map[string]any{"id": "m", "host": "m", "port": 3306, "serverVersion": "10.11", "username": "root", "passwordRef": ref, "tls": "require", "discover": true, "backup": "required"}},
			"cassandra": []any{map[string]any{"id": "c", "host": "c", "port": 9042, "serverVersion": "5.0", "statefulSet": "cassandra", "replicas": 1, "dataDir": "/data",
				"keyspaces": []any{map[string]any{"name": "k", "username": "k"}}, "adminUser": "root", "adminRef": ref, "backup": "required"}},
		},
		"objectStores": []any{map[string]any{"key": "files", "bucket": "files", "endpoint": "https://s3.example.test", "pathStyle": true,
			"accessKeyRef": ref, "secretKeyRef": ref, "backup": "required"}},
		"caches": []any{map[string]any{"key": "c", "host": "r", "port": 6379, "serverVersion": "7.0", "passwordRef": ref, "backup": "required",
			"plainText": map[string]any{"reason": "the test is about tools"}}},
	}
	var trials []contractTrial
	seen := map[string]bool{}
	for _, state := range []map[string]any{full, {"ldap": ldap("ldapsearch")}} {
		i := harness.Render(t, harness.Inputs{State: state})
		f := i.Plan.Preflights[0]
		data, _ := i.Object("ConfigMap", f.Namespace, f.Name)["data"].(map[string]any)
		for _, trial := range f.Trials {
			if !seen[trial.Contract] || trial.Inside != "" {
				trials = append(trials, contractTrial{trial.Name, trial.Contract, trial.Inside, data})
			}
			seen[trial.Contract], seen[trial.Inside] = true, true
		}
	}
	images, err := image.All()
	if err != nil {
		t.Fatal(err)
	}
	for name := range images {
		if file := "image." + strings.ReplaceAll(name, "/", "."); !seen[file] {
			t.Errorf("no trial is of %s", name)
		}
	}
	return trials
}

// tools are the lines of a contract: name, path, oldest version.
func (c contractTrial) tools(file string) [][]string {
	var tools [][]string
	for _, line := range strings.Split(strings.TrimSpace(c.data[file].(string)), "\n") {
		tools = append(tools, strings.Fields(line))
	}
	return tools
}

// run runs the trial with these tools in its image, each of which tells a version.
func (c contractTrial) run(t *testing.T, shell []string, have map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for _, folder := range []string{"preflight", "findings", "tools", "bin", "scratch", "image"} {
		if err := os.Mkdir(filepath.Join(root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range c.data {
		write("preflight/"+name, text.(string))
	}
	write("preflight/cluster.sh", "#!/bin/sh\n")
	write("bin/preflight.sh", "#!/bin/sh\n")
	write("tools/kubectl", "#!/bin/sh\necho v1.99.0\n")
	for name, version := range have {
		write("image/"+name, "#!/bin/sh\necho "+version+"\n")
	}
	what := "unit"
	if c.name == "tools" || c.name == "cluster" {
		what = c.name
	}
	argv := append(slices.Clone(shell), filepath.Join(root, "preflight", "preflight.sh"), what)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = []string{"PATH=" + filepath.Join(root, "image"), "HOLDFAST_ROOT=" + root, "HOLDFAST_TRIAL=" + c.name, "HOLDFAST_IMAGE=the/image:1",
		"HOLDFAST_UNIT=the/unit", "HOLDFAST_SCRATCH=" + root + "/scratch"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("it ended with %v: %s", err, out)
	}
	findings, err := os.ReadFile(filepath.Join(root, "findings", c.name))
	if err != nil {
		t.Fatal(err)
	}
	return string(findings)
}

// TestPreflightContracts takes each tool out of each image, and makes each that
// has an oldest version older: the preflight names tool and image.
func TestPreflightContracts(t *testing.T) {
	tried := 0
	defer func() { t.Logf("%d times a tool was taken out", tried) }()
	for _, c := range contractTrials(t) {
		for name, shell := range map[string][]string{"ash": {harness.Program(t, "busybox"), "sh"}, "dash": {"/usr/bin/dash"}} {
			if c.inside != "" {
				continue
			}
			t.Run(c.file+"/"+name, func(t *testing.T) {
				have := map[string]string{}
				for _, tool := range c.tools(c.file) {
					have[tool[0]] = "99.1"
				}
				if got := c.run(t, shell, have); strings.Contains(got, "is missing in the/image:1") || !strings.Contains(got, fmt.Sprintf("ok\tthe/unit\ttools\t%d in the/image:1", len(have))) {
					t.Errorf("with every tool: %s", got)
				}
				for _, tool := range c.tools(c.file) {
					tried++
					less := maps.Clone(have)
					delete(less, tool[0])
					if got := c.run(t, shell, less); !strings.HasPrefix(got, "FAIL\tthe/unit\ttools\t"+tool[0]+" is missing in the/image:1\t") || strings.Count(got, "\n") != 1 {
						t.Errorf("without %s: %s", tool[0], got)
					}
					if tool[2] == "-" {
						continue
					}
					less[tool[0]] = "0.9"
					if got := c.run(t, shell, less); !strings.HasPrefix(got, "FAIL\tthe/unit\ttools\t"+tool[0]+" of the/image:1 is 0.9, older than "+tool[2]+"\t") {
						t.Errorf("with an old %s: %s", tool[0], got)
					}
				}
			})
		}
	}
}

// TestPreflightInside takes each tool out of the images that are reached by exec.
func TestPreflightInside(t *testing.T) {
	reached, tried := 0, 0
	defer func() { t.Logf("%d times a tool was taken out", tried) }()
	for _, c := range contractTrials(t) {
		if c.inside == "" {
			continue
		}
		reached++
		tools := c.tools(c.inside)
		pod := func(t *testing.T, without string) string {
			t.Helper()
			root := t.TempDir()
			bin := filepath.Join(root, "bin")
			for _, folder := range []string{bin, filepath.Join(root, "scratch"), filepath.Join(root, "preflight")} {
				if err := os.Mkdir(folder, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			// A path that nobody has on this machine: by name alone.
			var contract strings.Builder
			for _, tool := range tools {
				fmt.Fprintf(&contract, "%s /nowhere/%s %s\n", tool[0], tool[0], tool[2])
				if tool[0] == without {
					continue
				}
				target := "/usr/bin/true"
				if tool[0] == "sh" {
					target = "/usr/bin/dash"
				}
				if err := os.Symlink(target, filepath.Join(bin, tool[0])); err != nil {
					t.Fatal(err)
				}
			}
			files := map[string]string{
				"contract": contract.String(),
				"kubectl":  "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done; shift\nPATH=" + bin + " /usr/bin/env \"$@\" || { s=$?; echo \"command terminated with exit code $s\" >&2; exit $s; }\n",
				"try.sh":   "set -eu\n. \"$HOLDFAST_ROOT/preflight/common.sh\"\n. \"$HOLDFAST_ROOT/preflight/checks.sh\"\nbegin\ncheck exec next inside pod-0 main || :\n",
			}
			for name, text := range c.data {
				files["preflight/"+name] = text.(string)
			}
			for name, text := range files {
				if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command("/usr/bin/dash", filepath.Join(root, "try.sh"))
			cmd.Env = []string{"PATH=" + root + ":/usr/bin:/bin", "HOLDFAST_ROOT=" + root, "HOLDFAST_SCRATCH=" + root + "/scratch", "HOLDFAST_NAMESPACE=app",
				"HOLDFAST_INSIDE=" + root + "/contract", "HOLDFAST_FINDINGS=" + root + "/findings", "HOLDFAST_UNIT=the/unit", "HOLDFAST_DEADLINE=30"}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			findings, err := os.ReadFile(filepath.Join(root, "findings"))
			if err != nil {
				t.Fatal(err)
			}
			return string(findings)
		}
		t.Run(c.inside, func(t *testing.T) {
			if got := pod(t, ""); !strings.HasPrefix(got, "ok\t") {
				t.Errorf("with every tool: %s", got)
			}
			for _, tool := range tools {
				tried++
				got := pod(t, tool[0])
				words := "the image of pod-0, container main, lacks: " + tool[0]
				if tool[0] == "sh" {
					words = "a tool is missing in the pod that was entered" // nobody can ask which
				}
				if !strings.HasPrefix(got, "FAIL\t") || !strings.Contains(got, words) {
					t.Errorf("without %s: %s", tool[0], got)
				}
			}
		})
	}
	if reached < 2 {
		t.Errorf("%d images are reached by exec", reached)
	}
}
