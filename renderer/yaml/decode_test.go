package yaml

import (
	"reflect"
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	a, b := map[string]any{"a": 1.0}, map[string]any{"b": "x"}
	tests := map[string]struct {
		data string
		want []map[string]any
	}{
		"nothing":                 {data: ""},
		"comments only":           {data: "# one\n---\n# two\n"},
		"one":                     {data: "a: 1\n", want: []map[string]any{a}},
		"two":                     {data: "---\na: 1\n---\nb: x\n", want: []map[string]any{a, b}},
		"empty ones between":      {data: "---\n---\na: 1\n---\n\n---\nb: x\n---\n", want: []map[string]any{a, b}},
		"comment at marker":       {data: "--- # first\na: 1\n--- # second\nb: x\n", want: []map[string]any{a, b}},
		"content at marker":       {data: "--- {a: 1}\n--- {b: x}\n", want: []map[string]any{a, b}},
		"end marker":              {data: "a: 1\n...\nb: x\n", want: []map[string]any{a, b}},
		"CRLF":                    {data: "a: 1\r\n---\r\nb: x\r\n", want: []map[string]any{a, b}},
		"lone CR":                 {data: "a: 1\r---\rb: x\r", want: []map[string]any{a, b}},
		"NEL":                     {data: "a: 1\u0085---\u0085b: x\n", want: []map[string]any{a, b}},
		"marker inside a literal": {data: "b: |\n  ---\n  ...\n", want: []map[string]any{{"b": "---\n...\n"}}},
		"no marker":               {data: "b: x ---\n----: 1\n", want: []map[string]any{{"b": "x ---", "----": 1.0}}},
		"JSON":                    {data: `{"a": 1}`, want: []map[string]any{a}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Decode([]byte(tt.data))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestDecodeErrors(t *testing.T) {
	tests := map[string]struct{ data, want string }{
		"syntax":        {data: "a: 1\n---\na: [1\n", want: "document that starts at line 2"},
		"list":          {data: "- hunter2\n", want: "document that starts at line 1: it is no object"},
		"text":          {data: "a: 1\n---\nhunter2\n", want: "document that starts at line 2: it is no object"},
		"duplicate":     {data: "a: hunter2\na: hunter2\n", want: `key "a" already set in map`},
		"alias":         {data: "a: *hunter2\n", want: "not readable as YAML"},
		"tag":           {data: "a: !!int hunter2\n", want: "not readable as YAML"},
		"merge":         {data: "<<: hunter2\n", want: "document that starts at line 1"},
		"UTF-8":         {data: "a: \xff\n", want: "document that starts at line 1"},
		"unclosed text": {data: "a: \"hunter2\n", want: "document that starts at line 1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Decode([]byte(tt.data))
			if err == nil {
				t.Fatalf("no error, got %v", got)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want %q in it", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %q repeats a value", err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("a: 1\n---\nb: [x]\n...\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, err := Decode(data)
		if err != nil {
			return
		}
		// What can be read can be written and read again.
		written, err := AppendDocuments(nil, objects)
		if err != nil {
			if strings.Contains(err.Error(), "longer") {
				return
			}
			t.Fatal(err)
		}
		back, err := Decode(written)
		if err != nil {
			t.Fatalf("%v in %q", err, written)
		}
		if len(back) != len(objects) || len(back) > 0 && !reflect.DeepEqual(back, objects) {
			t.Fatalf("%v became %v", objects, back)
		}
	})
}
