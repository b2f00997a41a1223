// Package cluster starts a whole Kubernetes cluster of one node on this machine,
// in namespaces of its own, with K8up, DNS and a NetworkPolicy controller, and
// removes it without a trace.
package cluster

import (
	"bytes"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

// Addresses in the cluster's own network namespace.
const (
	// NodeAddress is the node's and the API server's.
	NodeAddress = "10.200.0.10"
	// APIPort is where the API server listens.
	APIPort = 6443
	// Pods is the range of the pods' addresses.
	Pods = "10.244.0.0/16"
	// dnsService is the address of DNS among the Services' 10.96.0.0/16.
	dnsService = "10.96.0.10"
	// NodeName is the node's name.
	NodeName = "node1"
	// Image is what the cluster's servers and applications run, all of them.
	Image = "holdfast.test/e2e:1"
)

// Options say what a cluster is made for.
type Options struct {
	// Images are the references of rendered manifests: of each an image is made
	// from its contract.
	Images []string
	// Progress gets a line for each step.
	Progress func(format string, arguments ...any)
}

// Cluster is a running cluster.
type Cluster struct {
	// Control is etcd, API server and controllers; Kubectl and Apply are there.
	Control *harness.ClusterServer
	// Dir holds the node's files, logs and volumes.
	Dir string

	namespace string // of the network
	node      *harness.Server
	started   time.Time
	once      sync.Once
}

// patience is how long a state may take to come. Only what is broken takes so
// long; what works on a busy machine is merely late.
const patience = 10 * time.Minute

//go:embed audit.yaml
var auditPolicy []byte

//go:embed dns.yaml
var dns string

// Start starts a cluster. The caller ends it with Stop, also when Start fails
// half-way.
func Start(o Options) (c *Cluster, err error) {
	if o.Progress == nil {
		o.Progress = func(string, ...any) {}
	}
	c = &Cluster{namespace: fmt.Sprintf("holdfast-%d", os.Getpid()), started: time.Now()}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, c.logs())
			c.Stop()
			c = nil
		}
	}()
	sweep()
	if c.Dir, err = os.MkdirTemp("", c.namespace+"-"); err != nil {
		return c, err
	}
	// Pods of any user reach their volumes below it.
	if err := os.Chmod(c.Dir, 0o755); err != nil {
		return c, err
	}
	if err := c.network(); err != nil {
		return c, err
	}
	// The node imports its image while the control plane comes up.
	if err := c.startNode(o.Images); err != nil {
		return c, err
	}
	c.Control, err = harness.StartControlPlane(harness.ControlPlane{
		Enter: c.enter(), Address: NodeAddress, Port: APIPort, EtcdPorts: [2]int{2379, 2380},
		Files: map[string][]byte{"audit.yaml": auditPolicy},
		APIServer: []string{
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--kubelet-preferred-address-types=InternalIP",
			"--kubelet-client-certificate={{dir}}/kubelet-client.crt", "--kubelet-client-key={{dir}}/kubelet-client.key", "--kubelet-certificate-authority={{dir}}/ca.crt",
			"--audit-policy-file={{dir}}/audit.yaml", "--audit-log-path={{dir}}/audit.log",
		},
		Controllers: []string{"--allocate-node-cidrs=true", "--cluster-cidr=" + Pods, "--service-cluster-ip-range=10.96.0.0/16", "--leader-elect=false"},
		Clients:     map[string]pkix.Name{"kubelet-client": {CommonName: "kubelet-client", Organization: []string{"system:masters"}}},
	})
	if err != nil {
		return c, err
	}
	o.Progress("control plane after %s", c.since())
	if err := c.join(); err != nil {
		return c, err
	}
	o.Progress("node after %s", c.since())
	// Who had which address, for what connected to what.
	if _, err := c.Control.Serve(nil, "kubectl", "--kubeconfig="+c.Control.Kubeconfig, "get", "pods", "--all-namespaces", "--watch", "--output=json"); err != nil {
		return c, err
	}
	if err := c.addons(); err != nil {
		return c, err
	}
	o.Progress("DNS, NetworkPolicies and K8up after %s", c.since())
	return c, nil
}

// sweep removes what clusters left behind whose process was killed.
func sweep() {
	namespaces, _ := filepath.Glob("/run/netns/holdfast-*")
	folders, _ := filepath.Glob(filepath.Join(os.TempDir(), "holdfast-*-*"))
	for _, path := range append(namespaces, folders...) {
		name := filepath.Base(path)
		pid, _, _ := strings.Cut(strings.TrimPrefix(name, "holdfast-"), "-")
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		if _, err := os.Stat("/proc/" + pid); err == nil {
			continue
		}
		if strings.HasPrefix(path, "/run/netns/") {
			_ = exec.Command("ip", "netns", "delete", name).Run()
		} else {
			_ = os.RemoveAll(path)
		}
	}
}

func (c *Cluster) since() time.Duration { return time.Since(c.started).Round(100 * time.Millisecond) }

// enter is the command that runs another in the cluster's network.
func (c *Cluster) enter() []string {
	return []string{"nsenter", "--net=/run/netns/" + c.namespace, "--"}
}

// Run runs a program of the machine in the cluster's network, where Services
// can be reached by address.
func (c *Cluster) Run(environment []string, argv ...string) (string, error) {
	cmd, err := c.command(environment, argv...)
	if err != nil {
		return "", err
	}
	return output(cmd)
}

func (c *Cluster) command(environment []string, argv ...string) (*exec.Cmd, error) {
	path, err := harness.FindProgram(argv[0])
	if err != nil {
		return nil, err
	}
	argv = append(append(c.enter(), path), argv[1:]...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + c.Dir}, environment...)
	return cmd, nil
}

// output runs a command, and returns what it prints.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// network makes the network namespace: the node's address lies on a bridge, for
// not every kernel has dummy devices, with a route out, for kubelet and CNI look
// for one. It leads nowhere.
func (c *Cluster) network() error {
	if out, err := exec.Command("ip", "netns", "add", c.namespace).CombinedOutput(); err != nil {
		return fmt.Errorf("ip netns add: %w\n%s", err, out)
	}
	script := `set -e
ip link set lo up
ip link add node0 type bridge
ip address add ` + NodeAddress + `/24 dev node0
ip link set node0 up
ip route add default via 10.200.0.1 dev node0
sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
`
	_, err := c.Run(nil, "sh", "-c", script)
	return err
}

// startNode starts the node's process 1 with containerd.
func (c *Cluster) startNode(images []string) error {
	for _, folder := range []string{"cni", "containerd", "volumes"} {
		if err := os.MkdirAll(filepath.Join(c.Dir, folder), 0o755); err != nil {
			return err
		}
	}
	files := map[string]string{
		"cni/10-bridge.conflist": `{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
 "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "/run/cni-addresses"}}]}`,
		"containerd.toml": `version = 2
root = "` + c.Dir + `/containerd"
state = "/run/containerd"
oom_score = 0
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + Image + `"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "` + c.Dir + `/cni"
`,
		"resolv.conf": "nameserver " + dnsService + "\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(c.Dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	kubelet, err := harness.FindProgram("kubelet")
	if err != nil {
		return err
	}
	servers, err := harness.FindProgram("image/image.tar")
	if err != nil {
		return err
	}
	// K8up's operator runs in K8up's image.
	operator, err := k8upImage()
	if err != nil {
		return err
	}
	if !slices.Contains(images, operator) {
		images = append(slices.Clone(images), operator)
	}
	contracted, err := c.contracted(images)
	if err != nil {
		return err
	}
	spec, err := json.Marshal(map[string]any{"Dir": c.Dir, "Hostname": NodeName, "Group": c.namespace, "Images": []string{servers, contracted}, "Kubelet": kubelet})
	if err != nil {
		return err
	}
	file := filepath.Join(c.Dir, "node.json")
	if err := os.WriteFile(file, spec, 0o644); err != nil {
		return err
	}
	program, err := harness.OwnProgram("node")
	if err != nil {
		return err
	}
	c.node, err = harness.Start("node", append(c.enter(), program, file), harness.ServeOptions{Dir: c.Dir, Limit: 2 * time.Hour}, filepath.Join(c.Dir, "node.log"))
	return err
}

// join makes the node part of the cluster, and starts what routes to Services
// and what enforces NetworkPolicies.
func (c *Cluster) join() error {
	kubeconfig, err := c.Control.User("kubelet", pkix.Name{CommonName: "system:node:" + NodeName, Organization: []string{"system:nodes"}})
	if err != nil {
		return err
	}
	certificate, key, err := c.Control.Certificate("kubelet-server", pkix.Name{CommonName: "kubelet"}, NodeAddress)
	if err != nil {
		return err
	}
	config := map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"failCgroupV1": false, "cgroupDriver": "cgroupfs", "failSwapOn": false, "oomScoreAdj": 0,
		"containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false}, "webhook": map[string]any{"enabled": true}, "x509": map[string]any{"clientCAFile": c.Control.CAFile()}},
		"authorization": map[string]any{"mode": "Webhook"},
		"tlsCertFile":   certificate, "tlsPrivateKeyFile": key,
		"address": NodeAddress, "healthzBindAddress": "127.0.0.1",
		"clusterDomain": "cluster.local", "clusterDNS": []any{dnsService}, "resolvConf": filepath.Join(c.Dir, "resolv.conf"),
		"imageGCHighThresholdPercent": 100, "maxOpenFiles": 20000, "nodeStatusUpdateFrequency": "5s",
		// ConfigMaps reach pods within ten seconds, not a minute.
		"syncFrequency": "10s",
		"evictionHard":  map[string]any{"memory.available": "100Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%", "imagefs.available": "1%"},
	}
	data, err := json.Marshal(config)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.Dir, "kubelet.yaml"), data, 0o644); err != nil {
		return err
	}
	arguments, err := json.Marshal([]string{
		"--config=" + filepath.Join(c.Dir, "kubelet.yaml"), "--kubeconfig=" + kubeconfig, "--hostname-override=" + NodeName,
		"--node-ip=" + NodeAddress, "--root-dir=/var/lib/kubelet", "--v=2",
	})
	if err != nil {
		return err
	}
	half := filepath.Join(c.Dir, "kubelet.part")
	if err := os.WriteFile(half, arguments, 0o644); err != nil {
		return err
	}
	if err := os.Rename(half, filepath.Join(c.Dir, "kubelet.json")); err != nil {
		return err
	}
	scheduler, err := c.Control.User("scheduler", pkix.Name{CommonName: "system:kube-scheduler"})
	if err != nil {
		return err
	}
	if _, err := c.Control.Serve(nil, "kube-scheduler", "--kubeconfig="+scheduler, "--authentication-kubeconfig="+scheduler, "--authorization-kubeconfig="+scheduler,
		"--leader-elect=false", "--bind-address=127.0.0.1", "--profiling=false"); err != nil {
		return err
	}
	if err := c.wait("the node is ready", "wait", "--for=condition=Ready", "node/"+NodeName, "--timeout=1s"); err != nil {
		return err
	}
	proxy, err := c.Control.User("proxy", pkix.Name{CommonName: "system:kube-proxy"})
	if err != nil {
		return err
	}
	config = map[string]any{
		"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "clientConnection": map[string]any{"kubeconfig": proxy},
		"mode": "nftables", "clusterCIDR": Pods, "hostnameOverride": NodeName, "oomScoreAdj": 0,
		"conntrack": map[string]any{"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
	}
	if data, err = json.Marshal(config); err != nil {
		return err
	}
	file := filepath.Join(c.Dir, "proxy.yaml")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		return err
	}
	if _, err := c.Control.Serve(nil, "kube-proxy", "--config="+file); err != nil {
		return err
	}
	// What is allowed is connected; what is not never gets that far.
	if _, err := c.Control.Serve(nil, "conntrack", "--event", "--event-mask", "NEW", "--output", "timestamp"); err != nil {
		return err
	}
	router, err := c.Control.User("router", pkix.Name{CommonName: "kube-router", Organization: []string{"system:masters"}})
	if err != nil {
		return err
	}
	_, err = c.Control.Serve(nil, "kube-router", "--kubeconfig="+router, "--hostname-override="+NodeName, "--run-firewall=true", "--run-router=false",
		"--run-service-proxy=false", "--health-port=0", "--service-cluster-ip-range=10.96.0.0/16", "--iptables-sync-period=10s")
	return err
}

// wait repeats kubectl until it succeeds.
func (c *Cluster) wait(what string, arguments ...string) error {
	end := time.Now().Add(patience)
	for {
		_, err := c.Control.TryKubectl(arguments...)
		if err == nil {
			return nil
		}
		if !c.node.Running() {
			return errors.New("the node ended")
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: not within %s: %w", what, patience, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// until repeats something until it succeeds.
func (c *Cluster) until(do func() error) error {
	end := time.Now().Add(patience)
	for {
		err := do()
		if err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(300 * time.Millisecond)
	}
}

// addons installs DNS and K8up.
func (c *Cluster) addons() error {
	if err := c.Manifest(strings.NewReplacer("{{image}}", Image, "{{address}}", dnsService).Replace(dns)); err != nil {
		return err
	}
	if err := c.k8up(); err != nil {
		return err
	}
	for _, deployment := range [][2]string{{"kube-system", "coredns"}, {"k8up-system", "k8up"}} {
		if err := c.wait(deployment[1]+" runs", "rollout", "status", "--namespace="+deployment[0], "deployment/"+deployment[1], "--timeout=1s"); err != nil {
			return err
		}
	}
	return nil
}

// Manifest applies YAML as an administrator.
func (c *Cluster) Manifest(text string) error {
	_, err := c.Control.KubectlIn([]byte(text), "apply", "--server-side", "--force-conflicts", "--field-manager=e2e", "--filename=-")
	return err
}

// logs are the ends of what the servers wrote.
func (c *Cluster) logs() string {
	var out strings.Builder
	folders := []string{c.Dir}
	if c.Control != nil {
		folders = append(folders, c.Control.Dir())
	}
	for _, folder := range folders {
		files, _ := filepath.Glob(filepath.Join(folder, "*.log"))
		for _, file := range files {
			if slices.Contains([]string{"audit.log", "conntrack.log", "kubectl.log"}, filepath.Base(file)) {
				continue
			}
			data, err := os.ReadFile(file)
			if err != nil || len(data) == 0 {
				continue
			}
			lines := strings.Split(strings.TrimSpace(string(data)), "\n")
			fmt.Fprintf(&out, "--- %s\n%s\n", filepath.Base(file), strings.Join(lines[max(0, len(lines)-5):], "\n"))
		}
	}
	return out.String()
}

// Stop ends the cluster and removes everything that it made.
func (c *Cluster) Stop() {
	c.once.Do(func() {
		if c.node != nil {
			c.node.Stop()
		}
		if c.Control != nil {
			c.Control.Remove()
		}
		// The namespace goes with its last process; its name goes now.
		_ = exec.Command("ip", "netns", "delete", c.namespace).Run()
		if c.Dir != "" {
			_ = os.RemoveAll(c.Dir)
		}
	})
}
