#!/bin/sh
# Marks live claims for their backups: K8up reads the files itself, and selects
# a claim by the label and the annotation that this sets. Claims are never put
# into Git, for taking one out again would delete its data.
#
#   HOLDFAST_NAMESPACE
#   HOLDFAST_CLAIMS   "claim label", one a line
#
# Every claim that can be marked is; the rest is named at the end.
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
HOLDFAST_UNIT=${HOLDFAST_UNIT:-volume}
. "$HOLDFAST_ROOT/bin/common.sh"
begin

require_tools kubectl
need HOLDFAST_NAMESPACE HOLDFAST_CLAIMS
# One claim must not use up the time of all.
[ "$HOLDFAST_DEADLINE" -gt 0 ] && [ "$HOLDFAST_DEADLINE" -lt 60 ] || HOLDFAST_DEADLINE=60
lines "$HOLDFAST_CLAIMS" >"$WORK/claims"
marked=0 missing=
while IFS=' ' read -r claim label rest <&3; do
  # Both become part of a patch; names that could change it do not exist.
  case $claim in
    '' | -* | *[!a-z0-9.-]*) die 64 "HOLDFAST_CLAIMS: \"$claim\" is no claim's name" ;;
  esac
  case $label in
    '' | *[!A-Za-z0-9._-]*) die 64 "HOLDFAST_CLAIMS: \"$label\" is no label's value" ;;
  esac
  [ -z "$rest" ] || die 64 "HOLDFAST_CLAIMS: more than two words for $claim"
  patch="{\"metadata\":{\"labels\":{\"holdfast.dev/unit\":\"$label\"},\"annotations\":{\"k8up.io/backup\":\"true\"}}}"
  status=0
  bounded kubectl patch persistentvolumeclaim "$claim" --namespace="$HOLDFAST_NAMESPACE" \
    --field-manager=holdfast --type=merge --patch="$patch" >"$WORK/out" 2>"$WORK/stderr" || status=$?
  if [ "$status" -eq 0 ]; then
    say "$claim: marked for $label"
    marked=$((marked + 1))
  else
    # In a shell of its own, for it exits.
    (failed 69 "marking $claim" "$status") || :
    missing="$missing $claim"
  fi
done 3<"$WORK/claims"
[ -z "$missing" ] || die 69 "$marked marked; these could not be:$missing"
say "$marked marked"
