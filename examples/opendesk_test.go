package examples_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer"
)

// releases are the examples of openDesk's releases, in the order of the tables'
// last columns.
var releases = []string{"opendesk-1.13-ee", "opendesk-1.18-ce", "opendesk-1.19-ee"}

// TestOpenDeskTables holds the tables of docs/opendesk.md to the examples, both
// ways: each line says of each release what its plan says, and each unit and
// each exemption of a plan has a line.
func TestOpenDeskTables(t *testing.T) {
	page, err := os.ReadFile("../docs/opendesk.md")
	if err != nil {
		t.Fatal(err)
	}
	// A line names one unit, and says copied, skipped or – for each release.
	line := regexp.MustCompile("(?m)^\\|.* `([^`]+)` \\| (copied|skipped|–) \\| (copied|skipped|–) \\| (copied|skipped|–) \\|$")
	lines := line.FindAllStringSubmatch(string(page), -1)
	if rows := strings.Count(string(page), " |\n") - strings.Count(string(page), "|---|\n"); len(lines) < 50 || len(lines) > rows {
		t.Fatalf("%d of %d lines are understood", len(lines), rows)
	}
	for n, release := range releases {
		t.Run(release, func(t *testing.T) {
			is := map[string]string{}
			for _, p := range plans(t, release) {
				for _, u := range p.Plan.Units {
					is[u.ID] = "copied"
				}
				for _, e := range p.Plan.Exemptions {
					is[e.ID] = "skipped"
				}
			}
			said := map[string]bool{}
			for _, l := range lines {
				unit, word := l[1], l[2+n]
				said[unit] = true
				if is[unit] == "" && word != "–" || is[unit] != "" && is[unit] != word {
					t.Errorf("docs/opendesk.md says %q of %s, the plan says %q", word, unit, is[unit])
				}
			}
			for _, unit := range slices.Sorted(maps.Keys(is)) {
				if !said[unit] {
					t.Errorf("docs/opendesk.md does not name %s, which is %s", unit, is[unit])
				}
			}
		})
	}
}

// TestOpenDeskSources: what an example takes from a release has its source
// beside it. Each Secret, each owner and each claim that is named one by one
// must be found in sources.md, or in a line there for all of its sort.
func TestOpenDeskSources(t *testing.T) {
	for _, release := range releases {
		t.Run(release, func(t *testing.T) {
			text, err := examples.FS.ReadFile(release + "/sources.md")
			if err != nil {
				t.Fatal(err)
			}
			for row := range strings.Lines(string(text)) {
				cells := strings.Split(row, " | ")
				if !strings.HasPrefix(row, "| ") || strings.HasPrefix(row, "| field") {
					continue
				}
				if last := cells[len(cells)-1]; len(cells) != 3 || !strings.ContainsAny(last, "/@") && !strings.Contains(last, "not ") && !strings.Contains(last, "name") {
					t.Errorf("no source: %s", row)
				}
			}
			for _, p := range plans(t, release) {
				for _, u := range p.Plan.Units {
					if u.Capture.How != "volume" {
						continue
					}
					// "volumes[postfix].owner", "volumes[shared-…-primary-0].owner"
					found := false
					for _, m := range regexp.MustCompile(`volumes\[([^]]*)\]\.owners?\b`).FindAllStringSubmatch(string(text), -1) {
						pattern := strings.ReplaceAll(regexp.QuoteMeta(m[1]), "…", ".*")
						found = found || regexp.MustCompile("^"+pattern+"$").MatchString(u.Capture.Claim)
					}
					if !found {
						t.Errorf("sources.md does not say who says the owner of %s", u.Capture.Claim)
					}
				}
			}
		})
	}
}

func plans(t *testing.T, name string) []renderer.Planned {
	t.Helper()
	all, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(all, func(c examples.Case) bool { return c.Name == name })
	if at < 0 {
		t.Fatalf("there is no example %s", name)
	}
	r, err := renderer.New(all[at].Templates)
	if err != nil {
		t.Fatal(err)
	}
	planned, err := r.Plan(all[at].Inputs)
	if err != nil {
		t.Fatal(err)
	}
	return planned
}
