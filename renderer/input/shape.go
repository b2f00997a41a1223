package input

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v5"

	"github.com/holdfast-backup/holdfast/schemas"
)

// base is what the schemas' ids start with.
const base = "https://holdfast.dev/schemas/"

// The documents' schemas, and those that they refer to.
const (
	stateSchema       = "runtime-state.schema.json"
	credentialsSchema = "backup-credentials.schema.json"
	policySchema      = "policy.schema.json"
	settingsSchema    = "settings.schema.json"
	formsSchema       = "forms.schema.json"
)

// library is the text of the schemas by file name, as decoded JSON.
type library map[string]any

// readSchemas reads embedded schemas.
func readSchemas(names ...string) (library, error) {
	l := library{}
	for _, name := range names {
		data, err := schemas.FS.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read schema: %w", err)
		}
		var doc any
		if err := json.Unmarshal(data, &doc); err != nil {
			return nil, fmt.Errorf("read schema %s: %w", name, err)
		}
		l[name] = doc
	}
	return l, nil
}

// compile makes the schemas in files ready to be applied.
func (l library) compile(files ...string) ([]*form, error) {
	compiler := jsonschema.NewCompiler()
	compiler.Draft = jsonschema.Draft2020
	compiler.LoadURL = func(url string) (io.ReadCloser, error) {
		return nil, fmt.Errorf("no schema %s: schemas are not fetched", url)
	}
	for _, name := range slices.Sorted(maps.Keys(l)) {
		if strings.HasPrefix(name, "section-") {
			continue // part of the state's schema
		}
		text, err := json.Marshal(l[name])
		if err != nil {
			return nil, fmt.Errorf("schema %s: %w", name, err)
		}
		if err := compiler.AddResource(base+name, bytes.NewReader(text)); err != nil {
			return nil, fmt.Errorf("schema %s: %w", name, err)
		}
	}
	compiler.RegisterExtension("x-equal", nil, equal{})
	forms := make([]*form, len(files))
	for i, file := range files {
		schema, err := compiler.Compile(base + file)
		if err != nil {
			return nil, err
		}
		forms[i] = &form{schema: schema, shape: l.shape(file), words: l.words(), secret: file == credentialsSchema}
	}
	return forms, nil
}

// equal is the keyword x-equal: properties of an object that must have the same value,
// which JSON Schema cannot say.
type equal []string

// Compile implements jsonschema.ExtCompiler.
func (equal) Compile(_ jsonschema.CompilerContext, schema map[string]any) (jsonschema.ExtSchema, error) {
	if schema["x-equal"] == nil {
		return nil, nil
	}
	return equal(texts(schema["x-equal"])), nil
}

// Validate implements jsonschema.ExtSchema.
func (e equal) Validate(ctx jsonschema.ValidationContext, value any) error {
	object, ok := value.(map[string]any)
	for _, name := range e {
		if ok && !reflect.DeepEqual(object[name], object[e[0]]) {
			return ctx.Error("x-equal", "they differ")
		}
	}
	return nil
}

// readLibrary reads the schemas of the documents and adds sections to the
// state's.
func readLibrary(sections map[string]json.RawMessage) (library, error) {
	l, err := readSchemas(formsSchema, settingsSchema, stateSchema, credentialsSchema, policySchema)
	if err != nil {
		return nil, err
	}
	state, _ := l[stateSchema].(map[string]any)
	properties, _ := state["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		if _, taken := properties[name]; taken || name == "" {
			return nil, fmt.Errorf("section %q: the state has one of that name already", name)
		}
		var section map[string]any
		if err := json.Unmarshal(sections[name], &section); err != nil {
			return nil, fmt.Errorf("section %q: not a JSON Schema: %w", name, err)
		}
		if section == nil {
			return nil, fmt.Errorf("section %q: not a JSON Schema", name)
		}
		if unknown := unknownKeywords("", section); len(unknown) > 0 {
			return nil, fmt.Errorf("section %q: %s: %s", name, unknown[0].Pointer, unknown[0].Message)
		}
		// A section's references are within itself or to our schemas.
		section["$id"] = base + "section-" + name + ".json"
		demandReasons(section)
		l["section-"+name+".json"] = section
		properties[name] = section
	}
	return l, nil
}

// demandReasons adds to every object schema that has a property "backup" what
// our own sections say themselves: "skip" needs a reason.
func demandReasons(schema any) {
	switch s := schema.(type) {
	case map[string]any:
		for _, value := range s {
			demandReasons(value)
		}
		if properties, ok := s["properties"].(map[string]any); ok && properties["backup"] != nil {
			all, _ := s["allOf"].([]any)
			s["allOf"] = append(slices.Clone(all), map[string]any{"$ref": base + formsSchema + "#/$defs/skipNeedsReason"})
		}
	case []any:
		for _, value := range s {
			demandReasons(value)
		}
	}
}

// at returns the schema at a location, "file#/json/pointer" with or without
// base in front and percent-encoded or not; nil if there is none.
func (l library) at(location string) any {
	file, fragment, _ := strings.Cut(strings.TrimPrefix(location, base), "#")
	return descend(l[file], tokens(unescape(fragment)))
}

// shape is what Holdfast itself reads of a schema, with references resolved:
// which members a value has, and what is special about it.
type shape struct {
	properties  map[string]*shape
	keys        []string // of properties, sorted
	additional  *shape
	items       *shape
	types       []string
	description string
	// open allows unknown keys that are not near a known one.
	open, coverable, secret bool
	// hides is the property that this one, a pattern, must not match in an entry that
	// is backed up; agrees is the place of the state that it repeats.
	hides, agrees string
	// endpoint is the URL of an HTTP service.
	endpoint bool
}

// shape returns the shape of the schema in a file.
func (l library) shape(file string) *shape {
	return l.shapeOf(l[file], file, nil)
}

// shapeOf makes a shape. file is what "#/…" refers to; outer are the
// references on the way here, for a schema may contain itself.
func (l library) shapeOf(schema any, file string, outer []string) *shape {
	s, ok := schema.(map[string]any)
	if !ok {
		return nil
	}
	if id, ok := s["$id"].(string); ok {
		file = strings.TrimPrefix(id, base)
	}
	result := &shape{}
	if ref, ok := s["$ref"].(string); ok {
		if strings.HasPrefix(ref, "#") {
			ref = file + ref
		}
		ref = strings.TrimPrefix(ref, base)
		if !slices.Contains(outer, ref) {
			name, _, _ := strings.Cut(ref, "#")
			if target := l.shapeOf(l.at(ref), name, append(slices.Clip(outer), ref)); target != nil {
				*result = *target
			}
		}
	}
	if properties, ok := s["properties"].(map[string]any); ok {
		result.keys = slices.Sorted(maps.Keys(properties))
		result.properties = make(map[string]*shape, len(properties))
		for _, key := range result.keys {
			result.properties[key] = l.shapeOf(properties[key], file, outer)
		}
	}
	if additional := l.shapeOf(s["additionalProperties"], file, outer); additional != nil {
		result.additional = additional
	}
	if items := l.shapeOf(s["items"], file, outer); items != nil {
		result.items = items
	}
	switch types := s["type"].(type) {
	case string:
		result.types = []string{types}
	case []any:
		result.types = nil
		for _, t := range types {
			if t, ok := t.(string); ok {
				result.types = append(result.types, t)
			}
		}
	}
	if description, ok := s["description"].(string); ok {
		result.description = description
	}
	result.open = result.open || s["x-open"] == true
	result.coverable = result.coverable || s["x-coverable"] == true
	result.secret = result.secret || s["x-secret"] == true
	result.hides, _ = s["x-hides"].(string)
	result.agrees, _ = s["x-agrees"].(string)
	result.endpoint = result.endpoint || s["x-endpoint"] == true
	return result
}

// meantOpen is meant for an object that may have unknown keys. There a key that
// is only near another counts if its value would be right under that name.
func (s *shape) meantOpen(w words, key string, object map[string]any) string {
	name := w.meant(key, s.keys, object)
	if name == "" || s.properties[name] == nil || plain(name) == plain(key) || slices.Contains(w[name], plain(key)) {
		return name
	}
	if types := s.properties[name].types; len(types) > 0 && !slices.Contains(types, typeOf(object[key])) {
		return ""
	}
	return name
}

// typeOf names the JSON type of a value.
func typeOf(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}

// unescape decodes %XX.
func unescape(text string) string {
	if !strings.Contains(text, "%") {
		return text
	}
	decoded := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if c, err := strconv.ParseUint(text[i+1:i+3], 16, 8); err == nil {
				decoded = append(decoded, byte(c))
				i += 2
				continue
			}
		}
		decoded = append(decoded, text[i])
	}
	return string(decoded)
}
