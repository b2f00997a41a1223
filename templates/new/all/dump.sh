#!/bin/sh
# Still to be written: what it reads, how, and which variables it takes.
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/losses.sh"
. "$HOLDFAST_ROOT/bin/content.sh"
. "$HOLDFAST_ROOT/bin/lock.sh"
begin

need SOURCE_HOST SOURCE_PORT SOURCE_PASSWORD
refuse_if_locked

# Read the source into a file of $WORK by attempt, count what is in it, name each loss,
# and end with: publish "$WORK/copy" "$count"
die 64 'dump.sh of NAME is still to be written'
