package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/emit"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/renderer/publish"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

// checkOptions are the flags of check.
type checkOptions struct {
	sources
	secretOptions
	against onePath
	output  reportFormat
}

// newCheck is the command for CI.
func newCheck(c console) *cli.Command {
	o := &checkOptions{output: newReportFormat()}
	return &cli.Command{
		Name:      "check",
		Usage:     "validate the inputs, and compare a tree with what render would write",
		UsageText: "holdfast check -s STATE -c CREDENTIALS [-p POLICY] [--against DIR] [--secrets MODE] [--output FORMAT]",
		Description: "All nine steps run; nothing is written. With --against it begins with what changes, as\n" +
			"a commit message of publish says it. Then the files that differ are listed, and shown\n" +
			"as a diff in which the values of Secrets are masked; the exit status is 4. Give the\n" +
			"--secrets that the tree was written with.\n\n" +
			"--without-values needs no secret: all of the tree is compared but the values of\n" +
			"Secrets, of which it is looked at whether they are encrypted, and for whom. With an\n" +
			"age identity in SOPS_AGE_KEY or SOPS_AGE_KEY_FILE they must decrypt as well.",
		Flags: slices.Concat(o.sources.flags(), []cli.Flag{
			&cli.GenericFlag{Name: "against", Value: &o.against, Usage: "`DIR` with the tree to compare"},
			o.withoutValuesFlag(),
		}, o.overlayFlags(), o.secretOptions.flags(), []cli.Flag{o.output.flag()}),
		Action: func(*cli.Context) error { return runCheck(c, o) },
	}
}

// checkResult is what check prints with --output json.
type checkResult struct {
	Instances []checkedInstance `json:"instances"`
	Problems  problem.List      `json:"problems"`
	Changes   []checkedChange   `json:"changes"`
	// WithoutValues says that the secret values of the credentials were not looked at.
	WithoutValues bool `json:"withoutValues"`
	// NotCompared are the files of Secrets whose values were not compared for that.
	NotCompared []unseenFile `json:"notCompared"`
}

// checkedChange is one file that differs.
type checkedChange struct {
	emit.Change
	// Reasons say what differs in a Secret whose values are not known.
	Reasons []string `json:"reasons,omitempty"`
}

// checkedInstance is one instance without problems.
type checkedInstance struct {
	Instance string      `json:"instance"`
	Enabled  bool        `json:"enabled"`
	Reason   string      `json:"reason,omitempty"`
	Totals   plan.Totals `json:"totals"`
	Ignored  []string    `json:"ignored"`
}

func runCheck(c console, o *checkOptions) error {
	r, err := o.renderer()
	if err != nil {
		return err
	}
	in, err := o.read(c, "check")
	if err != nil {
		return err
	}
	mode, err := o.secrets(&in, o.against.value, false)
	if err != nil {
		return err
	}
	against, err := compareWith(c, r, in, o.against.value, mode)
	result := checkResult{
		Instances: []checkedInstance{}, Problems: problem.List{}, Changes: []checkedChange{},
		WithoutValues: in.WithoutValues, NotCompared: append([]unseenFile{}, against.unseen.files...),
	}
	if errors.As(err, &result.Problems) && o.output.machine() {
		return errors.Join(o.output.print(c, result, o.against.value), err)
	}
	if err != nil {
		return err
	}
	warnExpiry(c, against.planned)
	if !o.output.machine() {
		err = c.print(checkText(against, o.against.value))
	} else {
		for _, change := range against.changes {
			result.Changes = append(result.Changes, checkedChange{change, against.unseen.reasons[change.Path]})
		}
		for _, p := range against.planned {
			result.Instances = append(result.Instances, checkedInstance{
				Instance: p.Plan.Instance, Enabled: p.Plan.Enabled, Reason: p.Plan.Reason,
				Totals: p.Plan.Totals, Ignored: append([]string{}, p.Plan.Ignored...),
			})
		}
		if err = o.output.print(c, result, o.against.value); err == nil {
			o.output.explain(c, checkText(against, o.against.value))
		}
	}
	if err != nil {
		return err
	}
	return against.verdict(c, o.against.value)
}

// checkText is what check prints for people.
func checkText(against comparison, dir string) string {
	var b strings.Builder
	if against.summary != "" {
		b.WriteString(against.summary + "\n")
	}
	for _, p := range against.planned {
		if !p.Plan.Enabled {
			fmt.Fprintf(&b, "%s: backup is off (%s)\n", p.Plan.Instance, p.Plan.Reason)
			continue
		}
		if p.Plan.Totals.Units == 0 {
			fmt.Fprintf(&b, "%s: %s\n", p.Plan.Instance, nothing)
			continue
		}
		fmt.Fprintf(&b, "%s: no problems; %s, %s exempt\n", p.Plan.Instance, expected(p), count(p.Plan.Totals.Exempt, "unit", "units"))
		b.WriteString(foreignText(p.Plan.Instance, p.Plan.Ignored))
	}
	switch {
	case dir == "":
	case len(against.changes) == 0 && against.unseen.without:
		fmt.Fprintf(&b, "%s: as render would write it, but for what was not looked at\n", dir)
	case len(against.changes) == 0:
		fmt.Fprintf(&b, "%s: as render would write it\n", dir)
	default:
		for _, change := range against.changes {
			fmt.Fprintf(&b, "%s: %s\n", change.Action, problem.Printable(change.Path))
			for _, reason := range against.unseen.reasons[change.Path] {
				fmt.Fprintf(&b, "  %s\n", problem.Printable(reason))
			}
		}
		b.Write(against.diff)
	}
	for _, line := range against.unseen.lines() {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// comparison is what a run would do to a tree.
type comparison struct {
	planned []renderer.Planned
	changes emit.Changes
	diff    []byte
	// summary is what publish would write into its commit message.
	summary string
	unseen  unseen
}

// compareWith renders, and compares the tree in dir with the result if dir is
// not empty.
func compareWith(c console, r *renderer.Renderer, in renderer.Inputs, dir string, mode secrets.Mode) (comparison, error) {
	result := comparison{unseen: unseen{without: in.WithoutValues}}
	if dir != "" {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return result, usageError{fmt.Sprintf("--against %s: this is no folder that can be read", dir), ""}
		}
	}
	made, err := r.Render(in, renderer.Options{Secrets: mode})
	if result.planned = made.Planned; err != nil || dir == "" {
		return result, err
	}
	if in.WithoutValues {
		if err := result.unseen.fill(c, dir, made.Bundle); err != nil {
			return result, outside(err)
		}
	}
	var diff bytes.Buffer
	result.changes, err = emit.Diff(&diff, dir, made.Bundle)
	result.diff = diff.Bytes()
	if err == nil {
		result.summary = publish.Summary(dir, made.Bundle, plansOf(made.Planned), result.changes)
	}
	if err == nil && in.WithoutValues {
		err = extraSecrets(dir, made.Bundle, result.changes)
	}
	return result, outside(err)
}

// verdict turns what differs into the exit status.
func (r comparison) verdict(c console, dir string) error {
	if len(r.changes) == 0 {
		return nil
	}
	if r.otherSecrets() {
		c.note("holdfast: hint: the tree seems to be written with another --secrets: give the same here")
	}
	if !slices.ContainsFunc(r.changes, func(change emit.Change) bool { return !change.LineEnds }) {
		c.note("holdfast: hint: only line ends differ, perhaps by Git's core.autocrlf or eol: let a .gitattributes file in %s say \"* -text\", and check it out anew", dir)
	}
	return differs{dir: dir, files: len(r.changes)}
}

// otherSecrets reports whether the files of Secrets, and no others, would be
// added or removed.
func (r comparison) otherSecrets() bool {
	secret := map[string]bool{}
	for _, p := range r.planned {
		for _, s := range p.Plan.Secrets {
			secret[s.File] = true
		}
	}
	others := 0
	for _, change := range r.changes {
		if change.Action == emit.Changed {
			continue
		}
		if !secret[change.Path] {
			return false
		}
		others++
	}
	return others > 0
}
