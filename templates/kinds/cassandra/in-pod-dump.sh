#!/bin/sh
# in-pod-dump.sh TAG DATA-FOLDER KEYSPACE…: runs in Cassandra's pod, and prints a tar of a
# snapshot. Its stdin holds user and password, so they are in no process list. (Not "sh
# -s": dash reads ahead, and would take them for its program.)
set -eu
umask 077
LC_ALL=C; export LC_ALL
tag=$1 data=$2
shift 2
for keyspace; do
  [ -d "$data/$keyspace" ] || {
    echo "there is no folder $data/$keyspace" >&2
    [ ! -d "$data/data/$keyspace" ] || echo "dataDir must be $data/data" >&2
    exit 64
  }
done
tmp=$(mktemp -d "${TMPDIR:-/tmp}/holdfast.XXXXXX")
finish() {
  status=$?
  trap "" HUP INT TERM
  nodetool clearsnapshot -t "$tag" -- "$@" >/dev/null 2>"$tmp/clear" || {
    cat "$tmp/clear" >&2
    echo "the snapshot $tag was not cleared" >&2
    [ "$status" -ne 0 ] || status=1
  }
  rm -rf "$tmp"
  exit "$status"
}
trap "exit 129" HUP
trap "exit 143" TERM
trap "exit 130" INT
trap "finish \"\$@\"" EXIT
credentials "$tmp/credentials"
# cqlsh makes a folder for its history, and where it cannot, as in the home of
# a read-only image, it says so in the midst of its answer.
CQL_HISTORY=$tmp/history; export CQL_HISTORY
[ -d "${HOME:-/}/.cassandra" ] || { HOME=$tmp; export HOME; }
# A killed run left its snapshot behind; the name is always the same, so that
# none can pile up.
nodetool clearsnapshot -t "$tag" -- "$@" >/dev/null 2>&1 || :
nodetool flush -- "$@" >&2
nodetool snapshot -t "$tag" -- "$@" >&2
for keyspace; do
  cqlsh --credentials="$tmp/credentials" --execute="DESCRIBE KEYSPACE \"$keyspace\"" >>"$tmp/schema.cql" </dev/null
done
echo complete >"$tmp/holdfast-complete"
rm "$tmp/credentials"
cd "$data"
: >"$tmp/list"
for keyspace; do
  for folder in "$keyspace"/*/snapshots/"$tag"; do
    [ -d "$folder" ] || continue
    printf "%s\n" "$folder" >>"$tmp/list"
  done
done
[ -s "$tmp/list" ] || { echo "no snapshot below $data" >&2; exit 1; }
# Compaction unlinks a file that the snapshot still has: tar calls that a change
# (exit 1), although the content of these files never changes.
status=0
tar -cf - -C "$tmp" schema.cql -C "$data" -T "$tmp/list" -C "$tmp" holdfast-complete 2>"$tmp/tar" || status=$?
if [ "$status" -eq 1 ] && ! grep -v "file changed as we read it\$" "$tmp/tar" >&2; then
  status=0
fi
[ "$status" -eq 0 ] || { cat "$tmp/tar" >&2; exit "$status"; }
