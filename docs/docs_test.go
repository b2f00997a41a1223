// Package docs has tests of the Markdown files: what they refer to exists.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

const root = ".."

// texts returns the Markdown files of the repository, by path from its top.
func texts(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		if err != nil {
			return err
		}
		if entry.IsDir() && file != root && (strings.HasPrefix(name, ".") || name == "golden" || name == "testdata" || name == "bin") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(name, ".md") {
			path, _ := filepath.Rel(root, file)
			text, err := os.ReadFile(file)
			texts[path] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) < 20 {
		t.Fatalf("only %d documents", len(texts))
	}
	return texts
}

var fence = regexp.MustCompile("(?ms)^```.*?^```$")

// anchors are the names by which GitHub finds the headings of a text.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		plain := regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		found[strings.ReplaceAll(plain, " ", "-")] = true
	}
	return found
}

// TestLinks: each link to a file of the repository leads to one, and to a heading
// that it has.
func TestLinks(t *testing.T) {
	all := texts(t)
	links := regexp.MustCompile(`\]\(([^)\s]+)\)|(?m:^\[[^\]]+\]: (\S+)$)`)
	for path, text := range all {
		for _, match := range links.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			link := match[1] + match[2]
			if strings.Contains(link, "://") {
				continue
			}
			file, anchor, _ := strings.Cut(link, "#")
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s: %s: no such file", path, link)
			} else if anchor != "" && !anchors(all[target])[anchor] {
				t.Errorf("%s: %s: no such heading", path, link)
			}
		}
	}
}

// TestRulesAreLinked: where a document names a rule, it links to its text.
func TestRulesAreLinked(t *testing.T) {
	all := texts(t)
	headings := anchors(all["renderer/problem/rules.md"])
	links := 0
	for path, text := range all {
		if filepath.Dir(path) != "docs" && path != "README.md" && path != "SECURITY.md" {
			continue
		}
		defined := map[string]string{}
		for _, match := range regexp.MustCompile(`(?m)^\[(HF[0-9]{3})\]: \S*#(\S+)$`).FindAllStringSubmatch(text, -1) {
			defined[match[1]] = match[2]
			if !headings[match[2]] || !strings.HasPrefix(match[2], strings.ToLower(match[1])+"-") {
				t.Errorf("%s: the link of %s leads elsewhere", path, match[1])
			}
		}
		prose := regexp.MustCompile("`[^`\n]*`").ReplaceAllString(fence.ReplaceAllString(text, ""), "")
		for _, match := range regexp.MustCompile(`(.?)(HF[0-9]{3})(.?)`).FindAllStringSubmatch(prose, -1) {
			links++
			id := match[2]
			if _, known := problem.FindRule(id); !known {
				t.Errorf("%s: %s is no rule", path, id)
			} else if match[1] != "[" || match[3] != "]" || defined[id] == "" {
				t.Errorf("%s: %s is no link", path, id)
			}
		}
	}
	if links < 50 {
		t.Errorf("only %d rules are named", links)
	}
}

// TestNoOpaqueReferences: nothing refers to lists that are not in the repository,
// by numbers that only their authors can look up.
func TestNoOpaqueReferences(t *testing.T) {
	opaque := regexp.MustCompile(`\b(S[0-9]+-[0-9]+|[Hh]abit [0-9]+|proof [A-Z]|lint rule [0-9]+|finding [A-Z]?[0-9]+)\b|design §`)
	looked := 0
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if file != root && (strings.HasPrefix(name, ".") || name == "golden" || name == "testdata" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		switch filepath.Ext(name) {
		case ".md", ".go", ".sh", ".libsonnet", ".json", ".yaml", ".awk", ".sql":
		default:
			return nil
		}
		if name == "docs_test.go" || name == "rules_test.go" {
			return nil
		}
		looked++
		text, err := os.ReadFile(file)
		for _, found := range opaque.FindAllString(string(text), -1) {
			t.Errorf("%s refers to %q", file, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if looked < 300 {
		t.Errorf("only %d files were looked at", looked)
	}
}
