package e2e_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

// world is an instance on the real API server, with the rights that the tree
// gives and no others.
type world struct {
	cluster   *harness.ClusterServer
	instance  *harness.Instance
	namespace string
}

// newWorld renders and installs one whose state has this "kubernetes" section.
func newWorld(t *testing.T, kubernetes map[string]any) *world {
	t.Helper()
	suffix := strconv.FormatInt(time.Now().UnixNano(), 36)
	w := &world{cluster: harness.Cluster(t), namespace: "app-" + suffix}
	w.instance = harness.Render(t, harness.Inputs{State: map[string]any{
		"instanceId": "k" + suffix, "namespace": w.namespace, "kubernetes": kubernetes,
	}})
	w.cluster.Install(t, w.instance)
	t.Cleanup(func() { w.cluster.Kubectl(t, "delete", "namespace", w.namespace, "--wait=false") })
	return w
}

// account is a kubeconfig of a unit's account: the dump's, or the restore's.
func (w *world) account(t testing.TB, unit string, restore bool) string {
	t.Helper()
	item := w.instance.Unit(t, unit)
	name := item.ServiceAccount
	if restore {
		name = item.Restore
	}
	return w.cluster.ServiceAccountKubeconfig(t, w.namespace, name)
}

// apply applies objects, each a JSON text, in the namespace.
func (w *world) apply(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		var object map[string]any
		if err := json.Unmarshal([]byte(text), &object); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		metadata := object["metadata"].(map[string]any)
		if metadata["cluster"] == true {
			delete(metadata, "cluster")
		} else {
			metadata["namespace"] = w.namespace
		}
		w.cluster.Apply(t, object)
	}
}

// objects are all objects of these resources as the API server has them, without
// what it decides itself.
func (w *world) objects(t testing.TB, resources ...string) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	for _, resource := range resources {
		var list struct{ Items []map[string]any }
		if err := json.Unmarshal([]byte(w.cluster.Kubectl(t, "get", resource, "--namespace="+w.namespace, "--output=json")), &list); err != nil {
			t.Fatal(err)
		}
		for _, item := range list.Items {
			metadata := item["metadata"].(map[string]any)
			all[fmt.Sprint(item["kind"], "/", metadata["name"])] = bare(item)
		}
	}
	return all
}

// bare removes what differs between an object and the same made again.
func bare(object map[string]any) map[string]any {
	data, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	var copied map[string]any
	if err := json.Unmarshal(data, &copied); err != nil {
		panic(err)
	}
	delete(copied, "status")
	metadata := copied["metadata"].(map[string]any)
	for _, key := range []string{"uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "ownerReferences", "finalizers"} {
		delete(metadata, key)
	}
	if annotations, ok := metadata["annotations"].(map[string]any); ok {
		for _, key := range []string{"kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision", "deprecated.daemonset.template.generation"} {
			delete(annotations, key)
		}
		if len(annotations) == 0 {
			delete(metadata, "annotations")
		}
	}
	if spec, ok := copied["spec"].(map[string]any); ok && copied["kind"] == "Service" {
		if spec["clusterIP"] != "None" {
			delete(spec, "clusterIP")
			delete(spec, "clusterIPs")
		}
		for _, port := range spec["ports"].([]any) {
			delete(port.(map[string]any), "nodePort")
		}
	}
	return copied
}

// same fails the test for every object that is not as it was.
func same(t testing.TB, got, want map[string]map[string]any, names ...string) {
	t.Helper()
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(want))
	}
	for _, name := range names {
		if want[name] == nil {
			t.Errorf("%s was never there", name)
		} else if !reflect.DeepEqual(got[name], want[name]) {
			g, err := json.MarshalIndent(got[name], "", " ")
			h, err2 := json.MarshalIndent(want[name], "", " ")
			t.Errorf("%s is\n%s\nand was\n%s %v", name, g, h, errors.Join(err, err2))
		}
	}
}

// copied decodes a dump.
func copied(t testing.TB, dump []byte) map[string]map[string]any {
	t.Helper()
	var list struct {
		Kind  string
		Items []map[string]any
	}
	// The trailer is a document of its own.
	if err := json.NewDecoder(bytes.NewReader(dump)).Decode(&list); err != nil || list.Kind != "List" {
		t.Fatalf("the dump is a %q: %v", list.Kind, err)
	}
	all := map[string]map[string]any{}
	for _, item := range list.Items {
		all[fmt.Sprint(item["kind"], "/", item["metadata"].(map[string]any)["name"])] = item
	}
	return all
}

// grant is one right of a Role.
type grant struct{ group, resource, verb string }

func (g grant) String() string {
	if g.group == "" {
		return g.verb + " " + g.resource
	}
	return g.verb + " " + g.resource + "." + g.group
}

// grants are all rights of a Role or ClusterRole, one by one.
func grants(t testing.TB, role map[string]any) []grant {
	t.Helper()
	var all []grant
	for _, r := range role["rules"].([]any) {
		rule := r.(map[string]any)
		for _, resource := range rule["resources"].([]any) {
			for _, verb := range rule["verbs"].([]any) {
				all = append(all, grant{rule["apiGroups"].([]any)[0].(string), resource.(string), verb.(string)})
			}
		}
	}
	if len(all) == 0 {
		t.Fatal("the role gives no right")
	}
	return all
}

// without gives the role all its rights but one while f runs.
func (w *world) without(t testing.TB, role map[string]any, missing grant, f func()) {
	t.Helper()
	w.less(t, role, func(rule map[string]any, g grant) bool { return g == missing }, f)
}

// less takes the rights that gone names while f runs.
func (w *world) less(t testing.TB, role map[string]any, gone func(map[string]any, grant) bool, f func()) {
	t.Helper()
	var rules []any
	var taken []map[string]any // as the API server is asked for it
	for _, r := range role["rules"].([]any) {
		rule := r.(map[string]any)
		for _, resource := range rule["resources"].([]any) {
			for _, verb := range rule["verbs"].([]any) {
				g := grant{rule["apiGroups"].([]any)[0].(string), resource.(string), verb.(string)}
				if gone(rule, g) {
					resource, subresource, _ := strings.Cut(g.resource, "/")
					what := map[string]any{"verb": g.verb, "group": g.group, "resource": resource, "subresource": subresource}
					if names, _ := rule["resourceNames"].([]any); len(names) > 0 {
						what["name"] = names[0]
					}
					taken = append(taken, what)
					continue
				}
				one := maps.Clone(rule)
				one["resources"], one["verbs"] = []any{resource}, []any{verb}
				rules = append(rules, one)
			}
		}
	}
	changed := maps.Clone(role)
	changed["rules"] = rules
	w.cluster.Apply(t, changed)
	w.decides(t, role, taken, false)
	f()
	w.cluster.Apply(t, role)
	w.decides(t, role, taken, true)
}

// decides waits until the API server has seen a changed role: it answers about
// all of this as it is to.
func (w *world) decides(t testing.TB, role map[string]any, what []map[string]any, answer bool) {
	t.Helper()
	metadata := role["metadata"].(map[string]any)
	namespace, _ := metadata["namespace"].(string)
	binding := w.instance.Object(fmt.Sprint(role["kind"])+"Binding", namespace, fmt.Sprint(metadata["name"]))
	if binding == nil {
		t.Fatalf("no binding of %s", metadata["name"])
	}
	subject := binding["subjects"].([]any)[0].(map[string]any)
	for _, attributes := range what {
		attributes["namespace"] = namespace
		review, err := json.Marshal(map[string]any{
			"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
			"spec": map[string]any{"user": fmt.Sprintf("system:serviceaccount:%s:%s", subject["namespace"], subject["name"]), "resourceAttributes": attributes},
		})
		if err != nil {
			t.Fatal(err)
		}
		harness.WaitFor(t, fmt.Sprintf("the API server says %t to %v", answer, attributes), harness.Patience, func() error {
			out, err := w.cluster.KubectlIn(review, "create", "--raw=/apis/authorization.k8s.io/v1/subjectaccessreviews", "--filename=-")
			var got struct{ Status struct{ Allowed bool } }
			if err == nil {
				err = json.Unmarshal([]byte(out), &got)
			}
			if err == nil && got.Status.Allowed != answer {
				err = errors.New("not yet")
			}
			return err
		})
	}
}

// role is the Role of a unit's dump or restore.
func (w *world) role(t testing.TB, kind, unit string, restore bool) map[string]any {
	t.Helper()
	item := w.instance.Unit(t, unit)
	name, namespace := item.Name, w.namespace
	if restore {
		name = item.Restore
	}
	if kind == "ClusterRole" {
		name, namespace = name+"."+namespace, ""
	}
	role := w.instance.Object(kind, namespace, name)
	if role == nil {
		t.Fatalf("no %s %s", kind, name)
	}
	return role
}

// beforeKubectl is K8up's image with a shell script in the place of kubectl, in
// which "kubectl" is the real one.
func beforeKubectl(t testing.TB, script string) harness.Image {
	t.Helper()
	folder := harness.Folder(t, 0)
	text := fmt.Sprintf("#!/bin/sh\nkubectl() { %s/kubectl \"$@\"; }\n%s\n", harness.Behind, script)
	if err := os.WriteFile(filepath.Join(folder, "kubectl"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return harness.Image{Shell: "dash", Bin: []string{folder}}
}

// front stands before the API server of a kubeconfig and changes its answers. It
// returns the kubeconfig that leads through it.
func front(t testing.TB, kubeconfig string, change func(*http.Response) error) string {
	t.Helper()
	api := newAPI(t, kubeconfig)
	target, err := url.Parse(api.server)
	if err != nil {
		t.Fatal(err)
	}
	ca := harness.NewCA(t)
	certificate, err := tls.LoadX509KeyPair(ca.Issue(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	f := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			// What comes is to be read here.
			r.Out.Header.Del("Accept-Encoding")
		},
		Transport: api.client.Transport, ModifyResponse: change,
	})
	f.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	f.StartTLS()
	t.Cleanup(func() {
		f.CloseClientConnections()
		f.Close()
	})
	data, err := os.ReadFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	cluster := config["clusters"].([]any)[0].(map[string]any)["cluster"].(map[string]any)
	cluster["server"], cluster["certificate-authority-data"] = f.URL, ca.PEM
	if data, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(harness.Folder(t, 0), "kubeconfig")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// nameOf is what a dump calls the resource of a right.
func (g grant) nameOf() string {
	if g.group == "" {
		return g.resource
	}
	return g.resource + "." + g.group
}

// failures are the ways in which reading the API goes wrong for every kind. One
// of the resources that the unit lists is named, and its Role or ClusterRole.
func (w *world) failures(t *testing.T, unit, resource string, role map[string]any) {
	config := w.account(t, unit, false)
	item := w.instance.Unit(t, unit)
	later := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
	read := func(t *testing.T) []byte {
		data, err := os.ReadFile(config)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	write := func(t *testing.T, data []byte) string {
		file := filepath.Join(harness.Folder(t, 0), "kubeconfig")
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, shell := range []string{"ash", "dash"} {
		t.Run("failure/wrong password ("+shell+")", func(t *testing.T) {
			data := read(t)
			// The last characters are the token's signature.
			at := bytes.Index(data, []byte(`"token":`))
			end := at + 10 + bytes.IndexByte(data[at+10:], '"')
			copy(data[end-12:], "AAAAAAAAAAA")
			w.instance.Dump(t, unit, harness.Options{Kubeconfig: write(t, data), Image: harness.Image{Shell: shell}}).Fails(t, 70, "You must be logged in")
		})
	}
	t.Run("failure/wrong CA", func(t *testing.T) {
		var value map[string]any
		if err := json.Unmarshal(read(t), &value); err != nil {
			t.Fatal(err)
		}
		ca, err := os.ReadFile(harness.NewCA(t).File)
		if err != nil {
			t.Fatal(err)
		}
		value["clusters"].([]any)[0].(map[string]any)["cluster"].(map[string]any)["certificate-authority-data"] = ca
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: write(t, data)}).Fails(t, 70, "certificate")
	})
	t.Run("failure/permission denied", func(t *testing.T) {
		// Without any right, and without one of many: what the others give is no copy.
		w.less(t, role, func(map[string]any, grant) bool { return true }, func() {
			w.instance.Dump(t, unit, harness.Options{Kubeconfig: config}).Fails(t, 70, "listing", "Forbidden")
			// Each by itself, for the first that is missing stops a dump. Those of APIs
			// that are absent as well: an absent API is no excuse.
			for _, g := range grants(t, role) {
				w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Env: map[string]string{"RESOURCES": g.nameOf()}}).Fails(t, 70, "listing")
			}
		})
		w.less(t, role, func(_ map[string]any, g grant) bool { return g.resource == resource }, func() {
			w.instance.Dump(t, unit, harness.Options{Kubeconfig: config}).Fails(t, 70, "listing", resource, "Forbidden")
		})
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: config}).OK(t)
	})
	t.Run("failure/truncated", func(t *testing.T) {
		// A list that ends early while the connection ends well, as behind a proxy
		// with little room.
		for name, cut := range map[string]func([]byte) []byte{
			"half":           func(body []byte) []byte { return body[:len(body)/2] },
			"the last brace": func(body []byte) []byte { return bytes.TrimRight(body, "}\n") },
			"everything":     func([]byte) []byte { return nil },
		} {
			cuts := 0
			through := front(t, config, func(r *http.Response) error {
				if !strings.HasSuffix(r.Request.URL.Path, "/"+resource) {
					return nil
				}
				body, err := io.ReadAll(r.Body)
				if err != nil {
					return err
				}
				cuts++
				body = cut(body)
				r.Body = io.NopCloser(bytes.NewReader(body))
				r.ContentLength = int64(len(body))
				r.Header.Set("Content-Length", strconv.Itoa(len(body)))
				return nil
			})
			w.instance.Dump(t, unit, harness.Options{Kubeconfig: through}).Fails(t, 70, "listing", resource)
			if cuts == 0 {
				t.Errorf("%s: no list was cut", name)
			}
		}
		// A kubectl that loses the end of what it prints, and says that all is well.
		for _, keep := range []string{"$((size - 2))", "$((size / 2))", "1"} {
			image := beforeKubectl(t, `case " $* " in *' `+resource+` '* | *'/`+resource+`?limit='*) ;; *) kubectl "$@"; exit ;; esac
kubectl "$@" >"$TMPDIR/whole" || exit
size=$(wc -c <"$TMPDIR/whole")
head -c `+keep+` "$TMPDIR/whole"`)
			r := w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Image: image})
			if r.Code != 65 && r.Code != 69 && r.Code != 70 {
				t.Errorf("cut to %s it ended with %d", keep, r.Code)
			}
			r.Fails(t, r.Code, "reading the list")
		}
		r := w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Image: beforeKubectl(t, `case " $* " in *' `+resource+` '* | *'/`+resource+`?limit='*) kubectl "$@" >/dev/null ;; *) kubectl "$@" ;; esac`)})
		r.Fails(t, r.Code, "kubectl printed no list of ")
	})
	t.Run("failure/server gone before", func(t *testing.T) {
		api, through := newGate(t, config)
		api.close()
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: through}).Fails(t, 70, "refused")
	})
	// At several places: in discovery, in the answer, between two of them. Secrets
	// need neither discovery nor a second list.
	ends := []int64{500, 3000, 9000}
	if resource == "secrets" {
		ends = []int64{500, 2000, 4000}
	}
	for _, n := range ends {
		t.Run(fmt.Sprintf("failure/server gone after %d bytes", n), func(t *testing.T) {
			api, through := newGate(t, config)
			api.bytes.Store(n)
			w.instance.Dump(t, unit, harness.Options{Kubeconfig: through}).Fails(t, 70)
		})
	}
	t.Run("failure/deadline", func(t *testing.T) {
		api, through := newGate(t, config)
		api.shut.Store(true)
		r := w.instance.Dump(t, unit, harness.Options{Kubeconfig: through, Env: map[string]string{"HOLDFAST_DEADLINE": "2"}}).Fails(t, 70, "did not end within 2 s")
		if r.Took > harness.Patience {
			t.Errorf("it took %s", r.Took)
		}
	})
	t.Run("failure/disk full", func(t *testing.T) {
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Scratch: "8Ki"}).Fails(t, 73)
	})
	t.Run("failure/count", func(t *testing.T) {
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Env: map[string]string{"HOLDFAST_MIN_COUNT": "100000"}}).Fails(t, 65, "fewer than 100000")
	})
	t.Run("failure/size", func(t *testing.T) {
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Env: map[string]string{"HOLDFAST_MIN_BYTES": "100000000"}}).Fails(t, 65, "fewer than 100000000")
	})
	t.Run("failure/locked", func(t *testing.T) {
		for _, lock := range []string{item.Lock, w.instance.Plan.InstanceLock} {
			w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Locks: map[string]map[string]string{lock: {"holder": "somebody", "until": later}}}).Fails(t, 75, "held by somebody")
			w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Locks: map[string]map[string]string{lock: {"holder": "somebody"}}}).Fails(t, 75, "until further notice")
			w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Locks: map[string]map[string]string{lock: {"holder": "somebody", "until": "1"}}}).OK(t)
		}
	})
}

// hostileNames are names that no object has and no shell should read.
var hostileNames = []string{"-A", "--all-namespaces", "a b", `"'`, "$(touch /tmp/x)", "`id`", "a\nb", "../kube-system", "kube-system/../..", "*", "äöü", "a;id"}

// The Secrets that TestKubernetesSecrets starts with.
var secretsBefore = []string{
	`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"owner"},"data":{"a":"b"}}`,
	`{"apiVersion":"v1","kind":"Secret","type":"Opaque","metadata":{"name":"plain","labels":{"app":"x"},"annotations":{"note":"\"quoted\" $HOME\nüber"}},"data":{"password":"cMOkc3N3w7ZydC1mdWxsLW9mLXVtbGF1dHM=","binary":"AAECAwD/","empty":"",".dots-and_dashes":"eA=="}}`,
	`{"apiVersion":"v1","kind":"Secret","type":"kubernetes.io/tls","metadata":{"name":"opendesk-certificates-tls"},"data":{"tls.crt":"Y2VydGlmaWNhdGU=","tls.key":"cHJpdmF0ZS1rZXk="}}`,
	`{"apiVersion":"v1","kind":"Secret","type":"kubernetes.io/dockerconfigjson","metadata":{"name":"pull"},"data":{".dockerconfigjson":"eyJhdXRocyI6e319"}}`,
	`{"apiVersion":"v1","kind":"Secret","type":"example.org/odd","immutable":true,"metadata":{"name":"fixed"},"data":{"a":"Zml4ZWQtdmFsdWU="}}`,
	`{"apiVersion":"v1","kind":"Secret","type":"Opaque","metadata":{"name":"0-hollow"}}`,
	`{"apiVersion":"v1","kind":"Secret","type":"helm.sh/release.v1","metadata":{"name":"sh.helm.release.v1.x"},"data":{"release":"eA=="}}`,
}

func TestKubernetesSecrets(t *testing.T) {
	const unit = "kubernetes-secrets/application"
	w := newWorld(t, map[string]any{
		"exportSecrets": true, "exportNamespaceYaml": false, "exportClusterScoped": false,
		"excludeSecretTypes": []any{"kubernetes.io/service-account-token", "helm.sh/release.v1"},
		"expectSecrets":      []any{"plain"},
		"reasons":            map[string]any{"exportNamespaceYaml": "another test shows that", "exportClusterScoped": "another test shows that"},
	})
	w.apply(t, secretsBefore...)
	uid := w.cluster.Kubectl(t, "get", "configmap", "owner", "--namespace="+w.namespace, "--output=jsonpath={.metadata.uid}")
	w.apply(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"owned","ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"owner","uid":%q}]},"data":{"a":"b3duZWQtdmFsdWU="}}`, uid))
	before := w.objects(t, "secrets")
	config := w.account(t, unit, false)
	role := w.role(t, "Role", unit, false)
	names := []string{"Secret/plain", "Secret/opendesk-certificates-tls", "Secret/pull", "Secret/fixed", "Secret/0-hollow", "Secret/owned"}
	var dump []byte

	for _, shell := range []string{"ash", "dash"} {
		t.Run("dump/"+shell, func(t *testing.T) {
			r := w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Image: harness.Image{Shell: shell}}).OK(t)
			got := copied(t, r.Stdout)
			same(t, got, before, names...)
			if len(got) != len(names) {
				t.Errorf("the dump has %v", slices.Sorted(maps.Keys(got)))
			}
			if dump != nil && !bytes.Equal(dump, r.Stdout) {
				t.Error("two dumps of the same differ")
			}
			dump = r.Stdout
		})
	}
	t.Run("dump/rights", func(t *testing.T) {
		for _, g := range grants(t, role) {
			if g != (grant{"", "secrets", "list"}) {
				t.Errorf("%s is more than a dump needs", g)
			}
		}
	})
	w.failures(t, unit, "secrets", role)
	t.Run("failure/forbidden elsewhere", func(t *testing.T) {
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Env: map[string]string{"HOLDFAST_NAMESPACE": "kube-system"}}).Fails(t, 70, "Forbidden")
	})
	t.Run("failure/wrong namespace", func(t *testing.T) {
		// Even who may list everywhere is told nothing but an empty list.
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: w.cluster.Kubeconfig, Env: map[string]string{"HOLDFAST_NAMESPACE": "no-such-namespace", "EXPECT_NAMES": ""}}).
			Fails(t, 65, "the namespace no-such-namespace has no Secret")
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: w.cluster.Kubeconfig, Env: map[string]string{"HOLDFAST_NAMESPACE": "no-such-namespace"}}).
			Fails(t, 65, "plain is absent")
	})
	t.Run("failure/expected", func(t *testing.T) {
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Env: map[string]string{"EXPECT_NAMES": "plain\n0-hollow\nmissing"}}).
			Fails(t, 65, "0-hollow holds no data", "missing is absent")
	})
	t.Run("failure/hostile names", func(t *testing.T) {
		for _, name := range hostileNames {
			r := w.instance.Dump(t, unit, harness.Options{Kubeconfig: w.cluster.Kubeconfig, Env: map[string]string{"HOLDFAST_NAMESPACE": name, "EXPECT_NAMES": ""}})
			if r.Code == 0 || len(r.Stdout) > 0 {
				t.Errorf("the namespace %q gave a dump of %d bytes", name, len(r.Stdout))
			}
			w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Env: map[string]string{"EXPECT_NAMES": name}}).Fails(t, 65, "is absent")
		}
	})
	// A namespace whose only Secrets are the backup's own and of a type that is
	// left out.
	bare := newWorld(t, map[string]any{
		"exportSecrets": true, "exportNamespaceYaml": false, "exportClusterScoped": false, "excludeSecretTypes": []any{"helm.sh/release.v1"},
		"reasons": map[string]any{"exportNamespaceYaml": "another test shows that", "exportClusterScoped": "another test shows that"},
	})
	bare.apply(t, secretsBefore[len(secretsBefore)-1],
		`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"ours","labels":{"app.kubernetes.io/managed-by":"holdfast"}},"data":{"password":"eA=="}}`)
	// One that was made by hand, for --secrets omit, has its name alone.
	for _, s := range bare.instance.Plan.Secrets {
		bare.apply(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":%q},"data":{"password":"eA=="}}`, s.Name))
	}
	t.Run("failure/empty", func(t *testing.T) {
		for _, shell := range []string{"ash", "dash"} {
			bare.instance.Dump(t, unit, harness.Options{Kubeconfig: bare.account(t, unit, false), Image: harness.Image{Shell: shell}}).
				Fails(t, 65, "the namespace "+bare.namespace+" has no Secret to copy")
		}
		// kubectl prints nothing, and says that all is well.
		bare.instance.Dump(t, unit, harness.Options{Kubeconfig: bare.account(t, unit, false), Image: beforeKubectl(t, `kubectl "$@" >/dev/null`)}).
			Fails(t, 70, "kubectl printed no list")
		// An empty copy is no news of what was in it.
		bare.instance.Restore(t, unit, harness.Options{Kubeconfig: bare.account(t, unit, true), Input: []byte(`{"apiVersion":"v1","kind":"List","items":[]}`)}).
			Fails(t, 65, "the dump holds none of these Secrets")
	})
	t.Run("allowed empty", func(t *testing.T) {
		allowed := map[string]string{"HOLDFAST_ALLOW_EMPTY": "nothing yet"}
		var empty harness.Options
		for _, shell := range []string{"ash", "dash"} {
			r := bare.instance.Dump(t, unit, harness.Options{Kubeconfig: bare.account(t, unit, false), Image: harness.Image{Shell: shell}, Env: allowed}).OK(t)
			if len(copied(t, r.Stdout)) != 0 || !strings.Contains(r.Stderr, "empty, which is allowed: nothing yet") {
				t.Errorf("the dump is %s, and it said:\n%s", r.Stdout, r.Stderr)
			}
			before := bare.objects(t, "secrets")
			o := harness.Options{Kubeconfig: bare.account(t, unit, true), Image: harness.Image{Shell: shell}, Input: r.Stdout, Env: allowed}
			if r := bare.instance.Restore(t, unit, o).OK(t); !strings.Contains(r.Stderr, "empty, which is allowed: nothing yet") {
				t.Errorf("it said:\n%s", r.Stderr)
			}
			same(t, bare.objects(t, "secrets"), before)
			empty = o
		}
		// Who asks for one by its name wants that one, and what is no list is not an
		// empty one.
		only := empty
		only.Env = map[string]string{"HOLDFAST_ALLOW_EMPTY": "nothing yet", "HOLDFAST_ONLY": "plain"}
		bare.instance.Restore(t, unit, only).Fails(t, 65, "the dump holds none of these Secrets")
		listed := harness.Payload(empty.Input)
		for _, input := range []string{"", "\n", "{}", string(listed[:len(listed)/2])} {
			o := empty
			o.Input = []byte(input)
			bare.instance.Restore(t, unit, o).Fails(t, 65, "reading the dump")
		}
	})

	// Change and destroy.
	restorer := w.account(t, unit, true)
	restore := w.role(t, "Role", unit, true)
	w.cluster.Kubectl(t, "delete", "--namespace="+w.namespace, "secret", "plain", "opendesk-certificates-tls", "owned", "0-hollow")
	w.cluster.Kubectl(t, "delete", "--namespace="+w.namespace, "configmap", "owner")
	w.apply(t, `{"apiVersion":"v1","kind":"Secret","type":"kubernetes.io/dockerconfigjson","metadata":{"name":"pull"},"data":{".dockerconfigjson":"eyJhdXRocyI6eyJldmlsIjp7fX19"}}`)
	destroyed := w.objects(t, "secrets")

	t.Run("restore/dry run", func(t *testing.T) {
		w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: dump, Env: map[string]string{"HOLDFAST_DRY_RUN": "yes", "HOLDFAST_OVERWRITE": "yes"}}).OK(t)
		same(t, w.objects(t, "secrets"), destroyed)
	})
	t.Run("restore/rights", func(t *testing.T) {
		for _, g := range grants(t, restore) {
			// Two locks share the right to get.
			w.less(t, restore, func(rule map[string]any, of grant) bool {
				return of == g && !(g.resource == "configmaps" && g.verb == "get" && fmt.Sprint(rule["resourceNames"]) == "["+w.instance.Plan.InstanceLock+"]")
			}, func() {
				w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: dump, Env: map[string]string{"HOLDFAST_DRY_RUN": "yes", "HOLDFAST_OVERWRITE": "yes"}}).Fails(t, 70, "Forbidden")
			})
		}
		w.less(t, restore, func(rule map[string]any, _ grant) bool {
			return fmt.Sprint(rule["resourceNames"]) == "["+w.instance.Plan.InstanceLock+"]"
		}, func() {
			w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: dump, Env: map[string]string{"HOLDFAST_DRY_RUN": "yes", "HOLDFAST_OVERWRITE": "yes"}}).Fails(t, 70, "instance lock")
		})
	})
	t.Run("restore/only", func(t *testing.T) {
		w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: dump, Env: map[string]string{"HOLDFAST_ONLY": "plain"}}).OK(t)
		got := w.objects(t, "secrets")
		same(t, got, before, "Secret/plain")
		if got["Secret/owned"] != nil {
			t.Error("more was restored than asked for")
		}
		for _, name := range hostileNames {
			w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: dump, Env: map[string]string{"HOLDFAST_ONLY": name}}).Fails(t, 65, "holds none of these")
		}
	})
	t.Run("restore/keeps what differs", func(t *testing.T) {
		w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: dump}).Fails(t, 65, "Secret pull: differs, kept", "HOLDFAST_OVERWRITE=yes")
		got := w.objects(t, "secrets")
		same(t, got, destroyed, "Secret/pull")
		same(t, got, before, "Secret/plain", "Secret/owned")
	})
	t.Run("restore/compare", func(t *testing.T) {
		r := w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: dump, Env: map[string]string{"HOLDFAST_OVERWRITE": "yes"}}).OK(t)
		if !strings.Contains(r.Stderr, "1 replaced") {
			t.Errorf("it said:\n%s", r.Stderr)
		}
		same(t, w.objects(t, "secrets"), before, names...)
		// An owner that is gone would have it collected.
		if owners := w.cluster.Kubectl(t, "get", "secret", "owned", "--namespace="+w.namespace, "--output=jsonpath={.metadata.ownerReferences}"); owners != "" {
			t.Errorf("it has owners: %s", owners)
		}
	})
	t.Run("restore/one cannot be written", func(t *testing.T) {
		w.cluster.Kubectl(t, "delete", "--namespace="+w.namespace, "secret", "fixed", "plain")
		w.apply(t, `{"apiVersion":"v1","kind":"Secret","type":"example.org/odd","immutable":true,"metadata":{"name":"fixed"},"data":{"a":"b3RoZXItdmFsdWU="}}`)
		w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: dump, Env: map[string]string{"HOLDFAST_OVERWRITE": "yes"}}).
			Fails(t, 70, "Secret fixed: failed", "immutable", "Secret plain: created", "1 Secrets could not be restored")
		same(t, w.objects(t, "secrets"), before, "Secret/plain")
	})
	t.Run("failure/restore of a broken dump", func(t *testing.T) {
		for name, input := range map[string]string{
			"nothing": "", "cut": string(dump[:len(dump)/2]), "no list": `{"kind":"Secret"}`, "an empty list": `{"kind":"List","items":[]}`,
			"a value that is no text": `{"kind":"List","items":[{"apiVersion":"v1","kind":"Secret","metadata":{"name":"x"},"data":{"a":{"tell-tale":1}}}]}`,
		} {
			r := w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: []byte(input)}).Fails(t, 65)
			if strings.Contains(r.Stderr, "tell-tale") {
				t.Errorf("%s: a value is told:\n%s", name, r.Stderr)
			}
		}
	})
	t.Run("failure/restore without the API server", func(t *testing.T) {
		api, through := newGate(t, restorer)
		api.close()
		w.instance.Restore(t, unit, harness.Options{Kubeconfig: through, Input: dump}).Fails(t, 70)
	})
	t.Run("failure/restore while locked", func(t *testing.T) {
		item := w.instance.Unit(t, unit)
		for _, lock := range []string{item.Lock, w.instance.Plan.InstanceLock} {
			w.cluster.Kubectl(t, "patch", "configmap", lock, "--namespace="+w.namespace, "--type=merge", "--patch", `{"data":{"holder":"upgrade","until":"99999999999"}}`)
			w.cluster.Kubectl(t, "delete", "--namespace="+w.namespace, "secret", "plain", "--ignore-not-found")
			w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: dump}).Fails(t, 75, "skipped: "+lock+" is held by upgrade")
			if w.objects(t, "secrets")["Secret/plain"] != nil {
				t.Error("it was restored")
			}
			w.cluster.Kubectl(t, "patch", "configmap", lock, "--namespace="+w.namespace, "--type=merge", "--patch", `{"data":null}`)
		}
	})
}

// What TestNamespaceManifests puts into the namespace: an object of each kind
// that is copied, as applications have them.
var manifestsBefore = []string{
	`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"migrations-status"},"data":{"migrations":"v1.2: done\nv1.3: \"done\"\n"}}`,
	`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"odd.name-1","annotations":{"a":"$(id) 'x' \\ über"}},"data":{".key_with-all":"line\n\tline\r\n","empty":""},"binaryData":{"binary":"AAECAwD/"}}`,
	`{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"app"},"automountServiceAccountToken":false}`,
	`{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"type":"NodePort","selector":{"app":"web"},"ports":[{"name":"http","port":80,"targetPort":8080}]}}`,
	`{"apiVersion":"v1","kind":"Service","metadata":{"name":"headless"},"spec":{"clusterIP":"None","selector":{"app":"web"},"ports":[{"port":5432}]}}`,
	`{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"data","annotations":{"pv.kubernetes.io/bind-completed":"yes","keep":"me"}},"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":"none","resources":{"requests":{"storage":"1Gi"}}}}`,
	`{"apiVersion":"v1","kind":"LimitRange","metadata":{"name":"limits"},"spec":{"limits":[{"type":"Container","default":{"memory":"64Mi"}}]}}`,
	`{"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"quota"},"spec":{"hard":{"pods":"100"}}}`,
	`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":0,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"web","image":"web:1","env":[{"name":"HOSTILE","value":"$(A) \"b\" 'c'\nd"}]}]}}}}`,
	`{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"db"},"spec":{"replicas":0,"serviceName":"headless","selector":{"matchLabels":{"app":"db"}},"template":{"metadata":{"labels":{"app":"db"}},"spec":{"containers":[{"name":"db","image":"db:1"}]}}}}`,
	`{"apiVersion":"apps/v1","kind":"DaemonSet","metadata":{"name":"agent"},"spec":{"selector":{"matchLabels":{"app":"agent"}},"template":{"metadata":{"labels":{"app":"agent"}},"spec":{"containers":[{"name":"agent","image":"agent:1"}]}}}}`,
	`{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"name":"web"},"spec":{"maxReplicas":3,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"},"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":80}}}]}}`,
	`{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"nightly"},"spec":{"schedule":"0 0 1 1 *","suspend":true,"jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"c:1"}]}}}}}}`,
	`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"migrate"},"spec":{"suspend":true,"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"c:1"}]}}}}`,
	`{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"web"},"spec":{"rules":[{"host":"web.example.test","http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"web","port":{"number":80}}}}]}}]}}`,
	`{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"deny"},"spec":{"podSelector":{},"policyTypes":["Ingress"]}}`,
	`{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"web"},"spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"web"}}}}`,
	`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"reader"},"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["list"]}]}`,
	`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"mighty"},"rules":[{"apiGroups":[""],"resources":["pods/exec"],"verbs":["create"]}]}`,
	`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"reader"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"reader"},"subjects":[{"kind":"ServiceAccount","name":"app"}]}`,
	`{"apiVersion":"k8up.io/v1","kind":"Schedule","metadata":{"name":"own"},"spec":{"anything":{"a":[1,"2",null]}}}`,
}

// scheduleCRD stands for the CRDs of K8up.
const scheduleCRD = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"cluster":true,"name":"schedules.k8up.io"},
 "spec":{"group":"k8up.io","scope":"Namespaced","names":{"plural":"schedules","singular":"schedule","kind":"Schedule","listKind":"ScheduleList"},
 "versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}}}]}}`

// crd installs it, before the rest.
func (w *world) crd(t testing.TB) {
	t.Helper()
	w.apply(t, scheduleCRD)
	w.cluster.Kubectl(t, "wait", "--for=condition=Established", "crd/schedules.k8up.io", "--timeout=60s")
	harness.WaitFor(t, "the CRD", time.Minute, func() error {
		_, err := w.cluster.TryKubectl("get", "schedules.k8up.io", "--all-namespaces")
		return err
	})
}

// k8up puts into the namespace what K8up itself makes there for a dump: the dump
// pod's Deployment, which its Backup owns but does not control, the Job, and the
// account with its rights. What Kubernetes puts there is waited for.
func (w *world) k8up(t testing.TB) {
	t.Helper()
	var uid string
	harness.WaitFor(t, "what Kubernetes puts into a namespace", time.Minute, func() error {
		if _, err := w.cluster.TryKubectl("get", "configmap/kube-root-ca.crt", "--namespace="+w.namespace); err != nil {
			return err
		}
		var err error
		uid, err = w.cluster.TryKubectl("get", "serviceaccount/default", "--namespace="+w.namespace, "--output=jsonpath={.metadata.uid}")
		return err
	})
	owner := fmt.Sprintf(`"apiVersion":"v1","kind":"ServiceAccount","name":"default","uid":%q`, uid)
	w.apply(t,
		`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"k8up-dump","labels":{"k8up.io/preBackupPod":"k8up-dump"},"ownerReferences":[{`+owner+`}]},"spec":{"replicas":1,"selector":{"matchLabels":{"k8up.io/preBackupPod":"k8up-dump"}},"template":{"metadata":{"labels":{"k8up.io/preBackupPod":"k8up-dump"}},"spec":{"containers":[{"name":"c","image":"c:1"}]}}}}`,
		`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"k8up-job","ownerReferences":[{`+owner+`,"controller":true}]},"spec":{"suspend":true,"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"c:1"}]}}}}`,
		`{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"pod-executor"}}`,
		`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"pod-executor-namespaced"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"k8up-executor"},"subjects":[{"kind":"ServiceAccount","name":"pod-executor"}]}`)
}

func TestNamespaceManifests(t *testing.T) {
	const unit, named = "namespace-manifests/application", "namespace-manifests/migrations-status"
	w := newWorld(t, map[string]any{
		"exportSecrets": false, "exportNamespaceYaml": true, "exportClusterScoped": false, "configMaps": []any{"migrations-status"},
		"extraResources": []any{"coordination.k8s.io/leases"},
		"reasons":        map[string]any{"exportSecrets": "another test shows that", "exportClusterScoped": "another test shows that"},
	})
	w.crd(t)
	w.apply(t, manifestsBefore...)
	// What somebody else controls comes back by him.
	uid := w.cluster.Kubectl(t, "get", "deployment", "web", "--namespace="+w.namespace, "--output=jsonpath={.metadata.uid}")
	w.apply(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"controlled","ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"web","uid":%q,"controller":true}]},"data":{"a":"b"}}`, uid))
	w.k8up(t)
	resources := []string{
		"configmaps", "limitranges", "persistentvolumeclaims", "resourcequotas", "serviceaccounts", "services", "daemonsets.apps", "deployments.apps", "statefulsets.apps",
		"horizontalpodautoscalers.autoscaling", "cronjobs.batch", "jobs.batch", "ingresses.networking.k8s.io", "networkpolicies.networking.k8s.io", "poddisruptionbudgets.policy",
		"roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io", "schedules.k8up.io",
	}
	before := w.objects(t, resources...)
	var own []string
	for _, text := range manifestsBefore {
		var object map[string]any
		if err := json.Unmarshal([]byte(text), &object); err != nil {
			t.Fatal(err)
		}
		own = append(own, fmt.Sprint(object["kind"], "/", object["metadata"].(map[string]any)["name"]))
	}
	config := w.account(t, unit, false)
	role := w.role(t, "Role", unit, false)
	var dump []byte

	for _, shell := range []string{"ash", "dash"} {
		t.Run("dump/"+shell, func(t *testing.T) {
			r := w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Image: harness.Image{Shell: shell}}).OK(t)
			dump = r.Stdout
			got := map[string]map[string]any{}
			for name, object := range copied(t, dump) {
				if object["kind"] == "Secret" || object["kind"] == "Pod" {
					t.Errorf("%s is copied", name)
				}
				got[name] = bare(object)
			}
			same(t, got, before)
			var top struct{ Skipped []map[string]string }
			if err := json.NewDecoder(bytes.NewReader(dump)).Decode(&top); err != nil {
				t.Fatal(err)
			}
			var skipped []string
			for _, s := range top.Skipped {
				skipped = append(skipped, s["resource"]+" "+s["reason"])
			}
			// No more than what this server does not know.
			if want := []string{
				"certificates.cert-manager.io absent", "issuers.cert-manager.io absent", "externalsecrets.external-secrets.io absent", "secretstores.external-secrets.io absent",
				"httproutes.gateway.networking.k8s.io absent", "podconfigs.k8up.io absent", "prebackuppods.k8up.io absent",
			}; !slices.Equal(slices.Sorted(slices.Values(skipped)), slices.Sorted(slices.Values(want))) {
				t.Errorf("skipped are %q", skipped)
			}
		})
	}
	t.Run("dump/one ConfigMap", func(t *testing.T) {
		r := w.instance.Dump(t, named, harness.Options{Kubeconfig: w.account(t, named, false)}).OK(t)
		got := copied(t, r.Stdout)
		if len(got) != 1 || !reflect.DeepEqual(bare(got["ConfigMap/migrations-status"]), before["ConfigMap/migrations-status"]) {
			t.Errorf("the dump is %s", r.Stdout)
		}
		w.instance.Dump(t, named, harness.Options{Kubeconfig: w.account(t, named, false), Env: map[string]string{"RESOURCES": "configmaps/odd.name-1"}}).Fails(t, 70, "Forbidden")
		w.instance.Dump(t, named, harness.Options{Kubeconfig: w.account(t, named, false), Env: map[string]string{"RESOURCES": "configmaps"}}).Fails(t, 70, "Forbidden")
	})
	t.Run("dump/rights", func(t *testing.T) {
		for _, g := range grants(t, role) {
			if g.verb != "list" {
				t.Errorf("%s is more than a dump needs", g)
			}
		}
		w.less(t, w.role(t, "Role", named, false), func(map[string]any, grant) bool { return true }, func() {
			w.instance.Dump(t, named, harness.Options{Kubeconfig: w.account(t, named, false)}).Fails(t, 70, "Forbidden")
		})
	})
	w.failures(t, unit, "services", role)
	t.Run("failure/a ConfigMap is gone", func(t *testing.T) {
		w.cluster.Kubectl(t, "delete", "configmap", "migrations-status", "--namespace="+w.namespace)
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: config}).Fails(t, 65, "migrations-status is absent")
		w.instance.Dump(t, named, harness.Options{Kubeconfig: w.account(t, named, false)}).Fails(t, 65, "configmaps/migrations-status does not exist")
		w.apply(t, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"migrations-status"}}`)
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: config}).Fails(t, 65, "migrations-status holds no data")
		w.instance.Dump(t, named, harness.Options{Kubeconfig: w.account(t, named, false)}).Fails(t, 65, "migrations-status holds no data")
		w.apply(t, manifestsBefore[0])
	})
	t.Run("failure/wrong namespace", func(t *testing.T) {
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Env: map[string]string{"HOLDFAST_NAMESPACE": "kube-system"}}).Fails(t, 70, "Forbidden")
		env := map[string]string{"HOLDFAST_NAMESPACE": "no-such-namespace", "RESOURCES": "configmaps\nservices", "CONFIG_MAPS": ""}
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: w.cluster.Kubeconfig, Env: env}).Fails(t, 65, "the namespace no-such-namespace has no object")
	})
	// A namespace in which nothing is deployed. It has objects all the same: what
	// Kubernetes, K8up and Holdfast put into each.
	bare := newWorld(t, map[string]any{
		"exportSecrets": false, "exportNamespaceYaml": true, "exportClusterScoped": false,
		"reasons": map[string]any{"exportSecrets": "another test shows that", "exportClusterScoped": "another test shows that"},
	})
	bare.k8up(t)
	t.Run("failure/empty", func(t *testing.T) {
		for _, shell := range []string{"ash", "dash"} {
			bare.instance.Dump(t, unit, harness.Options{Kubeconfig: bare.account(t, unit, false), Image: harness.Image{Shell: shell}}).
				Fails(t, 65, "the namespace "+bare.namespace+" has no object to copy")
		}
		bare.instance.Restore(t, unit, harness.Options{Kubeconfig: bare.account(t, unit, true), Input: []byte(`{"apiVersion":"v1","kind":"List","items":[]}`)}).
			Fails(t, 65, "the dump holds none of these objects")
		// The first that is deployed makes a copy of it.
		bare.apply(t, manifestsBefore[0])
		r := bare.instance.Dump(t, unit, harness.Options{Kubeconfig: bare.account(t, unit, false)}).OK(t)
		if !strings.Contains(r.Stderr, ": 1 counted") {
			t.Errorf("it said:\n%s", r.Stderr)
		}
		bare.cluster.Kubectl(t, "delete", "configmap", "migrations-status", "--namespace="+bare.namespace)
	})
	t.Run("allowed empty", func(t *testing.T) {
		allowed := map[string]string{"HOLDFAST_ALLOW_EMPTY": "nothing is deployed yet"}
		var empty harness.Options
		for _, shell := range []string{"ash", "dash"} {
			r := bare.instance.Dump(t, unit, harness.Options{Kubeconfig: bare.account(t, unit, false), Image: harness.Image{Shell: shell}, Env: allowed}).OK(t)
			if !strings.Contains(r.Stderr, "empty, which is allowed: nothing is deployed yet") {
				t.Errorf("it said:\n%s", r.Stderr)
			}
			before := bare.objects(t, resources...)
			o := harness.Options{Kubeconfig: bare.account(t, unit, true), Image: harness.Image{Shell: shell}, Input: r.Stdout, Env: allowed}
			if r := bare.instance.Restore(t, unit, o).OK(t); !strings.Contains(r.Stderr, "empty, which is allowed: nothing is deployed yet") {
				t.Errorf("it said:\n%s", r.Stderr)
			}
			same(t, bare.objects(t, resources...), before)
			empty = o
		}
		only := empty
		only.Env = map[string]string{"HOLDFAST_ALLOW_EMPTY": "nothing is deployed yet", "HOLDFAST_ONLY": "ConfigMap/migrations-status"}
		bare.instance.Restore(t, unit, only).Fails(t, 65, "the dump holds none of these objects")
		listed := harness.Payload(empty.Input)
		for _, input := range []string{"", "\n", "{}", string(listed[:len(listed)/2])} {
			o := empty
			o.Input = []byte(input)
			bare.instance.Restore(t, unit, o).Fails(t, 65, "reading the dump")
		}
	})
	t.Run("failure/hostile names", func(t *testing.T) {
		for _, name := range hostileNames {
			r := w.instance.Dump(t, unit, harness.Options{Kubeconfig: w.cluster.Kubeconfig, Env: map[string]string{"HOLDFAST_NAMESPACE": name, "RESOURCES": "configmaps", "CONFIG_MAPS": ""}})
			if r.Code == 0 || len(r.Stdout) > 0 {
				t.Errorf("the namespace %q gave a dump of %d bytes", name, len(r.Stdout))
			}
			r = w.instance.Dump(t, unit, harness.Options{Kubeconfig: w.cluster.Kubeconfig, Env: map[string]string{"RESOURCES": name, "CONFIG_MAPS": ""}})
			if r.Code == 0 || len(r.Stdout) > 0 {
				t.Errorf("the resource %q gave a dump of %d bytes", name, len(r.Stdout))
			}
		}
		for _, name := range []string{"secrets", "secret", "secrets.v1.", "secrets/plain", "Secrets", "sEcrets", "configmaps,secrets", "-f/etc/passwd"} {
			w.instance.Dump(t, unit, harness.Options{Kubeconfig: w.cluster.Kubeconfig, Env: map[string]string{"RESOURCES": "configmaps\n" + name}}).Fails(t, 64)
		}
	})
	t.Run("failure/server restarted in the middle", func(t *testing.T) {
		// It answers again, but one list was lost on the way.
		image := beforeKubectl(t, `case " $* " in *'/services?limit='*) echo 'The connection to the server was refused' >&2; exit 1 ;; esac
kubectl "$@"`)
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Image: image}).Fails(t, 70, "listing services")
	})
	t.Run("an API that does not answer", func(t *testing.T) {
		// The rest is copied, and the gap is on record.
		w.apply(t, `{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{"cluster":true,"name":"v1.cert-manager.io"},"spec":{"group":"cert-manager.io","version":"v1","groupPriorityMinimum":100,"versionPriority":10,"insecureSkipTLSVerify":true,"service":{"name":"nowhere","namespace":"kube-system"}}}`)
		defer w.cluster.Kubectl(t, "delete", "apiservice", "v1.cert-manager.io")
		harness.WaitFor(t, "the API server misses that API", harness.Patience, func() error {
			_, err := w.cluster.TryKubectl("get", "--raw=/apis/cert-manager.io/v1")
			if err == nil || !strings.Contains(err.Error(), "ServiceUnavailable") && !strings.Contains(err.Error(), "unable to handle the request") {
				return fmt.Errorf("it answers: %v", err)
			}
			return nil
		})
		r := w.instance.Dump(t, unit, harness.Options{Kubeconfig: config}).OK(t)
		if !bytes.Contains(r.Stdout, []byte(`"certificates.cert-manager.io"`)) || len(copied(t, r.Stdout)) != len(before) {
			t.Errorf("the dump has %d objects of %d", len(copied(t, r.Stdout)), len(before))
		}
	})

	// Change and destroy.
	restorer := w.account(t, unit, true)
	var names []string
	for _, name := range own {
		kind, object, _ := strings.Cut(name, "/")
		if kind != "Service" && kind != "StatefulSet" {
			names = append(names, kind+"/"+object)
			w.cluster.Kubectl(t, "delete", "--namespace="+w.namespace, strings.ToLower(kind), object, "--wait=false")
		}
	}
	ofK8up := []string{"Deployment/k8up-dump", "Job/k8up-job", "ServiceAccount/pod-executor", "RoleBinding/pod-executor-namespaced"}
	for _, name := range ofK8up {
		w.cluster.Kubectl(t, "delete", "--namespace="+w.namespace, name)
	}
	// No controller is there to see that nobody uses it.
	w.cluster.Kubectl(t, "patch", "persistentvolumeclaim", "data", "--namespace="+w.namespace, "--type=merge", "--patch", `{"metadata":{"finalizers":null}}`)
	w.cluster.Kubectl(t, "delete", "--namespace="+w.namespace, "service", "web")
	w.cluster.Kubectl(t, "patch", "statefulset", "db", "--namespace="+w.namespace, "--type=merge", "--patch", `{"spec":{"replicas":7}}`)
	harness.WaitFor(t, "the end of what was deleted", time.Minute, func() error {
		if claims := w.objects(t, "persistentvolumeclaims"); len(claims) > 0 {
			return errors.New("the claim is there still")
		}
		return nil
	})
	destroyed := w.objects(t, resources...)

	t.Run("restore/dry run", func(t *testing.T) {
		w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: dump, Env: map[string]string{"HOLDFAST_DRY_RUN": "yes", "HOLDFAST_OVERWRITE": "yes"}})
		same(t, w.objects(t, resources...), destroyed)
	})
	t.Run("restore/one ConfigMap", func(t *testing.T) {
		one := w.instance.Dump(t, named, harness.Options{Kubeconfig: w.cluster.Kubeconfig, Env: map[string]string{"RESOURCES": "configmaps/migrations-status"}})
		if one.Code == 0 {
			t.Fatal("it is there already")
		}
		part, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": []any{copied(t, dump)["ConfigMap/migrations-status"]}})
		if err != nil {
			t.Fatal(err)
		}
		restorer := w.account(t, named, true)
		role := w.role(t, "Role", named, true)
		for _, verb := range []string{"get", "create", "patch"} {
			w.less(t, role, func(rule map[string]any, g grant) bool {
				return g == grant{"", "configmaps", verb} && fmt.Sprint(rule["resourceNames"]) == "[migrations-status]"
			}, func() {
				w.instance.Restore(t, named, harness.Options{Kubeconfig: restorer, Input: part}).Fails(t, 70, "ConfigMap/migrations-status: failed", "orbidden")
			})
		}
		w.instance.Restore(t, named, harness.Options{Kubeconfig: restorer, Input: part}).OK(t)
		same(t, w.objects(t, "configmaps"), before, "ConfigMap/migrations-status")
		// Its rights are for that name.
		w.instance.Restore(t, named, harness.Options{Kubeconfig: restorer, Input: dump, Env: map[string]string{"HOLDFAST_ONLY": "ConfigMap/odd.name-1"}}).Fails(t, 70, "ConfigMap/odd.name-1: failed", "orbidden")
	})
	t.Run("restore/rights", func(t *testing.T) {
		role := w.role(t, "Role", unit, true)
		for _, g := range grants(t, role) {
			if !slices.Contains([]string{"get", "create", "patch"}, g.verb) && g != (grant{"", "pods", "list"}) {
				t.Errorf("%s is more than a restore needs", g)
			}
		}
		for _, g := range []grant{{"", "pods", "list"}, {"apps", "deployments", "get"}, {"apps", "deployments", "create"}, {"apps", "deployments", "patch"}} {
			w.without(t, role, g, func() {
				w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: dump, Env: map[string]string{"HOLDFAST_ONLY": "Deployment/web"}}).Fails(t, 70, "orbidden")
			})
		}
	})
	t.Run("restore/compare", func(t *testing.T) {
		// Nobody may give rights that he does not have: that Role alone is left.
		r := w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: dump}).Fails(t, 70,
			"Role/mighty: failed", "attempting to grant RBAC permissions not currently held", "StatefulSet/db: exists, the same", " 1 failed", "not started again, for HOLDFAST_ONLY does not name them: Job/migrate", "1 objects could not be restored")
		got := w.objects(t, resources...)
		for _, name := range names {
			if name != "Role/mighty" && name != "Job/migrate" && name != "PersistentVolumeClaim/data" {
				same(t, got, before, name)
			}
		}
		same(t, got, before, "Service/web", "Service/headless")
		same(t, got, destroyed, "StatefulSet/db")
		for _, name := range append([]string{"Job/migrate", "ConfigMap/controlled"}, ofK8up...) {
			if got[name] != nil {
				t.Errorf("%s came back", name)
			}
		}
		claim := got["PersistentVolumeClaim/data"]
		if annotations := claim["metadata"].(map[string]any)["annotations"].(map[string]any); len(annotations) != 1 || annotations["keep"] != "me" {
			t.Errorf("the claim's annotations are %v", annotations)
		}
		if t.Failed() {
			t.Logf("it said:\n%s", r.Stderr)
		}
	})
	t.Run("restore/overwrite", func(t *testing.T) {
		w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: dump, Env: map[string]string{"HOLDFAST_OVERWRITE": "yes", "HOLDFAST_ONLY": "StatefulSet/db\nJob/migrate"}}).OK(t)
		got := w.objects(t, resources...)
		same(t, got, before, "StatefulSet/db")
		if got["Job/migrate"] == nil {
			t.Error("a Job that was asked for did not come back")
		}
	})
	t.Run("restore/with an administrator's rights", func(t *testing.T) {
		w.instance.Restore(t, unit, harness.Options{Kubeconfig: w.cluster.Kubeconfig, Input: dump}).OK(t)
		same(t, w.objects(t, resources...), before, "Role/mighty")
	})
	t.Run("failure/restore of a broken dump", func(t *testing.T) {
		for _, input := range []string{"", string(dump[:len(dump)/2]), `{"kind":"ConfigMap"}`, `{"kind":"List","items":[]}`} {
			w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: []byte(input)}).Fails(t, 65)
		}
	})
	t.Run("failure/restore while a dump runs", func(t *testing.T) {
		item := w.instance.Unit(t, unit)
		w.apply(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"dumps","labels":{"k8up.io/preBackupPod":%q}},"spec":{"containers":[{"name":"c","image":"c:1"}]}}`, item.Name))
		w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: dump, Env: map[string]string{"HOLDFAST_WAIT_FOR_DUMPS": "3"}}).Fails(t, 69, "dump pods are still there: pod/dumps")
		w.cluster.Kubectl(t, "delete", "pod", "dumps", "--namespace="+w.namespace, "--grace-period=0", "--force")
	})
}

func TestControlPlane(t *testing.T) {
	const unit = "control-plane/export"
	w := newWorld(t, map[string]any{
		"exportSecrets": false, "exportNamespaceYaml": false, "exportClusterScoped": true,
		"reasons": map[string]any{"exportSecrets": "another test shows that", "exportNamespaceYaml": "another test shows that"},
	})
	w.crd(t)
	storage := "class-" + w.namespace
	class := fmt.Sprintf(`{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{"cluster":true,"name":%q,"annotations":{"a":"$(id) 'x' über"}},"provisioner":"example.test/none","reclaimPolicy":"Retain"}`, storage)
	config := w.account(t, unit, false)
	t.Run("failure/empty", func(t *testing.T) {
		w.cluster.Kubectl(t, "delete", "nodes", "--all")
		// One kind of objects is not there, and none at all. No reason excuses it.
		for _, reason := range []string{"", "a new cluster"} {
			env := map[string]string{"HOLDFAST_ALLOW_EMPTY": reason}
			w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Env: env}).Fails(t, 65, "this is no whole export: no node;")
			env["RESOURCES"] = "persistentvolumes"
			w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Env: env}).Fails(t, 65, "no node", "no namespace "+w.namespace)
		}
		// The version of the server belongs to the export.
		image := beforeKubectl(t, `case " $* " in *' /version '*) ;; *) kubectl "$@" ;; esac`)
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Image: image}).Fails(t, 65, "no version of the server")
		o := harness.Options{Kubeconfig: w.account(t, unit, true), Input: []byte(`{"apiVersion":"v1","kind":"List","items":[]}`)}
		w.instance.Restore(t, unit, o).Fails(t, 65, "the export holds none of these objects")
	})
	w.apply(t, class, `{"apiVersion":"v1","kind":"Node","metadata":{"cluster":true,"name":"node-1"}}`)
	t.Cleanup(func() { w.cluster.Kubectl(t, "delete", "storageclass/"+storage, "node/node-1", "--ignore-not-found") })
	role := w.role(t, "ClusterRole", unit, false)
	var dump []byte

	for _, shell := range []string{"ash", "dash"} {
		t.Run("dump/"+shell, func(t *testing.T) {
			dump = w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Image: harness.Image{Shell: shell}}).OK(t).Stdout
			got := map[string]map[string]any{}
			for name, object := range copied(t, dump) {
				got[name] = bare(object)
			}
			want := map[string]map[string]any{}
			for _, g := range grants(t, role) {
				maps.Copy(want, w.objects(t, g.nameOf()))
			}
			same(t, got, want)
			// Those of the tests before, if they went away in between.
			maps.DeleteFunc(got, func(name string, _ map[string]any) bool {
				return strings.HasPrefix(name, "Namespace/") && want[name] == nil
			})
			if len(got) != len(want) {
				t.Errorf("%d objects of %d are copied", len(got), len(want))
			}
			var top struct {
				Skipped       []any
				ServerVersion struct{ GitVersion string }
			}
			if err := json.NewDecoder(bytes.NewReader(dump)).Decode(&top); err != nil || top.ServerVersion.GitVersion == "" || len(top.Skipped) > 0 {
				t.Errorf("%+v, %v", top, err)
			}
		})
	}
	t.Run("dump/rights", func(t *testing.T) {
		for _, g := range grants(t, role) {
			if g.verb != "list" {
				t.Errorf("%s is more than a dump needs", g)
			}
		}
		// Nothing else is in reach.
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Env: map[string]string{"RESOURCES": "configmaps"}}).Fails(t, 70, "Forbidden")
	})
	w.failures(t, unit, "nodes", role)
	t.Run("failure/wrong namespace", func(t *testing.T) {
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Env: map[string]string{"EXPECT_NAMESPACE": "no-such-namespace"}}).Fails(t, 65, "no namespace no-such-namespace")
	})
	t.Run("failure/hostile names", func(t *testing.T) {
		for _, name := range hostileNames {
			w.instance.Dump(t, unit, harness.Options{Kubeconfig: config, Env: map[string]string{"EXPECT_NAMESPACE": name}}).Fails(t, 65, "no namespace")
			r := w.instance.Dump(t, unit, harness.Options{Kubeconfig: w.cluster.Kubeconfig, Env: map[string]string{"RESOURCES": "nodes\n" + name}})
			if r.Code == 0 || len(r.Stdout) > 0 {
				t.Errorf("the resource %q gave a dump", name)
			}
		}
	})
	t.Run("allowed empty", func(t *testing.T) {
		harness.NotApplicable(t, "the export runs on a node and in a namespace of the cluster, so none is empty")
	})
	t.Run("failure/volumes", func(t *testing.T) {
		env := map[string]string{"RESOURCES": "nodes\nnamespaces\npersistentvolumes\npersistentvolumeclaims"}
		w.apply(t, `{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"bound"},"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":"none","resources":{"requests":{"storage":"1Gi"}}}}`)
		w.cluster.Kubectl(t, "patch", "persistentvolumeclaim", "bound", "--namespace="+w.namespace, "--subresource=status", "--type=merge", "--patch", `{"status":{"phase":"Bound"}}`)
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: w.cluster.Kubeconfig, Env: env}).Fails(t, 65, "fewer volumes than bound claims")
	})
	t.Run("failure/no K8up", func(t *testing.T) {
		w.cluster.Kubectl(t, "delete", "crd", "schedules.k8up.io")
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: config}).Fails(t, 65, "no CRD schedules.k8up.io")
		w.crd(t)
	})

	// Change and destroy.
	restorer := w.account(t, unit, true)
	options := func(env ...string) harness.Options {
		o := harness.Options{Kubeconfig: restorer, Input: dump, Env: map[string]string{}}
		for n := 0; n < len(env); n += 2 {
			o.Env[env[n]] = env[n+1]
		}
		return o
	}
	t.Run("restore/nothing differs", func(t *testing.T) {
		r := w.instance.Restore(t, unit, options("HOLDFAST_ONLY", "StorageClass\nNode\nIngressClass/none"))
		r.Fails(t, 65, "not in the export: IngressClass/none")
		r = w.instance.Restore(t, unit, options("HOLDFAST_ONLY", "StorageClass\nNode")).OK(t)
		if len(r.Stdout) > 0 {
			t.Errorf("it found\n%s", r.Stdout)
		}
	})
	w.apply(t, strings.Replace(strings.Replace(class, "$(id)", "other", 1), `"Retain"`, `"Retain","allowVolumeExpansion":true`, 1))
	w.cluster.Kubectl(t, "delete", "node", "node-1")
	t.Run("restore/compare", func(t *testing.T) {
		r := w.instance.Restore(t, unit, options("HOLDFAST_ONLY", "StorageClass/"+storage+"\nNode")).OK(t)
		for _, line := range []string{"--- export: StorageClass/" + storage, "+++ live: StorageClass/" + storage, `+  "allowVolumeExpansion": true`, `$(id) 'x'`, "--- export: Node/node-1"} {
			if !bytes.Contains(r.Stdout, []byte(line)) {
				t.Errorf("it does not show %q:\n%s", line, r.Stdout)
			}
		}
		if _, err := w.cluster.TryKubectl("get", "node", "node-1"); err == nil {
			t.Error("it was applied")
		}
		// Everything, with the rights that it has.
		w.instance.Restore(t, unit, options()).OK(t)
	})
	t.Run("restore/rights", func(t *testing.T) {
		role := w.role(t, "ClusterRole", unit, true)
		for _, g := range grants(t, role) {
			if g.verb != "get" {
				t.Errorf("%s is more than comparing needs", g)
			}
		}
		w.without(t, role, grant{"storage.k8s.io", "storageclasses", "get"}, func() {
			w.instance.Restore(t, unit, options("HOLDFAST_ONLY", "StorageClass/"+storage)).Fails(t, 70, "StorageClass/"+storage+": cannot be compared", "orbidden")
		})
		w.instance.Restore(t, unit, options("HOLDFAST_APPLY", "StorageClass/"+storage)).Fails(t, 70, "applying StorageClass/"+storage, "orbidden")
	})
	t.Run("restore/apply", func(t *testing.T) {
		// For the occasion somebody gives the right.
		o := options("HOLDFAST_APPLY", "Node/node-1")
		o.Kubeconfig = w.cluster.Kubeconfig
		w.instance.Restore(t, unit, o).OK(t)
		w.cluster.Kubectl(t, "get", "node", "node-1")
		if got := w.cluster.Kubectl(t, "get", "storageclass", storage, "--output=jsonpath={.allowVolumeExpansion}"); got != "true" {
			t.Error("more was applied than asked for")
		}
	})
	t.Run("failure/restore of a broken dump", func(t *testing.T) {
		for _, input := range []string{"", string(dump[:len(dump)/2]), `{"kind":"Node"}`, `{"kind":"List","items":[]}`} {
			o := options()
			o.Input = []byte(input)
			w.instance.Restore(t, unit, o).Fails(t, 65)
		}
	})
	t.Run("failure/restore without the API server", func(t *testing.T) {
		api, through := newGate(t, restorer)
		api.close()
		o := options()
		o.Kubeconfig = through
		w.instance.Restore(t, unit, o).Fails(t, 70)
	})
}
