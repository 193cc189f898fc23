#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "file.h"
#include "memory.h"
#include "paths.h"

#define FILE_MAX 65536u
#define US_TO_NS 1000u
#define SHARES_MIN 2u
#define SHARES_MAX 262144u
#define CPU_PERIOD_DEFAULT_US 100000u
#define REMOVE_POLLS_MAX 1000
#define REMOVE_POLL_NS 10000000L
#define DEPTH_MAX 64

static char *path_of(const char *container_id, const char *file) {
  return memory_format(PATH_CGROUP_POD "/%s%s%s", container_id, *file == '\0' ? "" : "/", file);
}

static int write_value(const char *container_id, const char *file, const char *value, struct error *error) {
  cleanup_free char *path = path_of(container_id, file);
  if (file_write(path, value) < 0) return error_errno(error, "set %s of container %s to %s", file, container_id, value);
  return 0;
}

static int write_number(const char *container_id, const char *file, int64_t value, struct error *error) {
  char text[32];
  snprintf(text, sizeof text, "%" PRId64, value);
  return write_value(container_id, file, value < 0 ? "max" : text, error);
}

int cgroup_create(const char *container_id, struct error *error) {
  cleanup_free char *path = path_of(container_id, "");
  if (mkdir(path, 0755) < 0 && errno != EEXIST) return error_errno(error, "make the cgroup of container %s", container_id);
  // One process of a container killed for memory takes the others with it: half a container helps nobody.
  return write_value(container_id, "memory.oom.group", "1", error);
}

uint64_t cgroup_weight_of_shares(uint64_t shares) {
  if (shares < SHARES_MIN) shares = SHARES_MIN;
  if (shares > SHARES_MAX) shares = SHARES_MAX;
  return 1 + (shares - SHARES_MIN) * 9999 / (SHARES_MAX - SHARES_MIN);
}

static int apply_cpu(const char *container_id, const Hyperstart__V1__Resources *resources, struct error *error) {
  if (resources->cpu_shares != 0) {
    int64_t weight = (int64_t)cgroup_weight_of_shares(resources->cpu_shares);
    if (write_number(container_id, "cpu.weight", weight, error) < 0) return -1;
  }
  if (resources->cpu_quota_us != 0) {
    uint64_t period = resources->cpu_period_us != 0 ? resources->cpu_period_us : CPU_PERIOD_DEFAULT_US;
    char text[64];
    if (resources->cpu_quota_us < 0) {
      snprintf(text, sizeof text, "max %" PRIu64, period);
    } else {
      snprintf(text, sizeof text, "%" PRId64 " %" PRIu64, resources->cpu_quota_us, period);
    }
    if (write_value(container_id, "cpu.max", text, error) < 0) return -1;
  }
  if (resources->cpuset_cpus[0] != '\0') return write_value(container_id, "cpuset.cpus", resources->cpuset_cpus, error);
  return 0;
}

int cgroup_apply(const char *container_id, const Hyperstart__V1__Resources *resources, struct error *error) {
  if (resources == NULL) return 0;
  if (apply_cpu(container_id, resources, error) < 0) return -1;
  if (resources->memory_limit_bytes != 0 && write_number(container_id, "memory.max", resources->memory_limit_bytes, error) < 0) {
    return -1;
  }
  if (resources->memory_swap_limit_bytes > 0) {
    // The contract counts memory and swap together (as cgroup v1), the kernel counts swap alone.
    int64_t swap = resources->memory_swap_limit_bytes - resources->memory_limit_bytes;
    if (write_number(container_id, "memory.swap.max", swap > 0 ? swap : 0, error) < 0) return -1;
  }
  if (resources->pids_limit != 0) return write_number(container_id, "pids.max", resources->pids_limit, error);
  return 0;
}

int cgroup_open(const char *container_id) {
  cleanup_free char *path = path_of(container_id, "");
  return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void signal_each(const char *container_id, int signal) {
  cleanup_free char *path = path_of(container_id, "cgroup.procs");
  cleanup_free char *list = file_read(path, FILE_MAX);
  if (list == NULL) return;
  char *rest = NULL;
  for (char *line = strtok_r(list, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    pid_t pid = (pid_t)strtol(line, NULL, 10);
    if (pid > 1) kill(pid, signal);
  }
}

int cgroup_kill(const char *container_id, int signal) {
  if (signal != SIGKILL) {
    signal_each(container_id, signal);
    return 0;
  }
  cleanup_free char *path = path_of(container_id, "cgroup.kill");
  return file_write(path, "1");
}

// Removes the cgroups inside first. cgroupfs folders cannot be unlinked file by file.
static int remove_level(const char *path, int depth) {
  if (rmdir(path) == 0 || errno == ENOENT) return 0;
  DIR *folder = depth < DEPTH_MAX ? opendir(path) : NULL;
  if (folder == NULL) return -1;
  struct dirent *entry;
  while ((entry = readdir(folder)) != NULL) {
    if (entry->d_type != DT_DIR || entry->d_name[0] == '.') continue;
    cleanup_free char *inner = memory_format("%s/%s", path, entry->d_name);
    remove_level(inner, depth + 1);
  }
  closedir(folder);
  return rmdir(path) == 0 || errno == ENOENT ? 0 : -1;
}

int cgroup_remove(const char *container_id, struct error *error) {
  cleanup_free char *path = path_of(container_id, "");
  for (int poll = 0; poll < REMOVE_POLLS_MAX; poll++) {
    if (remove_level(path, 0) == 0) return 0;
    if (errno != EBUSY) break;
    cgroup_kill(container_id, SIGKILL);
    nanosleep(&(struct timespec){.tv_nsec = REMOVE_POLL_NS}, NULL);
  }
  return error_errno(error, "remove the cgroup of container %s", container_id);
}

int cgroup_open_memory_events(const char *container_id) {
  cleanup_free char *path = path_of(container_id, "memory.events");
  return open(path, O_RDONLY | O_CLOEXEC);
}

// The number behind "<name> " at the start of a line.
static uint64_t value_of(const char *text, const char *name) {
  size_t length = strlen(name);
  for (const char *line = text; line != NULL && *line != '\0';) {
    if (strncmp(line, name, length) == 0 && line[length] == ' ') return strtoull(line + length + 1, NULL, 10);
    line = strchr(line, '\n');
    if (line != NULL) line++;
  }
  return 0;
}

uint64_t cgroup_oom_kills(int memory_events_fd) {
  char text[512];
  ssize_t length = pread(memory_events_fd, text, sizeof text - 1, 0);
  if (length <= 0) return 0;
  text[length] = '\0';
  return value_of(text, "oom_kill");
}

static uint64_t read_number(const char *container_id, const char *file) {
  cleanup_free char *path = path_of(container_id, file);
  return file_read_number(path, 0);
}

void cgroup_stats(const char *container_id, Hyperstart__V1__ContainerStats *stats) {
  cleanup_free char *cpu_path = path_of(container_id, "cpu.stat");
  cleanup_free char *memory_path = path_of(container_id, "memory.stat");
  cleanup_free char *cpu = file_read(cpu_path, FILE_MAX);
  cleanup_free char *memory = file_read(memory_path, FILE_MAX);
  if (cpu != NULL) {
    stats->cpu_usage_ns = value_of(cpu, "usage_usec") * US_TO_NS;
    stats->cpu_user_ns = value_of(cpu, "user_usec") * US_TO_NS;
    stats->cpu_system_ns = value_of(cpu, "system_usec") * US_TO_NS;
  }
  stats->memory_usage_bytes = read_number(container_id, "memory.current");
  stats->memory_working_set_bytes = stats->memory_usage_bytes;
  if (memory != NULL) {
    uint64_t inactive = value_of(memory, "inactive_file");
    stats->memory_working_set_bytes = stats->memory_usage_bytes > inactive ? stats->memory_usage_bytes - inactive : 0;
    stats->memory_rss_bytes = value_of(memory, "anon");
    stats->memory_page_faults = value_of(memory, "pgfault");
    stats->memory_major_page_faults = value_of(memory, "pgmajfault");
  }
  stats->pids = read_number(container_id, "pids.current");
  stats->memory_limit_bytes = read_number(container_id, "memory.max"); // "max" reads as 0: no limit
}
