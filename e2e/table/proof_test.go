package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestProofs: each kind has a proof, and each test that one names is one of ours.
func TestProofs(t *testing.T) {
	proofs, wrong := readProofs(kindFolders("..")...)
	for _, message := range wrong {
		t.Error(message)
	}
	if len(proofs) < 11 || len(proofs["redis"].Restore) == 0 {
		t.Errorf("only these kinds have one: %v", proofs)
	}
	var source strings.Builder
	files, err := filepath.Glob("../*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(data)
	}
	for kind, p := range proofs {
		for _, aspect := range aspects() {
			for _, name := range p.tests(aspect) {
				function, _, _ := strings.Cut(name, "/")
				if !regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(function) + `\(`).MatchString(source.String()) {
					t.Errorf("kind %s: %s: there is no test %s", kind, aspect, function)
				}
			}
		}
	}
}

// TestReadProof: what is wrong with a proof is said.
func TestReadProof(t *testing.T) {
	whole := `{"dump": ["TestA/dump"], "restore": ["TestA/restore"], "empty": ["TestA/failure/empty"], "failure": ["TestA/failure"]}`
	for name, c := range map[string]struct{ text, says string }{
		"whole":           {whole, ""},
		"none":            {"", "kind mine: it has no proof"},
		"another word":    {strings.Replace(whole, "empty", "emty", 1), `unknown field "emty"`},
		"no restore":      {strings.Replace(whole, `"TestA/restore"`, "", 1), `it names no test under "restore"`},
		"not what it was": {"[]", "cannot unmarshal array"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, "mine", "test"), 0o755); err != nil {
				t.Fatal(err)
			}
			if c.text != "" {
				if err := os.WriteFile(filepath.Join(dir, "mine", "test", "proof.json"), []byte(c.text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			_, wrong := readProofs(dir)
			if got := strings.Join(wrong, "\n"); (got != "") != (c.says != "") || !strings.Contains(got, c.says) {
				t.Errorf("it says %q, not %q", got, c.says)
			}
		})
	}
}

// TestProved: a proof holds if each of its tests has run and passed.
func TestProved(t *testing.T) {
	r, err := read(strings.NewReader(events), 1, &strings.Builder{})
	if err != nil {
		t.Fatal(err)
	}
	table, gaps := r.proved(map[string]proof{
		"one": {Dump: []string{"TestVolume/dump"}, Restore: []string{"TestMariaDB/restore"}, Empty: []string{"TestLock"}, Failure: []string{"TestMariaDB/failure/disk_full"}, Note: "in part"},
		"two": {Dump: []string{"TestMariaDB/dump"}, Restore: []string{"TestMariaDB/rest"}, Empty: []string{"TestLock/empty"}, Failure: []string{"TestMariaDB/failure"}},
	})
	if want := "| kind | dump | restore | empty | failure | tests |\n|---|---|---|---|---|---|\n" +
		"| one | pass | pass | pass | pass | Volume, MariaDB, Lock: in part |\n| two | FAIL | FAIL | pass | FAIL | MariaDB, Lock |\n"; table != want {
		t.Errorf("the table is\n%s\nnot\n%s", table, want)
	}
	if want := []string{"kind two: dump: TestMariaDB/dump has failed", "kind two: restore: no test TestMariaDB/rest has run", "kind two: failure: TestMariaDB/failure has failed"}; !slices.Equal(gaps, want) {
		t.Errorf("the gaps are %q", gaps)
	}
}
