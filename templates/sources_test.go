package templates_test

import (
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/templates"
)

var (
	source   = regexp.MustCompile(`(?m)^ *\. "[^"]*/(?:bin|preflight)/([a-z-]+\.sh)"$`)
	function = regexp.MustCompile(`(?m)^([a-z_]+)\(\) \{`)
	// command finds the words that may be commands, or a command's own command.
	command = regexp.MustCompile(`(?m)(?:^ *|[;|&(!] *|\b(?:if|then|else|do|while|until) +|\bcheck .*' )([a-z_]+)(?: |\n|$)`)
	quoted  = regexp.MustCompile(`'[^']*'`)
	// said is a text for people: an apostrophe in it would hide all up to the next quote.
	said   = regexp.MustCompile(`"[^"\n]*"`)
	remark = regexp.MustCompile(`(?m)^ *#.*\n| # .*$`)
)

// TestScriptsSourceWhatTheyUse: a function of lib that a script calls is one of a file
// that it sources, by itself or through another. The shell would find out at night, in
// the branch that needs it.
func TestScriptsSourceWhatTheyUse(t *testing.T) {
	all, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	sets := []fs.FS{templates.FS}
	for _, example := range all {
		if example.Templates != nil && example.Name == "custom-kind" {
			sets = append(sets, example.Templates)
		}
	}
	if len(sets) != 2 {
		t.Fatal("the example with a kind of its own is gone")
	}
	calls := 0
	for _, fsys := range sets {
		set, err := kind.Load(fsys)
		if err != nil {
			t.Fatal(err)
		}
		read := func(name string) string {
			data, err := fs.ReadFile(fsys, name)
			if err != nil {
				t.Fatal(err)
			}
			return string(data)
		}
		owner := map[string]string{}
		for name, mounted := range set.Shared {
			if path.Ext(name) != ".sh" || name == "preflight.sh" {
				continue // it is run, and sourced by nobody
			}
			for _, m := range function.FindAllStringSubmatch(read(mounted[name]), -1) {
				owner[m[1]] = name
			}
		}
		// Those that run. What these source runs in them.
		roots := map[string]kind.Mounted{}
		for _, k := range set.Kinds {
			for _, name := range []string{"dump.sh", "restore.sh", "preflight.sh"} {
				pod := maps.Clone(set.Shared["preflight.sh"])
				maps.Copy(pod, k.Scripts)
				roots[path.Join("kinds", k.Name, name)] = pod
			}
		}
		for _, name := range []string{"bootstrap.sh", "cluster.sh", "fetch.sh", "guard.sh", "tools.sh", "verify.sh"} {
			roots[path.Join("lib", name)] = set.Shared[name]
		}
		for root, pod := range roots {
			runs := []string{root}
			for i := 0; i < len(runs); i++ {
				for _, m := range source.FindAllStringSubmatch(read(runs[i]), -1) {
					if file := pod[m[1]]; !slices.Contains(runs, file) {
						runs = append(runs, file)
					}
				}
			}
			own := map[string]bool{}
			for _, file := range runs {
				for _, m := range function.FindAllStringSubmatch(read(file), -1) {
					own[m[1]] = true
				}
			}
			for _, file := range runs {
				text := said.ReplaceAllStringFunc(remark.ReplaceAllString(read(file), ""), func(s string) string { return strings.ReplaceAll(s, "'", "") })
				text = quoted.ReplaceAllString(text, "'")
				for _, m := range command.FindAllStringSubmatch(text, -1) {
					if from := owner[m[1]]; from != "" {
						calls++
						if !own[m[1]] {
							t.Errorf("%s calls %s of %s, which it does not source", file, m[1], strings.TrimPrefix(from, "lib/"))
						}
					}
				}
			}
		}
	}
	if calls < 500 {
		t.Errorf("only %d calls were found", calls)
	}
}
