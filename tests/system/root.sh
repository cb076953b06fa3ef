#!/bin/sh
# Makes the root file system of the machines that the tests boot: root.sh DIRECTORY. Debian 12, from the mirror that this
# machine has its own packages from.
set -eu
root=$1
tests=$(cd "$(dirname "$0")/.." && pwd)
[ ! -e "$root/etc/os-release" ] || exit 0
# Half a root must not be taken for one.
rm -rf "$root.new" "$root"
debootstrap --variant=minbase --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
  --include=systemd,systemd-sysv,dbus,libpam-systemd,curl,ca-certificates,procps \
  bookworm "$root.new" "$("$tests/debian_mirror.sh")" >"$root.log" 2>&1 || {
  tail -n 5 "$root.log" >&2
  exit 1
}
# Kernel variables are the host's, and two machines that start at once would be in each other's way.
ln -s /dev/null "$root.new/etc/systemd/system/systemd-sysctl.service"
mv "$root.new" "$root"
