package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

const (
	pgSuper  = "the superuser"
	pgSecret = "it's a \"secret\" of $HOME `id` \\ 100%"
)

// pgVersion is the major version that this machine has, and pgBin where its programs are.
var (
	pgVersion = func() string {
		found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
		if err != nil || len(found) != 1 {
			panic(fmt.Sprintf("e2e/setup.sh installs one version of PostgreSQL, and this machine has %q", found))
		}
		return filepath.Base(filepath.Dir(filepath.Dir(found[0])))
	}()
	pgBin = "/usr/lib/postgresql/" + pgVersion + "/bin"
)

// Names that a script must only pass on.
const (
	pgHostileName     = `-x=y 'c" $(d) \e; --clean`
	pgHostileUser     = `--u'ser" $PATH=\; x`
	pgHostilePassword = `-p'w"d $(id) \ %s&=`
)

// pgServer is a PostgreSQL server with TLS, whose superuser may do all.
type pgServer struct {
	*harness.Server
	port int
	ca   *harness.CA
}

// serverUser is the user that a database server runs as.
func serverUser(t testing.TB, name string) (uid, gid int) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatalf("%v: run e2e/setup.sh", err)
	}
	uid, err = strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err = strconv.Atoi(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	return uid, gid
}

// asUser runs a command of a server's user, and returns its stdout.
func asUser(t testing.TB, uid, gid int, dir string, argv ...string) string {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + dir, "LC_ALL=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", argv[0], err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// newPostgreSQL starts a server on loopback.
func newPostgreSQL(t testing.TB) *pgServer {
	t.Helper()
	uid, gid := serverUser(t, "postgres")
	dir := harness.Folder(t, uid)
	data, password := filepath.Join(dir, "data"), filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(pgSecret+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	asUser(t, uid, gid, dir, pgBin+"/initdb", "-D", data, "-U", pgSuper, "--auth=scram-sha-256", "--pwfile="+password,
		"--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
	s := &pgServer{port: harness.Port(t), ca: harness.NewCA(t)}
	certificate, key := s.ca.Issue(t, uid)
	argv := []string{pgBin + "/postgres", "-D", data, "-p", strconv.Itoa(s.port), "-h", "127.0.0.1", "-k", ""}
	for _, setting := range []string{
		"ssl=on", "ssl_cert_file=" + certificate, "ssl_key_file=" + key,
		"fsync=off", "shared_buffers=16MB", "max_wal_size=64MB", "autovacuum=off",
	} {
		argv = append(argv, "-c", setting)
	}
	s.Server = harness.Serve(t, "postgres", argv, harness.ServeOptions{
		UID: uid, GID: gid, Dir: dir,
		Ready: func() error { _, err := s.try("postgres", "SELECT 1"); return err },
	})
	return s
}

// try runs SQL as the superuser and returns plain lines.
func (s *pgServer) try(database, sql string) (string, error) {
	cmd := exec.Command(pgBin+"/psql", "-X", "--quiet", "--no-align", "--tuples-only", "--no-password", "--set=ON_ERROR_STOP=1")
	cmd.Env = []string{
		"PGHOST=127.0.0.1", fmt.Sprintf("PGPORT=%d", s.port), "PGUSER=" + pgSuper, "PGPASSWORD=" + pgSecret,
		"PGDATABASE=" + database, "PGCONNECT_TIMEOUT=10", "PGCLIENTENCODING=UTF8",
	}
	cmd.Stdin = strings.NewReader(sql)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, stderr.String())
	}
	return stdout.String(), nil
}

func (s *pgServer) sql(t testing.TB, database, sql string) string {
	t.Helper()
	out, err := s.try(database, sql)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// pgIdentifier and pgLiteral quote as PostgreSQL does.
func pgIdentifier(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
func pgLiteral(s string) string {
	return `E'` + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `'`, `''`) + `'`
}

// pgImage is the client's image: Alpine's in production, Debian's in tests as well.
func pgImage(t testing.TB, shell string) harness.Image {
	t.Helper()
	return harness.Image{Shell: shell, Bin: []string{harness.Kubectl(t, harness.KubectlOptions{FreeLocks: true})}}
}

// pgDatabase is a database in the state; what is left out is the usual.
func pgDatabase(key string, further map[string]any) map[string]any {
	d := map[string]any{
		"key": key, "name": key, "username": key, "backup": "required",
		"passwordRef": map[string]any{"kind": "Secret", "name": "postgresql", "key": key},
	}
	for name, value := range further {
		d[name] = value
	}
	return d
}

func (s *pgServer) state(further map[string]any, databases ...any) map[string]any {
	server := map[string]any{
		"id": "main", "host": "127.0.0.1", "port": s.port, "serverVersion": pgVersion, "sslMode": "require", "databases": databases,
	}
	for name, value := range further {
		server[name] = value
	}
	return map[string]any{
		"databases": map[string]any{"postgresql": []any{server}},
		"backup":    map[string]any{"enabled": true, "losses": map[string]any{"postgresql": pgAccepts("extension", "EXTENSION*pg_stat_statements")}},
	}
}

// pgAccepts is what the settings say of losses: names and items in turn.
func pgAccepts(losses ...string) []any {
	var all []any
	for n := 0; n < len(losses); n += 2 {
		all = append(all, map[string]any{"loss": losses[n], "items": losses[n+1], "reason": "the test says so"})
	}
	return all
}

// pgEverything lists all that a database holds, one thing a line: whatever it is,
// it must come back.
const pgEverything = `
SET client_min_messages = warning;
SET extra_float_digits = 3;
SET search_path = '';
CREATE FUNCTION pg_temp.sorted(a aclitem[]) RETURNS text LANGUAGE sql AS 'SELECT array_agg(x::text ORDER BY x::text)::text FROM unnest(a) x';
SELECT 'database', pg_encoding_to_char(encoding), datcollate, datctype, pg_temp.sorted(datacl), datconnlimit,
  (SELECT setconfig FROM pg_db_role_setting WHERE setdatabase = d.oid AND setrole = 0),
  shobj_description(oid, 'pg_database') FROM pg_database d WHERE datname = current_database();
SELECT 'extension', extname, extversion FROM pg_extension ORDER BY 2;
CREATE TEMPORARY VIEW own AS SELECT oid, nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema';
CREATE TEMPORARY VIEW part AS SELECT classid, objid FROM pg_depend WHERE deptype = 'e';
SELECT 'schema', nspname, CASE WHEN nspname <> 'public' THEN pg_get_userbyid(nspowner) END, obj_description(oid, 'pg_namespace')
FROM pg_namespace JOIN pg_temp.own USING (oid, nspname) ORDER BY 2;
SELECT 'relation', nspname, relname, relkind, pg_get_userbyid(relowner), pg_temp.sorted(relacl), relrowsecurity, reloptions, relpersistence,
  pg_get_expr(relpartbound, c.oid), pg_get_partkeydef(c.oid), obj_description(c.oid, 'pg_class')
FROM pg_class c JOIN pg_temp.own ON own.oid = relnamespace WHERE (c.tableoid, c.oid) NOT IN (TABLE pg_temp.part) ORDER BY 2, 3;
SELECT 'column', a.attrelid::regclass, attnum, attname, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated,
  pg_get_expr(adbin, adrelid), pg_temp.sorted(attacl), col_description(a.attrelid, attnum)
FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_temp.own ON own.oid = relnamespace
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE attnum > 0 AND NOT attisdropped AND (c.tableoid, c.oid) NOT IN (TABLE pg_temp.part) ORDER BY a.attrelid::regclass::text, attname;
SELECT 'constraint', conrelid::regclass, conname, pg_get_constraintdef(c.oid), convalidated
FROM pg_constraint c JOIN pg_temp.own ON own.oid = connamespace ORDER BY conrelid::regclass::text, 3;
SELECT 'index', indexdef FROM pg_indexes JOIN pg_temp.own ON nspname = schemaname ORDER BY 2;
SELECT 'trigger', pg_get_triggerdef(oid), tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY 2;
SELECT 'policy', schemaname, tablename, policyname, roles, cmd, qual, with_check FROM pg_policies ORDER BY 2, 3, 4;
SELECT 'rule', ev_class::regclass, pg_get_ruledef(oid) FROM pg_rewrite WHERE oid >= 16384 AND ev_class NOT IN
  (SELECT objid FROM pg_temp.part) AND ev_class::regclass::text !~ '^pg_temp' ORDER BY ev_class::regclass::text, 3;
SELECT 'function', pg_get_functiondef(p.oid), pg_get_userbyid(proowner), pg_temp.sorted(proacl)
FROM pg_proc p JOIN pg_temp.own ON own.oid = pronamespace WHERE (p.tableoid, p.oid) NOT IN (TABLE pg_temp.part) AND prokind <> 'a' ORDER BY 2;
SELECT 'type', nspname, typname, typtype, pg_get_userbyid(typowner), typbasetype::regtype, (SELECT array_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid)
FROM pg_type t JOIN pg_temp.own ON own.oid = typnamespace WHERE (t.tableoid, t.oid) NOT IN (TABLE pg_temp.part) AND typname !~ '^_' ORDER BY 2, 3;
SELECT 'sequence', schemaname, sequencename, sequenceowner, data_type, start_value, min_value, max_value, increment_by, cycle, last_value FROM pg_sequences ORDER BY 2, 3;
SELECT 'default privilege', pg_get_userbyid(defaclrole), defaclobjtype, pg_temp.sorted(defaclacl) FROM pg_default_acl ORDER BY 2, 3;
SELECT 'large object', m.oid, pg_get_userbyid(lomowner), pg_temp.sorted(lomacl), length(lo_get(m.oid)), md5(lo_get(m.oid)), obj_description(m.oid, 'pg_largeobject')
FROM pg_largeobject_metadata m ORDER BY 2;
SELECT format('SELECT ''row'', %L, r::text FROM %I.%I r ORDER BY 3', c.oid::regclass, nspname, relname)
FROM pg_class c JOIN pg_temp.own ON own.oid = relnamespace
WHERE relkind IN ('r', 'm') AND (c.tableoid, c.oid) NOT IN (TABLE pg_temp.part) ORDER BY nspname, relname
\gexec
`

// everything is a database as text, row by row.
func (s *pgServer) everything(t testing.TB, database string) string {
	t.Helper()
	all := s.sql(t, database, pgEverything)
	if !strings.Contains(all, "database|") {
		t.Fatal("the comparison lists nothing")
	}
	return all
}

// sameLines fails the test when two listings differ, and shows where.
func sameLines(t testing.TB, what, want, got string) {
	t.Helper()
	if want == got {
		return
	}
	count := map[string]int{}
	for _, line := range strings.Split(want, "\n") {
		count[line]++
	}
	var b strings.Builder
	for _, line := range strings.Split(got, "\n") {
		if count[line]--; count[line] < 0 {
			fmt.Fprintf(&b, "+ %.300s\n", line)
		}
	}
	for _, line := range strings.Split(want, "\n") {
		if count[line] > 0 {
			count[line] = 0
			fmt.Fprintf(&b, "- %.300s\n", line)
		}
	}
	t.Errorf("%s: it is not what it was:\n%.6000s", what, b.String())
}

// pgFill makes roles and a database with one of everything.
func (s *pgServer) fill(t testing.TB, name, owner, password string) {
	t.Helper()
	s.sql(t, "postgres", `
CREATE ROLE `+pgIdentifier(owner)+` LOGIN PASSWORD `+pgLiteral(password)+`;
CREATE DATABASE `+pgIdentifier(name)+` OWNER `+pgIdentifier(owner)+` TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
ALTER DATABASE `+pgIdentifier(name)+` SET statement_timeout = '1h';
REVOKE ALL ON DATABASE `+pgIdentifier(name)+` FROM PUBLIC;
GRANT CONNECT ON DATABASE `+pgIdentifier(name)+` TO reader;
COMMENT ON DATABASE `+pgIdentifier(name)+` IS 'it''s
two lines';`)
	// An extension that only a superuser may make, as a managed server's are.
	s.sql(t, name, `CREATE EXTENSION pg_stat_statements;`)
	s.sql(t, name, `SET ROLE `+pgIdentifier(owner)+`;
CREATE EXTENSION pg_trgm; CREATE EXTENSION hstore SCHEMA public;
CREATE SCHEMA "sub wiki"; CREATE SCHEMA "sub"; CREATE SCHEMA s2; CREATE SCHEMA empty_schema;
COMMENT ON SCHEMA s2 IS 'second';
CREATE TYPE s2.mood AS ENUM ('sad', 'glücklich'); CREATE DOMAIN s2.positive AS int CHECK (VALUE > 0);
CREATE TABLE t (
  id bigserial PRIMARY KEY, s text, b bytea, ts timestamptz, j jsonb, h hstore, f float8, n numeric, m s2.mood, a text[],
  g int GENERATED ALWAYS AS (length(s)) STORED);
INSERT INTO t (s, b, ts, j, h, f, n, m, a) VALUES
  (E'Grüße 🎈 \\ '' " \n\t\r \\.', '\x00ff0a0d5c27', '2024-02-29 12:00:00.123456+02', '{"ä": [1, null]}', 'a=>1', 0.1::float8 / 3, 1e40, 'glücklich', '{a,NULL,"x y"}'),
  ('', '', '-infinity', 'null', '', 'NaN', 'NaN', 'sad', '{}'),
  (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO t (s, f) SELECT 'row ' || i, i / 7.0 FROM generate_series(1, 500) i;
CREATE TABLE "sub wiki"."T ""q' $x" (id bigint REFERENCES t, "col umn" s2.positive);
INSERT INTO "sub wiki"."T ""q' $x" VALUES (1, 1), (2, 2);
COMMENT ON COLUMN "sub wiki"."T ""q' $x"."col umn" IS 'SCHEMA - sub wiki';
CREATE TABLE "sub".x (id int); INSERT INTO "sub".x VALUES (7);
ALTER DEFAULT PRIVILEGES IN SCHEMA s2 GRANT SELECT ON TABLES TO reader;
CREATE TABLE s2.empty_table (id int);
CREATE TABLE s2.part (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE s2.part1 PARTITION OF s2.part FOR VALUES FROM (0) TO (10); CREATE TABLE s2.part2 PARTITION OF s2.part DEFAULT;
INSERT INTO s2.part VALUES (1, 'x'), (100, 'y');
CREATE UNLOGGED TABLE s2.unlogged (id int); INSERT INTO s2.unlogged VALUES (1);
CREATE VIEW v AS SELECT id, s FROM t; CREATE MATERIALIZED VIEW mv AS SELECT count(*) AS c FROM t;
CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT a + 1';
CREATE FUNCTION on_t() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.s := NEW.s || '!'; RETURN NEW; END$$;
CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION on_t();
CREATE PROCEDURE p() LANGUAGE sql AS 'DELETE FROM public.t WHERE false';
CREATE SEQUENCE s2.sq START 42 INCREMENT 3; SELECT nextval('s2.sq'), nextval('s2.sq');
CREATE INDEX trigrams ON t USING gin (s gin_trgm_ops); CREATE INDEX ON t (lower(s)) WHERE s IS NOT NULL;
GRANT SELECT ON t TO reader; GRANT USAGE ON SCHEMA s2 TO reader; GRANT UPDATE (s) ON t TO reader;
SELECT lo_from_bytea(4711, decode(repeat('00ff5c0a', 100000), 'hex')); SELECT lo_from_bytea(4712, '');
COMMENT ON LARGE OBJECT 4711 IS 'large'; GRANT SELECT ON LARGE OBJECT 4711 TO reader;
`)
}

// pgDestroy changes, adds and drops.
const pgDestroy = `
DROP TABLE "sub wiki"."T ""q' $x"; DROP VIEW v;
UPDATE t SET s = 'encrypted, pay'; DELETE FROM t WHERE id % 2 = 1; INSERT INTO t (s) VALUES ('after the dump');
DROP SCHEMA "sub" CASCADE; TRUNCATE s2.part;
SELECT setval('s2.sq', 1); SELECT lo_unlink(4712); SELECT lo_put(4711, 0, 'overwritten');
CREATE OR REPLACE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT -1';
ALTER TABLE s2.empty_table ADD COLUMN wrong int; REVOKE ALL ON t FROM reader;
`

func TestPostgreSQL(t *testing.T) {
	s := newPostgreSQL(t)
	s3 := harness.S3(t, "backup")
	s.sql(t, "postgres", `CREATE ROLE reader; COMMENT ON ROLE reader IS 'reads';`)
	s.fill(t, "shop", "shop", pgSecret)
	s.fill(t, pgHostileName, pgHostileUser, pgHostilePassword)
	s.sql(t, "postgres", `
CREATE ROLE off LOGIN PASSWORD 'the-password-of-off'; CREATE DATABASE off OWNER off TEMPLATE template0;
CREATE ROLE denied LOGIN PASSWORD 'the-password-of-denied'; CREATE DATABASE denied OWNER denied TEMPLATE template0;
GRANT reader TO shop; ALTER ROLE shop SET search_path = "$user", public;`)
	s.sql(t, "denied", `SET ROLE denied; CREATE TABLE mine (id int); INSERT INTO mine VALUES (1); RESET ROLE;
CREATE TABLE "not mine" (id int);`)
	secrets := map[string]map[string]string{"postgresql": {
		"shop": pgSecret, "hostile": pgHostilePassword, "off": "the-password-of-off", "denied": "the-password-of-denied", "super": pgSecret,
	}}
	params := "ENCODING 'UTF8' LC_COLLATE='C' LC_CTYPE='C' TEMPLATE template0"
	databases := []any{
		pgDatabase("shop", map[string]any{"createParams": params, "owner": "shop"}),
		pgDatabase("hostile", map[string]any{"name": pgHostileName, "username": pgHostileUser, "createParams": params}),
		pgDatabase("off", map[string]any{"appEnabled": false}),
		pgDatabase("off-needed", map[string]any{"name": "off ", "username": "off"}),
		pgDatabase("denied", nil),
	}
	databases[3].(map[string]any)["passwordRef"].(map[string]any)["key"] = "off"
	s.sql(t, "postgres", `CREATE DATABASE "off " OWNER off TEMPLATE template0`)
	i := harness.Render(t, harness.Inputs{
		State:       s.state(nil, databases...),
		Credentials: map[string]any{"restic": s3.Restic("backup", "")},
	})
	options := func(t testing.TB, shell string) harness.Options {
		return harness.Options{Image: pgImage(t, shell), Secrets: secrets, Env: map[string]string{}}
	}
	before := s.everything(t, "shop")
	if n := strings.Count(before, "\n"); n < 600 {
		t.Fatalf("the comparison has only %d lines", n)
	}
	hostile := s.everything(t, pgHostileName)
	var dump []byte

	for _, shell := range []string{"ash", "dash"} {
		t.Run("dump/"+shell, func(t *testing.T) {
			dump = i.Dump(t, "postgresql/shop", options(t, shell)).OK(t).Stdout
			sameLines(t, "a dump changed the database", before, s.everything(t, "shop"))
		})
	}

	if dump == nil {
		t.Fatal("without a dump there is nothing to restore")
	}

	t.Run("restore/over-changed", func(t *testing.T) {
		for _, shell := range []string{"ash", "dash"} {
			s.sql(t, "shop", "SET ROLE shop;"+pgDestroy)
			s.sql(t, "shop", `CREATE TABLE s2.newer (id int); INSERT INTO s2.newer VALUES (1)`)
			destroyed := s.everything(t, "shop")
			if destroyed == before {
				t.Fatal("nothing was destroyed")
			}
			o := options(t, shell)
			o.Input = dump
			i.Restore(t, "postgresql/shop", o).Fails(t, 65, "holds", "HOLDFAST_OVERWRITE=yes")
			sameLines(t, "a refused restore", destroyed, s.everything(t, "shop"))
			o.Env["HOLDFAST_OVERWRITE"] = "yes"
			i.Restore(t, "postgresql/shop", o).OK(t)
			// What the dump does not know stays, and the rest is as it was.
			s.sql(t, "shop", "DROP TABLE s2.newer")
			sameLines(t, "after the restore", before, s.everything(t, "shop"))
		}
	})

	t.Run("restore/fresh-from-restic", func(t *testing.T) {
		i.Store(t, "postgresql/shop", dump)
		// Another unit's snapshot is newer, and must not be taken.
		i.Store(t, "postgresql/off", []byte("PGDMP of another"))
		s.sql(t, "postgres", "DROP DATABASE shop WITH (FORCE)")
		o := options(t, "ash")
		i.Restore(t, "postgresql/shop", o).Fails(t, 69, `database "shop" does not exist`)
		s.sql(t, "postgres", `CREATE DATABASE shop OWNER shop TEMPLATE template0`)
		i.Restore(t, "postgresql/shop", o).Fails(t, 65, "LC_COLLATE", "it must have C")
		s.sql(t, "postgres", `DROP DATABASE shop; CREATE DATABASE shop OWNER shop `+params)
		// What only a superuser may make was accepted as a loss; nothing else lacks.
		if r := i.Restore(t, "postgresql/shop", o).OK(t); !strings.Contains(r.Stderr, "not restored, as the copy says: EXTENSION - pg_stat_statements") {
			t.Errorf("it says %q", r.Stderr)
		}
		s.sql(t, "postgres", `DROP DATABASE shop; CREATE DATABASE shop OWNER shop `+params)
		s.sql(t, "shop", "CREATE EXTENSION pg_stat_statements")
		i.Restore(t, "postgresql/shop", o).OK(t)
		sameLines(t, "after the restore", before, s.everything(t, "shop"))
	})

	t.Run("failure/hostile-names", func(t *testing.T) {
		for _, shell := range []string{"ash", "dash"} {
			o := options(t, shell)
			stored := i.Dump(t, "postgresql/hostile", o).OK(t).Stdout
			s.sql(t, pgHostileName, "SET ROLE "+pgIdentifier(pgHostileUser)+";"+pgDestroy)
			i.Store(t, "postgresql/hostile", stored)
			o.Env["HOLDFAST_OVERWRITE"] = "yes"
			i.Restore(t, "postgresql/hostile", o).OK(t)
			sameLines(t, "after the restore", hostile, s.everything(t, pgHostileName))
		}
	})

	t.Run("restore/as-another-role", func(t *testing.T) {
		o := options(t, "dash")
		o.Input = dump
		o.Env["HOLDFAST_OVERWRITE"] = "yes"
		o.Env["HOLDFAST_OWNER"] = pgHostileUser
		i.Restore(t, "postgresql/shop", o).Fails(t, 70, "is no member of", pgHostileUser)
		o.Env["HOLDFAST_OWNER"] = "no'body"
		i.Restore(t, "postgresql/shop", o).Fails(t, 69, "the role no'body does not exist", "globals")
		o.Env["PGUSER"], o.Env["HOLDFAST_OWNER"] = pgSuper, "shop"
		o.Secrets = map[string]map[string]string{"postgresql": {"shop": pgSecret}}
		i.Restore(t, "postgresql/shop", o).OK(t)
		sameLines(t, "after the restore", before, s.everything(t, "shop"))
	})

	t.Run("restore/globals", func(t *testing.T) { testPostgreSQLGlobals(t, s, i, options) })

	failure := func(name string, f func(t *testing.T, o harness.Options)) {
		t.Run("failure/"+name, func(t *testing.T) {
			for _, shell := range []string{"ash", "dash"} {
				f(t, options(t, shell))
			}
		})
	}
	failure("wrong-password", func(t *testing.T, o harness.Options) {
		o.Secrets = map[string]map[string]string{"postgresql": {"shop": "not the password"}}
		i.Dump(t, "postgresql/shop", o).Fails(t, 69, "password authentication failed for user")
		i.Dump(t, "postgresql/main-globals", withDenied(o)).Fails(t, 69, "password authentication failed for user")
		o.Input = dump
		i.Restore(t, "postgresql/shop", o).Fails(t, 69, "password authentication failed for user")
	})
	failure("server-gone-before", func(t *testing.T, o harness.Options) {
		o.Env["PGPORT"] = strconv.Itoa(harness.ClosedPort(t))
		i.Dump(t, "postgresql/shop", o).Fails(t, 69, "Connection refused")
		i.Dump(t, "postgresql/main-globals", o).Fails(t, 69, "Connection refused")
		o.Input = dump
		i.Restore(t, "postgresql/shop", o).Fails(t, 69, "Connection refused")
	})
	failure("permission-denied", func(t *testing.T, o harness.Options) {
		i.Dump(t, "postgresql/denied", o).Fails(t, 69, "permission denied for table", "not mine")
	})
	failure("empty", func(t *testing.T, o harness.Options) {
		i.Dump(t, "postgresql/off-needed", o).Streamed(t).Fails(t, 65, "the copy counts 0, fewer than 1")
	})
	failure("truncated", func(t *testing.T, o harness.Options) {
		o.Image.Bin = append([]string{pgCutter(t, 20)}, o.Image.Bin...)
		i.Dump(t, "postgresql/shop", o).Streamed(t).Fails(t, 65, "the dump is cut")
		i.Dump(t, "postgresql/main-globals", o).Fails(t, 65, "the dump is cut")
	})
	failure("restore-of-a-cut-dump", func(t *testing.T, o harness.Options) {
		// What fetch.sh hands over lacks the trailer.
		whole := harness.Payload(dump)
		for _, size := range []int{0, 100, len(whole) / 2, len(whole) - 1} {
			o.Input = whole[:size]
			o.Env["HOLDFAST_OVERWRITE"] = "yes"
			if r := i.Restore(t, "postgresql/shop", o); r.Code != 65 && r.Code != 69 {
				t.Errorf("a restore of %d of %d bytes ended with %d:\n%s", size, len(whole), r.Code, r.Stderr)
			}
			sameLines(t, "after a restore that failed", before, s.everything(t, "shop"))
		}
	})
	failure("disk-full", func(t *testing.T, o harness.Options) {
		for _, size := range []string{"8Ki", "16Ki", "32Ki"} {
			o.Scratch = size
			i.Dump(t, "postgresql/shop", o).Fails(t, 73, "full")
		}
		o.Scratch = "4Ki"
		i.Dump(t, "postgresql/main-globals", o).Fails(t, 73, "full")
	})
	failure("slow", func(t *testing.T, o harness.Options) {
		release := s.lock(t, "shop", "public.t")
		defer release()
		o.Env["HOLDFAST_DEADLINE"] = "2"
		i.Dump(t, "postgresql/shop", o).Fails(t, 69, "pg_dump did not end within 2 s")
	})
	failure("hanging-server", func(t *testing.T, o harness.Options) {
		s.Signal(syscall.SIGSTOP)
		defer s.Signal(syscall.SIGCONT)
		o.Env["HOLDFAST_DEADLINE"] = "2"
		i.Dump(t, "postgresql/shop", o).Fails(t, 69, "did not end within 2 s")
		i.Dump(t, "postgresql/main-globals", o).Fails(t, 69, "did not end within 2 s")
	})
	failure("locked", func(t *testing.T, o harness.Options) {
		o.Locks = map[string]map[string]string{i.Unit(t, "postgresql/shop").Lock: {"holder": "a restore", "until": "9999999999"}}
		i.Dump(t, "postgresql/shop", o).Fails(t, 75, "held by a restore")
	})
	t.Run("failure/wrong-ca", func(t *testing.T) {
		tls := map[string]any{"sslMode": "verify-full", "caRef": map[string]any{"kind": "ConfigMap", "name": "ca", "key": "pem"}}
		i := harness.Render(t, harness.Inputs{State: s.state(tls, databases...)})
		for _, shell := range []string{"ash", "dash"} {
			o := options(t, shell)
			o.ConfigMaps = map[string]map[string]string{"ca": {"pem": string(s.ca.PEM)}}
			i.Dump(t, "postgresql/shop", o).OK(t)
			i.Dump(t, "postgresql/main-globals", o).OK(t)
			o.ConfigMaps = map[string]map[string]string{"ca": {"pem": wrongCA(t)}}
			i.Dump(t, "postgresql/shop", o).Fails(t, 69, "certificate verify failed")
			i.Dump(t, "postgresql/main-globals", o).Fails(t, 69, "certificate verify failed")
			o.Input = dump
			i.Restore(t, "postgresql/shop", o).Fails(t, 69, "certificate verify failed")
		}
	})
	t.Run("failure/wrong-name", func(t *testing.T) {
		tls := map[string]any{"host": "127.0.0.2", "sslMode": "verify-full", "caRef": map[string]any{"kind": "Secret", "name": "ca", "key": "pem"}}
		i := harness.Render(t, harness.Inputs{State: s.state(tls, databases...)})
		o := options(t, "ash")
		o.Secrets["ca"] = map[string]string{"pem": string(s.ca.PEM)}
		// The name in the certificate is another than the one that was asked for.
		o.Env["PGHOST"], o.Env["PGHOSTADDR"] = "other.example.test", "127.0.0.1"
		i.Dump(t, "postgresql/shop", o).Fails(t, 69, "does not match host name")
	})
	t.Run("dump/allowed-empty", func(t *testing.T) {
		for _, shell := range []string{"ash", "dash"} {
			o := options(t, shell)
			r := i.Dump(t, "postgresql/off", o).OK(t)
			if !strings.Contains(r.Stderr, "empty, which is allowed") {
				t.Errorf("it says %q", r.Stderr)
			}
			o.Input = r.Stdout
			i.Restore(t, "postgresql/off", o).OK(t)
		}
	})
	t.Run("failure/too-few", func(t *testing.T) {
		for name, further := range map[string][2]map[string]any{
			"of-database": {nil, {"minTables": 1000}}, "of-server": {{"minTables": 1000}, nil},
		} {
			t.Run(name, func(t *testing.T) {
				i := harness.Render(t, harness.Inputs{State: s.state(further[0], pgDatabase("shop", further[1]))})
				i.Dump(t, "postgresql/shop", options(t, "ash")).Streamed(t).Fails(t, 65, "fewer than 1000")
			})
		}
	})
	// The last one: the server does not come back.
	t.Run("failure/server-gone-in-the-middle", func(t *testing.T) {
		s.sql(t, "shop", `CREATE TABLE big AS SELECT md5(i::text) || md5((i + 1)::text) AS x FROM generate_series(1, 1500000) i; ALTER TABLE big OWNER TO shop`)
		p := i.Start(t, "postgresql/shop", "dump", options(t, "dash"))
		var backend int
		harness.WaitFor(t, "pg_dump copies", 30*time.Second, func() error {
			out, err := s.try("postgres", "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE 'COPY public.big %' AND state = 'active'")
			if err == nil {
				backend, err = strconv.Atoi(strings.TrimSpace(out))
			}
			return err
		})
		// As a crash: first the process that serves the dump, then the whole server.
		if err := syscall.Kill(backend, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.Kill()
		p.Wait().Streamed(t).Fails(t, 69, "pg_dump failed", "big")
	})
}

// wrongCA is a certificate that signed nobody's.
func wrongCA(t testing.TB) string {
	t.Helper()
	file, _ := harness.NewCA(t).Issue(t, 0, "another CA")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// withDenied makes the globals, which connect as the first user by key, fail too.
func withDenied(o harness.Options) harness.Options {
	o.Secrets = map[string]map[string]string{"postgresql": {"denied": "not the password"}}
	return o
}

// lock holds a table in a session of its own.
func (s *pgServer) lock(t testing.TB, database, table string) (release func()) {
	t.Helper()
	cmd := exec.Command(pgBin+"/psql", "-X", "-q", "-c", "BEGIN; LOCK TABLE "+table+"; SELECT pg_sleep(600)")
	cmd.Env = []string{
		"PGHOST=127.0.0.1", fmt.Sprintf("PGPORT=%d", s.port), "PGUSER=" + pgSuper, "PGPASSWORD=" + pgSecret, "PGDATABASE=" + database,
		"PGAPPNAME=locker",
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	harness.WaitFor(t, "the lock is held", 10*time.Second, func() error {
		out, err := s.try(database, "SELECT count(*) FROM pg_locks WHERE relation = "+pgLiteral(table)+"::regclass AND mode = 'AccessExclusiveLock' AND granted")
		if err == nil && out != "1\n" {
			err = fmt.Errorf("%s locks", strings.TrimSpace(out))
		}
		return err
	})
	return func() {
		s.sql(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'locker'")
		// It was told to end.
		_ = cmd.Wait()
		harness.WaitFor(t, "the lock is free", 10*time.Second, func() error {
			out, err := s.try("postgres", "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('locker', 'holdfast')")
			if err == nil && out != "0\n" {
				err = fmt.Errorf("%s sessions", strings.TrimSpace(out))
			}
			return err
		})
	}
}

// pgCutter is a folder with programs that lose the last bytes of what the real
// ones write, and say that all is well.
func pgCutter(t testing.TB, bytes int) string {
	t.Helper()
	folder := harness.Folder(t, 0)
	for _, name := range []string{"pg_dump", "pg_dumpall"} {
		script := fmt.Sprintf(`#!/bin/sh
f=
for a in "$@"; do case $a in --schema-only) exec %[1]s/%[2]s "$@" ;; --file=*) f=${a#--file=} ;; esac; done
[ -n "$f" ] || { f=$TMPDIR/cut && %[1]s/%[2]s "$@" >"$f" && size=$(wc -c <"$f") && exec head -c $((size - %[3]d)) "$f"; exit; }
%[1]s/%[2]s "$@" || exit
size=$(wc -c <"$f")
head -c $((size - %[3]d)) "$f" >"$f.cut"
mv "$f.cut" "$f"
`, harness.Behind, name, bytes)
		if name == "pg_dumpall" {
			script = strings.ReplaceAll(script, fmt.Sprint("size - ", bytes), "size - 100")
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// pgRoles lists a server's roles without those of the system.
const pgRoles = `
SELECT 'role', rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit, rolvaliduntil, rolconfig,
  shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 2;
SELECT 'member', roleid::regrole, member::regrole, admin_option FROM pg_auth_members WHERE roleid >= 16384 OR member >= 16384 ORDER BY roleid::regrole::text, member::regrole::text;
`

// testPostgreSQLGlobals moves roles, and then a database, to a server that has
// neither.
func testPostgreSQLGlobals(t *testing.T, s *pgServer, i *harness.Instance, options func(testing.TB, string) harness.Options) {
	s.sql(t, "postgres", `
CREATE ROLE "we'ird ""x$y; --" NOINHERIT CREATEDB CONNECTION LIMIT 3 VALID UNTIL '2030-01-01';
ALTER ROLE "we'ird ""x$y; --" SET application_name = 'a''b"c';
CREATE ROLE "select"; GRANT "select" TO "we'ird ""x$y; --" WITH ADMIN OPTION; GRANT "we'ird ""x$y; --" TO reader; GRANT pg_monitor TO reader;
CREATE ROLE "other root" SUPERUSER; COMMENT ON ROLE "other root" IS 'it is one'; ALTER ROLE "other root" SET work_mem = '8MB';`)
	want := s.sql(t, "postgres", pgRoles)
	var globals, shop []byte
	for _, shell := range []string{"ash", "dash"} {
		r := i.Dump(t, "postgresql/main-globals", options(t, shell)).OK(t)
		globals = r.Stdout
		for _, secret := range []string{"SCRAM", "PASSWORD '"} {
			if bytes.Contains(globals, []byte(secret)) {
				t.Errorf("the roles are dumped with %s", secret)
			}
		}
	}
	shop = i.Dump(t, "postgresql/shop", options(t, "ash")).OK(t).Stdout
	// Asked for, the passwords are there if the login may read them, and the
	// run says it if not.
	for _, shell := range []string{"ash", "dash"} {
		o := options(t, shell)
		o.Env["HOLDFAST_ROLE_PASSWORDS"] = "yes"
		if r := i.Dump(t, "postgresql/main-globals", o).OK(t); !strings.Contains(r.Stderr, "dumped without their passwords") || bytes.Contains(r.Stdout, []byte("SCRAM")) {
			t.Errorf("as an ordinary user it says %q", r.Stderr)
		}
		o.Env["PGUSER"], o.Env["PGPASSWORD"], o.Env["PGDATABASE"] = pgSuper, pgSecret, "postgres"
		o.Input = i.Dump(t, "postgresql/main-globals", o).OK(t).Stdout
		target := newPostgreSQL(t)
		o.Env["PGPORT"] = strconv.Itoa(target.port)
		i.Restore(t, "postgresql/main-globals", o).OK(t)
		const password = "SELECT rolpassword FROM pg_authid WHERE rolname = 'shop'"
		sameLines(t, "the password", s.sql(t, "postgres", password), target.sql(t, "postgres", password))
	}

	fresh := newPostgreSQL(t)
	for _, shell := range []string{"ash", "dash"} {
		o := options(t, shell)
		o.Input = globals
		o.Env["PGPORT"], o.Env["PGUSER"], o.Env["PGPASSWORD"], o.Env["PGDATABASE"] = strconv.Itoa(fresh.port), pgSuper, pgSecret, "postgres"
		i.Restore(t, "postgresql/main-globals", o).OK(t)
		sameLines(t, "the roles", want, fresh.sql(t, "postgres", pgRoles))
		// Again: all exist, and what was changed since stays, unless it is to be overwritten.
		fresh.sql(t, "postgres", `ALTER ROLE "we'ird ""x$y; --" CREATEROLE; REVOKE reader FROM shop`)
		i.Restore(t, "postgresql/main-globals", o).OK(t)
		if got := fresh.sql(t, "postgres", `SELECT rolcreaterole FROM pg_roles WHERE rolname LIKE 'we''ird%'`); got != "t\n" {
			t.Errorf("a role that exists was changed")
		}
		o.Env["HOLDFAST_OVERWRITE"] = "yes"
		i.Restore(t, "postgresql/main-globals", o).OK(t)
		sameLines(t, "the roles, overwritten", want, fresh.sql(t, "postgres", pgRoles))
		o.Input = globals[:len(globals)-200]
		i.Restore(t, "postgresql/main-globals", o).Fails(t, 65, "the dump is cut")
	}

	// A managed server has no superuser for us.
	managed := newPostgreSQL(t)
	managed.sql(t, "postgres", `CREATE ROLE admin LOGIN CREATEROLE CREATEDB PASSWORD 'the-password-of-admin'`)
	o := options(t, "ash")
	o.Env["PGPORT"], o.Env["PGUSER"], o.Env["PGPASSWORD"], o.Env["PGDATABASE"] = strconv.Itoa(managed.port), "admin", "the-password-of-admin", "postgres"
	// An ordinary role cannot make a superuser, nor from PostgreSQL 16 on let others see the
	// server's state: it is named, each time, and all the rest is made.
	o.Input = globals
	refused := []string{`ROLE "other root": `}
	if pgVersion >= "16" {
		refused = append(refused, `GRANT pg_monitor TO reader: permission denied to grant role "pg_monitor": Only roles with the ADMIN option`)
	}
	for range 2 {
		i.Restore(t, "postgresql/main-globals", o).Fails(t, 65, append(refused, fmt.Sprintf("%d items of the copy did not come back", len(refused)))...)
	}
	o.Env["HOLDFAST_LEAVE_OUT"] = "ROLE \"other*\nGRANT pg_monitor TO reader\n"
	i.Restore(t, "postgresql/main-globals", o).OK(t)
	// PostgreSQL 16 and newer make who makes a role a member of it.
	here := regexp.MustCompile(`(?m)^(role\|admin\||member\|.*\|admin\|).*\n`).ReplaceAllString(managed.sql(t, "postgres", pgRoles), "")
	there := regexp.MustCompile(`(?m)^role\|other root\|.*\n`).ReplaceAllString(want, "")
	if pgVersion >= "16" {
		there = strings.ReplaceAll(there, "member|pg_monitor|reader|f\n", "")
	}
	sameLines(t, "the roles", there, here)

	// The database follows, as its owner.
	fresh.sql(t, "postgres", `ALTER ROLE shop PASSWORD `+pgLiteral(pgSecret)+`;
CREATE DATABASE shop OWNER shop TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`)
	fresh.sql(t, "shop", `CREATE EXTENSION pg_stat_statements`)
	o = options(t, "dash")
	o.Input = shop
	o.Env["PGPORT"] = strconv.Itoa(fresh.port)
	i.Restore(t, "postgresql/shop", o).OK(t)
	sameLines(t, "on another server", s.everything(t, "shop"), fresh.everything(t, "shop"))
}
