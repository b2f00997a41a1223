#!/bin/sh
# guard.sh COMMAND [ARG…]: run the command while holding a lock.
#
# The lock is a ConfigMap whose data is {holder, until}: until is in epoch
# seconds, no data means free. Every write is a JSON patch that first tests what
# is there, so that of several that try at once exactly one wins. kubectl says
# neither by its exit code nor by its message whether the test failed, so after
# a failed patch the lock is read again.
#
# Clocks differ and are set. How old our own lock is, the machine's uptime tells.
# Somebody else's that has expired by our clock is watched for a whole lifetime:
# whoever lives renews it meanwhile, or has stopped by himself.
#
#   HOLDFAST_NAMESPACE      where the locks and pods are
#   HOLDFAST_LOCK           the lock to hold
#   HOLDFAST_INSTANCE_LOCK  a lock that must be free as well; "" = none
#   HOLDFAST_HOLDER         who we are: the pod's name and uid
#   HOLDFAST_LOCK_TTL       seconds that the lock outlives a holder that died
#   HOLDFAST_WAIT_FOR_DUMPS seconds to wait until no dump pod of the unit is left; 0 = none
#   HOLDFAST_NAME           the unit's name in the cluster, for that
#
# Exit code: the command's own; 75 when somebody else holds a lock; 70 when the
# lock was lost under way or the API server refuses us; 69 when dumps do not end.
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/lock.sh"
begin

require_tools kubectl mv setsid sleep
[ $# -gt 0 ] || die 64 'usage: guard.sh COMMAND [ARG...]'
need HOLDFAST_NAMESPACE HOLDFAST_LOCK HOLDFAST_HOLDER HOLDFAST_LOCK_TTL
number HOLDFAST_LOCK_TTL "$HOLDFAST_LOCK_TTL"
[ "$HOLDFAST_LOCK_TTL" -ge 10 ] || die 64 'HOLDFAST_LOCK_TTL is less than 10 s'
case $HOLDFAST_HOLDER in
  *[!A-Za-z0-9._:/-]*) die 64 'HOLDFAST_HOLDER has a character that is not allowed' ;;
esac
INSTANCE_LOCK=${HOLDFAST_INSTANCE_LOCK:-}
WAIT_FOR_DUMPS=${HOLDFAST_WAIT_FOR_DUMPS:-0}
number HOLDFAST_WAIT_FOR_DUMPS "$WAIT_FOR_DUMPS"

# What one request to the API server may take.
LIMIT=$((HOLDFAST_LOCK_TTL / 10))
[ "$LIMIT" -le 10 ] || LIMIT=10

# api ARG…: kubectl, within the limit. Not --request-timeout: in a pod that flag
# makes kubectl forget the cluster it runs in.
api() {
  timeout "$LIMIT" kubectl --namespace="$HOLDFAST_NAMESPACE" "$@" 2>"$API_STDERR"
}

# refused WHAT STATUS: die for a request that failed.
# shellcheck disable=SC2034 # common.sh reads it
refused() {
  bounded_since='' bounded_tool=kubectl
  case $2 in
    124 | 143) HOLDFAST_DEADLINE=$LIMIT bounded_since=0 ;;
  esac
  failed 70 "$@"
}

# read_lock NAME: sets VERSION, DATA (JSON to test against), HOLDER and UNTIL.
# Fails when the API does not answer; an absent ConfigMap reads as free.
read_lock() {
  lock_text=$(api get configmap --ignore-not-found \
    --output='jsonpath={.metadata.resourceVersion}{"\n"}{.data.until}{"\n"}{.data}{"\n"}{.data.holder}' "$1") || return
  VERSION=$(printf '%s\n' "$lock_text" | sed -n 1p)
  UNTIL=$(printf '%s\n' "$lock_text" | sed -n 2p)
  DATA=$(printf '%s\n' "$lock_text" | sed -n 3p)
  HOLDER=$(printf '%s\n' "$lock_text" | sed 1,3d)
  case $DATA in
    '' | '{}' | 'map[]') DATA=null ;;
  esac
}

# uptime_seconds, on stdout: a clock that nobody sets.
uptime_seconds() {
  read -r uptime_now uptime_rest </proc/uptime
  : "$uptime_rest"
  echo "${uptime_now%%.*}"
}

# now, on stdout: epoch seconds. When the clock is set back they go on, for an
# end in the past would invite others.
now() {
  now_clock=$(date +%s)
  now_run=$((EPOCH_AT_START + $(uptime_seconds) - UPTIME_AT_START))
  if [ "$now_clock" -ge "$now_run" ]; then echo "$now_clock"; else echo "$now_run"; fi
}

patch_lock() {
  api patch configmap "$HOLDFAST_LOCK" --field-manager=holdfast --type=json --patch="$1" >/dev/null
}

# acquire: take a free or expired lock, or die.
acquire() {
  read_lock "$HOLDFAST_LOCK" || refused 'reading the lock' $?
  if live "$HOLDER" "$UNTIL"; then
    die 75 "skipped: $HOLDFAST_LOCK is held by $HOLDER until $UNTIL"
  fi
  if [ -n "$HOLDER" ] && [ "$HOLDER" != "$HOLDFAST_HOLDER" ]; then
    say "$HOLDFAST_LOCK of $HOLDER has expired; watching it for $HOLDFAST_LOCK_TTL s"
    watched=$DATA
    interruptible_sleep "$HOLDFAST_LOCK_TTL"
    read_lock "$HOLDFAST_LOCK" || refused 'reading the lock' $?
    [ "$DATA" = "$watched" ] || [ -z "$HOLDER" ] ||
      die 75 "skipped: $HOLDFAST_LOCK is held by $HOLDER"
  fi
  acquire_version=$VERSION
  renewed_at=$(uptime_seconds)
  acquire_until=$(($(now) + HOLDFAST_LOCK_TTL))
  acquire_new="{\"holder\":\"$HOLDFAST_HOLDER\",\"until\":\"$acquire_until\"}"
  acquire_status=0
  # A signal may come before the answer does.
  HELD=perhaps
  patch_lock "[{\"op\":\"test\",\"path\":\"/data\",\"value\":$DATA},{\"op\":\"add\",\"path\":\"/data\",\"value\":$acquire_new}]" ||
    acquire_status=$?
  if [ "$acquire_status" -ne 0 ]; then
    mv -- "$WORK/stderr" "$WORK/patch.stderr"
    read_lock "$HOLDFAST_LOCK" || refused 'reading the lock again' $?
    if [ "$HOLDER" = "$HOLDFAST_HOLDER" ] && [ "$UNTIL" = "$acquire_until" ]; then
      : # ours: only the answer was lost
    elif [ "$VERSION" != "$acquire_version" ]; then
      # Not by its data: whoever was faster may have given it back already.
      HELD=
      die 75 "skipped: $HOLDFAST_LOCK was taken by ${HOLDER:-somebody} meanwhile"
    else
      mv -- "$WORK/patch.stderr" "$WORK/stderr"
      refused 'taking the lock' "$acquire_status"
    fi
  fi
  HELD=yes
}

# release: only if it is still ours. A failure is no reason to fail the command:
# the lock expires by itself.
# shellcheck disable=SC2317 # called at the end, by tidy
release() {
  [ -n "$HELD" ] || return 0
  release_known=$HELD
  HELD=
  patch_lock "[{\"op\":\"test\",\"path\":\"/data/holder\",\"value\":\"$HOLDFAST_HOLDER\"},{\"op\":\"remove\",\"path\":\"/data\"}]" ||
    [ "$release_known" = perhaps ] ||
    say "$HOLDFAST_LOCK could not be released; it expires within $HOLDFAST_LOCK_TTL s"
}

# interruptible_sleep SECONDS: a sleep that ends with the shell.
interruptible_sleep() {
  sleep "$1" >/dev/null 2>&1 &
  sleeper=$!
  wait "$sleeper" || :
}

# renew: a loop beside the command. When the lock is lost, or cannot be renewed
# early enough to end the command before it expires, it stops the guard.
#
# A shell forgets a signal that comes before it has its own traps. So a file says,
# too, whether there is anything to renew.
renew() {
  sleeper=
  trap 'kill -USR1 "$$"' EXIT
  trap 'trap - EXIT; kill "$sleeper" 2>/dev/null; exit 0' TERM
  trap '' INT HUP
  # The guard and the command have their own messages; scratch may be full.
  API_STDERR=/dev/null
  pause=$((HOLDFAST_LOCK_TTL / 3 - ($(uptime_seconds) - renewed_at)))
  while :; do
    [ ! -e "$WORK/renewing" ] || [ "$pause" -le 0 ] || interruptible_sleep "$pause"
    # Without a guard nobody would ever stop the renewing.
    if [ ! -e "$WORK/renewing" ] || ! kill -0 "$$" 2>/dev/null; then
      trap - EXIT
      exit 0
    fi
    pause=$((HOLDFAST_LOCK_TTL / 3))
    renew_at=$(uptime_seconds)
    renew_until=$(($(now) + HOLDFAST_LOCK_TTL))
    if patch_lock "[{\"op\":\"test\",\"path\":\"/data/holder\",\"value\":\"$HOLDFAST_HOLDER\"},{\"op\":\"replace\",\"path\":\"/data/until\",\"value\":\"$renew_until\"}]"; then
      renewed_at=$renew_at
      continue
    fi
    pause=1
    if read_lock "$HOLDFAST_LOCK" && [ "$HOLDER" != "$HOLDFAST_HOLDER" ]; then
      say "the lock $HOLDFAST_LOCK was lost to ${HOLDER:-nobody}"
      break
    fi
    # Twice the limit until the next look here, once for the command to end.
    if [ "$(($(uptime_seconds) - renewed_at))" -ge "$((HOLDFAST_LOCK_TTL - 4 * LIMIT))" ]; then
      say "the lock $HOLDFAST_LOCK could not be renewed in time"
      break
    fi
  done
  exit 70
}

# lost: the command must end before somebody else begins.
# shellcheck disable=SC2317 # called by trap
lost() {
  HELD=
  if [ -n "$CHILD" ]; then
    (
      trap - EXIT
      sleep "$LIMIT" >/dev/null 2>&1
      kill -KILL "-$CHILD" 2>/dev/null
    ) &
    KILLER=$!
  fi
  exit 70
}

# shellcheck disable=SC2317 # called at the end, by tidy
finish() {
  if [ -n "$RENEWER" ]; then
    rm -f -- "$WORK/renewing"
    kill -TERM "$RENEWER" 2>/dev/null || :
    wait "$RENEWER" 2>/dev/null || :
  fi
  [ -z "$KILLER" ] || kill "$KILLER" 2>/dev/null || :
  release
}

# wait_for_dumps: a lock is no reason for a dump that already runs to stop.
wait_for_dumps() {
  need HOLDFAST_NAME
  case $HOLDFAST_NAME in
    *[!a-zA-Z0-9._-]*) die 64 'HOLDFAST_NAME has a character that is not allowed' ;;
  esac
  wait_end=$(($(uptime_seconds) + WAIT_FOR_DUMPS))
  while :; do
    api get pods --selector="k8up.io/preBackupPod=$HOLDFAST_NAME" --output=name >"$WORK/pods" ||
      refused 'listing the dump pods' $?
    [ -s "$WORK/pods" ] || return 0
    [ "$(uptime_seconds)" -lt "$wait_end" ] || die 69 "dump pods are still there: $(tr '\n' ' ' <"$WORK/pods")"
    interruptible_sleep 5
  done
}

HELD='' RENEWER='' KILLER='' API_STDERR=$WORK/stderr
EPOCH_AT_START=$(date +%s) UPTIME_AT_START=$(uptime_seconds)
trap lost USR1

acquire
if [ -n "$INSTANCE_LOCK" ] && [ "$INSTANCE_LOCK" != "$HOLDFAST_LOCK" ]; then
  # After taking our own: whoever takes the instance's lock looks at ours next.
  read_lock "$INSTANCE_LOCK" || refused 'reading the instance lock' $?
  if live "$HOLDER" "$UNTIL"; then
    die 75 "skipped: $INSTANCE_LOCK is held by $HOLDER until $UNTIL"
  fi
fi
: >"$WORK/renewing" || die 73 'scratch cannot be written'
renew &
RENEWER=$!
if [ "$WAIT_FOR_DUMPS" -gt 0 ]; then
  wait_for_dumps
fi
# In a process group of its own, so that a signal reaches whatever the command
# runs at that moment: a shell passes none on.
status=0
run_child setsid "$@" || status=$?
exit "$status"
