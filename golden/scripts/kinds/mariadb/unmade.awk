# Schemas that could not be made, as items; why goes to the file "gone". "fold" is the
# server's lower_case_table_names. ARGV: the schemas that are there, the items that are
# skipped, all items. Needs names.awk.
function key(hex) { return fold == 0 ? hex : folded(hex) }
FILENAME == ARGV[1] { here[key($1)]; next }
FILENAME == ARGV[2] { skip[$1, $2, $3]; next }
$1 == "schema" && !(key($2) in here) && !(($1, $2, $3) in skip) { print $4 "\tit could not be made" >>gone; print }
