package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

// builtTool finds a program that hack/setup.sh installs. A test that needs one
// never passes without it.
func builtTool(t *testing.T, name string) string {
	t.Helper()
	notShort(t, "what needs a tool besides Go")
	if found, err := exec.LookPath(name); err == nil {
		return found
	}
	found, err := filepath.Abs(filepath.Join("..", "..", ".cache", "tools", name))
	if err == nil {
		_, err = os.Stat(found)
	}
	if err != nil {
		t.Fatalf("%s is missing, and this test is about it: make setup", name)
	}
	return found
}

// sopsRun is a tree with encrypted Secrets, and the real sops.
type sopsRun struct {
	sops, dir string
	identity  string
	args      []string // of holdfast, for the inputs
}

func newSOPSRun(t *testing.T, example string) *sopsRun {
	t.Helper()
	r := &sopsRun{sops: builtTool(t, "sops"), dir: t.TempDir()}
	r.identity, _ = examples.Identity(examples.Phrase)
	inputs := filepath.Join(r.dir, "inputs")
	if err := copyFolder(inputs, filepath.Join("..", "..", "examples", example)); err != nil {
		t.Fatal(err)
	}
	r.args = []string{"-s", inputs, "-c", inputs}
	if policy := filepath.Join(inputs, "policy.json"); isThere(policy) {
		r.args = append(r.args, "-p", policy)
	}
	return r
}

// holdfast runs the program in process.
func (r *sopsRun) holdfast(t *testing.T, want int, command string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	all := slices.Concat([]string{"holdfast", command}, r.args, args)
	if status := run(all, strings.NewReader(""), &stdout, &stderr); status != want {
		t.Fatalf("%v: status %d, stderr:\n%s", all, status, stderr.String())
	}
	return stdout.String()
}

// run runs sops.
func (r *sopsRun) run(identity string, args ...string) (string, error) {
	cmd := exec.Command(r.sops, args...)
	cmd.Dir = r.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "SOPS_AGE_KEY=" + identity}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("sops %v: %w\n%s", args, err, stderr.String())
	}
	return stdout.String(), err
}

func (r *sopsRun) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := r.run(r.identity, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// secretFiles lists the files of Secrets below a folder.
func secretFiles(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(entry.Name(), "secret-") {
			files = append(files, name)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("no Secrets in %s: %v", dir, err)
	}
	return files
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// secretIn reads a file's one object.
func secretIn(t *testing.T, text string) map[string]any {
	t.Helper()
	objects, err := yaml.Decode([]byte(text))
	if err != nil || len(objects) != 1 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	return objects[0]
}

// TestSOPSReads: the real sops says that our files are encrypted, verifies their
// checksum, and decrypts them to what the tree in plain text holds.
func TestSOPSReads(t *testing.T) {
	for _, example := range []string{"policy", "two-in-one-namespace", "cilium"} {
		t.Run(example, func(t *testing.T) {
			r := newSOPSRun(t, example)
			tree, plain := filepath.Join(r.dir, "tree"), filepath.Join(r.dir, "plain")
			r.holdfast(t, statusDone, "render", "-o", tree)
			r.holdfast(t, statusDone, "render", "--secrets", "plain", "-o", plain)
			for _, name := range secretFiles(t, tree) {
				if out := r.must(t, "filestatus", name); strings.TrimSpace(out) != `{"encrypted":true}` {
					t.Errorf("%s: status %s", name, out)
				}
				got := secretIn(t, r.must(t, "decrypt", name))
				below, err := filepath.Rel(tree, name)
				if err != nil {
					t.Fatal(err)
				}
				want := secretIn(t, readFile(t, filepath.Join(plain, below)))
				data := map[string]any{}
				for key, value := range want["stringData"].(map[string]any) {
					data[key] = base64.StdEncoding.EncodeToString([]byte(value.(string)))
				}
				delete(want, "stringData")
				want["data"] = data
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s decrypts to other content", below)
				}
				// Nobody else reads it.
				stranger, _ := examples.Identity("a stranger")
				if out, err := r.run(stranger, "decrypt", name); err == nil {
					t.Errorf("%s: a stranger reads it:\n%s", below, out)
				}
			}
		})
	}
}

// TestSOPSSeesTampering: the checksum covers names and labels, too.
func TestSOPSSeesTampering(t *testing.T) {
	r := newSOPSRun(t, "minimal")
	tree := filepath.Join(r.dir, "tree")
	r.holdfast(t, statusDone, "render", "-o", tree)
	name := secretFiles(t, tree)[0]
	text := readFile(t, name)
	for what, replaced := range map[string][2]string{
		"a label":      {"holdfast.dev/instance: shop", "holdfast.dev/instance: ship"},
		"the name":     {"name: shop-restic", "name: ship-restic"},
		"two values":   {"  password: ", "  passward: "},
		"a ciphertext": {"data:", "data:A"},
	} {
		tampered := strings.Replace(text, replaced[0], replaced[1], 1)
		if tampered == text {
			t.Fatalf("%s: nothing was changed", what)
		}
		writeFile(t, name, tampered)
		if _, err := r.run(r.identity, "decrypt", name); err == nil {
			t.Errorf("%s was changed, and sops decrypts", what)
		}
	}
}

// TestSOPSRules: we take from a .sops.yaml what sops takes from it, file by file:
// it finds nothing to update.
func TestSOPSRules(t *testing.T) {
	_, one := examples.Identity(examples.Phrase)
	_, two := examples.Identity("second")
	const encrypted = "    encrypted_regex: ^(data|stringData)$\n"
	for name, config := range map[string]string{
		"one rule": "creation_rules:\n  - age: " + one + "\n" + encrypted,
		"two":      "creation_rules:\n  - age: >-\n      " + two + ",\n      " + one + "\n" + encrypted,
		"by file":  "creation_rules:\n  - path_regex: ^prod/clusters/.*/secret-restic\\.yaml$\n    age: " + one + "\n" + encrypted + "  - path_regex: ^prod/.*\\.yaml$\n    age: [" + two + ", " + one + "]\n" + encrypted,
		"anchored": "creation_rules:\n  - path_regex: ^clusters/\n    pgp: 0000\n  - path_regex: secret-restic\\.yaml$\n    key_groups:\n      - age: [" + two + "," + one + "]\n" + encrypted + "  - age: " + one + "\n" + encrypted,
	} {
		t.Run(name, func(t *testing.T) {
			r := newSOPSRun(t, "policy")
			withoutRecipients(t, filepath.Join(r.dir, "inputs", "backup-credentials.json"), one)
			file, tree := filepath.Join(r.dir, ".sops.yaml"), filepath.Join(r.dir, "prod", "clusters")
			writeFile(t, file, config)
			r.holdfast(t, statusDone, "render", "--sops-config", file, "-o", tree)
			recipients := map[int]bool{}
			for _, name := range secretFiles(t, tree) {
				before := readFile(t, name)
				r.must(t, "--config", file, "updatekeys", "--yes", name)
				if readFile(t, name) != before {
					t.Errorf("sops takes other recipients than we for %s", name)
				}
				r.must(t, "decrypt", name)
				recipients[strings.Count(before, "recipient: ")] = true
			}
			if name == "by file" && len(recipients) != 2 {
				t.Errorf("numbers of recipients: %v, expected one and two", recipients)
			}
			r.holdfast(t, statusDone, "check", "--sops-config", file, "--against", tree)
		})
	}
}

// withoutRecipients takes the recipients out of credentials.
func withoutRecipients(t *testing.T, name, recipient string) {
	t.Helper()
	text := readFile(t, name)
	cut := strings.Replace(text, "\"recipients\": [\n      \""+recipient+"\"\n    ],", "", 1)
	if cut == text {
		t.Fatalf("%s has no such recipients", name)
	}
	writeFile(t, name, cut)
}

// TestSOPSWrites: sops updates keys, rotates and sets values in our files, as in
// its own; and since the tree is rendered, the next run puts its own bytes back.
func TestSOPSWrites(t *testing.T) {
	second, two := examples.Identity("second")
	_, one := examples.Identity(examples.Phrase)
	r := newSOPSRun(t, "minimal")
	tree := filepath.Join(r.dir, "tree")
	r.holdfast(t, statusDone, "render", "-o", tree)
	name := secretFiles(t, tree)[0]
	rendered := readFile(t, name)
	decrypted := r.must(t, "decrypt", name)

	config := filepath.Join(r.dir, ".sops.yaml")
	writeFile(t, config, "creation_rules:\n  - age: "+one+","+two+"\n    encrypted_regex: ^(data|stringData)$\n")
	r.must(t, "--config", config, "updatekeys", "--yes", name)
	if got, err := r.run(second, "decrypt", name); err != nil || got != decrypted {
		t.Errorf("after updatekeys the new recipient reads %q, %v", got, err)
	}
	updated := readFile(t, name)
	r.must(t, "rotate", "--in-place", name)
	if readFile(t, name) == updated {
		t.Error("rotate changed nothing")
	}
	if got := r.must(t, "decrypt", name); got != decrypted {
		t.Errorf("after rotate: %s", got)
	}
	r.must(t, "set", name, `["data"]["password"]`, `"bmV3"`)
	if got := r.must(t, "decrypt", name); !strings.Contains(got, "password: bmV3\n") {
		t.Errorf("after set: %s", got)
	}
	r.holdfast(t, statusDiffers, "check", "--against", tree)
	r.holdfast(t, statusDone, "render", "-o", tree)
	if readFile(t, name) != rendered {
		t.Error("a second run gives other bytes")
	}
}

// TestSOPSValues takes values that are hard to carry through YAML, base64 and
// sops, of a field that may be as short as it likes.
func TestSOPSValues(t *testing.T) {
	for what, value := range map[string]string{
		"one character": "x", "UTF-8": "pässwörd ✓ 密码 \U0001F511", "quotes": `"'` + "`\\", "dollars": "${HOME}$(id)$$",
		"YAML": "- a: &b *c # d", "long": strings.Repeat("0123456789", 5000), "like sops": "ENC[AES256_GCM,data:x]",
	} {
		t.Run(what, func(t *testing.T) {
			r := newSOPSRun(t, "minimal")
			name := filepath.Join(r.dir, "inputs", "backup-credentials.json")
			text := readFile(t, name)
			quoted := fmt.Sprintf("%+q", value)
			if strings.ContainsRune(value, '\U0001F511') { // JSON knows no \U
				quoted = `"` + value + `"`
			}
			changed := strings.Replace(text, `"example-not-a-real-secret-shop"`, quoted, 1)
			if changed == text {
				t.Fatal("the key was not found")
			}
			writeFile(t, name, changed)
			tree := filepath.Join(r.dir, "tree")
			r.holdfast(t, statusDone, "render", "-o", tree)
			object := secretIn(t, r.must(t, "decrypt", secretFiles(t, tree)[0]))
			data, _ := object["data"].(map[string]any)
			got, err := base64.StdEncoding.DecodeString(fmt.Sprint(data["secret-access-key"]))
			if err != nil || string(got) != value {
				t.Errorf("%.100q became %.100q, %v", value, got, err)
			}
		})
	}
}
