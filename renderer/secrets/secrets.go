// Package secrets decides what becomes of an instance's Secrets: they are left out, written
// as they are, encrypted for SOPS, sealed, or fetched from an external store. How that is
// encrypted, package seal knows.
package secrets

import (
	"encoding/base64"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
	"github.com/holdfast-backup/holdfast/renderer/seal"
	"github.com/holdfast-backup/holdfast/renderer/yaml"
)

// Mode says what becomes of Secrets.
type Mode int

const (
	// Omit leaves them out; whoever applies the tree brings them.
	Omit Mode = iota
	// Plain writes them in plain text, for a pipe to a cluster and for tests.
	Plain
	// SOPS encrypts them for age recipients; Flux decrypts them.
	SOPS
	// External writes an ExternalSecret for each, which says where an external
	// store has the values (External Secrets Operator, external-secrets.io/v1).
	External
	// Sealed writes a SealedSecret for each, which the controller of Bitnami
	// Sealed Secrets decrypts (bitnami.com/v1alpha1, scope strict).
	Sealed
)

// Modes are the names of all modes, as the command line has them, in the order of
// their numbers.
func Modes() []string { return []string{"omit", "plain", "sops", "external", "sealed"} }

// ParseMode returns the mode of that name.
func ParseMode(name string) (mode Mode, known bool) {
	at := slices.Index(Modes(), name)
	return Mode(max(at, 0)), at >= 0
}

// String returns the mode's name.
func (m Mode) String() string { return Modes()[m] }

// Annotations of Flux: what carries them is neither substituted into nor pruned.
const (
	NoSubstitution = "kustomize.toolkit.fluxcd.io/substitute"
	NoPrune        = "kustomize.toolkit.fluxcd.io/prune"
)

// Our own annotations of Secrets: which generation of credentials they hold, and
// when it ends.
const (
	generation = "holdfast.dev/generation"
	expires    = "holdfast.dev/expires-at"
)

// Annotations of Argo CD; templates/lib/k8s.libsonnet has the same for what
// templates make. ArgoWave orders objects; those of the stage repository have ArgoFirst.
const (
	argoOptions = "argocd.argoproj.io/sync-options"
	argoNoPrune = "Prune=false,Delete=false"
	ArgoWave    = "argocd.argoproj.io/sync-wave"
	ArgoFirst   = "-1"
)

// File is the file of one Secret.
type File struct {
	// Path is relative to the tree's root, with forward slashes.
	Path string
	Data []byte
	// Plain says that Data holds the values in plain text.
	Plain bool
	// Unseen is set where the values are not known.
	Unseen *Unseen
}

// Maker makes the Secrets of a run. The zero value leaves them out.
type Maker struct {
	mode Mode
	// rules are nil if the credentials say for whom SOPS encrypts.
	rules           *sopsRules
	certificate     *seal.Certificate
	certificateName string
	// withoutValues has files made of everything but the ciphertexts.
	withoutValues bool
}

// WithoutValues is the same sealing for credentials whose secret values are not known:
// a file has a placeholder in the place of each ciphertext, see File. It is for
// comparing only.
func (s Maker) WithoutValues() Maker {
	s.withoutValues = true
	return s
}

// unseen says whether ciphertexts are left out.
func (s Maker) unseen() bool { return s.withoutValues && (s.mode == SOPS || s.mode == Sealed) }

// NewMaker reads what a mode needs; either document may be nil, and one that
// the mode does not need is not looked at. sops is a .sops.yaml, treePath where
// the tree is, relative to that file's folder and with forward slashes.
// certificate is the Sealed Secrets controller's.
func NewMaker(mode Mode, sops *input.Document, treePath string, certificate *input.Document) (Maker, problem.List) {
	s := Maker{mode: mode}
	var problems problem.List
	if mode == SOPS && sops != nil {
		s.rules, problems = readSOPSRules(*sops, treePath)
	}
	if mode == Sealed && certificate != nil {
		s.certificateName = certificate.Name
		var err error
		if s.certificate, err = seal.ParseCertificate(certificate.Data); err != nil {
			problems = append(problems, s.certificateProblem(err.Error()))
		}
	}
	return s, problems
}

const fetchCertificate = "kubeseal --fetch-cert prints the controller's certificate, for --sealed-cert"

func (s Maker) certificateProblem(message string) problem.Problem {
	return problem.Problem{File: s.certificateName, Message: message, Hint: fetchCertificate, Rule: "HF026"}
}

// Files makes one file for each Secret of the plan.
func (s Maker) Files(p *plan.Plan, instance input.Instance) ([]File, problem.List) {
	if s.mode == Omit {
		return nil, nil
	}
	problems := s.Missing(p, instance)
	if len(problems) > 0 {
		return nil, problems
	}
	var files []File
	for _, secret := range p.Secrets {
		object, found := s.object(secret, p, instance.Credentials)
		if problems = append(problems, found...); len(found) > 0 {
			continue
		}
		data, err := yaml.AppendDocuments(nil, []map[string]any{object})
		if err != nil {
			problems = append(problems, broken(secret.File, err))
		}
		file := File{Path: secret.File, Data: data, Plain: s.mode == Plain}
		if s.unseen() {
			file.Unseen = &Unseen{object: object, certificate: s.certificate}
		}
		files = append(files, file)
	}
	return files, problems
}

// Mode is the mode of what it makes.
func (s Maker) Mode() Mode { return s.mode }

// Missing finds what the mode needs and nobody gave, before anything is rendered.
func (s Maker) Missing(p *plan.Plan, instance input.Instance) problem.List {
	if s.mode == Omit {
		return nil
	}
	var problems problem.List
	c := instance.Credentials
	at := func(pointer, rule, message, hint string) {
		line, column := c.Tree.At(pointer)
		problems = append(problems, problem.Problem{File: c.Tree.Name, Line: line, Column: column, Pointer: pointer, Message: message, Hint: hint, Rule: rule})
	}
	if len(p.Secrets) == 0 {
		return nil
	}
	if (s.mode == SOPS || s.mode == Sealed) && !s.unseen() && (c.Git == nil || c.Git.RenderKey == "") {
		at("/git/renderKey", "HF022", "the render key is missing, without which each run would encrypt to other bytes",
			`add it: 32 random bytes in base64, as "head -c 32 /dev/urandom | base64" prints; or choose another --secrets`)
	}
	if s.mode == SOPS && s.rules == nil && (c.Git == nil || len(c.Git.Recipients) == 0) {
		at("/git/recipients", "HF021", "there are no recipients to encrypt the Secrets for",
			"add the public key that age-keygen printed, or give a .sops.yaml with --sops-config; or choose another --secrets")
	}
	if s.mode == Sealed {
		made, known := instance.State.Made()
		switch {
		case s.certificate == nil:
			problems = append(problems, s.certificateProblem("there is no certificate to seal the Secrets with"))
		case known && s.certificate.Expires <= made:
			problems = append(problems, s.certificateProblem("the certificate ended before "+instance.State.Tree.Name+" was made ("+instance.State.GeneratedAt+")"))
		}
	}
	if s.mode == External && p.External == nil {
		problems = append(problems, problem.Problem{
			Pointer: "instance " + p.Instance, Message: "no store is named that holds the values of its Secrets", Rule: "HF025",
			Hint: `add "externalSecrets": {"store": {"kind": …, "name": …}, "fields": …} to the policy or to the state's backup block`,
		})
	}
	for _, secret := range p.Secrets {
		for _, k := range secret.Keys {
			_, given := c.Field(k.Field)
			switch {
			case s.mode == External && p.External != nil && k.Remote == nil:
				problems = append(problems, problem.Problem{
					Pointer: "Secret/" + secret.Namespace + "/" + secret.Name,
					Message: "nothing says where the external store has " + k.Field,
					Hint:    fmt.Sprintf("add it to externalSecrets: \"fields\": {%q: {\"key\": …, \"property\": …}}", k.Field), Rule: "HF025",
				})
			case !c.Has(k.Field) && neededByUnit(p, k.Field):
				// HF020 says that it is not there at all.
			case s.mode != External && !given && !s.unseen():
				at("/"+strings.ReplaceAll(k.Field, ".", "/"), "HF025",
					"the value is kept outside, but the Secret "+secret.Namespace+"/"+secret.Name+" is to be made here",
					"write the value in the place of null, or leave it outside with --secrets external; check --without-values compares all but the values")
			}
		}
	}
	return problems
}

// neededByUnit says whether a unit reads a field of the credentials.
func neededByUnit(p *plan.Plan, field string) bool {
	return slices.ContainsFunc(p.Units, func(i plan.Item) bool {
		return slices.ContainsFunc(i.Capture.Credentials, func(c kind.Credential) bool { return c.Field == field })
	})
}

// object makes what stands for a Secret in the tree.
func (s Maker) object(secret plan.Secret, p *plan.Plan, c *input.Credentials) (map[string]any, problem.List) {
	if s.mode == External {
		return externalSecret(secret, p.External), nil
	}
	values := map[string]string{}
	for _, k := range secret.Keys {
		values[k.Key], _ = c.Field(k.Field)
		if s.unseen() {
			values[k.Key] = placeholder
		}
	}
	if s.unseen() && s.mode == Sealed {
		return sealedSecret(secret, values), nil
	}
	if s.unseen() {
		return s.sops(plainSecret(secret, "data", values), secret.File, seal.Key{}, c)
	}
	if s.mode == Plain {
		return plainSecret(secret, "stringData", values), nil
	}
	key, err := seal.ParseKey(c.Git.RenderKey)
	if err != nil { // the schema knows better
		return nil, problem.List{broken(secret.File, err)}
	}
	if s.mode == Sealed {
		sealed, err := key.Sealed(secret.File, secret.Namespace, secret.Name, values, s.certificate)
		if err != nil {
			return nil, problem.List{broken(secret.File, err)}
		}
		return sealedSecret(secret, sealed), nil
	}
	// Flux substitutes variables after it has decrypted. Base64 has no $, so that
	// no value can be taken for one, whatever becomes of the annotation.
	for name, value := range values {
		values[name] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	return s.sops(plainSecret(secret, "data", values), secret.File, key, c)
}

// sops encrypts a Secret. Nothing of it may change afterwards: SOPS keeps a
// checksum over all of it, labels and annotations included.
func (s Maker) sops(object map[string]any, file string, key seal.Key, c *input.Credentials) (map[string]any, problem.List) {
	target, problems := s.sopsTarget(file, c)
	if len(problems) > 0 {
		return nil, problems
	}
	var leaves []seal.Leaf
	err := yaml.EachText(object, func(keys []string, text string) string {
		leaves = append(leaves, seal.Leaf{Path: slices.Clone(keys), Text: text})
		return text
	})
	if err != nil {
		return nil, problem.List{broken(file, err)}
	}
	if s.rules != nil {
		if problems := s.rules.covers(target, leaves); len(problems) > 0 {
			return nil, problems
		}
	}
	if s.unseen() {
		object["sops"] = seal.SOPSFrame(target.encrypted, target.recipients, placeholder, func(int) string { return placeholder })
		return object, nil
	}
	texts, sops, err := key.SOPS(file, leaves, target.encrypted, target.recipients)
	if err != nil {
		return nil, problem.List{broken(file, err)}
	}
	next := 0
	if err := yaml.EachText(object, func([]string, string) string {
		next++
		return texts[next-1]
	}); err != nil {
		return nil, problem.List{broken(file, err)}
	}
	object["sops"] = sops
	return object, nil
}

// defaultEncrypted is what SOPS encrypts of a Secret if no .sops.yaml says it:
// the values and nothing else, for Flux must find the object.
const defaultEncrypted = "^(data|stringData)$"

// sopsTarget says for whom SOPS encrypts a file, and what of it.
func (s Maker) sopsTarget(file string, c *input.Credentials) (sopsTarget, problem.List) {
	own := sopsTarget{encrypted: regexp.MustCompile(defaultEncrypted)}
	for _, text := range c.Git.Recipients {
		r, err := seal.ParseRecipient(text)
		if err != nil { // the inputs' check knows better
			return own, problem.List{broken(file, err)}
		}
		own.recipients = append(own.recipients, r)
	}
	if s.rules == nil {
		return own, nil
	}
	target, problems := s.rules.find(path.Join(s.rules.tree, file))
	if len(problems) == 0 && len(own.recipients) > 0 && !sameRecipients(own.recipients, target.recipients) {
		line, column := c.Tree.At("/git/recipients")
		problems = append(problems, problem.Problem{
			File: c.Tree.Name, Line: line, Column: column, Pointer: "/git/recipients",
			Message: "the recipients differ from those of " + s.rules.name + " for " + file,
			Hint:    "leave the recipients out here, so that one file says them", Rule: "HF021",
		})
	}
	return target, problems
}

func sameRecipients(a, b []seal.Recipient) bool {
	texts := func(recipients []seal.Recipient) []string {
		var all []string
		for _, r := range recipients {
			all = append(all, r.String())
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	return slices.Equal(texts(a), texts(b))
}

// head is the metadata of what stands for a Secret. Losing the repository's
// password is losing the copies, so neither Flux nor
// Argo CD ever prunes it, whatever an overlay says.
func head(s plan.Secret) map[string]any {
	annotations := map[string]any{}
	for name, value := range s.Annotations {
		annotations[name] = value
	}
	for name, value := range map[string]string{NoPrune: "disabled", argoOptions: argoNoPrune, NoSubstitution: "disabled"} {
		annotations[name] = value
	}
	if _, below, _ := strings.Cut(s.File, "/"); strings.HasPrefix(below, "repository/") {
		annotations[ArgoWave] = ArgoFirst
	}
	if s.Generation > 0 {
		annotations[generation] = strconv.Itoa(s.Generation)
	}
	if s.ExpiresAt != "" {
		annotations[expires] = s.ExpiresAt // as the document has it
	}
	return map[string]any{"name": s.Name, "namespace": s.Namespace, "labels": secretLabels(s), "annotations": annotations}
}

func secretLabels(s plan.Secret) map[string]any {
	labels := map[string]any{}
	for name, value := range s.Labels {
		labels[name] = value
	}
	return labels
}

// plainSecret makes a Secret that holds values in field: "data" or "stringData".
func plainSecret(s plan.Secret, field string, values map[string]string) map[string]any {
	data := map[string]any{}
	for name, value := range values {
		data[name] = value
	}
	return map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": head(s), "type": "Opaque", field: data}
}

// externalSecret makes the object from which the External Secrets Operator makes
// the Secret. The template keeps Flux's own labels off the Secret, which is not
// Flux's. The operator leaves a Secret alone when the store has lost its entry.
func externalSecret(s plan.Secret, from *plan.External) map[string]any {
	var data []any
	for _, k := range s.Keys {
		ref := map[string]any{"key": k.Remote.Key}
		if k.Remote.Property != "" {
			ref["property"] = k.Remote.Property
		}
		data = append(data, map[string]any{"secretKey": k.Key, "remoteRef": ref})
	}
	return map[string]any{
		"apiVersion": "external-secrets.io/v1",
		"kind":       "ExternalSecret",
		"metadata":   head(s),
		"spec": map[string]any{
			"refreshInterval": from.RefreshInterval,
			"secretStoreRef":  map[string]any{"kind": from.StoreKind, "name": from.StoreName},
			"target": map[string]any{
				"name": s.Name, "creationPolicy": "Owner", "deletionPolicy": "Retain",
				"template": map[string]any{"type": "Opaque", "metadata": map[string]any{"labels": secretLabels(s)}},
			},
			"data": data,
		},
	}
}

// sealedSecret makes the object from which the Sealed Secrets controller makes
// the Secret.
func sealedSecret(s plan.Secret, sealed map[string]string) map[string]any {
	encrypted := map[string]any{}
	for name, text := range sealed {
		encrypted[name] = text
	}
	return map[string]any{
		"apiVersion": "bitnami.com/v1alpha1",
		"kind":       "SealedSecret",
		"metadata":   head(s),
		"spec": map[string]any{
			"encryptedData": encrypted,
			"template": map[string]any{
				"type":     "Opaque",
				"metadata": map[string]any{"name": s.Name, "namespace": s.Namespace, "labels": secretLabels(s)},
			},
		},
	}
}

// Readable reports whether a Secret that anybody could read stands in a value, at any
// depth: a Secret, or what has a Secret's stringData, with values that SOPS has not
// encrypted; or a list of Secrets; or the template of one with values of its own.
func Readable(value any) bool {
	switch v := value.(type) {
	case map[string]any:
		kind, _ := v["kind"].(string)
		_, like := v["stringData"].(map[string]any)
		if (kind == "Secret" || like) && !encrypted(v) {
			return true
		}
		if (kind == "SealedSecret" || strings.HasSuffix(kind, "ExternalSecret")) && plainTemplate(v["spec"]) {
			return true
		}
		if items, _ := v["items"].([]any); kind == "SecretList" && len(items) > 0 {
			return true
		}
		for _, entry := range v {
			if Readable(entry) {
				return true
			}
		}
	case []any:
		for _, entry := range v {
			if Readable(entry) {
				return true
			}
		}
	}
	return false
}

// plainTemplate reports whether the template of a Secret, below a value, has a value that
// it does not take from elsewhere by {{ … }}.
func plainTemplate(value any) bool {
	for name, entry := range objectOf(value) {
		if name == "template" {
			for _, field := range []string{"data", "stringData"} {
				for _, value := range objectOf(objectOf(entry)[field]) {
					if text, ok := value.(string); !ok || text != "" && !strings.Contains(text, "{{") {
						return true
					}
				}
			}
		}
		if plainTemplate(entry) {
			return true
		}
	}
	return false
}

// encrypted reports whether a Secret holds no value, or only such that SOPS
// encrypted. What only names a Secret, as {kind: Secret, name: x} does, holds none.
func encrypted(secret map[string]any) bool {
	values := 0
	for _, field := range []string{"data", "stringData"} {
		switch entries := secret[field].(type) {
		case nil:
		case map[string]any:
			for _, value := range entries {
				values++
				if text, ok := value.(string); !ok || text != "" && !isCiphertext(text) {
					return false
				}
			}
		default:
			return false
		}
	}
	sops, _ := secret["sops"].(map[string]any)
	mac, _ := sops["mac"].(string)
	return values == 0 || isCiphertext(mac)
}

// isCiphertext reports whether a text has the form of SOPS' values.
func isCiphertext(text string) bool {
	return strings.HasPrefix(text, "ENC[AES256_GCM,data:") && strings.HasSuffix(text, "]")
}

// objectOf is a value as an object; nil if it is none.
func objectOf(value any) map[string]any {
	m, _ := value.(map[string]any)
	return m
}

// broken reports a value that no manifest can hold.
func broken(path string, err error) problem.Problem {
	return problem.Problem{Pointer: path, Message: err.Error(), Rule: "HF401"}
}
