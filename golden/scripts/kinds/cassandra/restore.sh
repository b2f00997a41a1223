#!/bin/sh
# Loads what dump.sh made into the same node, or into a new cluster of one node.
# The node runs on while this imports; stop what writes to it first.
#
#   HOLDFAST_INPUT       the dump
#   HOLDFAST_NAMESPACE CASSANDRA_… as for dump.sh
#   HOLDFAST_OVERWRITE   "yes": empty tables that hold data, then load
#
# A keyspace that is absent is made from the dump's schema. A table that holds
# data is refused, unless HOLDFAST_OVERWRITE is "yes". A table that cannot be loaded
# does not stop the others; what the copy's schema has and the node has not is named.
#
#   HOLDFAST_LEAVE_OUT   tables (KEYSPACE.TABLE) that are not to be loaded
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/missing.sh"
begin
. "$HOLDFAST_ROOT/bin/cql.sh"

require_tools kubectl tar
need HOLDFAST_NAMESPACE CASSANDRA_POD CASSANDRA_CONTAINER CASSANDRA_DATA_DIR CASSANDRA_KEYSPACES \
  CASSANDRA_USER CASSANDRA_PASSWORD
one_line CASSANDRA_USER "$CASSANDRA_USER"
one_line CASSANDRA_PASSWORD "$CASSANDRA_PASSWORD"
INPUT=${HOLDFAST_INPUT:-$HOLDFAST_SCRATCH/input}
[ -f "$INPUT" ] || die 64 "$INPUT is absent"

attempt 65 'listing the tar' tar -tf "$INPUT" >"$WORK/list"
tail -n 1 <"$WORK/list" | grep -qx 'holdfast-complete' || die 65 'the tar is cut: its last entry is missing'
! grep -Eq '^/|(^|/)\.\.(/|$)' "$WORK/list" || die 65 'the tar holds a path outside of its folder'
attempt 65 'reading the schema' tar -xOf "$INPUT" schema.cql >"$WORK/schema.cql"
only_cql "$WORK/schema.cql"
# Tables that are not to be loaded, one a line.
# shellcheck disable=SC2016 # awk's own variables
awk -F / '$3 == "snapshots" && $5 == "manifest.json" { sub(/-[^-]*$/, "", $2); print $1 "." $2 }' "$WORK/list" >"$WORK/tables"
: >"$WORK/leave.tables"
while IFS= read -r table; do
  if left_out "$table"; then
    printf '%s\n' "$table" >>"$WORK/leave.tables"
  elif lost no-schema "$table"; then
    say "$table is not loaded: that it is not in the schema was accepted"
    printf '%s\n' "$table" >>"$WORK/leave.tables"
  fi
done <"$WORK/tables"

# in_pod ARG…: the program with these arguments; stdin is passed on.
in_pod() {
  attempt 69 "the restore in $CASSANDRA_POD" \
    kubectl exec --stdin --namespace="$HOLDFAST_NAMESPACE" --container="$CASSANDRA_CONTAINER" "$CASSANDRA_POD" -- \
    sh -c "$@"
}

# Beside the data, so that an import only moves files. One that is there belongs
# to a restore that broke off.
folder=$CASSANDRA_DATA_DIR/../holdfast-restore
# shellcheck disable=SC2016 # expanded in the pod
clear='rm -rf -- "$1"'
# shellcheck disable=SC2317 # called at the end, by tidy
finish() {
  timeout 60 kubectl exec --namespace="$HOLDFAST_NAMESPACE" --container="$CASSANDRA_CONTAINER" "$CASSANDRA_POD" -- \
    sh -c "$clear" holdfast "$folder" >/dev/null 2>&1 || say "$folder in $CASSANDRA_POD could not be removed"
}
# shellcheck disable=SC2016 # expanded in the pod
in_pod 'set -eu; umask 077; rm -rf -- "$1"; mkdir -- "$1"; cd "$1"; tar -xf -; test -f holdfast-complete' \
  holdfast "$folder" <"$INPUT"

set --
lines "$CASSANDRA_KEYSPACES" >"$WORK/keyspaces"
while IFS= read -r keyspace; do
  case $keyspace in
    *[!A-Za-z0-9_]*) die 64 "\"$keyspace\" is no keyspace's name" ;;
  esac
  set -- "$@" "$keyspace"
done <"$WORK/keyspaces"

program=$(cat -- "$HOLDFAST_ROOT/bin/in-pod-credentials.sh" "$HOLDFAST_ROOT/bin/in-pod-restore.sh")
printf '%s\n%s\n' "$CASSANDRA_USER" "$CASSANDRA_PASSWORD" >"$WORK/stdin"
cat -- "$WORK/leave.tables" >>"$WORK/stdin" || die 73 'scratch is full'
status=0
bounded kubectl exec --stdin --namespace="$HOLDFAST_NAMESPACE" --container="$CASSANDRA_CONTAINER" "$CASSANDRA_POD" -- \
  sh -c "$program" holdfast "$folder" "$CASSANDRA_DATA_DIR" "${HOLDFAST_OVERWRITE:-no}" "$@" \
  <"$WORK/stdin" >"$WORK/loaded" 2>"$WORK/stderr" || status=$?
rm -f -- "$WORK/stdin"
case $status in
  0) ;;
  65) failed 65 "the restore in $CASSANDRA_POD (HOLDFAST_OVERWRITE=yes empties tables that hold data)" "$status" ;;
  *) failed 69 "the restore in $CASSANDRA_POD" "$status" ;;
esac
if [ -s "$WORK/stderr" ]; then
  say "what was said in $CASSANDRA_POD:"
  masked "$WORK/stderr" >&2
fi
tail -n 1 <"$WORK/loaded" | grep -qx 'holdfast: end' || die 65 'the answer of the pod is cut: run this again'
sed '/^holdfast: /d' "$WORK/loaded" >"$WORK/now.cql"
only_cql "$WORK/now.cql"
# Everything that the copy's schema makes: types, tables, indexes, views, functions.
# shellcheck disable=SC2016 # awk's own variables
awk 'part == "now" { there[$0] = 1; next } /^CREATE / && !($0 in there) && !told[$0]++ { print }' part=now "$WORK/now.cql.heads" part=copy "$WORK/schema.cql.heads" >"$WORK/absent"
while IFS= read -r statement; do
  missing "$statement" 'the node has none'
done <"$WORK/absent"
sed -n 's/^holdfast: import //p' "$WORK/loaded" >"$WORK/failed"
while read -r status table; do
  case $status in
    left) missing "$table" 'nodetool import left files behind: some of its rows are not loaded' ;;
    *) missing "$table" "nodetool import failed with exit code $status: its rows are not loaded" ;;
  esac
done <"$WORK/failed"
say "restored: $(sed -n 's/^holdfast: loaded //p' "$WORK/loaded") tables were loaded"
settle_missing
