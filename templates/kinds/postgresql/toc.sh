#!/bin/sh
# toc.sh is sourced, after connect.sh, by dump.sh and restore.sh: what stands in a
# dump of a database, and which of it the login could not bring back as it was.
# Both ask the same, so that a night names what the restore would miss.
#
# An item is called as "pg_restore --list" calls it, without its numbers: what it
# is, its schema, its name, its owner, as in "TABLE public t shop".

# query [ARG…]: SQL on stdin, plain values on stdout.
query() {
  attempt 69 psql psql -X --no-password --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 "$@"
}

# actor: sets SUPERUSER (t or f) and ACTOR, the role that a restore acts as: the
# login, or HOLDFAST_OWNER where the login is a member of it. A superuser acts for
# everybody, so that everything comes back as it was. Dies with code $1 where the
# owner is of no use.
actor() {
  ACTOR=$PGUSER
  export ACTOR
  query --set=owner="${HOLDFAST_OWNER:-}" >"$WORK/actor" <<'SQL'
SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER;
SELECT COALESCE(
  (SELECT CASE WHEN pg_catalog.pg_has_role(oid, 'MEMBER') THEN 'member' ELSE 'stranger' END
   FROM pg_catalog.pg_roles WHERE rolname = :'owner'),
  'absent');
SQL
  { read -r SUPERUSER && read -r actor_member; } <"$WORK/actor" || die 69 'the server told nothing about the login'
  if [ "$SUPERUSER" = f ] && [ -n "${HOLDFAST_OWNER:-}" ] && [ "$HOLDFAST_OWNER" != "$PGUSER" ]; then
    case $actor_member in
      member) ACTOR=$HOLDFAST_OWNER ;;
      absent) die 69 "the role $HOLDFAST_OWNER does not exist: restore the server's globals first" ;;
      *) die "$1" "$PGUSER is no member of $HOLDFAST_OWNER, so it cannot restore for it: connect as the owner" ;;
    esac
  fi
}

# examine LIST TEXT: what could not come back as it was, from the dump's list and
# its SQL ("pg_restore --verbose", which names each entry before it). Sets the file
# $WORK/entries, a line for each entry of the list, between tabs:
#
#   id, oid, what it is, 1 if we act for its owner or else 0, the name of its loss
#   or "-", why or "-", the ids that it depends on or "-", how it must be brought
#   back or "-", the item without its owner, the item
#
# How: "definer" for a function that runs with the rights of its owner, "grantor"
# for rights that others granted, "skip" for rights that are not tried. Rights also
# stand in $WORK/rights: the item without its owner, a tab, a statement. So do
# comments of extensions and schemas, for who did not make one may not set it anew.
#
# Names are somebody else's: a body may hold what looks like such a header. One
# counts only if it fits the list, and if two fit for one entry nobody can tell
# them apart.
examine() {
  query --set=actor="$ACTOR" >"$WORK/acts" <<'SQL'
SELECT pg_catalog.regexp_replace(rolname, '[\x01-\x1f\x7f]', ' ', 'g') FROM pg_catalog.pg_roles
WHERE pg_catalog.pg_has_role(:'actor', oid,
  CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END);
SQL
  query --set=actor="$ACTOR" >"$WORK/limits" <"$HOLDFAST_ROOT/bin/limits.sql"
  : >"$WORK/rights"
  attempt 65 'reading the list of the dump' awk -v superuser="$SUPERUSER" -v rights="$WORK/rights" -f "$HOLDFAST_ROOT/bin/entries.awk" "$WORK/acts" "$WORK/limits" "$1" "$2" >"$WORK/entries"
}

# statements FILE, on stdout: each statement of a script of pg_dumpall as one line,
# its own line breaks as \001. Comments and what is psql's own are left out. A
# comment of a role may hold lines that look like statements; only quotes tell.
# pg_dumpall doubles quotes and escapes none.
statements() {
  attempt 65 'reading the dump' awk -f "$HOLDFAST_ROOT/bin/statements.awk" "$1"
}
