// Node is a Kubernetes node in namespaces of its own: it gives itself mounts,
// processes, a host name and cgroups that nobody else sees, and starts
// containerd and kubelet in them. When it ends, the pods, their mounts and all
// else of it are gone. The network namespace is the caller's.
//
//	node SPEC.json
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Spec says what node runs. The caller writes it as JSON.
type Spec struct {
	// Dir holds the node's files: containerd.toml and, once it is to start,
	// kubelet's arguments in kubelet.json.
	Dir, Hostname string
	// Group is the name of the node's cgroups.
	Group string
	// Images are archives to import.
	Images []string
	// Kubelet is the program.
	Kubelet string
}

// inside is the argument with which node starts itself again.
const inside = "inside"

func main() {
	if len(os.Args) < 2 {
		fatal(errors.New("the spec is missing"))
	}
	data, err := os.ReadFile(os.Args[1])
	if err != nil {
		fatal(err)
	}
	var s Spec
	if err := json.Unmarshal(data, &s); err != nil {
		fatal(err)
	}
	if len(os.Args) == 3 && os.Args[2] == inside {
		fatal(s.run())
	}
	fatal(s.enter(os.Args[1]))
}

func fatal(err error) {
	if err == nil {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "node:", err)
	os.Exit(1)
}

// weight is the node's share of the machine: that of two busy processes (1024 each)
// for each core. A group has that of one if nobody says otherwise, and of a machine
// that does something else as well, all pods together would have next to nothing.
func weight() int { return 2 * 1024 * runtime.NumCPU() }

// group is this node's folder in one hierarchy of cgroups.
type group struct{ folder, controllers string }

// groups lists them; each lies below the cgroup that this process is in.
func (s *Spec) groups() ([]group, error) {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	var groups []group
	for line := range strings.Lines(string(data)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 || parts[1] == "" {
			continue
		}
		root := filepath.Join("/sys/fs/cgroup", strings.TrimPrefix(parts[1], "name="))
		if _, err := os.Stat(root); err == nil {
			groups = append(groups, group{filepath.Join(root, parts[2], s.Group), parts[1]})
		}
	}
	if len(groups) == 0 {
		return nil, errors.New("this machine has no cgroups of version 1")
	}
	return groups, nil
}

// enter makes the cgroups, moves into them, and starts itself again in new
// namespaces. It removes the cgroups at the end.
func (s *Spec) enter(spec string) error {
	groups, err := s.groups()
	if err != nil {
		return err
	}
	home := make([]string, len(groups))
	for i, g := range groups {
		home[i] = filepath.Dir(g.folder)
		if err := os.MkdirAll(g.folder, 0o755); err != nil {
			return err
		}
		if g.controllers == "cpuset" {
			// Nothing can enter one that has neither.
			for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
				value, err := os.ReadFile(filepath.Join(home[i], name))
				if err == nil {
					err = os.WriteFile(filepath.Join(g.folder, name), value, 0o644)
				}
				if err != nil {
					return err
				}
			}
		}
		if slices.Contains(strings.Split(g.controllers, ","), "cpu") {
			if err := os.WriteFile(filepath.Join(g.folder, "cpu.shares"), []byte(strconv.Itoa(weight())), 0o644); err != nil {
				return err
			}
		}
		if err := move(g.folder); err != nil {
			return err
		}
	}
	child := exec.Command("/proc/self/exe", spec, inside)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP,
		Pdeathsig:  syscall.SIGKILL,
	}
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err = child.Start()
	if err == nil {
		err = os.WriteFile(filepath.Join(s.Dir, "node.pid"), []byte(strconv.Itoa(child.Process.Pid)), 0o644)
		go func() {
			<-ended.Done()
			// Process 1 takes with it all that is in its namespace.
			_ = child.Process.Kill()
		}()
		err = errors.Join(err, child.Wait())
	}
	for i, g := range groups {
		_ = move(home[i])
		for range 50 {
			if removeGroup(g.folder) == nil {
				break
			}
			time.Sleep(100 * time.Millisecond) // its processes are ending
		}
	}
	if ended.Err() != nil {
		return nil
	}
	return err
}

func move(folder string) error {
	return os.WriteFile(filepath.Join(folder, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0o644)
}

// removeGroup removes a cgroup with those below it.
func removeGroup(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		if entry.IsDir() {
			_ = removeGroup(filepath.Join(folder, entry.Name()))
		}
	}
	return errors.Join(err, syscall.Rmdir(folder))
}

// run is process 1 of the node.
func (s *Spec) run() error {
	if err := s.mount(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
		return err
	}
	containerd, err := s.start("containerd", "containerd", "--config", filepath.Join(s.Dir, "containerd.toml"))
	if err != nil {
		return err
	}
	go func() {
		if err := s.prepare(); err != nil {
			fatal(err)
		}
	}()
	// What loses its parent comes to process 1, which must reap it.
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return err
		case pid == containerd:
			return fmt.Errorf("containerd ended: %d", status.ExitStatus())
		default:
			s.reaped(pid, status)
		}
	}
}

// waiting are the processes that prepare waits for.
var waiting = make(chan exit, 64)

type exit struct {
	pid    int
	status syscall.WaitStatus
}

func (s *Spec) reaped(pid int, status syscall.WaitStatus) {
	select {
	case waiting <- exit{pid, status}:
	default: // nobody waits any more
	}
}

// prepare imports the images, and starts kubelet as soon as it has arguments.
func (s *Spec) prepare() error {
	ctr := func(name string, arguments ...string) error {
		pid, err := s.start(name, "ctr", append([]string{"--namespace", "k8s.io"}, arguments...)...)
		if err != nil {
			return err
		}
		for e := range waiting {
			if e.pid == pid {
				if e.status.ExitStatus() != 0 {
					return fmt.Errorf("ctr %s: exit status %d", strings.Join(arguments, " "), e.status.ExitStatus())
				}
				return nil
			}
		}
		return nil
	}
	var err error
	for range 100 {
		if err = ctr("ctr", "version"); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, archive := range s.Images {
		if err == nil {
			err = ctr("ctr", "images", "import", archive)
		}
	}
	if err != nil {
		return err
	}
	file := filepath.Join(s.Dir, "kubelet.json")
	for {
		data, err := os.ReadFile(file)
		if err == nil {
			var arguments []string
			if err := json.Unmarshal(data, &arguments); err != nil {
				return err
			}
			_, err = s.start("kubelet", s.Kubelet, arguments...)
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// start starts a program of the node that logs to a file.
func (s *Spec) start(name, program string, arguments ...string) (int, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return 0, err
	}
	log, err := os.OpenFile(filepath.Join(s.Dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer nothing.Close()
	process, err := os.StartProcess(path, append([]string{program}, arguments...), &os.ProcAttr{
		Env:   []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/run"},
		Files: []*os.File{nothing, log, log},
	})
	if err != nil {
		return 0, fmt.Errorf("starting %s: %w", name, err)
	}
	pid := process.Pid
	return pid, process.Release()
}

// settings of the kernel that kubelet insists on writing. It writes to files in
// their place: the machine's own stay as they are.
var settings = map[string]string{
	"vm/overcommit_memory": "1", "vm/panic_on_oom": "0",
	"kernel/panic": "10", "kernel/panic_on_oops": "1",
	"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
}

// mount gives the node views of its own of what kubelet and containerd write
// to, so that none of it lands in the machine's folders.
func (s *Spec) mount() error {
	names, err := s.groups()
	if err != nil {
		return err
	}
	for _, step := range []struct {
		what, source, target, kind string
		flags                      uintptr
		data                       string
	}{
		{"leaving the machine's mounts", "", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""},
		// Volumes that kubelet mounts must reach the containers.
		{"sharing mounts", "", "/", "", unix.MS_REC | unix.MS_SHARED, ""},
		{"processes", "proc", "/proc", "proc", 0, ""},
		{"the network's devices", "sysfs", "/sys", "sysfs", 0, ""},
		{"cgroups", "tmpfs", "/sys/fs/cgroup", "tmpfs", 0, "mode=755"},
		{"/run", "tmpfs", "/run", "tmpfs", 0, "mode=755"},
		{"/var/lib", "tmpfs", "/var/lib", "tmpfs", 0, "mode=755"},
		{"/var/log", "tmpfs", "/var/log", "tmpfs", 0, "mode=755"},
	} {
		if err := unix.Mount(step.source, step.target, step.kind, step.flags, step.data); err != nil {
			return fmt.Errorf("mounting %s: %w", step.what, err)
		}
	}
	for _, g := range names {
		folder := filepath.Join("/sys/fs/cgroup", strings.TrimPrefix(g.controllers, "name="))
		options := g.controllers
		if strings.HasPrefix(options, "name=") {
			options = "none," + options
		}
		err := os.MkdirAll(folder, 0o755)
		if err == nil {
			err = unix.Mount("cgroup", folder, "cgroup", 0, options)
		}
		if err != nil {
			return fmt.Errorf("mounting the cgroup %s: %w", g.controllers, err)
		}
	}
	return s.protect()
}

// protect makes /proc/sys read-only but for the network's, which is the
// namespace's own, and puts files in the place of some settings.
func (s *Spec) protect() error {
	bind := func(from, to string) error {
		if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("binding %s to %s: %w", from, to, err)
		}
		return nil
	}
	network := filepath.Join(s.Dir, "sys-net")
	if err := os.MkdirAll(network, 0o755); err != nil {
		return err
	}
	if err := errors.Join(bind("/proc/sys/net", network), bind("/proc/sys", "/proc/sys")); err != nil {
		return err
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/proc/sys", 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return fmt.Errorf("making /proc/sys read-only: %w", err)
	}
	if err := bind(network, "/proc/sys/net"); err != nil {
		return err
	}
	for name, value := range settings {
		file := filepath.Join(s.Dir, "sys-"+strings.ReplaceAll(name, "/", "-"))
		if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := bind(file, filepath.Join("/proc/sys", name)); err != nil {
			return err
		}
	}
	return nil
}
