package main

import (
	"slices"

	"github.com/urfave/cli/v2"
)

// diffOptions are the flags of diff.
type diffOptions struct {
	sources
	secretOptions
	against onePath
}

// newDiff is the command that shows what a commit would change.
func newDiff(c console) *cli.Command {
	o := &diffOptions{}
	return &cli.Command{
		Name:      "diff",
		Usage:     "show how a tree differs from what render would write",
		UsageText: "holdfast diff -s STATE -c CREDENTIALS [-p POLICY] --against DIR [--secrets MODE]",
		Description: "A unified diff goes to stdout, from the tree to what render would write. What that\n" +
			"changes goes to stderr, as a commit message of publish says it. No value of a Secret\n" +
			"is shown. The exit status is 4 if there is a difference. Give the --secrets that the\n" +
			"tree was written with.",
		Flags: slices.Concat(o.sources.flags(), []cli.Flag{
			&cli.GenericFlag{Name: "against", Value: &o.against, Usage: "`DIR` with the tree to compare"},
			o.withoutValuesFlag(),
		}, o.overlayFlags(), o.secretOptions.flags()),
		Action: func(*cli.Context) error { return runDiff(c, o) },
	}
}

func runDiff(c console, o *diffOptions) error {
	if o.against.value == "" {
		return usageError{"diff needs --against", "holdfast diff -s STATE -c CREDENTIALS --against DIR"}
	}
	r, err := o.renderer()
	if err != nil {
		return err
	}
	in, err := o.read(c, "diff")
	if err != nil {
		return err
	}
	mode, err := o.secrets(&in, o.against.value, false)
	if err != nil {
		return err
	}
	against, err := compareWith(c, r, in, o.against.value, mode)
	if err != nil {
		return err
	}
	if against.summary != "" { // stdout is a patch, and nothing else
		c.note("%s", against.summary)
	}
	if err := c.print(string(against.diff)); err != nil {
		return err
	}
	for _, line := range against.unseen.lines() {
		c.note("holdfast: %s", line)
	}
	return against.verdict(c, o.against.value)
}
