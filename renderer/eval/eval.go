// Package eval runs the jsonnet templates. It is the only one that knows
// go-jsonnet.
//
// Data enters and leaves the machine as Go values through two native
// functions, because text in between costs a third of the time. Templates read
// no files but each other, see no environment and no clock, so what they
// return depends on their input alone.
package eval

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/google/go-jsonnet"
	"github.com/google/go-jsonnet/ast"

	"github.com/holdfast-backup/holdfast/renderer/input"
)

// Program is all templates of one run, ready to be evaluated many times. It is
// not safe for concurrent use.
type Program struct {
	vm            *jsonnet.VM
	files         *importer
	units, render ast.Node
	input, output any
}

// Rendered is a file of the tree and the objects in it.
type Rendered struct {
	Path    string
	Objects []map[string]any
}

// New parses the program over fsys, which holds kinds/, platform/ and lib/.
// scripts are by kind what its pods have, file name to path; shared are by script of
// lib/ what is mounted with it.
func New(fsys fs.FS, kinds []string, scripts, shared map[string]map[string]string) (*Program, error) {
	files := &importer{fsys: fsys, cache: map[string]jsonnet.Contents{}}
	p := &Program{vm: jsonnet.MakeVM(), files: files}
	// std.trace may show a whole state, and would pass by whoever masks our messages.
	p.vm.SetTraceOut(io.Discard)
	p.vm.Importer(files)
	p.vm.NativeFunction(&jsonnet.NativeFunction{
		Name: "input",
		Func: func([]any) (any, error) { return p.input, nil },
	})
	p.vm.NativeFunction(&jsonnet.NativeFunction{
		Name:   "output",
		Params: ast.Identifiers{"value"},
		Func: func(args []any) (any, error) {
			p.output = args[0]
			return true, nil
		},
	})
	p.vm.NativeFunction(&jsonnet.NativeFunction{Name: "endpoint", Params: ast.Identifiers{"url"}, Func: endpoint})
	preamble := preamble(kinds, scripts, shared)
	var err error
	if p.units, err = jsonnet.SnippetToAST(own, preamble+fitness+unitsProgram); err != nil {
		return nil, err
	}
	p.render, err = jsonnet.SnippetToAST(own, preamble+renderProgram)
	return p, err
}

// endpoint takes the URL of an HTTP service apart: scheme, host, port, path.
func endpoint(args []any) (any, error) {
	url, ok := args[0].(string)
	if !ok {
		return nil, errors.New("an endpoint is a text, such as \"https://host:8443\"")
	}
	e, err := input.ParseEndpoint(url)
	if err != nil {
		return nil, fmt.Errorf("%q is no endpoint: %w", url, err)
	}
	return map[string]any{"scheme": e.Scheme, "host": e.Host, "port": float64(e.Port), "path": e.Path}, nil
}

// preamble imports every kind and script by name; the list of kinds is the
// list of folders, nothing else.
func preamble(kinds []string, scripts, shared map[string]map[string]string) string {
	var b strings.Builder
	b.WriteString("local kinds = {\n")
	for _, k := range kinds {
		fmt.Fprintf(&b, "  %s: import %s,\n", quote(k), quote("kinds/"+k+"/kind.libsonnet"))
	}
	b.WriteString("};\n")
	texts(&b, "scripts", scripts)
	texts(&b, "shared", shared)
	return b.String()
}

// texts writes a local variable that has the texts of files by group and name.
func texts(b *strings.Builder, variable string, groups map[string]map[string]string) {
	fmt.Fprintf(b, "local %s = {\n", variable)
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		fmt.Fprintf(b, "  %s: {\n", quote(group))
		for _, name := range slices.Sorted(maps.Keys(groups[group])) {
			fmt.Fprintf(b, "    %s: importstr %s,\n", quote(name), quote(groups[group][name]))
		}
		b.WriteString("  },\n")
	}
	b.WriteString("};\n")
}

// own is the name of the programs that are written here. No frame of theirs is
// shown: their lines mean nothing to whoever writes a kind.
const own = "<holdfast>"

// fitness says what a kind lacks as a whole, and what it has that nobody calls: that
// was meant to be something else. It must have units alone.
const fitness = `
local takes = { units: 1, objects: 1, restore: 2 };
local lacks(kind) = [
  f
  for f in std.objectFields(takes)
  if f == 'units' || std.objectHasAll(kind, f)
  if !std.isFunction(std.get(kind, f)) || std.length(kind[f]) < takes[f]
];
local strange(kind) = [f for f in std.objectFields(kind) if !std.objectHas(takes, f)];
`

const unitsProgram = `
local state = std.native('input')();
std.native('output')({
  [name]: assert std.length(lacks(kinds[name]) + strange(kinds[name])) == 0; kinds[name].units(state)
  for name in std.objectFields(kinds)
})
`

// kindProgram ends the programs that ask one kind alone. Its answer is what the
// kind lacks, or what the function returns.
const kindProgram = `
std.native('output')(
  if !std.isObject(kind) then { type: std.type(kind) }
  else if std.length(lacks(kind) + strange(kind)) > 0 then { lacks: lacks(kind), strange: strange(kind) }
  else { answer: answer(std.native('input')()) }
)
`

const renderProgram = `
local platform = import 'platform/platform.libsonnet';
std.native('output')(platform.files(std.native('input')(), kinds, scripts, shared))
`

// quote writes s as a jsonnet string.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// Units evaluates units(state) of each kind: kind's name to what it returned, or to
// what failed, an *Error or *Unfit. Each kind answers for itself, so that one that
// fails hides no other. All at once is faster, and enough while none fails.
func (p *Program) Units(kinds []string, state any) (map[string]any, map[string]error) {
	if value, err := p.run(p.units, state); err == nil {
		if answers, ok := value.(map[string]any); ok {
			return answers, nil
		}
	}
	answers, failed := map[string]any{}, map[string]error{}
	for _, kind := range kinds {
		var err error
		if answers[kind], err = p.ask(kind, "local answer(state) = kind.units(state);", state); err != nil {
			failed[kind] = err
		}
	}
	return answers, failed
}

// Made evaluates objects(item), or restore(item, request), of one kind for each of
// its units in a plan, given as plain JSON values. What fails is an *Error or *Unfit.
func (p *Program) Made(kind, function string, plan any) (any, error) {
	return p.ask(kind, fmt.Sprintf("local answer(plan) = (import 'platform/platform.libsonnet').%s(plan, kind, %s);", function, quote(kind)), plan)
}

// ask evaluates a program about one kind.
func (p *Program) ask(kind, answer string, input any) (any, error) {
	program, err := jsonnet.SnippetToAST(own, fmt.Sprintf("local kind = import %s;\n", quote("kinds/"+kind+"/kind.libsonnet"))+answer+fitness+kindProgram)
	if err != nil {
		return nil, err
	}
	value, err := p.run(program, input)
	if err != nil {
		return nil, err
	}
	object, _ := value.(map[string]any)
	switch {
	case object["type"] != nil:
		return nil, &Unfit{fmt.Sprintf("expected an object with the function units(state), found %v", object["type"])}
	case object["lacks"] != nil:
		var wrong []string
		if lacks := words(object["lacks"]); len(lacks) > 0 {
			signatures := map[string]string{"units": "units(state)", "objects": "objects(item)", "restore": "restore(item, request)"}
			for i, name := range lacks {
				lacks[i] = signatures[name]
			}
			wrong = append(wrong, "these functions are missing, or take too few arguments: "+strings.Join(lacks, ", "))
		}
		if strange := words(object["strange"]); len(strange) > 0 {
			wrong = append(wrong, "nobody asks for "+strings.Join(strange, ", ")+
				": a kind has units(state) and perhaps objects(item) and restore(item, request); hide what is your own with ::")
		}
		return nil, &Unfit{strings.Join(wrong, "; ")}
	}
	return object["answer"], nil
}

// words are the entries of a list.
func words(value any) []string {
	list, _ := value.([]any)
	out := make([]string, 0, len(list))
	for _, entry := range list {
		text, _ := entry.(string)
		out = append(out, text)
	}
	return out
}

// Shape says that a file of the tree has something in it that is no object.
type Shape struct {
	// Path is the file's, empty if it has none.
	Path string
	// Index counts what is in the file, from 0; -1 is for the file itself.
	Index int
}

// Error implements error.
func (s *Shape) Error() string {
	if s.Index < 0 {
		return fmt.Sprintf("render: file %q has no objects", s.Path)
	}
	return fmt.Sprintf("render: file %q: entry %d is no object", s.Path, s.Index)
}

// Render evaluates the platform's and the kinds' objects for a plan, given as
// plain JSON values. What fails is an *Error, or a *Shape.
func (p *Program) Render(plan any) ([]Rendered, error) {
	value, err := p.run(p.render, plan)
	if err != nil {
		return nil, err
	}
	list, ok := value.([]any)
	if !ok {
		return nil, &Shape{Index: -1}
	}
	files := make([]Rendered, 0, len(list))
	for _, entry := range list {
		file, _ := entry.(map[string]any)
		name, _ := file["path"].(string)
		objects, _ := file["objects"].([]any)
		if name == "" || len(objects) == 0 {
			return nil, &Shape{name, -1}
		}
		rendered := Rendered{Path: name}
		for i, o := range objects {
			object, ok := o.(map[string]any)
			if !ok {
				return nil, &Shape{name, i}
			}
			rendered.Objects = append(rendered.Objects, object)
		}
		files = append(files, rendered)
	}
	return files, nil
}

// run evaluates one program with input and returns what it put out.
func (p *Program) run(program ast.Node, input any) (any, error) {
	p.input, p.output = input, nil
	defer func() { p.input, p.output = nil, nil }()
	if _, err := p.vm.Evaluate(program); err != nil {
		return nil, p.failed(err)
	}
	return p.output, nil
}

// importer reads templates from a file system and nothing else. go-jsonnet
// demands the same Contents for the same path every time.
type importer struct {
	fsys  fs.FS
	cache map[string]jsonnet.Contents
}

// Import implements jsonnet.Importer.
func (i *importer) Import(importedFrom, importedPath string) (jsonnet.Contents, string, error) {
	name := path.Join(path.Dir(importedFrom), importedPath)
	if contents, ok := i.cache[name]; ok {
		return contents, name, nil
	}
	data, err := fs.ReadFile(i.fsys, name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
			err = fmt.Errorf("there is no file %q; a shared one is imported as \"../../lib/NAME.libsonnet\"", importedPath)
		}
		return jsonnet.Contents{}, "", err
	}
	contents := jsonnet.MakeContents(string(data))
	i.cache[name] = contents
	return contents, name, nil
}
