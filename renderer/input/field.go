package input

import (
	"maps"
	"slices"
	"strings"
)

// Field returns the text at a dotted path of the document, such as
// "restic.password", and whether there is one.
func (c *Credentials) Field(path string) (string, bool) {
	text := c.Tree.text(strings.Split(path, ".")...)
	return text, text != ""
}

// Has reports whether the document has a field: its value, or null instead of a secret
// that only an external store knows.
func (c *Credentials) Has(path string) bool {
	_, found := c.Field(path)
	return found || slices.Contains(c.outside, path)
}

// Sections are the names of the document's sections, sorted.
func (c *Credentials) Sections() []string {
	root, _ := c.Tree.Root.(map[string]any)
	return slices.Sorted(maps.Keys(root))
}

// ReadOnly reports whether a section is a login that does not say of itself that it may
// write (writeEnabled).
func (c *Credentials) ReadOnly(section string) bool {
	object, _ := c.Tree.lookup(section).(map[string]any)
	_, login := object["username"]
	return login && object["writeEnabled"] != true
}
