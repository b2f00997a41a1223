package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/plan"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// newApp builds the command tree, anew for every run.
//
// Left to itself the library prints help to stdout when a command line is
// wrong, exits on its own for an unknown command, and takes flags behind an
// argument for arguments. command and the settings here stop all three.
func newApp(c console) *cli.App {
	app := &cli.App{
		Name:      "holdfast",
		Usage:     "render the backup of platform instances",
		UsageText: "holdfast COMMAND [OPTIONS]",
		Description: "Holdfast takes what an instance is (runtime-state.json) and where its backups\n" +
			"go (backup-credentials.json), and returns every manifest that Kubernetes needs\n" +
			"to back the instance up and to get it back.\n\n" +
			"Example: check the inputs, then write the tree to a folder to look at, or commit it\n" +
			"to the repository that Flux follows:\n\n" +
			"   holdfast check -s runtime-state.json -c backup-credentials.json\n" +
			"   holdfast render -s runtime-state.json -c backup-credentials.json -o tree\n" +
			"   holdfast publish -s runtime-state.json -c backup-credentials.json --repo ../fleet",
		Version:               version(),
		Writer:                c.out,
		ErrWriter:             c.err,
		HideHelpCommand:       true,
		CustomAppHelpTemplate: cli.AppHelpTemplate + "\n" + statusTable,
		ExitErrHandler:        func(*cli.Context, error) {},
		OnUsageError:          func(_ *cli.Context, err error, _ bool) error { return wrongFlag("", nil, err) },
	}
	app.Commands = []*cli.Command{
		command(newRender(c)),
		command(newPublish(c)),
		command(newPlan(c)),
		command(newCheck(c)),
		command(newDiff(c)),
		command(newCoverage(c)),
		command(newStatus(c)),
		command(newRedact(c)),
		command(newKRM(c)),
		command(newExplain(c)),
		command(newKinds(c)),
		dressed(newKind(c)),
		command(newSchema(c)),
		command(newVersion(c)),
		command(newCompletion(c, app)),
	}
	app.Action = func(ctx *cli.Context) error { return noCommand(ctx, app.Commands) }
	return app
}

// command gives a command what all of them share. ArgsUsage says which
// arguments it takes; without one it takes none, and one that ends in "…]" takes many.
func command(cmd *cli.Command) *cli.Command {
	dressed(cmd)
	action := cmd.Action
	cmd.Action = func(ctx *cli.Context) error {
		if err := checkArguments(cmd, ctx.Args().Slice()); err != nil {
			return err
		}
		return action(ctx)
	}
	return cmd
}

// dressed is command for one that judges its arguments itself.
func dressed(cmd *cli.Command) *cli.Command {
	cmd.HideHelpCommand = true
	cmd.CustomHelpTemplate = cli.CommandHelpTemplate + "\n" + statusTable
	cmd.OnUsageError = func(_ *cli.Context, err error, _ bool) error {
		return wrongFlag(cmd.Name+" ", cmd.Flags, err)
	}
	return cmd
}

// checkArguments refuses more arguments than the command takes. Options that
// come after an argument are among them, for the library stops at the first.
func checkArguments(cmd *cli.Command, args []string) error {
	help := "holdfast " + cmd.Name + " --help"
	switch {
	case len(args) == 0:
		return nil
	case cmd.ArgsUsage == "":
		if cmd.UsageText != "" {
			help = cmd.UsageText
		}
		return usageError{fmt.Sprintf("%s takes no arguments, but got %q", cmd.Name, args[0]), help}
	}
	for _, arg := range args[1:] {
		if strings.HasPrefix(arg, "-") && arg != "-" {
			return usageError{fmt.Sprintf("%s: the option %q comes after an argument", cmd.Name, arg),
				fmt.Sprintf("options come first: holdfast %s %s … %s", cmd.Name, arg, args[0])}
		}
	}
	if len(args) > 1 && !strings.HasSuffix(cmd.ArgsUsage, "…]") {
		return usageError{fmt.Sprintf("%s takes one argument, but got %q, too", cmd.Name, args[1]), help}
	}
	return nil
}

// noCommand is what the program does without a command that it knows.
func noCommand(ctx *cli.Context, commands []*cli.Command) error {
	name := ctx.Args().First()
	switch {
	case name == "":
		return usageError{"no command given", "holdfast --help lists them"}
	case name == "help" && ctx.NArg() > 1:
		return cli.ShowCommandHelp(ctx, ctx.Args().Get(1))
	case name == "help":
		return cli.ShowAppHelp(ctx)
	}
	names := make([]string, len(commands))
	for i, cmd := range commands {
		names[i] = cmd.Name
	}
	hint := "holdfast --help lists the commands"
	if near := problem.Nearest(name, names); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return usageError{fmt.Sprintf("unknown command %q", name), hint}
}

// wrongFlag explains what the library found wrong with a flag. command ends in
// a blank, or is empty for the program's own flags.
func wrongFlag(command string, flags []cli.Flag, err error) error {
	hint := "holdfast " + command + "--help"
	message := err.Error()
	message = strings.ToLower(message[:1]) + message[1:]
	if name, ok := strings.CutPrefix(message, "flag provided but not defined: -"); ok {
		message = fmt.Sprintf("unknown option --%s", strings.TrimLeft(name, "-"))
		var known []string
		for _, flag := range flags {
			known = append(known, flag.Names()...)
		}
		// A letter is near to any other: no hint for those.
		known = slices.DeleteFunc(known, func(name string) bool { return len(name) == 1 })
		if near := problem.Nearest(strings.TrimLeft(name, "-"), known); near != "" && len(name) > 2 {
			hint = fmt.Sprintf("did you mean --%s?", near)
		}
	}
	if command != "" {
		message = strings.TrimSpace(command) + ": " + message
	}
	return usageError{message, hint}
}

// onePath is the value of a flag that takes one path and is given once.
type onePath struct{ value string }

// Set implements cli.Generic. The library sets a value once more for each
// alias of the flag, so that only another value is a second one.
func (p *onePath) Set(value string) error {
	switch {
	case value == "":
		return fmt.Errorf("the path is empty")
	case p.value != "" && p.value != value:
		return fmt.Errorf("the option is given twice")
	}
	p.value = value
	return nil
}

// String implements cli.Generic.
func (p *onePath) String() string { return p.value }

// manyPaths is the value of a flag that may be repeated. The library's own would
// split a path at its commas.
type manyPaths []string

// Set implements cli.Generic. The library sets the last value once more for
// each alias of the flag.
func (p *manyPaths) Set(value string) error {
	if value == "" {
		return fmt.Errorf("the path is empty")
	}
	if !slices.Contains(*p, value) {
		*p = append(*p, value)
	}
	return nil
}

// String implements cli.Generic.
func (p *manyPaths) String() string {
	if len(*p) == 0 {
		return ""
	}
	return (*p)[len(*p)-1]
}

// manyNames is the value of a flag that may be repeated.
type manyNames []string

// Set implements cli.Generic.
func (n *manyNames) Set(value string) error {
	if value == "" {
		return fmt.Errorf("the name is empty")
	}
	if !slices.Contains(*n, value) {
		*n = append(*n, value)
	}
	return nil
}

// String implements cli.Generic.
func (n *manyNames) String() string { return strings.Join(*n, ", ") }

// oneOf is the value of a flag that takes one of some words: the first, if it is not given.
type oneOf struct {
	words []string
	word  string
}

// Set implements cli.Generic.
func (o *oneOf) Set(value string) error {
	if !slices.Contains(o.words, value) {
		return fmt.Errorf("expected one of %s", strings.Join(o.words, ", "))
	}
	o.word = value
	return nil
}

// String implements cli.Generic; the library asks it of a value without words, too.
func (o *oneOf) String() string {
	if o.word == "" && len(o.words) > 0 {
		return o.words[0]
	}
	return o.word
}

// timeOf reads --at; it is now if it is not given.
func timeOf(at string) (time.Time, error) {
	if at == "" {
		return time.Now(), nil
	}
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return t, usageError{fmt.Sprintf("--at %s: expected a time in RFC 3339, such as 2026-01-31T06:00:00Z", at), ""}
	}
	return t, nil
}

// plansOf are the plans without what belongs to the inputs.
func plansOf(planned []renderer.Planned) []*plan.Plan {
	plans := make([]*plan.Plan, len(planned))
	for n, p := range planned {
		plans[n] = p.Plan
	}
	return plans
}

// format is the value of --output.
type format struct{ json bool }

// Set implements cli.Generic.
func (f *format) Set(value string) error {
	switch value {
	case "text", "json":
		f.json = value == "json"
		return nil
	}
	return fmt.Errorf("expected text or json")
}

// String implements cli.Generic.
func (f *format) String() string {
	if f.json {
		return "json"
	}
	return "text"
}

func (f *format) flag() cli.Flag {
	return &cli.GenericFlag{Name: "output", Value: f, Usage: "`FORMAT` of what goes to stdout: text or json"}
}
