# The statements that make accounts, without the accounts that the server ignores. ARGV:
# those, the statements.
FILENAME == ARGV[1] { ignored[$2]; next }
# The tool goes on to name them where roles are given.
/^\/[*]/ { for (who in ignored) if (index($0, " " who " ")) next }
{ print }
