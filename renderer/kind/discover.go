package kind

import (
	"encoding/json"
	"fmt"
	"maps"
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
// kinds' names. A kind that fails hides no other. What one returns is held against
// schemas/unit.schema.json; what is wrong is that kind's bug, and the problem names
// it (HF102). Then units are joined with those of other kinds.
func Discover(program *eval.Program, set Set, state any) ([]Discovered, problem.List) {
	var units []Discovered
	var joins []Joins
	var problems problem.List
	answers, failed := program.Units(set.Names(), state)
	for _, k := range set.Kinds {
		if err := failed[k.Name]; err != nil {
			problems = append(problems, set.failed(program, k, "units", err))
			continue
		}
		found, wrong := set.decode(program, k, answers[k.Name])
		problems = append(problems, wrong...)
		for _, answer := range found {
			units, joins = append(units, Discovered{Unit: answer.Unit, Kind: k}), append(joins, answer.Joins)
		}
	}
	settle(units, joins)
	return units, problems
}

// decode turns a kind's answer into units.
func (s Set) decode(program *eval.Program, k Kind, answer any) ([]Answer, problem.List) {
	list, ok := answer.([]any)
	if !ok {
		return nil, problem.List{s.wrong(program, k, "units", problem.Problem{
			Pointer: "units(state)", Message: "expected an array of units, found " + typeOf(answer), Hint: aboutUnits,
		})}
	}
	var units []Answer
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
		var unit Answer
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
