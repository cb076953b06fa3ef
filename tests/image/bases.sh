#!/bin/sh
# Lays out in a directory what the image is built from where no registry can be reached:
#
#   rootfs   Debian with a C compiler, as the build image is, but for Rust: the test mounts the machine's own
#   runtime  glibc, libgcc, certificates and users, as the final base is, with no program at all
#   vendor   the crates of the lock file
#
# Needs root, debootstrap and cargo. What is there already stays.
set -eu

[ $# = 1 ] || { echo "usage: $0 DIRECTORY" >&2; exit 2; }
repository=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
cd "$1"

if [ ! -d rootfs ]; then
  rm -rf rootfs.new
  debootstrap --variant=minbase --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
    --include=gcc,libc6-dev,ca-certificates bookworm rootfs.new "$("$repository/tests/debian_mirror.sh")"
  mkdir -p rootfs.new/usr/local/cargo
  cat > rootfs.new/usr/local/cargo/config.toml <<'END'
[source.crates-io]
replace-with = "vendored-sources"

[source.vendored-sources]
directory = "/vendor"
END
  rm -rf rootfs.new/var/cache/apt/archives rootfs.new/var/lib/apt/lists
  mv rootfs.new rootfs
fi

if [ ! -d runtime ]; then
  rm -rf runtime.new
  mkdir -p runtime.new/tmp runtime.new/home/nonroot
  chmod 1777 runtime.new/tmp
  cat rootfs/var/lib/dpkg/info/libc6:*.list rootfs/var/lib/dpkg/info/libgcc-s1:*.list | grep -E '^/lib.*\.so' | sed 's|^/||' > libraries
  echo etc/ssl/certs/ca-certificates.crt >> libraries
  tar -C rootfs -cf - --dereference --hard-dereference -T libraries | tar -C runtime.new -xf -
  echo 12 > runtime.new/etc/debian_version
  echo 'root:x:0:0:root:/root:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' > runtime.new/etc/passwd
  echo 'root:x:0:
nonroot:x:65532:' > runtime.new/etc/group
  mv runtime.new runtime
fi

if ! cmp -s "$repository/Cargo.lock" vendor.lock; then
  rm -rf vendor
  # It prints the configuration that the root above has.
  cargo vendor --manifest-path "$repository/Cargo.toml" --locked --quiet --versioned-dirs vendor > vendor.log
  cp "$repository/Cargo.lock" vendor.lock
fi
