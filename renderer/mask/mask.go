// Package mask knows in which forms a secret value stands in other texts: as it is,
// encoded in base64 within a longer text, or escaped as JSON, URLs, HTML, Go and shells
// do, whole or one of its lines. Whoever hides secrets, or looks for them, asks here.
package mask

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// Forms are the ways in which a value, and each of its lines, is written in other
// texts; of those none that is shorter than so many bytes, which stands in ordinary
// words. They are sorted.
func Forms(value string, shortest int) []string {
	values := []string{value, strings.TrimSpace(value)}
	// Some libraries show one line of several.
	for line := range strings.Lines(value) {
		values = append(values, strings.TrimSpace(line))
	}
	var forms []string
	for _, v := range values {
		if len(v) >= shortest {
			forms = append(forms, formsOf(v)...)
		}
	}
	forms = slices.DeleteFunc(forms, func(form string) bool { return len(form) < shortest })
	slices.Sort(forms)
	return slices.Compact(forms)
}

// formsOf are those of one value.
func formsOf(value string) []string {
	inJSON := func(escapeHTML bool) string {
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(escapeHTML)
		// Text can always be encoded.
		_ = encoder.Encode(value)
		return unquoted(strings.TrimSuffix(b.String(), "\n"))
	}
	forms := []string{
		value, inJSON(false), inJSON(true), unquoted(strconv.Quote(value)), unquoted(strconv.QuoteToASCII(value)),
		url.QueryEscape(value), url.PathEscape(value), html.EscapeString(value),
		strings.ReplaceAll(value, `'`, `'\''`), strings.ReplaceAll(value, `'`, `''`),
		problem.Printable(value), hex.EncodeToString([]byte(value)), strings.ToUpper(hex.EncodeToString([]byte(value))),
	}
	// A message about a message.
	forms = append(forms, unquoted(strconv.Quote(inJSON(false))), unquoted(strconv.Quote(inJSON(true))))
	// In base64 within a longer text: at each offset, without the letters that the
	// neighbours have a part in.
	for offset := range 3 {
		start := (3 - offset) % 3
		if len(value) < start+3 {
			continue
		}
		whole := []byte(value[start : start+(len(value)-start)/3*3])
		forms = append(forms, base64.StdEncoding.EncodeToString(whole), base64.URLEncoding.EncodeToString(whole))
	}
	return forms
}

// unquoted is a text without the quotes around it.
func unquoted(text string) string { return text[1 : len(text)-1] }

// Shortest is the length, in bytes, below which a Finder does not look for a form.
const Shortest = 8

// Finder looks for many values in a text at once: the cost is that of reading the
// text, however many there are. The zero Finder looks for nothing.
type Finder struct {
	// forms are those that begin with the same bytes, by these bytes as a number.
	forms map[uint64][]form
	// begins has a bit for each of those beginnings, and for others.
	begins [1 << 10]uint64
}

// form is one way in which a value is written.
type form struct {
	text string
	id   int
}

// hashed is where the bit of a beginning is.
func hashed(begin uint64) (word, bit uint64) {
	const golden = 0x9E3779B97F4A7C15
	place := begin * golden >> 48
	return place >> 6, 1 << (place & 63)
}

// Add has a value found from now on, in all its forms, by this number.
func (f *Finder) Add(value string, id int) {
	if f.forms == nil {
		f.forms = map[uint64][]form{}
	}
	for _, text := range Forms(value, Shortest) {
		begin := binary.LittleEndian.Uint64([]byte(text[:Shortest]))
		f.forms[begin] = append(f.forms[begin], form{text, id})
		word, bit := hashed(begin)
		f.begins[word] |= bit
	}
}

// In tells the numbers of the values that stand in a text; one may be told again.
func (f *Finder) In(text string, found func(id int)) {
	if len(f.forms) == 0 || len(text) < Shortest {
		return
	}
	begin := binary.LittleEndian.Uint64([]byte(text[:Shortest]))
	for end := Shortest; ; end++ {
		if word, bit := hashed(begin); f.begins[word]&bit != 0 {
			for _, form := range f.forms[begin] {
				if strings.HasPrefix(text[end-Shortest:], form.text) {
					found(form.id)
				}
			}
		}
		if end == len(text) {
			return
		}
		begin = begin>>8 | uint64(text[end])<<56
	}
}
