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
ask 'asking for privileges' "
SELECT privilege FROM (SELECT 'SELECT' AS privilege UNION SELECT 'SHOW VIEW' UNION SELECT 'TRIGGER' UNION SELECT 'EVENT') AS needed
WHERE privilege NOT IN (
  SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES
  WHERE GRANTEE = CONCAT(
    CHAR(39), LEFT(CURRENT_USER(), CHAR_LENGTH(CURRENT_USER()) - 1 - CHAR_LENGTH(SUBSTRING_INDEX(CURRENT_USER(), '@', -1))),
    CHAR(39), '@', CHAR(39), SUBSTRING_INDEX(CURRENT_USER(), '@', -1), CHAR(39)))" "$@" >"$WORK/lacking"
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
awk "$NAMES"'{ print octal($1) }' "$WORK/schemas.hex" >"$WORK/schemas.octal"

printf '%s;\n' "$ITEMS" >"$WORK/items.sql" || die 73 'scratch is full'
ask 'listing what the schemas hold' "$ITEMS" "$@" >"$WORK/items.all"
awk -F '\t' 'FILENAME == ARGV[1] { ours[$1]; next } $2 in ours' "$WORK/schemas.hex" "$WORK/items.all" >"$WORK/items.ours" || die 73 'scratch is full'
count=$(wc -l <"$WORK/schemas.hex" | tr -d ' ')
tables=$(count_lines '^table	' "$WORK/items.ours")
[ "$tables" -ge "${MIN_TABLES:-0}" ] || die 65 "the server has $tables tables, fewer than $MIN_TABLES"

# An awk function: hexed(TEXT) is printable ASCII in hexadecimal digits.
# shellcheck disable=SC2016 # awk's own variables
HEXED='
BEGIN { for (i = 32; i < 127; i++) ascii = ascii sprintf("%c", i) }
function hexed(text, i, s) { s = ""; for (i = 1; i <= length(text); i++) s = s sprintf("%02X", index(ascii, substr(text, i, 1)) + 31); return s }
'

# failing FILE LIMIT OPTION…: a line for each item of FILE that cannot be read: its
# number, the error's, and its text.
failing() {
  failing_file=$1
  failing_limit=$2
  shift 2
  awk -F '\t' -v limit="$failing_limit" "$NAMES$HEXED"'
    { print "EXECUTE IMMEDIATE CONVERT(X\047" hexed("SELECT 1 FROM ") quoted($2) "2E" quoted($3) hexed(" LIMIT " limit) "\047 USING utf8mb4);" }' \
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
awk -F '\t' "$NAMES$HEXED"'{ print "EXECUTE IMMEDIATE CONVERT(X\047" hexed("SHOW CREATE TABLE ") quoted($1) "2E" quoted($2) "\047 USING utf8mb4);" }' "$WORK/keys" >"$WORK/keys.sql" ||
  die 73 'scratch is full'
forced 'reading the definitions' "$WORK/keys.sql" "$@" >"$WORK/keys.text"
awk -F '\t' -v OFS='\t' -v losses="$WORK/losses" "$NAMES"'
  FILENAME == ARGV[1] { text[FNR] = $0; next }
  !index(text[FNR], "CONSTRAINT " raw(quoted($4)) " ") && !(($1, $2) in seen) {
    seen[$1, $2]
    print "name", $3, "the server does not quote the name of its foreign key" >>losses
    print "table", $1, $2, $3
  }' "$WORK/keys.text" "$WORK/keys" >>"$WORK/ignored.items" || die 73 'scratch is full'

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
ask 'asking for labels' "
SET SESSION group_concat_max_len = 1073741824;
SELECT HEX(c.TABLE_SCHEMA), HEX(c.TABLE_NAME), CONCAT('table ', c.TABLE_SCHEMA, '.', c.TABLE_NAME), GROUP_CONCAT(HEX(c.COLUMN_NAME) ORDER BY ORDINAL_POSITION SEPARATOR ' ')
FROM information_schema.COLUMNS AS c WHERE DATA_TYPE = 'enum' AND BINARY TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')
GROUP BY BINARY c.TABLE_SCHEMA, BINARY c.TABLE_NAME" "$@" >"$WORK/enums"
awk -F '\t' "$NAMES$HEXED"'
  FILENAME == ARGV[1] { table[$2, $3]; next }
  FILENAME == ARGV[2] { delete table[$2, $3]; next }
  FILENAME == ARGV[3] { delete table[$1, $2]; next }
  FILENAME == ARGV[4] { versioned[$1, $2]; next }
  ($1, $2) in table {
    n = split($4, column, " ")
    sql = hexed("SELECT \047" $1 "\047, \047" $2 "\047 FROM ") quoted($1) "2E" quoted($2)
    if (($1, $2) in versioned) sql = sql hexed(" FOR SYSTEM_TIME ALL")
    for (i = 1; i <= n; i++) sql = sql hexed(i == 1 ? " WHERE " : " OR ") quoted(column[i]) hexed(" = 0")
    print "EXECUTE IMMEDIATE CONVERT(X\047" sql hexed(" LIMIT 1") "\047 USING utf8mb4);"
  }' "$WORK/table.items" "$WORK/ignored.items" "$WORK/engines" "$WORK/versioned" "$WORK/enums" >"$WORK/search.sql" || die 73 'scratch is full'
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
ask 'asking for labels and defaults' "
SELECT HEX(TABLE_SCHEMA), HEX(TABLE_NAME), CONCAT('column ', TABLE_SCHEMA, '.', TABLE_NAME, '.', COLUMN_NAME), HEX(COLUMN_NAME) FROM information_schema.COLUMNS
WHERE CHARACTER_SET_NAME NOT IN ('utf8mb3', 'utf8', 'utf8mb4', 'latin1', 'ascii', 'binary') AND (DATA_TYPE IN ('enum', 'set') OR COLUMN_DEFAULT IS NOT NULL)
  AND (CONCAT(IF(DATA_TYPE IN ('enum', 'set'), COLUMN_TYPE, ''), COALESCE(COLUMN_DEFAULT, '')) LIKE '%?%' OR
    CHARACTER_SET_NAME IN ('cp932', 'eucjpms', 'sjis', 'ujis', 'big5') AND CONCAT(COLUMN_TYPE, COALESCE(COLUMN_DEFAULT, '')) REGEXP '[^ -~]')
  OR DATA_TYPE = 'set' AND COLUMN_TYPE REGEXP CONCAT('[(,]', CHAR(39, 39), '[,)]') AND
    (COLUMN_TYPE REGEXP CONCAT(CHAR(39), '[0-9]+', CHAR(39)) OR CHARACTER_SET_NAME IN ('ucs2', 'utf16', 'utf16le', 'utf32'))" "$@" >"$WORK/labels"
awk -F '\t' -v OFS='\t' 'FILENAME == ARGV[1] { ours[$1]; next } $1 in ours { print "changed-characters", $3, "a label or default that may become another" }' \
  "$WORK/schemas.hex" "$WORK/labels" >>"$WORK/losses"

# The tool takes all values as text: of a FLOAT six digits, and of a character what
# utf8mb4 makes of it, which is not always the same again. Such columns are read as
# DOUBLE and as bytes, by a UNION behind the condition, so their tables have a dump
# of their own. A FLOAT(M,D) may be a bit more than it takes. Beside a label that is ''
# the error value of an ENUM is told as what is too long for a label. Tables with
# error values have a dump of their own, too, and those whose history the tool refuses.
# Of a SET a label that is '' is the same text as none: it is told as a number.
ask 'asking for columns' "
SET SESSION group_concat_max_len = 1073741824;
SELECT HEX(TABLE_SCHEMA), HEX(TABLE_NAME), CASE MAX(start) WHEN 1 THEN 'times' WHEN 2 THEN 'numbers' ELSE '-' END,
  IF(MAX(special), HEX(GROUP_CONCAT(
    CASE special WHEN 1 THEN CONCAT('CAST(', quoted, ' AS DOUBLE)') WHEN 2 THEN CONCAT('CAST(', quoted, ' AS BINARY)')
      WHEN 3 THEN CONCAT('LEAST(GREATEST(CAST(', quoted, ' AS DOUBLE), 1e-', NUMERIC_SCALE, ' - 1e', most, '), 1e', most, ' - 1e-', NUMERIC_SCALE, ')')
      WHEN 6 THEN CONCAT('CAST(', quoted, ' AS UNSIGNED)')
      WHEN 4 THEN CONCAT('IF(', quoted, ' = 0, REPEAT(0, 256), ', quoted, ')') WHEN 5 THEN CONCAT('IF(', quoted, ' = 0, REPEAT(0, 256), CAST(', quoted, ' AS BINARY))') ELSE quoted END
    ORDER BY ORDINAL_POSITION SEPARATOR ', ')), '')
FROM (
  SELECT TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION, CONCAT('\`', REPLACE(COLUMN_NAME, '\`', '\`\`'), '\`') AS quoted,
    IF(COALESCE(GENERATION_EXPRESSION, '') = 'ROW START', IF(DATA_TYPE = 'bigint', 2, 1), 0) AS start,
    NUMERIC_SCALE, NUMERIC_PRECISION - NUMERIC_SCALE AS most,
    CASE WHEN DATA_TYPE = 'float' AND NUMERIC_SCALE IS NOT NULL THEN 3
      WHEN DATA_TYPE = 'float' OR DATA_TYPE = 'double' AND NUMERIC_SCALE IS NOT NULL THEN 1
      WHEN DATA_TYPE = 'enum' AND COLUMN_TYPE LIKE CONCAT('%', CHAR(39, 39), '%') THEN IF(CHARACTER_SET_NAME IN ('utf8mb3', 'utf8', 'utf8mb4', 'latin1', 'ascii', 'binary'), 4, 5)
      WHEN DATA_TYPE = 'set' AND COLUMN_TYPE REGEXP CONCAT('[(,]', CHAR(39, 39), '[,)]') THEN 6
      WHEN CHARACTER_SET_NAME NOT IN ('utf8mb3', 'utf8', 'utf8mb4', 'latin1', 'ascii', 'binary') THEN 2 ELSE 0 END AS special
  FROM information_schema.COLUMNS WHERE BINARY TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')) AS c
GROUP BY BINARY TABLE_SCHEMA, BINARY TABLE_NAME HAVING MAX(special) OR MAX(start)" "$@" >"$WORK/columns"
awk -F '\t' -v history="$history" -v ignored="$WORK/ignored" -v losses="$WORK/losses" "$NAMES$HEXED"'
  FILENAME == ARGV[1] { left[$2, $3]; next }
  FILENAME == ARGV[2] { versioned[$1, $2]; next }
  FILENAME == ARGV[3] { start[$1, $2] = $3; list[$1, $2] = $4; next }
  FILENAME == ARGV[4] { erring[$1, $2]; next }
  FILENAME == ARGV[5] { if (($1, $2) in erring) error[$1, $2] = $4; next }
  FILENAME == ARGV[6] { error[$1, $2] = error[$1, $2] " " $4; next }
  $1 == "table" && !(($2, $3) in left) {
    kept = "no"
    if (($2, $3) in versioned) {
      if (history == "no") why = "servers before 10.11 do not tell it"
      else if (start[$2, $3] == "numbers") why = "it is kept by numbers of transactions, which mean nothing elsewhere"
      else kept = "yes"
      if (kept == "no") print "history\t" $4 "\tits current rows alone are copied: " why >>losses
    }
    columns = list[$2, $3]
    if (columns == "" && !(($2, $3) in error) && (kept == "yes" || history == "no" || !(($2, $3) in versioned))) next
    if (columns != "") {
      hidden = kept == "yes" && start[$2, $3] != "times"
      columns = hexed("0 UNION ALL SELECT ") columns (hidden ? hexed(", row_start, row_end") : "") hexed(" FROM ") quoted($3) (kept == "yes" ? hexed(" FOR SYSTEM_TIME ALL") : "")
    }
    columns_in_error = (($2, $3) in error) ? error[$2, $3] : "-"
    sub(/^ /, "", columns_in_error); gsub(/ /, ",", columns_in_error)
    print octal($2), octal($3), kept, columns_in_error, octal(columns)
    print octal($2 "2E" $3) >>ignored
  }' "$WORK/ignored.items" "$WORK/versioned" "$WORK/columns" "$WORK/erring" "$WORK/enums" "$WORK/labels" "$WORK/items.ours" >"$WORK/special" || die 73 'scratch is full'
awk -F '\t' "$NAMES"'{ print octal($2 "2E" $3) }' "$WORK/ignored.items" >>"$WORK/ignored" || die 73 'scratch is full'

# A default goes on naming a sequence that is gone, and reading the table does not tell.
ask 'asking for defaults' "
SELECT HEX(COLUMN_DEFAULT) FROM information_schema.COLUMNS WHERE COLUMN_DEFAULT LIKE '%val(\`%' AND BINARY TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')" "$@" >"$WORK/defaults"
# shellcheck disable=SC2016 # awk's own variables, and SQL's backticks
awk -F '\t' "$NAMES$HEXED"'
  function bare(s, i, h) {
    s = substr(s, 2, length(s) - 2); gsub(/``/, "`", s)
    h = ""; for (i = 1; i <= length(s); i++) h = h byte[substr(s, i, 1)]
    return h
  }
  BEGIN { for (i = 1; i < 256; i++) byte[sprintf("%c", i)] = sprintf("%02X", i) }
  FILENAME == ARGV[1] { if ($1 == "sequence") there[$2, $3]; next }
  {
    s = raw($1)
    while (match(s, /val\(`([^`]|``)*`[.]`([^`]|``)*`/)) {
      name = substr(s, RSTART + 4, RLENGTH - 4); s = substr(s, RSTART + RLENGTH)
      match(name, /^`([^`]|``)*`/)
      schema = bare(substr(name, 1, RLENGTH)); name = bare(substr(name, RLENGTH + 2))
      if (!((schema, name) in there)) print schema, name
    }
  }' "$WORK/items.all" "$WORK/defaults" | sort -u >"$WORK/sequences.gone" || die 73 'scratch is full'

# A trigger goes on naming a column that is gone, and cannot be made again. It is
# copied in any case. The text is as somebody wrote it.
ask 'asking for triggers' "
SELECT HEX(EVENT_OBJECT_SCHEMA), HEX(EVENT_OBJECT_TABLE), CONCAT('trigger ', TRIGGER_SCHEMA, '.', TRIGGER_NAME), ACTION_STATEMENT FROM information_schema.TRIGGERS" "$@" >"$WORK/triggers"
: >"$WORK/triggered"
[ ! -s "$WORK/triggers" ] || ask 'asking for the columns of triggers' "
SELECT HEX(TABLE_SCHEMA), HEX(TABLE_NAME), COLUMN_NAME FROM information_schema.COLUMNS
WHERE (BINARY TABLE_SCHEMA, BINARY TABLE_NAME) IN (SELECT BINARY EVENT_OBJECT_SCHEMA, BINARY EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS)" "$@" >"$WORK/triggered"
# shellcheck disable=SC2016 # awk's own variables, and SQL's backticks
awk -F '\t' -v OFS='\t' '
  function plain(s) { gsub(/\\\\/, "\001", s); gsub(/\\[nt]/, " \n", s); gsub(/\001/, "\\", s); return s }
  FILENAME == ARGV[1] { ours[$1]; next }
  FILENAME == ARGV[2] { column[$1, $2, tolower(plain($3))]; next }
  $1 in ours {
    s = plain($4); before = ""
    # Each word with what it belongs to; texts and comments are passed over.
    while (s != "") {
      if (match(s, /^(\047([^\047\\]|\\.|\047\047)*\047|"([^"\\]|\\.|"")*"|#[^\n]*|--[ \n][^\n]*|\/[*]([^!M*]|[*]+[^*\/])([^*]|[*]+[^*\/])*[*]+\/)/)) { s = substr(s, RLENGTH + 1); before = " "; continue }
      if (before != "." && match(s, /^([Nn][Ee][Ww]|[Oo][Ll][Dd])[ \n]*[.][ \n]*(`([^`]|``)*`|[A-Za-z0-9_$\200-\377]+)/)) {
        name = whole = substr(s, 1, RLENGTH); s = substr(s, RLENGTH + 1); before = "w"
        sub(/^[A-Za-z]+[ \n]*[.][ \n]*/, "", name)
        if (name ~ /^`/) { name = substr(name, 2, length(name) - 2); gsub(/``/, "`", name) }
        if (!(($1, $2, tolower(name)) in column)) { print "invalid-trigger", $3, "its table has no column for " whole; break }
        continue
      }
      if (match(s, /^(`([^`]|``)*`|[A-Za-z0-9_$@\200-\377]+)/)) { s = substr(s, RLENGTH + 1); before = "w"; continue }
      before = substr(s, 1, 1); s = substr(s, 2)
    }
  }' "$WORK/schemas.hex" "$WORK/triggered" "$WORK/triggers" >>"$WORK/losses" || die 73 'scratch is full'

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
  awk "$NAMES"'
    BEGIN { print "SELECT \047view\047, HEX(TABLE_SCHEMA), HEX(TABLE_NAME), CONCAT(\047view \047, TABLE_SCHEMA, \047.\047, TABLE_NAME) FROM information_schema.VIEWS WHERE 0" }
    function text(s, h) { s = quoted($1) "2E"; if ($2 != "-") s = s quoted($2); return s }
    { print "OR LOCATE(X\047" text() "\047, BINARY VIEW_DEFINITION)"; rest = rest "OR LOCATE(X\047" text() "\047, BINARY COLUMN_DEFAULT)\n" }
    END { print "UNION ALL SELECT \047table\047, HEX(TABLE_SCHEMA), HEX(TABLE_NAME), CONCAT(\047table \047, TABLE_SCHEMA, \047.\047, TABLE_NAME) FROM information_schema.COLUMNS WHERE COLUMN_DEFAULT LIKE \047%(%\047 AND (0\n" rest ");" }' \
    "$WORK/absent" >"$WORK/absent.sql" || die 73 'scratch is full'
  attempt 69 'asking for what needs others' mariadb "$@" --batch --skip-column-names <"$WORK/absent.sql" >"$WORK/needing"
  awk -F '\t' -v left="$WORK/ignored.items" '
    FILENAME == ARGV[1] { ours[$1]; next }
    FILENAME == ARGV[2] { ignored[$2, $3]; next }
    $2 in ours && !(($2, $3) in ignored) && !(($2, $3) in seen) { seen[$2, $3]; print }' \
    "$WORK/schemas.hex" "$WORK/ignored.items" "$WORK/needing" >"$WORK/newly" || die 73 'scratch is full'
  awk -F '\t' -v OFS='\t' '{ print "outside", $4, "it needs what is not copied" }' "$WORK/newly" >>"$WORK/losses"
  awk -F '\t' "$NAMES"'{ print octal($2 "2E" $3) }' "$WORK/newly" >>"$WORK/ignored"
  cat -- "$WORK/newly" >>"$WORK/ignored.items"
  # A table that was left out for that has no dump of its own, either.
  awk -F '\t' "$NAMES"'FILENAME == ARGV[1] { gone[octal($2) " " octal($3) " "]; next } { line = $0; split(line, part, " "); if (!((part[1] " " part[2] " ") in gone)) print }' \
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
awk -F '\t' -v losses="$WORK/losses" "$NAMES"'
  FILENAME == ARGV[1] { there[$2, $3]; next }
  !(($1, $2) in there) && raw($1) != "mysql" && raw($1) != "sys" && raw($1) != "information_schema" && raw($1) != "performance_schema" {
    print "right\t" $3 "\twhat it is for does not exist" >>losses
    print raw($1) "\t" raw($2)
  }' "$WORK/items.all" "$WORK/rights.all" >"$WORK/orphans.raw" || die 73 'scratch is full'
awk -F '\t' "$NAMES"'$1 != "trigger" { print raw($2) "\t" raw($3) }' "$WORK/ignored.items" >>"$WORK/orphans.raw" || die 73 'scratch is full'
ignored_accounts "$@"
awk -F '\t' -v OFS='\t' '{ print "account", $1, "the server ignores it: it is only in its tables" }' "$WORK/accounts.ignored" >>"$WORK/losses" || die 73 'scratch is full'
accounts "$WORK/grants" "$@"
# The tool makes those roles alone that an account may give, by itself or by another.
ask 'listing the roles' "SELECT HEX(CONCAT(' ROLE IF NOT EXISTS ', QUOTE(User), ' ')), User FROM mysql.user WHERE is_role = 'Y' AND User <> 'PUBLIC'" "$@" >"$WORK/roles"
awk -F '\t' "$NAMES"'
  FILENAME == ARGV[1] { role[raw($1)] = $2; next }
  / ROLE IF NOT EXISTS / { for (text in role) if (index($0, text)) delete role[text] }
  END { for (text in role) print "account\trole " role[text] "\tno account may give it, and the tool leaves it out" }' \
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
ask 'reading the schemas' "
SELECT HEX(SCHEMA_NAME), HEX(CONCAT('--\n-- Current Database: ', q, '\n--\n\nCREATE DATABASE IF NOT EXISTS ', q, ' DEFAULT CHARACTER SET ',
  DEFAULT_CHARACTER_SET_NAME, ' COLLATE ', DEFAULT_COLLATION_NAME, IF(SCHEMA_COMMENT = '', '', CONCAT(' COMMENT ', QUOTE(SCHEMA_COMMENT))), ';\n'))
FROM (SELECT *, CONCAT('\`', REPLACE(SCHEMA_NAME, '\`', '\`\`'), '\`') AS q FROM information_schema.SCHEMATA) AS s" "$@" >"$WORK/create"
awk -F '\t' "$NAMES"'
  FILENAME == ARGV[1] { create[$1] = $2; next }
  FILENAME == ARGV[2] { left[$1, $2, $3]; next }
  ($1, $2, $3) in left { next }
  $1 == "schema" { printf "%s", raw(create[$2]) }
  $1 == "sequence" { in_schema[$2] = in_schema[$2] " " $3 }
  END {
    for (schema in in_schema) {
      printf "%s", raw(create[schema])
      n = split(in_schema[schema], list, " ")
      for (i = 1; i <= n; i++) {
        name = title = raw(quoted(list[i]))
        gsub(/\n/, "\n-- ", title)
        printf "--\n-- Sequence structure for %s\n--\n\nCREATE SEQUENCE IF NOT EXISTS %s.%s;\n", title, raw(quoted(schema)), name
      }
    }
  }' "$WORK/create" "$WORK/ignored.items" "$WORK/items.ours" >>"$WORK/copy.head" || die 73 'scratch is full'
schemas_size=$(($(file_size "$WORK/copy.head") - accounts_size))

# shellcheck disable=SC2016 # backticks are SQL's, the rest is awk's own
awk -v object="$object" -v left="$WORK/rights.left" '
  function unquoted(s) { s = substr(s, 2, length(s) - 2); gsub(/``/, "`", s); return s }
  FILENAME == ARGV[1] { ours[$0]; next }
  FILENAME == ARGV[2] { gone[$0]; next }
  $0 ~ object {
    match($0, / ON ((PROCEDURE|FUNCTION|PACKAGE|PACKAGE BODY) )?`([^`]|``)*`[.]`([^`]|``)*`/)
    s = substr($0, RSTART, RLENGTH)
    sub(/^[^`]*/, "", s)
    match(s, /^`([^`]|``)*`/)
    schema = unquoted(substr(s, 1, RLENGTH))
    name = unquoted(substr(s, RLENGTH + 2))
    if ((schema in ours || schema == "mysql" || schema == "sys") && !((schema "\t" name) in gone)) print; else print >left
  }' "$WORK/schemas" "$WORK/orphans.raw" "$WORK/grants" >"$WORK/granted" || die 73 'scratch is full'
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
awk -F '\t' "$NAMES"'
  FILENAME == ARGV[1] { before[$1, $2, $3]; next }
  FILENAME == ARGV[2] && ($1 == "table" || $1 == "view" || $1 == "sequence") {
    n = split(($1 == "sequence" ? "-- Retrieving sequence structure for  " : "-- Retrieving table structure for table ") raw($3) "...", part, "\n")
    for (i = 2; i <= n; i++) known[part[i]]
    if (($1, $2, $3) in before) { expected[part[1]]++; text[part[1]] = text[part[1]] " " $4 }
    next
  }
  FILENAME == ARGV[2] { next }
  { said[$0]++ }
  !/^-- / && !($0 in known) && $0 != "" { print "warning\tmariadb-dump\t" $0 }
  END { for (line in expected) if (said[line] < expected[line]) print "left-out\t" text[line] "\tmariadb-dump did not come to it" }' \
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
