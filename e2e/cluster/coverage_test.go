package cluster_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/e2e/cluster"
)

// explained makes the listings that "holdfast coverage --commands" asks for, of the real
// cluster and the real repositories, and holds the plan against them: nothing is left
// unexplained. Then a claim and a database are added of which no plan knows, and a
// listing comes without the newest copies: each is named.
func explained(t *testing.T, c *cluster.Cluster, desk *cluster.Desk, tree *cluster.Tree, state string, opens cluster.Credentials) {
	t.Helper()
	dir := t.TempDir()
	state, err := filepath.Abs(state)
	must(t, err)
	document, err := filepath.Abs(credentials)
	must(t, err)
	inputs := []string{"coverage", "--state", state, "--credentials", document}
	commands, said, status, err := cluster.Holdfast(dir, append(inputs, "--commands")...)
	must(t, err)
	if status != 0 {
		t.Fatalf("exit status %d: %s", status, said)
	}
	lines := strings.Split(strings.TrimSpace(commands), "\n")
	list := func() {
		t.Helper()
		for _, line := range lines[:len(lines)-1] {
			command, file, found := strings.Cut(line, " >")
			if strings.HasPrefix(line, "#") || !found {
				continue
			}
			text, err := listing(c, desk, tree, opens, command)
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
		}
	}
	list()
	var given []string
	for _, match := range regexp.MustCompile(`(--(?:live|stored)) (?:'([^']*)'|(\S+))`).FindAllStringSubmatch(lines[len(lines)-1], -1) {
		given = append(given, match[1], match[2]+match[3])
	}
	// Other tests have namespaces of their own in this cluster, and every server of
	// PostgreSQL has a database of this name.
	exempt := []map[string]string{{"source": "e2e/desk-db/postgresql://postgresql.desk-db.svc.cluster.local:5432/postgres", "reason": "nothing is in it"}}
	for _, namespace := range claimed(t, filepath.Join(dir, "live.json")) {
		if !slices.Contains(tree.Plan.Namespaces, namespace) {
			exempt = append(exempt, map[string]string{"source": "claim:" + namespace + "/*", "reason": "another test's"})
		}
	}
	inputs = append(inputs, "--policy", deadlines(t, map[string]any{"exempt": exempt}), "--grace", "0s")
	var copies []string // of buckets, which no repository of restic lists
	for _, unit := range tree.Plan.Units {
		for _, e := range unit.Expected {
			if e.Engine == "rclone" {
				copies = append(copies, e.Where)
			}
		}
	}
	look := func(want int, words ...string) {
		t.Helper()
		out, said, status, err := cluster.Holdfast(dir, append(slices.Clone(inputs), given...)...)
		must(t, err)
		if status != want {
			t.Errorf("exit status %d instead of %d\n%s%s", status, want, out, said)
		}
		for _, word := range words {
			if !strings.Contains(out+said, word) {
				t.Errorf("%q is not said:\n%s%s", word, out, said)
			}
		}
		if strings.Contains(out+said, "not-a-real-secret") {
			t.Errorf("a secret is printed:\n%s%s", out, said)
		}
		for line := range strings.Lines(out) {
			if place, unseen := strings.CutPrefix(strings.TrimSpace(line), "not looked at: "); unseen && !slices.Contains(copies, place) {
				t.Error(line)
			}
		}
	}
	look(0, "postgresql/files", "bucket/files", "volume/web-data")

	claim := `{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "forgotten", "namespace": "desk"},
	  "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": {"requests": {"storage": "1Mi"}}}}`
	_, err = c.Control.KubectlIn([]byte(claim), "create", "--filename=-")
	must(t, err)
	_, err = desk.PSQL("postgres", "CREATE DATABASE forgotten")
	must(t, err)
	list()
	look(3, "e2e/claim:desk/forgotten: it lives, and no plan has it", ":5432/forgotten: it lives, and no plan has it", "holdfast: 2 gaps")
	_, err = c.Control.TryKubectl("delete", "persistentvolumeclaim", "forgotten", "--namespace=desk")
	must(t, err)
	_, err = desk.PSQL("postgres", "DROP DATABASE forgotten")
	must(t, err)
	list()
	for file := range strings.FieldsSeq("snapshots-1 snapshots-2") {
		must(t, os.WriteFile(filepath.Join(dir, file), []byte("[]"), 0o600))
	}
	look(3, "postgresql/files: it has no snapshot of", "volume/mail-spool: it has no snapshot of", fmt.Sprintf("holdfast: %d gaps", tree.Plan.Totals.Snapshots))
}

// listing is what one of the printed commands prints, but for addresses: nothing here
// reaches the cluster's servers by name.
func listing(c *cluster.Cluster, desk *cluster.Desk, tree *cluster.Tree, opens cluster.Credentials, command string) (string, error) {
	switch program, _, _ := strings.Cut(command, " "); program {
	case "kubectl":
		return c.Control.TryKubectl(strings.Fields(command)[1:]...)
	case "psql":
		// The server's own pod has no way to the names of the cluster.
		command = regexp.MustCompile(`--host='[^']*'`).ReplaceAllString(command, "--host=127.0.0.1")
		return desk.Exec("desk-db", "postgresql-0", "", "sh", "-c", "PGPASSWORD=$PASSWORD exec "+command)
	case "rclone":
		return desk.Objects("lsf", "--dirs-only", "app:")
	case "restic":
		for id, r := range tree.Plan.Repositories {
			if strings.Contains(command, "'"+r.URL+"'") {
				return c.ResticAs(opens, tree, id, "snapshots", "--no-lock", "--json")
			}
		}
	}
	return "", fmt.Errorf("no test runs %s", command)
}

// claimed are the namespaces with claims, of a listing.
func claimed(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	var list struct {
		Items []struct {
			Kind     string `json:"kind"`
			Metadata struct {
				Namespace string `json:"namespace"`
			} `json:"metadata"`
		} `json:"items"`
	}
	must(t, json.Unmarshal(data, &list))
	var namespaces []string
	for _, item := range list.Items {
		if item.Kind == "PersistentVolumeClaim" {
			namespaces = append(namespaces, item.Metadata.Namespace)
		}
	}
	slices.Sort(namespaces)
	return slices.Compact(namespaces)
}
