// Package schemas holds the JSON Schemas (2020-12) of Holdfast's documents.
// They are published as files, and embedded so that a run needs no network.
package schemas

import "embed"

// FS holds the schemas, each under its file's name. Nobody writes to it.
//
//go:embed *.json
var FS embed.FS
