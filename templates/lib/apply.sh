#!/bin/sh
# apply.sh is sourced by restores that apply objects of Kubernetes, after objects.sh and
# missing.sh. They count in "broken" what the API server refused, from 0.

# take_object FILE: the next object of $WORK/order as ITEM, whose name ends as kubectl wants.
take_object() {
  ITEM=$WORK/objects/$1.json
  mv -- "$WORK/objects/$1" "$ITEM" || die 73 'scratch cannot be written'
}

# apply_object ID: ITEM, over what is in $WORK/live if it is not empty; fails if the API
# server refuses it. With HOLDFAST_DRY_RUN nothing is changed.
apply_object() {
  apply_id=$1
  set --
  [ ! -s "$WORK/live" ] || set -- --force-conflicts
  [ "${HOLDFAST_DRY_RUN:-no}" != yes ] || set -- "$@" --dry-run=server
  bounded kubectl apply --server-side --field-manager=holdfast "$@" --output=json --filename="$ITEM" >"$WORK/out" 2>"$WORK/stderr" || return 1
  # A server that knows less fields, or something between, may have changed it.
  compare_object "$WORK/out" "$ITEM"
  [ -z "$DIFFERS" ] || missing "$apply_id" "it was applied, and what came of it differs in $DIFFERS"
}

# refused_object ID [WHAT]: one that cannot be written, such as an immutable one or one of a
# missing CRD, does not stop the others. WHAT is how it is called in the message.
refused_object() {
  say "${2:-$1}: failed"
  masked "$WORK/stderr" >&2
  missing "$1" 'the API server refused it'
  broken=$((broken + 1))
}

# going_object ID [WHAT]: one that is being deleted would go all the same.
going_object() {
  say "${2:-$1}: is being deleted, not restored"
  missing "$1" "$GOING: let it go, then restore again"
}

# different_object ID: one that is kept as it is.
different_object() {
  missing "$1" "what is there differs in $DIFFERS: HOLDFAST_OVERWRITE=yes replaces it"
}

# none_chosen WHAT: dies if the dump holds none, unless that is allowed, and nobody asked
# for some.
none_chosen() {
  if [ -z "$HOLDFAST_ALLOW_EMPTY" ] || [ -n "$(lines "${HOLDFAST_ONLY:-}")" ]; then
    die 65 "the dump holds none of these $1"
  fi
  say "empty, which is allowed: $HOLDFAST_ALLOW_EMPTY"
}

# settle_objects WHAT: the end. It dies if anything did not come back.
settle_objects() {
  if [ "$broken" -gt 0 ]; then
    # In a shell of its own, for it exits.
    (settle_missing) || :
    die 70 "$broken $1 could not be restored"
  fi
  settle_missing
}
