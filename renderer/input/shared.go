package input

import (
	"fmt"
	"strings"
)

// What documents and plan.json say in the same words is one type. Comments of fields are
// descriptions in the schema of plan.json.

// Need says what becomes of a source: the word of "backup" in a state.
type Need string

// The words of Need.
const (
	// Required fails loudly where the source has no copy.
	Required Need = "required"
	// Optional warns, and takes an empty source for a right one.
	Optional Need = "optional"
	// Skip leaves it out, for a reason.
	Skip Need = "skip"
)

// Window is the time of day in which backups start. An end at or before the start is on
// the next day.
type Window struct {
	// First minute of the window, as HH:MM in timeZone; empty when backup is off.
	Start string `json:"start"`
	// End of the window, as HH:MM in timeZone; at or before start it means the next day, and it is
	// empty when backup is off.
	End string `json:"end"`
}

// Retention is how many snapshots are kept; 0 means that the rule is not used.
type Retention struct {
	// Newest snapshots kept, as a count; absent if the rule is not used.
	KeepLast int `json:"keepLast,omitempty"`
	// Hours of which the last snapshot is kept, as a count; absent if the rule is not used.
	KeepHourly int `json:"keepHourly,omitempty"`
	// Days of which the last snapshot is kept, as a count; absent if the rule is not used.
	KeepDaily int `json:"keepDaily,omitempty"`
	// Weeks of which the last snapshot is kept, as a count; absent if the rule is not used.
	KeepWeekly int `json:"keepWeekly,omitempty"`
	// Months of which the last snapshot is kept, as a count; absent if the rule is not used.
	KeepMonthly int `json:"keepMonthly,omitempty"`
	// Years of which the last snapshot is kept, as a count; absent if the rule is not used.
	KeepYearly int `json:"keepYearly,omitempty"`
}

// Rule is one of a retention's counts.
type Rule struct {
	// Field is its name in documents and in K8up's objects, such as "keepDaily"; Word is
	// what people call it.
	Field, Word string
	Keep        int
}

// Rules lists all six rules, from the shortest period to the longest.
func (r Retention) Rules() []Rule {
	return []Rule{
		{Field: "keepLast", Word: "last", Keep: r.KeepLast},
		{Field: "keepHourly", Word: "hourly", Keep: r.KeepHourly},
		{Field: "keepDaily", Word: "daily", Keep: r.KeepDaily},
		{Field: "keepWeekly", Word: "weekly", Keep: r.KeepWeekly},
		{Field: "keepMonthly", Word: "monthly", Keep: r.KeepMonthly},
		{Field: "keepYearly", Word: "yearly", Keep: r.KeepYearly},
	}
}

// String is what people read: "30 daily, 8 weekly".
func (r Retention) String() string {
	var parts []string
	for _, rule := range r.Rules() {
		if rule.Keep > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", rule.Keep, rule.Word))
		}
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// Resources are a container's: Kubernetes quantities by "cpu" (cores) and "memory"
// (bytes).
type Resources struct {
	// What is kept free for the container, such as "memory": "64Mi".
	Requests map[string]string `json:"requests,omitempty"`
	// What the container may use at most.
	Limits map[string]string `json:"limits,omitempty"`
}

// Remote is where a store of the External Secrets Operator has a value. In a document
// {instance} in the key stands for the instance's id.
type Remote struct {
	// Key of the entry in the store.
	Key string `json:"key"`
	// Property inside the entry; absent if the entry itself is the value.
	Property string `json:"property,omitempty"`
}

// Group is units that are only worth something together.
type Group struct {
	// Name of the group, as the state has it.
	Name string `json:"name"`
	// Units are ids in the order in which they are taken, in the same night.
	Units []string `json:"units"`
}

// Exempt is what lives, and needs no backup.
type Exempt struct {
	// What it is, such as claim:monitoring/*; a * stands for any text without a slash.
	Source string `json:"source"`
	// Why it needs none, as a sentence.
	Reason string `json:"reason"`
	// Last day on which this counts, as YYYY-MM-DD; absent for ever.
	Until string `json:"until,omitempty"`
}

// DNS selects the cluster's DNS pods.
type DNS struct {
	// Namespace of the DNS pods; empty when backup is off.
	Namespace string `json:"namespace"`
	// Labels of the DNS pods; empty when backup is off.
	Labels map[string]string `json:"labels"`
}

// Endpoint gives the addresses of an external host.
type Endpoint struct {
	// DNS name of the host.
	Host string `json:"host"`
	// Its addresses, in CIDR form, one at least.
	CIDRs []string `json:"cidrs"`
}

// Reference names an object of the same kind.
type Reference struct {
	// Name of the object.
	Name string `json:"name"`
	// Namespace of the object; absent if it is the same.
	Namespace string `json:"namespace,omitempty"`
}
