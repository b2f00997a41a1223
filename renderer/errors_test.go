package renderer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/overlay"
	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
	"github.com/holdfast-backup/holdfast/templates"
)

var update = flag.Bool("update", false, "rewrite the expected output of golden/errors")

const errorsFolder = "../golden/errors"

// A case of golden/errors is an archive. Its comment says what is wrong, then
// names the example it starts from ("base: minimal") and, if Secrets are not to
// be in plain text, what becomes of them ("secrets: sops"). Its files are
//
//	state, credentials, policy      edits of the base's document, one each line;
//	                                a policy starts with its schemaVersion alone
//	state 2, credentials 2          the same for a second instance
//	kinds/NAME/FILE                 a file of a kind folder; kinds/widget has
//	                                the files of golden/errors/widget beside it
//	.sops.yaml, certificate.pem     files for the Secrets, the first in the folder
//	                                above the tree, which is called clusters
//	overlay/FILE                    a file of an overlay
//	want                            all problems, as the command line prints them;
//	                                {n} is a number that the case is not about, such
//	                                as how many objects the platform has
//
// and an edit is one of
//
//	POINTER = VALUE      replace the value, or add the member
//	POINTER remove
//	POINTER key "NAME"   rename the key
//	text "OLD" "NEW"     replace the first OLD, both as Go strings
//
// Edits change the text and nothing else, so that places in messages are those
// of the base's own lines.
type errorCase struct {
	name    string
	file    string
	archive *txtar.Archive
	base    string
	secrets secrets.Mode
}

func errorCases(t *testing.T, folder string) []errorCase {
	t.Helper()
	files, err := filepath.Glob(folder + "/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var cases []errorCase
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := errorCase{name: strings.TrimSuffix(filepath.Base(file), ".txtar"), file: file, archive: archive, secrets: secrets.Plain}
		for line := range strings.Lines(string(archive.Comment)) {
			if base, ok := strings.CutPrefix(strings.TrimSpace(line), "base: "); ok {
				c.base = base
			}
			if mode, ok := strings.CutPrefix(strings.TrimSpace(line), "secrets: "); ok {
				if c.secrets, ok = secrets.ParseMode(mode); !ok {
					t.Fatalf("%s: there is no mode %q", file, mode)
				}
			}
		}
		cases = append(cases, c)
	}
	return cases
}

// document reads a document of the base and applies the archive's edits. ok is
// false when there are none.
func (c errorCase) document(t *testing.T, section, file string) (text string, ok bool) {
	t.Helper()
	text = `{"schemaVersion": 1}`
	if file != "" {
		data, err := os.ReadFile(filepath.Join("../examples", c.base, file))
		if err != nil {
			t.Fatal(err)
		}
		text = string(data)
	}
	for _, f := range c.archive.Files {
		if f.Name != section {
			continue
		}
		ok = true
		for line := range strings.Lines(string(f.Data)) {
			if line = strings.TrimSpace(line); line != "" {
				text = edited(t, text, line)
			}
		}
	}
	return text, ok
}

// inputs are the case's documents.
func (c errorCase) inputs(t *testing.T) renderer.Inputs {
	t.Helper()
	var in renderer.Inputs
	state, _ := c.document(t, "state", "runtime-state.json")
	credentials, _ := c.document(t, "credentials", "backup-credentials.json")
	in.States = append(in.States, input.Document{Name: "runtime-state.json", Data: []byte(state)})
	in.Credentials = append(in.Credentials, input.Document{Name: "backup-credentials.json", Data: []byte(credentials), Secret: true})
	if state, ok := c.document(t, "state 2", "runtime-state.json"); ok {
		in.States = append(in.States, input.Document{Name: "2/runtime-state.json", Data: []byte(state)})
	}
	if credentials, ok := c.document(t, "credentials 2", "backup-credentials.json"); ok {
		in.Credentials = append(in.Credentials, input.Document{Name: "2/backup-credentials.json", Data: []byte(credentials), Secret: true})
	}
	if policy, ok := c.document(t, "policy", ""); ok {
		in.Policy = &input.Document{Name: "policy.json", Data: []byte(policy)}
	}
	over := fstest.MapFS{}
	for _, f := range c.archive.Files {
		if strings.HasPrefix(f.Name, "overlay/") {
			over[f.Name] = &fstest.MapFile{Data: f.Data}
			in.Overlay = &overlay.Source{Files: over, Dir: "overlay", Name: "overlay"}
		}
		switch f.Name {
		case ".sops.yaml":
			in.SOPSConfig, in.TreePath = &input.Document{Name: f.Name, Data: f.Data}, "clusters"
		case "certificate.pem":
			in.Certificate = &input.Document{Name: f.Name, Data: f.Data}
		}
	}
	return in
}

// kinds are the case's own kind folders; nil when it has none.
func (c errorCase) kinds(t *testing.T) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	for _, f := range c.archive.Files {
		name, ok := strings.CutPrefix(f.Name, "kinds/")
		if !ok {
			continue
		}
		if strings.HasPrefix(name, "widget/") && len(files) == 0 {
			sound := os.DirFS(filepath.Join(errorsFolder, "widget"))
			entries, err := fs.ReadDir(sound, ".")
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				data, err := fs.ReadFile(sound, entry.Name())
				if err != nil {
					t.Fatal(err)
				}
				files["widget/"+entry.Name()] = &fstest.MapFile{Data: data}
			}
		}
		if len(bytes.TrimSpace(f.Data)) == 0 {
			delete(files, name) // an empty file stands for one that is missing
			continue
		}
		files[path.Clean(name)] = &fstest.MapFile{Data: f.Data}
	}
	if len(files) == 0 {
		return nil
	}
	return files
}

// run renders the case and returns its problems.
func (c errorCase) run(t *testing.T, builtin *renderer.Renderer) problem.List {
	t.Helper()
	r := builtin
	if kinds := c.kinds(t); kinds != nil {
		all, err := kind.Overlay(templates.FS, kinds, "kinds")
		if err != nil {
			t.Fatal(err)
		}
		if r, err = renderer.New(all); err != nil {
			return problems(t, err)
		}
	}
	made, err := r.Render(c.inputs(t), renderer.Options{Secrets: c.secrets})
	if made.Bundle.Files != nil || made.Planned != nil {
		t.Error("there is a tree all the same")
	}
	return problems(t, err)
}

func problems(t *testing.T, err error) problem.List {
	t.Helper()
	var list problem.List
	if !errors.As(err, &list) {
		t.Fatalf("the error is no list of problems: %v", err)
	}
	return list
}

func builtinRenderer(t *testing.T) *renderer.Renderer {
	t.Helper()
	r, err := renderer.New(templates.FS)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// elsewhere lists the rules that no input document and no kind can break, with
// the test that breaks them.
func elsewhere() map[string]string {
	return map[string]string{
		"HF045": "cmd/holdfast TestCredentialsDamaged",
		"HF046": "cmd/holdfast TestCredentialsReadable",
		"HF426": "renderer/manifest TestInspectFiles: paths come from the plan",
		"HF501": "renderer/emit TestWriteTreeRefusals",
		"HF502": "renderer/emit TestWriteTreeRefusals",
		"HF503": "renderer/emit TestWriteTreeRefusals",
		"HF504": "renderer/emit TestWriteTreeRefusals",
		"HF505": "renderer/publish TestVanished",
		"HF506": "renderer/publish TestDirty",
		"HF507": "renderer/publish TestDetached",
		"HF515": "cmd/holdfast TestScript/exposed",
		"HF516": "renderer/publish TestAttributes",
		"HF520": "cmd/holdfast TestWithoutValues",
		"HF600": "renderer/coverage TestListings",
		"HF601": "renderer/coverage TestPlantedGaps",
		"HF602": "renderer/coverage TestPlantedGaps",
		"HF603": "renderer/coverage TestPlantedGaps",
		"HF604": "renderer/coverage TestPlantedGaps",
		"HF610": "renderer/status TestListings",
		"HF611": "renderer/status TestRed",
		"HF612": "renderer/status TestRed",
		"HF613": "renderer/status TestPlanned",
		"HF614": "renderer/status TestRed",
	}
}

// TestErrors: each bad input is answered by exactly the problems that its
// archive lists, and by nothing that is secret.
func TestErrors(t *testing.T) {
	t.Parallel()
	// A renderer is for one case at a time.
	renderers := make(chan *renderer.Renderer, runtime.GOMAXPROCS(0))
	for range cap(renderers) {
		renderers <- builtinRenderer(t)
	}
	var broken sync.Map
	var ran atomic.Int64
	cases := errorCases(t, errorsFolder)
	t.Cleanup(func() { // when all cases are done
		if !t.Failed() && int(ran.Load()) == len(cases) { // else -run left some out
			everyRuleIsBroken(t, &broken)
		}
	})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ran.Add(1)
			r := <-renderers
			defer func() { renderers <- r }()
			for _, p := range c.check(t, r) {
				broken.Store(p.Rule, true)
			}
		})
	}
}

// everyRuleIsBroken checks that each rule is broken, by a case or by the test that
// elsewhere names.
func everyRuleIsBroken(t *testing.T, broken *sync.Map) {
	t.Helper()
	for _, rule := range problem.Rules() {
		_, isBroken := broken.Load(rule.ID)
		where, other := elsewhere()[rule.ID]
		switch {
		case isBroken && other:
			t.Errorf("%s is broken by a case, and yet said to be tested in %s", rule.ID, where)
		case !isBroken && !other:
			t.Errorf("no case of golden/errors breaks %s (%s)", rule.ID, rule.Title)
		}
	}
}

// testExists looks for what elsewhere names: "folder TestName", the name of a
// script after it, and perhaps a remark.
func testExists(t *testing.T, where string) bool {
	t.Helper()
	where, _, _ = strings.Cut(where, ":")
	folder, name, _ := strings.Cut(where, " ")
	name, script, _ := strings.Cut(name, "/")
	files, err := filepath.Glob(filepath.Join("..", folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(text), "\nfunc "+name+"(")
	})
	if script != "" {
		_, err = os.Stat(filepath.Join("..", folder, "testdata", script+".txtar"))
	}
	return found && err == nil
}

func TestElsewhereExists(t *testing.T) {
	t.Parallel()
	for where, want := range map[string]bool{
		"cmd/holdfast TestScript/exposed":      true,
		"renderer/publish TestDirty: a remark": true,
		"cmd/holdfast TestScript/exposd":       false,
		"renderer/publish TestDirt":            false,
		"renderer/publisher TestDirty":         false,
	} {
		if testExists(t, where) != want {
			t.Errorf("%s: not %v", where, want)
		}
	}
	for rule, where := range elsewhere() {
		if !testExists(t, where) {
			t.Errorf("%s is said to be tested in %s, and there is no such test", rule, where)
		}
	}
}

// check renders the case, compares its problems with those that it wants, or
// rewrites these, and returns them.
func (c errorCase) check(t *testing.T, builtin *renderer.Renderer) problem.List {
	t.Helper()
	if c.base == "" {
		t.Fatal(`the comment has no line "base: …"`)
	}
	list := c.run(t, builtin)
	for _, p := range list {
		if _, known := problem.FindRule(p.Rule); !known {
			t.Errorf("%s is no rule", p.Rule)
		}
	}
	got := list.Error() + "\n"
	c.hidesSecrets(t, got)
	c.expect(t, got)
	return list
}

// expect compares the problems with those that the archive lists, or writes them
// into it.
func (c errorCase) expect(t *testing.T, got string) {
	t.Helper()
	at := slices.IndexFunc(c.archive.Files, func(f txtar.File) bool { return f.Name == "want" })
	if *update {
		if at >= 0 && asWanted(string(c.archive.Files[at].Data), got) {
			return
		}
		if at < 0 {
			c.archive.Files, at = append(c.archive.Files, txtar.File{Name: "want"}), len(c.archive.Files)
		}
		c.archive.Files[at].Data = []byte(got)
		if err := os.WriteFile(c.file, txtar.Format(c.archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if at < 0 {
		t.Fatalf("no file want; the problems are\n%s", got)
	}
	if want := string(c.archive.Files[at].Data); !asWanted(want, got) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// asWanted compares problems with a file want, in which {n} is any number.
func asWanted(want, got string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(want), regexp.QuoteMeta("{n}"), "[0-9]+")
	return regexp.MustCompile("^" + pattern + "$").MatchString(got)
}

func TestAsWanted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want, got string
		same      bool
	}{
		{"HF001: a.b\n", "HF001: a.b\n", true},
		{"HF001: a.b\n", "HF001: a-b\n", false},
		{"{n} objects (1 at most)\n", "55 objects (1 at most)\n", true},
		{"{n} objects (1 at most)\n", "55 objects (2 at most)\n", false},
		{"{n} objects\n", "no objects\n", false},
		{"{n} objects\n", "5 objects\nand a second problem\n", false},
		{"", "5\n", false},
	} {
		if asWanted(c.want, c.got) != c.same {
			t.Errorf("want %q, got %q: not %v", c.want, c.got, c.same)
		}
	}
}

// hidesSecrets checks that a text has no value of the case's credentials.
func (c errorCase) hidesSecrets(t *testing.T, text string) {
	t.Helper()
	for _, document := range c.inputs(t).Credentials {
		var value any
		if json.Unmarshal(document.Data, &value) != nil {
			// It is a case about JSON itself: look for the base's values.
			data, err := os.ReadFile(filepath.Join("../examples", c.base, "backup-credentials.json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &value); err != nil {
				t.Fatal(err)
			}
		}
		for _, secret := range secretsOf("", value) {
			if strings.Contains(text, strings.TrimSpace(secret)) {
				t.Errorf("a message holds a credential:\n%s", text)
			}
		}
	}
}

// secretsOf lists the strings of a document of credentials whose key says that
// they are secret. It does not ask the schema: that may forget one.
func secretsOf(key string, value any) []string {
	var found []string
	switch v := value.(type) {
	case string:
		for _, word := range []string{"password", "accesskey", "renderkey", "token"} {
			if strings.Contains(strings.ToLower(key), word) && key != "passwordsAre" && len(v) > 3 {
				return []string{v}
			}
		}
	case []any:
		for _, e := range v {
			found = append(found, secretsOf(key, e)...)
		}
	case map[string]any:
		for name, e := range v {
			found = append(found, secretsOf(name, e)...)
		}
	}
	return found
}

// edited applies one edit to a document.
func edited(t *testing.T, text, edit string) string {
	t.Helper()
	if rest, ok := strings.CutPrefix(edit, "text "); ok {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			t.Fatalf("%s: %v", edit, err)
		}
		old, _ := strconv.Unquote(quoted)
		replacement, err := strconv.Unquote(strings.TrimSpace(rest[len(quoted):]))
		if err != nil {
			t.Fatalf("%s: %v", edit, err)
		}
		if !strings.Contains(text, old) {
			t.Fatalf("%s: there is no such text", edit)
		}
		return strings.Replace(text, old, replacement, 1)
	}
	pointer, operation, _ := strings.Cut(edit, " ")
	word, argument, _ := strings.Cut(operation, " ")
	m, found := locate(text, pointer)
	parent, last := pointer[:strings.LastIndex(pointer, "/")], pointer[strings.LastIndex(pointer, "/")+1:]
	last = strings.NewReplacer("~1", "/", "~0", "~").Replace(last)
	if !found && word != "=" {
		t.Fatalf("%s: there is no %s", edit, pointer)
	}
	switch {
	case word == "=" && found:
		return text[:m.start] + argument + text[m.end:]
	case word == "=":
		m, found = locate(text, parent)
		if !found {
			t.Fatalf("%s: there is no %s", edit, parent)
		}
		inside := strings.TrimSpace(text[m.start+1 : m.end-1])
		if text[m.start] == '[' {
			if inside != "" {
				argument = ", " + argument
			}
			end := len(strings.TrimRight(text[:m.end-1], " \n"))
			return text[:end] + argument + text[end:]
		}
		if inside != "" {
			argument += ","
		}
		return fmt.Sprintf("%s %q: %s%s", text[:m.start+1], last, argument, text[m.start+1:])
	case word == "key":
		return text[:m.key] + argument + text[m.key+len(strconv.Quote(last)):]
	case word == "remove":
		after := strings.TrimLeft(text[m.end:], " \n")
		if rest, ok := strings.CutPrefix(after, ","); ok {
			return text[:m.key] + rest
		}
		return strings.TrimRight(strings.TrimRight(text[:m.key], " \n"), ",") + text[m.end:]
	}
	t.Fatalf("%s: it is no edit", edit)
	return ""
}

// member is where a value stands in a text; key is where its key does.
type member struct{ key, start, end int }

// locate finds the value that a JSON pointer leads to.
func locate(text, pointer string) (member, bool) {
	decoder := json.NewDecoder(strings.NewReader(text))
	skip := func() int {
		at := int(decoder.InputOffset())
		for at < len(text) && strings.ContainsRune(" \n\t:,", rune(text[at])) {
			at++
		}
		return at
	}
	m := member{key: skip()}
	for _, token := range strings.Split(pointer, "/")[1:] {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		open, err := decoder.Token()
		if err != nil || (open != json.Delim('{') && open != json.Delim('[')) {
			return m, false
		}
		for index := 0; ; index++ {
			if !decoder.More() {
				return m, false
			}
			m.key = skip()
			name := strconv.Itoa(index)
			if open == json.Delim('{') {
				key, err := decoder.Token()
				if err != nil {
					return m, false
				}
				name = key.(string)
			}
			if name == token {
				break
			}
			var other json.RawMessage
			if decoder.Decode(&other) != nil {
				return m, false
			}
		}
	}
	m.start = skip()
	var value json.RawMessage
	if decoder.Decode(&value) != nil {
		return m, false
	}
	m.end = int(decoder.InputOffset())
	return m, true
}

// TestExternalRing: a Cassandra ring that nobody here can enter needs no more
// than its address and a reason, and is in the plan by that reason.
func TestExternalRing(t *testing.T) {
	t.Parallel()
	const reason = "the provider keeps snapshots for 14 days"
	c := errorCase{base: "minimal", archive: &txtar.Archive{Files: []txtar.File{{Name: "state", Data: []byte(
		`/databases/cassandra = [{"id": "mail", "mode": "external", "host": "ring.example.com", "port": 9042, "backup": "skip", "reason": "` + reason + `"}]`)}}}}
	r, in := builtinRenderer(t), c.inputs(t)
	planned, err := r.Plan(in)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, e := range planned[0].Plan.Exemptions {
		found = found || e.ID == "cassandra/mail" && e.Reason == reason && slices.Equal(e.Covers, []string{"/databases/cassandra/0"})
	}
	if !found {
		t.Errorf("it is not among %+v", planned[0].Plan.Exemptions)
	}
	if _, err := r.Render(in, renderer.Options{}); err != nil {
		t.Error(err)
	}
}

// TestLeavingOutNeverFailsATemplate: whatever a document leaves out is either
// allowed and renders, or answered by a problem of the inputs. A template that
// fails would speak of itself and not of the document.
func TestLeavingOutNeverFailsATemplate(t *testing.T) {
	t.Parallel()
	r := builtinRenderer(t)
	for _, base := range []string{"minimal", "layout-b"} {
		c := errorCase{archive: &txtar.Archive{}, base: base}
		in := c.inputs(t)
		state := string(in.States[0].Data)
		for _, pointer := range members("", decodeJSON(t, state)) {
			in.States[0].Data = []byte(edited(t, state, pointer+" remove"))
			_, err := r.Plan(in)
			if base == "minimal" { // the other takes long
				_, err = r.Render(in, renderer.Options{})
			}
			var list problem.List
			if err != nil && !errors.As(err, &list) {
				t.Errorf("%s without %s: %v", base, pointer, err)
			}
			for _, p := range list {
				if p.Rule == "HF102" || strings.HasPrefix(p.Rule, "HF4") {
					t.Errorf("%s without %s:\n%s", base, pointer, p)
				}
			}
		}
	}
}

func decodeJSON(t *testing.T, text string) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// members lists the JSON pointers to all members of objects below a value; of
// an array it looks at the first and the last entry.
func members(pointer string, value any) []string {
	var found []string
	switch v := value.(type) {
	case map[string]any:
		for name, e := range v {
			at := pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
			found = append(append(found, at), members(at, e)...)
		}
	case []any:
		for i, e := range v {
			if i == 0 || i == len(v)-1 {
				found = append(found, members(pointer+"/"+strconv.Itoa(i), e)...)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
