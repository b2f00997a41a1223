# What is not skipped, of SQL. ARGV: the items that are, the SQL as "-". Needs names.awk
# and place.awk.
FILENAME != "-" {
  if ($1 == "schema") gone[raw($2)]; else gone[raw($2) "\t" $1 "\t" raw($3)]
  next
}
{ place($0) }
# A title comes before what it is of.
/^USE `.*`;$/ && !body { SCHEMA = unquoted(substr($0, 5, length($0) - 5)); ITEM = "" }
!(SCHEMA in gone) && !((SCHEMA "\t" ITEM) in gone)
