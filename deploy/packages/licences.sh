#!/bin/sh
# Prints the licence texts of all crates that a binary for TARGET is made of: licences.sh TARGET
set -eu
cargo tree --locked --edges normal,build --target "$1" --prefix none --format '{p}|{l}' | sed 's/ (\*)$//' | LC_ALL=C sort -u |
  while IFS='|' read -r package licence; do
    name=${package%% *}
    version=$(printf '%s\n' "$package" | cut -d' ' -f2)
    [ "$name" != wattprint ] || continue
    printf '\n==== %s %s: %s\n' "$name" "${version#v}" "$licence"
    for directory in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$name-${version#v}"; do
      find "$directory" -maxdepth 1 -type f -iregex '.*/\(licen[cs]e\|copying\|notice\|copyright\|unlicense\)[^/]*' |
        LC_ALL=C sort | while read -r text; do
        printf '\n-- %s\n\n' "${text##*/}"
        cat "$text"
      done
    done
  done
