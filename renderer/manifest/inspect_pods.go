package manifest

import (
	"maps"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/holdfast-backup/holdfast/renderer/plan"
)

// cronJob checks a CronJob's frame, and its Job.
func (in *inspector) cronJob(o Object) {
	if err := plan.ValidCron(text(o.Value, "spec", "schedule")); err != nil {
		in.add(o, "HF411", "", "spec.schedule: %v", err)
	} else {
		in.onTime(o, text(o.Value, "spec", "schedule"))
	}
	if at(o.Value, "spec", "suspend") == true {
		in.add(o, "HF418", "", "it is suspended and would never run")
	}
	// The controller looks every 10 s.
	if seconds, set := number(o.Value, "spec", "startingDeadlineSeconds"); set && seconds < 10 {
		in.add(o, "HF418", "", "with a startingDeadlineSeconds below 10 it may never start")
	}
	if text(o.Value, "spec", "timeZone") != in.plan.TimeZone {
		in.add(o, "HF411", "", "spec.timeZone is not %s", in.plan.TimeZone)
	}
	if text(o.Value, "spec", "concurrencyPolicy") != "Forbid" {
		in.add(o, "HF418", "", "concurrencyPolicy is not Forbid")
	}
	if n, _ := number(o.Value, "spec", "successfulJobsHistoryLimit"); n < 1 {
		in.add(o, "HF418", "", "no success would be left to be seen")
	}
	in.jobSpec(o, object(o.Value, "spec", "jobTemplate", "spec"))
}

// job checks a Job.
func (in *inspector) job(o Object) { in.jobSpec(o, object(o.Value, "spec")) }

// jobSpec checks what a Job and a CronJob's say alike.
func (in *inspector) jobSpec(o Object, spec map[string]any) {
	if seconds, set := number(spec, "activeDeadlineSeconds"); !set || seconds < 60 {
		in.add(o, "HF418", "", "activeDeadlineSeconds is missing: a job could hang for ever")
	}
	if spec["suspend"] == true {
		in.add(o, "HF418", "", "the Job is suspended and would never run")
	}
	for _, field := range []string{"parallelism", "completions"} {
		if n, set := number(spec, field); set && n < 1 {
			in.add(o, "HF418", "", "%s is %v: the Job would never run", field, n)
		}
	}
	if _, set := number(spec, "backoffLimit"); !set {
		in.add(o, "HF418", "", "backoffLimit is missing")
	}
	if text(spec, "template", "spec", "restartPolicy") != "Never" {
		in.add(o, "HF418", "", "restartPolicy is not Never: a restarted container would work on what its predecessor left")
	}
}

// pod checks one pod: references, mounts, quantities, Pod Security.
func (in *inspector) pod(p pod) {
	o := p.owner
	if p.spec == nil || len(list(p.spec, "containers")) == 0 {
		in.add(o, "HF424", "", "the pod has no container")
		if len(p.containers()) == 0 {
			return
		}
	}
	if _, set := object(p.spec, "securityContext")["fsGroup"]; set && !p.ownVolumesOnly() {
		in.add(o, "HF405", "", "fsGroup makes kubelet rewrite the owner and modes of a live volume")
	}
	for _, what := range p.restrictions(in.asRoot(o)) {
		in.add(o, "HF409", "", "Pod Security restricted refuses: %s", what)
	}
	volumes := map[string]bool{}
	for _, v := range list(p.spec, "volumes") {
		if volumes[text(v, "name")] {
			in.add(o, "HF407", "", "volume %s stands twice", text(v, "name"))
		}
		volumes[text(v, "name")] = true
		in.volume(o, v)
	}
	for _, pull := range list(p.spec, "imagePullSecrets") {
		// One for a registry is the cluster's, which no input names.
		if in.ours(o.Namespace(), text(pull, "name")) {
			in.secretKey(o, text(pull, "name"), "")
		}
	}
	in.account(p)
	if account := text(p.spec, "serviceAccountName"); account != "" {
		in.mustExist(o, "ServiceAccount", account)
	} else if !p.partial {
		in.add(o, "HF424", "", "the pod would run as the account default")
	}
	if (at(p.spec, "automountServiceAccountToken") != false || p.projectsToken()) && !p.partial && !in.bound[o.Namespace()+"/"+text(p.spec, "serviceAccountName")] {
		in.add(o, "HF421", "automountServiceAccountToken: false", "the pod gets a token, but its account has no rights that need one")
	}
	names := map[string]bool{}
	for _, c := range p.containers() {
		if names[text(c, "name")] {
			in.add(o, "HF424", "", "container %s stands twice", text(c, "name"))
		}
		names[text(c, "name")] = true
		in.container(p, c, volumes)
	}
}

// projectsToken says whether a volume of the pod holds a token of its account.
func (p pod) projectsToken() bool {
	return slices.ContainsFunc(list(p.spec, "volumes"), func(v any) bool {
		return slices.ContainsFunc(list(v, "projected", "sources"), func(source any) bool { return at(source, "serviceAccountToken") != nil })
	})
}

// k8upsAccount is the account of K8up's own jobs.
const k8upsAccount = "pod-executor"

// account checks that a pod runs as its own account. What the plan does not have may be
// of a unit, by its label, and has no account that the plan has for others.
func (in *inspector) account(p pod) {
	o := p.owner
	want, planned := in.accounts[o.ID()]
	unit := text(o.Value, "metadata", "labels", "holdfast.dev/unit")
	for _, field := range []string{"serviceAccountName", "serviceAccount"} {
		account := text(p.spec, field)
		switch {
		case account == "":
		case o.Kind() == "PodConfig":
			if account != k8upsAccount {
				in.add(o, "HF434", "", "K8up's jobs run as %s, not as %s", k8upsAccount, account)
			}
		case planned:
			if account != want {
				in.add(o, "HF434", "", "its pod runs as %s, not as its own account %s", account, want)
			}
		case in.bound[o.Namespace()+"/"+account] || account == k8upsAccount:
			ours, mine := account == k8upsAccount, false
			for id, name := range in.accounts {
				ours = ours || name == account && strings.Split(id, "/")[1] == o.Namespace()
			}
			for _, i := range in.plan.Units {
				mine = mine || i.Namespace == o.Namespace() && i.Labels["holdfast.dev/unit"] == unit &&
					(account == i.ServiceAccount || in.ofRestore(o) && account == i.Restore)
			}
			if ours && !mine {
				in.add(o, "HF434", "", "its pod runs as %s, the account of something else", account)
			}
		}
	}
}

// ownVolumesOnly says whether the pod makes a volume of a class and mounts nobody
// else's: kubelet changes owner and modes of nothing but that one then, which
// nobody could write to otherwise.
func (p pod) ownVolumesOnly() bool {
	own := false
	for _, v := range list(p.spec, "volumes") {
		if at(v, "persistentVolumeClaim") != nil {
			return false
		}
		if at(v, "ephemeral") != nil {
			own = true
		}
	}
	return own && !p.partial
}

// asRoot says what a pod may have for a reason that was given for root. It is that
// of the plan's own objects and of no others.
func (in *inspector) asRoot(o Object) asRoot {
	switch o.Kind() {
	case "PodConfig":
		for _, c := range in.plan.PodConfigs {
			if c.Root && c.Name == o.Name() && c.Namespace == o.Namespace() {
				return rootReader()
			}
		}
	case "Job":
		if in.restores[place(o)].Root {
			return rootRestorer()
		}
		for _, f := range in.plan.Preflights {
			if f.Name != o.Name() || f.Namespace != o.Namespace() {
				continue
			}
			trials := rootRestorer()
			trials.whole = false
			for _, t := range f.Trials {
				if t.Root {
					trials.containers = append(trials.containers, t.Name)
				}
			}
			return trials
		}
	}
	return asRoot{}
}

// volume checks what a volume refers to.
func (in *inspector) volume(o Object, v any) {
	// Also an optional ConfigMap must be there: it is a lock, and one that
	// nobody makes would lock nothing for ever.
	if name := text(v, "configMap", "name"); name != "" {
		in.configMapKey(o, name, "")
	}
	if name := text(v, "secret", "secretName"); name != "" {
		in.secretKey(o, name, "")
	}
	if claim := text(v, "persistentVolumeClaim", "claimName"); claim != "" && !in.claimKnown(o.Namespace(), claim) {
		in.add(o, "HF406", "", "claim %s is not in the state", claim)
	}
	if name := text(v, "csi", "nodePublishSecretRef", "name"); name != "" {
		in.secretKey(o, name, "")
	}
	for _, source := range list(v, "projected", "sources") {
		if name := text(source, "secret", "name"); name != "" && len(list(source, "secret", "items")) == 0 {
			in.secretKey(o, name, "")
		}
		if name := text(source, "configMap", "name"); name != "" {
			in.configMapKey(o, name, "")
		}
		for _, item := range list(source, "secret", "items") {
			in.secretKey(o, text(source, "secret", "name"), text(item, "key"))
		}
		for _, item := range list(source, "configMap", "items") {
			in.configMapKey(o, text(source, "configMap", "name"), text(item, "key"))
		}
	}
	for _, item := range list(v, "configMap", "items") {
		in.configMapKey(o, text(v, "configMap", "name"), text(item, "key"))
	}
	in.quantity(o, "sizeLimit", at(v, "emptyDir", "sizeLimit"))
}

func (in *inspector) claimKnown(namespace, claim string) bool {
	return slices.ContainsFunc(in.plan.Units, func(i plan.Item) bool {
		return i.Namespace == namespace && i.Capture.Claim == claim
	})
}

// container checks one container of a pod.
func (in *inspector) container(p pod, c map[string]any, volumes map[string]bool) {
	o, name := p.owner, text(c, "name")
	if wrong := validation.IsDNS1123Label(name); len(wrong) > 0 {
		in.add(o, "HF402", "", "container name: %s", wrong[0])
	}
	for _, m := range list(c, "volumeMounts") {
		if volume := text(m, "name"); !volumes[volume] && !p.partial {
			in.add(o, "HF407", "", "container %s mounts %q, which is no volume of its pod", name, volume)
		}
	}
	for _, e := range list(c, "env") {
		if ref := at(e, "valueFrom", "secretKeyRef"); ref != nil {
			in.secretKey(o, text(ref, "name"), text(ref, "key"))
		}
		if ref := at(e, "valueFrom", "configMapKeyRef"); ref != nil {
			in.configMapKey(o, text(ref, "name"), text(ref, "key"))
		}
		if wrong := validation.IsEnvVarName(text(e, "name")); len(wrong) > 0 {
			in.add(o, "HF402", "", "container %s: environment variable: %s", name, wrong[0])
		}
	}
	for _, from := range list(c, "envFrom") {
		if name := text(from, "configMapRef", "name"); name != "" {
			in.configMapKey(o, name, "")
		}
		if name := text(from, "secretRef", "name"); name != "" {
			in.secretKey(o, name, "")
		}
	}
	in.masked(o, c)
	resources := object(c, "resources")
	for _, field := range []string{"requests", "limits"} {
		amounts := object(resources, field)
		if len(amounts) == 0 {
			in.add(o, "HF424", "", "container %s has no resources.%s", name, field)
		}
		for _, what := range slices.Sorted(maps.Keys(amounts)) {
			in.quantity(o, field+"."+what, amounts[what])
		}
	}
	if p.partial {
		return
	}
	for _, wrong := range in.plan.WrongImage(text(c, "image")) {
		in.add(o, wrong.Rule, wrong.Hint, "container %s: %s", name, wrong.Message)
	}
	for _, word := range list(c, "command") {
		if s, _ := word.(string); strings.HasPrefix(s, "/holdfast/bin/") || strings.HasPrefix(s, "/holdfast/preflight/") {
			in.script(o, p, c, s)
		}
	}
}

// masked checks that a container with our scripts tells them all of its variables that
// come from Secrets: their values are masked in what the scripts print.
func (in *inspector) masked(o Object, c map[string]any) {
	if !slices.ContainsFunc(list(c, "volumeMounts"), func(m any) bool { return holdsScripts(text(m, "mountPath")) }) {
		return
	}
	var told []string
	for _, e := range list(c, "env") {
		if text(e, "name") == "HOLDFAST_SECRETS" {
			told = strings.Fields(text(e, "value"))
		}
	}
	names := map[string]bool{}
	for _, e := range list(c, "env") {
		if at(e, "valueFrom", "secretKeyRef") != nil {
			names[text(e, "name")] = true
		}
	}
	for _, from := range list(c, "envFrom") {
		secret := text(from, "secretRef", "name")
		if secret == "" {
			continue
		}
		n := slices.IndexFunc(in.plan.Secrets, func(s plan.Secret) bool { return s.Namespace == o.Namespace() && s.Name == secret })
		if n < 0 {
			in.add(o, "HF436", "take what is needed of it as env with valueFrom.secretKeyRef",
				"container %s takes all of Secret %s, and nobody knows the names that are in it", text(c, "name"), secret)
			continue
		}
		for _, key := range in.plan.Secrets[n].Keys {
			names[text(from, "prefix")+key.Key] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !slices.Contains(told, name) {
			in.add(o, "HF436", "add its name to the value of HOLDFAST_SECRETS, with a blank between two",
				"container %s: HOLDFAST_SECRETS does not name %s, which comes from a Secret", text(c, "name"), name)
		}
	}
}

// holdsScripts says whether our scripts are mounted there.
func holdsScripts(mountPath string) bool {
	for _, folder := range []string{"/holdfast/bin", "/holdfast/preflight"} {
		if clean := path.Clean(mountPath); clean == folder || strings.HasPrefix(clean, folder+"/") {
			return true
		}
	}
	return false
}

// script checks that a script's path is a key of the ConfigMap mounted there.
func (in *inspector) script(o Object, p pod, c map[string]any, file string) {
	for _, m := range list(c, "volumeMounts") {
		if text(m, "mountPath") != path.Dir(file) {
			continue
		}
		for _, v := range list(p.spec, "volumes") {
			if text(v, "name") == text(m, "name") {
				in.configMapKey(o, text(v, "configMap", "name"), path.Base(file))
				return
			}
		}
	}
	in.add(o, "HF406", "", "%s is mounted from nowhere", file)
}

func (in *inspector) quantity(o Object, what string, value any) {
	s, ok := value.(string)
	if !ok {
		if value != nil {
			in.add(o, "HF410", "", "%s is no quantity", what)
		}
		return
	}
	if !plan.ValidQuantity(s) {
		in.add(o, "HF410", `write an amount such as "500m", "256Mi", "10Gi"`, "%s: %q is no quantity above zero", what, s)
	}
}
