package e2e_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

// myTests are those of MariaDB's own tests whose objects the short form takes.
var myTests = strings.Fields(`
main/check_constraint main/column_compression main/ctype_big5 main/ctype_cp932 main/ctype_gbk main/ctype_sjis main/ctype_utf16 main/foreign_key main/fulltext main/gis
main/invisible_field main/key main/strict main/trigger main/type_bit main/type_datetime main/type_enum main/type_float main/type_newdecimal main/type_set main/type_timestamp
suite/compat/oracle/t/sp-package suite/sql_sequence/create suite/sql_sequence/default suite/vcol/t/vcol_keys_innodb suite/versioning/t/create suite/versioning/t/view
plugin/type_uuid/type_uuid/type_uuid`)

var (
	myDrop = regexp.MustCompile(`(?i)^drop (?:table|view|sequence)(?: if exists)? +([^;]*);?$`)
	// What would end the server, shut us out, take its time or another schema, and
	// mysqltest's own commands.
	mySkip = regexp.MustCompile("(?i)^(--|drop |use |shutdown|set +(@@)?(global|password)|flush|kill|install|uninstall|reset|purge|change |start |stop |lock |xa |handler |load |" +
		"select .*(sleep|benchmark|get_lock|into (out|dump)file)|revoke|rename user|alter user|set role|alter database|alter schema|let |eval |source |connect|disconnect|error |sleep|reap|send|" +
		"wait|begin;|start transaction|rollback|commit|binlog|cache index|repair|optimize|show |explain|analyze|check table|checksum|delimiter [^;]*mysql|insert .*seq_[0-9]+_to_[0-9]{6})|" +
		`mysql\.|global_priv|root@|current_user|@@global|sleep *\(|old_mode|debug_`)
	myDelimiter = regexp.MustCompile(`(?i)^delimiter +(.*)$`)
)

// myScript is one of those tests as plain SQL whose objects stay: what it drops gets
// another name.
func myScript(test string) string {
	var b strings.Builder
	delimiter, renamed, skipping := ";", 0, false
	for _, line := range strings.Split(test, "\n") {
		trimmed := strings.TrimSpace(line)
		if skipping {
			skipping = !strings.HasSuffix(trimmed, delimiter)
			continue
		}
		if m := myDelimiter.FindStringSubmatch(trimmed); m != nil {
			next := strings.TrimSpace(strings.TrimSuffix(m[1], delimiter))
			if next == "" {
				next = delimiter
			}
			delimiter = next
			b.WriteString("delimiter " + delimiter + "\n")
			continue
		}
		if m := myDrop.FindStringSubmatch(strings.TrimSuffix(trimmed, delimiter)); m != nil && strings.HasSuffix(trimmed, delimiter) && !strings.Contains(trimmed, "mysql.") {
			for _, name := range strings.Split(m[1], ",") {
				if name = strings.TrimSpace(name); name != "" {
					renamed++
					fmt.Fprintf(&b, "RENAME TABLE IF EXISTS %s TO `%d %s`%s\n", name, renamed, strings.Trim(name, "`"), delimiter)
				}
			}
			continue
		}
		if mySkip.MatchString(trimmed) {
			skipping = !strings.HasPrefix(trimmed, "--") && !strings.HasSuffix(trimmed, delimiter)
			continue
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// load runs each test in a schema of its own, and returns the schemas.
func (s *myServer) load(t testing.TB, tests []string) []string {
	t.Helper()
	root := filepath.Join("..", ".cache", "e2e", "data", "mariadb")
	s.sql(t, fmt.Sprintf("CREATE USER keeper@'127.0.0.1' IDENTIFIED BY %s; GRANT ALL ON *.* TO keeper@'127.0.0.1' WITH GRANT OPTION", myLiteral(s.password)))
	var schemas []string
	for n, name := range tests {
		text, err := os.ReadFile(filepath.Join(root, name+".test"))
		if err != nil {
			t.Fatalf("the set-up has not fetched MariaDB's tests: %v", err)
		}
		schema := fmt.Sprintf("t%d_%s", n, filepath.Base(name))
		s.sql(t, "CREATE DATABASE "+myIdentifier(schema))
		cmd := exec.Command("timeout", "8", "mariadb", "--no-defaults", "--host=127.0.0.1", "--port="+strconv.Itoa(s.port), "--user=root", "--skip-ssl",
			"--batch", "--force", "--binary-mode", "--max-allowed-packet=1G", "--init-command=SET SESSION max_statement_time=2, lock_wait_timeout=1, innodb_lock_wait_timeout=1", schema)
		cmd.Env = []string{"PATH=/usr/bin:/bin", "MYSQL_PWD=" + s.password}
		cmd.Stdin = strings.NewReader(myScript(string(text)))
		// Much of it is there to fail.
		_ = cmd.Run()
		if _, err := s.try("SELECT 1"); err != nil {
			// Some play with the accounts.
			again := exec.Command("mariadb", "--no-defaults", "--host=127.0.0.1", "--port="+strconv.Itoa(s.port), "--user=keeper", "--skip-ssl", "--batch", "--force")
			again.Env = cmd.Env
			again.Stdin = strings.NewReader(fmt.Sprintf("ALTER USER root@localhost IDENTIFIED BY %[1]s ACCOUNT UNLOCK; ALTER USER root@'127.0.0.1' IDENTIFIED BY %[1]s ACCOUNT UNLOCK; ALTER USER root@'%%' IDENTIFIED BY %[1]s ACCOUNT UNLOCK; FLUSH PRIVILEGES;", myLiteral(s.password)))
			out, _ := again.CombinedOutput()
			if _, err := s.try("SELECT 1"); err != nil {
				t.Fatalf("after %s: %v; %s", name, err, out)
			}
		}
		schemas = append(schemas, schema)
	}
	return schemas
}

// batch runs SQL that may fail, as root, and returns plain lines.
func (s *myServer) batch(program, sql string, args ...string) string {
	cmd := exec.Command(program, append([]string{"--no-defaults", "--host=127.0.0.1", "--port=" + strconv.Itoa(s.port), "--user=root", "--skip-ssl", "--default-character-set=utf8mb4", "--force"}, args...)...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "MYSQL_PWD=" + s.password}
	cmd.Stdin = strings.NewReader(sql)
	out, _ := cmd.Output()
	return string(out)
}

// myRows makes a statement for each table that tells how many rows it has, its history
// among them, and a sum of all that is stored in them, to the last bit; but -0, which newer
// servers keep apart, is 0. ~ is a backtick.
const myRows = `SET SESSION group_concat_max_len = 100000000;
SELECT CONCAT('SELECT ', QUOTE(CONCAT('rows of ', TABLE_SCHEMA, '.', TABLE_NAME)), ', COUNT(*), COALESCE(SUM(CAST(CONV(LEFT(MD5(CONCAT_WS('','', ',
    GROUP_CONCAT('IFNULL(', CASE WHEN DATA_TYPE IN ('float', 'double') THEN CONCAT('(CAST(', c, ' AS DOUBLE) + 0)') WHEN DATA_TYPE IN ('enum', 'set', 'bit') THEN CONCAT(c, ' + 0')
      WHEN DATA_TYPE REGEXP 'char$|text$|blob$|binary$|geometry|point|line|polygon' THEN CONCAT('HEX(', c, ')') ELSE CONCAT('CAST(', c, ' AS CHAR)') END, ', ''-'')' ORDER BY ORDINAL_POSITION SEPARATOR ', '),
  ')), 15), 16, 10) AS DECIMAL(65))), 0) FROM ', s, '.', t, IF(TABLE_TYPE = 'SYSTEM VERSIONED', ' FOR SYSTEM_TIME ALL', ''), ';')
FROM (SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, DATA_TYPE, ORDINAL_POSITION, CONCAT('~', REPLACE(COLUMN_NAME, '~', '~~'), '~') AS c,
    CONCAT('~', REPLACE(TABLE_SCHEMA, '~', '~~'), '~') AS s, CONCAT('~', REPLACE(TABLE_NAME, '~', '~~'), '~') AS t
  FROM information_schema.COLUMNS JOIN information_schema.TABLES USING (TABLE_SCHEMA, TABLE_NAME)
  WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND EXTRA NOT LIKE '%VIRTUAL%' AND TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')) AS columns
GROUP BY BINARY TABLE_SCHEMA, BINARY TABLE_NAME`

// texts are the definitions of all that is there, as the plain tool tells them, one
// for each schema; then of each table how many rows it has, and their sum.
func (s *myServer) texts(t testing.TB) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, schema := range strings.Fields(s.sql(t, "SELECT HEX(SCHEMA_NAME) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')")) {
		name, err := hex.DecodeString(schema)
		if err != nil {
			t.Fatal(err)
		}
		texts[string(name)] = s.batch("mariadb-dump", "", "--no-data", "--skip-comments", "--skip-dump-date", "--skip-lock-tables", "--routines", "--events", "--triggers", "--databases", "--", string(name))
	}
	// --raw would tear names apart; what --batch escapes is taken back.
	rows := strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t").Replace(s.sql(t, strings.ReplaceAll(myRows, "~", "`")))
	for _, line := range strings.Split(strings.TrimSpace(s.batch("mariadb", rows, "--batch", "--skip-column-names", "--binary-mode")), "\n") {
		name, sum, _ := strings.Cut(line, "\t")
		texts[name] = sum
	}
	return texts
}

// myNormal is what SHOW CREATE says without what the server that said it does not take
// back: the kind's README has the list.
func myNormal(text string) string {
	text = regexp.MustCompile(`(?m) /\* .*\*/([,;]?)$`).ReplaceAllString(text, "$1")
	text = regexp.MustCompile("(?m)^(  `.*?) DEFAULT NULL").ReplaceAllString(text, "$1")
	text = strings.ReplaceAll(text, " NOT NULL AUTO_INCREMENT", " AUTO_INCREMENT")
	text = regexp.MustCompile(`((?:AT|ENDS) '([^']*)' ON COMPLETION PRESERVE )(?:ENABLE|DISABLE)`).ReplaceAllStringFunc(text, func(event string) string {
		parts := strings.Split(event, "'")
		if over, err := time.Parse(time.DateTime, parts[len(parts)-2]); err == nil && over.Before(time.Now()) {
			return event[:strings.LastIndex(event, " ")] + " DISABLE"
		}
		return event
	})
	text = regexp.MustCompile(` FOREIGN KEY \(.*?\) REFERENCES `).ReplaceAllStringFunc(text, strings.ToLower)
	key := regexp.MustCompile("^  (UNIQUE KEY|KEY|CONSTRAINT) (`(?:[^`]|``)*`)")
	var lines, keys []string
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSuffix(line, ",")
		if key.MatchString(line) {
			keys = append(keys, line)
			continue
		}
		slices.Sort(keys)
		for _, k := range keys {
			m := key.FindStringSubmatch(k)
			if m[1] != "KEY" || !slices.ContainsFunc(keys, func(other string) bool { return strings.HasPrefix(other, "  CONSTRAINT "+m[2]+" foreign key") }) {
				lines = append(lines, k)
			}
		}
		lines, keys = append(lines, line), nil
	}
	return strings.Join(lines, "\n")
}

// mySame tells what differs.
func mySame(before, after map[string]string) []string {
	var differs []string
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if myNormal(before[name]) != myNormal(after[name]) {
			differs = append(differs, fmt.Sprintf("%s is not as it was:\n%s", name, myDifference(myNormal(before[name]), myNormal(after[name]))))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if _, ok := before[name]; !ok {
			differs = append(differs, name+" was not there before")
		}
	}
	return differs
}

// lostItems are the losses that the trailer of a copy names: items by the loss.
func lostItems(t testing.TB, copied []byte) map[string][]string {
	t.Helper()
	_, line, _ := bytes.Cut(copied[bytes.LastIndex(bytes.TrimSpace(copied), []byte("\n")):], []byte("holdfast: "))
	var trailer struct {
		Losses []struct{ Loss, Item string }
	}
	if err := json.Unmarshal(line, &trailer); err != nil {
		t.Fatal(err)
	}
	lost := map[string][]string{}
	for _, loss := range trailer.Losses {
		lost[loss.Loss] = append(lost[loss.Loss], loss.Item)
	}
	return lost
}

func TestDataMariaDB(t *testing.T) {
	tests := myTests
	if wholeData() {
		root := filepath.Join("..", ".cache", "e2e", "data", "mariadb")
		tests = nil
		for _, pattern := range []string{"main/*.test", "suite/*/*.test", "suite/*/t/*.test", "suite/compat/*/t/*.test", "plugin/*/*/*.test", "plugin/*/*/*/*.test"} {
			found, err := filepath.Glob(filepath.Join(root, pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range found {
				name, _ := filepath.Rel(root, strings.TrimSuffix(path, ".test"))
				// Tests of replication, crashes and settings make nothing of their own; what
				// is left of main/sp ends the server.
				if !regexp.MustCompile(`^suite/(binlog|rpl|galera|wsrep|sys_vars|perfschema|encryption|mariabackup|multi_source|federated|innodb_zip|s3|stress|large_tests)|crash|restart|deadlock|xa|kill|shutdown|big|stress|^main/sp$`).MatchString(name) {
					tests = append(tests, name)
				}
			}
		}
	}
	s := newMariaDB(t, myRoot)
	s.load(t, tests)
	const unit = "mariadb/galera"
	options := harness.Options{
		Image: myImage(t, "dash"), Scratch: "8Gi", Env: map[string]string{}, Timeout: time.Hour,
		Secrets: map[string]map[string]string{"mariadb": {"password": myRoot}},
	}
	counted := s.sql(t, "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')")
	t.Logf("%d tests made %s tables, views and sequences", len(tests), strings.TrimSpace(counted))

	s.instance(t, nil, nil).Dump(t, unit, options).Fails(t, 65, "would not come back from this copy")
	i := s.instance(t, myAccepted("account", "changed-characters", "event", "external", "history", "invalid-trigger", "invalid-view", "name", "outside", "right", "unreadable", "warning"), nil)
	dump := i.Dump(t, unit, options).OK(t)
	fresh := newMariaDB(t, myRoot)
	options.Env["MARIADB_PORT"] = strconv.Itoa(fresh.port)
	options.Input = dump.Stdout
	restored := i.Restore(t, unit, options)
	var missing []string
	if wholeData() {
		// Some of it no server takes again, and only a restore can tell: it names each.
		missing = regexp.MustCompile(`(?m)^  ([a-z]+ .*?): .*$`).FindAllString(restored.Stderr, -1)
		restored.Fails(t, 65, fmt.Sprintf("%d items of the copy did not come back", len(missing)))
		if len(missing) > 40 {
			t.Errorf("%d items are missing", len(missing))
		}
	} else {
		restored.OK(t)
	}
	t.Logf("%d bytes; dump %s, restore %s", len(dump.Stdout), dump.Took, restored.Took)

	// What is named as lost goes away; all the rest must be there, and be the same.
	lost := lostItems(t, dump.Stdout)
	for _, loss := range slices.Sorted(maps.Keys(lost)) {
		t.Logf("%s: %d, as %s", loss, len(lost[loss]), lost[loss][0])
		for _, item := range lost[loss] {
			what, name, _ := strings.Cut(item, " ")
			schema, name, _ := strings.Cut(name, ".")
			if loss == "name" && what == "schema" {
				continue
			}
			switch loss {
			case "name", "invalid-view", "outside", "unreadable", "invalid-trigger", "external", "event":
				drop := fmt.Sprintf("USE %s; DROP %s IF EXISTS %s", myIdentifier(schema), what, myIdentifier(name))
				// A MERGE table that is broken keeps its triggers until it goes itself.
				if _, err := s.try(drop); err != nil && what != "trigger" {
					t.Fatal(err)
				}
				if loss == "event" {
					// A moment may have been left of it when it was made.
					fresh.sql(t, fmt.Sprintf("USE %s; DROP EVENT IF EXISTS %s", myIdentifier(schema), myIdentifier(name)))
				}
			case "changed-characters", "history":
				// The table came back, but not as it was.
				if what == "column" {
					name = name[:strings.LastIndex(name, ".")]
				}
				drop := fmt.Sprintf("USE %s; DROP TABLE IF EXISTS %s", myIdentifier(schema), myIdentifier(name))
				s.sql(t, drop)
				if fresh.sql(t, fmt.Sprintf("SELECT COUNT(*) FROM information_schema.TABLES WHERE BINARY TABLE_SCHEMA = %s AND BINARY TABLE_NAME = %s", myLiteral(schema), myLiteral(name))) == "1\n" {
					fresh.sql(t, drop)
				}
			}
		}
	}
	// So does what the restore named.
	for _, line := range missing {
		t.Log(line)
		if m := regexp.MustCompile(`^  (table|view|sequence|trigger|event) ([^.]+)\.(.*?): `).FindStringSubmatch(line); m != nil {
			for _, server := range []*myServer{s, fresh} {
				server.sql(t, fmt.Sprintf("USE %s; DROP %s IF EXISTS %s", myIdentifier(m[2]), m[1], myIdentifier(m[3])))
			}
			if m[1] == "event" {
				// The tool tells some names in the wrong character set, and they come back so.
				for _, name := range strings.Split(strings.TrimSpace(fresh.sql(t, "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = "+myLiteral(m[2]))), "\n") {
					if s.sql(t, fmt.Sprintf("SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s AND EVENT_NAME = %s", myLiteral(m[2]), myLiteral(name))) == "0\n" {
						fresh.sql(t, fmt.Sprintf("USE %s; DROP EVENT IF EXISTS %s", myIdentifier(m[2]), myIdentifier(name)))
					}
				}
			}
		}
	}
	before := s.texts(t)
	for _, item := range lost["name"] {
		if schema, found := strings.CutPrefix(item, "schema "); found {
			delete(before, strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t").Replace(schema))
		}
	}
	if len(before) < 6*len(tests) {
		t.Fatalf("the comparison has only %d parts", len(before))
	}
	differs := mySame(before, fresh.texts(t))
	for n, what := range differs {
		if n < 30 {
			t.Error(what)
		}
	}
	if len(differs) > 30 {
		t.Errorf("and %d more", len(differs)-30)
	}
	if wholeData() {
		there := strings.Split(fresh.grants(t), "\n")
		for _, line := range strings.Split(s.grants(t), "\n") {
			if !slices.Contains(there, line) && !myNamed(line, lost, missing) {
				t.Errorf("nobody says that this is not there: %s", line)
			}
		}
	} else {
		sameLines(t, "the accounts", s.rights(t), fresh.rights(t))
	}

	// The plain tool beside it.
	plain := newMariaDB(t, myRoot)
	since := time.Now()
	schemas := strings.Fields(s.sql(t, "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')"))
	copied := s.batch("mariadb-dump", "", append([]string{"--single-transaction", "--quick", "--routines", "--events", "--hex-blob", "--databases", "--"}, schemas...)...)
	dumped := time.Since(since)
	plain.batch("mariadb", copied, "--binary-mode", "--max-allowed-packet=1G")
	t.Logf("the plain tool: %d bytes, dump %s, restore %s; of %d parts %d are not as they were", len(copied), dumped, time.Since(since)-dumped, len(before), len(mySame(before, plain.texts(t))))
}

// grants are all accounts and roles and what they may do, in the server's own words.
func (s *myServer) grants(t testing.TB) string {
	t.Helper()
	ask := s.sql(t, `SELECT CONCAT('SHOW CREATE USER ', QUOTE(User), '@', QUOTE(Host), '; SHOW GRANTS FOR ', QUOTE(User), '@', QUOTE(Host), ';') FROM mysql.user WHERE is_role = 'N' AND User NOT IN ('root', 'mariadb.sys')
UNION ALL SELECT CONCAT('SHOW GRANTS FOR ', QUOTE(User), ';') FROM mysql.user WHERE is_role = 'Y'`)
	ask = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t").Replace(ask)
	return s.batch("mariadb", ask, "--batch", "--skip-column-names", "--binary-mode")
}

// myNamed says whether a dump or a restore named what the line of grants says: the
// account or role, the right, or what the right is for.
func myNamed(line string, lost map[string][]string, missing []string) bool {
	m := regexp.MustCompile("(?:TO|USER) `([^`]*)`(?:@`([^`]*)`)?").FindStringSubmatch(line)
	if m == nil {
		return false
	}
	who := m[1] + "@" + m[2]
	named := []string{"account " + who, "role " + m[1], "role '" + m[1] + "': "}
	if role := regexp.MustCompile("^GRANT `([^`]*)` TO ").FindStringSubmatch(line); role != nil {
		named = append(named, "role "+role[1], "role '"+role[1]+"': ")
	}
	if on := regexp.MustCompile("ON (?:PROCEDURE |FUNCTION |PACKAGE |PACKAGE BODY )?`([^`]*)`\\.`([^`]*)`").FindStringSubmatch(line); on != nil {
		what := on[1] + "." + on[2]
		named = append(named, "right of "+who+" on "+what, "view "+what, "table "+what, "`"+on[1]+"`.`"+on[2]+"` of `"+m[1]+"`")
	}
	for _, items := range lost {
		if slices.ContainsFunc(items, func(item string) bool { return slices.Contains(named, item) }) {
			return true
		}
	}
	return slices.ContainsFunc(missing, func(item string) bool {
		return slices.ContainsFunc(named, func(name string) bool {
			return strings.Contains(item, "  "+name) || strings.Contains(item, " ON "+name)
		})
	})
}

// myDifference is the first lines that one has and the other has not.
func myDifference(a, b string) string {
	var out strings.Builder
	in := func(x, y, sign string) {
		there := map[string]bool{}
		for _, line := range strings.Split(y, "\n") {
			there[line] = true
		}
		n := 0
		for _, line := range strings.Split(x, "\n") {
			if !there[line] {
				if n++; n < 6 {
					fmt.Fprintf(&out, "%s %.300s\n", sign, line)
				}
			}
		}
	}
	in(a, b, "-")
	in(b, a, "+")
	return out.String()
}

// BenchmarkDataMariaDB times a dump into restic beside the plain tool's, of the same
// server, in turns.
func BenchmarkDataMariaDB(b *testing.B) {
	s := newMariaDB(b, myRoot)
	s.sql(b, "CREATE DATABASE d; USE d; CREATE TABLE d.t (id INT PRIMARY KEY, a TEXT, b INT, KEY (b)); INSERT INTO d.t SELECT seq, REPEAT(MD5(seq), 9), seq * 7 % 1000 FROM seq_1_to_500000; USE d; CREATE TABLE d.u LIKE d.t; INSERT INTO d.u SELECT * FROM d.t WHERE id < 10000")
	i := s.instance(b, nil, nil)
	// Both are stored after they are whole, so that the two are measured alike.
	store := func(name string, copied []byte) {
		env := []string{"PATH=/usr/bin:/bin", "RESTIC_PASSWORD=x", "RESTIC_REPOSITORY=" + filepath.Join(b.TempDir(), name), "HOME=" + b.TempDir()}
		for _, args := range [][]string{{"init"}, {"backup", "--quiet", "--stdin", "--stdin-filename", "dump.sql"}} {
			cmd := exec.Command(harness.Program(b, "restic"), args...)
			cmd.Env, cmd.Stdin = env, bytes.NewReader(copied)
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("restic: %v: %s", err, out)
			}
		}
	}
	for _, shell := range []string{"ash", "dash"} {
		b.Run(shell, func(b *testing.B) {
			var ours, plain time.Duration
			for range b.N {
				since := time.Now()
				cmd := exec.Command("mariadb-dump", "--no-defaults", "--host=127.0.0.1", "--port="+strconv.Itoa(s.port), "--user=root", "--skip-ssl",
					"--default-character-set=utf8mb4", "--single-transaction", "--quick", "--routines", "--events", "--hex-blob", "--all-databases")
				cmd.Env = []string{"PATH=/usr/bin:/bin", "MYSQL_PWD=" + myRoot}
				out, err := cmd.Output()
				if err != nil {
					b.Fatal(err)
				}
				alone := time.Since(since)
				store("plain", out)
				plain += time.Since(since)
				o := myOptions(b, shell)
				since = time.Now()
				r := i.Dump(b, "mariadb/galera", o).OK(b)
				made := time.Since(since)
				store("ours", r.Stdout)
				ours += time.Since(since)
				b.Logf("%s: %d bytes; the dump alone took %s, the plain one %s", shell, len(r.Stdout), made.Round(time.Millisecond), alone.Round(time.Millisecond))
			}
			b.ReportMetric(ours.Seconds()/float64(b.N), "ours-s")
			b.ReportMetric(plain.Seconds()/float64(b.N), "plain-s")
			b.ReportMetric(ours.Seconds()/plain.Seconds(), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}
