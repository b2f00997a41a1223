package cluster

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/plan"
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

// Content is how many bytes there are of something, and their sum.
type Content struct {
	Bytes  int64
	SHA256 string
}

// Handed is what a dump's pod hands over: the file that its script has written
// and checked, and prints next. It is read where the node keeps it, for the pod's
// image need not have what makes sums; being open, it may go meanwhile. The run
// must not end before that.
func (c *Cluster) Handed(unit plan.Item, kind, name string) (Content, error) {
	node, err := os.ReadFile(filepath.Join(c.Dir, "node.pid"))
	if err != nil {
		return Content{}, err
	}
	var file *os.File
	var ended string
	err = c.until(func() (err error) {
		if ended, err = c.ended(unit.Namespace, kind, name); err != nil || ended != "" {
			return err
		}
		pod, err := c.Control.TryKubectl("get", "pods", "--namespace="+unit.Namespace, "--selector=k8up.io/preBackupPod="+unit.Name, "--output=jsonpath={.items[0].metadata.uid}")
		if err != nil {
			return err
		}
		scratch := filepath.Join("/proc", string(node), "root/var/lib/kubelet/pods", pod, "volumes/kubernetes.io~empty-dir/scratch")
		// The list of the dump is written when the dump is whole.
		lists, err := filepath.Glob(filepath.Join(scratch, "work.*", "list"))
		if err != nil || len(lists) != 1 {
			return fmt.Errorf("%d dumps in %s: %v", len(lists), scratch, err)
		}
		if info, err := os.Stat(lists[0]); err != nil || info.Size() == 0 {
			return fmt.Errorf("the dump is not whole: %v", err)
		}
		file, err = os.Open(filepath.Join(filepath.Dir(lists[0]), "dump"))
		return err
	})
	if err == nil && ended != "" {
		err = fmt.Errorf("%s %s/%s is %s, and nothing was handed over", kind, unit.Namespace, name, ended)
	}
	if err != nil {
		return Content{}, err
	}
	defer file.Close()
	return contentOf(file)
}

func contentOf(from io.Reader) (Content, error) {
	sum := sha256.New()
	n, err := io.Copy(sum, from)
	return Content{n, hex.EncodeToString(sum.Sum(nil))}, err
}

// Stored is what a repository gives back of a snapshot.
func (s *Side) Stored(repository string, snapshot Found) (content Content, err error) {
	err = s.pipe(repository, nil, func(stdout io.Reader) (err error) {
		content, err = contentOf(stdout)
		return err
	}, "dump", "--no-lock", snapshot.ID, snapshot.Path)
	return content, err
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
