package main

import (
	"encoding/xml"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestLinks: each relative link of a document leads to a file, and to a heading
// if it names one.
func TestLinks(t *testing.T) {
	root := sourceRoot(t)
	headings := map[string][]string{}
	links := 0
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && (name == ".git" || name == ".cache" || name == "bin" || name == "testdata") {
			return filepath.SkipDir
		}
		if filepath.Ext(file) != ".md" {
			return nil
		}
		for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(withoutCode(readFile(t, file)), -1) {
			path, anchor, _ := strings.Cut(link[1], "#")
			if strings.Contains(path, ":") {
				continue // https://…
			}
			links++
			to := file
			if path != "" {
				to = filepath.Join(filepath.Dir(file), filepath.FromSlash(path))
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s: %v", file, link[1], err)
			} else if anchor != "" {
				if headings[to] == nil {
					headings[to] = anchors(readFile(t, to))
				}
				if !slices.Contains(headings[to], anchor) {
					t.Errorf("%s links to %s, and there is no such heading", file, link[1])
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if links < 50 {
		t.Errorf("only %d links", links)
	}
}

// TestIndex: docs/README.md has a link to each page of docs.
func TestIndex(t *testing.T) {
	root := sourceRoot(t)
	index := readFile(t, filepath.Join(root, "docs", "README.md"))
	for _, document := range documents(t, root) {
		if name := filepath.Base(document); name != "README.md" && !strings.Contains(index, name) {
			t.Errorf("docs/README.md does not list %s", name)
		}
	}
}

// withoutCode takes code blocks out of a Markdown text.
func withoutCode(text string) string {
	return regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(text, "")
}

// anchors lists the names of a document's headings, as GitHub makes them.
func anchors(text string) []string {
	var all []string
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(withoutCode(text), -1) {
		name := regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		all = append(all, strings.ReplaceAll(name, " ", "-"))
	}
	return all
}

// TestShownCommands: the commands of "sh" blocks and tables that are not run, for
// they take long or write, are at least there: each target of make, each package
// and each test.
func TestShownCommands(t *testing.T) {
	root := sourceRoot(t)
	makefile := readFile(t, filepath.Join(root, "Makefile"))
	targets, tests := 0, 0
	for _, document := range append(documents(t, root), filepath.Join(root, "e2e", "README.md")) {
		text := readFile(t, document)
		for _, shown := range regexp.MustCompile("(?m)(?:^|`)make ([a-z0-9-]+)").FindAllStringSubmatch(text, -1) {
			targets++
			if !strings.Contains(makefile, "\n"+shown[1]+":") {
				t.Errorf("%s shows make %s, and there is no such target", document, shown[1])
			}
		}
		for _, shown := range regexp.MustCompile("(?m)(?:^|`)go test ([^`\n#]+)").FindAllStringSubmatch(text, -1) {
			tests++
			checkGoTest(t, root, strings.Fields(shown[1]))
		}
	}
	if targets < 10 || tests < 5 {
		t.Errorf("only %d targets and %d tests are shown", targets, tests)
	}
}

// checkGoTest looks for what "go test ARGS" would run.
func checkGoTest(t *testing.T, root string, args []string) {
	t.Helper()
	for i, arg := range args {
		if strings.HasPrefix(arg, "./") {
			if _, err := os.Stat(filepath.Join(root, arg)); err != nil {
				t.Errorf("go test %q: %v", args, err)
			}
		}
		if arg != "-run" {
			continue
		}
		name, part, _ := strings.Cut(args[i+1], "/")
		found, err := exec.Command("grep", "-rl", "--include=*_test.go", "^func "+name, filepath.Join(root, args[0])).Output()
		if err != nil || len(found) == 0 {
			t.Errorf("go test %q: no such test", args)
		}
		if part != "" && name == "TestErrors" {
			if _, err := os.Stat(filepath.Join(root, "golden", "errors", part+".txtar")); err != nil {
				t.Errorf("go test %q: %v", args, err)
			}
		}
	}
}

// TestPlacesToTouch: the files and folders that CONTRIBUTING.md and the page about
// the architecture name are there.
func TestPlacesToTouch(t *testing.T) {
	root := sourceRoot(t)
	for _, document := range []string{"CONTRIBUTING.md", "docs/architecture.md"} {
		text := readFile(t, filepath.Join(root, document))
		named := 0
		for _, place := range regexp.MustCompile("`((?:renderer|templates|schemas|examples|golden|cmd|docs|oracle|e2e|attack)(?:/[^` ]*)?)`").FindAllStringSubmatch(text, -1) {
			named++
			if _, err := os.Stat(filepath.Join(root, place[1])); err != nil {
				t.Errorf("%s: %v", document, err)
			}
		}
		if named < 15 {
			t.Errorf("%s names only %d places", document, named)
		}
	}
}

// TestArchitecturePage: the page lists the packages as they may import each other,
// and its picture and table have the steps that the package renderer tells.
func TestArchitecturePage(t *testing.T) {
	root := sourceRoot(t)
	page := readFile(t, filepath.Join(root, "docs", "architecture.md"))
	_, packages, _ := strings.Cut(page, "## Packages")
	packages, _, _ = strings.Cut(packages, "\n## ")
	var listed []string
	for line := range strings.Lines(packages) {
		if cells := strings.Split(line, "|"); len(cells) == 4 {
			for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
				listed = append(listed, name[1])
			}
		}
	}
	if want := layers(); !slices.Equal(listed, want) {
		t.Errorf("the page lists\n%q\nand the layers are\n%q", listed, want)
	}

	told := regexp.MustCompile(`(?m)^//\t([a-z]+) +[a-z]+ +\S`).FindAllStringSubmatch(readFile(t, filepath.Join(root, "renderer", "doc.go")), -1)
	var steps []string
	for _, step := range told {
		steps = append(steps, step[1])
		if step[1] == "render" {
			steps = append(steps, "overlay")
		}
	}
	if len(steps) != 10 {
		t.Fatalf("renderer/doc.go tells the steps %q", steps)
	}
	var rows []string
	for _, row := range regexp.MustCompile("(?m)^\\| ([a-z]+) \\| `renderer").FindAllStringSubmatch(page, -1) {
		rows = append(rows, row[1])
	}
	picture := readFile(t, filepath.Join(root, "docs", "steps.svg"))
	var drawn []string
	for _, text := range regexp.MustCompile(`class="step">([^<]+)<`).FindAllStringSubmatch(picture, -1) {
		drawn = append(drawn, text[1])
	}
	if !slices.Equal(rows, steps) || !slices.Equal(drawn, steps) {
		t.Errorf("the steps are %q, the table has %q, the picture %q", steps, rows, drawn)
	}
	for decoder := xml.NewDecoder(strings.NewReader(picture)); ; {
		if _, err := decoder.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("steps.svg: %v", err)
		}
	}
}
