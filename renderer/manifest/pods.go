package manifest

import (
	"maps"
	"slices"
	"strings"
)

// pod is one pod that an object causes, with what its labels will be.
type pod struct {
	owner Object
	spec  map[string]any
	// labels are those that a NetworkPolicy can select it by: Kubernetes' own
	// objects carry them in their template, K8up writes its own.
	labels map[string]string
	// annotations are those that the pod will carry.
	annotations map[string]any
	// partial marks a PodConfig: K8up adds image and command.
	partial bool
}

// podsOf lists the pods that the objects cause. K8up overwrites the labels of
// a PreBackupPod's pod, and takes those of its jobs from the PodConfig itself.
func podsOf(objects []Object) []pod {
	kinds := newTable()
	var pods []pod
	for _, o := range objects {
		k, known := kinds.of(o)
		if !known || k.Pod == nil {
			continue
		}
		template := object(o.Value, k.Pod...)
		p := pod{
			owner: o, spec: object(template, "spec"),
			labels: labels(template, "metadata", "labels"), annotations: object(template, "metadata", "annotations"),
		}
		switch o.Kind() {
		case "PreBackupPod":
			p.labels = map[string]string{"k8up.io/backupCommandPod": "true", "k8up.io/preBackupPod": o.Name()}
		case "PodConfig":
			p.annotations, p.partial = object(o.Value, "metadata", "annotations"), true
			p.labels = labels(o.Value, "metadata", "labels")
			p.labels["k8upjob"] = "true"
		}
		pods = append(pods, p)
	}
	return pods
}

// containerFields are the lists of a pod's containers, in the order in which they
// start.
func containerFields() []string {
	return []string{"initContainers", "containers", "ephemeralContainers"}
}

// containers lists a pod's containers, init containers first.
func (p pod) containers() []map[string]any {
	var all []map[string]any
	for _, field := range containerFields() {
		for _, c := range list(p.spec, field) {
			if m, ok := c.(map[string]any); ok {
				all = append(all, m)
			}
		}
	}
	return all
}

// labels reads a map of strings.
func labels(value any, path ...string) map[string]string {
	read := map[string]string{}
	for name, v := range object(value, path...) {
		if s, ok := v.(string); ok {
			read[name] = s
		}
	}
	return read
}

// asRoot is what a pod with a reason to run as uid 0 may have beyond Pod Security
// "restricted". The zero value is nothing.
type asRoot struct {
	// whole is for the pod's own security context and all of its containers, else
	// containers names those that it is for.
	whole      bool
	containers []string
	// capabilities are those that its containers may add.
	capabilities []string
}

func (r asRoot) of(container string) bool {
	return r.whole || slices.Contains(r.containers, container)
}

// rootReader and rootRestorer are all there is beyond "restricted" in a tree, both
// for claims whose files belong to root or to several users, and for which the state
// gives a reason: K8up's job that reads the files of such a claim, and the restore
// that gives them back to their owners, which the preflight tries beforehand.
// lib/k8s.libsonnet has the same for the templates.
func rootReader() asRoot { return asRoot{whole: true, capabilities: []string{"DAC_READ_SEARCH"}} }
func rootRestorer() asRoot {
	return asRoot{whole: true, capabilities: []string{"CHOWN", "DAC_OVERRIDE", "FOWNER"}}
}

// restrictions lists what Pod Security "restricted" would refuse in the pod, but
// for what root is allowed. K8up's and our own pods use few fields, so the list is
// short; the tests hold it against Kubernetes' own evaluator.
func (p pod) restrictions(root asRoot) []string {
	var found []string
	say := func(bad bool, what string) {
		if bad {
			found = append(found, what)
		}
	}
	for _, field := range []string{"hostNetwork", "hostPID", "hostIPC"} {
		say(at(p.spec, field) == true, field)
	}
	podContext := object(p.spec, "securityContext")
	say(len(list(podContext, "sysctls")) > 0, "sysctls")
	for _, v := range list(p.spec, "volumes") {
		volume, _ := v.(map[string]any)
		for _, kind := range slices.Sorted(maps.Keys(volume)) {
			switch kind {
			case "name", "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret":
			default:
				say(true, "volume of type "+kind)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.annotations)) {
		say(strings.HasPrefix(name, "container.apparmor.security.beta.kubernetes.io/"), "annotation "+name)
	}
	// What a context sets wrongly is refused, though a container may set it
	// right.
	loosens := func(context map[string]any, root bool, where string) {
		say(context["runAsNonRoot"] == false && !root, where+"runAsNonRoot is false")
		uid, set := number(context, "runAsUser")
		say(set && uid == 0 && !root, where+"runAsUser is 0")
		seccomp := text(context, "seccompProfile", "type")
		say(seccomp != "" && seccomp != "RuntimeDefault" && seccomp != "Localhost", where+"seccompProfile is "+seccomp)
		armor := text(context, "appArmorProfile", "type")
		say(armor != "" && armor != "RuntimeDefault" && armor != "Localhost", where+"appArmorProfile is "+armor)
		say(len(object(context, "seLinuxOptions")) > 0, where+"seLinuxOptions")
		say(at(context, "windowsOptions", "hostProcess") == true, where+"hostProcess")
	}
	loosens(podContext, root.whole, "")
	for _, c := range p.containers() {
		name, mayBeRoot := "container "+text(c, "name")+": ", root.of(text(c, "name"))
		context := object(c, "securityContext")
		loosens(context, mayBeRoot, name)
		either := func(field string) any {
			if v, set := context[field]; set {
				return v
			}
			return podContext[field]
		}
		say(context["allowPrivilegeEscalation"] != false, name+"allowPrivilegeEscalation is not false")
		say(context["privileged"] == true, name+"privileged")
		say(context["procMount"] != nil && context["procMount"] != "Default", name+"procMount")
		say(either("runAsNonRoot") == nil && !mayBeRoot, name+"runAsNonRoot is not true")
		say(text(either("seccompProfile"), "type") == "", name+"seccompProfile is not RuntimeDefault")
		dropped := false
		for _, d := range list(context, "capabilities", "drop") {
			dropped = dropped || d == "ALL"
		}
		say(!dropped, name+"capabilities are not all dropped")
		for _, a := range list(context, "capabilities", "add") {
			capability, _ := a.(string)
			known := capability == "NET_BIND_SERVICE" || mayBeRoot && slices.Contains(root.capabilities, capability)
			say(!known, name+"adds a capability")
		}
		for _, port := range list(c, "ports") {
			host, _ := number(port, "hostPort")
			say(host != 0, name+"hostPort")
		}
		for _, field := range []string{"livenessProbe", "readinessProbe", "startupProbe", "lifecycle"} {
			say(len(textsAt(c[field], "host")) > 0, name+field+" names a host")
		}
	}
	return found
}
