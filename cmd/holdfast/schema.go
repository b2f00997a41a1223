package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/schemas"
)

const schemaSuffix = ".schema.json"

// newSchema is the command that hands out the contract.
func newSchema(c console) *cli.Command {
	return &cli.Command{
		Name:      "schema",
		Usage:     "print a JSON Schema, or list them",
		ArgsUsage: "[NAME]",
		Description: "The documents, what commands print with --output json, and what kinds of your own keep:\n" +
			"kind is their kind.json, images their images.json, unit what units(state) returns.",
		Action: func(ctx *cli.Context) error { return runSchema(c, ctx.Args().First()) },
	}
}

func runSchema(c console, name string) error {
	files, err := fs.Glob(schemas.FS, "*"+schemaSuffix) // sorted
	if err != nil {
		return err
	}
	names := make([]string, len(files))
	for i, file := range files {
		names[i] = strings.TrimSuffix(file, schemaSuffix)
	}
	if name == "" {
		return listSchemas(c, files, names)
	}
	wanted := strings.TrimSuffix(name, schemaSuffix)
	for i := range files {
		if names[i] == wanted {
			data, err := fs.ReadFile(schemas.FS, files[i])
			if err != nil {
				return err
			}
			return c.print(string(data))
		}
	}
	hint := "holdfast schema lists them"
	if near := problem.Nearest(wanted, names); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return usageError{fmt.Sprintf("there is no schema %q", name), hint}
}

func listSchemas(c console, files, names []string) error {
	var b screen
	titles := make([]string, len(files))
	for i, file := range files {
		data, err := fs.ReadFile(schemas.FS, file)
		if err != nil {
			return err
		}
		var head struct {
			Title string `json:"title"`
		}
		if err := json.Unmarshal(data, &head); err != nil {
			return fmt.Errorf("schema %s: %w", file, err)
		}
		titles[i] = head.Title
	}
	b.table([]string{"SCHEMA", "TITLE"}, len(names), func(n int) []string { return []string{names[n], titles[n]} })
	return c.print(strings.TrimSuffix(b.String(), "\n"))
}
