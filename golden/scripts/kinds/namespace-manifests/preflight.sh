#!/bin/sh
# Tries what dump.sh of a namespace's objects needs: the right to read each.
#
#   HOLDFAST_NAMESPACE RESOURCES   as for dump.sh
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/preflight/checks.sh"

need HOLDFAST_NAMESPACE RESOURCES

rights() {
  lines "$RESOURCES" >"$WORK/resources"
  while IFS= read -r resource <&3; do
    readable "$resource" "--namespace=$HOLDFAST_NAMESPACE"
  done 3<"$WORK/resources"
}
check rights 'apply the unit'"'"'s Role and its binding' rights || :
