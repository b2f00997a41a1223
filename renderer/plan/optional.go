package plan

import (
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
)

// needLabel tells alerts what the loss of a source means. Only optional ones
// have it.
const needLabel = "holdfast.dev/need"

// optional is what "optional" means, for every kind: an empty source is no
// failure. The plan and a label say so, for nobody would hear of a loss.
func (b *builder) optional(i *Item) {
	if i.Need == input.Optional {
		i.Labels[needLabel] = string(i.Need)
		i.limit("the source is optional: an empty one is no failure, so nobody hears of its loss")
		if i.Expect.AllowEmpty == nil {
			i.Expect.AllowEmpty = &kind.AllowEmpty{Reason: "the source is optional"}
		}
	}
	if slices.ContainsFunc(i.Capture.Credentials, func(c kind.Credential) bool {
		section, _, _ := strings.Cut(c.Field, ".")
		return b.inst.Credentials.ReadOnly(section)
	}) {
		i.limit("the login may not write (writeEnabled): a restore needs another one")
	}
}

// limit adds one to the unit's own. The kind's list is left as it is.
func (i *Item) limit(text string) {
	i.Limits = append(slices.Clone(i.Limits), text)
}
