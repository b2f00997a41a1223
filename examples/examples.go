// Package examples holds inputs that show one point each. They are what the
// golden trees are rendered from, and what tests and newcomers start with.
package examples

import (
	"embed"
	"errors"
	"io/fs"
	"path"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/templates"
)

// FS holds this folder.
//
//go:embed *
var FS embed.FS

// Case is one example: the documents of one instance, or of several, each in a
// folder of its own.
type Case struct {
	Name   string
	Inputs renderer.Inputs
	// Templates are the built-in ones, and the example's own kinds if it has
	// a folder kinds.
	Templates fs.FS
}

// All reads every example, by name.
func All() ([]Case, error) {
	entries, err := FS.ReadDir(".")
	if err != nil {
		return nil, err
	}
	var cases []Case
	for _, entry := range entries {
		if entry.IsDir() {
			c, err := read(entry.Name())
			if err != nil {
				return nil, err
			}
			cases = append(cases, c)
		}
	}
	return cases, nil
}

// read reads one example.
func read(name string) (Case, error) {
	c := Case{Name: name, Templates: templates.FS}
	err := fs.WalkDir(FS, name, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		document := func() input.Document {
			data, readErr := FS.ReadFile(file)
			err = errors.Join(err, readErr)
			return input.Document{Name: path.Base(file), Data: data}
		}
		switch path.Base(file) {
		case "runtime-state.json":
			c.Inputs.States = append(c.Inputs.States, document())
		case "backup-credentials.json":
			c.Inputs.Credentials = append(c.Inputs.Credentials, document())
		case "policy.json":
			policy := document()
			c.Inputs.Policy = &policy
		}
		return err
	})
	if err != nil {
		return c, err
	}
	if kinds, err := fs.Sub(FS, name+"/kinds"); err == nil {
		if _, err := fs.Stat(FS, name+"/kinds"); err == nil {
			c.Templates, err = kind.Overlay(templates.FS, kinds, path.Join("examples", name, "kinds"))
			return c, err
		}
	}
	return c, nil
}
