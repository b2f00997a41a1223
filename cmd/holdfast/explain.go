package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// newExplain is the command for the question "why".
func newExplain(c console) *cli.Command {
	o := &sources{}
	return &cli.Command{
		Name:      "explain",
		Usage:     "tell a rule's story, or all that is decided about a unit",
		UsageText: "holdfast explain RULE\n   holdfast explain -s STATE -c CREDENTIALS UNIT\n   holdfast explain -s STATE -c CREDENTIALS POINTER",
		ArgsUsage: "RULE|UNIT|POINTER",
		Description: "RULE is the number that a problem names: HF012. UNIT is an id that plan lists:\n" +
			"postgresql/nextcloud. POINTER is a place of the state: /databases/postgresql/0.",
		Flags:  o.flags(),
		Action: func(ctx *cli.Context) error { return runExplain(c, o, ctx.Args().First()) },
	}
}

var ruleForm = regexp.MustCompile(`^(?i)hf[0-9]*$`)

func runExplain(c console, o *sources, what string) error {
	switch {
	case what == "":
		return usageError{"explain needs a rule, a unit or a JSON pointer", "holdfast explain HF012"}
	case ruleForm.MatchString(what):
		return explainRule(c, strings.ToUpper(what))
	case !o.given() && !strings.Contains(what, "/"):
		return unknownRule(what)
	}
	r, err := o.renderer()
	if err != nil {
		return err
	}
	in, err := o.read(c, "explain")
	if err != nil {
		return err
	}
	planned, err := r.Plan(in)
	if err != nil {
		return err
	}
	var texts []string
	for _, p := range planned {
		if strings.HasPrefix(what, "/") {
			texts = append(texts, atPointer(p, what)...)
		} else {
			texts = append(texts, withID(p, what)...)
		}
	}
	if len(texts) == 0 {
		return notFound(planned, what)
	}
	return c.print(strings.Join(texts, "\n"))
}

// explainRule prints a rule's story.
func explainRule(c console, id string) error {
	rule, ok := problem.FindRule(id)
	if !ok {
		return unknownRule(id)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n%s\n", rule.ID, rule.Title, rule.Story)
	if rule.Fix != "" {
		fmt.Fprintf(&b, "\nwhat to do: %s\n", rule.Fix)
	}
	if rule.Source != "" {
		fmt.Fprintf(&b, "\nsource: %s\n", rule.Source)
	}
	return c.print(b.String())
}

func unknownRule(id string) error {
	rules := problem.Rules()
	ids := make([]string, len(rules))
	for i, rule := range rules {
		ids[i] = rule.ID
	}
	hint := "a problem names its rule; a unit or a pointer needs --state and --credentials"
	if near := problem.Nearest(id, ids); near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	}
	return usageError{fmt.Sprintf("there is no rule %q", id), hint}
}

// withID explains the unit or exemption of that id.
func withID(p renderer.Planned, id string) []string {
	var texts []string
	for _, i := range p.Plan.Units {
		if i.ID == id {
			texts = append(texts, unitText(p, i))
		}
	}
	for _, e := range p.Plan.Exemptions {
		if e.ID == id {
			texts = append(texts, exemptionText(p, e))
		}
	}
	return texts
}

// atPointer explains what covers a place of the state: the place itself, one
// above it, or else all below it.
func atPointer(p renderer.Planned, pointer string) []string {
	pointer = strings.TrimSuffix(pointer, "/")
	inside := func(covers []string) bool {
		return slices.ContainsFunc(covers, func(place string) bool {
			return place == pointer || strings.HasPrefix(pointer, place+"/")
		})
	}
	above := func(covers []string) bool {
		return slices.ContainsFunc(covers, func(place string) bool { return strings.HasPrefix(place, pointer+"/") })
	}
	for _, fits := range []func([]string) bool{inside, above} {
		var texts []string
		for _, i := range p.Plan.Units {
			if fits(i.Covers) {
				texts = append(texts, unitText(p, i))
			}
		}
		for _, e := range p.Plan.Exemptions {
			if fits(e.Covers) {
				texts = append(texts, exemptionText(p, e))
			}
		}
		if len(texts) > 0 {
			return texts
		}
	}
	return nil
}

// notFound names what is nearest to what was asked for.
func notFound(planned []renderer.Planned, what string) error {
	var known []string
	for _, p := range planned {
		for _, i := range p.Plan.Units {
			known = append(append(known, i.ID), i.Covers...)
		}
		for _, e := range p.Plan.Exemptions {
			known = append(append(known, e.ID), e.Covers...)
		}
	}
	message, hint := fmt.Sprintf("there is no unit %q", what), "holdfast plan lists the units"
	if strings.HasPrefix(what, "/") {
		message = fmt.Sprintf("no unit covers %q", what)
	}
	if near := problem.Nearest(what, known); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return usageError{message, hint}
}

// unitText is all that is decided about a unit.
func unitText(p renderer.Planned, i plan.Item) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s: %s, %s, in namespace %s\n", i.ID, p.Plan.Instance, i.Engine, i.Need, i.Namespace)
	section(&b, "covers", places(p, i.Covers))
	if i.Capture != nil {
		section(&b, "reads", []string{fmt.Sprintf("%s, by %s", i.Capture.Source, i.Capture.How)})
	}
	section(&b, "taken after", i.Consistent)
	decisions := make([]string, len(i.Decisions))
	for n, d := range i.Decisions {
		decisions[n] = fmt.Sprintf("%s\t%s\t(%s)", d.What, d.Value, from(p, d.From))
	}
	section(&b, "decided", decisions)
	var connections []string
	for _, e := range i.Connects {
		host := e.Host
		if e.Port != 0 {
			host = fmt.Sprintf("%s:%d", e.Host, e.Port)
		}
		connections = append(connections, host+"\t"+e.Purpose)
	}
	section(&b, "connects to", connections)
	var snapshots []string
	for _, e := range i.Expected {
		snapshots = append(snapshots, expectedText(e))
	}
	section(&b, "leaves behind", snapshots)
	section(&b, "limits", i.Limits)
	section(&b, "files in the tree", []string{i.File, i.BaseFile + "\tapplied first", i.RestoreFile + "\tto restore it"})
	return b.String()
}

// exemptionText says why a place is not backed up.
func exemptionText(p renderer.Planned, e plan.Exemption) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s: not backed up\n", e.ID, p.Plan.Instance)
	if e.Product != "" {
		section(&b, "is", []string{e.Product})
	}
	section(&b, "covers", places(p, e.Covers))
	section(&b, "reason", []string{e.Reason})
	return b.String()
}

// expectedText is one snapshot or copy that a run must leave behind.
func expectedText(e plan.Expected) string {
	text := e.Where
	if e.Path != "" {
		text = fmt.Sprintf("%s in %s", e.Path, e.Where)
	}
	if e.Tag != "" {
		text += ", tag " + e.Tag
	}
	if e.MinBytes > 0 {
		text += ", at least " + count(int(e.MinBytes), "byte", "bytes")
	}
	if e.MinCount > 0 {
		text += fmt.Sprintf(", at least %d counted", e.MinCount)
	}
	if e.MayBeEmpty != "" {
		text += ", may be empty: " + e.MayBeEmpty
	}
	return text
}

// places adds file and line to pointers into the state.
func places(p renderer.Planned, pointers []string) []string {
	list := make([]string, len(pointers))
	for n, pointer := range pointers {
		tree := p.Instance.State.Tree
		line, column := tree.At(pointer)
		list[n] = fmt.Sprintf("%s\t%s:%d:%d", pointer, tree.Name, line, column)
	}
	return list
}

// from adds file and line to a decision's source, if it is a place in a
// document.
func from(p renderer.Planned, source string) string {
	trees := map[string]*input.Tree{plan.StateDocument: p.Instance.State.Tree}
	if p.Instance.Policy != nil {
		trees[plan.PolicyDocument] = p.Instance.Policy.Tree
	}
	document, pointer, _ := strings.Cut(source, " ")
	tree, found := trees[document]
	if !found {
		return source
	}
	line, column := tree.AtKey(pointer)
	return fmt.Sprintf("%s:%d:%d: %s", tree.Name, line, column, pointer)
}

// section writes indented lines in columns under a title, and nothing when
// there are none.
func section(b *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "  %s:\n", title)
	widths := []int{}
	for _, line := range lines {
		for n, cell := range strings.Split(line, "\t") {
			if n == len(widths) {
				widths = append(widths, 0)
			}
			widths[n] = max(widths[n], len(cell))
		}
	}
	for _, line := range lines {
		text := ""
		for n, cell := range strings.Split(line, "\t") {
			text += fmt.Sprintf("%-*s  ", widths[n], cmp.Or(cell, "-"))
		}
		fmt.Fprintf(b, "    %s\n", strings.TrimRight(text, " "))
	}
}
