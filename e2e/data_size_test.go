package e2e_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

// folderSize is what the files of a folder hold.
func folderSize(dir string) (size int64) {
	// What is gone again holds nothing.
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			if info, err := entry.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	return size
}

// counter counts what is written to it.
type counter struct{ bytes int64 }

func (c *counter) Write(p []byte) (int, error) { c.bytes += int64(len(p)); return len(p), nil }

// sized runs a container of a unit, and measures the most memory and scratch that it
// held at once, in bytes.
func sized(t testing.TB, i *harness.Instance, unit, container string, o harness.Options) (r harness.Result, memory, scratch int64) {
	t.Helper()
	if o.ScratchDir == "" {
		o.ScratchDir = harness.Folder(t, 0)
		if err := os.Chmod(o.ScratchDir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	p := i.Start(t, unit, container, o)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for p.Running() {
			memory, scratch = max(memory, p.Memory()), max(scratch, folderSize(o.ScratchDir))
			time.Sleep(50 * time.Millisecond)
		}
	}()
	r = p.Wait()
	<-done
	return r, memory, scratch
}

// within fails the test if a container took more memory than is rendered for it.
func within(t testing.TB, what string, took time.Duration, memory, limit, scratch int64) {
	t.Helper()
	t.Logf("%s: %s, at most %d MiB of memory and %d KiB of scratch", what, took, memory>>20, scratch>>10)
	if memory == 0 || memory > limit {
		t.Errorf("%s took %d bytes of memory, the limit is %d", what, memory, limit)
	}
}

// TestDataPostgreSQLSize streams a database that is larger than everything that the
// rendered pod may use, and measures what it uses.
func TestDataPostgreSQLSize(t *testing.T) {
	usual := int64(192)
	if wholeData() {
		usual = 5120
	}
	s := newPostgreSQL(t)
	i, o := s.text(t, pgMegabytes(t, usual))
	printed := &counter{}
	o.Stdout = printed
	r, memory, scratch := sized(t, i, "postgresql/text", "dump", o)
	r.OK(t)
	within(t, fmt.Sprintf("dump of %d MiB", printed.bytes>>20), r.Took, memory, 512<<20, scratch)
	if printed.bytes < usual<<20/2 || scratch > 20<<20 || scratch == 0 {
		t.Errorf("%d bytes took %d bytes of scratch", printed.bytes, scratch)
	}
}

// TestDataOpenLDAPSize is a directory of many people in groups.
func TestDataOpenLDAPSize(t *testing.T) {
	people := 500
	if wholeData() {
		people = 50_000
	}
	var more strings.Builder
	for n := range people {
		fmt.Fprintf(&more, "dn: uid=person%[1]d,ou=People,dc=example,dc=com\nobjectClass: inetOrgPerson\nuid: person%[1]d\ncn: Person Ümläut %[1]d\nsn: Person\n"+
			"mail: person%[1]d@example.com\ndescription:: w6TDtsO8IGFuZCBtb3Jl\nuserPassword: {SSHA}not-a-real-hash-of-%[1]d\n\n", n)
		if n%100 == 99 {
			fmt.Fprintf(&more, "dn: cn=group%d,ou=Groups,dc=example,dc=com\nobjectClass: groupOfNames\ncn: group%d\n", n/100, n/100)
			for m := n - 99; m <= n; m++ {
				fmt.Fprintf(&more, "member: uid=person%d,ou=People,dc=example,dc=com\n", m)
			}
			more.WriteString("\n")
		}
	}
	s := &ldapSet{base: "dc=example,dc=com", files: []string{"test-ordered.ldif"}, more: more.String()}
	d := s.directory(t)
	before := d.entries(t)
	for _, method := range []string{"ldapsearch", "slapcat"} {
		t.Run(method, func(t *testing.T) {
			i := d.instance(t, map[string]any{"method": method, "minEntries": 1})
			o := d.search(t, "ash", nil)
			if method == "slapcat" {
				o = d.pod(t, "ash", false)
			}
			dump, memory, scratch := sized(t, i, ldapUnit, "dump", o)
			dump.OK(t)
			within(t, fmt.Sprintf("dump of %d entries, %d MiB", len(before), len(dump.Stdout)>>20), dump.Took, memory, 256<<20, scratch)
			d.server.Stop()
			back := d.search(t, "ash", map[string]string{"LDAP_DATABASE_DIR": ldapInPod, "HOLDFAST_OVERWRITE": "yes"})
			back.FreeLocks, back.Exec, back.Pod, back.Input = true, d.inside(true), ownCommand, dump.Stdout
			restored, memory, scratch := sized(t, i, ldapUnit, "apply", back)
			restored.OK(t)
			within(t, "restore", restored.Took, memory, 256<<20, scratch)
			sameEntries(t, d.entries(t), before)
			d.serve(t)
		})
	}
}

// TestDataSecretsManager is a store with the secrets of a large installation.
func TestDataSecretsManager(t *testing.T) {
	secrets := 40
	if wholeData() {
		secrets = 500
	}
	m := newManager(t)
	from, to := m.mount(t), m.mount(t)
	for n := range secrets {
		m.put(t, from, fmt.Sprintf("app/%d/%d/secret", n%7, n), map[string]any{"password": fmt.Sprint("of ", n), "certificate": strings.Repeat("MIIB", 500)})
	}
	m.user(t, "reader", "15m", readOnly(from))
	m.user(t, "writer", "15m", writer(to))
	section := map[string]any{"pathPrefix": "app/"}
	dump, memory, scratch := sized(t, m.instance(t, from, "reader", section), vaultUnit, "dump", k8upWith(t, "ash", nil))
	dump.OK(t)
	within(t, fmt.Sprintf("dump of %d secrets, %d KiB", secrets, len(dump.Stdout)>>10), dump.Took, memory, 256<<20, scratch)
	if got := len(secretsOf(t, dump.Stdout)); got != secrets {
		t.Errorf("the copy has %d secrets", got)
	}
	o := k8upWith(t, "ash", nil)
	o.Input = dump.Stdout
	restored, memory, scratch := sized(t, m.instance(t, to, "writer", section), vaultUnit, "apply", o)
	restored.OK(t)
	within(t, "restore", restored.Took, memory, 256<<20, scratch)
	m.compare(t, to, dump.Stdout)
}
