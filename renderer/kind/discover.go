package kind

import (
	"encoding/json"
	"errors"
	"fmt"
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
// kinds' names. What a kind returns is decoded strictly: a field that Unit does
// not have, or a kind that fails, is that kind's bug, and the problem names it
// (HF102).
func Discover(program *eval.Program, set Set, state any) ([]Discovered, problem.List) {
	answer, err := program.Units(state)
	if err != nil {
		return nil, TemplateFailed(err)
	}
	var units []Discovered
	var problems problem.List
	for _, k := range set.Kinds {
		found, err := decode(answer[k.Name])
		if err != nil {
			problems = append(problems, problem.Problem{
				Pointer: "kind " + k.Name,
				Message: "units(state) does not keep the contract: " + err.Error(),
				Hint:    "the fields of a unit are in renderer/kind/unit.go",
				Rule:    "HF102",
			})
			continue
		}
		for _, unit := range found {
			if prefix := k.Name + "/"; !strings.HasPrefix(unit.ID, prefix) || len(unit.ID) == len(prefix) {
				problems = append(problems, problem.Problem{
					Pointer: "kind " + k.Name,
					Message: fmt.Sprintf("unit id %q does not begin with %q", unit.ID, prefix),
					Rule:    "HF102",
				})
			}
			units = append(units, Discovered{Unit: unit, Kind: k})
		}
	}
	return units, problems
}

// decode turns a kind's answer into units.
func decode(answer any) ([]Unit, error) {
	data, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	var units []Unit
	if err := strict(data, &units); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	for _, unit := range units {
		switch {
		case unit.Namespace == "":
			return nil, fmt.Errorf("unit %q has no namespace", unit.ID)
		case unit.Need != "required" && unit.Need != "optional" && unit.Need != "skip":
			return nil, fmt.Errorf("unit %q: need is %q, expected required, optional or skip", unit.ID, unit.Need)
		case unit.Need != "skip" && unit.Capture == nil:
			return nil, fmt.Errorf("unit %q has no capture", unit.ID)
		}
		if unit.Capture == nil {
			continue
		}
		switch unit.Capture.How {
		case "dump", "exec", "volume", "sync":
		default:
			return nil, fmt.Errorf("unit %q: capture.how is %q, expected dump, exec, volume or sync", unit.ID, unit.Capture.How)
		}
	}
	return units, nil
}

// TemplateFailed reports a template that raised an error: the message holds
// the template's own text and line.
func TemplateFailed(err error) problem.List {
	return problem.List{{
		Pointer: "templates",
		Message: "a template failed: " + strings.Join(strings.Fields(err.Error()), " "),
		Rule:    "HF102",
	}}
}
