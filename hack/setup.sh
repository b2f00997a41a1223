#!/usr/bin/env bash
# Installs what the tests use and the machine lacks: shellcheck, jq, pre-commit, busybox and strace
# from Debian, Go programs from the module proxy, each at its pinned version.
#   hack/setup.sh [COMMAND…]    only these, or all
set -euo pipefail
cd "$(dirname "$0")/.."
wanted=" $* "

# is_wanted COMMAND
is_wanted() {
  [ "$wanted" = '  ' ] || [[ $wanted = *" $1 "* ]]
}

tools=$PWD/.cache/tools
mkdir -p "$tools"

missing=()
for package in shellcheck jq pre-commit busybox-static strace; do
  command=${package%-static}
  is_wanted "$command" || continue
  command -v "$command" >/dev/null || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "setup: these Debian packages are missing, and only root can install them: ${missing[*]}" >&2
    exit 1
  fi
  echo "setup: installing ${missing[*]}" >&2
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# go_tool MODULE/PACKAGE VERSION: installs one program, once for each version.
go_tool() {
  local name=${1##*/}
  case $name in v[0-9]*) name=$(basename "$(dirname "$1")") ;; esac
  is_wanted "$name" || return 0
  local stamp=$tools/.$name-$2
  [ -e "$stamp" ] && [ -x "$tools/$name" ] && return
  echo "setup: building $name $2" >&2
  GOBIN=$tools GOFLAGS=-buildvcs=false go install "$1@$2"
  rm -f "$tools/.$name"-*
  touch "$stamp"
}
go_tool honnef.co/go/tools/cmd/staticcheck "$STATICCHECK_VERSION"
go_tool github.com/golangci/golangci-lint/v2/cmd/golangci-lint "$GOLANGCI_LINT_VERSION"
go_tool github.com/google/go-jsonnet/cmd/jsonnetfmt "$GO_JSONNET_VERSION"
go_tool github.com/google/go-jsonnet/cmd/jsonnet-lint "$GO_JSONNET_VERSION"
go_tool sigs.k8s.io/kustomize/kustomize/v5 "$KUSTOMIZE_VERSION"
go_tool github.com/getsops/sops/v3/cmd/sops "$SOPS_VERSION"
