package cluster_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
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

const (
	state       = "../../examples/e2e/runtime-state.json"
	credentials = "../../examples/e2e/backup-credentials.json"
)

// schedules writes a policy by which each unit starts once, in the next minutes:
// a minute for each source of a repository (HF203). It returns when the last one
// starts.
func schedules(t *testing.T, p *plan.Plan, first time.Time) (file string, last time.Time) {
	t.Helper()
	crons, next := map[string]string{}, map[string]time.Time{}
	for _, unit := range p.Units {
		at, ok := next[unit.Repository]
		if !ok {
			at = first
		}
		crons[unit.ID] = fmt.Sprintf("%d %d * * *", at.Minute(), at.Hour())
		if at.After(last) {
			last = at
		}
		next[unit.Repository] = at.Add(time.Minute)
	}
	far := first.Add(12 * time.Hour)
	return deadlines(t, map[string]any{
		"schedules": crons,
		"maintenance": map[string]any{
			"check": fmt.Sprintf("%d %d * * *", far.Minute(), far.Hour()),
			"prune": fmt.Sprintf("%d %d * * *", far.Minute(), far.Add(time.Hour).Hour()),
		},
	}), last
}

// deadlines writes a policy with short deadlines, and what else it says. They stand
// in the first stage: with the same ones it need not be applied again.
func deadlines(t *testing.T, policy map[string]any) (file string) {
	t.Helper()
	all := map[string]any{
		"schemaVersion": 1, "deadlines": map[string]any{"postgresql": 300, "mariadb": 300, "volume": 300, "openldap": 300},
	}
	maps.Copy(all, policy)
	data, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// images are all references in a tree.
// oneNight is the state of the example, but that its bucket follows no database: a
// quarter of an hour in which nothing happens proves nothing.
func oneNight(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(state)
	must(t, err)
	var root map[string]any
	must(t, json.Unmarshal(data, &root))
	for _, store := range root["objectStores"].([]any) {
		store.(map[string]any)["consistentWith"] = []any{}
	}
	data, err = json.Marshal(root)
	must(t, err)
	file := filepath.Join(t.TempDir(), "runtime-state.json")
	must(t, os.WriteFile(file, data, 0o600))
	return file
}

func images(t *testing.T, tree *cluster.Tree) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(tree.Dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".yaml") {
			return err
		}
		data, err := os.ReadFile(path)
		for line := range strings.Lines(string(data)) {
			if image, ok := strings.CutPrefix(strings.TrimLeft(line, " -"), "image: "); ok {
				found = append(found, strings.Trim(strings.TrimSpace(image), `"`))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func TestAcceptance(t *testing.T) {
	must := func(err error) {
		t.Helper()
		must(t, err)
	}
	state := oneNight(t)
	tree, err := cluster.Render(state, credentials, deadlines(t, nil), t.TempDir())
	must(err)
	c := start(t, images(t, tree))
	operatorNeeded.Add(1)
	endRounds := sync.OnceFunc(operatorNeeded.Done)
	defer endRounds()
	t.Parallel()
	desk, err := c.Deploy()
	must(err)
	opens, err := cluster.ReadCredentials(credentials)
	must(err)
	must(desk.Account(opens.Restic.Bucket, opens.Restic.AccessKeyID, opens.Restic.SecretAccessKey))
	must(desk.Account(opens.Rclone.Bucket, opens.Rclone.AccessKeyID, opens.Rclone.SecretAccessKey))
	must(inOrder(desk.Ready, desk.Accounts, desk.Seed))
	say("the desk runs and holds data")
	flux := c.Flux()
	must(flux.Apply(tree, "repository"))
	say("the repositories are made, the preflights are green")

	// K8up must know the Schedules before their first minute: it makes up for none.
	// How long they take to get there says how early they must be sent: first for
	// half a day later, then for at once.
	scheduled := func(first time.Time) (last time.Time) {
		policy, last := schedules(t, tree.Plan, first)
		tree, err = cluster.Render(state, credentials, policy, t.TempDir())
		must(err)
		must(flux.Apply(tree, "backup"))
		eventually(t, "K8up has taken all Schedules", func() error { return c.Scheduled(tree.Plan) })
		return last
	}
	since := time.Now()
	scheduled(since.UTC().Add(12 * time.Hour))
	ahead := 30*time.Second + 2*time.Since(since)
	first := time.Now().UTC().Add(ahead).Truncate(time.Minute).Add(time.Minute)
	last := scheduled(first)
	if now := time.Now(); now.After(first) {
		t.Fatalf("the Schedules were there at %s, after their first minute: this machine is too slow", now.UTC().Format(time.TimeOnly))
	}
	say("schedules are applied; the last starts at %s", last.Format(time.TimeOnly))
	beside(t, c, desk, tree.Plan, opens)
	say("checks and prunes waited for a dump that was held up")
	var round []cluster.Found
	complete := func(since time.Time) error {
		var err error
		if round, err = desk.Round(tree.Plan, opens, since); err != nil {
			return err
		}
		var missing []string
		for _, f := range round {
			if f.Missing != "" {
				missing = append(missing, f.Unit+": "+f.Missing)
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("%d of %d: %s", len(missing), len(round), strings.Join(missing, "; "))
		}
		return nil
	}
	time.Sleep(time.Until(last)) // before that it cannot be
	eventually(t, "the first round", func() error {
		err := complete(begin)
		if err != nil {
			time.Sleep(3 * time.Second)
		}
		return err
	})
	say("the first round is complete")
	firstRound := round

	before, err := desk.Content()
	must(err)
	must(desk.Change())
	content, err := desk.Content()
	must(err)
	for unit, text := range before {
		changes := !strings.HasPrefix(unit, "kubernetes-secrets/") && !strings.HasPrefix(unit, "namespace-manifests/") && unit != "postgresql/pg-globals"
		if changes == (text == content[unit]) {
			t.Errorf("the change of %s is not what the test meant", unit)
		}
	}
	second := time.Now()
	again(t, c, tree.Plan)
	must(complete(second))
	endRounds()
	say("the second round is complete")
	for i, f := range round {
		if f.ID == firstRound[i].ID && f.Expected.Engine == "restic" {
			t.Errorf("%s: the second round found the first one's snapshot", f.Unit)
		}
	}
	for id := range tree.Plan.Repositories {
		list, err := desk.Snapshots(tree.Plan, id, opens)
		must(err)
		must(desk.Check(tree.Plan, id, opens))
		want := 2 * expectedIn(tree.Plan, id)
		if id == held(t, tree.Plan).Repository {
			want++
		}
		if len(list) != want {
			t.Errorf("%s holds %d snapshots, not %d", id, len(list), want)
		}
	}
	say("both repositories are whole")
	verified(t, c, tree.Plan, state)
	say("the verifiers find every unit well")
	explained(t, c, desk, tree, state, opens)
	say("of all that lives and is stored nothing is left unexplained")

	must(desk.Destroy())
	say("destroyed: both namespaces, their volumes, the bucket")
	must(desk.Up())
	flux = c.Flux()
	must(inOrder(desk.Ready, desk.Accounts))
	must(flux.Apply(tree, "repository"))
	must(flux.Apply(tree, "backup"))
	say("empty servers run, the tree is applied again")
	must(both(desk.HoldLDAP, func() error { return scale(desk, 0) }))
	// slapd has made an empty database when it first started. Its StatefulSet is held
	// back, so it is not as it was; it is deployed again afterwards.
	requests := map[string]map[string]string{
		"openldap/directory":              {"HOLDFAST_OVERWRITE": "yes"},
		"namespace-manifests/application": {"HOLDFAST_LEAVE_OUT": "StatefulSet/ldap"},
	}
	for order, units := range byOrder(tree.Plan) {
		must(parallel(units, func(unit plan.Item) error { return c.Restore(tree, unit, requests[unit.ID]) }))
		say("restored (%d): %s", order, names(units))
	}
	must(both(desk.ReleaseLDAP, func() error { return scale(desk, 1) }))
	after, err := desk.Content()
	must(err)
	for unit, text := range content {
		if after[unit] != text {
			t.Errorf("%s did not come back as it was:\n%s", unit, difference(text, after[unit]))
		}
	}
	say("everything is back")

	denied, unused, err := c.Privileges(tree)
	must(err)
	judge(t, "done, but not allowed", denied, tolerated)
	judge(t, "allowed, but never used", unused, reserved)
	table(os.Stdout, tree.Plan, round)
}

// excuse is why something is right although the comparison names it.
type excuse struct {
	pattern *regexp.Regexp
	reason  string
}

// tolerated was refused, and does not matter.
var tolerated = []excuse{
	{regexp.MustCompile(`:restore-e2e-(ns|sec)-application was refused: get namespaces `), "kubectl apply asks whether the namespace is there, and goes on without an answer"},
}

// reserved was not used in this run, and is needed in another.
var reserved = []excuse{
	{regexp.MustCompile(`\.(cert-manager\.io|external-secrets\.io|gateway\.networking\.k8s\.io) in `), "this cluster does not serve the type"},
	{regexp.MustCompile(`:restore-e2e-ns-(application|mariadb): (create|get|patch) `), "a restore may have to write objects of any kind; of this one none was lost"},
	{regexp.MustCompile(`:restore-e2e-sec-(application|mariadb): (create|patch) secrets `), "server-side apply creates by a request that is logged as patch; of desk-db none was lost"},
	{regexp.MustCompile(`:e2e-preflight: `), "the preflight asks whether it has the rights of the units, and does not use them all"},
	{regexp.MustCompile(`:restore-e2e-cp-export: get `), "the export holds no object of the kind"},
	{regexp.MustCompile(`: create pods/exec ldap-0 `), "this kubectl asks by GET, older ones by POST"},
}

// judge fails for each finding without an excuse, and for each excuse that is
// not needed any more.
func judge(t *testing.T, what string, findings []string, excuses []excuse) {
	t.Helper()
	needed := map[int]bool{}
	for _, finding := range findings {
		at := slices.IndexFunc(excuses, func(e excuse) bool { return e.pattern.MatchString(finding) })
		if at < 0 {
			t.Errorf("%s: %s", what, finding)
		}
		needed[at] = true
	}
	for i, e := range excuses {
		if !needed[i] {
			t.Errorf("%s: nothing needs the excuse that %s", what, e.reason)
		}
	}
}

// heldUnit is the one whose dump is held up, and of which there are three copies.
const heldUnit = "postgresql/files"

// held is the unit of that name.
func held(t *testing.T, p *plan.Plan) plan.Item {
	t.Helper()
	at := slices.IndexFunc(p.Units, func(unit plan.Item) bool { return unit.ID == heldUnit })
	if at < 0 {
		t.Fatalf("there is no unit %s", heldUnit)
	}
	return p.Units[at]
}

// beside makes three copies of the held unit while the first round runs. The
// third's dump is held up, and check and prune of each repository are started
// beside it: those of its repository wait for it, and all end well.
func beside(t *testing.T, c *cluster.Cluster, desk *cluster.Desk, p *plan.Plan, opens cluster.Credentials) {
	t.Helper()
	unit := held(t, p)
	copies := func() (n int) {
		t.Helper()
		list, err := desk.Snapshots(p, unit.Repository, opens)
		must(t, err)
		for _, s := range list {
			if s.Path == unit.Expected[0].Path {
				n++
			}
		}
		return n
	}
	// Never two at the same time: K8up calls the second one succeeded with "nothing
	// to backup", and stops the first one's dump.
	alone := func() {
		t.Helper()
		eventually(t, "the pods of "+unit.ID+" are gone", func() error {
			out, err := c.Control.TryKubectl("get", "deployment", unit.Name, "--namespace="+unit.Namespace, "--ignore-not-found", "--output=name")
			if err == nil && out != "" {
				err = errors.New("they are still there")
			}
			return err
		})
	}
	eventually(t, "the first copy of "+unit.ID, func() error {
		if copies() == 0 {
			time.Sleep(2 * time.Second)
			return errors.New("not there yet")
		}
		return nil
	})
	alone()
	kind, name, err := c.Now(unit)
	must(t, err)
	must(t, succeeded(c, unit.Namespace, kind, name))
	alone()
	slow := heldUp{"users", func(sql string) (string, error) { return desk.PSQL("files", sql) }}
	release := slow.hold(t)
	kind, name, err = c.Now(unit)
	must(t, err)
	slow.dumping(t, follow(c, unit, kind, name))

	var turn sync.Mutex
	var released time.Time
	started := map[string]time.Time{}       // checks and prunes of the unit's namespace
	time.AfterFunc(15*time.Second, func() { // time enough for them to start, if they would
		turn.Lock()
		released = time.Now()
		turn.Unlock()
		release()
	})
	must(t, parallel(p.Maintenance, func(m plan.Maintenance) error {
		kind, name, err := c.Maintain(m)
		if err == nil {
			err = succeeded(c, m.Namespace, kind, name)
		}
		if err != nil || m.Namespace != unit.Namespace {
			return err
		}
		job := string(m.Job) + "-" + name
		start, err := c.JobStart(m.Namespace, job)
		turn.Lock()
		defer turn.Unlock()
		started[job] = start
		return err
	}))
	must(t, succeeded(c, unit.Namespace, kind, name))
	for job, start := range started {
		if start.Before(released.Truncate(time.Second)) {
			t.Errorf("%s started at %s, while a dump was held up until %s", job, start.Format(time.TimeOnly), released.Format(time.TimeOnly))
		}
	}
	if len(started) != 2 {
		t.Errorf("%d checks and prunes ran beside the dump that was held up, not one of each", len(started))
	}
	// Of one day the newest is kept, and as long as there are fewer days than are
	// wanted, the oldest beside it.
	if n := copies(); n != 2 {
		t.Errorf("the prune left %d copies of %s, not 2 of 3", n, unit.ID)
	}
}

// again runs everything a second time, all at once, as the repositories are there.
func again(t *testing.T, c *cluster.Cluster, p *plan.Plan) {
	t.Helper()
	must(t, parallel(p.Units, func(unit plan.Item) error {
		kind, name, err := c.Now(unit)
		switch {
		case err != nil:
			return err
		case kind == "job":
			return c.WaitJob(unit.Namespace, name)
		}
		return succeeded(c, unit.Namespace, kind, name)
	}))
}

// succeeded waits for a run of K8up's, which must end well.
func succeeded(c *cluster.Cluster, namespace, kind, name string) error {
	reason, err := c.WaitRun(namespace, kind, name)
	if err == nil && reason != "Succeeded" {
		err = fmt.Errorf("%s %s/%s: %s", kind, namespace, name, reason)
	}
	return err
}

// parallel does something with all of a list at once.
func parallel[T any](list []T, do func(T) error) error {
	failures := make([]error, len(list))
	var running sync.WaitGroup
	for i, item := range list {
		running.Go(func() { failures[i] = do(item) })
	}
	running.Wait()
	return errors.Join(failures...)
}

// scale stops or starts the applications whose volumes are restored.
func scale(desk *cluster.Desk, replicas int) error {
	return both(
		func() error { return desk.Scale("desk", "web", replicas) },
		func() error { return desk.Scale("desk-db", "spool", replicas) },
	)
}

// both does two things at once.
func both(one, other func() error) error {
	return parallel([]func() error{one, other}, func(do func() error) error { return do() })
}

// inOrder takes steps one after the other, up to the first that fails.
func inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// expectedIn counts a repository's expected snapshots.
func expectedIn(p *plan.Plan, repository string) int {
	count := 0
	for _, unit := range p.Units {
		if unit.Repository == repository {
			count += len(unit.Expected)
		}
	}
	return count
}

// byOrder yields the units in the order in which they are restored.
func byOrder(p *plan.Plan) iter.Seq2[int, []plan.Item] {
	groups := map[int][]plan.Item{}
	for _, unit := range p.Units {
		groups[unit.RestoreOrder] = append(groups[unit.RestoreOrder], unit)
	}
	return func(yield func(int, []plan.Item) bool) {
		for _, order := range slices.Sorted(maps.Keys(groups)) {
			if !yield(order, groups[order]) {
				return
			}
		}
	}
}

func names(units []plan.Item) string {
	var list []string
	for _, unit := range units {
		list = append(list, unit.ID)
	}
	return strings.Join(list, ", ")
}

// difference shows the first line in which two texts differ.
func difference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d\n- %.200s\n+ %.200s", i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("%d lines, not %d", len(b), len(a))
}

// table prints what was expected and what was found.
func table(to io.Writer, p *plan.Plan, round []cluster.Found) {
	fmt.Fprintf(to, "| unit | expected | bytes | at least | found |\n|---|---|---|---|---|\n")
	for _, f := range round {
		expected := f.Expected.Path
		if expected == "" {
			expected = f.Expected.Where
		}
		found := "yes"
		if f.Missing != "" {
			found = "NO: " + f.Missing
		}
		fmt.Fprintf(to, "| %s | %s | %d | %d | %s |\n", f.Unit, expected, f.Bytes, f.Expected.MinBytes, found)
	}
}
