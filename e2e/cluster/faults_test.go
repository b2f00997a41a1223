package cluster_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/cluster"
	"github.com/holdfast-backup/holdfast/renderer/plan"
)

// fault is the small instance that the faults happen to.
type fault struct {
	*cluster.Side
}

func (f fault) unit(t *testing.T, id string) plan.Item {
	t.Helper()
	for _, unit := range f.Tree.Plan.Units {
		if unit.ID == id {
			return unit
		}
	}
	t.Fatalf("there is no unit %s", id)
	return plan.Item{}
}

// outcome is how a run ended, and what its pods wrote.
type outcome struct {
	reason, log string
	err         error
}

// run starts a unit, and tells how it ended and what its pods wrote.
func (f fault) run(t *testing.T, id string) (reason, log string) {
	t.Helper()
	unit := f.unit(t, id)
	kind, name, err := f.Now(unit)
	must(t, err)
	return f.ended(t, unit, kind, name)
}

func (f fault) ended(t *testing.T, unit plan.Item, kind, name string) (reason, log string) {
	t.Helper()
	o := <-follow(f.Cluster, unit, kind, name)
	must(t, o.err)
	return o.reason, o.log
}

// follow reads what a run's pods write until it has ended.
//
// A Job's pods go when it fails at its deadline, so their words are kept. The
// first attempt's are those of the "previous" container: kubelet starts the
// second one at once, and only later ones after a while.
func follow(c *cluster.Cluster, unit plan.Item, kind, name string) <-chan outcome {
	end := make(chan outcome, 1)
	done := make(chan struct{})
	var reading sync.WaitGroup
	var heard strings.Builder
	reading.Go(func() {
		for {
			for _, job := range jobsOf(name) {
				for _, words := range c.Said(unit.Namespace, job) {
					if !strings.Contains(heard.String(), words) {
						heard.WriteString(words)
					}
				}
			}
			select {
			case <-done:
				return
			case <-time.After(time.Second):
			}
		}
	})
	go func() {
		reason, err := c.WaitRun(unit.Namespace, kind, name)
		close(done)
		reading.Wait()
		end <- outcome{reason, heard.String(), err}
	}()
	return end
}

// jobsOf are the Jobs that K8up makes of a Backup: of a dump, and of a claim.
func jobsOf(backup string) []string {
	return []string{"backup-" + backup + "-prebackup", "backup-" + backup + "-0"}
}

// snapshots are those of a unit that are newer than since.
func (f fault) snapshots(t *testing.T, id string, since time.Time) []cluster.Found {
	t.Helper()
	unit := f.unit(t, id)
	list, err := f.Snapshots(f.Tree.Plan, unit.Repository, f.Credentials)
	must(t, err)
	var found []cluster.Found
	for _, s := range list {
		if s.Path == unit.Expected[0].Path && s.Time.After(since) {
			found = append(found, s)
		}
	}
	return found
}

// succeeded checks that a run ended well and left exactly one snapshot, a whole one.
func (f fault) succeeded(t *testing.T, id, reason, log string, since time.Time) {
	t.Helper()
	if reason != "Succeeded" {
		t.Errorf("%s: %s\n%s\n%s", id, reason, tail(log), f.Warnings(f.unit(t, id).Namespace))
		return
	}
	list := f.snapshots(t, id, since)
	if len(list) != 1 {
		t.Fatalf("%s left %d snapshots, not one\n%s", id, len(list), tail(log))
	}
	unit := f.unit(t, id)
	marker := unit.Expected[0].Marker
	if marker == "" {
		return
	}
	text, err := f.ResticAs(f.Credentials, f.Tree, unit.Repository, "dump", "--no-lock", list[0].ID, list[0].Path)
	must(t, err)
	if !strings.Contains(text, marker) || int64(len(text)) != list[0].Bytes {
		t.Errorf("the snapshot of %s is not whole: %d bytes of %d", id, len(text), list[0].Bytes)
	}
}

// failed checks that a run is called failed, says why, and left nothing.
func (f fault) failed(t *testing.T, id, reason, log string, since time.Time, words ...string) {
	t.Helper()
	if reason != "Failed" {
		t.Errorf("%s: %s, though it could not succeed", id, reason)
	}
	for _, word := range words {
		if !strings.Contains(log, word) {
			t.Errorf("the log of %s does not say %q:\n%s", id, word, tail(log))
		}
	}
	if list := f.snapshots(t, id, since); len(list) > 0 {
		t.Errorf("%s left %d snapshots", id, len(list))
	}
}

// trace is a line of a stack trace, of which K8up adds one to each of its errors.
var trace = regexp.MustCompile(`^(\t|[a-z./0-9]+\.\S+$)`)

// tail is a log's end, without the stack traces: what the attempts said.
func tail(text string) string {
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(text), "\n"), trace.MatchString)
	return strings.Join(lines[max(0, len(lines)-80):], "\n")
}

// psql runs SQL in the small instance's server.
func (f fault) psql(database, sql string) (string, error) {
	return f.Control.KubectlIn([]byte(sql), "exec", "--stdin", "--namespace=side", "postgresql-0", "--", "sh", "-c",
		`PGPASSWORD=right exec psql -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -U postgres -d "$0"`, database)
}

// midway starts a unit's backup, and returns when its dump of a database is under
// way, and held up: until release, or the server's end. ended waits for the backup.
func (f fault) midway(t *testing.T, database string) (release func(), ended func() (reason, log string)) {
	t.Helper()
	held := heldUp{"stock", func(sql string) (string, error) { return f.psql(database, sql) }}
	release = held.hold(t)
	unit := f.unit(t, "postgresql/"+database)
	kind, name, err := f.Now(unit)
	must(t, err)
	run := follow(f.Cluster, unit, kind, name)
	held.dumping(t, run)
	return release, func() (string, string) {
		o := <-run
		must(t, o.err)
		return o.reason, o.log
	}
}

func (f fault) kubectl(t *testing.T, arguments ...string) string {
	t.Helper()
	out, err := f.Control.TryKubectl(arguments...)
	must(t, err)
	return out
}

func TestFaults(t *testing.T) {
	tree, err := cluster.Render(state, credentials, "", t.TempDir())
	must(t, err)
	c := start(t, images(t, tree))
	t.Parallel()
	side, tiny, err := c.Sides(t.TempDir())
	must(t, err)
	f := fault{side}
	say("two small instances stand beside the first")

	t.Run("at once", func(t *testing.T) {
		t.Run("one dump broken", func(t *testing.T) {
			t.Parallel()
			since := time.Now()
			ids := []string{"postgresql/good", "postgresql/slow", "postgresql/broken"}
			outcomes := make([]outcome, len(ids))
			must(t, parallel([]int{0, 1, 2}, func(i int) error {
				outcomes[i].reason, outcomes[i].log = f.run(t, ids[i])
				return nil
			}))
			f.succeeded(t, ids[0], outcomes[0].reason, outcomes[0].log, since)
			f.succeeded(t, ids[1], outcomes[1].reason, outcomes[1].log, since)
			f.failed(t, ids[2], outcomes[2].reason, outcomes[2].log, since, "postgresql/broken", "password authentication failed")
			say("one dump broken: the others are there, it is red and named")
		})
		t.Run("another instance's credentials", func(t *testing.T) {
			t.Parallel()
			if _, err := c.ResticAs(tinyAs(side, tiny), side.Tree, f.unit(t, "postgresql/good").Repository, "snapshots", "--no-lock"); err == nil {
				t.Error("the credentials of one instance open the repository of another")
			}
			if _, err := c.ResticAs(side.Credentials, side.Tree, f.unit(t, "postgresql/good").Repository, "snapshots", "--no-lock"); err != nil {
				t.Errorf("its own credentials do not: %v", err)
			}
		})
		t.Run("a job by hand against the lock", func(t *testing.T) { t.Parallel(); f.byHand(t) })
		t.Run("of the tiny one", func(t *testing.T) {
			t.Parallel()
			t.Run("full disk", fault{tiny}.fullDisk)
			t.Run("wrong repository password", fault{tiny}.wrongPassword)
		})
		t.Run("the claim's node is gone", func(t *testing.T) { t.Parallel(); f.movedNode(t) })
		t.Run("dump pod killed in the middle of a dump", func(t *testing.T) { t.Parallel(); f.killedPod(t) })
		t.Run("dump pod evicted in the middle of a dump", func(t *testing.T) { t.Parallel(); f.evictedPod(t) })
	})
	t.Run("database killed in the middle of a dump", func(t *testing.T) {
		since := time.Now()
		_, ended := f.midway(t, "slow")
		f.kubectl(t, "delete", "pod", "postgresql-0", "--namespace=side", "--grace-period=0", "--force")
		reason, log := ended()
		// K8up tries again; the half dump is not stored.
		f.succeeded(t, "postgresql/slow", reason, log, since)
		if !strings.Contains(log, "postgresql/slow") {
			t.Errorf("nothing tells that the first attempt failed:\n%s", tail(log))
		}
		say("database killed: the half dump was not stored, the next attempt was")
	})
	t.Run("storage refuses for a while", func(t *testing.T) {
		since := time.Now()
		f.kubectl(t, "scale", "deployment", "s3-side", "--namespace=storage", "--replicas=0")
		unit := f.unit(t, "postgresql/good")
		kind, name, err := f.Now(unit)
		must(t, err)
		f.refused(t, unit.Namespace, jobsOf(name)[0])
		f.kubectl(t, "scale", "deployment", "s3-side", "--namespace=storage", "--replicas=1")
		f.kubectl(t, "rollout", "status", "deployment/s3-side", "--namespace=storage", "--timeout=10m")
		reason, log := f.ended(t, unit, kind, name)
		f.succeeded(t, unit.ID, reason, log, since)
		say("storage refused: the copy came as soon as it was back")
	})
	t.Run("operator restarted", func(t *testing.T) {
		operatorNeeded.Wait()
		since := time.Now()
		release, ended := f.midway(t, "slow")
		f.kubectl(t, "delete", "pod", "--namespace=k8up-system", "--selector=app=k8up")
		f.kubectl(t, "rollout", "status", "deployment/k8up", "--namespace=k8up-system", "--timeout=10m")
		release()
		reason, log := ended()
		f.succeeded(t, "postgresql/slow", reason, log, since)
		say("operator restarted: the backup ended all the same")
	})
}

// refused waits until a Job's pod has run into a storage that is not there: its
// container runs for a while, in which restic asks again and again, or it has
// ended already.
func (f fault) refused(t *testing.T, namespace, job string) {
	t.Helper()
	eventually(t, "the storage is asked for", func() error {
		attempts, err := f.Attempts(namespace, job)
		if err != nil {
			return err
		}
		for _, a := range attempts {
			if a.Restarts > 0 || !a.Since.IsZero() && time.Since(a.Since) > 15*time.Second {
				return nil
			}
		}
		return errors.New("no pod has run for long enough")
	})
}

// tinyAs are tiny's credentials with side's password: only the storage's own
// rights are left between the two.
func tinyAs(side, tiny *cluster.Side) cluster.Credentials {
	who := tiny.Credentials
	who.Restic.Password = side.Credentials.Restic.Password
	return who
}

// byHand starts a bucket's Job while somebody else holds its lock.
func (f fault) byHand(t *testing.T) {
	unit := f.unit(t, "bucket/objects")
	file := filepath.Join(t.TempDir(), "object")
	must(t, os.WriteFile(file, []byte("content"), 0o600))
	address := f.kubectl(t, "get", "service", "s3-side", "--namespace=storage", "--output=jsonpath=http://{.spec.clusterIP}:7072")
	_, err := f.Run([]string{
		"RCLONE_CONFIG_S_TYPE=s3", "RCLONE_CONFIG_S_PROVIDER=Other", "RCLONE_CONFIG_S_ENDPOINT=" + address, "RCLONE_CONFIG_S_FORCE_PATH_STYLE=true",
		"RCLONE_CONFIG_S_ACCESS_KEY_ID=root", "RCLONE_CONFIG_S_SECRET_ACCESS_KEY=" + cluster.Root,
	}, "rclone", "--config", "/dev/null", "copyto", file, "s:side-objects/one")
	must(t, err)
	lock := unit.Name + ".lock"
	data := func() string {
		return f.kubectl(t, "get", "configmap", lock, "--namespace=side", "--output=jsonpath={.data}")
	}
	held := fmt.Sprintf(`{"data":{"holder":"somebody.else","until":"%d"}}`, time.Now().Add(10*time.Minute).Unix())
	f.kubectl(t, "patch", "configmap", lock, "--namespace=side", "--type=merge", "--field-manager=holdfast", "--patch", held)
	_, name, err := f.Now(unit)
	must(t, err)
	if err := f.WaitJob("side", name); err == nil || !strings.Contains(err.Error(), "skipped") {
		t.Errorf("the Job against a lock that is held: %v", err)
	}
	if got := data(); !strings.Contains(got, "somebody.else") {
		t.Errorf("the lock of another was changed: %s", got)
	}
	f.kubectl(t, "patch", "configmap", lock, "--namespace=side", "--type=json", "--field-manager=holdfast", `--patch=[{"op":"remove","path":"/data"}]`)
	_, name, err = f.Now(unit)
	must(t, err)
	must(t, f.WaitJob("side", name))
	if got := data(); got != "" {
		t.Errorf("the lock is still held after the run: %s", got)
	}
	say("a job by hand: skipped while the lock is held, done when it is free")
}

// killedPod takes the pod of a dump away, as an eviction or a drain does. K8up
// tries again with the name of the pod that is gone, and finds nothing to do. By
// itself it would call that a success.
func (f fault) killedPod(t *testing.T) {
	since := time.Now()
	unit := f.unit(t, "postgresql/evicted")
	release, ended := f.midway(t, "evicted")
	f.kubectl(t, "delete", "pod", "--namespace=side", "--selector=k8up.io/preBackupPod="+unit.Name, "--grace-period=0", "--force")
	reason, log := ended()
	release() // not before: the pod's processes outlive its object
	f.failed(t, unit.ID, reason, log, since, "nothing was stored")
	since = time.Now()
	reason, log = f.run(t, unit.ID)
	f.succeeded(t, unit.ID, reason, log, since)
	say("dump pod killed: red, and it says that nothing was stored; started again: a copy")
}

// evictedPod fills the scratch of a dump's pod beyond its size, file by file, so that no
// limit of a single file stops it: kubelet evicts the pod.
func (f fault) evictedPod(t *testing.T) {
	since := time.Now()
	unit := f.unit(t, "postgresql/crowded")
	release, ended := f.midway(t, "crowded")
	pod := strings.TrimSpace(f.kubectl(t, "get", "pods", "--namespace=side", "--selector=k8up.io/preBackupPod="+unit.Name, "--output=name"))
	// It may be killed before it has written all.
	_, _ = f.Control.TryKubectl("exec", "--namespace=side", pod, "--", "sh", "-c",
		`n=0; while [ "$n" -lt 40 ]; do head -c 10000000 /dev/zero >"/holdfast/scratch/grown.$n" || exit 0; n=$((n + 1)); done`)
	reason, log := ended()
	release()
	f.failed(t, unit.ID, reason, log, since, "nothing was stored")
	if events := f.kubectl(t, "get", "events", "--namespace=side", "--field-selector=reason=Evicted", "--output=jsonpath={.items[*].message}"); !strings.Contains(events, "exceeds the limit") {
		t.Errorf("kubelet evicted nobody:\n%s", events)
	}
	since = time.Now()
	reason, log = f.run(t, unit.ID)
	f.succeeded(t, unit.ID, reason, log, since)
	say("dump pod evicted by kubelet: red, and it says that nothing was stored; started again: a copy")
}

// movedNode makes the claim's pod run on a node that cannot run anything: K8up
// follows the pod, so its job waits until its deadline and is red. Once the pod
// is back, so is the backup.
func (f fault) movedNode(t *testing.T) {
	f.kubectl(t, "scale", "statefulset", "web", "--namespace=side", "--replicas=0")
	f.kubectl(t, "wait", "--for=delete", "pod/web-0", "--namespace=side", "--timeout=10m")
	must(t, f.Manifest(`apiVersion: v1
kind: Node
metadata: {name: node9, labels: {kubernetes.io/hostname: node9}}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: side}
spec:
  nodeName: node9
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: main
    image: holdfast.test/e2e:1
    command: [sleep, infinity]
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: side-files}}]
`))
	f.kubectl(t, "patch", "pod", "web-0", "--namespace=side", "--subresource=status", "--type=merge", `--patch={"status":{"phase":"Running"}}`)
	since := time.Now()
	unit := f.unit(t, "volume/side-files")
	kind, name, err := f.Now(unit)
	must(t, err)
	var node string
	eventually(t, "K8up makes a job", func() error {
		out, err := f.Control.TryKubectl("get", "job", "backup-"+name+"-0", "--namespace=side", `--output=jsonpath={.spec.template.spec.nodeSelector.kubernetes\.io/hostname}`)
		node = out
		return err
	})
	if node != "node9" {
		t.Errorf("the job goes to %q, not to the claim's node", node)
	}
	reason, log := f.ended(t, unit, kind, name)
	f.failed(t, unit.ID, reason, log, since)
	f.kubectl(t, "delete", "pod", "web-0", "--namespace=side", "--grace-period=0", "--force")
	f.kubectl(t, "delete", "node", "node9")
	f.kubectl(t, "scale", "statefulset", "web", "--namespace=side", "--replicas=1")
	f.kubectl(t, "rollout", "status", "statefulset/web", "--namespace=side", "--timeout=10m")
	since = time.Now()
	reason, log = f.run(t, unit.ID)
	f.succeeded(t, unit.ID, reason, log, since)
	say("the claim's node is gone: red; it is back: a copy")
}

// fullDisk fills the storage with what does not fit.
func (f fault) fullDisk(t *testing.T) {
	since := time.Now()
	reason, log := f.run(t, "volume/tiny-files")
	f.failed(t, "volume/tiny-files", reason, log, since)
	say("full disk: red, and no snapshot")
}

// wrongPassword changes the repository's password in the cluster.
func (f fault) wrongPassword(t *testing.T) {
	set := func(password string) {
		f.kubectl(t, "patch", "secret", "tiny-restic", "--namespace=tiny", "--type=merge", "--patch", fmt.Sprintf(`{"stringData":{"password":%q}}`, password))
	}
	set("another password")
	since := time.Now()
	reason, log := f.run(t, "volume/tiny-files")
	set(f.Credentials.Restic.Password)
	f.failed(t, "volume/tiny-files", reason, log, since, "wrong password")
	say("wrong repository password: red, and the log says so")
}
