#!/bin/sh
# Tries what the backups and restores of claims need: that each claim is there. It
# is not mounted, for that would take it from the application's node. Several
# claims with one owner are tried together.
#
#   HOLDFAST_NAMESPACE
#   HOLDFAST_CLAIMS   "claim unit", one a line
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/preflight/checks.sh"
begin

need HOLDFAST_NAMESPACE HOLDFAST_CLAIMS

claim() {
  attempt 69 "reading the claim $1" kubectl get --namespace="$HOLDFAST_NAMESPACE" persistentvolumeclaim "$1" --output=name </dev/null
}

lines "$HOLDFAST_CLAIMS" >"$WORK/claims"
while IFS=' ' read -r name unit <&3; do
  (
    # shellcheck disable=SC2034 # checks.sh names it
    HOLDFAST_UNIT=$unit
    check claim 'correct the name in the state, or make the claim' claim "$name"
  ) || :
done 3<"$WORK/claims"
