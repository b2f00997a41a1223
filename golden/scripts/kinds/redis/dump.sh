#!/bin/sh
# Prints the data of a Redis server in Redis' own format (RDB), as a replica gets it:
# all databases, keys of every type with the time at which they expire, functions.
#
#   REDIS_HOST REDIS_PORT REDIS_USER REDISCLI_AUTH REDIS_TLS   see connect.sh
#
# The whole copy is read once more before it is printed, by Redis' own checker: each
# key, the end, the checksum. It counts the keys.
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/losses.sh"
. "$HOLDFAST_ROOT/bin/content.sh"
. "$HOLDFAST_ROOT/bin/lock.sh"
begin

require_tools redis-check-rdb redis-cli
refuse_if_locked
. "$HOLDFAST_ROOT/bin/connect.sh"

alone "$@"
attempt 69 'listing the accounts' redis-cli "$@" ACL USERS >"$WORK/accounts" </dev/null
while IFS= read -r account; do
  [ "$account" = default ] || loss account "account $account" 'accounts of the server are not copied: make it again after a restore'
done <"$WORK/accounts"

dump=$WORK/dump.rdb
attempt 69 'redis-cli --rdb' redis-cli "$@" --rdb "$dump" >"$WORK/said" </dev/null

# The checker says on stdout what is wrong, and may name keys beside it.
check_status=0
bounded redis-check-rdb "$dump" >"$WORK/check" 2>"$WORK/stderr" </dev/null || check_status=$?
if [ "$check_status" -ne 0 ]; then
  grep -e '--- RDB ERROR' -e 'Unexpected EOF' -e CRC -e module "$WORK/check" >>"$WORK/stderr" || :
  failed 65 'redis-check-rdb, which reads the copy once more,' "$check_status"
fi
grep -qF 'RDB looks OK' "$WORK/check" || die 65 'redis-check-rdb did not come to the end of the copy'
# A server drops what has expired when it loads.
count=$(awk '/^\[info\] [0-9]+ keys read/ { keys = $2 } /^\[info\] [0-9]+ already expired/ { keys -= $2 } END { print keys }' "$WORK/check")
[ -n "$count" ] || die 69 "redis-check-rdb counts no keys in $HERE"
publish "$dump" "$count"
