#!/bin/sh
# connect.sh is sourced, after common.sh, by the scripts that speak to a server.
# It leaves in the positional parameters what client and dumper share:
# --no-defaults must come first. Then what both sides ask for.
#
#   MARIADB_HOST MARIADB_PORT MARIADB_USER MYSQL_PWD
#   MARIADB_TLS   disable | require | verify-ca (with files/ca.crt)
# shellcheck disable=SC2034 # for whoever sources it

need MARIADB_HOST MARIADB_PORT MARIADB_USER MYSQL_PWD MARIADB_TLS
set -- --no-defaults --protocol=tcp --host="$MARIADB_HOST" --port="$MARIADB_PORT" --user="$MARIADB_USER" \
  --default-character-set=utf8mb4
case $MARIADB_TLS in
  disable) set -- "$@" --skip-ssl ;;
  require) set -- "$@" --ssl --skip-ssl-verify-server-cert ;;
  verify-ca) set -- "$@" --ssl-ca="$HOLDFAST_ROOT/files/ca.crt" --ssl-verify-server-cert ;;
  *) die 64 'MARIADB_TLS is none of disable, require, verify-ca' ;;
esac

# Everything that schemas hold, an item a line: what it is, its schema and its name
# in hexadecimal digits, and "what schema.name" for people. Names may hold anything,
# line breaks too. The client's --batch escapes those.
ITEMS="
SELECT i.what, HEX(i.place), HEX(i.name), CONCAT(i.what, ' ', i.place, IF(i.what = 'schema', '', '.'), i.name) FROM (
  SELECT 'schema' AS what, SCHEMA_NAME AS place, '' AS name FROM information_schema.SCHEMATA
  UNION ALL SELECT CASE TABLE_TYPE WHEN 'VIEW' THEN 'view' WHEN 'SEQUENCE' THEN 'sequence' ELSE 'table' END, TABLE_SCHEMA, TABLE_NAME
    FROM information_schema.TABLES WHERE TABLE_TYPE <> 'TEMPORARY'
  UNION ALL SELECT LOWER(ROUTINE_TYPE), ROUTINE_SCHEMA, ROUTINE_NAME FROM information_schema.ROUTINES
  UNION ALL SELECT 'trigger', TRIGGER_SCHEMA, TRIGGER_NAME FROM information_schema.TRIGGERS
  UNION ALL SELECT 'event', EVENT_SCHEMA, EVENT_NAME FROM information_schema.EVENTS
) AS i WHERE BINARY i.place NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')"

# awk functions: raw(HEX) is the name, octal(HEX) the same for printf %b, quoted(HEX)
# the hexadecimal digits of it between backticks, folded(HEX) without capitals.
# shellcheck disable=SC2016 # awk's own variables
NAMES='
function code(hex, i) { return index("0123456789ABCDEF", substr(hex, i, 1)) * 16 + index("0123456789ABCDEF", substr(hex, i + 1, 1)) - 17 }
function raw(hex, i, s) { s = ""; for (i = 1; i < length(hex); i += 2) s = s sprintf("%c", code(hex, i)); return s }
function octal(hex, i, s) { s = ""; for (i = 1; i < length(hex); i += 2) s = s sprintf("\\0%03o", code(hex, i)); return s }
function quoted(hex, i, s) { s = "60"; for (i = 1; i < length(hex); i += 2) s = s substr(hex, i, 2) (substr(hex, i, 2) == "60" ? "60" : ""); return s "60" }
function folded(hex, i, s, c) { s = ""; for (i = 1; i < length(hex); i += 2) { c = code(hex, i); s = s sprintf("%02X", c >= 65 && c <= 90 ? c + 32 : c) }; return s }
'

# forced WHAT FILE OPTION…: runs its statements. With --force the client goes on after an
# error, and always ends well: what it says counts.
forced() {
  forced_what=$1 forced_file=$2
  shift 2
  forced_status=0
  bounded mariadb "$@" --force --batch --skip-column-names <"$forced_file" 2>"$WORK/stderr" || forced_status=$?
  if [ "$forced_status" -ne 0 ] || grep -Eq '^ERROR 2[0-9]{3} ' "$WORK/stderr"; then
    failed 69 "$forced_what" "$forced_status"
  fi
}

# ignored_accounts OPTION…: the accounts that are in the server's tables alone, in
# $WORK/accounts.ignored, a line each: for people, and as the tool quotes it. With
# skip-name-resolve the server ignores those of a host by name: they cannot log in, and
# it does not tell what makes them.
ignored_accounts() {
  attempt 69 'listing the accounts' mariadb "$@" --batch --skip-column-names --execute="
    SELECT CONCAT('EXECUTE IMMEDIATE CONVERT(X', CHAR(39), HEX(CONCAT('SHOW GRANTS FOR ', QUOTE(User), '@', QUOTE(Host))), CHAR(39), ' USING utf8mb4);'),
      CONCAT('account ', User, '@', Host), HEX(CONCAT(QUOTE(User), '@', QUOTE(Host))) FROM mysql.user WHERE is_role = 'N'" >"$WORK/accounts.all"
  awk -F '\t' '{ print $1 }' "$WORK/accounts.all" >"$WORK/accounts.sql" || die 73 'scratch is full'
  forced 'asking for each account' "$WORK/accounts.sql" "$@" >/dev/null
  sed -nE 's/^ERROR 1141 [(][0-9A-Z]+[)] at line ([0-9]+): .*$/\1/p' "$WORK/stderr" >"$WORK/accounts.failing"
  awk -F '\t' "$NAMES"'FILENAME == ARGV[1] { failing[$1]; next } FNR in failing { print $2 "\t" raw($3) }' \
    "$WORK/accounts.failing" "$WORK/accounts.all" >"$WORK/accounts.ignored" || die 73 'scratch is full'
}

# accounts TO OPTION…: accounts, roles, their rights, servers, functions and plugins,
# as statements. Who exists already is kept. What the server ignores is not among them;
# ignored_accounts has told.
accounts() {
  accounts_to=$1
  shift
  accounts_status=0
  bounded mariadb-dump "$@" --comments --skip-dump-date --insert-ignore --force \
    --system=users,servers,udfs,plugins >"$WORK/accounts.raw" 2>"$WORK/stderr" || accounts_status=$?
  # Of one that is ignored the tool says so, goes on, and ends with 2.
  awk -F '\t' '
    FILENAME == ARGV[1] { known["mariadb-dump: Couldn\047t execute \047SHOW CREATE USER " $2 "\047: "]; known["mariadb-dump: Couldn\047t execute \047SHOW GRANTS FOR " $2 "\047: "]; next }
    { for (text in known) if (index($0, text) == 1) next; print }' "$WORK/accounts.ignored" "$WORK/stderr" >"$WORK/accounts.said" || die 73 'scratch is full'
  if [ "$accounts_status" -ne 0 ] && { [ -s "$WORK/accounts.said" ] || [ ! -s "$WORK/stderr" ]; }; then
    cp -- "$WORK/accounts.said" "$WORK/stderr" || die 73 'scratch is full'
    failed 69 'mariadb-dump of the accounts' "$accounts_status"
  fi
  tail -n 3 <"$WORK/accounts.raw" >"$WORK/end" || die 73 'scratch cannot be read'
  grep -q '^-- Dump completed' "$WORK/end" || die 65 'the dump of the accounts is cut: its last line is missing'
  # The tool leaves out what everybody may do. Servers before 10.11 do not know it.
  attempt 69 'asking for the rights of PUBLIC' mariadb "$@" --batch --skip-column-names \
    --execute="SELECT COUNT(*) FROM mysql.global_priv WHERE User = 'PUBLIC' AND Host = ''" >"$WORK/public"
  read -r accounts_public <"$WORK/public"
  : >"$WORK/public"
  [ "$accounts_public" -eq 0 ] || attempt 69 'asking for the rights of PUBLIC' mariadb "$@" --batch --raw --skip-column-names \
    --execute='SHOW GRANTS FOR PUBLIC' >"$WORK/public"
  # A GRANT repeats the password, and would give it to an account that exists; of a
  # new account CREATE USER has set it already. The PROXY right that an
  # installation gives to root is left out: other administrators cannot grant it.
  # The tool makes a role of its own for the time of a load, and a load that stops
  # half-way leaves it behind, as the only one that may grant the others: whoever
  # restores makes the roles instead. And where an account could not be made, a GRANT
  # must not make one without a password. Of a plugin it has two words the wrong way
  # round, which no server takes.
  # shellcheck disable=SC2016 # backticks are SQL's
  {
    sed -E -e 's/^(GRANT .*`@`[^`]*`) IDENTIFIED (BY PASSWORD '"'[^']*'"'|VIA [A-Za-z0-9_]+( USING '"'[^']*'"')?( OR [A-Za-z0-9_]+( USING '"'[^']*'"')?)*)/\1/' \
      -e "/^GRANT PROXY ON [\`']{2}@[\`']%[\`'] TO [\`']root[\`']@/d" \
      -e "s/^(.* SQL_MODE='NO_AUTO_VALUE_ON_ZERO)(' .*)/\\1,NO_AUTO_CREATE_USER\\2/" \
      -e 's#^INSTALL PLUGIN (`([^`]|``)*`|[^` ]+) (/\*M![0-9]+ IF NOT EXISTS \*/) SONAME #INSTALL PLUGIN \3 \1 SONAME #' \
      -e 's| WITH ADMIN mariadb_dump_import_role \*/;$| */;|' \
      -e '/^SELECT COALESCE\(CURRENT_ROLE\(\),/d' -e '/^CREATE ROLE IF NOT EXISTS mariadb_dump_import_role;$/d' \
      -e '/^GRANT mariadb_dump_import_role TO CURRENT_USER\(\);$/d' -e '/^SET ROLE (mariadb_dump_import_role|NONE);$/d' \
      -e '/^DROP ROLE mariadb_dump_import_role;$/d' -e '/^[/]\*M!100203 EXECUTE IMMEDIATE CONCAT\(.SET ROLE /d' \
      "$WORK/accounts.raw" | awk -F '\t' '
      FILENAME == ARGV[1] { ignored[$2]; next }
      # The tool goes on to name them where roles are given.
      /^\/[*]/ { for (who in ignored) if (index($0, " " who " ")) next }
      { print }' "$WORK/accounts.ignored" -
    sed 's/$/;/' "$WORK/public"
  } >"$accounts_to" || die 73 'scratch is full'
}
