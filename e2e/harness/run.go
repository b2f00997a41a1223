package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/harness/sandbox"
)

// Result is how a container ended.
type Result struct {
	Code      int
	Stdout    []byte
	Stderr    string
	Container string
	Took      time.Duration

	unit    string
	dump    bool
	secrets []string
}

// OK fails the test unless the container ended well and told no secret.
func (r Result) OK(t testing.TB) Result {
	t.Helper()
	if r.Code != 0 {
		t.Fatalf("%s of %s ended with %d, after %s:\n%s", r.Container, r.unit, r.Code, r.Took, r.Stderr)
	}
	r.quiet(t)
	return r
}

// Fails fails the test unless the container ended with that code, said which
// unit and each of the words, told no secret, and printed nothing of a dump; see
// Streamed.
func (r Result) Fails(t testing.TB, code int, words ...string) Result {
	t.Helper()
	var wrong []string
	if r.Code != code {
		wrong = append(wrong, fmt.Sprintf("ended with %d, not with %d", r.Code, code))
	}
	if r.dump && len(r.Stdout) > 0 {
		wrong = append(wrong, fmt.Sprintf("failed, but printed %d bytes: %.200q", len(r.Stdout), r.Stdout))
	}
	for _, word := range append([]string{"holdfast: " + r.unit + ": "}, words...) {
		if !strings.Contains(r.Stderr, word) {
			wrong = append(wrong, fmt.Sprintf("does not say %q", word))
		}
	}
	if len(wrong) > 0 {
		t.Errorf("%s of %s %s. It said:\n%s", r.Container, r.unit, strings.Join(wrong, ", and "), r.Stderr)
	}
	r.quiet(t)
	return r
}

// Streamed is for a dump that fails after its first bytes went out: those are no
// copy, so they must lack the trailer.
func (r Result) Streamed(t testing.TB) Result {
	t.Helper()
	if trailer.Match(r.Stdout) {
		t.Errorf("%s of %s failed, but printed a trailer", r.Container, r.unit)
	}
	r.dump = false
	return r
}

// quiet fails the test when a message holds a secret. Short ones are part of
// too many words.
func (r Result) quiet(t testing.TB) {
	t.Helper()
	for _, secret := range r.secrets {
		for _, line := range strings.Split(secret, "\n") {
			if len(line) >= 6 && strings.Contains(r.Stderr, line) {
				t.Errorf("%s of %s tells a secret", r.Container, r.unit)
			}
		}
	}
}

// Dump runs a unit's dump.sh: as K8up runs a backupCommand, or as the CronJob's
// container.
func (i *Instance) Dump(t testing.TB, unit string, o Options) Result {
	t.Helper()
	return i.Start(t, unit, "dump", o).Wait()
}

// Restore runs the containers of a unit's restore Job in their order, in one
// scratch folder, until one fails. With Options.Input it runs apply alone.
func (i *Instance) Restore(t testing.TB, unit string, o Options) Result {
	t.Helper()
	item := i.Unit(t, unit)
	job := i.Object("Job", item.Namespace, item.Restore)
	var names []string
	for _, c := range append(list(job, "spec", "template", "spec", "initContainers"), list(job, "spec", "template", "spec", "containers")...) {
		// "tools" runs whenever a container needs what it copies.
		if name := text(c, "name"); name != "tools" && (o.Input == nil || name == "apply") {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		t.Fatalf("%s has no restore Job", unit)
	}
	if o.ScratchDir == "" && len(names) > 1 {
		o.ScratchDir = scratchFolder(t, o.Scratch)
	}
	var result Result
	for _, name := range names {
		result = i.RestoreStep(t, unit, name, o)
		if result.Code != 0 {
			break
		}
	}
	return result
}

// RestoreStep runs one container of a unit's restore Job: validate, fetch,
// verify or apply.
func (i *Instance) RestoreStep(t testing.TB, unit, container string, o Options) Result {
	t.Helper()
	return i.Start(t, unit, container, o).Wait()
}

// Start starts a unit's "dump", or a container of its restore Job, and does not
// wait for it.
func (i *Instance) Start(t testing.TB, unit, container string, o Options) *Process {
	t.Helper()
	p := i.pod(t, unit, container)
	if o.Input != nil && container != "dump" {
		o.ScratchDir = withInput(t, o, i.input(t, p.namespace, i.Unit(t, unit).Restore))
	}
	return start(t, p, o)
}

// pod finds a unit's container in the tree.
func (i *Instance) pod(t testing.TB, unit, container string) *pod {
	t.Helper()
	item := i.Unit(t, unit)
	p := &pod{instance: i, unit: unit, namespace: item.Namespace}
	if container != "dump" {
		p.name = item.Restore + "-0"
		p.spec = object(i.Object("Job", item.Namespace, item.Restore), "spec", "template", "spec")
		p.find(container)
	} else if o := i.Object("PreBackupPod", item.Namespace, item.Name); o != nil {
		p.name, p.exec, p.dump = item.Name+"-0", true, true
		p.spec = object(o, "spec", "pod", "spec")
		p.find(item.Name)
		// K8up splits it like this too, and starts no shell.
		p.argv = strings.Fields(text(o, "spec", "backupCommand"))
	} else if o := i.Object("CronJob", item.Namespace, item.Name); o != nil {
		p.name = item.Name + "-0"
		p.spec = object(o, "spec", "jobTemplate", "spec", "template", "spec")
		p.find(item.Name)
	}
	if p.container == nil {
		t.Fatalf("%s has no container %q", unit, container)
	}
	return p
}

// Job runs a container of any Job or CronJob of the tree: "Job" or "CronJob",
// its namespace, its name; "" for the first container.
func (i *Instance) Job(t testing.TB, kind, namespace, name, container string, o Options) Result {
	t.Helper()
	job := i.Object(kind, namespace, name)
	if job == nil {
		t.Fatalf("the tree has no %s %s/%s", kind, namespace, name)
	}
	p := &pod{instance: i, unit: name, namespace: namespace, name: name + "-0", spec: object(job, "spec", "template", "spec")}
	if kind == "CronJob" {
		p.spec = object(job, "spec", "jobTemplate", "spec", "template", "spec")
	}
	if container == "" {
		container = text(list(p.spec, "containers")[0], "name")
	}
	if p.find(container); p.container == nil {
		t.Fatalf("%s has no container %q", name, container)
	}
	return start(t, p, o).Wait()
}

// find takes the container and its command.
func (p *pod) find(name string) {
	for _, c := range append(list(p.spec, "initContainers"), list(p.spec, "containers")...) {
		if text(c, "name") == name {
			p.container = c
		}
	}
	for _, key := range []string{"command", "args"} {
		words, _ := at(p.container, key).([]any)
		for _, word := range words {
			p.argv = append(p.argv, fmt.Sprint(word))
		}
	}
}

// input is where the restore Job expects its input, below scratch.
func (i *Instance) input(t testing.TB, namespace, name string) string {
	t.Helper()
	data, err := i.data("ConfigMap", namespace, name)
	if err != nil {
		t.Fatal(err)
	}
	const scratch = "/holdfast/scratch/"
	input := data["HOLDFAST_INPUT"]
	if !strings.HasPrefix(input, scratch) {
		t.Fatalf("HOLDFAST_INPUT is %q, not below scratch", input)
	}
	return strings.TrimPrefix(input, scratch)
}

// withInput is a scratch folder that holds the input, as fetch leaves it.
func withInput(t testing.TB, o Options, name string) string {
	t.Helper()
	folder := o.ScratchDir
	if folder == "" {
		folder = scratchFolder(t, o.Scratch)
	}
	path := filepath.Join(folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, Payload(o.Input), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".losses", losses(t, o.Input), 0o644); err != nil {
		t.Fatal(err)
	}
	return folder
}

// losses are those that the dump's trailer names, as fetch.sh leaves them.
func losses(t testing.TB, dump []byte) []byte {
	t.Helper()
	at := trailer.FindIndex(dump)
	if at == nil {
		return nil
	}
	line := bytes.TrimSpace(dump[at[0]:at[1]])
	line = line[bytes.Index(line, []byte(`{"unit":`)):]
	var end struct {
		Losses []struct{ Loss, Item, Why string }
	}
	// JSON's own trailer is in one more pair of braces.
	if err := json.NewDecoder(bytes.NewReader(line)).Decode(&end); err != nil {
		t.Fatalf("the trailer %.200q: %v", line, err)
	}
	var b bytes.Buffer
	for _, loss := range end.Losses {
		fmt.Fprintf(&b, "%s\t%s\t%s\n", loss.Loss, loss.Item, loss.Why)
	}
	return b.Bytes()
}

// trailer is the last line of every dump, with the line break before it.
var trailer = regexp.MustCompile(`\n(\{"holdfast": |[^\n]{1,3}holdfast: )\{"unit":[^\n]*\}\n$`)

// Payload is a dump without its trailer, which fetch.sh cuts off.
func Payload(dump []byte) []byte {
	if at := trailer.FindIndex(dump); at != nil {
		return dump[:at[0]]
	}
	return dump
}

// scratchFolder is a folder for the steps of one restore; a tmpfs where a size
// is asked for.
func scratchFolder(t testing.TB, size string) string {
	t.Helper()
	folder := filepath.Join(Folder(t, 0), "scratch")
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	if size != "" {
		bytes, err := quantity(size)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "mode=0777,size="+bytes); err != nil {
			t.Fatalf("mounting a small scratch folder: %v", err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
				t.Errorf("unmounting a small scratch folder: %v", err)
			}
		})
	}
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	return folder
}

// Process is a container that runs.
type Process struct {
	t      testing.TB
	cmd    *exec.Cmd
	since  time.Time
	done   chan struct{}
	result Result
	late   atomic.Bool
	spec   *sandboxed
	stdout bytes.Buffer
	stderr output
}

// output may be read while it is written.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// start starts a pod's container.
func start(t testing.TB, p *pod, o Options) *Process {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("only root can start containers")
	}
	spec, err := p.prepare(t, o)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(spec.Spec)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(Folder(t, 0), "spec.json")
	// It holds secrets.
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	handed, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer handed.Close()
	process := &Process{t: t, since: time.Now(), done: make(chan struct{}), spec: spec}
	process.result = Result{Container: text(p.container, "name"), unit: p.unit, dump: p.dump, secrets: spec.secrets}
	process.cmd = exec.Command(ownProgram(t, "container"))
	process.cmd.Env = []string{}
	process.cmd.Stdout, process.cmd.Stderr = &process.stdout, &process.stderr
	if o.Stdout != nil {
		process.cmd.Stdout = o.Stdout
	}
	process.cmd.ExtraFiles = []*os.File{handed}
	process.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: sandbox.Flags}
	if err := StartChild(process.cmd); err != nil {
		t.Fatalf("starting a container: %v", err)
	}
	limit := o.Timeout
	if limit == 0 {
		limit = 15 * time.Minute
	}
	timer := time.AfterFunc(limit, func() {
		process.late.Store(true)
		process.Kill()
	})
	go func() {
		defer close(process.done)
		err := process.cmd.Wait()
		if !timer.Stop() {
			err = errors.Join(err, errors.New("out of time"))
		}
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) && process.cmd.ProcessState == nil {
			process.result.Code = -1
			return
		}
		process.result.Code = sandbox.Code(process.cmd.ProcessState)
	}()
	t.Cleanup(func() {
		process.Kill()
		<-process.done
	})
	return process
}

// Signal sends a signal to the container's first process; of a dump, to the
// backupCommand.
func (p *Process) Signal(s syscall.Signal) {
	// It may be gone already.
	_ = p.cmd.Process.Signal(s)
}

// Running says whether the container has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Memory is what the container's processes hold now, in bytes, with what they share
// counted once for each.
func (p *Process) Memory() int64 {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0
	}
	parent, pages := map[int]int{}, map[int]int64{}
	for _, stat := range stats {
		// One that has ended meanwhile holds nothing.
		data, err := os.ReadFile(stat)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if err != nil || len(fields) < 22 {
			continue
		}
		if parent[pid], err = strconv.Atoi(fields[1]); err != nil {
			continue
		}
		if pages[pid], err = strconv.ParseInt(fields[21], 10, 64); err != nil {
			continue
		}
	}
	var sum int64
	for pid := range parent {
		for at := pid; at > 1; at = parent[at] {
			if at == p.cmd.Process.Pid {
				sum += pages[pid]
				break
			}
		}
	}
	return sum * int64(os.Getpagesize())
}

// Kill ends all processes of the container at once.
func (p *Process) Kill() { p.Signal(syscall.SIGKILL) }

// Said is what the container has written to stderr so far.
func (p *Process) Said() string { return p.stderr.String() }

// Wait returns the result. A container that passed its timeout fails the test.
func (p *Process) Wait() Result {
	p.t.Helper()
	<-p.done
	r := p.result
	r.Stdout, r.Stderr, r.Took = p.stdout.Bytes(), p.stderr.String(), time.Since(p.since).Round(time.Millisecond)
	if p.late.Load() {
		p.t.Fatalf("%s of %s did not end in time, after %s:\n%s", r.Container, r.unit, r.Took, r.Stderr)
	}
	if r.Code == 128 && strings.HasPrefix(r.Stderr, "container: ") {
		p.t.Fatalf("%s of %s could not start: %s", r.Container, r.unit, r.Stderr)
	}
	if p.spec.arguments != "" {
		programs, started, err := p.spec.told()
		switch {
		case err != nil:
			p.t.Fatal(err)
		case len(programs) > 0:
			p.t.Errorf("%s of %s gives a secret as an argument to %s", r.Container, r.unit, strings.Join(programs, ", "))
		case started == 0 && r.Code == 0 && len(p.spec.secrets) > 0:
			p.t.Errorf("%s of %s started no program that is watched", r.Container, r.unit)
		}
	}
	return r
}
