package overlay

import (
	"slices"

	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/plan"
)

// renamed is the plan with the names that objects have now. Labels and the
// names of containers stay: they say which unit something is, and where its
// snapshots are.
func (a *application) renamed() *plan.Plan {
	p := *a.plan
	p.Units = slices.Clone(p.Units)
	for i := range p.Units {
		a.unit(&p.Units[i])
		if target := p.Units[i].Copy; target != nil {
			p.Copies = target.Copies // each namespace's Secret has the same name
		}
	}
	p.Repositories = map[string]plan.Repository{}
	for id, r := range a.plan.Repositories {
		r.Secret = a.now("Secret", r.Namespace, r.Secret)
		r.Environment = a.now("ConfigMap", r.Namespace, r.Environment)
		r.CA = a.now("ConfigMap", r.Namespace, r.CA)
		r.Bootstrap = a.now("Job", r.Namespace, r.Bootstrap)
		p.Repositories[id] = r
	}
	p.Maintenance = slices.Clone(p.Maintenance)
	for i := range p.Maintenance {
		m := &p.Maintenance[i]
		m.Name = a.now("Schedule", m.Namespace, m.Name)
		m.PodConfig = a.now("PodConfig", m.Namespace, m.PodConfig)
	}
	p.PodConfigs = slices.Clone(p.PodConfigs)
	for i := range p.PodConfigs {
		c := &p.PodConfigs[i]
		c.Name = a.now("PodConfig", c.Namespace, c.Name)
	}
	p.Markers = slices.Clone(p.Markers)
	for i := range p.Markers {
		m := &p.Markers[i]
		m.Name = a.now("CronJob", m.Namespace, m.Name)
		m.First = a.now("Job", m.Namespace, m.First)
		m.Scripts = a.now("ConfigMap", m.Namespace, m.Scripts)
	}
	p.Verifiers = slices.Clone(p.Verifiers)
	for i := range p.Verifiers {
		v := &p.Verifiers[i]
		v.Name = a.now("CronJob", v.Namespace, v.Name)
		v.Status = a.now("ConfigMap", v.Namespace, v.Status)
	}
	p.Preflights = slices.Clone(p.Preflights)
	for i := range p.Preflights {
		f := &p.Preflights[i]
		f.Name = a.now("Job", f.Namespace, f.Name)
	}
	p.Secrets = slices.Clone(p.Secrets)
	for i := range p.Secrets {
		s, o := &p.Secrets[i], a.secrets[i]
		s.Name = o.Name()
		metadata, _ := o.Value["metadata"].(map[string]any)
		s.Labels = stringsOf(metadata["labels"])
		s.Annotations = stringsOf(metadata["annotations"])
	}
	for _, namespace := range p.Namespaces {
		p.InstanceLock = a.now("ConfigMap", namespace, p.InstanceLock)
	}
	return &p
}

func (a *application) unit(i *plan.Item) {
	now := func(kind, name string) string { return a.now(kind, i.Namespace, name) }
	i.Lock = now("ConfigMap", i.Lock)
	i.Scripts = now("ConfigMap", i.Scripts)
	i.Restore = now("Job", i.Restore)
	i.PodConfig = now("PodConfig", i.PodConfig)
	i.ServiceAccount = now("ServiceAccount", i.ServiceAccount)
	i.SecretEnv = slices.Clone(i.SecretEnv)
	for n := range i.SecretEnv {
		i.SecretEnv[n].Secret = now("Secret", i.SecretEnv[n].Secret)
	}
	if i.Engine == kind.Rclone {
		i.Name = now("CronJob", i.Name)
	} else {
		i.Name = now("Schedule", i.Name)
	}
	if i.Copy != nil {
		copies := *i.Copy.Copies
		copies.Secret = now("Secret", copies.Secret)
		copies.CA = now("ConfigMap", copies.CA)
		i.Copy = &plan.Copy{Path: i.Copy.Path, Copies: &copies}
	}
}

func stringsOf(value any) map[string]string {
	m, _ := value.(map[string]any)
	read := map[string]string{}
	for name, v := range m {
		read[name], _ = v.(string)
	}
	return read
}
