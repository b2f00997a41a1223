package input

import (
	"maps"
	"slices"
	"strings"
)

// Draft is an instance whose documents have problems, without the sections that have
// them. Further checks find problems in what is left.
type Draft struct {
	Instance Instance
	// Without are JSON pointers to the sections of the state that are left out.
	Without []string
	// CredentialsRight says that the credentials have no problem.
	CredentialsRight bool
}

// Has says whether the place of a state that a JSON pointer leads to is in the
// draft.
func (d Draft) Has(pointer string) bool {
	return strings.HasPrefix(pointer, "/") && !slices.ContainsFunc(d.Without, func(section string) bool {
		return pointer == section || strings.HasPrefix(pointer, section+"/")
	})
}

// draft makes the draft of a pair. There is none if the pair has no problem, or if a
// document cannot be trusted at all.
func (p pair) draft(r *report, policy *Policy) (Draft, bool) {
	if !p.state.bad && !p.credentials.bad || p.state.flawed || p.credentials.flawed {
		return Draft{}, false
	}
	state, without := p.state.withoutFaulty(r)
	credentials, lost := p.credentials.withoutFaulty(r)
	if state == nil || credentials == nil {
		return Draft{}, false
	}
	quiet := &report{} // what cannot be decoded has been reported
	d := Draft{
		Instance: Instance{State: decodeState(quiet, state), Credentials: decodeCredentials(quiet, credentials), Policy: policy},
		Without:  without, CredentialsRight: len(lost) == 0,
	}
	d.Instance.State.Coverable = slices.DeleteFunc(slices.Clone(d.Instance.State.Coverable), func(place string) bool { return !d.Has(place) })
	return d, len(quiet.problems) == 0
}

// withoutFaulty returns a copy of a document without the sections that have a problem,
// and the pointers of these sections. It returns nil if the whole document has a
// problem other than a missing key.
func (d *checked) withoutFaulty(r *report) (*checked, []string) {
	root, ok := d.Root.(map[string]any)
	if !ok || encrypted(root) {
		return nil, nil
	}
	wrong := map[string]bool{}
	for _, p := range r.problems {
		if p.File != d.Name || p.Pointer == "" && p.Rule == "HF005" {
			continue
		}
		if p.Pointer == "" {
			return nil, nil
		}
		at := tokens(p.Pointer)
		depth := 1
		if len(at) > 1 && d.form.shape.listsSources(at[0], at[1]) {
			depth = 2
		}
		pointer := ""
		for _, token := range at[:depth] {
			pointer += "/" + escape(token)
		}
		wrong[pointer] = true
	}
	without := slices.Sorted(maps.Keys(wrong))
	root = maps.Clone(root)
	for _, pointer := range without {
		at := tokens(pointer)
		if len(at) == 1 {
			delete(root, at[0])
			continue
		}
		if section, ok := root[at[0]].(map[string]any); ok {
			section = maps.Clone(section)
			delete(section, at[1])
			root[at[0]] = section
		}
	}
	if !d.form.secret {
		// Every kind may take it that a state has these two.
		if root["cluster"] == nil {
			root["cluster"] = map[string]any{"name": "unknown"}
		}
		if root["namespace"] == nil {
			root["namespace"] = "unknown"
		}
	}
	c := *d
	tree := *d.Tree
	tree.Root = root
	c.Tree = &tree
	return &c, without
}
