package eval

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

// TestTracesNothing: std.trace of a kind's template reaches no stream.
func TestTracesNothing(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	was := os.Stderr
	os.Stderr = file
	defer func() { os.Stderr = was }()
	kind := `{ units(state):: std.trace('of the test', []), objects(item):: [], restore(item, request):: [] }`
	p, err := New(fstest.MapFS{"kinds/a/kind.libsonnet": {Data: []byte(kind)}, "platform/platform.libsonnet": {Data: []byte("{}")}}, []string{"a"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if units, failed := p.Units([]string{"a"}, map[string]any{}); len(failed) > 0 || len(units) != 1 {
		t.Fatalf("%v, %v", units, failed)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(file); err != nil || len(text) > 0 {
		t.Errorf("%q, %v", text, err)
	}
}
