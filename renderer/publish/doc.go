// Package publish commits a sealed bundle to a Git repository. It runs git
// itself, so that hooks, signing, attributes and credential helpers do what they
// do for any commit.
//
// Commits are made in a temporary work tree beside the user's, on top of what the
// branch has at its remote. When all of them are made, and pushed if that was asked
// for, the user's branch moves forward to them in one step. Git refuses that step if it
// would touch uncommitted work. Until then nothing of the run can be seen, and a run
// that fails or is interrupted leaves all as it was. What a killed run leaves, the next
// one removes.
//
// What is committed is what was rendered: each file in the index is compared with the
// bundle's bytes (HF516), and the commit's tree with the index.
package publish
