package harness

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// StartChild starts a command that is killed when the tests end, however they
// end. Linux sends that signal when the thread that started the command ends, and a
// goroutine that gives capabilities away takes its thread with it: so one thread,
// which never ends, starts them all.
func StartChild(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error, 1)
	starter() <- func() { started <- cmd.Start() }
	return <-started
}

// starter takes what the one thread does.
var starter = sync.OnceValue(func() chan<- func() {
	calls := make(chan func())
	go func() {
		runtime.LockOSThread()
		for call := range calls {
			call()
		}
	}()
	return calls
})
