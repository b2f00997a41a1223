//go:build unix

package publish

import (
	"os/exec"
	"syscall"
)

// setProcessGroup starts a command in a process group of its own: a terminal sends its
// signals to the group in the foreground only.
func setProcessGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
