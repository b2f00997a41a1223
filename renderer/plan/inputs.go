package plan

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
)

// decideExcuses lists the reasons that stand beside no source.
func (b *builder) decideExcuses() {
	exempt := map[string]bool{}
	for _, e := range b.plan.Exemptions {
		for _, place := range e.Covers {
			exempt[place] = true
		}
	}
	add := func(document, pointer, reason string) {
		if !exempt[pointer] {
			b.plan.Excuses = append(b.plan.Excuses, Excuse{Place: document + " " + pointer, Reason: reason})
		}
	}
	// Of the credentials nothing but these reasons may come into the plan.
	for _, section := range b.inst.Credentials.Sections() {
		if reason, found := b.inst.Credentials.Field(section + ".plainHttp.reason"); found {
			add(CredentialsDocument, "/"+escape(section)+"/plainHttp", reason)
		}
	}
	if b.inst.Policy != nil {
		for n, g := range b.inst.Policy.Namespaces {
			if slices.Contains(g.Instances, b.plan.Instance) {
				add(PolicyDocument, "/namespaces/"+strconv.Itoa(n), g.Reason)
			}
		}
	}
	reasons("", b.inst.State.Root(), func(pointer, reason string) { add(StateDocument, pointer, reason) })
	slices.SortStableFunc(b.plan.Excuses, func(a, c Excuse) int { return cmp.Compare(a.Place, c.Place) })
}

// reasons visits every "reason" below a value, in the order of the keys, with
// the object that it stands in.
func reasons(pointer string, value any, visit func(pointer, reason string)) {
	switch v := value.(type) {
	case map[string]any:
		if reason, ok := v["reason"].(string); ok {
			visit(pointer, reason)
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			reasons(pointer+"/"+escape(key), v[key], visit)
		}
	case []any:
		for n, entry := range v {
			reasons(pointer+"/"+strconv.Itoa(n), entry, visit)
		}
	}
}

// exports is HF034 and HF035: each namespace in which a source is, is exported
// too, or exempt; and nothing is exempt that no source names.
func (c *checker) exports() {
	state := c.plan.inputs.instance.State
	k := state.Kubernetes
	// exported holds place and namespace: who exports is told by what it covers.
	exported := map[[2]string]bool{}
	sources := map[string]string{}
	for _, u := range c.plan.inputs.discovered {
		export := false
		for _, place := range u.Covers {
			if u.Need != input.Skip && strings.HasPrefix(place, "/kubernetes/") {
				export = true
				exported[[2]string{place, u.Namespace}] = true
			}
		}
		if u.Need != input.Skip && !export && sources[u.Namespace] == "" {
			sources[u.Namespace] = u.ID
		}
	}
	exempt := map[string]bool{}
	for n, e := range k.ExemptNamespaces {
		exempt[e.Namespace] = true
		if sources[e.Namespace] == "" && e.Namespace != state.Namespace && !slices.Contains(slices.Collect(maps.Values(state.Namespaces)), e.Namespace) {
			c.problemAt(fmt.Sprintf("/kubernetes/exemptNamespaces/%d/namespace", n), "HF035", "take it out of the list",
				"no source that is backed up is in the namespace %q", e.Namespace)
		}
	}
	for _, namespace := range slices.Sorted(maps.Keys(sources)) {
		for _, export := range []struct {
			place, what string
			asked       bool
		}{{"/kubernetes/exportSecrets", "Secrets", k.ExportSecrets}, {"/kubernetes/exportNamespaceYaml", "objects", k.ExportNamespaceYAML}} {
			if export.asked && !exempt[namespace] && !exported[[2]string{export.place, namespace}] {
				c.problemAt("/kubernetes", "HF034", fmt.Sprintf(`write the namespace into the source in the state, or exempt it: "exemptNamespaces": [{"namespace": %q, "reason": "…"}]`, namespace),
					"%s is in the namespace %q, whose %s nothing exports", sources[namespace], namespace, export.what)
			}
		}
	}
}

// clients is HF041: the image's tag names a version that is not older than the
// server's, as far as the kind compares them.
func (c *checker) clients() {
	for _, i := range c.plan.Units {
		server := i.Capture.ServerVersion
		if server == "" {
			continue
		}
		client := tagVersion(i.ResolvedImage)
		if client != "" && older(client, server) {
			c.problemAt(unitPlace(i.Unit), "HF041", fmt.Sprintf(`give an image of %s or later: "images": {%q: …}`, server, i.Kind+"/"+i.Capture.Image),
				"unit %s: the client is of version %s (%s), older than the server's %s (serverVersion)", i.ID, client, i.ResolvedImage, server)
		}
	}
}

var versionForm = regexp.MustCompile(`^v?([0-9]+(\.[0-9]+)*)`)

// tagVersion is the version with which an image's tag begins; "" if it names none.
func tagVersion(image string) string {
	image, _, _ = strings.Cut(image, "@")
	_, tag, _ := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	if match := versionForm.FindStringSubmatch(tag); match != nil {
		return match[1]
	}
	return ""
}

// older compares the parts that both versions have.
func older(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for n := range min(len(as), len(bs)) {
		x, _ := strconv.Atoi(as[n])
		y, _ := strconv.Atoi(bs[n])
		if x != y {
			return x < y
		}
	}
	return false
}

// Expiring lists the keys of the storage that expire, and where the document says so.
// The caller compares them with a clock; this package has none.
func (p *Plan) Expiring() []Expiry {
	var list []Expiry
	c := p.inputs.instance.Credentials
	add := func(engine string, store *input.Store) {
		if seconds, ok := input.Instant(store.ExpiresAt); ok {
			pointer := "/" + engine + "/expiresAt"
			line, column := c.Tree.At(pointer)
			list = append(list, Expiry{File: c.Tree.Name, Line: line, Column: column, Pointer: pointer, At: store.ExpiresAt, Unix: seconds})
		}
	}
	if c.Restic != nil {
		add("restic", &c.Restic.Store)
	}
	if c.Rclone != nil {
		add("rclone", &c.Rclone.Store)
	}
	return list
}

// Expiry is when keys expire.
type Expiry struct {
	File         string
	Line, Column int
	Pointer      string
	// At is the time as the document has it, Unix the same in seconds since 1970.
	At   string
	Unix int64
}
