// Table reads "go test -json" from stdin, tells on stderr what has ended, and
// prints a table of the kinds and what was checked of each. Its exit status is
// that of the tests.
//
//	go test -json . | go run ./table -write README.md
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
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
	r, err := read(os.Stdin, os.Stderr)
	if err == nil {
		_, err = fmt.Print(r.table())
	}
	if err == nil && *write != "" {
		err = rewrite(*write, r.table())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
	if r.failed {
		os.Exit(1)
	}
}

// event is one line of "go test -json".
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// results is what the tests did.
type results struct {
	// cells by kind and check.
	cells  map[string]map[string]cell
	failed bool
}

// cell is the outcome of one check of one kind.
type cell struct {
	outcome string // "pass" or "FAIL"
	reason  string // why it does not apply
}

// notApplicable is how harness.NotApplicable begins its message.
const notApplicable = "not applicable: "

// read takes the events, and reports each check when it has ended.
func read(from io.Reader, progress io.Writer) (*results, error) {
	r := &results{cells: map[string]map[string]cell{}}
	reasons := map[string]string{}
	said := map[string][]string{}
	lines := bufio.NewReader(from)
	ended := false
	for {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				// What is no event is the build's own complaint.
				fmt.Fprintf(progress, "%s", line)
			} else {
				ended = ended || e.Test == "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip")
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
	if !ended {
		return nil, errors.New("the tests did not end")
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
	if e.Action == "fail" || e.Action == "build-fail" {
		for _, line := range said[e.Test] {
			fmt.Fprint(progress, line)
		}
	}
	delete(said, e.Test)
	if check == "" || strings.Contains(e.Test[len("Test")+len(kind)+1+len(check):], "/") {
		return
	}
	c := cell{outcome: outcome, reason: reasons[e.Test]}
	if r.cells[kind] == nil {
		r.cells[kind] = map[string]cell{}
	}
	r.cells[kind][label(check)] = c
	word := outcome
	if c.reason != "" && outcome == "pass" {
		word = "n/a "
	}
	fmt.Fprintf(progress, "%s  %-20s %-40s %6.1f s\n", word, kind, label(check), e.Elapsed)
}

// split takes a test's name apart: TestPostgreSQL/failure/wrong_password is the
// kind "PostgreSQL" and the check "failure/wrong_password". What is below a check
// belongs to it.
func split(test string) (kind, check string) {
	parts := strings.Split(test, "/")
	kind = strings.TrimPrefix(parts[0], "Test")
	if len(parts) == 1 || len(parts) == 2 && parts[1] == "failure" {
		return kind, ""
	}
	if parts[1] == "failure" {
		return kind, strings.Join(parts[1:3], "/")
	}
	return kind, parts[1]
}

// label is a check as people read it.
func label(check string) string {
	return strings.ReplaceAll(strings.TrimPrefix(check, "failure/"), "_", " ")
}

// columns are the checks: those that all kinds have first, in a fixed order.
func (r *results) columns() []string {
	first := []string{"dump", "restore"}
	var columns []string
	for _, cells := range r.cells {
		for check := range cells {
			if !slices.Contains(columns, check) {
				columns = append(columns, check)
			}
		}
	}
	rank := func(check string) int {
		if at := slices.Index(first, check); at >= 0 {
			return at
		}
		return len(first)
	}
	slices.SortFunc(columns, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b)) })
	return columns
}

// table writes Markdown: a row for each kind, and footnotes.
func (r *results) table() string {
	var kinds []string
	for kind := range r.cells {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	columns := r.columns()
	var out strings.Builder
	fmt.Fprintf(&out, "| kind | %s |\n|---|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	var notes []string
	for _, kind := range kinds {
		fmt.Fprintf(&out, "| %s |", kind)
		for _, check := range columns {
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
