package publish

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// Exposed is a file that Git has, or takes with the next git add.
type Exposed struct {
	// Name is the file as it was given.
	Name string
	// Tracked says that Git has it. If not, the file is only not ignored.
	Tracked bool
	// Unknown is why git did not answer; nil if it did.
	Unknown error
}

// Expose finds out which of these files Git could carry off the machine: those in a
// work tree that are tracked there, or not ignored. For a link, the file that it leads
// to counts. If git is missing or does not answer, a file below a ".git" is Unknown.
//
// It runs no program that a repository's settings name, and fetches nothing. It does
// not open a bare repository that lies inside a work tree as plain files.
func Expose(ctx context.Context, names []string) []Exposed {
	files := map[string][]string{} // by work tree
	place := map[string]string{}   // by name
	for _, name := range names {
		file, err := filepath.Abs(name)
		if err == nil {
			file, err = filepath.EvalSymlinks(file)
		}
		if info, statErr := os.Stat(file); err != nil || statErr != nil || !info.Mode().IsRegular() {
			continue
		}
		top := findWorkTree(filepath.Dir(file))
		if top != "" && !strings.HasPrefix(file, filepath.Join(top, ".git")+string(filepath.Separator)) {
			files[top] = append(files[top], file)
			place[name] = file
		}
	}
	tracked, ignored, unknown := map[string]bool{}, map[string]bool{}, map[string]error{}
	for top, inside := range files {
		err := askGit(ctx, top, inside, tracked, ignored)
		for _, file := range inside {
			if err != nil {
				unknown[file] = err
				// A ".git" that is no repository: nothing takes the file.
				ignored[file] = strings.Contains(err.Error(), "not a git repository")
			}
		}
	}
	var exposed []Exposed
	for _, name := range names {
		if file, inside := place[name]; inside && (tracked[file] || !ignored[file]) {
			exposed = append(exposed, Exposed{Name: name, Tracked: tracked[file], Unknown: unknown[file]})
		}
	}
	return exposed
}

// askGit asks git which of the files of one work tree it tracks, and which it ignores.
func askGit(ctx context.Context, top string, files []string, tracked, ignored map[string]bool) error {
	// A clone that lacks objects would fetch them, with a program that its settings name.
	g := git{dir: top, config: []string{"safe.bareRepository=explicit", "core.fsmonitor=false"},
		env: []string{"GIT_NO_LAZY_FETCH=1", "GIT_ALLOW_PROTOCOL=none", "LC_ALL=C"}}
	list, err := g.output(ctx, append([]string{"--literal-pathspecs", "ls-files", "-z", "--"}, files...)...)
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(list, "\x00") {
		tracked[filepath.Join(top, filepath.FromSlash(name))] = true
	}
	list, err = g.outputWith(ctx, []byte(strings.Join(files, "\x00")+"\x00"), "check-ignore", "-z", "--stdin")
	if status, _ := exitStatus(err); err != nil && status != 1 { // none is
		return err
	}
	for name := range strings.SplitSeq(list, "\x00") {
		ignored[name] = true
	}
	return nil
}

// findWorkTree returns the folder above with a ".git", "" if there is none. Git is
// asked only where there is one.
func findWorkTree(dir string) string {
	for {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}
