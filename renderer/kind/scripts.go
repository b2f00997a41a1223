package kind

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// Mounted are files that pods have beside each other: their names, and their paths
// below templates.
type Mounted map[string]string

// lib is the folder of the files that all kinds share.
const lib = "lib"

// isScript says whether a file of that name is mounted: shell, and the programs that
// shell hands to others.
func isScript(name string) bool {
	return slices.Contains([]string{".sh", ".awk", ".jq", ".sql"}, path.Ext(name))
}

// naming finds where a script names a file that is mounted, to source, run or read it:
// "$HOLDFAST_ROOT/bin/copy.sh". Pods have what is named so, and no more.
// A program of jq includes what it needs: include "objects";
var naming = regexp.MustCompile(`(?:\$\{?HOLDFAST_ROOT(?::-/holdfast)?\}?|/holdfast)/(bin|preflight)/([A-Za-z0-9_.-]+\.(?:sh|awk|jq|sql))\b|^\s*include \\?"([a-z-]+)\\?";`)

// scriptsIn lists a folder's scripts.
func scriptsIn(fsys fs.FS, folder string) (Mounted, error) {
	entries, err := fs.ReadDir(fsys, folder)
	if err != nil {
		return nil, err
	}
	found := Mounted{}
	for _, entry := range entries {
		if !entry.IsDir() && isScript(entry.Name()) {
			found[entry.Name()] = path.Join(folder, entry.Name())
		}
	}
	return found, nil
}

// mount returns what must be mounted with these files: all that they name, and what
// that names in turn, of the files that bin may have. Those of preflight are mounted by
// themselves; if it is nil, the files lie in one folder with them.
func (s Set) mount(fsys fs.FS, files, bin, preflight Mounted) (Mounted, problem.List) {
	var wrong problem.List
	all := maps.Clone(files)
	for queue := slices.Sorted(maps.Values(files)); len(queue) > 0; queue = queue[1:] {
		file := queue[0]
		data, err := fs.ReadFile(fsys, file)
		if err != nil {
			wrong = append(wrong, problem.Problem{File: s.place(file), Message: "the file cannot be read: " + reason(err)})
			continue
		}
		for i, line := range strings.Split(string(data), "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "#") {
				continue
			}
			for _, m := range naming.FindAllStringSubmatch(line, -1) {
				name, of, here := m[2], bin, true
				if m[3] != "" {
					name = m[3] + ".jq"
				}
				if m[1] == "preflight" && preflight != nil {
					of, here = preflight, false
				}
				found, known := of[name]
				if !known {
					wrong = append(wrong, problem.Problem{
						File: s.place(file), Line: i + 1,
						Message: fmt.Sprintf("%s is in neither this folder nor templates/lib, so no pod has it", name),
					})
					continue
				}
				if _, have := all[name]; here && !have {
					all[name] = found
					queue = append(queue, found)
				}
			}
		}
	}
	return all, wrong
}

// scripts returns what the pods of a kind have: all of its own, and of lib what these
// name. A file of its own must not hide one of lib from those that need it.
func (s Set) scripts(fsys fs.FS, name string) (Mounted, problem.List) {
	dir := path.Join("kinds", name)
	own, err := scriptsIn(fsys, dir)
	if err != nil {
		return nil, problem.List{{File: s.place(dir), Message: reason(err)}}
	}
	shared, err := scriptsIn(fsys, lib)
	if err != nil {
		return nil, problem.List{{File: s.place(lib), Message: reason(err)}}
	}
	var wrong problem.List
	for _, file := range slices.Sorted(maps.Keys(own)) {
		if _, taken := shared[file]; taken && !slices.Contains(files(), file) {
			wrong = append(wrong, problem.Problem{
				File: s.place(own[file]), Message: "templates/lib has a file of this name", Hint: "give it another name: pods have both in one folder",
			})
		}
	}
	maps.Copy(shared, own)
	preflight := s.Shared["preflight.sh"]
	if preflight == nil {
		preflight = Mounted{}
	}
	all, missing := s.mount(fsys, own, shared, preflight)
	return all, append(wrong, missing...)
}

// loadShared notes for each file of lib what is mounted where templates run it.
func (s *Set) loadShared(fsys fs.FS) problem.List {
	shared, err := scriptsIn(fsys, lib)
	if err != nil {
		return problem.List{{File: s.place(lib), Message: reason(err)}}
	}
	var problems problem.List
	s.Shared = map[string]Mounted{}
	for _, name := range slices.Sorted(maps.Keys(shared)) {
		all, wrong := s.mount(fsys, Mounted{name: shared[name]}, shared, nil)
		s.Shared[name] = all
		for _, p := range wrong {
			if !slices.ContainsFunc(problems, func(q problem.Problem) bool { return q.File == p.File && q.Line == p.Line }) {
				problems = append(problems, p)
			}
		}
	}
	return problems
}
