#!/bin/sh
# Dumps one PostgreSQL database, or the roles of a server.
#
#   HOLDFAST_MODE    database | globals
#   HOLDFAST_ROLE_PASSWORDS   yes: dump them, too, if the login may read them
#   PGHOST PGPORT PGDATABASE PGUSER PGPASSWORD PGSSLMODE [PGSSLROOTCERT]
#                    read by the client itself; none becomes an argument
#
# database: custom format, every schema, large objects; counts tables with data.
# globals: SQL; role passwords only for a superuser, nobody else may read them;
# counts roles.
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/connect.sh"

require_tools pg_dump pg_dumpall pg_restore psql
need HOLDFAST_MODE
refuse_if_locked

dump=$WORK/dump
case $HOLDFAST_MODE in
  database)
    attempt 69 pg_dump \
      pg_dump --format=custom --no-password --lock-wait-timeout=60s --file="$dump"
    # Reading the whole file proves it complete; --list reads only its start.
    attempt 65 'reading the dump back' pg_restore --file=/dev/null "$dump"
    attempt 65 'listing the dump' pg_restore --list "$dump" >"$WORK/list"
    count=$(count_lines '^[0-9]+; [0-9]+ [0-9]+ TABLE DATA ' "$WORK/list")
    ;;
  globals)
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
    count=$(count_lines '^CREATE ROLE ' "$dump")
    ;;
  *) die 64 'HOLDFAST_MODE is neither database nor globals' ;;
esac
publish "$dump" "$count" '-- '
