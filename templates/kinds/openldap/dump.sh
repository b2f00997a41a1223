#!/bin/sh
# Writes an LDAP tree as LDIF, with operational attributes and password hashes.
# Counts entries. The file ends with a comment that says how many there are.
#
#   HOLDFAST_METHOD   slapcat (through exec) | ldapsearch
#   LDAP_BASE_DN
# slapcat:
#   HOLDFAST_NAMESPACE LDAP_POD LDAP_CONTAINER
#   LDAP_LEASE        a Lease whose holder is the pod to read; "" = LDAP_POD
#   LDAP_CONFIG       slapd's configuration in the pod, file or folder; "" = its default
# ldapsearch:
#   LDAP_URI LDAP_ADMIN_DN LDAP_PASSWORD
#   LDAP_STARTTLS     "yes"; files/ca.crt is trusted if it is there
# shellcheck disable=SC2016 # expanded in the pod, or by awk
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
# shellcheck source=/dev/null
. "$HOLDFAST_ROOT/bin/common.sh"

require_tools base64
need HOLDFAST_METHOD LDAP_BASE_DN
one_line LDAP_BASE_DN "$LDAP_BASE_DN"
refuse_if_locked

# read_lease: sets LIFE and RENEWED, in seconds, and HOLDER. 0 is what the lease
# does not say.
read_lease() {
  attempt 70 'reading the lease' kubectl get --namespace="$HOLDFAST_NAMESPACE" --output=json lease "$LDAP_LEASE" >"$WORK/lease"
  attempt 70 'reading the lease' jq -r '.spec
    | .leaseDurationSeconds // 0, (.renewTime // "1970-01-01T00:00:00Z" | sub("[.][0-9]+"; "") | fromdate), .holderIdentity // ""' \
    "$WORK/lease" >"$WORK/leader"
  LIFE=$(sed -n 1p "$WORK/leader")
  RENEWED=$(sed -n 2p "$WORK/leader")
  HOLDER=$(sed 1,2d "$WORK/leader")
}

# leader: the pod to read. Primaries mirror each other; the lease says who leads.
# One that has expired says who led last. Clocks differ, so it is watched for a
# lifetime: whoever leads renews it meanwhile.
leader() {
  [ -n "${LDAP_LEASE:-}" ] || return 0
  read_lease
  if [ "$((RENEWED + LIFE))" -le "$(date +%s)" ]; then
    say "the lease $LDAP_LEASE has expired; watching it for $LIFE s"
    watched=$RENEWED
    attempt 69 'watching the lease' sleep "$LIFE"
    read_lease
    [ "$RENEWED" != "$watched" ] || die 69 "the lease $LDAP_LEASE has expired: ${HOLDER:-nobody} does not renew it"
  fi
  HOLDER=${HOLDER%%_*}
  case $HOLDER in
    "${LDAP_POD%-*}"-[0-9] | "${LDAP_POD%-*}"-[0-9][0-9]) LDAP_POD=$HOLDER ;;
    *) die 69 "the lease $LDAP_LEASE is held by \"$HOLDER\", which is no pod of ${LDAP_POD%-*}" ;;
  esac
}

case $HOLDFAST_METHOD in
  slapcat)
    require_tools jq kubectl sleep
    need HOLDFAST_NAMESPACE LDAP_POD LDAP_CONTAINER
    leader
    say "reading $LDAP_POD"
    program='
      set -eu
      base=$1 config=$2
      set -- -b "$base" -o ldif-wrap=no
      if [ -d "$config" ]; then set -- "$@" -F "$config"
      elif [ -n "$config" ]; then set -- "$@" -f "$config"
      fi
      PATH=$PATH:/usr/sbin:/usr/local/sbin:/opt/bitnami/openldap/sbin
      slapcat "$@"
      echo "# holdfast: end"'
    attempt 69 "slapcat in $LDAP_POD" \
      kubectl exec --namespace="$HOLDFAST_NAMESPACE" --container="$LDAP_CONTAINER" "$LDAP_POD" -- \
      sh -c "$program" holdfast "$LDAP_BASE_DN" "${LDAP_CONFIG:-}" >"$WORK/raw"
    # A stream that broke may still have ended with exit code 0.
    tail -n 1 <"$WORK/raw" | grep -qxF -e '# holdfast: end' || die 65 'the answer is cut: its end mark is missing'
    ;;
  ldapsearch)
    require_tools ldapsearch
    need LDAP_URI LDAP_ADMIN_DN LDAP_PASSWORD
    # shellcheck source=/dev/null
    . "$HOLDFAST_ROOT/bin/search.sh"
    # "*" and "+": without "+" the entries lose their identity (entryUUID).
    search -s sub -o nettimeout=30 -E pr=1000/noprompt -z none -l none -o ldif-wrap=no \
      -L '(objectClass=*)' '*' '+' >"$WORK/raw"
    # One trailer, or one for each page, depending on the version.
    attempt 65 'reading the trailer' awk '
      /^dn::? / { entries++ }
      /^# numEntries: / { said += $3; last = $3 }
      END { print (said == entries || last == entries) ? "whole" : "cut" }' "$WORK/raw" >"$WORK/trailer"
    read -r trailer <"$WORK/trailer"
    [ "$trailer" = whole ] || die 65 'the answer is cut: its trailer tells another number of entries'
    ;;
  *) die 64 'HOLDFAST_METHOD is neither slapcat nor ldapsearch' ;;
esac

# Entries only, without the comments of the tool.
attempt 65 'reading the entries' awk '
  /^dn::? / { entry = 1 }
  /^#/ && !entry { next }
  /^$/ { if (entry) print; entry = 0; next }
  entry { print }' "$WORK/raw" >"$WORK/dump"
rm -f -- "$WORK/raw"

count=$(count_lines '^dn::? ' "$WORK/dump")
encoded=$(printf '%s' "$LDAP_BASE_DN" | base64 | tr -d '\n')
grep -qixF -e "dn: $LDAP_BASE_DN" -e "dn:: $encoded" -- "$WORK/dump" || die 65 "the entry $LDAP_BASE_DN is missing"
hashes=$(count_lines '^(userPassword|krb5Key)::? ' "$WORK/dump")
[ "$hashes" -gt 0 ] || die 65 'no entry has a password hash: the tree was read without the right to see them'
uuids=$(count_lines '^entryUUID::? ' "$WORK/dump")
[ "$uuids" -ge $((count - count / 100)) ] || die 65 "only $uuids of $count entries have an entryUUID"
printf '\n# holdfast: complete, %s entries\n' "$count" >>"$WORK/dump" || die 73 'scratch is full'
publish "$WORK/dump" "$count"
