package input

import (
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
