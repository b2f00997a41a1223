package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/templates"
)

// Names of the documents in a folder.
const (
	stateName       = "runtime-state.json"
	credentialsName = "backup-credentials.json"
)

// maxDocument is what is read of a document: more than any that is accepted,
// so that package input sees that it is too large, and never a whole disk.
const maxDocument = 11 << 20

// sources says where the inputs of a run are.
type sources struct {
	states, credentials manyPaths
	policy, kinds       onePath
	// withoutValues is for those commands only that write nothing.
	withoutValues bool
	// overlay and its root are for those commands only that have overlayFlags.
	overlay, overlayRoot onePath
}

// flags are the options of every command that reads inputs.
func (s *sources) flags() []cli.Flag {
	return []cli.Flag{
		&cli.GenericFlag{Name: "state", Aliases: []string{"s"}, Value: &s.states,
			Usage: "`PATH` of a runtime-state.json, of a folder with one or with folders that have one, or - for stdin; may be repeated"},
		&cli.GenericFlag{Name: "credentials", Aliases: []string{"c"}, Value: &s.credentials,
			Usage: "`PATH` of a backup-credentials.json, given like the state; the two are paired by instanceId"},
		&cli.GenericFlag{Name: "policy", Aliases: []string{"p"}, Value: &s.policy, Usage: "`PATH` of the organisation's defaults, for all instances"},
		&cli.GenericFlag{Name: "kinds", Value: &s.kinds, Usage: "`DIR` with folders of kinds of your own; they are code, trusted as this program is"},
	}
}

// withoutValuesFlag is for the commands that write nothing.
func (s *sources) withoutValuesFlag() cli.Flag {
	return &cli.BoolFlag{Name: "without-values", Destination: &s.withoutValues, DisableDefaultText: true,
		Usage: "do without the secret values of the credentials: they may be null or encrypted, and what depends on them is not checked"}
}

// given reports whether any input is named.
func (s *sources) given() bool {
	return len(s.states) > 0 || len(s.credentials) > 0
}

// renderer prepares a renderer with the kinds of these sources.
func (s *sources) renderer() (*renderer.Renderer, error) {
	var all fs.FS = templates.FS
	if dir := s.kinds.value; dir != "" {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, usageError{fmt.Sprintf("--kinds %s: this is no folder that can be read", dir), ""}
		}
		// What its links lead out of it to does not belong into a tree.
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, outside(err)
		}
		if all, err = kind.Overlay(templates.FS, root.FS(), dir); err != nil {
			return nil, usageError{fmt.Sprintf("--kinds %s: %v", dir, err), "DIR holds one folder for each kind"}
		}
	}
	r, err := renderer.New(all)
	var problems problem.List
	if err != nil && s.kinds.value != "" && !errors.As(err, &problems) {
		return nil, usageError{fmt.Sprintf("--kinds %s: %v", s.kinds.value, err), ""}
	}
	return r, err
}

// read reads all documents of a run.
func (s *sources) read(c console, command string) (renderer.Inputs, error) {
	in := renderer.Inputs{WithoutValues: s.withoutValues}
	hint := fmt.Sprintf("holdfast %s --state runtime-state.json --credentials backup-credentials.json", command)
	if len(s.states) == 0 {
		return in, usageError{command + " needs --state", hint}
	}
	if len(s.credentials) == 0 {
		return in, usageError{command + " needs --credentials", hint}
	}
	r := reader{stdin: c.in, secrets: c.secrets}
	var err error
	if in.States, err = r.all(s.states, stateName); err != nil {
		return in, err
	}
	if in.Credentials, err = r.all(s.credentials, credentialsName); err != nil {
		return in, err
	}
	readable := slices.DeleteFunc(slices.Clone(in.Credentials), safe)
	if in.Credentials, err = s.decrypted(c, in.Credentials); err != nil {
		return in, err
	}
	if s.policy.value != "" {
		policy, err := r.document(s.policy.value)
		if err != nil {
			return in, err
		}
		in.Policy = &policy
	}
	warnReadable(c, readable)
	if err := refuseExposed(c, command, readable); err != nil {
		return in, err
	}
	return in, s.readOverlay(&in)
}

// reader reads documents; stdin only once.
type reader struct {
	stdin io.Reader
	used  bool
	// secrets learns from what is read.
	secrets *masker
}

// all reads the documents that paths stand for.
func (r *reader) all(paths []string, name string) ([]input.Document, error) {
	var documents []input.Document
	for _, path := range paths {
		files, err := files(path, name)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			document, err := r.document(file)
			if err != nil {
				return nil, err
			}
			documents = append(documents, document)
		}
	}
	return documents, nil
}

// document reads one file, or stdin.
func (r *reader) document(path string) (input.Document, error) {
	name, data, err := r.bytes(path, maxDocument)
	if err != nil {
		return input.Document{}, err
	}
	r.secrets.learn(data)
	return input.Document{Name: name, Data: data}, nil
}

// bytes reads so much of a file, or of stdin.
func (r *reader) bytes(path string, limit int64) (name string, data []byte, err error) {
	from, name := r.stdin, "stdin"
	if path == "-" {
		if r.used {
			return name, nil, usageError{"stdin can be read only once", "give a file for all documents but one"}
		}
		r.used = true
	} else {
		file, err := os.Open(path) //nolint:gosec // the user names it
		if err != nil {
			return name, nil, unreadable(path, err)
		}
		defer func() { _ = file.Close() }() // read only
		from, name = file, path
	}
	if data, err = io.ReadAll(io.LimitReader(from, limit)); err != nil {
		return name, nil, unreadable(name, err)
	}
	return name, data, nil
}

// files lists the files of that name that a path stands for: itself, the one
// in it, or those in the folders in it.
func files(path, name string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	if file := filepath.Join(path, name); isThere(file) {
		return []string{file}, nil
	}
	entries, err := os.ReadDir(path) // sorted by name
	if err != nil {
		return nil, unreadable(path, err)
	}
	var found []string
	for _, entry := range entries {
		if file := filepath.Join(path, entry.Name(), name); isThere(file) {
			found = append(found, file)
		}
	}
	if len(found) == 0 {
		return nil, usageError{fmt.Sprintf("%s holds no %s, and neither does a folder in it", path, name), ""}
	}
	return found, nil
}

func isThere(file string) bool {
	_, err := os.Stat(file) //nolint:gosec // the user names it
	return err == nil
}

// unreadable reports a path that was given and cannot be read.
func unreadable(path string, err error) error {
	var inner *fs.PathError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	if isDocument(path) {
		return usageError{"a document was given where a path belongs", "give the path of the file, or - for stdin"}
	}
	return usageError{fmt.Sprintf("cannot read %s: %v", path, err), ""}
}

// isDocument says whether a text is what a file holds rather than its path.
func isDocument(path string) bool {
	return strings.HasPrefix(strings.TrimSpace(path), "{") || strings.ContainsAny(path, "\n\r\"")
}

// exampleSecret begins the secret keys of the examples, which open nothing and
// which Git checks out for everybody to read.
const exampleSecret = "example-not-a-real-secret"

// isExample says whether a credentials document has such keys, and no secret of its own
// beside them: all that is secret in the examples begins with "example-". Who has put in
// one of his own is warned.
func isExample(data []byte) bool {
	found := false
	for _, field := range secretFields().FindAllSubmatch(data, -1) {
		value := strings.Trim(string(field[1]), `"'`)
		switch {
		case value == "", bytes.Contains(field[0], []byte("renderKey")): // it is base64
		case !strings.HasPrefix(value, "example-"):
			return false
		case strings.HasPrefix(value, exampleSecret):
			found = true
		}
	}
	return found
}

// warnReadable warns of credentials that others on this machine can read.
func warnReadable(c console, credentials []input.Document) {
	if runtime.GOOS == "windows" { // its modes say nothing about others
		return
	}
	var open []string
	for _, document := range credentials {
		if isExample(document.Data) {
			continue
		}
		info, err := os.Stat(document.Name)
		if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o044 != 0 {
			open = append(open, document.Name)
		}
	}
	if len(open) > 0 {
		c.note("holdfast: warning: group or others can read the credentials: %s", several(open))
		c.note("holdfast: hint: chmod 600 %s", several(open))
	}
}
