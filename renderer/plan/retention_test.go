package plan

import (
	"github.com/holdfast-backup/holdfast/renderer/input"
)

import "testing"

// TestTier: each retention is a tier of its own, because a prune selects by
// the tier's name alone.
func TestTier(t *testing.T) {
	seen := map[string]input.Retention{}
	counts := []int{0, 1, 2, 12, 30}
	for _, last := range counts {
		for _, daily := range counts {
			for _, weekly := range counts {
				for _, monthly := range counts {
					r := input.Retention{KeepLast: last, KeepDaily: daily, KeepWeekly: weekly, KeepMonthly: monthly, KeepHourly: daily / 12, KeepYearly: weekly / 12}
					if other, taken := seen[tierOf(r)]; taken && other != r {
						t.Fatalf("%+v and %+v are both %s", other, r, tierOf(r))
					}
					seen[tierOf(r)] = r
				}
			}
		}
	}
	for _, test := range []struct {
		retention  input.Retention
		tier, text string
		days       int
	}{
		{retention: input.Retention{}, tier: "none", text: "nothing"},
		{retention: builtinRetention(), tier: "d30", text: "30 daily", days: 30},
		{retention: input.Retention{KeepDaily: 30, KeepWeekly: 8}, tier: "d30-w8", text: "30 daily, 8 weekly", days: 56},
		{retention: input.Retention{KeepLast: 3, KeepHourly: 24, KeepDaily: 7, KeepMonthly: 12, KeepYearly: 2}, tier: "l3-h24-d7-m12-y2", text: "3 last, 24 hourly, 7 daily, 12 monthly, 2 yearly", days: 732},
	} {
		if got := tierOf(test.retention); got != test.tier {
			t.Errorf("%+v: tier %q, want %q", test.retention, got, test.tier)
		}
		if got := test.retention.String(); got != test.text {
			t.Errorf("%+v: %q, want %q", test.retention, got, test.text)
		}
		if got := historyDays(test.retention); got != test.days {
			t.Errorf("%+v: %d days of history, want %d", test.retention, got, test.days)
		}
	}
}
