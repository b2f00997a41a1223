// Package emit takes a sealed bundle to where it is needed: a stream for
// kubectl, a tree of files for Git, or a comparison with such a tree.
//
// A tree is one folder that several instances share. Each instance has a
// top-level folder of its own, with an inventory of what Holdfast wrote there.
// A run replaces whole top-level folders, all of them or none, and keeps
// everything in them that no inventory lists.
package emit
