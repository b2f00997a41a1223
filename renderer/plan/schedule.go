package plan

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/holdfast-backup/holdfast/renderer/input"
)

// Minutes of a day and of a week.
const (
	day  = 24 * 60
	week = 7 * day
)

const (
	// backupDistance is how many minutes a check or a prune stays away from the start
	// of a backup in the same repository.
	backupDistance = 10
	// followDistance is how many minutes a unit starts at least after one that must be
	// taken before it, so that the first has read before the second lists. Minutes are
	// chosen and checked by this number.
	followDistance = 15
	// maintenanceDelay is how many minutes after the window's end maintenance begins.
	maintenanceDelay = 60
	// maintenanceDistance is how many minutes lie between two maintenance jobs.
	maintenanceDistance = 20
)

// timetable is a parsed cron expression: the minutes of a week at which it can fire,
// sorted. An expression that names days of a month is taken to fire on any weekday.
type timetable []int

// parseCron reads five fields in the form that both Kubernetes and K8up take. Words
// ("@daily-random") are refused: the manifests would not say when the job runs, and so
// whether it collides.
func parseCron(expression string) (timetable, error) {
	if strings.HasPrefix(expression, "@") || strings.Contains(expression, "TZ=") {
		return nil, errors.New("five fields are expected: minute, hour, day of month, month, day of week; the zone is backup.timezone")
	}
	parsed, err := cron.ParseStandard(expression)
	if err != nil {
		return nil, err
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, errors.New("five fields are expected")
	}
	if !possible(spec) {
		return nil, errors.New("no month has such a day: it would never fire")
	}
	var times timetable
	anyDay := starred(spec.Dow)
	for weekday := range 7 {
		// A restricted day of month may fall on any weekday.
		if !anyDay && spec.Dow&(1<<weekday) == 0 && starred(spec.Dom) {
			continue
		}
		for hour := range 24 {
			if spec.Hour&(1<<hour) == 0 {
				continue
			}
			for minute := range 60 {
				if spec.Minute&(1<<minute) != 0 {
					times = append(times, weekday*day+hour*60+minute)
				}
			}
		}
	}
	return times, nil
}

// starred says that the field was "*": the library marks it in the top bit.
func starred(bits uint64) bool { return bits&(1<<63) != 0 }

// possible says whether some month has one of the days.
func possible(spec *cron.SpecSchedule) bool {
	if !starred(spec.Dow) {
		return true
	}
	lengths := []int{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	for i, length := range lengths {
		if spec.Month&(1<<(i+1)) == 0 {
			continue
		}
		for d := 1; d <= length; d++ {
			if spec.Dom&(1<<d) != 0 {
				return true
			}
		}
	}
	return false
}

// interval is the shortest time between two firings, in minutes.
func (t timetable) interval() int {
	if len(t) < 2 {
		return week
	}
	shortest := week - t[len(t)-1] + t[0]
	for i := 1; i < len(t); i++ {
		shortest = min(shortest, t[i]-t[i-1])
	}
	return shortest
}

// distance is how many minutes lie between two minutes of the week, either way
// round.
func distance(a, b int) int {
	d := a - b
	if d < 0 {
		d = -d
	}
	return min(d, week-d)
}

// clock parses "HH:MM"; the schema has checked the form.
func clock(s string) int {
	var hour, minute int
	if _, err := fmt.Sscanf(s, "%d:%d", &hour, &minute); err != nil {
		return 0
	}
	return hour*60 + minute
}

// skippedHour is the local hour that does not exist in the night when clocks go
// forward. Nothing is planned in it. It is -1 if the zone has no such night.
func skippedHour(name string) int {
	missing, _ := zone(name)
	return missing
}

// length is how many minutes the window has by the clock.
func windowLength(w input.Window) int {
	start, end := clock(w.Start), clock(w.End)
	if end <= start {
		end += day
	}
	return end - start
}

// spans says whether a job that starts at that minute of the day, and one that
// starts so much later, start in one night of the window.
func windowSpans(w input.Window, minute, later int) bool {
	return (minute-clock(w.Start)+day)%day+later < windowLength(w)
}

// minutes lists the window's minutes of the day in the order of the night.
func windowMinutes(w input.Window, zone string) []int {
	start, skipped := clock(w.Start), skippedHour(zone)
	var list []int
	for m := start; m < start+windowLength(w); m++ {
		if minute := m % day; minute/60 != skipped {
			list = append(list, minute)
		}
	}
	return list
}

// Next is the first start after a time; the zero time for a line that no parser takes,
// which Check has refused.
func (s Schedule) Next(after time.Time) time.Time {
	times, err := cron.ParseStandard(s.K8up)
	if err != nil {
		return time.Time{}
	}
	return times.Next(after)
}

// schedule writes a cron expression in both spellings.
func schedule(expression, zone string) Schedule {
	return Schedule{Cron: expression, TimeZone: zone, K8up: "CRON_TZ=" + zone + " " + expression}
}

// everyDay is the timetable of a job that starts at that minute of each day.
func everyDay(minute int) timetable {
	times := make(timetable, 7)
	for weekday := range times {
		times[weekday] = weekday*day + minute
	}
	return times
}

// daily is every day at that minute of the day.
func daily(minute int) string { return fmt.Sprintf("%d %d * * *", minute%60, minute/60) }

// weekly is that minute of the day on that weekday, 0 is Sunday.
func weekly(minute, weekday int) string {
	return fmt.Sprintf("%d %d * * %d", minute%60, minute/60, weekday)
}

// ValidCron returns what is wrong with a cron expression of five fields; nil if nothing
// is.
func ValidCron(expression string) error {
	_, err := parseCron(expression)
	return err
}
