# The image is a binary that `make dist` has built, and nothing else: no shell,
# no library, no package manager.
#
#   make dist
#   docker build --build-arg VERSION="$(git describe --tags --always --dirty)" -t holdfast .
#   docker build --target krm -t holdfast-krm .     # for kustomize: it gives a function no arguments
FROM scratch AS base
ARG TARGETOS=linux
ARG TARGETARCH=amd64
ARG VERSION=unknown
COPY --chmod=0555 bin/dist/holdfast-${TARGETOS}-${TARGETARCH} /holdfast
USER 65532:65532
LABEL org.opencontainers.image.title="holdfast" \
      org.opencontainers.image.description="Renders the backup of platform instances" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
ENTRYPOINT ["/holdfast"]

FROM base AS krm
ENTRYPOINT ["/holdfast", "krm"]

FROM base
