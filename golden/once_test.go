package golden

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
)

// A script is in many ConfigMaps of many trees. It is kept once, as
// golden/scripts/PATH, where PATH is its place below templates (or below an
// example's folder kinds). A kept tree has one line in the place of each copy,
//
//	common.sh: (golden/scripts/lib/common.sh)
//
// and it stands for exactly that text and nothing else: a copy that differs in
// one byte keeps its text, and then differs from the kept tree. The line names no
// digest, so that a changed script is one changed golden file.
//
// One thing in a tree does follow from scripts: the annotation that has a cluster
// run the preflight anew when its inputs changed. These digests stand together in
// golden/digests.txt, a line for each preflight.
const (
	scriptsFolder = "scripts"
	digestsFile   = "digests.txt"
)

// standsFor begins what a kept tree has in the place of a script or a digest. No
// rendered file may hold it: it could pass for one that is not there.
const standsFor = "(golden/"

// once is what trees have, but do not keep themselves.
type once struct {
	scripts map[string]string // texts by their path below golden/scripts
	digests map[string]string // by the file that has it
}

func newOnce() once {
	return once{scripts: map[string]string{}, digests: map[string]string{}}
}

// sources reads the files of templates that may be scripts.
func sources(templates fs.FS) (map[string]string, error) {
	found := map[string]string{}
	err := fs.WalkDir(templates, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) == ".libsonnet" {
			return err
		}
		data, err := fs.ReadFile(templates, name)
		found[name] = string(data)
		return err
	})
	return found, err
}

var (
	// blockKey begins an entry of several lines in a ConfigMap's data.
	blockKey = regexp.MustCompile(`^  ([^ :]+): \|\n$`)
	// A digest is quoted where it could be read as a number.
	digest = regexp.MustCompile(`^( +holdfast\.dev/inputs: )("?[0-9a-f]{32}"?)\n$`)
)

// fold returns what is kept of a file: a line in the place of each copy of a
// script, and of each digest. It notes what these were.
func (o once) fold(file, data string, sources map[string]string) string {
	var folded strings.Builder
	for data != "" {
		line, rest, _ := strings.Cut(data, "\n")
		if len(line) < len(data) {
			line += "\n"
		}
		data = rest
		if m := digest.FindStringSubmatch(line); m != nil {
			o.digests[file] += m[2]
			line = fmt.Sprintf("%s%s%s)\n", m[1], standsFor, digestsFile)
		}
		if m := blockKey.FindStringSubmatch(line); m != nil {
			text, length := block(data)
			if name := find(sources, m[1], text); name != "" {
				o.scripts[name] = text
				line = fmt.Sprintf("  %s: %s%s/%s)\n", m[1], standsFor, scriptsFolder, name)
				data = data[length:]
			}
		}
		folded.WriteString(line)
	}
	return folded.String()
}

// block reads the text that is indented by four spaces, and says how much of data
// it takes.
func block(data string) (text string, length int) {
	var b strings.Builder
	for line := range strings.Lines(data) {
		inner, indented := strings.CutPrefix(line, "    ")
		if !indented && line != "\n" {
			break
		}
		b.WriteString(inner)
		length += len(line)
	}
	return b.String(), length
}

// find returns the path of the script of this name and text, or "".
func find(sources map[string]string, base, text string) string {
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		if path.Base(name) == base && sources[name] == text {
			return name
		}
	}
	return ""
}

// compare says in which way a folder differs from what trees use. What is left
// over counts only if all trees were rendered.
func (o once) compare(folder string, all bool) []string {
	var wrong []string
	report := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for _, name := range slices.Sorted(maps.Keys(o.scripts)) {
		kept, err := os.ReadFile(filepath.Join(folder, scriptsFolder, filepath.FromSlash(name)))
		switch {
		case err != nil:
			report("golden/scripts/%s is rendered, but not kept (run: make golden)", name)
		case string(kept) != o.scripts[name]:
			report("golden/scripts/%s differs: %s (run: make golden, and read the diff)", name, firstDifference(string(kept), o.scripts[name]))
		}
	}
	data, err := os.ReadFile(filepath.Join(folder, digestsFile))
	if err != nil {
		report("%v", err)
	}
	kept := map[string]string{}
	for line := range strings.Lines(string(data)) {
		file, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		kept[file] = value
	}
	for _, file := range slices.Sorted(maps.Keys(o.digests)) {
		if kept[file] != o.digests[file] {
			report("the inputs of %s differ: -%s +%s (run: make golden)", file, kept[file], o.digests[file])
		}
	}
	if all {
		wrong = append(wrong, o.leftOver(folder, kept)...)
	}
	return wrong
}

// leftOver lists what is kept, but in no tree.
func (o once) leftOver(folder string, digests map[string]string) []string {
	var wrong []string
	for file := range digests {
		if _, known := o.digests[file]; !known {
			wrong = append(wrong, fmt.Sprintf("golden/%s has a line for %q, which has no digest (run: make golden)", digestsFile, file))
		}
	}
	below := os.DirFS(filepath.Join(folder, scriptsFolder))
	err := fs.WalkDir(below, ".", func(name string, entry fs.DirEntry, err error) error {
		if _, known := o.scripts[name]; err == nil && !entry.IsDir() && !known {
			wrong = append(wrong, fmt.Sprintf("golden/scripts/%s is kept, but in no tree (run: make golden)", name))
		}
		return err
	})
	if err != nil {
		wrong = append(wrong, err.Error())
	}
	return wrong
}

// write replaces what is kept.
func (o once) write(t *testing.T, folder string) {
	t.Helper()
	var files []manifest.File
	for name, text := range o.scripts {
		files = append(files, manifest.File{Path: name, Data: []byte(text)})
	}
	rewrite(t, filepath.Join(folder, scriptsFolder), files)
	var lines strings.Builder
	for _, file := range slices.Sorted(maps.Keys(o.digests)) {
		fmt.Fprintf(&lines, "%s: %s\n", file, o.digests[file])
	}
	if err := os.WriteFile(filepath.Join(folder, digestsFile), []byte(lines.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

var anyDigest = regexp.MustCompile(`( +holdfast\.dev/inputs: )"?[0-9a-f]{32}"?\n`)

// TestCopiesAreCompared: what is kept once is compared in each file. Each change
// here is to one copy of one tree, and is noticed.
func TestCopiesAreCompared(t *testing.T) {
	all, err := examples.All()
	if err != nil {
		t.Fatal(err)
	}
	minimal := all[slices.IndexFunc(all, func(c examples.Case) bool { return c.Name == "minimal" })]
	texts, err := sources(minimal.Templates)
	if err != nil {
		t.Fatal(err)
	}
	files := render(t, minimal)
	check := func() string {
		o := newOnce()
		wrong := append(o.differences(minimal.Name, files, texts), o.compare(".", false)...)
		return strings.Join(wrong, "\n")
	}
	if wrong := check(); wrong != "" {
		t.Fatalf("before any change:\n%s", wrong)
	}
	const (
		configMap = "shop/repository/shop/scripts-postgresql.yaml"
		preflight = "shop/repository/shop/preflight.yaml"
	)
	replace := func(old, changed string) func(string) string {
		return func(text string) string { return strings.Replace(text, old, changed, 1) }
	}
	for name, change := range map[string]struct {
		file   string
		change func(string) string
	}{
		"one byte":            {configMap, replace("# common.sh is the frame", "# common.sh is the framE")},
		"a space at the end":  {configMap, replace("script of Holdfast that runs in a pod: messages,", "script of Holdfast that runs in a pod: messages, ")},
		"a line less":         {configMap, replace("    set -eu\n", "")},
		"another block style": {configMap, replace("  common.sh: |\n", "  common.sh: |-\n")},
		"another name":        {configMap, replace("  common.sh: |\n", "  commons.sh: |\n")},
		"another script":      {configMap, replace("  guard.sh: |\n", "  fetch.sh: |\n")},
		"the line itself":     {configMap, func(text string) string { return newOnce().fold("", text, texts) }},
		"another digest": {preflight, func(text string) string {
			return anyDigest.ReplaceAllString(text, "${1}0123456789abcdef0123456789abcdef\n")
		}},
		"no digest":    {preflight, func(text string) string { return anyDigest.ReplaceAllString(text, "") }},
		"a cut digest": {preflight, func(text string) string { return anyDigest.ReplaceAllString(text, "${1}0123456789abcdef\n") }},
	} {
		t.Run(name, func(t *testing.T) {
			at := slices.IndexFunc(files, func(f manifest.File) bool { return f.Path == change.file })
			sound := files[at].Data
			defer func() { files[at].Data = sound }()
			files[at].Data = []byte(change.change(string(sound)))
			if string(sound) == string(files[at].Data) {
				t.Fatalf("%s did not change", change.file)
			}
			if wrong := check(); !strings.Contains(wrong, change.file) {
				t.Errorf("the change was not noticed: %q", wrong)
			}
		})
	}
}

// TestKeptOnce: of what is kept once, nothing is missing, changed or left over.
func TestKeptOnce(t *testing.T) {
	o := once{
		scripts: map[string]string{"lib/common.sh": "#!/bin/sh\necho common\n", "kinds/postgresql/dump.sh": "#!/bin/sh\n"},
		digests: map[string]string{"a/preflight.yaml": "0123", "b/preflight.yaml": "4567"},
	}
	for name, c := range map[string]struct {
		file, text, want string
	}{
		"sound":              {},
		"changed":            {"scripts/lib/common.sh", "#!/bin/sh\necho Common\n", "golden/scripts/lib/common.sh differs: line 2: -echo Common +echo common"},
		"missing":            {"scripts/lib/common.sh", "", "golden/scripts/lib/common.sh is rendered, but not kept"},
		"left over":          {"scripts/kinds/postgresql/old.sh", "#!/bin/sh\n", "golden/scripts/kinds/postgresql/old.sh is kept, but in no tree"},
		"digest changed":     {"digests.txt", "a/preflight.yaml: 0123\nb/preflight.yaml: 456\n", "b/preflight.yaml differ: -456 +4567"},
		"digest missing":     {"digests.txt", "a/preflight.yaml: 0123\n", "b/preflight.yaml differ: - +4567"},
		"digest left over":   {"digests.txt", "a/preflight.yaml: 0123\nb/preflight.yaml: 4567\nc: 89\n", `a line for "c"`},
		"no file of digests": {"digests.txt", "", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			o.write(t, folder)
			var err error
			switch file := filepath.Join(folder, c.file); {
			case c.file == "":
			case c.text == "":
				err = os.Remove(file)
			default:
				err = os.WriteFile(file, []byte(c.text), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			wrong := strings.Join(o.compare(folder, true), "\n")
			if (c.want == "") != (wrong == "") || !strings.Contains(wrong, c.want) {
				t.Errorf("got %q, want %q", wrong, c.want)
			}
		})
	}
}
