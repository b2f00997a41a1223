#!/usr/bin/env bash
# Builds the release: for each platform a static binary and a list of what is in
# it, and checksums over all. The same commit and Go release give the same bytes
# in any folder, on any machine.
#   VERSION    what the binaries call themselves; from git by default
#   PLATFORMS  "os/arch …"
#   OUT        the folder to write to
set -euo pipefail
cd "$(dirname "$0")/.."
version=${VERSION:-$(git describe --tags --always --dirty)}
platforms=${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64}
out=${OUT:-bin/dist}

# Settings of the builder's own must not reach the binaries.
unset GOAMD64 GOARM64 GOEXPERIMENT GOFIPS140
export CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOWORK=off

rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
(cd hack/sbom && go build -o "$scratch/sbom" .)
for platform in $platforms; do
  name=holdfast-${platform/\//-}
  echo "dist: $name $version" >&2
  GOOS=${platform%/*} GOARCH=${platform#*/} go build -trimpath \
    -ldflags "-s -w -buildid= -X main.release=$version" -o "$out/$name" ./cmd/holdfast
  "$scratch/sbom" "$out/$name" "$version" >"$out/$name.cdx.json"
done
cd "$out"
LC_ALL=C sha256sum holdfast-* >SHA256SUMS
