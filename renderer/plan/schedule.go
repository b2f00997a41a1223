package plan

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/robfig/cron/v3"
)

// Minutes of a day and of a week.
const (
	day  = 24 * 60
	week = 7 * day
)

const (
	// beside is how many minutes a check or a prune stays away from the start
	// of a backup in the same repository.
	beside = 10
	// settle is how many minutes lie between a source and one that must be
	// taken after it, so that the first has read before the second lists.
	settle = 15
	// rest is how many minutes after the window's end maintenance begins.
	rest = 60
	// apart is how many minutes lie between two maintenance jobs.
	apart = 20
)

// timetable is a parsed cron expression: the minutes of a week at which it can
// fire, sorted. One that names days of a month fires on any day, as far as
// collisions are concerned.
type timetable []int

// parseCron reads five fields in the dialect that both Kubernetes and K8up
// speak. Words ("@daily-random") are refused: nobody could tell from the
// manifests when the job runs, and so whether it collides.
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
// forward, so nothing is planned there. -1: the zone has no such night.
func skippedHour(name string) int {
	missing, _ := zone(name)
	return missing
}

// minutes lists the window's minutes of the day in the order of the night.
func (w Window) minutes(zone string) []int {
	start, end := clock(w.Start), clock(w.End)
	if end <= start {
		end += day
	}
	skipped := skippedHour(zone)
	var list []int
	for m := start; m < end; m++ {
		if minute := m % day; minute/60 != skipped {
			list = append(list, minute)
		}
	}
	return list
}

// request asks for a place in the window.
type request struct {
	id string
	// depth counts the sources that must be taken before this one.
	depth int
}

// spread gives each request a minute of the window. A request's minute follows
// from a hash of its id, so a source that comes or goes moves no other, but for
// the one in a thousand that wanted its minute; no two share a minute. Depths
// share the window evenly and stay settle minutes apart. A request that finds
// no room is missing from the answer.
func spread(seed string, requests []request, minutes []int) map[string]int {
	deepest := 0
	for _, r := range requests {
		deepest = max(deepest, r.depth)
	}
	slices.SortFunc(requests, func(a, b request) int { return strings.Compare(a.id, b.id) })
	placed := map[string]int{}
	phase := len(minutes) / (deepest + 1)
	for depth := 0; depth <= deepest; depth++ {
		slots := minutes[depth*phase : (depth+1)*phase]
		if depth < deepest && len(slots) > settle {
			slots = slots[:len(slots)-settle]
		}
		taken := make([]bool, len(slots))
		for _, r := range requests {
			if r.depth != depth {
				continue
			}
			if at, ok := probe(taken, seed, r.id); ok {
				placed[r.id] = slots[at]
			}
		}
	}
	return placed
}

// probe finds a free slot, by a new hash for each try and then one by one.
func probe(taken []bool, seed, id string) (int, bool) {
	if len(taken) == 0 {
		return 0, false
	}
	for try := range 8 {
		sum := sha256.Sum256([]byte(fmt.Sprintf("%s\x00%s\x00%d", seed, id, try)))
		at := int(binary.BigEndian.Uint32(sum[:4])) % len(taken)
		if !taken[at] {
			taken[at] = true
			return at, true
		}
	}
	at := slices.Index(taken, false)
	if at < 0 {
		return 0, false
	}
	taken[at] = true
	return at, true
}

// schedule writes a cron expression in both spellings.
func schedule(expression, zone string) Schedule {
	return Schedule{Cron: expression, TimeZone: zone, K8up: "CRON_TZ=" + zone + " " + expression}
}

// daily is every day at that minute of the day.
func daily(minute int) string { return fmt.Sprintf("%d %d * * *", minute%60, minute/60) }

// weekly is that minute of the day on that weekday, 0 is Sunday.
func weekly(minute, weekday int) string {
	return fmt.Sprintf("%d %d * * %d", minute%60, minute/60, weekday)
}

// ValidCron says what is wrong with a cron expression, or nil.
func ValidCron(expression string) error {
	_, err := parseCron(expression)
	return err
}
