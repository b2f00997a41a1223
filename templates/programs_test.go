package templates_test

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/templates"
)

// awks are those of this machine: images have mawk, busybox or gawk.
func awks(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for name, argv := range map[string][]string{"mawk": {"mawk"}, "gawk": {"gawk"}, "busybox": {"busybox", "awk"}, "awk": {"awk"}} {
		if _, err := exec.LookPath(argv[0]); err == nil {
			found[name] = argv
		}
	}
	if len(found) == 0 {
		t.Fatal("there is no awk")
	}
	return found
}

// run runs a command in a folder of files, and returns what it prints and its exit code.
func run(t *testing.T, files map[string]string, stdin string, argv ...string) (stdout, stderr string, code int) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, said bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, strings.NewReader(stdin), &out, &said
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH"), "LDAP_CONTAINER=main", "LDAP_DATABASE_DIR=/var/lib/ldap"}
	if err := cmd.Run(); err != nil {
		if exit := new(exec.ExitError); !errors.As(err, &exit) {
			t.Fatal(err)
		}
	}
	return out.String(), said.String(), cmd.ProcessState.ExitCode()
}

// TestPrograms runs programs of awk by themselves, with each awk of this machine.
func TestPrograms(t *testing.T) {
	tests := map[string]struct {
		programs string // below templates; "=" begins one that stands here
		args     string
		files    map[string]string
		stdin    string
		want     string
		code     int
	}{
		"statements of roles": {
			programs: "kinds/postgresql/statements.awk",
			stdin:    "-- by pg_dumpall\n\\connect x\nCREATE ROLE a;\nCOMMENT ON ROLE a IS 'two\nlines; DROP ROLE \"b';\n",
			want:     "CREATE ROLE a;\nCOMMENT ON ROLE a IS 'two\x01lines; DROP ROLE \"b';\n",
		},
		"a statement without end": {
			programs: "kinds/postgresql/statements.awk", stdin: "CREATE ROLE 'a;\n", code: 1,
		},
		"names of roles": {
			programs: "kinds/postgresql/role-name.awk ={print(name($0))}", stdin: "plain;\n\"we\"\"ird; one\" WITH\nx TO y\n",
			want: "plain\n\"we\"\"ird; one\"\nx\n",
		},
		"items of statements": {
			programs: "kinds/postgresql/role-name.awk kinds/postgresql/globals-items.awk", args: "-v blocks=blocks chosen",
			files: map[string]string{"chosen": "CREATE ROLE a;\nGRANT a TO b WITH ADMIN OPTION;\nALTER ROLE a WITH LOGIN;\n"},
			want:  "ROLE a\nGRANT a TO b\n",
		},
		"rows without a table": {programs: "kinds/postgresql/rows.awk", stdin: "SELECT 1;\n", want: "SELECT 1;\n", code: 1},
		"values of LDIF": {
			programs: "kinds/openldap/ldif.awk ={print(plain($0))}", stdin: "cn: Jörg\ncn:: SsO2cmc=\ncn:: eA==\n", want: "Jörg\nJörg\nx\n",
		},
		"above": {
			programs: "kinds/openldap/ldif.awk ={print(above($0)\"|\"outside($0,\"dc=b,dc=c\"))}",
			stdin:    "cn=a\\,x,dc=b,dc=c\ndc=c\n", want: "dc=b,dc=c|0\n|1\n",
		},
		"what slapadd refused": {
			programs: "kinds/openldap/ldif.awk kinds/openldap/refused.awk", args: "part=said said part=tree tree",
			files: map[string]string{
				"said": "slapadd: dn=\"cn=b\" (line=4): (65) no object class\n",
				"tree": "dn: cn=a\ncn: a\n\ndn: cn=b\ncn: b\n",
			},
			want: "cn=b\tslapadd: (65) no object class\n",
		},
		"how a pod is held": {
			programs: "kinds/openldap/ways.awk", args: "-F \t pod",
			files: map[string]string{"pod": "container\tother\t[\"x\"]\t\ncontainer\tmain\t\t\nmount\t/var/lib\tdata\nclaim\tdata\tdata-ldap-0\n"},
			want:  "args\ndata-ldap-0\n",
		},
		"a schema": {programs: "kinds/cassandra/statements.awk", args: "-v heads=heads", stdin: "-- all\nCREATE TABLE a.b (x text);\n"},
		"what is no schema": {
			programs: "kinds/cassandra/statements.awk", args: "-v heads=heads", stdin: "CREATE TABLE a.b (x text);\nDROP TABLE a.b;\n",
			want: "it holds \" DROP TABLE a.b\"\n",
		},
		"names of tables": {
			programs: "kinds/cassandra/tables.awk", stdin: "CREATE TABLE A.\"B\"\nCREATE INDEX c\nCREATE MATERIALIZED VIEW a.Bc\n", want: "A/B\na/bc\n",
		},
		"a table that only the schema has": {
			programs: "kinds/cassandra/compare.awk", args: "part=schema schema part=list list",
			files: map[string]string{"schema": "a/b\na/c\n", "list": "schema.cql\na/b-1/snapshots/holdfast/manifest.json\na/d-2/snapshots/holdfast/manifest.json\n"},
			want: "no-schema\ta.d\tits rows are in the snapshot, and it is not in the schema: it was dropped meanwhile\n" +
				"no-snapshot\ta.c\tit is in the schema, and there is no snapshot of it: it was made meanwhile\n",
		},
		"names in hexadecimal digits": {
			programs: "kinds/mariadb/names.awk ={print(raw($1)\"|\"octal($1)\"|\"quoted($1)\"|\"folded($1)\"|\"hexed($2))}",
			stdin:    "41606A SELECT\n", want: "A`j|\\0101\\0140\\0152|604160606A60|61606A|53454C454354\n",
		},
		"places in a dump": {
			programs: "kinds/mariadb/place.awk ={place($0);print(SCHEMA\"|\"ITEM\"|\"TRIGGER)}",
			stdin: "-- Current Database: `a``b`\n-- Table structure for table `t`\nDELIMITER ;;\n" +
				"/*!50003 CREATE*/ /*!50017 DEFINER=`u`@`%`*/ /*!50003 TRIGGER `r` BEFORE INSERT\n-- Table structure for table `no`\nDELIMITER ;\n",
			want: "a`b||\na`b|table\tt|\na`b|table\tt|\na`b|table\tt|trigger\tr\na`b|table\tt|trigger\tr\na`b|table\tt|\n",
		},
		"what a load stopped at": {
			programs: "kinds/mariadb/place.awk kinds/mariadb/told.awk kinds/mariadb/stopped.awk", args: "-F \t errors -",
			files: map[string]string{"errors": "1064\t3\t42000\tnear 'secret'\n1146\t3\t42S02\tagain\n1050\t4\t42S01\tTable 't' already exists\n"},
			stdin: "-- Current Database: `a`\n-- Table structure for table `t`\nCREATE\nCREATE\n",
			want:  "table a.t\terror 1064 (42000)\ntable a.t\tTable 't' already exists\n",
		},
		"warnings of a load": {
			programs: "kinds/mariadb/names.awk kinds/mariadb/warnings.awk",
			stdin: "Warning (Code 1265): Data truncated for column 'a' at row 1\nerror values: 61,62\nWarning (Code 1265): Data truncated for column 'b' at row 2\n" +
				"a row\nWarning (Code 1264): Out of range value for column 'b' at row 1\n",
			want: "1265\t'a'\n1264\t'b'\n",
		},
		"rights that are not there": {
			programs: "kinds/mariadb/rights.awk", args: "here copied",
			files: map[string]string{
				"here":   "GRANT SELECT ON `a`.* TO `u`@`%`;\nGRANT ALL PRIVILEGES ON `b`.* TO `u`@`%`;\n",
				"copied": "GRANT SELECT, INSERT ON `a`.* TO `u`@`%`;\nGRANT UPDATE (`x`, `y`) ON `b`.* TO `u`@`%`;\nCREATE USER IF NOT EXISTS `v`@`%` IDENTIFIED;\n",
			},
			want: "right INSERT ON `a`.* of `u`@`%`\tit is not there\naccount `v`@`%`\tit is not there\n",
		},
		"triggers of columns that are gone": {
			programs: "kinds/mariadb/triggers.awk", args: "-F \t -v OFS=\t schemas columns triggers",
			files: map[string]string{
				"schemas": "61\n", "columns": "61\t74\tx\n",
				"triggers": "61\t74\ttrigger a.t\tSET NEW.X = 'NEW.z' /* NEW.z */, NEW.`y` = 1\n62\t74\ttrigger b.t\tSET NEW.y = 1\n",
			},
			want: "invalid-trigger\ttrigger a.t\tits table has no column for NEW.`y`\n",
		},
		"rights of what is not copied": {
			programs: "kinds/mariadb/names.awk kinds/mariadb/orphans.awk", args: "-F \t -v losses=losses items rights left",
			files: map[string]string{
				"items": "table\t61\t74\ttable a.t\n", "rights": "61\t74\tright 1\n61\t75\tright 2\n6D7973716C\t75\tright 3\n",
				"left": "table\t61\t74\ttable a.t\ntrigger\t61\t76\ttrigger a.v\n",
			},
			want: "a\tu\na\tt\n",
		},
		"names of objects": {
			programs: "kinds/bucket/names.awk ={print(slashed($0)\"|\"utf8($0)\"|\"string($0))}",
			stdin:    "a//b\n\"\\\n\xff\n", want: "a/／b|1|\"a//b\"\n\"\\|1|\"\\\"\\\\\"\n\xff|0|\"\xff\"\n",
		},
		"headers of objects": {
			programs: "kinds/bucket/names.awk kinds/bucket/heads.awk", args: "-v losses=losses -v said=said",
			stdin: "2026/11/23 20:00:00 DEBUG : HTTP REQUEST (req 0xc1)\n2026/11/23 20:00:00 DEBUG : HEAD /b/a%20c HTTP/1.1\nHost: x\n" +
				"2026/11/23 20:00:00 DEBUG : HTTP RESPONSE (req 0xc1)\n2026/11/23 20:00:00 DEBUG : HTTP/1.1 200 OK\nContent-Type: text/plain\nServer: x\n2026/11/23 20:00:00 DEBUG : \n",
			want: "／b/a c\t[{\"Key\":\"content-type\",\"Value\":\"text/plain\"}]\n",
		},
		"lines unlike others": {
			programs: "kinds/bucket/unlike.awk", args: "-v other=other", files: map[string]string{"other": "a\t1\nc\t1\n"},
			stdin: "a\t1\nb\t1\nc\t2\n", want: "b\t1\nc\t2\n",
		},
		"names that are numbers": {
			programs: "kinds/bucket/unlike.awk", args: "-v other=other", files: map[string]string{"other": "1\n"}, stdin: "01\n1\n2\n", want: "01\n2\n",
		},
		"pieces of a list": {programs: "kinds/bucket/pieces.awk", args: "-v piece=2 -v name=piece.", stdin: "a\nb\nc\n", want: "2\n"},
		"what a bucket lacks": {
			programs: "kinds/bucket/verdict.awk", args: "-v after=after -v failing=failing", files: map[string]string{"after": "a\t1\nb\t1\nd\t1\n", "failing": "c\tdenied\n"},
			stdin: "a\t1\nb\t2\nc\t3\n", want: "missing\tb\tit has 1 bytes in the target, and 2 in the copy\nmissing\tc\tdenied\nmore\td\n",
		},
		"a whole walk":       {programs: "kinds/volume/classes.awk", stdin: "81a4 0 0\n81a4 0 0\nend\n", want: "81a4 0 0 2\n"},
		"a walk that is cut": {programs: "kinds/volume/classes.awk", stdin: "81a4 0 0\n", want: "81a4 0 0 1\n", code: 1},
		"more than the snapshot has": {
			programs: "kinds/volume/complete.awk", args: "-v before=0 pass=1 now pass=2 classes", files: map[string]string{"now": "81a4 0 0 2\n", "classes": "81a4 0 0 1\n"}, code: 1,
		},
		"more than the snapshot has, as before": {
			programs: "kinds/volume/complete.awk", args: "-v before=1 pass=1 now pass=2 classes", files: map[string]string{"now": "81a4 0 0 2\n", "classes": "81a4 0 0 1\n"},
		},
		"what differs of a claim": {
			programs: "kinds/volume/differ.awk", args: "-v strip=5",
			stdin: "E 81a4 1 1 /a\nE 81a4 1 1 /b c\nend\nA 81a4 1 1 /data/a\nA 81a4 1 2 /data/b c\nend\n",
			want:  "/b c\tit was of 1:1 with mode 81a4, and is of 1:2 with mode 81a4\n",
		},
		"what a claim lacks": {
			programs: "kinds/volume/differ.awk", args: "-v strip=5",
			stdin: "E 81a4 1 1 /a\nend\n", want: "/a\tit is not in the target\n",
		},
		"a list that is cut": {
			programs: "lib/unpack.awk", args: "-v folder=.", files: map[string]string{"objects/.keep": "", "ranks/.keep": ""},
			stdin: "1000 Secret/a\t{}\n", code: 1,
		},
		"a list": {
			programs: "lib/unpack.awk", args: "-v folder=.", files: map[string]string{"objects/.keep": "", "ranks/.keep": ""},
			stdin: "1000 Secret/a\t{}\n999 Job/b\t{}\nend\n",
		},
	}
	for name, test := range tests {
		for awk, argv := range awks(t) {
			t.Run(name+"/"+awk, func(t *testing.T) {
				t.Parallel()
				files := map[string]string{}
				maps.Copy(files, test.files)
				full := slices.Clone(argv)
				args := strings.Split(test.args, " ")
				for len(args) > 1 && strings.HasPrefix(args[0], "-") {
					full = append(full, args[0], args[1])
					args = args[2:]
				}
				for _, program := range strings.Split(test.programs, " ") {
					file := strings.ReplaceAll(program, "/", "_")
					if text, here := strings.CutPrefix(program, "="); here {
						file, files["own.awk"] = "own.awk", text+"\n"
					} else {
						data, err := templates.FS.ReadFile(program)
						if err != nil {
							t.Fatal(err)
						}
						files[file] = string(data)
					}
					full = append(full, "-f", file)
				}
				for _, arg := range args {
					if arg != "" {
						full = append(full, arg)
					}
				}
				stdout, stderr, code := run(t, files, test.stdin, full...)
				if stdout != test.want || code != test.code {
					t.Errorf("exit code %d, %q, stderr %q", code, stdout, stderr)
				}
			})
		}
	}
}

// TestProgramsParse: each awk reads each program. What it does with nothing is its own.
func TestProgramsParse(t *testing.T) {
	wrong := regexp.MustCompile(`(?i)syntax error|unexpected|undefined function|never defined|call to undef`)
	found := 0
	err := fs.WalkDir(templates.FS, ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".awk" {
			return err
		}
		found++
		data, err := templates.FS.ReadFile(name)
		if err != nil {
			return err
		}
		files := map[string]string{"program.awk": string(data), "out/.keep": ""}
		args := []string{"-v", "blocks=out/blocks", "-f", "program.awk"}
		// A program says in its head what it needs.
		for _, m := range regexp.MustCompile(`[a-z-]+\.awk`).FindAllString(strings.Join(heads(string(data)), " "), -1) {
			library, err := templates.FS.ReadFile(filepath.Join(filepath.Dir(name), m))
			if err != nil {
				t.Errorf("%s needs %s: %v", name, m, err)
				continue
			}
			files[m] = string(library)
			args = append(args, "-f", m)
		}
		for awk, argv := range awks(t) {
			if _, stderr, _ := run(t, files, "", slices.Concat(argv, args)...); wrong.MatchString(stderr) {
				t.Errorf("%s, %s: %s", name, awk, stderr)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 70 {
		t.Errorf("only %d programs were found", found)
	}
}

// heads are the lines of comment that a program begins with, from "Needs" on.
func heads(text string) []string {
	var head []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			break
		}
		if _, needs, ok := strings.Cut(line, "Needs"); ok || len(head) > 0 {
			if !ok {
				needs = line
			}
			head = append(head, needs)
		}
	}
	return head
}
