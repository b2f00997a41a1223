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
func newMariaDB(t testing.TB, password string) *myServer {
	t.Helper()
	uid, gid := serverUser(t, "mysql")
	dir := harness.Folder(t, uid)
	asUser(t, uid, gid, dir, harness.Program(t, "mariadb-install-db"), "--no-defaults", "--datadir="+dir+"/data",
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	s := &myServer{port: harness.Port(t), ca: harness.NewCA(t)}
	certificate, key := s.ca.Issue(t, uid)
	s.Server = harness.Serve(t, "mariadbd", []string{
		"mariadbd", "--no-defaults", "--datadir=" + dir + "/data", "--bind-address=127.0.0.1", "--port=" + strconv.Itoa(s.port),
		"--socket=" + dir + "/socket", "--pid-file=" + dir + "/pid", "--skip-name-resolve",
		"--ssl-cert=" + certificate, "--ssl-key=" + key, "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M",
	}, harness.ServeOptions{
		UID: uid, GID: gid, Dir: dir,
		Ready: func() error { _, err := s.try("SELECT 1"); return err },
	})
	// A server that resolves no names cannot have accounts by the machine's name:
	// mariadb-dump fails on them.
	s.sql(t, "DELETE FROM mysql.global_priv WHERE Host NOT IN ('127.0.0.1', 'localhost', ''); DELETE FROM mysql.proxies_priv WHERE Host <> 'localhost';"+
		"FLUSH PRIVILEGES; ALTER USER root@`127.0.0.1` IDENTIFIED BY "+myLiteral(password))
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
			dump = i.Dump(t, unit, options(t, shell)).OK(t).Stdout
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
			if n := bytes.Count(listed, []byte("\nCREATE DATABASE ")); n != 2 || !bytes.Contains(listed, []byte("`oxguard_1`")) || bytes.Contains(listed, []byte("CREATE TABLE `child`")) {
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
		// the dump does not hold is left out.
		fresh := newMariaDB(t, "another-password-of-root")
		o := options(t, "ash")
		o.Env["MARIADB_PORT"], o.Env["MYSQL_PWD"] = strconv.Itoa(fresh.port), fresh.password
		if r := i.Restore(t, unit, o).OK(t); !strings.Contains(r.Stderr, "1 rights were left out") {
			t.Errorf("it says %q", r.Stderr)
		}
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
		i.Dump(t, unit, o).Fails(t, 69, "mariadb-dump of", "broken")
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
		cut := filepath.Join(harness.Folder(t, 0), "mariadb-dump")
		o.Image.Bin = append(o.Image.Bin, cut)
		for _, what := range []string{"--system=users", "--databases"} {
			script := fmt.Sprintf("#!/bin/sh\ncase \" $* \" in *\" %s \"*) %s \"$@\" | head -c 3000 ;; *) exec %s \"$@\" ;; esac\n", what, real, real)
			if err := os.WriteFile(cut, []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			i.Dump(t, unit, o).Fails(t, 65, "is cut: its last line is missing")
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
		r := i.Restore(t, unit, o).Fails(t, 69, "loading the dump failed", "chill")
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
		for _, size := range []string{"8Ki", "16Ki", "64Ki", "1Mi", "30Mi"} {
			o.Scratch = size
			i.Dump(t, unit, o).Fails(t, 73, "full")
		}
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
		p.Wait().Fails(t, 69, "mariadb-dump of", "failed")
	})
}
