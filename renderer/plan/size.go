package plan

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/holdfast-backup/holdfast/renderer/kind"
)

const (
	gi = 1 << 30
	// most is more than any copy has: a size beyond it is a slip of the pen.
	most = 1 << 50
	// streamScratch is what a dump needs that is streamed: lists, and the two pieces
	// of 8 MiB in which it passes.
	streamScratch = "256Mi"
	// headroom of what a copy needs: kubelet evicts a pod whose scratch is full.
	headroom = 1.1
	// patience is how many times the expected time a run may take.
	patience = 2
)

// ValidQuantity says whether a text is a Kubernetes quantity above zero, such as 10Gi.
func ValidQuantity(text string) bool {
	q, err := resource.ParseQuantity(text)
	return err == nil && q.Sign() > 0
}

// bytesOf is a quantity in bytes, 0 for none and for what is no quantity: the
// schema has refused that.
func bytesOf(quantity string) int64 {
	q, err := resource.ParseQuantity(quantity)
	if err != nil {
		return 0
	}
	return q.Value()
}

// scratchFor is how much scratch dump and restore of so many bytes need.
func scratchFor(s kind.Sizing, size int64) int64 {
	return int64(math.Ceil(headroom * math.Max(s.Dump, s.Restore) * float64(size)))
}

// secondsFor is how long a dump of so many bytes may take; 0 where nobody knows.
func secondsFor(s kind.Sizing, size int64) int {
	return patience * expected(s, size)
}

// expected is how many seconds a dump of so many bytes is expected to take; 0 where
// nobody knows.
func expected(s kind.Sizing, size int64) int {
	rate := bytesOf(s.Rate)
	if rate == 0 {
		return 0
	}
	return int(size / rate)
}

// applySize makes a unit's scratch and deadline large enough for its size in a month,
// where nobody has set them. What somebody has set is checked instead.
func (b *builder) applySize(i *Item, k kind.Kind, scratchFrom, deadlineFrom string) {
	size, from := b.settings.size(i.ID)
	i.Size = size
	// A claim's restore keeps to the node's disk: a new volume of a class cannot be
	// written without an fsGroup, and with one kubelet changes owner and modes of
	// all that the pod mounts.
	if i.Capture.How != kind.Volume {
		i.ScratchClass = b.settings.scratchClass()
	}
	i.Reserved = i.ScratchClass == "" && (size > 0 || scratchFrom != builtin)
	if need := scratchFor(k.Sizing, size); scratchFrom == builtin && need > bytesOf(i.Scratch) {
		i.Scratch = strconv.FormatInt((need+gi-1)/gi, 10) + "Gi"
		i.decide("scratch", i.Scratch, from)
	}
	if need := secondsFor(k.Sizing, size); deadlineFrom == builtin && need > i.DeadlineSeconds {
		i.DeadlineSeconds = (need + 599) / 600 * 600
		i.RestoreDeadline = 4 * i.DeadlineSeconds
		i.decide("deadline", strconv.Itoa(i.DeadlineSeconds)+" s", from)
	}
	// One file of a dump may not fill the scratch space. A tool that is stopped by the
	// limit says so; an evicted pod does not.
	i.DumpScratch = i.Scratch
	if k.Sizing.Streams() {
		i.DumpScratch = streamScratch
	}
	// A claim's files go to the claim, however large they are.
	if i.Capture.How != kind.Volume {
		i.DumpBytes = largestCopy(i.DumpScratch, k.Sizing.Dump)
		i.RestoreBytes = largestCopy(i.Scratch, k.Sizing.Restore)
	}
}

// largestCopy is the size of the largest copy of which so many have room on scratch.
func largestCopy(scratch string, copies float64) int64 {
	return max(1, int64(float64(bytesOf(scratch))/headroom/math.Max(copies, 1)))
}

// sizes checks that each size is one that something follows from, and what somebody
// has set against it.
func (c *checker) sizes() {
	ask := newSettings(c.plan.inputs.instance)
	for _, l := range ask.levels {
		for _, key := range slices.Sorted(maps.Keys(l.settings.Sizes)) {
			name, _, unit := strings.Cut(key, "/")
			k, known := c.plan.inputs.set.Find(name)
			known = known && (!unit || slices.ContainsFunc(c.plan.Units, func(i Item) bool { return i.ID == key }))
			size := l.settings.Sizes[key]
			switch {
			case !known: // HF112 says so
			case bytesOf(size.Bytes) > most || bytesOf(size.MonthlyGrowth) > most:
				c.setting(l, "sizes/"+escape(key), "HF162", "give it in Gi", "%s is no copy's size: the largest is 1Pi", size.Bytes+" and "+cmp.Or(size.MonthlyGrowth, "0")+" a month")
			case !unit:
				c.setting(l, "sizes/"+escape(key), "HF162", "name the unit, as holdfast plan prints it", "a size is of one unit, and %q is a kind", key)
			case k.Sizing == kind.Sizing{}:
				c.setting(l, "sizes/"+escape(key), "HF162", "take it out; set the deadline by hand where a run takes longer",
					"nothing follows from a size of %s: it is copied without scratch, and nobody knows how fast", key)
			}
		}
	}
	for _, i := range c.plan.Units {
		k, known := c.plan.inputs.set.Find(i.Kind)
		if !known || i.Size == 0 {
			continue
		}
		if need := scratchFor(k.Sizing, i.Size); need > bytesOf(i.Scratch) {
			_, from := ask.scratch("", i.ID, i.Kind)
			c.problemAt(unitPlace(i.Unit), "HF160", fmt.Sprintf("set scratch to %dGi or more, or leave it to the size", (need+gi-1)/gi),
				"%s has %s of scratch (%s), and a copy of %s in a month needs %dGi", i.ID, i.Scratch, from, shortBytes(i.Size), (need+gi-1)/gi)
		}
		if need := secondsFor(k.Sizing, i.Size); need > i.DeadlineSeconds {
			_, from := ask.deadline(0, i.ID, i.Kind)
			c.problemAt(unitPlace(i.Unit), "HF161", fmt.Sprintf("set the deadline to %d or more, or leave it to the size", need),
				"%s is stopped after %d s (%s), and a copy of %s in a month may take %d s", i.ID, i.DeadlineSeconds, from, shortBytes(i.Size), need)
		}
		// Who has set the time of a unit knows until when it runs.
		if _, _, fixed := ask.cron(i.ID, i.Kind); !fixed && expected(k.Sizing, i.Size) > windowLength(c.plan.Window)*60 {
			c.problemAt(unitPlace(i.Unit), "HF163", "widen the window, or give the unit a time of its own in schedules",
				"%s takes some %d s for a copy of %s in a month, longer than the whole window from %s to %s",
				i.ID, expected(k.Sizing, i.Size), shortBytes(i.Size), c.plan.Window.Start, c.plan.Window.End)
		}
	}
}

// shortBytes is a size in whole GiB, or MiB.
func shortBytes(size int64) string {
	if size >= gi {
		return strconv.FormatInt((size+gi/2)/gi, 10) + "Gi"
	}
	return strconv.FormatInt((size+(1<<20)-1)>>20, 10) + "Mi"
}
