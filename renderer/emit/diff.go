package emit

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// Diff writes to w how the tree in dir would change to become b, as unified diffs, and
// returns the changes as Compare does. It writes nothing into the tree.
//
// No value of a Secret is ever shown. A file with a Secret on either side is
// shown as its objects, "(masked)" in place of each value, and
// "(masked, changed)" on the new side where a value differs. A file that cannot
// be masked is only named, and so is one of more than 4 MiB that is also more
// than twice as large as what b has there.
func Diff(w io.Writer, dir string, b manifest.Bundle) (Changes, error) {
	t, err := compareTree(dir, b)
	if err != nil {
		return nil, err
	}
	wanted := map[string]manifest.File{}
	for _, f := range t.folders {
		for _, file := range f.wanted {
			wanted[f.name+"/"+file.Path] = file
		}
	}
	changes := t.changes()
	var out []byte
	for i, change := range changes {
		var after version
		if file, ok := wanted[change.Path]; ok {
			after = version{data: file.Data, exists: true, secret: file.Secret}
		}
		before, err := onDisk(filepath.Join(t.dir, filepath.FromSlash(change.Path)), max(maxRead, 2*int64(len(after.data))))
		if err != nil {
			return nil, fmt.Errorf("comparing the tree: %w", err)
		}
		changes[i].LineEnds = before.exists && after.exists && lineEnds(before.data, after.data)
		out = appendDiff(out, change.Path, before, after)
	}
	if _, err := w.Write(out); err != nil {
		return nil, fmt.Errorf("writing the differences: %w", err)
	}
	return changes, nil
}

// lineEnds reports whether two texts differ, but only in that the lines of the
// first end in CRLF.
func lineEnds(before, after []byte) bool {
	return len(before) > len(after) && bytes.Equal(bytes.ReplaceAll(before, []byte("\r\n"), []byte("\n")), after)
}

// maxRead is how many bytes of a file are always read. Holdfast writes files of some
// hundred kilobytes, but a tree may hold files of any size.
const maxRead = 4 << 20

func onDisk(name string, limit int64) (version, error) {
	info, err := os.Lstat(name)
	if err != nil || info.IsDir() {
		// A folder that makes room for a file is removed, so there is nothing to show.
		if err == nil || missing(err) {
			return version{}, nil
		}
		return version{}, err
	}
	if info.Size() > limit {
		return version{exists: true, size: info.Size()}, nil
	}
	data, err := readAtMost(name, limit+1)
	if err != nil {
		return version{}, err
	}
	if int64(len(data)) > limit { // it grows
		return version{exists: true, size: int64(len(data))}, nil
	}
	v := version{data: data, exists: true}
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json":
	default:
		// The content of these files shows whether they hold a secret. For other files
		// only the mode tells, which WriteTree gave them.
		v.secret = info.Mode().Perm()&0o077 == 0
	}
	return v, nil
}

func appendDiff(dst []byte, name string, before, after version) []byte {
	shown := problem.Printable(name)
	oldName, newName := "a/"+shown, "b/"+shown
	if !before.exists {
		oldName = "/dev/null"
	}
	if !after.exists {
		newName = "/dev/null"
	}
	dst = fmt.Appendf(dst, "--- %s\n+++ %s\n", oldName, newName)
	if before.size > 0 {
		return fmt.Appendf(dst, "# it has %d bytes and is not shown: that is more than Holdfast would write\n", before.size)
	}
	if before.exists && after.exists && string(before.data) == string(after.data) {
		return append(dst, "# only the mode differs: others can read this secret\n"...)
	}
	if before.exists && after.exists && lineEnds(before.data, after.data) {
		return append(dst, "# only the line ends differ: they are CRLF here\n"...)
	}
	was, now, ok := presentable(name, before, after)
	switch {
	case !ok:
		dst = append(dst, "# the content differs; it is not shown, for it may hold a secret\n"...)
	case was == now && before.exists && after.exists:
		dst = append(dst, "# only layout, comments or order differ; values are masked\n"...)
	default:
		dst = unified(dst, was, now)
	}
	return dst
}
