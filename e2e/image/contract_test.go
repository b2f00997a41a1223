package image_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mvdan.cc/sh/v3/syntax"

	"github.com/holdfast-backup/holdfast/e2e/image"
	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

// builtins are what a POSIX shell has itself.
var builtins = strings.Fields(". : [ break cd command continue echo eval exec exit export kill printf read return set shift test trap true ulimit umask unset wait")

// wrappers are functions and tools that run a command: after how many words.
var wrappers = map[string]int{"attempt": 2, "attempt_silently": 2, "restic_said": 2, "at_least": 2, "bounded": 0, "stream": 1, "run_child": 0, "timeout": 1, "setsid": 0}

// script is a parsed one.
type script struct {
	name      string
	text      string
	file      *syntax.File
	functions map[string]*syntax.FuncDecl
	sources   []string
	// declared are those of require_tools; optional ones belong to one branch.
	declared, optional map[string]bool
	programs           []*script // what runs in a pod of somebody else's
}

func parse(t *testing.T, name, text string) *script {
	t.Helper()
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(text), name)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{name: name, text: text, file: file, functions: map[string]*syntax.FuncDecl{}, declared: map[string]bool{}, optional: map[string]bool{}}
	branches := 0
	var visit func(node syntax.Node)
	visit = func(node syntax.Node) {
		syntax.Walk(node, func(n syntax.Node) bool {
			switch n := n.(type) {
			case *syntax.FuncDecl:
				s.functions[n.Name.Value] = n
			case *syntax.CaseItem:
				branches++
				for _, statement := range n.Stmts {
					visit(statement)
				}
				branches--
				return false
			case *syntax.CallExpr:
				words := literals(n)
				if len(words) == 2 && words[0] == "." {
					s.sources = append(s.sources, filepath.Base(words[1]))
				}
				if len(words) > 1 && words[0] == "require_tools" {
					for _, tool := range words[1:] {
						if branches > 0 {
							s.optional[tool] = true
						} else {
							s.declared[tool] = true
						}
					}
				}
			}
			return true
		})
	}
	visit(file)
	return s
}

// literals are a command's words; of one that is no plain text, what is plain in
// it.
func literals(call *syntax.CallExpr) []string {
	var words []string
	for _, word := range call.Args {
		var text strings.Builder
		for _, part := range word.Parts {
			switch part := part.(type) {
			case *syntax.Lit:
				text.WriteString(part.Value)
			case *syntax.SglQuoted:
				text.WriteString(part.Value)
			case *syntax.DblQuoted:
				for _, inner := range part.Parts {
					if lit, ok := inner.(*syntax.Lit); ok {
						text.WriteString(lit.Value)
					} else {
						text.WriteByte(0)
					}
				}
			default:
				text.WriteByte(0)
			}
		}
		words = append(words, text.String())
	}
	return words
}

// calls are the commands that the nodes run, by name, with those of the functions
// that they call.
func calls(functions map[string]*syntax.FuncDecl, nodes ...syntax.Node) map[string]bool {
	found, seen := map[string]bool{}, map[string]bool{}
	var visit func(node syntax.Node)
	enter := func(name string) {
		if f, ok := functions[name]; ok && !seen[name] {
			seen[name] = true
			visit(f.Body)
		}
	}
	visit = func(node syntax.Node) {
		syntax.Walk(node, func(n syntax.Node) bool {
			if _, ok := n.(*syntax.FuncDecl); ok {
				return false
			}
			call, ok := n.(*syntax.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			words := literals(call)
			// A function may be an argument: of trap, or of one that runs it.
			for _, word := range words[1:] {
				enter(word)
			}
			// find starts a program for what it finds.
			if at := slices.Index(words, "-exec"); words[0] == "find" && at > 0 && at+1 < len(words) {
				found[words[at+1]] = true
			}
			if words[0] == "trap" && len(words) > 1 {
				words = strings.Fields(words[1])
			}
			for at := 0; at < len(words); {
				name := words[at]
				if name == "exec" {
					at++
					continue
				}
				// A variable names one of ours: a script, or a wrapper's command.
				if name == "" || name == "-" || strings.ContainsRune(name, 0) || slices.Contains(builtins, name) {
					break
				}
				if functions[name] != nil {
					enter(name)
				} else {
					found[name] = true
				}
				skip, wraps := wrappers[name]
				if !wraps {
					break
				}
				at += skip + 1
			}
			return true
		})
	}
	for _, node := range nodes {
		visit(node)
	}
	return found
}

// run is one script in one image.
type run struct {
	image   string
	scripts []*script // the script and what it sources
	copied  bool      // kubectl comes from another image
}

// handedOver finds the files that a script makes one program of, for another's pod.
var (
	handedOver = regexp.MustCompile(`\$\(cat --((?: "\$HOLDFAST_ROOT/bin/in-pod-[a-z]+\.sh")+)\)`)
	inPod      = regexp.MustCompile(`in-pod-[a-z]+\.sh`)
)

// runs are all scripts of all examples, in the images that they run in.
func runs(t *testing.T, contracts map[string]kind.Image) []run {
	t.Helper()
	names := map[string]string{}
	for name, contract := range contracts {
		names[contract.Reference] = name
	}
	all, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, searched(t, all))
	parsed := map[string]*script{}
	seen := map[string]bool{}
	var found []run
	for _, example := range all {
		r, err := renderer.New(example.Templates)
		if err != nil {
			t.Fatal(err)
		}
		made, err := r.Render(example.Inputs, renderer.Options{Secrets: secrets.Plain})
		if err != nil {
			t.Fatalf("%s: %v", example.Name, err)
		}
		var objects []map[string]any
		for _, f := range made.Bundle.Files {
			if strings.HasSuffix(f.Path, ".yaml") {
				some, err := yaml.Decode(f.Data)
				if err != nil {
					t.Fatalf("%s: %v", f.Path, err)
				}
				objects = append(objects, some...)
			}
		}
		texts := map[string]map[string]any{}
		place := func(o map[string]any, name string) string {
			return fmt.Sprint(at(o, "metadata", "namespace"), "/", name)
		}
		for _, o := range objects {
			if o["kind"] == "ConfigMap" {
				data, _ := o["data"].(map[string]any)
				texts[place(o, fmt.Sprint(at(o, "metadata", "name")))] = data
			}
		}
		for _, o := range objects {
			spec := podSpec(o)
			folder := ""
			for _, v := range items(spec["volumes"]) {
				if v["name"] == "scripts" {
					folder, _ = at(v, "configMap", "name").(string)
				}
			}
			for _, c := range append(items(spec["initContainers"]), items(spec["containers"])...) {
				name, ok := names[fmt.Sprint(c["image"])]
				if !ok {
					continue // an example names an image of its own
				}
				var words []string
				for _, word := range slices.Concat(list(c["command"]), []any{at(o, "spec", "backupCommand")}) {
					if text, _ := word.(string); strings.HasPrefix(text, "/holdfast/bin/") {
						words = append(words, filepath.Base(text))
					}
				}
				copied := slices.ContainsFunc(items(c["volumeMounts"]), func(m map[string]any) bool { return m["name"] == "tools" && m["readOnly"] == true })
				for _, word := range words {
					one := run{image: name, copied: copied}
					key := name
					todo := []string{word}
					for i := 0; i < len(todo); i++ {
						text, _ := texts[place(o, folder)][todo[i]].(string)
						if text == "" {
							t.Fatalf("%s of %s is nowhere", todo[i], folder)
						}
						if parsed[text] == nil {
							parsed[text] = parse(t, todo[i], text)
							for _, m := range handedOver.FindAllStringSubmatch(text, -1) {
								var program strings.Builder
								for _, name := range inPod.FindAllString(m[1], -1) {
									part, _ := texts[place(o, folder)][name].(string)
									program.WriteString(part)
								}
								parsed[text].programs = append(parsed[text].programs, parse(t, m[1], program.String()))
							}
						}
						key += "\n" + text
						one.scripts = append(one.scripts, parsed[text])
						for _, source := range parsed[text].sources {
							if !slices.Contains(todo, source) {
								todo = append(todo, source)
							}
						}
					}
					if !seen[key] {
						seen[key] = true
						found = append(found, one)
					}
				}
			}
		}
	}
	return found
}

// searched is an example whose directory is read by ldapsearch, for no example
// forbids exec.
func searched(t *testing.T, all []examples.Case) examples.Case {
	t.Helper()
	for _, example := range all {
		for i, document := range example.Inputs.States {
			var state map[string]any
			if err := json.Unmarshal(document.Data, &state); err != nil {
				t.Fatal(err)
			}
			ldap, ok := state["ldap"].(map[string]any)
			if !ok || ldap["passwordRef"] == nil {
				continue
			}
			ldap["method"], ldap["startTls"] = "ldapsearch", true
			data, err := json.Marshal(state)
			if err != nil {
				t.Fatal(err)
			}
			document.Data = data
			example.Inputs.States = slices.Clone(example.Inputs.States)
			example.Inputs.States[i] = document
			return example
		}
	}
	t.Fatal("no example has a directory with a password")
	return examples.Case{}
}

// podSpec finds the pod in whatever makes it.
func podSpec(o map[string]any) map[string]any {
	for _, path := range [][]string{{"spec", "pod", "spec"}, {"spec", "template", "spec"}, {"spec", "jobTemplate", "spec", "template", "spec"}} {
		if spec, ok := at(o, path...).(map[string]any); ok {
			return spec
		}
	}
	return nil
}

func at(value any, path ...string) any {
	for _, key := range path {
		m, _ := value.(map[string]any)
		value = m[key]
	}
	return value
}

func list(value any) []any {
	l, _ := value.([]any)
	return l
}

func items(value any) []map[string]any {
	var maps []map[string]any
	for _, item := range list(value) {
		if m, ok := item.(map[string]any); ok {
			maps = append(maps, m)
		}
	}
	return maps
}

// contractsOf are those of the built-in kinds and of the examples' own.
func contractsOf(t *testing.T) map[string]kind.Image {
	t.Helper()
	contracts := map[string]kind.Image{}
	all, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, example := range all {
		r, err := renderer.New(example.Templates)
		if err != nil {
			t.Fatal(err)
		}
		set := r.Kinds()
		maps.Copy(contracts, set.Images())
	}
	return contracts
}

// TestContractsAreExact: a contract lists the tools that scripts ask for in that
// image, each script asks at its start for all that it calls, and nobody asks for
// what is not called.
func TestContractsAreExact(t *testing.T) {
	contracts := contractsOf(t)
	asked, optional := map[string]map[string]string{}, map[string]map[string]bool{}
	for _, r := range runs(t, contracts) {
		where := r.scripts[0].name + " in " + r.image
		functions := map[string]*syntax.FuncDecl{}
		declared := map[string]string{"sh": "every script"}
		may := map[string]bool{}
		for _, s := range r.scripts {
			maps.Copy(functions, s.functions)
			for tool := range s.declared {
				declared[tool] = s.name
			}
			maps.Copy(may, s.optional)
		}
		// A script's own functions may be called by a word of its arguments.
		nodes := []syntax.Node{}
		for i, s := range r.scripts {
			nodes = append(nodes, s.file)
			if i == 0 {
				for _, f := range s.functions {
					nodes = append(nodes, f.Body)
				}
			}
		}
		called := calls(functions, nodes...)
		for tool := range called {
			if declared[tool] == "" && !may[tool] {
				t.Errorf("%s calls %s, and does not ask for it", where, tool)
			}
		}
		for tool, by := range declared {
			// What common.sh asks for is for whatever a script calls of it.
			if by != "common.sh" && by != "every script" && !called[tool] {
				t.Errorf("%s: %s asks for %s, and nobody calls it", where, by, tool)
			}
		}
		if asked[r.image] == nil {
			asked[r.image], optional[r.image] = map[string]string{}, map[string]bool{}
		}
		for tool, by := range declared {
			if _, own := contracts[r.image].Tools[tool]; tool == "kubectl" && r.copied && !own {
				continue
			}
			asked[r.image][tool] = by
		}
		maps.Copy(optional[r.image], may)
	}
	for name, contract := range contracts {
		if contract.Exec {
			continue
		}
		if asked[name] == nil {
			// The same scripts run in it as in the image of another version.
			other, _, _ := strings.Cut(name, "-")
			for similar := range asked {
				if strings.HasPrefix(similar, other+"-") {
					asked[name], optional[name] = asked[similar], optional[similar]
				}
			}
		}
		for tool, by := range asked[name] {
			if _, ok := contract.Tools[tool]; !ok {
				t.Errorf("%s: %s asks for %s, which the contract lacks", name, by, tool)
			}
		}
		for tool := range contract.Tools {
			if asked[name][tool] == "" && !optional[name][tool] {
				t.Errorf("%s: the contract has %s, for which no script asks", name, tool)
			}
		}
	}
}

// TestProgramsOfOthersPods: what scripts run through exec calls the tools of that
// image's contract, all of them and no others.
func TestProgramsOfOthersPods(t *testing.T) {
	contracts := contractsOf(t)
	called := map[string]map[string]bool{}
	for name, contract := range contracts {
		if contract.Exec {
			called[name] = map[string]bool{"sh": true}
		}
	}
	found := map[string]bool{}
	for _, r := range runs(t, contracts) {
		for _, s := range r.scripts[0].programs {
			hint := "cassandra"
			if !strings.Contains(s.text, "cqlsh") {
				hint = "openldap"
			}
			found[s.text] = true
			nodes := []syntax.Node{s.file}
			for _, f := range s.functions {
				nodes = append(nodes, f.Body)
			}
			for tool := range calls(s.functions, nodes...) {
				owner := ""
				for name, contract := range contracts {
					if _, ok := contract.Tools[tool]; ok && contract.Exec && strings.Split(name, "/")[0] == hint {
						owner = name
					}
				}
				if owner == "" {
					t.Errorf("a program of %s calls %s, which no contract of its pod has", s.name, tool)
					continue
				}
				called[owner][tool] = true
			}
		}
	}
	if len(found) < 4 {
		t.Errorf("only %d programs were found", len(found))
	}
	for name, tools := range called {
		for tool := range contracts[name].Tools {
			if !tools[tool] {
				t.Errorf("%s: the contract has %s, which no program calls", name, tool)
			}
		}
	}
}

// unpacked is the busybox of e2e/setup.sh.
const unpacked = "../../.cache/e2e/busybox"

// TestAbsent: what the contract lacks is absent from the root. The shell finds a
// tool of the contract, and not one that it would have itself.
func TestAbsent(t *testing.T) {
	for _, shell := range []string{image.Busybox, image.Debian} {
		root := t.TempDir()
		contract := kind.Image{Reference: "example.test/" + shell, Shell: shell, Tools: map[string]kind.Tool{"sh": {Path: "/bin/sh"}, "cat": {Path: "/bin/cat"}}}
		if err := image.Build(root, contract, func(string) (string, error) { return unpacked, nil }); err != nil {
			t.Fatal(err)
		}
		inside := exec.Command("/bin/sh", "-c", "cat /etc/passwd && awk 'BEGIN {}'")
		inside.Env = []string{"PATH=" + image.Path(contract)}
		inside.Dir = "/"
		inside.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
		if out, err := inside.CombinedOutput(); inside.ProcessState.ExitCode() != 127 || !strings.Contains(string(out), "awk: not found") {
			t.Errorf("%s without awk: %v, %q", shell, err, out)
		}
	}
	if _, err := image.Applets("/usr/bin/busybox"); err == nil || !strings.Contains(err.Error(), "finds tools that PATH does not have") {
		t.Errorf("the shell of busybox-static is taken: %v", err)
	}
}

// TestBuild: a root holds the contract's tools and none that is absent.
func TestBuild(t *testing.T) {
	contracts, err := image.All()
	if err != nil {
		t.Fatal(err)
	}
	// A program of ours stands for those that only e2e/setup.sh brings.
	stand := func(tool string) (string, error) {
		if tool == "busybox" {
			return unpacked, nil
		}
		return "/usr/bin/true", nil
	}
	for name, contract := range contracts {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if err := image.Build(root, contract, stand); err != nil {
				t.Fatal(err)
			}
			have := map[string]bool{}
			for _, folder := range strings.Split(image.Path(contract), ":") {
				entries, err := fs.Glob(rooted(root), strings.TrimPrefix(folder, "/")+"/*")
				if err != nil {
					t.Fatal(err)
				}
				for _, entry := range entries {
					have[filepath.Base(entry)] = true
				}
			}
			delete(have, "busybox")
			for tool := range contract.Tools {
				if !have[tool] {
					t.Errorf("%s is not in PATH", tool)
				}
				delete(have, tool)
			}
			if len(have) > 0 {
				t.Errorf("there is more than the contract has: %v", slices.Sorted(maps.Keys(have)))
			}
			_, err := fs.Stat(rooted(root), "etc/ssl/certs/ca-certificates.crt")
			if has := err == nil; has != (contract.CABundle != nil) {
				t.Errorf("a CA bundle: %v, %v", has, err)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		})
	}
}

// rooted is a folder with its links.
func rooted(root string) fs.FS { return os.DirFS(root) }
