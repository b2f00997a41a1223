package yaml

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxKeyBytes is the longest key that Append writes. YAML readers stop
// looking for the colon of a key after 1024 characters.
const maxKeyBytes = 1000

// exactIntegers is 2^53: below it every integer is a float64, and the other
// way round.
const exactIntegers = 1 << 53

// Append appends value as one block-style YAML document, without a "---"
// line, and returns the extended buffer. The same value always gives the same
// bytes, and YAML 1.1 and 1.2 readers alike read exactly value back.
//
// A value is nil, a bool, an int, an int64, a float64, a json.Number, a string,
// or a map[string]any, map[string]string, []any or []string of values. Keys
// are sorted, but an object starts with apiVersion, kind and metadata, and its
// metadata with name and namespace. Anything that YAML cannot carry is an
// error: another Go type, a number that is not finite, a text that is not
// UTF-8, a key longer than 1000 bytes. The error names the place, never the
// value; dst is then returned as it was.
func Append(dst []byte, value any) ([]byte, error) {
	w := writer{out: dst}
	if err := w.document(value); err != nil {
		return dst, err
	}
	return w.out, nil
}

// AppendDocuments appends objects as one YAML stream: a "---" line before each
// object, the first one included, so that streams can simply be joined.
func AppendDocuments(dst []byte, objects []map[string]any) ([]byte, error) {
	w := writer{out: dst}
	for i, object := range objects {
		w.out = append(w.out, "---\n"...)
		if err := w.document(object); err != nil {
			return dst, fmt.Errorf("object %d: %w", i, err)
		}
	}
	return w.out, nil
}

// writer appends YAML to out. Its keys are a stack: each open mapping has
// its sorted keys on it, so that no mapping needs memory of its own.
type writer struct {
	out  []byte
	keys []string
}

// level says which keys of a mapping come first.
type level int

const (
	levelNested level = iota
	levelObject
	levelMetadata
)

// below is the level of what stands at a key.
func (at level) below(key string) level {
	if at == levelObject && key == "metadata" {
		return levelMetadata
	}
	return levelNested
}

// order sorts the keys of a mapping as they are written.
func order(keys []string, at level) {
	slices.Sort(keys)
	switch at {
	case levelObject:
		toFront(keys, "metadata")
		toFront(keys, "kind")
		toFront(keys, "apiVersion")
	case levelMetadata:
		toFront(keys, "namespace")
		toFront(keys, "name")
	case levelNested:
	}
}

func (w *writer) document(value any) error {
	if m, ok := value.(map[string]any); ok && len(m) > 0 {
		return w.mapping(m, 0, false, levelObject)
	}
	return w.item(value, 0)
}

// mapping writes the entries of m, each on a line of its own at indent. With
// inline the first line's indent is already there, as after "- ".
func (w *writer) mapping(m map[string]any, indent int, inline bool, at level) error {
	start := len(w.keys)
	for k := range m {
		w.keys = append(w.keys, k)
	}
	end := len(w.keys)
	order(w.keys[start:end], at)
	for i := start; i < end; i++ {
		k := w.keys[i]
		if err := w.key(k, indent, inline && i == start); err != nil {
			return err
		}
		if err := w.entry(m[k], indent, at.below(k)); err != nil {
			return inside(err, k)
		}
	}
	w.keys = w.keys[:start]
	return nil
}

// stringMapping is mapping for a map of texts.
func (w *writer) stringMapping(m map[string]string, indent int, inline bool) error {
	start := len(w.keys)
	for k := range m {
		w.keys = append(w.keys, k)
	}
	end := len(w.keys)
	slices.Sort(w.keys[start:end])
	for i := start; i < end; i++ {
		k := w.keys[i]
		if err := w.key(k, indent, inline && i == start); err != nil {
			return err
		}
		w.out = append(w.out, ' ')
		if err := w.text(m[k], indent+2); err != nil {
			return inside(err, k)
		}
	}
	w.keys = w.keys[:start]
	return nil
}

// toFront moves key to the front of keys, when it is there.
func toFront(keys []string, key string) {
	if i := slices.Index(keys, key); i > 0 {
		copy(keys[1:i+1], keys[:i])
		keys[0] = key
	}
}

func (w *writer) sequence(items []any, indent int, inline bool) error {
	for i, item := range items {
		w.dash(indent, inline && i == 0)
		if err := w.item(item, indent+2); err != nil {
			return inside(err, strconv.Itoa(i))
		}
	}
	return nil
}

func (w *writer) stringSequence(items []string, indent int, inline bool) error {
	for i, item := range items {
		w.dash(indent, inline && i == 0)
		if err := w.text(item, indent+2); err != nil {
			return inside(err, strconv.Itoa(i))
		}
	}
	return nil
}

// entry writes the value of a key at indent, beginning after the colon.
func (w *writer) entry(value any, indent int, at level) error {
	switch v := value.(type) {
	case string:
		w.out = append(w.out, ' ')
		return w.text(v, indent+2)
	case map[string]any:
		if len(v) > 0 {
			w.out = append(w.out, '\n')
			return w.mapping(v, indent+2, false, at)
		}
	case map[string]string:
		if len(v) > 0 {
			w.out = append(w.out, '\n')
			return w.stringMapping(v, indent+2, false)
		}
	case []any:
		if len(v) > 0 {
			w.out = append(w.out, '\n')
			return w.sequence(v, indent, false)
		}
	case []string:
		if len(v) > 0 {
			w.out = append(w.out, '\n')
			return w.stringSequence(v, indent, false)
		}
	}
	w.out = append(w.out, ' ')
	return w.scalar(value)
}

// item writes a value of a list, beginning after "- ". Its further lines stand
// at indent.
func (w *writer) item(value any, indent int) error {
	switch v := value.(type) {
	case string:
		// A text at the top of a document needs an indent all the same.
		return w.text(v, max(indent, 2))
	case map[string]any:
		if len(v) > 0 {
			return w.mapping(v, indent, true, levelNested)
		}
	case map[string]string:
		if len(v) > 0 {
			return w.stringMapping(v, indent, true)
		}
	case []any:
		if len(v) > 0 {
			return w.sequence(v, indent, true)
		}
	case []string:
		if len(v) > 0 {
			return w.stringSequence(v, indent, true)
		}
	}
	return w.scalar(value)
}

func (w *writer) dash(indent int, inline bool) {
	if !inline {
		w.indent(indent)
	}
	w.out = append(w.out, '-', ' ')
}

func (w *writer) key(k string, indent int, inline bool) error {
	if !inline {
		w.indent(indent)
	}
	start := len(w.out)
	if plain(k) {
		w.out = append(w.out, k...)
	} else if !utf8.ValidString(k) {
		return errors.New("a key is not valid UTF-8")
	} else {
		w.out = appendQuoted(w.out, k)
	}
	if len(w.out)-start > maxKeyBytes {
		return fmt.Errorf("a key is longer than %d bytes", maxKeyBytes)
	}
	w.out = append(w.out, ':')
	return nil
}

func (w *writer) indent(n int) {
	const blanks = "                                "
	for ; n > len(blanks); n -= len(blanks) {
		w.out = append(w.out, blanks...)
	}
	w.out = append(w.out, blanks[:n]...)
}

// scalar writes anything that is neither a text nor a collection with content.
func (w *writer) scalar(value any) error {
	switch v := value.(type) {
	case nil:
		w.out = append(w.out, "null\n"...)
	case bool:
		w.out = append(strconv.AppendBool(w.out, v), '\n')
	case int:
		w.out = append(strconv.AppendInt(w.out, int64(v), 10), '\n')
	case int64:
		w.out = append(strconv.AppendInt(w.out, v, 10), '\n')
	case float64:
		return w.float(v)
	case json.Number:
		return w.number(v)
	case map[string]any, map[string]string:
		w.out = append(w.out, "{}\n"...)
	case []any, []string:
		w.out = append(w.out, "[]\n"...)
	default:
		return fmt.Errorf("the Go type %T is no JSON value", value)
	}
	return nil
}

func (w *writer) float(v float64) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return errors.New("a number is not finite")
	}
	size := math.Abs(v)
	switch {
	case v == math.Trunc(v) && size < exactIntegers:
		w.out = strconv.AppendInt(w.out, int64(v), 10)
	case size >= 1e-6 && size < 1e21:
		w.out = strconv.AppendFloat(w.out, v, 'f', -1, 64)
	default:
		// YAML 1.1 wants a point in the mantissa and a sign in the exponent,
		// else "1e-07" is a text.
		start := len(w.out)
		w.out = strconv.AppendFloat(w.out, v, 'e', -1, 64)
		if e := slices.Index(w.out[start:], 'e'); !slices.Contains(w.out[start:start+e], '.') {
			w.out = slices.Insert(w.out, start+e, '.', '0')
		}
	}
	w.out = append(w.out, '\n')
	return nil
}

// number writes integers of any size digit by digit, and everything else as
// the float64 that readers make of it.
func (w *writer) number(n json.Number) error {
	if !json.Valid([]byte(n)) || strings.Trim(string(n), "-+.eE0123456789") != "" {
		return errors.New("a json.Number is no number")
	}
	if !strings.ContainsAny(string(n), ".eE") && n != "-0" {
		w.out = append(append(w.out, n...), '\n')
		return nil
	}
	v, err := strconv.ParseFloat(string(n), 64)
	if err != nil {
		return errors.New("a json.Number is out of range")
	}
	return w.float(v)
}

// text writes s and the end of its line; indent is where the lines of a
// literal block stand.
func (w *writer) text(s string, indent int) error {
	switch {
	case plain(s):
		w.out = append(append(w.out, s...), '\n')
	case !utf8.ValidString(s):
		return errors.New("a text is not valid UTF-8")
	case literal(s):
		w.literal(s, indent)
	default:
		w.out = append(appendQuoted(w.out, s), '\n')
	}
	return nil
}

func (w *writer) literal(s string, indent int) {
	w.out = append(w.out, '|')
	switch {
	case !strings.HasSuffix(s, "\n"):
		w.out = append(w.out, '-')
	case strings.HasSuffix(s, "\n\n"):
		w.out = append(w.out, '+')
	}
	w.out = append(w.out, '\n')
	for s != "" {
		end := strings.IndexByte(s, '\n') + 1
		if end == 0 {
			end = len(s)
		}
		if s[0] != '\n' {
			w.indent(indent)
		}
		w.out = append(w.out, s[:end]...)
		s = s[end:]
	}
	if w.out[len(w.out)-1] != '\n' {
		w.out = append(w.out, '\n')
	}
}

// plain reports whether s may stand without quotes: it is made of a safe
// alphabet and no reader of YAML 1.1 or 1.2 takes it for anything but a text.
// When in doubt it says no, for quotes are never wrong.
func plain(s string) bool {
	if s == "" {
		return false
	}
	first := s[0]
	letterSeen := false // a letter that is in no number and no date
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			if l := c | 0x20; l != 'e' && l != 't' && l != 'z' {
				letterSeen = true
			}
		case c >= '0' && c <= '9':
		case c == '-' || c == '_' || c == '.' || c == '/':
		case i == 0:
			return false
		case c == '@' || c == '+' || c == '=' || c == ',' || c == '%' || c == '(' || c == ')' || c == '~':
		case c == ':' || c == ' ':
			if i == len(s)-1 || c == ':' && s[i+1] == ' ' {
				return false
			}
		default:
			return false
		}
	}
	switch {
	case first == '.':
		return false
	case first == '-':
		// Options ("-x", "--force") are common; "-", "---", "-1", "- x" and
		// "-.inf" are not texts.
		rest := strings.TrimPrefix(s[1:], "-")
		return rest != "" && isLetter(rest[0])
	case first >= '0' && first <= '9':
		// Octal, hexadecimal and binary numbers start with 0; all others, and
		// dates and times, know no letters but these.
		return first != '0' && letterSeen
	}
	return len(s) > len("false") || !reserved(s)
}

func isLetter(c byte) bool {
	c |= 0x20
	return c >= 'a' && c <= 'z'
}

// reserved reports whether s is, in any case, a word that YAML 1.1 or 1.2
// takes for a bool or for null.
func reserved(s string) bool {
	for _, word := range [...]string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"} {
		if strings.EqualFold(s, word) {
			return true
		}
	}
	return false
}

// literal reports whether s, which is valid UTF-8, survives a literal block:
// several lines, all printable, no blanks at a line's end, no tab at a line's
// start, and a first line that shows the indent.
func literal(s string) bool {
	if strings.IndexByte(s, '\n') < 1 || s[0] == ' ' {
		return false
	}
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '\n':
			if i > 0 && (s[i-1] == ' ' || s[i-1] == '\t') {
				return false
			}
		case c == '\t':
			if i == 0 || s[i-1] == '\n' {
				return false
			}
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(s[i:])
			if !printable(r) {
				return false
			}
			i += size
			continue
		case c < ' ' || c == 0x7f:
			return false
		}
		i++
	}
	last := s[len(s)-1]
	return last != ' ' && last != '\t'
}

// printable reports whether the non-ASCII rune r may stand in YAML unescaped
// and is no line break to any reader.
func printable(r rune) bool {
	switch {
	case r < 0xa0: // C1 control characters, among them NEL
		return false
	case r == '\u2028' || r == '\u2029': // line breaks in YAML 1.1
		return false
	case r == '\ufeff' || r == '\ufffe' || r == '\uffff': // byte order marks, no character
		return false
	}
	return true
}

// appendQuoted appends s, which is valid UTF-8, as a JSON string, which is
// YAML as well. Everything that is not printable is escaped.
func appendQuoted(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		r, size := rune(c), 1
		if c >= utf8.RuneSelf {
			if r, size = utf8.DecodeRuneInString(s[i:]); printable(r) {
				i += size
				continue
			}
		}
		dst = append(dst, s[done:i]...)
		switch r {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\r':
			dst = append(dst, '\\', 'r')
		default: // all of them are below U+10000
			dst = append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		}
		i += size
		done = i
	}
	return append(append(dst, s[done:]...), '"')
}

// placeError is an error at a place inside a value.
type placeError struct {
	pointer string
	err     error
}

// inside tells err the key that leads to its place.
func inside(err error, key string) error {
	key = "/" + strings.ToValidUTF8(key, "\ufffd")
	var p *placeError
	if errors.As(err, &p) {
		p.pointer = key + p.pointer
		return p
	}
	return &placeError{pointer: key, err: err}
}

func (e *placeError) Error() string { return e.pointer + ": " + e.err.Error() }

func (e *placeError) Unwrap() error { return e.err }
