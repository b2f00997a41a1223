#!/bin/sh
# Tries what dump.sh and restore.sh of a MariaDB server need: the login, and the
# right to read the accounts.
#
#   MARIADB_HOST MARIADB_PORT MARIADB_USER MYSQL_PWD MARIADB_TLS   as for dump.sh
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/preflight/checks.sh"
begin

. "$HOLDFAST_ROOT/bin/connect.sh"
set -- "$@" --connect-timeout=10

# query SQL [ARG…]
query() {
  query_sql=$1
  shift
  attempt 69 mariadb mariadb "$@" --batch --execute="$query_sql"
}

if check login 'compare user and password with those of the server' query 'SELECT 1' "$@"; then
  check accounts 'grant the user SELECT on mysql.*: the dump holds the accounts' query 'SELECT 1 FROM mysql.user LIMIT 1' "$@" || :
fi
