package e2e_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

const (
	vaultUnit     = "secrets-manager/kv"
	vaultPassword = `sm's "password" $(id) \ ü`
)

// manager is a HashiCorp Vault in the place of the Secrets Manager.
type manager struct {
	address, caPEM string
	server         *harness.Server
	client         *http.Client
}

// newManager starts a Vault with TLS and userpass.
func newManager(t *testing.T) *manager {
	t.Helper()
	dir := harness.Folder(t, 0)
	address := fmt.Sprintf("127.0.0.1:%d", harness.Port(t))
	m := &manager{address: "https://" + address}
	m.server = harness.Serve(t, "vault", []string{
		"vault", "server", "-dev", "-dev-tls", "-dev-tls-cert-dir=" + dir, "-dev-no-store-token",
		"-dev-root-token-id=root-of-the-test", "-dev-listen-address=" + address, "-log-level=warn",
	}, harness.ServeOptions{
		Dir: dir, Env: []string{"PATH=/usr/bin:/bin", "HOME=" + dir},
		Ready: func() error {
			pem, err := os.ReadFile(filepath.Join(dir, "vault-ca.pem"))
			if err != nil {
				return err
			}
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(pem)
			m.caPEM = string(pem)
			m.client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
			answer, err := m.client.Get(m.address + "/v1/sys/health")
			if err != nil {
				return err
			}
			defer answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				return fmt.Errorf("health: %s", answer.Status)
			}
			return nil
		},
	})
	m.call(t, "POST", "sys/auth/userpass", map[string]any{"type": "userpass"})
	return m
}

// url is where the API has that path, which is not encoded.
func (m *manager) url(path string) string {
	segments := strings.Split(path, "/")
	for n := range segments {
		segments[n] = url.PathEscape(segments[n])
	}
	return m.address + "/v1/" + strings.Join(segments, "/")
}

// call sends a request as root; the path is not encoded.
func (m *manager) call(t *testing.T, method, path string, body any, query ...string) map[string]any {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest(method, m.url(path)+"?"+strings.Join(query, "&"), bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Vault-Token", "root-of-the-test")
	answer, err := m.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode >= 300 {
		t.Fatalf("%s %s: %s: %s", method, path, answer.Status, text)
	}
	var value map[string]any
	if len(text) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	return value
}

// mount makes an empty store whose name is a UUID, as STACKIT's are.
func (m *manager) mount(t *testing.T) string {
	t.Helper()
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	name := fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	m.mountAt(t, name)
	return name
}

// mountAt makes an empty store of that name.
func (m *manager) mountAt(t *testing.T, name string) {
	t.Helper()
	m.call(t, "POST", "sys/mounts/"+name, map[string]any{"type": "kv", "options": map[string]any{"version": "2"}})
	harness.WaitFor(t, "the store is made", 20*time.Second, func() error {
		request, err := http.NewRequest("GET", m.url(name+"/config"), nil)
		if err != nil {
			return err
		}
		request.Header.Set("X-Vault-Token", "root-of-the-test")
		answer, err := m.client.Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("config: %s", answer.Status)
		}
		return nil
	})
}

// user makes a user with a policy: paths and what is allowed on them.
func (m *manager) user(t *testing.T, name, ttl string, rules map[string][]string) {
	t.Helper()
	var policy strings.Builder
	for _, path := range slices.Sorted(maps.Keys(rules)) {
		fmt.Fprintf(&policy, "path %q { capabilities = [\"%s\"] }\n", path, strings.Join(rules[path], `", "`))
	}
	m.call(t, "POST", "sys/policies/acl/"+name, map[string]any{"policy": policy.String()})
	m.call(t, "POST", "auth/userpass/users/"+name, map[string]any{"password": vaultPassword, "token_policies": name, "token_ttl": ttl})
}

func readOnly(mount string) map[string][]string {
	return map[string][]string{mount + "/data/*": {"read"}, mount + "/metadata/*": {"read", "list"}, mount + "/config": {"read"}}
}

func writer(mount string) map[string][]string {
	return map[string][]string{
		mount + "/data/*": {"create", "update", "read"}, mount + "/metadata/*": {"create", "update", "read", "list"},
		mount + "/config": {"read", "update"}, mount + "/delete/*": {"update"},
	}
}

func (m *manager) put(t *testing.T, mount, path string, data map[string]any) {
	t.Helper()
	m.call(t, "POST", mount+"/data/"+path, map[string]any{"data": data})
}

// instance renders the store; more are further or other keys of the state's
// section.
func (m *manager) instance(t *testing.T, mount, user string, more map[string]any) *harness.Instance {
	t.Helper()
	section := map[string]any{"address": m.address, "mount": mount, "kvVersion": 2, "backup": "required"}
	maps.Copy(section, more)
	login := map[string]any{"address": section["address"], "mount": mount, "username": user, "password": vaultPassword, "caPem": m.caPEM}
	return harness.Render(t, harness.Inputs{
		State:       map[string]any{"secretsManager": section},
		Credentials: map[string]any{"secretsManager": login},
	})
}

// k8upWith is K8up's image, with every lock free, and what the environment says. No
// program is given a secret as an argument.
func k8upWith(t *testing.T, shell string, env map[string]string) harness.Options {
	t.Helper()
	return harness.Options{Image: execImage(t, shell, harness.Kubectl(t, harness.KubectlOptions{FreeLocks: true})), Env: env, Watch: true}
}

// oddNames are names of secrets that a URL, a shell or a walk could spoil.
var oddNames = []string{
	"master-password", "with blank", "ümläut/日本", "per%cent", "per%2Fcent", "plus+and&", "question?mark", "hash#tag", "colon:semi;",
	`quote'"`, "$(id)`id`$HOME", "-rf", "--", `back\slash`, "star*[a]{b}", "a/b/c/d/e/f", "dot.", "=", "@file", "~", "deep", "deep/leaf", "deep/leaf/too",
	"list", "data", "metadata", "two\nlines",
}

// fillStore puts secrets of every sort below "app/", and some beside it.
func (m *manager) fillStore(t *testing.T, mount string) {
	t.Helper()
	for n, name := range oddNames {
		if strings.Contains(name, "\n") {
			continue // Vault refuses control characters itself
		}
		m.put(t, mount, "app/"+name, map[string]any{
			"value": fmt.Sprintf("secret %d ü \"'$(id)\n\ttab \\ \u0001", n), "key with blank": "", "": "empty name", "ключ": "日本",
			"number": 9007199254740991, "nested": map[string]any{"list": []any{1.5, nil, true, "x"}}, "null": nil,
		})
	}
	m.put(t, mount, "app/large", map[string]any{"value": strings.Repeat("0123456789abcdef", 20000)})
	m.put(t, mount, "app/no-values", map[string]any{})
	m.put(t, mount, "app/versions", map[string]any{"value": "first"})
	m.put(t, mount, "app/versions", map[string]any{"value": "second"})
	m.call(t, "POST", mount+"/metadata/app/versions", map[string]any{"custom_metadata": map[string]any{"owner": "e2e ü"}, "max_versions": 5})
	m.put(t, mount, "app/deleted", map[string]any{"value": "gone"})
	m.call(t, "DELETE", mount+"/data/app/deleted", nil)
	m.put(t, mount, "app/destroyed", map[string]any{"value": "gone"})
	m.call(t, "PUT", mount+"/destroy/app/destroyed", map[string]any{"versions": []int{1}})
	m.call(t, "POST", mount+"/metadata/app/only-metadata", map[string]any{"custom_metadata": map[string]any{"a": "b"}})
	m.call(t, "POST", mount+"/metadata/app/settings", map[string]any{
		"cas_required": true, "max_versions": 3, "delete_version_after": "48h0m0s", "custom_metadata": map[string]any{"owner": "e2e"},
	})
	m.call(t, "POST", mount+"/data/app/settings", map[string]any{"options": map[string]any{"cas": 0}, "data": map[string]any{"value": "with settings"}})
	for _, value := range []string{"first", "lives", "is deleted"} {
		m.put(t, mount, "app/older-lives", map[string]any{"value": value})
	}
	m.call(t, "DELETE", mount+"/data/app/older-lives", nil)
	for _, value := range []string{"lives", "is deleted", "is destroyed"} {
		m.put(t, mount, "app/oldest-lives", map[string]any{"value": value})
	}
	m.call(t, "POST", mount+"/delete/app/oldest-lives", map[string]any{"versions": []int{2}})
	m.call(t, "PUT", mount+"/destroy/app/oldest-lives", map[string]any{"versions": []int{3}})
	m.put(t, mount, "beside/it", map[string]any{"value": "not below the prefix"})
}

// settings are those of a path or a mount, with what they are where none was made.
func settings(metadata map[string]any) string {
	value := func(name, none string) string {
		if metadata[name] == nil {
			return none
		}
		return fmt.Sprint(metadata[name])
	}
	return fmt.Sprint(value("cas_required", "false"), value("max_versions", "0"), value("delete_version_after", "0s"), value("custom_metadata", "map[]"))
}

// secretsOf is the dump's map of secrets.
func secretsOf(t *testing.T, dump []byte) map[string]map[string]any {
	t.Helper()
	var document struct {
		Count   int                       `json:"count"`
		Secrets map[string]map[string]any `json:"secrets"`
	}
	decoder := json.NewDecoder(bytes.NewReader(dump))
	decoder.UseNumber()
	if err := decoder.Decode(&document); err != nil {
		t.Fatalf("the dump is no JSON: %v", err)
	}
	count := 0
	for _, s := range document.Secrets {
		if s["data"] != nil {
			count++
		}
	}
	if count != document.Count {
		t.Errorf("the dump says %d secrets with a value and has %d", document.Count, count)
	}
	return document.Secrets
}

// compare reads every secret of the dump from the store.
func (m *manager) compare(t *testing.T, mount string, dump []byte) {
	t.Helper()
	for path, secret := range secretsOf(t, dump) {
		kept := secret["metadata"].(map[string]any)
		metadata := m.call(t, "GET", mount+"/metadata/"+path, nil)["data"].(map[string]any)
		if got, want := settings(metadata), settings(kept); got != want {
			t.Errorf("%q has the settings %s, not %s", path, got, want)
		}
		if secret["data"] == nil {
			if m.alive(t, metadata) != 0 {
				t.Errorf("%q has a value", path)
			}
			continue
		}
		version := m.alive(t, metadata)
		if deleted := fmt.Sprint(version) != fmt.Sprint(metadata["current_version"]); deleted != (secret["deleted"] == true) {
			t.Errorf("%q: it is %t that the latest version is deleted", path, deleted)
		}
		if answer := m.call(t, "GET", fmt.Sprintf("%s/data/%s", mount, path), map[string]any{}, fmt.Sprintf("version=%d", version)); !reflect.DeepEqual(answer["data"].(map[string]any)["data"], secret["data"]) {
			t.Errorf("%q is %v, not %v", path, answer["data"], secret["data"])
		}
	}
}

// alive is the latest version that can be read; 0 if there is none.
func (m *manager) alive(t *testing.T, metadata map[string]any) int {
	t.Helper()
	latest := 0
	versions, _ := metadata["versions"].(map[string]any)
	for name, version := range versions {
		v := version.(map[string]any)
		when, _ := time.Parse(time.RFC3339Nano, fmt.Sprint(v["deletion_time"]))
		n, err := strconv.Atoi(name)
		if err != nil {
			t.Fatal(err)
		}
		if v["destroyed"] != true && (v["deletion_time"] == "" || when.After(time.Now())) {
			latest = max(latest, n)
		}
	}
	return latest
}

// through is a proxy with TLS of its own in front of Vault; each request may be
// answered otherwise.
func (m *manager) through(t *testing.T, ca *harness.CA, change func(w http.ResponseWriter, r *http.Request, on http.Handler)) string {
	t.Helper()
	target, err := url.Parse(m.address)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Transport: m.client.Transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	certificate, key := ca.Issue(t, 0)
	address := fmt.Sprintf("127.0.0.1:%d", harness.Port(t))
	server := &http.Server{Addr: address, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Whoever answers without reading the question, as no secrets manager does, has
		// HTTP/2 reset the stream, and curl may see that before the answer.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		change(w, r, proxy)
	})}
	t.Cleanup(func() { server.Close() })
	go func() { _ = server.ListenAndServeTLS(certificate, key) }()
	harness.WaitFor(t, "the proxy is ready", 5*time.Second, harness.Listening(address))
	return "https://" + address
}

func TestSecretsManager(t *testing.T) {
	m := newManager(t)
	mount := m.mount(t)
	m.fillStore(t, mount)
	m.user(t, "reader", "15m", readOnly(mount))
	section := map[string]any{"pathPrefix": "app/", "expectPaths": []any{"app/master-password"}}
	i := m.instance(t, mount, "reader", section)
	var dump []byte
	for _, shell := range []string{"ash", "dash"} {
		t.Run("dump/"+shell, func(t *testing.T) {
			got := i.Dump(t, vaultUnit, k8upWith(t, shell, nil)).OK(t).Stdout
			if dump != nil && !bytes.Equal(got, dump) {
				t.Error("the same secrets make another dump")
			}
			dump = got
			secrets := secretsOf(t, dump)
			want := []string{"app/deleted", "app/destroyed", "app/large", "app/no-values", "app/older-lives", "app/oldest-lives", "app/only-metadata", "app/settings", "app/versions"}
			for _, name := range oddNames {
				if !strings.Contains(name, "\n") {
					want = append(want, "app/"+name)
				}
			}
			slices.Sort(want)
			if have := slices.Sorted(maps.Keys(secrets)); !slices.Equal(have, want) {
				t.Errorf("the dump has\n%q\nnot\n%q", have, want)
			}
			for _, path := range []string{"app/deleted", "app/destroyed", "app/only-metadata"} {
				if secrets[path]["deleted"] != true || secrets[path]["data"] != nil {
					t.Errorf("%s is %v", path, secrets[path])
				}
			}
			m.compare(t, mount, dump)
		})
	}
	if dump == nil {
		t.Fatal("there is no dump to restore")
	}
	t.Run("dump/whole-mount", func(t *testing.T) {
		secrets := secretsOf(t, m.instance(t, mount, "reader", nil).Dump(t, vaultUnit, k8upWith(t, "ash", nil)).OK(t).Stdout)
		if secrets["beside/it"] == nil || secrets["app/a/b/c/d/e/f"] == nil {
			t.Errorf("secrets are missing: %q", slices.Sorted(maps.Keys(secrets)))
		}
	})
	t.Run("dump/prefix-is-a-secret-too", func(t *testing.T) {
		i := m.instance(t, mount, "reader", map[string]any{"pathPrefix": "app/deep/"})
		secrets := secretsOf(t, i.Dump(t, vaultUnit, k8upWith(t, "ash", nil)).OK(t).Stdout)
		if want := []string{"app/deep", "app/deep/leaf", "app/deep/leaf/too"}; !slices.Equal(slices.Sorted(maps.Keys(secrets)), want) {
			t.Errorf("the dump has %q", slices.Sorted(maps.Keys(secrets)))
		}
	})

	// Into a new store, as after a loss of the whole instance.
	restore := func(t *testing.T, mount, user, shell string, input []byte, env map[string]string) harness.Result {
		t.Helper()
		o := k8upWith(t, shell, env)
		o.Input = input
		return m.instance(t, mount, user, section).Restore(t, vaultUnit, o)
	}
	for _, shell := range []string{"ash", "dash"} {
		t.Run("restore/new-mount/"+shell, func(t *testing.T) {
			fresh := m.mount(t)
			m.user(t, "writer", "15m", writer(fresh))
			restore(t, fresh, "writer", shell, dump, nil).OK(t)
			m.compare(t, fresh, dump)
			m.user(t, "fresh-reader", "15m", readOnly(fresh))
			again := secretsOf(t, m.instance(t, fresh, "fresh-reader", section).Dump(t, vaultUnit, k8upWith(t, shell, nil)).OK(t).Stdout)
			for path, secret := range secretsOf(t, dump) {
				if secret["data"] != nil && !reflect.DeepEqual(again[path]["data"], secret["data"]) {
					t.Errorf("%q differs in the second dump", path)
				}
			}
			r := restore(t, fresh, "writer", shell, dump, nil).OK(t)
			if !strings.Contains(r.Stderr, "0 written, ") {
				t.Errorf("the second restore wrote:\n%s", r.Stderr)
			}
		})
	}
	t.Run("restore/settings", func(t *testing.T) {
		from, to := m.mount(t), m.mount(t)
		mine := map[string]any{"cas_required": true, "max_versions": 7, "delete_version_after": "720h0m0s"}
		m.call(t, "POST", from+"/config", mine)
		m.call(t, "POST", from+"/data/app/master-password", map[string]any{"options": map[string]any{"cas": 0}, "data": map[string]any{"value": "secret"}})
		m.call(t, "POST", from+"/metadata/app/only-metadata", map[string]any{"max_versions": 2})
		m.user(t, "settings-reader", "15m", readOnly(from))
		m.user(t, "settings-writer", "15m", writer(to))
		for _, shell := range []string{"ash", "dash"} {
			dump := m.instance(t, from, "settings-reader", section).Dump(t, vaultUnit, k8upWith(t, shell, nil)).OK(t).Stdout
			restore(t, to, "settings-writer", shell, dump, nil).OK(t)
			m.compare(t, to, dump)
			if got := m.call(t, "GET", to+"/config", nil)["data"].(map[string]any); settings(got) != settings(mine) {
				t.Errorf("the mount has %v", got)
			}
			// What somebody set later stays.
			m.call(t, "POST", to+"/config", map[string]any{"max_versions": 9})
			m.call(t, "POST", to+"/metadata/app/master-password", map[string]any{"max_versions": 4})
			restore(t, to, "settings-writer", shell, dump, nil).Fails(t, 65, "2 items of the copy did not come back",
				"the settings of the mount: others are there", `"app/master-password": other settings are there, newer than the copy`)
			restore(t, to, "settings-writer", shell, dump, map[string]string{"HOLDFAST_OVERWRITE": "yes"}).OK(t)
			m.compare(t, to, dump)
		}
		// Without the right to see them they are a loss, and without the right to make
		// them they are missing.
		m.user(t, "settings-blind", "15m", map[string][]string{from + "/data/*": {"read"}, from + "/metadata/*": {"read", "list"}})
		blind := m.instance(t, from, "settings-blind", section)
		blind.Dump(t, vaultUnit, k8upWith(t, "ash", nil)).Fails(t, 65, "mount-settings: "+from+": the account may not read config of the mount")
		r := blind.Dump(t, vaultUnit, k8upWith(t, "dash", map[string]string{"HOLDFAST_LOSSES": "mount-settings *"})).OK(t)
		if !bytes.Contains(r.Stdout, []byte(`"loss":"mount-settings"`)) {
			t.Error("the copy does not name it")
		}
		fresh := m.mount(t)
		rules := writer(fresh)
		delete(rules, fresh+"/config")
		m.user(t, "settings-writer", "15m", rules)
		with, _, _ := bytes.Cut(m.instance(t, from, "settings-reader", section).Dump(t, vaultUnit, k8upWith(t, "ash", nil)).OK(t).Stdout, []byte("\n{\"holdfast\""))
		restore(t, fresh, "settings-writer", "dash", with, nil).Fails(t, 65, "the settings of the mount: reading them: HTTP 403")
		fresh = m.mount(t)
		m.user(t, "settings-writer", "15m", writer(fresh))
		if r := restore(t, fresh, "settings-writer", "dash", r.Stdout, nil).OK(t); !strings.Contains(r.Stderr, "the settings of the mount are not in the copy") {
			t.Errorf("it said:\n%s", r.Stderr)
		}
	})
	t.Run("restore/one-stops-no-other", func(t *testing.T) {
		few := map[string]string{"HOLDFAST_ONLY": "app/deep/leaf\napp/master-password\napp/settings\napp/older-lives\napp/oldest-lives"}
		for _, shell := range []string{"ash", "dash"} {
			fresh := m.mount(t)
			rules := writer(fresh)
			rules[fresh+"/data/app/deep/leaf"] = []string{"deny"}
			rules[fresh+"/metadata/app/settings"] = []string{"read"}
			delete(rules, fresh+"/delete/*")
			m.user(t, "writer", "15m", rules)
			restore(t, fresh, "writer", shell, dump, few).Fails(t, 65, "1 written", "4 items of the copy did not come back", `"app/deep/leaf": reading it: HTTP 403, 1 error occurred`,
				`"app/settings": writing its settings: HTTP 403`, `"app/older-lives": it is deleted in the copy, and alive here: deleting it: HTTP 403`)
			left := map[string]string{"HOLDFAST_ONLY": few["HOLDFAST_ONLY"], "HOLDFAST_LEAVE_OUT": "app/deep/leaf\napp/settings\napp/old*\n"}
			restore(t, fresh, "writer", shell, dump, left).OK(t)
		}
	})
	t.Run("restore/changed-and-destroyed", func(t *testing.T) {
		fresh := m.mount(t)
		// A store that takes no write that does not name the version before.
		m.call(t, "POST", fresh+"/config", map[string]any{"cas_required": true})
		m.user(t, "writer", "15m", writer(fresh))
		restore(t, fresh, "writer", "ash", dump, nil).OK(t)
		m.call(t, "POST", fresh+"/data/app/master-password", map[string]any{"options": map[string]any{"cas": 1}, "data": map[string]any{"value": "changed later"}})
		m.call(t, "DELETE", fresh+"/metadata/app/large", nil)
		m.call(t, "DELETE", fresh+"/data/app/deep/leaf", nil)
		r := restore(t, fresh, "writer", "ash", dump, nil).Fails(t, 65, `"app/master-password": another value, newer than the dump's: kept`, "2 written", "1 kept")
		if strings.Contains(r.Stderr, "changed later") {
			t.Error("a value is told")
		}
		restore(t, fresh, "writer", "ash", dump, map[string]string{"HOLDFAST_OVERWRITE": "yes"}).OK(t)
		m.compare(t, fresh, dump)
	})
	t.Run("restore/only", func(t *testing.T) {
		fresh := m.mount(t)
		m.user(t, "writer", "15m", writer(fresh))
		r := restore(t, fresh, "writer", "ash", dump, map[string]string{"HOLDFAST_ONLY": "app/-rf\napp/with blank"}).OK(t)
		if !strings.Contains(r.Stderr, "2 written, 0 the same") {
			t.Errorf("it said:\n%s", r.Stderr)
		}
		restore(t, fresh, "writer", "ash", dump, map[string]string{"HOLDFAST_ONLY": "app/nothing"}).Fails(t, 65, "none of these secrets")
	})
	t.Run("failure/restore-as-reader", func(t *testing.T) {
		fresh := m.mount(t)
		m.user(t, "fresh-reader", "15m", readOnly(fresh))
		restore(t, fresh, "fresh-reader", "ash", dump, nil).Fails(t, 65, `"app/master-password": writing it: HTTP 403`, "permission denied", "items of the copy did not come back")
	})
	t.Run("failure/restore-of-a-cut-dump", func(t *testing.T) {
		restore(t, mount, "reader", "ash", dump[:len(dump)-100], nil).Fails(t, 65, "reading the dump")
		restore(t, mount, "reader", "ash", []byte(`{"errors":["permission denied"]}`), nil).Fails(t, 65, "reading the dump")
	})

	// The failures need no more than a few secrets.
	mount = m.mount(t)
	for _, name := range []string{"master-password", "deep", "deep/leaf"} {
		m.put(t, mount, "app/"+name, map[string]any{"value": "secret"})
	}
	m.put(t, mount, "app/no-values", map[string]any{})
	m.put(t, mount, "app/large", map[string]any{"value": strings.Repeat("0123456789abcdef", 20000)})
	m.put(t, mount, "app/deleted", map[string]any{"value": "gone"})
	m.call(t, "DELETE", mount+"/data/app/deleted", nil)
	m.put(t, mount, "beside/it", map[string]any{"value": "not below the prefix"})
	m.user(t, "reader", "15m", readOnly(mount))
	i = m.instance(t, mount, "reader", section)

	failing := func(t *testing.T, i *harness.Instance, code int, words ...string) harness.Result {
		t.Helper()
		return i.Dump(t, vaultUnit, k8upWith(t, "ash", nil)).Fails(t, code, words...)
	}
	for _, shell := range []string{"ash", "dash"} {
		t.Run("failure/wrong-password/"+shell, func(t *testing.T) {
			i.Dump(t, vaultUnit, k8upWith(t, shell, map[string]string{"SM_PASSWORD": "not the password"})).Fails(t, 70, "logging in", "HTTP 400")
		})
	}
	t.Run("failure/permission-denied", func(t *testing.T) {
		rules := readOnly(mount)
		rules[mount+"/data/app/deep/leaf"] = []string{"deny"}
		m.user(t, "almost", "15m", rules)
		failing(t, m.instance(t, mount, "almost", section), 70, `reading "app/deep/leaf"`, "HTTP 403")
	})
	t.Run("failure/forbidden-folder", func(t *testing.T) {
		rules := readOnly(mount)
		rules[mount+"/metadata/app/deep/*"] = []string{"deny"}
		m.user(t, "almost", "15m", rules)
		failing(t, m.instance(t, mount, "almost", section), 70, `"app/deep/`, "HTTP 403")
	})
	t.Run("failure/wrong-mount", func(t *testing.T) {
		failing(t, m.instance(t, "00000000-0000-4000-8000-000000000000", "reader", section), 70, "HTTP 403")
	})
	t.Run("failure/wrong-prefix", func(t *testing.T) {
		failing(t, m.instance(t, mount, "reader", map[string]any{"pathPrefix": "nowhere/"}), 65, "there is no secret")
	})
	t.Run("failure/empty", func(t *testing.T) {
		fresh := m.mount(t)
		m.user(t, "fresh-reader", "15m", readOnly(fresh))
		failing(t, m.instance(t, fresh, "fresh-reader", nil), 65, "there is no secret")
	})
	t.Run("allowed-empty", func(t *testing.T) {
		allow := map[string]string{"HOLDFAST_ALLOW_EMPTY": "the instance is new"}
		fresh := m.mount(t)
		m.user(t, "fresh-reader", "15m", readOnly(fresh))
		empty := m.instance(t, fresh, "fresh-reader", nil)
		for _, shell := range []string{"ash", "dash"} {
			r := empty.Dump(t, vaultUnit, k8upWith(t, shell, allow)).OK(t)
			if len(secretsOf(t, r.Stdout)) != 0 || !strings.Contains(r.Stderr, "empty, which is allowed: the instance is new") {
				t.Errorf("the dump is %s, and it said:\n%s", r.Stdout, r.Stderr)
			}
			o := k8upWith(t, shell, allow)
			o.Input = r.Stdout
			if r := empty.Restore(t, vaultUnit, o).OK(t); !strings.Contains(r.Stderr, "empty, which is allowed: the instance is new") {
				t.Errorf("it said:\n%s", r.Stderr)
			}
			o.Env = map[string]string{"HOLDFAST_ALLOW_EMPTY": "the instance is new", "HOLDFAST_ONLY": "app/master-password"}
			empty.Restore(t, vaultUnit, o).Fails(t, 65, "none of these secrets")
			o.Env = nil
			empty.Restore(t, vaultUnit, o).Fails(t, 65, "none of these secrets")
		}
		// What that does not excuse: an expected secret, no right, another place.
		excused := func(t *testing.T, i *harness.Instance, code int, words ...string) {
			t.Helper()
			i.Dump(t, vaultUnit, k8upWith(t, "ash", allow)).Fails(t, code, words...)
		}
		excused(t, m.instance(t, fresh, "fresh-reader", section), 65, "app/master-password has no value")
		excused(t, m.instance(t, mount, "fresh-reader", nil), 70, "listing", "HTTP 403")
		m.call(t, "DELETE", "sys/mounts/"+fresh, nil)
		excused(t, empty, 69, "listing", "HTTP 404", "no handler for route")
	})
	t.Run("failure/missing-path", func(t *testing.T) {
		for _, path := range []string{"app/nothing", "app/deleted", "app/no-values", "beside/it"} {
			i := m.instance(t, mount, "reader", map[string]any{"pathPrefix": "app/", "expectPaths": []any{"app/master-password", path}})
			failing(t, i, 65, path+" has no value")
		}
	})
	t.Run("failure/wrong-ca", func(t *testing.T) {
		o := k8upWith(t, "ash", map[string]string{"SM_CA_PEM": string(harness.NewCA(t).PEM)})
		i.Dump(t, vaultUnit, o).Fails(t, 69, "certificate")
		o.Env["SM_CA_PEM"] = ""
		i.Dump(t, vaultUnit, o).Fails(t, 69, "certificate")
		o.Env["SM_CA_PEM"] = "no certificate"
		i.Dump(t, vaultUnit, o).Fails(t, 69)
	})
	t.Run("failure/server-gone-before", func(t *testing.T) {
		i := m.instance(t, mount, "reader", map[string]any{"address": fmt.Sprintf("https://127.0.0.1:%d", harness.ClosedPort(t))})
		failing(t, i, 69, "asking https://127.0.0.1")
	})
	ca := harness.NewCA(t)
	proxiedIn := func(t *testing.T, shell string, change func(w http.ResponseWriter, r *http.Request, on http.Handler), env map[string]string) harness.Result {
		t.Helper()
		o := k8upWith(t, shell, map[string]string{"SM_CA_PEM": string(ca.PEM)})
		maps.Copy(o.Env, env)
		return m.instance(t, mount, "reader", map[string]any{"pathPrefix": "app/", "address": m.through(t, ca, change)}).Dump(t, vaultUnit, o)
	}
	proxied := func(t *testing.T, change func(w http.ResponseWriter, r *http.Request, on http.Handler), env map[string]string) harness.Result {
		t.Helper()
		return proxiedIn(t, "ash", change, env)
	}
	t.Run("failure/truncated", func(t *testing.T) {
		var n atomic.Int32
		proxied(t, func(w http.ResponseWriter, r *http.Request, on http.Handler) {
			if n.Add(1) < 5 {
				on.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Length", "500")
			_, _ = io.WriteString(w, `{"data": {"data": {"value": "`)
		}, nil).Fails(t, 69, "asking https://127.0.0.1")
	})
	t.Run("failure/error-as-an-answer", func(t *testing.T) {
		for _, answer := range []string{`{"errors":["permission denied"]}`, `{"data":{"data":null,"metadata":{}}}`, `{}`, `null`, `[]`, ``, `<html>`} {
			for place, what := range map[string]string{"/data/app/deep": `checking "app/deep"`, "/metadata/app/": `reading the list of "app/"`} {
				proxied(t, func(w http.ResponseWriter, r *http.Request, on http.Handler) {
					if strings.HasSuffix(r.URL.Path, place) {
						_, _ = io.WriteString(w, answer)
						return
					}
					on.ServeHTTP(w, r)
				}, nil).Fails(t, 65, what)
			}
		}
	})
	t.Run("failure/redirect", func(t *testing.T) {
		proxied(t, func(w http.ResponseWriter, r *http.Request, on http.Handler) {
			if strings.Contains(r.URL.Path, "/metadata/") {
				http.Redirect(w, r, m.address+r.URL.Path, http.StatusTemporaryRedirect)
				return
			}
			on.ServeHTTP(w, r)
		}, nil).Fails(t, 69, "HTTP 307")
	})
	t.Run("failure/token-of-two-lines", func(t *testing.T) {
		// The second would be a header of its own.
		var asked atomic.Bool
		proxied(t, func(w http.ResponseWriter, r *http.Request, on http.Handler) {
			if strings.Contains(r.URL.Path, "/login/") {
				_, _ = io.WriteString(w, `{"auth":{"client_token":"a\nX-Vault-Namespace: other"}}`)
				return
			}
			asked.Store(true)
		}, nil).Fails(t, 69, "reading the token")
		if asked.Load() {
			t.Error("it was used")
		}
	})
	for _, shell := range []string{"ash", "dash"} {
		t.Run("failure/odd-user/"+shell, func(t *testing.T) {
			// Each sign would end something on its way to curl, or be taken for another.
			user, seen := "a\"b\\n\nurl = \"x\" %41/é?#[1-3]{c,d}", ""
			proxiedIn(t, shell, func(w http.ResponseWriter, r *http.Request, on http.Handler) {
				seen = r.URL.Path
				http.Error(w, `{"errors":["nobody"]}`, http.StatusBadRequest)
			}, map[string]string{"SM_USERNAME": user}).Fails(t, 70, "logging in (HTTP 400)")
			if want := "/v1/auth/userpass/login/" + user; seen != want {
				t.Errorf("the server was asked for %q, not %q", seen, want)
			}
		})
	}
	t.Run("failure/slow", func(t *testing.T) {
		r := proxied(t, func(w http.ResponseWriter, r *http.Request, on http.Handler) {
			select {
			case <-r.Context().Done():
			case <-time.After(2 * harness.Patience):
			}
		}, map[string]string{"HOLDFAST_DEADLINE": "2"}).Fails(t, 69, "did not end within 2 s")
		if r.Took > harness.Patience {
			t.Errorf("it took %s", r.Took)
		}
	})
	t.Run("failure/disk-full", func(t *testing.T) {
		o := k8upWith(t, "ash", nil)
		o.Scratch = "128Ki"
		i.Dump(t, vaultUnit, o).Fails(t, 73)
	})
	t.Run("dump/short-token", func(t *testing.T) {
		// The walk takes longer than a token lives.
		m.user(t, "short", "3s", readOnly(mount))
		var logins atomic.Int32
		o := k8upWith(t, "ash", map[string]string{"SM_CA_PEM": string(ca.PEM)})
		i := m.instance(t, mount, "short", map[string]any{"pathPrefix": "app/", "address": m.through(t, ca, func(w http.ResponseWriter, r *http.Request, on http.Handler) {
			if strings.Contains(r.URL.Path, "/login/") {
				logins.Add(1)
			}
			time.Sleep(400 * time.Millisecond)
			on.ServeHTTP(w, r)
		})})
		r := i.Dump(t, vaultUnit, o).OK(t)
		if r.Took < 4*time.Second || logins.Load() < 2 {
			t.Errorf("it took %s and %d logins: too short to prove anything", r.Took, logins.Load())
		}
	})
	t.Run("failure/token-revoked", func(t *testing.T) {
		var n atomic.Int32
		proxied(t, func(w http.ResponseWriter, r *http.Request, on http.Handler) {
			if n.Add(1) == 5 {
				m.call(t, "POST", "auth/token/revoke", map[string]any{"token": r.Header.Get("X-Vault-Token")})
			}
			on.ServeHTTP(w, r)
		}, nil).Fails(t, 70, "HTTP 403")
	})
	t.Run("failure/locked", func(t *testing.T) {
		// Whoever is locked out does not even ask.
		var asked atomic.Int32
		fresh := m.mount(t)
		m.put(t, fresh, "app/one", map[string]any{"value": "secret"})
		m.user(t, "writer", "15m", writer(fresh))
		i := m.instance(t, fresh, "writer", map[string]any{"address": m.through(t, ca, func(w http.ResponseWriter, r *http.Request, on http.Handler) {
			asked.Add(1)
			on.ServeHTTP(w, r)
		})})
		cluster := harness.Cluster(t)
		cluster.Install(t, i)
		env := map[string]string{"SM_CA_PEM": string(ca.PEM)}
		dump := i.Dump(t, vaultUnit, harness.Options{Env: env}).OK(t).Stdout
		before := asked.Swap(0)
		for what, lock := range map[string]string{"unit": i.Unit(t, vaultUnit).Lock, "instance": i.Plan.InstanceLock} {
			patch := func(data string) {
				cluster.Kubectl(t, "patch", "configmap", lock, "--namespace=app", "--type=merge", "--patch", `{"data":`+data+`}`)
			}
			for _, shell := range []string{"ash", "dash"} {
				for until, said := range map[string]string{"99999999999": "99999999999", "": "further notice"} {
					o := k8upWith(t, shell, env)
					o.Locks = map[string]map[string]string{lock: {"holder": "an upgrade", "until": until}}
					i.Dump(t, vaultUnit, o).Fails(t, 75, "the "+what+" lock is held by an upgrade until "+said)
				}
			}
			patch(`{"holder":"an upgrade","until":"99999999999"}`)
			i.Restore(t, vaultUnit, harness.Options{Cluster: cluster, Env: env, Input: dump}).Fails(t, 75, "skipped: "+lock+" is held by an upgrade")
			if n := asked.Load(); n != 0 {
				t.Errorf("the %s lock was held, and the store was asked %d times", what, n)
			}
			patch("null")
		}
		// The same once they are free, or have expired.
		i.Dump(t, vaultUnit, harness.Options{Env: env, Locks: map[string]map[string]string{i.Unit(t, vaultUnit).Lock: {"holder": "an upgrade", "until": "1"}}}).OK(t)
		m.call(t, "DELETE", fresh+"/metadata/app/one", nil)
		i.Restore(t, vaultUnit, harness.Options{Cluster: cluster, Env: env, Input: dump}).OK(t)
		m.compare(t, fresh, dump)
		if before == 0 || asked.Load() == 0 {
			t.Error("the requests were not counted")
		}
	})
	t.Run("hostile-names", func(t *testing.T) {
		// They exist, and come back under the same names. Vault has no such users,
		// and no control characters.
		const folder = `-rf "q" 'q' $(id)` + "`id`" + ` %2F;*[a]?#&+/ü`
		from, to := `kv's "x" $(id) %41?#;&ü`, `-to "y" \ `+"`id`"
		env := map[string]string{"SM_PREFIX": folder + "/"}
		want := []string{}
		m.mountAt(t, from)
		m.put(t, from, "beside/it", map[string]any{"value": "not below the prefix"})
		for name, value := range hostileValues {
			if name != "newline" {
				want = append(want, folder+"/"+value)
			}
			m.put(t, from, folder+"/"+strings.ReplaceAll(value, "\n", " "), map[string]any{value: value})
		}
		want = append(want, folder+"/two lines")
		slices.Sort(want)
		env["SM_EXPECT_PATHS"] = strings.Join(want, "\n")
		m.user(t, "hostile-reader", "15m", readOnly(from))
		m.mountAt(t, to)
		m.user(t, "hostile-writer", "15m", writer(to))
		for _, shell := range []string{"ash", "dash"} {
			env["SM_MOUNT"] = from
			dump := m.instance(t, "hostile", "hostile-reader", nil).Dump(t, vaultUnit, k8upWith(t, shell, env)).OK(t).Stdout
			if have := slices.Sorted(maps.Keys(secretsOf(t, dump))); !slices.Equal(have, want) {
				t.Errorf("the dump has\n%q\nnot\n%q", have, want)
			}
			m.compare(t, from, dump)
			env["SM_MOUNT"] = to
			o := k8upWith(t, shell, env)
			o.Input = dump
			m.instance(t, "hostile", "hostile-writer", nil).Restore(t, vaultUnit, o).OK(t)
			m.compare(t, to, dump)
		}
	})
	for name, value := range hostileValues {
		t.Run("failure/hostile-names/"+name, func(t *testing.T) {
			for variable, want := range map[string]struct {
				code int
				word string
			}{
				"SM_MOUNT": {70, "listing"}, "SM_USERNAME": {69, ""}, "SM_PASSWORD": {70, "logging in"}, "SM_ADDRESS": {64, "SM_ADDRESS"},
				"SM_PREFIX": {65, "app/master-password has no value"}, "SM_EXPECT_PATHS": {65, "has no value"},
			} {
				if name == "newline" && variable == "SM_PREFIX" {
					want.code, want.word = 70, "listing"
				}
				r := i.Dump(t, vaultUnit, k8upWith(t, "ash", map[string]string{variable: value}))
				if name == "newline" && variable == "SM_USERNAME" && r.Code == 70 {
					// Vault refuses before it has read the request: curl sees the
					// answer, or the end of the stream.
					want.code, want.word = 70, "logging in (HTTP 400)"
				}
				r.Fails(t, want.code, want.word)
				if variable == "SM_PASSWORD" && strings.Contains(r.Stderr, value) {
					t.Errorf("the password is told:\n%s", r.Stderr)
				}
			}
		})
	}
	t.Run("failure/server-gone-in-the-middle", func(t *testing.T) {
		var n atomic.Int32
		proxied(t, func(w http.ResponseWriter, r *http.Request, on http.Handler) {
			if n.Add(1) == 8 {
				m.server.Kill()
			}
			on.ServeHTTP(w, r)
		}, nil).Fails(t, 69)
	})
}
