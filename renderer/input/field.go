package input

import "strings"

// Field returns the text at a dotted path of the document, such as
// "restic.password", and whether there is one.
func (c *Credentials) Field(path string) (string, bool) {
	value := c.Tree.Root
	for name := range strings.SplitSeq(path, ".") {
		section, ok := value.(map[string]any)
		if !ok {
			return "", false
		}
		value = section[name]
	}
	text, ok := value.(string)
	return text, ok && text != ""
}
