# Where a line of a dump belongs: the headings of mariadb-dump, outside of bodies.
# place() reads a line; SCHEMA and ITEM say where it is, and TRIGGER if it is of one.
function unquoted(s) { s = substr(s, 2, length(s) - 2); gsub(/``/, "`", s); return s }
# What somebody wrote may be anything: then it is a trigger without a name.
function trigger(s) {
  if (sub(/^\/[*]!50003 CREATE[*]\/ \/[*]!50017 DEFINER=`([^`]|``)*`(@`([^`]|``)*`)?[*]\/ \/[*]!50003 TRIGGER +([Ii][Ff] +[Nn][Oo][Tt] +[Ee][Xx][Ii][Ss][Tt][Ss] +)?(`([^`]|``)*` *[.] *)?/, "", s)) {
    if (match(s, /^`([^`]|``)*`/)) return "trigger\t" unquoted(substr(s, 1, RLENGTH))
    if (match(s, /^[A-Za-z0-9_$\200-\377]+ /)) return "trigger\t" substr(s, 1, RLENGTH - 1)
  }
  return "trigger\t"
}
function place(line) {
  if (body) {
    if (line == "DELIMITER ;") { body = 0; TRIGGER = "" }
    else if (body == 1) {
      body = 2
      if (ITEM ~ /^table/) TRIGGER = trigger(line)
    }
    return
  }
  if (line == "DELIMITER ;;") { body = 1; return }
  if (title != "") {
    if (substr(line, 1, 3) != "-- ") { title = ""; return }
    title = title "\n" substr(line, 4)
  }
  else if (line ~ /^-- (Current Database: |(Table structure|Dumping data) for table `|Sequence structure for `|(Temporary table|Final view) structure for view `)/)
    title = substr(line, 4)
  else if (line ~ /^-- Dumping (events|routines) for database /) { ITEM = ""; return }
  else if (line ~ /^\/[*]!50(003|106) DROP (FUNCTION|PROCEDURE|PACKAGE|PACKAGE BODY|EVENT) IF EXISTS `.*` [*]\/;$/) {
    kind = line; sub(/^[^D]*DROP /, "", kind); sub(/ IF EXISTS .*$/, "", kind)
    sub(/^[^`]*/, "", line); sub(/ [*]\/;$/, "", line)
    ITEM = tolower(kind) "\t" unquoted(line)
    return
  }
  else return
  if (title ~ /^Current Database: [a-z]/) { SCHEMA = ""; ITEM = ""; title = ""; return }
  if (title !~ /`$/) return
  name = title; sub(/^[^`]*/, "", name); name = unquoted(name)
  if (title ~ /^Current/) { SCHEMA = name; ITEM = "" }
  else ITEM = (title ~ /^[TD][ua]/ ? "table" : title ~ /^S/ ? "sequence" : "view") "\t" name
  title = ""
}
