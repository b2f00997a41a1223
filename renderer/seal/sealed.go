package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// smallest is the shortest RSA key that is taken, in bits.
const smallest = 2048

// Certificate is the public half of a Sealed Secrets controller's key.
type Certificate struct {
	key *rsa.PublicKey
	// text is the key in its standard form (SubjectPublicKeyInfo).
	text string
	// Expires is when the certificate ends, in seconds since 1970.
	Expires int64
}

// ParseCertificate reads what kubeseal --fetch-cert prints: one X.509
// certificate in PEM, of an RSA key of at least 2048 bits.
func ParseCertificate(data []byte) (*Certificate, error) {
	block, rest := pem.Decode(data)
	switch {
	case block == nil:
		return nil, errors.New("this is no certificate in PEM")
	case block.Type != "CERTIFICATE":
		return nil, fmt.Errorf("a certificate was expected, and this is a %q", block.Type)
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, errors.New("something follows the certificate")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, errors.New("the certificate cannot be read")
	}
	key, ok := certificate.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("the certificate's key is not RSA, which the controller uses")
	}
	if key.N.BitLen() < smallest {
		return nil, fmt.Errorf("the certificate's key has %d bits; %d are the least", key.N.BitLen(), smallest)
	}
	return &Certificate{key: key, text: string(certificate.RawSubjectPublicKeyInfo), Expires: certificate.NotAfter.Unix()}, nil
}

// Sealed encrypts the values of the Secret namespace/name in the form of Bitnami
// Sealed Secrets, scope "strict": the controller decrypts them into a Secret of
// that name and namespace, and into no other. It returns what encryptedData
// holds.
//
// Each value has a session key of its own: the format's nonce is zero.
func (k Key) Sealed(file, namespace, name string, values map[string]string, to *Certificate) (map[string]string, error) {
	names := slices.Sorted(maps.Keys(values))
	context := []string{file, namespace, name, to.text}
	for _, n := range names {
		context = append(context, n, values[n])
	}
	s, err := k.source("holdfast sealed 1", context...)
	if err != nil {
		return nil, err
	}
	label := []byte(namespace + "/" + name)
	sealed := map[string]string{}
	for _, n := range names {
		item, err := s.item(n, values[n], label, to.key)
		if err != nil {
			return nil, err
		}
		sealed[n] = base64.StdEncoding.EncodeToString(item)
	}
	return sealed, nil
}

// item encrypts one value: the length of what follows in two bytes, the session
// key under RSA-OAEP with SHA-256, the value under AES-256-GCM with a nonce of
// zeros.
func (s source) item(name, value string, label []byte, to *rsa.PublicKey) ([]byte, error) {
	session, err := s.bytes(32, "session key", name)
	if err != nil {
		return nil, err
	}
	seed, err := s.bytes(sha256.Size, "oaep seed", name)
	if err != nil {
		return nil, err
	}
	// A reader that ends after the seed: nobody takes more of it unseen.
	wrapped, err := rsa.EncryptOAEP(sha256.New(), bytes.NewReader(seed), to, session, label)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(session)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	item := binary.BigEndian.AppendUint16(nil, uint16(len(wrapped)))
	item = append(item, wrapped...)
	return gcm.Seal(item, make([]byte, gcm.NonceSize()), []byte(value), nil), nil
}
