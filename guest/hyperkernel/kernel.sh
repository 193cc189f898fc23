# shellcheck shell=bash
# The distribution kernel: downloaded and unpacked into the cache, never installed.

kernel_meta_package=linux-image-cloud-amd64

# Prints the path of the kernel's package file; downloads it if the cache has none.
kernel_package() { # packages folder
  local cached name partial
  cached=$(find "$1" -maxdepth 1 -name 'linux-image-*.deb' | sort -V | tail -n 1)
  if [ -n "$cached" ]; then
    echo "$cached"
    return
  fi
  name=$(apt-cache depends "$kernel_meta_package" 2>/dev/null | awk '/^ *Depends: linux-image-/ { print $2; exit }')
  [ -n "$name" ] || fail "apt knows no $kernel_meta_package: run 'apt-get update' and see that the Debian archive is in its sources"
  partial=$(mktemp -d "$1/.download.XXXXXX")
  # As root apt drops to the user _apt, who cannot write here: the package's signature chain is checked all the same.
  (cd "$partial" && apt-get -qq -o APT::Sandbox::User=root download "$name") >&2 ||
    fail "download of $name failed: check the network and 'apt-get update'"
  mv "$partial"/linux-image-*.deb "$1/"
  rmdir "$partial"
  find "$1" -maxdepth 1 -name 'linux-image-*.deb' | sort -V | tail -n 1
}

# Prints the folder the package is unpacked in, beside the package.
kernel_unpack() { # package file
  local folder=${1%.deb}
  if [ ! -e "$folder/.complete" ]; then
    rm -rf "$folder"
    dpkg-deb -x "$1" "$folder"
    depmod -b "$folder" "$(kernel_release "$folder")"
    touch "$folder/.complete"
  fi
  echo "$folder"
}

kernel_release() { # unpacked folder
  basename "$(echo "$1"/lib/modules/*)"
}
