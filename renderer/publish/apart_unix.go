//go:build unix

package publish

import (
	"os/exec"
	"syscall"
)

// setApart starts a command in a process group of its own: a terminal sends its
// signals to the group in the foreground only.
func setApart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
