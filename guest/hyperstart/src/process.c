#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "memory.h"
#include "spawn.h"
#include "stream.h"

// <sched.h> and <linux/sched.h> do not go together.
int setns(int fd, int nstype);

#define SIGNAL_EXIT_BASE 128

static struct process *processes;

// --- fork -----------------------------------------------------------------------------------------------------------

static pid_t clone_process(uint64_t flags, int cgroup_fd, int *pidfd) {
  struct clone_args arguments = {
      .flags = flags | CLONE_PIDFD | (cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
      .pidfd = (uint64_t)(uintptr_t)pidfd,
      .exit_signal = SIGCHLD,
      .cgroup = cgroup_fd >= 0 ? (uint64_t)cgroup_fd : 0,
  };
  return (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
}

// Forks into the pid namespace of another process: children go there, the caller itself stays where it is.
static pid_t clone_into(int pid_namespace_pidfd, uint64_t flags, int cgroup_fd, int *pidfd) {
  static int own_namespace = -1;
  if (own_namespace < 0) own_namespace = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
  if (setns(pid_namespace_pidfd, CLONE_NEWPID) < 0) return -1;
  pid_t pid = clone_process(flags, cgroup_fd, pidfd);
  int number = errno;
  if (pid != 0 && setns(own_namespace, CLONE_NEWPID) < 0) log_line("cannot leave a pid namespace: %s", strerror(errno));
  errno = number;
  return pid;
}

// --- stdio ----------------------------------------------------------------------------------------------------------

struct stdio {
  int child[3];
  int host[3]; // our ends
};

static void stdio_close(struct stdio *stdio, bool host_ends_too) {
  for (int index = 0; index < 3; index++) {
    if (stdio->child[index] >= 0) close(stdio->child[index]);
    if (host_ends_too && stdio->host[index] >= 0) close(stdio->host[index]);
  }
}

static int open_pipe(struct stdio *stdio, int index, bool wanted) {
  if (!wanted) {
    stdio->child[index] = open("/dev/null", O_RDWR | O_CLOEXEC);
    return stdio->child[index] < 0 ? -1 : 0;
  }
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return -1;
  int reader = index == 0 ? 0 : 1; // which end is the child's
  stdio->child[index] = ends[reader];
  stdio->host[index] = ends[1 - reader];
  return fcntl(stdio->host[index], F_SETFL, O_NONBLOCK);
}

static int stdio_open(struct stdio *stdio, const struct process_request *request, struct error *error) {
  *stdio = (struct stdio){{-1, -1, -1}, {-1, -1, -1}};
  if (request->process->terminal) return 0;
  uint32_t streams[3] = {request->stdin_stream, request->stdout_stream, request->stderr_stream};
  for (int index = 0; index < 3; index++) {
    if (open_pipe(stdio, index, streams[index] != 0) == 0) continue;
    error_errno(error, "make a pipe");
    stdio_close(stdio, true);
    return -1;
  }
  return 0;
}

// --- outputs --------------------------------------------------------------------------------------------------------

static void finish_if_done(struct process *process) {
  if (!process->is_exited || !process->is_started || process->outputs_open > 0 || process->is_finished) return;
  process->is_finished = true;
  process->events->finished(process);
}

static void output_finished(void *owner) {
  struct process *process = owner;
  process->outputs_open--;
  finish_if_done(process);
}

static void open_streams(struct process *process, const struct stdio *stdio, bool terminal) {
  if (process->stdin_stream != 0) stream_open_to_guest(process->stdin_stream, stdio->host[0], false);
  if (process->stdout_stream != 0 && stream_open_to_host(process->stdout_stream, stdio->host[1], output_finished, process)) {
    process->outputs_open++;
  }
  if (process->stderr_stream != 0 && !terminal &&
      stream_open_to_host(process->stderr_stream, stdio->host[2], output_finished, process)) {
    process->outputs_open++;
  }
}

// Both directions of a terminal are the same master; each stream closes its own duplicate.
static void attach_terminal(struct process *process, int master) {
  fcntl(master, F_SETFL, O_NONBLOCK);
  process->terminal = master;
  if (process->stdin_stream != 0) stream_attach(process->stdin_stream, fcntl(master, F_DUPFD_CLOEXEC, 3));
  if (process->stdout_stream != 0) stream_attach(process->stdout_stream, fcntl(master, F_DUPFD_CLOEXEC, 3));
}

static void abort_streams(const struct process *process, const char *reason) {
  stream_close_to_guest(process->stdin_stream);
  stream_abort(process->stdout_stream, reason);
  stream_abort(process->stderr_stream, reason);
}

// --- status socket --------------------------------------------------------------------------------------------------

static void status_close(struct process *process) {
  if (process->status.fd < 0) return;
  loop_unwatch(&process->status);
  close(process->status.fd);
  process->status.fd = -1;
}

static void process_fail(struct process *process, const struct error *error) {
  if (process->is_failed) return;
  process->is_failed = true;
  status_close(process);
  stream_disown(process);
  abort_streams(process, "the process could not be started");
  process->events->failed(process, error);
}

static int received_descriptor(struct msghdr *message) {
  struct cmsghdr *header = CMSG_FIRSTHDR(message);
  if (header == NULL || header->cmsg_type != SCM_RIGHTS) return -1;
  int fd;
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

// The child's end of the socket is closed: by execve, or because it has died before it.
static void status_ended(struct process *process) {
  status_close(process);
  bool expected = process->start_sent || !process->events->ready;
  if (!expected) {
    struct error error;
    error_set(&error, CODE_INTERNAL, "the process died while its container was being prepared");
    process_fail(process, &error);
    return;
  }
  process->is_started = true;
  process->started_at_ns = clock_realtime_ns();
  process->events->started(process);
}

// Reads one report. False when there is none to read now, or never again.
static bool status_read(struct process *process) {
  struct report report;
  struct iovec content = {&report, sizeof report};
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  struct msghdr message = {
      .msg_iov = &content, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  ssize_t got = recvmsg(process->status.fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) return errno == EINTR;
  if (got != sizeof report) {
    status_ended(process);
    return false;
  }
  switch (report.kind) {
  case REPORT_TERMINAL:
    attach_terminal(process, received_descriptor(&message));
    return true;
  case REPORT_READY:
    process->is_ready = true;
    if (process->events->ready != NULL) process->events->ready(process);
    return true;
  case REPORT_FAILED:
  default:
    process_fail(process, &report.error);
    return false;
  }
}

static void status_ready(struct watch *watch, uint32_t events) {
  (void)events;
  status_read(container_of(watch, struct process, status));
}

// --- life -----------------------------------------------------------------------------------------------------------

static struct process *process_add(const struct process_request *request, const struct process_events *events, void *owner) {
  struct process *process = memory_alloc(sizeof *process);
  process->owner = owner;
  process->events = events;
  process->pidfd = -1;
  process->terminal = -1;
  process->status = (struct watch){.fd = -1, .ready = status_ready};
  process->stdin_stream = request->stdin_stream;
  process->stdout_stream = request->stdout_stream;
  process->stderr_stream = request->stderr_stream;
  process->next = processes;
  processes = process;
  return process;
}

static pid_t fork_process(const struct process_request *request, int *pidfd) {
  uint64_t flags = request->plan != NULL ? CLONE_NEWNS : 0;
  if (request->pid_namespace_pidfd >= 0) return clone_into(request->pid_namespace_pidfd, flags, request->cgroup_fd, pidfd);
  return clone_process(flags | CLONE_NEWPID, request->cgroup_fd, pidfd);
}

static int check_request(const struct process_request *request, struct error *error) {
  if (request->process == NULL || request->process->n_args == 0 || request->process->args[0][0] == '\0') {
    return error_set(error, CODE_INVALID, "a process needs a command");
  }
  uint32_t streams[3] = {request->stdin_stream, request->stdout_stream, request->stderr_stream};
  for (int index = 0; index < 3; index++) {
    if (streams[index] != 0 && stream_exists(streams[index])) {
      return error_set(error, CODE_EXISTS, "stream %u is in use", streams[index]);
    }
  }
  return 0;
}

struct process *process_spawn(const struct process_request *request, const struct process_events *events, void *owner,
                              struct error *error) {
  if (check_request(request, error) < 0) return NULL;
  struct stdio stdio;
  int status[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, status) < 0) {
    error_errno(error, "make a socket");
    return NULL;
  }
  if (stdio_open(&stdio, request, error) < 0) {
    close(status[0]);
    close(status[1]);
    return NULL;
  }
  struct spawn spawn = {
      .process = request->process,
      .plan = request->plan,
      .target_pidfd = request->target_pidfd,
      .privileged = request->privileged,
      .wait_for_start = request->plan != NULL,
      .stdio = {stdio.child[0], stdio.child[1], stdio.child[2]},
      .status = status[1],
  };
  int pidfd = -1;
  pid_t pid = fork_process(request, &pidfd);
  if (pid == 0) spawn_child(&spawn);
  close(status[1]);
  if (pid < 0) {
    error_errno(error, "fork");
    close(status[0]);
    stdio_close(&stdio, true);
    return NULL;
  }
  stdio_close(&stdio, false);
  struct process *process = process_add(request, events, owner);
  process->pid = pid;
  process->pidfd = pidfd;
  process->status.fd = status[0];
  loop_watch(&process->status, EPOLLIN);
  open_streams(process, &stdio, request->process->terminal);
  return process;
}

void process_start(struct process *process) {
  process->start_sent = true;
  if (process->status.fd >= 0 && send(process->status.fd, "s", 1, MSG_NOSIGNAL) < 0) {
    log_line("process %d cannot be started: %s", process->pid, strerror(errno)); // it has died: its end is on the way
  }
}

int process_signal(const struct process *process, int signal, struct error *error) {
  if (process->is_exited) return 0;
  if (syscall(SYS_pidfd_send_signal, process->pidfd, signal, NULL, 0) < 0 && errno != ESRCH) {
    return error_errno(error, "send signal %d to process %d", signal, process->pid);
  }
  return 0;
}

int process_resize(const struct process *process, uint32_t rows, uint32_t columns, struct error *error) {
  if (process->terminal < 0) return error_set(error, CODE_PRECONDITION, "the process has no terminal");
  struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
  if (ioctl(process->terminal, TIOCSWINSZ, &size) < 0) return error_errno(error, "resize the terminal");
  return 0;
}

int process_exit_signal(const struct process *process) {
  return WIFSIGNALED(process->wait_status) ? WTERMSIG(process->wait_status) : 0;
}

int process_exit_code(const struct process *process) {
  int signal = process_exit_signal(process);
  return signal != 0 ? SIGNAL_EXIT_BASE + signal : WEXITSTATUS(process->wait_status);
}

void process_discard_output(struct process *process) {
  uint32_t outputs[2] = {process->stdout_stream, process->stderr_stream};
  process->outputs_open++; // the first of them must not free the process
  for (int index = 0; index < 2; index++) stream_abort(outputs[index], "the process is removed");
  output_finished(process);
}

void process_free(struct process *process) {
  for (struct process **at = &processes; *at != NULL; at = &(*at)->next) {
    if (*at != process) continue;
    *at = process->next;
    break;
  }
  status_close(process);
  stream_disown(process);
  // After a proper end the streams live on by themselves until the host has taken them over.
  if (!process->is_finished) abort_streams(process, "the process is gone");
  if (process->pidfd >= 0) close(process->pidfd);
  if (process->terminal >= 0) close(process->terminal);
  free(process);
}

// --- end ------------------------------------------------------------------------------------------------------------

static void process_exited(struct process *process, int wait_status) {
  // What the child said before its end comes first: whether it ran at all is known only from there.
  while (process->status.fd >= 0 && status_read(process)) continue;
  process->is_exited = true;
  process->wait_status = wait_status;
  process->exited_at_ns = clock_realtime_ns();
  if (!process->is_started && !process->is_failed) { // cannot be: a dead child's socket has ended
    struct error error;
    error_set(&error, CODE_INTERNAL, "process %d ended before it was started", process->pid);
    process_fail(process, &error);
  }
  bool is_failed = process->is_failed;
  process->events->exited(process);
  if (is_failed) return;
  if (process->terminal >= 0) {
    close(process->terminal);
    process->terminal = -1;
  }
  stream_close_to_guest(process->stdin_stream);
  // The last of these may end in finished, which frees the process.
  uint32_t outputs[2] = {process->stdout_stream, process->stderr_stream};
  process->outputs_open++; // holds it until both were looked at
  for (int index = 0; index < 2; index++) {
    if (outputs[index] != 0) stream_drain(outputs[index]);
  }
  output_finished(process);
}

static struct process *find_by_pid(pid_t pid) {
  for (struct process *process = processes; process != NULL; process = process->next) {
    if (process->pid == pid && !process->is_exited) return process;
  }
  return NULL;
}

void process_reap(void) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    struct process *process = find_by_pid(pid);
    if (process != NULL) process_exited(process, status);
  }
}

// --- the pod's pid namespace ----------------------------------------------------------------------------------------

static _Noreturn void hold_namespace(void) {
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  prctl(PR_SET_NAME, "pause", 0, 0, 0);
  syscall(SYS_close_range, 0, ~0u, 0);
  sigset_t signals;
  sigfillset(&signals);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  for (;;) {
    sigwaitinfo(&signals, NULL);
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
  }
}

int process_pod_pid_namespace(struct error *error) {
  static int pidfd = -1;
  if (pidfd >= 0) return pidfd;
  pid_t pid = clone_process(CLONE_NEWPID, -1, &pidfd);
  if (pid == 0) hold_namespace();
  if (pid < 0) return error_errno(error, "make the pod's pid namespace");
  return pidfd;
}
