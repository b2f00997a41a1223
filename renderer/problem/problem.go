// Package problem holds what Holdfast says when an input cannot be rendered.
//
// A problem is a value, not an error: every step collects all it finds, the
// caller sorts and reports them at once, and nothing is written when there is
// one. A problem never repeats a secret; whoever makes one sees to that.
package problem

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one finding, with the place it was found at.
type Problem struct {
	// File is the document's name as the user gave it; "" when the finding
	// belongs to no document (a kind folder, a rendered object).
	File string `json:"file,omitempty"`
	// Line and Column count from 1; a column counts bytes. 0 means unknown.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Pointer is a JSON pointer (RFC 6901) into File, or names the thing that
	// is wrong ("kind postgresql", "Schedule/ns/name").
	Pointer string `json:"pointer,omitempty"`
	// Message says what was found and what was expected: lower case, no
	// period at the end, never a secret.
	Message string `json:"message"`
	// Detail is the text that the message is about, such as the line of a
	// template that failed and those that led there: lines, parted by "\n"; may
	// be empty, never a secret.
	Detail string `json:"detail,omitempty"`
	// Hint is the next step for the reader; may be empty.
	Hint string `json:"hint,omitempty"`
	// Rule is the number of the broken rule; see Rules.
	Rule string `json:"rule"`
}

// String renders p as
//
//	file:line:col: pointer: message
//	  detail, line by line
//	  hint: …
//	  rule: HF012 (holdfast explain HF012)
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(Printable(p.File))
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
	}
	if p.Pointer != "" {
		b.WriteString(Printable(p.Pointer))
		b.WriteString(": ")
	}
	b.WriteString(Printable(p.Message))
	if p.Detail != "" {
		for line := range strings.SplitSeq(p.Detail, "\n") {
			b.WriteString("\n  ")
			b.WriteString(Printable(line))
		}
	}
	if p.Hint != "" {
		b.WriteString("\n  hint: ")
		b.WriteString(Printable(p.Hint))
	}
	if p.Rule != "" {
		fmt.Fprintf(&b, "\n  rule: %s (holdfast explain %s)", p.Rule, p.Rule)
	}
	return b.String()
}

// Printable keeps hostile input from writing control characters to a terminal, or a
// line of its own into a log: U+FFFD stands for each of them.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < 0x20, r >= 0x7f && r < 0xa0:
			return '\uFFFD'
		case r >= '\u2028' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
			// They break lines and turn the direction of what follows.
			return '\uFFFD'
		}
		return r
	}, s)
}

// List is what one run found. The empty list means: go on.
type List []Problem

// Error makes a List usable as an error; it is the text of all its problems.
func (l List) Error() string {
	lines := make([]string, len(l))
	for i, p := range l {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Sorted returns the problems in the order of their places, each once.
func (l List) Sorted() List {
	sorted := slices.Clone(l)
	slices.SortFunc(sorted, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Pointer, b.Pointer),
			cmp.Compare(a.Rule, b.Rule),
			cmp.Compare(a.Message, b.Message),
		)
	})
	return slices.Compact(sorted)
}

// Bug is an error that no input can cause and no user can mend.
type Bug struct{ Err error }

// Bugf is a Bug with a text of its own.
func Bugf(format string, args ...any) error { return Bug{fmt.Errorf(format, args...)} }

// Error is the text of what it wraps.
func (b Bug) Error() string { return b.Err.Error() }

// Unwrap returns what it wraps.
func (b Bug) Unwrap() error { return b.Err }
