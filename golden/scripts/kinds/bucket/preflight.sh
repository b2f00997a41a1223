#!/bin/sh
# Tries what dump.sh and restore.sh of a bucket need: to list the source; to
# write, read and delete beside the copies; and the crypt passwords.
#
#   the variables of dump.sh
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/preflight/checks.sh"
begin

. "$HOLDFAST_ROOT/bin/crypt.sh"

need HOLDFAST_SOURCE HOLDFAST_INSTANCE
# Beside the copy: an empty one must stay empty until its canary is written.
PROBE=${HOLDFAST_BACKUP%/*}/.holdfast-preflight-${HOLDFAST_BACKUP##*/}
printf 'holdfast preflight of %s\n' "$HOLDFAST_INSTANCE" >"$WORK/probe"

# One request, wherever the bucket has a million objects: a name that nobody uses.
source_lists() {
  rclone_run 69 'listing the source' lsf --max-depth=1 --retries=1 --low-level-retries=3 --contimeout=10s --timeout=20s \
    "$HOLDFAST_SOURCE/.holdfast-preflight/none" >/dev/null
}
# rclone_soon CODE WHAT COMMAND…: a storage that is busy for a moment is asked
# again, and nothing else.
rclone_soon() {
  rclone_run "$@" --retries=1 --low-level-retries=3 --contimeout=10s --timeout=20s
}
write_probe() {
  rclone_soon 69 'writing a probe' copyto --ignore-times "$WORK/probe" "$PROBE"
}
read_probe() {
  rclone_soon 69 'reading the probe' cat "$PROBE" >"$WORK/read"
  cmp -s "$WORK/probe" "$WORK/read" || die 65 'what was read is not what was written'
}
delete_probe() {
  rclone_soon 69 'deleting the probe' deletefile "$PROBE"
}
passwords() {
  crypt_remote
  backup_is_empty || canary_known ||
    die 65 'the backup holds objects, but the canary cannot be read: wrong crypt password or salt, or not our backup'
}

check source 'correct bucket and endpoint in the state, or the key in its Secret' source_lists || :
if check write 'is it the right key of rclone in the credentials? it needs s3:PutObject in the bucket' write_probe; then
  check read 'give the key s3:GetObject in the bucket' read_probe || :
  check delete 'give the key s3:DeleteObject in the bucket: history expires' delete_probe || :
  check passwords 'compare rclone.crypt in the credentials with what the copies were made with' passwords || :
fi
