#!/bin/sh
# Dumps a MariaDB server: its accounts, then every schema that is there now, then
# the accounts' rights on single tables and routines. Rows are streamed: of them 16 MiB
# lie on scratch. What a restore could not bring back is asked for before.
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
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/losses.sh"
. "$HOLDFAST_ROOT/bin/stream.sh"
. "$HOLDFAST_ROOT/bin/lock.sh"
begin

require_tools cp dd mariadb mariadb-dump mkfifo mv sort
number MIN_TABLES "${MIN_TABLES:-0}"
refuse_if_locked
. "$HOLDFAST_ROOT/bin/connect.sh"

# ask WHAT SQL OPTION…: one line for each row, columns between tabs; line breaks,
# tabs and backslashes in them are escaped.
ask() {
  ask_what=$1
  ask_sql=$2
  shift 2
  attempt 69 "$ask_what" mariadb "$@" --batch --skip-column-names --execute="$ask_sql"
}

# What mariadb-dump cannot copy whole: it takes MYSQL for mysql. And a name with a line
# break would be two in our lists.
odd="HEX(SCHEMA_NAME) REGEXP '^(..)*([01].|7F)'
  OR LOWER(SCHEMA_NAME) IN ('information_schema', 'performance_schema', 'mysql', 'sys') AND BINARY SCHEMA_NAME <> LOWER(SCHEMA_NAME)"
# --raw: names are listed as they are, and a backslash is one.
attempt 69 'listing the schemas' mariadb "$@" --batch --raw --skip-column-names \
  --execute="SELECT HEX(SCHEMA_NAME), SCHEMA_NAME FROM information_schema.SCHEMATA WHERE NOT ($odd)" >"$WORK/all"
if [ "$MARIADB_TLS" != disable ]; then
  ask 'asking for TLS' "SHOW SESSION STATUS LIKE 'Ssl_cipher'" "$@" >"$WORK/cipher"
  grep -q '^Ssl_cipher[[:space:]][^[:space:]]' "$WORK/cipher" || die 69 'the connection is not encrypted'
fi

# What an account may not see is missing without any error, so it must have the
# rights to see everything.
attempt 69 'asking for privileges' mariadb "$@" --batch --skip-column-names <"$HOLDFAST_ROOT/bin/privileges.sql" >"$WORK/lacking"
[ ! -s "$WORK/lacking" ] ||
  die 69 "$MARIADB_USER lacks global privileges, and what it may not see would be missing: $(tr '\n' ' ' <"$WORK/lacking")"

sed 's/^[^	]*	//' "$WORK/all" >"$WORK/names"
{
  printf '%s\n' information_schema performance_schema mysql sys '#mysql50#lost+found'
  lines "${EXCLUDE_DATABASES:-}"
} >"$WORK/exclude"
grep -vxF -f "$WORK/exclude" -- "$WORK/names" >"$WORK/schemas" || [ $? -eq 1 ] || die 69 'grep failed'

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
else
  ask 'listing the schemas' "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE $odd" "$@" >"$WORK/odd"
  while IFS= read -r name; do
    loss name "schema $name" "its name has a control character, or is the server's own but for capitals"
  done <"$WORK/odd"
fi
[ -s "$WORK/schemas" ] || die 65 'the server has no schema to dump'
# The same in hexadecimal digits, in which any name can be handled.
awk -F '\t' 'FILENAME == ARGV[1] { ours[$0]; next } { hex = $1; sub(/^[^\t]*\t/, "") } $0 in ours { print hex }' "$WORK/schemas" "$WORK/all" | sort >"$WORK/schemas.hex"
awk -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/octal.awk" "$WORK/schemas.hex" >"$WORK/schemas.octal"

attempt 69 'listing what the schemas hold' mariadb "$@" --batch --skip-column-names <"$HOLDFAST_ROOT/bin/items.sql" >"$WORK/items.all"
awk -F '\t' 'FILENAME == ARGV[1] { ours[$1]; next } $2 in ours' "$WORK/schemas.hex" "$WORK/items.all" >"$WORK/items.ours" || die 73 'scratch is full'
count=$(wc -l <"$WORK/schemas.hex" | tr -d ' ')
tables=$(count_lines '^table	' "$WORK/items.ours")
[ "$tables" -ge "${MIN_TABLES:-0}" ] || die 65 "the server has $tables tables, fewer than $MIN_TABLES"

# failing FILE LIMIT OPTION…: a line for each item of FILE that cannot be read: its
# number, the error's, and its text.
failing() {
  failing_file=$1
  failing_limit=$2
  shift 2
  awk -F '\t' -v limit="$failing_limit" -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/probe.awk" \
    "$failing_file" >"$WORK/probe.sql" || die 73 'scratch is full'
  forced 'trying the tables' "$WORK/probe.sql" "$@" >>"$WORK/rows"
  sed -nE 's/^ERROR ([0-9]+) \([0-9A-Z]+\) at line ([0-9]+): (.*)$/\2	\1	\3/p' "$WORK/stderr" | sort -n -u -k 1,1
}

# unfit NAME FILE WHY: notes items that cannot be copied, "number, error, text" on
# stdin, and leaves them out if that is accepted.
unfit() {
  awk -F '\t' -v OFS='\t' -v loss="$1" 'FILENAME == ARGV[1] { item[FNR] = $4; line[FNR] = $0; next } { print loss, item[$1], $3 }' "$2" - >>"$WORK/losses" ||
    die 73 'scratch is full'
}
: >"$WORK/ignored.items"
for what in table sequence view; do
  grep "^$what	" "$WORK/items.ours" >"$WORK/$what.items" || [ $? -eq 1 ] || die 69 'grep failed'
done
for what in table sequence; do
  failing "$WORK/$what.items" 1 "$@" >"$WORK/failing"
  unfit unreadable "$WORK/$what.items" <"$WORK/failing"
  awk -F '\t' 'FILENAME == ARGV[1] { bad[$1]; next } FNR in bad' "$WORK/failing" "$WORK/$what.items" >>"$WORK/ignored.items"
done
# Nothing is read of a view.
failing "$WORK/view.items" 0 "$@" >"$WORK/failing"
unfit invalid-view "$WORK/view.items" <"$WORK/failing"
awk -F '\t' 'FILENAME == ARGV[1] { bad[$1]; next } FNR in bad' "$WORK/failing" "$WORK/view.items" >>"$WORK/ignored.items"

# Servers from 11 on do not double a backtick in the name of a foreign key: the rest of
# the copy would be taken for a part of that name.
ask 'asking for foreign keys' "
SELECT HEX(TABLE_SCHEMA), HEX(TABLE_NAME), CONCAT('table ', TABLE_SCHEMA, '.', TABLE_NAME), HEX(CONSTRAINT_NAME)
FROM information_schema.TABLE_CONSTRAINTS WHERE CONSTRAINT_TYPE = 'FOREIGN KEY' AND CONSTRAINT_NAME LIKE '%\`%'" "$@" >"$WORK/keys"
awk -F '\t' -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/definitions.awk" \
  "$WORK/keys" >"$WORK/keys.sql" || die 73 'scratch is full'
forced 'reading the definitions' "$WORK/keys.sql" "$@" >"$WORK/keys.text"
awk -F '\t' -v OFS='\t' -v losses="$WORK/losses" -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/foreign-keys.awk" \
  "$WORK/keys.text" "$WORK/keys" >>"$WORK/ignored.items" || die 73 'scratch is full'

# Rows that the server itself only passes on.
ask 'asking for engines' "
SELECT HEX(TABLE_SCHEMA), HEX(TABLE_NAME), CONCAT('table ', TABLE_SCHEMA, '.', TABLE_NAME), ENGINE FROM information_schema.TABLES
WHERE ENGINE IN ('CONNECT', 'FEDERATED', 'OQGRAPH', 'SPIDER', 'S3', 'VP')" "$@" >"$WORK/engines"
awk -F '\t' -v OFS='\t' 'FILENAME == ARGV[1] { ours[$1]; next } $1 in ours { print "external", $3, "its engine is " $4 ", which keeps the rows elsewhere" }' \
  "$WORK/schemas.hex" "$WORK/engines" >>"$WORK/losses"
awk -F '\t' -v OFS='\t' '$4 == "S3" { print "table", $1, $2, $3 }' "$WORK/engines" >>"$WORK/ignored.items"

ask 'asking for versioned tables' "
SELECT HEX(TABLE_SCHEMA), HEX(TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_TYPE = 'SYSTEM VERSIONED'" "$@" >"$WORK/versioned"

# The error value of an ENUM is told as '', of which the restore's server warns, or as
# a label that is ''. So tables that have it are told apart: each is searched, unless
# its rows are elsewhere.
attempt 69 'asking for labels' mariadb "$@" --batch --skip-column-names <"$HOLDFAST_ROOT/bin/enums.sql" >"$WORK/enums"
awk -F '\t' -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/error-values.awk" \
  "$WORK/table.items" "$WORK/ignored.items" "$WORK/engines" "$WORK/versioned" "$WORK/enums" >"$WORK/search.sql" || die 73 'scratch is full'
# One that cannot be read, mariadb-dump tells of.
forced 'searching the tables with an ENUM' "$WORK/search.sql" "$@" >"$WORK/erring"

# Without the history the current rows are there still.
ask 'asking for the version' "
SELECT IF(CAST(SUBSTRING_INDEX(VERSION(), '.', 1) AS INT) * 100 + CAST(SUBSTRING_INDEX(SUBSTRING_INDEX(VERSION(), '.', 2), '.', -1) AS INT) >= 1011, 'yes', 'no')" "$@" >"$WORK/history"
read -r history <"$WORK/history"

# Labels and defaults of such characters are part of the table's definition, which
# the server tells in utf8 alone: one that it cannot say there is a question mark. A
# value of such a label is an error value in the target. And a SET with a label that is
# '' is told by numbers, which must not be labels, and which are not read in UTF-16.
attempt 69 'asking for labels and defaults' mariadb "$@" --batch --skip-column-names <"$HOLDFAST_ROOT/bin/labels.sql" >"$WORK/labels"
awk -F '\t' -v OFS='\t' 'FILENAME == ARGV[1] { ours[$1]; next } $1 in ours { print "changed-characters", $3, "a label or default that may become another" }' \
  "$WORK/schemas.hex" "$WORK/labels" >>"$WORK/losses"

# The tool takes all values as text: of a FLOAT six digits, and of a character what
# utf8mb4 makes of it, which is not always the same again. Such columns are read as
# DOUBLE and as bytes, by a UNION behind the condition, so their tables have a dump
# of their own. A FLOAT(M,D) may be a bit more than it takes. Beside a label that is ''
# the error value of an ENUM is told as what is too long for a label. Tables with
# error values have a dump of their own, too, and those whose history the tool refuses.
# Of a SET a label that is '' is the same text as none: it is told as a number.
attempt 69 'asking for columns' mariadb "$@" --batch --skip-column-names <"$HOLDFAST_ROOT/bin/columns.sql" >"$WORK/columns"
awk -F '\t' -v history="$history" -v ignored="$WORK/ignored" -v losses="$WORK/losses" \
  -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/special.awk" \
  "$WORK/ignored.items" "$WORK/versioned" "$WORK/columns" "$WORK/erring" "$WORK/enums" "$WORK/labels" "$WORK/items.ours" >"$WORK/special" ||
  die 73 'scratch is full'
awk -F '\t' -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/ignored.awk" \
  "$WORK/ignored.items" >>"$WORK/ignored" || die 73 'scratch is full'

# A default goes on naming a sequence that is gone, and reading the table does not tell.
ask 'asking for defaults' "
SELECT HEX(COLUMN_DEFAULT) FROM information_schema.COLUMNS WHERE COLUMN_DEFAULT LIKE '%val(\`%' AND BINARY TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')" "$@" >"$WORK/defaults"
awk -F '\t' -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/sequences.awk" \
  "$WORK/items.all" "$WORK/defaults" | sort -u >"$WORK/sequences.gone" || die 73 'scratch is full'

# A trigger goes on naming a column that is gone, and cannot be made again. It is
# copied in any case. The text is as somebody wrote it.
ask 'asking for triggers' "
SELECT HEX(EVENT_OBJECT_SCHEMA), HEX(EVENT_OBJECT_TABLE), CONCAT('trigger ', TRIGGER_SCHEMA, '.', TRIGGER_NAME), ACTION_STATEMENT FROM information_schema.TRIGGERS" "$@" >"$WORK/triggers"
: >"$WORK/triggered"
[ ! -s "$WORK/triggers" ] || ask 'asking for the columns of triggers' "
SELECT HEX(TABLE_SCHEMA), HEX(TABLE_NAME), COLUMN_NAME FROM information_schema.COLUMNS
WHERE (BINARY TABLE_SCHEMA, BINARY TABLE_NAME) IN (SELECT BINARY EVENT_OBJECT_SCHEMA, BINARY EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS)" "$@" >"$WORK/triggered"
awk -F '\t' -v OFS='\t' -f "$HOLDFAST_ROOT/bin/triggers.awk" \
  "$WORK/schemas.hex" "$WORK/triggered" "$WORK/triggers" >>"$WORK/losses" || die 73 'scratch is full'

# What needs something that is not copied cannot be made again. It is looked for in
# the text, as the server writes it: `schema`.`name`. Other views may need a view
# that is named for that, so it is done until none is found.
{
  awk -F '\t' 'FILENAME == ARGV[1] { ours[$1]; next } !($1 in ours) && $2 != "information_schema" && $2 != "performance_schema" && $2 != "mysql" && $2 != "sys" { print $1, "-" }' \
    "$WORK/schemas.hex" "$WORK/all"
  awk -F '\t' '{ print $2, $3 }' "$WORK/ignored.items"
  cat -- "$WORK/sequences.gone"
} >"$WORK/absent"
while [ -s "$WORK/absent" ]; do
  awk -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/needing.awk" "$WORK/absent" >"$WORK/absent.sql" || die 73 'scratch is full'
  attempt 69 'asking for what needs others' mariadb "$@" --batch --skip-column-names <"$WORK/absent.sql" >"$WORK/needing"
  awk -F '\t' -f "$HOLDFAST_ROOT/bin/newly.awk" \
    "$WORK/schemas.hex" "$WORK/ignored.items" "$WORK/needing" >"$WORK/newly" || die 73 'scratch is full'
  awk -F '\t' -v OFS='\t' '{ print "outside", $4, "it needs what is not copied" }' "$WORK/newly" >>"$WORK/losses"
  awk -F '\t' -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/ignored.awk" "$WORK/newly" >>"$WORK/ignored"
  cat -- "$WORK/newly" >>"$WORK/ignored.items"
  # A table that was left out for that has no dump of its own, either.
  awk -F '\t' -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/special-left.awk" \
    "$WORK/newly" FS=' ' "$WORK/special" >"$WORK/special.left" || die 73 'scratch is full'
  mv -- "$WORK/special.left" "$WORK/special" || die 73 'scratch is full'
  awk -F '\t' '{ print $2, $3 }' "$WORK/newly" >"$WORK/absent"
done

# A trigger is copied with its table. An event whose time is over is gone as soon as it
# is made.
awk -F '\t' 'FILENAME == ARGV[1] { left[$2, $3]; next } ($1, $2) in left { print $3 }' "$WORK/ignored.items" "$WORK/triggers" >"$WORK/triggers.left" || die 73 'scratch is full'
awk -F '\t' 'FILENAME == ARGV[1] { left[$0]; next } $1 == "trigger" && $4 in left' "$WORK/triggers.left" "$WORK/items.ours" >"$WORK/newly" || die 73 'scratch is full'
awk -F '\t' -v OFS='\t' '{ print "outside", $4, "its table is not copied" }' "$WORK/newly" >>"$WORK/losses" || die 73 'scratch is full'
cat -- "$WORK/newly" >>"$WORK/ignored.items" || die 73 'scratch is full'
ask 'asking for events' "
SELECT HEX(EVENT_SCHEMA), CONCAT('event ', EVENT_SCHEMA, '.', EVENT_NAME) FROM information_schema.EVENTS
WHERE ON_COMPLETION = 'NOT PRESERVE' AND COALESCE(EXECUTE_AT, ENDS) < NOW()" "$@" >"$WORK/over"
awk -F '\t' -v OFS='\t' 'FILENAME == ARGV[1] { ours[$1]; next } $1 in ours { print "event", $2, "its time is over, and it is not to be kept then" }' \
  "$WORK/schemas.hex" "$WORK/over" >>"$WORK/losses" || die 73 'scratch is full'

# A right may outlive its table.
ask 'asking for rights' "
SELECT HEX(Db), HEX(Table_name), CONCAT('right of ', User, '@', Host, ' on ', Db, '.', Table_name) FROM mysql.tables_priv
UNION ALL SELECT HEX(Db), HEX(Routine_name), CONCAT('right of ', User, '@', Host, ' on ', Db, '.', Routine_name) FROM mysql.procs_priv" "$@" >"$WORK/rights.all"
awk -F '\t' -v losses="$WORK/losses" -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/orphans.awk" \
  "$WORK/items.all" "$WORK/rights.all" "$WORK/ignored.items" >"$WORK/orphans.raw" || die 73 'scratch is full'
ignored_accounts "$@"
awk -F '\t' -v OFS='\t' '{ print "account", $1, "the server ignores it: it is only in its tables" }' "$WORK/accounts.ignored" >>"$WORK/losses" || die 73 'scratch is full'
accounts "$WORK/grants" "$@"
# The tool makes those roles alone that an account may give, by itself or by another.
ask 'listing the roles' "SELECT HEX(CONCAT(' ROLE IF NOT EXISTS ', QUOTE(User), ' ')), User FROM mysql.user WHERE is_role = 'Y' AND User <> 'PUBLIC'" "$@" >"$WORK/roles"
awk -F '\t' -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/roles.awk" \
  "$WORK/roles" "$WORK/grants" >>"$WORK/losses" || die 73 'scratch is full'
clean_losses
settle_losses

# Rights on a table or routine cannot be granted before there is one.
# shellcheck disable=SC2016 # backticks are SQL's
object='^GRANT .* ON ((PROCEDURE|FUNCTION|PACKAGE|PACKAGE BODY) )?`([^`]|``)*`[.]`'
grep -Ev -e "$object" -- "$WORK/grants" >"$WORK/copy.head" || die 73 'scratch is full'
accounts_size=$(file_size "$WORK/copy.head")
# Schemas and sequences come first: a column of any table may have the next number
# for its default.
attempt 69 'reading the schemas' mariadb "$@" --batch --skip-column-names <"$HOLDFAST_ROOT/bin/create.sql" >"$WORK/create"
awk -F '\t' -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/create.awk" \
  "$WORK/create" "$WORK/ignored.items" "$WORK/items.ours" >>"$WORK/copy.head" || die 73 'scratch is full'
schemas_size=$(($(file_size "$WORK/copy.head") - accounts_size))

awk -v object="$object" -v left="$WORK/rights.left" -f "$HOLDFAST_ROOT/bin/granted.awk" \
  "$WORK/schemas" "$WORK/orphans.raw" "$WORK/grants" >"$WORK/granted" || die 73 'scratch is full'
if [ -s "$WORK/rights.left" ]; then
  say "$(wc -l <"$WORK/rights.left" | tr -d ' ') rights on tables and routines that are not copied are left out"
fi
# One that fails must not stop the others: the restore compares.
{
  printf '%s\n' '-- Rights on tables and routines' "SET SESSION SQL_MODE='NO_AUTO_CREATE_USER';" 'DELIMITER ;;' 'BEGIN NOT ATOMIC' \
    "DECLARE CONTINUE HANDLER FOR SQLEXCEPTION SELECT 'a right on a table or routine that could not be given';" 'SET @holdfast = NULL;'
  cat -- "$WORK/granted"
  printf '%s\n' 'END;;' 'DELIMITER ;' ''
} >"$WORK/rights" || die 73 'scratch is full'
printf '%s %s %s\n' "$accounts_size" "$schemas_size" "$(file_size "$WORK/rights")" >"$WORK/sizes" || die 73 'scratch is full'
awk -F '\t' 'FILENAME == ARGV[1] { left[$1, $2, $3]; next } !(($1, $2, $3) in left)' "$WORK/ignored.items" "$WORK/items.ours" >"$WORK/items" || die 73 'scratch is full'
[ -s "$WORK/items" ] || die 65 'there is nothing to dump'
[ -s "$WORK/rows" ] || [ -n "$HOLDFAST_ALLOW_EMPTY" ] || die 65 'the dump holds no row'

# The end of it is enough: nothing here may read a row.
# shellcheck disable=SC2317 # called by stream
ends() { tail -c "$(($(file_size "$WORK/rights") + 2 * $(file_size "$WORK/items") + 65536))" >"$WORK/foot"; }
# shellcheck disable=SC2317 # called by stream
stream_failed() {
  [ "$1" -ne 65 ] || die 65 'the dump of the schemas is cut: its last line is missing'
  failed 69 "mariadb-dump of $count schemas" "$1"
}
apart=$(wc -l <"$WORK/special" | tr -d ' ')
[ "$apart" -eq 0 ] || say "$apart tables are read in a transaction of their own, beside that of the others"
: >"$WORK/said"
stream ends sh "$HOLDFAST_ROOT/bin/copy.sh" "$WORK" "$@"
read -r _ _ _ _ _ list_size <<E
$(tail -n 2 <"$WORK/foot" | head -n 1)
E
number 'the size of the list' "$list_size"
# mariadb-dump said that it is done, and here it must be so.
parts=$(tail -n 2 <"$WORK/foot" | wc -c)
tail -c "$((parts + list_size + $(file_size "$WORK/rights") + 64))" <"$WORK/foot" | head -c 64 | grep -q '^-- Dump completed' ||
  die 65 'the dump of the schemas is cut: its last line is missing'

# The tool said of each table that it came to it. A name may be like a message, and
# have lines of its own.
awk -F '\t' -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/noticed.awk" \
  "$WORK/items" "$WORK/items.after" "$WORK/said" >"$WORK/noticed" || die 73 'scratch is full'
if grep '^left-out	' "$WORK/noticed" >"$WORK/stderr"; then
  say 'mariadb-dump left out what is still there:'
  masked "$WORK/stderr" >&2
  exit 65
fi
cat -- "$WORK/accounts.said" >"$WORK/said"
awk '{ print "warning\tmariadb-dump of the accounts\t" $0 }' "$WORK/said" >>"$WORK/noticed"
cat -- "$WORK/noticed" >>"$WORK/losses" || die 73 'scratch is full'
clean_losses
end_stream "$count" '-- '
