package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/publish"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

// publishOptions are the flags of publish.
type publishOptions struct {
	sources
	secretOptions
	repo, path  onePath
	per         grouping
	branch      oneName
	push        bool
	allowShrink bool
}

// newPublish is the command that commits.
func newPublish(c console) *cli.Command {
	o := &publishOptions{}
	return &cli.Command{
		Name:      "publish",
		Usage:     "render into a Git work tree, commit, and push",
		UsageText: "holdfast publish -s STATE -c CREDENTIALS [-p POLICY] --repo DIR [--path DIR] [--push] [--branch NAME]",
		Description: "The tree is committed with a message that says which sources appear, vanish or\n" +
			"change; the ids of the commits go to stdout. Nothing to commit means no commit. Only\n" +
			"the folders of the instances are touched: other changes in the work tree or the index\n" +
			"stay as they are and are in no commit. A source that vanishes needs a tombstone in the\n" +
			"policy (retired). It is git that commits and pushes, with your hooks, signing and\n" +
			"credential helpers. All of it is done, or nothing.",
		Flags: slices.Concat(o.sources.flags(), []cli.Flag{
			&cli.GenericFlag{Name: "repo", Value: &o.repo, Usage: "`DIR` that is the top of the Git work tree"},
			&cli.GenericFlag{Name: "path", Value: &o.path, Usage: "`DIR` in the repository that holds the tree; by default the settings' flux.path, else the top"},
			&cli.GenericFlag{Name: "per", Value: &o.per, Usage: "`WHAT` one commit is for: fleet, all instances of the run, or instance"},
			&cli.BoolFlag{Name: "push", Destination: &o.push, DisableDefaultText: true, Usage: "push to the branch's remote; if somebody else pushed meanwhile, commit again on top of that"},
			&cli.GenericFlag{Name: "branch", Value: &o.branch, Usage: "`NAME` of a branch for a review, made where the upstream is; the work tree is not touched"},
		}, o.secretOptions.flags(), o.overlayFlags(), []cli.Flag{
			&cli.BoolFlag{Name: "allow-shrink", Destination: &o.allowShrink, DisableDefaultText: true, Usage: "let more than a quarter of an instance's files vanish"},
		}),
		Action: func(*cli.Context) error { return runPublish(c, o) },
	}
}

func runPublish(c console, o *publishOptions) error {
	if o.repo.value == "" {
		return usageError{"publish needs --repo", "give the top of the Git work tree that Flux follows"}
	}
	ctx, stop := interruptible()
	defer stop()
	repository, err := publish.Open(ctx, o.repo.value, c.err)
	if err != nil {
		return published(err)
	}
	r, err := o.renderer()
	if err != nil {
		return err
	}
	in, err := o.read(c, "publish")
	if err != nil {
		return err
	}
	path, err := o.treePath(r, in)
	if err != nil {
		return err
	}
	mode, err := o.secrets(&in, filepath.Join(o.repo.value, filepath.FromSlash(path)), false)
	if err != nil {
		return err
	}
	made, err := r.Render(in, renderer.Options{Secrets: mode})
	if err != nil {
		return err
	}
	plans := plansOf(made.Planned)
	for _, p := range made.Planned {
		c.note("%s: %s", p.Plan.Instance, summary(p, false, tree{}))
		if at := plan.TreePath(p.Instance); p.Plan.Enabled && at != path {
			c.note("holdfast: warning: the Flux Kustomizations of %s look for it below %q, and it is published below %q: set flux.path", p.Plan.Instance, at, path)
		}
	}
	noteIgnored(c, made.Planned)
	if mode == secrets.Omit {
		noteOmitted(c, made.Planned)
	}
	result, err := repository.Publish(ctx, made.Bundle, plans, publish.Options{
		Path: path, PerInstance: o.per.instance, Push: o.push, Branch: o.branch.value, AllowShrink: o.allowShrink,
		Note: func(format string, args ...any) { c.note(format, args...) }, Mask: c.secrets.text,
	})
	if err != nil {
		return published(err)
	}
	return sayPublished(c, result)
}

// treePath decides where in the repository the tree is.
func (o *publishOptions) treePath(r *renderer.Renderer, in renderer.Inputs) (string, error) {
	if o.path.value != "" {
		return publish.Folder(o.path.value)
	}
	planned, err := r.Plan(in)
	if err != nil {
		return "", err
	}
	var paths []string
	for _, p := range planned {
		paths = append(paths, plan.TreePath(p.Instance))
	}
	slices.Sort(paths)
	if paths = slices.Compact(paths); len(paths) > 1 {
		return "", usageError{"the instances' flux.path differ: " + strings.Join(paths, ", "), "publish those of each path by themselves"}
	}
	return publish.Folder(paths[0])
}

// sayPublished says on stdout which commits were made, and on stderr the rest.
func sayPublished(c console, result publish.Result) error {
	var ids strings.Builder
	for _, commit := range result.Commits {
		fmt.Fprintln(&ids, commit.ID)
		c.note("committed to %s: %s", result.Branch, commit.Subject)
	}
	if len(result.Commits) == 0 {
		c.note("nothing to commit: %s has all of it", result.Branch)
	}
	if result.Pushed != "" {
		c.note("pushed to %s", result.Pushed)
	}
	if result.Behind != nil {
		c.note("holdfast: warning: the branch %s here does not have what was pushed: %v", result.Branch, result.Behind)
		c.note("holdfast: hint: git pull brings it")
	}
	return c.print(ids.String())
}

// published gives an error of package publish its exit status.
func published(err error) error {
	var misuse publish.Misuse
	if errors.As(err, &misuse) {
		return usageError{misuse.Message, misuse.Hint}
	}
	return outside(err)
}

// interruptible returns a context that ends when somebody wants us to.
func interruptible() (context.Context, context.CancelFunc) {
	signals := []os.Signal{syscall.SIGTERM}
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGHUP} {
		if !signal.Ignored(s) { // by nohup, or for a job in the background
			signals = append(signals, s)
		}
	}
	return signal.NotifyContext(context.Background(), signals...)
}

// grouping is the value of --per.
type grouping struct{ instance bool }

// Set implements cli.Generic.
func (g *grouping) Set(value string) error {
	switch value {
	case "fleet", "instance":
		g.instance = value == "instance"
		return nil
	}
	return fmt.Errorf("expected fleet or instance")
}

// String implements cli.Generic.
func (g *grouping) String() string {
	if g.instance {
		return "instance"
	}
	return "fleet"
}

// oneName is the value of a flag that takes a name and is given once.
type oneName struct{ value string }

// Set implements cli.Generic.
func (n *oneName) Set(value string) error {
	switch {
	case value == "":
		return fmt.Errorf("the name is empty")
	case n.value != "" && n.value != value:
		return fmt.Errorf("the option is given twice")
	}
	n.value = value
	return nil
}

// String implements cli.Generic.
func (n *oneName) String() string { return n.value }
