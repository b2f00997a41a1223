package input

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"regexp"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// Limits of a document. Real documents have some ten kilobytes, a thousand values and
// eight levels.
const (
	maxBytes    = 10 << 20
	maxDepth    = 64
	maxValues   = 200_000
	maxKeyBytes = 1024
	// maxProblems is how many problems of one document are worth listing.
	maxProblems = 1000
	// maxWhole is the largest whole number that every JSON reader gets right.
	maxWhole = 1 << 53
)

// Load reads a document in one pass. It always returns a Tree. A document that could
// not be read to its end has no Root, and Validate leaves it alone. Problems have the
// rules HF001 (the text), HF002 (a key twice) and HF003 (limits).
//
// encoding/json is of no use here: it hides duplicate keys, rounds numbers, replaces
// bytes that are not UTF-8, and does not tell where values stand.
func Load(d Document) (*Tree, problem.List) {
	t := newTree(d)
	s := &scanner{tree: t, data: d.Data}
	if root, ok := s.document(); ok {
		t.Root = root
	} else {
		t.Root, t.unreadable = nil, true
	}
	t.flawed = len(s.problems) > 0
	return t, s.problems
}

// scanner reads one document.
type scanner struct {
	tree     *Tree
	data     []byte
	pos      int
	current  int32 // the node that is being read, for messages
	started  int   // where the string that is being read starts
	lastBad  int   // where the last string with bad text starts
	problems problem.List
}

// document reads everything; false means that it could not.
func (s *scanner) document() (any, bool) {
	switch {
	case len(s.data) > maxBytes:
		s.add(problem.Problem{Message: fmt.Sprintf("the document has %d bytes; %d are allowed", len(s.data), maxBytes), Rule: "HF003"})
		return nil, false
	case bytes.HasPrefix(s.data, []byte("\xef\xbb\xbf")):
		return nil, s.fail(0, "the document starts with a byte order mark", "save it as UTF-8 without BOM")
	case bytes.HasPrefix(s.data, []byte("\xff\xfe")), bytes.HasPrefix(s.data, []byte("\xfe\xff")):
		return nil, s.fail(0, "the document is UTF-16", "save it as UTF-8 without BOM")
	}
	s.space()
	if s.pos == len(s.data) {
		return nil, s.fail(s.pos, "the document is empty", "")
	}
	if message, hint := otherForm(s.data); message != "" {
		return nil, s.fail(s.pos, message, hint)
	}
	s.tree.nodes = make([]node, 0, min(len(s.data)/16+1, maxValues))
	s.tree.nodes = append(s.tree.nodes, node{parent: -1, index: -1, keyAt: int32(s.pos), at: int32(s.pos)})
	root, ok := s.value(0, 0)
	if !ok {
		return nil, false
	}
	s.tree.nodes[0].value = root
	s.current = 0
	s.space()
	if s.pos < len(s.data) {
		return nil, s.fail(s.pos, "there is more after the end of the document: "+s.found(), "a document is one JSON object")
	}
	return root, true
}

// value reads the value of a node.
func (s *scanner) value(n int32, depth int) (any, bool) {
	s.current = n
	if depth > maxDepth {
		return nil, s.stop(s.pos, fmt.Sprintf("nested deeper than %d levels", maxDepth))
	}
	if len(s.tree.nodes) > maxValues {
		return nil, s.stop(s.pos, fmt.Sprintf("more than %d values", maxValues))
	}
	if s.pos == len(s.data) {
		return nil, s.fail(s.pos, "the document ends where a value should be", "")
	}
	switch c := s.data[s.pos]; {
	case c == '{':
		return s.object(n, depth)
	case c == '[':
		return s.array(n, depth)
	case c == '"':
		before := len(s.problems)
		text, ok := s.text()
		if len(s.problems) > before {
			s.markFaulty(n)
		}
		return text, ok
	case c == '-' || c >= '0' && c <= '9':
		return s.number(n)
	case s.word("true"):
		return true, true
	case s.word("false"):
		return false, true
	case s.word("null"):
		return nil, true
	}
	return nil, s.fail(s.pos, "expected a value, found "+s.found(), s.advice())
}

func (s *scanner) object(n int32, depth int) (any, bool) {
	object := map[string]any{}
	s.pos++
	s.space()
	if s.next('}') {
		return object, true
	}
	for {
		if s.pos == len(s.data) || s.data[s.pos] != '"' {
			return nil, s.fail(s.pos, "expected a key in double quotes, found "+s.found(), s.advice())
		}
		keyAt, before := s.pos, len(s.problems)
		key, ok := s.text()
		if !ok {
			return nil, false
		}
		if len(key) > maxKeyBytes {
			return nil, s.stop(keyAt, fmt.Sprintf("a key of more than %d bytes", maxKeyBytes))
		}
		s.space()
		if !s.next(':') {
			return nil, s.fail(s.pos, `expected ":" after a key, found `+s.found(), s.advice())
		}
		s.space()
		_, duplicate := object[key]
		child := s.child(node{key: key, parent: n, index: -1, keyAt: int32(keyAt), at: int32(s.pos)})
		if len(s.problems) > before {
			s.markFaulty(child)
		}
		if duplicate && !s.duplicate(n, child) {
			return nil, false
		}
		value, ok := s.value(child, depth+1)
		if !ok {
			return nil, false
		}
		if duplicate {
			s.dropFrom(child) // the first one stands
		} else {
			object[key], s.tree.nodes[child].value = value, value
		}
		s.current = n
		s.space()
		if s.next('}') {
			return object, true
		}
		comma := s.pos
		if !s.next(',') {
			return nil, s.fail(s.pos, `expected "," or "}" after a value, found `+s.found(), s.advice())
		}
		s.space()
		if s.pos < len(s.data) && s.data[s.pos] == '}' {
			return nil, s.fail(comma, `a comma before "}"`, "remove the comma")
		}
	}
}

func (s *scanner) array(n int32, depth int) (any, bool) {
	array := []any{}
	s.pos++
	s.space()
	if s.next(']') {
		return array, true
	}
	for {
		child := s.child(node{parent: n, index: int32(len(array)), keyAt: int32(s.pos), at: int32(s.pos)})
		value, ok := s.value(child, depth+1)
		if !ok {
			return nil, false
		}
		array, s.tree.nodes[child].value = append(array, value), value
		s.current = n
		s.space()
		if s.next(']') {
			return array, true
		}
		comma := s.pos
		if !s.next(',') {
			return nil, s.fail(s.pos, `expected "," or "]" after a value, found `+s.found(), s.advice())
		}
		s.space()
		if s.pos < len(s.data) && s.data[s.pos] == ']' {
			return nil, s.fail(comma, `a comma before "]"`, "remove the comma")
		}
	}
}

// number reads a number as RFC 8259 writes it. One that a float64 cannot hold
// exactly enough is refused, not rounded.
func (s *scanner) number(n int32) (any, bool) {
	start, whole := s.pos, true
	s.next('-')
	switch {
	case s.next('0'):
	case !s.digits():
		return nil, s.fail(start, "a number without digits", "")
	}
	if s.next('.') {
		whole = false
		if !s.digits() {
			return nil, s.fail(start, `a number without digits after "."`, "")
		}
	}
	if s.next('e') || s.next('E') {
		whole = false
		if !s.next('+') {
			s.next('-')
		}
		if !s.digits() {
			return nil, s.fail(start, "a number without digits in its exponent", "")
		}
	}
	if s.pos < len(s.data) && (s.data[s.pos] >= '0' && s.data[s.pos] <= '9' || s.data[s.pos] == '.') {
		return nil, s.fail(start, "a number that is no JSON number", "leave out leading zeros and further dots")
	}
	literal := string(s.data[start:s.pos])
	value, err := strconv.ParseFloat(literal, 64)
	large := err != nil || math.Abs(value) > maxWhole
	if whole && !large && len(literal) > 15 {
		exact, err := strconv.ParseInt(literal, 10, 64)
		large = err != nil || exact > maxWhole || exact < -maxWhole
	}
	if large {
		ok := s.report(start, "HF003", "a number beyond 2^53", "write it as a string, or smaller")
		s.markFaulty(n)
		return 0.0, ok
	}
	if value == 0 {
		return 0.0, true // -0 would come out as another text
	}
	return value, true
}

// text reads a string. What is no text is complained about, but does not stop
// the reading.
func (s *scanner) text() (string, bool) {
	s.pos++
	start := s.pos
	s.started = start
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return string(s.data[start : s.pos-1]), true
		case c == '\\' || c < 0x20 || c >= utf8.RuneSelf:
			return s.longText(start)
		}
	}
	return "", s.fail(start-1, "a string without end", "")
}

// longText goes on with a string that is not plain ASCII.
func (s *scanner) longText(start int) (string, bool) {
	text := append([]byte(nil), s.data[start:s.pos]...)
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		switch {
		case c == '"':
			s.pos++
			return string(text), true
		case c == '\\':
			r, ok := s.escaped()
			if !ok {
				return "", false
			}
			text = utf8.AppendRune(text, r)
		case c == 0:
			if !s.badText(s.pos, "a NUL byte in a string", "") {
				return "", false
			}
			s.pos++
		case c == '\n' || c == '\r':
			return "", s.fail(start-1, "a string without end on its line", `end it with a double quote; a line break in it is written \n`)
		case c < 0x20:
			if !s.badText(s.pos, "a control character in a string", `write it as \u00…`) {
				return "", false
			}
			s.pos++
		default:
			r, size := utf8.DecodeRune(s.data[s.pos:])
			if r == utf8.RuneError && size == 1 && !s.badText(s.pos, "a byte that is no UTF-8", "save the document as UTF-8") {
				return "", false
			}
			text = utf8.AppendRune(text, r)
			s.pos += size
		}
	}
	return "", s.fail(start-1, "a string without end", "")
}

// escaped reads what follows a backslash.
func (s *scanner) escaped() (rune, bool) {
	at := s.pos
	s.pos += 2
	if s.pos > len(s.data) {
		s.pos = len(s.data)
		return 0, s.fail(at, "a string without end", "")
	}
	switch c := s.data[at+1]; c {
	case '"', '\\', '/':
		return rune(c), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
		r, ok := s.hex()
		switch {
		case !ok:
			return 0, s.fail(at, `"\u" without four hex digits`, "")
		case r == 0:
			return utf8.RuneError, s.badText(at, "a NUL in a string", "")
		case !utf16.IsSurrogate(r):
			return r, true
		}
		if bytes.HasPrefix(s.data[s.pos:], []byte(`\u`)) {
			back := s.pos
			s.pos += 2
			if low, ok := s.hex(); ok {
				if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
					return pair, true
				}
			}
			s.pos = back
		}
		return utf8.RuneError, s.badText(at, "half of a surrogate pair", "write the character itself")
	}
	return 0, s.fail(at, "an escape that JSON does not have", `a backslash itself is written \\`)
}

// hex reads four hex digits.
func (s *scanner) hex() (rune, bool) {
	if s.pos+4 > len(s.data) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(s.data[s.pos:s.pos+4]), 16, 16)
	if err != nil {
		return 0, false
	}
	s.pos += 4
	return rune(n), true
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// next takes c if it comes next.
func (s *scanner) next(c byte) bool {
	if s.pos < len(s.data) && s.data[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// word takes w if it comes next and ends there.
func (s *scanner) word(w string) bool {
	if !bytes.HasPrefix(s.data[s.pos:], []byte(w)) {
		return false
	}
	if end := s.pos + len(w); end < len(s.data) && letter(s.data[end]) {
		return false
	}
	s.pos += len(w)
	return true
}

// digits takes at least one digit.
func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos] >= '0' && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}

// found says what stands at the scanner's place, without repeating text that
// may be a secret.
func (s *scanner) found() string {
	if s.pos >= len(s.data) {
		return "the end of the document"
	}
	switch c := s.data[s.pos]; {
	case bytes.IndexByte([]byte("{}[]:,"), c) >= 0:
		return strconv.Quote(string(c))
	case c == '"':
		return "a string"
	case c == 0:
		return "a NUL byte"
	case c >= utf8.RuneSelf && invalid(s.data[s.pos:]):
		return "a byte that is no UTF-8"
	case c >= '0' && c <= '9' || c == '-':
		return "a number"
	}
	return "other text"
}

// advice is a hint about what JSON does not have.
func (s *scanner) advice() string {
	rest := s.data[s.pos:]
	switch {
	case bytes.HasPrefix(rest, []byte("//")), bytes.HasPrefix(rest, []byte("/*")), bytes.HasPrefix(rest, []byte("#")):
		return "JSON has no comments"
	case bytes.HasPrefix(rest, []byte("'")):
		return "strings stand in double quotes"
	case bytes.HasPrefix(rest, []byte(`"`)):
		return "is there a comma missing?"
	}
	return ""
}

// otherForm says which other form than JSON a document has; "" if none is known.
func otherForm(data []byte) (message, hint string) {
	for line := range bytes.Lines(data) {
		line = bytes.TrimRight(line, " \t\r\n")
		if len(bytes.TrimSpace(line)) == 0 || line[0] == '#' {
			continue // a comment: the next line tells
		}
		if !yamlStart.Match(line) {
			return "", ""
		}
		message, hint = "this looks like YAML; Holdfast reads JSON", "yq --output-format json FILE converts it"
		if bytes.Contains(data, []byte("\nsops:")) {
			message += ", and it is encrypted by sops"
			hint = "sops --decrypt --output-type json FILE decrypts and converts it"
		}
		return message, hint
	}
	return "", ""
}

// yamlStart is a line with which YAML starts and JSON does not.
var yamlStart = regexp.MustCompile(`^(---|%YAML|- |-$|["']?[A-Za-z_$][-A-Za-z0-9_.$]*["']?:( |$))`)

func letter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

func invalid(data []byte) bool {
	r, size := utf8.DecodeRune(data)
	return r == utf8.RuneError && size <= 1
}

// child adds a node.
func (s *scanner) child(n node) int32 {
	s.tree.nodes = append(s.tree.nodes, n)
	s.current = int32(len(s.tree.nodes) - 1)
	return s.current
}

// duplicate reports that child repeats a key of the object n.
func (s *scanner) duplicate(n, child int32) bool {
	key := s.tree.nodes[child].key
	first := n
	for i := n + 1; i < child; i++ {
		if s.tree.nodes[i].parent == n && s.tree.nodes[i].key == key {
			first = i
			break
		}
	}
	line, _ := s.tree.position(s.tree.nodes[first].keyAt)
	subject := quoted(key)
	if s.tree.secret {
		subject = "this key"
	}
	return s.report(int(s.tree.nodes[child].keyAt), "HF002",
		fmt.Sprintf("%s is set already, on line %d", subject, line), "remove one of the two, or correct its name")
}

// dropFrom drops a node and all after it.
func (s *scanner) dropFrom(n int32) {
	s.tree.nodes = s.tree.nodes[:n]
	maps.DeleteFunc(s.tree.faulty, func(i int32, _ bool) bool { return i >= n })
}

// markFaulty notes that a problem of the node's value has been reported.
func (s *scanner) markFaulty(n int32) {
	if s.tree.faulty == nil {
		s.tree.faulty = map[int32]bool{}
	}
	s.tree.faulty[n] = true
}

// fail reports that the document cannot be read further. It returns false.
func (s *scanner) fail(offset int, message, hint string) bool {
	s.report(offset, "HF001", message, hint)
	return false
}

// stop reports that a limit ends the reading. It returns false.
func (s *scanner) stop(offset int, message string) bool {
	s.report(offset, "HF003", message, "")
	return false
}

// badText reports, once for each string, characters that it may not have. If it returns
// true, the reading goes on.
func (s *scanner) badText(offset int, message, hint string) bool {
	if s.lastBad == s.started {
		return true
	}
	s.lastBad = s.started
	return s.report(offset, "HF001", message, hint)
}

// report adds a problem with the current node; false means that there are too
// many.
func (s *scanner) report(offset int, rule, message, hint string) bool {
	p := problem.Problem{Message: message, Hint: hint, Rule: rule}
	p.Line, p.Column = s.tree.position(int32(offset))
	if !s.tree.secret && len(s.tree.nodes) > 0 {
		p.Pointer = s.tree.pointer(s.current)
	}
	return s.add(p)
}

func (s *scanner) add(p problem.Problem) bool {
	p.File = s.tree.Name
	s.problems = append(s.problems, p)
	if len(s.problems) < maxProblems {
		return true
	}
	s.problems = append(s.problems, tooMany(s.tree))
	return false
}

// tooMany says that a list of problems is cut.
func tooMany(t *Tree) problem.Problem {
	return problem.Problem{File: t.Name, Message: fmt.Sprintf("more than %d problems; the rest is left out", maxProblems), Rule: "HF003"}
}

// quoted shows a text of a document that is no secret, cut at 60 characters.
func quoted(text string) string {
	const limit = 60
	count := 0
	for i := range text {
		if count == limit {
			return strconv.Quote(text[:i] + "…")
		}
		count++
	}
	return strconv.Quote(text)
}
