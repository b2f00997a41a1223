//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package publish

import (
	"errors"
	"os"
)

// tryLock would lock a folder. Where nothing can be locked, nobody knows which run
// is still there, and nothing is swept.
func tryLock(string) (*os.File, error) { return nil, errors.ErrUnsupported }
