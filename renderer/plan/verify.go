package plan

import (
	"strconv"
	"strings"
	"time"
)

const (
	// verifyDelay is how many minutes after the last backup must have ended the
	// verifier looks at the earliest. It is more than late: by then the copy of the day
	// before is too old, and a night without a backup is seen in the morning after it.
	verifyDelay = late/60 + 15
	// verifySpread is among how many minutes the looks of namespaces are spread.
	verifySpread = 30
	// late is how much later than planned a start may be, in seconds: by the night when
	// clocks go back, or a busy cluster.
	late = 3600
)

// decideVerifiers plans for each namespace the job that looks at what is stored of its
// units, when the round is over.
func (b *builder) decideVerifiers() {
	p := b.plan
	for _, namespace := range p.Namespaces {
		v := Verifier{
			Name:            p.Prefix + "-verify",
			Namespace:       namespace,
			Status:          p.Prefix + ".status",
			Schedule:        schedule(daily(b.roundEnd(namespace)), p.TimeZone),
			DeadlineSeconds: p.Platform.Deadlines["verify"],
			Labels:          b.labels("holdfast.dev/role", "verify"),
			Egress:          []Egress{b.api("write the status")},
		}
		repository := ""
		for _, i := range p.Units {
			if i.Namespace != namespace {
				continue
			}
			if i.Repository != "" {
				repository = i.Repository
			}
			e := i.Expected[0]
			v.Expected = append(v.Expected, Looked{
				Name: i.Name, Unit: i.ID, Need: i.Need, How: i.Capture.How, RPO: longest(i.Schedule) + int64(i.DeadlineSeconds) + late,
				Path: e.Path, Host: e.Host, MinBytes: e.MinBytes, MinCount: e.MinCount, Marker: e.Marker, MayBeEmpty: e.MayBeEmpty,
			})
		}
		if repository != "" {
			v.Egress = append(v.Egress, p.Repositories[repository].Egress...)
		}
		v.Egress = egresses(v.Egress)
		v.Values = map[string]string{
			"HOLDFAST_STATUS":  v.Status,
			"HOLDFAST_CLUSTER": p.Cluster,
			// One reading of a copy, and all of them: what is left of the run is for the status,
			// also of a pod that took another's place.
			"HOLDFAST_DEADLINE": strconv.Itoa(v.DeadlineSeconds / 2),
			// From one run to the next, with the time that a run takes.
			"HOLDFAST_NEXT": strconv.Itoa(day*60 + v.DeadlineSeconds + late),
		}
		b.addCommonValues(v.Values, "verifier", namespace)
		p.Verifiers = append(p.Verifiers, v)
	}
}

// roundEnd is the minute of the day at which every backup of a namespace that does not run
// all day must have ended, with some delay; before the next window at the latest.
func (b *builder) roundEnd(namespace string) int {
	start := clock(b.plan.Window.Start)
	last := 0
	for _, i := range b.plan.Units {
		if i.Namespace != namespace {
			continue
		}
		times, err := parseCron(i.Schedule.Cron)
		if err != nil || times.interval() < day {
			continue // Check refuses it; or it runs all day, and any time is as good
		}
		for _, minute := range times {
			last = max(last, (minute%day-start+day)%day+i.DeadlineSeconds/60)
		}
	}
	end := min(last+verifyDelay+int(hash64(b.plan.Instance+namespace)%verifySpread), day-verifySpread)
	end = (start + end) % day
	if end/60 == skippedHour(b.plan.TimeZone) {
		end = (end + 60) % day
	}
	return end
}

// longest is the longest time between two starts, in seconds. Where a line names days of
// months, those of a year and a half are walked through: it may be the 31st.
func longest(s Schedule) int64 {
	var most time.Duration
	if fields := strings.Fields(s.Cron); len(fields) == 5 && fields[2] == "*" && fields[3] == "*" {
		times, err := parseCron(s.Cron)
		if err != nil || len(times) == 0 {
			return week * 60 // Check refuses it
		}
		gap := week - times[len(times)-1] + times[0]
		for n := 1; n < len(times); n++ {
			gap = max(gap, times[n]-times[n-1])
		}
		return int64(gap) * 60
	}
	from := time.Date(2023, 12, 1, 0, 0, 0, 0, time.UTC)
	for at, until := s.Next(from), from.AddDate(1, 6, 0); !at.IsZero() && at.Before(until); {
		next := s.Next(at)
		if next.IsZero() {
			break
		}
		most = max(most, next.Sub(at))
		at = next
	}
	return int64(most / time.Second)
}
