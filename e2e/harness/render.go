package harness

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/e2e/image"
	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

// Inputs are the documents of one instance, as JSON values. What a top-level key
// of State or Credentials does not say, Render says.
type Inputs struct{ State, Credentials, Policy map[string]any }

// Instance is a rendered instance.
type Instance struct {
	Plan *plan.Plan
	// Objects is every object of the tree, in its order.
	Objects []map[string]any
}

// Render renders an instance with everything but Inputs at its simplest: the
// instance "e2e" in the namespace "app", with credentials of a storage that does
// not exist unless Inputs name one.
func Render(t testing.TB, in Inputs) *Instance {
	t.Helper()
	i, err := render(in)
	if err != nil {
		t.Fatalf("rendering: %v", err)
	}
	return i
}

// noExports is a section kubernetes that exports nothing.
func noExports() map[string]any {
	const reason = "the test is about another source"
	return map[string]any{
		"exportSecrets": false, "exportNamespaceYaml": false, "exportClusterScoped": false,
		"reasons": map[string]any{"exportSecrets": reason, "exportNamespaceYaml": reason, "exportClusterScoped": reason},
	}
}

func render(in Inputs) (*Instance, error) {
	state := map[string]any{
		"schemaVersion": 1,
		"instanceId":    "e2e",
		"namespace":     "app",
		"cluster":       map[string]any{"name": "e2e", "managedControlPlane": true},
		"network":       map[string]any{"policyEngine": "none", "reason": "the tests have no pod network"},
		"kubernetes":    noExports(),
		"backup":        map[string]any{"enabled": true},
	}
	maps.Copy(state, in.State)
	credentials := map[string]any{
		"schemaVersion": 1,
		"instanceId":    state["instanceId"],
		"restic": map[string]any{
			"endpoint": "https://s3.example.test", "bucket": "e2e-restic", "prefix": "",
			"accessKeyId": "e2e-restic-access-key", "secretAccessKey": "e2e-restic-secret-key",
			"password": "e2e-restic-password",
		},
		"rclone": map[string]any{
			"endpoint": "https://s3.example.test", "bucket": "e2e-rclone", "prefix": "",
			"accessKeyId": "e2e-rclone-access-key", "secretAccessKey": "e2e-rclone-secret-key",
			"crypt": map[string]any{
				"password": "e2e-crypt-password", "password2": "e2e-crypt-salt", "passwordsAre": "plain",
				"filenameEncryption": "standard", "directoryNameEncryption": true,
			},
		},
	}
	maps.Copy(credentials, in.Credentials)
	documents := renderer.Inputs{}
	add := func(name string, value map[string]any) (input.Document, error) {
		data, err := json.Marshal(value)
		return input.Document{Name: name, Data: data}, err
	}
	s, err := add("runtime-state.json", state)
	c, err2 := add("backup-credentials.json", credentials)
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	documents.States, documents.Credentials = []input.Document{s}, []input.Document{c}
	if in.Policy != nil {
		p, err := add("policy.json", in.Policy)
		if err != nil {
			return nil, err
		}
		documents.Policy = &p
	}
	templates, err := image.Templates()
	if err != nil {
		return nil, err
	}
	r, err := renderer.New(templates)
	if err != nil {
		return nil, err
	}
	made, err := r.Render(documents, renderer.Options{Secrets: secrets.Plain})
	if err != nil {
		return nil, err
	}
	i := &Instance{Plan: made.Planned[0].Plan}
	for _, f := range made.Bundle.Files {
		if !strings.HasSuffix(f.Path, ".yaml") {
			continue
		}
		objects, err := yaml.Decode(f.Data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		i.Objects = append(i.Objects, objects...)
	}
	return i, nil
}

// Object returns an object of the tree, or nil.
func (i *Instance) Object(kind, namespace, name string) map[string]any {
	for _, o := range i.Objects {
		if o["kind"] == kind && text(o, "metadata", "namespace") == namespace && text(o, "metadata", "name") == name {
			return o
		}
	}
	return nil
}

// Kind returns every object of that kind, in the tree's order.
func (i *Instance) Kind(kind string) []map[string]any {
	var found []map[string]any
	for _, o := range i.Objects {
		if o["kind"] == kind {
			found = append(found, o)
		}
	}
	return found
}

// Unit returns the planned unit with that id.
func (i *Instance) Unit(t testing.TB, id string) *plan.Item {
	t.Helper()
	for u := range i.Plan.Units {
		if i.Plan.Units[u].ID == id {
			return &i.Plan.Units[u]
		}
	}
	var ids []string
	for _, u := range i.Plan.Units {
		ids = append(ids, u.ID)
	}
	t.Fatalf("no unit %q is planned, only %q", id, ids)
	return nil
}

// data is a ConfigMap's or Secret's content; nil when the tree has no such.
func (i *Instance) data(kind, namespace, name string) (map[string]string, error) {
	o := i.Object(kind, namespace, name)
	if o == nil {
		return nil, nil
	}
	content := map[string]string{}
	for key, value := range object(o, "data") {
		s, _ := value.(string)
		if kind == "Secret" {
			plain, err := base64.StdEncoding.DecodeString(s)
			if err != nil {
				return nil, fmt.Errorf("key %s of Secret %s: %w", key, name, err)
			}
			s = string(plain)
		}
		content[key] = s
	}
	for key, value := range object(o, "stringData") {
		content[key], _ = value.(string)
	}
	return content, nil
}

// at walks into plain JSON values; nil when there is nothing.
func at(value any, path ...string) any {
	for _, key := range path {
		m, _ := value.(map[string]any)
		value = m[key]
	}
	return value
}

func text(value any, path ...string) string {
	s, _ := at(value, path...).(string)
	return s
}

func object(value any, path ...string) map[string]any {
	m, _ := at(value, path...).(map[string]any)
	return m
}

func list(value any, path ...string) []map[string]any {
	items, _ := at(value, path...).([]any)
	var objects []map[string]any
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			objects = append(objects, m)
		}
	}
	return objects
}

// number reads a JSON number in whichever form the decoder chose.
func number(value any, path ...string) (int, bool) {
	switch n := at(value, path...).(type) {
	case int:
		return n, true
	case int64:
		return int(n), true
	case float64:
		return int(n), true
	case json.Number:
		v, err := n.Int64()
		return int(v), err == nil
	}
	return 0, false
}
