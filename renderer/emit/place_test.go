package emit

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestInGitWorkTree(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"repo/.git", "repo/deep/er", "plain/sub", "worktree/x"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put(t, root, "worktree/.git", "gitdir: ../repo/.git/worktrees/x\n")
	put(t, root, "plain/file", "")
	for at, target := range map[string]string{"plain/link": "../repo/deep", "repo/out": "../plain/sub", "plain/dangling": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(root, at)); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		dir  string
		want bool
	}{
		"the root itself":            {dir: "repo", want: true},
		"below it":                   {dir: "repo/deep/er", want: true},
		"not there yet":              {dir: "repo/not/yet", want: true},
		"a linked work tree":         {dir: "worktree/x", want: true},
		"link into it":               {dir: "plain/link", want: true},
		"not there yet below a link": {dir: "plain/link/not/yet", want: true},
		"link and up again":          {dir: "plain/link/../x", want: true},
		"link out of it":             {dir: "repo/out", want: false},
		"outside":                    {dir: "plain/sub", want: false},
		"not there yet outside":      {dir: "plain/not/yet", want: false},
		"trailing slash":             {dir: "repo/deep/", want: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			// Not filepath.Join: it would shorten "link/..".
			got, err := InGitWorkTree(t.Context(), root+"/"+tt.dir)
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	t.Run("relative", func(t *testing.T) {
		t.Chdir(filepath.Join(root, "repo/deep"))
		for dir, want := range map[string]bool{".": true, "er": true, "not/yet": true, "../../plain/sub": false} {
			got, err := InGitWorkTree(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("%s: got %v, want %v", dir, got, want)
			}
		}
	})
	for name, dir := range map[string]string{"file": "plain/file", "below a file": "plain/file/x", "dangling link": "plain/dangling", "below a dangling link": "plain/dangling/x"} {
		t.Run(name, func(t *testing.T) {
			_, err := InGitWorkTree(t.Context(), filepath.Join(root, dir))
			if got := rules(t, err); len(got) != 1 || got[0][:5] != "HF504" {
				t.Errorf("problems %q", got)
			}
			if _, err := WriteTree(t.Context(), filepath.Join(root, dir), bundle("a/x", "x"), TreeOptions{}); err == nil {
				t.Error("WriteTree is content")
			}
		})
	}
	if _, err := InGitWorkTree(t.Context(), ""); err == nil {
		t.Error("no error without a name")
	}
	if _, err := InGitWorkTree(t.Context(), filepath.Join(root, "plain")+"/none/../x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v for a way up from nowhere", err)
	}
}

// TestInGitWorkTreeAsksGit: a work tree may be where no ".git" is above it.
func TestInGitWorkTreeAsksGit(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Log("git is not installed; TestInGitWorkTree has what is seen without it")
		return
	}
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"work/tree", "beside", "repo", "configured"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"} { // a hook may run the tests
		t.Setenv(name, "")
		_ = os.Unsetenv(name)
	}
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	for _, args := range [][]string{{"init", "--quiet", "repo"}, {"-C", "repo", "config", "core.worktree", "../../configured"}} {
		cmd := exec.Command(git, args...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	check := func(where string, want map[string]bool) {
		t.Helper()
		t.Chdir(filepath.Join(root, where))
		for dir, want := range want {
			got, err := InGitWorkTree(t.Context(), filepath.Join(root, dir))
			if err != nil || got != want {
				t.Errorf("from %s: %s: got %v, %v, want %v", where, dir, got, err, want)
			}
		}
	}
	check("repo", map[string]bool{"configured": true, "configured/not/yet": true, "work/tree": false})
	check("beside", map[string]bool{"configured": false, "work/tree": false, "beside": false})
	t.Setenv("GIT_DIR", filepath.Join(root, "repo/.git"))
	t.Setenv("GIT_WORK_TREE", filepath.Join(root, "work"))
	check("beside", map[string]bool{"work/tree/not/yet": true, "work": true, "beside": false, "work-not": false})
	_, err = WriteTree(t.Context(), filepath.Join(root, "work/tree"), bundle("a/secret.yaml", "s"), TreeOptions{})
	if got := rules(t, err); len(got) != 1 || !strings.HasPrefix(got[0], "HF501 ") {
		t.Errorf("problems %q", got)
	}
	t.Setenv("PATH", t.TempDir()) // no git: as before
	check("beside", map[string]bool{"work/tree": false, "repo/x": true})
}

func TestWriteTreeThroughLink(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(root, "link"), bundle("a/x.yaml", "x"), TreeOptions{})
	if got := contents(t, filepath.Join(root, "real")); got["a/x.yaml"] != "x" {
		t.Errorf("tree %v", got)
	}
	if info, err := os.Lstat(filepath.Join(root, "link")); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v %v", info, err)
	}
}
