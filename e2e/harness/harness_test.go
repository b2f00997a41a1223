package harness

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

const (
	unit     = "postgresql/main-globals"
	password = "a-password-that-must-not-be-told"
	// complete is the last line of what the unit copies.
	complete = "-- PostgreSQL database cluster dump complete\n"
)

// shop is an instance with a database, and a volume that root reads.
func shop(t *testing.T, credentials map[string]any) *Instance {
	t.Helper()
	return Render(t, Inputs{Credentials: credentials, State: map[string]any{
		"databases": map[string]any{"postgresql": []any{map[string]any{
			"id": "main", "host": "127.0.0.1", "port": 5432, "serverVersion": "15",
			"plainText": map[string]any{"reason": "there is no server"},
			"databases": []any{map[string]any{
				"key": "shop", "name": "shop", "owner": "shop", "username": "shop", "backup": "required",
				"passwordRef": map[string]any{"kind": "Secret", "name": "postgres", "key": "password"},
			}},
		}}},
		"volumes": []any{map[string]any{
			"claim": "mail", "accessModes": []any{"ReadWriteOnce"}, "backup": "required",
			"workload":  map[string]any{"kind": "Deployment", "name": "mail"},
			"owner":     map[string]any{"uid": 0, "gid": 0},
			"runAsRoot": map[string]any{"reason": "its files belong to many users"},
		}},
	}})
}

// options bring the Secret, and programs by their text.
func options(t *testing.T, shell string, programs map[string]string) Options {
	t.Helper()
	folder := Folder(t, 0)
	for name, text := range programs {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return Options{Image: Image{Shell: shell, Bin: []string{folder}}, Secrets: map[string]map[string]string{"postgres": {"password": password}}}
}

// probe runs a shell script in the place of a unit's container.
func probe(t *testing.T, i *Instance, unit, container, script string, o Options) Result {
	t.Helper()
	p := i.pod(t, unit, container)
	// What the image lacks, the probe brings.
	p.argv = []string{"/bin/sh", "-c", "PATH=$PATH:" + Behind + "/applets; " + script}
	o.probe = true
	return start(t, p, o).Wait()
}

// containers calls f for both shells, and a dump and a restore.
func containers(t *testing.T, f func(t *testing.T, shell, container string)) {
	for _, shell := range []string{"ash", "dash"} {
		for _, container := range []string{"dump", "apply"} {
			t.Run(shell+"/"+container, func(t *testing.T) { f(t, shell, container) })
		}
	}
}

func TestOnlyScratchIsWritable(t *testing.T) {
	i := shop(t, nil)
	containers(t, func(t *testing.T, shell, container string) {
		r := probe(t, i, unit, container, `
			{ cut -d' ' -f2 /proc/self/mounts; find / -xdev -type d; ls -d /holdfast/* /etc /usr /usr/* /dev; } |
			while read -r place; do
				[ ! -d "$place" ] || ! ( : >"$place/probe" ) 2>/dev/null || echo "$place"
			done | sort -u`, options(t, shell, nil)).OK(t)
		if got := string(r.Stdout); got != "/holdfast/scratch\n" {
			t.Errorf("writable are %q", got)
		}
		r = probe(t, i, unit, container, `grep -v ' ro[, ]' /proc/self/mounts | cut -d' ' -f2`, options(t, shell, nil)).OK(t)
		for _, place := range strings.Fields(string(r.Stdout)) {
			if place != "/holdfast/scratch" && !strings.HasPrefix(place, "/dev/") {
				t.Errorf("%s is not mounted read-only", place)
			}
		}
	})
}

func TestUserAndCapabilities(t *testing.T) {
	i := shop(t, nil)
	const status = `grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs):' /proc/self/status`
	words := func(text []byte) string { return strings.Join(strings.Fields(string(text)), " ") }
	containers(t, func(t *testing.T, shell, container string) {
		item := i.Unit(t, unit)
		want := fmt.Sprintf("Uid: %[1]d %[1]d %[1]d %[1]d Gid: %[2]d %[2]d %[2]d %[2]d Groups:", item.RunAsUID, item.RunAsGID)
		for _, set := range []string{"Inh", "Prm", "Eff", "Bnd", "Amb"} {
			want += " Cap" + set + ": 0000000000000000"
		}
		if got := words(probe(t, i, unit, container, status, options(t, shell, nil)).OK(t).Stdout); got != want+" NoNewPrivs: 1" {
			t.Errorf("got  %s\nwant %s NoNewPrivs: 1", got, want)
		}
	})
	t.Run("root", func(t *testing.T) {
		o := Options{Claims: map[string]string{"mail": Folder(t, 0)}}
		got := words(probe(t, i, "volume/mail", "apply", status, o).OK(t).Stdout)
		// CHOWN, DAC_OVERRIDE and FOWNER are the bits 0, 1 and 3.
		want := "Uid: 0 0 0 0 Gid: 0 0 0 0 Groups: CapInh: 0000000000000000 CapPrm: 000000000000000b CapEff: 000000000000000b CapBnd: 000000000000000b CapAmb: 0000000000000000 NoNewPrivs: 1"
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

func TestEnvironmentIsTheRenderedOne(t *testing.T) {
	i := shop(t, nil)
	hostile := "$(id) `id` ' \" \\ \n second line ; # %s"
	containers(t, func(t *testing.T, shell, container string) {
		o := options(t, shell, map[string]string{})
		o.Env = map[string]string{"PGUSER": hostile}
		name := i.Unit(t, unit).Name
		if container == "apply" {
			name = i.Unit(t, unit).Restore
		}
		want := map[string]string{}
		maps.Copy(want, o.Env)
		for key, value := range object(i.Object("ConfigMap", "app", name), "data") {
			if _, ok := want[key]; !ok {
				want[key] = value.(string)
			}
		}
		want["PGPASSWORD"] = password
		want["HOLDFAST_SECRETS"] = "PGPASSWORD"
		want["HOSTNAME"] = name + "-0"
		p := i.pod(t, unit, container)
		p.argv = []string{Behind + "/busybox", "env", "-0"}
		o.probe = true
		r := start(t, p, o).Wait().OK(t)
		got := map[string]string{}
		for _, entry := range strings.Split(strings.TrimSuffix(string(r.Stdout), "\x00"), "\x00") {
			key, value, _ := strings.Cut(entry, "=")
			got[key] = value
		}
		want["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
		want["HOLDFAST_IMAGE"] = i.Unit(t, unit).ResolvedImage
		if container == "apply" {
			want["HOLDFAST_POD"] = name + "-0"
			want["HOLDFAST_POD_UID"] = got["HOLDFAST_POD_UID"]
			want["HOLDFAST_HOLDER"] = name + "-0." + got["HOLDFAST_POD_UID"]
			if got["HOLDFAST_POD_UID"] == "" {
				t.Error("the pod has no uid")
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

func TestShells(t *testing.T) {
	i := shop(t, nil)
	for _, c := range []struct{ shell, program string }{{"ash", "/bin/busybox"}, {"dash", "/usr/bin/sh"}} {
		t.Run(c.shell, func(t *testing.T) {
			r := probe(t, i, unit, "dump", `
				readlink /proc/$$/exe
				PATH=${PATH%:*}
				for name in awk sed grep tail timeout jq kubectl restic python3; do command -v "$name"; done
				:`, options(t, c.shell, nil)).OK(t)
			if got := string(r.Stdout); !strings.HasPrefix(got, c.program+"\n") {
				t.Errorf("the shell is not %s: %s", c.program, got)
			}
			for _, name := range []string{"awk", "sed", "grep", "tail", "timeout"} {
				if !strings.Contains(string(r.Stdout), name+"\n") {
					t.Errorf("there is no %s", name)
				}
			}
			for _, name := range []string{"jq", "kubectl", "restic", "python3"} {
				if strings.Contains(string(r.Stdout), name) {
					t.Errorf("there is %s, which no image has", name)
				}
			}
		})
	}
}

func TestScripts(t *testing.T) {
	i := shop(t, nil)
	const fine = `for f; do case $f in --file=*) { printf 'CREATE ROLE shop;\n-- %0600d\n' 0; echo '-- PostgreSQL database cluster dump complete'; } >"${f#--file=}" ;; esac; done; echo noise >&2`
	for _, shell := range []string{"ash", "dash"} {
		t.Run(shell, func(t *testing.T) {
			t.Run("stdout and stderr apart", func(t *testing.T) {
				r := i.Dump(t, unit, options(t, shell, map[string]string{"psql": "exit 0 # it can log in", "pg_dumpall": fine})).OK(t)
				want := "CREATE ROLE shop;\n-- " + strings.Repeat("0", 600) + "\n" + complete
				if string(Payload(r.Stdout)) != want || !trailer.Match(r.Stdout) {
					t.Errorf("stdout is %q", r.Stdout)
				}
				if !strings.Contains(r.Stderr, fmt.Sprintf("1 counted, %d bytes", len(want))) {
					t.Errorf("stderr is %q", r.Stderr)
				}
			})
			t.Run("scratch is full", func(t *testing.T) {
				o := options(t, shell, map[string]string{"psql": `head -c 2000000 /dev/zero >"$HOLDFAST_SCRATCH/dump"`})
				o.Scratch = "1Mi"
				i.Dump(t, unit, o).Fails(t, 73, "full")
			})
			t.Run("locked", func(t *testing.T) {
				o := options(t, shell, nil)
				o.Locks = map[string]map[string]string{i.Unit(t, unit).Lock: {"holder": "somebody"}}
				i.Dump(t, unit, o).Fails(t, 75, "the unit lock is held by somebody")
			})
			t.Run("a secret in a message is masked", func(t *testing.T) {
				i.Dump(t, unit, options(t, shell, map[string]string{"psql": `echo "no: $PGPASSWORD" >&2; exit 9`})).Fails(t, 69, "no: ***")
			})
			t.Run("restore", func(t *testing.T) {
				o := options(t, shell, map[string]string{"psql": `head -n 1 "$HOLDFAST_INPUT" >&2; exit 1`})
				o.Input, o.FreeLocks = []byte("the very input\n"+complete), true
				if r := i.Restore(t, unit, o).Fails(t, 69, "the very input"); r.Container != "apply" {
					t.Errorf("it failed in %s", r.Container)
				}
			})
			t.Run("restore with a full scratch", func(t *testing.T) {
				o := options(t, shell, map[string]string{"psql": `head -c 2000000 /dev/zero`})
				o.Input, o.FreeLocks, o.Scratch = []byte(complete), true, "1Mi"
				i.Restore(t, unit, o).Fails(t, 73)
			})
		})
	}
}

func TestProcesses(t *testing.T) {
	i := shop(t, nil)
	t.Run("a signal reaches the script", func(t *testing.T) {
		for _, container := range []string{"dump", "apply"} {
			p := i.pod(t, unit, container)
			p.argv = []string{"/bin/sh", "-c", `trap 'echo stopped; exit 5' TERM; echo ready >&2; while :; do sleep 0.1; done`}
			process := start(t, p, options(t, "dash", nil))
			WaitFor(t, "the script runs", 10*time.Second, says(process, "ready"))
			process.Signal(syscall.SIGTERM)
			if r := process.Wait(); r.Code != 5 || string(r.Stdout) != "stopped\n" {
				t.Errorf("%s ended with %d and %q", container, r.Code, r.Stdout)
			}
		}
	})
	t.Run("a killed container leaves nothing", func(t *testing.T) {
		mark := fmt.Sprintf("86%d", os.Getpid())
		p := i.pod(t, unit, "dump")
		p.argv = []string{"/bin/sh", "-c", `/bin/sleep ` + mark + ` & echo ready >&2; wait`}
		process := start(t, p, options(t, "dash", nil))
		WaitFor(t, "the script runs", 10*time.Second, says(process, "ready"))
		process.Kill()
		if r := process.Wait(); r.Code != 137 {
			t.Errorf("it ended with %d", r.Code)
		}
		if pids := running(t, "sleep\x00"+mark); len(pids) > 0 {
			t.Errorf("still there: %v", pids)
		}
	})
	t.Run("a container that takes too long fails the test", func(t *testing.T) {
		o := options(t, "dash", nil)
		o.Timeout = 300 * time.Millisecond
		r := record(t, func(t testing.TB) {
			p := i.pod(t, unit, "dump")
			p.argv = []string{"/bin/sleep", "60"}
			start(t, p, o).Wait()
		})
		if !strings.Contains(r.said, "did not end in time") {
			t.Errorf("the test said %q", r.said)
		}
	})
}

func says(p *Process, word string) func() error {
	return func() error {
		if !strings.Contains(p.Said(), word) {
			return errors.New("not yet")
		}
		return nil
	}
}

// running lists processes whose command line holds the text.
func running(t *testing.T, text string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(files, func(file string) bool {
		data, err := os.ReadFile(file)
		return err != nil || !bytes.Contains(data, []byte(text))
	})
}

// recorder is a test that may fail without failing ours.
type recorder struct {
	testing.TB
	said   string
	failed bool
	undo   []func()
}

func record(t *testing.T, f func(t testing.TB)) *recorder {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	for _, undo := range slices.Backward(r.undo) {
		undo()
	}
	return r
}

func (r *recorder) Helper()          {}
func (r *recorder) Failed() bool     { return r.failed }
func (r *recorder) Cleanup(f func()) { r.undo = append(r.undo, f) }
func (r *recorder) Log(args ...any)  { r.said += fmt.Sprintln(args...) }
func (r *recorder) Logf(format string, args ...any) {
	r.said += fmt.Sprintf(format, args...) + "\n"
}

func (r *recorder) Errorf(format string, args ...any) {
	r.failed = true
	r.Logf(format, args...)
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

func TestResultsAreJudged(t *testing.T) {
	good := Result{Code: 69, Stderr: "holdfast: a/b: it failed: refused", dump: true, unit: "a/b", secrets: []string{"hunter22"}}
	for _, c := range []struct {
		name   string
		change func(r *Result)
		want   string
	}{
		{name: "as it should be", change: func(*Result) {}},
		{name: "another code", change: func(r *Result) { r.Code = 1 }, want: "not with 69"},
		{name: "success", change: func(r *Result) { r.Code = 0 }, want: "not with 69"},
		{name: "output", change: func(r *Result) { r.Stdout = []byte("half") }, want: "printed 4 bytes"},
		{name: "no unit", change: func(r *Result) { r.Stderr = "holdfast: refused" }, want: `does not say "holdfast: a/b: "`},
		{name: "no reason", change: func(r *Result) { r.Stderr = "holdfast: a/b: no" }, want: `does not say "refused"`},
		{name: "a secret", change: func(r *Result) { r.Stderr += " hunter22" }, want: "tells a secret"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := good
			c.change(&r)
			got := record(t, func(t testing.TB) { r.Fails(t, 69, "refused") })
			if got.failed != (c.want != "") || !strings.Contains(got.said, c.want) {
				t.Errorf("the test said %q", got.said)
			}
		})
	}
	if got := record(t, func(t testing.TB) { good.OK(t) }); !got.failed {
		t.Error("OK takes a failure")
	}
	told := Result{Stderr: "hunter22", secrets: []string{"hunter22"}}
	if got := record(t, func(t testing.TB) { told.OK(t) }); !got.failed {
		t.Error("OK takes a secret in a message")
	}
}

func TestServers(t *testing.T) {
	mark := fmt.Sprintf("87%d", os.Getpid())
	argv := []string{"sh", "-c", "echo up; sleep " + mark + " & wait"}
	for _, c := range []struct {
		name  string
		limit time.Duration
		end   func(s *Server)
	}{
		{name: "killed", end: (*Server).Kill},
		// Long enough for a busy machine to start two processes.
		{name: "limit", limit: 15 * time.Second, end: func(s *Server) { <-s.done }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Serve(t, "sleeper", argv, ServeOptions{UID: 65534, GID: 65534, Limit: c.limit, Ready: func() error {
				if len(running(t, "sleep\x00"+mark)) != 1 {
					return errors.New("not yet")
				}
				return nil
			}})
			var stat syscall.Stat_t
			if err := syscall.Stat(fmt.Sprintf("/proc/%d", s.Pid()), &stat); err != nil || stat.Uid != 65534 {
				t.Errorf("it runs as uid %d: %v", stat.Uid, err)
			}
			c.end(s)
			if s.Running() || !strings.Contains(s.Log(), "up") {
				t.Errorf("running: %v, log: %q", s.Running(), s.Log())
			}
			WaitFor(t, "what it started has ended", 2*time.Second, func() error {
				if pids := running(t, "sleep\x00"+mark); len(pids) > 0 {
					return fmt.Errorf("still there: %v", pids)
				}
				return nil
			})
		})
	}
	t.Run("whose caller's thread ends", func(t *testing.T) {
		started, held := make(chan *Server), make(chan struct{})
		var thread string
		defer close(held)
		var start func()
		start = func() {
			// Without UnlockOSThread: the thread ends with the goroutine, unless it is the first.
			runtime.LockOSThread()
			if syscall.Gettid() == syscall.Getpid() {
				go start()
				<-held
				return
			}
			s, err := Start("sleeper", []string{"sleep", "20"}, ServeOptions{Dir: t.TempDir()}, filepath.Join(t.TempDir(), "log"))
			if err != nil {
				t.Error(err)
			}
			thread = fmt.Sprintf("/proc/self/task/%d", syscall.Gettid())
			started <- s
		}
		go start()
		s := <-started
		if s == nil {
			return
		}
		defer s.Stop()
		WaitFor(t, "the thread has ended", 10*time.Second, func() error {
			if _, err := os.Stat(thread); err == nil {
				return errors.New("not yet")
			}
			return nil
		})
		// The signal has been sent by now; it is Wait that takes a moment.
		time.Sleep(200 * time.Millisecond)
		if !s.Running() {
			t.Error("it was killed")
		}
	})
	t.Run("one that ends at once", func(t *testing.T) {
		r := record(t, func(t testing.TB) {
			Serve(t, "broken", []string{"sh", "-c", "echo no reason; exit 1"}, ServeOptions{Ready: func() error { return errors.New("not yet") }})
		})
		if !strings.Contains(r.said, "broken ended:\nno reason") {
			t.Errorf("the test said %q", r.said)
		}
	})
}

func TestClosedPort(t *testing.T) {
	address := fmt.Sprintf("127.0.0.1:%d", ClosedPort(t))
	if _, err := net.DialTimeout("tcp", address, time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting: %v", err)
	}
	if l, err := net.Listen("tcp", address); err == nil {
		l.Close()
		t.Error("a server could have it")
	}
}

func TestStorage(t *testing.T) {
	for _, c := range []struct {
		name  string
		start func(t testing.TB, buckets ...string) *S3Server
	}{{"tls", S3}, {"plain", PlainS3}} {
		t.Run(c.name, func(t *testing.T) {
			s3 := c.start(t, "backup")
			s3.Put(t, "backup", "a/b", []byte("content"))
			if data, err := os.ReadFile(filepath.Join(s3.Dir, "backup", "a", "b")); err != nil || string(data) != "content" {
				t.Errorf("an object is no file: %q, %v", data, err)
			}
			if got := s3.Get(t, "backup", "a/b"); string(got) != "content" {
				t.Errorf("got %q", got)
			}
			i := shop(t, map[string]any{"restic": s3.Restic("backup", "restic")})
			dump := []byte("newer\n" + strings.Repeat("x", 600) + "\n" + complete)
			dump = append(dump, fmt.Sprintf("\n-- holdfast: {\"unit\":%q,\"count\":1,\"bytes\":%d,\"losses\":[]}\n", unit, len(dump))...)
			i.Store(t, unit, []byte("older"))
			i.Store(t, unit, dump)
			o := options(t, "ash", map[string]string{"psql": `head -n 1 "$HOLDFAST_INPUT" >&2; exit 1`})
			o.FreeLocks = true
			i.Restore(t, unit, o).Fails(t, 69, "newer")
			o.Env = map[string]string{"HOLDFAST_SNAPSHOT": "0123456789"}
			if r := i.Restore(t, unit, o).Fails(t, 65, "0 snapshots match"); r.Container != "validate" {
				t.Errorf("it failed in %s", r.Container)
			}
		})
	}
	t.Run("wrong CA", func(t *testing.T) {
		s3 := S3(t, "backup")
		section := s3.Restic("backup", "")
		section["caPem"] = string(NewCA(t).PEM)
		i := shop(t, map[string]any{"restic": section})
		o := options(t, "ash", nil)
		o.Env = map[string]string{"HOLDFAST_DEADLINE": "3"}
		i.RestoreStep(t, unit, "validate", o).Fails(t, 69, "listing the snapshots")
	})
}

func TestExec(t *testing.T) {
	i := shop(t, nil)
	o := options(t, "ash", nil)
	o.Exec = func(e Exec) int {
		in, err := io.ReadAll(e.Stdin)
		if err != nil {
			return 1
		}
		fmt.Fprintf(e.Stdout, "%s %s %s %q %s", e.Namespace, e.Pod, e.Container, e.Argv, in)
		fmt.Fprint(e.Stderr, "warned")
		return 7
	}
	r := probe(t, i, unit, "apply", `PATH=$PATH:/holdfast/tools; echo input | kubectl exec --stdin --namespace=app --container=c pod-0 -- slapcat -b "o=x y"`, o)
	if want := `app pod-0 c ["slapcat" "-b" "o=x y"] input` + "\n"; string(r.Stdout) != want || r.Code != 7 || !strings.HasPrefix(r.Stderr, "warned") {
		t.Errorf("got %q, %d, %q", r.Stdout, r.Code, r.Stderr)
	}
	r = probe(t, i, unit, "apply", `PATH=$PATH:/holdfast/tools; echo input | kubectl exec --namespace=app pod-0 -- cat`, o)
	if strings.Contains(string(r.Stdout), "input") {
		t.Error("stdin went through without --stdin")
	}
}

func TestCluster(t *testing.T) {
	c := Cluster(t)
	i := shop(t, nil)
	c.Install(t, i)
	o := options(t, "ash", map[string]string{"psql": "exit 1"})
	o.Input, o.Cluster = []byte(complete), c
	i.Restore(t, unit, o).Fails(t, 69, "psql failed")
	if data := c.Kubectl(t, "get", "configmap", i.Unit(t, unit).Lock, "--namespace=app", "--output=jsonpath={.data}"); data != "" {
		t.Errorf("the lock was not released: %s", data)
	}
	// A dump pod has no account.
	r := probe(t, i, unit, "dump", `ls /var/run/secrets 2>&1; echo "$KUBERNETES_SERVICE_HOST"`, o)
	if strings.Contains(string(r.Stdout), "kubernetes.io") || strings.Contains(string(r.Stdout), "127.0.0.1") {
		t.Errorf("a dump pod has an account: %s", r.Stdout)
	}
	c.Kubectl(t, "delete", "rolebinding", i.Unit(t, unit).Restore, "--namespace=app")
	i.Restore(t, unit, o).Fails(t, 70, "Forbidden")
	c.StopAPI(t)
	o.Kubeconfig = c.Kubeconfig
	i.Restore(t, unit, o).Fails(t, 70, "refused")
	c.StartAPI(t)
	c.Kubectl(t, "get", "configmap", i.Unit(t, unit).Lock, "--namespace=app")
}
