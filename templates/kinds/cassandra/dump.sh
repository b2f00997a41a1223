#!/bin/sh
# Writes one Cassandra node's keyspaces as a tar: schema.cql, then the snapshot
# of each table, then an end mark. Counts tables; one that has no schema or no
# snapshot is a loss. nodetool speaks to the node's
# own JMX port only, so the work is done inside the node's pod, through exec.
#
#   HOLDFAST_NAMESPACE
#   CASSANDRA_POD CASSANDRA_CONTAINER   where to exec
#   CASSANDRA_DATA_DIR                  the folder in there that holds one for each keyspace
#   CASSANDRA_KEYSPACES                 one a line
#   CASSANDRA_USER CASSANDRA_PASSWORD   for the schema; JMX asks for none
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/losses.sh"
. "$HOLDFAST_ROOT/bin/stream.sh"
. "$HOLDFAST_ROOT/bin/lock.sh"
begin
. "$HOLDFAST_ROOT/bin/cql.sh"

require_tools dd kubectl mkfifo tar tee
need HOLDFAST_NAMESPACE CASSANDRA_POD CASSANDRA_CONTAINER CASSANDRA_DATA_DIR CASSANDRA_KEYSPACES \
  CASSANDRA_USER CASSANDRA_PASSWORD
one_line CASSANDRA_USER "$CASSANDRA_USER"
one_line CASSANDRA_PASSWORD "$CASSANDRA_PASSWORD"
refuse_if_locked

lines "$CASSANDRA_KEYSPACES" >"$WORK/keyspaces"
set --
while IFS= read -r keyspace; do
  case $keyspace in
    *[!A-Za-z0-9_]*) die 64 "\"$keyspace\" is no keyspace's name" ;;
  esac
  set -- "$@" "$keyspace"
done <"$WORK/keyspaces"

printf '%s\n%s\n' "$CASSANDRA_USER" "$CASSANDRA_PASSWORD" >"$WORK/stdin"
# shellcheck disable=SC2034 # for stream
STREAM_INPUT=$WORK/stdin
# shellcheck disable=SC2317 # called by stream
stream_failed() {
  case $1 in
    64) failed 64 "the dump in $CASSANDRA_POD (is dataDir right, and does the keyspace exist?)" "$1" ;;
    *) failed 69 "the dump in $CASSANDRA_POD" "$1" ;;
  esac
}
# The names of the tar's entries, and its schema, while it passes.
# shellcheck disable=SC2317 # called by stream
entries() {
  mkfifo -- "$WORK/to.schema" || return 1
  { tar -xOf - schema.cql >"$WORK/schema.cql" && cat >/dev/null; } <"$WORK/to.schema" 2>"$WORK/schema.err" &
  entries_schema=$!
  entries_status=0
  tee -- "$WORK/to.schema" | tar -tf - >"$WORK/list" 2>"$WORK/list.err" || entries_status=$?
  # It may come to the schema after the list has ended. What it lacks is told below.
  wait "$entries_schema" || :
  return "$entries_status"
}
program=$(cat -- "$HOLDFAST_ROOT/bin/in-pod-credentials.sh" "$HOLDFAST_ROOT/bin/in-pod-dump.sh")
stream entries kubectl exec --stdin --namespace="$HOLDFAST_NAMESPACE" --container="$CASSANDRA_CONTAINER" "$CASSANDRA_POD" -- \
  sh -c "$program" holdfast holdfast "$CASSANDRA_DATA_DIR" "$@"
rm -f -- "$WORK/stdin"

# A stream that broke may still have ended with exit code 0.
tail -n 1 <"$WORK/list" | grep -qx 'holdfast-complete' || die 65 'the tar is cut: its last entry is missing'
only_cql "$WORK/schema.cql"
for keyspace; do
  grep -Eqi "^CREATE KEYSPACE \"?$keyspace\"? " "$WORK/schema.cql" || die 65 "the schema lacks the keyspace $keyspace"
  grep -q "^$keyspace/[^/]*/snapshots/[^/]*/manifest\.json\$" "$WORK/list" || die 65 "the tar holds no table of the keyspace $keyspace"
done
count=$(count_lines '/snapshots/[^/]+/manifest\.json$' "$WORK/list")
schemas=$(count_lines '/snapshots/[^/]+/schema\.cql$' "$WORK/list")
[ "$count" -eq "$schemas" ] || die 65 "the tar holds $count manifests, but $schemas schemas of tables"
# What was dropped or made between the snapshot and the schema is in one of them only.
tables "$WORK/schema.cql.heads" >"$WORK/described"
attempt 65 'comparing tables and schema' awk -f "$HOLDFAST_ROOT/bin/compare.awk" \
  part=schema "$WORK/described" part=list "$WORK/list" >"$WORK/losses"
clean_losses
data=$(count_lines '-Data\.db$' "$WORK/list")
if [ "$data" -eq 0 ]; then
  [ -n "$HOLDFAST_ALLOW_EMPTY" ] || die 65 'the tar holds no data: every table is empty'
  say "every table is empty, which is allowed: $HOLDFAST_ALLOW_EMPTY"
fi
end_stream "$count"
