package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/overlay"
)

// overlayFlag is an option of the commands that render.
func (s *sources) overlayFlag() cli.Flag {
	return &cli.GenericFlag{Name: "overlay", Value: &s.overlay,
		Usage: "`DIR` with a kustomization of your own, whose resources: [" + overlay.Tree + "] is what is rendered"}
}

// readOverlay finds the overlay, if one is named. Its bases may lie anywhere, so
// it sees all files of this machine.
func (s *sources) readOverlay(in *renderer.Inputs) error {
	dir := s.overlay.value
	if dir == "" {
		return nil
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return usageError{fmt.Sprintf("--overlay %s: this is no folder that can be read", dir), ""}
	}
	place, err := filepath.Abs(dir)
	if err != nil {
		return outside(err)
	}
	in.Overlay = &overlay.Source{Files: os.DirFS("/"), Dir: strings.TrimPrefix(filepath.ToSlash(place), "/"), Name: dir}
	return nil
}
