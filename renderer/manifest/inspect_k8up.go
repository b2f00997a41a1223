package manifest

import (
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/plan"
)

// schedule checks a K8up Schedule: what K8up needs, what it ignores, and what it
// does wrongly without a word.
func (in *inspector) schedule(o Object) {
	spec := object(o.Value, "spec")
	if len(o.Name()) > plan.MaxName {
		in.add(o, "HF301", "", "the name has %d characters; beyond %d the backup hangs for ever", len(o.Name()), plan.MaxName)
	}
	for _, field := range []string{"keepJobs", "failedJobsHistoryLimit", "successfulJobsHistoryLimit", "resourceRequirementsTemplate", "podSecurityContext", "restore", "archive"} {
		if _, set := spec[field]; set {
			in.add(o, "HF405", "", "spec.%s is dead or harmful in K8up", field)
		}
	}
	backend := object(spec, "backend")
	types := 0
	for _, kind := range []string{"azure", "b2", "gcs", "local", "rest", "s3", "swift"} {
		if _, set := backend[kind]; set {
			types++
		}
	}
	endpoint := text(backend, "s3", "endpoint")
	own, planned := in.plan.Repositories[o.Namespace()]
	switch {
	case types != 1:
		in.add(o, "HF404", "", "spec.backend has %d types, K8up takes the first by its own order", types)
	case text(backend, "repoPasswordSecretRef", "name") == "" || text(backend, "repoPasswordSecretRef", "key") == "":
		in.add(o, "HF404", "", "spec.backend.repoPasswordSecretRef needs name and key")
	case !strings.Contains(endpoint, "://") || strings.HasSuffix(endpoint, "/") || text(backend, "s3", "bucket") == "":
		in.add(o, "HF404", "", "spec.backend.s3 needs a bucket, and an endpoint with scheme and without a slash at the end")
	case planned && (endpoint != own.Endpoint || text(backend, "s3", "bucket") != own.Bucket):
		in.add(o, "HF404", "", "spec.backend is not the repository of the namespace, which is %s", own.URL)
	}
	for _, ref := range []string{"repoPasswordSecretRef", "s3.accessKeyIDSecretRef", "s3.secretAccessKeySecretRef"} {
		selector := at(backend, strings.Split(ref, ".")...)
		if name := text(selector, "name"); name != "" {
			in.secretKey(o, name, text(selector, "key"))
		} else if ref != "repoPasswordSecretRef" && backend["s3"] != nil {
			in.add(o, "HF404", "", "spec.backend.%s needs name and key", ref)
		}
	}
	for _, from := range list(backend, "envFrom") {
		if name := text(from, "configMapRef", "name"); name != "" {
			in.mustExist(o, "ConfigMap", name)
		}
	}
	in.repository(o, backend, own, planned)
	blocks := 0
	for _, job := range []string{"backup", "check", "prune"} {
		block := object(spec, job)
		if block == nil {
			continue
		}
		blocks++
		in.block(o, job, block, backend)
	}
	if blocks != 1 {
		in.add(o, "HF404", "", "a Schedule holds one job, this one %d: K8up registers several in random order and stops at the first error", blocks)
	}
}

// block checks one job of a Schedule.
func (in *inspector) block(o Object, job string, block, backend map[string]any) {
	for _, field := range []string{"backend", "concurrentRunsAllowed", "keepJobs", "podSecurityContext", "resources"} {
		if _, set := block[field]; set {
			in.add(o, "HF405", "", "spec.%s.%s is dead or harmful in K8up", job, field)
		}
	}
	expression, zone := cutZone(text(block, "schedule"))
	if expression == "" {
		in.add(o, "HF404", "", "spec.%s.schedule is missing: K8up's operator would crash", job)
	} else if err := plan.ValidCron(expression); err != nil {
		in.add(o, "HF411", "", "spec.%s.schedule: %v", job, err)
	} else {
		in.onTime(o, expression)
	}
	if zone != in.plan.TimeZone {
		in.add(o, "HF411", "", "spec.%s.schedule is not in the zone %s", job, in.plan.TimeZone)
	}
	if seconds, set := number(block, "activeDeadlineSeconds"); !set || seconds < 60 {
		in.add(o, "HF404", "", "spec.%s.activeDeadlineSeconds is missing: a job could hang for ever", job)
	}
	for _, field := range []string{"successfulJobsHistoryLimit", "failedJobsHistoryLimit"} {
		if n, set := number(block, field); !set || n < 1 {
			in.add(o, "HF404", "", "spec.%s.%s must be 1 or more, or no success is left to be seen", job, field)
		}
	}
	if name := text(block, "podConfigRef", "name"); name == "" {
		in.add(o, "HF404", "", "spec.%s.podConfigRef is missing: Pod Security would refuse the job's pods", job)
	} else {
		in.mustExist(o, "PodConfig", name)
	}
	volumes := map[string]bool{}
	for _, v := range list(block, "volumes") {
		volumes[text(v, "name")] = true
		in.volume(o, v)
	}
	for _, m := range list(backend, "volumeMounts") {
		if volume := text(m, "name"); !volumes[volume] {
			in.add(o, "HF407", "", "spec.%s.volumes lacks %q: K8up inherits the backend's mounts, but not their volumes", job, volume)
		}
	}
	switch job {
	case "backup":
		in.selection(o, block)
	case "prune":
		retention := object(block, "retention")
		for _, field := range []string{"keepTags", "hostnames"} {
			if _, set := retention[field]; set {
				in.add(o, "HF405", "", "retention.%s deletes other namespaces' snapshots or nothing", field)
			}
		}
		if n, _ := number(retention, "keepDaily"); n < 1 {
			in.add(o, "HF404", "", "retention.keepDaily is missing: K8up would take 14")
		}
		if tags := list(retention, "tags"); len(tags) != 1 {
			in.add(o, "HF417", "", "a prune selects exactly one tier")
		}
		in.retention(o, retention)
	}
}

// repository checks that a Schedule opens its repository as the plan says.
func (in *inspector) repository(o Object, backend map[string]any, own plan.Repository, planned bool) {
	if !planned {
		in.add(o, "HF404", "", "the plan has no repository for the namespace")
		return
	}
	for _, ref := range [][2]string{
		{"repoPasswordSecretRef", "password"}, {"s3.accessKeyIDSecretRef", "access-key-id"}, {"s3.secretAccessKeySecretRef", "secret-access-key"},
	} {
		selector := at(backend, strings.Split(ref[0], ".")...)
		if text(selector, "name") != own.Secret || text(selector, "key") != ref[1] {
			in.add(o, "HF404", "", "spec.backend.%s is not the key %s of the repository's Secret %s", ref[0], ref[1], own.Secret)
		}
	}
	// More may be added behind it, such as a proxy.
	from := list(backend, "envFrom")
	if len(from) == 0 || text(from[0], "configMapRef", "name") != own.Environment {
		in.add(o, "HF404", "", "its environment does not begin with the ConfigMap %s", own.Environment)
	}
}

// retention checks that a prune is one of the plan's, and keeps what the plan promises.
func (in *inspector) retention(o Object, retention map[string]any) {
	n := slices.IndexFunc(in.plan.Maintenance, func(m plan.Maintenance) bool {
		return m.Job == plan.JobPrune && m.Name == o.Name() && m.Namespace == o.Namespace()
	})
	if n < 0 {
		in.add(o, "HF417", "", "no prune of that name is in the plan")
		return
	}
	m := in.plan.Maintenance[n]
	if !slices.Equal(list(retention, "tags"), []any{m.Tag}) {
		in.add(o, "HF417", "", "it prunes another tier than the plan, which says %s", m.Tag)
	}
	for _, rule := range m.Retention.Rules() {
		_, set := retention[rule.Field]
		if found, _ := number(retention, rule.Field); found != float64(rule.Keep) || set && rule.Keep == 0 {
			in.add(o, "HF417", "retention is set in the policy or the state", "retention.%s is not the plan's, which is %d", rule.Field, rule.Keep)
		}
	}
}

// selection checks that a backup finds exactly its source, and that its
// snapshots belong to one tier that somebody prunes.
func (in *inspector) selection(o Object, block map[string]any) {
	selectors := list(block, "labelSelectors")
	unit := ""
	if len(selectors) == 1 {
		unit = text(selectors[0], "matchLabels", "holdfast.dev/unit")
	}
	found := 0
	for _, p := range in.byKind["PreBackupPod"] {
		if p.Namespace() == o.Namespace() && text(p.Value, "metadata", "labels", "holdfast.dev/unit") == unit {
			found++
		}
	}
	for _, m := range in.plan.Markers {
		if m.Namespace == o.Namespace() && slices.Contains(m.Units, unit) {
			found++
		}
	}
	// A unit's label stays what it was when an overlay has changed the name.
	own := o.Name()
	if i, planned := in.units[place(o)]; planned {
		own = i.Labels["holdfast.dev/unit"]
	}
	if unit != own || found != 1 {
		in.add(o, "HF413", "", "the backup selects %d sources, expected its own and no other", found)
	}
	if i, planned := in.units[place(o)]; planned && !slices.Contains(list(block, "tags"), any(i.ID)) {
		in.add(o, "HF417", "", "the tag %s is missing, by which a restore finds its snapshots", i.ID)
	}
	tiers := slices.DeleteFunc(slices.Clone(list(block, "tags")), func(tag any) bool {
		s, _ := tag.(string)
		return !strings.HasPrefix(s, plan.TierPrefix)
	})
	if len(tiers) != 1 {
		in.add(o, "HF417", "", "a snapshot carries exactly one tier tag, these would carry %d", len(tiers))
		return
	}
	for _, p := range in.byKind["Schedule"] {
		if p.Namespace() == o.Namespace() && slices.Contains(list(p.Value, "spec", "prune", "retention", "tags"), tiers[0]) {
			return
		}
	}
	in.add(o, "HF417", "", "nothing prunes the tier %v", tiers[0])
}

// onTime checks that what the plan knows starts when the plan says: those times
// have been checked for collisions, and no others.
func (in *inspector) onTime(o Object, expression string) {
	want := in.units[place(o)].Schedule.Cron
	for _, m := range in.plan.Maintenance {
		if m.Name == o.Name() && m.Namespace == o.Namespace() {
			want = m.Schedule.Cron
		}
	}
	for _, m := range in.plan.Markers {
		if m.Name == o.Name() && m.Namespace == o.Namespace() {
			want = m.Schedule.Cron
		}
	}
	for _, v := range in.plan.Verifiers {
		if v.Name == o.Name() && v.Namespace == o.Namespace() {
			want = v.Schedule.Cron
		}
	}
	if want != "" && expression != want {
		in.add(o, "HF411", "", "it starts at %q, but the plan has checked %q", expression, want)
	}
}

// cutZone splits K8up's "CRON_TZ=Zone fields".
func cutZone(schedule string) (expression, zone string) {
	rest, found := strings.CutPrefix(schedule, "CRON_TZ=")
	if !found {
		return schedule, ""
	}
	zone, expression, _ = strings.Cut(rest, " ")
	return expression, zone
}

// preBackupPod checks the pod that dumps.
func (in *inspector) preBackupPod(o Object) {
	command := text(o.Value, "spec", "backupCommand")
	plain := command != "" && !strings.ContainsAny(command, " '\"$")
	if !plain {
		in.add(o, "HF425", "", "backupCommand is a script's path: nothing to quote, nothing to split")
	}
	if !strings.HasPrefix(text(o.Value, "spec", "fileExtension"), ".") {
		in.add(o, "HF425", "", "fileExtension begins with a dot")
	}
	containers := list(o.Value, "spec", "pod", "spec", "containers")
	if len(containers) == 0 {
		return // reported by pod
	}
	first, _ := containers[0].(map[string]any)
	if plain {
		in.script(o, pod{owner: o, spec: object(o.Value, "spec", "pod", "spec")}, first, command)
	}
	for _, other := range in.byKind["PreBackupPod"] {
		if other.Namespace() != o.Namespace() || other.Name() <= o.Name() {
			continue
		}
		if theirs := list(other.Value, "spec", "pod", "spec", "containers"); len(theirs) > 0 && text(theirs[0], "name") == text(first, "name") {
			in.add(o, "HF302", "", "container %q also dumps for %s: both would be one series of snapshots", text(first, "name"), other.ID())
		}
	}
}
