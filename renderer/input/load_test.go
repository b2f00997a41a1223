package input

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestHostileInput(t *testing.T) {
	t.Parallel()
	const bom = "\xef\xbb\xbf"
	for _, test := range []struct {
		name, text string
		want       string // "rule line:column pointer: message"
		readable   bool
	}{
		{name: "empty", text: "", want: "HF001 1:1 : the document is empty"},
		{name: "blank", text: " \n\t", want: "HF001 2:2 : the document is empty"},
		{name: "BOM", text: bom + "{}", want: "HF001 1:1 : the document starts with a byte order mark"},
		{name: "UTF-16", text: "\xff\xfe{\x00}\x00", want: "HF001 1:1 : the document is UTF-16"},
		{name: "duplicate key", text: "{\n  \"a\": 1,\n  \"a\": 2\n}", want: `HF002 3:3 /a: "a" is set already, on line 2`, readable: true},
		{name: "duplicate key, escaped", text: `{"x": [{"a": 1, "\u0061": 2}]}`, want: `HF002 1:17 /x/0/a: "a" is set already, on line 1`, readable: true},
		{name: "duplicate empty key", text: `{"": 1, "": 2}`, want: `HF002 1:9 /: "" is set already, on line 1`, readable: true},
		{name: "trailing text", text: `{} x`, want: "HF001 1:4 : there is more after the end of the document: other text"},
		{name: "second document", text: "{}\n{}", want: `HF001 2:1 : there is more after the end of the document: "{"`},
		{name: "trailing NUL", text: "{}\x00", want: "HF001 1:3 : there is more after the end of the document: a NUL byte"},
		{name: "NUL in a string", text: "{\"a\": \"b\x00c\"}", want: "HF001 1:9 /a: a NUL byte in a string", readable: true},
		{name: "NUL, escaped", text: `{"a": "b\u0000c"}`, want: "HF001 1:9 /a: a NUL in a string", readable: true},
		{name: "NUL outside", text: "{\x00}", want: "HF001 1:2 : expected a key in double quotes, found a NUL byte"},
		{name: "wrong UTF-8", text: "{\"a\": \"\xc3(\"}", want: "HF001 1:8 /a: a byte that is no UTF-8", readable: true},
		{name: "overlong UTF-8", text: "{\"a\": \"x\xc0\xaf\"}", want: "HF001 1:9 /a: a byte that is no UTF-8", readable: true},
		{name: "surrogate in UTF-8", text: "{\"a\": \"\xed\xa0\x80\"}", want: "HF001 1:8 /a: a byte that is no UTF-8", readable: true},
		{name: "wrong UTF-8 in a key", text: "{\"\xff\": 1}", want: "HF001 1:3 : a byte that is no UTF-8", readable: true},
		{name: "wrong UTF-8 outside", text: "{\xff}", want: "HF001 1:2 : expected a key in double quotes, found a byte that is no UTF-8"},
		{name: "lone high surrogate", text: `{"a": "\ud800"}`, want: "HF001 1:8 /a: half of a surrogate pair", readable: true},
		{name: "lone low surrogate", text: `{"a": "\udc00x"}`, want: "HF001 1:8 /a: half of a surrogate pair", readable: true},
		{name: "two high surrogates", text: `{"a": "\ud83d\ud83d"}`, want: "HF001 1:8 /a: half of a surrogate pair", readable: true},
		{name: "control character", text: "{\"a\": \"\x1b[31m\"}", want: "HF001 1:8 /a: a control character in a string", readable: true},
		{name: "line break in a string", text: "{\"a\": \"b\nc\"}", want: "HF001 1:7 /a: a string without end on its line"},
		{name: "string without end", text: `{"a": "b`, want: "HF001 1:7 /a: a string without end"},
		{name: "string that ends in a backslash", text: `{"a": "b\`, want: "HF001 1:9 /a: a string without end"},
		{name: "short escape", text: `{"a": "\u00"}`, want: `HF001 1:8 /a: "\u" without four hex digits`},
		{name: "signed escape", text: `{"a": "\u+061"}`, want: `HF001 1:8 /a: "\u" without four hex digits`},
		{name: "unknown escape", text: `{"a": "\x41"}`, want: "HF001 1:8 /a: an escape that JSON does not have"},
		{name: "large", text: `{"a": "` + strings.Repeat("x", 10<<20) + `"}`, want: "HF003 0:0 : the document has 10485769 bytes; 10485760 are allowed"},
		{name: "deep arrays", text: strings.Repeat("[", 100_000), want: "HF003 1:66 " + strings.Repeat("/0", 65) + ": nested deeper than 64 levels"},
		{name: "deep objects", text: strings.Repeat(`{"a":`, 100_000), want: "HF003 1:326 " + strings.Repeat("/a", 65) + ": nested deeper than 64 levels"},
		{name: "many values", text: "[" + strings.Repeat("0,", 300_000) + "0]", want: "HF003 1:400000 /199999: more than 200000 values"},
		{name: "long key", text: `{"` + strings.Repeat("k", 1025) + `": 1}`, want: "HF003 1:2 : a key of more than 1024 bytes"},
		{name: "1e400", text: `{"a": 1e400}`, want: "HF003 1:7 /a: a number beyond 2^53", readable: true},
		{name: "2^53+1", text: `{"a": 9007199254740993}`, want: "HF003 1:7 /a: a number beyond 2^53", readable: true},
		{name: "-2^53-1", text: `{"a": -9007199254740993}`, want: "HF003 1:7 /a: a number beyond 2^53", readable: true},
		{name: "1e16", text: `{"a": 1e16}`, want: "HF003 1:7 /a: a number beyond 2^53", readable: true},
		{name: "many digits", text: `{"a": ` + strings.Repeat("9", 400) + `}`, want: "HF003 1:7 /a: a number beyond 2^53", readable: true},
		{name: "leading zero", text: `{"a": 01}`, want: "HF001 1:7 /a: a number that is no JSON number"},
		{name: "bare minus", text: `{"a": -}`, want: "HF001 1:7 /a: a number without digits"},
		{name: "bare dot", text: `{"a": 1.}`, want: `HF001 1:7 /a: a number without digits after "."`},
		{name: "bare exponent", text: `{"a": 1e+}`, want: "HF001 1:7 /a: a number without digits in its exponent"},
		{name: "NaN", text: `{"a": NaN}`, want: "HF001 1:7 /a: expected a value, found other text"},
		{name: "word with a tail", text: `{"a": nullx}`, want: "HF001 1:7 /a: expected a value, found other text"},
		{name: "comma before the end", text: `{"a": 1,}`, want: `HF001 1:8 : a comma before "}"`},
		{name: "comma before the end of an array", text: `[1,]`, want: `HF001 1:3 : a comma before "]"`},
		{name: "missing comma", text: "{\"a\": 1\n\"b\": 2}", want: `HF001 2:1 : expected "," or "}" after a value, found a string`},
		{name: "missing colon", text: `{"a" 1}`, want: `HF001 1:6 : expected ":" after a key, found a number`},
		{name: "wrong bracket", text: `{"a": [1}`, want: `HF001 1:9 /a: expected "," or "]" after a value, found "}"`},
		{name: "comment", text: "{\n// x\n}", want: "HF001 2:1 : expected a key in double quotes, found other text"},
		{name: "only an opening", text: `{`, want: "HF001 1:2 : expected a key in double quotes, found the end of the document"},
		{name: "no value", text: `{"a":`, want: "HF001 1:6 /a: the document ends where a value should be"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree, problems := Load(Document{Name: "x.json", Data: []byte(test.text)})
			if len(problems) != 1 {
				t.Fatalf("%d problems: %v", len(problems), problems)
			}
			p := problems[0]
			if got := p.Rule + " " + place(p.Line, p.Column) + " " + p.Pointer + ": " + p.Message; got != test.want || p.File != "x.json" {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if (tree.Root != nil) != test.readable {
				t.Errorf("root is %v", tree.Root)
			}
			// Whatever it is, Validate gets over it.
			instances, _ := validator(t).Validate([]*Tree{tree}, []*Tree{tree}, tree)
			if len(instances) > 0 {
				t.Error("an instance came back")
			}
		})
	}
}

func place(line, column int) string {
	data, _ := json.Marshal([]int{line, column})
	return strings.ReplaceAll(strings.Trim(string(data), "[]"), ",", ":")
}

func TestTopLevel(t *testing.T) {
	t.Parallel()
	l := layouts(t)[0]
	for text, want := range map[string]string{
		`[]`: "expected object, found array", `"x"`: "expected object, found string", `null`: "expected object, found null",
		`1`: "expected object, found integer", `1.5`: "expected object, found number", `true`: "expected object, found boolean",
	} {
		_, problems := run(t, validator(t), text, l.credentials, "")
		if len(problems) != 1 || problems[0].Message != want || problems[0].Rule != "HF006" || problems[0].Line != 1 {
			t.Errorf("%s: %v", text, problems)
		}
	}
}

func TestLoadGoesOn(t *testing.T) {
	t.Parallel()
	_, problems := Load(Document{Name: "x", Data: []byte("{\"a\": 1e400,\n\"a\": \"\\ud800\",\n\"b\": \"\xff\", \"c\": {\"d\": 1, \"d\": 2}}")})
	if got := len(problems); got != 5 {
		t.Errorf("%d problems, want 5: %v", got, problems)
	}
	_, problems = Load(Document{Name: "x", Data: []byte(`{"a": 1` + strings.Repeat(`, "a": 2`, 50_000) + `}`)})
	if got := len(problems); got != maxProblems+1 {
		t.Errorf("%d problems, want %d", got, maxProblems+1)
	}
}

// TestFirstOfTwoStands also sees that places are those of the first.
func TestFirstOfTwoStands(t *testing.T) {
	t.Parallel()
	tree, _ := Load(Document{Data: []byte("{\"a\": {\"x\": 1},\n\"a\": {\"y\": [1e400]},\n\"b\": 1}")})
	if want := map[string]any{"a": map[string]any{"x": 1.0}, "b": 1.0}; !reflect.DeepEqual(tree.Root, want) {
		t.Errorf("root is %v", tree.Root)
	}
	if line, column := tree.At("/a/x"); line != 1 || column != 13 {
		t.Errorf("/a/x is at %d:%d", line, column)
	}
	if line, column := tree.At("/b"); line != 3 || column != 6 {
		t.Errorf("/b is at %d:%d", line, column)
	}
	if len(tree.faulty) > 0 {
		t.Errorf("faulty: %v", tree.faulty)
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	text := "{\n\t\"ü\": {\"a/b\": [1, {\"c~d\": true}]},\r\n  \"e\" :\n  null, \"\": 3 }"
	tree, problems := Load(Document{Data: []byte(text)})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, test := range []struct {
		pointer            string
		line, column       int
		keyLine, keyColumn int
	}{
		{"", 1, 1, 1, 1},
		{"/ü", 2, 8, 2, 2},
		{"/ü/a~1b", 2, 16, 2, 9},
		{"/ü/a~1b/0", 2, 17, 2, 17},
		{"/ü/a~1b/1/c~0d", 2, 28, 2, 21},
		{"/e", 4, 3, 3, 3},
		{"/", 4, 13, 4, 9},
		// What is not there is at what is nearest to it.
		{"/ü/a~1b/2", 2, 16, 2, 16},
		{"/ü/none/deeper", 2, 8, 2, 8},
		{"/none", 1, 1, 1, 1},
	} {
		if line, column := tree.At(test.pointer); line != test.line || column != test.column {
			t.Errorf("%q is at %d:%d, want %d:%d", test.pointer, line, column, test.line, test.column)
		}
		if line, column := tree.AtKey(test.pointer); line != test.keyLine || column != test.keyColumn {
			t.Errorf("key of %q is at %d:%d, want %d:%d", test.pointer, line, column, test.keyLine, test.keyColumn)
		}
	}
	if line, column := (&Tree{}).At("/x"); line != 0 || column != 0 {
		t.Error("an empty tree has places")
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	text := `{"s": "a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00ü", "n": [0, -0, 1.5, -2e3, 1E+2, 9007199254740992, -9007199254740992, 1e-400], "l": [true, false, null], "o": {}, "e": []}`
	tree, problems := Load(Document{Data: []byte(text)})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := map[string]any{
		"s": "a\"\\/\b\f\n\r\té😀ü",
		"n": []any{0.0, 0.0, 1.5, -2000.0, 100.0, 9007199254740992.0, -9007199254740992.0, 0.0},
		"l": []any{true, false, nil}, "o": map[string]any{}, "e": []any{},
	}
	if !reflect.DeepEqual(tree.Root, want) {
		t.Errorf("got  %v\nwant %v", tree.Root, want)
	}
	if zero := tree.lookup("n", "1").(float64); math.Signbit(zero) {
		t.Error("-0 kept its sign")
	}
}
