// Package renderer turns what a platform instance is, and where its backups go,
// into every manifest that backs it up, in nine steps:
//
//	load      input     bytes → values with positions
//	validate  input     values → instances, by JSON Schema and across documents
//	discover  kind      a state → units, by each kind's own units(state)
//	plan      plan      units → names, times, retention, repositories, egress
//	check     plan      a plan → problems, each with a numbered rule
//	render    eval      a plan → objects, by the kinds and the platform
//	order     manifest  objects → objects in one total order
//	seal      manifest  objects → a bundle of files, every rule about them kept,
//	                    Secrets encrypted by package seal
//	emit      emit      a bundle → a stream, a tree
//
// Between render and order stands the user's own kustomization (overlay), if
// there is one. Plan runs the first five, Render all but the last, which is its
// caller's.
//
// Render is a pure function: the same documents give the same bytes on any
// machine, in any zone, in any order of keys. It returns a bundle, or the
// problems that any step found.
//
// Packages below it, from low to high: problem, mask, seal, input, eval, kind, plan,
// yaml, secrets, manifest, overlay, emit, publish. None imports upward; only emit, publish and
// cmd touch files or clocks.
package renderer
