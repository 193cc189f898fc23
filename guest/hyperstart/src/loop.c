#include "loop.h"

#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include "log.h"

#define NS_PER_MS 1000000u
#define WAIT_MS_MAX 3600000u

static int epoll_fd = -1;
static struct timer *timers;

void loop_init(void) {
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) {
    log_line("no epoll");
    abort();
  }
}

int loop_watch(struct watch *watch, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = watch};
  int operation = watch->active ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  if (epoll_ctl(epoll_fd, operation, watch->fd, &event) < 0) return -1;
  watch->active = true;
  return 0;
}

void loop_unwatch(struct watch *watch) {
  if (!watch->active) return;
  epoll_ctl(epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
  watch->active = false;
}

uint64_t loop_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void loop_timer_start(struct timer *timer, uint64_t delay_ms) {
  loop_timer_stop(timer);
  timer->deadline_ns = loop_now_ns() + delay_ms * NS_PER_MS;
  timer->active = true;
  timer->next = timers;
  timers = timer;
}

void loop_timer_stop(struct timer *timer) {
  if (!timer->active) return;
  timer->active = false;
  for (struct timer **at = &timers; *at != NULL; at = &(*at)->next) {
    if (*at == timer) {
      *at = timer->next;
      return;
    }
  }
}

static struct timer *nearest_timer(void) {
  struct timer *nearest = timers;
  for (struct timer *timer = timers; timer != NULL; timer = timer->next) {
    if (timer->deadline_ns < nearest->deadline_ns) nearest = timer;
  }
  return nearest;
}

static int wait_ms(const struct timer *nearest) {
  if (nearest == NULL) return -1;
  uint64_t now = loop_now_ns();
  if (nearest->deadline_ns <= now) return 0;
  uint64_t delay = (nearest->deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS;
  return (int)(delay < WAIT_MS_MAX ? delay : WAIT_MS_MAX);
}

void loop_step(void) {
  struct timer *nearest = nearest_timer();
  if (nearest != NULL && nearest->deadline_ns <= loop_now_ns()) {
    loop_timer_stop(nearest);
    nearest->fire(nearest);
    return;
  }
  struct epoll_event event;
  if (epoll_wait(epoll_fd, &event, 1, wait_ms(nearest)) == 1) {
    struct watch *watch = event.data.ptr;
    watch->ready(watch, event.events);
  }
}
