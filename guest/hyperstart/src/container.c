#include "container.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "cgroup.h"
#include "clock.h"
#include "container-plan.h"
#include "event.h"
#include "file.h"
#include "identifier.h"
#include "log.h"
#include "loop.h"
#include "memory.h"
#include "paths.h"
#include "process.h"
#include "sandbox.h"
#include "worker.h"

#define EXECS_REMEMBERED 64u
#define CONTAINERS_MAX 256u
#define EXECS_MAX 256u // running at one time in one container

// A process of a container and who waits for its start.
struct task {
  struct task *next;
  struct container *container;
  char *exec_id; // "" for the container's own process
  struct process *process;
  struct reply reply;
  bool reply_is_due;
  uint64_t oom_kills_before;
};

struct finished_exec {
  char *exec_id;
  pid_t pid;
};

struct container {
  struct container *next;
  char *id;
  uint64_t fingerprint;
  Hyperstart__V1__CreateContainer *create;
  struct rootfs_plan *plan;
  struct task main;
  struct task *execs;
  unsigned exec_count;
  struct finished_exec finished_execs[EXECS_REMEMBERED];
  unsigned finished_exec_next;
  struct watch oom;
  uint64_t oom_kills_seen;
  bool create_failed;
  struct error create_error; // answered when all traces are gone, so that the same create can be tried again at once
  bool is_removing;
  bool is_cleaning;
  Hyperstart__V1__ProcessExited exit; // of the container's own process; its strings are static
  bool has_exit;
  pid_t pid;
  uint64_t started_at_ns;
  struct reply remove_reply;
};

static struct container *containers;
static unsigned container_count;

static void container_cleanup_if_idle(struct container *container);

static struct container *container_find(const char *id) {
  for (struct container *container = containers; container != NULL; container = container->next) {
    if (strcmp(container->id, id) == 0) return container;
  }
  return NULL;
}

static struct container *container_get(const char *id, struct error *error) {
  struct container *container = container_find(id);
  if (container == NULL || container->is_removing) {
    error_set(error, CODE_NOT_FOUND, "container '%.128s' does not exist", id);
    return NULL;
  }
  return container;
}

static bool is_running(const struct container *container) {
  const struct process *process = container->main.process;
  return process != NULL && process->is_started && !process->is_exited;
}

static struct task *task_find(struct container *container, const char *exec_id) {
  if (*exec_id == '\0') return &container->main;
  for (struct task *task = container->execs; task != NULL; task = task->next) {
    if (strcmp(task->exec_id, exec_id) == 0) return task;
  }
  return NULL;
}

static void task_await(struct task *task, struct reply reply) {
  task->reply = reply;
  task->reply_is_due = true;
}

static void task_answer_error(struct task *task, const struct error *error) {
  if (!task->reply_is_due) return;
  task->reply_is_due = false;
  reply_error(task->reply, error);
}

// --- memory ---------------------------------------------------------------------------------------------------------

static void oom_ready(struct watch *watch, uint32_t events) {
  (void)events;
  struct container *container = container_of(watch, struct container, oom);
  uint64_t kills = cgroup_oom_kills(watch->fd);
  if (kills > container->oom_kills_seen) event_out_of_memory(container->id);
  container->oom_kills_seen = kills;
}

static void oom_watch(struct container *container) {
  container->oom = (struct watch){.fd = cgroup_open_memory_events(container->id), .ready = oom_ready};
  if (container->oom.fd < 0 || loop_watch(&container->oom, EPOLLPRI | EPOLLET) < 0) {
    log_line("container %s: out of memory events cannot be watched: %s", container->id, strerror(errno));
  }
}

// --- ends of processes ----------------------------------------------------------------------------------------------

static void fill_exit(struct task *task, Hyperstart__V1__ProcessExited *exited) {
  const struct process *process = task->process;
  hyperstart__v1__process_exited__init(exited);
  exited->container_id = task->container->id;
  exited->exec_id = task->exec_id;
  exited->exit_code = process_exit_code(process);
  exited->signal = process_exit_signal(process);
  exited->oom_killed = exited->signal == SIGKILL && cgroup_oom_kills(task->container->oom.fd) > task->oom_kills_before;
  exited->exited_at_ns = process->exited_at_ns;
}

static void exec_free(struct task *task) {
  struct container *container = task->container;
  for (struct task **at = &container->execs; *at != NULL; at = &(*at)->next) {
    if (*at != task) continue;
    *at = task->next;
    break;
  }
  container->exec_count--;
  free(task->exec_id);
  free(task);
}

static void exec_remember(struct task *task) {
  struct container *container = task->container;
  struct finished_exec *slot = &container->finished_execs[container->finished_exec_next];
  container->finished_exec_next = (container->finished_exec_next + 1) % EXECS_REMEMBERED;
  free(slot->exec_id);
  slot->exec_id = memory_copy_string(task->exec_id);
  slot->pid = task->process->pid;
}

// The process is over and done with.
static void task_end(struct task *task) {
  struct container *container = task->container;
  process_free(task->process);
  task->process = NULL;
  if (task != &container->main) exec_free(task);
  container_cleanup_if_idle(container);
}

static void task_exited(struct process *process) {
  struct task *task = process->owner;
  struct container *container = task->container;
  if (task == &container->main) {
    // In a shared pid namespace the others would live on.
    cgroup_kill(container->id, SIGKILL);
    fill_exit(task, &container->exit);
    container->has_exit = true;
  }
  if (process->is_failed) task_end(task);
}

static void task_finished(struct process *process) {
  struct task *task = process->owner;
  Hyperstart__V1__ProcessExited exited;
  if (task == &task->container->main) {
    exited = task->container->exit;
  } else {
    fill_exit(task, &exited);
    exec_remember(task);
  }
  event_process_exited(&exited);
  task_end(task);
}

// --- create ---------------------------------------------------------------------------------------------------------

static void container_free(struct container *container) {
  for (struct container **at = &containers; *at != NULL; at = &(*at)->next) {
    if (*at != container) continue;
    *at = container->next;
    break;
  }
  container_count--;
  loop_unwatch(&container->oom);
  if (container->oom.fd >= 0) close(container->oom.fd);
  for (unsigned index = 0; index < EXECS_REMEMBERED; index++) free(container->finished_execs[index].exec_id);
  rootfs_plan_free(container->plan);
  hyperstart__v1__create_container__free_unpacked(container->create, NULL);
  free(container->id);
  free(container);
}

static void main_ready(struct process *process) {
  struct task *task = process->owner;
  task->container->pid = process->pid;
  if (!task->reply_is_due) return;
  task->reply_is_due = false;
  reply_success(task->reply);
}

static void answer_started(struct reply reply, const struct container *container) {
  Hyperstart__V1__StartContainerResult result = HYPERSTART__V1__START_CONTAINER_RESULT__INIT;
  result.pid = container->pid;
  result.started_at_ns = container->started_at_ns;
  Hyperstart__V1__Response response = HYPERSTART__V1__RESPONSE__INIT;
  response.result_case = HYPERSTART__V1__RESPONSE__RESULT_START_CONTAINER;
  response.start_container = &result;
  reply_send(reply, &response);
}

static void main_started(struct process *process) {
  struct task *task = process->owner;
  task->container->started_at_ns = process->started_at_ns;
  if (!task->reply_is_due) return;
  task->reply_is_due = false;
  answer_started(task->reply, task->container);
}

// Prepared in vain: nothing of it stays.
static void fail_create(struct container *container, const struct error *error) {
  container->create_error = *error;
  container->create_failed = true;
  container->is_removing = true;
}

static void main_failed(struct process *process, const struct error *error) {
  struct task *task = process->owner;
  struct container *container = task->container;
  if (process->is_ready) {
    task_answer_error(task, error);
  } else {
    fail_create(container, error);
  }
}

static const struct process_events main_events = {main_ready, main_started, main_failed, task_exited, task_finished};

static struct container *container_add(const Hyperstart__V1__CreateContainer *request) {
  struct container *container = memory_alloc(sizeof *container);
  size_t length = hyperstart__v1__create_container__get_packed_size(request);
  cleanup_free uint8_t *packed = memory_alloc(length);
  hyperstart__v1__create_container__pack(request, packed);
  container->create = hyperstart__v1__create_container__unpack(NULL, length, packed);
  container->id = memory_copy_string(request->container_id);
  container->fingerprint = fingerprint_of(&request->base);
  container->main.container = container;
  container->main.exec_id = (char *)(uintptr_t) "";
  container->oom.fd = -1;
  container->next = containers;
  containers = container;
  container_count++;
  return container;
}

static int container_spawn(struct container *container, struct error *error) {
  const Hyperstart__V1__CreateContainer *create = container->create;
  container->plan = container_plan(create, error);
  if (container->plan == NULL) return -1;
  if (cgroup_create(container->id, error) < 0 || cgroup_apply(container->id, create->resources, error) < 0) return -1;
  oom_watch(container);
  bool share = sandbox_shares_pid_namespace() && !create->private_pid_namespace;
  int pod_namespace = share ? process_pod_pid_namespace(error) : -1;
  if (share && pod_namespace < 0) return -1;
  cleanup_close int cgroup = cgroup_open(container->id);
  struct process_request request = {
      .process = create->process,
      .plan = container->plan,
      .cgroup_fd = cgroup,
      .pid_namespace_pidfd = pod_namespace,
      .target_pidfd = -1,
      .privileged = create->privileged,
      .stdin_stream = create->stdin_stream,
      .stdout_stream = create->stdout_stream,
      .stderr_stream = create->stderr_stream,
  };
  container->main.process = process_spawn(&request, &main_events, &container->main, error);
  return container->main.process == NULL ? -1 : 0;
}

// The same request once more: answered when it is answered the first time.
static void create_again(struct container *container, const Hyperstart__V1__CreateContainer *request, struct reply reply) {
  struct error error;
  if (container->is_removing) {
    error_set(&error, CODE_PRECONDITION, "container %s is being removed", container->id);
    reply_error(reply, &error);
  } else if (container->fingerprint != fingerprint_of(&request->base)) {
    error_set(&error, CODE_EXISTS, "container %s exists with another content", container->id);
    reply_error(reply, &error);
  } else if (container->main.process != NULL && !container->main.process->is_ready) {
    task_await(&container->main, reply);
  } else {
    reply_success(reply);
  }
}

void container_create(const Hyperstart__V1__CreateContainer *request, struct reply reply) {
  struct error error;
  struct container *known = container_find(request->container_id);
  if (known != NULL) {
    create_again(known, request, reply);
    return;
  }
  if (identifier_check("container id", request->container_id, &error) < 0) {
    reply_error(reply, &error);
    return;
  }
  if (container_count >= CONTAINERS_MAX) {
    error_set(&error, CODE_EXHAUSTED, "this pod has %u containers", container_count);
    reply_error(reply, &error);
    return;
  }
  struct container *container = container_add(request);
  task_await(&container->main, reply);
  if (container_spawn(container, &error) < 0) {
    fail_create(container, &error);
    container_cleanup_if_idle(container);
  }
}

// --- start ----------------------------------------------------------------------------------------------------------

void container_start(const Hyperstart__V1__StartContainer *request, struct reply reply) {
  struct error error;
  struct container *container = container_get(request->container_id, &error);
  if (container == NULL) {
    reply_error(reply, &error);
    return;
  }
  struct process *process = container->main.process;
  if (container->started_at_ns != 0) {
    answer_started(reply, container);
  } else if (process == NULL || process->is_failed) {
    error_set(&error, CODE_PRECONDITION, "container %s has ended before it was started", container->id);
    reply_error(reply, &error);
  } else if (!process->is_ready) {
    error_set(&error, CODE_PRECONDITION, "container %s is still being prepared", container->id);
    reply_error(reply, &error);
  } else if (event_backlog_is_full()) {
    error_set(&error, CODE_EXHAUSTED, "too many events wait for their acknowledgement");
    reply_error(reply, &error);
  } else {
    task_await(&container->main, reply);
    if (!process->start_sent) process_start(process);
  }
}

// --- exec -----------------------------------------------------------------------------------------------------------

static void answer_exec(struct reply reply, pid_t pid) {
  Hyperstart__V1__ExecResult result = HYPERSTART__V1__EXEC_RESULT__INIT;
  result.pid = pid;
  Hyperstart__V1__Response response = HYPERSTART__V1__RESPONSE__INIT;
  response.result_case = HYPERSTART__V1__RESPONSE__RESULT_EXEC;
  response.exec = &result;
  reply_send(reply, &response);
}

static void exec_started(struct process *process) {
  struct task *task = process->owner;
  if (!task->reply_is_due) return;
  task->reply_is_due = false;
  answer_exec(task->reply, process->pid);
}

static void exec_failed(struct process *process, const struct error *error) {
  task_answer_error(process->owner, error);
}

static const struct process_events exec_events = {NULL, exec_started, exec_failed, task_exited, task_finished};

// What the exec leaves open is the container's. The copy is shallow.
static Hyperstart__V1__Process exec_process(const Hyperstart__V1__Process *wanted, const Hyperstart__V1__Process *base) {
  Hyperstart__V1__Process process = *wanted;
  if (process.user == NULL) process.user = base->user;
  if (process.capabilities == NULL) process.capabilities = base->capabilities;
  if (process.n_env == 0) {
    process.n_env = base->n_env;
    process.env = base->env;
  }
  if (process.n_rlimits == 0) {
    process.n_rlimits = base->n_rlimits;
    process.rlimits = base->rlimits;
  }
  if (*process.cwd == '\0') process.cwd = base->cwd;
  if (process.seccomp_filter.len == 0) process.seccomp_filter = base->seccomp_filter;
  if (process.oom_score_adj == 0) process.oom_score_adj = base->oom_score_adj;
  process.no_new_privileges = process.no_new_privileges || base->no_new_privileges;
  return process;
}

static struct task *exec_spawn(struct container *container, const Hyperstart__V1__Exec *request, struct error *error) {
  if (request->process == NULL) {
    error_set(error, CODE_INVALID, "exec without a process");
    return NULL;
  }
  Hyperstart__V1__Process process = exec_process(request->process, container->create->process);
  cleanup_close int cgroup = cgroup_open(container->id);
  struct process_request spawn = {
      .process = &process,
      .cgroup_fd = cgroup,
      .pid_namespace_pidfd = container->main.process->pidfd,
      .target_pidfd = container->main.process->pidfd,
      .privileged = container->create->privileged && request->process->capabilities == NULL,
      .stdin_stream = request->stdin_stream,
      .stdout_stream = request->stdout_stream,
      .stderr_stream = request->stderr_stream,
  };
  struct task *task = memory_alloc(sizeof *task);
  task->container = container;
  task->exec_id = memory_copy_string(request->exec_id);
  task->oom_kills_before = cgroup_oom_kills(container->oom.fd);
  task->process = process_spawn(&spawn, &exec_events, task, error);
  if (task->process == NULL) {
    free(task->exec_id);
    free(task);
    return NULL;
  }
  task->next = container->execs;
  container->execs = task;
  container->exec_count++;
  return task;
}

// True if this exec was asked for before; then it is answered.
static bool exec_again(struct container *container, const char *exec_id, struct reply reply) {
  struct task *task = task_find(container, exec_id);
  if (task != NULL) {
    if (task->process->is_started) {
      answer_exec(reply, task->process->pid);
    } else {
      task_await(task, reply);
    }
    return true;
  }
  for (unsigned index = 0; index < EXECS_REMEMBERED; index++) {
    const struct finished_exec *finished = &container->finished_execs[index];
    if (finished->exec_id == NULL || strcmp(finished->exec_id, exec_id) != 0) continue;
    answer_exec(reply, finished->pid);
    return true;
  }
  return false;
}

static int exec_check(const struct container *container, const Hyperstart__V1__Exec *request, struct error *error) {
  if (identifier_check("exec id", request->exec_id, error) < 0) return -1;
  if (!is_running(container)) return error_set(error, CODE_PRECONDITION, "container %s is not running", container->id);
  if (container->exec_count >= EXECS_MAX || event_backlog_is_full()) {
    return error_set(error, CODE_EXHAUSTED, "container %s has %u executions, or too many events wait for their acknowledgement",
                     container->id, container->exec_count);
  }
  return 0;
}

void container_exec(const Hyperstart__V1__Exec *request, struct reply reply) {
  struct error error;
  struct container *container = container_get(request->container_id, &error);
  if (container == NULL) {
    reply_error(reply, &error);
    return;
  }
  if (*request->exec_id != '\0' && exec_again(container, request->exec_id, reply)) return;
  struct task *task = NULL;
  if (exec_check(container, request, &error) == 0) task = exec_spawn(container, request, &error);
  if (task == NULL) {
    reply_error(reply, &error);
    return;
  }
  task_await(task, reply);
}

// --- signals, terminals, resources ----------------------------------------------------------------------------------

static struct task *task_get(const char *container_id, const char *exec_id, struct error *error) {
  struct container *container = container_get(container_id, error);
  if (container == NULL) return NULL;
  struct task *task = task_find(container, exec_id);
  if (task == NULL) error_set(error, CODE_NOT_FOUND, "exec '%.128s' of container %s does not exist", exec_id, container_id);
  return task;
}

int container_signal(const Hyperstart__V1__SignalProcess *request, struct error *error) {
  if (request->signal <= 0 || request->signal > SIGRTMAX) return error_set(error, CODE_INVALID, "signal %d", request->signal);
  struct task *task = task_get(request->container_id, request->exec_id, error);
  if (task == NULL) return -1;
  if (request->all) {
    if (cgroup_kill(task->container->id, request->signal) < 0)
      return error_errno(error, "kill container %s", task->container->id);
    return 0;
  }
  if (task->process == NULL) return 0; // it has ended: what a signal is for
  return process_signal(task->process, request->signal, error);
}

int container_resize_terminal(const Hyperstart__V1__ResizeTerminal *request, struct error *error) {
  struct task *task = task_get(request->container_id, request->exec_id, error);
  if (task == NULL) return -1;
  if (task->process == NULL || task->process->is_exited) return 0;
  return process_resize(task->process, request->rows, request->columns, error);
}

int container_update_resources(const Hyperstart__V1__UpdateResources *request, struct error *error) {
  struct container *container = container_get(request->container_id, error);
  if (container == NULL) return -1;
  return cgroup_apply(container->id, request->resources, error);
}

// --- remove ---------------------------------------------------------------------------------------------------------

static int cleanup_work(void *input, struct worker_result *result) {
  const struct container *container = input;
  if (cgroup_remove(container->id, &result->error) < 0) return -1;
  cleanup_free char *folder = memory_format(PATH_SCRATCH "/containers/%s", container->id);
  if (file_remove_tree(AT_FDCWD, folder) < 0)
    return error_errno(&result->error, "remove the writable folder of %s", container->id);
  return 0;
}

static void cleanup_done(void *owner, const struct worker_result *result) {
  struct container *container = owner;
  container->is_cleaning = false;
  struct reply reply = container->remove_reply;
  bool answer = reply.session != 0;
  if (result->failed && !container->create_failed) {
    // Stays, so that the removal can be tried again.
    log_line("%s", result->error.message);
    container->remove_reply.session = 0;
    if (answer) reply_error(reply, &result->error);
    return;
  }
  if (container->create_failed) task_answer_error(&container->main, &container->create_error);
  container_free(container);
  if (answer) reply_success(reply);
}

static void container_cleanup_if_idle(struct container *container) {
  if (!container->is_removing || container->is_cleaning) return;
  if (container->main.process != NULL || container->execs != NULL) return;
  container->is_cleaning = true;
  worker_run(cleanup_work, container, cleanup_done, container);
}

// Lets go of every output. A callback may free the process, so the search starts anew after each.
static void discard_outputs(struct container *container) {
  for (struct task *task = container->execs; task != NULL;) {
    struct task *next = task->next;
    if (!task->process->is_failed) process_discard_output(task->process);
    task = next;
  }
  if (container->main.process != NULL && !container->main.process->is_failed) process_discard_output(container->main.process);
}

void container_remove(const Hyperstart__V1__RemoveContainer *request, struct reply reply) {
  struct container *container = container_find(request->container_id);
  if (container == NULL) {
    reply_success(reply);
    return;
  }
  container->remove_reply = reply;
  container->is_removing = true;
  if (container->is_cleaning) return;
  cgroup_kill(container->id, SIGKILL);
  container->is_cleaning = true; // the callbacks below must not begin it
  discard_outputs(container);
  container->is_cleaning = false;
  container_cleanup_if_idle(container);
}

void container_kill_all(void) {
  for (struct container *container = containers; container != NULL; container = container->next) {
    cgroup_kill(container->id, SIGKILL);
  }
}

bool container_any_is_running(void) {
  for (struct container *container = containers; container != NULL; container = container->next) {
    if (is_running(container)) return true;
  }
  return false;
}

// --- reports --------------------------------------------------------------------------------------------------------

static Hyperstart__V1__ContainerState__Phase phase_of(const struct container *container) {
  if (container->has_exit || container->main.process == NULL) return HYPERSTART__V1__CONTAINER_STATE__PHASE__PHASE_EXITED;
  if (container->main.process->is_started) return HYPERSTART__V1__CONTAINER_STATE__PHASE__PHASE_RUNNING;
  return HYPERSTART__V1__CONTAINER_STATE__PHASE__PHASE_CREATED;
}

static Hyperstart__V1__ContainerState *state_of(const struct container *container) {
  Hyperstart__V1__ContainerState *state = memory_alloc(sizeof *state);
  hyperstart__v1__container_state__init(state);
  state->container_id = memory_copy_string(container->id);
  state->phase = phase_of(container);
  state->pid = container->pid;
  state->started_at_ns = container->started_at_ns;
  if (container->has_exit) {
    state->exit = memory_copy(&container->exit, sizeof container->exit);
    state->exit->container_id = memory_copy_string(container->id);
    state->exit->exec_id = memory_copy_string("");
  }
  state->exec_ids = memory_alloc(container->exec_count * sizeof *state->exec_ids);
  for (const struct task *task = container->execs; task != NULL; task = task->next) {
    state->exec_ids[state->n_exec_ids++] = memory_copy_string(task->exec_id);
  }
  return state;
}

Hyperstart__V1__ContainerState **container_states(size_t *count) {
  Hyperstart__V1__ContainerState **states = memory_alloc(container_count * sizeof *states);
  *count = 0;
  for (const struct container *container = containers; container != NULL; container = container->next) {
    if (!container->is_removing) states[(*count)++] = state_of(container);
  }
  return states;
}

Hyperstart__V1__ContainerStats **container_stats(size_t *count) {
  Hyperstart__V1__ContainerStats **all = memory_alloc(container_count * sizeof *all);
  *count = 0;
  for (const struct container *container = containers; container != NULL; container = container->next) {
    if (container->is_removing) continue;
    Hyperstart__V1__ContainerStats *stats = memory_alloc(sizeof *stats);
    hyperstart__v1__container_stats__init(stats);
    stats->container_id = memory_copy_string(container->id);
    cgroup_stats(container->id, stats);
    all[(*count)++] = stats;
  }
  return all;
}

char **container_ids(size_t *count) {
  char **ids = memory_alloc(container_count * sizeof *ids);
  *count = 0;
  for (const struct container *container = containers; container != NULL; container = container->next) {
    if (!container->is_removing) ids[(*count)++] = memory_copy_string(container->id);
  }
  return ids;
}

static bool uses_volume(const Hyperstart__V1__CreateContainer *create, const char *volume_id) {
  if (strcmp(create->rootfs_volume_id, volume_id) == 0) return true;
  for (size_t index = 0; index < create->n_layer_volume_ids; index++) {
    if (strcmp(create->layer_volume_ids[index], volume_id) == 0) return true;
  }
  for (size_t index = 0; index < create->n_devices; index++) {
    if (strcmp(create->devices[index]->volume_id, volume_id) == 0) return true;
  }
  for (size_t index = 0; index < create->n_mounts; index++) {
    const Hyperstart__V1__Mount *mount = create->mounts[index];
    if (mount->source_case == HYPERSTART__V1__MOUNT__SOURCE_VOLUME_ID && strcmp(mount->volume_id, volume_id) == 0) return true;
  }
  return false;
}

bool container_uses_volume(const char *volume_id) {
  for (const struct container *container = containers; container != NULL; container = container->next) {
    // An ended container holds nothing open: the disk may go before its record does.
    if (container->main.process == NULL && container->execs == NULL) continue;
    if (uses_volume(container->create, volume_id)) return true;
  }
  return false;
}
