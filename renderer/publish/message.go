package publish

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/holdfast-backup/holdfast/renderer/emit"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/plan"
)

// difference is what changes in the published plan of an instance.
type difference struct {
	Difference
	plan *plan.Plan
	// first says that the instance was never published.
	first bool
}

// change is what one commit changes.
type change struct {
	differences []difference
	// changes are the files that change, by instance.
	changes map[string]emit.Changes
	// files are all files of these instances, whether they change or not.
	files []manifest.File
	// mask is that of the options.
	mask func(text string) string
}

// changed are the instances of which files change.
func (c change) changed() []difference {
	var changed []difference
	for _, d := range c.differences {
		if len(c.changes[d.plan.Instance]) > 0 {
			changed = append(changed, d)
		}
	}
	return changed
}

// subject is the first line of the message.
func (c change) subject() string {
	changed := c.changed()
	var all Difference
	off := 0
	for _, d := range changed {
		all.Appeared = append(all.Appeared, d.Appeared...)
		all.Vanished = append(all.Vanished, d.Vanished...)
		all.Exempted = append(all.Exempted, d.Exempted...)
		all.Changed = append(all.Changed, d.Changed...)
		all.Settings = append(all.Settings, d.Settings...)
		if d.Off {
			off++
		}
	}
	var parts []string
	count := func(n int, one, many string) {
		switch {
		case n == 0:
		case len(parts) == 0 && n == 1:
			parts = append(parts, "1 source "+one)
		case len(parts) == 0:
			parts = append(parts, fmt.Sprintf("%d sources %s", n, many))
		case n == 1:
			parts = append(parts, "1 "+one)
		default:
			parts = append(parts, fmt.Sprintf("%d %s", n, many))
		}
	}
	count(len(all.Appeared), "appears", "appear")
	count(len(all.Vanished), "vanishes", "vanish")
	count(len(all.Exempted), "is exempt now", "are exempt now")
	count(len(all.Changed), "changes", "change")
	what := strings.Join(parts, ", ")
	switch {
	case what != "":
	case off == len(changed):
		what = "off"
	case len(all.Settings) > 0:
		what = "settings change"
	default:
		what = "rendered anew, the sources are as before"
	}
	if len(changed) == 1 {
		return "backup of " + changed[0].plan.Instance + ": " + what
	}
	return fmt.Sprintf("backup of %d instances: %s", len(changed), what)
}

// message is the whole message: names of sources, settings and Secrets, and
// never a value.
func (c change) message() string {
	var b strings.Builder
	b.WriteString(c.subject() + "\n")
	changed := c.changed()
	for _, d := range changed {
		b.WriteByte('\n')
		if len(changed) > 1 {
			fmt.Fprintf(&b, "%s:\n", d.plan.Instance)
		}
		d.describe(&b, c.changes[d.plan.Instance])
	}
	return c.mask(b.String())
}

// describe lists what is different about one instance.
func (d difference) describe(b *strings.Builder, changes emit.Changes) {
	list := func(what string, names []string) {
		if len(names) > 0 {
			fmt.Fprintf(b, "%s:\n", what)
			for _, one := range names {
				fmt.Fprintf(b, "  %s\n", name(one))
			}
		}
	}
	if d.Off {
		b.WriteString("backup is off\n")
	}
	list("appear", d.Appeared)
	gone := slices.DeleteFunc(slices.Clone(d.Vanished), d.retired)
	list("vanish, retired by the policy", slices.DeleteFunc(slices.Clone(d.Vanished), func(id string) bool { return !d.retired(id) }))
	list("vanish, and no tombstone of the policy says so", gone)
	list("exempt now", d.Exempted)
	var settings []string
	for _, unit := range d.Changed {
		settings = append(settings, unit.ID+": "+strings.Join(unit.Settings, ", "))
	}
	list("change", settings)
	if len(d.Settings) > 0 {
		fmt.Fprintf(b, "of the instance: %s\n", name(strings.Join(d.Settings, ", ")))
	}
	number := map[emit.Action]int{}
	secrets := map[string]string{}
	for _, s := range d.plan.Secrets {
		secrets[s.File] = s.Namespace + "/" + s.Name
	}
	var sealed []string
	for _, change := range changes {
		number[change.Action]++
		if secret, ok := secrets[change.Path]; ok {
			sealed = append(sealed, string(change.Action)+" "+secret)
		}
	}
	list("Secrets", sealed)
	fmt.Fprintf(b, "files: %d added, %d changed, %d removed\n", number[emit.Added], number[emit.Changed], number[emit.Removed])
}

// name makes a name fit on a line: in the published plan anybody may have changed it.
func name(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}
