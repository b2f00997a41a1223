package publish

import (
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

// TestUnsealed: no Secret that anybody can read passes, whatever it is called and
// wherever it stands.
func TestUnsealed(t *testing.T) {
	const cipher = "ENC[AES256_GCM,data:YQ==,iv:YQ==,tag:YQ==,type:str]"
	for name, test := range map[string]struct {
		file, text string
		secret     bool
		refused    bool
	}{
		"data":                {text: "kind: Secret\ndata: {a: YQ==}\n", refused: true},
		"stringData":          {text: "kind: Secret\nstringData: {a: b}\n", refused: true},
		"second document":     {text: "kind: ConfigMap\n---\nkind: Secret\ndata: {a: YQ==}\n", refused: true},
		"in a List":           {text: "kind: List\nitems: [{kind: Secret, data: {a: YQ==}}]\n", refused: true},
		"in a SecretList":     {text: "kind: SecretList\nitems: [{data: {a: YQ==}}]\n", refused: true},
		"deep":                {text: "a: {b: [[{kind: Secret, data: {a: YQ==}}]]}\n", refused: true},
		"quoted":              {text: "\"ki\\x6ed\": \"Secret\"\n'data': {a: YQ==}\n", refused: true},
		"JSON":                {file: "a.json", text: `{"kind": "Secret", "data": {"a": "YQ=="}}`, refused: true},
		"JSON in YAML":        {text: `{"kind": "Secret", "data": {"a": "YQ=="}}`, refused: true},
		"a list for values":   {text: "kind: Secret\ndata: [a]\n", refused: true},
		"a text for values":   {text: "kind: Secret\ndata: password\n", refused: true},
		"a number":            {text: "kind: Secret\ndata: {a: 1}\n", refused: true},
		"one is readable":     {text: "kind: Secret\ndata: {a: '" + cipher + "', b: YQ==}\nsops: {mac: '" + cipher + "'}\n", refused: true},
		"no checksum":         {text: "kind: Secret\ndata: {a: '" + cipher + "'}\n", refused: true},
		"a readable checksum": {text: "kind: Secret\ndata: {a: '" + cipher + "'}\nsops: {mac: abc}\n", refused: true},
		"looks like it":       {text: "kind: Secret\nstringData: {a: 'ENC[password]'}\nsops: {mac: '" + cipher + "'}\n", refused: true},
		"marked by the mode":  {text: "kind: ConfigMap\n", secret: true, refused: true},
		"not readable":        {text: "kind: Secret\na: [\n", refused: true},
		"escaped":             {text: "kind: \"\\x53ecret\"\ndata: {a: YQ==}\n", refused: true},
		"escaped otherwise":   {text: "kind: \"Sec\\u0072et\"\ndata: {a: YQ==}\n", refused: true},
		"at the end":          {text: "data: {a: YQ==}\nkind: Secret", refused: true},
		"tagged":              {text: "kind: !!str Secret\ndata: {a: YQ==}\n", refused: true},
		"by an alias":         {text: "a: &s Secret\nkind: *s\ndata: {a: YQ==}\n", refused: true},
		"JSON not readable":   {file: "a.json", text: "{", refused: true},
		"encrypted":           {text: "kind: Secret\ndata: {a: '" + cipher + "', b: ''}\nsops: {mac: '" + cipher + "'}\n"},
		"a reference":         {text: "kind: ExternalSecret\nspec: {ref: {kind: Secret, name: x}}\n"},
		"empty":               {text: "kind: Secret\ndata: {}\n"},
		"no Secret":           {text: "kind: SealedSecret\nspec: {encryptedData: {a: AgB}}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			file := manifest.File{Path: "shop/a.yaml", Data: []byte(test.text), Secret: test.secret}
			if test.file != "" {
				file.Path = test.file
			}
			problems := unsealed(manifest.Bundle{Files: []manifest.File{file}})
			if refused := len(problems) == 1 && problems[0].Rule == rulePlaintext; refused != test.refused {
				t.Errorf("got %v", problems)
			}
			if strings.Contains(problems.Error(), "YQ==") {
				t.Errorf("a value is printed: %v", problems)
			}
		})
	}
}

// TestNoMode: whatever --secrets says, plain text is not committed.
func TestNoMode(t *testing.T) {
	isolate(t)
	r := render(t, shop, "", nil)
	for i, file := range r.bundle.Files {
		if strings.Contains(file.Path, "secret-") {
			r.bundle.Files[i].Data = []byte("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {password: example}\n")
		}
	}
	dir := newRepository(t)
	for _, o := range []Options{{}, {Branch: "review"}, {PerInstance: true, AllowShrink: true}} {
		_, err := try(t, dir, r, o)
		wantRule(t, err, rulePlaintext, "a Secret in plain text would be committed")
	}
	if refs := run(t, dir, "for-each-ref"); refs != "" {
		t.Errorf("references: %s", refs)
	}
}

// TestModes: what every mode of secrets but plain makes may be published.
func TestModes(t *testing.T) {
	for _, mode := range []secrets.Mode{secrets.SOPS, secrets.Omit} {
		r := renderMode(t, shop, "", mode, nil)
		if problems := unsealed(r.bundle); len(problems) > 0 {
			t.Errorf("%s: %v", mode, problems)
		}
	}
	if problems := unsealed(renderMode(t, shop, "", secrets.Plain, nil).bundle); len(problems) == 0 {
		t.Error("plain passes")
	}
}
