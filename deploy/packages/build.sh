#!/bin/sh
# Makes the packages: build.sh OUT PYTHON, from the root of the repository. PYTHON has ziglang, whose linker knows the symbols of
# old C libraries. TARGET names another Rust target whose standard library is installed.
set -eu
out=$1
# Build scripts run elsewhere.
case $2 in /*) python=$2 ;; *) python=$PWD/$2 ;; esac
target=${TARGET:-x86_64-unknown-linux-gnu}
# RHEL 7 and Debian 8; Rust's own floor.
glibc=2.17
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
tree=$out/tree
rm -rf "$out"
mkdir -p "$out"

# Paths of the machine that builds have no place in the binary.
remap="--remap-path-prefix=$PWD=wattprint --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=crates"
CARGO_ZIGBUILD_PYTHON_PATH=$python RUSTFLAGS="$remap" \
  cargo zigbuild --locked --release --target "$target.$glibc" --bin wattprint
binary=${CARGO_TARGET_DIR:-target}/$target/release/wattprint
install -D -m 0755 "$binary" "$tree/usr/bin/wattprint"
objcopy --strip-debug "$tree/usr/bin/wattprint" 2>/dev/null || echo "not stripped: objcopy doesn't know $target" >&2

# No symbol may be newer than the floor.
newest=$(readelf -W --dyn-syms "$tree/usr/bin/wattprint" | sed -n 's/.*@GLIBC_\([0-9.]*\).*/\1/p' | sort -uV | tail -n 1)
if [ "$(printf '%s\n%s\n' "$newest" "$glibc" | sort -V | tail -n 1)" != "$glibc" ]; then
  echo "the binary needs glibc $newest, and $glibc is the most" >&2
  exit 1
fi
echo "the binary needs glibc $newest"

install -D -m 0644 -t "$tree/usr/lib/systemd/system" systemd/wattprint.service systemd/wattprint.socket
install -D -m 0644 systemd/config.toml "$tree/etc/wattprint/config.toml"
install -D -m 0644 systemd/wattprint.default "$tree/etc/default/wattprint"
share=$tree/usr/share/wattprint
install -D -m 0644 -t "$share/dropins" systemd/dropins/*.conf
install -D -m 0644 -t "$share/prometheus" deploy/prometheus/*.yml
install -D -m 0644 -t "$share/prometheus/rules" deploy/prometheus/rules/*.yml
install -D -m 0644 -t "$share/alertmanager" deploy/alertmanager/alertmanager.yml
install -D -m 0644 -t "$share/dashboards" dashboards/*.json

# The manual and the completions are the program's own. One for this machine tells them where the target is another.
teller=$tree/usr/bin/wattprint
if ! "$teller" --version >/dev/null 2>&1; then
  cargo build --locked --release --bin wattprint
  teller=${CARGO_TARGET_DIR:-target}/release/wattprint
fi
mkdir -p "$out/man" "$tree/usr/share/man/man1" "$tree/usr/share/man/man5"
"$teller" man "$out/man"
for page in "$out"/man/*; do
  gzip -9 -n <"$page" >"$tree/usr/share/man/man${page##*.}/${page##*/}.gz"
done
rm -r "$out/man"
mkdir -p "$out/zsh" "$tree/usr/share/bash-completion/completions" "$tree/usr/share/fish/vendor_completions.d"
"$teller" completions bash >"$tree/usr/share/bash-completion/completions/wattprint"
"$teller" completions fish >"$tree/usr/share/fish/vendor_completions.d/wattprint.fish"
"$teller" completions zsh >"$out/zsh/_wattprint"

# What it is made of: a list for machines, and the licences' texts.
doc=$tree/usr/share/doc/wattprint
cargo cyclonedx --quiet --format json --target "$target" --override-filename wattprint-sbom
rm -f tests/fake-nvml/wattprint-sbom.json
install -D -m 0644 -t "$doc" wattprint-sbom.json README.md data/LICENSE-MIT
gzip -9 -n <CHANGELOG.md >"$doc/changelog.gz"
mv wattprint-sbom.json "$out/wattprint-sbom.cdx.json"
deploy/packages/licences.sh "$target" | gzip -9 -n >"$doc/crates-licences.gz"
{
  echo "Copyright 2026 The wattprint authors"
  echo
  echo "wattprint is under the Apache License 2.0: on Debian /usr/share/common-licenses/Apache-2.0, elsewhere"
  echo "/usr/share/licenses/wattprint/LICENSE. The tables compiled into it have licences of their own, row by row:"
  echo "https://github.com/wattprint/wattprint/blob/main/data/README.md. The texts of its crates' licences are in crates-licences.gz."
} >"$doc/copyright"
chmod 0644 "$doc"/*

# Debian wants one of its own form; what changed stands in the other.
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
maintainer=$(sed -n 's/^maintainer = "\(.*\)"/\1/p' Cargo.toml)
printf 'wattprint (%s-1) stable; urgency=medium\n\n  * What changed stands in changelog.gz.\n\n -- %s  %s\n' \
  "$version" "$maintainer" "$(date --utc --rfc-email --date "@$SOURCE_DATE_EPOCH")" >"$out/changelog"

cargo deb --quiet --no-build --no-strip --target "$target" --output "$out/"
cargo generate-rpm --target "$target" --output "$out/"
cd "$out"
sha256sum ./*.deb ./*.rpm ./*.json >SHA256SUMS
ls -l
