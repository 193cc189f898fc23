#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop.h"
#include "memory.h"

struct worker {
  struct watch watch;
  struct worker_result result;
  size_t received;
  worker_done *done;
  void *owner;
};

static void worker_finish(struct worker *worker) {
  if (worker->received != sizeof worker->result) {
    worker->result.failed = 1;
    error_set(&worker->result.error, CODE_INTERNAL, "a worker of hyperstart ended without an answer");
  }
  loop_unwatch(&worker->watch);
  if (worker->watch.fd >= 0) close(worker->watch.fd);
  worker->done(worker->owner, &worker->result);
  free(worker);
}

static void worker_ready(struct watch *watch, uint32_t events) {
  (void)events;
  struct worker *worker = container_of(watch, struct worker, watch);
  char *at = (char *)&worker->result + worker->received;
  ssize_t got = read(watch->fd, at, sizeof worker->result - worker->received);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (got > 0) worker->received += (size_t)got;
  if (got <= 0 || worker->received == sizeof worker->result) worker_finish(worker);
}

static _Noreturn void worker_child(worker_function *function, void *input, int output) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  struct worker_result result = {0};
  result.failed = function(input, &result) < 0;
  const char *at = (const char *)&result;
  size_t left = sizeof result;
  while (left > 0) {
    ssize_t put = write(output, at, left);
    if (put <= 0) _exit(1);
    at += put;
    left -= (size_t)put;
  }
  _exit(0);
}

void worker_run(worker_function *function, void *input, worker_done *done, void *owner) {
  struct worker *worker = memory_alloc(sizeof *worker);
  worker->done = done;
  worker->owner = owner;
  worker->watch = (struct watch){.fd = -1, .ready = worker_ready};
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) {
    worker_finish(worker);
    return;
  }
  pid_t pid = fork();
  if (pid == 0) worker_child(function, input, ends[1]);
  close(ends[1]);
  worker->watch.fd = ends[0];
  if (pid < 0 || loop_watch(&worker->watch, EPOLLIN) < 0) worker_finish(worker);
}

int worker_exec(const char *const *arguments, const char *const *environment, uint32_t accepted_exit, struct error *error) {
  pid_t pid = fork();
  if (pid < 0) return error_errno(error, "fork for %s", arguments[0]);
  if (pid == 0) {
    execve(arguments[0], (char *const *)(uintptr_t)arguments, (char *const *)(uintptr_t)environment);
    _exit(127);
  }
  int status;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return error_errno(error, "wait for %s", arguments[0]);
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) < 32 && (accepted_exit >> WEXITSTATUS(status) & 1u) != 0) return 0;
  return error_set(error, CODE_INTERNAL, "%s failed: wait status 0x%x", arguments[0], (unsigned)status);
}
