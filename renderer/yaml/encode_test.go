package yaml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"

	yamlv3 "go.yaml.in/yaml/v3"
	sigs "sigs.k8s.io/yaml"
)

func TestAppendYAMLLayout(t *testing.T) {
	object := map[string]any{
		"spec": map[string]any{
			"template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"a": "b"}, "annotations": map[string]any{"z": "1"}, "name": "inner"}},
			"args":     []any{"--force", "-x", []any{"a", []any{}, []any{1.0, true}}, map[string]any{"b": []any{"c"}, "a": nil}},
			"empty":    map[string]any{}, "none": []any{},
			"script": "#!/bin/sh\nset -eu\n\n\techo no\n",
		},
		"metadata":   map[string]any{"labels": map[string]string{"b": "yes", "a": "x"}, "namespace": "ns", "annotations": map[string]any{}, "name": "nn"},
		"kind":       "CronJob",
		"data":       map[string]any{"run.sh": "#!/bin/sh\nset -eu\n\nif true; then\n  echo hi\nfi\n", "keep": "a\nb\n\n", "strip": "a\nb"},
		"apiVersion": "batch/v1",
		"list":       []string{"1Gi", "30d", "0755", "registry.example.org/x/y:1.2@sha256:abc"},
	}
	want := `apiVersion: batch/v1
kind: CronJob
metadata:
  name: nn
  namespace: ns
  annotations: {}
  labels:
    a: x
    b: "yes"
data:
  keep: |+
    a
    b

  run.sh: |
    #!/bin/sh
    set -eu

    if true; then
      echo hi
    fi
  strip: |-
    a
    b
list:
- 1Gi
- 30d
- "0755"
- registry.example.org/x/y:1.2@sha256:abc
spec:
  args:
  - --force
  - -x
  - - a
    - []
    - - 1
      - true
  - a: null
    b:
    - c
  empty: {}
  none: []
  script: "#!/bin/sh\nset -eu\n\n\techo no\n"
  template:
    metadata:
      annotations:
        z: "1"
      labels:
        a: b
      name: inner
`
	got, err := Append([]byte("before\n"), object)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != "before\n"+want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestAppendYAMLScalars(t *testing.T) {
	tests := map[string]struct {
		value any
		want  string
	}{
		"nil":                     {value: nil, want: "null"},
		"true":                    {value: true, want: "true"},
		"int":                     {value: -7, want: "-7"},
		"int64":                   {value: int64(math.MaxInt64), want: "9223372036854775807"},
		"float zero":              {value: 0.0, want: "0"},
		"float minus zero":        {value: math.Copysign(0, -1), want: "0"},
		"float integral":          {value: 3600.0, want: "3600"},
		"float million":           {value: 1e6, want: "1000000"},
		"float largest exact":     {value: float64(1<<53 - 1), want: "9007199254740991"},
		"float smallest exact":    {value: -float64(1<<53 - 1), want: "-9007199254740991"},
		"float beyond exact":      {value: 1e20, want: "100000000000000000000"},
		"float huge":              {value: 1e21, want: "1.0e+21"},
		"float huger":             {value: 1.5e300, want: "1.5e+300"},
		"float fraction":          {value: 0.25, want: "0.25"},
		"float tiny":              {value: 1e-7, want: "1.0e-07"},
		"number":                  {value: json.Number("12"), want: "12"},
		"number beyond int64":     {value: json.Number("12345678901234567890123"), want: "12345678901234567890123"},
		"number exponent":         {value: json.Number("1e3"), want: "1000"},
		"number fraction":         {value: json.Number("2.50"), want: "2.5"},
		"number minus zero":       {value: json.Number("-0"), want: "0"},
		"empty text":              {value: "", want: `""`},
		"word":                    {value: "hello", want: "hello"},
		"words":                   {value: "hello my world", want: "hello my world"},
		"option":                  {value: "--max-delete=5", want: "--max-delete=5"},
		"cron":                    {value: "5 2 * * *", want: `"5 2 * * *"`},
		"path":                    {value: "/holdfast/files/a", want: "/holdfast/files/a"},
		"yes":                     {value: "Yes", want: `"Yes"`},
		"norway":                  {value: "NO", want: `"NO"`},
		"merge":                   {value: "<<", want: `"<<"`},
		"quantity":                {value: "500m", want: "500m"},
		"exponent":                {value: "1e3", want: `"1e3"`},
		"octal":                   {value: "0o17", want: `"0o17"`},
		"date":                    {value: "2026-01-02", want: `"2026-01-02"`},
		"date and time":           {value: "2026-01-02T03:04:05Z", want: `"2026-01-02T03:04:05Z"`},
		"sexagesimal":             {value: "12:30:45", want: `"12:30:45"`},
		"control":                 {value: "a\x00\x1b\x7f\u0085\u2028\ufeff", want: `"a\u0000\u001b\u007f\u0085\u2028\ufeff"`},
		"umlaut":                  {value: "müde 🙂", want: `"müde 🙂"`},
		"carriage return":         {value: "a\r\nb\n", want: `"a\r\nb\n"`},
		"only a line break":       {value: "\n", want: `"\n"`},
		"blank at line end":       {value: "a \nb\n", want: `"a \nb\n"`},
		"blank at the very end":   {value: "a\nb ", want: `"a\nb "`},
		"tab at the very end":     {value: "a\nb\t", want: `"a\nb\t"`},
		"blank at the very start": {value: " a\nb\n", want: `" a\nb\n"`},
		"tab at line start":       {value: "a\n\tb\n", want: `"a\n\tb\n"`},
		"tab inside":              {value: "a\tx\nb\n", want: "|\n  a\tx\n  b"},
		"literal":                 {value: "a\nb\n", want: "|\n  a\n  b"},
		"empty list":              {value: []any{}, want: "[]"},
		"empty texts":             {value: []string{}, want: "[]"},
		"empty map":               {value: map[string]any{}, want: "{}"},
		"empty map of texts":      {value: map[string]string(nil), want: "{}"},
		"map of texts":            {value: map[string]string{"b": "1", "a": ""}, want: "a: \"\"\nb: \"1\""},
		"texts":                   {value: []string{"on", "a"}, want: "- \"on\"\n- a"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Append(nil, tt.value)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want+"\n" {
				t.Errorf("got %q, want %q", got, tt.want+"\n")
			}
		})
	}
}

func TestAppendYAMLErrors(t *testing.T) {
	tests := map[string]struct {
		value any
		want  string
	}{
		"Go type":         {value: map[string]any{"a": []any{nil, map[string]any{"b": uint8(1)}}}, want: "/a/1/b: the Go type uint8 is no JSON value"},
		"not a number":    {value: math.NaN(), want: "a number is not finite"},
		"infinite":        {value: map[string]any{"x": math.Inf(-1)}, want: "/x: a number is not finite"},
		"text":            {value: map[string]string{"k": "s3cret\xff"}, want: "/k: a text is not valid UTF-8"},
		"list of texts":   {value: []string{"a", "s3cret\xff"}, want: "/1: a text is not valid UTF-8"},
		"key":             {value: map[string]any{"a": map[string]any{"\xff": 1}}, want: "/a: a key is not valid UTF-8"},
		"long key":        {value: map[string]any{strings.Repeat("k", 1001): 1}, want: "a key is longer than 1000 bytes"},
		"no json.Number":  {value: json.Number("s3cret"), want: "a json.Number is no number"},
		"null Number":     {value: json.Number("null"), want: "a json.Number is no number"},
		"too big Number":  {value: json.Number("1e999"), want: "a json.Number is out of range"},
		"injected Number": {value: json.Number("1\nb: 2"), want: "a json.Number is no number"},
		"blank Number":    {value: json.Number(" 1"), want: "a json.Number is no number"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Append([]byte("dst"), tt.value)
			if err == nil {
				t.Fatalf("no error, got %q", got)
			}
			if err.Error() != tt.want {
				t.Errorf("got error %q, want %q", err, tt.want)
			}
			if string(got) != "dst" {
				t.Errorf("dst became %q", got)
			}
		})
	}
}

func TestAppendDocuments(t *testing.T) {
	objects := []map[string]any{
		{"kind": "A", "data": map[string]any{"x": "a\n\n"}},
		{},
		{"kind": "B"},
	}
	got, err := AppendDocuments(nil, objects)
	if err != nil {
		t.Fatal(err)
	}
	want := "---\nkind: A\ndata:\n  x: \"a\\n\\n\"\n---\n{}\n---\nkind: B\n"
	want = strings.Replace(want, `"a\n\n"`, "|+\n    a\n", 1)
	if string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	back, err := Decode(got)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, objects) {
		t.Errorf("read back %v, want %v", back, objects)
	}
	if _, err := AppendDocuments(nil, []map[string]any{{}, {"a": struct{}{}}}); err == nil || !strings.Contains(err.Error(), "object 1: /a: ") {
		t.Errorf("error %v does not name the object", err)
	}
}

// nasty are texts that one or the other reader of YAML takes for something
// else, or does not take at all.
func nasty() []string {
	return []string{
		"", " ", "  ", "\t", "\n", "\n\n", "\r", "\r\n", " \n", "\n ", "\n\t", "\t\n",
		"y", "Y", "n", "N", "yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF",
		"true", "True", "TRUE", "tRuE", "false", "False", "FALSE", "null", "Null", "NULL", "~", "nil", "none",
		"0", "1", "-1", "+1", "00", "01", "007", "08", "0o7", "0b1", "0B1", "0x1", "0X1F", "0xg", "1_000", "_1", "1_", "1__0",
		"1.", ".1", "1.0", "-.5", "+.5", "1e3", "1E3", "1e+3", "1.e3", "1e", "e1", "1e3x", "0e0", "0x1p-2", "1p2",
		".inf", "-.inf", "+.inf", ".Inf", ".INF", "inf", "-inf", "Infinity", ".nan", ".NaN", ".NAN", "nan",
		"1:1", "12:30:45", "-12:30", "190:20:30.15", "1:1a", "2001-01-01", "2001-1-1", "2001-12-14t21:59:43.10-05:00",
		"2001-12-14 21:59:43.10 -5", "2001-12-14T21:59:43Z", "2001-12-15 2:59:43.10", "2001-01-01x",
		"<<", "=", "<", "!", "!x", "!!str x", "&a", "*a", "?", "? a", "-", "- a", "--", "---", "--- a", "...", "... a", "-- a",
		"---\n", "a\n---\nb\n", "a\n...\nb\n", "---\na\n", "...\na\n", "%YAML 1.1\n---\na\n", "%a", "@a", "`a", "|", ">", "|\n", ">-\na\n",
		"#", "# a", "a #b", "a# b", "a: b", "a:b", "a:", ":a", ": a", ":", "a :b", "{", "{}", "{a: b}", "[", "[]", "[a]", "]", "}", ",", "a,b", ", a",
		"'", "\"", "'a'", "\"a\"", "it's", "a\"b", "\\", "\\n", "a\\", "a\\\nb\n",
		"a ", " a", "a  b", "\ta", "a\t", "a\tb", "a\n", "a\n\n", "a\n\n\n", "a\nb", "a\n\nb", "a\n b\n", " a\nb\n", "a\n  \nb\n", "a\n\t\nb\n", "a \nb\n", "a\t\nb\n",
		"a\nb ", "a\nb\t", "\na\n", "\n\na", "a\r\nb\r\n", "a\rb\nc\n", "a\n#b\n", "#a\nb\n", "- a\n- b\n", "a: b\nc: d\n", "a\n-", "a\n\n ", "a\n \n", "a\n\n\n\nb\n\n\n",
		"a\u0085b", "a\u0085b\nc\n", "\u0085", "a\u2028b\nc\n", "\u2029", "\ufeff", "\ufeffa\nb\n", "a\ufeffb", "\u00a0", "\u00a0a\nb\n", "a\u00a0\nb\n", "\u3000", "\u200b",
		"\x00", "a\x00b\nc\n", "\x01", "\x07", "\x08", "\x0b", "\x0c", "\x1b[31m", "\x7f", "a\x7f\nb\n", "\u0080", "\u009f", "\ufffe", "\uffff", "\ufffd", "\U0001f642", "\U0010ffff", "\ue000", "ü", "é\nè\n",
		strings.Repeat("x", 5000), strings.Repeat("word ", 500) + "end", strings.Repeat("line\n", 200), strings.Repeat(" ", 100), "a" + strings.Repeat("\n", 50),
		"#!/bin/sh\nset -eu\n: \"${X:?}\"\necho \"$X\" | sed 's/a/b/'\n", "password: hunter2", "key=value", "a=b,c=d", "$(X)", "${X}", "50%", "~/x", "/~", "(a)", "(", "a~b",
		"-x", "--x", "-1x", "-_", "-.a", "--1", "--.inf", "-/", "_", "/", "//", ".", "..", "./a", ".a", "a.", "a-", "a/", "@", "a@b", "+", "a+b", "+a", "1+1", "1k", "1Ki", "9d", "1e5f", "0a", "0x", "1 2", "1 a",
	}
}

func TestAppendYAMLNastyTexts(t *testing.T) {
	for _, s := range nasty() {
		t.Run(strconv.QuoteToASCII(s)[:min(40, len(strconv.QuoteToASCII(s)))], func(t *testing.T) {
			// As a value in every position, and as a key.
			roundTrip(t, s)
			roundTrip(t, []any{s, s})
			roundTrip(t, []any{[]any{s}, map[string]any{"a": s, "b": []any{s}}})
			value := map[string]any{"a": s, "b": map[string]any{"c": s, "d": []any{s, "x"}}, "metadata": map[string]any{"name": s, "z": s}, "z": s}
			roundTrip(t, value)
			if len(s) < 200 {
				roundTrip(t, map[string]any{s: s, "m": map[string]any{s: map[string]any{s: []any{s}}}, "l": []any{map[string]any{s: nil}}})
			}
		})
	}
}

// roundTrip reads value back with both oracles.
func roundTrip(t testing.TB, value any) {
	t.Helper()
	data, err := Append(nil, value)
	if err != nil {
		t.Fatalf("%#v: %v", value, err)
	}
	want := normal(value)
	if got := readSigs(t, data); !reflect.DeepEqual(got, want) {
		t.Errorf("sigs yaml reads %#v\nwant %#v\nfrom %q", got, want, data)
	}
	if got := readV3(t, data); !reflect.DeepEqual(got, want) {
		t.Errorf("yaml.v3 reads %#v\nwant %#v\nfrom %q", got, want, data)
	}
}

func readSigs(t testing.TB, data []byte) any {
	t.Helper()
	var got any
	if err := sigs.UnmarshalStrict(data, &got); err != nil {
		t.Fatalf("sigs yaml does not read %q: %v", data, err)
	}
	return normal(got)
}

func readV3(t testing.TB, data []byte) any {
	t.Helper()
	var got any
	if err := yamlv3.Unmarshal(data, &got); err != nil {
		t.Fatalf("yaml.v3 does not read %q: %v", data, err)
	}
	return normal(got)
}

// normal makes all spellings of one value equal: numbers become float64, maps
// map[string]any, lists []any.
func normal(value any) any {
	switch v := value.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, item := range v {
			m[k] = normal(item)
		}
		return m
	case map[string]string:
		m := make(map[string]any, len(v))
		for k, item := range v {
			m[k] = item
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, item := range v {
			l[i] = normal(item)
		}
		return l
	case []string:
		l := make([]any, len(v))
		for i, item := range v {
			l[i] = item
		}
		return l
	case int:
		return float64(v)
	case int64:
		return float64(v)
	case uint64:
		return float64(v)
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			panic(err)
		}
		return f
	}
	return value
}

// generator makes random values; the same seed makes the same values.
type generator struct {
	*rand.Rand
	nasty []string
}

func newGenerator(seed uint64) generator {
	return generator{Rand: rand.New(rand.NewPCG(seed, 2)), nasty: nasty()}
}

func (g generator) text() string {
	const alphabet = "abyYnNotTeE019_-./:,@+=%()~ #'\"\\|>[]{}!&*?<`$;\t\n\n\r"
	switch n := g.IntN(10); {
	case n < 3:
		return g.nasty[g.IntN(len(g.nasty))]
	case n < 9:
		var b strings.Builder
		for range g.IntN(12) {
			switch g.IntN(16) {
			case 0:
				b.WriteRune(rune(g.IntN(0x100)))
			case 1:
				b.WriteString([]string{"\u2028", "\u2029", "\ufeff", "\u0085", "\ufffe", "🙂", "---", "...", "\n\n", "  ", "\n  "}[g.IntN(11)])
			default:
				b.WriteByte(alphabet[g.IntN(len(alphabet))])
			}
		}
		return b.String()
	default:
		return strings.Repeat("a line\n", g.IntN(4)) + g.nasty[g.IntN(len(g.nasty))] + "\n"
	}
}

func (g generator) value(depth int) any {
	n := g.IntN(12)
	if depth == 0 {
		n = g.IntN(9)
	}
	switch {
	case n < 5:
		return g.text()
	case n == 5:
		return []any{nil, true, false}[g.IntN(3)]
	case n == 6:
		return float64(g.IntN(4_000_000) - 2_000_000)
	case n == 7:
		return math.Float64frombits(g.Uint64()&^(0x7ff<<52) | (900+g.Uint64N(250))<<52)
	case n == 8:
		return []any{int(g.Int64N(1 << 40)), g.Int64N(1 << 53), json.Number("0.5e2"), json.Number("77")}[g.IntN(4)]
	case n == 9:
		l := make([]any, g.IntN(4))
		for i := range l {
			l[i] = g.value(depth - 1)
		}
		return l
	default:
		m := map[string]any{}
		for range g.IntN(4) {
			key := g.text()
			if len(key) > 200 {
				key = "long"
			}
			m[key] = g.value(depth - 1)
		}
		return m
	}
}

// TestAppendYAMLRandom reads many documents back. One stream of many documents
// costs the oracles less than many streams, so one document holds a hundred
// values.
func TestAppendYAMLRandom(t *testing.T) {
	const batches, perBatch = 300, 100
	g := newGenerator(1)
	bytes := 0
	for range batches {
		values := make([]any, perBatch)
		for i := range values {
			values[i] = g.value(2)
		}
		data, err := Append(nil, values)
		if err != nil {
			t.Fatal(err)
		}
		bytes += len(data)
		want := normal(values)
		if reflect.DeepEqual(readSigs(t, data), want) && reflect.DeepEqual(readV3(t, data), want) {
			continue
		}
		for _, value := range values { // which one is it?
			roundTrip(t, value)
		}
		t.Fatal("a batch of documents is not read back, though each of them is")
	}
	t.Logf("%d values, %d bytes", batches*perBatch, bytes)
}

func TestAppendYAMLIsStable(t *testing.T) {
	g := newGenerator(3)
	for range 200 {
		value := g.value(4)
		first, err := Append(nil, value)
		if err != nil {
			t.Fatal(err)
		}
		second, err := Append(nil, normal(value)) // the same content in new maps
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, second) {
			t.Fatalf("the same value gives %q and %q", first, second)
		}
	}
}

func FuzzAppendYAML(f *testing.F) {
	for _, s := range nasty() {
		f.Add(s, s, 0.5)
	}
	f.Add("metadata", "a\nb", 1e300)
	f.Fuzz(func(t *testing.T, key, text string, number float64) {
		value := map[string]any{
			key:        text,
			"metadata": map[string]any{"name": text, "x": number, "l": []any{text, []any{number, text}}},
			"l":        []any{text, map[string]any{key: []any{map[string]any{key: text}}}},
		}
		if _, err := Append(nil, value); err != nil {
			if !strings.Contains(err.Error(), "UTF-8") && !strings.Contains(err.Error(), "finite") && !strings.Contains(err.Error(), "longer") {
				t.Fatal(err)
			}
			return
		}
		roundTrip(t, value)
		roundTrip(t, text)
	})
}

// tenant is as large as what one instance renders: 120 objects.
func tenant() []map[string]any {
	script := strings.Repeat("#!/bin/sh\nset -eu\nif [ -z \"$SOURCE\" ]; then\n  echo \"no source\" >&2\n  exit 1\nfi\nrclone sync \"$SOURCE\" \"$TARGET\" --max-delete 10 --crypt-strict-names\n", 10)
	var objects []map[string]any
	for i := range 15 {
		name := fmt.Sprintf("app-%02d-backup", i)
		meta := func() map[string]any {
			return map[string]any{"name": name, "namespace": "tenant-stage", "labels": map[string]any{
				"app.kubernetes.io/managed-by": "holdfast", "app.kubernetes.io/instance": "tenant", "holdfast.dev/unit": name}}
		}
		pod := map[string]any{"serviceAccountName": name, "restartPolicy": "Never", "securityContext": map[string]any{"runAsNonRoot": true, "runAsUser": 65532.0},
			"containers": []any{map[string]any{
				"name": "main", "image": "registry.example.org/backup/tool:1.2.3@sha256:0123456789abcdef", "command": []any{"/scripts/run.sh"}, "args": []any{"--verbose", "-x"},
				"env":          []any{map[string]any{"name": "SOURCE", "value": "s3:bucket"}, map[string]any{"name": "PASSWORD", "valueFrom": map[string]any{"secretKeyRef": map[string]any{"name": name, "key": "password"}}}},
				"resources":    map[string]any{"requests": map[string]any{"cpu": "100m", "memory": "128Mi"}, "limits": map[string]any{"memory": "1Gi"}},
				"volumeMounts": []any{map[string]any{"name": "scripts", "mountPath": "/scripts", "readOnly": true}},
			}}, "volumes": []any{map[string]any{"name": "scripts", "configMap": map[string]any{"name": name, "defaultMode": 365.0}}}}
		objects = append(objects,
			map[string]any{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta(), "automountServiceAccountToken": false},
			map[string]any{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta(), "rules": []any{map[string]any{"apiGroups": []any{""}, "resources": []any{"pods", "pods/exec"}, "verbs": []any{"get", "create"}}}},
			map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": meta(), "type": "Opaque", "data": map[string]any{"password": "c2VjcmV0IHNlY3JldA==", "id": "MTIzNDU2Nzg5MA=="}},
			map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(), "data": map[string]any{"run.sh": script, "restore.sh": script}},
			map[string]any{"apiVersion": "k8up.io/v1", "kind": "Schedule", "metadata": meta(), "spec": map[string]any{"backup": map[string]any{"schedule": "5 2 * * *", "failedJobsHistoryLimit": 2.0, "successfulJobsHistoryLimit": 2.0}, "backend": map[string]any{"s3": map[string]any{"endpoint": "https://s3.example.org", "bucket": "b"}}}},
			map[string]any{"apiVersion": "k8up.io/v1", "kind": "PreBackupPod", "metadata": meta(), "spec": map[string]any{"backupCommand": "/scripts/dump.sh", "fileExtension": ".dump", "pod": map[string]any{"spec": pod}}},
			map[string]any{"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta(), "spec": map[string]any{"schedule": "7 3 * * *", "concurrencyPolicy": "Forbid", "jobTemplate": map[string]any{"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": name}}, "spec": pod}}}}},
			map[string]any{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta(), "spec": map[string]any{"podSelector": map[string]any{"matchLabels": map[string]any{"app": name}}, "policyTypes": []any{"Egress"}, "egress": []any{map[string]any{"to": []any{map[string]any{"ipBlock": map[string]any{"cidr": "203.0.113.0/24"}}}, "ports": []any{map[string]any{"protocol": "TCP", "port": 443.0}}}}}},
		)
	}
	return objects
}

func TestAppendDocumentsAllocatesLittle(t *testing.T) {
	objects := tenant()
	buffer := make([]byte, 0, 1<<20)
	allocations := testing.AllocsPerRun(5, func() {
		if _, err := AppendDocuments(buffer, objects); err != nil {
			t.Fatal(err)
		}
	})
	if allocations > 8 { // the stack of keys grows a few times
		t.Errorf("%v allocations for 120 objects into a large enough buffer", allocations)
	}
}

func BenchmarkAppendYAML(b *testing.B) {
	objects := tenant()
	data, err := AppendDocuments(nil, objects)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("holdfast", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		var buffer []byte
		for b.Loop() {
			buffer, _ = AppendDocuments(buffer[:0], objects)
		}
	})
	b.Run("sigs", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			for _, object := range objects {
				if _, err := sigs.Marshal(object); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
