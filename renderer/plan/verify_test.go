package plan

import (
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
)

func TestLongest(t *testing.T) {
	for _, test := range []struct {
		cron  string
		hours int64
	}{
		{cron: "5 1 * * *", hours: 24},
		{cron: "0 */6 * * *", hours: 6},
		{cron: "0 1,13 * * *", hours: 12},
		{cron: "0 1 * * 1-5", hours: 72},
		{cron: "0 1 * * 0", hours: 7 * 24},
		{cron: "0 1 1 * *", hours: 31 * 24},
		{cron: "0 1 31 * *", hours: 61 * 24},
		{cron: "0 1 29 2 *", hours: 4*365*24 + 24},
	} {
		if got := longest(schedule(test.cron, "UTC")); got != test.hours*3600 {
			t.Errorf("%s: at most %d h, expected %d h", test.cron, got/3600, test.hours)
		}
	}
}

func TestRoundEnd(t *testing.T) {
	for _, test := range []struct {
		name, window string
		crons        []string
		deadlines    []int // seconds
		from, to     int   // minutes of the day
	}{
		{name: "the last that ends", window: "01:00", crons: []string{"0 1 * * *", "30 1 * * *"}, deadlines: []int{7200, 1800}, from: 4*60 + 15, to: 4*60 + 44},
		{name: "over midnight", window: "22:00", crons: []string{"0 23 * * *", "0 2 * * *"}, deadlines: []int{3600, 3600}, from: 4*60 + 15, to: 4*60 + 44},
		{name: "one of all day counts for nothing", window: "01:00", crons: []string{"0 * * * *", "0 2 * * *"}, deadlines: []int{3600, 3600}, from: 4*60 + 15, to: 4*60 + 44},
		{name: "a weekly one alone", window: "01:00", crons: []string{"0 4 * * 3"}, deadlines: []int{3600}, from: 6*60 + 15, to: 6*60 + 44},
		{name: "on working days", window: "01:00", crons: []string{"0 4 * * 1-5"}, deadlines: []int{3600}, from: 6*60 + 15, to: 6*60 + 44},
		{name: "before the next window", window: "01:00", crons: []string{"0 0 * * *"}, deadlines: []int{3600}, from: 30, to: 30},
	} {
		p := &Plan{Instance: "shop", Window: input.Window{Start: test.window}, TimeZone: "UTC"}
		for n, cron := range test.crons {
			i := Item{Unit: kind.Unit{Namespace: "shop"}, Schedule: schedule(cron, "UTC"), DeadlineSeconds: test.deadlines[n]}
			p.Units = append(p.Units, i)
		}
		got := (&builder{plan: p}).roundEnd("shop")
		if got < test.from || got > test.to {
			t.Errorf("%s: at %02d:%02d", test.name, got/60, got%60)
		}
		if test.from == test.to {
			continue // the whole day is taken: it is seen a day later
		}
		// A night without a backup is seen in the morning after: the copy of the day before is
		// too old then, and that of the night is not.
		for _, i := range p.Units {
			times, err := parseCron(i.Schedule.Cron)
			if err != nil {
				t.Fatal(err)
			}
			if len(times) != 7 {
				continue // of one that rests on some days, K8up's own Backups tell sooner
			}
			age, rpo := (got-times[0]%day+day)%day*60, longest(i.Schedule)+int64(i.DeadlineSeconds)+late
			if int64(age) >= rpo || int64(age+day*60) <= rpo {
				t.Errorf("%s: copies of %q are %d and %d s old at the look, and may be %d", test.name, i.Schedule.Cron, age, age+day*60, rpo)
			}
		}
	}
}
