# shellcheck shell=bash
# The initramfs: hyperstart as /init and the modules it loads. Uncompressed: the kernel then copies it and nothing else
# (docs/adr/guest-initramfs.md has the figures).

# Prints the modules of a list with all they depend on, in the order to load them, as paths below lib/modules/<release>.
initramfs_modules() { # modules folder, list file
  local name
  grep -v '^#' "$2" | while read -r name; do
    [ -n "$name" ] || continue
    awk -v module="$name" '
      BEGIN { gsub(/[-_]/, "[-_]", module) }
      $1 ~ "/" module "\\.ko:$" { for (i = NF; i > 1; i--) print $i; sub(/:$/, "", $1); print $1; found = 1 }
      END { if (!found) exit 1 }' "$1/modules.dep" ||
      fail "the kernel in $1 has no module $name"
  done | awk '!seen[$0]++'
}

initramfs_build() { # unpacked kernel, release, hyperstart binary, list file, output
  local root modules path number=0
  modules="$1/lib/modules/$2"
  root=$(mktemp -d "$(dirname "$5")/root.XXXXXX")
  mkdir -p "$root/dev" "$root/modules"
  cp "$3" "$root/init"
  initramfs_modules "$modules" "$4" >"$root/order"
  while read -r path; do
    number=$((number + 1))
    cp "$modules/$path" "$root/modules/$(printf '%02d' "$number")-$(basename "$path")"
  done <"$root/order"
  rm "$root/order"
  (cd "$root/modules" && ls) >"$root/modules.list"
  find "$root" -exec touch -h -d @0 {} +
  (cd "$root" && find . -print0 | sort -z | cpio --quiet --null --create --format=newc --owner=0:0 --reproducible) >"$5"
  rm -rf "$root"
}
