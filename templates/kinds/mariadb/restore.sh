#!/bin/sh
# Restores what dump.sh made: accounts first, then the schemas.
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

need MARIADB_HOST MARIADB_PORT MARIADB_USER MYSQL_PWD MARIADB_TLS
INPUT=${HOLDFAST_INPUT:-$HOLDFAST_SCRATCH/input}
[ -f "$INPUT" ] || die 64 "$INPUT is absent"

client=mariadb
command -v mariadb >/dev/null || client=mysql
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
  attempt 69 'listing the tables' "$client" "$@" --batch --raw --skip-column-names \
    --execute="SELECT TABLE_SCHEMA FROM information_schema.TABLES WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')" >"$WORK/tables"
}

tables "$@"
while IFS= read -r name; do
  ! grep -qxF -e "$name" -- "$WORK/tables" || printf '%s\n' "$name"
done <"$WORK/schemas" >"$WORK/taken"
if [ -s "$WORK/taken" ] && [ "${HOLDFAST_OVERWRITE:-no}" != yes ]; then
  die 65 "these schemas have tables in the target: $(tr '\n' ' ' <"$WORK/taken"); set HOLDFAST_OVERWRITE=yes to replace those that the dump holds"
fi

# Binary mode: the dump is data and SQL, and no command to the client itself.
attempt 69 'loading the dump' "$client" "$@" --batch --binary-mode --max-allowed-packet=1G <"$INPUT" >"$WORK/out"
attempt 69 'reading the accounts again' "$client" "$@" --batch --execute='FLUSH PRIVILEGES'

tables "$@"
expected=$(count_lines '^-- Table structure for table `' "$INPUT")
restored=0
while IFS= read -r name; do
  here=$(grep -cxF -e "$name" -- "$WORK/tables") || :
  restored=$((restored + here))
done <"$WORK/schemas"
[ "$restored" -ge "$expected" ] || die 65 "the target has $restored tables, the dump has $expected"
say "restored: $restored tables in $(wc -l <"$WORK/schemas" | tr -d ' ') schemas"
