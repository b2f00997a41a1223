//go:build linux

package attack

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
)

// TestConcurrent lets runs of several instances, and of the same, write into one tree,
// one work tree and one remote at a time. Whoever says 0 has written, and is not undone.
func TestConcurrent(t *testing.T) {
	var all []documents
	for _, name := range []string{"minimal", "no-rwx", "cilium", "opted-out"} {
		all = append(all, example(t, name))
	}
	whole := map[string]map[string]string{}
	attack(t, 3, func(p *part, n int, dir string) {
		inputs := map[string][]string{}
		for _, d := range all {
			inputs[d.id] = p.put(filepath.Join(dir, d.id), d)
			if whole[d.id] == nil {
				calm := filepath.Join(dir, "calm-"+d.id)
				p.must(dir, append([]string{"render", "-o", calm}, inputs[d.id]...)...)
				whole[d.id] = instances(filesBelow(calm))[d.id]
			}
		}
		if n%2 == 0 {
			p.besideInATree(dir, all, inputs, whole)
		} else {
			p.besideInGit(dir, all, inputs, whole)
		}
	})
}

// besideInATree starts renders into one folder.
func (p *part) besideInATree(dir string, all []documents, inputs map[string][]string, whole map[string]map[string]string) {
	p.t.Helper()
	tree := filepath.Join(dir, "tree")
	var jobs []*job
	var ids []string
	theirs := filepath.Join(tree, "theirs-before.txt")
	p.write(theirs, "theirs")
	stop := othersWrite(tree)
	for range 3 + p.random.IntN(4) {
		d := pick(p.random, all...)
		ids = append(ids, d.id)
		jobs = append(jobs, p.start(dir, "", nil, append([]string{"render", "-o", tree}, inputs[d.id]...)...))
	}
	p.note = fmt.Sprintf("renders of %q beside each other", ids)
	p.ended(jobs, ids, func() map[string]map[string]string { return instances(filesBelow(tree)) }, whole)
	files := stop()
	files[theirs] = "theirs"
	for name, text := range files {
		if p.read(name) != text {
			p.finding("%s of others is lost", name)
		}
	}
	p.nothingLeft(dir, tree, p.must(dir, append([]string{"render", "-o", tree}, inputs[ids[0]]...)...))
}

// ended waits for runs and looks at what they have made.
func (p *part) ended(jobs []*job, ids []string, read func() map[string]map[string]string, whole map[string]map[string]string) {
	p.t.Helper()
	runs := make([]run, len(jobs))
	for i, j := range jobs {
		runs[i] = j.wait()
	}
	got := read()
	for i, r := range runs {
		switch diff := difference(whole[ids[i]], got[ids[i]]); {
		case r.code == 0 && diff != "":
			p.finding("%s was written, and is not what it should be:\n%s\n%s", ids[i], diff, r)
		case r.code != 0 && diff != "" && len(got[ids[i]]) > 0:
			p.finding("%s was refused, and is there in part:\n%s\n%s", ids[i], diff, r)
		}
	}
	for id := range got {
		if !slices.Contains(ids, id) {
			p.finding("nobody has written %s", id)
		}
	}
}

// besideInGit starts publishes into one work tree, and into two of one remote.
func (p *part) besideInGit(dir string, all []documents, inputs map[string][]string, whole map[string]map[string]string) {
	p.t.Helper()
	remote, clones := filepath.Join(dir, "remote.git"), []string{filepath.Join(dir, "one")}
	p.repository(remote, clones[0])
	push := p.random.IntN(3) > 0
	common := []string{"publish", "--path", "clusters"}
	if push {
		common = append(common, "--push")
		clones = append(clones, filepath.Join(dir, "two"))
		p.mustGit(dir, "clone", "--quiet", remote, clones[1])
	}
	var jobs []*job
	var ids []string
	for range 2 + p.random.IntN(3) {
		d, clone := pick(p.random, all...), pick(p.random, clones...)
		ids = append(ids, d.id)
		jobs = append(jobs, p.start(dir, "", nil, slices.Concat(common, []string{"--repo", clone}, inputs[d.id])...))
	}
	p.note = fmt.Sprintf("publishes of %q beside each other, pushed: %v", ids, push)
	at := clones[0]
	if push {
		at = remote
	}
	p.ended(jobs, ids, func() map[string]map[string]string { return instances(p.committed(at)) }, whole)
	// Afterwards each can be published, and all of them are there.
	for _, id := range ids {
		p.must(dir, slices.Concat(common, []string{"--repo", clones[0]}, inputs[id])...)
	}
	for _, repository := range append(clones, remote) {
		if output, err := p.git(repository, "fsck", "--strict", "--no-dangling"); err != nil {
			p.finding("git fsck of %s: %v\n%s", repository, err, output)
		}
	}
	got := instances(p.committed(at))
	for _, id := range ids {
		if diff := difference(whole[id], got[id]); diff != "" {
			p.finding("%s is not published:\n%s", id, diff)
		}
	}
	if status := p.mustGit(clones[0], "status", "--porcelain"); status != "" {
		p.finding("the work tree is not clean:\n%s", status)
	}
}
