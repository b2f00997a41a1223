package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/holdfast-backup/holdfast/e2e/cluster/archive"
	"github.com/holdfast-backup/holdfast/e2e/harness"
	"github.com/holdfast-backup/holdfast/e2e/image"
)

// entry is the program of an image that only K8up itself starts, beside the tools
// of our scripts.
var entry = map[string]string{"platform/k8up": "k8up"}

// contracted packs the images of these references into an archive. Each holds what
// its contract says and nothing else, under the very reference that manifests
// name. No registry is reached: the programs are this machine's.
func (c *Cluster) contracted(references []string) (string, error) {
	contracts, err := image.All()
	if err != nil {
		return "", err
	}
	work := filepath.Join(c.Dir, "images")
	defer os.RemoveAll(work)
	known := map[string]bool{}
	var images []archive.Image
	for name, contract := range contracts {
		if !slices.Contains(references, contract.Reference) {
			continue
		}
		known[contract.Reference] = true
		root := filepath.Join(work, name)
		if err := os.MkdirAll(root, 0o755); err != nil {
			return "", err
		}
		if err := image.Build(root, contract, findTool); err != nil {
			return "", err
		}
		if program := entry[name]; program != "" {
			if err := install(program, filepath.Join(root, "usr/local/bin", program)); err != nil {
				return "", err
			}
		}
		images = append(images, archive.Image{Root: root, Names: []string{contract.Reference}, Path: image.Path(contract), User: contract.User})
	}
	for _, reference := range references {
		if !known[reference] {
			return "", fmt.Errorf("no images.json has a contract of the image %s", reference)
		}
	}
	file := filepath.Join(c.Dir, "images.tar")
	return file, archive.Write(file, images...)
}

// k8upImage is the reference of K8up's image.
func k8upImage() (string, error) {
	contracts, err := image.All()
	if err != nil {
		return "", err
	}
	contract, ok := contracts["platform/k8up"]
	if !ok {
		return "", errors.New("platform/images.json has no k8up")
	}
	return contract.Reference, nil
}

// findTool is this machine's program for a tool. Where Debian has a script that
// looks for the right version, it is that version.
func findTool(name string) (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err == nil && len(found) > 0 {
		return found[len(found)-1], nil
	}
	return harness.FindProgram(name)
}

// install copies a program into a root.
func install(name, to string) error {
	from, err := harness.FindProgram(name)
	if err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
