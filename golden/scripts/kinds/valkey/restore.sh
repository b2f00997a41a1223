#!/bin/sh
# A dataset is loaded by a server that starts, so the restore says how.
set -eu
. "${HOLDFAST_ROOT:-/holdfast}/bin/common.sh"
begin

need HOLDFAST_INPUT
die 65 "stop the server, put $HOLDFAST_INPUT into its data folder as dump.rdb, start the server"
