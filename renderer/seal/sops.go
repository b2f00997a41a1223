package seal

import (
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What SOPS writes into every file. The time is none: a clock would make the
// same inputs give other bytes. The version is the one that tests run.
const (
	lastModified = "1970-01-01T00:00:00Z"
	sopsVersion  = "3.13.3"
)

// Leaf is one text of a document, and the keys that lead to it. Indexes of
// lists are no keys.
type Leaf struct {
	Path []string
	Text string
}

// Matches reports whether SOPS encrypts a leaf by the encrypted_regex: whether
// it matches any of the keys that lead to it.
func (l Leaf) Matches(encrypted *regexp.Regexp) bool {
	return slices.ContainsFunc(l.Path, encrypted.MatchString)
}

// SOPS encrypts the leaves of a document that encrypted matches, as sops 3.13
// does. file tells the document from all others. leaves are all of the
// document's, in its order, and all of them texts, for the checksum covers them
// in that order. It returns the leaves' new texts and the document's new member
// "sops". The order of recipients, of which there must be one, has no meaning.
//
// An empty text stays one, as SOPS does it.
func (k Key) SOPS(file string, leaves []Leaf, encrypted *regexp.Regexp, recipients []Recipient) (texts []string, sops map[string]any, err error) {
	if len(recipients) == 0 {
		return nil, nil, errors.New("no recipients")
	}
	recipients = ordered(recipients)
	s, err := k.source("holdfast sops 1", sopsContext(file, leaves, encrypted, recipients)...)
	if err != nil {
		return nil, nil, err
	}
	dataKey, err := s.bytes(32, "data key")
	if err != nil {
		return nil, nil, err
	}
	block, err := aes.NewCipher(dataKey)
	if err != nil {
		return nil, nil, err
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, ivSize)
	if err != nil {
		return nil, nil, err
	}
	sum := sha512.New()
	for i, leaf := range leaves {
		sum.Write([]byte(leaf.Text))
		text := leaf.Text
		if text != "" && leaf.Matches(encrypted) {
			iv, err := s.bytes(ivSize, append([]string{"iv", strconv.Itoa(i)}, leaf.Path...)...)
			if err != nil {
				return nil, nil, err
			}
			text = encrypt(gcm, iv, leaf.Text, strings.Join(leaf.Path, ":")+":")
		}
		texts = append(texts, text)
	}
	iv, err := s.bytes(ivSize, "mac iv")
	if err != nil {
		return nil, nil, err
	}
	var keys []string
	for _, r := range recipients {
		enc, err := s.age(r, dataKey)
		if err != nil {
			return nil, nil, err
		}
		keys = append(keys, enc)
	}
	mac := encrypt(gcm, iv, fmt.Sprintf("%X", sum.Sum(nil)), lastModified)
	return texts, SOPSFrame(encrypted, recipients, mac, func(n int) string { return keys[n] }), nil
}

// SOPSFrame is a document's member "sops". enc is the data key for the nth recipient, in
// their order.
func SOPSFrame(encrypted *regexp.Regexp, recipients []Recipient, mac string, enc func(n int) string) map[string]any {
	var age []any
	for n, r := range ordered(recipients) {
		age = append(age, map[string]any{"recipient": r.text, "enc": enc(n)})
	}
	return map[string]any{
		"age":             age,
		"encrypted_regex": encrypted.String(),
		"lastmodified":    lastModified,
		"mac":             mac,
		"version":         sopsVersion,
	}
}

// ordered are the recipients in the order in which a document has them, each once.
func ordered(recipients []Recipient) []Recipient {
	recipients = slices.Clone(recipients)
	slices.SortFunc(recipients, func(a, b Recipient) int { return cmp.Compare(a.text, b.text) })
	return slices.CompactFunc(recipients, func(a, b Recipient) bool { return a.text == b.text })
}

// ivSize is SOPS' own, in bytes; GCM's usual one is shorter.
const ivSize = 32

// sopsContext is all that a file's keys depend on.
func sopsContext(file string, leaves []Leaf, encrypted *regexp.Regexp, recipients []Recipient) []string {
	context := []string{file, encrypted.String(), lastModified, strconv.Itoa(len(recipients))}
	for _, r := range recipients {
		context = append(context, r.text)
	}
	for _, leaf := range leaves {
		context = append(context, strconv.Itoa(len(leaf.Path)))
		context = append(append(context, leaf.Path...), leaf.Text)
	}
	return context
}

// encrypt writes a text in the form of SOPS. bound is what the ciphertext is
// bound to: it decrypts nowhere else.
func encrypt(gcm cipher.AEAD, iv []byte, text, bound string) string {
	sealed := gcm.Seal(nil, iv, []byte(text), []byte(bound))
	data, tag := sealed[:len(text)], sealed[len(text):]
	encode := base64.StdEncoding.EncodeToString
	return "ENC[AES256_GCM,data:" + encode(data) + ",iv:" + encode(iv) + ",tag:" + encode(tag) + ",type:str]"
}
