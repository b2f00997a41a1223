package kind

import (
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"
)

// TestUnreadable: a pipe or a huge file in a kind's folder is refused before it is read.
func TestUnreadable(t *testing.T) {
	extra := fstest.MapFS{
		"own/pipe": {Mode: fs.ModeNamedPipe},
		"own/huge": {Data: make([]byte, maxFile+1)},
		"own/fine": {Data: make([]byte, maxFile)},
	}
	files, err := Overlay(fstest.MapFS{}, extra, "mine")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"kinds/own/pipe": errUnreadable, "kinds/own/huge": errUnreadable, "kinds/own/fine": nil, "kinds/own": nil, "kinds/own/none": fs.ErrNotExist} {
		file, err := files.Open(name)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			_ = file.Close()
		}
	}
}
