# shellcheck shell=bash
# The tools image: file system programs of this machine's distribution with their libraries and loader, as a squashfs. hyperstart runs
# them as lib/ld-linux-x86-64.so.2 --library-path lib bin/<program>.

# Prints the paths of the programs of the list that are on this machine.
tools_programs() { # list file
  local name optional path
  grep -v '^#' "$1" | while read -r name; do
    optional=${name##*[!?]}
    name=${name%\?}
    path=$(PATH="/usr/sbin:/sbin:/usr/bin:/bin" command -v "$name" || true)
    if [ -n "$path" ]; then
      readlink -f "$path" | sed "s|\$| $name|"
    elif [ -z "$optional" ]; then
      fail "program $name is missing: install e2fsprogs and util-linux"
    fi
  done
}

tools_fingerprint() { # list file
  tools_programs "$1" | cut -d' ' -f1 | xargs sha256sum
}

# Modules that hyperstart loads only when a volume needs them, as modules/<file system>.ko.
tools_modules() { # unpacked kernel, release, work folder
  mkdir -p "$3/modules"
  find "$1/lib/modules/$2/kernel/fs/xfs" -name xfs.ko -exec cp {} "$3/modules/" \;
}

tools_build() { # list file, work folder, output
  local path name library
  mkdir -p "$2/bin" "$2/lib" "$2/etc"
  while read -r path name; do
    cp "$path" "$2/bin/$name"
    while read -r library; do
      cp -L "$library" "$2/lib/$(basename "$library")"
    done < <(ldd "$path" | grep -o '/[^ ]*')
  done < <(tools_programs "$1")
  ln -s mke2fs "$2/bin/mkfs.ext4"
  ln -s e2fsck "$2/bin/fsck.ext4"
  [ ! -e /etc/mke2fs.conf ] || cp /etc/mke2fs.conf "$2/etc/"
  find "$2" -exec touch -h -d @0 {} +
  mksquashfs "$2" "$3" -quiet -no-progress -all-root -noappend -mkfs-time 0 -comp zstd -Xcompression-level 9 >/dev/null
}
