package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestMasked: a secret value is masked in every form in which a library or a log may
// write it, whole or in one of its lines, and also where a document is broken.
func TestMasked(t *testing.T) {
	for _, value := range []string{
		"an-ordinary-one", `with "quotes" and \backslash`, "it's $HOME `id`", "tab\tand <html> & more", "umläut/日本+x=", "nbsp\u00a0and\u2028line",
		"-----BEGIN KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\nsecond-line-of-it\n-----END KEY-----\n",
	} {
		inJSON, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		s := &masker{}
		s.learn([]byte(`{"restic": {"password": ` + string(inJSON) + `, "bucket": "shop"}}`))
		forms := map[string]string{
			"raw": value, "JSON": string(inJSON), "Go": strconv.Quote(value), "ASCII": strconv.QuoteToASCII(value), "query": url.QueryEscape(value),
			"path": url.PathEscape(value), "HTML": html.EscapeString(value), "hex": fmt.Sprintf("%x", value), "HEX": fmt.Sprintf("%X", value),
			"shell": "'" + strings.ReplaceAll(value, `'`, `'\''`) + "'", "YAML": "'" + strings.ReplaceAll(value, `'`, `''`) + "'",
			"quoted JSON": strconv.Quote(string(inJSON)),
		}
		for line := range strings.Lines(value) {
			forms["line "+line] = "error at " + line
		}
		for before := range 4 {
			for after := range 4 {
				whole := strings.Repeat("a", before) + value + strings.Repeat("z", after)
				forms[fmt.Sprint("base64 ", before, after)] = base64.StdEncoding.EncodeToString([]byte(whole))
				forms[fmt.Sprint("base64url ", before, after)] = base64.RawURLEncoding.EncodeToString([]byte(whole))
			}
		}
		for name, form := range forms {
			got := s.text("before " + form + " after, in the bucket shop")
			if !strings.Contains(got, masked) || !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, "in the bucket shop") {
				t.Errorf("%s of %q is shown: %s", name, value, got)
			}
			// Nothing that is long enough to be a part of it is left.
			for i := 0; i+8 <= len(value); i++ {
				if part := value[i : i+8]; strings.Contains(got, part) {
					t.Errorf("%s of %q: %q is shown: %s", name, value, part, got)
					break
				}
			}
		}
	}
}

// TestMaskedAtOnce: progress is shown while documents are read. Only the race
// detector sees it fail.
func TestMaskedAtOnce(t *testing.T) {
	s := &masker{}
	w := &maskedWriter{to: io.Discard, secrets: s}
	var group sync.WaitGroup
	for n := range 20 {
		group.Go(func() { s.learn([]byte(fmt.Sprintf(`{"password": "of-the-test-%d"}`, n))) })
		group.Go(func() {
			if _, err := fmt.Fprintf(w, "of-the-test-%d\n", n); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := s.text("of-the-test-19"); got != masked {
		t.Error(got)
	}
}

// TestMaskedBroken: what cannot be decoded is learned from, too.
func TestMaskedBroken(t *testing.T) {
	for _, document := range []string{
		`{"restic": {"password": "of-the-test", `, `{"password": "of-the-test`, `{"PASSWORD" : "of-the-test"}`, "restic:\n  password: of-the-test\n", "password: 'of-the-test'",
		`{'password': 'of-the-test'}`, `{"password2":"of-the-test"}`, `{"renderKey": "of-the-test"}`, `{"secretAccessKey": "of-the-test"}`,
		`{"password": ["x", "of-the-test"]}`, `{"password": {"value": [{"is": "of-the-test"}]}}`,
	} {
		s := &masker{}
		s.learn([]byte(document))
		if got := s.text("says of-the-test"); got != "says "+masked {
			t.Errorf("%s: %s", document, got)
		}
	}
	s := &masker{}
	s.learn([]byte(`{"accessKeyId": "shop-backup", "username": "postgres", "passwordsAre": "plain", "passwordRef": {"name": "somebody"}, "password": "abc"}`))
	if got := s.text("shop-backup postgres plain somebody abc"); strings.Contains(got, masked) {
		t.Errorf("it is masked what is no secret: %s", got)
	}
}

// TestMaskedWriter: a value is masked though it is written in parts, and nothing is
// lost or held back for ever.
func TestMaskedWriter(t *testing.T) {
	var out bytes.Buffer
	s := &masker{}
	w := &maskedWriter{to: &out, secrets: s}
	for _, part := range []string{"before ", "it is known: of-the-test\n"} {
		if n, err := w.Write([]byte(part)); err != nil || n != len(part) {
			t.Fatalf("%d, %v", n, err)
		}
	}
	s.learn([]byte(`{"password": "of-the-test"}`))
	for _, part := range []string{"a line with of-", "the-", "test\nand 1 of 3\r", "of-the-", "test"} {
		if n, err := w.Write([]byte(part)); err != nil || n != len(part) {
			t.Fatalf("%d, %v", n, err)
		}
	}
	w.flush()
	want := "before it is known: of-the-test\na line with (masked)\nand 1 of 3\r(masked)"
	if got := out.String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestMaskedPart: the beginning of a value is masked where a message has shortened it,
// with whatever else is known, and no other text.
func TestMaskedPart(t *testing.T) {
	const value = "abcdefghijklmnopqrstuvwxyz-0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	escaped := `"q\` + value
	s := &masker{}
	for _, known := range []string{value, escaped, "abcdef"} {
		s.hide(known)
	}
	for text, want := range map[string]string{
		fmt.Sprintf("%.40q is it", value):                     `"` + masked + `" is it`,
		fmt.Sprintf("%q is it", value[:60]+"…"):               `"` + masked + `…" is it`,
		fmt.Sprintf("%.40q is it", escaped):                   `"` + masked + `" is it`,
		fmt.Sprintf("%x", value[:20]):                         masked,
		"the " + value[:16] + " of it":                        "the " + masked + " of it",
		"the " + value[:9] + "… of it":                        "the " + masked + "… of it",
		"the " + value[:9] + " of it, " + value:               "the " + masked + "ghi of it, " + masked,
		value + value[:17] + value:                            masked + masked + masked,
		"abcde, " + value[1:30] + " and abcd…":                "abcde, " + value[1:30] + " and abcd…",
		"cut in the middle of a letter: " + escaped[:2] + "…": "cut in the middle of a letter: " + escaped[:2] + "…",
	} {
		if got := s.text(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// BenchmarkMasked: the cost is that of reading the text, whatever the number of values.
func BenchmarkMasked(b *testing.B) {
	s := &masker{}
	for n := range 500 {
		s.hide(fmt.Sprintf("a value of the test with the number %d", n))
	}
	text := strings.Repeat("a line of a manifest that says nothing secret\n", 1<<14)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		s.text(text)
	}
}
