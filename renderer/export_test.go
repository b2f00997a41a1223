package renderer

import (
	"github.com/holdfast-backup/holdfast/renderer/eval"
	"github.com/holdfast-backup/holdfast/renderer/input"
)

// Parts hands a Renderer's parts to the benchmarks, which run single steps.
func (r *Renderer) Parts() (*input.Validator, *eval.Program) { return r.validator, r.program }
