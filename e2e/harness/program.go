// Package harness runs the containers of a rendered tree on this machine as
// Kubernetes would, against real servers that it starts on loopback.
package harness

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Program finds a program that e2e/setup.sh installs: in .cache/e2e, in PATH,
// or where Debian keeps its servers. A missing one fails the test.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := findProgram(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// FindProgram is Program for what runs outside of a test.
func FindProgram(name string) (string, error) { return findProgram(name) }

func findProgram(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	places, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil {
		return "", err
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	places = append([]string{filepath.Join(root, "..", ".cache", "e2e", name)}, append(places, "/usr/sbin/"+name)...)
	if path, err := exec.LookPath(name); err == nil {
		places = append(places[:1], append([]string{path}, places[1:]...)...)
	}
	for _, place := range places {
		// What is no program but a file or folder lies in .cache/e2e.
		if info, err := os.Stat(place); err == nil && (info.Mode().IsRegular() && info.Mode()&0o111 != 0 || place == places[0]) {
			return place, nil
		}
	}
	return "", fmt.Errorf("%s is missing: run e2e/setup.sh", name)
}

// ModuleRoot is the folder of this module. Tests run in a folder below it.
func ModuleRoot() (string, error) { return moduleRoot() }

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(data), "module github.com/holdfast-backup/holdfast/e2e\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("the tests do not run below the module's folder")
		}
	}
}

// builder of the harness' own programs, once in each test binary.
var buildOwn = sync.OnceValues(func() (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	// Checkouts may share a cache, and each has a harness of its own.
	cache := filepath.Join(root, "..", ".cache", "e2e", "harness", fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(root))))
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	// Test binaries that run at the same time must not see half a program.
	work, err := os.MkdirTemp(cache, "build")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	build := exec.Command("go", "build", "-buildvcs=false", "-o", work, "./harness/container", "./harness/kubectl", "./cluster/node")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the harness: %w\n%s", err, out)
	}
	for _, name := range []string{"container", "kubectl", "node"} {
		if err := os.Rename(filepath.Join(work, name), filepath.Join(cache, name)); err != nil {
			return "", err
		}
	}
	return cache, nil
})

// ownProgram is a program of the harness.
func ownProgram(t testing.TB, name string) string {
	t.Helper()
	cache, err := buildOwn()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(cache, name)
}

// OwnProgram is a program of this module: "node" of the cluster.
func OwnProgram(name string) (string, error) {
	cache, err := buildOwn()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, name), nil
}

// Folder makes a folder for the test that any user can reach, owned by uid. It
// goes when the test ends.
func Folder(t testing.TB, uid int) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "holdfast-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Errorf("removing a folder of the test: %v", err)
		}
	})
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(folder, uid, -1); err != nil {
		t.Fatal(err)
	}
	return folder
}

// Port is a free port on loopback.
func Port(t testing.TB) int {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// ClosedPort is a port of 127.0.0.1 at which nothing answers, and no other test's
// server can before this one ends: it is bound, and nobody listens.
func ClosedPort(t testing.TB) int {
	t.Helper()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(socket) })
	if err := unix.Bind(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	address, err := unix.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	return address.(*unix.SockaddrInet4).Port
}

// The ports that freePort hands out: below those from which the kernel takes one
// for each connection, or somebody's connection could have it first.
const firstPort, lastPort = 10000, 30000

// nextPort begins at another place in each process.
var nextPort = func() *atomic.Int64 {
	var next atomic.Int64
	next.Store(rand.Int64N(lastPort - firstPort))
	return &next
}()

// freePort never hands out a port twice.
func freePort() (int, error) {
	for range lastPort - firstPort {
		port := firstPort + int(nextPort.Add(1)%(lastPort-firstPort))
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, errors.New("no port is free")
}

// Patience is how long a state may take to come, and a command to end that has
// a deadline, on a machine that is busy with other things. Only what is broken
// takes so long.
const Patience = 2 * time.Minute

// WaitFor calls f until it returns nil; after the limit, which is never less than
// Patience, it fails the test.
func WaitFor(t testing.TB, what string, limit time.Duration, f func() error) {
	t.Helper()
	if err := waitFor(what, limit, f); err != nil {
		t.Fatal(err)
	}
}

func waitFor(what string, limit time.Duration, f func() error) error {
	limit = max(limit, Patience)
	end := time.Now().Add(limit)
	for {
		err := f()
		if err == nil {
			return nil
		}
		var gone *ended
		if time.Now().After(end) || errors.As(err, &gone) {
			return fmt.Errorf("%s: not within %s: %w", what, limit, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Listening returns a check for WaitFor: whether something listens there.
func Listening(address string) func() error {
	return func() error {
		connection, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return err
		}
		return connection.Close()
	}
}

// NotApplicable records that a check makes no sense for a kind. The result
// table shows the reason.
func NotApplicable(t testing.TB, reason string) {
	t.Helper()
	t.Logf("not applicable: %s", reason)
}
