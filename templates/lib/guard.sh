#!/bin/sh
# guard.sh COMMAND [ARG…]: run the command while holding a lock.
#
# The lock is a ConfigMap whose data is {holder, until}: until is in epoch
# seconds, no data means free. Every write is a JSON patch that first tests what
# is there, so that of several that try at once exactly one wins. kubectl says
# neither by its exit code nor by its message whether the test failed, so after
# a failed patch the lock is read again.
#
#   HOLDFAST_NAMESPACE      where the locks and pods are
#   HOLDFAST_LOCK           the lock to hold
#   HOLDFAST_INSTANCE_LOCK  a lock that must be free as well; "" = none
#   HOLDFAST_HOLDER         who we are: the pod's name and uid
#   HOLDFAST_LOCK_TTL       seconds that the lock outlives a holder that died
#   HOLDFAST_WAIT_FOR_DUMPS "yes": wait until no dump pod of the unit is left
#   HOLDFAST_NAME           the unit's name in the cluster, for that
#
# Exit code: the command's own; 75 when somebody else holds a lock; 70 when the
# lock was lost under way or the API server refuses us; 69 when dumps do not end.
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"

[ $# -gt 0 ] || die 64 'usage: guard.sh COMMAND [ARG...]'
need HOLDFAST_NAMESPACE HOLDFAST_LOCK HOLDFAST_HOLDER HOLDFAST_LOCK_TTL
number HOLDFAST_LOCK_TTL "$HOLDFAST_LOCK_TTL"
[ "$HOLDFAST_LOCK_TTL" -ge 3 ] || die 64 'HOLDFAST_LOCK_TTL is less than 3 s'
case $HOLDFAST_HOLDER in
  *[!A-Za-z0-9._:/-]*) die 64 'HOLDFAST_HOLDER has a character that is not allowed' ;;
esac
INSTANCE_LOCK=${HOLDFAST_INSTANCE_LOCK:-}

# api ARG…: kubectl, within ten seconds. Not --request-timeout: in a pod that
# flag makes kubectl forget the cluster it runs in.
api() {
  timeout 10 kubectl --namespace="$HOLDFAST_NAMESPACE" "$@" 2>"$WORK/stderr"
}

# read_lock NAME: sets DATA (JSON to test against), HOLDER and UNTIL. Fails when
# the API does not answer; an absent ConfigMap reads as free.
read_lock() {
  api get configmap --ignore-not-found \
    --output='jsonpath={.data.until}{"\n"}{.data}{"\n"}{.data.holder}' "$1" >"$WORK/lock" || return 1
  UNTIL=$(sed -n 1p "$WORK/lock")
  DATA=$(sed -n 2p "$WORK/lock")
  HOLDER=$(sed 1,2d "$WORK/lock")
  case $DATA in
    '' | '{}' | 'map[]') DATA=null ;;
  esac
}

patch_lock() {
  api patch configmap "$HOLDFAST_LOCK" --field-manager=holdfast --type=json --patch="$1" >/dev/null
}

# acquire: take a free or expired lock, or die.
acquire() {
  read_lock "$HOLDFAST_LOCK" || failed 70 'reading the lock' $?
  if live "$HOLDER" "$UNTIL"; then
    die 75 "skipped: $HOLDFAST_LOCK is held by $HOLDER until $UNTIL"
  fi
  acquire_data=$DATA
  acquire_until=$(($(date +%s) + HOLDFAST_LOCK_TTL))
  acquire_new="{\"holder\":\"$HOLDFAST_HOLDER\",\"until\":\"$acquire_until\"}"
  acquire_status=0
  patch_lock "[{\"op\":\"test\",\"path\":\"/data\",\"value\":$acquire_data},{\"op\":\"add\",\"path\":\"/data\",\"value\":$acquire_new}]" ||
    acquire_status=$?
  if [ "$acquire_status" -ne 0 ]; then
    mv -- "$WORK/stderr" "$WORK/patch.stderr"
    read_lock "$HOLDFAST_LOCK" || failed 70 'reading the lock again' $?
    if [ "$HOLDER" = "$HOLDFAST_HOLDER" ] && [ "$UNTIL" = "$acquire_until" ]; then
      : # ours: only the answer was lost
    elif [ "$DATA" != "$acquire_data" ]; then
      die 75 "skipped: $HOLDFAST_LOCK was taken by ${HOLDER:-somebody} meanwhile"
    else
      mv -- "$WORK/patch.stderr" "$WORK/stderr"
      failed 70 'taking the lock' "$acquire_status"
    fi
  fi
  held_until=$acquire_until
  HELD=yes
}

# release: only if it is still ours. A failure is no reason to fail the command:
# the lock expires by itself.
# shellcheck disable=SC2317 # called at the end, by tidy
release() {
  [ -n "$HELD" ] || return 0
  HELD=
  patch_lock "[{\"op\":\"test\",\"path\":\"/data/holder\",\"value\":\"$HOLDFAST_HOLDER\"},{\"op\":\"remove\",\"path\":\"/data\"}]" ||
    say "$HOLDFAST_LOCK could not be released; it expires within $HOLDFAST_LOCK_TTL s"
}

# doze SECONDS: a sleep that ends with the shell.
doze() {
  sleep "$1" >/dev/null 2>&1 &
  dozing=$!
  wait "$dozing" || :
}

# renew: a loop beside the command. When the lock is lost it stops the guard.
renew() {
  dozing=
  trap - EXIT
  trap 'kill "$dozing" 2>/dev/null; exit 0' TERM
  trap '' INT HUP
  # Its own place for messages: the guard and the command have theirs.
  WORK=$WORK/renew
  mkdir -- "$WORK"
  pause=$((HOLDFAST_LOCK_TTL / 3))
  while :; do
    doze "$pause"
    pause=$((HOLDFAST_LOCK_TTL / 3))
    renew_until=$(($(date +%s) + HOLDFAST_LOCK_TTL))
    if patch_lock "[{\"op\":\"test\",\"path\":\"/data/holder\",\"value\":\"$HOLDFAST_HOLDER\"},{\"op\":\"replace\",\"path\":\"/data/until\",\"value\":\"$renew_until\"}]"; then
      held_until=$renew_until
      continue
    fi
    if read_lock "$HOLDFAST_LOCK"; then
      [ "$HOLDER" != "$HOLDFAST_HOLDER" ] || continue
      say "the lock $HOLDFAST_LOCK was lost to ${HOLDER:-nobody}"
      break
    fi
    if [ "$(date +%s)" -ge "$((held_until - pause))" ]; then
      say "the lock $HOLDFAST_LOCK could not be renewed in time"
      break
    fi
    pause=1
  done
  kill -USR1 "$$"
}

# shellcheck disable=SC2317 # called at the end, by tidy
finish() {
  if [ -n "$RENEWER" ]; then
    kill -TERM "$RENEWER" 2>/dev/null || :
    wait "$RENEWER" 2>/dev/null || :
  fi
  release
}

# wait_for_dumps: a lock is no reason for a dump that already runs to stop.
wait_for_dumps() {
  need HOLDFAST_NAME
  case $HOLDFAST_NAME in
    *[!a-zA-Z0-9._-]*) die 64 'HOLDFAST_NAME has a character that is not allowed' ;;
  esac
  wait_end=$(($(date +%s) + HOLDFAST_DEADLINE))
  while :; do
    api get pods --selector="k8up.io/preBackupPod=$HOLDFAST_NAME" --output=name >"$WORK/pods" ||
      failed 70 'listing the dump pods' $?
    [ -s "$WORK/pods" ] || return 0
    [ "$(date +%s)" -lt "$wait_end" ] || die 69 "dump pods are still there: $(tr '\n' ' ' <"$WORK/pods")"
    doze 5
  done
}

HELD='' RENEWER='' held_until=0
trap 'HELD=; exit 70' USR1

acquire
if [ -n "$INSTANCE_LOCK" ] && [ "$INSTANCE_LOCK" != "$HOLDFAST_LOCK" ]; then
  # After taking our own: whoever takes the instance's lock looks at ours next.
  read_lock "$INSTANCE_LOCK" || failed 70 'reading the instance lock' $?
  if live "$HOLDER" "$UNTIL"; then
    die 75 "skipped: $INSTANCE_LOCK is held by $HOLDER until $UNTIL"
  fi
fi
renew &
RENEWER=$!
if [ "${HOLDFAST_WAIT_FOR_DUMPS:-no}" = yes ]; then
  wait_for_dumps
fi
# In a process group of its own, so that a signal reaches whatever the command
# runs at that moment: a shell passes none on.
status=0
if command -v setsid >/dev/null; then
  run_child setsid "$@" || status=$?
else
  run_child "$@" || status=$?
fi
exit "$status"
