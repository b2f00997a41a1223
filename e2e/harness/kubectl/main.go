// Kubectl stands in for kubectl inside a container of the harness: it answers
// what kubectl.json says, and hands everything else to the kubectl that it took
// the place of.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/holdfast-backup/holdfast/e2e/harness/remote"
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		code = 1
	}
	os.Exit(code)
}

func run(args []string) (int, error) {
	// Not beside the program, for that is copied from image to image.
	const dir = remote.Behind + "/stand-in"
	data, err := os.ReadFile(filepath.Join(dir, "kubectl.json"))
	if err != nil {
		return 0, err
	}
	var config remote.Kubectl
	if err := json.Unmarshal(data, &config); err != nil {
		return 0, err
	}
	words := slices.DeleteFunc(slices.Clone(args), func(a string) bool { return strings.HasPrefix(a, "-") })
	is := func(wanted ...string) bool {
		return len(words) >= len(wanted) && slices.Equal(words[:len(wanted)], wanted)
	}
	switch {
	case config.Exec && is("exec"):
		return remoteExec(dir, args, config.Asks)
	case config.Pod != "" && is("get", "pod"):
		_, err := fmt.Print(config.Pod)
		return 0, err
	case config.FreeLocks && (is("get", "configmap") || is("patch", "configmap") || is("get", "pods")):
		// An absent lock is a free one, and there is no pod to wait for.
		return 0, nil
	}
	return 0, syscall.Exec(realKubectl, append([]string{"kubectl"}, args...), os.Environ())
}

// realKubectl is the one that this stands in for.
const realKubectl = remote.Behind + "/kubectl"

// remoteExec runs "kubectl exec" through the test's socket.
func remoteExec(dir string, args []string, ask bool) (int, error) {
	call, err := remote.ParseExec(args)
	if err != nil {
		return 0, err
	}
	if ask {
		if err := allowed(call); err != nil {
			return 0, err
		}
	}
	connection, err := net.DialUnix("unix", nil, &net.UnixAddr{Net: "unix", Name: filepath.Join(dir, "exec.sock")})
	if err != nil {
		return 0, fmt.Errorf("unable to upgrade connection: %w", err)
	}
	if err := remote.WriteCall(connection, call); err != nil {
		return 0, err
	}
	go func() {
		if call.HasStdin {
			// The other side may stop reading before the end.
			_, _ = io.Copy(connection, os.Stdin)
		}
		_ = connection.CloseWrite()
	}()
	code, err := remote.ReadAnswer(connection, os.Stdout, os.Stderr)
	if err != nil {
		return 0, fmt.Errorf("the connection to the pod was lost: %w", err)
	}
	if code != 0 {
		fmt.Fprintln(os.Stderr, "command terminated with exit code", code)
	}
	return code, nil
}

// allowed asks the API server for what kubectl itself would do there.
func allowed(call remote.Call) error {
	namespace := "--namespace=" + call.Namespace
	for _, args := range [][]string{
		{"get", "pod", call.Pod, "--output=name", namespace},
		{"auth", "can-i", "create", "pods/" + call.Pod, "--subresource=exec", "--quiet", namespace},
	} {
		cmd := exec.Command(realKubectl, args...)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("kubectl %s: %w", strings.Join(args, " "), err)
		}
	}
	return nil
}
