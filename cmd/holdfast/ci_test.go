package main

import (
	"bytes"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

// documentBlocks returns the files that a document of docs/ shows: code blocks
// whose info string has a name.
func documentBlocks(t *testing.T, document string) map[string]string {
	t.Helper()
	text := readFile(t, filepath.Join("..", "..", "docs", document))
	blocks := map[string]string{}
	for _, block := range regexp.MustCompile("(?ms)^```[a-z]+ (\\S+)\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		blocks[block[1]] = block[2]
	}
	return blocks
}

// commandsOf lists what each job of a workflow runs, step by step: each "run" of
// GitHub's and Forgejo's, each line of GitLab's "script".
func commandsOf(t *testing.T, text string) map[string][]string {
	t.Helper()
	documents, err := yaml.Decode([]byte(text))
	if err != nil || len(documents) != 1 {
		t.Fatalf("%d documents, %v", len(documents), err)
	}
	jobs, ok := documents[0]["jobs"].(map[string]any)
	if !ok {
		jobs = documents[0]
	}
	commands := map[string][]string{}
	for name, value := range jobs {
		job, _ := value.(map[string]any)
		steps, _ := job["steps"].([]any)
		for _, step := range steps {
			if run, ok := step.(map[string]any)["run"].(string); ok {
				commands[name] = append(commands[name], run)
			}
		}
		script, _ := job["script"].([]any)
		for _, line := range script {
			commands[name] = append(commands[name], line.(string))
		}
	}
	return commands
}

// TestSnippetsKeepSecrets: actions are named by a commit, and no job that runs for a
// merge request is given a secret.
func TestSnippetsKeepSecrets(t *testing.T) {
	pinned := regexp.MustCompile(`^[a-z-]+/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	for file, text := range documentBlocks(t, "ci.md") {
		for _, uses := range regexp.MustCompile(`(?m)uses: (.*)$`).FindAllStringSubmatch(text, -1) {
			if !pinned.MatchString(uses[1]) {
				t.Errorf("%s: %s is not pinned", file, uses[1])
			}
		}
		secrets := strings.Count(text, "secrets.")
		if secrets > 1 || secrets == 1 && !strings.Contains(text[strings.Index(text, "github.event_name == 'push'"):], "secrets.") {
			t.Errorf("%s gives a secret to a job that anybody can change", file)
		}
	}
}

// TestSnippets runs what docs/ci.md gives to GitHub, GitLab and Forgejo: it
// passes for a tree that is right, and fails and reports for one that is not.
func TestSnippets(t *testing.T) {
	blocks := documentBlocks(t, "ci.md")
	for file, reports := range map[string]func(t *testing.T, stdout, dir string) string{
		".github/workflows/holdfast.yml":  annotations,
		".forgejo/workflows/holdfast.yml": annotations,
		".gitlab-ci.yml": func(t *testing.T, _, dir string) string {
			var suite junitSuite
			if err := xml.Unmarshal([]byte(readFile(t, filepath.Join(dir, "holdfast.xml"))), &suite); err != nil {
				t.Fatal(err)
			}
			for _, test := range suite.Cases {
				if test.Failure != nil {
					return test.File
				}
			}
			return ""
		},
	} {
		t.Run(file, func(t *testing.T) {
			jobs := commandsOf(t, blocks[file])
			if len(jobs["check"]) != 2 || len(jobs) > 2 || len(jobs) == 2 && len(jobs["values"]) != 2 {
				t.Fatalf("jobs %q", jobs)
			}
			dir := t.TempDir()
			if err := copyFolder(dir, filepath.Join("..", "..", "examples", "minimal")); err != nil {
				t.Fatal(err)
			}
			var ignored bytes.Buffer
			tree := filepath.Join(dir, "clusters")
			if status := run([]string{"holdfast", "render", "-s", dir, "-c", dir, "-o", tree}, strings.NewReader(""), &ignored, &ignored); status != 0 {
				t.Fatal(ignored.String())
			}
			encryptCredentials(t, dir)
			bin := installer(t)
			identity, _ := examples.Identity(examples.Phrase)
			flux := filepath.Join(tree, "shop", "flux.yaml")
			right := readFile(t, flux)
			for name, commands := range jobs {
				environment := append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+dir, "XDG_CONFIG_HOME="+dir, ageKeyFileVariable+"=", ageKeyVariable+"=")
				if name == "values" {
					environment = append(environment, ageKeyVariable+"="+identity)
				}
				job := func() (string, error) {
					var all bytes.Buffer
					for _, command := range commands {
						step := exec.Command("bash", "-eo", "pipefail", "-c", command)
						step.Dir, step.Env = dir, environment
						var stderr bytes.Buffer
						step.Stdout, step.Stderr = &all, &stderr
						if err := step.Run(); err != nil {
							t.Log(stderr.String())
							return all.String(), err
						}
					}
					return all.String(), nil
				}
				writeFile(t, flux, right)
				stdout, err := job()
				if err != nil || reports(t, stdout, dir) != "" {
					t.Fatalf("%s: %v\n%s", name, err, stdout)
				}
				writeFile(t, flux, right+"# edited\n")
				stdout, err = job()
				if err == nil || reports(t, stdout, dir) != "clusters/shop/flux.yaml" {
					t.Errorf("%s: error %v, stdout:\n%s", name, err, stdout)
				}
			}
		})
	}
}

// encryptCredentials has the real sops encrypt the secret fields of a folder's
// credentials, and removes the readable ones.
func encryptCredentials(t *testing.T, dir string) {
	t.Helper()
	_, recipient := examples.Identity(examples.Phrase)
	plain := filepath.Join(dir, credentialsName)
	encrypted, err := exec.Command(builtTool(t, "sops"), "encrypt", "--age", recipient, "--encrypted-regex", secretFieldsOnly, plain).Output()
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "backup-credentials.sops.json"), string(encrypted))
	if err := os.Remove(plain); err != nil {
		t.Fatal(err)
	}
}

// annotations returns the file of the last error annotation.
func annotations(_ *testing.T, stdout, _ string) string {
	file := ""
	for _, match := range regexp.MustCompile(`(?m)^::error file=([^,]+),.*::`).FindAllStringSubmatch(stdout, -1) {
		file = match[1]
	}
	return file
}

// installer is a folder with a "go" that installs this program when it is asked
// for a release of it, and nothing else: there is none yet to download.
func installer(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	script := `#!/bin/sh
set -eu
[ "$#" = 2 ] && [ "$1" = install ]
case $2 in github.com/holdfast-backup/holdfast/cmd/holdfast@v[0-9]*) ;; *) exit 1 ;; esac
ln -sf "` + filepath.Join(commandFolder(t), "holdfast") + `" "` + bin + `/holdfast"
`
	writeFile(t, filepath.Join(bin, "go"), script)
	if err := os.Chmod(filepath.Join(bin, "go"), 0o755); err != nil {
		t.Fatal(err)
	}
	return bin
}
