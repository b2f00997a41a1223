//go:build !linux

package emit

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// errNoExchange says that folders cannot be exchanged here.
var errNoExchange = errors.New("folders cannot be exchanged on this system")

// exchange would swap two folders in one step; only Linux can.
func exchange(_, _ string) error { return errNoExchange }

// syncFiles brings what is staged to the disk, so that a power cut after the
// swap finds whole files.
func syncFiles(_ string, stages []string) error {
	for _, stage := range stages {
		err := filepath.WalkDir(stage, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if errors.Is(err, fs.ErrPermission) {
				return nil // a linked file that was there before
			}
			if err != nil {
				return err
			}
			return errors.Join(f.Sync(), f.Close())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// moveNew renames a file to where nothing stands.
func moveNew(from, to string) error { return moveIfFree(from, to) }

// identityOf would be what a file keeps when it is renamed; its size and time
// have to do.
func identityOf(fs.FileInfo) uint64 { return 0 }

// mayEmpty would report whether this user may take files out of a folder.
func mayEmpty(string, fs.FileInfo) bool { return true }

// copyOwner would give a folder the owner, group and access lists of an old one,
// and returns the mode that it may have.
func copyOwner(_, _ string, old fs.FileInfo) (mode fs.FileMode, same bool) {
	return folderBits(old.Mode()), true
}

// Lock would keep two runs from writing into dir at once.
func Lock(_ context.Context, _ string, _ time.Duration) (unlock func(), same bool, err error) {
	return func() {}, true, nil
}
