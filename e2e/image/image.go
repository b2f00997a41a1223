// Package image makes the root of an image from its contract: the contract's
// tools at the contract's paths, what they need to start, and nothing else.
package image

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/templates"
)

// Shells that provide the POSIX tools of a root.
const (
	Busybox = "busybox"
	Debian  = "debian"
)

// Templates are the built-in ones, with the kinds of examples/custom-kind: what is
// shown to whoever writes a kind must work as well.
func Templates() (fs.FS, error) {
	const folder = "custom-kind/kinds"
	kinds, err := fs.Sub(examples.FS, folder)
	if err != nil {
		return nil, err
	}
	return kind.Overlay(templates.FS, kinds, "examples/"+folder)
}

// All are the contracts of the kinds and of the platform, by the names that settings
// use.
func All() (map[string]kind.Image, error) {
	all, err := Templates()
	if err != nil {
		return nil, err
	}
	r, err := renderer.New(all)
	if err != nil {
		return nil, err
	}
	set := r.Kinds()
	return set.Images(), nil
}

// standard is the PATH of every image that sets none.
var standard = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// Path is the PATH of the image: the standard one, and before it the folders in
// which the image keeps tools of its own.
func Path(contract kind.Image) string {
	var own []string
	for _, name := range slices.Sorted(maps.Keys(contract.Tools)) {
		folder := filepath.Dir(contract.Tools[name].Path)
		if !slices.Contains(standard, folder) && !slices.Contains(own, folder) {
			own = append(own, folder)
		}
	}
	return strings.Join(append(own, standard...), ":")
}

// Build fills the folder root, which must be empty. find names the program of a
// tool that the shell's provider does not have, and that of busybox.
func Build(root string, contract kind.Image, find func(tool string) (string, error)) error {
	b := builder{root: root, contract: contract, find: find}
	for _, step := range []func() error{b.skeleton, b.tools, b.account, b.authorities, b.writable} {
		if err := step(); err != nil {
			return fmt.Errorf("the root of %s: %w", contract.Reference, err)
		}
	}
	return nil
}

type builder struct {
	root     string
	contract kind.Image
	find     func(string) (string, error)
}

// skeleton makes the folders that every image has.
func (b *builder) skeleton() error {
	folders := []string{"etc", "tmp", "run", "var", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "usr/local/bin", "usr/local/sbin"}
	links := map[string]string{"lib": "usr/lib", "lib64": "usr/lib64"}
	if b.contract.Shell == Debian {
		links["bin"], links["sbin"] = "usr/bin", "usr/sbin"
	} else {
		folders = append(folders, "bin", "sbin")
	}
	for _, folder := range folders {
		if err := os.MkdirAll(filepath.Join(b.root, folder), 0o755); err != nil {
			return err
		}
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(b.root, name)); err != nil {
			return err
		}
	}
	return os.Chmod(filepath.Join(b.root, "tmp"), 0o1777)
}

// tools puts each tool at its path.
func (b *builder) tools() error {
	applets, busybox := map[string]bool{}, ""
	if b.contract.Shell == Busybox {
		var err error
		if busybox, err = b.find("busybox"); err != nil {
			return err
		}
		if applets, err = Applets(busybox); err != nil {
			return err
		}
		// Where Alpine keeps it.
		if err := b.program(busybox, "/bin/busybox"); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.contract.Tools)) {
		place := b.contract.Tools[name].Path
		if applets[name] {
			if err := os.Symlink("/bin/busybox", filepath.Join(b.root, place)); err != nil {
				return err
			}
			continue
		}
		program, err := b.provider(name)
		if err != nil {
			return err
		}
		if err := b.program(program, place); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// Applets are the names that this busybox answers to. One whose shell finds them
// where PATH does not have them is refused: in its root no tool could be absent.
func Applets(busybox string) (map[string]bool, error) {
	out, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("%s --list: %w", busybox, err)
	}
	shell := exec.Command(busybox, "sh", "-c", "awk 'BEGIN {}' 2>/dev/null; echo $?")
	shell.Env = []string{"PATH=/nowhere"}
	said, err := shell.Output()
	if err != nil {
		return nil, fmt.Errorf("the shell of %s: %w", busybox, err)
	}
	if string(said) != "127\n" {
		return nil, fmt.Errorf("the shell of %s finds tools that PATH does not have: run e2e/setup.sh", busybox)
	}
	names := map[string]bool{}
	for _, name := range strings.Fields(string(out)) {
		names[name] = true
	}
	return names, nil
}

// provider is this machine's program for a tool.
func (b *builder) provider(tool string) (string, error) {
	if b.contract.Shell == Debian {
		tools, err := debian()
		if err != nil {
			return "", err
		}
		if program, ok := tools[tool]; ok {
			return program, nil
		}
	}
	return b.find(tool)
}

// debian are the tools of what Debian cannot be without, by name.
var debian = sync.OnceValues(func() (map[string]string, error) {
	out, err := exec.Command("dpkg-query", "-W", "-f", "${Essential} ${Priority} ${Package}\n").Output()
	if err != nil {
		return nil, fmt.Errorf("asking for Debian's packages: %w", err)
	}
	arguments := []string{"-L"}
	for _, line := range strings.Split(string(out), "\n") {
		f := strings.Fields(line)
		if len(f) == 3 && (f[0] == "yes" || f[1] == "required") {
			arguments = append(arguments, f[2])
		}
	}
	if out, err = exec.Command("dpkg-query", arguments...).Output(); err != nil {
		return nil, fmt.Errorf("asking for the files of Debian's packages: %w", err)
	}
	tools := map[string]string{}
	for _, line := range strings.Split(string(out), "\n") {
		if m := binary.FindStringSubmatch(line); m != nil {
			tools[filepath.Base(line)] = "/usr" + m[1]
		}
	}
	// These two are names that a choice of packages answers to.
	tools["sh"], tools["awk"] = "/usr/bin/dash", "/usr/bin/mawk"
	return tools, nil
})

var binary = regexp.MustCompile(`^(?:/usr)?(/s?bin/[^/]+)$`)

// program copies a program to a place, and what it needs to start to where it
// looks for it.
func (b *builder) program(source, place string) error {
	source, err := filepath.EvalSymlinks(source)
	if err != nil {
		return err
	}
	if err := b.copy(source, place); err != nil {
		return err
	}
	libraries, err := Libraries(source)
	if err != nil {
		return err
	}
	for _, library := range libraries {
		if err := b.copy(library, library); err != nil {
			return err
		}
	}
	return nil
}

var library = regexp.MustCompile(`(/[^ ]+) \(0x`)

// Libraries lists what the dynamic linker loads for a program, and the linker
// itself. A static program and a script need none.
func Libraries(program string) ([]string, error) {
	dynamic, err := Dynamic(program)
	if err != nil || !dynamic {
		return nil, err
	}
	out, err := exec.Command("ldd", program).Output()
	if err != nil {
		return nil, fmt.Errorf("ldd %s: %w", program, err)
	}
	var libraries []string
	for _, found := range library.FindAllStringSubmatch(string(out), -1) {
		libraries = append(libraries, found[1])
	}
	return libraries, nil
}

// Dynamic says whether a program needs a dynamic linker: then it only runs where
// its own libc is.
func Dynamic(program string) (bool, error) {
	file, err := elf.Open(program)
	var format *elf.FormatError
	if errors.As(err, &format) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	return slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }), nil
}

// merged is a path in the root, in which /lib is a link.
func merged(path string) string {
	if strings.HasPrefix(path, "/lib/") || strings.HasPrefix(path, "/lib64/") {
		return "/usr" + path
	}
	return path
}

// copy puts a file at a place of the root, once.
func (b *builder) copy(source, place string) error {
	target := filepath.Join(b.root, merged(place))
	if _, err := os.Lstat(target); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	source, err := filepath.EvalSymlinks(source)
	if err != nil {
		return err
	}
	// Nobody writes to either of them.
	if os.Link(source, target) == nil {
		return nil
	}
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// account writes who is who: the users that every base has.
func (b *builder) account() error {
	for name, text := range map[string]string{
		"passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n",
		"group":         "root:x:0:\nnogroup:x:65534:\n",
		"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
		// The runtime mounts its own over these.
		"hosts":       "",
		"resolv.conf": "",
	} {
		if err := os.WriteFile(filepath.Join(b.root, "etc", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// authorities puts the public certificate authorities where the image has them.
func (b *builder) authorities() error {
	if b.contract.CABundle == nil {
		return nil
	}
	return b.copy("/etc/ssl/certs/ca-certificates.crt", *b.contract.CABundle)
}

// writable makes the folders that the image's own user may write to.
func (b *builder) writable() error {
	for _, folder := range b.contract.Writable {
		place := filepath.Join(b.root, folder)
		if err := os.MkdirAll(place, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := os.Lchown(place, int(b.contract.User), -1); err != nil {
			return err
		}
	}
	return nil
}
