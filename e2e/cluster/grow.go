package cluster

import (
	"bytes"
	_ "embed"
	"fmt"
)

//go:embed grow.yaml
var growManifest string

// Grow deploys an instance "grow" whose copies do not fit: there is too little
// scratch for its Secrets, and too little memory for its other objects.
func (c *Cluster) Grow(folder string) (*Side, error) {
	if err := c.storageFolders("s3-grow"); err != nil {
		return nil, err
	}
	if err := c.deploy(growManifest, nil); err != nil {
		return nil, err
	}
	// Each as large as the API server takes.
	var objects bytes.Buffer
	value := bytes.Repeat([]byte("0123456789abcdef"), 50_000)
	for n := range 30 {
		fmt.Fprintf(&objects, "---\napiVersion: v1\nkind: Secret\nmetadata: {name: large-%d, namespace: grow}\nstringData: {value: \"%s\"}\n", n, value)
		fmt.Fprintf(&objects, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: large-%d, namespace: grow}\ndata: {value: \"%s\"}\n", n, value)
	}
	// Not applied: that would keep the values once more, in an annotation.
	if _, err := c.Control.KubectlIn(objects.Bytes(), "create", "--filename=-"); err != nil {
		return nil, err
	}
	return c.side(folder, "grow", "s3-grow", 7075, map[string]any{
		"deadlines": map[string]any{"kubernetes-secrets": 240, "namespace-manifests": 240},
		"scratch":   map[string]any{"kubernetes-secrets": "16Mi"},
		"resources": map[string]any{"namespace-manifests": map[string]any{"requests": map[string]any{"cpu": "50m", "memory": "32Mi"}, "limits": map[string]any{"memory": "48Mi"}}},
	}, map[string]any{"kubernetes": map[string]any{
		"exportSecrets": true, "exportNamespaceYaml": true, "exportClusterScoped": false,
		"reasons": map[string]any{"exportClusterScoped": "the desk beside it is about that"},
	}})
}
