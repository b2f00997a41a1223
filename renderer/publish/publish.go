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

// attempts is how often commits are made anew because somebody else pushed
// meanwhile.
const attempts = 5

// Options are the choices of Publish.
type Options struct {
	// Path is the tree's folder in the repository, as Folder returns it.
	Path string
	// PerInstance makes a commit for each instance that changes, else it is one
	// for all of them.
	PerInstance bool
	// Push brings the commits to the branch's remote.
	Push bool
	// Branch names a branch for a review; empty for the one that is checked out.
	Branch string
	// AllowShrink lets more than a quarter of an instance's files vanish.
	AllowShrink bool
	// Note says something for people while it happens. It may be nil.
	Note func(format string, args ...any)
	// Mask takes out of a commit message what nobody may read. It may be nil.
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
	// Commits are in their order. There are none if the repository has all of the
	// bundle already.
	Commits []Commit
	// Pushed is the branch at its remote, as messages name it; empty if nothing
	// was pushed.
	Pushed string
	// Behind says why the branch here does not have what was pushed, by this run
	// or before; nil if it has.
	Behind error
}

// Publish commits a bundle, made of these plans, and returns what it did. All of
// it is done, or nothing: with an error the repository and its remote are as they
// were. The exceptions are a push that was interrupted, of which nobody knows until
// the next run, and a branch that could not follow what was pushed, which is Result.Behind.
//
// The error is a problem.List when the bundle or the repository must not be
// published as it is, and a Misuse when the options cannot be meant.
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
	if err := r.locate(ctx); err != nil {
		return Result{}, orInterrupted(ctx, nothing, err)
	}
	t, err := r.aim(ctx, o)
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
	if p.work, err = r.newWork(ctx); err != nil {
		return Result{}, orInterrupted(ctx, nothing, err)
	}
	result, err := p.run(ctx)
	if left := p.work.remove(ctx); left != nil && err == nil {
		o.Note("the temporary work tree could not be removed: %v", left)
	}
	return result, err
}

// publication is one run of Publish.
type publication struct {
	*Repository
	options Options
	target  target
	bundle  manifest.Bundle
	plans   []*plan.Plan
	work    *work
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
	here, err := p.look(ctx)
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
			if len(commits) == 0 && p.lags(here, tip) {
				// Somebody else, or a run that was killed after it pushed, has done it.
				if result.Behind = p.settle(context.WithoutCancel(ctx), here, tip); result.Behind == nil {
					p.options.Note("%s here has come up to %s", p.target.branch, p.target.name())
				}
				return result, nil
			}
			if len(commits) > 0 {
				if err := p.settle(ctx, here, tip); err != nil {
					return Result{}, orInterrupted(ctx, nothing, fmt.Errorf("%w; %s", err, nothing))
				}
			}
			return result, nil
		}
		pushed := func() (Result, error) {
			result.Pushed = p.target.name()
			if tip != here.local {
				result.Behind = p.settle(context.WithoutCancel(ctx), here, tip)
			}
			return result, nil
		}
		failed := p.git.aloud(ctx, "push", "--quiet", "--no-recurse-submodules", "--", p.target.remote, tip+":"+p.target.ref)
		if failed == nil {
			return pushed()
		}
		unknown := "nobody knows whether " + p.target.name() + " has the commits; nothing changed here"
		if wasInterrupted(ctx, failed) {
			return Result{}, interrupted(unknown)
		}
		before := here
		here, err = p.look(ctx)
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

// sight is where the branch is.
type sight struct {
	// local and remote are its last commit here and at the remote; "" for none.
	local, remote string
	// base is the commit to go on from; "" for none.
	base string
	// unpushed says that base is on the branch here, but not at the remote.
	unpushed bool
}

// look finds the commit to go on from: the one that has all that is here and all
// that is at the remote.
func (p *publication) look(ctx context.Context) (sight, error) {
	s := sight{local: p.head}
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
func (p *publication) startReview(ctx context.Context, s sight) (sight, error) {
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

// refuseOthers refuses to push commits that touch more than the folders of ours:
// they are somebody's, who may not have finished.
func (p *publication) refuseOthers(ctx context.Context, s sight) error {
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

// lags reports whether the branch here lacks what it has at the remote.
func (p *publication) lags(here sight, tip string) bool {
	return p.options.Push && tip != "" && tip == here.remote && tip != here.local
}

// settle moves the branch forward to the commits. It is short, and nothing stops
// it half-way.
func (p *publication) settle(ctx context.Context, here sight, tip string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	ctx = context.WithoutCancel(ctx)
	g := p.git
	g.apart = true
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
	if err := g.aloud(ctx, "merge", "--ff-only", "--quiet", "--no-stat", "--no-autostash", "--no-verify-signatures", "--no-overwrite-ignore", tip); err != nil {
		return fmt.Errorf("the work tree cannot take the commit: %w", err)
	}
	return nil
}

// nothing is what most runs that are interrupted have done.
const nothing = "nothing was published"

func interrupted(what string) error { return errors.New("interrupted: " + what) }

// orInterrupted returns err, or if the run was interrupted, that it was.
func orInterrupted(ctx context.Context, what string, err error) error {
	if err != nil && wasInterrupted(ctx, err) {
		return interrupted(what)
	}
	return err
}

// wasInterrupted reports whether err is there because somebody wants us to end. A
// terminal tells git as well, which may end before we are told.
func wasInterrupted(ctx context.Context, err error) bool {
	status, failed := exitStatus(err)
	return ctx.Err() != nil || failed && status < 0
}

// instances lists the instances of which a commit is made, in groups of one
// commit each.
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
