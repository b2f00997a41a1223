package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// Exit statuses. Scripts rely on them: a number never changes its meaning.
const (
	statusDone    = 0
	statusBug     = 1
	statusUsage   = 2
	statusInput   = 3
	statusDiffers = 4 // what is there is not as it should be
)

// statusTable is what --help says about them.
const statusTable = `EXIT STATUS:
   0  done
   1  a bug of Holdfast, or the system refused to read or write
   2  wrong usage
   3  a problem in the inputs, and nothing was written; a gap (coverage)
   4  the tree differs (check, diff); something is red (status)
`

// usageError is a wrong command line.
type usageError struct {
	message string
	// hint is the next step; may be empty.
	hint string
}

func (e usageError) Error() string { return e.message }

// failure is what the world around refused: a full disk, a folder that may not
// be written to. It is neither the inputs' fault nor a bug.
type failure struct{ err error }

func (e failure) Error() string { return e.err.Error() }
func (e failure) Unwrap() error { return e.err }

// differs says that a tree is not what render would write.
type differs struct {
	dir   string
	files int
}

func (e differs) Error() string {
	return fmt.Sprintf("%s differs from what render would write: %s", e.dir, count(e.files, "file", "files"))
}

// gaps are what coverage found missing.
type gaps struct{ found problem.List }

func (e gaps) Error() string { return count(len(e.found), "gap", "gaps") }

// reds are what status found red.
type reds struct{ found problem.List }

func (e reds) Error() string { return fmt.Sprintf("%d red", len(e.found)) }

// outside marks an error of package emit as a failure. Its problems stay what
// they are, and so do the bugs that it finds in a bundle.
func outside(err error) error {
	var problems problem.List
	var bug problem.Bug
	if err == nil || errors.As(err, &problems) || errors.As(err, &bug) {
		return err
	}
	return failure{err}
}

// report says on stderr what went wrong and returns the exit status. No other
// place decides it.
func report(stderr io.Writer, err error) int {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(stderr, format, args...) }
	var problems problem.List
	var usage usageError
	var different differs
	var failed failure
	var missing gaps
	var red reds
	var library cli.ExitCoder
	var function functionError
	switch {
	case err == nil:
		return statusDone
	case errors.As(err, &function):
		report(stderr, function.error)
		return statusBug // of a function, "it did not work"
	case errors.As(err, &problems):
		for _, p := range problems {
			say("%s\n", p)
		}
		say("holdfast: %s, nothing was written\n", count(len(problems), "problem", "problems"))
		return statusInput
	case errors.As(err, &missing):
		for _, p := range missing.found {
			say("%s\n", p)
		}
		say("holdfast: %s\n", missing)
		return statusInput
	case errors.As(err, &red):
		for _, p := range red.found {
			say("%s\n", p)
		}
		say("holdfast: %s\n", red)
		return statusDiffers
	case errors.As(err, &usage):
		say("holdfast: error: %s\n", withoutControls(usage))
		if usage.hint != "" {
			say("holdfast: hint: %s\n", usage.hint)
		}
		return statusUsage
	case errors.As(err, &different):
		say("holdfast: %s\n", different)
		return statusDiffers
	case errors.As(err, &failed):
		say("holdfast: error: %s\n", withoutControls(failed))
		return statusBug
	case errors.As(err, &library):
		// The library has an exit status of its own for what it does not know.
		// All of it in lower case would be no word that is known to be secret.
		text := library.Error()
		say("holdfast: error: %s\n", strings.ToLower(text[:min(1, len(text))])+text[min(1, len(text)):])
		return statusUsage
	}
	say("holdfast: error: this is a bug: %s\n", err)
	say("%s", reportIt)
	return statusBug
}

// withoutControls is an error's text, in the lines that it is meant to have: what a
// tree calls a file neither begins a line nor moves the cursor.
func withoutControls(err error) string {
	text := err.Error()
	var path *fs.PathError
	if errors.As(err, &path) {
		text = strings.ReplaceAll(text, path.Path, problem.Printable(path.Path))
	}
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		lines = append(lines, problem.Printable(line))
	}
	return strings.Join(lines, "\n")
}

const reportIt = "holdfast: hint: nothing is wrong with your inputs: please report it, with what holdfast version prints\n"

// crashed reports a panic. Its reason is shown only when it is Go's own, such
// as an index out of range: any other might quote an input.
func crashed(stderr io.Writer, reason any, stack []byte) int {
	text := fmt.Sprintf("%T", reason)
	if own, ok := reason.(runtime.Error); ok {
		text = own.Error()
	}
	_, _ = fmt.Fprintf(stderr, "holdfast: error: this is a bug: %s\n%s", text, reportIt)
	if os.Getenv("HOLDFAST_DEBUG") != "" {
		_, _ = fmt.Fprintf(stderr, "%s", stack)
	}
	return statusBug
}
