#!/bin/sh
# Restores what dump.sh made. Everything or nothing: one transaction.
#
#   HOLDFAST_MODE    database | globals
#   HOLDFAST_INPUT   the dump
#   PG…              as for dump.sh; PGUSER must be allowed to create
#   HOLDFAST_OVERWRITE      "yes": replace what the target holds already
#   HOLDFAST_OWNER          database: the role that is to own everything
#   HOLDFAST_CREATE_PARAMS  database: how it must have been created, as in
#                           ENCODING 'UTF8' LC_COLLATE='C'; compared, never run
#
# database: into an existing database. One that is not empty is refused, unless
# HOLDFAST_OVERWRITE is "yes": then each object of the dump is dropped and made
# again, and objects that are not in the dump stay.
# globals: roles that exist are left as they are, unless HOLDFAST_OVERWRITE is
# "yes": then their attributes are set. Passwords are not in the dump.
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/connect.sh"

require_tools pg_restore psql
need HOLDFAST_MODE
INPUT=${HOLDFAST_INPUT:-$HOLDFAST_SCRATCH/input}
OVERWRITE=${HOLDFAST_OVERWRITE:-no}
OWNER=${HOLDFAST_OWNER:-}
CREATE_PARAMS=${HOLDFAST_CREATE_PARAMS:-}
[ -f "$INPUT" ] || die 64 "$INPUT is absent"

# query [ARG…]: SQL on stdin, plain values on stdout.
query() {
  attempt 69 psql psql -X --no-password --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 "$@"
}

# like_created WORD VALUE: CREATE_PARAMS must not say another value for WORD.
like_created() {
  wanted=$(printf '%s' "$CREATE_PARAMS" | sed -n "s/.*$1 *=\{0,1\} *'\([^']*\)'.*/\1/p")
  [ -z "$wanted" ] || [ "$wanted" = "$2" ] ||
    die 65 "the target database has $1 $2, but it must have $wanted: create it anew with $CREATE_PARAMS"
}

# restore_properties: settings and grants of the database itself. pg_restore only
# restores them along with CREATE DATABASE, so that is taken out of its SQL. A
# database of another name has its own.
restore_properties() {
  grep -qxF -e ";     dbname: $PGDATABASE" -- "$WORK/list" || return 0
  attempt 65 'listing the dump' pg_restore --list --create "$INPUT" >"$WORK/list.all"
  grep -E '^[0-9]+; [0-9]+ [0-9]+ (DATABASE PROPERTIES - |(ACL|COMMENT|SECURITY LABEL) - DATABASE )' "$WORK/list.all" >"$WORK/properties" ||
    return 0
  attempt 65 'reading the dump' \
    pg_restore --create --no-owner --use-list="$WORK/properties" --file="$WORK/properties.all" "$INPUT"
  attempt 65 'reading the dump' \
    sed -e '/^CREATE DATABASE /d' -e '/^\\connect /d' -e '/^\\restrict /d' -e '/^\\unrestrict /d' "$WORK/properties.all" >"$WORK/sql"
  attempt 69 "setting the database's own settings and grants (its content is restored)" \
    psql -X --no-password --quiet --set=ON_ERROR_STOP=1 --single-transaction --file="$WORK/sql" >"$WORK/out"
}

restore_database() {
  attempt 65 'reading the dump' pg_restore --list "$INPUT" >"$WORK/list"
  expected=$(count_lines '^[0-9]+; [0-9]+ [0-9]+ TABLE DATA ' "$WORK/list")

  query >"$WORK/created" <<'SQL'
SELECT pg_catalog.pg_encoding_to_char(encoding) FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database();
SELECT datcollate FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database();
SELECT datctype FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database();
SQL
  { read -r encoding && read -r collate && read -r ctype; } <"$WORK/created" || die 69 'the server told nothing about the database'
  like_created ENCODING "$encoding"
  like_created LC_COLLATE "$collate"
  like_created LC_CTYPE "$ctype"

  # What the user made; what belongs to an extension does not count.
  query >"$WORK/held" <<'SQL'
WITH own AS (
  SELECT oid, nspname FROM pg_catalog.pg_namespace
  WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
), extension AS (
  SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'
)
SELECT
  (SELECT count(*) FROM pg_catalog.pg_class c JOIN own ON own.oid = c.relnamespace
   WHERE (c.tableoid, c.oid) NOT IN (SELECT classid, objid FROM extension))
+ (SELECT count(*) FROM pg_catalog.pg_proc p JOIN own ON own.oid = p.pronamespace
   WHERE (p.tableoid, p.oid) NOT IN (SELECT classid, objid FROM extension))
+ (SELECT count(*) FROM pg_catalog.pg_type t JOIN own ON own.oid = t.typnamespace
   WHERE t.typtype IN ('d', 'e', 'r') AND (t.tableoid, t.oid) NOT IN (SELECT classid, objid FROM extension))
+ (SELECT count(*) FROM own
   WHERE nspname <> 'public' AND ('pg_catalog.pg_namespace'::pg_catalog.regclass, oid) NOT IN (SELECT classid, objid FROM extension))
+ (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata);
SQL
  read -r held <"$WORK/held"
  set --
  if [ "$held" -gt 0 ]; then
    [ "$OVERWRITE" = yes ] ||
      die 65 "the target database holds $held objects; set HOLDFAST_OVERWRITE=yes to replace those that the dump holds"
    set -- --clean --if-exists
  fi
  if [ -n "$OWNER" ] && [ "$OWNER" != "$PGUSER" ]; then
    query --set=owner="$OWNER" >"$WORK/member" <<'SQL'
SELECT COALESCE(
  (SELECT CASE WHEN pg_catalog.pg_has_role(oid, 'MEMBER') THEN 'member' ELSE 'stranger' END
   FROM pg_catalog.pg_roles WHERE rolname = :'owner'),
  'absent');
SQL
    read -r member <"$WORK/member"
    case $member in
      member) set -- "$@" --role="$OWNER" ;;
      absent) die 69 "the role $OWNER does not exist: restore the server's globals first" ;;
      *) die 70 "$PGUSER is no member of $OWNER, so it cannot restore for it: connect as the owner" ;;
    esac
  fi
  # What is there already stays: an extension belongs to whoever made it, and a
  # schema may hold more than the dump. So does an extension's comment. The list
  # prints a schema and its owner with a blank between them, and either may have
  # blanks; the SQL tells them apart.
  query >"$WORK/extensions" <<'SQL'
SELECT extname FROM pg_catalog.pg_extension;
SQL
  query >"$WORK/namespaces" <<'SQL'
SELECT nspname FROM pg_catalog.pg_namespace;
SQL
  sed '/^[0-9]*; [0-9]* [0-9]* SCHEMA - /!d' "$WORK/list" >"$WORK/schemas.list"
  attempt 65 'reading the dump' pg_restore --use-list="$WORK/schemas.list" --file="$WORK/schemas.sql" "$INPUT"
  sed -n 's/^-- Name: \(.*\); Type: SCHEMA; Schema: -; Owner: .*$/\1/p' "$WORK/schemas.sql" >"$WORK/schemas"
  # shellcheck disable=SC2016 # awk's own fields
  attempt 65 'reading the list' awk '
    FILENAME == ARGV[1] { extension[$0] = 1; next }
    FILENAME == ARGV[2] { namespace[$0] = 1; next }
    FILENAME == ARGV[3] { schema[++schemas] = $0; next }
    /^[0-9]+; [0-9]+ [0-9]+ COMMENT - EXTENSION / { next }
    /^[0-9]+; [0-9]+ [0-9]+ EXTENSION - / {
      name = $0
      sub(/^[0-9]+; [0-9]+ [0-9]+ EXTENSION - /, "", name)
      sub(/ [^ ]*$/, "", name)
      if (name in extension) next
    }
    /^[0-9]+; [0-9]+ [0-9]+ SCHEMA - / { if (schema[++seen] in namespace) next }
    { print }
    END { if (seen != schemas) { print "the dump lists " seen + 0 " schemas and makes " schemas + 0 >"/dev/stderr"; exit 1 } }
  ' "$WORK/extensions" "$WORK/namespaces" "$WORK/schemas" "$WORK/list" >"$WORK/uselist"
  attempt 69 pg_restore \
    pg_restore --dbname= --no-password --exit-on-error --single-transaction --no-owner \
    --use-list="$WORK/uselist" "$@" "$INPUT"
  restore_properties

  query >"$WORK/tables" <<'SQL'
SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema';
SQL
  read -r tables <"$WORK/tables"
  [ "$tables" -ge "$expected" ] || die 65 "the target has $tables tables, the dump has data of $expected"
  say "restored: $tables tables, data of $expected from the dump"
}

restore_globals() {
  grep -qxF -e '-- PostgreSQL database cluster dump complete' -- "$INPUT" || die 65 'the dump is cut: its last line is missing'
  ! grep -q '^CREATE TABLESPACE ' "$INPUT" ||
    die 65 'the dump holds tablespaces, which need folders on the server: create them by hand and take the lines out'
  query >"$WORK/roles" <<'SQL'
SELECT pg_catalog.quote_ident(rolname) FROM pg_catalog.pg_roles;
SQL
  query >"$WORK/members" <<'SQL'
SELECT 'GRANT ' || pg_catalog.quote_ident(r.rolname) || ' TO ' || pg_catalog.quote_ident(m.rolname)
FROM pg_catalog.pg_auth_members a JOIN pg_catalog.pg_roles r ON r.oid = a.roleid JOIN pg_catalog.pg_roles m ON m.oid = a.member;
SQL
  # Statements of roles that exist are left out by name, so that any error that
  # is left is a real one; so are memberships that exist. Who granted one is not
  # restored: only a superuser may say so. For a new role the attributes that only a superuser
  # may even mention are left out where they say the default.
  EXISTING=$WORK/existing
  : >"$EXISTING"
  export OVERWRITE EXISTING
  # shellcheck disable=SC2016 # awk's own fields
  attempt 65 'reading the dump' awk '
    # name: the role at the start of s, as quote_ident would print it.
    function name(s,   i) {
      if (substr(s, 1, 1) != "\"") { match(s, /^[^ ;]+/); return substr(s, 1, RLENGTH) }
      for (i = 2; i <= length(s); i++) {
        if (substr(s, i, 1) != "\"") continue
        if (substr(s, i + 1, 1) != "\"") break
        i++
      }
      return substr(s, 1, i)
    }
    function attributes(line, role,   head, rest) {
      head = "ALTER ROLE " role " WITH "
      if (substr(line, 1, length(head)) != head) return line
      rest = " " substr(line, length(head) + 1)
      gsub(/ (NOSUPERUSER|NOREPLICATION|NOBYPASSRLS)/, "", rest)
      sub(/^ /, "", rest)
      return rest ~ /^;/ ? "" : head rest
    }
    FILENAME == ARGV[1] { exists[$0] = 1; next }
    FILENAME == ARGV[2] { member[$0] = 1; next }
    /^GRANT / {
      for (m in member) if (index($0, m) == 1 && substr($0, length(m) + 1, 1) ~ /[ ;]/) next
      sub(/ GRANTED BY ("([^"]|"")*"|[^" ;]+);$/, ";")
    }
    /^CREATE ROLE / {
      role = name(substr($0, 13))
      if (role in exists) { print role > ENVIRON["EXISTING"]; next }
      made[role] = 1; print; next
    }
    /^ALTER ROLE / {
      role = name(substr($0, 12))
      if (role in made) { print attributes($0, role); next }
      if (ENVIRON["OVERWRITE"] != "yes") next
    }
    { print }' "$WORK/roles" "$WORK/members" "$INPUT" >"$WORK/sql"
  while IFS= read -r role; do
    say "the role $role exists already"
  done <"$EXISTING"
  attempt 69 psql psql -X --no-password --quiet --set=ON_ERROR_STOP=1 --single-transaction --file="$WORK/sql" >"$WORK/out"
  created=$(count_lines '^CREATE ROLE ' "$WORK/sql")
  query >"$WORK/after" <<'SQL'
SELECT pg_catalog.quote_ident(rolname) FROM pg_catalog.pg_roles;
SQL
  attempt 65 'reading the dump' sed -n 's/^CREATE ROLE \(.*\);$/\1/p' "$INPUT" >"$WORK/wanted"
  while IFS= read -r role; do
    grep -qxF -e "$role" -- "$WORK/after" || printf '%s\n' "$role"
  done <"$WORK/wanted" >"$WORK/missing"
  [ ! -s "$WORK/missing" ] || die 65 "roles are missing after the restore: $(tr '\n' ' ' <"$WORK/missing")"
  say "restored: $created roles were made; set their passwords from the Secrets"
}

case $HOLDFAST_MODE in
  database) restore_database ;;
  globals) restore_globals ;;
  *) die 64 'HOLDFAST_MODE is neither database nor globals' ;;
esac
