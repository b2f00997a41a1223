// Package emit is the last of the nine steps. It writes a bundle as a stream for
// kubectl or as a tree of files for Git, or compares it with such a tree. Package
// publish commits a tree with it.
//
// A tree is one folder that several instances share. Each instance has a
// top-level folder of its own, with an inventory of what Holdfast wrote there.
// A run replaces whole top-level folders, all of them or none, and keeps
// everything in them that no inventory lists.
package emit
