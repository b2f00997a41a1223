#!/bin/sh
# connect.sh is sourced, after common.sh, by the scripts that speak to a server. It
# leaves in the positional parameters what all calls of redis-cli share. The password
# is read by redis-cli itself, from REDISCLI_AUTH.
#
#   REDIS_HOST REDIS_PORT REDISCLI_AUTH
#   REDIS_USER   an account, "" for the default one
#   REDIS_TLS    disable | verify-ca (with files/ca.crt)
# shellcheck disable=SC2034 # for whoever sources it

need REDIS_HOST REDIS_PORT REDISCLI_AUTH REDIS_TLS
# -e: an error of the server's is one of redis-cli.
set -- -e -h "$REDIS_HOST" -p "$REDIS_PORT"
[ -z "${REDIS_USER:-}" ] || set -- "$@" --user "$REDIS_USER"
case $REDIS_TLS in
  disable) ;;
  verify-ca) set -- "$@" --tls --cacert "$HOLDFAST_ROOT/files/ca.crt" ;;
  *) die 64 'REDIS_TLS is none of disable, verify-ca' ;;
esac

# alone OPTION…: dies unless the server has all the data: a node of a cluster has a part.
alone() {
  attempt 69 'asking the server what it is' redis-cli "$@" INFO >"$WORK/info" </dev/null
  grep -q '^cluster_enabled:0' "$WORK/info" || die 69 'the server is a node of a cluster, which has a part of the keys only: this kind cannot copy it'
}
