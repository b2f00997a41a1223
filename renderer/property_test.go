package renderer_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
	"github.com/holdfast-backup/holdfast/renderer/yaml"
	"github.com/holdfast-backup/holdfast/schemas"
)

// rendered is what one example becomes.
type rendered struct {
	files   []manifest.File
	planned []renderer.Planned
	objects []manifest.Object
}

// render renders inputs and reads every manifest back.
func render(t *testing.T, r *renderer.Renderer, in renderer.Inputs, secrets secrets.Mode) rendered {
	t.Helper()
	made, err := r.Render(in, renderer.Options{Secrets: secrets})
	if err != nil {
		t.Fatal(err)
	}
	x := rendered{files: made.Bundle.Files, planned: made.Planned}
	for _, f := range x.files {
		if path.Ext(f.Path) != ".yaml" {
			continue
		}
		values, err := yaml.Decode(f.Data)
		if err != nil {
			t.Fatalf("%s: %v", f.Path, err)
		}
		for _, value := range values {
			x.objects = append(x.objects, manifest.Object{Path: f.Path, Value: value})
		}
	}
	return x
}

// enabled lists the plans of the instances that are backed up.
func (x rendered) enabled() []*plan.Plan {
	var plans []*plan.Plan
	for _, p := range x.planned {
		if p.Plan.Enabled {
			plans = append(plans, p.Plan)
		}
	}
	return plans
}

// eachExample runs a check over every example.
func eachExample(t *testing.T, check func(t *testing.T, r *renderer.Renderer, c examples.Case)) {
	t.Helper()
	all, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 8 {
		t.Fatalf("only %d examples", len(all))
	}
	for _, c := range all {
		t.Run(c.Name, func(t *testing.T) {
			r, err := renderer.New(c.Templates)
			if err != nil {
				t.Fatal(err)
			}
			check(t, r, c)
		})
	}
}

// TestShuffledInputs gives the documents in another order: their keys, and
// their lists of objects, which name their items by key. All manifests stay the
// same, byte by byte. Only plan.json may differ, and only where it points into
// the state: a JSON pointer counts the items of a list, so "covers", and the
// pointers that say where a decision comes from, follow the order on purpose.
func TestShuffledInputs(t *testing.T) {
	t.Parallel()
	eachExample(t, func(t *testing.T, r *renderer.Renderer, c examples.Case) {
		want := render(t, r, c.Inputs, secrets.SOPS)
		for seed := range uint64(4) {
			shuffled := c.Inputs
			random := rand.New(rand.NewPCG(seed, 1))
			shuffled.States = shuffleAll(t, random, c.Inputs.States)
			shuffled.Credentials = shuffleAll(t, random, c.Inputs.Credentials)
			if c.Inputs.Policy != nil {
				shuffled.Policy = &shuffleAll(t, random, []input.Document{*c.Inputs.Policy})[0]
			}
			got := render(t, r, shuffled, secrets.SOPS)
			if !slices.Equal(names(got.files), names(want.files)) {
				t.Fatalf("other files: %v, expected %v", names(got.files), names(want.files))
			}
			for i, f := range got.files {
				if path.Base(f.Path) == "plan.json" {
					if a, b := withoutPointers(t, f.Data), withoutPointers(t, want.files[i].Data); !reflect.DeepEqual(a, b) {
						t.Errorf("seed %d: %s says something else", seed, f.Path)
					}
				} else if !bytes.Equal(f.Data, want.files[i].Data) {
					t.Errorf("seed %d: %s differs from %s", seed, f.Path, firstDifference(f.Data, want.files[i].Data))
				}
			}
		}
	})
}

func names(files []manifest.File) []string {
	list := make([]string, len(files))
	for i, f := range files {
		list[i] = f.Path
	}
	return list
}

func firstDifference(a, b []byte) string {
	x, y := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d: %q, %q", i+1, x[i], y[i])
		}
	}
	return "its end"
}

// withoutPointers reads a plan and drops what points into the state.
func withoutPointers(t *testing.T, data []byte) any {
	t.Helper()
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatal(err)
	}
	var walk func(value any)
	walk = func(value any) {
		switch v := value.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			delete(v, "covers")
			delete(v, "from")
			if excuses, ok := v["excuses"].([]any); ok { // sorted by place
				for _, e := range excuses {
					delete(e.(map[string]any), "place")
				}
				slices.SortFunc(excuses, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(value)
	return value
}

// shuffleAll writes documents anew, and the documents themselves in another
// order.
func shuffleAll(t *testing.T, random *rand.Rand, documents []input.Document) []input.Document {
	t.Helper()
	var shuffled []input.Document
	for _, d := range documents {
		var value any
		decoder := json.NewDecoder(bytes.NewReader(d.Data))
		decoder.UseNumber()
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
		shuffled = append(shuffled, input.Document{Name: d.Name, Data: appendShuffled(nil, random, value)})
	}
	random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	return shuffled
}

// appendShuffled writes a value as JSON, keys and lists of objects in any order.
func appendShuffled(dst []byte, random *rand.Rand, value any) []byte {
	switch v := value.(type) {
	case map[string]any:
		keys := slices.Sorted(maps.Keys(v))
		random.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		dst = append(dst, '{')
		for i, key := range keys {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendShuffled(dst, random, key)
			dst = append(dst, ':')
			dst = appendShuffled(dst, random, v[key])
		}
		return append(dst, '}')
	case []any:
		v = slices.Clone(v)
		if objects := !slices.ContainsFunc(v, func(e any) bool { _, is := e.(map[string]any); return !is }); objects {
			random.Shuffle(len(v), func(i, j int) { v[i], v[j] = v[j], v[i] })
		}
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendShuffled(dst, random, e)
		}
		return append(dst, ']')
	}
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // it was read from JSON
	}
	return append(dst, text...)
}

// digestsFile names, in the environment, the file to which TestDigests writes.
const digestsFile = "HOLDFAST_TEST_DIGESTS"

// digests are the digests of everything that all examples render to.
func digests(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	eachExample(t, func(t *testing.T, r *renderer.Renderer, c examples.Case) {
		for _, f := range render(t, r, c.Inputs, secrets.SOPS).files {
			fmt.Fprintf(&all, "%s/%s %x\n", c.Name, f.Path, sha256.Sum256(f.Data))
		}
	})
	return all.String()
}

// TestDigests renders twice in one process. TestElsewhere runs it in processes
// of other surroundings, and reads what it leaves behind.
func TestDigests(t *testing.T) {
	t.Parallel()
	first := digests(t)
	if file := os.Getenv(digestsFile); file != "" {
		if err := os.WriteFile(file, []byte(first), 0o644); err != nil {
			t.Fatal(err)
		}
		return // the first process has done the rest
	}
	if first == "" || first != digests(t) {
		t.Error("a second run renders something else")
	}
}

// TestElsewhere proves that the surroundings do not matter. Each of them needs
// a process of its own: Go reads zone and processors once, at the start.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	want := digests(t)
	tests := map[string][]string{
		"one processor":  {"GOMAXPROCS=1"},
		"two processors": {"GOMAXPROCS=2"},
		"zone":           {"TZ=Pacific/Chatham", "HOME=/nonexistent"},
		"locale":         {"TZ=America/St_Johns", "LC_ALL=tr_TR.UTF-8", "LANG=de_DE.UTF-8"},
	}
	for name, environment := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "digests")
			run := exec.Command(os.Args[0], "-test.run=^TestDigests$")
			run.Dir = dir
			run.Env = append(append(os.Environ(), environment...), digestsFile+"="+file)
			if out, err := run.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			got, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != want {
				t.Errorf("other bytes, from %s", firstDifference(got, []byte(want)))
			}
		})
	}
}

// TestDocumentNames: where the inputs lie changes nothing, plan.json included.
func TestDocumentNames(t *testing.T) {
	t.Parallel()
	eachExample(t, func(t *testing.T, r *renderer.Renderer, c examples.Case) {
		want := render(t, r, c.Inputs, secrets.SOPS).files
		moved := c.Inputs
		move := func(documents []input.Document) []input.Document {
			documents = slices.Clone(documents)
			for i := range documents {
				documents[i].Name = fmt.Sprintf("somewhere/else %d/%s", i, documents[i].Name)
			}
			return documents
		}
		moved.States, moved.Credentials = move(c.Inputs.States), move(c.Inputs.Credentials)
		if c.Inputs.Policy != nil {
			moved.Policy = &move([]input.Document{*c.Inputs.Policy})[0]
		}
		got := render(t, r, moved, secrets.SOPS).files
		if len(got) != len(want) {
			t.Fatalf("%d files, want %d", len(got), len(want))
		}
		for i := range got {
			if !bytes.Equal(got[i].Data, want[i].Data) {
				t.Errorf("%s: %s", got[i].Path, firstDifference(got[i].Data, want[i].Data))
			}
		}
	})
}

// reference is what an object says about another.
type reference struct{ kind, name, key string }

// references finds every reference to a Secret, a ConfigMap, a PodConfig or a
// ServiceAccount by the field that holds it, wherever that stands.
func references(value any) []reference {
	var found []reference
	name := func(v any, field string) string {
		s, _ := v.(map[string]any)[field].(string)
		return s
	}
	items := func(kind, of string, v any) {
		list, _ := v.(map[string]any)["items"].([]any)
		for _, item := range list {
			found = append(found, reference{kind, of, name(item, "key")})
		}
		found = append(found, reference{kind, of, ""})
	}
	switch v := value.(type) {
	case []any:
		for _, e := range v {
			found = append(found, references(e)...)
		}
	case map[string]any:
		for _, field := range slices.Sorted(maps.Keys(v)) {
			of, isObject := v[field].(map[string]any)
			switch {
			case isObject && (field == "secretKeyRef" || strings.HasSuffix(field, "SecretRef")):
				found = append(found, reference{"Secret", name(of, "name"), name(of, "key")})
			case isObject && field == "configMapKeyRef":
				found = append(found, reference{"ConfigMap", name(of, "name"), name(of, "key")})
			case isObject && field == "configMapRef":
				found = append(found, reference{"ConfigMap", name(of, "name"), ""})
			case isObject && field == "podConfigRef":
				found = append(found, reference{"PodConfig", name(of, "name"), ""})
			case isObject && field == "configMap":
				items("ConfigMap", name(of, "name"), of)
			case isObject && field == "secret":
				items("Secret", name(of, "secretName")+name(of, "name"), of)
			case field == "serviceAccountName":
				found = append(found, reference{"ServiceAccount", name(v, field), ""})
			default:
				found = append(found, references(v[field])...)
			}
		}
	}
	return found
}

// TestEveryReferenceResolves looks each reference up among the objects of the
// tree, Secrets included, and the objects that the state declares.
func TestEveryReferenceResolves(t *testing.T) {
	t.Parallel()
	eachExample(t, func(t *testing.T, r *renderer.Renderer, c examples.Case) {
		x := render(t, r, c.Inputs, secrets.Plain)
		// made holds the keys of each object by kind, namespace and name.
		made := map[string]map[string]any{}
		for _, o := range x.objects {
			keys := map[string]any{}
			for _, field := range []string{"data", "stringData"} {
				data, _ := o.Value[field].(map[string]any)
				maps.Copy(keys, data)
			}
			made[o.ID()] = keys
		}
		declared := map[reference]bool{}
		for _, d := range c.Inputs.States {
			var state any
			if err := json.Unmarshal(d.Data, &state); err != nil {
				t.Fatal(err)
			}
			declare(state, declared)
		}
		count := 0
		for _, o := range x.objects {
			if o.Kind() == "Kustomization" {
				continue // Flux' key for decryption is whoever installs Flux' to bring
			}
			for _, ref := range references(o.Value) {
				count++
				keys, has := made[ref.kind+"/"+o.Namespace()+"/"+ref.name]
				if _, hasKey := keys[ref.key]; has && (ref.key == "" || hasKey) {
					continue
				}
				if !declared[ref] {
					t.Errorf("%s: refers to %s %q, key %q, which nobody makes or declares", o.ID(), ref.kind, ref.name, ref.key)
				}
			}
		}
		if len(x.enabled()) > 0 && count == 0 {
			t.Error("no reference in the whole tree")
		}
	})
}

// declare collects what the state says exists: objects with kind, name, key.
// An ExternalSecret makes a Secret of its name.
func declare(value any, declared map[reference]bool) {
	switch v := value.(type) {
	case []any:
		for _, e := range v {
			declare(e, declared)
		}
	case map[string]any:
		name, _ := v["name"].(string)
		key, _ := v["key"].(string)
		kind, _ := v["kind"].(string)
		if kind == "ExternalSecret" {
			kind = "Secret"
		}
		if kind == "Secret" || kind == "ConfigMap" {
			declared[reference{kind, name, key}] = true
			declared[reference{kind, name, ""}] = true
		}
		for _, e := range v {
			declare(e, declared)
		}
	}
}

// TestNoCredentialOutsideSecrets gives every secret field of the credentials a
// random value and looks for it, also encoded, in all that is rendered.
func TestNoCredentialOutsideSecrets(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 7))
	eachExample(t, func(t *testing.T, r *renderer.Renderer, c examples.Case) {
		in, known := randomCredentials(t, random, c.Inputs)
		plain := render(t, r, in, secrets.Plain)
		used := false
		for _, f := range plain.files {
			for secret := range known {
				if f.Secret {
					used = used || holds(f.Data, secret)
				} else if holds(f.Data, secret) {
					t.Errorf("a secret stands in %s", f.Path)
				}
			}
		}
		if used != (len(plain.enabled()) > 0) {
			t.Errorf("credentials in Secrets: %v", used)
		}
		for _, f := range render(t, r, in, secrets.Omit).files {
			if f.Secret {
				t.Errorf("%s is written, though Secrets are left out", f.Path)
			}
			for secret := range known {
				if holds(f.Data, secret) {
					t.Errorf("a secret stands in %s, though Secrets are left out", f.Path)
				}
			}
		}
		// Each Secret holds the fields that the plan says, and no other.
		for _, p := range plain.planned {
			for _, s := range p.Plan.Secrets {
				at := slices.IndexFunc(plain.objects, func(o manifest.Object) bool {
					return o.ID() == "Secret/"+s.Namespace+"/"+s.Name && o.Path == s.File
				})
				if at < 0 {
					t.Errorf("Secret %s/%s is missing", s.Namespace, s.Name)
					continue
				}
				data, _ := plain.objects[at].Value["stringData"].(map[string]any)
				for _, k := range s.Keys {
					if want, _ := p.Instance.Credentials.Field(k.Field); data[k.Key] != want || want == "" {
						t.Errorf("Secret %s/%s: key %s is not %s", s.Namespace, s.Name, k.Key, k.Field)
					}
				}
				if len(data) != len(s.Keys) {
					t.Errorf("Secret %s/%s has %d keys, expected %d", s.Namespace, s.Name, len(data), len(s.Keys))
				}
			}
		}
	})
}

// randomCredentials gives every secret field of the credentials a random value.
func randomCredentials(t *testing.T, random *rand.Rand, in renderer.Inputs) (renderer.Inputs, map[string]bool) {
	t.Helper()
	fields := secretFields(t)
	if len(fields) < 8 {
		t.Fatalf("the schema marks only %v", fields)
	}
	documents, known := in.Credentials, map[string]bool{}
	in.Credentials = nil
	for _, d := range documents {
		var value map[string]any
		if err := json.Unmarshal(d.Data, &value); err != nil {
			t.Fatal(err)
		}
		for _, field := range fields {
			for _, secret := range replace(random, value, field) {
				known[secret] = true
			}
		}
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		in.Credentials = append(in.Credentials, input.Document{Name: d.Name, Data: data})
	}
	if len(known) < 3 {
		t.Fatalf("only %d known in the credentials", len(known))
	}
	return in, known
}

// holds says whether a text holds a secret, as it is or encoded.
func holds(data []byte, secret string) bool {
	quoted := strings.Trim(strconv.Quote(secret), `"`)
	for _, form := range []string{secret, quoted, url.QueryEscape(secret), hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret))} {
		if bytes.Contains(data, []byte(form)) {
			return true
		}
	}
	return false
}

// secretFields lists the paths that the schema of the credentials marks with
// x-secret.
func secretFields(t *testing.T) [][]string {
	t.Helper()
	data, err := schemas.FS.ReadFile("backup-credentials.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	var fields [][]string
	var walk func(schema map[string]any, at []string)
	walk = func(schema map[string]any, at []string) {
		if schema["x-secret"] == true {
			fields = append(fields, at)
		}
		properties, _ := schema["properties"].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			if below, ok := properties[name].(map[string]any); ok {
				walk(below, append(slices.Clone(at), name))
			}
		}
	}
	walk(schema, nil)
	return fields
}

// replace puts a random value at a path, if there is one, and returns it.
func replace(random *rand.Rand, value map[string]any, path []string) []string {
	for _, name := range path[:len(path)-1] {
		below, ok := value[name].(map[string]any)
		if !ok {
			return nil
		}
		value = below
	}
	last := path[len(path)-1]
	if _, set := value[last]; !set {
		return nil
	}
	if last == "renderKey" {
		key := make([]byte, 32)
		for i := range key {
			key[i] = byte(random.IntN(256))
		}
		value[last] = base64.StdEncoding.EncodeToString(key)
	} else {
		// Letters that mean something to YAML, jsonnet, shells and Flux.
		const alphabet = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789'\"$%{}:#&*!|>`\\~@"
		text := make([]byte, 16+random.IntN(20))
		for i := range text {
			text[i] = alphabet[random.IntN(len(alphabet))]
		}
		value[last] = string(text)
	}
	return []string{value[last].(string)}
}

// TestOneScheduleForEachSource holds the Schedules against the plan: each unit
// of restic's has one, which selects that unit's label and is the only one that
// does.
func TestOneScheduleForEachSource(t *testing.T) {
	t.Parallel()
	eachExample(t, func(t *testing.T, r *renderer.Renderer, c examples.Case) {
		x := render(t, r, c.Inputs, secrets.Omit)
		// selected counts the Schedules that select a label.
		selected, schedules := map[string]int{}, 0
		for _, o := range x.objects {
			backup := dig(o.Value, "spec", "backup")
			if o.Kind() != "Schedule" || backup == nil {
				continue
			}
			schedules++
			selectors, _ := dig(backup, "labelSelectors").([]any)
			if len(selectors) != 1 {
				t.Errorf("%s: %d selectors", o.ID(), len(selectors))
				continue
			}
			chosen, _ := dig(selectors[0], "matchLabels").(map[string]any)
			if len(chosen) != 1 || len(selectors[0].(map[string]any)) != 1 {
				t.Errorf("%s: selects by %v", o.ID(), selectors[0])
			}
			label, _ := chosen["holdfast.dev/unit"].(string)
			selected[o.Namespace()+"/"+label]++
			if label != o.Name() {
				t.Errorf("%s: selects %q", o.ID(), label)
			}
		}
		units := 0
		for _, p := range x.enabled() {
			for _, i := range p.Units {
				if i.Engine != "restic" {
					continue
				}
				units++
				if n := selected[i.Namespace+"/"+i.Name]; n != 1 {
					t.Errorf("unit %s is selected by %d Schedules", i.ID, n)
				}
			}
		}
		if units != schedules {
			t.Errorf("%d Schedules for %d units", schedules, units)
		}
	})
}

// dig walks into nested objects.
func dig(value any, path ...string) any {
	for _, name := range path {
		m, _ := value.(map[string]any)
		value = m[name]
	}
	return value
}

// TestMaintenanceKeepsAway reads the times out of the manifests: within a
// repository no two jobs start in the same minute, and neither a check nor a
// prune starts together with a backup.
func TestMaintenanceKeepsAway(t *testing.T) {
	eachExample(t, func(t *testing.T, r *renderer.Renderer, c examples.Case) {
		x := render(t, r, c.Inputs, secrets.Omit)
		// starts maps repository and minute of the week to who starts then.
		starts, jobs := map[string]string{}, map[string]int{}
		for _, o := range x.objects {
			if o.Kind() != "Schedule" {
				continue
			}
			repository := fmt.Sprint(dig(o.Value, "spec", "backend", "s3", "endpoint"), dig(o.Value, "spec", "backend", "s3", "bucket"))
			for _, job := range []string{"backup", "check", "prune"} {
				text, _ := dig(o.Value, "spec", job, "schedule").(string)
				if text == "" {
					continue
				}
				jobs[job]++
				_, expression, _ := strings.Cut(text, " ")
				for _, minute := range minutesOfWeek(t, expression) {
					at := repository + " " + strconv.Itoa(minute)
					if other, taken := starts[at]; taken {
						t.Errorf("%s %s and %s start in the same minute", job, o.ID(), other)
					}
					starts[at] = job + " " + o.ID()
				}
			}
		}
		for _, p := range x.enabled() {
			if len(p.Repositories) > 0 && (jobs["backup"] == 0 || jobs["check"] < len(p.Repositories) || jobs["prune"] < len(p.Repositories)) {
				t.Errorf("jobs: %v for %d repositories", jobs, len(p.Repositories))
			}
		}
	})
}

// minutesOfWeek reads a cron expression that runs every week, on its own: not
// by the code that planned it.
func minutesOfWeek(t *testing.T, expression string) []int {
	t.Helper()
	fields := strings.Fields(expression)
	if len(fields) != 5 || fields[2] != "*" || fields[3] != "*" {
		t.Fatalf("the schedule %q is not one of every week", expression)
	}
	parse := func(field string, size int) []int {
		var all []int
		for part := range strings.SplitSeq(field, ",") {
			span, step, stepped := strings.Cut(part, "/")
			from, to, ranged := strings.Cut(span, "-")
			low, high, every := 0, size-1, 1
			if span != "*" {
				low = number(t, from)
				if high = low; ranged {
					high = number(t, to)
				}
			}
			if stepped {
				every = number(t, step)
			}
			for n := low; n <= high; n += every {
				all = append(all, n)
			}
		}
		return all
	}
	var all []int
	for _, weekday := range parse(fields[4], 7) {
		for _, hour := range parse(fields[1], 24) {
			for _, minute := range parse(fields[0], 60) {
				all = append(all, (weekday*24+hour)*60+minute)
			}
		}
	}
	return all
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestEverythingIsCovered holds what plan.json says against the schema's list
// of coverable places.
func TestEverythingIsCovered(t *testing.T) {
	t.Parallel()
	eachExample(t, func(t *testing.T, r *renderer.Renderer, c examples.Case) {
		x := render(t, r, c.Inputs, secrets.Omit)
		for _, p := range x.planned {
			if !p.Plan.Enabled {
				if p.Plan.Reason == "" {
					t.Errorf("%s: no backup and no reason", p.Plan.Instance)
				}
				continue
			}
			at := slices.IndexFunc(x.files, func(f manifest.File) bool { return f.Path == p.Plan.Instance+"/plan.json" })
			if at < 0 {
				t.Fatal("no plan.json")
			}
			var written struct {
				Units []struct {
					ID     string   `json:"id"`
					Covers []string `json:"covers"`
				} `json:"units"`
				Exemptions []struct {
					Covers []string `json:"covers"`
					Reason string   `json:"reason"`
				} `json:"exemptions"`
			}
			if err := json.Unmarshal(x.files[at].Data, &written); err != nil {
				t.Fatal(err)
			}
			covered, exempt := map[string]bool{}, map[string]bool{}
			for _, u := range written.Units {
				for _, place := range u.Covers {
					covered[place] = true
				}
			}
			for _, e := range written.Exemptions {
				if strings.TrimSpace(e.Reason) == "" {
					t.Errorf("%v is exempt without a reason", e.Covers)
				}
				for _, place := range e.Covers {
					exempt[place] = true
					if covered[place] {
						t.Errorf("%s is backed up and exempt", place)
					}
				}
			}
			maps.Copy(covered, exempt)
			got, want := slices.Sorted(maps.Keys(covered)), slices.Sorted(slices.Values(p.Instance.State.Coverable))
			if !slices.Equal(got, want) {
				t.Errorf("%s: covered are %v, coverable %v", p.Plan.Instance, got, want)
			}
		}
	})
}

// TestEveryCopyHasItsPlaceAndItsRestore: no two units of a run leave their
// copies in the same place, and each has a request to get them back.
func TestEveryCopyHasItsPlaceAndItsRestore(t *testing.T) {
	t.Parallel()
	eachExample(t, func(t *testing.T, r *renderer.Renderer, c examples.Case) {
		x := render(t, r, c.Inputs, secrets.Omit)
		places := map[string]string{}
		for _, p := range x.enabled() {
			for _, i := range p.Units {
				if len(i.Expected) == 0 {
					t.Errorf("unit %s leaves nothing behind", i.ID)
				}
				for _, e := range i.Expected {
					place := strings.Join([]string{e.Engine, e.Where, e.Host, e.Path}, " ")
					if e.Where == "" || e.Engine == "restic" && (e.Path == "" || e.Host == "" || e.Tag == "") {
						t.Errorf("unit %s: expected snapshot %+v", i.ID, e)
					}
					if other, taken := places[place]; taken {
						t.Errorf("units %s and %s both leave their copy at %s", other, i.ID, place)
					}
					places[place] = i.ID
				}
				restores := slices.ContainsFunc(x.objects, func(o manifest.Object) bool {
					return o.Path == i.RestoreFile && o.Kind() == "Job" && o.Namespace() == i.Namespace
				})
				if !restores {
					t.Errorf("unit %s: %s holds no Job", i.ID, i.RestoreFile)
				}
			}
		}
	})
}

// The first policy of a namespace shuts it for everybody else, so there is none
// where the instance runs nothing; and none admits into a namespace that the
// state does not call closed.
func TestPoliciesStayAtHome(t *testing.T) {
	t.Parallel()
	admitted := 0
	eachExample(t, func(t *testing.T, r *renderer.Renderer, c examples.Case) {
		x := render(t, r, c.Inputs, secrets.Omit)
		home := map[string]bool{}
		for _, p := range x.enabled() {
			for _, unit := range p.Units {
				home[unit.Namespace] = true
			}
		}
		for _, o := range x.objects {
			if kind := o.Value["kind"]; kind != "NetworkPolicy" && kind != "CiliumNetworkPolicy" {
				continue
			}
			if namespace, _ := dig(o.Value, "metadata", "namespace").(string); !home[namespace] {
				t.Errorf("%s: a policy in %s, where the instance runs nothing", o.Path, namespace)
			}
			if selector, _ := dig(o.Value, "spec", "podSelector").(map[string]any); len(selector) == 0 && o.Value["kind"] == "NetworkPolicy" {
				admitted++
			}
		}
	})
	if admitted == 0 {
		t.Error("no example has a namespace that denies ingress: nothing was tested")
	}
}

// What a restore refers to is restored before it.
func TestRolesComeBeforeDatabases(t *testing.T) {
	t.Parallel()
	pairs := 0
	eachExample(t, func(t *testing.T, r *renderer.Renderer, c examples.Case) {
		for _, p := range render(t, r, c.Inputs, secrets.Omit).enabled() {
			for _, roles := range p.Units {
				if roles.Capture.Env["HOLDFAST_MODE"] != "globals" {
					continue
				}
				for _, database := range p.Units {
					if database.Capture.Env["HOLDFAST_MODE"] == "database" {
						pairs++
						if roles.RestoreOrder >= database.RestoreOrder {
							t.Errorf("%s is restored at %d, %s at %d", roles.ID, roles.RestoreOrder, database.ID, database.RestoreOrder)
						}
					}
				}
			}
		}
	})
	if pairs == 0 {
		t.Error("no example has both")
	}
}

// K8up counts ended Backups of a namespace: each source's last must be kept.
func TestEveryLastResultIsKept(t *testing.T) {
	t.Parallel()
	eachExample(t, func(t *testing.T, r *renderer.Renderer, c examples.Case) {
		x := render(t, r, c.Inputs, secrets.Omit)
		sources, limits := map[string]int{}, map[string]float64{}
		for _, o := range x.objects {
			limit, ok := dig(o.Value, "spec", "backup", "failedJobsHistoryLimit").(float64)
			if o.Value["kind"] != "Schedule" || !ok {
				continue
			}
			place, _ := dig(o.Value, "spec", "backend", "s3", "bucket").(string)
			sources[place]++
			if other, seen := limits[place]; seen && other != limit {
				t.Errorf("%s: limits of %v and %v", o.Path, other, limit)
			}
			limits[place] = limit
		}
		for place, count := range sources {
			if limits[place] < float64(max(3, count)) {
				t.Errorf("%s: %d sources, %v results are kept", place, count, limits[place])
			}
		}
	})
}

// TestFluxLimit: every Kustomization of Flux stays small. Flux keeps the list of
// all its objects in one object's status, and one refused object blocks them all.
func TestFluxLimit(t *testing.T) {
	t.Parallel()
	const limit = 1000
	eachExample(t, func(t *testing.T, r *renderer.Renderer, c examples.Case) {
		x := render(t, r, c.Inputs, secrets.Plain)
		count := map[string]int{}
		for _, o := range x.objects {
			stage := strings.Join(strings.SplitN(o.Path, "/", 3)[:2], "/")
			if path.Base(o.Path) != "kustomization.yaml" && path.Base(o.Path) != "flux.yaml" {
				count[stage]++
			}
		}
		for _, p := range x.enabled() {
			for _, stage := range []string{"repository", "backup"} {
				if n := count[p.Instance+"/"+stage]; n == 0 || n >= limit {
					t.Errorf("%s of %s has %d objects", stage, p.Instance, n)
				}
			}
		}
	})
}
