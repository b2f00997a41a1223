package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// Identity is an age private key (X25519).
type Identity struct{ scalar *ecdh.PrivateKey }

// String keeps the key out of a careless print.
func (Identity) String() string { return "an age identity" }

// GoString is String.
func (i Identity) GoString() string { return i.String() }

// Recipient is the identity's public key, "age1…".
func (i Identity) Recipient() string { return Bech32("age", i.scalar.PublicKey().Bytes()) }

const identityPrefix = "age-secret-key-"

// ParseIdentities reads the lines of a file as age-keygen writes it. Keys of other
// sorts (plugins, SSH, post-quantum, a file that a passphrase encrypts) are counted in
// others: only the programs they are made for use them. No error repeats a line.
func ParseIdentities(text string) (identities []Identity, others int, err error) {
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if !strings.HasPrefix(line, strings.ToUpper(identityPrefix)+"1") {
			others++
			continue
		}
		prefix, data, wrong := bech32(strings.ToLower(line))
		if wrong != nil || prefix != identityPrefix || len(data) != 32 {
			return nil, 0, fmt.Errorf("line %d is no age identity: a character was lost or changed", number)
		}
		scalar, wrong := ecdh.X25519().NewPrivateKey(data)
		if wrong != nil {
			return nil, 0, fmt.Errorf("line %d is no age identity", number)
		}
		identities = append(identities, Identity{scalar})
	}
	return identities, others, nil
}

// Ciphertext is a text in the form of SOPS, taken apart: "ENC[AES256_GCM,…]".
type Ciphertext struct {
	data, iv, tag []byte
	// Type is that of the value: str, int, float, bool, bytes, comment.
	Type string
}

// Length is that of the value, in bytes.
func (c Ciphertext) Length() int { return len(c.data) }

var sopsValue = regexp.MustCompile(`^ENC\[AES256_GCM,data:([A-Za-z0-9+/=]*),iv:([A-Za-z0-9+/=]+),tag:([A-Za-z0-9+/=]+),type:(str|int|float|bool|bytes|comment)\]$`)

// ParseCiphertext reads the form of SOPS. ok is false for any other text.
func ParseCiphertext(text string) (c Ciphertext, ok bool) {
	parts := sopsValue.FindStringSubmatch(text)
	if parts == nil {
		return c, false
	}
	for i, to := range []*[]byte{&c.data, &c.iv, &c.tag} {
		var err error
		if *to, err = base64.StdEncoding.Strict().DecodeString(parts[i+1]); err != nil {
			return c, false
		}
	}
	c.Type = parts[4]
	return c, len(c.iv) == ivSize && len(c.tag) == aes.BlockSize
}

// LooksEncrypted says whether a text begins as a value of SOPS does, whole or not.
func LooksEncrypted(text string) bool { return strings.HasPrefix(text, "ENC[AES256_GCM,") }

// open decrypts a value that is bound to bound.
func (c Ciphertext) open(gcm cipher.AEAD, bound string) (string, error) {
	text, err := gcm.Open(nil, c.iv, append(bytes.Clone(c.data), c.tag...), []byte(bound))
	if err != nil {
		return "", errDamaged
	}
	return string(text), nil
}

// Envelope is what SOPS keeps beside the values of a document.
type Envelope struct {
	// Keys are the data key, encrypted by age, armored, once for each recipient.
	Keys []string
	// MAC is the encrypted checksum, LastModified what it is bound to.
	MAC, LastModified string
}

// ErrNoIdentity says that a document is encrypted for others.
var ErrNoIdentity = errors.New("none of the identities at hand opens it")

var errDamaged = errors.New("a value was changed, moved or cut short since sops encrypted it")

// Open decrypts those of a document's leaves that have the form of SOPS, and checks
// the checksum over all of them. leaves are all of the document's, in its order, as
// texts. It returns the leaves' texts. An error says nothing of a value;
// ErrNoIdentity is the only one that another identity mends.
func (e Envelope) Open(leaves []Leaf, identities []Identity) ([]string, error) {
	dataKey, err := e.dataKey(identities)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(dataKey)
	if err != nil {
		return nil, errDamaged
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, ivSize)
	if err != nil {
		return nil, err
	}
	sum := sha512.New()
	texts := make([]string, len(leaves))
	for i, leaf := range leaves {
		texts[i] = leaf.Text
		if LooksEncrypted(leaf.Text) {
			value, ok := ParseCiphertext(leaf.Text)
			if !ok {
				return nil, errDamaged
			}
			if texts[i], err = value.open(gcm, strings.Join(leaf.Path, ":")+":"); err != nil {
				return nil, err
			}
		}
		sum.Write([]byte(texts[i]))
	}
	mac, ok := ParseCiphertext(e.MAC)
	if !ok {
		return nil, errors.New("its checksum (sops.mac) is missing or cut short")
	}
	want, err := mac.open(gcm, e.LastModified)
	if err != nil || !hmac.Equal([]byte(want), fmt.Appendf(nil, "%X", sum.Sum(nil))) {
		return nil, errors.New("its checksum (sops.mac) is not that of its content: somebody changed it without sops")
	}
	return texts, nil
}

// dataKey opens the first key that an identity opens.
func (e Envelope) dataKey(identities []Identity) ([]byte, error) {
	damaged := false
	for _, armored := range e.Keys {
		file, err := parseAge(armored)
		if err != nil {
			damaged = true
			continue
		}
		for _, identity := range identities {
			switch key, err := file.open(identity); {
			case err == nil && len(key) == 32:
				return key, nil
			case !errors.Is(err, ErrNoIdentity):
				damaged = true
			}
		}
	}
	if damaged {
		return nil, errors.New("its key (sops.age) is damaged")
	}
	return nil, ErrNoIdentity
}

// LooksAge says whether a text is an armored age file with a key for one recipient,
// as SOPS writes it.
func LooksAge(armored string) bool {
	file, err := parseAge(armored)
	// Three lines, and no room for text of somebody else's.
	return err == nil && len(file.stanzas) == 1 && strings.Count(file.header, "\n") == 3
}

// ageFile is an age file, taken apart.
type ageFile struct {
	// header is what its checksum is over.
	header       string
	stanzas      [][2][]byte // X25519: the share, and the wrapped file key
	mac, payload []byte
}

var errNoAge = errors.New("this is no age file")

// parseAge reads an armored file whose payload is one chunk.
func parseAge(armored string) (ageFile, error) {
	var f ageFile
	body, begins := strings.CutPrefix(armored, "-----BEGIN AGE ENCRYPTED FILE-----\n")
	body, ends := strings.CutSuffix(strings.TrimRight(body, "\n"), "\n-----END AGE ENCRYPTED FILE-----")
	if !begins || !ends {
		return f, errNoAge
	}
	file, err := base64.StdEncoding.Strict().DecodeString(strings.ReplaceAll(body, "\n", ""))
	if err != nil {
		return f, errNoAge
	}
	header, rest, found := bytes.Cut(file, []byte("\n--- "))
	mac, payload, complete := bytes.Cut(rest, []byte("\n"))
	if !found || !complete {
		return f, errNoAge
	}
	f.header, f.payload = string(header)+"\n---", payload
	if f.mac, err = base64.RawStdEncoding.Strict().DecodeString(string(mac)); err != nil {
		return f, errNoAge
	}
	lines := strings.Split(string(header), "\n")
	if lines[0] != "age-encryption.org/v1" {
		return f, errNoAge
	}
	for i, line := range lines {
		share, isOurs := strings.CutPrefix(line, "-> X25519 ")
		if !isOurs || i+1 == len(lines) {
			continue
		}
		var stanza [2][]byte
		for n, text := range []string{share, lines[i+1]} {
			if stanza[n], err = base64.RawStdEncoding.Strict().DecodeString(text); err != nil {
				return f, errNoAge
			}
		}
		f.stanzas = append(f.stanzas, stanza)
	}
	return f, nil
}

// open decrypts the payload.
func (f ageFile) open(identity Identity) ([]byte, error) {
	for _, stanza := range f.stanzas {
		share, err := ecdh.X25519().NewPublicKey(stanza[0])
		if err != nil {
			return nil, errNoAge
		}
		shared, err := identity.scalar.ECDH(share)
		if err != nil {
			return nil, errNoAge
		}
		salt := append(share.Bytes(), identity.scalar.PublicKey().Bytes()...)
		fileKey, err := chacha(shared, salt, "age-encryption.org/v1/X25519", 0, stanza[1])
		if err != nil {
			continue // another's
		}
		macKey, err := hkdf.Key(sha256.New, fileKey, nil, "header", 32)
		if err != nil {
			return nil, err
		}
		mac := hmac.New(sha256.New, macKey)
		mac.Write([]byte(f.header))
		if !hmac.Equal(mac.Sum(nil), f.mac) || len(f.payload) < 16 {
			return nil, errNoAge
		}
		// The first chunk is the last.
		return chacha(fileKey, f.payload[:16], "payload", 1, f.payload[16:])
	}
	return nil, ErrNoIdentity
}

// chacha decrypts under a key that is derived from another, with a nonce whose last
// byte is given and whose others are zero.
func chacha(secret, salt []byte, info string, last byte, sealed []byte) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, secret, salt, info, chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, chacha20poly1305.NonceSize)
	nonce[len(nonce)-1] = last
	return aead.Open(nil, nonce, sealed, nil)
}

// Holds says whether a text has the form of a value that Sealed encrypted for this
// certificate. Which key it is for is not to be seen, except by its length.
func (c *Certificate) Holds(text string) bool {
	item, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(item) < 2 {
		return false
	}
	wrapped := int(binary.BigEndian.Uint16(item))
	return wrapped == c.key.Size() && len(item) > 2+wrapped+aes.BlockSize
}
