package plan

import (
	"fmt"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
)

// builtinRetention is what a source gets that nobody decided about.
func builtinRetention() input.Retention { return input.Retention{KeepDaily: 30} }

// TierPrefix starts the tag by which prune selects snapshots.
const TierPrefix = "tier-"

// tierOf names a retention: "d30-w8". Equal retentions are one tier, whoever
// asked for them, because a snapshot must carry exactly one tier tag.
func tierOf(r input.Retention) string {
	var parts []string
	for _, rule := range r.Rules() {
		if rule.Keep > 0 {
			parts = append(parts, fmt.Sprintf("%c%d", rule.Word[0], rule.Keep))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, "-")
}

// historyDays is for how long rclone's history is kept: as long as the daily
// copies of the same retention, or longer where a longer rule asks for it.
func historyDays(r input.Retention) int {
	return max(r.KeepDaily, 7*r.KeepWeekly, 31*r.KeepMonthly, 366*r.KeepYearly)
}
