# A statement for each table with an ENUM that finds whether it has an error value. ARGV:
# the tables, the items that are left out, tables whose rows are elsewhere, tables with a
# history, those with an ENUM. Needs names.awk.
FILENAME == ARGV[1] { table[$2, $3]; next }
FILENAME == ARGV[2] { delete table[$2, $3]; next }
FILENAME == ARGV[3] { delete table[$1, $2]; next }
FILENAME == ARGV[4] { versioned[$1, $2]; next }
($1, $2) in table {
  n = split($4, column, " ")
  sql = hexed("SELECT '" $1 "', '" $2 "' FROM ") quoted($1) "2E" quoted($2)
  if (($1, $2) in versioned) sql = sql hexed(" FOR SYSTEM_TIME ALL")
  for (i = 1; i <= n; i++) sql = sql hexed(i == 1 ? " WHERE " : " OR ") quoted(column[i]) hexed(" = 0")
  print "EXECUTE IMMEDIATE CONVERT(X'" sql hexed(" LIMIT 1") "' USING utf8mb4);"
}
