package main

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var updateReadme = flag.Bool("update-readme", false, "rewrite the outputs in README.md")

// TestReadme runs every command of the README's console blocks, in order, in
// one folder that holds a copy of the examples, and compares what it prints
// (stdout and stderr) with what the README shows.
func TestReadme(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	prepare := exec.Command("sh", "-c", `cp -r "$1/examples" . && find examples -name '*.json' -exec chmod 600 {} +`, "sh", root)
	prepare.Dir = work
	if output, err := prepare.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	bin := filepath.Join(work, "bin")
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "holdfast"), ".")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	ran := 0
	got := rewriteConsole(string(text), func(command string) string {
		ran++
		run := exec.Command("sh", "-c", command)
		run.Dir = work
		run.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
		var output bytes.Buffer
		run.Stdout, run.Stderr = &output, &output
		_ = run.Run() // a README shows failures, too
		return output.String()
	})
	if ran < 5 {
		t.Errorf("only %d commands were found in README.md", ran)
	}
	if *updateReadme {
		if err := os.WriteFile(filepath.Join(root, "README.md"), []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != string(text) {
		t.Errorf("README.md shows other outputs than its commands print; run: go test ./cmd/holdfast -run TestReadme -update-readme\n%s", got)
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
