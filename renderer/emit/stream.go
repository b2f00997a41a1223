package emit

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/manifest"
)

// Stream writes the Kubernetes objects of b that are to be applied as one YAML stream,
// files in the bundle's order. It leaves out everything else: kustomizations, the plan,
// flux.yaml, which is for a tree and for Flux, and restore folders, which are applied
// only when something is restored.
func Stream(w io.Writer, b manifest.Bundle) error {
	out := bufio.NewWriterSize(w, 64<<10)
	for _, file := range b.Files {
		if !applied(file.Path) || len(file.Data) == 0 {
			continue
		}
		// A bufio.Writer keeps its first error for Flush.
		if !startsDocument(file.Data) {
			_, _ = out.WriteString("---\n")
		}
		_, _ = out.Write(file.Data)
		if !bytes.HasSuffix(file.Data, []byte("\n")) {
			_ = out.WriteByte('\n')
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing the stream: %w", err)
	}
	return nil
}

// applied reports whether the file at name holds objects to apply.
func applied(name string) bool {
	folder, base := path.Split(name)
	return strings.HasSuffix(base, ".yaml") && base != "kustomization.yaml" && base != "flux.yaml" &&
		!slices.Contains(strings.Split(folder, "/"), "restore")
}

func startsDocument(data []byte) bool {
	after, ok := bytes.CutPrefix(data, []byte("---"))
	return ok && (len(after) == 0 || bytes.IndexByte([]byte(" \t\r\n"), after[0]) >= 0)
}
