package publish

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
	"github.com/holdfast-backup/holdfast/templates"
)

// isolate keeps the machine's own configuration of git out of a test, and gives
// it a folder for temporary files in which it can see what is left over.
func isolate(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short leaves out what runs Git")
	}
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "GIT_") {
			t.Setenv(name, "") // restores it in the end
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	home := t.TempDir()
	config := filepath.Join(home, "gitconfig")
	write(t, config, `[user]
	name = Somebody
	email = somebody@example.com
[init]
	defaultBranch = main
[gc]
	auto = 0
[maintenance]
	auto = false
`)
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("GIT_CONFIG_GLOBAL", config)
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	t.Setenv("GIT_TERMINAL_PROMPT", "0")
	t.Setenv("TMPDIR", t.TempDir())
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// hook writes an executable hook of a repository.
func hook(t *testing.T, dir, name, script string) {
	t.Helper()
	file := filepath.Join(dir, ".git", "hooks", name)
	write(t, file, "#!/bin/sh\n"+script)
	if err := os.Chmod(file, 0o755); err != nil {
		t.Fatal(err)
	}
}

// run runs git as a user would, and returns what it prints.
func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSuffix(stdout.String(), "\n")
}

// newRepository makes an empty one, on a branch without commits.
func newRepository(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "repo")
	run(t, ".", "init", "--quiet", dir)
	return dir
}

// commitFile commits a file.
func commitFile(t *testing.T, dir, name, text string) {
	t.Helper()
	write(t, filepath.Join(dir, name), text)
	run(t, dir, "add", "--force", "--", name)
	run(t, dir, "commit", "--quiet", "--message", "somebody's "+name, "--", name)
}

// newRemote makes a bare repository with one commit, and a clone of it.
func newRemote(t *testing.T) (remote, clone string) {
	t.Helper()
	work := t.TempDir()
	remote, clone = filepath.Join(work, "remote.git"), filepath.Join(work, "clone")
	run(t, ".", "init", "--quiet", "--bare", remote)
	run(t, ".", "clone", "--quiet", remote, clone)
	commitFile(t, clone, "README", "hello\n")
	run(t, clone, "push", "--quiet", "--set-upstream", "origin", "main")
	return remote, clone
}

// cloneAgain clones a remote for somebody else.
func cloneAgain(t *testing.T, remote string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "other")
	run(t, ".", "clone", "--quiet", remote, dir)
	return dir
}

// rendered is a bundle with its plans.
type rendered struct {
	bundle manifest.Bundle
	plans  []*plan.Plan
}

const shop = "../../examples/minimal"

// render renders an example; edit may change its state, policy may be empty.
func render(t *testing.T, dir, policy string, edit func(state string) string) rendered {
	t.Helper()
	return renderMode(t, dir, policy, secrets.SOPS, edit)
}

// renderMode is render with another mode of secrets.
func renderMode(t *testing.T, dir, policy string, mode secrets.Mode, edit func(state string) string) rendered {
	t.Helper()
	var in renderer.Inputs
	read := func(name string) input.Document {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return input.Document{Name: name, Data: data}
	}
	folders := []string{"."}
	if _, err := os.Stat(filepath.Join(dir, "runtime-state.json")); err != nil {
		folders = []string{"one", "two"}
	}
	for _, folder := range folders {
		state := read(filepath.Join(folder, "runtime-state.json"))
		if edit != nil {
			state.Data = []byte(edit(string(state.Data)))
		}
		in.States = append(in.States, state)
		in.Credentials = append(in.Credentials, read(filepath.Join(folder, "backup-credentials.json")))
	}
	if policy != "" {
		in.Policy = &input.Document{Name: "policy.json", Data: []byte(policy)}
	}
	r, err := renderer.New(templates.FS)
	if err != nil {
		t.Fatal(err)
	}
	made, err := r.Render(in, renderer.Options{Secrets: mode})
	if err != nil {
		t.Fatal(err)
	}
	result := rendered{bundle: made.Bundle}
	for _, p := range made.Planned {
		result.plans = append(result.plans, p.Plan)
	}
	return result
}

// without returns a change of a state that cuts a text out.
func without(t *testing.T, text string) func(string) string {
	return func(state string) string {
		if !strings.Contains(state, text) {
			t.Fatalf("the state has no %s", text)
		}
		return strings.Replace(state, text, "", 1)
	}
}

const uploads = `,
  "volumes": [
    {
      "claim": "uploads",
      "accessModes": ["ReadWriteOnce"],
      "workload": { "kind": "Deployment", "name": "shop" },
      "owner": { "uid": 1000, "gid": 1000 },
      "backup": "required"
    }
  ]`

// try publishes and returns all that it gives.
func try(t *testing.T, dir string, r rendered, o Options) (Result, error) {
	t.Helper()
	repository, err := Open(context.Background(), dir, talk{t})
	if err != nil {
		return Result{}, err
	}
	if o.Path == "" {
		o.Path = "."
	}
	return repository.Publish(context.Background(), r.bundle, r.plans, o)
}

// talk shows what git says when a test fails.
type talk struct{ t *testing.T }

func (w talk) Write(data []byte) (int, error) {
	w.t.Logf("git: %s", data)
	return len(data), nil
}

// must publishes without an error.
func must(t *testing.T, dir string, r rendered, o Options) Result {
	t.Helper()
	result, err := try(t, dir, r, o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// picture is all that a repository shows: HEAD, branches, the index, the files,
// and what git reports about them.
func picture(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	for _, args := range [][]string{
		{"for-each-ref", "--format=%(refname) %(objectname)"},
		{"ls-files", "--stage", "--debug"},
		{"--no-optional-locks", "status", "--porcelain=v2", "--branch", "--ignored", "--untracked-files=all"},
		{"config", "--list", "--local"},
	} {
		if strings.HasSuffix(dir, ".git") && args[0] != "for-each-ref" {
			continue
		}
		fmt.Fprintf(&b, "git %s\n%s\n", args[0], run(t, dir, args...))
	}
	if strings.HasSuffix(dir, ".git") {
		return b.String()
	}
	head, err := os.ReadFile(filepath.Join(dir, ".git", "HEAD"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "%s", head)
	for name, text := range files(t, dir) {
		fmt.Fprintf(&b, "%s %d\n", name, len(text))
	}
	lines := strings.Split(b.String(), "\n")
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// files are the files of a work tree, without Git's own.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.Name() == ".git" {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if entry.IsDir() {
			return nil
		}
		below, _ := filepath.Rel(dir, file)
		if entry.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(file)
			all[filepath.ToSlash(below)] = "-> " + target
			return err
		}
		data, err := os.ReadFile(file)
		all[filepath.ToSlash(below)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// noRemains fails if anything temporary is left over.
func noRemains(t *testing.T, dir string) {
	t.Helper()
	if left, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "holdfast-*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %s (%v)", left, err)
	}
	if trees := run(t, dir, "worktree", "list"); strings.Contains(trees, "holdfast-publish") {
		t.Errorf("left over: %s", trees)
	}
	if locks, _ := filepath.Glob(filepath.Join(dir, ".git", "*.lock")); len(locks) > 0 {
		t.Errorf("left over: %s", locks)
	}
}

// same compares two pictures.
func same(t *testing.T, what, before, after string) {
	t.Helper()
	if before != after {
		t.Errorf("%s changed:\n%s", what, lineDiff(before, after))
	}
}

// lineDiff lists the lines that only one of two texts has.
func lineDiff(before, after string) string {
	count := map[string]int{}
	for line := range strings.Lines(before) {
		count[line]--
	}
	for line := range strings.Lines(after) {
		count[line]++
	}
	var b strings.Builder
	for line, n := range count {
		switch {
		case n < 0:
			fmt.Fprintf(&b, "-%s\n", strings.TrimSuffix(line, "\n"))
		case n > 0:
			fmt.Fprintf(&b, "+%s\n", strings.TrimSuffix(line, "\n"))
		}
	}
	return b.String()
}

// committed lists the files that a commit touches, as git calls it: "A\tname".
func committed(t *testing.T, dir, commit string) []string {
	t.Helper()
	return strings.Split(run(t, dir, "show", "--format=", "--name-status", "--no-renames", commit), "\n")
}

// holds checks that a commit has the files of a bundle below a folder, byte by
// byte.
func holds(t *testing.T, dir, commit, folder string, b manifest.Bundle) {
	t.Helper()
	for _, file := range b.Files {
		name := file.Path
		if folder != "." {
			name = folder + "/" + name
		}
		cmd := exec.Command("git", "cat-file", "blob", commit+":"+name)
		cmd.Dir = dir
		got, err := cmd.Output()
		if err != nil || !bytes.Equal(got, file.Data) {
			t.Errorf("%s of %s is not what was rendered (%v)", name, commit, err)
		}
	}
}

// withoutTracking leaves out of a picture what a fetch may change.
func withoutTracking(picture string) string {
	var kept []string
	for line := range strings.Lines(picture) {
		if !strings.HasPrefix(line, "refs/remotes/") && !strings.HasPrefix(line, "# branch.ab ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}
