package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/overlay"
)

// overlayFlags are options of the commands that render.
func (s *sources) overlayFlags() []cli.Flag {
	return []cli.Flag{
		&cli.GenericFlag{Name: "overlay", Value: &s.overlay,
			Usage: "`DIR` with a kustomization of your own, whose resources: [" + overlay.Tree + "] is what is rendered"},
		&cli.GenericFlag{Name: "overlay-root", Value: &s.overlayRoot,
			Usage: "`DIR` that the overlay lies in, with the bases that it refers to; nothing outside of it is read (the overlay itself)"},
	}
}

// readOverlay finds the overlay, if one is named. What it reads lies below its root,
// by whatever links: a tree is committed, and nothing else of this machine belongs
// into it.
func (s *sources) readOverlay(in *renderer.Inputs) error {
	dir, top := s.overlay.value, s.overlayRoot.value
	if dir == "" {
		if top != "" {
			return usageError{"--overlay-root without --overlay", ""}
		}
		return nil
	}
	if top == "" {
		top = dir
	}
	for _, folder := range []struct{ flag, dir string }{{"overlay", dir}, {"overlay-root", top}} {
		if info, err := os.Stat(folder.dir); err != nil || !info.IsDir() {
			return usageError{fmt.Sprintf("--%s %s: this is no folder that can be read", folder.flag, folder.dir), ""}
		}
	}
	place, err := inside(top, dir)
	if err != nil {
		return usageError{fmt.Sprintf("--overlay %s: it is not in %s", dir, top), ""}
	}
	root, err := os.OpenRoot(top)
	if err != nil {
		return outside(err)
	}
	in.Overlay = &overlay.Source{Files: root.FS(), Dir: place, Name: dir}
	return nil
}

// inside is the path of a folder below another, whichever links lead to them.
func inside(top, dir string) (string, error) {
	var places [2]string
	for i, folder := range []string{top, dir} {
		absolute, err := filepath.Abs(folder)
		if err == nil {
			absolute, err = filepath.EvalSymlinks(absolute)
		}
		if err != nil {
			return "", err
		}
		places[i] = absolute
	}
	place, err := filepath.Rel(places[0], places[1])
	if err == nil && !filepath.IsLocal(place) {
		err = errors.New("it lies outside")
	}
	return filepath.ToSlash(place), err
}
