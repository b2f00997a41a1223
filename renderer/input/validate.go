package input

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v5"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// Validator checks documents. It is safe for use by several goroutines.
type Validator struct {
	library                    library
	state, credentials, policy *form
}

// form is one sort of document.
type form struct {
	schema *jsonschema.Schema
	shape  *shape
	words  words
	// secret forbids values in messages.
	secret bool
}

// NewValidator compiles the schemas, once for any number of documents.
// sections are further top-level sections of the state that user kinds bring,
// name → JSON Schema; they may refer to the schemas of package schemas by file
// name ("forms.schema.json#/$defs/secretRef").
func NewValidator(sections map[string]json.RawMessage) (*Validator, error) {
	texts, err := readLibrary(sections)
	if err != nil {
		return nil, err
	}
	forms, err := texts.compile(stateSchema, credentialsSchema, policySchema)
	if err != nil {
		return nil, fmt.Errorf("compile schemas: %w", err)
	}
	return &Validator{library: texts, state: forms[0], credentials: forms[1], policy: forms[2]}, nil
}

// checked is a document with what has been found out about it.
type checked struct {
	*Tree
	form *form
	// id is the instanceId; empty if it cannot be told.
	id string
	// bad says that something is wrong with the document.
	bad bool
	// foreign are the top-level keys that a list says to belong to other
	// components.
	foreign map[string]bool
	// ignored, coverable, secrets and outside are for State and Credentials.
	ignored, coverable, outside []string
	secrets                     []Secret
	// shapes are those of the nodes, nil where the schema says nothing.
	shapes []*shape
}

// each visits the values that the schema knows.
func (d *checked) each(visit func(i int32, form *shape)) {
	for i, s := range d.shapes {
		if s != nil {
			visit(int32(i), s)
		}
	}
}

// report collects problems and remembers which documents have some.
type report struct {
	problems problem.List
}

func (r *report) add(p problem.Problem, documents ...*checked) {
	r.problems = append(r.problems, p)
	for _, d := range documents {
		d.bad = true
	}
}

// Validate checks all documents of a run together. It returns the instances whose
// documents have no problem, sorted by id, and all problems, sorted. policy may be nil.
// If there is a problem, nothing may be rendered; the instances are for further checks
// only.
func (v *Validator) Validate(states, credentials []*Tree, policy *Tree) ([]Instance, problem.List) {
	instances, _, problems := v.ValidateAll(states, credentials, policy)
	return instances, problems
}

// ValidateAll is like Validate, and returns drafts, too: of instances whose documents
// have problems, what is left without them. Further checks of a draft find problems
// that would otherwise show only after the first ones are corrected.
func (v *Validator) ValidateAll(states, credentials []*Tree, policy *Tree) ([]Instance, []Draft, problem.List) {
	r := &report{}
	var allowed []string // what the policy says about foreign keys
	check := func(trees []*Tree, f *form) []*checked {
		documents := make([]*checked, 0, len(trees))
		for _, t := range trees {
			d := &checked{Tree: t, form: f, bad: t.unreadable, foreign: map[string]bool{}}
			if f == v.state {
				d.mayHave(d.names("foreign"), allowed)
			}
			if !t.unreadable {
				v.check(r, d)
			}
			documents = append(documents, d)
		}
		return documents
	}
	var policyDocument *checked
	if policy != nil {
		policyDocument = check([]*Tree{policy}, v.policy)[0]
		allowed = policyDocument.names("foreign")
		checkForeign(r, policyDocument, v.state.shape)
	}
	stateDocuments, credentialDocuments := check(states, v.state), check(credentials, v.credentials)
	for _, d := range stateDocuments {
		checkForeign(r, d, v.state.shape)
	}
	pairs := match(r, stateDocuments, credentialDocuments)
	checkRules(r, stateDocuments, credentialDocuments, pairs)

	instances := make([]Instance, 0, len(pairs))
	decodedPolicy := decodePolicy(r, policyDocument)
	var drafts []Draft
	for _, p := range pairs {
		if draft, ok := p.draft(r, decodedPolicy); ok {
			drafts = append(drafts, draft)
		}
		if p.state.bad || p.credentials.bad || policyDocument != nil && policyDocument.bad {
			continue
		}
		instance := Instance{State: decodeState(r, p.state), Credentials: decodeCredentials(r, p.credentials), Policy: decodedPolicy}
		if !p.state.bad && !p.credentials.bad {
			instances = append(instances, instance)
		}
	}
	slices.SortFunc(instances, func(a, b Instance) int { return cmp.Compare(a.State.InstanceID, b.State.InstanceID) })
	return instances, drafts, r.problems.Sorted()
}

// check applies the schema to one document.
func (v *Validator) check(r *report, d *checked) {
	d.bad = d.flawed
	if root, ok := d.Root.(map[string]any); ok {
		if encrypted(root) {
			r.add(d.problem("HF033", "", "the document is encrypted by sops", "decrypt it first: sops -d FILE | holdfast … with - in the place of FILE"), d)
			return
		}
		// Another version may mean anything by any key: say just that.
		if version, ok := root["schemaVersion"].(float64); ok && version != 1 && len(d.faulty) == 0 {
			p := d.problem("HF009", "/schemaVersion", "unknown schemaVersion "+number(version), "this Holdfast knows 1")
			if d.form.secret {
				p.Message = "unknown schemaVersion"
			}
			r.add(p, d)
			return
		}
		if id, ok := root["instanceId"].(string); ok && id != "" {
			d.id = id
		}
	}
	refused := map[string]bool{}
	for _, p := range v.explain(d, d.form.schema.Validate(d.Root)) {
		refused[p.Pointer] = true
		r.add(p, d)
	}
	d.walk(r, refused)
}

// walk looks at every value of a document in its order, beside the schema, which has
// refused some.
func (d *checked) walk(r *report, refused map[string]bool) {
	shapes := make([]*shape, len(d.nodes))
	shapes[0] = d.form.shape
	d.shapes = shapes
	for i := 1; i < len(d.nodes); i++ {
		n := &d.nodes[i]
		parent := shapes[n.parent]
		if parent == nil {
			continue
		}
		switch {
		case n.index >= 0:
			shapes[i] = parent.items
		case parent.properties[n.key] != nil:
			shapes[i] = parent.properties[n.key]
		default:
			shapes[i] = parent.additional
			if parent.open {
				d.unknown(r, int32(i), parent)
			}
		}
		s := shapes[i]
		if s == nil {
			continue
		}
		if s.coverable {
			d.coverable = append(d.coverable, d.pointer(int32(i)))
		}
		if n.value == nil && s.secret {
			d.outside = append(d.outside, strings.Join(tokens(d.pointer(int32(i))), "."))
		}
		if text, ok := n.value.(string); ok && s.endpoint {
			pointer := d.pointer(int32(i))
			if _, err := ParseEndpoint(text); err != nil && !refused[pointer] {
				r.add(d.problem("HF008", pointer, "the value is no endpoint: "+err.Error(), "write https://host, with port and path if need be"), d)
			}
		}
		if text, ok := n.value.(string); ok && s.secret {
			pointer := d.pointer(int32(i))
			d.secrets = append(d.secrets, Secret{pointer, text})
			if strings.TrimSpace(text) != text {
				r.add(d.whiteSpace(pointer), d)
			}
			if why := weak(n.key, text); why != "" {
				r.add(d.problem("HF044", pointer, why, "let a password generator make one: openssl rand -base64 32"), d)
			}
		}
	}
	slices.Sort(d.ignored)
}

// whiteSpace is HF013.
func (t *Tree) whiteSpace(pointer string) problem.Problem {
	return t.problem("HF013", pointer, "white space at an end of the value", "a stray blank or line break makes it another value: remove it")
}

// weak tells why a password or a render key can be guessed (HF044); "" if it cannot.
// Whoever learns the render key confirms guesses of what is committed as fast as a
// machine computes a hash, tens of thousands a second on one core: only what nobody
// can guess holds then.
func weak(field, value string) string {
	const shortest, different, keyBytes = 16, 8, 16
	switch {
	case field == "renderKey":
		// Its form is checked by the schema.
		if key, err := base64.StdEncoding.DecodeString(value); err == nil && distinct(key) < keyBytes {
			return fmt.Sprintf("the key has only %d different bytes: it is not random", distinct(key))
		}
	case field != "password":
		// Keys of a store are the store's to make, and a salt may be known.
	case len(value) < shortest:
		return fmt.Sprintf("the value has %d bytes, and must have %d", len(value), shortest)
	case distinct([]byte(value)) < different:
		return fmt.Sprintf("the value has %d different bytes, and must have %d", distinct([]byte(value)), different)
	}
	return ""
}

// distinct counts the different bytes of a text.
func distinct(text []byte) int {
	text = slices.Clone(text)
	slices.Sort(text)
	return len(slices.Compact(text))
}

// unknown judges a key that an open object does not know. At the top of the
// state it must be foreign: a section under another name is one that is lost.
// Elsewhere only what is near a known key is refused.
func (d *checked) unknown(r *report, i int32, parent *shape) {
	n := d.nodes[i]
	top := n.parent == 0
	if top && d.foreign[n.key] {
		d.ignored = append(d.ignored, n.key)
		return
	}
	object, _ := d.nodes[n.parent].value.(map[string]any)
	near := parent.meantOpen(d.form.words, n.key, object)
	if near == "" && top {
		// Perhaps it was meant to be a second one.
		near = parent.meantOpen(d.form.words, n.key, map[string]any{n.key: n.value})
	}
	if near == "" && !top {
		return
	}
	hint := didYouMean(near)
	switch section, name := d.form.placeOf(n.key); {
	case top && name != "":
		hint = fmt.Sprintf(`its place is %q: {%q: […]}`, section, name)
	case near == "":
		hint = fmt.Sprintf(`is it another component's? Then name it: "foreign": [%s]; known keys: %s`, quoted(n.key), strings.Join(parent.keys, ", "))
	}
	pointer := d.pointer(i)
	line, column := d.AtKey(pointer)
	r.add(problem.Problem{File: d.Name, Line: line, Column: column, Pointer: pointer, Message: "unknown key " + quoted(n.key), Hint: hint, Rule: "HF004"}, d)
}

// names are the texts of a list.
func (d *checked) names(section string) []string {
	list, _ := d.lookup(section).([]any)
	var names []string
	for _, entry := range list {
		if name, ok := entry.(string); ok {
			names = append(names, name)
		}
	}
	return names
}

// mayHave notes names of foreign keys.
func (d *checked) mayHave(lists ...[]string) {
	for _, name := range slices.Concat(lists...) {
		d.foreign[name] = true
	}
}

// encrypted says whether sops wrote the document.
func encrypted(root map[string]any) bool {
	sops, ok := root["sops"].(map[string]any)
	return ok && (sops["mac"] != nil || sops["lastmodified"] != nil || sops["age"] != nil)
}

// pair is the documents of one instance.
type pair struct{ state, credentials *checked }

// match pairs states with credentials by instanceId.
func match(r *report, states, credentials []*checked) []pair {
	stateOf, statesSure := byID(r, states, "a state")
	credentialsOf, credentialsSure := byID(r, credentials, "credentials")
	var pairs []pair
	var lonelyStates, lonelyCredentials []*checked
	for _, s := range states {
		switch c := credentialsOf[s.id]; {
		case s.id == "" || stateOf[s.id] != s:
		case c == nil:
			lonelyStates = append(lonelyStates, s)
		default:
			pairs = append(pairs, pair{s, c})
		}
	}
	for _, c := range credentials {
		if c.id != "" && credentialsOf[c.id] == c && stateOf[c.id] == nil {
			lonelyCredentials = append(lonelyCredentials, c)
		}
	}
	if len(lonelyStates) == 1 && len(lonelyCredentials) == 1 && statesSure && credentialsSure {
		s, c := lonelyStates[0], lonelyCredentials[0]
		r.add(c.problem("HF010", "/instanceId", fmt.Sprintf("the instance differs from the one of %s, %s", s.Name, quoted(s.id)), "give the state and the credentials of the same instance"), s, c)
		return pairs
	}
	// The partner may be a document whose id cannot be told.
	if credentialsSure {
		for _, s := range lonelyStates {
			r.add(s.problem("HF010", "/instanceId", fmt.Sprintf("there are no credentials for instance %s", quoted(s.id)), ""), s)
		}
	}
	if statesSure {
		for _, c := range lonelyCredentials {
			r.add(c.problem("HF010", "/instanceId", "there is no state for the instance of these credentials", ""), c)
		}
	}
	return pairs
}

// byID returns the first document of each instance. sure says that every
// document's instance is known.
func byID(r *report, documents []*checked, what string) (first map[string]*checked, sure bool) {
	first, sure = make(map[string]*checked, len(documents)), true
	for _, d := range documents {
		if d.id == "" {
			sure = false
			continue
		}
		if other := first[d.id]; other != nil {
			r.add(d.problem("HF010", "/instanceId", fmt.Sprintf("the instance has %s already: %s", what, other.Name), ""), d, other)
			continue
		}
		first[d.id] = d
	}
	return first, sure
}
