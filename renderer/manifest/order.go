package manifest

import (
	"cmp"
	"slices"

	"github.com/holdfast-backup/holdfast/renderer/eval"
)

// Order flattens rendered files into objects in one total order: by file, then
// by what others in the file need first, then by name. It does not depend on
// the order in which templates made them.
func Order(files []eval.Rendered) []Object {
	var objects []Object
	for _, f := range files {
		for _, o := range f.Objects {
			objects = append(objects, Object{Path: f.Path, Value: o})
		}
	}
	return ordered(objects)
}

// ordered sorts objects in place, as Order says.
func ordered(objects []Object) []Object {
	kinds := newTable()
	slices.SortStableFunc(objects, func(a, b Object) int {
		return cmp.Or(
			cmp.Compare(a.Path, b.Path),
			cmp.Compare(kinds.rank(a), kinds.rank(b)),
			cmp.Compare(a.Kind(), b.Kind()),
			cmp.Compare(a.Namespace(), b.Namespace()),
			cmp.Compare(a.Name(), b.Name()),
		)
	})
	return objects
}

// APIVersion is the object's; "" when it has none, and so are the others.
func (o Object) APIVersion() string { return text(o.Value, "apiVersion") }

// Kind is its kind.
func (o Object) Kind() string { return text(o.Value, "kind") }

// Name is metadata.name.
func (o Object) Name() string { return text(o.Value, "metadata", "name") }

// Namespace is metadata.namespace.
func (o Object) Namespace() string { return text(o.Value, "metadata", "namespace") }

// ID names the object in messages: Kind/namespace/name.
func (o Object) ID() string {
	if o.Namespace() == "" {
		return o.Kind() + "/" + o.Name()
	}
	return o.Kind() + "/" + o.Namespace() + "/" + o.Name()
}

// at walks into nested maps; nil when something on the way is missing.
func at(value any, path ...string) any {
	for _, name := range path {
		m, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = m[name]
	}
	return value
}

func text(value any, path ...string) string {
	s, _ := at(value, path...).(string)
	return s
}

func list(value any, path ...string) []any {
	l, _ := at(value, path...).([]any)
	return l
}

func object(value any, path ...string) map[string]any {
	m, _ := at(value, path...).(map[string]any)
	return m
}

// number reads a JSON number, whichever Go type it came as.
func number(value any, path ...string) (float64, bool) {
	switch n := at(value, path...).(type) {
	case float64:
		return n, true
	case int64:
		return float64(n), true
	case int:
		return float64(n), true
	}
	return 0, false
}
