package plan

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the schema of plan.json")

// TestSchema makes the schema of plan.json from the types: names and forms from the
// fields, descriptions from their comments, words from the tag enum.
//
//	go test ./renderer/plan -run TestSchema -update
func TestSchema(t *testing.T) {
	g := &generator{t: t, comments: comments(t, ".", "../kind", "../input"), defs: map[string]any{}}
	root := g.object(reflect.TypeFor[Plan]())
	schema := ordered{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"$id", "https://holdfast.dev/schemas/plan.schema.json"},
		{"title", "plan"},
		{"description", "What Holdfast decided for one instance: plan.json, and what holdfast plan --output json prints (for several instances an array of these); it never holds a secret."},
	}
	schema = append(schema, root...)
	schema = append(schema,
		// What is off has nothing but the reason why.
		member{"if", map[string]any{"properties": map[string]any{"enabled": map[string]any{"const": true}}}},
		member{"then", map[string]any{"required": []string{"timeZone", "instanceLock"}}},
		member{"else", map[string]any{"required": []string{"reason"}, "properties": map[string]any{"units": map[string]any{"maxItems": 0}}}},
		member{"$defs", g.defs},
	)
	want, err := json.Marshal(schema)
	if err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, want, "", "  "); err != nil {
		t.Fatal(err)
	}
	indented.WriteByte('\n')
	file := filepath.Join("..", "..", "schemas", "plan.schema.json")
	if *update {
		if err := os.WriteFile(file, indented.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, indented.Bytes()) {
		t.Errorf("%s is not what the types make: go test ./renderer/plan -run TestSchema -update", file)
	}
}

// generator makes schemas of types.
type generator struct {
	t *testing.T
	// comments are those of fields, by "package.Type.Field".
	comments map[string]string
	defs     map[string]any
}

// ordered is a JSON object whose members keep their order.
type ordered []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members in their order.
func (o ordered) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(m.name)
		b.Write(append(name, ':'))
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(m.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// object is the schema of a struct.
func (g *generator) object(of reflect.Type) ordered {
	required, properties := []string{}, ordered{}
	g.fields(of, &required, &properties)
	return ordered{{"type", "object"}, {"required", required}, {"additionalProperties", false}, {"properties", properties}}
}

func (g *generator) fields(of reflect.Type, required *[]string, properties *ordered) {
	for n := range of.NumField() {
		field := of.Field(n)
		if !field.IsExported() || field.Tag.Get("plan") == "-" {
			continue
		}
		if field.Anonymous {
			g.fields(field.Type, required, properties)
			continue
		}
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		comment := g.comments[of.String()+"."+field.Name]
		if comment == "" {
			g.t.Errorf("%s.%s has no comment, and the schema no description", of, field.Name)
		}
		schema := append(ordered{{"description", described(field.Name, comment)}}, g.schema(field.Type)...)
		if words := field.Tag.Get("enum"); words != "" {
			schema = append(schema, member{"enum", strings.Split(words, ",")})
		}
		if options == "" {
			*required = append(*required, name)
		}
		// An outer field has the last word.
		for i, known := range *properties {
			if known.name == name {
				*properties = append((*properties)[:i:i], (*properties)[i+1:]...)
				break
			}
		}
		*properties = append(*properties, member{name, schema})
	}
}

// schema is that of a type.
func (g *generator) schema(of reflect.Type) ordered {
	switch of.Kind() { //nolint:exhaustive // a plan has no others
	case reflect.Pointer:
		return g.schema(of.Elem())
	case reflect.Struct:
		name := strings.ToLower(of.Name()[:1]) + of.Name()[1:]
		if strings.ToUpper(of.Name()) == of.Name() {
			name = strings.ToLower(of.Name())
		}
		if g.defs[name] == nil {
			g.defs[name] = true // a type may hold itself
			g.defs[name] = g.object(of)
		}
		return ordered{{"$ref", "#/$defs/" + name}}
	case reflect.Slice:
		return ordered{{"type", "array"}, {"items", g.schema(of.Elem())}}
	case reflect.Map:
		return ordered{{"type", "object"}, {"additionalProperties", g.schema(of.Elem())}}
	case reflect.String:
		return ordered{{"type", "string"}}
	case reflect.Bool:
		return ordered{{"type", "boolean"}}
	case reflect.Int, reflect.Int64:
		return ordered{{"type", "integer"}, {"minimum", 0}}
	}
	g.t.Errorf("a plan with a %s", of)
	return nil
}

// described is the first sentence of a comment: "Name is the name of …" becomes "The name
// of …".
func described(field, comment string) string {
	text, _, cut := strings.Cut(strings.Join(strings.Fields(comment), " "), ". ")
	if cut {
		text += "."
	}
	if rest, found := strings.CutPrefix(text, field+" "); found {
		for _, verb := range []string{"is ", "are "} {
			rest = strings.TrimPrefix(rest, verb)
		}
		text = strings.ToUpper(rest[:1]) + rest[1:]
	}
	return text
}

// comments reads those of the fields of packages' structs.
func comments(t *testing.T, folders ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, folder := range folders {
		files, err := fs.Glob(os.DirFS(folder), "*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(folder, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok {
					return true
				}
				if structure, ok := spec.Type.(*ast.StructType); ok {
					for _, field := range structure.Fields.List {
						for _, name := range field.Names {
							found[file.Name.Name+"."+spec.Name.Name+"."+name.Name] = field.Doc.Text()
						}
					}
				}
				return true
			})
		}
	}
	return found
}
