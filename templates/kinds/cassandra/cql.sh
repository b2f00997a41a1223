#!/bin/sh
# cql.sh is sourced, after common.sh, by the scripts that handle a schema. What
# cqlsh says beside it, such as a warning about its history, goes to the same
# stdout, and a schema with such a line in it makes no keyspace.

# only_cql FILE: it must hold statements that create or change something, each
# ended, and comments. Quoted text and bodies of functions may hold anything.
only_cql() {
  # shellcheck disable=SC2016 # awk's own variables
  attempt 65 'reading the schema' awk '
    # skip(MARK): past the next MARK, or to the end, which is then open.
    function skip(mark, at) {
      at = index(substr(text, i), mark)
      if (at == 0) { i = length(text) + 1; open = 1 }
      else i += at + length(mark) - 1
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
        else if (c == "\047" || c == "\"") { i++; skip(c); statement = statement "x" }
        else if (c == ";") {
          count++
          if (statement !~ /^[ \t\r\n]*(CREATE|ALTER|create|alter)[ \t\r\n]/) { bad = statement; break }
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
