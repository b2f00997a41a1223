package renderer_test

import (
	"context"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

// podSpec is the pod that an object causes; nil for one that causes none, and for a
// PodConfig, whose container is K8up's.
func podSpec(o manifest.Object) map[string]any {
	places := map[string][]string{
		"PreBackupPod": {"spec", "pod", "spec"},
		"Job":          {"spec", "template", "spec"},
		"CronJob":      {"spec", "jobTemplate", "spec", "template", "spec"},
	}
	if place := places[o.Kind()]; place != nil {
		spec, _ := dig(o.Value, place...).(map[string]any)
		return spec
	}
	return nil
}

// listed are the entries of a list that are objects.
func listed(value any) []map[string]any {
	entries, _ := value.([]any)
	var out []map[string]any
	for _, entry := range entries {
		if object, ok := entry.(map[string]any); ok {
			out = append(out, object)
		}
	}
	return out
}

// containersOf are all containers of a pod.
func containersOf(spec map[string]any) []map[string]any {
	return append(listed(spec["initContainers"]), listed(spec["containers"])...)
}

// fromSecrets are the variables of a container that come from Secrets, sorted.
func fromSecrets(container map[string]any) []string {
	var names []string
	for _, e := range listed(container["env"]) {
		if dig(e, "valueFrom", "secretKeyRef") != nil {
			names = append(names, e["name"].(string))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TestEverySecretIsMasked: each container of each tree, of kinds of the user's own,
// too, tells its scripts exactly the variables that come from Secrets.
func TestEverySecretIsMasked(t *testing.T) {
	t.Parallel()
	total := 0
	eachExample(t, func(t *testing.T, r *renderer.Renderer, c examples.Case) {
		for _, o := range render(t, r, c.Inputs, secrets.Omit).objects {
			for _, container := range containersOf(podSpec(o)) {
				var told []string
				for _, e := range listed(container["env"]) {
					if e["name"] == "HOLDFAST_SECRETS" {
						text, _ := e["value"].(string)
						told = strings.Split(text, " ")
					}
				}
				want := fromSecrets(container)
				total += len(want)
				if !slices.Equal(told, want) {
					t.Errorf("%s, container %s: HOLDFAST_SECRETS is %q, and these come from Secrets: %q", o.ID(), container["name"], told, want)
				}
			}
		}
	})
	if total < 100 {
		t.Errorf("only %d variables were looked at", total)
	}
}

// blabber stands for every client: it says its version, obscures like rclone, and
// fails for all else with a message that holds its whole environment.
const blabber = `#!/bin/sh
case " $* " in
  *" version "* | *" --version "* | *" -V "* | *" -VV "*) echo "version 99.9.9"; exit 0 ;;
  *" job/batch "*) exit 0 ;;
  *" obscure "*) read -r word; echo "obscured-not-for-$((${#word}))-eyes"; exit 0 ;;
esac
env | grep -e not-for >&2
exit 1
`

// TestNoKindPrintsItsPassword runs the scripts of each kind, of one of the user's own,
// too, in the environment of their rendered containers, with clients that fail and
// print their passwords: what reaches the log has *** in their place.
func TestNoKindPrintsItsPassword(t *testing.T) {
	if testing.Short() {
		t.Skip("-short leaves out what runs every script of an example")
	}
	t.Parallel()
	masked := map[string]bool{}
	eachExample(t, func(t *testing.T, r *renderer.Renderer, c examples.Case) {
		switch c.Name {
		case "layout-b", "custom-kind":
		default:
			return
		}
		x := render(t, r, c.Inputs, secrets.Omit)
		kinds, maps := map[string]string{}, map[string]map[string]any{}
		for _, p := range x.enabled() {
			for _, item := range p.Units {
				kinds[item.Name], kinds[item.Restore] = item.Kind, item.Kind
			}
		}
		for _, o := range x.objects {
			if o.Kind() == "ConfigMap" {
				maps[o.Namespace()+"/"+o.Name()], _ = o.Value["data"].(map[string]any)
			}
		}
		seen := map[string]bool{}
		for _, o := range x.objects {
			spec := podSpec(o)
			for _, container := range containersOf(spec) {
				for _, command := range scriptsRun(o, container) {
					kind := kinds[o.Name()]
					// One of each is enough.
					key := kind + " " + strings.Join(command, " ") + " " + strings.Join(fromSecrets(container), " ")
					if len(fromSecrets(container)) == 0 || seen[key] {
						continue
					}
					seen[key] = true
					said := runIn(t, o, spec, container, command, maps)
					if strings.Contains(said, "not-for") {
						t.Errorf("%s, %s prints a secret:\n%s", o.ID(), command, said)
					}
					if strings.Contains(said, "***") {
						masked[kind] = true
					}
				}
			}
		}
	})
	for _, kind := range []string{"bucket", "mariadb", "postgresql", "redis"} {
		if !masked[kind] {
			t.Errorf("no script of %s repeated what its client says: the test shows nothing", kind)
		}
	}
}

// TestPreflightMasksAll: what a preflight says outside of its checks is masked, too.
func TestPreflightMasksAll(t *testing.T) {
	if testing.Short() {
		t.Skip("-short leaves out what runs every script of an example")
	}
	t.Parallel()
	tried := 0
	eachExample(t, func(t *testing.T, r *renderer.Renderer, c examples.Case) {
		if c.Name != "layout-b" {
			return
		}
		x := render(t, r, c.Inputs, secrets.Omit)
		maps := map[string]map[string]any{}
		for _, o := range x.objects {
			if o.Kind() != "ConfigMap" {
				continue
			}
			data, _ := o.Value["data"].(map[string]any)
			if own, ok := data["preflight.sh"].(string); ok && !strings.Contains(own, "tools|cluster|unit|report") {
				changed := map[string]any{}
				for name, text := range data {
					changed[name] = text
				}
				data = changed
				data["preflight.sh"] = "#!/bin/sh\nenv >&2\nexit 1\n"
			}
			maps[o.Namespace()+"/"+o.Name()] = data
		}
		for _, o := range x.objects {
			spec := podSpec(o)
			for _, container := range containersOf(spec) {
				for _, command := range scriptsRun(o, container) {
					if path.Base(command[0]) != "preflight.sh" || command[1] != "unit" || len(fromSecrets(container)) == 0 || tried == 3 {
						continue
					}
					tried++
					said := runIn(t, o, spec, container, command, maps)
					if strings.Contains(said, "not-for") || !strings.Contains(said, "***") {
						t.Errorf("%s, %s prints a secret, or nothing:\n%s", o.ID(), command, said)
					}
				}
			}
		}
	})
	if tried == 0 {
		t.Error("no preflight has a secret")
	}
}

// scriptsRun are the scripts that run in a container; what guard.sh runs under a
// lock runs without it here.
func scriptsRun(o manifest.Object, container map[string]any) [][]string {
	var words []string
	list, _ := container["command"].([]any)
	for _, word := range list {
		words = append(words, word.(string))
	}
	if o.Kind() == "PreBackupPod" {
		words = []string{dig(o.Value, "spec", "backupCommand").(string)}
	}
	if path.Base(words[0]) == "guard.sh" {
		return [][]string{words, words[1:]}
	}
	return [][]string{words}
}

// runIn runs a command of a container below a folder of the test, and returns what it
// said. Each secret is a text that says for whom it is not.
func runIn(t *testing.T, o manifest.Object, spec, container map[string]any, command []string, maps map[string]map[string]any) string {
	t.Helper()
	root := t.TempDir()
	write := func(file, text string) {
		t.Helper()
		file = filepath.Join(root, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	inside := func(place string) string { return strings.Replace(place, "/holdfast", root, 1) }
	for _, mount := range listed(container["volumeMounts"]) {
		for _, volume := range listed(spec["volumes"]) {
			name, _ := dig(volume, "configMap", "name").(string)
			if volume["name"] != mount["name"] || name == "" {
				continue
			}
			for key, text := range maps[o.Namespace()+"/"+name] {
				write(strings.TrimPrefix(mount["mountPath"].(string), "/holdfast")+"/"+key, text.(string))
			}
		}
	}
	for _, tool := range []string{
		"curl", "kubectl", "ldapadd", "ldapmodify", "ldapsearch", "mariadb", "mariadb-dump", "pg_dump", "pg_dumpall", "pg_restore", "psql",
		"rclone", "redis-cli", "redis-server", "restic",
	} {
		write("clients/"+tool, blabber)
	}
	write("clients/sleep", "#!/bin/sh\n")
	write("tools/kubectl", blabber) // the preflight's copy
	for _, folder := range []string{"scratch", "findings"} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{}
	for _, from := range listed(container["envFrom"]) {
		name, _ := dig(from, "configMapRef", "name").(string)
		for key, text := range maps[o.Namespace()+"/"+name] {
			env[key] = inside(text.(string))
		}
	}
	for _, e := range listed(container["env"]) {
		name := e["name"].(string)
		if value, ok := e["value"].(string); ok {
			env[name] = inside(strings.NewReplacer("$(", "", ")", "").Replace(value))
		} else if dig(e, "valueFrom", "secretKeyRef") != nil {
			env[name] = "not-for-" + name + "-eyes"
		} else {
			env[name] = "field"
		}
	}
	env["PATH"], env["HOLDFAST_ROOT"] = filepath.Join(root, "clients")+":"+os.Getenv("PATH"), root
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	run := exec.CommandContext(ctx, "sh", append([]string{inside(command[0])}, command[1:]...)...)
	for n := range run.Args[2:] {
		run.Args[n+2] = inside(run.Args[n+2])
	}
	for name, value := range env {
		run.Env = append(run.Env, name+"="+value)
	}
	said, _ := run.CombinedOutput() // it fails, as it is meant to
	findings, _ := filepath.Glob(filepath.Join(root, "findings", "*"))
	for _, file := range findings {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		said = append(said, text...)
	}
	return string(said)
}
