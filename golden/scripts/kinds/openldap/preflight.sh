#!/bin/sh
# Tries what dump.sh of a directory needs: the pod and the tools in it, or the
# login; and what restore.sh needs in that pod.
#
#   HOLDFAST_METHOD and the variables of dump.sh
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/preflight/checks.sh"
begin
. "$HOLDFAST_ROOT/bin/search.sh"

need HOLDFAST_METHOD LDAP_BASE_DN

login() {
  search "$LDAP_BASE_DN" -s base -o nettimeout=10 -LLL '(objectClass=*)' 1.1 >"$WORK/base"
  grep -qi '^dn:' "$WORK/base" || die 65 "there is no entry $LDAP_BASE_DN"
}

lease() {
  attempt 70 "reading the lease $LDAP_LEASE" kubectl get --namespace="$HOLDFAST_NAMESPACE" lease "$LDAP_LEASE" >"$WORK/lease" </dev/null
}

case $HOLDFAST_METHOD in
  slapcat)
    need HOLDFAST_NAMESPACE LDAP_POD LDAP_CONTAINER
    check exec "are statefulSet and container right, and does $LDAP_POD run?" inside "$LDAP_POD" "$LDAP_CONTAINER" || :
    if [ -n "${LDAP_LEASE:-}" ]; then
      check lease 'correct leaderLease, or leave it out where there is one primary' lease || :
    fi
    ;;
  ldapsearch)
    need LDAP_URI LDAP_ADMIN_DN LDAP_PASSWORD
    check login 'compare adminDn, baseDn and password with those of the server' login || :
    ;;
  *) die 64 'HOLDFAST_METHOD is neither slapcat nor ldapsearch' ;;
esac
