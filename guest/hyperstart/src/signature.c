#include "signature.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"

struct signature {
  size_t offset;
  size_t length;
  const char *bytes;
  const char *name;
};

#define SIGNATURE(offset, bytes, name)                                                                                           \
  { offset, sizeof(bytes) - 1, bytes, name }

// The most specific first: a FAT boot sector also ends in 55 aa.
static const struct signature signatures[] = {
    SIGNATURE(0x438, "\x53\xef", "ext4"),
    SIGNATURE(0, "XFSB", "xfs"),
    SIGNATURE(0x10040, "_BHRfS_M", "btrfs"),
    SIGNATURE(0, "hsqs", "squashfs"),
    SIGNATURE(1024, "\xe2\xe1\xf5\xe0", "erofs"),
    SIGNATURE(1024, "\x10\x20\xf5\xf2", "f2fs"),
    SIGNATURE(0, "LUKS\xba\xbe", "LUKS encrypted volume"),
    SIGNATURE(0x218, "LVM2 001", "LVM physical volume"),
    SIGNATURE(0x18, "LVM2 001", "LVM physical volume"),
    SIGNATURE(0x418, "LVM2 001", "LVM physical volume"),
    SIGNATURE(0x618, "LVM2 001", "LVM physical volume"),
    SIGNATURE(4096, "\xfc\x4e\x2b\xa9", "Linux RAID member"),
    SIGNATURE(0, "\xfc\x4e\x2b\xa9", "Linux RAID member"),
    SIGNATURE(4086, "SWAPSPACE2", "swap area"),
    SIGNATURE(4086, "SWAP-SPACE", "swap area"),
    SIGNATURE(0x10034, "ReIsEr", "reiserfs"),
    SIGNATURE(0x8000, "JFS1", "jfs"),
    SIGNATURE(0x8001, "CD001", "ISO 9660"),
    SIGNATURE(1030, "\x34\x34", "nilfs2"),
    SIGNATURE(0x1018, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", "bcache"),
    SIGNATURE(0x10000, "\x01\x16\x19\x70", "gfs2"),
    SIGNATURE(0, "QFI\xfb", "qcow2 image"),
    SIGNATURE(3, "NTFS    ", "ntfs"),
    SIGNATURE(3, "EXFAT   ", "exfat"),
    SIGNATURE(0x36, "FAT", "vfat"),
    SIGNATURE(0x52, "FAT32", "vfat"),
    SIGNATURE(512, "EFI PART", "GPT partition table"),
    SIGNATURE(510, "\x55\xaa", "MBR partition table"),
};

const char *signature_name(const uint8_t *start, size_t length) {
  for (size_t index = 0; index < sizeof signatures / sizeof signatures[0]; index++) {
    const struct signature *signature = &signatures[index];
    if (signature->offset + signature->length > length) continue;
    if (memcmp(start + signature->offset, signature->bytes, signature->length) == 0) return signature->name;
  }
  return NULL;
}

static bool read_at(int fd, uint8_t *data, size_t length, uint64_t offset) {
  while (length > 0) {
    ssize_t got = pread(fd, data, length, (off_t)offset);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    data += got;
    length -= (size_t)got;
    offset += (uint64_t)got;
  }
  return true;
}

static bool is_zero(const uint8_t *data, size_t length) {
  return length == 0 || (data[0] == 0 && memcmp(data, data + 1, length - 1) == 0);
}

enum disk_content signature_read(int fd, uint64_t size, const char **name) {
  size_t length = size < SIGNATURE_EDGE_BYTES ? (size_t)size : SIGNATURE_EDGE_BYTES;
  cleanup_free uint8_t *edge = memory_alloc(length);
  if (!read_at(fd, edge, length, 0)) return DISK_UNREADABLE;
  *name = signature_name(edge, length);
  if (*name != NULL) return DISK_KNOWN;
  bool start_is_zero = is_zero(edge, length);
  if (!read_at(fd, edge, length, size - length)) return DISK_UNREADABLE;
  return start_is_zero && is_zero(edge, length) ? DISK_BLANK : DISK_UNKNOWN;
}
