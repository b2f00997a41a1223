package harness

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// ClusterServer is a real API server with RBAC, without nodes: no pod ever runs.
type ClusterServer struct {
	// Kubeconfig is a file with an administrator's.
	Kubeconfig string

	dir     string
	address string
	ca      *CA
	argv    []string // of the API server
	mu      sync.Mutex
	servers []*Server
	api     *Server
}

// shared is the one cluster of a test binary: starting it takes seconds.
var shared struct {
	sync.Mutex
	cluster *ClusterServer
	err     error
}

// Main runs a package's tests and stops what they share. A package that calls
// Cluster has it as its TestMain:
//
//	func TestMain(m *testing.M) { harness.Main(m) }
func Main(m *testing.M) {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster != nil {
		shared.cluster.remove()
	}
	os.Exit(code)
}

// Cluster is the cluster that all tests of the binary share. Tests keep apart by
// their namespaces.
func Cluster(t testing.TB) *ClusterServer {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil && shared.err == nil {
		shared.cluster, shared.err = newCluster()
	}
	if shared.err != nil {
		t.Fatalf("starting a cluster: %v", shared.err)
	}
	return shared.cluster
}

// newCluster starts etcd, the API server and a few controllers.
func newCluster() (cluster *ClusterServer, err error) {
	c := &ClusterServer{}
	defer func() {
		if err != nil {
			c.remove()
		}
	}()
	if c.dir, err = os.MkdirTemp("", "holdfast-e2e-cluster-"); err != nil {
		return nil, err
	}
	if c.ca, err = newCA(c.dir); err != nil {
		return nil, err
	}
	var ports [3]int
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			return nil, err
		}
	}
	c.address = fmt.Sprintf("127.0.0.1:%d", ports[0])
	etcd, peer := fmt.Sprintf("http://127.0.0.1:%d", ports[1]), fmt.Sprintf("http://127.0.0.1:%d", ports[2])
	certificate, key, err := c.ca.issue(c.dir, "api", pkix.Name{CommonName: "kube-apiserver"}, []string{"127.0.0.1", "localhost", "kubernetes.default.svc"})
	if err != nil {
		return nil, err
	}
	_, accounts, err := c.ca.issue(c.dir, "accounts", pkix.Name{CommonName: "accounts"}, nil)
	if err != nil {
		return nil, err
	}
	if c.Kubeconfig, err = c.user("admin", pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}}); err != nil {
		return nil, err
	}
	controllers, err := c.user("controllers", pkix.Name{CommonName: "system:kube-controller-manager"})
	if err != nil {
		return nil, err
	}
	if _, err := c.serve(nil, "etcd", "--name", "e2e", "--data-dir", filepath.Join(c.dir, "etcd"), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "e2e="+peer); err != nil {
		return nil, err
	}
	c.argv = []string{
		"kube-apiserver", "--etcd-servers=" + etcd, "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", ports[0]),
		"--endpoint-reconciler-type=none", "--tls-cert-file=" + certificate, "--tls-private-key-file=" + key, "--client-ca-file=" + c.ca.File,
		"--service-account-key-file=" + accounts, "--service-account-signing-key-file=" + accounts, "--service-account-issuer=https://kubernetes.default.svc",
		"--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=RBAC", "--profiling=false", "--allow-privileged=true",
	}
	if err := c.startAPI(); err != nil {
		return nil, err
	}
	// No controller that would make pods: nothing could run them.
	_, err = c.serve(nil, "kube-controller-manager", "--kubeconfig="+controllers, "--service-account-private-key-file="+accounts, "--root-ca-file="+c.ca.File,
		"--use-service-account-credentials=true", "--leader-elect=false", "--bind-address=127.0.0.1", "--secure-port=0", "--profiling=false",
		"--controllers=namespace-controller,serviceaccount-controller,garbage-collector-controller,root-ca-certificate-publisher-controller,clusterrole-aggregation-controller")
	if err != nil {
		return nil, err
	}
	return c, waitFor("the default ServiceAccount", time.Minute, func() error {
		_, err := c.kubectl(nil, "get", "serviceaccount", "default", "--namespace=default")
		return err
	})
}

// user makes a kubeconfig with a client certificate.
func (c *ClusterServer) user(name string, subject pkix.Name) (string, error) {
	certificate, key, err := c.ca.issue(c.dir, name, subject, nil)
	if err != nil {
		return "", err
	}
	certPEM, err := os.ReadFile(certificate)
	if err != nil {
		return "", err
	}
	keyPEM, err := os.ReadFile(key)
	if err != nil {
		return "", err
	}
	return c.kubeconfig(filepath.Join(c.dir, name+".kubeconfig"), map[string]any{"client-certificate-data": certPEM, "client-key-data": keyPEM})
}

// kubeconfig writes one; as JSON, which is YAML.
func (c *ClusterServer) kubeconfig(file string, user map[string]any) (string, error) {
	data, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "e2e",
		"clusters": []any{map[string]any{"name": "e2e", "cluster": map[string]any{
			"server": "https://" + c.address, "certificate-authority-data": base64.StdEncoding.EncodeToString(c.ca.PEM)}}},
		"users":    []any{map[string]any{"name": "e2e", "user": user}},
		"contexts": []any{map[string]any{"name": "e2e", "context": map[string]any{"cluster": "e2e", "user": "e2e"}}},
	})
	if err != nil {
		return "", err
	}
	return file, os.WriteFile(file, data, 0o600)
}

// serve starts one of the cluster's servers.
func (c *ClusterServer) serve(ready func() error, argv ...string) (*Server, error) {
	o := ServeOptions{Dir: c.dir, Ready: ready, Limit: time.Hour, Grace: 3 * time.Second}
	s, err := serve(argv[0], argv, o, filepath.Join(c.dir, argv[0]+".log"))
	if err != nil {
		return nil, err
	}
	c.servers = append(c.servers, s)
	return s, s.wait(o)
}

func (c *ClusterServer) startAPI() error {
	api, err := c.serve(func() error {
		_, err := c.kubectl(nil, "get", "--raw", "/readyz")
		return err
	}, c.argv...)
	c.api = api
	return err
}

// remove stops everything, last first.
func (c *ClusterServer) remove() {
	for _, s := range slices.Backward(c.servers) {
		s.Stop()
	}
	// A folder in the machine's own temporary folder; nobody is left to tell.
	_ = os.RemoveAll(c.dir)
}

// StopAPI kills the API server, as a crash does. StartAPI must follow.
func (c *ClusterServer) StopAPI(t testing.TB) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.api.Kill()
}

// StartAPI starts it again, at the same address and with the same content.
func (c *ClusterServer) StartAPI(t testing.TB) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.startAPI(); err != nil {
		t.Fatal(err)
	}
}

// Restart is both.
func (c *ClusterServer) Restart(t testing.TB) {
	t.Helper()
	c.StopAPI(t)
	c.StartAPI(t)
}

// Kubectl runs kubectl as an administrator and returns its stdout. A failure
// fails the test.
func (c *ClusterServer) Kubectl(t testing.TB, arguments ...string) string {
	t.Helper()
	out, err := c.kubectl(nil, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TryKubectl is Kubectl for what may fail.
func (c *ClusterServer) TryKubectl(arguments ...string) (string, error) {
	return c.kubectl(nil, arguments...)
}

func (c *ClusterServer) kubectl(stdin []byte, arguments ...string) (string, error) {
	path, err := findProgram("kubectl")
	if err != nil {
		return "", err
	}
	cmd := exec.Command(path, arguments...)
	cmd.Env = []string{"HOME=" + c.dir, "KUBECONFIG=" + c.Kubeconfig, "PATH=/usr/bin:/bin"}
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w\n%s", strings.Join(arguments, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// Apply applies objects as an administrator, in their order. Namespaces that
// they are in are made first.
func (c *ClusterServer) Apply(t testing.TB, objects ...map[string]any) {
	t.Helper()
	var items []any
	var namespaces []string
	for _, o := range objects {
		if n := text(o, "metadata", "namespace"); n != "" && !slices.Contains(namespaces, n) {
			namespaces = append(namespaces, n)
			items = append(items, map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": n}})
		}
	}
	for _, o := range objects {
		items = append(items, o)
	}
	data, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.kubectl(data, "apply", "--server-side", "--force-conflicts", "--field-manager=e2e", "--filename=-"); err != nil {
		t.Fatal(err)
	}
}

// Install applies what an instance's containers need at the API server: their
// accounts and rights, and the ConfigMaps with the locks.
func (c *ClusterServer) Install(t testing.TB, i *Instance) {
	t.Helper()
	var objects []map[string]any
	for _, kind := range []string{"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ConfigMap"} {
		objects = append(objects, i.Kind(kind)...)
	}
	c.Apply(t, objects...)
}

// ServiceAccountKubeconfig is a file with a token of that account. The account
// must exist.
func (c *ClusterServer) ServiceAccountKubeconfig(t testing.TB, namespace, name string) string {
	t.Helper()
	token, err := c.kubectl(nil, "create", "token", name, "--namespace="+namespace, "--duration=1h")
	if err != nil {
		t.Fatal(errors.Join(errors.New("no token: Install the instance first"), err))
	}
	file, err := c.kubeconfig(filepath.Join(Folder(t, 0), "kubeconfig"), map[string]any{"token": strings.TrimSpace(token)})
	if err != nil {
		t.Fatal(err)
	}
	return file
}
