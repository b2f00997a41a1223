package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer/input"
)

const secretFieldsOnly = "^(accessKeyId|password|password2|renderKey|secretAccessKey|username)$"

// encryptedRun is an example whose credentials the real sops encrypted, and which are
// nowhere else.
type encryptedRun struct {
	*sopsRun
	credentials string
	values      []string
}

// newEncryptedRun encrypts with further arguments of sops. The environment has the
// identity that decrypts, and no sops.
func newEncryptedRun(t *testing.T, example string, args ...string) *encryptedRun {
	t.Helper()
	r := &encryptedRun{sopsRun: newSOPSRun(t, example), values: secretValues(t, example)}
	_, recipient := examples.Identity(examples.Phrase)
	r.credentials = filepath.Join(r.dir, "inputs", credentialsName)
	if len(args) > 0 && args[0] == "--config" {
		args = append(args, "encrypt")
	} else {
		args = append([]string{"encrypt", "--age", recipient}, args...)
	}
	encrypted := r.must(t, append(args, r.credentials)...)
	for _, value := range r.values {
		if strings.Contains(encrypted, value) {
			t.Fatal("sops left a secret readable")
		}
	}
	writeFile(t, r.credentials, encrypted)
	temporary := filepath.Join(r.dir, "tmp")
	if err := os.Mkdir(temporary, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"PATH": temporary, "TMPDIR": temporary, "HOME": r.dir, "XDG_CONFIG_HOME": r.dir, ageKeyFileVariable: "", ageKeyVariable: r.identity} {
		t.Setenv(name, value)
	}
	return r
}

// clean checks that no file, and no output, has a secret value.
func (r *encryptedRun) clean(t *testing.T, outputs ...string) {
	t.Helper()
	for _, output := range outputs {
		for _, value := range r.values {
			if strings.Contains(output, value) {
				t.Errorf("a secret is shown:\n%s", output)
			}
		}
	}
	err := filepath.WalkDir(r.dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text := readFile(t, name)
		for _, value := range r.values {
			// Keys' ids may be those of buckets.
			if strings.HasPrefix(value, "example-") && strings.Contains(text, value) {
				t.Errorf("%s has a secret", name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCredentialsOfSOPS: what the real sops encrypted is decrypted to what it was, to
// the byte of all that is rendered, and never a file.
func TestCredentialsOfSOPS(t *testing.T) {
	for _, example := range []string{"minimal", "policy", "layout-b", "opendesk-1.19-ee"} {
		for name, args := range map[string][]string{
			"all of it": nil, "the secrets": {"--encrypted-regex", secretFieldsOnly}, "all but some": {"--unencrypted-regex", "^(schemaVersion|instanceId|recipients)$"},
		} {
			if example != "policy" && args == nil {
				continue // one is enough
			}
			t.Run(example+", "+name, func(t *testing.T) {
				plain := newSOPSRun(t, example)
				want := filepath.Join(plain.dir, "tree")
				plain.holdfast(t, statusDone, "render", "-o", want)
				r := newEncryptedRun(t, example, args...)
				r.holdfast(t, statusDone, "check", "--against", want)
				r.holdfast(t, statusDone, "diff", "--against", want)
				got := filepath.Join(r.dir, "tree")
				out, notes := r.both(t, statusDone, "render", "-o", got)
				r.clean(t, out, notes)
				if a, b := plain.holdfast(t, statusDone, "plan"), r.holdfast(t, statusDone, "plan"); a != b {
					t.Errorf("another plan:\n%s\n%s", a, b)
				}
				plain.holdfast(t, statusDone, "check", "--against", got)
			})
		}
	}
}

// TestCredentialsKeys: the identity may stand in each place where sops has it.
func TestCredentialsKeys(t *testing.T) {
	stranger, _ := examples.Identity("a stranger")
	r := newEncryptedRun(t, "minimal")
	key := filepath.Join(r.dir, "sops", "age", "keys.txt")
	if err := os.MkdirAll(filepath.Dir(key), 0o700); err != nil {
		t.Fatal(err)
	}
	r.holdfast(t, statusDone, "check")
	t.Setenv(ageKeyVariable, stranger)
	_, stderr := r.both(t, statusInput, "check")
	if !strings.Contains(stderr, credentialsName+":1:1: the document is encrypted by sops, and none of the identities at hand opens it") || !strings.Contains(stderr, "HF033") {
		t.Error(stderr)
	}
	writeFile(t, key, "# created: today\n"+r.identity+"\n")
	r.holdfast(t, statusDone, "check")
	if err := os.Rename(key, key+".moved"); err != nil {
		t.Fatal(err)
	}
	t.Setenv(ageKeyFileVariable, key+".moved")
	r.holdfast(t, statusDone, "check")
	t.Setenv(ageKeyFileVariable, key)
	if _, stderr := r.both(t, statusUsage, "check"); !strings.Contains(stderr, "keys.txt: no such file") {
		t.Error(stderr)
	}
}

// TestCredentialsDamaged: what sops did not leave so is refused, without a value.
func TestCredentialsDamaged(t *testing.T) {
	r := newEncryptedRun(t, "policy", "--encrypted-regex", secretFieldsOnly)
	text := readFile(t, r.credentials)
	cut := func(pattern, to string) string { return regexp.MustCompile(pattern).ReplaceAllString(text, to) }
	ciphers := regexp.MustCompile(`"(ENC\[[^"]+)"`).FindAllStringSubmatch(text, -1)
	for what, broken := range map[string]struct{ text, rule string }{
		"another bucket":        {strings.Replace(text, `"pol-backup-restic"`, `"pol-backup-rustic"`, 1), "HF045"},
		"another checksum":      {cut(`("mac": "ENC\[AES256_GCM,data:)....`, "${1}AAAA"), "HF045"},
		"no checksum":           {cut(`\n\s*"mac": "[^"]*",`, ""), "HF045"},
		"a value cut short":     {cut(`("password": "ENC\[AES256_GCM,data:[^"]*),type:str\]"`, `$1"`), "HF045"},
		"another value":         {cut(`("password": "ENC\[AES256_GCM,data:)....`, "${1}AAAA"), "HF045"},
		"values exchanged":      {strings.NewReplacer(ciphers[0][1], ciphers[1][1], ciphers[1][1], ciphers[0][1]).Replace(text), "HF045"},
		"a value taken out":     {cut(`(?m)^\s*"region": "eu01",\n`, ""), "HF045"},
		"keys in another order": {cut(`("endpoint": [^\n]*\n)(\s*"region": [^\n]*\n)`, "$2$1"), "HF045"},
		"the key cut short":     {cut(`("enc": "-----BEGIN AGE ENCRYPTED FILE-----\\n.{64})[^"]*`, "$1"), "HF045"},
		"a member behind":       {cut(`\}\s*$`, `, "createdBy": null}`), "HF045"},
		"the file cut short":    {text[:len(text)/2], "HF001"},
		"without its end":       {strings.TrimRight(text, "}\n\t "), "HF001"},
	} {
		t.Run(what, func(t *testing.T) {
			if broken.text == text {
				t.Fatal("nothing was changed")
			}
			writeFile(t, r.credentials, broken.text)
			for _, command := range []string{"check", "plan", "render"} {
				stdout, stderr := r.both(t, statusInput, command)
				if !strings.Contains(stderr, broken.rule) || command == "render" && stdout != "" {
					t.Errorf("%s:\n%s%s", command, stdout, stderr)
				}
				r.clean(t, stdout, stderr)
			}
		})
	}
}

// TestCredentialsReadable: a secret that sops did not encrypt is no secret any more.
func TestCredentialsReadable(t *testing.T) {
	r := newSOPSRun(t, "minimal")
	name := filepath.Join(r.dir, "inputs", credentialsName)
	_, recipient := examples.Identity(examples.Phrase)
	writeFile(t, name, r.must(t, "encrypt", "--encrypted-regex", "^(password|secretAccessKey)$", "--age", recipient, name))
	t.Setenv(ageKeyVariable, r.identity)
	for _, args := range [][]string{{"check"}, {"check", "--without-values"}, {"render"}} {
		stdout, stderr := r.both(t, statusInput, args[0], args[1:]...)
		if stdout != "" || strings.Count(stderr, "HF046 (") != 1 || !strings.Contains(stderr, "/git/renderKey: the value is readable") {
			t.Errorf("%v:\n%s%s", args, stdout, stderr)
		}
	}
}

// TestCredentialsWithoutValues: a file whose secrets alone are encrypted is compared
// without any key; one of which everything is encrypted says nothing.
func TestCredentialsWithoutValues(t *testing.T) {
	plain := newSOPSRun(t, "policy")
	tree := filepath.Join(plain.dir, "tree")
	plain.holdfast(t, statusDone, "render", "-o", tree)
	r := newEncryptedRun(t, "policy", "--encrypted-regex", secretFieldsOnly)
	t.Setenv(ageKeyVariable, "")
	if stdout, _ := r.both(t, statusDone, "check", "--without-values", "--against", tree); !strings.Contains(stdout, "values of 2 Secrets were not compared, and not decrypted") {
		t.Error(stdout)
	}
	// A key that is missing is no reason to look at less.
	if _, stderr := r.both(t, statusInput, "check", "--against", tree); !strings.Contains(stderr, "HF033") {
		t.Error(stderr)
	}
	var stdout, stderr bytes.Buffer
	if status := run([]string{"holdfast", "redact", "-c", r.credentials}, strings.NewReader(""), &stdout, &stderr); status != statusDone || input.Encrypted(input.Document{Data: stdout.Bytes()}) {
		t.Errorf("status %d\n%s", status, stderr.String())
	}
	all := newEncryptedRun(t, "policy")
	t.Setenv(ageKeyVariable, "")
	if _, stderr := all.both(t, statusInput, "check", "--without-values", "--against", tree); !strings.Contains(stderr, "/restic/bucket: sops encrypted this value, too") || !strings.Contains(stderr, secretFieldsOnly) {
		t.Error(stderr)
	}
}

// TestCredentialsOtherKeys: what needs more than an age identity is left to the real
// sops, through pipes; without it that is said.
func TestCredentialsOtherKeys(t *testing.T) {
	_, one := examples.Identity(examples.Phrase)
	second, two := examples.Identity("second")
	sops := filepath.Dir(builtTool(t, "sops"))
	for name, rule := range map[string]string{
		"two groups": "shamir_threshold: 2\n    key_groups:\n      - age: [" + one + "]\n      - age: [" + two + "]\n",
		"mac only":   "mac_only_encrypted: true\n    age: " + one + "\n    encrypted_regex: " + secretFieldsOnly + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			config := filepath.Join(t.TempDir(), ".sops.yaml")
			writeFile(t, config, "creation_rules:\n  - "+rule)
			r := newEncryptedRun(t, "minimal", "--config", config)
			t.Setenv(ageKeyVariable, r.identity+"\n"+second)
			if _, stderr := r.both(t, statusInput, "check"); !strings.Contains(stderr, "needs the program sops, which is not in PATH") {
				t.Error(stderr)
			}
			t.Setenv("PATH", sops)
			stdout, stderr := r.both(t, statusDone, "render", "-o", filepath.Join(r.dir, "tree"))
			r.clean(t, stdout, stderr)
			t.Setenv(ageKeyVariable, "")
			if _, stderr := r.both(t, statusInput, "check"); !strings.Contains(stderr, "sops does not decrypt it") {
				t.Error(stderr)
			}
		})
	}
}

// TestCredentialsMasked: a decrypted value is masked as one of a plain document is.
func TestCredentialsMasked(t *testing.T) {
	r := newEncryptedRun(t, "minimal")
	name := filepath.Join(r.dir, "inputs", stateName)
	writeFile(t, name, strings.Replace(readFile(t, name), `"backup": "required"`, `"backup": "example-not-a-real-secret-shop"`, 1))
	for _, form := range []string{"text", "json", "github", "junit"} {
		stdout, stderr := r.both(t, statusInput, "check", "--output", form)
		if !strings.Contains(stdout+stderr, masked) || strings.Contains(stdout+stderr, "example-not-a-real-secret") {
			t.Errorf("%s:\n%s%s", form, stdout, stderr)
		}
	}
}

// TestCredentialsEverywhere: the commands that write take them as well.
func TestCredentialsEverywhere(t *testing.T) {
	path := os.Getenv("PATH")
	r := newEncryptedRun(t, "minimal")
	t.Setenv("PATH", path)
	gitHome(t)
	_, clone := bareAndClone(t)
	stdout, stderr := r.both(t, statusDone, "publish", "--repo", clone)
	r.clean(t, stdout, stderr)
	for _, name := range secretFiles(t, clone) {
		r.must(t, "decrypt", name)
	}
	inputs := filepath.Join(r.dir, "inputs")
	list := "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\nfunctionConfig:\n  apiVersion: holdfast.dev/v1\n  kind: Render\n  spec:\n    secrets: plain\n    states: [" + inputs + "]\n    credentials: [" + inputs + "]\n"
	var out, notes bytes.Buffer
	if status := run([]string{"holdfast", "krm"}, strings.NewReader(list), &out, &notes); status != statusDone || !strings.Contains(out.String(), "example-restic-repository-password-shop") {
		t.Errorf("krm: status %d\n%s", status, notes.String())
	}
	inline := strings.Replace(list, "credentials: ["+inputs+"]", "credentials: ["+readFile(t, r.credentials)+"]", 1)
	out.Reset()
	if status := run([]string{"holdfast", "krm"}, strings.NewReader(inline), &out, &notes); status != statusBug || !strings.Contains(notes.String(), "give its path") {
		t.Errorf("krm: status %d\n%s", status, notes.String())
	}
}
