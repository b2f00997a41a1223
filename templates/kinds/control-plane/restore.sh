#!/bin/sh
# Shows how the live cluster differs from an export. It applies nothing unless
# HOLDFAST_APPLY names the objects: most of them belong to the provider or to an
# operator, and writing them back blindly breaks a cluster.
#
#   HOLDFAST_INPUT   the export
#   HOLDFAST_ONLY    "Kind/name" or "Kind", one a line: compare only these
#   HOLDFAST_APPLY   "Kind/name", one a line: apply exactly these
#
# The differences go to stdout; that there are some is no failure.
# shellcheck disable=SC2016 # jq has variables of its own
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/missing.sh"
. "$HOLDFAST_ROOT/bin/objects.sh"
begin

require_tools diff jq kubectl mv
INPUT=${HOLDFAST_INPUT:-$HOLDFAST_SCRATCH/input}
[ -f "$INPUT" ] || die 64 "$INPUT is absent"
apply=no
[ -z "$(lines "${HOLDFAST_APPLY:-}")" ] || apply=yes
export apply

# Kinds and names alone first: the List is never held, for it may be large.
unpack_list "$INPUT" "$HOLDFAST_ROOT/bin/chosen.jq"
if [ "$apply" = yes ]; then
  lines "$HOLDFAST_APPLY" >"$WORK/wanted"
else
  lines "${HOLDFAST_ONLY:-}" >"$WORK/wanted"
fi
awk '
  pass == 1 { sub(/^[0-9]* /, ""); have[$0] = 1; sub(/\/.*/, ""); have[$0] = 1; next }
  !($0 in have) { print }' pass=1 "$WORK/order" pass=2 "$WORK/wanted" >"$WORK/none" || die 69 'awk failed'
[ ! -s "$WORK/none" ] || die 65 "not in the export: $(tr '\n' ' ' <"$WORK/none")"
[ -s "$WORK/order" ] || die 65 'the export holds none of these objects'

differ=0 broken=0 applied=0
while read -r file id <&3; do
  mv -- "$WORK/objects/$file" "$WORK/item.json" || die 73 'scratch cannot be written'
  if [ "$apply" = yes ]; then
    attempt 65 "reading $id" jq -L "$HOLDFAST_ROOT/bin" -f "$HOLDFAST_ROOT/bin/clean.jq" "$WORK/item.json" >"$WORK/export"
    attempt 70 "looking for $id" kubectl get --ignore-not-found --output=json --filename="$WORK/item.json" >"$WORK/got"
    if [ -s "$WORK/got" ]; then
      compare_object "$WORK/got" "$WORK/export"
      if [ -n "$GOING" ]; then
        missing "$id" "$GOING: let it go, then apply again"
        continue
      fi
    fi
    attempt 70 "applying $id" kubectl apply --server-side --field-manager=holdfast --force-conflicts \
      --filename="$WORK/export" >"$WORK/out"
    say "$id: applied"
    applied=$((applied + 1))
    continue
  fi
  # Not "kubectl diff": that asks for the right to write.
  if ! bounded kubectl get --ignore-not-found --output=json --filename="$WORK/item.json" >"$WORK/got" 2>"$WORK/stderr"; then
    broken=$((broken + 1))
    say "$id: cannot be compared"
    masked "$WORK/stderr" >&2
    continue
  fi
  attempt 65 "reading $id" jq -S -L "$HOLDFAST_ROOT/bin" -f "$HOLDFAST_ROOT/bin/clean.jq" "$WORK/item.json" >"$WORK/export"
  if [ -s "$WORK/got" ]; then
    compare_object "$WORK/got" "$WORK/export"
    [ -z "$GOING" ] || say "$id: $GOING"
  fi
  attempt 65 "reading $id" jq -S -L "$HOLDFAST_ROOT/bin" -f "$HOLDFAST_ROOT/bin/clean.jq" "$WORK/got" >"$WORK/live"
  status=0
  diff -u -L "export: $id" -L "live: $id" "$WORK/export" "$WORK/live" >"$WORK/diff" || status=$?
  case $status in
    0) ;;
    1)
      differ=$((differ + 1))
      cat -- "$WORK/diff" || die 74 'the differences could not be written'
      ;;
    *) die 69 "comparing $id failed with exit code $status" ;;
  esac
done 3<"$WORK/order"
if [ "$apply" = yes ]; then
  settle_missing
  say "$applied applied"
else
  say "$differ differ, $broken could not be compared; nothing was applied"
fi
[ "$broken" -eq 0 ] || die 70 "$broken objects could not be compared"
