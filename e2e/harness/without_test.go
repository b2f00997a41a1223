package harness

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/image"
)

// everything is an instance with a source of every kind, that of examples/custom-kind
// among them.
func everything(t *testing.T, change func(state map[string]any)) *Instance {
	t.Helper()
	document := func(example, name string) map[string]any {
		data, err := os.ReadFile(filepath.Join("..", "..", "examples", example, name))
		if err != nil {
			t.Fatal(err)
		}
		var document map[string]any
		if err := json.Unmarshal(data, &document); err != nil {
			t.Fatal(err)
		}
		return document
	}
	state := document("layout-b", "runtime-state.json")
	state["caches"] = document("custom-kind", "runtime-state.json")["caches"]
	change(state)
	return Render(t, Inputs{State: state, Credentials: document("layout-b", "backup-credentials.json")})
}

// starters are one container for each script and image of the instance: how to
// start it without what surrounds it.
func starters(i *Instance) map[string]*pod {
	found := map[string]*pod{}
	add := func(p pod, spec map[string]any, argv []string) {
		for _, c := range append(list(spec, "initContainers"), list(spec, "containers")...) {
			p := p
			p.spec = spec
			p.find(text(c, "name"))
			if argv != nil {
				p.argv = argv
			}
			folder := ""
			for _, v := range list(spec, "volumes") {
				if text(v, "name") == "scripts" {
					folder = text(v, "configMap", "name")
				}
			}
			// guard.sh has a script of its own to start, which asks as well.
			if key := fmt.Sprint(text(c, "image"), p.argv, folder); strings.HasPrefix(p.argv[0], "/holdfast/bin/") && found[key] == nil {
				found[key] = &p
			}
		}
	}
	for _, o := range i.Objects {
		p := pod{instance: i, unit: text(o, "metadata", "name"), namespace: text(o, "metadata", "namespace"), name: text(o, "metadata", "name") + "-0"}
		switch o["kind"] {
		case "PreBackupPod":
			p.exec, p.dump = true, true
			add(p, object(o, "spec", "pod", "spec"), strings.Fields(text(o, "spec", "backupCommand")))
		case "Job":
			add(p, object(o, "spec", "template", "spec"), nil)
		case "CronJob":
			add(p, object(o, "spec", "jobTemplate", "spec", "template", "spec"), nil)
		}
	}
	return found
}

// surroundings are Secrets, ConfigMaps and claims for whatever a pod refers to.
func surroundings(t *testing.T, p *pod) Options {
	t.Helper()
	o := Options{Secrets: map[string]map[string]string{}, ConfigMaps: map[string]map[string]string{}, Claims: map[string]string{}, Files: map[string][]byte{}, Timeout: 30 * time.Second}
	for _, e := range list(p.container, "env") {
		ref := object(e, "valueFrom", "secretKeyRef")
		if name := text(ref, "name"); name != "" {
			if data, err := p.instance.data("Secret", p.namespace, name); err == nil && data == nil {
				if o.Secrets[name] == nil {
					o.Secrets[name] = map[string]string{}
				}
				o.Secrets[name][text(ref, "key")] = "a-secret-of-nobody"
			}
		}
	}
	for _, v := range list(p.spec, "volumes") {
		if claim := text(v, "persistentVolumeClaim", "claimName"); claim != "" {
			o.Claims[claim] = Folder(t, 0)
		}
		for _, source := range list(v, "projected", "sources") {
			for _, kind := range []string{"secret", "configMap"} {
				for _, item := range list(source, kind, "items") {
					o.Files[text(item, "path")] = []byte("a file of nobody")
				}
			}
		}
	}
	return o
}

// asked are the tools that a container's scripts ask for: true is what each of
// their runs asks for, false what one branch does.
func asked(t *testing.T, p *pod) map[string]bool {
	t.Helper()
	tools := map[string]bool{}
	for _, v := range list(p.spec, "volumes") {
		if text(v, "name") != "scripts" {
			continue
		}
		data, err := p.instance.data("ConfigMap", p.namespace, text(v, "configMap", "name"))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		always := map[string]bool{}
		for _, word := range p.argv {
			names = append(names, filepath.Base(word))
			always[filepath.Base(word)] = true
		}
		for n := 0; n < len(names); n++ {
			for _, line := range strings.Split(data[names[n]], "\n") {
				words := strings.Fields(line)
				// What stands in a branch is indented.
				here := always[names[n]] && len(words) > 0 && strings.HasPrefix(line, words[0])
				switch {
				case len(words) > 1 && words[0] == "require_tools":
					for _, tool := range words[1:] {
						tools[tool] = tools[tool] || here
					}
				case len(words) == 2 && words[0] == ".":
					source := filepath.Base(strings.Trim(words[1], `"`))
					names = append(names, source)
					always[source] = always[source] || here
				}
			}
		}
	}
	return tools
}

// TestWithoutTool takes each tool out of each contract of a pod's image in turn,
// and starts the scripts that ask for it: each must say so, with the image's name,
// before it does anything.
func TestWithoutTool(t *testing.T) {
	references, err := contracts()
	if err != nil {
		t.Fatal(err)
	}
	names, err := image.All()
	if err != nil {
		t.Fatal(err)
	}
	// The contracts' tools that no script was seen to miss.
	left := map[string]map[string]bool{}
	count := 0
	var versions []string
	for name, contract := range names {
		if contract.Exec {
			continue // nothing of ours starts there: see TestPreflightInside
		}
		left[contract.Reference] = map[string]bool{}
		for tool := range contract.Tools {
			if tool != "sh" { // without it nothing starts
				left[contract.Reference][tool] = true
				count++
			}
		}
		if version, ok := strings.CutPrefix(name, "postgresql/client-"); ok {
			versions = append(versions, version)
		}
	}
	instances := []*Instance{everything(t, func(state map[string]any) {
		ldap := state["ldap"].(map[string]any)
		ldap["method"], ldap["startTls"] = "ldapsearch", true
	})}
	for _, version := range slices.Sorted(slices.Values(versions)) {
		instances = append(instances, everything(t, func(state map[string]any) {
			for _, server := range list(state, "databases", "postgresql") {
				server["serverVersion"] = version
			}
		}))
	}
	started := 0
	var other []string
	done := map[string]bool{}
	for _, i := range instances {
		all := starters(i)
		for _, key := range slices.Sorted(maps.Keys(all)) {
			p := all[key]
			reference := text(p.container, "image")
			asks := asked(t, p)
			// Then it is there all the same, from the image of tools.
			copied := slices.ContainsFunc(list(p.container, "volumeMounts"), func(m map[string]any) bool {
				return text(m, "name") == "tools" && at(m, "readOnly") == true
			})
			for _, tool := range slices.Sorted(maps.Keys(references[reference].Tools)) {
				always, asks := asks[tool]
				what := fmt.Sprintf("%s without %s", key, tool)
				// Instances have most of their containers in common.
				if !asks || done[what] || tool == "kubectl" && copied {
					continue
				}
				o := surroundings(t, p)
				o.Image.Without = []string{tool}
				// guard.sh must let the script that it guards begin.
				o.FreeLocks = true
				o.Env = map[string]string{"HOLDFAST_DEADLINE": "1"}
				started++
				r := start(t, p, o).Wait()
				if !always && !strings.Contains(r.Stderr, " is missing in ") {
					// It belongs to a branch that this container does not take.
					other = append(other, text(p.container, "name")+" of "+p.unit+" without "+tool)
					continue
				}
				if r.Code != 69 || len(r.Stdout) > 0 || !strings.Contains(r.Stderr, tool+" is missing in the image "+reference+"\n") {
					t.Errorf("%s ended with %d and %d bytes:\n%s", what, r.Code, len(r.Stdout), r.Stderr)
					continue
				}
				left[reference][tool], done[what] = false, true
			}
		}
	}
	for reference, tools := range left {
		for tool, unseen := range tools {
			if unseen {
				t.Errorf("without %s nothing of %s fails", tool, reference)
			}
		}
	}
	t.Logf("%d tools of %d images were taken out, one at a time; %d of %d containers said so; in a branch that was not taken: %q", count, len(left), started-len(other), started, other)
}

// TestToolsOfAnotherImage: no path of an image is assumed, and what cannot run is
// put into words.
func TestToolsOfAnotherImage(t *testing.T) {
	i := shop(t, nil)
	t.Run("missing", func(t *testing.T) {
		i.RestoreStep(t, unit, "tools", Options{Image: Image{Without: []string{"kubectl"}}}).Fails(t, 69, "kubectl is missing in the image docker.io/alpine/k8s:")
	})
	for _, c := range []struct{ name, program, says string }{
		{"too old", `echo 'Client Version: v1.30.14'`, "kubectl is 1.30.14 in the image docker.io/alpine/k8s:1.34.1; it must be 1.31 or newer"},
		{"no version", `echo unknown`, "kubectl is of no known version"},
		{"does not run", `exit 126`, "kubectl is there, but cannot run in the image docker.io/alpine/k8s:1.34.1"},
		{"the copy does not run", `case $0 in /holdfast/*) exit 127 ;; *) echo v1.34.1 ;; esac`, "starting the copy of kubectl failed with exit code 127"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(t, "", map[string]string{"kubectl": c.program})
			i.RestoreStep(t, unit, "tools", o).Fails(t, 69, c.says)
		})
	}
	t.Run("a path that only one image has", func(t *testing.T) {
		p := i.pod(t, unit, "tools")
		p.argv = []string{"/bin/cp", "/usr/local/bin/kubectl", "/holdfast/tools/kubectl"}
		if r := start(t, p, Options{}).Wait(); r.Code == 0 || !strings.Contains(r.Stderr, "/usr/local/bin/kubectl") {
			t.Errorf("it ended with %d: %s", r.Code, r.Stderr)
		}
	})
	t.Run("built for another libc", func(t *testing.T) {
		// An interpreter that no image has is what a program of another libc finds.
		broken := filepath.Join(Folder(t, 0), "psql")
		if err := os.WriteFile(broken, []byte("#!/lib/ld-other.so.1\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, shell := range []string{"ash", "dash"} {
			o := options(t, shell, nil)
			o.Image.Bin = []string{broken}
			i.Dump(t, unit, o).Fails(t, 69, "psql is there, but cannot run in the image docker.io/library/postgres:15.")
		}
	})
}

// TestKubectlIsStatic: it is copied into images of another libc.
func TestKubectlIsStatic(t *testing.T) {
	dynamic, err := image.Dynamic(Program(t, "kubectl"))
	if err != nil {
		t.Fatal(err)
	}
	if dynamic {
		t.Error("kubectl asks for a dynamic linker")
	}
	if dynamic, err = image.Dynamic("/usr/bin/curl"); err != nil || !dynamic {
		t.Errorf("curl does not ask for one: %v", err)
	}
}
