#!/bin/sh
# Tries what dump.sh and restore.sh need: the login.
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/preflight/checks.sh"
begin

need VALKEY_HOST VALKEY_PORT REDISCLI_AUTH

# The server's answer, for valkey-cli ends well with an error of the server's.
login() {
  attempt 69 valkey-cli valkey-cli -h "$VALKEY_HOST" -p "$VALKEY_PORT" PING >"$WORK/pong"
  grep -qx PONG "$WORK/pong" || die 69 "the server says: $(masked "$WORK/pong")"
}

check login 'compare host, port and password with those of the server' login || :
