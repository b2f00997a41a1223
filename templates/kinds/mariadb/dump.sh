#!/bin/sh
# Dumps a MariaDB server: its accounts, then every schema that is there now, then
# the accounts' rights on single tables and routines.
#
#   MARIADB_HOST MARIADB_PORT MARIADB_USER MYSQL_PWD
#   MARIADB_TLS        disable | require | verify-ca (with files/ca.crt)
#   MARIADB_DISCOVER   yes: all schemas; no: those of EXPECT_DATABASES alone
#   EXPECT_DATABASES   schemas that must be there, one a line
#   EXPECT_PATTERNS    extended regular expressions; each must match a schema
#   EXCLUDE_DATABASES  schemas to leave out
#   MIN_TABLES         fewest tables of all schemas together; 0 by default
#
# Schemas are listed now and never at render time: OX makes new ones as it runs.
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"

require_tools cp mariadb mariadb-dump
need MARIADB_HOST MARIADB_PORT MARIADB_USER MYSQL_PWD MARIADB_TLS
number MIN_TABLES "${MIN_TABLES:-0}"
refuse_if_locked

# Options that client and dumper share. --no-defaults must come first.
set -- --no-defaults --protocol=tcp --host="$MARIADB_HOST" --port="$MARIADB_PORT" --user="$MARIADB_USER" \
  --default-character-set=utf8mb4
case $MARIADB_TLS in
  disable) set -- "$@" --skip-ssl ;;
  require) set -- "$@" --ssl --skip-ssl-verify-server-cert ;;
  verify-ca) set -- "$@" --ssl-ca="$HOLDFAST_ROOT/files/ca.crt" --ssl-verify-server-cert ;;
  *) die 64 'MARIADB_TLS is none of disable, require, verify-ca' ;;
esac

# --raw: names are listed as they are, and a backslash is one.
attempt 69 'listing the schemas' mariadb "$@" --batch --raw --skip-column-names --execute='SHOW DATABASES' >"$WORK/all"
if [ "$MARIADB_TLS" != disable ]; then
  attempt 69 'asking for TLS' mariadb "$@" --batch --skip-column-names \
    --execute="SHOW SESSION STATUS LIKE 'Ssl_cipher'" >"$WORK/cipher"
  grep -q '^Ssl_cipher[[:space:]][^[:space:]]' "$WORK/cipher" || die 69 'the connection is not encrypted'
fi

# What an account may not see is missing without any error, so it must have the
# rights to see everything.
attempt 69 'asking for privileges' mariadb "$@" --batch --skip-column-names --execute="
SELECT privilege FROM (SELECT 'SELECT' AS privilege UNION SELECT 'SHOW VIEW' UNION SELECT 'TRIGGER' UNION SELECT 'EVENT') AS needed
WHERE privilege NOT IN (
  SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES
  WHERE GRANTEE = CONCAT(
    CHAR(39), LEFT(CURRENT_USER(), CHAR_LENGTH(CURRENT_USER()) - 1 - CHAR_LENGTH(SUBSTRING_INDEX(CURRENT_USER(), '@', -1))),
    CHAR(39), '@', CHAR(39), SUBSTRING_INDEX(CURRENT_USER(), '@', -1), CHAR(39)))" >"$WORK/lacking"
[ ! -s "$WORK/lacking" ] ||
  die 69 "$MARIADB_USER lacks global privileges, and what it may not see would be missing: $(tr '\n' ' ' <"$WORK/lacking")"

{
  printf '%s\n' information_schema performance_schema mysql sys '#mysql50#lost+found'
  lines "${EXCLUDE_DATABASES:-}"
} >"$WORK/exclude"
grep -vxF -f "$WORK/exclude" -- "$WORK/all" >"$WORK/schemas" || [ $? -eq 1 ] || die 69 'grep failed'

lines "${EXPECT_DATABASES:-}" >"$WORK/expect"
while IFS= read -r name; do
  grep -qxF -e "$name" -- "$WORK/schemas" || die 65 "the schema $name is not there, or $MARIADB_USER may not see it"
done <"$WORK/expect"
lines "${EXPECT_PATTERNS:-}" >"$WORK/patterns"
while IFS= read -r pattern; do
  pattern_status=0
  grep -Eq -e "$pattern" -- "$WORK/schemas" || pattern_status=$?
  case $pattern_status in
    0) ;;
    1) die 65 "no schema matches $pattern" ;;
    *) die 64 "$pattern is no regular expression" ;;
  esac
done <"$WORK/patterns"
if [ "${MARIADB_DISCOVER:-yes}" = no ]; then
  cp -- "$WORK/expect" "$WORK/schemas" || die 73 'scratch cannot be written'
fi
[ -s "$WORK/schemas" ] || die 65 'the server has no schema to dump'

# whole FILE WHAT: the footer is the last line.
whole() {
  tail -n 3 <"$1" >"$WORK/end" || die 73 'scratch cannot be read'
  grep -q '^-- Dump completed' "$WORK/end" || die 65 "the dump of $2 is cut: its last line is missing"
}

dump=$WORK/dump
# Accounts as CREATE USER IF NOT EXISTS and GRANT: a restore keeps those it meets.
attempt 69 "mariadb-dump of the accounts" mariadb-dump "$@" --comments --skip-dump-date --insert-ignore --system=users >"$WORK/accounts"
whole "$WORK/accounts" 'the accounts'
# A GRANT repeats the password, and would give it to an account that exists; of a
# new account CREATE USER has set it already. The PROXY right that an
# installation gives to root is left out: other administrators cannot grant it.
# shellcheck disable=SC2016 # backticks are SQL's
sed -E -e 's/^(GRANT .*`@`[^`]*`) IDENTIFIED (BY PASSWORD '"'[^']*'"'|VIA [A-Za-z0-9_]+( USING '"'[^']*'"')?( OR [A-Za-z0-9_]+( USING '"'[^']*'"')?)*)/\1/' \
  -e "/^GRANT PROXY ON [\`']{2}@[\`']%[\`'] TO [\`']root[\`']@/d" "$WORK/accounts" >"$WORK/grants" || die 73 'scratch is full'
# Rights on a table or routine cannot be granted before there is one. A right may
# outlive its table, or its schema may be excluded: such a one cannot be restored.
# shellcheck disable=SC2016 # backticks are SQL's
object='^GRANT .* ON ((PROCEDURE|FUNCTION|PACKAGE|PACKAGE BODY) )?`([^`]|``)*`[.]`'
grep -Ev -e "$object" -- "$WORK/grants" >"$dump" || die 73 'scratch is full'
{
  printf '%s\n' '-- Rights on tables and routines' 'DELIMITER ;;' 'BEGIN NOT ATOMIC' \
    "DECLARE CONTINUE HANDLER FOR 1146, 1305 SELECT 'a right on a table or routine that does not exist';" 'SET @holdfast = NULL;'
  grep -E -e "$object" -- "$WORK/grants" || [ $? -eq 1 ]
  printf '%s\n' 'END;;' 'DELIMITER ;' '' '-- Dump completed'
} >"$WORK/rights" || die 73 'scratch is full'

count=0
while IFS= read -r name <&3; do
  count=$((count + 1))
  if [ "$count" -eq 1 ]; then
    set -- "$@" --comments --skip-dump-date --single-transaction --quick --skip-lock-tables \
      --routines --triggers --events --hex-blob --max-allowed-packet=1G --databases --
  fi
  set -- "$@" "$name"
done 3<"$WORK/schemas"
attempt 69 "mariadb-dump of $count schemas" mariadb-dump "$@" >"$WORK/data"
whole "$WORK/data" 'the schemas'

created=$(count_lines '^CREATE DATABASE .*`' "$WORK/data")
[ "$created" -ge "$count" ] || die 65 "the dump creates $created schemas, $count were listed"
tables=$(count_lines '^-- Table structure for table `' "$WORK/data")
[ "$tables" -ge "${MIN_TABLES:-0}" ] || die 65 "the dump has $tables tables, fewer than $MIN_TABLES"
inserts=$(count_lines '^INSERT INTO `' "$WORK/data")
[ "$inserts" -gt 0 ] || [ -n "$HOLDFAST_ALLOW_EMPTY" ] || die 65 'the dump holds no row'

cat -- "$WORK/data" "$WORK/rights" >>"$dump" || die 73 'scratch is full'
rm -f -- "$WORK/data"
publish "$dump" "$count" '-- '
