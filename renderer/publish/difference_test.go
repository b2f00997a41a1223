package publish

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestComparePlans: what a commit message says follows from two plan.json alone.
func TestComparePlans(t *testing.T) {
	document := func(rest, units, exemptions string) string {
		return fmt.Sprintf(`{"instance": "shop", %s, "units": [%s], "exemptions": [%s], "totals": {"units": 1}}`, rest, units, exemptions)
	}
	const on = `"enabled": true, "timeZone": "UTC"`
	const a, b = `{"id": "k/a", "retention": {"keepDaily": 30}, "tags": ["d30"], "tier": "d30", "values": {"X": "1", "Y": "1"}, "capture": {"how": "dump"}}`, `{"id": "k/b"}`
	for name, test := range map[string]struct {
		before, after string
		want          Difference
	}{
		"first":    {after: document(on, a, b), want: Difference{Appeared: []string{"k/a"}}},
		"the same": {before: document(on, a, b), after: document(on, a, b)},
		"appear and vanish": {before: document(on, a, ""), after: document(on, b, ""),
			want: Difference{Appeared: []string{"k/b"}, Vanished: []string{"k/a"}}},
		"exempt": {before: document(on, a+","+b, ""), after: document(on, a, b),
			want: Difference{Exempted: []string{"k/b"}}},
		"no longer exempt": {before: document(on, a, b), after: document(on, a+","+b, ""),
			want: Difference{Appeared: []string{"k/b"}}},
		"an exemption vanishes": {before: document(on, a, b), after: document(on, a, "")},
		"off": {before: document(on, a, ""), after: document(`"enabled": false`, "", ""),
			want: Difference{Off: true}},
		"on again": {before: document(`"enabled": false`, "", ""), after: document(on, a, ""),
			want: Difference{Appeared: []string{"k/a"}}},
		"one setting": {before: document(on, a, ""), after: document(on, strings.ReplaceAll(a, "30", "60"), ""),
			want: Difference{Changed: []ChangedUnit{{ID: "k/a", Settings: []string{"retention"}}}}},
		"what follows, by itself": {before: document(on, a, ""), after: document(on, strings.Replace(a, `"tier": "d30"`, `"tier": "x"`, 1), ""),
			want: Difference{Changed: []ChangedUnit{{ID: "k/a", Settings: []string{"tier"}}}}},
		"bags": {before: document(on, a, ""), after: document(on, strings.NewReplacer(`"X": "1"`, `"X": "2"`, `"Y": "1"`, `"Z": "1"`, `"dump"`, `"exec"`).Replace(a), ""),
			want: Difference{Changed: []ChangedUnit{{ID: "k/a", Settings: []string{"capture.how", "values.X", "values.Y", "values.Z"}}}}},
		"a setting comes and goes": {before: document(on, `{"id": "k/a", "x": 1}`, ""), after: document(on, `{"id": "k/a", "y": {}}`, ""),
			want: Difference{Changed: []ChangedUnit{{ID: "k/a", Settings: []string{"x", "y"}}}}},
		"of the instance": {before: document(on+`, "flux": {"path": "a"}`, a, ""), after: document(`"enabled": true, "timeZone": "Europe/Berlin", "flux": {"path": "b"}`, a, ""),
			want: Difference{Settings: []string{"flux", "timeZone"}}},
		"another order": {before: document(on, a+","+b, ""), after: document(on, b+","+a, "")},
	} {
		t.Run(name, func(t *testing.T) {
			var before []byte
			if test.before != "" {
				before = []byte(test.before)
			}
			got, err := comparePlans(before, []byte(test.after))
			test.want.Instance = "shop"
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, test.want)
			}
		})
	}
	for _, text := range []string{"", "{", "[]", "null", `"x"`, `{}`, `{"instance": 1}`, `{"instance": "a"}`, `{"instance": "a", "units": {}, "exemptions": []}`,
		`{"instance": "a", "units": [null], "exemptions": []}`, `{"instance": "a", "units": [{"id": 1}], "exemptions": []}`, `{"instance": "a", "units": [], "exemptions": 1}`} {
		if _, err := comparePlans([]byte(text), []byte(document(on, a, ""))); err == nil {
			t.Errorf("%q is a plan", text)
		}
	}
}

// TestCompareForms: a plan of the form before this one is compared by what both forms say.
// The two files are of the same inputs.
func TestCompareForms(t *testing.T) {
	t.Parallel()
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	before, after := read("plan-1.json"), read("plan-2.json")
	edited := func(t *testing.T, document []byte, pairs ...string) []byte {
		t.Helper()
		for n := 0; n < len(pairs); n += 2 {
			if !bytes.Contains(document, []byte(pairs[n])) {
				t.Fatalf("the plan has no %s", pairs[n])
			}
			document = bytes.ReplaceAll(document, []byte(pairs[n]), []byte(pairs[n+1]))
		}
		return document
	}
	changed := func(unit string, settings ...string) []ChangedUnit {
		return []ChangedUnit{{ID: unit, Settings: settings}}
	}
	for name, test := range map[string]struct {
		edit []string
		want Difference
	}{
		"the same":         {},
		"another schedule": {edit: []string{`"57 2 * * *"`, `"58 2 * * *"`}, want: Difference{Changed: changed("volume/uploads", "schedule")}},
		"another value":    {edit: []string{`"HOLDFAST_OWNER": "shop"`, `"HOLDFAST_OWNER": "own"`}, want: Difference{Changed: changed("postgresql/shop", "capture.env")}},
		"another retention": {edit: []string{"7200,\n      \"retention\": {\n        \"keepDaily\": 30", "7200,\n      \"retention\": {\n        \"keepDaily\": 9"},
			want: Difference{Changed: changed("volume/uploads", "retention")}},
		"another unit": {edit: []string{`"volume/uploads"`, `"volume/others"`}, want: Difference{Appeared: []string{"volume/others"}, Vanished: []string{"volume/uploads"}}},
		"the window":   {edit: []string{`"05:00"`, `"06:00"`}, want: Difference{Settings: []string{"window"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for form, before := range map[string][]byte{"another": before, "the same": after} {
				want := test.want
				want.Instance = "shop"
				if form == "another" {
					want.Settings = slices.Sorted(slices.Values(append([]string{"schemaVersion"}, want.Settings...)))
				}
				got, err := comparePlans(before, edited(t, after, test.edit...))
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("from %s form: got %+v, %v\nwant %+v", form, got, err, want)
				}
			}
		})
	}
}
