package main

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// reportFormat is the value of check's --output. github writes workflow commands,
// which become annotations beside the changed lines; junit writes the XML that
// GitLab and others show as a list of tests.
type reportFormat struct{ oneOf }

func newReportFormat() reportFormat {
	return reportFormat{oneOf{words: []string{"text", "json", "github", "junit"}}}
}

func (f *reportFormat) flag() cli.Flag {
	return &cli.GenericFlag{Name: "output", Value: f,
		Usage: "`FORMAT` of what goes to stdout: text, json, github (annotations of a workflow) or junit (XML)"}
}

// machine reports whether no person reads stdout.
func (f *reportFormat) machine() bool { return f.String() != "text" }

// print writes the result to stdout. dir is the tree that was compared.
func (f *reportFormat) print(c console, result checkResult, dir string) error {
	// What a form makes of a secret is no word that the mask knows at the exit.
	result, dir = result.masked(c.secrets.text), c.secrets.text(dir)
	switch f.String() {
	case "github":
		return c.print(githubReport(result, dir))
	case "junit":
		text, err := junitReport(result, dir)
		if err != nil {
			return err
		}
		return c.print(text)
	}
	return c.printJSON(result)
}

// explain writes the text for people to stderr, where a log shows it, unless
// stdout's form has all of it.
func (f *reportFormat) explain(c console, text string) {
	if f.String() != "json" {
		c.note("%s", strings.TrimSuffix(text, "\n"))
	}
}

// masked is the result with all texts masked.
func (r checkResult) masked(mask func(string) string) checkResult {
	all := func(texts []string) []string {
		texts = slices.Clone(texts)
		for i := range texts {
			texts[i] = mask(texts[i])
		}
		return texts
	}
	r.Instances, r.Problems = slices.Clone(r.Instances), slices.Clone(r.Problems)
	r.Changes, r.NotCompared = slices.Clone(r.Changes), slices.Clone(r.NotCompared)
	for i := range r.Instances {
		it := &r.Instances[i]
		it.Instance, it.Reason, it.Ignored = mask(it.Instance), mask(it.Reason), all(it.Ignored)
	}
	for i := range r.Problems {
		p := &r.Problems[i]
		p.File, p.Pointer = mask(p.File), mask(p.Pointer)
		p.Message, p.Detail, p.Hint = mask(p.Message), mask(p.Detail), mask(p.Hint)
	}
	for i := range r.Changes {
		change := &r.Changes[i]
		change.Path, change.Reasons = mask(change.Path), all(change.Reasons)
	}
	for i := range r.NotCompared {
		r.NotCompared[i].Path = mask(r.NotCompared[i].Path)
	}
	return r
}

// finding is one thing that is wrong, whatever the form.
type finding struct {
	file         string
	line, column int
	title, text  string
}

// findings are a result's problems and changes.
func findings(result checkResult, dir string) []finding {
	var all []finding
	for _, p := range result.Problems {
		all = append(all, finding{file: problem.Printable(p.File), line: p.Line, column: p.Column, title: p.Rule, text: messageOf(p)})
	}
	for _, change := range result.Changes {
		text := "render would have it " + string(change.Action)
		for _, reason := range change.Reasons {
			text += "\n" + problem.Printable(reason)
		}
		all = append(all, finding{
			file:  problem.Printable(path.Join(filepath.ToSlash(dir), change.Path)),
			title: "not as rendered",
			text:  text,
		})
	}
	return all
}

// messageOf is a problem without its place.
func messageOf(p problem.Problem) string {
	rule := p.Rule
	p.File, p.Rule = "", ""
	return fmt.Sprintf("%s\nholdfast explain %s", p, rule)
}

// githubReport writes one workflow command a line. A place that is no file of
// the repository, such as a rendered object, stands in the message alone.
func githubReport(result checkResult, dir string) string {
	var b strings.Builder
	message := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	for _, f := range findings(result, dir) {
		b.WriteString("::error ")
		if f.file != "" {
			fmt.Fprintf(&b, "file=%s,", property.Replace(f.file))
		}
		if f.line > 0 {
			fmt.Fprintf(&b, "line=%d,col=%d,", f.line, f.column)
		}
		fmt.Fprintf(&b, "title=%s::%s\n", property.Replace("holdfast: "+f.title), message.Replace(f.text))
	}
	for _, i := range result.Instances {
		text := fmt.Sprintf("%s: no problems; %s and %s expected", i.Instance,
			count(i.Totals.Snapshots, "snapshot", "snapshots"), count(i.Totals.Copies, "copy", "copies"))
		if !i.Enabled {
			text = fmt.Sprintf("%s: backup is off (%s)", i.Instance, i.Reason)
		}
		fmt.Fprintf(&b, "::notice title=holdfast::%s\n", message.Replace(strings.TrimSuffix(text+"\n"+foreignText(i.Instance, i.Ignored), "\n")))
	}
	for _, line := range (unseen{without: result.WithoutValues, files: result.NotCompared}).lines() {
		fmt.Fprintf(&b, "::warning title=holdfast%%3A not checked::%s\n", message.Replace(line))
	}
	return b.String()
}

// The elements of JUnit's XML that CI systems read.
type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr,omitempty"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		File    string        `xml:"file,attr,omitempty"`
		Failure *junitFailure `xml:"failure"`
		Skipped *junitSkipped `xml:"skipped"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitSkipped struct {
		Message string `xml:"message,attr"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// junitReport writes one test for each instance without problems, and one that
// failed for each finding.
func junitReport(result checkResult, dir string) (string, error) {
	suite := junitSuite{Name: "holdfast check"}
	for _, i := range result.Instances {
		suite.Cases = append(suite.Cases, junitCase{Class: "instance", Name: i.Instance, Out: strings.TrimSuffix(foreignText(i.Instance, i.Ignored), "\n")})
	}
	for _, f := range findings(result, dir) {
		place := f.file
		if f.line > 0 {
			place = fmt.Sprintf("%s:%d:%d", f.file, f.line, f.column)
		}
		first, _, _ := strings.Cut(f.text, "\n")
		suite.Failures++
		suite.Cases = append(suite.Cases, junitCase{
			Class: f.title, Name: cmp.Or(place, first), File: f.file,
			Failure: &junitFailure{Message: first, Text: strings.TrimPrefix(place+"\n", "\n") + f.text},
		})
	}
	for i, line := range (unseen{without: result.WithoutValues, files: result.NotCompared}).lines() {
		suite.Skipped++
		suite.Cases = append(suite.Cases, junitCase{Class: "not checked", Name: []string{"credentials", "values"}[i], Skipped: &junitSkipped{line}})
	}
	return suite.text()
}

// text is the suite as XML.
func (s junitSuite) text() (string, error) {
	s.Tests = len(s.Cases)
	data, err := xml.MarshalIndent(s, "", "  ")
	if err != nil {
		return "", err
	}
	return xml.Header + string(data) + "\n", nil
}
