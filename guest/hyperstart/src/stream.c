#include "stream.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel.h"
#include "loop.h"
#include "memory.h"
#include "ring.h"

#define FINISHED_KEPT_MAX 256u // ended streams to the guest whose last acknowledgement the host may have missed
#define READ_STEP 16384u

struct stream {
  struct stream *next;
  struct watch watch; // its fd is -1 once closed
  struct ring ring;
  uint32_t number;
  bool to_host;
  bool socket;
  bool ended;    // to host: no byte follows. To guest: the host has sent eof.
  bool eof_sent; // to host only
  bool draining;
  bool finished;  // to guest: eof was handed on; the entry is kept for late repetitions
  bool broken;    // to guest: the reader has gone, data is swallowed
  uint64_t start; // offset of the ring's first byte: acknowledged (to host), handed on (to guest)
  uint64_t sent;  // to host: offset of the next byte to send
  stream_finished *on_finished;
  void *owner;
};

static struct stream *streams;
static uint32_t finished_count;

static void descriptor_ready(struct watch *watch, uint32_t events);

static struct stream *stream_find(uint32_t number) {
  for (struct stream *stream = streams; stream != NULL; stream = stream->next) {
    if (stream->number == number) return stream;
  }
  return NULL;
}

bool stream_exists(uint32_t number) {
  return stream_find(number) != NULL;
}

static uint64_t stream_end(const struct stream *stream) {
  return stream->start + stream->ring.length;
}

static void descriptor_close(struct stream *stream) {
  if (stream->watch.fd < 0) return;
  loop_unwatch(&stream->watch);
  if (stream->socket && !stream->to_host) shutdown(stream->watch.fd, SHUT_WR);
  close(stream->watch.fd);
  stream->watch.fd = -1;
}

static void stream_free(struct stream *stream) {
  for (struct stream **at = &streams; *at != NULL; at = &(*at)->next) {
    if (*at == stream) {
      *at = stream->next;
      break;
    }
  }
  if (stream->finished) finished_count--;
  descriptor_close(stream);
  ring_clear(&stream->ring);
  free(stream);
}

static struct stream *stream_add(uint32_t number, int fd, bool to_host) {
  if (stream_find(number) != NULL) return NULL;
  struct stream *stream = memory_alloc(sizeof *stream);
  stream->number = number;
  stream->to_host = to_host;
  stream->watch.fd = fd;
  stream->watch.ready = descriptor_ready;
  stream->next = streams;
  streams = stream;
  return stream;
}

static void send_ack(const struct stream *stream) {
  Hyperstart__V1__StreamAck ack = HYPERSTART__V1__STREAM_ACK__INIT;
  ack.stream = stream->number;
  ack.offset = stream->start + (stream->finished ? 1 : 0);
  Hyperstart__V1__GuestMessage message = HYPERSTART__V1__GUEST_MESSAGE__INIT;
  message.kind_case = HYPERSTART__V1__GUEST_MESSAGE__KIND_STREAM_ACK;
  message.stream_ack = &ack;
  channel_send(&message);
}

static void send_reset(uint32_t number, const char *reason) {
  Hyperstart__V1__StreamReset reset = HYPERSTART__V1__STREAM_RESET__INIT;
  reset.stream = number;
  reset.reason = (char *)(uintptr_t)reason;
  Hyperstart__V1__GuestMessage message = HYPERSTART__V1__GUEST_MESSAGE__INIT;
  message.kind_case = HYPERSTART__V1__GUEST_MESSAGE__KIND_STREAM_RESET;
  message.stream_reset = &reset;
  channel_send(&message);
}

// --- to the host ----------------------------------------------------------------------------------------------------

static void source_end(struct stream *stream) {
  stream->ended = true;
  descriptor_close(stream);
  stream_finished *finished = stream->on_finished;
  stream->on_finished = NULL;
  if (finished != NULL) finished(stream->owner);
}

static void source_watch(struct stream *stream) {
  if (stream->watch.fd < 0) return;
  if (stream->ring.length >= STREAM_WINDOW) {
    loop_unwatch(&stream->watch);
  } else if (!stream->watch.active) {
    loop_watch(&stream->watch, EPOLLIN);
  }
}

// Reads once. A writer that has ended is read until nothing is left: its bytes are all in the pipe by then.
static void source_read(struct stream *stream) {
  do {
    struct iovec pieces[2];
    int count = ring_space(&stream->ring, READ_STEP, STREAM_WINDOW, pieces);
    if (count == 0) break;
    ssize_t got = readv(stream->watch.fd, pieces, count);
    if (got > 0) {
      ring_added(&stream->ring, (size_t)got);
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    if (stream->ring.length == 0) ring_clear(&stream->ring);
    if (got < 0 && errno == EAGAIN && !stream->draining) break;
    if (got < 0 && errno == ECONNRESET) {
      stream_abort(stream->number, "connection reset by peer");
      return;
    }
    source_end(stream); // end of file; EIO of a terminal without users; EAGAIN after the writer's end
    return;
  } while (stream->draining);
  source_watch(stream);
}

bool stream_open_to_host(uint32_t number, int fd, stream_finished *finished, void *owner) {
  struct stream *stream = stream_add(number, fd, true);
  if (stream == NULL) return false;
  stream->on_finished = finished;
  stream->owner = owner;
  source_watch(stream);
  return true;
}

void stream_drain(uint32_t number) {
  struct stream *stream = stream_find(number);
  if (stream == NULL || stream->ended) return;
  if (stream->watch.fd < 0) {
    source_end(stream);
    return;
  }
  stream->draining = true;
  source_read(stream);
}

void stream_disown(void *owner) {
  for (struct stream *stream = streams; stream != NULL; stream = stream->next) {
    if (stream->owner != owner) continue;
    stream->owner = NULL;
    stream->on_finished = NULL;
  }
}

// The host has taken over everything below offset.
static void source_acknowledge(struct stream *stream, uint64_t offset) {
  uint64_t end = stream_end(stream);
  if (stream->ended && stream->eof_sent && offset > end) {
    stream_free(stream);
    return;
  }
  if (offset > stream->sent) offset = stream->sent; // never sent: not acknowledgeable
  if (offset <= stream->start) return;
  ring_drop(&stream->ring, (size_t)(offset - stream->start));
  stream->start = offset;
  if (stream->draining && stream->watch.fd >= 0) {
    source_read(stream);
  } else {
    source_watch(stream);
  }
}

static void send_chunk(struct stream *stream) {
  static uint8_t chunk[STREAM_CHUNK_MAX];
  struct iovec pieces[2];
  int count = ring_content(&stream->ring, (size_t)(stream->sent - stream->start), STREAM_CHUNK_MAX, pieces);
  size_t length = 0;
  for (int index = 0; index < count; index++) {
    memcpy(chunk + length, pieces[index].iov_base, pieces[index].iov_len);
    length += pieces[index].iov_len;
  }
  Hyperstart__V1__StreamData data = HYPERSTART__V1__STREAM_DATA__INIT;
  data.stream = stream->number;
  data.offset = stream->sent;
  data.data = (ProtobufCBinaryData){.len = length, .data = chunk};
  data.eof = stream->ended && stream->sent + length == stream_end(stream);
  Hyperstart__V1__GuestMessage message = HYPERSTART__V1__GUEST_MESSAGE__INIT;
  message.kind_case = HYPERSTART__V1__GUEST_MESSAGE__KIND_STREAM_DATA;
  message.stream_data = &data;
  channel_send(&message);
  stream->sent += length;
  stream->eof_sent = stream->eof_sent || data.eof;
}

static bool has_something_to_send(const struct stream *stream) {
  return stream->to_host && (stream->sent < stream_end(stream) || (stream->ended && !stream->eof_sent));
}

void stream_pump(void) {
  bool any = true;
  while (any) {
    any = false;
    for (struct stream *stream = streams; stream != NULL; stream = stream->next) {
      if (channel_is_congested()) return;
      if (!has_something_to_send(stream)) continue;
      send_chunk(stream);
      any = true;
    }
  }
}

void stream_abort(uint32_t number, const char *reason) {
  struct stream *stream = stream_find(number);
  if (stream == NULL) return;
  send_reset(number, reason);
  if (stream->to_host && !stream->ended) source_end(stream);
  stream_free(stream);
}

// --- to the guest ---------------------------------------------------------------------------------------------------

static void forget_oldest_finished(void) {
  struct stream *oldest = NULL;
  for (struct stream *stream = streams; stream != NULL; stream = stream->next) {
    if (stream->finished) oldest = stream; // new ones are put in front
  }
  if (oldest != NULL) stream_free(oldest);
}

static void sink_finish(struct stream *stream) {
  descriptor_close(stream);
  stream->finished = true;
  finished_count++;
  send_ack(stream);
  if (finished_count > FINISHED_KEPT_MAX) forget_oldest_finished();
}

static void sink_break(struct stream *stream) {
  descriptor_close(stream);
  stream->broken = true;
  stream->start = stream_end(stream);
  ring_clear(&stream->ring);
  send_reset(stream->number, "the reader has gone");
  sink_finish(stream);
}

// Hands on what is there; acknowledges what the descriptor took.
static void sink_write(struct stream *stream) {
  if (stream->watch.fd < 0) return;
  uint64_t before = stream->start;
  while (stream->ring.length > 0) {
    struct iovec pieces[2];
    int count = ring_content(&stream->ring, 0, stream->ring.length, pieces);
    ssize_t put = writev(stream->watch.fd, pieces, count);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno != EAGAIN) {
      sink_break(stream);
      return;
    }
    if (put < 0) break;
    ring_drop(&stream->ring, (size_t)put);
    stream->start += (uint64_t)put;
  }
  if (stream->ring.length == 0 && stream->ended) {
    sink_finish(stream);
    return;
  }
  if (stream->start != before) send_ack(stream);
  if (stream->ring.length > 0) {
    loop_watch(&stream->watch, EPOLLOUT);
  } else {
    loop_unwatch(&stream->watch);
  }
}

bool stream_open_to_guest(uint32_t number, int fd, bool socket) {
  struct stream *stream = stream_add(number, fd, false);
  if (stream == NULL) return false;
  stream->socket = socket;
  return true;
}

void stream_close_to_guest(uint32_t number) {
  struct stream *stream = stream_find(number);
  if (stream != NULL && !stream->to_host && !stream->finished) sink_break(stream);
}

void stream_receive_data(const Hyperstart__V1__StreamData *data) {
  struct stream *stream = stream_find(data->stream);
  if (stream == NULL || stream->to_host) {
    send_reset(data->stream, "no such stream");
    return;
  }
  if (stream->finished || stream->ended) {
    if (stream->finished) send_ack(stream);
    return;
  }
  uint64_t received = stream_end(stream);
  uint64_t data_end = data->offset + data->data.len;
  if (data->offset > received || data_end < received || data_end - stream->start > STREAM_WINDOW) {
    return; // a gap, a repetition, or more than the window allows: the host resumes from our acknowledgement
  }
  size_t known = (size_t)(received - data->offset);
  ring_append(&stream->ring, data->data.data + known, data->data.len - known);
  stream->ended = data->eof;
  sink_write(stream);
}

// --- both -----------------------------------------------------------------------------------------------------------

static void descriptor_ready(struct watch *watch, uint32_t events) {
  (void)events;
  struct stream *stream = container_of(watch, struct stream, watch);
  if (stream->to_host) {
    source_read(stream);
  } else {
    sink_write(stream);
  }
}

void stream_attach(uint32_t number, int fd) {
  struct stream *stream = stream_find(number);
  // A stream to the guest may have got its end before its descriptor: its bytes still count.
  if (stream == NULL || stream->watch.fd >= 0 || (stream->to_host ? stream->ended : stream->finished)) {
    close(fd);
    return;
  }
  stream->watch.fd = fd;
  if (stream->to_host) {
    source_watch(stream);
  } else {
    sink_write(stream);
  }
}

void stream_receive_ack(const Hyperstart__V1__StreamAck *ack) {
  struct stream *stream = stream_find(ack->stream);
  if (stream != NULL && stream->to_host) source_acknowledge(stream, ack->offset);
}

// The host wants no more of this stream.
static void stream_drop(struct stream *stream) {
  if (!stream->to_host) {
    if (!stream->finished) {
      stream->start = stream_end(stream);
      ring_clear(&stream->ring);
      sink_finish(stream);
    }
    return;
  }
  if (!stream->ended) source_end(stream);
  stream_free(stream);
}

void stream_receive_reset(const Hyperstart__V1__StreamReset *reset) {
  struct stream *stream = stream_find(reset->stream);
  if (stream != NULL) stream_drop(stream);
}

static const Hyperstart__V1__StreamPosition *wanted_position(const Hyperstart__V1__Hello *hello, uint32_t number) {
  for (size_t index = 0; index < hello->n_streams; index++) {
    if (hello->streams[index]->stream == number) return hello->streams[index];
  }
  return NULL;
}

static void resume_one(const Hyperstart__V1__Hello *hello, uint32_t number) {
  struct stream *stream = stream_find(number);
  if (stream == NULL) return;
  const Hyperstart__V1__StreamPosition *position = wanted_position(hello, number);
  if (position == NULL) {
    stream_drop(stream);
    return;
  }
  uint64_t end = stream_end(stream);
  if (stream->ended && position->offset > end) {
    stream_free(stream);
    return;
  }
  uint64_t offset = position->offset < end ? position->offset : end;
  if (stream->sent < offset) stream->sent = offset;
  source_acknowledge(stream, offset);
  stream->sent = stream->start;
  stream->eof_sent = false;
}

void stream_resume(const Hyperstart__V1__Hello *hello) {
  // Numbers, not pointers: ending a stream may end others through its owner.
  size_t count = 0;
  for (struct stream *stream = streams; stream != NULL; stream = stream->next) count++;
  cleanup_free uint32_t *numbers = memory_alloc(count * sizeof *numbers);
  count = 0;
  for (struct stream *stream = streams; stream != NULL; stream = stream->next) {
    if (stream->to_host) numbers[count++] = stream->number;
  }
  for (size_t index = 0; index < count; index++) resume_one(hello, numbers[index]);
}

Hyperstart__V1__StreamPosition **stream_positions(size_t *count) {
  *count = 0;
  for (struct stream *stream = streams; stream != NULL; stream = stream->next) *count += stream->to_host ? 0 : 1;
  Hyperstart__V1__StreamPosition **positions = memory_alloc(*count * sizeof *positions);
  size_t index = 0;
  for (struct stream *stream = streams; stream != NULL; stream = stream->next) {
    if (stream->to_host) continue;
    Hyperstart__V1__StreamPosition *position = memory_alloc(sizeof *position);
    hyperstart__v1__stream_position__init(position);
    position->stream = stream->number;
    position->offset = stream->start + (stream->finished ? 1 : 0);
    positions[index++] = position;
  }
  return positions;
}

void stream_positions_free(Hyperstart__V1__StreamPosition **positions, size_t count) {
  for (size_t index = 0; index < count; index++) free(positions[index]);
  free(positions);
}
