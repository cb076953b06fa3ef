#!/bin/sh
# Prints the mirror that this machine has its own Debian packages from.
set -eu
# shellcheck disable=SC2016 # It is apt-get that replaces $(REPO_URI).
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' 'Label: Debian' |
  sed -n 's:/*$::; /^http/p; q')
echo "${mirror:-http://deb.debian.org/debian}"
