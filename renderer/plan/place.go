package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// request asks for a minute of the window.
type request struct {
	id string
	// after are the ids that must be taken followDistance minutes before this one.
	after []string
	// depth is the longest chain of sources that must be taken before it.
	depth int
	// suits says whether a minute of the day is far enough from units whose time
	// somebody has set. If it is nil, every minute is.
	suits func(minute int) bool
}

// spread gives each request a minute of the window, no two the same one, and
// none of those that are taken. A request that finds no room is missing from the
// answer.
//
// A request's minute depends on its id and on what it follows, never on how many others
// there are. A request that comes or goes moves another only if both want the same
// minute, or if the other follows one that moves. That holds until the window is so
// full that a request would be left out. Then all of them move (placeTightly), which
// has room for n requests in n + depth·(followDistance-1) minutes.
func spread(seed string, requests []request, minutes []int, taken func(minute int) bool) map[string]int {
	requests = slices.Clone(requests)
	// A request comes before those that follow it, so that its minute is known.
	slices.SortFunc(requests, func(a, b request) int { return cmp.Or(cmp.Compare(a.depth, b.depth), cmp.Compare(a.id, b.id)) })
	empty := func() night {
		n := night{minutes: minutes, taken: make([]bool, len(minutes)), at: map[string]int{}}
		for at, minute := range minutes {
			n.taken[at] = taken != nil && taken(minute)
		}
		return n
	}
	n := empty()
	n.placeByHash(seed, requests)
	if len(n.at) < len(requests) {
		n = empty()
		n.placeTightly(requests)
	}
	placed := map[string]int{}
	for id, at := range n.at {
		placed[id] = minutes[at]
	}
	return placed
}

// night is a window that is being filled.
type night struct {
	minutes []int
	taken   []bool         // by slot, which counts the window's minutes
	at      map[string]int // the slot of each request that has one
}

// earliest is the first slot that is late enough for a request.
func (n *night) earliest(r request) int {
	first := 0
	for _, before := range r.after {
		if at, placed := n.at[before]; placed {
			first = max(first, at+followDistance)
		}
	}
	return first
}

// isFree says whether a request may have a slot that is not too early for it.
func (n *night) isFree(r request, at int) bool {
	return !n.taken[at] && (r.suits == nil || r.suits(n.minutes[at]))
}

func (n *night) take(r request, at int) {
	n.taken[at], n.at[r.id] = true, at
}

// placeByHash gives each request the first slot that is free and late enough, in an
// order of its own, which is a hash of its id. A request that follows nothing keeps to
// the first half of the night, one that follows it to half of the rest, and so on. So
// there is room for a follower before there is one. If there is no such slot, the first
// free one is taken.
func (n *night) placeByHash(seed string, requests []request) {
	for _, r := range requests {
		first, end := n.earliest(r), len(n.minutes)
		usual := end - end>>(r.depth+1)
		found := false
		for at := range hashOrder(seed, r.id, end) {
			if found = at >= first && at < usual && n.isFree(r, at); found {
				n.take(r, at)
				break
			}
		}
		for at := first; at < end && !found; at++ {
			if found = n.isFree(r, at); found {
				n.take(r, at)
			}
		}
	}
}

// hashOrder yields all slots below n once, in the order of a hash.
func hashOrder(seed, id string, n int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		if n == 0 {
			return
		}
		sum := sha256.Sum256([]byte(seed + "\x00" + id))
		at := int(binary.BigEndian.Uint32(sum[:4]) % uint32(n))
		step := 1 + int(binary.BigEndian.Uint32(sum[4:8])%uint32(n))
		// A step that shares no divisor with n visits every slot.
		for divisor(step, n) > 1 {
			step++
		}
		for range n {
			if !yield(at) {
				return
			}
			at = (at + step) % n
		}
	}
}

// divisor is the greatest that a and b share.
func divisor(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// placeTightly goes through the night and gives each slot to a request that may have
// it, first to the one at the head of the longest chain. A slot stays empty only while
// all requests that are left wait for the last links of their chains. That is at most
// followDistance-1 slots for each link, which is where spread's bound comes from.
func (n *night) placeTightly(requests []request) {
	chain := map[string]int{}
	for _, r := range slices.Backward(requests) {
		for _, before := range r.after {
			chain[before] = max(chain[before], chain[r.id]+1)
		}
	}
	asked := map[string]bool{}
	for _, r := range requests {
		asked[r.id] = true
	}
	waits := func(r request) bool {
		return slices.ContainsFunc(r.after, func(before string) bool {
			_, placed := n.at[before]
			return asked[before] && !placed
		})
	}
	left := slices.Clone(requests)
	slices.SortStableFunc(left, func(a, b request) int { return cmp.Compare(chain[b.id], chain[a.id]) })
	for at := range n.minutes {
		next := slices.IndexFunc(left, func(r request) bool {
			return !waits(r) && at >= n.earliest(r) && n.isFree(r, at)
		})
		if next >= 0 {
			n.take(left[next], at)
			left = slices.Delete(left, next, next+1)
		}
	}
}
