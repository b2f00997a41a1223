package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestTrust: each row of SECURITY.md's table of who is trusted with what is attacked by a
// part of testdata/trust.txtar, and no part is without its row.
func TestTrust(t *testing.T) {
	found := func(file, row string) []string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, match := range regexp.MustCompile(row).FindAllSubmatch(text, -1) {
			names = append(names, string(match[1]))
		}
		return names
	}
	rows := found(filepath.Join("..", "..", "SECURITY.md"), `(?m)^\| ([A-Za-z ]+) \| [^|]+ \| [^|]+ \| [^|]+ \|$`)[1:] // the first is the head
	parts := found(filepath.Join("testdata", "trust.txtar"), `(?m)^# row: (.+)$`)
	if len(rows) < 8 || !slices.Equal(rows, parts) {
		t.Errorf("SECURITY.md has the rows\n%q\nand testdata/trust.txtar the parts\n%q", rows, parts)
	}
}
