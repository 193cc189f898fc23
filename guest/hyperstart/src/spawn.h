// The child's side of a new process: from fork to execve. What happens is told through the status socket.
#pragma once

#include <stdbool.h>

#include "error.h"
#include "rootfs.h"

enum report_kind { REPORT_TERMINAL, REPORT_READY, REPORT_FAILED };

// One packet of the status socket. REPORT_TERMINAL carries the terminal's master as SCM_RIGHTS. The socket's end without
// REPORT_FAILED means that execve succeeded: it is close-on-exec.
struct report {
  enum report_kind kind;
  struct error error;
};

struct spawn {
  const Hyperstart__V1__Process *process;
  const struct rootfs_plan *plan; // a container's first process: builds its root. NULL: joins that of target_pidfd
  int target_pidfd;
  bool privileged;
  bool wait_for_start; // after REPORT_READY, until one byte comes
  int stdio[3];        // this side's ends; unused with a terminal
  int status;
};

_Noreturn void spawn_child(const struct spawn *spawn);
