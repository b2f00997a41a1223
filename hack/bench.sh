#!/usr/bin/env bash
# Measures Holdfast: each step for one instance of layout B, fleets of 10, 100
# and 1000 next to what cannot be saved (parsing the inputs, encoding the same
# objects), and whole cold processes next to kustomize, in one run. Processor
# time is user and system together; the ratios at the end are its own.
set -euo pipefail
cd "$(dirname "$0")/.."
results=$(mktemp)
trap 'rm -f "$results"' EXIT

GOGC=400 go test ./renderer -run '^$' -bench 'Steps' -benchtime 20x | tee -a "$results"
GOGC=400 go test ./renderer -run '^$' -bench 'Fleet|Floor' -benchtime 1x -timeout 30m | tee -a "$results"
go test ./cmd/holdfast -run '^$' -bench 'Process' -benchtime 3x -timeout 30m | tee -a "$results"

awk '
  / cpu-ms\/instance/ {
    name = $1; sub(/^Benchmark/, "", name); sub(/-[0-9]+$/, "", name)
    for (i = 2; i < NF; i++) if ($(i + 1) == "cpu-ms/instance") ms[name] = $i
  }
  END {
    print "\nratios of processor time"
    split("1 10 100 1000", n, " ")
    for (i = 1; i <= 4; i++)
      printf "  fleet of %4d over its floor     %5.1f\n", n[i], ms["Fleet/" n[i]] / ms["Floor/" n[i]]
    printf "  kustomize over one cold process %5.1f\n", ms["Process/kustomize-1"] / ms["Process/holdfast-1"]
    printf "  kustomize over a hundred in one %5.1f\n", ms["Process/kustomize-1"] / ms["Process/holdfast-100"]
  }' "$results"
