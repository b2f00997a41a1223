// Package plan decides everything that a template must not: names, times,
// retention, repositories, locks, connections. Build never fails: what cannot
// work is data in the Plan, and Check turns it into problems with the number
// of the broken rule.
package plan
