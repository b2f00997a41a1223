package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

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
			&cli.GenericFlag{Name: "kinds", Value: &o.kinds, Usage: "`DIR` with folders of kinds of your own"},
			o.output.flag(),
		},
		Action: func(*cli.Context) error { return runKinds(c, o) },
	}
}

// kindsResult is what kinds prints with --output json.
type kindsResult struct {
	Kinds    []kind.Kind   `json:"kinds"`
	Platform kind.Platform `json:"platform"`
}

func runKinds(c console, o *kindsOptions) error {
	r, err := o.renderer()
	if err != nil {
		return err
	}
	set := r.Kinds()
	if o.output.json {
		return c.printJSON(kindsResult{Kinds: set.Kinds, Platform: set.Platform})
	}
	var b strings.Builder
	table(&b, []string{"KIND", "ENGINE", "WHAT IT COPIES"}, len(set.Kinds), func(n int) []string {
		k := set.Kinds[n]
		return []string{k.Name, k.Engine, k.Summary}
	})
	var images [][]string
	list := func(owner string, references map[string]string) {
		for _, name := range slices.Sorted(maps.Keys(references)) {
			images = append(images, []string{owner + "/" + name, references[name]})
		}
	}
	for _, k := range set.Kinds {
		list(k.Name, k.Images)
	}
	list("platform", set.Platform.Images)
	table(&b, []string{"IMAGE", "REFERENCE"}, len(images), func(n int) []string { return images[n] })
	fmt.Fprintln(&b, `a policy or the state's backup block replaces an image: "images": {"kind/name": "reference"}`)
	return c.print(b.String())
}
