package publish

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// wantRule fails unless err is problems that all break one rule, and say a text.
func wantRule(t *testing.T, err error, rule, text string) {
	t.Helper()
	var problems problem.List
	if !errors.As(err, &problems) {
		t.Fatalf("got %v, want a problem", err)
	}
	for _, p := range problems {
		if p.Rule != rule || p.Hint == "" {
			t.Errorf("got %s, want %s with a hint", p, rule)
		}
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("got\n%v\nwant %q", err, text)
	}
}

// TestPublish: the first commit of a repository, then nothing, then what one
// setting means.
func TestPublish(t *testing.T) {
	isolate(t)
	dir := newRepository(t)
	first := must(t, dir, render(t, shop, "", nil), Options{})
	if len(first.Commits) != 1 || first.Branch != "main" {
		t.Fatalf("%+v", first)
	}
	want := `backup of shop: 3 sources appear

appear:
  postgresql/main-globals
  postgresql/shop
  volume/uploads
Secrets:
  added shop/shop-restic
files: 24 added, 0 changed, 0 removed
`
	if got := run(t, dir, "log", "-1", "--format=%B"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if status := run(t, dir, "status", "--porcelain"); status != "" {
		t.Errorf("the work tree differs from the commit:\n%s", status)
	}
	again := must(t, dir, render(t, shop, "", nil), Options{})
	if len(again.Commits) != 0 {
		t.Errorf("%+v", again)
	}
	// One retention.
	policy := `{"schemaVersion": 1, "retention": {"overrides": {"postgresql/shop": {"keepDaily": 60}}}}`
	changed := render(t, shop, policy, nil)
	must(t, dir, changed, Options{})
	want = `backup of shop: 1 source changes

change:
  postgresql/shop: retention
of the instance: maintenance
files: 0 added, 3 changed, 0 removed
`
	if got := run(t, dir, "log", "-1", "--format=%B"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	touched := []string{"M\tshop/backup/shop/maintenance.yaml", "M\tshop/backup/shop/pg-shop.yaml", "M\tshop/plan.json"}
	if got := committed(t, dir, "HEAD"); !slices.Equal(got, touched) {
		t.Errorf("touched %q, want %q", got, touched)
	}
	holds(t, dir, "HEAD", ".", changed.bundle)
	if n := run(t, dir, "rev-list", "--count", "HEAD"); n != "2" {
		t.Errorf("%s commits", n)
	}
	noRemains(t, dir)
}

// TestMasked: a commit message stays for ever, and passes the mask.
func TestMasked(t *testing.T) {
	isolate(t)
	dir := newRepository(t)
	must(t, dir, render(t, shop, "", nil), Options{Mask: func(text string) string { return strings.ReplaceAll(text, "shop", "(masked)") }})
	got := run(t, dir, "log", "-1", "--format=%B")
	if strings.Contains(got, "shop") || !strings.Contains(got, "postgresql/(masked)") {
		t.Errorf("the message is\n%s", got)
	}
}

// TestPer: a fleet is one commit, or one for each instance that changes.
func TestPer(t *testing.T) {
	isolate(t)
	both := "../../examples/two-in-one-namespace"
	const shared = `{"schemaVersion": 1, "namespaces": [{"namespace": "shared", "instances": ["one", "two"], "reason": "one team has both"}]}`
	for name, test := range map[string]struct {
		options  Options
		subjects string
	}{
		"fleet":    {subjects: "backup of 2 instances: 8 sources appear"},
		"instance": {options: Options{PerInstance: true}, subjects: "backup of two: 4 sources appear\nbackup of one: 4 sources appear"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newRepository(t)
			result := must(t, dir, render(t, both, shared, nil), test.options)
			if got := run(t, dir, "log", "--format=%s"); got != test.subjects {
				t.Errorf("got\n%s\nwant\n%s", got, test.subjects)
			}
			if ids := run(t, dir, "log", "--reverse", "--format=%H"); ids != join(result.Commits) {
				t.Errorf("the commits are\n%s\nsaid are\n%s", ids, join(result.Commits))
			}
			// Only one of them changes.
			first := true
			result = must(t, dir, render(t, both, shared, func(state string) string {
				if !first {
					return state
				}
				first = false
				return strings.Replace(state, `"enabled": true`, `"enabled": true, "deadlines": {"check": 7200}`, 1)
			}), test.options)
			if len(result.Commits) != 1 || result.Commits[0].Subject != "backup of one: settings change" {
				t.Errorf("%+v", result.Commits)
			}
		})
	}
}

func join(commits []Commit) string {
	var ids []string
	for _, commit := range commits {
		ids = append(ids, commit.ID)
	}
	return strings.Join(ids, "\n")
}

// TestOthersStay: what others changed stays as it is, in the work tree, in the
// index, and out of the commit.
func TestOthersStay(t *testing.T) {
	isolate(t)
	for name, folder := range map[string]string{"top": ".", "below": "clusters/prod"} {
		t.Run(name, func(t *testing.T) {
			dir := newRepository(t)
			commitFile(t, dir, ".gitignore", "*.log\n")
			commitFile(t, dir, "apps/a.yaml", "a: 1\n")
			commitFile(t, dir, "apps/b.yaml", "b: 1\n")
			commitFile(t, dir, folder+"/shop/notes.md", "ours is the folder, this file is not\n")
			write(t, filepath.Join(dir, "apps/a.yaml"), "a: 2\n")
			run(t, dir, "add", "apps/a.yaml")
			write(t, filepath.Join(dir, "apps/a.yaml"), "a: 3\n")
			write(t, filepath.Join(dir, "apps/b.yaml"), "b: 2\n")
			write(t, filepath.Join(dir, "apps/c.yaml"), "c: 1\n")
			run(t, dir, "add", "--intent-to-add", "apps/c.yaml")
			write(t, filepath.Join(dir, "shops/d.yaml"), "d: 1\n")
			write(t, filepath.Join(dir, "debug.log"), "log\n")
			status := run(t, dir, "status", "--porcelain=v2", "--ignored")
			others := files(t, dir)

			r := render(t, shop, "", nil)
			must(t, dir, r, Options{Path: folder})
			same(t, "the status", status, run(t, dir, "status", "--porcelain=v2", "--ignored"))
			all := files(t, dir)
			for file, text := range others {
				if all[file] != text {
					t.Errorf("%s changed", file)
				}
			}
			for _, entry := range committed(t, dir, "HEAD") {
				if !strings.HasPrefix(entry, "A\t"+strings.TrimPrefix(folder+"/shop/", "./")) {
					t.Errorf("the commit has %s", entry)
				}
			}
			holds(t, dir, "HEAD", folder, r.bundle)
		})
	}
}

// TestDirty: nobody's changes in a folder of ours are overwritten or committed.
func TestDirty(t *testing.T) {
	isolate(t)
	changed := render(t, shop, `{"schemaVersion": 1, "timezone": "Europe/Berlin"}`, nil)
	for name, change := range map[string]func(t *testing.T, dir string){
		"edited": func(t *testing.T, dir string) { write(t, filepath.Join(dir, "shop/flux.yaml"), "x") },
		"staged": func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "shop/flux.yaml"), "x")
			run(t, dir, "add", "shop/flux.yaml")
		},
		"staged and taken back": func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "shop/flux.yaml"), "x")
			run(t, dir, "add", "shop/flux.yaml")
			run(t, dir, "restore", "--source=HEAD", "--worktree", "shop/flux.yaml")
		},
		"removed": func(t *testing.T, dir string) { run(t, dir, "rm", "--quiet", "shop/plan.json") },
		"new":     func(t *testing.T, dir string) { write(t, filepath.Join(dir, "shop/own/flux.yaml"), "x") },
		"renamed": func(t *testing.T, dir string) { run(t, dir, "mv", "shop/flux.yaml", "README") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := newRepository(t)
			must(t, dir, render(t, shop, "", nil), Options{})
			change(t, dir)
			before := picture(t, dir)
			_, err := try(t, dir, changed, Options{})
			wantRule(t, err, ruleDirty, "shop: has changes that are not committed: ")
			same(t, "the repository", before, picture(t, dir))
			noRemains(t, dir)
			// A branch for a review has nothing to do with the work tree.
			must(t, dir, changed, Options{Branch: "review"})
			run(t, dir, "update-ref", "-d", "refs/heads/review")
			same(t, "the repository", before, picture(t, dir))
		})
	}
}

// TestUnfinished: not in the middle of a merge.
func TestUnfinished(t *testing.T) {
	isolate(t)
	dir := newRepository(t)
	commitFile(t, dir, "a", "1\n")
	run(t, dir, "checkout", "--quiet", "-b", "other")
	commitFile(t, dir, "a", "2\n")
	run(t, dir, "checkout", "--quiet", "main")
	commitFile(t, dir, "b", "3\n")
	run(t, dir, "merge", "--quiet", "--no-commit", "--no-ff", "other")
	before := picture(t, dir)
	_, err := try(t, dir, render(t, shop, "", nil), Options{})
	wantRule(t, err, ruleBranch, "a merge, cherry-pick or revert is not finished here (MERGE_HEAD)")
	same(t, "the repository", before, picture(t, dir))
	must(t, dir, render(t, shop, "", nil), Options{Branch: "review"})
}

// TestDetached: a commit on no branch would be lost.
func TestDetached(t *testing.T) {
	isolate(t)
	dir := newRepository(t)
	commitFile(t, dir, "a", "1\n")
	run(t, dir, "checkout", "--quiet", "--detach")
	before := picture(t, dir)
	_, err := try(t, dir, render(t, shop, "", nil), Options{})
	wantRule(t, err, ruleBranch, "HEAD is detached")
	same(t, "the repository", before, picture(t, dir))
	result := must(t, dir, render(t, shop, "", nil), Options{Branch: "review"})
	if got := run(t, dir, "rev-parse", "review"); got != result.Commits[0].ID {
		t.Errorf("review is at %s", got)
	}
	run(t, dir, "update-ref", "-d", "refs/heads/review")
	same(t, "the repository", before, picture(t, dir))
}

// TestVanished: a source that is gone needs a tombstone that still counts.
func TestVanished(t *testing.T) {
	isolate(t)
	gone := without(t, uploads)
	dated := func(day string) func(string) string {
		return func(state string) string {
			return strings.Replace(gone(state), `"instanceId"`, `"generatedAt": "`+day+`T12:00:00Z", "instanceId"`, 1)
		}
	}
	retired := func(entry string) string { return `{"schemaVersion": 1, "retired": [` + entry + `]}` }
	for name, test := range map[string]struct {
		policy  string
		edit    func(string) string
		refused string
	}{
		"no policy":         {edit: gone, refused: "instance shop: volume/uploads was backed up and is gone from the inputs\n"},
		"another unit":      {edit: gone, policy: retired(`{"unit": "volume/upload", "reason": "x"}`), refused: "volume/uploads was backed up"},
		"another instance":  {edit: gone, policy: retired(`{"instance": "shop2", "unit": "volume/uploads", "reason": "x"}`), refused: "volume/uploads was backed up"},
		"tombstone":         {edit: gone, policy: retired(`{"unit": "volume/uploads", "reason": "x"}`)},
		"of the instance":   {edit: gone, policy: retired(`{"instance": "shop", "unit": "volume/uploads", "reason": "x"}`)},
		"its last day":      {edit: dated("2026-05-31"), policy: retired(`{"unit": "volume/uploads", "reason": "x", "until": "2026-05-31"}`)},
		"the day after":     {edit: dated("2026-06-01"), policy: retired(`{"unit": "volume/uploads", "reason": "x", "until": "2026-05-31"}`), refused: "its tombstone in the policy ended on 2026-05-31\n"},
		"one of two counts": {edit: dated("2026-06-01"), policy: retired(`{"unit": "volume/uploads", "reason": "x", "until": "2026-05-31"}, {"unit": "volume/uploads", "reason": "y"}`)},
		"nobody knows when": {edit: gone, policy: retired(`{"unit": "volume/uploads", "reason": "x", "until": "2000-01-01"}`)},
		"skipped":           {edit: func(state string) string { return skipUploads(state) }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newRepository(t)
			must(t, dir, render(t, shop, "", nil), Options{})
			before := picture(t, dir)
			_, err := try(t, dir, render(t, shop, test.policy, test.edit), Options{})
			if test.refused == "" {
				if err != nil {
					t.Fatal(err)
				}
				message := run(t, dir, "log", "-1", "--format=%B")
				if want := map[bool]string{true: "exempt now:\n  volume/uploads\n", false: "vanish, retired by the policy:\n  volume/uploads\n"}[name == "skipped"]; !strings.Contains(message, want) {
					t.Errorf("the message does not say so:\n%s", message)
				}
				return
			}
			wantRule(t, err, ruleVanished, test.refused)
			same(t, "the repository", before, picture(t, dir))
			noRemains(t, dir)
		})
	}
}

// skipUploads exempts the volume of the shop.
func skipUploads(state string) string {
	return strings.Replace(state, `"owner": { "uid": 1000, "gid": 1000 },
      "backup": "required"`, `"owner": { "uid": 1000, "gid": 1000 },
      "backup": "skip", "reason": "a cache"`, 1)
}

// TestLostPlan: who takes the plan away, or spoils it, does not get around that.
func TestLostPlan(t *testing.T) {
	isolate(t)
	for name, change := range map[string]func(t *testing.T, dir string){
		"removed":  func(t *testing.T, dir string) { run(t, dir, "rm", "--quiet", "shop/plan.json") },
		"no JSON":  func(t *testing.T, dir string) { write(t, filepath.Join(dir, "shop/plan.json"), "{") },
		"no plan":  func(t *testing.T, dir string) { write(t, filepath.Join(dir, "shop/plan.json"), `{"units": []}`) },
		"no units": func(t *testing.T, dir string) { write(t, filepath.Join(dir, "shop/plan.json"), `{"instance": "shop"}`) },
		"no ids": func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "shop/plan.json"), `{"instance": "shop", "enabled": true, "units": [1], "exemptions": []}`)
		},
		"a link": func(t *testing.T, dir string) {
			run(t, dir, "rm", "--quiet", "shop/plan.json")
			if err := os.Symlink("/etc/passwd", filepath.Join(dir, "shop/plan.json")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newRepository(t)
			must(t, dir, render(t, shop, "", nil), Options{})
			change(t, dir)
			run(t, dir, "add", "--all")
			run(t, dir, "commit", "--quiet", "--message", "spoiled")
			before := picture(t, dir)
			_, err := try(t, dir, render(t, shop, "", nil), Options{})
			var problems problem.List
			if !errors.As(err, &problems) || !strings.Contains(err.Error(), "so that nobody can tell whether a source vanished") {
				t.Fatalf("got %v", err)
			}
			same(t, "the repository", before, picture(t, dir))
		})
	}
}

// TestShrink: emit's rule holds here, too.
func TestShrink(t *testing.T) {
	isolate(t)
	dir := newRepository(t)
	must(t, dir, render(t, shop, "", nil), Options{})
	off := render(t, shop, "", func(state string) string {
		return strings.Replace(state, `"enabled": true`, `"enabled": false, "reason": "moved"`, 1)
	})
	before := picture(t, dir)
	_, err := try(t, dir, off, Options{})
	wantRule(t, err, "HF503", "would vanish")
	same(t, "the repository", before, picture(t, dir))
	must(t, dir, off, Options{AllowShrink: true})
	if got := run(t, dir, "log", "-1", "--format=%s"); got != "backup of shop: off" {
		t.Errorf("subject %s", got)
	}
	if got := run(t, dir, "ls-files"); got != "shop/.holdfast-inventory\nshop/plan.json" {
		t.Errorf("left are %s", got)
	}
}

// TestOddNames: folders and branches may be called almost anything.
func TestOddNames(t *testing.T) {
	isolate(t)
	r := render(t, shop, "", nil)
	for _, name := range []string{"a b", "'\"$(x)`", "[a]*?{b,c}", ":(top)x", "-x", "a\\b", "~!#%2e", "ä\u0301\U0001F4BE"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), name+"\nrepo")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			run(t, dir, "init", "--quiet")
			commitFile(t, dir, "a", "a\n")
			must(t, dir, r, Options{Path: name})
			holds(t, dir, "HEAD", name, r.bundle)
			if result := must(t, dir, r, Options{Path: name}); len(result.Commits) != 0 {
				t.Errorf("%+v", result)
			}
			write(t, filepath.Join(dir, name, "shop", "x"), "x")
			_, err := try(t, dir, r, Options{Path: name})
			wantRule(t, err, ruleDirty, ": has changes that are not committed: x\n")
			noRemains(t, dir)
		})
	}
	for _, name := range []string{"review/ä\U0001F4BE", "a'b\"c$(x)#d%2e", "HEAD", "refs/heads/x"} {
		t.Run("branch "+name, func(t *testing.T) {
			remote, dir := newRemote(t)
			result := must(t, dir, r, Options{Branch: name, Push: true})
			if got := run(t, remote, "rev-parse", "refs/heads/"+name); got != result.Commits[0].ID {
				t.Errorf("the remote has %s", got)
			}
		})
	}
	for _, name := range []string{"a b", "-x", "a..b", "a~1", "x.lock", "a\nb", "/x", "@{u}", "x/", "*"} {
		t.Run("no branch "+name, func(t *testing.T) {
			dir := newRepository(t)
			_, err := try(t, dir, r, Options{Branch: name})
			var misuse Misuse
			if !errors.As(err, &misuse) || !strings.Contains(err.Error(), "is no name that a branch can have") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestFolder: a path stays in the repository and out of Git's own folder.
func TestFolder(t *testing.T) {
	for name, want := range map[string]string{
		".": ".", "./": ".", "a": "a", "./a/b/": "a/b", "a/../b": "b", "a b": "a b", ".github": ".github", "a.git": "a.git",
	} {
		if got, err := Folder(name); err != nil || got != want {
			t.Errorf("%q is %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"..", "../x", "/x", "a/../../x", ".git", ".git/x", "a/.GIT/x", "a\nb", "a\x7fb"} {
		_, err := Folder(name)
		if err == nil {
			t.Errorf("%q is allowed", name)
			continue
		}
		wantRule(t, err, ruleUnsafe, "this path ")
	}
}

// TestLinks: nothing is written where a link in the repository leads.
func TestLinks(t *testing.T) {
	isolate(t)
	outside := t.TempDir()
	for name, link := range map[string]string{
		"the path":        "clusters",
		"above it":        "clusters/prod",
		"a file":          "clusters/prod/x",
		"instance folder": "clusters/prod/x/shop",
	} {
		t.Run(name, func(t *testing.T) {
			dir := newRepository(t)
			if name == "a file" {
				commitFile(t, dir, link, "x")
			} else {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, link)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(outside, filepath.Join(dir, link)); err != nil {
					t.Fatal(err)
				}
				run(t, dir, "add", "--all")
				run(t, dir, "commit", "--quiet", "--message", "link")
			}
			before := picture(t, dir)
			_, err := try(t, dir, render(t, shop, "", nil), Options{Path: "clusters/prod/x"})
			wantRule(t, err, ruleUnsafe, link)
			if strings.Contains(err.Error(), "holdfast-publish") {
				t.Errorf("the temporary folder is named: %v", err)
			}
			same(t, "the repository", before, picture(t, dir))
			if entries, _ := os.ReadDir(outside); len(entries) > 0 {
				t.Errorf("%v was written", entries)
			}
		})
	}
}

// TestOpen: what cannot be published to.
func TestOpen(t *testing.T) {
	isolate(t)
	dir := newRepository(t)
	write(t, filepath.Join(dir, "below", "x"), "x")
	bare := filepath.Join(t.TempDir(), "bare.git")
	run(t, ".", "init", "--quiet", "--bare", bare)
	for name, test := range map[string]struct{ dir, want string }{
		"nowhere":     {filepath.Join(dir, "nowhere"), "this is no folder that can be read"},
		"a file":      {filepath.Join(dir, "below", "x"), "this is no folder that can be read"},
		"no Git":      {t.TempDir(), "is no Git work tree: "},
		"below":       {filepath.Join(dir, "below"), "lies inside a Git work tree, but is not its top"},
		"bare":        {bare, "is a Git repository without a work tree"},
		"Git's own":   {filepath.Join(dir, ".git"), "is a Git repository without a work tree"},
		"broken HEAD": {brokenHead(t), "is no Git work tree: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(context.Background(), test.dir, talk{t})
			var misuse Misuse
			if !errors.As(err, &misuse) || !strings.Contains(misuse.Message, test.want) || !strings.Contains(misuse.Message, test.dir) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("no git", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if _, err := Open(context.Background(), dir, talk{t}); err == nil || !strings.Contains(err.Error(), "git is not installed") {
			t.Errorf("got %v", err)
		}
	})
}

func brokenHead(t *testing.T) string {
	t.Helper()
	dir := newRepository(t)
	write(t, filepath.Join(dir, ".git", "HEAD"), "nonsense\n")
	return dir
}

// TestEnvironment: a hook that runs us has variables that lead elsewhere.
func TestEnvironment(t *testing.T) {
	isolate(t)
	dir, elsewhere := newRepository(t), newRepository(t)
	commitFile(t, elsewhere, "a", "a\n")
	before := picture(t, elsewhere)
	for name, value := range map[string]string{
		"GIT_DIR": filepath.Join(elsewhere, ".git"), "GIT_WORK_TREE": elsewhere, "GIT_INDEX_FILE": filepath.Join(elsewhere, ".git", "index"),
		"GIT_PREFIX": "x/", "GIT_GLOB_PATHSPECS": "1",
	} {
		t.Setenv(name, value)
	}
	r := render(t, shop, "", nil)
	must(t, dir, r, Options{})
	for _, name := range []string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_GLOB_PATHSPECS"} {
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "the other repository", before, picture(t, elsewhere))
	holds(t, dir, "HEAD", ".", r.bundle)
}

// TestSettings: what users configure changes neither what is committed nor that
// a second run has nothing to do.
func TestSettings(t *testing.T) {
	isolate(t)
	for name, prepare := range map[string]func(t *testing.T, dir string){
		"ignored files":   func(t *testing.T, dir string) { commitFile(t, dir, ".gitignore", "*.json\nshop/\n.*\n") },
		"line ends":       func(t *testing.T, dir string) { run(t, dir, "config", "core.autocrlf", "true") },
		"attributes":      func(t *testing.T, dir string) { commitFile(t, dir, ".gitattributes", "*.yaml text eol=crlf\n") },
		"sparse":          func(t *testing.T, dir string) { run(t, dir, "sparse-checkout", "set", "apps") },
		"quoted names":    func(t *testing.T, dir string) { run(t, dir, "config", "core.quotePath", "true") },
		"no untracked":    func(t *testing.T, dir string) { run(t, dir, "config", "status.showUntrackedFiles", "no") },
		"signed merges":   func(t *testing.T, dir string) { run(t, dir, "config", "merge.verifySignatures", "true") },
		"no fast-forward": func(t *testing.T, dir string) { run(t, dir, "config", "merge.ff", "false") },
		"autostash":       func(t *testing.T, dir string) { run(t, dir, "config", "merge.autoStash", "true") },
		"submodules": func(t *testing.T, dir string) {
			other := newRepository(t)
			commitFile(t, other, "a", "x\n")
			run(t, dir, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", other, "module")
			run(t, dir, "commit", "--quiet", "--message", "a submodule")
			run(t, dir, "config", "submodule.recurse", "true")
		},
		"stripped": func(t *testing.T, dir string) { run(t, dir, "config", "commit.cleanup", "strip") },
		"colours":  func(t *testing.T, dir string) { run(t, dir, "config", "color.ui", "always") },
		"worktree config": func(t *testing.T, dir string) {
			run(t, dir, "config", "extensions.worktreeConfig", "true")
			run(t, dir, "config", "--worktree", "user.name", "Nobody")
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newRepository(t)
			commitFile(t, dir, "apps/a", "a\n")
			prepare(t, dir)
			r := render(t, shop, "", nil)
			must(t, dir, r, Options{})
			holds(t, dir, "HEAD", ".", r.bundle)
			if result := must(t, dir, r, Options{}); len(result.Commits) != 0 {
				t.Errorf("a second commit: %+v", result)
			}
			changed := render(t, shop, `{"schemaVersion": 1, "retired": [{"unit": "volume/uploads", "reason": "x"}]}`, without(t, uploads))
			must(t, dir, changed, Options{})
			holds(t, dir, "HEAD", ".", changed.bundle)
			if got := run(t, dir, "ls-files", "shop/restore/shop/vol-uploads.yaml"); got != "" {
				t.Errorf("%s is still there", got)
			}
			if author := run(t, dir, "log", "-1", "--format=%an"); name == "worktree config" && author != "Nobody" {
				t.Errorf("the author is %s", author)
			}
			noRemains(t, dir)
		})
	}
}

// TestLinkedWorkTree publishes from a work tree beside the main one.
func TestLinkedWorkTree(t *testing.T) {
	isolate(t)
	dir := newRepository(t)
	commitFile(t, dir, "a", "a\n")
	linked := filepath.Join(t.TempDir(), "linked")
	run(t, dir, "worktree", "add", "--quiet", "-b", "prod", linked)
	before := run(t, dir, "rev-parse", "main")
	r := render(t, shop, "", nil)
	if result := must(t, linked, r, Options{}); result.Branch != "prod" {
		t.Errorf("%+v", result)
	}
	holds(t, dir, "prod", ".", r.bundle)
	if got := run(t, dir, "rev-parse", "main"); got != before {
		t.Error("main moved")
	}
	if status := run(t, linked, "status", "--porcelain"); status != "" {
		t.Errorf("status: %s", status)
	}
	_, err := try(t, dir, r, Options{Branch: "prod"})
	wantRule(t, err, ruleBranch, "is checked out in another work tree")
}

// TestIgnoredInTheWay: git takes ignored files for worthless, and we do not.
func TestIgnoredInTheWay(t *testing.T) {
	isolate(t)
	dir := newRepository(t)
	commitFile(t, dir, ".gitignore", "plan.json\n")
	write(t, filepath.Join(dir, "shop/plan.json"), "somebody's\n")
	before := picture(t, dir)
	_, err := try(t, dir, render(t, shop, "", nil), Options{})
	if err == nil || !strings.Contains(err.Error(), "the work tree cannot take the commit") {
		t.Fatalf("got %v", err)
	}
	same(t, "the repository", before, picture(t, dir))
	noRemains(t, dir)
}

// TestReview makes, and goes on with, a branch for a review.
func TestReview(t *testing.T) {
	isolate(t)
	remote, dir := newRemote(t)
	other := cloneAgain(t, remote)
	commitFile(t, other, "a", "a\n")
	run(t, other, "push", "--quiet")
	// What is here and not at the remote is not for the review.
	commitFile(t, dir, "unfinished", "x\n")
	write(t, filepath.Join(dir, "README"), "edited\n")
	before := picture(t, dir)

	r := render(t, shop, "", nil)
	first := must(t, dir, r, Options{Branch: "holdfast/review", Push: true})
	if first.Pushed != "origin/holdfast/review" || first.Branch != "holdfast/review" || len(first.Commits) != 1 {
		t.Errorf("%+v", first)
	}
	if got, want := run(t, remote, "rev-parse", "holdfast/review~1"), run(t, remote, "rev-parse", "main"); got != want {
		t.Error("the branch does not start where main is at the remote")
	}
	if got := run(t, dir, "rev-parse", "holdfast/review"); got != first.Commits[0].ID {
		t.Errorf("here the branch is at %s", got)
	}
	// A second run has nothing to do.
	if again := must(t, dir, r, Options{Branch: "holdfast/review", Push: true}); len(again.Commits) != 0 || again.Pushed != "" {
		t.Errorf("%+v", again)
	}
	// A reviewer adds a commit; ours comes on top of it.
	run(t, other, "fetch", "--quiet")
	run(t, other, "checkout", "--quiet", "holdfast/review")
	commitFile(t, other, "reviewed", "ok\n")
	run(t, other, "push", "--quiet")
	reviewed := run(t, other, "rev-parse", "HEAD")
	second := must(t, dir, render(t, shop, `{"schemaVersion": 1, "timezone": "Europe/Berlin"}`, nil), Options{Branch: "holdfast/review", Push: true})
	if got := run(t, remote, "rev-parse", "holdfast/review~1"); got != reviewed || len(second.Commits) != 1 {
		t.Errorf("%+v on top of %s", second, got)
	}
	// When it is merged, the next review starts anew from main.
	run(t, other, "pull", "--quiet")
	run(t, other, "checkout", "--quiet", "main")
	run(t, other, "merge", "--quiet", "--no-ff", "--no-edit", "holdfast/review")
	run(t, other, "push", "--quiet")
	if merged := must(t, dir, render(t, shop, `{"schemaVersion": 1, "timezone": "Europe/Berlin"}`, nil), Options{Branch: "holdfast/review", Push: true}); len(merged.Commits) != 0 || merged.Pushed != "" {
		t.Errorf("%+v", merged)
	}
	third := must(t, dir, r, Options{Branch: "holdfast/review", Push: true})
	if got, want := run(t, remote, "rev-parse", "holdfast/review~1"), run(t, remote, "rev-parse", "main"); got != want || len(third.Commits) != 1 {
		t.Error("the branch does not go on from main")
	}

	// All the while, nothing was seen of it in the work tree.
	run(t, dir, "update-ref", "-d", "refs/heads/holdfast/review")
	run(t, dir, "update-ref", "-d", "refs/remotes/origin/holdfast/review")
	run(t, dir, "update-ref", "refs/remotes/origin/main", strings.Fields(before[strings.Index(before, "refs/remotes/origin/main "):])[1])
	same(t, "the repository", before, picture(t, dir))
	noRemains(t, dir)
}

// TestReviewElsewhere: without --push, nothing goes over the network.
func TestReviewElsewhere(t *testing.T) {
	isolate(t)
	remote, dir := newRemote(t)
	commitFile(t, dir, "unfinished", "x\n")
	if err := os.Rename(remote, remote+".away"); err != nil {
		t.Fatal(err)
	}
	result := must(t, dir, render(t, shop, "", nil), Options{Branch: "review"})
	if got, want := run(t, dir, "rev-parse", "review~1"), run(t, dir, "rev-parse", "origin/main"); got != want || result.Pushed != "" {
		t.Errorf("%+v", result)
	}
	// With a remote again, the same run pushes what it has.
	if err := os.Rename(remote+".away", remote); err != nil {
		t.Fatal(err)
	}
	pushed := must(t, dir, render(t, shop, "", nil), Options{Branch: "review", Push: true})
	if got := run(t, remote, "rev-parse", "review"); len(pushed.Commits) != 0 || pushed.Pushed != "origin/review" || got != result.Commits[0].ID {
		t.Errorf("%+v", pushed)
	}
	var misuse Misuse
	if _, err := try(t, dir, render(t, shop, "", nil), Options{Branch: "main"}); !errors.As(err, &misuse) {
		t.Errorf("got %v", err)
	}
}

// TestUnborn: repositories without a commit, here or there.
func TestUnborn(t *testing.T) {
	isolate(t)
	r := render(t, shop, "", nil)
	work := t.TempDir()
	remote := filepath.Join(work, "remote.git")
	run(t, ".", "init", "--quiet", "--bare", remote)
	clones := make([]string, 3)
	for i := range clones {
		clones[i] = filepath.Join(work, fmt.Sprint(i))
		run(t, ".", "clone", "--quiet", remote, clones[i])
	}
	write(t, filepath.Join(clones[0], "staged"), "x\n")
	run(t, clones[0], "add", "staged")
	first := must(t, clones[0], r, Options{Push: true})
	if got := run(t, remote, "rev-parse", "main"); first.Pushed != "origin/main" || first.Behind != nil || got != first.Commits[0].ID {
		t.Errorf("%+v", first)
	}
	if status := run(t, clones[0], "status", "--porcelain"); status != "A  staged" {
		t.Errorf("status: %s", status)
	}
	// Another clone that is still empty finds it all done.
	if second := must(t, clones[1], r, Options{Push: true}); len(second.Commits) != 0 || second.Pushed != "" {
		t.Errorf("%+v", second)
	}
	// A third goes on from there.
	third := must(t, clones[2], render(t, shop, `{"schemaVersion": 1, "timezone": "Europe/Berlin"}`, nil), Options{Push: true})
	if got := run(t, clones[2], "rev-parse", "HEAD"); third.Behind != nil || got != third.Commits[0].ID {
		t.Errorf("%+v", third)
	}
	if status := run(t, clones[2], "status", "--porcelain", "--branch"); strings.Contains(status, "\n") {
		t.Errorf("status: %s", status)
	}
	dir := newRepository(t)
	review := must(t, dir, r, Options{Branch: "review"})
	if got := run(t, dir, "for-each-ref", "--format=%(refname) %(objectname)"); got != "refs/heads/review "+review.Commits[0].ID {
		t.Errorf("references: %s", got)
	}
	if status := run(t, dir, "status", "--porcelain"); status != "" {
		t.Errorf("status: %s", status)
	}
}
