package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// The tags of a plan's fields say where they go. json is the name, for templates and in
// plan.json; plan:"-" keeps a field out of plan.json, for it follows from others there.

// Encode writes plan.json: what was decided, without what follows from it, and without
// the decisions that nobody made.
func Encode(plans ...*Plan) ([]byte, error) {
	records := make([]any, len(plans))
	for n, p := range plans {
		record := reflect.New(reflect.TypeFor[Plan]()).Elem()
		record.Set(reflect.ValueOf(*p))
		records[n] = recorded(record).Interface()
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	var err error
	if len(records) == 1 {
		err = encoder.Encode(records[0])
	} else {
		err = encoder.Encode(records)
	}
	return b.Bytes(), err
}

// Value returns the plan as plain JSON values, the form that templates see: whole, where
// plan.json leaves out what follows. What only people read is left out here, for each
// value that a template sees costs time.
func (p *Plan) Value() any {
	view := *p
	view.Units = slices.Clone(p.Units)
	for i := range view.Units {
		view.Units[i].Decisions = nil
		view.Units[i].Limits = nil
	}
	return plain(reflect.ValueOf(view))
}

// plain makes the values of which encoding/json would write the text, without the text
// in between. What is marked omitzero is always there.
func plain(v reflect.Value) any {
	switch v.Kind() { //nolint:exhaustive // a plan has no others
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return v.Bool()
	case reflect.Int, reflect.Int64:
		return float64(v.Int())
	case reflect.Float64:
		return v.Float()
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem())
	case reflect.Slice:
		list := make([]any, v.Len())
		for n := range list {
			list[n] = plain(v.Index(n))
		}
		return list
	case reflect.Map:
		object := make(map[string]any, v.Len())
		for entries := v.MapRange(); entries.Next(); {
			object[entries.Key().String()] = plain(entries.Value())
		}
		return object
	case reflect.Struct:
		object := make(map[string]any, v.NumField())
		addFields(object, v)
		return object
	}
	panic(fmt.Sprintf("a plan with a %s", v.Type()))
}

// addFields adds a struct's fields by their names in JSON. Those of an embedded struct
// come first: the outer one's have the last word.
func addFields(object map[string]any, v reflect.Value) {
	t := v.Type()
	for n := range t.NumField() {
		if t.Field(n).Anonymous {
			addFields(object, reflect.Indirect(v.Field(n)))
		}
	}
	for n := range t.NumField() {
		field := t.Field(n)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous || !field.IsExported() || name == "-" || options == "omitempty" && isEmpty(v.Field(n)) {
			continue
		}
		object[name] = plain(v.Field(n))
	}
}

// isEmpty says what encoding/json leaves out of a field with omitempty.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() { //nolint:exhaustive // no other has a length
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// recorded is a copy of a value without what plan.json leaves out.
func recorded(v reflect.Value) reflect.Value {
	switch v.Kind() { //nolint:exhaustive // the others have no fields
	case reflect.Struct:
		if d, ok := v.Interface().(Decision); ok && strings.HasPrefix(d.From, builtin) {
			return reflect.Value{}
		}
		r := reflect.New(v.Type()).Elem()
		for n := range v.NumField() {
			if field := v.Type().Field(n); field.IsExported() && field.Tag.Get("plan") != "-" {
				r.Field(n).Set(recorded(v.Field(n)))
			}
		}
		return r
	case reflect.Pointer:
		if v.IsNil() || v.Elem().Kind() != reflect.Struct {
			return v
		}
		r := reflect.New(v.Type().Elem())
		r.Elem().Set(recorded(v.Elem()))
		return r
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		r := reflect.MakeSlice(v.Type(), 0, v.Len())
		for n := range v.Len() {
			if entry := recorded(v.Index(n)); entry.IsValid() {
				r = reflect.Append(r, entry)
			}
		}
		return r
	case reflect.Map:
		if v.IsNil() {
			return v
		}
		r := reflect.MakeMapWithSize(v.Type(), v.Len())
		for entries := v.MapRange(); entries.Next(); {
			r.SetMapIndex(entries.Key(), recorded(entries.Value()))
		}
		return r
	}
	return v
}
