package templates_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestClosedRanges: where a policy leads to public addresses alone, the preflight names
// that as a cause when nobody answers; else it would send people to look for a firewall.
func TestClosedRanges(t *testing.T) {
	for name, test := range map[string]struct {
		to, code string
		want     bool
	}{
		"dropped":                {to: "public", code: "28", want: true},
		"refused":                {to: "public", code: "7", want: true},
		"a name without address": {to: "public", code: "6"},
		"declared":               {to: "-", code: "28"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			preflight, bin, findings := filepath.Join(root, "preflight"), filepath.Join(root, "bin"), filepath.Join(root, "findings")
			for _, dir := range []string{preflight, bin} {
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			write := func(path, text string) {
				t.Helper()
				if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for _, script := range []string{"common.sh", "checks.sh", "storage.sh", "cluster.sh"} {
				data, err := os.ReadFile(filepath.Join("lib", script))
				if err != nil {
					t.Fatal(err)
				}
				write(filepath.Join(preflight, script), string(data))
			}
			write(filepath.Join(preflight, "endpoints"), "s3.example.com\t443\trequired\trepository/shop\t"+test.to+"\n")
			write(filepath.Join(bin, "curl"), "#!/bin/sh\nprintf 0.000000\necho 'curl: it timed out' >&2\nexit "+test.code+"\n")
			write(filepath.Join(bin, "kubectl"), "#!/bin/sh\necho Forbidden >&2\nexit 1\n")
			write(filepath.Join(bin, "sleep"), "#!/bin/sh\n")
			command := exec.Command("sh", filepath.Join(preflight, "cluster.sh"))
			command.Env = []string{
				"PATH=" + bin + ":" + os.Getenv("PATH"), "HOLDFAST_ROOT=" + root, "HOLDFAST_FINDINGS=" + findings, "HOLDFAST_SCRATCH=" + root,
				"HOLDFAST_UNIT=cluster", "HOLDFAST_NAMESPACE=shop", "HOLDFAST_INSTANCE=shop", "HOLDFAST_DEADLINE=30",
			}
			if out, err := command.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			data, err := os.ReadFile(findings)
			if err != nil {
				t.Fatal(err)
			}
			_, found, _ := strings.Cut(string(data), "FAIL\trepository/shop\ts3.example.com:443\t")
			if !strings.Contains(found, "curl: it timed out") {
				t.Fatalf("the findings are\n%s", data)
			}
			if got := strings.Contains(found, "add it to network.endpoints"); got != test.want {
				t.Errorf("the cause is named: %t; the findings are\n%s", got, data)
			}
		})
	}
}
