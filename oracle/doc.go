// Package oracle checks what Holdfast renders with the code of those who will read it:
// Kubernetes' types, Kubernetes' Pod Security evaluator, K8up's own
// CustomResourceDefinitions. It has tests only, and a module of its own, so that their
// dependencies stay out of Holdfast's.
package oracle
