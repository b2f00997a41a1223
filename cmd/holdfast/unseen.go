package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/emit"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

// notLookedAt says what a run with --without-values is no check of.
const notLookedAt = "the secret values of the credentials were not looked at"

// unseen is what a comparison without values has and has not looked at.
type unseen struct {
	// without says that it was one.
	without bool
	files   []unseenFile
	// reasons say by path what is wrong with a Secret.
	reasons map[string][]string
}

// unseenFile is a Secret whose values were not compared.
type unseenFile struct {
	// Path is relative to the tree's root, with forward slashes.
	Path string `json:"path"`
	// Decrypted says that an age identity opened every value, and the checksum is right.
	Decrypted bool `json:"decrypted"`
}

// lines say for people what was not checked, in one line for the credentials and one
// for the tree, if there is any.
func (u unseen) lines() []string {
	if !u.without {
		return nil
	}
	lines := []string{"not checked: " + notLookedAt}
	if len(u.files) == 0 {
		return lines
	}
	opened := 0
	for _, file := range u.files {
		if file.Decrypted {
			opened++
		}
	}
	text := "not checked: values of " + count(len(u.files), "Secret", "Secrets") + " were not compared"
	switch opened {
	case 0:
		text += ", and not decrypted"
	case len(u.files):
		text += "; all of them decrypt"
	default:
		text += fmt.Sprintf("; those of %d decrypt", opened)
	}
	return append(lines, text)
}

// largestSecret is what is read of a Secret's file, in bytes: more than Kubernetes
// takes, encrypted.
const largestSecret = 8 << 20

// fill puts into the bundle's Secrets the ciphertexts that the tree in dir has.
func (u *unseen) fill(c console, dir string, b manifest.Bundle) error {
	var found identities
	if err := found.given(c.secrets); err != nil {
		return err
	}
	u.reasons = map[string][]string{}
	for i, file := range b.Files {
		if file.Unseen == nil {
			continue
		}
		name := filepath.Join(dir, filepath.FromSlash(file.Path))
		entry := unseenFile{Path: file.Path}
		// What is no file is reported by the comparison.
		if info, err := os.Lstat(name); err == nil && info.Mode().IsRegular() {
			data, err := readStart(name, largestSecret)
			if err != nil {
				return outside(err)
			}
			filled, reasons, err := file.Unseen.Fill(data, found.keys)
			if err != nil {
				return err
			}
			b.Files[i].Data = filled
			if len(reasons) > 0 {
				u.reasons[file.Path] = reasons
			}
			entry.Decrypted = len(reasons) == 0 && len(found.keys) > 0 && file.Unseen.Decrypts()
		}
		u.files = append(u.files, entry)
	}
	slices.SortFunc(u.files, func(a, b unseenFile) int { return strings.Compare(a.Path, b.Path) })
	return nil
}

func readStart(name string, most int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // read only
	return io.ReadAll(io.LimitReader(file, most))
}

// extraSecrets finds Secrets in the folders of the bundle that nobody renders (HF520).
// With the values a Secret of somebody else's is none of our business; without them
// nobody would see that one of ours lies there once more, or readable. A file's ending
// says nothing about what is in it.
func extraSecrets(dir string, b manifest.Bundle, changes emit.Changes) error {
	known, folders := map[string]bool{}, map[string]bool{}
	for _, file := range b.Files {
		known[file.Path] = true
		top, _, _ := strings.Cut(file.Path, "/")
		folders[top] = true
	}
	for _, change := range changes {
		known[change.Path] = true
	}
	var problems problem.List
	for top := range folders {
		root := filepath.Join(dir, top)
		err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil && errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				return err
			case entry.IsDir():
				return nil
			}
			below, err := filepath.Rel(dir, name)
			if err != nil {
				return err
			}
			below = filepath.ToSlash(below)
			if known[below] {
				return nil
			}
			refuse := func(message, hint string) {
				problems = append(problems, problem.Problem{File: filepath.ToSlash(name), Message: message, Hint: hint, Rule: "HF520"})
			}
			if !entry.Type().IsRegular() {
				refuse("a link, or what is no file, stands in the tree and is not rendered: what it leads to may be a Secret",
					"remove it, or move it out of the instance's folder")
				return nil
			}
			data, err := readStart(name, largestSecret)
			switch {
			case err != nil:
				return err
			case len(data) == largestSecret:
				refuse("a file stands in the tree that is not rendered, and too large to look for Secrets in it",
					"remove it, or move it out of the instance's folder")
			case strings.HasPrefix(entry.Name(), "secret-") || secrets.IsSecret(data):
				refuse("a Secret stands in the tree that is not rendered",
					"remove it, or move it out of the instance's folder; if it was readable, change its values")
			}
			return nil
		})
		if err != nil {
			return outside(err)
		}
	}
	if len(problems) > 0 {
		return problems.Sorted()
	}
	return nil
}
