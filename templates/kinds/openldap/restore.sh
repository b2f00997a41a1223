#!/bin/sh
# Loads an LDIF into the primary's database, with slapadd, inside its pod. That
# keeps every entryUUID; ldapadd would make new ones. slapd must not run
# meanwhile: if it does, this changes nothing and says how to stop it. What slapadd
# does not take is named, and the rest is loaded; then all is read back and compared.
#
#   HOLDFAST_INPUT      the dump
#   HOLDFAST_LEAVE_OUT  names of entries that are not to be tried
#   HOLDFAST_NAMESPACE LDAP_POD LDAP_CONTAINER LDAP_BASE_DN
#   LDAP_PRIMARIES      how many primaries there are; 1 by default
#   LDAP_DATABASE_DIR   the folder of data.mdb in the pod
#   LDAP_CONFIG         slapd's configuration in the pod, file or folder; "" = its default
#   HOLDFAST_OVERWRITE  "yes": move a database that is there aside, then load
# shellcheck disable=SC2016 # expanded in the pod, or by awk
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/missing.sh"
begin

require_tools kubectl sleep
need HOLDFAST_NAMESPACE LDAP_POD LDAP_CONTAINER LDAP_BASE_DN
LDAP_PRIMARIES=${LDAP_PRIMARIES:-1}
number LDAP_PRIMARIES "$LDAP_PRIMARIES"
INPUT=${HOLDFAST_INPUT:-$HOLDFAST_SCRATCH/input}
LDAP_DATABASE_DIR=${LDAP_DATABASE_DIR:-/var/lib/univention-ldap/ldap}
export LDAP_CONTAINER LDAP_DATABASE_DIR
[ -f "$INPUT" ] || die 64 "$INPUT is absent"

count=$(count_lines '^dn::? ' "$INPUT")
tail -n 1 <"$INPUT" | grep -qxF -e "# holdfast: complete, $count entries" || die 65 'the dump is cut: its last line is missing'

# names: each entry's name, in the copy's order. skip: entries not to be tried, with
# the reason after a tab.
attempt 65 'reading the dump' awk -f "$HOLDFAST_ROOT/bin/ldif.awk" -f "$HOLDFAST_ROOT/bin/names.awk" "$INPUT" >"$WORK/names"
: >"$WORK/skip"
if [ -n "${HOLDFAST_LEAVE_OUT:-}" ]; then
  while IFS= read -r dn; do
    ! left_out "$dn" || printf '%s\tleft out\n' "$dn" >>"$WORK/skip"
  done <"$WORK/names"
fi

# choose: the entries to load, in $WORK/ldif, and why each of the others is not, in
# $WORK/without. An entry is nothing without those above it. Of one that came twice,
# as one that was made anew while the tree was read, the later is taken. What
# ldapsearch of older dumps reports but slapd makes up itself cannot be loaded.
choose() {
  : >"$WORK/without"
  attempt 65 'reading the dump' awk -f "$HOLDFAST_ROOT/bin/ldif.awk" -f "$HOLDFAST_ROOT/bin/choose.awk" part=skip "$WORK/skip" part=names "$WORK/names" part=tree "$INPUT" >"$WORK/ldif"
  size=$(file_size "$WORK/ldif")
}
WITHOUT=$WORK/without
export WITHOUT
choose

# The pod says how slapd is started there, and which claim holds the database.
# (No jq: an image with LDAP's clients has none.)
attempt 70 'reading the pod' kubectl get pod "$LDAP_POD" --namespace="$HOLDFAST_NAMESPACE" --output='jsonpath={range .spec.containers[*]}{"container\t"}{.name}{"\t"}{.command}{"\t"}{.args}{"\n"}{range .volumeMounts[*]}{"mount\t"}{.mountPath}{"\t"}{.name}{"\n"}{end}{end}{range .spec.volumes[*]}{"claim\t"}{.name}{"\t"}{.persistentVolumeClaim.claimName}{"\n"}{end}' >"$WORK/pod"
attempt 70 'reading the pod' awk -F '\t' -f "$HOLDFAST_ROOT/bin/ways.awk" "$WORK/pod" >"$WORK/ways"
hold=$(sed -n 1p "$WORK/ways")
claim=$(sed -n 2p "$WORK/ways")

set_of=${LDAP_POD%-*}
# how_to_hold: the commands that start the pod without slapd. From 0, for a pod
# that is not ready is not replaced. In short lines without our name before them,
# so that they can be copied as they stand.
how_to_hold() {
  held_command=null held_args='[sleep, infinity]'
  if [ "$hold" != args ]; then
    held_command='[sleep, infinity]' held_args=null
  fi
  cat >&2 <<COMMANDS

kubectl -n $HOLDFAST_NAMESPACE scale statefulset $set_of --replicas=0
kubectl -n $HOLDFAST_NAMESPACE patch statefulset $set_of -p '
spec:
  template:
    spec:
      containers:
      - name: $LDAP_CONTAINER
        command: $held_command
        args: $held_args
        livenessProbe: null
        readinessProbe: null
        startupProbe: null'
kubectl -n $HOLDFAST_NAMESPACE scale statefulset $set_of --replicas=1

COMMANDS
}

check=$(cat -- "$HOLDFAST_ROOT/bin/in-pod-idle.sh")
# in_pod PROGRAM ARG…: within the deadline; sets STATUS.
in_pod() {
  STATUS=0
  bounded kubectl exec --stdin --namespace="$HOLDFAST_NAMESPACE" --container="$LDAP_CONTAINER" "$LDAP_POD" -- \
    sh -c "$@" 2>"$WORK/stderr" || STATUS=$?
}
since=$(date +%s)
said=
while :; do
  in_pod "$check" </dev/null >"$WORK/busy"
  [ "$STATUS" -eq 76 ] || break
  if [ "$HOLDFAST_DEADLINE" -gt 0 ] && [ $(($(date +%s) - since)) -ge "$HOLDFAST_DEADLINE" ]; then
    die 69 "the start script of $LDAP_POD did not end within $HOLDFAST_DEADLINE s"
  fi
  [ -n "$said" ] || say "the start script of $LDAP_POD still runs ($(cat -- "$WORK/busy")); waiting for it"
  said=yes
  sleep 2
done

program=$(cat -- "$HOLDFAST_ROOT/bin/in-pod-idle.sh" "$HOLDFAST_ROOT/bin/in-pod-load.sh")
# Once more without what slapadd refused. It says the lines of all at once.
while [ "$STATUS" -eq 0 ]; do
  [ "$size" -gt 0 ] || break
  in_pod "$program" holdfast "$LDAP_DATABASE_DIR" "$LDAP_BASE_DN" "${LDAP_CONFIG:-}" "$size" "${HOLDFAST_OVERWRITE:-no}" <"$WORK/ldif" >"$WORK/loaded"
  [ "$STATUS" -eq 77 ] || break
  attempt 65 'reading what slapadd said' awk -f "$HOLDFAST_ROOT/bin/ldif.awk" -f "$HOLDFAST_ROOT/bin/refused.awk" part=said "$WORK/loaded" part=tree "$WORK/ldif" >"$WORK/refused.now"
  [ -s "$WORK/refused.now" ] || failed 69 "the restore in $LDAP_POD" "$STATUS"
  cat -- "$WORK/refused.now" >>"$WORK/skip" || die 73 'scratch is full'
  choose
  STATUS=0
done
case $STATUS in
  0)
    if [ -s "$WORK/stderr" ]; then
      say "what was said in $LDAP_POD:"
      masked "$WORK/stderr" >&2
    fi
    aside=$(sed -n 's/^the former database is in //p' "$WORK/stderr")
    [ -z "$aside" ] || say "the former database is in $aside of $LDAP_POD"
    ;;
  64) failed 64 "the restore in $LDAP_POD (set LDAP_DATABASE_DIR)" "$STATUS" ;;
  65)
    say 'an image may load first content into an empty folder as it starts: that is a database, too'
    failed 65 "the restore in $LDAP_POD (set HOLDFAST_OVERWRITE=yes to move it aside)" "$STATUS"
    ;;
  75)
    say "slapd runs in $LDAP_POD; nothing was changed. Start the pod with slapd held back, then run this again:"
    how_to_hold
    die 69 'slapd must be stopped'
    ;;
  78)
    say "slapadd cannot use slapd's configuration in $LDAP_POD; nothing was changed. If its start script writes it, let that run"
    say 'and hold back what it starts, then run this again; if it stands elsewhere, set LDAP_CONFIG:'
    hold=args
    how_to_hold
    failed 69 "reading slapd's configuration in $LDAP_POD" "$STATUS"
    ;;
  *) failed 69 "the restore in $LDAP_POD" "$STATUS" ;;
esac

# What was not tried.
while IFS="$TAB" read -r dn why; do
  case $why in
    'left out') continue ;;
  esac
  accepted=
  for name in orphan schema hidden; do
    ! lost "$name" "$dn" || accepted=$name
  done
  if [ -n "$accepted" ]; then
    say "not restored, as was accepted ($accepted): $dn"
  else
    missing "$dn" "$why"
  fi
done <"$WORK/without"
loaded=0
if [ "$size" -gt 0 ]; then
  tail -n 1 <"$WORK/loaded" | grep -qxF -e '# holdfast: end' || die 65 'the database cannot be read back: the answer is cut'
  # Each entry of the one file with its like of the other. They come in one order but
  # for those that came before the entry above them.
  MISSING=$WORK/differs
  export MISSING
  : >"$MISSING"
  attempt 65 'comparing the database with the dump' awk -f "$HOLDFAST_ROOT/bin/ldif.awk" -f "$HOLDFAST_ROOT/bin/compare.awk" "$WORK/ldif" "$WORK/loaded" >"$WORK/count"
  read -r loaded <"$WORK/count"
  while IFS="$TAB" read -r dn why; do
    missing "$dn" "$why"
  done <"$MISSING"
else
  say 'there is nothing to load; nothing was changed'
  settle_missing
  exit 0
fi
say "restored: $loaded entries of $count. What is left to do:"
say "  kubectl -n $HOLDFAST_NAMESPACE scale statefulset $set_of --replicas=0"
if [ "$LDAP_PRIMARIES" -gt 1 ]; then
  say '  every other primary still has a later tree, and would bring it back here: delete its volume before it starts'
  n=1
  while [ "$n" -lt "$LDAP_PRIMARIES" ]; do
    case $claim in
      *"-$LDAP_POD") say "  kubectl -n $HOLDFAST_NAMESPACE delete pvc ${claim%"-$LDAP_POD"}-$set_of-$n" ;;
      *) say "  (the volume of $set_of-$n that holds $LDAP_DATABASE_DIR)" ;;
    esac
    n=$((n + 1))
  done
fi
say '  deploy the StatefulSet as it was, then the secondaries with empty volumes'
settle_missing
