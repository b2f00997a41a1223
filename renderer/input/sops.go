package input

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/renderer/seal"
)

// Encrypted says whether a document is JSON that sops has encrypted.
func Encrypted(document Document) bool {
	root, err := readText(document.Data)
	return err == nil && root.sops != nil
}

// ErrOtherKeys says that only the program sops can decrypt a document: it is encrypted
// for a cloud's key service, PGP, an age plugin or several key groups.
var ErrOtherKeys = errors.New("only sops itself reads it")

// Decrypt decrypts, in memory, a document that sops encrypted for an age recipient.
// Every value stays on its line, so messages name the right one. A document that sops
// did not write comes back as it is. The error is a problem.List with HF033 if no
// identity opens the document, or with HF045 if it was changed or cut short; or
// ErrOtherKeys. No message repeats a value.
func Decrypt(document Document, identities []seal.Identity) (Document, error) {
	text, err := readText(document.Data)
	if err != nil || text.sops == nil {
		return document, nil //nolint:nilerr // Load says what is wrong with it
	}
	if problems := text.readable(document); len(problems) > 0 {
		return document, problems
	}
	envelope, ours := text.envelope()
	if !ours {
		return document, ErrOtherKeys
	}
	leaves := make([]seal.Leaf, len(text.leaves))
	for i, leaf := range text.leaves {
		leaves[i] = seal.Leaf{Path: leaf.path, Text: leaf.text}
	}
	texts, err := envelope.Open(leaves, identities)
	switch {
	case errors.Is(err, seal.ErrNoIdentity):
		return document, problem.List{NotDecrypted(document, err.Error())}
	case err != nil:
		return document, problem.List{{File: document.Name, Line: 1, Column: 1, Message: "the document is encrypted by sops, and damaged: " + err.Error(),
			Hint: "take it back from Git, and change it with sops edit only", Rule: "HF045"}}
	}
	plain, err := text.with(func(i int, leaf leaf) (string, bool) {
		if !seal.LooksEncrypted(leaf.text) {
			return "", false
		}
		value, _ := seal.ParseCiphertext(leaf.text)
		switch value.Type {
		case "bool":
			return strings.ToLower(texts[i]), true
		case "int", "float":
			return texts[i], true
		}
		return quotedJSON(texts[i]), true
	})
	if err != nil {
		return document, problem.List{{File: document.Name, Line: 1, Column: 1, Message: "the document is encrypted by sops, and its end is not as sops writes it",
			Hint: "take it back from Git, and change it with sops edit only", Rule: "HF045"}}
	}
	document.Data = plain
	return document, nil
}

// NotDecrypted is HF033 for a document that could be decrypted elsewhere.
func NotDecrypted(document Document, why string) problem.Problem {
	return problem.Problem{File: document.Name, Line: 1, Column: 1, Message: "the document is encrypted by sops, and " + why,
		Hint: "give an age identity of a recipient with SOPS_AGE_KEY_FILE or SOPS_AGE_KEY; to compare all but the values give check --without-values", Rule: "HF033"}
}

// Redact returns a credentials document with null instead of every secret value, and
// the values that were readable. If the document is not JSON it comes back as it is,
// without values, and Load says what is wrong with it. A document that sops encrypted
// need not be decrypted; if sops encrypted more than the secret fields, that is a
// problem (HF033).
func Redact(document Document) (Document, []Secret, error) {
	text, err := readText(document.Data)
	if err != nil {
		return document, nil, nil //nolint:nilerr // as above
	}
	if problems := text.readable(document); len(problems) > 0 {
		return document, nil, problems
	}
	names := SecretFields()
	values := []Secret{}
	var problems problem.List
	redacted, err := text.with(func(_ int, leaf leaf) (string, bool) {
		secret := leaf.isText && len(leaf.path) > 0 && slices.Contains(names, leaf.path[len(leaf.path)-1])
		if text.sops != nil && !secret && seal.LooksEncrypted(leaf.text) {
			problems = append(problems, problem.Problem{File: document.Name, Pointer: "/" + strings.Join(leaf.path, "/"),
				Message: "sops encrypted this value, too, and it is no secret: without it nothing can be compared",
				Hint:    "encrypt the secret fields alone: sops encrypt --encrypted-regex '" + encryptedFields() + "'", Rule: "HF033"})
		}
		if secret && !seal.LooksEncrypted(leaf.text) {
			values = append(values, Secret{"/" + strings.Join(leaf.path, "/"), leaf.text})
		}
		return "null", secret
	})
	if len(problems) > 0 {
		return document, nil, problems.Sorted()
	}
	if err != nil {
		return document, nil, nil //nolint:nilerr // as above
	}
	document.Data = redacted
	return document, values, nil
}

// encryptedFields is the encrypted_regex of sops for credentials.
func encryptedFields() string { return "^(" + strings.Join(SecretFields(), "|") + ")$" }

// jsonText is a document's text, with the places of its values.
type jsonText struct {
	data   []byte
	leaves []leaf
	// sops is the member that sops added, nil without one, and its place, from the
	// comma before it to its end.
	sops       map[string]any
	start, end int64
	last       bool
}

// leaf is a value that is no object, no list and not null.
type leaf struct {
	path       []string // without the indexes of lists, as for SOPS
	start, end int64
	text       string // as SOPS sums it up
	isText     bool
}

// readText reads a document that is one JSON object.
func readText(data []byte) (*jsonText, error) {
	if len(data) > maxBytes {
		return nil, errors.New("too large")
	}
	t := &jsonText{data: data}
	d := json.NewDecoder(bytes.NewReader(data))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, errors.New("no object")
	}
	for d.More() {
		before := d.InputOffset()
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		if key, _ := token.(string); key == "sops" {
			var value map[string]any
			if err := d.Decode(&value); err != nil {
				return nil, err
			}
			if t.sops != nil || !encrypted(map[string]any{"sops": value}) {
				return nil, errors.New("this is not what sops writes")
			}
			t.sops, t.start, t.end, t.last = value, before, d.InputOffset(), !d.More()
		} else if err := t.read(d, []string{key}, 1); err != nil {
			return nil, err
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document")
	}
	return t, nil
}

// read reads the value of a key or of a list's entry.
func (t *jsonText) read(d *json.Decoder, path []string, depth int) error {
	if depth > maxDepth {
		return errors.New("too deep")
	}
	before := d.InputOffset()
	token, err := d.Token()
	if err != nil {
		return err
	}
	// Between two tokens are white space, a colon or a comma only.
	start := before + int64(len(t.data[before:])-len(bytes.TrimLeft(t.data[before:], " \t\r\n:,")))
	l := leaf{path: path, start: start, end: d.InputOffset()}
	switch v := token.(type) {
	case json.Delim:
		for d.More() {
			below := path
			if v == '{' {
				key, err := d.Token()
				if err != nil {
					return err
				}
				name, _ := key.(string)
				below = append(slices.Clone(path), name)
			}
			if err := t.read(d, below, depth+1); err != nil {
				return err
			}
		}
		_, err := d.Token()
		return err
	case string:
		l.text, l.isText = v, true
	case float64:
		l.text = strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		l.text = "False"
		if v {
			l.text = "True"
		}
	default:
		return nil // null is no leaf of SOPS
	}
	t.leaves = append(t.leaves, l)
	return nil
}

// readable finds secret values that sops left readable.
func (t *jsonText) readable(document Document) problem.List {
	if t.sops == nil {
		return nil
	}
	var problems problem.List
	for _, l := range t.leaves {
		name := l.path[len(l.path)-1]
		if l.isText && l.text != "" && slices.Contains(SecretFields(), name) && !slices.Contains(NameFields(), name) && !seal.LooksEncrypted(l.text) {
			problems = append(problems, problem.Problem{File: document.Name, Pointer: "/" + strings.Join(l.path, "/"),
				Message: "the value is readable in a document that sops encrypted",
				Hint:    "encrypt it and change it, for whoever has the file has read it: encrypted_regex: " + encryptedFields(), Rule: "HF046"})
		}
	}
	return problems.Sorted()
}

// envelope returns what decrypts the document; ours is false if only sops can.
func (t *jsonText) envelope() (envelope seal.Envelope, ours bool) {
	envelope.MAC, _ = t.sops["mac"].(string)
	envelope.LastModified, _ = t.sops["lastmodified"].(string)
	list, _ := t.sops["age"].([]any)
	for _, value := range list {
		entry, _ := value.(map[string]any)
		text, _ := entry["enc"].(string)
		recipient, _ := entry["recipient"].(string)
		if _, err := seal.ParseRecipient(recipient); err == nil {
			envelope.Keys = append(envelope.Keys, text)
		}
	}
	groups, _ := t.sops["key_groups"].([]any)
	return envelope, len(envelope.Keys) > 0 && len(groups) == 0 && t.sops["mac_only_encrypted"] != true
}

// with returns the document without the member of sops, and with other texts in the
// place of leaves.
func (t *jsonText) with(replace func(i int, leaf leaf) (text string, ok bool)) ([]byte, error) {
	var out []byte
	at := int64(0)
	for i, l := range t.leaves {
		text, ok := replace(i, l)
		if !ok {
			continue
		}
		out = append(append(out, t.data[at:l.start]...), text...)
		at = l.end
	}
	if t.sops == nil {
		return append(out, t.data[at:]...), nil
	}
	if !t.last || at > t.start {
		return nil, errors.New("sops is not the last member")
	}
	return append(append(out, t.data[at:t.start]...), t.data[t.end:]...), nil
}

// quotedJSON writes a text in JSON.
func quotedJSON(text string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // text can always be encoded
	return strings.TrimSuffix(b.String(), "\n")
}
