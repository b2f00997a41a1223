# KEYSPACE/TABLE of each table and view, of the first words of statements.
/^CREATE (TABLE|MATERIALIZED VIEW) /{
  sub(/^CREATE (TABLE|MATERIALIZED VIEW) /, "")
  if ($0 !~ /"/) $0 = tolower($0)
  gsub(/"/, "")
  sub(/[.]/, "/")
  print
}
