package secrets_test

import (
	"encoding/json"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

// TestReadableTemplates: what makes a Secret takes its values from elsewhere.
func TestReadableTemplates(t *testing.T) {
	for _, test := range []struct {
		object   string
		readable bool
	}{
		{`{"kind": "SealedSecret", "spec": {"encryptedData": {"a": "x"}, "template": {"type": "Opaque"}}}`, false},
		{`{"kind": "SealedSecret", "spec": {"template": {"data": {"a": "hunter2"}}}}`, true},
		{`{"kind": "SealedSecret", "spec": {"template": {"stringData": {"a": "hunter2"}}}}`, true},
		{`{"kind": "SealedSecret", "spec": {"template": {"data": {"a": "u:{{ .password }}"}}}}`, false},
		{`{"kind": "ExternalSecret", "spec": {"target": {"template": {"data": {"a": "hunter2"}}}}}`, true},
		{`{"kind": "ExternalSecret", "spec": {"target": {"template": {"data": {"a": "{{ .a }}"}}}}}`, false},
		{`{"kind": "ClusterExternalSecret", "spec": {"externalSecretSpec": {"target": {"template": {"data": {"a": "hunter2"}}}}}}`, true},
	} {
		var value any
		if err := json.Unmarshal([]byte(test.object), &value); err != nil {
			t.Fatal(err)
		}
		if secrets.Readable(value) != test.readable {
			t.Errorf("%s: readable is not %t", test.object, test.readable)
		}
	}
}

// TestSecretsOwnAnnotations: no overlay has Flux or Argo CD prune a Secret.
func TestSecretsOwnAnnotations(t *testing.T) {
	const prune, sync = "kustomize.toolkit.fluxcd.io/prune", "argocd.argoproj.io/sync-options"
	head := secrets.Head(plan.Secret{Name: "a", Annotations: plan.Labels{prune: "enabled", sync: "Prune=true", "example.com/a": "b"}})
	found := head["annotations"].(map[string]any)
	if found[prune] != "disabled" || found[sync] != "Prune=false,Delete=false" || found["example.com/a"] != "b" {
		t.Errorf("found %v", found)
	}
}
