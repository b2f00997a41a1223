# Statements that take back what making the roles has given to us. ARGV: who we are, the
# roles that were there before, the statements of the copy.
function role(line) {
  sub(/^.*CREATE ROLE IF NOT EXISTS '/, "", line); sub(/' .*$/, "", line)
  gsub(/''/, "'", line); gsub(/`/, "``", line)
  return "`" line "`"
}
FILENAME == ARGV[1] { me = $0; next }
FILENAME == ARGV[2] { if (/^\/[*]M!100005 CREATE ROLE /) before[role($0)]; next }
/^\/[*]M!100005 CREATE ROLE / { made[role($0)] }
/^GRANT `/ { given[$0] }
END {
  for (r in made) {
    if (r in before) continue
    if (("GRANT " r " TO " me " WITH ADMIN OPTION;") in given) continue
    print (("GRANT " r " TO " me ";") in given) ? "REVOKE ADMIN OPTION FOR " r " FROM " me ";" : "REVOKE " r " FROM " me ";"
  }
}
