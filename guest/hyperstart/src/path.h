// Paths of containers, resolved so that no symbolic link of a container leads out of its root (openat2 RESOLVE_IN_ROOT).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

#define PATH_LENGTH_MAX 4096u

// O_PATH descriptor, or -1 with errno.
int path_open_in_root(int root_fd, const char *path);
enum path_kind { PATH_FOLDER, PATH_FILE };
// The same, making what is missing: folders 0755, and at the end a folder or an empty file 0644.
int path_make_in_root(int root_fd, const char *path, enum path_kind kind);
// True for a non-empty relative path without "." and ".." components, empty components, or excess length.
bool path_is_plain_relative(const char *path);
// True if both name the same place by their text, slashes apart.
bool path_equals(const char *one, const char *other);
