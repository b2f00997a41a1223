package main

import (
	"bytes"
	"encoding/xml"
	"io"
	"io/fs"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/emit"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// hostile is a result whose texts try to break out of their form.
func hostile() checkResult {
	return checkResult{
		Instances: []checkedInstance{{Instance: "one", Enabled: true, Totals: plan.Totals{Snapshots: 1, Copies: 2}}, {Instance: "two", Reason: "100% <off>"}},
		Problems: problem.List{
			{File: "a,b:c%.json", Line: 3, Column: 4, Pointer: "/x", Message: "<bad> & \"worse\"\n::error::forged", Detail: "3 | <x>\n::error::more\x1b", Hint: "do ]]> this", Rule: "HF012"},
			{Pointer: "Schedule/ns/name", Message: "no place", Rule: "HF301"},
		},
		Changes: []checkedChange{{Change: emit.Change{Path: "one/backup/a.yaml", Action: emit.Added}}, {Change: emit.Change{Path: "one/gone.yaml", Action: emit.Removed}}},
	}
}

// TestGitHubReport: one command a line, whatever the texts hold.
func TestGitHubReport(t *testing.T) {
	want := `::error file=a%2Cb%3Ac%25.json,line=3,col=4,title=holdfast%3A HF012::/x: <bad> & "worse"` + "\uFFFD" + `::error::forged%0A  3 | <x>%0A  ::error::more` + "\uFFFD" + `%0A  hint: do ]]> this%0Aholdfast explain HF012
::error title=holdfast%3A HF301::Schedule/ns/name: no place%0Aholdfast explain HF301
::error file=tree/one/backup/a.yaml,title=holdfast%3A not as rendered::render would have it added
::error file=tree/one/gone.yaml,title=holdfast%3A not as rendered::render would have it removed
::notice title=holdfast::one: no problems; 1 snapshot and 2 copies expected
::notice title=holdfast::two: backup is off (100%25 <off>)
`
	if got := githubReport(hostile(), "tree/"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestJUnitReport reads the report back: as many tests and failures as it says,
// and all texts as they were.
func TestJUnitReport(t *testing.T) {
	text, err := junitReport(hostile(), "tree")
	if err != nil {
		t.Fatal(err)
	}
	var suite junitSuite
	decoder := xml.NewDecoder(strings.NewReader(text))
	if err := decoder.Decode(&suite); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if _, err := decoder.Token(); err != nil && err != io.EOF {
		t.Error(err)
	}
	failed := 0
	for _, c := range suite.Cases {
		if c.Failure != nil {
			failed++
		}
		if c.Name == "" || c.Class == "" {
			t.Errorf("a test without name or class: %+v", c)
		}
	}
	if suite.Tests != 6 || suite.Failures != 4 || failed != 4 || len(suite.Cases) != 6 {
		t.Errorf("%d tests, %d failures; %d and %d are there\n%s", suite.Tests, suite.Failures, len(suite.Cases), failed, text)
	}
	if got, want := suite.Cases[2].Failure.Text, "a,b:c%.json:3:4\n/x: <bad> & \"worse\"\uFFFD::error::forged\n  3 | <x>\n  ::error::more\uFFFD\n  hint: do ]]> this\nholdfast explain HF012"; got != want {
		t.Errorf("failure %q, want %q", got, want)
	}
}

// TestReports runs check: no form of its report shows a value of a Secret, each
// says by its status what it found, and the text for people is on stderr.
func TestReports(t *testing.T) {
	tree, inputs := t.TempDir(), filepath.Join(t.TempDir(), "in")
	if err := copyFolder(inputs, layoutB); err != nil {
		t.Fatal(err)
	}
	runs := func(want int, args ...string) (string, string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if status := run(append([]string{"holdfast"}, args...), strings.NewReader(""), &stdout, &stderr); status != want {
			t.Fatalf("%v: status %d, stderr:\n%s", args, status, stderr.String())
		}
		return stdout.String(), stderr.String()
	}
	runs(statusDone, "render", "-s", inputs, "-c", inputs, "--secrets", "plain", "-o", tree)
	check := []string{"check", "-s", inputs, "-c", inputs, "--secrets", "plain", "--against", tree, "--output"}
	for _, form := range []string{"github", "junit"} {
		t.Run(form, func(t *testing.T) {
			if stdout, stderr := runs(statusDone, append(check, form)...); strings.Contains(stdout, "error") || strings.Contains(stdout, "failure ") || !strings.Contains(stderr, "as render would write it") {
				t.Errorf("stdout:\n%s\nstderr:\n%s", stdout, stderr)
			}
			credentials := filepath.Join(inputs, credentialsName)
			text := readFile(t, credentials)
			writeFile(t, credentials, strings.ReplaceAll(text, "example-restic-repository-password-0001", "another-restic-repository-password-0002"))
			stdout, stderr := runs(statusDiffers, append(check, form)...)
			writeFile(t, credentials, text)
			if !strings.Contains(stdout, "secret-restic.yaml") || !strings.Contains(stderr, "(masked, changed)") {
				t.Errorf("stdout:\n%s\nstderr:\n%s", stdout, stderr)
			}
			for _, secret := range []string{"password-0001", "password-0002", "EXAMPLEKEY"} {
				if strings.Contains(stdout+stderr, secret) {
					t.Errorf("%s is shown", secret)
				}
			}
			state := strings.Replace(readFile(t, filepath.Join(inputs, stateName)), `"required"`, `"requird"`, 1)
			writeFile(t, filepath.Join(inputs, "broken.json"), state)
			stdout, _ = runs(statusInput, "check", "-s", filepath.Join(inputs, "broken.json"), "-c", inputs, "--output", form)
			if !strings.Contains(stdout, "HF012") || !strings.Contains(stdout, "broken.json") {
				t.Errorf("stdout:\n%s", stdout)
			}
		})
	}
	_, stderr := runs(statusUsage, "check", "-s", inputs, "-c", inputs, "--output", "html")
	if !strings.Contains(stderr, "expected one of text, json, github, junit") {
		t.Error(stderr)
	}
}

// TestReportMasked: no form shows a secret that the form itself writes in another way,
// also where the message has quoted it.
func TestReportMasked(t *testing.T) {
	for _, value := range []string{"half%of it/is-25%", `a"quote&more<than-that`, "tab\tand\\back", "line\nof-the-test"} {
		result := checkResult{
			Instances:   []checkedInstance{{Instance: value, Enabled: true, Ignored: []string{value}}, {Instance: "two", Reason: value}},
			Problems:    problem.List{{File: value, Pointer: value, Message: "found " + strconv.Quote(value) + ", " + value, Hint: strconv.Quote(value), Rule: "HF012"}},
			Changes:     []checkedChange{{Change: emit.Change{Path: value, Action: emit.Added}, Reasons: []string{strconv.Quote(value)}}},
			NotCompared: []unseenFile{{Path: value}}, WithoutValues: true,
		}
		for _, form := range []string{"json", "github", "junit"} {
			var out bytes.Buffer
			known := &masker{}
			known.hide(value)
			f := newReportFormat()
			f.word = form
			if err := f.print(console{out: &out, err: io.Discard, secrets: known}, result, "tree/"+value); err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{value[:5], value[len(value)-5:]} {
				if strings.Contains(out.String(), part) || !strings.Contains(out.String(), masked) {
					t.Errorf("%s shows %q:\n%s", form, value, out.String())
					break
				}
			}
		}
		if result.Problems[0].File != value || result.Changes[0].Reasons[0] != strconv.Quote(value) || result.Instances[0].Ignored[0] != value {
			t.Error("the result itself has changed")
		}
	}
}

// TestTreeWritesNoLine: what a tree calls its files and keys begins no line, neither of
// a workflow command nor on a terminal.
func TestTreeWritesNoLine(t *testing.T) {
	const name = "a\n::error::forged\x1b[2J\r::b"
	list := problem.List{{File: name, Pointer: name, Message: name, Hint: name, Rule: "HF520"}}
	result := checkResult{Problems: list, Changes: []checkedChange{{Change: emit.Change{Path: name, Action: emit.Added}, Reasons: []string{name}}}}
	var people bytes.Buffer
	report(&people, list)
	report(&people, outside(&fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}))
	report(&people, usageError{"cannot read \x1b[2J", ""})
	against := comparison{changes: emit.Changes{{Path: name, Action: emit.Added}}, unseen: unseen{reasons: map[string][]string{name: {name}}}}
	for what, text := range map[string]string{"stderr": people.String(), "text": checkText(against, "tree"), "github": strings.ReplaceAll(githubReport(result, "tree"), "\n::error ", "\n")} {
		for _, bad := range []string{"\n::", "\r", "\x1b", "%0A::", "%0D"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s has %q:\n%q", what, bad, text)
			}
		}
	}
}

// TestMaskedProblem: no text of a problem reaches a report unmasked, but for the
// number of its rule.
func TestMaskedProblem(t *testing.T) {
	var p problem.Problem
	value := reflect.ValueOf(&p).Elem()
	for i := range value.NumField() {
		if value.Field(i).Kind() == reflect.String {
			value.Field(i).SetString("bare")
		}
	}
	result := checkResult{Problems: problem.List{p}}.masked(func(string) string { return masked })
	value = reflect.ValueOf(result.Problems[0])
	for i := range value.NumField() {
		if name := value.Type().Field(i).Name; name != "Rule" && value.Field(i).Kind() == reflect.String && value.Field(i).String() != masked {
			t.Errorf("%s is not masked", name)
		}
	}
}
