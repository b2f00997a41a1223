package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/mask"
)

// masked stands in the place of a secret value.
const masked = "(masked)"

// shortestSecret is the length, in bytes, from which a value is masked. One that is
// shorter stands in ordinary words, and its place in them would tell it.
const shortestSecret = 5

// shortestPart is the length, in bytes, from which the beginning of a value is masked,
// too: messages shorten what they quote.
const shortestPart = 16

// Identities of age are masked wherever they stand, learned or not.
var (
	identityText  = regexp.MustCompile(`(?i)^AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]+`)
	identityStart = regexp.MustCompile(`(?i)^AGE-(?:SECRET-KEY|PLUGIN)-`)
)

// masker knows the values of a run's documents that nobody may read: neither on
// stderr nor in a report, whichever library quotes them. What is rendered has them
// where it must, and does not pass here.
//
// They are taken from the text of each document, whatever it is given as and
// whether or not it can be decoded: a message about a document that is broken, or
// in the wrong place, quotes it most of all.
//
// Several goroutines may learn and mask: progress is shown while documents are read.
type masker struct {
	mutex  sync.Mutex
	fields *regexp.Regexp
	// forms are those that begin with the same shortestSecret bytes, by these bytes.
	forms map[string][]string
}

// learn takes the values of secret fields from a document.
func (s *masker) learn(document []byte) {
	if s == nil {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.fields == nil {
		s.fields = secretFields()
	}
	for _, match := range s.fields.FindAllSubmatch(document, -1) {
		quoted := match[1]
		var value string
		if json.Unmarshal(quoted, &value) != nil {
			// Not JSON, or not the end of it.
			value = strings.Trim(string(quoted), `"'`)
		}
		s.add(value)
		// As it stands there: JSON may write any letter as an escape.
		s.add(strings.Trim(string(quoted), `"'`))
	}
	var value any
	if json.Unmarshal(document, &value) == nil {
		s.below(value, false)
	}
}

// below takes what stands anywhere below a secret field, in a list, say: it is refused
// there, by a message that quotes it.
func (s *masker) below(value any, secret bool) {
	switch v := value.(type) {
	case string:
		if secret {
			s.add(v)
		}
	case []any:
		for _, entry := range v {
			s.below(entry, secret)
		}
	case map[string]any:
		for key, entry := range v {
			s.below(entry, secret || s.fields.MatchString(`"`+key+`": "x"`))
		}
	}
}

// learnGiven takes the secrets from what stands where a path or a word belongs: a
// document, or an identity of age. A message about it would quote it.
func (s *masker) learnGiven(args []string) {
	for _, arg := range args {
		s.learn([]byte(arg))
	}
	// A shell splits a document that nobody put in quotes.
	s.learn([]byte(strings.Join(args, "\n")))
	for _, name := range []string{ageKeyVariable, ageKeyFileVariable} {
		text := os.Getenv(name)
		s.learn([]byte(text))
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); identityStart.MatchString(line) {
				s.hide(line)
			}
		}
	}
}

// learnTexts takes the secrets from the texts of a decoded value, as from documents.
func (s *masker) learnTexts(value any) {
	switch v := value.(type) {
	case string:
		s.learn([]byte(v))
	case []any:
		for _, entry := range v {
			s.learnTexts(entry)
		}
	case map[string]any:
		for key, entry := range v {
			s.learn([]byte(key))
			s.learnTexts(entry)
		}
	}
}

// hide has one value masked.
func (s *masker) hide(value string) {
	if s == nil {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.add(value)
}

// add has a value masked from now on, in all forms that libraries write.
func (s *masker) add(value string) {
	for _, form := range mask.Forms(value, shortestSecret) {
		begin := form[:shortestSecret]
		if !slices.Contains(s.forms[begin], form) {
			if s.forms == nil {
				s.forms = map[string][]string{}
			}
			s.forms[begin] = append(s.forms[begin], form)
		}
	}
}

// text is a text without the secrets.
func (s *masker) text(text string) string {
	if s == nil {
		return text
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	var b strings.Builder
	done := 0
	for i := 0; i+shortestSecret <= len(text); {
		length := 0
		for _, form := range s.forms[text[i:i+shortestSecret]] {
			length = max(length, shown(form, text[i:]))
		}
		// Asked only where one may begin: the expression alone is slow.
		if strings.EqualFold(text[i:i+len("AGE-")], "AGE-") {
			length = max(length, len(identityText.FindString(text[i:])))
		}
		if length == 0 {
			i++
			continue
		}
		b.WriteString(text[done:i])
		b.WriteString(masked)
		i += length
		done = i
	}
	b.WriteString(text[done:])
	return b.String()
}

// shown is how many bytes of a form a text begins with: all of them, or as many as a
// message has left of it that was too long.
func shown(form, text string) int {
	length := 0
	for length < min(len(form), len(text)) && form[length] == text[length] {
		length++
	}
	if length == len(form) || length >= shortestPart || strings.HasPrefix(text[length:], "…") {
		return length
	}
	return 0
}

// maskedWriter masks what is written. It writes whole lines, for a library may write
// one in parts; what a terminal redraws ends with a carriage return.
type maskedWriter struct {
	to      io.Writer
	secrets *masker
	mutex   sync.Mutex
	held    []byte
}

// Write implements io.Writer.
func (w *maskedWriter) Write(data []byte) (int, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.held = append(w.held, data...)
	end := bytes.LastIndexAny(w.held, "\n\r") + 1
	text := w.secrets.text(string(w.held[:end]))
	w.held = append([]byte(nil), w.held[end:]...)
	if _, err := io.WriteString(w.to, text); err != nil {
		return 0, err
	}
	return len(data), nil
}

// flush writes what has no end.
func (w *maskedWriter) flush() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	// Nobody can be told of it.
	_, _ = io.WriteString(w.to, w.secrets.text(string(w.held)))
	w.held = nil
}

// secretFields finds a secret field in the text of a document.
func secretFields() *regexp.Regexp {
	var fields []string
	for _, name := range input.SecretFields() {
		if !slices.Contains(input.NameFields(), name) {
			fields = append(fields, regexp.QuoteMeta(name))
		}
	}
	return regexp.MustCompile(`["']?(?i:` + strings.Join(fields, "|") + `)["']?\s*:\s*("(?:[^"\\]|\\.)*"?|'[^']*'|[^\s"',}{\[][^\n,}]*)`)
}
