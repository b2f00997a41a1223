package problem

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestRules(t *testing.T) {
	text, err := rulesFS.ReadFile("rules.md")
	if err != nil {
		t.Fatal(err)
	}
	rules := Rules()
	if !slices.IsSortedFunc(rules, func(a, b Rule) int { return strings.Compare(a.ID, b.ID) }) {
		t.Error("the rules are not sorted")
	}
	seen := map[string]bool{}
	for _, r := range rules {
		if !regexp.MustCompile(`^HF[0-6][0-9]{2}$`).MatchString(r.ID) || seen[r.ID] {
			t.Errorf("%q is no number, or stands twice", r.ID)
		}
		seen[r.ID] = true
		for name, said := range map[string]string{"title": r.Title, "story": r.Story, "fix": r.Fix, "source": r.Source} {
			if strings.TrimSpace(said) == "" || strings.ContainsAny(said, "\n\t") || strings.Contains(said, "  ") {
				t.Errorf("%s: the %s is empty or more than one line", r.ID, name)
			}
		}
		if len(r.Title) > 80 || strings.HasSuffix(r.Title, ".") {
			t.Errorf("%s: the title is no title: %q", r.ID, r.Title)
		}
		// A source is to be found by whoever reads it: no number of a list that is
		// not in the repository.
		if regexp.MustCompile(`\b(S[0-9]-[0-9]|T[0-9])|\bproofs? [A-Z]|\b(lint rule|section [0-9])`).MatchString(r.Source) {
			t.Errorf("%s: nobody can look up %q", r.ID, r.Source)
		}
		for _, promise := range regexp.MustCompile(`promise ("[^"]+")`).FindAllStringSubmatch(r.Source, -1) {
			if !strings.Contains(string(text), "\n| "+promise[1]+" | ") {
				t.Errorf("%s: rules.md does not say what is promised by %s", r.ID, promise[1])
			}
		}
		// A story is one to four sentences.
		if ends := len(regexp.MustCompile(`[.?!](\s|$)`).FindAllString(r.Story, -1)); ends < 1 || ends > 4 || !strings.HasSuffix(r.Story, ".") {
			t.Errorf("%s: the story has %d sentences", r.ID, ends)
		}
		if found, ok := FindRule(r.ID); !ok || found != r {
			t.Errorf("FindRule(%s) finds %v", r.ID, found)
		}
	}
	if _, ok := FindRule("HF999"); ok {
		t.Error("HF999 is found")
	}
}

// TestParseRules: a file that another reader would take otherwise is refused, with
// the rule at fault.
func TestParseRules(t *testing.T) {
	const one = "# Rules\n\n## HF001: Title\n\nA story\nof two lines.\n\n**What to do:** Write \\<this>.\n\n**Source:** here\n"
	rules, err := parseRules(one)
	if want := (Rule{"HF001", "Title", "A story of two lines.", "Write <this>.", "here"}); err != nil || len(rules) != 1 || rules[0] != want {
		t.Errorf("parsed: %v, %v", rules, err)
	}
	_, section, _ := strings.Cut(one, "\n\n")
	for want, text := range map[string]string{
		"no heading":                        "# Rules\n",
		`"## HF1: Title" is no heading`:     strings.Replace(one, "HF001", "HF1", 1),
		"HF001 stands after HF001":          one + "\n" + section,
		"HF001 stands after HF002":          strings.Replace(one, "HF001", "HF002", 1) + "\n" + section,
		"expected, not 2":                   strings.Replace(one, "\n\n**Source:** here", "", 1),
		"expected, not 4":                   strings.Replace(one, "\n\n**Source:**", "\n\nMore.\n\n**Source:**", 1),
		`paragraph 2 does not begin with "`: strings.Replace(one, "What to do", "what to do", 1),
		`paragraph 3 does not begin with "`: strings.Replace(one, "**Source:**", "Source:", 1),
	} {
		if rules, err := parseRules(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v, %v", want, rules, err)
		}
	}
}

// TestRulesAreUsed: each number in the sources has a rule, and each rule is
// used. What stands in a comment is no use.
func TestRulesAreUsed(t *testing.T) {
	number := regexp.MustCompile(`HF[0-9]{3}`)
	used := map[string]string{}
	for _, root := range []string{"../../renderer", "../../cmd", "../../schemas"} {
		err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
			source := strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go")
			if err != nil || entry.IsDir() || !source && !strings.HasSuffix(file, ".schema.json") {
				return err
			}
			text, err := os.ReadFile(file)
			for line := range strings.Lines(string(text)) {
				if strings.HasPrefix(strings.TrimSpace(line), "//") {
					continue
				}
				for _, id := range number.FindAllString(line, -1) {
					used[id] = file
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for id, file := range used {
		if _, ok := FindRule(id); !ok {
			t.Errorf("%s: %s is no rule", file, id)
		}
	}
	for _, r := range Rules() {
		if used[r.ID] == "" {
			t.Errorf("%s is used nowhere", r.ID)
		}
	}
}
