package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/schemas"
	"github.com/holdfast-backup/holdfast/templates"
)

const module = "github.com/holdfast-backup/holdfast"

// layers lists the module's packages from low to high. A package imports only
// what stands before it; one that is not listed fails the test.
func layers() []string {
	return []string{
		"schemas",
		"templates",
		"renderer/problem",
		"renderer/mask",
		"renderer/seal",
		"renderer/input",
		"renderer/eval",
		"renderer/kind",
		"renderer/plan",
		"renderer/coverage",
		"renderer/status",
		"renderer/yaml",
		"renderer/secrets",
		"renderer/manifest",
		"renderer/overlay",
		"renderer/emit",
		"renderer/publish",
		"renderer",
		"examples",
		"golden",
		"cmd/holdfast",
	}
}

// owners says which package knows a library of others. Nobody else imports it,
// so that it can be replaced in one place.
func owners() map[string]string {
	return map[string]string{
		"github.com/google/go-jsonnet":               "renderer/eval",
		"github.com/santhosh-tekuri/jsonschema/v5":   "renderer/input",
		"github.com/robfig/cron/v3":                  "renderer/plan",
		"sigs.k8s.io/yaml":                           "renderer/yaml",
		"k8s.io/apimachinery":                        "renderer/manifest",
		"k8s.io/apimachinery/pkg/api/resource":       "renderer/plan",
		"sigs.k8s.io/kustomize/api":                  "renderer/overlay",
		"sigs.k8s.io/kustomize/kyaml":                "renderer/overlay",
		"golang.org/x/sys":                           "renderer/emit",
		"golang.org/x/crypto":                        "renderer/seal",
		"github.com/urfave/cli/v2":                   "cmd/holdfast",
		"github.com/jedib0t/go-pretty/v6":            "cmd/holdfast",
		"github.com/rogpeppe/go-internal/testscript": "cmd/holdfast",
	}
}

// source is one file of the module that is no test.
type source struct {
	file, pkg string
	tree      *ast.File
	imports   []string
}

// sourceFiles parses all of the module. Nested modules are their own business.
func sourceFiles(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var files []source
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name == root {
				return nil
			}
			_, nested := os.Stat(filepath.Join(name, "go.mod"))
			if base := entry.Name(); nested == nil || base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		tree, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		s := source{file: filepath.ToSlash(below), tree: tree}
		s.pkg = path.Dir(s.file)
		for _, spec := range tree.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, imported)
		}
		files = append(files, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 30 {
		t.Fatalf("only %d files found: the walk is broken", len(files))
	}
	return files
}

// TestLayers: no package imports upward, and none is left out of the list.
func TestLayers(t *testing.T) {
	order := layers()
	for _, s := range sourceFiles(t) {
		place := slices.Index(order, s.pkg)
		if place < 0 {
			t.Errorf("%s: package %s is in no layer: add it to the list", s.file, s.pkg)
			continue
		}
		for _, imported := range s.imports {
			below, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			if at := slices.Index(order, below); at < 0 || at >= place {
				t.Errorf("%s: package %s must not import %s, which is not below it", s.file, s.pkg, below)
			}
		}
	}
}

// TestPure: what the same inputs give depends on nothing else. Only emit,
// publish and cmd see files, the network, the clock or chance.
func TestPure(t *testing.T) {
	allowed := []string{"renderer/emit", "renderer/publish", "cmd/holdfast"}
	// These reckon with times that they are given.
	times := []string{"renderer/plan", "renderer/coverage", "renderer/status"}
	clock := regexp.MustCompile(`^(Now|Since|Until|Sleep|After|AfterFunc|Tick|New(Timer|Ticker)|Local|LoadLocation)$`)
	for _, s := range sourceFiles(t) {
		if slices.Contains(allowed, s.pkg) {
			continue
		}
		for _, imported := range s.imports {
			if impure(imported) && (imported != "time" || !slices.Contains(times, s.pkg)) {
				t.Errorf("%s: package %s must not import %q", s.file, s.pkg, imported)
			}
		}
		ast.Inspect(s.tree, func(n ast.Node) bool {
			if selector, ok := n.(*ast.SelectorExpr); ok {
				of, ok := selector.X.(*ast.Ident)
				if ok && of.Name == "time" && clock.MatchString(selector.Sel.Name) {
					t.Errorf("%s: time.%s asks the machine", s.file, selector.Sel.Name)
				}
			}
			return true
		})
	}
}

// impure reports whether a package of the standard library reaches outside.
func impure(imported string) bool {
	switch imported {
	case "net/netip", "net/url": // they only parse
		return false
	case "time", "syscall", "unsafe", "io/ioutil", "crypto/rand", "math/rand", "math/rand/v2", "runtime/debug":
		return true
	}
	first, _, _ := strings.Cut(imported, "/")
	return first == "os" || first == "net"
}

// TestOwners: each library of others has one package that knows it.
func TestOwners(t *testing.T) {
	owned := owners()
	ownerOf := func(imported string) (string, bool) {
		// A part of a library may have an owner of its own.
		for ; imported != "."; imported = path.Dir(imported) {
			if owner, known := owned[imported]; known {
				return owner, true
			}
		}
		return "", false
	}
	for _, s := range sourceFiles(t) {
		for _, imported := range s.imports {
			first, _, _ := strings.Cut(imported, "/")
			if !strings.Contains(first, ".") || strings.HasPrefix(imported, module) {
				continue // the standard library's, or ours
			}
			owner, known := ownerOf(imported)
			switch {
			case !known:
				t.Errorf("%s: %s has no owner: add it to the table", s.file, imported)
			case owner != s.pkg:
				t.Errorf("%s: only %s imports %s", s.file, owner, imported)
			}
		}
	}
	for library, owner := range owned {
		if !slices.Contains(layers(), owner) {
			t.Errorf("%s is owned by %s, which is no package", library, owner)
		}
	}
}

// TestGoNamesNoSection: what the program knows of a section of the state, and of the kind
// that reads it, stands in the section's schema and in the kind's folder.
func TestGoNamesNoSection(t *testing.T) {
	names := sectionNames(t)
	if len(names) < 15 {
		t.Fatalf("only %q", names)
	}
	// As a whole, or as a part of a path; prose may have such words.
	word := regexp.MustCompile("[\"`/.](" + strings.Join(names, "|") + ")[\"`/.]")
	// A pod has volumes; charts name the claims of their databases after the product;
	// help and messages give examples; API groups of other operators have their products' names.
	allowed := []string{"renderer/manifest", "renderer/plan/live.go", "cmd/holdfast/explain.go", "renderer/coverage/others.go"}
	for _, s := range sourceFiles(t) {
		if slices.Contains(allowed, s.pkg) || slices.Contains(allowed, s.file) {
			continue
		}
		ast.Inspect(s.tree, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING && word.MatchString(literal.Value) {
				t.Errorf("%s: %s names a section or a kind", s.file, literal.Value)
			}
			return true
		})
	}
}

// sectionNames are the sections of the state that kinds alone read, those of products
// below them, and the kinds.
func sectionNames(t *testing.T) []string {
	t.Helper()
	data, err := fs.ReadFile(schemas.FS, "runtime-state.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var state map[string]any
	if err := json.Unmarshal(data, &state); err != nil {
		t.Fatal(err)
	}
	// Generic words: what others live in the cluster, and what its API exports, are
	// matters of the platform.
	general := []string{"kubernetes", "others", "volume", "bucket"}
	var names []string
	var visit func(name string, schema any, depth int) bool
	visit = func(name string, schema any, depth int) bool {
		object, _ := schema.(map[string]any)
		items, _ := object["items"].(map[string]any)
		covers := object["x-coverable"] == true || items["x-coverable"] == true
		properties, _ := object["properties"].(map[string]any)
		for key, value := range properties {
			if depth < 2 && visit(key, value, depth+1) {
				covers = true
			}
		}
		if covers && depth > 0 {
			names = append(names, name)
		}
		return covers
	}
	properties, _ := state["properties"].(map[string]any)
	for _, name := range []string{"kubernetes", "others"} {
		delete(properties, name)
	}
	visit("", state, 0)
	kinds, err := fs.ReadDir(templates.FS, "kinds")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds {
		if k.IsDir() {
			names = append(names, k.Name())
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(general, name) })
}

// TestNoHiddenState: nothing runs before main, nothing is shared behind the
// back of a function, and the process is left and written to in one place.
func TestNoHiddenState(t *testing.T) {
	uses := map[string][]string{"os.Exit": nil, "os.Stdout": nil, "os.Stderr": nil, "os.Stdin": nil, "os.Args": nil}
	forbidden := regexp.MustCompile(`^(log\.Fatal|log\.Panic|fmt\.Print|cli\.Exit$|cli\.HandleExitCoder$)`)
	for _, s := range sourceFiles(t) {
		for _, declaration := range s.tree.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					t.Errorf("%s: init runs before main, where nobody sees it", s.file)
				}
			case *ast.GenDecl:
				if d.Tok == token.VAR {
					checkVariables(t, s, d)
				}
			}
		}
		ast.Inspect(s.tree, func(node ast.Node) bool {
			selector, ok := node.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			of, ok := selector.X.(*ast.Ident)
			if !ok {
				return true
			}
			name := of.Name + "." + selector.Sel.Name
			if _, counted := uses[name]; counted {
				uses[name] = append(uses[name], s.file)
			}
			if forbidden.MatchString(name) {
				t.Errorf("%s: %s writes or exits behind the caller's back", s.file, name)
			}
			return true
		})
	}
	for _, name := range []string{"os.Exit", "os.Stdout", "os.Stderr", "os.Stdin", "os.Args"} {
		if want := []string{"cmd/holdfast/main.go"}; !slices.Equal(uses[name], want) {
			t.Errorf("%s is used in %v, want %v", name, uses[name], want)
		}
	}
}

// checkVariables allows, at package level, what nobody can change by accident:
// embedded files, patterns, errors to compare with, proofs that a type has an
// interface, a lock around what a library keeps in variables of its own, and the
// name of the release, which the linker sets.
func checkVariables(t *testing.T, s source, d *ast.GenDecl) {
	t.Helper()
	for _, spec := range d.Specs {
		value := spec.(*ast.ValueSpec)
		for i, name := range value.Names {
			if name.Name == "_" || isSelector(value.Type, "embed", "FS") || isSelector(value.Type, "sync", "Mutex") ||
				s.file == "cmd/holdfast/version.go" && name.Name == "release" {
				continue
			}
			if i < len(value.Values) {
				if call, ok := value.Values[i].(*ast.CallExpr); ok &&
					(isSelector(call.Fun, "regexp", "MustCompile") || isSelector(call.Fun, "errors", "New")) {
					continue
				}
			}
			t.Errorf("%s: the package variable %s can be changed by anyone: make it a constant or a function", s.file, name.Name)
		}
	}
}

func isSelector(node ast.Expr, pkg, name string) bool {
	selector, ok := node.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	of, ok := selector.X.(*ast.Ident)
	return ok && of.Name == pkg && selector.Sel.Name == name
}

// TestImpure pins which packages the pure ones may have.
func TestImpure(t *testing.T) {
	for imported, want := range map[string]bool{
		"os": true, "os/exec": true, "net": true, "net/http": true, "time": true, "math/rand/v2": true,
		"net/url": false, "net/netip": false, "io/fs": false, "path": false, "embed": false, "strings": false,
	} {
		t.Run(imported, func(t *testing.T) {
			if got := impure(imported); got != want {
				t.Errorf("impure(%q) = %v", imported, got)
			}
		})
	}
}
