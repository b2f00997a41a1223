#!/bin/sh
# Loads what dump.sh made into the same node, or into a new cluster of one node.
# The node runs on while this imports; stop what writes to it first.
#
#   HOLDFAST_INPUT       the dump
#   HOLDFAST_NAMESPACE CASSANDRA_… as for dump.sh
#   HOLDFAST_OVERWRITE   "yes": empty tables that hold data, then load
#
# A keyspace that is absent is made from the dump's schema. A table that holds
# data is refused, unless HOLDFAST_OVERWRITE is "yes".
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"

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
{
  printf "[PlainTextAuthProvider]\nusername = %s\npassword = %s\n" "$user" "$password"
  printf "[plain_text_auth]\nusername = %s\npassword = %s\n" "$user" "$password"
} >credentials
cql() { cqlsh --credentials="$folder/credentials" "$@" </dev/null; }
cql --execute="SELECT keyspace_name FROM system_schema.keyspaces" >keyspaces
absent=0
for keyspace; do
  [ -d "$keyspace" ] || { echo "the dump lacks the keyspace $keyspace" >&2; exit 65; }
  grep -Eq "^ *$keyspace *\$" keyspaces || absent=$((absent + 1))
done
if [ "$absent" -eq "$#" ]; then
  cql --file=schema.cql >&2
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
    nodetool import -- "$keyspace" "$table" "$folder/$source.import" >&2
    loaded=$((loaded + 1))
  done
done
rm credentials
echo "$loaded"
'
printf '%s\n%s\n' "$CASSANDRA_USER" "$CASSANDRA_PASSWORD" >"$WORK/stdin"
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
say "restored: $(tail -n 1 <"$WORK/loaded") tables were loaded"
