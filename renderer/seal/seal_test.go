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
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

// identity is a private key of age.
type identity struct{ scalar *ecdh.PrivateKey }

// newIdentity makes one of a name: tests need no key that is secret.
func newIdentity(t testing.TB, name string) (identity, Recipient) {
	t.Helper()
	seed := sha256.Sum256([]byte("test identity " + name))
	scalar, err := ecdh.X25519().NewPrivateKey(seed[:])
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseRecipient(Bech32("age", scalar.PublicKey().Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return identity{scalar}, r
}

// open decrypts an armored age file, as its format says.
func (i identity) open(t testing.TB, armored string) []byte {
	t.Helper()
	body, ok := strings.CutPrefix(armored, "-----BEGIN AGE ENCRYPTED FILE-----\n")
	body, end := strings.CutSuffix(body, "\n-----END AGE ENCRYPTED FILE-----\n")
	if !ok || !end {
		t.Fatalf("no armor: %q", armored)
	}
	lines := strings.Split(body, "\n")
	for n, line := range lines {
		if len(line) > 64 || len(line) < 64 && n < len(lines)-1 || line == "" {
			t.Errorf("line %d of the armor has %d characters", n, len(line))
		}
	}
	file, err := base64.StdEncoding.Strict().DecodeString(strings.Join(lines, ""))
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(file, []byte("\n--- "))
	header, rest := string(file[:at+len("\n---")]), file[at+len("\n--- "):]
	mac, payload, _ := bytes.Cut(rest, []byte("\n"))
	parts := regexp.MustCompile(`^age-encryption\.org/v1\n-> X25519 (\S{43})\n(\S{43})\n---$`).FindStringSubmatch(header)
	if parts == nil {
		t.Fatalf("header %q", header)
	}
	raw := func(text string) []byte {
		data, err := base64.RawStdEncoding.Strict().DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	share, err := ecdh.X25519().NewPublicKey(raw(parts[1]))
	if err != nil {
		t.Fatal(err)
	}
	shared, err := i.scalar.ECDH(share)
	if err != nil {
		t.Fatal(err)
	}
	salt := slices.Concat(share.Bytes(), i.scalar.PublicKey().Bytes())
	fileKey := chachaOpen(t, derive(t, shared, salt, "age-encryption.org/v1/X25519"), make([]byte, 12), raw(parts[2]))
	sum := hmac.New(sha256.New, derive(t, fileKey, nil, "header"))
	sum.Write([]byte(header))
	if !hmac.Equal(sum.Sum(nil), raw(string(mac))) {
		t.Error("the header's checksum is wrong")
	}
	last := append(make([]byte, 11), 1)
	return chachaOpen(t, derive(t, fileKey, payload[:16], "payload"), last, payload[16:])
}

func derive(t testing.TB, secret, salt []byte, info string) []byte {
	t.Helper()
	key, err := hkdf.Key(sha256.New, secret, salt, info, 32)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func chachaOpen(t testing.TB, key, nonce, sealed []byte) []byte {
	t.Helper()
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := aead.Open(nil, nonce, sealed, nil)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// value is a text in the form of SOPS, taken apart.
type value struct{ data, iv, tag []byte }

func parse(t testing.TB, text string) value {
	t.Helper()
	parts := regexp.MustCompile(`^ENC\[AES256_GCM,data:([^,]+),iv:([^,]+),tag:([^,]+),type:str\]$`).FindStringSubmatch(text)
	if parts == nil {
		t.Fatalf("not in the form of SOPS: %q", text)
	}
	var fields [3][]byte
	for i := range fields {
		data, err := base64.StdEncoding.Strict().DecodeString(parts[i+1])
		if err != nil {
			t.Fatal(err)
		}
		fields[i] = data
	}
	return value{fields[0], fields[1], fields[2]}
}

func (v value) open(key []byte, bound string) (string, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return "", err
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, len(v.iv))
	if err != nil {
		return "", err
	}
	text, err := gcm.Open(nil, v.iv, slices.Concat(v.data, v.tag), []byte(bound))
	return string(text), err
}

// file is an encrypted document.
type file struct {
	texts []string
	sops  map[string]any
}

// messages are the age files of a document by recipient.
func (f file) messages() map[string]string {
	all := map[string]string{}
	for _, entry := range f.sops["age"].([]any) {
		e := entry.(map[string]any)
		all[e["recipient"].(string)] = e["enc"].(string)
	}
	return all
}

// document is what a test encrypts.
type document struct {
	key        Key
	file       string
	leaves     []Leaf
	regex      string
	recipients []Recipient
}

func sample(t testing.TB) document {
	t.Helper()
	_, one := newIdentity(t, "one")
	_, two := newIdentity(t, "two")
	return document{
		key: Key{1, 2, 3}, file: "shop/repository/shop/secret-restic.yaml", regex: "^(data|stringData)$", recipients: []Recipient{one, two},
		leaves: []Leaf{
			{Path: []string{"apiVersion"}, Text: "v1"},
			{Path: []string{"kind"}, Text: "Secret"},
			{Path: []string{"metadata", "name"}, Text: "shop-restic"},
			{Path: []string{"data", "access-key-id"}, Text: "RVhBTVBMRQ=="},
			{Path: []string{"data", "password"}, Text: "cGFzc3dvcmQ="},
			{Path: []string{"type"}, Text: "Opaque"},
		},
	}
}

func (d document) encrypt(t testing.TB) file {
	t.Helper()
	texts, sops, err := d.key.SOPS(d.file, d.leaves, regexp.MustCompile(d.regex), d.recipients)
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) != len(d.leaves) {
		t.Fatalf("%d texts for %d leaves", len(texts), len(d.leaves))
	}
	return file{texts, sops}
}

// TestSOPSDecrypts opens what was encrypted by each recipient: every value, and
// the checksum over all of them.
func TestSOPSDecrypts(t *testing.T) {
	one, _ := newIdentity(t, "one")
	two, _ := newIdentity(t, "two")
	for name, text := range map[string]string{
		"short": "x", "blanks": "  a  ", "several lines": "-----BEGIN-----\nabc\n-----END-----\n", "UTF-8": "pässwörd ✓ 密码 \U0001F511",
		"dollar": "${HOME} $(id) $$", "like ours": "ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]", "long": strings.Repeat("0123456789abcdef", 20000), "NUL": "a\x00b",
	} {
		t.Run(name, func(t *testing.T) {
			d := sample(t)
			d.leaves[4].Text = text
			f := d.encrypt(t)
			checksum := sha512.New()
			for _, leaf := range d.leaves {
				checksum.Write([]byte(leaf.Text))
			}
			messages := f.messages()
			if len(messages) != 2 {
				t.Fatalf("%d recipients", len(messages))
			}
			for who, id := range map[string]identity{d.recipients[0].String(): one, d.recipients[1].String(): two} {
				dataKey := id.open(t, messages[who])
				if len(dataKey) != 32 {
					t.Fatalf("the data key has %d bytes", len(dataKey))
				}
				for i, leaf := range d.leaves {
					if leaf.Path[0] != "data" {
						if f.texts[i] != leaf.Text {
							t.Errorf("%v became %q", leaf.Path, f.texts[i])
						}
						continue
					}
					v := parse(t, f.texts[i])
					if got, err := v.open(dataKey, strings.Join(leaf.Path, ":")+":"); err != nil || got != leaf.Text {
						t.Errorf("%v: %q, %v", leaf.Path, got, err)
					}
					// A value that is moved to another key does not decrypt.
					if _, err := v.open(dataKey, "data:other:"); err == nil {
						t.Errorf("%v decrypts at another key", leaf.Path)
					}
				}
				mac, err := parse(t, f.sops["mac"].(string)).open(dataKey, f.sops["lastmodified"].(string))
				if want := strings.ToUpper(hex.EncodeToString(checksum.Sum(nil))); err != nil || mac != want {
					t.Errorf("checksum %q, want %q (%v)", mac, want, err)
				}
			}
		})
	}
}

func TestSOPSEmptyStaysEmpty(t *testing.T) {
	d := sample(t)
	d.leaves[4].Text = ""
	if got := d.encrypt(t).texts[4]; got != "" {
		t.Errorf("an empty text became %q", got)
	}
	if _, _, err := d.key.SOPS(d.file, d.leaves, regexp.MustCompile(d.regex), nil); err == nil {
		t.Error("encrypted for nobody")
	}
}

// TestSOPSRepeats: the same document gives the same bytes; the order and number
// of the recipients have no meaning.
func TestSOPSRepeats(t *testing.T) {
	d := sample(t)
	want := fmt.Sprint(d.encrypt(t))
	if got := fmt.Sprint(d.encrypt(t)); got != want {
		t.Errorf("other bytes the second time:\n%s\n%s", got, want)
	}
	d.recipients = []Recipient{d.recipients[1], d.recipients[0], d.recipients[1]}
	if got := fmt.Sprint(d.encrypt(t)); got != want {
		t.Errorf("other bytes for the same recipients:\n%s\n%s", got, want)
	}
}

// TestSOPSPinned: whoever changes the derivation rewrites every Secret in every
// repository. Then the purpose in Key.source gets another number.
func TestSOPSPinned(t *testing.T) {
	const want = "0ce19e29a15dcc17e74ae9aa77492c04866a7facb59fa9d2d58b60cf6517c953"
	sum := sha256.Sum256([]byte(fmt.Sprint(sample(t).encrypt(t))))
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("the bytes are no longer those of earlier versions: %s", got)
	}
}

// secrets of a file that must never stand in two different ones: what its keys
// are derived from shows in these.
func (f file) traces(t testing.TB) []string {
	t.Helper()
	id, _ := newIdentity(t, "one")
	var traces []string
	for who, message := range f.messages() {
		// The armor's third and later lines hold share, wrapped key and payload.
		traces = append(traces, "message "+message)
		if _, r := newIdentity(t, "one"); who == r.String() {
			traces = append(traces, fmt.Sprintf("data key %x", id.open(t, message)))
		}
	}
	for _, text := range append(slices.Clone(f.texts), f.sops["mac"].(string)) {
		if strings.HasPrefix(text, "ENC[") {
			v := parse(t, text)
			traces = append(traces, fmt.Sprintf("iv %x", v.iv), fmt.Sprintf("tag %x", v.tag))
		}
	}
	return traces
}

// TestSOPSChangesAllWithAny: whatever changes in a document, every key, nonce
// and ciphertext does.
func TestSOPSChangesAllWithAny(t *testing.T) {
	_, three := newIdentity(t, "three")
	changes := map[string]func(d *document){
		"render key":           func(d *document) { d.key[31]++ },
		"file":                 func(d *document) { d.file += "x" },
		"a value":              func(d *document) { d.leaves[4].Text += "x" },
		"a readable value":     func(d *document) { d.leaves[2].Text += "x" },
		"a key":                func(d *document) { d.leaves[4].Path = []string{"data", "password2"} },
		"a readable key":       func(d *document) { d.leaves[2].Path = []string{"metadata", "namespace"} },
		"one more value":       func(d *document) { d.leaves = append(d.leaves, Leaf{Path: []string{"data", "z"}, Text: "z"}) },
		"one value less":       func(d *document) { d.leaves = slices.Delete(d.leaves, 3, 4) },
		"two values exchanged": func(d *document) { d.leaves[3].Text, d.leaves[4].Text = d.leaves[4].Text, d.leaves[3].Text },
		"a border moved":       func(d *document) { d.leaves[3].Text, d.leaves[4].Text = d.leaves[3].Text+"c", d.leaves[4].Text[1:] },
		"order":                func(d *document) { d.leaves[3], d.leaves[4] = d.leaves[4], d.leaves[3] },
		"regex":                func(d *document) { d.regex = "^data$" },
		"one recipient more":   func(d *document) { d.recipients = append(d.recipients, three) },
		"one recipient less":   func(d *document) { d.recipients = d.recipients[:1] },
		"another recipient":    func(d *document) { d.recipients[1] = three },
		"a path cut elsewhere": func(d *document) { d.leaves[2].Path = []string{"metadatan", "ame"} },
	}
	names := slices.Sorted(maps.Keys(changes))
	seen := map[string]string{}
	for _, name := range append([]string{"nothing"}, names...) {
		d := sample(t)
		if change := changes[name]; change != nil {
			change(&d)
		}
		own := map[string]bool{}
		for _, trace := range d.encrypt(t).traces(t) {
			if other, known := seen[trace]; known {
				t.Errorf("after changing %s as after changing %s: %.40s…", name, other, trace)
			}
			if own[trace] {
				t.Errorf("twice in one file: %.40s…", trace)
			}
			own[trace], seen[trace] = true, name
		}
	}
}

// TestSOPSRandomChanges does the same with documents at random, one character
// apart from each other.
func TestSOPSRandomChanges(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 3))
	const letters = "abc:${}\n\"äß✓ "
	text := func() string {
		runes := []rune(letters)
		var b strings.Builder
		for range random.IntN(40) {
			b.WriteRune(runes[random.IntN(len(runes))])
		}
		return b.String()
	}
	seen := map[string]bool{}
	for round := range 200 {
		d := sample(t)
		d.file = fmt.Sprintf("%d", round)
		for i := range d.leaves {
			d.leaves[i].Text = text()
		}
		for range 2 {
			for _, trace := range d.encrypt(t).traces(t) {
				if seen[trace] {
					t.Fatalf("%.60s… twice, at last for %q", trace, d.leaves)
				}
				seen[trace] = true
			}
			i := random.IntN(len(d.leaves))
			d.leaves[i].Text += "x"
		}
	}
}

// TestSOPSRevealsNoEquality: equal values in one file, or in two, have nothing
// in common but their length.
func TestSOPSRevealsNoEquality(t *testing.T) {
	d := sample(t)
	d.leaves[3].Text, d.leaves[4].Text = "the same password", "the same password"
	f := d.encrypt(t)
	if a, b := parse(t, f.texts[3]), parse(t, f.texts[4]); bytes.Equal(a.data, b.data) || bytes.Equal(a.iv, b.iv) {
		t.Error("equal values look equal")
	}
}

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		regex, path string
		want        bool
	}{
		{"^(data|stringData)$", "data/password", true},
		{"^(data|stringData)$", "metadata/name", false},
		{"data", "metadata/name", true},
		{"^password$", "data/password", true},
		{"^password$", "data/password2", false},
	} {
		l := Leaf{Path: strings.Split(test.path, "/")}
		if got := l.Matches(regexp.MustCompile(test.regex)); got != test.want {
			t.Errorf("%s on %s: %v", test.regex, test.path, got)
		}
	}
}

func TestParseRecipient(t *testing.T) {
	_, good := newIdentity(t, "one")
	zero := Bech32("age", make([]byte, 32))
	for name, test := range map[string]struct{ text, want string }{
		"good":            {good.String(), ""},
		"of age's manual": {"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", ""},
		"identity":        {strings.ToUpper(Bech32("age-secret-key-", make([]byte, 32))), "this is an identity, which is secret, not a public key"},
		"plugin identity": {"AGE-PLUGIN-YUBIKEY-1QQQ", "this is an identity, which is secret, not a public key"},
		"SSH":             {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", "this is an SSH key, not an age public key"},
		"plugin":          {"age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t", "this is the recipient of an age plugin"},
		"post-quantum":    {"age1pq1" + strings.Repeat("q", 1900), "this is a post-quantum age recipient"},
		"checksum":        {good.String()[:61] + "q", "not an age public key: its checksum is wrong, so a character was lost or changed"},
		"two exchanged":   {good.String()[:10] + good.String()[11:12] + good.String()[10:11] + good.String()[12:], "not an age public key: its checksum is wrong, so a character was lost or changed"},
		"character":       {good.String()[:20] + "b" + good.String()[21:], "not an age public key: it has a character that none has"},
		"upper case":      {strings.ToUpper(good.String()), "not an age public key: it has a character that none has"},
		"empty":           {"", "not an age public key (age1 and 58 characters)"},
		"prefix only":     {"age1", "not an age public key (age1 and 58 characters)"},
		"too short":       {Bech32("age", make([]byte, 31)), "not an age public key (age1 and 58 characters)"},
		"too long":        {Bech32("age", make([]byte, 33)), "not an age public key (age1 and 58 characters)"},
		"other prefix":    {Bech32("bge", bytes.Repeat([]byte{9}, 32)), "not an age public key (age1 and 58 characters)"},
		"low order":       {zero, "this point of the curve hides nothing"},
		"PGP":             {"FBC7B9E2A4F9289AC0C1D4843D16CEE4A27381B4", "not an age public key (age1 and 58 characters)"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := ParseRecipient(test.text)
			if test.want == "" {
				if err != nil || r.String() != test.text {
					t.Errorf("%q, %v", r, err)
				}
				return
			}
			if err == nil || err.Error() != test.want {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// TestBech32 has the valid texts of BIP 173 that have data, in lower case, and
// texts that its padding rule refuses.
func TestBech32(t *testing.T) {
	for _, text := range []string{"an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
		"split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w"} {
		if _, _, err := bech32(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	groups := []byte{31} // one group is no byte
	sum := bech32Sum("age", append(slices.Clone(groups), 0, 0, 0, 0, 0, 0)) ^ 1
	text := "age1" + string(bech32Alphabet[31])
	for i := range 6 {
		text += string(bech32Alphabet[sum>>(25-5*i)&31])
	}
	if _, _, err := bech32(text); err == nil {
		t.Errorf("%s has five bits too many and is taken", text)
	}
}

func TestParseKey(t *testing.T) {
	want := Key{0: 7, 31: 9}
	if got, err := ParseKey(base64.StdEncoding.EncodeToString(want[:])); err != nil || got != want {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"", "x", base64.StdEncoding.EncodeToString(make([]byte, 31)), base64.StdEncoding.EncodeToString(make([]byte, 33)), base64.RawStdEncoding.EncodeToString(make([]byte, 32))} {
		if _, err := ParseKey(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestJoined: no two lists give the same bytes.
func TestJoined(t *testing.T) {
	lists := [][]string{{}, {""}, {"", ""}, {"ab", "c"}, {"a", "bc"}, {"abc"}, {"abc", ""}, {"", "abc"}}
	seen := map[string]int{}
	for i, list := range lists {
		text := string(joined(list))
		if other, known := seen[text]; known {
			t.Errorf("%q as %q", list, lists[other])
		}
		seen[text] = i
	}
}

func BenchmarkSOPS(b *testing.B) {
	d := sample(b)
	for b.Loop() {
		d.encrypt(b)
	}
}
