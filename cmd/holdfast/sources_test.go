package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestExamplesWarnNobody: the credentials of the examples count as such, for Git
// checks them out for everybody to read; those of anybody else do not.
func TestExamplesWarnNobody(t *testing.T) {
	var files []string
	for _, pattern := range []string{"*", "*/*"} {
		found, err := filepath.Glob(filepath.Join("..", "..", "examples", pattern, "backup-credentials.json"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < 10 {
		t.Fatalf("only %d examples", len(files))
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !isExample(data) {
			t.Errorf("%s would be warned of", file)
		}
		for _, begin := range []string{exampleSecret, "example-restic-repository-password", "example-crypt-password"} {
			if own := strings.Replace(string(data), begin, "my-own", 1); own != string(data) && isExample([]byte(own)) {
				t.Errorf("%s with a secret of its own in place of a %s would not be warned of", file, begin)
			}
		}
	}
	for _, text := range []string{``, `{}`, `{"restic": {}}`, `{"restic": {"secretAccessKey": null}}`, `no JSON`} {
		if isExample([]byte(text)) {
			t.Errorf("%q counts as an example", text)
		}
	}
}

// TestDocumentsExist: each document that a message names is in the repository.
func TestDocumentsExist(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		for _, path := range regexp.MustCompile(`docs/[-a-z/]+\.md`).FindAllString(string(text), -1) {
			named++
			if _, err := os.Stat(filepath.Join("..", "..", path)); err != nil {
				t.Errorf("%s names %s: %v", source, path, err)
			}
		}
	}
	if named == 0 {
		t.Error("no source names a document")
	}
}

// TestMakeHelp: make help lists every target that says what it does.
func TestMakeHelp(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	help := exec.Command("make", "-s", "help")
	help.Dir = root
	listed, err := help.Output()
	if err != nil {
		t.Fatal(err)
	}
	targets := regexp.MustCompile(`(?m)^([^\s:]+):.*## `).FindAllStringSubmatch(string(text), -1)
	if len(targets) < 10 {
		t.Fatalf("only %d targets", len(targets))
	}
	for _, target := range targets {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(target[1]) + ` +\S`).Match(listed) {
			t.Errorf("make help does not list %s", target[1])
		}
	}
}
