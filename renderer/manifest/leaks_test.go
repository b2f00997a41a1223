package manifest_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/templates"
)

// TestLeaks: a secret value is found in what is no Secret, in any form, however the
// manifest's writer would quote it; and no name is.
func TestLeaks(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"an-ordinary-value", `with "quotes" and \backslash`, "a no-break\u00a0space in it", "<html> & more of it", "it's in $HOME/there",
	} {
		c := credentials(t, value, "shop-backup")
		inJSON, err := json.Marshal(map[string]string{"config": value})
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{
			"raw": value, "JSON": string(inJSON), "base64": base64.StdEncoding.EncodeToString([]byte("user:" + value)), "base64url": base64.RawURLEncoding.EncodeToString([]byte("x" + value)),
			"URL": url.QueryEscape(value), "hex": fmt.Sprintf("%x", value), "one line": strings.TrimSpace(strings.Split(value, "\n")[0]), "longer": strings.Repeat("before ", 9) + value,
		} {
			for where, object := range map[string]map[string]any{
				"a value": {"data": map[string]any{"x": text}}, "a key": {"data": map[string]any{text: "x"}}, "a list": {"spec": []any{map[string]any{"args": []any{"sh", text}}}},
			} {
				problems := manifest.Leaks([]manifest.Object{{Path: "shop/backup/a.yaml", Value: object}}, nil, c)
				if len(problems) != 1 || problems[0].Rule != "HF415" || problems[0].Pointer != "/restic/password" || !strings.HasSuffix(problems[0].Message, ": shop/backup/a.yaml") {
					t.Errorf("%s of %q in %s: %v", name, value, where, problems)
				}
				for _, p := range problems {
					if strings.Contains(p.String(), value) {
						t.Errorf("the message has the value: %v", p)
					}
				}
			}
		}
		// Files that are made of no object; and those that are Secrets.
		files := []manifest.File{{Path: "shop/plan.json", Data: inJSON}, {Path: "shop/repository/secret.yaml", Data: []byte(value), Secret: true}}
		if problems := manifest.Leaks(nil, files, c); len(problems) != 1 || !strings.HasSuffix(problems[0].Message, ": shop/plan.json") {
			t.Errorf("in files: %v", problems)
		}
	}
	// The id of a key is the name of its bucket, as MinIO and Ceph have it.
	names := []manifest.Object{{Path: "a.yaml", Value: map[string]any{"bucket": "shop-backup"}}}
	if problems := manifest.Leaks(names, nil, credentials(t, "an-ordinary-value", "shop-backup")); len(problems) > 0 {
		t.Errorf("a name is taken for a secret: %v", problems)
	}
}

// credentials are those of an instance with this password and this key's id.
func credentials(t *testing.T, password, accessKeyID string) *input.Credentials {
	t.Helper()
	var documents []input.Document
	for _, name := range []string{"runtime-state.json", "backup-credentials.json"} {
		data, err := os.ReadFile(filepath.Join("../../examples/minimal", name))
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, input.Document{Name: name, Data: data})
	}
	var document map[string]any
	if err := json.Unmarshal(documents[1].Data, &document); err != nil {
		t.Fatal(err)
	}
	delete(document, "git")
	store := document["restic"].(map[string]any)
	store["password"], store["accessKeyId"] = password, accessKeyID
	var err error
	if documents[1].Data, err = json.Marshal(document); err != nil {
		t.Fatal(err)
	}
	r, err := renderer.New(templates.FS)
	if err != nil {
		t.Fatal(err)
	}
	planned, err := r.Plan(renderer.Inputs{States: documents[:1], Credentials: documents[1:]})
	if err != nil {
		t.Fatal(err)
	}
	return planned[0].Instance.Credentials
}
