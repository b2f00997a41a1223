package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // schedules are in zones that the machine need not know

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer/coverage"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// maxListing is what is read of a listing: more than any cluster's, and never a whole disk.
const maxListing = 1 << 30

// coverageOptions are the flags of coverage.
type coverageOptions struct {
	sources
	live, stored manyPaths
	commands     bool
	grace        time.Duration
	at           string
	output       oneOf
}

// newCoverage is the command that looks for what nobody backs up.
func newCoverage(c console) *cli.Command {
	o := &coverageOptions{output: oneOf{words: []string{"text", "json", "markdown", "junit"}}}
	return &cli.Command{
		Name:      "coverage",
		Usage:     "hold the plan against what lives and what is stored, and list what is missing on either side",
		UsageText: "holdfast coverage -s STATE -c CREDENTIALS [-p POLICY] --live FILE… [--stored FILE…] [--output FORMAT]",
		Description: "Listings say what lives and what is stored: --commands prints the commands that make\n" +
			"them. Nothing is connected to, and of Secrets only names and keys are read.\n\n" +
			"A gap is something that lives and no plan has, that is planned and gone, whose newest\n" +
			"copy is missing, late or too small, or a copy of which no plan knows. With a gap the\n" +
			"exit status is 3. Places of which no listing was given are named, and not green.",
		Flags: append(append(o.sources.flags(), o.withoutValuesFlag()),
			&cli.GenericFlag{Name: "live", Value: &o.live, Usage: "`FILE` that kubectl get --output json wrote, or PLACE=FILE with names, one a line; may be repeated"},
			&cli.GenericFlag{Name: "stored", Value: &o.stored, Usage: "`REPOSITORY=FILE` that restic snapshots --json wrote; may be repeated"},
			&cli.BoolFlag{Name: "commands", Destination: &o.commands, DisableDefaultText: true, Usage: "print the commands that make the listings, and compare nothing"},
			&cli.DurationFlag{Name: "grace", Destination: &o.grace, Value: 24 * time.Hour, Usage: "how old something may be without a plan, as a `DURATION` such as 24h"},
			&cli.StringFlag{Name: "at", Destination: &o.at, Usage: "`TIME` at which the listings were made, in RFC 3339; now if it is not given"},
			&cli.GenericFlag{Name: "output", Value: &o.output, Usage: "`FORMAT` of what goes to stdout: text, json, markdown (a table) or junit (XML)"},
		),
		Action: func(*cli.Context) error { return runCoverage(c, o) },
	}
}

// coverageResult is what coverage prints with --output json.
type coverageResult struct {
	// At is when the listings were made, in RFC 3339.
	At      string            `json:"at"`
	Sources []coverage.Source `json:"sources"`
	// Problems are the gaps.
	Problems    problem.List `json:"problems"`
	NotLookedAt []string     `json:"notLookedAt"`
}

func runCoverage(c console, o *coverageOptions) error {
	now, err := timeOf(o.at)
	if err != nil {
		return err
	}
	if len(o.live) == 0 && len(o.stored) == 0 && !o.commands {
		return usageError{"coverage needs --live or --stored", "holdfast coverage --commands -s … -c … prints the commands that make the listings"}
	}
	r, err := o.renderer()
	if err != nil {
		return err
	}
	in, err := o.read(c, "coverage")
	if err != nil {
		return err
	}
	planned, err := r.Plan(in)
	if err != nil {
		return err
	}
	plans := plansOf(planned)
	if o.commands {
		return c.print(strings.Join(coverage.Commands(plans), "\n") + "\n")
	}
	live, stored, err := o.listings(c, plans, now)
	if err != nil {
		return err
	}
	found := coverage.Compare(plans, live, stored, coverage.Options{Now: now, Grace: o.grace})
	result := coverageResult{
		At: now.UTC().Format(time.RFC3339), Sources: append([]coverage.Source{}, found.Sources...),
		Problems: append(problem.List{}, found.Gaps...), NotLookedAt: append([]string{}, found.NotLookedAt...),
	}
	if err := o.print(c, result); err != nil || len(found.Gaps) == 0 {
		return err
	}
	return gaps{found.Gaps}
}

// listings reads what --live and --stored name.
func (o *coverageOptions) listings(c console, plans []*plan.Plan, now time.Time) (*coverage.Live, *coverage.Stored, error) {
	live, err := coverage.NewLive(plans)
	if err != nil {
		return nil, nil, err
	}
	stored := coverage.NewStored()
	r := reader{stdin: c.in, secrets: c.secrets}
	var problems problem.List
	note := func(err error) error {
		var list problem.List
		if errors.As(err, &list) {
			problems = append(problems, list...)
			return nil
		}
		return err
	}
	for _, value := range o.live {
		place, file := placeOf(value)
		name, text, err := r.bytes(file, maxListing)
		if err == nil && place == "" {
			err = note(live.AddKubernetes(name, text, now))
		} else if err == nil {
			err = note(live.AddNames(place, name, text))
		}
		if err != nil {
			return nil, nil, err
		}
	}
	for _, value := range o.stored {
		place, file := placeOf(value)
		if place == "" {
			return nil, nil, usageError{fmt.Sprintf("--stored %s: expected REPOSITORY=FILE", value), "holdfast coverage --commands prints it as it must be"}
		}
		name, text, err := r.bytes(file, maxListing)
		if err == nil {
			err = note(stored.Add(place, name, text))
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if len(problems) > 0 {
		return nil, nil, problems.Sorted()
	}
	return live, stored, nil
}

// placeOf parts PLACE=FILE. A place is an address with a slash in it, which no file's
// name has before its first "=" unless it is a path with one.
func placeOf(value string) (place, file string) {
	at := strings.LastIndex(value, "=")
	if at < 0 || !strings.Contains(value[:at], ":") {
		return "", value
	}
	return value[:at], value[at+1:]
}

// print writes the result to stdout.
func (o *coverageOptions) print(c console, result coverageResult) error {
	switch o.output.String() {
	case "json":
		return c.printJSON(result)
	case "markdown":
		return c.print(coverageMarkdown(result))
	case "junit":
		text, err := coverageJUnit(result)
		if err != nil {
			return err
		}
		return c.print(text)
	}
	return c.print(coverageText(result))
}

// coverageText is the summary for people; the gaps go to stderr.
func coverageText(result coverageResult) string {
	var b screen
	number := map[coverage.Verdict]int{}
	for _, s := range result.Sources {
		number[s.Verdict]++
	}
	b.table([]string{"SOURCE", "IS", "BECAUSE"}, len(result.Sources), func(n int) []string {
		s := result.Sources[n]
		return []string{problem.Printable(s.Name), string(s.Verdict), problem.Printable(cmp.Or(s.Reason, whose(s)))}
	})
	var counts []string
	for _, v := range coverage.Verdicts() {
		if number[v] > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", number[v], v))
		}
	}
	fmt.Fprintf(&b.Builder, "%s\n", cmp.Or(strings.Join(counts, ", "), "nothing lives, and nothing is planned"))
	for _, place := range result.NotLookedAt {
		fmt.Fprintf(&b.Builder, "not looked at: %s\n", problem.Printable(place))
	}
	return b.String()
}

// whose names the unit that backs a source up.
func whose(s coverage.Source) string {
	if s.Unit == "" {
		return ""
	}
	return s.Instance + ": " + s.Unit
}

// coverageMarkdown is a table for a pull request or a wiki.
func coverageMarkdown(result coverageResult) string {
	var b strings.Builder
	cell := strings.NewReplacer("|", `\|`, "`", "'")
	b.WriteString("| source | is | because |\n|---|---|---|\n")
	for _, s := range result.Sources {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", cell.Replace(problem.Printable(s.Name)), s.Verdict, cell.Replace(problem.Printable(cmp.Or(s.Reason, whose(s)))))
	}
	for _, place := range result.NotLookedAt {
		fmt.Fprintf(&b, "| `%s` | **not looked at** | |\n", cell.Replace(problem.Printable(place)))
	}
	return b.String()
}

// coverageJUnit writes one test for each source; what was not looked at is skipped.
func coverageJUnit(result coverageResult) (string, error) {
	suite := junitSuite{Name: "holdfast coverage"}
	for _, s := range result.Sources {
		test := junitCase{Class: string(s.Verdict), Name: problem.Printable(s.Name), Out: problem.Printable(cmp.Or(s.Reason, whose(s)))}
		if s.Verdict.Gap() {
			suite.Failures++
			test.Failure, test.Out = &junitFailure{Message: test.Out, Text: test.Name + "\n" + test.Out}, ""
		}
		suite.Cases = append(suite.Cases, test)
	}
	for _, place := range result.NotLookedAt {
		suite.Skipped++
		suite.Cases = append(suite.Cases, junitCase{Class: "not looked at", Name: problem.Printable(place), Skipped: &junitSkipped{"there is no listing of it"}})
	}
	return suite.text()
}
