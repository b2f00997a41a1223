# The statements that are to be run: see restore_globals of restore.sh. ARGV: the roles,
# the memberships and the tablespaces that are there, the statements. Needs role-name.awk.
function attributes(line, role,   head, rest) {
  head = "ALTER ROLE " role " WITH "
  if (substr(line, 1, length(head)) != head) return line
  rest = " " substr(line, length(head) + 1)
  gsub(/ (NOSUPERUSER|NOREPLICATION|NOBYPASSRLS)/, "", rest)
  sub(/^ /, "", rest)
  return rest ~ /^;/ ? "" : head rest
}
FILENAME == ARGV[1] { exists[$0] = 1; next }
FILENAME == ARGV[2] { member[$0] = 1; next }
FILENAME == ARGV[3] { space[$0] = 1; next }
/^CREATE TABLESPACE / {
  t = name(substr($0, 19))
  if (!(t in space)) { absent[t] = 1; print t >ENVIRON["ABSENT"] }
  next
}
/^(ALTER|COMMENT ON) TABLESPACE / { t = $0; sub(/^(ALTER|COMMENT ON) TABLESPACE /, "", t); if (name(t) in absent) next }
/^(GRANT|REVOKE) [A-Z ]+ ON TABLESPACE / { t = $0; sub(/^(GRANT|REVOKE) [A-Z ]+ ON TABLESPACE /, "", t); if (name(t) in absent) next; print; next }
/^GRANT / {
  for (m in member) if (index($0, m) == 1 && substr($0, length(m) + 1, 1) ~ /[ ;]/) next
  sub(/ GRANTED BY ("([^"]|"")*"|[^" ;]+);$/, ";")
}
/^CREATE ROLE / {
  role = name(substr($0, 13))
  if (role in exists) { print role > ENVIRON["EXISTING"]; next }
  made[role] = 1; print; next
}
/^ALTER ROLE / {
  role = name(substr($0, 12))
  if (role in made) { print attributes($0, role); next }
  if (ENVIRON["OVERWRITE"] != "yes") next
}
{ print }
