package emit

import (
	"fmt"
	"slices"
	"strings"
)

const (
	// contextLines stand around each difference.
	contextLines = 3
	// maxEdits bounds the search for the shortest script. Texts that differ
	// more are shown as one whole replacement.
	maxEdits = 2000
)

// unified appends the hunks that lead from before to after, in the unified
// format.
func unified(dst []byte, before, after string) []byte {
	script := edits(splitLines(before), splitLines(after))
	oldLine, newLine := 1, 1
	for i := 0; i < len(script); {
		if script[i].sign == ' ' {
			oldLine++
			newLine++
			i++
			continue
		}
		start := max(0, i-contextLines)
		// The hunk ends where so many equal lines follow that the next
		// difference is a hunk of its own.
		end, equal := i, 0
		for ; end < len(script) && equal <= 2*contextLines; end++ {
			if script[end].sign == ' ' {
				equal++
			} else {
				equal = 0
			}
		}
		if equal > contextLines {
			end -= equal - contextLines
		}
		oldStart, newStart := oldLine-(i-start), newLine-(i-start)
		oldCount, newCount := 0, 0
		for _, line := range script[start:end] {
			if line.sign != '+' {
				oldCount++
			}
			if line.sign != '-' {
				newCount++
			}
		}
		dst = fmt.Appendf(dst, "@@ -%s +%s @@\n", span(oldStart, oldCount), span(newStart, newCount))
		for _, line := range script[start:end] {
			dst = append(append(dst, line.sign), line.text...)
			if !strings.HasSuffix(line.text, "\n") {
				dst = append(dst, "\n\\ No newline at end of file\n"...)
			}
		}
		oldLine, newLine = oldStart+oldCount, newStart+newCount
		i = end
	}
	return dst
}

// span is a hunk's place: an empty one is named by the line before it.
func span(start, count int) string {
	switch count {
	case 0:
		return fmt.Sprintf("%d,0", start-1)
	case 1:
		return fmt.Sprint(start)
	}
	return fmt.Sprintf("%d,%d", start, count)
}

func splitLines(text string) []string {
	lines := strings.SplitAfter(text, "\n")
	return lines[:len(lines)-1+min(1, len(lines[len(lines)-1]))]
}

// edit is one line of a script: ' ' keeps it, '-' drops it, '+' adds it.
type edit struct {
	sign byte
	text string
}

// edits returns a shortest script that makes b of a: the greedy O(ND)
// algorithm of Myers, between the common start and the common end.
func edits(a, b []string) []edit {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	script := make([]edit, 0, len(a)+len(b))
	for _, line := range a[:head] {
		script = append(script, edit{' ', line})
	}
	script = append(script, middle(a[head:len(a)-tail], b[head:len(b)-tail])...)
	for _, line := range a[len(a)-tail:] {
		script = append(script, edit{' ', line})
	}
	return script
}

func middle(a, b []string) []edit {
	reached, d, ok := search(a, b)
	var script []edit
	if !ok {
		for _, line := range a {
			script = append(script, edit{'-', line})
		}
		for _, line := range b {
			script = append(script, edit{'+', line})
		}
		return script
	}
	// Walk back from the end, one edit at a time.
	x, y := len(a), len(b)
	for ; d > 0; d-- {
		v, k := reached[d-1], x-y
		down := k == -d || k != d && v[k-1+d] < v[k+1+d]
		from := k - 1
		if down {
			from = k + 1
		}
		edited := int(v[from+d]) // x right after the edit
		if !down {
			edited++
		}
		for x > edited {
			x--
			y--
			script = append(script, edit{' ', a[x]})
		}
		if down {
			y--
			script = append(script, edit{'+', b[y]})
		} else {
			x--
			script = append(script, edit{'-', a[x]})
		}
	}
	for x > 0 {
		x--
		script = append(script, edit{' ', a[x]})
	}
	slices.Reverse(script)
	return script
}

// search returns, for each number of edits below d, how far each diagonal k
// was reached: reached[d][k+d+1].
func search(a, b []string) (reached [][]int32, d int, ok bool) {
	limit := min(len(a)+len(b), maxEdits)
	v := make([]int32, 2*limit+3)
	middle := limit + 1
	for d := 0; d <= limit; d++ {
		for k := -d; k <= d; k += 2 {
			var x int
			switch {
			case d == 0:
			case k == -d || k != d && v[middle+k-1] < v[middle+k+1]:
				x = int(v[middle+k+1])
			default:
				x = int(v[middle+k-1]) + 1
			}
			for x < len(a) && x-k < len(b) && a[x] == b[x-k] {
				x++
			}
			v[middle+k] = int32(x)
			if x >= len(a) && x-k >= len(b) {
				return reached, d, true
			}
		}
		// Of v, the next step looks at the diagonals -d-1 to d+1.
		reached = append(reached, append([]int32(nil), v[middle-d-1:middle+d+2]...))
	}
	return nil, 0, false
}
