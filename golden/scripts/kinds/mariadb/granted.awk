# Of the grants, those on single tables and routines that are copied; the others of such
# ("object" finds them) go to the file "left". ARGV: the schemas, what is not copied, the
# grants.
function unquoted(s) { s = substr(s, 2, length(s) - 2); gsub(/``/, "`", s); return s }
FILENAME == ARGV[1] { ours[$0]; next }
FILENAME == ARGV[2] { gone[$0]; next }
$0 ~ object {
  match($0, / ON ((PROCEDURE|FUNCTION|PACKAGE|PACKAGE BODY) )?`([^`]|``)*`[.]`([^`]|``)*`/)
  s = substr($0, RSTART, RLENGTH)
  sub(/^[^`]*/, "", s)
  match(s, /^`([^`]|``)*`/)
  schema = unquoted(substr(s, 1, RLENGTH))
  name = unquoted(substr(s, RLENGTH + 2))
  if ((schema in ours || schema == "mysql" || schema == "sys") && !((schema "\t" name) in gone)) print; else print >left
}
