package cluster_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/cluster"
)

// largeSize is beyond what a stream has lost its end after: K8up before 2.15
// stored 340 of 343 MB, and called it succeeded.
const largeSize = 512 << 20

// TestLarge dumps a database of half a gigabyte through K8up, and compares it,
// byte by byte, with what comes back from the repository.
func TestLarge(t *testing.T) {
	c := besideOthers(t)
	large, err := c.Large(t.TempDir(), largeSize)
	must(t, err)
	f := fault{large}
	unit := f.unit(t, "postgresql/large")
	since := time.Now()
	if reason, log := f.run(t, unit.ID); reason != "Succeeded" {
		t.Fatalf("%s\n%s", reason, tail(log))
	}
	list := f.snapshots(t, unit.ID, since)
	if len(list) != 1 {
		t.Fatalf("%d snapshots of %s", len(list), unit.ID)
	}
	if list[0].Bytes < largeSize {
		t.Fatalf("the dump has %d bytes only: it proves nothing", list[0].Bytes)
	}
	end, err := large.End(unit.Repository, list[0])
	must(t, err)
	// The line break before the trailer is none of the copy, the one after it none of the line.
	if want := fmt.Sprintf(`"count":1,"bytes":%d,"losses":[]}`, list[0].Bytes-int64(len(end))-2); !strings.Contains(end, want) {
		t.Errorf("the copy ends with %q, not with a trailer that says %s", end, want)
	}
	must(t, large.Load(unit.Repository, list[0], "again"))
	was, err := large.Sums("large")
	must(t, err)
	is, err := large.Sums("again")
	must(t, err)
	if was == "" || was != is {
		t.Errorf("the objects were\n%sand came back as\n%s", was, is)
	}
	say("a dump of %d MB came back, byte by byte", list[0].Bytes>>20)

	// One that lacks its end is no copy.
	must(t, large.StoreCut(unit.Repository, list[0], 1<<20))
	list = f.snapshots(t, unit.ID, since)
	at := slices.IndexFunc(list, func(s cluster.Found) bool { return slices.Contains(s.Tags, "cut") })
	if len(list) != 2 || at < 0 {
		t.Fatalf("the cut dump is not in the repository: %v", list)
	}
	if end, err := large.End(unit.Repository, list[at]); err != nil || strings.Contains(end, "holdfast: ") {
		t.Errorf("a dump without its last megabyte looks like a whole one: %q, %v", end, err)
	}
}
