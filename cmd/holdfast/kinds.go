package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer/kind"
)

// kindsOptions are the flags of kinds.
type kindsOptions struct {
	sources
	output format
}

// newKinds is the command that lists what can be backed up.
func newKinds(c console) *cli.Command {
	o := &kindsOptions{}
	return &cli.Command{
		Name:      "kinds",
		Usage:     "list the kinds of sources and the images they use",
		UsageText: "holdfast kinds [--kinds DIR] [--output json]",
		Flags: []cli.Flag{
			&cli.GenericFlag{Name: "kinds", Value: &o.kinds, Usage: "`DIR` with folders of kinds of your own; they are code, trusted as this program is"},
			o.output.flag(),
		},
		Action: func(*cli.Context) error { return runKinds(c, o) },
	}
}

// kindsResult is what kinds prints with --output json.
type kindsResult struct {
	Kinds    []kind.Kind   `json:"kinds"`
	Platform kind.Platform `json:"platform"`
	// Images are the contracts, by the names that settings use.
	Images map[string]kind.Image `json:"images"`
}

func runKinds(c console, o *kindsOptions) error {
	r, err := o.renderer()
	if err != nil {
		return err
	}
	set := r.Kinds()
	if o.output.json {
		return c.printJSON(kindsResult{Kinds: set.Kinds, Platform: set.Platform, Images: set.Images()})
	}
	var b screen
	b.table([]string{"KIND", "ENGINE", "WHAT IT COPIES"}, len(set.Kinds), func(n int) []string {
		k := set.Kinds[n]
		return []string{k.Name, k.Engine, k.Summary}
	})
	references := kind.References(set.Images())
	names := slices.Sorted(maps.Keys(references))
	b.table([]string{"IMAGE", "REFERENCE"}, len(names), func(n int) []string { return []string{names[n], references[names[n]]} })
	fmt.Fprintln(&b.Builder, `a policy or the state's backup block replaces an image: "images": {"kind/name": "reference"}`)
	return c.print(b.String())
}
