package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/renderer/seal"
)

// Where sops finds age identities; it and we read all of them.
const (
	ageKeyVariable     = "SOPS_AGE_KEY"
	ageKeyFileVariable = "SOPS_AGE_KEY_FILE"
)

// identities are age private keys.
type identities struct {
	keys []seal.Identity
	// others are keys that only sops itself uses.
	others int
}

// given reads the identities that the environment names for this run.
func (i *identities) given(known *masker) error {
	if err := i.add(known, ageKeyVariable, []byte(os.Getenv(ageKeyVariable))); err != nil {
		return err
	}
	if name := os.Getenv(ageKeyFileVariable); name != "" {
		return i.file(known, ageKeyFileVariable, name)
	}
	return nil
}

// usual reads those of the file where sops has them by default, if it is there.
func (i *identities) usual(known *masker) error {
	// As sops does: on a Mac os.UserConfigDir alone does not look at the variable.
	dir := os.Getenv("XDG_CONFIG_HOME")
	if dir == "" || runtime.GOOS != "darwin" {
		var err error
		if dir, err = os.UserConfigDir(); err != nil {
			return nil //nolint:nilerr // without a home there is no such file
		}
	}
	if name := filepath.Join(dir, "sops", "age", "keys.txt"); isThere(name) {
		return i.file(known, name, name)
	}
	return nil
}

func (i *identities) file(known *masker, what, name string) error {
	r := reader{used: true}
	document, err := r.document(name)
	if err != nil {
		return err
	}
	return i.add(known, what, document.Data)
}

func (i *identities) add(known *masker, what string, text []byte) error {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			known.hide(string(line))
		}
	}
	keys, others, err := seal.ParseIdentities(string(text))
	if err != nil {
		return usageError{fmt.Sprintf("%s: %v", what, err), "age-keygen prints an identity: AGE-SECRET-KEY-1…"}
	}
	i.keys, i.others = append(i.keys, keys...), i.others+others
	return nil
}

// decrypted returns the documents as they were before sops encrypted them, in memory;
// or, if the run does without values, all but the values.
func (s *sources) decrypted(c console, documents []input.Document) ([]input.Document, error) {
	var found identities
	looked := false
	var problems problem.List
	all := make([]input.Document, 0, len(documents))
	for _, document := range documents {
		document.Secret = true
		var err error
		switch {
		case s.withoutValues:
			document, _, err = input.Redact(document)
		case input.Encrypted(document):
			if !looked {
				if err := errors.Join(found.given(c.secrets), found.usual(c.secrets)); err != nil {
					return nil, err
				}
				looked = true
			}
			document, err = open(c, document, found)
			c.secrets.learn(document.Data)
		}
		var some problem.List
		if err != nil && !errors.As(err, &some) {
			return nil, err
		}
		problems = append(problems, some...)
		all = append(all, document)
	}
	if len(problems) > 0 {
		return nil, problems.Sorted()
	}
	return all, nil
}

// open decrypts one document: here if an age identity does it, else with sops, which
// knows other sorts of keys.
func open(c console, document input.Document, found identities) (input.Document, error) {
	plain, err := input.Decrypt(document, found.keys)
	var problems problem.List
	lacking := errors.As(err, &problems) && problems[0].Rule == "HF033"
	if err == nil || !lacking && !errors.Is(err, input.ErrOtherKeys) {
		return plain, err
	}
	program, missing := exec.LookPath("sops")
	switch {
	case missing != nil && lacking:
		return document, err
	case missing != nil:
		return document, problem.List{input.NotDecrypted(document, "not for an age recipient alone: that needs the program sops, which is not in PATH")}
	}
	// It reads and writes pipes: nothing of it is ever a file.
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(program, "decrypt", "--input-type", "json", "--output-type", "json", "/dev/stdin") //nolint:gosec // the user's own PATH
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(document.Data), &stdout, &stderr
	if failed := cmd.Run(); failed != nil {
		if lacking {
			return document, err
		}
		c.note("%s", bytes.TrimSpace(stderr.Bytes()))
		return document, problem.List{input.NotDecrypted(document, "sops does not decrypt it: "+failed.Error())}
	}
	document.Data = stdout.Bytes()
	return document, nil
}

// safe says whether a credentials document has no secret that anybody can read.
func safe(document input.Document) bool {
	_, values, err := input.Redact(document)
	return input.Encrypted(document) || err == nil && values != nil && len(values) == 0
}
