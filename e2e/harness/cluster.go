package harness

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	enter   []string
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

// Main runs a package's tests, stops what they share and removes the images'
// roots. A package that runs containers or calls Cluster has it as its TestMain:
//
//	func TestMain(m *testing.M) { harness.Main(m) }
func Main(m *testing.M) {
	code := m.Run()
	removeRoots()
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster != nil {
		shared.cluster.Remove()
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

// newCluster starts etcd, the API server and a few controllers on loopback.
func newCluster() (*ClusterServer, error) {
	var ports [3]int
	for i := range ports {
		var err error
		if ports[i], err = freePort(); err != nil {
			return nil, err
		}
	}
	return StartControlPlane(ControlPlane{
		Address: "127.0.0.1", Port: ports[0], EtcdPorts: [2]int{ports[1], ports[2]},
		APIServer: []string{"--endpoint-reconciler-type=none", "--authorization-mode=RBAC"},
		// No controller that would make pods: nothing could run them.
		Controllers: []string{"--controllers=namespace-controller,serviceaccount-controller,garbage-collector-controller,root-ca-certificate-publisher-controller,clusterrole-aggregation-controller"},
	})
}

// ControlPlane says how etcd, the API server and the controllers run.
type ControlPlane struct {
	// Enter is put before each command, to run it in a network namespace.
	Enter []string
	// Address and Port are the API server's.
	Address   string
	Port      int
	EtcdPorts [2]int
	// APIServer and Controllers are more arguments of those two. {{dir}} in them
	// is the folder with the control plane's files.
	APIServer, Controllers []string
	// Files are put into that folder first, and client certificates NAME.crt and
	// NAME.key of these subjects.
	Files   map[string][]byte
	Clients map[string]pkix.Name
}

// StartControlPlane starts one. The caller ends it with Remove.
func StartControlPlane(o ControlPlane) (cluster *ClusterServer, err error) {
	c := &ClusterServer{enter: o.Enter}
	defer func() {
		if err != nil {
			c.Remove()
		}
	}()
	if c.dir, err = os.MkdirTemp("", "holdfast-e2e-cluster-"); err != nil {
		return nil, err
	}
	if c.ca, err = newCA(c.dir); err != nil {
		return nil, err
	}
	for name, data := range o.Files {
		if err := os.WriteFile(filepath.Join(c.dir, name), data, 0o600); err != nil {
			return nil, err
		}
	}
	for name, subject := range o.Clients {
		if _, _, err := c.ca.issue(c.dir, name, subject, nil); err != nil {
			return nil, err
		}
	}
	c.address = fmt.Sprintf("%s:%d", o.Address, o.Port)
	etcd, peer := fmt.Sprintf("http://127.0.0.1:%d", o.EtcdPorts[0]), fmt.Sprintf("http://127.0.0.1:%d", o.EtcdPorts[1])
	// 10.96.0.1 is the first of the Services' addresses.
	certificate, key, err := c.ca.issue(c.dir, "api", pkix.Name{CommonName: "kube-apiserver"}, []string{o.Address, "127.0.0.1", "10.96.0.1", "localhost", "kubernetes.default.svc"})
	if err != nil {
		return nil, err
	}
	_, accounts, err := c.ca.issue(c.dir, "accounts", pkix.Name{CommonName: "accounts"}, nil)
	if err != nil {
		return nil, err
	}
	if c.Kubeconfig, err = c.User("admin", pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}}); err != nil {
		return nil, err
	}
	controllers, err := c.User("controllers", pkix.Name{CommonName: "system:kube-controller-manager"})
	if err != nil {
		return nil, err
	}
	if _, err := c.serve(nil, "etcd", "--name", "e2e", "--data-dir", filepath.Join(c.dir, "etcd"), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "e2e="+peer); err != nil {
		return nil, err
	}
	c.argv = append([]string{
		"kube-apiserver", "--etcd-servers=" + etcd, "--bind-address=" + o.Address, "--advertise-address=" + o.Address, fmt.Sprintf("--secure-port=%d", o.Port),
		"--tls-cert-file=" + certificate, "--tls-private-key-file=" + key, "--client-ca-file=" + c.ca.File,
		"--service-account-key-file=" + accounts, "--service-account-signing-key-file=" + accounts, "--service-account-issuer=https://kubernetes.default.svc",
		"--service-cluster-ip-range=10.96.0.0/16", "--profiling=false", "--allow-privileged=true",
	}, c.expand(o.APIServer)...)
	if err := c.startAPI(); err != nil {
		return nil, err
	}
	_, err = c.serve(nil, append([]string{"kube-controller-manager", "--kubeconfig=" + controllers, "--service-account-private-key-file=" + accounts, "--root-ca-file=" + c.ca.File,
		"--use-service-account-credentials=true", "--leader-elect=false", "--bind-address=127.0.0.1", "--secure-port=0", "--profiling=false"},
		c.expand(o.Controllers)...)...)
	if err != nil {
		return nil, err
	}
	return c, waitFor("the default ServiceAccount", time.Minute, func() error {
		_, err := c.KubectlFrom(nil, "get", "serviceaccount", "default", "--namespace=default")
		return err
	})
}

// expand puts the folder's name into arguments.
func (c *ClusterServer) expand(arguments []string) []string {
	expanded := make([]string, len(arguments))
	for i, argument := range arguments {
		expanded[i] = strings.ReplaceAll(argument, "{{dir}}", c.dir)
	}
	return expanded
}

// Dir is the folder with the control plane's files and logs.
func (c *ClusterServer) Dir() string { return c.dir }

// CAFile is the certificate of the cluster's authority.
func (c *ClusterServer) CAFile() string { return c.ca.File }

// Certificate issues one by the cluster's authority, and returns its files.
func (c *ClusterServer) Certificate(name string, subject pkix.Name, names ...string) (certificate, key string, err error) {
	return c.ca.issue(c.dir, name, subject, names)
}

// Serve starts one more server beside the control plane's; they end together.
func (c *ClusterServer) Serve(ready func() error, argv ...string) (*Server, error) {
	return c.serve(ready, argv...)
}

// User makes a kubeconfig with a client certificate.
func (c *ClusterServer) User(name string, subject pkix.Name) (string, error) {
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
	name := filepath.Base(argv[0])
	path, err := findProgram(argv[0])
	if err != nil {
		return nil, err
	}
	s, err := serve(name, append(slices.Clone(c.enter), append([]string{path}, argv[1:]...)...), o, filepath.Join(c.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	c.servers = append(c.servers, s)
	return s, s.wait(o)
}

func (c *ClusterServer) startAPI() error {
	api, err := c.serve(func() error {
		_, err := c.KubectlFrom(nil, "get", "--raw", "/readyz")
		return err
	}, c.argv...)
	c.api = api
	return err
}

// Remove stops everything, last first.
func (c *ClusterServer) Remove() {
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
	out, err := c.KubectlFrom(nil, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TryKubectl is Kubectl for what may fail.
func (c *ClusterServer) TryKubectl(arguments ...string) (string, error) {
	return c.KubectlFrom(nil, arguments...)
}

// KubectlIn is TryKubectl with something on stdin.
func (c *ClusterServer) KubectlIn(stdin []byte, arguments ...string) (string, error) {
	return c.KubectlFrom(bytes.NewReader(stdin), arguments...)
}

// KubectlFrom is KubectlIn for what may not fit into memory.
func (c *ClusterServer) KubectlFrom(stdin io.Reader, arguments ...string) (string, error) {
	path, err := findProgram("kubectl")
	if err != nil {
		return "", err
	}
	argv := append(append(slices.Clone(c.enter), path), arguments...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = []string{"HOME=" + c.dir, "KUBECONFIG=" + c.Kubeconfig, "PATH=/usr/bin:/bin"}
	cmd.Stdin = stdin
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
	if _, err := c.KubectlIn(data, "apply", "--server-side", "--force-conflicts", "--field-manager=e2e", "--filename=-"); err != nil {
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
	token, err := c.KubectlFrom(nil, "create", "token", name, "--namespace="+namespace, "--duration=1h")
	if err != nil {
		t.Fatal(errors.Join(errors.New("no token: Install the instance first"), err))
	}
	file, err := c.kubeconfig(filepath.Join(Folder(t, 0), "kubeconfig"), map[string]any{"token": strings.TrimSpace(token)})
	if err != nil {
		t.Fatal(err)
	}
	return file
}
