#!/bin/sh
# Tries what dump.sh and restore.sh of a Redis server need: the login, that it is no
# node of a cluster, and the right to read all of it as a replica does.
#
#   REDIS_HOST REDIS_PORT REDIS_USER REDISCLI_AUTH REDIS_TLS   see connect.sh
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/preflight/checks.sh"
begin

. "$HOLDFAST_ROOT/bin/connect.sh"

login() {
  attempt 69 'redis-cli PING' redis-cli "$@" PING >"$WORK/pong" </dev/null
}

# Functions alone: a copy without any key.
copied() {
  attempt 69 'redis-cli --functions-rdb' redis-cli "$@" --functions-rdb "$WORK/functions.rdb" >"$WORK/said" </dev/null
}

if check login 'compare host, port, user and password with those of the server' login "$@"; then
  check cluster 'back up each node by a kind that knows clusters' alone "$@" || :
  check copy 'give the account the rights that a replica has: +psync +sync +replconf' copied "$@" || :
fi
