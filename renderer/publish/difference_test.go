package publish

import (
	"fmt"
	"reflect"
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
