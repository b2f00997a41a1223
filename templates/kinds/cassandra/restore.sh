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

# $1 folder, $2 data folder, $3 overwrite, then keyspaces.
# shellcheck disable=SC2016 # expanded in the pod
program='
set -eu
umask 077
LC_ALL=C; export LC_ALL
folder=$1 data=$2 overwrite=$3
shift 3
cd "$folder"
IFS= read -r user
IFS= read -r password
cat >leave
{
  printf "[PlainTextAuthProvider]\nusername = %s\npassword = %s\n" "$user" "$password"
  printf "[plain_text_auth]\nusername = %s\npassword = %s\n" "$user" "$password"
} >credentials
# As in dump.sh: else cqlsh warns on the stdout that is read here.
CQL_HISTORY=$folder/history; export CQL_HISTORY
[ -d "${HOME:-/}/.cassandra" ] || { HOME=$folder; export HOME; }
cql() { cqlsh --credentials="$folder/credentials" "$@" </dev/null; }
cql --execute="SELECT keyspace_name FROM system_schema.keyspaces" >keyspaces
absent=0
for keyspace; do
  [ -d "$keyspace" ] || { echo "the dump lacks the keyspace $keyspace" >&2; exit 65; }
  grep -Eq "^ *$keyspace *\$" keyspaces || absent=$((absent + 1))
done
if [ "$absent" -eq "$#" ]; then
  # It goes on after a statement that fails; what is missing then is told below.
  cql --file=schema.cql >&2 || echo "holdfast: schema $?"
elif [ "$absent" -gt 0 ]; then
  echo "some keyspaces exist and some do not: drop or create them by hand, with schema.cql of the dump" >&2
  exit 65
fi
# What is in memory only shows in no file.
[ "$absent" -gt 0 ] || nodetool flush -- "$@" >&2
# Each table folder is name-id; the live one has an id of its own.
for keyspace; do
  for source in "$keyspace"/*/snapshots/*; do
    [ -f "$source/manifest.json" ] || continue
    table=${source#*/}; table=${table%%/*}; table=${table%-*}
    ! grep -qxF -e "$keyspace.$table" leave || continue
    held=
    for live in "$data/$keyspace/$table"-*/*-Data.db; do
      [ ! -f "$live" ] || held=yes
    done
    [ -n "$held" ] || continue
    [ "$overwrite" = yes ] || { echo "$keyspace.$table holds data" >&2; exit 65; }
    cql --execute="TRUNCATE \"$keyspace\".\"$table\"" >&2
  done
done
loaded=0
for keyspace; do
  for source in "$keyspace"/*/snapshots/*; do
    [ -f "$source/manifest.json" ] || continue
    table=${source#*/}; table=${table%%/*}; table=${table%-*}
    ! grep -qxF -e "$keyspace.$table" leave || continue
    some=
    for file in "$source"/*-Data.db; do
      [ ! -f "$file" ] || some=yes
    done
    [ -n "$some" ] || continue
    mkdir "$source.import"
    for file in "$source"/*.*; do
      case $file in
        */manifest.json | */schema.cql) ;;
        *) mv "$file" "$source.import/" ;;
      esac
    done
    # import moves the files, and checks that this node owns what is in them.
    status=0
    nodetool import -- "$keyspace" "$table" "$folder/$source.import" >&2 || status=$?
    # What it does not take it leaves.
    for file in "$source.import"/*-Data.db; do
      [ ! -f "$file" ] || [ "$status" -ne 0 ] || status=left
    done
    if [ "$status" = 0 ]; then
      loaded=$((loaded + 1))
    else
      echo "holdfast: import $status $keyspace.$table"
    fi
  done
done
echo "holdfast: loaded $loaded"
for keyspace; do
  # Where there is none now, all of it is told to be missing.
  cql --execute="DESCRIBE KEYSPACE \"$keyspace\"" || :
done
rm credentials
echo "holdfast: end"
'
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
