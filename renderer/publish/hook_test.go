package publish

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPublishBesideAnother: two runs publish from one work tree. Git moves files before
// it moves the branch, and the second must not be in between.
func TestPublishBesideAnother(t *testing.T) {
	isolate(t)
	dir := newRepository(t)
	commitFile(t, dir, "README", "x\n")
	first, second := render(t, shop, "", nil), render(t, "../../examples/no-rwx", "", nil)
	publish := func(r rendered, wait time.Duration) error {
		repository, err := Open(t.Context(), dir, talk{t})
		if err != nil {
			return err
		}
		repository.testOnlyLockWait = wait
		_, err = repository.Publish(t.Context(), r.bundle, r.plans, Options{Path: "."})
		return err
	}
	// The first run stops where the files are there and the branch is not.
	here, on := filepath.Join(t.TempDir(), "here"), filepath.Join(t.TempDir(), "on")
	hook(t, dir, "reference-transaction", `[ "$1" = prepared ] && grep -q refs/heads/main && [ ! -e `+here+` ] || exit 0
touch `+here+`
for i in $(seq 300); do [ -e `+on+` ] && exit 0; sleep 0.1; done`)
	done := make(chan error, 1)
	go func() { done <- publish(first, 0) }()
	for range 300 {
		if _, err := os.Stat(here); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	err := publish(second, 100*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "another run is writing into "+filepath.Join(dir, ".git")) || !strings.Contains(err.Error(), nothing) {
		t.Errorf("beside another: %v", err)
	}
	if status := run(t, dir, "status", "--porcelain", "--", second.plans[0].Instance); status != "" {
		t.Errorf("left:\n%s", status)
	}
	write(t, on, "")
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := publish(second, 0); err != nil {
		t.Error(err)
	}
	holds(t, dir, "HEAD", ".", first.bundle)
	holds(t, dir, "HEAD", ".", second.bundle)
	if status := run(t, dir, "status", "--porcelain"); status != "" {
		t.Errorf("status:\n%s", status)
	}
}

// TestHooks: hooks see the commit, may refuse it and may write its message, and
// must not change what is in it.
func TestHooks(t *testing.T) {
	isolate(t)
	first, changed := render(t, shop, "", nil), render(t, shop, `{"schemaVersion": 1, "timezone": "Europe/Berlin"}`, nil)
	for name, test := range map[string]struct {
		prepare func(t *testing.T, dir string)
		// failed is in the error; empty if the commit is made.
		failed string
		// message is in the commit's message.
		message string
	}{
		"pre-commit refuses":         {prepare: hooks("pre-commit", "exit 1"), failed: "git commit: exit status 1; nothing was published"},
		"commit-msg refuses":         {prepare: hooks("commit-msg", "exit 3"), failed: "git commit: exit status 1; nothing was published"},
		"prepare-commit-msg refuses": {prepare: hooks("prepare-commit-msg", "exit 1"), failed: "git commit: exit status 1; nothing was published"},
		"git is ended by a signal":   {prepare: hooks("pre-commit", "kill -INT $PPID; sleep 1"), failed: "interrupted: nothing was published"},
		"pre-commit sees ours only":  {prepare: hooks("pre-commit", `test "$(git diff --cached --name-only | grep -vc ^shop/)" = 0 && grep -q Europe/Berlin shop/plan.json && test -e README`), message: "backup of shop"},
		"commit-msg adds":            {prepare: hooks("commit-msg", `echo "Reviewed-by: nobody" >>"$1"`), message: "\nReviewed-by: nobody"},
		"a number sign":              {prepare: hooks("commit-msg", `echo "#42 closed" >>"$1"`), message: "\n#42 closed"},
		"pre-commit reformats":       {prepare: hooks("pre-commit", "echo >>shop/plan.json; git add shop/plan.json"), failed: "a hook of the repository changes what is committed: keep it away from .; nothing was published"},
		"pre-commit adds its own":    {prepare: hooks("pre-commit", "echo >CHANGES; git add CHANGES"), failed: "a hook of the repository changes what is committed"},
		"pre-commit takes out":       {prepare: hooks("pre-commit", "git rm --quiet --cached shop/flux.yaml"), failed: "a hook of the repository changes what is committed"},
		"no checkout is seen":        {prepare: hooks("post-checkout", "exit 1"), message: "backup of shop"},
		"post-commit goes on":        {prepare: hooks("post-commit", "sleep 5 &"), message: "backup of shop"},
		"post-merge goes on":         {prepare: hooks("post-merge", "sleep 5 &"), message: "backup of shop"},
		"post-commit fails":          {prepare: hooks("post-commit", "exit 1"), message: "backup of shop"},
		"a folder not in Git": {prepare: func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, ".husky", "_", "pre-commit"), "#!/bin/sh\nexit 1\n")
			if err := os.Chmod(filepath.Join(dir, ".husky", "_", "pre-commit"), 0o755); err != nil {
				t.Fatal(err)
			}
			run(t, dir, "config", "core.hooksPath", ".husky/_")
		}, failed: "git commit: exit status 1; nothing was published"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newRepository(t)
			commitFile(t, dir, "README", "x\n")
			must(t, dir, first, Options{})
			write(t, filepath.Join(dir, "own"), "x\n")
			run(t, dir, "add", "own")
			test.prepare(t, dir)
			before := picture(t, dir)
			repository, err := Open(context.Background(), dir, talk{t})
			if err != nil {
				t.Fatal(err)
			}
			repository.git.testOnlyPatience = time.Second
			_, err = repository.Publish(context.Background(), changed.bundle, changed.plans, Options{Path: "."})
			noRemains(t, dir)
			if test.failed != "" {
				if err == nil || !strings.Contains(err.Error(), test.failed) {
					t.Errorf("got %v, want %s", err, test.failed)
				}
				same(t, "the repository", before, picture(t, dir))
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			holds(t, dir, "HEAD", ".", changed.bundle)
			if got := run(t, dir, "log", "-1", "--format=%B"); !strings.Contains(got, test.message) {
				t.Errorf("the message is\n%s", got)
			}
			if status := run(t, dir, "status", "--porcelain", "--untracked-files=no"); status != "A  own" {
				t.Errorf("status: %s", status)
			}
		})
	}
}

func hooks(name, script string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) { hook(t, dir, name, script+"\n") }
}

// TestSigned: commits are signed when the repository says so, and are not made
// when that fails.
func TestSigned(t *testing.T) {
	isolate(t)
	r := render(t, shop, "", nil)
	dir := newRepository(t)
	program := filepath.Join(t.TempDir(), "gpg")
	write(t, program, `#!/bin/sh
cat >/dev/null
echo '[GNUPG:] SIG_CREATED ' >&2
echo '-----BEGIN PGP SIGNATURE-----'
echo 'not a real one'
echo '-----END PGP SIGNATURE-----'
`)
	run(t, dir, "config", "commit.gpgSign", "true")
	run(t, dir, "config", "gpg.program", program)
	before := picture(t, dir)
	if _, err := try(t, dir, r, Options{}); err == nil { // it may not be run
		t.Error("committed without a signature")
	}
	same(t, "the repository", before, picture(t, dir))
	noRemains(t, dir)
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	must(t, dir, r, Options{})
	if got := run(t, dir, "cat-file", "commit", "HEAD"); !strings.Contains(got, "\n not a real one\n") {
		t.Errorf("the commit is not signed:\n%s", got)
	}
}

// TestNobody: a user that git does not know commits nothing.
func TestNobody(t *testing.T) {
	isolate(t)
	dir := newRepository(t)
	run(t, dir, "config", "user.useConfigOnly", "true")
	run(t, ".", "config", "--global", "--unset", "user.email")
	before := picture(t, dir)
	if _, err := try(t, dir, render(t, shop, "", nil), Options{}); err == nil {
		t.Error("somebody committed")
	}
	same(t, "the repository", before, picture(t, dir))
	noRemains(t, dir)
}
