#!/bin/sh
# verify.sh looks at what is stored of each unit of a namespace, and writes it into the
# namespace's status: a line of JSON for each unit, and one of its own. What the tool
# that stored it says is no proof: each new dump is read whole, and held against what
# the dump itself counted, which its last line has.
#
#   HOLDFAST_STATUS    the ConfigMap of the status
#   HOLDFAST_CLUSTER   the cluster's name; "" = none
#   HOLDFAST_NEXT      seconds in which it must have written again
#   RESTIC_REPOSITORY, RESTIC_PASSWORD and the storage's own variables; "" = no repository
#   HOLDFAST_DEADLINE  seconds for all reading: what is not reached is read first next time
#
# Files, below HOLDFAST_ROOT (/holdfast):
#   verify/expected.json   what must be there
#
# It ends with 65 if a required unit is not well.
# shellcheck disable=SC2016,SC2034 # jq has variables of its own; content.sh reads those of a unit
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/content.sh"
. "$HOLDFAST_ROOT/bin/stream.sh"
begin

require_tools dd jq kubectl mkfifo mv restic sleep
need HOLDFAST_STATUS HOLDFAST_NAMESPACE HOLDFAST_NEXT
RESTIC_CACHE_DIR=${RESTIC_CACHE_DIR:-$HOLDFAST_SCRATCH/cache}
export RESTIC_CACHE_DIR
NOW=$(date -u +%s)
EXPECTED=$HOLDFAST_ROOT/verify/expected.json
at_least jq 1.6 jq --version

# judge WHAT FILE: verify.jq, of all that was gathered.
judge() {
  attempt 65 "judging what is stored: $1" jq -n -r -f "$HOLDFAST_ROOT/bin/verify.jq" \
    --arg what "$1" --argjson now "$NOW" --argjson next "$HOLDFAST_NEXT" --rawfile unreadable "$WORK/unreadable" \
    --slurpfile expected "$EXPECTED" --slurpfile status "$WORK/status.json" --slurpfile snapshots "$WORK/snapshots.json" \
    --slurpfile backups "$WORK/backups.json" --slurpfile copies "$WORK/copies.json" --slurpfile read "$WORK/read.json" >"$2"
}

# snapshots of the repository. If it cannot be read, none of its units is well, and each
# line says why; copies of buckets have nothing to do with it.
: >"$WORK/unreadable"
echo '[]' >"$WORK/snapshots.json"
snapshots() {
  need RESTIC_PASSWORD
  at_least restic 0.17 restic version
  # restic leaves out what it cannot read, and ends well. A prune may have taken one away
  # since it was listed; so they are listed again before anybody is called for that.
  for list_pause in 60 ''; do
    attempt 69 'listing the snapshots' restic --no-lock --json snapshots >"$WORK/listed"
    grep -q '^Ignoring ' "$WORK/stderr" || break
    [ -n "$list_pause" ] || failed 65 'reading each snapshot' 1
    sleep "$list_pause"
  done
  # It ends well, too, when its list is cut by a full disk.
  jq -e 'type == "array"' "$WORK/listed" >"$WORK/array" 2>"$WORK/stderr" || failed 73 'reading the list of snapshots' 1
  mv -- "$WORK/listed" "$WORK/snapshots.json" || die 73 'scratch cannot be written'
}
if [ -n "${RESTIC_REPOSITORY:-}" ] && ! (trap - EXIT; snapshots) 2>"$WORK/unreadable"; then
  cat -- "$WORK/unreadable" >&2
  [ -s "$WORK/unreadable" ] || echo 'listing the snapshots failed' >"$WORK/unreadable"
else
  : >"$WORK/unreadable"
fi

attempt 70 "reading the status $HOLDFAST_STATUS" \
  kubectl get configmap "$HOLDFAST_STATUS" --namespace="$HOLDFAST_NAMESPACE" --output=json >"$WORK/status.json" </dev/null
echo '{"items": []}' >"$WORK/backups.json"
[ -z "${RESTIC_REPOSITORY:-}" ] || attempt 70 "listing K8up's Backups" \
  kubectl get backups.k8up.io --namespace="$HOLDFAST_NAMESPACE" --output=json >"$WORK/backups.json" </dev/null
attempt 65 'reading what is expected' jq -r '.[] | select(.how == "sync") | .name' "$EXPECTED" >"$WORK/names"
: >"$WORK/copies.json"
while IFS= read -r name <&3; do
  # One that is gone is of no line here, and verify.jq says so.
  attempt 70 "reading the CronJob $name" \
    kubectl get cronjob "$name" --namespace="$HOLDFAST_NAMESPACE" --ignore-not-found --output=json >>"$WORK/copies.json" </dev/null
done 3<"$WORK/names"

# read_copy ID PATH UNIT: reads a dump whole; dies if it is not what the dump made. Sets
# COPY_COUNT and COPY_BYTES. Nothing of it is kept but its ends.
end_of_copy() { tail -c "$((TRAILER_MAX + 65536 + 2))" >"$WORK/end"; }
read_copy() {
  stream end_of_copy restic --no-lock dump -- "$1" "$2" >/dev/null
  cat -- "$WORK/head" "$WORK/end" >"$WORK/copy" || die 73 'scratch cannot be written'
  read_trailer "$WORK/copy" "$STREAM_BYTES"
  grep -qF -e "\"unit\":\"$3\"" -- "$WORK/trailer" || die 65 'the copy is that of another unit: its trailer does not name this one'
  has_marker "$WORK/copy" || die 65 "the copy lacks its marker, \"$HOLDFAST_MARKER\""
  check_size "$COPY_BYTES" "$COPY_COUNT"
  printf '%s\t%s\n' "$COPY_COUNT" "$COPY_BYTES" >"$WORK/counts" || die 73 'scratch cannot be written'
}

# Those that were tried longest ago come first, so that none is left out for ever.
: >"$WORK/read.json"
judge read "$WORK/to.read"
while IFS="$TAB" read -r name unit id path marker bytes count empty <&3; do
  left=$((NOW + HOLDFAST_DEADLINE - $(date -u +%s)))
  if [ "$HOLDFAST_DEADLINE" -gt 0 ] && [ "$left" -le 0 ]; then
    say "${unit#=} and those after it are not read: no time left; raise deadlines.verify"
    break
  fi
  status=0
  (
    trap - EXIT
    [ "$HOLDFAST_DEADLINE" -eq 0 ] || HOLDFAST_DEADLINE=$left
    HOLDFAST_UNIT=${unit#=} HOLDFAST_MARKER=${marker#=} HOLDFAST_MIN_BYTES=${bytes#=} HOLDFAST_MIN_COUNT=${count#=} HOLDFAST_ALLOW_EMPTY=${empty#=}
    read_copy "${id#=}" "${path#=}" "${unit#=}"
  ) 2>"$WORK/said" || status=$?
  : >>"$WORK/counts"
  jq -n --arg name "${name#=}" --arg id "${id#=}" --argjson status "$status" --rawfile said "$WORK/said" --rawfile counts "$WORK/counts" \
    '($counts | rtrimstr("\n") | split("\t")) as $c
     | {name: $name, id: $id} + (if $status == 0 then {count: ($c[0] | tonumber), bytes: ($c[1] | tonumber)} else {why: $said} end)' \
    >>"$WORK/read.json" || die 65 "what reading ${unit#=} found cannot be written down"
  rm -f -- "$WORK/to.tap" "$WORK/counts"
done 3<"$WORK/to.read"

judge patch "$WORK/patch.json"
attempt 70 "writing the status $HOLDFAST_STATUS" \
  kubectl patch configmap "$HOLDFAST_STATUS" --namespace="$HOLDFAST_NAMESPACE" --type=merge --field-manager=holdfast --patch-file="$WORK/patch.json" >"$WORK/patched" </dev/null
judge report "$WORK/report"
cat -- "$WORK/report" >&2
judge red "$WORK/red"
read -r red <"$WORK/red"
[ "$red" -eq 0 ] || die 65 "$red required units are not well"
say 'no required unit has failed'
