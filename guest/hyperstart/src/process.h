// A process of a container, from fork to the last byte of its output.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"
#include "loop.h"
#include "rootfs.h"

struct process;

// Told to the owner from the main loop. Order: ready (a container's first process), then started or failed; after started:
// exited, then finished when the outputs are handed over; after failed: exited. The owner frees the process in finished, or after
// failed and exited.
struct process_events {
  void (*ready)(struct process *process);
  void (*started)(struct process *process);
  void (*failed)(struct process *process, const struct error *error);
  void (*exited)(struct process *process);
  void (*finished)(struct process *process);
};

struct process {
  struct process *next;
  void *owner;
  const struct process_events *events;
  pid_t pid; // in the guest's own pid namespace
  int pidfd;
  struct watch status; // socket to the child until execve; fd -1 afterwards
  bool is_ready;
  bool start_sent;
  bool is_started; // execve succeeded
  bool is_failed;
  bool is_exited;
  bool is_finished;
  int wait_status;
  uint64_t started_at_ns; // CLOCK_REALTIME
  uint64_t exited_at_ns;
  uint32_t stdin_stream;
  uint32_t stdout_stream;
  uint32_t stderr_stream;
  unsigned outputs_open;
  int terminal; // master, -1 without
};

struct process_request {
  const Hyperstart__V1__Process *process;
  const struct rootfs_plan *plan; // the container's first process
  int cgroup_fd;
  int pid_namespace_pidfd; // -1: a new pid namespace (with plan)
  int target_pidfd;        // exec: process whose container is joined
  bool privileged;
  uint32_t stdin_stream; // 0: none
  uint32_t stdout_stream;
  uint32_t stderr_stream;
};

// The caller keeps request->process and plan only for the time of this call.
struct process *process_spawn(const struct process_request *request, const struct process_events *events, void *owner,
                              struct error *error);
void process_start(struct process *process);
int process_signal(const struct process *process, int signal, struct error *error);
int process_resize(const struct process *process, uint32_t rows, uint32_t columns, struct error *error);
int process_exit_code(const struct process *process); // 0-255, 128 + signal
int process_exit_signal(const struct process *process);
// Nobody wants what it still has to say: finished need not wait for it. May call finished at once.
void process_discard_output(struct process *process);
void process_free(struct process *process);
// Collects every child that has ended, ours and orphans.
void process_reap(void);
// The pod's pid namespace: a process that does nothing but hold it. Made when first asked for; its pidfd, or -1.
int process_pod_pid_namespace(struct error *error);
