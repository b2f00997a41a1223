package cluster

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/e2e/image"
)

// members are the files of a tar stream, with their content, links as "".
func members(t *testing.T, from io.Reader, keep func(name string) bool) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	for reader := tar.NewReader(from); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		var data []byte
		if keep(header.Name) {
			if data, err = io.ReadAll(reader); err != nil {
				t.Fatal(err)
			}
		}
		if header.Typeflag != tar.TypeDir {
			found[header.Name] = data
		}
	}
}

// An image holds its contract's tools at the contract's places, and no others.
func TestImagesHoldTheirContract(t *testing.T) {
	contracts, err := image.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"postgresql/client-15", "mariadb/client", "openldap/client"} {
		contract := contracts[name]
		c := &Cluster{Dir: t.TempDir()}
		file, err := c.contracted([]string{contract.Reference})
		if err != nil {
			t.Fatal(err)
		}
		archive, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer archive.Close()
		parts := members(t, archive, func(string) bool { return true })
		var list []struct {
			Config           string
			RepoTags, Layers []string
		}
		if err := json.Unmarshal(parts["manifest.json"], &list); err != nil || len(list) != 1 || !slices.Equal(list[0].RepoTags, []string{contract.Reference}) {
			t.Fatalf("%s: %v, %s", name, err, parts["manifest.json"])
		}
		layer := members(t, strings.NewReader(string(parts[list[0].Layers[0]])), func(string) bool { return false })
		var want, got []string
		for _, tool := range contract.Tools {
			want = append(want, path.Base(tool.Path))
		}
		for _, place := range slices.Sorted(maps.Keys(layer)) {
			if strings.Contains(place, "bin/") && place != "bin/busybox" {
				got = append(got, path.Base(place))
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(slices.Compact(got), slices.Compact(want)) {
			t.Errorf("%s holds %q, its contract %q", name, got, want)
		}
	}
	if _, err := (&Cluster{Dir: t.TempDir()}).contracted([]string{"docker.io/library/postgres:9"}); err == nil || !strings.Contains(err.Error(), "postgres:9") {
		t.Errorf("an image without a contract: %v", err)
	}
}
