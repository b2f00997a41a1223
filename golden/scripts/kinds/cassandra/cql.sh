#!/bin/sh
# cql.sh is sourced, after common.sh, by the scripts that handle a schema. What
# cqlsh says beside it, such as a warning about its history, goes to the same
# stdout, and a schema with such a line in it makes no keyspace.

# only_cql FILE: it must hold statements that create or change something, each
# ended, and comments. Quoted text and bodies of functions may hold anything. Each
# statement's first words, as far as its name, go to FILE.heads.
only_cql() {
  : >"$1.heads" || die 73 'scratch is full'
  # shellcheck disable=SC2016 # awk's own variables
  attempt 65 'reading the schema' awk -v heads="$1.heads" '
    # skip(MARK): past the next MARK, or to the end, which is then open.
    function skip(mark, at) {
      at = index(substr(text, i), mark)
      if (at == 0) { i = length(text) + 1; open = 1 }
      else i += at + length(mark) - 1
    }
    # head(STATEMENT): what it makes, in one way of writing.
    function head(s) {
      gsub(/[ \t\r\n]+/, " ", s)
      sub(/^ /, "", s)
      sub(/ IF NOT EXISTS /, " ", s)
      if (s ~ /^CREATE KEYSPACE /) sub(/ WITH .*/, "", s)
      # A name in quotes may hold what ends one without.
      if (match(s, /^[A-Za-z ]* ("[^"]*"|[A-Za-z0-9_]+)([.]("[^"]*"|[A-Za-z0-9_]+))?/)) s = substr(s, RSTART, RLENGTH)
      return s
    }
    { text = text $0 "\n" }
    END {
      for (i = 1; i <= length(text); ) {
        c = substr(text, i, 1)
        two = substr(text, i, 2)
        if (two == "/*") { i += 2; skip("*/") }
        else if (two == "--" || two == "//") { i += 2; skip("\n") }
        else if (two == "$$") { i += 2; skip("$$"); statement = statement "x" }
        # A doubled quote is one within: two texts side by side read the same.
        else if (c == "\047") { i++; skip(c); statement = statement "x" }
        else if (c == "\"") { from = i++; skip(c); statement = statement substr(text, from, i - from) }
        else if (c == ";") {
          count++
          if (statement !~ /^[ \t\r\n]*(CREATE|ALTER|create|alter)[ \t\r\n]/) { bad = statement; break }
          print head(statement) >heads
          statement = ""
          i++
        } else { statement = statement c; i++ }
      }
      if (bad == "" && statement ~ /[^ \t\r\n]/) bad = statement
      gsub(/[ \t\r\n]+/, " ", bad)
      if (open) print "a text in it does not end"
      else if (bad != "") print "it holds \"" substr(bad, 1, 100) "\""
      else if (!count) print "it is empty"
    }' "$1" >"$WORK/cql"
  [ ! -s "$WORK/cql" ] || die 65 "the schema is not CQL alone: $(cat -- "$WORK/cql")"
}

# tables FILE.heads, on stdout: KEYSPACE/TABLE of each table and view, as their folders
# are called.
tables() {
  # shellcheck disable=SC2016 # awk's own variables
  attempt 65 'reading the schema' awk '
    /^CREATE (TABLE|MATERIALIZED VIEW) /{
      sub(/^CREATE (TABLE|MATERIALIZED VIEW) /, "")
      if ($0 !~ /"/) $0 = tolower($0)
      gsub(/"/, "")
      sub(/[.]/, "/")
      print
    }' "$1"
}
