#include <string.h>

#include "check.h"
#include "user.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "# comment\n"
                             "broken line\n"
                             "web:x:33:34::/srv:/bin/sh\n"
                             "1000:x:7:8::/numbered:\n"
                             "bad:x:x:1::/:\n"
                             "last:x:2000:2001::/last:";
static const char group[] = "root:x:0:\nwww:x:50:\nlogs:x:44:web,other\nextra:x:45:other,web\n:x\nweb2:x:46:webby\n";

static struct identity identity;
static struct error error;

static int resolve(const char *name, uint32_t uid) {
  Hyperstart__V1__User user = HYPERSTART__V1__USER__INIT;
  user.name = (char *)(uintptr_t)name;
  user.uid = uid;
  free(identity.home);
  return user_resolve(&user, passwd, group, &identity, &error);
}

static void test_names(void) {
  CHECK(resolve("web", 0) == 0);
  CHECK(identity.uid == 33 && identity.gid == 34 && strcmp(identity.home, "/srv") == 0);
  CHECK(identity.group_count == 2 && identity.groups[0] == 44 && identity.groups[1] == 45);
  CHECK(resolve("last", 0) == 0 && identity.uid == 2000 && identity.gid == 2001);
  CHECK(resolve("nobody", 0) < 0 && error.code == CODE_INVALID && strstr(error.message, "nobody") != NULL);
  CHECK(resolve("bad", 0) < 0);
}

static void test_groups(void) {
  CHECK(resolve("web:www", 0) == 0);
  CHECK(identity.uid == 33 && identity.gid == 50 && identity.group_count == 0);
  CHECK(resolve("web:77", 0) == 0 && identity.gid == 77);
  CHECK(resolve("web:", 0) == 0 && identity.gid == 34 && identity.group_count == 2);
  CHECK(resolve("web:nogroup", 0) < 0 && strstr(error.message, "nogroup") != NULL);
}

static void test_numbers(void) {
  CHECK(resolve("33", 0) == 0 && identity.gid == 34 && identity.group_count == 2);
  CHECK(resolve("555", 0) == 0 && identity.uid == 555 && identity.gid == 0 && *identity.home == '\0');
  CHECK(resolve("555:666", 0) == 0 && identity.uid == 555 && identity.gid == 666);
  CHECK(resolve("1000", 0) == 0 && identity.uid == 7); // a name goes before a number
  CHECK(resolve("4294967295", 0) < 0);
  CHECK(resolve("99999999999", 0) < 0);
  CHECK(resolve("", 33) == 0 && identity.uid == 33 && identity.gid == 34);
  CHECK(resolve("", 0) == 0 && identity.uid == 0 && strcmp(identity.home, "/root") == 0);
}

static void test_explicit(void) {
  uint32_t groups[] = {9, 44, 9};
  Hyperstart__V1__User user = HYPERSTART__V1__USER__INIT;
  user.name = (char *)(uintptr_t) "web";
  user.gid = 1;
  user.gid_set = 1;
  user.n_supplemental_groups = 3;
  user.supplemental_groups = groups;
  free(identity.home);
  CHECK(user_resolve(&user, passwd, group, &identity, &error) == 0);
  CHECK(identity.gid == 1 && identity.group_count == 3 && identity.groups[0] == 9 && identity.groups[2] == 45);
  user.strict_groups = 1;
  free(identity.home);
  CHECK(user_resolve(&user, passwd, group, &identity, &error) == 0 && identity.group_count == 2);
}

static void test_without_files(void) {
  free(identity.home);
  CHECK(user_resolve(NULL, NULL, NULL, &identity, &error) == 0 && identity.uid == 0 && identity.gid == 0);
  free(identity.home);
}

int main(void) {
  test_names();
  test_groups();
  test_numbers();
  test_explicit();
  test_without_files();
  return 0;
}
