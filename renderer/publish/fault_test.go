package publish

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// scene is a repository in some state, and what is published to it.
type scene struct {
	dir string
	// remote may be empty.
	remote  string
	publish rendered
	options Options
}

// scenes are the ways that a publication can go, each made anew for each run, and
// what goes wrong with it.
func scenes(t *testing.T) map[string]func(t *testing.T) scene {
	first, changed := render(t, shop, "", nil), render(t, shop, `{"schemaVersion": 1, "timezone": "Europe/Berlin"}`, nil)
	return map[string]func(t *testing.T) scene{
		"unborn is interrupted": func(t *testing.T) scene {
			return scene{dir: newRepository(t), publish: first, options: Options{Path: "."}}
		},
		"commit fails": func(t *testing.T) scene {
			dir := newRepository(t)
			must(t, dir, first, Options{Path: "clusters"})
			write(t, filepath.Join(dir, "own"), "x\n")
			run(t, dir, "add", "own")
			return scene{dir: dir, publish: changed, options: Options{Path: "clusters"}}
		},
		"push after somebody else fails": func(t *testing.T) scene {
			remote, dir := newRemote(t)
			other := cloneAgain(t, remote)
			commitFile(t, other, "a", "a\n")
			run(t, other, "push", "--quiet")
			return scene{dir: dir, remote: remote, publish: first, options: Options{Path: ".", Push: true}}
		},
		"review is interrupted": func(t *testing.T) scene {
			remote, dir := newRemote(t)
			return scene{dir: dir, remote: remote, publish: first, options: Options{Path: ".", Branch: "review", Push: true}}
		},
	}
}

// TestFaults lets each command of git fail in turn, and each be interrupted: then
// all is as it was, or all is done.
func TestFaults(t *testing.T) {
	isolate(t)
	for name, make := range scenes(t) {
		fails := strings.HasSuffix(name, " fails")
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				s := make(t)
				here, there := picture(t, s.dir), ""
				if s.remote != "" {
					there = picture(t, s.remote)
				}
				ctx, cancel := context.WithCancel(context.Background())
				repository, err := Open(ctx, s.dir, talk{t})
				if err != nil {
					t.Fatal(err)
				}
				steps, last := 0, ""
				repository.git.testOnlyStep = func(command string) error {
					if steps++; steps != n {
						return nil
					}
					last = command
					if fails {
						return errors.New("no")
					}
					cancel()
					return nil
				}
				result, err := repository.Publish(ctx, s.publish.bundle, s.publish.plans, s.options)
				cancel()
				noRemains(t, s.dir)
				if steps < n { // there are no more
					if err != nil || len(result.Commits) != 1 || result.Behind != nil {
						t.Errorf("%+v, %v", result, err)
					}
					if n < 10 {
						t.Errorf("only %d steps", n)
					}
					return
				}
				at := fmt.Sprintf("step %d, %s,", n, last)
				switch {
				case err == nil && !fails:
					// It was too late: all is done.
					if result.Behind != nil || len(result.Commits) != 1 || last != "merge" && last != "symbolic-ref" && last != "update-ref" {
						t.Errorf("%s %+v", at, result)
					}
				case err == nil:
					// Pushed, and said that this branch is behind.
					if result.Pushed == "" || result.Behind == nil {
						t.Errorf("%s %+v", at, result)
					}
					if s.remote == "" || there == picture(t, s.remote) {
						t.Errorf("%s: nothing was pushed", at)
					}
				default:
					same(t, at+" the repository", withoutTracking(here), withoutTracking(picture(t, s.dir)))
					if s.remote != "" {
						same(t, at+" the remote", there, picture(t, s.remote))
					}
				}
			}
		})
	}
}
