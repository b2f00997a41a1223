//go:build unix

package publish

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// killStep is the variable that tells TestKilledRun before which command of git it
// is to be killed.
const killStep = "HOLDFAST_TEST_KILL_STEP"

// TestKilledRun is the run that TestKilled kills; by itself it does nothing.
func TestKilledRun(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv(killStep))
	if err != nil {
		t.Skip("this is no test by itself: TestKilled starts it, and kills it in the middle")
	}
	repository, err := Open(context.Background(), os.Getenv("HOLDFAST_TEST_REPOSITORY"), talk{t})
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	repository.git.testOnlyStep = func(string) error {
		if steps++; steps == n {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}
	r := render(t, shop, "", nil)
	if _, err := repository.Publish(context.Background(), r.bundle, r.plans, Options{Path: "clusters", Push: true}); err != nil {
		t.Fatal(err)
	}
}

// TestKilled kills a run before each command of git. The next one publishes, brings
// the branch here up, and leaves nothing of either.
func TestKilled(t *testing.T) {
	isolate(t)
	r := render(t, shop, "", nil)
	left := 0
	for n := 1; ; n++ {
		remote, dir := newRemote(t)
		other := cloneAgain(t, remote)
		commitFile(t, other, "a", "a\n")
		run(t, other, "push", "--quiet")
		write(t, filepath.Join(dir, "README"), "edited\n")
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledRun$")
		cmd.Env = append(os.Environ(), killStep+"="+strconv.Itoa(n), "HOLDFAST_TEST_REPOSITORY="+dir)
		output, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		switch {
		case err == nil: // there are no more
			if n < 20 || left < n/2 {
				t.Errorf("%d steps, %d left something", n, left)
			}
			return
		case !errors.As(err, &exit) || exit.ExitCode() >= 0:
			t.Fatalf("step %d: %v\n%s", n, err, output)
		}
		if all, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), tempPrefix+"*")); len(all) > 0 {
			left++
		}
		pushed := run(t, remote, "rev-list", "--count", "main") == "3"
		result := must(t, dir, r, Options{Path: "clusters", Push: true})
		if (len(result.Commits) == 0) != pushed || result.Behind != nil {
			t.Errorf("step %d: %+v", n, result)
		}
		here, there := run(t, dir, "rev-parse", "main"), run(t, remote, "rev-parse", "main")
		if here != there || run(t, remote, "rev-list", "--count", "main") != "3" {
			t.Errorf("step %d: main is %s here and %s there", n, here, there)
		}
		if status := run(t, dir, "status", "--porcelain"); status != " M README" {
			t.Errorf("step %d: status: %s", n, status)
		}
		noRemains(t, dir)
		if exists(filepath.Join(dir, ".git", "worktrees")) {
			t.Errorf("step %d: a work tree is still known", n)
		}
		if t.Failed() {
			return
		}
	}
}

// TestSweep removes what is ours and nobody holds, and nothing else.
func TestSweep(t *testing.T) {
	isolate(t)
	r := render(t, shop, "", nil)
	dir := newRepository(t)
	commitFile(t, dir, "a", "a\n")
	temp := os.Getenv("TMPDIR")
	known := filepath.Join(dir, ".git", "worktrees")
	elsewhere := t.TempDir()

	// Work trees of a killed run: as it was, without its folder, in another folder,
	// and one that git did not finish.
	run(t, dir, "worktree", "add", "--quiet", "--detach", filepath.Join(temp, "holdfast-publish-1", "holdfast-publish-1"))
	write(t, filepath.Join(temp, "holdfast-publish-1", "message"), "x\n")
	run(t, dir, "worktree", "add", "--quiet", "--detach", "--lock", filepath.Join(temp, "holdfast-publish-2", "holdfast-publish-2"))
	if err := os.RemoveAll(filepath.Join(temp, "holdfast-publish-2")); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "worktree", "add", "--quiet", "--detach", filepath.Join(elsewhere, "holdfast-publish-3", "holdfast-publish-3"))
	write(t, filepath.Join(known, "holdfast-publish-4", "locked"), "initializing\n")
	if err := os.Mkdir(filepath.Join(temp, "holdfast-publish-5"), 0o700); err != nil {
		t.Fatal(err)
	}
	gone := []string{
		filepath.Join(temp, "holdfast-publish-1"), filepath.Join(known, "holdfast-publish-1"), filepath.Join(known, "holdfast-publish-2"),
		filepath.Join(elsewhere, "holdfast-publish-3"), filepath.Join(known, "holdfast-publish-3"), filepath.Join(known, "holdfast-publish-4"),
		filepath.Join(temp, "holdfast-publish-5"),
	}

	// Of others: with such names, or missing as on a disk that is not there.
	write(t, filepath.Join(temp, "holdfast-publish-6", "precious"), "x\n")
	write(t, filepath.Join(temp, "holdfast-publish-x", "message"), "x\n")
	write(t, filepath.Join(temp, "holdfast-publish-", "message"), "x\n")
	write(t, filepath.Join(elsewhere, "linked", "message"), "x\n")
	if err := os.Symlink(filepath.Join(elsewhere, "linked"), filepath.Join(temp, "holdfast-publish-7")); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "worktree", "add", "--quiet", "--detach", filepath.Join(elsewhere, "holdfast-publish-8"))
	run(t, dir, "worktree", "add", "--quiet", "--detach", filepath.Join(elsewhere, "removable"))
	for _, name := range []string{"holdfast-publish-8", "removable"} {
		if err := os.RemoveAll(filepath.Join(elsewhere, name)); err != nil {
			t.Fatal(err)
		}
	}
	// And of runs that are still there, one of them on another machine.
	live := filepath.Join(temp, "holdfast-publish-9")
	if err := os.Mkdir(live, 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "worktree", "add", "--quiet", "--detach", filepath.Join(temp, "holdfast-publish-10", "holdfast-publish-10"))
	if err := os.RemoveAll(filepath.Join(temp, "holdfast-publish-10")); err != nil {
		t.Fatal(err)
	}
	for _, held := range []string{live, filepath.Join(known, "holdfast-publish-10")} {
		lock, err := tryLock(held)
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Close()
	}
	stay := []string{
		filepath.Join(temp, "holdfast-publish-6", "precious"), filepath.Join(temp, "holdfast-publish-x", "message"),
		filepath.Join(temp, "holdfast-publish-", "message"), filepath.Join(temp, "holdfast-publish-7"), filepath.Join(elsewhere, "linked", "message"),
		filepath.Join(known, "holdfast-publish-8"), filepath.Join(known, "removable"), live, filepath.Join(known, "holdfast-publish-10"),
	}
	for _, path := range append(gone, stay...) {
		if !exists(path) {
			t.Fatalf("%s is not there", path)
		}
	}

	var notes []string
	must(t, dir, r, Options{Note: func(format string, _ ...any) { notes = append(notes, format) }})
	for _, path := range gone {
		if exists(path) {
			t.Errorf("%s is still there", path)
		}
	}
	for _, path := range stay {
		if !exists(path) {
			t.Errorf("%s is gone", path)
		}
	}
	if len(notes) > 0 {
		t.Errorf("notes: %q", notes)
	}
	if left := run(t, dir, "worktree", "list"); strings.Count(left, "\n") != 3 {
		t.Errorf("known are\n%s", left)
	}
}

// TestBesideAnother: a run does not sweep away one that is at work in another work tree
// of the repository. (In the same it waits: TestPublishBesideAnother.)
func TestBesideAnother(t *testing.T) {
	isolate(t)
	dir := newRepository(t)
	commitFile(t, dir, "a", "a\n")
	linked := filepath.Join(t.TempDir(), "linked")
	run(t, dir, "worktree", "add", "--quiet", "--detach", linked)
	r := render(t, shop, "", nil)
	repository, err := Open(context.Background(), dir, talk{t})
	if err != nil {
		t.Fatal(err)
	}
	beside := 0
	repository.git.testOnlyStep = func(command string) error {
		if command == "commit" || command == "add" {
			beside++
			must(t, linked, r, Options{Branch: "review-" + strconv.Itoa(beside)})
		}
		return nil
	}
	result, err := repository.Publish(context.Background(), r.bundle, r.plans, Options{Path: "."})
	if err != nil || len(result.Commits) != 1 || beside != 2 {
		t.Errorf("%+v, %v, beside %d others", result, err, beside)
	}
	noRemains(t, dir)
}
