#!/usr/bin/env bash
# Runs every dump and restore against the real server: installs what is missing,
# shows progress, and writes the table of results into README.md.
# Exits with the tests' status. With "set-up" it only installs, with "data" it takes
# the data sets that others wrote alone, and with "bench" it times dumps and copies
# beside the plain tools.
set -euo pipefail
cd "$(dirname "$0")"
if [ "$(id -u)" -ne 0 ] || ! unshare --mount true 2>/dev/null; then
  echo "e2e: SKIPPED, nothing is proved: the scripts run in mount namespaces, which only root can make" >&2
  exit 0
fi
./setup.sh
case ${1:-} in
  set-up) exit 0 ;;
  data) exec go test -count=1 -timeout 6h -v -run '^TestData' . ;;
  bench) exec go test -count=1 -timeout 2h -run '^$' -bench '^BenchmarkData' -benchtime 1x . ;;
esac
go build -o ../.cache/e2e/table ./table
go test -count=1 -timeout 20m ./harness ./image ./table
# What stops and starts the API server has one of its own, apart from the rest. Some
# of PostgreSQL's tests bring extensions, which all its servers see.
../.cache/e2e/table -write README.md 'Lock|Kubernetes|Namespace|ControlPlane|Cassandra' 'Bucket|Repository' 'Data|Losses|Missing|PostgreSQL|Stream'
