package examples

import (
	"crypto/ecdh"
	"crypto/sha256"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/seal"
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
	return strings.ToUpper(seal.Bech32("age-secret-key-", scalar[:])), seal.Bech32("age", key.PublicKey().Bytes())
}
