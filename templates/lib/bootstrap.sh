#!/bin/sh
# bootstrap.sh makes a restic repository, once. Several first uses at once
# destroy a fresh repository for good, so this runs before anything else; on a
# repository that exists it only checks that the password opens it.
#
#   RESTIC_REPOSITORY, RESTIC_PASSWORD and the storage's own variables
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
HOLDFAST_UNIT=${HOLDFAST_UNIT:-repository}
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"

need RESTIC_REPOSITORY RESTIC_PASSWORD
RESTIC_CACHE_DIR=${RESTIC_CACHE_DIR:-$HOLDFAST_SCRATCH/cache}
export RESTIC_CACHE_DIR

status=0
bounded restic init >/dev/null 2>"$WORK/stderr" || status=$?
if [ "$status" -eq 0 ]; then
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
