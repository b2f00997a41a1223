package renderer

import (
	"io/fs"
	"slices"

	"github.com/holdfast-backup/holdfast/renderer/eval"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/overlay"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

// Inputs are the documents of one run: a state and credentials for each
// instance, paired by their instanceId, and at most one policy for all.
type Inputs struct {
	States      []input.Document
	Credentials []input.Document
	Policy      *input.Document
	// SOPSConfig is a .sops.yaml, whose rules then say for whom Secrets are
	// encrypted; nil leaves that to the credentials. TreePath is where the tree
	// is, relative to that file's folder, with forward slashes; empty for that
	// folder itself. Both are for secrets.SOPS only.
	SOPSConfig *input.Document
	TreePath   string
	// Certificate is that of the Sealed Secrets controller, an X.509 certificate
	// in PEM; only secrets.Sealed needs it.
	Certificate *input.Document
	// WithoutValues says that the credentials' secret values are not known: null
	// stands in their place. What is rendered then is for comparing only, see
	// manifest.File.Unseen.
	WithoutValues bool
	// Overlay is a kustomization of the user's own, which changes what is
	// rendered; nil for none.
	Overlay *overlay.Source
}

// Options say how the inputs are rendered.
type Options struct {
	// Secrets says what becomes of Secrets; Inputs have the documents for it.
	Secrets secrets.Mode
	// Progress is told after each instance how many of them are rendered. It
	// may be nil, and nothing that is rendered depends on it.
	Progress func(done, total int)
}

// Renderer holds what is the same for all runs: schemas, kinds, templates. It
// is not safe for concurrent use.
type Renderer struct {
	kinds     kind.Set
	validator *input.Validator
	program   *eval.Program
}

// New prepares a Renderer over templates: a folder with kinds/, platform/ and
// lib/, usually templates.FS, or kind.Overlay of it. A kind that does not load
// is a problem.List.
func New(templates fs.FS) (*Renderer, error) {
	kinds, err := kind.Load(templates)
	if err != nil {
		return nil, err
	}
	validator, err := input.NewValidator(kinds.Sections())
	if err != nil {
		if problems := kinds.CheckSections(templates); len(problems) > 0 {
			return nil, problems
		}
		return nil, err
	}
	scripts, shared := map[string]map[string]string{}, map[string]map[string]string{}
	for _, k := range kinds.Kinds {
		scripts[k.Name] = k.Scripts
	}
	for name, mounted := range kinds.Shared {
		shared[name] = mounted
	}
	program, err := eval.New(templates, kinds.Names(), scripts, shared)
	if err != nil {
		return nil, err
	}
	return &Renderer{kinds: kinds, validator: validator, program: program}, nil
}

// Kinds returns the kinds that this Renderer knows.
func (r *Renderer) Kinds() kind.Set { return r.kinds }

// Planned is one instance with its plan.
type Planned struct {
	Instance input.Instance
	Plan     *plan.Plan
}

// Plan runs the first five steps: load, validate, discover, plan, check. What
// they find comes back as one sorted problem.List.
func (r *Renderer) Plan(in Inputs) ([]Planned, error) {
	planned, _, problems := r.plan(in)
	if len(problems) > 0 {
		return nil, problems.Sorted()
	}
	return planned, nil
}

// plan is Plan. With problems in the documents it also returns the plans of what
// is right of them, and finds what is wrong there: whoever mends the one learns
// of the other at once.
func (r *Renderer) plan(in Inputs) (all, drafts []Planned, problems problem.List) {
	documents, problems := load(in)
	instances, unfinished, found := r.validator.ValidateAll(documents.states, documents.credentials, documents.policy)
	problems = append(problems, found...)
	if len(problems) > 0 {
		for _, draft := range unfinished {
			units, found := kind.Discover(r.program, r.kinds, draft.Instance.State.Root())
			if len(found) > 0 {
				continue // a kind misses what is left out
			}
			p := plan.Build(draft.Instance, r.kinds, units)
			for _, found := range plan.Check(p) {
				missing := found.Rule == "HF020" && draft.CredentialsRight
				if (missing || slices.Contains(early(), found.Rule)) && draft.Has(found.Pointer) {
					problems = append(problems, found)
				}
			}
			if draft.CredentialsRight {
				drafts = append(drafts, Planned{Instance: draft.Instance, Plan: p})
			}
		}
		return nil, drafts, problems
	}
	planned := make([]Planned, 0, len(instances))
	plans := make([]*plan.Plan, 0, len(instances))
	for _, instance := range instances {
		units, found := kind.Discover(r.program, r.kinds, instance.State.Root())
		if len(found) > 0 {
			problems = append(problems, found...)
			continue
		}
		p := plan.Build(instance, r.kinds, units)
		problems = append(problems, kind.Blame(r.program, r.kinds, units, plan.Check(p))...)
		planned = append(planned, Planned{Instance: instance, Plan: p})
		plans = append(plans, p)
	}
	return planned, planned, append(problems, plan.CheckFleet(plans)...)
}

// early are the rules about one source or one schedule by itself, which what is
// left out of a draft cannot break.
func early() []string {
	return []string{
		"HF041", "HF103", "HF107", "HF108", "HF109", "HF113", "HF114", "HF115", "HF118", "HF201", "HF207", "HF208", "HF210",
		"HF301", "HF302", "HF303", "HF311",
	}
}

// Rendered is what a run makes: a whole tree, and the plans that it follows.
type Rendered struct {
	// Planned are the instances in the order of the inputs, their plans with the
	// names that an overlay gives.
	Planned []Planned
	Bundle  manifest.Bundle
}

// Render runs eight of the nine steps: those of Plan, then render, order and seal; an
// overlay comes after render. Whoever called emits the result. With a problem, which
// comes back in one sorted problem.List, there is none.
func (r *Renderer) Render(in Inputs, o Options) (Rendered, error) {
	sealing, problems := secrets.NewMaker(o.Secrets, in.SOPSConfig, in.TreePath, in.Certificate)
	if in.WithoutValues {
		sealing = sealing.WithoutValues()
	}
	planned, drafts, found := r.plan(in)
	if len(found) > 0 {
		for _, draft := range drafts {
			problems = append(problems, sealing.Missing(draft.Plan, draft.Instance)...)
		}
	}
	if problems = append(problems, found...); len(problems) > 0 {
		return Rendered{}, problems.Sorted()
	}
	result := Rendered{Planned: planned}
	owners := manifest.NewOwners()
	for i := range planned {
		objects, bundle, found := r.instance(&planned[i], in.Overlay, sealing)
		result.Bundle.Files = append(result.Bundle.Files, bundle.Files...)
		problems = append(append(problems, found...), owners.Claim(objects)...)
		if o.Progress != nil {
			o.Progress(i+1, len(planned))
		}
	}
	if len(problems) > 0 {
		return Rendered{}, problems.Sorted()
	}
	return result, nil
}

// instance renders, orders and seals one instance. Its plan gets the names that an
// overlay gives.
func (r *Renderer) instance(p *Planned, changes *overlay.Source, sealing secrets.Maker) ([]manifest.Object, manifest.Bundle, problem.List) {
	value := p.Plan.Value()
	files, err := r.program.Render(value)
	if err != nil {
		return nil, manifest.Bundle{}, kind.RenderFailed(r.program, r.kinds, p.Plan.Kinds(), value, err)
	}
	if changes != nil {
		var found problem.List
		if files, p.Plan, found = overlay.Apply(*changes, files, p.Plan); len(found) > 0 {
			return nil, manifest.Bundle{}, found
		}
	}
	objects := manifest.Order(files)
	bundle, found := manifest.Seal(objects, p.Plan, p.Instance, sealing)
	if changes != nil {
		found = changes.Blame(found)
	}
	return objects, bundle, found
}

// documents are the loaded inputs.
type documents struct {
	states, credentials []*input.Tree
	policy              *input.Tree
}

// load reads every document, so that the problems of all come at once.
func load(in Inputs) (documents, problem.List) {
	var d documents
	var problems problem.List
	read := func(document input.Document) *input.Tree {
		tree, found := input.Load(document)
		problems = append(problems, found...)
		return tree
	}
	for _, document := range in.States {
		d.states = append(d.states, read(document))
	}
	for _, document := range in.Credentials {
		document.Secret = true
		d.credentials = append(d.credentials, read(document))
	}
	if in.Policy != nil {
		d.policy = read(*in.Policy)
	}
	return d, problems
}
