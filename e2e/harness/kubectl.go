package harness

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/holdfast-backup/holdfast/e2e/harness/remote"
)

// Exec is one "kubectl exec" that a container asked for.
type Exec struct {
	Namespace, Pod, Container string
	Argv                      []string
	Stdin                     io.Reader // empty without --stdin
	Stdout, Stderr            io.Writer
}

// KubectlOptions say what a stand-in for kubectl answers by itself. Everything
// else goes to the real one.
type KubectlOptions struct {
	// Exec runs "kubectl exec" in the test and returns the exit code.
	Exec func(Exec) int
	// FreeLocks answers guard.sh as if every lock were free.
	FreeLocks bool
	// Asks lets Exec first ask the API server for the pod and for the right to
	// exec in it, as the real one does.
	Asks bool
	// Pod is what "kubectl get pod" prints, in the form that is asked for; "" asks
	// the API server.
	Pod string
}

// Kubectl makes a folder with a stand-in for kubectl, for Image.Bin.
func Kubectl(t testing.TB, o KubectlOptions) string {
	t.Helper()
	folder := Folder(t, 0)
	data, err := os.ReadFile(ownProgram(t, "kubectl"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "kubectl"), data, 0o755); err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(remote.Kubectl{FreeLocks: o.FreeLocks, Exec: o.Exec != nil, Asks: o.Asks, Pod: o.Pod})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "kubectl.json"), config, 0o644); err != nil {
		t.Fatal(err)
	}
	if o.Exec == nil {
		return folder
	}
	socket := filepath.Join(folder, "exec.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(socket, 0o777); err != nil {
		t.Fatal(err)
	}
	var calls sync.WaitGroup
	calls.Add(1)
	go func() {
		defer calls.Done()
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			calls.Add(1)
			go func() {
				defer calls.Done()
				defer connection.Close()
				serveExec(connection, o.Exec)
			}()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		calls.Wait()
	})
	return folder
}

// serveExec answers one call. A caller that went away does not matter here.
func serveExec(connection net.Conn, run func(Exec) int) {
	r := bufio.NewReader(connection)
	call, err := remote.ReadCall(r)
	if err != nil {
		return
	}
	answer := remote.NewAnswer(connection)
	code := run(Exec{
		Namespace: call.Namespace, Pod: call.Pod, Container: call.Container, Argv: call.Argv,
		Stdin: r, Stdout: answer.Stdout(), Stderr: answer.Stderr(),
	})
	_ = answer.Exit(code)
}
