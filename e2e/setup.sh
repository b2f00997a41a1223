#!/usr/bin/env bash
# Installs the real servers and tools that the end-to-end tests run against:
# from Debian what Debian has, from the Go module proxy the rest, each once for
# its version, below .cache/e2e. About ten minutes on two cores from nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.cache/e2e
mkdir -p "$bin"

export CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOWORK=off
versitygw=v1.8.0 restic=v0.18.1 rclone=v1.75.1 vault=v1.21.0
# The version of Kubernetes' modules, and of the programs made from them.
kubernetes=1.36.3

packages=(postgresql-15 postgresql-client-15 mariadb-server mariadb-client slapd ldap-utils
  busybox-static dash jq curl shellcheck rclone openssl libfaketime unzip)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  [ "$(id -u)" -eq 0 ] || { echo "e2e: only root can install ${missing[*]}" >&2; exit 1; }
  echo "e2e: installing ${missing[*]}" >&2
  # Their servers must not start by themselves: each test starts its own.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# built NAME VERSION: whether that program is there in that version.
built() { [ -x "$bin/$1" ] && [ -e "$bin/.$1-$2" ]; }
done_with() {
  rm -f "$bin/.$1"-*
  touch "$bin/.$1-$2"
}

# program NAME PACKAGE MODULE VERSION [TAGS]: builds a program in a module of its
# own, so that none pins another's dependencies.
program() {
  built "$1" "$4" && return
  echo "e2e: building $1 $4" >&2
  local work
  work=$(mktemp -d)
  (
    cd "$work"
    go mod init "example.test/$1" 2>/dev/null
    go get "$3@$4" 2>/dev/null
    go build -mod=mod -tags "${5:-}" -trimpath -ldflags '-s -w' -o "$bin/$1" "$2"
  )
  rm -rf "$work"
  done_with "$1" "$4"
}

program versitygw github.com/versity/versitygw/cmd/versitygw github.com/versity/versitygw "$versitygw"
program restic github.com/restic/restic/cmd/restic github.com/restic/restic "$restic"
program rclone github.com/rclone/rclone github.com/rclone/rclone "$rclone"

# Kubernetes replaces its own staging modules by folders; here each is replaced
# by the released module of the same version.
if ! { built kube-apiserver "$kubernetes" && built etcd "$kubernetes"; }; then
  echo "e2e: building Kubernetes $kubernetes" >&2
  work=$(mktemp -d)
  (
    cd "$work"
    mkdir etcd
    printf 'package main\n\nimport (\n\t"os"\n\n\t"go.etcd.io/etcd/server/v3/etcdmain"\n)\n\nfunc main() { etcdmain.Main(os.Args) }\n' >etcd/main.go
    printf '//go:build tools\n\npackage tools\n\nimport (\n' >tools.go
    for name in kube-apiserver kube-controller-manager kubectl; do
      printf '\t_ "k8s.io/kubernetes/cmd/%s"\n' "$name" >>tools.go
    done
    printf ')\n' >>tools.go
    mod=$(go mod download -json "k8s.io/kubernetes@v$kubernetes" | jq -r .GoMod)
    {
      echo 'module example.test/kubernetes'
      grep '^go ' "$mod"
      echo "require k8s.io/kubernetes v$kubernetes"
      sed -n 's#^\t\(k8s.io/[a-z-]*\) => ./staging/.*#\1#p' "$mod" | while read -r module; do
        echo "replace $module => $module v0.${kubernetes#1.}"
      done
    } >go.mod
    go mod tidy 2>/dev/null
    minor=${kubernetes#1.}
    flags="-s -w -X k8s.io/component-base/version.gitVersion=v$kubernetes -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%%.*}"
    for name in kube-apiserver kube-controller-manager kubectl; do
      go build -trimpath -ldflags "$flags" -o "$bin/$name" "k8s.io/kubernetes/cmd/$name"
    done
    go build -trimpath -ldflags '-s -w' -o "$bin/etcd" ./etcd
  )
  rm -rf "$work"
  for name in kube-apiserver kube-controller-manager kubectl etcd; do done_with "$name" "$kubernetes"; done
fi

# Without the plugins of other makers: a tenth of the time. Version 1.21.4 asks
# for a version of its own SDK that it does not fit.
program vault github.com/hashicorp/vault github.com/hashicorp/vault "$vault" minimal
