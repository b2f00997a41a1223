//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// gitHome keeps the machine's own configuration of git out of a test.
func gitHome(t *testing.T) {
	t.Helper()
	notShort(t, "what runs Git")
	home := t.TempDir()
	text := "[user]\n\tname = Somebody\n\temail = somebody@example.com\n[init]\n\tdefaultBranch = main\n[gc]\n\tauto = 0\n"
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"HOME": home, "XDG_CONFIG_HOME": home, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "TMPDIR": t.TempDir()} {
		t.Setenv(name, value)
	}
}

// runGit runs git and returns what it prints.
func runGit(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return strings.TrimSpace(string(output))
}

// bareAndClone makes a repository with one commit, and a clone of it.
func bareAndClone(t *testing.T) (remote, clone string) {
	t.Helper()
	work := t.TempDir()
	remote, clone = filepath.Join(work, "remote.git"), filepath.Join(work, "clone")
	runGit(t, ".", "init", "--quiet", "--bare", remote)
	runGit(t, ".", "clone", "--quiet", remote, clone)
	runGit(t, clone, "commit", "--quiet", "--allow-empty", "--message", "first")
	runGit(t, clone, "push", "--quiet", "--set-upstream", "origin", "main")
	return remote, clone
}

// TestTenRunsOneCommit: runs in other folders, zones and locales, from documents
// whose keys stand in other orders, into other clones, all want the same bytes.
func TestTenRunsOneCommit(t *testing.T) {
	gitHome(t)
	remote, _ := bareAndClone(t)
	zones := []string{"UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati", "Europe/Berlin"}
	for n := range 10 {
		work := filepath.Join(t.TempDir(), strings.Repeat("deep/", n), fmt.Sprintf("run %d", n))
		random := rand.New(rand.NewPCG(1, uint64(n)))
		args := []string{"publish", "--push"}
		for _, one := range random.Perm(2) {
			from := filepath.Join("..", "..", "examples", []string{"minimal", "layout-b"}[one])
			to := filepath.Join(work, fmt.Sprintf("in%d", random.IntN(1000)))
			shuffleFolder(t, to, from, random)
			args = append(args, "-s", filepath.Join(to, "runtime-state.json"), "-c", filepath.Join(to, "backup-credentials.json"))
		}
		clone := filepath.Join(work, fmt.Sprintf("clone-%d", n))
		runGit(t, ".", "clone", "--quiet", remote, clone)
		cmd := exec.Command("holdfast", append(args, "--repo", clone, "--path", "clusters")...)
		cmd.Env = append(os.Environ(), "TZ="+zones[n%len(zones)], "LC_ALL="+[]string{"C", "de_DE.UTF-8", "tr_TR.UTF-8"}[n%3], fmt.Sprintf("GOMAXPROCS=%d", 1+n%2))
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("run %d: %v\n%s", n, err, stderr.String())
		}
		if got := strings.Count(stdout.String(), "\n"); got != map[bool]int{true: 1}[n == 0] {
			t.Errorf("run %d made %d commits:\n%s", n, got, stderr.String())
		}
		if nothing := strings.Contains(stderr.String(), "nothing to commit: main has all of it\n"); nothing != (n > 0) {
			t.Errorf("run %d says\n%s", n, stderr.String())
		}
	}
	if got := runGit(t, remote, "log", "--format=%s", "main"); got != "backup of 2 instances: 42 sources appear\nfirst" {
		t.Errorf("the commits are\n%s", got)
	}
}

// shuffleFolder copies documents with their keys in another order.
func shuffleFolder(t *testing.T, to, from string, random *rand.Rand) {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"runtime-state.json", "backup-credentials.json"} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		var value any
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), shuffled(value, random), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// shuffled encodes a value with the keys of its objects in a random order.
func shuffled(value any, random *rand.Rand) []byte {
	var parts [][]byte
	switch v := value.(type) {
	case map[string]any:
		var keys []string
		for key := range v {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		random.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		for _, key := range keys {
			name, _ := json.Marshal(key)
			parts = append(parts, slices.Concat(name, []byte(": "), shuffled(v[key], random)))
		}
		return slices.Concat([]byte("{"), bytes.Join(parts, []byte(",\n")), []byte("}"))
	case []any:
		for _, e := range v {
			parts = append(parts, shuffled(e, random))
		}
		return slices.Concat([]byte("["), bytes.Join(parts, []byte(", ")), []byte("]"))
	}
	text, _ := json.Marshal(value)
	return text
}

// TestOneRetention: render, publish, change one retention, publish. Of the second
// commit every changed line is about that.
func TestOneRetention(t *testing.T) {
	gitHome(t)
	_, clone := bareAndClone(t)
	policy := filepath.Join(t.TempDir(), "policy.json")
	publish := func(text string) {
		t.Helper()
		if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("holdfast", "publish", "-s", layoutB, "-c", layoutB, "-p", policy, "--repo", clone)
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
	}
	publish(`{"schemaVersion": 1}`)
	publish(`{"schemaVersion": 1, "retention": {"overrides": {"postgresql/nextcloud": {"keepDaily": 45}}}}`)
	if got, want := runGit(t, clone, "log", "-1", "--format=%B"), `backup of tbcd30494: 1 source changes

change:
  postgresql/nextcloud: retention
of the instance: maintenance
files: 0 added, 3 changed, 0 removed`; got != want {
		t.Errorf("the message is\n%s\nwant\n%s", got, want)
	}
	touched := runGit(t, clone, "show", "--format=", "--name-only", "HEAD")
	if want := "tbcd30494/backup/playground-timi-3-c-timy/maintenance.yaml\ntbcd30494/backup/playground-timi-3-c-timy/pg-nextcloud.yaml\ntbcd30494/plan.json"; touched != want {
		t.Errorf("touched are\n%s\nwant\n%s", touched, want)
	}
	// The source's own manifest changes in its tag, and in nothing else.
	diff := runGit(t, clone, "show", "--format=", "--unified=0", "HEAD", "--", "tbcd30494/backup/playground-timi-3-c-timy/pg-nextcloud.yaml")
	var lines []string
	for line := range strings.Lines(diff) {
		if strings.HasPrefix(line, "+ ") || strings.HasPrefix(line, "- ") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	if want := []string{"-    - tier-d30", "+    - tier-d45"}; !slices.Equal(lines, want) {
		t.Errorf("changed are %q, want %q", lines, want)
	}
	// And there is one more job, which prunes by it. Prunes follow each other, so
	// that the one behind it starts later.
	diff = runGit(t, clone, "show", "--format=", "--unified=0", "HEAD", "--", "tbcd30494/backup/playground-timi-3-c-timy/maintenance.yaml")
	added := strings.Count(diff, "\n+kind: ")
	lines = nil
	for line := range strings.Lines(diff) {
		if strings.HasPrefix(line, "- ") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	if want := []string{`-    schedule: "CRON_TZ=Europe/Berlin 1 7 * * 6"`}; added != 1 || !slices.Equal(lines, want) {
		t.Errorf("%d objects added, and changed are %q, want %q", added, lines, want)
	}
}

// TestInterrupt: Ctrl-C, or the end of a terminal or a machine, in the middle of
// what git does.
func TestInterrupt(t *testing.T) {
	// Under nohup the signal is ignored, also by what is started here, unless
	// somebody listens to it.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(hangup) })
	for name, test := range map[string]struct {
		// hook is where git is when the signal comes.
		hook   string
		signal syscall.Signal
		// alone sends the signal to Holdfast and not to what it has started.
		alone bool
		says  string
		// done says that it is too late, here that nothing is pushed.
		done, here bool
	}{
		"in the commit":        {hook: "pre-commit", signal: syscall.SIGINT, says: "holdfast: error: interrupted: nothing was published\n"},
		"in the commit, alone": {hook: "pre-commit", signal: syscall.SIGTERM, alone: true, says: "holdfast: error: interrupted: nothing was published\n"},
		"terminal closed":      {hook: "commit-msg", signal: syscall.SIGHUP, says: "holdfast: error: interrupted: nothing was published\n"},
		"before the push":      {hook: "pre-push", signal: syscall.SIGINT, says: "holdfast: error: interrupted: nobody knows whether origin/main has the commits; nothing changed here\n"},
		"in the push":          {hook: "remote", signal: syscall.SIGTERM, alone: true, says: "holdfast: error: interrupted: nobody knows whether origin/main has the commits; nothing changed here\n"},
		"at the end":           {hook: "post-merge", signal: syscall.SIGINT, says: "pushed to origin/main\n", done: true},
		"without a push":       {hook: "post-merge", signal: syscall.SIGINT, says: "committed to main: ", done: true, here: true},
	} {
		t.Run(name, func(t *testing.T) {
			gitHome(t)
			remote, clone := bareAndClone(t)
			marks := t.TempDir()
			script := filepath.Join(clone, ".git", "hooks", test.hook)
			if test.hook == "remote" {
				script = filepath.Join(remote, "hooks", "pre-receive")
			}
			text := fmt.Sprintf("#!/bin/sh\n: >'%[1]s/began'\nwhile [ ! -e '%[1]s/end' ]; do sleep 0.05; done\n: >'%[1]s/ended'\n", marks)
			if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
			before := everything(t, clone)
			stderr, err := os.Create(filepath.Join(marks, "stderr"))
			if err != nil {
				t.Fatal(err)
			}
			defer stderr.Close()
			// A file: what is left of a hook would keep a pipe open.
			args := []string{"publish", "-s", "../../examples/minimal", "-c", "../../examples/minimal", "--repo", clone}
			if !test.here {
				args = append(args, "--push")
			}
			cmd := exec.Command("holdfast", args...)
			cmd.Stdout, cmd.Stderr = stderr, stderr
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			await(t, filepath.Join(marks, "began"))
			to := -cmd.Process.Pid
			if test.alone {
				to = cmd.Process.Pid
			}
			if err := syscall.Kill(to, test.signal); err != nil {
				t.Fatal(err)
			}
			end := func() {
				if err := os.WriteFile(filepath.Join(marks, "end"), nil, 0o600); err != nil {
					t.Error(err)
				}
			}
			if test.done {
				time.Sleep(300 * time.Millisecond)
				end()
			}
			err = cmd.Wait()
			end()
			said, _ := os.ReadFile(stderr.Name())
			if (err == nil) != test.done || !strings.Contains(string(said), test.says) {
				t.Errorf("%v, says\n%s", err, said)
			}
			if left, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "holdfast-*")); len(left) > 0 {
				t.Errorf("left over: %s", left)
			}
			if !test.done && everything(t, clone) != before {
				t.Errorf("something changed:\n%s\nbefore:\n%s", everything(t, clone), before)
			}
			if test.alone {
				await(t, filepath.Join(marks, "ended"))
			}
			// Whatever became of the push, another run ends well.
			if output, err := exec.Command("holdfast", append(args, "--push")...).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, output)
			}
			if here, there := runGit(t, clone, "rev-parse", "origin/main"), runGit(t, remote, "rev-parse", "main"); here != there || runGit(t, remote, "rev-list", "--count", "main") != "2" {
				t.Errorf("origin/main is %s here and %s there", here, there)
			}
		})
	}
}

// everything is what can be seen of a repository.
func everything(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	for _, args := range [][]string{{"symbolic-ref", "HEAD"}, {"for-each-ref"}, {"ls-files", "--stage"}, {"status", "--porcelain", "--ignored"}, {"worktree", "list"}} {
		b.WriteString(runGit(t, dir, args...) + "\n")
	}
	err := filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == ".git" {
			return filepath.SkipDir
		}
		b.WriteString(file + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// await waits for a file.
func await(t *testing.T, file string) {
	t.Helper()
	for range 600 {
		if _, err := os.Stat(file); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s did not come", file)
}
