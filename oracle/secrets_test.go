package oracle

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	ssv1alpha1 "github.com/bitnami-labs/sealed-secrets/pkg/apis/sealedsecrets/v1alpha1"
	"github.com/fluxcd/pkg/envsubst"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

// sealedSecrets and externalSecrets are the releases whose definitions are read;
// see k8up.
const (
	sealedSecrets      = "github.com/bitnami-labs/sealed-secrets@v0.36.0"
	sealedSecretsSum   = "h1:UIAXiGdZJVanVLuAxz6jaQR/WQ6p04ZDdzrBu4FZHiU="
	externalSecrets    = "github.com/external-secrets/external-secrets@v1.3.2"
	externalSecretsSum = "h1:u2J8RjlHIeF0oZCqtl92adI/uZWUwOesJIDkfql6LqQ="
)

// sopsTool finds the program that hack/setup.sh installs.
func sopsTool(t *testing.T) string {
	t.Helper()
	if found, err := exec.LookPath("sops"); err == nil {
		return found
	}
	found, err := filepath.Abs(filepath.Join("..", ".cache", "tools", "sops"))
	if err == nil {
		_, err = os.Stat(found)
	}
	if err != nil {
		t.Fatal("sops is missing, and this test is about it: make setup")
	}
	return found
}

// expectedSecrets are the values that each Secret must have in the end, by
// namespace/name.
func expectedSecrets(t *testing.T, c examples.Case) map[string]map[string][]byte {
	t.Helper()
	all := map[string]map[string][]byte{}
	for _, d := range render(t, c).of("v1", "Secret") {
		var s corev1.Secret
		if err := yaml.UnmarshalStrict(d.text, &s); err != nil {
			t.Fatal(err)
		}
		values := map[string][]byte{}
		for key, value := range s.StringData {
			values[key] = []byte(value)
		}
		all[s.Namespace+"/"+s.Name] = values
	}
	return all
}

// eachCase runs a check over every example with Secrets. Those with recipients
// of their own get the examples'.
func eachCase(t *testing.T, check func(t *testing.T, c examples.Case)) {
	t.Helper()
	all, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	_, recipient := examples.Identity(examples.Phrase)
	ran := 0
	for _, c := range all {
		c.Inputs.Credentials = slices.Clone(c.Inputs.Credentials)
		for i, d := range c.Inputs.Credentials {
			credentials := object(t, d)
			credentials["git"].(map[string]any)["recipients"] = []any{recipient}
			c.Inputs.Credentials[i] = document(t, d.Name, credentials)
		}
		if len(expectedSecrets(t, c)) == 0 {
			continue
		}
		ran++
		t.Run(c.Name, func(t *testing.T) { check(t, c) })
	}
	if ran < 6 {
		t.Errorf("only %d examples with Secrets", ran)
	}
}

// build runs kustomize over a folder of the tree, through an overlay of the
// user's with a prefix, as Flux does.
func build(t *testing.T, x *tree, folder string) resmap.ResMap {
	t.Helper()
	files := filesys.MakeFsInMemory()
	write := func(name string, data []byte) {
		if err := files.WriteFile(name, data); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range x.files {
		if strings.HasPrefix(f.Path, folder+"/") {
			write("/tree/"+f.Path, f.Data)
		}
	}
	write("/overlay/kustomization.yaml", []byte("resources: [../tree/"+folder+"]\nnamePrefix: my-\nlabels: [{pairs: {team: backup}}]\n"))
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, "/overlay")
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// TestFluxDecrypts replays what Flux's kustomize-controller 1.9.6 does with each
// built object (internal/decryptor): one that has sops.mac goes as JSON, whose
// keys are sorted, through sops' JSON store; the checksum, which goes by the
// order of keys, is not looked at. Then it substitutes variables, and the API
// server decodes.
func TestFluxDecrypts(t *testing.T) {
	sops := sopsTool(t)
	identity, _ := examples.Identity(examples.Phrase)
	s := scheme(t)
	eachCase(t, func(t *testing.T, c examples.Case) {
		want := expectedSecrets(t, c)
		x := renderSecrets(t, c, secrets.SOPS)
		found := map[string]bool{}
		for _, p := range x.plans {
			for _, stage := range []string{"repository", "backup"} {
				if !slices.ContainsFunc(p.Secrets, func(s plan.Secret) bool { return strings.HasPrefix(s.File, p.Instance+"/"+stage+"/") }) {
					continue
				}
				for _, resource := range build(t, x, p.Instance+"/"+stage).Resources() {
					if resource.GetKind() != "Secret" {
						continue
					}
					text, err := resource.MarshalJSON()
					if err != nil {
						t.Fatal(err)
					}
					var built struct{ Sops struct{ Mac string } }
					if err := json.Unmarshal(text, &built); err != nil || built.Sops.Mac == "" {
						t.Errorf("%s: Flux would not decrypt it: %v", resource.GetName(), err)
						continue
					}
					cmd := exec.Command(sops, "decrypt", "--ignore-mac", "--input-type", "json", "--output-type", "json", "/dev/stdin")
					cmd.Env = []string{"SOPS_AGE_KEY=" + identity, "HOME=" + t.TempDir()}
					var out, problems bytes.Buffer
					cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), &out, &problems
					if err := cmd.Run(); err != nil {
						t.Fatalf("%s: %v\n%s", resource.GetName(), err, problems.String())
					}
					substituted := substitute(t, out.Bytes())
					decoded, err := strict(s, substituted)
					if err != nil {
						t.Fatalf("%s: %v", resource.GetName(), err)
					}
					secret := decoded.(*corev1.Secret)
					id := secret.Namespace + "/" + strings.TrimPrefix(secret.Name, "my-")
					if !reflect.DeepEqual(secret.Data, want[id]) {
						t.Errorf("%s: other values in the end", id)
					}
					if secret.Labels["team"] != "backup" || secret.Type != corev1.SecretTypeOpaque || len(secret.StringData) > 0 {
						t.Errorf("%s: %v, %s", id, secret.Labels, secret.Type)
					}
					found[id] = true
				}
			}
		}
		if len(found) != len(want) {
			t.Errorf("%d Secrets arrive, expected %d", len(found), len(want))
		}
	})
}

// substitute is what Flux does after decrypting, as if nobody had disabled it:
// every variable is one that somebody has set.
func substitute(t *testing.T, text []byte) []byte {
	t.Helper()
	out, err := envsubst.Eval(string(text), func(string) (string, bool) { return "SUBSTITUTED", true })
	if err != nil {
		t.Fatal(err)
	}
	return []byte(out)
}

// TestSubstitutionIsDangerous: the replay above would see a value that Flux
// changes.
func TestSubstitutionIsDangerous(t *testing.T) {
	if got := string(substitute(t, []byte(`{"stringData": {"a": "${HOME}"}}`))); !strings.Contains(got, "SUBSTITUTED") {
		t.Errorf("substituted to %s", got)
	}
}

// TestSubstitutionCannotTouchValues: values full of variables.
func TestSubstitutionCannotTouchValues(t *testing.T) {
	all, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	c := all[slices.IndexFunc(all, func(c examples.Case) bool { return c.Name == "minimal" })]
	const password = "a${HOME}b$$c${d:-e}"
	credentials := object(t, c.Inputs.Credentials[0])
	credentials["restic"].(map[string]any)["password"] = password
	c.Inputs.Credentials = []input.Document{document(t, "backup-credentials.json", credentials)}
	for _, d := range renderSecrets(t, c, secrets.SOPS).of("v1", "Secret") {
		file := filepath.Join(t.TempDir(), "secret.json")
		if err := os.WriteFile(file, d.text, 0o600); err != nil {
			t.Fatal(err)
		}
		identity, _ := examples.Identity(examples.Phrase)
		cmd := exec.Command(sopsTool(t), "decrypt", "--ignore-mac", file)
		cmd.Env = []string{"SOPS_AGE_KEY=" + identity, "HOME=" + t.TempDir()}
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		// The annotation is not even looked at.
		decoded, err := strict(scheme(t), substitute(t, out))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(decoded.(*corev1.Secret).Data["password"]); got != password {
			t.Errorf("%q became %q", password, got)
		}
	}
}

// TestSealedSecrets lets the controller's own code unseal what we sealed: to the
// same Secret, under its own name only.
func TestSealedSecrets(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 4096)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := &input.Document{Name: "certificate.pem", Data: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	all := definitionsIn(t, filepath.Join(moduleFolder(t, sealedSecrets, sealedSecretsSum), "helm", "sealed-secrets", "crds", "*.yaml"), "v1alpha1")
	codecs := serializer.NewCodecFactory(runtime.NewScheme())
	keys := map[string]*rsa.PrivateKey{"one": key}
	eachCase(t, func(t *testing.T, c examples.Case) {
		want := expectedSecrets(t, c)
		c.Inputs.Certificate = certificate
		found := renderSecrets(t, c, secrets.Sealed).of("bitnami.com/v1alpha1", "SealedSecret")
		if len(found) != len(want) {
			t.Errorf("%d SealedSecrets, expected %d", len(found), len(want))
		}
		for _, d := range found {
			for _, wrong := range all["SealedSecret"].judge(d.value) {
				t.Errorf("%s: %s", d.id, wrong)
			}
			var sealed ssv1alpha1.SealedSecret
			if err := yaml.UnmarshalStrict(d.text, &sealed); err != nil {
				t.Fatalf("%s: %v", d.id, err)
			}
			if sealed.Scope() != ssv1alpha1.StrictScope {
				t.Errorf("%s: the scope is not strict", d.id)
			}
			secret, err := sealed.Unseal(codecs, keys)
			if err != nil {
				t.Fatalf("%s: %v", d.id, err)
			}
			if secret.Namespace != d.namespace || secret.Name != d.name || secret.Type != corev1.SecretTypeOpaque || secret.Labels["app.kubernetes.io/managed-by"] != "holdfast" {
				t.Errorf("%s: unseals to %s/%s, %s, %v", d.id, secret.Namespace, secret.Name, secret.Type, secret.Labels)
			}
			if !reflect.DeepEqual(secret.Data, want[d.namespace+"/"+d.name]) {
				t.Errorf("%s: unseals to other values", d.id)
			}
			sealed.Name = "another"
			if _, err := sealed.Unseal(codecs, keys); err == nil {
				t.Errorf("%s: unseals under another name", d.id)
			}
		}
	})
}

// TestExternalSecrets holds the references against the operator's definition.
func TestExternalSecrets(t *testing.T) {
	all := definitionsIn(t, filepath.Join(moduleFolder(t, externalSecrets, externalSecretsSum), "config", "crds", "bases", "external-secrets.io_externalsecrets.yaml"), "v1")
	if len(all["ExternalSecret"].judge(map[string]any{"spec": map[string]any{"secretStoreRef": map[string]any{"kind": "Store"}, "data": []any{map[string]any{"secretKey": "a"}}}})) < 2 {
		t.Fatal("the definition sees nothing")
	}
	eachCase(t, func(t *testing.T, c examples.Case) {
		want := expectedSecrets(t, c)
		policy := map[string]any{"schemaVersion": 1}
		if c.Inputs.Policy != nil {
			policy = object(t, *c.Inputs.Policy)
		}
		fields := map[string]any{}
		for _, field := range []string{"restic.accessKeyId", "restic.secretAccessKey", "restic.password", "rclone.accessKeyId", "rclone.secretAccessKey",
			"rclone.crypt.password", "rclone.crypt.password2", "secretsManager.username", "secretsManager.password"} {
			fields[field] = map[string]any{"key": "{instance}/" + path.Base(field)}
		}
		policy["externalSecrets"] = map[string]any{"store": map[string]any{"kind": "SecretStore", "name": "vault"}, "fields": fields, "refreshInterval": "30m"}
		written := document(t, "policy.json", policy)
		c.Inputs.Policy = &written
		found := renderSecrets(t, c, secrets.External).of("external-secrets.io/v1", "ExternalSecret")
		if len(found) != len(want) {
			t.Errorf("%d ExternalSecrets, expected %d", len(found), len(want))
		}
		for _, d := range found {
			for _, wrong := range all["ExternalSecret"].judge(d.value) {
				t.Errorf("%s: %s", d.id, wrong)
			}
			spec, _ := d.value["spec"].(map[string]any)
			keys := map[string]bool{}
			for _, entry := range spec["data"].([]any) {
				key, _ := entry.(map[string]any)["secretKey"].(string)
				keys[key] = true
			}
			for key := range want[d.namespace+"/"+d.name] {
				if !keys[key] {
					t.Errorf("%s: has no %s", d.id, key)
				}
			}
		}
	})
}

// TestEncryptedSecretsAreNoObjects: a reader of the tree that does not decrypt
// must notice. Base64 that is no base64 is refused, and so is the field sops.
func TestEncryptedSecretsAreNoObjects(t *testing.T) {
	s := scheme(t)
	eachCase(t, func(t *testing.T, c examples.Case) {
		for _, d := range renderSecrets(t, c, secrets.SOPS).of("v1", "Secret") {
			if _, err := strict(s, d.text); err == nil {
				t.Errorf("%s: passes for a Secret with %s", d.id, base64.StdEncoding.EncodeToString(d.text[:12]))
			}
		}
	})
}
