// Package manifest knows Kubernetes objects as plain values: their order, the
// rules that no schema checks, and their canonical YAML. It seals them into a
// Bundle, the whole tree in memory.
package manifest

import "github.com/holdfast-backup/holdfast/renderer/secrets"

// Object is one Kubernetes object and the file of the tree that holds it.
type Object struct {
	// Path is relative to the tree's root, with forward slashes. Several
	// objects may share a path; they become one multi-document file.
	Path string
	// Value is the object as plain JSON values: map[string]any, []any, string,
	// float64, bool, nil.
	Value map[string]any
}

// File is one file of a tree, complete.
type File struct {
	Path string
	Data []byte
	// Secret says that Data holds secret values in plain text.
	Secret bool
	// Unseen is set where the values of a Secret are not known: Data has a
	// placeholder for each ciphertext, and Unseen says what fits there.
	Unseen *secrets.Unseen
}

// Bundle is a whole tree in memory, sorted by path. It is what a run writes,
// or nothing.
type Bundle struct {
	Files []File
}
