#include "path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memory.h"

static int open_in_root(int root_fd, const char *path, uint64_t flags) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  return (int)syscall(SYS_openat2, root_fd, path, &how, sizeof how);
}

int path_open_in_root(int root_fd, const char *path) {
  return open_in_root(root_fd, *path == '\0' ? "." : path, O_PATH);
}

static int make_entry(int parent_fd, const char *name, enum path_kind kind) {
  if (kind == PATH_FOLDER) return mkdirat(parent_fd, name, 0755);
  cleanup_close int fd = openat(parent_fd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
  return fd < 0 ? -1 : 0;
}

// Opens root/prefix, where all but the last component exist already; makes the last one if missing.
static int open_or_make(int root_fd, char *prefix, enum path_kind kind) {
  int fd = path_open_in_root(root_fd, prefix);
  if (fd >= 0 || errno != ENOENT) return fd;
  char *slash = strrchr(prefix, '/');
  const char *name = slash == NULL ? prefix : slash + 1;
  cleanup_close int parent = -1;
  if (slash == NULL) {
    parent = open_in_root(root_fd, ".", O_PATH | O_DIRECTORY);
  } else {
    *slash = '\0';
    parent = open_in_root(root_fd, *prefix == '\0' ? "." : prefix, O_PATH | O_DIRECTORY);
    *slash = '/';
  }
  if (parent < 0) return -1;
  // A dangling link of that name stays what it is: mkdirat then says EEXIST.
  if (make_entry(parent, name, kind) < 0) return -1;
  return path_open_in_root(root_fd, prefix);
}

int path_make_in_root(int root_fd, const char *path, enum path_kind kind) {
  cleanup_free char *copy = memory_copy_string(path);
  size_t length = strlen(copy);
  while (length > 1 && copy[length - 1] == '/') copy[--length] = '\0';
  int fd = path_open_in_root(root_fd, copy);
  if (fd >= 0 || errno != ENOENT) return fd;
  for (char *at = copy + 1; *at != '\0'; at++) {
    if (*at != '/' || at[-1] == '/') continue;
    *at = '\0';
    cleanup_close int prefix = open_or_make(root_fd, copy, PATH_FOLDER);
    *at = '/';
    if (prefix < 0) return -1;
  }
  return open_or_make(root_fd, copy, kind);
}

bool path_is_plain_relative(const char *path) {
  size_t length = strlen(path);
  if (length == 0 || length > PATH_LENGTH_MAX || path[0] == '/') return false;
  for (const char *at = path;;) {
    size_t component = strcspn(at, "/");
    if (component == 0 || (component == 1 && at[0] == '.') || (component == 2 && at[0] == '.' && at[1] == '.')) return false;
    if (at[component] == '\0') return true;
    at += component + 1;
  }
}

bool path_equals(const char *one, const char *other) {
  for (;;) {
    one += strspn(one, "/");
    other += strspn(other, "/");
    size_t length = strcspn(one, "/");
    if (length != strcspn(other, "/") || strncmp(one, other, length) != 0) return false;
    if (length == 0) return true;
    one += length;
    other += length;
  }
}
