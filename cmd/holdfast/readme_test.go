package main

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/examples"
)

var updateReadme = flag.Bool("update-readme", false, "rewrite the outputs in README.md and docs")

// TestReadme runs every command of the console blocks of the README, of the other
// documents beside it and of docs/, in order, in a folder for each document that holds a copy of the
// examples, and compares what they print (stdout and stderr) with what is shown.
// A block whose info string names a file, as in "```json policy.json", is that
// file.
func TestReadme(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	documents := documents(t, root)
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "holdfast"), ".")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	identity, _ := examples.Identity(examples.Phrase)
	path := strings.Join([]string{bin, filepath.Dir(builtTool(t, "sops")), os.Getenv("PATH")}, string(os.PathListSeparator))
	env := append(os.Environ(), "PATH="+path, "SOPS_AGE_KEY="+identity)
	for _, document := range documents {
		name, _ := filepath.Rel(root, document)
		t.Run(name, func(t *testing.T) { checkDocument(t, root, document, env) })
	}
}

// documents lists the documents that TestReadme runs.
func documents(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		if len(found) < 4 {
			t.Fatalf("%s: only %q", pattern, found)
		}
		all = append(all, found...)
	}
	return all
}

// checkDocument runs what one document shows.
func checkDocument(t *testing.T, root, document string, env []string) {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	prepare := exec.Command("sh", "-c", `cp -r "$1/examples" . && find examples -name '*.json' -exec chmod 600 {} + && cp "$1/cmd/holdfast/testdata/controller.pem" .`, "sh", root)
	prepare.Dir = work
	if output, err := prepare.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	for _, block := range regexp.MustCompile("(?ms)^```[a-z]+ (\\S+)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(work, block[1])), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(work, block[1]), block[2])
	}
	ran := 0
	got := rewriteConsole(string(text), func(command string) string {
		ran++
		run := exec.Command("sh", "-c", command)
		run.Dir = work
		run.Env = env
		var output bytes.Buffer
		run.Stdout, run.Stderr = &output, &output
		_ = run.Run() // a document shows failures, too
		return output.String()
	})
	if shown := strings.Count(string(text), "\n$ "); ran < shown || document == filepath.Join(root, "README.md") && ran < 5 {
		t.Errorf("%d commands ran of %d that are shown", ran, shown)
	}
	if *updateReadme {
		if err := os.WriteFile(document, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != string(text) {
		t.Errorf("it shows other outputs than its commands print; run: go test ./cmd/holdfast -run TestReadme -update-readme\n%s", got)
	}
}

// rewriteConsole replaces the outputs in the console blocks of a Markdown text
// by what run returns for each line that begins with "$ ".
func rewriteConsole(text string, run func(command string) string) string {
	var out []string
	inside := false
	for _, line := range strings.Split(text, "\n") {
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case line == "```console":
			inside = true
		case line == "```":
			inside = false
		case inside && isCommand:
			out = append(out, line)
			if output := strings.TrimRight(run(command), "\n"); output != "" {
				out = append(out, strings.Split(output, "\n")...)
			}
			continue
		case inside:
			continue
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}
