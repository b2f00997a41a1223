#!/bin/sh
# preflight.sh tools|cluster|unit|report: tries what backups and restores of a
# namespace need, before the first of them runs. Each trial is a container in the
# image and under the user of the real one; it writes its findings and always
# ends well, so that the next one has its turn. report, the last one, prints
# them all, and fails if one of them is a failure.
#
#   HOLDFAST_TRIAL   the container's name, of which $HOLDFAST_ROOT/preflight/trials
#                    has a line: name, need, contract, contract of an image that is
#                    reached by exec, units; with tabs between them, "-" for none
#   HOLDFAST_IMAGE   the image that it runs in
#
# Folders, below HOLDFAST_ROOT (/holdfast):
#   preflight   this script, trials, endpoints, and the images' contracts
#   findings    a file for each trial
#   tools       kubectl, which the trial "tools" copies
#
# A tool that is missing is a finding, so this calls nothing but the shell's own.
# shellcheck disable=SC2153,SC2154 # checks.sh has them
set -u
umask 022
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
OWN=$HOLDFAST_ROOT/preflight
. "$HOLDFAST_ROOT/preflight/checks.sh"
IMAGE=${HOLDFAST_IMAGE:-the image}

# line NAME: the trial's line of the list, in NEED, CONTRACT, INSIDE.
line() {
  while IFS=$tab read -r line_name NEED CONTRACT INSIDE line_units; do
    : "$line_units"
    [ "$line_name" != "$1" ] || return 0
  done <"$OWN/trials"
  printf 'holdfast: no trial has the name %s\n' "$1" >&2
  exit 64
}

# version_of NAME PATH: what it prints about its version, in SAID.
version_of() {
  case $1 in
    kubectl) SAID=$("$2" version --client 2>&1 </dev/null) ;;
    restic | rclone | nodetool) SAID=$("$2" version 2>&1 </dev/null) ;;
    ldap* | slap*) SAID=$("$2" -VV 2>&1 </dev/null) ;;
    *) SAID=$("$2" --version 2>&1 </dev/null) ;;
  esac
}

# contract: every tool of the image is there, and new enough. Fails if not.
contract() {
  contract_bad=
  contract_count=0
  while IFS=' ' read -r contract_name contract_path contract_min; do
    [ -n "$contract_name" ] || continue
    contract_count=$((contract_count + 1))
    if ! tool "$contract_name"; then
      contract_bad=yes
      finding FAIL tools "$contract_name is missing in $IMAGE" \
        "take an image that has it ($contract_path in the one that is known), or the built-in one"
      continue
    fi
    [ "$contract_min" != - ] || continue
    version_of "$contract_name" "$FOUND"
    contract_status=$?
    version_in "$SAID"
    if [ -z "$VERSION" ]; then
      contract_bad=yes
      finding FAIL tools "$contract_name of $IMAGE does not run: ${SAID:-exit code $contract_status}" 'take an image whose program runs there'
    elif older "$VERSION" "$contract_min"; then
      contract_bad=yes
      finding FAIL tools "$contract_name of $IMAGE is $VERSION, older than $contract_min" 'take a newer image'
    fi
  done <"$OWN/$CONTRACT"
  [ -z "$contract_bad" ] || return 1
  finding ok tools "$contract_count in $IMAGE"
}

# copied: kubectl was copied, and runs in this image.
copied() {
  if [ ! -f "$HOLDFAST_ROOT/tools/kubectl" ]; then
    finding FAIL kubectl "the copy of kubectl is missing" 'see the trial "tools"'
    return 1
  fi
  version_of kubectl "$HOLDFAST_ROOT/tools/kubectl"
  copied_status=$?
  if [ "$copied_status" -ne 0 ]; then
    finding FAIL kubectl "the copy of kubectl does not run in $IMAGE (exit code $copied_status): $SAID" \
      'take an image for platform/tools whose kubectl is statically linked'
    return 1
  fi
}

copy_kubectl() {
  tool kubectl || return 1
  if ! copy_said=$(cp "$FOUND" "$HOLDFAST_ROOT/tools/kubectl" 2>&1); then
    finding FAIL kubectl "it could not be copied: $copy_said" 'see the size of the volume "tools"'
    return 1
  fi
}

# begin NAME: the file that its findings go to.
begin() {
  line "$1"
  HOLDFAST_NEED=$NEED
  HOLDFAST_FINDINGS=$HOLDFAST_ROOT/findings/$1
  HOLDFAST_UNIT=${HOLDFAST_UNIT:-$1}
  HOLDFAST_INSIDE=$OWN/$INSIDE
  # Of several users each needs a folder of its own.
  HOLDFAST_SCRATCH=${HOLDFAST_SCRATCH:-$HOLDFAST_ROOT/scratch}/$1
  HOME=$HOLDFAST_SCRATCH
  TMPDIR=$HOLDFAST_SCRATCH
  RESTIC_CACHE_DIR=$HOLDFAST_SCRATCH/cache
  RCLONE_CACHE_DIR=$HOLDFAST_SCRATCH/cache
  RCLONE_CONFIG=$HOLDFAST_SCRATCH/rclone.conf
  # A trial is short: whoever does not answer is named, and the next one tried.
  HOLDFAST_DEADLINE=30
  PGCONNECT_TIMEOUT=10
  export HOLDFAST_NEED HOLDFAST_FINDINGS HOLDFAST_UNIT HOLDFAST_INSIDE HOLDFAST_SCRATCH HOME TMPDIR \
    RESTIC_CACHE_DIR RCLONE_CACHE_DIR RCLONE_CONFIG HOLDFAST_DEADLINE PGCONNECT_TIMEOUT
  : >"$HOLDFAST_FINDINGS" || exit 73
}

# try SCRIPT: it writes findings of its own; what it does not catch is one more.
try() {
  # Not before: the contract is the image's own.
  PATH=$PATH:$HOLDFAST_ROOT/tools
  if ! try_said=$(mkdir -p "$HOLDFAST_SCRATCH" 2>&1); then
    finding FAIL scratch "$try_said"
    return
  fi
  if ! try_said=$("$1" 2>&1 </dev/null >/dev/null); then
    # A script says what it likes, before it masks, too. awk was found by contract.
    try_said=$(. "$OWN/common.sh" && printf '%s\n' "$try_said" | without_secrets) || try_said='it may hold a secret, and is not shown'
    meaning "$try_said"
    finding FAIL preflight "$MEANING${MEANING:+: }${try_said:-it ended without a word}" "$NEXT"
  fi
  rm -rf "$HOLDFAST_SCRATCH"
}

# pad TEXT WIDTH: it, and blanks up to the width.
pad() {
  pad_text=$1
  while [ "${#pad_text}" -lt "$2" ]; do
    pad_text="$pad_text "
  done
  printf '%s  ' "$pad_text"
}

report() {
  units=4 checks=5
  good=0 warnings=0 failures=0
  for pass in measure ok warn FAIL; do
    if [ "$pass" = ok ]; then
      pad RESULT 6
      pad UNIT "$units"
      pad CHECK "$checks"
      echo WHAT
    fi
    while IFS=$tab read -r trial need contract inside names; do
      : "$contract $inside $names"
      file=$HOLDFAST_ROOT/findings/$trial
      if [ ! -s "$file" ]; then
        result=FAIL
        [ "$need" != optional ] || result=warn
        report_line "$result" "$trial" preflight 'the container left no finding' \
          "see what became of it: kubectl describe pod; its name is $trial"
        continue
      fi
      while IFS=$tab read -r result unit name what next; do
        report_line "$result" "$unit" "$name" "$what" "$next"
      done <"$file"
    done <"$OWN/trials"
  done
  echo
  echo "$failures failed, $warnings warnings, $good fine"
  [ "$failures" -eq 0 ] || {
    echo "Backups are not started before this is green: put right what failed, then delete this Job, and it is made again."
    echo "Restores do not wait for it: they can be applied by hand at any time."
    exit 65
  }
}

# report_line RESULT UNIT CHECK WHAT NEXT: in its pass; the first one measures.
report_line() {
  if [ "$pass" = measure ]; then
    [ "${#2}" -le "$units" ] || units=${#2}
    [ "${#3}" -le "$checks" ] || checks=${#3}
    return
  fi
  [ "$pass" = "$1" ] || return 0
  pad "$1" 6
  pad "$2" "$units"
  pad "$3" "$checks"
  echo "$4"
  case $1 in
    ok) good=$((good + 1)) ;;
    warn) warnings=$((warnings + 1)) ;;
    *) failures=$((failures + 1)) ;;
  esac
  if [ "$1" != ok ] && [ "$5" != - ]; then
    pad '' 6
    pad '' "$units"
    pad '' "$checks"
    echo "-> $5"
  fi
}

case ${1:-} in
  tools)
    begin "$HOLDFAST_TRIAL"
    contract && copy_kubectl && copied && finding ok kubectl "copied from $IMAGE"
    ;;
  cluster)
    begin "$HOLDFAST_TRIAL"
    contract && try "$HOLDFAST_ROOT/preflight/cluster.sh"
    ;;
  unit)
    begin "$HOLDFAST_TRIAL"
    contract && copied && try "$HOLDFAST_ROOT/bin/preflight.sh"
    ;;
  report) report ;;
  *)
    echo 'holdfast: usage: preflight.sh tools|cluster|unit|report' >&2
    exit 64
    ;;
esac
exit 0
