package input

import (
	"maps"
	"slices"
)

// SecretFields returns the names of the fields that the documents' schemas mark with
// x-secret, sorted. Their values are shown to nobody.
func SecretFields() []string {
	found := map[string]bool{}
	documents, err := readLibrary(nil)
	if err != nil {
		// The schemas are part of the program.
		panic(err)
	}
	for _, schema := range documents {
		secretFields("", schema, found)
	}
	return slices.Sorted(maps.Keys(found))
}

// NameFields returns the fields that a schema marks with x-secret and that are names.
// Many of them are the same as a bucket's name, so a message or a manifest may have
// them.
func NameFields() []string { return []string{"accessKeyId", "username"} }

// secretFields collects the properties that a schema marks. name is the property that
// the schema is of, which holds for what it is made of, too: the branches of an anyOf.
func secretFields(name string, schema any, found map[string]bool) {
	switch s := schema.(type) {
	case []any:
		for _, e := range s {
			secretFields(name, e, found)
		}
	case map[string]any:
		if s["x-secret"] == true && name != "" {
			found[name] = true
		}
		for key, e := range s {
			properties, _ := e.(map[string]any)
			if key != "properties" && key != "$defs" {
				secretFields(name, e, found)
				continue
			}
			for property, p := range properties {
				secretFields(property, p, found)
			}
		}
	}
}
