package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

const (
	ldapUnit     = "openldap/directory"
	ldapBase     = "dc=swp-ldap,dc=internal"
	ldapPod      = "ums-ldap-server-primary-0"
	ldapPassword = "ldap admin's $password \"1\""
	// The files of a folder in the pod, of which none is there on this machine.
	ldapInPod = "/srv/ldap"
)

// directory is an slapd of Debian's and what is around it.
type directory struct {
	dir, base, admin string
	port             int
	tls              *harness.CA
	server           *harness.Server
}

// newDirectory configures an slapd for that base, with an empty database. With
// TLS it shows a certificate of that CA.
func newDirectory(t *testing.T, base string, tls *harness.CA, limits ...string) *directory {
	t.Helper()
	d := &directory{dir: harness.Folder(t, 0), base: base, admin: "cn=admin," + base, port: harness.Port(t), tls: tls}
	quoted := func(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }
	config := []string{
		"include /etc/ldap/schema/core.schema",
		"include /etc/ldap/schema/cosine.schema",
		"include /etc/ldap/schema/inetorgperson.schema",
		"modulepath /usr/lib/ldap", "moduleload back_mdb", "moduleload memberof",
	}
	if tls != nil {
		certificate, key := tls.Issue(t, 0)
		config = append(config, "TLSCertificateFile "+certificate, "TLSCertificateKeyFile "+key, "security tls=1")
	}
	config = append(config,
		"database mdb", "maxsize 268435456",
		"suffix "+quoted(base), "rootdn "+quoted(d.admin), "rootpw "+quoted(ldapPassword),
		"directory "+d.dir+"/database", "index objectClass eq", "overlay memberof",
	)
	config = append(config, limits...)
	d.write(t, "slapd.conf", []byte(strings.Join(config, "\n")+"\n"))
	if err := os.Mkdir(filepath.Join(d.dir, "database"), 0o700); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *directory) write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// serve starts slapd.
func (d *directory) serve(t *testing.T) {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", d.port)
	// Its certificate is not for the second one.
	urls := fmt.Sprintf("ldap://%s/ ldap://127.0.0.2:%d/", address, d.port)
	d.server = harness.Serve(t, "slapd", []string{"slapd", "-h", urls, "-f", d.dir + "/slapd.conf", "-d", "0"},
		harness.ServeOptions{Dir: d.dir, Ready: harness.Listening(address)})
}

// tool runs one of OpenLDAP's tools on the database, or returns why it failed.
func (d *directory) tool(t *testing.T, name, stdin string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(harness.Program(t, name), append([]string{"-f", d.dir + "/slapd.conf"}, args...)...)
	cmd.Stdin, cmd.Stderr = strings.NewReader(stdin), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, stderr.String())
	}
	return string(out)
}

// modify sends an LDIF of changes to the running server, as its admin.
func (d *directory) modify(t *testing.T, ldif string) {
	t.Helper()
	d.write(t, "password", []byte(ldapPassword))
	args := []string{"-x", "-H", fmt.Sprintf("ldap://127.0.0.1:%d", d.port), "-D", d.admin, "-y", d.dir + "/password"}
	cmd := exec.Command(harness.Program(t, "ldapmodify"), args...)
	if d.tls != nil {
		cmd.Args = append(cmd.Args, "-ZZ")
		cmd.Env = append(os.Environ(), "LDAPTLS_CACERT="+d.tls.File)
	}
	cmd.Stdin = strings.NewReader(ldif)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ldapmodify: %v\n%s", err, out)
	}
}

// ldifLine is an attribute in LDIF, in whichever of the two forms it must have.
func ldifLine(name, value string) string {
	for i, r := range value {
		if r < ' ' || r > '~' || i == 0 && strings.ContainsRune(" :<", r) {
			return name + ":: " + base64.StdEncoding.EncodeToString([]byte(value)) + "\n"
		}
	}
	return name + ": " + value + "\n"
}

// fill adds people with password hashes, in UTF-8, binary and long values, and
// a group with all of them.
func (d *directory) fill(t *testing.T, people int) {
	t.Helper()
	var ldif strings.Builder
	entry := func(dn string, lines ...string) {
		ldif.WriteString(ldifLine("dn", dn) + "changetype: add\n" + strings.Join(lines, "") + "\n")
	}
	attribute, value, _ := strings.Cut(strings.Split(d.base, ",")[0], "=")
	if attribute == "dc" {
		entry(d.base, "objectClass: dcObject\nobjectClass: organization\no: Größe & Söhne\ndc: "+value+"\n")
	} else {
		entry(d.base, "objectClass: organization\n", ldifLine("o", value))
	}
	entry("cn=users,"+d.base, "objectClass: organizationalRole\ncn: users\n")
	var members strings.Builder
	for n := range people {
		uid := fmt.Sprintf("müller%d", n)
		dn := "uid=" + uid + ",cn=users," + d.base
		members.WriteString(ldifLine("member", dn))
		entry(dn, "objectClass: inetOrgPerson\n", ldifLine("uid", uid), ldifLine("cn", "Jörg \"J\" Müller $(id)"), ldifLine("sn", " leading blank"),
			ldifLine("userPassword", fmt.Sprintf("{SSHA}not-a-real-hash-%d", n)), ldifLine("jpegPhoto", "\x00\x01\xff\xfe"+strings.Repeat("\x80", 300)),
			ldifLine("description", "# no comment"), ldifLine("description", "dn: no entry"), ldifLine("description", "two\n\nlines"))
	}
	entry("cn=everybody,"+d.base, "objectClass: groupOfNames\ncn: everybody\n", members.String())
	d.modify(t, ldif.String())
}

// entries are the database's entries by DN, each with its attributes sorted;
// operational ones are among them.
func (d *directory) entries(t *testing.T) map[string][]string {
	t.Helper()
	return ldifEntries(d.tool(t, "slapcat", "", "-b", d.base, "-o", "ldif-wrap=no"))
}

func ldifEntries(ldif string) map[string][]string {
	entries := map[string][]string{}
	for _, block := range strings.Split(ldif, "\n\n") {
		lines := strings.Split(strings.TrimSpace(block), "\n")
		if strings.HasPrefix(lines[0], "dn:") {
			slices.Sort(lines[1:])
			entries[lines[0]] = lines[1:]
		}
	}
	return entries
}

// searchedEntries is ldifEntries of what ldapsearch said: without what slapd
// makes up for a search and does not store.
func searchedEntries(ldif string) map[string][]string {
	var stored []string
	for _, line := range strings.Split(ldif, "\n") {
		name, _, _ := strings.Cut(line, ":")
		if !slices.Contains([]string{"entryDN", "hasSubordinates", "subschemaSubentry"}, name) {
			stored = append(stored, line)
		}
	}
	return ldifEntries(strings.Join(stored, "\n"))
}

// sameEntries compares entry by entry, with the operational attributes.
func sameEntries(t *testing.T, got, want map[string][]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("there are %d entries, not %d", len(got), len(want))
	}
	for dn, attributes := range want {
		if !slices.Equal(got[dn], attributes) {
			t.Errorf("%s is\n%q\nnot\n%q", dn, got[dn], attributes)
		}
		if !slices.ContainsFunc(attributes, func(a string) bool { return strings.HasPrefix(a, "entryUUID: ") }) {
			t.Errorf("%s has no entryUUID to compare", dn)
		}
	}
}

// state is an instance's with the directory; more are further or other keys of
// its section.
func (d *directory) state(more map[string]any) map[string]any {
	section := map[string]any{
		"baseDn": d.base, "adminDn": d.admin, "host": "127.0.0.1", "port": d.port,
		"statefulSet": "ums-ldap-server-primary", "container": "main", "minEntries": 4, "backup": "required",
		"passwordRef": map[string]any{"kind": "Secret", "name": "ldap-admin", "key": "password"},
	}
	for key, value := range more {
		section[key] = value
	}
	return map[string]any{"ldap": section}
}

// instance renders the directory.
func (d *directory) instance(t *testing.T, more map[string]any) *harness.Instance {
	t.Helper()
	if more["method"] == "ldapsearch" && more["startTls"] == nil {
		more["plainText"] = map[string]any{"reason": "the server has no certificate"}
	}
	return harness.Render(t, harness.Inputs{State: d.state(more)})
}

// search is the image and the Secret for ldapsearch.
func (d *directory) search(t *testing.T, shell string, env map[string]string) harness.Options {
	t.Helper()
	return harness.Options{
		Image:   harness.Image{Shell: shell},
		Secrets: map[string]map[string]string{"ldap-admin": {"password": ldapPassword}},
		Env:     env,
	}
}

// inside runs a program as if in slapd's pod: with slapd's configuration at its
// usual place and the folder of the database at ldapInPod. Processes of its own
// when slapd is held back; else it sees those of this machine, and slapd.
func (d *directory) inside(held bool) func(harness.Exec) int {
	return func(e harness.Exec) int {
		// A folder of slapd's would come before its file.
		enter := `set -e; mount -t tmpfs none /srv; mkdir ` + ldapInPod + `; mount --bind "$1/database" ` + ldapInPod + `
mount -t tmpfs none /etc/ldap/slapd.d; umount -l /etc/ldap/slapd.d; mount -t tmpfs none /mnt; cp -a /etc/ldap/schema /etc/ldap/ldap.conf /mnt/
sed "s#$1/database#` + ldapInPod + `#" "$1/slapd.conf" >/mnt/slapd.conf; mount --move /mnt /etc/ldap 2>/dev/null || mount --bind /mnt /etc/ldap
shift; exec "$@"`
		flags := []string{"--mount", "--propagation", "private"}
		if held {
			flags = append(flags, "--pid", "--fork", "--kill-child", "--mount-proc")
		}
		cmd := exec.Command("unshare", append(append(flags, "sh", "-c", enter, "pod", d.dir), e.Argv...)...)
		cmd.Env = []string{"PATH=" + filepath.Join(d.dir, "bin") + ":/usr/bin:/bin"}
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
}

// cutting forwards connections to an address, and ends each after so many bytes
// of the answer.
func cutting(t *testing.T, to string, limit int64) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer client.Close()
				server, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer server.Close()
				go func() { _, _ = io.Copy(server, client) }()
				_, _ = io.CopyN(client, server, limit)
			}()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

func TestOpenLDAPSearch(t *testing.T) {
	d := newDirectory(t, ldapBase, nil,
		`limits dn.exact="uid=müller1,cn=users,`+ldapBase+`" size=3 size.prtotal=3`,
		`limits dn.exact="uid=müller3,cn=users,`+ldapBase+`" size=unlimited size.prtotal=unlimited`,
		`access to attrs=userPassword by anonymous auth by * none`,
		`access to dn.exact="uid=müller2,cn=users,`+ldapBase+`" by dn.exact="uid=müller3,cn=users,`+ldapBase+`" none by * read`,
		`access to * by * read`)
	d.serve(t)
	d.fill(t, 1500)
	d.modify(t, ldifLine("dn", "uid=müller1,cn=users,"+d.base)+"changetype: modify\nreplace: userPassword\n"+ldifLine("userPassword", "limited-password")+"\n"+
		ldifLine("dn", "uid=müller3,cn=users,"+d.base)+"changetype: modify\nreplace: userPassword\n"+ldifLine("userPassword", "reader-password"))
	i := d.instance(t, map[string]any{"method": "ldapsearch", "minEntries": 1503})

	for _, shell := range []string{"ash", "dash"} {
		t.Run("dump/"+shell, func(t *testing.T) {
			r := i.Dump(t, ldapUnit, d.search(t, shell, nil)).OK(t)
			if !bytes.Contains(r.Stdout, []byte("\n# holdfast: complete, 1503 entries\n\n# holdfast: {")) {
				t.Errorf("the dump ends with %q", r.Stdout[max(0, len(r.Stdout)-100):])
			}
			sameEntries(t, searchedEntries(string(r.Stdout)), d.entries(t))
		})
		t.Run("failure/wrong-password/"+shell, func(t *testing.T) {
			o := d.search(t, shell, nil)
			o.Secrets["ldap-admin"]["password"] = "not the password"
			i.Dump(t, ldapUnit, o).Fails(t, 69, "ldapsearch failed with exit code 49", "Invalid credentials")
		})
	}
	t.Run("restore", testOpenLDAPSearchRestore)
	t.Run("dump/allowed-empty", func(t *testing.T) { harness.NotApplicable(t, ldapNeverEmpty) })
	t.Run("failure/wrong-ca", testOpenLDAPTLS)
	as := func(person, password string, env map[string]string) harness.Options {
		o := d.search(t, "ash", env)
		o.Secrets["ldap-admin"]["password"] = password
		o.Env = map[string]string{"LDAP_ADMIN_DN": "uid=" + person + ",cn=users," + ldapBase}
		return o
	}
	with := func(name, value string) harness.Options { return d.search(t, "ash", map[string]string{name: value}) }
	t.Run("failure/empty-password", func(t *testing.T) {
		// A bind with a DN and no password is an anonymous one, and succeeds.
		o := d.search(t, "ash", nil)
		o.Secrets["ldap-admin"]["password"] = ""
		i.Dump(t, ldapUnit, o).Fails(t, 64, "LDAP_PASSWORD is not set")
	})
	t.Run("failure/no-hashes", func(t *testing.T) {
		i := d.instance(t, map[string]any{"method": "ldapsearch", "minEntries": 1})
		i.Dump(t, ldapUnit, as("müller3", "reader-password", nil)).Fails(t, 65, "no entry has a password hash")
	})
	t.Run("failure/permission-denied", func(t *testing.T) {
		// slapd does not tell which entries it hides: the floor does.
		d := newDirectory(t, ldapBase, nil,
			`access to dn.exact="uid=müller2,cn=users,`+ldapBase+`" by dn.exact="uid=müller3,cn=users,`+ldapBase+`" none by * read`,
			`access to * by dn.exact="uid=müller3,cn=users,`+ldapBase+`" read by anonymous auth`)
		d.serve(t)
		d.fill(t, 5)
		d.modify(t, ldifLine("dn", "uid=müller3,cn=users,"+d.base)+"changetype: modify\nreplace: userPassword\n"+ldifLine("userPassword", "reader-password"))
		i := d.instance(t, map[string]any{"method": "ldapsearch", "minEntries": 8})
		o := as("müller3", "reader-password", nil)
		i.Dump(t, ldapUnit, o).Fails(t, 65, "counts 7, fewer than 8")
	})
	t.Run("failure/size-limit", func(t *testing.T) {
		i.Dump(t, ldapUnit, as("müller1", "limited-password", nil)).Fails(t, 69, "Size limit exceeded")
	})
	t.Run("failure/wrong-base", func(t *testing.T) {
		i.Dump(t, ldapUnit, with("LDAP_BASE_DN", "cn=nobody,"+ldapBase)).Fails(t, 69, "exit code 32", "No such object")
	})
	t.Run("failure/too-few", func(t *testing.T) {
		i.Dump(t, ldapUnit, with("HOLDFAST_MIN_COUNT", "1504")).Fails(t, 65, "counts 1503, fewer than 1504")
	})
	t.Run("failure/empty", func(t *testing.T) {
		d := newDirectory(t, ldapBase, nil)
		d.serve(t)
		// An excuse does not help.
		for _, excuse := range []string{"", "nobody has used it"} {
			o := d.search(t, "ash", map[string]string{"HOLDFAST_ALLOW_EMPTY": excuse})
			d.instance(t, map[string]any{"method": "ldapsearch"}).Dump(t, ldapUnit, o).Fails(t, 69, "No such object")
		}
	})
	t.Run("failure/server-gone-before", func(t *testing.T) {
		i.Dump(t, ldapUnit, with("LDAP_URI", fmt.Sprintf("ldap://127.0.0.1:%d", harness.ClosedPort(t)))).Fails(t, 69, "Can't contact LDAP server")
	})
	t.Run("failure/server-gone-in-the-middle", func(t *testing.T) {
		port := cutting(t, fmt.Sprintf("127.0.0.1:%d", d.port), 200_000)
		i.Dump(t, ldapUnit, with("LDAP_URI", fmt.Sprintf("ldap://127.0.0.1:%d", port))).Fails(t, 69, "ldapsearch failed", "Can't contact LDAP server")
	})
	t.Run("failure/truncated", func(t *testing.T) {
		// An ldapsearch that ends well with an answer that was cut.
		bin := harness.Folder(t, 0)
		script := "#!/bin/sh\n" + harness.Behind + `/ldapsearch "$@" >/holdfast/scratch/whole && head -c 100000 /holdfast/scratch/whole` + "\n"
		if err := os.WriteFile(filepath.Join(bin, "ldapsearch"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		o := d.search(t, "ash", nil)
		o.Image.Bin = []string{bin + "/ldapsearch"}
		i.Dump(t, ldapUnit, o).Fails(t, 65, "the answer is cut")
	})
	t.Run("failure/disk-full", func(t *testing.T) {
		o := d.search(t, "ash", nil)
		o.Scratch = "256Ki"
		i.Dump(t, ldapUnit, o).Fails(t, 73)
	})
	t.Run("failure/slow", func(t *testing.T) {
		d := newDirectory(t, ldapBase, nil)
		d.serve(t)
		d.server.Signal(syscall.SIGSTOP)
		o := d.search(t, "ash", map[string]string{"HOLDFAST_DEADLINE": "3"})
		if r := d.instance(t, map[string]any{"method": "ldapsearch"}).Dump(t, ldapUnit, o).Fails(t, 69, "did not end within 3 s"); r.Took > harness.Patience {
			t.Errorf("it took %s", r.Took)
		}
	})
	t.Run("failure/locked", func(t *testing.T) {
		o := d.search(t, "ash", nil)
		o.Locks = map[string]map[string]string{i.Unit(t, ldapUnit).Lock: {"holder": "somebody", "until": "99999999999"}}
		i.Dump(t, ldapUnit, o).Fails(t, 75, "held by somebody")
	})
	for name, value := range hostileValues {
		t.Run("failure/hostile-names/"+name, func(t *testing.T) {
			for _, variable := range []string{"LDAP_BASE_DN", "LDAP_ADMIN_DN", "LDAP_URI"} {
				r := i.Dump(t, ldapUnit, with(variable, value))
				if r.Code == 0 || len(r.Stdout) > 0 {
					t.Errorf("%s: ended with %d and %d bytes:\n%s", variable, r.Code, len(r.Stdout), r.Stderr)
				}
				if !strings.Contains(r.Stderr, "holdfast: "+ldapUnit+": ") {
					t.Errorf("%s: it said only %q", variable, r.Stderr)
				}
			}
			o := d.search(t, "dash", nil)
			o.Secrets["ldap-admin"]["password"] = value
			i.Dump(t, ldapUnit, o).Fails(t, 69, "Invalid credentials")
		})
	}
	for _, base := range hostileTrees {
		t.Run("failure/hostile-names/"+base, func(t *testing.T) {
			d := newDirectory(t, base, nil)
			d.serve(t)
			d.fill(t, 2)
			i := d.instance(t, map[string]any{"method": "ldapsearch"})
			for _, shell := range []string{"ash", "dash"} {
				r := i.Dump(t, ldapUnit, d.search(t, shell, nil)).OK(t)
				sameEntries(t, searchedEntries(string(r.Stdout)), d.entries(t))
			}
		})
	}
}

// ldapNeverEmpty is why no directory is excused for being empty.
const ldapNeverEmpty = "a directory holds its base entry at least: without entries it is lost, and no state can allow that"

// hostileValues are names that break out of what quotes badly.
var hostileValues = map[string]string{
	"quotes":  `o'b"r`,
	"dollar":  `$(touch /tmp/holdfast-was-here)` + "`id`$HOME",
	"newline": "two\nlines",
	"dash":    "-rf",
	"blanks":  "  a  b ",
}

// hostileTrees are base DNs of the same sort, which slapd takes.
var hostileTrees = []string{`o=it's $(id) & ` + "`id`" + ` *`, "o=-x", "o=Größe"}

// testOpenLDAPSearchRestore brings back what ldapsearch read, with all steps of
// the restore Job: the image is another than slapcat's, the script is the same.
func testOpenLDAPSearchRestore(t *testing.T) {
	outer := t
	s3 := harness.S3(t, "backup")
	d := newDirectory(t, ldapBase, nil)
	d.serve(t)
	d.fill(t, 20)
	i := harness.Render(t, harness.Inputs{State: d.state(map[string]any{"method": "ldapsearch", "plainText": map[string]any{"reason": "on this machine"}}), Credentials: map[string]any{"restic": s3.Restic("backup", "")}})
	before := d.entries(t)
	i.Store(t, ldapUnit, i.Dump(t, ldapUnit, d.search(t, "ash", nil)).OK(t).Stdout)
	for _, shell := range []string{"ash", "dash"} {
		t.Run(shell, func(t *testing.T) {
			d.modify(t, ldifLine("dn", "uid=müller7,cn=users,"+d.base)+"changetype: modify\nreplace: userPassword\nuserPassword: changed\n\n"+
				ldifLine("dn", "uid=müller8,cn=users,"+d.base)+"changetype: delete\n")
			destroyed := d.entries(t)
			o := d.search(t, shell, map[string]string{"LDAP_DATABASE_DIR": ldapInPod})
			o.FreeLocks, o.Exec, o.Pod = true, d.inside(false), ownCommand
			i.Restore(t, ldapUnit, o).Fails(t, 69, "slapd must be stopped")
			d.server.Stop()
			o.Exec = d.inside(true)
			i.Restore(t, ldapUnit, o).Fails(t, 65, "holds a database", "HOLDFAST_OVERWRITE=yes")
			sameEntries(t, d.entries(t), destroyed)
			o.Env["HOLDFAST_OVERWRITE"] = "yes"
			i.Restore(t, ldapUnit, o).OK(t)
			sameEntries(t, d.entries(t), before)
			// slapd takes it.
			d.serve(outer)
			r := i.Dump(t, ldapUnit, d.search(t, shell, nil)).OK(t)
			sameEntries(t, searchedEntries(string(r.Stdout)), before)
		})
	}
}

// testOpenLDAPTLS raises the connection to TLS: only with a server whose
// certificate is for its address and from its CA.
func testOpenLDAPTLS(t *testing.T) {
	ca := harness.NewCA(t)
	d := newDirectory(t, ldapBase, ca)
	d.serve(t)
	d.fill(t, 3)
	i := d.instance(t, map[string]any{
		"method": "ldapsearch", "startTls": true,
		"caRef": map[string]any{"kind": "ConfigMap", "name": "ldap-ca", "key": "ca.pem"},
	})
	options := func(shell string, pem []byte) harness.Options {
		o := d.search(t, shell, nil)
		o.ConfigMaps = map[string]map[string]string{"ldap-ca": {"ca.pem": string(pem)}}
		return o
	}
	for _, shell := range []string{"ash", "dash"} {
		t.Run(shell, func(t *testing.T) {
			i.Dump(t, ldapUnit, options(shell, ca.PEM)).OK(t)
			// libldap says no more than this.
			i.Dump(t, ldapUnit, options(shell, harness.NewCA(t).PEM)).Fails(t, 69, "ldap_start_tls: Connect error")
		})
	}
	t.Run("no-ca", func(t *testing.T) {
		i := d.instance(t, map[string]any{"method": "ldapsearch", "startTls": true})
		i.Dump(t, ldapUnit, d.search(t, "ash", nil)).Fails(t, 69, "there are no certificate authorities in the image docker.io/vegardit/openldap:")
	})
	t.Run("wrong-host", func(t *testing.T) {
		o := options("ash", ca.PEM)
		o.Env = map[string]string{"LDAP_URI": fmt.Sprintf("ldap://127.0.0.2:%d", d.port)}
		i.Dump(t, ldapUnit, o).Fails(t, 69, "ldap_start_tls: Connect error")
	})
	t.Run("without-tls", func(t *testing.T) {
		i := d.instance(t, map[string]any{"method": "ldapsearch"})
		i.Dump(t, ldapUnit, d.search(t, "ash", nil)).Fails(t, 69, "Confidentiality required")
	})
	t.Run("server-without-tls", func(t *testing.T) {
		// All would go well if the password went there in the clear.
		plain := newDirectory(t, ldapBase, nil)
		plain.serve(t)
		plain.fill(t, 3)
		o := options("ash", ca.PEM)
		o.Env = map[string]string{"LDAP_URI": fmt.Sprintf("ldap://127.0.0.1:%d", plain.port)}
		i.Dump(t, ldapUnit, o).Fails(t, 69, "ldap_start_tls")
	})
}

// pod is the image of K8up with a kubectl whose exec runs in the directory's pod.
func (d *directory) pod(t *testing.T, shell string, held bool) harness.Options {
	t.Helper()
	return d.podWith(t, shell, d.inside(held), ownCommand)
}

// ownCommand is a pod whose command starts slapd, as kubectl prints it for
// restore.sh.
const ownCommand = "container\tmain\t[\"slapd\",\"-d\",\"0\"]\t\n"

// podWith is pod with another way to run what is to run there, and another pod,
// as kubectl prints it.
func (d *directory) podWith(t *testing.T, shell string, run func(harness.Exec) int, described string) harness.Options {
	t.Helper()
	kubectl := harness.Kubectl(t, harness.KubectlOptions{FreeLocks: true, Pod: described, Exec: func(e harness.Exec) int {
		if e.Namespace != "app" || e.Pod != ldapPod || e.Container != "main" {
			fmt.Fprintf(e.Stderr, "Error from server (NotFound): pods %q not found\n", e.Pod)
			return 1
		}
		return run(e)
	}})
	return harness.Options{Image: execImage(t, shell, kubectl)}
}

// execImage is K8up's image with another kubectl in its place.
func execImage(t *testing.T, shell, kubectl string) harness.Image {
	t.Helper()
	return harness.Image{Shell: shell, Bin: []string{kubectl}}
}

// replace puts another program in the place of one in the pod.
func (d *directory) replace(t *testing.T, name, script string) {
	t.Helper()
	bin := filepath.Join(d.dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// restore loads a dump in the directory's pod.
func (d *directory) restore(t *testing.T, i *harness.Instance, shell string, held bool, input []byte, env map[string]string) harness.Result {
	t.Helper()
	o := d.pod(t, shell, held)
	o.Input = input
	o.Env = map[string]string{"LDAP_DATABASE_DIR": ldapInPod}
	maps.Copy(o.Env, env)
	return i.Restore(t, ldapUnit, o)
}

// empty stops slapd and deletes its database.
func (d *directory) empty(t *testing.T) {
	t.Helper()
	d.server.Stop()
	for _, name := range []string{"data.mdb", "lock.mdb"} {
		if err := os.Remove(filepath.Join(d.dir, "database", name)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOpenLDAPSlapcat reads and restores through exec. The exec is a stand-in: it
// runs the program on this machine, in namespaces that show what the pod would.
// slapd, slapcat and slapadd are the real ones.
func TestOpenLDAPSlapcat(t *testing.T) {
	d := newDirectory(t, ldapBase, nil)
	d.serve(t)
	d.fill(t, 300)
	i := d.instance(t, map[string]any{"minEntries": 303})
	before := d.entries(t)
	var dump []byte
	for _, shell := range []string{"ash", "dash"} {
		t.Run("dump/"+shell, func(t *testing.T) {
			dump = i.Dump(t, ldapUnit, d.pod(t, shell, false)).OK(t).Stdout
			sameEntries(t, ldifEntries(string(dump)), before)
		})
	}
	if dump == nil {
		t.Fatal("there is no dump to restore")
	}
	restore := func(t *testing.T, shell string, held bool, input []byte, env map[string]string) harness.Result {
		t.Helper()
		return d.restore(t, i, shell, held, input, env)
	}

	t.Run("failure/restore-while-slapd-runs", func(t *testing.T) {
		restore(t, "ash", false, dump, nil).Fails(t, 69, "slapd runs in "+ldapPod, "kubectl -n app scale statefulset ums-ldap-server-primary", heldByCommand, "slapd must be stopped")
		sameEntries(t, d.entries(t), before)
	})
	t.Run("failure/restore-over-a-database", func(t *testing.T) {
		d.server.Stop()
		restore(t, "ash", true, dump, nil).Fails(t, 65, "holds a database", "HOLDFAST_OVERWRITE=yes")
		sameEntries(t, d.entries(t), before)
	})
	t.Run("failure/restore-of-a-cut-dump", func(t *testing.T) {
		d.empty(t)
		restore(t, "ash", true, dump[:len(dump)/2], nil).Fails(t, 65, "the dump is cut")
	})
	t.Run("failure/restore-of-a-bad-dump", func(t *testing.T) {
		bad := bytes.Replace(dump, []byte("objectClass: inetOrgPerson"), []byte("objectClass: noSuchClass"), 1)
		restore(t, "ash", true, bad, nil).Fails(t, 65, "1 items of the copy did not come back", "uid=müller0,cn=users,"+ldapBase+": slapadd: (65) unrecognized objectClass")
		d.empty(t)
		// Without its top nothing of a tree can be loaded.
		bad = bytes.Replace(dump, []byte("objectClass: organization\n"), []byte("objectClass: noSuchClass\n"), 1)
		restore(t, "ash", true, bad, nil).Fails(t, 65, "303 items of the copy did not come back", "there is nothing to load; nothing was changed")
		if entries := d.files(t); len(entries) > 0 {
			t.Errorf("a refused restore left %q", entries)
		}
	})
	t.Run("failure/restore-into-no-folder", func(t *testing.T) {
		restore(t, "ash", true, dump, map[string]string{"LDAP_DATABASE_DIR": "/srv/nowhere"}).Fails(t, 64, "set LDAP_DATABASE_DIR")
	})
	for _, shell := range []string{"ash", "dash"} {
		t.Run("restore/"+shell, func(t *testing.T) {
			if len(d.files(t)) > 0 {
				d.empty(t)
			}
			r := restore(t, shell, true, dump, nil).OK(t)
			if !strings.Contains(r.Stderr, "restored: 303 entries") {
				t.Errorf("it said:\n%s", r.Stderr)
			}
			sameEntries(t, d.entries(t), before)
		})
	}
	t.Run("restore/served", func(t *testing.T) {
		// slapd takes the database, and the passwords' hashes are the old ones.
		d.serve(t)
		d.modify(t, ldifLine("dn", "uid=müller7,cn=users,"+d.base)+"changetype: modify\nreplace: sn\nsn: changed\n\n"+
			ldifLine("dn", "uid=müller8,cn=users,"+d.base)+"changetype: delete\n")
		d.server.Stop()
	})
	t.Run("restore/overwrite", func(t *testing.T) {
		r := restore(t, "ash", true, dump, map[string]string{"HOLDFAST_OVERWRITE": "yes"}).OK(t)
		if !strings.Contains(r.Stderr, "the former database is in "+ldapInPod+"/before-holdfast-") {
			t.Errorf("it said:\n%s", r.Stderr)
		}
		sameEntries(t, d.entries(t), before)
	})

	t.Run("failure/restore-breaks-off", func(t *testing.T) {
		// It gets as far as the load: the former database comes back.
		d.replace(t, "slapadd", `case "$*" in *-u*) ;; *) rm -f data.mdb; echo half >data.mdb; echo "slapadd: no more room" >&2; exit 1 ;; esac; exec /usr/sbin/slapadd "$@"`)
		files := d.files(t)
		restore(t, "ash", true, dump, map[string]string{"HOLDFAST_OVERWRITE": "yes"}).Fails(t, 69, "no more room", "the former database is back")
		if got := d.files(t); !slices.Equal(got, files) {
			t.Errorf("the folder holds %q, not %q", got, files)
		}
		sameEntries(t, d.entries(t), before)
		d.replace(t, "slapadd", `exec /usr/sbin/slapadd "$@"`)
	})
	t.Run("restore/of-several-primaries", func(t *testing.T) {
		// Where the pod does not tell the claim, the operator must know it.
		r := restore(t, "ash", true, dump, map[string]string{"HOLDFAST_OVERWRITE": "yes", "LDAP_PRIMARIES": "3"}).OK(t)
		for _, words := range []string{"every other primary", "the volume of ums-ldap-server-primary-1 that holds", "the volume of ums-ldap-server-primary-2 that holds"} {
			if !strings.Contains(r.Stderr, words) {
				t.Errorf("it does not say %q:\n%s", words, r.Stderr)
			}
		}
		if r := restore(t, "ash", true, dump, map[string]string{"HOLDFAST_OVERWRITE": "yes"}).OK(t); strings.Contains(r.Stderr, "other primary") {
			t.Errorf("it speaks of another primary:\n%s", r.Stderr)
		}
	})
	t.Run("restore/nubus", testNubus)
	t.Run("dump/slapd-stopped", func(t *testing.T) { i.Dump(t, ldapUnit, d.pod(t, "ash", true)).OK(t) })
	with := func(name, value string) harness.Options {
		o := d.pod(t, "ash", true)
		o.Env = map[string]string{name: value}
		return o
	}
	t.Run("failure/wrong-base", func(t *testing.T) {
		i.Dump(t, ldapUnit, with("LDAP_BASE_DN", "dc=elsewhere")).Fails(t, 69, "slapcat in "+ldapPod)
		i.Dump(t, ldapUnit, with("LDAP_BASE_DN", "cn=nobody,"+ldapBase)).Fails(t, 65, "the entry cn=nobody,"+ldapBase+" is missing")
	})
	t.Run("failure/too-few", func(t *testing.T) {
		i.Dump(t, ldapUnit, with("HOLDFAST_MIN_COUNT", "304")).Fails(t, 65, "counts 303, fewer than 304")
	})
	t.Run("failure/no-configuration", func(t *testing.T) {
		i.Dump(t, ldapUnit, with("LDAP_CONFIG", "/srv/nowhere")).Fails(t, 69, "slapcat in "+ldapPod)
	})
	t.Run("failure/wrong-pod", func(t *testing.T) {
		i.Dump(t, ldapUnit, with("LDAP_POD", "ums-ldap-server-primary-7")).Fails(t, 69, "not found")
	})
	t.Run("failure/server-gone-in-the-middle", func(t *testing.T) {
		d.replace(t, "slapcat", `/usr/sbin/slapcat "$@" | head -c 50000; kill -KILL $$`)
		i.Dump(t, ldapUnit, d.pod(t, "ash", true)).Fails(t, 69, "slapcat in "+ldapPod, "137")
	})
	t.Run("failure/truncated", func(t *testing.T) {
		// A stream that breaks, while kubectl ends well.
		whole := d.inside(true)
		d.replace(t, "slapcat", `exec /usr/sbin/slapcat "$@"`)
		o := d.podWith(t, "ash", func(e harness.Exec) int {
			var all bytes.Buffer
			to := e.Stdout
			e.Stdout = &all
			code := whole(e)
			_, _ = to.Write(all.Bytes()[:bytes.LastIndex(all.Bytes(), []byte("\ndn: "))])
			return code
		}, ownCommand)
		o.Env = map[string]string{"HOLDFAST_MIN_COUNT": "1"}
		i.Dump(t, ldapUnit, o).Fails(t, 65, "the answer is cut")
	})
	t.Run("failure/slow", func(t *testing.T) {
		d.replace(t, "slapcat", "sleep 6")
		o := with("HOLDFAST_DEADLINE", "2")
		if r := i.Dump(t, ldapUnit, o).Fails(t, 69, "did not end within 2 s"); r.Took > harness.Patience {
			t.Errorf("it took %s", r.Took)
		}
		d.replace(t, "slapcat", `exec /usr/sbin/slapcat "$@"`)
	})
	t.Run("failure/disk-full", func(t *testing.T) {
		o := d.pod(t, "ash", true)
		o.Scratch = "64Ki"
		i.Dump(t, ldapUnit, o).Fails(t, 73)
	})
	t.Run("failure/empty", func(t *testing.T) {
		empty := newDirectory(t, ldapBase, nil)
		empty.serve(t)
		// An excuse does not help.
		for _, excuse := range []string{"", "nobody has used it"} {
			o := empty.pod(t, "ash", false)
			o.Env = map[string]string{"HOLDFAST_ALLOW_EMPTY": excuse}
			i.Dump(t, ldapUnit, o).Fails(t, 65, "the entry "+ldapBase+" is missing")
		}
	})
	t.Run("dump/allowed-empty", func(t *testing.T) { harness.NotApplicable(t, ldapNeverEmpty) })
	t.Run("failure/locked", func(t *testing.T) {
		for _, shell := range []string{"ash", "dash"} {
			for _, lock := range []string{i.Unit(t, ldapUnit).Lock, i.Plan.InstanceLock} {
				o := d.podWith(t, shell, func(harness.Exec) int {
					t.Error("a dump that is locked out went into the pod")
					return 1
				}, ownCommand)
				o.Locks = map[string]map[string]string{lock: {"holder": "somebody", "until": "99999999999"}}
				i.Dump(t, ldapUnit, o).Fails(t, 75, "held by somebody")
			}
		}
	})
	for name, value := range hostileValues {
		t.Run("failure/hostile-names/"+name, func(t *testing.T) {
			for _, variable := range []string{"LDAP_BASE_DN", "LDAP_POD", "LDAP_CONTAINER", "LDAP_CONFIG"} {
				r := i.Dump(t, ldapUnit, with(variable, value))
				if r.Code == 0 || len(r.Stdout) > 0 || !strings.Contains(r.Stderr, "holdfast: "+ldapUnit+": ") {
					t.Errorf("%s: ended with %d and %d bytes:\n%s", variable, r.Code, len(r.Stdout), r.Stderr)
				}
			}
		})
	}
	for _, base := range hostileTrees {
		t.Run("failure/hostile-names/"+base, func(t *testing.T) {
			d := newDirectory(t, base, nil)
			d.serve(t)
			d.fill(t, 2)
			i := d.instance(t, nil)
			before := d.entries(t)
			for _, shell := range []string{"ash", "dash"} {
				dump := i.Dump(t, ldapUnit, d.pod(t, shell, true)).OK(t).Stdout
				sameEntries(t, ldifEntries(string(dump)), before)
				d.empty(t)
				d.restore(t, i, shell, true, dump, nil).OK(t)
				sameEntries(t, d.entries(t), before)
			}
		})
	}
	testOpenLDAPPrimaries(t)
}

// primaries are two directories in the pods of one StatefulSet, as the real API
// server knows them, and a dump that has the rights that the tree gives. What
// runs in a pod runs on this machine; whether it may, the API server decides.
type primaries struct {
	*world
	pods [2]*directory
	mu   sync.Mutex
	// entered lists the pods that something was run in since the last options.
	entered []string
}

const (
	ldapLease = "ldap-primary-leader"
	// A primary's pod but for its number.
	ldapPrimary = "ums-ldap-server-primary-"
)

func newPrimaries(t *testing.T) *primaries {
	t.Helper()
	suffix := strconv.FormatInt(time.Now().UnixNano(), 36)
	p := &primaries{world: &world{cluster: harness.Cluster(t), namespace: "ldap-" + suffix}}
	for n := range p.pods {
		p.pods[n] = newDirectory(t, ldapBase, nil)
		p.pods[n].serve(t)
		// Each with a tree of its own, for a test to see which was read.
		p.pods[n].fill(t, 3+n)
	}
	state := p.pods[0].state(map[string]any{"replicasPrimary": len(p.pods), "leaderLease": ldapLease})
	state["instanceId"], state["namespace"] = "l"+suffix, p.namespace
	p.instance = harness.Render(t, harness.Inputs{State: state})
	p.cluster.Install(t, p.instance)
	t.Cleanup(func() { p.cluster.Kubectl(t, "delete", "namespace", p.namespace, "--wait=false") })
	// No pod is taken before there is an account for it.
	harness.WaitFor(t, "the default ServiceAccount", 30*time.Second, func() error {
		_, err := p.cluster.TryKubectl("get", "serviceaccount", "default", "--namespace="+p.namespace)
		return err
	})
	for n := range p.pods {
		p.start(t, n)
	}
	return p
}

// start makes a primary's pod.
func (p *primaries) start(t *testing.T, n int) {
	t.Helper()
	p.apply(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s%d"},"spec":{
		"containers":[{"name":"leader-elector","image":"leader-elector:1","command":["other"]},
			{"name":"main","image":"ldap-server:1","volumeMounts":[{"name":"etc","mountPath":"/etc/ldap"},{"name":"data","mountPath":"/srv"}]}],
		"volumes":[{"name":"etc","emptyDir":{}},{"name":"data","persistentVolumeClaim":{"claimName":"shared-data-%[1]s%[2]d"}}]}}`, ldapPrimary, n))
}

// lead makes the Lease name this holder; "" is nobody. It was renewed so long
// ago, and lives for that long; 0 leaves out how long.
func (p *primaries) lead(t *testing.T, holder string, ago, life time.Duration) {
	t.Helper()
	spec := map[string]any{"renewTime": time.Now().Add(-ago).UTC().Format("2006-01-02T15:04:05.000000Z07:00")}
	if holder != "" {
		spec["holderIdentity"] = holder
	}
	if life > 0 {
		spec["leaseDurationSeconds"] = int(life.Seconds())
	}
	p.lease(t, spec)
}

// lease makes the Lease with this spec.
func (p *primaries) lease(t *testing.T, spec map[string]any) {
	t.Helper()
	p.cluster.Apply(t, map[string]any{
		"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
		"metadata": map[string]any{"name": ldapLease, "namespace": p.namespace}, "spec": spec,
	})
}

// exec runs a program in the place of a primary.
func (p *primaries) exec(e harness.Exec) int {
	p.mu.Lock()
	p.entered = append(p.entered, e.Pod)
	p.mu.Unlock()
	for n, d := range p.pods {
		if e.Pod == ldapPrimary+strconv.Itoa(n) && e.Namespace == p.namespace && e.Container == "main" {
			return d.inside(true)(e)
		}
	}
	fmt.Fprintf(e.Stderr, "there is no %s/%s/%s\n", e.Namespace, e.Pod, e.Container)
	return 1
}

// options are K8up's image with the rights of the unit's own account.
func (p *primaries) options(shell string) harness.Options {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.entered = nil
	return harness.Options{Image: harness.Image{Shell: shell}, Cluster: p.cluster, Exec: p.exec, Env: map[string]string{}}
}

// reads fails the test unless the dump holds that primary's tree, and went into
// no other pod.
func (p *primaries) reads(t *testing.T, r harness.Result, n int) {
	t.Helper()
	r.OK(t)
	p.went(t, ldapPrimary+strconv.Itoa(n))
	sameEntries(t, ldifEntries(string(r.Stdout)), p.pods[n].entries(t))
}

// went fails the test unless something was run in these pods and no others.
func (p *primaries) went(t *testing.T, into ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.entered, into) {
		t.Errorf("it went into %q, not into %q", p.entered, into)
	}
}

// fails fails the test unless the dump did, before it went into any pod.
func (p *primaries) fails(t *testing.T, o harness.Options, code int, words ...string) harness.Result {
	t.Helper()
	r := p.instance.Dump(t, ldapUnit, o).Fails(t, code, words...)
	p.went(t)
	return r
}

// config is a kubeconfig of the dump's account, but for what change does to the
// cluster and the user in it.
func (p *primaries) config(t *testing.T, change func(cluster, user map[string]any)) string {
	t.Helper()
	data, err := os.ReadFile(p.account(t, ldapUnit, false))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Clusters []struct {
			Name    string         `json:"name"`
			Cluster map[string]any `json:"cluster"`
		} `json:"clusters"`
		Users []struct {
			Name string         `json:"name"`
			User map[string]any `json:"user"`
		} `json:"users"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	change(config.Clusters[0].Cluster, config.Users[0].User)
	if data, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(harness.Folder(t, 0), "kubeconfig")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// testOpenLDAPPrimaries reads the one of two primaries that a Lease names.
func testOpenLDAPPrimaries(t *testing.T) {
	p := newPrimaries(t)
	both := func(t *testing.T, f func(t *testing.T, o harness.Options)) {
		for _, shell := range []string{"ash", "dash"} {
			f(t, p.options(shell))
		}
	}
	t.Run("dump/of-the-leader", func(t *testing.T) {
		for n := range p.pods {
			// Some electors add a mark of their own.
			for _, mark := range []string{"", "_b3c1a2de-0d8e-4d5a-8f6c-0123456789ab"} {
				p.lead(t, ldapPrimary+strconv.Itoa(n)+mark, 0, time.Hour)
				both(t, func(t *testing.T, o harness.Options) { p.reads(t, p.instance.Dump(t, ldapUnit, o), n) })
			}
		}
	})
	t.Run("dump/of-a-new-leader", func(t *testing.T) {
		// A lease that has expired may be renewed, by a clock that is slow, or taken.
		for n, shell := range []string{"ash", "dash"} {
			p.lead(t, ldapPrimary+"0", time.Minute, 12*time.Second)
			dump := p.instance.Start(t, ldapUnit, "dump", p.options(shell))
			harness.WaitFor(t, "the lease is watched", 20*time.Second, func() error {
				if said := dump.Said(); !strings.Contains(said, "has expired; watching it for 12 s") {
					return fmt.Errorf("it said %q", said)
				}
				return nil
			})
			p.lead(t, ldapPrimary+strconv.Itoa(n), time.Minute/2, 12*time.Second)
			p.reads(t, dump.Wait(), n)
		}
	})
	t.Run("failure/lease-expired", func(t *testing.T) {
		p.lead(t, ldapPrimary+"1", time.Hour, time.Second)
		both(t, func(t *testing.T, o harness.Options) {
			p.fails(t, o, 69, "the lease "+ldapLease+" has expired: "+ldapPrimary+"1 does not renew it")
		})
		// Nobody knows until when it is held.
		p.lead(t, ldapPrimary+"1", 0, 0)
		p.fails(t, p.options("ash"), 69, "has expired")
		p.lease(t, map[string]any{"holderIdentity": ldapPrimary + "1", "leaseDurationSeconds": 1})
		p.fails(t, p.options("dash"), 69, "has expired")
	})
	t.Run("failure/lease-empty", func(t *testing.T) {
		p.lead(t, "", 0, time.Hour)
		both(t, func(t *testing.T, o harness.Options) {
			p.fails(t, o, 69, "the lease "+ldapLease+` is held by "", which is no pod of ums-ldap-server-primary`)
		})
		p.lease(t, map[string]any{})
		p.fails(t, p.options("ash"), 69, "has expired")
	})
	t.Run("failure/lease-missing", func(t *testing.T) {
		p.cluster.Kubectl(t, "delete", "lease", ldapLease, "--namespace="+p.namespace)
		both(t, func(t *testing.T, o harness.Options) {
			p.fails(t, o, 70, "reading the lease failed", "NotFound", ldapLease)
		})
	})
	t.Run("failure/lease-of-another", func(t *testing.T) {
		for _, holder := range []string{
			"ums-ldap-server-secondary-0", "ums-ldap-server-primary", ldapPrimary, ldapPrimary + "0x", ldapPrimary + "100", ldapPrimary + "1-0",
			"x" + ldapPrimary + "0", ldapPrimary + "1\nsecond line", ldapPrimary + "$(id)", "_", " " + ldapPrimary + "1",
		} {
			p.lead(t, holder, 0, time.Hour)
			p.fails(t, p.options("dash"), 69, "which is no pod of ums-ldap-server-primary")
		}
		// One that the state does not know, though it is there.
		p.start(t, 2)
		p.lead(t, ldapPrimary+"2", 0, time.Hour)
		both(t, func(t *testing.T, o harness.Options) {
			p.fails(t, o, 69, "slapcat in "+ldapPrimary+"2 failed", "orbidden")
		})
	})
	t.Run("failure/lease-forbidden", func(t *testing.T) {
		p.lead(t, ldapPrimary+"0", 0, time.Hour)
		p.without(t, p.role(t, "Role", ldapUnit, false), grant{"coordination.k8s.io", "leases", "get"}, func() {
			both(t, func(t *testing.T, o harness.Options) {
				p.fails(t, o, 70, "reading the lease failed", "orbidden", ldapLease)
			})
		})
		// The right is for this one alone.
		o := p.options("ash")
		o.Env["LDAP_LEASE"] = "another"
		p.fails(t, o, 70, "reading the lease failed", "orbidden", "another")
	})
	for name, value := range hostileValues {
		t.Run("failure/hostile-names/lease/"+name, func(t *testing.T) {
			o := p.options("ash")
			o.Env["LDAP_LEASE"] = value
			p.fails(t, o, 70, "reading the lease failed")
		})
	}
	t.Run("failure/server-gone-before", func(t *testing.T) {
		config := p.account(t, ldapUnit, false)
		// The leader's pod, which still has the lease; the other is not taken for it.
		p.lead(t, ldapPrimary+"1", 0, time.Hour)
		p.cluster.Kubectl(t, "delete", "pod", ldapPrimary+"1", "--namespace="+p.namespace, "--grace-period=0", "--force")
		both(t, func(t *testing.T, o harness.Options) {
			p.fails(t, o, 69, "slapcat in "+ldapPrimary+"1 failed", "NotFound")
		})
		p.start(t, 1)
		// The API server: without it there is no way to the pod.
		api, through := newGate(t, config)
		api.close()
		both(t, func(t *testing.T, o harness.Options) {
			o.Kubeconfig = through
			p.fails(t, o, 70, "reading the lease failed", "refused")
			o.Env["LDAP_LEASE"] = ""
			p.fails(t, o, 69, "slapcat in "+ldapPrimary+"0 failed", "refused")
		})
	})
	// slapcat asks for no password; what may go wrong instead is the pod's token,
	// and the CA by which it knows the API server. kubectl says so, of both ways.
	refused := func(t *testing.T, word string, change func(cluster, user map[string]any)) {
		p.lead(t, ldapPrimary+"1", 0, time.Hour)
		config := p.config(t, change)
		both(t, func(t *testing.T, o harness.Options) {
			o.Kubeconfig = config
			p.fails(t, o, 70, "reading the lease failed", word)
			o.Env["LDAP_LEASE"] = ""
			p.fails(t, o, 69, "slapcat in "+ldapPrimary+"0 failed", word)
		})
	}
	t.Run("failure/wrong-password", func(t *testing.T) {
		refused(t, "You must be logged in", func(_, user map[string]any) {
			// What is after the last dot is the signature.
			token := user["token"].(string)
			user["token"] = token[:strings.LastIndex(token, ".")+1] + "AAAA"
		})
	})
	t.Run("failure/wrong-ca", func(t *testing.T) {
		refused(t, "certificate", func(cluster, _ map[string]any) {
			cluster["certificate-authority-data"] = harness.NewCA(t).PEM
		})
	})
	t.Run("failure/slow/api", func(t *testing.T) {
		api, through := newGate(t, p.account(t, ldapUnit, false))
		api.shut.Store(true)
		o := p.options("ash")
		o.Kubeconfig, o.Env["HOLDFAST_DEADLINE"] = through, "2"
		p.fails(t, o, 70, "reading the lease did not end within 2 s")
	})
	t.Run("failure/permission-denied", func(t *testing.T) {
		p.lead(t, ldapPrimary+"1", 0, time.Hour)
		role := p.role(t, "Role", ldapUnit, false)
		p.without(t, role, grant{"", "pods/exec", "create"}, func() {
			both(t, func(t *testing.T, o harness.Options) {
				p.fails(t, o, 69, "slapcat in "+ldapPrimary+"1 failed", "can-i create")
			})
		})
		p.without(t, role, grant{"", "pods", "get"}, func() {
			both(t, func(t *testing.T, o harness.Options) {
				p.fails(t, o, 69, "slapcat in "+ldapPrimary+"1 failed", "orbidden")
			})
		})
		// An exec that comes as a user to whom the database does not belong.
		p.pods[1].replace(t, "slapcat", `exec setpriv --reuid=65534 --regid=65534 --clear-groups /usr/sbin/slapcat "$@"`)
		both(t, func(t *testing.T, o harness.Options) {
			p.instance.Dump(t, ldapUnit, o).Fails(t, 69, "slapcat in "+ldapPrimary+"1 failed", "Permission denied")
		})
		p.pods[1].replace(t, "slapcat", `exec /usr/sbin/slapcat "$@"`)
		both(t, func(t *testing.T, o harness.Options) { p.reads(t, p.instance.Dump(t, ldapUnit, o), 1) })
	})
	t.Run("restore/prints-what-holds-the-pod", func(t *testing.T) {
		// The image's own start: what it starts is held back, and nothing else.
		p.apply(t, `{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"ums-ldap-server-primary"},"spec":{"replicas":0,"serviceName":"x",
			"selector":{"matchLabels":{"a":"held"}},"template":{"metadata":{"labels":{"a":"held"}},"spec":{"containers":[{"name":"other","image":"other:1"},
			{"name":"main","image":"ldap-server:1","command":["/wrong"],"livenessProbe":{"tcpSocket":{"port":389}}}]}}}}`)
		o := p.options("ash")
		o.Exec, o.Input = p.pods[0].inside(false), []byte("# holdfast: complete, 0 entries\n")
		said := p.instance.Restore(t, ldapUnit, o).Fails(t, 69, "slapd must be stopped", heldByArgs).Stderr
		_, patch, _ := strings.Cut(said, "patch statefulset ums-ldap-server-primary -p '")
		patch, _, _ = strings.Cut(patch, "'")
		p.cluster.Kubectl(t, "patch", "statefulset", "ums-ldap-server-primary", "--namespace="+p.namespace, "-p", patch)
		got := p.cluster.Kubectl(t, "get", "statefulset", "ums-ldap-server-primary", "--namespace="+p.namespace, "--output=jsonpath={.spec.template.spec.containers}")
		var containers []map[string]any
		if err := json.Unmarshal([]byte(got), &containers); err != nil {
			t.Fatal(err)
		}
		for _, c := range containers {
			held := fmt.Sprint(c["args"]) == "[sleep infinity]" && c["command"] == nil && c["livenessProbe"] == nil
			if held != (c["name"] == "main") || c["image"] == nil {
				t.Errorf("the patch made %v", c)
			}
		}
	})
	t.Run("restore/of-the-leader", func(t *testing.T) {
		// Into the first primary, whoever leads: the others start from it. By the
		// account, and under the locks, that the tree gives.
		p.lead(t, ldapPrimary+"1", 0, time.Hour)
		before := p.pods[1].entries(t)
		dump := p.instance.Dump(t, ldapUnit, p.options("ash")).OK(t).Stdout
		p.pods[0].server.Stop()
		both(t, func(t *testing.T, o harness.Options) {
			o.Input = dump
			o.Env["LDAP_DATABASE_DIR"], o.Env["HOLDFAST_OVERWRITE"] = ldapInPod, "yes"
			r := p.instance.Restore(t, ldapUnit, o).OK(t)
			if words := "kubectl -n " + p.namespace + " delete pvc shared-data-" + ldapPrimary + "1\n"; !strings.Contains(r.Stderr, words) {
				t.Errorf("it does not say %q:\n%s", words, r.Stderr)
			}
			p.went(t, ldapPrimary+"0", ldapPrimary+"0")
			sameEntries(t, p.pods[0].entries(t), before)
		})
	})
}

// files lists what is in the database's folder.
func (d *directory) files(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(d.dir, "database"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
