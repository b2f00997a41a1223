package input

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/seal"
)

// checkRules applies the rules that a schema cannot say. They read the trees
// and not the decoded structs, so that they also speak of documents that have
// other faults; what is not there, or of a wrong type, is the schema's matter. None of
// them names a section of a kind: what is special about a place, its schema says.
func checkRules(r *report, states, credentials []*checked, pairs []pair) {
	sources := map[string]source{}
	for _, s := range states {
		checkNamespaces(r, s)
		checkVersions(r, s)
		checkNetwork(r, s)
		checkPatterns(r, s)
		for key, pointer := range s.buckets() {
			if _, known := sources[key]; !known {
				sources[key] = source{s, pointer}
			}
		}
	}
	for _, c := range credentials {
		checkPlainNames(r, c)
		checkPasswords(r, c)
		checkPrefixes(r, c)
		checkRecipients(r, c)
		for _, engine := range []string{"restic", "rclone"} {
			if s, isSource := sources[bucketKey(c.text(engine, "endpoint"), c.text(engine, "bucket"))]; isSource {
				r.add(c.problem("HF016", "/"+engine+"/bucket",
					fmt.Sprintf("the bucket is also one that is backed up: %s in %s", s.pointer, s.document.Name),
					"backups go to a bucket of their own"), c)
			}
		}
	}
	for _, p := range pairs {
		checkExpiry(r, p)
		checkAgreement(r, p)
		checkAccessKeys(r, p)
	}
}

// checkPatterns is HF143: a pattern of what is skipped must not match one that is
// backed up (x-hides).
func checkPatterns(r *report, s *checked) {
	s.each(func(i int32, form *shape) {
		n := &s.nodes[i]
		pattern, _ := n.value.(string)
		if form.hides == "" || pattern == "" {
			return
		}
		entry, _ := s.nodes[n.parent].value.(map[string]any)
		var entries []any
		if list := s.nodes[n.parent].parent; list >= 0 {
			entries, _ = s.nodes[list].value.([]any)
		}
		for _, other := range entries {
			other, _ := other.(map[string]any)
			name, _ := other[form.hides].(string)
			if name == "" || other["backup"] == "skip" || s.namespaceOf(other) != s.namespaceOf(entry) {
				continue
			}
			if matches, err := path.Match(pattern, name); err == nil && matches {
				r.add(s.problem("HF143", s.pointer(i), fmt.Sprintf("%s also names %s, which is backed up", quoted(pattern), name),
					"make the pattern longer, so that it names only what is skipped"), s)
			}
		}
	})
}

// namespaceOf is the namespace of an entry of a list: the application's, unless it says
// another.
func (d *checked) namespaceOf(entry map[string]any) string {
	own, _ := entry["namespace"].(string)
	return cmp.Or(own, d.text("namespace"))
}

// checkAccessKeys is HF141: what opens the application's bucket must not open
// the backup's.
func checkAccessKeys(r *report, p pair) {
	p.state.each(func(i int32, _ *shape) {
		n := &p.state.nodes[i]
		for _, engine := range []string{"restic", "rclone"} {
			if n.key == "accessKey" && n.value != nil && n.value == any(p.credentials.text(engine, "accessKeyId")) {
				r.add(p.state.problem("HF141", p.state.pointer(i), "the same access key as the backup's own ("+engine+")",
					"give the backup a key that no application knows"), p.state, p.credentials)
			}
		}
	})
}

// source is a bucket that is backed up.
type source struct {
	document *checked
	pointer  string
}

// buckets are those that a document names, each by its key, and where: whatever has an
// endpoint and a bucket is one.
func (d *checked) buckets() map[string]string {
	found := map[string]string{}
	d.each(func(i int32, _ *shape) {
		object, _ := d.nodes[i].value.(map[string]any)
		endpoint, _ := object["endpoint"].(string)
		bucket, _ := object["bucket"].(string)
		key := bucketKey(endpoint, bucket)
		if _, known := found[key]; !known && key != "" {
			found[key] = d.pointer(i)
		}
	})
	return found
}

// checkForeign is HF032: a list of foreign keys names what is there, and
// nothing that Holdfast reads. A policy is for many instances, of which not
// each has every key.
func checkForeign(r *report, d *checked, state *shape) {
	root, _ := d.Root.(map[string]any)
	for i, name := range d.names("foreign") {
		pointer := "/foreign/" + strconv.Itoa(i)
		_, present := root[name]
		switch {
		case state.properties[name] != nil:
			r.add(d.problem("HF032", pointer, quoted(name)+" is a key that Holdfast reads", "take it out of the list"), d)
		case !present && d.form.shape == state:
			r.add(d.problem("HF032", pointer, "the document has no key "+quoted(name), "take it out of the list"), d)
		}
	}
}

// checkNamespaces is HF019 within a state.
func checkNamespaces(r *report, s *checked) {
	namespace, application := s.text("namespace"), s.text("namespaces", "application")
	if namespace != "" && application != "" && namespace != application {
		r.add(s.problem("HF019", "/namespaces/application",
			fmt.Sprintf("%s differs from /namespace, %s", quoted(application), quoted(namespace)),
			"both name the application's namespace"), s)
	}
}

// OldestKubernetes and OldestK8up are the first versions whose exec carries a dump
// of any size whole: K8up since 2.15.0 streams it through websockets, which
// Kubernetes serves since 1.31. What came before cut it in silence.
const (
	OldestKubernetes = "1.31"
	OldestK8up       = "2.15.0"
)

// checkVersions is HF027 and HF028: what the state says of the cluster. Versions
// that it does not say are asked for by the preflight alone.
func checkVersions(r *report, s *checked) {
	for _, v := range []struct{ field, oldest, rule, hint string }{
		{"k8upVersion", OldestK8up, "HF027", "upgrade K8up first; older ones store a part of a large dump and call it done"},
		{"kubernetesVersion", OldestKubernetes, "HF028", "upgrade Kubernetes first; K8up " + OldestK8up + " supports no older one"},
	} {
		if have := s.text("cluster", v.field); have != "" && older(have, v.oldest) {
			r.add(s.problem(v.rule, "/cluster/"+v.field, fmt.Sprintf("%s is older than %s", have, v.oldest), v.hint), s)
		}
	}
}

// older says whether version a comes before b. What a version does not say, as
// the 0 of "1.31", counts as the highest there is in a, and as 0 in b: "1.31" may
// be any of its releases.
func older(a, b string) bool {
	numbers := func(version string) []string {
		version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "+")
		version, _, _ = strings.Cut(version, "-")
		return strings.Split(version, ".")
	}
	have, oldest := numbers(a), numbers(b)
	for i, text := range oldest {
		if i >= len(have) {
			return false
		}
		h, err := strconv.Atoi(have[i])
		o, err2 := strconv.Atoi(text)
		if err != nil || err2 != nil || h != o {
			return err == nil && err2 == nil && h < o
		}
	}
	return false
}

// checkPlainNames is HF310.
func checkPlainNames(r *report, c *checked) {
	crypt, _ := c.lookup("rclone", "crypt").(map[string]any)
	const pointer = "/rclone/crypt"
	field := ""
	switch {
	case crypt["filenameEncryption"] == "off":
		field = "filenameEncryption"
	case crypt["directoryNameEncryption"] == false:
		field = "directoryNameEncryption"
	}
	switch excused := crypt["plainNames"] != nil; {
	case field != "" && !excused:
		r.add(c.problem("HF310", pointer+"/"+field, "names stand in the copy's bucket for everybody to read",
			`use "standard" and true, or add "plainNames": { "reason": "…" } beside it`), c)
	case field == "" && excused:
		r.add(c.problem("HF310", pointer+"/plainNames", "all names are encrypted: nothing needs an excuse", "take it away"), c)
	}
}

// checkPasswords is HF014.
func checkPasswords(r *report, c *checked) {
	passwords := [][]string{{"restic", "password"}, {"rclone", "crypt", "password"}, {"rclone", "crypt", "password2"}}
	for i, one := range passwords {
		for _, other := range passwords[:i] {
			if value := c.text(one...); value != "" && value == c.text(other...) {
				r.add(c.problem("HF014", joined(one), "the same value as "+joined(other),
					"restic's password, crypt's password and crypt's salt must differ"), c)
				break
			}
		}
	}
}

// checkRecipients is HF023 for what has the form of an age public key and is
// none.
func checkRecipients(r *report, c *checked) {
	recipients, _ := c.lookup("git", "recipients").([]any)
	for i := range recipients {
		index := strconv.Itoa(i)
		text := c.text("git", "recipients", index)
		if len(text) != len("age1")+58 {
			continue // the schema's matter
		}
		if _, err := seal.ParseRecipient(text); err != nil {
			hint := "copy the public key that age-keygen printed"
			if errors.Is(err, seal.ErrFIPS) {
				hint = seal.FIPSHint
			}
			r.add(c.problem("HF023", "/git/recipients/"+index, err.Error(), hint), c)
		}
	}
}

// checkPrefixes is HF015.
func checkPrefixes(r *report, c *checked) {
	if c.lookup("restic", "prefix") == nil || c.lookup("rclone", "prefix") == nil {
		return
	}
	restic := bucketKey(c.text("restic", "endpoint"), c.text("restic", "bucket"))
	rclone := bucketKey(c.text("rclone", "endpoint"), c.text("rclone", "bucket"))
	if restic == "" || restic != rclone {
		return
	}
	if a, b := c.text("restic", "prefix"), c.text("rclone", "prefix"); within(a, b) || within(b, a) {
		r.add(c.problem("HF015", "/rclone/prefix", "the folder overlaps with /restic/prefix in the same bucket",
			"use two buckets, or two prefixes of which neither contains the other"), c)
	}
}

// within says whether a prefix lies inside another, or is the same.
func within(inner, outer string) bool {
	return strings.Trim(outer, "/") == "" ||
		strings.HasPrefix(strings.Trim(inner, "/")+"/", strings.Trim(outer, "/")+"/")
}

// checkExpiry is HF018. The state's own time stands for now: a clock would
// make the same inputs give different outputs.
func checkExpiry(r *report, p pair) {
	made, ok := instant(p.state.text("generatedAt"))
	if !ok {
		return
	}
	for _, engine := range []string{"restic", "rclone"} {
		if expires, ok := instant(p.credentials.text(engine, "expiresAt")); ok && expires <= made {
			r.add(p.credentials.problem("HF018", "/"+engine+"/expiresAt",
				fmt.Sprintf("the keys expired before %s was made (generatedAt %s)", p.state.Name, p.state.text("generatedAt")),
				"make new keys: backups with these fail"), p.credentials)
		}
	}
}

// checkAgreement is HF019 between the documents: what the credentials repeat of the
// state (x-agrees) is the same there.
func checkAgreement(r *report, p pair) {
	p.credentials.each(func(i int32, form *shape) {
		value, _ := p.credentials.nodes[i].value.(string)
		other := p.state.text(tokens(form.agrees)...)
		if form.agrees == "" || value == "" || other == "" || endpointKey(value) == endpointKey(other) {
			return
		}
		r.add(p.credentials.problem("HF019", p.credentials.pointer(i),
			fmt.Sprintf("differs from %s in %s, %s", form.agrees, p.state.Name, quoted(other)), "both must name the same"), p.state, p.credentials)
	})
}

// bucketKey is the same for all ways to write one bucket; "" if it is unknown.
func bucketKey(endpoint, bucket string) string {
	if endpoint == "" || bucket == "" {
		return ""
	}
	return endpointKey(endpoint) + "/" + bucket
}

// instant returns the seconds of an RFC 3339 time since some fixed moment.
func instant(text string) (seconds int64, ok bool) {
	if len(text) < len("2006-01-02T15:04:05Z") {
		return 0, false
	}
	field := func(from, to int) int64 {
		n, err := strconv.ParseUint(text[from:to], 10, 32)
		ok = ok && err == nil
		return int64(n)
	}
	ok = true
	year, month, day := field(0, 4), field(5, 7), field(8, 10)
	hour, minute, second := field(11, 13), field(14, 16), field(17, 19)
	// Days of a year that starts in March, so that a leap day comes last.
	if month < 3 {
		year, month = year-1, month+12
	}
	days := 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day
	seconds = days*86400 + hour*3600 + minute*60 + second
	if zone := text[len(text)-6:]; zone[0] == '+' || zone[0] == '-' {
		from := len(text) - 5
		offset := field(from, from+2)*3600 + field(from+3, from+5)*60
		if zone[0] == '-' {
			offset = -offset
		}
		seconds -= offset
	}
	return seconds, ok
}
