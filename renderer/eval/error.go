package eval

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-jsonnet"
	"github.com/google/go-jsonnet/ast"
	"github.com/google/go-jsonnet/toolutils"
)

// Error says why a template failed, and where.
type Error struct {
	// Message is jsonnet's, on one line.
	Message string
	// Unread says that the template cannot be read at all: its syntax is wrong, or
	// it uses a variable that it does not define.
	Unread bool
	// Frames lead from the expression that failed outward, through templates
	// only; there may be none.
	Frames []Frame
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// Unfit says what a kind's template lacks as a whole.
type Unfit struct{ Message string }

// Error implements error.
func (u *Unfit) Error() string { return u.Message }

// Frame is an expression of a template that was being evaluated.
type Frame struct {
	// File is the template's path in the file system of New.
	File string
	// Line and Column count from 1.
	Line, Column int
	// Source is the line's text.
	Source string
}

// failed turns what jsonnet says into an Error. Frames of its library and of the
// programs that are written here say nothing to a reader.
func (p *Program) failed(err error) error {
	var failed jsonnet.RuntimeError
	if !errors.As(err, &failed) {
		return err
	}
	if at := p.unparsed(failed.Msg); at != nil {
		return at
	}
	result := &Error{Message: firstLine(failed.Msg)}
	for _, frame := range slices.Backward(failed.StackTrace) {
		result.add(p.files.frame(frame.Loc))
	}
	return result
}

// add adds a frame, unless it has no place or the line of the last one.
func (e *Error) add(f Frame) {
	if n := len(e.Frames); f.Line == 0 || n > 0 && e.Frames[n-1].File == f.File && e.Frames[n-1].Line == f.Line {
		return
	}
	e.Frames = append(e.Frames, f)
}

// static is what jsonnet says of a text that it cannot read.
type static interface {
	Error() string
	Loc() ast.LocationRange
}

// unparsed finds the template whose syntax a message is about. jsonnet itself
// says the place in the message, and in the frames the import.
func (p *Program) unparsed(message string) *Error {
	for _, file := range slices.Sorted(maps.Keys(p.files.cache)) {
		if !strings.HasSuffix(file, ".libsonnet") || !strings.Contains(message, file) {
			continue
		}
		_, err := jsonnet.SnippetToAST(file, p.files.cache[file].String())
		var unread static
		if errors.As(err, &unread) {
			loc := unread.Loc()
			message := firstLine(strings.TrimPrefix(unread.Error(), loc.String()+" "))
			result := &Error{Message: strings.ToLower(message[:1]) + message[1:], Unread: true}
			result.add(p.files.frame(loc))
			return result
		}
	}
	return nil
}

// frame is the line where a location begins; none if no template has it.
func (i *importer) frame(loc ast.LocationRange) Frame {
	if loc.File == nil || !loc.IsSet() {
		return Frame{}
	}
	file := string(loc.File.DiagnosticFileName)
	text, known := i.cache[file]
	if !known {
		return Frame{}
	}
	lines := strings.Split(text.String(), "\n")
	if loc.Begin.Line > len(lines) {
		return Frame{}
	}
	return Frame{File: file, Line: loc.Begin.Line, Column: loc.Begin.Column, Source: strings.ReplaceAll(lines[loc.Begin.Line-1], "\t", "  ")}
}

// Field finds a template's only field of a name; false if it has none, or more.
func (p *Program) Field(file, name string) (Frame, bool) {
	text, known := p.files.cache[file]
	if !known {
		return Frame{}, false
	}
	root, err := jsonnet.SnippetToAST(file, text.String())
	if err != nil {
		return Frame{}, false
	}
	var found []ast.LocationRange
	var visit func(node ast.Node)
	visit = func(node ast.Node) {
		if object, ok := node.(*ast.DesugaredObject); ok {
			for _, field := range object.Fields {
				if key, ok := field.Name.(*ast.LiteralString); ok && key.Value == name {
					found = append(found, field.LocRange)
				}
			}
		}
		for _, child := range toolutils.Children(node) {
			visit(child)
		}
	}
	visit(root)
	if len(found) != 1 {
		return Frame{}, false
	}
	frame := p.files.frame(found[0])
	return frame, frame.Line > 0
}

func firstLine(text string) string {
	if first, _, _ := strings.Cut(strings.TrimSpace(text), "\n"); first != "" {
		return first
	}
	return "no reason given"
}
