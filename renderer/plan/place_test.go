package plan

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/input"
)

// chains makes requests in layers, the nth of which follow some of the one
// before.
func chains(r *rand.Rand, layers ...int) []request {
	var list []request
	var above []string
	for depth, count := range layers {
		if depth > 0 && len(above) == 0 {
			break
		}
		var ids []string
		for range count {
			next := request{id: fmt.Sprintf("kind/%d-%d", depth, r.IntN(1e9)), depth: depth}
			for n := 0; n < 1+r.IntN(2) && depth > 0; n++ {
				next.after = append(next.after, above[r.IntN(len(above))])
			}
			ids = append(ids, next.id)
			list = append(list, next)
		}
		above = ids
	}
	return list
}

// proveSpread fails unless each request has a minute of its own that is late
// enough.
func proveSpread(t *testing.T, list []request, minutes []int, placed map[string]int) {
	t.Helper()
	position := map[int]int{} // of a minute in the night
	for at, minute := range minutes {
		position[minute] = at
	}
	if len(placed) != len(list) {
		t.Fatalf("%d of %d have a place in %d minutes", len(placed), len(list), len(minutes))
	}
	taken := map[int]string{}
	for _, r := range list {
		minute := placed[r.id]
		if _, inside := position[minute]; !inside {
			t.Fatalf("%s is at %d, outside of the window", r.id, minute)
		}
		if other := taken[minute]; other != "" {
			t.Fatalf("%s and %s share minute %d", r.id, other, minute)
		}
		taken[minute] = r.id
		for _, before := range r.after {
			if _, known := placed[before]; known && position[minute]-position[placed[before]] < followDistance {
				t.Fatalf("%s is only %d minutes after %s", r.id, position[minute]-position[placed[before]], before)
			}
		}
	}
}

// isHashed says whether a window has room without moving all together.
func isHashed(seed string, list []request, minutes []int) bool {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b request) int { return a.depth - b.depth })
	n := night{minutes: minutes, taken: make([]bool, len(minutes)), at: map[string]int{}}
	n.placeByHash(seed, list)
	return len(n.at) == len(list)
}

func TestSpread(t *testing.T) {
	sixHours := windowMinutes(input.Window{Start: "22:00", End: "04:00"}, "UTC")
	r := random(t)
	t.Run("each has a minute of its own, followDistance minutes after what it follows", func(t *testing.T) {
		for range 300 {
			list := chains(r, 1+r.IntN(60), r.IntN(40), r.IntN(20))
			proveSpread(t, list, sixHours, spread("instance", list, sixHours, nil))
		}
	})
	t.Run("sixty databases, their server and their buckets fit into four hours", func(t *testing.T) {
		fourHours := windowMinutes(input.Window{Start: "01:00", End: "05:00"}, "UTC")
		for n := range 200 {
			seed := fmt.Sprint("instance-", n)
			list := []request{{id: "postgresql/main-globals"}}
			for n := range 60 {
				database := fmt.Sprint("postgresql/", n)
				list = append(list, request{id: database}, request{id: fmt.Sprint("bucket/", n), depth: 1, after: []string{database}})
			}
			proveSpread(t, list, fourHours, spread(seed, list, fourHours, nil))
			if !isHashed(seed, list, fourHours) {
				t.Errorf("%s: a new source would move all others", seed)
			}
		}
	})
	t.Run("a window holds as many as it has minutes", func(t *testing.T) {
		for _, zone := range []string{"UTC", "Europe/Berlin"} {
			minutes := windowMinutes(input.Window{Start: "22:00", End: "04:00"}, zone)
			list := chains(r, len(minutes))
			proveSpread(t, list, minutes, spread("instance", list, minutes, nil))
			list = chains(r, len(minutes)+5)
			if placed := spread("instance", list, minutes, nil); len(placed) != len(minutes) {
				t.Errorf("%d have a place in %d minutes", len(placed), len(minutes))
			}
		}
		if got := spread("instance", chains(r, 3), nil, nil); len(got) != 0 {
			t.Errorf("no minutes, and %v have a place", got)
		}
	})
	t.Run("each link of the longest chain takes followDistance-1 minutes at most", func(t *testing.T) {
		for range 400 {
			layers := []int{1 + r.IntN(30)}
			for range r.IntN(4) {
				layers = append(layers, 1+r.IntN(20))
			}
			list := chains(r, layers...)
			minutes := sixHours[:len(list)+(len(layers)-1)*(followDistance-1)]
			proveSpread(t, list, minutes, spread("instance", list, minutes, nil))
		}
		// A single chain needs all of it.
		list := []request{{id: "a"}, {id: "b", depth: 1, after: []string{"a"}}, {id: "c", depth: 2, after: []string{"b"}}}
		if placed := spread("instance", list, sixHours[:3+2*(followDistance-1)-1], nil); len(placed) == len(list) {
			t.Errorf("a chain of three fits into too few minutes: %v", placed)
		}
	})
	t.Run("independent sources fill the time that a chain waits", func(t *testing.T) {
		list := append(chains(r, followDistance-1), request{id: "first"}, request{id: "last", depth: 1, after: []string{"first"}})
		minutes := sixHours[:len(list)]
		proveSpread(t, list, minutes, spread("instance", list, minutes, nil))
	})
	t.Run("the order of requests and the run make no difference", func(t *testing.T) {
		list := chains(r, 30, 10)
		want := spread("instance", list, sixHours, nil)
		for range 20 {
			r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			if got := spread("instance", list, sixHours, nil); !maps.Equal(got, want) {
				t.Fatal("another order gives other minutes")
			}
		}
		if other := spread("other", list, sixHours, nil); maps.Equal(other, want) {
			t.Error("two instances have the same minutes")
		}
	})
	t.Run("minutes that are taken, or too close to a set time, are left out", func(t *testing.T) {
		for range 100 {
			list := chains(r, 20, 20)
			for n := range list {
				if list[n].depth == 1 {
					list[n].suits = func(minute int) bool { return minute >= 2*60 && minute < 4*60 }
				}
			}
			placed := spread("instance", list, sixHours, func(minute int) bool { return minute%2 == 0 })
			proveSpread(t, list, sixHours, placed)
			for _, r := range list {
				if minute := placed[r.id]; minute%2 == 0 || r.suits != nil && !r.suits(minute) {
					t.Fatalf("%s is at minute %d", r.id, minute)
				}
			}
		}
	})
}

// TestNewSource holds what the README says: a source that comes moves no other,
// but for those that want a minute which it takes, or which one of these leaves,
// and those that follow what has moved.
func TestNewSource(t *testing.T) {
	minutes := windowMinutes(input.Window{Start: "01:00", End: "05:00"}, "UTC")
	r := random(t)
	rounds, moved, most := 3000, 0, 0
	for round := range rounds {
		seed := fmt.Sprint("instance-", round)
		list := chains(r, 10+r.IntN(40), r.IntN(15), r.IntN(4))
		// Any of them may be the new one: one that nothing follows, the first
		// bucket, or a database whose bucket is there.
		fresh := list[r.IntN(len(list))]
		rest := slices.DeleteFunc(slices.Clone(list), func(r request) bool { return r.id == fresh.id })
		// Without it, what follows it may be less deep.
		depth := map[string]int{}
		for n, r := range rest {
			rest[n].depth = 0
			for _, before := range r.after {
				if d, known := depth[before]; known {
					rest[n].depth = max(rest[n].depth, d+1)
				}
			}
			depth[r.id] = rest[n].depth
		}
		before, after := spread(seed, rest, minutes, nil), spread(seed, list, minutes, nil)
		if !isHashed(seed, rest, minutes) || !isHashed(seed, list, minutes) {
			t.Fatalf("round %d: the window is too full for the test", round)
		}
		old, now := map[int]string{}, map[int]string{}
		for id, minute := range before {
			old[minute] = id
		}
		for id, minute := range after {
			now[minute] = id
		}
		count := 0
		// behind are those that follow what is new or has moved, also through others.
		behind := map[string]bool{}
		for _, r := range list {
			follows := slices.ContainsFunc(r.after, func(id string) bool {
				return id == fresh.id || behind[id] || after[id] != before[id]
			})
			behind[r.id] = follows
			if r.id == fresh.id || after[r.id] == before[r.id] {
				continue
			}
			count++
			taken := now[before[r.id]] != ""
			left := old[after[r.id]] != ""
			if !taken && !left && !follows {
				t.Fatalf("round %d: %s moved from %d to %d, which nobody had, and follows nothing that moved", round, r.id, before[r.id], after[r.id])
			}
		}
		moved += count
		most = max(most, count)
	}
	t.Logf("%d sources moved in %d rounds, at most %d in one", moved, rounds, most)
	// Each new one finds its minute taken at most as often as half the window is
	// full, and sends on as many as that.
	if moved > rounds/2 || most > 8 {
		t.Errorf("%d sources moved in %d rounds, at most %d in one", moved, rounds, most)
	}
}
