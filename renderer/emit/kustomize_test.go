package emit

import (
	"bytes"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

// TestKustomizeBuildsTheTree: what Flux applies from a tree are the very
// objects of the stream.
func TestKustomizeBuildsTheTree(t *testing.T) {
	t.Parallel()
	object := func(kind, name string, rest map[string]any) map[string]any {
		o := map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": name, "namespace": "ns"}}
		for k, v := range rest {
			o[k] = v
		}
		return o
	}
	documents := func(objects ...map[string]any) string {
		data, err := yaml.AppendDocuments(nil, objects)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	kustomization := func(resources ...any) string {
		return documents(map[string]any{"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources})
	}
	b := bundle(
		"inst/README.md", "# text\n",
		"inst/apps/a.yaml", documents(
			object("ConfigMap", "script", map[string]any{"data": map[string]any{"run.sh": "#!/bin/sh\nset -eu\n\nif true; then\n  echo \"$X\"\nfi\n", "odd": " a\tb\u2028\n\n", "yes": "on"}}),
			object("ServiceAccount", "sa", map[string]any{"automountServiceAccountToken": false}),
		),
		"inst/apps/kustomization.yaml", kustomization("a.yaml"),
		"inst/kustomization.yaml", kustomization("apps", "secret.yaml"),
		"inst/plan.json", "{}\n",
		"inst/restore/r.yaml", documents(object("ConfigMap", "restore", nil)),
		"inst/secret.yaml", documents(object("Secret", "s", map[string]any{"stringData": map[string]any{"password": "0755"}})),
	)
	dir := t.TempDir()
	mustWrite(t, dir, b, TreeOptions{})

	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(dir, "inst"))
	if err != nil {
		t.Fatal(err)
	}
	yaml, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	var stream bytes.Buffer
	if err := Stream(&stream, b); err != nil {
		t.Fatal(err)
	}
	got, want := sorted(t, yaml), sorted(t, stream.Bytes())
	if len(want) != 3 {
		t.Errorf("%d objects in the stream, want 3", len(want))
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("kustomize builds\n%v\nthe stream has\n%v", got, want)
	}
}

func sorted(t *testing.T, stream []byte) []map[string]any {
	t.Helper()
	objects, err := yaml.Decode(stream)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(objects, func(a, b map[string]any) int {
		return bytes.Compare(fmt.Append(nil, a["kind"]), fmt.Append(nil, b["kind"]))
	})
	return objects
}
