// Command sbom writes what a Go binary is made of, as CycloneDX 1.6 JSON: the
// modules and the Go release that the toolchain itself wrote into it. The same
// binary always gives the same bytes.
//
//	sbom BINARY VERSION >BINARY.cdx.json
package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: sbom BINARY VERSION")
	}
	info, err := buildinfo.ReadFile(args[0])
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(describe(info, args[1]))
}

type bom struct {
	BOMFormat    string        `json:"bomFormat"`
	SpecVersion  string        `json:"specVersion"`
	Version      int           `json:"version"`
	Metadata     metadata      `json:"metadata"`
	Components   []component   `json:"components"`
	Compositions []composition `json:"compositions"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	PURL       string     `json:"purl"`
	Properties []property `json:"properties,omitempty"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// composition says that the list is complete.
type composition struct {
	Aggregate  string   `json:"aggregate"`
	Assemblies []string `json:"assemblies"`
}

func describe(info *debug.BuildInfo, version string) bom {
	main := of("application", info.Main.Path, version, "")
	for _, setting := range info.Settings {
		switch setting.Key {
		case "GOOS", "GOARCH", "CGO_ENABLED":
			main.Properties = append(main.Properties, property{setting.Key, setting.Value})
		}
	}
	b := bom{
		BOMFormat: "CycloneDX", SpecVersion: "1.6", Version: 1,
		Metadata:     metadata{main},
		Components:   []component{of("library", "std", strings.TrimPrefix(info.GoVersion, "go"), "")},
		Compositions: []composition{{Aggregate: "complete", Assemblies: []string{main.Ref}}},
	}
	for _, module := range info.Deps { // sorted by path
		if module.Replace != nil {
			module = module.Replace
		}
		b.Components = append(b.Components, of("library", module.Path, module.Version, module.Sum))
	}
	return b
}

// of describes a module; sum is its line of go.sum.
func of(kind, path, version, sum string) component {
	purl := "pkg:golang/" + path + "@" + version
	c := component{Type: kind, Ref: purl, Name: path, Version: version, PURL: purl}
	if sum != "" {
		c.Properties = []property{{"go.sum", sum}}
	}
	return c
}
