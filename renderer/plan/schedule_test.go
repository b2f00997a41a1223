package plan

import (
	"archive/zip"
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/holdfast-backup/holdfast/renderer/input"
)

func random(t *testing.T) *rand.Rand {
	t.Helper()
	return rand.New(rand.NewPCG(1, 2))
}

// fires lists the minutes of the week at which a cron line really starts
// something, by the library that Kubernetes and K8up use, over some years.
func fires(t *testing.T, expression string, years int) map[int]bool {
	t.Helper()
	schedule, err := cron.ParseStandard(expression)
	if err != nil {
		t.Fatal(err)
	}
	// A Sunday, so that the minutes of its week count from it.
	sunday := time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)
	found := map[int]bool{}
	for at := schedule.Next(sunday.Add(-time.Second)); at.Before(sunday.AddDate(years, 0, 0)) && !at.IsZero(); at = schedule.Next(at) {
		found[int(at.Sub(sunday).Minutes())%week] = true
	}
	return found
}

func TestParseCron(t *testing.T) {
	t.Run("each line fires when the library says", func(t *testing.T) {
		lines := []string{
			"0 0 * * *", "59 23 * * 6", "*/15 * * * *", "0 */6 * * 1-5", "5,35 1-3 * * SUN", "0 3 ? * MON,wed",
			"30 4 * * */2", "0-10/5 22 * * *", "7 7 * * 0,6", "0 12 */1 * *", "0 0 * * 1,*",
		}
		r := random(t)
		for range 60 {
			lines = append(lines, fmt.Sprintf("%d %d-%d/%d * * %d", r.IntN(60), r.IntN(5), 5+r.IntN(19), 1+r.IntN(6), r.IntN(7)))
		}
		for _, line := range lines {
			got, err := parseCron(line)
			if err != nil {
				t.Errorf("%s: %v", line, err)
				continue
			}
			if want := slices.Sorted(maps.Keys(fires(t, line, 1))); !slices.Equal(got, want) {
				t.Errorf("%s: the minutes of the week are %v, want %v", line, got, want)
			}
		}
	})
	t.Run("a line with days of the month never fires at another time", func(t *testing.T) {
		for _, line := range []string{"0 3 1 * *", "15 4 31 * *", "0 0 29 2 *", "0 5 1,15 * 1", "0 6 */2 * 3", "30 1 31 1,3 *"} {
			got, err := parseCron(line)
			if err != nil {
				t.Errorf("%s: %v", line, err)
				continue
			}
			if !slices.IsSorted(got) {
				t.Errorf("%s: not sorted", line)
			}
			for minute := range fires(t, line, 10) {
				if !slices.Contains(got, minute) {
					t.Errorf("%s: minute %d of the week is missing", line, minute)
				}
			}
		}
	})
	t.Run("what nobody could rely on is refused", func(t *testing.T) {
		for _, line := range []string{
			"", "* * * *", "* * * * * *", "60 0 * * *", "0 24 * * *", "0 0 0 * *", "0 0 * 13 *", "0 0 * * 7",
			"@daily", "@daily-random", "@every 1h", "CRON_TZ=UTC 0 0 * * *", "TZ=UTC 0 0 * * *",
			"0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 31 NOV *", "x 0 * * *", "0 0 L * *", "0/0 * * * *",
		} {
			if got, err := parseCron(line); err == nil {
				t.Errorf("%q is taken: %v", line, got)
			}
		}
	})
}

func TestInterval(t *testing.T) {
	for _, test := range []struct {
		line string
		want int
	}{
		{line: "0 3 * * *", want: day},
		{line: "0 3 * * 0", want: week},
		{line: "0 */4 * * *", want: 4 * 60},
		{line: "0 */5 * * *", want: 4 * 60}, // 20:00 to 0:00
		{line: "10,15 3 * * *", want: 5},
		{line: "50 23 * * 6", want: week},
		{line: "55 23,0 * * *", want: 60},
		{line: "0 0,23 * * *", want: 60},
		{line: "0 3 * * 6,0", want: day}, // Saturday to Sunday, over the end of the week
		{line: "* * * * *", want: 1},
	} {
		times, err := parseCron(test.line)
		if err != nil {
			t.Fatal(err)
		}
		if got := times.interval(); got != test.want {
			t.Errorf("%s: the interval is %d minutes, want %d", test.line, got, test.want)
		}
	}
}

func TestNearest(t *testing.T) {
	if got := smallestDistance(timetable{week - 2}, timetable{3}); got != 5 {
		t.Errorf("Saturday 23:58 and Sunday 0:03 are %d minutes apart", got)
	}
	if got := smallestDistance(nil, timetable{3}); got != week {
		t.Errorf("nothing is %d minutes from something", got)
	}
	r := random(t)
	some := func() timetable {
		var times timetable
		for range 1 + r.IntN(12) {
			times = append(times, r.IntN(week))
		}
		slices.Sort(times)
		return slices.Compact(times)
	}
	for range 2000 {
		a, b := some(), some()
		want := week
		for _, x := range a {
			for _, y := range b {
				want = min(want, (x-y+week)%week, (y-x+week)%week)
			}
		}
		if got := smallestDistance(a, b); got != want {
			t.Fatalf("%v and %v are %d minutes apart, want %d", a, b, got, want)
		}
	}
}

func TestFollows(t *testing.T) {
	for _, test := range []struct {
		name, line, first string
		// start of a window until 6:00; by default it is no window's night.
		start string
		want  bool
	}{
		{name: "an hour later", line: "0 4 * * *", first: "0 3 * * *", want: true},
		{name: "over midnight", line: "10 0 * * *", first: "50 23 * * *", want: true},
		{name: "over the end of the week", line: "10 0 * * 0", first: "50 23 * * 6", want: true},
		{name: "at once", line: "0 3 * * *", first: "0 3 * * *", want: false},
		{name: "before", line: "0 3 * * *", first: "0 4 * * *", want: false},
		{name: "a day after a weekly one", line: "0 4 * * *", first: "0 3 * * 0", want: false},
		{name: "weekly after a daily one", line: "0 4 * * 0", first: "0 3 * * *", want: true},
		{name: "too late to be of the same night", line: "0 16 * * *", first: "0 3 * * *", want: false},
		{name: "too close", line: "14 3 * * *", first: "0 3 * * *", want: false},
		{name: "just far enough", line: "15 3 * * *", first: "0 3 * * *", want: true},
		{name: "late in a long window", line: "0 5 * * *", first: "0 16 * * *", start: "15:00", want: true},
		{name: "late, and not in the window", line: "0 5 * * *", first: "0 16 * * *", start: "17:00", want: false},
		{name: "late, and after the window", line: "0 7 * * *", first: "0 16 * * *", start: "15:00", want: false},
		{name: "late after a weekly one", line: "0 5 * * *", first: "0 16 * * 0", start: "15:00", want: false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.start == "" {
				test.start = "05:59"
			}
			times, err := parseCron(test.line)
			if err != nil {
				t.Fatal(err)
			}
			first, err := parseCron(test.first)
			if err != nil {
				t.Fatal(err)
			}
			if got := follows(times, first, input.Window{Start: test.start, End: "06:00"}); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestWindowMinutes(t *testing.T) {
	for _, test := range []struct {
		name        string
		window      input.Window
		zone        string
		first, last int
		count       int
	}{
		{name: "one night", window: input.Window{Start: "01:00", End: "05:00"}, zone: "UTC", first: 60, last: 299, count: 240},
		{name: "over midnight", window: input.Window{Start: "22:30", End: "04:30"}, zone: "UTC", first: 22*60 + 30, last: 269, count: 360},
		{name: "without the hour that one night lacks", window: input.Window{Start: "22:30", End: "04:30"}, zone: "Europe/Berlin", first: 22*60 + 30, last: 269, count: 300},
		{name: "of another zone", window: input.Window{Start: "01:00", End: "02:00"}, zone: "Europe/London", count: 0},
		{name: "the whole day", window: input.Window{Start: "03:00", End: "03:00"}, zone: "UTC", first: 180, last: 179, count: day},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := windowMinutes(test.window, test.zone)
			if len(got) != test.count {
				t.Fatalf("%d minutes, want %d", len(got), test.count)
			}
			if test.count > 0 && (got[0] != test.first || got[len(got)-1] != test.last) {
				t.Errorf("from %d to %d, want %d to %d", got[0], got[len(got)-1], test.first, test.last)
			}
		})
	}
}

// TestZones holds the compiled list against the time zones of the Go release.
func TestZones(t *testing.T) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip")
	t.Setenv("ZONEINFO", archive)
	files, err := zip.OpenReader(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = files.Close() }()
	form := regexp.MustCompile(`^[A-Z][A-Za-z]+(/[A-Z][A-Za-z0-9_+-]*){1,2}$`)
	checked := 0
	for _, file := range files.File {
		if !form.MatchString(file.Name) {
			continue
		}
		missing, known := zone(file.Name)
		if !known {
			t.Errorf("%s is not known", file.Name)
			continue
		}
		location, err := time.LoadLocation(file.Name)
		if err != nil {
			t.Fatal(err)
		}
		if want := missingHour(location); missing != want {
			t.Errorf("%s: the hour that one night lacks is %d, want %d", file.Name, missing, want)
		}
		checked++
	}
	if checked < 500 {
		t.Errorf("only %d zones were checked", checked)
	}
	for _, name := range []string{"", "Local", "CET", "Europe/Berln", "europe/berlin", "Europe", "UTC+1"} {
		if _, known := zone(name); known {
			t.Errorf("%q is taken for a zone", name)
		}
	}
	if missing, known := zone("UTC"); !known || missing != -1 {
		t.Errorf("UTC: %d, %v", missing, known)
	}
}

// missingHour is the first local hour that some night of the coming years lacks.
func missingHour(location *time.Location) int {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).In(location)
	for at.Year() < 2030 {
		_, change := at.ZoneBounds()
		if change.IsZero() {
			return -1
		}
		_, before := change.Add(-time.Second).Zone()
		if _, after := change.Zone(); after > before && change.Year() < 2030 {
			return change.UTC().Add(time.Duration(before) * time.Second).Hour()
		}
		at = change
	}
	return -1
}

func TestSchedule(t *testing.T) {
	s := schedule(daily(22*60+5), "Europe/Berlin")
	if s.Cron != "5 22 * * *" || s.TimeZone != "Europe/Berlin" || s.K8up != "CRON_TZ=Europe/Berlin 5 22 * * *" {
		t.Errorf("%+v", s)
	}
	if _, err := cron.ParseStandard(s.K8up); err != nil {
		t.Errorf("K8up could not read %q: %v", s.K8up, err)
	}
	if got := weekly(61, 6); got != "1 1 * * 6" {
		t.Errorf("weekly is %q", got)
	}
}

// TestMaintenance: whatever the window, checks and prunes of one repository
// keep apart, and none starts in an hour that one night lacks.
func TestMaintenance(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Berlin", "Europe/London", "Africa/Cairo"} {
		for end := 0; end < day; end += 10 {
			p := &Plan{
				Instance:     "instance",
				TimeZone:     zone,
				Window:       input.Window{Start: "00:00", End: fmt.Sprintf("%02d:%02d", end/60, end%60)},
				Repositories: map[string]Repository{"ns": {Namespace: "ns"}},
			}
			for n := range 7 {
				r := input.Retention{KeepDaily: 10 + n}
				p.Units = append(p.Units, Item{Repository: "ns", Retention: r, Tier: tierOf(r)})
			}
			b := &builder{plan: p}
			b.decideMaintenance()
			if len(p.Maintenance) != 8 {
				t.Fatalf("%d jobs, want a check and 7 prunes", len(p.Maintenance))
			}
			var all []timetable
			for _, m := range p.Maintenance {
				times, err := parseCron(m.Schedule.Cron)
				if err != nil {
					t.Fatal(err)
				}
				if len(times) != 1 || times[0]%day/60 == skippedHour(zone) {
					t.Fatalf("%s, window to %s: %s runs at %q", zone, p.Window.End, m.Name, m.Schedule.Cron)
				}
				for _, other := range all {
					if near := smallestDistance(times, other); near < maintenanceDistance {
						t.Fatalf("%s, window to %s: %s is %d minutes from another job", zone, p.Window.End, m.Name, near)
					}
				}
				all = append(all, times)
			}
		}
	}
}

func TestLater(t *testing.T) {
	for _, test := range []struct {
		line    string
		minutes int
		want    string
	}{
		{line: "30 5 * * 6", minutes: 0, want: "30 5 * * 6"},
		{line: "30 5 * * 6", minutes: 40, want: "10 6 * * 6"},
		{line: "30 23 * * 6", minutes: 40, want: "30 23 * * 6"}, // would be Sunday: left alone, and refused as a collision
		{line: "*/5 5 * * 6", minutes: 40, want: "*/5 5 * * 6"},
		{line: "", minutes: 40, want: ""},
	} {
		if got := later(test.line, test.minutes); got != test.want {
			t.Errorf("%q, %d minutes later: %q, want %q", test.line, test.minutes, got, test.want)
		}
	}
	if strings.Contains(later("0 1 * * *", 20), "  ") {
		t.Error("two blanks")
	}
}
