package renderer_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	mathrand "math/rand/v2"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

// Recipients of tests, sorted; nothing here decrypts.
const (
	recipientOne = "age1h9qen6fcczjffwvuracxsnlfe9vvdy542m007x06m4ju225ssqcsx97hpt"
	recipientTwo = "age1yc4tdsz62kxl6d5hhq6gyk604z6vqa7ucngcdp0460gl7exum43qpxd3w2"
)

// certificateOf makes a controller's certificate.
func certificateOf(t *testing.T) *input.Document {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)}
	data, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &input.Document{Name: "certificate.pem", Data: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: data})}
}

// change edits a document as decoded JSON.
func change(t *testing.T, d input.Document, edit func(map[string]any)) input.Document {
	t.Helper()
	var value map[string]any
	if err := json.Unmarshal(d.Data, &value); err != nil {
		t.Fatal(err)
	}
	edit(value)
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return input.Document{Name: d.Name, Data: data}
}

// setAt puts a value at a dotted path, if there is one.
func setAt(value map[string]any, dotted string, to any) bool {
	keys := strings.Split(dotted, ".")
	for _, key := range keys[:len(keys)-1] {
		below, ok := value[key].(map[string]any)
		if !ok {
			return false
		}
		value = below
	}
	last := keys[len(keys)-1]
	if _, set := value[last]; !set {
		return false
	}
	value[last] = to
	return true
}

// external gives inputs a policy that names a store for every secret field, and
// takes the values out of the credentials.
func external(t *testing.T, in renderer.Inputs) renderer.Inputs {
	t.Helper()
	fields := map[string]any{}
	for _, field := range secretFields(t) {
		if name := strings.Join(field, "."); name != "git.renderKey" {
			fields[name] = map[string]any{"key": "backup/{instance}/" + field[0], "property": field[len(field)-1]}
		}
	}
	policy := input.Document{Name: "policy.json", Data: []byte(`{"schemaVersion": 1}`)}
	if in.Policy != nil {
		policy = *in.Policy
	}
	policy = change(t, policy, func(p map[string]any) {
		p["externalSecrets"] = map[string]any{"store": map[string]any{"kind": "ClusterSecretStore", "name": "vault"}, "fields": fields}
	})
	in.Policy = &policy
	in.Credentials = slices.Clone(in.Credentials)
	for i, d := range in.Credentials {
		in.Credentials[i] = change(t, d, func(c map[string]any) {
			for name := range fields {
				setAt(c, name, nil)
			}
			delete(c, "git") // needless, too
		})
	}
	return in
}

// TestSecretsModes renders every example in each way in which a tree may go to
// Git, with random credentials: the same files as in plain text, one for each
// Secret, and no value in any of them.
func TestSecretsModes(t *testing.T) {
	t.Parallel()
	certificate := certificateOf(t)
	random := mathrand.New(mathrand.NewPCG(3, 3))
	kinds := map[secrets.Mode]string{secrets.SOPS: "Secret", secrets.External: "ExternalSecret", secrets.Sealed: "SealedSecret"}
	eachExample(t, func(t *testing.T, r *renderer.Renderer, c examples.Case) {
		in, known := randomCredentials(t, random, c.Inputs)
		in.Certificate = certificate
		plain := render(t, r, in, secrets.Plain)
		for mode, kind := range kinds {
			given := in
			if mode == secrets.External {
				given = external(t, in)
			}
			x := render(t, r, given, mode)
			if !slices.Equal(names(x.files), names(plain.files)) {
				t.Errorf("%s: files %v, in plain text %v", mode, names(x.files), names(plain.files))
			}
			for _, f := range x.files {
				if f.Secret {
					t.Errorf("%s: %s passes for plain text", mode, f.Path)
				}
				for secret := range known {
					if holds(f.Data, secret) {
						t.Errorf("%s: a secret stands in %s", mode, f.Path)
					}
				}
			}
			for _, p := range x.planned {
				for _, s := range p.Plan.Secrets {
					var found []manifest.Object
					for _, o := range x.objects {
						if o.Path == s.File {
							found = append(found, o)
						}
					}
					if len(found) != 1 || found[0].ID() != kind+"/"+s.Namespace+"/"+s.Name {
						t.Errorf("%s: %s holds %d objects, expected %s %s/%s alone", mode, s.File, len(found), kind, s.Namespace, s.Name)
						continue
					}
					guarded(t, mode, found[0])
				}
			}
			othersEqual(t, mode, x, plain)
		}
	})
}

// guarded checks what Flux must not do to what stands for a Secret.
func guarded(t *testing.T, mode secrets.Mode, o manifest.Object) {
	t.Helper()
	metadata, _ := o.Value["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	for _, what := range []string{"prune", "substitute"} {
		if annotations["kustomize.toolkit.fluxcd.io/"+what] != "disabled" {
			t.Errorf("%s: %s: %s is not disabled", mode, o.Path, what)
		}
	}
	text, err := json.Marshal(o.Value)
	if err != nil {
		t.Fatal(err)
	}
	// Of the metadata of SOPS only the expression has one, at its end.
	if strings.Contains(strings.ReplaceAll(string(text), `"^(data|stringData)$"`, ""), "$") {
		t.Errorf("%s: %s has a $, which Flux may take for a variable", mode, o.Path)
	}
}

// othersEqual checks that all files but those of Secrets are as in plain text;
// only the decryption goes when there is nothing to decrypt.
func othersEqual(t *testing.T, mode secrets.Mode, x, plain rendered) {
	t.Helper()
	secret := map[string]bool{}
	for _, p := range plain.planned {
		for _, s := range p.Plan.Secrets {
			secret[s.File] = true
		}
	}
	for i, f := range x.files {
		was, now := string(plain.files[i].Data), string(f.Data)
		switch path.Base(f.Path) {
		case "flux.yaml":
			decryption := regexp.MustCompile(`(?m)^  decryption:\n(    .*\n)+`)
			if mode != secrets.SOPS {
				if !decryption.MatchString(was) {
					t.Errorf("%s: in plain text there is no decryption", f.Path)
				}
				was = decryption.ReplaceAllString(was, "")
			}
		case "plan.json":
			if mode == secrets.External {
				continue // it says where the values are
			}
		}
		if !secret[f.Path] && was != now {
			t.Errorf("%s: %s differs from %s", mode, f.Path, firstDifference([]byte(now), []byte(was)))
		}
	}
}

// TestSecretsChangeAlone changes one field of the credentials: the Secrets that
// hold it change in all their values, and no other file changes at all.
func TestSecretsChangeAlone(t *testing.T) {
	t.Parallel()
	value := regexp.MustCompile(`(ENC\[[^\]]*\]|[A-Za-z0-9+/=]{200,})`)
	all, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	c := all[slices.IndexFunc(all, func(c examples.Case) bool { return c.Name == "layout-b" })]
	r := builtinRenderer(t)
	in := c.Inputs
	in.Certificate = certificateOf(t)
	for _, mode := range []secrets.Mode{secrets.SOPS, secrets.Sealed} {
		before := render(t, r, in, mode)
		for _, field := range []string{"restic.password", "rclone.crypt.password2", "secretsManager.username"} {
			changed := in
			changed.Credentials = []input.Document{change(t, in.Credentials[0], func(c map[string]any) {
				if !setAt(c, field, "another value, a new one") {
					t.Fatalf("there is no %s", field)
				}
			})}
			holders := map[string]bool{}
			for _, s := range before.planned[0].Plan.Secrets {
				if slices.ContainsFunc(s.Keys, func(k plan.SecretKey) bool { return k.Field == field }) {
					holders[s.File] = true
				}
			}
			if len(holders) == 0 {
				t.Errorf("no Secret holds %s", field)
			}
			for i, f := range render(t, r, changed, mode).files {
				was := string(before.files[i].Data)
				if holders[f.Path] == (was == string(f.Data)) {
					t.Errorf("%s: %s: changed is %v, after %s", mode, f.Path, was != string(f.Data), field)
				}
				if !holders[f.Path] {
					continue
				}
				values := value.FindAllString(was, -1)
				if len(values) < 2 {
					t.Fatalf("%s has no values:\n%s", f.Path, was)
				}
				for _, v := range values {
					if strings.Contains(string(f.Data), v) {
						t.Errorf("%s: %s keeps %.60s…, after %s", mode, f.Path, v, field)
					}
				}
			}
		}
	}
}

// TestSOPSConfig: the first rule whose expression matches the path from the
// folder of the .sops.yaml is a file's, as sops has it.
func TestSOPSConfig(t *testing.T) {
	t.Parallel()
	all, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	c := all[slices.IndexFunc(all, func(c examples.Case) bool { return c.Name == "layout-b" })]
	r := builtinRenderer(t)
	in := c.Inputs
	in.Credentials = []input.Document{change(t, in.Credentials[0], func(c map[string]any) {
		delete(c["git"].(map[string]any), "recipients")
	})}
	const encrypted = "    encrypted_regex: ^(data|stringData)$\n"
	for name, test := range map[string]struct {
		config, tree       string
		repository, backup []string
	}{
		"one for all": {config: "creation_rules:\n  - age: " + recipientOne + "\n" + encrypted,
			repository: []string{recipientOne}, backup: []string{recipientOne}},
		"several, as a text": {config: "creation_rules:\n  - age: '" + recipientTwo + ", " + recipientOne + ",'\n" + encrypted,
			repository: []string{recipientOne, recipientTwo}, backup: []string{recipientOne, recipientTwo}},
		"several, as a list": {config: "creation_rules:\n  - age: [" + recipientTwo + ", " + recipientOne + "]\n" + encrypted,
			repository: []string{recipientOne, recipientTwo}, backup: []string{recipientOne, recipientTwo}},
		"a key group": {config: "creation_rules:\n  - key_groups: [{age: [" + recipientTwo + "]}]\n" + encrypted,
			repository: []string{recipientTwo}, backup: []string{recipientTwo}},
		"by path": {tree: "clusters/prod", config: "creation_rules:\n" +
			"  - path_regex: ^apps/\n    pgp: 0000\n" +
			"  - path_regex: ^clusters/prod/[^/]+/repository/.*\\.yaml$\n    age: " + recipientOne + "\n" + encrypted +
			"  - path_regex: clusters/\n    age: " + recipientTwo + "\n" + encrypted +
			"  - age: " + recipientOne + "\n" + encrypted,
			repository: []string{recipientOne}, backup: []string{recipientTwo}},
		"the first wins": {config: "creation_rules:\n  - path_regex: repository\n    age: " + recipientTwo + "\n" + encrypted + "  - path_regex: .*\n    age: " + recipientOne + "\n" + encrypted,
			repository: []string{recipientTwo}, backup: []string{recipientOne}},
		"an expression of one's own": {config: "creation_rules:\n  - age: " + recipientOne + "\n    encrypted_regex: ^data\n    pgp: \"\"\n    mac_only_encrypted: false\n    shamir_threshold: 0\nstores: {yaml: {indent: 2}}\ndestination_rules: []\n",
			repository: []string{recipientOne}, backup: []string{recipientOne}},
	} {
		t.Run(name, func(t *testing.T) {
			in := in
			in.SOPSConfig, in.TreePath = &input.Document{Name: ".sops.yaml", Data: []byte(test.config)}, test.tree
			x := render(t, r, in, secrets.SOPS)
			for _, s := range x.planned[0].Plan.Secrets {
				want := test.backup
				if strings.Contains(s.File, "/repository/") {
					want = test.repository
				}
				if got := recipientsOf(t, x, s.File); !slices.Equal(got, want) {
					t.Errorf("%s is for %v, want %v", s.File, got, want)
				}
			}
		})
	}
}

// recipientsOf reads for whom a file is encrypted.
func recipientsOf(t *testing.T, x rendered, file string) []string {
	t.Helper()
	at := slices.IndexFunc(x.objects, func(o manifest.Object) bool { return o.Path == file })
	if at < 0 {
		t.Fatalf("there is no %s", file)
	}
	sops, _ := x.objects[at].Value["sops"].(map[string]any)
	entries, _ := sops["age"].([]any)
	var recipients []string
	for _, entry := range entries {
		recipients = append(recipients, fmt.Sprint(entry.(map[string]any)["recipient"]))
	}
	slices.Sort(recipients)
	return recipients
}

// TestExternalSecret has the whole of one object. A state without a policy's word names
// its own store and entries.
func TestExternalSecret(t *testing.T) {
	t.Parallel()
	all, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	c := all[slices.IndexFunc(all, func(c examples.Case) bool { return c.Name == "minimal" })]
	in := external(t, c.Inputs)
	var asked map[string]any
	policy := change(t, *in.Policy, func(p map[string]any) {
		asked, _ = p["externalSecrets"].(map[string]any)
		delete(p, "externalSecrets")
	})
	in.Policy = &policy
	asked["store"] = map[string]any{"kind": "SecretStore", "name": "own"}
	asked["fields"].(map[string]any)["restic.password"] = map[string]any{"key": "shop-password"}
	in.States = []input.Document{change(t, in.States[0], func(s map[string]any) {
		s["backup"].(map[string]any)["externalSecrets"] = asked
	})}
	x := render(t, builtinRenderer(t), in, secrets.External)
	at := slices.IndexFunc(x.objects, func(o manifest.Object) bool { return o.Kind() == "ExternalSecret" })
	if at < 0 {
		t.Fatal("there is no ExternalSecret")
	}
	labels := map[string]any{"app.kubernetes.io/managed-by": "holdfast", "holdfast.dev/instance": "shop"}
	entry := func(key, property string) map[string]any {
		return map[string]any{"key": key, "property": property}
	}
	want := map[string]any{
		"apiVersion": "external-secrets.io/v1",
		"kind":       "ExternalSecret",
		"metadata": map[string]any{"name": "shop-restic", "namespace": "shop", "labels": labels, "annotations": map[string]any{
			"argocd.argoproj.io/sync-options": "Prune=false,Delete=false", "argocd.argoproj.io/sync-wave": "-1",
			"kustomize.toolkit.fluxcd.io/prune": "disabled", "kustomize.toolkit.fluxcd.io/substitute": "disabled",
		}},
		"spec": map[string]any{
			"refreshInterval": "1h",
			"secretStoreRef":  map[string]any{"kind": "SecretStore", "name": "own"},
			"target": map[string]any{
				"name": "shop-restic", "creationPolicy": "Owner", "deletionPolicy": "Retain",
				"template": map[string]any{"type": "Opaque", "metadata": map[string]any{"labels": labels}},
			},
			"data": []any{
				map[string]any{"secretKey": "access-key-id", "remoteRef": entry("backup/shop/restic", "accessKeyId")},
				map[string]any{"secretKey": "password", "remoteRef": map[string]any{"key": "shop-password"}},
				map[string]any{"secretKey": "secret-access-key", "remoteRef": entry("backup/shop/restic", "secretAccessKey")},
			},
		},
	}
	if got := x.objects[at].Value; !reflect.DeepEqual(got, want) {
		a, _ := json.MarshalIndent(got, "", " ")
		b, _ := json.MarshalIndent(want, "", " ")
		t.Errorf("differs from %s", firstDifference(a, b))
	}
}

// TestSecretsNames: the command line's words and the modes are the same.
func TestSecretsNames(t *testing.T) {
	t.Parallel()
	want := map[string]secrets.Mode{"omit": secrets.Omit, "plain": secrets.Plain, "sops": secrets.SOPS, "external": secrets.External, "sealed": secrets.Sealed}
	got := map[string]secrets.Mode{}
	for _, name := range secrets.Modes() {
		mode, known := secrets.ParseMode(name)
		if !known || mode.String() != name {
			t.Errorf("%s is %v", name, mode)
		}
		got[name] = mode
	}
	if !maps.Equal(got, want) {
		t.Errorf("modes %v, want %v", got, want)
	}
	if _, known := secrets.ParseMode("Plain"); known {
		t.Error("a mode in capitals is known")
	}
}
