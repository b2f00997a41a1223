# Each role that the copy gives something to, and that is not there. ARGV: the roles that
# are there, the entries, the copy's rights.
function wants(name) { if (name != "" && name != "-" && name != "PUBLIC" && !(name in there)) lacking[name] = 1 }
# role: the name at the start of s.
function role(s,   i) {
  if (substr(s, 1, 1) != "\"") { sub(/[ ;].*/, "", s); return s }
  for (i = 2; i <= length(s); i++) {
    if (substr(s, i, 1) != "\"") continue
    if (substr(s, i + 1, 1) != "\"") break
    i++
  }
  s = substr(s, 2, i - 2)
  gsub(/""/, "\"", s)
  return s
}
FILENAME == ARGV[1] { there[$0] = 1; next }
FILENAME == ARGV[2] { kept[$9] = 1; if (superuser == "t") wants(substr($10, length($9) + 2)); next }
!($1 in kept) { next }
$2 ~ /^SET SESSION AUTHORIZATION / { if (superuser == "t") wants(role(substr($2, 27))); next }
{ s = $2 }
s ~ /^COMMENT / { next }
s ~ /^ALTER DEFAULT PRIVILEGES FOR ROLE / { wants(role(substr(s, 35))) }
{ sub(/ WITH GRANT OPTION;$/, ";", s); if (match(s, / (TO|FROM) ("([^"]|"")*"|[^ "]+);$/)) { s = substr(s, RSTART + 1); sub(/^(TO|FROM) /, "", s); wants(role(s)) } }
END { for (name in lacking) print name }
