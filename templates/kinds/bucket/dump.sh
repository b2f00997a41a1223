#!/bin/sh
# Copies one bucket, encrypted, into the backup bucket. Runs under guard.sh.
#
#   enc:current             the objects as they are now
#   enc:history/<UTC>       what a run replaced or removed, by the run's time
#   enc:unfinished/<UTC>    a run that began to change current, and did not end well
#   enc:metadata/<UTC>      the headers of the objects that the run of that time copied
#   enc:losses              what the copy lacks
#   enc:hot                 objects that changed while they were copied
#   enc:expired             the last history folder that went
#   enc:<CANARY_PATH>       a known text: reading it proves the crypt passwords
#
#   HOLDFAST_SOURCE         src:bucket[/prefix], with RCLONE_CONFIG_SRC_…
#   HOLDFAST_BACKUP         bak:bucket/prefix/…, with RCLONE_CONFIG_BAK_…
#   HOLDFAST_INSTANCE       stands in the canary
#   CRYPT_PASSWORD CRYPT_PASSWORD2   the second one is the salt
#   CRYPT_PASSWORDS_ARE     plain | obscured
#   RCLONE_CONFIG_ENC_…     further options of the crypt remote, such as FILENAME_ENCRYPTION
#   CANARY_PATH CANARY_SHA256   64 zeros: not known yet
#   MAX_DELETE_PERCENT      of current's objects that one run may replace or remove; a
#                           source that is empty, and may be, is no exception
#   HISTORY_DAYS            after which a history folder goes
#   TRANSFERS CHECKERS      rclone's own; BANDWIDTH in bytes/s or a timetable, "" = no limit
#
# Passwords are obscured here, for that is random: a manifest would never be the
# same twice. An interrupted run is taken up by the next one.
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/losses.sh"
begin
. "$HOLDFAST_ROOT/bin/crypt.sh"

require_tools mv tail tr
need HOLDFAST_SOURCE HOLDFAST_INSTANCE
MAX_DELETE_PERCENT=${MAX_DELETE_PERCENT:-10}
HISTORY_DAYS=${HISTORY_DAYS:-30}
TRANSFERS=${TRANSFERS:-4}
CHECKERS=${CHECKERS:-8}
number MAX_DELETE_PERCENT "$MAX_DELETE_PERCENT"
number HISTORY_DAYS "$HISTORY_DAYS"
number TRANSFERS "$TRANSFERS"
number CHECKERS "$CHECKERS"
[ "$MAX_DELETE_PERCENT" -le 100 ] || die 64 'MAX_DELETE_PERCENT is more than 100'
[ "$HISTORY_DAYS" -ge 1 ] || die 64 'HISTORY_DAYS is less than 1'

# days STAMP: days from 1970-01-01 to the date in 20261120T061300Z, on stdout.
# busybox has no "date -d" for such texts.
days() {
  days_year=$(printf '%.4s' "$1")
  days_rest=${1#????}
  days_month=$(printf '%.2s' "$days_rest")
  days_day=$(printf '%.2s' "${days_rest#??}")
  # A leading zero would make the number octal.
  days_month=${days_month#0}
  days_day=${days_day#0}
  if [ "$days_month" -le 2 ]; then
    days_year=$((days_year - 1))
    days_month=$((days_month + 12))
  fi
  echo $((days_year * 365 + days_year / 4 - days_year / 100 + days_year / 400 + (153 * (days_month - 3) + 2) / 5 + days_day - 719469))
}

# now, as a history folder is named.
now() { date -u +%Y%m%dT%H%M%SZ; }

# later sets stamp to a name for this moment that comes after LAST, the last one that
# was given. Versions are told apart by the order of these names alone, so a clock that
# went back must not make one that comes before.
later() {
  stamp=$(now)
  later_last=$(printf '%s' "$LAST" | tr -d TZ)
  if [ "$(printf '%s' "$stamp" | tr -d TZ)" -le "$later_last" ]; then
    later_last=$((later_last + 1))
    stamp=${later_last%??????}T${later_last#????????}Z
  fi
  LAST=$stamp
}

crypt_remote
start=$(date +%s)

# 1. The canary. With a wrong password the backup looks empty, and everything
# would be written a second time, beside what is there.
printf 'holdfast canary of %s\n' "$HOLDFAST_INSTANCE" >"$WORK/canary.ours" || die 73 'scratch is full'
if ! canary_known; then
  if ! backup_is_empty; then
    die 65 'the backup holds objects, but the canary cannot be read: wrong crypt password or salt, or not our backup'
  fi
  if [ "$CANARY_SHA256" != "$ZEROS" ] && [ "$(sha256 "$WORK/canary.ours")" != "$CANARY_SHA256" ]; then
    die 65 'the backup is empty, but its canary is known and another: it was emptied, or this is another place'
  fi
  say 'the backup is empty: writing the canary'
  rclone_run 69 'writing the canary' copyto "$WORK/canary.ours" "enc:$CANARY_PATH"
  canary_known || die 65 'the canary that was just written cannot be read'
fi

# What is there beside the copy: one request.
state_status=0
rclone_status lsf --max-depth=1 --crypt-strict-names enc: >"$WORK/state" || state_status=$?
[ "$state_status" -eq 0 ] || failed 69 'listing the backup' "$state_status"
has() { grep -qxF -e "$1" -- "$WORK/state"; }

# recall PATH FILE: adds a list of the backup to a file; nothing where there is none.
recall() {
  recall_status=0
  rclone_status cat --crypt-strict-names "enc:$1" >>"$2" || recall_status=$?
  require_scratch
  case $recall_status in
    0 | 3 | 4) ;;
    *) failed 69 "reading $1" "$recall_status" ;;
  esac
}

# What earlier runs left: what the copy lacks, and the objects whose copy may be of
# another moment than their time says, for they were replaced while they were copied.
: >"$WORK/lost.before"
: >"$WORK/losses"
: >"$WORK/asked"
: >"$WORK/anew.sorted"
if has losses; then recall losses "$WORK/lost.before"; fi
hot=
if has hot; then
  hot=yes
  recall hot "$WORK/asked"
fi
: >"$WORK/unfinished"
if has unfinished/; then stamps unfinished; fi
for folders in history metadata; do
  : >"$WORK/$folders"
  if has "$folders/"; then stamps "$folders"; fi
done
cat "$WORK/history" "$WORK/metadata" "$WORK/unfinished" >"$WORK/named" || die 73 'scratch is full'
LAST=$(sort <"$WORK/named" | tail -n 1)
LAST=${LAST:-00000000T000000Z}
[ "$(printf '%s' "$LAST" | tr -d TZ)" -le "$(now | tr -d TZ)" ] ||
  say "the clock here says $(now), and the copy has a run of $LAST: this one is named as if it came after it"
later
while IFS= read -r folder <&3; do
  recall "metadata/$folder" "$WORK/asked"
done 3<"$WORK/unfinished"
# Without a time of the copy's own server: nothing says that they were copied.
awk 'BEGIN { FS = OFS = "\t" } { print $1, $2, $3, $4, "" }' "$WORK/asked" >"$WORK/known" || die 73 'scratch is full'
rm -f -- "$WORK/asked"

# compare: what is to do, from the lists of source and copy: $WORK/todo has the
# objects to copy, by name, size and time; new, changed and gone have names; sets
# NEW, CHANGED, GONE, and REPLACED, those of CHANGED that this run has not copied.
#
# A time is compared only with one of the same server where that can be: what this
# run has copied is known by the source's own time; the rest by the source's time
# and the time at which the copy was written, as rclone's --update does.
compare() {
  sort -t "$TAB" -k 1,1 -k 2,2 <"$WORK/known" >"$WORK/known.sorted" || die 73 'scratch is full'
  for compare_list in todo new changed gone; do : >"$WORK/$compare_list"; done
  awk -v work="$WORK/" -f "$HOLDFAST_ROOT/bin/compare.awk" "$WORK/source" >"$WORK/compared" || die 73 'scratch is full'
  require_scratch
  read -r NEW CHANGED GONE REPLACED <"$WORK/compared" || die 73 'scratch is full'
}

# within LIMIT: not more than that may be replaced or removed.
within() {
  [ $((REPLACED + GONE)) -le "$1" ]
}

# unlike A B: the lines of B whose names and contents are not in A; both are sorted.
unlike() {
  awk -v other="$1" -f "$HOLDFAST_ROOT/bin/unlike.awk" "$2"
}

# merged A B: the lines of B whose name is in A; both are sorted.
merged() {
  awk -v other="$1" -f "$HOLDFAST_ROOT/bin/merged.awk" "$2"
}

# 2. The source. A prefix that does not exist lists as empty, without an error.
list_source "$WORK/source" 'measuring the source'
source_count=$COUNT source_bytes=$BYTES
list_into "$WORK/copy" enc:current 'measuring the copy' --files-only
current_count=$COUNT
if [ -z "$HOLDFAST_ALLOW_EMPTY" ]; then
  [ "$source_count" -gt 0 ] || die 65 'the source is empty: a wrong bucket or prefix, or its objects are gone'
  [ "$source_count" -ge "$HOLDFAST_MIN_COUNT" ] || die 65 "the source has $source_count objects, fewer than $HOLDFAST_MIN_COUNT"
  [ $((source_count * 2)) -ge "$current_count" ] ||
    die 65 "the source has $source_count objects, the copy $current_count: more than half is gone"
elif [ "$source_count" -gt 0 ]; then
  [ "$source_count" -ge "$HOLDFAST_MIN_COUNT" ] || die 65 "the source has $source_count objects, fewer than $HOLDFAST_MIN_COUNT"
fi

# 3. How much would change. rclone has a limit of its own, but stops at it in the
# middle, with part of the objects taken out of current; and the next attempt goes
# on from there. So it is asked first.
limit=$(((current_count * MAX_DELETE_PERCENT + 99) / 100))
compare
within "$limit" ||
  die 65 "stopped before anything was changed: $REPLACED of $current_count objects would be replaced and $GONE removed, more than $MAX_DELETE_PERCENT %"
# A copy that has no lists of metadata gets one of all its objects: the first round's
# are read with the objects, other ones before.
all=
first=
if ! has metadata/; then
  if [ "$current_count" -gt 0 ]; then all=yes; else first=yes; fi
fi
source_root

set -- --crypt-strict-names --no-unicode-normalization --use-server-modtime --no-traverse --retries=1 \
  --transfers="$TRANSFERS" --checkers="$CHECKERS" --stats=5m --stats-one-line --stats-log-level=NOTICE --log-level=NOTICE
if [ -n "${BANDWIDTH:-}" ]; then
  set -- "$@" --bwlimit="$BANDWIDTH"
fi

# transfer WHAT LIST COMMAND [ARG…]: rclone with the objects of a list. One that
# fails does not stop the others: it is in $WORK/failures, and FAILED is rclone's
# exit code. In the first round the headers of all that is read are kept.
transfer() {
  transfer_what=$1
  pieces "$2"
  shift 2
  transfer_piece=0
  while [ "$transfer_piece" -lt "$PIECES" ]; do
    transfer_piece=$((transfer_piece + 1))
    transfer_left=0
    if [ "$HOLDFAST_DEADLINE" -gt 0 ]; then
      # Ends by itself before it is killed.
      transfer_left=$((HOLDFAST_DEADLINE - HOLDFAST_DEADLINE / 10 - ($(date +%s) - start)))
      [ "$transfer_left" -gt 0 ] || transfer_left=1
    fi
    transfer_status=0
    if [ -n "$first" ]; then
      headed "$WORK/heads" "$@" --max-duration="${transfer_left}s" --files-from-raw="$WORK/piece.$transfer_piece" || transfer_status=$?
    else
      rclone_status "$@" --max-duration="${transfer_left}s" --files-from-raw="$WORK/piece.$transfer_piece" || transfer_status=$?
    fi
    case $transfer_status in
      0 | 9) ;;
      2 | 7 | 10) rclone_failed 69 "$transfer_what" "$transfer_status" ;;
      *) FAILED=$transfer_status ;;
    esac
    cat "$WORK/stderr" >>"$WORK/failures" || die 73 'scratch is full'
  done
}

# store_metadata: what $WORK/heads has of the objects in $WORK/asked, and what asking
# for the names in $WORK/asking showed.
store_metadata() {
  sort -t "$TAB" -k 1,1 <"$WORK/heads" >"$WORK/heads.sorted" || die 73 'scratch is full'
  awk -v other="$WORK/heads.sorted" -v stamp="$stamp" -f "$HOLDFAST_ROOT/bin/stored.awk" \
    "$WORK/asked" >"$WORK/stored" || die 73 'scratch is full'
  require_scratch
  # Each object that was asked for has an answer, or is gone. The last asking counts.
  names_of "$WORK/heads.sorted" >"$WORK/knows" || die 73 'scratch is full'
  { unlike "$WORK/asking" "$WORK/silent" && unlike "$WORK/knows" "$WORK/asking"; } >"$WORK/silent.now" || die 73 'scratch is full'
  sort -u <"$WORK/silent.now" >"$WORK/silent" || die 73 'scratch is full'
  cat "$WORK/asking" >>"$WORK/anew" || die 73 'scratch is full'
  rm -f -- "$WORK/heads" "$WORK/asking"
  if [ -s "$WORK/stored" ]; then
    rclone_run 69 'storing metadata' copyto --crypt-strict-names "$WORK/stored" "enc:metadata/$stamp"
  fi
  rm -f -- "$WORK/asked"
  # What this asking found out stands there before the copy begins: if the run dies,
  # the next one does not ask again.
  {
    awk -v OFS='\t' '{ print "metadata", $0, "its headers could not be read" }' "$WORK/silent" &&
      awk -v anew="$WORK/anew" 'BEGIN { FS = "\t"; while ((getline line < anew) > 0) asked[line] } $1 == "name" || !($2 in asked)' "$WORK/lost.before" &&
      cat "$WORK/losses"
  } >"$WORK/lost.open" || die 73 'scratch is full'
  sort -u <"$WORK/lost.open" >"$WORK/lost.now" || die 73 'scratch is full'
  if ! cmp -s "$WORK/lost.now" "$WORK/lost.stored"; then
    rclone_run 69 'storing what the copy lacks' copyto --crypt-strict-names --ignore-times "$WORK/lost.now" enc:losses
    mv -- "$WORK/lost.now" "$WORK/lost.stored"
  fi
}

# A run takes up by itself what changed while it copied, and what failed: it lists
# again and copies what still differs, three times at most.
cat "$WORK/source" >"$WORK/source.first" || die 73 'scratch is full'
: >"$WORK/failures"
: >"$WORK/long"
: >"$WORK/silent"
cat "$WORK/lost.before" >"$WORK/lost.stored" || die 73 'scratch is full'
# What did not answer is asked again, though its copy is as it is to be.
awk 'BEGIN { FS = "\t" } $1 == "metadata" && $3 == "its headers could not be read" { print $2 }' "$WORK/lost.before" >"$WORK/mute" || die 73 'scratch is full'
sort -u <"$WORK/mute" >"$WORK/mute.sorted" || die 73 'scratch is full'
merged "$WORK/mute.sorted" "$WORK/source" >"$WORK/mute" || die 73 'scratch is full'
FAILED=0
HEADS_STATUS=0
again=0
marked=
[ ! -s "$WORK/unfinished" ] || marked=yes
while [ $((NEW + CHANGED + GONE)) -gt 0 ] || [ -n "$all" ] || [ -s "$WORK/mute" ]; do
  [ "$again" -lt 3 ] || break
  again=$((again + 1))
  # History in a folder of its own for each time: the first one has the older version.
  [ "$again" -eq 1 ] || later
  FAILED=0
  : >"$WORK/failures"

  # 4. The mark. Until the run ends well, current may lack what is in history
  # already; the mark tells a restore. Its time is one of the copy's own server.
  printf '%s\n' "$stamp" >"$WORK/mark" || die 73 'scratch is full'
  rclone_run 69 'marking the run' copyto "$WORK/mark" "enc:unfinished/$stamp"
  marked=yes
  rclone_status lsf --use-server-modtime --format=t --time-format=2006-01-02T15:04:05.000 "enc:unfinished/$stamp" >"$WORK/marked" ||
    failed 69 'reading the mark' $?
  read -r written <"$WORK/marked" || die 69 'the mark that was just written is not there'

  # 5. The metadata: they lie beside the copy, encrypted, and name the run. They are
  # read and stored before it, so each version of an object has the last one before the
  # run that replaced it. The first round replaces nothing, and reads them with the
  # objects; until they are stored each object is one that may have changed meanwhile.
  : >"$WORK/heads"
  if [ -n "$all" ]; then
    cat "$WORK/source" >"$WORK/asked" || die 73 'scratch is full'
  else
    cat "$WORK/mute" "$WORK/todo" >"$WORK/asking" || die 73 'scratch is full'
    sort -t "$TAB" -k 1,1 -u <"$WORK/asking" >"$WORK/asked" || die 73 'scratch is full'
  fi
  names_of "$WORK/asked" >"$WORK/asking" || die 73 'scratch is full'
  all=
  : >"$WORK/mute"
  if [ -n "$first" ]; then
    awk -v stamp="$stamp" 'BEGIN { FS = OFS = "\t" } { print $1, stamp, $2, $3, "" }' "$WORK/todo" >"$WORK/hot" || die 73 'scratch is full'
    rclone_run 69 'storing what is copied' copyto --crypt-strict-names "$WORK/hot" enc:hot
    hot=yes
  else
    heads_of "$WORK/asking" "$WORK/heads"
    store_metadata
  fi
  awk -v stamp="$stamp" -v written="$written" 'BEGIN { FS = OFS = "\t" } { print $1, stamp, $2, $3, written }' "$WORK/todo" >>"$WORK/known" ||
    die 73 'scratch is full'

  # 6. The copy: what is new without a look at what is there, the rest moves what it
  # replaces to history first.
  if [ "$NEW" -gt 0 ]; then
    # Most of the source: rclone finds the objects in lists of their folders, at less
    # cost than by asking for each. But not by the names that no list shows.
    : >"$WORK/listable"
    if [ $((NEW * 2)) -ge "$source_count" ] && [ "$source_count" -le "$((5 * PIECE))" ]; then
      awk 'index($0, "\357\274\217") == 0' "$WORK/new" >"$WORK/listable" || die 73 'scratch is full'
      awk 'index($0, "\357\274\217") > 0' "$WORK/new" >"$WORK/askable" || die 73 'scratch is full'
    else
      cat "$WORK/new" >"$WORK/askable" || die 73 'scratch is full'
    fi
    from=$HOLDFAST_SOURCE
    [ -z "$first" ] || from=$SOURCE_HEADED
    transfer 'the copy' "$WORK/listable" copy "$@" --no-traverse=false --no-check-dest "$from" enc:current
    transfer 'the copy' "$WORK/askable" copy "$@" --no-check-dest "$from" enc:current
    if [ -n "$first" ]; then
      first=
      store_metadata
    fi
  fi
  if [ "$CHANGED" -gt 0 ]; then
    transfer 'the copy' "$WORK/changed" copy "$@" --ignore-times --backup-dir="enc:history/$stamp" "$HOLDFAST_SOURCE" enc:current
  fi
  if [ "$GONE" -gt 0 ]; then
    transfer 'removing what is gone' "$WORK/gone" move "$@" enc:current "enc:history/$stamp"
  fi
  if [ "$FAILED" -ne 0 ]; then
    say "the copy failed for some objects, with exit code $FAILED"
    sed -n 's/^[0-9/]* [0-9:]* ERROR : //p' "$WORK/failures" | head -n 3 >"$WORK/stderr" || die 73 'scratch is full'
    masked "$WORK/stderr" >&2
    # HEAD has no answer that could say more.
    ! grep -q 'HeadObject.*StatusCode: 400' "$WORK/failures" ||
      say 'a server that answers 400 to a question about an object wants a customer key (SSE-C), or another one'
  fi

  # 7. Source and copy must agree, by their names.
  list_source "$WORK/source" 'measuring the source again'
  source_count=$COUNT source_bytes=$BYTES
  list_into "$WORK/copy" enc:current 'measuring the copy again' --files-only
  compare
  # Of what was copied and differs again nobody knows which size it had.
  names_of "$WORK/todo" >"$WORK/todo.names" || die 73 'scratch is full'
  merged "$WORK/todo.names" "$WORK/stored" >"$WORK/doubtful" || die 73 'scratch is full'
  if [ -s "$WORK/doubtful" ]; then
    awk -v doubtful="$WORK/doubtful" -f "$HOLDFAST_ROOT/bin/doubted.awk" "$WORK/stored" >"$WORK/doubted" || die 73 'scratch is full'
    rclone_run 69 'storing metadata again' copyto --crypt-strict-names --ignore-times "$WORK/doubted" "enc:metadata/$stamp"
  fi
  within "$(((COUNT * MAX_DELETE_PERCENT + 99) / 100))" ||
    die 65 "stopped: under way $REPLACED of $COUNT objects were replaced and $GONE removed, more than $MAX_DELETE_PERCENT %; the copy is not whole until a run succeeds"
  # A name that is too long for the backup's server when it is encrypted, or that
  # begins with another whole one where objects are kept as files, is tried once.
  sed -n 's/^[0-9/]* [0-9:]* ERROR : \(.*\): Failed to copy: .*\(KeyTooLong\|[Nn]ame too long\|ObjectParentIsFile\|ExistingObjectIsDirectory\).*$/\1/p' "$WORK/failures" >>"$WORK/long" ||
    die 73 'scratch is full'
  sort -u <"$WORK/long" >"$WORK/long.sorted" || die 73 'scratch is full'
  cat "$WORK/gone" >>"$WORK/todo.names" || die 73 'scratch is full'
  sort <"$WORK/todo.names" >"$WORK/differing" || die 73 'scratch is full'
  unlike "$WORK/long.sorted" "$WORK/differing" >"$WORK/rest" || die 73 'scratch is full'
  [ -s "$WORK/rest" ] || break
done

# 8. What differs still: it changed under way, or the copy cannot hold it, or the
# run failed.
: >"$WORK/hot"
if [ "$again" -gt 0 ] && [ $((NEW + CHANGED + GONE)) -gt 0 ]; then
  # Of all that differs, what the source listed otherwise at the start.
  { unlike "$WORK/source.first" "$WORK/source" && unlike "$WORK/source" "$WORK/source.first"; } >"$WORK/moved" || die 73 'scratch is full'
  names_of "$WORK/moved" >"$WORK/moved.names" || die 73 'scratch is full'
  sort -u <"$WORK/moved.names" >"$WORK/moved" || die 73 'scratch is full'
  # Of one that is not in the copy at all, and failed, nobody knows that it ever will be.
  if [ "$FAILED" -ne 0 ]; then
    unlike "$WORK/new" "$WORK/moved" >"$WORK/excused" || die 73 'scratch is full'
    mv -- "$WORK/excused" "$WORK/moved"
  fi
  merged "$WORK/moved" "$WORK/rest" >"$WORK/hot.names" || die 73 'scratch is full'
  unlike "$WORK/moved" "$WORK/rest" >"$WORK/wrong" || die 73 'scratch is full'
  # The server lists it, and knows nothing by that name.
  if [ "$FAILED" -eq 0 ] && [ "$HEADS_STATUS" -eq 0 ]; then
    names_of "$WORK/heads.sorted" >"$WORK/knows" || die 73 'scratch is full'
    unlike "$WORK/knows" "$WORK/wrong" >"$WORK/nameless" || die 73 'scratch is full'
    merged "$WORK/new" "$WORK/nameless" >"$WORK/unreadable" || die 73 'scratch is full'
  else
    : >"$WORK/unreadable"
  fi
  unlike "$WORK/unreadable" "$WORK/wrong" >"$WORK/differ" || die 73 'scratch is full'
  if [ -s "$WORK/differ" ]; then
    while IFS= read -r name <&3; do say "not as in the source: $name"; done 3<"$WORK/differ" 2>&1 | head -n 50 >&2
    say "$(count_lines '' "$WORK/differ") objects of the copy are not as in the source"
    if [ "$FAILED" -ne 0 ] || [ "$HEADS_STATUS" -ne 0 ]; then
      cat "$WORK/failures" >"$WORK/stderr" || die 73 'scratch is full'
      failed 69 'the copy' "$((FAILED > 0 ? FAILED : HEADS_STATUS))"
    fi
    die 65 'the copy is not whole'
  fi
  while IFS= read -r name <&3; do
    printf 'name\t%s\t%s\n' "$name" 'the source lists it, and has nothing under that name'
  done 3<"$WORK/unreadable" >>"$WORK/losses"
  if [ -s "$WORK/hot.names" ]; then
    while IFS= read -r name <&3; do say "changed under way: $name"; done 3<"$WORK/hot.names" 2>&1 | head -n 50 >&2
    say "$(count_lines '' "$WORK/hot.names") objects of the source changed under way; the next run takes them up"
    sort -t "$TAB" -k 1,1 -k 2,2 <"$WORK/known" >"$WORK/known.sorted" || die 73 'scratch is full'
    merged "$WORK/hot.names" "$WORK/known.sorted" >"$WORK/hot" || die 73 'scratch is full'
  fi
  merged "$WORK/long.sorted" "$WORK/differing" >"$WORK/toolong" || die 73 'scratch is full'
  while IFS= read -r name <&3; do
    printf 'name\t%s\t%s\n' "$name" 'the backup does not take its encrypted name'
  done 3<"$WORK/toolong" >>"$WORK/losses"
fi

# 9. What the copy lacks stands beside it. Objects that this run did not ask for lack
# what they lacked before.
if [ -s "$WORK/anew" ]; then
  sort -u <"$WORK/anew" >"$WORK/anew.sorted" || die 73 'scratch is full'
  names_of "$WORK/copy" >"$WORK/copied" || die 73 'scratch is full'
  merged "$WORK/copied" "$WORK/silent" >"$WORK/headless" || die 73 'scratch is full'
  awk -v OFS='\t' '{ print "metadata", $0, "its headers could not be read" }' "$WORK/headless" >>"$WORK/losses" || die 73 'scratch is full'
fi
if [ -s "$WORK/lost.before" ]; then
  awk -v anew="$WORK/anew.sorted" -v copies="$WORK/copy" -f "$HOLDFAST_ROOT/bin/lost-still.awk" \
    "$WORK/lost.before" >>"$WORK/losses" || die 73 'scratch is full'
fi
sort -u <"$WORK/losses" >"$WORK/lost.now" || die 73 'scratch is full'
mv -- "$WORK/lost.now" "$WORK/losses"
if ! cmp -s "$WORK/losses" "$WORK/lost.stored"; then
  rclone_run 69 'storing what the copy lacks' copyto --crypt-strict-names --ignore-times "$WORK/losses" enc:losses
fi
if [ -s "$WORK/hot" ]; then
  rclone_run 69 'storing what changed under way' copyto --crypt-strict-names --ignore-times "$WORK/hot" enc:hot
elif [ -n "$hot" ]; then
  rclone_run 69 'removing what has ended changing' deletefile --crypt-strict-names enc:hot
fi
[ -z "$marked" ] || rclone_run 69 'removing the mark' purge enc:unfinished
say "source $source_count objects, $source_bytes bytes; copy $COUNT objects, $BYTES bytes"

# 10. Old history, whole folders by name: objects in there keep the time of the
# document, which says nothing about when it was deleted.
today=$(days "$(now)")
while IFS= read -r folder <&3; do
  [ $((today - $(days "$folder"))) -gt "$HISTORY_DAYS" ] || continue
  printf '%s\n' "$folder" >"$WORK/expired" || die 73 'scratch is full'
  rclone_run 69 'storing what expires' copyto --crypt-strict-names --ignore-times "$WORK/expired" enc:expired
  rclone_run 69 "expiring history/$folder" purge "enc:history/$folder"
  say "expired history/$folder"
done 3<"$WORK/history"
settle_losses
say "done in $(($(date +%s) - start)) s"
