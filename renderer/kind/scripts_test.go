package kind_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/templates"
)

// oneKind is lib of a few scripts, and one kind that has the other files of a real one.
func oneKind(t *testing.T, scripts map[string]string) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	copied := []string{"platform/platform.json", "platform/images.json"}
	for _, name := range []string{"kind.json", "kind.libsonnet", "README.md", "dump.sh", "restore.sh", "preflight.sh"} {
		copied = append(copied, "kinds/volume/"+name)
	}
	for _, name := range copied {
		data, err := templates.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".sh") {
			data = []byte("#!/bin/sh\n")
		}
		files[name] = &fstest.MapFile{Data: data}
	}
	for name, text := range scripts {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return files
}

func names(m kind.Mounted) string { return strings.Join(slices.Sorted(maps.Keys(m)), " ") }

// TestMountedScripts: pods of a kind have its own files and what these name, and what
// that names in turn; and nothing else of lib.
func TestMountedScripts(t *testing.T) {
	set, err := kind.Load(oneKind(t, map[string]string{
		"lib/common.sh":                "say() { :; }\n",
		"lib/stream.sh":                ". \"$HOLDFAST_ROOT/bin/content.sh\"\n",
		"lib/content.sh":               "# . \"$HOLDFAST_ROOT/bin/comment.sh\"\n",
		"lib/objects.jq":               "def controlled: .;\n",
		"lib/unpack.jq":                "# What is apart.\ninclude \"objects\";\ndef chosen: controlled;\n",
		"lib/lonely.sh":                ":\n",
		"lib/checks.sh":                ":\n",
		"lib/preflight.sh":             ". \"$HOLDFAST_ROOT/preflight/checks.sh\"\ntry \"$HOLDFAST_ROOT/bin/preflight.sh\"\n",
		"lib/restic.sh":                "exec /holdfast/bin/whole.sh\n",
		"lib/whole.sh":                 ":\n",
		"kinds/volume/dump.sh":         ". \"$HOLDFAST_ROOT/bin/common.sh\"\n. \"${HOLDFAST_ROOT:-/holdfast}/bin/stream.sh\"\nawk -f \"$HOLDFAST_ROOT/bin/roles.awk\"\n",
		"kinds/volume/restore.sh":      "jq -f \"$HOLDFAST_ROOT/bin/unpack.jq\"\n",
		"kinds/volume/preflight.sh":    ". \"$HOLDFAST_ROOT/preflight/checks.sh\"\n",
		"kinds/volume/roles.awk":       "{ print }\n",
		"kinds/volume/sizes.sql":       "select 1\n",
		"kinds/volume/notes.txt":       "no script\n",
		"kinds/volume/test/trial.sh":   "exit 1\n",
		"kinds/volume/.roles.awk.swp~": "",
	}))
	if err != nil {
		t.Fatal(err)
	}
	k, _ := set.Find("volume")
	if got, want := names(k.Scripts), "common.sh content.sh dump.sh objects.jq preflight.sh restore.sh roles.awk sizes.sql stream.sh unpack.jq"; got != want {
		t.Errorf("pods of the kind have\n%s, not\n%s", got, want)
	}
	if k.Scripts["preflight.sh"] != "kinds/volume/preflight.sh" {
		t.Errorf("preflight.sh is %s", k.Scripts["preflight.sh"])
	}
	for script, want := range map[string]string{
		"preflight.sh": "checks.sh preflight.sh", "restic.sh": "restic.sh whole.sh", "lonely.sh": "lonely.sh",
	} {
		if got := names(set.Shared[script]); got != want {
			t.Errorf("with lib/%s stand %s, not %s", script, got, want)
		}
	}
}

// TestMissingScript: what a script names and no pod would have is refused, and where
// it stands is told.
func TestMissingScript(t *testing.T) {
	for name, test := range map[string]struct {
		scripts map[string]string
		file    string
		line    int
		message string
	}{
		"sourced by a kind": {
			map[string]string{"kinds/volume/dump.sh": "#!/bin/sh\n. \"$HOLDFAST_ROOT/bin/nowhere.sh\"\n", "lib/common.sh": ""},
			"templates/kinds/volume/dump.sh", 2, "nowhere.sh is in neither",
		},
		"a program": {
			map[string]string{"kinds/volume/dump.sh": "awk -f \"$HOLDFAST_ROOT/bin/roles.awk\"\n", "lib/common.sh": ""},
			"templates/kinds/volume/dump.sh", 1, "roles.awk is in neither",
		},
		"a module of jq": {
			map[string]string{"kinds/volume/chosen.jq": "include \"gone\";\n", "lib/common.sh": ""},
			"templates/kinds/volume/chosen.jq", 1, "gone.jq is in neither",
		},
		"of the preflight, but the kind's own": {
			map[string]string{"kinds/volume/preflight.sh": ". \"$HOLDFAST_ROOT/preflight/own.sh\"\n", "kinds/volume/own.sh": "", "lib/common.sh": ""},
			"templates/kinds/volume/preflight.sh", 1, "own.sh is in neither",
		},
		"of the preflight, which does not name it": {
			map[string]string{"kinds/volume/preflight.sh": ". \"$HOLDFAST_ROOT/preflight/common.sh\"\n", "lib/common.sh": "", "lib/preflight.sh": ""},
			"templates/kinds/volume/preflight.sh", 1, "common.sh is in neither",
		},
		"sourced by lib": {
			map[string]string{"lib/common.sh": "\n\n. \"$HOLDFAST_ROOT/bin/gone.sh\"\n"},
			"templates/lib/common.sh", 3, "gone.sh is in neither",
		},
		"a name of lib": {
			map[string]string{"kinds/volume/common.sh": "", "lib/common.sh": ""},
			"templates/kinds/volume/common.sh", 0, "templates/lib has a file of this name",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := kind.Load(oneKind(t, test.scripts))
			var problems problem.List
			if !errors.As(err, &problems) || len(problems) != 1 {
				t.Fatalf("it loads: %v", err)
			}
			p := problems[0]
			if p.File != test.file || p.Line != test.line || p.Rule != "HF101" || !strings.Contains(p.Message, test.message) {
				t.Errorf("it says %+v", p)
			}
		})
	}
}
