package publish

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"unicode"

	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

// unsealed is HF501: it finds Secrets that anybody could read. It looks at what
// would be committed and trusts no mode.
func unsealed(b manifest.Bundle) problem.List {
	var problems problem.List
	for _, file := range b.Files {
		if file.Secret || readable(file) {
			problems = append(problems, problem.Problem{
				Pointer: file.Path, Message: "a Secret in plain text would be committed",
				Hint: "encrypt it with --secrets sops or sealed, or leave it outside with --secrets external or omit", Rule: rulePlaintext,
			})
		}
	}
	return problems
}

// readable reports whether a file holds a Secret that is not encrypted, or may hold one
// because it cannot be parsed.
func readable(file manifest.File) bool {
	if path.Ext(file.Path) == ".json" {
		var value any
		return json.Unmarshal(file.Data, &value) != nil || secrets.Readable(value)
	}
	if !mayHoldSecret(file.Data) {
		return false
	}
	objects, err := yaml.Decode(file.Data)
	if err != nil {
		return true
	}
	for _, object := range objects {
		if secrets.Readable(object) {
			return true
		}
	}
	return false
}

// mayHoldSecret reports whether the word Secret, or SecretList, may stand in a YAML
// text, as it is or with escaped letters. Texts without it need no parsing, which would
// take as long as rendering. (Package manifest never writes a word with an escaped line
// break inside.)
func mayHoldSecret(data []byte) bool {
	for rest := data; ; {
		_, after, found := bytes.Cut(rest, []byte("Secret"))
		if !found {
			break
		}
		if len(after) == 0 || after[0] == 'L' || !unicode.IsLetter(rune(after[0])) { // not a SecretRef
			return true
		}
		rest = after
	}
	for _, escape := range []string{`\x`, `\u`, `\U`} {
		if bytes.Contains(data, []byte(escape)) {
			return true
		}
	}
	return false
}

// retired says whether the policy has a tombstone of a unit, one that still counts.
func (d difference) retired(id string) bool {
	_, ended, found := d.plan.Retirement(id)
	return found && !ended
}

// vanished is HF505.
func (d difference) vanished() problem.List {
	var problems problem.List
	for _, id := range d.Vanished {
		retired, ended, found := d.plan.Retirement(id)
		if found && !ended {
			continue
		}
		p := problem.Problem{
			Pointer: "instance " + d.plan.Instance, Message: name(id) + " was backed up and is gone from the inputs", Rule: ruleVanished,
			Hint: fmt.Sprintf(`if it is gone for good, say so in the policy: "retired": [{"instance": %q, "unit": %q, "reason": "…"}]`, d.plan.Instance, id),
		}
		if ended {
			p.Message += ", and its tombstone in the policy ended on " + retired.Until
		}
		problems = append(problems, p)
	}
	return problems
}
