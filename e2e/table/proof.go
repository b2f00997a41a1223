package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// proof is the test/proof.json of a kind's folder: which tests of this module show
// that the kind works. A name stands for the test and for all that are below it.
type proof struct {
	// Dump, Restore, Empty and Failure are tests of a dump, of a restore that is
	// compared, of a source that is empty, and of all that may go wrong. None may be
	// missing.
	Dump    []string `json:"dump"`
	Restore []string `json:"restore"`
	Empty   []string `json:"empty"`
	Failure []string `json:"failure"`
	// Note says what the tests leave open.
	Note string `json:"note,omitempty"`
}

// aspects are what is to be proved of each kind, in the order of the columns.
func aspects() []string { return []string{"dump", "restore", "empty", "failure"} }

func (p proof) tests(aspect string) []string {
	return map[string][]string{"dump": p.Dump, "restore": p.Restore, "empty": p.Empty, "failure": p.Failure}[aspect]
}

// readProofs reads the proof of each kind's folder below these, by the kind's name, and
// lists what is wrong with them: a kind without one among it.
func readProofs(folders ...string) (map[string]proof, []string) {
	proofs, wrong := map[string]proof{}, []string{}
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			wrong = append(wrong, err.Error())
		}
		for _, entry := range entries {
			if !entry.IsDir() {
				continue
			}
			p, err := readProof(filepath.Join(folder, entry.Name(), "test", "proof.json"))
			if err != nil {
				wrong = append(wrong, fmt.Sprintf("kind %s: %v", entry.Name(), err))
				continue
			}
			proofs[entry.Name()] = p
		}
	}
	return proofs, wrong
}

func readProof(file string) (proof, error) {
	var p proof
	data, err := os.ReadFile(file)
	if err != nil {
		return p, fmt.Errorf("it has no proof: write test/proof.json, which names the tests of its scripts: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		return p, fmt.Errorf("test/proof.json: %w", err)
	}
	for _, aspect := range aspects() {
		if len(p.tests(aspect)) == 0 {
			return p, fmt.Errorf("test/proof.json: it names no test under %q", aspect)
		}
	}
	return p, nil
}

// of is what became of a test and those below it: "" if none of them ran.
func (r *results) of(name string) string {
	found := ""
	for test, outcome := range r.tests {
		if test != name && !strings.HasPrefix(test, name+"/") {
			continue
		}
		if found != "FAIL" {
			found = outcome
		}
	}
	return found
}

// proved writes a row for each kind, with what its proof names, and lists each proof
// that does not hold: a test that failed, or that no test is called so.
func (r *results) proved(proofs map[string]proof) (table string, gaps []string) {
	var out strings.Builder
	fmt.Fprintf(&out, "| kind | %s | tests |\n|---|%s---|\n", strings.Join(aspects(), " | "), strings.Repeat("---|", len(aspects())))
	for _, kind := range slices.Sorted(maps.Keys(proofs)) {
		p := proofs[kind]
		var rows []string
		fmt.Fprintf(&out, "| %s |", kind)
		for _, aspect := range aspects() {
			cell := "pass"
			for _, name := range p.tests(aspect) {
				if row, _ := split(name); !slices.Contains(rows, row) {
					rows = append(rows, row)
				}
				switch r.of(name) {
				case "pass":
				case "":
					cell = "FAIL"
					gaps = append(gaps, fmt.Sprintf("kind %s: %s: no test %s has run", kind, aspect, name))
				default:
					cell = "FAIL"
					gaps = append(gaps, fmt.Sprintf("kind %s: %s: %s has failed", kind, aspect, name))
				}
			}
			fmt.Fprintf(&out, " %s |", cell)
		}
		text := strings.Join(rows, ", ")
		if p.Note != "" {
			text += ": " + p.Note
		}
		fmt.Fprintf(&out, " %s |\n", text)
	}
	return out.String(), gaps
}
