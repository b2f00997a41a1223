package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
)

// unit is a unit of a kind that covers some places.
func unit(id string, part *kind.Part, covers ...string) kind.Discovered {
	name, _, _ := strings.Cut(id, "/")
	return kind.Discovered{
		Kind: kind.Kind{Name: name},
		Unit: kind.Unit{ID: id, Covers: covers, Part: part, Need: input.Required},
	}
}

func TestCoverage(t *testing.T) {
	part := func(number, of int) *kind.Part { return &kind.Part{Number: number, Of: of} }
	for _, test := range []struct {
		name  string
		units []kind.Discovered
		want  []string
	}{
		{name: "each place once", units: []kind.Discovered{unit("a/1", nil, "/x"), unit("b/2", nil, "/y")}},
		{name: "one unit for both", units: []kind.Discovered{unit("a/1", nil, "/x", "/y")}},
		{name: "all parts of one", units: []kind.Discovered{
			unit("a/0", part(0, 3), "/x"), unit("a/2", part(2, 3), "/x"), unit("a/1", part(1, 3), "/x"), unit("b/2", nil, "/y")}},
		{name: "one place is left", units: []kind.Discovered{unit("a/1", nil, "/x")},
			want: []string{"HF104 /y: nothing backs this up"}},
		{name: "two units", units: []kind.Discovered{unit("a/1", nil, "/x", "/y"), unit("b/1", nil, "/x")},
			want: []string{"HF105 /x: covered by a/1 and b/1"}},
		{name: "the same unit twice", units: []kind.Discovered{unit("a/1", nil, "/x", "/y", "/x")},
			want: []string{"HF105 /x: covered by a/1 and a/1"}},
		{name: "a part is missing", units: []kind.Discovered{unit("a/0", part(0, 3), "/x"), unit("a/1", part(1, 3), "/x"), unit("b/2", nil, "/y")},
			want: []string{"HF105 /x: covered by a/0 and a/1"}},
		{name: "a part twice", units: []kind.Discovered{unit("a/0", part(0, 2), "/x"), unit("a/1", part(0, 2), "/x"), unit("b/2", nil, "/y")},
			want: []string{"HF105 /x: covered by a/0 and a/1"}},
		{name: "parts of two kinds", units: []kind.Discovered{unit("a/0", part(0, 2), "/x"), unit("b/1", part(1, 2), "/x", "/y")},
			want: []string{"HF105 /x: covered by a/0 and b/1", "HF105 /y: covered by b/1"}},
		{name: "a part and a whole", units: []kind.Discovered{unit("a/0", part(0, 1), "/x"), unit("a/1", nil, "/x", "/y")},
			want: []string{"HF105 /x: covered by a/0 and a/1"}},
		{name: "a place that is none", units: []kind.Discovered{unit("a/1", nil, "/x", "/y", "/z")},
			want: []string{"HF106 unit a/1: covers /z, which is no coverable place of this state"}},
		{name: "nothing", units: []kind.Discovered{unit("a/1", nil, "/x", "/y"), unit("a/2", nil)},
			want: []string{"HF106 unit a/2: the unit covers nothing"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree, problems := input.Load(input.Document{Name: "state", Data: []byte(`{"x": 1, "y": 2}`)})
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			state := &input.State{Tree: tree, Coverable: []string{"/x", "/y"}}
			c := &checker{plan: &Plan{inputs: &inputs{instance: input.Instance{State: state}, discovered: test.units}}}
			c.coverage()
			var got []string
			for _, p := range c.problems {
				got = append(got, fmt.Sprintf("%s %s: %s", p.Rule, p.Pointer, p.Message))
			}
			if slices.Sort(got); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestDepths(t *testing.T) {
	units := map[string]kind.Discovered{}
	add := func(id string, need input.Need, after ...string) {
		u := unit(id, nil)
		u.Need, u.Consistent = need, after
		units[id] = u
	}
	add("a", "required")
	add("b", "required", "a")
	add("c", "required", "b", "a")
	add("s", "skip", "c")
	add("d", "required", "s", "none")
	got, cyclic := depths(units)
	if want := map[string]int{"a": 0, "b": 1, "c": 2, "d": 0}; !within(want, got) || len(cyclic) > 0 {
		t.Errorf("got %v, cyclic %v, want %v", got, cyclic, want)
	}
	add("a", "required", "c")
	if _, cyclic := depths(units); !slices.Equal(cyclic, []string{"a"}) {
		t.Errorf("the circle is found at %v", cyclic)
	}
	add("self", "required", "self")
	if _, cyclic := depths(units); !slices.Contains(cyclic, "self") {
		t.Errorf("a unit after itself is not found: %v", cyclic)
	}
}

// within says whether all of some are in all.
func within(some, all map[string]int) bool {
	for _, id := range slices.Sorted(maps.Keys(some)) {
		if got, found := all[id]; !found || got != some[id] {
			return false
		}
	}
	return true
}

func TestTagged(t *testing.T) {
	for reference, want := range map[string]bool{
		"postgres:16":                                true,
		"registry.example.com:5000/postgres:16":      true,
		"registry.example.com:5000/postgres":         false,
		"postgres":                                   false,
		"postgres:latest":                            false,
		"postgres@sha256:" + strings.Repeat("0", 64): true,
	} {
		if got := tagged(reference); got != want {
			t.Errorf("%s: %v, want %v", reference, got, want)
		}
	}
}

// TestSource: what two instances may both have, and what not.
func TestSource(t *testing.T) {
	source := func(cluster, namespace, host, source string) string {
		state := &input.State{}
		p := &Plan{Cluster: cluster, inputs: &inputs{instance: input.Instance{State: state}}}
		u := kind.Unit{Namespace: namespace, Capture: &kind.Capture{Source: source}}
		switch host {
		case "":
		case "exec":
			u.Capture.How = "exec"
			u.Connects = []kind.Connection{{Host: "kubernetes"}}
		default:
			u.Connects = []kind.Connection{{Host: "kubernetes"}, {Host: host, Port: 1}}
		}
		return p.Source(u)
	}
	for _, test := range []struct {
		name string
		a, b string
		same bool
	}{
		{name: "a bare name in two namespaces", a: source("c", "a", "pg", "pg/x"), b: source("c", "b", "pg", "pg/x")},
		{name: "a bare name in one namespace", a: source("c", "a", "pg", "pg/x"), b: source("c", "a", "pg", "pg/x"), same: true},
		{name: "a bare name in two clusters", a: source("c", "a", "pg", "pg/x"), b: source("d", "a", "pg", "pg/x")},
		{name: "a Service from two namespaces", a: source("c", "a", "pg.x.svc", "pg/x"), b: source("c", "b", "pg.x.svc", "pg/x"), same: true},
		{name: "an outside server from two clusters", a: source("c", "a", "pg.example.org", "pg/x"), b: source("d", "b", "pg.example.org", "pg/x"), same: true},
		{name: "exec in two namespaces", a: source("c", "a", "exec", "ldap://ldap/dc=x"), b: source("c", "b", "exec", "ldap://ldap/dc=x")},
		{name: "exec in one namespace", a: source("c", "a", "exec", "ldap://ldap/dc=x"), b: source("c", "a", "exec", "ldap://ldap/dc=x"), same: true},
		{name: "exec in two clusters", a: source("c", "a", "exec", "ldap://ldap/dc=x"), b: source("d", "a", "exec", "ldap://ldap/dc=x")},
		{name: "what the API server has", a: source("c", "a", "kubernetes", "kubernetes://c/x"), b: source("c", "b", "kubernetes", "kubernetes://c/x"), same: true},
		{name: "a claim in two clusters", a: source("c", "a", "", "claim:a/x"), b: source("d", "a", "", "claim:a/x")},
	} {
		if (test.a == test.b) != test.same {
			t.Errorf("%s: %q and %q", test.name, test.a, test.b)
		}
	}
}

func TestOverlaps(t *testing.T) {
	tree, problems := input.Load(input.Document{Name: "credentials", Data: []byte(`{}`)})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	instance := func(id, endpoint, repository, copied string) *Plan {
		p := &Plan{
			Instance:     id,
			Repositories: map[string]Repository{id: {Endpoint: endpoint, Bucket: repository}},
			inputs:       &inputs{instance: input.Instance{Credentials: &input.Credentials{Tree: tree}}},
		}
		if copied != "" {
			p.Units = []Item{{Copy: &Copy{Path: copied, Copies: &Copies{Endpoint: endpoint}}}}
		}
		return p
	}
	const s3 = "https://s3.example.org"
	for _, test := range []struct {
		name  string
		plans []*Plan
		want  []string
	}{
		{name: "side by side", plans: []*Plan{instance("a", s3, "b/a/x", "b/a/y"), instance("b", s3, "b/b/x", "b/b/y")}},
		{name: "a longer name is no folder below", plans: []*Plan{instance("a", s3, "b/a", ""), instance("b", s3, "b/ab", "")}},
		{name: "other endpoints", plans: []*Plan{instance("a", s3, "b/a", ""), instance("b", s3+":9000", "b/a", "")}},
		{name: "one's own", plans: []*Plan{instance("a", s3, "b/a", "b/a/x")}},
		{name: "the same", plans: []*Plan{instance("b", s3, "b/x", ""), instance("a", "https://S3.example.org/", "b/x", "")},
			want: []string{"instance b: its repository lies in a repository of instance a"}},
		{name: "below, with others between", plans: []*Plan{instance("a", s3, "b/a", "b/a-z"), instance("b", s3, "b/a/q/r", "b/z")},
			want: []string{"instance b: its repository lies in a repository of instance a"}},
		{name: "a repository in a copy", plans: []*Plan{instance("a", s3, "b/1", "b/2"), instance("b", s3, "b/2/3", "")},
			want: []string{"instance b: its repository lies in a copy of instance a"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, p := range overlaps(test.plans) {
				got = append(got, p.Pointer+": "+p.Message)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
