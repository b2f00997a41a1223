package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v5"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
	"github.com/holdfast-backup/holdfast/renderer/status"
	"github.com/holdfast-backup/holdfast/schemas"
	"github.com/holdfast-backup/holdfast/templates"
)

const schemaBase = "https://holdfast.dev/schemas/"

// outputSchemas lists what Holdfast promises to machines, each with the type
// that is written or read.
func outputSchemas() map[string]reflect.Type {
	return map[string]reflect.Type{
		"plan.schema.json":     reflect.TypeFor[plan.Plan](),
		"unit.schema.json":     reflect.TypeFor[kind.Answer](),
		"kind.schema.json":     reflect.TypeFor[kind.Kind](),
		"check.schema.json":    reflect.TypeFor[checkResult](),
		"coverage.schema.json": reflect.TypeFor[coverageResult](),
		"status.schema.json":   reflect.TypeFor[status.Result](),
		"kinds.schema.json":    reflect.TypeFor[kindsResult](),
		"images.schema.json":   reflect.TypeFor[map[string]kind.Image](),
	}
}

// schemaText reads an embedded schema.
func schemaText(t *testing.T, name string) map[string]any {
	t.Helper()
	data, err := schemas.FS.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var text map[string]any
	if err := json.Unmarshal(data, &text); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return text
}

// compiled compiles an embedded schema, without a network.
func compiled(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.Draft = jsonschema.Draft2020
	compiler.LoadURL = func(url string) (io.ReadCloser, error) {
		return nil, fmt.Errorf("no schema %s", url)
	}
	files, err := fs.Glob(schemas.FS, "*"+schemaSuffix)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := schemas.FS.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource(schemaBase+file, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile(schemaBase + name)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// valid checks a document and returns its value.
func valid(t *testing.T, schema *jsonschema.Schema, data []byte) any {
	t.Helper()
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("%#v", err)
	}
	return value
}

// TestPlansAreValid checks the plan.json of every example.
func TestPlansAreValid(t *testing.T) {
	schema := compiled(t, "plan.schema.json")
	cases, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			r, err := renderer.New(c.Templates)
			if err != nil {
				t.Fatal(err)
			}
			made, err := r.Render(c.Inputs, renderer.Options{Secrets: secrets.Plain})
			if err != nil {
				t.Fatal(err)
			}
			plans := 0
			for _, f := range made.Bundle.Files {
				if path.Base(f.Path) == "plan.json" {
					plans++
					valid(t, schema, f.Data)
				}
			}
			if plans == 0 || plans != len(made.Planned) {
				t.Errorf("%d plans for %d instances", plans, len(made.Planned))
			}
		})
	}
}

// TestKindFilesAreValid checks the kind.json and images.json of every kind,
// built-in or an example's, and the platform's images.json.
func TestKindFilesAreValid(t *testing.T) {
	for _, kinds := range []struct {
		name, pattern string
		schema        *jsonschema.Schema
		files         fs.FS
	}{
		{name: "templates", pattern: "kinds/*/kind.json", schema: compiled(t, "kind.schema.json"), files: templates.FS},
		{name: "examples", pattern: "*/kinds/*/kind.json", schema: compiled(t, "kind.schema.json"), files: examples.FS},
		{name: "templates", pattern: "kinds/*/images.json", schema: compiled(t, "images.schema.json"), files: templates.FS},
		{name: "platform", pattern: "platform/images.json", schema: compiled(t, "images.schema.json"), files: templates.FS},
		{name: "examples", pattern: "*/kinds/*/images.json", schema: compiled(t, "images.schema.json"), files: examples.FS},
	} {
		found, err := fs.Glob(kinds.files, kinds.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 {
			t.Errorf("%s: no file is named %s", kinds.name, kinds.pattern)
		}
		for _, file := range found {
			t.Run(kinds.name+"/"+file, func(t *testing.T) {
				data, err := fs.ReadFile(kinds.files, file)
				if err != nil {
					t.Fatal(err)
				}
				valid(t, kinds.schema, data)
			})
		}
	}
}

// TestOutputsAreValid checks what commands print with --output json.
func TestOutputsAreValid(t *testing.T) {
	example := func(names ...string) string {
		return filepath.Join(append([]string{"..", "..", "examples"}, names...)...)
	}
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "runtime-state.json"), []byte("{\n  \"schemaVersion\": 1,\n  \"instanceId\": \"\"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		schema string
		args   []string
		status int
		// filled must have an entry, so that the case shows what it is for.
		filled string
	}{
		"check": {schema: "check.schema.json", args: []string{"check", "-s", layoutB, "-c", layoutB},
			filled: "instances"},
		"check when backup is off": {schema: "check.schema.json", args: []string{"check", "-s", example("opted-out"), "-c", example("opted-out")},
			filled: "instances"},
		"check with changes": {schema: "check.schema.json", args: []string{"check", "-s", layoutB, "-c", layoutB, "--against", t.TempDir()},
			status: statusDiffers, filled: "changes"},
		"check with problems": {schema: "check.schema.json", args: []string{"check", "-s", broken, "-c", layoutB},
			status: statusInput, filled: "problems"},
		"kinds": {schema: "kinds.schema.json", args: []string{"kinds"},
			filled: "kinds"},
		"kinds of one's own": {schema: "kinds.schema.json", args: []string{"kinds", "--kinds", example("custom-kind", "kinds")},
			filled: "kinds"},
		"status": {schema: "status.schema.json", args: []string{"status", "-s", layoutB, "-c", layoutB, "testdata/no-status.json"},
			status: statusDiffers, filled: "statuses"},
		"plan": {schema: "plan.schema.json", args: []string{"plan", "-s", layoutB, "-c", layoutB},
			filled: "units"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			args := slices.Concat([]string{"holdfast", test.args[0], "--output", "json"}, test.args[1:])
			if status := run(args, strings.NewReader(""), &stdout, &stderr); status != test.status {
				t.Fatalf("status %d, stderr:\n%s", status, stderr.String())
			}
			value := valid(t, compiled(t, test.schema), stdout.Bytes())
			if list, _ := value.(map[string]any)[test.filled].([]any); len(list) == 0 {
				t.Errorf("no %s in\n%s", test.filled, stdout.String())
			}
		})
	}
}

// TestPlansOfSeveral: the plan of several instances is a list of plans.
func TestPlansOfSeveral(t *testing.T) {
	schema := compiled(t, "plan.schema.json")
	both := filepath.Join("..", "..", "examples", "two-in-one-namespace")
	var stdout, stderr bytes.Buffer
	if status := run([]string{"holdfast", "plan", "-s", both, "-c", both, "-p", filepath.Join(both, "policy.json"), "--output", "json"}, strings.NewReader(""), &stdout, &stderr); status != statusDone {
		t.Fatalf("status %d, stderr:\n%s", status, stderr.String())
	}
	var plans []json.RawMessage
	if err := json.Unmarshal(stdout.Bytes(), &plans); err != nil {
		t.Fatal(err)
	}
	if len(plans) != 2 {
		t.Errorf("%d plans", len(plans))
	}
	for _, p := range plans {
		valid(t, schema, p)
	}
}

// TestSchemasMatchTypes compares each schema with the type behind it, so that
// no field is added, renamed or removed in one of them alone.
func TestSchemasMatchTypes(t *testing.T) {
	for name, of := range outputSchemas() {
		if name == "plan.schema.json" {
			continue // made from the types
		}
		t.Run(name, func(t *testing.T) {
			m := &match{t: t, seen: map[string]bool{}}
			m.compare(name, name, schemaText(t, name), of)
			if m.structs == 0 {
				t.Error("nothing was compared")
			}
		})
	}
}

// match walks a schema and a type side by side.
type match struct {
	t       *testing.T
	seen    map[string]bool // references that were followed
	structs int
}

// compare reports at where schema, of the file, does not describe the type.
func (m *match) compare(file, at string, schema map[string]any, of reflect.Type) {
	m.t.Helper()
	if reference, ok := schema["$ref"].(string); ok {
		target, pointer, _ := strings.Cut(reference, "#")
		if target == "" {
			target = file
		}
		m.seen[target+"#"+pointer] = true
		m.compare(target, at, m.find(target, pointer), of)
		return
	}
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if of == reflect.TypeFor[json.RawMessage]() {
		return // anything
	}
	switch of.Kind() {
	case reflect.Struct:
		m.is(at, schema, "object")
		m.compareFields(file, at, schema, of)
	case reflect.Slice:
		m.is(at, schema, "array")
		m.below(file, at+"/*", schema["items"], of.Elem())
	case reflect.Map:
		m.is(at, schema, "object")
		// A map whose keys are all known is described by its properties.
		known, _ := schema["properties"].(map[string]any)
		for name, property := range known {
			m.below(file, at+"/"+name, property, of.Elem())
		}
		if known == nil {
			m.below(file, at+"/*", schema["additionalProperties"], of.Elem())
		}
	case reflect.String:
		m.is(at, schema, "string")
	case reflect.Bool:
		m.is(at, schema, "boolean")
	case reflect.Int, reflect.Int64:
		m.is(at, schema, "integer")
	case reflect.Float64:
		m.is(at, schema, "number")
	default:
		m.t.Errorf("%s: no schema describes a %s", at, of)
	}
}

// below compares a schema that must be there.
func (m *match) below(file, at string, schema any, of reflect.Type) {
	m.t.Helper()
	object, ok := schema.(map[string]any)
	if !ok {
		m.t.Errorf("%s: not described", at)
		return
	}
	m.compare(file, at, object, of)
}

// compareFields compares the fields of a struct with the properties of its
// schema, and what may be left out with what is not required.
func (m *match) compareFields(file, at string, schema map[string]any, of reflect.Type) {
	m.t.Helper()
	m.structs++
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	fields := map[string]bool{}
	for _, field := range reflect.VisibleFields(of) {
		tag, tagged := field.Tag.Lookup("json")
		if !field.IsExported() || field.Anonymous || tag == "-" {
			continue
		}
		if !tagged {
			m.t.Errorf("%s: %s.%s has no name in JSON", at, of, field.Name)
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		fields[name] = true
		if properties[name] == nil {
			m.t.Errorf("%s: %s.%s (%s) is not in the schema", at, of, field.Name, name)
			continue
		}
		// What plan.json leaves out may be zero there alone.
		always := options == "" || field.Tag.Get("plan") == "-" && options == "omitzero"
		if slices.Contains(required, any(name)) != always {
			m.t.Errorf("%s/%s: is it always there? the schema and %s say different", at, name, of)
		}
		m.below(file, at+"/"+name, properties[name], field.Type)
	}
	for name := range properties {
		if !fields[name] {
			m.t.Errorf("%s/%s is in the schema, but not in %s", at, name, of)
		}
	}
}

// is reports a schema that allows none or another type than want. A map or a
// list may be null, too.
func (m *match) is(at string, schema map[string]any, want string) {
	m.t.Helper()
	values, _ := schema["enum"].([]any)
	if value, ok := schema["const"]; ok {
		values = append(values, value)
	}
	for _, value := range values {
		got := map[reflect.Kind]string{reflect.String: "string", reflect.Float64: "integer"}[reflect.ValueOf(value).Kind()]
		if got != want {
			m.t.Errorf("%s: %v is no %s", at, value, want)
		}
	}
	if len(values) > 0 {
		return
	}
	types, _ := schema["type"].([]any)
	if schema["type"] != want && !slices.Equal(types, []any{want, "null"}) {
		m.t.Errorf("%s: type %v, want %s", at, schema["type"], want)
	}
}

// find follows a pointer of a reference.
func (m *match) find(file, pointer string) map[string]any {
	m.t.Helper()
	schema := schemaText(m.t, file)
	for _, key := range strings.Split(pointer, "/")[1:] {
		next, ok := schema[key].(map[string]any)
		if !ok {
			m.t.Fatalf("%s has no %s", file, pointer)
		}
		schema = next
	}
	return schema
}

// TestOutputSchemas: the schemas keep the form of the others: ids, closed
// objects, and a sentence for each property.
func TestOutputSchemas(t *testing.T) {
	for name := range outputSchemas() {
		t.Run(name, func(t *testing.T) {
			root := schemaText(t, name)
			if root["$id"] != schemaBase+name || root["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
				t.Errorf("$id %v, $schema %v", root["$id"], root["$schema"])
			}
			if root["title"] != strings.TrimSuffix(name, schemaSuffix) {
				t.Errorf("title %v", root["title"])
			}
			checkForm(t, "", root)
		})
	}
}

// checkForm looks at a schema and at all below it, apart from conditions.
func checkForm(t *testing.T, at string, schema any) {
	t.Helper()
	object, ok := schema.(map[string]any)
	if !ok {
		return
	}
	properties, _ := object["properties"].(map[string]any)
	if properties != nil && object["additionalProperties"] != false {
		t.Errorf("%s is not closed", at)
	}
	for name, property := range properties {
		description, _ := property.(map[string]any)["description"].(string)
		if !strings.HasSuffix(description, ".") || strings.Contains(description, ". ") {
			t.Errorf("%s/%s: no sentence: %q", at, name, description)
		}
		checkForm(t, at+"/"+name, property)
	}
	definitions, _ := object["$defs"].(map[string]any)
	for name, definition := range definitions {
		checkForm(t, at+"/$defs/"+name, definition)
	}
	for _, key := range []string{"items", "additionalProperties"} {
		checkForm(t, at+"/"+key, object[key])
	}
}
