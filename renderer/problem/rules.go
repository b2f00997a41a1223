package problem

import (
	"embed"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Rule is a promise that Holdfast checks, with what it means to whoever broke
// it. Every Problem names one; holdfast explain prints it. The texts are those of
// rules.md.
type Rule struct {
	// ID is the number that problems carry: HF0xx is about the inputs, HF1xx
	// about units and kinds, HF2xx about times and retention, HF3xx about names,
	// networks and other instances, HF4xx about rendered objects, HF5xx about the
	// folder or the Git repository that is written to.
	ID string `json:"id"`
	// Title says in one line what is wrong.
	Title string `json:"title"`
	// Story says what happens in real life when nobody checks this.
	Story string `json:"story"`
	// Fix says what to do.
	Fix string `json:"fix"`
	// Source says where the knowledge comes from: K8up's behaviour, a proof on
	// a real cluster, a requirement.
	Source string `json:"source"`
}

//go:embed rules.md
var rulesFS embed.FS

// Rules returns all rules, sorted by number. The file is part of the program, and a
// test reads all of it: one that cannot be read never leaves a developer's machine.
func Rules() []Rule {
	text, err := rulesFS.ReadFile("rules.md")
	if err != nil {
		panic(err)
	}
	rules, err := parseRules(string(text))
	if err != nil {
		panic("rules.md: " + err.Error())
	}
	return rules
}

// FindRule returns the rule of that number.
func FindRule(id string) (Rule, bool) {
	for _, rule := range Rules() {
		if rule.ID == id {
			return rule, true
		}
	}
	return Rule{}, false
}

var ruleHeading = regexp.MustCompile(`^## (HF[0-9]{3}): (.+)$`)

// parseRules reads rules.md. What stands before the first heading of a rule is for
// the reader of the file.
func parseRules(text string) ([]Rule, error) {
	_, sections, found := strings.Cut(text, "\n\n## ")
	if !found {
		return nil, errors.New("there is no heading of a rule")
	}
	var rules []Rule
	for section := range strings.SplitSeq(strings.TrimSuffix(sections, "\n"), "\n\n## ") {
		rule, err := parseRule("## " + section)
		if err != nil {
			return nil, err
		}
		if n := len(rules); n > 0 && rules[n-1].ID >= rule.ID {
			return nil, fmt.Errorf("%s stands after %s", rule.ID, rules[n-1].ID)
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// parseRule reads one section: its heading, the story, what to do, the source.
func parseRule(section string) (Rule, error) {
	paragraphs := strings.Split(section, "\n\n")
	heading := ruleHeading.FindStringSubmatch(paragraphs[0])
	if heading == nil {
		return Rule{}, fmt.Errorf("%q is no heading such as \"## HFnnn: title\"", paragraphs[0])
	}
	rule := Rule{ID: heading[1], Title: heading[2]}
	if len(paragraphs) != 4 {
		return Rule{}, fmt.Errorf("%s: a heading and 3 paragraphs are expected, not %d", rule.ID, len(paragraphs)-1)
	}
	for i, p := range []struct {
		label string
		text  *string
	}{
		{"", &rule.Story},
		{"**What to do:** ", &rule.Fix},
		{"**Source:** ", &rule.Source},
	} {
		line := strings.ReplaceAll(paragraphs[i+1], "\n", " ")
		rest, labelled := strings.CutPrefix(line, p.label)
		if !labelled {
			return Rule{}, fmt.Errorf("%s: paragraph %d does not begin with %q", rule.ID, i+1, p.label)
		}
		*p.text = strings.ReplaceAll(rest, `\<`, "<")
	}
	return rule, nil
}
