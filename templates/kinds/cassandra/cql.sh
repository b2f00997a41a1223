#!/bin/sh
# cql.sh is sourced, after common.sh, by the scripts that handle a schema. What
# cqlsh says beside it, such as a warning about its history, goes to the same
# stdout, and a schema with such a line in it makes no keyspace.

# only_cql FILE: it must hold statements that create or change something, each
# ended, and comments. Quoted text and bodies of functions may hold anything. Each
# statement's first words, as far as its name, go to FILE.heads.
only_cql() {
  : >"$1.heads" || die 73 'scratch is full'
  attempt 65 'reading the schema' awk -v heads="$1.heads" -f "$HOLDFAST_ROOT/bin/statements.awk" "$1" >"$WORK/cql"
  [ ! -s "$WORK/cql" ] || die 65 "the schema is not CQL alone: $(cat -- "$WORK/cql")"
}

# tables FILE.heads, on stdout: KEYSPACE/TABLE of each table and view, as their folders
# are called.
tables() {
  attempt 65 'reading the schema' awk -f "$HOLDFAST_ROOT/bin/tables.awk" "$1"
}
