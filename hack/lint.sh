#!/usr/bin/env bash
# Checks the form of everything that has one. Every check runs, whatever the
# others say, so that one run shows all that is wrong.
# shellcheck disable=SC2317 # the functions are called by name, through check
set -uo pipefail
cd "$(dirname "$0")/.." || exit
failed=0

# golangci-lint remembers what it found by content, with the path of the checkout
# where it found it, and knows no exclusion there once that checkout is gone: each
# checkout has its own memory.
GOLANGCI_LINT_CACHE=$PWD/.cache/golangci-lint/$(pwd -P | cksum | cut -d ' ' -f 1)
export GOLANGCI_LINT_CACHE

# check NAME COMMAND…: runs it, and remembers a failure.
check() {
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then
    echo "lint: $name: ok" >&2
  else
    printf 'lint: %s: failed\n%s\n' "$name" "$output" >&2
    failed=1
  fi
}

# empty COMMAND…: fails if it prints anything.
empty() {
  local output
  output=$("$@") || return
  [ -z "$output" ] || { printf '%s\n' "$output"; return 1; }
}

# slow_jsonnet: what makes an evaluation several times slower (the interpreted
# parts of the standard library) stays out of templates.
slow_jsonnet() {
  ! grep -nE "std\.(format|mergePatch|set|prune|manifestYaml[A-Za-z]*)\(|['\")] *% *[\[({a-zA-Z]" -- "$@"
}

in_module() {
  (cd "$1" && go vet ./... && staticcheck ./...)
}

# each_jsonnet_lint: a kind outside of templates imports lib as if it lay there.
each_jsonnet_lint() {
  local file
  for file in "$@"; do jsonnet-lint --jpath templates/kinds/volume "$file" || return; done
}

mapfile -t shell < <(git ls-files --cached --others --exclude-standard '*.sh' .ci/run | grep -v '^golden/')
mapfile -t pod_shell < <(printf '%s\n' "${shell[@]}" | grep -E '^(templates|examples)/')
mapfile -t own_shell < <(printf '%s\n' "${shell[@]}" | grep -vE '^(templates|examples)/')
mapfile -t jsonnet < <(git ls-files --cached --others --exclude-standard '*.libsonnet' | grep -v '^golden/')
mapfile -t go < <(git ls-files --cached --others --exclude-standard '*.go')

check gofmt empty gofmt -l "${go[@]}"
check vet go vet ./...
check staticcheck staticcheck ./...
check golangci-lint golangci-lint run --allow-parallel-runners ./...
check 'vet, staticcheck (oracle)' in_module oracle
check 'vet, staticcheck (e2e)' in_module e2e
check 'vet, staticcheck (sbom)' in_module hack/sbom
# What a script sources lies elsewhere in a pod, and templates has a test that it does.
check 'shellcheck (pods)' shellcheck --shell=sh --exclude=SC1090,SC1091 "${pod_shell[@]}"
check 'shellcheck (bash)' shellcheck "${own_shell[@]}"
check jsonnetfmt jsonnetfmt --test "${jsonnet[@]}"
check jsonnet-lint each_jsonnet_lint "${jsonnet[@]}"
check 'slow jsonnet' slow_jsonnet "${jsonnet[@]}"
exit "$failed"
