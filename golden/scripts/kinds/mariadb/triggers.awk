# Triggers that name a column that is gone. ARGV: the schemas, the columns of the triggers'
# tables, the triggers.
function plain(s) { gsub(/\\\\/, "\001", s); gsub(/\\[nt]/, " \n", s); gsub(/\001/, "\\", s); return s }
FILENAME == ARGV[1] { ours[$1]; next }
FILENAME == ARGV[2] { column[$1, $2, tolower(plain($3))]; next }
$1 in ours {
  s = plain($4); before = ""
  # Each word with what it belongs to; texts and comments are passed over.
  while (s != "") {
    if (match(s, /^('([^'\\]|\\.|'')*'|"([^"\\]|\\.|"")*"|#[^\n]*|--[ \n][^\n]*|\/[*]([^!M*]|[*]+[^*\/])([^*]|[*]+[^*\/])*[*]+\/)/)) {
      s = substr(s, RLENGTH + 1); before = " "
      continue
    }
    if (before != "." && match(s, /^([Nn][Ee][Ww]|[Oo][Ll][Dd])[ \n]*[.][ \n]*(`([^`]|``)*`|[A-Za-z0-9_$\200-\377]+)/)) {
      name = whole = substr(s, 1, RLENGTH); s = substr(s, RLENGTH + 1); before = "w"
      sub(/^[A-Za-z]+[ \n]*[.][ \n]*/, "", name)
      if (name ~ /^`/) { name = substr(name, 2, length(name) - 2); gsub(/``/, "`", name) }
      if (!(($1, $2, tolower(name)) in column)) { print "invalid-trigger", $3, "its table has no column for " whole; break }
      continue
    }
    if (match(s, /^(`([^`]|``)*`|[A-Za-z0-9_$@\200-\377]+)/)) { s = substr(s, RLENGTH + 1); before = "w"; continue }
    before = substr(s, 1, 1); s = substr(s, 2)
  }
}
