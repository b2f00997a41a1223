#!/bin/sh
# Writes the secrets of a dump back, each as a new version. One whose value is
# another and newer stays, unless HOLDFAST_OVERWRITE is "yes". Each is reported.
#
#   HOLDFAST_INPUT       the dump
#   SM_ADDRESS SM_MOUNT SM_USERNAME SM_PASSWORD SM_CA_PEM  as for dump.sh; the
#                        mount may be another than that of the dump, and the user
#                        must be allowed to write
#   HOLDFAST_ONLY        paths, one a line: only these
#   HOLDFAST_OVERWRITE   "yes": write over values that are newer than the dump's
# shellcheck disable=SC2016 # jq has variables of its own
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/vault.sh"

INPUT=${HOLDFAST_INPUT:-$HOLDFAST_SCRATCH/input}
[ -f "$INPUT" ] || die 64 "$INPUT is absent"
hushed 65 'reading the dump' jq -c '
  ((env.HOLDFAST_ONLY // "") | split("\n") | map(select(test("[^[:space:]]")))) as $only
  | if .format == "holdfast.dev/kv-v2" and .formatVersion == 1 then . else error("this is no dump of a key-value store") end
  | .secrets | to_entries[]
  | select(.value | has("data"))
  | select(($only | length) == 0 or (.key as $path | $only | index([$path]) != null))' "$INPUT" >"$WORK/entries"
if [ ! -s "$WORK/entries" ]; then
  if [ -z "$HOLDFAST_ALLOW_EMPTY" ] || [ -n "${HOLDFAST_ONLY:-}" ]; then
    die 65 'the dump holds none of these secrets'
  fi
  say "the dump is empty, which is allowed: $HOLDFAST_ALLOW_EMPTY"
  exit 0
fi
login

written=0 same=0 kept=0
while IFS= read -r entry <&4; do
  printf '%s\n' "$entry" >"$WORK/entry" || die 73 'scratch is full'
  hushed 65 'reading the dump' jq -c .key "$WORK/entry" >"$WORK/path"
  IFS= read -r path <"$WORK/path"
  call GET data "$path" ''
  case $STATUS in
    404) verdict=absent ;;
    200)
      # Fractions of a second have as many digits as needed, so they are padded.
      hushed 65 "comparing $path" jq -r --slurpfile entry "$WORK/entry" '
        def instant: (. // "") | capture("^(?<s>[^.Z]*)(\\.(?<f>[0-9]+))?Z$") // {s: "9999", f: ""}
          | .s + "." + (((.f // "") + "000000000")[0:9]);
        if .data.data == $entry[0].value.data then "same"
        elif (.data.metadata.created_time | instant) > ($entry[0].value.version.created_time | instant) then "newer"
        else "older" end' "$WORK/body" >"$WORK/verdict"
      read -r verdict <"$WORK/verdict"
      ;;
    *) refused "reading $path" ;;
  esac
  if [ "$verdict" = same ]; then
    say "$path: the same already"
    same=$((same + 1))
    continue
  fi
  if [ "$verdict" = newer ] && [ "${HOLDFAST_OVERWRITE:-no}" != yes ]; then
    say "$path: another value, newer than the dump's: kept"
    kept=$((kept + 1))
    continue
  fi
  # Only over the version that was compared: nobody else's write gets lost. Some
  # stores take no write without that.
  hushed 65 "reading $path" jq -c --slurpfile entry "$WORK/entry" \
    '{options: {cas: (.data.metadata.version // 0)}, data: $entry[0].value.data}' "$WORK/body" >"$WORK/request"
  call POST data "$path" '' "$WORK/request"
  [ "$STATUS" = 200 ] || [ "$STATUS" = 204 ] || refused "writing $path"
  hushed 65 "reading $path" jq -c '.value.metadata.custom_metadata // empty | select(. != {}) | {custom_metadata: .}' \
    "$WORK/entry" >"$WORK/request"
  if [ -s "$WORK/request" ]; then
    call POST metadata "$path" '' "$WORK/request"
    [ "$STATUS" = 200 ] || [ "$STATUS" = 204 ] || refused "writing the metadata of $path"
  fi
  call GET data "$path" ''
  [ "$STATUS" = 200 ] || refused "reading $path again"
  hushed 65 "comparing $path" jq -r --slurpfile entry "$WORK/entry" '.data.data == $entry[0].value.data' "$WORK/body" >"$WORK/verdict"
  read -r equal <"$WORK/verdict"
  [ "$equal" = true ] || die 65 "$path reads otherwise than it was written"
  say "$path: written ($verdict before)"
  written=$((written + 1))
done 4<"$WORK/entries"
rm -f -- "$WORK/request" "$WORK/entry" "$WORK/body"
say "$written written, $same the same, $kept kept"
[ "$kept" -eq 0 ] || die 65 'not everything was restored; set HOLDFAST_OVERWRITE=yes to write over newer values'
