//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package publish

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// tryLock locks a folder of ours until the file that it returns is closed; the
// system does that when a run is killed. It fails with errLocked if another run
// has it, or has just removed it.
func tryLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0) //nolint:gosec // it follows no link
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = errLocked
		}
		return nil, err
	}
	if err = lockFile(f, dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func lockFile(f *os.File, dir string) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errLocked
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Geteuid() {
		return fs.ErrPermission
	}
	if now, err := os.Lstat(dir); err != nil || !os.SameFile(info, now) { //nolint:gosec // it only looks
		return errLocked
	}
	return nil
}
