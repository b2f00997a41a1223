package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-backup/holdfast/renderer/emit"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// Rules of this package; see package problem.
const (
	rulePlaintext = "HF501"
	ruleUnsafe    = "HF504"
	ruleVanished  = "HF505"
	ruleDirty     = "HF506"
	ruleBranch    = "HF507"
	ruleAltered   = "HF516"
)

// Misuse is a repository, a branch or a path that makes no sense.
type Misuse struct {
	Message string
	// Hint is the next step; may be empty.
	Hint string
}

func (m Misuse) Error() string { return m.Message }

// Repository is a Git work tree of the user's.
type Repository struct {
	// git runs at the top of the work tree.
	git git
	// branch is the one that is checked out; "" when HEAD is detached.
	branch string
	// head is its last commit; "" when it has none yet.
	head string
	// testOnlyLockWait is instead of lockWait.
	testOnlyLockWait time.Duration
}

// Open opens the work tree whose top is dir. What git, hooks and servers print for
// people goes to talk. The error is a Misuse if dir is not the top of a work tree.
func Open(ctx context.Context, dir string, talk io.Writer) (*Repository, error) {
	top, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(top); err != nil || !info.IsDir() {
		return nil, Misuse{Message: dir + ": this is no folder that can be read"}
	}
	r := &Repository{git: git{dir: top, talk: talk}}
	up, err := r.git.output(ctx, "rev-parse", "--show-cdup")
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, errors.New("git is not installed, or not in PATH")
	case ctx.Err() != nil:
		return nil, interrupted(nothing)
	case err != nil:
		return nil, Misuse{Message: dir + " is no Git work tree: " + lastLine(err.Error()), Hint: "git init makes one, git clone brings one"}
	case up != "":
		return nil, Misuse{Message: dir + " lies inside a Git work tree, but is not its top", Hint: "give the top as the repository and the rest as the path: it counts from there for Flux, too"}
	}
	if bare, err := r.git.output(ctx, "rev-parse", "--is-inside-work-tree"); err != nil || bare != "true" {
		return nil, Misuse{Message: dir + " is a Git repository without a work tree", Hint: "git clone makes one with"}
	}
	return r, nil
}

// lockWait is how long a run waits for another that publishes from the same work tree,
// and may have to push.
const lockWait = time.Minute

// lock lets one run at a time publish from a work tree. Git's own locks are not enough:
// git brings files into the work tree before it moves the branch. If another run has
// moved the branch meanwhile, the files stay.
func (r *Repository) lock(ctx context.Context) (unlock func(), err error) {
	known, err := r.git.output(ctx, "rev-parse", "--absolute-git-dir")
	if err != nil {
		return nil, err
	}
	unlock, _, err = emit.Lock(ctx, known, cmp.Or(r.testOnlyLockWait, lockWait))
	return unlock, err
}

// readHead finds out which branch is checked out, and where it is.
func (r *Repository) readHead(ctx context.Context) error {
	name, _, err := r.git.optional(ctx, "symbolic-ref", "--quiet", "HEAD")
	if err != nil {
		return err
	}
	r.branch = strings.TrimPrefix(name, branches)
	r.head, err = r.git.commit(ctx, "HEAD")
	return err
}

const branches = "refs/heads/"

func lastLine(text string) string {
	return text[strings.LastIndex(text, "\n")+1:]
}

// Folder checks and cleans the path of a tree inside a repository. A path that leaves
// the repository is a problem (HF504).
func Folder(name string) (string, error) {
	cleaned := path.Clean(filepath.ToSlash(name))
	refuse := func(message string) (string, error) {
		return "", problem.List{{Pointer: name, Message: message, Rule: ruleUnsafe,
			Hint: "name a folder of the repository, relative to its top"}}
	}
	if !fs.ValidPath(cleaned) {
		return refuse("this path does not stay in the repository")
	}
	for part := range strings.SplitSeq(cleaned, "/") {
		if strings.EqualFold(part, ".git") {
			return refuse("this path leads into Git's own folder")
		}
	}
	if strings.ContainsFunc(cleaned, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return refuse("this path holds a control character")
	}
	return cleaned, nil
}

// target is the branch that is published to.
type target struct {
	// branch is its short name here.
	branch string
	// review says that it is not the branch that is checked out.
	review bool
	// remote and ref are where it is at the remote; "" when nothing is pushed.
	remote, ref string
	// from is where the checked-out branch is at the remote: a new review branch
	// starts there.
	from string
}

// name is what messages call the branch at its remote. A remote that is a URL instead
// of a name may hold a password, so it is left out.
func (t target) name() string {
	branch := strings.TrimPrefix(t.ref, branches)
	if strings.ContainsAny(t.remote, ":/") {
		return branch + " at the remote"
	}
	return t.remote + "/" + branch
}

// resolveTarget decides what is published to.
func (r *Repository) resolveTarget(ctx context.Context, o Options) (target, error) {
	t := target{branch: r.branch}
	if o.Branch != "" {
		t.branch, t.review = o.Branch, true
		_, valid, err := r.git.optional(ctx, "check-ref-format", branches+t.branch)
		if err != nil {
			return t, err
		}
		if !valid || strings.HasPrefix(t.branch, "-") {
			return t, Misuse{Message: fmt.Sprintf("%q is no name that a branch can have", o.Branch)}
		}
		if t.branch == r.branch {
			return t, Misuse{Message: "the branch " + t.branch + " is the one that is checked out", Hint: "leave --branch away to publish to it"}
		}
	}
	if t.branch == "" {
		return t, refused("HEAD is detached: the commit would be on no branch",
			"check out the branch that Flux follows, or name one for a review with --branch")
	}
	if !o.Push {
		return t, nil
	}
	remote, ref, err := r.upstream(ctx)
	if err != nil {
		return t, err
	}
	t.remote, t.ref, t.from = remote, ref, ref
	if t.review {
		t.ref = branches + t.branch
	}
	return t, nil
}

func refused(message, hint string) error {
	return problem.List{{Pointer: "branch", Message: message, Hint: hint, Rule: ruleBranch}}
}

// upstream returns the remote of the checked-out branch and its name there. A
// branch that follows none is taken for one of the same name.
func (r *Repository) upstream(ctx context.Context) (remote, ref string, err error) {
	if r.branch != "" {
		ref = branches + r.branch
		if remote, _, err = r.git.optional(ctx, "config", "--get", "branch."+r.branch+".remote"); err != nil {
			return "", "", err
		}
		merge, followed, err := r.git.optional(ctx, "config", "--get", "branch."+r.branch+".merge")
		if err != nil {
			return "", "", err
		}
		if remote == "." { // it follows a branch here
			remote = ""
		}
		if remote != "" && followed {
			ref = merge
		}
	}
	if remote != "" {
		return remote, ref, nil
	}
	list, err := r.git.output(ctx, "remote")
	if err != nil {
		return "", "", err
	}
	remotes := strings.Fields(list)
	switch {
	case len(remotes) == 0:
		return "", "", Misuse{Message: "there is no remote to push to", Hint: "git remote add origin URL"}
	case slices.Contains(remotes, "origin"):
		return "origin", ref, nil
	case len(remotes) == 1:
		return remotes[0], ref, nil
	}
	return "", "", Misuse{Message: "the branch follows none of the remotes " + strings.Join(remotes, ", "), Hint: "git branch --set-upstream-to REMOTE/BRANCH"}
}

// ready finds what prevents a commit on the checked-out branch: an unfinished merge, or
// changes in the instances' folders.
func (r *Repository) ready(ctx context.Context, folders []string) (problem.List, error) {
	var problems problem.List
	for _, unfinished := range []string{"MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD"} {
		id, err := r.git.commit(ctx, unfinished)
		if err != nil {
			return nil, err
		}
		if id != "" {
			problems = append(problems, problem.Problem{Pointer: "branch", Rule: ruleBranch,
				Message: "a merge, cherry-pick or revert is not finished here (" + unfinished + ")", Hint: "finish it, or git merge --abort"})
		}
	}
	for _, folder := range folders {
		status, err := r.git.output(ctx, "--no-optional-locks", "--literal-pathspecs", "status", "--porcelain=v1", "-z",
			"--untracked-files=all", "--no-renames", "--", folder)
		if err != nil {
			return nil, err
		}
		var dirty []string
		for entry := range strings.SplitSeq(status, "\x00") {
			if len(entry) > len("XY ") {
				dirty = append(dirty, strings.TrimPrefix(entry[len("XY "):], folder+"/"))
			}
		}
		if len(dirty) > 0 {
			const enough = 5
			more := ""
			if len(dirty) > enough {
				dirty, more = dirty[:enough], fmt.Sprintf(" and %d more", len(dirty)-enough)
			}
			problems = append(problems, problem.Problem{Pointer: folder, Rule: ruleDirty,
				Message: "has changes that are not committed: " + strings.Join(dirty, ", ") + more,
				Hint:    "commit them, or take them back with git restore or git clean"})
		}
	}
	return problems, nil
}
