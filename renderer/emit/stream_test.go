package emit

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/manifest"
)

func TestStream(t *testing.T) {
	t.Parallel()
	b := bundle(
		"a/README.md", "# text\n",
		"a/apps/a.yaml", "---\nkind: A\n---\nkind: B\n",
		"a/apps/kustomization.yaml", "kind: Kustomization\n",
		"a/apps/restore/r.yaml", "---\nkind: R\n",
		"a/empty.yaml", "",
		"a/flux.yaml", "kind: Kustomization\n",
		"a/kustomization.yaml", "kind: Kustomization\n",
		"a/no-end.yaml", "---\nkind: C",
		"a/plan.json", "{}\n",
		"a/restore.yaml", "---\nkind: D\n",
		"a/restore/deep/r.yaml", "---\nkind: R\n",
		"a/script.sh", "exit 1\n",
		"a/.holdfast-inventory", "x\n",
		"b/x.yaml", "--- # one\nkind: E\n",
	)
	var out bytes.Buffer
	if err := Stream(&out, b); err != nil {
		t.Fatal(err)
	}
	want := "---\nkind: A\n---\nkind: B\n---\nkind: C\n---\nkind: D\n--- # one\nkind: E\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("pipe is gone") }

func TestStreamReportsWriteErrors(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("a: b\n", 50_000)
	for _, b := range []manifest.Bundle{bundle("a/x.yaml", "a: b\n"), bundle("a/x.yaml", big, "a/y.yaml", big)} {
		if err := Stream(brokenWriter{}, b); err == nil || !strings.Contains(err.Error(), "pipe is gone") {
			t.Errorf("error %v", err)
		}
	}
	if _, err := Diff(brokenWriter{}, t.TempDir(), bundle("a/x.yaml", "a: b\n")); err == nil {
		t.Error("Diff hides a write error")
	}
}
