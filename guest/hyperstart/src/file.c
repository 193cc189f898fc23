#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "memory.h"

#define READ_STEP 4096u
#define TREE_DEPTH_MAX 4096 // deeper trees are left: each level holds a descriptor of the recursion

int file_write_all(int fd, const void *data, size_t size) {
  const char *at = data;
  while (size > 0) {
    ssize_t put = write(fd, at, size);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return -1;
    at += put;
    size -= (size_t)put;
  }
  return 0;
}

int file_write(const char *path, const char *text) {
  cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  return file_write_all(fd, text, strlen(text));
}

int file_replace(const char *path, const void *data, size_t size, mode_t mode) {
  cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
  if (fd < 0) return -1;
  if (fchmod(fd, mode) < 0) return -1;
  return file_write_all(fd, data, size);
}

char *file_read_at(int directory_fd, const char *path, size_t limit) {
  cleanup_close int fd = openat(directory_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return NULL;
  char *text = memory_alloc(1);
  size_t length = 0;
  while (length < limit) {
    size_t step = limit - length < READ_STEP ? limit - length : READ_STEP;
    text = memory_resize(text, length + step + 1);
    ssize_t got = read(fd, text + length, step);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      int number = errno;
      free(text);
      errno = number;
      return NULL;
    }
    if (got == 0) break;
    length += (size_t)got;
  }
  text[length] = '\0';
  return text;
}

char *file_read(const char *path, size_t limit) {
  return file_read_at(AT_FDCWD, path, limit);
}

uint64_t file_read_number(const char *path, uint64_t fallback) {
  cleanup_free char *text = file_read(path, 64);
  if (text == NULL) return fallback;
  char *end;
  errno = 0;
  uint64_t value = strtoull(text, &end, 10);
  return end == text || errno != 0 ? fallback : value;
}

int file_make_folders(const char *path, mode_t mode) {
  cleanup_free char *copy = memory_copy_string(path);
  for (char *at = copy + 1; *at != '\0'; at++) {
    if (*at != '/') continue;
    *at = '\0';
    if (mkdir(copy, mode) < 0 && errno != EEXIST) return -1;
    *at = '/';
  }
  if (mkdir(copy, mode) < 0 && errno != EEXIST) return -1;
  return 0;
}

static int remove_tree(int directory_fd, const char *name, dev_t device, int depth);

static int remove_entries(DIR *folder, dev_t device, int depth) {
  int result = 0;
  struct dirent *entry;
  while ((entry = readdir(folder)) != NULL) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (remove_tree(dirfd(folder), entry->d_name, device, depth + 1) < 0) result = -1;
  }
  return result;
}

static int remove_tree(int directory_fd, const char *name, dev_t device, int depth) {
  if (unlinkat(directory_fd, name, 0) == 0 || errno == ENOENT) return 0;
  int fd = openat(directory_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -1;
  struct stat status;
  DIR *folder = fdopendir(fd);
  if (folder == NULL) {
    close(fd);
    return -1;
  }
  int result = 0;
  if (fstat(fd, &status) < 0 || status.st_dev != device || depth > TREE_DEPTH_MAX) {
    errno = EXDEV;
    result = -1;
  } else {
    result = remove_entries(folder, device, depth);
  }
  int number = errno;
  closedir(folder);
  errno = number;
  if (unlinkat(directory_fd, name, AT_REMOVEDIR) < 0) result = -1;
  return result;
}

int file_remove_tree(int directory_fd, const char *name) {
  struct stat status;
  if (fstatat(directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0) return errno == ENOENT ? 0 : -1;
  return remove_tree(directory_fd, name, status.st_dev, 0);
}

static void add_usage(int directory_fd, const char *name, dev_t device, int depth, uint64_t *bytes, uint64_t *inodes) {
  struct stat status;
  if (fstatat(directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || status.st_dev != device || depth > TREE_DEPTH_MAX) return;
  *bytes += (uint64_t)status.st_blocks * 512u;
  (*inodes)++;
  if (!S_ISDIR(status.st_mode)) return;
  int fd = openat(directory_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *folder = fd < 0 ? NULL : fdopendir(fd);
  if (folder == NULL) {
    if (fd >= 0) close(fd);
    return;
  }
  struct dirent *entry;
  while ((entry = readdir(folder)) != NULL) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    add_usage(dirfd(folder), entry->d_name, device, depth + 1, bytes, inodes);
  }
  closedir(folder);
}

void file_tree_usage(const char *path, uint64_t *bytes, uint64_t *inodes) {
  struct stat status;
  *bytes = 0;
  *inodes = 0;
  if (lstat(path, &status) == 0) add_usage(AT_FDCWD, path, status.st_dev, 0, bytes, inodes);
}
