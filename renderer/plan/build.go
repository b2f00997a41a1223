package plan

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
)

// inputs is what Check needs beside the plan itself.
type inputs struct {
	instance   input.Instance
	set        kind.Set
	discovered []kind.Discovered
	cyclic     []string
	unplaced   []string
}

// builder holds the inputs of one plan while it is made.
type builder struct {
	inst     input.Instance
	set      kind.Set
	plan     *Plan
	settings settings
	found    map[string]kind.Discovered
}

// Build decides everything for one instance. It never fails; see Check.
func Build(inst input.Instance, set kind.Set, units []kind.Discovered) *Plan {
	p := build(inst, set, units)
	fillNil(reflect.ValueOf(p))
	return p
}

// fillNil turns every nil list and map into an empty one. Otherwise templates and
// readers of plan.json would find null instead of a list.
func fillNil(v reflect.Value) {
	switch v.Kind() { //nolint:exhaustive // all other kinds hold nothing
	case reflect.Pointer:
		if !v.IsNil() {
			fillNil(v.Elem())
		}
	case reflect.Struct:
		for n := range v.NumField() {
			if v.Type().Field(n).IsExported() {
				fillNil(v.Field(n))
			}
		}
	case reflect.Slice:
		if v.IsNil() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
		for n := range v.Len() {
			fillNil(v.Index(n))
		}
	case reflect.Map:
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		if v.Type().Elem().Kind() != reflect.Struct {
			return // of texts and numbers
		}
		for _, key := range v.MapKeys() {
			entry := reflect.New(v.Type().Elem()).Elem()
			entry.Set(v.MapIndex(key))
			fillNil(entry)
			v.SetMapIndex(key, entry)
		}
	}
}

func build(inst input.Instance, set kind.Set, units []kind.Discovered) *Plan {
	state := inst.State
	p := &Plan{
		SchemaVersion: 2,
		Instance:      state.InstanceID,
		Prefix:        prefix(state.InstanceID, set),
		Cluster:       state.Cluster.Name,
		Namespace:     state.Namespace,
		Ignored:       state.Ignored,
		Units:         []Item{},
		Exemptions:    []Exemption{},
		Repositories:  map[string]Repository{},
		Maintenance:   []Maintenance{},
		PodConfigs:    []PodConfig{},
		Markers:       []Marker{},
		Verifiers:     []Verifier{},
		Preflights:    []Preflight{},
		Secrets:       []Secret{},
		Declared:      []Declared{},
		Namespaces:    []string{},
		Labels:        Labels{},
		Platform: Platform{
			Images:    map[string]string{},
			Resources: map[string]input.Resources{},
			Deadlines: map[string]int{},
		},
		Network: Network{APICIDRs: []string{}, Cluster: []string{}, Endpoints: []input.Endpoint{}, DNS: input.DNS{Labels: Labels{}}},
		Flux:    Flux{DependsOn: []input.Reference{}},
		inputs:  &inputs{instance: inst, set: set, discovered: withGroups(state.Consistency, units)},
	}
	b := &builder{inst: inst, set: set, plan: p, settings: newSettings(inst), found: map[string]kind.Discovered{}}
	for _, u := range p.inputs.discovered {
		b.found[u.ID] = u
	}
	if state.Backup == nil || !state.Backup.Enabled {
		p.Reason = "the state has no backup block"
		if state.Backup != nil {
			p.Reason = cmp.Or(state.Backup.Reason, "backup.enabled is false")
		}
		return p
	}
	p.Enabled = true
	p.Labels = Labels{"app.kubernetes.io/managed-by": "holdfast", "holdfast.dev/instance": p.Instance}
	p.InstanceLock = p.Prefix + ".lock"
	b.decideGroups()
	b.decideFrame()
	b.decideUnits()
	b.decideRetired()
	b.decideExcuses()
	b.decideRepositories()
	b.decideMaintenance()
	b.decidePods()
	b.decideMarkers()
	b.decideVerifiers()
	b.decideSecrets()
	b.decidePreflights()
	b.decideDeclared()
	b.count()
	return p
}

// decideFrame settles what all units share: zone, window, network, Flux.
func (b *builder) decideFrame() {
	p, state := b.plan, b.inst.State
	p.TimeZone = b.settings.timezone()
	p.Window = b.settings.window()
	n := state.Network
	p.Network.Engine = cmp.Or(n.PolicyEngine, "kubernetes")
	p.Network.Cluster = append(p.Network.Cluster, n.ClusterCIDRs...)
	p.Network.DNS = input.DNS{Namespace: "kube-system", Labels: Labels{"k8s-app": "kube-dns"}}
	if n.APIServer != nil {
		p.Network.APICIDRs, p.Network.APIPort = append(p.Network.APICIDRs, n.APIServer.CIDRs...), n.APIServer.Port
	}
	if n.DNS != nil {
		p.Network.DNS.Namespace = cmp.Or(n.DNS.Namespace, p.Network.DNS.Namespace)
		if len(n.DNS.Labels) > 0 {
			p.Network.DNS.Labels = n.DNS.Labels
		}
	}
	p.Network.Endpoints = append(p.Network.Endpoints, n.Endpoints...)
	slices.SortStableFunc(p.Network.Endpoints, func(a, c input.Endpoint) int { return cmp.Compare(a.Host, c.Host) })
	p.API = b.api("Snapshot objects, dump pods")
	p.CAPem = map[string]string{}
	if r := b.inst.Credentials.Restic; r != nil && r.CAPem != "" {
		p.CAPem[kind.Restic] = r.CAPem
	}
	if r := b.inst.Credentials.Rclone; r != nil && r.CAPem != "" {
		p.CAPem[kind.Rclone] = r.CAPem
	}
	p.Flux = b.settings.flux(p.Instance)
	if b.inst.Policy != nil {
		p.Flux.ServiceAccount = strings.ReplaceAll(b.inst.Policy.ServiceAccountName, "{instance}", p.Instance)
	}
	for _, name := range slices.Sorted(maps.Keys(b.set.Platform.Images)) {
		p.Platform.Images[name], _ = b.settings.image("platform", name, b.set.Platform.Images[name].Reference)
	}
	for _, name := range slices.Sorted(maps.Keys(b.set.Platform.Resources)) {
		p.Platform.Resources[name], _ = b.settings.resources(b.set.Platform.Resources[name], name)
	}
	for _, name := range slices.Sorted(maps.Keys(b.set.Platform.Deadlines)) {
		p.Platform.Deadlines[name], _ = b.settings.deadline(b.set.Platform.Deadlines[name], name)
	}
}

// decideUnits splits the units into those that are backed up and those that are
// exempt, and decides everything about the first.
func (b *builder) decideUnits() {
	depths, cyclic := depths(b.found)
	b.plan.inputs.cyclic = cyclic
	var requests []request
	fixed := map[string]timetable{}
	for _, u := range b.plan.inputs.discovered {
		if u.Need == input.Skip {
			b.plan.Exemptions = append(b.plan.Exemptions, Exemption{ID: u.ID, Kind: u.Kind.Name, Source: b.plan.Source(u.Unit), Covers: u.Covers, Reason: u.Reason})
			continue
		}
		if line, _, set := b.settings.cron(u.ID, u.Kind.Name); set {
			fixed[u.ID], _ = parseCron(line) // a wrong one is Check's matter
			continue
		}
		requests = append(requests, request{id: u.ID, depth: depths[u.ID], after: u.Consistent})
	}
	minutes := b.places(requests, fixed)
	for _, u := range b.plan.inputs.discovered {
		if u.Need == input.Skip {
			continue
		}
		minute, placed := minutes[u.ID]
		if !placed {
			if _, _, fixed := b.settings.cron(u.ID, u.Kind.Name); !fixed {
				b.plan.inputs.unplaced = append(b.plan.inputs.unplaced, u.ID)
			}
		}
		b.plan.Units = append(b.plan.Units, b.item(u, minute))
	}
	b.exemptOthers()
	slices.SortFunc(b.plan.Units, func(a, c Item) int { return cmp.Compare(a.ID, c.ID) })
	slices.SortFunc(b.plan.Exemptions, func(a, c Exemption) int { return cmp.Compare(a.ID, c.ID) })
	namespaces := map[string]bool{}
	for _, i := range b.plan.Units {
		namespaces[i.Namespace] = true
	}
	b.plan.Namespaces = slices.Sorted(maps.Keys(namespaces))
}

// places finds a minute of the window for each request, beside sources whose
// times are set. On a circle nothing comes first; Check reports it.
func (b *builder) places(requests []request, fixed map[string]timetable) map[string]int {
	p := b.plan
	for n, r := range requests {
		if len(p.inputs.cyclic) > 0 {
			requests[n].after = nil
			continue
		}
		var set []timetable
		for _, before := range r.after {
			if first := fixed[before]; first != nil {
				set = append(set, first)
			}
		}
		if len(set) > 0 {
			requests[n].suits = func(minute int) bool {
				return !slices.ContainsFunc(set, func(first timetable) bool { return !follows(everyDay(minute), first, p.Window) })
			}
		}
	}
	taken := map[int]bool{}
	for _, times := range fixed {
		for _, at := range times {
			taken[at%day] = true
		}
	}
	return spread(p.Instance, requests, windowMinutes(p.Window, p.TimeZone), func(minute int) bool { return taken[minute] })
}

// depths counts for each unit the longest chain of units that must be taken
// before it, and names the units on a cycle.
func depths(units map[string]kind.Discovered) (map[string]int, []string) {
	depth := map[string]int{}
	visiting := map[string]bool{}
	var cyclic []string
	var visit func(id string) int
	visit = func(id string) int {
		if d, done := depth[id]; done {
			return d
		}
		if visiting[id] {
			cyclic = append(cyclic, id)
			return 0
		}
		visiting[id] = true
		d := 0
		for _, before := range units[id].Consistent {
			if u, known := units[before]; known && u.Need != input.Skip {
				d = max(d, visit(before)+1)
			}
		}
		visiting[id] = false
		depth[id] = d
		return d
	}
	for _, id := range slices.Sorted(maps.Keys(units)) {
		visit(id)
	}
	slices.Sort(cyclic)
	return depth, slices.Compact(cyclic)
}

// count adds up what a complete round leaves behind.
func (b *builder) count() {
	t := Totals{Units: len(b.plan.Units), Exempt: len(b.plan.Exemptions)}
	for _, i := range b.plan.Units {
		if i.Engine == kind.Rclone {
			t.Copies++
		} else {
			t.Snapshots++
		}
	}
	b.plan.Totals = t
}
