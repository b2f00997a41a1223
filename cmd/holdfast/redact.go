package main

import (
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/mask"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// newRedact is the command that takes the secrets out of credentials.
func newRedact(c console) *cli.Command {
	var credentials onePath
	return &cli.Command{
		Name:      "redact",
		Usage:     "print credentials without their secret values, for check --without-values",
		UsageText: "holdfast redact -c CREDENTIALS > backup-credentials.public.json",
		Description: "null stands in the place of each secret value; where the backups are, for whom\n" +
			"Secrets are encrypted and when keys end stays. The result may be committed.",
		Flags: []cli.Flag{
			&cli.GenericFlag{Name: "credentials", Aliases: []string{"c"}, Value: &credentials,
				Usage: "`PATH` of a backup-credentials.json, or - for stdin; sops may have encrypted its secret fields"},
		},
		Action: func(*cli.Context) error { return runRedact(c, credentials.value) },
	}
}

func runRedact(c console, name string) error {
	if name == "" {
		return usageError{"redact needs --credentials", "holdfast redact --credentials backup-credentials.json"}
	}
	r := reader{stdin: c.in, secrets: c.secrets}
	document, err := r.document(name)
	if err != nil {
		return err
	}
	document.Secret = true
	redacted, values, err := input.Redact(document)
	if err != nil {
		return err
	}
	// A field under a wrong name may be a secret: nothing is printed but what the
	// schema knows.
	validator, err := input.NewValidator(nil)
	if err != nil {
		return err
	}
	tree, problems := input.Load(redacted)
	if len(problems) == 0 {
		_, problems = validator.Validate(nil, []*input.Tree{tree}, nil)
	}
	problems = slices.DeleteFunc(problems, func(p problem.Problem) bool {
		return p.Rule == "HF010" && p.Pointer == "/instanceId" // there is no state here
	})
	var finder mask.Finder
	for i, value := range values {
		if !value.IsName() {
			finder.Add(value.Value, i)
		}
	}
	found := map[int]bool{}
	finder.In(string(redacted.Data), func(i int) { found[i] = true })
	for i, value := range values {
		if found[i] {
			problems = append(problems, problem.Problem{File: document.Name, Pointer: value.Pointer, Rule: "HF415",
				Message: "the value stands in a field that is no secret, too", Hint: "choose another secret, or take it out of the other field"})
		}
	}
	if len(problems) > 0 {
		return problems.Sorted()
	}
	// Not masked: nothing of it is secret, and a login may be an ordinary word.
	_, err = fmt.Fprint(c.out, string(redacted.Data))
	return outside(err)
}
