//go:build !unix

package emit

import (
	"io/fs"
	"os"
)

// isOwn would report whether a file belongs to this user.
func isOwn(fs.FileInfo) bool { return true }

// isPrivate would report whether only this user may look into a folder.
func isPrivate(fs.FileInfo) bool { return true }

// openNoFollow opens a file to read.
func openNoFollow(name string) (*os.File, error) { return os.Open(name) }
