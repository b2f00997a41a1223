package kind

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/eval"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// Discovered is a unit and the kind that found it.
type Discovered struct {
	Unit
	Kind Kind
}

// Discover asks every kind for its units in the state, in the order of the
// kinds' names. A kind that fails hides no other. What one returns is held against schemas/unit.schema.json; what is wrong
// is that kind's bug, and the problem names it (HF102).
func Discover(program *eval.Program, set Set, state any) ([]Discovered, problem.List) {
	var units []Discovered
	var problems problem.List
	answers, failed := program.Units(set.Names(), state)
	for _, k := range set.Kinds {
		if err := failed[k.Name]; err != nil {
			problems = append(problems, set.failed(program, k, "units", err))
			continue
		}
		found, wrong := set.decode(program, k, answers[k.Name])
		problems = append(problems, wrong...)
		for _, unit := range found {
			units = append(units, Discovered{Unit: unit, Kind: k})
		}
	}
	return units, problems
}

// decode turns a kind's answer into units.
func (s Set) decode(program *eval.Program, k Kind, answer any) ([]Unit, problem.List) {
	list, ok := answer.([]any)
	if !ok {
		return nil, problem.List{s.wrong(program, k, "units", problem.Problem{
			Pointer: "units(state)", Message: "expected an array of units, found " + typeOf(answer), Hint: aboutUnits,
		})}
	}
	var units []Unit
	var problems problem.List
	at := map[string]int{} // where in problems a fault is that several units have
	more := map[int]int{}
	for i, value := range list {
		object, _ := value.(map[string]any)
		id, _ := object["id"].(string)
		name := "unit " + id
		if id == "" {
			name = "entry " + strconv.Itoa(i) + " of units(state)"
		}
		wrong := s.units.Value(value)
		if prefix := k.Name + "/"; len(wrong) == 0 && !strings.HasPrefix(id, prefix) {
			wrong = problem.List{{Pointer: "/id", Message: fmt.Sprintf("%q does not begin with %q", id, prefix)}}
		}
		for _, p := range wrong {
			field := p.Pointer
			if first, told := at[field+" "+p.Message]; told {
				more[first]++
				continue
			}
			at[field+" "+p.Message] = len(problems)
			if p.Pointer = name; field != "" {
				p.Pointer += ": " + field
			}
			if p.Hint == "" {
				p.Hint = aboutUnits
			} else {
				p.Hint += " (" + aboutUnits + ")"
			}
			problems = append(problems, s.wrong(program, k, "units"+field, p))
		}
		if len(wrong) > 0 {
			continue
		}
		var unit Unit
		data, err := json.Marshal(value)
		if err == nil {
			err = strict(data, &unit)
		}
		if err != nil {
			// The schema and the type are held against each other by a test.
			problems = append(problems, s.wrong(program, k, "units", problem.Problem{Pointer: name, Message: err.Error(), Hint: aboutUnits}))
			continue
		}
		units = append(units, unit)
	}
	for i, n := range more {
		problems[i].Message += fmt.Sprintf(" (and so in %d more)", n)
	}
	return units, problems
}

// Blame gives problems of the plan that are a kind's doing their place in its
// template: what a unit covers (HF106), names of its variables (HF117), and an image
// that the template itself names and that does not exist (HF108). One whose name
// follows from the state is the state's.
func Blame(program *eval.Program, set Set, units []Discovered, problems problem.List) problem.List {
	fields := map[string]string{"HF106": "covers", "HF117": "capture/env"}
	for i, p := range problems {
		for _, u := range units {
			field, known := fields[p.Rule]
			switch {
			case known && p.Pointer == "unit "+u.ID:
			case u.namesImage(program, p):
				field = "capture/image"
				p.Pointer = "unit " + u.ID + ": /capture/image"
				if near := problem.Nearest(u.Capture.Image, slices.Sorted(maps.Keys(u.Kind.Images))); near != "" {
					p.Hint = fmt.Sprintf("did you mean %q? (the kind's images.json and the platform's have the images)", near)
				}
			default:
				continue
			}
			problems[i] = set.wrong(program, u.Kind, "units/"+field, p)
			problems[i].Rule = p.Rule
			break
		}
	}
	return problems
}

// namesImage says whether a problem is about the unit's image, and the template has
// that image's name in it.
func (d Discovered) namesImage(program *eval.Program, p problem.Problem) bool {
	if d.Capture == nil || len(d.Covers) == 0 || p.Pointer != d.Covers[0] || p.Message != fmt.Sprintf("there is no image %q", d.Kind.Name+"/"+d.Capture.Image) {
		return false
	}
	frame, found := program.Field(templateOf(d.Kind), "image")
	return found && strings.Contains(frame.Source, "'"+d.Capture.Image+"'")
}

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
