package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/examples"
)

// hooked is a repository of a user whose commits go through the real pre-commit,
// with the hooks of this very source.
type hooked struct {
	dir string
	env []string
}

// newHooked makes the repository and, as a repository of its own, the one that
// has the hooks: pre-commit clones it and builds its programs.
func newHooked(t *testing.T, config string) *hooked {
	t.Helper()
	notShort(t, "what runs pre-commit")
	preCommit, err := exec.LookPath("pre-commit")
	if err != nil {
		t.Fatal("pre-commit is missing, and this test is about it: make setup installs it from Debian")
	}
	cache, err := exec.Command("go", "env", "GOMODCACHE", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	caches := strings.Fields(string(cache))
	home := t.TempDir()
	h := &hooked{dir: t.TempDir(), env: append(os.Environ(),
		"HOME="+home, "PRE_COMMIT_HOME="+filepath.Join(home, "cache"),
		// Modules and objects are taken from where they are; pre-commit's own
		// GOPATH is empty.
		"GOMODCACHE="+caches[0], "GOCACHE="+caches[1],
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
		"PATH="+filepath.Dir(preCommit)+string(os.PathListSeparator)+os.Getenv("PATH"))}
	hooks := filepath.Join(t.TempDir(), "hooks")
	h.must(t, "bash", "-euc", copySource+` && git -C "$2" init -q && git -C "$2" add -A && git -C "$2" commit -qm hooks`, "bash", sourceRoot(t), hooks)
	revision := strings.TrimSpace(h.must(t, "git", "-C", hooks, "rev-parse", "HEAD"))
	h.must(t, "git", "init", "-q", ".")
	if err := copyFolder(h.dir, filepath.Join("..", "..", "examples", "minimal")); err != nil {
		t.Fatal(err)
	}
	encryptCredentials(t, h.dir)
	config = strings.NewReplacer("https://github.com/holdfast-backup/holdfast", hooks, "v0.1.0", revision).Replace(config)
	writeFile(t, filepath.Join(h.dir, ".pre-commit-config.yaml"), config)
	h.must(t, "git", "add", "-A")
	h.must(t, "pre-commit", "install")
	return h
}

// copySource copies what Git knows or would add from $1 to $2; a copy of the
// source without .git is copied as it is.
const copySource = `mkdir -p "$2" && cd "$1" &&
{ git ls-files -z --cached --others --exclude-standard 2>/dev/null || find . -type f -not -path './bin/*' -not -path './.cache/*' -print0; } |
while IFS= read -r -d '' f; do [ ! -e "$f" ] || printf '%s\0' "$f"; done | tar -c --null -T - | tar -x -C "$2"`

func sourceRoot(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// try runs a command in the repository.
func (h *hooked) try(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = h.dir, h.env
	output, err := cmd.CombinedOutput()
	return string(output), err
}

func (h *hooked) must(t *testing.T, name string, args ...string) string {
	t.Helper()
	output, err := h.try(name, args...)
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, output)
	}
	return output
}

// fails commits and expects the hook to refuse it, with that text.
func (h *hooked) fails(t *testing.T, why string) {
	t.Helper()
	output, err := h.try("git", "commit", "-qm", "change")
	if err == nil || !strings.Contains(output, "Failed") || !strings.Contains(output, why) {
		t.Fatalf("error %v, expected %q in\n%s", err, why, output)
	}
}

// TestPreCommit: the hook that writes refuses a commit whenever it wrote
// anything, also when all that it wrote is new, and lets it pass with that.
func TestPreCommit(t *testing.T) {
	config := strings.NewReplacer("holdfast-check", "holdfast-render", "--without-values, --against, clusters", "-o, clusters").
		Replace(documentBlocks(t, "ci.md")[".pre-commit-config.yaml"])
	h := newHooked(t, config)
	identity, _ := examples.Identity(examples.Phrase)
	h.env = append(h.env, ageKeyVariable+"="+identity)
	h.fails(t, "clusters was not up to date and is now: 24 files")
	if status := h.must(t, "git", "status", "--porcelain", "clusters"); !strings.HasPrefix(status, "?? clusters/") {
		t.Fatalf("the tree is not new to Git:\n%s", status)
	}
	h.must(t, "git", "add", "-A")
	h.must(t, "git", "commit", "-qm", "first")

	state := filepath.Join(h.dir, stateName)
	text := readFile(t, state)
	writeFile(t, state, strings.Replace(text, `"uid": 1000`, `"uid": 1001`, 1))
	h.must(t, "git", "add", "-A")
	h.fails(t, "is now: ")
	h.must(t, "git", "add", "-A")
	h.must(t, "git", "commit", "-qm", "second")

	// A file that somebody edits by hand, and one that is broken.
	plan := filepath.Join(h.dir, "clusters", "shop", "plan.json")
	writeFile(t, plan, strings.Replace(readFile(t, plan), "UTC", "GMT", 1))
	h.must(t, "git", "add", "-A")
	h.fails(t, "is now: 1 file")
	writeFile(t, state, strings.Replace(text, `"required"`, `"requird"`, 1))
	h.must(t, "git", "add", "-A")
	h.fails(t, "runtime-state.json:23:23: ")
}

// TestPreCommitCheck: the hook of docs/ci.md writes nothing, and needs no secret.
func TestPreCommitCheck(t *testing.T) {
	h := newHooked(t, documentBlocks(t, "ci.md")[".pre-commit-config.yaml"])
	h.env = append(h.env, ageKeyVariable+"=", ageKeyFileVariable+"=")
	if err := os.Mkdir(filepath.Join(h.dir, "clusters"), 0o755); err != nil {
		t.Fatal(err)
	}
	h.fails(t, "clusters differs from what render would write: 24 files")
	if entries, err := os.ReadDir(filepath.Join(h.dir, "clusters")); err != nil || len(entries) > 0 {
		t.Errorf("check wrote: %v, %v", entries, err)
	}
	identity, _ := examples.Identity(examples.Phrase)
	h.must(t, "env", ageKeyVariable+"="+identity, filepath.Join(commandFolder(t), "holdfast"), "render", "-s", ".", "-c", "backup-credentials.sops.json", "-o", "clusters")
	h.must(t, "git", "add", "-A")
	h.must(t, "git", "commit", "-qm", "first")
}
