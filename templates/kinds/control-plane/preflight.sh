#!/bin/sh
# Tries what dump.sh of cluster-scoped objects needs: the right to list each.
#
#   RESOURCES   as for dump.sh
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/rights.sh"
. "$HOLDFAST_ROOT/preflight/checks.sh"
begin

need RESOURCES

rights() {
  lines "$RESOURCES" >"$WORK/resources"
  while IFS= read -r resource <&3; do
    readable "$resource" --all-namespaces
  done 3<"$WORK/resources"
}
check rights 'apply the unit'"'"'s ClusterRole and its binding' rights || :
