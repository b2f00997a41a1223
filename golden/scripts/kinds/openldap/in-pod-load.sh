#!/bin/sh
# in-pod-load.sh DATABASE-FOLDER BASE-DN CONFIGURATION SIZE OVERWRITE: runs in slapd's pod,
# after in-pod-idle.sh; loads the LDIF of its stdin, and prints what is there then.
set -eu
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
# back NAME: the former database, if there was one, in the place of half a load.
back() {
  if [ -z "$1" ]; then
    rm -f data.mdb lock.mdb
  elif [ -e "$1/data.mdb" ]; then
    rm -f data.mdb lock.mdb
    mv "$1"/*.mdb .
    rmdir "$1"
    echo "the former database is back in its place" >&2
  fi
  rm -f holdfast-loading
}
# It says that a load was under way, and what was moved aside for it.
if [ -e holdfast-loading ]; then
  echo "a former restore was broken off here" >&2
  back "$(cat holdfast-loading)"
fi
if [ -e data.mdb ] && [ "$overwrite" != yes ]; then
  echo "$database holds a database" >&2
  exit 65
fi
ldif=$database/holdfast-restore.ldif
said=$database/holdfast-restore.said
trap "rm -f \"\$ldif\" \"\$said\"" EXIT
cat >"$ldif"
[ "$(wc -c <"$ldif")" -eq "$size" ] || { echo "the LDIF did not arrive whole" >&2; exit 1; }
# A dry run that goes on after an entry that it does not take: a real one would
# lose what it loaded in the same transaction.
status=0
slapadd -u -q -c "$@" -l "$ldif" >&2 2>"$said" || status=$?
cat "$said" >&2
if grep -E "^slapadd: (.*[(]line=|line )[0-9]+" "$said"; then exit 77; fi
[ "$status" -eq 0 ] || exit "$status"
aside=
if [ -e data.mdb ]; then
  aside=before-holdfast-$(date -u +%Y%m%dT%H%M%SZ)
  while [ -e "$aside" ]; do aside=$aside-; done
fi
echo "$aside" >holdfast-loading
if [ -n "$aside" ]; then
  mkdir "$aside"
  mv data.mdb "$aside/"
  [ ! -e lock.mdb ] || mv lock.mdb "$aside/"
fi
slapadd -q "$@" -l "$ldif" >&2 || {
  status=$?
  back "$aside"
  exit "$status"
}
rm -f holdfast-loading
[ -z "$aside" ] || echo "the former database is in $database/$aside" >&2
slapcat "$@" -o ldif-wrap=no
echo "# holdfast: end"
