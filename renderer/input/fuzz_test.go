package input

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"
)

// FuzzLoad compares Load with encoding/json: what Load accepts is JSON and has
// the same values, and every value is where its place says.
func FuzzLoad(f *testing.F) {
	for _, l := range layouts(f) {
		f.Add([]byte(l.credentials))
	}
	for _, seed := range []string{
		`{}`, `[]`, `{"a":{"a":1,"b":[true,null,-1.5e3]},"\u0061":2}`, `"\ud83d\ude00\n"`, `[[[[]]]]`, `9007199254740993`, `1e400`, "\xef\xbb\xbf{}", `{"a":1,}`, `{"a" 1}`, "\"\x00\"",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tree, problems := Load(Document{Name: "x", Data: data})
		for _, p := range problems {
			if len(data) <= maxBytes && (p.Line < 1 || p.Column < 1) && p.Message != tooMany(tree).Message {
				t.Errorf("without a place: %s", p)
			}
		}
		if tree.unreadable && len(problems) == 0 {
			t.Error("unreadable without a problem")
		}
		if len(problems) > 0 {
			return
		}
		var want any
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("accepted, but %v", err)
		}
		if !reflect.DeepEqual(tree.Root, want) {
			t.Fatalf("got %v, want %v", tree.Root, want)
		}
		if !utf8.Valid(data) {
			t.Error("accepted wrong UTF-8")
		}
		for i, n := range tree.nodes {
			at, found := tree.find(tree.pointer(int32(i)))
			if !found || at != int32(i) {
				t.Errorf("pointer %q leads to %d, not %d", tree.pointer(int32(i)), at, i)
			}
			var value any
			if err := json.NewDecoder(bytesAt(data, n.at)).Decode(&value); err != nil || !reflect.DeepEqual(value, n.value) {
				t.Errorf("at %d is %v, not %v (%v)", n.at, value, n.value, err)
			}
		}
	})
}

// FuzzValidate sees that nothing breaks Validate, that it returns an instance
// or a problem, and the same ones twice.
func FuzzValidate(f *testing.F) {
	for _, l := range layouts(f) {
		f.Add([]byte(l.state), []byte(l.credentials), []byte(`{"schemaVersion": 1}`))
	}
	f.Add([]byte(`{"schemaVersion":1,"instanceId":"a","namespace":"a","cluster":{"name":"c","managedControlPlane":true},"network":{"policyEngine":"cilium"}}`),
		[]byte(`{"schemaVersion":1,"instanceId":"a","rotation":{"generation":1,"previous":[{}]}}`), []byte(`{"schemaVersion":1,"images":{"a/b":"c"}}`))
	f.Add([]byte(`[]`), []byte(`{"restic":{},"rclone":[]}`), []byte(`null`))
	v := validator(f)
	f.Fuzz(func(t *testing.T, state, credentials, policy []byte) {
		s, problems := Load(Document{Name: "s", Data: state})
		c, more := Load(Document{Name: "c", Data: credentials, Secret: true})
		problems = append(problems, more...)
		p, more := Load(Document{Name: "p", Data: policy})
		problems = append(problems, more...)
		instances, found := v.Validate([]*Tree{s}, []*Tree{c}, p)
		if len(problems)+len(found) == 0 && len(instances) != 1 {
			t.Errorf("%d instances and no problem", len(instances))
		}
		if len(problems)+len(found) > 0 && len(instances) > 0 {
			t.Errorf("an instance in spite of %v %v", problems, found)
		}
		again, foundAgain := v.Validate([]*Tree{s}, []*Tree{c}, p)
		if !reflect.DeepEqual(found, foundAgain) || len(again) != len(instances) {
			t.Errorf("at first %v, then %v", found, foundAgain)
		}
		if !reflect.DeepEqual(found, found.Sorted()) {
			t.Errorf("not sorted: %v", found)
		}
	})
}

func bytesAt(data []byte, offset int32) *bytes.Reader { return bytes.NewReader(data[offset:]) }
