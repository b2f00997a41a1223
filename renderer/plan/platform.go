package plan

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
)

// fewestKept is how many ended Backups stay at least. More stay where there are
// more sources: K8up keeps so many of a namespace, not of a Schedule, and the
// last night's result of every source must be there in the morning.
const fewestKept = 3

// decideRepositories makes one restic repository for each namespace: the
// namespace is restic's host, by which K8up prunes.
func (b *builder) decideRepositories() {
	restic := b.inst.Credentials.Restic
	if restic == nil {
		return
	}
	sources := map[string]int{}
	for _, i := range b.plan.Units {
		if i.Repository == "" {
			continue
		}
		sources[i.Repository]++
		if _, made := b.plan.Repositories[i.Repository]; made {
			continue
		}
		bucket := b.bucketPath(restic.Bucket, restic.Prefix, i.Namespace)
		r := Repository{
			Namespace:   i.Namespace,
			Endpoint:    strings.TrimSuffix(restic.Endpoint, "/"),
			Bucket:      bucket,
			URL:         resticURL(restic.Endpoint, bucket),
			Region:      restic.Region,
			Secret:      b.plan.Prefix + "-restic",
			Environment: b.plan.Prefix + "-restic",
			Scripts:     b.plan.Prefix + "-restic.scripts",
			CA:          b.caName(kind.Restic),
			Egress:      egresses([]Egress{b.storage(i.Namespace, restic.Endpoint)}),
			Proxy:       b.proxyFor(i.Namespace, endpointTarget(restic.Endpoint).host),
		}
		// A Job cannot be changed, so its name follows from what it does.
		r.Bootstrap = b.plan.Prefix + "-init-" + digest(r.URL, b.plan.Platform.Images["k8up"])[:8]
		b.plan.Repositories[i.Repository] = r
	}
	for id, r := range b.plan.Repositories {
		r.History = max(fewestKept, sources[id])
		b.plan.Repositories[id] = r
	}
}

// decideMaintenance plans one check for each repository and one prune for each
// of its tiers, after the window and away from every backup.
func (b *builder) decideMaintenance() {
	p := b.plan
	end := clock(p.Window.End) + maintenanceDelay + int(hash64(p.Instance)%30)
	// step is the minute of the nth job: each apart from the one before, none
	// in the hour that one night does not have.
	step := func(n int) int {
		minute := end % day
		for ; ; minute = (minute + maintenanceDistance) % day {
			if minute/60 == skippedHour(p.TimeZone) {
				continue
			}
			if n == 0 {
				return minute
			}
			n--
		}
	}
	for _, id := range slices.Sorted(maps.Keys(p.Repositories)) {
		r := p.Repositories[id]
		base := Maintenance{Namespace: r.Namespace, Repository: id, Labels: maps.Clone(p.Labels)}

		check := base
		check.Job, check.Name, check.PodConfig = JobCheck, p.Prefix+"-check", p.Prefix+"-check"
		expression := b.settings.maintenance(JobCheck, weekly(step(0), 0), 0)
		check.Schedule = schedule(expression, p.TimeZone)
		check.DeadlineSeconds = p.Platform.Deadlines["check"]
		p.Maintenance = append(p.Maintenance, check)

		for n, tier := range p.tiers(id) {
			prune := base
			prune.Job, prune.Tier, prune.Tag, prune.Retention = JobPrune, tier.name, TierPrefix+tier.name, tier.retention
			prune.Name, prune.PodConfig = p.Prefix+"-prune-"+tier.name, p.Prefix+"-prune"
			expression := b.settings.maintenance(JobPrune, weekly(step(n+1), 6), n)
			prune.Schedule = schedule(expression, p.TimeZone)
			prune.DeadlineSeconds = p.Platform.Deadlines["prune"]
			p.Maintenance = append(p.Maintenance, prune)
		}
	}
}

type tier struct {
	name      string
	retention input.Retention
}

// tiers lists the retentions used in a repository, by name.
func (p *Plan) tiers(repository string) []tier {
	byName := map[string]input.Retention{}
	for _, i := range p.Units {
		if i.Repository == repository {
			byName[i.Tier] = i.Retention
		}
	}
	var list []tier
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		list = append(list, tier{name: name, retention: byName[name]})
	}
	return list
}

// decidePods makes the PodConfigs: one for each job of K8up's, and one for each
// owner of volumes.
func (b *builder) decidePods() {
	p := b.plan
	for _, id := range slices.Sorted(maps.Keys(p.Repositories)) {
		namespace := p.Repositories[id].Namespace
		add := func(name, role string, uid, gid int64, resources input.Resources) {
			p.PodConfigs = append(p.PodConfigs, PodConfig{
				Name: name, Namespace: namespace, Role: role, UID: uid, GID: gid, Root: uid == 0,
				Labels: b.labels("holdfast.dev/role", role), Resources: resources,
			})
		}
		dumps := slices.ContainsFunc(p.Units, func(i Item) bool { return i.Repository == id && i.Capture.How != kind.Volume })
		if dumps {
			add(p.Prefix+"-jobs", "job", nobody, nobody, p.Platform.Resources["job"])
		}
		for _, role := range []string{"check", "prune"} {
			add(p.Prefix+"-"+role, role, nobody, nobody, p.Platform.Resources[role])
		}
		seen := map[string]bool{}
		for _, i := range p.Units {
			if i.Repository == id && i.Capture.How == kind.Volume && !seen[i.PodConfig] {
				seen[i.PodConfig] = true
				add(i.PodConfig, "job", i.RunAsUID, i.RunAsGID, i.Resources)
			}
		}
	}
}

// decideMarkers plans for each namespace the job that labels its live claims:
// before the window, every night, because a claim that is made anew has lost
// its label and would be skipped under a green status.
func (b *builder) decideMarkers() {
	p := b.plan
	for _, namespace := range p.Namespaces {
		marker := Marker{
			Name:      p.Prefix + "-marker",
			Namespace: namespace,
			Labels:    b.labels("holdfast.dev/role", "marker"),
			Egress:    egresses([]Egress{b.api("label claims")}),
			Schedule:  schedule(daily((clock(p.Window.Start)-30+day)%day), p.TimeZone),
		}
		var pairs []string
		for _, i := range p.Units {
			if i.Namespace == namespace && i.Capture.How == kind.Volume {
				marker.Scripts = i.Scripts
				marker.Claims = append(marker.Claims, i.Capture.Claim)
				marker.Units = append(marker.Units, i.Name)
				pairs = append(pairs, i.Capture.Claim+" "+i.Name)
			}
		}
		if len(pairs) == 0 {
			continue
		}
		marker.First = marker.Name + "-" + digest(append(pairs, p.Platform.Images["k8up"])...)[:8]
		marker.Values = map[string]string{
			"HOLDFAST_CLAIMS":   strings.Join(pairs, "\n"),
			"HOLDFAST_DEADLINE": strconv.Itoa(p.Platform.Deadlines["marker"]),
		}
		b.addCommonValues(marker.Values, "marker", namespace)
		p.Markers = append(p.Markers, marker)
	}
}

// decideSecrets lists the Secrets to make from the credentials.
func (b *builder) decideSecrets() {
	p := b.plan
	p.External = b.settings.external()
	credentials, generation := b.inst.Credentials, 0
	if credentials.Rotation != nil {
		generation = credentials.Rotation.Generation
	}
	add := func(namespace, name, expires string, keys []SecretKey) {
		for i := range keys {
			keys[i].Remote = b.settings.remote(keys[i].Field, p.Instance)
		}
		p.Secrets = append(p.Secrets, Secret{
			Namespace: namespace, Name: name, Labels: p.Labels, Keys: keys,
			Generation: generation, ExpiresAt: expires,
			File: p.Instance + "/repository/" + namespace + "/secret-" + strings.TrimPrefix(name, p.Prefix+"-") + ".yaml",
		})
	}
	for _, id := range slices.Sorted(maps.Keys(p.Repositories)) {
		r := p.Repositories[id]
		add(r.Namespace, r.Secret, credentials.Restic.ExpiresAt, []SecretKey{
			{Key: "access-key-id", Field: "restic.accessKeyId"},
			{Key: "password", Field: "restic.password"},
			{Key: "secret-access-key", Field: "restic.secretAccessKey"},
		})
	}
	copies := map[string]*Copy{}
	for _, i := range p.Units {
		if i.Copy != nil {
			copies[i.Namespace] = i.Copy
		}
	}
	for _, namespace := range slices.Sorted(maps.Keys(copies)) {
		keys := []SecretKey{
			{Key: "access-key-id", Field: "rclone.accessKeyId"},
			{Key: "crypt-password", Field: "rclone.crypt.password"},
			{Key: "secret-access-key", Field: "rclone.secretAccessKey"},
		}
		if copies[namespace].Salted {
			keys = slices.Insert(keys, 2, SecretKey{Key: "crypt-password2", Field: "rclone.crypt.password2"})
		}
		add(namespace, copies[namespace].Secret, credentials.Rclone.ExpiresAt, keys)
	}
	for _, i := range p.Units {
		var keys []SecretKey
		for _, c := range i.Capture.Credentials {
			keys = append(keys, SecretKey{Key: c.Name, Field: c.Field})
		}
		if len(keys) > 0 {
			slices.SortFunc(keys, func(a, c SecretKey) int { return cmp.Compare(a.Key, c.Key) })
			add(i.Namespace, i.Name+"-credentials", "", keys)
		}
	}
}

// decideDeclared lists the Secrets and ConfigMaps that units take from others.
func (b *builder) decideDeclared() {
	type id struct{ kind, namespace, name string }
	keys := map[id]map[string]bool{}
	declare := func(kind, namespace, name, key string) {
		at := id{kind, namespace, name}
		if keys[at] == nil {
			keys[at] = map[string]bool{}
		}
		keys[at][key] = true
	}
	for _, i := range b.plan.Units {
		for _, e := range i.Capture.SecretEnv {
			declare("Secret", i.Namespace, e.Secret, e.Key)
		}
		for _, f := range i.Capture.Files {
			if f.Secret != "" {
				declare("Secret", i.Namespace, f.Secret, f.Key)
			} else {
				declare("ConfigMap", i.Namespace, f.ConfigMap, f.Key)
			}
		}
	}
	for _, at := range slices.SortedFunc(maps.Keys(keys), func(a, c id) int {
		return cmp.Or(cmp.Compare(a.namespace, c.namespace), cmp.Compare(a.kind, c.kind), cmp.Compare(a.name, c.name))
	}) {
		b.plan.Declared = append(b.plan.Declared, Declared{
			Kind: at.kind, Namespace: at.namespace, Name: at.name, Keys: slices.Sorted(maps.Keys(keys[at])),
		})
	}
}
