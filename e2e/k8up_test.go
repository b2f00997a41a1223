package e2e_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

// TestK8up: what K8up calls instead of restic stores whole dumps only, and ends a
// job that has stored none.
func TestK8up(t *testing.T) {
	s3 := harness.S3(t, "backup")
	i := stored(t, s3.Restic("backup", ""))
	bootstrap(t, i, nil)
	path := i.Unit(t, ldapUnit).Expected[0].Path
	snapshots := func(t *testing.T) (ids []string) {
		t.Helper()
		var list []struct{ ID string }
		if err := json.Unmarshal([]byte(i.Restic(t, ldapUnit, "snapshots", "--json")), &list); err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			ids = append(ids, s.ID)
		}
		return ids
	}
	// What K8up calls, one after the other (cmd/restic/main.go): it lists the snapshots
	// before it begins, and again at its end. stdin ends well whatever has become of
	// the dump.
	// HUP ends it, though it is the container's first process: Go handles all signals.
	// It hears signals while it waits, but may be too busy to act upon them.
	const calls = `list() { "$RESTIC_BINARY" snapshots --json & wait $!; }
"$RESTIC_BINARY" init >/dev/null 2>&1; "$RESTIC_BINARY" unlock && list >/dev/null || exit
`
	const begin = "trap 'exit 2' HUP\n" + calls
	const backup = begin + `"$RESTIC_BINARY" backup --host app --json --stdin --stdin-filename "$DUMP_PATH" <"$DUMP" || exit
list >/dev/null; exit 0`
	run := func(t *testing.T, shell, script string, dump []byte) harness.Result {
		t.Helper()
		return i.K8up(t, ldapUnit, script, harness.Options{
			Image: harness.Image{Shell: shell},
			Env:   map[string]string{"DUMP": "/holdfast/files/dump", "DUMP_PATH": path},
			Files: map[string][]byte{"dump": dump},
		})
	}
	large := trailed(bytes.Repeat([]byte("description: a line of a dump\x00\xff\n"), 300_000))
	for name, dump := range map[string][]byte{
		"small": ldifDump, "large": large, "json": []byte("{\"a\": 1}\n{\"holdfast\": {\"unit\":\"u\",\"count\":1,\"bytes\":9,\"losses\":[]}}\n"),
	} {
		for _, shell := range []string{"ash", "dash"} {
			t.Run("dump/"+name+"/"+shell, func(t *testing.T) {
				before := len(snapshots(t))
				if r := run(t, shell, backup, dump); r.Code != 0 {
					t.Fatalf("it ended with %d:\n%s", r.Code, r.Stderr)
				}
				ids := snapshots(t)
				if len(ids) != before+1 {
					t.Fatalf("%d snapshots were stored, not one", len(ids)-before)
				}
				if got := i.Restic(t, ldapUnit, "dump", ids[len(ids)-1], path); got != string(dump) {
					t.Errorf("of %d bytes %d came back, or others", len(dump), len(got))
				}
			})
		}
	}
	for name, dump := range map[string][]byte{
		"empty":                 nil,
		"one-line":              []byte("\n"),
		"without-its-trailer":   ldifText,
		"with-half-its-trailer": ldifDump[:len(ldifDump)-6],
		"cut":                   large[:len(large)/2],
		"with-more-after-it":    append(bytes.Clone(ldifDump), "more\n"...),
	} {
		t.Run("truncated/"+name, func(t *testing.T) {
			before := len(snapshots(t))
			r := run(t, "", backup, dump)
			if r.Code == 0 || !strings.Contains(r.Stderr+string(r.Stdout), "the dump did not end well") {
				t.Errorf("it ended with %d:\n%s", r.Code, r.Stderr)
			}
			if left := len(snapshots(t)) - before; left != 0 {
				t.Errorf("%d snapshots were stored", left)
			}
		})
	}
	t.Run("failure/no-dump", func(t *testing.T) {
		r := run(t, "", begin+`list; exit 0`, nil)
		if r.Code == 0 || !strings.Contains(r.Stderr, "nothing was stored: the pod e2e-ldap-directory-") {
			t.Errorf("it ended with %d:\n%s", r.Code, r.Stderr)
		}
	})
	t.Run("failure/no-dump-and-deaf", func(t *testing.T) {
		r := run(t, "", "trap '' HUP; trap 'exit 2' ABRT\n"+calls+`list; exit 0`, nil)
		if r.Code == 0 || strings.Count(r.Stderr, "nothing was stored") != 1 {
			t.Errorf("it ended with %d:\n%s", r.Code, r.Stderr)
		}
	})
	// What a first attempt left in /tmp, which failed after it had begun.
	t.Run("dump/in-the-second-attempt", func(t *testing.T) {
		before := len(snapshots(t))
		r := run(t, "", `(`+begin+`) && `+backup, ldifDump)
		if left := len(snapshots(t)) - before; r.Code != 0 || left != 1 {
			t.Errorf("it ended with %d, and %d snapshots were stored:\n%s", r.Code, left, r.Stderr)
		}
	})
	t.Run("failure/no-dump-again", func(t *testing.T) {
		r := run(t, "", `(`+begin+`) && `+begin+`list; exit 0`, nil)
		if r.Code == 0 || strings.Count(r.Stderr, "nothing was stored") != 1 {
			t.Errorf("it ended with %d:\n%s", r.Code, r.Stderr)
		}
	})
	// What goes to restic may be cut although the end of the dump was seen: a socket
	// cannot be opened by its name.
	for name, shell := range map[string][]string{"ash": {harness.Program(t, "busybox"), "ash"}, "dash": {"dash"}} {
		t.Run("failure/cannot-be-handed-over/"+name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "dump")
			if err := os.WriteFile(file, ldifDump, 0o600); err != nil {
				t.Fatal(err)
			}
			pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
			if err != nil {
				t.Fatal(err)
			}
			dump, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer dump.Close()
			ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
			defer ours.Close()
			defer theirs.Close()
			cmd := exec.Command(shell[0], append(shell[1:], "../templates/lib/whole.sh")...)
			cmd.Stdout, cmd.ExtraFiles = theirs, []*os.File{dump, dump, os.Stderr}
			if err := cmd.Run(); err == nil {
				t.Error("it ended well, and handed nothing over")
			}
		})
	}
	// K8up gives up where restic fails. One that went on would not end well either.
	t.Run("failure/not-stored-and-listed", func(t *testing.T) {
		r := run(t, "", begin+`"$RESTIC_BINARY" backup --host app --json --stdin --stdin-filename "$DUMP_PATH" <"$DUMP"
list; exit 0`, ldifText)
		if r.Code == 0 || !strings.Contains(r.Stderr, "nothing was stored") {
			t.Errorf("it ended with %d:\n%s", r.Code, r.Stderr)
		}
	})
	t.Run("failure/wrong-password", func(t *testing.T) {
		r := run(t, "", `RESTIC_PASSWORD=other; `+backup, ldifDump)
		if r.Code == 0 || !strings.Contains(r.Stderr, "wrong password") {
			t.Errorf("it ended well:\n%s", r.Stderr)
		}
	})
	// What the job of a claim calls; TARGET_PODS is the pod that mounts it.
	t.Run("dump/of-a-claim", func(t *testing.T) {
		before := len(snapshots(t))
		r := run(t, "", begin+`"$RESTIC_BINARY" backup --host app --json /holdfast/files && "$RESTIC_BINARY" snapshots --json`, ldifDump)
		if left := len(snapshots(t)) - before; r.Code != 0 || left != 1 {
			t.Errorf("it ended with %d, and %d snapshots were stored:\n%s", r.Code, left, r.Stderr)
		}
	})
	// One of checks or prunes stores nothing.
	t.Run("dump/of-a-check", func(t *testing.T) {
		r := run(t, "", `unset TARGET_PODS; `+begin+`"$RESTIC_BINARY" snapshots --json && "$RESTIC_BINARY" check`, nil)
		if r.Code != 0 {
			t.Errorf("it ended with %d:\n%s", r.Code, r.Stderr)
		}
	})
}
