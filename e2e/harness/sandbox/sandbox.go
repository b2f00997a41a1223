// Package sandbox starts one program as a container runtime would: in mount,
// process, IPC and host-name namespaces of its own, on a read-only root, with a
// given user and no capabilities. The network is the machine's.
package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Spec says what to run. It is handed to Enter as JSON.
type Spec struct {
	// Root is the folder that becomes "/". Everything that is mounted on must
	// exist in it.
	Root         string
	ReadOnlyRoot bool
	Mounts       []Mount
	Hostname     string
	Argv         []string
	Env          []string
	UID, GID     int
	// Capabilities, by number, that a program of uid 0 keeps. Others get none.
	Capabilities []int
	// Exec runs the program beside process 1, as kubectl exec does; else it is
	// process 1.
	Exec bool
}

// Mount is a host folder or file, or an empty tmpfs where Source is "".
type Mount struct {
	Source, Target string
	ReadOnly       bool
	// Size of a tmpfs, as mount takes it; "" for no limit.
	Size string
	// Mode of a tmpfs' folder, in octal.
	Mode string
}

// Flags are those of clone(2) that Enter's process needs.
const Flags = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// launch is the argument with which Enter starts itself again.
const launch = "launch"

// Enter reads a Spec and becomes its program. It returns only on a failure, or
// the exit status for a Spec with Exec.
func Enter(args []string, spec io.Reader) (int, error) {
	data, err := io.ReadAll(spec)
	if err != nil {
		return 0, fmt.Errorf("reading the spec: %w", err)
	}
	var s Spec
	if err := json.Unmarshal(data, &s); err != nil {
		return 0, fmt.Errorf("reading the spec: %w", err)
	}
	if len(args) > 0 && args[0] == launch {
		return 0, s.launch()
	}
	if err := s.mount(); err != nil {
		return 0, err
	}
	if !s.Exec {
		return 0, s.launch()
	}
	return s.beside(data)
}

// mount builds the root and moves into it.
func (s *Spec) mount() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount(s.Root, s.Root, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("binding the root: %w", err)
	}
	if err := unix.Mount("proc", s.Root+"/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	for _, m := range s.Mounts {
		target := filepath.Join(s.Root, m.Target)
		if err := m.attach(target); err != nil {
			return fmt.Errorf("mounting %s: %w", m.Target, err)
		}
	}
	if s.ReadOnlyRoot {
		if err := readOnly(s.Root, 0); err != nil {
			return fmt.Errorf("making the root read-only: %w", err)
		}
	}
	if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	if err := os.Chdir(s.Root); err != nil {
		return err
	}
	// The old root lands on top of the new one, and goes.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("entering the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the old root: %w", err)
	}
	return os.Chdir("/")
}

// attach mounts m.
func (m *Mount) attach(target string) error {
	if m.Source == "" {
		options := "mode=" + m.Mode
		if m.Size != "" {
			options += ",size=" + m.Size
		}
		return unix.Mount("tmpfs", target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options)
	}
	if err := unix.Mount(m.Source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if m.ReadOnly {
		return readOnly(target, unix.AT_RECURSIVE)
	}
	return nil
}

// readOnly makes a mount read-only, with all below it if flags say so.
func readOnly(target string, flags uint) error {
	return unix.MountSetattr(unix.AT_FDCWD, target, flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

// launch gives up all rights and becomes the program.
func (s *Spec) launch() error {
	// Bounding set and no_new_privs belong to a thread; exec takes the
	// caller's.
	runtime.LockOSThread()
	keep := map[int]bool{}
	for _, c := range s.Capabilities {
		keep[c] = true
	}
	for c := 0; c <= unix.CAP_LAST_CAP; c++ {
		if keep[c] {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("dropping capability %d: %w", c, err)
		}
	}
	if err := syscall.Setgroups([]int{}); err != nil {
		return fmt.Errorf("dropping groups: %w", err)
	}
	if err := syscall.Setresgid(s.GID, s.GID, s.GID); err != nil {
		return fmt.Errorf("setting the group: %w", err)
	}
	if err := syscall.Setresuid(s.UID, s.UID, s.UID); err != nil {
		return fmt.Errorf("setting the user: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbidding new privileges: %w", err)
	}
	path, err := lookPath(s.Argv[0], s.Env)
	if err != nil {
		return err
	}
	unix.CloseOnExec(3)
	// A runtime ignores no signal. Who was started under nohup does, and so would the
	// program, unless somebody listens.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT)
	return fmt.Errorf("%s: %w", path, syscall.Exec(path, s.Argv, s.Env))
}

// lookPath finds a program in the PATH of env, not in ours.
func lookPath(name string, env []string) (string, error) {
	for _, e := range env {
		if len(e) > 5 && e[:5] == "PATH=" {
			if err := os.Setenv("PATH", e[5:]); err != nil {
				return "", err
			}
		}
	}
	return exec.LookPath(name)
}

// beside starts the program as a child and passes signals on to it.
func (s *Spec) beside(spec []byte) (int, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	child := exec.Command("/proc/self/exe", launch)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.ExtraFiles = []*os.File{read}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGUSR1)
	if err := child.Start(); err != nil {
		return 0, fmt.Errorf("starting the program: %w", err)
	}
	read.Close()
	go func() {
		for s := range signals {
			// It may be gone already; Wait tells.
			_ = child.Process.Signal(s)
		}
	}()
	if _, err := write.Write(spec); err != nil {
		return 0, fmt.Errorf("handing over the spec: %w", err)
	}
	write.Close()
	if err := child.Wait(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			return 0, err
		}
	}
	return Code(child.ProcessState), nil
}

// Code is the exit status as a shell shows it: 128 and more for a signal.
func Code(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}
