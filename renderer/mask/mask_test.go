package mask

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestFinder: what it finds is what a search for each form finds, in any text.
func TestFinder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const letters = `ab"\ $<é` + "\n\t"
	text := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString([]string{"a", "b", `"`, `\`, " ", "$", "<", "é", "\n", "\t"}[random.IntN(10)])
		}
		return b.String()
	}
	hits := 0
	for range 3000 {
		var f Finder
		var values []string
		for id := range 4 {
			values = append(values, text(1+random.IntN(20)))
			f.Add(values[id], id)
		}
		in := text(random.IntN(60))
		switch value := values[random.IntN(4)]; random.IntN(4) {
		case 0:
			in += value + text(3)
		case 1:
			in += base64.StdEncoding.EncodeToString([]byte(text(random.IntN(5)) + value + text(random.IntN(5))))
		case 2:
			in = fmt.Sprintf("%q", in+value)
		}
		var want, got []int
		for id, value := range values {
			if slices.ContainsFunc(Forms(value, Shortest), func(form string) bool { return strings.Contains(in, form) }) {
				want = append(want, id)
			}
		}
		f.In(in, func(id int) { got = append(got, id) })
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, want) {
			t.Fatalf("in %q of %q: %v, want %v", in, values, got, want)
		}
		hits += len(want)
	}
	if hits < 500 {
		t.Errorf("only %d values stood in the %q texts", hits, letters)
	}
	var none Finder
	none.In("a text", func(int) { t.Error("it finds nothing of nothing") })
}

// TestForms: none is so short that it stands in ordinary words, and none is told twice.
func TestForms(t *testing.T) {
	forms := Forms("abcdefgh\nxyz", 8)
	for _, form := range forms {
		if len(form) < 8 {
			t.Errorf("%q is too short", form)
		}
	}
	if !slices.IsSorted(forms) || len(slices.Compact(slices.Clone(forms))) != len(forms) || !slices.Contains(forms, "abcdefgh") {
		t.Errorf("forms %q", forms)
	}
	if got := Forms("abc", 8); len(got) != 0 {
		t.Errorf("a short one has %q", got)
	}
}

// BenchmarkFinder reads a text of a megabyte and a half for twenty values.
func BenchmarkFinder(b *testing.B) {
	var f Finder
	for id := range 20 {
		f.Add(fmt.Sprintf("example-%d-not-a-real-secret", id), id)
	}
	text := strings.Repeat("kind: ConfigMap\nmetadata: {name: shop}\n", 40000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		f.In(text, func(int) { b.Fatal("found") })
	}
}
