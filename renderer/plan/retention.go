package plan

import (
	"fmt"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
)

// builtinRetention is what a source gets that nobody decided about.
func builtinRetention() Retention { return Retention{KeepDaily: 30} }

// TierPrefix starts the tag by which prune selects snapshots.
const TierPrefix = "tier-"

// Tier names a retention: "d30-w8". Equal retentions are one tier, whoever
// asked for them, because a snapshot must carry exactly one tier tag.
func (r Retention) tier() string {
	var parts []string
	for _, rule := range r.rules() {
		if rule.keep > 0 {
			parts = append(parts, fmt.Sprintf("%s%d", rule.letter, rule.keep))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, "-")
}

type retentionRule struct {
	letter, name string
	keep         int
}

func (r Retention) rules() []retentionRule {
	return []retentionRule{
		{letter: "l", name: "last", keep: r.KeepLast},
		{letter: "h", name: "hourly", keep: r.KeepHourly},
		{letter: "d", name: "daily", keep: r.KeepDaily},
		{letter: "w", name: "weekly", keep: r.KeepWeekly},
		{letter: "m", name: "monthly", keep: r.KeepMonthly},
		{letter: "y", name: "yearly", keep: r.KeepYearly},
	}
}

// String is what people read: "30 daily, 8 weekly".
func (r Retention) String() string {
	var parts []string
	for _, rule := range r.rules() {
		if rule.keep > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", rule.keep, rule.name))
		}
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// historyDays is for how long rclone's history is kept: as long as the daily
// copies of the same retention, or longer where a longer rule asks for it.
func (r Retention) historyDays() int {
	return max(r.KeepDaily, 7*r.KeepWeekly, 31*r.KeepMonthly, 366*r.KeepYearly)
}

// retentionOf reads a document's counts.
func retentionOf(k input.Keep) Retention {
	return Retention{
		KeepLast: k.Last, KeepHourly: k.Hourly, KeepDaily: k.Daily,
		KeepWeekly: k.Weekly, KeepMonthly: k.Monthly, KeepYearly: k.Yearly,
	}
}
