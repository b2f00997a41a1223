package eval

import (
	"strings"
	"testing"

	"github.com/google/go-jsonnet"
	"github.com/google/go-jsonnet/ast"

	"github.com/holdfast-backup/holdfast/templates"
)

// TestLib holds functions of templates/lib against cases: what each returns, as JSON
// on one line, or how its error begins.
func TestLib(t *testing.T) {
	const state = `local state = import 'lib/state.libsonnet'; local s = { a: { list: [{ b: [1, 2] }, {}], 'x/y~': 3, n: null, t: 'text' } }; `
	const k8s = `local k8s = import 'lib/k8s.libsonnet'; `
	for _, test := range []struct{ program, want string }{
		{state + `state.get(s, '/a/t', otherwise=1)`, `"text"`},
		{state + `state.get(s, '/a/none/t', otherwise=1)`, `1`},
		{state + `state.get(s, '/a/t/deeper', otherwise=1)`, `1`},
		{state + `state.get(s, '/a/x~1y~0', otherwise=1)`, `3`},
		{state + `[e.pointer for e in state.each(s, '/a/list')]`, `["/a/list/0","/a/list/1"]`},
		{state + `state.each(s, '/a/none')`, `[]`},
		{state + `state.each(s, '/none/list')`, `[]`},
		{state + `[e for server in state.each(s, '/a/list') for e in state.within(server, '/b')]`,
			`[{"pointer":"/a/list/0/b/0","value":1},{"pointer":"/a/list/0/b/1","value":2}]`},
		{state + `state.each(s, '/a/t')`, `there is no list at /a/t of the state, but string`},
		{state + `state.one(s, '/a/t')`, `[{"pointer":"/a/t","value":"text"}]`},
		{state + `state.one(s, '/b')`, `[]`},

		{`(import 'lib/connection.libsonnet').target('http://vault')`, `{"host":"vault","port":80}`},
		{`(import 'lib/connection.libsonnet').target('https://[2001:db8::1]:8443/x')`, `{"host":"2001:db8::1","port":8443}`},
		{`(import 'lib/connection.libsonnet').target('vault')`, `"vault" is no endpoint: it does not begin with https:// or http://`},
		{`(import 'lib/connection.libsonnet').target(5)`, `an endpoint is a text`},
		{`(import 'lib/connection.libsonnet').limits({ endpoint: 'http://s3', plainHttp: { reason: 'why' } })`,
			`["the password and the data may cross the network in plain text: why"]`},

		{k8s + `k8s.secretNames(k8s.secretEnv([{ name: 'B', secret: 's', key: 'k' }, { name: 'A', secret: 's', key: 'k' }]) + [{ name: 'C', value: '' }])`,
			`[{"name":"HOLDFAST_SECRETS","value":"A B"}]`},
		{k8s + `k8s.secretNames([{ name: 'C', value: '' }, k8s.fieldEnv('D', 'metadata.name')])`, `[]`},

		{`local r = import 'lib/resources.libsonnet'; r.names(r.add({ '': ['pods'], apps: ['deployments'] }, ['apps/daemonsets', 'x.io/ys']))`,
			`"pods\ndeployments.apps\ndaemonsets.apps\nys.x.io"`},
		{`(import 'lib/files.libsonnet').ca(null)`, `[]`},
		{`(import 'lib/files.libsonnet').ca({ kind: 'ConfigMap', name: 'n', key: 'k' })`, `[{"configMap":"n","key":"k","name":"ca.crt"}]`},
		{`(import 'lib/source.libsonnet').sync({ id: 'a/b', capture: { how: 'dump' } })`,
			`source.sync is for capture.how sync, and unit a/b says dump: call source.dump`},
	} {
		vm := jsonnet.MakeVM()
		vm.Importer(&importer{fsys: templates.FS, cache: map[string]jsonnet.Contents{}})
		vm.NativeFunction(&jsonnet.NativeFunction{Name: "endpoint", Params: ast.Identifiers{"url"}, Func: endpoint})
		got, err := vm.EvaluateAnonymousSnippet(own, test.program)
		switch {
		case err != nil:
			if !strings.HasPrefix(err.Error(), "RUNTIME ERROR: "+test.want) {
				t.Errorf("%s\nfails: %v", test.program, err)
			}
		default:
			if want, err := vm.EvaluateAnonymousSnippet(own, test.want); err != nil || got != want {
				t.Errorf("%s\ngot %s, want %s", test.program, got, want)
			}
		}
	}
}
