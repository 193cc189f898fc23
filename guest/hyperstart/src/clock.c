#include "clock.h"

#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "file.h"
#include "memory.h"

#define NS_PER_S 1000000000u
#define ENTROPY_MAX 512u
#define TIMER_LIST_MAX 262144u

char *clock_source_name(void) {
  char *name = file_read("/sys/devices/system/clocksource/clocksource0/current_clocksource", 64);
  if (name == NULL) return memory_copy_string("");
  name[strcspn(name, "\n")] = '\0';
  return name;
}

// Every line "  .<name> : <number>" must carry the wanted number, and there must be one.
static bool every_value_is(const char *text, const char *name, long wanted) {
  bool any = false;
  for (const char *at = strstr(text, name); at != NULL; at = strstr(at + 1, name)) {
    const char *colon = strchr(at, ':');
    if (colon == NULL || strtol(colon + 1, NULL, 10) != wanted) return false;
    any = true;
  }
  return any;
}

bool clock_is_tickless(void) {
  cleanup_free char *text = file_read("/proc/timer_list", TIMER_LIST_MAX);
  if (text == NULL) return false;
  // 2: NOHZ_MODE_HIGHRES of the kernel's enum tick_nohz_mode.
  return every_value_is(text, ".hres_active", 1) && every_value_is(text, ".nohz_mode", 2);
}

static uint64_t clock_read(clockid_t clock) {
  struct timespec now = {0};
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t clock_realtime_ns(void) {
  return clock_read(CLOCK_REALTIME);
}

uint64_t clock_monotonic_ns(void) {
  return clock_read(CLOCK_MONOTONIC);
}

int clock_set(uint64_t realtime_ns, struct error *error) {
  struct timespec time = {.tv_sec = (time_t)(realtime_ns / NS_PER_S), .tv_nsec = (long)(realtime_ns % NS_PER_S)};
  if (clock_settime(CLOCK_REALTIME, &time) < 0) return error_errno(error, "set the clock");
  return 0;
}

int entropy_add(const uint8_t *data, size_t length, struct error *error) {
  if (length > ENTROPY_MAX) length = ENTROPY_MAX;
  cleanup_free struct rand_pool_info *pool = memory_alloc(sizeof *pool + length);
  pool->entropy_count = (int)(length * 8);
  pool->buf_size = (int)length;
  memcpy(pool->buf, data, length);
  cleanup_close int fd = open("/dev/random", O_RDWR | O_CLOEXEC);
  if (fd < 0) return error_errno(error, "open /dev/random");
  int added = ioctl(fd, RNDADDENTROPY, pool);
  explicit_bzero(pool->buf, length);
  if (added < 0) return error_errno(error, "add entropy");
  if (ioctl(fd, RNDRESEEDCRNG) < 0) return error_errno(error, "reseed the random generator");
  return 0;
}
