#!/bin/sh
# in-pod-restore.sh FOLDER DATA-FOLDER OVERWRITE KEYSPACE…: runs in Cassandra's pod, and loads
# the copy that lies in the folder. Its stdin holds user and password, and then the tables
# to leave out.
set -eu
umask 077
LC_ALL=C; export LC_ALL
folder=$1 data=$2 overwrite=$3
shift 3
cd "$folder"
credentials credentials
cat >leave
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
