package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// BenchmarkProcess measures whole processes, cold: holdfast for one instance of
// layout B and for a hundred in one run, and kustomize for the tree of one. The
// metric is processor time, user and system together, for each instance. A
// hundred trees cost kustomize a hundred times one: Flux builds each by itself.
func BenchmarkProcess(b *testing.B) {
	kustomize, err := exec.LookPath("kustomize")
	if err != nil {
		b.Fatalf("this benchmark compares with kustomize, which make setup installs: %v", err)
	}
	work := b.TempDir()
	holdfast := filepath.Join(work, "holdfast")
	if output, err := exec.Command("go", "build", "-o", holdfast, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, output)
	}
	single := fleetFolder(b, filepath.Join(work, "one"), 1)
	hundred := fleetFolder(b, filepath.Join(work, "hundred"), 100)
	tree := filepath.Join(work, "tree")
	process(b, holdfast, "render", "-s", single, "-c", single, "-o", tree)
	wholeTree(b, tree)

	b.Run("holdfast-1", func(b *testing.B) {
		repeat(b, 1, holdfast, "render", "-s", single, "-c", single, "--secrets", "plain")
	})
	b.Run("kustomize-1", func(b *testing.B) { repeat(b, 1, kustomize, "build", tree) })
	b.Run("holdfast-100", func(b *testing.B) {
		repeat(b, 100, holdfast, "render", "-s", hundred, "-c", hundred, "--secrets", "plain")
	})
}

// repeat runs a command b.N times.
func repeat(b *testing.B, instances int, command string, args ...string) {
	b.Helper()
	process(b, command, args...)
	total, n := 0.0, 0
	for b.Loop() {
		total += process(b, command, args...)
		n++
	}
	b.ReportMetric(total/float64(n*instances), "cpu-ms/instance")
}

// process runs a command to its end and returns its processor time in
// milliseconds.
func process(b *testing.B, command string, args ...string) float64 {
	b.Helper()
	run := exec.Command(command, args...)
	var errors strings.Builder
	run.Stderr = &errors
	if err := run.Run(); err != nil {
		b.Fatalf("%s: %v: %s", filepath.Base(command), err, errors.String())
	}
	return float64((run.ProcessState.UserTime() + run.ProcessState.SystemTime()).Microseconds()) / 1000
}

// fleetFolder writes n instances made out of layout B, each in a folder.
func fleetFolder(b *testing.B, dir string, n int) string {
	b.Helper()
	for i := range n {
		replace := strings.NewReplacer(
			"tbcd30494", fmt.Sprintf("t%08d", i),
			"playground-timi-3-c-timy", fmt.Sprintf("playground-%d", i),
			"0000000000bb", fmt.Sprintf("%012d", i),
			"0000000000cc", fmt.Sprintf("%012d", n+i),
			"od-timy-3", fmt.Sprintf("od-%d", i),
			"0001\"", fmt.Sprintf("%08d\"", i),
		)
		folder := filepath.Join(dir, fmt.Sprintf("%04d", i))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			b.Fatal(err)
		}
		for _, name := range []string{"runtime-state.json", "backup-credentials.json"} {
			data, err := os.ReadFile(filepath.Join("../../examples/layout-b", name))
			if err != nil {
				b.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, name), []byte(replace.Replace(string(data))), 0o600); err != nil {
				b.Fatal(err)
			}
		}
	}
	return dir
}

// wholeTree lets kustomize build every manifest of a tree, restores included.
func wholeTree(b *testing.B, tree string) {
	b.Helper()
	var files []string
	err := filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".yaml") && entry.Name() != "kustomization.yaml" {
			relative, relErr := filepath.Rel(tree, path)
			files = append(files, "- "+relative)
			return relErr
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	sort.Strings(files)
	text := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n" + strings.Join(files, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(tree, "kustomization.yaml"), []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
}
