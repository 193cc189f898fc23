#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void log_line(const char *format, ...) {
  char line[512] = "hyperstart: ";
  size_t prefix = strlen(line);
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line + prefix, sizeof line - prefix - 1, format, arguments);
  va_end(arguments);
  if (length < 0) return;
  size_t end = strlen(line);
  line[end++] = '\n';
  // The console may be gone or slow; a lost line is no failure.
  if (write(STDERR_FILENO, line, end) < 0) return;
}
