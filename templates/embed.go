// Package templates carries the shapes of all manifests into the binary: one
// folder for each kind, the platform's templates, and the library that
// both use.
package templates

import "embed"

// FS holds this folder. A kind is a folder below kinds; nothing else makes one. What is
// below new becomes one: see holdfast kind new.
//
//go:embed lib kinds new platform
var FS embed.FS
