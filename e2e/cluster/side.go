package cluster

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// Side is a small instance with storage of its own.
type Side struct {
	*Cluster
	Tree        *Tree
	Credentials Credentials
}

// Sides deploys two small instances, "side" and "tiny", and applies their trees.
// Their state is written here, for only the faults need it.
func (c *Cluster) Sides(folder string) (side, tiny *Side, err error) {
	if err := c.storageFolders("s3-side"); err != nil {
		return nil, nil, err
	}
	if err := c.deploy(sideManifest, []claim{{"side", "side-db", 1000}, {"side", "side-files", 1000}, {"tiny", "tiny-files", 1000}}); err != nil {
		return nil, nil, err
	}
	// What is backed up must be there: the preflight logs in, and lists.
	address, err := c.storage("s3-side")
	if err != nil {
		return nil, nil, err
	}
	if _, err := c.Run([]string{
		"RCLONE_CONFIG_S_TYPE=s3", "RCLONE_CONFIG_S_PROVIDER=Other", "RCLONE_CONFIG_S_ENDPOINT=" + address, "RCLONE_CONFIG_S_FORCE_PATH_STYLE=true",
		"RCLONE_CONFIG_S_ACCESS_KEY_ID=root", "RCLONE_CONFIG_S_SECRET_ACCESS_KEY=" + Root, "RCLONE_CONFIG_S_REGION=us-east-1",
	}, "rclone", "--config", "/dev/null", "mkdir", "s:side-objects"); err != nil {
		return nil, nil, err
	}
	if err := c.until(func() error {
		_, err := c.Control.TryKubectl("exec", "--namespace=side", "postgresql-0", "--", "sh", "-ec",
			`export PGPASSWORD=right PGHOST=127.0.0.1 PGUSER=postgres
for name in good slow broken evicted crowded; do
  psql -X -q -d postgres -c "DROP DATABASE IF EXISTS $name" -c "CREATE DATABASE $name"
  psql -X -q -v ON_ERROR_STOP=1 -d "$name" -c 'CREATE TABLE stock (id int, name text)' -c 'INSERT INTO stock SELECT n, md5(n::text) FROM generate_series(1, 5000) n'
done`)
		return err
	}); err != nil {
		return nil, nil, err
	}
	volume := func(name, namespace string) map[string]any {
		return map[string]any{
			"claim": name, "namespace": namespace, "accessModes": []any{"ReadWriteOnce"}, "backup": "required",
			"workload": map[string]any{"kind": "StatefulSet", "name": "web"}, "owner": map[string]any{"uid": 1000, "gid": 1000},
		}
	}
	plain := map[string]any{"reason": "inside the test's own cluster"}
	// What is to fail is called failed after two minutes, or a little more where it
	// must have come far before; the rest has time.
	settings := map[string]any{"scratch": map[string]any{"postgresql/crowded": "200Mi"}, "deadlines": map[string]any{"postgresql/broken": 120, "postgresql/evicted": 150, "postgresql/crowded": 180, "postgresql": 900, "volume": 120}}
	side, err = c.side(folder, "side", "s3-side", 7072, settings, map[string]any{
		"databases": map[string]any{"postgresql": []any{postgresql("good", "slow", "broken", "evicted", "crowded")}},
		"volumes":   []any{volume("side-files", "side")},
		"objectStores": []any{map[string]any{
			"key": "objects", "bucket": "side-objects", "endpoint": "http://s3-side.storage.svc.cluster.local:7072", "plainHttp": plain, "region": "us-east-1",
			"accessKeyRef": map[string]any{"kind": "Secret", "name": "objects", "key": "accessKey"},
			"secretKeyRef": map[string]any{"kind": "Secret", "name": "objects", "key": "secretKey"}, "backup": "required",
		}},
	})
	if err != nil {
		return nil, nil, err
	}
	tiny, err = c.side(folder, "tiny", "s3-tiny", 7073, map[string]any{"deadlines": map[string]any{"volume": 120}}, map[string]any{"volumes": []any{volume("tiny-files", "tiny")}})
	return side, tiny, err
}

// side renders and applies an instance of that name in the namespace of that
// name.
func (c *Cluster) side(folder, name, storage string, port int, backup, state map[string]any) (*Side, error) {
	plain := map[string]any{"reason": "inside the test's own cluster"}
	// Nothing of it starts by itself while the tests run, at whatever hour.
	far := time.Now().UTC().Add(8 * time.Hour)
	clock := func(hours time.Duration, layout string) string { return far.Add(hours * time.Hour).Format(layout) }
	settings := map[string]any{
		"enabled": true, "timezone": "UTC",
		"window":      map[string]any{"start": clock(0, "15:04"), "end": clock(4, "15:04")},
		"maintenance": map[string]any{"check": clock(5, "4 15 * * *"), "prune": clock(7, "4 15 * * *")},
	}
	maps.Copy(settings, backup)
	const beside = "the desk beside it is about that"
	full := map[string]any{
		"schemaVersion": 1, "instanceId": name, "namespace": name, "cluster": map[string]any{"name": "e2e", "managedControlPlane": true},
		"network": map[string]any{
			"policyEngine": "kubernetes", "defaultDenyEgress": true, "clusterCidrs": []any{Pods, "10.96.0.0/16"},
			"apiServer": map[string]any{"cidrs": []any{NodeAddress + "/32"}, "port": APIPort},
		},
		"kubernetes": map[string]any{
			"exportSecrets": false, "exportNamespaceYaml": false, "exportClusterScoped": false,
			"reasons": map[string]any{"exportSecrets": beside, "exportNamespaceYaml": beside, "exportClusterScoped": beside},
		},
		"backup": settings,
	}
	maps.Copy(full, state)
	section := func(bucket string, more map[string]any) map[string]any {
		s := map[string]any{
			"endpoint": fmt.Sprintf("http://%s.storage.svc.cluster.local:%d", storage, port), "plainHttp": plain, "region": "us-east-1", "bucket": name + "-" + bucket, "prefix": "",
			"accessKeyId": "key-of-" + name + "-" + bucket, "secretAccessKey": "secret-of-" + name + "-" + bucket,
		}
		maps.Copy(s, more)
		return s
	}
	credentials := map[string]any{
		"schemaVersion": 1, "instanceId": name,
		"restic": section("restic", map[string]any{"password": "password-of-the-repository-of-" + name}),
		"rclone": section("rclone", map[string]any{"crypt": map[string]any{
			"password": "crypt-password-of-" + name, "password2": "crypt-salt-of-" + name, "passwordsAre": "plain",
			"filenameEncryption": "standard", "directoryNameEncryption": true,
		}}),
	}
	files := map[string]string{}
	for file, value := range map[string]any{"state": full, "credentials": credentials} {
		data, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		files[file] = filepath.Join(folder, name+"-"+file+".json")
		if err := os.WriteFile(files[file], data, 0o600); err != nil {
			return nil, err
		}
	}
	s := &Side{Cluster: c}
	into := filepath.Join(folder, name)
	err := os.Mkdir(into, 0o755)
	if err == nil {
		s.Tree, err = Render(files["state"], files["credentials"], "", into)
	}
	if err == nil {
		s.Credentials, err = ReadCredentials(files["credentials"])
	}
	if err != nil {
		return nil, err
	}
	address, err := c.storage(storage)
	if err != nil {
		return nil, err
	}
	for _, own := range []struct{ Bucket, AccessKeyID, SecretAccessKey string }{
		{s.Credentials.Restic.Bucket, s.Credentials.Restic.AccessKeyID, s.Credentials.Restic.SecretAccessKey},
		{s.Credentials.Rclone.Bucket, s.Credentials.Rclone.AccessKeyID, s.Credentials.Rclone.SecretAccessKey},
	} {
		if err := c.account(address, own.Bucket, own.AccessKeyID, own.SecretAccessKey); err != nil {
			return nil, err
		}
	}
	flux := c.Flux()
	if err := flux.Apply(s.Tree, "repository"); err != nil {
		return nil, err
	}
	return s, flux.Apply(s.Tree, "backup")
}

// ResticAs runs restic on a repository with the credentials of whoever.
func (c *Cluster) ResticAs(who Credentials, tree *Tree, repository string, arguments ...string) (string, error) {
	return c.restic(tree.Plan, repository, who, arguments...)
}
