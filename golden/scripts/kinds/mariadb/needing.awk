# A statement that finds the views, and the tables by their defaults, whose text names what
# is absent: schema and name a line, or "-" for all of a schema. Needs names.awk.
BEGIN {
  print "SELECT 'view', HEX(TABLE_SCHEMA), HEX(TABLE_NAME), CONCAT('view ', TABLE_SCHEMA, '.', TABLE_NAME)" \
    " FROM information_schema.VIEWS WHERE 0"
}
# absent: as the server writes it, `schema`.`name`.
function absent(s) {
  s = quoted($1) "2E"
  if ($2 != "-") s = s quoted($2)
  return s
}
{
  print "OR LOCATE(X'" absent() "', BINARY VIEW_DEFINITION)"
  rest = rest "OR LOCATE(X'" absent() "', BINARY COLUMN_DEFAULT)\n"
}
END {
  print "UNION ALL SELECT 'table', HEX(TABLE_SCHEMA), HEX(TABLE_NAME), CONCAT('table ', TABLE_SCHEMA, '.', TABLE_NAME)" \
    " FROM information_schema.COLUMNS WHERE COLUMN_DEFAULT LIKE '%(%' AND (0\n" rest ");"
}
