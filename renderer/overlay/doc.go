// Package overlay applies a kustomization of the user's own to what was
// rendered, before it is ordered, inspected and sealed: kustomize's fields are
// the way to say what no input has a word for (tolerations, labels, a prefix).
//
// All of an instance's objects go through one build, whichever stage applies
// them, so that a new name reaches everything that refers to it. Secrets go
// through it by name only: kustomize never sees a value. What comes out keeps
// every rule of the tree, for the overlay's result is inspected as templates'
// results are.
//
// It is the only package that knows kustomize. Files of the overlay are read
// from the fs.FS that it is given, nothing is fetched and nothing is run, so
// that the same overlay gives the same bytes anywhere.
package overlay
