package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// planOptions are the flags of plan.
type planOptions struct {
	sources
	instances manyNames
	output    oneOf
}

// newPlan is the command that shows what is decided.
func newPlan(c console) *cli.Command {
	o := &planOptions{output: oneOf{words: []string{"text", "wide", "json"}}}
	return &cli.Command{
		Name:      "plan",
		Usage:     "show what is backed up, when, how long it is kept, and what is not",
		UsageText: "holdfast plan -s STATE -c CREDENTIALS [-p POLICY] [--instance ID] [--output FORMAT]",
		Description: "The text is for people and may change. Several instances have a line each there;\n" +
			"--instance shows all of one. --output json is the object of plan.json for one\n" +
			"instance, and an array of them, sorted by instance, for several.",
		Flags: append(o.sources.flags(), o.withoutValuesFlag(),
			&cli.GenericFlag{Name: "instance", Value: &o.instances, Usage: "`ID` of an instance to show; may be repeated"},
			&cli.GenericFlag{Name: "output", Aliases: []string{"o"}, Value: &o.output,
				Usage: "`FORMAT` of what goes to stdout: text, which fits 80 columns, wide, which has more of them, or json"},
		),
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
	several := len(planned) > 1 && len(o.instances) == 0
	if planned, err = o.chosen(planned); err != nil {
		return err
	}
	warnExpiry(c, planned)
	if in.WithoutValues {
		c.note("holdfast: %s", notLookedAt)
	}
	if o.output.String() == "json" {
		text, err := plan.Encode(plansOf(planned)...)
		if err != nil {
			return err
		}
		return c.print(string(text))
	}
	s := &screen{width: screenWidth, mask: c.secrets.text}
	if o.output.String() == "wide" {
		s.width = 0
	}
	if several {
		fleetText(s, planned)
		return c.print(s.String())
	}
	for i, p := range planned {
		if i > 0 {
			s.Builder.WriteByte('\n')
		}
		planText(s, p.Plan)
	}
	return c.print(s.String())
}

// chosen are the instances that --instance names, and all of them without it. Each one of
// the run is planned before: what two share is seen only there.
func (o *planOptions) chosen(planned []renderer.Planned) ([]renderer.Planned, error) {
	if len(o.instances) == 0 {
		return planned, nil
	}
	var ids []string
	var chosen []renderer.Planned
	for _, p := range planned {
		ids = append(ids, p.Plan.Instance)
		if slices.Contains(o.instances, p.Plan.Instance) {
			chosen = append(chosen, p)
		}
	}
	for _, id := range o.instances {
		if slices.Contains(ids, id) {
			continue
		}
		hint := "there are: " + several(ids)
		if near := problem.Nearest(id, ids); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return nil, usageError{fmt.Sprintf("--instance %s: the inputs have no such instance", id), hint}
	}
	return chosen, nil
}

// planText puts one instance's plan on a screen.
func planText(s *screen, p *plan.Plan) {
	if !p.Enabled {
		s.line("", "  ", fmt.Sprintf("%s on %s: backup is off (%s)", p.Instance, p.Cluster, p.Reason))
		return
	}
	if p.Totals.Units == 0 {
		s.line("", "  ", fmt.Sprintf("%s on %s: %s", p.Instance, p.Cluster, nothing))
	} else {
		s.line("", "  ", fmt.Sprintf("%s on %s: %s, started between %s and %s %s",
			p.Instance, p.Cluster, count(p.Totals.Units, "unit", "units"), p.Window.Start, p.Window.End, p.TimeZone))
	}
	s.Builder.WriteByte('\n')
	wide := s.width == 0
	units := byTime(p)
	head := []string{"START", "UNIT", "KEEP"}
	if wide {
		head = []string{"START", "UNIT", "ENGINE", "SCHEDULE", "KEEP", "NAMESPACE", "DEADLINE"}
	}
	s.table(head, len(units), func(n int) []string {
		i := units[n]
		if wide {
			return []string{startOf(i.Schedule.Cron), i.ID, i.Engine, i.Schedule.Cron, i.Retention.String(), i.Namespace, seconds(i.DeadlineSeconds)}
		}
		return []string{startOf(i.Schedule.Cron), i.ID, i.Retention.String()}
	})
	s.table([]string{"NOT BACKED UP", "REASON"}, len(p.Exemptions), func(n int) []string {
		e := p.Exemptions[n]
		if e.Product != "" {
			return []string{e.ID + " (" + e.Product + ")", e.Reason}
		}
		return []string{e.ID, e.Reason}
	})
	s.table([]string{"TOGETHER", "IN THIS ORDER, THE SAME NIGHT"}, len(p.Groups), func(n int) []string {
		return []string{p.Groups[n].Name, strings.Join(p.Groups[n].Units, ", ")}
	})
	s.table([]string{"RETIRED", "UNTIL", "REASON"}, len(p.Retired), func(n int) []string {
		return []string{p.Retired[n].Unit, p.Retired[n].Until, p.Retired[n].Reason}
	})
	maintenanceText(s, p.Maintenance)
	exceptions := exceptionsOf(p)
	s.table([]string{"EXCEPTION", "UNIT", "REASON"}, len(exceptions), func(n int) []string { return exceptions[n] })
	s.table([]string{"EXCUSED", "REASON"}, len(p.Excuses), func(n int) []string {
		return []string{p.Excuses[n].Place, p.Excuses[n].Reason}
	})
	if limits := limitsOf(p); len(limits) > 0 {
		s.Builder.WriteString("LIMITS\n")
		for _, limit := range limits {
			s.line("- ", "  ", limit.text)
			s.line("    ", "    ", strings.Join(limit.units, ", "))
		}
		s.Builder.WriteByte('\n')
	}
	s.line("", "  ", fmt.Sprintf("each round: %s and %s; %s exempt",
		count(p.Totals.Snapshots, "snapshot", "snapshots"), count(p.Totals.Copies, "copy", "copies"), count(p.Totals.Exempt, "unit", "units")))
	if text := foreignText(p.Instance, p.Ignored); text != "" {
		s.line("", "  ", strings.TrimSuffix(text, "\n"))
	}
}

// maintenanceText puts what is done to the repositories on a screen.
func maintenanceText(s *screen, jobs []plan.Maintenance) {
	head := []string{"MAINTENANCE", "START", "REPOSITORY", "KEEP"}
	wide := s.width == 0
	if wide {
		head = []string{"MAINTENANCE", "START", "SCHEDULE", "REPOSITORY", "KEEP", "DEADLINE"}
	}
	s.table(head, len(jobs), func(n int) []string {
		m := jobs[n]
		keep := ""
		if m.Tier != "" {
			keep = m.Retention.String()
		}
		if wide {
			return []string{string(m.Job), startOf(m.Schedule.Cron), m.Schedule.Cron, m.Repository, keep, seconds(m.DeadlineSeconds)}
		}
		return []string{string(m.Job), startOf(m.Schedule.Cron), m.Repository, keep}
	})
}

// fleetText puts a line for each of several instances on a screen.
func fleetText(s *screen, planned []renderer.Planned) {
	wide := s.width == 0
	head := []string{"INSTANCE", "CLUSTER", "NS", "UNITS", "COPIES", "EXEMPT", "FIRST", "LAST", "LIMITS"}
	if wide {
		head[2] = "NAMESPACES"
	}
	var total plan.Totals
	s.table(head, len(planned), func(n int) []string {
		p := planned[n].Plan
		if !p.Enabled {
			return []string{p.Instance, p.Cluster, "", "off", "", "", "", "", ""}
		}
		total.Units += p.Totals.Units
		total.Snapshots += p.Totals.Snapshots
		total.Copies += p.Totals.Copies
		total.Exempt += p.Totals.Exempt
		namespaces := strconv.Itoa(len(p.Namespaces))
		if wide {
			namespaces = strings.Join(p.Namespaces, ", ")
		}
		first, last := "", ""
		if units := byTime(p); len(units) > 0 {
			first, last = startOf(units[0].Schedule.Cron), startOf(units[len(units)-1].Schedule.Cron)
		}
		return []string{
			p.Instance, p.Cluster, namespaces, strconv.Itoa(p.Totals.Units), strconv.Itoa(p.Totals.Copies),
			strconv.Itoa(p.Totals.Exempt), first, last, strconv.Itoa(len(limitsOf(p))),
		}
	})
	s.line("", "  ", fmt.Sprintf("%s, %s; each round: %s and %s; %s exempt", count(len(planned), "instance", "instances"),
		count(total.Units, "unit", "units"), count(total.Snapshots, "snapshot", "snapshots"),
		count(total.Copies, "copy", "copies"), count(total.Exempt, "unit", "units")))
	s.line("", "  ", "all of one: --instance ID; namespaces by name: --output wide")
}

// byTime are the units in the order in which a night starts them.
func byTime(p *plan.Plan) []plan.Item {
	begin, _ := minuteOf(p.Window.Start)
	since := func(i plan.Item) int {
		minute, known := minuteOf(clockOf(i.Schedule.Cron))
		if !known {
			return dayMinutes // those of other times come last
		}
		return (minute - begin + dayMinutes) % dayMinutes
	}
	return slices.SortedStableFunc(slices.Values(p.Units), func(a, b plan.Item) int { return cmp.Compare(since(a), since(b)) })
}

const dayMinutes = 24 * 60

// startOf is when a cron line starts something, as people say it: 01:30, Sun 05:41. One that
// has no such form is shown as it stands.
func startOf(cron string) string {
	fields := strings.Fields(cron)
	clock := clockOf(cron)
	if clock == "" || fields[2] != "*" || fields[3] != "*" {
		return cron
	}
	weekdays := []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}
	if fields[4] == "*" {
		return clock
	}
	if at, err := strconv.Atoi(fields[4]); err == nil && at >= 0 && at < len(weekdays) {
		return weekdays[at] + " " + clock
	}
	return cron
}

// clockOf is the one time of day at which a cron line starts something; "" if there are several.
func clockOf(cron string) string {
	fields := strings.Fields(cron)
	if len(fields) != 5 {
		return ""
	}
	minute, noMinute := strconv.Atoi(fields[0])
	hour, noHour := strconv.Atoi(fields[1])
	if noMinute != nil || noHour != nil {
		return ""
	}
	return fmt.Sprintf("%02d:%02d", hour, minute)
}

// minuteOf reads HH:MM.
func minuteOf(clock string) (minute int, ok bool) {
	at, err := time.Parse("15:04", clock)
	return at.Hour()*60 + at.Minute(), err == nil
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

// limit is something that copies cannot hold, with all units that say so.
type limit struct {
	text  string
	units []string
}

// limitsOf lists what copies cannot hold, each once.
func limitsOf(p *plan.Plan) []limit {
	at := map[string]int{}
	var limits []limit
	for _, i := range p.Units {
		for _, text := range i.Limits {
			n, known := at[text]
			if !known {
				n, at[text] = len(limits), len(limits)
				limits = append(limits, limit{text: text})
			}
			limits[n].units = append(limits[n].units, i.ID)
		}
	}
	return limits
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
