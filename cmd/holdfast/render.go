package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/emit"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

// renderOptions are the flags of render.
type renderOptions struct {
	sources
	secretOptions
	writtenOption
	out         onePath
	allowShrink bool
}

// newRender is the command that does the work.
func newRender(c console) *cli.Command {
	o := &renderOptions{}
	return &cli.Command{
		Name:      "render",
		Usage:     "write the manifests: a YAML stream to stdout, or a tree",
		UsageText: "holdfast render -s STATE -c CREDENTIALS [-p POLICY] [-o DIR] [--secrets MODE]",
		Description: "Without --out the objects to apply go to stdout as one YAML stream. With --out the\n" +
			"whole tree is written, all of it or nothing: files of ours that are no longer wanted\n" +
			"are removed, files of others are kept. Secrets of a tree are encrypted for\n" +
			"the recipients that the credentials name, unless --secrets says otherwise; in plain\n" +
			"text they are never written into a Git work tree.",
		Flags: slices.Concat(o.sources.flags(), []cli.Flag{
			&cli.GenericFlag{Name: "out", Aliases: []string{"o"}, Value: &o.out, Usage: "`DIR` to write the tree to"},
		}, o.secretOptions.flags(), []cli.Flag{
			&cli.BoolFlag{Name: "allow-shrink", Destination: &o.allowShrink, DisableDefaultText: true, Usage: "let more than a quarter of an instance's files vanish"},
			o.writtenOption.flag(),
		}, o.overlayFlags()),
		Action: func(run *cli.Context) error { return runRender(run.Context, c, o) },
	}
}

func runRender(ctx context.Context, c console, o *renderOptions) error {
	if err := o.writtenOption.check(o.out.value); err != nil {
		return err
	}
	r, err := o.renderer()
	if err != nil {
		return err
	}
	in, err := o.read(c, "render")
	if err != nil {
		return err
	}
	mode, err := o.secrets(&in, o.out.value, o.out.value == "")
	if err != nil {
		return err
	}
	options := renderer.Options{Secrets: mode, Progress: progress(c, max(len(in.States), len(in.Credentials)))}
	made, err := r.Render(in, options)
	if options.Progress != nil {
		_, _ = fmt.Fprint(c.err, bar(1, 1)) // also when it stopped half-way
	}
	if err != nil {
		return err
	}
	var written tree
	if o.out.value == "" {
		err = emit.Stream(c.out, made.Bundle)
	} else {
		written.files = made.Bundle.Files
		written.changes, err = emit.WriteTree(ctx, o.out.value, made.Bundle, emit.TreeOptions{AllowShrink: o.allowShrink,
			Note: func(text string) { c.note("%s", text) }})
	}
	if err != nil {
		return outside(err)
	}
	for _, p := range made.Planned {
		c.note("%s: %s", p.Plan.Instance, summary(p, o.out.value != "", written))
	}
	noteIgnored(c, made.Planned)
	if mode == secrets.Omit {
		noteOmitted(c, made.Planned)
	}
	return o.writtenOption.verdict(o.out.value, written.changes)
}

// tree is what a run wrote.
type tree struct {
	files   []manifest.File
	changes emit.Changes
}

// tally counts what happened to the files of one instance.
func (t tree) tally(instance string) string {
	below := instance + "/"
	number := map[emit.Action]int{}
	for _, change := range t.changes {
		if strings.HasPrefix(change.Path, below) {
			number[change.Action]++
		}
	}
	all := 1 // the inventory is no file of the bundle
	for _, file := range t.files {
		if strings.HasPrefix(file.Path, below) {
			all++
		}
	}
	return fmt.Sprintf("%d added, %d changed, %d removed, %d unchanged",
		number[emit.Added], number[emit.Changed], number[emit.Removed],
		all-number[emit.Added]-number[emit.Changed])
}

// summary says in one line what became of an instance.
func summary(p renderer.Planned, toTree bool, written tree) string {
	text := expected(p)
	if !p.Plan.Enabled {
		text = fmt.Sprintf("backup is off (%s): nothing rendered", p.Plan.Reason)
	}
	if toTree {
		text += "; " + written.tally(p.Plan.Instance)
	}
	return text
}

// expected says what a complete round leaves behind.
func expected(p renderer.Planned) string {
	return fmt.Sprintf("%s and %s expected",
		count(p.Plan.Totals.Snapshots, "snapshot", "snapshots"), count(p.Plan.Totals.Copies, "copy", "copies"))
}

// foreignText names the keys of the state that are other components', a line of
// its own; "" if there are none.
func foreignText(instance string, keys []string) string {
	if len(keys) == 0 {
		return ""
	}
	return fmt.Sprintf("%s: foreign, left to other components: %s\n", instance, strings.Join(keys, ", "))
}

// noteIgnored names the foreign keys: what nobody reads may be meant to be
// backed up.
func noteIgnored(c console, planned []renderer.Planned) {
	warnExpiry(c, planned)
	for _, p := range planned {
		if text := foreignText(p.Plan.Instance, p.Plan.Ignored); text != "" {
			c.note("%s", strings.TrimSuffix(text, "\n"))
		}
	}
}

// noteOmitted says that the tree is not complete.
func noteOmitted(c console, planned []renderer.Planned) {
	var names []string
	for _, p := range planned {
		for _, s := range p.Plan.Secrets {
			names = append(names, s.Namespace+"/"+s.Name)
		}
	}
	slices.Sort(names)
	if len(names) > 0 {
		c.note("secrets left out: %s; --secrets plain writes them in plain text", several(slices.Compact(names)))
	}
}

// progress returns what draws a bar on a terminal, or nil where nobody watches
// or waits.
func progress(c console, instances int) func(done, total int) {
	if instances < 10 || !c.isTerminal() {
		return nil
	}
	return func(done, total int) { _, _ = fmt.Fprint(c.err, bar(done, total)) }
}

// bar draws over the line it stands on; a full one wipes it.
func bar(done, total int) string {
	const width = 30
	if done >= total {
		return "\r\x1b[K"
	}
	filled := width * done / total
	return fmt.Sprintf("\r[%s%s] %d/%d", strings.Repeat("#", filled), strings.Repeat(" ", width-filled), done, total)
}
