package cluster

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed large.yaml
var largeManifest string

// Large deploys an instance with one database, "large", with so many bytes in it
// that no compression makes fewer.
func (c *Cluster) Large(folder string, size int64) (*Side, error) {
	if err := c.storageFolders("s3-large"); err != nil {
		return nil, err
	}
	if err := c.deploy(largeManifest, []claim{{"large", "large-db", 1000}}); err != nil {
		return nil, err
	}
	// Large objects, for pg_dump copies them as they are: of a bytea it would make
	// twice as many characters. In pieces, none of which is like another.
	const piece = 32 << 20
	script := fmt.Sprintf(`for n in $(seq %d); do head -c %d /dev/urandom >/data/piece; echo "SELECT lo_import('/data/piece');" | psql -X -q -v ON_ERROR_STOP=1 -d large >/dev/null; done; rm /data/piece`, (size+piece-1)/piece, piece)
	// Before the tree: the preflight logs in.
	if err := c.until(func() error {
		_, err := c.Control.TryKubectl("exec", "--namespace=large", "postgresql-0", "--", "sh", "-ec",
			`export PGPASSWORD=right PGHOST=127.0.0.1 PGUSER=postgres; pg_isready -q; psql -X -q -c 'DROP DATABASE IF EXISTS large' -c 'CREATE DATABASE large'; psql -X -q -d large -c 'CREATE TABLE one (id int)'; `+script)
		return err
	}); err != nil {
		return nil, err
	}
	return c.side(folder, "large", "s3-large", 7074, map[string]any{
		"deadlines": map[string]any{"postgresql": 1800},
		// The node keeps its pods' folders in memory, and scratch counts as the pod's.
		"resources": map[string]any{"postgresql/large": map[string]any{"requests": map[string]any{"cpu": "50m", "memory": "128Mi"}, "limits": map[string]any{"memory": "3Gi"}}},
	}, map[string]any{
		"databases": map[string]any{"postgresql": []any{postgresql("large")}},
	})
}

// Sums are those of all large objects of a database of that instance.
func (s *Side) Sums(database string) (string, error) {
	return s.Control.KubectlIn([]byte(`SELECT oid, encode(sha256(lo_get(oid)), 'hex') FROM pg_largeobject_metadata ORDER BY oid`),
		"exec", "--stdin", "--namespace=large", "postgresql-0", "--", "sh", "-c", `PGPASSWORD=right exec psql -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -U postgres -d "$0"`, database)
}

// Load restores a snapshot, as the repository gives it back, into a new database
// of that instance, by PostgreSQL's own tool alone.
func (s *Side) Load(repository string, snapshot Found, database string) error {
	return s.pipe(repository, nil, func(copied io.Reader) error {
		_, err := s.Control.KubectlFrom(copied, "exec", "--stdin", "--namespace=large", "postgresql-0", "--", "sh", "-ec",
			`export PGPASSWORD=right PGHOST=127.0.0.1 PGUSER=postgres; psql -X -q -d postgres -c "CREATE DATABASE $0"; pg_restore --exit-on-error --dbname="$0"`, database)
		if err == nil {
			// pg_restore does not read what comes after the archive.
			_, err = io.Copy(io.Discard, copied)
		}
		return err
	}, "dump", "--no-lock", snapshot.ID, snapshot.Path)
}

// End is the last line of what a repository gives back of a snapshot.
func (s *Side) End(repository string, snapshot Found) (end string, err error) {
	err = s.pipe(repository, nil, func(copied io.Reader) error {
		var last []byte
		buffer := make([]byte, 1<<20)
		for {
			n, err := copied.Read(buffer)
			if last = append(last, buffer[:n]...); len(last) > 4096 {
				last = slices.Clone(last[len(last)-4096:])
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
		}
		end = strings.TrimSuffix(string(last), "\n")
		end = end[strings.LastIndex(end, "\n")+1:]
		return nil
	}, "dump", "--no-lock", snapshot.ID, snapshot.Path)
	return end, err
}

// StoreCut stores a snapshot beside another: the same, but for its last bytes.
func (s *Side) StoreCut(repository string, snapshot Found, missing int64) error {
	return s.pipe(repository, nil, func(whole io.Reader) error {
		return s.pipe(repository, io.LimitReader(whole, snapshot.Bytes-missing), nil, "backup", "--stdin", "--stdin-filename="+snapshot.Path, "--host="+snapshot.Host, "--tag=cut")
	}, "dump", "--no-lock", snapshot.ID, snapshot.Path)
}

// pipe runs restic with the instance's credentials on what may not fit into
// memory.
func (s *Side) pipe(repository string, stdin io.Reader, read func(stdout io.Reader) error, arguments ...string) error {
	cmd, err := s.resticCommand(s.Tree.Plan, repository, s.Credentials, arguments...)
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = stdin, &stderr
	if read == nil {
		err = cmd.Run()
	} else {
		err = reading(cmd, read)
	}
	if err != nil {
		return fmt.Errorf("restic %s: %w\n%s", strings.Join(arguments, " "), err, stderr.String())
	}
	return nil
}

// reading runs a command whose output somebody reads, at least in part.
func reading(cmd *exec.Cmd, read func(io.Reader) error) error {
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = read(stdout)
	_, err2 := io.Copy(io.Discard, stdout)
	return errors.Join(err, err2, cmd.Wait())
}

// storageFolders makes what an S3 server of the cluster keeps its data in.
func (c *Cluster) storageFolders(name string) error {
	for _, folder := range []string{"accounts", "buckets"} {
		if err := os.MkdirAll(filepath.Join(c.Dir, "volumes", name, folder), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// postgresql is a server of an instance's state, with databases whose password
// is right but for "broken".
func postgresql(keys ...string) map[string]any {
	var databases []any
	for _, key := range keys {
		password, need := "right", "required"
		if key == "broken" {
			// A required one would be red in the preflight, and never run.
			password, need = "wrong", "optional"
		}
		databases = append(databases, map[string]any{
			"key": key, "name": key, "owner": "postgres", "username": "postgres", "backup": need,
			"passwordRef": map[string]any{"kind": "Secret", "name": "databases", "key": password},
		})
	}
	return map[string]any{
		"id": "pg", "mode": "in-cluster", "host": "postgresql", "port": 5432, "serverVersion": "15", "sslMode": "disable",
		"plainText": map[string]any{"reason": "inside the test's own cluster"}, "superuser": false, "databases": databases,
	}
}
