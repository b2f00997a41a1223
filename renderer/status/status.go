// Package status reads what the verifiers wrote, and says what of it is red.
//
// A status is a ConfigMap: one for each namespace of an instance, with one line for each
// unit. Nothing is red only if somebody has looked: a status without lines, one whose
// verifier should have written again, a planned unit without a line and a line that cannot
// be read are all as red as a unit that failed. It connects to nothing, and the time is
// given.
package status

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// Command lists the statuses of a cluster.
const Command = "kubectl get configmaps --all-namespaces --selector=" + roleLabel + "=" + role + " --output=json"

// State says how it is with a unit, or with a status as a whole.
type State string

// The states, the worst first.
const (
	// Red is a required unit that failed, and all that nobody has looked at.
	Red State = "red"
	// Warning is an optional unit that failed.
	Warning State = "warning"
	// Waiting is a new unit whose first round is not over.
	Waiting State = "waiting"
	// OK is a unit that was looked at, and is as it must be.
	OK State = "ok"
)

// States lists all of them, the worst first.
func States() []State { return []State{Red, Warning, Waiting, OK} }

// worse orders states.
func worse(a, b State) int { return cmp.Compare(slices.Index(States(), a), slices.Index(States(), b)) }

// Result is what was found.
type Result struct {
	// At is the time of the judgement, in RFC 3339.
	At string `json:"at"`
	// Statuses are sorted by instance, cluster and namespace.
	Statuses []Status `json:"statuses"`
	// Problems are what is red (HF611 to HF614).
	Problems problem.List `json:"problems"`
	Totals   Totals       `json:"totals"`
}

// Totals count units, and verifiers that say nothing.
type Totals struct {
	Red     int `json:"red"`
	Warning int `json:"warning"`
	Waiting int `json:"waiting"`
	OK      int `json:"ok"`
	// Silent counts statuses that are red as a whole.
	Silent int `json:"silent"`
}

// Units is how many there are.
func (t Totals) Units() int { return t.Red + t.Warning + t.Waiting + t.OK }

// Status is what a verifier says of the units of one namespace.
type Status struct {
	// Cluster is not known of a verifier that has never run.
	Cluster   string `json:"cluster,omitempty"`
	Instance  string `json:"instance"`
	Namespace string `json:"namespace"`
	// State is that of the worst unit, or red for the Reason.
	State State `json:"state"`
	// Reason says why nothing in the status can be believed.
	Reason string `json:"reason,omitempty"`
	// Unplanned says that no plan has the namespace of the instance.
	Unplanned bool `json:"unplanned,omitempty"`
	// Time at which the verifier wrote, and NextBy by which it must have written again.
	Time   string `json:"time,omitempty"`
	NextBy string `json:"nextBy,omitempty"`
	// Units are sorted: the worst first, then by id.
	Units []Unit `json:"units"`
}

// Unit is what is known of one unit. Times are in RFC 3339, UTC, and absent if there is none.
type Unit struct {
	// Unit is its id; of a line that cannot be read, the line's key.
	Unit string `json:"unit"`
	// Need is required or optional: as the plan says, if there is one.
	Need  input.Need `json:"need,omitempty"`
	State State      `json:"state"`
	// Reason says why it is not ok.
	Reason string `json:"reason,omitempty"`
	// Unplanned says that no plan has it.
	Unplanned   bool   `json:"unplanned,omitempty"`
	LastAttempt string `json:"lastAttempt,omitempty"`
	LastSuccess string `json:"lastSuccess,omitempty"`
	NextDue     string `json:"nextDue,omitempty"`
	Failures    int    `json:"failures"`
	Snapshot    string `json:"snapshot,omitempty"`
	Taken       string `json:"taken,omitempty"`
	// Bytes and Count of the newest copy; null for what is not known, as of a bucket's.
	Bytes   *int64  `json:"bytes"`
	Count   *int64  `json:"count"`
	Read    string  `json:"read,omitempty"`
	History []int64 `json:"history"`
}

// again is what to do about a line that is wrong.
const again = "run the verifier again: it writes the whole status anew"

// slack is how far clocks may differ.
const slack = time.Hour

// judgement is one run of Judge.
type judgement struct {
	now   time.Time
	plans []*plan.Plan
	// places has the planned units by their place.
	places map[place]map[string]plan.Item
	Result
}

// place is what one status is about.
type place struct{ cluster, instance, namespace string }

// Judge says what is red at a time. Without plans it judges what the listing has; with
// plans, each of their units must have a line. The error is a problem.List (HF610).
func Judge(l *Listing, plans []*plan.Plan, now time.Time) (Result, error) {
	if plans == nil && len(l.empty) > 0 {
		var list problem.List
		for _, file := range l.empty {
			list = append(list, unreadable(file, "", "there is no status in it", "this lists them: "+Command+"; with -s and -c, each unit that has none is named")...)
		}
		return Result{}, list
	}
	j := &judgement{now: now, plans: plans, places: map[place]map[string]plan.Item{}}
	j.At = now.UTC().Format(time.RFC3339)
	for _, p := range plans {
		for _, i := range p.Units {
			at := place{p.Cluster, p.Instance, i.Namespace}
			if j.places[at] == nil {
				j.places[at] = map[string]plan.Item{}
			}
			j.places[at][i.ID] = i
		}
	}
	seen := map[place]bool{}
	// Those that name their cluster come first: the others get what is left.
	for _, named := range []bool{true, false} {
		for n, w := range l.written {
			if (w.cluster != "") == named {
				j.judge(w, l.twice(n), seen)
			}
		}
	}
	for at, items := range j.places {
		if !seen[at] {
			j.missing(at, items)
		}
	}
	j.finish()
	return j.Result, nil
}

// judge adds a status that somebody wrote.
func (j *judgement) judge(w written, twice string, seen map[place]bool) {
	s := Status{Cluster: w.cluster, Instance: w.instance, Namespace: w.namespace, Time: stamp(w.time), NextBy: stamp(w.nextBy)}
	items, planned := j.itemsOf(w, seen)
	s.Unplanned = j.plans != nil && !planned

	var rule, hint string
	s.Reason, rule, hint = j.silence(w, twice)
	if s.Reason != "" {
		j.red(w.file, w.pointer(""), w.instance+": "+s.Reason, hint, rule)
	}
	had := map[string]bool{}
	for _, n := range w.lines {
		item, known := items[n.unit.Unit]
		u := n.unit
		u.Unplanned = j.plans != nil && !known && n.wrong == ""
		if known {
			u.Need = item.Need
		}
		hint := again
		rule := "HF614"
		if n.wrong == "" {
			had[u.Unit] = true
			u.State, u.Reason, rule, hint = n.verdict(u.Need, s.Namespace)
		} else {
			u.State, u.Reason = Red, n.wrong
		}
		if u.State == Red {
			j.red(w.file, w.pointer(n.key), w.instance+": "+u.Unit+": "+u.Reason, hint, rule)
		} else if s.Reason != "" {
			u.State, u.Reason = Red, s.Reason
		}
		s.Units = append(s.Units, u)
	}
	for id, item := range items {
		if had[id] {
			continue
		}
		u := Unit{Unit: id, Need: item.Need, State: Red, Reason: cmp.Or(s.Reason, "it is planned, and nothing has looked at it")}
		s.Units = append(s.Units, u)
		if s.Reason == "" {
			j.red(w.file, w.pointer(""), w.instance+": "+id+": "+u.Reason, "publish and apply the instance's tree, whose verifier knows the unit, and run it", "HF613")
		}
	}
	j.Statuses = append(j.Statuses, s)
}

// itemsOf are the planned units that a status should have. A verifier that has never run
// does not say in which cluster it is.
func (j *judgement) itemsOf(w written, seen map[place]bool) (map[string]plan.Item, bool) {
	at := place{w.cluster, w.instance, w.namespace}
	if w.cluster == "" {
		for _, p := range j.plans {
			other := place{p.Cluster, w.instance, w.namespace}
			if j.places[other] != nil && !seen[other] {
				at = other
				break
			}
		}
	}
	items, planned := j.places[at]
	seen[at] = true
	return items, planned
}

// silence says why nothing in a status can be believed; nothing if it can.
func (j *judgement) silence(w written, twice string) (reason, rule, hint string) {
	hint = "kubectl get cronjobs,jobs,pods --namespace " + w.namespace + " shows what became of the verifier"
	switch {
	case w.instance == "":
		return "it has no label " + instanceLabel, "HF614", "apply the instance's tree, or delete the ConfigMap if it is none of it"
	case twice != "":
		return "there is another status of the same instance and namespace: " + twice, "HF614",
			"give each cluster's listing once, and delete a ConfigMap that is not of the instance's tree"
	case w.never:
		return "the verifier has never run: nothing has looked at it", "HF612", hint
	case w.wrong != "":
		return "the line of the verifier cannot be read: " + w.wrong, "HF614", again
	case j.now.After(w.nextBy):
		return fmt.Sprintf("nothing has looked at it since %s: the verifier should have written again by %s", stamp(w.time), stamp(w.nextBy)), "HF612", hint
	case w.time.After(j.now.Add(slack)):
		return fmt.Sprintf("the verifier wrote at %s, which is not yet: its clock or this one is wrong", stamp(w.time)), "HF612", "set the clocks of the nodes, and of this machine"
	case w.units != len(w.lines):
		return fmt.Sprintf("the verifier wrote lines of %d units, and there are %d", w.units, len(w.lines)), "HF614", again
	case w.reds > w.failed():
		return fmt.Sprintf("the verifier counted %d red, and %d lines say so", w.reds, w.failed()), "HF614", again
	case w.units == 0:
		return "the verifier looked at no unit", "HF612", hint
	}
	return "", "", ""
}

// missing adds the status that somebody should have written.
func (j *judgement) missing(at place, items map[string]plan.Item) {
	s := Status{Cluster: at.cluster, Instance: at.instance, Namespace: at.namespace, Reason: "there is no status of it: nothing has looked at it"}
	for id, item := range items {
		s.Units = append(s.Units, Unit{Unit: id, Need: item.Need, State: Red, Reason: s.Reason})
	}
	j.Statuses = append(j.Statuses, s)
	j.red("", at.cluster+"/"+at.namespace, at.instance+": "+s.Reason, "apply the instance's tree, or make the listing of its cluster: "+Command, "HF613")
}

// red notes something that is.
func (j *judgement) red(file, pointer, message, hint, rule string) {
	j.Problems = append(j.Problems, problem.Problem{File: file, Pointer: pointer, Message: message, Hint: hint, Rule: rule})
}

// finish sorts and counts.
func (j *judgement) finish() {
	for n := range j.Statuses {
		s := &j.Statuses[n]
		s.State = OK
		if s.Reason != "" {
			s.State = Red
			j.Totals.Silent++
		}
		for m := range s.Units {
			u := &s.Units[m]
			u.History = append([]int64{}, u.History...) // never null
			if worse(u.State, s.State) < 0 {
				s.State = u.State
			}
			j.Totals.add(u.State)
		}
		s.Units = append([]Unit{}, s.Units...)
		slices.SortStableFunc(s.Units, func(a, b Unit) int { return cmp.Or(worse(a.State, b.State), cmp.Compare(a.Unit, b.Unit)) })
	}
	slices.SortStableFunc(j.Statuses, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Namespace, b.Namespace))
	})
	j.Statuses = append([]Status{}, j.Statuses...)
	j.Problems = append(problem.List{}, j.Problems.Sorted()...)
}

func (t *Totals) add(s State) {
	switch s {
	case Red:
		t.Red++
	case Warning:
		t.Warning++
	case Waiting:
		t.Waiting++
	case OK:
		t.OK++
	}
}

// stamp writes a time; nothing if there is none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
