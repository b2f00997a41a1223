package publish

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// intrude makes each push from dir come after one of somebody else, as often as
// times says.
func intrude(t *testing.T, dir, remote string, times int) {
	t.Helper()
	other := cloneAgain(t, remote)
	counter := filepath.Join(t.TempDir(), "count")
	write(t, counter, "")
	hook(t, dir, "pre-push", `
if [ "$(wc -l <'`+counter+`')" -lt `+strconv.Itoa(times)+` ]; then
	echo x >>'`+counter+`'
	unset $(git rev-parse --local-env-vars)
	cd '`+other+`' && git pull --quiet && wc -l <'`+counter+`' >others && git add others && git commit --quiet --message others && git push --quiet
fi
`)
}

// TestPush: somebody else is faster, once, several times, and always.
func TestPush(t *testing.T) {
	isolate(t)
	r := render(t, shop, "", nil)
	for _, times := range []int{0, 1, attempts - 1} {
		t.Run(strconv.Itoa(times), func(t *testing.T) {
			remote, dir := newRemote(t)
			intrude(t, dir, remote, times)
			write(t, filepath.Join(dir, "README"), "edited\n")
			write(t, filepath.Join(dir, "staged"), "x\n")
			run(t, dir, "add", "staged")
			var notes []string
			result := must(t, dir, r, Options{Push: true, Path: "clusters", Note: func(format string, _ ...any) { notes = append(notes, format) }})
			if result.Pushed != "origin/main" || result.Behind != nil || len(result.Commits) != 1 || len(notes) != times {
				t.Errorf("%+v %q", result, notes)
			}
			for what, at := range map[string]string{"the remote": run(t, remote, "rev-parse", "main"), "the branch": run(t, dir, "rev-parse", "HEAD"), "the tracking branch": run(t, dir, "rev-parse", "origin/main")} {
				if at != result.Commits[0].ID {
					t.Errorf("%s is at %s", what, at)
				}
			}
			holds(t, remote, "main", "clusters", r.bundle)
			if n := run(t, remote, "rev-list", "--count", "main"); n != strconv.Itoa(2+times) {
				t.Errorf("%s commits", n)
			}
			if status := run(t, dir, "status", "--porcelain"); status != " M README\nA  staged" {
				t.Errorf("status:\n%s", status)
			}
			noRemains(t, dir)
		})
	}
	t.Run("always", func(t *testing.T) {
		remote, dir := newRemote(t)
		intrude(t, dir, remote, 1000)
		before := picture(t, dir)
		again := 0
		_, err := try(t, dir, r, Options{Push: true, Note: func(string, ...any) { again++ }})
		if err == nil || !strings.Contains(err.Error(), "somebody else pushed to origin/main each of 5 times; nothing was published") || again != 4 {
			t.Errorf("got %v, after %d more attempts", err, again)
		}
		same(t, "the repository", withoutTracking(before), withoutTracking(picture(t, dir)))
		if got := run(t, remote, "log", "--format=%s", "main"); strings.Contains(got, "backup of") {
			t.Errorf("the remote has\n%s", got)
		}
		noRemains(t, dir)
	})
}

// TestSamePushedMeanwhile: another runner publishes the same while we commit.
func TestSamePushedMeanwhile(t *testing.T) {
	isolate(t)
	r := render(t, shop, "", nil)
	remote, dir := newRemote(t)
	other := cloneAgain(t, remote)
	run(t, other, "config", "user.name", "Somebody Else") // else it might be the same commit
	once := false
	repository, err := Open(context.Background(), dir, talk{t})
	if err != nil {
		t.Fatal(err)
	}
	repository.git.testOnlyStep = func(command string) error {
		if command == "push" && !once {
			once = true
			must(t, other, r, Options{Push: true})
		}
		return nil
	}
	result, err := repository.Publish(context.Background(), r.bundle, r.plans, Options{Path: ".", Push: true})
	if err != nil || len(result.Commits) != 0 || result.Pushed != "" {
		t.Errorf("%+v, %v", result, err)
	}
	if n := run(t, remote, "rev-list", "--count", "main"); n != "2" {
		t.Errorf("%s commits", n)
	}
}

// TestNothingIsSwept: what looks like the rest of a killed run and was committed
// is not touched in the checkout, also where that is for its user only.
func TestNothingIsSwept(t *testing.T) {
	isolate(t)
	_, dir := newRemote(t)
	r := render(t, shop, "", nil)
	const rest = ".other.holdfast-1"
	if err := os.Mkdir(filepath.Join(dir, rest), 0o700); err != nil {
		t.Fatal(err)
	}
	mark := "# Made by Holdfast while it writes a tree. The next run removes it.\n"
	if err := os.WriteFile(filepath.Join(dir, rest, ".holdfast-stage"), []byte(mark), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "add", rest)
	run(t, dir, "commit", "--quiet", "-m", "rest")
	repository, err := Open(context.Background(), dir, talk{t})
	if err != nil {
		t.Fatal(err)
	}
	looked := false
	repository.git.testOnlyStep = func(command string) error {
		found, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "holdfast-publish-*", "holdfast-publish-*", rest))
		for _, at := range found {
			if err := os.Chmod(at, 0o700); err != nil {
				t.Error(err)
			}
		}
		if command == "write-tree" {
			looked = true
			if len(found) != 1 {
				t.Errorf("the checkout has %q", found)
			}
		}
		return nil
	}
	result, err := repository.Publish(context.Background(), r.bundle, r.plans, Options{Path: "."})
	if err != nil || len(result.Commits) != 1 || !looked {
		t.Errorf("%+v, %v, looked: %v", result, err, looked)
	}
}

// TestLostAnswer: the push arrives, but the connection breaks before we hear of it.
func TestLostAnswer(t *testing.T) {
	isolate(t)
	remote, dir := newRemote(t)
	r := render(t, shop, "", nil)
	repository, err := Open(context.Background(), dir, talk{t})
	if err != nil {
		t.Fatal(err)
	}
	repository.git.testOnlyStep = func(command string) error {
		if command != "push" {
			return nil
		}
		trees, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "holdfast-publish-*", "holdfast-publish-*"))
		run(t, trees[0], "push", "--quiet", "origin", "HEAD:main")
		return errors.New("connection reset by peer")
	}
	result, err := repository.Publish(context.Background(), r.bundle, r.plans, Options{Path: ".", Push: true})
	if err != nil || len(result.Commits) != 1 || result.Pushed != "origin/main" || result.Behind != nil {
		t.Fatalf("%+v, %v", result, err)
	}
	for what, at := range map[string]string{"the remote": run(t, remote, "rev-parse", "main"), "the branch": run(t, dir, "rev-parse", "HEAD")} {
		if at != result.Commits[0].ID {
			t.Errorf("%s is at %s", what, at)
		}
	}
}

// TestMoved: the user does something here while we commit.
func TestMoved(t *testing.T) {
	isolate(t)
	r := render(t, shop, "", nil)
	for name, test := range map[string]struct {
		do   func(t *testing.T, dir string)
		says string
	}{
		"commits":              {do: func(t *testing.T, dir string) { commitFile(t, dir, "mine", "x\n") }, says: "the work tree cannot take the commit"},
		"switches":             {do: func(t *testing.T, dir string) { run(t, dir, "checkout", "--quiet", "-b", "mine") }, says: "another branch was checked out meanwhile"},
		"detaches":             {do: func(t *testing.T, dir string) { run(t, dir, "checkout", "--quiet", "--detach") }, says: "another branch was checked out meanwhile"},
		"edits a file of ours": {do: func(t *testing.T, dir string) { write(t, filepath.Join(dir, "shop", "flux.yaml"), "x\n") }, says: "the work tree cannot take the commit"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newRepository(t)
			commitFile(t, dir, "a", "a\n")
			repository, err := Open(context.Background(), dir, talk{t})
			if err != nil {
				t.Fatal(err)
			}
			before := ""
			repository.git.testOnlyStep = func(command string) error {
				if command == "commit" {
					test.do(t, dir)
					before = picture(t, dir)
				}
				return nil
			}
			_, err = repository.Publish(context.Background(), r.bundle, r.plans, Options{Path: "."})
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v", err)
			}
			same(t, "the repository", before, picture(t, dir))
			noRemains(t, dir)
		})
	}
}

// TestBehind: what was pushed stays pushed when the branch here cannot follow.
func TestBehind(t *testing.T) {
	isolate(t)
	remote, dir := newRemote(t)
	other := cloneAgain(t, remote)
	commitFile(t, other, "README", "theirs\n")
	run(t, other, "push", "--quiet")
	write(t, filepath.Join(dir, "README"), "mine\n")
	before := picture(t, dir)
	result := must(t, dir, render(t, shop, "", nil), Options{Push: true})
	if result.Behind == nil || result.Pushed != "origin/main" {
		t.Errorf("%+v", result)
	}
	if got := run(t, remote, "rev-parse", "main"); got != result.Commits[0].ID {
		t.Errorf("the remote is at %s", got)
	}
	same(t, "the repository", withoutTracking(before), withoutTracking(picture(t, dir)))
	noRemains(t, dir)
	// The next run says so again, and brings it up as soon as it can.
	if again := must(t, dir, render(t, shop, "", nil), Options{Push: true}); again.Behind == nil || len(again.Commits) != 0 || again.Pushed != "" {
		t.Errorf("%+v", again)
	}
	run(t, dir, "restore", "README")
	var notes []string
	last := must(t, dir, render(t, shop, "", nil), Options{Push: true, Note: func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }})
	if got := run(t, dir, "rev-parse", "HEAD"); last.Behind != nil || len(last.Commits) != 0 || got != result.Commits[0].ID {
		t.Errorf("%+v, the branch is at %s", last, got)
	}
	if len(notes) != 1 || notes[0] != "main here has come up to origin/main" {
		t.Errorf("notes: %q", notes)
	}
	if status := run(t, dir, "status", "--porcelain"); status != "" {
		t.Errorf("status: %s", status)
	}
}

// TestReviewBehind: a branch for a review comes up to its remote, too, and is not
// made where there is nothing to review.
func TestReviewBehind(t *testing.T) {
	isolate(t)
	r := render(t, shop, "", nil)
	remote, dir := newRemote(t)
	pushed := must(t, dir, r, Options{Branch: "review", Push: true}).Commits[0].ID
	run(t, dir, "branch", "--quiet", "-D", "review")
	if again := must(t, dir, r, Options{Branch: "review", Push: true}); len(again.Commits) != 0 || again.Behind != nil {
		t.Errorf("%+v", again)
	}
	if got := run(t, dir, "rev-parse", "review"); got != pushed {
		t.Errorf("review is at %s", got)
	}
	run(t, remote, "update-ref", "refs/heads/main", pushed)
	must(t, dir, r, Options{Branch: "other", Push: true})
	if refs := run(t, dir, "for-each-ref", "refs/heads/other"); refs != "" {
		t.Errorf("made %s", refs)
	}
}

// TestUnpushed: our own commits that wait are pushed along, those of others are
// not.
func TestUnpushed(t *testing.T) {
	isolate(t)
	r, changed := render(t, shop, "", nil), render(t, shop, `{"schemaVersion": 1, "timezone": "Europe/Berlin"}`, nil)
	t.Run("ours", func(t *testing.T) {
		remote, dir := newRemote(t)
		must(t, dir, r, Options{Path: "clusters"})
		result := must(t, dir, changed, Options{Path: "clusters", Push: true})
		if n := run(t, remote, "rev-list", "--count", "main"); n != "3" || len(result.Commits) != 1 {
			t.Errorf("%s commits, %+v", n, result)
		}
	})
	t.Run("nothing new", func(t *testing.T) {
		remote, dir := newRemote(t)
		commit := must(t, dir, r, Options{}).Commits[0].ID
		result := must(t, dir, r, Options{Push: true})
		if got := run(t, remote, "rev-parse", "main"); got != commit || len(result.Commits) != 0 || result.Pushed != "origin/main" {
			t.Errorf("%s, %+v", got, result)
		}
		if result = must(t, dir, r, Options{Push: true}); result.Pushed != "" {
			t.Errorf("%+v", result)
		}
	})
	t.Run("others", func(t *testing.T) {
		remote, dir := newRemote(t)
		must(t, dir, r, Options{Path: "clusters"})
		commitFile(t, dir, "clusters/unfinished", "x\n")
		before, there := picture(t, dir), picture(t, remote)
		_, err := try(t, dir, changed, Options{Path: "clusters", Push: true})
		wantRule(t, err, ruleBranch, "main has commits that origin/main lacks and that are not Holdfast's, such as "+run(t, dir, "rev-parse", "HEAD")[:10])
		same(t, "the repository", before, picture(t, dir))
		same(t, "the remote", there, picture(t, remote))
	})
	t.Run("both", func(t *testing.T) {
		remote, dir := newRemote(t)
		other := cloneAgain(t, remote)
		commitFile(t, other, "a", "a\n")
		run(t, other, "push", "--quiet")
		must(t, dir, r, Options{})
		before, there := picture(t, dir), picture(t, remote)
		_, err := try(t, dir, changed, Options{Push: true})
		wantRule(t, err, ruleBranch, "main here and origin/main have both gone on by themselves")
		same(t, "the repository", withoutTracking(before), withoutTracking(picture(t, dir)))
		same(t, "the remote", there, picture(t, remote))
	})
}

// TestRemotes: which remote is pushed to, and what it is called.
func TestRemotes(t *testing.T) {
	isolate(t)
	r := render(t, shop, "", nil)
	for name, test := range map[string]struct {
		prepare func(t *testing.T, remote, dir string)
		pushed  string
		branch  string
		misuse  string
	}{
		"followed":      {prepare: func(*testing.T, string, string) {}, pushed: "origin/main", branch: "main"},
		"another name":  {prepare: func(t *testing.T, _, dir string) { run(t, dir, "branch", "--quiet", "--move", "flux") }, pushed: "origin/main", branch: "main"},
		"none followed": {prepare: func(t *testing.T, _, dir string) { run(t, dir, "branch", "--unset-upstream") }, pushed: "origin/main", branch: "main"},
		"not called so": {prepare: func(t *testing.T, _, dir string) { run(t, dir, "remote", "rename", "origin", "flux") }, pushed: "flux/main", branch: "main"},
		"a local upstream": {prepare: func(t *testing.T, _, dir string) {
			run(t, dir, "branch", "--quiet", "x")
			run(t, dir, "branch", "--quiet", "--set-upstream-to", "x")
		}, pushed: "origin/main", branch: "main"},
		"a URL": {prepare: func(t *testing.T, remote, dir string) {
			run(t, dir, "config", "branch.main.remote", "file://user:password@"+remote)
		}, pushed: "main at the remote", branch: "main"},
		"a relative path": {prepare: func(t *testing.T, _, dir string) { run(t, dir, "remote", "set-url", "origin", "../remote.git") }, pushed: "origin/main", branch: "main"},
		"a new branch":    {prepare: func(t *testing.T, _, dir string) { run(t, dir, "checkout", "--quiet", "-b", "prod") }, pushed: "origin/prod", branch: "prod"},
		"no remote":       {prepare: func(t *testing.T, _, dir string) { run(t, dir, "remote", "remove", "origin") }, misuse: "there is no remote to push to"},
		"which of two": {prepare: func(t *testing.T, remote, dir string) {
			run(t, dir, "remote", "rename", "origin", "a")
			run(t, dir, "remote", "add", "b", remote)
			run(t, dir, "branch", "--unset-upstream")
		}, misuse: "the branch follows none of the remotes a, b"},
	} {
		t.Run(name, func(t *testing.T) {
			remote, dir := newRemote(t)
			test.prepare(t, remote, dir)
			if name == "a URL" {
				// git takes the user and the password for the host of a file.
				run(t, dir, "config", "url."+remote+".insteadOf", "file://user:password@"+remote)
			}
			result, err := try(t, dir, r, Options{Push: true})
			var misuse Misuse
			if test.misuse != "" {
				if !errors.As(err, &misuse) || misuse.Message != test.misuse {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := run(t, remote, "rev-parse", test.branch); result.Pushed != test.pushed || result.Behind != nil || got != result.Commits[0].ID {
				t.Errorf("%+v, the remote is at %s", result, got)
			}
		})
	}
}

// TestRefusedPush: a server, a hook or a network that says no.
func TestRefusedPush(t *testing.T) {
	isolate(t)
	r := render(t, shop, "", nil)
	for name, prepare := range map[string]func(t *testing.T, remote, dir string){
		"pre-push": func(t *testing.T, _, dir string) { hook(t, dir, "pre-push", "exit 1\n") },
		"pre-receive": func(t *testing.T, remote, _ string) {
			write(t, filepath.Join(remote, "hooks", "pre-receive"), "#!/bin/sh\nexit 1\n")
			if err := os.Chmod(filepath.Join(remote, "hooks", "pre-receive"), 0o755); err != nil {
				t.Fatal(err)
			}
		},
		"gone": func(t *testing.T, remote, dir string) {
			run(t, dir, "config", "remote.origin.url", remote+"-nowhere")
		},
		"push URL": func(t *testing.T, remote, dir string) {
			run(t, dir, "config", "remote.origin.pushurl", remote+"-nowhere")
		},
	} {
		t.Run(name, func(t *testing.T) {
			remote, dir := newRemote(t)
			prepare(t, remote, dir)
			before, there := picture(t, dir), picture(t, remote)
			if _, err := try(t, dir, r, Options{Push: true}); err == nil {
				t.Error("no error")
			} else {
				t.Log(err)
			}
			same(t, "the repository", before, picture(t, dir))
			same(t, "the remote", there, picture(t, remote))
			noRemains(t, dir)
		})
	}
}

// TestShallow publishes from a clone without history, as CI makes them.
func TestShallow(t *testing.T) {
	isolate(t)
	r := render(t, shop, "", nil)
	remote, dir := newRemote(t)
	commitFile(t, dir, "a", "a\n")
	run(t, dir, "push", "--quiet")
	shallow := filepath.Join(t.TempDir(), "shallow")
	run(t, ".", "clone", "--quiet", "--depth=1", "file://"+remote, shallow)
	commitFile(t, dir, "b", "b\n")
	run(t, dir, "push", "--quiet")
	result := must(t, shallow, r, Options{Push: true})
	if got := run(t, remote, "rev-parse", "main"); got != result.Commits[0].ID || result.Behind != nil {
		t.Errorf("%+v, the remote is at %s", result, got)
	}
	if n := run(t, remote, "rev-list", "--count", "main"); n != "4" {
		t.Errorf("%s commits", n)
	}
	// Detached and with one branch only, as some do.
	run(t, shallow, "checkout", "--quiet", "--detach")
	if result = must(t, shallow, render(t, shop, `{"schemaVersion": 1, "timezone": "Europe/Berlin"}`, nil), Options{Push: true, Branch: "review"}); result.Pushed != "origin/review" {
		t.Errorf("%+v", result)
	}
}

// TestHTTP pushes to git's own server, which asks for a password that only a
// credential helper knows, while somebody else pushes, too.
func TestHTTP(t *testing.T) {
	isolate(t)
	r := render(t, shop, "", nil)
	remote, plain := newRemote(t)
	run(t, remote, "config", "http.receivepack", "true")
	backend := filepath.Join(run(t, ".", "--exec-path"), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		t.Fatal(err)
	}
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		user, password, _ := q.BasicAuth()
		if user != "publisher" || subtle.ConstantTimeCompare([]byte(password), []byte("example-token")) != 1 {
			asked++
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		(&cgi.Handler{Path: backend, Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(remote), "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=publisher"}}).ServeHTTP(w, q)
	}))
	defer server.Close()
	url := server.URL + "/" + filepath.Base(remote)

	run(t, plain, "config", "remote.origin.url", url)
	before := picture(t, plain)
	if _, err := try(t, plain, r, Options{Push: true}); err == nil {
		t.Error("published without a password")
	}
	same(t, "the repository", before, picture(t, plain))
	run(t, plain, "config", "credential.helper", `!f() { test "$1" = get && echo username=publisher && echo password=example-token; }; f`)
	intrude(t, plain, remote, 2)
	result := must(t, plain, r, Options{Push: true, Path: "clusters"})
	if got := run(t, remote, "rev-parse", "main"); got != result.Commits[0].ID || result.Behind != nil || asked == 0 {
		t.Errorf("%+v, the remote is at %s, asked %d times", result, got, asked)
	}
	holds(t, remote, "main", "clusters", r.bundle)
	noRemains(t, plain)
}
