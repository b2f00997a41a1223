package input

import (
	"slices"
	"strings"
	"testing"
)

// TestNaturalNames: whoever guesses a section's name is told the right one.
// Nothing of a state is lost under another name.
func TestNaturalNames(t *testing.T) {
	t.Parallel()
	v, l := validator(t), layouts(t)[1]
	for name, want := range map[string]string{
		"buckets": "objectStores", "stores": "objectStores", "s3": "objectStores", "object_stores": "objectStores",
		"openldap": "ldap", "directory": "ldap",
		"vault": "secretsManager", "openbao": "secretsManager", "secrets": "secretsManager", "secrets-manager": "secretsManager",
		"pvcs": "volumes", "claims": "volumes", "persistentVolumeClaims": "volumes", "persistentVolumes": "volumes",
		"dbs": "databases", "k8s": "kubernetes", "Networking": "network",
	} {
		state := strings.Replace(l.state, "  \""+want+"\": ", "  \""+name+"\": ", 1)
		instances, problems := run(t, v, state, l.credentials, "")
		if len(problems) != 1 || problems[0].Rule != "HF004" || problems[0].Hint != didYouMean(want) || len(instances) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
	}
	for name, want := range map[string]string{"postgresql": "postgresql", "mysql": "mariadb", "cassandra": "cassandra"} {
		state := strings.Replace(l.state, "{", "{\""+name+"\": [],", 1)
		_, problems := run(t, v, state, l.credentials, "")
		if len(problems) != 1 || problems[0].Rule != "HF004" || problems[0].Hint != `its place is "databases": {"`+want+`": […]}` {
			t.Errorf("%s: %v", name, problems)
		}
	}
	for _, change := range [][3]string{
		{`"adminDn"`, `"bindDN"`, "adminDn"}, {`"passwordRef": {
      "kind": "Secret",
      "name": "ums`, `"password": {
      "kind": "Secret",
      "name": "ums`, "passwordRef"},
		{`"claim": "postfix"`, `"pvc": "postfix"`, "claim"}, {`"apiServer"`, `"api"`, "apiServer"},
	} {
		state := strings.Replace(l.state, change[0], change[1], 1)
		_, problems := run(t, v, state, l.credentials, "")
		if len(problems) != 1 || problems[0].Rule != "HF004" || problems[0].Hint != didYouMean(change[2]) {
			t.Errorf("%s: %v", change[1], problems)
		}
	}
	// A word that is none: the right ones are listed.
	_, problems := run(t, v, strings.Replace(l.state, `"backup": "required"`, `"backup": true`, 1), l.credentials, "")
	if len(problems) != 1 || problems[0].Hint != `write one of "required", "optional", "skip"` {
		t.Errorf("backup true: %v", problems)
	}
}

func TestForeign(t *testing.T) {
	t.Parallel()
	v, l := validator(t), layouts(t)[1]
	for _, test := range []struct {
		name, state, policy string
		want                []string
	}{
		{name: "unlisted", state: `"helmfile": {}`, want: []string{`HF004 /helmfile: unknown key "helmfile"`}},
		{name: "in the state", state: `"helmfile": {}, "foreign": ["helmfile"]`},
		{name: "in the policy", state: `"helmfile": {}`, policy: `"foreign": ["helmfile", "terraform"]`},
		{name: "near a section", state: `"volume": {}, "foreign": ["volume"]`},
		{name: "absent in the state", state: `"foreign": ["helmfile"]`, want: []string{`HF032 /foreign/0: the document has no key "helmfile"`}},
		{name: "our own", state: `"foreign": ["ldap"]`, want: []string{`HF032 /foreign/0: "ldap" is a key that Holdfast reads`}},
		{name: "our own in the policy", state: `"generatedBy": "x"`, policy: `"foreign": ["databases"]`,
			want: []string{`HF032 /foreign/0: "databases" is a key that Holdfast reads`}},
		{name: "twice", state: `"helmfile": {}, "foreign": ["helmfile", "helmfile"]`, want: []string{"HF008 /foreign: two entries are the same"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			state := strings.Replace(l.state, "\"generatedBy\": \"infra\",", "", 1)
			state = strings.Replace(state, "{", "{"+test.state+",", 1)
			policy := ""
			if test.policy != "" {
				policy = `{"schemaVersion": 1, ` + test.policy + `}`
			}
			_, problems := run(t, v, state, l.credentials, policy)
			if got := brief(problems); !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// TestOtherForms: what is no JSON, or encrypted, is called so, and nothing else
// is said of it.
func TestOtherForms(t *testing.T) {
	t.Parallel()
	v, l := validator(t), layouts(t)[1]
	for name, test := range map[string]struct{ state, credentials, want string }{
		"yaml":           {"# a state\nschemaVersion: 1\ninstanceId: a\n", l.credentials, "HF001 : this looks like YAML; Holdfast reads JSON"},
		"yaml document":  {"---\nschemaVersion: 1\n", l.credentials, "HF001 : this looks like YAML; Holdfast reads JSON"},
		"yaml list":      {"- a\n", l.credentials, "HF001 : this looks like YAML; Holdfast reads JSON"},
		"encrypted yaml": {l.state, "schemaVersion: ENC[AES256_GCM,data:eA==]\nsops:\n    mac: x\n", "HF001 : this looks like YAML; Holdfast reads JSON, and it is encrypted by sops"},
		"encrypted": {l.state, `{"schemaVersion": "ENC[AES256_GCM,data:eA==]", "instanceId": "ENC[AES256_GCM,data:eA==]", "restic": {"password": "ENC[x]"}, "sops": {"mac": "ENC[x]", "version": "3.10.2"}}`,
			"HF033 : the document is encrypted by sops"},
		"text":    {"hello", l.credentials, "HF001 : expected a value, found other text"},
		"comment": {"# no\n{}", l.credentials, "HF001 : expected a value, found other text"},
	} {
		_, problems := run(t, v, test.state, test.credentials, "")
		if got := brief(problems); !slices.Equal(got, []string{test.want}) {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}
