// Resolution inside a root that is hostile. Needs no privilege.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "file.h"
#include "memory.h"
#include "path.h"

static char outside[] = "/tmp/hn-path-XXXXXX";
static int root_fd;

static bool is_inside(int fd) {
  char link[64];
  char target[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, target, sizeof target - 1);
  CHECK(length > 0);
  target[length] = '\0';
  cleanup_free char *root = memory_format("%s/root", outside);
  return strncmp(target, root, strlen(root)) == 0;
}

static void make_tree(void) {
  CHECK(mkdtemp(outside) != NULL);
  cleanup_free char *root = memory_format("%s/root", outside);
  CHECK(mkdir(root, 0755) == 0);
  root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  CHECK(root_fd >= 0);
  CHECK(mkdirat(root_fd, "real", 0755) == 0);
  CHECK(symlinkat("/etc", root_fd, "absolute") == 0);
  CHECK(symlinkat("../../../..", root_fd, "upwards") == 0);
  CHECK(symlinkat("real", root_fd, "alias") == 0);
  CHECK(symlinkat("nowhere", root_fd, "dangling") == 0);
}

static void test_resolution(void) {
  cleanup_close int alias = path_open_in_root(root_fd, "/alias");
  CHECK(alias >= 0 && is_inside(alias));
  cleanup_close int upwards = path_open_in_root(root_fd, "upwards/real");
  CHECK(upwards >= 0 && is_inside(upwards));
  CHECK(path_open_in_root(root_fd, "absolute/passwd") < 0 && errno == ENOENT);
  cleanup_close int whole = path_open_in_root(root_fd, "");
  CHECK(whole >= 0 && is_inside(whole));
}

static void test_making(void) {
  struct stat status;
  cleanup_close int folder = path_make_in_root(root_fd, "//alias/a//b/c/", PATH_FOLDER);
  CHECK(folder >= 0 && is_inside(folder) && fstat(folder, &status) == 0 && S_ISDIR(status.st_mode));
  CHECK(fstatat(root_fd, "real/a/b/c", &status, 0) == 0);
  cleanup_close int file = path_make_in_root(root_fd, "absolute/new/file", PATH_FILE);
  CHECK(file < 0); // the link's target does not exist inside, and is not made outside
  CHECK(stat("/etc/new", &status) < 0);
  cleanup_close int inner = path_make_in_root(root_fd, "../../x/y", PATH_FILE);
  CHECK(inner >= 0 && is_inside(inner) && fstat(inner, &status) == 0 && S_ISREG(status.st_mode));
  CHECK(path_make_in_root(root_fd, "dangling", PATH_FILE) < 0);
  CHECK(path_make_in_root(root_fd, "x/y/z", PATH_FOLDER) < 0); // y is a file
}

static void test_texts(void) {
  CHECK(path_is_plain_relative("a") && path_is_plain_relative("a/b.c/..d"));
  CHECK(!path_is_plain_relative("") && !path_is_plain_relative("/a") && !path_is_plain_relative("a//b"));
  CHECK(!path_is_plain_relative("..") && !path_is_plain_relative("a/../b") && !path_is_plain_relative("a/."));
  CHECK(!path_is_plain_relative("a/"));
  CHECK(path_equals("/etc//hosts/", "etc/hosts") && path_equals("/", ""));
  CHECK(!path_equals("/etc/hosts", "/etc/host") && !path_equals("/etc", "/etc/hosts"));
}

int main(void) {
  make_tree();
  test_resolution();
  test_making();
  test_texts();
  close(root_fd);
  CHECK(file_remove_tree(AT_FDCWD, outside) == 0);
  CHECK(access(outside, F_OK) < 0);
  return 0;
}
