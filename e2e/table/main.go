// Table runs the end-to-end tests, tells on stderr what has ended, and prints what
// proves each kind (test/proof.json of its folder) and a table of what was checked. A
// kind without a proof, or with one that does not hold, is a failure. Its exit status is that of
// the tests. Arguments are groups of tests that run side by side, as regular
// expressions; what none matches is one more group. Without arguments it reads
// "go test -json" from stdin.
//
//	go run ./table -write README.md 'Lock|Kubernetes' 'Bucket'
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The markers between which the table stands in its file.
const (
	begin = "<!-- table: begin -->"
	end   = "<!-- table: end -->"
)

func main() {
	write := flag.String("write", "", "rewrite the table between the markers of `FILE`")
	flag.Parse()
	events, groups := io.Reader(os.Stdin), 1
	if flag.NArg() > 0 {
		events, groups = tests(flag.Args()), flag.NArg()+1
	}
	proofs, wrong := readProofs(kindFolders(".")...)
	r, err := read(events, groups, os.Stderr)
	var text string
	if err == nil {
		var gaps []string
		text, gaps = r.proved(proofs)
		wrong = append(wrong, gaps...)
		text += "\n" + r.table()
		_, err = fmt.Print(text)
	}
	if err == nil && *write != "" {
		err = rewrite(*write, text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
	for _, message := range wrong {
		fmt.Fprintln(os.Stderr, "table:", message)
		r.failed = true
	}
	for _, gap := range r.gaps() {
		fmt.Fprintln(os.Stderr, "table: neither a test nor a reason why it does not apply:", gap)
		r.failed = true
	}
	if r.failed {
		os.Exit(1)
	}
}

// kindFolders are where kinds are, seen from the module's folder: the built-in ones, and
// those of the example that shows how to write one.
func kindFolders(module string) []string {
	return []string{filepath.Join(module, "..", "templates", "kinds"), filepath.Join(module, "..", "examples", "custom-kind", "kinds")}
}

// event is one line of "go test -json".
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// results is what the tests did.
type results struct {
	// cells by kind and check.
	cells map[string]map[string]cell
	// tests are the outcomes by the tests' full names.
	tests  map[string]string
	failed bool
}

// cell is the outcome of one check of one kind.
type cell struct {
	outcome string // "pass" or "FAIL"
	reason  string // why it does not apply
}

// notApplicable is how harness.NotApplicable begins its message.
const notApplicable = "not applicable: "

// read takes the events of so many runs, and reports each check when it has
// ended.
func read(from io.Reader, runs int, progress io.Writer) (*results, error) {
	r := &results{cells: map[string]map[string]cell{}, tests: map[string]string{}}
	reasons := map[string]string{}
	said := map[string][]string{}
	lines := bufio.NewReader(from)
	ended := 0
	for {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				// What is no event is the build's own complaint.
				fmt.Fprintf(progress, "%s", line)
			} else {
				if e.Test == "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip") {
					ended++
				}
				r.take(e, reasons, said, progress)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if ended != runs {
		return nil, fmt.Errorf("%d of %d runs of the tests ended", ended, runs)
	}
	return r, nil
}

// take works on one event.
func (r *results) take(e event, reasons map[string]string, said map[string][]string, progress io.Writer) {
	switch e.Action {
	case "output", "build-output":
		said[e.Test] = append(said[e.Test], e.Output)
		if _, reason, ok := strings.Cut(e.Output, notApplicable); ok {
			reasons[e.Test] = strings.TrimSpace(reason)
		}
		return
	case "pass", "skip":
	case "fail", "build-fail":
		r.failed = true
	default:
		return
	}
	kind, check := split(e.Test)
	outcome := "pass"
	if e.Action != "pass" {
		// A skipped test has proved nothing.
		outcome = "FAIL"
		if e.Action == "skip" && e.Test != "" {
			r.failed = true
		}
	}
	if e.Test != "" {
		r.tests[e.Test] = outcome
	}
	if e.Action == "fail" || e.Action == "build-fail" {
		for _, line := range said[e.Test] {
			fmt.Fprint(progress, line)
		}
	}
	delete(said, e.Test)
	if check == "" {
		return
	}
	c := cell{outcome: outcome, reason: reasons[e.Test]}
	if r.cells[kind] == nil {
		r.cells[kind] = map[string]cell{}
	}
	r.cells[kind][check] = r.cells[kind][check].and(c)
	word := outcome
	if c.reason != "" && outcome == "pass" {
		word = "n/a "
	}
	fmt.Fprintf(progress, "%s  %-60s %6.1f s\n", word, strings.TrimPrefix(e.Test, "Test"), e.Elapsed)
}

// and joins what several tests say of one check: one that fails is enough, and
// one that applies outweighs those that do not.
func (c cell) and(other cell) cell {
	switch {
	case c.outcome == "" || other.outcome == "FAIL":
		return other
	case c.outcome == "FAIL" || other.reason != "":
		return c
	}
	return other
}

// split takes a test's name apart: TestPostgreSQL/failure/wrong_password is the
// kind "PostgreSQL" and the check "wrong password". What is below a check
// belongs to it, in whichever shell it ran.
func split(test string) (kind, check string) {
	parts := strings.Split(test, "/")
	kind = strings.TrimPrefix(parts[0], "Test")
	at := 1
	if len(parts) > 1 && parts[1] == "failure" {
		at = 2
	}
	if len(parts) <= at {
		return kind, ""
	}
	check = words(parts[at])
	if at == 1 && len(parts) > 2 && words(parts[2]) == "allowed empty" {
		check = "allowed empty"
	}
	return kind, check
}

// words is a check as people read it; what tests call differently has one name.
func words(name string) string {
	name = strings.ToLower(strings.NewReplacer("_", " ", "-", " ").Replace(name))
	name = strings.TrimSuffix(strings.TrimSuffix(name, " (ash)"), " (dash)")
	switch {
	case strings.HasPrefix(name, "server gone after"):
		return "server gone in the middle"
	case name == "deadline", name == "hanging server":
		return "slow"
	case name == "hostile name":
		return "hostile names"
	case name == "tls":
		return "wrong ca"
	}
	return name
}

// columns are the checks that every kind should have.
func columns() []string {
	return []string{
		"dump", "restore", "allowed empty", "wrong password", "server gone before", "server gone in the middle",
		"permission denied", "empty", "truncated", "disk full", "slow", "wrong ca", "hostile names", "locked",
	}
}

// parts are how tests of what the kinds share begin: they have no row, for most
// columns mean nothing to them.
var parts = []string{"Data", "Flux", "K8up", "Lock", "Losses", "Missing", "Preflight", "Repository", "Stream", "Verify"}

// kinds lists the rows.
func (r *results) kinds() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(r.cells)), func(kind string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.HasPrefix(kind, part) })
	})
}

// gaps names each cell that no test filled.
func (r *results) gaps() []string {
	var gaps []string
	for _, kind := range r.kinds() {
		for _, check := range columns() {
			if r.cells[kind][check].outcome == "" {
				gaps = append(gaps, kind+": "+check)
			}
		}
	}
	return gaps
}

// table writes Markdown: a row for each kind, footnotes, and what else was
// checked of each and of what they share.
func (r *results) table() string {
	kinds := r.kinds()
	var out strings.Builder
	fmt.Fprintf(&out, "| kind | %s |\n|---|%s\n", strings.Join(columns(), " | "), strings.Repeat("---|", len(columns())))
	var notes []string
	for _, kind := range kinds {
		fmt.Fprintf(&out, "| %s |", kind)
		for _, check := range columns() {
			fmt.Fprintf(&out, " %s |", r.cells[kind][check].text(&notes))
		}
		out.WriteString("\n")
	}
	for n, note := range notes {
		if n == 0 {
			out.WriteString("\n")
		}
		fmt.Fprintf(&out, "%d. %s\n", n+1, note)
	}
	out.WriteString("\nChecked beside these, and of what the kinds share:\n\n")
	for _, kind := range slices.Sorted(maps.Keys(r.cells)) {
		var more []string
		for _, check := range slices.Sorted(maps.Keys(r.cells[kind])) {
			if slices.Contains(kinds, kind) && slices.Contains(columns(), check) {
				continue
			}
			if text := r.cells[kind][check].outcome; text != "pass" {
				check += " (" + text + ")"
			}
			more = append(more, check)
		}
		if len(more) > 0 {
			fmt.Fprintf(&out, "- %s: %s\n", kind, strings.Join(more, ", "))
		}
	}
	return out.String()
}

// text is a cell as it is printed; its reason becomes a footnote.
func (c cell) text(notes *[]string) string {
	switch {
	case c.outcome == "":
		return ""
	case c.outcome == "pass" && c.reason != "":
		at := slices.Index(*notes, c.reason)
		if at < 0 {
			at = len(*notes)
			*notes = append(*notes, c.reason)
		}
		return fmt.Sprintf("n/a (%d)", at+1)
	}
	return c.outcome
}

// rewrite puts the table between the markers of a file.
func rewrite(file, table string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(data), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s lacks the markers %s and %s", file, begin, end)
	}
	return os.WriteFile(file, []byte(before+begin+"\n"+table+end+after), 0o644)
}
