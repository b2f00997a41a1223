package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

// nubus is the primary's pod of Nubus with Debian's slapd in the place of UCS's,
// after univention/container-ldap@v0.48.4 (docker/ldap-server, helm/ldap-server)
// and univention/ucs-base-image (docker/entrypoint.sh): a read-only root; slapd as
// 101:102; /etc/ldap empty at first, where the ENTRYPOINT writes slapd.conf from
// templates; one claim with three databases; first content where there is none.
type nubus struct {
	*directory
	claim, image string
	// metadata is what the start script asks before it loads anything.
	metadata *httptest.Server
	gate     sync.RWMutex
	// args replace what the ENTRYPOINT starts, command the ENTRYPOINT itself.
	args, command []string
	// known says that the status ConfigMap knows of a database.
	known bool
	pod   *exec.Cmd
	// first is the pod's first process.
	first string
	log   lockedBuffer
}

// lockedBuffer is a buffer that one writes and another reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// nubusFiles are those of the image and of what the chart mounts over it.
var nubusFiles = map[string]string{
	"entrypoint.sh": `#!/bin/sh
set -e
for script in /entrypoint.d/*.sh; do
  echo "start script $script"
  "$script"
done
exec "$@"
`,
	"entrypoint.d/50-entrypoint.sh": `#!/bin/bash
set -euo pipefail
data=/var/lib/univention-ldap
mkdir -p $data/ldap $data/internal $data/translog
cat /etc/univention/templates/files/etc/ldap/slapd.conf.d/* | ucr-light-filter >/etc/ldap/slapd.conf
wget --quiet --tries=1 --output-document=/etc/univention/metadata.xml "$(echo '@%@umc/saml/idp-server@%@' | ucr-light-filter)" || exit 255
if [ -z "$(find $data/ldap -name 'data.*' -type f)" ] && [ "$DATABASE_KNOWN" != yes ]; then
  echo "loading first content"
  ucr-light-filter </usr-share/base.ldif | slapadd -f /etc/ldap/slapd.conf
fi
if [ -z "$(slapcat -f /etc/ldap/slapd.conf -b cn=translog -H 'ldap:///cn=translog??base' || :)" ]; then
  printf 'dn: cn=translog\nobjectClass: organizationalRole\n' | slapadd -f /etc/ldap/slapd.conf -b cn=translog
fi
{ echo '#!/bin/bash'; echo "/usr/sbin/slapd -f /etc/ldap/slapd.conf -d 0 -h ldap://127.0.0.1:$LDAP_PORT/ \"\$@\""; } >/etc/univention/run-slapd.sh
chmod +x /etc/univention/run-slapd.sh
`,
	"entrypoint.d/90-append-slapd-conf.sh": `#!/bin/bash
set -euo pipefail
conf=$(cat /etc/ldap/slapd.conf)
{ echo 'serverID 1'; echo "$conf"; } >/etc/ldap/slapd.conf
`,
	"entrypoint.d/91-init-internal-database.sh": `#!/bin/bash
printf 'dn: cn=internal\nobjectClass: organizationalRole\n' | slapadd -b cn=internal -f /etc/ldap/slapd.conf
exit 0
`,
	"opt/ucr-light-filter": `#!/bin/sh
exec awk 'BEGIN { while ((getline line <"/etc/univention/base.conf") > 0) { at = index(line, ": "); value[substr(line, 1, at - 1)] = substr(line, at + 2) } }
{ for (key in value) while ((at = index($0, "@%@" key "@%@")) > 0) $0 = substr($0, 1, at - 1) value[key] substr($0, at + length(key) + 6); print }'
`,
	"usr-share/base.ldif": `dn: @%@ldap/base@%@
objectClass: dcObject
objectClass: organization
o: first content
dc: swp-ldap

dn: cn=users,@%@ldap/base@%@
objectClass: organizationalRole
cn: users
`,
	"etc/univention/templates/files/etc/ldap/slapd.conf.d/10univention-ldap-server_schema": `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
`,
	"etc/univention/templates/files/etc/ldap/slapd.conf.d/20univention-ldap-server_database": `database mdb
maxsize 268435456
suffix "@%@ldap/base@%@"
rootdn "cn=admin,@%@ldap/base@%@"
rootpw @%@password@%@
directory /var/lib/univention-ldap/ldap
overlay memberof
database mdb
suffix cn=internal
directory /var/lib/univention-ldap/internal
database mdb
suffix cn=translog
directory /var/lib/univention-ldap/translog
`,
}

func newNubus(t *testing.T) *nubus {
	t.Helper()
	n := &nubus{image: harness.Folder(t, 0)}
	n.directory = &directory{dir: harness.Folder(t, 0), base: ldapBase, admin: "cn=admin," + ldapBase, port: harness.Port(t)}
	n.metadata = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n.gate.RLock()
		defer n.gate.RUnlock()
		fmt.Fprint(w, "<md/>")
	}))
	t.Cleanup(n.metadata.Close)
	for name, text := range nubusFiles {
		n.file(t, name, text)
	}
	password := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(ldapPassword) + `"`
	n.file(t, "etc/univention/base.conf", "ldap/base: "+ldapBase+"\npassword: "+password+"\numc/saml/idp-server: "+n.metadata.URL+"\n")
	n.lose(t)
	t.Cleanup(n.stop)
	return n
}

func (n *nubus) file(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(n.image, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// lose gives the pod an empty claim.
func (n *nubus) lose(t *testing.T) {
	t.Helper()
	n.claim = harness.Folder(t, 101)
	if err := os.Chown(n.claim, 101, 102); err != nil {
		t.Fatal(err)
	}
}

// start starts the pod, and does not wait for its start script.
func (n *nubus) start(t *testing.T) {
	t.Helper()
	n.stop()
	enter := `set -e; umask 022; root=$1 image=$2 claim=$3; shift 3
mount -t tmpfs -o mode=0755 none "$root"; cd "$root"; cp -r "$image/." .
mkdir -p usr etc/alternatives etc/ldap proc dev var/lib/univention-ldap var/run/slapd
mount --bind /usr usr; mount -o remount,bind,ro usr; mount --bind /etc/alternatives etc/alternatives
ln -s usr/bin bin; ln -s usr/lib lib; ln -s usr/lib64 lib64; ln -s usr/sbin sbin
for device in null urandom; do : >dev/$device; mount --bind /dev/$device dev/$device; done
echo 'openldap:x:101:102::/:/bin/false' >etc/passwd; echo 'openldap:x:102:' >etc/group
mount -t tmpfs -o uid=101,gid=102 none etc/ldap; cp -r /etc/ldap/schema /etc/ldap/ldap.conf etc/ldap/
mount -t tmpfs -o uid=101,gid=102 none etc/univention; cp -r "$image/etc/univention/." etc/univention/
mount --bind "$claim" var/lib/univention-ldap; mount -t tmpfs -o uid=101,gid=102 none var/run/slapd
mount -t proc none proc; mount -o remount,ro "$root"
exec chroot --userspec=101:102 --groups= "$root" "$@"`
	argv := n.command
	if argv == nil {
		argv = []string{"/entrypoint.sh"}
		if n.args == nil {
			argv = append(argv, "/etc/univention/run-slapd.sh")
		}
	}
	argv = append(append([]string{}, argv...), n.args...)
	root := harness.Folder(t, 0)
	n.log = lockedBuffer{}
	n.pod = exec.Command("unshare", append([]string{"--mount", "--pid", "--fork", "--kill-child", "--propagation", "private",
		"sh", "-c", enter, "pod", root, n.image, n.claim}, argv...)...)
	known := "no"
	if n.known {
		known = "yes"
	}
	n.pod.Env = []string{"PATH=/opt:/usr/sbin:/usr/bin:/bin", "HOME=/", "DATABASE_KNOWN=" + known, fmt.Sprintf("LDAP_PORT=%d", n.port)}
	n.pod.Stdout, n.pod.Stderr = &n.log, &n.log
	if err := n.pod.Start(); err != nil {
		t.Fatal(err)
	}
	harness.WaitFor(t, "the pod has a process", 20*time.Second, func() error {
		n.first = ""
		all, _ := filepath.Glob("/proc/[0-9]*/status")
		for _, file := range all {
			status, _ := os.ReadFile(file)
			if bytes.Contains(status, fmt.Appendf(nil, "\nPPid:\t%d\n", n.pod.Process.Pid)) {
				n.first = filepath.Base(filepath.Dir(file))
			}
		}
		if n.first == "" {
			return errors.New("there is none yet: " + n.log.String())
		}
		if comm, _ := os.ReadFile("/proc/" + n.first + "/root/etc/passwd"); !strings.HasPrefix(string(comm), "openldap:x:101") {
			return errors.New("it is not in its root yet: " + n.log.String())
		}
		return nil
	})
}

// started waits until the start script has ended.
func (n *nubus) started(t *testing.T) {
	t.Helper()
	n.start(t)
	harness.WaitFor(t, "the start script has ended", 60*time.Second, func() error {
		argv, err := os.ReadFile("/proc/" + n.first + "/cmdline")
		if err != nil || strings.Contains(string(argv), "entrypoint") {
			return fmt.Errorf("it runs: %w\n%s", err, n.log.String())
		}
		if n.args != nil || n.command != nil {
			return nil
		}
		connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", n.port))
		if err == nil {
			connection.Close()
		}
		return err
	})
}

func (n *nubus) stop() {
	if n.pod == nil {
		return
	}
	// With the first process all others end; mdb stands that.
	if pid, err := strconv.Atoi(n.first); err == nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = n.pod.Process.Kill()
	_ = n.pod.Wait()
	n.pod = nil
}

// exec runs a program in the pod.
func (n *nubus) exec(e harness.Exec) int {
	cmd := exec.Command("nsenter", append([]string{"--target", n.first, "--mount", "--pid", "--root", "--wd=/",
		"setpriv", "--reuid=101", "--regid=102", "--clear-groups", "--no-new-privs"}, e.Argv...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/bin", "HOME=/"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = e.Stdin, e.Stdout, e.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(e.Stderr, err)
		return 126
	}
	return cmd.ProcessState.ExitCode()
}

// tree is what slapcat says in the pod.
func (n *nubus) tree(t *testing.T, base string) map[string][]string {
	t.Helper()
	var out, stderr bytes.Buffer
	if code := n.exec(harness.Exec{Argv: []string{"slapcat", "-b", base, "-o", "ldif-wrap=no"}, Stdout: &out, Stderr: &stderr}); code != 0 {
		t.Fatalf("slapcat ended with %d: %s", code, &stderr)
	}
	return ldifEntries(out.String())
}

// described is the pod as kubectl prints it for restore.sh.
func (n *nubus) described() string {
	words := func(list []string) string {
		if list == nil {
			return ""
		}
		return `["` + strings.Join(list, `","`) + `"]`
	}
	return "container\tleader-elector\t\t\nmount\t/var/lib/univention-ldap\tshared-data\n" +
		"container\tmain\t" + words(n.command) + "\t" + words(n.args) + "\n" +
		"mount\t/etc/ldap\tetc-ldap-volume\nmount\t/var/lib/univention-ldap/slapd-sock\tslapd-overlay-unix-socket-volume\n" +
		"mount\t/var/lib/univention-ldap\tshared-data\n" +
		"claim\tetc-ldap-volume\t\nclaim\tshared-run\tshared-run-" + ldapPod + "\nclaim\tshared-data\tshared-data-" + ldapPod + "\n"
}

const (
	heldByArgs    = "- name: main\n        command: null\n        args: [sleep, infinity]\n        livenessProbe: null\n"
	heldByCommand = "- name: main\n        command: [sleep, infinity]\n        args: null\n        livenessProbe: null\n"
)

// testNubus restores with the image of Nubus.
func testNubus(t *testing.T) {
	n := newNubus(t)
	n.started(t)
	var people strings.Builder
	for i := range 20 {
		people.WriteString(ldifLine("dn", fmt.Sprintf("uid=müller%d,cn=users,%s", i, n.base)) + "changetype: add\nobjectClass: inetOrgPerson\n" +
			fmt.Sprintf("uid: %d\ncn: Jörg\nsn: Müller\nuserPassword: {SSHA}hash-%d\n\n", i, i))
	}
	n.modify(t, strings.ReplaceAll(people.String(), "Jörg", "Joerg"))
	i := n.instance(t, map[string]any{"minEntries": 20, "replicasPrimary": 2, "leaderLease": ldapLease})
	alone := map[string]string{"LDAP_LEASE": ""}
	before := n.tree(t, n.base)
	options := func(shell string, input []byte, env map[string]string) harness.Options {
		o := n.podWith(t, shell, n.exec, n.described())
		o.Input, o.Env = input, env
		return o
	}
	yes := map[string]string{"HOLDFAST_OVERWRITE": "yes"}
	var dump []byte
	for _, shell := range []string{"ash", "dash"} {
		dump = i.Dump(t, ldapUnit, options(shell, nil, alone)).OK(t).Stdout
		sameEntries(t, ldifEntries(string(dump)), before)
		if len(before) != 22 || bytes.Contains(dump, []byte("cn=internal")) || bytes.Contains(dump, []byte("cn=translog")) {
			t.Errorf("the dump holds %d entries, or another database's:\n%s", len(before), dump)
		}
	}
	t.Run("slapd-runs", func(t *testing.T) {
		i.Restore(t, ldapUnit, options("ash", dump, yes)).Fails(t, 69, "slapd must be stopped", heldByArgs,
			"scale statefulset ums-ldap-server-primary --replicas=0")
		sameEntries(t, n.tree(t, n.base), before)
	})
	t.Run("held-by-command", func(t *testing.T) {
		// Its start script has not run: there is no configuration.
		n.command, n.args = []string{"sleep", "infinity"}, nil
		n.started(t)
		for _, shell := range []string{"ash", "dash"} {
			i.Restore(t, ldapUnit, options(shell, dump, yes)).Fails(t, 69, "slapadd cannot use slapd's configuration", heldByArgs, "slapd.conf")
		}
		if _, err := os.Stat(filepath.Join(n.claim, "ldap/data.mdb")); err != nil {
			t.Errorf("a refused restore took the database away: %v", err)
		}
	})
	for _, shell := range []string{"ash", "dash"} {
		t.Run("held-by-args/"+shell, func(t *testing.T) {
			n.lose(t)
			n.command, n.args, n.known = nil, []string{"sleep", "infinity"}, false
			n.started(t)
			i.Restore(t, ldapUnit, options(shell, dump, nil)).Fails(t, 65, "holds a database", "first content", "HOLDFAST_OVERWRITE=yes")
			r := i.Restore(t, ldapUnit, options(shell, dump, yes)).OK(t)
			for _, words := range []string{"restored: 22 entries", "delete pvc shared-data-ums-ldap-server-primary-1\n", "--replicas=0"} {
				if !strings.Contains(r.Stderr, words) {
					t.Errorf("it does not say %q:\n%s", words, r.Stderr)
				}
			}
			info, err := os.Stat(filepath.Join(n.claim, "ldap/data.mdb"))
			if err != nil || info.Sys().(*syscall.Stat_t).Uid != 101 || info.Sys().(*syscall.Stat_t).Gid != 102 {
				t.Errorf("data.mdb is not slapd's: %v %v", info, err)
			}
			// As deployed: slapd takes it, beside its other databases.
			n.args = nil
			n.started(t)
			sameEntries(t, n.tree(t, n.base), before)
			n.modify(t, ldifLine("dn", "uid=müller3,cn=users,"+n.base)+"changetype: modify\nreplace: sn\nsn: Later\n")
			if len(n.tree(t, "cn=internal")) != 1 || len(n.tree(t, "cn=translog")) != 1 {
				t.Error("another database is gone")
			}
			after := ldifEntries(string(i.Dump(t, ldapUnit, options(shell, nil, alone)).OK(t).Stdout))
			if len(after) != len(before) {
				t.Errorf("it has %d entries, not %d", len(after), len(before))
			}
		})
	}
	t.Run("database-known", func(t *testing.T) {
		// The status ConfigMap came back before: nothing is loaded, nothing is in the way.
		n.lose(t)
		n.command, n.args, n.known = nil, []string{"sleep", "infinity"}, true
		n.started(t)
		i.Restore(t, ldapUnit, options("ash", dump, nil)).OK(t)
		sameEntries(t, n.tree(t, n.base), before)
	})
	t.Run("start-script-runs", func(t *testing.T) {
		n.lose(t)
		n.args, n.known = []string{"sleep", "infinity"}, false
		n.gate.Lock()
		n.start(t)
		restore := i.Start(t, ldapUnit, "apply", options("dash", dump, yes))
		harness.WaitFor(t, "the restore waits", 60*time.Second, func() error {
			if said := restore.Said(); !strings.Contains(said, "the start script of "+ldapPod+" still runs") {
				return fmt.Errorf("it said %q", said)
			}
			return nil
		})
		n.gate.Unlock()
		restore.Wait().OK(t)
		if !strings.Contains(n.log.String(), "loading first content") {
			t.Error("the start script loaded nothing")
		}
		sameEntries(t, n.tree(t, n.base), before)
	})
	t.Run("start-script-hangs", func(t *testing.T) {
		n.lose(t)
		n.gate.Lock()
		defer n.gate.Unlock()
		n.start(t)
		o := options("ash", dump, map[string]string{"HOLDFAST_OVERWRITE": "yes", "HOLDFAST_DEADLINE": "4"})
		i.Restore(t, ldapUnit, o).Fails(t, 69, "the start script of "+ldapPod+" did not end within 4 s")
	})
}
