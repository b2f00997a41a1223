package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const events = `{"Action":"start","Package":"e2e"}
{"Action":"run","Package":"e2e","Test":"TestVolume/dump"}
{"Action":"output","Package":"e2e","Test":"TestVolume/dump","Output":"    volume_test.go:9: not applicable: K8up reads it\n"}
{"Action":"pass","Package":"e2e","Test":"TestVolume/dump","Elapsed":0}
{"Action":"pass","Package":"e2e","Test":"TestVolume","Elapsed":0}
{"Action":"pass","Package":"e2e","Test":"TestMariaDB/failure/disk_full/ash","Elapsed":0.5}
{"Action":"pass","Package":"e2e","Test":"TestMariaDB/failure/disk_full","Elapsed":1.25}
{"Action":"output","Package":"e2e","Test":"TestMariaDB/failure/wrong_CA","Output":"it passed\n"}
{"Action":"fail","Package":"e2e","Test":"TestMariaDB/failure/wrong_CA","Elapsed":2}
{"Action":"fail","Package":"e2e","Test":"TestMariaDB/failure","Elapsed":3}
{"Action":"pass","Package":"e2e","Test":"TestMariaDB/restore","Elapsed":1}
{"Action":"fail","Package":"e2e","Test":"TestMariaDB/failure/server_gone_after_500_bytes","Elapsed":1}
{"Action":"pass","Package":"e2e","Test":"TestMariaDB/failure/server_gone_after_9000_bytes","Elapsed":1}
{"Action":"pass","Package":"e2e","Test":"TestMariaDB/failure/odd-thing/ash","Elapsed":1}
{"Action":"skip","Package":"e2e","Test":"TestMariaDB/dump","Elapsed":1}
{"Action":"pass","Package":"e2e","Test":"TestLock/empty","Elapsed":1}
{"Action":"pass","Package":"e2e","Test":"TestPreflightContracts/k8up/ash","Elapsed":1}
{"Action":"fail","Package":"e2e","Elapsed":9}
`

const want = `| kind | dump | restore | allowed empty | wrong password | server gone before | server gone in the middle | permission denied | empty | truncated | disk full | slow | wrong ca | hostile names | locked |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
| MariaDB | FAIL | pass |  |  |  | FAIL |  |  |  | pass |  | FAIL |  |  |
| Volume | n/a (1) |  |  |  |  |  |  |  |  |  |  |  |  |  |

1. K8up reads it

Checked beside these, and of what the kinds share:

- Lock: empty
- MariaDB: odd thing
- PreflightContracts: k8up
`

func TestTable(t *testing.T) {
	var progress strings.Builder
	r, err := read(strings.NewReader(events), 1, &progress)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.table(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if !r.failed {
		t.Error("the failure is lost")
	}
	if gaps := r.gaps(); len(gaps) != 22 || gaps[0] != "MariaDB: allowed empty" || gaps[21] != "Volume: locked" {
		t.Errorf("gaps: %q", gaps)
	}
	for _, line := range []string{"n/a   Volume/dump ", "pass  MariaDB/failure/disk_full ", " 1.2 s", "it passed", "FAIL  MariaDB/dump "} {
		if !strings.Contains(progress.String(), line) {
			t.Errorf("progress lacks %q:\n%s", line, progress.String())
		}
	}
}

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		name, events string
		failed, bad  bool
	}{
		{name: "all passed", events: `{"Action":"pass","Test":"TestA/dump"}` + "\n" + `{"Action":"pass","Package":"e2e"}`},
		{name: "one skipped", events: `{"Action":"skip","Test":"TestA/dump"}` + "\n" + `{"Action":"pass","Package":"e2e"}`, failed: true},
		{name: "one failed", events: `{"Action":"fail","Test":"TestA/dump"}` + "\n" + `{"Action":"fail","Package":"e2e"}`, failed: true},
		{name: "no build", events: "x.go:1: syntax error\n" + `{"Action":"build-fail"}` + "\n" + `{"Action":"fail","Package":"e2e"}`, failed: true},
		{name: "cut", events: `{"Action":"pass","Test":"TestA/dump"}`, bad: true},
		{name: "nothing", bad: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := read(strings.NewReader(c.events), 1, &strings.Builder{})
			if c.bad != (err != nil) {
				t.Fatalf("error %v", err)
			}
			if err == nil && r.failed != c.failed {
				t.Errorf("failed: %v", r.failed)
			}
		})
	}
}

func TestRewrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "README.md")
	for _, c := range []struct{ name, before, after string }{
		{"replaced", "# A\n" + begin + "\nold\n" + end + "\nrest\n", "# A\n" + begin + "\n| new |\n" + end + "\nrest\n"},
		{"no markers", "# A\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(c.before), 0o644); err != nil {
				t.Fatal(err)
			}
			err := rewrite(file, "| new |\n")
			got, readErr := os.ReadFile(file)
			if readErr != nil {
				t.Fatal(readErr)
			}
			if c.after == "" {
				if err == nil || string(got) != c.before {
					t.Errorf("error %v, file %q", err, got)
				}
				return
			}
			if err != nil || string(got) != c.after {
				t.Errorf("error %v, got %q", err, got)
			}
		})
	}
}
