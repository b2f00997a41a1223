package e2e_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

// wholeData says that data sets are to be tried at their full size.
func wholeData() bool { return os.Getenv("HOLDFAST_DATA") == "whole" }

// moduleObjects are the objects in files of a Go module that the set-up fetches.
func moduleObjects(t testing.TB, patterns ...string) []map[string]any {
	t.Helper()
	var objects []map[string]any
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join("..", ".cache", "e2e", "data", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no file %s: run e2e/setup.sh: %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for document := range strings.SplitSeq(string(data), "\n---\n") {
				var object map[string]any
				if err := yaml.Unmarshal([]byte(document), &object); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				if object["kind"] != nil && object["metadata"] != nil {
					objects = append(objects, object)
				}
			}
		}
	}
	return objects
}

// newObjects is a world in which both exports are on, with all of cert-manager's and
// K8up's types.
func newObjects(t *testing.T) *world {
	t.Helper()
	return newWorld(t, map[string]any{
		"exportSecrets": true, "exportNamespaceYaml": true, "exportClusterScoped": false,
		"extraResources": []any{
			"cert-manager.io/certificaterequests", "acme.cert-manager.io/challenges", "acme.cert-manager.io/orders",
			"k8up.io/archives", "k8up.io/backups", "k8up.io/checks", "k8up.io/prunes", "k8up.io/restores", "k8up.io/snapshots",
		},
		"reasons": map[string]any{"exportClusterScoped": "another test shows that"},
	})
}

// peaks measures what the programs of a container need, until it is called: the most
// that any of one name had at once.
func peaks(namespace string) (stop func() map[string]int64) {
	most, end, ended := map[string]int64{}, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			processes, err := filepath.Glob("/proc/[0-9]*")
			for _, process := range processes {
				name, err := os.ReadFile(process + "/comm")
				// Only what may be large.
				if program := strings.TrimSpace(string(name)); err == nil && slices.Contains([]string{"kubectl", "jq", "awk", "sh", "busybox"}, program) {
					environ, err := os.ReadFile(process + "/environ")
					if err != nil || !bytes.Contains(environ, []byte("HOLDFAST_NAMESPACE="+namespace+"\x00")) {
						continue
					}
					status, err := os.ReadFile(process + "/status")
					if err != nil {
						continue
					}
					for line := range strings.Lines(string(status)) {
						if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
							kib, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
							if err == nil {
								most[program] = max(most[program], kib<<10)
							}
						}
					}
				}
			}
			select {
			case <-end:
				return
			case <-time.After(5 * time.Millisecond):
			}
			if err != nil {
				return
			}
		}
	}()
	return func() map[string]int64 {
		close(end)
		<-ended
		return most
	}
}

// fits fails the test if the programs of a container, all at their largest together,
// would not have had room in the memory that is rendered for it.
func fits(t *testing.T, what string, limit int64, most map[string]int64, took time.Duration) {
	t.Helper()
	var sum int64
	for _, bytes := range most {
		sum += bytes
	}
	t.Logf("%s: %d MiB of %d, in %s: %v", what, sum>>20, limit>>20, took, most)
	if sum == 0 || sum > limit {
		t.Errorf("%s took %d bytes, and its pod has %d", what, sum, limit)
	}
}

// post creates objects, several at once.
func (w *world) post(t *testing.T, path string, objects []map[string]any) {
	t.Helper()
	api := newAPI(t, w.cluster.Kubeconfig)
	var running sync.WaitGroup
	failures := make([]error, len(objects))
	turn := make(chan struct{}, 4)
	for i, object := range objects {
		running.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			data, err := json.Marshal(object)
			if err != nil {
				failures[i] = err
				return
			}
			status, answer, err := api.do(http.MethodPost, path, "application/json", data)
			if err == nil && status != http.StatusCreated {
				err = fmt.Errorf("%d: %.300s", status, answer)
			}
			failures[i] = err
		})
	}
	running.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
}

// helmRelease is a Secret as Helm stores a release (helm/helm v3.18.6,
// pkg/storage/driver: secrets.go and util.go): JSON, gzip, base64, and base64 again
// as every Secret's. Of "size" bytes, before the last.
func helmRelease(t testing.TB, n, size int) map[string]any {
	t.Helper()
	// Templates are text, and gzip makes a third of text.
	manifest := base64.StdEncoding.EncodeToString([]byte(noise(size * 3 / 4)))
	release, err := json.Marshal(map[string]any{
		"name": "shop", "version": n, "namespace": "app", "manifest": manifest,
		"info":  map[string]any{"first_deployed": "2026-01-01T00:00:00Z", "status": "superseded", "notes": "Größe \"x\"\n"},
		"chart": map[string]any{"metadata": map[string]any{"name": "shop", "version": fmt.Sprint("1.0.", n), "apiVersion": "v2"}, "templates": []any{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, err = z.Write(release)
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprint("sh.helm.release.v1.shop.v", n)
	return map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
		"metadata": map[string]any{"name": name, "labels": map[string]any{"name": "shop", "owner": "helm", "status": "superseded", "version": strconv.Itoa(n)}},
		"data":     map[string]any{"release": []byte(base64.StdEncoding.EncodeToString(packed.Bytes()))},
	}
}

// TestDataHelm is the history of a namespace with large charts: 150 releases of
// 400 KiB, within the memory that is rendered, for the dump and for the restore.
func TestDataHelm(t *testing.T) {
	const unit = "kubernetes-secrets/application"
	w := newWorld(t, map[string]any{
		"exportSecrets": true, "exportNamespaceYaml": false, "exportClusterScoped": false,
		"reasons": map[string]any{"exportNamespaceYaml": "another test shows that", "exportClusterScoped": "another test shows that"},
	})
	releases := 45
	if wholeData() {
		releases = 150
	}
	var secrets []map[string]any
	for n := range releases {
		secrets = append(secrets, helmRelease(t, n+1, 400<<10))
	}
	w.post(t, "/api/v1/namespaces/"+w.namespace+"/secrets", secrets)
	limit := int64(256 << 20)
	stop := peaks(w.namespace)
	r := w.instance.Dump(t, unit, harness.Options{Kubeconfig: w.account(t, unit, false)}).OK(t)
	fits(t, fmt.Sprintf("dump of %d releases, %d bytes", releases, len(r.Stdout)), limit, stop(), r.Took)
	before := w.objects(t, "secrets")
	if len(before) != releases {
		t.Fatalf("there are %d Secrets, not %d", len(before), releases)
	}
	// A few are gone, one is another.
	gone := []string{"sh.helm.release.v1.shop.v1", "sh.helm.release.v1.shop.v20", fmt.Sprint("sh.helm.release.v1.shop.v", releases)}
	w.cluster.Kubectl(t, append([]string{"delete", "secret", "--namespace=" + w.namespace}, gone...)...)
	w.cluster.Kubectl(t, "label", "secret", "sh.helm.release.v1.shop.v7", "--namespace="+w.namespace, "status=deployed", "--overwrite")
	restorer := w.account(t, unit, true)
	stop = peaks(w.namespace)
	result := w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: r.Stdout})
	result.Fails(t, 65, "1 items of the copy did not come back", "sh.helm.release.v1.shop.v7: what is there differs in .metadata.labels.status", fmt.Sprintf("3 created, 0 replaced, %d the same", releases-4))
	fits(t, fmt.Sprintf("restore of %d releases", releases), limit, stop(), result.Took)
	w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: r.Stdout, Env: map[string]string{
		"HOLDFAST_OVERWRITE": "yes", "HOLDFAST_ONLY": strings.Join(append(gone, "sh.helm.release.v1.shop.v7"), "\n")}}).OK(t)
	same(t, w.objects(t, "secrets"), before)
	t.Run("failure/scratch", func(t *testing.T) {
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: w.account(t, unit, false), Scratch: "12Mi"}).Fails(t, 73, "is full")
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: w.account(t, unit, false), Env: map[string]string{"HOLDFAST_FILE_BYTES": "12582912"}}).Fails(t, 73, "raise scratch for this unit")
	})
}

// TestDataMany is a namespace with many objects, and with some of a megabyte.
func TestDataMany(t *testing.T) {
	const unit = "namespace-manifests/application"
	w := newWorld(t, map[string]any{
		"exportSecrets": false, "exportNamespaceYaml": true, "exportClusterScoped": false,
		"reasons": map[string]any{"exportSecrets": "another test shows that", "exportClusterScoped": "another test shows that"},
	})
	small, large := 300, 60
	if wholeData() {
		small, large = 5000, 150
	}
	var all []map[string]any
	for n := range small + large {
		value := fmt.Sprint("value ", n)
		if n < large {
			value = base64.StdEncoding.EncodeToString([]byte(noise(760 << 10)))
		}
		all = append(all, map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": fmt.Sprint("c", n), "labels": map[string]any{"n": strconv.Itoa(n)}},
			"data": map[string]any{"value": value},
		})
	}
	w.post(t, "/api/v1/namespaces/"+w.namespace+"/configmaps", all)
	limit := int64(512 << 20)
	stop := peaks(w.namespace)
	r := w.instance.Dump(t, unit, harness.Options{Kubeconfig: w.account(t, unit, false)}).OK(t)
	fits(t, fmt.Sprintf("dump of %d ConfigMaps, %d of them of a megabyte, %d bytes", len(all), large, len(r.Stdout)), limit, stop(), r.Took)
	if got := copied(t, r.Stdout); len(got) < len(all) {
		t.Errorf("%d objects are copied, fewer than %d", len(got), len(all))
	}
	// Asked by name, for each object takes its time.
	w.cluster.Kubectl(t, "delete", "configmap", "c0", "c100", "--namespace="+w.namespace)
	stop = peaks(w.namespace)
	result := w.instance.Restore(t, unit, harness.Options{Kubeconfig: w.account(t, unit, true), Input: r.Stdout, Env: map[string]string{"HOLDFAST_ONLY": "ConfigMap/c0\nConfigMap/c100\nConfigMap/c1"}}).OK(t)
	fits(t, "restore of three", limit, stop(), result.Took)
	if !strings.Contains(result.Stderr, "2 applied, 1 the same, 0 failed") {
		t.Errorf("it said:\n%s", result.Stderr)
	}
	// A list whose server forgets where it was is no list.
	t.Run("failure/expired", func(t *testing.T) {
		through := front(t, w.account(t, unit, false), func(r *http.Response) error {
			if !r.Request.URL.Query().Has("continue") || !strings.HasSuffix(r.Request.URL.Path, "/configmaps") {
				return nil
			}
			body := []byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410,"message":"The provided continue parameter is too old"}`)
			r.StatusCode, r.Status, r.ContentLength, r.Body = http.StatusGone, "410 Gone", int64(len(body)), io.NopCloser(bytes.NewReader(body))
			r.Header.Set("Content-Length", strconv.Itoa(len(body)))
			return nil
		})
		w.instance.Dump(t, unit, harness.Options{Kubeconfig: through}).Fails(t, 70, "listing configmaps", "too old")
	})
}

// TestDataObjects is what others wrote as examples of their objects, and what makes
// objects hard to bring back.
func TestDataObjects(t *testing.T) {
	const unit, secretsUnit = "namespace-manifests/application", "kubernetes-secrets/application"
	w := newObjects(t)
	crds := moduleObjects(t, "cert-manager/deploy/crds/*.yaml", "k8up/config/crd/apiextensions.k8s.io/v1/*.yaml")
	var names []string
	for _, crd := range crds {
		names = append(names, fmt.Sprint("crd/", crd["metadata"].(map[string]any)["name"]))
	}
	// Another test has a CRD of one of the names, and others expect to see none.
	clear := func() { w.cluster.Kubectl(t, append([]string{"delete", "--ignore-not-found"}, names...)...) }
	clear()
	defer clear()
	w.cluster.Apply(t, crds...)
	w.cluster.Kubectl(t, append([]string{"wait", "--for=condition=Established", "--timeout=60s"}, names...)...)
	samples := moduleObjects(t, "cert-manager/test/fixtures/cert-manager-resources.yaml", "k8up/config/samples/*.yaml")
	var texts []string
	for _, sample := range samples {
		if sample["kind"] == "Kustomization" {
			continue
		}
		if spec, ok := sample["spec"].(map[string]any); ok && sample["kind"] == "Archive" {
			// Of before it moved into the backend; the API server refuses it.
			delete(spec, "repoPasswordSecretRef")
		}
		data, err := json.Marshal(sample)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(data))
	}
	w.apply(t, texts...)
	uid := w.cluster.Kubectl(t, "get", "certificate", "test1", "--namespace="+w.namespace, "--output=jsonpath={.metadata.uid}")
	owner := fmt.Sprintf(`[{"apiVersion":"cert-manager.io/v1","kind":"Certificate","name":"test1","uid":%q}]`, uid)
	w.apply(t,
		`{"apiVersion":"v1","kind":"ConfigMap","immutable":true,"metadata":{"name":"fixed","annotations":{"example.org/own":"größe"}},"data":{"a":"b"}}`,
		fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"megabyte"},"data":{"value":%q}}`, strings.Repeat("größe, 18 bytes\n", 57000)),
		`{"apiVersion":"v1","kind":"Secret","immutable":true,"type":"example.org/fixed","metadata":{"name":"fixed"},"data":{"a":"Zml4ZWQtdmFsdWU="}}`,
		fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","type":"kubernetes.io/tls","metadata":{"name":"test1","ownerReferences":%s},"data":{"tls.crt":"Y2VydGlmaWNhdGU=","tls.key":"cHJpdmF0ZS1rZXk="}}`, owner),
		`{"apiVersion":"acme.cert-manager.io/v1","kind":"Challenge","metadata":{"name":"final","finalizers":["acme.cert-manager.io/finalizer"]},"spec":{"authorizationURL":"https://acme.example.test/a","dnsName":"example.com","issuerRef":{"name":"selfsigned-issuer"},"key":"k","solver":{"http01":{"ingress":{}}},"token":"t","type":"HTTP-01","url":"https://acme.example.test/c"}}`,
	)
	kinds := []string{
		"configmaps", "certificates.cert-manager.io", "issuers.cert-manager.io", "challenges.acme.cert-manager.io", "schedules.k8up.io", "prebackuppods.k8up.io",
		"archives.k8up.io", "backups.k8up.io", "checks.k8up.io", "prunes.k8up.io", "restores.k8up.io", "snapshots.k8up.io",
	}
	before, secretsBefore := w.objects(t, kinds...), w.objects(t, "secrets")
	dump := w.instance.Dump(t, unit, harness.Options{Kubeconfig: w.account(t, unit, false)}).OK(t).Stdout
	secrets := w.instance.Dump(t, secretsUnit, harness.Options{Kubeconfig: w.account(t, secretsUnit, false)}).OK(t).Stdout
	got := map[string]map[string]any{}
	for name, object := range copied(t, dump) {
		if before[name] != nil {
			got[name] = bare(object)
		}
	}
	same(t, got, before)

	// Destroyed; the finalizer keeps one.
	working := []string{}
	for name := range before {
		kind, _, _ := strings.Cut(name, "/")
		if slices.Contains([]string{"Archive", "Backup", "Check", "Prune", "Restore", "Snapshot"}, kind) {
			working = append(working, name)
		}
	}
	slices.Sort(working)
	ours := func(object map[string]any) bool {
		labels, _ := object["metadata"].(map[string]any)["labels"].(map[string]any)
		return labels["app.kubernetes.io/managed-by"] == "holdfast" || object["metadata"].(map[string]any)["name"] == "kube-root-ca.crt"
	}
	for name, object := range before {
		if kind, object2, _ := strings.Cut(name, "/"); !ours(object) {
			api, _, _ := strings.Cut(fmt.Sprint(object["apiVersion"]), "/")
			resource := strings.ToLower(kind)
			if api != "v1" {
				resource += "." + api
			}
			w.cluster.Kubectl(t, "delete", "--namespace="+w.namespace, resource, object2, "--wait=false")
		}
	}
	for name, object := range secretsBefore {
		if !ours(object) {
			w.cluster.Kubectl(t, "delete", "--namespace="+w.namespace, "secret", strings.TrimPrefix(name, "Secret/"), "--ignore-not-found")
		}
	}
	restorer := w.account(t, unit, true)
	o := harness.Options{Kubeconfig: restorer, Input: dump, Image: harness.Image{Shell: "ash"}}
	w.instance.Restore(t, unit, o).Fails(t, 65, "1 items of the copy did not come back", "Challenge/final: it is being deleted since", "waits for acme.cert-manager.io/finalizer", "let it go, then restore again",
		"not started again, for HOLDFAST_ONLY does not name them: ", working[0])
	// To write over it would not keep it either.
	o.Image.Shell, o.Env = "dash", map[string]string{"HOLDFAST_OVERWRITE": "yes", "HOLDFAST_ONLY": "Challenge/final"}
	w.instance.Restore(t, unit, o).Fails(t, 65, "Challenge/final: it is being deleted since")
	o.Env = map[string]string{"HOLDFAST_LEAVE_OUT": "Challenge/*"}
	if r := w.instance.Restore(t, unit, o).OK(t); !strings.Contains(r.Stderr, "1 items were left out, as the request says:\n  Challenge/final") {
		t.Errorf("it said:\n%s", r.Stderr)
	}
	w.cluster.Kubectl(t, "patch", "challenge", "final", "--namespace="+w.namespace, "--type=merge", "--patch", `{"metadata":{"finalizers":null}}`)
	w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: dump}).OK(t)
	w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: dump, Env: map[string]string{"HOLDFAST_ONLY": strings.Join(working, "\n")}}).OK(t)
	same(t, w.objects(t, kinds...), before)
	w.instance.Restore(t, secretsUnit, harness.Options{Kubeconfig: w.account(t, secretsUnit, true), Input: secrets}).OK(t)
	same(t, w.objects(t, "secrets"), secretsBefore)

	t.Run("failure/differs", func(t *testing.T) {
		w.cluster.Kubectl(t, "patch", "certificate", "test2", "--namespace="+w.namespace, "--type=merge", "--patch", `{"spec":{"dnsNames":["other.example.com"],"secretName":"other"}}`)
		w.cluster.Kubectl(t, "label", "issuer", "selfsigned-issuer", "--namespace="+w.namespace, "test-")
		// What only the live one has is no difference, nor what tools note on objects.
		w.cluster.Kubectl(t, "annotate", "certificate", "test1", "--namespace="+w.namespace, "example.org/more=x", "kubectl.kubernetes.io/last-applied-configuration={}")
		o := harness.Options{Kubeconfig: restorer, Input: dump}
		w.instance.Restore(t, unit, o).Fails(t, 65, "2 items of the copy did not come back", "HOLDFAST_OVERWRITE=yes",
			"Certificate/test2: what is there differs in .spec.dnsNames[0], .spec.secretName", "Issuer/selfsigned-issuer: what is there differs in .metadata.labels.test", "Certificate/test1: exists, the same")
		o.Env = map[string]string{"HOLDFAST_LEAVE_OUT": "Certificate/test2\nIssuer/*"}
		w.instance.Restore(t, unit, o).OK(t)
		o.Env = map[string]string{"HOLDFAST_OVERWRITE": "yes", "HOLDFAST_ONLY": "Certificate/test2\nIssuer/selfsigned-issuer"}
		w.instance.Restore(t, unit, o).OK(t)
		same(t, w.objects(t, kinds...), before, "Certificate/test2", "Issuer/selfsigned-issuer")
	})
	t.Run("failure/changed by the server", func(t *testing.T) {
		// A server that knows less, behind one that says that all is well.
		w.cluster.Kubectl(t, "delete", "configmap", "fixed", "--namespace="+w.namespace)
		image := beforeKubectl(t, `case " $* " in *' apply '*) kubectl "$@" | sed 's/größe//' ;; *) kubectl "$@" ;; esac`)
		w.instance.Restore(t, unit, harness.Options{Kubeconfig: restorer, Input: dump, Image: image, Env: map[string]string{"HOLDFAST_ONLY": "ConfigMap/fixed"}}).
			Fails(t, 65, "ConfigMap/fixed: it was applied, and what came of it differs in .metadata.annotations.example.org/own")
	})
	t.Run("failure/a Secret is being deleted", func(t *testing.T) {
		w.cluster.Kubectl(t, "patch", "secret", "test1", "--namespace="+w.namespace, "--type=merge", "--patch", `{"metadata":{"finalizers":["example.org/held"]}}`)
		w.cluster.Kubectl(t, "delete", "secret", "test1", "--namespace="+w.namespace, "--wait=false")
		w.instance.Restore(t, secretsUnit, harness.Options{Kubeconfig: w.account(t, secretsUnit, true), Input: secrets}).
			Fails(t, 65, "1 items of the copy did not come back", "test1: it is being deleted since", "waits for example.org/held")
		w.cluster.Kubectl(t, "patch", "secret", "test1", "--namespace="+w.namespace, "--type=merge", "--patch", `{"metadata":{"finalizers":null}}`)
	})
}
