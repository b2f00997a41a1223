#!/usr/bin/env bash
# Installs the real servers and tools that the end-to-end tests run against:
# from Debian what Debian has, from the Go module proxy the rest, each once for
# its version, below .cache/e2e. "setup.sh cluster" adds what a whole cluster
# needs: a node's programs, K8up, and the image of its servers.
set -euo pipefail
with=${1:-}
cd "$(dirname "$0")/.."
bin=$PWD/.cache/e2e
mkdir -p "$bin"

made_policy='' debootstrap=''
tidy() {
  [ -z "$made_policy" ] || rm -f "$made_policy"
  [ -z "$debootstrap" ] || kill "$debootstrap" 2>/dev/null || :
}
trap tidy EXIT

export CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOWORK=off
versitygw=v1.8.0 restic=v0.18.1 rclone=v1.75.1 vault=v1.21.0
cert_manager=v1.21.2
# The version of Kubernetes' modules, and of the programs made from them.
kubernetes=1.36.3
# kube-router enforces NetworkPolicies; this is the one that k3s maintains.
k8up=v2.15.0 coredns=v1.14.7 kube_router=v2.2.1

packages=(postgresql-15 postgresql-client-15 postgresql-15-postgis-3 mariadb-server mariadb-client slapd ldap-utils redis-server
  busybox-static dash jq curl shellcheck rclone openssl libfaketime unzip bzip2 xz-utils gcc libc6-dev)
programs=(kube-apiserver kube-controller-manager kubectl)
if [ "$with" = cluster ]; then
  packages+=(containerd runc containernetworking-plugins iproute2 nftables iptables ipset conntrack debootstrap)
  programs+=(kube-scheduler kubelet kube-proxy)
fi
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
    made_policy=$policy
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

# requiring NAME MODULE VERSION: makes a module here that requires that one, and
# fetches what it needs.
requiring() {
  go mod init "example.test/$1" 2>/dev/null
  go get "$2@$3" 2>said || { cat said >&2 && return 1; }
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
    requiring "$1" "$3" "$4"
    go build -mod=mod -tags "${5:-}" -trimpath -ldflags '-s -w' -o "$bin/$1" "$2"
  )
  rm -rf "$work"
  done_with "$1" "$4"
}

# unpack PACKAGE[=VERSION]: Debian's package, unpacked here and not installed.
unpack() {
  local fetching=(apt-get -qq -o APT::Sandbox::User=root download "$1")
  "${fetching[@]}" 2>/dev/null || { apt-get update -qq && "${fetching[@]}"; }
  dpkg-deb -x "${1%%=*}"_*.deb .
}

# source_of SOURCE PACKAGE PATH…: these folders of the upstream source of Debian's
# source package, in the version of the installed package, below .cache/e2e/data/SOURCE:
# data that others wrote. Nothing of it is in this project.
source_of() {
  local source=$1 version work list
  version=$(dpkg-query -W -f '${source:Version}' "$2")
  shift 2
  [ ! -e "$bin/data/$source/.$version" ] || return 0
  echo "e2e: fetching the source of $source $version" >&2
  work=$(mktemp -d)
  # Lists of their own, for Debian's sources are asked for nowhere else.
  mkdir -p "$work/lists/partial" "$work/root"
  list=$work/list.sources
  : >"$list"
  [ ! -e /etc/apt/sources.list ] || sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$work/list.list"
  [ ! -e /etc/apt/sources.list.d/debian.sources ] ||
    sed 's/^Types:.*/Types: deb-src/' /etc/apt/sources.list.d/debian.sources >"$list"
  mkdir "$work/parts"
  for list in "$work"/list.*; do [ ! -s "$list" ] || mv "$list" "$work/parts/"; done
  (
    cd "$work"
    asking=(apt-get -qq -o Dir::State::Lists="$work/lists" -o Dir::Etc::SourceList=/dev/null
      -o Dir::Etc::SourceParts="$work/parts" -o APT::Sandbox::User=root -o pkgCacheGen::Essential=none
      -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
    "${asking[@]}" update
    "${asking[@]}" source --download-only "$source=$version"
    set -- "${@/#/*/}"
    tar -xf ./*.orig.tar.?z* -C root --strip-components=1 --wildcards "$@"
  )
  rm -rf "$bin/data/$source"
  mkdir -p "$bin/data"
  mv "$work/root" "$bin/data/$source"
  touch "$bin/data/$source/.$version"
  rm -rf "$work"
}

source_of openldap slapd tests/data
# PostgreSQL's own regression tests, and the library of C functions that they load.
source_of postgresql-15 postgresql-15 src/test/regress
regress=$bin/data/postgresql-15/src/test/regress
if [ ! -e "$regress/regress.so" ]; then
  echo "e2e: building the library of PostgreSQL's own tests" >&2
  work=$(mktemp -d)
  (
    cd "$work"
    # The headers alone: the package would bring a compiler of its own.
    unpack "postgresql-server-dev-15=$(dpkg-query -W -f '${Version}' postgresql-15)"
    gcc -O1 -w -fPIC -shared -I usr/include/postgresql/15/server -o "$regress/regress.so" "$regress/regress.c"
  )
  rm -rf "$work"
fi

# MariaDB's own tests: what others have thought of that a table may hold.
version=$(dpkg-query -W -f '${Version}' mariadb-server)
if [ ! -e "$bin/data/mariadb/.${version//:/.}" ]; then
  echo "e2e: unpacking the tests of MariaDB $version" >&2
  work=$(mktemp -d)
  (cd "$work" && unpack "mariadb-test-data=$version")
  rm -rf "$bin/data/mariadb"
  mkdir -p "$bin/data"
  mv "$work/usr/share/mysql/mysql-test" "$bin/data/mariadb"
  touch "$bin/data/mariadb/.${version//:/.}"
  rm -rf "$work"
fi

# Vault needs more modules than all others, so they come while those are built. If
# they do not come, the build below says why.
if ! built vault "$vault"; then
  (
    work=$(mktemp -d)
    cd "$work"
    requiring vault github.com/hashicorp/vault "$vault" || true
    rm -rf "$work"
  ) >/dev/null 2>&1 &
fi

# The shell of Alpine's busybox finds an applet only where PATH has it. That of
# Debian's busybox-static finds all of them everywhere, so roots get the other
# package's. The two exclude each other: it is unpacked, not installed.
version=$(dpkg-query -W -f '${Version}' busybox-static)
version=${version#*:}
if ! built busybox "$version"; then
  echo "e2e: unpacking busybox $version" >&2
  work=$(mktemp -d)
  (
    cd "$work"
    unpack busybox
    install -m 0755 bin/busybox "$bin/busybox"
  )
  rm -rf "$work"
  done_with busybox "$version"
fi

program versitygw github.com/versity/versitygw/cmd/versitygw github.com/versity/versitygw "$versitygw"
program restic github.com/restic/restic/cmd/restic github.com/restic/restic "$restic"
program rclone github.com/rclone/rclone github.com/rclone/rclone "$rclone"

# Kubernetes replaces its own staging modules by folders; here each is replaced
# by the released module of the same version.
lacking=()
for name in "${programs[@]}" etcd; do
  built "$name" "$kubernetes" || lacking+=("$name")
done
if [ ${#lacking[@]} -gt 0 ]; then
  echo "e2e: building ${lacking[*]} of Kubernetes $kubernetes" >&2
  work=$(mktemp -d)
  (
    cd "$work"
    mkdir etcd
    printf 'package main\n\nimport (\n\t"os"\n\n\t"go.etcd.io/etcd/server/v3/etcdmain"\n)\n\nfunc main() { etcdmain.Main(os.Args) }\n' >etcd/main.go
    printf '//go:build tools\n\npackage tools\n\nimport (\n' >tools.go
    for name in "${programs[@]}"; do
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
    for name in "${lacking[@]}"; do
      case $name in
        etcd) go build -trimpath -ldflags '-s -w' -o "$bin/etcd" ./etcd ;;
        *) go build -trimpath -ldflags "$flags" -o "$bin/$name" "k8s.io/kubernetes/cmd/$name" ;;
      esac
    done
  )
  rm -rf "$work"
  for name in "${lacking[@]}"; do done_with "$name" "$kubernetes"; done
fi

# Without the plugins of other makers: a tenth of the time. Version 1.21.4 asks
# for a version of its own SDK that it does not fit.
program vault github.com/hashicorp/vault github.com/hashicorp/vault "$vault" minimal

# module_of NAME MODULE VERSION PATH…: these folders of a Go module, below
# .cache/e2e/data/NAME: data that others wrote.
module_of() {
  local name=$1 module=$2 version=$3 from
  shift 3
  [ ! -e "$bin/data/$name/.$version" ] || return 0
  echo "e2e: fetching the module $module $version" >&2
  from=$(go mod download -json "$module@$version" | jq -r .Dir)
  rm -rf "$bin/data/$name"
  mkdir -p "$bin/data/$name"
  (cd "$from" && cp -r --parents "$@" "$bin/data/$name")
  chmod -R u+w "$bin/data/$name"
  touch "$bin/data/$name/.$version"
}

module_of cert-manager github.com/cert-manager/cert-manager "$cert_manager" deploy/crds test/fixtures
module_of k8up github.com/k8up-io/k8up/v2 "$k8up" config/crd/apiextensions.k8s.io/v1 config/samples

[ "$with" = cluster ] || exit 0

# Debian's packages for the image come while the rest is built: that is mostly
# waiting. If they do not come, the end of this script says why.
image=$bin/image
if [ ! -e "$image/root.done" ]; then
  rm -rf "$image/root"
  mkdir -p "$image"
  debootstrap --variant=minbase --include=postgresql-15,mariadb-server,slapd,ldap-utils,ca-certificates,tzdata \
    bookworm "$image/root" >"$image/debootstrap.log" 2>&1 &
  debootstrap=$!
fi

program k8up github.com/k8up-io/k8up/v2/cmd/k8up github.com/k8up-io/k8up/v2 "$k8up"
if ! [ -e "$bin/k8up-config/$k8up" ]; then
  rm -rf "$bin/k8up-config"
  module=$(go mod download -json "github.com/k8up-io/k8up/v2@$k8up" | jq -r .Dir)
  mkdir -p "$bin/k8up-config"
  cp -r "$module/config/crd/apiextensions.k8s.io/v1" "$bin/k8up-config/crd"
  cp "$module/config/rbac/role.yaml" "$bin/k8up-config/role.yaml"
  chmod -R u+w "$bin/k8up-config"
  touch "$bin/k8up-config/$k8up"
fi

# The module calls itself by another name than the one it is fetched by.
if ! built kube-router "$kube_router"; then
  echo "e2e: building kube-router $kube_router" >&2
  work=$(mktemp -d)
  (
    cd "$work"
    go mod init example.test/kube-router 2>/dev/null
    go mod edit -require "github.com/cloudnativelabs/kube-router/v2@$kube_router" \
      -replace "github.com/cloudnativelabs/kube-router/v2=github.com/k3s-io/kube-router/v2@$kube_router"
    printf 'package main\n\nimport _ "github.com/cloudnativelabs/kube-router/v2/pkg/cmd"\n\nfunc main() {}\n' >main.go
    go mod tidy 2>/dev/null
    go build -mod=mod -trimpath -ldflags '-s -w' -o "$bin/kube-router" github.com/cloudnativelabs/kube-router/v2/cmd/kube-router
  )
  rm -rf "$work"
  done_with kube-router "$kube_router"
fi

# CoreDNS with the five plugins that the cluster's DNS needs, not all fifty.
if ! built coredns "$coredns"; then
  echo "e2e: building CoreDNS $coredns" >&2
  work=$(mktemp -d)
  (
    cd "$work"
    go mod init example.test/coredns 2>/dev/null
    {
      printf 'package main\n\nimport (\n\t"github.com/coredns/coredns/core/dnsserver"\n\t"github.com/coredns/coredns/coremain"\n'
      for plugin in errors health ready cache kubernetes; do printf '\t_ "github.com/coredns/coredns/plugin/%s"\n' "$plugin"; done
      printf ')\n\nfunc main() {\n\tdnsserver.Directives = []string{"health", "ready", "errors", "cache", "kubernetes"}\n\tcoremain.Run()\n}\n'
    } >main.go
    go get "github.com/coredns/coredns@$coredns" 2>/dev/null
    go mod tidy 2>/dev/null
    go build -mod=mod -trimpath -ldflags '-s -w' -o "$bin/coredns" .
  )
  rm -rf "$work"
  done_with coredns "$coredns"
fi

# One image for all servers and applications of the cluster: Debian's, and those
# from above. The images that rendered manifests name are made by the tests, from
# their contracts.
content="$versitygw $vault $coredns 3"
if [ ! -e "$image/image.tar" ] || [ "$(cat "$image/content" 2>/dev/null)" != "$content" ]; then
  echo "e2e: making the image of the cluster's servers" >&2
  if [ ! -e "$image/root.done" ]; then
    wait "$debootstrap" || { tail -n 20 "$image/debootstrap.log" >&2; exit 1; }
    debootstrap=
    rm -rf "$image"/root/var/{cache/apt,lib/apt/lists,log,lib/mysql,lib/postgresql,lib/ldap}/* "$image"/root/usr/share/{doc,man,locale,info}/* "$image"/root/boot "$image"/root/dev/* "$image"/root/etc/ldap/slapd.d
    # initdb asks for its user's name.
    echo 'desk:x:1000:1000::/tmp:/bin/sh' >>"$image/root/etc/passwd"
    touch "$image/root.done"
  fi
  rm -f "$image"/root/usr/local/bin/*
  for name in vault versitygw coredns; do install -m 0755 "$bin/$name" "$image/root/usr/local/bin/$name"; done
  (cd e2e && go build -o "$bin/" ./cluster/pause ./cluster/pack)
  install -m 0755 "$bin/pause" "$image/root/usr/local/bin/pause"
  "$bin/pack" -root "$image/root" -name holdfast.test/e2e:1 -o "$image/image.tar"
  echo "$content" >"$image/content"
fi
