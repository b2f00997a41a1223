#!/bin/sh
# Tries what dump.sh of Secrets needs: the right to list them.
#
#   HOLDFAST_NAMESPACE
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/preflight/checks.sh"

need HOLDFAST_NAMESPACE

check rights 'apply the unit'"'"'s Role and its binding' readable secrets "--namespace=$HOLDFAST_NAMESPACE" || :
