package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// console is where a command reads and writes.
type console struct {
	in       io.Reader
	out, err io.Writer
	// secrets are not shown, neither on stderr nor in what is printed.
	secrets *masker
}

// note writes one line for people, on stderr. That it cannot be written is no
// reason to stop.
func (c console) note(format string, args ...any) {
	_, _ = fmt.Fprintf(c.err, format+"\n", args...)
}

// print writes text that was asked for, on stdout. What is rendered does not pass
// here: that has secrets.
func (c console) print(text string) error {
	_, err := io.WriteString(c.out, c.secrets.text(text))
	return outside(err)
}

// printJSON writes a value in the form of plan.json, on stdout.
func (c console) printJSON(value any) error {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return err
	}
	return c.print(b.String())
}

// isTerminal reports whether people watch stderr.
func (c console) isTerminal() bool {
	to := c.err
	if w, ok := to.(*maskedWriter); ok {
		to = w.to
	}
	file, ok := to.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&fs.ModeCharDevice != 0
}

// pipe writes until the reader goes away, and then takes the rest in silence:
// a closed pipe is the reader's choice and no failure.
type pipe struct {
	to     io.Writer
	closed bool
}

// Write implements io.Writer.
func (p *pipe) Write(data []byte) (int, error) {
	if p.closed {
		return len(data), nil
	}
	n, err := p.to.Write(data)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) {
		p.closed = true
		return len(data), nil
	}
	return n, err
}

// count writes a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// several joins names, the first ones if there are many.
func several(names []string) string {
	const enough = 12
	if len(names) <= enough {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:enough], ", "), len(names)-enough)
}
