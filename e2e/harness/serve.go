package harness

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ServeOptions say how a server runs.
type ServeOptions struct {
	// Dir is its working directory; a new one owned by UID if "".
	Dir string
	// Env is its whole environment; PATH and HOME alone if nil.
	Env      []string
	UID, GID int
	// Ready tells when it serves; nil waits for nothing.
	Ready func() error
	// Start is how long that may take; a minute if 0.
	Start time.Duration
	// Limit is how long it may live; twenty minutes if 0, for a loaded machine.
	Limit time.Duration
	// Grace is how long it may take to stop after TERM; ten seconds if 0.
	Grace time.Duration
}

// Server is a server that the harness started.
type Server struct {
	Name, Dir string
	cmd       *exec.Cmd
	log       string
	done      chan struct{}
	once      sync.Once
	grace     time.Duration
}

// Serve starts a server in the foreground, and stops it when the test ends.
// argv[0] is a path, or a name for Program.
func Serve(t testing.TB, name string, argv []string, o ServeOptions) *Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = Folder(t, o.UID)
	}
	s, err := serve(name, argv, o, filepath.Join(Folder(t, 0), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", name, lastLines(s.Log(), 15))
		}
	})
	if err := s.wait(o); err != nil {
		t.Fatal(err)
	}
	return s
}

// Start is Serve for a server that outlives a test; the caller stops it.
func Start(name string, argv []string, o ServeOptions, logFile string) (*Server, error) {
	return serve(name, argv, o, logFile)
}

// serve starts a server that logs to a file.
func serve(name string, argv []string, o ServeOptions, logFile string) (*Server, error) {
	if o.Limit == 0 {
		o.Limit = 20 * time.Minute
	}
	if o.Grace == 0 {
		o.Grace = 10 * time.Second
	}
	if o.Env == nil {
		o.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + o.Dir}
	}
	s := &Server{Name: name, Dir: o.Dir, log: logFile, done: make(chan struct{}), grace: o.Grace}
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	path := argv[0]
	if !filepath.IsAbs(path) {
		if path, err = findProgram(path); err != nil {
			return nil, err
		}
	}
	s.cmd = exec.Command(path, argv[1:]...)
	s.cmd.Dir, s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = o.Dir, o.Env, log, log
	// A group of its own, so that Kill reaches what it forked.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if o.UID != 0 {
		s.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(o.UID), Gid: uint32(o.GID)}
	}
	if err := StartChild(s.cmd); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	limit := time.AfterFunc(o.Limit, s.Kill)
	go func() {
		defer close(s.done)
		// How it ended is in its log.
		_ = s.cmd.Wait()
		limit.Stop()
	}()
	return s, nil
}

// wait waits until the server is ready.
func (s *Server) wait(o ServeOptions) error {
	if o.Ready == nil {
		return nil
	}
	if o.Start == 0 {
		o.Start = time.Minute
	}
	return waitFor(s.Name+" is ready", o.Start, func() error {
		if !s.Running() {
			return &ended{s}
		}
		return o.Ready()
	})
}

// ended is the failure of a server that is no longer there; nobody waits for it.
type ended struct{ server *Server }

func (e *ended) Error() string {
	return fmt.Sprintf("%s ended:\n%s", e.server.Name, lastLines(e.server.Log(), 30))
}

// Pid is the server's process.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Running says whether the server has not ended.
func (s *Server) Running() bool {
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// Log is what it has written to stdout and stderr.
func (s *Server) Log() string {
	data, err := os.ReadFile(s.log)
	if err != nil {
		return fmt.Sprintf("(%v)", err)
	}
	return string(data)
}

// Signal sends it a signal: SIGSTOP makes it hang.
func (s *Server) Signal(signal syscall.Signal) {
	if s.Running() {
		_ = s.cmd.Process.Signal(signal)
	}
}

// Stop ends it and waits. One that does not end is killed.
func (s *Server) Stop() {
	s.once.Do(func() {
		s.Signal(syscall.SIGTERM)
		// One that was stopped cannot end.
		s.Signal(syscall.SIGCONT)
		select {
		case <-s.done:
		case <-time.After(s.grace):
		}
	})
	s.Kill()
}

// Kill ends it and what it forked at once, as a crash does, and waits.
func (s *Server) Kill() {
	// Once the leader is gone its number may be somebody else's.
	if s.Running() {
		_ = syscall.Kill(-s.Pid(), syscall.SIGKILL)
	}
	<-s.done
}

func lastLines(text string, n int) string {
	lines := bytes.Split([]byte(text), []byte("\n"))
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return string(bytes.Join(lines, []byte("\n")))
}
