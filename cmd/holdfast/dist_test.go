package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// dist builds a release in a copy of the source, for two platforms: all four take
// a minute more and go the same way.
func dist(t *testing.T, source string, env ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(source, "hack", "dist.sh"))
	cmd.Env = append(append(os.Environ(), "PLATFORMS=linux/amd64 darwin/arm64"), env...)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return filepath.Join(source, "bin", "dist")
}

func sourceCopy(t *testing.T, name string) string {
	t.Helper()
	notShort(t, "what builds a release")
	to := filepath.Join(t.TempDir(), name)
	if output, err := exec.Command("bash", "-euc", copySource, "bash", sourceRoot(t), to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return to
}

// TestDistIsReproducible builds the release twice: in two folders, one of them a
// Git checkout with a tag and the other told its version, in other surroundings.
// All files are the same, byte by byte; the checksums are right; the lists of
// modules say what the toolchain says.
func TestDistIsReproducible(t *testing.T) {
	one, two := sourceCopy(t, "one"), sourceCopy(t, "another folder")
	git := exec.Command("sh", "-euc", `git init -q . && git add -A && git -c user.name=a -c user.email=a@example.com commit -qm x && git -c user.name=a -c user.email=a@example.com tag -am x v9.8.7`)
	git.Dir = one
	git.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	if output, err := git.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	first := dist(t, one)
	second := dist(t, two, "VERSION=v9.8.7", "GOAMD64=v3", "GOFLAGS=-tags=other", "CGO_ENABLED=1", "TZ=Asia/Kathmandu", "LC_ALL=C.UTF-8")
	names := []string{
		"SHA256SUMS", "holdfast-darwin-arm64", "holdfast-darwin-arm64.cdx.json", "holdfast-linux-amd64", "holdfast-linux-amd64.cdx.json",
	}
	entries, err := os.ReadDir(first)
	if err != nil || len(entries) != len(names) {
		t.Errorf("%d files, %v", len(entries), err)
	}
	sums := readFile(t, filepath.Join(first, "SHA256SUMS"))
	for _, name := range names {
		data := readFile(t, filepath.Join(first, name))
		if data != readFile(t, filepath.Join(second, name)) {
			t.Errorf("%s differs between two builds", name)
		}
		if line := fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(data)), name); name != "SHA256SUMS" && !strings.Contains(sums, line) {
			t.Errorf("SHA256SUMS has no line %s", line)
		}
		if strings.Contains(data, one) || strings.Contains(data, os.Getenv("HOME")+"/") && os.Getenv("HOME") != "" && os.Getenv("HOME") != "/" {
			t.Errorf("%s has a path of this machine", name)
		}
	}
	binary := filepath.Join(first, "holdfast-linux-amd64")
	checkModules(t, binary)
	if runtime.GOOS+"/"+runtime.GOARCH == "linux/amd64" {
		output, err := exec.Command(binary, "version").Output()
		if want := "holdfast version v9.8.7 " + runtime.Version() + "\n"; err != nil || string(output) != want {
			t.Errorf("version: %q, %v, want %q", output, err, want)
		}
	}
	// As in docs/release.md.
	block := regexp.MustCompile("(?s)```sh\nmake dist\n(.*?)```").FindStringSubmatch(readFile(t, filepath.Join(one, "docs", "release.md")))
	if block == nil {
		t.Fatal("docs/release.md does not say how to check the sums")
	}
	check := exec.Command("sh", "-ec", block[1])
	check.Dir = one
	if output, err := check.CombinedOutput(); err != nil || strings.Count(string(output), ": OK\n") != 4 {
		t.Errorf("%v: %s", err, output)
	}
}

// checkModules holds the list of a binary's modules against go version -m.
func checkModules(t *testing.T, binary string) {
	t.Helper()
	output, err := exec.Command("go", "version", "-m", binary).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, match := range regexp.MustCompile(`(?m)^\tdep\t(\S+)\t(\S+)\t(\S+)$`).FindAllStringSubmatch(string(output), -1) {
		want = append(want, strings.Join(match[1:], " "))
	}
	var list struct {
		BOMFormat, SpecVersion string
		Metadata               struct {
			Component struct{ Name, Version string }
		}
		Components []struct {
			Name, Version, PURL string
			Properties          []struct{ Name, Value string }
		}
	}
	if err := json.Unmarshal([]byte(readFile(t, binary+".cdx.json")), &list); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range list.Components {
		if c.PURL != "pkg:golang/"+c.Name+"@"+c.Version {
			t.Errorf("%s has the URL %s", c.Name, c.PURL)
		}
		if c.Name != "std" {
			got = append(got, c.Name+" "+c.Version+" "+c.Properties[0].Value)
		}
	}
	if !slices.Equal(got, want) || len(want) < 20 {
		t.Errorf("the list has\n%v\ngo version -m\n%v", got, want)
	}
	if list.BOMFormat != "CycloneDX" || list.SpecVersion != "1.6" || list.Metadata.Component.Name != module || list.Metadata.Component.Version != "v9.8.7" {
		t.Errorf("head: %+v", list.Metadata)
	}
	if list.Components[0].Name != "std" || "go"+list.Components[0].Version != runtime.Version() {
		t.Errorf("the first component is %+v", list.Components[0])
	}
}

// TestImage: the image has the static binary alone and runs it as a user without
// rights. No engine builds it here: the binary runs in a root folder of its own,
// and the text of the Dockerfile is held against what dist.sh writes.
func TestImage(t *testing.T) {
	root := image(t)
	for _, command := range [][]string{{"/holdfast", "version"}, {"/holdfast", "krm", "--references"}} {
		output, err := inImage(t, root, "/", 65532, command...).Output()
		if err != nil || len(output) == 0 {
			t.Errorf("%v: %v", command, err)
		}
	}
	text := readFile(t, filepath.Join("..", "..", "Dockerfile"))
	var lines []string
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", "")) {
		if line = strings.Join(strings.Fields(line), " "); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	want := []string{
		"FROM scratch AS base",
		"ARG TARGETOS=linux", "ARG TARGETARCH=amd64", "ARG VERSION=unknown",
		"COPY --chmod=0555 bin/dist/holdfast-${TARGETOS}-${TARGETARCH} /holdfast",
		"USER 65532:65532",
		`LABEL org.opencontainers.image.title="holdfast" org.opencontainers.image.description="Renders the backup of platform instances" ` +
			`org.opencontainers.image.licenses="Apache-2.0" org.opencontainers.image.version="${VERSION}"`,
		`ENTRYPOINT ["/holdfast"]`,
		"FROM base AS krm", `ENTRYPOINT ["/holdfast", "krm"]`,
		"FROM base",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("the Dockerfile has\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	// What is not listed does not reach the engine, and the binary does.
	if got := readFile(t, filepath.Join("..", "..", ".dockerignore")); got != "*\n!bin/dist/holdfast-linux-*\n" {
		t.Errorf(".dockerignore has\n%s", got)
	}
}
