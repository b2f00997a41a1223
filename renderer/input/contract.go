package input

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v5"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// Contract is a schema that kinds of sources keep, as documents keep theirs: what
// is wrong is explained in the same words.
type Contract struct {
	validator Validator
	form      *form
}

// NewContracts prepares the schemas in files of package schemas, such as
// "unit.schema.json", in their order.
func NewContracts(files ...string) ([]*Contract, error) {
	texts, err := readSchemas(append([]string{formsSchema, settingsSchema}, files...)...)
	if err != nil {
		return nil, err
	}
	forms, err := texts.compile(files...)
	if err != nil {
		return nil, err
	}
	contracts := make([]*Contract, len(forms))
	for i, form := range forms {
		contracts[i] = &Contract{validator: Validator{library: texts}, form: form}
	}
	return contracts, nil
}

// Document loads a document and says what the schema has against it, with file,
// line and pointer. The rules are those of documents (HF001 to HF012).
func (c *Contract) Document(document Document) (*Tree, problem.List) {
	tree, problems := Load(document)
	if len(problems) > 0 {
		return tree, problems
	}
	return tree, c.check(tree)
}

// Value is Document for a JSON value that has no text: its problems have a
// pointer, and neither file nor line.
func (c *Contract) Value(value any) problem.List {
	if c.form.schema.Validate(value) == nil {
		return nil
	}
	data, err := json.Marshal(value)
	if err != nil {
		return problem.List{{Message: "the value cannot be written as JSON", Rule: "HF001"}}
	}
	_, problems := c.Document(Document{Data: data})
	for i := range problems {
		problems[i].Line, problems[i].Column = 0, 0
	}
	return problems
}

func (c *Contract) check(tree *Tree) problem.List {
	return c.validator.explain(&checked{Tree: tree, form: c.form}, c.form.schema.Validate(tree.Root))
}

// Place is a problem's place in the document: that of its pointer.
func (t *Tree) Place(pointer string, p problem.Problem) problem.Problem {
	p.File, p.Pointer = t.Name, pointer
	p.Line, p.Column = t.At(pointer)
	return p
}

// CheckSection says why the schema of a section cannot be used (NewValidator). The
// pointers lead into the schema.
func CheckSection(name string, section json.RawMessage) problem.List {
	var schema any
	if err := json.Unmarshal(section, &schema); err != nil {
		return problem.List{{Message: "the schema is no JSON"}}
	}
	compiler := jsonschema.NewCompiler()
	meta, err := compiler.Compile("https://json-schema.org/draft/2020-12/schema")
	if err != nil {
		return problem.List{{Message: err.Error()}}
	}
	var invalid *jsonschema.ValidationError
	if errors.As(meta.Validate(schema), &invalid) {
		return schemaFaults(schema, invalid)
	}
	if unknown := unknownKeywords("", schema); len(unknown) > 0 {
		return unknown
	}
	if _, err := NewValidator(map[string]json.RawMessage{name: section}); err != nil {
		// The last words say it, those before only lead there.
		reason := err
		for inner := errors.Unwrap(reason); inner != nil; inner = errors.Unwrap(reason) {
			reason = inner
		}
		return problem.List{{Message: "the schema cannot be used: " + strings.TrimPrefix(reason.Error(), "jsonschema: ")}}
	}
	return nil
}

// schemaFaults says where a schema is none. What its own schema consists of is no
// matter to the reader, so nothing of the way through that is shown.
func schemaFaults(schema any, invalid *jsonschema.ValidationError) problem.List {
	var problems problem.List
	var visit func(e *jsonschema.ValidationError)
	visit = func(e *jsonschema.ValidationError) {
		pointer := unescape(e.InstanceLocation)
		at := tokens(pointer)
		value := descend(schema, at)
		if word, ok := value.(string); ok && len(at) > 0 && at[len(at)-1] == "type" {
			allowed := []string{"array", "boolean", "integer", "null", "number", "object", "string"}
			hint := "write one of " + strings.Join(allowed, ", ")
			if near := problem.Nearest(word, allowed); near != "" {
				hint = didYouMean(near)
			}
			problems = append(problems, problem.Problem{Pointer: pointer, Message: show(word) + " is no type", Hint: hint})
			return
		}
		if len(e.Causes) == 0 {
			problems = append(problems, problem.Problem{Pointer: pointer, Message: strings.ReplaceAll(e.Message, ", but got ", ", found ")})
		}
		for _, cause := range e.Causes {
			visit(cause)
		}
	}
	visit(invalid)
	return slices.Compact(problems.Sorted())
}
