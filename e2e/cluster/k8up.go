package cluster

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

//go:embed k8up.yaml
var k8upManifest string

// k8up installs the operator with the definitions and rights of its own module,
// as its chart does.
func (c *Cluster) k8up() error {
	folder, err := harness.FindProgram("k8up-config")
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(folder, "crd", "*.yaml"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no definitions of K8up in %s: run e2e/setup.sh cluster", folder)
	}
	documents := []string{}
	for _, file := range append(files, filepath.Join(folder, "role.yaml")) {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		documents = append(documents, string(data))
	}
	if err := c.Manifest(strings.Join(documents, "\n---\n")); err != nil {
		return err
	}
	image, err := k8upImage()
	if err != nil {
		return err
	}
	return c.Manifest(strings.ReplaceAll(k8upManifest, "{{image}}", image))
}
