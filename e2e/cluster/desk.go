package cluster

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed desk.yaml
var deskManifest string

// Root opens both S3 servers of the cluster.
const Root = "secret-of-the-root-user"

//go:embed side.yaml
var sideManifest string

// claim is a volume: a folder of this machine.
type claim struct {
	namespace, name string
	uid             int
}

// Claims are all volumes of the desk.
var claims = []claim{
	{"desk", "web-data", 1000}, {"desk", "ldap-data", 1000},
	{"desk-db", "postgresql-data", 1000}, {"desk-db", "mariadb-data", 1000}, {"desk-db", "mail-spool", 2000},
}

// Desk is the instance of examples/e2e, with its data.
type Desk struct {
	*Cluster
	storage, objects string // addresses of the two S3 servers
}

// Deploy makes the empty servers of the instance, and the storage with one
// account for each bucket.
func (c *Cluster) Deploy() (*Desk, error) {
	d := &Desk{Cluster: c}
	for _, folder := range []string{"s3/accounts", "s3/buckets", "objects"} {
		if err := os.MkdirAll(filepath.Join(c.Dir, "volumes", folder), 0o755); err != nil {
			return nil, err
		}
	}
	if err := d.Up(); err != nil {
		return nil, err
	}
	var err error
	if d.storage, err = c.storage("s3"); err == nil {
		d.objects, err = c.storage("objects")
	}
	return d, err
}

// storage waits for an S3 server, and returns its address on the node.
func (c *Cluster) storage(name string) (string, error) {
	if err := c.wait(name+" runs", "rollout", "status", "--namespace=storage", "deployment/"+name, "--timeout=1s"); err != nil {
		return "", err
	}
	return c.Control.TryKubectl("get", "service", name, "--namespace=storage", "--output=jsonpath=http://{.spec.clusterIP}:{.spec.ports[0].port}")
}

// Up makes what is missing of the desk's workloads, claims and accounts, empty.
func (d *Desk) Up() error { return d.deploy(deskManifest, claims) }

// deploy applies a manifest of workloads, and makes the claims that they use.
func (c *Cluster) deploy(text string, claims []claim) error {
	volumes := filepath.Join(c.Dir, "volumes")
	text = strings.NewReplacer(
		"{{image}}", Image, "{{root}}", Root, "{{volumes}}", volumes,
		"{{pod}}", "{runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, seccompProfile: {type: RuntimeDefault}}",
		"{{container}}", "{allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}",
	).Replace(text)
	// Namespaces come first in the manifest, and the claims lie in them.
	for _, claim := range claims {
		folder := filepath.Join(volumes, claim.name)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		if err := os.Chown(folder, claim.uid, claim.uid); err != nil {
			return err
		}
		text += strings.NewReplacer("{{name}}", claim.name, "{{namespace}}", claim.namespace, "{{folder}}", folder).Replace(`
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: "{{name}}"}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: local
  persistentVolumeReclaimPolicy: Retain
  claimRef: {namespace: "{{namespace}}", name: "{{name}}"}
  hostPath: {path: "{{folder}}", type: Directory}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: "{{name}}", namespace: "{{namespace}}"}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: local
  volumeName: "{{name}}"
  resources: {requests: {storage: 1Gi}}
`)
	}
	return c.Manifest(text)
}

// Ready waits until every workload of the desk serves.
func (d *Desk) Ready() error {
	for _, set := range [][2]string{{"desk", "ldap"}, {"desk", "vault"}, {"desk", "web"}, {"desk-db", "postgresql"}, {"desk-db", "mariadb"}, {"desk-db", "spool"}} {
		if err := d.wait(set[1]+" runs", "rollout", "status", "--namespace="+set[0], "statefulset/"+set[1], "--timeout=1s"); err != nil {
			out, _ := d.Control.TryKubectl("logs", "--namespace="+set[0], set[1]+"-0", "--tail=20")
			return fmt.Errorf("%w\n%s", err, out)
		}
	}
	return nil
}

// Account makes an account of the backup's storage and a bucket of its own.
func (d *Desk) Account(bucket, access, secret string) error {
	return d.account(d.storage, bucket, access, secret)
}

func (c *Cluster) account(storage, bucket, access, secret string) error {
	admin := []string{"versitygw", "admin", "--access", "root", "--secret", Root, "--endpoint-url", storage}
	// A Service leads nowhere until kube-proxy has heard of its pod.
	err := c.until(func() error {
		_, err := c.Run(nil, append(admin, "create-user", "--access", access, "--secret", secret, "--role", "user")...)
		return err
	})
	if err == nil {
		_, err = c.Run(nil, append(admin, "create-bucket", "--bucket", bucket, "--owner", access)...)
	}
	return err
}

// Exec runs a program in a pod's main container.
func (d *Desk) Exec(namespace, pod, stdin string, argv ...string) (string, error) {
	return d.Control.KubectlIn([]byte(stdin), append([]string{"exec", "--stdin", "--namespace=" + namespace, pod, "--container=main", "--"}, argv...)...)
}

// PSQL runs SQL as PostgreSQL's superuser.
func (d *Desk) PSQL(database, sql string) (string, error) {
	return d.Exec("desk-db", "postgresql-0", sql, "sh", "-c", `PGPASSWORD=$PASSWORD exec psql -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -U postgres -d "$0"`, database)
}

// mysql runs SQL as MariaDB's root.
func (d *Desk) mysql(sql string) (string, error) {
	return d.Exec("desk-db", "mariadb-0", sql, "sh", "-c", `MYSQL_PWD=$PASSWORD exec mariadb --no-defaults --socket=/data/socket --user=root --batch --default-character-set=utf8mb4`)
}

// vault runs Vault's own client as root.
func (d *Desk) vault(stdin string, arguments ...string) (string, error) {
	return d.Exec("desk", "vault-0", stdin, append([]string{"vault"}, arguments...)...)
}

// Objects runs rclone with the application's storage as "app:".
func (d *Desk) Objects(arguments ...string) (string, error) {
	return d.Run([]string{
		"RCLONE_CONFIG_APP_TYPE=s3", "RCLONE_CONFIG_APP_PROVIDER=Other", "RCLONE_CONFIG_APP_ENDPOINT=" + d.objects, "RCLONE_CONFIG_APP_FORCE_PATH_STYLE=true",
		"RCLONE_CONFIG_APP_ACCESS_KEY_ID=root", "RCLONE_CONFIG_APP_SECRET_ACCESS_KEY=" + Root,
	}, append([]string{"rclone", "--config", "/dev/null", "--retries", "1"}, arguments...)...)
}

// Accounts makes what the platform makes before a restore: the database and its
// owner, the store with its user, the bucket.
func (d *Desk) Accounts() error {
	if _, err := d.PSQL("postgres", `CREATE ROLE files_owner LOGIN PASSWORD 'owner''s'; CREATE DATABASE files OWNER files_owner;`); err != nil {
		return err
	}
	policy := `path "kv/data/*" { capabilities = ["create", "update", "read"] }
path "kv/metadata/*" { capabilities = ["create", "update", "read", "list"] }
path "kv/config" { capabilities = ["read", "update"] }
`
	for _, step := range [][]string{
		{"", "secrets", "enable", "-path=kv", "-version=2", "kv"},
		{"", "auth", "enable", "userpass"},
		{policy, "policy", "write", "holdfast", "-"},
		{"", "write", "auth/userpass/users/keeper-of-desk", "password=example-not-a-real-secret-e2e-sm", "token_policies=holdfast"},
	} {
		if _, err := d.vault(step[0], step[1:]...); err != nil {
			return err
		}
	}
	_, err := d.Objects("mkdir", "app:desk-files")
	return err
}

// Seed fills the desk with data of every sort.
func (d *Desk) Seed() error {
	if _, err := d.PSQL("files", `SET ROLE files_owner;
CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL UNIQUE, photo bytea);
INSERT INTO users (name, photo) SELECT 'Größe '||n, decode(repeat(md5(n::text), 64), 'hex') FROM generate_series(1, 500) n;
CREATE SCHEMA shares;
CREATE TABLE shares.links (id int PRIMARY KEY, owner int REFERENCES public.users, made timestamptz DEFAULT '2026-01-01Z');
INSERT INTO shares.links SELECT n, n FROM generate_series(1, 300) n;
CREATE TABLE empty_one (id int);
CREATE VIEW busy AS SELECT owner, count(*) FROM shares.links GROUP BY owner;
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n';
SELECT lo_from_bytea(4711, decode(repeat('00ff', 4000), 'hex'));
RESET ROLE;
CREATE ROLE readers NOLOGIN; GRANT readers TO files_owner; GRANT SELECT ON users TO readers;`); err != nil {
		return err
	}
	if _, err := d.mysql(`CREATE DATABASE configdb CHARACTER SET utf8mb4; CREATE DATABASE PRIMARYDB_5 CHARACTER SET utf8mb4;
CREATE TABLE configdb.context (id int PRIMARY KEY, name varchar(100));
INSERT INTO configdb.context SELECT seq, concat('Größe 🙂 ', seq) FROM configdb.seq_1_to_300 UNION SELECT 1000, 'x' LIMIT 0;
INSERT INTO configdb.context VALUES (1, 'Größe 🙂'), (2, 'it''s "quoted"'), (3, 'back\\slash');
CREATE TABLE PRIMARYDB_5.mail (id int PRIMARY KEY AUTO_INCREMENT, body longblob);
INSERT INTO PRIMARYDB_5.mail (body) VALUES (repeat(x'00ff', 50000)), ('second');
CREATE PROCEDURE PRIMARYDB_5.tidy() DELETE FROM mail WHERE id < 0;
CREATE TRIGGER PRIMARYDB_5.loud BEFORE INSERT ON PRIMARYDB_5.mail FOR EACH ROW SET @last = NEW.id;
CREATE USER ox@'%' IDENTIFIED BY 'ox''s'; GRANT SELECT, INSERT ON configdb.* TO ox@'%';`); err != nil {
		return err
	}
	var people strings.Builder
	people.WriteString("dn: dc=desk,dc=example,dc=test\nobjectClass: dcObject\nobjectClass: organization\no: Desk\ndc: desk\n\ndn: ou=people,dc=desk,dc=example,dc=test\nobjectClass: organizationalUnit\nou: people\n\n")
	for n := range 60 {
		fmt.Fprintf(&people, "dn: uid=user%d,ou=people,dc=desk,dc=example,dc=test\nobjectClass: inetOrgPerson\nuid: user%d\ncn: Größe %d\nsn: Test\nuserPassword: {SSHA}aGVsbG8gd29ybGQgb2YgaGFzaGVz%02d==\n\n", n, n, n, n)
	}
	if err := d.ldap("ldapadd", people.String()); err != nil {
		return err
	}
	for path, value := range map[string]string{"master-password": "correct horse", "deep/er/token": "Größe \"quoted\" $HOME", "with blank": "x"} {
		if _, err := d.vault(value, "kv", "put", "-mount=kv", "desk/"+path, "value=-"); err != nil {
			return err
		}
	}
	for _, app := range [][2]string{{"desk", "web-0"}, {"desk-db", "spool-0"}} {
		if _, err := d.Exec(app[0], app[1], "", "sh", "-ec", `cd /data; umask 077; mkdir -p deep/er; echo private >private; echo 'größe' >'deep/er/ümläut $x'; ln -s ../private deep/link; : >empty
head -c 300000 /dev/zero | tr '\0' x >large; chmod 644 large; chmod 751 deep`); err != nil {
			return err
		}
	}
	if err := d.Manifest(`apiVersion: v1
kind: Secret
metadata: {name: web-session, namespace: desk}
stringData: {key: signs the sessions, odd.key: "ümläut\n"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web-settings, namespace: desk}
data: {title: Schreibtisch, nginx.conf: "listen 8080;\n"}
`); err != nil {
		return err
	}
	for name, text := range map[string]string{"one.txt": "one", "deep/two ümläut.txt": "two", "three.bin": strings.Repeat("3", 200000)} {
		file := filepath.Join(d.Dir, "object")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
		if _, err := d.Objects("copyto", file, "app:desk-files/"+name); err != nil {
			return err
		}
	}
	return nil
}

// ldap sends an LDIF as the directory's admin.
func (d *Desk) ldap(tool, ldif string) error {
	_, err := d.Exec("desk", "ldap-0", ldif, tool, "-x", "-H", "ldap://127.0.0.1:1389", "-D", "cn=admin,dc=desk,dc=example,dc=test", "-w", "directory's password")
	return err
}

// Change changes something in every source.
func (d *Desk) Change() error {
	_, err := d.PSQL("files", `INSERT INTO users (name) VALUES ('came later'); DELETE FROM shares.links WHERE id = 7;`)
	if err == nil {
		_, err = d.mysql(`INSERT INTO configdb.context VALUES (77, 'came later'); DELETE FROM PRIMARYDB_5.mail WHERE id = 2;`)
	}
	if err == nil {
		err = d.ldap("ldapmodify", "dn: uid=user7,ou=people,dc=desk,dc=example,dc=test\nchangetype: modify\nreplace: sn\nsn: Later\n")
	}
	if err == nil {
		_, err = d.vault("later", "kv", "put", "-mount=kv", "desk/master-password", "value=-")
	}
	for _, app := range [][2]string{{"desk", "web-0"}, {"desk-db", "spool-0"}} {
		if err == nil {
			_, err = d.Exec(app[0], app[1], "", "sh", "-ec", "echo later >/data/later; rm /data/empty")
		}
	}
	if err == nil {
		file := filepath.Join(d.Dir, "object")
		if err = os.WriteFile(file, []byte("ONE"), 0o600); err == nil {
			_, err = d.Objects("copyto", file, "app:desk-files/one.txt")
		}
	}
	return err
}

// Content is everything that must come back, by source.
func (d *Desk) Content() (map[string]string, error) {
	content := map[string]string{}
	for _, source := range []struct {
		name string
		read func() (string, error)
	}{
		{"postgresql/files", func() (string, error) {
			return d.PSQL("files", `SELECT * FROM users ORDER BY id; SELECT * FROM shares.links ORDER BY id; SELECT count(*) FROM empty_one; SELECT * FROM busy ORDER BY owner; SELECT twice(21);
SELECT md5(lo_get(4711)); SELECT nspname, relname, relkind, pg_get_userbyid(relowner), relacl FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname IN ('public', 'shares') ORDER BY 1, 2;
SELECT last_value FROM users_id_seq;`)
		}},
		{"postgresql/pg-globals", func() (string, error) {
			return d.PSQL("postgres", `SELECT rolname, rolcanlogin, rolsuper FROM pg_roles ORDER BY 1; SELECT pg_get_userbyid(roleid), pg_get_userbyid(member) FROM pg_auth_members WHERE member > 16000 ORDER BY 1, 2;`)
		}},
		{"mariadb/mail", func() (string, error) {
			return d.Exec("desk-db", "mariadb-0", "", "sh", "-c", `MYSQL_PWD=$PASSWORD exec mariadb-dump --no-defaults --socket=/data/socket --user=root --databases configdb PRIMARYDB_5 --routines --triggers --skip-dump-date --hex-blob
MYSQL_PWD=$PASSWORD mariadb --no-defaults --socket=/data/socket --user=root --batch -e "SHOW GRANTS FOR ox@'%'"`)
		}},
		{"openldap/directory", func() (string, error) {
			return d.Exec("desk", "ldap-0", "", "slapcat", "-o", "ldif-wrap=no", "-b", "dc=desk,dc=example,dc=test")
		}},
		{"secrets-manager/kv", func() (string, error) {
			var out strings.Builder
			for _, path := range []string{"master-password", "deep/er/token", "with blank"} {
				text, err := d.vault("", "kv", "get", "-mount=kv", "-format=json", "-field=value", "desk/"+path)
				if err != nil {
					return "", err
				}
				fmt.Fprintf(&out, "%s: %s\n", path, text)
			}
			return out.String(), nil
		}},
		{"volume/web-data", func() (string, error) { return d.files("desk", "web-0") }},
		{"volume/mail-spool", func() (string, error) { return d.files("desk-db", "spool-0") }},
		{"bucket/files", func() (string, error) {
			// rclone lists folders side by side, in no order.
			out, err := d.Objects("md5sum", "app:desk-files")
			return strings.Join(slices.Sorted(strings.Lines(out)), ""), err
		}},
		{"kubernetes-secrets/application", func() (string, error) { return d.data("desk", "secret", "web-session") }},
		{"kubernetes-secrets/mariadb", func() (string, error) { return d.data("desk-db", "secret", "databases") }},
		{"namespace-manifests/application", func() (string, error) { return d.data("desk", "configmap", "web-settings") }},
	} {
		text, err := source.read()
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", source.name, err)
		}
		content[source.name] = text
	}
	return content, nil
}

// files lists an application's files with owners, modes and sums.
func (d *Desk) files(namespace, pod string) (string, error) {
	return d.Exec(namespace, pod, "", "sh", "-ec", `cd /data; find . -mindepth 1 -printf '%p %y %u %g %m %l\n' | sort; find . -type f -exec sha256sum {} + | sort -k2`)
}

// data is the data of a Secret or ConfigMap.
func (d *Desk) data(namespace, kind, name string) (string, error) {
	out, err := d.Control.TryKubectl("get", kind, name, "--namespace="+namespace, "--output=json")
	if err != nil {
		return "", err
	}
	var value struct{ Data map[string]string }
	if err := json.Unmarshal([]byte(out), &value); err != nil {
		return "", err
	}
	text, err := json.Marshal(value.Data)
	return string(text), err
}

// Destroy loses the whole instance: both namespaces with all that is in them, the
// volumes' content, and the bucket. Only the backup's storage is left.
func (d *Desk) Destroy() error {
	if _, err := d.Control.TryKubectl("delete", "namespace", "desk", "desk-db", "--timeout=10m"); err != nil {
		return err
	}
	for _, claim := range claims {
		if _, err := d.Control.TryKubectl("delete", "persistentvolume", claim.name, "--timeout=10m"); err != nil {
			return err
		}
		if err := os.RemoveAll(filepath.Join(d.Dir, "volumes", claim.name)); err != nil {
			return err
		}
	}
	_, err := d.Objects("purge", "app:desk-files")
	return err
}

// Scale sets a StatefulSet's replicas and waits until it is so.
func (d *Desk) Scale(namespace, name string, replicas int) error {
	if _, err := d.Control.TryKubectl("scale", "statefulset", name, "--namespace="+namespace, fmt.Sprintf("--replicas=%d", replicas)); err != nil {
		return err
	}
	if replicas > 0 {
		return d.wait(name+" runs", "rollout", "status", "--namespace="+namespace, "statefulset/"+name, "--timeout=1s")
	}
	return d.wait(name+" is gone", "wait", "--for=delete", "pod/"+name+"-0", "--namespace="+namespace, "--timeout=1s")
}

// HoldLDAP starts the directory's pod with slapd held back, by the commands that
// the kind's README gives.
func (d *Desk) HoldLDAP() error {
	if err := d.Scale("desk", "ldap", 0); err != nil {
		return err
	}
	// The start script would have made the database's folder.
	if _, err := d.Control.TryKubectl("patch", "statefulset", "ldap", "--namespace=desk", "--patch",
		`{"spec":{"template":{"spec":{"containers":[{"name":"main","command":["sh","-c","mkdir -p /var/lib/univention-ldap/ldap; exec sleep infinity"],"livenessProbe":null,"readinessProbe":null,"startupProbe":null}]}}}}`); err != nil {
		return err
	}
	return d.Scale("desk", "ldap", 1)
}

// ReleaseLDAP deploys the directory as it was.
func (d *Desk) ReleaseLDAP() error {
	if err := d.Scale("desk", "ldap", 0); err != nil {
		return err
	}
	if err := d.Up(); err != nil {
		return err
	}
	return d.Scale("desk", "ldap", 1)
}
