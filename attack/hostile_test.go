//go:build linux

package attack

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// canary is what stands in a file that no run may read.
const canary = "CANARY-7f3a91-NOBODY-READS-THIS"

// trap is what a hostile folder tries to reach: a file outside, a command, a server.
type trap struct {
	p    *part
	dir  string // of the try; the hostile folder is in it
	port int
}

func (x trap) outside() string { return filepath.Join(x.dir, "outside") }
func (x trap) secret() string  { return filepath.Join(x.dir, "outside", "secret.yaml") }
func (x trap) ran() string     { return filepath.Join(x.dir, "ran") }
func (x trap) http() string    { return fmt.Sprintf("http://127.0.0.1:%d/x.yaml", x.port) }

// command is a reference for which kustomize starts git, and git the command.
func (x trap) command() string {
	return "file:///tmp?ref=--upload-pack%3Dsh+-c+%27touch+" + x.ran() + "%27+x"
}

// TestHostileFolders gives folders that somebody else wrote as overlays, kinds, trees
// and repositories. No command runs, nothing connects, no file outside is read or changed.
func TestHostileFolders(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var connections atomic.Int64
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_ = connection.Close()
		}
	}()
	minimal, custom := example(t, "minimal"), example(t, "custom-kind")
	table := slices.Concat(overlays(), kinds(), trees(), repositories())
	// The short form takes some of them, always the same.
	order, atLeast := rand.New(rand.NewPCG(seed, 0)).Perm(len(table)), 25
	if thorough {
		atLeast = len(table)
	}
	attack(t, atLeast, func(p *part, n int, dir string) {
		x := trap{p, dir, listener.Addr().(*net.TCPAddr).Port}
		h := hostileFolder{use: "overlay", name: "random", build: randomOverlay}
		if n < len(table) {
			h = table[order[n]]
		}
		p.write(x.secret(), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: canary, namespace: shop}\ndata: {key: "+canary+"}\n")
		p.write(filepath.Join(x.outside(), "kustomization.yaml"), "resources: [secret.yaml]\n")
		folder := filepath.Join(dir, "hostile")
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		documents := minimal
		if h.use == "kinds" {
			documents = custom
			if output, err := p.copyFolder(custom.kinds, folder); err != nil {
				t.Fatal(err, output)
			}
			documents.kinds = folder
		}
		args := p.put(filepath.Join(dir, "in"), documents)
		h.build(x, folder)
		p.note = fmt.Sprintf("%s: %s\n%s", h.use, h.name, overview(folder))
		outside, before := filesBelow(x.outside()), connections.Load()
		for _, command := range h.commands(x, folder, args) {
			r := p.run(dir, "", command...)
			secrets := append(secretsOf(documents.credentials), canary)
			if h.use == "tree" && strings.HasSuffix(h.name, "one other file") {
				secrets = secrets[:len(secrets)-1] // a hard link is as good a file as any
			}
			p.quiet(r, secrets)
			if h.use != "repository" && h.use != "tree" {
				for name, text := range filesBelow(filepath.Join(dir, "out")) {
					if leak := leaks(text, secrets); leak != "" {
						p.finding("%s shows %s\n%s", name, leak, r)
					}
				}
			}
			if _, err := os.Lstat(x.ran()); err == nil {
				p.finding("A COMMAND RAN\n%s", r)
				_ = os.Remove(x.ran())
			}
			if now := connections.Load(); now != before {
				p.finding("it made %d connections\n%s", now-before, r)
				before = now
			}
			if diff := difference(outside, filesBelow(x.outside())); diff != "" {
				p.finding("it wrote outside of its folder:\n%s\n%s", diff, r)
			}
			if left := filesBelow(filepath.Join(dir, "tmp")); len(left) > 0 {
				p.finding("it left temporary files: %q\n%s", slices.Sorted(maps.Keys(left)), r)
				_ = os.RemoveAll(filepath.Join(dir, "tmp"))
				_ = os.MkdirAll(filepath.Join(dir, "tmp"), 0o755)
			}
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if !slices.Contains([]string{"outside", "hostile", "in", "out", "tmp"}, entry.Name()) {
				p.finding("it made %q where nothing of it belongs", entry.Name())
			}
		}
	})
}

// hostileFolder is one folder, how it is made and what it is used as.
type hostileFolder struct {
	use, name string
	build     func(x trap, folder string)
}

// commands are the runs that take the folder.
func (h hostileFolder) commands(x trap, folder string, args []string) [][]string {
	out := filepath.Join(x.dir, "out")
	with := func(first ...string) []string { return slices.Concat(first, args) }
	switch h.use {
	case "overlay":
		return [][]string{with("render", "--overlay", folder, "-o", out), with("check", "--overlay", folder)}
	case "kinds":
		return [][]string{with("render", "-o", out), {"kinds", "--kinds", folder}}
	case "tree":
		return [][]string{with("check", "--against", folder), with("diff", "--against", folder), with("render", "-o", folder)}
	}
	return [][]string{with("publish", "--repo", folder, "--path", "clusters"), with("check", "--against", filepath.Join(folder, "clusters"))}
}

// overview lists a folder, with what is short enough to be shown.
func overview(folder string) string {
	var lines []string
	for name, text := range filesBelow(folder) {
		if !strings.HasPrefix(name, ".git/") {
			lines = append(lines, fmt.Sprintf("%q: %s", name, short(text, 400)))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (p *part) link(to, name string) {
	p.t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		p.t.Fatal(err)
	}
	_ = os.RemoveAll(name)
	if err := os.Symlink(to, name); err != nil {
		p.t.Fatal(err)
	}
}

func (p *part) fifo(name string) {
	p.t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		p.t.Fatal(err)
	}
	_ = os.RemoveAll(name)
	if err := syscall.Mkfifo(name, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// overlays are folders for --overlay.
func overlays() []hostileFolder {
	// text makes an overlay of one file, in which words stand for what the trap has.
	var list []hostileFolder
	add := func(name, kustomization string, more ...func(x trap, folder string)) {
		list = append(list, hostileFolder{"overlay", name, func(x trap, folder string) {
			x.p.write(filepath.Join(folder, "kustomization.yaml"), x.fill(kustomization))
			for _, one := range more {
				one(x, folder)
			}
		}})
	}
	file := func(name, text string) func(x trap, folder string) {
		return func(x trap, folder string) { x.p.write(filepath.Join(folder, name), x.fill(text)) }
	}
	link := func(to, name string) func(x trap, folder string) {
		return func(x trap, folder string) { x.p.link(x.fill(to), filepath.Join(folder, name)) }
	}
	for _, key := range []string{"resources", "Resources", "RESOURCES", "reſources", "bases", "Bases", "components", "Components", "crds", "CRDS"} {
		add(key+" by git", "resources: [holdfast]\n"+key+": [holdfast, \"COMMAND\"]\n")
		add(key+" by HTTP", "resources: [holdfast]\n"+key+": [holdfast, \"HTTP\"]\n")
		add(key+" outside", "resources: [holdfast]\n"+key+": [holdfast, ../outside]\n")
	}
	for _, key := range []string{"generators", "Generators", "transformers", "TRANSFORMERS", "validators", "Validators"} {
		add(key+" that run", "resources: [holdfast]\n"+key+": [f.yaml]\n", file("f.yaml",
			"apiVersion: x/v1\nkind: X\nmetadata: {name: x, annotations: {config.kubernetes.io/function: \"exec: {path: ./run.sh}\"}}\n"),
			file("run.sh", "#!/bin/sh\ntouch RAN\n"), func(_ trap, folder string) { _ = os.Chmod(filepath.Join(folder, "run.sh"), 0o755) })
		add(key+" inline", "resources: [holdfast]\n"+key+": [\"{apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: x}, name: x, files: [/SECRET]}\"]\n")
	}
	add("git in a base", "resources: [holdfast, base]\n", file("base/kustomization.yaml", "ReSources: [\"COMMAND\"]\n"))
	add("a repository that is there", "RESOURCES: [holdfast, \"file://OUTSIDE?ref=--upload-pack%3Dtouch%20RAN%3Bgit-upload-pack\"]\n")
	add("ssh", "resources: [holdfast, \"ssh://-oProxyCommand=touch%20RAN/x\"]\n")
	add("ext", "resources: [holdfast, \"git::ext::sh -c touch% RAN\"]\n")
	add("helm", "resources: [holdfast]\nhelmCharts: [{name: x, repo: \"HTTP\"}]\nhelmGlobals: {chartHome: OUTSIDE}\n")
	add("openapi", "resources: [holdfast]\nopenapi: {path: ../outside/secret.yaml}\n")
	add("configurations", "resources: [holdfast]\nconfigurations: [\"HTTP\", ../outside/secret.yaml]\n")
	add("a patch above", "resources: [holdfast]\npatches: [{path: ../outside/secret.yaml}]\n")
	add("a Patch above", "resources: [holdfast]\npatches: [{Path: ../outside/secret.yaml}]\n")
	add("a file above", "resources: [holdfast]\nconfigMapGenerator: [{name: s, namespace: shop, files: [../outside/secret.yaml]}]\n")
	add("an absolute file", "resources: [holdfast]\nconfigMapGenerator: [{name: s, namespace: shop, files: [SECRET]}]\n")
	add("an env by HTTP", "resources: [holdfast]\nconfigMapGenerator: [{name: s, namespace: shop, envs: [\"HTTP\"]}]\n")
	add("replacements above", "resources: [holdfast]\nreplacements: [{path: ../outside/secret.yaml}]\n")
	// Links.
	generator := "resources: [holdfast]\nconfigMapGenerator: [{name: s, namespace: shop, files: [x]}]\n"
	add("a link to a file", generator, link("SECRET", "x"))
	add("a relative link", generator, link("../outside/secret.yaml", "x"))
	add("a link over a link", generator, link("y", "x"), link("z/secret.yaml", "y"), link("OUTSIDE", "z"))
	add("a linked resource", "resources: [holdfast, x.yaml]\n", link("SECRET", "x.yaml"))
	add("a linked base", "resources: [holdfast, base]\n", link("OUTSIDE", "base"))
	add("a linked folder", "resources: [holdfast, base/secret.yaml]\n", link("OUTSIDE", "base"))
	add("a link to itself", generator, link("x", "x"))
	add("the environment", generator, link("/proc/self/environ", "x"))
	add("a linked kustomization", "", link("OUTSIDE/kustomization.yaml", "kustomization.yaml"))
	// The run's own credentials, by a link or a copy.
	credentials := func(x trap, folder string) {
		data := x.p.read(filepath.Join(x.dir, "in", "backup-credentials.json"))
		x.p.write(filepath.Join(folder, "x"), compact(data))
	}
	add("credentials as a patch", "resources: [holdfast]\npatchesJson6902: [{path: x, target: {kind: Secret, name: shop-restic, version: v1}}]\n", credentials)
	add("credentials as patches", "resources: [holdfast]\npatches: [{path: x, target: {kind: Secret}}]\n", credentials)
	add("credentials as an env", "resources: [holdfast]\nconfigMapGenerator: [{name: s, namespace: shop, envs: [x]}]\n", credentials)
	add("credentials as a file", generator, credentials)
	add("credentials as a resource", "resources: [holdfast, x]\n", credentials)
	add("credentials as the kustomization", "", func(x trap, folder string) {
		x.p.write(filepath.Join(folder, "kustomization.yaml"), x.p.read(filepath.Join(x.dir, "in", "backup-credentials.json")))
	})
	// What is heavy, or no file.
	add("aliases", "resources: [holdfast, x.yaml]\n", file("x.yaml", bomb()))
	add("aliases in the kustomization", bomb()+"resources: [holdfast]\n")
	add("depth", "resources: [holdfast, x.yaml]\n", file("x.yaml", "a: "+strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000)+"\n"))
	add("depth in the kustomization", "resources: [holdfast]\nlabels: "+strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000)+"\n")
	add("a huge file", generator, func(x trap, folder string) {
		x.p.write(filepath.Join(folder, "x"), "")
		_ = os.Truncate(filepath.Join(folder, "x"), 1<<30)
	})
	add("a pipe", generator, func(x trap, folder string) { x.p.fifo(filepath.Join(folder, "x")) })
	add("a device", generator, link("/dev/zero", "x"))
	add("a kustomization that is a pipe", "", func(x trap, folder string) { x.p.fifo(filepath.Join(folder, "kustomization.yaml")) })
	add("itself", "resources: [holdfast, .]\n")
	add("a base that is its own", "resources: [holdfast, base]\n", file("base/kustomization.yaml", "resources: [../base]\n"))
	add("two kustomizations", "resources: [holdfast]\n", file("kustomization.yml", "resources: [\"COMMAND\"]\n"), file("Kustomization", "resources: [\"COMMAND\"]\n"))
	add("a line break in a name", "resources: [holdfast, \"x\\ny.yaml\"]\n", file("x\ny.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"x\\ny\", namespace: shop}\n"))
	add("a key twice", "resources: [holdfast]\nresources: [\"COMMAND\"]\n")
	add("two documents", "resources: [holdfast]\n---\nresources: [\"COMMAND\"]\n")
	add("a merge key", "x: &x {resources: [\"COMMAND\"]}\n<<: *x\n")
	return list
}

// fill puts what the trap has into a text.
func (x trap) fill(text string) string {
	return strings.NewReplacer("COMMAND", x.command(), "HTTP", x.http(), "OUTSIDE", x.outside(), "SECRET", x.secret(), "RAN", x.ran()).Replace(text)
}

// bomb is YAML that becomes huge when its aliases are followed.
func bomb() string {
	text := "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 10; i++ {
		text += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 8), i-1)
	}
	return text
}

// randomOverlay puts some field of kustomize together with something that it must not reach.
func randomOverlay(x trap, folder string) {
	random := x.p.random
	value := func() string {
		return x.fill(pick(random, `"COMMAND"`, `"HTTP"`, "OUTSIDE", "SECRET", "../outside", "../outside/secret.yaml", "./../outside", "x/../../outside/secret.yaml",
			"link", "link/secret.yaml", "file", "base", `"git::HTTP"`, `"http://127.0.0.1:9//x?ref=-x"`, `"git@127.0.0.1:x"`, `"file://OUTSIDE"`, "|-\n    {path: SECRET}", "~", `""`, ".", "/"))
	}
	field := func(name string) string {
		switch random.IntN(4) {
		case 0:
			return strings.ToUpper(name)
		case 1:
			at := random.IntN(len(name))
			return name[:at] + strings.ToUpper(name[at:at+1]) + name[at+1:]
		}
		return name
	}
	text := "resources: [holdfast]\n"
	for range 1 + random.IntN(3) {
		switch name := pick(random, "resources", "bases", "components", "crds", "generators", "transformers", "validators", "configurations", "patchesStrategicMerge",
			"patches", "patchesJson6902", "replacements", "configMapGenerator", "secretGenerator", "openapi", "helmCharts", "helmChartInflationGenerator", "vars", "images", "metadata"); name {
		case "patches", "patchesJson6902", "replacements":
			text += fmt.Sprintf("%s: [{%s: %s, %s: {%s: ConfigMap}}]\n", field(name), field("path"), value(), field("target"), field("kind"))
		case "configMapGenerator", "secretGenerator":
			text += fmt.Sprintf("%s: [{name: s, namespace: shop, %s: [%s]}]\n", field(name), field(pick(random, "files", "envs", "env", "literals")), value())
		case "openapi":
			text += fmt.Sprintf("%s: {%s: %s}\n", field(name), field("path"), value())
		case "helmCharts", "helmChartInflationGenerator":
			text += fmt.Sprintf("%s: [{name: x, %s: %s, %s: %s}]\n", field(name), field("repo"), value(), field("valuesFile"), value())
		default:
			text += fmt.Sprintf("%s: [%s, %s]\n", field(name), value(), value())
		}
	}
	if random.IntN(4) == 0 {
		x.p.write(filepath.Join(folder, "base", "kustomization.yaml"), text)
		text = "resources: [holdfast, base]\n"
	}
	x.p.write(filepath.Join(folder, "kustomization.yaml"), text)
	x.p.link(pick(random, x.outside(), "../outside", x.secret()), filepath.Join(folder, "link"))
	x.p.link(x.secret(), filepath.Join(folder, "file"))
}

func (p *part) copyFolder(from, to string) (string, error) {
	return "", os.CopyFS(to, os.DirFS(from))
}

// kinds are folders for --kinds: a right one that was spoiled.
func kinds() []hostileFolder {
	var list []hostileFolder
	add := func(name string, build func(x trap, kind string)) {
		list = append(list, hostileFolder{"kinds", name, func(x trap, folder string) {
			entries, err := os.ReadDir(folder)
			if err != nil || len(entries) == 0 {
				x.p.t.Fatal("the example has no kinds", err)
			}
			build(x, filepath.Join(folder, entries[0].Name()))
		}})
	}
	for _, name := range []string{"README.md", "dump.sh", "images.json", "kind.json", "kind.libsonnet", "preflight.sh", "restore.sh"} {
		add(name+" is a link", func(x trap, kind string) { x.p.link(x.secret(), filepath.Join(kind, name)) })
		add(name+" is a pipe", func(x trap, kind string) { x.p.fifo(filepath.Join(kind, name)) })
		add(name+" is a folder", func(x trap, kind string) {
			_ = os.Remove(filepath.Join(kind, name))
			x.p.write(filepath.Join(kind, name, "x"), "x")
		})
		add(name+" is endless", func(x trap, kind string) { x.p.link("/dev/zero", filepath.Join(kind, name)) })
		add(name+" is binary", func(x trap, kind string) { x.p.write(filepath.Join(kind, name), "\x00\xff\xfe\x1b[2J\n") })
	}
	// A kind is code: what never ends is its author's to mend, and not tried here.
	for _, code := range []string{"importstr 'SECRET'", "importstr '../../../outside/secret.yaml'", "import 'SECRET'", "importbin 'SECRET'", "importstr 'file://SECRET'", "importstr 'HTTP'",
		"std.extVar('HOME')", "std.native('exec')('touch RAN')", "error 'x\\u001b[2J'", "{ units: null }", "null"} {
		add("kind.libsonnet has "+short(code, 40), func(x trap, kind string) { x.p.write(filepath.Join(kind, "kind.libsonnet"), x.fill(code)+"\n") })
	}
	add("a link beside it", func(x trap, kind string) { x.p.link(x.outside(), filepath.Join(filepath.Dir(kind), "outside")) })
	add("a line break in a name", func(x trap, kind string) { x.p.write(filepath.Join(filepath.Dir(kind), "a\nb", "kind.json"), "{}") })
	add("a kind above", func(x trap, kind string) {
		text := x.p.read(filepath.Join(kind, "kind.json"))
		x.p.write(filepath.Join(kind, "kind.json"), strings.Replace(text, `"name": "`, `"name": "../`, 1))
	})
	add("a kind of another engine", func(x trap, kind string) {
		text := x.p.read(filepath.Join(kind, "kind.json"))
		x.p.write(filepath.Join(kind, "kind.json"), strings.Replace(text, `"engine": "`, `"engine": "$(touch RAN)`, 1))
	})
	return list
}

// trees are folders that a tree is compared with, and then written to.
func trees() []hostileFolder {
	var list []hostileFolder
	add := func(name string, build func(x trap, folder string)) {
		list = append(list, hostileFolder{"tree", name, build})
	}
	inventory := func(name, text string) {
		add("an inventory "+name, func(x trap, folder string) {
			x.p.write(filepath.Join(folder, "shop", ".holdfast-inventory"), x.fill(text))
			x.p.write(filepath.Join(folder, "shop", "plan.json"), "{}\n")
		})
	}
	inventory("that goes up", "../../outside/secret.yaml\n../outside/secret.yaml\nplan.json\n")
	inventory("with absolute paths", "SECRET\n/SECRET\n")
	inventory("with a line of zero bytes", "plan.json\x00../../outside/secret.yaml\n")
	inventory("that is huge", strings.Repeat("backup/x.yaml\n", 500_000))
	inventory("that names folders", ".\n..\nbackup\nbackup/\n./\n")
	inventory("that is empty", "")
	inventory("of checksums that go up", strings.Repeat("0", 64)+"  ../../outside/secret.yaml\n")
	for _, name := range []string{"shop", "shop/backup", "shop/backup/shop"} {
		add(name+" is a link", func(x trap, folder string) { x.p.link(x.outside(), filepath.Join(folder, name)) })
		add(name+" is a pipe", func(x trap, folder string) { x.p.fifo(filepath.Join(folder, name)) })
		add(name+" is a file", func(x trap, folder string) { x.p.write(filepath.Join(folder, name), "x") })
	}
	for _, name := range []string{"shop/plan.json", "shop/flux.yaml", "shop/.holdfast-inventory", "shop/backup/shop/platform.yaml"} {
		add(name+" is a link", func(x trap, folder string) { x.p.link(x.secret(), filepath.Join(folder, name)) })
		add(name+" is a link to nothing", func(x trap, folder string) {
			x.p.link(filepath.Join(x.outside(), "made"), filepath.Join(folder, name))
		})
		add(name+" is a pipe", func(x trap, folder string) { x.p.fifo(filepath.Join(folder, name)) })
		add(name+" is endless", func(x trap, folder string) { x.p.link("/dev/zero", filepath.Join(folder, name)) })
		add(name+" is a folder", func(x trap, folder string) { x.p.write(filepath.Join(folder, name, "x"), "x") })
		add(name+" is huge", func(x trap, folder string) {
			x.p.write(filepath.Join(folder, name), "")
			_ = os.Truncate(filepath.Join(folder, name), 1<<30)
		})
		add(name+" is one other file", func(x trap, folder string) {
			x.p.write(filepath.Join(folder, name), "")
			_ = os.Remove(filepath.Join(folder, name))
			if err := os.Link(x.secret(), filepath.Join(folder, name)); err != nil {
				x.p.t.Fatal(err)
			}
		})
		add(name+" is a bomb", func(x trap, folder string) { x.p.write(filepath.Join(folder, name), bomb()) })
	}
	add("a stage of ours that is a link", func(x trap, folder string) {
		x.p.link(x.outside(), filepath.Join(folder, ".shop.holdfast-1"))
		x.p.link(x.outside(), filepath.Join(folder, ".shop.holdfast-old-1"))
	})
	add("a stage of ours that was made up", func(x trap, folder string) {
		stage := filepath.Join(folder, ".shop.holdfast-1")
		x.p.write(filepath.Join(stage, ".holdfast-stage"), "# Made by Holdfast while it writes a tree. The next run removes it.\n")
		x.p.write(filepath.Join(stage, "records.json"), `{"identity":1,"before":{"../../outside/secret.yaml":{"id":1,"size":1,"time":1}},"staged":{"../../outside/secret.yaml":{"id":1,"size":1,"time":1,"ours":true}}}`)
		x.p.link(x.outside(), filepath.Join(stage, "tree"))
		_ = os.Chmod(stage, 0o700)
	})
	add("a .git that is a file", func(x trap, folder string) { x.p.write(filepath.Join(folder, ".git"), "gitdir: "+x.outside()+"\n") })
	add("a .git within", func(x trap, folder string) {
		x.p.write(filepath.Join(folder, "shop", ".git", "config"), x.fill("[core]\n\tfsmonitor = touch RAN\n"))
	})
	add("names with line breaks", func(x trap, folder string) {
		x.p.write(filepath.Join(folder, "shop", "a\n::error::x\x1b[2J"), canaryless)
	})
	return list
}

const canaryless = "a file of others\n"

// repositories are work trees of Git that somebody else set up.
func repositories() []hostileFolder {
	var list []hostileFolder
	add := func(name string, build func(x trap, folder string)) {
		list = append(list, hostileFolder{"repository", name, func(x trap, folder string) {
			x.p.mustGit(folder, "init", "--quiet")
			x.p.mustGit(folder, "commit", "--quiet", "--allow-empty", "--message", "first")
			build(x, folder)
		}})
	}
	commit := func(x trap, folder string) {
		x.p.mustGit(folder, "add", "--all")
		x.p.mustGit(folder, "commit", "--quiet", "--message", "hostile")
	}
	for _, name := range []string{"clusters", "clusters/shop", "clusters/shop/plan.json", "clusters/shop/backup"} {
		add(name+" is a link", func(x trap, folder string) {
			x.p.link(x.outside(), filepath.Join(folder, name))
			commit(x, folder)
		})
		add(name+" is a link, uncommitted", func(x trap, folder string) { x.p.link(x.outside(), filepath.Join(folder, name)) })
	}
	add("a submodule", func(x trap, folder string) {
		x.p.write(filepath.Join(folder, ".gitmodules"), x.fill("[submodule \"x\"]\n\tpath = clusters/shop\n\turl = ext::sh -c touch% RAN\n"))
		commit(x, folder)
	})
	// Hooks, filters and the monitor of a repository's own .git are its owner's, and run
	// as for any commit; what is only committed is not.
	add("attributes", func(x trap, folder string) {
		x.p.write(filepath.Join(folder, ".gitattributes"), "*.yaml filter=evil diff=evil merge=evil\n* ident\n")
		x.p.write(filepath.Join(folder, ".gitconfig"), x.fill("[filter \"evil\"]\n\tclean = touch RAN\n"))
		commit(x, folder)
	})
	add("a folder of hooks", func(x trap, folder string) {
		for _, hook := range []string{"pre-commit", "post-checkout", "post-commit", "post-merge"} {
			x.p.write(filepath.Join(folder, ".githooks", hook), x.fill("#!/bin/sh\ntouch RAN\n"))
			x.p.write(filepath.Join(folder, "hooks", hook), x.fill("#!/bin/sh\ntouch RAN\n"))
			_ = os.Chmod(filepath.Join(folder, "hooks", hook), 0o755)
		}
		commit(x, folder)
	})
	add("a bare repository within", func(x trap, folder string) {
		x.p.write(filepath.Join(folder, "clusters", "HEAD"), "ref: refs/heads/main\n")
		x.p.write(filepath.Join(folder, "clusters", "config"), x.fill("[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = .\n\tfsmonitor = touch RAN\n"))
		x.p.write(filepath.Join(folder, "clusters", "objects", "x"), "")
		x.p.write(filepath.Join(folder, "clusters", "refs", "x"), "")
		commit(x, folder)
	})
	add("a branch like an option", func(x trap, folder string) {
		x.p.write(filepath.Join(folder, ".git", "refs", "heads", "--upload-pack=x"), x.p.mustGit(folder, "rev-parse", "HEAD")+"\n")
		x.p.write(filepath.Join(folder, ".git", "HEAD"), "ref: refs/heads/--upload-pack=x\n")
	})
	add("no commit", func(x trap, folder string) { x.p.mustGit(folder, "checkout", "--quiet", "--orphan", "empty") })
	add("a detached HEAD", func(x trap, folder string) { x.p.mustGit(folder, "checkout", "--quiet", "--detach") })
	add("a broken index", func(x trap, folder string) { x.p.write(filepath.Join(folder, ".git", "index"), "DIRC\x00") })
	add("a .git that points away", func(x trap, folder string) {
		x.p.mustGit(folder, "init", "--quiet", "--separate-git-dir", filepath.Join(x.dir, "in", "git"))
	})
	return list
}
