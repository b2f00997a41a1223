#!/bin/sh
# Still to be written: what it brings back, where, and what it refuses.
#
#   HOLDFAST_INPUT       the copy
#   HOLDFAST_OVERWRITE   "yes": replace what is there
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/missing.sh"
begin

need SOURCE_HOST SOURCE_PORT SOURCE_PASSWORD

# Refuse a target that is not empty, bring the copy back, compare, note by missing what
# did not come, and end with: settle_missing
die 64 'restore.sh of NAME is still to be written'
