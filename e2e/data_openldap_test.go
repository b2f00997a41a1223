package e2e_test

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

// openldapData is the folder of OpenLDAP's own test data, which the set-up fetches
// from Debian's source of the installed slapd.
func openldapData(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../.cache/e2e/data/openldap/tests/data")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// ldapSet is a tree: files of OpenLDAP's test data, and what is in none of them.
type ldapSet struct {
	name, base string
	files      []string
	config     []string
	more       string
	// changes are made once the server runs; losses are accepted.
	changes, losses string
	// without matches entries that slapd refuses, as the suite expects.
	without *regexp.Regexp
	// search only; whole only.
	search, whole bool
}

// The suite's own schema, and overlays as its configurations have them.
var ldapSets = []ldapSet{
	{name: "referrals", base: "c=us", files: []string{"referrals.ldif"}},
	{name: "below-a-referral", base: "c=us", files: []string{"referrals.ldif"}, more: `dn: cn=below,o=ABC,c=us
objectClass: person
cn: below
sn: one

dn: ou=folder,o=ABC,c=us
objectClass: organizationalUnit
ou: folder

dn: cn=further below,ou=folder,o=ABC,c=us
objectClass: person
cn: further below
sn: two

`},
	{name: "ordered", base: "dc=example,dc=com", files: []string{"test-ordered.ldif"}},
	{name: "unordered", base: "ou=test,dc=example,dc=com", files: []string{"test-unordered.ldif"}, whole: true},
	{name: "ppolicy", base: "dc=example,dc=com", files: []string{"ppolicy.ldif"}, config: []string{
		"moduleload ppolicy", "overlay ppolicy", `ppolicy_default "cn=Standard Policy,ou=Policies,dc=example,dc=com"`,
	}, changes: "dn: uid=nd,ou=People,dc=example,dc=com\nchangetype: modify\nreplace: userPassword\nuserPassword: otherone\n"},
	// Policies as many have them: subentries, which no search shows with others.
	{name: "subentries", base: "dc=example,dc=com", files: []string{"test-ordered.ldif"}, config: []string{"moduleload ppolicy", "overlay ppolicy"},
		more: `dn: cn=policy,ou=People,dc=example,dc=com
objectClass: subentry
objectClass: pwdPolicy
cn: policy
subtreeSpecification: {}
pwdAttribute: userPassword

`},
	{name: "dynlist", base: "dc=example,dc=com", files: []string{"test-ordered.ldif"}, config: []string{
		"include /etc/ldap/schema/dyngroup.schema", "moduleload dynlist", "overlay dynlist",
		"dynlist-attrset groupOfURLs memberURL member+memberOf@groupOfNames",
	}, more: `dn: cn=dynamic,dc=example,dc=com
objectClass: groupOfURLs
cn: dynamic
memberURL: ldap:///ou=People,dc=example,dc=com??sub?(objectClass=person)

`},
	{name: "lang", base: "dc=example,dc=com", files: []string{"test-lang.ldif"}},
	{name: "dn", base: "dc=example,dc=com", files: []string{"test-dn.ldif"}, without: regexp.MustCompile("dn: cn=(Must Fail|Should|May Succeed)")},
	{name: "valsort", base: "o=valsort", files: []string{"test-valsort.ldif"}, config: []string{
		"moduleload valsort", "overlay valsort", "valsort-attr ou ou=users,o=valsort weighted",
		"valsort-attr employeeType ou=users,o=valsort weighted alpha-ascend",
	}},
	{name: "collect", base: "dc=example,dc=com", files: []string{"test-ordered.ldif"}, losses: "computed telephonenumber", search: true, config: []string{
		"moduleload collect", "overlay collect", `collectinfo "ou=Groups,dc=example,dc=com" telephoneNumber`,
	}, changes: "dn: ou=Groups,dc=example,dc=com\nchangetype: modify\nadd: telephoneNumber\ntelephoneNumber: +49 1\n"},
	{name: "dynamic-entries", base: "dc=example,dc=com", files: []string{"test-ordered.ldif"}, config: []string{"moduleload dds", "overlay dds", "dds-default-ttl 1d"},
		changes: "dn: cn=for a day,dc=example,dc=com\nchangetype: add\nobjectClass: person\nobjectClass: dynamicObject\nsn: x\ncn: for a day\n"},
	{name: "refint", base: "o=refint", files: []string{"test-refint.ldif"}, whole: true},
	{name: "unique", base: "o=unique", files: []string{"test-unique.ldif"}, whole: true},
	{name: "limits", base: "dc=example,dc=com", files: []string{"test-limits.ldif"}, whole: true},
	{name: "whoami", base: "dc=example,dc=com", files: []string{"test-whoami.ldif"}, whole: true},
	{name: "compmatch", base: "dc=example,dc=com", files: []string{"test-compmatch.ldif"}, whole: true},
	{name: "glued", base: "dc=example,dc=com", files: []string{"test-glued.ldif"}, whole: true},
}

// ldapOdd is what OpenLDAP's files lack: values with options, names that need
// escapes and encoding, of several values, and a very long value.
func ldapOdd(base string) string {
	return strings.Join([]string{
		"dn: cn=holdfast," + base + "\nobjectClass: inetOrgPerson\ncn: holdfast\nsn: x\nuserPassword: {SSHA}not-a-real-hash\n" +
			"description;lang-de: auf deutsch\ndescription;lang-en: in English\nuserCertificate;binary:: MIIB\n" +
			ldifLine("description", strings.Repeat("a very long value ", 20_000)),
		ldifLine("dn", `cn=Söhne\2C GmbH+sn=a\+b \22q\22,`+base) + "objectClass: person\n" + ldifLine("cn", "Söhne, GmbH") + "sn: a+b \"q\"\n",
		ldifLine("dn", `ou=\20blanks\20,cn=Söhne\2C GmbH+sn=a\+b \22q\22,`+base) + "objectClass: organizationalUnit\n" + ldifLine("ou", " blanks "),
	}, "\n") + "\n"
}

func (s *ldapSet) directory(t *testing.T) *directory {
	t.Helper()
	data := openldapData(t)
	d := newDirectory(t, s.base, nil, slices.Concat([]string{
		"include /etc/ldap/schema/openldap.schema", "include /etc/ldap/schema/nis.schema", "include " + data + "/test.schema",
	}, s.config)...)
	var ldif strings.Builder
	for _, name := range s.files {
		text, err := os.ReadFile(filepath.Join(data, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range strings.Split(string(text), "\n\n") {
			if s.without == nil || !s.without.MatchString(entry) {
				ldif.WriteString(entry + "\n\n")
			}
		}
	}
	d.tool(t, "slapadd", ldif.String()+s.more+ldapOdd(s.base), "-q", "-b", s.base)
	d.serve(t)
	if s.changes != "" {
		d.modify(t, s.changes)
	}
	return d
}

// TestDataOpenLDAP takes OpenLDAP's own test data through both ways of reading, and
// compares what comes back with what slapcat says of the source.
func TestDataOpenLDAP(t *testing.T) {
	whole := wholeData()
	for _, s := range ldapSets {
		if s.whole && !whole {
			continue
		}
		for _, method := range []string{"ldapsearch", "slapcat"} {
			if s.search && method == "slapcat" {
				continue
			}
			shells := []string{"ash", "dash"}
			if !whole {
				shells = shells[len(s.name)%2:][:1]
			}
			for _, shell := range shells {
				t.Run(s.name+"/"+method+"/"+shell, func(t *testing.T) { s.run(t, method, shell) })
			}
		}
	}
}

func (s *ldapSet) run(t *testing.T, method, shell string) {
	d := s.directory(t)
	i := d.instance(t, map[string]any{"method": method, "minEntries": 1})
	before := d.entries(t)
	env := map[string]string{"HOLDFAST_LOSSES": s.losses}
	o := d.search(t, shell, env)
	if method == "slapcat" {
		o = d.pod(t, shell, false)
		o.Env = env
	}
	dump := i.Dump(t, ldapUnit, o).OK(t).Stdout
	sameEntries(t, withoutTTL(ldifEntries(string(dump))), withoutTTL(before))
	d.server.Stop()
	back := d.search(t, shell, map[string]string{"LDAP_DATABASE_DIR": ldapInPod, "HOLDFAST_OVERWRITE": "yes"})
	back.FreeLocks, back.Exec, back.Pod, back.Input = true, d.inside(true), ownCommand, dump
	i.Restore(t, ldapUnit, back).OK(t)
	sameEntries(t, withoutTTL(d.entries(t)), withoutTTL(before))
}

// withoutTTL leaves out how long dynamic entries have still to live: the server
// counts down what it says, and when they end is an attribute of its own.
func withoutTTL(entries map[string][]string) map[string][]string {
	less := map[string][]string{}
	for dn, lines := range entries {
		less[dn] = slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return strings.HasPrefix(line, "entryTtl: ") })
	}
	return less
}

// TestLossesOpenLDAP is what a dump names that would not come back, and what a
// restore names that did not.
func TestLossesOpenLDAP(t *testing.T) {
	refused := func(t *testing.T, d *directory, method, shell, losses string, words ...string) []byte {
		t.Helper()
		i := d.instance(t, map[string]any{"method": method, "minEntries": 1})
		options := func(losses string) harness.Options {
			o := d.search(t, shell, nil)
			if method == "slapcat" {
				o = d.pod(t, shell, false)
			}
			o.Env = map[string]string{"HOLDFAST_LOSSES": losses}
			return o
		}
		i.Dump(t, ldapUnit, options("")).Fails(t, 65, words...)
		r := i.Dump(t, ldapUnit, options(losses)).OK(t)
		name, _, _ := strings.Cut(losses, " ")
		if !bytes.Contains(r.Stdout, []byte(`"loss":"`+name+`"`)) {
			t.Errorf("the copy does not name the loss %s", name)
		}
		return r.Stdout
	}
	for _, shell := range []string{"ash", "dash"} {
		t.Run("computed/"+shell, func(t *testing.T) {
			s := ldapSets[slices.IndexFunc(ldapSets, func(s ldapSet) bool { return s.name == "collect" })]
			refused(t, s.directory(t), "ldapsearch", shell, "computed telephonenumber", "computed: telephonenumber: 3 entries have it although no class of theirs allows it, such as cn=")
		})
		t.Run("hidden/"+shell, func(t *testing.T) {
			// From the account: what is below one entry, and what a class demands of another.
			d := newDirectory(t, ldapBase, nil, `access to dn.children="cn=users,`+ldapBase+`" by anonymous auth by * none`,
				`access to dn.exact="cn=everybody,`+ldapBase+`" attrs=member by * none`,
				`access to * by dn.exact="cn=reader,`+ldapBase+`" read by anonymous auth`)
			d.serve(t)
			d.fill(t, 3)
			d.modify(t, "dn: cn=reader,"+ldapBase+"\nchangetype: add\nobjectClass: person\ncn: reader\nsn: x\nuserPassword: "+ldapPassword+"\n")
			i := d.instance(t, map[string]any{"method": "ldapsearch", "minEntries": 1, "adminDn": "cn=reader," + ldapBase})
			o := d.search(t, shell, nil)
			i.Dump(t, ldapUnit, o).Fails(t, 65, "hidden: cn=users,"+ldapBase+": the server says that there are entries below it",
				"hidden: cn=everybody,"+ldapBase+": its classes demand member")
			// The parent alone is hidden.
			d = newDirectory(t, ldapBase, nil, `access to dn.base="cn=users,`+ldapBase+`" by * none`,
				`access to * by dn.exact="cn=reader,`+ldapBase+`" read by anonymous auth`)
			d.serve(t)
			d.fill(t, 1)
			d.modify(t, "dn: cn=reader,"+ldapBase+"\nchangetype: add\nobjectClass: person\ncn: reader\nsn: x\nuserPassword: "+ldapPassword+"\n")
			i = d.instance(t, map[string]any{"method": "ldapsearch", "minEntries": 1, "adminDn": "cn=reader," + ldapBase})
			i.Dump(t, ldapUnit, o).Fails(t, 65, "orphan: uid=müller0,cn=users,"+ldapBase+": the entry above it is not in the copy")
		})
		t.Run("unchecked/"+shell, func(t *testing.T) {
			d := newDirectory(t, ldapBase, nil, `access to * by * read`)
			conf, err := os.ReadFile(filepath.Join(d.dir, "slapd.conf"))
			if err != nil {
				t.Fatal(err)
			}
			hidden := `access to dn.base="" attrs=subschemaSubentry by * none` + "\naccess to dn.base=\"cn=Subschema\" by * none\naccess to * by * read\n"
			d.write(t, "slapd.conf", bytes.Replace(conf, []byte("database mdb"), []byte(hidden+"database mdb"), 1))
			d.serve(t)
			d.fill(t, 3)
			refused(t, d, "ldapsearch", shell, "unchecked *", "unchecked: cn=Subschema: the account cannot read it")
		})
		t.Run("not-the-top/"+shell, func(t *testing.T) {
			d := newDirectory(t, ldapBase, nil)
			d.serve(t)
			d.fill(t, 3)
			d.base = "cn=users," + ldapBase
			refused(t, d, "ldapsearch", shell, "orphan *", "orphan: cn=users,"+ldapBase+": it is not the top of a database")
		})
		// What a directory holds that its own schema no longer allows: the copy has it,
		// and the restore brings the rest.
		t.Run("schema/"+shell, func(t *testing.T) {
			d := newDirectory(t, ldapBase, nil)
			d.serve(t)
			d.fill(t, 3)
			d.server.Stop()
			d.tool(t, "slapadd", "dn: cn=bad,"+ldapBase+"\nobjectClass: person\nstructuralObjectClass: person\ncn: bad\nsn: x\nmail: x@y\n"+
				"entryUUID: 11111111-1111-1111-1111-111111111111\n\n"+
				"dn: cn=below,cn=bad,"+ldapBase+"\nobjectClass: person\nstructuralObjectClass: person\ncn: below\nsn: x\nentryUUID: 21111111-1111-1111-1111-111111111111\n\n", "-s")
			before := d.entries(t)
			s3 := harness.S3(t, "backup")
			i := harness.Render(t, harness.Inputs{State: d.state(map[string]any{"minEntries": 1}), Credentials: map[string]any{"restic": s3.Restic("backup", "")}})
			dump := refused(t, d, "slapcat", shell, "schema *", "schema: cn=bad,"+ldapBase+": (65) Object class violation: attribute 'mail' not allowed",
				"schema: cn=below,cn=bad,"+ldapBase+": an entry above it would not come back")
			sameEntries(t, ldifEntries(string(dump)), before)
			// By way of the repository, for the copy's trailer names it.
			i.Store(t, ldapUnit, dump)
			o := harness.Options{
				Image: harness.Image{Shell: shell}, FreeLocks: true, Exec: d.inside(true), Pod: ownCommand,
				Env: map[string]string{"LDAP_DATABASE_DIR": ldapInPod, "HOLDFAST_OVERWRITE": "yes"},
			}
			r := i.Restore(t, ldapUnit, o).OK(t)
			for _, name := range []string{"cn=bad,", "cn=below,cn=bad,"} {
				if !strings.Contains(r.Stderr, "not restored, as was accepted (schema): "+name+ldapBase) {
					t.Errorf("it does not name %s:\n%s", name, r.Stderr)
				}
			}
			maps.DeleteFunc(before, func(dn string, _ []string) bool { return strings.Contains(dn, "cn=bad,") })
			sameEntries(t, d.entries(t), before)
			o.Env["HOLDFAST_LEAVE_OUT"] = "*cn=bad,*"
			i.Restore(t, ldapUnit, o).OK(t)
			sameEntries(t, d.entries(t), before)
		})
		t.Run("restore/"+shell, func(t *testing.T) {
			d := newDirectory(t, ldapBase, nil)
			d.serve(t)
			d.fill(t, 5)
			before := d.entries(t)
			i := d.instance(t, map[string]any{"minEntries": 1})
			dump := string(i.Dump(t, ldapUnit, d.pod(t, shell, false)).OK(t).Stdout)
			text, trailer, _ := strings.Cut(dump, "\n# holdfast: complete, 8 entries\n")
			bad := strings.Join([]string{
				"dn: cn=class," + ldapBase + "\nobjectClass: noSuchClass\ncn: class\n",
				"dn: cn=attribute," + ldapBase + "\nobjectClass: person\ncn: attribute\nsn: x\nmember: cn=x\n",
				"dn: cn=lacks," + ldapBase + "\nobjectClass: person\ncn: lacks\n",
				ldifLine("dn", "cn=unter Größe,cn=lacks,"+ldapBase) + "objectClass: person\n" + ldifLine("cn", "unter Größe") + "sn: x\n",
				"dn: cn=orphan,cn=nowhere," + ldapBase + "\nobjectClass: person\ncn: orphan\nsn: x\n",
				"dn: cn=else,dc=elsewhere\nobjectClass: person\ncn: else\nsn: x\n",
				`dn: cn=a\2C b,` + ldapBase + "\nobjectClass: noSuchClass\ncn: a, b\n",
				"dn: no name\nobjectClass: person\ncn: x\nsn: x\n",
			}, "\n")
			_ = trailer
			made := []byte(text + bad + "\n# holdfast: complete, 16 entries\n")
			d.empty(t)
			r := d.restore(t, i, shell, true, made, nil).Fails(t, 65, "8 items of the copy did not come back",
				"cn=class,"+ldapBase+": slapadd: (65) unrecognized objectClass", "cn=attribute,"+ldapBase+": slapadd: (65) attribute 'member' not allowed",
				"cn=lacks,"+ldapBase+": slapadd: (65) object class 'person' requires attribute 'sn'",
				"cn=unter Größe,cn=lacks,"+ldapBase+": an entry above it is not restored: cn=lacks,", "cn=orphan,cn=nowhere,"+ldapBase+": the entry above it is not in the copy",
				"cn=else,dc=elsewhere: ", "no name: ", "restored: 8 entries of 16")
			if strings.Contains(r.Stderr, "müller") {
				t.Errorf("it says too much:\n%s", r.Stderr)
			}
			sameEntries(t, d.entries(t), before)
			// Without them it ends well.
			r = d.restore(t, i, shell, true, made, map[string]string{
				"HOLDFAST_OVERWRITE": "yes", "HOLDFAST_LEAVE_OUT": "cn=class,*\ncn=attribute,*\n*cn=lacks,*\ncn=orphan,*\ncn=else,*\nno?name\ncn=a\\2C b," + ldapBase + "\n",
			}).OK(t)
			if !strings.Contains(r.Stderr, "8 items were left out") {
				t.Errorf("it said:\n%s", r.Stderr)
			}
			sameEntries(t, d.entries(t), before)
			// Of one that came twice, the later.
			twice := []byte(text + "dn: cn=twice," + ldapBase + "\nobjectClass: person\ncn: twice\nsn: former\n\ndn: cn=twice," + ldapBase +
				"\nobjectClass: person\ncn: twice\nsn: later\n\n# holdfast: complete, 10 entries\n")
			d.restore(t, i, shell, true, twice, map[string]string{"HOLDFAST_OVERWRITE": "yes"}).OK(t)
			if got := d.entries(t); len(got) != 9 || !slices.Contains(got["dn: cn=twice,"+ldapBase], "sn: later") {
				t.Errorf("there are %d entries, and it is %q", len(got), got["dn: cn=twice,"+ldapBase])
			}
		})
		t.Run("read-back/"+shell, func(t *testing.T) {
			// A slapadd that ends well and drops an entry, and a value of another.
			d := newDirectory(t, ldapBase, nil)
			d.serve(t)
			d.fill(t, 5)
			i := d.instance(t, map[string]any{"minEntries": 1})
			dump := i.Dump(t, ldapUnit, d.pod(t, shell, false)).OK(t).Stdout
			d.empty(t)
			d.replace(t, "slapcat", `/usr/sbin/slapcat "$@" | grep -v -e '^o::' | awk -v RS= -v ORS='\n\n' '!/cn: everybody/'`)
			d.restore(t, i, shell, true, dump, nil).Fails(t, 65, "2 items of the copy did not come back",
				"cn=everybody,"+ldapBase+": it is not in the database", ldapBase+": it came back without values of o")
		})
		t.Run("half-way/"+shell, func(t *testing.T) {
			// A restore that is killed while it loads; then the next run, of itself, into
			// an empty folder and over a database.
			d := newDirectory(t, ldapBase, nil)
			d.serve(t)
			d.fill(t, 5)
			before := d.entries(t)
			i := d.instance(t, map[string]any{"minEntries": 1})
			dump := i.Dump(t, ldapUnit, d.pod(t, shell, false)).OK(t).Stdout
			killing := `case "$*" in *-u*) exec /usr/sbin/slapadd "$@" ;; esac; /bin/rm -f data.mdb; echo half >data.mdb; exit 1`
			for _, full := range []bool{false, true} {
				env := map[string]string{}
				if full {
					env["HOLDFAST_OVERWRITE"] = "yes"
				} else {
					d.empty(t)
				}
				// Nobody can kill the first process of a pod: it cannot clean up.
				d.replace(t, "slapadd", killing)
				d.replace(t, "rm", "exit 1")
				d.restore(t, i, shell, true, dump, env).Fails(t, 69, "the restore in "+ldapPod)
				d.replace(t, "slapadd", `exec /usr/sbin/slapadd "$@"`)
				d.replace(t, "rm", `exec /bin/rm "$@"`)
				if full {
					// The former one comes back first, and is still not overwritten unasked.
					d.restore(t, i, shell, true, dump, nil).Fails(t, 65, "a former restore was broken off here", "the former database is back", "holds a database")
					sameEntries(t, d.entries(t), before)
				}
				d.restore(t, i, shell, true, dump, env).OK(t)
				sameEntries(t, d.entries(t), before)
				for _, name := range d.files(t) {
					if strings.HasPrefix(name, "holdfast-") {
						t.Errorf("it left %s", name)
					}
				}
			}
		})
	}
	t.Run("slapadd-still-runs", func(t *testing.T) {
		// Of a restore whose connection broke: it is waited for.
		d := newDirectory(t, ldapBase, nil)
		d.serve(t)
		d.fill(t, 3)
		i := d.instance(t, map[string]any{"minEntries": 1})
		dump := i.Dump(t, ldapUnit, d.pod(t, "ash", false)).OK(t).Stdout
		d.server.Stop()
		// By exec: it is no child of the pod's first process.
		run := d.inside(true)
		o := d.podWith(t, "ash", func(e harness.Exec) int {
			e.Argv = append([]string{"sh", "-c", `cp /bin/sleep /srv/slapadd; cp /bin/dash /srv/sleep
/srv/sleep -c "/srv/slapadd 60; :" >/dev/null 2>&1 & sleep 1; exec "$@"`, "exec"}, e.Argv...)
			return run(e)
		}, ownCommand)
		o.Input = dump
		o.Env = map[string]string{"LDAP_DATABASE_DIR": ldapInPod, "HOLDFAST_OVERWRITE": "yes", "HOLDFAST_DEADLINE": "3"}
		i.Restore(t, ldapUnit, o).Fails(t, 69, "still runs (slapadd)", "did not end within 3 s")
	})
}
