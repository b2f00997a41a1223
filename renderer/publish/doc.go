// Package publish commits a sealed bundle to a Git repository. It runs git
// itself, so that hooks, signing, attributes and credential helpers do what they
// do for any commit.
//
// Commits are made in a temporary work tree beside the user's, on top of what
// the branch has at its remote. Only when all of them stand, and are pushed if
// that was asked for, the user's branch moves forward to them, in one step that
// git refuses where it would touch uncommitted work. Until then nothing is seen
// of them, and whatever fails or is interrupted leaves all as it was. What a killed
// run leaves, the next one removes.
//
// What is committed is what was rendered: each file in the index is held against
// the bundle's bytes (HF516), and the commit's tree against the index.
package publish
