package plan

import (
	"fmt"
	"slices"

	"github.com/holdfast-backup/holdfast/renderer/input"
)

// otherPlace is the place of the nth entry of the state's others.
func otherPlace(n int) string { return fmt.Sprintf("/others/%d", n) }

// ExtraResources are the API resources that the state exports beyond the built-in
// list, as group/resource; the core group is empty.
func (p *Plan) ExtraResources() []string {
	if p.inputs == nil {
		return nil
	}
	kubernetes, _ := p.inputs.instance.State.Root()["kubernetes"].(map[string]any)
	values, _ := kubernetes["extraResources"].([]any)
	var all []string
	for _, v := range values {
		if s, ok := v.(string); ok {
			all = append(all, s)
		}
	}
	return all
}

// exemptOthers makes an exemption of each skipped entry of the state's others
// that no kind knows: what is not backed up is in the plan with its reason.
func (b *builder) exemptOthers() {
	for n, other := range b.inst.State.Others {
		if other.Backup == input.Skip && !b.plan.covered(otherPlace(n)) {
			b.plan.Exemptions = append(b.plan.Exemptions, Exemption{
				ID: "others/" + other.Key, Product: other.Product, Covers: []string{otherPlace(n)}, Reason: other.Reason,
			})
		}
	}
}

// covered says whether a unit covers the place.
func (p *Plan) covered(place string) bool {
	for _, u := range p.inputs.discovered {
		if slices.Contains(u.Covers, place) {
			return true
		}
	}
	return false
}

// exempt says whether the place is exempt without a unit.
func (p *Plan) exempt(place string) bool {
	return slices.ContainsFunc(p.Exemptions, func(e Exemption) bool { return e.Kind == "" && slices.Contains(e.Covers, place) })
}

// others is HF103 for the keys of the state's others.
func (c *checker) others() {
	keys := map[string]bool{}
	for n, other := range c.plan.inputs.instance.State.Others {
		if keys[other.Key] {
			c.problemAt(otherPlace(n)+"/key", "HF103", "give each of the others a key of its own", "another one is %q, too", other.Key)
		}
		keys[other.Key] = true
	}
}
