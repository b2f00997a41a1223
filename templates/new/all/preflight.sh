#!/bin/sh
# Still to be written: what it tries of what dump.sh and restore.sh need.
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/preflight/checks.sh"
begin

need SOURCE_HOST SOURCE_PORT SOURCE_PASSWORD

login() {
  die 64 'preflight.sh of NAME is still to be written'
}

check login 'write preflight.sh of the kind' login || :
