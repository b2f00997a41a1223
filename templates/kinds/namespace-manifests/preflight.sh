#!/bin/sh
# Tries what dump.sh of a namespace's objects needs: the right to read each.
#
#   HOLDFAST_NAMESPACE RESOURCES   as for dump.sh
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/rights.sh"
. "$HOLDFAST_ROOT/preflight/checks.sh"
begin

need HOLDFAST_NAMESPACE RESOURCES

rights() {
  lines "$RESOURCES" >"$WORK/resources"
  while IFS= read -r resource <&3; do
    readable "$resource" "--namespace=$HOLDFAST_NAMESPACE"
  done 3<"$WORK/resources"
}
check rights 'apply the unit'"'"'s Role and its binding' rights || :
