package seal

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// age encrypts a short text, at most 64 KiB, for one recipient: an armored file
// of the age format, version 1 (https://age-encryption.org/v1). The file key,
// the ephemeral key and the payload's nonce come from s.
func (s source) age(to Recipient, text []byte) (string, error) {
	fileKey, err := s.bytes(16, "age file key", to.text)
	if err != nil {
		return "", err
	}
	scalar, err := s.bytes(32, "age ephemeral key", to.text)
	if err != nil {
		return "", err
	}
	nonce, err := s.bytes(16, "age payload nonce", to.text)
	if err != nil {
		return "", err
	}
	stanza, err := wrap(fileKey, scalar, to)
	if err != nil {
		return "", err
	}
	header := "age-encryption.org/v1\n" + stanza + "---"
	macKey, err := hkdf.Key(sha256.New, fileKey, nil, "header", 32)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, macKey)
	mac.Write([]byte(header))
	payloadKey, err := hkdf.Key(sha256.New, fileKey, nonce, "payload", chacha20poly1305.KeySize)
	if err != nil {
		return "", err
	}
	payload, err := chacha20poly1305.New(payloadKey)
	if err != nil {
		return "", err
	}
	// The payload is a stream of chunks. Ours is the first, number zero, and the
	// last, which the last byte of the chunk's nonce says.
	chunk := make([]byte, chacha20poly1305.NonceSize)
	chunk[len(chunk)-1] = 1
	file := []byte(header + " " + base64.RawStdEncoding.EncodeToString(mac.Sum(nil)) + "\n")
	file = append(file, nonce...)
	return armor(payload.Seal(file, chunk, text, nil)), nil
}

// wrap encrypts a file key for a recipient: an X25519 stanza of the header.
func wrap(fileKey, scalar []byte, to Recipient) (string, error) {
	ephemeral, err := ecdh.X25519().NewPrivateKey(scalar)
	if err != nil {
		return "", err
	}
	shared, err := ephemeral.ECDH(to.point)
	if err != nil {
		return "", err
	}
	share := ephemeral.PublicKey().Bytes()
	salt := append(append([]byte{}, share...), to.point.Bytes()...)
	key, err := hkdf.Key(sha256.New, shared, salt, "age-encryption.org/v1/X25519", chacha20poly1305.KeySize)
	if err != nil {
		return "", err
	}
	cipher, err := chacha20poly1305.New(key)
	if err != nil {
		return "", err
	}
	// The key is used once, so its nonce is zero.
	wrapped := cipher.Seal(nil, make([]byte, chacha20poly1305.NonceSize), fileKey, nil)
	encode := base64.RawStdEncoding.EncodeToString
	return "-> X25519 " + encode(share) + "\n" + encode(wrapped) + "\n", nil
}

// armor writes a file as text, 64 characters a line.
func armor(file []byte) string {
	const width = 64
	var b strings.Builder
	b.WriteString("-----BEGIN AGE ENCRYPTED FILE-----\n")
	for text := base64.StdEncoding.EncodeToString(file); text != ""; {
		end := min(width, len(text))
		b.WriteString(text[:end] + "\n")
		text = text[end:]
	}
	b.WriteString("-----END AGE ENCRYPTED FILE-----\n")
	return b.String()
}
