package emit

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

func diff(t *testing.T, dir string, b manifest.Bundle) string {
	t.Helper()
	var out bytes.Buffer
	changes, err := Diff(&out, dir, b)
	if err != nil {
		t.Fatal(err)
	}
	compared, err := Compare(dir, b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(changes, compared) {
		t.Errorf("Diff returns %v, Compare %v", changes, compared)
	}
	return out.String()
}

func TestDiff(t *testing.T) {
	t.Parallel()
	lines := func(from, to int) string {
		var b strings.Builder
		for i := from; i <= to; i++ {
			fmt.Fprintf(&b, "l%d: x\n", i)
		}
		return b.String()
	}
	secret := func(pairs ...string) string {
		s := "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n"
		for i := 0; i < len(pairs); i += 2 {
			s += "  " + pairs[i] + ": " + pairs[i+1] + "\n"
		}
		return s
	}
	const head = "--- a/a/x.yaml\n+++ b/a/x.yaml\n"
	tests := map[string]struct {
		name        string // of the file; x.yaml when empty
		before      string // "" when it is new
		after       string // "" when it goes
		want        string
		secretAfter bool
	}{
		"nothing": {before: "a: 1\n", after: "a: 1\n", want: ""},
		"added":   {after: "a: 1\nb: 2\n", want: "--- /dev/null\n+++ b/a/x.yaml\n@@ -0,0 +1,2 @@\n+a: 1\n+b: 2\n"},
		"removed": {before: "a: 1\nb: 2\n", want: "--- a/a/x.yaml\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a: 1\n-b: 2\n"},
		"middle": {before: lines(1, 20), after: strings.Replace(lines(1, 20), "l10: x", "l10: y", 1),
			want: head + "@@ -7,7 +7,7 @@\n l7: x\n l8: x\n l9: x\n-l10: x\n+l10: y\n l11: x\n l12: x\n l13: x\n"},
		"two hunks": {before: lines(1, 20), after: strings.NewReplacer("l2: x\n", "", "l20: x\n", "l20: x\nl21: x\n").Replace(lines(1, 20)),
			want: head + "@@ -1,5 +1,4 @@\n l1: x\n-l2: x\n l3: x\n l4: x\n l5: x\n@@ -18,3 +17,4 @@\n l18: x\n l19: x\n l20: x\n+l21: x\n"},
		"six lines between": {before: lines(1, 8), after: strings.NewReplacer("l1: x", "l1: y", "l8: x", "l8: y").Replace(lines(1, 8)),
			want: head + "@@ -1,8 +1,8 @@\n-l1: x\n+l1: y\n l2: x\n l3: x\n l4: x\n l5: x\n l6: x\n l7: x\n-l8: x\n+l8: y\n"},
		"seven lines between": {before: lines(1, 9), after: strings.NewReplacer("l1: x", "l1: y", "l9: x", "l9: y").Replace(lines(1, 9)),
			want: head + "@@ -1,4 +1,4 @@\n-l1: x\n+l1: y\n l2: x\n l3: x\n l4: x\n@@ -6,4 +6,4 @@\n l6: x\n l7: x\n l8: x\n-l9: x\n+l9: y\n"},
		"no line end": {before: "a: 1", after: "a: 2\n", want: head + "@@ -1 +1 @@\n-a: 1\n\\ No newline at end of file\n+a: 2\n"},
		"secret": {before: secret("a", "hunter2", "b", "same", "c", "gone2"), after: secret("a", "hunter3", "b", "same", "d", "fresh"),
			want: head + "@@ -4,6 +4,6 @@\n metadata:\n   name: s\n stringData:\n-  a: \"(masked)\"\n+  a: \"(masked, changed)\"\n   b: \"(masked)\"\n-  c: \"(masked)\"\n+  d: \"(masked)\"\n"},
		"new secret": {after: secret("a", "hunter2"),
			want: "--- /dev/null\n+++ b/a/x.yaml\n@@ -0,0 +1,7 @@\n+---\n+apiVersion: v1\n+kind: Secret\n+metadata:\n+  name: s\n+stringData:\n+  a: \"(masked)\"\n"},
		"comment in a secret": {before: "# hunter2\n" + secret("a", "b"), after: secret("a", "b"),
			want: head + "# only layout, comments or order differ; values are masked\n"},
		"broken secret":    {before: "kind: Secret\ndata: {a: hunter2\n", after: secret("a", "b"), want: head + "# the content differs; it is not shown, for it may hold a secret\n"},
		"secret in a list": {before: "kind: List\nitems:\n- kind: Secret\n  data: {a: hunter2}\n", after: "kind: List\n", want: head + "# the content differs; it is not shown, for it may hold a secret\n"},
		"misspelled kind": {before: strings.Replace(secret("a", "hunter2"), "Secret", "Secrt", 1), after: secret("a", "hunter3"),
			want: head + "@@ -1,6 +1,6 @@\n ---\n apiVersion: v1\n-kind: Secrt\n+kind: Secret\n metadata:\n   name: s\n stringData:\n"},
		"last applied": {before: strings.Replace(secret("a", "b"), "  name: s\n", "  name: s\n  annotations:\n    kubectl: '{\"a\":\"hunter2\"}'\n", 1), after: secret("a", "b"),
			want: head + "@@ -3,7 +3,5 @@\n kind: Secret\n metadata:\n   name: s\n-  annotations:\n-    kubectl: \"(masked)\"\n stringData:\n   a: \"(masked)\"\n"},
		"misspelled kind, removed": {before: strings.Replace(secret("a", "hunter2"), "Secret", "Secrt", 1),
			want: "--- a/a/x.yaml\n+++ /dev/null\n@@ -1,7 +0,0 @@\n----\n-apiVersion: v1\n-kind: Secrt\n-metadata:\n-  name: s\n-stringData:\n-  a: \"(masked)\"\n"},
		"misspelled fields, removed": {before: "kind: Secrets\nDATA:\n  a: hunter2\n",
			want: "--- a/a/x.yaml\n+++ /dev/null\n@@ -1,4 +0,0 @@\n----\n-kind: Secrets\n-DATA:\n-  a: \"(masked)\"\n"},
		"named as a secret, removed": {name: "secret-x.yaml", before: "kind: Thing\ndatum: hunter2\n",
			want: "--- a/a/secret-x.yaml\n+++ /dev/null\n@@ -1,3 +0,0 @@\n----\n-kind: Thing\n-datum: \"(masked)\"\n"},
		"named as a secret, a reference": {name: "secret-x.yaml", before: "kind: ExternalSecret\nspec: here\n", after: "kind: ExternalSecret\nspec: there\n",
			want: "--- a/a/secret-x.yaml\n+++ b/a/secret-x.yaml\n@@ -1,2 +1,2 @@\n kind: ExternalSecret\n-spec: here\n+spec: there\n"},
		"misspelled in a list":   {before: "kind: List\nitems:\n- kind: Secrt\n  stringData: {a: hunter2}\n", after: "kind: List\n", want: head + "# the content differs; it is not shown, for it may hold a secret\n"},
		"config map":             {before: "kind: ConfigMap\ndata: {a: x}\n", after: "kind: ConfigMap\ndata: {a: y}\n", want: head + "@@ -1,2 +1,2 @@\n kind: ConfigMap\n-data: {a: x}\n+data: {a: y}\n"},
		"script":                 {name: "x.sh", before: "a\n", after: "b\n", want: "--- a/a/x.sh\n+++ b/a/x.sh\n@@ -1 +1 @@\n-a\n+b\n"},
		"secret of another kind": {name: "x.env", before: "A=hunter2\n", after: "A=hunter3\n", secretAfter: true, want: "--- a/a/x.env\n+++ b/a/x.env\n# the content differs; it is not shown, for it may hold a secret\n"},
		"not text":               {name: "x.bin", before: "a\x00", after: "b\n", want: "--- a/a/x.bin\n+++ b/a/x.bin\n# the content differs; it is not shown, for it may hold a secret\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := tt.name
			if file == "" {
				file = "x.yaml"
			}
			with := func(content string, secret bool) manifest.Bundle {
				b := bundle("a/always", "here")
				if content != "" {
					b.Files = append(b.Files, manifest.File{Path: "a/" + file, Data: []byte(content), Secret: secret})
				}
				return b
			}
			mustWrite(t, dir, with(tt.before, tt.secretAfter), TreeOptions{})
			got := diff(t, dir, with(tt.after, tt.secretAfter))
			// The inventory's own difference is checked once, below.
			if i := strings.Index(got, "a/"+file); i >= 0 && strings.Contains(got[:i], InventoryName) {
				got = got[strings.LastIndex(got[:i], "--- "):]
			}
			if got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			if strings.Contains(got, "hunter") {
				t.Error("a secret is shown")
			}
		})
	}
}

func TestDiffInventoryAndMode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustWrite(t, dir, bundle("a/secret.yaml", "kind: Secret\ndata: {a: hunter2}\n"), TreeOptions{})
	if err := os.Chmod(filepath.Join(dir, "a/secret.yaml"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, dir)
	got := diff(t, dir, bundle("a/secret.yaml", "kind: Secret\ndata: {a: hunter2}\n", "a/x.sh", "x\n"))
	want := "--- a/a/.holdfast-inventory\n+++ b/a/.holdfast-inventory\n@@ -1,2 +1,3 @@\n " + inventoryComment + "\n secret.yaml\n+x.sh\n" +
		"--- a/a/secret.yaml\n+++ b/a/secret.yaml\n# only the mode differs: others can read this secret\n" +
		"--- /dev/null\n+++ b/a/x.sh\n@@ -0,0 +1 @@\n+x\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	sameMaps(t, "tree", snapshot(t, dir), before)
}

// TestDiffNeverShowsSecrets hides random values in both versions of Secrets, in
// every place where people and kubectl put them, and looks for them.
func TestDiffNeverShowsSecrets(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7))
	var values []string // all secret values of one round
	value := func() string {
		const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!$%&/()=?+#-_.:,;<>{}[]'\"\\ \n\tü"
		runes := []rune(alphabet)
		s := make([]rune, 9+r.IntN(30))
		for i := range s {
			s[i] = runes[r.IntN(len(runes))]
		}
		values = append(values, string(s))
		return string(s)
	}
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	entries := func(encode bool) map[string]any {
		m := map[string]any{}
		for range r.IntN(4) {
			v := value()
			if encode {
				v = base64.StdEncoding.EncodeToString([]byte(v))
				values = append(values, v)
			}
			m[pick("password", "key", "token", "id")] = v
		}
		if r.IntN(8) == 0 {
			m["nested"] = map[string]any{"deep": []any{value()}}
		}
		return m
	}
	object := func() map[string]any {
		o := map[string]any{"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
			"metadata": map[string]any{"name": pick("one", "two"), "namespace": "ns", "labels": map[string]any{"a": "b"}}}
		if r.IntN(3) > 0 {
			o["data"] = entries(true)
		}
		if r.IntN(3) > 0 {
			o["stringData"] = entries(false)
		}
		switch r.IntN(10) {
		case 0:
			o["data"] = value() // not even a map
		case 1:
			o["Data"] = entries(false)
		case 2:
			o["metadata"].(map[string]any)["annotations"] = map[string]any{"kubectl.kubernetes.io/last-applied-configuration": fmt.Sprintf(`{"data":%q}`, value())}
		case 3:
			o["kind"] = pick("Secrt", "ConfigMap")
		case 4:
			o["metadata"] = value()
		}
		return o
	}
	file := func() string {
		objects := []map[string]any{object()}
		if r.IntN(3) == 0 {
			objects = append(objects, object())
		}
		if r.IntN(12) == 0 {
			objects = []map[string]any{{"kind": pick("List", "SecretList"), "items": []any{object()}}}
		}
		data, err := yaml.AppendDocuments(nil, objects)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		switch r.IntN(10) {
		case 0:
			text = "# " + strings.ReplaceAll(value(), "\n", " ") + "\n" + text
		case 1:
			text = text[:r.IntN(len(text))] // cut off
		case 2:
			text = strings.Replace(text, "a", "\t", 1)
		case 3:
			text += "stringData:\n  again: " + value() + "\n"
		}
		return text
	}
	shown := 0
	for round := range 3000 {
		values = values[:0]
		before, after := version{data: []byte(file()), exists: r.IntN(6) > 0}, version{data: []byte(file()), exists: true, secret: true}
		if !before.exists {
			before.data = nil
		}
		name := pick("x.yaml", "x.json", "x.yml")
		if r.IntN(6) == 0 {
			before, after = after, version{}
			before.secret = false
			if !strings.Contains(string(before.data), "kind: Secret\n") {
				name = "secret-" + name // nothing else may tell that it was one
			}
		}
		out := string(appendDiff(nil, "a/"+name, before, after))
		if strings.Contains(out, maskedValue) {
			shown++
		}
		for _, v := range values {
			for _, line := range append(strings.Split(v, "\n"), v) {
				if len(line) >= 6 && strings.Contains(out, line) {
					t.Fatalf("round %d: %q of %q is in\n%s", round, line, v, out)
				}
			}
		}
	}
	if shown < 1000 {
		t.Errorf("only %d rounds show anything", shown)
	}
}

// TestDiffReadsNoHugeFiles: what lies in a tree may be of any size. The files are
// sparse, and reading them would need all their bytes.
func TestDiffReadsNoHugeFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustWrite(t, dir, bundle("a/plan.json", "{}", "a/gone.yaml", "a: 1", "a/small.yaml", "a: 1"), TreeOptions{})
	const huge = 1 << 40
	for _, name := range []string{"a/plan.json", "a/gone.yaml"} {
		if err := os.Truncate(filepath.Join(dir, name), huge); err != nil {
			t.Fatal("this test needs a folder for temporary files (TMPDIR) that takes sparse files of 1 TiB: ", err)
		}
	}
	got := diff(t, dir, bundle("a/plan.json", "{}", "a/small.yaml", "a: 1"))
	for _, want := range []string{
		"--- a/a/plan.json\n+++ b/a/plan.json\n# it has 1099511627776 bytes and is not shown: that is more than Holdfast would write\n",
		"--- a/a/gone.yaml\n+++ /dev/null\n# it has 1099511627776 bytes and is not shown: that is more than Holdfast would write\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwithout\n%s", got, want)
		}
	}
	if err := os.Truncate(filepath.Join(dir, "a", InventoryName), huge); err != nil {
		t.Fatal(err)
	}
	_, err := Compare(dir, bundle("a/plan.json", "{}"))
	if got := rules(t, err); !reflect.DeepEqual(got, []string{"HF504 a/" + InventoryName}) || !strings.Contains(err.Error(), "more than 4194304 bytes") {
		t.Errorf("problems %q", got)
	}
	if err := os.Truncate(filepath.Join(dir, "a", InventoryName), 0); err != nil {
		t.Fatal(err)
	}
	// A large file that a large one replaces is compared.
	large := strings.Repeat("a line\n", maxRead/6)
	put(t, dir, "a/large.txt", large+"old\n")
	if got := diff(t, dir, bundle("a/large.txt", large+"new\n")); !strings.Contains(got, "-old\n+new\n") {
		t.Error("a large file is not shown")
	}
}

// TestDiffMarksWhatChanged: the reader must see which key it is.
func TestDiffMarksWhatChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	doc := func(a, b string) string {
		return fmt.Sprintf("---\nkind: Secret\nmetadata: {name: one}\ndata: {k: %s}\n---\nkind: Secret\nmetadata: {name: two}\ndata: {k: %s}\n", a, b)
	}
	mustWrite(t, dir, bundle("a/secret.yaml", doc("b25l", "dHdv")), TreeOptions{})
	got := diff(t, dir, bundle("a/secret.yaml", doc("b25l", "dGhyZWU=")))
	want := "--- a/a/secret.yaml\n+++ b/a/secret.yaml\n@@ -9,4 +9,4 @@\n metadata:\n   name: two\n data:\n-  k: \"(masked)\"\n+  k: \"(masked, changed)\"\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestUnifiedAppliesToOld checks random scripts: applied to the old text
// they give the new one, and they are no longer than needed.
func TestUnifiedAppliesToOld(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 5))
	for range 3000 {
		text := func() []string {
			lines := make([]string, r.IntN(30))
			for i := range lines {
				lines[i] = fmt.Sprintf("%d\n", r.IntN(6))
			}
			return lines
		}
		a, b := text(), text()
		script := edits(a, b)
		var old, new []string
		equal := 0
		for _, e := range script {
			if e.sign != '+' {
				old = append(old, e.text)
			}
			if e.sign != '-' {
				new = append(new, e.text)
			}
			if e.sign == ' ' {
				equal++
			}
		}
		if strings.Join(old, "") != strings.Join(a, "") || strings.Join(new, "") != strings.Join(b, "") {
			t.Fatalf("the script of %q and %q is %q", a, b, script)
		}
		if want := commonLength(a, b); equal != want {
			t.Fatalf("the script of %q and %q keeps %d lines, want %d", a, b, equal, want)
		}
	}
}

// commonLength is the length of the longest common subsequence, the slow way.
func commonLength(a, b []string) int {
	previous := make([]int, len(b)+1)
	for i := range a {
		current := make([]int, len(b)+1)
		for j := range b {
			current[j+1] = max(current[j], previous[j+1])
			if a[i] == b[j] {
				current[j+1] = previous[j] + 1
			}
		}
		previous = current
	}
	return previous[len(b)]
}

func TestEditsOfVeryDifferentTexts(t *testing.T) {
	t.Parallel()
	a, b := make([]string, 3000), make([]string, 3000)
	for i := range a {
		a[i], b[i] = fmt.Sprintf("a%d\n", i), fmt.Sprintf("b%d\n", i)
	}
	if got := len(edits(a, b)); got != 6000 {
		t.Errorf("%d edits, want 6000", got)
	}
}

// TestUnifiedIsReadByGit lets a real tool apply the hunks, where there is one.
func TestUnifiedIsReadByGit(t *testing.T) {
	t.Parallel()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Log("git is not installed; TestUnifiedAppliesToOld checks the same by hand")
		return
	}
	r := rand.New(rand.NewPCG(9, 9))
	dir := t.TempDir()
	var patch []byte
	want := map[string]string{}
	for i := range 60 {
		var a, b strings.Builder
		for line := range 5 + r.IntN(60) {
			keep := fmt.Sprintf("line %d\n", line)
			if r.IntN(8) != 0 {
				a.WriteString(keep)
			}
			if r.IntN(8) != 0 {
				b.WriteString(keep)
			}
		}
		before, after := a.String(), b.String()
		if r.IntN(3) == 0 {
			before = strings.TrimSuffix(before, "\n")
		}
		if r.IntN(3) == 0 {
			after = strings.TrimSuffix(after, "\n")
		}
		name := fmt.Sprintf("f%d.txt", i)
		put(t, dir, name, before)
		want[name] = after
		if before != after {
			patch = append(patch, fmt.Sprintf("--- a/%s\n+++ b/%s\n", name, name)...)
			patch = unified(patch, before, after)
		}
	}
	cmd := exec.Command(git, "apply", "-")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(patch)
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git apply: %v\n%s", err, out)
	}
	sameMaps(t, "patched", contents(t, dir), want)
}
