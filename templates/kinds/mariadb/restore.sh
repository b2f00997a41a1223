#!/bin/sh
# Restores what dump.sh made: accounts, schemas, rights on tables and routines.
#
#   HOLDFAST_INPUT       the dump
#   MARIADB_HOST MARIADB_PORT MARIADB_USER MYSQL_PWD MARIADB_TLS as for dump.sh
#   HOLDFAST_OVERWRITE   "yes": replace tables of schemas that exist already
#   HOLDFAST_LEAVE_OUT   shell patterns of items that are not to come back, one a line
#
# MariaDB has no transaction around a whole restore: what fails is noted, and the
# rest goes on; at the end the target must have each item that the copy lists.
# Accounts that exist keep their password. A schema of the dump that has tables in
# the target is refused, unless HOLDFAST_OVERWRITE is "yes": then tables of the same
# name are dropped and made again, and other tables stay.
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/missing.sh"
begin

require_tools cp mariadb mariadb-dump mkfifo sort
INPUT=${HOLDFAST_INPUT:-$HOLDFAST_SCRATCH/input}
[ -f "$INPUT" ] || die 64 "$INPUT is absent"
. "$HOLDFAST_ROOT/bin/connect.sh"

tail -n 3 <"$INPUT" >"$WORK/end" || die 64 'the dump cannot be read'
grep -q '^-- Dump completed' "$WORK/end" || die 65 'the dump is cut: its last line is missing'
# Copies from before it had parts are one: data.
sed -nE 's/^-- parts: ([0-9]+) ([0-9]+) ([0-9]+) ([0-9]+)$/\1 \2 \3 \4/p' "$WORK/end" >"$WORK/parts"
if read -r accounts schemas rights list <"$WORK/parts"; then
  tail=$(($(tail -n 2 <"$INPUT" | wc -c)))
else
  accounts=0 schemas=0 rights=0 list=0 tail=0
fi
size=$(file_size "$INPUT")
data=$((size - accounts - schemas - rights - list - tail))
[ "$data" -gt 0 ] || die 65 'the dump is cut: it is shorter than its parts'

# part FROM BYTES, on stdout.
part() { tail -c "+$(($1 + 1))" <"$INPUT" | head -c "$2"; }

# The names are in hexadecimal digits, as connect.sh lists them.
part "$((size - tail - list))" "$list" | sed -n 's/^-- item	//p' >"$WORK/items" || die 73 'scratch cannot be written'
if [ "$tail" -gt 0 ]; then
  [ -s "$WORK/items" ] || die 65 'the dump is cut: it lists no item'
  awk -F '\t' "$NAMES"'$1 == "schema" { print raw($2) }' "$WORK/items" >"$WORK/schemas"
else
  # shellcheck disable=SC2016 # backticks are SQL's
  sed -n 's/^USE `\(.*\)`;$/\1/p' "$INPUT" | sed 's/``/`/g' | sort -u >"$WORK/schemas"
fi
[ -s "$WORK/schemas" ] || die 65 'the dump names no schema'

# skip: those that are not tried: as asked for, or since another has their place.
: >"$WORK/skip"
if [ -n "${HOLDFAST_LEAVE_OUT:-}" ]; then
  [ "$tail" -gt 0 ] || die 65 'this copy is older than its list of items: nothing of it can be left out'
  while IFS= read -r line; do
    ! left_out "${line##*	}" || printf '%s\n' "$line"
  done <"$WORK/items" >"$WORK/skip"
fi
attempt 69 'asking for the case of names' mariadb "$@" --batch --skip-column-names --execute='SELECT @@lower_case_table_names' >"$WORK/case"
read -r case <"$WORK/case"
if [ "$case" -ne 0 ]; then
  awk -F '\t' "$NAMES"'
    FILENAME == ARGV[1] { skip[$1, $2, $3]; next }
    ($1, $2, $3) in skip { next }
    $1 == "schema" || $1 == "table" || $1 == "view" || $1 == "sequence" {
      key = ($1 == "schema" ? $1 : "table") " " folded($2) " " folded($3)
      if (key in first) print $0 "\t" first[key]; else first[key] = $4
    }' "$WORK/skip" "$WORK/items" >"$WORK/collide"
  while IFS='	' read -r what schema name text other; do
    missing "$text" "in this server it is the same name as $other"
    printf '%s\t%s\t%s\t%s\n' "$what" "$schema" "$name" "$text" >>"$WORK/skip"
  done <"$WORK/collide"
fi

# tables: the schema of each table of the target, one a line.
tables() {
  attempt 69 'listing the tables' mariadb "$@" --batch --raw --skip-column-names \
    --execute="SELECT TABLE_SCHEMA FROM information_schema.TABLES WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')" >"$WORK/tables"
}

tables "$@"
awk -F '\t' "$NAMES"'$1 == "schema" { print raw($2) }' "$WORK/skip" >"$WORK/schemas.skip"
while IFS= read -r name; do
  ! grep -qxF -e "$name" -- "$WORK/tables" || grep -qxF -e "$name" -- "$WORK/schemas.skip" || printf '%s\n' "$name"
done <"$WORK/schemas" >"$WORK/taken"
if [ -s "$WORK/taken" ] && [ "${HOLDFAST_OVERWRITE:-no}" != yes ]; then
  die 65 "these schemas have tables in the target: $(tr '\n' ' ' <"$WORK/taken"); set HOLDFAST_OVERWRITE=yes to replace those that the dump holds"
fi

# A row that the server took may be twice as long as a statement: for the time of
# the load the limit is the client's. Without the right to raise it the load
# fails if it meets such a row.
attempt 69 'asking for the packet limit' mariadb "$@" --batch --skip-column-names --execute='SELECT @@GLOBAL.max_allowed_packet' >"$WORK/packet"
read -r packet <"$WORK/packet"
number max_allowed_packet "$packet"
# limit BYTES CLIENT-OPTION…
limit() {
  limit_bytes=$1
  shift
  bounded mariadb "$@" --batch --execute="SET GLOBAL max_allowed_packet = $limit_bytes" 2>"$WORK/limit.err"
}
raised=no
if [ "$packet" -lt 1073741824 ] && limit 1073741824 "$@"; then
  raised=yes
fi

# Where a line of a dump belongs: the headings of mariadb-dump, outside of bodies.
# place() reads a line; SCHEMA and ITEM say where it is, and TRIGGER if it is of one.
# shellcheck disable=SC2016 # awk's own variables
PLACE='
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
  else if (line ~ /^-- (Current Database: |Table structure for table `|Dumping data for table `|Sequence structure for `|Temporary table structure for view `|Final view structure for view `)/) title = substr(line, 4)
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
'

# wanted FILE: what is not skipped, of SQL on stdin.
wanted() {
  if [ ! -s "$1" ]; then
    cat
    return
  fi
  awk -F '\t' "$NAMES$PLACE"'
    FILENAME != "-" { if ($1 == "schema") gone[raw($2)]; else gone[raw($2) "\t" $1 "\t" raw($3)]; next }
    { place($0) }
    # A title comes before what it is of.
    /^USE `.*`;$/ && !body { SCHEMA = unquoted(substr($0, 5, length($0) - 5)); ITEM = "" }
    !(SCHEMA in gone) && !((SCHEMA "\t" ITEM) in gone)' "$1" -
}

# load WHAT FROM BYTES OPTION…: that part of the copy. Binary mode: it is data and
# SQL, and no command to the client itself. With --force the client goes on after an
# error, and ends well: what it says counts. It repeats the statement, which is
# somebody'"'"'s data, so only its own lines are kept. Without --skip-reconnect it would
# go on in a new session, without the settings.
load() {
  load_what=$1 load_from=$2 load_bytes=$3
  shift 3
  mkfifo -- "$WORK/said" "$WORK/warned" || die 73 'scratch cannot be written'
  sed -nE 's/^ERROR ([0-9]+) \(([0-9A-Z]{5})\)( at line ([0-9]+))?: (.*)$/\1	\4	\2	\5/p' <"$WORK/said" >"$WORK/errors" &
  load_errors=$!
  # "error, column". Of a table with error values the copy says so.
  awk "$NAMES"'
    /^error values:/ { split("", known); n = split(substr($0, 15), list, ","); for (i = 1; i <= n; i++) known["\047" raw(list[i]) "\047"]; next }
    !/^(Warning|Error) [(]Code [0-9]+[)]: / { next }
    {
      error = $0; sub(/^[^0-9]*/, "", error); sub(/[^0-9].*$/, "", error)
      column = ""
      # A name may have lines of its own.
      while (error == 1265 && $0 !~ / at row [0-9]+$/ && (getline more) > 0) $0 = $0 "\n" more
      if (match($0, /column .* at row [0-9]+$/)) { column = substr($0, RSTART + 7); sub(/ at row [0-9]+$/, "", column) }
      if (error == 1265 && column in known) next
      gsub(/\n/, "\\n", column)
      if (!seen[error, column]++) print error "\t" column
    }' <"$WORK/warned" >"$WORK/warnings" &
  load_warnings=$!
  load_status=0
  load_since=$(date +%s)
  part "$load_from" "$load_bytes" | wanted "$WORK/skip" |
    bounded mariadb "$@" --force --batch --skip-column-names --skip-reconnect --show-warnings --binary-mode --max-allowed-packet=1G \
      --init-command='SET SESSION innodb_strict_mode = 0' >"$WORK/warned" 2>"$WORK/said" || load_status=$?
  wait "$load_errors" || die 73 'scratch is full'
  # Who reads them must have come to their end.
  wait "$load_warnings" || die 73 'scratch is full'
  rm -f -- "$WORK/said" "$WORK/warned"
  if [ "$load_status" -ne 0 ] || grep -q '^2[0-9][0-9][0-9]	' "$WORK/errors"; then
    [ "$raised" = no ] || limit "$packet" "$@" || :
    # A lost connection makes an error of each statement after it.
    sed -nE 's/^([0-9]+)	[^	]*	([^	]*)	(.*)$/ERROR \1 (\2): \3/p' "$WORK/errors" | grep -E '^ERROR (1045|1049|2[0-9]{3}) ' | head -n 3 >"$WORK/stderr" || :
    # shellcheck disable=SC2034 # for failed
    bounded_since=$load_since
    failed 69 "$load_what" "$load_status"
  fi
}

# told: WHY for people, of lines "code, line, state, text": a text only where it
# tells names and nothing of rows.
# shellcheck disable=SC2016 # awk's own variables
TOLD='
function told(code, state, text) {
  if (code ~ /^(1005|1030|1044|1049|1050|1051|1054|1071|1072|1115|1118|1142|1146|1227|1235|1273|1286|1305|1356|1418|1419|1449|1524|1698|1814|4025|4084)$/) return text
  return "error " code " (" state ")"
}
'
# Changed values, and 1266: another engine, of all that the server warns of. Where it names no column the last of
# them are of an expression in a definition.
CHANGED='1048|1262|1263|1264|1265|1266|1366|1406|4078'
CHANGED_IF='1292|1411|1441|4038'

# What stopped, "item, why", and what the target lacks.
: >"$WORK/gone"

# Accounts. What a load that was killed left behind of the tool's own is no role of
# anybody.
if [ "$accounts" -gt 0 ]; then
  bounded mariadb "$@" --batch --execute='DROP ROLE IF EXISTS mariadb_dump_import_role' 2>"$WORK/drop.err" || :
  ignored_accounts "$@"
  accounts "$WORK/before" "$@"
  load 'loading the accounts' 0 "$accounts" "$@"
  cp -- "$WORK/errors" "$WORK/accounts.errors" || die 73 'scratch is full'
  load 'making the schemas' "$accounts" "$schemas" "$@"
  attempt 69 'listing the schemas' mariadb "$@" --batch --skip-column-names --execute='SELECT HEX(SCHEMA_NAME) FROM information_schema.SCHEMATA' >"$WORK/here"
  # Without its schema a table would come into another one.
  awk -F '\t' -v OFS='\t' -v fold="$case" -v gone="$WORK/gone" "$NAMES"'
    function key(hex) { return fold == 0 ? hex : folded(hex) }
    FILENAME == ARGV[1] { here[key($1)]; next }
    FILENAME == ARGV[2] { skip[$1, $2, $3]; next }
    $1 == "schema" && !(key($2) in here) && !(($1, $2, $3) in skip) { print $4 "\tit could not be made" >>gone; print }' \
    "$WORK/here" "$WORK/skip" "$WORK/items" >"$WORK/unmade"
  cat -- "$WORK/unmade" >>"$WORK/skip" || die 73 'scratch is full'
fi

load 'loading the dump' "$((accounts + schemas))" "$data" "$@"
if [ -s "$WORK/errors" ]; then
  part "$((accounts + schemas))" "$data" | wanted "$WORK/skip" | awk -F '\t' "$PLACE$TOLD"'
    FILENAME != "-" { if ($2 == "") print "the copy\t" told($1, $3, $4); else if (!($2 in why)) why[$2] = told($1, $3, $4); next }
    { place($0) }
    /^USE `.*`;$/ && !body { SCHEMA = unquoted(substr($0, 5, length($0) - 5)); ITEM = "" }
    FNR in why {
      item = TRIGGER == "" ? ITEM : TRIGGER
      # Of such a trigger the list of items tells.
      if (item == "trigger\t") next
      sub(/\t/, " " SCHEMA ".", item)
      if (item == "") item = SCHEMA == "" ? "the copy" : "schema " SCHEMA
      gsub(/\\/, "\\\\", item); gsub(/\n/, "\\n", item); gsub(/\t/, "\\t", item)
      print item "\t" why[FNR]
    }' "$WORK/errors" - >>"$WORK/gone" || die 73 'scratch is full'
fi
awk -F '\t' -v changed="^($CHANGED)$" -v if_named="^($CHANGED_IF)$" '$1 ~ changed || $1 ~ if_named && $2 != "" { print ($1 == 1266 ? "engine of a table" : "values of column " $2) "\tthe server warned (" $1 ") that it changed " ($1 == 1266 ? "it" : "them") }' "$WORK/warnings" >>"$WORK/gone"
awk -F '\t' -v changed="^($CHANGED|$CHANGED_IF)$" '$1 !~ changed && $1 != 1906 && !seen[$1]++ { printf "%s%s", n++ ? ", " : "", $1 }' "$WORK/warnings" >"$WORK/other"
[ ! -s "$WORK/other" ] || say "the server warned of what it took, with the codes $(cat "$WORK/other")"
[ "$rights" -eq 0 ] || load 'loading the rights' "$((accounts + schemas + data))" "$rights" "$@"
if [ "$raised" = yes ]; then
  limit "$packet" "$@" || say "max_allowed_packet of the server stays raised: it was $packet"
fi
attempt 69 'reading the accounts again' mariadb "$@" --batch --execute='FLUSH PRIVILEGES'

# Each item of the copy must be there now.
attempt 69 'listing what is there' mariadb "$@" --batch --skip-column-names --execute="$ITEMS" >"$WORK/here"
awk -F '\t' -v fold="$case" "$NAMES"'
  function key(what, schema, name) {
    if (fold != 0) { schema = folded(schema); if (what == "table" || what == "view" || what == "sequence" || what == "trigger") name = folded(name) }
    return what " " schema " " name
  }
  FILENAME == ARGV[1] { here[key($1, $2, $3)]; next }
  FILENAME == ARGV[2] { if ($1 == "schema") schema[$2]; skip[$1, $2, $3]; next }
  $2 in schema || ($1, $2, $3) in skip { next }
  !(key($1, $2, $3) in here) { print $4 "\tit is not there" }' "$WORK/here" "$WORK/skip" "$WORK/items" >>"$WORK/gone" || die 73 'scratch is full'

# The same for accounts and each single right. Whoever has all rights has the one.
# shellcheck disable=SC2016 # backticks are SQL's, the rest is awk's own
RIGHTS='
function keys(line, who, what, rest, list, n, i, s, depth, c) {
  if (line ~ /^\/[*]!8/) return 0
  sub(/^\/[*]M!100005 /, "", line); sub(/ ?([*]\/)?;$/, "", line)
  if (match(line, /^CREATE USER IF NOT EXISTS `([^`]|``)*`@`([^`]|``)*`/)) { add("account " substr(line, 27, RLENGTH - 26)); return 0 }
  if (match(line, /^CREATE ROLE IF NOT EXISTS \047([^\047]|\047\047)*\047/)) { add("role " substr(line, 27, RLENGTH - 26)); return 0 }
  if (line ~ /^SET DEFAULT ROLE /) { add("default role " substr(line, 18)); return 0 }
  if (match(line, /^CREATE SERVER .* FOREIGN DATA WRAPPER /)) { s = substr(line, 1, RLENGTH - 22); sub(/^.*NOT EXISTS [*]\/ /, "", s); add("server " s); return 0 }
  if (line ~ /^INSTALL PLUGIN /) { s = line; sub(/ SONAME .*$/, "", s); sub(/ \/[*]M![0-9]+ IF NOT EXISTS [*]\//, "", s); sub(/^.* /, "", s); gsub(/`/, "", s); add("plugin " s); return 0 }
  if (match(line, /^CREATE .*FUNCTION .* SONAME /)) { s = substr(line, 1, RLENGTH - 8); sub(/ RETURNS .*$/, "", s); sub(/^.* /, "", s); add("function " s); return 0 }
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
'
if [ "$accounts" -gt 0 ]; then
  # Whoever makes a role may give it from then on, which nobody has said: it is taken
  # back, if the copy does not say so.
  { part 0 "$accounts" && part "$((accounts + schemas + data))" "$rights"; } >"$WORK/copied" || die 73 'scratch is full'
  attempt 69 'asking who we are' mariadb "$@" --batch --raw --skip-column-names --execute="
    SELECT CONCAT('\`', LEFT(CURRENT_USER(), CHAR_LENGTH(CURRENT_USER()) - 1 - CHAR_LENGTH(SUBSTRING_INDEX(CURRENT_USER(), '@', -1))), '\`@\`', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '\`')" >"$WORK/me"
  awk '
    function role(line) { sub(/^.*CREATE ROLE IF NOT EXISTS \047/, "", line); sub(/\047 .*$/, "", line); gsub(/\047\047/, "\047", line); gsub(/`/, "``", line); return "`" line "`" }
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
    }' "$WORK/me" "$WORK/before" "$WORK/copied" >"$WORK/revoke"
  [ ! -s "$WORK/revoke" ] || attempt 69 'giving back what made the roles' mariadb "$@" --batch --force <"$WORK/revoke" >"$WORK/revoked"
  ignored_accounts "$@"
  accounts "$WORK/here" "$@"
  awk "$RIGHTS"'FNR == 1 { reading++ } { keys($0) }' "$WORK/here" "$WORK/copied" >"$WORK/unknown" || die 73 'scratch is full'
  # A server tells why only as far as it names no account.
  cat -- "$WORK/unknown" >>"$WORK/gone"
fi

expected=$(count_lines '^table	' "$WORK/items")
if [ "$tail" -eq 0 ]; then
  tables "$@"
  expected=$(count_lines '^-- Table structure for table `' "$INPUT")
  restored=0
  while IFS= read -r name; do
    here=$(grep -cxF -e "$name" -- "$WORK/tables") || :
    restored=$((restored + here))
  done <"$WORK/schemas"
  [ "$restored" -ge "$expected" ] || printf 'tables\tthe target has %s, the dump has %s\n' "$restored" "$expected" >>"$WORK/gone"
fi
# Some triggers and events were copied though they may not be made again.
: >"$WORK/known"
[ ! -s "$INPUT.losses" ] || sed -nE 's/^(invalid-trigger|event)	//p' "$INPUT.losses" >"$WORK/known"
awk -F '\t' 'FILENAME == ARGV[1] { known[$1]; next } !($1 in known) && !seen[$1]++' "$WORK/known" "$WORK/gone" >"$WORK/each" || die 73 'scratch is full'
while IFS='	' read -r item why; do
  # Of accounts and rights nothing was left out until here.
  left_out "$item" || missing "$item" "$why"
done <"$WORK/each"
settle_missing
say "restored: $expected tables in $(wc -l <"$WORK/schemas" | tr -d ' ') schemas"
