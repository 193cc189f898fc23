// How a failure travels: functions return 0 or -1 and describe the failure in the struct error of their last parameter.
#pragma once

#include <hyperstart/v1/hyperstart.pb-c.h>

#define ERROR_MESSAGE_MAX 512

// Plain data: also sent as it is through the status socket of a forked child.
struct error {
  Hyperstart__V1__ErrorCode code;
  char message[ERROR_MESSAGE_MAX];
};

// Short names of the contract's codes.
#define CODE_INTERNAL HYPERSTART__V1__ERROR_CODE__ERROR_UNSPECIFIED
#define CODE_NOT_FOUND HYPERSTART__V1__ERROR_CODE__ERROR_NOT_FOUND
#define CODE_EXISTS HYPERSTART__V1__ERROR_CODE__ERROR_ALREADY_EXISTS
#define CODE_INVALID HYPERSTART__V1__ERROR_CODE__ERROR_INVALID_ARGUMENT
#define CODE_PRECONDITION HYPERSTART__V1__ERROR_CODE__ERROR_FAILED_PRECONDITION
#define CODE_DEADLINE HYPERSTART__V1__ERROR_CODE__ERROR_DEADLINE_EXCEEDED
#define CODE_EXHAUSTED HYPERSTART__V1__ERROR_CODE__ERROR_RESOURCE_EXHAUSTED
#define CODE_COMMAND_NOT_FOUND HYPERSTART__V1__ERROR_CODE__ERROR_COMMAND_NOT_FOUND
#define CODE_COMMAND_NOT_EXECUTABLE HYPERSTART__V1__ERROR_CODE__ERROR_COMMAND_NOT_EXECUTABLE

// Both return -1, so that callers write: return error_set(...). error_errno appends the text of errno.
int error_set(struct error *error, Hyperstart__V1__ErrorCode code, const char *format, ...) __attribute__((format(printf, 3, 4)));
int error_errno(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
