# The schemas of a list of items. Needs names.awk.
$1 == "schema" { print raw($2) }
