//go:build !unix

package publish

import "os/exec"

// setProcessGroup would keep a terminal's signals away from a command.
func setProcessGroup(*exec.Cmd) {}
