package cluster_test

import (
	"slices"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/cluster"
)

// largeSize is beyond what a stream has lost its end after: K8up before 2.15
// stored 340 of 343 MB, and called it succeeded.
const largeSize = 512 << 20

// TestLarge dumps a database of half a gigabyte through K8up, and compares what
// the dump's pod handed over with what the repository gives back.
func TestLarge(t *testing.T) {
	tree, err := cluster.Render(state, credentials, "", t.TempDir())
	must(t, err)
	c := start(t, images(t, tree))
	operatorNeeded.Add(1)
	defer operatorNeeded.Done()
	t.Parallel()
	large, err := c.Large(t.TempDir(), largeSize)
	must(t, err)
	f := fault{large}
	unit := f.unit(t, "postgresql/large")
	since := time.Now()
	kind, name, err := f.Now(unit)
	must(t, err)
	var handed cluster.Content
	must(t, both(
		func() (err error) { handed, err = c.Handed(unit, kind, name); return err },
		func() error { return succeeded(c, unit.Namespace, kind, name) },
	))
	if handed.Bytes < largeSize {
		t.Fatalf("the dump has %d bytes only: it proves nothing", handed.Bytes)
	}
	list := f.snapshots(t, unit.ID, since)
	if len(list) != 1 {
		t.Fatalf("%d snapshots of %s", len(list), unit.ID)
	}
	stored, err := large.Stored(unit.Repository, list[0])
	must(t, err)
	if stored != handed || list[0].Bytes != handed.Bytes {
		t.Errorf("the pod handed over %v, the snapshot of %d bytes gives back %v", handed, list[0].Bytes, stored)
	}
	say("a dump of %d MB is in the repository, byte by byte", handed.Bytes>>20)

	// One that lacks its end is another.
	must(t, large.StoreCut(unit.Repository, list[0], 1<<20))
	list = f.snapshots(t, unit.ID, since)
	at := slices.IndexFunc(list, func(s cluster.Found) bool { return slices.Contains(s.Tags, "cut") })
	if len(list) != 2 || at < 0 {
		t.Fatalf("the cut dump is not in the repository: %v", list)
	}
	cut, err := large.Stored(unit.Repository, list[at])
	must(t, err)
	if cut == handed || cut.Bytes != handed.Bytes-1<<20 {
		t.Errorf("a dump without its last megabyte looks like the whole one: %v", cut)
	}
}
