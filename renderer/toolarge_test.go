package renderer_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer"
	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// TestTooLarge: what no API server takes, or no program, is refused at the field that
// it comes from, without a word of its value.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	names := make([]string, 10000)
	for i := range names {
		names[i] = fmt.Sprintf("%q", fmt.Sprintf("secret-number-%d", i))
	}
	pem := `-----BEGIN CERTIFICATE-----\n` + strings.Repeat(strings.Repeat("A", 64)+`\n`, 20000) + `-----END CERTIFICATE-----\n`
	for _, test := range []struct {
		name, edit string
		state      bool
		file, want string
	}{
		{name: "user name", edit: `/secretsManager/username = "` + strings.Repeat("user", 38000) + `"`, file: "credentials", want: "/secretsManager/username"},
		{name: "CA", edit: `/restic/caPem = "` + pem + `"`, file: "credentials", want: "/restic/caPem"},
		{name: "list of names", edit: `/kubernetes/expectSecrets = [` + strings.Join(names, ", ") + `]`, state: true, file: "state", want: "/kubernetes/exportSecrets"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := exampleNamed(t, "layout-b")
			state, credentials := string(c.Inputs.States[0].Data), string(c.Inputs.Credentials[0].Data)
			if test.state {
				state = edited(t, state, test.edit)
			} else {
				credentials = edited(t, credentials, test.edit)
			}
			in := c.Inputs
			in.States = []input.Document{{Name: "state", Data: []byte(state)}}
			in.Credentials = []input.Document{{Name: "credentials", Data: []byte(credentials)}}
			_, err := builtinRenderer(t).Render(in, renderer.Options{})
			var problems problem.List
			if !errors.As(err, &problems) {
				t.Fatalf("taken: %v", err)
			}
			if !slices.ContainsFunc(problems, func(p problem.Problem) bool {
				return p.Rule == "HF430" && p.File == test.file && p.Pointer == test.want && p.Line > 0
			}) {
				t.Errorf("found %.2000s", problems)
			}
			for _, p := range problems {
				if p.Rule != "HF430" || len(p.String()) > 1000 {
					t.Errorf("found %.1000s", p)
				}
			}
		})
	}
}
