package e2e_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

const (
	cassandraUnit     = "cassandra/dovecot-0"
	cassandraPassword = `cassandra's $(id) "password" \`
)

// The stand-ins do what Cassandra's documentation says of these commands, and
// what cqlsh's source (apache/cassandra: pylib/cqlshlib/cqlshmain.py) says of its
// history and its credentials, with folders and text in the place of a database.
// They prove how the scripts treat them, and nothing about Cassandra.
const (
	nodetoolStandIn = `#!/bin/sh
set -eu
home=@HOME@
command=$1
shift
tag=
while [ $# -gt 0 ]; do
  case $1 in
    -t) tag=$2; shift 2 ;;
    --) shift; break ;;
    *) break ;;
  esac
done
[ ! -e "$home/down" ] || { echo "nodetool: Failed to connect to '127.0.0.1:7199' - ConnectException: 'Connection refused'." >&2; exit 1; }
known() { [ -d "$home/data/$1" ] || { echo "error: Keyspace [$1] does not exist." >&2; exit 2; }; }
case $command in
  flush)
    for ks; do
      known "$ks"
      for table in "$home/data/$ks"/*; do
        [ -s "$table/memtable" ] || continue
        n=$(ls "$table" | grep -c -e '-Data.db$' || :)
        mv "$table/memtable" "$table/nb-$((n + 1))-big-Data.db"
        echo index >"$table/nb-$((n + 1))-big-Index.db"
      done
    done ;;
  snapshot)
    for ks; do
      known "$ks"
      for table in "$home/data/$ks"/*; do
        [ -d "$table" ] || continue
        at=$table/snapshots/$tag
        [ ! -e "$at" ] || { echo "error: Snapshot $tag already exists." >&2; exit 2; }
        mkdir -p "$at"
        for file in "$table"/*.db; do [ ! -f "$file" ] || ln "$file" "$at/"; done
        echo '{"files":[]}' >"$at/manifest.json"
        echo "CREATE TABLE x" >"$at/schema.cql"
      done
    done ;;
  clearsnapshot)
    for ks; do
      for at in "$home/data/$ks"/*/snapshots/"$tag"; do rm -rf "$at"; done
    done ;;
  import)
    known "$1"
    for table in "$home/data/$1/$2"-*; do
      [ -d "$table" ] || { echo "error: Unknown keyspace/cf pair ($1.$2)" >&2; exit 2; }
      for file in "$3"/*; do
        case ${file##*/} in nb-*-big-*.db) ;; *) echo "error: not an SSTable: $file" >&2; exit 2 ;; esac
        mv "$file" "$table/"
      done
    done ;;
  *) echo "nodetool: Found unexpected parameters: [$command]" >&2; exit 1 ;;
esac
`
	cqlshStandIn = `#!/bin/sh
set -eu
home=@HOME@
statement= file= credentials=
for argument; do
  case $argument in
    --credentials=*) credentials=${argument#*=} ;;
    --execute=*) statement=${argument#*=} ;;
    --file=*) file=${argument#*=} ;;
    *) echo "cqlsh: error: no such option: $argument" >&2; exit 2 ;;
  esac
done
history=${CQL_HISTORY:-$HOME/.cassandra/cqlsh_history}
mkdir -p "${history%/*}" 2>/dev/null || printf '\nWarning: Cannot create directory at %s.\n\n' "${history%/*}"
[ ! -e "$home/needs-cqlshrc" ] || [ -e "$HOME/.cassandra/cqlshrc" ] || { echo "Connection error: the node takes TLS only" >&2; exit 1; }
[ -n "$(find "$credentials" -user "$(id -u)" ! -perm /044)" ] || {
  echo "Warning: Credentials file '$credentials' exists but is not used" >&2
  echo "Connection error: AuthenticationFailed('Remote end requires authentication')" >&2
  exit 1
}
{ echo '[plain_text_auth]'; printf 'username = %s\n' "$(cat "$home/user")"; printf 'password = %s\n' "$(cat "$home/password")"; } >"$home/expected"
tail -n 3 "$credentials" | cmp -s - "$home/expected" || {
  echo "Connection error: ('Unable to connect to any servers', {'127.0.0.1:9042': AuthenticationFailed('Failed to authenticate: Provided username and/or password are incorrect')})" >&2
  exit 1
}
case $statement in
  'DESCRIBE KEYSPACE "'*)
    ks=${statement#*\"}; ks=${ks%\"*}
    [ -d "$home/data/$ks" ] || { echo "'$ks' not found in keyspaces" >&2; exit 2; }
    printf "\nCREATE KEYSPACE %s WITH replication = {'class': 'SimpleStrategy', 'replication_factor': '1'};\n\n" "$ks"
    for table in "$home/data/$ks"/*; do table=${table##*/}; echo "CREATE TABLE $ks.${table%-*} ("; echo ");"; done ;;
  SELECT*) printf '\n keyspace_name\n---------------\n'; for ks in "$home"/data/*; do [ ! -d "$ks" ] || echo "        ${ks##*/}"; done ;;
  TRUNCATE*)
    ks=${statement#*\"}; ks=${ks%%\"*}; table=${statement%\"}; table=${table##*\"}
    rm -f "$home/data/$ks/$table"-*/*.db "$home/data/$ks/$table"-*/memtable ;;
esac
[ -z "$file" ] || ! grep -q Warning "$file" || { echo "SyntaxException: line 2:0 no viable alternative at input 'Warning'" >&2; exit 2; }
[ -z "$file" ] || sed -n 's/^CREATE TABLE \([a-z_]*\)\.\([a-z_]*\) .*/\1 \2/p' "$file" | while read -r ks table; do
  mkdir -p "$home/data/$ks"
  mkdir "$home/data/$ks/$table-$(date +%N)new"
done
`
)

// ring is the folder that the stand-ins take for a node.
type ring struct {
	dir string
	// env is more that the container has.
	env []string
}

func newRing(t *testing.T) *ring {
	t.Helper()
	return newRingAt(t, harness.Folder(t, 0))
}

// newRingAt makes one in that folder.
func newRingAt(t *testing.T, dir string) *ring {
	t.Helper()
	r := &ring{dir: dir}
	r.write(t, "user", "root")
	r.write(t, "password", cassandraPassword)
	r.tool(t, "nodetool", nodetoolStandIn)
	r.tool(t, "cqlsh", cqlshStandIn)
	r.row(t, "dovecot_dictmap", "dictmap", "1", "a|ü")
	r.row(t, "dovecot_dictmap", "dictmap", "1", "b|two")
	r.row(t, "dovecot_dictmap", "never_used", "2")
	r.row(t, "dovecot_acl", "acl", "3", "c|three")
	return r
}

func (r *ring) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (r *ring) tool(t *testing.T, name, script string) {
	t.Helper()
	r.write(t, "bin/"+name, strings.ReplaceAll(script, "@HOME@", "'"+strings.ReplaceAll(r.dir, "'", `'\''`)+"'"))
	if err := os.Chmod(filepath.Join(r.dir, "bin", name), 0o755); err != nil {
		t.Fatal(err)
	}
}

// row adds rows to a table's memory; it makes the table.
func (r *ring) row(t *testing.T, keyspace, table, id string, rows ...string) {
	t.Helper()
	name := filepath.Join("data", keyspace, table+"-"+id, "memtable")
	before, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	text := string(before)
	for _, row := range rows {
		text += row + "\n"
	}
	r.write(t, name, text)
}

// rows are all rows by table, sorted.
func (r *ring) rows(t *testing.T) map[string][]string {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(r.dir, "data", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, table := range tables {
		name, _, _ := strings.Cut(filepath.Base(table), "-")
		name = filepath.Base(filepath.Dir(table)) + "." + name
		all[name] = nil
		files, err := filepath.Glob(table + "/*-Data.db")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range append(files, table+"/memtable") {
			data, err := os.ReadFile(file)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			all[name] = append(all[name], strings.Fields(string(data))...)
		}
		slices.Sort(all[name])
	}
	return all
}

// clean fails the test when a snapshot or a credential was left in the pod.
func (r *ring) clean(t *testing.T) {
	t.Helper()
	for _, pattern := range []string{"data/*/*/snapshots/*", "holdfast-restore", "tmp/*"} {
		left, err := filepath.Glob(filepath.Join(r.dir, pattern))
		if err != nil || len(left) > 0 {
			t.Errorf("left in the pod: %q %v", left, err)
		}
	}
}

func (r *ring) instance(t *testing.T) *harness.Instance {
	t.Helper()
	return harness.Render(t, harness.Inputs{State: map[string]any{"databases": map[string]any{"cassandra": []any{map[string]any{
		"id": "dovecot", "host": "cassandra", "port": 9042, "serverVersion": "5.0.4", "statefulSet": "cassandra", "replicas": 1,
		"dataDir": filepath.Join(r.dir, "data"), "adminUser": "root",
		"keyspaces": []any{map[string]any{"name": "dovecot_dictmap"}, map[string]any{"name": "dovecot_acl"}},
		"adminRef":  map[string]any{"kind": "Secret", "name": "cassandra", "key": "cassandra-password"},
		"backup":    "required",
	}}}}})
}

// exec runs a program in the pod's place: on this machine, with the stand-ins,
// and as in Bitnami's image and chart (bitnami/containers: bitnami/cassandra/5.0,
// bitnami/charts: bitnami/cassandra): as 1001, whose home is the root, which is
// read-only; only the claim and the folder for temporary files can be written.
func (r *ring) exec(e harness.Exec) int {
	enter := `set -e; umask 022; cd /; mkdir -p "$1/tmp" "$1/data"
for place in "$1" "$1/data" "$1/tmp"; do chown 1001:1001 "$place"; done; chown -R 1001:1001 "$1/data" "$1/tmp"
mount --bind "$1" "$1"; mount -o remount,bind,ro /; shift
exec setpriv --reuid=1001 --regid=1001 --clear-groups --no-new-privs "$@"`
	cmd := exec.Command("unshare", append([]string{"--mount", "--propagation", "private", "sh", "-c", enter, "pod", r.dir}, e.Argv...)...)
	cmd.Env = append([]string{"PATH=" + filepath.Join(r.dir, "bin") + ":/usr/bin:/bin:/usr/sbin", "TMPDIR=" + filepath.Join(r.dir, "tmp"), "HOME=/"}, r.env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = e.Stdin, e.Stdout, e.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(e.Stderr, err)
		return 126
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return cmd.ProcessState.ExitCode()
}

func (r *ring) options(t *testing.T, shell string, env map[string]string, run func(harness.Exec) int) harness.Options {
	t.Helper()
	if run == nil {
		run = r.exec
	}
	kubectl := harness.Kubectl(t, harness.KubectlOptions{FreeLocks: true, Exec: func(e harness.Exec) int {
		if e.Namespace != "app" || e.Pod != "cassandra-0" || e.Container != "cassandra" {
			fmt.Fprintf(e.Stderr, "Error from server (NotFound): pods %q not found\n", e.Pod)
			return 1
		}
		return run(e)
	}})
	return harness.Options{
		Image: execImage(t, shell, kubectl), Env: env,
		Secrets: map[string]map[string]string{"cassandra": {"cassandra-password": cassandraPassword}},
	}
}

// TestCassandra runs the scripts against stand-ins, for no Cassandra can be had
// here: neither Debian nor the Go module proxy has one.
func TestCassandra(t *testing.T) {
	r := newRing(t)
	i := r.instance(t)
	want := r.rows(t)
	var dump []byte
	for _, shell := range []string{"ash", "dash"} {
		t.Run("dump/"+shell, func(t *testing.T) {
			dump = i.Dump(t, cassandraUnit, r.options(t, shell, nil, nil)).OK(t).Stdout
			r.clean(t)
			if bytes.Contains(dump, []byte("Warning")) {
				t.Error("what cqlsh warns of is in the schema")
			}
		})
	}
	if dump == nil {
		t.Fatal("there is no dump to restore")
	}
	// The tests above print a schema, too, for the home cannot be written.
	t.Run("dump/cqlshrc-of-the-home", func(t *testing.T) {
		home := newRing(t)
		home.write(t, "needs-cqlshrc", "")
		i := home.instance(t)
		i.Dump(t, cassandraUnit, home.options(t, "ash", nil, nil)).Fails(t, 69, "TLS only")
		home.write(t, "home/.cassandra/cqlshrc", "[connection]\nssl = true\n")
		home.env = []string{"HOME=" + filepath.Join(home.dir, "home")}
		got := i.Dump(t, cassandraUnit, home.options(t, "ash", nil, nil)).OK(t).Stdout
		fresh := newRing(t)
		if err := os.RemoveAll(filepath.Join(fresh.dir, "data")); err != nil {
			t.Fatal(err)
		}
		fresh.write(t, "needs-cqlshrc", "")
		fresh.write(t, "home/.cassandra/cqlshrc", "")
		fresh.env = []string{"HOME=" + filepath.Join(fresh.dir, "home")}
		o := fresh.options(t, "ash", nil, nil)
		o.Input = got
		fresh.instance(t).Restore(t, cassandraUnit, o).OK(t)
		if got := fresh.rows(t); !maps.EqualFunc(got, want, slices.Equal) {
			t.Errorf("the tables are %v, not %v", got, want)
		}
	})
	t.Run("dump/as-the-image", func(t *testing.T) {
		// What the stand-ins stand on: else the rows here would prove nothing.
		for program, want := range map[string]string{
			`id -u`:                       "1001\n",
			`touch /x /usr/x /.cassandra`: "Read-only file system",
			`cd "$TMPDIR" && umask 022 && echo x >c && cqlsh --credentials="$TMPDIR/c" --execute=SELECT; rm c`: "not used",
		} {
			var said bytes.Buffer
			r.exec(harness.Exec{Argv: []string{"sh", "-c", program}, Stdout: &said, Stderr: &said})
			if !strings.Contains(said.String(), want) {
				t.Errorf("%s said %q, not %q", program, &said, want)
			}
		}
	})
	t.Run("failure/schema-with-a-warning", func(t *testing.T) {
		// Whatever cqlsh may say beside the schema.
		warns := newRing(t)
		warns.tool(t, "cqlsh-itself", cqlshStandIn)
		i := warns.instance(t)
		for _, words := range []string{`\nWarning: Cannot create directory\n\n`, "Using CQL driver\n", "DROP KEYSPACE dovecot_acl;\n"} {
			warns.tool(t, "cqlsh", "#!/bin/sh\nprintf '"+words+"'\nexec @HOME@/bin/cqlsh-itself \"$@\"\n")
			for _, shell := range []string{"ash", "dash"} {
				i.Dump(t, cassandraUnit, warns.options(t, shell, nil, nil)).Streamed(t).Fails(t, 65, "the schema is not CQL alone", strings.TrimSpace(strings.Trim(words, `\n`))[:5])
				warns.clean(t)
			}
		}
		warns.tool(t, "cqlsh", "#!/bin/sh\n@HOME@/bin/cqlsh-itself \"$@\" | tr -d ';'\n")
		i.Dump(t, cassandraUnit, warns.options(t, "ash", nil, nil)).Streamed(t).Fails(t, 65, "the schema is not CQL alone")
		warns.tool(t, "cqlsh", "#!/bin/sh\n@HOME@/bin/cqlsh-itself \"$@\"\n"+
			`case $* in *DESCRIBE*) echo "/* A comment; */ CREATE FUNCTION f() AS \$\$ return 'x;'; \$\$; -- it's one"
echo "ALTER TABLE \"a;b\" WITH comment = 'it''s; one';" ;; esac`+"\n")
		i.Dump(t, cassandraUnit, warns.options(t, "ash", nil, nil)).OK(t)
	})
	t.Run("failure/restore-of-a-schema-with-a-warning", func(t *testing.T) {
		bad := bytes.Replace(dump, []byte("\nCREATE KEYSPACE "), []byte("\nWARNED KEYSPACE "), 1)
		for _, shell := range []string{"ash", "dash"} {
			o := r.options(t, shell, nil, func(harness.Exec) int {
				t.Error("a restore of a bad schema went into the pod")
				return 1
			})
			o.Input = bad
			i.Restore(t, cassandraUnit, o).Fails(t, 65, "the schema is not CQL alone", "WARNED KEYSPACE")
		}
	})
	t.Run("failure/folder-above", func(t *testing.T) {
		i.Dump(t, cassandraUnit, r.options(t, "dash", map[string]string{"CASSANDRA_DATA_DIR": r.dir}, nil)).Fails(t, 64, "dataDir must be "+r.dir+"/data")
		r.clean(t)
	})
	t.Run("failure/wrong-user", func(t *testing.T) {
		// The image leaves this one with another password.
		i.Dump(t, cassandraUnit, r.options(t, "ash", map[string]string{"CASSANDRA_USER": "cassandra"}, nil)).Fails(t, 69, "AuthenticationFailed")
		r.clean(t)
	})
	t.Run("dump/leftover-snapshot", func(t *testing.T) {
		r.write(t, "data/dovecot_acl/acl-3/snapshots/holdfast/old-Data.db", "of a run that was killed")
		if got := i.Dump(t, cassandraUnit, r.options(t, "ash", nil, nil)).OK(t).Stdout; bytes.Contains(got, []byte("of a run that was killed")) {
			t.Error("a leftover is in the dump")
		}
		r.clean(t)
	})
	restore := func(t *testing.T, to *ring, shell string, input []byte, env map[string]string) harness.Result {
		t.Helper()
		o := to.options(t, shell, env, nil)
		o.Input = input
		return to.instance(t).Restore(t, cassandraUnit, o)
	}
	for _, shell := range []string{"ash", "dash"} {
		t.Run("restore/new-node/"+shell, func(t *testing.T) {
			fresh := newRing(t)
			if err := os.RemoveAll(filepath.Join(fresh.dir, "data")); err != nil {
				t.Fatal(err)
			}
			fresh.write(t, "data/.keep", "")
			restore(t, fresh, shell, dump, nil).OK(t)
			fresh.clean(t)
			if got := fresh.rows(t); !maps.EqualFunc(got, want, slices.Equal) {
				t.Errorf("the tables are %v, not %v", got, want)
			}
		})
	}
	t.Run("losses", func(t *testing.T) {
		// A table that was dropped, and one that was made, between snapshot and schema.
		for _, shell := range []string{"ash", "dash"} {
			moved := newRing(t)
			moved.tool(t, "cqlsh-itself", cqlshStandIn)
			moved.tool(t, "cqlsh", "#!/bin/sh\n"+`case $* in *DESCRIBE*) @HOME@/bin/cqlsh-itself "$@" | sed '/CREATE TABLE dovecot_dictmap.dictmap (/,/^);/d'
  case $* in *acl*) echo 'CREATE TABLE dovecot_acl."Later, than" ('; echo ');' ;; esac ;; *) exec @HOME@/bin/cqlsh-itself "$@" ;; esac`+"\n")
			i := moved.instance(t)
			i.Dump(t, cassandraUnit, moved.options(t, shell, nil, nil)).Streamed(t).Fails(t, 65,
				"no-schema: dovecot_dictmap.dictmap: its rows are in the snapshot, and it is not in the schema", "no-snapshot: dovecot_acl.Later, than: it is in the schema")
			moved.clean(t)
			o := moved.options(t, shell, map[string]string{"HOLDFAST_LOSSES": "no-schema dovecot_dictmap.dictmap\nno-snapshot *"}, nil)
			without := i.Dump(t, cassandraUnit, o).OK(t).Stdout
			if !bytes.Contains(without, []byte(`"loss":"no-schema","item":"dovecot_dictmap.dictmap"`)) {
				t.Error("the copy does not name it")
			}
			fresh := newRing(t)
			if err := os.RemoveAll(filepath.Join(fresh.dir, "data")); err != nil {
				t.Fatal(err)
			}
			fresh.write(t, "data/.keep", "")
			// What was accepted is not tried; what cannot be made does not stop the others.
			restore(t, fresh, shell, without, nil).Fails(t, 65, "dovecot_dictmap.dictmap is not loaded: that it is not in the schema was accepted",
				"1 tables were loaded", `CREATE TABLE dovecot_acl."Later, than": the node has none`)
			if got := fresh.rows(t)["dovecot_acl.acl"]; !slices.Equal(got, want["dovecot_acl.acl"]) {
				t.Errorf("the other table has %q", got)
			}
			fresh.clean(t)
		}
	})
	t.Run("restore/one-stops-no-other", func(t *testing.T) {
		for _, shell := range []string{"ash", "dash"} {
			fresh := newRing(t)
			if err := os.RemoveAll(filepath.Join(fresh.dir, "data")); err != nil {
				t.Fatal(err)
			}
			fresh.write(t, "data/.keep", "")
			// A statement that this node does not take: cqlsh goes on, and says so.
			fresh.tool(t, "cqlsh-itself", cqlshStandIn)
			fresh.tool(t, "cqlsh", "#!/bin/sh\n"+`for last; do :; done; case $* in *--file=*) grep -v dovecot_acl.acl "${last#*=}" >"$CQL_HISTORY.cql"
  @HOME@/bin/cqlsh-itself "$1" --file="$CQL_HISTORY.cql"; mkdir -p @HOME@/data/dovecot_acl; echo "InvalidRequest: no such compaction" >&2; exit 2 ;;
  *) exec @HOME@/bin/cqlsh-itself "$@" ;; esac`+"\n")
			restore(t, fresh, shell, dump, nil).Fails(t, 65, "2 items of the copy did not come back", "CREATE TABLE dovecot_acl.acl: the node has none",
				"dovecot_acl.acl: nodetool import failed", "InvalidRequest: no such compaction", "1 tables were loaded")
			if got := fresh.rows(t)["dovecot_dictmap.dictmap"]; !slices.Equal(got, want["dovecot_dictmap.dictmap"]) {
				t.Errorf("the other table has %q", got)
			}
			// One that ends well and does not take the files.
			fresh = newRing(t)
			if err := os.RemoveAll(filepath.Join(fresh.dir, "data")); err != nil {
				t.Fatal(err)
			}
			fresh.write(t, "data/.keep", "")
			fresh.tool(t, "nodetool-itself", nodetoolStandIn)
			fresh.tool(t, "nodetool", "#!/bin/sh\n"+`case $* in *import*dovecot_acl*) exit 0 ;; esac; exec @HOME@/bin/nodetool-itself "$@"`+"\n")
			restore(t, fresh, shell, dump, nil).Fails(t, 65, "dovecot_acl.acl: nodetool import left files behind", "1 tables were loaded")
			fresh.clean(t)
			restore(t, fresh, shell, dump, map[string]string{"HOLDFAST_OVERWRITE": "yes", "HOLDFAST_LEAVE_OUT": "dovecot_acl.*"}).OK(t)
		}
	})
	t.Run("restore/changed", func(t *testing.T) {
		changed := newRing(t)
		changed.row(t, "dovecot_acl", "acl", "3", "d|added")
		changed.exec(harness.Exec{Argv: []string{"sh", "-c", "nodetool flush -- dovecot_acl"}, Stdout: io.Discard, Stderr: os.Stderr})
		restore(t, changed, "ash", dump, nil).Fails(t, 65, "holds data", "HOLDFAST_OVERWRITE=yes")
		if rows := changed.rows(t)["dovecot_acl.acl"]; !slices.Contains(rows, "d|added") {
			t.Errorf("a refused restore changed the table: %q", rows)
		}
		changed.clean(t)
		restore(t, changed, "ash", dump, map[string]string{"HOLDFAST_OVERWRITE": "yes"}).OK(t)
		if got := changed.rows(t); !maps.EqualFunc(got, want, slices.Equal) {
			t.Errorf("the tables are %v, not %v", got, want)
		}
	})
	t.Run("failure/restore-over-rows-in-memory", func(t *testing.T) {
		live := newRing(t)
		restore(t, live, "ash", dump, nil).Fails(t, 65, "holds data")
	})
	t.Run("failure/restore-of-a-cut-dump", func(t *testing.T) {
		restore(t, r, "ash", dump[:len(dump)/2], nil).Fails(t, 65)
		restore(t, r, "ash", []byte("no tar"), nil).Fails(t, 65)
	})

	failing := func(t *testing.T, env map[string]string, code int, words ...string) harness.Result {
		t.Helper()
		result := i.Dump(t, cassandraUnit, r.options(t, "ash", env, nil)).Fails(t, code, words...)
		r.clean(t)
		return result
	}
	for _, shell := range []string{"ash", "dash"} {
		t.Run("failure/wrong-password/"+shell, func(t *testing.T) {
			i.Dump(t, cassandraUnit, r.options(t, shell, map[string]string{"CASSANDRA_PASSWORD": "wrong"}, nil)).Fails(t, 69, "AuthenticationFailed")
			r.clean(t)
		})
	}
	t.Run("failure/server-gone-before", func(t *testing.T) {
		r.write(t, "down", "")
		defer os.Remove(filepath.Join(r.dir, "down"))
		i.Dump(t, cassandraUnit, r.options(t, "ash", nil, nil)).Fails(t, 69, "Connection refused")
	})
	t.Run("failure/missing-keyspace", func(t *testing.T) {
		failing(t, map[string]string{"CASSANDRA_KEYSPACES": "dovecot_acl\nnowhere"}, 64, "nowhere", "does the keyspace exist")
	})
	t.Run("failure/wrong-folder", func(t *testing.T) {
		failing(t, map[string]string{"CASSANDRA_DATA_DIR": r.dir + "/elsewhere"}, 64, "is dataDir right")
	})
	t.Run("failure/wrong-pod", func(t *testing.T) {
		failing(t, map[string]string{"CASSANDRA_POD": "cassandra-7"}, 69, "not found")
	})
	t.Run("failure/permission-denied", func(t *testing.T) {
		r.tool(t, "tar", "#!/bin/sh\n/usr/bin/tar \"$@\" --exclude='*Index.db'\necho \"tar: x-Index.db: Cannot open: Permission denied\" >&2\nexit 2\n")
		i.Dump(t, cassandraUnit, r.options(t, "ash", nil, nil)).Streamed(t).Fails(t, 69, "Permission denied")
		r.clean(t)
	})
	t.Run("dump/file-changed", func(t *testing.T) {
		r.tool(t, "tar", "#!/bin/sh\n/usr/bin/tar \"$@\"\necho \"tar: x-Data.db: file changed as we read it\" >&2\nexit 1\n")
		i.Dump(t, cassandraUnit, r.options(t, "ash", nil, nil)).OK(t)
		r.clean(t)
		r.tool(t, "tar", "#!/bin/sh\n/usr/bin/tar \"$@\"\necho \"tar: x-Data.db: File removed before we read it\" >&2\nexit 1\n")
		i.Dump(t, cassandraUnit, r.options(t, "ash", nil, nil)).Streamed(t).Fails(t, 69, "File removed")
		r.clean(t)
		if err := os.Remove(filepath.Join(r.dir, "bin/tar")); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("failure/server-gone-in-the-middle", func(t *testing.T) {
		r.tool(t, "tar", "#!/bin/sh\n/usr/bin/tar \"$@\" | head -c 1000\nkill -KILL $PPID\n")
		i.Dump(t, cassandraUnit, r.options(t, "ash", nil, nil)).Streamed(t).Fails(t, 69, "137")
		if err := os.Remove(filepath.Join(r.dir, "bin/tar")); err != nil {
			t.Fatal(err)
		}
		// The next run takes the leftover away.
		i.Dump(t, cassandraUnit, r.options(t, "ash", nil, nil)).OK(t)
		if left, _ := filepath.Glob(filepath.Join(r.dir, "data/*/*/snapshots/*")); len(left) > 0 {
			t.Errorf("left in the pod: %q", left)
		}
		if err := os.RemoveAll(filepath.Join(r.dir, "tmp")); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("failure/truncated", func(t *testing.T) {
		for _, part := range []int{10240, 1000, 0} {
			o := r.options(t, "ash", nil, func(e harness.Exec) int {
				var all bytes.Buffer
				to := e.Stdout
				e.Stdout = &all
				code := r.exec(e)
				_, _ = to.Write(all.Bytes()[:min(part, all.Len()/2)])
				return code
			})
			i.Dump(t, cassandraUnit, o).Streamed(t).Fails(t, 65)
		}
	})
	t.Run("failure/disk-full", func(t *testing.T) {
		r.row(t, "dovecot_acl", "acl", "3", strings.Repeat("x", 300_000))
		o := r.options(t, "ash", nil, nil)
		o.Scratch = "128Ki"
		i.Dump(t, cassandraUnit, o).Streamed(t).Fails(t, 73)
		// The program in the pod notices when it writes.
		harness.WaitFor(t, "the pod is clean", 20*time.Second, func() error {
			left, err := filepath.Glob(filepath.Join(r.dir, "data/*/*/snapshots/*"))
			more, err2 := filepath.Glob(filepath.Join(r.dir, "tmp/*"))
			if len(left)+len(more) > 0 {
				return fmt.Errorf("left: %q %q", left, more)
			}
			return errors.Join(err, err2)
		})
	})
	t.Run("failure/larger-than-a-restore", func(t *testing.T) {
		i.Dump(t, cassandraUnit, r.options(t, "ash", map[string]string{"HOLDFAST_RESTORE_BYTES": "2000"}, nil)).Streamed(t).
			Fails(t, 73, "the scratch space of a restore takes 2000: raise scratch for this unit")
	})
	t.Run("failure/slow", func(t *testing.T) {
		slow := newRing(t)
		slow.tool(t, "nodetool", "#!/bin/sh\nexec sleep 3\n")
		result := i.Dump(t, cassandraUnit, slow.options(t, "ash", map[string]string{"HOLDFAST_DEADLINE": "1"}, nil)).Fails(t, 69, "did not end within 1 s")
		if result.Took > harness.Patience {
			t.Errorf("it took %s", result.Took)
		}
	})
	t.Run("failure/empty", func(t *testing.T) {
		empty := newRing(t)
		for _, table := range []string{"dovecot_dictmap/dictmap-1", "dovecot_acl/acl-3"} {
			if err := os.Remove(filepath.Join(empty.dir, "data", table, "memtable")); err != nil {
				t.Fatal(err)
			}
		}
		empty.instance(t).Dump(t, cassandraUnit, empty.options(t, "ash", nil, nil)).Streamed(t).Fails(t, 65, "every table is empty")
	})
	t.Run("allowed-empty", func(t *testing.T) {
		empty := newRing(t)
		for _, table := range []string{"dovecot_dictmap/dictmap-1", "dovecot_acl/acl-3"} {
			if err := os.Remove(filepath.Join(empty.dir, "data", table, "memtable")); err != nil {
				t.Fatal(err)
			}
		}
		want := empty.rows(t)
		allow := map[string]string{"HOLDFAST_ALLOW_EMPTY": "the application is new"}
		for _, shell := range []string{"ash", "dash"} {
			r := empty.instance(t).Dump(t, cassandraUnit, empty.options(t, shell, allow, nil)).OK(t)
			if !strings.Contains(r.Stderr, "empty, which is allowed: the application is new") {
				t.Errorf("it said:\n%s", r.Stderr)
			}
			empty.clean(t)
			fresh := newRing(t)
			if err := os.RemoveAll(filepath.Join(fresh.dir, "data")); err != nil {
				t.Fatal(err)
			}
			fresh.write(t, "data/.keep", "")
			restore(t, fresh, shell, r.Stdout, allow).OK(t)
			if got := fresh.rows(t); !maps.EqualFunc(got, want, slices.Equal) {
				t.Errorf("the tables are %v, not %v", got, want)
			}
		}
		// What that does not excuse: a keyspace that is absent, and one without tables.
		if err := os.RemoveAll(filepath.Join(empty.dir, "data/dovecot_acl/acl-3")); err != nil {
			t.Fatal(err)
		}
		empty.instance(t).Dump(t, cassandraUnit, empty.options(t, "ash", allow, nil)).Streamed(t).Fails(t, 65, "no table of the keyspace dovecot_acl")
		if err := os.Remove(filepath.Join(empty.dir, "data/dovecot_acl")); err != nil {
			t.Fatal(err)
		}
		empty.instance(t).Dump(t, cassandraUnit, empty.options(t, "ash", allow, nil)).Fails(t, 64, "dovecot_acl")
		empty.clean(t)
	})
	t.Run("failure/wrong-ca", func(t *testing.T) {
		harness.NotApplicable(t, "nodetool and cqlsh talk to the node itself, inside its pod")
	})
	t.Run("failure/locked", func(t *testing.T) {
		locked := newRing(t)
		i := locked.instance(t)
		item := i.Unit(t, cassandraUnit)
		cluster := harness.Cluster(t)
		cluster.Install(t, i)
		harness.WaitFor(t, "the namespace has its account", 20*time.Second, func() error {
			_, err := cluster.TryKubectl("get", "serviceaccount", "default", "--namespace=app")
			return err
		})
		// Nothing runs it; its name is what exec asks for.
		cluster.Apply(t, map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "cassandra-0", "namespace": "app"},
			"spec": map[string]any{"containers": []any{map[string]any{"name": "cassandra", "image": "cassandra:5"}}}})
		// Whoever is locked out does not even enter the pod.
		var entered atomic.Int32
		options := func(shell string, locks map[string]map[string]string) harness.Options {
			return harness.Options{
				Image: harness.Image{Shell: shell}, Cluster: cluster, Locks: locks,
				Secrets: map[string]map[string]string{"cassandra": {"cassandra-password": cassandraPassword}},
				Exec: func(e harness.Exec) int {
					entered.Add(1)
					return locked.exec(e)
				},
			}
		}
		restore := func(shell string) harness.Result {
			t.Helper()
			o := options(shell, nil)
			o.Input, o.Env = dump, map[string]string{"HOLDFAST_OVERWRITE": "yes"}
			return i.Restore(t, cassandraUnit, o)
		}
		before := locked.rows(t)
		for what, lock := range map[string]string{"unit": item.Lock, "instance": i.Plan.InstanceLock} {
			patch := func(data string) {
				cluster.Kubectl(t, "patch", "configmap", lock, "--namespace=app", "--type=merge", "--patch", `{"data":`+data+`}`)
			}
			patch(`{"holder":"an upgrade","until":"99999999999"}`)
			for _, shell := range []string{"ash", "dash"} {
				for until, said := range map[string]string{"99999999999": "99999999999", "": "further notice"} {
					o := options(shell, map[string]map[string]string{lock: {"holder": "an upgrade", "until": until}})
					i.Dump(t, cassandraUnit, o).Fails(t, 75, "the "+what+" lock is held by an upgrade until "+said)
				}
				restore(shell).Fails(t, 75, "skipped: "+lock+" is held by an upgrade")
			}
			patch("null")
		}
		if got := locked.rows(t); entered.Load() != 0 || !maps.EqualFunc(got, before, slices.Equal) {
			t.Errorf("the pod was entered %d times, and the tables are %v, not %v", entered.Load(), got, before)
		}
		// The same once they are free, or have expired.
		i.Dump(t, cassandraUnit, options("ash", map[string]map[string]string{item.Lock: {"holder": "an upgrade", "until": "1"}})).OK(t)
		locked.row(t, "dovecot_acl", "acl", "3", "d|added")
		restore("ash").OK(t)
		if got := locked.rows(t); entered.Load() == 0 || !maps.EqualFunc(got, want, slices.Equal) {
			t.Errorf("the pod was entered %d times, and the tables are %v, not %v", entered.Load(), got, want)
		}
		locked.clean(t)
	})
	t.Run("hostile-names", func(t *testing.T) {
		// They exist, and come back: the folder, the user and the password.
		value := `-rf o'b"r  a  b $(touch /tmp/holdfast-was-here)` + "`id`$HOME %s ü;& "
		hostile, fresh := newRingAt(t, filepath.Join(harness.Folder(t, 0), value)), newRingAt(t, filepath.Join(harness.Folder(t, 0), "to "+value))
		if err := os.RemoveAll(filepath.Join(fresh.dir, "data")); err != nil {
			t.Fatal(err)
		}
		fresh.write(t, "data/.keep", "")
		// cqlsh takes blanks at the ends away.
		login := strings.TrimSpace(value)
		env := map[string]string{"CASSANDRA_USER": login, "CASSANDRA_PASSWORD": login, "HOLDFAST_OVERWRITE": "yes"}
		for _, r := range []*ring{hostile, fresh} {
			r.write(t, "user", login)
			r.write(t, "password", login)
		}
		for _, shell := range []string{"ash", "dash"} {
			dump := hostile.instance(t).Dump(t, cassandraUnit, hostile.options(t, shell, env, nil)).OK(t).Stdout
			hostile.clean(t)
			restore(t, fresh, shell, dump, env).OK(t)
			fresh.clean(t)
			if got := fresh.rows(t); !maps.EqualFunc(got, want, slices.Equal) {
				t.Errorf("the tables are %v, not %v", got, want)
			}
		}
	})
	for name, value := range hostileValues {
		t.Run("failure/hostile-names/"+name, func(t *testing.T) {
			for _, variable := range []string{"CASSANDRA_POD", "CASSANDRA_CONTAINER", "CASSANDRA_DATA_DIR", "CASSANDRA_KEYSPACES", "CASSANDRA_USER", "CASSANDRA_PASSWORD"} {
				code, word := 69, "the dump in "
				switch {
				case variable == "CASSANDRA_DATA_DIR", variable == "CASSANDRA_KEYSPACES" && name == "newline":
					code = 64
				case variable == "CASSANDRA_KEYSPACES" && name != "newline":
					code, word = 64, "is no keyspace's name"
				case name == "newline" && (variable == "CASSANDRA_USER" || variable == "CASSANDRA_PASSWORD"):
					code, word = 64, variable+" holds a line break"
				}
				i.Dump(t, cassandraUnit, r.options(t, "ash", map[string]string{variable: value}, nil)).Fails(t, code, word)
			}
			r.clean(t)
		})
	}
	t.Run("failure/hostile-names/in-the-tar", func(t *testing.T) {
		// The tar of the image does not list such names as they are; the pod's refuses them.
		for _, path := range []string{"../outside", "dovecot_acl/../../outside"} {
			var hostile bytes.Buffer
			w := tar.NewWriter(&hostile)
			for _, entry := range []string{"schema.cql", path, "holdfast-complete"} {
				text := ""
				if entry == "schema.cql" {
					text = "CREATE KEYSPACE x;\n"
				}
				if err := w.WriteHeader(&tar.Header{Name: entry, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(text))}); err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(w, text); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			restore(t, r, "ash", hostile.Bytes(), nil).Fails(t, 69, "Member name contains '..'")
			restore(t, r, "dash", hostile.Bytes(), nil).Fails(t, 65, "a path outside of its folder")
			if _, err := os.Lstat(filepath.Join(r.dir, "outside")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s came out of the folder: %v", path, err)
			}
		}
	})
}
