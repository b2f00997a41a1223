package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// Check proves that a plan keeps its promises: every coverable place is covered once,
// names, times and retention work in the cluster, and no unit reaches another
// instance's data. Every problem has its rule.
func Check(p *Plan) problem.List {
	if !p.Enabled {
		return nil
	}
	c := &checker{plan: p}
	c.coverage()
	c.units()
	c.sizes()
	c.others()
	c.groups()
	c.references()
	c.retired()
	c.images()
	c.names()
	c.namespaces()
	c.policyFirst()
	c.exportedApart()
	c.times()
	c.retention()
	c.network()
	c.exports()
	c.clients()
	return c.problems
}

// checker collects the problems of one plan.
type checker struct {
	plan     *Plan
	problems problem.List
}

// problemAt adds a problem at a place of the state, or at the unit when it has none.
func (c *checker) problemAt(pointer, rule, hint, format string, args ...any) {
	p := problem.Problem{Pointer: pointer, Message: fmt.Sprintf(format, args...), Hint: hint, Rule: rule}
	if strings.HasPrefix(pointer, "/") {
		tree := c.plan.inputs.instance.State.Tree
		p.File = tree.Name
		p.Line, p.Column = tree.At(pointer)
	}
	c.problems = append(c.problems, p)
}

// unitPlace is the place of a unit: the first that it covers.
func unitPlace(u kind.Unit) string {
	if len(u.Covers) > 0 {
		return u.Covers[0]
	}
	return "unit " + u.ID
}

// coverage proves the promise "total": every coverable place is covered by one
// unit, or by all the parts of one.
func (c *checker) coverage() {
	coverable := c.plan.inputs.instance.State.Coverable
	known := map[string]bool{}
	for _, place := range coverable {
		known[place] = true
	}
	covering := map[string][]kind.Discovered{}
	for _, u := range c.plan.inputs.discovered {
		if len(u.Covers) == 0 {
			c.problemAt("unit "+u.ID, "HF106", "name the places of the state that it backs up", "the unit covers nothing")
		}
		for _, place := range u.Covers {
			covering[place] = append(covering[place], u)
			if !known[place] {
				c.problemAt("unit "+u.ID, "HF106", "only places marked x-coverable in a schema can be covered",
					"covers %s, which is no coverable place of this state", place)
			}
		}
		if u.Need == input.Skip && strings.TrimSpace(u.Reason) == "" {
			c.problemAt(unitPlace(u.Unit), "HF107", `say why: "reason": "…"`, "unit %s is skipped without a reason", u.ID)
		}
	}
	for _, place := range coverable {
		switch units := covering[place]; {
		case len(units) == 0 && c.plan.exempt(place):
		case len(units) == 0:
			c.problemAt(place, "HF104", `give it a kind that backs it up, or "backup": "skip" with a reason`, "nothing backs this up")
		case !whole(units):
			ids := make([]string, len(units))
			for n, u := range units {
				ids[n] = u.ID
			}
			slices.Sort(ids)
			c.problemAt(place, "HF105", "a place is backed up by one unit, or by all parts of one",
				"covered by %s", strings.Join(ids, " and "))
		}
	}
}

// whole says whether these are one unit by itself, or the parts 0 to n-1 of one kind.
func whole(units []kind.Discovered) bool {
	if len(units) == 1 && units[0].Part == nil {
		return true
	}
	seen := map[int]bool{}
	for _, u := range units {
		if u.Part == nil || u.Part.Of != len(units) || u.Kind.Name != units[0].Kind.Name {
			return false
		}
		if u.Part.Number < 0 || u.Part.Number >= u.Part.Of || seen[u.Part.Number] {
			return false
		}
		seen[u.Part.Number] = true
	}
	return true
}

var envForm = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)

// units checks each unit by itself and against the others.
func (c *checker) units() {
	ids, sources := map[string]bool{}, map[string]string{}
	for _, u := range c.plan.inputs.discovered {
		if ids[u.ID] {
			c.problemAt(unitPlace(u.Unit), "HF103", "keys must differ, also across servers", "another unit is %s, too", u.ID)
		}
		ids[u.ID] = true
		if u.Capture == nil || u.Need == input.Skip {
			continue
		}
		source := c.plan.Source(u.Unit)
		if other, taken := sources[source]; taken && other != u.ID {
			c.problemAt(unitPlace(u.Unit), "HF115", "one of the two must go", "%s and %s read the same data (%s)", other, u.ID, u.Capture.Source)
		}
		sources[source] = u.ID
		if (u.Capture.How == kind.Sync) != (u.Kind.Engine == kind.Rclone) {
			c.problemAt(unitPlace(u.Unit), "HF110", "sync is rclone's, all others are restic's",
				"unit %s is captured by %s, but its engine is %s", u.ID, u.Capture.How, u.Kind.Engine)
		}
		if u.Expect.AllowEmpty != nil && strings.TrimSpace(u.Expect.AllowEmpty.Reason) == "" {
			c.problemAt(unitPlace(u.Unit), "HF118", "an empty copy needs a reason", "unit %s may be empty without a reason", u.ID)
		}
		for _, name := range slices.Sorted(maps.Keys(u.Capture.Env)) {
			if !envForm.MatchString(name) {
				c.problemAt("unit "+u.ID, "HF117", "use capitals, digits and _", "%q is no name of an environment variable", name)
			}
		}
		if u.Capture.How == kind.Volume {
			c.live(u.Unit)
			c.owner(u.Unit)
		}
	}
}

// owner checks who reads a claim: files of another uid are left out under a
// green status.
func (c *checker) owner(u kind.Unit) {
	switch {
	case len(u.Capture.Owners) > 0:
		if u.Capture.RootReason == "" {
			c.problemAt(unitPlace(u), "HF145", `add "runAsRoot": {"reason": …} to accept a pod that runs as root, or skip the claim with a reason`,
				"claim %s has files of several owners, and only root can read them all and give them back", u.Capture.Claim)
		}
	case u.Capture.UID == nil:
		c.problemAt(unitPlace(u), "HF113", `add "owner": {"uid": …, "gid": …}: the numbers that ls -ln shows in the volume`,
			"the owner of claim %s is not known; files of another uid would be left out under a green status", u.Capture.Claim)
	case *u.Capture.UID == 0 && u.Capture.RootReason == "":
		c.problemAt(unitPlace(u), "HF114", `add "runAsRoot": {"reason": …} to accept a pod that runs as root`,
			"claim %s belongs to root, whose files nobody else can read", u.Capture.Claim)
	case *u.Capture.UID != 0 && u.Capture.RootReason != "":
		c.problemAt(unitPlace(u), "HF114", "take runAsRoot away", "claim %s does not belong to root and needs no exception", u.Capture.Claim)
	}
}

// references checks what units, settings and credentials say of each other.
func (c *checker) references() {
	p, in := c.plan, c.plan.inputs
	units, names := map[string]bool{}, map[string]bool{}
	for _, u := range in.discovered {
		units[u.ID], names[u.ID] = true, true
	}
	for _, k := range in.set.Kinds {
		names[k.Name] = true
	}
	// Platform jobs have deadlines and resources, but nothing else is asked
	// for by their names.
	jobs := map[string]map[string]bool{"deadlines": {}, "resources": {}}
	for job := range p.Platform.Deadlines {
		jobs["deadlines"][job] = true
	}
	for job := range p.Platform.Resources {
		jobs["resources"][job] = true
	}
	ask := newSettings(in.instance)
	for _, l := range ask.levels {
		for _, section := range sections(l.settings) {
			for _, key := range section.keys {
				if names[key] || jobs[section.name][key] {
					continue
				}
				known := slices.Sorted(maps.Keys(names))
				known = slices.AppendSeq(known, slices.Values(slices.Sorted(maps.Keys(jobs[section.name]))))
				hint := "unit ids and kinds are listed by holdfast plan"
				if near := problem.Nearest(key, known); near != "" {
					hint = fmt.Sprintf("did you mean %q?", near)
				}
				c.setting(l, section.name+"/"+escape(key), "HF112", hint, "%q names no unit and no kind of this instance", key)
			}
		}
		c.losses(l)
		for _, key := range slices.Sorted(maps.Keys(l.settings.Images)) {
			if !c.imageKnown(key) {
				c.setting(l, "images/"+escape(key), "HF112", "images are listed by holdfast kinds", "%q names no image of a kind or of the platform", key)
			}
		}
	}
	for _, i := range p.Units {
		for _, before := range i.Consistent {
			if !units[before] {
				c.problemAt(unitPlace(i.Unit), "HF111", "name a unit of this instance", "unit %s must be taken after %q, which is no unit", i.ID, before)
			}
		}
		c.keys(i)
		var absent []string
		for _, credential := range i.Capture.Credentials {
			if !in.instance.Credentials.Has(credential.Field) {
				absent = append(absent, credential.Field)
			}
		}
		if len(absent) > 0 {
			c.problemAt(unitPlace(i.Unit), "HF020", "add them to backup-credentials.json, or skip the unit with a reason",
				"unit %s needs the credentials %s, which are not there", i.ID, strings.Join(absent, " and "))
		}
		if (i.Engine == kind.Restic && in.instance.Credentials.Restic == nil) || (i.Engine == kind.Rclone && in.instance.Credentials.Rclone == nil) {
			c.problemAt(unitPlace(i.Unit), "HF020", "add the section to backup-credentials.json", "unit %s needs the credentials of %s, which are not there", i.ID, i.Engine)
		}
	}
	for _, id := range in.cyclic {
		c.problemAt("unit "+id, "HF111", "break the circle", "unit %s must be taken before itself", id)
	}
	for _, id := range in.unplaced {
		c.problemAt("unit "+id, "HF205", "widen backup.window: each source needs a minute of its own, "+
			fmt.Sprintf("%d minutes after those that it must follow", followDistance),
			"the window %s to %s has no minute left; of its %d minutes %d are in use",
			p.Window.Start, p.Window.End, len(windowMinutes(p.Window, p.TimeZone)), len(p.Units)-len(in.unplaced))
	}
}

// BackupsOwn says whether a field of the credentials opens the repositories, the copies
// or the Secrets in Git. No source needs such a field to be read.
func BackupsOwn(field string) bool {
	section, _, _ := strings.Cut(field, ".")
	return section == "git" || section == kind.Restic || section == kind.Rclone
}

// keys checks that a unit asks for no credential of the backup's own.
func (c *checker) keys(i Item) {
	const hint = "a kind names what its source needs; where copies go is the platform's"
	for _, credential := range i.Capture.Credentials {
		if BackupsOwn(credential.Field) {
			c.problemAt("unit "+i.ID, "HF428", hint, "its capture.credentials ask for %s", credential.Field)
		}
	}
	names := []string{}
	for _, e := range i.Capture.SecretEnv {
		names = append(names, e.Secret)
	}
	for _, f := range i.Capture.Files {
		names = append(names, f.Secret)
	}
	for _, s := range c.plan.Secrets {
		if s.Namespace == i.Namespace && slices.Contains(names, s.Name) {
			c.problemAt(unitPlace(i.Unit), "HF428", hint, "unit %s takes a value of the Secret %s, which is the backup's own", i.ID, s.Name)
		}
	}
}

// losses checks that what a document accepts is something that the kind can lose.
func (c *checker) losses(l level) {
	for _, key := range slices.Sorted(maps.Keys(l.settings.Losses)) {
		name, _, _ := strings.Cut(key, "/")
		k, known := c.plan.inputs.set.Find(name)
		if !known {
			continue // HF112 says so
		}
		losable := slices.Sorted(maps.Keys(k.Losses))
		for n, loss := range l.settings.Losses[key] {
			if slices.Contains(losable, loss.Name) {
				continue
			}
			hint := "the kind has none: take the entry away"
			if near := problem.Nearest(loss.Name, losable); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			} else if len(losable) > 0 {
				hint = "the kind's losses are " + strings.Join(losable, ", ")
			}
			c.setting(l, fmt.Sprintf("losses/%s/%d/loss", escape(key), n), "HF150", hint, "%q is no loss that %s knows", loss.Name, name)
		}
	}
}

// imageKnown says whether "kind/name" or "platform/name" is an image.
func (c *checker) imageKnown(key string) bool {
	owner, name, _ := strings.Cut(key, "/")
	if owner == "platform" {
		_, ok := c.plan.inputs.set.Platform.Images[name]
		return ok
	}
	// A kind may be given images for versions that it does not know yet, but none
	// in the place of one that somebody else's pod has.
	k, ok := c.plan.inputs.set.Find(owner)
	return ok && !k.Images[name].Exec
}

// setting adds a problem at a place of a document's settings.
func (c *checker) setting(l level, path, rule, hint, format string, args ...any) {
	pointer := l.base + "/" + path
	p := problem.Problem{File: l.tree.Name, Pointer: pointer, Message: fmt.Sprintf(format, args...), Hint: hint, Rule: rule}
	p.Line, p.Column = l.tree.AtKey(pointer)
	c.problems = append(c.problems, p)
}

// images checks that every image is known, pinned, and from where the policy has them
// (HF108, HF109, HF316).
func (c *checker) images() {
	check := func(where, name, reference string) {
		if reference == "" {
			c.problemAt(where, "HF108", c.hintImage(name), "there is no image %q", name)
			return
		}
		for _, p := range c.plan.WrongImage(reference) {
			c.problemAt(where, p.Rule, p.Hint, "%s", p.Message)
		}
	}
	for _, i := range c.plan.Units {
		if i.Capture.Image != "" {
			check(unitPlace(i.Unit), i.Kind+"/"+i.Capture.Image, i.ResolvedImage)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.plan.Platform.Images)) {
		check("platform", "platform/"+name, c.plan.Platform.Images[name])
	}
}

// WrongImage returns what is wrong with the reference of an image: it has no version,
// or no digest although requireDigest is set (HF109), or the policy allows no images
// from there (HF316).
func (p *Plan) WrongImage(reference string) problem.List {
	var problems problem.List
	add := func(rule, hint, format string) {
		problems = append(problems, problem.Problem{Message: fmt.Sprintf(format, reference), Hint: hint, Rule: rule})
	}
	switch {
	case !tagged(reference):
		add("HF109", "name a version, best with its digest: name:tag@sha256:…", "image %q has no version")
	case p.inputs != nil && newSettings(p.inputs.instance).requireDigest() && !strings.Contains(reference, "@sha256:"):
		add("HF109", "requireDigest is on: write name:tag@sha256:…", "image %q has no digest")
	}
	if p.inputs == nil || p.inputs.instance.Policy == nil {
		return problems
	}
	prefixes := p.inputs.instance.Policy.ImagePrefixes
	if len(prefixes) > 0 && !slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(reference, prefix) }) {
		add("HF316", "the policy's imagePrefixes has "+strings.Join(prefixes, ", ")+
			": put the image there, and name it with its registry, as in docker.io/library/postgres", "image %q is from elsewhere")
	}
	return problems
}

// hintImage says which images there are beside one that is not.
func (c *checker) hintImage(name string) string {
	hint := fmt.Sprintf("set the image in the settings: \"images\": {%q: …}", name)
	owner, _, _ := strings.Cut(name, "/")
	k, _ := c.plan.inputs.set.Find(owner)
	if has := slices.Sorted(maps.Keys(kind.References(k.Images))); len(has) > 0 {
		hint += "; built in are " + strings.Join(has, ", ")
	}
	return hint
}

// tagged says whether an image reference names a version.
func tagged(reference string) bool {
	if strings.Contains(reference, "@sha256:") {
		return true
	}
	last := reference[strings.LastIndex(reference, "/")+1:]
	_, tag, found := strings.Cut(last, ":")
	return found && tag != "" && tag != "latest"
}

// names checks what K8up and Kubernetes make of names.
func (c *checker) names() {
	workloads := map[string]string{}
	for _, u := range c.plan.inputs.discovered {
		if u.Capture != nil && u.Capture.Workload != nil {
			workloads[u.Namespace+"/"+u.Capture.Workload.Name] = u.ID
		}
	}
	names, paths := map[string]string{}, map[string]string{}
	for _, i := range c.plan.Units {
		if len(i.Name) > MaxName {
			c.problemAt(unitPlace(i.Unit), "HF301", "shorten the instance id or the key", "name %q has %d characters; a Schedule of more than %d hangs for ever", i.Name, len(i.Name), MaxName)
		}
		if claim := i.Capture.Claim; i.Capture.How == kind.Volume && (len(claim) > 63 || strings.Contains(claim, ".")) {
			c.problemAt(unitPlace(i.Unit), "HF311", `copy the files to a claim of a shorter name, or skip it with "backup": "skip" and a reason`,
				"K8up mounts claim %q as a volume of that name, which a pod cannot have", claim)
		}
		at := i.Namespace + "/" + i.Name
		if other, taken := names[at]; taken && other != i.ID {
			c.problemAt(unitPlace(i.Unit), "HF302", "rename one of the two keys", "units %s and %s get the same name %q", other, i.ID, i.Name)
		}
		names[at] = i.ID
		if other, taken := workloads[at]; taken {
			c.problemAt(unitPlace(i.Unit), "HF303", "rename the key: K8up would take the workload for its own and delete it",
				"unit %s gets the name of the workload that %s belongs to", i.ID, other)
		}
		for _, e := range i.Expected {
			if e.Where == "" {
				continue // its credentials are missing, which is reported
			}
			path := e.Where + " " + e.Path
			if other, taken := paths[path]; taken && other != i.ID {
				c.problemAt(unitPlace(i.Unit), "HF302", "their copies would replace each other", "units %s and %s are stored under the same path", other, i.ID)
			}
			paths[path] = i.ID
		}
	}
	for _, m := range c.plan.Maintenance {
		if len(m.Name) > MaxName {
			c.problemAt("/backup/retention", "HF301", "keep fewer kinds of copies in one retention", "name %q has more than %d characters", m.Name, MaxName)
		}
	}
}

// times simulates a week.
func (c *checker) times() {
	p := c.plan
	if _, known := zone(p.TimeZone); !known {
		c.problemAt("/backup/timezone", "HF209", "write an IANA name: Europe/Berlin", "%q is no time zone", p.TimeZone)
	}
	parse := func(where, what, expression string) timetable {
		t, err := parseCron(expression)
		if err != nil {
			c.problemAt(where, "HF201", "five fields: minute hour day-of-month month day-of-week", "%s: %q is no schedule that works: %v", what, expression, err)
		}
		return t
	}
	tables := map[string]timetable{}
	for _, i := range p.Units {
		// A unit without a place in the window is reported already.
		if !slices.Contains(p.inputs.unplaced, i.ID) {
			tables[i.ID] = parse(unitPlace(i.Unit), i.ID, i.Schedule.Cron)
		}
	}
	maintenance := make([]timetable, len(p.Maintenance))
	for n, m := range p.Maintenance {
		maintenance[n] = parse("/backup/maintenance", m.Namespace+"/"+m.Name, m.Schedule.Cron)
	}
	for _, i := range p.Units {
		t := tables[i.ID]
		if t == nil {
			continue
		}
		if i.DeadlineSeconds >= t.interval()*60 {
			c.problemAt(unitPlace(i.Unit), "HF207", "shorten the deadline or run less often",
				"unit %s may run for %d s, but starts every %d s: runs would pile up", i.ID, i.DeadlineSeconds, t.interval()*60)
		}
		if hour := skippedHour(p.TimeZone); hour >= 0 && slices.ContainsFunc(t, func(m int) bool { return m%day/60 == hour }) && t.interval() >= day {
			c.problemAt(unitPlace(i.Unit), "HF210", "choose another hour",
				"unit %s starts between %d:00 and %d:00, an hour that one night a year does not have in %s", i.ID, hour, hour+1, p.TimeZone)
		}
		for _, before := range i.Consistent {
			if first := tables[before]; first != nil && len(p.inputs.cyclic) == 0 && !follows(t, first, p.Window) {
				c.problemAt(unitPlace(i.Unit), "HF206", fmt.Sprintf("start %s at least %d minutes earlier, in the same night", before, followDistance),
					"unit %s starts before %s has been taken, so its copy may miss what that one names", i.ID, before)
			}
		}
	}
	c.collisions(tables, maintenance)
}

// follows says whether each start of t comes followDistance minutes or more after one of
// first, in the same night: within twelve hours, or in the same window.
func follows(t, first timetable, w input.Window) bool {
	for _, at := range t {
		if !slices.ContainsFunc(first, func(before int) bool {
			d := (at - before + week) % week
			return d >= followDistance && (d <= day/2 || windowSpans(w, before%day, d))
		}) {
			return false
		}
	}
	return true
}

// collisions finds jobs of one repository that meet: two in the same minute may
// both initialise, lock or fail; a check or a prune beside a backup makes one
// of them wait, for as long as the other's deadline.
func (c *checker) collisions(tables map[string]timetable, maintenance []timetable) {
	type job struct {
		what      string
		where     string
		exclusive bool
		times     timetable
	}
	p := c.plan
	for _, id := range slices.Sorted(maps.Keys(p.Repositories)) {
		var jobs []job
		for _, i := range p.Units {
			if i.Repository == id {
				jobs = append(jobs, job{what: "the backup of " + i.ID, where: unitPlace(i.Unit), times: tables[i.ID]})
			}
		}
		for n, m := range p.Maintenance {
			if m.Repository == id {
				jobs = append(jobs, job{what: m.Name, where: "/backup", exclusive: true, times: maintenance[n]})
			}
		}
		for n, a := range jobs {
			for _, b := range jobs[n+1:] {
				near := smallestDistance(a.times, b.times)
				switch {
				case a.what == b.what: // two units with one id, which is reported
				case near == 0:
					c.problemAt(b.where, "HF203", "give each job of a repository a minute of its own", "%s and %s start in the same minute", a.what, b.what)
				case (a.exclusive || b.exclusive) && near < backupDistance:
					c.problemAt(b.where, "HF204", "move backup.maintenance, or let the window end earlier",
						"%s and %s start within %d minutes of each other", a.what, b.what, backupDistance)
				}
			}
		}
	}
}

// smallestDistance is the smallest distance between a start of a and one of b.
func smallestDistance(a, b timetable) int {
	best := week
	for i, j := 0, 0; i < len(a) && j < len(b); {
		best = min(best, distance(a[i], b[j]))
		if a[i] < b[j] {
			i++
		} else {
			j++
		}
	}
	if len(a) > 0 && len(b) > 0 {
		best = min(best, distance(a[0], b[len(b)-1]), distance(b[0], a[len(a)-1]))
	}
	return best
}

// retention refuses what could leave no good copy.
func (c *checker) retention() {
	for _, i := range c.plan.Units {
		if i.Retention.KeepDaily < 2 {
			c.problemAt(unitPlace(i.Unit), "HF208", `keep at least two daily copies: "keepDaily": 2 or more`,
				"unit %s would keep %s, but it takes two daily copies to have another when the newest turns out bad", i.ID, i.Retention)
		}
	}
}

// network checks the addresses that policies are made of.
func (c *checker) network() {
	n := c.plan.Network
	cidr := func(where, value string) {
		if prefix, err := netip.ParsePrefix(value); err != nil || prefix.Masked() != prefix {
			c.problemAt(where, "HF308", "write address/length with no bits beyond the length: 192.0.2.0/24", "%q is no address range", value)
		}
	}
	reachable := func(where, value string) {
		cidr(where, value)
		if prefix, err := netip.ParsePrefix(value); err == nil && n.Engine == "kubernetes" { // the others open no range
			if open, opens := OpensMetadata(prefix.Masked()); opens {
				c.problemAt(where, "HF317", "write the addresses of the host itself", "%q opens %s to pods, where clouds hand out the node's credentials", value, open)
			}
		}
	}
	for i, value := range n.APICIDRs {
		reachable(fmt.Sprintf("/network/apiServer/cidrs/%d", i), value)
	}
	for i, value := range n.Cluster {
		cidr(fmt.Sprintf("/network/clusterCidrs/%d", i), value)
	}
	for i, endpoint := range c.plan.inputs.instance.State.Network.Endpoints {
		for j, value := range endpoint.CIDRs {
			reachable(fmt.Sprintf("/network/endpoints/%d/cidrs/%d", i, j), value)
		}
	}
	if n.Engine == "kubernetes" && len(n.APICIDRs) == 0 {
		c.problemAt("/network", "HF308", "give the API server's endpoint addresses and port: kubectl get endpoints kubernetes",
			"network.apiServer has no addresses, so no pod could reach the API server")
	}
	for _, i := range c.plan.Units {
		// The restore's connections are the dump's and the storage's.
		for _, e := range i.RestoreEgress {
			if address, err := netip.ParseAddr(e.Host); err == nil {
				if _, opens := OpensMetadata(netip.PrefixFrom(address, address.BitLen())); opens {
					c.problemAt(unitPlace(i.Unit), "HF317", "name the host that is meant", "it connects to %s, where clouds hand out the node's credentials", e.Host)
				}
			}
			if e.To == ToAny && n.Engine == "kubernetes" && len(n.Cluster) == 0 {
				c.problemAt(unitPlace(i.Unit), "HF308", "give network.clusterCidrs, or network.endpoints for this host",
					"the addresses of %s are not known, and neither are the cluster's own", e.Host)
			}
		}
	}
}
