package kind

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/eval"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// aboutUnits says where the contract is.
const (
	aboutUnits = "holdfast schema unit prints what a unit may have; templates/kinds/README.md explains it"
	aboutKinds = "templates/kinds/README.md says what kind.libsonnet must have"
)

// wrong makes a problem with what a kind's function returned one of the kind's. The
// line is that of the innermost field on the way (units/capture/how) which the
// template has once.
func (s Set) wrong(program *eval.Program, k Kind, way string, p problem.Problem) problem.Problem {
	file := templateOf(k)
	p.File, p.Rule = s.place(file), "HF102"
	p.Pointer = "kind " + k.Name + ": " + p.Pointer
	names := strings.Split(way, "/")
	for i := len(names) - 1; i >= 0; i-- {
		if frame, ok := program.Field(file, strings.NewReplacer("~1", "/", "~0", "~").Replace(names[i])); ok {
			p.Line, p.Column = frame.Line, frame.Column
			p.Detail = sourceLine(frame)
			break
		}
	}
	return p
}

// failed is the problem with a kind of which a function failed. Its place is the
// innermost one in the kind's own folder: whoever wrote that can mend it.
func (s Set) failed(program *eval.Program, k Kind, function string, err error) problem.Problem {
	p := problem.Problem{Pointer: signature(function), Message: err.Error(), Hint: aboutKinds}
	var unfit *eval.Unfit
	if errors.As(err, &unfit) {
		return problem.Problem{File: s.place(templateOf(k)), Pointer: "kind " + k.Name, Message: unfit.Message, Hint: aboutKinds, Rule: "HF102"}
	}
	var failed *eval.Error
	if !errors.As(err, &failed) {
		return s.wrong(program, k, function, p)
	}
	// How the platform asks is of no matter to the kind.
	failed.Frames = slices.DeleteFunc(failed.Frames, func(f eval.Frame) bool { return strings.HasPrefix(f.File, "platform/") })
	at := slices.IndexFunc(failed.Frames, func(f eval.Frame) bool { return strings.HasPrefix(f.File, "kinds/"+k.Name+"/") })
	if at < 0 {
		// It was put off until nothing of the kind was being evaluated.
		p = s.wrong(program, k, function, p)
		p.Detail = joined(p.Detail, s.frames("in", failed.Frames))
		return p
	}
	frame := failed.Frames[at]
	p.File, p.Line, p.Column, p.Rule = s.place(frame.File), frame.Line, frame.Column, "HF102"
	if p.Pointer = "kind " + k.Name + ": " + p.Pointer; failed.Unread {
		p.Pointer = "kind " + k.Name
	}
	p.Detail = joined(sourceLine(frame), s.frames("in", failed.Frames[:at]), s.frames("from", failed.Frames[at+1:]))
	return p
}

// RenderFailed says which kinds made an evaluation of the tree fail, by asking
// each that has units in the plan by itself. If none of them did, it was a
// template of the platform's.
func RenderFailed(program *eval.Program, set Set, names []string, plan any, err error) problem.List {
	var problems problem.List
	for _, k := range set.Kinds {
		if !slices.Contains(names, k.Name) {
			continue
		}
		for _, function := range []string{"objects", "restore"} {
			answer, err := program.Made(k.Name, function, plan)
			if err != nil {
				p := set.failed(program, k, function, err)
				// Both may fail by the same import.
				if !slices.ContainsFunc(problems, func(other problem.Problem) bool {
					return p.File == other.File && p.Line == other.Line && p.Column == other.Column && p.Message == other.Message
				}) {
					problems = append(problems, p)
				}
				continue
			}
			problems = append(problems, set.shape(program, k, function, answer)...)
		}
	}
	if len(problems) > 0 {
		return problems
	}
	p := problem.Problem{Pointer: "templates", Message: "a template failed: " + err.Error(), Rule: "HF102"}
	var failed *eval.Error
	if errors.As(err, &failed) && len(failed.Frames) > 0 {
		frame := failed.Frames[0]
		p.File, p.Line, p.Column = set.place(frame.File), frame.Line, frame.Column
		p.Detail = joined(sourceLine(frame), set.frames("from", failed.Frames[1:]))
	}
	return problem.List{p}
}

// shape says what is no object of Kubernetes among those that a function made for
// the kind's units. One fault is enough: the others have the same reason.
func (s Set) shape(program *eval.Program, k Kind, function string, answer any) problem.List {
	bad := func(unit any, message string) problem.List {
		return problem.List{s.wrong(program, k, function, problem.Problem{
			Pointer: fmt.Sprintf("unit %v: %s", unit, signature(function)), Message: message, Hint: aboutKinds,
		})}
	}
	units, _ := answer.([]any)
	for _, u := range units {
		unit, _ := u.(map[string]any)
		made, ok := unit["objects"].([]any)
		if !ok {
			return bad(unit["unit"], "expected an array of objects, found "+typeOf(unit["objects"]))
		}
		for i, o := range made {
			object, ok := o.(map[string]any)
			if !ok {
				return bad(unit["unit"], fmt.Sprintf("entry %d: expected an object, found %s", i, typeOf(o)))
			}
			metadata, _ := object["metadata"].(map[string]any)
			for _, field := range []struct {
				name  string
				value any
			}{{"apiVersion", object["apiVersion"]}, {"kind", object["kind"]}, {"metadata.name", metadata["name"]}} {
				if text, _ := field.value.(string); text == "" {
					return bad(unit["unit"], fmt.Sprintf("entry %d: the object has no %s", i, field.name))
				}
			}
		}
	}
	return nil
}

// signature is how a kind's function is written.
func signature(function string) string {
	switch function {
	case "units":
		return "units(state)"
	case "objects":
		return "objects(item)"
	}
	return "restore(item, request)"
}

// sourceLine shows a line of a template with its number.
func sourceLine(f eval.Frame) string {
	return fmt.Sprintf("%d | %s", f.Line, shortened(strings.TrimRight(f.Source, " ")))
}

// shortened is a line of a template at a length that a terminal shows.
func shortened(line string) string {
	const most = 100
	if letters := []rune(line); len(letters) > most {
		return string(letters[:most]) + " …"
	}
	return line
}

// frames shows a line for each frame, so that the way can be followed.
func (s Set) frames(word string, frames []eval.Frame) string {
	const most = 8
	var lines []string
	for i, f := range frames {
		if i == most {
			lines = append(lines, fmt.Sprintf("… and %d more", len(frames)-most))
			break
		}
		lines = append(lines, fmt.Sprintf("%s %s:%d:%d: %s", word, s.place(f.File), f.Line, f.Column, shortened(strings.TrimSpace(f.Source))))
	}
	return strings.Join(lines, "\n")
}

// joined puts texts below each other that are not empty.
func joined(texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(text string) bool { return text == "" }), "\n")
}

// templateOf is the path of a kind's template in the file system of Load.
func templateOf(k Kind) string { return path.Join("kinds", k.Name, "kind.libsonnet") }

// typeOf names the JSON type of a value.
func typeOf(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case float64:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "an array"
	}
	return "an object"
}
