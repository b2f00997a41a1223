package kind

import (
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
)

// Answer is what a kind's units(state) has in its list: a unit, and what joins it to
// units of others. No kind knows another by name.
type Answer struct {
	Unit
	Joins
}

// Joins is what a unit has to do with others. Each kind says its own side of it, and
// settle joins the two.
type Joins struct {
	// Holds are names under which others refer to the unit's data, such as
	// "objects/nextcloud".
	Holds []string `json:"holds,omitempty"`
	// RefersTo are names of data that the unit's own refers to. It is taken before the
	// units that hold it: then all that it refers to is in their copies.
	RefersTo []string `json:"refersTo,omitempty"`
	// Secrets are Secrets of the unit's namespace without which its copy is of no use
	// to whoever rebuilds the instance.
	Secrets []string `json:"secrets,omitempty"`
	// GathersSecrets is the environment variable of a unit that copies its namespace's
	// Secrets: it gets the names of those that units of the namespace need, one a line.
	GathersSecrets string `json:"gathersSecrets,omitempty"`
}

// settle joins units with each other, by what each says of itself. One that is
// skipped has nothing to do with others.
func settle(units []Discovered, joins []Joins) {
	taken := func(i int) bool { return units[i].Need != input.Skip }
	for i := range units {
		u := &units[i]
		for j, other := range joins {
			refers := slices.ContainsFunc(other.RefersTo, func(name string) bool { return slices.Contains(joins[i].Holds, name) })
			if refers && i != j && taken(i) && taken(j) && !slices.Contains(u.Consistent, units[j].ID) {
				u.Consistent = append(u.Consistent, units[j].ID)
			}
		}
	}
	for i := range units {
		u := &units[i]
		if joins[i].GathersSecrets == "" || !taken(i) || u.Capture == nil {
			continue
		}
		var names []string
		for j, other := range joins {
			if taken(j) && units[j].Namespace == u.Namespace {
				names = append(names, other.Secrets...)
			}
		}
		slices.Sort(names)
		if u.Capture.Env == nil {
			u.Capture.Env = map[string]string{}
		}
		u.Capture.Env[joins[i].GathersSecrets] = strings.Join(names, "\n")
	}
}
