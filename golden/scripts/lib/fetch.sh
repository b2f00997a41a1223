#!/bin/sh
# fetch.sh validate|fetch|verify: the steps before a dump is restored. Each runs
# by itself, so that a failure names its step and nothing is touched.
#
#   validate  choose exactly one snapshot, and check that it is the unit's
#   fetch     write its file to HOLDFAST_INPUT
#   verify    check what was written: size, floor, marker
#
#   RESTIC_REPOSITORY, RESTIC_PASSWORD and the storage's own variables
#   HOLDFAST_SNAPSHOT       "latest" or a snapshot's id
#   HOLDFAST_SNAPSHOT_PATH  the snapshot's one path
#   HOLDFAST_SNAPSHOT_HOST  its host: the namespace
#   HOLDFAST_TAG            a tag that it has; "" = any
#   HOLDFAST_INPUT          the file to write, $HOLDFAST_SCRATCH/input by default
#
# What validate chose stays in $HOLDFAST_SCRATCH/snapshot.json.
# shellcheck disable=SC2016 # jq has variables of its own
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/content.sh"
begin

require_tools cp dd dirname jq mv restic
RESTIC_CACHE_DIR=${RESTIC_CACHE_DIR:-$HOLDFAST_SCRATCH/cache}
export RESTIC_CACHE_DIR
INPUT=${HOLDFAST_INPUT:-$HOLDFAST_SCRATCH/input}
CHOSEN=$HOLDFAST_SCRATCH/snapshot.json

# restic_said CODE WHAT COMMAND…: as attempt, with restic's own exit codes in words.
restic_said() {
  said_code=$1
  said_what=$2
  shift 2
  said_status=0
  bounded "$@" 2>"$WORK/stderr" || said_status=$?
  case $said_status in
    0) return 0 ;;
    10) say 'there is no repository at that place' ;;
    11) say 'the repository is locked by another restic' ;;
    12) say 'the restic password does not open the repository' ;;
  esac
  failed "$said_code" "$said_what" "$said_status"
}

validate() {
  need RESTIC_REPOSITORY RESTIC_PASSWORD HOLDFAST_SNAPSHOT HOLDFAST_SNAPSHOT_PATH HOLDFAST_SNAPSHOT_HOST
  case $HOLDFAST_SNAPSHOT in
    latest) ;;
    *[!0-9a-f]* | ? | ?? | ???) die 64 'HOLDFAST_SNAPSHOT is neither "latest" nor a snapshot id' ;;
  esac
  rm -f -- "$CHOSEN"
  # Older ones have no exit codes of their own for a wrong password or no
  # repository, and a snapshot that does not tell its size.
  at_least restic 0.17 restic version
  at_least jq 1.6 jq --version
  restic_said 69 'listing the snapshots' restic --no-lock --json snapshots >"$WORK/snapshots"
  # restic leaves out a snapshot that it cannot read, and ends well: the newest of
  # the others need not be the latest.
  if grep -q '^Ignoring ' "$WORK/stderr"; then
    say 'a snapshot cannot be read'
    masked "$WORK/stderr" >&2
    [ "$HOLDFAST_SNAPSHOT" != latest ] || die 65 'nobody knows which snapshot is the latest: name one by its id'
  fi
  if [ "$HOLDFAST_SNAPSHOT" = latest ]; then
    # Selection is ours, not restic's: its own "latest" ignores host or path when
    # one is left out, and takes another unit's.
    attempt 65 'reading the list of snapshots' jq '
      map(select(.paths == [env.HOLDFAST_SNAPSHOT_PATH] and .hostname == env.HOLDFAST_SNAPSHOT_HOST
                 and ((env.HOLDFAST_TAG // "") as $tag | $tag == "" or ((.tags // []) | index([$tag]) != null))))' \
      "$WORK/snapshots" >"$WORK/own"
    # The latest may be of a source that was half restored, or new and nearly empty,
    # at the time. Nobody would ask for that one.
    attempt 65 'reading the list of snapshots' jq -r '
      (.[-8:] | map({name: "\(.id[:8]) of \(.time)", bytes: .summary.total_bytes_processed})) as $own
      | ($own | max_by(.bytes)) as $largest
      | $own[-1]
      | if .bytes != null and .bytes * 2 < $largest.bytes then
          "the latest copy, \(.name), has \(.bytes) bytes, less than half of \($largest.name), which has \($largest.bytes): name the one to restore by its id"
        else empty end' "$WORK/own" >"$WORK/shrunk"
    IFS= read -r shrunk <"$WORK/shrunk" || :
    [ -z "$shrunk" ] || die 65 "$shrunk"
    attempt 65 'reading the list of snapshots' jq '.[-1:]' "$WORK/own" >"$WORK/chosen"
  else
    attempt 65 'reading the list of snapshots' jq '
      map(select(.id | startswith(env.HOLDFAST_SNAPSHOT)))' "$WORK/snapshots" >"$WORK/chosen"
  fi
  attempt 65 'counting the snapshots' jq -r length "$WORK/chosen" >"$WORK/count"
  read -r found <"$WORK/count"
  [ "$found" -eq 1 ] ||
    die 65 "$found snapshots match \"$HOLDFAST_SNAPSHOT\" with path $HOLDFAST_SNAPSHOT_PATH and host $HOLDFAST_SNAPSHOT_HOST; exactly one must"
  attempt 65 'reading the snapshot' jq '.[0]' "$WORK/chosen" >"$WORK/snapshot"
  attempt 65 'reading the snapshot' jq -r '
    [ (if .paths == [env.HOLDFAST_SNAPSHOT_PATH] then empty else "its paths are \(.paths)" end),
      (if .hostname == env.HOLDFAST_SNAPSHOT_HOST then empty else "its host is \(.hostname)" end),
      ((env.HOLDFAST_TAG // "") as $tag
       | if $tag == "" or ((.tags // []) | index([$tag]) != null) then empty else "its tags are \(.tags // [])" end)
    ] | join("; ")' "$WORK/snapshot" >"$WORK/differs"
  IFS= read -r differs <"$WORK/differs" || :
  [ -z "$differs" ] || die 65 "the snapshot is not this unit's: $differs"
  # Before anything is fetched: the pod would be evicted in the middle.
  attempt 65 'reading the snapshot' jq -r '.summary.total_bytes_processed // 0' "$WORK/snapshot" >"$WORK/size"
  read -r stored <"$WORK/size"
  [ "$HOLDFAST_FILE_BYTES" -eq 0 ] || [ "$stored" -le "$HOLDFAST_FILE_BYTES" ] ||
    die 73 "the copy has $stored bytes, and the scratch space takes $HOLDFAST_FILE_BYTES: raise scratch for this unit, render the restore again"
  cp -- "$WORK/snapshot" "$CHOSEN" || die 73 'scratch cannot be written'
  attempt 65 'reading the snapshot' jq -r '"snapshot \(.short_id // .id) of \(.time)"' "$CHOSEN" >"$WORK/text"
  say "chosen: $(cat "$WORK/text")"
}

fetch() {
  need RESTIC_REPOSITORY RESTIC_PASSWORD HOLDFAST_SNAPSHOT_PATH
  chosen_id
  mkdir -p -- "$(dirname -- "$INPUT")" || die 73 'scratch cannot be written'
  rm -f -- "$INPUT"
  restic_said 69 'fetching the dump' restic --no-lock dump -- "$id" "$HOLDFAST_SNAPSHOT_PATH" >"$INPUT.part"
  mv -- "$INPUT.part" "$INPUT" || die 73 'scratch cannot be written'
}

verify() {
  chosen_id
  [ -f "$INPUT" ] || die 64 "$INPUT is absent: fetch did not run"
  size=$(file_size "$INPUT")
  attempt 65 'reading the snapshot' jq -r '.summary.total_bytes_processed // "unknown"' "$CHOSEN" >"$WORK/size"
  read -r stored <"$WORK/size"
  if [ "$stored" = unknown ]; then
    say 'the snapshot does not tell its size: an old restic made it'
  else
    [ "$size" = "$stored" ] || die 65 "$size bytes were fetched, the snapshot has $stored"
  fi
  [ "$size" -gt 0 ] || die 65 'the dump is empty'
  read_trailer "$INPUT"
  has_marker "$INPUT" || die 65 "the dump lacks its marker, \"$HOLDFAST_MARKER\""
  [ "$COPY_BYTES" -ge "$HOLDFAST_MIN_BYTES" ] || [ -n "$HOLDFAST_ALLOW_EMPTY" ] ||
    die 65 "the dump has $COPY_BYTES bytes, fewer than $HOLDFAST_MIN_BYTES"
  # What restores is given the copy alone, as the source's own tools made it.
  dd if=/dev/null of="$INPUT" bs=1 seek="$COPY_BYTES" 2>"$WORK/stderr" || failed 73 'cutting the trailer off' "$?"
  cp -- "$WORK/copy.losses" "$INPUT.losses" || die 73 'scratch cannot be written'
  if [ -s "$INPUT.losses" ]; then
    say 'what was accepted as a loss on the night of this copy, and will not come back as it was:'
    listed "$INPUT.losses" 1000
  fi
  say "$COPY_COUNT counted, $COPY_BYTES bytes verified"
}

chosen_id() {
  [ -f "$CHOSEN" ] || die 64 'validate did not run'
  attempt 65 'reading the snapshot' jq -r .id "$CHOSEN" >"$WORK/id"
  read -r id <"$WORK/id"
}

case ${1:-} in
  validate | fetch | verify) "$1" ;;
  *) die 64 'usage: fetch.sh validate|fetch|verify' ;;
esac
