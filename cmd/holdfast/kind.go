package main

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/templates"
)

// kindOptions are the flags of kind.
type kindOptions struct {
	engine string
	out    onePath
}

// newKind is the command that begins a kind of one's own.
func newKind(c console) *cli.Command {
	o := &kindOptions{}
	cmd := &cli.Command{
		Name:      "kind",
		Usage:     "begin a kind of your own: a folder whose scripts are still to be written",
		UsageText: "holdfast kind new NAME --engine restic|rclone [--out DIR]",
		ArgsUsage: "new NAME",
		Description: "Makes DIR/NAME, which loads with --kinds DIR. Until it is written, an instance that\n" +
			"has such a source is refused, and each script ends with 64 and says so.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "engine", Destination: &o.engine, Usage: "what moves the data: restic into a repository, or `rclone` from bucket to bucket"},
			&cli.GenericFlag{Name: "out", Aliases: []string{"o"}, Value: &o.out, Usage: "`DIR` with folders of kinds; the current one if it is not given"},
		},
	}
	cmd.Action = func(ctx *cli.Context) error {
		args, err := mixed(cmd, ctx.Args().Slice())
		if err != nil {
			return err
		}
		return runKind(c, o, args)
	}
	return cmd
}

// mixed takes the options out of what stands behind the first argument, where the
// library leaves them.
func mixed(cmd *cli.Command, rest []string) ([]string, error) {
	var args []string
	for len(rest) > 0 {
		if !strings.HasPrefix(rest[0], "-") {
			args, rest = append(args, rest[0]), rest[1:]
			continue
		}
		set := flag.NewFlagSet(cmd.Name, flag.ContinueOnError)
		set.SetOutput(&bytes.Buffer{})
		for _, f := range cmd.Flags {
			if err := f.Apply(set); err != nil {
				return nil, err
			}
		}
		if err := set.Parse(rest); err != nil {
			return nil, wrongFlag(cmd.Name+" ", cmd.Flags, err)
		}
		rest = set.Args()
	}
	return args, nil
}

// kindName is the form of a name: it is a folder's, begins ids, and is in labels.
var kindName = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,28}[a-z0-9])?$`)

func runKind(c console, o *kindOptions, args []string) error {
	const usage = "holdfast kind new NAME --engine restic|rclone [--out DIR]"
	switch {
	case len(args) != 2 || args[0] != "new":
		return usageError{fmt.Sprintf("kind takes new and a name, but got %q", args), usage}
	case !kindName.MatchString(args[1]):
		return usageError{fmt.Sprintf("%q is no kind's name", args[1]), `at most 30 lower-case letters, digits and "-", a letter first, no "-" last`}
	case o.engine != kind.Restic && o.engine != kind.Rclone:
		return usageError{fmt.Sprintf("--engine %q: expected restic or rclone", o.engine), usage}
	}
	name, dir := args[1], o.out.value
	if dir == "" {
		dir = "."
	}
	r, err := renderer.New(templates.FS)
	if err != nil {
		return err
	}
	set := r.Kinds()
	if slices.Contains(set.Names(), name) {
		return usageError{fmt.Sprintf("kind %s exists already: a kind of your own needs a name of its own", name), "holdfast kinds lists them"}
	}
	files, err := kindFiles(set, name, o.engine)
	if err != nil {
		return err
	}
	target := filepath.Join(dir, name)
	if _, err := os.Lstat(target); err == nil {
		return usageError{target + " exists already", "nothing is replaced: choose another name, or another folder by --out"}
	}
	if err := writeKind(dir, name, files); err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(files))
	c.note("wrote %s: write its scripts, images.json, README.md and test/proof.json; templates/kinds/README.md says how", target)
	return c.print(strings.Join(names, "\n") + "\n")
}

// kindFiles are the files of a new kind, by their paths in its folder.
func kindFiles(set kind.Set, name, engine string) (map[string]string, error) {
	test := ""
	for _, word := range strings.Split(name, "-") {
		if word != "" {
			test += strings.ToUpper(word[:1]) + word[1:]
		}
	}
	replace := strings.NewReplacer("TestNAME", "Test"+test, "NAME", name, "SHORT", shortName(set, name))
	files := map[string]string{}
	for _, folder := range []string{"new/all", "new/" + engine} {
		err := fs.WalkDir(templates.FS, folder, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			data, err := templates.FS.ReadFile(file)
			files[strings.TrimPrefix(file, folder+"/")] = replace.Replace(string(data))
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// shortName is a name of at most nine letters and digits that no kind has.
func shortName(set kind.Set, name string) string {
	plain := strings.ReplaceAll(name, "-", "")
	short := plain[:min(len(plain), 9)]
	for n := 2; slices.ContainsFunc(set.Kinds, func(k kind.Kind) bool { return k.Short == short }); n++ {
		short = plain[:min(len(plain), 8)] + strconv.Itoa(n)
	}
	return short
}

// writeKind makes the folder: all of it, or nothing. What would not load, as a name that
// the state has for something else, is not written.
func writeKind(dir, name string, files map[string]string) error {
	work, err := os.MkdirTemp(dir, ".holdfast-kind-")
	if err != nil {
		return outside(err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	for file, text := range files {
		place := filepath.Join(work, name, filepath.FromSlash(file))
		mode := fs.FileMode(0o644)
		if strings.HasSuffix(file, ".sh") {
			mode = 0o755
		}
		if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
			return outside(err)
		}
		if err := os.WriteFile(place, []byte(text), mode); err != nil {
			return outside(err)
		}
	}
	all, err := kind.Overlay(templates.FS, os.DirFS(work), dir)
	if err == nil {
		_, err = renderer.New(all)
	}
	if err != nil {
		return usageError{fmt.Sprintf("a kind %s would not load: %v", name, err), "choose another name"}
	}
	return outside(os.Rename(filepath.Join(work, name), filepath.Join(dir, name)))
}
