package seal

import (
	"crypto/ecdh"
	"crypto/fips140"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Recipient is an age public key (X25519): who has its identity reads what is
// encrypted for it.
type Recipient struct {
	text  string
	point *ecdh.PublicKey
}

// String returns the recipient as age writes it: "age1…".
func (r Recipient) String() string { return r.text }

// ErrFIPS is why no recipient can be used where Go runs with GODEBUG=fips140=only.
var ErrFIPS = errors.New("age encrypts by X25519, which FIPS 140 does not approve, and this process may use nothing else (GODEBUG=fips140=only)")

// FIPSHint is what to do about ErrFIPS.
const FIPSHint = "run it with GODEBUG=fips140=on, or without"

// ParseRecipient reads an age public key, "age1" and 58 characters. Recipients
// of other sorts are refused, each by its name: plugins, SSH and post-quantum
// keys encrypt with randomness of their own, which cannot be derived. It fails with ErrFIPS
// where X25519 is not allowed.
func ParseRecipient(text string) (Recipient, error) {
	switch {
	case strings.HasPrefix(text, "AGE-"):
		return Recipient{}, errors.New("this is an identity, which is secret, not a public key")
	case strings.HasPrefix(text, "ssh-"):
		return Recipient{}, errors.New("this is an SSH key, not an age public key")
	case strings.HasPrefix(text, "age1pq1"):
		return Recipient{}, errors.New("this is a post-quantum age recipient")
	case strings.HasPrefix(text, "age1") && strings.Contains(text[len("age1"):], "1"):
		return Recipient{}, errors.New("this is the recipient of an age plugin")
	}
	prefix, data, err := bech32(text)
	switch {
	case err != nil:
		return Recipient{}, err
	case prefix != "age" || len(data) != 32:
		return Recipient{}, errors.New("not an age public key (age1 and 58 characters)")
	}
	if fips140.Enforced() {
		return Recipient{}, ErrFIPS
	}
	point, err := ecdh.X25519().NewPublicKey(data)
	if err != nil {
		return Recipient{}, fmt.Errorf("not a public key: %w", err)
	}
	// A point of low order shares the same secret with everybody. Any scalar
	// shows that.
	probe, err := ecdh.X25519().NewPrivateKey(make([]byte, 32))
	if err != nil {
		return Recipient{}, err
	}
	if _, err := probe.ECDH(point); err != nil {
		return Recipient{}, errors.New("this point of the curve hides nothing")
	}
	return Recipient{text: text, point: point}, nil
}

const bech32Alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

// bech32 decodes a text in Bech32 (BIP 173, without its limit of 90
// characters), in lower case.
func bech32(text string) (prefix string, data []byte, err error) {
	at := strings.LastIndexByte(text, '1')
	if at < 1 || len(text)-at-1 < 6 {
		return "", nil, errors.New("not an age public key (age1 and 58 characters)")
	}
	prefix = text[:at]
	var groups []byte // of five bits
	for _, c := range []byte(text[at+1:]) {
		value := strings.IndexByte(bech32Alphabet, c)
		if value < 0 {
			return "", nil, errors.New("not an age public key: it has a character that none has")
		}
		groups = append(groups, byte(value))
	}
	if bech32Sum(prefix, groups) != 1 {
		return "", nil, errors.New("not an age public key: its checksum is wrong, so a character was lost or changed")
	}
	var held, bits uint32
	for _, group := range groups[:len(groups)-6] {
		held, bits = held<<5|uint32(group), bits+5
		if bits >= 8 {
			bits -= 8
			data = append(data, byte(held>>bits))
			held &= 1<<bits - 1
		}
	}
	if bits >= 5 || held != 0 {
		return "", nil, errors.New("not an age public key: its last bits are no padding")
	}
	return prefix, data, nil
}

// Bech32 encodes data with a prefix as BIP 173 says, in lower case: the form of
// age's keys. The examples and tests make theirs with it.
func Bech32(prefix string, data []byte) string {
	var groups []byte // of five bits
	held, bits := uint32(0), 0
	for _, b := range data {
		held, bits = held<<8|uint32(b), bits+8
		for bits >= 5 {
			bits -= 5
			groups = append(groups, byte(held>>bits&31))
		}
	}
	if bits > 0 {
		groups = append(groups, byte(held<<(5-bits)&31))
	}
	sum := bech32Sum(prefix, append(slices.Clone(groups), 0, 0, 0, 0, 0, 0)) ^ 1
	for i := range 6 {
		groups = append(groups, byte(sum>>(25-5*i)&31))
	}
	text := []byte(prefix + "1")
	for _, g := range groups {
		text = append(text, bech32Alphabet[g])
	}
	return string(text)
}

// bech32Sum is 1 for a prefix and groups that end in their own checksum: the
// remainder of a BCH code over groups of five bits.
func bech32Sum(prefix string, groups []byte) uint32 {
	sum := uint32(1)
	add := func(group byte) {
		top := sum >> 25
		sum = sum&0x1ffffff<<5 ^ uint32(group)
		for i, generator := range [...]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				sum ^= generator
			}
		}
	}
	for _, c := range []byte(prefix) {
		add(c >> 5)
	}
	add(0)
	for _, c := range []byte(prefix) {
		add(c & 31)
	}
	for _, group := range groups {
		add(group)
	}
	return sum
}
