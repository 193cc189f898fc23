#include "channel.h"

#include <errno.h>
#include <string.h>

#include "log.h"
#include "loop.h"
#include "memory.h"

#define READ_SIZE 32768u
#define CONGESTED_BYTES (128u * 1024u)        // streams wait
#define OVERLOADED_BYTES (2u * 1024u * 1024u) // no request is read any more
#define TORN_FILL_BYTES (FRAME_PAYLOAD_MAX + FRAME_HEADER_SIZE)
#define FILL_CHUNK 32768u

struct outgoing_frame {
  struct outgoing_frame *next;
  size_t length;
  size_t written;
  uint8_t bytes[];
};

static struct {
  struct watch watch;
  channel_receiver *receiver;
  struct frame_decoder decoder;
  struct outgoing_frame *first;
  struct outgoing_frame **last;
  size_t queued_bytes;
  uint32_t session;
  uint32_t sessions_begun;
  bool reading_paused;
  bool torn; // the last frame of the earlier session was cut in the middle
} channel;

static void queue_clear(void) {
  while (channel.first != NULL) {
    struct outgoing_frame *frame = channel.first;
    channel.first = frame->next;
    free(frame);
  }
  channel.last = &channel.first;
  channel.queued_bytes = 0;
}

static struct outgoing_frame *queue_append(size_t length) {
  struct outgoing_frame *frame = memory_alloc(sizeof *frame + length);
  frame->length = length;
  *channel.last = frame;
  channel.last = &frame->next;
  channel.queued_bytes += length;
  return frame;
}

static void session_end(void) {
  if (channel.first != NULL && channel.first->written > 0) channel.torn = true;
  queue_clear();
  channel.session = 0;
}

void channel_session_begin(void) {
  session_end();
  if (channel.torn) {
    channel.torn = false;
    for (size_t left = TORN_FILL_BYTES; left > 0;) {
      size_t length = left < FILL_CHUNK ? left : FILL_CHUNK;
      queue_append(length);
      left -= length;
    }
  }
  channel.session = ++channel.sessions_begun;
}

uint32_t channel_session(void) {
  return channel.session;
}

bool channel_is_congested(void) {
  return channel.session == 0 || channel.queued_bytes > CONGESTED_BYTES;
}

void channel_send(const Hyperstart__V1__GuestMessage *message) {
  if (channel.session == 0) return;
  size_t length = hyperstart__v1__guest_message__get_packed_size(message);
  if (length > FRAME_PAYLOAD_MAX) {
    log_line("answer of %zu bytes is over the limit and was dropped", length);
    return;
  }
  struct outgoing_frame *frame = queue_append(FRAME_HEADER_SIZE + length);
  hyperstart__v1__guest_message__pack(message, frame->bytes + FRAME_HEADER_SIZE);
  frame_header_write(frame->bytes, frame->bytes + FRAME_HEADER_SIZE, (uint32_t)length);
}

static void receive_frames(void) {
  const uint8_t *payload;
  uint32_t length;
  while (frame_decoder_next(&channel.decoder, &payload, &length)) {
    Hyperstart__V1__HostMessage *message = hyperstart__v1__host_message__unpack(NULL, length, payload);
    if (message == NULL) {
      log_line("frame of %u bytes is no HostMessage", length);
      continue;
    }
    // A Hello makes everything that was half received before it void; whole messages before it were handled already.
    channel.receiver(message);
    hyperstart__v1__host_message__free_unpacked(message, NULL);
  }
}

// Reads until the port is empty: it is watched edge-triggered, because a port without a host reports a permanent hang-up.
static void read_all(void) {
  for (;;) {
    if (channel.queued_bytes > OVERLOADED_BYTES) {
      channel.reading_paused = true;
      return;
    }
    uint8_t *room = frame_decoder_room(&channel.decoder, READ_SIZE);
    ssize_t got = read(channel.watch.fd, room, READ_SIZE);
    if (got > 0) {
      frame_decoder_added(&channel.decoder, (size_t)got);
      receive_frames();
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) session_end(); // the host has closed its side
    return;
  }
}

static void port_ready(struct watch *watch, uint32_t events) {
  (void)watch;
  (void)events;
  read_all();
}

static void write_all(void) {
  while (channel.first != NULL) {
    struct outgoing_frame *frame = channel.first;
    ssize_t put = write(channel.watch.fd, frame->bytes + frame->written, frame->length - frame->written);
    if (put < 0) {
      if (errno == EINTR) continue;
      return; // EAGAIN: the port reports when it takes more
    }
    frame->written += (size_t)put;
    if (frame->written < frame->length) continue;
    channel.queued_bytes -= frame->length;
    channel.first = frame->next;
    if (channel.first == NULL) channel.last = &channel.first;
    free(frame);
  }
}

void channel_flush(void) {
  write_all();
  if (channel.reading_paused && channel.queued_bytes <= OVERLOADED_BYTES / 2) {
    channel.reading_paused = false;
    read_all();
    write_all();
  }
}

void channel_open(int port_fd, channel_receiver *receiver) {
  channel.last = &channel.first;
  channel.receiver = receiver;
  channel.watch = (struct watch){.fd = port_fd, .ready = port_ready};
  if (loop_watch(&channel.watch, EPOLLIN | EPOLLOUT | EPOLLET) < 0) log_line("cannot watch the port: %s", strerror(errno));
}
