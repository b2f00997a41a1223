package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// prologue is how a script begins that uses all of lib.
const prologue = `for lib in common losses content stream missing lock; do . "$HOLDFAST_ROOT/bin/$lib.sh"; done
begin
`

// library puts all scripts of lib into a folder's bin.
func library(t testing.TB, root string) {
	t.Helper()
	names, err := filepath.Glob("../templates/lib/*.sh")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d scripts: %v", len(names), err)
	}
	if err := os.Mkdir(filepath.Join(root, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "bin", filepath.Base(name)), text, 0o555); err != nil {
			t.Fatal(err)
		}
	}
}

// common runs a script that has sourced what lib has for dumps and restores, by a shell
// on this machine.
func common(t *testing.T, shell, script string, env ...string) (stdout, stderr string, code int) {
	t.Helper()
	root := t.TempDir()
	scratch := filepath.Join(root, "scratch")
	if err := os.Mkdir(scratch, 0o755); err != nil {
		t.Fatal(err)
	}
	library(t, root)
	argv := map[string][]string{"ash": {"../.cache/e2e/busybox", "ash"}, "dash": {"dash"}}[shell]
	cmd := exec.Command(argv[0], append(argv[1:], "-euc", prologue+script)...)
	cmd.Env = append(env, "HOLDFAST_ROOT="+root, "HOLDFAST_SCRATCH="+scratch, "HOLDFAST_UNIT=kind/unit", "PATH="+os.Getenv("PATH"))
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if exit := new(exec.ExitError); !errors.As(err, &exit) {
			t.Fatal(err)
		}
	}
	return out.String(), said.String(), cmd.ProcessState.ExitCode()
}

// eachShell runs a test with the shells of the images.
func eachShell(t *testing.T, name string, test func(t *testing.T, shell string)) {
	t.Helper()
	for _, shell := range []string{"ash", "dash"} {
		t.Run(name+"/"+shell, func(t *testing.T) {
			t.Parallel()
			test(t, shell)
		})
	}
}

// Names that a list of losses must not be confused by.
var hostileItems = []string{
	`plain`, `two words`, `it's "quoted"`, `back\slash\`, `"},{"loss":"owner","item":"x`, `","why":"`, `a\"b`, `$(id) %s * ?`,
	"é and \xff", `-n`, `]}`, `holdfast: {"unit":"u","count":1,"bytes":1}`,
}

// TestLosses holds what a dump says of what would not come back: refused, or accepted
// and named in the copy, from where the restore reads it again, letter by letter.
func TestLosses(t *testing.T) {
	t.Parallel()
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(copied, []byte("text\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	eachShell(t, "failure/refused", func(t *testing.T, shell string) {
		stdout, stderr, code := common(t, shell, `loss owner a.b 'belongs to c'; loss owner other 'belongs to d'; publish "$COPY" 1`,
			"COPY="+copied, "HOLDFAST_LOSSES=owner a.*\nname *\n")
		if code != 65 || stdout != "" || !strings.Contains(stderr, "  owner: other: belongs to d\n") || strings.Contains(stderr, "a.b") {
			t.Errorf("exit code %d, stdout %q, stderr:\n%s", code, stdout, stderr)
		}
	})
	for n, item := range hostileItems {
		eachShell(t, fmt.Sprintf("dump/named/%d", n), func(t *testing.T, shell string) {
			stdout, stderr, code := common(t, shell, `loss owner "$ITEM" "why: $ITEM"; loss name 'another' 'too'; publish "$COPY" 1`,
				"COPY="+copied, "ITEM="+item, "HOLDFAST_LOSSES=owner *\nname *\n")
			if code != 0 || !strings.HasPrefix(stdout, "text\n\n# holdfast: {\"unit\":\"kind/unit\",\"count\":1,\"bytes\":5,\"losses\":[{") {
				t.Fatalf("exit code %d, stdout %q, stderr:\n%s", code, stdout, stderr)
			}
			dump := filepath.Join(t.TempDir(), "input")
			if err := os.WriteFile(dump, []byte(stdout), 0o644); err != nil {
				t.Fatal(err)
			}
			script := `read_trailer "$HOLDFAST_INPUT"; cp "$WORK/copy.losses" "$HOLDFAST_INPUT.losses"; cat "$WORK/copy.losses"
				lost owner "$ITEM" || say 'it does not know its loss'
				! lost name "$ITEM" || say 'it knows a loss that is none'
				lost name another || say 'it does not know the second one'`
			list, said, code := common(t, shell, script, "HOLDFAST_INPUT="+dump, "ITEM="+item)
			if want := "owner\t" + item + "\twhy: " + item + "\nname\tanother\ttoo\n"; code != 0 || list != want || said != "" {
				t.Errorf("exit code %d, list\n%q, want\n%q, stderr:\n%s", code, list, want, said)
			}
		})
	}
	eachShell(t, "dump/control-characters", func(t *testing.T, shell string) {
		stdout, _, code := common(t, shell, `loss owner "$ITEM" "a
b"; publish "$COPY" 1`, "COPY="+copied, "ITEM=x\ty\nowner\tz\tw\x01", "HOLDFAST_LOSSES=owner x?y?owner?z?w?\n")
		if code != 0 || !strings.Contains(stdout, `{"loss":"owner","item":"x?y?owner?z?w?","why":"a?b"}]}`) {
			t.Errorf("exit code %d, stdout %q", code, stdout)
		}
	})
	eachShell(t, "dump/ten-thousand", func(t *testing.T, shell string) {
		stdout, stderr, code := common(t, shell, `awk 'BEGIN { for (i = 0; i < 10000; i++) print "owner\titem" i "\tis another one" }' >"$WORK/losses"
			clean_losses; settle_losses; publish "$COPY" 1`, "COPY="+copied, "HOLDFAST_LOSSES=name *\nowner item*\n")
		if code != 0 || strings.Count(stdout, `"loss":"owner"`) != 10000 {
			t.Errorf("exit code %d, %d losses, stderr:\n%s", code, strings.Count(stdout, `"loss":"owner"`), stderr)
		}
	})
	eachShell(t, "failure/more-than-a-trailer-holds", func(t *testing.T, shell string) {
		stdout, stderr, code := common(t, shell, `awk 'BEGIN { for (i = 0; i < 20000; i++) print "owner\titem" i "\tis another one than it was" }' >"$WORK/losses"
			publish "$COPY" 1`, "COPY="+copied, "HOLDFAST_LOSSES=owner *\n")
		if code != 65 || strings.Contains(stdout, "holdfast:") || !strings.Contains(stderr, "more losses than the copy can name") {
			t.Errorf("exit code %d, stderr:\n%.500s", code, stderr)
		}
	})
	eachShell(t, "restore/copies-of-before", func(t *testing.T, shell string) {
		dump := filepath.Join(t.TempDir(), "input")
		if err := os.WriteFile(dump, []byte("text\n\n# holdfast: {\"unit\":\"kind/unit\",\"count\":7,\"bytes\":5}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		stdout, stderr, code := common(t, shell, `read_trailer "$HOLDFAST_INPUT"; echo "$COPY_COUNT"; cat "$WORK/copy.losses"`, "HOLDFAST_INPUT="+dump)
		if code != 0 || stdout != "7\n" {
			t.Errorf("exit code %d, stdout %q, stderr:\n%s", code, stdout, stderr)
		}
	})
}

// TestMissing holds the end of a restore: what did not come back is named, and what the
// request leaves out is told.
func TestMissing(t *testing.T) {
	t.Parallel()
	eachShell(t, "restore/all-there", func(t *testing.T, shell string) {
		if _, stderr, code := common(t, shell, `! left_out x; settle_missing`, "HOLDFAST_LEAVE_OUT=y*\n"); code != 0 || stderr != "" {
			t.Errorf("exit code %d, stderr:\n%s", code, stderr)
		}
	})
	eachShell(t, "restore/left-out", func(t *testing.T, shell string) {
		_, stderr, code := common(t, shell, `left_out 'public.y 1'; settle_missing`, "HOLDFAST_LEAVE_OUT=other\npublic.y *\n")
		if code != 0 || !strings.Contains(stderr, "1 items were left out") || !strings.Contains(stderr, "  public.y 1\n") {
			t.Errorf("exit code %d, stderr:\n%s", code, stderr)
		}
	})
	eachShell(t, "failure/named", func(t *testing.T, shell string) {
		_, stderr, code := common(t, shell, `missing "a	b" 'the server said no'; missing c 'it is gone'; settle_missing`)
		if code != 65 || !strings.Contains(stderr, "2 items of the copy did not come back") || !strings.Contains(stderr, "  a?b: the server said no\n  c: it is gone\n") {
			t.Errorf("exit code %d, stderr:\n%s", code, stderr)
		}
	})
}
