// Work that blocks (formatting a disk, removing a tree) runs in a forked child; the main loop hears when it is done.
#pragma once

#include <stdint.h>

#include "error.h"

#define WORKER_ANSWER_MAX 3072

// What comes back. Plain data.
struct worker_result {
  int failed;
  struct error error;
  uint8_t answer[WORKER_ANSWER_MAX];
};

// Runs in the child; its memory is a copy. 0, or -1 with the error filled in.
typedef int worker_function(void *input, struct worker_result *result);
typedef void worker_done(void *owner, const struct worker_result *result);

// done is called exactly once, from the main loop, also if the child could not be made or died.
void worker_run(worker_function *function, void *input, worker_done *done, void *owner);
// In a worker: runs a program with its output to the console; -1 with the error if it cannot run or fails.
// accepted_exit is a bit mask of exit codes that count as success.
int worker_exec(const char *const *arguments, const char *const *environment, uint32_t accepted_exit, struct error *error);
