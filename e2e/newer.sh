#!/usr/bin/env bash
# Runs the tests of the databases and the directory with the servers and tools of
# Debian 13: PostgreSQL 17, MariaDB 11.8, OpenLDAP 2.6. They lie in a root of their own,
# made by debootstrap below .cache/e2e, in which the tests run in a mount namespace.
# As root on Debian; arguments are those of go test's binary (-test.run …).
set -euo pipefail
cd "$(dirname "$0")"
project=$(cd .. && pwd -P)
root=$project/.cache/e2e/newer
packages=postgresql-17,postgresql-client-17,postgresql-17-postgis-3,mariadb-server,mariadb-client,slapd,ldap-utils,libldap-common
packages+=,busybox-static,dash,jq,curl,wget,ca-certificates,openssl,libfaketime,unzip,bzip2,xz-utils,gcc,libc6-dev,strace,procps,iproute2

if [ "${1:-}" = inside ]; then
  # Nothing that is mounted here is seen outside.
  go=$2
  shift 2
  mount --make-rprivate /
  mount --bind "$root" "$root"
  for folder in "$project" "$(go env GOROOT)" "$(go env GOMODCACHE)" "$(go env GOCACHE)" /dev; do
    mkdir -p "$root/$folder"
    mount --rbind "$folder" "$root/$folder"
  done
  mount -t proc proc "$root/proc"
  mount -t sysfs sys "$root/sys"
  mount -t tmpfs tmp "$root/tmp" -o mode=1777
  PATH=$(go env GOROOT)/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  GOMODCACHE=$(go env GOMODCACHE) GOCACHE=$(go env GOCACHE)
  export PATH GOMODCACHE GOCACHE
  mkdir -p "$root/outside"
  cd "$root"
  pivot_root . outside
  cd "$project/e2e"
  umount -l /outside
  exec "$go" "$@"
fi

if [ "$(id -u)" -ne 0 ] || ! unshare --mount true 2>/dev/null; then
  echo "e2e: SKIPPED, nothing is proved: the scripts run in mount namespaces, which only root can make" >&2
  exit 0
fi
./setup.sh
if [ "$(cat "$root/content" 2>/dev/null)" != "$packages" ]; then
  command -v debootstrap >/dev/null || apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
  echo "e2e: making a root of Debian 13" >&2
  rm -rf "$root"
  mkdir -p "$root"
  debootstrap --variant=minbase --include="$packages" trixie "$root" >"$root.log" 2>&1 || { tail -n 20 "$root.log" >&2; exit 1; }
  echo "$packages" >"$root/content"
fi
go test -c -o ../.cache/e2e/newer.test .
[ $# -gt 0 ] || set -- -test.run 'PostgreSQL|MariaDB|OpenLDAP|Nubus'
# PostgreSQL's own regression tests are those of the version that the set-up fetches.
echo "e2e: SKIPPED with newer versions: TestDataPostgreSQLRegress, whose tests are PostgreSQL 15's" >&2
exec unshare --mount ./newer.sh inside "$project/.cache/e2e/newer.test" -test.timeout 1h -test.skip Regress -test.v "$@"
