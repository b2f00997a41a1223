#!/bin/sh
# Loads an LDIF into the primary's database, with slapadd, inside its pod. That
# keeps every entryUUID; ldapadd would make new ones. slapd must not run
# meanwhile: if it does, this changes nothing and says how to stop it.
#
#   HOLDFAST_INPUT      the dump
#   HOLDFAST_NAMESPACE LDAP_POD LDAP_CONTAINER LDAP_BASE_DN
#   LDAP_DATABASE_DIR   the folder of data.mdb in the pod
#   LDAP_CONFIG         slapd's configuration in the pod, file or folder; "" = its default
#   HOLDFAST_OVERWRITE  "yes": move a database that is there aside, then load
# shellcheck disable=SC2016 # expanded in the pod, or by awk
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"

require_tools kubectl
need HOLDFAST_NAMESPACE LDAP_POD LDAP_CONTAINER LDAP_BASE_DN
INPUT=${HOLDFAST_INPUT:-$HOLDFAST_SCRATCH/input}
DATABASE=${LDAP_DATABASE_DIR:-/var/lib/univention-ldap/ldap}
[ -f "$INPUT" ] || die 64 "$INPUT is absent"

count=$(count_lines '^dn::? ' "$INPUT")
tail -n 1 <"$INPUT" | grep -qxF -e "# holdfast: complete, $count entries" || die 65 'the dump is cut: its last line is missing'

# What ldapsearch reports but slapd makes up itself cannot be loaded.
attempt 65 'reading the dump' awk '!/^(entryDN|hasSubordinates|numSubordinates|subschemaSubentry)::? /' "$INPUT" >"$WORK/ldif"
size=$(file_size "$WORK/ldif")

# $1 database folder, $2 base DN, $3 configuration, $4 size, $5 overwrite.
program='
set -eu
umask 077
database=$1 base=$2 config=$3 size=$4 overwrite=$5
PATH=$PATH:/usr/sbin:/usr/local/sbin:/opt/bitnami/openldap/sbin
for process in /proc/[0-9]*/comm; do
  name=
  read -r name 2>/dev/null <"$process" || :
  [ "$name" != slapd ] || { echo "slapd is running" >&2; exit 75; }
done
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
set -- -b "$base" -l "$ldif"
if [ -d "$config" ]; then set -- "$@" -F "$config"
elif [ -n "$config" ]; then set -- "$@" -f "$config"
fi
slapadd -u -q "$@" >&2
if [ -e data.mdb ]; then
  aside=before-holdfast-$(date -u +%Y%m%dT%H%M%SZ)
  mkdir "$aside"
  mv data.mdb "$aside/"
  [ ! -e lock.mdb ] || mv lock.mdb "$aside/"
  echo "the former database is in $database/$aside" >&2
fi
slapadd -q "$@" >&2
set -- -b "$base" -o ldif-wrap=no
if [ -d "$config" ]; then set -- "$@" -F "$config"
elif [ -n "$config" ]; then set -- "$@" -f "$config"
fi
slapcat "$@" >"$ldif"
grep -Ec "^dn::? " "$ldif"
'
status=0
bounded kubectl exec --stdin --namespace="$HOLDFAST_NAMESPACE" --container="$LDAP_CONTAINER" "$LDAP_POD" -- \
  sh -c "$program" holdfast "$DATABASE" "$LDAP_BASE_DN" "${LDAP_CONFIG:-}" "$size" "${HOLDFAST_OVERWRITE:-no}" \
  <"$WORK/ldif" >"$WORK/loaded" 2>"$WORK/stderr" || status=$?
case $status in
  0)
    aside=$(sed -n 's/^the former database is in //p' "$WORK/stderr")
    [ -z "$aside" ] || say "the former database is in $aside of $LDAP_POD"
    ;;
  64) failed 64 "the restore in $LDAP_POD (set LDAP_DATABASE_DIR)" "$status" ;;
  65) failed 65 "the restore in $LDAP_POD (set HOLDFAST_OVERWRITE=yes to move it aside)" "$status" ;;
  75)
    say "slapd runs in $LDAP_POD; nothing was changed. Start the pod with slapd held back, then run this again:"
    say "  kubectl -n $HOLDFAST_NAMESPACE scale statefulset ${LDAP_POD%-*} --replicas=1"
    say "  kubectl -n $HOLDFAST_NAMESPACE patch statefulset ${LDAP_POD%-*} -p '{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"$LDAP_CONTAINER\",\"command\":[\"sleep\",\"infinity\"],\"livenessProbe\":null,\"readinessProbe\":null,\"startupProbe\":null}]}}}}'"
    say '  afterwards deploy the StatefulSet again as it was'
    die 69 'slapd must be stopped'
    ;;
  *) failed 69 "the restore in $LDAP_POD" "$status" ;;
esac
read -r loaded <"$WORK/loaded"
[ "$loaded" -ge "$count" ] || die 65 "the database has $loaded entries, the dump $count"
say "restored: $loaded entries; start slapd, then the secondaries with empty volumes"
