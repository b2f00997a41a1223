package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// withGroups returns the units with the order of their groups: each is taken after the
// one before it in its group. Members that are no units, or that are skipped, are
// passed over; the check reports them.
func withGroups(groups []input.Group, units []kind.Discovered) []kind.Discovered {
	if len(groups) == 0 {
		return units
	}
	units = slices.Clone(units)
	for _, group := range groups {
		before := ""
		for _, id := range group.Units {
			i := slices.IndexFunc(units, func(u kind.Discovered) bool { return u.ID == id && u.Need != input.Skip })
			if i < 0 {
				continue
			}
			if before != "" && !slices.Contains(units[i].Consistent, before) {
				units[i].Consistent = append(slices.Clip(units[i].Consistent), before)
			}
			before = id
		}
	}
	return units
}

// decideGroups shows the groups in the plan.
func (b *builder) decideGroups() {
	b.plan.Groups = append(b.plan.Groups, b.inst.State.Consistency...)
	slices.SortStableFunc(b.plan.Groups, func(a, c input.Group) int { return cmp.Compare(a.Name, c.Name) })
}

// groups is HF146 and HF147: each member is a unit that is backed up.
func (c *checker) groups() {
	known := map[string]kind.Discovered{}
	var ids []string
	for _, u := range c.plan.inputs.discovered {
		known[u.ID] = u
		ids = append(ids, u.ID)
	}
	names := map[string]bool{}
	for n, group := range c.plan.inputs.instance.State.Consistency {
		if names[group.Name] {
			c.problemAt(fmt.Sprintf("/consistency/%d/name", n), "HF146", "give each group a name of its own", "another group is %q, too", group.Name)
		}
		names[group.Name] = true
		for m, id := range group.Units {
			at := fmt.Sprintf("/consistency/%d/units/%d", n, m)
			unit, found := known[id]
			switch {
			case !found:
				hint := "holdfast plan lists the units"
				if near := problem.Nearest(id, ids); near != "" {
					hint = fmt.Sprintf("did you mean %q?", near)
				}
				c.problemAt(at, "HF146", hint, "%q is no unit of this instance", id)
			case unit.Need == input.Skip:
				c.problemAt(at, "HF147", "take it out of the group, or back it up", "group %s needs %s, which is skipped", group.Name, id)
			}
		}
	}
}
