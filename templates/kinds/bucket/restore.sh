#!/bin/sh
# Copies a bucket back from its encrypted copy. Nothing in the target is ever
# deleted.
#
#   HOLDFAST_SOURCE      where to: src:bucket[/prefix]; its key must be allowed to write
#   HOLDFAST_BACKUP, CRYPT_…, CANARY_…, RCLONE_CONFIG_…, TRANSFERS, CHECKERS, BANDWIDTH  as for dump.sh
#   HOLDFAST_AT          "latest", or a UTC time such as 20261120T061300Z
#   HOLDFAST_OVERWRITE   "yes": write into a target that holds objects; those of
#                        the same name are replaced, others stay
#
# A time puts back, over what is current, what later runs replaced or removed.
# Objects that came after that time are in the copy and are restored as well. If
# the last run did not end well, what it had taken out of current is put back too.
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/missing.sh"
begin
. "$HOLDFAST_ROOT/bin/crypt.sh"

require_tools mv
need HOLDFAST_SOURCE
AT=${HOLDFAST_AT:-latest}
TRANSFERS=${TRANSFERS:-4}
CHECKERS=${CHECKERS:-8}
number TRANSFERS "$TRANSFERS"
number CHECKERS "$CHECKERS"
case $AT in
  latest | [0-9][0-9][0-9][0-9][01][0-9][0-3][0-9]T[0-2][0-9][0-5][0-9][0-5][0-9]Z) ;;
  *) die 64 'HOLDFAST_AT is neither "latest" nor a time such as 20261120T061300Z' ;;
esac

crypt_remote
if ! canary_known; then
  ! backup_is_empty || die 65 'the backup is empty: a wrong place, or its objects are gone'
  die 65 'the canary cannot be read: wrong crypt password or salt, or not our backup'
fi

# What is there beside the copy.
rclone_status lsf --max-depth=1 --crypt-strict-names enc: >"$WORK/state" || failed 69 'listing the backup' $?

# 1. What to restore: each name once, from where its right version is. A rank says
# which that is: of several versions that later runs took out the oldest, then the
# current one, then what a run that did not end well had taken out, the newest first.
list_into "$WORK/found" enc:current 'measuring the copy' --files-only
copy_count=$COUNT
awk 'BEGIN { FS = OFS = "\t" } { print $1, 50000, "current", $2 }' "$WORK/found" >"$WORK/versions" || die 73 'scratch is full'
stamps history
stamps unfinished
# versions FOLDER RANK: adds what that history folder has.
versions() {
  list_into "$WORK/found" "enc:history/$1" "listing history/$1" --files-only
  awk -v folder="history/$1" -v rank="$2" 'BEGIN { FS = OFS = "\t" } { print $1, rank, folder, $2 }' "$WORK/found" >>"$WORK/versions" ||
    die 73 'scratch is full'
}
rank=10000
if [ "$AT" != latest ]; then
  at_number=$(printf '%s' "$AT" | tr -d TZ)
  if grep -qxF -e expired -- "$WORK/state"; then
    rclone_status cat --crypt-strict-names enc:expired >"$WORK/expired" || failed 69 'reading what has expired' $?
    read -r expired <"$WORK/expired" || die 65 'enc:expired is empty'
    [ "$at_number" -ge "$(printf '%s' "$expired" | tr -d TZ)" ] ||
      die 65 "what the run of $expired replaced or removed has expired: the oldest time that the copy still knows is $expired"
  fi
  while IFS= read -r folder <&3; do
    [ "$(printf '%s' "$folder" | tr -d TZ)" -gt "$at_number" ] || continue
    rank=$((rank + 1))
    versions "$folder" "$rank"
    say "putting back what the run of $folder replaced or removed"
  done 3<"$WORK/history"
fi
rank=60000
sort -r <"$WORK/unfinished" >"$WORK/newest" || die 73 'scratch is full'
while IFS= read -r folder <&3; do
  say "the run of $folder did not end well: adding what it had taken out of the copy, and may have been about to replace or remove"
  grep -qxF -e "$folder" -- "$WORK/history" || continue
  rank=$((rank + 1))
  versions "$folder" "$rank"
done 3<"$WORK/newest"
sort -t "$TAB" -k 1,1 -k 2,2 <"$WORK/versions" >"$WORK/versions.sorted" || die 73 'scratch is full'
awk 'BEGIN { FS = OFS = "\t" } NR == 1 || $1 "" != name { name = $1 ""; print $1, $4, $3 }' "$WORK/versions.sorted" >"$WORK/wanted" || die 73 'scratch is full'
rm -f -- "$WORK/versions" "$WORK/versions.sorted" "$WORK/found"
if [ -n "$HOLDFAST_LEAVE_OUT" ]; then
  while IFS= read -r line <&3; do
    left_out "${line%%"$TAB"*}" || printf '%s\n' "$line"
  done 3<"$WORK/wanted" >"$WORK/kept" || die 73 'scratch is full'
  mv -- "$WORK/kept" "$WORK/wanted"
fi
require_scratch
wanted_count=$(count_lines '' "$WORK/wanted")
[ "$wanted_count" -gt 0 ] || [ "$copy_count" -gt 0 ] || [ -n "$HOLDFAST_ALLOW_EMPTY" ] || die 65 'the copy is empty'

list_source "$WORK/before" 'measuring the target'
before=$COUNT
if [ "$before" -gt 0 ] && [ "${HOLDFAST_OVERWRITE:-no}" != yes ]; then
  die 65 "the target holds $before objects; set HOLDFAST_OVERWRITE=yes to write among them"
fi

# 2. The metadata of each version: the last that was stored before the run that took
# it out of the copy.
: >"$WORK/metadata"
if grep -qxF -e metadata/ -- "$WORK/state"; then
  rclone_status cat --crypt-strict-names enc:metadata >"$WORK/metadata" || failed 69 'reading metadata' $?
  require_scratch
fi
# A run that failed for an object, or died, stored the metadata of a version that it
# did not copy. A version in current has the time that the source had, one in history
# the time at which it was copied: so no later one is its own.
# It costs a request for each object, so only those are asked for that it may concern.
awk -v unfinished="$WORK/unfinished" -f "$HOLDFAST_ROOT/bin/asking.awk" \
  "$WORK/metadata" "$WORK/wanted" >"$WORK/asking" || die 73 'scratch is full'
names_of "$WORK/asking" >"$WORK/folders.all" || die 73 'scratch is full'
sort -u <"$WORK/folders.all" >"$WORK/folders" || die 73 'scratch is full'
: >"$WORK/times"
[ -s "$WORK/metadata" ] || : >"$WORK/folders"
while IFS= read -r folder <&3; do
  awk -v folder="$folder" 'BEGIN { FS = "\t" } $1 == folder { print $2 }' "$WORK/asking" >"$WORK/names" || die 73 'scratch is full'
  pieces "$WORK/names"
  piece=0
  while [ "$piece" -lt "$PIECES" ]; do
    piece=$((piece + 1))
    rclone_status lsf --recursive --files-only --no-traverse --files-from-raw="$WORK/piece.$piece" --checkers="$CHECKERS" --crypt-strict-names \
      --format=pt --separator="$TAB" --time-format=2006-01-02T15:04:05 "enc:$folder" >"$WORK/timed" || failed 69 "reading the times of $folder" $?
    require_scratch
    awk -v folder="$folder" 'BEGIN { FS = OFS = "\t" } { print folder, $1, $2 }' "$WORK/timed" >>"$WORK/times" || die 73 'scratch is full'
  done
done 3<"$WORK/folders"
awk -v times="$WORK/times" -v unfinished="$WORK/unfinished" -f "$HOLDFAST_ROOT/bin/both.awk" \
  "$WORK/metadata" "$WORK/wanted" >"$WORK/both" || die 73 'scratch is full'
sort -t "$TAB" -k 1,1 -k 2,2 -k 3,3 <"$WORK/both" >"$WORK/both.sorted" || die 73 'scratch is full'
rm -f -- "$WORK/both" "$WORK/metadata"

# 3. The requests to rclone, one a line: name and JSON. JSON takes only UTF-8; other
# names are handed over in files. An encrypted object that was cut reads as a shorter
# one, or as empty, without an error: so its size stands in the metadata.
mkdir -- "$WORK/byname"
: >"$WORK/hot"
: >"$WORK/damaged"
if grep -qxF -e hot -- "$WORK/state"; then
  rclone_status cat --crypt-strict-names enc:hot >"$WORK/hot" || failed 69 'reading what changed under way' $?
fi
awk -v folder="$WORK/byname/" -v hot="$WORK/hot" -v damaged="$WORK/damaged" \
  -f "$HOLDFAST_ROOT/bin/names.awk" -f "$HOLDFAST_ROOT/bin/requests.awk" "$WORK/both.sorted" >"$WORK/requests" || die 73 'scratch is full'
require_scratch
rm -f -- "$WORK/both.sorted"
[ ! -s "$WORK/byname/without" ] ||
  say "$(cat "$WORK/byname/without") objects were copied before there was metadata in the copy: they get none back"

set -- --crypt-strict-names --transfers="$TRANSFERS" --checkers="$CHECKERS" --retries=1 --stats=5m --stats-one-line --stats-log-level=NOTICE --log-level=NOTICE
if [ -n "${BANDWIDTH:-}" ]; then
  set -- "$@" --bwlimit="$BANDWIDTH"
fi

# 4. Copying back, as many at once as an argument holds. rclone answers for each
# object, so one that fails stops no other; it is tried again at the end.
# copy_back FILE: sends all of the file's requests.
copy_back() {
  : >"$WORK/failing"
  rm -f -- "$WORK"/batch.*
  awk -v name="$WORK/batch." -f "$HOLDFAST_ROOT/bin/batches.awk" "$1" >"$WORK/batches" || die 73 'scratch is full'
  require_scratch
  read -r batches <"$WORK/batches"
  shift
  batch=0
  while [ "$batch" -lt "$batches" ]; do
    batch=$((batch + 1))
    printf '%s' "{\"concurrency\":$TRANSFERS,\"inputs\":[" >"$WORK/json"
    awk 'BEGIN { FS = "\t" } { printf "%s%s", comma, substr($0, length($1) + 2); comma = "," } END { printf "]}" }' "$WORK/batch.$batch" >>"$WORK/json" ||
      die 73 'scratch is full'
    rclone_run 69 'copying back' rc --loopback job/batch "$@" --json="$(cat "$WORK/json")" >"$WORK/answer"
    awk -v requests="$WORK/batch.$batch" -f "$HOLDFAST_ROOT/bin/answers.awk" "$WORK/answer" >>"$WORK/failing" ||
      die 73 'scratch is full'
    rm -f -- "$WORK/batch.$batch"
  done
}
if [ -s "$WORK/requests" ]; then
  copy_back "$WORK/requests" "$@"
  if [ -s "$WORK/failing" ]; then
    say "$(count_lines '' "$WORK/failing") objects failed, trying them again"
    awk -v failing="$WORK/failing" 'BEGIN { FS = "\t"; while ((getline line < failing) > 0) { split(line, part, "\t"); again[part[1]] } } $1 in again' \
      "$WORK/requests" >"$WORK/requests.again" || die 73 'scratch is full'
    copy_back "$WORK/requests.again" "$@"
  fi
else
  : >"$WORK/failing"
fi

cat "$WORK/damaged" >>"$WORK/failing" || die 73 'scratch is full'

# 5. What is there now, by names and sizes.
list_source "$WORK/after" 'measuring the target again'
awk -v after="$WORK/after" -v failing="$WORK/failing" -f "$HOLDFAST_ROOT/bin/verdict.awk" \
  "$WORK/wanted" >"$WORK/verdict" || die 73 'scratch is full'
require_scratch
sed -n "s/^missing$TAB//p" "$WORK/verdict" >"$WORK/lacking" || die 73 'scratch is full'
while IFS=$TAB read -r name why <&3; do
  missing "$name" "$why"
done 3<"$WORK/lacking"
# What was there before stays; into an empty target nothing else may have come.
sed -n "s/^more$TAB//p" "$WORK/verdict" >"$WORK/more" || die 73 'scratch is full'
if [ "$before" -eq 0 ] && [ -s "$WORK/more" ]; then
  say 'the target has objects that are not in the copy:'
  listed "$WORK/more" 100
  missing 'an empty target' 'something else writes there'
fi
awk 'BEGIN { FS = "\t" } FILENAME == ARGV[1] { now[$1]; next } !($1 in now) { print $1 }' "$WORK/after" "$WORK/before" >"$WORK/vanished" || die 73 'scratch is full'
[ ! -s "$WORK/vanished" ] || while IFS= read -r name <&3; do
  missing "$name" 'it was in the target before, and is not any more'
done 3<"$WORK/vanished"

# 6. What the copy never had.
if grep -qxF -e losses -- "$WORK/state"; then
  rclone_status cat --crypt-strict-names enc:losses >"$WORK/lacks" || failed 69 'reading what the copy lacks' $?
  if [ -s "$WORK/lacks" ]; then
    say 'the copy lacks, as its last run said:'
    listed "$WORK/lacks" 1000
  fi
fi
settle_missing
say "restored: the target has $COUNT objects, $BYTES bytes"
say 'all of them are new to the next backup; if it stops at that, let it run once with MAX_DELETE_PERCENT=100'
