package emit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// InGitWorkTree reports whether dir, which need not exist yet, is inside a Git work
// tree. It is, if dir or a folder above it has a ".git". It is, too, if git, run in the
// working folder, reports a work tree that dir is in: GIT_WORK_TREE and core.worktree
// may put one anywhere. Symlinks are resolved first, so that a link cannot hide where
// files would really be written.
func InGitWorkTree(ctx context.Context, dir string) (bool, error) {
	place, _, err := resolve(dir)
	if err != nil {
		return false, err
	}
	if inside, err := belowDotGit(place); inside || err != nil {
		return inside, err
	}
	return belowTopOfGit(ctx, place), nil
}

// belowTopOfGit asks git. If git is missing, or knows no work tree, the answer is
// false.
func belowTopOfGit(ctx context.Context, place string) bool {
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return false
	}
	top, err := filepath.EvalSymlinks(strings.TrimSuffix(string(out), "\n"))
	if err != nil {
		return false
	}
	below, err := filepath.Rel(top, place)
	return err == nil && filepath.IsLocal(below)
}

func belowDotGit(place string) (bool, error) {
	for {
		_, err := os.Lstat(filepath.Join(place, ".git"))
		if err == nil {
			return true, nil
		}
		// A folder that does not exist yet has no ".git". One that may not be read
		// might have one.
		if !missing(err) {
			return false, fmt.Errorf("looking for a Git work tree: %w", err)
		}
		up := filepath.Dir(place)
		if up == place {
			return false, nil
		}
		place = up
	}
}

// refuseSecretsInGit is HF501: what is committed once is never secret again.
func refuseSecretsInGit(ctx context.Context, dir string, b manifest.Bundle) error {
	if !slices.ContainsFunc(b.Files, func(f manifest.File) bool { return f.Secret }) {
		return nil
	}
	inside, err := InGitWorkTree(ctx, dir)
	if err != nil || !inside {
		return err
	}
	return problem.List{{
		Pointer: dir,
		Message: "secrets in plain text would be written into a Git work tree",
		Hint:    "encrypt them with --secrets sops or sealed, leave them outside with --secrets external, or write to another folder",
		Rule:    ruleInGit,
	}}
}

// resolve returns dir as an absolute path without symlinks, and whether it exists. The
// error is a problem.List if dir is not a folder (HF504).
func resolve(dir string) (place string, exists bool, err error) {
	if dir == "" {
		return "", false, errors.New("the folder has no name")
	}
	if !filepath.IsAbs(dir) {
		here, err := os.Getwd()
		if err != nil {
			return "", false, fmt.Errorf("finding the working folder: %w", err)
		}
		// Not filepath.Join: it takes "link/.." for ".", the system does not.
		dir = here + string(filepath.Separator) + dir
	}
	missing := "" // what of dir does not exist yet
	for at := trimSeparators(dir); ; {
		target, err := filepath.EvalSymlinks(at)
		switch {
		case err == nil:
			info, err := os.Stat(target)
			if err != nil {
				return "", false, err
			}
			if !info.IsDir() {
				return "", false, noFolder(dir)
			}
			return filepath.Join(target, missing), missing == "", nil
		case errors.Is(err, syscall.ENOTDIR):
			return "", false, noFolder(dir)
		case !errors.Is(err, fs.ErrNotExist):
			return "", false, err
		}
		if info, err := os.Lstat(at); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return "", false, problem.List{{Pointer: dir, Message: "a symlink on the way to this folder leads nowhere", Rule: ruleUnsafe}}
		}
		up, last := filepath.Split(at)
		if last == ".." || up == "" {
			return "", false, fmt.Errorf("%s: %w", dir, fs.ErrNotExist)
		}
		missing = filepath.Join(last, missing)
		at = trimSeparators(up) // "link/" is what the link leads to
	}
}

func trimSeparators(name string) string {
	for len(name) > 1 && os.IsPathSeparator(name[len(name)-1]) {
		name = name[:len(name)-1]
	}
	return name
}

func noFolder(dir string) error {
	return problem.List{{Pointer: dir, Message: "this is no folder", Rule: ruleUnsafe, Hint: "choose another folder"}}
}

// missing reports whether err says that nothing stands at a path.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
