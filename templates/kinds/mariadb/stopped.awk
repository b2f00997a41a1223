# Items that the load stopped at, and why. ARGV: the errors, as "code, line, state, text",
# the SQL as "-". Needs place.awk and told.awk.
FILENAME != "-" {
  if ($2 == "") print "the copy\t" told($1, $3, $4)
  else if (!($2 in why)) why[$2] = told($1, $3, $4)
  next
}
{ place($0) }
/^USE `.*`;$/ && !body { SCHEMA = unquoted(substr($0, 5, length($0) - 5)); ITEM = "" }
FNR in why {
  item = TRIGGER == "" ? ITEM : TRIGGER
  # Of such a trigger the list of items tells.
  if (item == "trigger\t") next
  sub(/\t/, " " SCHEMA ".", item)
  if (item == "") item = SCHEMA == "" ? "the copy" : "schema " SCHEMA
  gsub(/\\/, "\\\\", item); gsub(/\n/, "\\n", item); gsub(/\t/, "\\t", item)
  print item "\t" why[FNR]
}
