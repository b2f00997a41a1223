package emit

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// errNoExchange says that folders cannot be exchanged here.
var errNoExchange = errors.New("folders cannot be exchanged on this file system")

// exchange swaps two folders in one step: whoever looks sees one or the other.
func exchange(a, b string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP),
		errors.Is(err, unix.EXDEV): // an overlay file system's lower folders
		return errNoExchange
	case err != nil:
		return fmt.Errorf("exchanging %s and %s: %w", a, b, err)
	}
	return nil
}

// syncFiles brings what is staged in dir to the disk, so that a power cut
// after the swap finds whole files. One call for all files is several times
// faster than one for each.
func syncFiles(dir string, _ []string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // read only
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}

// lock keeps two runs from writing into dir at once. The system releases it
// when a run is killed.
func lock(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errors.Join(fmt.Errorf("another run is writing into %s", dir), f.Close())
	}
	// A file system without locks is used without them.
	return func() { _ = f.Close() }, nil
}
