// The one thread's event loop: epoll, signals as a file descriptor, one-shot timers. Everything in hyperstart runs in callbacks
// of this loop; none of them blocks.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct watch {
  int fd;
  bool active;
  void (*ready)(struct watch *watch, uint32_t events);
};

struct timer {
  uint64_t deadline_ns; // CLOCK_MONOTONIC
  bool active;
  void (*fire)(struct timer *timer);
  struct timer *next;
};

void loop_init(void);
int loop_watch(struct watch *watch, uint32_t events); // 0 or -1 with errno
void loop_unwatch(struct watch *watch);               // no effect on one that is not active
void loop_timer_start(struct timer *timer, uint64_t delay_ms);
void loop_timer_stop(struct timer *timer);
// Waits for one event and runs its callback; one at a time, so that a callback may free any other watch.
void loop_step(void);
uint64_t loop_now_ns(void);
