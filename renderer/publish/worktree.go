package publish

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/emit"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// workTree is a temporary work tree of the user's repository, with a HEAD and an
// index of its own.
type workTree struct {
	// temp is the folder with the work tree and all other temporary files.
	temp string
	// dir is the work tree.
	dir string
	git git
	// user is git in the user's work tree.
	user git
	// locks keep other runs from sweeping this one away.
	locks []*os.File
}

// orphanRef is a branch of the temporary work tree; it goes when the work tree goes.
const orphanRef = "refs/worktree/holdfast-orphan"

// newWorkTree makes a temporary work tree, without files yet.
func (r *Repository) newWorkTree(ctx context.Context) (*workTree, error) {
	hooks, err := r.git.hooks(ctx)
	if err != nil {
		return nil, err
	}
	start := r.head
	if start == "" {
		// A work tree must start at a commit. This one is on no branch.
		empty, err := r.git.output(ctx, "mktree")
		if err != nil {
			return nil, err
		}
		if start, err = r.git.output(ctx, "commit-tree", empty, "-m", "empty"); err != nil {
			return nil, err
		}
	}
	temp, lock, err := newTemp()
	if err != nil {
		return nil, err
	}
	// Git names the work tree by the last part of its path, so no other may have it.
	w := &workTree{temp: temp, dir: filepath.Join(temp, filepath.Base(temp)), git: r.git, user: r.git, locks: []*os.File{lock}}
	w.git.dir = w.dir
	// The work tree has every file, whatever the user's own leaves out. core.safecrlf
	// is not needed, because what is added is compared with what was rendered.
	// Submodules are not checked out.
	w.git.config = []string{"core.hooksPath=" + hooks, "core.sparseCheckout=false", "core.safecrlf=false", "submodule.recurse=false"}
	if _, err := r.git.output(ctx, "worktree", "add", "--quiet", "--no-checkout", "--detach", w.dir, start); err != nil {
		return nil, errors.Join(err, w.remove(ctx))
	}
	// Runs on another machine may see the repository's entry for this work tree, and
	// not this machine's temporary folder. So the entry is locked, too.
	known, err := w.git.output(ctx, "rev-parse", "--absolute-git-dir")
	if err != nil {
		return nil, errors.Join(err, w.remove(ctx))
	}
	if lock, err := tryLock(known); err == nil {
		w.locks = append(w.locks, lock)
	}
	return w, nil
}

// remove removes the work tree and git's entry for it.
func (w *workTree) remove(ctx context.Context) error {
	g := w.user
	g.ownGroup, g.testOnlyStep = true, nil
	_, known := os.Lstat(filepath.Join(w.dir, ".git")) //nolint:gosec // it only looks
	var err error
	if known == nil {
		_, err = g.output(context.WithoutCancel(ctx), "worktree", "remove", "--force", "--force", w.dir)
	}
	err = errors.Join(err, os.RemoveAll(w.temp)) //nolint:gosec // we made it
	for _, lock := range w.locks {
		_ = lock.Close() // a lock that is nil, too
	}
	return err
}

// checkOut brings the files of a commit into the work tree; "" means no commit.
func (w *workTree) checkOut(ctx context.Context, base string) error {
	if base == "" {
		empty, err := w.git.output(ctx, "mktree")
		if err != nil {
			return err
		}
		for _, args := range [][]string{
			{"symbolic-ref", "HEAD", orphanRef},
			{"update-ref", "-d", orphanRef}, // of an attempt before
			{"read-tree", "-u", "--reset", empty},
		} {
			if _, err := w.git.output(ctx, args...); err != nil {
				return err
			}
		}
		return nil
	}
	// Not git checkout: it runs hooks.
	if _, err := w.git.output(ctx, "update-ref", "--no-deref", "HEAD", base); err != nil {
		return err
	}
	_, err := w.git.output(ctx, "reset", "--quiet", "--hard", base)
	return err
}

// commit commits the bundle on top of base, and returns the last commit.
func (p *publication) commit(ctx context.Context, base string) (tip string, commits []Commit, err error) {
	w := p.workTree
	if err := w.checkOut(ctx, base); err != nil {
		return "", nil, err
	}
	for _, folder := range p.folders() {
		if link := w.symlink(folder); link != "" {
			return "", nil, problem.List{{Pointer: link, Message: "this is a symlink or a file, not a folder", Rule: ruleUnsafe, Hint: "choose another folder"}}
		}
	}
	committed, err := w.index(ctx, p.options.Path)
	if err != nil {
		return "", nil, err
	}
	differences, problems, err := p.compare(ctx, committed)
	if err != nil {
		return "", nil, err
	}
	files, err := emit.Files(p.bundle)
	if err != nil {
		return "", nil, err
	}
	written, err := emit.WriteTree(ctx, filepath.Join(w.dir, filepath.FromSlash(p.options.Path)), p.bundle, emit.TreeOptions{AllowShrink: p.options.AllowShrink, NoSweep: true})
	var found problem.List
	if errors.As(err, &found) {
		problems, err = append(problems, found...), nil
	}
	if err != nil {
		return "", nil, err
	}
	if len(problems) > 0 {
		return "", nil, problems.Sorted()
	}
	last := revision{commit: base}
	if base != "" {
		if last.tree, err = w.git.output(ctx, "rev-parse", base+"^{tree}"); err != nil {
			return "", nil, err
		}
	}
	changes := p.changes(committed, files, written)
	for _, group := range p.instances() {
		change := change{changes: map[string]emit.Changes{}, mask: p.options.Mask}
		for _, instance := range group {
			change.differences = append(change.differences, differences[instance])
			for _, c := range changes {
				if strings.HasPrefix(c.Path, instance+"/") {
					change.changes[instance] = append(change.changes[instance], c)
				}
			}
			for _, file := range files {
				if strings.HasPrefix(file.Path, instance+"/") {
					change.files = append(change.files, file)
				}
			}
		}
		next, err := p.commitGroup(ctx, change, last)
		if err != nil {
			return "", nil, err
		}
		if next != last {
			commits = append(commits, Commit{ID: next.commit, Subject: change.subject()})
		}
		last = next
	}
	return last.commit, commits, nil
}

// symlink returns the first part of a path in the work tree that is not a folder, "" if
// there is none. What lies behind a symlink may be outside of the repository.
func (w *workTree) symlink(name string) string {
	at := ""
	for part := range strings.SplitSeq(name, "/") {
		at = path.Join(at, part)
		info, err := os.Lstat(filepath.Join(w.dir, filepath.FromSlash(at)))
		if err != nil {
			return ""
		}
		if !info.IsDir() {
			return at
		}
	}
	return ""
}

// compare compares each instance's plan with the committed one, and finds what must not
// be published.
func (p *publication) compare(ctx context.Context, committed map[string]entry) (map[string]difference, problem.List, error) {
	differences := map[string]difference{}
	var problems problem.List
	for _, one := range p.plans {
		d, found, err := p.compareOne(ctx, committed, one)
		if err != nil {
			return nil, nil, err
		}
		differences[one.Instance] = d
		problems = append(problems, found...)
	}
	return differences, problems, nil
}

const planName = "plan.json"

// compareOne is compare for one instance.
func (p *publication) compareOne(ctx context.Context, committed map[string]entry, one *plan.Plan) (difference, problem.List, error) {
	file := path.Join(one.Instance, planName)
	d := difference{plan: one}
	at := slices.IndexFunc(p.bundle.Files, func(f manifest.File) bool { return f.Path == file })
	if at < 0 {
		return d, nil, problem.Bugf("the bundle has no %s", file)
	}
	unknown := func(message string) problem.List {
		return problem.List{{Pointer: path.Join(p.options.Path, file), Message: message + ", so that nobody can tell whether a source vanished",
			Hint: "bring it back from the history, or remove " + path.Join(p.options.Path, one.Instance) + " with git rm to begin anew", Rule: ruleVanished}}
	}
	folder := path.Join(p.options.Path, one.Instance)
	published, found := committed[path.Join(folder, planName)]
	_, listed := committed[path.Join(folder, emit.InventoryName)]
	var before []byte
	switch {
	case !found && listed:
		return d, unknown("the published plan is missing"), nil
	case !found:
		d.first = true
	case !published.isFile():
		return d, unknown("the published plan is no file"), nil
	default:
		text, err := p.workTree.git.output(ctx, "cat-file", "blob", published.id)
		if err != nil {
			return d, nil, err
		}
		before = []byte(text)
	}
	var err error
	if d.Difference, err = comparePlans(before, p.bundle.Files[at].Data); err != nil {
		return d, unknown("the published plan is none"), nil
	}
	return d, d.vanished(), nil
}

// revision is a commit with the id of its tree, which are its files; both are "" for none.
type revision struct{ commit, tree string }

// commitGroup commits a change on top of last, unless Git finds no difference. It
// commits exactly the bytes that were rendered.
func (p *publication) commitGroup(ctx context.Context, c change, last revision) (revision, error) {
	w := p.workTree
	var names []string
	var changes emit.Changes
	for _, instance := range c.differences {
		for _, one := range c.changes[instance.plan.Instance] {
			names = append(names, path.Join(p.options.Path, one.Path))
			changes = append(changes, one)
		}
	}
	if len(names) == 0 {
		return last, nil
	}
	// Without --force, a .gitignore that matches a rendered file would leave it out.
	if _, err := w.git.outputWith(ctx, []byte(strings.Join(names, "\x00")), "--literal-pathspecs", "add", "--force", "--chmod=-x", "--pathspec-from-file=-", "--pathspec-file-nul"); err != nil {
		return last, p.refusedToAdd(ctx, names, err)
	}
	if err := p.altered(ctx, c.files, changes); err != nil {
		return last, err
	}
	var next revision
	var err error
	if next.tree, err = w.git.output(ctx, "write-tree"); err != nil || next.tree == last.tree {
		return last, err
	}
	message := filepath.Join(w.temp, messageName)
	if err := os.WriteFile(message, []byte(c.message()), 0o600); err != nil {
		return last, err
	}
	if err := w.git.runVisible(ctx, "commit", "--quiet", "--file="+message); err != nil {
		return last, fmt.Errorf("%w; %s", err, nothing)
	}
	if next.commit, err = w.git.output(ctx, "rev-parse", "HEAD"); err != nil {
		return last, err
	}
	committed, err := w.git.output(ctx, "rev-parse", "HEAD^{tree}")
	if err != nil {
		return last, err
	}
	if committed != next.tree {
		return last, fmt.Errorf("a hook of the repository changes what is committed: keep it away from %s; %s", p.options.Path, nothing)
	}
	return next, nil
}
