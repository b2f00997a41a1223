#!/bin/sh
# Tries what dump.sh and restore.sh of a Cassandra node need: the tools in its
# pod, the login, and the folder of the keyspaces.
#
#   HOLDFAST_NAMESPACE and the CASSANDRA_… of dump.sh
set -eu
HOLDFAST_ROOT=${HOLDFAST_ROOT:-/holdfast}
. "$HOLDFAST_ROOT/bin/common.sh"
. "$HOLDFAST_ROOT/preflight/checks.sh"
begin

need HOLDFAST_NAMESPACE CASSANDRA_POD CASSANDRA_CONTAINER CASSANDRA_DATA_DIR CASSANDRA_USER CASSANDRA_PASSWORD
one_line CASSANDRA_USER "$CASSANDRA_USER"
one_line CASSANDRA_PASSWORD "$CASSANDRA_PASSWORD"

program=$(cat -- "$HOLDFAST_ROOT/bin/in-pod-credentials.sh" "$HOLDFAST_ROOT/bin/in-pod-login.sh")
login() {
  printf '%s\n%s\n' "$CASSANDRA_USER" "$CASSANDRA_PASSWORD" >"$WORK/stdin"
  attempt 69 "cqlsh in $CASSANDRA_POD" \
    kubectl exec --stdin --namespace="$HOLDFAST_NAMESPACE" --container="$CASSANDRA_CONTAINER" "$CASSANDRA_POD" -- \
    sh -c "$program" holdfast "$CASSANDRA_DATA_DIR" <"$WORK/stdin"
  rm -f -- "$WORK/stdin"
}

if check exec "are statefulSet and container right, and does $CASSANDRA_POD run?" inside "$CASSANDRA_POD" "$CASSANDRA_CONTAINER"; then
  check login 'compare adminUser, password and dataDir with those of the node' login || :
fi
