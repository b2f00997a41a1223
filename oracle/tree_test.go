package oracle

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

// manifested is one YAML document of a tree, as Kubernetes reads it.
type manifested struct {
	// id is file: Kind/namespace/name, for messages.
	id         string
	path       string
	apiVersion string
	kind       string
	name       string
	namespace  string
	// text is the document as JSON, value the same with whole numbers as int64.
	text  []byte
	value map[string]any
}

// tree is what one run renders.
type tree struct {
	files     []manifest.File
	documents []manifested
	plans     []*plan.Plan
}

// read reads the files' documents. Streams are cut by Kubernetes' own reader, not by
// ours.
func (x *tree) read(b manifest.Bundle) error {
	x.files = b.Files
	for _, f := range b.Files {
		if path.Ext(f.Path) != ".yaml" {
			continue
		}
		reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(f.Data)))
		for {
			text, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			d := manifested{path: f.Path}
			if d.text, err = yaml.YAMLToJSONStrict(text); err != nil {
				return err
			}
			if err := utiljson.Unmarshal(d.text, &d.value); err != nil {
				return err
			}
			metadata, _ := d.value["metadata"].(map[string]any)
			d.apiVersion, _ = d.value["apiVersion"].(string)
			d.kind, _ = d.value["kind"].(string)
			d.name, _ = metadata["name"].(string)
			d.namespace, _ = metadata["namespace"].(string)
			d.id = f.Path + ": " + d.kind + "/" + d.namespace + "/" + d.name
			x.documents = append(x.documents, d)
		}
	}
	return nil
}

// of lists the documents of an API group, by the start of their apiVersion.
func (x *tree) of(apiVersion, kind string) []manifested {
	var found []manifested
	for _, d := range x.documents {
		if strings.HasPrefix(d.apiVersion, apiVersion) && (kind == "" || d.kind == kind) {
			found = append(found, d)
		}
	}
	return found
}

// render renders everything, Secrets in plain text included.
func render(t *testing.T, c examples.Case) *tree {
	t.Helper()
	return renderSecrets(t, c, secrets.Plain)
}

// renderSecrets renders everything, Secrets in one of their ways.
func renderSecrets(t *testing.T, c examples.Case, secrets secrets.Mode) *tree {
	t.Helper()
	r, err := renderer.New(c.Templates)
	if err != nil {
		t.Fatal(err)
	}
	made, err := r.Render(c.Inputs, renderer.Options{Secrets: secrets})
	if err != nil {
		t.Fatal(err)
	}
	x := &tree{}
	if err := x.read(made.Bundle); err != nil {
		t.Fatal(err)
	}
	for _, p := range made.Planned {
		x.plans = append(x.plans, p.Plan)
	}
	return x
}

// eachTree runs a check over every example, and over variants of layout B that
// reach the rest of the templates: other policies, a CA of one's own, a volume
// that only root can read, an application that denies by default.
func eachTree(t *testing.T, check func(t *testing.T, x *tree)) {
	t.Helper()
	all, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 8 {
		t.Fatalf("only %d examples", len(all))
	}
	for _, c := range append(all, variants(t, all)...) {
		t.Run(c.Name, func(t *testing.T) {
			x := render(t, c)
			if len(x.plans) == 0 {
				t.Fatal("nothing is rendered")
			}
			check(t, x)
		})
	}
}

// variants are layout B, changed.
func variants(t *testing.T, all []examples.Case) []examples.Case {
	t.Helper()
	at := slices.IndexFunc(all, func(c examples.Case) bool { return c.Name == "layout-b" })
	if at < 0 {
		t.Fatal("there is no example layout-b")
	}
	const pem = "-----BEGIN CERTIFICATE-----\nZXhhbXBsZQ==\n-----END CERTIFICATE-----\n"
	tests := []struct {
		name   string
		change func(state, credentials map[string]any)
	}{
		{name: "cilium", change: func(state, _ map[string]any) {
			state["network"].(map[string]any)["policyEngine"] = "cilium"
			delete(state["network"].(map[string]any), "endpoints")
		}},
		{name: "own CA", change: func(_, credentials map[string]any) {
			credentials["restic"].(map[string]any)["caPem"] = pem
			credentials["rclone"].(map[string]any)["caPem"] = pem
		}},
		{name: "root volume", change: func(state, _ map[string]any) {
			for _, v := range state["volumes"].([]any) {
				if volume := v.(map[string]any); volume["backup"] != "skip" {
					delete(volume, "owners")
					volume["owner"] = map[string]any{"uid": 0, "gid": 0}
					volume["runAsRoot"] = map[string]any{"reason": "the application writes its private files as root"}
					return
				}
			}
		}},
		{name: "deny by default", change: func(state, _ map[string]any) {
			state["network"].(map[string]any)["defaultDenyIngress"] = true
		}},
	}
	var changed []examples.Case
	for _, tt := range tests {
		state, credentials := object(t, all[at].Inputs.States[0]), object(t, all[at].Inputs.Credentials[0])
		tt.change(state, credentials)
		changed = append(changed, examples.Case{
			Name:      "layout-b with " + tt.name,
			Templates: all[at].Templates,
			Inputs: renderer.Inputs{
				States:      []input.Document{document(t, "runtime-state.json", state)},
				Credentials: []input.Document{document(t, "backup-credentials.json", credentials)},
			},
		})
	}
	return changed
}

func object(t *testing.T, d input.Document) map[string]any {
	t.Helper()
	var value map[string]any
	if err := json.Unmarshal(d.Data, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

func document(t *testing.T, name string, value map[string]any) input.Document {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return input.Document{Name: name, Data: data}
}

// TestEveryKindHasAnOracle keeps the other tests complete: each kind that a tree may hold
// is read by one of them, and stands in a tree that they read.
func TestEveryKindHasAnOracle(t *testing.T) {
	core, k8up := scheme(t), definitions(t)
	others := []string{
		"kustomize.toolkit.fluxcd.io/v1 Kustomization", // TestFluxKustomizations
		"cilium.io/v2 CiliumNetworkPolicy",             // TestCiliumPolicies
		"external-secrets.io/v1 ExternalSecret",        // TestExternalSecrets
		"bitnami.com/v1alpha1 SealedSecret",            // TestSealedSecrets
	}
	// These are made in modes of their own, whose tests fail when there is none.
	seen := map[string]bool{others[2]: true, others[3]: true}
	for _, k := range manifest.Kinds() {
		_, ofK8up := k8up[k.Kind]
		switch name := k.APIVersion + " " + k.Kind; {
		case core.Recognizes(schema.FromAPIVersionAndKind(k.APIVersion, k.Kind)):
			if !slices.Contains(coreVersions, k.APIVersion) {
				t.Errorf("%s: TestCoreObjectsDecodeStrictly passes over it", name)
			}
		case k.APIVersion == "k8up.io/v1" && ofK8up:
		case slices.Contains(others, name):
		default:
			t.Errorf("%s: no test reads it", name)
		}
	}
	eachTree(t, func(t *testing.T, x *tree) {
		for _, d := range x.documents {
			// kustomization.yaml is kustomize's own, see TestKustomizeListsEveryFile.
			if d.apiVersion == "kustomize.config.k8s.io/v1beta1" && path.Base(d.path) == "kustomization.yaml" {
				continue
			}
			seen[d.apiVersion+" "+d.kind] = true
			if _, known := manifest.KindOf(manifest.Object{Value: d.value}); !known {
				t.Errorf("%s: is not in the table", d.id)
			}
		}
	})
	for _, k := range manifest.Kinds() {
		if !seen[k.APIVersion+" "+k.Kind] {
			t.Errorf("%s %s: no tree has one", k.APIVersion, k.Kind)
		}
	}
}
