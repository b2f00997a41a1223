package harness

import (
	"testing"
)

// Preflight runs the containers of a namespace's preflight, one after the other in
// one set of volumes, as kubelet does. It returns the last one's result, whose
// stdout is the table; or that of the first init container that did not end well.
// image, if there is one, says how a container's image differs from its contract.
func (i *Instance) Preflight(t testing.TB, namespace string, o Options, image func(container string) Image) Result {
	t.Helper()
	name := i.Plan.Instance + "-preflight"
	job := i.Object("Job", namespace, name)
	if job == nil {
		t.Fatalf("the tree has no preflight in %s", namespace)
	}
	spec := object(job, "spec", "template", "spec")
	o.Shared = map[string]string{}
	for _, volume := range list(spec, "volumes") {
		if v := text(volume, "name"); at(volume, "emptyDir") != nil {
			o.Shared[v] = scratchFolder(t, "")
		}
	}
	var result Result
	for _, c := range append(list(spec, "initContainers"), list(spec, "containers")...) {
		of := o
		if image != nil {
			of.Image = image(text(c, "name"))
		}
		result = i.Job(t, "Job", namespace, name, text(c, "name"), of)
		if result.Code != 0 {
			return result
		}
	}
	return result
}
