package plan

import (
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
)

// TestLiveFiles: which claims hold what another unit dumps, or have a name that
// says so.
func TestLiveFiles(t *testing.T) {
	tree, problems := input.Load(input.Document{Name: "state", Data: []byte(`{}`)})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	other := func(id, host string, workload *kind.Workload) kind.Discovered {
		return kind.Discovered{Unit: kind.Unit{ID: id, Namespace: "app", Capture: &kind.Capture{How: kind.Dump, Workload: workload},
			Connects: []kind.Connection{{Host: apiServer}, {Host: host, Port: 1}}}}
	}
	units := []kind.Discovered{
		other("postgresql/shop", "pg", nil),
		other("mariadb/main", "galera.db.svc.cluster.local", nil),
		other("postgresql/far", "files.example.org", nil),
		other("openldap/directory", apiServer, &kind.Workload{Kind: "StatefulSet", Name: "directory"}),
	}
	for _, test := range []struct {
		namespace, claim, workload string
		live                       bool
	}{
		{claim: "data-postgresql-0", live: true},
		{claim: "data-opendesk-postgresql-primary-0", live: true},
		{claim: "data-mariadb-galera-2", live: true},
		{claim: "data-cassandra-1", live: true},
		{claim: "redis-data-redis-master-0", live: true},
		{claim: "shared-data-ums-ldap-server-primary-0", live: true},
		{claim: "minio", live: true},
		{claim: "data-seaweedfs-volume-0", live: true},
		{claim: "pgdata-pg-0", live: true},
		{claim: "pgdata-pg", live: false},
		{claim: "pg-0", live: false},
		{namespace: "other", claim: "pgdata-pg-0", live: false},
		{namespace: "db", claim: "data-galera-0", live: true},
		{claim: "store", workload: "pg", live: true},
		{claim: "store", workload: "directory", live: true},
		{claim: "run-directory-1", live: true},
		{claim: "store", workload: "web", live: false},
		{claim: "data-files-0", live: false},
		{claim: "xwiki-data-xwiki-0", live: false},
		{claim: "data-ums-provisioning-udm-listener-0", live: false},
		{claim: "nats-data-ums-provisioning-nats-0", live: false},
		{claim: "media-opendesk-synapse-0", live: false},
		{claim: "postfix", live: false},
	} {
		namespace := test.namespace
		if namespace == "" {
			namespace = "app"
		}
		u := kind.Unit{ID: "volume/" + test.claim, Namespace: namespace, Capture: &kind.Capture{How: kind.Volume, Claim: test.claim}}
		if test.workload != "" {
			u.Capture.Workload = &kind.Workload{Kind: "StatefulSet", Name: test.workload}
		}
		state := &input.State{Tree: tree}
		c := &checker{plan: &Plan{inputs: &inputs{instance: input.Instance{State: state}, discovered: append(units, kind.Discovered{Unit: u})}}}
		c.live(u)
		if got := len(c.problems) == 1; got != test.live || len(c.problems) > 1 {
			t.Errorf("%s/%s of %q: %v, want live: %v", namespace, test.claim, test.workload, c.problems, test.live)
		}
		u.Capture.LiveReason = "x"
		c.problems = nil
		if c.live(u); len(c.problems) > 0 {
			t.Errorf("%s has a reason: %v", test.claim, c.problems)
		}
	}
}
