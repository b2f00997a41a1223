package seal

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestOpen: what SOPS encrypts opens for each of its recipients, for nobody else, and
// not if anything of it changed.
func TestOpen(t *testing.T) {
	one, first := newIdentity(t, "one")
	two, second := newIdentity(t, "two")
	stranger, _ := newIdentity(t, "a stranger")
	leaves := []Leaf{{[]string{"kind"}, "Secret"}, {[]string{"data", "a"}, "YQ=="}, {[]string{"data", "b"}, ""}, {[]string{"data", "c"}, strings.Repeat("x", 5000)}}
	texts, frame, err := Key{1}.SOPS("f", leaves, regexp.MustCompile("^data$"), []Recipient{first, second})
	if err != nil {
		t.Fatal(err)
	}
	sealed := slices.Clone(leaves)
	for i := range sealed {
		sealed[i].Text = texts[i]
	}
	envelope := Envelope{MAC: frame["mac"].(string), LastModified: lastModified}
	for _, entry := range frame["age"].([]any) {
		enc := entry.(map[string]any)["enc"].(string)
		if !LooksAge(enc) || LooksAge(strings.Replace(enc, "\n", "\n\n-", 1)) {
			t.Errorf("the form of a key is not known: %s", enc)
		}
		envelope.Keys = append(envelope.Keys, enc)
	}
	for name, who := range map[string]Identity{"one": {one.scalar}, "two": {two.scalar}} {
		got, err := envelope.Open(sealed, []Identity{{stranger.scalar}, who})
		if err != nil {
			t.Fatal(err)
		}
		for i := range leaves {
			if got[i] != leaves[i].Text {
				t.Errorf("%s: %q, expected %q", name, got[i], leaves[i].Text)
			}
		}
	}
	if _, err := envelope.Open(sealed, []Identity{{stranger.scalar}}); !errors.Is(err, ErrNoIdentity) {
		t.Errorf("a stranger: %v", err)
	}
	for what, change := range map[string]func(e *Envelope, l []Leaf){
		"a readable text":  func(_ *Envelope, l []Leaf) { l[0].Text = "Secreta" },
		"an emptied value": func(_ *Envelope, l []Leaf) { l[1].Text = "" },
		"a moved value":    func(_ *Envelope, l []Leaf) { l[1].Path = []string{"data", "d"} },
		"a cut value":      func(_ *Envelope, l []Leaf) { l[1].Text = l[1].Text[:40] },
		"another time":     func(e *Envelope, _ []Leaf) { e.LastModified = "1970-01-01T00:00:01Z" },
		"no checksum":      func(e *Envelope, _ []Leaf) { e.MAC = "" },
		"a cut key":        func(e *Envelope, _ []Leaf) { e.Keys = []string{e.Keys[0][:100]} },
	} {
		e, l := envelope, slices.Clone(sealed)
		change(&e, l)
		if _, err := e.Open(l, []Identity{{one.scalar}}); err == nil || errors.Is(err, ErrNoIdentity) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestParseIdentities: a file of age-keygen, and what is none.
func TestParseIdentities(t *testing.T) {
	own, recipient := newIdentity(t, "one")
	line := strings.ToUpper(Bech32(identityPrefix, own.scalar.Bytes()))
	got, others, err := ParseIdentities("# created: today\n\n" + line + "\r\nAGE-PLUGIN-YUBIKEY-1QQ\n")
	if err != nil || others != 1 || len(got) != 1 || got[0].Recipient() != recipient.String() {
		t.Errorf("%d identities, %d others, %v", len(got), others, err)
	}
	swapped := line[:30] + line[31:32] + line[30:31] + line[32:]
	if _, _, err := ParseIdentities("#\n" + swapped); err == nil || !strings.HasPrefix(err.Error(), "line 2 ") || strings.Contains(err.Error(), swapped[16:24]) {
		t.Errorf("a damaged identity: %v", err)
	}
}
