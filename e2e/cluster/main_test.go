package cluster_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/cluster"
)

// begin is when the tests started; say reports on stderr what has been reached.
var begin = time.Now()

// patience is how long a state may take to come. Only what is broken takes so
// long; what works on a busy machine is merely late.
const patience = 10 * time.Minute

// operatorNeeded counts the tests of this run to which K8up's operator must not
// be taken away. Each adds itself before it runs beside the others.
var operatorNeeded sync.WaitGroup

// besideOthers is the cluster for a test that runs beside others and needs the operator
// until its last subtest has ended.
func besideOthers(t *testing.T) *cluster.Cluster {
	t.Helper()
	tree, err := cluster.Render(state, credentials, "", t.TempDir())
	must(t, err)
	c := start(t, images(t, tree))
	operatorNeeded.Add(1)
	t.Cleanup(operatorNeeded.Done)
	t.Parallel()
	return c
}

func say(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "%6.1f s  "+format+"\n", append([]any{time.Since(begin).Seconds()}, arguments...)...)
}

// shared is the one cluster of all tests.
var shared struct {
	sync.Mutex
	cluster *cluster.Cluster
	err     error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.cluster != nil {
		if code != 0 && os.Getenv("HOLDFAST_KEEP") != "" {
			say("kept for an hour: %s", shared.cluster.Dir)
			time.Sleep(time.Hour)
		}
		shared.cluster.Stop()
	}
	os.Exit(code)
}

// start starts the cluster, once, with these images.
func start(t *testing.T, images []string) *cluster.Cluster {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil && shared.err == nil {
		shared.cluster, shared.err = cluster.Start(cluster.Options{Images: images, Progress: say})
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually repeats something until it succeeds.
func eventually(t *testing.T, what string, do func() error) {
	t.Helper()
	end := time.Now().Add(patience)
	for {
		err := do()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s: %v", what, patience, err)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// heldUp is a database of which a dump can be made to wait, by a lock on a table.
type heldUp struct {
	table string
	psql  func(sql string) (string, error)
}

// hold takes the lock. It returns what releases it.
func (h heldUp) hold(t *testing.T) (release func()) {
	t.Helper()
	go func() {
		// It ends when it is released, and with the server at the latest.
		_, _ = h.psql("BEGIN; LOCK TABLE " + h.table + "; SELECT pg_sleep(600) /* held */;")
	}()
	h.until(t, nil, "the table is locked",
		"SELECT count(*) > 0 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = '"+h.table+"'::regclass")
	return func() {
		// Other tests hold other databases of the same server.
		_, err := h.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%/* held */%' AND pid <> pg_backend_pid()")
		must(t, err)
	}
}

// dumping waits until a dump has come as far as the lock. One whose run ends before
// never will.
func (h heldUp) dumping(t *testing.T, run <-chan outcome) {
	t.Helper()
	h.until(t, run, "the dump waits for the lock",
		"SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
}

func (h heldUp) until(t *testing.T, run <-chan outcome, what, sql string) {
	t.Helper()
	eventually(t, what, func() error {
		select {
		case o := <-run:
			t.Fatalf("%s: not before the run ended: %s, %v\n%s", what, o.reason, o.err, tail(o.log))
		default:
		}
		out, err := h.psql(sql)
		if err == nil && strings.TrimSpace(out) != "t" {
			err = fmt.Errorf("%q", out)
		}
		return err
	})
}
