# The statements that make schemas and sequences. ARGV: those of the schemas, the items that
# are left out, all items. Needs names.awk.
FILENAME == ARGV[1] { create[$1] = $2; next }
FILENAME == ARGV[2] { left[$1, $2, $3]; next }
($1, $2, $3) in left { next }
$1 == "schema" { printf "%s", raw(create[$2]) }
$1 == "sequence" { in_schema[$2] = in_schema[$2] " " $3 }
END {
  for (schema in in_schema) {
    printf "%s", raw(create[schema])
    n = split(in_schema[schema], list, " ")
    for (i = 1; i <= n; i++) {
      name = title = raw(quoted(list[i]))
      gsub(/\n/, "\n-- ", title)
      printf "--\n-- Sequence structure for %s\n--\n\nCREATE SEQUENCE IF NOT EXISTS %s.%s;\n", title, raw(quoted(schema)), name
    }
  }
}
