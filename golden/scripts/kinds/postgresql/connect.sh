#!/bin/sh
# connect.sh is sourced, after common.sh, by the scripts that speak to a server:
# what libpq reads from the environment beside what the tree says.

need PGHOST PGPORT PGDATABASE PGUSER PGPASSWORD PGSSLMODE
PGCONNECT_TIMEOUT=${PGCONNECT_TIMEOUT:-30}
PGAPPNAME=holdfast
export PGCONNECT_TIMEOUT PGAPPNAME
# A server that is verified and has no CA of its own has a certificate of a public
# one. libpq knows none by itself.
case $PGSSLMODE in
  verify-*)
    if [ -z "${PGSSLROOTCERT:-}" ]; then
      PGSSLROOTCERT=$(ca_bundle)
      export PGSSLROOTCERT
    fi
    ;;
esac
