// Command holdfast renders the backup of platform instances.
//
// One file holds one command, and wiring only: flags in, a call of package
// renderer, text out. What goes where:
//
//   - stdout gets what was asked for and nothing else: manifests, tables, JSON,
//     a diff, a help text that was asked for. A wrong command line never writes
//     to it.
//   - stderr gets everything else: problems in their own form, and lines that
//     start with "holdfast: error:", "holdfast: warning:" or "holdfast: hint:",
//     lower case, without a period at the end.
//   - The exit status is decided in one place, see exit.go.
//   - No value of the credentials is ever printed; the only place that writes
//     them is render --secrets plain.
package main
