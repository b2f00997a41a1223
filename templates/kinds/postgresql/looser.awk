# The command of sed for one entry: see looser of restore.sh.
function quoted(s) { gsub(/[\\\/&;]/, "", s); gsub(/"/, "\"\"", s); return s == "" || index(s, single) ? "" : ", \"" s "\"" }
BEGIN { single = sprintf("%c", 39) }
$1 == id {
  schema = substr($9, length($3) + 2); sub(/ .*/, "", schema)
  path = quoted(schema == "-" ? "" : schema) quoted(substr($10, length($9) + 2))
  print "1,40s/^SELECT pg_catalog.set_config(.search_path., .., false);$/SELECT pg_catalog.set_config(" single "search_path" single ", pg_catalog.current_setting(" single "search_path" single ") || " single path single ", false);/"
}
