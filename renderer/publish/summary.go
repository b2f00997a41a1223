package publish

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/emit"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/plan"
)

// largestPlan is how many bytes of a plan in a tree are read.
const largestPlan = 16 << 20

// Summary is the message that a commit of these changes to the tree in dir would have: which
// sources appear, vanish or change. It is empty when nothing changes. A source that
// vanishes without a tombstone is named as well, though Publish would refuse it.
func Summary(dir string, b manifest.Bundle, plans []*plan.Plan, changes emit.Changes) string {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return ""
	}
	defer func() { _ = root.Close() }() // read only
	all := change{changes: map[string]emit.Changes{}, mask: func(text string) string { return text }}
	var unknown []string
	for _, one := range plans {
		for _, c := range changes {
			if strings.HasPrefix(c.Path, one.Instance+"/") {
				all.changes[one.Instance] = append(all.changes[one.Instance], c)
			}
		}
		file := path.Join(one.Instance, planName)
		at := slices.IndexFunc(b.Files, func(f manifest.File) bool { return f.Path == file })
		if at < 0 || len(all.changes[one.Instance]) == 0 {
			continue
		}
		d := difference{plan: one}
		before, err := readPlan(root, file)
		if err == nil {
			d.first = before == nil
			d.Difference, err = comparePlans(before, b.Files[at].Data)
		}
		if err != nil {
			unknown = append(unknown, fmt.Sprintf("%s: its plan in the tree cannot be read, so that nobody can tell which sources change\n", one.Instance))
		}
		all.differences = append(all.differences, d)
	}
	if len(all.differences) == 0 {
		return ""
	}
	return all.message() + strings.Join(unknown, "")
}

// readPlan reads the plan of a tree; nil if there is none.
func readPlan(root *os.Root, name string) ([]byte, error) {
	info, err := root.Stat(name)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > largestPlan {
		return nil, fmt.Errorf("%s is no plan", name)
	}
	file, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // read only
	var text bytes.Buffer
	_, err = io.Copy(&text, io.LimitReader(file, largestPlan))
	return text.Bytes(), err
}
