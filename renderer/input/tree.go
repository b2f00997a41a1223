package input

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// Document is one input as it was read.
type Document struct {
	// Name is what messages call the document, usually its path.
	Name string
	// Data is the JSON text. It must not change while its Tree is in use.
	Data []byte
	// Secret says that the document holds credentials. Messages of Load then
	// show neither pointers nor keys: a key in the wrong place may be a secret.
	Secret bool
}

// Tree is a loaded document: its values, and where each of them stands.
type Tree struct {
	// Name is the document's name.
	Name string
	// Root is the document as map[string]any, []any, string, float64 (whole
	// numbers up to 2^53 only), bool or nil. It is nil if the document could
	// not be read to its end.
	Root any

	data       []byte
	secret     bool
	unreadable bool
	flawed     bool // Load had something to say
	// nodes lists all values in document order; the first is the root.
	nodes []node
	// faulty are the nodes with a problem that Load has reported. The schema's problem
	// with them would repeat it.
	faulty map[int32]bool

	// Both are made when the first problem needs them.
	children func() map[step]int32
	newlines func() []int32
}

// node is one value of a document.
type node struct {
	value  any
	key    string // if the parent is an object
	parent int32
	index  int32 // if the parent is an array, else -1
	keyAt  int32 // offset of the key, or of the value if there is no key
	at     int32 // offset of the value
}

// step leads from a value to one of its members.
type step struct {
	parent int32
	token  string
}

func newTree(d Document) *Tree {
	t := &Tree{Name: d.Name, data: d.Data, secret: d.Secret}
	t.children = sync.OnceValue(func() map[step]int32 {
		children := make(map[step]int32, len(t.nodes))
		for i, n := range t.nodes {
			children[step{n.parent, n.token()}] = int32(i)
		}
		return children
	})
	t.newlines = sync.OnceValue(func() []int32 {
		var offsets []int32
		for i, c := range t.data {
			if c == '\n' {
				offsets = append(offsets, int32(i))
			}
		}
		return offsets
	})
	return t
}

// At returns line and column of the value that a JSON pointer (RFC 6901) leads to,
// counted from 1; a column counts bytes. If the document has no such value, it returns
// those of the innermost value on the way that exists.
func (t *Tree) At(pointer string) (line, column int) {
	if len(t.nodes) == 0 {
		return 0, 0
	}
	i, _ := t.find(pointer)
	return t.position(t.nodes[i].at)
}

// AtKey is like At, but returns line and column of the value's key if it has one.
func (t *Tree) AtKey(pointer string) (line, column int) {
	if len(t.nodes) == 0 {
		return 0, 0
	}
	i, found := t.find(pointer)
	if !found {
		return t.position(t.nodes[i].at)
	}
	return t.position(t.nodes[i].keyAt)
}

// find returns the node that pointer leads to, or the last one on the way.
func (t *Tree) find(pointer string) (i int32, found bool) {
	for _, token := range tokens(pointer) {
		next, ok := t.children()[step{i, token}]
		if !ok || next == 0 {
			return i, false
		}
		i = next
	}
	return i, true
}

// lookup returns the value that tokens lead to, or nil.
func (t *Tree) lookup(tokens ...string) any { return descend(t.Root, tokens) }

// descend returns what tokens lead to from value, or nil.
func descend(value any, tokens []string) any {
	for _, token := range tokens {
		switch v := value.(type) {
		case map[string]any:
			value = v[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

// text returns the string that tokens lead to, or "".
func (t *Tree) text(tokens ...string) string {
	s, _ := t.lookup(tokens...).(string)
	return s
}

// pointer returns the JSON pointer to a node.
func (t *Tree) pointer(i int32) string {
	var parts []string
	for ; i > 0; i = t.nodes[i].parent {
		parts = append(parts, escape(t.nodes[i].token()))
	}
	slices.Reverse(parts)
	return joined(parts)
}

// position returns the line and column of an offset.
func (t *Tree) position(offset int32) (line, column int) {
	newlines := t.newlines()
	line, _ = slices.BinarySearchFunc(newlines, offset, cmp.Compare[int32])
	start := int32(0)
	if line > 0 {
		start = newlines[line-1] + 1
	}
	return line + 1, int(offset-start) + 1
}

// problem returns a problem with the value at pointer.
func (t *Tree) problem(rule, pointer, message, hint string) problem.Problem {
	line, column := t.At(pointer)
	return problem.Problem{File: t.Name, Line: line, Column: column, Pointer: pointer, Message: message, Hint: hint, Rule: rule}
}

func (n node) token() string {
	if n.index >= 0 {
		return strconv.Itoa(int(n.index))
	}
	return n.key
}

// tokens splits a JSON pointer.
func tokens(pointer string) []string {
	if pointer == "" {
		return nil
	}
	parts := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, part := range parts {
		if strings.Contains(part, "~") {
			parts[i] = strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
		}
	}
	return parts
}

// escape makes a key a token of a JSON pointer.
func escape(key string) string {
	if !strings.ContainsAny(key, "~/") {
		return key
	}
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}

// joined makes a JSON pointer of tokens that are escaped already.
func joined(tokens []string) string {
	if len(tokens) == 0 {
		return ""
	}
	return "/" + strings.Join(tokens, "/")
}
