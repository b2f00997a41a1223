package emit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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
			got, err := InGitWorkTree(root + "/" + tt.dir)
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
			got, err := InGitWorkTree(dir)
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
			_, err := InGitWorkTree(filepath.Join(root, dir))
			if got := rules(t, err); len(got) != 1 || got[0][:5] != "HF504" {
				t.Errorf("problems %q", got)
			}
			if _, err := WriteTree(t.Context(), filepath.Join(root, dir), bundle("a/x", "x"), TreeOptions{}); err == nil {
				t.Error("WriteTree is content")
			}
		})
	}
	if _, err := InGitWorkTree(""); err == nil {
		t.Error("no error without a name")
	}
	if _, err := InGitWorkTree(filepath.Join(root, "plain") + "/none/../x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v for a way up from nowhere", err)
	}
}

func TestWriteTreeThroughLink(t *testing.T) {
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
