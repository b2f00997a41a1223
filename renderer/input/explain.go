package input

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v5"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// fault is one violation of a schema: which keyword of which schema, and where
// in the document.
type fault struct {
	document *checked
	keyword  string
	schema   map[string]any
	pointer  string
	value    any
	// named says that the name of the value is at fault, not the value.
	named bool
}

// explain turns what the schema library says into our own problems. Its
// messages are never used: some of them show the value.
func (v *Validator) explain(d *checked, err error) problem.List {
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return problem.List{d.problem("HF008", "", "the schema cannot be applied", "a section's schema may refer to itself without end")}
	}
	var problems problem.List
	var visit func(e *jsonschema.ValidationError)
	visit = func(e *jsonschema.ValidationError) {
		if len(problems) >= maxProblems {
			return
		}
		location := e.AbsoluteKeywordLocation
		keyword := location[strings.LastIndex(location, "/")+1:]
		// What each branch of a choice says would drown the reader.
		if len(e.Causes) > 0 && keyword != "anyOf" && keyword != "oneOf" {
			for _, cause := range e.Causes {
				visit(cause)
			}
			return
		}
		f := fault{document: d, keyword: keyword, pointer: unescape(e.InstanceLocation)}
		f.named = strings.Contains(e.KeywordLocation, "/propertyNames/")
		f.schema, _ = v.library.at(strings.TrimSuffix(location, "/"+keyword)).(map[string]any)
		i, found := d.find(f.pointer)
		if !found || d.faulty[i] {
			return // Load has said what there is to say
		}
		f.value = d.nodes[i].value
		problems = append(problems, f.problems()...)
	}
	visit(invalid)
	if len(problems) >= maxProblems {
		return append(problems[:maxProblems], tooMany(d.Tree))
	}
	return problems
}

// problems says what is wrong in words.
func (f fault) problems() problem.List {
	switch f.keyword {
	case "additionalProperties", "unevaluatedProperties":
		return f.unknown()
	case "required":
		return f.missing()
	case "type":
		hint := ""
		if words, ok := f.schema["enum"].([]any); ok {
			shown := make([]string, len(words))
			for i, word := range words {
				shown[i] = show(word)
			}
			hint = "write one of " + strings.Join(shown, ", ")
		}
		return f.one("HF006", fmt.Sprintf("expected %s, found %s", types(f.schema["type"]), typeOf(f.value)), hint)
	}
	if f.document.form.secret {
		if text, ok := f.value.(string); ok && strings.TrimSpace(text) != text && f.keyword == "pattern" {
			return problem.List{f.document.whiteSpace(f.pointer)}
		}
	}
	rule, message, hint := f.form()
	return f.own(rule, message, hint)
}

// own puts what the schema itself says of a failing condition in the place of rule,
// message and hint. A condition on a key that stands there misspelt is not said: unknown
// tells of that.
func (f fault) own(rule, message, hint string) problem.List {
	text := func(keyword, otherwise string) string {
		if own, ok := f.schema[keyword].(string); ok {
			return own
		}
		return otherwise
	}
	misspelt := f.misspelt()
	for _, key := range f.about() {
		if misspelt[key] {
			return nil
		}
	}
	message, at := text("x-message", message), text("x-at", "")
	if object, ok := f.value.(map[string]any); ok && at != "" {
		f.pointer += "/" + escape(at)
		if !f.document.form.secret {
			message = filled(message, object)
		}
	}
	return f.one(text("x-rule", rule), message, text("x-hint", hint))
}

// filled puts the properties of an object into a message that names them: {name}.
func filled(message string, object map[string]any) string {
	var values []string
	for _, name := range slices.Sorted(maps.Keys(object)) {
		values = append(values, "{"+name+"}", show(object[name]))
	}
	return strings.NewReplacer(values...).Replace(message)
}

// about are the keys of an object that a condition names.
func (f fault) about() []string {
	keys := append(texts(f.schema["required"]), texts(f.schema["x-equal"])...)
	branches, _ := f.schema["anyOf"].([]any)
	for _, branch := range branches {
		object, _ := branch.(map[string]any)
		keys = append(keys, texts(object["required"])...)
	}
	if at, ok := f.schema["x-at"].(string); ok {
		keys = append(keys, at)
	}
	return keys
}

// misspelt are the keys of an object that stand there under a name that is not known.
func (f fault) misspelt() map[string]bool {
	object, _ := f.value.(map[string]any)
	shape := f.document.form.shape.descend(tokens(f.pointer))
	misspelt := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		switch {
		case shape == nil || shape.properties[key] != nil:
		case shape.open:
			misspelt[shape.meantOpen(f.document.form.words, key, object)] = true
		default:
			misspelt[f.document.form.words.meant(key, shape.keys, object)] = true
		}
	}
	return misspelt
}

// form says which allowed value or form the value does not have.
func (f fault) form() (rule, message, hint string) {
	argument := f.schema[f.keyword]
	switch f.keyword {
	case "enum":
		allowed, _ := argument.([]any)
		return f.choice(allowed)
	case "const":
		return f.choice([]any{argument})
	case "pattern":
		form, ok := f.schema["x-form"].(string)
		if !ok {
			form = "of the form " + fmt.Sprint(argument)
		}
		return "HF008", f.subject() + " is not " + form, ""
	case "minimum":
		return "HF008", f.subject() + " is less than " + show(argument), ""
	case "maximum":
		return "HF008", f.subject() + " is more than " + show(argument), ""
	case "exclusiveMinimum":
		return "HF008", f.subject() + " is not more than " + show(argument), ""
	case "exclusiveMaximum":
		return "HF008", f.subject() + " is not less than " + show(argument), ""
	case "multipleOf":
		return "HF008", f.subject() + " is no multiple of " + show(argument), ""
	case "minLength":
		if show(argument) == "1" {
			return "HF008", "the value is empty", ""
		}
		return "HF008", "shorter than " + show(argument) + " characters", ""
	case "maxLength":
		return "HF008", "longer than " + show(argument) + " characters", ""
	case "minItems", "minProperties":
		return "HF008", "fewer than " + show(argument) + " entries", ""
	case "maxItems", "maxProperties":
		return "HF008", "more than " + show(argument) + " entries", ""
	case "uniqueItems":
		return "HF008", "two entries are the same", ""
	case "anyOf", "oneOf":
		return "HF008", "the value has none of the allowed forms", ""
	}
	return "HF008", "the value is not allowed here", ""
}

// choice says that the value is none of those allowed.
func (f fault) choice(allowed []any) (rule, message, hint string) {
	shown, words := make([]string, len(allowed)), []string{}
	for i, a := range allowed {
		shown[i] = show(a)
		if word, ok := a.(string); ok {
			shown[i] = word
			words = append(words, word)
		}
	}
	among := "one of " + strings.Join(shown, ", ")
	if len(shown) == 1 {
		among = shown[0]
	}
	if text, ok := f.value.(string); ok && !f.document.form.secret {
		if near := f.document.form.words.meant(text, words, nil); near != "" {
			hint = didYouMean(near)
		}
	}
	return "HF012", f.subject() + " is not " + among, hint
}

// unknown says which keys of an object are not known.
func (f fault) unknown() problem.List {
	object, _ := f.value.(map[string]any)
	known := f.known()
	var problems problem.List
	for _, key := range f.unknownKeys(object) {
		near := f.document.form.words.meant(key, known, object)
		if near == "" {
			// Perhaps it was meant to be a second one.
			near = f.document.form.words.meant(key, known, nil)
		}
		hint := ""
		switch {
		case near != "":
			hint = didYouMean(near)
		case len(known) > 0:
			hint = "known keys: " + strings.Join(known, ", ")
		}
		pointer := f.pointer + "/" + escape(key)
		line, column := f.document.AtKey(pointer)
		message := "unknown key " + quoted(key)
		if f.document.form.secret && near == "" {
			// It may be a secret that lost its key.
			message, pointer = "unknown key", f.pointer
		}
		problems = append(problems, problem.Problem{File: f.document.Name, Line: line, Column: column, Pointer: pointer, Message: message, Hint: hint, Rule: "HF004"})
		if len(problems) > maxProblems {
			break
		}
	}
	return problems
}

// missing says which keys an object lacks. One that stands there misspelt is
// left out: unknown tells of it.
func (f fault) missing() problem.List {
	object, _ := f.value.(map[string]any)
	required, _ := f.schema["required"].([]any)
	shape := f.document.form.shape.descend(tokens(f.pointer))
	misspelt := f.misspelt()
	var problems problem.List
	for _, r := range required {
		key, _ := r.(string)
		if _, present := object[key]; present || misspelt[key] {
			continue
		}
		if f.schema["x-message"] != nil {
			problems = append(problems, f.own("", "", "")...)
			continue
		}
		p := f.document.problem("HF005", f.pointer, "key "+quoted(key)+" is missing", f.describe(shape, key))
		if key == "reason" {
			p.Rule = "HF011"
		}
		problems = append(problems, p)
	}
	return problems
}

// one is a list of one problem, at the value or at its name.
func (f fault) one(rule, message, hint string) problem.List {
	p := f.document.problem(rule, f.pointer, message, hint)
	if f.named {
		p.Line, p.Column = f.document.AtKey(f.pointer)
	}
	return problem.List{p}
}

// subject is how a message calls the value.
func (f fault) subject() string {
	switch {
	case f.document.form.secret:
		return "the value"
	case f.named:
		parts := tokens(f.pointer)
		return "the key " + quoted(parts[len(parts)-1])
	}
	return show(f.value)
}

// known lists the keys that an object may have, sorted.
func (f fault) known() []string {
	properties, _ := f.schema["properties"].(map[string]any)
	return slices.Sorted(maps.Keys(properties))
}

// unknownKeys lists the keys of an object that its schema does not name.
func (f fault) unknownKeys(object map[string]any) []string {
	properties, _ := f.schema["properties"].(map[string]any)
	patterns, _ := f.schema["patternProperties"].(map[string]any)
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(object)) {
		_, known := properties[key]
		for pattern := range patterns {
			matched, err := regexp.MatchString(pattern, key)
			known = known || err == nil && matched
		}
		if i, found := f.document.find(f.pointer + "/" + escape(key)); !known && found && !f.document.faulty[i] {
			keys = append(keys, key)
		}
	}
	return keys
}

// describe is the hint for a missing key: what it is.
func (f fault) describe(s *shape, key string) string {
	if s == nil || s.properties[key] == nil {
		return ""
	}
	return strings.TrimSuffix(s.properties[key].description, ".")
}

// descend follows the tokens of a pointer.
func (s *shape) descend(tokens []string) *shape {
	for _, token := range tokens {
		switch {
		case s == nil:
			return nil
		case s.items != nil:
			s = s.items
		case s.properties[token] != nil:
			s = s.properties[token]
		default:
			s = s.additional
		}
	}
	return s
}

// types lists the types that a schema allows.
func types(keyword any) string {
	switch t := keyword.(type) {
	case string:
		return t
	case []any:
		names := make([]string, len(t))
		for i, name := range t {
			names[i] = fmt.Sprint(name)
		}
		return strings.Join(names, " or ")
	}
	return "another type"
}

// show writes a value of a schema, or one that is no secret.
func show(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return number(v)
	case string:
		return quoted(v)
	case []any:
		return "this array"
	}
	return "this object"
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func didYouMean(word string) string { return "did you mean " + quoted(word) + "?" }
