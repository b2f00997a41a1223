package renderer_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

// sceneOf is a scene of testdata/every.
func sceneOf(t *testing.T, name string) *scene {
	t.Helper()
	all := scenes(t)
	at := slices.IndexFunc(all, func(s *scene) bool { return s.name == name })
	if at < 0 {
		t.Fatalf("there is no scene %q", name)
	}
	return all[at]
}

// TestScenes: no inspector refuses what the documents may say. TestEveryField looks
// at the units that differ alone; here each scene is a whole tree.
func TestScenes(t *testing.T) {
	t.Parallel()
	r := builtinRenderer(t)
	all := scenes(t)
	// No scene of TestEveryField, which wants one word of the schema to do nothing there.
	ca := *sceneOf(t, "ldapsearch")
	ca.name, ca.documents = "a CA in a ConfigMap", maps.Clone(ca.documents)
	ca.documents[stateFile] = merged(ca.documents[stateFile], map[string]any{"ldap": map[string]any{"caRef": map[string]any{"kind": "ConfigMap"}}})
	for _, s := range append(all, &ca) {
		t.Run(s.name, func(t *testing.T) {
			tree, list := treeOf(t, r, s.documents, secrets.Plain)
			switch {
			case len(list) > 0:
				t.Error(list.Error())
			case len(tree) == 0:
				t.Error("nothing was rendered")
			}
		})
	}
}

// holding lists the files below a folder that hold a text.
func holding(tree map[string]string, part, text string) []string {
	var files []string
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		if strings.Contains(name, part) && strings.Contains(tree[name], text) {
			files = append(files, name)
		}
	}
	return files
}

// TestProxy: behind a proxy every pod that speaks HTTP with the outside knows
// it, and its policies lead there and no longer to the outside itself.
func TestProxy(t *testing.T) {
	t.Parallel()
	r := builtinRenderer(t)
	direct, list := treeOf(t, r, sceneOf(t, "state").documents, secrets.Plain)
	if len(list) > 0 {
		t.Fatal(list)
	}
	tree, list := treeOf(t, r, sceneOf(t, "proxy").documents, secrets.Plain)
	if len(list) > 0 {
		t.Fatal(list)
	}
	const proxy = "HTTPS_PROXY: http://proxy.example.org:3128"
	if found := holding(direct, "", "HTTPS_PROXY"); len(found) > 0 {
		t.Errorf("without a proxy: %s", found)
	}
	for _, name := range []string{
		"every/repository/every/repository.yaml",      // the bootstrap, and K8up's own jobs by the backend's environment
		"every/repository/every/s3-files.yaml",        // the copy
		"every/repository/every/sm-kv.yaml",           // the secrets manager
		"every/restore/every/s3-files.yaml",           // restores of both engines
		"every/restore/every-db/pg-files.yaml",        // fetches from the storage
		"every/repository/every-db/repository.yaml",   // another namespace
		"every/repository/every-mail/repository.yaml", // one with claims alone
		"every/repository/every/preflight.yaml",       // what tries them
	} {
		if !strings.Contains(tree[name], proxy) && !strings.Contains(tree[name], "http://proxy.example.org:3128") {
			t.Errorf("%s does not know the proxy", name)
		}
	}
	// The ports of the storage, the bucket and the secrets manager are closed,
	// the proxy's is open.
	for _, port := range []string{"port: 9000", "port: 7071", "port: 8200"} {
		if len(holding(direct, "", port)) == 0 {
			t.Errorf("%s is in no policy even without a proxy", port)
		}
		if found := holding(tree, "", port); len(found) > 0 {
			t.Errorf("%s is open beside the proxy: %s", port, found)
		}
	}
	if found := holding(tree, "/repository/", "port: 3128"); len(found) < 3 {
		t.Errorf("the way to the proxy is open in %s only", found)
	}
	// What speaks no HTTP cannot take it, and the cluster is reached directly.
	if !strings.Contains(tree["every/backup/every/pg-chat.yaml"], "port: 5433") {
		t.Error("the server outside cannot be reached any more")
	}
	none := regexp.MustCompile(`NO_PROXY: (.*)`).FindStringSubmatch(tree["every/repository/every/repository.yaml"])
	if none == nil {
		t.Fatal("no NO_PROXY")
	}
	for _, host := range []string{"203.0.113.0/24", "192.0.2.10/32", ".svc", ".cluster.internal", "mariadb"} {
		if !slices.Contains(strings.Split(strings.Trim(none[1], `"'`), ","), host) {
			t.Errorf("%s is not in NO_PROXY, %s", host, none[1])
		}
	}
}

// TestOptional: an optional source of any kind may be empty, and its objects say
// that it is optional.
func TestOptional(t *testing.T) {
	t.Parallel()
	r := builtinRenderer(t)
	for _, source := range [][]string{
		{"databases", "postgresql", "0", "databases", "0"}, {"databases", "mariadb", "0"}, {"databases", "cassandra", "0"},
		{"ldap"}, {"objectStores", "0"}, {"volumes", "0"}, {"secretsManager"},
	} {
		s := sceneOf(t, "state")
		documents := maps.Clone(s.documents)
		documents[stateFile] = replaced(documents[stateFile], append(slices.Clone(source), "backup"), "optional")
		found, err := r.Plan(inputsOf(t, documents))
		if err != nil {
			t.Fatal(err)
		}
		place, seen := pointerOf(source), false
		for _, i := range found[0].Plan.Units {
			if i.Covers[0] != place {
				continue
			}
			seen = true
			said := slices.ContainsFunc(i.Limits, func(limit string) bool { return strings.Contains(limit, "optional") })
			if i.Labels["holdfast.dev/need"] != "optional" || i.Values["HOLDFAST_ALLOW_EMPTY"] == "" || i.Expected[0].MayBeEmpty == "" || !said {
				t.Errorf("%s: labels %v, limits %v, allowed empty %q", i.ID, i.Labels, i.Limits, i.Values["HOLDFAST_ALLOW_EMPTY"])
			}
		}
		if !seen {
			t.Errorf("no unit covers %s", place)
		}
	}
}

// TestSecretsTellTheirGeneration: whoever looks at a Secret sees which
// credentials it holds and when they end, however it is written.
func TestSecretsTellTheirGeneration(t *testing.T) {
	t.Parallel()
	r := builtinRenderer(t)
	for _, mode := range []secrets.Mode{secrets.Plain, secrets.External, secrets.SOPS} {
		tree, list := treeOf(t, r, sceneOf(t, "state").documents, mode)
		if len(list) > 0 {
			t.Fatal(list)
		}
		for _, name := range []string{"every/repository/every/secret-restic.yaml", "every/repository/every/secret-rclone.yaml"} {
			for _, want := range []string{"holdfast.dev/generation: \"2\"", "holdfast.dev/expires-at: \"2027-01-01T00:00:00Z\""} {
				if !strings.Contains(tree[name], want) {
					t.Errorf("%s, %s: no %s\n%s", mode, name, want, tree[name])
				}
			}
		}
	}
}

// TestNamespacesOfSources: each namespace in which a source is, is exported; one
// that is exempt is not.
func TestNamespacesOfSources(t *testing.T) {
	t.Parallel()
	r := builtinRenderer(t)
	found, err := r.Plan(inputsOf(t, sceneOf(t, "state").documents))
	if err != nil {
		t.Fatal(err)
	}
	namespaces := map[string][]string{}
	for _, i := range found[0].Plan.Units {
		if strings.Contains(i.Capture.Source, "/configmaps/") {
			continue
		}
		namespaces[i.Kind] = append(namespaces[i.Kind], i.Namespace)
	}
	for _, kind := range []string{"kubernetes-secrets", "namespace-manifests"} {
		slices.Sort(namespaces[kind])
		if want := []string{"every", "every-db", "every-mail"}; !slices.Equal(namespaces[kind], want) {
			t.Errorf("%s exports %s, want %s", kind, namespaces[kind], want)
		}
	}
}

// TestFirstRound: a document as an operator first writes it. What is wrong in
// one section hides nothing of the others: mending what is listed, as the hints
// say, leaves nothing for a second round but what was not there before.
func TestFirstRound(t *testing.T) {
	t.Parallel()
	r := builtinRenderer(t)
	c := errorCase{archive: &txtar.Archive{}, base: "layout-b"}
	in := c.inputs(t)
	state, credentials := string(in.States[0].Data), string(in.Credentials[0].Data)
	for _, edit := range []string{
		`/objectStores key "buckets"`, `/ldap key "openldap"`, `/network/policyEngine remove`, `/network/apiServer remove`,
		`/databases/mariadb/0/backup = true`, `/volumes/2/owner remove`, `/databases/postgresql/0/databases/6/reason remove`,
		`/cluster/name remove`,
	} {
		state = edited(t, state, edit)
	}
	credentials = edited(t, credentials, "/git remove")
	in.States[0].Data, in.Credentials[0].Data = []byte(state), []byte(credentials)
	_, err := r.Render(in, renderer.Options{Secrets: secrets.SOPS})
	got := problems(t, err).Error()
	for wave, want := range map[string]string{
		"a synonym":              "/buckets: unknown key",
		"another":                "/openldap: unknown key",
		"a missing key":          `/cluster: key "name" is missing`,
		"of a missing word":      `/network: key "policyEngine" is missing`,
		"what that word demands": `/network: key "apiServer" is missing`,
		"a wrong type":           "/databases/mariadb/0/backup: expected string",
		"an owner":               "/volumes/2: the owner of claim",
		"a condition":            `"skip" without a reason`,
		"the secrets":            "there are no recipients",
		"the render key":         "the render key is missing",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is hidden: %q is not in\n%s", wave, want, got)
		}
	}
}
