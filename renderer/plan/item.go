package plan

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
)

// nobody is the uid of our own pods; K8up's image has the same.
const nobody = 65532

// item decides everything about one unit.
func (b *builder) item(u kind.Discovered, minute int) Item {
	p := b.plan
	k := u.Kind
	_, key, _ := strings.Cut(u.ID, "/")
	name := unitName(p.Prefix, k.Short, key)
	file := u.Namespace + "/" + strings.TrimPrefix(name, p.Prefix+"-") + ".yaml"
	i := Item{
		Unit:         u.Unit,
		Kind:         k.Name,
		Engine:       k.Engine,
		Name:         name,
		File:         p.Instance + "/backup/" + file,
		BaseFile:     p.Instance + "/repository/" + file,
		RestoreFile:  p.Instance + "/restore/" + file,
		RestoreOrder: cmp.Or(u.RestoreOrder, k.RestoreOrder),
		Labels:       b.labels("holdfast.dev/unit", name),
		// With a dot, or in front of the name, so that no key can make the same.
		Lock:     name + ".lock",
		Restore:  "restore-" + name,
		Scripts:  p.Prefix + "-" + k.Short + "-" + scripts,
		RunAsUID: nobody,
		RunAsGID: nobody,
		Egress:   []Egress{},
	}
	b.optional(&i)
	i.PodLabels = b.labels("holdfast.dev/unit", name, "holdfast.dev/role", "source")
	i.ServiceAccount = p.Prefix + "-backup"
	if len(u.RBAC)+len(u.ClusterRBAC) > 0 || u.Capture.How == kind.Sync {
		i.ServiceAccount = name
	}

	expression, from, fixed := b.settings.cron(u.ID, k.Name)
	if !fixed {
		expression = daily(minute)
		from = fmt.Sprintf("built-in: spread over the window %s to %s", p.Window.Start, p.Window.End)
	}
	i.Schedule = schedule(expression, p.TimeZone)
	i.decide("schedule", expression+" "+p.TimeZone, from)

	i.Retention, from = b.settings.retention(u.ID, k)
	i.decide("retention", i.Retention.String(), from)
	i.Tier = tierOf(i.Retention)
	i.Tags = []string{TierPrefix + i.Tier, u.ID}

	i.DeadlineSeconds, from = b.settings.deadline(k.Deadline, u.ID, k.Name)
	deadlineFrom := from
	i.RestoreDeadline = 4 * i.DeadlineSeconds
	i.decide("deadline", strconv.Itoa(i.DeadlineSeconds)+" s", from)

	if u.Capture.Image != "" {
		i.ResolvedImage, from = b.image(k, u.Capture.Image)
		i.decide("image", i.ResolvedImage, from)
	}
	i.Scratch, from = b.settings.scratch(cmp.Or(u.Capture.Scratch, k.Scratch), u.ID, k.Name)
	i.decide("scratch", i.Scratch, from)
	b.applySize(&i, k, from, deadlineFrom)
	i.Resources, from = b.settings.resources(k.Resources, u.ID, k.Name)
	i.decide("resources", resourcesText(i.Resources), from)
	losses, from := b.settings.losses(u.ID, k.Name)
	for _, loss := range losses {
		i.Decisions = append(i.Decisions, Decision{What: "loss", Value: loss.Name + " " + cmp.Or(loss.Items, "*"), From: from})
	}

	if u.Capture.UID != nil {
		i.RunAsUID, i.RunAsGID = *u.Capture.UID, *u.Capture.UID
		if u.Capture.GID != nil {
			i.RunAsGID = *u.Capture.GID
		}
	}
	if len(u.Capture.Owners) > 0 {
		i.RunAsUID, i.RunAsGID = 0, 0
	}
	i.Root = i.RunAsUID == 0
	i.Capture = b.withGivenCredentials(i.Capture)
	b.target(&i)
	b.addExcuses(&i)
	b.connect(&i)
	b.environment(&i)
	return i
}

// resourcesText is what people read: "100m cpu, 64Mi memory, at most 512Mi memory".
func resourcesText(r input.Resources) string {
	var parts []string
	add := func(before string, amounts map[string]string) {
		for _, name := range slices.Sorted(maps.Keys(amounts)) {
			parts = append(parts, before+amounts[name]+" "+name)
		}
	}
	add("", r.Requests)
	add("at most ", r.Limits)
	return strings.Join(parts, ", ")
}

// decide notes where a value comes from. A later note about the same value replaces an
// earlier one.
func (i *Item) decide(what, value, from string) {
	d := Decision{What: what, Value: value, From: from}
	if n := slices.IndexFunc(i.Decisions, func(d Decision) bool { return d.What == what }); n >= 0 {
		i.Decisions[n] = d
		return
	}
	i.Decisions = append(i.Decisions, d)
}

// withGivenCredentials returns the capture without the optional credentials that the
// document lacks.
func (b *builder) withGivenCredentials(capture *kind.Capture) *kind.Capture {
	c := *capture
	c.Credentials = nil
	for _, credential := range capture.Credentials {
		if b.inst.Credentials.Has(credential.Field) || !credential.Optional {
			c.Credentials = append(c.Credentials, credential)
		}
	}
	return &c
}

// image resolves an image name of a kind, or of the platform.
func (b *builder) image(k kind.Kind, name string) (string, string) {
	if reference, from := b.settings.image(k.Name, name, kind.References(k.Images)[name]); reference != "" {
		return reference, from
	}
	return b.settings.image("platform", name, b.set.Platform.Images[name].Reference)
}

// target says where the unit's copies go and what they look like there.
func (b *builder) target(i *Item) {
	expected := Expected{
		Engine:   i.Engine,
		MinBytes: i.Expect.MinBytes,
		MinCount: i.Expect.MinCount,
		Marker:   i.Expect.Marker,
	}
	if i.Expect.AllowEmpty != nil {
		expected.MayBeEmpty = i.Expect.AllowEmpty.Reason
	}
	if i.Engine == kind.Rclone {
		i.Copy = b.copyTarget(i)
		if i.Copy != nil {
			expected.Where = i.Copy.Path
		}
		i.Expected = []Expected{expected}
		return
	}
	i.Repository = i.Namespace
	i.PodConfig = b.plan.Prefix + "-jobs"
	expected.Host = i.Namespace
	expected.Tag = i.Tags[0]
	if restic := b.inst.Credentials.Restic; restic != nil {
		expected.Where = resticURL(restic.Endpoint, b.bucketPath(restic.Bucket, restic.Prefix, i.Namespace))
	}
	if i.Capture.How == kind.Volume {
		i.PodConfig = b.podConfigName(i)
		expected.Path = "/data/" + i.Capture.Claim
	} else {
		// K8up stores what a dump prints under the container's name.
		expected.Path = "/" + i.Namespace + "-" + i.Name + i.Capture.Extension
	}
	i.Expected = []Expected{expected}
}

// addExcuses adds to a unit's limits what an input excuses, each with the reason: what
// others may read of the copy, and why the copy may be of no use.
func (b *builder) addExcuses(i *Item) {
	i.Limits = slices.Clone(i.Limits)
	add := func(what string, excuse *input.Excuse) {
		if excuse != nil {
			i.Limits = append(i.Limits, what+": "+excuse.Reason)
		}
	}
	if reason := i.Capture.LiveReason; reason != "" {
		i.Limits = append(i.Limits, "files of a running database, which may be of no single moment: "+reason)
	}
	losses, _ := b.settings.losses(i.ID, i.Kind)
	for _, loss := range losses {
		i.Limits = append(i.Limits, fmt.Sprintf("may lack %s (%s): %s", loss.Name, cmp.Or(loss.Items, "*"), loss.Reason))
	}
	const plain = "keys and ciphertext go to the backup storage over plain http"
	if restic := b.inst.Credentials.Restic; restic != nil && i.Engine == kind.Restic && strings.HasPrefix(restic.Endpoint, "http://") {
		add(plain, restic.PlainHTTP)
	}
	if rclone := b.inst.Credentials.Rclone; rclone != nil && i.Copy != nil {
		if strings.HasPrefix(rclone.Endpoint, "http://") {
			add(plain, rclone.PlainHTTP)
		}
		add("names of files or folders are not encrypted in the copy", rclone.Crypt.PlainNames)
	}
}

// caName names the ConfigMap with an engine's CA bundle, "" when it has none.
func (b *builder) caName(engine string) string {
	if b.plan.CAPem[engine] == "" {
		return ""
	}
	return b.plan.Prefix + "-" + engine + "-ca"
}

// podConfigName names the PodConfig of a claim's owner. Reading as the owner is
// the only way to read everything without touching the live volume.
func (b *builder) podConfigName(i *Item) string {
	name := b.plan.Prefix + "-uid-" + strconv.FormatInt(i.RunAsUID, 10)
	if i.RunAsGID != i.RunAsUID {
		name += "-" + strconv.FormatInt(i.RunAsGID, 10)
	}
	// K8up ignores a job's own resources beside a PodConfig, so units with
	// resources of their own have a PodConfig of their own.
	if k := b.found[i.ID].Kind; !reflect.DeepEqual(i.Resources, k.Resources) {
		name += "-" + digest(fmt.Sprint(i.Resources))[:6]
	}
	return name
}

// bucketPath joins a bucket, a prefix and what makes the path the instance's own.
func (b *builder) bucketPath(bucket, prefix, last string) string {
	parts := []string{bucket}
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		parts = append(parts, prefix)
	}
	return strings.Join(append(parts, b.plan.Instance, last), "/")
}

func resticURL(endpoint, bucket string) string {
	return "s3:" + strings.TrimSuffix(endpoint, "/") + "/" + bucket
}

// copyTarget is where rclone copies the unit to.
func (b *builder) copyTarget(i *Item) *Copy {
	r := b.inst.Credentials.Rclone
	if r == nil {
		return nil
	}
	_, key, _ := strings.Cut(i.ID, "/")
	return &Copy{Path: b.bucketPath(r.Bucket, r.Prefix, dnsLabel(key)), Copies: b.copies(r)}
}

// copies is what all targets have in common, worked out once.
func (b *builder) copies(r *input.Rclone) *Copies {
	if b.plan.Copies != nil {
		return b.plan.Copies
	}
	copies := &Copies{
		Endpoint:                r.Endpoint,
		Region:                  r.Region,
		Provider:                cmp.Or(r.Provider, "Other"),
		Secret:                  b.plan.Prefix + "-rclone",
		CA:                      b.caName(kind.Rclone),
		Salted:                  b.inst.Credentials.Has("rclone.crypt.password2"),
		PasswordsAre:            r.Crypt.PasswordsAre,
		FilenameEncryption:      r.Crypt.FilenameEncryption,
		DirectoryNameEncryption: r.Crypt.DirectoryNameEncryption,
		FilenameEncoding:        cmp.Or(r.Crypt.FilenameEncoding, "base32"),
		CanaryPath:              ".canary/" + b.plan.Instance,
		CanarySHA256:            strings.Repeat("0", 64),
	}
	if canary := r.Crypt.Canary; canary != nil {
		copies.CanaryPath, copies.CanarySHA256 = canary.Path, canary.SHA256
	}
	b.plan.Copies = copies
	return copies
}

// connect derives what the unit's pods may connect to.
func (b *builder) connect(i *Item) {
	source := b.connections(i.Namespace, i.Connects)
	reach := append(slices.Clone(source), b.api("lock"))
	if restic := b.inst.Credentials.Restic; i.Engine == kind.Restic && restic != nil {
		reach = append(reach, b.storage(i.Namespace, restic.Endpoint))
	}
	if i.Copy != nil {
		reach = append(reach, b.storage(i.Namespace, i.Copy.Endpoint))
	}
	i.RestoreEgress = egresses(reach)
	switch i.Capture.How {
	case kind.Sync:
		i.Egress = i.RestoreEgress
	case kind.Volume: // K8up's own job reads it
	default:
		i.Egress = egresses(source)
	}
	// Only where ingress is denied already. In a namespace that denies nothing, the
	// first policy would deny ingress to everybody else.
	if b.inst.State.Network.DefaultDenyIngress {
		for _, e := range source {
			if e.To == ToNamespace && b.ownsNamespace(e.Namespace) {
				i.Ingress = append(i.Ingress, Ingress{Namespace: e.Namespace, Port: e.Port})
			}
		}
	}
}

// ownsNamespace says whether a namespace is one of the instance's. For these the
// state's defaultDenyIngress counts.
func (b *builder) ownsNamespace(namespace string) bool {
	return b.plan.operators(namespace) == "" && (b.plan.isOwn(namespace) || b.plan.granted(namespace))
}

// environment lists the variables of the unit's pods. Values reach the scripts
// by environment only, so no template ever builds a command.
func (b *builder) environment(i *Item) {
	i.Values = map[string]string{
		"HOLDFAST_DEADLINE":   strconv.Itoa(i.DeadlineSeconds),
		"HOLDFAST_FILE_BYTES": strconv.FormatInt(i.DumpBytes, 10),
		"HOLDFAST_MARKER":     i.Expect.Marker,
		"HOLDFAST_MIN_BYTES":  strconv.FormatInt(i.Expect.MinBytes, 10),
		"HOLDFAST_MIN_COUNT":  strconv.FormatInt(i.Expect.MinCount, 10),
	}
	if b.found[i.ID].Kind.Sizing.Streams() {
		i.Values["HOLDFAST_RESTORE_BYTES"] = strconv.FormatInt(i.RestoreBytes, 10)
	}
	if i.Expect.AllowEmpty != nil {
		i.Values["HOLDFAST_ALLOW_EMPTY"] = i.Expect.AllowEmpty.Reason
	}
	losses, _ := b.settings.losses(i.ID, i.Kind)
	for _, loss := range losses {
		i.Values["HOLDFAST_LOSSES"] += loss.Name + " " + cmp.Or(loss.Items, "*") + "\n"
	}
	b.addCommonValues(i.Values, i.ID, i.Namespace)
	if i.Engine == kind.Rclone {
		b.settings.transfer(i)
	}
	maps.Copy(i.Values, b.proxied(i))
	maps.Copy(i.Values, i.Capture.Env)
	i.SecretEnv = append([]kind.SecretEnv{}, i.Capture.SecretEnv...)
	for _, c := range i.Capture.Credentials {
		i.SecretEnv = append(i.SecretEnv, kind.SecretEnv{Name: c.Name, Secret: i.Name + "-credentials", Key: c.Name})
	}
	slices.SortFunc(i.SecretEnv, func(a, c kind.SecretEnv) int { return cmp.Compare(a.Name, c.Name) })
}

// addCommonValues adds the variables that every script has.
func (b *builder) addCommonValues(values map[string]string, unit, namespace string) {
	values["HOLDFAST_INSTANCE"] = b.plan.Instance
	values["HOLDFAST_NAMESPACE"] = namespace
	values["HOLDFAST_SCRATCH"] = "/holdfast/scratch"
	values["HOLDFAST_UNIT"] = unit
	values["HOME"] = "/holdfast/scratch"
	values["TMPDIR"] = "/holdfast/scratch"
}

// labels are the instance's labels and some more.
func (b *builder) labels(pairs ...string) Labels {
	labels := maps.Clone(b.plan.Labels)
	for n := 0; n+1 < len(pairs); n += 2 {
		labels[pairs[n]] = pairs[n+1]
	}
	return labels
}
