package publish

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// git runs git in one work tree.
type git struct {
	// dir is where it runs.
	dir string
	// config are settings for this run: "core.hooksPath=…".
	config []string
	// env are variables for this run: "GIT_NO_LAZY_FETCH=1".
	env []string
	// talk is where git, its hooks and the server speak to people.
	talk io.Writer
	// ownGroup keeps the terminal's Ctrl-C away from git, for what must be
	// finished. Git cannot ask for a password then.
	ownGroup bool
	// testOnlyStep is called before each command; its error fails that command.
	testOnlyStep func(command string) error
	// testOnlyPatience is instead of patience.
	testOnlyPatience time.Duration
}

// patience is how long git may take to end when it is asked to. It is also how long a
// program that a hook left behind may hold stdout after git has ended.
const patience = 10 * time.Second

// exitStatus returns the exit status of a git that ran and failed, -1 if a signal
// ended it.
func exitStatus(err error) (status int, failed bool) {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), true
	}
	return 0, false
}

// output runs a command that asks no questions, and returns what it prints, without the
// last line break. Its error has what git said.
func (g git) output(ctx context.Context, args ...string) (string, error) {
	return g.outputWith(ctx, nil, args...)
}

// outputWith is output with something on stdin.
func (g git) outputWith(ctx context.Context, stdin []byte, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := g.command(ctx, args)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	if err := g.run(cmd, args); err != nil {
		if said := strings.TrimSpace(stderr.String()); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
		return "", err
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}

// runVisible runs a command that may run hooks, ask for a password or show what a
// server says.
func (g git) runVisible(ctx context.Context, args ...string) error {
	cmd := g.command(ctx, args)
	// Stdout belongs to whoever called Holdfast.
	cmd.Stdout, cmd.Stderr = g.talk, g.talk
	return g.run(cmd, args)
}

func (g git) command(ctx context.Context, args []string) *exec.Cmd {
	var all []string
	for _, setting := range g.config {
		all = append(all, "-c", setting)
	}
	cmd := exec.CommandContext(ctx, "git", append(all, args...)...) //nolint:gosec // no shell reads them
	cmd.Dir = g.dir
	cmd.Env = append(environment(), g.env...)
	// Git removes its lock files when it is asked to end, but not when it is killed.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = cmp.Or(g.testOnlyPatience, patience)
	if g.ownGroup {
		setProcessGroup(cmd)
	}
	return cmd
}

func (g git) run(cmd *exec.Cmd, args []string) error {
	name := args[0]
	for len(args) > 1 && strings.HasPrefix(name, "-") {
		args = args[1:]
		name = args[0]
	}
	if g.testOnlyStep != nil {
		if err := g.testOnlyStep(name); err != nil {
			return err
		}
	}
	// ErrWaitDelay means that git itself has ended well, but a hook left a program
	// behind that holds stdout.
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("git %s: %w", name, err)
	}
	return nil
}

// environment is the process's own, without what would lead git to another repository:
// a hook that runs Holdfast has such variables.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		switch name {
		case "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_NAMESPACE", "GIT_INTERNAL_SUPER_PREFIX",
			"GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH", "GIT_IMPLICIT_WORK_TREE",
			"GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS":
			return true
		}
		return false
	})
}

// optional runs a command that exits with status 1 to say that there is nothing.
func (g git) optional(ctx context.Context, args ...string) (value string, found bool, err error) {
	value, err = g.output(ctx, args...)
	if status, failed := exitStatus(err); failed && status == 1 {
		return "", false, nil
	}
	return value, err == nil, err
}

// commit returns the id of the commit that a name leads to, "" if none.
func (g git) commit(ctx context.Context, name string) (string, error) {
	id, _, err := g.optional(ctx, "rev-parse", "--quiet", "--verify", name+"^{commit}")
	return id, err
}

// contains reports whether a commit is another one or comes before it.
func (g git) contains(ctx context.Context, later, earlier string) (bool, error) {
	_, yes, err := g.optional(ctx, "merge-base", "--is-ancestor", earlier, later)
	return yes, err
}

// hooks returns the folder with the hooks, as an absolute path. The temporary work tree
// would look for a relative path in itself, and miss hooks that are not committed.
func (g git) hooks(ctx context.Context) (string, error) {
	folder, err := g.output(ctx, "rev-parse", "--git-path", "hooks")
	if err != nil || filepath.IsAbs(folder) {
		return folder, err
	}
	return filepath.Join(g.dir, folder), nil
}

// fetch gets the last commit that a branch has at the remote, and returns its id; "" if
// there is no such branch. It runs where the user would run it, because a remote may be
// a relative path.
func (g git) fetch(ctx context.Context, remote, ref string) (string, error) {
	// Git does not tell a missing branch from other errors of a fetch, so ask first.
	list, err := g.output(ctx, "ls-remote", "--quiet", "--", remote, ref)
	if err != nil {
		return "", err
	}
	for line := range strings.SplitSeq(list, "\n") {
		id, name, _ := strings.Cut(line, "\t")
		if name != ref {
			continue
		}
		// If the branch moves meanwhile, this fetches the commit above, too.
		return id, g.runVisible(ctx, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--", remote, ref)
	}
	return "", nil
}
