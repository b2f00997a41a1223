#!/bin/sh
# Tries what dump.sh and restore.sh of a PostgreSQL database need: the login, and
# a client that is not older than its server.
#
#   PG…   as for dump.sh
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/preflight/checks.sh"
begin
. "$HOLDFAST_ROOT/bin/connect.sh"

login() {
  attempt 69 psql psql -X --no-password --quiet --tuples-only --no-align --command='SHOW server_version' >"$WORK/server"
}

# pg_dump refuses a server that is newer than itself.
client() {
  version_in "$(cat "$WORK/server")"
  server=${VERSION%%.*}
  version_in "$(pg_dump --version)"
  [ "${VERSION%%.*}" -ge "$server" ] ||
    die 65 "the server is PostgreSQL $server, pg_dump is $VERSION: it refuses to dump a newer server"
}

if check login 'compare user, database and password with those of the server' login; then
  check client "set the server's serverVersion in the state" client || :
fi
