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
	"path"
	"strings"

	"github.com/google/go-jsonnet"
	"github.com/google/go-jsonnet/ast"
)

// Program is all templates of one run, ready to be evaluated many times. It is
// not safe for concurrent use.
type Program struct {
	vm            *jsonnet.VM
	units, render ast.Node
	input, output any
}

// Rendered is a file of the tree and the objects in it.
type Rendered struct {
	Path    string
	Objects []map[string]any
}

// New parses the program over fsys, which holds kinds/, platform/ and lib/.
// scripts lists each kind's *.sh files; shared lists those of lib/.
func New(fsys fs.FS, kinds []string, scripts map[string][]string, shared []string) (*Program, error) {
	p := &Program{vm: jsonnet.MakeVM()}
	// std.trace may show a whole state, and would pass by whoever masks our messages.
	p.vm.SetTraceOut(io.Discard)
	p.vm.Importer(&importer{fsys: fsys, cache: map[string]jsonnet.Contents{}})
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
	preamble := preamble(kinds, scripts, shared)
	var err error
	if p.units, err = jsonnet.SnippetToAST("units", preamble+unitsProgram); err != nil {
		return nil, err
	}
	if p.render, err = jsonnet.SnippetToAST("render", preamble+renderProgram); err != nil {
		return nil, err
	}
	return p, nil
}

// preamble imports every kind and script by name; the list of kinds is the
// list of folders, nothing else.
func preamble(kinds []string, scripts map[string][]string, shared []string) string {
	var b strings.Builder
	b.WriteString("local kinds = {\n")
	for _, k := range kinds {
		fmt.Fprintf(&b, "  %s: import %s,\n", quote(k), quote("kinds/"+k+"/kind.libsonnet"))
	}
	b.WriteString("};\nlocal scripts = {\n")
	for _, k := range kinds {
		fmt.Fprintf(&b, "  %s: {\n", quote(k))
		for _, s := range scripts[k] {
			fmt.Fprintf(&b, "    %s: importstr %s,\n", quote(s), quote("kinds/"+k+"/"+s))
		}
		b.WriteString("  },\n")
	}
	b.WriteString("};\nlocal shared = {\n")
	for _, s := range shared {
		fmt.Fprintf(&b, "  %s: importstr %s,\n", quote(s), quote("lib/"+s))
	}
	b.WriteString("};\n")
	return b.String()
}

const unitsProgram = `
local has(name, f) = std.isFunction(std.get(kinds[name], f));
local state = std.native('input')();
std.native('output')({
  [name]:
    assert has(name, 'units') && has(name, 'objects') && has(name, 'restore')
      : 'kind ' + name + ' needs the functions units, objects and restore';
    kinds[name].units(state)
  for name in std.objectFields(kinds)
})
`

const renderProgram = `
local platform = import 'platform/platform.libsonnet';
std.native('output')(platform.files(std.native('input')(), kinds, scripts, shared))
`

// quote writes s as a jsonnet string.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// Units evaluates units(state) of every kind: kind's name to what it returned.
func (p *Program) Units(state any) (map[string]any, error) {
	value, err := p.run(p.units, state)
	if err != nil {
		return nil, err
	}
	units, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("units: no object returned")
	}
	return units, nil
}

// Render evaluates the platform's and the kinds' objects for a plan, given as
// plain JSON values.
func (p *Program) Render(plan any) ([]Rendered, error) {
	value, err := p.run(p.render, plan)
	if err != nil {
		return nil, err
	}
	list, ok := value.([]any)
	if !ok {
		return nil, errors.New("render: no list returned")
	}
	files := make([]Rendered, 0, len(list))
	for _, entry := range list {
		file, ok := entry.(map[string]any)
		if !ok {
			return nil, errors.New("render: an entry is no object")
		}
		name, _ := file["path"].(string)
		objects, _ := file["objects"].([]any)
		if name == "" || len(objects) == 0 {
			return nil, fmt.Errorf("render: file %q has no objects", name)
		}
		rendered := Rendered{Path: name}
		for i, o := range objects {
			object, ok := o.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("render: %s: object %d is no object", name, i)
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
		// The formatter knows the template's file and line; the error does not.
		return nil, errors.New(p.vm.ErrorFormatter.Format(err))
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
		return jsonnet.Contents{}, "", err
	}
	contents := jsonnet.MakeContents(string(data))
	i.cache[name] = contents
	return contents, name, nil
}
