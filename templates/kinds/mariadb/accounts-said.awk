# What the tool said, but for the accounts that the server ignores. ARGV: those, what it
# said.
FILENAME == ARGV[1] {
  known["mariadb-dump: Couldn't execute 'SHOW CREATE USER " $2 "': "]
  known["mariadb-dump: Couldn't execute 'SHOW GRANTS FOR " $2 "': "]
  next
}
{
  for (text in known) if (index($0, text) == 1) next
  print
}
