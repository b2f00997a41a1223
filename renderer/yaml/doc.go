// Package yaml writes plain values as YAML that is the same on every machine and that
// every reader takes for the same, and reads it back. It is the only one that knows a
// library for YAML.
package yaml
