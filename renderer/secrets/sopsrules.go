package secrets

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/renderer/seal"
	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

// sopsRules are the creation_rules of a .sops.yaml. As sops does it, the first
// one whose path_regex matches a file is the one for it, and paths are relative
// to the folder of the .sops.yaml.
type sopsRules struct {
	// name is what messages call the file.
	name string
	// tree is the folder of the tree, relative to that of the .sops.yaml.
	tree  string
	rules []sopsRule
}

// sopsRule is one of them. It is judged when a file needs it: what it says of
// other files is not our matter.
type sopsRule struct {
	// path is nil if the rule is for every file.
	path   *regexp.Regexp
	fields map[string]any
}

// readSOPSRules reads a .sops.yaml.
func readSOPSRules(d input.Document, tree string) (*sopsRules, problem.List) {
	r := &sopsRules{name: d.Name, tree: tree}
	documents, err := yaml.Decode(d.Data)
	if err != nil {
		return nil, problem.List{r.problem("HF023", "", err.Error(), "")}
	}
	if len(documents) != 1 {
		return nil, problem.List{r.problem("HF023", "", fmt.Sprintf("%d documents, where one was expected", len(documents)), "")}
	}
	rules, _ := documents[0]["creation_rules"].([]any)
	if len(rules) == 0 {
		return nil, problem.List{r.problem("HF021", "/creation_rules", "there are no creation_rules, so there are no recipients", sopsExample)}
	}
	var problems problem.List
	for i, value := range rules {
		at := fmt.Sprintf("/creation_rules/%d", i)
		fields, ok := value.(map[string]any)
		if !ok {
			problems = append(problems, r.problem("HF023", at, "this is no rule", sopsExample))
			continue
		}
		rule := sopsRule{fields: fields}
		if expression, said := fields["path_regex"]; said && !empty(expression) {
			if rule.path, err = compile(expression); err != nil {
				problems = append(problems, r.problem("HF023", at+"/path_regex", err.Error(), ""))
			}
		}
		r.rules = append(r.rules, rule)
	}
	return r, problems
}

const sopsExample = `creation_rules: [{path_regex: …, age: age1…, encrypted_regex: "` + defaultEncrypted + `"}]`

func (r *sopsRules) problem(rule, pointer, message, hint string) problem.Problem {
	return problem.Problem{File: r.name, Pointer: pointer, Message: message, Hint: hint, Rule: rule}
}

// compile reads a regular expression, in Go's syntax, which is that of sops.
func compile(value any) (*regexp.Regexp, error) {
	text, ok := value.(string)
	if !ok {
		return nil, fmt.Errorf("a regular expression was expected")
	}
	expression, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("this is no regular expression")
	}
	return expression, nil
}

// empty reports whether a value stands for nothing.
func empty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case bool:
		return !v
	case float64:
		return v == 0
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// sopsTarget is how one file is encrypted.
type sopsTarget struct {
	recipients []seal.Recipient
	encrypted  *regexp.Regexp
	// at is the rule's place in the .sops.yaml.
	at string
}

// find says how a file is encrypted, whose path is relative to the folder of the
// .sops.yaml.
func (r *sopsRules) find(file string) (sopsTarget, problem.List) {
	for i, rule := range r.rules {
		if rule.path == nil || rule.path.MatchString(file) {
			return r.targetOf(fmt.Sprintf("/creation_rules/%d", i), rule)
		}
	}
	return sopsTarget{}, problem.List{r.problem("HF021", "/creation_rules", "no rule is for "+file, "sops takes the first rule whose path_regex matches the path from the folder of the .sops.yaml")}
}

// targetOf reads a rule that is for one of our files. Whatever sops would do and we
// cannot is a problem: sops updatekeys would undo what we wrote.
func (r *sopsRules) targetOf(at string, rule sopsRule) (sopsTarget, problem.List) {
	target := sopsTarget{at: at}
	var problems problem.List
	for _, name := range slices.Sorted(maps.Keys(rule.fields)) {
		if value := rule.fields[name]; !empty(value) {
			if message := sopsField(name); message != "" {
				problems = append(problems, r.problem("HF023", at+"/"+name, message, ""))
			}
		}
	}
	var found problem.List
	target.recipients, found = r.recipients(at, rule)
	problems = append(problems, found...)
	if expression := rule.fields["encrypted_regex"]; empty(expression) {
		problems = append(problems, r.problem("HF024", at, "without encrypted_regex sops encrypts a Secret's name and kind, too, and nobody finds the object", encryptedHint))
	} else {
		var err error
		if target.encrypted, err = compile(expression); err != nil {
			problems = append(problems, r.problem("HF023", at+"/encrypted_regex", err.Error(), encryptedHint))
		}
	}
	return target, problems
}

const encryptedHint = "encrypted_regex: " + defaultEncrypted

// covers checks that a target encrypts the values of a Secret, all of them, and
// nothing by which Kubernetes and Flux find it.
func (r *sopsRules) covers(target sopsTarget, leaves []seal.Leaf) problem.List {
	// One problem of each sort is enough: all Secrets are alike.
	for _, leaf := range leaves {
		place := strings.Join(leaf.Path, "/")
		switch secret := leaf.Path[0] == "data"; {
		case secret && !leaf.Matches(target.encrypted):
			return problem.List{r.problem("HF024", target.at+"/encrypted_regex", "it leaves "+place+" of a Secret in plain text", encryptedHint)}
		case !secret && leaf.Matches(target.encrypted):
			return problem.List{r.problem("HF024", target.at+"/encrypted_regex", "it encrypts "+place+" of a Secret, too, and nobody finds the object", encryptedHint)}
		}
	}
	return nil
}

// sopsField says why a field of a rule cannot be followed, or nothing.
func sopsField(name string) string {
	switch name {
	case "path_regex", "age", "key_groups", "encrypted_regex":
		return ""
	case "pgp", "kms", "gcp_kms", "azure_keyvault", "hc_vault_transit_uri", "hc_vault", "hckms", "aws_profile":
		return "Secrets cannot be encrypted for " + name + ", only for age public keys: its encryption is random, and no run would give the same bytes"
	case "unencrypted_suffix", "encrypted_suffix", "unencrypted_regex", "unencrypted_comment_regex", "encrypted_comment_regex":
		return "what is encrypted must be said by encrypted_regex"
	case "shamir_threshold", "mac_only_encrypted", "merge":
		return name + " is not supported"
	}
	return "sops knows no such field"
}

// recipients reads a rule's age recipients: from age, or from its one key group.
func (r *sopsRules) recipients(at string, rule sopsRule) ([]seal.Recipient, problem.List) {
	from, value := at+"/age", rule.fields["age"]
	var problems problem.List
	if groups, _ := rule.fields["key_groups"].([]any); len(groups) > 0 {
		if !empty(value) {
			return nil, problem.List{r.problem("HF023", from, "sops ignores age beside key_groups", "keep one of the two")}
		}
		group, _ := groups[0].(map[string]any)
		if len(groups) > 1 {
			return nil, problem.List{r.problem("HF023", at+"/key_groups", "several key groups (Shamir's secret sharing) are not supported", "put all recipients into one group")}
		}
		for _, name := range slices.Sorted(maps.Keys(group)) {
			if message := sopsField(name); name != "age" && !empty(group[name]) {
				if message == "" {
					message = "sops knows no such field"
				}
				problems = append(problems, r.problem("HF023", at+"/key_groups/0/"+name, message, ""))
			}
		}
		from, value = at+"/key_groups/0/age", group["age"]
	}
	var texts []string
	switch v := value.(type) {
	case nil:
	case string:
		texts = strings.Split(v, ",")
	case []any:
		for _, item := range v {
			text, ok := item.(string)
			if !ok {
				return nil, append(problems, r.problem("HF023", from, "a list of age public keys was expected", ""))
			}
			texts = append(texts, strings.Split(text, ",")...)
		}
	default:
		return nil, append(problems, r.problem("HF023", from, "age public keys were expected", ""))
	}
	var recipients []seal.Recipient
	for i, text := range texts {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		recipient, err := seal.ParseRecipient(text)
		if err != nil {
			problems = append(problems, r.problem("HF023", from, fmt.Sprintf("recipient %d: %v", i+1, err), "only age public keys (X25519, as age-keygen prints them) encrypt to the same bytes each time"))
			continue
		}
		recipients = append(recipients, recipient)
	}
	if len(recipients) == 0 && len(problems) == 0 {
		problems = append(problems, r.problem("HF021", at, "the rule has no recipients", sopsExample))
	}
	return recipients, problems
}
