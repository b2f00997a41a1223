package emit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// errNoExchange says that folders cannot be exchanged here.
var errNoExchange = errors.New("folders cannot be exchanged on this file system")

// exchange swaps two folders in one step: a reader sees one or the other.
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

// moveNew renames a file to a path where there is none yet.
func moveNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		return moveIfFree(from, to)
	case err != nil:
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// identityOf is what a file keeps when it is renamed.
func identityOf(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Ino
	}
	return 0
}

// mayEmpty reports whether this user may take files out of a folder, or may
// allow it.
func mayEmpty(dir string, info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || int(stat.Uid) == os.Geteuid() || unix.Faccessat(unix.AT_FDCWD, dir, unix.R_OK|unix.W_OK|unix.X_OK, unix.AT_EACCESS) == nil
}

// copyOwner gives the folder at to, which nobody else may enter yet, the owner, group
// and access lists of the one at from. It returns the mode that the folder may have. If
// not all of this is possible, that mode lets nobody in who could not enter the old
// folder, and same is false.
func copyOwner(from, to string, old fs.FileInfo) (mode fs.FileMode, same bool) {
	mode, same = folderBits(old.Mode()), true
	was, ok := old.Sys().(*syscall.Stat_t)
	now, err := os.Lstat(to)
	if !ok || err != nil {
		return mode &^ 0o077, false
	}
	if is, ok := now.Sys().(*syscall.Stat_t); !ok || is.Uid != was.Uid || is.Gid != was.Gid {
		if err := os.Lchown(to, int(was.Uid), int(was.Gid)); err != nil {
			same = false
			if err := os.Lchown(to, -1, int(was.Gid)); err != nil {
				// The old group's members now count as others.
				both := mode & (mode << 3) & 0o070
				mode = mode&^(fs.ModeSetgid|0o077) | both | both>>3
			}
		}
	}
	for _, list := range []string{"system.posix_acl_access", "system.posix_acl_default"} {
		if copyAttribute(from, to, list) != nil {
			mode, same = mode&^0o077, false
		}
	}
	return mode, same
}

// copyAttribute gives the file at to an extended attribute of the one at from, or
// takes it away, as a new folder may have some from the folder above.
func copyAttribute(from, to, name string) error {
	value := make([]byte, 64<<10) // no attribute is longer
	n, err := unix.Lgetxattr(from, name, value)
	if err == nil {
		return unix.Lsetxattr(to, name, value[:n], 0)
	}
	if errors.Is(err, unix.ENODATA) {
		if _, err = unix.Lgetxattr(to, name, nil); err == nil {
			return unix.Lremovexattr(to, name)
		}
	}
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

// Lock keeps two runs from writing into dir at once. It waits for the other run, at
// most for wait. The system releases the lock when a run is killed. same is false if
// dir is another folder by then, or gone.
func Lock(ctx context.Context, dir string, wait time.Duration) (unlock func(), same bool, err error) {
	f, err := os.Open(dir)
	if missing(err) {
		return func() {}, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	patience := time.NewTimer(wait)
	defer patience.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK) {
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, false, errors.Join(fmt.Errorf("waiting for %s, into which another run is writing: %w", dir, context.Cause(ctx)), f.Close())
		case <-patience.C:
			return nil, false, errors.Join(fmt.Errorf("another run is writing into %s%s, and was not done after %v", dir, holder(f), wait), f.Close())
		}
	}
	// A file system without locks is used without them.
	unlock = func() { _ = f.Close() }
	mine, err := f.Stat()
	if err != nil {
		unlock()
		return nil, false, err
	}
	now, err := os.Stat(dir)
	return unlock, err == nil && os.SameFile(mine, now), nil
}

// holder says which process holds a folder's lock, " (process 12, holdfast)",
// where the system tells.
func holder(f *os.File) string {
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(locks)) {
		// 1: FLOCK ADVISORY WRITE 4711 fd:01:1234 0 EOF
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[1] != "FLOCK" || !strings.HasSuffix(fields[5], fmt.Sprintf(":%d", identityOf(info))) {
			continue
		}
		name, err := os.ReadFile("/proc/" + fields[4] + "/comm")
		if err != nil { // in another container
			continue
		}
		return fmt.Sprintf(" (process %s, %s)", fields[4], strings.TrimSpace(string(name)))
	}
	return ""
}
