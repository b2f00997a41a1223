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
begin

require_tools jq kubectl mv
need HOLDFAST_NAMESPACE
INPUT=${HOLDFAST_INPUT:-$HOLDFAST_SCRATCH/input}
[ -f "$INPUT" ] || die 64 "$INPUT is absent"

unpack_list "$INPUT" '
  ((env.HOLDFAST_ONLY // "") | split("\n") | map(select(test("[^[:space:]]")))) as $only
  | select(.kind == "Secret")
  # The API server quotes a value of a wrong type.
  | if all((.data // {})[]; type == "string") and .stringData == null then . else error("not as Secrets are") end
  | select(($only | length) == 0 or (.metadata.name as $name | $only | index([$name]) != null))
  | .metadata.namespace = env.HOLDFAST_NAMESPACE
  | [0, .metadata.name, .]'
if [ ! -s "$WORK/order" ]; then
  if [ -z "$HOLDFAST_ALLOW_EMPTY" ] || [ -n "$(lines "${HOLDFAST_ONLY:-}")" ]; then
    die 65 'the dump holds none of these Secrets'
  fi
  say "empty, which is allowed: $HOLDFAST_ALLOW_EMPTY"
fi

created=0 replaced=0 same=0 kept=0 broken=0
while read -r file name <&3; do
  ! left_out "$name" || continue
  item=$WORK/objects/$file.json
  mv -- "$WORK/objects/$file" "$item" || die 73 'scratch cannot be written'
  attempt 70 "looking for $name" kubectl get --ignore-not-found --output=json --filename="$item" >"$WORK/live"
  set --
  if [ -s "$WORK/live" ]; then
    compare_object "$WORK/live" "$item"
    if [ -n "$GOING" ]; then
      say "Secret $name: is being deleted, not restored"
      missing "$name" "$GOING: let it go, then restore again"
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
      missing "$name" "what is there differs in $DIFFERS: HOLDFAST_OVERWRITE=yes replaces it"
      kept=$((kept + 1))
      continue
    fi
    set -- --force-conflicts
  fi
  [ "${HOLDFAST_DRY_RUN:-no}" != yes ] || set -- "$@" --dry-run=server
  # One that cannot be written, such as an immutable one, does not stop the others.
  if ! bounded kubectl apply --server-side --field-manager=holdfast "$@" --output=json --filename="$item" >"$WORK/out" 2>"$WORK/stderr"; then
    say "Secret $name: failed"
    masked "$WORK/stderr" >&2
    missing "$name" 'the API server refused it'
    broken=$((broken + 1))
  elif [ -s "$WORK/live" ]; then
    say "Secret $name: replaced"
    replaced=$((replaced + 1))
  else
    say "Secret $name: created"
    created=$((created + 1))
  fi
  if [ -s "$WORK/out" ]; then
    # Something between may have changed it.
    compare_object "$WORK/out" "$item"
    [ -z "$DIFFERS" ] || missing "$name" "it was applied, and what came of it differs in $DIFFERS"
  fi
  rm -f -- "$item"
done 3<"$WORK/order"
say "$created created, $replaced replaced, $same the same, $kept kept, $broken failed"
if [ "$broken" -gt 0 ]; then
  # In a shell of its own, for it exits.
  (settle_missing) || :
  die 70 "$broken Secrets could not be restored"
fi
settle_missing
