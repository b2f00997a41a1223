package plan

import "fmt"

// decideRetired lists the policy's tombstones for the instance, and what lives beside
// all of them.
func (b *builder) decideRetired() {
	if b.inst.Policy == nil {
		return
	}
	b.plan.Exempt = b.inst.Policy.Exempt
	for _, r := range b.inst.Policy.Retired {
		if r.Instance == "" || r.Instance == b.plan.Instance {
			b.plan.Retired = append(b.plan.Retired, Retired{Unit: r.Unit, Reason: r.Reason, Until: r.Until})
		}
	}
}

// retired is HF119: a tombstone of a living source would let it vanish one day
// without a word.
func (c *checker) retired() {
	policy := c.plan.inputs.instance.Policy
	if policy == nil {
		return
	}
	alive := map[string]bool{}
	for _, u := range c.plan.inputs.discovered {
		alive[u.ID] = true
	}
	for n, r := range policy.Retired {
		if !alive[r.Unit] || r.Instance != "" && r.Instance != c.plan.Instance {
			continue
		}
		l := level{name: PolicyDocument, tree: policy.Tree}
		c.setting(l, fmt.Sprintf("retired/%d/unit", n), "HF119", "take it out of retired, or take the source out of the state",
			"%s is retired, but instance %s still has it", r.Unit, c.plan.Instance)
	}
}

// Retirement returns the tombstone of a unit that is gone, if there is one. ended says
// that its last day is over. The state's generatedAt says which day it is; under a
// state without it no tombstone ends.
func (p *Plan) Retirement(unit string) (r Retired, ended, found bool) {
	today := ""
	if made := p.inputs.instance.State.GeneratedAt; len(made) >= len("2006-01-02") {
		today = made[:len("2006-01-02")]
	}
	for _, retired := range p.Retired {
		if retired.Unit != unit {
			continue
		}
		if retired.Until == "" || today <= retired.Until {
			return retired, false, true
		}
		r, ended, found = retired, true, true
	}
	return r, ended, found
}
