//go:build linux

package attack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// twoVersions returns the documents of two instances, and the same with other
// settings: nearly every file differs.
func twoVersions(t *testing.T) (old, new []documents) {
	t.Helper()
	for _, name := range []string{"minimal", "no-rwx"} {
		d := example(t, name)
		d.policy = `{"schemaVersion": 1, "retention": {"default": {"keepDaily": 31}}}`
		old = append(old, d)
		d.policy = `{"schemaVersion": 1, "retention": {"default": {"keepDaily": 62}}, "timezone": "Europe/Berlin"}`
		new = append(new, d)
	}
	return old, new
}

// putAll writes documents that have one policy.
func (p *part) putAll(dir string, all []documents) []string {
	p.t.Helper()
	var args []string
	for i, d := range all {
		if i > 0 {
			d.policy = "" // it is the same
		}
		args = append(args, p.put(filepath.Join(dir, d.id), d)...)
	}
	return args
}

// duration measures how long a run takes when nothing disturbs it.
func (p *part) duration(run func()) time.Duration {
	since := time.Now()
	run()
	return time.Since(since)
}

// must runs the program where nothing can go wrong.
func (p *part) must(dir string, args ...string) run {
	p.t.Helper()
	r := p.run(dir, "", args...)
	if r.code != 0 {
		p.finding("an ordinary run fails\n%s", r)
	}
	return r
}

// killer ends a run of the program: after a time, when it has begun to write into a
// folder, or at a call of the system that strace, where it is installed, waits for.
func (p *part) killer(usual time.Duration, folder string, calls ...string) (through []string, kill func(j *job)) {
	strace, err := exec.LookPath("strace")
	if err == nil && p.random.IntN(5) < 2 {
		// Each thread is counted for itself. git is let go where it is started: it is not
		// what is killed here.
		call, nth := pick(p.random, calls...), pick(p.random, 1, 1, 2, 3, 5, 8, 13, 21)
		p.note += fmt.Sprintf("\nkilled at call %d of %s", nth, call)
		return []string{strace, "-f", "-b", "execve", "-qq", "-o", "/dev/null", "-e", "trace=" + call,
			"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, nth)}, func(j *job) { j.wanted = true }
	}
	begun := p.random.IntN(3) > 0
	after := time.Duration(float64(usual) * (0.1 + p.random.Float64()))
	if begun {
		after = time.Duration(float64(usual) / 3 * p.random.Float64())
	}
	p.note += fmt.Sprintf("\nkilled after %v (since it wrote: %v)", after, begun)
	return nil, func(j *job) {
		j.wanted = true
		had := len(ours(folder))
		go func() {
			for begun && len(ours(folder)) == had && j.context.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(after)
			_ = j.cmd.Process.Kill() // not what it started
		}()
	}
}

// ours lists what the program makes in a folder for the time of a run.
func ours(folder string) []string {
	names, _ := filepath.Glob(filepath.Join(folder, ".*.holdfast-*"))
	more, _ := filepath.Glob(filepath.Join(folder, "holdfast-*"))
	return append(names, more...)
}

// keep copies a folder aside when it is first made, and puts the copy there afterwards.
func (p *part) keep(kept, dir string, build func()) {
	p.t.Helper()
	from, to := dir, filepath.Join(p.work, kept)
	if _, err := os.Stat(to); err == nil {
		from, to = to, from
	} else {
		build()
	}
	if output, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		p.t.Fatalf("cp: %v\n%s", err, output)
	}
}

// othersWrite makes files in folders until it is told to stop, and returns those that
// it has made.
func othersWrite(folders ...string) (stop func() map[string]string) {
	end, made := make(chan struct{}), make(chan map[string]string)
	go func() {
		files := map[string]string{}
		for n := 0; ; n++ {
			select {
			case <-end:
				made <- files
				return
			case <-time.After(time.Millisecond):
			}
			name := filepath.Join(folders[n%len(folders)], fmt.Sprintf("theirs-%d.txt", n))
			if os.WriteFile(name, []byte(name), 0o644) == nil {
				files[name] = name
			}
		}
	}()
	return func() map[string]string { close(end); return <-made }
}

// instances splits the files of a tree by instance, without what others own.
func instances(files map[string]string) map[string]map[string]string {
	split := map[string]map[string]string{}
	for name, text := range files {
		top, rest, _ := strings.Cut(name, "/")
		if strings.HasPrefix(filepath.Base(name), "theirs-") || strings.HasPrefix(top, ".") {
			continue
		}
		if split[top] == nil {
			split[top] = map[string]string{}
		}
		split[top][rest] = text
	}
	return split
}

// TestKilledRenders kills renders into a tree, in which others write meanwhile.
func TestKilledRenders(t *testing.T) {
	old, newer := twoVersions(t)
	var secrets []string
	for _, d := range old {
		secrets = append(secrets, secretsOf(d.credentials)...)
	}
	wanted := map[string]map[string]map[string]string{}
	usual := time.Duration(0)
	attack(t, 6, func(p *part, _ int, dir string) {
		mode := pick(p.random, "sops", "plain")
		oldArgs := append(p.putAll(filepath.Join(dir, "old"), old), "--secrets", mode)
		newArgs := append(p.putAll(filepath.Join(dir, "new"), newer), "--secrets", mode)
		tree := filepath.Join(dir, "tree")
		p.keep("old-"+mode, tree, func() { p.must(dir, append([]string{"render", "-o", tree}, oldArgs...)...) })
		before := instances(filesBelow(tree))
		if wanted[mode] == nil {
			took := p.duration(func() {
				p.must(dir, append([]string{"render", "-o", filepath.Join(dir, "calm")}, newArgs...)...)
			})
			usual = took
			wanted[mode] = instances(filesBelow(filepath.Join(dir, "calm")))
		}
		after := wanted[mode]
		var folders []string
		theirs := map[string]string{}
		for _, d := range old {
			folders = append(folders, filepath.Join(tree, d.id), filepath.Join(tree, d.id, "backup"))
			for _, name := range []string{"theirs-before.md", "backup/theirs-before.md"} {
				name = filepath.Join(tree, d.id, name)
				p.write(name, name)
				theirs[name] = name
			}
		}
		p.note = "--secrets " + mode
		// A run that is killed twice over leaves more than one folder.
		for range pick(p.random, 1, 2, 4) {
			through, kill := p.killer(usual, tree, "unlinkat", "unlinkat", "renameat2", "renameat", "mkdirat", "linkat", "openat", "fsync", "syncfs", "fchmodat", "newfstatat")
			stop := othersWrite(folders...)
			j := p.start(dir, "", through, append([]string{"render", "-o", tree}, newArgs...)...)
			kill(j)
			r := j.wait()
			for name, text := range stop() {
				theirs[name] = text
			}
			p.wholeTree(r, tree, before, after)
		}
		p.private(tree)

		// One run that completes puts everything right.
		r := p.must(dir, append([]string{"render", "-o", tree}, newArgs...)...)
		got := filesBelow(tree)
		for id, files := range instances(got) {
			if diff := difference(after[id], files); diff != "" {
				p.finding("after a run that completed %s is not what it should be:\n%s\n%s", id, diff, r)
			}
		}
		var lost []string
		for name, text := range theirs {
			rel, _ := filepath.Rel(tree, name)
			if got[rel] != text {
				lost = append(lost, rel)
			}
		}
		if len(lost) > 0 {
			slices.Sort(lost)
			p.finding("%d of %d files of others are lost, such as %s\n%s", len(lost), len(theirs), lost[0], r)
		}
		p.nothingLeft(dir, tree, r)
		if mode == "sops" {
			for name, text := range got {
				if leak := leaks(text, secrets); leak != "" {
					p.finding("%s shows %s", name, leak)
				}
			}
		}
	})
}

// wholeTree demands that each instance is wholly old or wholly new.
func (p *part) wholeTree(r run, tree string, before, after map[string]map[string]string) {
	p.t.Helper()
	now := instances(filesBelow(tree))
	for id := range before {
		toOld, toNew := difference(before[id], now[id]), difference(after[id], now[id])
		if toOld != "" && toNew != "" {
			p.finding("%s is neither old nor new; to the old:\n%s\nto the new:\n%s\n%s", id, toOld, toNew, r)
		}
	}
}

// private demands that nobody else looks into what a killed run left.
func (p *part) private(tree string) {
	p.t.Helper()
	entries, err := os.ReadDir(tree)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && strings.HasPrefix(entry.Name(), ".") && info.IsDir() && info.Mode().Perm()&0o077 != 0 {
			p.finding("a killed run left %s with mode %v", entry.Name(), info.Mode())
		}
	}
}

// nothingLeft demands that no folder of ours is left beside the instances, nor among
// the temporary files.
func (p *part) nothingLeft(dir, tree string, r run) {
	p.t.Helper()
	entries, err := os.ReadDir(tree)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") && entry.IsDir() {
			inside := filesBelow(filepath.Join(tree, entry.Name()))
			readable := 0
			for name := range inside {
				if strings.HasPrefix(filepath.Base(name), "secret-") {
					readable++
				}
			}
			p.finding("%s is left after a run that completed, with %d files, %d of them Secrets\n%s", entry.Name(), len(inside), readable, r)
		}
	}
	left, err := os.ReadDir(filepath.Join(dir, "tmp"))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, entry := range left {
		p.finding("%s is left among the temporary files\n%s", entry.Name(), r)
	}
}

// TestKilledPublishes kills publishes into a repository.
func TestKilledPublishes(t *testing.T) {
	old, newer := twoVersions(t)
	usual := time.Duration(0)
	var wantOld, wantNew map[string]string
	attack(t, 2, func(p *part, _ int, dir string) {
		remote, clone := filepath.Join(dir, "git", "remote.git"), filepath.Join(dir, "git", "clone")
		oldInputs, newInputs := p.putAll(filepath.Join(dir, "old"), old), p.putAll(filepath.Join(dir, "new"), newer)
		common := []string{"publish", "--repo", clone, "--path", "clusters"}
		p.keep("git", filepath.Join(dir, "git"), func() {
			p.repository(remote, clone)
			p.must(dir, slices.Concat(common, []string{"--push"}, oldInputs)...)
			wantOld = filesBelow(filepath.Join(clone, "clusters"))
		})
		if wantNew == nil {
			calm := filepath.Join(dir, "calm")
			p.mustGit(dir, "clone", "--quiet", clone, calm)
			usual = p.duration(func() {
				p.must(dir, slices.Concat([]string{"publish", "--repo", calm, "--path", "clusters"}, newInputs)...)
			})
			wantNew = filesBelow(filepath.Join(calm, "clusters"))
		}
		if p.random.IntN(2) == 0 {
			common = append(common, "--push")
		}
		if p.random.IntN(3) == 0 {
			common = append(common, "--per", "instance")
		}
		newArgs := slices.Concat(common, newInputs)
		p.write(filepath.Join(clone, "theirs.txt"), "not committed\n")
		for range pick(p.random, 1, 2, 3) {
			through, kill := p.killer(usual, filepath.Join(dir, "tmp"), "unlinkat", "renameat2", "mkdirat", "openat", "clone", "waitid", "flock", "fsync", "pidfd_send_signal")
			j := p.start(dir, "", through, newArgs...)
			kill(j)
			r := j.wait()
			p.wholeRepository(r, clone, wantOld, wantNew)
			p.wholeRepository(r, remote, wantOld, wantNew)
		}
		r := p.must(dir, newArgs...)
		p.wholeRepository(r, clone, wantNew, wantNew)
		p.wholeRepository(r, remote, wantOld, wantNew)
		if list := p.mustGit(clone, "worktree", "list", "--porcelain"); strings.Count(list, "worktree ") != 1 {
			p.finding("work trees are left:\n%s\n%s", list, r)
		}
		if status := p.mustGit(clone, "status", "--porcelain"); status != "?? theirs.txt" {
			p.finding("the work tree is not as it was:\n%s\n%s", status, r)
		}
		left, err := os.ReadDir(filepath.Join(dir, "tmp"))
		if err != nil {
			p.t.Fatal(err)
		}
		for _, entry := range left {
			p.finding("%s is left among the temporary files, with %d files\n%s", entry.Name(), len(filesBelow(filepath.Join(dir, "tmp", entry.Name()))), r)
		}
	})
}

// repository makes a bare repository with one commit, and a clone of it.
func (p *part) repository(remote, clone string) {
	p.t.Helper()
	p.mustGit("/", "init", "--quiet", "--bare", remote)
	p.mustGit("/", "clone", "--quiet", remote, clone)
	p.mustGit(clone, "commit", "--quiet", "--allow-empty", "--message", "first")
	p.mustGit(clone, "push", "--quiet", "--set-upstream", "origin", "main")
}

// wholeRepository demands that a repository is sound, and that each instance of its
// main is wholly one or the other.
func (p *part) wholeRepository(r run, repository string, before, after map[string]string) {
	p.t.Helper()
	if output, err := p.git(repository, "fsck", "--strict", "--no-dangling"); err != nil {
		p.finding("git fsck: %v\n%s\n%s", err, output, r)
	}
	now, toOld, toNew := instances(p.committed(repository)), instances(before), instances(after)
	for id := range toOld {
		if a, b := difference(toOld[id], now[id]), difference(toNew[id], now[id]); a != "" && b != "" {
			p.finding("main of %s has %s neither old nor new; to the old:\n%s\nto the new:\n%s\n%s", filepath.Base(repository), id, a, b, r)
		}
	}
}

// committed reads the tree that main has.
func (p *part) committed(repository string) map[string]string {
	p.t.Helper()
	dir := filepath.Join(p.work, "try", "archive")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		p.t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	archive := filepath.Join(dir, "main.tar")
	p.mustGit(repository, "archive", "--format=tar", "-o", archive, "main")
	if output, err := exec.Command("tar", "-xf", archive, "-C", dir).CombinedOutput(); err != nil {
		p.t.Fatalf("tar: %v\n%s", err, output)
	}
	if _, err := os.Stat(filepath.Join(dir, "clusters")); err != nil {
		if !os.IsNotExist(err) {
			p.t.Fatal(err)
		}
		return nil
	}
	return filesBelow(filepath.Join(dir, "clusters"))
}
