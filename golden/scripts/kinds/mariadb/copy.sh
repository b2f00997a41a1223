#!/bin/sh
# copy.sh FOLDER OPTION…: prints a server's copy, which dump.sh has prepared in that
# folder; it is a program of its own, so that stream can run it within the deadline.
# OPTIONs are those of client and dumper. The copy has these parts, each of them
# SQL that stands for itself:
#
#   head     accounts; then the schemas
#   data     the tables that need a dump of their own, and mariadb-dump of the rest
#   rights   those on single tables and routines
#   items    comments: what the copy holds
#   parts    a comment: how many bytes each part but the data has
set -eu
work=$1
shift

# name OCTAL: sets NAME. Not by a command alone, for that loses line breaks at the end.
name() {
  NAME=$(printf '%b.' "$1")
  NAME=${NAME%.}
}

# settings, of what mariadb-dump prints: lets the server take what it has taken
# before, under settings that have become stricter since. Without its engine a table
# is not made.
settings() {
  while IFS= read -r line; do
    printf '%s\n' "$line"
    case $line in
      # The last of its own; from 11.4 on it is another.
      *' SET @OLD_SQL_NOTES='* | *' SET @OLD_NOTE_VERBOSITY='*)
        echo "SET SESSION SQL_MODE='NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION', innodb_strict_mode=0, check_constraint_checks=0;"
        cat
        return
        ;;
    esac
  done
  echo 'mariadb-dump printed no settings where they are known to be' >&2
  return 65
}

# dumped OPTION…: mariadb-dump with its messages in "said", where -v tells each thing
# that it does.
dumped() {
  : >"$work/ran"
  {
    status=0
    mariadb-dump "$@" 2>"$work/saying" || status=$?
    echo "$status" >"$work/ran"
  } | settings
  read -r status <"$work/ran"
  cat -- "$work/saying" >>"$work/said"
  if [ "$status" -ne 0 ]; then
    # Without what it says in any case.
    grep -v '^-- ' "$work/saying" >&2 || :
    exit "$status"
  fi
  tail -n 1 <"$work/saying" | grep -q '^-- Disconnecting from ' || {
    echo 'mariadb-dump did not come to its end' >&2
    exit 65
  }
}

cat -- "$work/copy.head"
common="--verbose --comments --skip-dump-date --single-transaction --quick --skip-lock-tables --skip-add-locks --triggers --hex-blob --max-allowed-packet=1G"
while read -r schema table history errors where <&3; do
  name "$where"
  where=$NAME
  set -- "$work" "$@"
  # shellcheck disable=SC2086 # options are words
  (
    shift
    set -- "$@" $common
    [ "$history" = no ] || set -- "$@" --dump-history
    [ -z "$where" ] || set -- "$@" --where="$where"
    name "$schema"
    printf '%s\n' '--' '-- Current Database: by itself' '--'
    # shellcheck disable=SC2016 # backticks are SQL's, and doubled in names
    printf 'USE `%s`;\n' "$(printf '%s' "$NAME" | sed 's/`/``/g')"
    set -- "$@" -- "$NAME"
    name "$table"
    # The restore must know of which columns its server warns rightly.
    [ "$errors" = - ] || echo "SELECT 'error values: $errors';"
    dumped "$@" "$NAME"
    [ "$errors" = - ] || echo "SELECT 'error values:';"
  )
  shift
done 3<"$work/special"
printf '%s\n' '--' '-- Current Database: all others' '--'
read -r history <"$work/history"
(
  # shellcheck disable=SC2086 # options are words
  set -- "$@" $common --routines --events
  [ "$history" = no ] || set -- "$@" --dump-history
  while read -r ignored <&3; do
    name "$ignored"
    set -- "$@" --ignore-table="$NAME"
  done 3<"$work/ignored"
  set -- "$@" --databases --
  while read -r schema <&3; do
    name "$schema"
    set -- "$@" "$NAME"
  done 3<"$work/schemas.octal"
  dumped "$@"
)
cat -- "$work/rights"

# What was there before and is there still: the rest came or went meanwhile.
mariadb "$@" --batch --skip-column-names <"${HOLDFAST_ROOT:-/holdfast}/bin/items.sql" >"$work/items.after"
awk 'FILENAME == ARGV[1] { after[$0]; next } $0 in after' "$work/items.after" "$work/items" >"$work/items.both"
sed 's/^/-- item	/' "$work/items.both" >"$work/list"
cat -- "$work/list"
read -r accounts schemas rights <"$work/sizes"
printf -- '-- parts: %s %s %s %s\n-- Dump completed\n' "$accounts" "$schemas" "$rights" "$(($(wc -c <"$work/list")))"
