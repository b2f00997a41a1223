package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

// unseenRun is a tree, and the credentials of it without their values.
type unseenRun struct {
	*sopsRun
	tree, secret string
}

func newUnseenRun(t *testing.T, example string, mode ...string) *unseenRun {
	t.Helper()
	t.Setenv(ageKeyVariable, "")
	t.Setenv(ageKeyFileVariable, "")
	r := &unseenRun{sopsRun: newSOPSRun(t, example)}
	r.tree = filepath.Join(r.dir, "tree")
	r.holdfast(t, statusDone, "render", append(mode, "-o", r.tree)...)
	r.secret = secretFiles(t, r.tree)[0]
	name := filepath.Join(r.dir, "inputs", credentialsName)
	var stdout, stderr bytes.Buffer
	if status := run([]string{"holdfast", "redact", "-c", name}, strings.NewReader(""), &stdout, &stderr); status != statusDone {
		t.Fatal(stderr.String())
	}
	// The real credentials are gone: nothing that follows can have read them.
	writeFile(t, name, stdout.String())
	return r
}

// secretValues are the secrets of an example that no output may have.
func secretValues(t *testing.T, example string) []string {
	t.Helper()
	_, values, err := input.Redact(input.Document{Data: []byte(readFile(t, filepath.Join("..", "..", "examples", example, credentialsName)))})
	if err != nil || len(values) == 0 {
		t.Fatalf("%d values, %v", len(values), err)
	}
	var texts []string
	for _, value := range values {
		texts = append(texts, value.Value)
	}
	return texts
}

// TestRedact: nothing secret is left, nothing else is missing, and what is no secret
// decides all that is rendered but the Secrets.
func TestRedact(t *testing.T) {
	cases, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			r, err := renderer.New(c.Templates)
			if err != nil {
				t.Fatal(err)
			}
			render := func(in renderer.Inputs) map[string]string {
				files := map[string]string{}
				made, err := r.Render(in, renderer.Options{Secrets: secrets.SOPS})
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range made.Bundle.Files {
					if !strings.HasPrefix(filepath.Base(f.Path), "secret-") {
						files[f.Path] = string(f.Data)
					}
				}
				return files
			}
			planned, err := r.Plan(c.Inputs)
			if err != nil {
				t.Fatal(err)
			}
			want := render(c.Inputs)
			redacted := c.Inputs
			redacted.WithoutValues, redacted.Credentials = true, nil
			for _, document := range c.Inputs.Credentials {
				document, _, err := input.Redact(document)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range planned {
					for _, value := range p.Instance.Credentials.Secrets() {
						if !value.IsName() && strings.Contains(string(document.Data), value.Value) {
							t.Errorf("%s is left", value.Pointer)
						}
					}
				}
				redacted.Credentials = append(redacted.Credentials, document)
			}
			got := render(redacted)
			if len(got) != len(want) {
				t.Errorf("%d files, expected %d", len(got), len(want))
			}
			for path, text := range want {
				if got[path] != text {
					t.Errorf("%s depends on a secret value", path)
				}
			}
		})
	}
}

// TestRedactRefuses: a secret under another name is not printed.
func TestRedactRefuses(t *testing.T) {
	text := readFile(t, filepath.Join("..", "..", "examples", "minimal", credentialsName))
	for what, edit := range map[string][2]string{
		"a wrong name":        {`"password":`, `"pasword":`},
		"in another field":    {`"bucket": "`, `"bucket": "example-not-a-real-secret-shop`},
		"a broken document":   {`"password":`, `"password"`},
		"a document of sorts": {`"schemaVersion": 1`, `"sops": {"version": "3"}, "schemaVersion": 1`},
	} {
		t.Run(what, func(t *testing.T) {
			changed := strings.Replace(text, edit[0], edit[1], 1)
			if changed == text {
				t.Fatal("nothing was changed")
			}
			var stdout, stderr bytes.Buffer
			status := run([]string{"holdfast", "redact", "-c", "-"}, strings.NewReader(changed), &stdout, &stderr)
			if status != statusInput || stdout.Len() > 0 {
				t.Errorf("status %d, stdout:\n%s", status, stdout.String())
			}
			if strings.Contains(stderr.String(), "example-") {
				t.Errorf("a secret is shown:\n%s", stderr.String())
			}
		})
	}
}

// TestWithoutValues: a tree is right without any secret at hand, and each thing that is
// wrong with a Secret is found, and named.
func TestWithoutValues(t *testing.T) {
	_, stranger := examples.Identity("a stranger")
	_, own := examples.Identity(examples.Phrase)
	const sopsMode, sealedMode = "sops", "sealed"
	value := regexp.MustCompile(`(?m)^  password: "(ENC\[.*)"$`)
	readable := func(text string) string { return value.ReplaceAllString(text, "  password: cmVhZGFibGU=") }
	type breaks struct {
		mode   string
		status int
		says   string
		spoil  func(t *testing.T, r *unseenRun, text string)
	}
	edit := func(change func(text string) string) func(*testing.T, *unseenRun, string) {
		return func(t *testing.T, r *unseenRun, text string) {
			changed := change(text)
			if changed == text {
				t.Fatal("nothing was changed")
			}
			writeFile(t, r.secret, changed)
		}
	}
	replaced := func(old, to string) func(*testing.T, *unseenRun, string) {
		return edit(func(text string) string { return strings.Replace(text, old, to, 1) })
	}
	for what, b := range map[string]breaks{
		"a missing Secret": {sopsMode, statusDiffers, "added: shop/repository/shop/secret-restic.yaml", func(t *testing.T, r *unseenRun, _ string) {
			if err := os.Remove(r.secret); err != nil {
				t.Fatal(err)
			}
		}},
		"a renamed key":      {sopsMode, statusDiffers, "data/password: it is missing", replaced("  password: ", "  passward: ")},
		"another namespace":  {sopsMode, statusDiffers, "metadata/namespace: it is not as rendered", replaced("namespace: shop", "namespace: ship")},
		"another label":      {sopsMode, statusDiffers, "metadata/labels/holdfast.dev/instance: it is not as rendered", replaced("instance: shop", "instance: ship")},
		"another annotation": {sopsMode, statusDiffers, "prune: it is not as rendered", replaced("prune: disabled", "prune: enabled")},
		"a wrong recipient":  {sopsMode, statusDiffers, "sops/age: it is not encrypted for " + own, replaced("recipient: "+own, "recipient: "+stranger)},
		"one recipient more": {sopsMode, statusDiffers, "sops/age: it is encrypted for " + stranger + ", too", edit(func(text string) string {
			entry := regexp.MustCompile(`(?s)  - enc: .*?recipient: \S+\n`).FindString(text)
			return strings.Replace(text, entry, entry+strings.Replace(entry, own, stranger, 1), 1)
		})},
		"a readable value":   {sopsMode, statusDiffers, "data/password: the value is not encrypted", edit(readable)},
		"a value cut short":  {sopsMode, statusDiffers, "data/access-key-id: the value is not encrypted, or cut short", replaced(",type:str]", "")},
		"a readable comment": {sopsMode, statusDiffers, "a comment is not as rendered", edit(func(text string) string { return text + "# example-password\n" })},
		"a second object": {sopsMode, statusDiffers, "2 objects stand where one is expected", edit(func(text string) string {
			return text + "---\n" + readable(text)
		})},
		"stringData beside it": {sopsMode, statusDiffers, "stringData: nothing of that name is rendered", replaced("kind: Secret\n", "kind: Secret\nstringData:\n  a: readable\n")},
		"no checksum":          {sopsMode, statusDiffers, "sops/mac: it is missing", edit(func(text string) string { return regexp.MustCompile(`(?m)^  mac: .*\n`).ReplaceAllString(text, "") })},
		"no YAML":              {sopsMode, statusDiffers, "this is no YAML", edit(func(text string) string { return "{" + text })},
		"a plain tree":         {sopsMode, statusDiffers, "sops: it is missing", edit(func(text string) string { return text[:strings.Index(text, "\nsops:")+1] })},
		"another file": {sopsMode, statusDiffers, "changed: shop/flux.yaml", func(t *testing.T, r *unseenRun, _ string) {
			name := filepath.Join(r.tree, "shop", "flux.yaml")
			writeFile(t, name, readFile(t, name)+"# edited\n")
		}},
		"one Secret more": {sopsMode, statusInput, "HF520", func(t *testing.T, r *unseenRun, text string) {
			writeFile(t, filepath.Join(filepath.Dir(r.secret), "extra.yaml"), readable(text))
		}},
		"one in a list": {sopsMode, statusInput, "HF520", func(t *testing.T, r *unseenRun, _ string) {
			writeFile(t, filepath.Join(filepath.Dir(r.secret), "extra.yaml"), "apiVersion: v1\nkind: List\nitems:\n- {kind: Secret, data: {a: cmVhZGFibGU=}}\n")
		}},
		"a list in a list": {sopsMode, statusInput, "HF520", func(t *testing.T, r *unseenRun, _ string) {
			writeFile(t, filepath.Join(filepath.Dir(r.secret), "extra.yaml"), "kind: List\nitems:\n- kind: List\n  items:\n  - {kind: Secret}\n")
		}},
		"one in another object": {sopsMode, statusInput, "HF520", func(t *testing.T, r *unseenRun, _ string) {
			writeFile(t, filepath.Join(filepath.Dir(r.secret), "extra.yaml"), "kind: Template\nobjects:\n- {kind: Secret, data: {a: cmVhZGFibGU=}}\n")
		}},
		"one in no YAML": {sopsMode, statusInput, "HF520", func(t *testing.T, r *unseenRun, text string) {
			writeFile(t, filepath.Join(filepath.Dir(r.secret), "extra.yaml"), "{{ if true }}\n"+readable(text))
		}},
		"one with a key twice": {sopsMode, statusInput, "HF520", func(t *testing.T, r *unseenRun, _ string) {
			writeFile(t, filepath.Join(filepath.Dir(r.secret), "extra.yaml"), "\"kind\" : !!str # a kind\n  'Secret'\ndata: {a: cmVhZGFibGU=, a: cmVhZGFibGU=}\n")
		}},
		"one of another ending": {sopsMode, statusInput, "extra.YAML", func(t *testing.T, r *unseenRun, text string) {
			writeFile(t, filepath.Join(filepath.Dir(r.secret), "extra.YAML"), readable(text))
		}},
		"a copy of an editor": {sopsMode, statusInput, "extra.yaml.bak", func(t *testing.T, r *unseenRun, text string) {
			writeFile(t, filepath.Join(filepath.Dir(r.secret), "extra.yaml.bak"), readable(text))
		}},
		"one of no ending": {sopsMode, statusInput, "shop/extra:", func(t *testing.T, r *unseenRun, text string) {
			writeFile(t, filepath.Join(r.tree, "shop", "extra"), readable(text))
		}},
		"one behind a link": {sopsMode, statusInput, "extra.yaml: a link", func(t *testing.T, r *unseenRun, text string) {
			writeFile(t, filepath.Join(r.dir, "elsewhere.yaml"), readable(text))
			if err := os.Symlink(filepath.Join(r.dir, "elsewhere.yaml"), filepath.Join(filepath.Dir(r.secret), "extra.yaml")); err != nil {
				t.Fatal(err)
			}
		}},
		"a link to a folder": {sopsMode, statusInput, "more: a link", func(t *testing.T, r *unseenRun, _ string) {
			if err := os.Symlink(r.dir, filepath.Join(r.tree, "shop", "more")); err != nil {
				t.Fatal(err)
			}
		}},
		"one behind much else": {sopsMode, statusInput, "too large", func(t *testing.T, r *unseenRun, text string) {
			writeFile(t, filepath.Join(r.tree, "shop", "extra.yaml"), strings.Repeat("# much\n", largestSecret/7+1)+readable(text))
		}},
		"one of its name": {sopsMode, statusInput, "HF520", func(t *testing.T, r *unseenRun, _ string) {
			writeFile(t, filepath.Join(filepath.Dir(r.secret), "secret-extra.txt"), "readable")
		}},
		"one that is listed": {sopsMode, statusDiffers, "removed: shop/repository/shop/secret-extra.yaml", func(t *testing.T, r *unseenRun, text string) {
			writeFile(t, filepath.Join(filepath.Dir(r.secret), "secret-extra.yaml"), text)
			name := filepath.Join(r.tree, "shop", ".holdfast-inventory")
			writeFile(t, name, readFile(t, name)+"repository/shop/secret-extra.yaml\n")
		}},
		"a readable sealed value": {sealedMode, statusDiffers, "spec/encryptedData/password: the value is not encrypted", edit(func(text string) string {
			return regexp.MustCompile(`(?m)^    password: .*$`).ReplaceAllString(text, "    password: cmVhZGFibGU=")
		})},
		"a renamed sealed key": {sealedMode, statusDiffers, "spec/encryptedData/password: it is missing", replaced("    password: ", "    passward: ")},
	} {
		t.Run(what, func(t *testing.T) {
			mode := []string{"--secrets", b.mode}
			if b.mode == sealedMode {
				mode = append(mode, "--sealed-cert", filepath.Join("testdata", "controller.pem"))
			}
			r := newUnseenRun(t, "minimal", mode...)
			args := append(mode, "--without-values", "--against", r.tree)
			right := r.holdfast(t, statusDone, "check", args...)
			if !strings.HasSuffix(right, "as render would write it, but for what was not looked at\nnot checked: the secret values of the credentials were not looked at\nnot checked: values of 1 Secret were not compared, and not decrypted\n") {
				t.Errorf("a right tree:\n%s", right)
			}
			text := readFile(t, r.secret)
			b.spoil(t, r, text)
			stdout, stderr := r.both(t, b.status, "check", args...)
			if !strings.Contains(stdout+stderr, b.says) {
				t.Errorf("%q is not said:\n%s%s", b.says, stdout, stderr)
			}
			for _, form := range []string{"json", "github", "junit"} {
				stdout, _ := r.both(t, b.status, "check", append(args, "--output", form)...)
				if form == "json" {
					valid(t, compiled(t, "check.schema.json"), []byte(stdout))
				}
				for _, shown := range []string{"cmVhZGFibGU", "example-password", "readable\n"} {
					if strings.Contains(stdout, shown) {
						t.Errorf("%s shows what is readable:\n%s", form, stdout)
					}
				}
			}
			r.both(t, b.status, "diff", args...)
		})
	}
}

// both runs the program in process and returns what it wrote.
func (r *sopsRun) both(t *testing.T, want int, command string, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	all := append(append([]string{"holdfast", command}, r.args...), args...)
	if status := run(all, strings.NewReader(""), &out, &err); status != want {
		t.Errorf("%v: status %d, expected %d, stdout:\n%s\nstderr:\n%s", all, status, want, out.String(), err.String())
	}
	return out.String(), err.String()
}

// TestNotChecked: each form of the output says that values were not compared, and none
// says it of a check with all values.
func TestNotChecked(t *testing.T) {
	r := newUnseenRun(t, "policy")
	args := []string{"--without-values", "--against", r.tree}
	const said = "values of 2 Secrets were not compared"
	for _, form := range []string{"text", "json", "github", "junit"} {
		stdout, _ := r.both(t, statusDone, "check", append(args, "--output", form)...)
		switch form {
		case "json":
			var result checkResult
			valid(t, compiled(t, "check.schema.json"), []byte(stdout))
			if err := json.Unmarshal([]byte(stdout), &result); err != nil || !result.WithoutValues || len(result.NotCompared) != 2 || result.NotCompared[0].Decrypted {
				t.Errorf("%v\n%s", err, stdout)
			}
		case "junit":
			var suite junitSuite
			if err := xml.Unmarshal([]byte(stdout), &suite); err != nil || suite.Skipped != 2 || suite.Failures != 0 || !strings.Contains(stdout, said) {
				t.Errorf("%v\n%s", err, stdout)
			}
		case "github":
			if !strings.Contains(stdout, "::warning title=holdfast%3A not checked::not checked: "+said) {
				t.Error(stdout)
			}
		default:
			if !strings.Contains(stdout, said) {
				t.Error(stdout)
			}
		}
	}
	if _, stderr := r.both(t, statusDone, "diff", args...); !strings.Contains(stderr, said) {
		t.Error(stderr)
	}
	if _, stderr := r.both(t, statusDone, "plan", "--without-values"); !strings.Contains(stderr, notLookedAt) {
		t.Error(stderr)
	}
	// Without being told to, nothing passes for a check of all.
	if _, stderr := r.both(t, statusInput, "check", "--against", r.tree); !strings.Contains(stderr, "HF025") || !strings.Contains(stderr, "--without-values") {
		t.Error(stderr)
	}
	full := newSOPSRun(t, "policy")
	stdout, _ := full.both(t, statusDone, "check", "--against", r.tree, "--output", "json")
	if strings.Contains(stdout, `"withoutValues": true`) || !strings.Contains(stdout, `"notCompared": []`) {
		t.Errorf("a full check:\n%s", stdout)
	}
	if stdout := full.holdfast(t, statusDone, "check", "--against", r.tree); strings.Contains(stdout, "not checked") {
		t.Errorf("a full check:\n%s", stdout)
	}
}

// TestDecrypts: with an age identity at hand every value must decrypt, and the checksum
// be right, also in files that the real sops wrote last.
func TestDecrypts(t *testing.T) {
	r := newUnseenRun(t, "minimal")
	args := []string{"--without-values", "--against", r.tree}
	key := filepath.Join(r.dir, "keys.txt")
	writeFile(t, key, "# a comment\n\n"+r.identity+"\n")
	t.Setenv(ageKeyFileVariable, key)
	if stdout := r.holdfast(t, statusDone, "check", args...); !strings.HasSuffix(stdout, "were not compared; all of them decrypt\n") {
		t.Error(stdout)
	}
	text := readFile(t, r.secret)
	for what, broken := range map[string]string{
		// All of these have the right form.
		"values that changed places": exchanged(t, text),
		"another ciphertext":         regexp.MustCompile(`(password: "ENC\[AES256_GCM,data:)(.)`).ReplaceAllStringFunc(text, func(s string) string { return s[:len(s)-1] + flip(s[len(s)-1:]) }),
		"another checksum":           regexp.MustCompile(`(mac: "ENC\[AES256_GCM,data:)(.)`).ReplaceAllStringFunc(text, func(s string) string { return s[:len(s)-1] + flip(s[len(s)-1:]) }),
	} {
		t.Run(what, func(t *testing.T) {
			if broken == text {
				t.Fatal("nothing was changed")
			}
			writeFile(t, r.secret, broken)
			stdout, _ := r.both(t, statusDiffers, "check", args...)
			if !strings.Contains(stdout, "  it does not decrypt: ") {
				t.Error(stdout)
			}
			t.Setenv(ageKeyFileVariable, "")
			r.both(t, statusDone, "check", args...) // nobody can see it without
		})
	}
	writeFile(t, r.secret, text)
	stranger, _ := examples.Identity("a stranger")
	t.Setenv(ageKeyFileVariable, "")
	t.Setenv(ageKeyVariable, stranger)
	if stdout, _ := r.both(t, statusDiffers, "check", args...); !strings.Contains(stdout, "none of the identities at hand opens it") {
		t.Error(stdout)
	}
	t.Setenv(ageKeyVariable, stranger[:40])
	if _, stderr := r.both(t, statusUsage, "check", args...); !strings.Contains(stderr, "SOPS_AGE_KEY: line 1 is no age identity") || strings.Contains(stderr, stranger[20:40]) {
		t.Error(stderr)
	}
}

func flip(letter string) string {
	if letter == "A" {
		return "B"
	}
	return "A"
}

// exchanged has the ciphertexts of two keys in each other's place.
func exchanged(t *testing.T, text string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^  \S+: "(ENC\[\S+)"$`).FindAllStringSubmatch(text, 3)
	if len(found) < 3 {
		t.Fatalf("%d ciphertexts", len(found))
	}
	return strings.NewReplacer(found[0][1], found[1][1], found[1][1], found[0][1]).Replace(text)
}

// TestOthersFiles: what others have in the instance's folder, and what only names a
// Secret, is none of a check's business.
func TestOthersFiles(t *testing.T) {
	r := newUnseenRun(t, "minimal")
	for name, text := range map[string]string{
		"README.md":   "# Our kind of backup\n\nThe Secret is made by render: see `kind`.\n",
		"extra.yaml":  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: b}\n",
		"store.yaml":  "kind: SecretStore\nkind: SecretStore\n",
		"names.yaml":  "kind: Kustomization\nspec: {valuesFrom: [{kind: Secret, name: a}]}\n",
		"picture.png": "\x89PNG\r\n\x00\x01",
		"empty":       "",
	} {
		writeFile(t, filepath.Join(r.tree, "shop", name), text)
	}
	r.holdfast(t, statusDone, "check", "--without-values", "--against", r.tree)
}
