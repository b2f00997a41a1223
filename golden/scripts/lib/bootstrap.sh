#!/bin/sh
# bootstrap.sh makes a restic repository, once. Several first uses at once
# destroy a fresh repository for good, so this runs before anything else; on a
# repository that exists it only checks that the password opens it.
#
#   RESTIC_REPOSITORY, RESTIC_PASSWORD and the storage's own variables
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
HOLDFAST_UNIT=${HOLDFAST_UNIT:-repository}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/storage.sh"
begin

require_tools curl jq restic
at_least curl 7.86 curl --version
at_least jq 1.6 jq --version
at_least restic 0.17 restic version
need RESTIC_REPOSITORY RESTIC_PASSWORD
RESTIC_CACHE_DIR=${RESTIC_CACHE_DIR:-$HOLDFAST_SCRATCH/cache}
export RESTIC_CACHE_DIR

# restic init would make a bucket that was mistyped, where it may.
bucket_is_there() {
  storage_place || return 0
  storage HEAD "$SERVER/$BUCKET"
  [ "$CODE" != 404 ] || die 65 "there is no bucket $BUCKET"
}
bucket_is_there

status=0
bounded restic init >/dev/null 2>"$WORK/stderr" || status=$?
made=
if [ "$status" -eq 0 ]; then
  made=yes
  say 'the repository was made'
elif grep -Eq 'already (initialized|exists)' "$WORK/stderr"; then
  say 'the repository exists'
else
  failed 69 'restic init' "$status"
fi

status=0
bounded restic --no-lock --json snapshots --latest 1 >/dev/null 2>"$WORK/stderr" || status=$?
if [ "$status" -eq 12 ] || grep -qi 'wrong password or no key found' "$WORK/stderr"; then
  die 65 'the repository exists, but the restic password does not open it: it belongs to another password'
fi
[ "$status" -eq 0 ] || failed 69 'opening the repository' "$status"

# Whoever writes the last of several keys sees them all.
if [ -n "$made" ]; then
  attempt 69 'listing the keys' restic --no-lock --json key list >"$WORK/keys"
  attempt 69 'counting the keys' jq length "$WORK/keys" >"$WORK/count"
  read -r count <"$WORK/count"
  [ "$count" -eq 1 ] || die 65 "several made the repository at once, and it has $count keys: empty its place and make it again"
fi
