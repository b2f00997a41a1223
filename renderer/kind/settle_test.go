package kind

import (
	"slices"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/input"
)

// TestSettle: units are joined by what each says of itself, whatever their order; a
// skipped one is joined with none, and none with itself.
func TestSettle(t *testing.T) {
	unit := func(id string, need input.Need, namespace string) Discovered {
		return Discovered{Unit: Unit{ID: id, Need: need, Namespace: namespace, Capture: &Capture{}}}
	}
	units := []Discovered{
		unit("bucket/a", "required", "app"), unit("bucket/b", "skip", "app"), unit("db/a", "optional", "app"), unit("db/off", "skip", "app"),
		unit("db/far", "required", "other"), unit("export/app", "required", "app"), unit("export/off", "skip", "app"),
	}
	units[0].Consistent = []string{"db/far"}
	joins := []Joins{
		{Holds: []string{"objects/a", "objects/c"}, RefersTo: []string{"objects/a"}, Secrets: []string{"s3"}},
		{Holds: []string{"objects/a"}},
		{RefersTo: []string{"objects/a", "objects/c", "objects/none"}, Secrets: []string{"db"}},
		{RefersTo: []string{"objects/a"}, Secrets: []string{"off"}},
		{RefersTo: []string{"objects/a"}, Secrets: []string{"far"}},
		{GathersSecrets: "NAMES", Secrets: []string{"more"}},
		{GathersSecrets: "NAMES"},
	}
	settle(units, joins)
	if got, want := units[0].Consistent, []string{"db/far", "db/a"}; !slices.Equal(got, want) {
		t.Errorf("the bucket is taken after %v, want %v", got, want)
	}
	for _, u := range units[1:] {
		if len(u.Consistent) > 0 {
			t.Errorf("%s is taken after %v", u.ID, u.Consistent)
		}
	}
	if got := units[5].Capture.Env["NAMES"]; got != "db\nmore\ns3" {
		t.Errorf("the export expects %q", got)
	}
	if len(units[6].Capture.Env) > 0 {
		t.Errorf("a skipped export expects %v", units[6].Capture.Env)
	}
}
