package harness

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-backup/holdfast/e2e/harness/remote"
	"github.com/holdfast-backup/holdfast/e2e/harness/sandbox"
	"github.com/holdfast-backup/holdfast/e2e/image"
	"github.com/holdfast-backup/holdfast/renderer/kind"
)

// Image says how a container's image differs from its contract.
type Image struct {
	// Shell is who provides sh and the POSIX tools: "ash", busybox as in Alpine's
	// images, or "dash", Debian's. "" is what the contract says.
	Shell string
	// Bin lists programs, and folders of programs, that take the places of the
	// contract's tools of the same name; the first of a name counts. What the
	// contract does not have they do not bring. The ones that they replace are in
	// Behind.
	Bin []string
	// Without are tools that are taken out.
	Without []string
}

// Behind is a folder in each container, outside of PATH, with the programs that
// stand-ins took the place of.
const Behind = remote.Behind

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
	// Shared are host folders in the place of a pod's emptyDirs, by their names:
	// for containers that find there what those before them left.
	Shared map[string]string
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
	// Watch notes the arguments of every program that the container starts, but for
	// busybox and its applets: Wait fails the test when a secret is among them.
	Watch bool
	// Stdout gets what the container prints, instead of the result: for what may not
	// fit into memory.
	Stdout io.Writer
	// Timeout of one container; fifteen minutes if 0. Passing it fails the test.
	Timeout time.Duration

	// toolsDir is what the container "tools" writes to.
	toolsDir string
	// probe puts busybox and its applets into Behind, for scripts of tests.
	probe bool
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
	// arguments is a folder with a file for each program that was watched, "" if
	// none is.
	arguments string
}

// prepare turns the pod into a sandbox: all that kubelet and the runtime do.
func (p *pod) prepare(t testing.TB, o Options) (*sandboxed, error) {
	// What runs before a test's own container is as the contract says.
	if p.helps() {
		o.Image.Shell = ""
	}
	account := text(p.spec, "serviceAccountName")
	if o.Cluster != nil && o.Kubeconfig == "" && at(p.spec, "automountServiceAccountToken") != false {
		o.Kubeconfig = o.Cluster.ServiceAccountKubeconfig(t, p.namespace, account)
	}
	b := &builder{pod: p, options: o, work: Folder(t, 0)}
	b.Root = filepath.Join(b.work, "root")
	if o.FreeLocks || o.Exec != nil {
		b.standIn = Kubectl(t, KubectlOptions{Exec: o.Exec, FreeLocks: o.FreeLocks, Asks: o.Kubeconfig != "", Pod: o.Pod})
	}
	dynamic, err := b.replacements()
	if err != nil {
		return nil, err
	}
	if b.contract, b.image, err = rootOf(text(p.container, "image"), o.Image, dynamic); err != nil {
		return nil, err
	}
	if b.tools, err = p.tools(t, o, b.replaced["kubectl"]); err != nil {
		return nil, err
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

// helps says whether the container is one of those that run before apply.
func (p *pod) helps() bool {
	return slices.Contains([]string{"tools", "validate", "fetch", "verify"}, text(p.container, "name"))
}

// roots are the images' roots that this test binary has made, by what they hold.
var roots struct {
	sync.Mutex
	folder string
	made   map[string]string
}

// contracts are the images by reference, and by the name that settings use.
var contracts = sync.OnceValues(func() (map[string]kind.Image, error) {
	all, err := image.All()
	if err != nil {
		return nil, err
	}
	for _, contract := range maps.Clone(all) {
		all[contract.Reference] = contract
	}
	return all, nil
})

// rootOf is the contract of an image, by its reference or its name, and the root
// that is made from it, with these programs for tools of their names.
func rootOf(reference string, o Image, programs map[string]string) (kind.Image, string, error) {
	all, err := contracts()
	if err != nil {
		return kind.Image{}, "", err
	}
	contract, ok := all[reference]
	if !ok {
		return contract, "", fmt.Errorf("no images.json has a contract of the image %q", reference)
	}
	if o.Shell != "" {
		shells := map[string]string{"ash": image.Busybox, "dash": image.Debian}
		if contract.Shell, ok = shells[o.Shell]; !ok {
			return contract, "", fmt.Errorf("the shell %q is neither ash nor dash", o.Shell)
		}
	}
	contract.Tools = maps.Clone(contract.Tools)
	for _, name := range o.Without {
		delete(contract.Tools, name)
	}
	roots.Lock()
	defer roots.Unlock()
	if roots.folder == "" {
		if roots.folder, err = os.MkdirTemp("", "holdfast-e2e-roots-"); err != nil {
			return contract, "", err
		}
		roots.made = map[string]string{}
		if err := os.Chmod(roots.folder, 0o755); err != nil {
			return contract, "", err
		}
	}
	find := func(name string) (string, error) {
		if program, ok := programs[name]; ok {
			return program, nil
		}
		return findTool(name)
	}
	key := fmt.Sprintln(reference, contract.Shell, o.Without, programs)
	if roots.made[key] == "" {
		root := filepath.Join(roots.folder, strconv.Itoa(len(roots.made)))
		if err := os.Mkdir(root, 0o755); err != nil {
			return contract, "", err
		}
		if err := image.Build(root, contract, find); err != nil {
			return contract, "", err
		}
		roots.made[key] = root
	}
	return contract, roots.made[key], nil
}

// removeRoots forgets all roots.
func removeRoots() {
	roots.Lock()
	defer roots.Unlock()
	// A folder in the machine's own temporary folder; nobody is left to tell.
	_ = os.RemoveAll(roots.folder)
	roots.folder, roots.made = "", nil
}

// findTool is this machine's program for a tool. Where Debian has a script that
// looks for the right version, it is that version.
func findTool(name string) (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err == nil && len(found) > 0 {
		return found[len(found)-1], nil
	}
	return findProgram(name)
}

// toolFolders are what "tools" containers have left, by what they copied.
var toolFolders struct {
	sync.Mutex
	made map[string]string
}

// tools is the folder that the pod's init container "tools" leaves: it runs first,
// as kubelet would have it, in the root of its own image. Its copy serves all
// pods alike. "" for a pod without one.
func (p *pod) tools(t testing.TB, o Options, kubectl string) (string, error) {
	if text(p.container, "name") == "tools" || o.Shared["tools"] != "" {
		return "", nil
	}
	first := *p
	first.container, first.argv, first.exec, first.dump = nil, nil, false, false
	first.find("tools")
	if first.container == nil {
		return "", nil
	}
	toolFolders.Lock()
	defer toolFolders.Unlock()
	key := text(first.container, "image") + " " + kubectl
	if _, err := os.Stat(filepath.Join(filepath.Dir(kubectl), "kubectl.json")); err == nil {
		key = text(first.container, "image") + " stand-in"
	}
	if folder, ok := toolFolders.made[key]; ok {
		if _, err := os.Stat(folder); err == nil {
			return folder, nil
		}
	}
	if _, _, err := rootOf(text(first.container, "image"), Image{}, nil); err != nil {
		return "", err
	}
	folder, err := os.MkdirTemp(roots.folder, "tools-")
	if err != nil {
		return "", err
	}
	// As kubelet makes an emptyDir, whatever our umask is.
	if err := os.Chmod(folder, 0o777); err != nil {
		return "", err
	}
	with := Options{Secrets: o.Secrets, ConfigMaps: o.ConfigMaps, toolsDir: folder}
	if kubectl != "" {
		with.Image.Bin = []string{kubectl}
	}
	if r := start(t, &first, with).Wait(); r.Code != 0 {
		return "", fmt.Errorf("the container tools ended with %d:\n%s", r.Code, r.Stderr)
	}
	if toolFolders.made == nil {
		toolFolders.made = map[string]string{}
	}
	toolFolders.made[key] = folder
	return folder, nil
}

// builder makes the sandbox of one pod.
type builder struct {
	sandboxed
	pod      *pod
	options  Options
	contract kind.Image
	image    string            // the image's root
	tools    string            // what the init container left
	standIn  string            // folder of the stand-in for kubectl
	replaced map[string]string // programs in the place of tools, by name
	work     string
	further  map[string]string // environment that only this pod gets
}

// replacements finds the programs that take the places of tools. Dynamic ones
// need a root that has their libraries as well, and are returned.
func (b *builder) replacements() (map[string]string, error) {
	programs, dynamic := map[string]string{}, map[string]string{}
	bin := b.options.Image.Bin
	if b.standIn != "" {
		bin = append([]string{b.standIn}, bin...)
	}
	for _, name := range bin {
		info, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("the image's programs: %w", err)
		}
		files := []string{name}
		if info.IsDir() {
			if files, err = filepath.Glob(filepath.Join(name, "*")); err != nil {
				return nil, err
			}
		}
		for _, file := range files {
			info, err := os.Stat(file)
			if err != nil {
				return nil, err
			}
			tool := filepath.Base(file)
			if programs[tool]+dynamic[tool] != "" || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
				continue
			}
			switch needs, err := image.Dynamic(file); {
			case err != nil:
				return nil, err
			case needs:
				dynamic[tool] = file
			default:
				programs[tool] = file
			}
		}
	}
	b.replaced = programs
	return dynamic, nil
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

// base shows the image's root, and makes what the runtime makes.
func (b *builder) base() error {
	for _, dir := range []string{"proc", "dev", "tmp", "run", "var", "holdfast"} {
		if err := os.MkdirAll(filepath.Join(b.Root, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(b.Root, "tmp"), 0o1777); err != nil {
		return err
	}
	for name, target := range map[string]string{
		"var/run": "../run", "var/tmp": "../tmp",
		"dev/fd": "/proc/self/fd", "dev/stdin": "/proc/self/fd/0", "dev/stdout": "/proc/self/fd/1", "dev/stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, filepath.Join(b.Root, name)); err != nil {
			return err
		}
	}
	for _, device := range []string{"null", "zero", "full", "random", "urandom"} {
		if err := b.bindFile("/dev/"+device, "/dev/"+device); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(b.image)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		source, place := filepath.Join(b.image, entry.Name()), filepath.Join(b.Root, entry.Name())
		if _, err := os.Lstat(place); err == nil {
			continue // mounted or made by the runtime
		}
		if target, err := os.Readlink(source); err == nil {
			if err := os.Symlink(target, place); err != nil {
				return err
			}
		} else if err := b.bindFolder(source, "/"+entry.Name(), true); err != nil {
			return err
		}
	}
	for _, file := range []string{"/etc/hosts", "/etc/resolv.conf"} {
		b.bind(file, file, true)
	}
	return nil
}

// programs puts those of a test in the places of the image's.
func (b *builder) programs() error {
	behind := filepath.Join(b.work, "behind")
	if err := os.MkdirAll(behind, 0o755); err != nil {
		return err
	}
	if b.options.Watch {
		if err := b.watch(); err != nil {
			return err
		}
	}
	if len(b.replaced) > 0 || b.options.probe {
		if err := b.bindFolder(behind, Behind, true); err != nil {
			return err
		}
	}
	show := func(source, name string) error {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(behind, name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(behind, name), nil, 0o755); err != nil {
			return err
		}
		b.bind(source, filepath.Join(Behind, name), true)
		return nil
	}
	if b.options.probe {
		if err := show("/usr/bin/busybox", "busybox"); err != nil {
			return err
		}
		out, err := exec.Command("/usr/bin/busybox", "--list").Output()
		if err != nil {
			return fmt.Errorf("busybox is missing: run e2e/setup.sh: %w", err)
		}
		for _, name := range strings.Fields(string(out)) {
			if err := errors.Join(os.MkdirAll(filepath.Join(behind, "applets"), 0o755), os.Symlink(Behind+"/busybox", filepath.Join(behind, "applets", name))); err != nil {
				return err
			}
		}
	}
	if b.arguments != "" {
		if err := os.Mkdir(filepath.Join(behind, "arguments"), 0o755); err != nil {
			return err
		}
		b.bind(b.arguments, Behind+"/arguments", false)
	}
	for _, name := range slices.Sorted(maps.Keys(b.replaced)) {
		tool, ok := b.contract.Tools[name]
		if !ok && name != "kubectl" {
			continue
		}
		program, err := filepath.EvalSymlinks(b.replaced[name])
		if err != nil {
			return err
		}
		real := filepath.Join(b.image, tool.Path)
		if !ok {
			if real, err = findTool(name); err != nil {
				return err
			}
		}
		if _, err := os.Readlink(real); err == nil {
			return fmt.Errorf("%s is part of busybox there, and cannot be replaced", name)
		}
		if ok {
			b.bind(program, tool.Path, true)
		}
		if err := show(real, name); err != nil {
			return err
		}
		// The stand-in for kubectl brings more than a program.
		folder := filepath.Dir(b.replaced[name])
		if _, err := os.Stat(filepath.Join(folder, "kubectl.json")); name == "kubectl" && err == nil {
			if err := os.MkdirAll(filepath.Join(behind, "stand-in"), 0o755); err != nil {
				return err
			}
			b.bind(folder, filepath.Join(Behind, "stand-in"), true)
		}
	}
	return nil
}

// watch puts a script in the place of each tool that a test has not replaced. It
// notes its arguments, and becomes the tool.
func (b *builder) watch() error {
	watchers := filepath.Join(b.work, "watchers")
	b.arguments = filepath.Join(b.work, "arguments")
	if err := errors.Join(os.Mkdir(watchers, 0o755), os.Mkdir(b.arguments, 0o777), os.Chmod(b.arguments, 0o777)); err != nil {
		return err
	}
	for name, tool := range b.contract.Tools {
		_, err := os.Readlink(filepath.Join(b.image, tool.Path))
		// The scripts need a shell, and tools.sh copies kubectl as it is.
		if b.replaced[name] != "" || err == nil || name == "sh" || name == "busybox" || name == "kubectl" && text(b.pod.container, "name") == "tools" {
			continue
		}
		script := fmt.Sprintf("#!/bin/sh\nset -e\nprintf '%%s\\n' \"$@\" >>%[1]s/arguments/%[2]s.$$\nexec %[1]s/%[2]s \"$@\"\n", Behind, name)
		b.replaced[name] = filepath.Join(watchers, name)
		if err := os.WriteFile(b.replaced[name], []byte(script), 0o755); err != nil {
			return err
		}
	}
	// All of it may be busybox.
	if len(b.replaced) == 0 {
		b.arguments = ""
	}
	return nil
}

// told are the watched programs that got a secret as an argument. Short ones are
// part of too many words.
func (s *sandboxed) told() ([]string, int, error) {
	var forms []string
	for _, secret := range s.secrets {
		for _, line := range strings.Split(secret, "\n") {
			if len(line) >= 6 {
				forms = append(forms, line, url.PathEscape(line), url.QueryEscape(line))
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(s.arguments, "*"))
	if err != nil {
		return nil, 0, err
	}
	var programs []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, 0, err
		}
		name, _, _ := strings.Cut(filepath.Base(file), ".")
		if slices.ContainsFunc(forms, func(form string) bool { return strings.Contains(string(data), form) }) && !slices.Contains(programs, name) {
			programs = append(programs, name)
		}
	}
	return programs, len(files), nil
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
		return b.emptyDir(name, path, text(v, "emptyDir", "sizeLimit"), readOnly)
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
func (b *builder) emptyDir(name, path, size string, readOnly bool) error {
	if folder, ok := b.options.Shared[name]; ok {
		return b.bindFolder(folder, path, readOnly)
	}
	if name == "tools" && b.options.toolsDir != "" {
		return b.bindFolder(b.options.toolsDir, path, readOnly)
	}
	if name == "tools" && b.tools != "" {
		return b.bindFolder(b.tools, path, readOnly)
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
	b.Mounts = append(b.Mounts, sandbox.Mount{Target: path, Size: bytes, Mode: "0777", ReadOnly: readOnly})
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
	env := map[string]string{"PATH": image.Path(b.contract), "HOSTNAME": b.Hostname}
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
		if errors.Is(err, errUnset) {
			continue
		}
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

// errUnset says that a variable is optional, and absent.
var errUnset = errors.New("unset")

// variable is the value of one entry of env.
func (b *builder) variable(e map[string]any, env map[string]string, uid string) (string, error) {
	if ref := object(e, "valueFrom", "secretKeyRef"); ref != nil {
		data, err := b.data("Secret", text(ref, "name"))
		if err != nil {
			return "", err
		}
		value, ok := data[text(ref, "key")]
		if !ok && at(ref, "optional") == true {
			return "", errUnset
		}
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
