package renderer_test

import (
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

// TestBothToolsAreTold: what an annotation says to Flux another one says to Argo
// CD, on every object of every tree, however Secrets are written; and what one
// stage does before another in Flux, it does by its wave in Argo CD.
func TestBothToolsAreTold(t *testing.T) {
	t.Parallel()
	const flux, argo = "kustomize.toolkit.fluxcd.io/", "argocd.argoproj.io/"
	eachExample(t, func(t *testing.T, r *renderer.Renderer, c examples.Case) {
		for _, mode := range []secrets.Mode{secrets.Plain, secrets.SOPS} {
			kept, replaced, first := 0, 0, 0
			x := render(t, r, c.Inputs, mode)
			for _, o := range x.objects {
				annotations, _ := dig(o.Value, "metadata", "annotations").(map[string]any)
				options := ""
				if annotations[flux+"prune"] == "disabled" {
					options = "Prune=false,Delete=false"
					kept++
				}
				if annotations[flux+"force"] == "Enabled" {
					options = "Force=true,Replace=true"
					replaced++
				}
				if got, _ := annotations[argo+"sync-options"].(string); got != options {
					t.Errorf("%s: Flux is told %v, Argo CD %q", o.ID(), annotations, got)
				}
				wave, _ := annotations[argo+"sync-wave"].(string)
				if inFirst := strings.Split(o.Path, "/")[1] == "repository" && o.Kind() != "Kustomization"; inFirst != (wave == "-1") || !inFirst && wave != "" {
					t.Errorf("%s of %s is in wave %q", o.ID(), o.Path, wave)
				} else if inFirst {
					first++
				}
			}
			if len(x.enabled()) > 0 && (kept == 0 || replaced == 0 || first < 5) {
				t.Errorf("%d are never pruned, %d are replaced, %d come first", kept, replaced, first)
			}
		}
	})
}
