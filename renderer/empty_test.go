package renderer_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

// TestNoSource: an instance without a source is a plan that says so, and no
// object. Nothing of it, and of no other plan, is null: a template would fail at
// a null in the place of a list.
func TestNoSource(t *testing.T) {
	t.Parallel()
	r := built(t)
	for _, test := range []struct {
		name  string
		state func(root map[string]any)
		files []string
	}{
		{name: "nothing is declared", files: []string{"shop/plan.json"}, state: func(root map[string]any) {
			delete(root, "databases")
			delete(root, "volumes")
		}},
		{name: "no entries", files: []string{"shop/plan.json"}, state: func(root map[string]any) {
			root["databases"], root["volumes"] = map[string]any{}, []any{}
		}},
		{name: "all is exempt", files: []string{"shop/plan.json"}, state: func(root map[string]any) {
			delete(root, "databases")
			volume := root["volumes"].([]any)[0].(map[string]any)
			volume["backup"], volume["reason"] = "skip", "it can be made anew"
		}},
		{name: "a claim", state: func(root map[string]any) { delete(root, "databases") }},
		{name: "a server", state: func(root map[string]any) { delete(root, "volumes") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := example(t, "minimal")
			in.States = []input.Document{rewritten(t, in.States[0], test.state)}
			x := render(t, r, in, secrets.Plain)
			var files []string
			for _, f := range x.files {
				files = append(files, f.Path)
				if strings.HasSuffix(f.Path, "/plan.json") && bytes.Contains(f.Data, []byte("null")) {
					t.Errorf("%s has a null:\n%s", f.Path, f.Data)
				}
			}
			if test.files != nil && !slices.Equal(files, test.files) {
				t.Errorf("files: %q", files)
			}
			if text, err := json.Marshal(x.planned[0].Plan.Value()); err != nil || bytes.Contains(text, []byte("null")) {
				t.Errorf("%v, %s", err, text)
			}
		})
	}
}

// TestOnlyBuckets: without a repository there is still a first stage, that of the
// preflight, and Flux applies no folder that does not exist.
func TestOnlyBuckets(t *testing.T) {
	t.Parallel()
	in := example(t, "two-in-one-namespace")
	in.States, in.Credentials = in.States[:1], in.Credentials[:1]
	in.States = []input.Document{rewritten(t, in.States[0], func(root map[string]any) {
		for _, section := range []string{"databases", "volumes", "ldap", "secretsManager"} {
			delete(root, section)
		}
		root["kubernetes"] = map[string]any{
			"exportSecrets": false, "exportNamespaceYaml": false, "exportClusterScoped": false,
			"reasons": map[string]any{"exportSecrets": "in Git", "exportNamespaceYaml": "in Git", "exportClusterScoped": "in Git"},
		}
	})}
	x := render(t, built(t), in, secrets.Omit)
	folders := map[string]bool{}
	for _, f := range x.files {
		if parts := strings.Split(f.Path, "/"); len(parts) > 2 {
			folders[parts[1]] = true
		}
	}
	stages := 0
	for _, o := range x.objects {
		if o.Kind() != "Kustomization" || dig(o.Value, "apiVersion") != "kustomize.toolkit.fluxcd.io/v1" {
			continue
		}
		stages++
		path, _ := dig(o.Value, "spec", "path").(string)
		if stage := path[strings.LastIndex(path, "/")+1:]; !folders[stage] {
			t.Errorf("%s applies %s, which does not exist", o.Name(), path)
		}
	}
	if stages != 2 || !folders["backup"] || !folders["repository"] {
		t.Errorf("%d stages, folders %v", stages, folders)
	}
}
