// Package coverage holds plans against what lives and what is stored, in both directions:
// what lives and no plan has, what is planned and gone, what has no good copy, and copies
// that nobody planned.
//
// It connects to nothing: listings that somebody else made say what lives and what is
// stored. A source is called as its unit calls it, with the cluster and the namespace in
// front where only they make it unique: "prod/claim:shop/uploads",
// "prod/shop/postgresql://postgres:5432/shop", "bucket:https://s3.example.org/files".
package coverage

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// Verdict says what becomes of something that lives, is planned or is stored.
type Verdict string

// The verdicts. The last four are gaps.
const (
	// Covered is a source that a unit backs up.
	Covered Verdict = "covered"
	// Exempt is one that nobody backs up, for a reason that somebody gave.
	Exempt Verdict = "exempt"
	// ByOthers is one that another tool backs up, and whose own object proves it.
	ByOthers Verdict = "by others"
	// New is one that is younger than the grace.
	New Verdict = "new"
	// Unplanned lives, and no plan has it.
	Unplanned Verdict = "unplanned"
	// Gone is planned, and does not live.
	Gone Verdict = "gone"
	// NotStored is planned, and its newest copy is missing, late or too small.
	NotStored Verdict = "not stored"
	// Unknown is a copy of which no plan knows.
	Unknown Verdict = "unknown"
)

// Verdicts lists all of them, gaps last.
func Verdicts() []Verdict {
	return []Verdict{Covered, Exempt, ByOthers, New, Unplanned, Gone, NotStored, Unknown}
}

// Gap says whether something is missing.
func (v Verdict) Gap() bool {
	return slices.Index(Verdicts(), v) >= slices.Index(Verdicts(), Unplanned)
}

// Source is something that lives, is planned or is stored, and what becomes of it.
type Source struct {
	// Name of the source; of a copy that no plan knows, its place.
	Name string `json:"source"`
	// Instance and Unit that back it up; empty without one.
	Instance string  `json:"instance,omitempty"`
	Unit     string  `json:"unit,omitempty"`
	Verdict  Verdict `json:"verdict"`
	// Reason says why it is exempt, who else backs it up, or what is wrong.
	Reason string `json:"reason,omitempty"`
}

// Result is what was found.
type Result struct {
	// Sources are sorted by name.
	Sources []Source
	// Gaps are the problems among them (HF601 to HF604).
	Gaps problem.List
	// NotLookedAt are the places of which there is no listing, sorted.
	NotLookedAt []string
}

// Options are what a comparison depends on beside the listings.
type Options struct {
	// Now is when the listings were made.
	Now time.Time
	// Grace is how old something that lives may be without a plan.
	Grace time.Duration
}

// Compare holds the plans of one cluster against listings.
func Compare(plans []*plan.Plan, live *Live, stored *Stored, o Options) Result {
	c := &comparison{Options: o, live: live, stored: stored, at: map[string]int{}, ended: map[string][]string{}}
	for _, p := range plans {
		for _, i := range p.Units {
			u := unit{plan: p, item: i, source: p.Source(i.Unit)}
			c.at[u.source] = len(c.units)
			c.units = append(c.units, u)
		}
	}
	for _, p := range plans {
		for _, r := range p.Repositories {
			for _, e := range p.Exemptions {
				c.ended[r.URL] = append(c.ended[r.URL], e.ID)
			}
			for _, gone := range p.Retired {
				c.ended[r.URL] = append(c.ended[r.URL], gone.Unit)
			}
		}
	}
	c.excuses = excusesOf(plans)
	c.whatLives()
	c.whatIsPlanned()
	c.whatIsStored()
	slices.SortFunc(c.Sources, func(a, b Source) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.Verdict, b.Verdict))
	})
	slices.Sort(c.NotLookedAt)
	c.NotLookedAt = slices.Compact(c.NotLookedAt)
	c.Gaps = c.Gaps.Sorted()
	return c.Result
}

// comparison is one run of Compare.
type comparison struct {
	Options
	Result
	live   *Live
	stored *Stored
	units  []unit
	// at has the units' places by source.
	at      map[string]int
	excuses []excuse
	// ended has by repository the ids of units that are backed up no more: another
	// instance may have a unit of the same id.
	ended map[string][]string
}

// unit is a source that a plan backs up.
type unit struct {
	plan   *plan.Plan
	item   plan.Item
	source string
}

// place is what a listing of the unit's neighbours is a listing of; empty if nobody can
// list them.
func (u unit) place() string {
	switch {
	case u.item.Capture.How == kind.Volume:
		return claims(u.plan.Cluster)
	case u.item.Listing != nil:
		return strings.TrimSuffix(u.source, u.item.Capture.Source) + u.item.Listing.Of
	}
	return ""
}

// found is what was found about the unit.
func (u unit) found(v Verdict, reason string) Source {
	return Source{Name: u.source, Instance: u.plan.Instance, Unit: u.item.ID, Verdict: v, Reason: reason}
}

// gap notes something that is wrong.
func (c *comparison) gap(s Source, rule, file, hint string) {
	c.Sources = append(c.Sources, s)
	message := s.Reason
	if s.Unit != "" {
		message = s.Instance + ": " + s.Unit + ": " + message
	}
	c.Gaps = append(c.Gaps, problem.Problem{File: file, Pointer: s.Name, Message: message, Hint: hint, Rule: rule})
}

// whatLives goes through what lives, and looks who backs it up.
func (c *comparison) whatLives() {
	parts := map[string]int{} // sources of which a unit backs up a part
	for n, u := range c.units {
		for _, whole := range wholes(u.source) {
			parts[whole] = n
		}
	}
	for _, it := range c.live.sortedItems() {
		n, covered := c.at[it.source]
		part := ""
		if !covered {
			if n, covered = parts[it.source]; covered {
				part = "of it only " + c.units[n].source + " is backed up"
			}
		}
		reason, ended := c.excused(it)
		switch {
		case covered:
			c.Sources = append(c.Sources, Source{Name: it.source, Instance: c.units[n].plan.Instance, Unit: c.units[n].item.ID, Verdict: Covered, Reason: part})
		case reason != "":
			c.Sources = append(c.Sources, Source{Name: it.source, Verdict: Exempt, Reason: reason})
		case it.others != "" && it.late == "":
			c.Sources = append(c.Sources, Source{Name: it.source, Verdict: ByOthers, Reason: it.others})
		case !it.made.IsZero() && c.Now.Sub(it.made) < c.Grace:
			c.Sources = append(c.Sources, Source{Name: it.source, Verdict: New, Reason: "made at " + it.made.UTC().Format(time.RFC3339)})
		case ended != "":
			c.gap(Source{Name: it.source, Verdict: Unplanned, Reason: ended}, "HF601", it.file, "back it up, or give the exemption another end")
		case it.others != "":
			c.gap(Source{Name: it.source, Verdict: Unplanned, Reason: it.others + ", but " + it.late}, "HF601", it.file,
				"see why that tool makes no copies, or back it up here")
		case it.skipped && it.reason == "":
			c.gap(Source{Name: it.source, Verdict: Unplanned, Reason: "its annotation " + annotationBackup + " skips it without a reason"}, "HF601", it.file,
				"add the annotation "+annotationReason)
		default:
			c.gap(Source{Name: it.source, Verdict: Unplanned, Reason: "it lives, and no plan has it"}, "HF601", it.file,
				fmt.Sprintf(`add it to the state, or exempt it in the policy: "exempt": [{"source": %q, "reason": "…"}]`, it.source))
		}
	}
}

// wholes are the sources of which one may be a part: a folder of a bucket is one of the
// bucket.
func wholes(source string) []string {
	var list []string
	for at := strings.LastIndex(source, "/"); at > 0; at = strings.LastIndex(source[:at], "/") {
		list = append(list, source[:at])
	}
	return list
}

// excuse says why something need not be backed up.
type excuse struct{ source, reason, until string }

func excusesOf(plans []*plan.Plan) []excuse {
	var excuses []excuse
	for _, p := range plans {
		if !p.Enabled {
			excuses = append(excuses, excuse{source: claims(p.Cluster) + p.Namespace + "/*", reason: "backup of " + p.Instance + " is off: " + p.Reason})
		}
		for _, e := range p.Exemptions {
			if e.Source != "" {
				excuses = append(excuses, excuse{source: e.Source, reason: e.Reason})
			}
		}
		for _, e := range p.Exempt {
			excuses = append(excuses, excuse{source: e.Source, reason: e.Reason, until: e.Until}, excuse{source: p.Cluster + "/" + e.Source, reason: e.Reason, until: e.Until})
		}
	}
	return excuses
}

// excused says why something that lives need not be backed up, or when that ended.
func (c *comparison) excused(it item) (reason, ended string) {
	today := c.Now.UTC().Format(time.DateOnly)
	judge := func(e excuse) bool {
		if _, err := time.Parse(time.DateOnly, e.until); err != nil && e.until != "" {
			ended = fmt.Sprintf("its exemption ends on %q, which is no day as YYYY-MM-DD", e.until)
			return false
		}
		if e.until == "" || today <= e.until {
			reason = e.reason
			return true
		}
		ended = "its exemption ended on " + e.until
		return false
	}
	if it.skipped && it.reason != "" && judge(excuse{reason: it.reason, until: it.until}) {
		return reason, ""
	}
	for _, e := range c.excuses {
		if fits(e.source, it.source) && judge(e) {
			return reason, ""
		}
	}
	return "", ended
}

// fits says whether a name is of a pattern, in which * stands for any text without a
// slash.
func fits(pattern, name string) bool {
	before, after, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	rest, begins := strings.CutPrefix(name, before)
	if !begins {
		return false
	}
	for n := range len(rest) + 1 {
		if fits(after, rest[n:]) {
			return true
		}
		if n < len(rest) && rest[n] == '/' {
			break
		}
	}
	return false
}

// whatIsPlanned looks for what is planned among what lives.
func (c *comparison) whatIsPlanned() {
	for _, u := range c.units {
		place := u.place()
		file, listed := c.live.listed[place]
		switch {
		case place == "": // its own dump tells whether it is there
		case !listed:
			c.NotLookedAt = append(c.NotLookedAt, place)
		case !c.live.has(u.source):
			c.gap(u.found(Gone, "it is planned, and does not live"), "HF602", file,
				`correct its name in the state, or take it out there and name it under "retired" in the policy`)
		}
		if w := u.item.Capture.Workload; w != nil {
			c.mustLive(u, w.Kind, u.item.Namespace, w.Name, nil)
		}
		for _, s := range u.item.Capture.SecretEnv {
			c.mustLive(u, "Secret", u.item.Namespace, s.Secret, []string{s.Key})
		}
		for _, f := range u.item.Capture.Files {
			if f.Secret != "" {
				c.mustLive(u, "Secret", u.item.Namespace, f.Secret, []string{f.Key})
			} else {
				c.mustLive(u, "ConfigMap", u.item.Namespace, f.ConfigMap, []string{f.Key})
			}
		}
	}
}

// mustLive looks for an object that a unit needs, where objects of its kind are listed.
func (c *comparison) mustLive(u unit, kind, namespace, name string, keys []string) {
	file, listed := c.live.kinds[kind]
	if !listed {
		c.NotLookedAt = append(c.NotLookedAt, kind+"s of "+u.plan.Cluster)
		return
	}
	id := kind + "/" + namespace + "/" + name
	object, lives := c.live.objects[id]
	reason := ""
	switch {
	case !lives:
		reason = "it needs " + id + ", which does not live"
	default:
		for _, key := range keys {
			if !slices.Contains(object, key) {
				reason = fmt.Sprintf("it needs the key %q of %s, which has %s", key, id, cmp.Or(strings.Join(object, ", "), "none"))
			}
		}
	}
	if reason != "" {
		c.gap(u.found(Gone, reason), "HF602", file, "correct the name in the state, or make the object")
	}
}

// Commands are shell commands that make the listings, for people to run: each writes
// a file, and the last one compares.
func Commands(plans []*plan.Plan) []string {
	kubernetes := "kubectl get persistentvolumeclaims,statefulsets,deployments,daemonsets,secrets,configmaps --all-namespaces --output json"
	commands := []string{
		kubernetes + " >live.json",
		"# where they run: kubectl get " + otherKinds + " --all-namespaces --output json >others.json, and --live others.json",
	}
	arguments := []string{"--live live.json"}
	listings := map[string]string{}
	stored := map[string]string{}
	for _, p := range plans {
		for _, i := range p.Units {
			u := unit{plan: p, item: i, source: p.Source(i.Unit)}
			if i.Listing != nil {
				listings[u.place()] = i.Listing.Command
			}
			for _, e := range i.Expected {
				if e.Engine == kind.Restic {
					stored[e.Where] = "restic --repo " + quoted(e.Where) + " snapshots --json"
				}
			}
		}
	}
	add := func(option, name string, of map[string]string) {
		for n, place := range slices.Sorted(maps.Keys(of)) {
			file := fmt.Sprintf("%s-%d", name, n+1)
			commands = append(commands, of[place]+" >"+file)
			arguments = append(arguments, option+" "+quoted(place+"="+file))
		}
	}
	add("--live", "names", listings)
	add("--stored", "snapshots", stored)
	return append(commands, "holdfast coverage -s … -c … "+strings.Join(arguments, " "))
}

// quoted is a text as one word of a shell's command.
func quoted(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
