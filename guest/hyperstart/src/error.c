#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *error, Hyperstart__V1__ErrorCode code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  error->code = code;
  vsnprintf(error->message, sizeof error->message, format, arguments);
  va_end(arguments);
  return -1;
}

static Hyperstart__V1__ErrorCode code_of_errno(int number) {
  switch (number) {
  case ENOENT:
  case ENODEV:
    return CODE_NOT_FOUND;
  case EINVAL:
  case ENAMETOOLONG:
    return CODE_INVALID;
  case EBUSY:
    return CODE_PRECONDITION;
  case ENOSPC:
  case ENOMEM:
  case EMFILE:
  case ENFILE:
  case EAGAIN:
    return CODE_EXHAUSTED;
  case ETIMEDOUT:
    return CODE_DEADLINE;
  default:
    return CODE_INTERNAL;
  }
}

int error_errno(struct error *error, const char *format, ...) {
  int number = errno;
  va_list arguments;
  va_start(arguments, format);
  error->code = code_of_errno(number);
  int length = vsnprintf(error->message, sizeof error->message, format, arguments);
  va_end(arguments);
  if (length >= 0 && (size_t)length < sizeof error->message) {
    snprintf(error->message + length, sizeof error->message - (size_t)length, ": %s", strerror(number));
  }
  return -1;
}
