package renderer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/templates"
)

// minimalPlan is the plan of the example minimal with edits of its state, and with
// files of kinds.
func minimalPlan(t *testing.T, archive string) renderer.Planned {
	t.Helper()
	c := errorCase{archive: txtar.Parse([]byte(archive)), base: "minimal"}
	r := builtinRenderer(t)
	if kinds := c.kinds(t); kinds != nil {
		all, err := kind.Overlay(templates.FS, kinds, "kinds")
		if err != nil {
			t.Fatal(err)
		}
		if r, err = renderer.New(all); err != nil {
			t.Fatal(err)
		}
	}
	plans, err := r.Plan(c.inputs(t))
	if err != nil {
		t.Fatal(err)
	}
	return plans[0]
}

// TestConsistency: whatever order a group asks for, its members start in that
// order in the same night. The hashes that spread units over the window would
// give another order for one of the two.
func TestConsistency(t *testing.T) {
	t.Parallel()
	units := []string{"volume/uploads", "postgresql/shop", "postgresql/main-globals"}
	for _, order := range [][]string{units, {units[2], units[1], units[0]}, {units[1], units[0], units[2]}} {
		text := `["` + strings.Join(order, `", "`) + `"]`
		p := minimalPlan(t, fmt.Sprintf("-- state --\n/consistency = [{\"name\": \"shop\", \"units\": %s}]\n", text)).Plan
		if len(p.Groups) != 1 || p.Groups[0].Name != "shop" || !slices.Equal(p.Groups[0].Units, order) {
			t.Errorf("the plan's groups are %v", p.Groups)
		}
		start := map[string]int{}
		for _, u := range p.Units {
			var minute, hour int
			if _, err := fmt.Sscanf(u.Schedule.Cron, "%d %d", &minute, &hour); err != nil {
				t.Fatal(err)
			}
			start[u.ID] = hour*60 + minute // the window does not cross midnight
		}
		for n := range order[1:] {
			if before, after := start[order[n]], start[order[n+1]]; after <= before {
				t.Errorf("%v: %s starts at minute %d, %s at %d", order, order[n], before, order[n+1], after)
			}
		}
	}
}

// TestOthers: what no built-in kind knows is skipped with a reason that the plan
// shows, or backed up by a kind of one's own.
func TestOthers(t *testing.T) {
	t.Parallel()
	p := minimalPlan(t, `
-- state --
/others = [{"key": "cache", "product": "Memcached", "backup": "skip", "reason": "a cache"}, {"key": "queue", "product": "Redis", "backup": "required"}]
-- kinds/widget/kind.libsonnet --
local sound = import 'sound.libsonnet';

sound {
  units(state): [
    {
      id: 'widget/' + state.others[n].key,
      covers: ['/others/' + n],
      namespace: state.namespace,
      need: state.others[n].backup,
      capture: { how: 'dump', image: 'tool', extension: '.txt', source: 'widget:' + state.others[n].key },
      expect: { minBytes: 1 },
    }
    for n in std.range(0, std.length(state.others) - 1)
    if state.others[n].product == 'Redis'
  ],
}
`).Plan
	if !slices.ContainsFunc(p.Units, func(u plan.Item) bool { return u.ID == "widget/queue" }) {
		t.Error("the kind's unit is not in the plan")
	}
	exempt := exemptions(p)
	if len(exempt) != 1 || exempt[0].ID != "others/cache" || exempt[0].Product != "Memcached" ||
		exempt[0].Reason != "a cache" || !slices.Equal(exempt[0].Covers, []string{"/others/0"}) {
		t.Errorf("the exemptions are %+v", exempt)
	}
	if p.Totals.Exempt != len(p.Exemptions) {
		t.Errorf("%d are counted as exempt", p.Totals.Exempt)
	}
}

// exemptions are those of a plan, but for the exports that the example skips.
func exemptions(p *plan.Plan) []plan.Exemption {
	return slices.DeleteFunc(slices.Clone(p.Exemptions), func(e plan.Exemption) bool { return strings.HasPrefix(e.Covers[0], "/kubernetes/") })
}

// TestSkippedPattern: a pattern is an exemption under its own text, and nothing
// is made for it, nor for a claim of a name that K8up could not mount.
func TestSkippedPattern(t *testing.T) {
	t.Parallel()
	p := minimalPlan(t, `
-- state --
/volumes/1 = {"claimPattern": "shop-*-tmp", "accessModes": ["ReadWriteOnce"], "backup": "skip", "reason": "temporary files"}
/volumes/2 = {"claim": "cache.v2", "accessModes": ["ReadWriteOnce"], "backup": "skip", "reason": "a cache"}
`).Plan
	if exempt := exemptions(p); len(exempt) != 2 || exempt[0].ID != "volume/cache.v2" || exempt[1].ID != "volume/shop-*-tmp" {
		t.Errorf("the exemptions are %+v", exempt)
	}
	if len(p.Markers) != 1 || !slices.Equal(p.Markers[0].Claims, []string{"uploads"}) {
		t.Errorf("the markers are %+v", p.Markers)
	}
}
