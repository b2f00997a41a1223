package input

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/schemas"
)

// TestSchemas holds what a schema checker cannot: every property is described
// in a sentence, and every object that lists properties is closed or says that
// it is open.
func TestSchemas(t *testing.T) {
	t.Parallel()
	for _, name := range []string{formsSchema, settingsSchema, stateSchema, credentialsSchema, policySchema} {
		t.Run(name, func(t *testing.T) {
			data, err := schemas.FS.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			tree, problems := Load(Document{Name: name, Data: data})
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			root := tree.Root.(map[string]any)
			if root["$id"] != base+name || root["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
				t.Errorf("$id %v, $schema %v", root["$id"], root["$schema"])
			}
			var visit func(pointer string, schema any, condition bool)
			visit = func(pointer string, schema any, condition bool) {
				object, ok := schema.(map[string]any)
				if !ok {
					if list, ok := schema.([]any); ok {
						for i, value := range list {
							visit(pointer+"/"+show(float64(i)), value, condition)
						}
					}
					return
				}
				properties, _ := object["properties"].(map[string]any)
				if properties != nil && !condition && object["additionalProperties"] != false && object["x-open"] != true {
					t.Errorf("%s is neither closed nor open", pointer)
				}
				for key, value := range properties {
					property, _ := value.(map[string]any)
					description, _ := property["description"].(string)
					if !condition && (!strings.HasSuffix(description, ".") || strings.Contains(strings.TrimSuffix(description, "."), ". ")) {
						t.Errorf("%s/properties/%s: no sentence: %q", pointer, key, description)
					}
					visit(pointer+"/properties/"+key, value, condition)
				}
				for key, value := range object {
					if key != "properties" && key != "enum" && key != "required" {
						visit(pointer+"/"+key, value, condition || key == "if" || key == "then" || key == "backedUp")
					}
				}
			}
			visit("", tree.Root, false)
		})
	}
}

// TestMarks compares the marked places of the schemas with the promised ones.
func TestMarks(t *testing.T) {
	t.Parallel()
	v := validator(t)
	var coverable, secret []string
	var visit func(pointer string, s *shape)
	visit = func(pointer string, s *shape) {
		if s == nil {
			return
		}
		if s.coverable {
			coverable = append(coverable, pointer)
		}
		if s.secret && !strings.Contains(pointer, "/previous/") {
			secret = append(secret, pointer)
		}
		for _, key := range s.keys {
			visit(pointer+"/"+key, s.properties[key])
		}
		visit(pointer+"/*", s.items)
		visit(pointer+"/*", s.additional)
	}
	visit("", v.state.shape)
	wantCoverable := []string{
		"/databases/cassandra/*", "/databases/mariadb/*", "/databases/postgresql/*", "/databases/postgresql/*/databases/*",
		"/kubernetes/configMaps/*", "/kubernetes/exportClusterScoped", "/kubernetes/exportNamespaceYaml", "/kubernetes/exportSecrets",
		"/ldap", "/objectStores/*", "/others/*", "/secretsManager", "/volumes/*",
	}
	if !slices.Equal(coverable, wantCoverable) {
		t.Errorf("coverable\n got %q\nwant %q", coverable, wantCoverable)
	}
	if len(secret) > 0 {
		t.Errorf("secrets in the state: %q", secret)
	}
	coverable = nil
	visit("", v.credentials.shape)
	wantSecret := []string{
		"/git/renderKey", "/rclone/accessKeyId", "/rclone/crypt/password", "/rclone/crypt/password2", "/rclone/secretAccessKey",
		"/restic/accessKeyId", "/restic/password", "/restic/secretAccessKey", "/secretsManager/password", "/secretsManager/username",
	}
	if !slices.Equal(secret, wantSecret) {
		t.Errorf("secret\n got %q\nwant %q", secret, wantSecret)
	}
	if len(coverable) > 0 {
		t.Errorf("coverable places in the credentials: %q", coverable)
	}
}

// TestKeywords sees a sensible message for every keyword that a user's section
// may bring.
func TestKeywords(t *testing.T) {
	t.Parallel()
	l := layouts(t)[0]
	for _, test := range []struct{ schema, value, want string }{
		{`{"exclusiveMinimum": 1}`, `1`, `HF008 /own: 1 is not more than 1`},
		{`{"exclusiveMaximum": 1}`, `1`, `HF008 /own: 1 is not less than 1`},
		{`{"multipleOf": 2}`, `3`, `HF008 /own: 3 is no multiple of 2`},
		{`{"minLength": 2}`, `"a"`, `HF008 /own: shorter than 2 characters`},
		{`{"maxLength": 2}`, `"abc"`, `HF008 /own: longer than 2 characters`},
		{`{"minItems": 1}`, `[]`, `HF008 /own: fewer than 1 entries`},
		{`{"maxItems": 1}`, `[1, 2]`, `HF008 /own: more than 1 entries`},
		{`{"uniqueItems": true}`, `[1, 1]`, `HF008 /own: two entries are the same`},
		{`{"anyOf": [{"type": "string"}, {"type": "null"}]}`, `1`, `HF008 /own: the value has none of the allowed forms`},
		{`{"not": {}}`, `1`, `HF008 /own: the value is not allowed here`},
		{`false`, `1`, ``},
		{`{"const": true}`, `null`, `HF012 /own: null is not true`},
		{`{"enum": [null, 1.5, [], {}]}`, `[]`, ``},
		{`{"enum": [null, 1.5, [], {}]}`, `false`, `HF012 /own: false is not one of null, 1.5, this array, this object`},
		{`{"const": 1}`, `[1]`, `HF012 /own: this array is not 1`},
		{`{"pattern": "^a$"}`, `"b"`, `HF008 /own: "b" is not of the form ^a$`},
		{`{"type": "object", "additionalProperties": false, "patternProperties": {"^x-": {}}}`, `{"x-a": 1, "y": 1}`, `HF004 /own/y: unknown key "y"`},
		{`{"type": "object", "x-open": true, "x-synonyms": {"host": ["where"]}, "properties": {"host": {}}}`, `{"where": 1}`, `HF004 /own/where: unknown key "where"`},
		{`{"minimum": 2, "x-rule": "HF011", "x-message": "too few"}`, `1`, `HF011 /own: too few`},
		{`{"type": "object", "properties": {"a": {}, "b": {}}, "additionalProperties": false, "x-equal": ["a", "b"], "x-at": "b", "x-rule": "HF011", "x-message": "{a} is not {b}"}`,
			`{"a": 1, "b": "{a}"}`, `HF011 /own/b: 1 is not "{a}"`},
		{`{"type": "object", "properties": {"a": {}, "bee": {}}, "additionalProperties": false, "required": ["bee"], "x-message": "no bee"}`, `{"be": 1}`, `HF004 /own/be: unknown key "be"`},
		{`{"type": "array", "items": {"type": "object", "properties": {"like": {"x-hides": "name"}, "name": {}, "namespace": {}, "backup": {}, "reason": {}}, "additionalProperties": false}}`,
			`[{"like": "a*"}, {"name": "ab", "backup": "required"}, {"name": "ac", "backup": "skip", "reason": "x"}, {"name": "ad", "namespace": "x", "backup": "required"}]`,
			`HF143 /own/0/like: "a*" also names ab, which is backed up`},
		{`{"type": "object", "properties": {"a": {"$ref": "#"}}, "additionalProperties": false, "x-coverable": true}`, `{"a": {"a": {"b": 1}}}`, `HF004 /own/a/a/b: unknown key "b"`},
	} {
		t.Run(test.schema, func(t *testing.T) {
			v, err := NewValidator(map[string]json.RawMessage{"own": json.RawMessage(test.schema)})
			if err != nil {
				if test.schema == "false" {
					return // a section is described by an object
				}
				t.Fatal(err)
			}
			state := edit(t, l.state, `"schemaVersion": 1,`, `"schemaVersion": 1, "own": `+test.value+`,`)
			_, problems := run(t, v, state, l.credentials, "")
			got := strings.Join(brief(problems), "\n")
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestKeywordsAreKnown: a keyword of a section's schema that does nothing is an error.
func TestKeywordsAreKnown(t *testing.T) {
	t.Parallel()
	for schema, want := range map[string]string{
		`{"type": "object", "requierd": ["a"]}`:                                     `/requierd: unknown keyword "requierd" (did you mean "required"?)`,
		`{"properties": {"requierd": {"x-coverabel": true}}}`:                       `/properties/requierd/x-coverabel: unknown keyword "x-coverabel" (did you mean "x-coverable"?)`,
		`{"allOf": [{}, {"if": {"const": {"itmes": 1}}, "then": {"itmes": true}}]}`: `/allOf/1/then/itmes: unknown keyword "itmes" (did you mean "items"?)`,
	} {
		if _, err := NewValidator(map[string]json.RawMessage{"own": json.RawMessage(schema)}); err == nil {
			t.Errorf("%s is taken", schema)
		}
		found := CheckSection("own", json.RawMessage(schema))
		if len(found) != 1 || found[0].Pointer+": "+found[0].Message+" ("+found[0].Hint+")" != want {
			t.Errorf("%s: got %v, want %s", schema, found, want)
		}
	}
	for _, name := range []string{formsSchema, settingsSchema, stateSchema, credentialsSchema, policySchema} {
		l, err := readSchemas(name)
		if err != nil {
			t.Fatal(err)
		}
		if found := unknownKeywords("", l[name]); len(found) > 0 {
			t.Errorf("%s: %v", name, found)
		}
	}
}

// TestLoops sees that a schema without end is an error or a problem.
func TestLoops(t *testing.T) {
	t.Parallel()
	l := layouts(t)[0]
	v, err := NewValidator(map[string]json.RawMessage{"own": json.RawMessage(`{"$ref": "#"}`)})
	if err != nil {
		return
	}
	_, problems := run(t, v, edit(t, l.state, `"schemaVersion": 1,`, `"schemaVersion": 1, "own": 1,`), l.credentials, "")
	if len(problems) == 0 {
		t.Error("no problem")
	}
}
