package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// piece is STREAM_PIECE of stream.sh.
const piece = 8 << 20

// streamed is common with a stdout of its own, in bash as well, and in ash with the
// tools of busybox. It says how long it took.
func streamed(t *testing.T, shell, script string, stdout *os.File, env ...string) (string, string, int, time.Duration) {
	t.Helper()
	began := time.Now()
	root := t.TempDir()
	scratch := filepath.Join(root, "scratch")
	if err := os.Mkdir(scratch, 0o755); err != nil {
		t.Fatal(err)
	}
	library(t, root)
	argv := []string{shell}
	if shell == "bash" {
		// As it is where it is called sh.
		argv = append(argv, "--posix")
	}
	path := os.Getenv("PATH")
	if shell == "ash" {
		busybox, err := filepath.Abs("../.cache/e2e/busybox")
		if err != nil {
			t.Fatal(err)
		}
		argv = []string{busybox, "ash"}
		tools := filepath.Join(root, "tools")
		if err := os.Mkdir(tools, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, tool := range []string{"dd", "cat", "head", "tail", "wc", "tr", "mkfifo", "timeout", "grep", "sed", "awk", "sleep", "seq", "rm", "mkdir", "date"} {
			if err := os.Symlink(busybox, filepath.Join(tools, tool)); err != nil {
				t.Fatal(err)
			}
		}
		path = tools + ":" + path
	}
	cmd := exec.Command(argv[0], append(argv[1:], "-euc", prologue+script)...)
	cmd.Env = append(env, "HOLDFAST_ROOT="+root, "HOLDFAST_SCRATCH="+scratch, "HOLDFAST_UNIT=kind/unit", "PATH="+path)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if stdout != nil {
		cmd.Stdout = stdout
	}
	cmd.WaitDelay = 5 * time.Second
	timer := time.AfterFunc(60*time.Second, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Run(); err != nil {
		if exit := new(exec.ExitError); !errors.As(err, &exit) {
			t.Fatal(err)
		}
	}
	left, err := os.ReadDir(scratch)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("%s is left on scratch", left[0].Name())
	}
	return out.String(), said.String(), cmd.ProcessState.ExitCode(), time.Since(began)
}

// counted is what seq prints.
var counted = sync.OnceValue(func() string {
	var b []byte
	for i := int64(1); len(b) < 3*piece+5; i++ {
		b = append(strconv.AppendInt(b, i, 10), '\n')
	}
	return string(b)
})

// numbers is the beginning of it.
func numbers(size int) string { return counted()[:size] }

// TestStream holds what passes through a stream: each byte, in its order, to stdout and
// to the tap, and no copy that looks whole where something failed.
func TestStream(t *testing.T) {
	t.Parallel()
	each := func(name string, test func(t *testing.T, shell string)) {
		for _, shell := range []string{"ash", "dash", "bash"} {
			t.Run(name+"/"+shell, func(t *testing.T) {
				t.Parallel()
				test(t, shell)
			})
		}
	}
	for _, size := range []int{0, 1, 65537, 1 << 20, piece - 1, piece, piece + 1, 2*piece - 1, 2 * piece, 2*piece + 1, 3 * piece} {
		each(fmt.Sprint("dump/", size), func(t *testing.T, shell string) {
			script := `tap() { cat >"$WORK/tapped"; }
				stream tap sh -c 'seq 1 9999999 2>/dev/null | head -c "$SIZE"'
				printf '\n%s %s %s\n' "$STREAM_BYTES" "$(sha256sum <"$WORK/tapped" | head -c 64)" "$(cat "$WORK/head" "$WORK/tail" | sha256sum | head -c 64)"
				for left in "$WORK"/piece.*; do [ ! -e "$left" ] || say "$left is left"; done`
			out, said, code, _ := streamed(t, shell, script, nil, fmt.Sprint("SIZE=", size))
			text := numbers(size)
			ends := text[:min(size, 65536)] + text[max(0, size-65536):]
			want := fmt.Sprintf("%s\n%d %x %x\n", text, size, sha256.Sum256([]byte(text)), sha256.Sum256([]byte(ends)))
			if code != 0 || said != "" || out != want {
				t.Errorf("exit code %d, %d bytes, want %d; end %q, want %q; stderr:\n%s", code, len(out), len(want), out[max(0, len(out)-160):], want[len(want)-160:], said)
			}
		})
	}
	// In parts that come slowly and are cut anywhere.
	each("dump/in-small-parts", func(t *testing.T, shell string) {
		script := `tap() { cat >"$WORK/tapped"; }
			stream tap sh -c 'seq 1 50000; sleep 1; seq 1 3; sleep 1; seq 1 2000000'
			cat "$WORK/tapped"`
		out, said, code, _ := streamed(t, shell, script, nil)
		if half := len(out) / 2; code != 0 || said != "" || out[:half] != out[half:] || strings.Count(out[:half], "\n") != 2050003 {
			t.Errorf("exit code %d, %d bytes, stderr:\n%s", code, len(out), said)
		}
	})
	big := fmt.Sprint("SIZE=", 3*piece+5)
	taps := map[string]struct {
		tap  string
		code int
		want string
	}{
		"ends-early":         {`head -c 10 >/dev/null`, 0, ""},
		"never-reads":        {`:`, 0, ""},
		"ends-late":          {`cat >/dev/null; sleep 2`, 0, ""},
		"is-slow":            {`sleep 2; cat >/dev/null`, 0, ""},
		"fails":              {`cat >/dev/null; return 1`, 65, "cannot be read"},
		"fails-early":        {`return 3`, 65, "cannot be read"},
		"fails-in-between":   {`head -c 9000000 >/dev/null; exit 3`, 65, "cannot be read"},
		"is-killed":          {`head -c 9000000 >/dev/null; kill -9 $(sh -c 'echo $PPID')`, 65, "cannot be read"},
		"ends-at-piece":      {`head -c 8388608 >/dev/null`, 0, ""},
		"ends-after-a-while": {`head -c 9000000 >/dev/null; sleep 1`, 0, ""},
	}
	for name, tap := range taps {
		each("tap/"+name, func(t *testing.T, shell string) {
			script := `tap() { ` + tap.tap + `; }
				stream tap sh -c 'seq 1 9999999 2>/dev/null | head -c "$SIZE"'
				: >"$WORK/losses"
				end_stream 1`
			out, said, code, took := streamed(t, shell, script, nil, big)
			if code != tap.code || !strings.Contains(said, tap.want) || took > 30*time.Second {
				t.Errorf("exit code %d after %s, stderr:\n%s", code, took, said)
			}
			whole := strings.HasSuffix(out, fmt.Sprintf("\n# holdfast: {\"unit\":\"kind/unit\",\"count\":1,\"bytes\":%d,\"losses\":[]}\n", 3*piece+5))
			if whole != (tap.code == 0) || !strings.HasPrefix(out, numbers(3*piece+5)) {
				t.Errorf("exit code %d, and the copy of %d bytes looks whole: %v", code, len(out), whole)
			}
		})
	}
	failures := map[string]struct {
		command string
		code    int
		want    string
		env     string
	}{
		"at-once":            {`echo no >&2; exit 3`, 69, "failed with exit code 3", ""},
		"in-the-middle":      {`seq 1 3000000; exit 3`, 69, "failed with exit code 3", ""},
		"at-the-end":         {`seq 1 9999999 | head -c 8388608; exit 3`, 69, "failed with exit code 3", ""},
		"is-killed":          {`seq 1 3000000; kill -9 $$`, 69, "137", ""},
		"after-its-deadline": {`seq 1 100; exec sleep 60`, 69, "did not end within 2 s", "HOLDFAST_DEADLINE=2"},
		"file-too-large":     {`seq 1 3000000`, 73, "scratch", "HOLDFAST_FILE_BYTES=4194304"},
	}
	for name, f := range failures {
		each("failure/"+name, func(t *testing.T, shell string) {
			script := `tap() { cat >/dev/null; }
				stream tap sh -c "$COMMAND"
				: >"$WORK/losses"
				end_stream 1`
			out, said, code, took := streamed(t, shell, script, nil, "COMMAND="+f.command, f.env)
			if code != f.code || !strings.Contains(said, f.want) || strings.Contains(out, "holdfast:") || took > 30*time.Second {
				t.Errorf("exit code %d after %s, stderr:\n%s", code, took, said)
			}
		})
	}
	each("failure/stdout-is-closed", func(t *testing.T, shell string) {
		for _, limit := range []int{0, 100, piece, piece + 1, 2 * piece} {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				buffer := make([]byte, 65536)
				for n := 0; n < limit; {
					m, err := r.Read(buffer[:min(len(buffer), limit-n)])
					if err != nil {
						break
					}
					n += m
				}
				_ = r.Close()
			}()
			_, said, code, took := streamed(t, shell, `tap() { cat >/dev/null; }
				stream tap sh -c 'seq 1 9999999 2>/dev/null | head -c "$SIZE"'
				: >"$WORK/losses"
				end_stream 1`, w, big)
			_ = w.Close()
			if code != 74 || took > 30*time.Second {
				t.Errorf("closed after %d: exit code %d after %s, stderr:\n%s", limit, code, took, said)
			}
		}
	})
	each("failure/stdout-is-full", func(t *testing.T, shell string) {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer full.Close()
		for _, size := range []int{1, piece, piece + 1} {
			_, said, code, _ := streamed(t, shell, `tap() { cat >/dev/null; }
				stream tap sh -c 'seq 1 9999999 2>/dev/null | head -c "$SIZE"'
				: >"$WORK/losses"
				end_stream 1`, full, fmt.Sprint("SIZE=", size))
			if code != 74 {
				t.Errorf("%d bytes: exit code %d, stderr:\n%s", size, code, said)
			}
		}
	})
	// A shell that waits for a pipeline acts on a signal at its end.
	each("failure/stopped", func(t *testing.T, shell string) {
		out, said, code, _ := streamed(t, shell, `tap() { cat >/dev/null; }
			PARENT=$$
			export PARENT
			stream tap sh -c 'seq 1 2000000; kill -TERM "$PARENT"; seq 1 2000000'
			: >"$WORK/losses"
			end_stream 1`, nil)
		if code != 143 || strings.Contains(out, "holdfast:") {
			t.Errorf("exit code %d, stderr:\n%s", code, said)
		}
	})
}
