#include "stats.h"

#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "clock.h"
#include "container.h"
#include "file.h"
#include "memory.h"
#include "network.h"
#include "paths.h"
#include "worker.h"

#define NS_PER_S 1000000000u
#define CPU_FIELDS 8 // user nice system idle iowait irq softirq steal
#define CPU_FIELD_IDLE 3
#define CPU_FIELD_WAIT 4

struct usage {
  uint64_t bytes;
  uint64_t inodes;
};
#define USAGES_MAX (WORKER_ANSWER_MAX / sizeof(struct usage))

// Folders are measured in a worker: their walk takes as long as they are large.
struct measurement {
  struct reply reply;
  char **ids;
  size_t count;
};

static uint64_t memory_available(void) {
  cleanup_free char *text = file_read("/proc/meminfo", 8192);
  const char *line = text == NULL ? NULL : strstr(text, "MemAvailable:");
  return line == NULL ? 0 : strtoull(line + strlen("MemAvailable:"), NULL, 10) * 1024;
}

static uint64_t cpu_usage_ns(void) {
  cleanup_free char *text = file_read("/proc/stat", 4096);
  if (text == NULL || strncmp(text, "cpu ", 4) != 0) return 0;
  uint64_t ticks = 0;
  char *at = text + 4;
  for (int field = 0; field < CPU_FIELDS; field++) {
    uint64_t value = strtoull(at, &at, 10);
    if (field != CPU_FIELD_IDLE && field != CPU_FIELD_WAIT) ticks += value;
  }
  return ticks * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
}

static void fill_pod(Hyperstart__V1__StatsResult *result) {
  result->timestamp_ns = clock_realtime_ns();
  result->memory_total_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
  result->memory_available_bytes = memory_available();
  result->cpu_usage_ns = cpu_usage_ns();
  result->process_count = file_read_number(PATH_CGROUP_POD "/pids.current", 0);
  struct statvfs scratch;
  if (statvfs(PATH_SCRATCH, &scratch) < 0) return;
  result->scratch_size_bytes = (uint64_t)scratch.f_blocks * scratch.f_frsize;
  result->scratch_used_bytes = (uint64_t)(scratch.f_blocks - scratch.f_bfree) * scratch.f_frsize;
}

static int measure_work(void *input, struct worker_result *result) {
  const struct measurement *measurement = input;
  struct usage usages[USAGES_MAX] = {0};
  for (size_t index = 0; index < measurement->count && index < USAGES_MAX; index++) {
    cleanup_free char *path = memory_format(PATH_SCRATCH "/containers/%s/upper", measurement->ids[index]);
    file_tree_usage(path, &usages[index].bytes, &usages[index].inodes);
  }
  memcpy(result->answer, usages, sizeof usages);
  return 0;
}

static void fill_writable(const struct measurement *measurement, const struct usage *usages,
                          Hyperstart__V1__ContainerStats *stats) {
  for (size_t index = 0; index < measurement->count && index < USAGES_MAX; index++) {
    if (strcmp(measurement->ids[index], stats->container_id) != 0) continue;
    stats->writable_used_bytes = usages[index].bytes;
    stats->writable_inodes_used = usages[index].inodes;
  }
}

static void measurement_free(struct measurement *measurement) {
  for (size_t index = 0; index < measurement->count; index++) free(measurement->ids[index]);
  free(measurement->ids);
  free(measurement);
}

static void measure_done(void *owner, const struct worker_result *worker) {
  struct measurement *measurement = owner;
  struct usage usages[USAGES_MAX] = {0};
  if (worker->failed == 0) memcpy(usages, worker->answer, sizeof usages);
  Hyperstart__V1__StatsResult *result = memory_alloc(sizeof *result);
  hyperstart__v1__stats_result__init(result);
  fill_pod(result);
  result->containers = container_stats(&result->n_containers);
  for (size_t index = 0; index < result->n_containers; index++) fill_writable(measurement, usages, result->containers[index]);
  result->interfaces = network_stats(&result->n_interfaces);
  Hyperstart__V1__Response response = HYPERSTART__V1__RESPONSE__INIT;
  response.result_case = HYPERSTART__V1__RESPONSE__RESULT_STATS;
  response.stats = result;
  reply_send(measurement->reply, &response);
  hyperstart__v1__stats_result__free_unpacked(result, NULL);
  measurement_free(measurement);
}

void stats_get(struct reply reply) {
  struct measurement *measurement = memory_alloc(sizeof *measurement);
  measurement->reply = reply;
  measurement->ids = container_ids(&measurement->count);
  worker_run(measure_work, measurement, measure_done, measurement);
}
