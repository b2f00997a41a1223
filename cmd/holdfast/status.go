package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/renderer/status"
)

// statusOptions are the flags of status.
type statusOptions struct {
	sources
	commands bool
	at       string
	output   oneOf
}

// newStatus is the command that shows what the verifiers found.
func newStatus(c console) *cli.Command {
	o := &statusOptions{output: oneOf{words: []string{"text", "json", "markdown"}}}
	return &cli.Command{
		Name:      "status",
		Usage:     "show how the backups are, as the verifiers on the cluster found them",
		UsageText: "holdfast status [-s STATE -c CREDENTIALS [-p POLICY]] [--output FORMAT] [FILE…]",
		ArgsUsage: "[FILE…]",
		Description: "Each FILE is what kubectl printed of the statuses of a cluster, or - for stdin, as\n" +
			"without any: --commands prints the command. Nothing is connected to.\n\n" +
			"Red is a required unit that failed, and what nobody has looked at: a verifier that never\n" +
			"ran or is late, a line that cannot be read. With -s and -c, a planned unit without a line\n" +
			"is red, too. With anything red the exit status is 4.",
		Flags: append(append(o.sources.flags(), o.withoutValuesFlag()),
			&cli.BoolFlag{Name: "commands", Destination: &o.commands, DisableDefaultText: true, Usage: "print the commands that list and show the statuses, and read nothing"},
			&cli.StringFlag{Name: "at", Destination: &o.at, Usage: "`TIME` for which to judge, in RFC 3339; now if it is not given"},
			&cli.GenericFlag{Name: "output", Value: &o.output, Usage: "`FORMAT` of what goes to stdout: text, json or markdown (a table)"},
		),
		Action: func(ctx *cli.Context) error { return runStatus(c, o, ctx.Args().Slice()) },
	}
}

func runStatus(c console, o *statusOptions, files []string) error {
	now, err := timeOf(o.at)
	if err != nil {
		return err
	}
	if o.commands {
		return c.print(status.Command + " >status.json\nholdfast status -s … -c … status.json\n")
	}
	if len(files) == 0 {
		files = []string{"-"}
	}
	plans, err := o.plans(c)
	if err != nil {
		return err
	}
	listing, err := readStatuses(c, files)
	if err != nil {
		return err
	}
	result, err := status.Judge(listing, plans, now)
	if err != nil {
		return err
	}
	switch o.output.String() {
	case "json":
		err = c.printJSON(result)
	case "markdown":
		err = c.print(statusMarkdown(result, now))
	default:
		err = c.print(statusText(c, result, now))
	}
	if err != nil || len(result.Problems) == 0 {
		return err
	}
	return reds{result.Problems}
}

// plans are those of the inputs; nil if there are none.
func (o *statusOptions) plans(c console) ([]*plan.Plan, error) {
	if !o.given() && o.policy.value == "" && o.kinds.value == "" && !o.withoutValues {
		return nil, nil
	}
	r, err := o.renderer()
	if err != nil {
		return nil, err
	}
	in, err := o.read(c, "status")
	if err != nil {
		return nil, err
	}
	planned, err := r.Plan(in)
	if err != nil {
		return nil, err
	}
	return plansOf(planned), nil
}

// readStatuses reads what kubectl printed. All files that cannot be used are named at once.
func readStatuses(c console, files []string) (*status.Listing, error) {
	listing := &status.Listing{}
	r := reader{stdin: c.in, secrets: c.secrets}
	var problems problem.List
	for _, file := range files {
		name, text, err := r.bytes(file, maxListing)
		if err != nil {
			return nil, err
		}
		var list problem.List
		if err := listing.Add(name, text); errors.As(err, &list) {
			problems = append(problems, list...)
		} else if err != nil {
			return nil, err
		}
	}
	if len(problems) > 0 {
		return nil, problems.Sorted()
	}
	return listing, nil
}

// statusText is for people; what is red goes to stderr, too, with what to do about it.
func statusText(c console, result status.Result, now time.Time) string {
	s := &screen{width: screenWidth, mask: c.secrets.text}
	for _, st := range result.Statuses {
		head := placeOfStatus(st)
		if st.Time != "" {
			head += ", looked at " + ago(st.Time, now)
		}
		s.line("", "  ", head)
		if st.Reason != "" {
			s.line("red: ", "  ", legible(st.Reason))
		}
		if st.Unplanned {
			s.line("", "  ", "no plan has it")
		}
		s.Builder.WriteString("\n")
		s.table([]string{"UNIT", "TAKEN", "BYTES", "COUNT", "STATE"}, len(st.Units), func(n int) []string { return unitCells(st.Units[n], now) })
		said := false
		for _, u := range st.Units {
			if u.Reason != "" && u.Reason != st.Reason {
				s.line(legible(u.Unit)+": ", "  ", legible(u.Reason))
				said = true
			}
			if u.Unplanned && !st.Unplanned {
				s.line(legible(u.Unit)+": ", "  ", "no plan has it")
				said = true
			}
		}
		if said {
			s.Builder.WriteString("\n")
		}
	}
	s.line("", "", statusTotals(result))
	return s.String()
}

// unitCells are a unit's columns; "-" is for what is not known.
func unitCells(u status.Unit, now time.Time) []string {
	cells := []string{legible(u.Unit), "-", "-", "-", string(u.State)}
	if u.Taken != "" {
		cells[1] = age(u.Taken, now)
	}
	if u.Bytes != nil {
		cells[2] = bytesText(*u.Bytes)
	}
	if u.Count != nil {
		cells[3] = fmt.Sprint(*u.Count)
	}
	return cells
}

// legible is a text of somebody else's, of which a screen takes so much.
func legible(text string) string {
	const most = 500
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return problem.Printable(text)
}

// placeOfStatus names the instance, its cluster and the namespace.
func placeOfStatus(s status.Status) string {
	text := cmp.Or(legible(s.Instance), "(no instance)")
	if s.Cluster != "" {
		text += " on " + legible(s.Cluster)
	}
	return text + ", namespace " + s.Namespace
}

// statusTotals is the last line: it counts.
func statusTotals(result status.Result) string {
	if len(result.Statuses) == 0 {
		return "nothing is planned, and there is no status"
	}
	instances := map[string]bool{}
	for _, s := range result.Statuses {
		instances[s.Cluster+"\x00"+s.Instance] = true
	}
	t := result.Totals
	var counts []string
	for _, c := range []struct {
		number int
		state  status.State
	}{{t.Red, status.Red}, {t.Warning, status.Warning}, {t.Waiting, status.Waiting}, {t.OK, status.OK}} {
		if c.number > 0 || c.state == status.Red {
			counts = append(counts, fmt.Sprintf("%d %s", c.number, c.state))
		}
	}
	text := fmt.Sprintf("%s of %s: %s", count(t.Units(), "unit", "units"), count(len(instances), "instance", "instances"), strings.Join(counts, ", "))
	if t.Silent > 0 {
		text += fmt.Sprintf("; %s not to be believed", count(t.Silent, "status is", "statuses are"))
	}
	return text
}

// ago says when something was, for people.
func ago(at string, now time.Time) string {
	if text := age(at, now); !strings.HasPrefix(text, "in ") {
		return text + " ago"
	}
	return age(at, now)
}

// age is how long ago a time is, in its largest whole unit.
func age(at string, now time.Time) string {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return "?"
	}
	past, before := now.Sub(t), ""
	if past < 0 {
		past, before = -past, "in "
	}
	switch {
	case past < time.Hour:
		return fmt.Sprintf("%s%dm", before, past/time.Minute)
	case past < 48*time.Hour:
		return fmt.Sprintf("%s%dh", before, past/time.Hour)
	}
	return fmt.Sprintf("%s%dd", before, past/(24*time.Hour))
}

// bytesText is a size for people: 1.2 GiB.
func bytesText(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"} {
		if size /= 1024; size < 1023.95 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", size, unit)
}

// statusMarkdown is a table for a pull request or a wiki.
func statusMarkdown(result status.Result, now time.Time) string {
	var b strings.Builder
	b.WriteString("| instance | unit | taken | bytes | count | state | reason |\n|---|---|---|---|---|---|---|\n")
	row := func(s status.Status, cells []string, unplanned bool, reason string) {
		if unplanned {
			reason = strings.TrimPrefix(reason+"; no plan has it", "; ")
		}
		state := cells[4]
		if state == string(status.Red) {
			state = "**red**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n",
			inMarkdown(placeOfStatus(s)), inMarkdown(cells[0]), cells[1], cells[2], cells[3], state, inMarkdown(legible(reason)))
	}
	for _, s := range result.Statuses {
		if s.Reason != "" || len(s.Units) == 0 {
			row(s, []string{"", "", "", "", string(s.State)}, s.Unplanned, s.Reason)
		}
		for _, u := range s.Units {
			reason := u.Reason
			if reason == s.Reason {
				reason = ""
			}
			row(s, unitCells(u, now), u.Unplanned, reason)
		}
	}
	b.WriteString("\n" + statusTotals(result) + "\n")
	return b.String()
}

// inMarkdown keeps a text from being anything but text: no link, no image, no cell.
func inMarkdown(text string) string {
	var b strings.Builder
	for _, r := range text {
		if strings.ContainsRune("\\`*_[]<>|!#~@&", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
