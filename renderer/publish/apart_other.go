//go:build !unix

package publish

import "os/exec"

// setApart would keep a terminal's signals away from a command.
func setApart(*exec.Cmd) {}
