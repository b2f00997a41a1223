# Items that are not there. "fold" is the server's lower_case_table_names. ARGV: what is
# there, the items that are skipped, all items. Needs names.awk.
function key(what, schema, name) {
  if (fold != 0) {
    schema = folded(schema)
    if (what == "table" || what == "view" || what == "sequence" || what == "trigger") name = folded(name)
  }
  return what " " schema " " name
}
FILENAME == ARGV[1] { here[key($1, $2, $3)]; next }
FILENAME == ARGV[2] { if ($1 == "schema") schema[$2]; skip[$1, $2, $3]; next }
$2 in schema || ($1, $2, $3) in skip { next }
!(key($1, $2, $3) in here) { print $4 "\tit is not there" }
