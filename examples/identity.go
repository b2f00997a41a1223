package examples

import (
	"crypto/ecdh"
	"crypto/sha256"
	"strings"
)

// Phrase is what the examples' own age identity is made of. It stands here for
// everybody to read, so that anybody can decrypt the golden trees: never encrypt
// anything for it. The two layouts have recipients of their own.
const Phrase = "holdfast example identity"

// Identity returns the age identity ("AGE-SECRET-KEY-1…") that follows from a
// phrase, and its recipient ("age1…"). Tests have no need of keys that are
// secret.
func Identity(phrase string) (identity, recipient string) {
	scalar := sha256.Sum256([]byte(phrase))
	key, err := ecdh.X25519().NewPrivateKey(scalar[:])
	if err != nil {
		return "", "" // it takes any 32 bytes
	}
	return strings.ToUpper(bech32("age-secret-key-", scalar[:])), bech32("age", key.PublicKey().Bytes())
}

// bech32 encodes data as BIP 173 says.
func bech32(prefix string, data []byte) string {
	const alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
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
	var b strings.Builder
	b.WriteString(prefix + "1")
	for _, group := range groups {
		add(group)
		b.WriteByte(alphabet[group])
	}
	for range 6 {
		add(0)
	}
	sum ^= 1
	for shift := 25; shift >= 0; shift -= 5 {
		b.WriteByte(alphabet[sum>>shift&31])
	}
	return b.String()
}
