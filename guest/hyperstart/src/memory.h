// Allocation and clean-up helpers. PID 1 cannot go on without memory for its own few bytes: the kernel panics and the host sees
// the machine end, which is the honest outcome.
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

void *memory_alloc(size_t size); // zeroed; never NULL
void *memory_resize(void *old, size_t size);
char *memory_copy_string(const char *text);
void *memory_copy(const void *data, size_t size);
char *memory_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline void cleanup_free_pointer(void *pointer) {
  free(*(void **)pointer);
}
static inline void cleanup_close_fd(const int *fd) {
  if (*fd >= 0) close(*fd);
}
#define cleanup_free __attribute__((cleanup(cleanup_free_pointer)))
#define cleanup_close __attribute__((cleanup(cleanup_close_fd)))

// The structure that holds a member.
#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
