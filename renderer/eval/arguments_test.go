package eval

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-jsonnet"
	"github.com/google/go-jsonnet/ast"
	"github.com/google/go-jsonnet/toolutils"
)

// TestArguments: a call that leaves its file gives at most two arguments by position, so
// that nobody has to count to learn what the fifth one is, and no argument has a
// default, which would hide that it was forgotten.
func TestArguments(t *testing.T) {
	calls := 0
	for _, dir := range []string{"templates", "examples"} {
		root := filepath.Join("..", "..", dir)
		err := fs.WalkDir(os.DirFS(root), ".", func(name string, _ fs.DirEntry, err error) error {
			if err != nil || path.Ext(name) != ".libsonnet" {
				return err
			}
			text, err := os.ReadFile(filepath.Join(root, name))
			if err != nil {
				return err
			}
			found, judged, err := arguments(path.Join(dir, name), string(text))
			for _, line := range found {
				t.Error(line)
			}
			calls += judged
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if calls < 150 {
		t.Errorf("only %d calls were found", calls)
	}
}

// TestArgumentsOf holds what TestArguments looks for against small templates.
func TestArgumentsOf(t *testing.T) {
	const head = "local k8s = import 'k8s.libsonnet';\n"
	for program, want := range map[string]string{
		`k8s.role('a', 'b', labels={}, account='c', rules=[])`:                    ``,
		`k8s.role(name='a', namespace='b', labels={}, rules=[])`:                  ``,
		`k8s.role('a', 'b', {}, account='c', rules=[])`:                           `t:2: the call gives 3 arguments by position`,
		`(import 'k8s.libsonnet').role('a', 'b', {})`:                             `t:2: the call gives 3 arguments by position`,
		`k8s['ro' + 'le']('a', 'b', {})`:                                          `t:2: the call gives 3 arguments by position`,
		`{ a(b, c, d):: b, e: $.a(1, 2, 3) }`:                                     `t:2: the call gives 3 arguments by position`,
		`{ a(b, c, d):: b, e: self.a(1, 2, 3) }`:                                  `t:2: the call gives 3 arguments by position`,
		`local role = k8s.role; role('a', 'b', {}, 'c', [])`:                      `t:2: the call gives 5 arguments by position`,
		`local own(a, b, c) = a; own(1, 2, 3)`:                                    ``,
		`[std.foldl(function(a, b) a + b, [x % 2, x[1:2]], 0) for x in []]`:       ``,
		`local own(a) = [local own = { a(b, c, d):: b }; own.a(1, 2, 3)]; own(1)`: `t:2: the call gives 3 arguments by position`,
		`local own(a, b=3) = a; own(1)`:                                           `t:2: argument b has a default`,
		`{ a(b, c=3):: b }`:                                                       `t:2: argument c has a default`,
	} {
		found, _, err := arguments("t", head+program)
		if err != nil {
			t.Errorf("%s\n%v", program, err)
			continue
		}
		if got := strings.Join(found, "\n"); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s\ngot  %q\nwant %q", program, got, want)
		}
	}
}

// arguments names what breaks the rule in a template, and counts the calls that it
// judged. A function that the file keeps to itself is called as it likes.
func arguments(file, text string) (found []string, calls int, err error) {
	root, err := jsonnet.SnippetToAST(file, text)
	if err != nil {
		return nil, 0, err
	}
	own := map[ast.Identifier]bool{}
	walk(root, func(node ast.Node) {
		if local, ok := node.(*ast.Local); ok {
			for _, bind := range local.Binds {
				if _, ok := bind.Body.(*ast.Function); ok {
					own[bind.Variable] = true
				}
			}
		}
	})
	walk(root, func(node ast.Node) {
		switch node := node.(type) {
		case *ast.Function:
			for _, p := range node.Parameters {
				if p.DefaultArg != nil {
					found = append(found, fmt.Sprintf("%s:%d: argument %s has a default, which hides that it was forgotten: let callers say it",
						file, p.LocRange.Begin.Line, p.Name))
				}
			}
		case *ast.Apply:
			switch target := node.Target.(type) {
			case *ast.Var:
				if own[target.Id] {
					return
				}
			case *ast.Index:
				// The parser makes calls of $std of operators.
				if of, ok := target.Target.(*ast.Var); ok && (of.Id == "std" || of.Id == "$std") {
					return
				}
			}
			calls++
			if n := len(node.Arguments.Positional); n > 2 {
				found = append(found, fmt.Sprintf("%s:%d: the call gives %d arguments by position: name all but the first two",
					file, node.Loc().Begin.Line, n))
			}
		}
	})
	slices.Sort(found)
	return found, calls, nil
}

func walk(node ast.Node, visit func(ast.Node)) {
	visit(node)
	for _, child := range toolutils.Children(node) {
		walk(child, visit)
	}
}
