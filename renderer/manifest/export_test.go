package manifest

import "slices"

// Leaks is for tests, which have no objects that repeat a secret: rules before it
// refuse what would.
var Leaks = leaks

// RightsTo are the resources that somebody may have a right to, for the test of their
// list in the documentation.
func RightsTo() []string {
	var all []string
	for _, r := range rights() {
		for _, resource := range r.resources {
			if r.group != "" {
				resource += "." + r.group
			}
			all = append(all, resource)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
