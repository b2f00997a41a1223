package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

// commandFolder makes a folder with this program under its own name: TestMain
// makes a test binary of that name behave as holdfast.
func commandFolder(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "holdfast")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// kustomization is a folder with an example's inputs and the real kustomize.
type kustomization struct{ dir, kustomize, path string }

func newKustomization(t *testing.T, example string, files map[string]string) kustomization {
	t.Helper()
	k := kustomization{dir: t.TempDir(), kustomize: builtTool(t, "kustomize")}
	k.path = commandFolder(t) + string(os.PathListSeparator) + os.Getenv("PATH")
	if err := copyFolder(k.dir, filepath.Join("..", "..", "examples", example)); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		writeFile(t, filepath.Join(k.dir, name), text)
	}
	return k
}

// build returns what kustomize prints, and its exit status.
func (k kustomization) build(t *testing.T, flags ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.Command(k.kustomize, append([]string{"build", k.dir}, flags...)...)
	cmd.Env = append(os.Environ(), "PATH="+k.path)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	var failed *exec.ExitError
	if e := cmd.Run(); errors.As(e, &failed) {
		status = failed.ExitCode()
	} else if e != nil {
		t.Fatal(e)
	}
	return out.String(), err.String(), status
}

// byID reads a stream of objects.
func objectsByID(t *testing.T, stream string) map[string]map[string]any {
	t.Helper()
	objects, err := yaml.Decode([]byte(stream))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string]any{}
	for _, o := range objects {
		all[manifest.Object{Value: o}.ID()] = o
	}
	return all
}

const generator = `
apiVersion: holdfast.dev/v1
kind: Render
metadata:
  name: it
  annotations:
    config.kubernetes.io/function: |
      exec: {path: holdfast, args: [krm]}
spec:
  states: [runtime-state.json]
  credentials: [.]
`

// TestKustomizeGenerates: kustomize's output are the very objects of render's
// stream, beside what else the kustomization has.
func TestKustomizeGenerates(t *testing.T) {
	for _, example := range []string{"layout-b", "minimal"} {
		t.Run(example, func(t *testing.T) {
			k := newKustomization(t, example, map[string]string{
				"generator.yaml":     generator,
				"kustomization.yaml": "generators: [generator.yaml]\nresources: [own.yaml]\n",
				"own.yaml":           "{apiVersion: v1, kind: ConfigMap, metadata: {name: own, namespace: own}}\n",
			})
			stdout, stderr, status := k.build(t, "--enable-alpha-plugins", "--enable-exec")
			if status != 0 {
				t.Fatalf("status %d, stderr:\n%s", status, stderr)
			}
			var stream, ignored bytes.Buffer
			if status := run([]string{"holdfast", "render", "-s", k.dir, "-c", k.dir}, strings.NewReader(""), &stream, &ignored); status != 0 {
				t.Fatal(ignored.String())
			}
			got, want := objectsByID(t, stdout), objectsByID(t, stream.String())
			if got["ConfigMap/own/own"] == nil || len(got) != len(want)+1 || len(want) < 30 {
				t.Errorf("%d objects, render has %d", len(got), len(want))
			}
			for id := range want {
				if !reflect.DeepEqual(got[id], want[id]) {
					t.Errorf("%s is\n%v\nwant\n%v", id, got[id], want[id])
				}
			}
		})
	}
}

// TestKustomizeFollowsGeneratedNames: with our references a name that kustomize
// generates reaches K8up's objects, and without them it would not.
func TestKustomizeFollowsGeneratedNames(t *testing.T) {
	files := map[string]string{
		"generator.yaml": generator,
		"kustomization.yaml": `
generators: [generator.yaml]
configurations: [references.yaml]
configMapGenerator: [{name: proxy, namespace: shop, literals: [A=b]}]
patches:
- {target: {kind: PreBackupPod}, patch: "- {op: add, path: /spec/pod/spec/containers/0/envFrom/-, value: {configMapRef: {name: proxy}}}"}
- {target: {kind: PodConfig}, patch: "- {op: add, path: /spec/template/spec/containers/0/envFrom, value: [{configMapRef: {name: proxy}}]}"}
- {target: {kind: Schedule}, patch: "- {op: add, path: /spec/backend/envFrom/-, value: {configMapRef: {name: proxy}}}"}
`,
	}
	var references bytes.Buffer
	if status := run([]string{"holdfast", "krm", "--references"}, strings.NewReader(""), &references, &references); status != 0 {
		t.Fatal(references.String())
	}
	for name, text := range map[string]string{"with": references.String(), "without": "nameReference: []\n"} {
		t.Run(name, func(t *testing.T) {
			files["references.yaml"] = text
			stdout, stderr, status := newKustomization(t, "minimal", files).build(t, "--enable-alpha-plugins", "--enable-exec")
			if status != 0 {
				t.Fatalf("status %d, stderr:\n%s", status, stderr)
			}
			followed, left := strings.Count(stdout, "name: proxy-"), strings.Count(stdout, "name: proxy\n")
			// Two PreBackupPods, four PodConfigs, five Schedules, and the object.
			if name == "with" && (followed != 12 || left != 0) || name == "without" && left != 11 {
				t.Errorf("%d references have the new name, %d the old one", followed, left)
			}
		})
	}
}

// TestKustomizeTransforms: as a transformer, what kustomize has already is
// passed on.
func TestKustomizeTransforms(t *testing.T) {
	k := newKustomization(t, "minimal", map[string]string{
		"generator.yaml":     generator,
		"kustomization.yaml": "transformers: [generator.yaml]\nresources: [own.yaml]\n",
		"own.yaml":           "{apiVersion: v1, kind: ConfigMap, metadata: {name: own, namespace: own}, data: {a: b}}\n",
	})
	stdout, stderr, status := k.build(t, "--enable-alpha-plugins", "--enable-exec")
	got := objectsByID(t, stdout)
	if status != 0 || got["ConfigMap/own/own"] == nil || got["Schedule/shop/shop-pg-shop"] == nil {
		t.Errorf("status %d, stderr:\n%s\nstdout:\n%s", status, stderr, stdout)
	}
}

// TestKustomizeShowsProblems: kustomize fails, shows the place, and builds
// nothing.
func TestKustomizeShowsProblems(t *testing.T) {
	k := newKustomization(t, "minimal", map[string]string{"generator.yaml": generator, "kustomization.yaml": "generators: [generator.yaml]\n"})
	state := filepath.Join(k.dir, "runtime-state.json")
	text, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, state, strings.Replace(string(text), `"required"`, `"requird"`, 1))
	stdout, stderr, status := k.build(t, "--enable-alpha-plugins", "--enable-exec")
	if status == 0 || stdout != "" || !strings.Contains(stderr, "runtime-state.json:23:23: /databases/postgresql/0/databases/0/backup: ") {
		t.Errorf("status %d, stdout:\n%s\nstderr:\n%s", status, stdout, stderr)
	}
	if !strings.Contains(stderr, "exit status 1") {
		t.Errorf("the function's own status is not 1:\n%s", stderr)
	}
}
