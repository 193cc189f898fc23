#include "memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

static void *checked(void *memory) {
  if (memory == NULL) {
    log_line("out of memory");
    abort();
  }
  return memory;
}

void *memory_alloc(size_t size) {
  return checked(calloc(1, size == 0 ? 1 : size));
}

void *memory_resize(void *old, size_t size) {
  return checked(realloc(old, size == 0 ? 1 : size));
}

char *memory_copy_string(const char *text) {
  return checked(strdup(text));
}

void *memory_copy(const void *data, size_t size) {
  void *copy = memory_alloc(size);
  if (size > 0) memcpy(copy, data, size);
  return copy;
}

char *memory_format(const char *format, ...) {
  char *text = NULL;
  va_list arguments;
  va_start(arguments, format);
  int length = vasprintf(&text, format, arguments);
  va_end(arguments);
  return checked(length < 0 ? NULL : text);
}
