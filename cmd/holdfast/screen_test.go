package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"
)

// planOf runs plan on an example.
func planOf(t *testing.T, dir string, more ...string) string {
	t.Helper()
	args := []string{"holdfast", "plan", "-s", dir, "-c", dir}
	if policy := filepath.Join(dir, "policy.json"); isThere(policy) {
		args = append(args, "-p", policy)
	}
	if kinds := filepath.Join(dir, "kinds"); isThere(kinds) {
		args = append(args, "--kinds", kinds)
	}
	var stdout, stderr bytes.Buffer
	if status := run(append(args, more...), strings.NewReader(""), &stdout, &stderr); status != statusDone {
		t.Fatalf("status %d:\n%s", status, stderr.String())
	}
	return stdout.String()
}

// tooWide lists the lines of a text that are wider than a screen.
func tooWide(shown string) []string {
	var lines []string
	for line := range strings.Lines(shown) {
		if line = strings.TrimSuffix(line, "\n"); text.StringWidth(line) > screenWidth {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestPlanFits: the plan of each example fits a screen, and shows every unit whole.
func TestPlanFits(t *testing.T) {
	root := filepath.Join("..", "..", "examples")
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		ran++
		t.Run(entry.Name(), func(t *testing.T) {
			dir := filepath.Join(root, entry.Name())
			shown := planOf(t, dir)
			for _, line := range tooWide(shown) {
				t.Errorf("%d columns: %s", text.StringWidth(line), line)
			}
			for line := range strings.Lines(shown) {
				if strings.TrimRight(line, " \n") != strings.TrimSuffix(line, "\n") {
					t.Errorf("blanks at the end: %q", line)
				}
			}
			if entry.Name() == "two-in-one-namespace" {
				return // it has a line for each of both
			}
			wide := planOf(t, dir, "--output", "wide")
			for line := range strings.Lines(wide) {
				if _, unit, found := strings.Cut(line, "  "); found && strings.Contains(line, " restic ") || strings.Contains(line, " rclone ") {
					if id, _, _ := strings.Cut(unit, " "); !strings.Contains(shown, "  "+id) {
						t.Errorf("%s is not shown", id)
					}
				}
			}
		})
	}
	if ran < 10 {
		t.Errorf("only %d examples", ran)
	}
}

// TestWrap: what is too wide goes on in the next line, and nothing is lost.
func TestWrap(t *testing.T) {
	id := "volume/" + strings.Repeat("long-", 30) + "end"
	wide := strings.Repeat("備", 60)
	s := &screen{width: screenWidth}
	s.table([]string{"START", "UNIT", "REASON"}, 2, func(n int) []string {
		return [][]string{{"22:33", id, "because of this and of that and of a third thing that takes long to say"}, {"22:34", "volume/a", wide}}[n]
	})
	s.line("", "  ", id+" "+wide)
	s.line("- ", "  ", strings.Repeat("word ", 40)+"end")
	shown := s.String()
	for _, line := range tooWide(shown) {
		t.Errorf("%d columns: %s", text.StringWidth(line), line)
	}
	joined := strings.Join(strings.Fields(shown), "")
	for _, whole := range []string{wide, "end"} {
		if !strings.Contains(joined, whole) {
			t.Errorf("%s is lost:\n%s", whole, shown)
		}
	}
	if got := strings.Count(shown, "long-"); got < 50 { // some are broken in two
		t.Errorf("%d parts of the name are left of 60:\n%s", got, shown)
	}
	if got := strings.Count(shown, "word"); got != 40 {
		t.Errorf("%d words are left of 40:\n%s", got, shown)
	}
}

// TestWrapProse: as long as prose can make room, no name is broken.
func TestWrapProse(t *testing.T) {
	id := strings.Repeat("n", 50)
	s := &screen{width: screenWidth}
	s.table([]string{"UNIT", "REASON"}, 1, func(int) []string { return []string{id, strings.Repeat("reason ", 9) + "end"} })
	if shown := s.String(); !strings.Contains(shown, id) || len(tooWide(shown)) > 0 {
		t.Errorf("the name is broken:\n%s", shown)
	}
}

// TestWrapMasked: a secret is masked before it goes on in the next line, where nobody
// would know its parts, and no control character reaches the terminal.
func TestWrapMasked(t *testing.T) {
	secrets := &masker{}
	secrets.hide("correct horse battery staple")
	reason := strings.Repeat("x", 60) + " correct horse battery staple \x1b[2J\x9b0m"
	s := &screen{width: screenWidth, mask: secrets.text}
	s.line("", "", reason)
	s.table([]string{"UNIT", "REASON"}, 1, func(int) []string { return []string{"volume/a", reason} })
	if shown := s.String(); strings.Contains(shown, "horse") || strings.Count(shown, masked) != 2 || strings.ContainsAny(shown, "\x1b\u009b") {
		t.Errorf("shown:\n%q", shown)
	}
}

// TestStartOf: a cron line that has one time of day is shown as that, any other as it is.
func TestStartOf(t *testing.T) {
	for cron, want := range map[string]string{
		"5 3 * * *": "03:05", "41 5 * * 0": "Sun 05:41", "1 6 * * 6": "Sat 06:01", "0 0 * * 7": "Sun 00:00",
		"*/30 * * * *": "*/30 * * * *", "0 3 1 * *": "0 3 1 * *", "0 3 * 2 *": "0 3 * 2 *",
		"0 3 * * 1-5": "0 3 * * 1-5", "0 3 * * 9": "0 3 * * 9", "0 1,3 * * *": "0 1,3 * * *",
	} {
		if got := startOf(cron); got != want {
			t.Errorf("%s is shown as %s, want %s", cron, got, want)
		}
	}
}
