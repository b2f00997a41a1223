# Tables that need a dump of their own, as copy.sh reads them: schema, table, whether with
# the history, the columns with error values, and the condition with its UNION. Their names
# go to the file "ignored", what is lost of them to the file "losses". ARGV: the items that
# are left out, tables with a history, what columns.sql found, tables with error values,
# tables with an ENUM, what labels.sql found, all items. Needs names.awk.
FILENAME == ARGV[1] { left[$2, $3]; next }
FILENAME == ARGV[2] { versioned[$1, $2]; next }
FILENAME == ARGV[3] { start[$1, $2] = $3; list[$1, $2] = $4; next }
FILENAME == ARGV[4] { erring[$1, $2]; next }
FILENAME == ARGV[5] { if (($1, $2) in erring) error[$1, $2] = $4; next }
FILENAME == ARGV[6] { error[$1, $2] = error[$1, $2] " " $4; next }
$1 == "table" && !(($2, $3) in left) {
  kept = "no"
  if (($2, $3) in versioned) {
    if (history == "no") why = "servers before 10.11 do not tell it"
    else if (start[$2, $3] == "numbers") why = "it is kept by numbers of transactions, which mean nothing elsewhere"
    else kept = "yes"
    if (kept == "no") print "history\t" $4 "\tits current rows alone are copied: " why >>losses
  }
  columns = list[$2, $3]
  if (columns == "" && !(($2, $3) in error) && (kept == "yes" || history == "no" || !(($2, $3) in versioned))) next
  if (columns != "") {
    hidden = kept == "yes" && start[$2, $3] != "times"
    columns = hexed("0 UNION ALL SELECT ") columns (hidden ? hexed(", row_start, row_end") : "") hexed(" FROM ") quoted($3)
    if (kept == "yes") columns = columns hexed(" FOR SYSTEM_TIME ALL")
  }
  columns_in_error = (($2, $3) in error) ? error[$2, $3] : "-"
  sub(/^ /, "", columns_in_error); gsub(/ /, ",", columns_in_error)
  print octal($2), octal($3), kept, columns_in_error, octal(columns)
  print octal($2 "2E" $3) >>ignored
}
