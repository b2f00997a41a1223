# Items that have the same name as another before them where capitals do not count, and
# that other. ARGV: the items that are skipped, all items. Needs names.awk.
FILENAME == ARGV[1] { skip[$1, $2, $3]; next }
($1, $2, $3) in skip { next }
$1 == "schema" || $1 == "table" || $1 == "view" || $1 == "sequence" {
  key = ($1 == "schema" ? $1 : "table") " " folded($2) " " folded($3)
  if (key in first) print $0 "\t" first[key]; else first[key] = $4
}
