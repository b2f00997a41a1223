package cluster_test

import (
	"testing"
	"time"
)

// TestGrow outgrows scratch and memory on the real kubelet. Each is red, and says
// which of the two it was.
func TestGrow(t *testing.T) {
	c := besideOthers(t)
	grow, err := c.Grow(t.TempDir())
	must(t, err)
	f := fault{grow}
	t.Run("scratch", func(t *testing.T) {
		t.Parallel()
		since := time.Now()
		reason, log := f.run(t, "kubernetes-secrets/application")
		f.failed(t, "kubernetes-secrets/application", reason, log, since, "the scratch space is too small", "raise scratch for this unit")
		say("outgrown scratch: red, and it says so")
	})
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		since := time.Now()
		reason, log := f.run(t, "namespace-manifests/application")
		f.failed(t, "namespace-manifests/application", reason, log, since, "exit code 137", "raise resources for this kind")
		say("outgrown memory: red, and it says so")
	})
}
