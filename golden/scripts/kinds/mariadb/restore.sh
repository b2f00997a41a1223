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
  awk -F '\t' -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/schemas.awk" "$WORK/items" >"$WORK/schemas"
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
  awk -F '\t' -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/collide.awk" "$WORK/skip" "$WORK/items" >"$WORK/collide"
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
awk -F '\t' -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/schemas.awk" "$WORK/skip" >"$WORK/schemas.skip"
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

# wanted FILE: what is not skipped, of SQL on stdin.
wanted() {
  if [ ! -s "$1" ]; then
    cat
    return
  fi
  awk -F '\t' -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/place.awk" -f "$HOLDFAST_ROOT/bin/wanted.awk" "$1" -
}

# load WHAT FROM BYTES OPTION…: that part of the copy. Binary mode: it is data and
# SQL, and no command to the client itself. With --force the client goes on after an
# error, and ends well: what it says counts. It repeats the statement, which is
# somebody's data, so only its own lines are kept. Without --skip-reconnect it would
# go on in a new session, without the settings.
load() {
  load_what=$1 load_from=$2 load_bytes=$3
  shift 3
  mkfifo -- "$WORK/said" "$WORK/warned" || die 73 'scratch cannot be written'
  sed -nE 's/^ERROR ([0-9]+) \(([0-9A-Z]{5})\)( at line ([0-9]+))?: (.*)$/\1	\4	\2	\5/p' <"$WORK/said" >"$WORK/errors" &
  load_errors=$!
  awk -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/warnings.awk" <"$WORK/warned" >"$WORK/warnings" &
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
  awk -F '\t' -v OFS='\t' -v fold="$case" -v gone="$WORK/gone" -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/unmade.awk" \
    "$WORK/here" "$WORK/skip" "$WORK/items" >"$WORK/unmade"
  cat -- "$WORK/unmade" >>"$WORK/skip" || die 73 'scratch is full'
fi

load 'loading the dump' "$((accounts + schemas))" "$data" "$@"
if [ -s "$WORK/errors" ]; then
  part "$((accounts + schemas))" "$data" | wanted "$WORK/skip" |
    awk -F '\t' -f "$HOLDFAST_ROOT/bin/place.awk" -f "$HOLDFAST_ROOT/bin/told.awk" -f "$HOLDFAST_ROOT/bin/stopped.awk" \
      "$WORK/errors" - >>"$WORK/gone" || die 73 'scratch is full'
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
attempt 69 'listing what is there' mariadb "$@" --batch --skip-column-names <"$HOLDFAST_ROOT/bin/items.sql" >"$WORK/here"
awk -F '\t' -v fold="$case" -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/lacking.awk" \
  "$WORK/here" "$WORK/skip" "$WORK/items" >>"$WORK/gone" || die 73 'scratch is full'

# The same for accounts and each single right.
if [ "$accounts" -gt 0 ]; then
  # Whoever makes a role may give it from then on, which nobody has said: it is taken
  # back, if the copy does not say so.
  { part 0 "$accounts" && part "$((accounts + schemas + data))" "$rights"; } >"$WORK/copied" || die 73 'scratch is full'
  attempt 69 'asking who we are' mariadb "$@" --batch --raw --skip-column-names --execute="
    SELECT CONCAT('\`', LEFT(CURRENT_USER(), CHAR_LENGTH(CURRENT_USER()) - 1 - CHAR_LENGTH(SUBSTRING_INDEX(CURRENT_USER(), '@', -1))), '\`@\`', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '\`')" >"$WORK/me"
  awk -f "$HOLDFAST_ROOT/bin/revoke.awk" "$WORK/me" "$WORK/before" "$WORK/copied" >"$WORK/revoke"
  [ ! -s "$WORK/revoke" ] || attempt 69 'giving back what made the roles' mariadb "$@" --batch --force <"$WORK/revoke" >"$WORK/revoked"
  ignored_accounts "$@"
  accounts "$WORK/here" "$@"
  awk -f "$HOLDFAST_ROOT/bin/rights.awk" "$WORK/here" "$WORK/copied" >"$WORK/unknown" || die 73 'scratch is full'
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
