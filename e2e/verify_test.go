package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/harness"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	verdict "github.com/holdfast-backup/holdfast/renderer/status"
)

// rounds is a namespace whose copies are made by the test, with a repository and an
// API server that are real. What K8up says of its runs is written by the test.
type rounds struct {
	*harness.Instance
	cluster   *harness.ClusterServer
	namespace string
	// root is the root folder of the pod that reads the claim.
	root string
	env  map[string]string
}

// line is what the status says of a unit.
const filesUnit = "bucket/files"

type line struct {
	Unit, Need, Result, Reason, Since, LastAttempt, LastSuccess, NextDue, Snapshot, Taken, Read string
	Failures                                                                                    int
	Bytes, Count                                                                                *int64
	History                                                                                     []int64
}

func newRounds(t *testing.T) *rounds {
	t.Helper()
	s3 := harness.S3(t, "restic", "copies", "files")
	r := &rounds{cluster: harness.Cluster(t), namespace: "verify-" + strconv.FormatInt(time.Now().UnixNano(), 36), root: harness.Folder(t, 0)}
	ref := func(key string) map[string]any {
		return map[string]any{"kind": "Secret", "name": "objectstore", "key": key}
	}
	r.Instance = harness.Render(t, harness.Inputs{
		State: map[string]any{
			"instanceId": "desk", "namespace": r.namespace,
			"ldap": map[string]any{
				"baseDn": ldapBase, "host": "127.0.0.1", "port": 389, "statefulSet": "ums-ldap-server-primary", "container": "main", "backup": "required",
			},
			"volumes": []any{map[string]any{"claim": "uploads", "accessModes": []any{"ReadWriteOnce"}, "owner": map[string]any{"uid": 1000, "gid": 1000},
				"minFiles": 2, "backup": "optional", "reason": "the test wants one that is not required"}},
			"objectStores": []any{map[string]any{"key": "files", "bucket": "files", "endpoint": s3.Endpoint, "region": "us-east-1", "pathStyle": true,
				"accessKeyRef": ref("accessKey"), "secretKeyRef": ref("secretKey"), "backup": "required"}},
		},
		Credentials: map[string]any{"restic": s3.Restic("restic", "deep"), "rclone": s3.Crypt("copies", "deep")},
	})
	for _, crd := range moduleObjects(t, "k8up/config/crd/apiextensions.k8s.io/v1/k8up.io_backups.yaml") {
		r.cluster.Apply(t, crd)
	}
	r.cluster.Kubectl(t, "wait", "--for=condition=Established", "--timeout=60s", "crd/backups.k8up.io")
	r.cluster.Install(t, r.Instance)
	r.cluster.Apply(t, r.Object("CronJob", r.namespace, r.Unit(t, filesUnit).Name))
	for _, folder := range []string{"tmp", "data/uploads"} {
		if err := os.MkdirAll(filepath.Join(r.root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"1", "2"} {
		if err := os.WriteFile(filepath.Join(r.root, "data", "uploads", name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		r.cluster.Kubectl(t, "delete", "namespace", r.namespace, "--wait=false")
		r.cluster.Kubectl(t, "delete", "crd", "backups.k8up.io")
	})
	return r
}

// verify runs the verifier and reads what it wrote.
func (r *rounds) verify(t *testing.T, code int) map[string]line {
	t.Helper()
	result := r.Job(t, "CronJob", r.namespace, "desk-verify", "", harness.Options{Cluster: r.cluster, Env: r.env, Watch: true})
	if result.Code != code {
		t.Errorf("the verifier ended with %d, not with %d:\n%s", result.Code, code, result.Stderr)
	}
	for _, secret := range []string{"e2e-restic-password", "e2e-secret-key-of-the-s3-server"} {
		if strings.Contains(result.Stderr, secret) {
			t.Error("it tells a secret")
		}
	}
	var status struct{ Data map[string]string }
	written := []byte(r.cluster.Kubectl(t, "get", "configmap", "desk.status", "--namespace="+r.namespace, "--output=json"))
	if err := json.Unmarshal(written, &status); err != nil {
		t.Fatal(err)
	}
	lines := map[string]line{}
	for key, text := range status.Data {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%s: %v: %s", key, err, text)
		}
		lines[l.Unit] = l
	}
	var own struct {
		Instance, Namespace, Time, NextBy string
		Units, Red                        int
	}
	if err := json.Unmarshal([]byte(status.Data["verifier"]), &own); err != nil {
		t.Fatal(err)
	}
	red := 0
	for _, l := range lines {
		if l.Result == "failed" && l.Need == "required" {
			red++
		}
	}
	if own.Instance != "desk" || own.Namespace != r.namespace || own.Units != 3 || own.Red != red {
		t.Errorf("the verifier says of itself %+v, with %d red", own, red)
	}
	// What people are shown says the same.
	listing := &verdict.Listing{}
	if err := listing.Add("status.json", written); err != nil {
		t.Fatal(err)
	}
	shown, err := verdict.Judge(listing, []*plan.Plan{r.Plan}, time.Now())
	if err != nil || (len(shown.Problems) > 0) != (code == 65) || shown.Totals.Silent > 0 {
		t.Errorf("holdfast status says %+v, %v", shown, err)
	}
	return lines
}

// store stores a dump as K8up does, as if it were made some time ago.
func (r *rounds) store(t *testing.T, dump []byte, ago time.Duration) {
	t.Helper()
	item := r.Unit(t, ldapUnit)
	r.restic(t, dump, append([]string{"backup", "--stdin", "--stdin-filename", item.Expected[0].Path}, r.marks(t, ldapUnit, ago)...)...)
}

func (r *rounds) marks(t *testing.T, unit string, ago time.Duration) []string {
	t.Helper()
	arguments := []string{"--host", r.namespace, "--time", time.Now().Add(-ago).Local().Format(time.DateTime)}
	for _, tag := range r.Unit(t, unit).Tags {
		arguments = append(arguments, "--tag", tag)
	}
	return arguments
}

func (r *rounds) restic(t *testing.T, stdin []byte, arguments ...string) {
	t.Helper()
	cmd := r.ResticCommand(t, ldapUnit, arguments...)
	cmd.Stdin = bytes.NewReader(stdin)
	// 3: it takes a stream without a byte for a file that cannot be read, and stores a
	// snapshot nevertheless.
	if out, err := cmd.CombinedOutput(); err != nil && (cmd.ProcessState.ExitCode() != 3 || len(stdin) > 0) {
		t.Fatalf("restic %v: %v\n%s", arguments, err, out)
	}
}

// files stores the claim's files, at the path that they have in K8up's pod.
func (r *rounds) files(t *testing.T) {
	t.Helper()
	path := r.Unit(t, volumeUnit).Expected[0].Path
	cmd := r.ResticCommand(t, ldapUnit, append([]string{"backup", path}, r.marks(t, volumeUnit, time.Hour)...)...)
	for i, e := range cmd.Env {
		name, value, _ := strings.Cut(e, "=")
		switch name {
		case "HOME", "RESTIC_CACHE_DIR":
			cmd.Env[i] = name + "=/tmp"
		case "RESTIC_CACERT":
			copyFile(t, value, filepath.Join(r.root, "ca.crt"))
			cmd.Env[i] = name + "=/ca.crt"
		}
	}
	copyFile(t, cmd.Path, filepath.Join(r.root, "restic"))
	cmd.Path, cmd.Dir = "/restic", "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: r.root}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// forget removes all copies of a unit.
func (r *rounds) forget(t *testing.T, unit string) {
	t.Helper()
	r.restic(t, nil, "forget", "--tag", unit, "--unsafe-allow-remove-all", "--group-by", "tags")
}

// backup is what K8up leaves of a run: "Succeeded", "Failed".
func (r *rounds) backup(t *testing.T, unit, name, reason string) {
	t.Helper()
	r.cluster.Apply(t, map[string]any{
		"apiVersion": "k8up.io/v1", "kind": "Backup", "metadata": map[string]any{"name": name, "namespace": r.namespace},
		"spec": map[string]any{"labelSelectors": []any{map[string]any{"matchLabels": map[string]any{"holdfast.dev/unit": r.Unit(t, unit).Name}}}},
	})
	r.status(t, "backup", name, map[string]any{"conditions": []any{map[string]any{
		"type": "Completed", "status": "True", "reason": reason, "message": "", "lastTransitionTime": time.Now().UTC().Format(time.RFC3339)}}})
}

// status writes the status of an object.
func (r *rounds) status(t *testing.T, kind, name string, status map[string]any) {
	t.Helper()
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		t.Fatal(err)
	}
	r.cluster.Kubectl(t, "patch", kind, name, "--namespace="+r.namespace, "--subresource=status", "--type=merge", "--patch="+string(patch))
}

// ran is what the CronJob controller leaves of the bucket's last runs.
func (r *rounds) ran(t *testing.T, started, ended time.Duration) {
	t.Helper()
	at := func(ago time.Duration) string { return time.Now().Add(-ago).UTC().Format(time.RFC3339) }
	r.status(t, "cronjob", r.Unit(t, filesUnit).Name, map[string]any{"lastScheduleTime": at(started), "lastSuccessfulTime": at(ended)})
}

// says fails the test unless the unit has this result, and its reason these words.
func (l line) says(t *testing.T, result string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(l.Reason, word) {
			t.Errorf("%s does not say %q", l.Unit, word)
		}
	}
	if l.Result != result || (result == "ok") != (l.Reason == "") || t.Failed() {
		t.Errorf("%s is %+v, expected %s", l.Unit, l, result)
	}
}

func TestVerify(t *testing.T) {
	r := newRounds(t)
	t.Run("no-repository", func(t *testing.T) {
		lines := r.verify(t, 65)
		lines[ldapUnit].says(t, "failed", "the repository cannot be read", "listing the snapshots failed")
		lines[filesUnit].says(t, "waiting", "no run has ended well yet")
		if lines[ldapUnit].Failures != 1 || r.verify(t, 65)[ldapUnit].Failures != 2 {
			t.Error("failures are not counted")
		}
	})
	r.Job(t, "Job", r.namespace, r.Plan.Repositories[r.namespace].Bootstrap, "", harness.Options{}).OK(t)
	t.Run("new", func(t *testing.T) {
		lines := r.verify(t, 0)
		for _, unit := range []string{ldapUnit, volumeUnit} {
			lines[unit].says(t, "waiting", "there is no copy yet")
		}
		if l := lines[ldapUnit]; l.Failures != 0 || l.NextDue <= time.Now().UTC().Format(time.RFC3339) {
			t.Errorf("the status is %+v", l)
		}
	})
	t.Run("never", func(t *testing.T) {
		// As if the verifier had seen the unit first ten days ago.
		name := r.Unit(t, ldapUnit).Name
		since := time.Now().Add(-10 * 24 * time.Hour).UTC().Format(time.RFC3339)
		r.cluster.Kubectl(t, "patch", "configmap", "desk.status", "--namespace="+r.namespace, "--type=merge",
			"--patch", fmt.Sprintf(`{"data": {%q: %q}}`, name, fmt.Sprintf(`{"unit":%q,"since":%q}`, ldapUnit, since)))
		r.verify(t, 65)[ldapUnit].says(t, "failed", "there is no copy")
		r.backup(t, ldapUnit, "empty", "Succeeded")
		r.verify(t, 65)[ldapUnit].says(t, "failed", "K8up calls empty a success, but nothing of it is stored")
		r.backup(t, ldapUnit, "empty", "Failed")
		r.verify(t, 65)[ldapUnit].says(t, "failed", "the backup empty failed")
		r.cluster.Kubectl(t, "delete", "backup", "empty", "--namespace="+r.namespace)
	})
	t.Run("first-run-of-a-copy-failed", func(t *testing.T) {
		r.status(t, "cronjob", r.Unit(t, filesUnit).Name, map[string]any{"lastScheduleTime": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)})
		r.verify(t, 65)[filesUnit].says(t, "failed", "the run of", "none has ended well yet")
	})
	t.Run("intact", func(t *testing.T) {
		r.store(t, ldifDump, time.Hour)
		r.files(t)
		r.ran(t, time.Hour, 50*time.Minute)
		for range 2 {
			lines := r.verify(t, 0)
			for _, unit := range []string{ldapUnit, volumeUnit, filesUnit} {
				lines[unit].says(t, "ok")
				if l := lines[unit]; l.Failures != 0 || l.Taken == "" || l.LastSuccess != l.Taken {
					t.Errorf("the status is %+v", l)
				}
			}
			if l := lines[ldapUnit]; l.Count == nil || *l.Count != 1 || *l.Bytes != int64(len(ldifDump)) || l.Read == "" || !slices.Equal(l.History, []int64{int64(len(ldifDump))}) {
				t.Errorf("the status is %+v", l)
			}
			if l := lines[volumeUnit]; l.Count == nil || *l.Count != 2 || *l.Bytes != 2 {
				t.Errorf("the status is %+v", l)
			}
		}
	})
	t.Run("a-status-that-somebody-changed", func(t *testing.T) {
		name := r.Unit(t, ldapUnit).Name
		for _, text := range []string{"", "{", "null", "7", `{"history":"x","failures":[],"since":5,"readOf":{},"bytes":"y"}`, `{"history":["x",null,1]}`} {
			patch, err := json.Marshal(map[string]any{"data": map[string]any{name: text, "gone": "{}"}})
			if err != nil {
				t.Fatal(err)
			}
			r.cluster.Kubectl(t, "patch", "configmap", "desk.status", "--namespace="+r.namespace, "--type=merge", "--patch="+string(patch))
			r.verify(t, 0)[ldapUnit].says(t, "ok")
		}
	})
	good := ldifDump
	// Each copy is a minute younger than the one before.
	age := 50 * time.Minute
	next := func(dump []byte) {
		age -= time.Minute
		r.store(t, dump, age)
	}
	bad := func(name string, dump []byte, words ...string) {
		t.Run(name, func(t *testing.T) {
			next(dump)
			r.verify(t, 65)[ldapUnit].says(t, "failed", words...)
			// It stays red as long as the copy is the newest.
			r.verify(t, 65)[ldapUnit].says(t, "failed", words...)
			next(good)
			r.verify(t, 0)[ldapUnit].says(t, "ok")
		})
	}
	bad("cut", good[:len(good)-2], "the copy was cut")
	bad("short", append(bytes.Clone(good[:50]), good[51:]...), "its trailer says")
	bad("another's", bytes.Replace(good, []byte(`"unit":"openldap/directory"`), []byte(`"unit":"openldap/elsewhere"`), 1), "of another unit")
	bad("no-marker", trailed(bytes.ReplaceAll(ldifText, []byte("complete"), []byte("unfinished"))), "lacks its marker")
	bad("empty", nil, "restic failed")
	t.Run("shrunk", func(t *testing.T) {
		more := trailed(append(bytes.Repeat([]byte("# a line\n"), 500), ldifText...))
		next(more)
		r.verify(t, 0)[ldapUnit].says(t, "ok")
		next(good)
		r.verify(t, 65)[ldapUnit].says(t, "failed", "it has shrunk to", "less than half")
		next(trailed([]byte("dn: " + ldapBase + "\n\n# holdfast: complete, 1 entries\n")))
		r.verify(t, 65)[ldapUnit].says(t, "failed", "fewer than 1000")
		good = more
		next(good)
		if l := r.verify(t, 0)[ldapUnit]; len(l.History) != 8 {
			t.Errorf("the history is %v", l.History)
		}
	})
	t.Run("stored-nothing", func(t *testing.T) {
		r.backup(t, ldapUnit, "green", "Succeeded")
		r.verify(t, 65)[ldapUnit].says(t, "failed", "K8up calls green of", "nothing of it is stored")
		r.backup(t, ldapUnit, "green", "Failed")
		r.verify(t, 65)[ldapUnit].says(t, "failed", "the backup green of", "failed")
		// What was stored before it failed is not all.
		r.store(t, good, 0)
		r.verify(t, 65)[ldapUnit].says(t, "failed", "the backup green of", "failed")
		r.backup(t, ldapUnit, "green-again", "Succeeded")
		r.verify(t, 0)[ldapUnit].says(t, "ok")
	})
	t.Run("too-few-files", func(t *testing.T) {
		if err := os.Remove(filepath.Join(r.root, "data", "uploads", "2")); err != nil {
			t.Fatal(err)
		}
		r.forget(t, volumeUnit)
		r.files(t)
		// An optional unit is named, and lets the run end well.
		r.verify(t, 0)[volumeUnit].says(t, "failed", "1 files, fewer than 2")
	})
	t.Run("copies", func(t *testing.T) {
		name := r.Unit(t, filesUnit).Name
		r.ran(t, 10*time.Minute, 24*time.Hour)
		r.verify(t, 65)[filesUnit].says(t, "failed", "the run of", "failed")
		r.ran(t, 100*time.Hour, 99*time.Hour)
		r.verify(t, 65)[filesUnit].says(t, "failed", "the next one was due by")
		r.ran(t, time.Hour, 50*time.Minute)
		suspend := func(yes bool) {
			r.cluster.Kubectl(t, "patch", "cronjob", name, "--namespace="+r.namespace, fmt.Sprintf(`--patch={"spec":{"suspend":%t}}`, yes))
		}
		suspend(true)
		r.verify(t, 65)[filesUnit].says(t, "failed", "is suspended")
		suspend(false)
		r.verify(t, 0)[filesUnit].says(t, "ok")
		r.cluster.Kubectl(t, "delete", "cronjob", name, "--namespace="+r.namespace)
		r.verify(t, 65)[filesUnit].says(t, "failed", "is gone")
		r.cluster.Apply(t, r.Object("CronJob", r.namespace, name))
		r.ran(t, time.Hour, 50*time.Minute)
	})
	t.Run("wrong-password", func(t *testing.T) {
		r.env = map[string]string{"RESTIC_PASSWORD": "not the password"}
		lines := r.verify(t, 65)
		r.env = nil
		lines[ldapUnit].says(t, "failed", "the repository cannot be read")
		lines[filesUnit].says(t, "ok")
	})
	t.Run("future", func(t *testing.T) {
		r.store(t, good, -3*time.Hour)
		r.verify(t, 65)[ldapUnit].says(t, "failed", "a clock is wrong")
	})
	t.Run("gone", func(t *testing.T) {
		r.forget(t, ldapUnit)
		r.verify(t, 65)[ldapUnit].says(t, "failed", "every copy is gone: the last one that was seen is of")
		// Another's is no copy of ours.
		r.restic(t, good, "backup", "--stdin", "--stdin-filename", r.Unit(t, ldapUnit).Expected[0].Path, "--host", "elsewhere", "--tag", ldapUnit)
		r.verify(t, 65)[ldapUnit].says(t, "failed", "every copy is gone")
	})
	t.Run("missed", func(t *testing.T) {
		r.store(t, good, 100*time.Hour)
		r.cluster.Kubectl(t, "delete", "backup", "--all", "--namespace="+r.namespace)
		r.verify(t, 65)[ldapUnit].says(t, "failed", "the next one was due by", "no backup was started")
	})
}
