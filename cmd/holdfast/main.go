package main

import (
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

func main() { os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr)) }

// run is the whole program: it returns the exit status and touches no stream
// but those it is given.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) (status int) {
	known := &masker{}
	known.learnGiven(args)
	people := &maskedWriter{to: stderr, secrets: known}
	defer people.flush()
	defer func() {
		if reason := recover(); reason != nil {
			status = crashed(people, reason, debug.Stack())
		}
	}()
	// A reader that closes our pipe early (head, less) has seen enough. Ignored,
	// the signal becomes an error of the write, which pipe takes for the end.
	signal.Ignore(syscall.SIGPIPE)
	raiseGCPercent()
	c := console{in: stdin, out: &pipe{to: stdout}, err: people, secrets: known}
	return report(people, newApp(c).Run(args))
}

// Memory that a short run may use before it is collected more eagerly.
const softMemoryLimit = 3 << 30

// raiseGCPercent lets the heap grow to five times what is in use. A run lives for
// a second and makes little but garbage, so that collecting it as Go does by
// default costs a quarter of the CPU time. The limit keeps a fleet of hundreds
// from taking the machine with it. Who sets GOGC or GOMEMLIMIT knows better.
func raiseGCPercent() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softMemoryLimit)
	}
}
