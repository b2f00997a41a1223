package coverage

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/plan"
)

// slack is how much later than its deadline a copy may be there, for pods that start
// slowly and clocks that differ.
const slack = time.Hour

// Stored is what is stored, as listings of repositories show it.
type Stored struct {
	// repositories has the snapshots by the repository's URL, files their listings.
	repositories map[string][]snapshot
	files        map[string]string
}

// snapshot is what restic snapshots --json says of one.
type snapshot struct {
	ID      string    `json:"short_id"`
	Time    time.Time `json:"time"`
	Host    string    `json:"hostname"`
	Paths   []string  `json:"paths"`
	Tags    []string  `json:"tags"`
	Summary *struct {
		Bytes int64 `json:"total_bytes_processed"`
		Files int64 `json:"total_files_processed"`
	} `json:"summary"`
}

// NewStored begins without a listing.
func NewStored() *Stored {
	return &Stored{repositories: map[string][]snapshot{}, files: map[string]string{}}
}

// Add takes what restic snapshots --json prints of the repository with that URL.
func (s *Stored) Add(repository, file string, text []byte) error {
	var snapshots []snapshot
	if err := json.Unmarshal(text, &snapshots); err != nil || snapshots == nil {
		return wrong(file, "it is no listing of snapshots", "restic snapshots --json makes one")
	}
	if _, twice := s.files[repository]; twice {
		return wrong(file, "there are two listings of "+repository, "give each repository one listing")
	}
	s.repositories[repository], s.files[repository] = snapshots, file
	return nil
}

// whatIsStored looks for a good copy of each unit, and for copies of nobody.
func (c *comparison) whatIsStored() {
	known := map[string]bool{} // repository, host and path of each unit
	for _, u := range c.units {
		for _, e := range u.item.Expected {
			known[e.Where+"\x00"+e.Host+"\x00"+e.Path] = true
			file, listed := c.stored.files[e.Where]
			if !listed {
				c.NotLookedAt = append(c.NotLookedAt, e.Where)
				continue
			}
			if reason := c.judge(u.item, e); reason != "" {
				c.gap(u.found(NotStored, reason), "HF603", file, "kubectl describe schedule,backup,job --namespace "+u.item.Namespace+" says what became of the last runs")
			}
		}
	}
	for repository, snapshots := range c.stored.repositories {
		type copies struct {
			number int
			newest snapshot
		}
		strange := map[string]copies{}
		for _, s := range snapshots {
			for _, path := range s.Paths {
				if known[repository+"\x00"+s.Host+"\x00"+path] || c.retired(repository, s) {
					continue
				}
				name := repository + " " + s.Host + ":" + path
				found := strange[name]
				if found.number++; s.Time.After(found.newest.Time) {
					found.newest = s
				}
				strange[name] = found
			}
		}
		for name, found := range strange {
			c.gap(Source{Name: name, Verdict: Unknown, Reason: fmt.Sprintf("no plan knows it: %d of it, the newest %s of %s, tagged %s",
				found.number, found.newest.ID, found.newest.Time.UTC().Format(time.RFC3339), strings.Join(found.newest.Tags, ", "))}, "HF604", c.stored.files[repository],
				`if its source is gone for good, name it under "retired" in the policy; else see who writes there`)
		}
	}
}

// retired says whether a snapshot is that of a unit that is gone for good, or left out
// by now.
func (c *comparison) retired(repository string, s snapshot) bool {
	return slices.ContainsFunc(c.ended[repository], func(id string) bool { return slices.Contains(s.Tags, id) })
}

// judge says what is wrong with a unit's newest copy; nothing if it is good.
func (c *comparison) judge(i plan.Item, e plan.Expected) string {
	var newest snapshot
	for _, s := range c.stored.repositories[e.Where] {
		if s.Host == e.Host && slices.Contains(s.Paths, e.Path) && slices.Contains(s.Tags, e.Tag) && s.Time.After(newest.Time) {
			newest = s
		}
	}
	if newest.Time.IsZero() {
		return "it has no snapshot of " + e.Host + ":" + e.Path + " with the tag " + e.Tag
	}
	at := fmt.Sprintf("its newest snapshot %s of %s", newest.ID, newest.Time.UTC().Format(time.RFC3339))
	if due := due(i, newest.Time); c.Now.After(due) {
		return at + " is too old: there should have been another by " + due.UTC().Format(time.RFC3339)
	}
	switch s := newest.Summary; {
	case s == nil: // of a restic before 0.17, or an interrupted one
		return at + " does not say how much was read"
	case s.Bytes < e.MinBytes:
		return fmt.Sprintf("%s has %d bytes, and less than %d is no copy", at, s.Bytes, e.MinBytes)
	case i.Capture.How == kind.Volume && s.Files < e.MinCount:
		return fmt.Sprintf("%s has %d files, and less than %d is no copy", at, s.Files, e.MinCount)
	}
	return ""
}

// due is when the run after that of a snapshot should have left another one.
func due(i plan.Item, last time.Time) time.Time {
	// A clock that is behind must not make the run of this snapshot the next one.
	next := i.Schedule.Next(last.Add(slack / 2))
	return next.Add(time.Duration(i.DeadlineSeconds)*time.Second + slack)
}
