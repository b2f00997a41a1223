package publish

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestExpose: what Git has or would take, and nothing else.
func TestExpose(t *testing.T) {
	isolate(t)
	dir := newRepository(t)
	outside := t.TempDir()
	commitFile(t, dir, ".gitignore", "*.secret\nprivate/\n")
	commitFile(t, dir, "tracked", "x")
	commitFile(t, dir, "sub/tracked.secret", "x") // by force
	write(t, filepath.Join(dir, "staged"), "x")
	run(t, dir, "add", "staged")
	for _, name := range []string{"new", "sub/:(top)new", "-x", "*", "new\nline", "a.secret", "private/a", "excluded"} {
		write(t, filepath.Join(dir, name), "x")
	}
	write(t, filepath.Join(dir, ".git", "info", "exclude"), "/excluded\n")
	write(t, filepath.Join(outside, "a"), "x")
	for link, to := range map[string]string{filepath.Join(dir, "out"): filepath.Join(outside, "a"), filepath.Join(outside, "in"): filepath.Join(dir, "new")} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	// A folder that looks like a repository, whose settings run a program.
	bare := filepath.Join(dir, "private", "bare")
	run(t, ".", "init", "--quiet", "--bare", bare)
	ran := filepath.Join(outside, "ran")
	run(t, ".", "--git-dir", bare, "config", "core.bare", "false")
	run(t, ".", "--git-dir", bare, "config", "core.worktree", bare)
	run(t, ".", "--git-dir", bare, "config", "core.fsmonitor", "touch "+ran)
	run(t, dir, "config", "core.fsmonitor", "touch "+ran)
	write(t, filepath.Join(bare, "a"), "x")

	var names []string
	for _, name := range []string{"tracked", "sub/tracked.secret", "staged", "new", "sub/:(top)new", "-x", "*", "new\nline", "a.secret",
		"private/a", "excluded", "out", "nowhere", ".git/HEAD", "private/bare/a", "sub"} {
		names = append(names, filepath.Join(dir, name))
	}
	names = append(names, filepath.Join(outside, "a"), filepath.Join(outside, "in"))
	var got []string
	for _, one := range Expose(context.Background(), names) {
		below, err := filepath.Rel(dir, one.Name)
		if err != nil || filepath.Dir(one.Name) == outside {
			below = "outside/" + filepath.Base(one.Name)
		}
		got = append(got, fmt.Sprintf("%s %t", below, one.Tracked))
	}
	want := []string{"tracked true", "sub/tracked.secret true", "staged true", "new false", "sub/:(top)new false", "-x false", "* false",
		"new\nline false", "outside/in false"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if exists(ran) {
		t.Error("a program of the repository ran")
	}
	t.Chdir(dir)
	if got := Expose(context.Background(), []string{"new", "a.secret"}); len(got) != 1 || got[0].Name != "new" {
		t.Errorf("got %v", got)
	}
	t.Run("another's repository", func(t *testing.T) {
		t.Setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
		if got := Expose(context.Background(), []string{"new"}); len(got) != 1 || got[0].Unknown == nil || !strings.Contains(got[0].Unknown.Error(), "dubious ownership") {
			t.Errorf("got %v", got)
		}
	})
	if err := os.Mkdir(filepath.Join(outside, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := Expose(context.Background(), []string{filepath.Join(outside, "a")}); len(got) > 0 {
		t.Errorf("below a .git that is no repository: %v", got)
	}
	if err := os.Remove(filepath.Join(outside, ".git")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", outside)
	if got := Expose(context.Background(), []string{"new", filepath.Join(outside, "a")}); len(got) != 1 || got[0].Unknown == nil {
		t.Errorf("without git: %v", got)
	}
}

// TestExposeFetchesNothing: a clone that lacks objects runs what its settings name to
// get them.
func TestExposeFetchesNothing(t *testing.T) {
	isolate(t)
	origin := newRepository(t)
	commitFile(t, origin, ".gitignore", "*.secret\n")
	run(t, origin, "config", "uploadpack.allowFilter", "true")
	clone := filepath.Join(t.TempDir(), "clone")
	run(t, ".", "clone", "--quiet", "--no-checkout", "--filter=blob:none", "file://"+origin, clone)
	run(t, clone, "sparse-checkout", "set", "--no-cone", "nothing")
	run(t, clone, "read-tree", "-mu", "HEAD") // in the index, and not among the files
	ran := filepath.Join(t.TempDir(), "ran")
	run(t, clone, "config", "remote.origin.uploadpack", "touch "+ran+"; git-upload-pack")
	name := filepath.Join(clone, "a.secret")
	write(t, name, "x")
	got := Expose(context.Background(), []string{name})
	if exists(ran) {
		t.Error("it was fetched")
	}
	if len(got) != 1 {
		t.Errorf("got %v", got)
	}
}
