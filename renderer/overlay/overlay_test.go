package overlay

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

func overlay(files ...string) Source {
	m := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		m[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return Source{Files: m, Dir: "over", Name: "over"}
}

const object = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\n"

// TestRemote: whatever kustomize would take for a URL or a repository is
// refused, and nothing that is a path.
func TestRemote(t *testing.T) {
	for place, want := range map[string]bool{
		"../base": false, "a.yaml": false, "key=dir/file.txt": false, "/abs/dir": false, "a.git": false, "v1.2/x": false,
		"https://example.com/a.yaml": true, "HTTP://example.com": true, "key=https://example.com/a": true,
		"git@example.com:org/repo": true, "user@host:x": true, "ssh://host/x": true, "file:///srv/repo": true,
		"git::https://x/y": true, "github.com/org/repo": true, "GitHub.com:org/repo": true, "file://x": true,
	} {
		if got := remote(place); got != want {
			t.Errorf("remote(%q) = %v", place, got)
		}
	}
}

// TestNothingIsFetched: each field in which kustomize takes a URL is looked at.
func TestNothingIsFetched(t *testing.T) {
	for _, field := range []string{
		"bases: [URL]", "components: [URL]", "crds: [URL]", "configurations: [URL]", "openapi: {path: URL}",
		"patches: [{path: URL}]", "patchesStrategicMerge: [URL]", "patchesJson6902: [{path: URL, target: {kind: ConfigMap, name: a}}]",
		"replacements: [{path: URL}]", "configMapGenerator: [{name: x, files: [k=URL]}]", "configMapGenerator: [{name: x, envs: [URL]}]",
		"secretGenerator: [{name: x, env: URL}]", "transformers: [x.yaml]", "generators: [x.yaml]", "validators: [x.yaml]",
	} {
		text := "resources: [holdfast]\n" + strings.ReplaceAll(field, "URL", "https://192.0.2.1/x") + "\n"
		_, err := build(overlay("over/kustomization.yaml", text), []byte(object))
		if err == nil || !strings.Contains(err.Error(), "nothing is fetched") && !strings.Contains(err.Error(), "are not run") {
			t.Errorf("%s: %v", field, err)
		}
	}
	// Also in what the overlay refers to, and not in the text of a patch.
	_, err := build(overlay("over/kustomization.yml", "resources: [holdfast, ../base]\n", "base/Kustomization", "resources: [git@example.com:a/b]\n"), []byte(object))
	if err == nil || !strings.Contains(err.Error(), "nothing is fetched") {
		t.Errorf("in a base: %v", err)
	}
	out, err := build(overlay("over/kustomization.yaml", "resources: [holdfast]\npatchesStrategicMerge:\n- |\n  apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a, namespace: b}\n  data: {url: \"https://example.com\"}\n"), []byte(object))
	if err != nil || !strings.Contains(string(out), "https://example.com") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestAllowed: a field is one that is known, by its very letters, and a path is a
// plain one, of something that is there. kustomize takes any letters, and fetches
// what it does not find.
func TestAllowed(t *testing.T) {
	const url = "file:///tmp?ref=--upload-pack%3Dsh+-c+%27id+%3Epwned%27+x"
	for text, want := range map[string]string{
		"Resources: [base]":                                               "the field is written resources",
		"RESOURCES: [holdfast, '" + url + "']":                            "the field is written resources",
		"Components: [base]":                                              "the field is written components",
		"patches: [{Path: base/a.yaml}]":                                  "the field is written path",
		"patchesJson6902: [{PATH: base/a.yaml}]":                          "the field is written path",
		"configMapGenerator: [{name: x, Files: [a]}]":                     "the field is written files",
		"secretGenerator: [{name: x, ENV: a}]":                            "the field is written env",
		"replacements: [{Path: a}]":                                       "the field is written path",
		"openapi: {Path: a}":                                              "",
		"Generators: [a.yaml]":                                            "the field is written generators",
		"generators: []":                                                  "generators are not run",
		"TRANSFORMERS: [a.yaml]":                                          "the field is written transformers",
		"helmCharts: [{name: x, repo: y}]":                                "\"helmCharts\" is not run",
		"helmChartInflationGenerator: []":                                 "is not run",
		"helmGlobals: {chartHome: x}":                                     "is not run",
		"somethingNew: [x]":                                               "unknown field",
		"resources: [missing]":                                            "there is no \"missing\"",
		"resources: ['" + url + "']":                                      "nothing is fetched",
		"resources: ['base?ref=main']":                                    "no plain path",
		"resources: ['/base']":                                            "no plain path",
		"resources: ['--upload-pack=x']":                                  "no plain path",
		"resources: ['~/base']":                                           "no plain path",
		"resources: [\"base\\n\"]":                                        "no plain path",
		"configMapGenerator: [{name: x, files: [k=../secret]}]":           "there is no \"../secret\"",
		"configMapGenerator: [{name: x, envs: [e/f]}]":                    "there is no \"e/f\"",
		"secretGenerator: [{name: x, env: e}]":                            "there is no \"e\"",
		"patchesStrategicMerge: [p.yaml]":                                 "there is no \"p.yaml\"",
		"crds: [c.json]":                                                  "there is no \"c.json\"",
		"configurations: [c.yaml]":                                        "there is no \"c.yaml\"",
		"openapi: {path: s.json}":                                         "there is no \"s.json\"",
		"resources: [base, base/a.yaml, holdfast]":                        "",
		"namePrefix: x\nlabels: [{pairs: {Resources: x}}]":                "",
		"patches: [{patch: '[]', target: {kind: X, labelSelector: a=b}}]": "",
	} {
		err := allow([]byte(text+"\n"), func(place string) bool { return slices.Contains([]string{"base", "base/a.yaml", "holdfast"}, place) })
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, not %q", text, err, want)
		}
	}
}

// TestFailed: of what kustomize says, the first line stays, without what it
// quotes: patches and objects may hold what nobody should read.
func TestFailed(t *testing.T) {
	a := application{source: Source{Dir: "srv/over"}}
	for text, want := range map[string]string{
		"trouble configuring X with config: `\npatch: a secret\n`: no such file": "trouble configuring X: no such file",
		"unable to parse SM or JSON patch from [patch: \"a secret\"]":            "unable to parse SM or JSON patch",
		"found two\n--- a secret":  "found two",
		"/srv/over/a.yaml: broken": "a.yaml: broken",
	} {
		if got := a.failed(errors.New(text)).Message; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	a.source.Dir = "."
	if got, want := a.failed(errors.New("/a.yaml: 'b/c' and '/d'")).Message, "a.yaml: 'b/c' and 'd'"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// crashing is a file system that panics.
type crashing struct{ fs.FS }

func (c crashing) Open(name string) (fs.File, error) {
	if strings.HasSuffix(name, "crash.yaml") {
		panic("a secret text")
	}
	return c.FS.Open(name)
}

// TestCrash: a panic of kustomize is an error, which does not repeat its reason,
// and the next build runs.
func TestCrash(t *testing.T) {
	source := overlay("over/kustomization.yaml", "resources: [holdfast, crash.yaml]\n")
	source.Files = crashing{source.Files}
	if _, err := build(source, []byte(object)); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
	if _, err := build(overlay("over/kustomization.yaml", "resources: [holdfast]\n"), []byte(object)); err != nil {
		t.Error(err)
	}
}

// With a schema of its own, in which a list is merged by the names in it, an
// overlay's patch adds to the list; without, it replaces the list.
func withSchema() Source {
	return overlay("over/kustomization.yaml", patched+"openapi: {path: schema.json}\n", "over/schema.json", `{"definitions": {"v1.Thing": {
  "x-kubernetes-group-version-kind": [{"group": "example.com", "kind": "Thing", "version": "v1"}],
  "type": "object", "properties": {"list": {"type": "array", "x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge",
  "items": {"type": "object", "properties": {"name": {"type": "string"}}}}}}}}`)
}

func withoutSchema() Source { return overlay("over/kustomization.yaml", patched) }

const (
	thing   = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a, namespace: b}\nlist: [{name: one}]\n"
	patched = "resources: [holdfast]\npatches:\n- patch: |\n    apiVersion: example.com/v1\n    kind: Thing\n    metadata: {name: a, namespace: b}\n    list: [{name: two}]\n"
)

// added builds and tells whether the list was added to.
func added(t *testing.T, source Source) bool {
	t.Helper()
	out, err := build(source, []byte(thing))
	if err != nil {
		t.Error(err)
	}
	return strings.Contains(string(out), "one")
}

// TestSchemaIsReset: a schema that one overlay brings is not in force in the
// next build, though kustomize keeps it in a variable.
func TestSchemaIsReset(t *testing.T) {
	if !added(t, withSchema()) {
		t.Error("the schema has no effect")
	}
	if added(t, withoutSchema()) {
		t.Error("the schema of the first overlay is still in force")
	}
}

// TestAtOnce: builds may be asked for at once; one runs after the other, each
// with its own schema.
func TestAtOnce(t *testing.T) {
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 8 {
				if !added(t, withSchema()) {
					t.Error("a build has lost its schema")
				}
			}
		})
		all.Go(func() {
			for range 8 {
				if added(t, withoutSchema()) {
					t.Error("a build has another's schema")
				}
			}
		})
	}
	all.Wait()
}

// TestNothingIsWritten pins what the file system refuses.
func TestNothingIsWritten(t *testing.T) {
	f := &files{disk: fstest.MapFS{"a/b.yaml": {Data: []byte("x")}}, tree: "/a/holdfast", rendered: map[string][]byte{"objects.yaml": nil}}
	_, create := f.Create("/x")
	_, open := f.Open("/a/b.yaml")
	for name, err := range map[string]error{"Create": create, "Open": open, "Mkdir": f.Mkdir("/x"), "MkdirAll": f.MkdirAll("/x"),
		"RemoveAll": f.RemoveAll("/a"), "WriteFile": f.WriteFile("/x", nil), "Walk": f.Walk("/", nil)} {
		if err == nil {
			t.Errorf("%s works", name)
		}
	}
	if names, err := f.ReadDir("/a"); err != nil || !slices.Equal(names, []string{"b.yaml"}) {
		t.Errorf("ReadDir: %v, %v", names, err)
	}
	if found, err := f.Glob("/a/*.yaml"); err != nil || !slices.Equal(found, []string{"/a/b.yaml"}) {
		t.Errorf("Glob: %v, %v", found, err)
	}
}

// TestLogsNothing: what kustomize logs of an overlay reaches no stream, and the log
// of the program is its own again afterwards.
func TestLogsNothing(t *testing.T) {
	var out bytes.Buffer
	defer log.SetOutput(log.Writer())
	log.SetOutput(&out)
	text := "resources: [holdfast]\nvars: [{name: OF-THE-TEST, objref: {apiVersion: v1, kind: ConfigMap, name: a}, fieldref: {fieldPath: metadata.name}}]\n"
	if _, err := build(overlay("over/kustomization.yaml", text), []byte(object)); err != nil {
		t.Fatal(err)
	}
	if out.Len() > 0 {
		t.Errorf("it is logged:\n%s", out.String())
	}
	log.Print("after")
	if !strings.Contains(out.String(), "after") {
		t.Error("the log is lost")
	}
}

// TestUnreadable: what would never end, or grow without end, is refused: a pipe, a
// file that is huge, aliases of aliases.
func TestUnreadable(t *testing.T) {
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 10; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 8), i-1)
	}
	for want, file := range map[string]*fstest.MapFile{
		"/over/x.yaml is no ordinary file of at most 10 MiB": {Mode: fs.ModeNamedPipe},
		"no ordinary file of at most 10 MiB":                 {Data: make([]byte, maxFile+1)},
		"/over/x.yaml: its aliases stand for too much":       {Data: []byte(bomb)},
		"its aliases stand for too much":                     {Data: []byte("- apiVersion: v1\n---\na: b\na: c\n" + bomb)},
	} {
		source := overlay("over/kustomization.yaml", "resources: [holdfast, x.yaml]\n")
		files, ok := source.Files.(fstest.MapFS)
		if !ok {
			t.Fatal("no files")
		}
		files["over/x.yaml"] = file
		if _, err := build(source, []byte(object)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, not %q", err, want)
		}
	}
}
