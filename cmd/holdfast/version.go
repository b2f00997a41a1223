package main

import (
	"fmt"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

// newVersion is the command to start a report with.
func newVersion(c console) *cli.Command {
	return &cli.Command{
		Name:   "version",
		Usage:  "print the version, the commit and the Go release it was built with",
		Action: func(*cli.Context) error { return c.print("holdfast version " + version() + "\n") },
	}
}

// release is set by the linker in hack/dist.sh: a release is named by its tag and
// carries nothing that differs between two builds of it.
var release string //nolint:gochecknoglobals // the linker knows no other place

// version is the release, or else what Go itself wrote into the binary: no flag
// of a build can forget that.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if release != "" {
		return release + " " + info.GoVersion
	}
	commit, modified := "", ""
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			commit = setting.Value
		case setting.Key == "vcs.modified" && setting.Value == "true":
			modified = ", modified"
		}
	}
	text := info.Main.Version
	if text == "" {
		text = "(devel)"
	}
	if commit != "" {
		text += fmt.Sprintf(" (commit %.12s%s)", commit, modified)
	}
	return text + " " + info.GoVersion
}
