#include "event.h"

#include <string.h>

#include "channel.h"
#include "memory.h"

#define BACKLOG_MAX 4096u

struct event {
  struct event *next;
  uint64_t sequence;
  size_t length;
  uint8_t packed[]; // Hyperstart__V1__Event
};

static struct event *first;
static struct event **last = &first;
static uint64_t sequence_last;
static unsigned waiting;

static void event_send(const struct event *event) {
  Hyperstart__V1__Event *content = hyperstart__v1__event__unpack(NULL, event->length, event->packed);
  if (content == NULL) return;
  Hyperstart__V1__GuestMessage message = HYPERSTART__V1__GUEST_MESSAGE__INIT;
  message.kind_case = HYPERSTART__V1__GUEST_MESSAGE__KIND_EVENT;
  message.event = content;
  channel_send(&message);
  hyperstart__v1__event__free_unpacked(content, NULL);
}

static void event_add(Hyperstart__V1__Event *content) {
  content->sequence = ++sequence_last;
  size_t length = hyperstart__v1__event__get_packed_size(content);
  struct event *event = memory_alloc(sizeof *event + length);
  event->sequence = content->sequence;
  event->length = hyperstart__v1__event__pack(content, event->packed);
  *last = event;
  last = &event->next;
  waiting++;
  event_send(event);
}

void event_process_exited(const Hyperstart__V1__ProcessExited *exited) {
  Hyperstart__V1__ProcessExited copy = *exited;
  Hyperstart__V1__Event content = HYPERSTART__V1__EVENT__INIT;
  content.kind_case = HYPERSTART__V1__EVENT__KIND_PROCESS_EXITED;
  content.process_exited = &copy;
  event_add(&content);
}

void event_out_of_memory(const char *container_id) {
  if (event_backlog_is_full()) return; // says nothing that the exit of the process does not say again
  cleanup_free char *id = memory_copy_string(container_id);
  Hyperstart__V1__OutOfMemory out_of_memory = HYPERSTART__V1__OUT_OF_MEMORY__INIT;
  out_of_memory.container_id = id;
  Hyperstart__V1__Event content = HYPERSTART__V1__EVENT__INIT;
  content.kind_case = HYPERSTART__V1__EVENT__KIND_OUT_OF_MEMORY;
  content.out_of_memory = &out_of_memory;
  event_add(&content);
}

void event_receive_ack(uint64_t sequence) {
  while (first != NULL && first->sequence <= sequence) {
    struct event *event = first;
    first = event->next;
    free(event);
    waiting--;
  }
  if (first == NULL) last = &first;
}

void event_replay(void) {
  for (const struct event *event = first; event != NULL; event = event->next) event_send(event);
}

bool event_backlog_is_full(void) {
  return waiting >= BACKLOG_MAX;
}
