#!/bin/sh
# Tries what dump.sh of Secrets needs: the right to list them.
#
#   HOLDFAST_NAMESPACE
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/rights.sh"
. "$HOLDFAST_ROOT/preflight/checks.sh"
begin

need HOLDFAST_NAMESPACE

check rights 'apply the unit'"'"'s Role and its binding' readable secrets "--namespace=$HOLDFAST_NAMESPACE" || :
