#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "capability.h"
#include "file.h"
#include "memory.h"
#include "path.h"
#include "rlimit.h"
#include "user.h"

#define STATUS_FD 3
#define TARGET_FD 4
#define FIRST_FREE_FD 5
#define FAR_FD 64 // descriptors wait here while 0-4 are put in place
#define ACCOUNT_FILE_MAX (4u * 1024u * 1024u)
#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define SOCK_FILTERS_MAX 32767u

// --- reports --------------------------------------------------------------------------------------------------------

static void send_report(const struct report *report, int fd) {
  struct iovec content = {(void *)(uintptr_t)report, sizeof *report};
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control = {0};
  struct msghdr message = {.msg_iov = &content, .msg_iovlen = 1};
  if (fd >= 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  if (sendmsg(STATUS_FD, &message, MSG_NOSIGNAL) < 0) _exit(1);
}

static _Noreturn void fail(const struct error *error) {
  struct report report = {.kind = REPORT_FAILED, .error = *error};
  send_report(&report, -1);
  _exit(error->code == CODE_COMMAND_NOT_FOUND ? 127 : error->code == CODE_COMMAND_NOT_EXECUTABLE ? 126 : 1);
}

// --- descriptors and signals ----------------------------------------------------------------------------------------

static int far(int fd) {
  return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, FAR_FD);
}

// 0-2 as wanted, status and target at fixed places, nothing else: no process may hold another one's pipes open.
static void arrange_descriptors(const struct spawn *spawn) {
  int status = far(spawn->status);
  int target = far(spawn->target_pidfd);
  int stdio[3];
  for (int index = 0; index < 3; index++) stdio[index] = far(spawn->stdio[index]);
  for (int index = 0; index < 3; index++) {
    if (stdio[index] >= 0) dup2(stdio[index], index);
  }
  dup3(status, STATUS_FD, O_CLOEXEC);
  if (target >= 0) dup3(target, TARGET_FD, O_CLOEXEC);
  syscall(SYS_close_range, FIRST_FREE_FD, ~0u, 0);
}

static void reset_signals(void) {
  struct sigaction standard = {.sa_handler = SIG_DFL};
  for (int signal = 1; signal < NSIG; signal++) sigaction(signal, &standard, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

// --- terminal -------------------------------------------------------------------------------------------------------

static int open_terminal(const Hyperstart__V1__Process *process, struct error *error) {
  cleanup_close int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) return error_errno(error, "open /dev/ptmx of the container");
  int unlock = 0;
  if (ioctl(master, TIOCSPTLCK, &unlock) < 0) return error_errno(error, "unlock the terminal");
  int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) return error_errno(error, "open the terminal");
  struct winsize size = {.ws_row = (unsigned short)process->rows, .ws_col = (unsigned short)process->columns};
  if (size.ws_row != 0) ioctl(master, TIOCSWINSZ, &size);
  if (ioctl(slave, TIOCSCTTY, 0) < 0) return error_errno(error, "make the terminal the controlling one");
  for (int target = 0; target < 3; target++) dup2(slave, target);
  close(slave);
  struct report report = {.kind = REPORT_TERMINAL};
  send_report(&report, master);
  return 0;
}

// --- rights ---------------------------------------------------------------------------------------------------------

static int load_seccomp(const Hyperstart__V1__Process *process, struct error *error) {
  size_t count = process->seccomp_filter.len / sizeof(struct sock_filter);
  if (process->seccomp_filter.len == 0) return 0;
  if (process->seccomp_filter.len % sizeof(struct sock_filter) != 0 || count > SOCK_FILTERS_MAX) {
    return error_set(error, CODE_INVALID, "seccomp filter: %zu bytes are no array of struct sock_filter",
                     process->seccomp_filter.len);
  }
  struct sock_fprog program = {.len = (unsigned short)count,
                               .filter = (struct sock_filter *)(void *)process->seccomp_filter.data};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0) return error_errno(error, "load the seccomp filter");
  return 0;
}

static int set_limits(const Hyperstart__V1__Process *process, struct error *error) {
  for (size_t index = 0; index < process->n_rlimits; index++) {
    const Hyperstart__V1__Rlimit *limit = process->rlimits[index];
    int number = rlimit_number(limit->type);
    if (number < 0) return error_set(error, CODE_INVALID, "rlimit '%.64s' is unknown", limit->type);
    struct rlimit value = {.rlim_cur = limit->soft, .rlim_max = limit->hard};
    if (setrlimit((__rlimit_resource_t)number, &value) < 0) return error_errno(error, "set %s", limit->type);
  }
  return 0;
}

static int change_user(const struct identity *identity, struct error *error) {
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) return error_errno(error, "keep capabilities");
  if (setgroups(identity->group_count, identity->groups) < 0) return error_errno(error, "set groups");
  if (setresgid(identity->gid, identity->gid, identity->gid) < 0) return error_errno(error, "become group %u", identity->gid);
  if (setresuid(identity->uid, identity->uid, identity->uid) < 0) return error_errno(error, "become user %u", identity->uid);
  return 0;
}

// Pipes and terminals belong to the user, so that /dev/stdout can be opened by name.
static void give_stdio(const struct identity *identity) {
  struct stat null;
  if (stat("/dev/null", &null) < 0) null.st_rdev = 0;
  for (int fd = 0; fd < 3; fd++) {
    struct stat status;
    if (fstat(fd, &status) < 0 || status.st_uid == identity->uid) continue;
    if (S_ISCHR(status.st_mode) && status.st_rdev == null.st_rdev) continue;
    if (fchown(fd, identity->uid, (gid_t)-1) < 0) continue; // a courtesy: the process runs without it
  }
}

static int set_rights(const struct spawn *spawn, const struct identity *identity, struct error *error) {
  const Hyperstart__V1__Process *process = spawn->process;
  if (set_limits(process, error) < 0) return -1;
  if (capability_bound(process->capabilities, spawn->privileged, error) < 0) return -1;
  // Without no_new_privs a filter may be loaded only while CAP_SYS_ADMIN is there.
  if (!process->no_new_privileges && load_seccomp(process, error) < 0) return -1;
  give_stdio(identity);
  if (change_user(identity, error) < 0) return -1;
  if (capability_apply(process->capabilities, spawn->privileged, error) < 0) return -1;
  if (!process->no_new_privileges) return 0;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return error_errno(error, "set no_new_privs");
  return load_seccomp(process, error);
}

// --- place ----------------------------------------------------------------------------------------------------------

static int enter_root(const struct spawn *spawn, struct error *error) {
  char adjustment[16];
  snprintf(adjustment, sizeof adjustment, "%d", spawn->process->oom_score_adj);
  if (file_write("/proc/self/oom_score_adj", adjustment) < 0) return error_errno(error, "set oom_score_adj %s", adjustment);
  if (spawn->plan == NULL) {
    if (setns(TARGET_FD, CLONE_NEWNS | CLONE_NEWCGROUP) < 0) return error_errno(error, "join the container");
    return 0;
  }
  if (unshare(CLONE_NEWCGROUP) < 0) return error_errno(error, "make a cgroup namespace");
  if (rootfs_build(spawn->plan, error) < 0) return -1;
  return rootfs_enter(error);
}

static int enter_folder(const char *cwd, struct error *error) {
  if (*cwd == '\0') cwd = "/";
  if (cwd[0] != '/') return error_set(error, CODE_INVALID, "working folder '%.200s' is not absolute", cwd);
  if (chdir(cwd) == 0) return 0;
  if (errno != ENOENT) return error_errno(error, "enter the working folder %s", cwd);
  if (file_make_folders(cwd, 0755) < 0 || chdir(cwd) < 0) return error_errno(error, "make the working folder %s", cwd);
  return 0;
}

static int find_identity(const Hyperstart__V1__Process *process, struct identity *identity, struct error *error) {
  cleanup_free char *passwd = file_read("/etc/passwd", ACCOUNT_FILE_MAX);
  cleanup_free char *group = file_read("/etc/group", ACCOUNT_FILE_MAX);
  return user_resolve(process->user, passwd, group, identity, error);
}

// --- execution ------------------------------------------------------------------------------------------------------

static const char *variable(char *const *environment, const char *name) {
  size_t length = strlen(name);
  for (; *environment != NULL; environment++) {
    if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=') return *environment + length + 1;
  }
  return NULL;
}

static char **make_environment(const Hyperstart__V1__Process *process, const char *home) {
  char **environment = memory_alloc((process->n_env + 2) * sizeof *environment);
  for (size_t index = 0; index < process->n_env; index++) environment[index] = process->env[index];
  if (variable(environment, "HOME") == NULL) {
    environment[process->n_env] = memory_format("HOME=%s", home != NULL && *home != '\0' ? home : "/");
  }
  return environment;
}

// Tries each folder of PATH; the errno that tells the most is left.
static void execute_on_path(char **arguments, char **environment) {
  const char *list = variable(environment, "PATH");
  cleanup_free char *copy = memory_copy_string(list != NULL ? list : PATH_DEFAULT);
  int number = ENOENT;
  char *rest = copy;
  for (char *folder = strsep(&rest, ":"); folder != NULL; folder = strsep(&rest, ":")) {
    cleanup_free char *candidate = memory_format("%s/%s", *folder == '\0' ? "." : folder, arguments[0]);
    struct stat status;
    if (stat(candidate, &status) == 0 && S_ISDIR(status.st_mode)) continue;
    execve(candidate, arguments, environment);
    if (errno != ENOENT && errno != ENOTDIR) number = errno;
  }
  errno = number;
}

static _Noreturn void execute(const Hyperstart__V1__Process *process, char **environment) {
  struct error error;
  char **arguments = memory_alloc((process->n_args + 1) * sizeof *arguments);
  for (size_t index = 0; index < process->n_args; index++) arguments[index] = process->args[index];
  if (strchr(arguments[0], '/') != NULL) {
    execve(arguments[0], arguments, environment);
  } else {
    execute_on_path(arguments, environment);
  }
  int number = errno;
  bool missing = number == ENOENT || number == ENOTDIR;
  error_set(&error, missing ? CODE_COMMAND_NOT_FOUND : CODE_COMMAND_NOT_EXECUTABLE, "exec %.200s: %s", arguments[0],
            strerror(number));
  fail(&error);
}

static void wait_for_start(void) {
  struct report ready = {.kind = REPORT_READY};
  send_report(&ready, -1);
  char start;
  ssize_t got;
  do {
    got = read(STATUS_FD, &start, 1);
  } while (got < 0 && errno == EINTR);
  if (got != 1) _exit(1);
}

_Noreturn void spawn_child(const struct spawn *spawn) {
  struct error error;
  struct identity identity;
  // Until execve this is a copy of PID 1: nobody in the container may look into it.
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  reset_signals();
  arrange_descriptors(spawn);
  umask(0022);
  setsid();
  if (enter_root(spawn, &error) < 0) fail(&error);
  if (spawn->process->terminal && open_terminal(spawn->process, &error) < 0) fail(&error);
  if (find_identity(spawn->process, &identity, &error) < 0) fail(&error);
  char **environment = make_environment(spawn->process, identity.home);
  if (spawn->wait_for_start) wait_for_start();
  if (enter_folder(spawn->process->cwd, &error) < 0) fail(&error);
  if (set_rights(spawn, &identity, &error) < 0) fail(&error);
  execute(spawn->process, environment);
}
