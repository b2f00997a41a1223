//go:build unix

package emit

import (
	"io/fs"
	"os"
	"syscall"
)

// isOwn reports whether a file belongs to this user.
func isOwn(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int64(stat.Uid) == int64(os.Geteuid())
}

// isPrivate reports whether a folder is this user's, who alone may look into it.
// Every folder made in one with the set-group-ID bit has that bit too.
func isPrivate(info fs.FileInfo) bool {
	return isOwn(info) && info.Mode()&^fs.ModeSetgid == fs.ModeDir|0o700
}

// openNoFollow opens a file to read. It follows no symlink and waits for nobody.
func openNoFollow(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}
