package seal

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
)

// Key is a render key: 32 random bytes that make encryption repeatable.
type Key [32]byte

// ParseKey reads a render key from base64 with padding.
func ParseKey(text string) (Key, error) {
	var key Key
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(data) != len(key) {
		return key, errors.New("not 32 bytes in base64")
	}
	copy(key[:], data)
	return key, nil
}

// source gives the keys and nonces of one file.
type source []byte

// source derives a file's source from all that the file depends on. purpose
// keeps apart formats, and versions of a format.
func (k Key) source(purpose string, context ...string) (source, error) {
	salt := sha256.Sum256(joined(append([]string{purpose}, context...)))
	return hkdf.Extract(sha256.New, k[:], salt[:])
}

// bytes returns the n bytes that go by that label. Different labels give
// independent bytes.
func (s source) bytes(n int, label ...string) ([]byte, error) {
	return hkdf.Expand(sha256.New, s, string(joined(label)), n)
}

// joined writes texts one after the other, each after its length, so that no
// two lists give the same bytes.
func joined(texts []string) []byte {
	data := binary.BigEndian.AppendUint64(nil, uint64(len(texts)))
	for _, text := range texts {
		data = binary.BigEndian.AppendUint64(data, uint64(len(text)))
		data = append(data, text...)
	}
	return data
}
