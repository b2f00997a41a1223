package input

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// keywords are those of a schema, by what they hold: a schema, a list of schemas,
// schemas by name, or none. A JSON Schema may have any others, which then do nothing; in
// a section that would be a check that somebody believes in.
func keywords() map[string]string {
	held := map[string]string{}
	for holds, list := range map[string]string{
		"schema": "additionalProperties contains else if items not propertyNames then unevaluatedItems unevaluatedProperties",
		"list":   "allOf anyOf oneOf prefixItems",
		"map":    "$defs dependentSchemas patternProperties properties",
		"none": "$anchor $comment $dynamicAnchor $dynamicRef $id $ref $schema const default dependentRequired deprecated description enum " +
			"examples exclusiveMaximum exclusiveMinimum format maxContains maxItems maxLength maxProperties maximum minContains minItems " +
			"minLength minProperties minimum multipleOf pattern readOnly required title type uniqueItems writeOnly " +
			// Our own, which forms.schema.json describes.
			"x-agrees x-at x-coverable x-endpoint x-equal x-form x-hides x-hint x-message x-open x-rule x-same x-secret x-synonyms x-unused",
	} {
		for keyword := range strings.FieldsSeq(list) {
			held[keyword] = holds
		}
	}
	return held
}

// unknownKeywords are those of a schema that do nothing.
func unknownKeywords(pointer string, schema any) problem.List {
	object, _ := schema.(map[string]any)
	known := keywords()
	var found problem.List
	for _, keyword := range slices.Sorted(maps.Keys(object)) {
		at, value := pointer+"/"+escape(keyword), object[keyword]
		switch known[keyword] {
		case "schema":
			found = append(found, unknownKeywords(at, value)...)
		case "list":
			list, _ := value.([]any)
			for i, entry := range list {
				found = append(found, unknownKeywords(at+"/"+strconv.Itoa(i), entry)...)
			}
		case "map":
			schemas, _ := value.(map[string]any)
			for _, name := range slices.Sorted(maps.Keys(schemas)) {
				found = append(found, unknownKeywords(at+"/"+escape(name), schemas[name])...)
			}
		case "":
			hint := "JSON Schema 2020-12 has no such keyword, so it would do nothing"
			if near := problem.Nearest(keyword, slices.Sorted(maps.Keys(known))); near != "" {
				hint = didYouMean(near)
			}
			found = append(found, problem.Problem{Pointer: at, Message: "unknown keyword " + quoted(keyword), Hint: hint})
		}
	}
	return found
}
