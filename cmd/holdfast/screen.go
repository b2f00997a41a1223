package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// screenWidth is how wide a line for people is. It is the same everywhere, so that what
// a document or a pull request shows is what everybody sees.
const screenWidth = 80

// between stands between two columns.
const between = "  "

// screen is a text for people. What is put on it is masked before it is laid out, for
// the mask would not know a secret that goes on in the next line.
type screen struct {
	strings.Builder
	// width is that of the longest line; 0 for as wide as it gets.
	width int
	mask  func(string) string
}

// shown is a text as it may stand on a screen.
func (s *screen) shown(value string) string {
	if s.mask != nil {
		value = s.mask(value)
	}
	return problem.Printable(value)
}

// line writes one paragraph. Its first line begins with first, and what follows with next.
func (s *screen) line(first, next, value string) {
	value = s.shown(value)
	if s.width > 0 {
		value = wrapped(value, s.width-len(first), s.width-len(next))
	}
	s.Builder.WriteString(first + strings.ReplaceAll(value, "\n", "\n"+next) + "\n")
}

// wrapped breaks a text at its blanks, and within a word only if that is wider than a line.
// The first line has so much room, and each that follows it so much.
func wrapped(value string, room, next int) string {
	if text.StringWidth(value) <= room {
		return value
	}
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(value) {
		switch {
		case line == "":
			line = word
		case text.StringWidth(line)+1+text.StringWidth(word) > room:
			lines, line, room = append(lines, line), word, next
		default:
			line += " " + word
		}
		for text.StringWidth(line) > room {
			cut := text.Trim(line, room)
			if cut == "" { // one letter is wider than the line
				break
			}
			lines, line, room = append(lines, cut), strings.TrimPrefix(line, cut), next
		}
	}
	return strings.Join(append(lines, line), "\n")
}

// table writes rows in columns, and nothing when there are none. What is too wide goes on
// below, in its column.
func (s *screen) table(head []string, rows int, row func(n int) []string) {
	if rows == 0 {
		return
	}
	cells := [][]string{head}
	for n := range rows {
		line := row(n)
		for i := range line {
			line[i] = s.shown(line[i])
		}
		cells = append(cells, line)
	}
	var widths []int
	if s.width > 0 {
		widths = columns(cells, s.width)
	}
	w := table.NewWriter()
	style := table.Style{Box: table.StyleBoxDefault, Options: table.OptionsNoBordersAndSeparators}
	style.Box.PaddingLeft, style.Box.PaddingRight = "", between
	w.SetStyle(style)
	w.SuppressTrailingSpaces()
	for _, line := range cells {
		var laid table.Row
		for i, cell := range line {
			if s.width > 0 {
				cell = wrapped(cell, widths[i], widths[i])
			}
			laid = append(laid, cell)
		}
		w.AppendRow(laid)
	}
	s.Builder.WriteString(w.Render() + "\n\n")
}

// columns decides how wide each column is. Prose makes room first: a name that is broken
// cannot be copied.
func columns(cells [][]string, width int) []int {
	numbers := make([]int, len(cells[0]))
	widths, words := make([]int, len(numbers)), make([]int, len(numbers))
	for _, line := range cells {
		for i, cell := range line {
			widths[i] = max(widths[i], text.StringWidth(cell))
			for word := range strings.FieldsSeq(cell) {
				words[i] = max(words[i], text.StringWidth(word))
			}
		}
	}
	total := (len(numbers) - 1) * len(between)
	for i, own := range widths {
		numbers[i] = i
		total += own
	}
	most := func(room func(i int) int) int {
		return slices.MaxFunc(numbers, func(a, b int) int { return cmp.Compare(room(a), room(b)) })
	}
	for ; total > width; total-- {
		// The column with the most room beyond its longest word; then the widest.
		at := most(func(i int) int { return widths[i] - words[i] })
		if widths[at] <= words[at] {
			at = most(func(i int) int { return widths[i] })
		}
		if widths[at] <= 1 {
			break
		}
		widths[at]--
	}
	return widths
}
