#!/bin/sh
# Dumps one PostgreSQL database, or the roles of a server.
#
#   HOLDFAST_MODE    database | globals
#   HOLDFAST_ROLE_PASSWORDS   yes: dump them, too, if the login may read them
#   HOLDFAST_OWNER   database: the role that a restore acts as, where the login is
#                    no superuser
#   PGHOST PGPORT PGDATABASE PGUSER PGPASSWORD PGSSLMODE [PGSSLROOTCERT]
#                    read by the client itself; none becomes an argument
#
# database: custom format, every schema, large objects; printed while it is made,
# and not compressed, for restic finds no part again in what is; counts tables with
# data. What the login could not bring back is named first.
# globals: SQL; role passwords only for a superuser, nobody else may read them;
# counts roles.
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/losses.sh"
. "$HOLDFAST_ROOT/bin/stream.sh"
. "$HOLDFAST_ROOT/bin/lock.sh"
begin
. "$HOLDFAST_ROOT/bin/connect.sh"
. "$HOLDFAST_ROOT/bin/toc.sh"

require_tools dd mkfifo mv pg_dump pg_dumpall pg_restore psql
need HOLDFAST_MODE
refuse_if_locked

# contents FILE: the entries of a dump of the schema alone, without their numbers.
contents() {
  attempt 69 pg_dump \
    pg_dump --format=custom --schema-only --no-password --lock-wait-timeout=60s --file="$1"
  attempt 65 'listing the dump' pg_restore --list "$1" >"$WORK/list"
  attempt 65 'reading the dump' pg_restore --verbose --file="$WORK/text" "$1"
}

# note_losses: what could not come back.
note_losses() {
  actor 65
  contents "$WORK/schema"
  # An old list would be taken for the new one's.
  : >"$WORK/entries"
  examine "$WORK/list" "$WORK/text"
  # shellcheck disable=SC2016 # awk's own fields
  attempt 73 'writing to scratch' awk -F '\t' '
    $5 == "-" { next }
    { print $5 "\t" $10 "\t" $6 }
    # The rows are no entry of a dump without data.
    $3 == "TABLE" && $5 == "superuser" { print $5 "\tTABLE DATA" substr($10, 6) "\tit needs " $10 }
    $3 == "SEQUENCE" && $5 == "superuser" { print $5 "\tSEQUENCE SET" substr($10, 9) "\tit needs " $10 }
  ' "$WORK/entries" >"$WORK/found"
  query --set=actor="$ACTOR" >>"$WORK/found" <"$HOLDFAST_ROOT/bin/losses.sql"
  cat -- "$WORK/found" >>"$WORK/losses" || die 73 'scratch cannot be written'
  clean_losses
}

# named LIST: the items of a schema, to see whether two lists are of the same.
named() {
  sed -nE -e '/^[0-9]+; [0-9]+ [0-9]+ (TABLE DATA|MATERIALIZED VIEW DATA|SEQUENCE SET|BLOB|BLOBS|BLOB METADATA|BLOB COMMENTS|(ACL|COMMENT|SECURITY LABEL) - LARGE OBJECTS?|STATISTICS DATA) /d' \
    -e 's/^[0-9]+; [0-9]+ [0-9]+ //p' "$1"
}

# warnings: pg_dump ends well where it left something out, and says so. Known ones:
# keys in a circle, which matter to a restore of data alone, and subscriptions,
# which are named above. What the server says is no word about the copy.
warnings() {
  # shellcheck disable=SC2016 # awk's own fields
  awk '
    { gsub(/[\001-\037\177]/, " ") }
    /^pg_dump: warning: / {
      line = substr($0, 19)
      if (line ~ /^there are circular foreign-key constraints|^subscriptions not dumped because current user is not a superuser/) next
      print "warning\t" line "\tpg_dump says so"
    }' "$WORK/warnings" >>"$WORK/losses" || die 73 'scratch cannot be written'
  # shellcheck disable=SC2016 # awk's own fields
  awk '/^(pg_dump: )?WARNING: / { print }' "$WORK/warnings" >"$WORK/said" || die 73 'scratch cannot be written'
  [ ! -s "$WORK/said" ] || masked "$WORK/said" >&2
  clean_losses
}

dump_database() {
  : >"$WORK/losses"
  note_losses
  settle_losses
  named "$WORK/list" >"$WORK/before"
  # The list stands at the start of a dump.
  # shellcheck disable=SC2317 # called by stream
  entries_of() { pg_restore --list >"$WORK/list" 2>"$WORK/list.err"; }
  stream entries_of pg_dump --format=custom --compress=0 --no-password --lock-wait-timeout=60s
  mv -- "$WORK/stderr" "$WORK/warnings" || die 73 'scratch cannot be written'
  cat -- "$WORK/list" >"$WORK/whole.list" || die 73 'scratch cannot be written'
  named "$WORK/list" >"$WORK/after"
  # Somebody changed the schema in between: what is new may be a loss as well.
  if ! awk 'FILENAME == ARGV[1] { old[$0] = 1; next } !($0 in old) { exit 1 }' "$WORK/before" "$WORK/after"; then
    say 'the schema was changed while it was dumped'
    : >"$WORK/losses"
    note_losses
  fi
  warnings
  count=$(count_lines '^[0-9]+; [0-9]+ [0-9]+ TABLE DATA ' "$WORK/whole.list")
  # The last block of rows ends with the number 0, a byte for its sign and four.
  if [ "$count" -gt 0 ] && [ "$(tail -c 5 <"$WORK/tail" | tr -d '\000' | wc -c)" -ne 0 ]; then
    die 65 'the dump is cut: its rows have no end'
  fi
  end_stream "$count" '-- '
}

dump_globals() {
  dump=$WORK/dump
  # pg_dumpall does not say why it cannot connect; psql does.
  attempt 69 connecting psql -X --no-password --quiet --command='SELECT 1' >/dev/null
  passwords=--no-role-passwords
  if [ "${HOLDFAST_ROLE_PASSWORDS:-no}" = yes ]; then
    attempt 69 'asking for rights' psql -X --no-password --quiet --tuples-only --no-align \
      --command="SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')" >"$WORK/superuser"
    read -r superuser <"$WORK/superuser"
    if [ "$superuser" = t ]; then
      passwords=
    else
      say "$PGUSER is no superuser, so the roles are dumped without their passwords"
    fi
  fi
  # An empty name means PGDATABASE: a name given here would be taken for
  # connection settings if it held a "=".
  attempt 69 pg_dumpall \
    pg_dumpall --globals-only ${passwords:+"$passwords"} --no-password --database= --file="$dump"
  # Newer clients print a line after the trailer.
  tail -n 10 <"$dump" >"$WORK/end" || die 73 'scratch cannot be read'
  grep -qxF -e '-- PostgreSQL database cluster dump complete' -- "$WORK/end" ||
    die 65 'the dump is cut: its last line is missing'
  statements "$dump" >"$WORK/statements"
  count=$(count_lines '^CREATE ROLE ' "$WORK/statements")
  : >"$WORK/losses"
  attempt 73 'writing to scratch' sed -nE 's/^CREATE TABLESPACE ("([^"]|"")*"|[^ ]+) .*$/tablespace\tTABLESPACE \1\tit is a folder on the server: make it by hand/p' "$WORK/statements" >"$WORK/losses"
  clean_losses
  publish "$dump" "$count" '-- '
}

case $HOLDFAST_MODE in
  database) dump_database ;;
  globals) dump_globals ;;
  *) die 64 'HOLDFAST_MODE is neither database nor globals' ;;
esac
