#!/bin/sh
# Writes an LDAP tree as LDIF, with operational attributes and password hashes, as
# the server stores it. Counts entries. The file ends with a comment that says how
# many there are. What slapadd would not take, or is not shown, is named as a loss.
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
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/bin/losses.sh"
. "$HOLDFAST_ROOT/bin/content.sh"
. "$HOLDFAST_ROOT/bin/lock.sh"
begin

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

# What the server says of itself, if it is asked.
: >"$WORK/root"
: >"$WORK/schema"
: >"$WORK/subentries"
case $HOLDFAST_METHOD in
  slapcat)
    require_tools jq kubectl sleep
    need HOLDFAST_NAMESPACE LDAP_POD LDAP_CONTAINER
    leader
    say "reading $LDAP_POD"
    program=$(cat -- "$HOLDFAST_ROOT/bin/in-pod-dump.sh")
    attempt 69 "slapcat in $LDAP_POD" \
      kubectl exec --namespace="$HOLDFAST_NAMESPACE" --container="$LDAP_CONTAINER" "$LDAP_POD" -- \
      sh -c "$program" holdfast "$LDAP_BASE_DN" "${LDAP_CONFIG:-}" >"$WORK/raw"
    # A stream that broke may still have ended with exit code 0.
    tail -n 1 <"$WORK/raw" | grep -qxF -e '# holdfast: end' || die 65 'the answer is cut: its end mark is missing'
    ;;
  ldapsearch)
    require_tools ldapsearch
    need LDAP_URI LDAP_ADMIN_DN LDAP_PASSWORD
    . "$HOLDFAST_ROOT/bin/search.sh"
    # "*" and "+": without "+" the entries lose their identity (entryUUID). -MM:
    # referrals are entries then, and no list computes its members. The last control
    # is slapo-valsort's, which sorts values and takes their weights away but for
    # who asks for them as they are; who does not know it may ignore it.
    read_tree() {
      tree=$1
      shift
      search "$LDAP_BASE_DN" -s sub -o nettimeout=30 -MM -E pr=1000/noprompt -E 1.3.6.1.4.1.4203.666.5.14=::MAMBAf8= "$@" \
        -z none -l none -L '(objectClass=*)' '*' '+' >"$tree"
      # What else the server had to say, although it ended well.
      if [ -s "$WORK/stderr" ]; then
        say 'ldapsearch said:'
        masked "$WORK/stderr" >&2
      fi
      # One trailer, or one for each page, depending on the version.
      attempt 65 'reading the trailer' awk '
        /^dn::? / { entries++ }
        /^# numEntries: / { said += $3; last = $3 }
        /^# pagedresults: / { cookie = $0; sub(/.*cookie=/, "", cookie) }
        END { print (said + 0 == entries + 0 || last == entries) && cookie == "" ? "whole" : "cut" }' "$tree" >"$WORK/trailer"
      read -r trailer <"$WORK/trailer"
      [ "$trailer" = whole ] || die 65 'the answer is cut: its trailer tells another number of entries, or of further pages'
    }
    read_tree "$WORK/raw"
    # Subentries (RFC 3672), such as policies, are in no answer but one that has
    # nothing else. Who does not know that control answers with all once more.
    read_tree "$WORK/subentries" -E subentries=true
    # Its own message tells what is wrong if this fails.
    (
      search '' -s base -o nettimeout=30 -LLL '(objectClass=*)' subschemaSubentry namingContexts >"$WORK/root"
      attempt 65 'reading the root entry' awk -f "$HOLDFAST_ROOT/bin/ldif.awk" -f "$HOLDFAST_ROOT/bin/subschema.awk" "$WORK/root" >"$WORK/place"
      IFS= read -r place <"$WORK/place" || die 65 'the server does not say where its schema is'
      search "$place" -s base -o nettimeout=30 -LLL '(objectClass=*)' objectClasses attributeTypes dITContentRules >"$WORK/schema"
    ) || :
    ;;
  *) die 64 'HOLDFAST_METHOD is neither slapcat nor ldapsearch' ;;
esac

# Entries only, as they are stored, and what is lost: $WORK/losses. The schema of
# ldapsearch's server is here, of slapcat's what slapschema said of it.
: >"$WORK/losses"
LOSSES=$WORK/losses
export LOSSES
attempt 65 'reading the entries' awk -f "$HOLDFAST_ROOT/bin/ldif.awk" -f "$HOLDFAST_ROOT/bin/schema.awk" -f "$HOLDFAST_ROOT/bin/entries.awk" part=root "$WORK/root" part=schema "$WORK/schema" part=tree "$WORK/raw" part=subentries "$WORK/subentries" >"$WORK/dump"
rm -f -- "$WORK/raw" "$WORK/subentries"
clean_losses

count=$(count_lines '^dn::? ' "$WORK/dump")
encoded=$(printf '%s' "$LDAP_BASE_DN" | base64 | tr -d '\n')
grep -qixF -e "dn: $LDAP_BASE_DN" -e "dn:: $encoded" -- "$WORK/dump" || die 65 "the entry $LDAP_BASE_DN is missing"
hashes=$(count_lines '^(userPassword|krb5Key)::? ' "$WORK/dump")
[ "$hashes" -gt 0 ] || die 65 'no entry has a password hash: the tree was read without the right to see them'
uuids=$(count_lines '^entryUUID::? ' "$WORK/dump")
[ "$uuids" -ge $((count - count / 100)) ] || die 65 "only $uuids of $count entries have an entryUUID"
printf '\n# holdfast: complete, %s entries\n' "$count" >>"$WORK/dump" || die 73 'scratch is full'
publish "$WORK/dump" "$count"
