# What only one of schema and snapshot has. The tables of the schema come as part=schema,
# the entries of the tar as part=list.
part == "schema" { known[$0] = 1; next }
{ split($0, path, "/"); table = path[2]; sub(/-[^-]*$/, "", table); table = path[1] "/" table }
# A view has rows of its own; an index lies in the folder of its table.
path[3] == "snapshots" && path[5] == "manifest.json" {
  there[table] = 1
  if (!(table in known)) print "no-schema\t" path[1] "." substr(table, length(path[1]) + 2) \
    "\tits rows are in the snapshot, and it is not in the schema: it was dropped meanwhile"
}
END {
  for (table in known) if (!(table in there)) {
    split(table, path, "/")
    print "no-snapshot\t" path[1] "." path[2] "\tit is in the schema, and there is no snapshot of it: it was made meanwhile"
  }
}
