package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"
)

// certificate makes one for a key.
func certificate(t testing.TB, public, private any) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	data, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: data})
}

func newController(t testing.TB, bits int) (*rsa.PrivateKey, *Certificate) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseCertificate(certificate(t, &key.PublicKey, key))
	if err != nil {
		t.Fatal(err)
	}
	if c.Expires != time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC).Unix() {
		t.Errorf("ends at %d", c.Expires)
	}
	return key, c
}

// unseal decrypts as the controller does.
func unseal(key *rsa.PrivateKey, text, label string) (session []byte, value string, err error) {
	item, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, "", err
	}
	n := int(binary.BigEndian.Uint16(item))
	if session, err = rsa.DecryptOAEP(sha256.New(), nil, key, item[2:2+n], []byte(label)); err != nil {
		return nil, "", err
	}
	block, err := aes.NewCipher(session)
	if err != nil {
		return nil, "", err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, "", err
	}
	plain, err := gcm.Open(nil, make([]byte, gcm.NonceSize()), item[2+n:], nil)
	return session, string(plain), err
}

func TestSealed(t *testing.T) {
	key, to := newController(t, 4096)
	_, other := newController(t, 2048)
	values := map[string]string{"a": "the same", "b": "the same", "empty": "", "long": strings.Repeat("x", 100000), "utf8": "ä✓\n$HOME"}
	render := Key{1}
	encrypt := func(k Key, file, namespace, name string, values map[string]string, to *Certificate) map[string]string {
		t.Helper()
		sealed, err := k.Sealed(file, namespace, name, values, to)
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	sealed := encrypt(render, "f", "shop", "restic", values, to)
	if len(sealed) != len(values) {
		t.Fatalf("%d values", len(sealed))
	}
	seen := map[string]string{}
	for name, text := range sealed {
		session, got, err := unseal(key, text, "shop/restic")
		if err != nil || got != values[name] {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		// The nonce is zero: two values must never have one session key.
		if before, known := seen[string(session)]; known {
			t.Errorf("%s and %s have one session key", name, before)
		}
		seen[string(session)] = name
		for _, label := range []string{"", "shop", "shop/other", "other/restic"} {
			if _, _, err := unseal(key, text, label); err == nil {
				t.Errorf("%s decrypts as %q", name, label)
			}
		}
	}
	for range 20 { // what the library does with our reader it may do at random
		if again := encrypt(render, "f", "shop", "restic", values, to); fmt.Sprint(again) != fmt.Sprint(sealed) {
			t.Fatal("other bytes the second time")
		}
	}
	changed := map[string]string{"a": "the same", "b": "the same.", "empty": "", "long": values["long"], "utf8": values["utf8"]}
	for what, got := range map[string]map[string]string{
		"render key": encrypt(Key{2}, "f", "shop", "restic", values, to),
		"file":       encrypt(render, "g", "shop", "restic", values, to),
		"a value":    encrypt(render, "f", "shop", "restic", changed, to),
	} {
		for name, text := range got {
			session, _, err := unseal(key, text, "shop/restic")
			if before, known := seen[string(session)]; known || err != nil {
				t.Errorf("another %s: %s has the session key of %s (%v)", what, name, before, err)
			}
		}
	}
	for name, text := range encrypt(render, "f", "shop", "restic", values, other) {
		if bytes.HasSuffix([]byte(text), []byte(sealed[name][len(sealed[name])-24:])) {
			t.Errorf("another certificate: %s ends as before", name)
		}
	}
}

// TestSealedPinned: see TestSOPSPinned.
func TestSealedPinned(t *testing.T) {
	const want = "e524b3a65d0d83734e07a0ea874ff53478ed21e3f3049e9a47a16677e74a6204"
	text, err := os.ReadFile("../../golden/errors/HF026-ended.txtar")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	to, err := ParseCertificate(pem.EncodeToMemory(block))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := Key{1}.Sealed("shop/repository/shop/secret-restic.yaml", "shop", "shop-restic", map[string]string{"password": "secret", "user": "me"}, to)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(fmt.Sprint(sealed)))
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("the bytes are no longer those of earlier versions: %s", got)
	}
}

func TestParseCertificate(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	goodPEM := certificate(t, &good.PublicKey, good)
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(good)})
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"empty":       {nil, "this is no certificate in PEM"},
		"text":        {[]byte("certificate"), "this is no certificate in PEM"},
		"DER":         {[]byte{0x30, 0x82}, "this is no certificate in PEM"},
		"private key": {private, `a certificate was expected, and this is a "RSA PRIVATE KEY"`},
		"garbage":     {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), "the certificate cannot be read"},
		"elliptic":    {certificate(t, &elliptical.PublicKey, elliptical), "the certificate's key is not RSA, which the controller uses"},
		"short key":   {certificate(t, &small.PublicKey, small), "the certificate's key has 1024 bits; 2048 are the least"},
		"two":         {append(append([]byte{}, goodPEM...), goodPEM...), "something follows the certificate"},
		"and a key":   {append(append([]byte{}, goodPEM...), private...), "something follows the certificate"},
		"good":        {append(goodPEM, "\n\n"...), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseCertificate(test.data)
			if got := fmt.Sprint(err); test.want != "" && got != test.want || test.want == "" && err != nil {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}
