package publish

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAttributes: what an attribute makes of files on their way into Git is what
// was rendered, or nothing is published.
func TestAttributes(t *testing.T) {
	isolate(t)
	first := render(t, shop, "", nil)
	changed := render(t, shop, `{"schemaVersion": 1, "retention": {"overrides": {"postgresql/shop": {"keepDaily": 60}}}}`, nil)
	// A file with what ident replaces, and letters that encodings differ about.
	for _, r := range []rendered{first, changed} {
		for i, file := range r.bundle.Files {
			if strings.HasSuffix(file.Path, "flux.yaml") {
				r.bundle.Files[i].Data = append(file.Data, "# ä $Id: 1234 $\n"...)
			}
		}
	}
	attributes := func(line string, settings ...string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			for i := 0; i+1 < len(settings); i += 2 {
				run(t, dir, "config", settings[i], settings[i+1])
			}
			commitFile(t, dir, ".gitattributes", line+"\n")
		}
	}
	for name, test := range map[string]struct {
		prepare func(t *testing.T, dir string)
		// file and attribute are in the problem; empty if it is published.
		file, attribute string
	}{
		"clean filter":     {prepare: attributes("*.yaml filter=evil", "filter.evil.clean", "sed s/keepDaily/keepDailyEVIL/"), file: "shop/backup/shop/maintenance.yaml", attribute: "filter=evil"},
		"of one file":      {prepare: attributes("plan.json filter=evil", "filter.evil.clean", "tr -d '\\n'"), file: "shop/plan.json", attribute: "filter=evil"},
		"of the inventory": {prepare: attributes(".holdfast-inventory filter=evil", "filter.evil.clean", "sort -r"), file: "shop/.holdfast-inventory", attribute: "filter=evil"},
		"there and back": {prepare: attributes("*.yaml filter=rot13", "filter.rot13.clean", "tr a-z n-za-m", "filter.rot13.smudge", "tr a-z n-za-m"),
			file: "shop/flux.yaml", attribute: "filter=rot13"},
		"a filter that fails":   {prepare: attributes("flux.yaml filter=lfs", "filter.lfs.clean", "false", "filter.lfs.required", "true"), file: "shop/flux.yaml", attribute: "filter=lfs"},
		"of the repository":     {prepare: infoAttributes("flux.yaml filter=evil", "sed s/kind/kinder/"), file: "shop/flux.yaml", attribute: "filter=evil"},
		"ident":                 {prepare: attributes("*.yaml ident"), file: "shop/flux.yaml", attribute: "ident"},
		"encoding":              {prepare: attributes("*.yaml working-tree-encoding=ISO-8859-1"), file: "shop/flux.yaml", attribute: "working-tree-encoding=ISO-8859-1"},
		"encoding of two bytes": {prepare: attributes("*.yaml working-tree-encoding=UTF-16"), file: "shop/flux.yaml", attribute: "working-tree-encoding=UTF-16"},
		"smudge filter":         {prepare: attributes("* filter=evil", "filter.evil.smudge", "sed s/keep/kept/")},
		"a filter of nothing":   {prepare: attributes("* filter=evil", "filter.evil.clean", "cat")},
		"no such filter":        {prepare: attributes("* filter=lfs")},
		"encoding as it is":     {prepare: attributes("* working-tree-encoding=UTF-8")},
		"eol":                   {prepare: attributes("* text eol=crlf")},
		"autocrlf":              {prepare: attributes("", "core.autocrlf", "true")},
		"safecrlf": {prepare: func(t *testing.T, dir string) {
			commitFile(t, dir, "README", "x\n")
			run(t, dir, "config", "core.autocrlf", "true")
			run(t, dir, "config", "core.safecrlf", "true")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newRepository(t)
			test.prepare(t, dir)
			before := picture(t, dir)
			_, err := try(t, dir, first, Options{})
			if test.file != "" {
				wantRule(t, err, ruleAltered, test.file+": Git would commit other bytes than were rendered: the file has the attribute "+test.attribute+"\n")
				same(t, "the repository", before, picture(t, dir))
				noRemains(t, dir)
				// As the hint says.
				attribute, _, _ := strings.Cut(test.attribute, "=")
				file, err := os.OpenFile(attributesFile(dir), os.O_APPEND|os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := file.WriteString("shop/** -" + attribute + "\n"); err != nil {
					t.Fatal(err)
				}
				if err := file.Close(); err != nil {
					t.Fatal(err)
				}
				run(t, dir, "commit", "--quiet", "--allow-empty", "--all", "--message", "not of shop")
				must(t, dir, first, Options{})
			} else if err != nil {
				t.Fatal(err)
			}
			holds(t, dir, "HEAD", ".", first.bundle)
			if name == "smudge filter" {
				return // what it checks out is a change of its own
			}
			if again := must(t, dir, first, Options{}); len(again.Commits) != 0 {
				t.Errorf("a second commit: %+v", again)
			}
			// The message counts what is committed, and not what is checked out.
			must(t, dir, changed, Options{})
			holds(t, dir, "HEAD", ".", changed.bundle)
			if message := run(t, dir, "log", "-1", "--format=%B"); !strings.Contains(message, "files: 0 added, 3 changed, 0 removed") {
				t.Errorf("the message is\n%s", message)
			}
		})
	}
}

// attributesFile is the file with the attributes that prevail.
func attributesFile(dir string) string {
	if file := filepath.Join(dir, ".git", "info", "attributes"); exists(file) {
		return file
	}
	return filepath.Join(dir, ".gitattributes")
}

func exists(file string) bool {
	_, err := os.Lstat(file)
	return err == nil
}

// infoAttributes gives a repository an attribute that is not committed.
func infoAttributes(line, clean string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		commitFile(t, dir, "README", "x\n")
		run(t, dir, "config", "filter.evil.clean", clean)
		write(t, filepath.Join(dir, ".git", "info", "attributes"), line+"\n")
	}
}

// TestUndone: what somebody committed instead of what was rendered is put right,
// whatever a checkout makes of it.
func TestUndone(t *testing.T) {
	isolate(t)
	r := render(t, shop, "", nil)
	for name, change := range map[string]func(t *testing.T, dir string){
		"CRLF": func(t *testing.T, dir string) {
			data, err := os.ReadFile(filepath.Join(dir, "shop/flux.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "shop/flux.yaml"), strings.ReplaceAll(string(data), "\n", "\r\n"))
		},
		"executable": func(t *testing.T, dir string) { run(t, dir, "update-index", "--chmod=+x", "shop/flux.yaml") },
		"executable, no modes": func(t *testing.T, dir string) {
			run(t, dir, "config", "core.fileMode", "false")
			run(t, dir, "update-index", "--chmod=+x", "shop/flux.yaml")
		},
		"executable, and a file is gone": func(t *testing.T, dir string) {
			run(t, dir, "update-index", "--chmod=+x", "shop/flux.yaml")
			write(t, filepath.Join(dir, "shop/old.yaml"), "x\n")
			write(t, filepath.Join(dir, "shop/.holdfast-inventory"), strings.Replace(files(t, dir)["shop/.holdfast-inventory"], "\nflux.yaml\n", "\nflux.yaml\nold.yaml\n", 1))
			run(t, dir, "add", "shop/old.yaml", "shop/.holdfast-inventory")
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newRepository(t)
			must(t, dir, r, Options{})
			want := run(t, dir, "rev-parse", "HEAD^{tree}")
			change(t, dir)
			if strings.HasPrefix(name, "executable") {
				run(t, dir, "commit", "--quiet", "--message", "changed")
			} else {
				run(t, dir, "commit", "--quiet", "--all", "--message", "changed")
			}
			run(t, dir, "reset", "--quiet", "--hard")
			if run(t, dir, "rev-parse", "HEAD^{tree}") == want {
				t.Fatal("nothing changed")
			}
			must(t, dir, r, Options{})
			if got := run(t, dir, "rev-parse", "HEAD^{tree}"); got != want {
				t.Errorf("the tree differs:\n%s", run(t, dir, "diff", want))
			}
		})
	}
	// A link in a file's place is refused: it leads elsewhere.
	dir := newRepository(t)
	must(t, dir, r, Options{})
	run(t, dir, "rm", "--quiet", "shop/flux.yaml")
	if err := os.Symlink("plan.json", filepath.Join(dir, "shop/flux.yaml")); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "add", "--all")
	run(t, dir, "commit", "--quiet", "--message", "a link")
	before := picture(t, dir)
	_, err := try(t, dir, r, Options{})
	wantRule(t, err, ruleUnsafe, "shop/flux.yaml: this is a symlink or a special file")
	same(t, "the repository", before, picture(t, dir))
}

// TestSHA256 publishes to a repository with the longer ids.
func TestSHA256(t *testing.T) {
	isolate(t)
	dir := filepath.Join(t.TempDir(), "repo")
	run(t, ".", "init", "--quiet", "--object-format=sha256", dir)
	r := render(t, shop, "", nil)
	must(t, dir, r, Options{})
	holds(t, dir, "HEAD", ".", r.bundle)
	if again := must(t, dir, r, Options{}); len(again.Commits) != 0 {
		t.Errorf("a second commit: %+v", again)
	}
}
