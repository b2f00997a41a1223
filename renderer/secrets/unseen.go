package secrets

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/seal"
	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

// placeholder stands where a ciphertext belongs that nobody can make without the
// values. No ciphertext looks like it.
const placeholder = "(encrypted)"

// Unseen is what is known of a Secret's file without its values: all but the
// ciphertexts.
type Unseen struct {
	object      map[string]any
	certificate *seal.Certificate
}

// Fill returns what the file would be if the ciphertexts that data has were those of
// the right values. It takes from data nothing else, and of those only what has the
// form of a ciphertext: the result equals data if no more than the values could be
// wrong. Otherwise reasons say what is, without values.
//
// With identities it also decrypts, so that what no identity opens differs.
func (u *Unseen) Fill(data []byte, identities []seal.Identity) (filled []byte, reasons []string, err error) {
	objects, wrong := yaml.Decode(data)
	found := map[string]any{}
	switch {
	case wrong != nil:
		reasons = append(reasons, "this is no YAML")
	case len(objects) != 1:
		reasons = append(reasons, fmt.Sprintf("%d objects stand where one is expected", len(objects)))
	default:
		found = objects[0]
	}
	f := filler{unseen: u}
	value, _ := f.value(nil, u.object, found).(map[string]any)
	if len(reasons) == 0 {
		reasons = f.reasons
	}
	if filled, err = yaml.AppendDocuments(nil, []map[string]any{value}); err != nil {
		return nil, nil, err
	}
	if !bytes.Equal(filled, data) {
		if len(reasons) == 0 {
			reasons = []string{"the layout or a comment is not as rendered"}
		}
		return filled, reasons, nil
	}
	if len(identities) == 0 || found["sops"] == nil {
		return filled, nil, nil
	}
	if wrong := opens(found, identities); wrong != nil {
		if frame, ok := found["sops"].(map[string]any); ok {
			frame["mac"] = placeholder
		}
		filled, err = yaml.AppendDocuments(nil, []map[string]any{found})
		return filled, []string{"it does not decrypt: " + wrong.Error()}, err
	}
	return filled, nil, nil
}

// Decrypts says whether Fill decrypts when it has identities.
func (u *Unseen) Decrypts() bool { return u.object["sops"] != nil }

// filler compares an object with what is expected of it.
type filler struct {
	unseen  *Unseen
	reasons []string
}

func (f *filler) say(path []string, format string, args ...any) {
	f.reasons = append(f.reasons, strings.Join(path, "/")+": "+fmt.Sprintf(format, args...))
}

// value returns what is expected, with ciphertexts from what was found.
func (f *filler) value(path []string, want, found any) any {
	switch w := want.(type) {
	case map[string]any:
		other, isMap := found.(map[string]any)
		if !isMap {
			f.say(path, "this is no object")
		}
		filled := map[string]any{}
		for _, key := range slices.Sorted(maps.Keys(w)) {
			below := append(slices.Clone(path), key)
			value, there := other[key]
			if isMap && !there {
				f.say(below, "it is missing")
			}
			if !there {
				filled[key] = w[key]
				continue
			}
			filled[key] = f.value(below, w[key], value)
		}
		for _, key := range slices.Sorted(maps.Keys(other)) {
			if _, known := w[key]; !known {
				f.say(append(slices.Clone(path), key), "nothing of that name is rendered")
			}
		}
		return filled
	case []any: // sops/age
		return f.list(path, w, found)
	case string:
		text, isText := found.(string)
		switch {
		case w == placeholder && isText && f.fits(path, text):
			return text
		case w == placeholder:
			f.say(path, "the value is not encrypted, or cut short")
		case w != text || !isText:
			f.say(path, "it is not as rendered")
		}
	}
	return want
}

// list compares the recipients.
func (f *filler) list(path []string, want []any, found any) any {
	list, _ := found.([]any)
	name := func(value any) string {
		entry, _ := value.(map[string]any)
		text, _ := entry["recipient"].(string)
		return text
	}
	for _, w := range want {
		if !slices.ContainsFunc(list, func(value any) bool { return name(value) == name(w) }) {
			f.say(path, "it is not encrypted for %s", name(w))
		}
	}
	for _, value := range list {
		if !slices.ContainsFunc(want, func(w any) bool { return name(value) == name(w) }) {
			if _, err := seal.ParseRecipient(name(value)); err != nil {
				f.say(path, "it has an entry without a recipient")
				continue
			}
			f.say(path, "it is encrypted for %s, too, which is no recipient", name(value))
		}
	}
	filled := slices.Clone(want)
	for i := range filled {
		if i < len(list) && name(list[i]) == name(filled[i]) {
			filled[i] = f.value(append(slices.Clone(path), strconv.Itoa(i)), filled[i], list[i])
		}
	}
	return filled
}

// fits says whether a text is a ciphertext of the form that belongs at a place.
func (f *filler) fits(path []string, text string) bool {
	if path[0] == "spec" {
		return f.unseen.certificate.Holds(text)
	}
	if path[len(path)-1] == "enc" {
		return seal.LooksAge(text)
	}
	value, ok := seal.ParseCiphertext(text)
	if path[len(path)-1] == "mac" && path[0] == "sops" {
		return ok && value.Type == "str" && value.Length() == 128 // SHA-512 in hex
	}
	// Values are in base64, with padding.
	return ok && value.Type == "str" && value.Length() > 0 && value.Length()%4 == 0
}

// opens decrypts a Secret of SOPS and forgets what it says.
func opens(object map[string]any, identities []seal.Identity) error {
	frame, _ := object["sops"].(map[string]any)
	var envelope seal.Envelope
	envelope.MAC, _ = frame["mac"].(string)
	envelope.LastModified, _ = frame["lastmodified"].(string)
	list, _ := frame["age"].([]any)
	for _, value := range list {
		entry, _ := value.(map[string]any)
		text, _ := entry["enc"].(string)
		envelope.Keys = append(envelope.Keys, text)
	}
	rest := maps.Clone(object)
	delete(rest, "sops")
	var leaves []seal.Leaf
	err := yaml.EachText(rest, func(keys []string, text string) string {
		leaves = append(leaves, seal.Leaf{Path: slices.Clone(keys), Text: text})
		return text
	})
	if err != nil {
		return errors.New("it is no Secret")
	}
	_, err = envelope.Open(leaves, identities)
	return err
}

// secretKind is how a text that cannot be decoded gives an object the kind of a Secret.
var secretKind = regexp.MustCompile(`kind["']?\s*:\s*(?:(?:[&!]\S*|#[^\n]*\n)\s*)*["']?(?:Sealed)?Secret(?:List)?\b`)

// IsSecret says whether a file holds a Secret, or what becomes one: as an object, in a
// list, or readable at any depth. What cannot be decoded holds one if it says so.
func IsSecret(data []byte) bool {
	objects, err := yaml.Decode(data)
	if err != nil {
		// Letters of two bytes are letters, too.
		return secretKind.Match(bytes.ReplaceAll(data, []byte{0}, nil))
	}
	return slices.ContainsFunc(objects, func(object map[string]any) bool { return isSecret(object) || Readable(object) })
}

// isSecret says whether a value is a Secret, what becomes one, or a list with one.
func isSecret(value any) bool {
	object, _ := value.(map[string]any)
	switch object["kind"] {
	case "Secret", "SealedSecret", "SecretList", "SealedSecretList":
		return true
	}
	items, _ := object["items"].([]any)
	return slices.ContainsFunc(items, isSecret)
}
