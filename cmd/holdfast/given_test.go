package main

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

// TestGivenDocument: a document or an identity in the place of a path, or of any other
// word, is not shown.
func TestGivenDocument(t *testing.T) {
	const value, identity = "Of-The-Test-4711", "AGE-SECRET-KEY-1QQPQDPSTGQHVAUNTNDMLRWXWJAL7CJJVP0"
	const document = `{"restic": {"password": "` + value + `", "bucket": "shop"}}`
	escaped := `{"restic": {"password": "\u004f` + value[1:] + `"}}`
	list := func(credentials string) string {
		text, err := json.Marshal(credentials)
		if err != nil {
			t.Fatal(err)
		}
		return `{apiVersion: config.kubernetes.io/v1, kind: ResourceList, functionConfig: {apiVersion: holdfast.dev/v1, kind: Render, spec: {states: [` +
			"../../examples/minimal/runtime-state.json], credentials: [" + string(text) + "]}}}"
	}
	state := []string{"-s", "../../examples/minimal"}
	const where = "a document was given where a path belongs"
	for what, c := range map[string]struct {
		args           []string
		stdin          string
		variable, file string
		says           string
	}{
		"credentials":       {args: append([]string{"check", "-c", document}, state...), says: where},
		"by the long flag":  {args: append([]string{"check", "--credentials=" + document}, state...), says: where},
		"a text of it":      {args: append([]string{"check", "-c", strconv.Quote(document)}, state...), says: where},
		"escaped":           {args: append([]string{"check", "-c", escaped}, state...), says: where},
		"of many lines":     {args: append([]string{"check", "-c", "restic:\n  password: " + value + "\n"}, state...), says: where},
		"a state":           {args: []string{"check", "-s", document, "-c", "x"}, says: where},
		"a policy":          {args: append([]string{"check", "-p", document, "-c", "../../examples/minimal"}, state...), says: where},
		"a folder of kinds": {args: append([]string{"check", "--kinds", document, "-c", "../../examples/minimal"}, state...), says: "(masked)"},
		"a tree":            {args: append([]string{"check", "--against", document, "-c", "../../examples/minimal"}, state...), says: "(masked)"},
		"redact":            {args: []string{"redact", "-c", document}, says: where},
		"an argument":       {args: append([]string{"check"}, document), says: "(masked)"},
		"a split argument":  {args: []string{"check", `"password":`, `"` + value + `",`}, says: "takes no arguments"},
		"its second half":   {args: []string{"explain", `{"password":`, `"` + value + `"}`}, says: "(masked)"},
		"a command":         {args: []string{document}, says: "(masked)"},
		"help for it":       {args: []string{"help", document}, says: "(masked)"},
		"an option":         {args: []string{"check", "--" + document}, says: "(masked)"},
		"krm":               {args: []string{"krm"}, stdin: list(document), says: where},
		"krm, as a key":     {args: []string{"krm"}, stdin: strings.Replace(list("x"), "credentials", `"{\"password\": \"`+value+`\"}": [], credentials`, 1), says: "(masked)"},
		"an identity":       {args: append([]string{"check", "-c", identity}, state...), says: "(masked)"},
		"in small letters":  {args: append([]string{"check", "-c", strings.ToLower(identity)}, state...), says: "(masked)"},
		"as the key file":   {args: append([]string{"check", "-c", "x"}, state...), file: identity, says: "(masked)"},
		"a plugin's":        {args: append([]string{"check", "-c", "AGE-PLUGIN-YUBIKEY-1QQPQDPS"}, state...), variable: "AGE-PLUGIN-YUBIKEY-1QQPQDPS", says: "(masked)"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Setenv(ageKeyVariable, c.variable)
			t.Setenv(ageKeyFileVariable, c.file)
			if c.file != "" {
				r := newUnseenRun(t, "minimal")
				t.Setenv(ageKeyFileVariable, c.file)
				c.args = append([]string{"check", "--without-values", "--against", r.tree}, r.args...)
			}
			var stdout, stderr bytes.Buffer
			status := run(append([]string{"holdfast"}, c.args...), strings.NewReader(c.stdin), &stdout, &stderr)
			if status == statusDone {
				t.Error("it is taken")
			}
			said := stdout.String() + stderr.String()
			if !strings.Contains(said, c.says) {
				t.Errorf("%q is not said:\n%s", c.says, said)
			}
			for _, secret := range []string{value[3:], identity[20:], "YUBIKEY"} {
				if strings.Contains(strings.ToLower(said), strings.ToLower(secret)) {
					t.Errorf("a secret is shown:\n%s", said)
				}
			}
		})
	}
}
