#!/bin/sh
# Applies the objects of a dump, what others need first. An object that exists
# stays as it is, unless HOLDFAST_OVERWRITE is "yes". Each is reported.
#
#   HOLDFAST_NAMESPACE   where they go
#   HOLDFAST_INPUT       the dump
#   HOLDFAST_ONLY        "Kind/name", one a line: only these
#   HOLDFAST_OVERWRITE   "yes": apply over objects that exist
#   HOLDFAST_DRY_RUN     "yes": let the API server check everything, change nothing
#
# Left out: what another object controls, what Holdfast, K8up and Kubernetes make
# themselves, and what would start work at once (Jobs, K8up's own runs), unless
# HOLDFAST_ONLY names it.
# shellcheck disable=SC2016 # jq has variables of its own
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/missing.sh"
. "$HOLDFAST_ROOT/bin/objects.sh"
. "$HOLDFAST_ROOT/bin/apply.sh"
begin

require_tools jq kubectl mv
need HOLDFAST_NAMESPACE
INPUT=${HOLDFAST_INPUT:-$HOLDFAST_SCRATCH/input}
[ -f "$INPUT" ] || die 64 "$INPUT is absent"

unpack_list "$INPUT" "$HOLDFAST_ROOT/bin/chosen.jq"
applied=0 same=0 broken=0
[ -s "$WORK/order" ] || [ -s "$WORK/aside" ] || none_chosen objects

while read -r file id <&3; do
  ! left_out "$id" || continue
  take_object "$file"
  if ! bounded kubectl get --ignore-not-found --output=json --filename="$ITEM" >"$WORK/live" 2>"$WORK/stderr"; then
    refused_object "$id"
    continue
  fi
  if [ -s "$WORK/live" ]; then
    compare_object "$WORK/live" "$ITEM"
    if [ -n "$GOING" ]; then
      going_object "$id"
      continue
    fi
    if [ "${HOLDFAST_OVERWRITE:-no}" != yes ]; then
      if [ -z "$DIFFERS" ]; then
        say "$id: exists, the same"
        same=$((same + 1))
        continue
      fi
      say "$id: exists, differs, kept"
      different_object "$id"
      continue
    fi
  fi
  if apply_object "$id"; then
    say "$id: applied"
    applied=$((applied + 1))
  else
    refused_object "$id"
  fi
  rm -f -- "$ITEM"
done 3<"$WORK/order"
[ ! -s "$WORK/aside" ] || say "not started again, for HOLDFAST_ONLY does not name them: $(tr '\n' ' ' <"$WORK/aside")"
say "$applied applied, $same the same, $broken failed"
settle_objects objects
