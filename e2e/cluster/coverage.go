package cluster

import (
	"errors"
	"os/exec"
	"strings"
)

// Holdfast runs the program in a folder, and returns what it prints and its exit
// status.
func Holdfast(dir string, arguments ...string) (stdout, stderr string, status int, err error) {
	program, err := holdfast()
	if err != nil {
		return "", "", 0, err
	}
	var out, said strings.Builder
	cmd := exec.Command(program, arguments...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &said
	err = cmd.Run()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		status, err = ended.ExitCode(), nil
	}
	return out.String(), said.String(), status, err
}
