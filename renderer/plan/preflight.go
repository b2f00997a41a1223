package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
)

// decidePreflights plans for each namespace the Job that tries, in the first
// stage, what its backups and restores need.
func (b *builder) decidePreflights() {
	p := b.plan
	cluster := b.inst.State.Cluster
	for _, namespace := range p.Namespaces {
		f := Preflight{
			Name:            p.Prefix + "-preflight",
			Namespace:       namespace,
			Labels:          b.labels("holdfast.dev/role", "preflight"),
			DeadlineSeconds: p.Platform.Deadlines["preflight"],
			Contracts:       map[string]string{},
			Values: map[string]string{
				"KUBERNETES_OLDEST":   input.OldestKubernetes,
				"KUBERNETES_DECLARED": cluster.KubernetesVersion,
				"K8UP_OLDEST":         input.OldestK8up,
				"K8UP_DECLARED":       cluster.K8upVersion,
				"K8UP_DEPLOYMENT":     cmp.Or(cluster.K8upDeployment, "k8up"),
				"K8UP_NAMESPACE":      b.inst.State.Namespaces["k8up"],
			},
		}
		b.addCommonValues(f.Values, "cluster", namespace)
		b.platformTrial(&f, "tools", "tools")
		b.platformTrial(&f, "cluster", "k8up")
		for _, i := range p.Units {
			if i.Namespace == namespace {
				b.addTrial(&f, i)
			}
		}
		f.Egress, f.Endpoints = b.connectionsIn(namespace)
		p.Preflights = append(p.Preflights, f)
	}
}

// platformTrial starts an image of the platform as nobody.
func (b *builder) platformTrial(f *Preflight, name, image string) {
	f.Trials = append(f.Trials, Trial{
		Name: name, Units: []string{name}, Need: input.Required, UID: nobody, GID: nobody,
		Image: b.plan.Platform.Images[image], Contract: f.addContract("platform", image, b.set.Platform.Images[image]),
	})
}

// addTrial adds the trial of a unit. Claims of one owner share a trial, because it does
// the same for each of them.
func (b *builder) addTrial(f *Preflight, i Item) {
	k := b.found[i.ID].Kind
	t := Trial{
		Name: strings.TrimPrefix(i.Name, b.plan.Prefix+"-"), Units: []string{i.ID}, Kind: i.Kind, Need: i.Need,
		Image: i.ResolvedImage, UID: i.RunAsUID, GID: i.RunAsGID, Root: i.Root, Item: i.Name, Scripts: i.Scripts,
	}
	if i.Capture.How == kind.Volume {
		t.Item, t.Image = "", b.plan.Platform.Images["k8up"]
		t.Contract = f.addContract("platform", "k8up", b.set.Platform.Images["k8up"])
		owner := fmt.Sprintf("%d-%d", i.RunAsUID, i.RunAsGID)
		t.Name = k.Short + "-uid-" + owner
		if t.Need != input.Required {
			t.Name += "-" + string(t.Need)
		}
		claim := i.Capture.Claim + " " + i.ID
		if at := slices.IndexFunc(f.Trials, func(o Trial) bool { return o.Name == t.Name }); at >= 0 {
			f.Trials[at].Units = append(f.Trials[at].Units, i.ID)
			f.Trials[at].Values["HOLDFAST_CLAIMS"] += "\n" + claim
			return
		}
		t.Values = map[string]string{"HOLDFAST_CLAIMS": claim}
		b.addCommonValues(t.Values, i.Kind+" of "+strings.Replace(owner, "-", ":", 1), i.Namespace)
		f.Trials = append(f.Trials, t)
		return
	}
	if image, own := k.Images[i.Capture.Image]; own {
		t.Contract = f.addContract(k.Name, i.Capture.Image, image)
	} else {
		t.Contract = f.addContract("platform", i.Capture.Image, b.set.Platform.Images[i.Capture.Image])
	}
	if i.Capture.How == kind.Exec {
		for _, name := range slices.Sorted(maps.Keys(k.Images)) {
			if k.Images[name].Exec {
				t.Inside = f.addContract(k.Name, name, k.Images[name])
			}
		}
	}
	f.Trials = append(f.Trials, t)
}

// addContract adds an image's tools to the files and returns the file's name.
func (f *Preflight) addContract(owner, name string, image kind.Image) string {
	var lines strings.Builder
	for _, tool := range slices.Sorted(maps.Keys(image.Tools)) {
		fmt.Fprintf(&lines, "%s %s %s\n", tool, image.Tools[tool].Path, cmp.Or(image.Tools[tool].Min, "-"))
	}
	file := "image." + owner + "." + name
	f.Contracts[file] = lines.String()
	return file
}

// connectionsIn lists what the pods of a namespace connect to: for their policy, and to
// be tried one by one, as "host port need whose to".
func (b *builder) connectionsIn(namespace string) (egress []Egress, endpoints []string) {
	type endpoint struct {
		need  input.Need
		units []string
	}
	found := map[target]*endpoint{}
	add := func(t target, need input.Need, unit string) {
		if t.host == apiServer {
			return
		}
		e := found[t]
		if e == nil {
			e = &endpoint{need: need}
			found[t] = e
		}
		if need == input.Required {
			e.need = need
		}
		if !slices.Contains(e.units, unit) {
			e.units = append(e.units, unit)
		}
	}
	var all []Egress
	for _, i := range b.plan.Units {
		if i.Namespace != namespace {
			continue
		}
		for _, c := range i.Connects {
			to := target{host: c.Host, port: c.Port}
			if c.HTTP {
				to = b.viaProxy(namespace, to)
			}
			add(to, i.Need, i.ID)
		}
		if i.Copy != nil {
			add(b.viaProxy(namespace, endpointTarget(i.Copy.Endpoint)), i.Need, "copies")
		}
		all = append(all, i.RestoreEgress...)
	}
	if r, restic := b.plan.Repositories[namespace]; restic {
		add(b.viaProxy(namespace, endpointTarget(r.Endpoint)), input.Required, "repository/"+namespace)
	}
	all = slices.DeleteFunc(all, func(e Egress) bool { return e.To == ToDNS })
	for t, e := range found {
		whose := e.units[0]
		if more := len(e.units) - 1; more > 0 {
			whose += " and " + strconv.Itoa(more) + " more"
		}
		to := "-"
		if b.plan.Network.Engine == "kubernetes" && b.egress(namespace, "", t).To == ToAny {
			to = "public"
		}
		endpoints = append(endpoints, strings.Join([]string{t.host, strconv.Itoa(t.port), string(e.need), whose, to}, "\t"))
	}
	slices.Sort(endpoints)
	return egresses(all), append([]string{}, endpoints...)
}
