#!/bin/sh
# Restores what dump.sh made, item by item: what one item stops does not stop the
# others, and each that is missing at the end is named.
#
#   HOLDFAST_MODE    database | globals
#   HOLDFAST_INPUT   the dump
#   PG…              as for dump.sh; PGUSER must be allowed to create
#   HOLDFAST_OVERWRITE      "yes": replace what the target holds already
#   HOLDFAST_OWNER          database: the role to act as, where the login is a
#                           member of it and no superuser
#   HOLDFAST_CREATE_PARAMS  database: how it must have been created, as in
#                           ENCODING 'UTF8' LC_COLLATE='C'; compared, never run
#   HOLDFAST_JOBS           database: how many tables and indexes at a time; 1
#
# database: into an existing database. One that is not empty is refused, unless
# HOLDFAST_OVERWRITE is "yes": then each object of the dump is dropped and made
# again, and objects that are not in the dump stay.
# globals: roles that exist are left as they are, unless HOLDFAST_OVERWRITE is
# "yes": then their attributes are set. Passwords are not in the dump.
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/missing.sh"
begin
. "$HOLDFAST_ROOT/bin/connect.sh"
. "$HOLDFAST_ROOT/bin/toc.sh"

require_tools mv pg_dump pg_restore psql
need HOLDFAST_MODE
INPUT=${HOLDFAST_INPUT:-$HOLDFAST_SCRATCH/input}
OVERWRITE=${HOLDFAST_OVERWRITE:-no}
CREATE_PARAMS=${HOLDFAST_CREATE_PARAMS:-}
JOBS=${HOLDFAST_JOBS:-1}
number HOLDFAST_JOBS "$JOBS"
[ "$JOBS" -gt 0 ] || die 64 'HOLDFAST_JOBS is 0'
[ -f "$INPUT" ] || die 64 "$INPUT is absent"
# A setting of the database must not stop what restores it.
PGOPTIONS="${PGOPTIONS:-} -c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0"
export PGOPTIONS

# like_created WORD VALUE: CREATE_PARAMS must not say another value for WORD.
like_created() {
  wanted=$(printf '%s' "$CREATE_PARAMS" | sed -n "s/.*$1 *=\{0,1\} *'\([^']*\)'.*/\1/p")
  [ -z "$wanted" ] || [ "$wanted" = "$2" ] ||
    die 65 "the target database has $1 $2, but it must have $wanted: create it anew with $CREATE_PARAMS"
}

# only FILE…, on stdout: the lines of the list whose ids stand in the files, in the
# list's order.
only() {
  # shellcheck disable=SC2016 # awk's own fields
  attempt 65 'reading the list' awk '
    FILENAME == ARGV[ARGC - 1] { if ($1 in wanted) print; next }
    { wanted[$1 ";"] = 1 }' "$@" "$WORK/list"
}

# ids WHAT EXPRESSION, on stdout: those of the entries for which it is true.
ids() {
  attempt 65 'reading the list' awk -F '\t' "$1 { print \$1 }" "$WORK/entries"
}

# errors_of LIST SAID: reads what pg_restore said of the entries of a list. Appends the
# ids of those that were not made to $WORK/failing, and why to $WORK/why. An object
# whose owner alone could not be set is there: trying again would not help.
errors_of() {
  attempt 65 'reading the errors' awk -v why="$WORK/why" -f "$HOLDFAST_ROOT/bin/errors.awk" "$1" "$2" >>"$WORK/failing"
}

# pass LIST [OPTION…]: tries the entries of a list, those of roles for which we
# cannot act without their owners. What was not made is in $WORK/failing.
#
# PASS_JOBS programs share the list, each with its own messages: those that one of
# them starts by itself write into each other's lines, and nobody can tell of which
# entry an error is.
PASS_JOBS=1
pass() {
  pass_list=$1
  shift
  : >"$WORK/failing"
  for pass_acting in 1 0; do
    ids "\$4 == $pass_acting" >"$WORK/pass.ids"
    only "$WORK/pass.ids" >"$WORK/pass.all"
    awk 'FILENAME == ARGV[1] { all[$0] = 1; next } $0 in all' "$WORK/pass.all" "$pass_list" >"$WORK/pass.list"
    [ -s "$WORK/pass.list" ] || continue
    if [ "$pass_acting" -eq 0 ]; then set -- "$@" --no-owner; fi
    rm -f -- "$WORK"/pass.part.*
    awk -v jobs="$PASS_JOBS" -v part="$WORK/pass.part." '{ print >(part ((NR - 1) % jobs)) }' "$WORK/pass.list"
    # shellcheck disable=SC2034 # common.sh reads them
    bounded_tool=pg_restore bounded_since=$(date +%s)
    pass_children=
    pass_part=0
    while [ -e "$WORK/pass.part.$pass_part" ]; do
      # It names the entries of errors only to who wants to hear of all.
      bounded pg_restore --verbose --dbname= --no-password --no-data-for-failed-tables ${ROLE:+"--role=$ROLE"} "$@" \
        --use-list="$WORK/pass.part.$pass_part" "$INPUT" 2>"$WORK/pass.said.$pass_part" &
      pass_children="$pass_children $!"
      pass_part=$((pass_part + 1))
    done
    pass_part=0
    for pass_child in $pass_children; do
      pass_status=0
      wait "$pass_child" || pass_status=$?
      echo "$pass_status" >"$WORK/pass.status.$pass_part" || die 73 'scratch cannot be written'
      pass_part=$((pass_part + 1))
    done
    while [ "$pass_part" -gt 0 ]; do
      pass_part=$((pass_part - 1))
      read -r pass_status <"$WORK/pass.status.$pass_part" || die 73 'scratch cannot be read'
      [ "$pass_status" -ne 0 ] || continue
      # It ends with 1 after errors that it passed over, and counts them at the end.
      # Without that line it gave up.
      if [ "$pass_status" -ne 1 ] || ! tail -n 1 <"$WORK/pass.said.$pass_part" | grep -Eq '^pg_restore: warning: errors ignored on restore: [0-9]+$'; then
        mv -- "$WORK/pass.said.$pass_part" "$WORK/stderr" || die 73 'scratch cannot be written'
        failed 69 pg_restore "$pass_status"
      fi
      errors_of "$WORK/pass.part.$pass_part" "$WORK/pass.said.$pass_part"
    done
  done
  # A table that was not made has no rows, and pg_restore says nothing of them.
  awk -F '\t' '
    FILENAME == ARGV[1] { failing[$1] = 1; next }
    FILENAME == ARGV[2] { split($1, part, ";"); listed[part[1]] = 1; next }
    $3 == "TABLE" && ($1 in failing) { gone[$2] = 1 }
    $3 == "TABLE DATA" { data[$1] = $2 }
    END { for (i in data) if ((i in listed) && (data[i] in gone) && !(i in failing)) print i }
  ' "$WORK/failing" "$pass_list" "$WORK/entries" >"$WORK/unfilled"
  cat -- "$WORK/unfilled" >>"$WORK/failing"
}

# alone ID [PATH]: one entry in one transaction, by psql. A function that runs with
# the rights of its owner is never there with those of another: where we cannot act
# for its owner, it gets those of its caller in the same moment; where we can, it
# is made together with its own rights. PATH is a command of sed, see looser.
alone() {
  alone_id=$1 alone_edit=${2:-}
  # shellcheck disable=SC2016 # awk's own fields
  awk -F '\t' -v id="$alone_id" '
    $1 == id { print $4 " " ($3 ~ /^ACL/ ? "rights" : "item") " " $1; how = $8 }
    how == "definer" && $3 == "ACL" && $4 == 1 && index(" " $7 " ", " " id " ") { print "1 rights " $1 }' \
    "$WORK/entries" >"$WORK/alone"
  read -r alone_acting alone_is alone_id <"$WORK/alone" || die 65 "the list has no entry $1"
  awk '{ print $3 }' "$WORK/alone" >"$WORK/alone.ids"
  only "$WORK/alone.ids" >"$WORK/alone.list"
  set -- ${ROLE:+"--role=$ROLE"}
  if [ "$alone_acting" -eq 0 ]; then set -- "$@" --no-owner; fi
  if [ "$alone_is" = rights ] && [ "$SUPERUSER" = f ]; then
    # Only a superuser grants in another's name.
    alone_edit="$alone_edit;/^SET SESSION AUTHORIZATION /d;/^RESET SESSION AUTHORIZATION;\$/d"
  fi
  # psql takes the end of its input for the end of the rows: only the last line,
  # which comes if pg_restore ended well, makes it a transaction that counts.
  alone_status=0
  {
    echo 'BEGIN;'
    pg_restore "$@" --use-list="$WORK/alone.list" --file=- "$INPUT" 2>"$WORK/alone.err" && {
      [ "$alone_acting" -eq 1 ] || cat <<'SQL'
DO $holdfast$
DECLARE f pg_catalog.regprocedure;
BEGIN
  FOR f IN SELECT oid FROM pg_catalog.pg_proc WHERE prosecdef AND xmin = pg_catalog.pg_current_xact_id()::pg_catalog.xid LOOP
    EXECUTE pg_catalog.format('ALTER ROUTINE %s SECURITY INVOKER', f);
  END LOOP;
END $holdfast$;
SQL
      echo 'COMMIT;'
    }
  } | sed -e "$alone_edit" |
    bounded psql -X --no-password --quiet --set=ON_ERROR_STOP=1 --file=- >"$WORK/alone.out" 2>"$WORK/stderr" || alone_status=$?
  if [ "$alone_status" -eq 0 ] && [ ! -s "$WORK/alone.err" ]; then
    return 0
  fi
  # 2 is a connection that was lost.
  [ "$alone_status" -ne 2 ] || failed 69 psql "$alone_status"
  cat -- "$WORK/stderr" "$WORK/alone.err" >"$WORK/alone.said" || die 73 'scratch cannot be written'
  # shellcheck disable=SC2016 # awk's own fields
  awk -v id="$alone_id" '{ gsub(/[\001-\037\177]/, " ") }
    / (ERROR|FATAL):  |^pg_restore: error: / { sub(/^psql:[^ ]* /, ""); print id "\t" substr($0, 1, 300) }' "$WORK/alone.said" >>"$WORK/why"
  return 1
}

# looser ID, on stdout: a command of sed that lets names be looked up as the
# database itself does, and in the schema of the item and of its owner's name. A
# dump sets an empty path, under which a function that names no schema finds
# nothing, neither for an index nor for a materialized view or a check.
looser() {
  awk -F '\t' -v id="$1" -f "$HOLDFAST_ROOT/bin/looser.awk" "$WORK/entries"
}

# again: tries what is pending as often as something of it comes back. With "path"
# each that is left is tried with names looked up as the database does, and then
# the rest once more, which may hang on it.
again() {
  # What the copy itself says cannot be made is not tried twice; a superuser makes it.
  awk -F '\t' -v losses="$LOSSES" -v superuser="$SUPERUSER" '
    FILENAME == losses { if (superuser == "t") next; if ($1 == "superuser" || $1 == "extension") never[$2] = 1; next }
    FILENAME == ARGV[ARGC - 2] { pending[$1] = 1; next }
    ($1 in pending) && ($10 in never) { print $1 }' "$LOSSES" "$WORK/pending" "$WORK/entries" >"$WORK/never"
  cat -- "$WORK/never" >>"$WORK/given"
  awk 'FILENAME == ARGV[1] { never[$1] = 1; next } !($1 in never)' "$WORK/never" "$WORK/pending" >"$WORK/later"
  mv -- "$WORK/later" "$WORK/pending"
  again_round=1
  while [ -s "$WORK/pending" ] && [ "$again_round" -eq 1 ]; do
    again_round=0
    while [ -s "$WORK/pending" ]; do
      again_before=$(file_size "$WORK/pending")
      : >"$WORK/later"
      awk -F '\t' 'FILENAME == ARGV[1] { pending[$1] = 1; next } ($1 in pending) && $8 != "-" && $3 != "TABLE" { print $1 }' "$WORK/pending" "$WORK/entries" >"$WORK/singles"
      while read -r again_id <&4; do
        alone "$again_id" || echo "$again_id" >>"$WORK/later"
      done 4<"$WORK/singles"
      only "$WORK/pending" >"$WORK/again.all"
      only "$WORK/singles" >"$WORK/again.single"
      awk 'FILENAME == ARGV[1] { single[$0] = 1; next } !($0 in single)' "$WORK/again.single" "$WORK/again.all" >"$WORK/again.list"
      pass "$WORK/again.list"
      cat -- "$WORK/failing" >>"$WORK/later"
      mv -- "$WORK/later" "$WORK/pending"
      [ "$(file_size "$WORK/pending")" -lt "$again_before" ] || break
    done
    [ "${1:-}" = path ] || break
    : >"$WORK/later"
    while read -r again_id <&4; do
      if alone "$again_id" "$(looser "$again_id")"; then
        again_round=1
      else
        echo "$again_id" >>"$WORK/later"
      fi
    done 4<"$WORK/pending"
    mv -- "$WORK/later" "$WORK/pending"
  done
}

# phase LIST [OPTION…]: the entries of a list, and again what fails, one by one.
phase() {
  pass "$@"
  PASS_JOBS=1
  cat -- "$WORK/failing" >>"$WORK/pending"
  again
}

# lost_before ITEM [gone]: whether the copy itself says that the item would be
# missing. Another owner is no reason to be gone altogether, and who is a superuser
# could bring back all but a folder.
lost_before() {
  ! lost tablespace "$1" || return 0
  [ "${SUPERUSER:-f}" = f ] || return 1
  for lost_name in superuser extension rows setting subscription grant ${2:-owner definer}; do
    ! lost "$lost_name" "$1" || return 0
  done
  # From PostgreSQL 17 on large objects of one owner, with the same rights, are one item.
  case $1 in
    'BLOB - '*..*' '* | 'ACL - LARGE OBJECTS '*..*' '*)
      lost_before "$(printf '%s\n' "$1" | sed -E -e 's/LARGE OBJECTS/LARGE OBJECT/' -e 's/^(BLOB -|ACL - LARGE OBJECT) ([0-9]+)\.\.[0-9]+ /\1 \2 /')" "${2:-}"
      return
      ;;
  esac
  # An extension brings its usual comment along.
  case $1 in
    'COMMENT - EXTENSION '*) ! lost extension "EXTENSION - ${1#COMMENT - EXTENSION }" || return 0 ;;
  esac
  return 1
}

# not_back ITEM WHY [gone]
not_back() {
  if lost_before "$1" ${3:+"$3"}; then
    say "not restored, as the copy says: $1"
  else
    missing "$1" "$2"
  fi
}

# read_copy: what the copy holds. All of it is read before anything is changed.
read_copy() {
  attempt 65 'reading the dump' pg_restore --file=/dev/null "$INPUT"
  attempt 65 'listing the dump' pg_restore --list "$INPUT" >"$WORK/list"
  sed -E '/^[0-9]+; [0-9]+ [0-9]+ (TABLE DATA|BLOBS) /d' "$WORK/list" >"$WORK/bare.list"
  attempt 65 'reading the dump' pg_restore --verbose --use-list="$WORK/bare.list" --file="$WORK/text" "$INPUT"
  attempt 65 'listing the dump' pg_restore --list --section=post-data "$INPUT" >"$WORK/post.section"
  examine "$WORK/list" "$WORK/text"
  mv -- "$WORK/rights" "$WORK/copy.rights"
}

# leave_out: takes out what the request leaves out, and what hangs on it.
leave_out() {
  [ -n "${HOLDFAST_LEAVE_OUT:-}" ] || return 0
  : >"$WORK/left.ids"
  awk -F '\t' '{ print $1; print $10 }' "$WORK/entries" >"$WORK/items"
  while IFS= read -r left_id && IFS= read -r left_item; do
    ! left_out "$left_item" || echo "$left_id" >>"$WORK/left.ids"
  done <"$WORK/items"
  attempt 65 'reading the list' awk -F '\t' -v left="$WORK/left" -v named="$WORK/left.ids" -f "$HOLDFAST_ROOT/bin/leave-out.awk" "$WORK/left.ids" "$WORK/entries" >"$WORK/kept"
  mv -- "$WORK/kept" "$WORK/entries"
  ids 'NR > 0' >"$WORK/kept.ids"
  only "$WORK/kept.ids" >"$WORK/kept.list"
  mv -- "$WORK/kept.list" "$WORK/list"
}

# roles_of_copy: each role that the copy gives something to must be there, before
# anything is changed.
roles_of_copy() {
  query >"$WORK/roles" <<'SQL'
SELECT pg_catalog.regexp_replace(rolname, '[\x01-\x1f\x7f]', ' ', 'g') FROM pg_catalog.pg_roles;
SQL
  attempt 65 'reading the list' awk -F '\t' -v superuser="$SUPERUSER" -f "$HOLDFAST_ROOT/bin/roles.awk" "$WORK/roles" "$WORK/entries" "$WORK/copy.rights" >"$WORK/lacking"
  [ ! -s "$WORK/lacking" ] || {
    while IFS= read -r lacking; do
      say "the role $lacking does not exist"
    done <"$WORK/lacking"
    die 65 "the copy gives something to roles that are absent, and nothing was changed: restore the server's globals first"
  }
}

# tablespaces_of_copy: what lies in one that is absent comes back in the default one.
tablespaces_of_copy() {
  sed -n "s/^SET default_tablespace = \(..*\);\$/\1/p" "$WORK/text" | awk '!seen[$0]++' >"$WORK/spaces"
  query >"$WORK/spaces.there" <<'SQL'
SELECT pg_catalog.quote_ident(spcname) FROM pg_catalog.pg_tablespace;
SQL
  SPACES=
  while IFS= read -r space; do
    if [ "$space" = "''" ] || grep -qxF -e "$space" -- "$WORK/spaces.there"; then continue; fi
    SPACES=--no-tablespaces
    not_back "TABLESPACE $space" 'it is a folder on the server, and absent: what lay in it is in the default one'
  done <"$WORK/spaces"
}

# clear: drops what the target has of the copy, all or nothing: what hangs on it
# and is not in the copy would be lost, or stand between.
clear() {
  sed -E '/^[0-9]+; [0-9]+ [0-9]+ (TABLE DATA|BLOBS|EXTENSION|SCHEMA|COMMENT - EXTENSION) /d' "$WORK/list" >"$WORK/drop.list"
  attempt 65 'reading the dump' pg_restore --verbose --clean --if-exists ${ROLE:+"--role=$ROLE"} --use-list="$WORK/drop.list" --file="$WORK/drop.text" "$INPUT"
  {
    # shellcheck disable=SC2016 # awk's own fields
    awk -F '\t' '
      FILENAME == ARGV[1] { id[$1] = 1; next }
      before == "--" && /^-- TOC entry [0-9]+ \(class [0-9]+ OID [0-9]+\)$/ { split($0, part, " "); if (part[4] in id) exit }
      { if (FNR > 1 && held != "--" && held !~ /^\\restrict /) print held; held = before = $0 }' "$WORK/entries" "$WORK/drop.text"
    # The target keeps its own default privileges to itself: what is made again
    # would get them as well.
    cat -- "$HOLDFAST_ROOT/bin/defaults.sql"
  } >"$WORK/drop.sql"
  # Tried first, in a run that changes nothing: something else may hang on it, or it
  # is not ours. A part of a partitioned index only goes with its table, so only
  # errors of the second round count, and no others: what is absent needs no drop.
  for clear_end in ROLLBACK COMMIT; do
    { echo 'BEGIN;' && cat -- "$WORK/drop.sql" && printf '%s\n' '\warn again' && cat -- "$WORK/drop.sql" && echo "$clear_end;"; } >"$WORK/clear.sql" || die 73 'scratch cannot be written'
    clear_status=0
    bounded psql -X --no-password --quiet --tuples-only --no-align --set=ON_ERROR_ROLLBACK=on --set=VERBOSITY=verbose --set=SHOW_CONTEXT=never \
      --file="$WORK/clear.sql" >"$WORK/out" 2>"$WORK/stderr" || clear_status=$?
    [ "$clear_status" -eq 0 ] || failed 69 'dropping what the target has of the copy' "$clear_status"
    # shellcheck disable=SC2016 # awk's own fields
    awk '$0 == "again" || /^psql:[^ ]* again$/ { again = 1 }
      !again { next }
      /^psql:[^ ]* (ERROR|FATAL|PANIC):  / { sub(/^psql:[^ ]* /, ""); shown = /:  (2BP01|42501|53...|XX...): / }
      /^(HINT|LOCATION|STATEMENT):  / { shown = 0 }
      shown' "$WORK/stderr" >"$WORK/stopped"
    [ ! -s "$WORK/stopped" ] || {
      masked "$WORK/stopped" >&2
      die 65 'the target has something that stands in the way of what the copy holds, and nothing was changed: drop it, or restore into an empty database'
    }
  done
}

# database_of NAME…, on stdout: the SQL of those parts of the copy that are about the
# database itself. pg_restore gives them only along with CREATE DATABASE, which is
# taken out. A database of another name has its own.
database_of() {
  grep -qxF -e ";     dbname: $PGDATABASE" -- "$WORK/list.head" || return 0
  attempt 65 'listing the dump' pg_restore --list --create "$INPUT" >"$WORK/list.all"
  grep -E "^[0-9]+; [0-9]+ [0-9]+ ($1) " "$WORK/list.all" >"$WORK/properties" || return 0
  attempt 65 'reading the dump' pg_restore --create ${ROLE:+"--role=$ROLE"} --use-list="$WORK/properties" --file="$WORK/properties.all" "$INPUT"
  attempt 65 'reading the dump' \
    sed -E -e '/^CREATE DATABASE /d' -e '/^\\(connect|restrict|unrestrict) /d' "$WORK/properties.all"
}

# set_database NAME…: runs them, and names what is refused.
set_database() {
  database_of "$1" >"$WORK/database.sql"
  [ -s "$WORK/database.sql" ] || return 0
  set_status=0
  bounded psql -X --no-password --quiet --file="$WORK/database.sql" >"$WORK/out" 2>"$WORK/stderr" || set_status=$?
  [ "$set_status" -eq 0 ] || failed 69 "setting the database's own settings and rights" "$set_status"
  sed -nE 's/^psql:.*:([0-9]+): (ERROR:  .*)$/\1 \2/p' "$WORK/stderr" >"$WORK/stopped"
  while read -r set_line set_why <&4; do
    # A statement's last line is told; it begins with its own first word.
    set_item=$(sed -n "1,${set_line}p" "$WORK/database.sql" | sed -nE \
      -e 's/^ALTER DATABASE ("([^"]|"")*"|[^ "]+) SET ([^ ]+) .*$/SETTING \3/p' \
      -e 's/^ALTER ROLE ("([^"]|"")*"|[^ "]+) IN DATABASE ("([^"]|"")*"|[^ "]+) SET ([^ ]+) .*$/SETTING \5 of \1/p' \
      -e 's/^ALTER DATABASE ("([^"]|"")*"|[^ "]+) OWNER TO .*$/OWNER OF THE DATABASE/p' \
      -e 's/^(GRANT|REVOKE|SET SESSION AUTH|RESET SESSION AUTH).*$/ACL - DATABASE/p' \
      -e 's/^COMMENT ON DATABASE .*$/COMMENT - DATABASE/p' | tail -n 1 | tr -d '"')
    not_back "${set_item:-a setting of the database}" "$set_why"
  done 4<"$WORK/stopped"
}

# extension_rows: what users added to tables of extensions. Rows that are there
# need not be written, and who may not write can still find them equal.
extension_rows() {
  while read -r rows_id <&4; do
    rows_item=$(awk -F '\t' -v id="$rows_id" '$1 == id { print $10 }' "$WORK/entries")
    echo "$rows_id" >"$WORK/rows.ids"
    only "$WORK/rows.ids" >"$WORK/rows.list"
    rows_status=0
    {
      echo 'BEGIN;'
      # The dump's own COPY fills a temporary copy of the table.
      pg_restore --use-list="$WORK/rows.list" --file=- "$INPUT" 2>"$WORK/rows.err" | awk -f "$HOLDFAST_ROOT/bin/rows.awk"
    } | bounded psql -X --no-password --quiet --set=ON_ERROR_STOP=1 --file=- >"$WORK/out" 2>"$WORK/stderr" || rows_status=$?
    [ "$rows_status" -ne 2 ] || failed 69 psql "$rows_status"
    if [ "$rows_status" -ne 0 ] || [ -s "$WORK/rows.err" ]; then
      not_back "$rows_item" "$(sed -nE 's/^.*(ERROR:  .*)$/\1/p' "$WORK/stderr" | tail -n 1)"
    fi
  done 4<"$1"
}

# numbers_there: what is pending, without the sequences that stand where the copy has
# them. An extension's may be nobody's to set, and have never been used.
numbers_there() {
  awk -F '\t' 'FILENAME == ARGV[1] { pending[$1] = 1; next } ($1 in pending) && $3 == "SEQUENCE SET" { print $1 }' "$WORK/pending" "$WORK/entries" >"$WORK/numbers"
  : >"$WORK/numbers.there"
  while read -r number_id <&4; do
    echo "$number_id" >"$WORK/number.id"
    only "$WORK/number.id" >"$WORK/number.list"
    attempt 65 'reading the dump' pg_restore --use-list="$WORK/number.list" --file="$WORK/number.text" "$INPUT"
    number_name=$(sed -n "s/^SELECT pg_catalog.setval('\(.*\)', -\{0,1\}[0-9]*, [a-z]*);\$/\1/p" "$WORK/number.text" | sed "s/''/'/g")
    number_value=$(sed -n "s/^SELECT pg_catalog.setval('.*', \(-\{0,1\}[0-9]*, [a-z]*\));\$/\1/p" "$WORK/number.text")
    query --set=name="$number_name" --set=value="$number_value" >"$WORK/number.same" <<'SQL'
SELECT 'same' FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
JOIN pg_catalog.pg_sequences q ON q.schemaname = nspname AND q.sequencename = relname
WHERE c.oid = pg_catalog.to_regclass(:'name') AND pg_catalog.has_sequence_privilege(c.oid, 'USAGE, SELECT')
  AND :'value' = CASE WHEN last_value IS NULL THEN start_value || ', false' ELSE last_value || ', true' END;
SQL
    [ ! -s "$WORK/number.same" ] || echo "$number_id" >>"$WORK/numbers.there"
  done 4<"$WORK/numbers"
  awk 'FILENAME == ARGV[1] { there[$1]; next } !($1 in there)' "$WORK/numbers.there" "$WORK/pending" >"$WORK/later" || die 73 'scratch cannot be written'
  mv -- "$WORK/later" "$WORK/pending"
}

# prove: the target must list all that the copy lists, with its owners, and grant
# what the copy grants, no less and no more. What it has beside that may stay.
prove() {
  # A table of somebody else that the copy does not know may not be ours to read.
  query --set=actor="$ACTOR" >"$WORK/foreign" <<'SQL'
SELECT pg_catalog.format('"%s"."%s"', pg_catalog.replace(nspname, '"', '""'), pg_catalog.replace(relname, '"', '""'))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'p') AND nspname !~ '^pg_' AND nspname <> 'information_schema' AND nspname || relname !~ E'\n'
  AND NOT (pg_catalog.has_table_privilege(:'actor', c.oid, 'SELECT') AND pg_catalog.has_schema_privilege(:'actor', n.oid, 'USAGE'));
SQL
  set -- ${ROLE:+"--role=$ROLE"}
  while IFS= read -r foreign; do
    set -- "$@" --exclude-table="$foreign"
  done <"$WORK/foreign"
  attempt 69 'reading the target back' pg_dump "$@" --format=custom --schema-only --no-password --lock-wait-timeout=60s --file="$WORK/target"
  attempt 65 'reading the target back' pg_restore --list "$WORK/target" >"$WORK/target.list"
  attempt 65 'reading the target back' pg_restore --verbose --file="$WORK/target.text" "$WORK/target"
  mv -- "$WORK/entries" "$WORK/copy.entries"
  examine "$WORK/target.list" "$WORK/target.text"
  mv -- "$WORK/entries" "$WORK/target.entries"
  mv -- "$WORK/copy.entries" "$WORK/entries"
  attempt 65 'comparing' awk -F '\t' -f "$HOLDFAST_ROOT/bin/prove.awk" "$WORK/why" "$WORK/pending" "$WORK/target.entries" "$WORK/rights" "$WORK/copy.rights" "$WORK/entries" >"$WORK/differs"
  while IFS='	' read -r prove_item prove_why prove_gone <&4; do
    not_back "$prove_item" "$prove_why" ${prove_gone:+"$prove_gone"}
  done 4<"$WORK/differs"
}

restore_database() {
  : >"$WORK/why"
  : >"$WORK/pending"
  : >"$WORK/given"
  LOSSES=$INPUT.losses
  [ -e "$LOSSES" ] || LOSSES=/dev/null
  actor 70
  ROLE=
  [ "$ACTOR" = "$PGUSER" ] || ROLE=$ACTOR
  read_copy
  mv -- "$WORK/list" "$WORK/list.head"
  grep -E '^[0-9]+; ' "$WORK/list.head" >"$WORK/list" || :
  expected=$(count_lines '^[0-9]+; [0-9]+ [0-9]+ TABLE DATA ' "$WORK/list")

  query >"$WORK/created" <<'SQL'
SELECT pg_catalog.pg_encoding_to_char(encoding) FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database();
SELECT datcollate FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database();
SELECT datctype FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database();
SQL
  { read -r encoding && read -r collate && read -r ctype; } <"$WORK/created" || die 69 'the server told nothing about the database'
  like_created ENCODING "$encoding"
  like_created LC_COLLATE "$collate"
  like_created LC_CTYPE "$ctype"

  query >"$WORK/held" <"$HOLDFAST_ROOT/bin/held.sql"
  read -r held <"$WORK/held"
  [ "$held" -eq 0 ] || [ "$OVERWRITE" = yes ] ||
    die 65 "the target database holds $held objects; set HOLDFAST_OVERWRITE=yes to replace those that the dump holds"
  leave_out
  roles_of_copy
  tablespaces_of_copy
  [ "$held" -eq 0 ] || clear

  # What is there already stays: an extension belongs to whoever made it, and a
  # schema may hold more than the dump; its owner is set.
  query >"$WORK/extensions" <<'SQL'
SELECT 'EXTENSION - ' || pg_catalog.regexp_replace(extname, '[\x01-\x1f\x7f]', ' ', 'g') FROM pg_catalog.pg_extension;
SQL
  query >"$WORK/namespaces" <<'SQL'
SELECT 'SCHEMA - ' || pg_catalog.regexp_replace(nspname, '[\x01-\x1f\x7f]', ' ', 'g') FROM pg_catalog.pg_namespace;
SQL
  attempt 65 'reading the list' awk -F '\t' -v to="$WORK/phase" -v superuser="$SUPERUSER" -f "$HOLDFAST_ROOT/bin/phases.awk" "$WORK/extensions" "$WORK/namespaces" "$WORK/post.section" "$WORK/entries"
  for phase in there schema pre definer data rows index post grantor event default; do
    [ -e "$WORK/phase.$phase" ] || : >"$WORK/phase.$phase"
    only "$WORK/phase.$phase" >"$WORK/$phase.list"
  done

  # The database's own rights and those of the schemas go first: who is to own
  # something must be allowed to make it there. A schema that exists is an error
  # that does not count; its owner is set all the same.
  set_database 'DATABASE -|ACL - DATABASE'
  pass "$WORK/there.list" ${SPACES:+"$SPACES"}
  phase "$WORK/schema.list"
  phase "$WORK/pre.list" ${SPACES:+"$SPACES"}
  cat -- "$WORK/phase.definer" >>"$WORK/pending"
  again

  # Rows of tables that are not there wait for them.
  # shellcheck disable=SC2016 # awk's own fields
  attempt 65 'reading the list' awk -F '\t' '
    FILENAME == ARGV[1] { pending[$1] = 1; next }
    $3 == "TABLE" && ($1 in pending) { gone[$2] = 1 }
    $3 == "TABLE DATA" { data[$1] = $2 }
    END { for (i in data) if (data[i] in gone) print i }' "$WORK/pending" "$WORK/entries" >"$WORK/waiting"
  cat -- "$WORK/waiting" >>"$WORK/pending"
  only "$WORK/waiting" >"$WORK/waiting.list"
  awk 'FILENAME == ARGV[1] { waiting[$0] = 1; next } !($0 in waiting)' "$WORK/waiting.list" "$WORK/data.list" >"$WORK/now.list"
  PASS_JOBS=$JOBS
  phase "$WORK/now.list"
  extension_rows "$WORK/phase.rows"
  set_database 'DATABASE PROPERTIES -|(COMMENT|SECURITY LABEL) - DATABASE'
  again path
  # Indexes and keys need nothing of each other, and take the longest.
  PASS_JOBS=$JOBS
  phase "$WORK/index.list" ${SPACES:+"$SPACES"}
  phase "$WORK/post.list" ${SPACES:+"$SPACES"}
  again path
  while read -r grantor <&5; do
    alone "$grantor" || :
  done 5<"$WORK/phase.grantor"
  # Last what acts on everything that is made after it.
  phase "$WORK/event.list"
  phase "$WORK/default.list"
  cat -- "$WORK/given" >>"$WORK/pending"
  numbers_there
  prove
  awk -F '\t' '$3 == "SUBSCRIPTION" { print $9 }' "$WORK/entries" >"$WORK/subscriptions"
  while IFS= read -r subscription; do
    say "$subscription came back disabled: see its slot, then ALTER SUBSCRIPTION … ENABLE and REFRESH PUBLICATION"
  done <"$WORK/subscriptions"

  query >"$WORK/tables" <<'SQL'
SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema';
SQL
  read -r tables <"$WORK/tables"
  settle_missing
  say "restored: $tables tables, data of $expected from the dump"
}

# globals_blocks makes of the chosen statements items: each role with all that is said
# of it, each membership, and each other statement. "blocks" has the statements after
# the number of their item, "items" the items.
globals_blocks() {
  attempt 65 'reading the dump' awk -v blocks="$WORK/blocks" -f "$HOLDFAST_ROOT/bin/role-name.awk" -f "$HOLDFAST_ROOT/bin/globals-items.awk" "$WORK/chosen" >"$WORK/items"
}

# run_blocks does each item whole or not at all, and names those that fail: what one
# role stops must not stop the others. "without" has what is not done.
run_blocks() {
  : >"$WORK/without"
  : >"$WORK/left.numbers"
  if [ -n "${HOLDFAST_LEAVE_OUT:-}" ]; then
    count=0
    while IFS= read -r item; do
      count=$((count + 1))
      left_out "$item" || continue
      echo "$count" >>"$WORK/left.numbers"
      printf '%s\n' "$item" >>"$WORK/without"
    done <"$WORK/items"
  fi
  # ERROR is of the last statement, which fails if one before it did.
  awk -F '\t' -f "$HOLDFAST_ROOT/bin/globals-blocks.awk" "$WORK/left.numbers" "$WORK/blocks" | tr '\001' '\n' >"$WORK/sql" || die 73 'scratch cannot be written'
  attempt 69 psql psql -X --no-password --quiet --file="$WORK/sql" >"$WORK/out"
  awk '
    /^holdfast: item [0-9]+$/ { item = $3; next }
    / ERROR:  / && !(item in why) { order[++n] = item; sub(/^.* ERROR:  /, ""); why[item] = $0; last = item; next }
    /^DETAIL:  / && last == item { sub(/^DETAIL:  /, ""); why[item] = why[item] ": " $0 }
    { last = "" }
    END { for (i = 1; i <= n; i++) print order[i] "\t" why[order[i]] }' "$WORK/stderr" >"$WORK/failing" || die 73 'scratch cannot be written'
  awk -F '\t' 'FILENAME == ARGV[1] { item[FNR] = $0; next } { print item[$1]; sub(/^[0-9]+\t/, ""); print }' "$WORK/items" "$WORK/failing" >"$WORK/failing.items" || die 73 'scratch cannot be written'
  while IFS= read -r item && IFS= read -r why; do
    not_back "$item" "$why"
    printf '%s\n' "$item" >>"$WORK/without"
  done <"$WORK/failing.items"
}

restore_globals() {
  grep -qxF -e '-- PostgreSQL database cluster dump complete' -- "$INPUT" || die 65 'the dump is cut: its last line is missing'
  # A name may hold a line break; \001 stands for it, as in the statements.
  query >"$WORK/roles" <<'SQL'
SELECT pg_catalog.replace(pg_catalog.quote_ident(rolname), E'\n', E'\x01') FROM pg_catalog.pg_roles;
SQL
  query >"$WORK/members" <<'SQL'
SELECT pg_catalog.replace('GRANT ' || pg_catalog.quote_ident(r.rolname) || ' TO ' || pg_catalog.quote_ident(m.rolname), E'\n', E'\x01')
FROM pg_catalog.pg_auth_members a JOIN pg_catalog.pg_roles r ON r.oid = a.roleid JOIN pg_catalog.pg_roles m ON m.oid = a.member;
SQL
  query >"$WORK/spaces" <<'SQL'
SELECT pg_catalog.replace(pg_catalog.quote_ident(spcname), E'\n', E'\x01') FROM pg_catalog.pg_tablespace;
SQL
  statements "$INPUT" >"$WORK/statements"
  # Statements of roles that exist are left out by name, so that any error that is
  # left is a real one; so are memberships that exist. Who granted one is not
  # restored: only a superuser may say so. For a new role the attributes that only a
  # superuser may even mention are left out where they say the default. Tablespaces
  # need folders on the server.
  EXISTING=$WORK/existing ABSENT=$WORK/absent
  : >"$EXISTING"
  : >"$ABSENT"
  export OVERWRITE EXISTING ABSENT
  attempt 65 'reading the dump' awk -f "$HOLDFAST_ROOT/bin/role-name.awk" -f "$HOLDFAST_ROOT/bin/globals-choose.awk" "$WORK/roles" "$WORK/members" "$WORK/spaces" "$WORK/statements" >"$WORK/chosen"
  while IFS= read -r role; do
    say "the role $role exists already"
  done <"$EXISTING"
  while IFS= read -r space; do
    not_back "TABLESPACE $space" 'it is a folder on the server: make it by hand, and restore again'
  done <"$ABSENT"
  globals_blocks
  run_blocks
  attempt 65 'reading the dump' sed -n 's/^CREATE ROLE \(.*\);$/\1/p' "$WORK/statements" >"$WORK/wanted"
  query >"$WORK/after" <<'SQL'
SELECT pg_catalog.replace(pg_catalog.quote_ident(rolname), E'\n', E'\x01') FROM pg_catalog.pg_roles;
SQL
  while IFS= read -r role; do
    grep -qxF -e "$role" -- "$WORK/after" || grep -qxF -e "ROLE $role" -- "$WORK/without" || missing "ROLE $role" 'the server does not have it'
  done <"$WORK/wanted"
  created=$(awk 'FILENAME == ARGV[1] { here[$0]; next } FILENAME == ARGV[2] { before[$0]; next } $0 in here && !($0 in before)' "$WORK/after" "$WORK/roles" "$WORK/wanted" | wc -l | tr -d ' ')
  settle_missing
  say "restored: $created roles were made; set their passwords from the Secrets"
}

case $HOLDFAST_MODE in
  database) restore_database ;;
  globals) restore_globals ;;
  *) die 64 'HOLDFAST_MODE is neither database nor globals' ;;
esac
