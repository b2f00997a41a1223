package input

import (
	"strings"
	"testing"
)

// TestHas: null in the place of a secret stands for one that is kept outside;
// any other null stands for nothing.
func TestHas(t *testing.T) {
	t.Parallel()
	l := layouts(t)[1]
	credentials := edit(t, l.credentials, `"example-restic-repository-password-0001"`, `null`)
	instances, problems := run(t, validator(t), l.state, credentials, "")
	if len(problems) > 0 || len(instances) != 1 {
		t.Fatalf("problems:\n%s", problems.Error())
	}
	c := instances[0].Credentials
	for path, want := range map[string]struct{ field, has bool }{
		"restic.password":       {false, true},
		"restic.accessKeyId":    {true, true},
		"restic.caPem":          {false, false},
		"restic.expiresAt":      {false, false},
		"rclone.crypt.password": {true, true},
		"restic.nothing":        {false, false},
		"nothing.password":      {false, false},
	} {
		if _, field := c.Field(path); field != want.field || c.Has(path) != want.has {
			t.Errorf("%s: value %v, there %v; want %v", path, field, c.Has(path), want)
		}
	}
	if c.Restic.Password != "" {
		t.Errorf("null became %q", c.Restic.Password)
	}
	for _, secret := range c.Secrets() {
		if secret.Value == "" {
			t.Error("an empty text passes for a secret")
		}
	}
}

// TestRenderKeyNull: credentials without their values have none; whether a run needs
// one is for the mode of Secrets to say (golden/errors/HF022-null).
func TestRenderKeyNull(t *testing.T) {
	t.Parallel()
	l := layouts(t)[1]
	_, problems := run(t, validator(t), l.state, edit(t, l.credentials, `"73lsVCih2xsl93dEcvtZHM/0tnVnrIYkzgocb/HKCrg="`, `null`), "")
	if len(problems) != 0 {
		t.Errorf("problems:\n%s", problems.Error())
	}
}

// TestRecipients: what has the form of an age public key and is none is found
// out, once for each, and the key is not repeated.
func TestRecipients(t *testing.T) {
	t.Parallel()
	l := layouts(t)[1]
	const good = "age1yc4tdsz62kxl6d5hhq6gyk604z6vqa7ucngcdp0460gl7exum43qpxd3w2"
	swapped := good[:20] + good[21:22] + good[20:21] + good[22:]
	_, problems := run(t, validator(t), l.state, edit(t, l.credentials, `"`+good+`"`, `"`+good+`", "`+swapped+`", "age1short"`), "")
	if len(problems) != 2 {
		t.Fatalf("problems:\n%s", problems.Error())
	}
	for i, p := range problems {
		if p.Rule != "HF023" || p.Pointer != "/git/recipients/"+[]string{"1", "2"}[i] || p.Line == 0 || strings.Contains(p.String(), swapped) {
			t.Errorf("problem %s", p)
		}
	}
}

func TestMade(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"1970-01-01T00:00:00Z": 0, "2026-06-03T04:12:55Z": 1780459975, "2026-06-03T06:12:55+02:00": 1780459975, "2000-02-29T23:59:59.5Z": 951868799,
	} {
		if got, known := (&State{GeneratedAt: text}).Made(); got != want || !known {
			t.Errorf("%s: %d, %v; want %d", text, got, known, want)
		}
	}
	if _, known := (&State{}).Made(); known {
		t.Error("a state that does not say it was made at some time")
	}
}
