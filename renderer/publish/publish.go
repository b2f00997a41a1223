package publish

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// attempts is how often commits are made again because somebody else has pushed.
const attempts = 5

// Options are the choices of Publish.
type Options struct {
	// Path is the tree's folder in the repository, as Folder returns it.
	Path string
	// PerInstance makes a commit for each instance that changes; without it one commit
	// is for all of them.
	PerInstance bool
	// Push brings the commits to the branch's remote.
	Push bool
	// Branch names a branch for a review; empty for the one that is checked out.
	Branch string
	// AllowShrink lets more than a quarter of an instance's files vanish.
	AllowShrink bool
	// Note tells people what happens, at once. It may be nil.
	Note func(format string, args ...any)
	// Mask removes from a commit message what nobody may read. It may be nil.
	Mask func(text string) string
}

// Commit is a commit that was made.
type Commit struct {
	ID string
	// Subject is the first line of its message.
	Subject string
}

// Result is what Publish did.
type Result struct {
	// Branch is the name of the branch that has the commits.
	Branch string
	// Commits are in the order in which they were made. There are none if the
	// repository has all of the bundle already.
	Commits []Commit
	// Pushed is the branch at its remote, as messages name it; empty if nothing
	// was pushed.
	Pushed string
	// Behind says why the branch here does not have what was pushed, by this run
	// or before; nil if it has.
	Behind error
}

// Publish commits a bundle, made of these plans, and returns what it did. It does all
// of it or nothing: with an error the repository and its remote are as they were. There
// are two exceptions. After a push that was interrupted nobody knows whether it
// arrived, until the next run asks. And the branch here may not be able to follow what
// was pushed; that is Result.Behind.
//
// The error is a problem.List when the bundle or the repository must not be published
// as it is, and a Misuse when the options make no sense.
func (r *Repository) Publish(ctx context.Context, b manifest.Bundle, plans []*plan.Plan, o Options) (Result, error) {
	if o.Note == nil {
		o.Note = func(string, ...any) {}
	}
	if o.Mask == nil {
		o.Mask = func(text string) string { return text }
	}
	unlock, err := r.lock(ctx)
	if err != nil {
		return Result{}, orInterrupted(ctx, nothing, fmt.Errorf("%w; %s", err, nothing))
	}
	defer unlock()
	if err := r.readHead(ctx); err != nil {
		return Result{}, orInterrupted(ctx, nothing, err)
	}
	t, err := r.resolveTarget(ctx, o)
	if err != nil {
		return Result{}, orInterrupted(ctx, nothing, err)
	}
	p := &publication{Repository: r, options: o, target: t, bundle: b, plans: plans}
	problems := unsealed(b)
	if !t.review {
		found, err := r.ready(ctx, p.folders())
		if err != nil {
			return Result{}, orInterrupted(ctx, nothing, err)
		}
		problems = append(problems, found...)
	}
	if len(problems) > 0 {
		return Result{}, problems.Sorted()
	}
	if err := r.sweep(ctx, o.Note); err != nil {
		return Result{}, orInterrupted(ctx, nothing, err)
	}
	if p.workTree, err = r.newWorkTree(ctx); err != nil {
		return Result{}, orInterrupted(ctx, nothing, err)
	}
	result, err := p.run(ctx)
	if left := p.workTree.remove(ctx); left != nil && err == nil {
		o.Note("the temporary work tree could not be removed: %v", left)
	}
	return result, err
}

// publication is one run of Publish.
type publication struct {
	*Repository
	options  Options
	target   target
	bundle   manifest.Bundle
	plans    []*plan.Plan
	workTree *workTree
}

// folders are the folders of the bundle's instances in the repository.
func (p *publication) folders() []string {
	var folders []string
	for _, one := range p.plans {
		folders = append(folders, path.Join(p.options.Path, one.Instance))
	}
	return folders
}

// run commits, pushes, and moves the branch.
func (p *publication) run(ctx context.Context) (Result, error) {
	result := Result{Branch: p.target.branch}
	here, err := p.readBranchState(ctx)
	if err != nil {
		return Result{}, orInterrupted(ctx, nothing, err)
	}
	for attempt := 1; ; attempt++ {
		tip, commits, err := p.commit(ctx, here.base)
		if err != nil {
			return Result{}, orInterrupted(ctx, nothing, err)
		}
		result.Commits = commits
		if !p.options.Push || len(commits) == 0 && !here.unpushed {
			if len(commits) == 0 && p.isBehind(here, tip) {
				// Somebody else has done it, or a run that was killed after it pushed.
				if result.Behind = p.moveBranch(context.WithoutCancel(ctx), here, tip); result.Behind == nil {
					p.options.Note("%s here has come up to %s", p.target.branch, p.target.name())
				}
				return result, nil
			}
			if len(commits) > 0 {
				if err := p.moveBranch(ctx, here, tip); err != nil {
					return Result{}, orInterrupted(ctx, nothing, fmt.Errorf("%w; %s", err, nothing))
				}
			}
			return result, nil
		}
		pushed := func() (Result, error) {
			result.Pushed = p.target.name()
			if tip != here.local {
				result.Behind = p.moveBranch(context.WithoutCancel(ctx), here, tip)
			}
			return result, nil
		}
		failed := p.git.runVisible(ctx, "push", "--quiet", "--no-recurse-submodules", "--", p.target.remote, tip+":"+p.target.ref)
		if failed == nil {
			return pushed()
		}
		unknown := "nobody knows whether " + p.target.name() + " has the commits; nothing changed here"
		if wasInterrupted(ctx, failed) {
			return Result{}, interrupted(unknown)
		}
		before := here
		here, err = p.readBranchState(ctx)
		var problems problem.List
		switch {
		case errors.As(err, &problems) || err != nil && wasInterrupted(ctx, err):
			return Result{}, orInterrupted(ctx, unknown, err)
		case err == nil && here.remote == tip: // it arrived, but not the answer
			return pushed()
		case err != nil || here.remote == before.remote:
			return Result{}, fmt.Errorf("%w; %s", failed, nothing)
		}
		if attempt == attempts {
			return Result{}, fmt.Errorf("somebody else pushed to %s each of %d times; %s", p.target.name(), attempts, nothing)
		}
		p.options.Note("%s moved meanwhile: committing again on top of it", p.target.name())
	}
}

// branchState is where the branch is.
type branchState struct {
	// local and remote are its last commit here and at the remote; "" for none.
	local, remote string
	// base is the commit to go on from; "" for none.
	base string
	// unpushed says that base is on the branch here, but not at the remote.
	unpushed bool
}

// readBranchState finds the commit to go on from: it has all that is here and all that
// is at the remote.
func (p *publication) readBranchState(ctx context.Context) (branchState, error) {
	s := branchState{local: p.head}
	var err error
	if p.target.review {
		if s.local, err = p.reviewBranch(ctx); err != nil {
			return s, err
		}
	}
	if p.target.remote != "" {
		if s.remote, err = p.git.fetch(ctx, p.target.remote, p.target.ref); err != nil {
			return s, err
		}
	}
	switch {
	case s.remote == "" || s.remote == s.local:
		s.base = s.local
	case s.local == "":
		s.base = s.remote
	default:
		behind, err := p.git.contains(ctx, s.remote, s.local)
		if err != nil {
			return s, err
		}
		ahead, err := p.git.contains(ctx, s.local, s.remote)
		if err != nil {
			return s, err
		}
		switch {
		case behind:
			s.base = s.remote
		case ahead:
			s.base = s.local
		default:
			return s, refused(fmt.Sprintf("%s here and %s have both gone on by themselves", p.target.branch, p.target.name()), "git pull --rebase")
		}
	}
	s.unpushed = s.base != "" && s.base != s.remote
	if p.target.review {
		return p.startReview(ctx, s)
	}
	if p.options.Push && s.unpushed && s.remote != "" {
		return s, p.refuseOthers(ctx, s)
	}
	return s, nil
}

// reviewBranch returns the last commit of the review branch, if it is there
// already. Without --push, what is known of it from the last fetch counts.
func (p *publication) reviewBranch(ctx context.Context) (string, error) {
	name := branches + p.target.branch
	list, err := p.git.output(ctx, "for-each-ref", "--format=%(refname)%00%(worktreepath)", name)
	if err != nil {
		return "", err
	}
	for line := range strings.SplitSeq(list, "\n") {
		if at, checkedOut := strings.CutPrefix(line, name+"\x00"); checkedOut && at != "" {
			return "", refused("the branch "+p.target.branch+" is checked out in another work tree", "publish from there, or choose another name")
		}
	}
	return p.git.commit(ctx, name)
}

// startReview lets a review branch start where the checked-out branch is at its
// remote, unless it has commits of its own already.
func (p *publication) startReview(ctx context.Context, s branchState) (branchState, error) {
	start := p.head
	if p.branch != "" {
		var known string
		var err error
		if p.target.remote != "" {
			known, err = p.git.fetch(ctx, p.target.remote, p.target.from)
		} else {
			var tracking string
			if tracking, err = p.git.output(ctx, "for-each-ref", "--format=%(upstream)", branches+p.branch); err == nil && tracking != "" {
				known, err = p.git.commit(ctx, lastLine(tracking))
			}
		}
		if err != nil {
			return s, err
		}
		if known != "" {
			start = known
		}
	}
	if s.base != "" && start != "" {
		done, err := p.git.contains(ctx, start, s.base)
		if err != nil || !done {
			return s, err
		}
	}
	if start != "" {
		s.base, s.unpushed = start, false
	}
	return s, nil
}

// refuseOthers refuses to push commits that touch more than the instances' folders:
// they belong to somebody who may not have finished.
func (p *publication) refuseOthers(ctx context.Context, s branchState) error {
	args := []string{"rev-list", "--max-count=1", s.remote + ".." + s.local, "--", "."}
	for _, folder := range p.folders() {
		args = append(args, ":(top,exclude,literal)"+folder)
	}
	others, err := p.git.output(ctx, args...)
	if err != nil || others == "" {
		return err
	}
	return refused(fmt.Sprintf("%s has commits that %s lacks and that are not Holdfast's, such as %.10s: they would be pushed, too", p.target.branch, p.target.name(), others),
		"push them first, or leave --push away")
}

// isBehind reports whether the branch here lacks what it has at the remote.
func (p *publication) isBehind(here branchState, tip string) bool {
	return p.options.Push && tip != "" && tip == here.remote && tip != here.local
}

// moveBranch moves the branch forward to the commits. Once begun, it is not
// interrupted.
func (p *publication) moveBranch(ctx context.Context, here branchState, tip string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	ctx = context.WithoutCancel(ctx)
	g := p.git
	g.ownGroup = true
	if p.target.review {
		before := here.local
		if before == "" {
			before = strings.Repeat("0", len(tip)) // it must not be there yet
		}
		_, err := g.output(ctx, "update-ref", "-m", "holdfast publish", branches+p.target.branch, tip, before)
		return err
	}
	// Somebody may have checked out another branch meanwhile.
	now, _, err := g.optional(ctx, "symbolic-ref", "--quiet", "HEAD")
	if err != nil {
		return err
	}
	if now != branches+p.target.branch {
		return errors.New("another branch was checked out meanwhile")
	}
	if err := g.runVisible(ctx, "merge", "--ff-only", "--quiet", "--no-stat", "--no-autostash", "--no-verify-signatures", "--no-overwrite-ignore", tip); err != nil {
		return fmt.Errorf("the work tree cannot take the commit: %w", err)
	}
	return nil
}

// nothing says what an interrupted run has done, in most cases.
const nothing = "nothing was published"

func interrupted(what string) error { return errors.New("interrupted: " + what) }

// orInterrupted returns err, or, if the run was interrupted, an error that says so.
func orInterrupted(ctx context.Context, what string, err error) error {
	if err != nil && wasInterrupted(ctx, err) {
		return interrupted(what)
	}
	return err
}

// wasInterrupted reports whether err is the result of an interruption. A terminal's
// Ctrl-C goes to git as well, which may end before this process is told.
func wasInterrupted(ctx context.Context, err error) bool {
	status, failed := exitStatus(err)
	return ctx.Err() != nil || failed && status < 0
}

// instances lists the instances in groups; each group becomes one commit.
func (p *publication) instances() [][]string {
	var all []string
	for _, one := range p.plans {
		all = append(all, one.Instance)
	}
	slices.Sort(all)
	if !p.options.PerInstance {
		return [][]string{all}
	}
	var groups [][]string
	for _, one := range all {
		groups = append(groups, []string{one})
	}
	return groups
}
