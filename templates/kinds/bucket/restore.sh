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
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/crypt.sh"

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

measure enc:current 'measuring the copy'
copy_count=$COUNT copy_bytes=$BYTES
stamps history
stamps unfinished
: >"$WORK/overlay"
if [ "$AT" != latest ]; then
  at_number=$(printf '%s' "$AT" | tr -d TZ)
  # Newest first: the oldest of several versions after that time is the one that
  # stood then, and is written last.
  sort -r <"$WORK/history" >"$WORK/newest" || die 73 'scratch is full'
  while IFS= read -r folder; do
    [ "$(printf '%s' "$folder" | tr -d TZ)" -gt "$at_number" ] || continue
    printf '%s\n' "$folder"
  done <"$WORK/newest" >"$WORK/overlay"
fi
[ "$copy_count" -gt 0 ] || [ -s "$WORK/overlay" ] || [ -s "$WORK/unfinished" ] || [ -n "$HOLDFAST_ALLOW_EMPTY" ] || die 65 'the copy is empty'

measure "$HOLDFAST_SOURCE" 'measuring the target'
before=$COUNT
if [ "$before" -gt 0 ] && [ "${HOLDFAST_OVERWRITE:-no}" != yes ]; then
  die 65 "the target holds $before objects; set HOLDFAST_OVERWRITE=yes to write among them"
fi

set -- --crypt-strict-names --transfers="$TRANSFERS" --checkers="$CHECKERS" --stats=5m --stats-one-line --stats-log-level=NOTICE --log-level=NOTICE
if [ -n "${BANDWIDTH:-}" ]; then
  set -- "$@" --bwlimit="$BANDWIDTH"
fi
rclone_run 69 'copying back' copy "$@" enc:current "$HOLDFAST_SOURCE"
while IFS= read -r folder <&3; do
  rclone_run 69 "copying back history/$folder" copy "$@" "enc:history/$folder" "$HOLDFAST_SOURCE"
  say "put back what the run of $folder replaced or removed"
done 3<"$WORK/overlay"
# The newest first: objects that are there stay.
sort -r <"$WORK/unfinished" >"$WORK/newest" || die 73 'scratch is full'
while IFS= read -r folder <&3; do
  say "the run of $folder did not end well: adding what it had taken out of the copy, and may have been about to replace or remove"
  grep -qxF -e "$folder" -- "$WORK/history" || continue
  rclone_run 69 "adding history/$folder" copy "$@" --ignore-existing "enc:history/$folder" "$HOLDFAST_SOURCE"
done 3<"$WORK/newest"

measure "$HOLDFAST_SOURCE" 'measuring the target again'
if [ "$before" -eq 0 ] && [ ! -s "$WORK/overlay" ] && [ ! -s "$WORK/unfinished" ]; then
  [ "$COUNT/$BYTES" = "$copy_count/$copy_bytes" ] ||
    die 65 "the target has $COUNT objects with $BYTES bytes, the copy $copy_count with $copy_bytes"
elif [ "$COUNT" -lt "$copy_count" ] || [ "$COUNT" -lt "$before" ]; then
  die 65 "the target has $COUNT objects, the copy $copy_count, and $before were there before"
fi
if [ ! -s "$WORK/overlay" ]; then
  rclone_run 65 'comparing sizes' check --one-way --size-only --crypt-strict-names --checkers="$CHECKERS" enc:current "$HOLDFAST_SOURCE"
fi
say "restored: the target has $COUNT objects, $BYTES bytes"
say 'all of them are new to the next backup; if it stops at that, let it run once with MAX_DELETE_PERCENT=100'
