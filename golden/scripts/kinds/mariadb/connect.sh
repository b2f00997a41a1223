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
  awk -F '\t' -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/ignored-accounts.awk" \
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
  awk -F '\t' -f "$HOLDFAST_ROOT/bin/accounts-said.awk" \
    "$WORK/accounts.ignored" "$WORK/stderr" >"$WORK/accounts.said" || die 73 'scratch is full'
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
      "$WORK/accounts.raw" | awk -F '\t' -f "$HOLDFAST_ROOT/bin/accounts-known.awk" "$WORK/accounts.ignored" -
    sed 's/$/;/' "$WORK/public"
  } >"$accounts_to" || die 73 'scratch is full'
}
