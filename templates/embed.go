// Package templates carries the shapes of all manifests into the binary: one
// folder for each kind, the platform's templates, and the library that
// both use.
package templates

import "embed"

// FS holds this folder. A kind is a folder below kinds; nothing else makes one.
//
//go:embed lib kinds platform
var FS embed.FS
