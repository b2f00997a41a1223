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

// twoDesks are two instances of openDesk on one cluster: each has a namespace of
// its own, in which everything has the same name.
func twoDesks(t *testing.T, second func(state map[string]any)) renderer.Inputs {
	t.Helper()
	in := example(t, "layout-b")
	other := strings.NewReplacer(
		"tbcd30494", "tother",
		"playground-timi-3-c-timy", "playground-other",
		"00000000-0000-4000-8000-0000000000bb", "00000000-0000-4000-8000-0000000000b2",
		"00000000-0000-4000-8000-0000000000cc", "00000000-0000-4000-8000-0000000000c2",
	)
	copied := func(d input.Document) input.Document {
		return input.Document{Name: "other-" + d.Name, Data: []byte(other.Replace(string(d.Data)))}
	}
	in.States = append(in.States, rewritten(t, copied(in.States[0]), second))
	in.Credentials = append(in.Credentials, rewritten(t, copied(in.Credentials[0]), func(root map[string]any) {
		for _, engine := range []string{"restic", "rclone"} {
			section := root[engine].(map[string]any)
			section["accessKeyId"] = "other-" + engine
			if section["password"] = "the-other-password-of-restic"; engine == "rclone" {
				delete(section, "password")
				section["crypt"].(map[string]any)["password"] = "the-other-password-of-crypt"
			}
		}
	}))
	return in
}

// TestTwoDesksOnOneCluster: what is read by exec is in each one's own namespace,
// though both call it the same.
func TestTwoDesksOnOneCluster(t *testing.T) {
	t.Parallel()
	r := built(t)
	shared := func(in renderer.Inputs) []string {
		_, err := r.Plan(in)
		var problems problem.List
		if err != nil && !errors.As(err, &problems) {
			t.Fatal(err)
		}
		var all []string
		for _, p := range problems {
			all = append(all, fmt.Sprint(p.Rule, " ", p.Message))
		}
		return all
	}
	kubernetes := func(state map[string]any) map[string]any { return state["kubernetes"].(map[string]any) }
	without := func(state map[string]any) {
		kubernetes(state)["exportClusterScoped"] = false
		kubernetes(state)["reasons"] = map[string]any{"exportClusterScoped": "the other instance exports them"}
	}
	if got := shared(twoDesks(t, without)); len(got) > 0 {
		t.Errorf("two desks with namespaces of their own: %q", got)
	}
	for _, test := range []struct {
		name   string
		second func(state map[string]any)
		want   string
	}{
		{name: "the cluster's objects", second: func(map[string]any) {}, want: "control-plane/export"},
		{name: "one directory", second: func(state map[string]any) {
			without(state)
			state["ldap"].(map[string]any)["namespace"] = "playground-timi-3-c-timy"
		}, want: "openldap/directory"},
		{name: "one Cassandra", second: func(state map[string]any) {
			without(state)
			state["databases"].(map[string]any)["cassandra"].([]any)[0].(map[string]any)["namespace"] = "playground-timi-3-c-timy"
		}, want: "cassandra/dovecot-0"},
	} {
		got := shared(twoDesks(t, test.second))
		if !slices.ContainsFunc(got, func(p string) bool { return strings.HasPrefix(p, "HF306 shares its source "+test.want) }) {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}
