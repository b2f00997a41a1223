package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/templates"
)

// TestNewKindIsLoud: each script of a kind that was only begun ends with 64 and says
// what is missing, whoever starts it.
func TestNewKindIsLoud(t *testing.T) {
	t.Parallel()
	r, err := renderer.New(templates.FS)
	if err != nil {
		t.Fatal(err)
	}
	for _, engine := range []string{"restic", "rclone"} {
		files, err := kindFiles(r.Kinds(), "notebook", engine)
		if err != nil {
			t.Fatal(err)
		}
		root := t.TempDir()
		for _, folder := range []string{"bin", "preflight", "scratch"} {
			if err := os.Mkdir(filepath.Join(root, folder), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		entries, err := templates.FS.ReadDir("lib")
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			data, err := templates.FS.ReadFile("lib/" + entry.Name())
			if err != nil {
				t.Fatal(err)
			}
			for _, folder := range []string{"bin", "preflight"} {
				if err := os.WriteFile(filepath.Join(root, folder, entry.Name()), data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		for name, want := range map[string]int{"dump.sh": 64, "restore.sh": 64, "preflight.sh": 0} {
			script := filepath.Join(root, "bin", "of-the-kind.sh")
			if err := os.WriteFile(script, []byte(files[name]), 0o755); err != nil {
				t.Fatal(err)
			}
			findings := filepath.Join(root, "findings")
			command := exec.Command("sh", script)
			command.Env = append(os.Environ(), "HOLDFAST_ROOT="+root, "HOLDFAST_SCRATCH="+filepath.Join(root, "scratch"), "HOLDFAST_UNIT=notebook/a",
				"HOLDFAST_FINDINGS="+findings, "SOURCE_HOST=h", "SOURCE_PORT=1", "SOURCE_PASSWORD=p")
			output, err := command.CombinedOutput()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			// A preflight ends well with a finding.
			found, err := os.ReadFile(findings)
			if err != nil && name == "preflight.sh" {
				t.Error(err)
			}
			if said := string(output) + string(found); command.ProcessState.ExitCode() != want || !strings.Contains(said, name+" of notebook is still to be written") {
				t.Errorf("%s, %s: it ends with %d and says %q", engine, name, command.ProcessState.ExitCode(), said)
			}
		}
	}
}
