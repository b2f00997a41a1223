package oracle

import (
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/holdfast-backup/holdfast/renderer/plan"
)

// TestCronAgrees holds our check of cron expressions against the parser that
// K8up and Kubernetes' CronJob controller both use. Where ours is stricter, the
// table says why.
func TestCronAgrees(t *testing.T) {
	const agrees = ""
	tests := []struct {
		expression string
		stricter   string
	}{
		{"1 2 * * *", agrees},
		{"*/15 * * * *", agrees},
		{"0-30/10 1,2,3 * * 1-5", agrees},
		{"59 23 31 12 6", agrees},
		{"0 0 29 2 *", agrees},
		{"0 0 1 JAN MON", agrees},
		{"0 0 ? * ?", agrees},
		{"0 0 30 2 1", agrees}, // day of month or day of week: Mondays of February
		{"5/10 * * * *", agrees},
		{"  1 2 * * *  ", agrees},
		{"", agrees},
		{" ", agrees},
		{"61 2 * * *", agrees},
		{"-1 2 * * *", agrees},
		{"1 24 * * *", agrees},
		{"1 2 0 * *", agrees},
		{"1 2 32 * *", agrees},
		{"1 2 * 13 *", agrees},
		{"1 2 * * 7", agrees},
		{"1 2 * *", agrees},
		{"0 1 2 * * *", agrees},
		{"1 2 * * * 2026", agrees},
		{"*/0 * * * *", agrees},
		{"30-10 * * * *", agrees},
		{"a b c d e", agrees},
		{"1 2 * * MONDAY", agrees},
		{"1 2 * * L", agrees},
		{"1,, 2 * * *", agrees},
		{"H H * * *", agrees},
		{"0 0 30 2 *", "no month has such a day, it would never fire"},
		{"0 0 31 4,6,9,11 *", "no month has such a day, it would never fire"},
		{"@daily", "words do not show when the job runs, and so whether it collides"},
		{"@every 1h", "counts from the start of whoever reads it"},
		{"CRON_TZ=Europe/Berlin 1 2 * * *", "the zone is a field of its own"},
		{"TZ=UTC 1 2 * * *", "the zone is a field of its own"},
	}
	for _, tt := range tests {
		t.Run(tt.expression, func(t *testing.T) {
			ours := plan.ValidCron(tt.expression)
			_, theirs := cron.ParseStandard(tt.expression)
			switch {
			case tt.stricter == agrees && (ours == nil) != (theirs == nil):
				t.Errorf("ours says %v, theirs says %v", ours, theirs)
			case tt.stricter != agrees && (ours == nil || theirs != nil):
				t.Errorf("ours says %v, theirs says %v, expected that only ours refuses: %s", ours, theirs, tt.stricter)
			}
		})
	}
}

// TestSchedulesFire lets the parser that the cluster uses read every schedule
// that we render. All of them fire, and K8up's spelling and the CronJob's mean
// the same moments.
func TestSchedulesFire(t *testing.T) {
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	eachTree(t, func(t *testing.T, x *tree) {
		zone := "UTC"
		for _, p := range x.plans {
			if p.Enabled {
				zone = p.TimeZone
			}
		}
		place, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		fires := func(id, expression string, want string) {
			if strings.HasPrefix(expression, "@") || expression == "" {
				t.Errorf("%s: schedule %q", id, expression)
				return
			}
			schedule, err := cron.ParseStandard(expression)
			if err != nil {
				t.Errorf("%s: %q: %v", id, expression, err)
				return
			}
			next := schedule.Next(from)
			if next.IsZero() {
				t.Errorf("%s: %q never fires", id, expression)
			}
			if want == "" {
				return
			}
			plain, err := cron.ParseStandard(want)
			if err != nil || !plain.Next(from.In(place)).Equal(next) {
				t.Errorf("%s: %q fires at %v, expected it as %q in %s does (%v)", id, expression, next, want, zone, err)
			}
		}
		for _, d := range x.of("k8up.io/", "Schedule") {
			spec, _ := d.value["spec"].(map[string]any)
			for _, job := range []string{"backup", "check", "prune"} {
				block, ok := spec[job].(map[string]any)
				if !ok {
					continue
				}
				expression, _ := block["schedule"].(string)
				fires(d.id, expression, cronOf(x, d, job))
			}
		}
		for _, d := range x.of("batch/", "CronJob") {
			spec, _ := d.value["spec"].(map[string]any)
			expression, _ := spec["schedule"].(string)
			fires(d.id, expression, "")
			if name, _ := spec["timeZone"].(string); name != zone {
				t.Errorf("%s: timeZone %q, expected %s", d.id, name, zone)
			}
		}
	})
}

// cronOf is the plan's cron expression for a Schedule.
func cronOf(x *tree, d manifested, job string) string {
	for _, p := range x.plans {
		for _, i := range p.Units {
			if job == "backup" && i.Name == d.name && i.Namespace == d.namespace {
				return i.Schedule.Cron
			}
		}
		for _, m := range p.Maintenance {
			if string(m.Job) == job && m.Name == d.name && m.Namespace == d.namespace {
				return m.Schedule.Cron
			}
		}
	}
	return ""
}
