package renderer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
	"github.com/holdfast-backup/holdfast/schemas"
)

// Every field of the inputs does something. TestEveryField takes the fields from
// the schemas themselves, so that a new one cannot escape, changes the value of
// each in documents that have all of them (testdata/every), and looks at what
// becomes of it:
//
//	tree     a byte of the rendered tree is another
//	refused  a rule refuses it and names the field
//	plan     nothing but plan.json tells of it: a reason, for example
//	nothing  the schema must say so: "x-unused": why the field is there at all
//
// Of a choice of words each must do something, or the schema says with "x-same"
// why some do the same. What is unused, told only, or the same is listed in
// docs/inputs.md, which go test ./renderer -run TestEveryField -update writes.
//
// A new field needs a value in testdata/every: in runtime-state.json,
// backup-credentials.json, policy.json, or settings.json, which stands for the
// policy and the state's backup block at once. If it only works beside another
// value of a field that is there, it needs an entry in variants.json, which
// holds merge patches (RFC 7396) for the three documents.

// every holds the documents of testdata/every.
const every = "testdata/every"

// The documents of a scene.
const (
	stateFile       = "runtime-state.json"
	credentialsFile = "backup-credentials.json"
	policyFile      = "policy.json"
)

// inputField is one field of a document, as its schema declares it.
type inputField struct {
	document string
	// path leads to it: keys, "-" for an entry of a list, "*" for a value of a
	// map with keys of the user's own.
	path   []string
	schema map[string]any
	// unused and same are why the schema says that it does nothing, or that
	// some of its words do the same.
	unused, same string
	// known are the declared keys beside a last "*".
	known map[string]any
}

// String is how docs/inputs.md names the field.
func (f inputField) String() string {
	return strings.TrimSuffix(f.document, ".json") + " /" + strings.Join(f.path, "/")
}

// schemaFiles are the decoded schemas by file name.
type schemaFiles map[string]map[string]any

func readSchemas(t *testing.T) schemaFiles {
	t.Helper()
	files := schemaFiles{}
	entries, err := schemas.FS.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		data, err := schemas.FS.ReadFile(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		var schema map[string]any
		if err := json.Unmarshal(data, &schema); err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = schema
	}
	return files
}

// resolved is a schema with its references put in their places; what stands
// beside a reference wins. in is the file that it is in.
func (s schemaFiles) resolved(t *testing.T, schema map[string]any, in string) (map[string]any, string) {
	t.Helper()
	ref, ok := schema["$ref"].(string)
	if !ok {
		return schema, in
	}
	name, fragment, _ := strings.Cut(ref, "#")
	if name == "" {
		name = in
	}
	var target any = s[name]
	for _, token := range strings.Split(strings.TrimPrefix(fragment, "/"), "/") {
		object, _ := target.(map[string]any)
		target = object[token]
	}
	object, ok := target.(map[string]any)
	if !ok {
		t.Fatalf("there is no schema %s", ref)
	}
	object, file := s.resolved(t, object, name)
	whole := maps.Clone(object)
	for key, value := range schema {
		if key != "$ref" {
			whole[key] = value
		}
	}
	return whole, file
}

// fields lists the fields below a schema. What an object says of x-unused holds
// for all in it.
func (s schemaFiles) fields(t *testing.T, f inputField, in string) []inputField {
	t.Helper()
	schema, in := s.resolved(t, f.schema, in)
	f.schema = schema
	if unused, ok := schema["x-unused"].(string); ok {
		f.unused = unused
	}
	if same, ok := schema["x-same"].(string); ok {
		f.same = same
	}
	var found []inputField
	below := func(token string, schema any) {
		child, ok := schema.(map[string]any)
		if !ok {
			return
		}
		g := f
		g.path, g.schema, g.known = append(slices.Clone(f.path), token), child, nil
		if token == "*" {
			g.known, _ = f.schema["properties"].(map[string]any)
		}
		found = append(found, s.fields(t, g, in)...)
	}
	properties, _ := schema["properties"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		below(key, properties[key])
	}
	below("*", schema["additionalProperties"])
	below("-", schema["items"])
	if len(found) == 0 {
		return []inputField{f}
	}
	return found
}

// scene is a set of documents that renders without a problem.
type scene struct {
	name      string
	documents map[string]any
	// plan is plan.json's text, view what templates see of it.
	plan  string
	view  map[string]any
	trees map[secrets.Mode]map[string]string
}

// scenes reads testdata/every: one with the settings in the state's backup
// block, one with them in the policy, and the variants.
func scenes(t *testing.T) []*scene {
	t.Helper()
	read := func(name string) map[string]any {
		data, err := os.ReadFile(filepath.Join(every, name))
		if err != nil {
			t.Fatal(err)
		}
		var document map[string]any
		if err := json.Unmarshal(data, &document); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return document
	}
	settings := read("settings.json")
	fresh := func() map[string]any {
		return map[string]any{stateFile: read(stateFile), credentialsFile: read(credentialsFile), policyFile: read(policyFile)}
	}
	inState := fresh()
	inState[stateFile] = merged(inState[stateFile], map[string]any{"backup": settings})
	inPolicy := fresh()
	inPolicy[policyFile] = merged(inPolicy[policyFile], settings)
	all := []*scene{{name: "state", documents: inState}, {name: "policy", documents: inPolicy}}
	variants := read("variants.json")
	for _, name := range slices.Sorted(maps.Keys(variants)) {
		documents := maps.Clone(inState)
		patches, _ := variants[name].(map[string]any)
		for document, patch := range patches {
			file := map[string]string{"state": stateFile, "credentials": credentialsFile, "policy": policyFile}[document]
			if file == "" {
				t.Fatalf("variant %q: there is no document %q", name, document)
			}
			documents[file] = merged(documents[file], patch)
		}
		all = append(all, &scene{name: name, documents: documents})
	}
	return all
}

// merged applies a merge patch (RFC 7396) to a copy.
func merged(value, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, _ := value.(map[string]any)
	result := maps.Clone(object)
	if result == nil {
		result = map[string]any{}
	}
	for key, change := range changes {
		if change == nil {
			delete(result, key)
			continue
		}
		result[key] = merged(result[key], change)
	}
	return result
}

// replaced is a copy of a value with another one at a path.
func replaced(value any, path []string, with any) any {
	if len(path) == 0 {
		return with
	}
	switch v := value.(type) {
	case map[string]any:
		object := maps.Clone(v)
		object[path[0]] = replaced(v[path[0]], path[1:], with)
		return object
	case []any:
		list := slices.Clone(v)
		i, _ := strconv.Atoi(path[0])
		list[i] = replaced(v[i], path[1:], with)
		return list
	}
	return value
}

// occurrences lists where a field stands in a document, with its values.
func occurrences(value any, path []string) (places [][]string, values []any) {
	if len(path) == 0 {
		return [][]string{nil}, []any{value}
	}
	add := func(token string, member any) {
		found, at := occurrences(member, path[1:])
		for n := range found {
			places, values = append(places, append([]string{token}, found[n]...)), append(values, at[n])
		}
	}
	switch v := value.(type) {
	case map[string]any:
		if path[0] == "*" {
			for _, key := range slices.Sorted(maps.Keys(v)) {
				add(key, v[key])
			}
		} else if member, ok := v[path[0]]; ok {
			add(path[0], member)
		}
	case []any:
		if path[0] == "-" {
			for i := range v {
				add(strconv.Itoa(i), v[i])
			}
		}
	}
	return places, values
}

func pointerOf(path []string) string {
	var b strings.Builder
	for _, token := range path {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(token))
	}
	return b.String()
}

func inputsOf(t *testing.T, documents map[string]any) renderer.Inputs {
	t.Helper()
	document := func(name string, secret bool) input.Document {
		data, err := json.MarshalIndent(documents[name], "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		return input.Document{Name: name, Data: data, Secret: secret}
	}
	policy := document(policyFile, false)
	return renderer.Inputs{
		States:      []input.Document{document(stateFile, false)},
		Credentials: []input.Document{document(credentialsFile, true)},
		Policy:      &policy,
	}
}

// treeOf returns the tree of the documents, or their problems.
func treeOf(t *testing.T, r *renderer.Renderer, documents map[string]any, mode secrets.Mode) (map[string]string, problem.List) {
	t.Helper()
	made, err := r.Render(inputsOf(t, documents), renderer.Options{Secrets: mode})
	var list problem.List
	if err != nil && !errors.As(err, &list) {
		t.Fatal(err)
	}
	tree := map[string]string{}
	for _, f := range made.Bundle.Files {
		tree[f.Path] = string(f.Data)
	}
	return tree, list
}

// effect is what a change does.
type effect int

const (
	invalid effect = iota // the schema does not allow the value
	nothing
	told // in plan.json alone
	refused
	inTree
)

// apply changes one value of a scene and says what becomes of it. The second
// result is what a rule said that does not name the field.
//
// A whole render of each change would take minutes. The tree follows from the
// plan and, in Secrets, from the credentials; so a plan that is the same needs
// no render, and of one that is not, only the units that differ are rendered. A
// difference there is one of the tree; where there is none, all is rendered.
func (s *scene) apply(t *testing.T, r *renderer.Renderer, f inputField, place []string, value any) (effect, string) {
	t.Helper()
	documents := maps.Clone(s.documents)
	documents[f.document] = replaced(documents[f.document], place, value)
	whole, view, list := planned(t, r, documents)
	if len(list) > 0 {
		return s.judge(f, place, value, list)
	}
	best := nothing
	if whole != s.plan {
		best = told
	}
	same := reflect.DeepEqual(view, s.view)
	if !same && s.differ(t, r, view) {
		return inTree, ""
	}
	if same && f.document != credentialsFile {
		return best, ""
	}
	modes := []secrets.Mode{secrets.Plain}
	if f.path[0] == "git" || slices.Contains(f.path, "externalSecrets") {
		modes = []secrets.Mode{secrets.External, secrets.SOPS}
	}
	for _, mode := range modes {
		tree, list := treeOf(t, r, documents, mode)
		if len(list) > 0 {
			return s.judge(f, place, value, list)
		}
		base := s.tree(t, r, mode)
		for _, name := range slices.Compact(slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(tree)), slices.Collect(maps.Keys(base))...)))) {
			if tree[name] != base[name] && !strings.HasSuffix(name, "/plan.json") {
				return inTree, ""
			}
		}
	}
	return best, ""
}

// tree is the scene's own tree, made when it is asked for.
func (s *scene) tree(t *testing.T, r *renderer.Renderer, mode secrets.Mode) map[string]string {
	t.Helper()
	if s.trees[mode] == nil {
		tree, list := treeOf(t, r, s.documents, mode)
		if len(list) > 0 {
			t.Fatalf("scene %q, secrets %s:\n%s", s.name, mode, list.Error())
		}
		s.trees[mode] = tree
	}
	return s.trees[mode]
}

// planned returns the plan's text, and what templates see of it.
func planned(t *testing.T, r *renderer.Renderer, documents map[string]any) (string, map[string]any, problem.List) {
	t.Helper()
	found, err := r.Plan(inputsOf(t, documents))
	var list problem.List
	if errors.As(err, &list) {
		return "", nil, list
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(found[0].Plan)
	if err != nil {
		t.Fatal(err)
	}
	view, _ := found[0].Plan.Value().(map[string]any)
	return string(text), view, nil
}

// field and entries read what a template sees.
func field(object any, key string) any {
	values, _ := object.(map[string]any)
	return values[key]
}

func entries(list any) []any {
	values, _ := list.([]any)
	return values
}

// differ renders what differs between a plan and the scene's.
func (s *scene) differ(t *testing.T, r *renderer.Renderer, view map[string]any) bool {
	t.Helper()
	byID := func(view map[string]any) map[string]any {
		units, _ := view["units"].([]any)
		found := map[string]any{}
		for _, unit := range units {
			object, _ := unit.(map[string]any)
			id, _ := object["id"].(string)
			found[id] = unit
		}
		return found
	}
	mine, other := byID(s.view), byID(view)
	small := func(view map[string]any, units map[string]any) any {
		kept, names := []any{}, map[any]bool{"": true}
		for _, id := range slices.Sorted(maps.Keys(units)) {
			if !reflect.DeepEqual(mine[id], other[id]) {
				kept = append(kept, units[id])
				names[field(units[id], "name")] = true
			}
		}
		view = maps.Clone(view)
		view["units"] = kept
		// The preflight tries units by name.
		var preflights []any
		for _, preflight := range entries(view["preflights"]) {
			tries := maps.Clone(preflight.(map[string]any))
			tries["trials"] = slices.DeleteFunc(slices.Clone(entries(tries["trials"])), func(trial any) bool { return !names[field(trial, "item")] })
			preflights = append(preflights, tries)
		}
		view["preflights"] = preflights
		return view
	}
	_, program := r.Parts()
	files := func(plan any) any {
		rendered, err := program.Render(plan)
		if err != nil {
			t.Fatal(err)
		}
		return rendered
	}
	return !reflect.DeepEqual(files(small(s.view, mine)), files(small(view, other)))
}

// judge says what problems mean for the field.
func (s *scene) judge(f inputField, place []string, value any, list problem.List) (effect, string) {
	pointer := pointerOf(place)
	name := ""
	for _, token := range slices.Backward(f.path) {
		if token != "-" && token != "*" {
			name = token
			break
		}
	}
	_, fixed := f.schema["const"]
	words, _ := f.schema["enum"].([]any)
	fixed = fixed || len(words) == 1
	for _, p := range list {
		at := p.File == f.document && (p.Pointer == pointer || strings.HasPrefix(p.Pointer, pointer+"/"))
		formal := slices.Contains([]string{"HF006", "HF008", "HF012", "HF013", "HF023"}, p.Rule)
		switch {
		case at && formal && !fixed:
			return invalid, ""
		case at, strings.Contains(p.Pointer+" "+p.Message+" "+p.Hint, name), strings.Contains(p.Message, fmt.Sprintf("%q", value)):
			return refused, ""
		}
	}
	return refused, list.Error()
}

// otherValues are values that the field could have instead. Those that its
// schema does not allow are found out when they are tried.
func otherValues(f inputField, value any) []any {
	if words, ok := f.schema["enum"].([]any); ok && len(words) > 1 {
		return slices.DeleteFunc(slices.Clone(words), func(w any) bool { return w == value })
	}
	switch v := value.(type) {
	case bool:
		return []any{!v}
	case float64:
		return []any{v + 1, v - 1}
	case nil:
		return otherTexts("other")
	case []any:
		return []any{append(slices.Clone(v), map[string]any{})}
	case string:
		return otherTexts(v)
	}
	return nil
}

// otherTexts are texts near one that has some form: in most forms one of them
// has it, too.
func otherTexts(text string) []any {
	year := regexp.MustCompile(`^[0-9]{4}-`)
	if year.MatchString(text) {
		return []any{"2025" + text[4:], "2099" + text[4:]}
	}
	var texts []any
	if regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`).MatchString(text) {
		texts = append(texts, text+".1", "1.0", "99.0")
	}
	turned := func(i int) {
		c := text[i]
		switch {
		case c >= '1' && c <= '8' || c >= 'a' && c <= 'y' || c >= 'A' && c <= 'Y':
			texts = append(texts, text[:i]+string(c+1)+text[i+1:])
		case c == '9' || c == 'z' || c == 'Z':
			texts = append(texts, text[:i]+string(c-1)+text[i+1:])
		case c == '0':
			texts = append(texts, text[:i]+"1"+text[i+1:])
		}
	}
	texts = append(texts, text+"x")
	for i := len(text) - 1; i >= 0 && len(texts) < 6; i -= max(1, len(text)/5) {
		turned(i)
	}
	turned(0)
	return append(texts, "other-{instance}", "UTC", "https://other.example.org", "docker.io/library/other:1.2", "-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n",
		"age1lvyvwawkr0mcnnnncaghunadrqkmuf9e6507x9y920xxpp866cnql7dp2z", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
}

// TestEveryField: see the top of this file.
func TestEveryField(t *testing.T) {
	t.Parallel()
	r := builtinRenderer(t)
	all := scenes(t)
	for _, s := range all {
		s.trees = map[secrets.Mode]map[string]string{}
		var list problem.List
		if s.plan, s.view, list = planned(t, r, s.documents); len(list) > 0 {
			t.Fatalf("scene %q:\n%s", s.name, list.Error())
		}
	}
	files := readSchemas(t)
	var fields []inputField
	for document, schema := range map[string]string{
		stateFile: "runtime-state.schema.json", credentialsFile: "backup-credentials.schema.json", policyFile: "policy.schema.json",
	} {
		fields = append(fields, files.fields(t, inputField{document: document, schema: files[schema]}, schema)...)
	}
	slices.SortFunc(fields, func(a, b inputField) int { return strings.Compare(a.String(), b.String()) })
	if len(fields) < 300 {
		t.Errorf("only %d fields were found", len(fields))
	}
	var unused, toldOnly, same []string
	for _, f := range fields {
		what, words := f.tried(t, r, all)
		switch {
		case f.unused != "" && what > told:
			t.Errorf("%s: x-unused says %q, but a change of it is seen: take x-unused away", f, f.unused)
		case f.unused != "":
			unused = append(unused, fmt.Sprintf("| `%s` | %s |", f, f.unused))
			continue
		case what == invalid:
			t.Errorf("%s: no other value was found for it: teach otherValues one", f)
		case what == nothing:
			t.Errorf("%s: nothing becomes of it: wire it, take it out of the schema, or say with x-unused why it is there", f)
		case what == told:
			toldOnly = append(toldOnly, "- `"+f.String()+"`")
		}
		switch {
		case len(words) > 0 && f.same == "":
			t.Errorf("%s: %s changes nothing: say why with x-same", f, strings.Join(words, ", "))
		case len(words) > 0:
			same = append(same, fmt.Sprintf("| `%s` | %s | %s |", f, strings.Join(words, ", "), f.same))
		case f.same != "":
			t.Errorf("%s: x-same says %q, but each word does something of its own", f, f.same)
		}
	}
	if t.Failed() {
		return
	}
	documented(t, "unused", "| field | why it is there |\n| --- | --- |\n"+strings.Join(unused, "\n"))
	documented(t, "told", strings.Join(toldOnly, "\n"))
	documented(t, "same", "| field | words | why |\n| --- | --- | --- |\n"+strings.Join(same, "\n"))
}

// tried changes the field wherever it stands and returns the strongest effect,
// and the words of a choice that have none anywhere.
func (f inputField) tried(t *testing.T, r *renderer.Renderer, all []*scene) (effect, []string) {
	t.Helper()
	best, stray, occurs := invalid, "", false
	idle := map[string]bool{}
	words, choice := f.schema["enum"].([]any)
	for _, s := range all {
		if f.document == policyFile && f.path[0] != "retired" && s.name != "policy" {
			continue
		}
		places, values := occurrences(s.documents[f.document], f.path)
		for n, place := range places {
			if f.known[place[len(place)-1]] != nil {
				continue
			}
			occurs = true
			tries := 0
			for _, value := range otherValues(f, values[n]) {
				if tries == 2 && !choice {
					break
				}
				if choice && best >= refused && !idleWord(idle, value) {
					continue
				}
				what, said := s.apply(t, r, f, place, value)
				if said != "" {
					stray = said
					continue
				}
				if choice && what == nothing {
					if _, known := idle[fmt.Sprint(value)]; !known {
						idle[fmt.Sprint(value)] = true
					}
				} else if choice {
					idle[fmt.Sprint(value)] = false
				}
				if what == nothing || what == told {
					tries++
				}
				best = max(best, what)
				if !choice && best >= refused {
					return best, nil
				}
			}
			if len(words) < 2 && best >= refused {
				return best, nil
			}
		}
		// Other occurrences and scenes are looked at only for what is still
		// without effect.
		if best >= refused && (!choice || !slices.Contains(slices.Collect(maps.Values(idle)), true)) {
			break
		}
		if f.unused != "" && occurs && best == nothing || best == told && !choice {
			break
		}
	}
	if !occurs {
		t.Errorf("%s: no document of %s has it", f, every)
	}
	if best <= nothing && stray != "" {
		t.Errorf("%s: refused by what does not name it:\n%s", f, stray)
	}
	var left []string
	for _, word := range slices.Sorted(maps.Keys(idle)) {
		if idle[word] {
			left = append(left, word)
		}
	}
	if best <= nothing {
		left = nil
	}
	return best, left
}

// idleWord says whether a word is not known to do anything yet.
func idleWord(idle map[string]bool, value any) bool {
	still, known := idle[fmt.Sprint(value)]
	return still || !known
}

// documented compares a block of docs/inputs.md, or writes it.
func documented(t *testing.T, block, text string) {
	t.Helper()
	const file = "../docs/inputs.md"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	start, end := "<!-- "+block+" -->\n", "\n<!-- end of "+block+" -->"
	head, rest, found := strings.Cut(string(data), start)
	kept, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no block %q", file, block)
	}
	if *update {
		if err := os.WriteFile(file, []byte(head+start+text+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if kept != text {
		t.Errorf("%s: the block %q is not what the schemas say (run: go test ./renderer -run TestEveryField -update): got\n%s", file, block, text)
	}
}
