#!/bin/sh
# in-pod-login.sh DATA-FOLDER: runs in Cassandra's pod, and tries the login. Its stdin holds
# user and password.
set -eu
umask 077
tmp=$(mktemp -d "${TMPDIR:-/tmp}/holdfast.XXXXXX")
trap "rm -rf \"\$tmp\"" EXIT
credentials "$tmp/credentials"
[ -d "$1" ] || { echo "there is no folder $1" >&2; exit 1; }
cqlsh --credentials="$tmp/credentials" --execute="SELECT keyspace_name FROM system_schema.keyspaces LIMIT 1" </dev/null >&2
