#!/usr/bin/env bash
# Validates every example as a user would, and compares what it renders with its
# golden tree.
set -euo pipefail
cd "$(dirname "$0")/.."
for example in examples/*/; do
  flags=(-s "$example" -c "$example")
  [ -e "$example/policy.json" ] && flags+=(-p "$example/policy.json")
  [ -d "$example/kinds" ] && flags+=(--kinds "$example/kinds")
  bin/holdfast check "${flags[@]}"
done
go test ./golden
