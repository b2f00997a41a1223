#!/bin/sh
# Loads an LDIF into the primary's database, with slapadd, inside its pod. That
# keeps every entryUUID; ldapadd would make new ones. slapd must not run
# meanwhile: if it does, this changes nothing and says how to stop it.
#
#   HOLDFAST_INPUT      the dump
#   HOLDFAST_NAMESPACE LDAP_POD LDAP_CONTAINER LDAP_BASE_DN
#   LDAP_PRIMARIES      how many primaries there are; 1 by default
#   LDAP_DATABASE_DIR   the folder of data.mdb in the pod
#   LDAP_CONFIG         slapd's configuration in the pod, file or folder; "" = its default
#   HOLDFAST_OVERWRITE  "yes": move a database that is there aside, then load
# shellcheck disable=SC2016 # expanded in the pod, or by awk
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"

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

# What ldapsearch reports but slapd makes up itself cannot be loaded.
attempt 65 'reading the dump' awk '!/^(entryDN|hasSubordinates|numSubordinates|subschemaSubentry)::? /' "$INPUT" >"$WORK/ldif"
size=$(file_size "$WORK/ldif")

# The pod says how slapd is started there, and which claim holds the database.
# (No jq: an image with LDAP's clients has none.)
attempt 70 'reading the pod' kubectl get pod "$LDAP_POD" --namespace="$HOLDFAST_NAMESPACE" --output='jsonpath={range .spec.containers[*]}{"container\t"}{.name}{"\t"}{.command}{"\t"}{.args}{"\n"}{range .volumeMounts[*]}{"mount\t"}{.mountPath}{"\t"}{.name}{"\n"}{end}{end}{range .spec.volumes[*]}{"claim\t"}{.name}{"\t"}{.persistentVolumeClaim.claimName}{"\n"}{end}' >"$WORK/pod"
attempt 70 'reading the pod' awk -F '\t' '
  $1 == "container" { mine = $2 == ENVIRON["LDAP_CONTAINER"] }
  $1 == "container" && mine { command = $3; args = $4 }
  $1 == "mount" && mine && index(ENVIRON["LDAP_DATABASE_DIR"] "/", $2 "/") == 1 && length($2) > length(place) { place = $2; volume = $3 }
  $1 == "claim" { claim[$2] = $3 }
  END {
    idle = "[\"sleep\",\"infinity\"]"
    # The start script of an image must run, for some write the configuration:
    # only what it starts is held back. Where the pod has a command of its own,
    # or the script starts slapd whatever it is told, there is no such way.
    print (command == "" && args != idle || command == idle) ? "args" : "command"
    print claim[volume]
  }' "$WORK/pod" >"$WORK/ways"
hold=$(sed -n 1p "$WORK/ways")
claim=$(sed -n 2p "$WORK/ways")

set_of=${LDAP_POD%-*}
# how_to_hold: the commands that start the pod without slapd. From 0, for a pod
# that is not ready is not replaced.
how_to_hold() {
  case $hold in
    args) held='"command":null,"args":["sleep","infinity"]' ;;
    *) held='"command":["sleep","infinity"],"args":null' ;;
  esac
  say "  kubectl -n $HOLDFAST_NAMESPACE scale statefulset $set_of --replicas=0"
  say "  kubectl -n $HOLDFAST_NAMESPACE patch statefulset $set_of -p '{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"$LDAP_CONTAINER\",$held,\"livenessProbe\":null,\"readinessProbe\":null,\"startupProbe\":null}]}}}}'"
  say "  kubectl -n $HOLDFAST_NAMESPACE scale statefulset $set_of --replicas=1"
}

# check: ends with 75 while slapd runs, and with 76 while the start script does,
# which may load content of its own. A process without a parent comes by exec.
check='
set -eu
for status in /proc/[0-9]*/status; do
  name= state= parent=
  while read -r key value more; do
    case $key in
      Name:) name=$value ;;
      State:) state=$value ;;
      PPid:) parent=$value; break ;;
    esac
  done 2>/dev/null <"$status" || :
  [ "$state" != Z ] || continue
  case $name in
    slapd) exit 75 ;;
    sleep) ;;
    *) [ "$parent" != 1 ] || busy=$name ;;
  esac
done
[ -z "${busy:-}" ] || { echo "$busy"; exit 76; }
'
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

# $1 database folder, $2 base DN, $3 configuration, $4 size, $5 overwrite.
program=$check'
umask 077
database=$1 base=$2 config=$3 size=$4 overwrite=$5
PATH=$PATH:/usr/sbin:/usr/local/sbin:/opt/bitnami/openldap/sbin
set -- -b "$base"
if [ -d "$config" ]; then set -- "$@" -F "$config"
elif [ -n "$config" ]; then set -- "$@" -f "$config"
fi
slapadd -u -q "$@" -l /dev/null >&2 || exit 78
[ -d "$database" ] || { echo "there is no folder $database" >&2; exit 64; }
cd "$database"
if [ -e data.mdb ] && [ "$overwrite" != yes ]; then
  echo "$database holds a database" >&2
  exit 65
fi
ldif=$database/holdfast-restore.ldif
trap "rm -f \"\$ldif\"" EXIT
cat >"$ldif"
[ "$(wc -c <"$ldif")" -eq "$size" ] || { echo "the LDIF did not arrive whole" >&2; exit 1; }
slapadd -u -q "$@" -l "$ldif" >&2
aside=
if [ -e data.mdb ]; then
  aside=before-holdfast-$(date -u +%Y%m%dT%H%M%SZ)
  while [ -e "$aside" ]; do aside=$aside-; done
  mkdir "$aside"
  mv data.mdb "$aside/"
  [ ! -e lock.mdb ] || mv lock.mdb "$aside/"
fi
slapadd -q "$@" -l "$ldif" >&2 || {
  status=$?
  rm -f data.mdb lock.mdb
  if [ -n "$aside" ]; then
    mv "$aside"/*.mdb .
    rmdir "$aside"
    echo "the former database is back in its place" >&2
  fi
  exit "$status"
}
[ -z "$aside" ] || echo "the former database is in $database/$aside" >&2
slapcat "$@" -o ldif-wrap=no >"$ldif"
grep -Ec "^dn::? " "$ldif"
'
if [ "$STATUS" -eq 0 ]; then
  in_pod "$program" holdfast "$LDAP_DATABASE_DIR" "$LDAP_BASE_DN" "${LDAP_CONFIG:-}" "$size" "${HOLDFAST_OVERWRITE:-no}" <"$WORK/ldif" >"$WORK/loaded"
fi
case $STATUS in
  0)
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
read -r loaded <"$WORK/loaded"
[ "$loaded" -ge "$count" ] || die 65 "the database has $loaded entries, the dump $count"
say "restored: $loaded entries. What is left to do:"
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
