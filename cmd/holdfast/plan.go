package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/plan"
)

// planOptions are the flags of plan.
type planOptions struct {
	sources
	output format
}

// newPlan is the command that shows what is decided.
func newPlan(c console) *cli.Command {
	o := &planOptions{}
	return &cli.Command{
		Name:      "plan",
		Usage:     "show what is backed up, when, how long it is kept, and what is not",
		UsageText: "holdfast plan -s STATE -c CREDENTIALS [-p POLICY] [--output json]",
		Description: "The table is for people and may change. --output json is the object of plan.json\n" +
			"for one instance, and an array of them, sorted by instance, for several.",
		Flags:  append(o.sources.flags(), o.withoutValuesFlag(), o.output.flag()),
		Action: func(*cli.Context) error { return runPlan(c, o) },
	}
}

func runPlan(c console, o *planOptions) error {
	r, err := o.renderer()
	if err != nil {
		return err
	}
	in, err := o.read(c, "plan")
	if err != nil {
		return err
	}
	planned, err := r.Plan(in)
	if err != nil {
		return err
	}
	warnExpiry(c, planned)
	if in.WithoutValues {
		c.note("holdfast: %s", notLookedAt)
	}
	if !o.output.json {
		texts := make([]string, len(planned))
		for i, p := range planned {
			texts[i] = planText(p)
		}
		return c.print(strings.Join(texts, "\n"))
	}
	plans := make([]*plan.Plan, len(planned))
	for i, p := range planned {
		plans[i] = p.Plan
	}
	text, err := plan.Encode(plans...)
	if err != nil {
		return err
	}
	return c.print(string(text))
}

// planText is one instance's plan for people.
func planText(planned renderer.Planned) string {
	p := planned.Plan
	var b strings.Builder
	if !p.Enabled {
		fmt.Fprintf(&b, "%s on %s: backup is off (%s)\n", p.Instance, p.Cluster, p.Reason)
		return b.String()
	}
	if p.Totals.Units == 0 {
		fmt.Fprintf(&b, "%s on %s: %s\n\n", p.Instance, p.Cluster, nothing)
	} else {
		fmt.Fprintf(&b, "%s on %s: %s, started between %s and %s %s\n\n",
			p.Instance, p.Cluster, count(p.Totals.Units, "unit", "units"), p.Window.Start, p.Window.End, p.TimeZone)
	}
	table(&b, []string{"UNIT", "ENGINE", "SCHEDULE", "KEEP", "NAMESPACE", "DEADLINE"}, len(p.Units), func(n int) []string {
		i := p.Units[n]
		return []string{i.ID, i.Engine, i.Schedule.Cron, i.Retention.String(), i.Namespace, seconds(i.DeadlineSeconds)}
	})
	table(&b, []string{"NOT BACKED UP", "REASON"}, len(p.Exemptions), func(n int) []string {
		e := p.Exemptions[n]
		if e.Product != "" {
			return []string{e.ID + " (" + e.Product + ")", e.Reason}
		}
		return []string{e.ID, e.Reason}
	})
	table(&b, []string{"TOGETHER", "IN THIS ORDER, THE SAME NIGHT"}, len(p.Groups), func(n int) []string {
		return []string{p.Groups[n].Name, strings.Join(p.Groups[n].Units, ", ")}
	})
	table(&b, []string{"RETIRED", "UNTIL", "REASON"}, len(p.Retired), func(n int) []string {
		return []string{p.Retired[n].Unit, p.Retired[n].Until, p.Retired[n].Reason}
	})
	table(&b, []string{"MAINTENANCE", "SCHEDULE", "REPOSITORY", "KEEP", "DEADLINE"}, len(p.Maintenance), func(n int) []string {
		m := p.Maintenance[n]
		keep := ""
		if m.Tier != "" {
			keep = m.Retention.String()
		}
		return []string{string(m.Job), m.Schedule.Cron, m.Repository, keep, seconds(m.DeadlineSeconds)}
	})
	exceptions := exceptionsOf(p)
	table(&b, []string{"EXCEPTION", "UNIT", "REASON"}, len(exceptions), func(n int) []string { return exceptions[n] })
	table(&b, []string{"EXCUSED", "REASON"}, len(p.Excuses), func(n int) []string {
		return []string{p.Excuses[n].Place, p.Excuses[n].Reason}
	})
	limits := limitsOf(p)
	table(&b, []string{"LIMIT", "UNITS"}, len(limits), func(n int) []string { return limits[n] })
	fmt.Fprintf(&b, "each round: %s and %s; %s exempt\n",
		count(p.Totals.Snapshots, "snapshot", "snapshots"), count(p.Totals.Copies, "copy", "copies"), count(p.Totals.Exempt, "unit", "units"))
	b.WriteString(foreignText(p.Instance, p.Ignored))
	return b.String()
}

// nothing is said of an instance without a source: at least what it has in
// Kubernetes itself is exempt.
const nothing = "0 sources: nothing of this instance is backed up (all that the state declares is exempt)"

// exceptionsOf lists where somebody gave a reason to do less than usual.
func exceptionsOf(p *plan.Plan) [][]string {
	var exceptions [][]string
	for _, i := range p.Units {
		if i.Root {
			exceptions = append(exceptions, []string{"runs as root", i.ID, i.Capture.RootReason})
		}
		if empty := i.Expect.AllowEmpty; empty != nil {
			exceptions = append(exceptions, []string{"may be empty", i.ID, empty.Reason})
		}
	}
	return exceptions
}

// limitsOf lists what copies cannot hold, each once with all that say so.
func limitsOf(p *plan.Plan) [][]string {
	at := map[string]int{}
	var limits [][]string
	for _, i := range p.Units {
		for _, limit := range i.Limits {
			n, known := at[limit]
			if !known {
				at[limit] = len(limits)
				limits = append(limits, []string{limit, i.ID})
				continue
			}
			limits[n][1] += ", " + i.ID
		}
	}
	return limits
}

// table writes rows in columns, and nothing when there are none.
func table(b *strings.Builder, head []string, rows int, row func(n int) []string) {
	if rows == 0 {
		return
	}
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	line := func(cells []string) { fmt.Fprintln(w, strings.Join(cells, "\t")) }
	line(head)
	for n := range rows {
		line(row(n))
	}
	_ = w.Flush() // into memory: it cannot fail
	b.WriteByte('\n')
}

// seconds writes a time limit as people say it: 1h, 90m.
func seconds(n int) string {
	text := (time.Duration(n) * time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
