//go:build linux

package attack

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMutations changes what the examples say, in ways that a generator with a bug or a
// tenant with a plan would, and looks at what is rendered and at what is said.
func TestMutations(t *testing.T) {
	all := exampleDocuments(t)
	cert, err := filepath.Abs("../cmd/holdfast/testdata/controller.pem")
	if err != nil {
		t.Fatal(err)
	}
	attack(t, 40, func(p *part, _ int, dir string) {
		d := pick(p.random, all...)
		known := d.credentials
		m := &mutator{random: p.random, secrets: secretsOf(known)}
		for range pick(p.random, 1, 1, 1, 2, 3) {
			m.document(&d, all)
		}
		mode := pick(p.random, "sops", "sops", "sops", "plain", "plain", "omit", "sealed", "")
		args := []string{"render"}
		args = append(args, p.put(filepath.Join(dir, "in"), d)...)
		if mode != "" {
			args = append(args, "--secrets", mode)
		}
		if mode == "sealed" {
			args = append(args, "--sealed-cert", cert)
		}
		out := filepath.Join(dir, "out")
		stream := (mode == "" || mode == "omit") && p.random.IntN(6) == 0
		if !stream {
			args = append(args, "-o", out)
		}
		p.note = m.story(d)
		r := p.run(dir, "", args...)
		files := filesBelow(out)
		secrets := m.real(d, known, all)
		p.quiet(r, secrets)
		if r.code == 1 || strings.Contains(r.stderr, "HF102") {
			p.finding("the input made it fail, not refuse\n%s", r)
		}
		if r.code != 0 {
			if len(files) > 0 {
				p.finding("it refused, and left %d files\n%s", len(files), r)
			}
			return
		}
		if stream {
			files = map[string]string{"stream.yaml": r.stdout}
		}
		p.sound(r, files)
		for name, text := range files {
			if mode == "plain" && strings.HasPrefix(filepath.Base(name), "secret-") {
				continue
			}
			if leak := leaks(text, secrets); leak != "" {
				p.finding("%s shows %s\n%s", name, leak, r)
			}
		}
		if left := filesBelow(filepath.Join(dir, "tmp")); len(left) > 0 {
			p.finding("it left temporary files: %q\n%s", slices.Sorted(maps.Keys(left)), r)
		}
	})
}

// hostile are values that mean something to somebody: a shell, a decoder, a terminal,
// a cluster.
func hostile() []any {
	texts := []any{"", " ", "a\nb", "a\r\nb", "\x00", "\x1b[2J\x1b]0;x\x07", "a\u2028b", "\u00a0", "\ufeff", "\u202egnp.exe", "\ufffd",
		`"`, `'`, `\`, "`id`", "$(id)", "${HOME}", "$HOME", "{{ .Values.x }}", "; id", "| id", "&& id", "-rf", "--upload-pack=id", "*", "?", "~",
		"../..", "../../etc/passwd", "/etc/passwd", "a/b", ".", "..", ".git", "CON", "a b", "a\tb",
		"sh\u043ep", "ＳＨＯＰ", "shop\u200b", "İ", "ß", "Shop", "SHOP", "-shop", "shop-", "shop.", "a--b", "restore-shop", "tenant-b",
		"kube-system", "kube-public", "flux-system", "k8up-system", "default", "holdfast", "shop-restic", "sops-age",
		"null", "true", "yes", "0x10", "1e3", "012", "1_000", "=", "<<", "!!binary aGk=", "&a", "*a", "- a", "# a", "a: b", "---", "...", "| ", "> ",
		"::error file=x::forged", "%s%n", "%2e%2e%2f", "http://127.0.0.1:9/", "file:///etc/passwd", "https://u:p@h.example.com/", "::1", "0.0.0.0", "169.254.169.254",
		"0.0.0.0/0", "10.42.0.0/33", "2026-02-30T25:61:61Z", "0001-01-01T00:00:00Z", "99999-01-01", "* * * * *", "61 25 * * *", "-1h", "24:00", "Mars/Olympus",
		strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("a", 254), strings.Repeat("x", 70_000), strings.Repeat("a.", 130), strings.Repeat("../", 50),
		"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "ENC[AES256_GCM,data:aaaa,iv:aaaa,tag:aaaa,type:str]", "age1" + strings.Repeat("q", 58)}
	for _, number := range []string{"0", "-0", "-1", "1", "65536", "2147483648", "-9223372036854775809", "9223372036854775808", "1e400", "1e-400", "0.1", "1.0", "1E2", "123456789012345678901234567890"} {
		texts = append(texts, json.Number(number))
	}
	return append(texts, nil, true, false, []any{}, map[string]any{}, []any{nil}, []any{[]any{}}, map[string]any{"": ""}, map[string]any{"__proto__": "x"})
}

// mutator changes documents, and remembers how.
type mutator struct {
	random  *rand.Rand
	secrets []string
	done    []string
}

// spot is a value within a document, and what puts another there.
type spot struct {
	path   string
	value  any
	set    func(any)
	remove func()
	parent map[string]any // nil in an array
	key    string
}

// spots lists the values of a document, in an order that is always the same.
func spots(root *any) []spot {
	var all []spot
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch v := value.(type) {
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(v)) {
				all = append(all, spot{path + "/" + key, v[key], func(to any) { v[key] = to }, func() { delete(v, key) }, v, key})
				walk(path+"/"+key, v[key])
			}
		case []any:
			for i, e := range v {
				all = append(all, spot{fmt.Sprintf("%s/%d", path, i), e, func(to any) { v[i] = to }, func() { v[i] = nil }, nil, ""})
				walk(fmt.Sprintf("%s/%d", path, i), e)
			}
		}
	}
	walk("", *root)
	return all
}

func decode(text string) any {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	_ = decoder.Decode(&value)
	return value
}

func copyOf(value any) any {
	data, _ := json.Marshal(value)
	return decode(string(data))
}

// document changes one of the three.
func (m *mutator) document(d *documents, all []documents) {
	name, text := "state", &d.state
	switch n := m.random.IntN(10); {
	case n >= 8:
		name, text = "policy", &d.policy
		if d.policy == "" {
			d.policy = pick(m.random, `{"schemaVersion": 1, "flux": {"path": "clusters/prod"}}`,
				all[slices.IndexFunc(all, func(o documents) bool { return o.name == "policy" })].policy)
		}
	case n >= 6:
		name, text = "credentials", &d.credentials
	}
	root := decode(*text)
	if _, ok := root.(map[string]any); !ok {
		return // an earlier mutation left nothing to change
	}
	list := spots(&root)
	if len(list) == 0 {
		return
	}
	// Half of the time a leaf: there are more ways to be wrong.
	at := pick(m.random, list...)
	if m.random.IntN(2) == 0 {
		leaves := slices.DeleteFunc(slices.Clone(list), func(s spot) bool {
			switch s.value.(type) {
			case map[string]any, []any:
				return true
			}
			return false
		})
		if len(leaves) > 0 {
			at = pick(m.random, leaves...)
		}
	}
	how := m.change(at, list, d, all)
	data, err := json.Marshal(root)
	if err != nil {
		return // a number that JSON has no form for
	}
	*text = string(data)
	if m.random.IntN(25) == 0 && at.key != "" {
		quoted, _ := json.Marshal(at.key)
		*text = strings.Replace(*text, string(quoted)+":", string(quoted)+`:"twice",`+string(quoted)+":", 1)
		how += ", and its key twice"
	}
	m.done = append(m.done, name+" "+at.path+": "+how)
}

// change changes one value.
func (m *mutator) change(at spot, list []spot, d *documents, all []documents) string {
	text, isText := at.value.(string)
	switch n := m.random.IntN(18); {
	case n > 12:
		return gentle(m.random, at, text, isText)
	case n <= 2:
		value := pick(m.random, hostile()...)
		for tries := 0; fmt.Sprintf("%T", value) != fmt.Sprintf("%T", at.value) && tries < m.random.IntN(50); tries++ {
			value = pick(m.random, hostile()...)
		}
		at.set(value)
		return "hostile"
	case n == 4 && isText:
		part, ok := pick(m.random, hostile()...).(string)
		if !ok {
			part = "\n"
		}
		at.set(pick(m.random, text+part, part+text, text[:len(text)/2]+part+text[len(text)/2:]))
		return "hostile part"
	case n == 5:
		other := pick(m.random, list...)
		a, b := copyOf(at.value), copyOf(other.value)
		if strings.HasPrefix(other.path, at.path) || strings.HasPrefix(at.path, other.path) {
			at.set(b)
			return "copy of " + other.path
		}
		at.set(b)
		other.set(a)
		return "swapped with " + other.path
	case n == 6:
		at.remove()
		return "deleted"
	case n == 7 && at.parent != nil:
		key := pick(m.random, strings.ToUpper(at.key), strings.ToUpper(at.key[:min(1, len(at.key))])+at.key[min(1, len(at.key)):], at.key+"s", " "+at.key, "x-"+at.key)
		at.parent[key] = at.value
		if m.random.IntN(2) == 0 {
			delete(at.parent, at.key)
		}
		return fmt.Sprintf("key %q", key)
	case n == 8:
		if v, ok := at.value.([]any); ok && len(v) > 0 {
			at.set(append(v, copyOf(pick(m.random, v...))))
			return "an element twice"
		}
		at.set([]any{at.value})
		return "in an array"
	case n == 9 && len(m.secrets) > 0 && isText:
		value := pick(m.random, m.secrets...)
		at.set(pick(m.random, value, "x "+value+" y", text+value, "'"+value, base64.StdEncoding.EncodeToString([]byte(value))))
		return "a secret"
	case n == 10:
		other := pick(m.random, all...)
		root := decode(pick(m.random, other.state, other.state, other.credentials))
		from := pick(m.random, spots(&root)...)
		at.set(from.value)
		return "as " + from.path + " of " + other.name
	case n == 11:
		root := decode(d.state)
		if found := spots(&root); len(found) > 0 {
			at.set(pick(m.random, found...).value)
		}
		return "a value of the state"
	}
	at.set(pick[any](m.random, d.id, "other", "flux-system", "kube-system", json.Number("0"), json.Number("-1"), nil))
	return "a name or a number"
}

// gentle makes a change that may well be right.
func gentle(random *rand.Rand, at spot, text string, isText bool) string {
	switch v := at.value.(type) {
	case json.Number:
		n, _ := v.Int64()
		at.set(pick(random, n+1, n-1, n*2, n*1000, 0))
		return "another number"
	case bool:
		at.set(!v)
		return "the other way"
	case []any:
		at.set(v[:len(v)/2])
		return "half of it"
	}
	if isText && text != "" {
		at.set(pick(random, text+"2", text+"-b", text[:len(text)-1], strings.ToUpper(text), text+"."+text, "tenant-b", "$"+text, text+"\"", text+" x", "a-"+text, text+"é"))
		return "another text"
	}
	if at.parent != nil {
		at.remove()
		return "deleted"
	}
	at.set(nil)
	return "null"
}

// real returns the secrets that nobody may see: values of the credentials that are
// still in secret fields. One that is an ordinary word elsewhere is none.
func (m *mutator) real(d documents, known string, all []documents) []string {
	original := secretsOf(known)
	return slices.DeleteFunc(secretsOf(d.credentials), func(value string) bool {
		if slices.Contains(original, value) {
			return false
		}
		for _, o := range all {
			if strings.Contains(o.state+o.policy+o.credentials, value) {
				return true
			}
		}
		return slices.ContainsFunc(hostile(), func(h any) bool { return h == value })
	})
}

// story says what was changed, with the documents.
func (m *mutator) story(d documents) string {
	return fmt.Sprintf("example %s with\n%s\nstate: %s\ncredentials: %s\npolicy: %s", d.name, strings.Join(m.done, "\n"), d.state, d.credentials, d.policy)
}
