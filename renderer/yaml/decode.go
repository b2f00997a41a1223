package yaml

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	sigs "sigs.k8s.io/yaml"
)

// ExcessiveAliases says whether the aliases of a document in a YAML stream stand for more than
// anybody means: aliases of aliases grow to gigabytes in who follows each. What else is
// wrong with data is not its matter.
func ExcessiveAliases(data []byte) bool {
	for len(data) > 0 {
		var document []byte
		document, data = cutDocument(data)
		if _, err := sigs.YAMLToJSON(document); err != nil && strings.Contains(err.Error(), "excessive aliasing") {
			return true
		}
	}
	return false
}

// Decode reads a YAML stream and returns its documents as plain JSON values,
// in order. Empty documents are left out. A document that is no object, and a
// key that stands twice, are errors. No error repeats a value.
func Decode(data []byte) ([]map[string]any, error) {
	var objects []map[string]any
	line := 1
	for len(data) > 0 {
		var document []byte
		document, data = cutDocument(data)
		start := line
		line += bytes.Count(document, []byte("\n"))
		var value any
		if err := sigs.UnmarshalStrict(document, &value); err != nil {
			return nil, fmt.Errorf("document that starts at line %d: %w", start, withoutValues(err))
		}
		if value == nil {
			continue
		}
		object, ok := value.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("document that starts at line %d: it is no object", start)
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// cutDocument cuts the first document off a stream. It looks for marker lines
// only, and that is exact: YAML forbids "---" and "..." at the start of a line
// inside every kind of text. (The reader itself would stop at the second
// document and say nothing.)
func cutDocument(data []byte) (document, rest []byte) {
	for i := 1; i < len(data); i++ {
		switch c := data[i]; {
		case c != '-' && c != '.':
		case !afterBreak(data[:i]):
		case c == '-' && isMarker(data[i:], "---"):
			return data[:i], data[i:]
		case c == '.' && isMarker(data[i:], "..."):
			end := i + len("...")
			return data[:end], data[end:]
		}
	}
	return data, nil
}

// afterBreak reports whether what follows data starts a line. YAML 1.1 knows
// more line breaks than \n and \r.
func afterBreak(data []byte) bool {
	for _, end := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
		if bytes.HasSuffix(data, []byte(end)) {
			return true
		}
	}
	return false
}

func isMarker(data []byte, marker string) bool {
	after, ok := bytes.CutPrefix(data, []byte(marker))
	return ok && (len(after) == 0 || bytes.IndexByte([]byte(" \t\r\n"), after[0]) >= 0 ||
		bytes.HasPrefix(after, []byte("\u0085")) || bytes.HasPrefix(after, []byte("\u2028")) || bytes.HasPrefix(after, []byte("\u2029")))
}

// withoutValues returns err, or a plain text in its place when its own text
// could quote the document, in which a secret may stand.
func withoutValues(err error) error {
	text := err.Error()
	if strings.ContainsAny(text, "'`\"") && !strings.Contains(text, "already set in map") {
		return errors.New("it is not readable as YAML")
	}
	return err
}
