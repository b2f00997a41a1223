package renderer_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/templates"
)

// example returns one example with a single instance.
func example(t *testing.T, name string) renderer.Inputs {
	t.Helper()
	all, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.Name == name {
			return c.Inputs
		}
	}
	t.Fatalf("there is no example %s", name)
	return renderer.Inputs{}
}

// rewritten returns a document with some of it changed.
func rewritten(t *testing.T, d input.Document, change func(root map[string]any)) input.Document {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal(d.Data, &root); err != nil {
		t.Fatal(err)
	}
	change(root)
	data, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return input.Document{Name: d.Name, Data: data}
}

// built returns a renderer with the built-in kinds.
func built(t *testing.T) *renderer.Renderer {
	t.Helper()
	r, err := renderer.New(templates.FS)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// planOf plans one instance.
func planOf(t *testing.T, r *renderer.Renderer, in renderer.Inputs) *plan.Plan {
	t.Helper()
	planned, err := r.Plan(in)
	if err != nil {
		t.Fatal(err)
	}
	if len(planned) != 1 {
		t.Fatalf("%d instances", len(planned))
	}
	return planned[0].Plan
}

// TestNewSourceMovesNoOther adds a source of each sort to states that lack it,
// the first bucket and the second server among them, in many instances. Nobody
// moves but those whose minute is taken, or that take one which is left, and
// those that follow what is new or has moved.
func TestNewSourceMovesNoOther(t *testing.T) {
	t.Parallel()
	r := built(t)
	without := func(path ...string) func(root map[string]any) {
		return func(root map[string]any) {
			for _, name := range path[:len(path)-1] {
				root = root[name].(map[string]any)
			}
			name := path[len(path)-1]
			if list, isList := root[name].([]any); isList {
				backedUp := func(item any) bool { return item.(map[string]any)["backup"] != "skip" }
				gone := slices.IndexFunc(list, backedUp)
				root[name] = append(append([]any{}, list[:gone]...), list[gone+1:]...)
			} else {
				delete(root, name)
			}
		}
	}
	firstBucket := func(root map[string]any) { root["objectStores"] = []any{} }
	oneBucket := func(root map[string]any) { root["objectStores"] = root["objectStores"].([]any)[:1] }
	units, moved := 0, 0
	for n := range 4 {
		in := example(t, "layout-b")
		instance := func(root map[string]any) { root["instanceId"] = fmt.Sprintf("instance-%d", n) }
		in.States = []input.Document{rewritten(t, in.States[0], func(root map[string]any) {
			instance(root)
			delete(root, "consistency") // it names what is taken away below
		})}
		in.Credentials = []input.Document{rewritten(t, in.Credentials[0], instance)}
		for _, test := range []struct {
			name      string
			all, less func(root map[string]any)
		}{
			{name: "the first bucket", all: oneBucket, less: firstBucket},
			{name: "a bucket", less: without("objectStores")},
			{name: "a volume", less: without("volumes")},
			{name: "the directory", less: without("ldap")},
			{name: "the secrets manager", less: without("secretsManager")},
			{name: "a server", less: without("databases", "postgresql")},
			{name: "the first MariaDB", less: without("databases", "mariadb")},
			{name: "Cassandra", less: without("databases", "cassandra")},
		} {
			full := in
			if test.all != nil {
				full.States = []input.Document{rewritten(t, in.States[0], test.all)}
			}
			fewer := full
			fewer.States = []input.Document{rewritten(t, full.States[0], test.less)}
			before, after := starts(planOf(t, r, fewer)), starts(planOf(t, r, full))
			if len(after) <= len(before) {
				t.Fatalf("%s: %d units, %d before", test.name, len(after), len(before))
			}
			units += len(before)
			for id, was := range before {
				is := after[id]
				if is.cron == was.cron {
					continue
				}
				moved++
				taken := slices.ContainsFunc(keys(after), func(other string) bool { return after[other].cron == was.cron })
				left := slices.ContainsFunc(keys(before), func(other string) bool { return before[other].cron == is.cron })
				follows := slices.ContainsFunc(is.after, func(other string) bool {
					return after[other].cron != before[other].cron
				})
				if !taken && !left && !follows {
					t.Errorf("%s: %s moved from %s to %s for nothing", test.name, id, was.cron, is.cron)
				}
			}
		}
	}
	t.Logf("%d of %d moved", moved, units)
	if moved*25 > units {
		t.Errorf("%d of %d moved", moved, units)
	}
}

// start is when a unit starts, and what it follows.
type start struct {
	cron  string
	after []string
}

func starts(p *plan.Plan) map[string]start {
	all := map[string]start{}
	for _, i := range p.Units {
		all[i.ID] = start{cron: i.Schedule.Cron, after: i.Consistent}
	}
	return all
}

func keys[V any](m map[string]V) []string {
	var all []string
	for key := range m {
		all = append(all, key)
	}
	return all
}

// TestSixtyDatabases: a server with sixty databases, each with its bucket, beside
// all the rest of an instance, has its place in a window of four hours.
func TestSixtyDatabases(t *testing.T) {
	t.Parallel()
	in := example(t, "layout-b")
	in.States = []input.Document{rewritten(t, in.States[0], func(root map[string]any) {
		server := root["databases"].(map[string]any)["postgresql"].([]any)[0].(map[string]any)
		database, bucket := server["databases"].([]any)[0], root["objectStores"].([]any)[0]
		var databases, buckets []any
		for n := range 60 {
			copied := func(of any, fields map[string]any) any {
				c := map[string]any{}
				for name, value := range of.(map[string]any) {
					c[name] = value
				}
				for name, value := range fields {
					c[name] = value
				}
				return c
			}
			key := fmt.Sprintf("app%d", n)
			databases = append(databases, copied(database, map[string]any{"key": key, "name": key}))
			buckets = append(buckets, copied(bucket, map[string]any{"key": key, "bucket": key}))
		}
		server["databases"] = databases
		root["databases"].(map[string]any)["postgresql"] = []any{server}
		root["objectStores"] = buckets
		root["backup"].(map[string]any)["window"] = map[string]any{"start": "01:00", "end": "05:00"}
		// One of the four hours is missing in one night.
		root["backup"].(map[string]any)["timezone"] = "Europe/Berlin"
		for _, setting := range []string{"retention", "schedules", "deadlines", "resources", "scratch"} {
			delete(root["backup"].(map[string]any), setting)
		}
	})}
	p := planOf(t, built(t), in)
	databases, buckets := 0, 0
	for _, i := range p.Units {
		switch {
		case strings.HasPrefix(i.ID, "postgresql/app"):
			databases++
		case strings.HasPrefix(i.ID, "bucket/app"):
			buckets++
		}
	}
	if databases != 60 || buckets != 60 {
		t.Errorf("%d databases and %d buckets", databases, buckets)
	}
}
