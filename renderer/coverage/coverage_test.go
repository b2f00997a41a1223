package coverage_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/coverage"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// now is when the listings of these tests are made; nights are runs before it.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// world is a cluster and its repositories in which all that an example's plan has is as
// it should be, among as many other objects as one likes.
type world struct {
	plans []*plan.Plan
	// claims and objects by namespace/name and Kind/namespace/name.
	claims  map[string]map[string]any
	objects map[string]map[string]any
	// names by place, snapshots by repository.
	names     map[string][]string
	snapshots map[string][]map[string]any
}

func newWorld(t *testing.T, example string) *world {
	t.Helper()
	return worldOf(plansOf(t, example))
}

func worldOf(plans []*plan.Plan) *world {
	w := &world{plans: plans, claims: map[string]map[string]any{}, objects: map[string]map[string]any{}, names: map[string][]string{}, snapshots: map[string][]map[string]any{}}
	for _, p := range plans {
		w.live(p)
	}
	return w
}

// plansOf are those of an example.
func plansOf(t *testing.T, example string) []*plan.Plan {
	t.Helper()
	cases, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(cases, func(c examples.Case) bool { return c.Name == example })
	r, err := renderer.New(cases[at].Templates)
	if err != nil {
		t.Fatal(err)
	}
	in := cases[at].Inputs
	in.Policy = &input.Document{Name: "policy.json", Data: []byte(`{"schemaVersion": 1,
	  "exempt": [{"source": "claim:monitoring/*", "reason": "metrics are made again"},
	             {"source": "claim:old/*", "reason": "it goes away in autumn", "until": "2026-10-31"}],
	  "retired": [{"unit": "postgresql/once", "reason": "it was moved to another instance"}]}`)}
	planned, err := r.Plan(in)
	if err != nil {
		t.Fatal(err)
	}
	var plans []*plan.Plan
	for _, p := range planned {
		plans = append(plans, p.Plan)
	}
	return plans
}

// live makes all that a plan has.
func (w *world) live(p *plan.Plan) {
	for _, i := range p.Units {
		if i.Capture.How == kind.Volume {
			w.addClaim(i.Namespace, i.Capture.Claim, nil)
		}
		if o := i.Capture.Workload; o != nil {
			w.add(o.Kind, i.Namespace, o.Name)
		}
		for _, s := range i.Capture.SecretEnv {
			w.add("Secret", i.Namespace, s.Secret, s.Key)
		}
		for _, f := range i.Capture.Files {
			w.add(map[bool]string{true: "Secret", false: "ConfigMap"}[f.Secret != ""], i.Namespace, f.Secret+f.ConfigMap, f.Key)
		}
		if i.Listing != nil {
			source := p.Source(i.Unit)
			place := strings.TrimSuffix(source, i.Capture.Source) + i.Listing.Of
			name, _, _ := strings.Cut(strings.TrimPrefix(source, place+"/"), "/")
			w.names[place] = append(w.names[place], name)
		}
		for _, e := range i.Expected {
			if e.Engine == kind.Restic {
				w.snapshots[e.Where] = append(w.snapshots[e.Where], map[string]any{
					"short_id": "0a1b2c3d", "time": now.Add(-8 * time.Hour), "hostname": e.Host, "paths": []string{e.Path}, "tags": []string{e.Tag, i.ID},
					"summary": map[string]any{"total_bytes_processed": e.MinBytes + 1000, "total_files_processed": e.MinCount + 1},
				})
			}
		}
	}
	for _, e := range p.Exemptions {
		if source, claim := strings.CutPrefix(e.Source, p.Cluster+"/claim:"); claim {
			namespace, name, _ := strings.Cut(strings.ReplaceAll(source, "*", "some"), "/")
			w.addClaim(namespace, name, nil)
		}
	}
}

func (w *world) addClaim(namespace, name string, annotations map[string]string) {
	w.claims[namespace+"/"+name] = map[string]any{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": map[string]any{
		"name": name, "namespace": namespace, "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": annotations,
	}, "spec": map[string]any{"resources": map[string]any{}}}
}

func (w *world) add(kind, namespace, name string, keys ...string) {
	id := kind + "/" + namespace + "/" + name
	data, _ := w.objects[id]["data"].(map[string]string)
	if data == nil {
		data = map[string]string{}
	}
	for _, key := range keys {
		data[key] = "c2VjcmV0LXZhbHVl"
	}
	w.objects[id] = map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": name, "namespace": namespace}, "data": data}
}

// crowd adds objects that need nobody's attention.
func (w *world) crowd(n int) {
	for i := range n {
		switch i % 5 {
		case 0:
			w.addClaim("monitoring", fmt.Sprintf("metrics-%d", i), nil)
		case 1:
			w.addClaim("scratch", fmt.Sprintf("tmp-%d", i), map[string]string{"holdfast.dev/backup": "skip", "holdfast.dev/reason": "made again on each start"})
		default:
			w.add([]string{"Secret", "ConfigMap", "Deployment"}[i%3], "crowd", fmt.Sprintf("o-%d", i), "key")
		}
	}
}

// compare makes the listings and compares.
func (w *world) compare(t testing.TB) coverage.Result {
	t.Helper()
	live, err := coverage.NewLive(w.plans)
	if err != nil {
		t.Fatal(err)
	}
	var items []any
	for _, of := range []map[string]map[string]any{w.claims, w.objects} {
		for _, id := range slices.Sorted(maps.Keys(of)) {
			items = append(items, of[id])
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	must(err)
	must(live.AddKubernetes("live.json", text, now))
	for place, names := range w.names {
		must(live.AddNames(place, "names", []byte(strings.Join(names, "\n")+"\n")))
	}
	stored := coverage.NewStored()
	for repository, snapshots := range w.snapshots {
		text, err := json.Marshal(snapshots)
		must(err)
		must(stored.Add(repository, "snapshots", text))
	}
	return coverage.Compare(w.plans, live, stored, coverage.Options{Now: now, Grace: 24 * time.Hour})
}

// TestIntact: where all is as planned, there is no gap, and the verdicts say why.
func TestIntact(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "layout-b")
	w.crowd(100)
	w.addClaim("app", "fresh", nil)
	w.claims["app/fresh"]["metadata"].(map[string]any)["creationTimestamp"] = now.Add(-time.Hour)
	w.addCNPG("db", "pg", "pg-1", now.Add(-10*time.Hour))
	w.addVolSync("media", "photos", now.Add(-20*time.Hour))
	r := w.compare(t)
	for _, p := range r.Gaps {
		t.Error(p)
	}
	number := map[coverage.Verdict]int{}
	for _, s := range r.Sources {
		number[s.Verdict]++
		if s.Verdict.Gap() {
			t.Errorf("%+v", s)
		}
	}
	if number[coverage.New] != 1 || number[coverage.ByOthers] != 2 || number[coverage.Exempt] < 40 || number[coverage.Covered] < 20 {
		t.Errorf("%v", number)
	}
	// Copies of buckets are not in a repository of restic.
	for _, place := range r.NotLookedAt {
		if !strings.Contains(place, "/rclone/") {
			t.Errorf("not looked at: %s", place)
		}
	}
}

func (w *world) addCNPG(namespace, name, claim string, last time.Time) {
	w.addClaim(namespace, claim, nil)
	w.objects["Cluster/"+namespace+"/"+name] = map[string]any{"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster",
		"metadata": map[string]any{"name": name, "namespace": namespace}, "status": map[string]any{"healthyPVC": []string{claim}, "lastSuccessfulBackup": last}}
}

func (w *world) addVolSync(namespace, claim string, last time.Time) {
	w.addClaim(namespace, claim, nil)
	w.objects["ReplicationSource/"+namespace+"/"+claim] = map[string]any{"apiVersion": "volsync.backube/v1alpha1", "kind": "ReplicationSource",
		"metadata": map[string]any{"name": claim, "namespace": namespace}, "spec": map[string]any{"sourcePVC": claim}, "status": map[string]any{"lastSyncTime": last}}
}

// plant is something that goes wrong, and the gap by which it must be found.
type plant struct {
	name string
	do   func(w *world)
	// rule, and what the problem must have in its text.
	rule string
	has  []string
}

// plants are gaps of every sort.
func plants(w *world) []plant {
	var list []plant
	add := func(name, rule string, do func(w *world), has ...string) {
		list = append(list, plant{name: name, do: do, rule: rule, has: has})
	}
	// What lives, and no plan has it.
	for _, claim := range []string{"app/forgotten", "kube-system/cache", "monitoring-2/data", "app/data-0", "default/x"} {
		namespace, name := path.Split(claim)
		add("claim "+claim, "HF601", func(w *world) { w.addClaim(strings.TrimSuffix(namespace, "/"), name, nil) }, "claim:"+claim, "no plan has it")
	}
	for _, place := range slices.Sorted(maps.Keys(w.names)) {
		add("a name in "+place, "HF601", func(w *world) { w.names[place] = append(w.names[place], "added") }, place+"/added", "no plan has it")
		add("a near name in "+place, "HF601", func(w *world) { w.names[place] = append(w.names[place], w.names[place][0]+"2") }, "2: it lives")
	}
	add("an exemption that ended", "HF601", func(w *world) { w.addClaim("old", "a", nil) }, "claim:old/a", "ended on 2026-10-31")
	add("an annotation without a reason", "HF601", func(w *world) { w.addClaim("x", "bare", map[string]string{"holdfast.dev/backup": "skip"}) }, "claim:x/bare", "without a reason")
	add("an annotation that ended", "HF601", func(w *world) {
		w.addClaim("x", "ended", map[string]string{"holdfast.dev/backup": "skip", "holdfast.dev/reason": "for a while", "holdfast.dev/until": "2026-11-22"})
	}, "claim:x/ended", "ended on 2026-11-22")
	add("an annotation with an end that is no day", "HF601", func(w *world) {
		w.addClaim("x", "soon", map[string]string{"holdfast.dev/backup": "skip", "holdfast.dev/reason": "for a while", "holdfast.dev/until": "next week"})
	}, "claim:x/soon", "no day as YYYY-MM-DD")
	add("CloudNativePG without a fresh copy", "HF601", func(w *world) { w.addCNPG("db2", "pg", "pg-1", now.Add(-72*time.Hour)) }, "claim:db2/pg-1", "CloudNativePG", "last copy is of")
	add("CloudNativePG that never made one", "HF601", func(w *world) { w.addCNPG("db3", "pg", "pg-1", time.Time{}) }, "claim:db3/pg-1", "never made a copy")
	add("CloudNativePG that makes snapshots alone", "HF601", func(w *world) {
		w.addCNPG("db4", "pg", "pg-1", now)
		w.objects["Cluster/db4/pg"]["status"].(map[string]any)["lastSuccessfulBackupByMethod"] = map[string]any{"volumeSnapshot": now}
	}, "claim:db4/pg-1", "lost with their storage")
	add("CloudNativePG whose copies elsewhere are old", "HF601", func(w *world) {
		w.addCNPG("db5", "pg", "pg-1", now)
		w.objects["Cluster/db5/pg"]["status"].(map[string]any)["lastSuccessfulBackupByMethod"] = map[string]any{"volumeSnapshot": now, "barmanObjectStore": now.Add(-72 * time.Hour)}
	}, "claim:db5/pg-1", "last copy is of")
	add("VolSync without a fresh copy", "HF601", func(w *world) { w.addVolSync("m2", "photos", now.Add(-49*time.Hour)) }, "claim:m2/photos", "VolSync")
	add("VolSync that is paused", "HF601", func(w *world) {
		w.addVolSync("m3", "photos", now)
		w.objects["ReplicationSource/m3/photos"]["spec"].(map[string]any)["paused"] = true
	}, "claim:m3/photos", "paused")
	// What is planned and gone, and what has no good copy.
	claims, workloads, dumps := 0, 0, 0
	for _, p := range w.plans {
		for _, i := range p.Units {
			source := p.Source(i.Unit)
			if i.Capture.How == kind.Volume && claims < 4 {
				claims++
				add("gone "+i.ID, "HF602", func(w *world) { delete(w.claims, i.Namespace+"/"+i.Capture.Claim) }, source, i.ID, "does not live")
			}
			if o := i.Capture.Workload; o != nil && workloads < 3 {
				workloads++
				add("workload of "+i.ID, "HF602", func(w *world) { delete(w.objects, o.Kind+"/"+i.Namespace+"/"+o.Name) }, source, o.Kind+"/"+i.Namespace+"/"+o.Name)
			}
			if i.Listing != nil && i.Capture.How != kind.Sync && dumps < 4 {
				dumps++
				place := strings.TrimSuffix(source, i.Capture.Source) + i.Listing.Of
				add("gone "+i.ID, "HF602", func(w *world) {
					w.names[place] = slices.DeleteFunc(slices.Clone(w.names[place]), func(n string) bool { return place+"/"+n == source })
				}, source, i.ID, "does not live")
				s := i.Capture.SecretEnv[0]
				add("key of "+i.ID, "HF602", func(w *world) {
					w.add("Secret", i.Namespace, s.Secret)
					delete(w.objects["Secret/"+i.Namespace+"/"+s.Secret]["data"].(map[string]string), s.Key)
				},
					source, i.ID, s.Key)
			}
		}
	}
	spoil := func(name string, n int, do func(s map[string]any), has ...string) {
		p := w.plans[0]
		restic := slices.DeleteFunc(slices.Clone(p.Units), func(i plan.Item) bool { return i.Engine != kind.Restic })
		i := restic[n%len(restic)]
		add(name+" of "+i.ID, "HF603", func(w *world) {
			for _, s := range w.snapshots[i.Expected[0].Where] {
				if s["paths"].([]string)[0] == i.Expected[0].Path && s["hostname"] == i.Expected[0].Host {
					do(s)
				}
			}
		}, append(has, i.ID)...)
	}
	spoil("another host", 0, func(s map[string]any) { s["hostname"] = "other" }, "no snapshot")
	spoil("another path", 1, func(s map[string]any) { s["paths"] = []string{"/else"} }, "no snapshot")
	spoil("another tier", 2, func(s map[string]any) { s["tags"] = []string{"tier-x"} }, "no snapshot")
	spoil("a missed night", 3, func(s map[string]any) { s["time"] = now.Add(-50 * time.Hour) }, "too old")
	spoil("an empty copy", 5, func(s map[string]any) {
		s["summary"] = map[string]any{"total_bytes_processed": 0, "total_files_processed": 0}
	}, "is no copy")
	spoil("no summary", 6, func(s map[string]any) { delete(s, "summary") }, "does not say")
	for n := range 3 {
		spoil("never ran", 7+n, func(s map[string]any) { s["time"] = time.Time{} }, "no snapshot")
	}
	// Copies of nobody.
	for _, repository := range slices.Sorted(maps.Keys(w.snapshots)) {
		add("a copy of nobody in "+repository, "HF604", func(w *world) {
			w.snapshots[repository] = append(w.snapshots[repository], map[string]any{"short_id": "ffff0000", "time": now, "hostname": "h", "paths": []string{"/x.sql"}, "tags": []string{"mine"}})
		}, repository, "h:/x.sql", "ffff0000", "mine")
	}
	return list
}

// TestPlantedGaps: each gap is found by itself, under its rule and with its name, and it
// alone; then all of them together among 5,000 objects.
func TestPlantedGaps(t *testing.T) {
	t.Parallel()
	plans := plansOf(t, "layout-b")
	all := plants(worldOf(plans))
	if len(all) < 30 {
		t.Fatalf("only %d gaps are planted", len(all))
	}
	found := func(p plant, gaps problem.List) bool {
		return slices.ContainsFunc(gaps, func(g problem.Problem) bool {
			return g.Rule == p.rule && g.Hint != "" && !slices.ContainsFunc(p.has, func(text string) bool { return !strings.Contains(g.String(), text) })
		})
	}
	for _, p := range all {
		t.Run(p.name, func(t *testing.T) {
			w := worldOf(plans)
			p.do(w)
			gaps := w.compare(t).Gaps
			if !found(p, gaps) {
				t.Errorf("not found (%s %q) among %d:\n%v", p.rule, p.has, len(gaps), gaps)
			}
			for _, g := range gaps {
				// One lost object may be that of several units, and one lost copy leaves
				// another that is nobody's.
				if g.Rule != p.rule && g.Rule != "HF604" {
					t.Errorf("found, too: %s", g)
				}
				if strings.Contains(g.String(), "c2VjcmV0") {
					t.Errorf("a value is printed: %s", g)
				}
			}
		})
	}
	w := worldOf(plans)
	w.crowd(5000)
	for _, p := range all {
		p.do(w)
	}
	gaps := w.compare(t).Gaps
	for _, p := range all {
		if !found(p, gaps) && p.rule != "HF603" { // a later one may have spoilt the same copy
			t.Errorf("among all the others %q is not found", p.name)
		}
	}
}

// TestRetired: copies of what is gone on purpose are no gap.
func TestRetired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "minimal")
	for repository := range w.snapshots {
		w.snapshots[repository] = append(w.snapshots[repository], map[string]any{"short_id": "1", "time": now, "hostname": "h", "paths": []string{"/once.pgdump"}, "tags": []string{"tier-d30", "postgresql/once"}})
	}
	if gaps := w.compare(t).Gaps; len(gaps) > 0 {
		t.Error(gaps)
	}
	// Elsewhere a unit of that id is not retired.
	w.snapshots["s3:elsewhere"] = []map[string]any{{"short_id": "1", "time": now, "hostname": "h", "paths": []string{"/once.pgdump"}, "tags": []string{"postgresql/once"}}}
	if gaps := w.compare(t).Gaps; len(gaps) != 1 || gaps[0].Rule != "HF604" {
		t.Error(gaps)
	}
}

// TestPart: of a bucket of which a unit backs up a folder the verdict says so.
func TestPart(t *testing.T) {
	t.Parallel()
	plans := plansOf(t, "layout-b")
	at := slices.IndexFunc(plans[0].Units, func(i plan.Item) bool { return i.Capture.How == kind.Sync })
	plans[0].Units[at].Capture.Source += "/folder"
	r := worldOf(plans).compare(t)
	if !slices.ContainsFunc(r.Sources, func(s coverage.Source) bool {
		return s.Unit == plans[0].Units[at].ID && s.Verdict == coverage.Covered && strings.HasSuffix(s.Reason, "/folder is backed up")
	}) {
		t.Errorf("%+v", r.Sources)
	}
}

// TestOff: the claims of an instance whose backup is off are exempt, for its reason.
func TestOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "opted-out")
	w.addClaim(w.plans[0].Namespace, "data", nil)
	r := w.compare(t)
	if len(r.Gaps) > 0 || len(r.Sources) != 1 || r.Sources[0].Verdict != coverage.Exempt || !strings.Contains(r.Sources[0].Reason, w.plans[0].Reason) {
		t.Errorf("%+v", r)
	}
}

// TestNotLookedAt: what has no listing is named, and is no gap.
func TestNotLookedAt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "minimal")
	live, err := coverage.NewLive(w.plans)
	if err != nil {
		t.Fatal(err)
	}
	r := coverage.Compare(w.plans, live, coverage.NewStored(), coverage.Options{Now: now})
	want := []string{"Deployments of small", "Secrets of small", "s3:https://s3.example.com/shop-backup/restic/shop/shop", "small/claim:", "small/shop/postgresql://postgres:5432"}
	if len(r.Gaps) > 0 || !slices.Equal(r.NotLookedAt, want) {
		t.Errorf("%v\n%q", r.Gaps, r.NotLookedAt)
	}
}

// TestListings: a listing that is none is refused, and nothing of it is quoted.
func TestListings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "minimal")
	other := *w.plans[0]
	other.Cluster = "other"
	if _, err := coverage.NewLive([]*plan.Plan{w.plans[0], &other}); !broken(err, "several clusters") {
		t.Errorf("two clusters: %v", err)
	}
	for name, text := range map[string]string{
		"empty": "", "text": "error: secret-value", "cut": `{"kind":"List","items":[{"kind":"Secret","data":{"a":"secret-va`,
		"one object": `{"kind":"Secret","data":{"a":"secret-value"}}`, "an array": `["secret-value"]`,
		"two, the second cut": `{"kind":"List","items":[]}{"kind":`,
	} {
		live, err := coverage.NewLive(w.plans)
		if err != nil {
			t.Fatal(err)
		}
		if err := live.AddKubernetes("live.json", []byte(text), now); !broken(err, "live.json: it is ") || strings.Contains(err.Error(), "secret-") {
			t.Errorf("%s: %v", name, err)
		}
		stored := coverage.NewStored()
		if err := stored.Add("r", "stored.json", []byte(text)); name != "an array" && !broken(err, "stored.json: it is no listing") {
			t.Errorf("%s: %v", name, err)
		}
	}
	live, _ := coverage.NewLive(w.plans)
	if err := live.AddKubernetes("live.json", []byte(`{"kind":"List","items":[{"kind":"Other","data":"text","metadata":{"name":"x"}}]}`), now); err != nil {
		t.Errorf("data of another form: %v", err)
	}
	stored := coverage.NewStored()
	for n := range 2 {
		if err := live.AddNames("p", "f", []byte("a\n")); broken(err, "two listings") != (n == 1) {
			t.Errorf("names %d: %v", n, err)
		}
		if err := stored.Add("p", "f", []byte("[]")); broken(err, "two listings") != (n == 1) {
			t.Errorf("snapshots %d: %v", n, err)
		}
	}
}

func broken(err error, text string) bool {
	var list problem.List
	return errors.As(err, &list) && list[0].Rule == "HF600" && strings.Contains(err.Error(), text)
}

// BenchmarkCompare is 5,000 objects beside layout B, listings included.
func BenchmarkCompare(b *testing.B) {
	w := newWorld(&testing.T{}, "layout-b")
	w.crowd(5000)
	for b.Loop() {
		w.compare(b)
	}
}
