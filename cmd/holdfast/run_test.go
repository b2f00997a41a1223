package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

const layoutB = "../../examples/layout-b"

// TestReport pins what each sort of error becomes.
func TestReport(t *testing.T) {
	tests := map[string]struct {
		err    error
		status int
		stderr string
	}{
		"nothing": {err: nil, status: 0, stderr: ""},
		"a bug": {err: errors.New("no such thing"), status: 1,
			stderr: "holdfast: error: this is a bug: no such thing\n" + reportIt},
		"a bug that emit found": {err: outside(problem.Bugf("twice")), status: 1,
			stderr: "holdfast: error: this is a bug: twice\n" + reportIt},
		"the world": {err: outside(errors.New("no space left")), status: 1,
			stderr: "holdfast: error: no space left\n"},
		"usage": {err: usageError{"what", "that"}, status: 2,
			stderr: "holdfast: error: what\nholdfast: hint: that\n"},
		"usage without a hint": {err: usageError{message: "what"}, status: 2,
			stderr: "holdfast: error: what\n"},
		"one problem": {err: problem.List{{File: "s.json", Line: 1, Column: 2, Message: "bad", Rule: "HF001"}}, status: 3,
			stderr: "s.json:1:2: bad\n  rule: HF001 (holdfast explain HF001)\nholdfast: 1 problem, nothing was written\n"},
		"wrapped problems": {err: fmt.Errorf("deep: %w", outside(problem.List{{Message: "a"}, {Message: "b"}})), status: 3,
			stderr: "a\nb\nholdfast: 2 problems, nothing was written\n"},
		"a difference": {err: differs{dir: "tree", files: 1}, status: 4,
			stderr: "holdfast: tree differs from what render would write: 1 file\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			if status := report(&stderr, test.err); status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			if stderr.String() != test.stderr {
				t.Errorf("stderr\n%s\nwant\n%s", stderr.String(), test.stderr)
			}
		})
	}
}

// TestStatusTable compares the table of --help with the constants.
func TestStatusTable(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(statusTable), "\n")[1:]
	for i, status := range []int{statusDone, statusBug, statusUsage, statusInput, statusDiffers} {
		if i >= len(lines) || !strings.HasPrefix(strings.TrimSpace(lines[i]), fmt.Sprintf("%d  ", status)) {
			t.Errorf("status %d is not on line %d of the table:\n%s", status, i+1, statusTable)
		}
	}
	if len(lines) != 5 {
		t.Errorf("the table has %d lines, want 5", len(lines))
	}
}

// panicking is a stdin that crashes whoever reads it.
type panicking struct{ reason any }

func (p panicking) Read([]byte) (int, error) { panic(p.reason) }

func TestPanicIsABug(t *testing.T) {
	args := []string{"holdfast", "check", "-s", "-", "-c", layoutB}
	for name, test := range map[string]struct {
		reason any
		debug  string
		want   string
	}{
		"the reason may quote an input": {reason: "the password is 1234", want: "this is a bug: string\n"},
		"Go's own reason":               {reason: indexError(), want: "this is a bug: runtime error: index out of range"},
		"with a stack":                  {reason: "x", debug: "1", want: "goroutine "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("HOLDFAST_DEBUG", test.debug)
			var stdout, stderr bytes.Buffer
			if status := run(args, panicking{reason: test.reason}, &stdout, &stderr); status != statusBug {
				t.Errorf("status %d", status)
			}
			if got := stderr.String(); !strings.Contains(got, test.want) || strings.Contains(got, "1234") {
				t.Errorf("stderr:\n%s", got)
			}
			if test.debug == "" && strings.Contains(stderr.String(), "goroutine") {
				t.Error("a stack that nobody asked for")
			}
			if stdout.Len() > 0 {
				t.Errorf("stdout: %s", stdout.String())
			}
		})
	}
}

// indexError returns the error that Go itself panics with.
func indexError() (reason any) {
	defer func() { reason = recover() }()
	var empty []int
	return empty[len(os.Args)]
}

// TestClosedPipe closes the reader before anything is written.
func TestClosedPipe(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	if err := read.Close(); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	args := []string{"holdfast", "plan", "-s", layoutB, "-c", layoutB}
	if status := run(args, strings.NewReader(""), write, &stderr); status != statusDone {
		t.Errorf("status %d, stderr:\n%s", status, stderr.String())
	}
	if strings.Contains(stderr.String(), "error") {
		t.Errorf("stderr:\n%s", stderr.String())
	}
}

// full is a stdout on a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestFullDisk: output that is cut off must never pass for all of it.
func TestFullDisk(t *testing.T) {
	for _, command := range []string{"render", "plan", "check", "kinds", "schema", "version"} {
		t.Run(command, func(t *testing.T) {
			args := []string{"holdfast", command}
			if command == "render" || command == "plan" || command == "check" {
				args = append(args, "-s", layoutB, "-c", layoutB)
			}
			var stderr bytes.Buffer
			if status := run(args, strings.NewReader(""), full{}, &stderr); status != statusBug {
				t.Errorf("status %d", status)
			}
			if got := stderr.String(); !strings.Contains(got, "holdfast: error: ") || !strings.Contains(got, "no space left") || strings.Contains(got, "bug") {
				t.Errorf("stderr:\n%s", got)
			}
		})
	}
}

// TestNoSecretIsPrinted runs every command that reads credentials and looks for
// their values in all that it prints.
func TestNoSecretIsPrinted(t *testing.T) {
	secrets := []string{"EXAMPLEKEY", "example-not-a-real-secret", "example-restic-repository-password", "example-crypt", "73lsVCih2xsl93dEcvtZHM"}
	tree := t.TempDir()
	inputs := []string{"-s", layoutB, "-c", layoutB}
	for _, args := range [][]string{
		append([]string{"render"}, inputs...),
		append([]string{"render", "--secrets", "plain", "-o", tree}, inputs...),
		append([]string{"plan"}, inputs...),
		append([]string{"plan", "--output", "json"}, inputs...),
		append([]string{"check", "--secrets", "plain", "--against", t.TempDir()}, inputs...),
		append([]string{"diff", "--secrets", "plain", "--against", t.TempDir()}, inputs...),
		append([]string{"diff", "--against", tree}, inputs...),
		append(append([]string{"explain"}, inputs...), "/databases"),
		append(append([]string{"explain"}, inputs...), "secrets-manager/kv"),
	} {
		t.Run(strings.Join(args[:2], " "), func(t *testing.T) {
			var output bytes.Buffer
			status := run(append([]string{"holdfast"}, args...), strings.NewReader(""), &output, &output)
			if status != statusDone && status != statusDiffers {
				t.Fatalf("status %d:\n%s", status, output.String())
			}
			for _, secret := range secrets {
				if strings.Contains(output.String(), secret) {
					t.Errorf("%s… is in the output", secret)
				}
			}
		})
	}
}

func TestSeconds(t *testing.T) {
	for n, want := range map[int]string{45: "45s", 60: "1m", 900: "15m", 3600: "1h", 5400: "1h30m", 3601: "1h0m1s", 86400: "24h"} {
		t.Run(want, func(t *testing.T) {
			if got := seconds(n); got != want {
				t.Errorf("%d s is %q, want %q", n, got, want)
			}
		})
	}
}

// TestProgress: no bar in a file, and none for a few instances.
func TestProgress(t *testing.T) {
	if progress(console{err: io.Discard}, 1000) != nil {
		t.Error("a bar where no terminal is")
	}
	terminal, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // a character device, as a terminal is
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if progress(console{err: terminal}, 9) != nil {
		t.Error("a bar for nine instances")
	}
	if progress(console{err: terminal}, 10) == nil {
		t.Error("no bar for ten instances")
	}
}

func TestBar(t *testing.T) {
	for name, test := range map[string]struct {
		done, total int
		want        string
	}{
		"begin":  {done: 1, total: 100, want: "\r[                              ] 1/100"},
		"middle": {done: 50, total: 100, want: "\r[###############               ] 50/100"},
		"end":    {done: 100, total: 100, want: "\r\x1b[K"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := bar(test.done, test.total); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// TestProgressIsTold renders and listens.
func TestProgressIsTold(t *testing.T) {
	o := sources{states: manyPaths{layoutB}, credentials: manyPaths{layoutB}}
	r, err := o.renderer()
	if err != nil {
		t.Fatal(err)
	}
	in, err := o.read(console{err: io.Discard}, "render")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	options := renderer.Options{Progress: func(done, total int) { told = append(told, fmt.Sprintf("%d/%d", done, total)) }}
	if _, err := r.Render(in, options); err != nil {
		t.Fatal(err)
	}
	if want := []string{"1/1"}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}
