package oracle

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// k8up is the release whose definitions are read. Only the files of its module
// are needed, so it is no requirement of go.mod: its dependencies would fight
// with Kubernetes'. The sum stands here in place of go.sum.
const (
	k8up    = "github.com/k8up-io/k8up/v2@v2.15.0"
	k8upSum = "h1:SkuTHSuc7Lmx7TPEIOjEdaqgSXCKxVwG2GvdAj1X08c="
)

// moduleFolder returns a module's source in the module cache.
func moduleFolder(t *testing.T, path, sum string) string {
	t.Helper()
	download := exec.Command("go", "mod", "download", "-json", path)
	download.Dir = t.TempDir() // no module: the command changes no go.mod of ours
	download.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := download.Output()
	var module struct{ Dir, Sum, Error string }
	if jsonErr := json.Unmarshal(out, &module); err != nil || jsonErr != nil || module.Dir == "" {
		t.Fatalf("go mod download %s: %v %v %s", path, err, jsonErr, module.Error)
	}
	if module.Sum != sum {
		t.Fatalf("%s has the sum %s, expected %s", path, module.Sum, sum)
	}
	return module.Dir
}

// definition is one CustomResourceDefinition's schema of one version, ready to
// judge objects as the API server does.
type definition struct {
	structural *schema.Structural
	validator  validation.SchemaValidator
}

// definitions reads K8up's CustomResourceDefinitions by kind.
func definitions(t *testing.T) map[string]definition {
	t.Helper()
	return definitionsIn(t, filepath.Join(moduleFolder(t, k8up, k8upSum), "config", "crd", "apiextensions.k8s.io", "v1", "*.yaml"), "v1")
}

// definitionsIn reads the CustomResourceDefinitions of some files, by kind.
func definitionsIn(t *testing.T, pattern, apiVersion string) map[string]definition {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no definitions: %v", err)
	}
	all := map[string]definition{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(data, &crd); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, version := range crd.Spec.Versions {
			if version.Name != apiVersion || !version.Served {
				continue
			}
			var props apiextensions.JSONSchemaProps
			if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version.Schema.OpenAPIV3Schema, &props, nil); err != nil {
				t.Fatal(err)
			}
			structural, err := schema.NewStructural(&props)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			validator, _, err := validation.NewSchemaValidator(&props)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			all[crd.Spec.Names.Kind] = definition{structural: structural, validator: validator}
		}
	}
	return all
}

// judge lists what the API server would refuse in an object, or drop from it
// without a word.
func (d definition) judge(value map[string]any) []string {
	var found []string
	for _, err := range validation.ValidateCustomResource(nil, value, d.validator) {
		found = append(found, err.Error())
	}
	for _, err := range listtype.ValidateListSetsAndMaps(nil, d.structural, value) {
		found = append(found, err.Error())
	}
	// Pruning changes what it prunes.
	unknown := pruning.PruneWithOptions(runtime.DeepCopyJSON(value), d.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, field := range unknown {
		found = append(found, field+": unknown field")
	}
	return found
}

func TestK8upObjectsFitTheirDefinitions(t *testing.T) {
	all := definitions(t)
	eachTree(t, func(t *testing.T, x *tree) {
		seen := map[string]int{}
		for _, d := range x.of("k8up.io/", "") {
			seen[d.kind]++
			definition, known := all[d.kind]
			if !known || d.apiVersion != "k8up.io/v1" {
				t.Errorf("%s: K8up has no %s %s", d.id, d.apiVersion, d.kind)
				continue
			}
			for _, wrong := range definition.judge(d.value) {
				t.Errorf("%s: %s", d.id, wrong)
			}
		}
		if x.plans[0].Enabled && len(x.plans[0].Repositories) > 0 && (seen["Schedule"] == 0 || seen["PodConfig"] == 0) {
			t.Errorf("objects of K8up: %v, expected Schedules and PodConfigs", seen)
		}
	})
}

// TestK8upDefinitionsSee proves that the oracle is not blind.
func TestK8upDefinitionsSee(t *testing.T) {
	all := definitions(t)
	tests := []struct {
		name, kind, object, want string
	}{
		{name: "good schedule", kind: "Schedule", object: `{spec: {backup: {schedule: "1 2 * * *", tags: [a]}}}`},
		{name: "typo in a block", kind: "Schedule", object: `{spec: {backup: {shedule: "1 2 * * *"}}}`, want: "spec.backup.shedule: unknown field"},
		{name: "wrong type", kind: "Schedule", object: `{spec: {backup: {activeDeadlineSeconds: "60"}}}`, want: "spec.backup.activeDeadlineSeconds"},
		{name: "fraction for a whole number", kind: "Schedule", object: `{spec: {backup: {activeDeadlineSeconds: 1.5}}}`, want: "spec.backup.activeDeadlineSeconds"},
		{name: "selector of the wrong form", kind: "Schedule", object: `{spec: {backup: {labelSelectors: [{matchLabels: [a]}]}}}`, want: "matchLabels"},
		{name: "secret without key", kind: "Schedule", object: `{spec: {backend: {repoPasswordSecretRef: {name: a}}}}`, want: "key"},
		{name: "typo in a dump pod", kind: "PreBackupPod", object: `{spec: {pod: {spec: {containers: [{name: a, imagePullPolice: Always}]}}}}`, want: "imagePullPolice: unknown field"},
		{name: "container without name", kind: "PreBackupPod", object: `{spec: {pod: {spec: {containers: [{image: a}]}}}}`, want: "name: Required value"},
		{name: "one container twice", kind: "PreBackupPod", object: `{spec: {pod: {spec: {containers: [{name: a}, {name: a}]}}}}`, want: "Duplicate value"},
		{name: "quantity", kind: "PodConfig", object: `{spec: {template: {spec: {containers: [{name: a, resources: {limits: {memory: 1GB!}}}]}}}}`, want: "memory"},
		{name: "typo in a shape", kind: "PodConfig", object: `{spec: {template: {spec: {containers: [{name: a}], securityContexts: {}}}}}`, want: "securityContexts: unknown field"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var value map[string]any
			data, err := yaml.YAMLToJSON([]byte(tt.object))
			if err != nil {
				t.Fatal(err)
			}
			if err := utiljson.Unmarshal(data, &value); err != nil {
				t.Fatal(err)
			}
			value["apiVersion"], value["kind"] = "k8up.io/v1", tt.kind
			got := strings.Join(all[tt.kind].judge(value), "\n")
			if tt.want == "" && got != "" || tt.want != "" && !strings.Contains(got, tt.want) {
				t.Errorf("found %q, expected %q", got, tt.want)
			}
		})
	}
}
