package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

const (
	myRoot = "the-password-of-root"
	// Names that a script must only pass on.
	myHostileName     = "-x \\y 'c\" $(d) `e` ;--"
	myHostileUser     = "--u'ser\" $PATH=\\; `x`"
	myHostilePassword = "-p'w\"d $(id) \\ %s&= #"
)

// myServer is a MariaDB server with TLS.
type myServer struct {
	*harness.Server
	port     int
	ca       *harness.CA
	password string
}

// newMariaDB starts a server on loopback, whose root has this password.
func newMariaDB(t testing.TB, password string, further ...string) *myServer {
	t.Helper()
	uid, gid := serverUser(t, "mysql")
	dir := harness.Folder(t, uid)
	asUser(t, uid, gid, dir, harness.Program(t, "mariadb-install-db"), "--no-defaults", "--datadir="+dir+"/data",
		"--auth-root-authentication-method=normal", "--skip-test-db", "--rpm")
	s := &myServer{port: harness.Port(t), ca: harness.NewCA(t)}
	var limit time.Duration
	if wholeData() {
		// Loading all of its own tests takes ten minutes, and as long again its restore.
		limit = 2 * time.Hour
	}
	certificate, key := s.ca.Issue(t, uid)
	s.Server = harness.Serve(t, "mariadbd", append([]string{
		"mariadbd", "--no-defaults", "--datadir=" + dir + "/data", "--bind-address=127.0.0.1", "--port=" + strconv.Itoa(s.port),
		"--socket=" + dir + "/socket", "--pid-file=" + dir + "/pid", "--skip-name-resolve",
		// A server that starts deletes what others have in the same folder.
		"--tmpdir=" + dir, "--ssl-cert=" + certificate, "--ssl-key=" + key, "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M",
	}, further...), harness.ServeOptions{
		UID: uid, GID: gid, Dir: dir,
		Ready: func() error { _, err := s.try("SELECT 1"); return err },
		Limit: limit,
	})
	// As the entry point of MariaDB's own image does. A server without that step, which
	// resolves no names, ignores this account: a dump names it as lost.
	s.sql(t, "DROP USER root@`::1`; EXECUTE IMMEDIATE CONCAT('DROP USER root@', QUOTE(@@hostname)); ALTER USER root@`127.0.0.1` IDENTIFIED BY "+myLiteral(password))
	s.password = password
	return s
}

// try runs SQL as root and returns plain lines.
func (s *myServer) try(sql string) (string, error) {
	cmd := exec.Command("mariadb", "--no-defaults", "--host=127.0.0.1", "--port="+strconv.Itoa(s.port), "--user=root", "--skip-ssl",
		"--default-character-set=utf8mb4", "--batch", "--skip-column-names", "--binary-mode", "--connect-timeout=10", "--max-allowed-packet=1G")
	cmd.Env = []string{"PATH=/usr/bin:/bin", "MYSQL_PWD=" + s.password}
	cmd.Stdin = strings.NewReader(sql)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("mariadb: %w: %.2000s", err, stderr.String())
	}
	return stdout.String(), nil
}

func (s *myServer) sql(t testing.TB, sql string) string {
	t.Helper()
	out, err := s.try(sql)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// myIdentifier and myLiteral quote as MariaDB does.
func myIdentifier(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }
func myLiteral(s string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `'`, `''`) + "'"
}

func myImage(t testing.TB, shell string) harness.Image {
	t.Helper()
	return harness.Image{Shell: shell, Bin: []string{
		harness.Kubectl(t, harness.KubectlOptions{FreeLocks: true}),
	}}
}

// myState is an instance with the server; further keys replace the usual ones.
func (s *myServer) state(further map[string]any) map[string]any {
	server := map[string]any{
		"id": "galera", "host": "127.0.0.1", "port": s.port, "serverVersion": "10.11", "username": "root", "backup": "required", "discover": true,
		"passwordRef":     map[string]any{"kind": "Secret", "name": "mariadb", "key": "password"},
		"expectDatabases": []any{"configdb", myHostileName}, "expectPatterns": []any{"^PRIMARYDB_[0-9]+$", "^oxguard"},
		"excludeDatabases": []any{"openxchange_dummy", "-n"},
	}
	for name, value := range further {
		server[name] = value
	}
	if server["tls"] == nil {
		server["plainText"] = map[string]any{"reason": "the server has no certificate"}
	}
	return map[string]any{"databases": map[string]any{"mariadb": []any{server}}}
}

// mySchemas are those that a dump holds.
func mySchemas() []string {
	return []string{"configdb", "PRIMARYDB_9", "PRIMARYDB_10", "oxguard_1", "empty_schema", myHostileName}
}

// everything is all that the schemas and accounts hold, row by row.
func (s *myServer) everything(t testing.TB) string {
	t.Helper()
	var names []string
	for _, name := range mySchemas() {
		names = append(names, myLiteral(name))
	}
	in := " IN (" + strings.Join(names, ", ") + ")"
	var b strings.Builder
	b.WriteString(s.sql(t, `
SELECT 'schema', SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME`+in+` ORDER BY 2;
SELECT 'table', TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE, ROW_FORMAT, AUTO_INCREMENT, TABLE_COLLATION, IF(TABLE_TYPE = 'VIEW', '', TABLE_COMMENT) FROM information_schema.TABLES WHERE TABLE_SCHEMA`+in+` ORDER BY 2, 3;
SELECT 'column', TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION, COLUMN_NAME, COLUMN_DEFAULT, IS_NULLABLE, COLUMN_TYPE, COLLATION_NAME, EXTRA, GENERATION_EXPRESSION, COLUMN_COMMENT
  FROM information_schema.COLUMNS WHERE TABLE_SCHEMA`+in+` ORDER BY 2, 3, 4;
SELECT 'index', TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, NON_UNIQUE, SEQ_IN_INDEX, COLUMN_NAME, INDEX_TYPE FROM information_schema.STATISTICS WHERE TABLE_SCHEMA`+in+` ORDER BY 2, 3, 4, 6;
SELECT 'foreign key', CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, REFERENCED_TABLE_NAME, UPDATE_RULE, DELETE_RULE FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA`+in+` ORDER BY 2, 3, 4;
SELECT 'routine', ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_TYPE, DTD_IDENTIFIER, ROUTINE_DEFINITION, IS_DETERMINISTIC, SQL_DATA_ACCESS, SECURITY_TYPE, SQL_MODE, ROUTINE_COMMENT, DEFINER, CHARACTER_SET_CLIENT
  FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA`+in+` ORDER BY 2, 3;
SELECT 'parameter', SPECIFIC_SCHEMA, SPECIFIC_NAME, ORDINAL_POSITION, PARAMETER_MODE, PARAMETER_NAME, DTD_IDENTIFIER FROM information_schema.PARAMETERS WHERE SPECIFIC_SCHEMA`+in+` ORDER BY 2, 3, 4;
SELECT 'trigger', TRIGGER_SCHEMA, TRIGGER_NAME, EVENT_MANIPULATION, EVENT_OBJECT_TABLE, ACTION_TIMING, ACTION_ORDER, ACTION_STATEMENT, DEFINER, SQL_MODE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA`+in+` ORDER BY 2, 3;
SELECT 'event', EVENT_SCHEMA, EVENT_NAME, DEFINER, TIME_ZONE, EVENT_DEFINITION, EVENT_TYPE, INTERVAL_VALUE, INTERVAL_FIELD, STARTS, STATUS, ON_COMPLETION FROM information_schema.EVENTS WHERE EVENT_SCHEMA`+in+` ORDER BY 2, 3;
SELECT 'view', TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION, CHECK_OPTION, DEFINER, SECURITY_TYPE FROM information_schema.VIEWS WHERE TABLE_SCHEMA`+in+` ORDER BY 2, 3;
SELECT 'account', User, Host, JSON_VALUE(Priv, '$.access'), JSON_VALUE(Priv, '$.plugin'), JSON_VALUE(Priv, '$.authentication_string'), COALESCE(JSON_VALUE(Priv, '$.default_role'), ''), JSON_VALUE(Priv, '$.account_locked'), JSON_VALUE(Priv, '$.is_role'), JSON_VALUE(Priv, '$.ssl_type')
  FROM mysql.global_priv WHERE User NOT IN ('root', 'mariadb.sys') ORDER BY 2, 3;
SELECT 'right on schema', d.* FROM mysql.db d WHERE User NOT IN ('root', 'mariadb.sys') ORDER BY Host, Db, User;
SELECT 'right on table', Host, Db, User, Table_name, Table_priv, Column_priv FROM mysql.tables_priv WHERE User NOT IN ('root', 'mariadb.sys') ORDER BY 2, 3, 4, 5;
SELECT 'right on routine', Host, Db, User, Routine_name, Routine_type, Proc_priv FROM mysql.procs_priv WHERE User NOT IN ('root', 'mariadb.sys') ORDER BY 2, 3, 4, 5;
SELECT 'role', r.* FROM mysql.roles_mapping r ORDER BY Host, User, Role;
`))
	rows := s.sql(t, `
SELECT CONCAT('SELECT ''row'', ', QUOTE(CONCAT(TABLE_SCHEMA, '.', TABLE_NAME)), ', ', GROUP_CONCAT(
    IF(DATA_TYPE IN ('blob', 'longblob', 'mediumblob', 'tinyblob', 'binary', 'varbinary', 'bit'), CONCAT('MD5(HEX(', c, ')), LENGTH(', c, ')'), c) ORDER BY ORDINAL_POSITION SEPARATOR ', '),
  ' FROM `+"`', REPLACE(TABLE_SCHEMA, '`', '``'), '`.`', REPLACE(TABLE_NAME, '`', '``'), '`"+` ORDER BY ', GROUP_CONCAT(c ORDER BY ORDINAL_POSITION SEPARATOR ', '), ';')
FROM (SELECT *, CONCAT('`+"`', REPLACE(COLUMN_NAME, '`', '``'), '`"+`') AS c FROM information_schema.COLUMNS WHERE TABLE_SCHEMA`+in+`) AS columns
GROUP BY TABLE_SCHEMA, TABLE_NAME ORDER BY TABLE_SCHEMA, TABLE_NAME;`)
	// --batch escapes what it prints; the statements are to be run as they are.
	rows = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t").Replace(rows)
	b.WriteString(s.sql(t, "SET SESSION group_concat_max_len = 1000000;"+rows))
	if all := b.String(); strings.Contains(all, "schema\tconfigdb") && strings.Contains(all, "row\tconfigdb.t\t1") {
		return all
	}
	t.Fatal("the comparison lists nothing")
	return ""
}

// fill makes schemas with one of everything, and accounts.
func (s *myServer) fill(t testing.TB) {
	t.Helper()
	h := myIdentifier(myHostileName)
	user := myLiteral(myHostileUser) + "@'%'"
	s.sql(t, `
CREATE USER 'ox'@'%' IDENTIFIED BY 'the-password-of-ox'; CREATE USER 'locked'@'10.%' IDENTIFIED BY 'x' REQUIRE SSL ACCOUNT LOCK;
CREATE USER `+user+` IDENTIFIED BY `+myLiteral(myHostilePassword)+`;
CREATE ROLE readers; CREATE ROLE 'we''ird role';
CREATE DATABASE configdb CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci; CREATE DATABASE PRIMARYDB_9; CREATE DATABASE PRIMARYDB_10; CREATE DATABASE oxguard_1 CHARACTER SET latin1;
CREATE DATABASE empty_schema; CREATE DATABASE openxchange_dummy; CREATE DATABASE `+"`-n`"+`; CREATE DATABASE `+h+`;
CREATE TABLE openxchange_dummy.excluded (s VARCHAR(99)); INSERT INTO openxchange_dummy.excluded VALUES ('must not be in the dump');
USE configdb;
CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, s VARCHAR(200), b LONGBLOB, bits BIT(9), d DATETIME(6), ts TIMESTAMP NULL, j JSON, f DOUBLE, n DECIMAL(40, 10), e ENUM('a', 'ü'),
  g INT AS (CHAR_LENGTH(s)) STORED, KEY (s)) ENGINE=InnoDB COMMENT='it''s';
INSERT INTO t (s, b, bits, d, ts, j, f, n, e) VALUES
  ('Grüße 🎈 \\ '' " `+"`"+` \n\t\r\0\Z %', UNHEX('00ff0a0d1a5c27'), b'101', '2024-02-29 12:00:00.123456', '2024-01-01 00:00:00', '{"ä": [1, null]}', 0.1 / 3, 123456789012345678901234567890.5, 'ü'),
  ('', '', 0, '0000-00-00', NULL, '[]', -1e300, 0, 'a'), (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO t (s, f) SELECT CONCAT('row ', seq), seq / 7 FROM seq_1_to_500;
CREATE TABLE child (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES t (id) ON DELETE CASCADE); INSERT INTO child VALUES (1, 1), (2, NULL);
CREATE TABLE parts (id INT PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE); INSERT INTO parts VALUES (1), (100);
CREATE TABLE versioned (id INT) WITH SYSTEM VERSIONING; INSERT INTO versioned VALUES (1);
CREATE TABLE empty_table (id INT);
CREATE SEQUENCE numbers START WITH 100 INCREMENT BY 5; SELECT NEXTVAL(numbers);
CREATE VIEW v AS SELECT id, s FROM t; CREATE DEFINER='ox'@'%' VIEW w AS SELECT id FROM v WHERE id > 1 WITH CHECK OPTION;
DELIMITER ;;
CREATE PROCEDURE p(IN a INT, OUT b INT) COMMENT 'it''s'
BEGIN
CREATE TABLE IF NOT EXISTS made_by_p (id INT);
INSERT INTO made_by_p VALUES (a);
-- Dump completed
SET b = a;
END;;
CREATE DEFINER='ox'@'%' FUNCTION fn(a INT) RETURNS INT DETERMINISTIC RETURN a + 1;;
CREATE TRIGGER tr BEFORE UPDATE ON t FOR EACH ROW SET NEW.f = 7;;
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DISABLE DO DELETE FROM configdb.t WHERE id < 0;;
DELIMITER ;
CREATE TABLE PRIMARYDB_9.mails (id INT PRIMARY KEY, m LONGBLOB); INSERT INTO PRIMARYDB_9.mails VALUES (1, REPEAT(UNHEX('00FF'), 6000000)), (2, '');
CREATE TABLE PRIMARYDB_10.x (id INT); INSERT INTO PRIMARYDB_10.x VALUES (1);
CREATE TABLE oxguard_1.x (s VARCHAR(20)); INSERT INTO oxguard_1.x VALUES (_utf8mb4'äöü');
USE `+h+`;
CREATE TABLE `+"`t\\a \"b' ``c $x`"+` (`+"`-c ``o\\l`"+` INT); INSERT INTO `+"`t\\a \"b' ``c $x`"+` VALUES (5);
GRANT ALL ON `+"`PRIMARYDB\\_%`"+`.* TO 'ox'@'%'; GRANT SELECT ON configdb.* TO readers; GRANT readers TO 'ox'@'%'; SET DEFAULT ROLE readers FOR 'ox'@'%';
GRANT 'we''ird role' TO readers; GRANT SELECT, EXECUTE ON configdb.* TO 'ox'@'%'; GRANT SELECT (id), UPDATE ON configdb.child TO 'ox'@'%'; GRANT EXECUTE ON PROCEDURE configdb.p TO 'ox'@'%';
GRANT SELECT ON openxchange_dummy.excluded TO 'ox'@'%';
GRANT ALL ON *.* TO `+user+` WITH GRANT OPTION; GRANT readers TO `+user+` WITH ADMIN OPTION; GRANT 'we''ird role' TO `+user+` WITH ADMIN OPTION;
`)
}

const myDestroy = "USE configdb;" + `
UPDATE t SET s = 'encrypted, pay'; DELETE FROM t WHERE id % 2 = 1; INSERT INTO t (s) VALUES ('after the dump');
DROP TABLE child; DROP TRIGGER tr; DROP VIEW v; DROP FUNCTION fn; ALTER EVENT ev COMMENT 'changed' DO SELECT 1; DROP PROCEDURE p; CREATE PROCEDURE p() SELECT 1;
ALTER TABLE empty_table ADD COLUMN wrong INT; SELECT SETVAL(numbers, 900); DROP DATABASE PRIMARYDB_10; DELETE FROM PRIMARYDB_9.mails;
`

func TestMariaDB(t *testing.T) {
	s := newMariaDB(t, myRoot)
	s3 := harness.S3(t, "backup")
	s.fill(t)
	const unit = "mariadb/galera"
	i := harness.Render(t, harness.Inputs{State: s.state(nil), Credentials: map[string]any{"restic": s3.Restic("backup", "")}})
	options := func(t testing.TB, shell string) harness.Options {
		return harness.Options{
			Image: myImage(t, shell), Env: map[string]string{}, Scratch: "1Gi",
			Secrets: map[string]map[string]string{"mariadb": {"password": myRoot}},
		}
	}
	before := s.everything(t)
	if n := strings.Count(before, "\n"); n < 600 {
		t.Fatalf("the comparison has only %d lines", n)
	}
	var dump []byte

	for _, shell := range []string{"ash", "dash"} {
		t.Run("dump/"+shell, func(t *testing.T) {
			r := i.Dump(t, unit, options(t, shell)).OK(t)
			if !strings.Contains(r.Stderr, "1 rights on tables and routines that are not copied are left out") {
				t.Errorf("it says %q", r.Stderr)
			}
			dump = r.Stdout
			if bytes.Contains(dump, []byte("must not be in the dump")) {
				t.Error("an excluded schema was dumped")
			}
			sameLines(t, "a dump changed the server", before, s.everything(t))
		})
	}

	t.Run("dump/listed", func(t *testing.T) {
		i := harness.Render(t, harness.Inputs{
			State:       s.state(map[string]any{"discover": false, "expectDatabases": []any{"oxguard_1", "empty_schema"}, "expectPatterns": []any{"^PRIMARYDB_"}}),
			Credentials: map[string]any{"restic": s3.Restic("backup", "listed")},
		})
		for _, shell := range []string{"ash", "dash"} {
			listed := i.Dump(t, unit, options(t, shell)).OK(t).Stdout
			if n := bytes.Count(listed, []byte("\nCREATE DATABASE /*!")); n != 2 || !bytes.Contains(listed, []byte("`oxguard_1`")) || bytes.Contains(listed, []byte("CREATE TABLE `child`")) {
				t.Errorf("%d schemas were dumped, or not those that are listed", n)
			}
		}
	})

	if dump == nil {
		t.Fatal("without a dump there is nothing to restore")
	}

	t.Run("restore/over-changed", func(t *testing.T) {
		for _, shell := range []string{"ash", "dash"} {
			s.sql(t, myDestroy)
			s.sql(t, "CREATE TABLE PRIMARYDB_9.newer (id INT); ALTER USER 'ox'@'%' IDENTIFIED BY 'changed since'")
			changed := s.everything(t)
			account := s.sql(t, "SELECT authentication_string FROM mysql.user WHERE User = 'ox'")
			o := options(t, shell)
			o.Input = dump
			i.Restore(t, unit, o).Fails(t, 65, "these schemas have tables in the target", "PRIMARYDB_9", myHostileName, "HOLDFAST_OVERWRITE=yes")
			sameLines(t, "a refused restore", changed, s.everything(t))
			o.Env["HOLDFAST_OVERWRITE"] = "yes"
			i.Restore(t, unit, o).OK(t)
			// What the dump does not know stays, and so does the password of an account that exists.
			if got := s.sql(t, "SELECT authentication_string FROM mysql.user WHERE User = 'ox'"); got != account {
				t.Error("the password of an account that exists was changed")
			}
			s.sql(t, "DROP TABLE PRIMARYDB_9.newer; ALTER USER 'ox'@'%' IDENTIFIED BY 'the-password-of-ox'")
			sameLines(t, "after the restore", before, s.everything(t))
			if got := s.sql(t, "SELECT @@GLOBAL.max_allowed_packet"); got != "16777216\n" {
				t.Errorf("max_allowed_packet is left at %s", got)
			}
		}
	})

	t.Run("restore/fresh-from-restic", func(t *testing.T) {
		i.Store(t, unit, dump)
		// Its root has another password, and must keep it. A right on a table that
		// the dump does not hold is not there, which the dump has said.
		fresh := newMariaDB(t, "another-password-of-root")
		o := options(t, "ash")
		o.Env["MARIADB_PORT"], o.Env["MYSQL_PWD"] = strconv.Itoa(fresh.port), fresh.password
		i.Restore(t, unit, o).OK(t)
		sameLines(t, "on another server", strings.ReplaceAll(before, "right on table\t%\topenxchange_dummy\tox\texcluded\tSelect\t\n", ""), fresh.everything(t))
		cmd := exec.Command("mariadb", "--no-defaults", "--host=127.0.0.1", "--port="+strconv.Itoa(fresh.port), "--user="+myHostileUser, "--skip-ssl", "--execute=SELECT 1")
		cmd.Env = []string{"PATH=/usr/bin:/bin", "MYSQL_PWD=" + myHostilePassword}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("an account that was restored cannot log in: %v: %s", err, out)
		}
	})

	t.Run("failure/hostile-names", func(t *testing.T) {
		i := harness.Render(t, harness.Inputs{
			State: s.state(map[string]any{
				"username": myHostileUser, "excludeDatabases": []any{"configdb", "PRIMARYDB_9", "PRIMARYDB_10", "oxguard_1", "empty_schema", "openxchange_dummy", "-n"},
				"expectDatabases": []any{myHostileName}, "expectPatterns": []any{`^-x \\y '`},
			}),
			Credentials: map[string]any{"restic": s3.Restic("backup", "hostile")},
		})
		for _, shell := range []string{"ash", "dash"} {
			o := options(t, shell)
			o.Secrets["mariadb"]["password"] = myHostilePassword
			i.Store(t, unit, i.Dump(t, unit, o).OK(t).Stdout)
			s.sql(t, "USE "+myIdentifier(myHostileName)+"; DELETE FROM `t\\a \"b' ``c $x`; CREATE TABLE another (id INT)")
			i.Restore(t, unit, o).Fails(t, 65, "these schemas have tables in the target", myHostileName)
			o.Env["HOLDFAST_OVERWRITE"] = "yes"
			i.Restore(t, unit, o).OK(t)
			s.sql(t, "USE "+myIdentifier(myHostileName)+"; DROP TABLE another")
			sameLines(t, "after the restore", before, s.everything(t))
		}
	})

	failure := func(name string, f func(t *testing.T, o harness.Options)) {
		t.Run("failure/"+name, func(t *testing.T) {
			for _, shell := range []string{"ash", "dash"} {
				f(t, options(t, shell))
			}
		})
	}
	failure("wrong-password", func(t *testing.T, o harness.Options) {
		o.Secrets["mariadb"]["password"] = "not the password"
		i.Dump(t, unit, o).Fails(t, 69, "Access denied for user 'root'")
		o.Input = dump
		i.Restore(t, unit, o).Fails(t, 69, "Access denied for user 'root'")
	})
	failure("server-gone-before", func(t *testing.T, o harness.Options) {
		o.Env["MARIADB_PORT"] = strconv.Itoa(harness.ClosedPort(t))
		i.Dump(t, unit, o).Fails(t, 69, "Can't connect to server")
		o.Input = dump
		i.Restore(t, unit, o).Fails(t, 69, "Can't connect to server")
	})
	failure("permission-denied", func(t *testing.T, o harness.Options) {
		// What an account may not see at all is missing without any error of the tool.
		s.sql(t, `CREATE USER partial IDENTIFIED BY 'the-password-of-partial'; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON configdb.* TO partial;
GRANT SELECT ON mysql.* TO partial; GRANT SELECT ON PRIMARYDB_9.mails TO partial; GRANT SHOW VIEW, SHOW DATABASES ON *.* TO partial;`)
		defer s.sql(t, "DROP USER partial")
		o.Env["MARIADB_USER"], o.Env["MYSQL_PWD"] = "partial", "the-password-of-partial"
		i.Dump(t, unit, o).Fails(t, 69, "partial lacks global privileges", "SELECT", "TRIGGER", "EVENT")
		// A view whose definer lost a right.
		s.sql(t, "CREATE VIEW configdb.broken AS SELECT id FROM configdb.child; ALTER TABLE configdb.child RENAME TO configdb.child2")
		defer s.sql(t, "ALTER TABLE configdb.child2 RENAME TO configdb.child; DROP VIEW configdb.broken")
		o = options(t, o.Image.Shell)
		i.Dump(t, unit, o).Fails(t, 65, "invalid-view: view configdb.broken: ")
	})
	empty := newMariaDB(t, myRoot)
	emptyInstance := harness.Render(t, harness.Inputs{
		State:       empty.state(map[string]any{"expectDatabases": []any{}, "expectPatterns": []any{}}),
		Credentials: map[string]any{"restic": s3.Restic("backup", "empty")},
	})
	failure("empty", func(t *testing.T, o harness.Options) {
		// Without a schema no excuse helps; without a row only that.
		for _, excuse := range []string{"", "nobody has used it"} {
			o.Env["HOLDFAST_ALLOW_EMPTY"] = excuse
			emptyInstance.Dump(t, unit, o).Fails(t, 65, "the server has no schema to dump")
		}
		empty.sql(t, "CREATE DATABASE d; CREATE TABLE d.t (id INT)")
		defer empty.sql(t, "DROP DATABASE d")
		o.Env["HOLDFAST_ALLOW_EMPTY"] = ""
		emptyInstance.Dump(t, unit, o).Fails(t, 65, "the dump holds no row")
	})
	t.Run("dump/allowed-empty", func(t *testing.T) {
		for _, shell := range []string{"ash", "dash"} {
			o := options(t, shell)
			o.Env["HOLDFAST_ALLOW_EMPTY"] = "nobody has used it"
			empty.sql(t, "CREATE DATABASE d; CREATE TABLE d.t (id INT)")
			emptyInstance.Store(t, unit, emptyInstance.Dump(t, unit, o).OK(t).Stdout)
			empty.sql(t, "DROP DATABASE d")
			emptyInstance.Restore(t, unit, o).OK(t)
			if got := empty.sql(t, "SHOW TABLES IN d; SELECT COUNT(*) FROM d.t; DROP DATABASE d"); got != "t\n0\n" {
				t.Errorf("the restore made %q", got)
			}
		}
	})
	failure("missing-schema", func(t *testing.T, o harness.Options) {
		o.Env["EXPECT_DATABASES"] = "configdb\nno such\\schema"
		i.Dump(t, unit, o).Fails(t, 65, `the schema no such\schema is not there`)
		o.Env["EXPECT_DATABASES"] = "openxchange_dummy"
		i.Dump(t, unit, o).Fails(t, 65, "the schema openxchange_dummy is not there")
	})
	failure("missing-pattern", func(t *testing.T, o harness.Options) {
		o.Env["EXPECT_PATTERNS"] = "^PRIMARYDB_[0-9]+$\n^oxguard$"
		i.Dump(t, unit, o).Fails(t, 65, "no schema matches ^oxguard$")
		o.Env["EXPECT_PATTERNS"] = "(unclosed"
		i.Dump(t, unit, o).Fails(t, 64, "(unclosed is no regular expression")
	})
	failure("too-few", func(t *testing.T, o harness.Options) {
		i := harness.Render(t, harness.Inputs{State: s.state(map[string]any{"minTables": 1000})})
		i.Dump(t, unit, o).Fails(t, 65, "fewer than 1000")
	})
	failure("truncated", func(t *testing.T, o harness.Options) {
		const real = harness.Behind + "/mariadb-dump"
		path := filepath.Join(harness.Folder(t, 0), "mariadb-dump")
		o.Image.Bin = append(o.Image.Bin, path)
		for _, what := range []string{"--system=", "--databases"} {
			for _, cut := range []string{"head -c 3000", "sed '/^-- Dump completed/d'"} {
				script := fmt.Sprintf("#!/bin/sh\ncase \" $* \" in *\" %s\"*) %s \"$@\" | %s ;; *) exec %s \"$@\" ;; esac\n", what, real, cut, real)
				if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
					t.Fatal(err)
				}
				i.Dump(t, unit, o).Streamed(t).Fails(t, 65, "is cut: its last line is missing")
			}
		}
	})
	failure("restore-of-a-cut-dump", func(t *testing.T, o harness.Options) {
		// What fetch.sh hands over lacks the trailer.
		whole := harness.Payload(dump)
		for _, size := range []int{0, 100, len(whole) / 2, len(whole) - 20} {
			o.Input = whole[:size]
			o.Env["HOLDFAST_OVERWRITE"] = "yes"
			i.Restore(t, unit, o).Fails(t, 65, "the dump is cut")
		}
		sameLines(t, "restores that were refused", before, s.everything(t))
	})
	failure("restore-of-a-broken-dump", func(t *testing.T, o harness.Options) {
		o.Input = bytes.Replace(dump, []byte("INSERT INTO `child` VALUES"), []byte("INSERT INTO `chill` VALUES"), 1)
		o.Env["HOLDFAST_OVERWRITE"] = "yes"
		r := i.Restore(t, unit, o).Fails(t, 65, "1 items of the copy did not come back", "table configdb.child: Table 'configdb.chill' doesn't exist")
		if len(r.Stderr) > 2000 || strings.Contains(r.Stderr, "VALUES") {
			t.Errorf("a failed restore repeats the data: %.2000s", r.Stderr)
		}
		if got := s.sql(t, "SELECT @@GLOBAL.max_allowed_packet"); got != "16777216\n" {
			t.Errorf("max_allowed_packet is left at %s", got)
		}
		o.Input = dump
		i.Restore(t, unit, o).OK(t)
		sameLines(t, "a restore after one that failed", before, s.everything(t))
	})
	failure("disk-full", func(t *testing.T, o harness.Options) {
		for _, size := range []string{"8Ki", "16Ki", "64Ki", "4Mi", "12Mi"} {
			o.Scratch = size
			i.Dump(t, unit, o).Streamed(t).Fails(t, 73, "full")
		}
		// Rows need no more than the two pieces in which they pass, and these have 24 MB.
		o.Scratch = "18Mi"
		i.Dump(t, unit, o).OK(t)
	})
	failure("slow", func(t *testing.T, o harness.Options) {
		// A table that somebody else holds.
		cmd := exec.Command("mariadb", "--no-defaults", "--host=127.0.0.1", "--port="+strconv.Itoa(s.port), "--user=root", "--skip-ssl",
			"--execute=LOCK TABLES configdb.t WRITE; SELECT SLEEP(600)")
		cmd.Env = []string{"PATH=/usr/bin:/bin", "MYSQL_PWD=" + myRoot}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		harness.WaitFor(t, "the lock is held", 10*time.Second, func() error {
			out, err := s.try("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP%'")
			if err == nil && out != "1\n" {
				err = fmt.Errorf("%s sessions", strings.TrimSpace(out))
			}
			return err
		})
		o.Env["HOLDFAST_DEADLINE"] = "2"
		i.Dump(t, unit, o).Fails(t, 69, "did not end within 2 s")
		s.sql(t, "SELECT CONCAT('KILL ', ID, ';') INTO @kill FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP%'; EXECUTE IMMEDIATE @kill;")
		// It was killed.
		_ = cmd.Wait()
	})
	failure("hanging-server", func(t *testing.T, o harness.Options) {
		s.Signal(syscall.SIGSTOP)
		defer s.Signal(syscall.SIGCONT)
		o.Env["HOLDFAST_DEADLINE"] = "2"
		i.Dump(t, unit, o).Fails(t, 69, "did not end within 2 s")
	})
	failure("locked", func(t *testing.T, o harness.Options) {
		o.Locks = map[string]map[string]string{i.Unit(t, unit).Lock: {"holder": "a restore", "until": "9999999999"}}
		i.Dump(t, unit, o).Fails(t, 75, "held by a restore")
	})
	failure("wrong-ca", func(t *testing.T, o harness.Options) {
		o.Env["MARIADB_TLS"] = "verify-ca"
		i.Dump(t, unit, o).Fails(t, 69, "TLS/SSL error")
		o.Files = map[string][]byte{"ca.crt": []byte(wrongCA(t))}
		i.Dump(t, unit, o).Fails(t, 69, "TLS/SSL error", "certificate")
		o.Input = dump
		i.Restore(t, unit, o).Fails(t, 69, "TLS/SSL error", "certificate")
		o.Files["ca.crt"] = s.ca.PEM
		i.Dump(t, unit, o).OK(t)
		o.Env["MARIADB_TLS"] = "require"
		i.Dump(t, unit, o).OK(t)
		o.Env["MARIADB_TLS"] = "perhaps"
		i.Dump(t, unit, o).Fails(t, 64, "MARIADB_TLS is none of")
	})
	// The last one: the server does not come back.
	t.Run("failure/server-gone-in-the-middle", func(t *testing.T) {
		s.sql(t, "USE configdb; CREATE TABLE big (x TEXT); INSERT INTO big SELECT REPEAT(MD5(seq), 20) FROM seq_1_to_300000")
		p := i.Start(t, unit, "dump", options(t, "dash"))
		harness.WaitFor(t, "mariadb-dump copies", 30*time.Second, func() error {
			out, err := s.try("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT %FROM `big`%' AND ID <> CONNECTION_ID()")
			if err == nil && out != "1\n" {
				err = fmt.Errorf("%s sessions", strings.TrimSpace(out))
			}
			return err
		})
		s.Kill()
		p.Wait().Streamed(t).Fails(t, 69, "mariadb-dump of", "failed")
	})
}

// myOdd is what a plain dump changes, or what its load stumbles over.
var myOdd = `
CREATE DATABASE zz CHARACTER SET latin1 COMMENT 'it''s\na comment'; CREATE SEQUENCE zz.later START WITH 7 NOCACHE; SELECT NEXTVAL(zz.later);
CREATE DATABASE odd; USE odd;
CREATE SEQUENCE s START WITH 100 NOCACHE; SELECT NEXTVAL(s);
CREATE TABLE by_sequence (id INT DEFAULT NEXTVAL(s) PRIMARY KEY, other INT DEFAULT NEXTVAL(zz.later)); INSERT INTO by_sequence VALUES (), ();
CREATE TABLE float_and_sequence (id INT DEFAULT NEXTVAL(s), f FLOAT); INSERT INTO float_and_sequence (f) VALUES (1 / 3);
CREATE TABLE floats (id INT PRIMARY KEY, f FLOAT, u FLOAT UNSIGNED, g FLOAT AS (f * 2) STORED, v FLOAT AS (f * 2) VIRTUAL, d DOUBLE(30, 3), h FLOAT INVISIBLE, b BIT(9), z INT(9) ZEROFILL, e ENUM('1', '0', 'x'),
  ts TIMESTAMP(6) NULL, y YEAR, p POINT, i INET6, w UUID, n DECIMAL(60, 20), j JSON, bl LONGBLOB);
INSERT INTO floats (id, f, u, d, h, b, z, e, ts, y, p, i, w, n, j, bl) VALUES (1, 1 / 3, 3e38, 16777217.123, 16777217, b'101', 7, '0', '2024-01-01 00:00:00.123456', 1999, POINT(1, 1 / 3), '::1',
  'c46dabe0-e694-11f1-9ea0-02fc00000001', 123456789.123456789, '{"ü": 1}', x'00270a5c'), (2, -1.17549435e-38, 0, 0, 123456.789, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '');
CREATE TRIGGER floats_tr BEFORE INSERT ON floats FOR EACH ROW SET NEW.f = NEW.f + 1;
CREATE TABLE letters (id VARCHAR(9) CHARACTER SET ujis PRIMARY KEY, a VARCHAR(9) CHARACTER SET cp932, b TEXT CHARACTER SET big5, c CHAR(9) CHARACTER SET cp1251, d ENUM('x', 'y') CHARACTER SET cp932, e SET('x', 'y') CHARACTER SET ucs2, j VARCHAR(9) CHARACTER SET ujis);
INSERT INTO letters VALUES (x'8FA2B7', x'FA54', x'F9FE', x'98', 'y', 'x,y', x'8FA2B7'), (x'A1C1', x'81CA', x'A1E3', x'41', 'x', '', x'A1C1'), ('n', x'EEF987908740ED40', '', '', NULL, NULL, NULL);
SET SESSION sql_mode = 'ALLOW_INVALID_DATES'; CREATE TABLE dates (d DATE, e DATETIME); INSERT INTO dates VALUES ('2024-02-31', '2023-04-31 01:02:03'), ('0000-00-00', '0000-00-00'); SET SESSION sql_mode = DEFAULT;
SET SESSION innodb_strict_mode = 0; CREATE TABLE wide (` + myColumns + `) ENGINE=InnoDB ROW_FORMAT=COMPACT CHARACTER SET latin1; SET SESSION innodb_strict_mode = DEFAULT;
CREATE TABLE checked (i INT CHECK (i > 0)); SET SESSION check_constraint_checks = 0; INSERT INTO checked VALUES (-1); SET SESSION check_constraint_checks = DEFAULT;
CREATE TABLE history (i INT) WITH SYSTEM VERSIONING; INSERT INTO history VALUES (1); UPDATE history SET i = 2; DELETE FROM history; INSERT INTO history VALUES (3);
CREATE TABLE history_of_floats (f FLOAT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START, e TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING;
INSERT INTO history_of_floats (f) VALUES (1 / 3); UPDATE history_of_floats SET f = 1 / 7;
CREATE TABLE history_hidden (f FLOAT) WITH SYSTEM VERSIONING; INSERT INTO history_hidden VALUES (1 / 3); UPDATE history_hidden SET f = 1 / 7;
CREATE TABLE ` + "`-- Retrieving table structure for table x...`" + ` (f FLOAT); CREATE TABLE ` + "`a.b`" + ` (i INT); CREATE TABLE ` + "`line\nDROP TABLE checked; --\nbreak`" + ` (` + "`col\nDROP TABLE checked; ```" + ` FLOAT); INSERT INTO ` + "`line\nDROP TABLE checked; --\nbreak`" + ` VALUES (1 / 3);
SET SESSION sql_mode = ''; CREATE TABLE erring (id INT PRIMARY KEY, e ENUM('a', 'b'), f ENUM('x', ''), g FLOAT(30, 0), h ENUM('x', 'y') CHARACTER SET ucs2, ` + "`i'\ni`" + ` ENUM('', 'y') CHARACTER SET cp932);
INSERT INTO erring VALUES (1, 'gone', 'gone', 1e30, 'gone', 'gone'), (2, 'a', '', -1e30, 'x', ''), (3, NULL, 'x', 1, NULL, 'y');
CREATE TABLE sets (id INT PRIMARY KEY, a SET('', 'x') CHARACTER SET cp1251, b SET('', 'x', 'it''s'), c SET('x', ''));
INSERT INTO sets VALUES (0, 0, 0, 0), (1, 1, 1, 1), (2, 2, 2, 2), (3, 3, 3, 3), (4, 1, 4, 2), (7, 2, 7, 3), (8, NULL, NULL, NULL);
CREATE TABLE erring_history (e ENUM('a')) WITH SYSTEM VERSIONING; INSERT INTO erring_history VALUES (0); UPDATE erring_history SET e = 'a'; SET SESSION sql_mode = DEFAULT;
CREATE TABLE of_expression (a DATE DEFAULT FROM_DAYS('x'), b DATE CHECK (a LIKE DEFAULT(a)));
CREATE VIEW over_floats AS SELECT f FROM floats;
CREATE PROCEDURE says() SELECT '
-- Table structure for table ` + "`nothing`" + `
-- Current Database: ` + "`nothing`" + `
-- Dump completed';
CREATE DATABASE ` + "`-o``dd.x`" + `;
CREATE DATABASE Folded; CREATE TABLE Folded.t (i INT); INSERT INTO Folded.t VALUES (1);
CREATE ROLE one; CREATE ROLE ` + "`t'wo`" + `; GRANT one TO ` + "`t'wo`" + `; CREATE USER 'app'@'%' IDENTIFIED BY 'the-password-of-app'; GRANT ` + "`t'wo`" + ` TO 'app'@'%'; SET DEFAULT ROLE ` + "`t'wo`" + ` FOR 'app'@'%';
CREATE USER 'proxied'@'%'; GRANT PROXY ON 'proxied'@'%' TO 'app'@'%';
GRANT SELECT ON odd.floats TO PUBLIC; GRANT SHOW DATABASES ON *.* TO PUBLIC; GRANT EXECUTE ON PROCEDURE odd.says TO one;
CREATE SERVER far FOREIGN DATA WRAPPER mysql OPTIONS (HOST '192.0.2.1', USER 'it''s', PASSWORD 'the-password-of-far');
`

// myColumns are more than a page takes.
var myColumns = func() string {
	var columns []string
	for c := 1; c <= 40; c++ {
		columns = append(columns, fmt.Sprintf("c%d CHAR(250) NOT NULL DEFAULT ''", c))
	}
	return strings.Join(columns, ", ")
}()

// rights are all accounts and what they may do.
func (s *myServer) rights(t testing.TB) string {
	t.Helper()
	return s.sql(t, `SELECT Host, User, JSON_REMOVE(Priv, '$.password_last_changed', '$.default_role'), COALESCE(JSON_VALUE(Priv, '$.default_role'), '') FROM mysql.global_priv WHERE User NOT IN ('root', 'mariadb.sys') ORDER BY 1, 2; SELECT * FROM mysql.roles_mapping ORDER BY 1, 2, 3;
SELECT Host, Db, User, Table_name, Table_priv, Column_priv FROM mysql.tables_priv ORDER BY 1, 2, 3, 4; SELECT Host, Db, User, Routine_name, Proc_priv FROM mysql.procs_priv ORDER BY 1, 2, 3, 4;
SELECT Host, User, Proxied_host, Proxied_user, With_grant FROM mysql.proxies_priv WHERE User <> 'root' ORDER BY 1, 2; SELECT * FROM mysql.servers ORDER BY 1;`)
}

// myInstance renders the server with nothing expected or excluded but what is said.
func (s *myServer) instance(t testing.TB, losses []any, further map[string]any) *harness.Instance {
	t.Helper()
	keys := map[string]any{"expectDatabases": []any{}, "expectPatterns": []any{}, "excludeDatabases": []any{}}
	for name, value := range further {
		keys[name] = value
	}
	state := s.state(keys)
	if losses != nil {
		state["backup"] = map[string]any{"enabled": true, "losses": map[string]any{"mariadb/galera": losses}}
	}
	return harness.Render(t, harness.Inputs{State: state})
}

// myAccepted are losses that are accepted, with every item.
func myAccepted(names ...string) []any {
	var losses []any
	for _, name := range names {
		losses = append(losses, map[string]any{"loss": name, "items": "*", "reason": "a test"})
	}
	return losses
}

func myOptions(t testing.TB, shell string) harness.Options {
	return harness.Options{
		Image: myImage(t, shell), Env: map[string]string{}, Scratch: "64Mi",
		Secrets: map[string]map[string]string{"mariadb": {"password": myRoot}},
	}
}

// same compares what two servers hold, to the last bit of a FLOAT.
func (s *myServer) same(t testing.TB, other *myServer) {
	t.Helper()
	for _, what := range mySame(s.texts(t), other.texts(t)) {
		t.Error(what)
	}
	sameLines(t, "the accounts", s.rights(t), other.rights(t))
}

// TestDataMariaDBOdd brings everything back that a plain dump changes or fails on.
func TestDataMariaDBOdd(t *testing.T) {
	const unit = "mariadb/galera"
	s := newMariaDB(t, myRoot)
	s.sql(t, myOdd)
	i := s.instance(t, nil, nil)
	for _, shell := range []string{"ash", "dash"} {
		o := myOptions(t, shell)
		o.Input = i.Dump(t, unit, o).OK(t).Stdout
		fresh := newMariaDB(t, myRoot)
		o.Env["MARIADB_PORT"] = strconv.Itoa(fresh.port)
		i.Restore(t, unit, o).OK(t)
		s.same(t, fresh)
		for _, sql := range []string{
			"SELECT i, ROW_START, ROW_END FROM odd.history FOR SYSTEM_TIME ALL ORDER BY 2, 3",
			"SELECT CAST(f AS DOUBLE), s, e FROM odd.history_of_floats FOR SYSTEM_TIME ALL ORDER BY 2, 3",
			"SELECT CAST(f AS DOUBLE), ROW_START FROM odd.history_hidden FOR SYSTEM_TIME ALL ORDER BY 2",
			"SELECT HEX(id), HEX(a), HEX(b), HEX(c), d + 0, e + 0, HEX(j) FROM odd.letters ORDER BY 1",
			"SELECT id, a + 0, b + 0, c + 0 FROM odd.sets ORDER BY 1",
			"SELECT CAST(f AS DOUBLE), CAST(h AS DOUBLE), CAST(v AS DOUBLE), e + 0 FROM odd.floats ORDER BY id",
			"SELECT id, e + 0, f + 0, CAST(g AS DOUBLE), h + 0, `i'\ni` + 0 FROM odd.erring ORDER BY id", "SELECT e + 0, ROW_START FROM odd.erring_history FOR SYSTEM_TIME ALL ORDER BY 2",
		} {
			if before, after := s.sql(t, sql), fresh.sql(t, sql); before != after {
				t.Errorf("%s told\n%safter the restore\n%s", sql, before, after)
			}
		}
		// A sequence goes on behind what it has given.
		if got := fresh.sql(t, "INSERT INTO odd.by_sequence VALUES (); SELECT MAX(id), MAX(other) FROM odd.by_sequence"); got != "104\t10\n" {
			t.Errorf("the sequences went on with %q", got)
		}
		// Once more, over what is there.
		i.Restore(t, unit, o).Fails(t, 65, "these schemas have tables in the target")
		o.Env["HOLDFAST_OVERWRITE"] = "yes"
		i.Restore(t, unit, o).OK(t)
		s.same(t, fresh)
	}
}

// TestLossesMariaDB names on the night what would not come back, and copies the rest
// where the settings accept that.
func TestLossesMariaDB(t *testing.T) {
	const unit = "mariadb/galera"
	s := newMariaDB(t, myRoot)
	s.sql(t, `CREATE DATABASE lost; CREATE DATABASE elsewhere; USE lost; INSTALL SONAME 'ha_federatedx';
CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2); CREATE TABLE gone (a INT); CREATE VIEW invalid AS SELECT a FROM gone; DROP TABLE gone; CREATE VIEW valid AS SELECT id FROM t;
CREATE TABLE discarded (a INT PRIMARY KEY) ENGINE=InnoDB; CREATE TRIGGER of_discarded BEFORE INSERT ON discarded FOR EACH ROW SET @a = 1; CREATE EVENT later ON SCHEDULE AT NOW() + INTERVAL 1 SECOND DISABLE DO SELECT 1;
CREATE EVENT kept ON SCHEDULE EVERY 1 DAY STARTS NOW() ENDS NOW() + INTERVAL 1 SECOND ON COMPLETION PRESERVE DISABLE DO SELECT 1; DO SLEEP(2); INSERT INTO discarded VALUES (1); ALTER TABLE discarded DISCARD TABLESPACE; CREATE TABLE `+"child (id INT PRIMARY KEY, CONSTRAINT `of ``t` FOREIGN KEY (id) REFERENCES t (id))"+`;
CREATE SEQUENCE emptied; CREATE TABLE emptied_too (id INT DEFAULT NEXTVAL(emptied)); ALTER TABLE emptied DISCARD TABLESPACE; CREATE VIEW over_discarded AS SELECT a FROM discarded; CREATE VIEW over_that AS SELECT a FROM over_discarded;
CREATE TABLE numbered (a INT, f FLOAT, s BIGINT UNSIGNED GENERATED ALWAYS AS ROW START, e BIGINT UNSIGNED GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING ENGINE=InnoDB;
INSERT INTO numbered (a, f) VALUES (1, 1 / 3); UPDATE numbered SET a = 2;
CREATE TABLE elsewhere.t (id INT); CREATE TABLE elsewhere.far_rows (id INT PRIMARY KEY); INSERT INTO elsewhere.far_rows VALUES (77001), (77002); CREATE SEQUENCE elsewhere.s; CREATE VIEW needs AS SELECT id FROM elsewhere.t; CREATE TABLE needs_too (id INT DEFAULT NEXTVAL(elsewhere.s), f FLOAT);
SET NAMES cp932; EXECUTE IMMEDIATE CONCAT(_binary 'CREATE TABLE labels (e ENUM(''', x'FA54', ''') CHARACTER SET cp932)'); SET NAMES utf8mb4;
CREATE TABLE none_or_empty (a SET('', 'x') CHARACTER SET ucs2, b SET('', '1'), c SET('', 'x')); INSERT INTO none_or_empty VALUES (2, 2, 1);
CREATE DATABASE `+"`line\nbreak`"+`; CREATE DATABASE MYSQL; CREATE TABLE MYSQL.t (i INT); CREATE USER app; GRANT SELECT ON lost.valid TO app; CREATE TABLE dropped (i INT); GRANT INSERT ON dropped TO app; DROP TABLE dropped;
CREATE SEQUENCE of_before; CREATE SEQUENCE `+"`of ``now`"+`; CREATE TABLE numbers (id INT DEFAULT NEXTVAL(of_before)); CREATE TABLE numbers_now (id INT DEFAULT NEXTVAL(`+"`of ``now`"+`)); DROP SEQUENCE of_before;
CREATE TABLE triggered (i INT, j INT, `+"`k l`"+` INT); INSERT INTO triggered VALUES (1, 2, 3);
DELIMITER ;;
CREATE TRIGGER of_before BEFORE UPDATE ON triggered FOR EACH ROW SET @a = OLD . j;;
CREATE TRIGGER of_now BEFORE UPDATE ON triggered FOR EACH ROW
BEGIN
  -- it was new.j
  SET @a = NEW.I, @b = 'new.j', @c = "it''s old.j", @d = new.`+"`k l`"+` /* old.j */;
END;;
DELIMITER ;
ALTER TABLE triggered DROP COLUMN j;
CREATE USER gone; CREATE ROLE orphan WITH ADMIN gone; DROP USER gone; CREATE ROLE held; CREATE USER of_name@`+"`host's`"+`, of_number@192.0.2.7; GRANT held TO of_name@`+"`host's`"+` WITH ADMIN OPTION; GRANT SELECT ON t TO of_name@`+"`host's`"+`; FLUSH PRIVILEGES;
CREATE TABLE far (id INT PRIMARY KEY) ENGINE=FEDERATED CONNECTION='mysql://root:`+myRoot+`@127.0.0.1:`+strconv.Itoa(s.port)+`/elsewhere/far_rows';`)
	excluded := map[string]any{"excludeDatabases": []any{"elsewhere"}}
	want := []string{
		"invalid-view: view lost.invalid: ", "unreadable: table lost.discarded: Tablespace has been discarded", "unreadable: sequence lost.emptied: ", "outside: table lost.emptied_too: ",
		"outside: trigger lost.of_discarded: its table", "event: event lost.later: its time is over",
		"outside: view lost.over_discarded: ", "outside: view lost.over_that: ", "outside: view lost.needs: ", "outside: table lost.needs_too: ",
		"history: table lost.numbered: ", "changed-characters: column lost.labels.e: ", "changed-characters: column lost.none_or_empty.a: ", "changed-characters: column lost.none_or_empty.b: ", "name: schema line\\nbreak: ", "name: schema MYSQL: ", "right: right of app@% on lost.dropped: ",
		"external: table lost.far: its engine is FEDERATED", "outside: table lost.numbers: ", "invalid-trigger: trigger lost.of_before: its table has no column for OLD . j",
		"account: account of_name@host's: the server ignores it",
		"account: role orphan: no account may give it",
	}
	child := "child\n"
	if s.sql(t, "SELECT VERSION() >= '11'") == "1\n" {
		want, child = append(want, "name: table lost.child: the server does not quote"), ""
	}
	names := []string{"invalid-view", "account", "event", "unreadable", "outside", "history", "changed-characters", "name", "right", "external", "invalid-trigger"}
	for _, shell := range []string{"ash", "dash"} {
		o := myOptions(t, shell)
		r := s.instance(t, nil, excluded).Dump(t, unit, o).Fails(t, 65, append([]string{fmt.Sprintf("%d things would not come back", len(want))}, want...)...)
		if strings.Contains(r.Stderr, "lost.t:") || strings.Contains(r.Stderr, "lost.valid") {
			t.Errorf("it names what is not lost:\n%s", r.Stderr)
		}
		// One that is not accepted is enough.
		s.instance(t, myAccepted(names[1:]...), excluded).Dump(t, unit, o).Fails(t, 65, "1 things would not come back", want[0])
		i := s.instance(t, myAccepted(names...), excluded)
		r = i.Dump(t, unit, o).OK(t)
		for _, item := range []string{`{"loss":"invalid-view","item":"view lost.invalid"`, `{"loss":"unreadable","item":"table lost.discarded"`, `{"loss":"history","item":"table lost.numbered"`} {
			if !bytes.Contains(r.Stdout[len(r.Stdout)-4096:], []byte(item)) {
				t.Errorf("the trailer lacks %s", item)
			}
		}
		if bytes.Contains(r.Stdout, []byte("77001")) {
			t.Error("rows that are elsewhere were copied")
		}
		fresh := newMariaDB(t, myRoot)
		// The target ignores one, too.
		fresh.sql(t, "CREATE USER there@host; FLUSH PRIVILEGES")
		o.Env["MARIADB_PORT"] = strconv.Itoa(fresh.port)
		o.Input = r.Stdout
		i.Restore(t, unit, o).OK(t)
		if got := fresh.sql(t, "SELECT User, Host FROM mysql.global_priv WHERE User IN ('of_name', 'of_number', 'held', 'there') ORDER BY 1; SELECT User FROM mysql.roles_mapping WHERE Role = 'held'"); got != "held\t\nof_number\t192.0.2.7\nthere\thost\nroot\n" {
			t.Errorf("the accounts are %q", got)
		}
		if got := fresh.sql(t, "SHOW TABLES IN lost; SELECT COUNT(*) FROM lost.valid; SELECT a, CAST(f AS DOUBLE) FROM lost.numbered; SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'lost'; SELECT * FROM lost.triggered; SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'lost'"); got !=
			child+"far\nlabels\nnone_or_empty\nnumbered\nnumbers_now\nof `now\nt\ntriggered\nvalid\n2\n2\t0.3333333432674408\nof_now\n1\t3\nkept\n" {
			t.Errorf("the restore made %q", got)
		}
		// The definition is there, and its rows are where they were.
		if got := fresh.sql(t, "SELECT * FROM lost.far"); got != "77001\n77002\n" {
			t.Errorf("the table whose rows are elsewhere has %q", got)
		}
		// A copy that does not name the trigger must not come back without it.
		o.Input = bytes.Replace(r.Stdout, []byte(`{"loss":"invalid-trigger"`), []byte(`{"loss":"invalid-triggee"`), 1)
		o.Env["HOLDFAST_OVERWRITE"] = "yes"
		i.Restore(t, unit, o).Fails(t, 65, "1 items of the copy did not come back", "trigger lost.of_before: Unknown column 'j' in 'OLD'")
	}
}

// TestDataMariaDBTool reads what mariadb-dump says, and what it does not.
func TestDataMariaDBTool(t *testing.T) {
	const unit = "mariadb/galera"
	s := newMariaDB(t, myRoot)
	s.sql(t, "CREATE DATABASE d; CREATE TABLE d.t (i INT); INSERT INTO d.t VALUES (1); CREATE TABLE d.u (i INT); CREATE VIEW d.v AS SELECT i FROM d.t; CREATE SEQUENCE d.s; CREATE DATABASE e; CREATE TABLE e.t (i INT)")
	const real = harness.Behind + "/mariadb-dump"
	for _, shell := range []string{"ash", "dash"} {
		for what, words := range map[string][]string{
			"--ignore-table=d.u": {"mariadb-dump left out what is still there", "table d.u"},
			"--ignore-table=e.t": {"mariadb-dump left out what is still there", "table e.t"},
			"--ignore-table=d.v": {"mariadb-dump left out what is still there", "view d.v"},
			"--ignore-table=d.s": {"mariadb-dump left out what is still there", "sequence d.s"},
			"":                   {"warning: mariadb-dump: Warning: something is not as it should be"},
		} {
			o := myOptions(t, shell)
			path := filepath.Join(harness.Folder(t, 0), "mariadb-dump")
			o.Image.Bin = append(o.Image.Bin, path)
			script := fmt.Sprintf("#!/bin/sh\ncase \" $* \" in *' --databases '*) ;; *) exec %s \"$@\" ;; esac\nfirst=$1\nshift\n", real)
			if what == "" {
				script += "echo 'Warning: something is not as it should be' >&2\n"
			}
			script += fmt.Sprintf("exec %s \"$first\" %s \"$@\"\n", real, what)
			if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			s.instance(t, nil, nil).Dump(t, unit, o).Streamed(t).Fails(t, 65, words...)
			if what == "" {
				s.instance(t, myAccepted("warning"), nil).Dump(t, unit, o).OK(t)
			}
		}
	}
}

// TestMissingMariaDB restores what can be restored, and names the rest.
func TestMissingMariaDB(t *testing.T) {
	const unit = "mariadb/galera"
	s := newMariaDB(t, myRoot)
	s.sql(t, `CREATE DATABASE a; CREATE DATABASE A; CREATE DATABASE b; CREATE TABLE a.t (i INT PRIMARY KEY); INSERT INTO a.t VALUES (1), (2); CREATE TABLE A.t (i INT); INSERT INTO A.t VALUES (7);
CREATE TABLE b.one (i INT); INSERT INTO b.one VALUES (1); CREATE TABLE b.two (s VARCHAR(50), e ENUM('x'), f FLOAT); INSERT INTO b.two VALUES ('somebody''s data', 'x', 1 / 3); CREATE TABLE b.Three (i INT); INSERT INTO b.Three VALUES (3); CREATE TABLE b.three (i INT);
CREATE TRIGGER b.tr BEFORE INSERT ON b.one FOR EACH ROW SET NEW.i = NEW.i + 1; CREATE VIEW b.v AS SELECT i FROM b.one; CREATE PROCEDURE b.p() SELECT 'p'; CREATE FUNCTION b.f() RETURNS INT RETURN 1; CREATE EVENT b.ev ON SCHEDULE EVERY 1 DAY DO SELECT 1;
CREATE SEQUENCE b.s; CREATE ROLE readers; CREATE USER app IDENTIFIED BY 'the-password-of-app'; GRANT readers TO app; GRANT SELECT ON b.one TO app; GRANT EXECUTE ON PROCEDURE b.p TO readers;`)
	i := s.instance(t, nil, nil)
	for _, shell := range []string{"ash", "dash"} {
		dump := i.Dump(t, unit, myOptions(t, shell)).OK(t).Stdout
		fresh := newMariaDB(t, myRoot)
		options := func() harness.Options {
			o := myOptions(t, shell)
			o.Env["MARIADB_PORT"], o.Env["HOLDFAST_OVERWRITE"] = strconv.Itoa(fresh.port), "yes"
			o.Input = dump
			return o
		}
		change := func(old, new string) []byte {
			if !bytes.Contains(dump, []byte(old)) || len(old) != len(new) {
				t.Fatalf("the dump lacks %q", old)
			}
			return bytes.ReplaceAll(dump, []byte(old), []byte(new))
		}
		for _, c := range []struct {
			old, new string
			words    []string
		}{
			{"CREATE TABLE `one`", "CREATE TABEL `one`", []string{"table b.one: ", "view b.v: ", "trigger b.tr: ", "right SELECT ON `b`.`one` of `app`@`%`: "}},
			{"'somebody\\'s data','x'", "'somebody\\'s data','y'", []string{"values of column 'e': the server warned (1265)"}},
			{"INSERT INTO `two` VALUES\n(", "INSERT INTO `two` VALUES\n;", []string{"table b.two: error 1064 (42000)"}},
			{" PROCEDURE `p`()", " PROCEDUER `p`()", []string{"procedure b.p: error 1064", "right EXECUTE ON PROCEDURE `b`.`p` of `readers`: "}},
			{"EVENT `ev`", "EVNET `ev`", []string{"event b.ev: "}},
			{"CREATE SEQUENCE `s`", "CREATE SEQUENCF `s`", []string{"sequence b.s: "}},
			{"VIEW `v` AS select", "VIEW `v` AS selekt", []string{"view b.v: "}},
			{"/*M!100005 CREATE ROLE IF NOT EXISTS 'readers'", "/*M!100005 CREATE ROEL IF NOT EXISTS 'readers'", []string{"role `readers` of `app`@`%`: ", "role `readers` of `root`@`127.0.0.1`: ", "right to give role `readers` of `root`@`127.0.0.1`: ", "right EXECUTE ON PROCEDURE `b`.`p` of `readers`: "}},
			{"CREATE DATABASE IF NOT EXISTS `b`", "CREATE DATABASF IF NOT EXISTS `b`", []string{"schema b: it could not be made", "right SELECT ON `b`.`one` of `app`@`%`: ", "right EXECUTE ON PROCEDURE `b`.`p` of `readers`: "}},
		} {
			fresh.sql(t, "DROP DATABASE IF EXISTS a; DROP DATABASE IF EXISTS A; DROP DATABASE IF EXISTS b; DROP USER IF EXISTS app; DROP ROLE IF EXISTS readers")
			o := options()
			o.Input = change(c.old, c.new)
			r := i.Restore(t, unit, o).Fails(t, 65, append([]string{fmt.Sprintf("%d items of the copy did not come back", len(c.words))}, c.words...)...)
			if strings.Contains(r.Stderr, "somebody") {
				t.Errorf("the restore repeats the data: %s", r.Stderr)
			}
			// Nothing of it came into another schema, and the rest is there.
			if got := fresh.sql(t, "SELECT * FROM a.t; SELECT * FROM A.t; SHOW TABLES IN a; SHOW TABLES IN A"); got != "1\n2\n7\nt\nt\n" {
				t.Errorf("beside %q there is %q", c.new, got)
			}
			// Again, with the right copy: everything is there.
			i.Restore(t, unit, options()).OK(t)
			s.same(t, fresh)
		}

		// What is left out is not touched.
		fresh.sql(t, "DROP DATABASE a; DROP TABLE b.one; CREATE TABLE b.one (mine INT); DROP PROCEDURE b.p; DROP EVENT b.ev; DROP SEQUENCE b.s; DELETE FROM b.two")
		o := options()
		o.Env["HOLDFAST_LEAVE_OUT"] = "schema a\ntable b.one\ntrigger b.tr\nprocedure b.*\nevent b.ev\nsequence b.s\nview b.v\nright * ON `b`.`one` of *\nright EXECUTE ON PROCEDURE*"
		r := i.Restore(t, unit, o).OK(t)
		for _, item := range []string{"schema a", "table b.one", "procedure b.p", "event b.ev", "sequence b.s"} {
			if !strings.Contains(r.Stderr, "  "+item+"\n") {
				t.Errorf("%s is not told as left out:\n%s", item, r.Stderr)
			}
		}
		if got := fresh.sql(t, "SHOW DATABASES LIKE 'a'; SHOW COLUMNS IN b.one; SHOW PROCEDURE STATUS WHERE Db = 'b'; SHOW EVENTS IN b; SHOW FULL TABLES IN b LIKE 's'; SELECT COUNT(*) FROM b.two"); got != "mine\tint(11)\tYES\t\tNULL\t\n1\n" {
			t.Errorf("what was left out is %q", got)
		}

		// A server that takes both for one name.
		folded := newMariaDB(t, myRoot, "--lower-case-table-names=1")
		o = options()
		o.Env["MARIADB_PORT"] = strconv.Itoa(folded.port)
		i.Restore(t, unit, o).Fails(t, 65, "in this server it is the same name as", " b.three", "schema ")
		if got := folded.sql(t, "SELECT COUNT(*) FROM a.t; SELECT COUNT(*) FROM b.one"); got != "1\n1\n" && got != "2\n1\n" {
			t.Errorf("the restore made %q", got)
		}
	}
}

// TestDataMariaDBOlder restores a copy from before copies had lists of what they hold.
func TestDataMariaDBOlder(t *testing.T) {
	const unit = "mariadb/galera"
	s := newMariaDB(t, myRoot)
	s.sql(t, "CREATE DATABASE d; CREATE TABLE d.t (i INT); INSERT INTO d.t VALUES (1); CREATE TABLE d.u (i INT)")
	cmd := exec.Command("mariadb-dump", "--no-defaults", "--host=127.0.0.1", "--port="+strconv.Itoa(s.port), "--user=root", "--skip-ssl", "--skip-dump-date", "--databases", "d")
	cmd.Env = []string{"PATH=/usr/bin:/bin", "MYSQL_PWD=" + myRoot}
	dump, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	i := s.instance(t, nil, nil)
	for _, shell := range []string{"ash", "dash"} {
		o := myOptions(t, shell)
		s.sql(t, "DROP DATABASE d")
		o.Input = dump
		i.Restore(t, unit, o).OK(t)
		if got := s.sql(t, "SELECT * FROM d.t; SHOW TABLES IN d"); got != "1\nt\nu\n" {
			t.Errorf("the restore made %q", got)
		}
		s.sql(t, "DROP DATABASE d")
		o.Input = bytes.Replace(dump, []byte("CREATE TABLE `t`"), []byte("CREATE TABEL `t`"), 1)
		i.Restore(t, unit, o).Fails(t, 65, "table d.t: ")
		o.Env["HOLDFAST_LEAVE_OUT"] = "table d.t"
		i.Restore(t, unit, o).Fails(t, 65, "older than its list of items")
	}
}
