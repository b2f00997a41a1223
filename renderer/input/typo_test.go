package input

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// typos returns key with each of its letters dropped and each two neighbours
// swapped.
func typos(key string) []string {
	var all []string
	for i := range key {
		all = append(all, key[:i]+key[i+1:])
	}
	for i := range len(key) - 1 {
		if key[i] != key[i+1] {
			all = append(all, key[:i]+key[i+1:i+2]+key[i:i+1]+key[i+2:])
		}
	}
	return all
}

// TestTypoInAnyKey misspells every key of the samples, which have one key on a
// line. Each first of its sort (the same key in the same section at the same
// depth) gets all typos, each other one.
func TestTypoInAnyKey(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short leaves out what tries thousands of inputs")
	}
	v := validator(t)
	keyLine := regexp.MustCompile(`^( *)"([^"]+)":`)
	for _, l := range layouts(t) {
		for _, document := range []struct{ name, text string }{{"state.json", l.state}, {"credentials.json", l.credentials}} {
			t.Run(l.name+"/"+document.name, func(t *testing.T) {
				lines := strings.Split(document.text, "\n")
				seen := map[string]bool{}
				section, overrides, tried := "", "", 0
				for i, line := range lines {
					match := keyLine.FindStringSubmatch(line)
					if match == nil {
						continue
					}
					indent, key := match[1], match[2]
					if len(indent) == 2 {
						section = key
					}
					// The names of units are known to the kinds, not here.
					if overrides != "" && strings.HasPrefix(indent, overrides+"  ") {
						if len(indent) == len(overrides)+2 {
							continue
						}
					} else {
						overrides = ""
					}
					if key == "overrides" {
						overrides = indent
					}
					sort := section + indent + key
					all := typos(key)
					if seen[sort] {
						all = all[i%len(all):][:1]
					}
					for _, typo := range all {
						tried++
						changed := append([]string(nil), lines...)
						changed[i] = strings.Replace(line, `"`+key+`"`, `"`+typo+`"`, 1)
						state, credentials := l.state, l.credentials
						if document.name == "state.json" {
							state = strings.Join(changed, "\n")
						} else {
							credentials = strings.Join(changed, "\n")
						}
						instances, problems := run(t, v, state, credentials, "")
						if err := refused(problems, document.name, i+1, len(indent)+1, key); err != nil {
							t.Errorf("line %d: %q for %q: %v\n%s", i+1, typo, key, err, problems.Error())
						}
						if len(instances) > 0 {
							t.Errorf("line %d: %q for %q: an instance came back", i+1, typo, key)
						}
					}
					seen[sort] = true
				}
				if tried < 200 {
					t.Errorf("only %d typos tried", tried)
				}
			})
		}
	}
}

// refused checks that the typo is reported once, at its place, with the true
// key as a hint. A typo that makes a second key of the same name is reported
// as that.
func refused(problems problem.List, file string, line, column int, key string) error {
	if len(problems) == 0 {
		return fmt.Errorf("no problem")
	}
	for _, p := range problems {
		if p.File != file || p.Line != line {
			continue
		}
		switch {
		case p.Column != column:
			return fmt.Errorf("column %d, want %d", p.Column, column)
		case p.Rule == "HF002" && p.Hint != "":
			return nil
		case p.Rule != "HF004" || p.Hint != fmt.Sprintf("did you mean %q?", key):
			return fmt.Errorf("rule %s, hint %q", p.Rule, p.Hint)
		case len(problems) > 1:
			return fmt.Errorf("%d problems, want one", len(problems))
		}
		return nil
	}
	return fmt.Errorf("no problem on line %d of %s", line, file)
}
