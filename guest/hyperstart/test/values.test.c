// Small pure functions.
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "address.h"
#include "capability.h"
#include "cgroup.h"
#include "check.h"
#include "identifier.h"
#include "mount-option.h"
#include "ring.h"
#include "rlimit.h"

static void test_weights(void) {
  CHECK(cgroup_weight_of_shares(2) == 1);
  CHECK(cgroup_weight_of_shares(1) == 1);
  CHECK(cgroup_weight_of_shares(1024) == 39);
  CHECK(cgroup_weight_of_shares(262144) == 10000);
  CHECK(cgroup_weight_of_shares(1000000) == 10000);
}

static void test_names(void) {
  CHECK(capability_number("CAP_CHOWN") == 0 && capability_number("net_admin") == 12 &&
        capability_number("CAP_CHECKPOINT_RESTORE") == 40);
  CHECK(capability_number("CAP_NOTHING") < 0 && capability_number("") < 0);
  CHECK(rlimit_number("RLIMIT_NOFILE") == RLIMIT_NOFILE && rlimit_number("NOFILE") < 0);
  CHECK(identifier_is_valid("a.b-C_9") && !identifier_is_valid("") && !identifier_is_valid("..") && !identifier_is_valid("a/b"));
  char long_name[200];
  memset(long_name, 'a', 129);
  long_name[129] = '\0';
  CHECK(!identifier_is_valid(long_name));
  long_name[128] = '\0';
  CHECK(identifier_is_valid(long_name));
}

static void test_addresses(void) {
  struct address address;
  CHECK(address_parse("10.0.0.5/24", &address) && address.family == AF_INET && address.prefix == 24 && address.bytes[3] == 5);
  CHECK(address_parse("fd00::1", &address) && address.family == AF_INET6 && address.prefix == 128 && address.bytes[15] == 1);
  CHECK(address_parse("0.0.0.0/0", &address) && address.prefix == 0);
  CHECK(!address_parse("10.0.0.5/33", &address) && !address_parse("10.0.0", &address) && !address_parse("", &address));
  CHECK(!address_parse("10.0.0.5/", &address) && !address_parse("10.0.0.5/-1", &address) &&
        !address_parse("fd00::1/129", &address));
  uint8_t mac[6];
  CHECK(mac_parse("52:54:00:12:34:5f", mac) && mac[5] == 0x5f);
  CHECK(!mac_parse("52:54:00:12:34", mac) && !mac_parse("52:54:00:12:34:5f:", mac) && !mac_parse("zz:54:00:12:34:5f", mac));
}

static void test_mount_options(void) {
  struct mount_option result = {0};
  struct error error;
  char list[] = "size=64m,noexec,,mode=1777,nosuid";
  CHECK(mount_options_split(list, &result, &error) == 0);
  CHECK(result.flags == (MS_NOEXEC | MS_NOSUID) && result.attributes == (MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSUID));
  CHECK(strcmp(result.data, "size=64m,mode=1777") == 0);
  char long_option[2000];
  memset(long_option, 'x', sizeof long_option - 1);
  long_option[sizeof long_option - 1] = '\0';
  CHECK(mount_options_split(long_option, &result, &error) < 0);
}

// A ring against a plain array, with random steps.
static void test_ring(void) {
  static uint8_t model[1 << 20];
  struct ring ring = {0};
  size_t start = 0;
  size_t end = 0;
  srandom(7);
  while (end < sizeof model - 5000) {
    size_t length = (size_t)random() % 5000;
    if (end - start + length > 65536) length = 65536 - (end - start);
    for (size_t index = 0; index < length; index++) model[end + index] = (uint8_t)random();
    ring_append(&ring, model + end, length);
    end += length;
    CHECK(ring.length == end - start && ring.capacity <= 65536);
    size_t offset = ring.length == 0 ? 0 : (size_t)random() % ring.length;
    struct iovec pieces[2];
    int count = ring_content(&ring, offset, ring.length, pieces);
    size_t at = start + offset;
    for (int index = 0; index < count; index++) {
      CHECK(memcmp(pieces[index].iov_base, model + at, pieces[index].iov_len) == 0);
      at += pieces[index].iov_len;
    }
    CHECK(at == end);
    size_t drop = (size_t)random() % (ring.length + 1);
    ring_drop(&ring, drop);
    start += drop;
    CHECK(ring.length > 0 || ring.data == NULL);
  }
  ring_clear(&ring);
}

int main(void) {
  test_weights();
  test_names();
  test_addresses();
  test_mount_options();
  test_ring();
  return 0;
}
