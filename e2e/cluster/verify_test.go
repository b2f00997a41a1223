package cluster_test

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/e2e/cluster"
	"github.com/holdfast-backup/holdfast/renderer/plan"
)

// verified runs each verifier at once, as an operator would, and reads the status that
// it writes, as "holdfast status" does: after two rounds every unit is well, by what K8up
// really stored.
func verified(t *testing.T, c *cluster.Cluster, p *plan.Plan, state string) {
	t.Helper()
	dir := t.TempDir()
	state, err := filepath.Abs(state)
	must(t, err)
	document, err := filepath.Abs(credentials)
	must(t, err)
	command := []string{"status", "--state", state, "--credentials", document}
	seen := map[string]bool{}
	// matched are the namespaces in which the real K8up's Backups are told apart by their
	// units: else nothing that K8up says would ever be held against what is stored.
	matched := map[string]bool{}
	for _, v := range p.Verifiers {
		name := v.Name + "-" + strings.ToLower(rand.Text()[:6])
		_, err := c.Control.TryKubectl("create", "job", name, "--namespace="+v.Namespace, "--from=cronjob/"+v.Name)
		must(t, err)
		if err := c.WaitJob(v.Namespace, name); err != nil {
			t.Error(err)
		}
		out, err := c.Control.TryKubectl("get", "configmap", v.Status, "--namespace="+v.Namespace, "--output=json")
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, v.Namespace), []byte(out), 0o600))
		command = append(command, v.Namespace)
		var status struct{ Data map[string]string }
		must(t, json.Unmarshal([]byte(out), &status))
		for key, text := range status.Data {
			if key == "verifier" {
				continue
			}
			var line struct {
				Unit, Result, Taken, LastAttempt, Backup, Read string
				Bytes, Count                                   int64
			}
			must(t, json.Unmarshal([]byte(text), &line))
			seen[line.Unit] = true
			if line.Backup != "" {
				matched[v.Namespace] = true
			}
			unit := unitOf(t, p, line.Unit)
			dump := unit.Capture.How == "dump" || unit.Capture.How == "exec"
			if line.Result != "ok" || line.Taken == "" || line.LastAttempt == "" || dump && (line.Read == "" || line.Bytes == 0) {
				t.Errorf("the verifier says: %s", text)
			}
		}
	}
	for _, unit := range p.Units {
		if !seen[unit.ID] {
			t.Errorf("no verifier looked at %s", unit.ID)
		}
	}
	for id := range p.Repositories {
		if !matched[p.Repositories[id].Namespace] {
			t.Errorf("no verifier knew a Backup of K8up's in %s", p.Repositories[id].Namespace)
		}
	}
	out, said, code, err := cluster.Holdfast(dir, command...)
	must(t, err)
	if code != 0 || !strings.Contains(out, "0 red") {
		t.Errorf("exit status %d\n%s%s", code, out, said)
	}
}

// unitOf is the unit of that id.
func unitOf(t *testing.T, p *plan.Plan, id string) plan.Item {
	t.Helper()
	for _, unit := range p.Units {
		if unit.ID == id {
			return unit
		}
	}
	t.Fatalf("there is no unit %s", id)
	return plan.Item{}
}
