#!/bin/sh
# in-pod-dump.sh BASE-DN CONFIGURATION: runs in slapd's pod; prints the tree, and then what
# slapschema says of it.
set -eu
base=$1 config=$2
set -- -b "$base" -o ldif-wrap=no
if [ -d "$config" ]; then set -- "$@" -F "$config"
elif [ -n "$config" ]; then set -- "$@" -f "$config"
fi
PATH=$PATH:/usr/sbin:/usr/local/sbin:/opt/bitnami/openldap/sbin
slapcat "$@"
echo "# holdfast: schema"
if command -v slapschema >/dev/null; then
  # It ends with the code of what it found last; 1 is its own failure.
  status=0
  slapschema "$@" || status=$?
  [ "$status" -ne 1 ] && [ "$status" -lt 126 ] || exit "$status"
else
  echo "# holdfast: unchecked"
fi
echo "# holdfast: end"
