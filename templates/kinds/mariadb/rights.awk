# Accounts, roles, single rights and what else a copy of the accounts has, and the target
# has not. Whoever has all rights has the one. ARGV: the statements of the target, those of
# the copy.
function keys(line, who, what, rest, list, n, i, s, depth, c) {
  if (line ~ /^\/[*]!8/) return 0
  sub(/^\/[*]M!100005 /, "", line); sub(/ ?([*]\/)?;$/, "", line)
  if (match(line, /^CREATE USER IF NOT EXISTS `([^`]|``)*`@`([^`]|``)*`/)) { add("account " substr(line, 27, RLENGTH - 26)); return 0 }
  if (match(line, /^CREATE ROLE IF NOT EXISTS '([^']|'')*'/)) { add("role " substr(line, 27, RLENGTH - 26)); return 0 }
  if (line ~ /^SET DEFAULT ROLE /) { add("default role " substr(line, 18)); return 0 }
  if (match(line, /^CREATE SERVER .* FOREIGN DATA WRAPPER /)) {
    s = substr(line, 1, RLENGTH - 22); sub(/^.*NOT EXISTS [*]\/ /, "", s)
    add("server " s)
    return 0
  }
  if (line ~ /^INSTALL PLUGIN /) {
    s = line; sub(/ SONAME .*$/, "", s); sub(/ \/[*]M![0-9]+ IF NOT EXISTS [*]\//, "", s); sub(/^.* /, "", s); gsub(/`/, "", s)
    add("plugin " s)
    return 0
  }
  if (match(line, /^CREATE .*FUNCTION .* SONAME /)) {
    s = substr(line, 1, RLENGTH - 8); sub(/ RETURNS .*$/, "", s); sub(/^.* /, "", s)
    add("function " s)
    return 0
  }
  if (line !~ /^GRANT [A-Z`]/) return 0
  if (!match(line, / TO (PUBLIC|`([^`]|``)*`(@`([^`]|``)*`)?)( REQUIRE .*| IDENTIFIED .*)?( WITH .*)?$/)) return 0
  who = substr(line, RSTART + 4, RLENGTH - 4)
  what = substr(line, 7, RSTART - 7)
  rest = ""
  if (match(who, /^(PUBLIC|`([^`]|``)*`(@`([^`]|``)*`)?)/)) { rest = substr(who, RLENGTH + 1); who = substr(who, 1, RLENGTH) }
  if (what ~ /^`/) { add("role " what " of " who); if (rest ~ /WITH ADMIN OPTION/) add("right to give role " what " of " who); return 0 }
  i = index(what, " ON ")
  if (i == 0) return 0
  s = substr(what, i)
  what = substr(what, 1, i - 1) ", "
  if (rest ~ /GRANT OPTION/) what = what "GRANT OPTION, "
  while (what != "") {
    # Columns are in parentheses, and have commas of their own.
    if (match(what, /^[A-Z ]+ \(/)) {
      c = substr(what, 1, RLENGTH - 2); list = substr(what, RLENGTH + 1); i = index(list, "), ")
      what = substr(list, i + 3); list = substr(list, 1, i - 1)
      n = split(list, part, ", ")
      for (i = 1; i <= n; i++) add("right " c " (" part[i] ")" s " of " who)
    } else {
      i = index(what, ", ")
      c = substr(what, 1, i - 1); what = substr(what, i + 2)
      if (c != "USAGE") add("right " c s " of " who)
      if (c == "ALL PRIVILEGES" && reading == 1) all[s " of " who]
    }
  }
  return 0
}
function add(key) {
  if (reading == 1) { here[key]; return }
  if (key in here || key in said) return
  said[key]
  if (match(key, / ON .* of /) && key !~ /GRANT OPTION/ && substr(key, RSTART) in all) return
  print key "\tit is not there"
}
FNR == 1 { reading++ }
{ keys($0) }
