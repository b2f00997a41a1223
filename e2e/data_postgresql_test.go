package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

// pgTrip is one database on its way into a copy and back.
type pgTrip struct {
	s    *pgServer
	name string
	// login is who dumps and restores.
	login string
	i     *harness.Instance
}

const pgOwnerPassword = "the-password-of-the-owner"

// trip makes a database of the role own, fills it as the superuser, and renders its
// unit with the losses that are accepted: names and items in turn.
func (s *pgServer) trip(t testing.TB, name, login, sql string, further map[string]any, losses ...string) *pgTrip {
	t.Helper()
	s.sql(t, "postgres", `CREATE DATABASE `+pgIdentifier(name)+` OWNER own TEMPLATE template0`)
	s.sql(t, name, sql)
	database := pgDatabase(name, further)
	database["username"] = login
	state := s.state(nil, database)
	state["backup"] = map[string]any{"enabled": true}
	if len(losses) > 0 {
		state["backup"] = map[string]any{"enabled": true, "losses": map[string]any{"postgresql/" + name: pgAccepts(losses...)}}
	}
	return &pgTrip{s: s, name: name, login: login, i: harness.Render(t, harness.Inputs{State: state})}
}

func (p *pgTrip) options(t testing.TB, shell string) harness.Options {
	t.Helper()
	password := pgOwnerPassword
	if p.login == pgSuper {
		password = pgSecret
	}
	return harness.Options{
		Image: pgImage(t, shell), Secrets: map[string]map[string]string{"postgresql": {p.name: password}}, Env: map[string]string{},
	}
}

func (p *pgTrip) dump(t testing.TB) harness.Result {
	t.Helper()
	return p.i.Dump(t, "postgresql/"+p.name, p.options(t, "ash"))
}

// empty drops the database and makes it anew, as an administrator does.
func (p *pgTrip) empty(t testing.TB, prepare string) {
	t.Helper()
	p.s.sql(t, "postgres", `DROP DATABASE `+pgIdentifier(p.name)+` WITH (FORCE); CREATE DATABASE `+pgIdentifier(p.name)+` OWNER own TEMPLATE template0`)
	p.s.sql(t, p.name, prepare)
}

func (p *pgTrip) restore(t testing.TB, dump []byte, env ...string) harness.Result {
	t.Helper()
	o := p.options(t, "dash")
	o.Input = dump
	for n := 0; n < len(env); n += 2 {
		o.Env[env[n]] = env[n+1]
	}
	return p.i.Restore(t, "postgresql/"+p.name, o)
}

// back dumps, empties and restores, and compares everything.
func (p *pgTrip) back(t testing.TB, prepare string) harness.Result {
	t.Helper()
	want := p.s.everything(t, p.name)
	dump := p.dump(t).OK(t).Stdout
	p.empty(t, prepare)
	r := p.restore(t, dump).OK(t)
	sameLines(t, "after the restore", want, p.s.everything(t, p.name))
	return r
}

func pgSays(t testing.TB, r harness.Result, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(r.Stderr, word) {
			t.Errorf("it does not say %q:\n%s", word, r.Stderr)
		}
	}
}

// pgOwners is a database of several roles, with rights and with functions that run
// with the rights of their owners.
const pgOwners = `
CREATE SCHEMA bobs AUTHORIZATION bob;
SET ROLE own;
CREATE TABLE mine (id serial PRIMARY KEY, t text); INSERT INTO mine (t) VALUES ('a'), ('b'); GRANT SELECT ON mine TO reader;
CREATE FUNCTION whoami_own() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text';
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader;
RESET ROLE; SET ROLE bob;
CREATE TABLE bobs.his (id int); INSERT INTO bobs.his VALUES (1); GRANT SELECT ON bobs.his TO reader;
CREATE FUNCTION bobs.whoami() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text';
REVOKE ALL ON FUNCTION bobs.whoami() FROM PUBLIC; GRANT EXECUTE ON FUNCTION bobs.whoami() TO reader;
CREATE VIEW bobs.v AS SELECT * FROM bobs.his; GRANT SELECT ON bobs.v TO reader; GRANT USAGE ON SCHEMA bobs TO own;
GRANT SELECT ON bobs.his TO own;
RESET ROLE;`

// TestDataPostgreSQL has a case for each way in which copies of a database were
// once not what came back.
func TestDataPostgreSQL(t *testing.T) {
	s := newPostgreSQL(t)
	s.sql(t, "postgres", `CREATE ROLE reader; CREATE ROLE bob; CREATE ROLE own LOGIN PASSWORD '`+pgOwnerPassword+`';`)
	const own = "own"

	t.Run("owners/superuser", func(t *testing.T) {
		for name, further := range map[string]map[string]any{"row4": nil, "row4b": {"owner": own}} {
			p := s.trip(t, name, pgSuper, pgOwners, further)
			p.back(t, "")
			if got := s.sql(t, name, `SET ROLE reader; SELECT public.whoami_own()`); got != "own\n" {
				t.Errorf("the function of own runs as %q", got)
			}
		}
	})
	t.Run("owners/one-transaction", func(t *testing.T) {
		// A target that writes down in which transaction each thing happens.
		const watch = `
CREATE TABLE watched (at bigint, tag text, what text);
CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.watched SELECT pg_catalog.txid_current(), command_tag, object_identity FROM pg_catalog.pg_event_trigger_ddl_commands(); END $$;
CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION watch();`
		p := s.trip(t, "watched", pgSuper, pgOwners, nil)
		dump := p.dump(t).OK(t).Stdout
		p.empty(t, watch)
		p.restore(t, dump, "HOLDFAST_OVERWRITE", "yes").OK(t)
		if got := s.sql(t, p.name, `SELECT count(*), count(DISTINCT at) FROM watched WHERE what = 'bobs.whoami()' OR tag = 'REVOKE' AND at IN (SELECT at FROM watched WHERE what = 'bobs.whoami()')`); !strings.HasSuffix(got, "|1\n") || got < "2" {
			t.Errorf("the function was made in several transactions: %s\n%s", got, s.sql(t, p.name, "TABLE watched"))
		}
	})
	t.Run("owners/absent-role", func(t *testing.T) {
		s.sql(t, "postgres", `CREATE ROLE passing`)
		p := s.trip(t, "absent", pgSuper, `CREATE TABLE t (id int); ALTER TABLE t OWNER TO passing; CREATE TABLE u (id int)`, nil)
		dump := p.dump(t).OK(t).Stdout
		s.sql(t, "postgres", `DROP DATABASE absent; DROP ROLE passing; CREATE DATABASE absent OWNER own TEMPLATE template0`)
		p.restore(t, dump).Fails(t, 65, "the role passing does not exist", "nothing was changed")
		if got := s.sql(t, p.name, `SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace`); got != "0\n" {
			t.Errorf("it made %s relations", got)
		}
	})
	t.Run("owners/owner", func(t *testing.T) {
		// Without the means the night says so, by name.
		p := s.trip(t, "refused", own, pgOwners, nil)
		p.dump(t).Fails(t, 65, "owner: TABLE bobs his bob", "owner: SCHEMA - bobs bob", "definer: FUNCTION bobs whoami() bob", "grant: ACL bobs TABLE v bob")
		p = s.trip(t, "accepted", own, pgOwners, nil, "owner", "*bob", "definer", "*bob", "grant", "ACL*bob")
		dump := p.dump(t).OK(t).Stdout
		p.empty(t, "")
		r := p.restore(t, dump).OK(t)
		pgSays(t, r, "as the copy says: TABLE bobs his bob", "as the copy says: FUNCTION bobs whoami() bob")
		if got := s.sql(t, p.name, `SELECT pg_get_userbyid(proowner), prosecdef, proacl FROM pg_proc WHERE proname = 'whoami'`); got != "own|f|{own=X/own,reader=X/own}\n" {
			t.Errorf("the function of bob is %s", got)
		}
		if got := s.sql(t, p.name, `SELECT pg_get_userbyid(relowner), relacl FROM pg_class WHERE relname = 'v'`); got != "own|\n" {
			t.Errorf("the view of bob is %s", got)
		}
		if got := s.sql(t, p.name, `SELECT prosecdef FROM pg_proc WHERE proname = 'whoami_own'; TABLE bobs.his; TABLE mine`); got != "t\n1\n1|a\n2|b\n" {
			t.Errorf("what is there is %s", got)
		}
		// A superuser brings the same copy back as it was.
		want := s.everything(t, "refused")
		p.empty(t, "")
		o := p.options(t, "ash")
		o.Input, o.Env["PGUSER"], o.Secrets = dump, pgSuper, map[string]map[string]string{"postgresql": {p.name: pgSecret}}
		p.i.Restore(t, "postgresql/accepted", o).OK(t)
		sameLines(t, "as the superuser", want, s.everything(t, p.name))
		// And a copy that says nothing of it misses it, by name.
		p.empty(t, "")
		r = p.restore(t, harness.Payload(dump))
		r.Fails(t, 65, "TABLE bobs his bob: its owner is a role for which own cannot act", "FUNCTION bobs whoami() bob")
	})
	t.Run("owners/member", func(t *testing.T) {
		s.sql(t, "postgres", `CREATE ROLE team; GRANT team TO own`)
		p := s.trip(t, "member", own, `CREATE SCHEMA teams AUTHORIZATION team; SET ROLE team; CREATE TABLE teams.t (id int);
CREATE FUNCTION teams.f() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT current_user::text'`, nil)
		p.back(t, "")
	})
	t.Run("grantors", func(t *testing.T) {
		const sql = `CREATE TABLE t (id int); ALTER TABLE t OWNER TO own; SET ROLE own; GRANT SELECT ON t TO bob WITH GRANT OPTION;
RESET ROLE; SET ROLE bob; GRANT SELECT ON t TO reader; RESET ROLE;`
		p := s.trip(t, "grantors", pgSuper, sql, nil)
		p.back(t, "")
		p = s.trip(t, "grantor", own, sql, nil)
		p.dump(t).Fails(t, 65, "grant: ACL public TABLE t own: rights that others granted")
		p = s.trip(t, "granted", own, sql, nil, "grant", "ACL*TABLE*")
		dump := p.dump(t).OK(t).Stdout
		p.empty(t, "")
		p.restore(t, dump).OK(t)
		// PostgreSQL 17 has a right more, m.
		if got := strings.ReplaceAll(s.sql(t, p.name, `SELECT relacl FROM pg_class WHERE relname = 't'`), "arwdDxtm", "arwdDxt"); got != "{own=arwdDxt/own,bob=r*/own,reader=r/own}\n" {
			t.Errorf("the rights are %s", got)
		}
	})
	t.Run("default-privileges-of-the-target", func(t *testing.T) {
		p := s.trip(t, "defaults", own, `SET ROLE own; CREATE TABLE t (id int); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'`, nil)
		want := s.everything(t, p.name)
		dump := p.dump(t).OK(t).Stdout
		s.sql(t, p.name, `SET ROLE own; ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO reader; ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO bob`)
		p.restore(t, dump, "HOLDFAST_OVERWRITE", "yes").OK(t)
		sameLines(t, "after the restore", want, s.everything(t, p.name))
	})

	t.Run("rights-of-another-schema", func(t *testing.T) {
		// A newer table of the same name in another schema is none of the copy's.
		p := s.trip(t, "namesake", own, `SET ROLE own; CREATE TABLE t (id int); INSERT INTO t VALUES (1)`, nil)
		dump := p.dump(t).OK(t).Stdout
		s.sql(t, p.name, `SET ROLE own; CREATE SCHEMA newer; CREATE TABLE newer.t (id int); GRANT SELECT ON newer.t TO reader`)
		p.restore(t, dump, "HOLDFAST_OVERWRITE", "yes").OK(t)
		// What the copy's own schemas have is: also one with a blank in its name.
		p = s.trip(t, "blank", own, `SET ROLE own; CREATE SCHEMA "sub wiki"; CREATE TABLE "sub wiki".t (id int); INSERT INTO "sub wiki".t VALUES (1)`, nil)
		dump = p.dump(t).OK(t).Stdout
		p.empty(t, `SET ROLE own; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader`)
		p.restore(t, dump).Fails(t, 65, "ACL sub wiki TABLE t: the target grants what the copy does not")
	})
	t.Run("large-objects", func(t *testing.T) {
		const granted = `SET ROLE own; CREATE TABLE t (id int); INSERT INTO t VALUES (1); SELECT lo_from_bytea(7, 'x'); GRANT SELECT ON LARGE OBJECT 7 TO bob WITH GRANT OPTION;
RESET ROLE; SET ROLE bob; GRANT SELECT ON LARGE OBJECT 7 TO reader; RESET ROLE;`
		s.trip(t, "blob0", own, granted, nil).dump(t).Fails(t, 65, "grant: ACL - LARGE OBJECT 7 own: rights that others granted")
		p := s.trip(t, "blob1", own, granted, nil, "grant", "ACL?-?LARGE*")
		dump := p.dump(t).OK(t).Stdout
		p.empty(t, "")
		pgSays(t, p.restore(t, dump).OK(t), "as the copy says: ACL - LARGE OBJECT 7 own")
		p.empty(t, "")
		p.restore(t, harness.Payload(dump)).Fails(t, 65, "ACL - LARGE OBJECT 7 own: rights that others granted")
		// A superuser's copy tells nothing of it, and who is none restores it.
		p = s.trip(t, "blob2", pgSuper, `SET ROLE bob; SELECT lo_from_bytea(7, 'x'); RESET ROLE; CREATE TABLE t (id int); ALTER TABLE t OWNER TO own`, nil)
		dump = p.dump(t).OK(t).Stdout
		p.empty(t, "")
		p.login = own
		p.restore(t, dump, "PGUSER", own, "HOLDFAST_OWNER", own).Fails(t, 65, "1 items of the copy did not come back", "BLOB - 7 bob: its owner is a role for which own cannot act")
		// Several of one owner, of which the night told each.
		p = s.trip(t, "blob3", own, `SET ROLE bob; SELECT lo_from_bytea(n, 'x') FROM unnest(ARRAY[7, 8, 9, 107, 108]) n; GRANT SELECT ON LARGE OBJECT 7, 8, 9, 107, 108 TO own; GRANT SELECT ON LARGE OBJECT 8 TO reader;
RESET ROLE; SET ROLE own; SELECT lo_from_bytea(50, 'z'); CREATE TABLE t (id int); INSERT INTO t VALUES (1)`, nil, "owner", "BLOB*", "grant", "ACL*")
		dump = p.dump(t).OK(t).Stdout
		p.empty(t, "")
		pgSays(t, p.restore(t, dump).OK(t), "not restored, as the copy says: BLOB - 7")
		if got := s.sql(t, p.name, "SELECT string_agg(oid::text, ' ' ORDER BY oid) FROM pg_largeobject_metadata"); got != "7 8 9 50 107 108\n" {
			t.Errorf("the large objects are %s", got)
		}
	})
	t.Run("accepted-and-gone", func(t *testing.T) {
		// Another owner was accepted, not that it is not there at all.
		p := s.trip(t, "gone", own, `CREATE SCHEMA bobs AUTHORIZATION bob; GRANT USAGE ON SCHEMA bobs TO own; SET ROLE own; CREATE TABLE t (id int); INSERT INTO t VALUES (1); RESET ROLE;
SET ROLE bob; CREATE VIEW bobs.v AS SELECT 1; CREATE FUNCTION bobs.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE FUNCTION bobs.d() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'`,
			nil, "owner", "*bob", "definer", "*bob")
		dump := p.dump(t).OK(t).Stdout
		p.empty(t, `CREATE SCHEMA bobs AUTHORIZATION bob; GRANT USAGE ON SCHEMA bobs TO own;`)
		p.restore(t, dump, "HOLDFAST_OVERWRITE", "yes").Fails(t, 65, "3 items of the copy did not come back", "VIEW bobs v bob: ERROR:  permission denied", "FUNCTION bobs f() bob", "FUNCTION bobs d() bob")
	})
	t.Run("accepted-for-a-superuser", func(t *testing.T) {
		// What the owner could not bring back, a superuser does.
		p := s.trip(t, "internal", own, `CREATE FUNCTION c() RETURNS int LANGUAGE internal SECURITY DEFINER AS 'pg_backend_pid'; ALTER FUNCTION c() OWNER TO own;
SET ROLE own; CREATE TABLE t (id int); INSERT INTO t VALUES (1)`, nil, "superuser", "*")
		want := s.everything(t, p.name)
		dump := p.dump(t).OK(t).Stdout
		p.empty(t, "")
		p.login = pgSuper
		p.restore(t, dump, "PGUSER", pgSuper).OK(t)
		sameLines(t, "as the superuser", want, s.everything(t, p.name))
	})
	t.Run("settings-of-the-owner", func(t *testing.T) {
		s.sql(t, "postgres", `CREATE ROLE app LOGIN PASSWORD '`+pgOwnerPassword+`'; GRANT own TO app`)
		p := s.trip(t, "ownset", "app", `ALTER ROLE own IN DATABASE ownset SET work_mem = '8MB'; SET ROLE own; CREATE TABLE t (id int); INSERT INTO t VALUES (1)`, map[string]any{"owner": own})
		dump := p.dump(t).OK(t).Stdout
		p.empty(t, "")
		p.restore(t, dump).OK(t)
		if got := s.sql(t, p.name, `SELECT setconfig FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase WHERE datname = 'ownset'`); got != "{work_mem=8MB}\n" {
			t.Errorf("the settings are %q", got)
		}
	})
	t.Run("extension-of-an-administrator", func(t *testing.T) {
		// Its comment is there, and not ours to set.
		const make = `CREATE EXTENSION pg_trgm;`
		p := s.trip(t, "trusted", own, make+`SET ROLE own; CREATE TABLE t (id int); INSERT INTO t VALUES (1)`, nil)
		p.back(t, make)
		dump := p.dump(t).OK(t).Stdout
		p.empty(t, make+`COMMENT ON EXTENSION pg_trgm IS 'another'`)
		p.restore(t, dump).Fails(t, 65, "COMMENT - EXTENSION pg_trgm: ERROR:  must be owner")
	})
	t.Run("extension", func(t *testing.T) { testPostgreSQLExtension(t, s) })
	t.Run("extension-of-an-older-version", func(t *testing.T) { testPostgreSQLOlderExtension(t, s) })
	t.Run("usual-application", func(t *testing.T) {
		// What charts of applications make as the superuser, for an owner who is none.
		const trusted = `CREATE EXTENSION pg_trgm; CREATE EXTENSION "uuid-ossp"; CREATE EXTENSION btree_gin; CREATE EXTENSION citext; CREATE EXTENSION hstore;`
		const tables = `SET ROLE own; CREATE TABLE t (id uuid PRIMARY KEY DEFAULT uuid_generate_v4(), n citext UNIQUE, h hstore, x text); INSERT INTO t (n, h, x) VALUES ('A', 'a=>1', 'text');
CREATE INDEX ON t USING gin (x gin_trgm_ops); CREATE VIEW v AS SELECT * FROM t; GRANT SELECT ON v TO reader; RESET ROLE;`
		for name, sql := range map[string]string{
			"usual0": trusted + tables,
			"usual1": trusted + `GRANT ALL ON SCHEMA public TO own; GRANT USAGE ON SCHEMA public TO reader;` + tables,
			"usual2": `SET ROLE own; DROP SCHEMA public CASCADE; CREATE SCHEMA public; RESET ROLE;` + trusted + tables,
		} {
			s.trip(t, name, own, sql, nil).back(t, "")
		}
	})
	t.Run("postgis", func(t *testing.T) { testPostgreSQLPostGIS(t, s) })

	for name, c := range map[string]struct{ sql, loss, item string }{
		"event-trigger": {`CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; ALTER FUNCTION e() OWNER TO own;
CREATE EVENT TRIGGER et ON ddl_command_end EXECUTE FUNCTION e()`, "superuser", "EVENT TRIGGER - et"},
		"publication":  {`CREATE PUBLICATION pa FOR ALL TABLES`, "superuser", "PUBLICATION - pa"},
		"wrapper":      {`CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; ALTER SERVER s OWNER TO own`, "superuser", "SERVER - s own"},
		"defaults-of":  {`ALTER DEFAULT PRIVILEGES FOR ROLE bob GRANT SELECT ON TABLES TO reader`, "grant", "DEFAULT ACL - DEFAULT PRIVILEGES FOR TABLES bob"},
		"subscription": {`CREATE SUBSCRIPTION sub CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false)`, "subscription", "SUBSCRIPTION - sub"},
		"language":     {`CREATE FUNCTION c() RETURNS int LANGUAGE internal AS 'pg_backend_pid'; ALTER FUNCTION c() OWNER TO own; CREATE VIEW hangs AS SELECT c(); ALTER VIEW hangs OWNER TO own`, "superuser", "VIEW public hangs own"},
		"setting":      {`ALTER DATABASE ` + pgIdentifier("setting-0") + ` SET log_min_messages = error; ALTER DATABASE ` + pgIdentifier("setting-1") + ` SET log_min_messages = error; ALTER DATABASE ` + pgIdentifier("setting-2") + ` SET log_min_messages = error`, "setting", "SETTING log_min_messages"},
	} {
		t.Run("superuser/"+name, func(t *testing.T) {
			const rest = `SET ROLE own; CREATE TABLE t (id int); INSERT INTO t VALUES (1); CREATE VIEW v AS SELECT * FROM t; CREATE INDEX ON t (id); RESET ROLE; SET client_min_messages = error;`
			if name == "setting" {
				// The databases are named in their own settings.
				for _, n := range []string{"0", "1", "2"} {
					s.sql(t, "postgres", `CREATE DATABASE `+pgIdentifier(name+"-"+n))
				}
			}
			fill := func(n, login string, losses ...string) *pgTrip {
				if name == "setting" {
					s.sql(t, "postgres", `DROP DATABASE `+pgIdentifier(name+"-"+n))
					return s.trip(t, name+"-"+n, login, rest+`ALTER DATABASE `+pgIdentifier(name+"-"+n)+` SET log_min_messages = error`, nil, losses...)
				}
				return s.trip(t, name+"-"+n, login, rest+c.sql, nil, losses...)
			}
			drop := func(p *pgTrip) {
				if name == "subscription" {
					s.sql(t, p.name, `ALTER SUBSCRIPTION sub SET (slot_name = NONE); DROP SUBSCRIPTION sub`)
				}
			}
			p := fill("0", own)
			p.dump(t).Fails(t, 65, c.loss+": "+c.item)
			drop(p)
			p = fill("1", own, c.loss, "*", "superuser", "*", "owner", "*")
			dump := p.dump(t).OK(t).Stdout
			drop(p)
			p.empty(t, "")
			p.restore(t, dump).OK(t)
			if got := s.sql(t, p.name, `TABLE v; SELECT count(*) FROM pg_index WHERE indrelid = 't'::regclass`); got != "1\n1\n" {
				t.Errorf("the rest is %q", got)
			}
			p = fill("2", pgSuper)
			if name == "subscription" {
				dump := p.dump(t).OK(t).Stdout
				drop(p)
				p.empty(t, "")
				pgSays(t, p.restore(t, dump).OK(t), "came back disabled")
				drop(p)
				return
			}
			p.back(t, "")
			drop(p)
		})
	}

	for name, sql := range map[string]string{
		"matview": `CREATE TABLE base (id int); INSERT INTO base VALUES (1); CREATE FUNCTION n() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM base';
CREATE MATERIALIZED VIEW m AS SELECT n() AS n; CREATE MATERIALIZED VIEW m2 AS SELECT * FROM m`,
		"index": `CREATE TABLE base (id int); CREATE FUNCTION g(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM 1 FROM base; RETURN i; END';
CREATE TABLE t (id int); INSERT INTO t VALUES (1); CREATE INDEX i ON t (g(id))`,
		"check": `CREATE TABLE z (id int); INSERT INTO z VALUES (1);
CREATE FUNCTION ok(i int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN EXISTS (SELECT FROM z WHERE id = i); END';
CREATE TABLE a (id int CHECK (ok(id))); INSERT INTO a VALUES (1)`,
		"other-path": `CREATE SCHEMA app; SET search_path = app; CREATE TABLE base (id int); INSERT INTO base VALUES (1);
CREATE FUNCTION n() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM base'; CREATE MATERIALIZED VIEW m AS SELECT n() AS n`,
	} {
		t.Run("unqualified/"+name, func(t *testing.T) {
			if pgVersion >= "17" && name != "check" {
				// Nobody can make it any more: there is none to copy.
				if out, err := s.try("postgres", "BEGIN; "+sql); err == nil || !strings.Contains(err.Error(), `relation "base" does not exist`) {
					t.Errorf("it was made: %s, %v", out, err)
				}
				return
			}
			for n, login := range []string{own, pgSuper} {
				p := s.trip(t, name+strconv.Itoa(n), login, "SET ROLE own; "+sql, nil)
				p.back(t, "")
			}
		})
	}
	t.Run("one-item", func(t *testing.T) {
		// What can never be made is named, and the rest is there.
		p := s.trip(t, "oneitem", own, `SET ROLE own; CREATE TABLE t (id int); INSERT INTO t VALUES (1); CREATE FUNCTION g(i int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT i';
CREATE INDEX broken ON t (g(id)); CREATE INDEX whole ON t (id); CREATE OR REPLACE FUNCTION g(i int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1 / (i - 1)'`, nil)
		dump := p.dump(t).OK(t).Stdout
		p.empty(t, "")
		p.restore(t, dump).Fails(t, 65, "1 items of the copy did not come back", "INDEX public broken own: ERROR:  division by zero")
		if got := s.sql(t, p.name, `TABLE t; SELECT relname FROM pg_class WHERE relkind = 'i' AND relname IN ('broken', 'whole')`); got != "1\nwhole\n" {
			t.Errorf("it holds %q", got)
		}
		// Again, over what is half there; and with the item left out it ends well.
		p.restore(t, dump, "HOLDFAST_OVERWRITE", "yes").Fails(t, 65, "1 items of the copy did not come back")
		pgSays(t, p.restore(t, dump, "HOLDFAST_OVERWRITE", "yes", "HOLDFAST_LEAVE_OUT", "INDEX public broken *").OK(t), "INDEX public broken own")
	})
	t.Run("in-the-way", func(t *testing.T) {
		// What the target has beside the copy is not dropped with it.
		p := s.trip(t, "way", own, `SET ROLE own; CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)`, nil)
		dump := p.dump(t).OK(t).Stdout
		s.sql(t, p.name, `SET ROLE own; CREATE TABLE newer (id int REFERENCES t); INSERT INTO newer VALUES (1)`)
		want := s.everything(t, p.name)
		p.restore(t, dump, "HOLDFAST_OVERWRITE", "yes").Fails(t, 65, "nothing was changed", "newer_id_fkey")
		sameLines(t, "after a restore that was refused", want, s.everything(t, p.name))
	})
	t.Run("jobs", func(t *testing.T) {
		p := s.trip(t, "jobs", own, `SET ROLE own; DO $$ BEGIN FOR n IN 1..12 LOOP
EXECUTE format('CREATE TABLE t%1$s AS SELECT i, md5(i::text) AS t FROM generate_series(1, 500) i', n); EXECUTE format('CREATE INDEX ON t%s (t)', n); END LOOP; END $$;
CREATE FUNCTION g(i int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT i'; CREATE INDEX broken ON t3 (g(i)); CREATE OR REPLACE FUNCTION g(i int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1 / (i - 1)'`, nil)
		dump := p.dump(t).OK(t).Stdout
		s.sql(t, p.name, "DROP INDEX broken")
		want := s.everything(t, p.name)
		p.empty(t, "")
		p.restore(t, dump, "HOLDFAST_JOBS", "0").Fails(t, 64, "HOLDFAST_JOBS")
		p.restore(t, dump, "HOLDFAST_JOBS", "3").Fails(t, 65, "1 items of the copy did not come back", "INDEX public broken own")
		sameLines(t, "after the restore", want, s.everything(t, p.name))

		// Tables whose rows fail side by side are each named, whoever speaks first, and
		// leaving out one of them is not leaving out all.
		const checked = `SET ROLE own; CREATE TABLE whole (i int); INSERT INTO whole VALUES (1); CREATE FUNCTION ok(i int) RETURNS boolean LANGUAGE sql AS 'SELECT true';
DO $$ BEGIN FOR n IN 1..12 LOOP EXECUTE format('CREATE TABLE c%1$s (i int CHECK (public.ok(i)))', n); EXECUTE format('INSERT INTO c%s SELECT generate_series(1, 500)', n); END LOOP; END $$;`
		p = s.trip(t, "checked", own, checked+`CREATE OR REPLACE FUNCTION ok(i int) RETURNS boolean LANGUAGE sql AS 'SELECT false'`, nil)
		dump = p.dump(t).OK(t).Stdout
		for range 3 {
			p.empty(t, "")
			var words []string
			for n := range 12 {
				words = append(words, fmt.Sprintf("TABLE DATA public c%d own: COPY failed", n+1))
			}
			p.restore(t, dump, "HOLDFAST_JOBS", "4").Fails(t, 65, append(words, "12 items of the copy did not come back")...)
		}
		p.empty(t, "")
		p.restore(t, dump, "HOLDFAST_JOBS", "4", "HOLDFAST_LEAVE_OUT", "TABLE DATA public c1?own").Fails(t, 65, "11 items of the copy did not come back")
	})
	t.Run("row-security", func(t *testing.T) {
		p := s.trip(t, "force", own, `SET ROLE own; CREATE TABLE t (id int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY`, nil)
		p.dump(t).Streamed(t).Fails(t, 69, "query would be affected by row-level security policy")
	})
}

// testPostgreSQLExtension has an extension with what PostGIS has: a schema, a table
// with keys, whose rows users add to, and no way to make it but as a superuser.
func testPostgreSQLExtension(t *testing.T, s *pgServer) {
	folder := "/usr/share/postgresql/" + pgVersion + "/extension"
	for name, text := range map[string]string{
		"holdfast_geo.control": "default_version = '1'\nsuperuser = true\nrelocatable = false\n",
		"holdfast_geo--1.sql": `CREATE SCHEMA geo; CREATE TYPE geo.shape AS ENUM ('point', 'line'); CREATE DOMAIN geo.degree AS float8;
CREATE TABLE geo.systems (id serial PRIMARY KEY, name text UNIQUE, shape geo.shape); INSERT INTO geo.systems (name) VALUES ('usual');
CREATE FUNCTION geo.area(float8) RETURNS float8 LANGUAGE sql AS 'SELECT $1'; GRANT USAGE ON SCHEMA geo TO PUBLIC; GRANT SELECT ON geo.systems TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('geo.systems', 'WHERE id > 1');`,
	} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.Remove(path); err != nil {
				t.Error(err)
			}
		})
	}
	const make = `CREATE EXTENSION holdfast_geo;`
	const use = make + `SET ROLE own; CREATE TABLE places (id int, shape geo.shape, d geo.degree); INSERT INTO places VALUES (1, 'point', 2); RESET ROLE;`
	p := s.trip(t, "geo0", "own", use, nil)
	p.dump(t).Fails(t, 65, "extension: EXTENSION - holdfast_geo: only a superuser may make it")
	p = s.trip(t, "geo1", "own", use, nil, "extension", "EXTENSION*")
	p.back(t, make)
	// Rows that a superuser added are named; where they are there, nothing lacks.
	const rows = `INSERT INTO geo.systems VALUES (2, 'our own', 'line');`
	p = s.trip(t, "geo2", "own", use+rows, nil, "extension", "EXTENSION*")
	p.dump(t).Fails(t, 65, "rows: TABLE DATA geo systems "+pgSuper)
	p = s.trip(t, "geo3", "own", use+rows, nil, "extension", "EXTENSION*", "rows", "*")
	dump := p.dump(t).OK(t).Stdout
	p.empty(t, make)
	pgSays(t, p.restore(t, dump).OK(t), "as the copy says: TABLE DATA geo systems")
	p.empty(t, make)
	p.restore(t, harness.Payload(dump)).Fails(t, 65, "TABLE DATA geo systems "+pgSuper+": ERROR:  permission denied")
	p.empty(t, make+rows)
	p.restore(t, harness.Payload(dump)).OK(t)
	// A superuser brings the rows along.
	p = s.trip(t, "geo4", pgSuper, use+rows, nil, "rows", "SEQUENCE*")
	p.back(t, "")
	if got := s.sql(t, p.name, `TABLE geo.systems`); got != "1|usual|\n2|our own|line\n" {
		t.Errorf("the extension's rows are %q", got)
	}
}

// testPostgreSQLOlderExtension has one whose version the server's files do not make any
// more, as after an update of its image.
func testPostgreSQLOlderExtension(t *testing.T, s *pgServer) {
	folder := "/usr/share/postgresql/" + pgVersion + "/extension"
	file := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	remove := func() {
		for _, name := range []string{"holdfast_roads.control", "holdfast_roads--1.sql", "holdfast_roads--2.sql"} {
			if err := os.Remove(filepath.Join(folder, name)); err != nil && !os.IsNotExist(err) {
				t.Error(err)
			}
		}
	}
	t.Cleanup(remove)
	const script = `CREATE FUNCTION roads.length(float8) RETURNS float8 LANGUAGE sql AS 'SELECT $1'; GRANT USAGE ON SCHEMA roads TO PUBLIC;`
	const make = `CREATE EXTENSION holdfast_roads;`
	file("holdfast_roads.control", "default_version = '1'\nsuperuser = true\nrelocatable = false\nschema = roads\n")
	file("holdfast_roads--1.sql", script)
	p := s.trip(t, "roads", "own", make+`SET ROLE own; CREATE TABLE t (id int); INSERT INTO t VALUES (1)`, nil, "extension", "EXTENSION*")
	p.dump(t).OK(t)
	remove()
	file("holdfast_roads.control", "default_version = '2'\nsuperuser = true\nrelocatable = false\nschema = roads\n")
	file("holdfast_roads--2.sql", script)
	dump := p.dump(t).OK(t).Stdout
	p.empty(t, make)
	p.restore(t, dump).OK(t)
}

// PostGIS brings schemas, types, tables and rows of its own, which are nobody's copy,
// and which the owner of the database may not touch.
func testPostgreSQLPostGIS(t *testing.T, s *pgServer) {
	const make = `CREATE EXTENSION postgis; CREATE EXTENSION postgis_topology;`
	const places = `SET ROLE own; CREATE TABLE places (id int PRIMARY KEY, at geometry(Point, 4326), area geography CHECK (ST_Area(area) < 1e12));
INSERT INTO places SELECT n, ST_SetSRID(ST_MakePoint(n, 51), 4326), ST_Buffer(ST_MakePoint(n, 51)::geography, 1000) FROM generate_series(1, 50) n;
CREATE INDEX ON places USING gist (at); CREATE INDEX near ON places (ST_X(at)); CREATE VIEW north AS SELECT id, ST_AsText(at) FROM places WHERE ST_Y(at) > 50;
CREATE MATERIALIZED VIEW hulls AS SELECT ST_ConvexHull(ST_Collect(at)) AS hull FROM places; RESET ROLE;`
	sum := func(name string) string {
		return s.sql(t, name, `SELECT count(*), md5(string_agg(id || ST_AsEWKT(at) || ST_AsEWKT(area), ',' ORDER BY id)) FROM places; SELECT ST_AsText(hull) FROM hulls`)
	}
	p := s.trip(t, "gis0", "own", make+places, nil)
	p.dump(t).Fails(t, 65, "extension: EXTENSION - postgis: only a superuser may make it")
	p = s.trip(t, "gis1", "own", make+places, nil, "extension", "EXTENSION*")
	want := sum(p.name)
	p.back(t, make)
	if got := sum(p.name); got != want {
		t.Errorf("the places are %s, not %s", got, want)
	}
	// The plain tool as the same owner.
	plain := exec.Command("sh", "-c", `pg_dump -Fc "$1" | pg_restore --exit-on-error --clean --if-exists -d "$1"`, "sh", "host=127.0.0.1 port="+strconv.Itoa(s.port)+" user=own dbname="+p.name)
	plain.Env = []string{"PATH=/usr/bin:/bin", "PGPASSWORD=" + pgOwnerPassword}
	out, err := plain.CombinedOutput()
	t.Logf("the plain tool: %v, %s", err, out)
	// A superuser brings it along, with the systems that were added.
	const added = make + `INSERT INTO spatial_ref_sys (srid, auth_name, proj4text) VALUES (990000, 'ours', '+proj=longlat'); SELECT topology.CreateTopology('roads', 4326);` + places
	copied := s.sql(t, p.name, `SELECT 'topology.topology_id_seq'::regclass = ANY (extconfig) FROM pg_extension WHERE extname = 'postgis_topology'`) == "t\n"
	p = s.trip(t, "gis2", pgSuper, added, nil)
	if copied {
		// Newer ones do; but the owner of the database may not set it.
		const used = make + `SELECT nextval('topology.topology_id_seq');` + places
		const item = "SEQUENCE SET topology topology_id_seq " + pgSuper
		s.trip(t, "gis4", "own", used, nil, "extension", "EXTENSION*").dump(t).Fails(t, 65, "rows: "+item+": numbers of an extension, which own may not set")
		p := s.trip(t, "gis5", "own", used, nil, "extension", "EXTENSION*", "rows", "SEQUENCE*")
		dump := p.dump(t).OK(t).Stdout
		p.empty(t, make)
		pgSays(t, p.restore(t, dump).OK(t), "not restored, as the copy says: "+item)
	} else {
		p.dump(t).Fails(t, 65, "rows: SEQUENCE SET topology topology_id_seq "+pgSuper+": its extension does not let it be copied")
	}
	p = s.trip(t, "gis3", pgSuper, added, nil, "rows", "SEQUENCE*")
	dump := p.dump(t).OK(t).Stdout
	p.empty(t, "")
	p.restore(t, dump).OK(t)
	if got := sum(p.name) + s.sql(t, p.name, `SELECT auth_name FROM spatial_ref_sys WHERE srid = 990000; SELECT name FROM topology.topology`); got != want+"ours\nroads\n" {
		t.Errorf("a superuser's restore has %s, not %s", got, want)
	}
}

// TestDataPostgreSQLGlobals has roles whose texts look like statements.
func TestDataPostgreSQLGlobals(t *testing.T) {
	// It must be there as long as its server.
	uid, _ := serverUser(t, "postgres")
	space := harness.Folder(t, uid)
	s := newPostgreSQL(t)
	s.sql(t, "postgres", `CREATE ROLE own LOGIN PASSWORD '`+pgOwnerPassword+`'; CREATE DATABASE app OWNER own;
CREATE ROLE one; COMMENT ON ROLE one IS E'it''s "x"\nALTER ROLE own WITH SUPERUSER;\nCREATE ROLE never;\n-- a comment';
ALTER ROLE one SET application_name = E'a\nCREATE ROLE never2;\nALTER ROLE own SUPERUSER;\n\\ ''b"';
CREATE ROLE "two
lines"; COMMENT ON ROLE "two
lines" IS 'c'; GRANT one TO "two
lines"`)
	i := harness.Render(t, harness.Inputs{State: s.state(nil, pgDatabase("app", map[string]any{"username": "own"}))})
	o := harness.Options{Image: pgImage(t, "ash"), Secrets: map[string]map[string]string{"postgresql": {"app": pgOwnerPassword}}, Env: map[string]string{}}
	dump := i.Dump(t, "postgresql/main-globals", o).OK(t)
	pgSays(t, dump, "4 counted")
	want := s.sql(t, "postgres", pgRoles)
	for _, shell := range []string{"ash", "dash"} {
		fresh := newPostgreSQL(t)
		o := harness.Options{Image: pgImage(t, shell), Input: dump.Stdout, Secrets: map[string]map[string]string{"postgresql": {"app": pgSecret}}, Env: map[string]string{
			"PGUSER": pgSuper, "PGDATABASE": "postgres", "PGPORT": strconv.Itoa(fresh.port),
		}}
		pgSays(t, i.Restore(t, "postgresql/main-globals", o).OK(t), "3 roles were made")
		sameLines(t, "the roles", want, fresh.sql(t, "postgres", pgRoles))
		// Again, over what is there.
		o.Env["HOLDFAST_OVERWRITE"] = "yes"
		pgSays(t, i.Restore(t, "postgresql/main-globals", o).OK(t), "0 roles were made")
		sameLines(t, "the roles again", want, fresh.sql(t, "postgres", pgRoles))
	}

	// A tablespace is named on the night.
	s.sql(t, "postgres", `CREATE TABLESPACE fast LOCATION '`+space+`'; GRANT CREATE ON TABLESPACE fast TO own`)
	i.Dump(t, "postgresql/main-globals", o).Fails(t, 65, "tablespace: TABLESPACE fast")
	s.sql(t, "app", `SET ROLE own; CREATE TABLE t (id int) TABLESPACE fast; INSERT INTO t VALUES (1)`)
	i.Dump(t, "postgresql/app", o).Fails(t, 65, "tablespace: TABLESPACE fast")
	state := s.state(nil, pgDatabase("app", map[string]any{"username": "own"}))
	state["backup"] = map[string]any{"enabled": true, "losses": map[string]any{"postgresql": pgAccepts("tablespace", "*")}}
	i = harness.Render(t, harness.Inputs{State: state})
	globals, app := i.Dump(t, "postgresql/main-globals", o).OK(t).Stdout, i.Dump(t, "postgresql/app", o).OK(t).Stdout
	fresh := newPostgreSQL(t)
	o.Secrets["postgresql"]["app"] = pgSecret
	o.Env["PGUSER"], o.Env["PGDATABASE"], o.Env["PGPORT"] = pgSuper, "postgres", strconv.Itoa(fresh.port)
	o.Input = globals
	i.Restore(t, "postgresql/main-globals", o).OK(t)
	o.Input = bytes.Replace(globals, []byte(`"losses":[{"loss":"tablespace"`), []byte(`"losses":[{"loss":"other"`), 1)
	i.Restore(t, "postgresql/main-globals", o).Fails(t, 65, "TABLESPACE fast: it is a folder")
	fresh.sql(t, "postgres", `CREATE DATABASE app OWNER own`)
	o.Input, o.Env["PGDATABASE"] = app, "app"
	i.Restore(t, "postgresql/app", o).OK(t)
	if got := fresh.sql(t, "app", "TABLE t"); got != "1\n" {
		t.Errorf("it holds %q", got)
	}
}

// pgRegressShort is a part of PostgreSQL's own tests, in its order, with what is hard
// to bring back. The whole is parallel_schedule.
const pgRegressShort = `
test: test_setup
test: create_function_c create_misc create_operator create_procedure create_table create_type
test: create_index create_view
test: create_aggregate create_function_sql create_cast constraints triggers inherit typed_table updatable_views create_am
test: privileges init_privs collate matview replica_identity rowsecurity identity generated
test: rules stats_ext
test: publication subscription
test: foreign_key foreign_data tsdicts
test: plpgsql domain rangefuncs alter_table sequence rowtypes largeobject
test: indexing
test: event_trigger
`

// pgRows is each table's rows as one sum, and the large objects.
const pgRows = `
SET search_path = ''; SET extra_float_digits = 3; SET client_min_messages = error;
SELECT format('SELECT %L, count(*), md5(string_agg(md5(r::text), '''' ORDER BY md5(r::text))) FROM ONLY %s r', c.oid::regclass, c.oid::regclass)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
-- The order of columns of a table that inherits is known to change with every dump.
  AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid)
ORDER BY c.oid::regclass::text
\gexec
SELECT 'large object', oid, pg_get_userbyid(lomowner), lomacl, md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY oid;
`

// schema is a database's own SQL, with owners and rights, line by line in any order.
func (s *pgServer) schema(t testing.TB, database string) string {
	t.Helper()
	cmd := exec.Command(pgBin+"/pg_dump", "--schema-only", "--dbname="+database)
	cmd.Env = s.environment(database)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("pg_dump of %s: %v", database, err)
	}
	var lines []string
	for _, line := range strings.Split(string(out), "\n") {
		if !strings.HasPrefix(line, `\restrict`) && !strings.HasPrefix(line, `\unrestrict`) {
			lines = append(lines, strings.TrimRight(line, ","))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// environment is what the plain tools are told of the server.
func (s *pgServer) environment(database string) []string {
	return []string{
		"PGHOST=127.0.0.1", fmt.Sprintf("PGPORT=%d", s.port), "PGUSER=" + pgSuper, "PGPASSWORD=" + pgSecret, "PGDATABASE=" + database,
		"PGCLIENTENCODING=UTF8", "PATH=/usr/bin:/bin", "LC_ALL=C",
	}
}

// plainly brings a database back by the plain tools, from a server to another.
func (s *pgServer) plainly(t testing.TB, database string, to *pgServer, into string) {
	t.Helper()
	file := filepath.Join(harness.Folder(t, 0), "plain")
	dump := exec.Command(pgBin+"/pg_dump", "--format=custom", "--file="+file)
	dump.Env = s.environment(database)
	if out, err := dump.CombinedOutput(); err != nil {
		t.Fatalf("pg_dump: %v\n%s", err, out)
	}
	restore := exec.Command(pgBin+"/pg_restore", "--dbname="+into, file)
	restore.Env = to.environment(into)
	if out, err := restore.CombinedOutput(); err != nil {
		t.Logf("the plain tool: %v\n%.2000s", err, out)
	}
}

// TestDataPostgreSQLRegress sends the database that PostgreSQL's own tests leave
// through a copy, to another server and as somebody who is no superuser.
func TestDataPostgreSQLRegress(t *testing.T) {
	source, err := filepath.Abs("../.cache/e2e/data/postgresql-15/src/test/regress")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(source, "regress.so")); err != nil {
		t.Fatalf("%v: run e2e/setup.sh", err)
	}
	s := newPostgreSQL(t)
	uid, gid := serverUser(t, "postgres")
	dir := harness.Folder(t, uid)
	for _, name := range []string{"sql", "expected", "data", "parallel_schedule", "resultmap", "regress.so"} {
		asUser(t, uid, gid, dir, "/bin/cp", "-r", filepath.Join(source, name), dir)
	}
	for _, name := range []string{"refint.so", "autoinc.so"} {
		asUser(t, uid, gid, dir, "/bin/cp", "/usr/lib/postgresql/"+pgVersion+"/lib/"+name, dir)
	}
	schedule := filepath.Join(dir, "parallel_schedule")
	if !wholeData() {
		schedule = filepath.Join(dir, "short_schedule")
		if err := os.WriteFile(schedule, []byte(pgRegressShort), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const params = ` TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'`
	s.sql(t, "postgres", `CREATE ROLE own LOGIN PASSWORD '`+pgOwnerPassword+`'; CREATE DATABASE regression`+params)
	cmd := exec.Command("/usr/lib/postgresql/"+pgVersion+"/lib/pgxs/src/test/regress/pg_regress", "--use-existing", "--dbname=regression", "--inputdir="+dir, "--outputdir="+dir,
		"--dlpath="+dir, "--bindir="+pgBin, "--host=127.0.0.1", "--port="+strconv.Itoa(s.port), "--user="+pgSuper, "--max-connections=4", "--schedule="+schedule)
	cmd.Dir, cmd.Env = dir, append(s.environment("regression"), "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	out, err := cmd.CombinedOutput()
	// Some of its tests tell the version, or the user's name: what matters is the database.
	if ok := strings.Count(string(out), " ... ok"); ok < 30 {
		t.Fatalf("only %d of PostgreSQL's own tests went well: %v\n%s", ok, err, out)
	}
	// The owner of everything that a superuser made cannot read these.
	s.sql(t, "regression", `SELECT format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', oid::regclass) FROM pg_class WHERE relforcerowsecurity \gexec
ALTER DATABASE regression OWNER TO own;
CREATE ROLE other; CREATE TABLE public.of_other (id int); ALTER TABLE public.of_other OWNER TO other; GRANT SELECT ON public.of_other TO own;
CREATE EVENT TRIGGER at_the_end ON ddl_command_end EXECUTE FUNCTION test_event_trigger();
SELECT lo_from_bytea(4711, decode(repeat('00ff5c0a', 100000), 'hex')); COMMENT ON LARGE OBJECT 4711 IS 'large'; ALTER LARGE OBJECT 4711 OWNER TO other; GRANT SELECT ON LARGE OBJECT 4711 TO own;`)
	database := pgDatabase("regression", map[string]any{"username": pgSuper})
	i := harness.Render(t, harness.Inputs{State: s.state(nil, database)})
	o := harness.Options{Image: pgImage(t, "ash"), Secrets: map[string]map[string]string{"postgresql": {"regression": pgSecret}}, Env: map[string]string{}}
	rows := s.sql(t, "regression", pgRows)
	if n := strings.Count(rows, "\n"); n < 150 {
		t.Fatalf("it has only %d tables", n)
	}
	dump, globals := i.Dump(t, "postgresql/regression", o).OK(t).Stdout, i.Dump(t, "postgresql/main-globals", o).OK(t).Stdout

	t.Run("superuser", func(t *testing.T) {
		fresh := newPostgreSQL(t)
		o := o
		o.Env = map[string]string{"PGPORT": strconv.Itoa(fresh.port), "PGDATABASE": "postgres"}
		o.Input = globals
		i.Restore(t, "postgresql/main-globals", o).OK(t)
		sameLines(t, "the roles", s.sql(t, "postgres", pgRoles), fresh.sql(t, "postgres", pgRoles))
		fresh.sql(t, "postgres", `CREATE DATABASE regression OWNER own`+params+`; CREATE DATABASE plain OWNER own`+params)
		o.Env["PGDATABASE"], o.Input = "regression", dump
		i.Restore(t, "postgresql/regression", o).OK(t)
		sameLines(t, "the rows", rows, fresh.sql(t, "regression", pgRows))
		// What the plain tools change as well is no matter of ours.
		s.plainly(t, "regression", fresh, "plain")
		sameLines(t, "the schema, beside the plain tools", fresh.schema(t, "plain"), fresh.schema(t, "regression"))
		// Over what is there, on several connections.
		o.Env["HOLDFAST_OVERWRITE"], o.Env["HOLDFAST_JOBS"] = "yes", "2"
		i.Restore(t, "postgresql/regression", o).OK(t)
		sameLines(t, "the rows, again", rows, fresh.sql(t, "regression", pgRows))
		sameLines(t, "the schema, again", fresh.schema(t, "plain"), fresh.schema(t, "regression"))
	})

	t.Run("owner", func(t *testing.T) {
		// One who acts for all roles but other, and is no superuser.
		s.sql(t, "regression", `SELECT format('GRANT %I TO own', rolname) FROM pg_roles WHERE rolname !~ '^pg_' AND rolname NOT IN ('own', 'other') \gexec`)
		database["username"] = "own"
		o := o
		o.Env, o.Secrets = map[string]string{}, map[string]map[string]string{"postgresql": {"regression": pgOwnerPassword}}
		harness.Render(t, harness.Inputs{State: s.state(nil, database)}).Dump(t, "postgresql/regression", o).Fails(t, 65, "would not come back from this copy")
		state := s.state(nil, database)
		state["backup"] = map[string]any{"enabled": true, "losses": map[string]any{"postgresql": pgAccepts("owner", "*", "superuser", "*", "grant", "*", "definer", "*")}}
		i := harness.Render(t, harness.Inputs{State: state})
		dump := i.Dump(t, "postgresql/regression", o).OK(t).Stdout
		lost := lostItems(t, dump)
		for loss, item := range map[string]string{"owner": "TABLE public of_other other", "superuser": "EVENT TRIGGER - at_the_end"} {
			if !slices.ContainsFunc(lost[loss], func(lost string) bool { return strings.HasPrefix(lost, item) }) {
				t.Errorf("the copy does not say that it lacks %s", item)
			}
		}
		if !slices.Contains(lost["owner"], "BLOB - 4711 other") {
			t.Errorf("the copy does not say who owns 4711: %q", lost["owner"])
		}
		s.sql(t, "postgres", `ALTER DATABASE regression RENAME TO before; CREATE DATABASE regression OWNER own`+params)
		o.Input = dump
		// Everything that is not there was named on the night.
		i.Restore(t, "postgresql/regression", o).OK(t)
		have := strings.Split(s.sql(t, "regression", pgRows), "\n")
		lacking := 0
		for _, line := range strings.Split(rows, "\n") {
			if table, _, _ := strings.Cut(line, "|"); slices.Contains(have, line) {
				continue
			} else if table != "large object" && !bytes.Contains(dump[len(dump)-1<<16:], []byte("TABLE DATA "+strings.ReplaceAll(table, ".", " ")+" ")) {
				t.Errorf("nobody said that %s would be missing", line)
			}
			lacking++
		}
		if lacking == 0 || lacking > 20 {
			t.Errorf("%d tables are missing", lacking)
		}
	})
}

// text makes a database of so many bytes of text that compresses two to one, and
// renders its unit.
func (s *pgServer) text(t testing.TB, bytes int64) (*harness.Instance, harness.Options) {
	t.Helper()
	s.sql(t, "postgres", `CREATE ROLE own LOGIN PASSWORD '`+pgOwnerPassword+`'; CREATE DATABASE text OWNER own TEMPLATE template0`)
	s.sql(t, "text", fmt.Sprintf(`SET ROLE own; DO $$ BEGIN FOR n IN 1..8 LOOP
EXECUTE format('CREATE UNLOGGED TABLE t%%s AS SELECT i AS id, (SELECT string_agg(md5((i * 32 + %%s * k)::text), '' '') FROM generate_series(1, 30) k) AS x FROM generate_series(1, %d) i', n, n);
END LOOP; END $$`, bytes/8/1000))
	state := s.state(nil, pgDatabase("text", map[string]any{"username": "own"}))
	state["backup"] = map[string]any{"enabled": true, "sizes": map[string]any{"postgresql/text": map[string]any{"bytes": "50Gi"}}}
	i := harness.Render(t, harness.Inputs{State: state})
	return i, harness.Options{Image: pgImage(t, "ash"), Secrets: map[string]map[string]string{"postgresql": {"text": pgOwnerPassword}}, Env: map[string]string{}}
}

// pgMegabytes is how much data a test of size or cost takes.
func pgMegabytes(t testing.TB, usual int64) int64 {
	t.Helper()
	value := os.Getenv("HOLDFAST_DATA_MB")
	if value == "" {
		return usual << 20
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 20
}

// BenchmarkDataPostgreSQL has our dump into restic beside the plain tools'.
func BenchmarkDataPostgreSQL(b *testing.B) {
	s := newPostgreSQL(b)
	i, o := s.text(b, pgMegabytes(b, 500))
	for b.Loop() {
		store := func(name string, start func(io.Writer) error) float64 {
			repository := harness.Folder(b, 0)
			restic := func(arguments ...string) *exec.Cmd {
				cmd := exec.Command(harness.Program(b, "restic"), append([]string{"--quiet", "--repo", repository}, arguments...)...)
				cmd.Env = []string{"RESTIC_PASSWORD=plain", "RESTIC_CACHE_DIR=" + harness.Folder(b, 0), "HOME=/tmp"}
				return cmd
			}
			if out, err := restic("init").CombinedOutput(); err != nil {
				b.Fatalf("restic: %v\n%s", err, out)
			}
			cmd := restic("backup", "--stdin", "--stdin-filename", name)
			into, err := cmd.StdinPipe()
			if err != nil {
				b.Fatal(err)
			}
			since := time.Now()
			if err := cmd.Start(); err != nil {
				b.Fatal(err)
			}
			if err := start(into); err != nil {
				b.Fatalf("%s: %v", name, err)
			}
			if err := into.Close(); err != nil {
				b.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				b.Fatalf("%s: restic: %v", name, err)
			}
			return time.Since(since).Seconds()
		}
		plain := func(w io.Writer) error {
			cmd := exec.Command(pgBin+"/pg_dump", "--format=custom", "--compress=0")
			cmd.Env, cmd.Stdout = s.environment("text"), w
			return cmd.Run()
		}
		ours := func(w io.Writer) error {
			o := o
			o.Stdout = w
			i.Dump(b, "postgresql/text", o).OK(b)
			return nil
		}
		// The first one fills the server's memory for the second.
		store("warm", plain)
		first, second := store("plain", plain), store("ours", ours)
		first, second = min(first, store("plain", plain)), min(second, store("ours", ours))
		b.ReportMetric(second, "s/ours")
		b.ReportMetric(first, "s/plain")
		b.ReportMetric(second/first, "ratio")
	}
}
