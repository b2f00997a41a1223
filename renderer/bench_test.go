package renderer_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-backup/holdfast/examples"
	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/eval"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/manifest"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
	"github.com/holdfast-backup/holdfast/renderer/yaml"
	"github.com/holdfast-backup/holdfast/templates"
)

// cpu is the processor time of this process so far, in milliseconds.
func cpu() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e6
}

// measured runs f b.N times and reports processor time beside wall time.
func measured(b *testing.B, instances int, f func()) {
	b.Helper()
	f()
	start, n := cpu(), 0
	for b.Loop() {
		f()
		n++
	}
	b.ReportMetric((cpu()-start)/float64(n*instances), "cpu-ms/instance")
}

// fleet makes n instances out of layout B, each with ids and credentials of its
// own.
func fleet(b *testing.B, n int) renderer.Inputs {
	b.Helper()
	read := func(name string) string {
		data, err := examples.FS.ReadFile("layout-b/" + name)
		if err != nil {
			b.Fatal(err)
		}
		return string(data)
	}
	state, credentials := read("runtime-state.json"), read("backup-credentials.json")
	var in renderer.Inputs
	for i := range n {
		replace := strings.NewReplacer(
			"tbcd30494", fmt.Sprintf("t%08d", i),
			"playground-timi-3-c-timy", fmt.Sprintf("playground-%d", i),
			"0000000000bb", fmt.Sprintf("%012d", i),
			"0000000000cc", fmt.Sprintf("%012d", n+i),
			"od-timy-3", fmt.Sprintf("od-%d", i),
			"0001\"", fmt.Sprintf("%08d\"", i),
		)
		in.States = append(in.States, input.Document{Name: "state.json", Data: []byte(replace.Replace(state))})
		in.Credentials = append(in.Credentials, input.Document{Name: "credentials.json", Data: []byte(replace.Replace(credentials))})
	}
	return in
}

// BenchmarkFleet renders whole fleets, all nine steps but the writing.
func BenchmarkFleet(b *testing.B) {
	r, err := renderer.New(templates.FS)
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			in := fleet(b, n)
			measured(b, n, func() {
				if _, err := r.Render(in, renderer.Options{Secrets: secrets.SOPS}); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// BenchmarkFloor is what cannot be saved: parsing the inputs with the standard
// library, and encoding the very same objects from memory.
func BenchmarkFloor(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			in := fleet(b, n)
			objects := stages(b, fleet(b, 1)).objects
			measured(b, n, func() {
				var buffer []byte
				for i := range n {
					var state, credentials any
					if json.Unmarshal(in.States[i].Data, &state) != nil || json.Unmarshal(in.Credentials[i].Data, &credentials) != nil {
						b.Fatal("an input is no JSON")
					}
					buffer = buffer[:0]
					for _, o := range objects {
						buffer, _ = yaml.AppendDocuments(buffer, []map[string]any{o.Value})
					}
				}
			})
		})
	}
}

// BenchmarkSteps measures each step for one instance of layout B.
func BenchmarkSteps(b *testing.B) {
	in := fleet(b, 1)
	s := stages(b, in)
	step := func(name string, f func()) {
		b.Run(name, func(b *testing.B) { measured(b, 1, f) })
	}
	step("0-prepare", func() { _, _ = renderer.New(templates.FS) })
	step("1-load", func() {
		_, _ = input.Load(in.States[0])
		_, _ = input.Load(in.Credentials[0])
	})
	step("2-validate", func() {
		_, _ = s.validator.Validate([]*input.Tree{s.state}, []*input.Tree{s.credentials}, nil)
	})
	step("3-discover", func() { _, _ = kind.Discover(s.program, s.kinds, s.state.Root) })
	step("4-plan", func() { plan.Build(s.instance, s.kinds, s.units) })
	step("5-check", func() { _ = plan.Check(s.plan) })
	step("6-render", func() {
		value := s.plan.Value()
		_, _ = s.program.Render(value)
	})
	step("7-order", func() { manifest.Order(s.files) })
	sealing, _ := secrets.NewMaker(secrets.SOPS, nil, "", nil)
	step("8-seal", func() { _, _ = manifest.Seal(s.objects, s.plan, s.instance, sealing) })
}

// stage holds what each step hands to the next.
type stage struct {
	kinds              kind.Set
	validator          *input.Validator
	program            *eval.Program
	state, credentials *input.Tree
	instance           input.Instance
	units              []kind.Discovered
	plan               *plan.Plan
	files              []eval.Rendered
	objects            []manifest.Object
}

// stages runs the steps once, one by one.
func stages(b *testing.B, in renderer.Inputs) stage {
	b.Helper()
	var s stage
	r, err := renderer.New(templates.FS)
	if err != nil {
		b.Fatal(err)
	}
	s.kinds = r.Kinds()
	s.validator, s.program = r.Parts()
	s.state, _ = input.Load(in.States[0])
	s.credentials, _ = input.Load(in.Credentials[0])
	instances, problems := s.validator.Validate([]*input.Tree{s.state}, []*input.Tree{s.credentials}, nil)
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	s.instance = instances[0]
	s.units, _ = kind.Discover(s.program, s.kinds, s.state.Root)
	s.plan = plan.Build(s.instance, s.kinds, s.units)
	if s.files, err = s.program.Render(s.plan.Value()); err != nil {
		b.Fatal(err)
	}
	s.objects = manifest.Order(s.files)
	return s
}
