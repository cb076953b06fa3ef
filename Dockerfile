# The image of wattprint: one program on a base that has glibc and nothing to log in with.
#
#   docker buildx build --platform linux/amd64,linux/arm64 \
#     --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" \
#     --build-arg CREATED="$(git log -1 --format=%cI)" --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" \
#     --output type=registry,rewrite-timestamp=true --tag registry.example.com/wattprint:0.1.0 .
#
#   buildah build --format docker --timestamp "$(git log -1 --format=%ct)" --build-arg ... --tag wattprint .
#
# The same sources, arguments and bases give the same layers, to the bit: rewrite-timestamp and --timestamp set the times of files,
# and bases are the same where they are pinned by digest. Every platform is built by a builder of its own (a node of that platform,
# or QEMU), so no cross compiler is needed. buildah and podman need `--format docker`, as the health check is no part of OCI's format.

# Both bases are whole references, so that each can be pinned: --build-arg BUILD_IMAGE=docker.io/library/rust@sha256:...
ARG RUST_VERSION=1.95.0
ARG DEBIAN=bookworm
ARG DEBIAN_NUMBER=12
ARG BUILD_IMAGE=docker.io/library/rust:${RUST_VERSION}-slim-${DEBIAN}
# glibc and not musl, since the driver's library is loaded at run time. Its glibc must not be older than the builder's.
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian${DEBIAN_NUMBER}:latest

FROM ${BUILD_IMAGE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /build
ENV CARGO_INCREMENTAL=0 \
    CARGO_TARGET_DIR=/build/target \
    CARGO_TERM_COLOR=never \
    CARGO_PROFILE_RELEASE_STRIP=debuginfo \
    RUSTFLAGS="--remap-path-prefix=/build=wattprint --remap-path-prefix=/usr/local/cargo/registry/src=crates"

# Dependencies are a layer of their own, which changes only with the lock file. Stand-ins for the sources are enough to
# build them; what was made of these must go, or Cargo takes it for newer than the sources.
COPY Cargo.toml Cargo.lock ./
COPY tests/fake-nvml/Cargo.toml tests/fake-nvml/
RUN mkdir -p src benches tests/fake-nvml/src \
 && echo '//! Stands in.' | tee src/lib.rs tests/fake-nvml/src/lib.rs > /dev/null \
 && printf '//! Stands in.\nfn main() {}\n' | tee src/main.rs benches/micro.rs benches/load.rs benches/rules.rs > /dev/null \
 && cargo build --locked --release --bin wattprint \
 && cargo clean --locked --release --package wattprint \
 && rm -r src

COPY LICENSE ./
COPY data data
COPY src src
RUN cargo build --locked --release --bin wattprint \
 && install -D -m 0755 target/release/wattprint /image/usr/bin/wattprint

# Licences: the own one, that of the data, and the texts of all crates that the lock file names.
RUN install -D -m 0644 -t /image/usr/share/doc/wattprint LICENSE data/LICENSE-MIT \
 && cargo metadata --locked --format-version 1 | grep -o '"manifest_path":"[^"]*"' | cut -d'"' -f4 \
    | { grep -v '^/build/' || true; } | xargs -r -n 1 dirname | LC_ALL=C sort -u > crates \
 && while read -r crate; do \
      find "$crate" -maxdepth 1 -type f -iregex '.*/\(licen[cs]e\|copying\|notice\|copyright\|unlicense\)[^/]*' \
        | LC_ALL=C sort | while read -r text; do printf '\n==== %s\n\n' "${crate##*/}/${text##*/}"; cat "$text"; done; \
    done < crates | gzip -9 -n > /image/usr/share/doc/wattprint/crates-licences.gz
# The kept state, for the image's user and, as a DaemonSet's root without CAP_DAC_OVERRIDE needs it, for group 0.
RUN install -d -o 65532 -g 0 -m 0770 /image/var/lib/wattprint \
# NVIDIA's container toolkit mounts the driver's library and tells the linker here where it is.
 && mkdir -p /image/etc/ld.so.conf.d \
 && cp /etc/ld.so.conf /image/etc/ \
 && cp /etc/ld.so.conf.d/*-linux-gnu.conf /image/etc/ld.so.conf.d/

FROM ${RUNTIME_IMAGE}
COPY --from=build /image/ /
ENV STATE_DIRECTORY=/var/lib/wattprint
VOLUME ["/var/lib/wattprint"]
EXPOSE 10125
# Enough for what all may read. The DaemonSet takes uid 0 with no capability but DAC_READ_SEARCH, as powercap is root's.
USER 65532:65532
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 CMD ["/usr/bin/wattprint", "health"]
ENTRYPOINT ["/usr/bin/wattprint"]

ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="wattprint" \
      org.opencontainers.image.description="Attributes power and CO2e to every process, container, pod, job, service and VM of a node" \
      org.opencontainers.image.source="https://github.com/wattprint/wattprint" \
      org.opencontainers.image.documentation="https://github.com/wattprint/wattprint/tree/main/docs" \
      org.opencontainers.image.licenses="Apache-2.0 AND MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
