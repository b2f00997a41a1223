# Makes of a COPY one that fills a temporary copy of the table, and adds to the table what
# it lacks.
!seen && /^COPY .* FROM stdin;$/ {
  seen = 1
  table = $0; sub(/^COPY /, "", table); sub(/ FROM stdin;$/, "", table)
  columns = table; at = match(columns, / \([^()]*\)$/)
  if (!at) exit 1
  table = substr(columns, 1, at - 1); columns = substr(columns, at + 2, length(columns) - at - 2)
  print "CREATE TEMPORARY TABLE holdfast_rows AS SELECT " columns " FROM " table " WITH NO DATA;"
  print "COPY pg_temp.holdfast_rows (" columns ") FROM stdin;"
  next
}
{ print }
END {
  if (!seen) exit 1
  print "DELETE FROM pg_temp.holdfast_rows n USING (SELECT " columns " FROM " table ") o WHERE n::pg_catalog.text = o::pg_catalog.text;"
  print "SELECT EXISTS (SELECT FROM pg_temp.holdfast_rows) AS lacking \\gset"
  print "\\if :lacking"
  print "INSERT INTO " table " (" columns ") SELECT " columns " FROM pg_temp.holdfast_rows;"
  print "\\endif"
  print "COMMIT;"
}
