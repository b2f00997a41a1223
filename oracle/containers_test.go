package oracle

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// withoutSecrets are the containers that only copy a tool, read what another one
// left, or print it.
var withoutSecrets = []string{"tools", "verify", "report"}

// TestContainersWithoutSecrets: what needs no Secret is given none, neither in its
// environment nor as a file.
func TestContainersWithoutSecrets(t *testing.T) {
	eachTree(t, func(t *testing.T, x *tree) {
		for _, pod := range pods(t, x) {
			volumes := map[string]bool{}
			for _, v := range pod.template.Spec.Volumes {
				volumes[v.Name] = ofSecret(v)
			}
			for _, c := range append(slices.Clone(pod.template.Spec.InitContainers), pod.template.Spec.Containers...) {
				has := slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil }) ||
					slices.ContainsFunc(c.EnvFrom, func(e corev1.EnvFromSource) bool { return e.SecretRef != nil }) ||
					slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return volumes[m.Name] })
				if has && slices.Contains(withoutSecrets, c.Name) {
					t.Errorf("%s: the container %s is given a Secret", pod.id, c.Name)
				}
				// They open the repository: else this looks at nothing.
				if !has && (c.Name == "validate" || c.Name == "fetch") {
					t.Errorf("%s: the container %s is given no Secret", pod.id, c.Name)
				}
			}
		}
	})
}

func ofSecret(v corev1.Volume) bool {
	return v.Secret != nil || v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(p corev1.VolumeProjection) bool { return p.Secret != nil })
}
