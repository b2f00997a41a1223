package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"holdfast": main})
}

// TestScript runs testdata/*.txtar, the contract of the command line. A folder
// with examples is beside each script's own files, and so is a
// certificate of a Sealed Secrets controller whose key nobody has.
// HOLDFAST_UPDATE=1 rewrites what cmp compares with.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("HOLDFAST_UPDATE") != "",
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"layout-a", "layout-b", "minimal", "custom-kind", "opted-out"} {
				if err := copyFolder(filepath.Join(env.WorkDir, "examples", name), filepath.Join("..", "..", "examples", name)); err != nil {
					return err
				}
			}
			certificate, err := os.ReadFile(filepath.Join("testdata", "controller.pem"))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(env.WorkDir, "controller.pem"), certificate, 0o644)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"replace": replace,
		},
	})
}

// notShort leaves a test out if -short asks for the quick ones only.
func notShort(t *testing.T, what string) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short leaves out " + what)
	}
}

// exits runs a command and compares its exit status: exits 2 holdfast nonsense.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits status command [args…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var failed *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &failed):
		got = failed.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// replace replaces the first occurrence of a text in a file: replace file old new.
func replace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace file old new")
	}
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s does not contain %q", args[0], args[1])
	}
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Replace(text, args[1], args[2], 1)), info.Mode()))
}

// copyFolder copies files so that nobody but their owner can read them.
func copyFolder(to, from string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, below), 0o755)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, below), data, 0o600)
	})
}
