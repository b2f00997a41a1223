package e2e_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

// How often the lock is fought for. Each round has 20 runners.
const (
	// With a client in this process, which sends the same patches as guard.sh
	// (TestLock/patches shows that) and has clocks that are off by an hour.
	quickRounds = 1000
	// With the real guard.sh and kubectl.
	realRounds = 60
	runners    = 20
)

// TestLock proves guard.sh against a real API server.
func TestLock(t *testing.T) {
	l := newLocks(t)
	t.Run("rounds in-process", l.quickRounds)
	t.Run("rounds guard.sh", l.realRounds)
	t.Run("quick", l.quick)
	t.Run("restart", l.restart)
	// The others mostly wait.
	all := l.crowd(t)
	defer all.Wait()
	for _, c := range []struct {
		name string
		f    func(*testing.T)
	}{
		{"patches", l.patches}, {"kill", l.kill}, {"lost", l.lost}, {"clock", l.clock}, {"foreign", l.foreign},
		{"instance", l.instance}, {"signal", l.signal}, {"skipped", l.skipped}, {"usage", l.usage},
	} {
		all.Go(func() { t.Run(c.name, c.f) })
	}
}

// crowd runs subtests beside each other, whatever the number of processors: what
// they do is wait.
type crowd struct {
	sync.WaitGroup
	l *locks
	t *testing.T
}

func (l *locks) crowd(t *testing.T) *crowd { return &crowd{l: l, t: t} }

func (c *crowd) run(name string, f func(*testing.T)) {
	c.Go(func() {
		c.l.slots <- struct{}{}
		defer func() { <-c.l.slots }()
		c.t.Run(name, f)
	})
}

// The patches of guard.sh.
func acquirePatch(data, holder, until string) string {
	return `[{"op":"test","path":"/data","value":` + data + `},{"op":"add","path":"/data","value":{"holder":"` + holder + `","until":"` + until + `"}}]`
}

func renewPatch(holder, until string) string {
	return `[{"op":"test","path":"/data/holder","value":"` + holder + `"},{"op":"replace","path":"/data/until","value":"` + until + `"}]`
}

func releasePatch(holder string) string {
	return `[{"op":"test","path":"/data/holder","value":"` + holder + `"},{"op":"remove","path":"/data"}]`
}

// locks is a namespace for locks, with two ways to them.
type locks struct {
	cluster   *harness.ClusterServer
	api       *apiClient
	namespace string
	number    atomic.Int64
	slots     chan struct{}
}

func newLocks(t *testing.T) *locks {
	cluster := harness.Cluster(t)
	l := &locks{slots: make(chan struct{}, 12), cluster: cluster, api: newAPI(t, cluster.Kubeconfig), namespace: "locks-" + strconv.FormatInt(time.Now().UnixNano(), 36)}
	l.api.create(t, "/api/v1/namespaces", map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": l.namespace}})
	return l
}

// lock makes a lock; data nil is a free one, as Git has it.
func (l *locks) lock(t testing.TB, data map[string]string) string {
	t.Helper()
	name := fmt.Sprintf("unit-%d.lock", l.number.Add(1))
	object := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name}}
	if data != nil {
		object["data"] = data
	}
	l.api.create(t, "/api/v1/namespaces/"+l.namespace+"/configmaps", object)
	return name
}

func (l *locks) path(name string) string {
	return "/api/v1/namespaces/" + l.namespace + "/configmaps/" + name
}

// read returns a lock's version and its data, in JSON and decoded.
func (l *locks) read(name string) (version, raw string, data map[string]string, err error) {
	status, body, err := l.api.do(http.MethodGet, l.path(name), "", nil)
	if err != nil || status != http.StatusOK {
		return "", "", nil, fmt.Errorf("reading %s: %d %s: %w", name, status, body, err)
	}
	var object struct {
		Metadata struct{ ResourceVersion string }
		Data     json.RawMessage
	}
	if err := json.Unmarshal(body, &object); err != nil {
		return "", "", nil, err
	}
	if len(object.Data) == 0 || string(object.Data) == "{}" {
		return object.Metadata.ResourceVersion, "null", nil, nil
	}
	return object.Metadata.ResourceVersion, string(object.Data), data, json.Unmarshal(object.Data, &data)
}

func (l *locks) patch(name, patch string) (int, error) {
	status, _, err := l.api.do(http.MethodPatch, l.path(name)+"?fieldManager=holdfast", "application/json-patch+json", []byte(patch))
	return status, err
}

// set puts data into a lock as somebody else would.
func (l *locks) set(t testing.TB, name string, data map[string]string) {
	t.Helper()
	value, err := json.Marshal(map[string]any{"data": nil})
	if data != nil {
		value, err = json.Marshal([]map[string]any{{"op": "add", "path": "/data", "value": data}})
	}
	if err != nil {
		t.Fatal(err)
	}
	kind := "application/json-patch+json"
	if data == nil {
		kind = "application/merge-patch+json"
	}
	status, body, err := l.api.do(http.MethodPatch, l.path(name), kind, value)
	if err != nil || status != http.StatusOK {
		t.Fatalf("setting %s: %d %s %v", name, status, body, err)
	}
}

// is fails the test unless the lock holds exactly that.
func (l *locks) is(t testing.TB, name string, want map[string]string) {
	t.Helper()
	_, _, got, err := l.read(name)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) || got["holder"] != want["holder"] || got["until"] != want["until"] {
		t.Errorf("the lock %s holds %v, not %v", name, got, want)
	}
}

// apiClient talks to an API server as its administrator.
type apiClient struct {
	server string
	client *http.Client
	token  string
}

func newAPI(t testing.TB, kubeconfig string) *apiClient {
	t.Helper()
	data, err := os.ReadFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Clusters []struct {
			Cluster struct {
				Server string `json:"server"`
				CA     []byte `json:"certificate-authority-data"`
			} `json:"cluster"`
		} `json:"clusters"`
		Users []struct {
			User struct {
				Token string `json:"token"`
				Cert  []byte `json:"client-certificate-data"`
				Key   []byte `json:"client-key-data"`
			} `json:"user"`
		} `json:"users"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(config.Clusters[0].Cluster.CA)
	c := &tls.Config{RootCAs: pool}
	if user := config.Users[0].User; len(user.Cert) > 0 {
		pair, err := tls.X509KeyPair(user.Cert, user.Key)
		if err != nil {
			t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	transport := &http.Transport{TLSClientConfig: c, MaxIdleConnsPerHost: 64, MaxConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &apiClient{
		server: config.Clusters[0].Cluster.Server,
		token:  config.Users[0].User.Token,
		client: &http.Client{Transport: transport, Timeout: 30 * time.Second},
	}
}

func (c *apiClient) do(method, path, kind string, body []byte) (int, []byte, error) {
	request, err := http.NewRequestWithContext(context.Background(), method, c.server+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

func (c *apiClient) create(t testing.TB, path string, object map[string]any) {
	t.Helper()
	body, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	status, answer, err := c.do(http.MethodPost, path, "application/json", body)
	if err != nil || status != http.StatusCreated {
		t.Fatalf("creating at %s: %d %s %v", path, status, answer, err)
	}
}

// witness is what every holder appends to: when he begins and when he ends.
type witness struct {
	mu     sync.Mutex
	inside []string
	events []string
	double []string
}

func (w *witness) enter(holder string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.inside) > 0 {
		w.double = append(w.double, fmt.Sprintf("%s began while %v held the lock", holder, w.inside))
	}
	w.inside = append(w.inside, holder)
	w.events = append(w.events, "begin "+holder)
}

func (w *witness) leave(holder string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inside = slices.DeleteFunc(w.inside, func(h string) bool { return h == holder })
	w.events = append(w.events, "end "+holder)
}

// quickTTL is how long a lock lives in rounds within this process.
const quickTTL = 2 * time.Second

// quickRunner does what guard.sh does, with milliseconds for seconds.
type quickRunner struct {
	l      *locks
	lock   string
	holder string
	skew   time.Duration
	w      *witness
}

func (q *quickRunner) now() int64 { return time.Now().Add(q.skew).UnixMilli() }

// live is lock.sh's.
func (q *quickRunner) live(data map[string]string) bool {
	if data["holder"] == "" || data["holder"] == q.holder {
		return false
	}
	until, err := strconv.ParseInt(data["until"], 10, 64)
	return err != nil || until > q.now()
}

// acquire returns guard.sh's exit code, and 0 when the lock is ours.
func (q *quickRunner) acquire() (int, error) {
	version, raw, data, err := q.l.read(q.lock)
	if err != nil {
		return 70, err
	}
	if q.live(data) {
		return 75, nil
	}
	if holder := data["holder"]; holder != "" && holder != q.holder {
		time.Sleep(quickTTL)
		before := raw
		if version, raw, data, err = q.l.read(q.lock); err != nil {
			return 70, err
		}
		if raw != before && data["holder"] != "" {
			return 75, nil
		}
	}
	until := strconv.FormatInt(q.now()+quickTTL.Milliseconds(), 10)
	status, err := q.l.patch(q.lock, acquirePatch(raw, q.holder, until))
	if err == nil && status == http.StatusOK {
		return 0, nil
	}
	before := version
	version, _, data, err = q.l.read(q.lock)
	switch {
	case err != nil:
		return 70, err
	case data["holder"] == q.holder && data["until"] == until:
		return 0, nil
	case version != before:
		return 75, nil
	}
	return 70, fmt.Errorf("the patch was refused with %d", status)
}

// hold holds the lock for a while and renews it; false when it was lost.
func (q *quickRunner) hold(d time.Duration) bool {
	q.w.enter(q.holder)
	defer q.w.leave(q.holder)
	end, renewed := time.Now().Add(d), time.Now()
	for {
		pause := min(time.Until(end), quickTTL/3)
		if pause <= 0 {
			return true
		}
		time.Sleep(pause)
		if time.Since(renewed) < quickTTL/3 {
			continue
		}
		at := time.Now()
		status, err := q.l.patch(q.lock, renewPatch(q.holder, strconv.FormatInt(q.now()+quickTTL.Milliseconds(), 10)))
		if err == nil && status == http.StatusOK {
			renewed = at
			continue
		}
		if status == http.StatusUnprocessableEntity || time.Since(renewed) > quickTTL*6/10 {
			return false
		}
	}
}

// quickRounds fights 1,000 times for locks in every state, with runners whose
// clocks differ by up to an hour and of whom some die while they hold the lock.
func (l *locks) quickRounds(t *testing.T) {
	const lanes = 24
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var (
		next  atomic.Int64
		wait  sync.WaitGroup
		mu    sync.Mutex
		codes = map[int]int{}
		kinds = map[string]int{}
		since = time.Now()
	)
	for lane := range lanes {
		lock := l.lock(t, nil)
		wait.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(lane)))
			for !t.Failed() {
				round := next.Add(1)
				if round > quickRounds {
					return
				}
				kind, got := l.quickRound(t, lock, int(round), random)
				mu.Lock()
				kinds[kind]++
				for _, code := range got {
					codes[code]++
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	if t.Failed() {
		return
	}
	total := 0
	for _, n := range kinds {
		total += n
	}
	if total < 1000 {
		t.Errorf("only %d rounds", total)
	}
	if codes[0] < quickRounds/3 {
		t.Errorf("the lock was taken %d times only", codes[0])
	}
	took := time.Since(since)
	t.Logf("%d rounds of %d runners in %s (%s each): lock taken %d times, skipped %d times; start states %v",
		total, runners, took.Round(time.Second), (took / time.Duration(total)).Round(time.Millisecond), codes[0], codes[75], kinds)
}

// quickRound is one round; it returns the lock's first state and what became of
// the runners.
func (l *locks) quickRound(t *testing.T, lock string, round int, random *rand.Rand) (string, []int) {
	w := &witness{}
	kind := []string{"absent", "absent", "empty", "dead", "dead", "foreign", "endless", "alive but late"}[random.IntN(8)]
	far := strconv.FormatInt(time.Now().AddDate(10, 0, 0).UnixMilli(), 10)
	start := map[string]map[string]string{
		"absent": nil, "empty": {},
		"dead":    {"holder": "somebody-dead", "until": "1000"},
		"foreign": {"holder": "upgrade", "until": far},
		"endless": {"holder": "somebody", "until": "until further notice"},
	}
	var wait sync.WaitGroup
	mayTake := kind != "foreign" && kind != "endless"
	l.set(t, lock, start[kind])
	if kind == "alive but late" {
		// A holder whose clock is behind: to all others his lock has expired.
		late := &quickRunner{l: l, lock: lock, holder: fmt.Sprintf("late-%d", round), skew: -time.Hour, w: w}
		if code, err := late.acquire(); code != 0 {
			t.Errorf("round %d: a free lock was not taken: %d %v", round, code, err)
			return kind, nil
		}
		wait.Go(func() {
			if !late.hold(quickTTL * 3 / 2) {
				t.Errorf("round %d: a holder that lives lost his lock", round)
			}
			_, _ = l.patch(lock, releasePatch(late.holder))
		})
	}
	skewed := random.IntN(2) == 0
	codes := make([]int, runners)
	for n := range runners {
		q := &quickRunner{l: l, lock: lock, holder: fmt.Sprintf("runner-%d-%d", round, n), w: w}
		if skewed && n%3 == 0 {
			q.skew = time.Duration(random.Int64N(int64(2*time.Hour))) - time.Hour
		}
		delay := time.Duration(random.Int64N(int64(20 * time.Millisecond)))
		work := time.Duration(random.Int64N(int64(15 * time.Millisecond)))
		if random.IntN(40) == 0 {
			work = quickTTL
		}
		dies, thief := random.IntN(6) == 0, random.IntN(4) == 0
		wait.Go(func() {
			time.Sleep(delay)
			if thief {
				if status, err := l.patch(lock, releasePatch(q.holder)); err == nil && status != http.StatusUnprocessableEntity {
					t.Errorf("round %d: a release by who does not hold the lock was answered with %d", round, status)
				}
			}
			code, err := q.acquire()
			codes[n] = code
			if err != nil {
				t.Errorf("round %d: %v", round, err)
			}
			if code != 0 {
				return
			}
			if !mayTake {
				t.Errorf("round %d: a lock that is %s was taken", round, kind)
			}
			if q.hold(work) && !dies {
				if status, err := l.patch(lock, releasePatch(q.holder)); err != nil || status != http.StatusOK {
					t.Errorf("round %d: a holder's release was answered with %d, %v", round, status, err)
				}
			}
		})
	}
	wait.Wait()
	if len(w.double) > 0 {
		t.Errorf("round %d (%s): %v\n%s", round, kind, w.double, strings.Join(w.events, "\n"))
	}
	if mayTake && kind != "alive but late" && !slices.Contains(codes, 0) {
		t.Errorf("round %d: nobody took a lock that was %s", round, kind)
	}
	if !mayTake {
		l.is(t, lock, start[kind])
	}
	return kind, codes
}

// guard is one run of the real guard.sh, as the first process of a pid
// namespace, which is what it is in a pod.
type guard struct {
	l       *locks
	lock    string
	holder  string
	command []string
	env     map[string]string
	shell   string // "" is busybox ash
	kubectl string // a folder before kubectl's own
	config  string // another kubeconfig
}

// running is a guard that runs.
type running struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	done   chan struct{}
	began  time.Time
	ended  time.Time
}

// code waits for the end and returns the exit code.
func (r *running) code() int {
	<-r.done
	return r.cmd.ProcessState.ExitCode()
}

// pid of guard.sh itself, which is the only child of the one that made its
// namespace; 0 if there is none yet.
func (r *running) pid() int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", r.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) == 0 {
		return 0
	}
	pid, err := strconv.Atoi(fields[0])
	if err != nil {
		return 0
	}
	return pid
}

// kill ends the whole container at once.
func (r *running) kill() {
	if pid := r.pid(); pid > 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-r.done
}

// scripts is a folder with the shipped scripts, which is scratch as well.
func scripts(t testing.TB) string {
	t.Helper()
	root := harness.Folder(t, 0)
	library(t, root)
	return root
}

// start starts it.
func (g guard) start(t testing.TB) *running {
	t.Helper()
	root := scripts(t)
	r := &running{done: make(chan struct{}), began: time.Now()}
	shell := []string{"/usr/bin/busybox", "ash"}
	if g.shell == "dash" {
		shell = []string{"/usr/bin/dash"}
	}
	argv := slices.Concat([]string{"--fork", "--pid", "--kill-child=KILL"}, shell, []string{filepath.Join(root, "bin", "guard.sh")}, g.command)
	config := g.config
	if config == "" {
		config = g.l.cluster.Kubeconfig
	}
	tools := filepath.Join(root, "tools")
	if err := os.Mkdir(tools, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(harness.Program(t, "kubectl"), filepath.Join(tools, "kubectl")); err != nil {
		t.Fatal(err)
	}
	path := tools + ":/usr/bin:/bin"
	if g.kubectl != "" {
		path = g.kubectl + ":" + path
	}
	env := map[string]string{
		"PATH": path, "KUBECONFIG": config, "HOLDFAST_ROOT": root, "HOLDFAST_SCRATCH": root, "HOLDFAST_UNIT": "lock/test",
		"HOLDFAST_NAMESPACE": g.l.namespace, "HOLDFAST_LOCK": g.lock, "HOLDFAST_HOLDER": g.holder, "HOLDFAST_LOCK_TTL": "100",
	}
	for name, value := range g.env {
		env[name] = value
	}
	r.cmd = exec.Command("unshare", argv...)
	for name, value := range env {
		r.cmd.Env = append(r.cmd.Env, name+"="+value)
	}
	r.cmd.Stderr = &r.stderr
	// A killed container's leftovers may keep the pipe.
	r.cmd.WaitDelay = 2 * time.Second
	if err := harness.StartChild(r.cmd); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = r.cmd.Wait()
		r.ended = time.Now()
		close(r.done)
	}()
	t.Cleanup(r.kill)
	return r
}

// expect waits, and fails the test unless it ended with that code and said that.
func (r *running) expect(t testing.TB, code int, words ...string) {
	t.Helper()
	if got := r.code(); got != code {
		t.Errorf("guard.sh ended with %d, not with %d:\n%s", got, code, r.stderr.String())
	}
	for _, word := range append(words, "") {
		if !strings.Contains(r.stderr.String(), word) {
			t.Errorf("guard.sh does not say %q:\n%s", word, r.stderr.String())
		}
	}
}

// work is a command that appends to the file when it begins and when it ends.
func work(file string, seconds float64) []string {
	return []string{"/bin/sh", "-c", `trap 'echo "end $HOLDFAST_HOLDER" >>"$0"; exit 143' TERM
echo "begin $HOLDFAST_HOLDER" >>"$0"
sleep "$1" >/dev/null 2>&1 & wait "$!"
echo "end $HOLDFAST_HOLDER" >>"$0"`, file, strconv.FormatFloat(seconds, 'f', 3, 64)}
}

// workUntil is work that ends when the other file is there.
func workUntil(file, free string) []string {
	return []string{"/bin/sh", "-c", `echo "begin $HOLDFAST_HOLDER" >>"$0"
until [ -e "$1" ]; do sleep 0.2; done
echo "end $HOLDFAST_HOLDER" >>"$0"`, file, free}
}

func touch(t testing.TB, file string) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// testify fails the test unless everybody ended before the next began, and
// returns who held the lock. dead are those who were killed inside.
func testify(t testing.TB, file string, dead ...string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	inside, held := "", []string(nil)
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		what, who, _ := strings.Cut(line, " ")
		switch {
		case what == "begin" && (inside == "" || slices.Contains(dead, inside)):
			inside, held = who, append(held, who)
		case what == "end" && inside == who:
			inside = ""
		case line != "":
			t.Errorf("two at once: %q while %q held the lock:\n%s", line, inside, data)
		}
	}
	return held
}

// reach waits until the file has that line.
func reach(t testing.TB, file, line string) {
	t.Helper()
	harness.WaitFor(t, line, time.Minute, func() error {
		data, err := os.ReadFile(file)
		if err == nil && !strings.Contains(string(data), line+"\n") {
			err = errors.New("not there yet")
		}
		return err
	})
}

// firstHolder waits until somebody holds the lock, and returns him. A file that
// is there may still be empty: the shell makes it before it writes.
func firstHolder(t testing.TB, file string) string {
	t.Helper()
	var holder string
	harness.WaitFor(t, "a holder", time.Minute, func() error {
		data, err := os.ReadFile(file)
		line, _, whole := strings.Cut(string(data), "\n")
		if err == nil && !whole {
			err = errors.New("not there yet")
		}
		holder = strings.TrimPrefix(line, "begin ")
		return err
	})
	return holder
}

// patches compares what guard.sh sends with what the rounds in this process send.
func (l *locks) patches(t *testing.T) {
	g := l.crowd(t)
	defer g.Wait()
	for _, shell := range []string{"ash", "dash"} {
		g.run(shell, func(t *testing.T) {
			lock := l.lock(t, map[string]string{"holder": "dead", "until": "1"})
			folder := harness.Folder(t, 0)
			log := filepath.Join(folder, "log")
			script := "#!/bin/sh\nfor a in \"$@\"; do printf '%s\\n' \"$a\" >>" + log + "; done\nexec " + harness.Program(t, "kubectl") + " \"$@\"\n"
			if err := os.WriteFile(filepath.Join(folder, "kubectl"), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			guard{l: l, lock: lock, holder: "me.1", shell: shell, kubectl: folder, command: work(filepath.Join(folder, "witness"), 45)}.start(t).expect(t, 0)
			l.is(t, lock, nil)
			data, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			var sent, want []string
			for _, line := range strings.Split(string(data), "\n") {
				if patch, ok := strings.CutPrefix(line, "--patch="); ok {
					var operations []struct{ Value any }
					if err := json.Unmarshal([]byte(patch), &operations); err != nil {
						t.Fatalf("%s: %v", patch, err)
					}
					until := ""
					switch value := operations[1].Value.(type) {
					case string:
						until = value
					case map[string]any:
						until, _ = value["until"].(string)
					}
					sent = append(sent, patch)
					switch len(want) {
					case 0:
						want = append(want, acquirePatch(`{"holder":"dead","until":"1"}`, "me.1", until))
					case 1:
						want = append(want, renewPatch("me.1", until))
					default:
						want = append(want, releasePatch("me.1"))
					}
				}
			}
			if len(sent) != 3 || !slices.Equal(sent, want) {
				t.Errorf("guard.sh sent\n%s\nthe rounds send\n%s", strings.Join(sent, "\n"), strings.Join(want, "\n"))
			}
			if !strings.Contains(string(data), "--field-manager=holdfast\n") {
				t.Error("the patches do not carry their field manager")
			}
			if strings.Contains(string(data), "--request-timeout") {
				t.Error("--request-timeout makes kubectl forget the cluster that it runs in")
			}
		})
	}
}

// realRounds starts 20 guards at once, time after time.
func (l *locks) realRounds(t *testing.T) {
	since := time.Now()
	var mu sync.Mutex
	codes, taken := map[int]int{}, 0
	round := func(t testing.TB, n int, start map[string]string, ttl string, kill bool) {
		lock := l.lock(t, start)
		file := filepath.Join(harness.Folder(t, 0), "witness")
		all := make([]*running, runners)
		for i := range all {
			shell := "ash"
			if i%2 == 1 {
				shell = "dash"
			}
			seconds := rand.Float64()
			if kill {
				seconds = 60
			}
			all[i] = guard{l: l, lock: lock, holder: fmt.Sprintf("r%d.%d", n, i), shell: shell, command: work(file, seconds), env: map[string]string{"HOLDFAST_LOCK_TTL": ttl}}.start(t)
		}
		var dead []string
		if kill {
			// Whoever has it dies; all others have been turned away by then.
			holder := firstHolder(t, file)
			dead = append(dead, holder)
			i, err := strconv.Atoi(holder[strings.LastIndex(holder, ".")+1:])
			if err != nil {
				t.Fatal(err)
			}
			all[i].kill()
		}
		ends, late := map[int]int{}, 0
		for _, r := range all {
			ends[r.code()]++
			// On a busy machine twenty at once may ask the API server for longer than
			// a guard waits, the first time or after another was faster: it goes away
			// without the lock, and that is right.
			said := r.stderr.String()
			if r.code() == 70 && strings.Contains(said, "reading the lock") && strings.Contains(said, "did not end within") {
				late++
			}
		}
		held := testify(t, file, dead...)
		want := len(held) - len(dead)
		if len(held) == 0 || ends[0] != want || ends[0]+ends[75]+late+len(dead) != runners {
			t.Errorf("round %d: %d held the lock, the guards ended with %v", n, len(held), ends)
			for _, r := range all {
				if c := r.cmd.ProcessState.ExitCode(); c != 0 && c != 75 {
					t.Logf("%d: %s", c, r.stderr.String())
				}
			}
		}
		if !kill {
			l.is(t, lock, nil)
		}
		mu.Lock()
		defer mu.Unlock()
		taken += len(held)
		for code, many := range ends {
			codes[code] += many
		}
	}
	var wait sync.WaitGroup
	const expired = 2
	// Most of an expired lock's take-over is waiting: that goes on beside.
	wait.Go(func() {
		for n := range expired {
			round(t, n, map[string]string{"holder": "dead", "until": "1"}, "100", false)
		}
	})
	for n := expired; n < realRounds && !t.Failed(); n++ {
		switch n % 8 {
		case 0:
			round(t, n, map[string]string{}, "100", false)
		case 1:
			round(t, n, nil, "100", true)
		default:
			round(t, n, nil, "100", false)
		}
	}
	wait.Wait()
	t.Logf("%d rounds of %d guards in %s: lock taken %d times, exit codes %v", realRounds, runners, time.Since(since).Round(time.Second), taken, codes)
}

// quick runs commands that end before the shell beside them, which renews the lock,
// has its own traps: a signal that comes earlier is forgotten. One of a hundred guards
// waited for that shell, which went on renewing, for ever.
func (l *locks) quick(t *testing.T) {
	folder := harness.Folder(t, 0)
	kubectl := "#!/bin/sh\ncase \" $* \" in *\" get \"*) printf '1\\n\\n{}\\n\\n' ;; esac\n"
	if err := os.WriteFile(filepath.Join(folder, "kubectl"), []byte(kubectl), 0o755); err != nil {
		t.Fatal(err)
	}
	const rounds, together = 15, 16
	for n := range rounds {
		var all []*running
		for range together {
			shell := "ash"
			if n%5 == 4 {
				shell = "dash"
			}
			all = append(all, guard{l: l, lock: "any.lock", holder: "me", shell: shell, kubectl: folder, command: []string{"true"}}.start(t))
		}
		for _, r := range all {
			select {
			case <-r.done:
				r.expect(t, 0)
			case <-time.After(harness.Patience):
				t.Fatalf("round %d: a guard of a command that has ended goes on", n)
			}
		}
	}
}

// stage makes a kubectl that stops for ever at one call: "get1", "patch1" (takes
// the lock), "patch2" (renews or releases) and so on, before or after the API
// server has done it. It makes the file "reached" when it stops.
func stage(t testing.TB, at string, after bool) (folder, reached string) {
	t.Helper()
	folder = harness.Folder(t, 0)
	reached = filepath.Join(folder, "reached")
	hold := "touch " + reached + "; exec sleep 600 >/dev/null 2>&1"
	before, behind := hold, ":"
	if after {
		before, behind = ":", hold
	}
	script := fmt.Sprintf(`#!/bin/sh
verb=get
case " $* " in *" patch "*) verb=patch ;; esac
echo >>%[1]s/$verb
n=$(wc -l <%[1]s/$verb)
if [ "$verb$((n))" = %[2]s ]; then %[3]s; fi
%[5]s "$@"
status=$?
if [ "$verb$((n))" = %[2]s ]; then %[4]s; fi
exit $status
`, folder, at, before, behind, harness.Program(t, "kubectl"))
	if err := os.WriteFile(filepath.Join(folder, "kubectl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return folder, reached
}

// kill kills the holder at every stage. What he leaves is free at once, or is
// taken over by exactly one of several when it has expired, and not before.
func (l *locks) kill(t *testing.T) {
	g := l.crowd(t)
	defer g.Wait()
	for _, c := range []struct {
		name, at string
		after    bool
		seconds  float64
		held     bool // whether he leaves a lock
		began    bool // whether his command had begun
	}{
		{name: "before the first look", at: "get1"},
		{name: "after the first look", at: "get1", after: true},
		{name: "before taking it", at: "patch1"},
		{name: "after taking it, without the answer", at: "patch1", after: true, held: true},
		{name: "in the command", seconds: 60, held: true, began: true},
		{name: "before renewing", at: "patch2", seconds: 60, held: true, began: true},
		{name: "after renewing", at: "patch2", after: true, seconds: 60, held: true, began: true},
		{name: "before releasing", at: "patch2", seconds: 0.1, held: true, began: true},
		{name: "after releasing", at: "patch2", after: true, seconds: 0.1, began: true},
	} {
		g.run(c.name, func(t *testing.T) {
			lock := l.lock(t, nil)
			file := filepath.Join(harness.Folder(t, 0), "witness")
			first := guard{l: l, lock: lock, holder: "first", command: work(file, c.seconds)}
			if c.at == "" {
				r := first.start(t)
				reach(t, file, "begin first")
				r.kill()
			} else {
				folder, reached := stage(t, c.at, c.after)
				first.kubectl = folder
				r := first.start(t)
				harness.WaitFor(t, c.name, time.Minute, func() error {
					_, err := os.Stat(reached)
					return err
				})
				r.kill()
			}
			if c.began {
				reach(t, file, "begin first")
			}
			_, _, data, err := l.read(lock)
			if err != nil {
				t.Fatal(err)
			}
			if (data["holder"] == "first") != c.held {
				t.Fatalf("the lock holds %v", data)
			}
			if c.held {
				guard{l: l, lock: lock, holder: "early", command: work(file, 0)}.start(t).expect(t, 75, "skipped", "is held by first")
				// Time passes.
				l.set(t, lock, map[string]string{"holder": "first", "until": "1"})
			}
			// Whoever has it keeps it until all others have come, however late.
			var all []*running
			turned := make(chan struct{}, 4)
			free := filepath.Join(harness.Folder(t, 0), "free")
			for n := range 4 {
				r := guard{l: l, lock: lock, holder: fmt.Sprintf("next-%d", n), command: workUntil(file, free)}.start(t)
				all = append(all, r)
				go func() { <-r.done; turned <- struct{}{} }()
			}
			for range 3 {
				<-turned
			}
			touch(t, free)
			ends := map[int]int{}
			for _, r := range all {
				ends[r.code()]++
			}
			if ends[0] != 1 || ends[75] != 3 {
				t.Errorf("the four that came next ended with %v", ends)
				for _, r := range all {
					t.Log(r.stderr.String())
				}
			}
			testify(t, file, "first")
			l.is(t, lock, nil)
		})
	}
	g.run("guard.sh alone", func(t *testing.T) {
		// In a pod its end ends all. Where it does not, nobody may renew for ever.
		lock := l.lock(t, nil)
		file := filepath.Join(harness.Folder(t, 0), "witness")
		// The guard is not the first process here.
		root := scripts(t)
		cmd := exec.Command("/usr/bin/dash", slices.Concat([]string{filepath.Join(root, "bin", "guard.sh")}, work(file, 100))...)
		cmd.Env = []string{"PATH=" + filepath.Dir(harness.Program(t, "kubectl")) + ":/usr/bin:/bin", "KUBECONFIG=" + l.cluster.Kubeconfig, "HOLDFAST_ROOT=" + root, "HOLDFAST_SCRATCH=" + root,
			"HOLDFAST_UNIT=lock/test", "HOLDFAST_NAMESPACE=" + l.namespace, "HOLDFAST_LOCK=" + lock, "HOLDFAST_HOLDER=first", "HOLDFAST_LOCK_TTL=100"}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		reach(t, file, "begin first")
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		_, _, before, err := l.read(lock)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(40 * time.Second)
		_, _, after, err := l.read(lock)
		if err != nil {
			t.Fatal(err)
		}
		if before["until"] != after["until"] {
			t.Errorf("a lock without a guard was renewed from %s to %s", before["until"], after["until"])
		}
	})
}

// gate passes connections on to the API server, or swallows what they say.
type gate struct {
	address  string
	listener net.Listener
	mu       sync.Mutex
	open     []net.Conn
	// shut is whether everything that is said gets lost.
	shut atomic.Bool
	// bytes is how many the server may still say; negative is no limit.
	bytes atomic.Int64
}

// newGate opens one before the API server of the kubeconfig, and returns the
// kubeconfig that leads through it.
func newGate(t testing.TB, kubeconfig string) (*gate, string) {
	t.Helper()
	data, err := os.ReadFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	server, err := url.Parse(newAPI(t, kubeconfig).server)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{address: listener.Addr().String(), listener: listener}
	g.bytes.Store(-1)
	t.Cleanup(func() {
		g.close()
	})
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			go g.pass(in, server.Host)
		}
	}()
	file := filepath.Join(harness.Folder(t, 0), "kubeconfig")
	if err := os.WriteFile(file, bytes.ReplaceAll(data, []byte(server.Host), []byte(g.address)), 0o644); err != nil {
		t.Fatal(err)
	}
	return g, file
}

func (g *gate) pass(in net.Conn, server string) {
	defer in.Close()
	out, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer out.Close()
	g.mu.Lock()
	g.open = append(g.open, in, out)
	g.mu.Unlock()
	go g.copy(out, in, false)
	g.copy(in, out, true)
}

func (g *gate) copy(to, from net.Conn, counted bool) {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			to.Close()
			return
		}
		if g.shut.Load() {
			continue
		}
		if counted && g.bytes.Load() >= 0 && g.bytes.Add(-int64(n)) < 0 {
			g.close()
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// close ends all connections and takes no more.
func (g *gate) close() {
	// It may be closed already.
	_ = g.listener.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.open {
		c.Close()
	}
	g.open = nil
}

// lost takes the lock from a holder, by force or by taking the API server away
// from him: his command must have ended before somebody else begins.
func (l *locks) lost(t *testing.T) {
	g := l.crowd(t)
	defer g.Wait()
	g.run("the API server does not answer", func(t *testing.T) {
		lock := l.lock(t, nil)
		file := filepath.Join(harness.Folder(t, 0), "witness")
		api, config := newGate(t, l.cluster.Kubeconfig)
		first := guard{l: l, lock: lock, holder: "first", command: work(file, 300), config: config}.start(t)
		reach(t, file, "begin first")
		api.shut.Store(true)
		_, _, data, err := l.read(lock)
		if err != nil {
			t.Fatal(err)
		}
		until, err := strconv.ParseInt(data["until"], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first.expect(t, 70, "could not be renewed in time")
		data2, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(data2), "end first\n") {
			t.Errorf("the command did not end: %s %v", data2, err)
		}
		if late := first.ended.Sub(time.Unix(until, 0)); late > 0 {
			t.Errorf("the command ended %s after its lock", late)
		}
		l.is(t, lock, data)
	})
	g.run("a command that does not heed TERM", func(t *testing.T) {
		lock := l.lock(t, nil)
		file := filepath.Join(harness.Folder(t, 0), "witness")
		first := guard{l: l, lock: lock, holder: "first",
			command: []string{"/bin/sh", "-c", `trap '' TERM; echo "begin first" >>"$0"; sleep 180; echo "end first" >>"$0"`, file}}.start(t)
		reach(t, file, "begin first")
		l.set(t, lock, map[string]string{"holder": "robber", "until": "99999999999"})
		first.expect(t, 70, "was lost to robber")
		if took := first.ended.Sub(first.began); took > harness.Patience {
			t.Errorf("it ended only after %s", took)
		}
		l.is(t, lock, map[string]string{"holder": "robber", "until": "99999999999"})
	})
	g.run("the ConfigMap is deleted", func(t *testing.T) {
		lock := l.lock(t, nil)
		file := filepath.Join(harness.Folder(t, 0), "witness")
		first := guard{l: l, lock: lock, holder: "first", command: work(file, 120)}.start(t)
		reach(t, file, "begin first")
		if status, _, err := l.api.do(http.MethodDelete, l.path(lock), "", nil); err != nil || status != http.StatusOK {
			t.Fatal(status, err)
		}
		first.expect(t, 70, "was lost to nobody")
	})
	g.run("never there", func(t *testing.T) {
		guard{l: l, lock: "absent.lock", holder: "first", command: []string{"true"}}.start(t).expect(t, 70, "taking the lock", "NotFound")
	})
	g.run("gone before", func(t *testing.T) {
		api, config := newGate(t, l.cluster.Kubeconfig)
		api.close()
		guard{l: l, lock: "any.lock", holder: "first", config: config, command: []string{"true"}}.start(t).expect(t, 70, "reading the lock failed", "refused")
	})
	g.run("silent before", func(t *testing.T) {
		api, config := newGate(t, l.cluster.Kubeconfig)
		api.shut.Store(true)
		guard{l: l, lock: "any.lock", holder: "first", config: config, command: []string{"true"}, env: map[string]string{"HOLDFAST_LOCK_TTL": "20"}}.start(t).
			expect(t, 70, "reading the lock did not end within 2 s")
	})
	g.run("full scratch", func(t *testing.T) {
		// Renewing goes on when the command has filled the scratch folder.
		lock := l.lock(t, nil)
		file := filepath.Join(harness.Folder(t, 0), "witness")
		scratch := harness.Folder(t, 0)
		if err := syscall.Mount("scratch", scratch, "tmpfs", 0, "size=64k"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(scratch, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		guard{l: l, lock: lock, holder: "first", env: map[string]string{"HOLDFAST_SCRATCH": scratch},
			command: []string{"/bin/sh", "-c", `cat /dev/zero >"$HOLDFAST_SCRATCH/fill" 2>/dev/null; echo "begin first" >>"$0"; sleep 110; echo "end first" >>"$0"`, file}}.start(t).expect(t, 0)
		l.is(t, lock, nil)
	})
}

// clock sets clocks. dash and Debian's date take their time from libfaketime;
// the machine's uptime stays.
func (l *locks) clock(t *testing.T) {
	g := l.crowd(t)
	defer g.Wait()
	library, err := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1")
	if err != nil || len(library) != 1 {
		t.Fatalf("libfaketime is missing: run e2e/setup.sh (%v)", err)
	}
	at := func(t testing.TB, offset string) (map[string]string, func(string)) {
		file := filepath.Join(harness.Folder(t, 0), "clock")
		set := func(offset string) {
			if err := os.WriteFile(file+".new", []byte(offset+"\n"), 0o644); err != nil {
				t.Error(err)
			}
			if err := os.Rename(file+".new", file); err != nil {
				t.Error(err)
			}
		}
		set(offset)
		return map[string]string{"LD_PRELOAD": library[0], "FAKETIME_TIMESTAMP_FILE": file, "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}, set
	}
	for _, c := range []struct{ name, from, to string }{
		{name: "the holder's is set back", from: "+0", to: "-3600"},
		{name: "the holder's is set forward", from: "+0", to: "+3600"},
		{name: "the holder's is behind", from: "-3600", to: "-3600"},
		{name: "the holder's is put right", from: "-3600", to: "+0"},
		{name: "the holder's is put right, back", from: "+3600", to: "+0"},
	} {
		g.run(c.name, func(t *testing.T) {
			lock := l.lock(t, nil)
			file := filepath.Join(harness.Folder(t, 0), "witness")
			env, set := at(t, c.from)
			free := filepath.Join(filepath.Dir(file), "free")
			first := guard{l: l, lock: lock, holder: "first", shell: "dash", command: workUntil(file, free), env: env}.start(t)
			reach(t, file, "begin first")
			_, _, before, err := l.read(lock)
			if err != nil {
				t.Fatal(err)
			}
			set(c.to)
			harness.WaitFor(t, "the lock is renewed", harness.Patience, func() error {
				_, _, after, err := l.read(lock)
				if err == nil && (after["holder"] != "first" || after["until"] <= before["until"]) {
					err = fmt.Errorf("the lock went from %v to %v", before, after)
				}
				return err
			})
			// With a clock that is right.
			second := guard{l: l, lock: lock, holder: "second", command: work(file, 0)}.start(t)
			second.expect(t, 75, "skipped", "is held by first")
			touch(t, free)
			first.expect(t, 0)
			testify(t, file)
			l.is(t, lock, nil)
		})
	}
	g.run("another's is ahead", func(t *testing.T) {
		lock := l.lock(t, nil)
		file := filepath.Join(harness.Folder(t, 0), "witness")
		first := guard{l: l, lock: lock, holder: "first", command: workUntil(file, filepath.Join(filepath.Dir(file), "free"))}.start(t)
		reach(t, file, "begin first")
		env, _ := at(t, "+86400")
		guard{l: l, lock: lock, holder: "second", shell: "dash", command: work(file, 0), env: env}.start(t).expect(t, 75, "skipped", "is held by first")
		touch(t, filepath.Join(filepath.Dir(file), "free"))
		first.expect(t, 0)
		testify(t, file)
	})
	g.run("another's is ahead, and the lock is given back meanwhile", func(t *testing.T) {
		lock := l.lock(t, nil)
		file := filepath.Join(harness.Folder(t, 0), "witness")
		first := guard{l: l, lock: lock, holder: "first", command: work(file, 8)}.start(t)
		reach(t, file, "begin first")
		env, _ := at(t, "+86400")
		guard{l: l, lock: lock, holder: "second", shell: "dash", command: work(file, 0), env: env}.start(t).expect(t, 0)
		first.expect(t, 0)
		if held := testify(t, file); !slices.Equal(held, []string{"first", "second"}) {
			t.Errorf("held by %v", held)
		}
	})
}

// foreign shows that nobody releases or takes what is another's.
func (l *locks) foreign(t *testing.T) {
	g := l.crowd(t)
	defer g.Wait()
	later := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
	for _, c := range []struct {
		name string
		data map[string]string
	}{
		{name: "live", data: map[string]string{"holder": "upgrade", "until": later}},
		{name: "without an end", data: map[string]string{"holder": "upgrade"}},
		{name: "with an end that is no time", data: map[string]string{"holder": "upgrade", "until": "2026-11-20T07:00:00Z"}},
		{name: "with a huge end", data: map[string]string{"holder": "upgrade", "until": "99999999999999999999999"}},
		{name: "with a negative end", data: map[string]string{"holder": "upgrade", "until": "-1"}},
		{name: "with a hostile name", data: map[string]string{"holder": "$(touch /tmp/x) `id` \"'\\\n-n {{.data}}", "until": later}},
	} {
		g.run(c.name, func(t *testing.T) {
			lock := l.lock(t, c.data)
			for _, shell := range []string{"ash", "dash"} {
				r := guard{l: l, lock: lock, holder: "me", shell: shell, command: []string{"/bin/sh", "-c", "echo ran >&2"}}.start(t)
				r.expect(t, 75, "skipped: ", "is held by ")
				if strings.Contains(r.stderr.String(), "ran\n") {
					t.Error("the command ran")
				}
			}
			l.is(t, lock, c.data)
		})
	}
	g.run("taken while we held it", func(t *testing.T) {
		// The command ends before it is noticed.
		lock := l.lock(t, nil)
		file := filepath.Join(harness.Folder(t, 0), "witness")
		r := guard{l: l, lock: lock, holder: "me", command: work(file, 4)}.start(t)
		reach(t, file, "begin me")
		robbed := map[string]string{"holder": "me2", "until": later}
		l.set(t, lock, robbed)
		r.expect(t, 0, "could not be released")
		l.is(t, lock, robbed)
	})
	g.run("an end without a holder is free", func(t *testing.T) {
		lock := l.lock(t, map[string]string{"until": later})
		guard{l: l, lock: lock, holder: "me", command: []string{"true"}}.start(t).expect(t, 0)
		l.is(t, lock, nil)
	})
	g.run("our own from before", func(t *testing.T) {
		lock := l.lock(t, map[string]string{"holder": "me", "until": later})
		guard{l: l, lock: lock, holder: "me", command: []string{"true"}}.start(t).expect(t, 0)
		l.is(t, lock, nil)
	})
}

// instance shows that a guard heeds the lock of the whole instance.
func (l *locks) instance(t *testing.T) {
	g := l.crowd(t)
	defer g.Wait()
	later := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
	for _, c := range []struct {
		name string
		data map[string]string
		code int
	}{
		{name: "free", code: 0},
		{name: "held by an upgrade", data: map[string]string{"holder": "upgrade", "until": later}, code: 75},
		{name: "held without an end", data: map[string]string{"holder": "upgrade"}, code: 75},
		{name: "expired", data: map[string]string{"holder": "upgrade", "until": "1"}, code: 0},
	} {
		g.run(c.name, func(t *testing.T) {
			lock, of := l.lock(t, nil), l.lock(t, c.data)
			guard{l: l, lock: lock, holder: "me", command: []string{"true"}, env: map[string]string{"HOLDFAST_INSTANCE_LOCK": of}}.start(t).expect(t, c.code)
			l.is(t, lock, nil)
			l.is(t, of, c.data)
		})
	}
}

// signal ends a guard as kubelet does, at every stage: the lock is given back.
func (l *locks) signal(t *testing.T) {
	g := l.crowd(t)
	defer g.Wait()
	for _, c := range []struct {
		name, at string
		after    bool
	}{
		{name: "while it takes the lock", at: "patch1", after: true},
		{name: "in the command"},
		{name: "while it renews", at: "patch2", after: true},
	} {
		g.run(c.name, func(t *testing.T) {
			lock := l.lock(t, nil)
			file := filepath.Join(harness.Folder(t, 0), "witness")
			me := guard{l: l, lock: lock, holder: "me", command: work(file, 120)}
			ready := func() error {
				data, err := os.ReadFile(file)
				if err == nil && len(data) == 0 {
					err = io.EOF
				}
				return err
			}
			if c.at != "" {
				folder, reached := stage(t, c.at, c.after)
				me.kubectl = folder
				ready = func() error {
					_, err := os.Stat(reached)
					return err
				}
			}
			r := me.start(t)
			harness.WaitFor(t, c.name, time.Minute, ready)
			if err := syscall.Kill(r.pid(), syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			r.expect(t, 143)
			testify(t, file)
			l.is(t, lock, nil)
		})
	}
}

// skipped shows that 75 is neither a success nor worth a retry to the real
// controller, and that it can be counted.
func (l *locks) skipped(t *testing.T) {
	// The shared cluster has no controller for Jobs.
	harness.Serve(t, "kube-controller-manager", []string{
		"kube-controller-manager", "--kubeconfig=" + l.cluster.Kubeconfig, "--controllers=job-controller", "--leader-elect=false", "--secure-port=0",
	}, harness.ServeOptions{})
	i := harness.Render(t, harness.Inputs{State: map[string]any{"objectStores": []any{map[string]any{
		"key": "files", "app": "files", "bucket": "files", "endpoint": "https://s3.example.test", "region": "eu01", "pathStyle": true, "versioned": false,
		"accessKeyRef": map[string]any{"kind": "Secret", "name": "s3", "key": "id"},
		"secretKeyRef": map[string]any{"kind": "Secret", "name": "s3", "key": "secret"},
		"backup":       "required",
	}}}})
	item := i.Unit(t, "bucket/files")
	cron := i.Object("CronJob", item.Namespace, item.Name)
	if cron == nil {
		t.Fatal("no CronJob")
	}
	spec := cron["spec"].(map[string]any)["jobTemplate"].(map[string]any)["spec"].(map[string]any)
	for _, c := range []struct {
		name   string
		code   int
		reason string
	}{
		{name: "skipped", code: 75, reason: "PodFailurePolicy"},
		{name: "failed", code: 69},
	} {
		path := "/apis/batch/v1/namespaces/" + l.namespace + "/jobs"
		pod := spec["template"].(map[string]any)["spec"].(map[string]any)
		// Nothing starts here; the account would have to exist.
		delete(pod, "serviceAccountName")
		l.api.create(t, path, map[string]any{"apiVersion": "batch/v1", "kind": "Job", "metadata": map[string]any{"name": c.name}, "spec": spec})
		var name string
		harness.WaitFor(t, "the job's pod", time.Minute, func() error {
			_, body, err := l.api.do(http.MethodGet, "/api/v1/namespaces/"+l.namespace+"/pods?labelSelector=job-name%3D"+c.name, "", nil)
			if err != nil {
				return err
			}
			var pods struct {
				Items []struct {
					Metadata struct{ Name string }
				}
			}
			if err := json.Unmarshal(body, &pods); err != nil {
				return err
			}
			if len(pods.Items) == 0 {
				return errors.New("no pod yet")
			}
			name = pods.Items[0].Metadata.Name
			return nil
		})
		status, err := json.Marshal(map[string]any{"status": map[string]any{"phase": "Failed", "containerStatuses": []any{map[string]any{
			"name": item.Name, "image": "x", "imageID": "x", "ready": false, "restartCount": 0,
			"state": map[string]any{"terminated": map[string]any{"exitCode": c.code, "reason": "Error"}},
		}}}})
		if err != nil {
			t.Fatal(err)
		}
		code, body, err := l.api.do(http.MethodPatch, "/api/v1/namespaces/"+l.namespace+"/pods/"+name+"/status", "application/strategic-merge-patch+json", status)
		if err != nil || code != http.StatusOK {
			t.Fatalf("%d %s %v", code, body, err)
		}
		harness.WaitFor(t, c.name+": the job's end", time.Minute, func() error {
			_, body, err := l.api.do(http.MethodGet, path+"/"+c.name, "", nil)
			if err != nil {
				return err
			}
			var job struct {
				Status struct {
					Succeeded, Failed int
					Conditions        []struct{ Type, Status, Reason string }
				}
			}
			if err := json.Unmarshal(body, &job); err != nil {
				return err
			}
			if job.Status.Succeeded > 0 {
				t.Errorf("%s counts as a success", c.name)
			}
			if job.Status.Failed == 0 {
				return errors.New("not counted yet")
			}
			for _, condition := range job.Status.Conditions {
				if condition.Type == "Complete" {
					t.Errorf("%s is Complete", c.name)
				}
				if condition.Type == "Failed" && condition.Reason == c.reason {
					return nil
				}
			}
			if c.reason == "" {
				// It is tried again.
				return nil
			}
			return fmt.Errorf("conditions %v", job.Status.Conditions)
		})
	}
}

// usage refuses what would not work.
func (l *locks) usage(t *testing.T) {
	g := l.crowd(t)
	defer g.Wait()
	for _, c := range []struct {
		name string
		env  map[string]string
		say  string
	}{
		{name: "a holder with quotes", env: map[string]string{"HOLDFAST_HOLDER": `a","until":"9`}, say: "HOLDFAST_HOLDER has a character"},
		{name: "a holder with a line break", env: map[string]string{"HOLDFAST_HOLDER": "a\nb"}, say: "HOLDFAST_HOLDER has a character"},
		{name: "no holder", env: map[string]string{"HOLDFAST_HOLDER": ""}, say: "HOLDFAST_HOLDER is not set"},
		{name: "no lock", env: map[string]string{"HOLDFAST_LOCK": ""}, say: "HOLDFAST_LOCK is not set"},
		{name: "a life of nothing", env: map[string]string{"HOLDFAST_LOCK_TTL": "0"}, say: "less than 10 s"},
		{name: "a life that is no number", env: map[string]string{"HOLDFAST_LOCK_TTL": "5m"}, say: "not a whole number"},
	} {
		g.run(c.name, func(t *testing.T) {
			guard{l: l, lock: "any.lock", holder: "me", command: []string{"true"}, env: c.env}.start(t).expect(t, 64, c.say)
		})
	}
	for name, lock := range map[string]string{"an option": "--all", "a path": "../secrets/x", "blanks": "a b", "quotes": `"'$(id)`} {
		g.run("a lock that is "+name, func(t *testing.T) {
			guard{l: l, lock: lock, holder: "me", command: []string{"true"}}.start(t).expect(t, 70)
		})
	}
	g.run("the command's own code", func(t *testing.T) {
		lock := l.lock(t, nil)
		guard{l: l, lock: lock, holder: "me", command: []string{"/bin/sh", "-c", "exit 7"}}.start(t).expect(t, 7)
		l.is(t, lock, nil)
	})
}

// restart restarts the API server under holders and under a crowd.
func (l *locks) restart(t *testing.T) {
	lock, crowded := l.lock(t, nil), l.lock(t, nil)
	folder := harness.Folder(t, 0)
	file, crowd := filepath.Join(folder, "witness"), filepath.Join(folder, "crowd")
	// He renews after 33 seconds, while nobody answers.
	holder := guard{l: l, lock: lock, holder: "first", command: work(file, 60)}.start(t)
	reach(t, file, "begin first")
	time.Sleep(31 * time.Second)
	var all []*running
	for n := range runners {
		all = append(all, guard{l: l, lock: crowded, holder: fmt.Sprintf("crowd.%d", n), command: work(crowd, 10)}.start(t))
	}
	time.Sleep(time.Duration(500+rand.IntN(1500)) * time.Millisecond)
	l.cluster.StopAPI(t)
	time.Sleep(2 * time.Second)
	l.cluster.StartAPI(t)
	ends := map[int]int{}
	for _, r := range all {
		ends[r.code()]++
	}
	held := testify(t, crowd)
	t.Logf("20 guards around a restart ended with %v; %d held the lock", ends, len(held))
	if len(held) > 1 || ends[0] != len(held) || ends[0]+ends[70]+ends[75] != runners {
		t.Errorf("they ended with %v, and %v held the lock", ends, held)
	}
	holder.expect(t, 0)
	testify(t, file)
	l.is(t, lock, nil)
}
