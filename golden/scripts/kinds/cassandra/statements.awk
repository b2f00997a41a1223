# Prints what a schema holds beside whole statements and comments: see only_cql of cql.sh.
# The first words of each statement go to the file "heads".
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
}
