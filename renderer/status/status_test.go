package status

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

var now = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// sample is a status whose lines a test changes: by key, then by field; nil takes away.
type sample struct {
	name   string
	labels map[string]any
	lines  map[string]map[string]any
	texts  map[string]string
	empty  bool
}

func newSample() *sample {
	unit := func(id, need string) map[string]any {
		return map[string]any{
			"unit": id, "need": need, "result": "ok", "reason": "", "since": "2026-01-01T00:00:00Z",
			"lastAttempt": "2026-03-02T02:00:00Z", "lastSuccess": "2026-03-02T02:00:00Z", "nextDue": "2026-03-03T05:00:00Z", "failures": 0,
			"snapshot": "0123abcd", "taken": "2026-03-02T02:00:00Z", "bytes": 1234, "count": 5, "read": "2026-03-02T08:00:00Z", "readOf": "0123abcd",
			"history": []any{1200, 1234},
		}
	}
	return &sample{
		name:   "shop.status",
		labels: map[string]any{"holdfast.dev/role": "status", "holdfast.dev/instance": "shop"},
		lines: map[string]map[string]any{
			"verifier": {"schemaVersion": 1, "instance": "shop", "cluster": "main", "namespace": "shop", "time": "2026-03-02T08:00:00Z",
				"nextBy": "2026-03-03T10:00:00Z", "units": 3, "red": 0},
			"pg-shop":     unit("postgresql/shop", "required"),
			"vol-uploads": unit("volume/uploads", "optional"),
			"s3-files":    unit("bucket/files", "required"),
		},
		texts: map[string]string{},
	}
}

// set changes a field; with a nil value it goes away.
func (s *sample) set(key, field string, value any) *sample {
	if value == nil {
		delete(s.lines[key], field)
	} else {
		s.lines[key][field] = value
	}
	return s
}

func (s *sample) object(t *testing.T) map[string]any {
	t.Helper()
	data := map[string]any{}
	for key, line := range s.lines {
		text, err := json.Marshal(line)
		if err != nil {
			t.Fatal(err)
		}
		data[key] = string(text)
	}
	for key, text := range s.texts {
		data[key] = text
	}
	o := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": s.name, "namespace": "shop", "labels": s.labels}}
	if !s.empty {
		o["data"] = data
	}
	return o
}

// listed is a listing as kubectl prints it.
func listed(t *testing.T, objects ...map[string]any) []byte {
	t.Helper()
	items := make([]any, len(objects))
	for n, o := range objects {
		items[n] = o
	}
	text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func judged(t *testing.T, plans []*plan.Plan, samples ...*sample) Result {
	t.Helper()
	var objects []map[string]any
	for _, s := range samples {
		objects = append(objects, s.object(t))
	}
	l := &Listing{}
	if err := l.Add("status.json", listed(t, objects...)); err != nil {
		t.Fatal(err)
	}
	r, err := Judge(l, plans, now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// found are the rules of what is red.
func found(r Result) []string {
	var rules []string
	for _, p := range r.Problems {
		rules = append(rules, p.Rule)
	}
	return rules
}

// TestRed: each thing by itself turns a status red, and what is no fault leaves it green.
func TestRed(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(s *sample)
		rules  string // of what is red; "" for nothing
		words  string // of the message or of a unit's reason
		totals Totals
	}{
		{name: "all is well", change: func(*sample) {}, totals: Totals{OK: 3}},
		{name: "a required unit failed", change: func(s *sample) {
			s.set("pg-shop", "result", "failed").set("pg-shop", "reason", "the copy was cut").set("pg-shop", "failures", 2).set("verifier", "red", 1)
		}, rules: "HF611", words: "shop: postgresql/shop: the copy was cut (2 rounds in a row)", totals: Totals{Red: 1, OK: 2}},
		{name: "one without a reason", change: func(s *sample) { s.set("pg-shop", "result", "failed") },
			rules: "HF611", words: "does not say why", totals: Totals{Red: 1, OK: 2}},
		{name: "an optional unit failed", change: func(s *sample) { s.set("vol-uploads", "result", "failed").set("vol-uploads", "reason", "1 file") },
			words: "1 file", totals: Totals{Warning: 1, OK: 2}},
		{name: "a unit is new", change: func(s *sample) {
			s.set("pg-shop", "result", "waiting").set("pg-shop", "taken", "").set("pg-shop", "bytes", nil).set("pg-shop", "count", nil)
		}, words: "its first round is not over", totals: Totals{Waiting: 1, OK: 2}},
		{name: "a size is not known", change: func(s *sample) { s.set("s3-files", "bytes", nil).set("s3-files", "count", nil) }, totals: Totals{OK: 3}},
		{name: "ok without a copy", change: func(s *sample) { s.set("pg-shop", "taken", "") }, rules: "HF614", words: "has no copy", totals: Totals{Red: 1, OK: 2}},

		{name: "never ran", change: func(s *sample) { s.empty = true }, rules: "HF612", words: "the verifier has never run", totals: Totals{Silent: 1}},
		{name: "late", change: func(s *sample) { s.set("verifier", "nextBy", "2026-03-02T08:59:59Z") },
			rules: "HF612", words: "should have written again by 2026-03-02T08:59:59Z", totals: Totals{Red: 3, Silent: 1}},
		{name: "in time", change: func(s *sample) { s.set("verifier", "nextBy", "2026-03-02T09:00:00Z") }, totals: Totals{OK: 3}},
		{name: "of tomorrow", change: func(s *sample) { s.set("verifier", "time", "2026-03-02T10:00:01Z") }, rules: "HF612", words: "not yet", totals: Totals{Red: 3, Silent: 1}},
		{name: "no unit", change: func(s *sample) {
			delete(s.lines, "pg-shop")
			delete(s.lines, "vol-uploads")
			delete(s.lines, "s3-files")
			s.set("verifier", "units", 0)
		}, rules: "HF612", words: "looked at no unit", totals: Totals{Silent: 1}},

		{name: "no verifier", change: func(s *sample) { delete(s.lines, "verifier") }, rules: "HF614", words: "it is missing", totals: Totals{Red: 3, Silent: 1}},
		{name: "a line too few", change: func(s *sample) { delete(s.lines, "pg-shop") }, rules: "HF614", words: "lines of 3 units, and there are 2", totals: Totals{Red: 2, Silent: 1}},
		{name: "a line too many", change: func(s *sample) { s.set("verifier", "units", 2) }, rules: "HF614", words: "lines of 2 units, and there are 3", totals: Totals{Red: 3, Silent: 1}},
		{name: "a red line is gone green", change: func(s *sample) { s.set("verifier", "red", 1) }, rules: "HF614", words: "counted 1 red", totals: Totals{Red: 3, Silent: 1}},
		{name: "another form", change: func(s *sample) { s.set("verifier", "schemaVersion", 2) }, rules: "HF614", words: "this Holdfast reads 1", totals: Totals{Red: 3, Silent: 1}},
		{name: "of another instance", change: func(s *sample) { s.set("verifier", "instance", "other") }, rules: "HF614", words: `of the instance "other"`, totals: Totals{Red: 3, Silent: 1}},
		{name: "of another namespace", change: func(s *sample) { s.set("verifier", "namespace", "other") }, rules: "HF614", words: `of the namespace "other"`, totals: Totals{Red: 3, Silent: 1}},
		{name: "of no cluster", change: func(s *sample) { s.set("verifier", "cluster", "") }, rules: "HF614", words: "names no cluster", totals: Totals{Red: 3, Silent: 1}},
		{name: "of no time", change: func(s *sample) { s.set("verifier", "time", nil) }, rules: "HF614", words: "when it was written", totals: Totals{Red: 3, Silent: 1}},
		{name: "units is missing", change: func(s *sample) { s.set("verifier", "units", nil) }, rules: "HF614", words: "how many units", totals: Totals{Red: 3, Silent: 1}},
		{name: "no instance", change: func(s *sample) { delete(s.labels, "holdfast.dev/instance") }, rules: "HF614", words: "it has no label", totals: Totals{Red: 3, Silent: 1}},
		{name: "a line that is no JSON", change: func(s *sample) { s.texts["pg-shop"] = "{" }, rules: "HF614", words: "pg-shop: its line cannot be read: it is no JSON object", totals: Totals{Red: 1, OK: 2}},
		{name: "a line of another type", change: func(s *sample) { s.texts["pg-shop"] = `{"unit":5}` }, rules: "HF614", words: "unit is of another type", totals: Totals{Red: 1, OK: 2}},
		{name: "null", change: func(s *sample) { s.texts["pg-shop"] = "null" }, rules: "HF614", words: "of no unit", totals: Totals{Red: 1, OK: 2}},
		{name: "an unknown need", change: func(s *sample) { s.set("pg-shop", "need", "skip") }, rules: "HF614", words: `need "skip"`, totals: Totals{Red: 1, OK: 2}},
		{name: "an unknown result", change: func(s *sample) { s.set("pg-shop", "result", "OK") }, rules: "HF614", words: `result "OK"`, totals: Totals{Red: 1, OK: 2}},
		{name: "a time that is none", change: func(s *sample) { s.set("pg-shop", "taken", "yesterday") }, rules: "HF614", words: `taken "yesterday" is no time`, totals: Totals{Red: 1, OK: 2}},
		{name: "a number below 0", change: func(s *sample) { s.set("pg-shop", "bytes", -1) }, rules: "HF614", words: "below 0", totals: Totals{Red: 1, OK: 2}},
		{name: "one unit twice", change: func(s *sample) { s.set("s3-files", "unit", "postgresql/shop") }, rules: "HF614", words: "of the same unit", totals: Totals{Red: 1, OK: 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSample()
			test.change(s)
			r := judged(t, nil, s)
			if got := strings.Join(found(r), " "); got != test.rules {
				t.Errorf("red are %q, expected %q", got, test.rules)
			}
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			var back Result
			if err := json.Unmarshal(text, &back); err != nil {
				t.Fatal(err)
			}
			if words := fmt.Sprintf("%+v", back); !strings.Contains(words, test.words) {
				t.Errorf("%q is not said in %s", test.words, words)
			}
			if r.Totals != test.totals {
				t.Errorf("the totals are %+v, expected %+v", r.Totals, test.totals)
			}
		})
	}
}

// planned has two namespaces, the second with a unit that no status of a test has.
func planned(units ...string) *plan.Plan {
	p := &plan.Plan{Instance: "shop", Cluster: "main"}
	for _, id := range units {
		id, need, _ := strings.Cut(id, " ")
		p.Units = append(p.Units, plan.Item{Unit: kind.Unit{ID: id, Namespace: "shop", Need: input.Need(need)}})
	}
	return p
}

// TestPlanned: what is planned must have a line.
func TestPlanned(t *testing.T) {
	all := []string{"postgresql/shop required", "volume/uploads optional", "bucket/files required"}
	if r := judged(t, []*plan.Plan{planned(all...)}, newSample()); len(r.Problems) > 0 || r.Totals.OK != 3 {
		t.Errorf("found %+v", r)
	}
	// A unit more, and one fewer.
	r := judged(t, []*plan.Plan{planned("postgresql/shop required", "volume/uploads required", "openldap/directory optional")}, newSample())
	if got := found(r); !slices.Equal(got, []string{"HF613"}) || !strings.Contains(r.Problems[0].Message, "openldap/directory: it is planned") {
		t.Errorf("found %+v", r.Problems)
	}
	for _, u := range r.Statuses[0].Units {
		if u.Unplanned != (u.Unit == "bucket/files") {
			t.Errorf("%+v", u)
		}
	}
	// The plan says what is required.
	s := newSample().set("vol-uploads", "result", "failed")
	if got := found(judged(t, []*plan.Plan{planned("postgresql/shop required", "volume/uploads required", "bucket/files required")}, s)); !slices.Equal(got, []string{"HF611"}) {
		t.Errorf("found %q", got)
	}
	// Nobody has written for the instance at all.
	l := &Listing{}
	if err := l.Add("status.json", listed(t)); err != nil {
		t.Fatal(err)
	}
	r, err := Judge(l, []*plan.Plan{planned(all...)}, now)
	if err != nil || !slices.Equal(found(r), []string{"HF613"}) || r.Totals.Red != 3 || r.Totals.Silent != 1 {
		t.Errorf("found %+v, %v", r, err)
	}
	// A verifier that never ran does not say its cluster.
	s = newSample()
	s.empty = true
	if got := found(judged(t, []*plan.Plan{planned(all...)}, s)); !slices.Equal(got, []string{"HF612"}) {
		t.Errorf("found %q", got)
	}
}

// TestTwice: two statuses of one place contradict each other; those of two clusters do not.
func TestTwice(t *testing.T) {
	second := newSample()
	second.name = "copy.status"
	if got := found(judged(t, nil, newSample(), second)); !slices.Equal(got, []string{"HF614", "HF614"}) {
		t.Errorf("found %q", got)
	}
	second.set("verifier", "cluster", "other")
	if r := judged(t, nil, newSample(), second); len(r.Problems) > 0 || len(r.Statuses) != 2 {
		t.Errorf("found %+v", r)
	}
}

// TestListings: what is no listing is refused, with a place.
func TestListings(t *testing.T) {
	good, err := json.Marshal(newSample().object(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(good), string(good) + "\n" + `{"kind":"ConfigMap","metadata":{"name":"x"}}`} {
		l := &Listing{}
		if err := l.Add("f", []byte(text)); err != nil {
			t.Error(err)
		}
		if r, err := Judge(l, nil, now); err != nil || r.Totals.OK != 3 {
			t.Errorf("found %+v, %v", r, err)
		}
	}
	for _, test := range []struct{ text, pointer, words string }{
		{"", "", "it is empty"},
		{"error: the server is not there", "", "no listing"},
		{`{"kind":"List","items":[`, "", "no listing"},
		{`{"kind":"Secret"}`, "/kind", "neither a list nor a ConfigMap"},
		{`[]`, "", "no listing"},
		{`{"kind":"List","items":[{"kind":"Secret"}]}`, "/items/0/kind", "no ConfigMap"},
		{`{"kind":"List","items":[7]}`, "/items/0", "no ConfigMap"},
		{`{"kind":"ConfigMap","metadata":{"name":"$(id)","namespace":"shop","labels":{"holdfast.dev/role":"status"}}}`, "/metadata/name", "no name of Kubernetes"},
		{`{"kind":"ConfigMap","metadata":{"name":"shop","labels":{"holdfast.dev/role":"status"}}}`, "/metadata/namespace", "it is missing"},
	} {
		err := (&Listing{}).Add("f", []byte(test.text))
		list, ok := err.(problem.List)
		if !ok || len(list) != 1 || list[0].Rule != "HF610" || list[0].Pointer != test.pointer || !strings.Contains(list[0].Message, test.words) {
			t.Errorf("%s: %v", test.text, err)
		}
	}
	// Nothing of the kind is no green.
	l := &Listing{}
	if err := l.Add("f", listed(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := Judge(l, nil, now); err == nil || !strings.Contains(err.Error(), "there is no status in it") {
		t.Errorf("%v", err)
	}
}
