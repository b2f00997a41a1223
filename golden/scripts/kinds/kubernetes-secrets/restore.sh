#!/bin/sh
# Creates the Secrets of a dump. One that exists stays as it is, unless
# HOLDFAST_OVERWRITE is "yes". Each is reported.
#
#   HOLDFAST_NAMESPACE   where they go
#   HOLDFAST_INPUT       the dump
#   HOLDFAST_ONLY        names, one a line: only these
#   HOLDFAST_OVERWRITE   "yes": set the data of Secrets that exist
#   HOLDFAST_DRY_RUN     "yes": let the API server check everything, change nothing
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
[ -s "$WORK/order" ] || none_chosen Secrets

created=0 replaced=0 same=0 kept=0 broken=0
while read -r file name <&3; do
  ! left_out "$name" || continue
  take_object "$file"
  attempt 70 "looking for $name" kubectl get --ignore-not-found --output=json --filename="$ITEM" >"$WORK/live"
  if [ -s "$WORK/live" ]; then
    compare_object "$WORK/live" "$ITEM"
    if [ -n "$GOING" ]; then
      going_object "$name" "Secret $name"
      kept=$((kept + 1))
      continue
    fi
    if [ -z "$DIFFERS" ]; then
      say "Secret $name: the same already"
      same=$((same + 1))
      continue
    fi
    if [ "${HOLDFAST_OVERWRITE:-no}" != yes ]; then
      say "Secret $name: differs, kept"
      different_object "$name"
      kept=$((kept + 1))
      continue
    fi
  fi
  if ! apply_object "$name"; then
    refused_object "$name" "Secret $name"
  elif [ -s "$WORK/live" ]; then
    say "Secret $name: replaced"
    replaced=$((replaced + 1))
  else
    say "Secret $name: created"
    created=$((created + 1))
  fi
  rm -f -- "$ITEM"
done 3<"$WORK/order"
say "$created created, $replaced replaced, $same the same, $kept kept, $broken failed"
settle_objects Secrets
