package publish

import (
	"context"
	"crypto/sha1" //nolint:gosec // it is what Git names objects by
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/emit"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// plainFile is the mode that Git gives a file that nobody executes.
const plainFile = "100644"

// entry is what an index has of a file: its mode, "100644", and the id of its
// bytes.
type entry struct{ mode, id string }

// index returns what the work tree's index has in a folder of the repository, by path.
// The index has the bytes that are committed. The files may look different, because a
// filter may stand between the two.
func (w *workTree) index(ctx context.Context, folder string) (map[string]entry, error) {
	list, err := w.git.output(ctx, "--literal-pathspecs", "ls-files", "--stage", "-z", "--", folder)
	if err != nil {
		return nil, err
	}
	entries := map[string]entry{}
	for line := range strings.SplitSeq(list, "\x00") {
		about, name, _ := strings.Cut(line, "\t")
		if fields := strings.Fields(about); len(fields) > 1 {
			entries[name] = entry{mode: fields[0], id: fields[1]}
		}
	}
	return entries, nil
}

// isFile reports whether it is a file, and no link or submodule.
func (e entry) isFile() bool { return e.mode == plainFile || e.mode == "100755" }

// is reports whether the entry is a plain file with these bytes. The zero entry is not.
func (e entry) is(data []byte) bool {
	return e.mode == plainFile && e.id == blobID(data, len(e.id))
}

// blobID is the id by which Git names a file's bytes, of as many hexadecimal
// digits as the repository's ids have.
func blobID(data []byte, digits int) string {
	h := sha1.New() //nolint:gosec // it is what Git names objects by
	if digits == 2*sha256.Size {
		h = sha256.New()
	}
	_, _ = fmt.Fprintf(h, "blob %d\x00", len(data)) // a hash never fails
	_, _ = h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}

// changes returns the differences between what is committed and the files that are
// wanted. written is what emit did: it has the files that are removed. A file that only
// looks different in a checkout, with CRLF for example, does not change.
func (p *publication) changes(committed map[string]entry, files []manifest.File, written emit.Changes) emit.Changes {
	var changes emit.Changes
	for _, file := range files {
		was, found := committed[path.Join(p.options.Path, file.Path)]
		switch {
		case !found:
			changes = append(changes, emit.Change{Path: file.Path, Action: emit.Added})
		case !was.is(file.Data):
			changes = append(changes, emit.Change{Path: file.Path, Action: emit.Changed})
		}
	}
	for _, change := range written {
		if change.Action == emit.Removed {
			changes = append(changes, change)
		}
	}
	return changes
}

// altered is HF516: it finds files of which the index has other bytes than were
// rendered, and says which attribute did it.
func (p *publication) altered(ctx context.Context, files []manifest.File, changes emit.Changes) error {
	added, err := p.workTree.index(ctx, p.options.Path)
	if err != nil {
		return err
	}
	var names []string
	for _, file := range files {
		if name := path.Join(p.options.Path, file.Path); !added[name].is(file.Data) {
			names = append(names, name)
		}
	}
	for _, change := range changes {
		name := path.Join(p.options.Path, change.Path)
		if _, found := added[name]; found && change.Action == emit.Removed {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	why, err := p.workTree.attributes(ctx, names)
	if err != nil {
		return err
	}
	var problems problem.List
	for _, name := range names {
		problems = append(problems, notAsRendered(name, why[name]))
	}
	return problems.Sorted()
}

// refusedToAdd tells why Git does not take files: the attributes that prevent it, or,
// if there are none, what Git said.
func (p *publication) refusedToAdd(ctx context.Context, names []string, said error) error {
	why, err := p.workTree.attributes(ctx, names)
	if err != nil || len(why) == 0 || wasInterrupted(ctx, said) {
		return said
	}
	var problems problem.List
	for _, name := range names {
		if why[name] != "" {
			problems = append(problems, notAsRendered(name, why[name]))
		}
	}
	return problems.Sorted()
}

func notAsRendered(name, why string) problem.Problem {
	if why == "" {
		return problem.Problem{Pointer: name, Rule: ruleAltered, Message: "Git would commit other bytes than were rendered",
			Hint: "git check-attr -a shows what changes them: take it off this file in .gitattributes"}
	}
	attribute, _, _ := strings.Cut(why, "=")
	return problem.Problem{Pointer: name, Rule: ruleAltered, Message: "Git would commit other bytes than were rendered: the file has the attribute " + why,
		Hint: "take it off in .gitattributes: " + path.Dir(name) + "/* -" + attribute}
}

// attributes returns, by file, the attribute that lets Git change its bytes, such as
// "filter=lfs". Files without one are left out.
func (w *workTree) attributes(ctx context.Context, names []string) (map[string]string, error) {
	list, err := w.git.outputWith(ctx, []byte(strings.Join(names, "\x00")+"\x00"), "check-attr", "-z", "--stdin", "filter", "working-tree-encoding", "ident")
	if err != nil {
		return nil, err
	}
	attributes := map[string]string{}
	for fields := strings.Split(list, "\x00"); len(fields) >= 3; fields = fields[3:] {
		name, attribute, value := fields[0], fields[1], fields[2]
		switch {
		case attributes[name] != "" || value == "unspecified" || value == "unset":
		case value == "set":
			attributes[name] = attribute
		default:
			attributes[name] = attribute + "=" + value
		}
	}
	return attributes, nil
}
