// Package plan decides everything that a template must not decide: names, times,
// retention, repositories, locks, connections. Build never fails. What cannot work is
// in the Plan like everything else, and Check turns it into problems, each with the
// number of the broken rule.
package plan
