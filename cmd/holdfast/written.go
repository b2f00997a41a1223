package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer/emit"
)

// writtenOption is for hooks before a commit: pre-commit itself sees when a file
// that Git knows has changed, but passes over new ones.
type writtenOption struct{ fail bool }

func (o *writtenOption) flag() cli.Flag {
	return &cli.BoolFlag{Name: "fail-if-written", Destination: &o.fail, DisableDefaultText: true,
		Usage: "exit with 1 if any file was added, changed or removed, for hooks"}
}

// check refuses the option where nothing is written.
func (o *writtenOption) check(dir string) error {
	if o.fail && dir == "" {
		return usageError{"--fail-if-written needs --out: a stream writes no files", ""}
	}
	return nil
}

// verdict fails when something was written and that is to fail.
func (o *writtenOption) verdict(dir string, changes emit.Changes) error {
	if !o.fail || len(changes) == 0 {
		return nil
	}
	return failure{fmt.Errorf("%s was not up to date and is now: %s; add it to the commit", dir, count(len(changes), "file", "files"))}
}
