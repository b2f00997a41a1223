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

	"github.com/holdfast-backup/holdfast/renderer/manifest"
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

// commandsOf lists what a workflow runs, step by step: each "run" of GitHub's and
// Forgejo's, each line of GitLab's "script".
func commandsOf(t *testing.T, text string) []string {
	t.Helper()
	documents, err := manifest.Decode([]byte(text))
	if err != nil || len(documents) != 1 {
		t.Fatalf("%d documents, %v", len(documents), err)
	}
	var commands []string
	var walk func(value any)
	walk = func(value any) {
		switch v := value.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			if run, ok := v["run"].(string); ok {
				commands = append(commands, run)
			}
			script, _ := v["script"].([]any)
			for _, line := range script {
				commands = append(commands, line.(string))
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(documents[0])
	return commands
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
			if suite.Failures == 0 {
				return ""
			}
			return suite.Cases[len(suite.Cases)-1].File
		},
	} {
		t.Run(file, func(t *testing.T) {
			commands := commandsOf(t, blocks[file])
			if len(commands) != 2 {
				t.Fatalf("commands %q", commands)
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
			credentials := readFile(t, filepath.Join(dir, credentialsName))
			if err := os.Remove(filepath.Join(dir, credentialsName)); err != nil {
				t.Fatal(err)
			}
			bin := installer(t)
			job := func() (string, error) {
				var all bytes.Buffer
				for _, command := range commands {
					step := exec.Command("bash", "-eo", "pipefail", "-c", command)
					step.Dir = dir
					step.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "BACKUP_CREDENTIALS="+credentials)
					var stderr bytes.Buffer
					step.Stdout, step.Stderr = &all, &stderr
					if err := step.Run(); err != nil {
						t.Log(stderr.String())
						return all.String(), err
					}
				}
				return all.String(), nil
			}
			stdout, err := job()
			if err != nil || reports(t, stdout, dir) != "" {
				t.Fatalf("%v\n%s", err, stdout)
			}
			flux := filepath.Join(tree, "shop", "flux.yaml")
			writeFile(t, flux, readFile(t, flux)+"# edited\n")
			stdout, err = job()
			if err == nil || reports(t, stdout, dir) != "clusters/shop/flux.yaml" {
				t.Errorf("error %v, stdout:\n%s", err, stdout)
			}
			if _, err := os.Stat(filepath.Join(dir, credentialsName)); err == nil {
				t.Error("the credentials are a file")
			}
		})
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
