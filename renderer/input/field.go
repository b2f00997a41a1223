package input

import "strings"

// Field returns the text at a dotted path of the document, such as
// "restic.password", and whether there is one.
func (c *Credentials) Field(path string) (string, bool) {
	text := c.Tree.text(strings.Split(path, ".")...)
	return text, text != ""
}
