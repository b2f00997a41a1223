//go:build linux

package attack

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf16"
)

// TestSwappedDocuments gives credentials, whole or damaged, wherever a path is taken:
// no value of them is shown, whatever the program makes of it.
func TestSwappedDocuments(t *testing.T) {
	all := exampleDocuments(t)
	// Each role once by each way of damaging, if there is time; the rest at random.
	attack(t, 2*len(roles()), func(p *part, n int, dir string) {
		d := pick(p.random, all...)
		how := pick(p.random, damages()...)
		if n < len(roles()) {
			how = damages()[0]
		}
		text := how.do(p, d.credentials)
		given := filepath.Join(dir, "given.json")
		defer p.place(given, text)()
		role := roles()[n%len(roles())]
		p.note = fmt.Sprintf("example %s, credentials %s, given as %s", d.name, how.name, role.name)
		options := p.put(filepath.Join(dir, "in"), d)
		args, stdin := role.args(p, given, text, options, dir)
		before := filesBelow(filepath.Join(dir, "out"))
		r := p.run(dir, stdin, args...)
		secrets := secretsOf(d.credentials)
		// A value that was given as an option's own is known to whoever gave it.
		secrets = slices.DeleteFunc(secrets, func(s string) bool { return slices.Contains(args, s) })
		p.quiet(r, secrets)
		for _, folder := range []string{"out", "tmp"} {
			for name, text := range filesBelow(filepath.Join(dir, folder)) {
				if leak := leaks(text, secrets); leak != "" && before[name] != text {
					p.finding("%s/%s shows %s\n%s", folder, name, leak, r)
				}
			}
		}
	})
}

// place writes a document, here and there as something else than a file.
// What it returns ends that.
func (p *part) place(name, text string) func() {
	p.t.Helper()
	switch p.random.IntN(12) {
	case 0:
		return p.pipe(name, text)
	case 1:
		p.write(name+".real", text)
		if err := os.Symlink(name+".real", name); err != nil {
			p.t.Fatal(err)
		}
	case 2: // a folder with it, under the names that are looked for
		for _, inner := range []string{"runtime-state.json", "backup-credentials.json", "policy.json", "kustomization.yaml", "kind.json", ".sops.yaml"} {
			p.write(filepath.Join(name, inner), text)
		}
	default:
		p.write(name, text)
	}
	return func() {}
}

// pipe makes a named pipe that gives the text to whoever reads it, as <(…) of a shell.
func (p *part) pipe(name, text string) func() {
	p.t.Helper()
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		p.t.Fatal(err)
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			pipe, err := os.OpenFile(name, os.O_WRONLY, 0) // waits for a reader
			if err == nil {
				select {
				case <-end:
				default:
					_, _ = pipe.WriteString(text)
				}
				_ = pipe.Close()
			}
			select {
			case <-end:
				return
			case <-time.After(200 * time.Millisecond): // so that the reader sees the end
			}
		}
	}()
	return func() {
		close(end)
		for {
			reader, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
			if err != nil {
				return // the program has replaced it; then nobody waits
			}
			select {
			case <-ended:
				_ = reader.Close()
				return
			case <-time.After(10 * time.Millisecond):
				_ = reader.Close()
			}
		}
	}
}

// damage is a way to spoil a document.
type damage struct {
	name string
	do   func(p *part, text string) string
}

func damages() []damage {
	return []damage{
		{"whole", func(_ *part, text string) string { return text }},
		{"on one line", func(_ *part, text string) string { return compact(text) }},
		{"cut off", func(p *part, text string) string { return text[:p.random.IntN(len(text))] }},
		{"without its beginning", func(p *part, text string) string { return text[p.random.IntN(len(text)):] }},
		{"without one byte", func(p *part, text string) string { at := p.random.IntN(len(text)); return text[:at] + text[at+1:] }},
		{"with another byte", func(p *part, text string) string {
			at := p.random.IntN(len(text))
			return text[:at] + string([]byte{byte(p.random.IntN(256))}) + text[at+1:]
		}},
		{"with one line twice", func(p *part, text string) string {
			lines := strings.Split(text, "\n")
			at := p.random.IntN(len(lines))
			return strings.Join(slices.Insert(lines, at, lines[at]), "\n")
		}},
		{"twice", func(_ *part, text string) string { return text + text }},
		{"in an array", func(_ *part, text string) string { return "[" + text + "]" }},
		{"as a string", func(_ *part, text string) string { data, _ := json.Marshal(text); return string(data) }},
		{"as a key", func(_ *part, text string) string {
			data, _ := json.Marshal(map[string]string{text: "x"})
			return string(data)
		}},
		{"as YAML", func(_ *part, text string) string {
			return strings.NewReplacer("{", "", "}", "", ",\n", "\n", `"`, "").Replace(text)
		}},
		{"as variables", func(_ *part, text string) string {
			return "export CREDENTIALS='" + compact(text) + "'\n" + strings.NewReplacer(`": "`, "=", `",`, "", `"`, "", " ", "").Replace(text)
		}},
		{"in single quotes", func(_ *part, text string) string { return strings.ReplaceAll(text, `"`, "'") }},
		{"with a comment", func(_ *part, text string) string { return "// x\n" + text }},
		{"with a byte order mark", func(_ *part, text string) string { return "\ufeff" + text }},
		{"in UTF-16", func(_ *part, text string) string {
			var out []byte
			for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
				out = append(out, byte(unit), byte(unit>>8))
			}
			return string(out)
		}},
		{"with zero bytes", func(_ *part, text string) string { return "\x00\x01\x02" + text + "\x00" }},
		{"with line ends of Windows", func(_ *part, text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }},
		{"huge", func(_ *part, text string) string { return text + strings.Repeat(" ", 11<<20) }},
		{"deep", func(_ *part, text string) string {
			return strings.Repeat(`{"a":`, 20_000) + text + strings.Repeat("}", 20_000)
		}},
		{"with values as keys", swapKeys},
		{"with secrets as objects", func(_ *part, text string) string {
			for _, s := range secretsOf(text) {
				text = strings.ReplaceAll(text, `"`+s+`"`, `{"value": "`+s+`"}`)
			}
			return text
		}},
		{"with a secret in a place that is shown", func(p *part, text string) string {
			return strings.Replace(text, `"instanceId": "`, `"instanceId": "`+pick(p.random, secretsOf(text)...), 1)
		}},
		{"with a secret for a number", func(p *part, text string) string {
			return strings.Replace(text, `"schemaVersion": 1`, `"schemaVersion": "`+pick(p.random, secretsOf(text)...)+`"`, 1)
		}},
		{"with fields misspelt", func(_ *part, text string) string {
			return strings.NewReplacer(`"password"`, `"passwd"`, `"secretAccessKey"`, `"secretKey"`, `"renderKey"`, `"RenderKey"`).Replace(text)
		}},
		{"with a quote too few", func(p *part, text string) string {
			parts := strings.Split(text, `"`)
			at := 1 + p.random.IntN(len(parts)-1)
			return strings.Join(parts[:at], `"`) + strings.Join(parts[at:], `"`)
		}},
	}
}

func compact(text string) string {
	data, _ := json.Marshal(decode(text))
	return string(data)
}

// swapKeys writes each secret where its field's name was.
func swapKeys(_ *part, text string) string {
	for field := range isSecretField {
		for _, s := range secretsOf(text) {
			text = strings.ReplaceAll(text, `"`+field+`": "`+s+`"`, `"`+s+`": "`+field+`"`)
		}
	}
	return text
}

// role is a place where a document can be given.
type role struct {
	name string
	// args makes the arguments, and stdin, of the file given and of what is in it;
	// options are those of a right run.
	args func(p *part, given, text string, options []string, dir string) ([]string, string)
}

func roles() []role {
	inputs := []string{"render", "check", "plan", "diff", "explain", "publish"}
	// command makes the rest of a command line that some command takes.
	command := func(p *part, dir string, options ...string) []string {
		name := pick(p.random, inputs...)
		args := append([]string{name}, options...)
		switch name {
		case "render":
			if p.random.IntN(2) == 0 {
				args = append(args, "-o", filepath.Join(dir, "out"))
			}
		case "check":
			args = append(args, "--output", pick(p.random, "text", "json", "github", "junit"))
		case "diff":
			args = append(args, "--against", dir)
		case "publish":
			args = append(args, "--repo", dir)
		case "explain":
			args = append(args, pick(p.random, "postgresql/shop", "/instanceId", "/databases"))
		}
		return args
	}
	at := func(name string, build func(p *part, given string, o []string, dir string) []string) role {
		return role{name, func(p *part, given, _ string, options []string, dir string) ([]string, string) {
			return build(p, given, options, dir), ""
		}}
	}
	list := []role{
		at("state", func(p *part, given string, o []string, dir string) []string {
			return command(p, dir, "-s", given, "-c", o[3])
		}),
		at("credentials", func(p *part, given string, o []string, dir string) []string {
			return command(p, dir, "-s", o[1], "-c", given)
		}),
		at("state and credentials", func(p *part, given string, _ []string, dir string) []string {
			return command(p, dir, "-s", given, "-c", given)
		}),
		at("policy", func(p *part, given string, o []string, dir string) []string {
			return command(p, dir, append(o[:4:4], "-p", given)...)
		}),
		at("policy alone", func(p *part, given string, o []string, dir string) []string {
			return command(p, dir, "-s", o[1], "-p", given)
		}),
		at("second credentials", func(p *part, given string, o []string, dir string) []string {
			return command(p, dir, append(o, "-c", given)...)
		}),
		at("kinds", func(p *part, given string, o []string, dir string) []string {
			return command(p, dir, append(o[:4:4], "--kinds", given)...)
		}),
		at("sops-config", func(_ *part, given string, o []string, dir string) []string {
			return append([]string{"render", "--sops-config", given, "-o", filepath.Join(dir, "out")}, o...)
		}),
		at("sealed-cert", func(_ *part, given string, o []string, dir string) []string {
			return append([]string{"render", "--secrets", "sealed", "--sealed-cert", given, "-o", filepath.Join(dir, "out")}, o...)
		}),
		at("overlay", func(p *part, given string, o []string, dir string) []string {
			return command(p, dir, append(o, "--overlay", given)...)
		}),
		at("tree", func(p *part, given string, o []string, _ string) []string {
			return append([]string{pick(p.random, "check", "diff"), "--against", given, "--secrets", "omit"}, o...)
		}),
		at("out", func(_ *part, given string, o []string, _ string) []string {
			return append([]string{"render", "-o", given, "--secrets", "omit"}, o...)
		}),
		at("repository", func(_ *part, given string, o []string, _ string) []string {
			return append([]string{"publish", "--repo", given}, o...)
		}),
		at("inventory", func(p *part, given string, o []string, dir string) []string {
			p.write(filepath.Join(dir, "out", pick(p.random, "shop", "tbcd30494", "od119ee"), ".holdfast-inventory"), short(p.read(first(given)), 1<<20))
			return append([]string{"render", "-o", filepath.Join(dir, "out"), "--secrets", "omit"}, o...)
		}),
		at("an argument", func(p *part, given string, _ []string, _ string) []string {
			return []string{pick(p.random, "render", "explain", "schema", "kinds", "redact"), given}
		}),
		at("redact", func(_ *part, given string, _ []string, _ string) []string { return []string{"redact", "-c", given} }),
		{"stdin", func(p *part, _, text string, o []string, dir string) ([]string, string) {
			if p.random.IntN(2) == 0 {
				return command(p, dir, "-s", o[1], "-c", "-"), text
			}
			return command(p, dir, "-s", "-", "-c", o[3]), text
		}},
		{"krm", func(_ *part, _, text string, _ []string, _ string) ([]string, string) { return []string{"krm"}, text }},
		{"krm's function", func(p *part, _, text string, _ []string, dir string) ([]string, string) {
			state := decode(p.read(filepath.Join(dir, "in", "runtime-state.json")))
			var credentials any = text
			if json.Valid([]byte(text)) {
				credentials = decode(text)
			}
			data, _ := json.Marshal(map[string]any{"apiVersion": "config.kubernetes.io/v1", "kind": "ResourceList", "items": []any{},
				"functionConfig": map[string]any{"apiVersion": "holdfast.dev/v1", "kind": "Render", "metadata": map[string]any{"name": "x"},
					"spec": map[string]any{"states": []any{state}, "credentials": []any{credentials}, "secrets": "omit"}}})
			return []string{"krm"}, string(data)
		}},
		{"a path", func(p *part, _, text string, o []string, dir string) ([]string, string) {
			// Somebody writes "$(cat file)" for the file: as a document it is one, as a path
			// it names none. What it holds was given by hand, and is masked still.
			return command(p, dir, "-s", o[1], "-c", short(strings.ReplaceAll(text, "\x00", ""), 100_000)), ""
		}},
	}
	for _, name := range []string{"a loop", "a folder", "nothing", "/dev/null", "/proc/self/mem"} {
		list = append(list, at(name, func(p *part, _ string, o []string, dir string) []string {
			odd := filepath.Join(dir, "odd")
			switch name {
			case "a loop":
				if err := os.Symlink("odd", odd); err != nil {
					p.t.Fatal(err)
				}
			case "a folder":
				if err := os.Mkdir(odd, 0o755); err != nil {
					p.t.Fatal(err)
				}
			case "/dev/null", "/proc/self/mem":
				odd = name
			}
			return command(p, dir, pick(p.random, append(o[2:4:4], "-s", odd), append(o[0:2:2], "-c", odd), append(o[:4:4], "-p", odd), append(o[:4:4], "--kinds", odd), append(o[:4:4], "--overlay", odd))...)
		}))
	}
	return list
}

// first is a file, or one in the folder of that name.
func first(name string) string {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return filepath.Join(name, "policy.json")
	}
	return name
}
