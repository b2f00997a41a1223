package harness

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-backup/holdfast/e2e/harness/sandbox"
)

// Image is what a container image brings: a shell with the usual tools, and
// programs of its own.
type Image struct {
	// Shell is "ash", busybox with its applets as in Alpine's images, or "dash"
	// with the tools of Debian's smallest image. "" is "ash".
	Shell string
	// Bin lists folders, which come into PATH as they are, and single programs.
	// Name programs one by one where a folder holds more than the image has.
	Bin []string
}

// Options are what surrounds a container.
type Options struct {
	Image   Image
	Secrets map[string]map[string]string // Secret name → key → value, for those that the state declares; ours are taken from the tree
	// ConfigMaps is the same for ConfigMaps.
	ConfigMaps map[string]map[string]string
	Env        map[string]string            // overrides, as an operator edits the request ConfigMap (HOLDFAST_OVERWRITE, HOLDFAST_SNAPSHOT, …)
	Locks      map[string]map[string]string // lock ConfigMap name → data
	Claims     map[string]string            // claim → host folder
	Scratch    string                       // other size of the scratch tmpfs, "1Mi" for a full disk
	ScratchDir string                       // host folder shared by the steps of one restore instead of a tmpfs
	Files      map[string][]byte            // further files below /holdfast/files
	// Input is what the steps before apply would have brought; then Restore
	// runs apply alone.
	Input []byte
	// Kubeconfig is the path of one. With a token it becomes the pod's
	// ServiceAccount, where the pod has one; else kubectl gets it by KUBECONFIG.
	Kubeconfig string
	// Cluster gives the pod a token of its own ServiceAccount there, which must
	// exist: see ClusterServer.Install.
	Cluster *ClusterServer
	// FreeLocks answers guard.sh without an API server, as if every lock were
	// free: for tests of something else.
	FreeLocks bool
	// Exec runs what the container runs by "kubectl exec"; see Kubectl.
	Exec func(Exec) int
	// Pod is what "kubectl get pod" answers there; see Kubectl.
	Pod string
	// Timeout of one container; five minutes if 0. Passing it fails the test.
	Timeout time.Duration
}

// K8upImage is the image of K8up: restic, kubectl and jq on Alpine.
func K8upImage(t testing.TB) Image {
	t.Helper()
	return Image{Shell: "ash", Bin: []string{Program(t, "restic"), Program(t, "kubectl"), Program(t, "jq"), Program(t, "curl")}}
}

// RcloneImage is the image of rclone: rclone on Alpine.
func RcloneImage(t testing.TB) Image {
	t.Helper()
	return Image{Shell: "ash", Bin: []string{Program(t, "rclone")}}
}

// pod is one container of a rendered pod, on its way to a sandbox.
type pod struct {
	instance  *Instance
	unit      string
	namespace string
	name      string
	spec      map[string]any
	container map[string]any
	argv      []string
	exec      bool
	// dump says that stdout is a backup.
	dump bool
}

// sandboxed is a pod that is ready to start.
type sandboxed struct {
	sandbox.Spec
	// secrets are the values that no message may hold.
	secrets []string
}

// prepare turns the pod into a sandbox: all that kubelet and the runtime do.
func (p *pod) prepare(t testing.TB, o Options) (*sandboxed, error) {
	image, err := p.image(t, o)
	if err != nil {
		return nil, err
	}
	account := text(p.spec, "serviceAccountName")
	if o.Cluster != nil && o.Kubeconfig == "" && at(p.spec, "automountServiceAccountToken") != false {
		o.Kubeconfig = o.Cluster.ServiceAccountKubeconfig(t, p.namespace, account)
	}
	b := &builder{pod: p, options: o, image: image, work: Folder(t, 0)}
	b.Root = filepath.Join(b.work, "root")
	if o.FreeLocks || o.Exec != nil {
		b.first = Kubectl(t, KubectlOptions{Exec: o.Exec, FreeLocks: o.FreeLocks, Asks: o.Kubeconfig != "", Pod: o.Pod})
	}
	b.Hostname, b.Argv, b.Exec = p.name, p.argv, p.exec
	if len(b.Hostname) > 63 {
		b.Hostname = b.Hostname[:63]
	}
	for _, step := range []func() error{b.security, b.base, b.programs, b.volumes, b.account, b.environment} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("container %s of %s: %w", text(p.container, "name"), p.name, err)
		}
	}
	return &b.sandboxed, nil
}

// image is the test's, or the one that we know by its reference.
func (p *pod) image(t testing.TB, o Options) (Image, error) {
	reference := text(p.container, "image")
	k8up := reference == p.instance.Plan.Platform.Images["k8up"]
	fetches := slices.Contains([]string{"validate", "fetch", "verify"}, text(p.container, "name"))
	image := o.Image
	switch {
	case k8up && (fetches || len(image.Bin) == 0):
		image = K8upImage(t)
		if !fetches && o.Image.Shell != "" {
			image.Shell = o.Image.Shell
		}
	case len(image.Bin) == 0 && strings.Contains(reference, "rclone/rclone"):
		image = RcloneImage(t)
		if o.Image.Shell != "" {
			image.Shell = o.Image.Shell
		}
	}
	if image.Shell == "" {
		image.Shell = "ash"
	}
	if image.Shell != "ash" && image.Shell != "dash" {
		return image, fmt.Errorf("the shell %q is neither ash nor dash", image.Shell)
	}
	return image, nil
}

// builder makes the sandbox of one pod.
type builder struct {
	sandboxed
	pod     *pod
	options Options
	image   Image
	work    string
	first   string // folder before all others in PATH
	path    []string
	further map[string]string // environment that only this pod gets
}

// security takes user, group, capabilities and the root's mode.
func (b *builder) security() error {
	ofPod, of := object(b.pod.spec, "securityContext"), object(b.pod.container, "securityContext")
	id := func(key string) (int, error) {
		if n, ok := number(of, key); ok {
			return n, nil
		}
		if n, ok := number(ofPod, key); ok {
			return n, nil
		}
		return 0, fmt.Errorf("%s is not set: the image would decide", key)
	}
	var err, err2 error
	b.UID, err = id("runAsUser")
	b.GID, err2 = id("runAsGroup")
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	if at(of, "allowPrivilegeEscalation") != false {
		return errors.New("allowPrivilegeEscalation is not false")
	}
	drop, _ := at(of, "capabilities", "drop").([]any)
	if len(drop) != 1 || drop[0] != "ALL" {
		return errors.New("not all capabilities are dropped")
	}
	known := map[string]int{"CHOWN": unix.CAP_CHOWN, "DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "FOWNER": unix.CAP_FOWNER, "DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH}
	add, _ := at(of, "capabilities", "add").([]any)
	for _, name := range add {
		c, ok := known[fmt.Sprint(name)]
		if !ok {
			return fmt.Errorf("the capability %v is not known here", name)
		}
		b.Capabilities = append(b.Capabilities, c)
	}
	b.ReadOnlyRoot = at(of, "readOnlyRootFilesystem") == true
	return nil
}

// base lays out the root: what every image has.
func (b *builder) base() error {
	for _, dir := range []string{"bin", "usr", "etc", "proc", "dev", "tmp", "run", "var", "image/bin", "holdfast"} {
		if err := os.MkdirAll(filepath.Join(b.Root, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(b.Root, "tmp"), 0o1777); err != nil {
		return err
	}
	for name, target := range map[string]string{
		"lib": "usr/lib", "lib64": "usr/lib64", "sbin": "bin", "var/run": "../run", "var/tmp": "../tmp",
		"dev/fd": "/proc/self/fd", "dev/stdin": "/proc/self/fd/0", "dev/stdout": "/proc/self/fd/1", "dev/stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, filepath.Join(b.Root, name)); err != nil {
			return err
		}
	}
	for _, dir := range []string{"/usr", "/etc"} {
		b.bind(dir, dir, true)
	}
	for _, device := range []string{"null", "zero", "full", "random", "urandom"} {
		if err := b.bindFile("/dev/"+device, "/dev/"+device); err != nil {
			return err
		}
	}
	tools, err := shellTools(b.image.Shell)
	if err != nil {
		return err
	}
	for _, tool := range tools {
		if err := os.Symlink(tool.target, filepath.Join(b.Root, "bin", tool.name)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// tool is a program of a shell's surroundings.
type tool struct{ name, target string }

// shellTools lists what /bin holds.
func shellTools(shell string) ([]tool, error) {
	var tools []tool
	if shell == "ash" {
		out, err := exec.Command("/usr/bin/busybox", "--list").Output()
		if err != nil {
			return nil, fmt.Errorf("busybox is missing: run e2e/setup.sh: %w", err)
		}
		for _, name := range strings.Fields(string(out)) {
			tools = append(tools, tool{name, "/usr/bin/busybox"})
		}
		return tools, nil
	}
	// What Debian cannot be without.
	out, err := exec.Command("dpkg-query", "-W", "-f", "${Essential} ${Priority} ${Package}\n").Output()
	if err != nil {
		return nil, fmt.Errorf("asking for Debian's packages: %w", err)
	}
	arguments := []string{"-L"}
	for _, line := range strings.Split(string(out), "\n") {
		f := strings.Fields(line)
		if len(f) == 3 && (f[0] == "yes" || f[1] == "required") {
			arguments = append(arguments, f[2])
		}
	}
	out, err = exec.Command("dpkg-query", arguments...).Output()
	if err != nil {
		return nil, fmt.Errorf("asking for the files of Debian's packages: %w", err)
	}
	tools = []tool{{"sh", "/usr/bin/dash"}, {"awk", "/usr/bin/awk"}}
	binary := regexp.MustCompile(`^(?:/usr)?(/s?bin/[^/]+)$`)
	for _, line := range strings.Split(string(out), "\n") {
		if m := binary.FindStringSubmatch(line); m != nil && filepath.Base(line) != "sh" {
			tools = append(tools, tool{filepath.Base(line), "/usr" + m[1]})
		}
	}
	return tools, nil
}

// programs brings the image's own programs and decides PATH.
func (b *builder) programs() error {
	var folders []string
	for _, name := range b.image.Bin {
		info, err := os.Stat(name)
		if err != nil {
			return fmt.Errorf("the image's programs: %w", err)
		}
		if !info.IsDir() {
			if err := b.bindFile(name, "/image/bin/"+filepath.Base(name)); err != nil {
				return err
			}
			continue
		}
		folders = append(folders, name)
		if !strings.HasPrefix(name, "/usr/") {
			if err := b.bindFolder(name, name, true); err != nil {
				return err
			}
		}
	}
	b.path = append([]string{"/image/bin"}, folders...)
	if b.image.Shell == "ash" {
		// A folder of Debian's must not replace what Alpine has from busybox.
		b.path = append([]string{"/image/bin", "/bin"}, folders...)
	} else {
		b.path = append(b.path, "/bin")
	}
	if b.first != "" {
		b.path = append([]string{b.first}, b.path...)
		return b.bindFolder(b.first, b.first, true)
	}
	return nil
}

func (b *builder) bind(source, target string, readOnly bool) {
	b.Mounts = append(b.Mounts, sandbox.Mount{Source: source, Target: target, ReadOnly: readOnly})
}

// bindFile and bindFolder make the place in the root as well.
func (b *builder) bindFile(source, target string) error {
	source, err := filepath.EvalSymlinks(source)
	if err != nil {
		return err
	}
	place := filepath.Join(b.Root, target)
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(place, nil, 0o644); err != nil {
		return err
	}
	b.bind(source, target, !strings.HasPrefix(target, "/dev/"))
	return nil
}

func (b *builder) bindFolder(source, target string, readOnly bool) error {
	if err := os.MkdirAll(filepath.Join(b.Root, target), 0o755); err != nil {
		return err
	}
	b.bind(source, target, readOnly)
	return nil
}

// volumes mounts what the container mounts.
func (b *builder) volumes() error {
	declared := map[string]map[string]any{}
	for _, v := range list(b.pod.spec, "volumes") {
		declared[text(v, "name")] = v
	}
	seen := false
	for _, m := range list(b.pod.container, "volumeMounts") {
		name, path := text(m, "name"), text(m, "mountPath")
		volume, ok := declared[name]
		if !ok {
			return fmt.Errorf("the volume %q is not declared", name)
		}
		if text(m, "subPath") != "" {
			return errors.New("subPath is not known here")
		}
		seen = seen || path == "/holdfast/files"
		if err := b.volume(name, path, at(m, "readOnly") == true, volume); err != nil {
			return fmt.Errorf("volume %s: %w", name, err)
		}
	}
	if !seen && len(b.options.Files) > 0 {
		return b.content("files", "/holdfast/files", nil, 0o444)
	}
	return nil
}

// volume mounts one volume.
func (b *builder) volume(name, path string, readOnly bool, v map[string]any) error {
	mode := func(source map[string]any) fs.FileMode {
		if n, ok := number(source, "defaultMode"); ok {
			return fs.FileMode(n)
		}
		return 0o644
	}
	switch {
	case at(v, "emptyDir") != nil:
		return b.emptyDir(name, path, text(v, "emptyDir", "sizeLimit"))
	case at(v, "configMap") != nil:
		source := object(v, "configMap")
		files, err := b.source("ConfigMap", text(source, "name"), source)
		if err != nil {
			return err
		}
		return b.content(name, path, files, mode(source))
	case at(v, "secret") != nil:
		source := object(v, "secret")
		files, err := b.source("Secret", text(source, "secretName"), source)
		if err != nil {
			return err
		}
		return b.content(name, path, files, mode(source))
	case at(v, "projected") != nil:
		all := map[string]string{}
		for _, source := range list(v, "projected", "sources") {
			for _, s := range []struct{ key, kind string }{{"configMap", "ConfigMap"}, {"secret", "Secret"}} {
				if at(source, s.key) == nil {
					continue
				}
				files, err := b.source(s.kind, text(source, s.key, "name"), object(source, s.key))
				if err != nil {
					return err
				}
				maps.Copy(all, files)
			}
		}
		return b.content(name, path, all, mode(object(v, "projected")))
	case at(v, "persistentVolumeClaim") != nil:
		claim := text(v, "persistentVolumeClaim", "claimName")
		folder, ok := b.options.Claims[claim]
		if !ok {
			return fmt.Errorf("Options.Claims has no folder for the claim %q", claim)
		}
		return b.bindFolder(folder, path, readOnly)
	}
	return errors.New("a kind of volume that is not known here")
}

// emptyDir is a tmpfs that everybody may write to, as kubelet makes it.
func (b *builder) emptyDir(name, path, size string) error {
	if name == "tools" {
		return b.tools(path)
	}
	if name == "scratch" && b.options.ScratchDir != "" {
		return b.bindFolder(b.options.ScratchDir, path, false)
	}
	if name == "scratch" && b.options.Scratch != "" {
		size = b.options.Scratch
	}
	if err := os.MkdirAll(filepath.Join(b.Root, path), 0o755); err != nil {
		return err
	}
	bytes, err := quantity(size)
	if err != nil {
		return err
	}
	b.Mounts = append(b.Mounts, sandbox.Mount{Target: path, Size: bytes, Mode: "0777"})
	return nil
}

// tools holds what the init container of that name copies.
func (b *builder) tools(path string) error {
	folder := filepath.Join(b.work, "tools")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := b.bindFolder(folder, path, true); err != nil {
		return err
	}
	kubectl, err := findProgram("kubectl")
	if err != nil {
		// Only a container that calls it needs it.
		return nil
	}
	if err := os.WriteFile(filepath.Join(folder, "kubectl"), nil, 0o755); err != nil {
		return err
	}
	b.bind(kubectl, filepath.Join(path, "kubectl"), true)
	return nil
}

// quantity is a size of Kubernetes as mount takes it: in bytes.
func quantity(size string) (string, error) {
	if size == "" {
		return "", nil
	}
	for _, unit := range []struct {
		suffix string
		factor int64
	}{{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"", 1}} {
		if digits, ok := strings.CutSuffix(size, unit.suffix); ok {
			n, err := strconv.ParseInt(digits, 10, 64)
			if err != nil {
				return "", fmt.Errorf("the size %q is not known here", size)
			}
			return strconv.FormatInt(n*unit.factor, 10), nil
		}
	}
	return "", fmt.Errorf("the size %q is not known here", size)
}

// source is what a volume shows of a ConfigMap or Secret.
func (b *builder) source(kind, name string, source map[string]any) (map[string]string, error) {
	data, err := b.data(kind, name)
	if err != nil {
		return nil, err
	}
	items := list(source, "items")
	if data == nil {
		// The test may have brought the very files.
		found := map[string]string{}
		for _, item := range items {
			if file, ok := b.options.Files[text(item, "path")]; ok {
				found[text(item, "path")] = string(file)
			}
		}
		if at(source, "optional") == true || len(items) > 0 && len(found) == len(items) {
			return found, nil
		}
		return nil, fmt.Errorf("there is no %s %q: neither in the tree nor in Options", kind, name)
	}
	if len(items) == 0 {
		return data, nil
	}
	shown := map[string]string{}
	for _, item := range items {
		value, ok := data[text(item, "key")]
		if !ok {
			return nil, fmt.Errorf("%s %s has no key %q", kind, name, text(item, "key"))
		}
		shown[text(item, "path")] = value
	}
	return shown, nil
}

// data is a ConfigMap or Secret: what the test says, or what the tree says.
func (b *builder) data(kind, name string) (map[string]string, error) {
	given := b.options.Secrets
	if kind == "ConfigMap" {
		given = b.options.ConfigMaps
		if lock, ok := b.options.Locks[name]; ok {
			return lock, nil
		}
	}
	if data, ok := given[name]; ok {
		return data, nil
	}
	return b.pod.instance.data(kind, b.pod.namespace, name)
}

// content mounts files that only root may change.
func (b *builder) content(name, path string, files map[string]string, mode fs.FileMode) error {
	folder := filepath.Join(b.work, "volume-"+name)
	all := maps.Clone(files)
	if all == nil {
		all = map[string]string{}
	}
	if path == "/holdfast/files" {
		for file, data := range b.options.Files {
			all[file] = string(data)
		}
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for file, data := range all {
		target := filepath.Join(folder, file)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, []byte(data), mode); err != nil {
			return err
		}
		// Whatever our umask is.
		if err := os.Chmod(target, mode); err != nil {
			return err
		}
	}
	return b.bindFolder(folder, path, true)
}

// account gives the pod its way to the API server.
func (b *builder) account() error {
	b.further = map[string]string{}
	if b.options.Kubeconfig == "" {
		return nil
	}
	data, err := os.ReadFile(b.options.Kubeconfig)
	if err != nil {
		return err
	}
	config, err := parseKubeconfig(data)
	if err != nil || config.token == "" {
		folder := filepath.Join(b.work, "kubeconfig")
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, "config"), data, 0o444); err != nil {
			return err
		}
		b.further["KUBECONFIG"] = "/run/kubeconfig/config"
		return b.bindFolder(folder, "/run/kubeconfig", true)
	}
	b.further["KUBERNETES_SERVICE_HOST"] = config.host
	b.further["KUBERNETES_SERVICE_PORT"] = config.port
	if at(b.pod.spec, "automountServiceAccountToken") == false {
		return nil
	}
	return b.content("account", "/var/run/secrets/kubernetes.io/serviceaccount", map[string]string{
		"token": config.token, "ca.crt": config.ca, "namespace": b.pod.namespace,
	}, 0o644)
}

// cluster is what a kubeconfig of ours says.
type kubeconfig struct{ host, port, ca, token string }

// parseKubeconfig reads one that is written as JSON, as ours are.
func parseKubeconfig(data []byte) (kubeconfig, error) {
	var value map[string]any
	if err := json.Unmarshal(data, &value); err != nil {
		return kubeconfig{}, err
	}
	clusters, users := list(value, "clusters"), list(value, "users")
	if len(clusters) != 1 || len(users) != 1 {
		return kubeconfig{}, errors.New("not one cluster and one user")
	}
	host, port, _ := strings.Cut(strings.TrimPrefix(text(clusters[0], "cluster", "server"), "https://"), ":")
	ca, err := base64.StdEncoding.DecodeString(text(clusters[0], "cluster", "certificate-authority-data"))
	return kubeconfig{host: host, port: port, ca: string(ca), token: text(users[0], "user", "token")}, err
}

// environment makes what the program finds in its environment.
func (b *builder) environment() error {
	env := map[string]string{"PATH": strings.Join(b.path, ":"), "HOSTNAME": b.Hostname}
	maps.Copy(env, b.further)
	for _, from := range list(b.pod.container, "envFrom") {
		for _, s := range []struct{ key, kind string }{{"configMapRef", "ConfigMap"}, {"secretRef", "Secret"}} {
			if at(from, s.key) == nil {
				continue
			}
			data, err := b.data(s.kind, text(from, s.key, "name"))
			if err != nil {
				return err
			}
			if data == nil && at(from, s.key, "optional") != true {
				return fmt.Errorf("there is no %s %q", s.kind, text(from, s.key, "name"))
			}
			maps.Copy(env, data)
		}
	}
	uid := rand.Text()
	for _, e := range list(b.pod.container, "env") {
		value, err := b.variable(e, env, strings.ToLower(uid))
		if err != nil {
			return fmt.Errorf("%s: %w", text(e, "name"), err)
		}
		env[text(e, "name")] = value
	}
	maps.Copy(env, b.options.Env)
	for _, name := range slices.Sorted(maps.Keys(env)) {
		b.Env = append(b.Env, name+"="+env[name])
	}
	return nil
}

// variable is the value of one entry of env.
func (b *builder) variable(e map[string]any, env map[string]string, uid string) (string, error) {
	if ref := object(e, "valueFrom", "secretKeyRef"); ref != nil {
		data, err := b.data("Secret", text(ref, "name"))
		if err != nil {
			return "", err
		}
		value, ok := data[text(ref, "key")]
		if !ok {
			return "", fmt.Errorf("Options.Secrets has no key %q of the Secret %q", text(ref, "key"), text(ref, "name"))
		}
		b.secrets = append(b.secrets, value)
		return value, nil
	}
	if field := text(e, "valueFrom", "fieldRef", "fieldPath"); field != "" {
		switch field {
		case "metadata.name":
			return b.pod.name, nil
		case "metadata.uid":
			return uid, nil
		case "metadata.namespace":
			return b.pod.namespace, nil
		}
		return "", fmt.Errorf("the field %s is not known here", field)
	}
	if at(e, "valueFrom") != nil {
		return "", errors.New("a valueFrom that is not known here")
	}
	// $(NAME) of an earlier variable; $$ is one dollar.
	return regexp.MustCompile(`\$\$|\$\([A-Za-z_.-][A-Za-z0-9_.-]*\)`).ReplaceAllStringFunc(text(e, "value"), func(found string) string {
		if found == "$$" {
			return "$"
		}
		if value, ok := env[found[2:len(found)-1]]; ok {
			return value
		}
		return found
	}), nil
}
