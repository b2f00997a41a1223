package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

// image is a root folder that has what our image has: the static binary.
func image(t *testing.T) string {
	t.Helper()
	notShort(t, "what builds a release")
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(root, "holdfast"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return root
}

// inImage makes a command run in an image as a user without rights. Only root
// can do that; for others the command runs as they are, and the log says so.
func inImage(t *testing.T, root, dir string, user uint32, command ...string) *exec.Cmd {
	t.Helper()
	cmd := &exec.Cmd{Path: command[0], Args: command, Dir: dir, Env: []string{}}
	if os.Getuid() != 0 {
		t.Logf("NOT AS IN A CONTAINER: only root can change the root folder and the user; %s runs as uid %d", command[0], os.Getuid())
		cmd.Path, cmd.Dir = filepath.Join(root, command[0]), filepath.Join(root, dir)
		return cmd
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: user, Gid: user}}
	return cmd
}

// yamlBlock reads a block of docs/argocd.md.
func yamlBlock(t *testing.T, name string) map[string]any {
	t.Helper()
	documents, err := yaml.Decode([]byte(documentBlocks(t, "argocd.md")[name]))
	if err != nil || len(documents) != 1 {
		t.Fatalf("%s: %d documents, %v", name, len(documents), err)
	}
	return documents[0]
}

func walk(value any, path ...string) any {
	for _, name := range path {
		m, _ := value.(map[string]any)
		value = m[name]
	}
	return value
}

// TestArgoPlugin runs the command of the plug-in that docs/argocd.md shows, as
// the sidecar of Argo CD's repo server would: in an image without a shell, as
// uid 999, with nothing to write to but /tmp, in the folder of the Application,
// with Argo CD's variables and no others.
func TestArgoPlugin(t *testing.T) {
	plugin := yamlBlock(t, "plugin.yaml")
	if plugin["kind"] != "ConfigManagementPlugin" || plugin["apiVersion"] != "argoproj.io/v1alpha1" {
		t.Errorf("plugin.yaml is a %v", plugin["kind"])
	}
	root := image(t)
	source := filepath.Join("tmp", "_cmp_server", "5f2c", "instances", "shop")
	inputs := filepath.Join(root, source)
	if err := os.MkdirAll(inputs, 0o755); err != nil {
		t.Fatal(err)
	}
	example := filepath.Join("..", "..", "examples", "minimal")
	credentials := struct{ value map[string]any }{}
	if err := json.Unmarshal([]byte(readFile(t, filepath.Join(example, credentialsName))), &credentials.value); err != nil {
		t.Fatal(err)
	}
	restic := credentials.value["restic"].(map[string]any)
	delete(credentials.value, "git")
	for _, field := range []string{"accessKeyId", "secretAccessKey", "password"} {
		restic[field] = nil
	}
	data, err := json.Marshal(credentials.value)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		stateName: readFile(t, filepath.Join(example, stateName)), credentialsName: string(data),
		"policy.json": documentBlocks(t, "secrets.md")["policy.json"],
	} {
		writeFile(t, filepath.Join(inputs, name), text)
		if err := os.Chmod(filepath.Join(inputs, name), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	before := listing(t, root)
	if pattern, _ := walk(plugin, "spec", "discover", "fileName").(string); !slices.Contains(before, filepath.Join(source, pattern)) {
		t.Errorf("the plug-in does not discover %s", source)
	}
	var command []string
	for _, field := range []string{"command", "args"} {
		words, _ := walk(plugin, "spec", "generate", field).([]any)
		for _, word := range words {
			command = append(command, word.(string))
		}
	}
	cmd := inImage(t, root, "/"+source, 999, command...)
	cmd.Env = append(cmd.Env,
		"ARGOCD_APP_NAME=shop-backup", "ARGOCD_APP_NAMESPACE=shop", "ARGOCD_APP_PROJECT_NAME=default",
		"ARGOCD_APP_REVISION=0123456789abcdef0123456789abcdef01234567", "ARGOCD_APP_REVISION_SHORT=0123456", "ARGOCD_APP_REVISION_SHORT_8=01234567",
		"ARGOCD_APP_SOURCE_PATH=instances/shop", "ARGOCD_APP_SOURCE_REPO_URL=https://git.example.com/platform.git",
		"ARGOCD_APP_SOURCE_TARGET_REVISION=main", "KUBE_VERSION=1.34", "KUBE_API_VERSIONS=v1,apps/v1,k8up.io/v1",
		"ARGOCD_APP_PARAMETERS=[]", "ARGOCD_ENV_UNUSED=x")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v, stderr:\n%s", command, err, stderr.String())
	}
	objects, err := yaml.Decode(stdout.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, value := range objects {
		o := manifest.Object{Value: value}
		kinds[o.Kind()]++
		if value["apiVersion"] == nil || o.Kind() == "" || o.Name() == "" || o.Namespace() == "" && !strings.HasPrefix(o.Kind(), "ClusterRole") {
			t.Errorf("stdout has something that is no object: %v", value)
		}
	}
	if kinds["Schedule"] == 0 || kinds["ExternalSecret"] == 0 || kinds["Secret"] > 0 || kinds["Kustomization"] > 0 {
		t.Errorf("kinds: %v", kinds)
	}
	if after := listing(t, root); !slices.Equal(before, after) {
		t.Errorf("files before %v\nand after %v", before, after)
	}

	// What is wrong comes out on stderr and by the status, stdout stays empty.
	cmd = inImage(t, root, "/", 999, command...)
	stdout.Reset()
	stderr.Reset()
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err == nil || stdout.Len() > 0 || !strings.Contains(stderr.String(), "runtime-state.json") {
		t.Errorf("error %v, stdout %q, stderr %q", err, stdout.String(), stderr.String())
	}
}

// listing names all files below a folder.
func listing(t *testing.T, root string) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, _ fs.DirEntry, err error) error {
		names = append(names, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestArgoDocument: the other files of docs/argocd.md name what the plug-in and
// a tree really have.
func TestArgoDocument(t *testing.T) {
	plugin := yamlBlock(t, "plugin.yaml")
	name, _ := walk(plugin, "metadata", "name").(string)
	version, _ := walk(plugin, "spec", "version").(string)
	if got := walk(yamlBlock(t, "plugin-application.yaml"), "spec", "source", "plugin", "name"); got != name+"-"+version {
		t.Errorf("the Application asks for the plug-in %v", got)
	}
	tree := t.TempDir()
	minimal := filepath.Join("..", "..", "examples", "minimal")
	var ignored bytes.Buffer
	if status := run([]string{"holdfast", "render", "-s", minimal, "-c", minimal, "-o", filepath.Join(tree, "clusters")}, strings.NewReader(""), &ignored, &ignored); status != 0 {
		t.Fatal(ignored.String())
	}
	sources, _ := walk(yamlBlock(t, "application.yaml"), "spec", "sources").([]any)
	if len(sources) != 2 {
		t.Errorf("%d sources", len(sources))
	}
	for _, source := range sources {
		path, _ := walk(source, "path").(string)
		if _, err := os.Stat(filepath.Join(tree, path, "kustomization.yaml")); err != nil {
			t.Error(err)
		}
	}
	container := yamlBlock(t, "sidecar.yaml")["containers"].([]any)[0]
	if walk(container, "securityContext", "runAsUser") != 999.0 || walk(container, "securityContext", "readOnlyRootFilesystem") != true {
		t.Errorf("the sidecar: %v", walk(container, "securityContext"))
	}
	mounts, _ := walk(container, "volumeMounts").([]any)
	var places []string
	for _, mount := range mounts {
		places = append(places, walk(mount, "mountPath").(string))
	}
	for _, place := range []string{"/var/run/argocd", "/home/argocd/cmp-server/plugins", "/home/argocd/cmp-server/config/plugin.yaml", "/tmp"} {
		if !slices.Contains(places, place) {
			t.Errorf("the sidecar has no %s", place)
		}
	}
}
