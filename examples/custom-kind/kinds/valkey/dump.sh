#!/bin/sh
# Prints the dataset of one Valkey server, in the server's own format.
set -eu
. "${HOLDFAST_ROOT:-/holdfast}/bin/common.sh"
. "${HOLDFAST_ROOT:-/holdfast}/bin/content.sh"
. "${HOLDFAST_ROOT:-/holdfast}/bin/lock.sh"
begin

require_tools valkey-cli
need VALKEY_HOST VALKEY_PORT REDISCLI_AUTH HOLDFAST_SCRATCH
refuse_if_locked

dump=$HOLDFAST_SCRATCH/dump.rdb
valkey-cli -h "$VALKEY_HOST" -p "$VALKEY_PORT" --rdb "$dump" >"$HOLDFAST_SCRATCH/log" 2>&1 ||
  die 69 "valkey-cli failed: $(masked "$HOLDFAST_SCRATCH/log")"
publish "$dump" 1
