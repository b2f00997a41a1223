//go:build linux

// Package attack attacks the program from outside, as a process: with mutated and
// swapped documents, with kills, with runs beside each other, and with hostile
// folders. `go test` makes a few tries of each part, always the same, `make attack` as
// many as half an hour has room for.
//
//	HOLDFAST_ATTACK         how long each part lasts, such as 5m; else as many tries as it has at least
//	HOLDFAST_ATTACK_SEED    the seed of all choices; by default 1, and the time with HOLDFAST_ATTACK
//	HOLDFAST_ATTACK_TRY     the one try to make of each part, to repeat a finding
//	HOLDFAST_ATTACK_BINARY  the program; by default it is built from the source
//	HOLDFAST_ATTACK_EXAMPLES  the examples that it understands; by default those beside this
//
// A try chooses by the seed and its number alone. What is a matter of time (where a
// kill hits, which of two runs is first) is not repeated with it.
package attack

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"sigs.k8s.io/yaml"
)

// hangLimit is far more than any run needs, on a machine however loaded.
const hangLimit = time.Minute

// thorough is false for the form that is part of the tests.
var thorough = os.Getenv("HOLDFAST_ATTACK") != ""

// maxFindings ends a part: whoever reads them has enough.
const maxFindings = 40

var (
	binary    string
	seed      uint64 = 1
	lasting   time.Duration
	onlyTry   = -1
	realParts []*part
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		work, err := os.MkdirTemp("", "holdfast-attack-")
		if err == nil {
			defer os.RemoveAll(work)
			err = prepare(work)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "attack:", err)
			return 1
		}
		status := m.Run()
		table(os.Stdout)
		return status
	}())
}

// prepare reads the environment and builds the program.
func prepare(work string) error {
	var err error
	if text := os.Getenv("HOLDFAST_ATTACK"); text != "" {
		seed = uint64(time.Now().UnixNano())
		if lasting, err = time.ParseDuration(text); err != nil {
			return fmt.Errorf("HOLDFAST_ATTACK: %w", err)
		}
	}
	if text := os.Getenv("HOLDFAST_ATTACK_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			return fmt.Errorf("HOLDFAST_ATTACK_SEED: %w", err)
		}
	}
	if text := os.Getenv("HOLDFAST_ATTACK_TRY"); text != "" {
		if onlyTry, err = strconv.Atoi(text); err != nil {
			return fmt.Errorf("HOLDFAST_ATTACK_TRY: %w", err)
		}
	}
	if binary = os.Getenv("HOLDFAST_ATTACK_BINARY"); binary != "" {
		binary, err = filepath.Abs(binary)
		return err
	}
	binary = filepath.Join(work, "holdfast")
	if output, err := exec.Command("go", "build", "-o", binary, "../cmd/holdfast").CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, output)
	}
	return nil
}

// table shows what each part did.
func table(to io.Writer) {
	if len(realParts) == 0 {
		return
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "part\ttries\taccepted\trefused\tkilled\tfindings\t")
	for _, p := range realParts {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t\n", p.t.Name(), p.tries, p.accepted, p.refused, p.killed, p.findings)
	}
	_ = w.Flush()
	fmt.Fprintln(to, "seed", seed)
}

// part is one kind of attack.
type part struct {
	t    *testing.T
	work string // a folder of the part; tries have folders in it
	home string // what stands there for git
	mu   sync.Mutex

	// A try is one attack; a run of the program in it is accepted, refused or killed.
	tries, accepted, refused, killed, findings int
	current                                    int
	note                                       string // what else a finding of this try shows
	random                                     *rand.Rand
}

// attack makes tries until the time is over: at least atLeast of them.
func attack(t *testing.T, atLeast int, try func(p *part, n int, dir string)) {
	t.Helper()
	p := &part{t: t, work: t.TempDir()}
	p.home = filepath.Join(p.work, "home")
	p.write(filepath.Join(p.home, ".gitconfig"), "[user]\n\tname = Somebody\n\temail = somebody@example.com\n[init]\n\tdefaultBranch = main\n[gc]\n\tauto = 0\n[protocol \"file\"]\n\tallow = always\n")
	realParts = append(realParts, p)
	until := time.Now().Add(lasting)
	for n := 0; p.findings < maxFindings && (n < atLeast || time.Now().Before(until)); n++ {
		if onlyTry >= 0 {
			if n = onlyTry; p.tries > 0 {
				break
			}
		}
		dir := filepath.Join(p.work, "try")
		if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o755); err != nil {
			t.Fatal(err)
		}
		p.tries, p.current, p.note = p.tries+1, n, ""
		p.random = rand.New(rand.NewPCG(seed, uint64(n)))
		try(p, n, dir)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d tries: %d runs accepted, %d refused, %d killed; %d findings; seed %d", p.tries, p.accepted, p.refused, p.killed, p.findings, seed)
}

// finding fails the test, with what is needed to repeat it.
func (p *part) finding(format string, args ...any) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.findings++
	p.t.Errorf("FINDING %s\n  again: HOLDFAST_ATTACK_SEED=%d HOLDFAST_ATTACK_TRY=%d go test ./attack -count=1 -run '^%s$'\n%s",
		fmt.Sprintf(format, args...), seed, p.current, p.t.Name(), indent(short(p.note, 6000)))
}

func (p *part) write(name, text string) {
	p.t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *part) read(name string) string {
	p.t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(data)
}

// git runs git as the program does, and returns what it prints.
func (p *part) git(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = dir, p.environment(filepath.Join(p.work, "try"))
	output, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(output)), err
}

func (p *part) mustGit(dir string, args ...string) string {
	p.t.Helper()
	output, err := p.git(dir, args...)
	if err != nil {
		p.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return output
}

// environment has nothing of the machine's own, and a temporary folder of the try's.
func (p *part) environment(dir string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.home, "XDG_CONFIG_HOME=" + p.home, "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "TMPDIR=" + filepath.Join(dir, "tmp")}
}

// run is what one run of the program did.
type run struct {
	args           []string
	code           int // -1 if it was killed
	stdout, stderr string
}

func (r run) String() string {
	return fmt.Sprintf("holdfast %q: exit %d\nstdout: %s\nstderr: %s", r.args, r.code, short(r.stdout, 800), short(r.stderr, 2500))
}

// job is a run that is under way.
type job struct {
	p       *part
	cmd     *exec.Cmd
	out     run
	stdout  bytes.Buffer
	stderr  bytes.Buffer
	cancel  context.CancelFunc
	context context.Context
	wanted  bool // somebody means to kill it
}

// start starts the program in a process group of its own, or what runs it.
func (p *part) start(dir, stdin string, through []string, args ...string) *job {
	p.t.Helper()
	j := &job{p: p, out: run{args: args}}
	j.context, j.cancel = context.WithTimeout(context.Background(), hangLimit)
	command := slices.Concat(through, []string{binary}, args)
	j.cmd = exec.CommandContext(j.context, command[0], command[1:]...)
	j.cmd.Dir, j.cmd.Env = dir, p.environment(dir)
	j.cmd.Stdin, j.cmd.Stdout, j.cmd.Stderr = strings.NewReader(stdin), &j.stdout, &j.stderr
	j.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	j.cmd.Cancel = func() error { return syscall.Kill(-j.cmd.Process.Pid, syscall.SIGKILL) }
	j.cmd.WaitDelay = hangLimit
	if err := j.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	return j
}

// wait waits for the program and for what it started, and looks at how it ended.
func (j *job) wait() run {
	j.p.t.Helper()
	err := j.cmd.Wait()
	hung := j.context.Err() != nil
	for since := time.Now(); !groupIsGone(j.cmd.Process.Pid); time.Sleep(5 * time.Millisecond) {
		if time.Since(since) > hangLimit {
			hung = true
			_ = syscall.Kill(-j.cmd.Process.Pid, syscall.SIGKILL)
			break
		}
	}
	j.cancel()
	j.out.code, j.out.stdout, j.out.stderr = j.cmd.ProcessState.ExitCode(), j.stdout.String(), j.stderr.String()
	j.p.mu.Lock()
	switch {
	case j.out.code == 0 || j.out.code == 4:
		j.p.accepted++
	case j.out.code > 0:
		j.p.refused++
	default:
		j.p.killed++
	}
	j.p.mu.Unlock()
	if hung {
		j.p.finding("it hangs: %v\n%s", err, j.out)
	} else if j.out.code < 0 && !j.wanted {
		j.p.finding("it was ended by a signal: %v\n%s", err, j.out)
	}
	if broken.MatchString(j.out.stderr) || broken.MatchString(j.out.stdout) {
		j.p.finding("it is broken\n%s", j.out)
	}
	if j.out.code > 4 {
		j.p.finding("the exit status %d is not documented\n%s", j.out.code, j.out)
	}
	return j.out
}

// broken is what only a bug says.
var broken = regexp.MustCompile(`this is a bug|(?m)^(panic|fatal error|runtime error|bug): |goroutine \d+ \[`)

// run runs the program to its end.
func (p *part) run(dir, stdin string, args ...string) run {
	p.t.Helper()
	return p.start(dir, stdin, nil, args...).wait()
}

// groupIsGone reports whether no process of a group lives. What nobody waits for
// stays as a zombie where the first process of a container reaps none.
func groupIsGone(group int) bool {
	if syscall.Kill(-group, 0) != nil {
		return true
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		data, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		if len(fields) > 2 && fields[2] == strconv.Itoa(group) && fields[0] != "Z" && fields[0] != "X" {
			return false
		}
	}
	return true
}

// documents are the input of one instance, as text.
type documents struct {
	name                       string
	state, credentials, policy string // policy is empty where there is none
	kinds                      string // a folder
	id                         string
}

// exampleDocuments reads the examples, by name.
func exampleDocuments(t *testing.T) []documents {
	t.Helper()
	folder := "../examples"
	if other := os.Getenv("HOLDFAST_ATTACK_EXAMPLES"); other != "" {
		folder = other
	}
	names, err := filepath.Glob(folder + "/*/runtime-state.json")
	more, moreErr := filepath.Glob(folder + "/*/*/runtime-state.json")
	if err != nil || moreErr != nil || len(names) == 0 {
		t.Fatal("no examples", err, moreErr)
	}
	var all []documents
	for _, name := range append(names, more...) {
		dir := filepath.Dir(name)
		d := documents{name: strings.TrimPrefix(dir, folder+"/")}
		for file, text := range map[string]*string{"runtime-state.json": &d.state, "backup-credentials.json": &d.credentials, "policy.json": &d.policy} {
			data, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil && file != "policy.json" {
				t.Fatal(err)
			}
			*text = string(data)
		}
		if info, err := os.Stat(filepath.Join(dir, "kinds")); err == nil && info.IsDir() {
			if d.kinds, err = filepath.Abs(filepath.Join(dir, "kinds")); err != nil {
				t.Fatal(err)
			}
		}
		var state struct{ InstanceID string }
		if err := json.Unmarshal([]byte(d.state), &state); err != nil {
			t.Fatal(err)
		}
		d.id = state.InstanceID
		all = append(all, d)
	}
	return all
}

// example returns one example by name.
func example(t *testing.T, name string) documents {
	t.Helper()
	all := exampleDocuments(t)
	at := slices.IndexFunc(all, func(d documents) bool { return d.name == name })
	if at < 0 {
		t.Fatalf("no example %s", name)
	}
	return all[at]
}

// put writes documents below a folder and returns the options that name them.
func (p *part) put(dir string, d documents) []string {
	p.t.Helper()
	p.write(filepath.Join(dir, "runtime-state.json"), d.state)
	p.write(filepath.Join(dir, "backup-credentials.json"), d.credentials)
	args := []string{"-s", filepath.Join(dir, "runtime-state.json"), "-c", filepath.Join(dir, "backup-credentials.json")}
	if d.policy != "" {
		p.write(filepath.Join(dir, "policy.json"), d.policy)
		args = append(args, "-p", filepath.Join(dir, "policy.json"))
	}
	if d.kinds != "" {
		args = append(args, "--kinds", d.kinds)
	}
	return args
}

// isSecretField are the fields of the credentials whose values nobody may see. Names of
// keys and users are no such fields: they may be ordinary words.
var isSecretField = map[string]bool{"password": true, "password2": true, "secretAccessKey": true, "renderKey": true}

// secretsOf returns the values of secret fields in a document, those of 8 bytes and more.
func secretsOf(document string) []string {
	var value any
	if json.Unmarshal([]byte(document), &value) != nil {
		return nil
	}
	found := map[string]bool{}
	var walk func(value any, secret bool)
	walk = func(value any, secret bool) {
		switch v := value.(type) {
		case map[string]any:
			for key, e := range v {
				walk(e, isSecretField[key])
			}
		case []any:
			for _, e := range v {
				walk(e, secret)
			}
		case string:
			if secret && len(v) >= 8 {
				found[v] = true
			}
		}
	}
	walk(value, false)
	return slices.Sorted(maps.Keys(found))
}

// forms returns the ways in which a value may be written, each with its name.
func forms(value string) [][2]string {
	quoted, _ := json.Marshal(value)
	return [][2]string{
		{"as it is", value},
		{"in JSON", string(quoted[1 : len(quoted)-1])},
		{"in Go", strings.Trim(strconv.Quote(value), `"`)},
		{"in base64", strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(value)), "=")},
		{"in base64url", base64.RawURLEncoding.EncodeToString([]byte(value))},
		{"in hex", hex.EncodeToString([]byte(value))},
		{"in a query", url.QueryEscape(value)},
		{"in a path", url.PathEscape(value)},
	}
}

// leaks says which secret a text shows, and in which form; "" if none.
func leaks(text string, secrets []string) string {
	for _, value := range secrets {
		for _, form := range forms(value) {
			written := form[1]
			if at := strings.Index(text, written); at >= 0 {
				return fmt.Sprintf("the secret %q %s: …%s…", value, form[0], text[max(0, at-60):min(len(text), at+len(written)+60)])
			}
		}
	}
	return ""
}

// quiet finds a secret on any stream of a run.
func (p *part) quiet(r run, secrets []string) {
	p.t.Helper()
	if leak := leaks(r.stderr, secrets); leak != "" {
		p.finding("stderr shows %s\n%s", leak, r)
	}
	if leak := leaks(r.stdout, secrets); leak != "" {
		p.finding("stdout shows %s\n%s", leak, r)
	}
}

// filesBelow reads a folder: regular files with their text, links with where they
// lead, others with their mode.
func filesBelow(dir string) map[string]string {
	files := map[string]string{}
	_ = filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, name)
		if err != nil || entry.IsDir() {
			return nil //nolint:nilerr // what is not there any more is no file
		}
		switch mode := entry.Type(); {
		case mode.IsRegular():
			data, err := os.ReadFile(name)
			if err != nil {
				data = []byte("(" + err.Error() + ")")
			}
			files[rel] = string(data)
		case mode&fs.ModeSymlink != 0:
			to, _ := os.Readlink(name)
			files[rel] = "-> " + to
		default:
			files[rel] = "(" + mode.String() + ")"
		}
		return nil
	})
	return files
}

// difference says how two folders differ; "" if they do not.
func difference(want, got map[string]string) string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if text, ok := got[name]; !ok {
			lines = append(lines, "missing: "+strconv.Quote(name))
		} else if text != want[name] {
			lines = append(lines, "changed: "+strconv.Quote(name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			lines = append(lines, "new: "+strconv.Quote(name))
		}
	}
	return short(strings.Join(lines, "\n"), 1500)
}

// sound looks at a tree as those do who apply it: each file is what its name says, no
// object is there twice, and none is where the cluster itself lives.
func (p *part) sound(r run, files map[string]string) {
	p.t.Helper()
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := files[name]
		if strings.HasSuffix(name, ".json") && !json.Valid([]byte(text)) {
			p.finding("%s is no JSON\n%s", name, r)
		}
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for _, one := range strings.Split(text, "\n---\n") {
			var o struct {
				APIVersion, Kind string
				Metadata         struct{ Name, Namespace string }
			}
			data, err := yaml.YAMLToJSONStrict([]byte(one))
			if err == nil {
				err = json.Unmarshal(data, &o)
			}
			if err != nil {
				p.finding("%s is refused by a strict decoder: %v\n%s", name, err, r)
				continue
			}
			if strings.HasPrefix(o.APIVersion, "kustomize.config.k8s.io/") || o.Kind == "" {
				continue
			}
			namespace := o.Metadata.Namespace
			if (strings.HasPrefix(namespace, "kube-") || namespace == "flux-system") && filepath.Base(name) != "flux.yaml" {
				p.finding("%s: %s %s is in %s\n%s", name, o.Kind, o.Metadata.Name, namespace, r)
			}
			group, _, _ := strings.Cut(o.APIVersion, "/")
			id := strings.Join([]string{group, o.Kind, namespace, o.Metadata.Name}, " ")
			if other, ok := seen[id]; ok {
				p.finding("%s is in %s and in %s\n%s", id, other, name, r)
			}
			seen[id] = name
		}
	}
}

// pick returns one of some values.
func pick[T any](random *rand.Rand, values ...T) T { return values[random.IntN(len(values))] }

func short(text string, most int) string {
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

func indent(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") }
