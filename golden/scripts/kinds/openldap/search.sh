#!/bin/sh
# search.sh is sourced, after common.sh, by what reads a directory by ldapsearch.
#
#   LDAP_URI LDAP_ADMIN_DN LDAP_PASSWORD LDAP_BASE_DN
#   LDAP_STARTTLS   yes, with files/ca.crt or the image's authorities

# search BASE ARG…: ldapsearch as the admin below that DN.
search() {
  search_base=$1
  shift
  # ldapsearch takes the whole file as the password: no line end.
  printf '%s' "$LDAP_PASSWORD" >"$WORK/password"
  if [ "${LDAP_STARTTLS:-no}" = yes ]; then
    set -- -ZZ "$@"
  fi
  if [ -f "$HOLDFAST_ROOT/files/ca.crt" ]; then
    LDAPTLS_CACERT=$HOLDFAST_ROOT/files/ca.crt
    export LDAPTLS_CACERT
  elif [ "${LDAP_STARTTLS:-no}" = yes ]; then
    LDAPTLS_CACERT=$(ca_bundle)
    export LDAPTLS_CACERT
  fi
  attempt 69 ldapsearch \
    ldapsearch -x -H "$LDAP_URI" -D "$LDAP_ADMIN_DN" -y "$WORK/password" -b "$search_base" -o ldif-wrap=no "$@"
  rm -f -- "$WORK/password"
}
