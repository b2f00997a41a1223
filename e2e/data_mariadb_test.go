package e2e_test

import (
	"bytes"
	"fmt"
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
main/alter_table main/bigint main/check_constraint main/column_compression main/comments main/constraints main/create
main/ctype_big5 main/ctype_cp1250_ch main/ctype_cp1251 main/ctype_cp932 main/ctype_eucjpms main/ctype_gbk main/ctype_hebrew main/ctype_latin2_ch
main/ctype_sjis main/ctype_tis620 main/ctype_ujis main/ctype_utf16 main/default main/dyncol main/foreign_key main/fulltext main/func_json main/gis
main/invisible_field main/key main/long_unique main/mysqldump main/partition_datatype main/partition_list main/sp-ucs2 main/strict main/trigger
main/type_bit main/type_blob main/type_date main/type_datetime main/type_decimal main/type_enum main/type_float main/type_newdecimal main/type_set
main/type_time main/type_timestamp main/type_uint main/type_varchar main/type_year main/view_alias
suite/compat/oracle/t/sp-package suite/sql_sequence/create suite/sql_sequence/default suite/vcol/t/vcol_keys_innodb suite/versioning/t/create
suite/versioning/t/view plugin/type_inet/type_inet/type_inet6 plugin/type_uuid/type_uuid/type_uuid`)

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
		schemas = append(schemas, schema)
	}
	s.sql(t, "SELECT 1")
	return schemas
}

// texts are the definitions of all that is there, as the plain tool tells them, one
// for each schema; with rows it is the checksum of each table, too, which is one of
// what the server has stored.
func (s *myServer) texts(t testing.TB) map[string]string {
	t.Helper()
	texts := map[string]string{}
	list := strings.Split(strings.TrimSpace(s.sql(t, "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')")), "\n")
	for _, schema := range list {
		cmd := exec.Command("mariadb-dump", "--no-defaults", "--host=127.0.0.1", "--port="+strconv.Itoa(s.port), "--user=root", "--skip-ssl",
			"--force", "--no-data", "--skip-comments", "--skip-dump-date", "--skip-lock-tables", "--routines", "--events", "--triggers", "--databases", schema)
		cmd.Env = []string{"PATH=/usr/bin:/bin", "MYSQL_PWD=" + s.password}
		// It fails on what was accepted as a loss.
		out, _ := cmd.Output()
		texts[schema] = string(out)
	}
	tables := s.sql(t, "SELECT HEX(TABLE_SCHEMA), HEX(TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')")
	var b strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(tables), "\n") {
		schema, name, _ := strings.Cut(line, "\t")
		fmt.Fprintf(&b, "EXECUTE IMMEDIATE CONCAT('CHECKSUM TABLE `', REPLACE(CONVERT(X'%s' USING utf8mb4), '`', '``'), '`.`', REPLACE(CONVERT(X'%s' USING utf8mb4), '`', '``'), '` EXTENDED');\n", schema, name)
	}
	for _, line := range strings.Split(strings.TrimSpace(s.sql(t, b.String())), "\n") {
		texts["checksum of "+line[:strings.LastIndex(line, "\t")]] = line
	}
	return texts
}

// myRefused are the items that a refused dump names, by the loss.
func myRefused(said string) map[string][]string {
	refused := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z-]+): (.*)$`).FindAllStringSubmatch(said, -1) {
		refused[m[1]] = append(refused[m[1]], m[2])
	}
	return refused
}

func TestDataMariaDB(t *testing.T) {
	// "short" or "whole".
	if os.Getenv("HOLDFAST_DATA") == "" {
		t.Skip("HOLDFAST_DATA is not set")
	}
	tests := myTests
	if os.Getenv("HOLDFAST_DATA") == "whole" {
		root := filepath.Join("..", ".cache", "e2e", "data", "mariadb")
		tests = nil
		for _, pattern := range []string{"main/*.test", "suite/*/*.test", "suite/*/t/*.test", "suite/compat/*/t/*.test", "plugin/*/*/*.test"} {
			found, err := filepath.Glob(filepath.Join(root, pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range found {
				name, _ := filepath.Rel(root, strings.TrimSuffix(path, ".test"))
				// Tests of replication, crashes and settings make nothing of their own.
				if !regexp.MustCompile(`^suite/(binlog|rpl|galera|wsrep|sys_vars|perfschema|encryption|mariabackup|multi_source|federated|innodb_zip|s3|stress|large_tests)|crash|restart|deadlock|xa|kill|shutdown|big|stress`).MatchString(name) {
					tests = append(tests, name)
				}
			}
		}
	}
	s := newMariaDB(t, myRoot)
	s.load(t, tests)
	const unit = "mariadb/galera"
	options := harness.Options{
		Image: myImage(t, "dash"), Scratch: "1Gi", Env: map[string]string{}, Timeout: time.Hour,
		Secrets: map[string]map[string]string{"mariadb": {"password": myRoot}},
	}
	counted := s.sql(t, "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')")
	t.Logf("%d tests made %s tables, views and sequences", len(tests), strings.TrimSpace(counted))

	r := s.instance(t, nil, nil).Dump(t, unit, options)
	refused := myRefused(r.Stderr)
	for _, name := range slices.Sorted(mapKeys(refused)) {
		t.Logf("refused as %s: %d, as %s", name, len(refused[name]), refused[name][0])
	}
	r.Fails(t, 65, "would not come back from this copy")
	losses := myAccepted("changed-characters", "external", "history", "invalid-view", "name", "outside", "right", "unreadable", "warning")
	before := s.texts(t)
	i := s.instance(t, losses, nil)
	dump := i.Dump(t, unit, options).OK(t)
	fresh := newMariaDB(t, myRoot)
	options.Env["MARIADB_PORT"] = strconv.Itoa(fresh.port)
	options.Input = dump.Stdout
	restored := i.Restore(t, unit, options)
	t.Logf("%d bytes; dump %s, restore %s", len(dump.Stdout), dump.Took, restored.Took)
	t.Log(restored.Stderr)
	after := fresh.texts(t)
	differs := 0
	for _, name := range slices.Sorted(mapKeys(before)) {
		if before[name] == after[name] {
			continue
		}
		if differs++; differs < 30 {
			t.Errorf("%s is not as it was:\n%s", name, myDifference(before[name], after[name]))
		}
	}
	restored.OK(t)
}

func mapKeys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
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
