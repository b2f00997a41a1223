#!/bin/sh
# Restores what dump.sh made: accounts, schemas, rights on tables and routines.
#
#   HOLDFAST_INPUT       the dump
#   MARIADB_HOST MARIADB_PORT MARIADB_USER MYSQL_PWD MARIADB_TLS as for dump.sh
#   HOLDFAST_OVERWRITE   "yes": replace tables of schemas that exist already
#
# MariaDB has no transaction around a whole restore. Accounts that exist keep
# their password. A schema of the dump that has tables in the target is refused,
# unless HOLDFAST_OVERWRITE is "yes": then tables of the same name are dropped and
# made again, and other tables stay.
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"

require_tools mariadb sort
need MARIADB_HOST MARIADB_PORT MARIADB_USER MYSQL_PWD MARIADB_TLS
INPUT=${HOLDFAST_INPUT:-$HOLDFAST_SCRATCH/input}
[ -f "$INPUT" ] || die 64 "$INPUT is absent"

set -- --no-defaults --protocol=tcp --host="$MARIADB_HOST" --port="$MARIADB_PORT" --user="$MARIADB_USER" \
  --default-character-set=utf8mb4
case $MARIADB_TLS in
  disable) set -- "$@" --skip-ssl ;;
  require) set -- "$@" --ssl --skip-ssl-verify-server-cert ;;
  verify-ca) set -- "$@" --ssl-ca="$HOLDFAST_ROOT/files/ca.crt" --ssl-verify-server-cert ;;
  *) die 64 'MARIADB_TLS is none of disable, require, verify-ca' ;;
esac

tail -n 3 <"$INPUT" >"$WORK/end" || die 64 'the dump cannot be read'
grep -q '^-- Dump completed' "$WORK/end" || die 65 'the dump is cut: its last line is missing'
# shellcheck disable=SC2016 # backticks are SQL's
sed -n 's/^USE `\(.*\)`;$/\1/p' "$INPUT" | sed 's/``/`/g' | sort -u >"$WORK/schemas"
[ -s "$WORK/schemas" ] || die 65 'the dump names no schema'

# tables: the schema of each table of the target, one a line.
tables() {
  attempt 69 'listing the tables' mariadb "$@" --batch --raw --skip-column-names \
    --execute="SELECT TABLE_SCHEMA FROM information_schema.TABLES WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')" >"$WORK/tables"
}

tables "$@"
while IFS= read -r name; do
  ! grep -qxF -e "$name" -- "$WORK/tables" || printf '%s\n' "$name"
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

# Binary mode: the dump is data and SQL, and no command to the client itself.
status=0
bounded mariadb "$@" --batch --skip-column-names --binary-mode --max-allowed-packet=1G <"$INPUT" >"$WORK/out" 2>"$WORK/load.err" || status=$?
load_since=$bounded_since
if [ "$raised" = yes ]; then
  limit "$packet" "$@" || say "max_allowed_packet of the server stays raised: it was $packet"
fi
if [ "$status" -ne 0 ]; then
  # The client repeats the statement, which is somebody's data.
  grep '^ERROR ' "$WORK/load.err" >"$WORK/stderr" || :
  bounded_since=$load_since
  failed 69 'loading the dump' "$status"
fi
left_out=$(count_lines '^a right on a table or routine' "$WORK/out")
[ "$left_out" -eq 0 ] || say "$left_out rights were left out: their table or routine is not in the dump"
attempt 69 'reading the accounts again' mariadb "$@" --batch --execute='FLUSH PRIVILEGES'

tables "$@"
expected=$(count_lines '^-- Table structure for table `' "$INPUT")
restored=0
while IFS= read -r name; do
  here=$(grep -cxF -e "$name" -- "$WORK/tables") || :
  restored=$((restored + here))
done <"$WORK/schemas"
[ "$restored" -ge "$expected" ] || die 65 "the target has $restored tables, the dump has $expected"
say "restored: $restored tables in $(wc -l <"$WORK/schemas" | tr -d ' ') schemas"
