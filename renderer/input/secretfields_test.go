package input

import (
	"slices"
	"testing"
)

// TestSecretFields: a field is secret wherever a schema marks it, also within a
// branch of it and in a definition.
func TestSecretFields(t *testing.T) {
	t.Parallel()
	fields := SecretFields()
	for _, name := range []string{"password", "secretAccessKey", "renderKey", "accessKeyId"} {
		if !slices.Contains(fields, name) {
			t.Errorf("%s is not among %v", name, fields)
		}
	}
	for _, name := range []string{"bucket", "endpoint", "passwordRef"} {
		if slices.Contains(fields, name) {
			t.Errorf("%s is no secret", name)
		}
	}
	found := map[string]bool{}
	secretFields("", map[string]any{
		"$defs":      map[string]any{"pin": map[string]any{"x-secret": true}},
		"properties": map[string]any{"token": map[string]any{"anyOf": []any{map[string]any{"type": "null"}, map[string]any{"x-secret": true}}}},
	}, found)
	if !found["pin"] || !found["token"] || len(found) != 2 {
		t.Errorf("found %v", found)
	}
}
