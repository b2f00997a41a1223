#!/bin/sh
# Copies one bucket, encrypted, into the backup bucket. Runs under guard.sh.
#
#   enc:current             the objects as they are now
#   enc:history/<UTC>       what a run replaced or removed, by the run's time
#   enc:unfinished/<UTC>    a run that began to change current, and did not end well
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
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/crypt.sh"

require_tools sleep
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

crypt_remote
start=$(date +%s)
stamp=$(now)

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

# 2. The source. A prefix that does not exist lists as empty, without an error.
measure "$HOLDFAST_SOURCE" 'measuring the source'
source_count=$COUNT source_bytes=$BYTES
measure enc:current 'measuring the copy'
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
# on from there. So it is asked first. Modification times are not read from each
# object (--use-server-modtime); checksums do not exist through crypt.
limit=$(((current_count * MAX_DELETE_PERCENT + 99) / 100))
set -- --crypt-strict-names --transfers="$TRANSFERS" --checkers="$CHECKERS"
if [ "$current_count" -gt 0 ]; then
  rclone_run 69 'comparing source and copy' sync "$@" --update --use-server-modtime --dry-run --log-level=ERROR \
    --backup-dir="enc:history/$stamp" --differ="$WORK/differ" --missing-on-src="$WORK/gone" "$HOLDFAST_SOURCE" enc:current
  roomy
  replaced=$(count_lines '' "$WORK/differ")
  removed=$(count_lines '' "$WORK/gone")
  rm -f -- "$WORK/differ" "$WORK/gone"
  [ $((replaced + removed)) -le "$limit" ] ||
    die 65 "stopped before anything was changed: $replaced of $current_count objects would be replaced and $removed removed, more than $MAX_DELETE_PERCENT %"
fi

# 4. The copy. Until it ends well, current may lack what is in history already; the
# mark tells a restore. rclone's limit is for what happens in between; it counts a
# removed object twice, for moving one is copying and removing.
set -- "$@" --stats=5m --stats-one-line --stats-log-level=NOTICE --log-level=NOTICE
if [ -n "${BANDWIDTH:-}" ]; then
  set -- "$@" --bwlimit="$BANDWIDTH"
fi
if [ "$HOLDFAST_DEADLINE" -gt 0 ]; then
  # Ends by itself before it is killed.
  set -- "$@" --max-duration="$((HOLDFAST_DEADLINE - HOLDFAST_DEADLINE / 10))s"
fi
printf '%s\n' "$stamp" >"$WORK/mark" || die 73 'scratch is full'
rclone_run 69 'marking the run' copyto "$WORK/mark" "enc:unfinished/$stamp"
rclone_run 69 'the copy' sync "$@" --update --use-server-modtime --max-delete=$((2 * limit)) \
  --backup-dir="enc:history/$stamp" "$HOLDFAST_SOURCE" enc:current
masked "$WORK/stderr" >&2

# An object that is replaced while it is being copied has an older copy with a
# later time, which --update takes for newer, for ever. So what changed since the
# start is compared by its own time, which its copy carries. History in a folder
# of its own: the first one has the older version.
again=$(now)
while [ "$again" = "$stamp" ]; do
  sleep 1
  again=$(now)
done
age=$(($(date +%s) - start + 60))
rclone_run 69 'copying what changed under way' copy "$@" --max-age="${age}s" --no-traverse \
  --backup-dir="enc:history/$again" "${HOLDFAST_SOURCE%%:*},override.use_server_modtime=true:${HOLDFAST_SOURCE#*:}" enc:current

# 5. Source and copy must agree. Where the source changed under way, they may
# differ by as many objects as changed.
measure "$HOLDFAST_SOURCE" 'measuring the source again'
after_count=$COUNT after_bytes=$BYTES
measure enc:current 'measuring the copy again'
if [ "$COUNT" -ne "$after_count" ] || [ "$BYTES" -ne "$after_bytes" ]; then
  if [ "$COUNT" -ne "$source_count" ] || [ "$BYTES" -ne "$source_bytes" ]; then
    copy_count=$COUNT copy_bytes=$BYTES
    age=$(($(date +%s) - start + 60))
    measure "$HOLDFAST_SOURCE" 'counting what changed' --use-server-modtime --max-age="${age}s"
    gone=$((source_count + COUNT - after_count))
    [ "$gone" -ge 0 ] || gone=0
    distance=$((copy_count - after_count))
    [ "$distance" -ge 0 ] || distance=$((-distance))
    if [ $((COUNT + gone)) -eq 0 ] || [ "$distance" -gt $((COUNT + gone)) ]; then
      die 65 "the copy has $copy_count objects with $copy_bytes bytes, the source $after_count with $after_bytes, and only $COUNT changed under way"
    fi
    say "$COUNT objects of the source changed under way; the next run takes them up"
    COUNT=$copy_count BYTES=$copy_bytes
  fi
fi
rclone_run 69 'removing the mark' purge enc:unfinished
say "source $after_count objects, $after_bytes bytes; copy $COUNT objects, $BYTES bytes"

# 6. Old history, whole folders by name: objects in there keep the time of the
# document, which says nothing about when it was deleted.
today=$(days "$stamp")
stamps history
while IFS= read -r folder <&3; do
  [ $((today - $(days "$folder"))) -gt "$HISTORY_DAYS" ] || continue
  rclone_run 69 "expiring history/$folder" purge "enc:history/$folder"
  say "expired history/$folder"
done 3<"$WORK/history"
say "done in $(($(date +%s) - start)) s"
