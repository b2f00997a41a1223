// Package input turns documents into values that the rest of Holdfast can
// trust. It is the first two of the nine steps:
//
//	load      Load: bytes → Tree, values with the places they stand at
//	validate  Validator.Validate: trees → []Instance, all documents together
//
// What is wrong comes back as a problem.List, as much of it at once as can be
// found. What the schemas in package schemas can say is said there; what needs
// two values or two documents is in rules.go.
//
// No message repeats a value of the credentials, whatever is wrong with it.
package input
