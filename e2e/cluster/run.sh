#!/usr/bin/env bash
# Applies the rendered tree of examples/e2e to a real cluster, waits for the
# copies, destroys everything and restores it, and makes go wrong what can.
# Prints what was expected and what was found, and exits non-zero on any gap.
# With "set-up" it only installs.
set -euo pipefail
cd "$(dirname "$0")/.."
skip() {
  echo "e2e-cluster: SKIPPED, nothing is proved: $1" >&2
  exit 0
}
[ "$(id -u)" -eq 0 ] || skip 'only root can make the namespaces that a node needs'
unshare --mount --pid --fork true 2>/dev/null || skip 'this machine makes no namespaces'
[ -e /sys/fs/cgroup/memory ] || skip 'this machine has no cgroups of version 1, which the node is made for'
./setup.sh cluster
[ "${1:-}" != set-up ] || exit 0
# Most of it waits, so more runs side by side than there are cores. Run by itself,
# the program shows its progress as it goes.
go test -c -o ../.cache/e2e/cluster.test ./cluster
cd cluster
../../.cache/e2e/cluster.test -test.timeout 40m -test.parallel 8
