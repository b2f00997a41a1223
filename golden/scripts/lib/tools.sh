#!/bin/sh
# tools.sh copies kubectl out of the image that it runs in, for a container whose
# own image has none. Where an image keeps it is the image's affair, so it is
# found by name; a copy that does not run is no copy.
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
# The copy does not lie on scratch, so it may be larger than that.
# shellcheck disable=SC2034 # for common.sh
HOLDFAST_FILE_BYTES=0
. "$HOLDFAST_ROOT/bin/common.sh"
begin

require_tools cp kubectl
# Older ones run commands in pods through SPDY, which newer servers refuse.
at_least kubectl 1.31 kubectl version --client
attempt 73 'copying kubectl' cp -- "$(command -v kubectl)" "$HOLDFAST_ROOT/tools/kubectl"
attempt 69 'starting the copy of kubectl' "$HOLDFAST_ROOT/tools/kubectl" version --client >/dev/null </dev/null
