package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// newCompletion is the command that teaches a shell our words. The scripts hold
// them all: nothing calls the program back while somebody types.
func newCompletion(c console, app *cli.App) *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a completion script for bash, zsh or fish",
		ArgsUsage: "bash|zsh|fish",
		Description: "bash: source <(holdfast completion bash)\n" +
			"zsh:  source <(holdfast completion zsh)\n" +
			"fish: holdfast completion fish | source",
		Action: func(ctx *cli.Context) error { return runCompletion(c, app.Commands, ctx.Args().First()) },
	}
}

func runCompletion(c console, commands []*cli.Command, shell string) error {
	switch shell {
	case "bash":
		return c.print(bashCompletion(commands))
	case "zsh":
		// zsh runs bash's completions, by a function of its own.
		return c.print("autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n" + bashCompletion(commands))
	case "fish":
		return c.print(fishCompletion(commands))
	case "":
		return usageError{"completion needs the name of a shell", "holdfast completion bash, zsh or fish"}
	}
	hint := "there are bash, zsh and fish"
	if near := problem.Nearest(shell, []string{"bash", "zsh", "fish"}); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return usageError{fmt.Sprintf("there is no completion for %q", shell), hint}
}

// option is a flag as a shell sees it.
type option struct {
	long, short, usage string
	takesValue         bool
}

// optionsOf lists a command's flags and --help, which the library adds later.
func optionsOf(cmd *cli.Command) []option {
	var options []option
	for _, flag := range cmd.Flags {
		var o option
		for _, name := range flag.Names() {
			if len(name) == 1 {
				o.short = name
			} else {
				o.long = name
			}
		}
		if o.long == "help" {
			continue
		}
		if documented, ok := flag.(cli.DocGenerationFlag); ok {
			o.usage = strings.ReplaceAll(documented.GetUsage(), "`", "")
			o.takesValue = documented.TakesValue()
		}
		options = append(options, o)
	}
	return append(options, option{long: "help", short: "h", usage: "show help"})
}

// argumentsOf lists the words that a command takes as its argument, as its
// ArgsUsage spells them in lower case.
func argumentsOf(cmd *cli.Command) []string {
	var words []string
	for _, word := range strings.Split(cmd.ArgsUsage, "|") {
		if word != "" && strings.ToLower(word) == word {
			words = append(words, word)
		}
	}
	return words
}

func bashCompletion(commands []*cli.Command) string {
	var b strings.Builder
	names := make([]string, len(commands))
	for i, cmd := range commands {
		names[i] = cmd.Name
	}
	b.WriteString("_holdfast() {\n")
	b.WriteString("  local words\n")
	b.WriteString("  if [ \"$COMP_CWORD\" -eq 1 ]; then\n")
	fmt.Fprintf(&b, "    words='%s --help --version'\n", strings.Join(names, " "))
	b.WriteString("  else\n    case \"${COMP_WORDS[1]}\" in\n")
	for _, cmd := range commands {
		words := argumentsOf(cmd)
		for _, o := range optionsOf(cmd) {
			words = append(words, "--"+o.long)
		}
		fmt.Fprintf(&b, "      %s) words='%s' ;;\n", cmd.Name, strings.Join(words, " "))
	}
	b.WriteString("    esac\n  fi\n")
	b.WriteString("  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n")
	b.WriteString("complete -o bashdefault -o default -F _holdfast holdfast\n")
	return b.String()
}

func fishCompletion(commands []*cli.Command) string {
	var b strings.Builder
	quote := func(s string) string {
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
	}
	for _, cmd := range commands {
		fmt.Fprintf(&b, "complete -c holdfast -n __fish_use_subcommand -f -a %s -d %s\n", cmd.Name, quote(cmd.Usage))
	}
	for _, cmd := range commands {
		condition := quote("__fish_seen_subcommand_from " + cmd.Name)
		for _, word := range argumentsOf(cmd) {
			fmt.Fprintf(&b, "complete -c holdfast -n %s -f -a %s\n", condition, word)
		}
		for _, o := range optionsOf(cmd) {
			fmt.Fprintf(&b, "complete -c holdfast -n %s -l %s", condition, o.long)
			if o.short != "" {
				fmt.Fprintf(&b, " -s %s", o.short)
			}
			if o.takesValue {
				b.WriteString(" -r")
			}
			fmt.Fprintf(&b, " -d %s\n", quote(o.usage))
		}
	}
	return b.String()
}
