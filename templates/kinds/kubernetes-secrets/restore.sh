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
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"

require_tools jq kubectl
need HOLDFAST_NAMESPACE
INPUT=${HOLDFAST_INPUT:-$HOLDFAST_SCRATCH/input}
[ -f "$INPUT" ] || die 64 "$INPUT is absent"

hushed 65 'reading the dump' jq -c -s '
  ((env.HOLDFAST_ONLY // "") | split("\n") | map(select(test("[^[:space:]]")))) as $only
  | if length == 1 and .[0].kind == "List" and (.[0].items | type) == "array" then .[0].items[] else error("this is no List") end
  | select(.kind == "Secret")
  # The API server quotes a value of a wrong type.
  | if all((.data // {})[]; type == "string") and .stringData == null then . else error("not as Secrets are") end
  | select(($only | length) == 0 or (.metadata.name as $name | $only | index([$name]) != null))
  | .metadata.namespace = env.HOLDFAST_NAMESPACE' "$INPUT" >"$WORK/items"
if [ ! -s "$WORK/items" ]; then
  if [ -z "$HOLDFAST_ALLOW_EMPTY" ] || [ -n "$(lines "${HOLDFAST_ONLY:-}")" ]; then
    die 65 'the dump holds none of these Secrets'
  fi
  say "empty, which is allowed: $HOLDFAST_ALLOW_EMPTY"
fi

created=0 replaced=0 same=0 kept=0 broken=0
while IFS= read -r item <&3; do
  printf '%s\n' "$item" >"$WORK/item.json" || die 73 'scratch is full'
  hushed 65 'reading the dump' jq -r .metadata.name "$WORK/item.json" >"$WORK/name"
  read -r name <"$WORK/name"
  attempt 70 "looking for $name" kubectl get --ignore-not-found --output=json --filename="$WORK/item.json" >"$WORK/live"
  set --
  if [ -s "$WORK/live" ]; then
    hushed 65 "comparing $name" jq -n --slurpfile live "$WORK/live" --slurpfile item "$WORK/item.json" \
      '($live[0].data // {}) == ($item[0].data // {}) and $live[0].type == $item[0].type' >"$WORK/equal"
    read -r equal <"$WORK/equal"
    if [ "$equal" = true ]; then
      say "Secret $name: the same already"
      same=$((same + 1))
      continue
    fi
    if [ "${HOLDFAST_OVERWRITE:-no}" != yes ]; then
      say "Secret $name: differs, kept"
      kept=$((kept + 1))
      continue
    fi
    set -- --force-conflicts
  fi
  [ "${HOLDFAST_DRY_RUN:-no}" != yes ] || set -- "$@" --dry-run=server
  # One that cannot be written, such as an immutable one, does not stop the others.
  if ! bounded kubectl apply --server-side --field-manager=holdfast "$@" --filename="$WORK/item.json" >"$WORK/out" 2>"$WORK/stderr"; then
    say "Secret $name: failed"
    masked "$WORK/stderr" >&2
    broken=$((broken + 1))
  elif [ -s "$WORK/live" ]; then
    say "Secret $name: replaced"
    replaced=$((replaced + 1))
  else
    say "Secret $name: created"
    created=$((created + 1))
  fi
done 3<"$WORK/items"
say "$created created, $replaced replaced, $same the same, $kept kept although they differ, $broken failed"
[ "$broken" -eq 0 ] || die 70 "$broken Secrets could not be restored"
[ "$kept" -eq 0 ] || die 65 'not everything was restored; set HOLDFAST_OVERWRITE=yes to replace what differs'
