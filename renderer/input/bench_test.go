package input

import (
	"testing"
)

// BenchmarkInstance is Load and Validate of one instance of layout B.
func BenchmarkInstance(b *testing.B) {
	v, l := validator(b), layouts(b)[1]
	b.ReportAllocs()
	for b.Loop() {
		if instances, problems := run(b, v, l.state, l.credentials, ""); len(instances) != 1 || len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}

// BenchmarkLoad is Load of a state alone.
func BenchmarkLoad(b *testing.B) {
	data := []byte(layouts(b)[1].state)
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, problems := Load(Document{Name: "state.json", Data: data}); len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}

// BenchmarkNewValidator is what a cold process pays once.
func BenchmarkNewValidator(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewValidator(nil); err != nil {
			b.Fatal(err)
		}
	}
}
