// Package kind knows what a source kind is: a folder with kind.json,
// kind.libsonnet, dump.sh, restore.sh and README.md. It loads them, asks each
// for the units it finds in a state, and names no kind itself.
package kind
