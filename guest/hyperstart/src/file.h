// Small files of /proc, /sys and our own folders.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Writes text to an existing file (no creation). 0 or -1 with errno.
int file_write(const char *path, const char *text);
// Creates or replaces the content of a file in place: the same inode, so that bind mounts of it see the change.
int file_replace(const char *path, const void *data, size_t size, mode_t mode);
// Whole content, NUL terminated, to be freed; NULL with errno. At most limit bytes are read.
char *file_read(const char *path, size_t limit);
char *file_read_at(int directory_fd, const char *path, size_t limit);
// Decimal number at the start of a file; fallback if it cannot be had.
uint64_t file_read_number(const char *path, uint64_t fallback);
// mkdir -p. 0 or -1 with errno.
int file_make_folders(const char *path, mode_t mode);
// rm -rf without following links or leaving the file system. Best effort: 0, or -1 with errno of the first failure.
int file_remove_tree(int directory_fd, const char *name);
// Disk space and inodes of a tree, not following links, not leaving the file system.
void file_tree_usage(const char *path, uint64_t *bytes, uint64_t *inodes);
int file_write_all(int fd, const void *data, size_t size);
