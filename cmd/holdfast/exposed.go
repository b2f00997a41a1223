package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/renderer/publish"
)

// refuseExposed is HF515: credentials that Git has, or would take with everything
// else, are soon in every clone. publish refuses them, for it is about to push; the
// other commands warn.
func refuseExposed(c console, command string, credentials []input.Document) error {
	var names []string
	for _, document := range credentials {
		if !isExample(document.Data) && holdsPlaintext(document.Data) {
			names = append(names, document.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	var problems problem.List
	for _, one := range publish.Expose(context.Background(), names) {
		p := problem.Problem{File: one.Name, Rule: "HF515",
			Message: "these credentials lie in a Git work tree and are not ignored: the next git add may take them",
			Hint:    "name the file in .gitignore, keep it elsewhere, or give the credentials on stdin with -c -"}
		switch {
		case one.Unknown != nil:
			said, _, _ := strings.Cut(one.Unknown.Error(), "\n")
			p.Message = "these credentials lie in a Git work tree, and git does not say whether it has them: " + said
			p.Hint = "keep the file elsewhere, give the credentials on stdin with -c -, or let git answer: it must be in PATH, and trust a folder of another user (safe.directory)"
		case one.Tracked:
			p.Message = "these credentials are tracked by Git: whoever has the repository has them"
			p.Hint = "git rm --cached takes the file out; name it in .gitignore, and change what was pushed: it stays in every clone"
		}
		problems = append(problems, p)
	}
	if command == "publish" && len(problems) > 0 {
		return problems
	}
	for _, p := range problems {
		c.note("holdfast: warning: %s: %s", p.File, p.Message)
		c.note("holdfast: hint: %s (holdfast explain %s)", p.Hint, p.Rule)
	}
	return nil
}

// holdsPlaintext reports whether a document has a secret that anybody can read:
// references are none, and neither is what sops encrypted.
func holdsPlaintext(document []byte) bool {
	return slices.ContainsFunc(secretFields().FindAllSubmatch(document, -1), func(match [][]byte) bool {
		var value string
		if json.Unmarshal(match[1], &value) != nil {
			value = strings.Trim(string(match[1]), `"'`)
		}
		return value != "" && !strings.HasPrefix(value, "ENC[AES256_GCM,data:")
	})
}
