// A disk is formatted only if it is blank: what counts as that.
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "signature.h"

#define DISK_SIZE (4u * 1024 * 1024)

static int disk;

static enum disk_content content_with(uint64_t offset, const void *bytes, size_t length, const char **name) {
  CHECK(ftruncate(disk, 0) == 0 && ftruncate(disk, DISK_SIZE) == 0);
  CHECK(pwrite(disk, bytes, length, (off_t)offset) == (ssize_t)length);
  return signature_read(disk, DISK_SIZE, name);
}

static void test_known(uint64_t offset, const char *bytes, size_t length, const char *expected) {
  const char *name = NULL;
  CHECK(content_with(offset, bytes, length, &name) == DISK_KNOWN);
  CHECK(strcmp(name, expected) == 0);
}

int main(void) {
  char path[] = "/tmp/hn-signature-XXXXXX";
  const char *name = NULL;
  disk = mkstemp(path);
  CHECK(disk >= 0 && unlink(path) == 0);

  CHECK(content_with(0, "", 0, &name) == DISK_BLANK);
  test_known(0x438, "\x53\xef", 2, "ext4");
  test_known(0, "XFSB", 4, "xfs");
  test_known(0, "hsqs", 4, "squashfs");
  test_known(510, "\x55\xaa", 2, "MBR partition table");
  test_known(512, "EFI PART", 8, "GPT partition table");
  test_known(0x10040, "_BHRfS_M", 8, "btrfs");
  test_known(4086, "SWAPSPACE2", 10, "swap area");
  test_known(0, "LUKS\xba\xbe", 6, "LUKS encrypted volume");
  test_known(0x8001, "CD001", 5, "ISO 9660");

  // One byte anywhere in either edge is enough not to be blank.
  CHECK(content_with(0, "x", 1, &name) == DISK_UNKNOWN);
  CHECK(content_with(SIGNATURE_EDGE_BYTES - 1, "x", 1, &name) == DISK_UNKNOWN);
  CHECK(content_with(DISK_SIZE - 1, "x", 1, &name) == DISK_UNKNOWN);
  CHECK(content_with(DISK_SIZE - SIGNATURE_EDGE_BYTES, "x", 1, &name) == DISK_UNKNOWN);
  // Smaller than an edge.
  CHECK(ftruncate(disk, 0) == 0 && ftruncate(disk, 4096) == 0);
  CHECK(signature_read(disk, 4096, &name) == DISK_BLANK);
  // Claims to be larger than it is.
  CHECK(signature_read(disk, DISK_SIZE, &name) == DISK_UNREADABLE);
  close(disk);
  return 0;
}
