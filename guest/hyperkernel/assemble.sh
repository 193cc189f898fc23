#!/usr/bin/env bash
# Assembles kernel, initramfs and tools image of the guest: assemble.sh <cacheDir>. See guest/README.md.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
# shellcheck source=guest/hyperkernel/kernel.sh
source "$here/kernel.sh"
# shellcheck source=guest/hyperkernel/initramfs.sh
source "$here/initramfs.sh"
# shellcheck source=guest/hyperkernel/tools.sh
source "$here/tools.sh"

fail() {
  echo "assemble.sh: $*" >&2
  exit 1
}

# SHA-256 over names and contents of everything that goes in. The kernel is named by its package file.
inputs_hash() { # kernel package file
  {
    basename "$1"
    cd "$repository"
    find guest/hyperkernel guest/hyperstart/src proto/hyperstart -type f -print0 | sort -z | xargs -0 sha256sum
    sha256sum guest/hyperstart/Makefile
    tools_fingerprint "$here/tools.list"
  } | sha256sum | cut -d' ' -f1
}

# True if current.json was made from these inputs and its files are there.
is_current() { # current.json, inputs
  local file
  grep -qs "\"inputs\": \"$2\"" "$1" || return 1
  for file in kernel initramfs tools; do
    [ -s "$(sed -n "s/.*\"$file\": \"\(.*\)\",/\1/p" "$1")" ] || return 1
  done
}

# Moves the three files to their place, named by content, and points current.json there.
publish() { # staging folder, output folder, kernel release, inputs
  local id target
  id=$(cd "$1" && sha256sum vmlinuz initramfs.cpio tools.squashfs | sha256sum | cut -d' ' -f1)
  target="$2/$id"
  chmod 0755 "$1"
  chmod 0644 "$1"/*
  if [ -e "$target" ]; then rm -rf "$1"; else
    sync -f "$1"
    mv -T "$1" "$target"
  fi
  cat >"$2/current.json.new" <<JSON
{
  "id": "$id",
  "kernel": "$target/vmlinuz",
  "initramfs": "$target/initramfs.cpio",
  "tools": "$target/tools.squashfs",
  "kernelRelease": "$3",
  "inputs": "$4"
}
JSON
  chmod 0644 "$2/current.json.new"
  sync "$2/current.json.new"
  mv -T "$2/current.json.new" "$2/current.json"
}

main() {
  [ $# -eq 1 ] || fail "usage: assemble.sh <cacheDir>"
  mkdir -p "$1/guest/packages"
  local output package inputs unpacked release
  output=$(cd "$1/guest" && pwd)
  chmod 0755 "$output"
  exec 9>"$output/.lock"
  flock 9
  package=$(kernel_package "$output/packages")
  inputs=$(inputs_hash "$package")
  if is_current "$output/current.json" "$inputs"; then return; fi

  work=$(mktemp -d "$output/.work.XXXXXX")
  trap 'rm -rf "${work:-}"' EXIT
  unpacked=$(kernel_unpack "$package")
  release=$(kernel_release "$unpacked")
  make --no-print-directory -s -C "$repository/guest/hyperstart" BUILD="$work/build" "$work/build/hyperstart"
  mkdir "$work/image"
  cp "$unpacked/boot/vmlinuz-$release" "$work/image/vmlinuz"
  initramfs_build "$unpacked" "$release" "$work/build/hyperstart" "$here/modules.list" "$work/image/initramfs.cpio"
  tools_modules "$unpacked" "$release" "$work/tools"
  tools_build "$here/tools.list" "$work/tools" "$work/image/tools.squashfs"
  publish "$work/image" "$output" "$release" "$inputs"
}

main "$@"
